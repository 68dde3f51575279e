/* The verbs on what stands in the database, and its check. */
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "exits.h"
#include "gens.h"
#include "mem.h"

/* What s replaced, and that one where it was taken back too. */
static int
before(struct table *t, const struct slot *s, struct receipt *found)
{
	char *batch = xstrdup(s->base_batch);
	int64_t generation = s->base_generation;
	int rc = RC_OK;

	while (rc == RC_OK && *batch != '\0') {
		struct receipt r = {0};

		rc = gens_one(t->db, s, batch, generation, &r);
		if (rc != RC_OK || r.n == 0) {
			receipt_release(&r);
			break;
		}
		if (slot_is(r.slot[0], "replaced")) {
			*found = r;
			break;
		}
		slot_set(&batch, r.slot[0]->base_batch);
		generation = r.slot[0]->base_generation;
		receipt_release(&r);
	}
	free(batch);
	return rc;
}

static int
rollback_one(struct table *t, struct slot *s, const struct policy *p)
{
	struct receipt r = {0};
	struct slot *old;
	bool was_visible = slot_is(s, "published");
	int rc;

	if (!was_visible)
		rc = gens_state(t->db, s, "rolled_back", p->reason);
	else
		rc = before(t, s, &r);
	old = r.n > 0 ? r.slot[0] : NULL;
	if (rc == RC_OK && was_visible)
		rc = gens_state(t->db, s, "rolled_back", p->reason);
	if (rc == RC_OK && old != NULL) {
		rc = gens_intact(t, old);
		if (rc == RC_OK)
			rc = gens_state(t->db, old, "published", NULL);
		if (rc == RC_OK)
			rc = gens_check_feeds(t, old);
	}
	if (rc == RC_OK && was_visible)
		rc = gens_restate(t, s, s, old, "rollback");
	if (rc == RC_OK)
		s->state = "rolled_back";
	receipt_release(&r);
	return rc;
}

static int
drop_one(struct table *t, struct slot *s, bool keep, const struct policy *p)
{
	const char *state = keep ? "quarantined" : "aborted";
	int rc = keep ? RC_OK : gens_delete_rows(t, s);

	if (rc == RC_OK)
		rc = gens_state(t->db, s, state, p->reason);
	if (rc == RC_OK)
		s->state = state;
	return rc;
}

/* The generation that a verb means where none was named; 0: no such batch. */
static int
meant(struct db *d, enum verb verb, const char *batch, int64_t *generation)
{
	struct receipt all = {0};
	sqlite3_stmt *st;
	int rc = db_query(d, &st, SLOTS " WHERE batch_id = ?1", "t", batch);

	if (rc == RC_OK)
		rc = gens_read(d, &all, st);
	*generation = verb_means(&all, verb);
	receipt_release(&all);
	return rc;
}

static int
verb_table(struct db *d, enum verb verb, struct slot **s, size_t n,
    const struct policy *p, int *status)
{
	struct table t;
	int rc = table_open(&t, d, s[0]->table, NULL);

	if (rc == RC_NOTREADY)
		return slot_say(s[0], RC_CONTRACT, "its table is missing");
	if (rc != RC_OK)
		return rc;
	if (verb == VERB_PUBLISH)
		rc = batch_publish(&t, s, n, p, true, status);
	for (size_t i = 0; verb != VERB_PUBLISH && rc == RC_OK && i < n; i++)
		rc = verb == VERB_ROLLBACK
			 ? rollback_one(&t, s[i], p)
			 : drop_one(&t, s[i], verb == VERB_QUARANTINE, p);
	table_close(&t);
	return rc;
}

int
batch_verb(struct db *d, enum verb verb, const char *batch, int64_t generation,
    const struct policy *p, struct receipt *r, int *status)
{
	sqlite3_stmt *st;
	bool named = generation != 0;
	int rc = named ? RC_OK : meant(d, verb, batch, &generation);
	size_t i = 0, n = 0;

	r->verb = verb_word(verb);
	*status = RC_OK;
	if (rc == RC_OK)
		rc = db_query(d, &st,
		    SLOTS " WHERE batch_id = ?1 AND generation = ?2"
			  " ORDER BY table_name, source_system, feed, date",
		    "ti", batch, generation);
	if (rc == RC_OK)
		rc = gens_read(d, r, st);
	if (rc != RC_OK)
		return rc;
	n = verb_sift(r, verb, named);
	if (n == 0)
		return verb_nothing(r, verb, batch);
	while (rc == RC_OK && i < n) {
		size_t end = i + 1;

		while (end < n &&
		       strcmp(r->slot[end]->table, r->slot[i]->table) == 0)
			end++;
		rc = verb_table(d, verb, r->slot + i, end - i, p, status);
		i = end;
	}
	return rc;
}

int
batch_verify(struct db *d, struct receipt *r)
{
	sqlite3_stmt *st;
	int rc = db_query(d, &st,
	    SLOTS " WHERE state <> 'aborted' ORDER BY table_name, date,"
		  " source_system, feed, batch_id, generation",
	    "");
	int status = RC_OK;

	r->verb = "verify";
	if (rc == RC_OK)
		rc = gens_read(d, r, st);
	for (size_t i = 0; rc == RC_OK && i < r->n; i++) {
		struct table t;

		rc = table_open(&t, d, r->slot[i]->table, NULL);
		if (rc == RC_NOTREADY) {
			status = slot_say(
			    r->slot[i], RC_CONTRACT, "its table is missing");
			rc = RC_OK;
			continue;
		}
		if (rc != RC_OK)
			break;
		rc = gens_intact(&t, r->slot[i]);
		if (rc == RC_CONTRACT) {
			r->slot[i]->state = "refused";
			status = rc;
			rc = RC_OK;
		}
		table_close(&t);
	}
	return rc != RC_OK ? rc : status;
}
