/* The verbs on what stands there, and its check. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "load.h"
#include "mem.h"
#include "target.h"

/* One that is not visible any more only changes its state. */
static int
change_state(struct load *l, const struct gens *g, struct slot **s, size_t n,
    const char *state)
{
	struct script sc;
	struct bq_job j;
	char id[BQ_ID];
	int rc;

	script_init(&sc);
	for (size_t i = 0; i < n; i++) {
		struct args a = {.slot = s[i],
		    .p = &l->run.policy,
		    .state = state,
		    .was = s[i]->state};

		script_file(&sc, "settle", NULL, (unsigned)i + 1, &a);
		buf_str(&sc.text, ";\n");
	}
	script_id(l->b, &sc, "bqload_settle", g->digest, id);
	rc = script_run(l->b, &sc, id, true, &j);
	script_release(&sc);
	if (rc != RC_OK)
		return slot_fail(s[0], l->b, rc, "not changed");
	for (size_t i = 0; i < n; i++)
		s[i]->state = state;
	return RC_OK;
}

static int
rollback_visible(struct load *l, const struct gens *g, struct slot **s,
    size_t n, int *status)
{
	struct slot **old = xcalloc(n, sizeof(struct slot *));
	int rc;

	for (size_t i = 0; i < n; i++)
		old[i] = gens_before(g, s[i]);
	rc = publish_transaction(l, g, "rollback", "rollback", s, old, n);
	if (rc != RC_OK)
		rc = publish_explain(l, s, n, rc, status);
	else
		publish_count(l, s, n, "rollback");
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		s[i]->state = "rolled_back";
	free(old);
	return rc;
}

/* The visible ones first: they are what matters. */
static int
rollback(struct load *l, const struct gens *g, struct slot **s, size_t n,
    int *status)
{
	size_t shown = 0;
	int rc = RC_OK;

	for (size_t i = 0; i < n; i++)
		if (slot_is(s[i], "published")) {
			struct slot *x = s[shown];

			s[shown++] = s[i];
			s[i] = x;
		}
	if (shown > 0)
		rc = rollback_visible(l, g, s, shown, status);
	if (rc == RC_OK && shown < n)
		rc = change_state(l, g, s + shown, n - shown, "rolled_back");
	return rc;
}

static int
drop(struct load *l, const struct gens *g, struct slot **s, size_t n, bool keep)
{
	int rc = RC_OK;

	/* what is quarantined is to be looked at, but not kept for ever */
	for (size_t i = 0; keep && rc == RC_OK && i < n; i++)
		if (s[i]->stage != NULL)
			rc = target_expire(
			    l->b, bq_ops(l->b), s[i]->stage, QUARANTINE_DAYS);
	if (rc != RC_OK)
		return slot_fail(s[0], l->b, rc, "not kept");
	rc = change_state(l, g, s, n, keep ? "quarantined" : "aborted");
	for (size_t i = 0; !keep && rc == RC_OK && i < n; i++)
		if (s[i]->stage != NULL)
			target_drop(l->b, bq_ops(l->b), s[i]->stage);
	return rc;
}

/* ---- the verbs ---- */

/* Moves the generation's slots out of g into the receipt. */
static void
take_slots(struct load *l, struct gens *g, const char *batch, int64_t wanted)
{
	for (size_t i = 0; i < g->r.n; i++) {
		struct slot *s = g->r.slot[i], *mine;

		if (strcmp(s->batch, batch) != 0 || s->generation != wanted)
			continue;
		mine = receipt_slot(&l->run.receipt, s->table, s->source,
		    s->feed, s->date, s->batch);
		mine->generation = s->generation;
		mine->state = s->state;
		mine->outcome = s->outcome;
		mine->rows = s->rows;
		mine->records = s->records;
		mine->rejected = s->rejected;
		mine->base_generation = s->base_generation;
		slot_set(&mine->base_batch, s->base_batch);
		slot_set(&mine->day_tz, s->day_tz);
		slot_set(&mine->run_id, s->run_id);
		if (s->fetched_at != NULL)
			slot_set(&mine->fetched_at, s->fetched_at);
		if (s->stage != NULL)
			slot_set(&mine->stage, s->stage);
	}
}

