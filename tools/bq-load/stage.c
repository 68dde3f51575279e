/* Staging: rows go into their stage tables, and the batch is entered. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "stage.h"
#include "target.h"

/* One statement publishes them all. */
enum { PARTS_MAX = 100, SALTS = 3, SCHEMA_MAX = 1 << 20 };

/* ---- generations ---- */

/*
 * What was staged or aborted is replaced; so is a quarantined one made of the
 * same things, for a run that is repeated comes to the same numbers.
 */
int64_t
stage_number(
    const struct gens *g, const struct slot *like, const char *fingerprint)
{
	int64_t last = 0;

	for (size_t i = 0; i < g->r.n; i++) {
		const struct slot *s = g->r.slot[i];
		bool same = slot_is(s, "quarantined") && *fingerprint != '\0' &&
			    strcmp(s->fingerprint, fingerprint) == 0;

		if (strcmp(s->batch, like->batch) == 0 &&
		    strcmp(s->table, like->table) == 0 &&
		    !slot_is(s, "staged") && !slot_is(s, "aborted") && !same &&
		    s->generation > last)
			last = s->generation;
	}
	return last + 1;
}

/* All of them are equal to one generation that is visible: its number. */
static int64_t
equal_generation(
    const struct load *l, const struct gens *g, struct slot *const *s, size_t n)
{
	int64_t same = 0;

	for (size_t i = 0; i < n; i++) {
		const struct slot *seen = gens_visible(g, s[i]);

		if (seen == NULL || !policy_alike(s[i], seen, &l->run.policy) ||
		    *seen->checksum == '\0' ||
		    strcmp(s[i]->checksum, seen->checksum) != 0 ||
		    (i > 0 && seen->generation != same))
			return 0;
		same = seen->generation;
	}
	return same;
}

/* The visible generation was fetched again: the later time is kept. */
static int
keep_time(struct load *l, const struct gens *g, const struct slot *s)
{
	const struct slot *seen = gens_visible(g, s);
	struct args a = {.slot = s, .p = &l->run.policy};
	int64_t mine, its;
	struct script sc;
	struct bq_job j;
	char id[BQ_ID];
	int rc;

	if (s->fetched_at == NULL || seen == NULL ||
	    !time_parse(s->fetched_at, strlen(s->fetched_at), &mine) ||
	    (seen->fetched_at != NULL &&
		time_parse(seen->fetched_at, strlen(seen->fetched_at), &its) &&
		mine <= its))
		return RC_OK;
	script_init(&sc);
	script_file(&sc, "seen", NULL, 1, &a);
	script_id(l->b, &sc, "bqload_seen", g->digest, id);
	rc = script_run(l->b, &sc, id, true, &j);
	script_release(&sc);
	if (rc != RC_OK)
		warn_msg(s->batch, "cannot note when it was fetched: %s",
		    bq_why(l->b));
	return rc;
}

int
stage_unchanged(struct load *l, const struct gens *g, struct slot *const *s,
    size_t n, int64_t generation)
{
	int rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		s[i]->generation = generation;
		s[i]->state = "published";
		s[i]->unchanged = true;
		rc = keep_time(l, g, s[i]);
	}
	return rc;
}

/* ---- the stage tables ---- */

/* By what is in it, so that a table that is there is the right one. */
void
stage_name(struct slot *s, const char *content)
{
	const char *parts[] = {
	    s->table, s->batch, s->source, s->feed, s->date, content};
	char id[BQ_ID], name[BQ_ID + 32];

	bq_job_id(id, "stage", parts, sizeof parts / sizeof *parts);
	id[sizeof "stage_" - 1 + 32] = '\0';
	snprintf(name, sizeof name, "%s_%" PRId64, id, s->generation);
	slot_set(&s->stage, name);
}

/* RC_OK: the table holds that many rows; RC_FINDINGS: it does not. */
static int
look_at_stage(struct load *l, struct slot *s, uint64_t rows)
{
	struct target t;
	int rc = target_get(&t, l->b, STAGE_DATASET(l), s->stage);
	bool good = rc == RC_OK && t.rows == rows;

	if (rc != RC_OK)
		return rc;
	if (good && t.expires == 0)
		rc =
		    target_expire(l->b, STAGE_DATASET(l), s->stage, STAGE_DAYS);
	target_release(&t);
	return rc != RC_OK ? rc : good ? RC_OK : RC_FINDINGS;
}

/*
 * A job of this id may be one of long ago, whose table is gone: then another.
 */
static int
load_stage(struct load *l, struct slot *s, struct bq_pack *pack,
    const struct buf *schema, const char *digest)
{
	int rc = RC_FINDINGS;

	for (unsigned salt = 0; rc == RC_FINDINGS && salt < SALTS; salt++) {
		const char number[] = {(char)('0' + salt), '\0'};
		const char *parts[] = {bq_project(l->b), STAGE_DATASET(l),
		    bq_born(l->b), s->stage, pack->plain, digest, number};
		char id[BQ_ID];
		struct bq_load in = {.base = id,
		    .dataset = STAGE_DATASET(l),
		    .table = s->stage,
		    .schema = schema,
		    .pack = pack,
		    .state = l->state};
		struct bq_job j;

		bq_job_id(id, "bqload", parts, sizeof parts / sizeof *parts);
		rc = bq_load_run(l->b, &in, &j);
		if (rc == RC_OK)
			rc = look_at_stage(l, s, pack->rows);
		if (rc == RC_FINDINGS && !j.found)
			rc = bq_fail(l->b, RC_CONTRACT,
			    "its stage table does not have the rows that were "
			    "loaded");
	}
	return rc == RC_FINDINGS
		   ? bq_fail(l->b, RC_CONTRACT, "its stage table is gone")
		   : rc;
}

/* The rows are in the stage table afterwards. */
static int
fill_stage(
    struct load *l, struct slot *s, struct bq_pack *pack, const char *digest)
{
	struct buf schema = BUF_INIT(SCHEMA_MAX);
	int rc;

	stage_name(s, pack->plain);
	rc = look_at_stage(l, s, pack->rows);
	rows_schema(&l->rows, &schema);
	if (rc == RC_NOTREADY) {
		rc = target_make(
		    l->b, STAGE_DATASET(l), s->stage, &schema, STAGE_DAYS);
		if (rc == RC_OK && pack->rows > 0)
			rc = RC_FINDINGS;
	}
	if (rc == RC_FINDINGS)
		rc = load_stage(l, s, pack, &schema, digest);
	buf_release(&schema);
	return rc == RC_OK ? rc : slot_fail(s, l->b, rc, "not loaded");
}

/* ---- entering ---- */

static void
enter_slot(struct script *sc, struct load *l, const struct slot *s, unsigned k)
{
	const char *p = s->lineage.p;
	const char *end = p == NULL ? NULL : p + s->lineage.len;
	struct args a = {.slot = s, .p = &l->run.policy};
	unsigned i = 0;

	script_file(sc, "enter", "\n-- each partition\n", k, &a);
	buf_char(&sc->text, '\n');
	while (p != end) {
		a.kind = p;
		a.ref = p + strlen(p) + 1;
		/* each statement has parameters of its own */
		script_file(sc, "lineage", NULL, k * 1000 + i++, &a);
		p = a.ref + strlen(a.ref) + 1;
	}
}

/* Stage tables that what was entered has taken the place of. */
static void
drop_old(struct load *l, const struct gens *g, struct slot *const *s, size_t n)
{
	for (size_t i = 0; i < g->r.n; i++) {
		const struct slot *old = g->r.slot[i];
		bool used = strcmp(old->batch, s[0]->batch) != 0 ||
			    old->stage == NULL ||
			    !(slot_is(old, "staged") ||
				(slot_is(old, "quarantined") &&
				    old->generation >= s[0]->generation));

		for (size_t k = 0; !used && k < n; k++)
			used = strcmp(old->stage, s[k]->stage) == 0;
		if (!used)
			target_drop(l->b, STAGE_DATASET(l), old->stage);
	}
}

static int
enter(struct load *l, const struct gens *g, struct slot **s, size_t n)
{
	struct args a = {.slot = s[0], .p = &l->run.policy};
	struct script sc;
	struct bq_job j;
	char id[BQ_ID];
	int rc;

	script_init(&sc);
	buf_str(&sc.text, "BEGIN TRANSACTION;\n");
	script_file(&sc, "enter", "BEGIN TRANSACTION;\n", 1, &a);
	for (size_t i = 0; i < n; i++)
		enter_slot(&sc, l, s[i], (unsigned)i + 1);
	buf_str(&sc.text, "COMMIT TRANSACTION;\n");
	script_id(l->b, &sc, "bqload_enter", g->digest, id);
	rc = script_run(l->b, &sc, id, true, &j);
	script_release(&sc);
	if (rc != RC_OK)
		return slot_fail(s[0], l->b, rc, "not staged");
	for (size_t i = 0; i < n; i++)
		s[i]->state = "staged";
	drop_old(l, g, s, n);
	return RC_OK;
}

/* ---- a batch ---- */

int
stage_settle(struct load *l, const struct gens *g, struct slot **s, size_t n)
{
	int status = RC_OK, rc;

	rc = enter(l, g, s, n);
	if (rc != RC_OK)
		return loader_refuse(&l->run, rc, "not written");
	if (l->run.stage)
		return RC_OK;
	rc = publish_slots(l, g, s, n, &status);
	if (rc == RC_FINDINGS) {
		l->run.status = rc_graver(l->run.status, status);
		rc = RC_OK;
	}
	return rc;
}

int
stage_check(struct load *l, const struct gens *g, struct slot *s)
{
	if (s->outcome == OUTCOME_COMPLETE && s->rows == 0)
		s->outcome = OUTCOME_EMPTY;
	return policy_empty(s, gens_visible(g, s), &l->run.policy);
}

static int
stage_slots(struct load *l, const struct gens *g, struct slot **s, size_t n)
{
	int rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = fill_stage(l, s[i], &l->pack[i], g->digest);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = check_rows(l, s[i]);
	return rc == RC_FINDINGS ? RC_CONTRACT : rc;
}

int
stage_batch(struct load *l, struct slot **s, size_t n)
{
	const char *dates[PARTS_MAX] = {NULL};
	struct gens g = {0};
	int64_t same = 0;
	int rc = RC_OK;

	if (n > PARTS_MAX) {
		warn_msg(s[0]->batch, "more than %d partitions in one batch",
		    PARTS_MAX);
		return loader_refuse(
		    &l->run, RC_CONTRACT, "too many partitions");
	}
	for (size_t i = 0; i < n; i++)
		dates[i] = s[i]->date;
	rc = gens_look(&g, l->b, s[0]->batch, dates, n);
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		s[i]->generation =
		    stage_number(&g, s[0], l->run.policy.fingerprint);
		rc = stage_check(l, &g, s[i]);
	}
	if (rc == RC_OK && !l->run.policy.force)
		same = equal_generation(l, &g, s, n);
	if (rc == RC_OK && same == 0)
		rc = stage_slots(l, &g, s, n);
	if (rc != RC_OK)
		rc = loader_refuse(&l->run, rc, "not written");
	else if (same != 0)
		rc = stage_unchanged(l, &g, s, n, same);
	else
		rc = stage_settle(l, &g, s, n);
	gens_release(&g);
	return rc;
}