static int
work(struct load *l, enum verb verb, const struct gens *g, struct slot **s,
    size_t n)
{
	int status = RC_OK, rc;

	switch (verb) {
	case VERB_PUBLISH:
		rc = publish_slots(l, g, s, n, &status);
		break;
	case VERB_ROLLBACK:
		rc = rollback(l, g, s, n, &status);
		break;
	default:
		rc = drop(l, g, s, n, verb == VERB_QUARANTINE);
		break;
	}
	if (rc == RC_OK)
		return RC_OK;
	verb_undone(&l->run.receipt);
	return rc == RC_FINDINGS ? status : rc;
}

int
run_verb(struct loader *run)
{
	struct load *l = run->ctx;
	const char *batch = run->verb_batch;
	enum verb verb = run->verb;
	int64_t generation = run->generation;
	bool named = generation != 0;
	const char **dates;
	struct gens g;
	size_t n = 0;
	int rc = gens_look(&g, l->b, batch, NULL, 0);

	l->run.receipt.verb = verb_word(verb);
	if (rc == RC_OK)
		take_slots(
		    l, &g, batch, named ? generation : verb_means(&g.r, verb));
	gens_release(&g);
	if (rc != RC_OK)
		return rc;
	n = verb_sift(&l->run.receipt, verb, named);
	if (n == 0)
		return verb_nothing(&l->run.receipt, verb, batch);
	dates = xcalloc(n, sizeof *dates);
	for (size_t i = 0; i < n; i++)
		dates[i] = l->run.receipt.slot[i]->date;
	rc = gens_look(&g, l->b, batch, dates, n);
	if (rc == RC_OK)
		rc = work(l, verb, &g, l->run.receipt.slot, n);
	gens_release(&g);
	free(dates);
	return rc;
}

/* ---- --verify ---- */

static int
on_generation(void *ctx, const char *text, size_t len)
{
	struct load *l = ctx;
	struct json_span row = {
	    .p = text, .len = (uint32_t)len, .type = JSON_OBJECT};
	static const char *const names[] = {
	    "table_name", "source_system", "feed", "date", "batch_id", "state"};
	char *v[6];
	int64_t n[4] = {0};
	static const char *const counts[] = {
	    "generation", "row_count", "found", "visible"};
	struct slot *s;
	bool shown, kept;

	for (int i = 0; i < 6; i++)
		v[i] = row_text(&row, names[i]);
	for (int i = 0; i < 4; i++) {
		struct json_span c = json_member(&row, counts[i]);

		json_i64(&c, &n[i]);
	}
	s = receipt_slot(&l->run.receipt, v[0], v[1], v[2], v[3], v[4]);
	s->generation = n[0];
	s->rows = (uint64_t)n[1];
	shown = strcmp(v[5], "published") == 0;
	kept = shown || strcmp(v[5], "replaced") == 0 ||
	       strcmp(v[5], "rolled_back") == 0;
	s->state = shown ? "published" : kept ? "replaced" : "staged";
	if (n[2] != (kept ? n[1] : 0) || n[3] != (shown ? n[1] : 0)) {
		l->run.status = slot_say(s, RC_CONTRACT,
		    "generation %" PRId64 " (%s) is damaged: of %" PRId64
		    " rows %" PRId64 " are there and %" PRId64 " are visible",
		    n[0], v[5], n[1], n[2], n[3]);
		s->state = "refused";
	}
	for (int i = 0; i < 6; i++)
		free(v[i]);
	return RC_OK;
}

int
run_verify(struct loader *run)
{
	struct load *l = run->ctx;
	struct args a = {.p = &l->run.policy};
	char id[BQ_ID];
	int rc;

	l->run.receipt.verb = "verify";
	bq_random_id(id, "bqload_verify");
	rc = script_rows(l->b, "verify", id, &a, on_generation, l);
	if (rc != RC_OK)
		warn_msg("--verify", "%s", bq_why(l->b));
	return rc_graver(rc, l->run.status);
}
