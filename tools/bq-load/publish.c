/* Publishing, and the verbs on what stands there. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "load.h"
#include "mem.h"
#include "target.h"

/* ---- what keeps a generation from being published ---- */

static bool
without_rows(const struct slot *s)
{
	return s->outcome == OUTCOME_EMPTY || s->rows == 0;
}

int
check_empty(struct slot *s, const struct slot *seen, const struct policy *p)
{
	if (seen == NULL || p->allow_empty || !without_rows(s) ||
	    without_rows(seen))
		return RC_OK;
	return slot_say(s, RC_CONTRACT,
	    "it is empty, the visible generation %" PRId64 " of %s has %" PRIu64
	    " rows (see --allow-empty)",
	    seen->generation, seen->batch, seen->rows);
}

static int
check_rejects(struct slot *s, const struct policy *p)
{
	uint64_t all = s->records + s->rejected;

	if (p->max_percent >= 0
		? (double)s->rejected * 100 <= p->max_percent * (double)all
		: s->rejected <= p->max_rejects)
		return RC_OK;
	return slot_say(s, RC_CONTRACT,
	    "not published: %" PRIu64 " records were rejected on the way "
	    "(see --max-rejects)",
	    s->rejected);
}

static int
check_partial(struct slot *s, const struct slot *seen, const struct policy *p)
{
	if (s->outcome != OUTCOME_PARTIAL)
		return RC_OK;
	if (seen != NULL && seen->outcome != OUTCOME_PARTIAL)
		return slot_say(s, RC_CONTRACT,
		    "not published: it is partial, the visible one is not");
	if (!p->allow_partial)
		return slot_say(s, RC_CONTRACT,
		    "not published: it is partial (see --allow-partial)");
	return RC_OK;
}

static int
check_order(struct slot *s, const struct slot *seen, const struct policy *p)
{
	int64_t mine, its;

	if (seen == NULL || p->force || s->fetched_at == NULL ||
	    seen->fetched_at == NULL ||
	    !time_parse(s->fetched_at, strlen(s->fetched_at), &mine) ||
	    !time_parse(seen->fetched_at, strlen(seen->fetched_at), &its) ||
	    mine >= its)
		return RC_OK;
	return slot_say(s, RC_CONTRACT,
	    "not published: fetched at %s, the visible one at %s (see --force)",
	    s->fetched_at, seen->fetched_at);
}

static int
check_publish(struct slot *s, const struct slot *seen, const struct policy *p)
{
	int rc = check_rejects(s, p);

	if (rc == RC_OK)
		rc = check_partial(s, seen, p);
	if (rc == RC_OK)
		rc = check_empty(s, seen, p);
	return rc == RC_OK ? check_order(s, seen, p) : rc;
}

/* ---- what the service finds in staged rows ---- */

static char *
text_member(const struct json_span *row, const char *name)
{
	struct json_span v = json_member(row, name);
	char *text;

	if (v.type != JSON_STRING)
		return xstrdup("");
	text = xcalloc(v.len, 1);
	json_decode(&v, text);
	return text;
}

static int
on_finding(void *ctx, const char *text, size_t len)
{
	struct slot *s = ctx;
	struct json_span row = {
	    .p = text, .len = (uint32_t)len, .type = JSON_OBJECT};
	char *what = text_member(&row, "what");
	char *feed = text_member(&row, "feed");
	char *batch = text_member(&row, "batch_id");
	char *app = text_member(&row, "app_id");
	char *metric = text_member(&row, "metric");
	char a[DIAG_QUOTE], b[DIAG_QUOTE];

	if (strcmp(what, "feed") == 0)
		slot_say(s, RC_CONTRACT,
		    "feed %s has a key that feed %s has too (batch %s)",
		    diag_quote(a, s->feed, strlen(s->feed)),
		    diag_quote(b, feed, strlen(feed)), batch);
	else
		slot_say(s, RC_CONTRACT, "%s: app %s, metric %s",
		    strcmp(what, "twice") == 0
			? "a key comes twice"
			: "a row of another date or source",
		    diag_quote(a, app, strlen(app)),
		    diag_quote(b, metric, strlen(metric)));
	free(what);
	free(feed);
	free(batch);
	free(app);
	free(metric);
	return RC_FINDINGS;
}

int
check_rows(struct load *l, struct slot *s)
{
	struct args a = {.slot = s, .p = &l->policy};
	char id[BQ_ID];
	int rc;

	if (s->rows == 0)
		return RC_OK;
	bq_random_id(id, "bqload_check");
	rc = script_rows(l->b, "check", id, &a, on_finding, s);
	if (rc == RC_OK || rc == RC_FINDINGS)
		return rc;
	return slot_fail(s, l->b, rc, "not checked");
}

static int
on_frozen(void *ctx, const char *text, size_t len)
{
	struct json_span row = {
	    .p = text, .len = (uint32_t)len, .type = JSON_OBJECT};
	char *why = text_member(&row, "reason");
	char a[DIAG_QUOTE];

	slot_say(ctx, RC_TRANSIENT, "not published: frozen, %s",
	    diag_quote(a, why, strlen(why)));
	free(why);
	return RC_FINDINGS;
}

/* ---- a transaction that did not hold ---- */

/*
 * An ASSERT of publish.sql or rollback.sql says why. Which partition of a batch
 * it was is found by looking again. RC_FINDINGS: said, *status is the status.
 */
static int
explain(struct load *l, struct slot **s, size_t n, int rc, int *status)
{
	const char *why = strstr(bq_why(l->b), "weir: ");
	char id[BQ_ID];

	*status = RC_CONTRACT;
	if (why == NULL) {
		slot_fail(s[0], l->b, rc, "not published");
		return rc;
	}
	for (size_t i = 0; i < n && strncmp(why, "weir: frozen", 12) == 0;
	     i++) {
		struct args a = {.slot = s[i], .p = &l->policy};

		bq_random_id(id, "bqload_frozen");
		rc = script_rows(l->b, "frozen", id, &a, on_frozen, s[i]);
		*status = RC_TRANSIENT;
		if (rc != RC_OK)
			return rc;
	}
	for (size_t i = 0; i < n && strncmp(why, "weir: key", 9) == 0; i++) {
		rc = check_rows(l, s[i]);
		if (rc != RC_OK)
			return rc;
	}
	if (strncmp(why, "weir: another", 13) == 0 ||
	    strncmp(why, "weir: not", 9) == 0 ||
	    strncmp(why, "weir: frozen", 12) == 0)
		*status = RC_TRANSIENT;
	why += 6;
	slot_say(s[0], *status, "not published: %.*s",
	    (int)strcspn(why, "'\";\n"), why);
	return RC_FINDINGS;
}

/* ---- counting what was restated ---- */

struct counting {
	struct slot **s;
	size_t n;
};

static int
on_count(void *ctx, const char *text, size_t len)
{
	struct counting *c = ctx;
	struct json_span row = {
	    .p = text, .len = (uint32_t)len, .type = JSON_OBJECT};
	struct json_span v = json_member(&row, "restated");
	char *source = text_member(&row, "source_system");
	char *feed = text_member(&row, "feed");
	char *date = text_member(&row, "date");
	int64_t count = 0;

	json_i64(&v, &count);
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->s[i]->source, source) == 0 &&
		    strcmp(c->s[i]->feed, feed) == 0 &&
		    strcmp(c->s[i]->date, date) == 0)
			c->s[i]->restated = (uint64_t)count;
	free(source);
	free(feed);
	free(date);
	return RC_OK;
}

static int
count_restated(struct load *l, struct slot **s, size_t n, const char *cause)
{
	const char **dates = xcalloc(n, sizeof *dates);
	struct args a = {.slot = s[0],
	    .p = &l->policy,
	    .cause = cause,
	    .dates = dates,
	    .ndates = n};
	struct counting c = {s, n};
	char id[BQ_ID];
	int rc;

	for (size_t i = 0; i < n; i++)
		dates[i] = s[i]->date;
	bq_random_id(id, "bqload_count");
	rc = script_rows(l->b, "count", id, &a, on_count, &c);
	if (rc != RC_OK) /* it is done all the same */
		warn_msg(s[0]->batch,
		    "warning: what was restated is not counted: %s",
		    bq_why(l->b));
	free(dates);
	return RC_OK;
}

/* ---- publishing and rolling back ---- */

/* file's block for each slot, as one transaction. */
static int
transaction(struct load *l, const struct gens *g, const char *file,
    const char *cause, struct slot **s, struct slot **old, size_t n)
{
	struct script sc;
	struct bq_job j;
	char id[BQ_ID], prefix[64];
	int rc;

	script_init(&sc);
	buf_str(&sc.text, "BEGIN TRANSACTION;\n");
	for (size_t i = 0; i < n; i++) {
		struct args a = {.slot = s[i],
		    .old = old[i],
		    .p = &l->policy,
		    .cause = cause};

		script_file(
		    &sc, file, "BEGIN TRANSACTION;\n", (unsigned)i + 1, &a);
		buf_char(&sc.text, '\n');
	}
	buf_str(&sc.text, "COMMIT TRANSACTION;\n");
	snprintf(prefix, sizeof prefix, "bqload_%s", file);
	script_id(l->b, &sc, prefix, g->digest, id);
	rc = script_estimate(l->b, &sc, s[0]->batch, l->quiet);
	if (rc == RC_OK) {
		rc = script_run(l->b, &sc, id, true, &j);
	}
	script_release(&sc);
	return rc;
}

/* Was it published by another, or by a run of ours that was killed? */
static bool
done_already(struct load *l, struct slot **s, size_t n)
{
	const char **dates = xcalloc(n, sizeof *dates);
	struct gens g;
	bool all = true;

	for (size_t i = 0; i < n; i++)
		dates[i] = s[i]->date;
	all = gens_look(&g, l->b, s[0]->batch, dates, n) == RC_OK;
	for (size_t i = 0; all && i < n; i++) {
		const struct slot *now = gens_visible(&g, s[i]);

		all = now != NULL && now->generation == s[i]->generation &&
		      strcmp(now->batch, s[i]->batch) == 0 &&
		      now->stage != NULL && s[i]->stage != NULL &&
		      strcmp(now->stage, s[i]->stage) == 0;
	}
	gens_release(&g);
	free(dates);
	return all;
}

/* All are looked at before one is changed. */
int
publish_slots(struct load *l, const struct gens *g, struct slot **s, size_t n,
    int *status)
{
	struct slot **seen = xcalloc(n, sizeof(struct slot *));
	bool any = false;
	int rc = RC_OK;

	*status = RC_OK;
	for (size_t i = 0; i < n; i++) {
		seen[i] = gens_visible(g, s[i]);
		any = any || seen[i] != NULL;
		*status = rc_graver(
		    *status, check_publish(s[i], seen[i], &l->policy));
	}
	if (*status != RC_OK) {
		free(seen);
		return RC_FINDINGS;
	}
	rc = transaction(l, g, "publish", NULL, s, seen, n);
	if (rc != RC_OK && strstr(bq_why(l->b), "weir: ") != NULL) {
		char *why = xstrdup(bq_why(l->b));

		if (done_already(l, s, n))
			rc = RC_OK;
		bq_fail(l->b, rc, "%s", why);
		free(why);
	}
	if (rc != RC_OK)
		rc = explain(l, s, n, rc, status);
	else if (any)
		count_restated(l, s, n, "publish");
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		s[i]->state = "published";
		target_drop(l->b, bq_ops(l->b), s[i]->stage);
	}
	free(seen);
	return rc;
}

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
		    .p = &l->policy,
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
	rc = transaction(l, g, "rollback", "rollback", s, old, n);
	if (rc != RC_OK)
		rc = explain(l, s, n, rc, status);
	else
		count_restated(l, s, n, "rollback");
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

static const struct {
	const char *word, *from, *or_from, *done, *or_done;
} verbs[] = {
    [VERB_LOAD] = {"load", "", "", "", ""},
    [VERB_PUBLISH] = {"publish", "staged", "", "published", "replaced"},
    [VERB_ABORT] = {"abort", "staged", "", "aborted", ""},
    [VERB_ROLLBACK] = {"rollback", "published", "replaced", "rolled_back", ""},
    [VERB_QUARANTINE] = {"quarantine", "staged", "", "quarantined", ""},
};

/* The generation that a verb means where none was named; 0: no such batch. */
static int64_t
meant(const struct gens *g, enum verb verb)
{
	int64_t first = 0, second = 0;

	for (size_t i = 0; i < g->r.n; i++) {
		const struct slot *s = g->r.slot[i];
		bool other =
		    verb == VERB_ROLLBACK
			? slot_is(s, "replaced") || slot_is(s, "rolled_back")
			: !slot_is(s, "aborted");

		if (slot_is(s, verbs[verb].from) && s->generation > first)
			first = s->generation;
		if (other && s->generation > second)
			second = s->generation;
	}
	return first != 0 ? first : second;
}

/* Nothing is to be done: because it was done already, or it is wrong. */
static int
nothing(struct receipt *r, enum verb verb, const char *batch)
{
	bool done = true;

	for (size_t i = 0; i < r->n; i++) {
		struct slot *s = r->slot[i];

		done = done && (slot_is(s, verbs[verb].done) ||
				   slot_is(s, verbs[verb].or_done));
		s->unchanged = true;
	}
	if (verb == VERB_ABORT || (r->n > 0 && done))
		return RC_OK;
	if (r->n == 0)
		warn_msg(batch, "there is no such batch or generation");
	else
		warn_msg(batch, "nothing to %s: generation %" PRId64 " is %s",
		    verbs[verb].word, r->slot[0]->generation,
		    r->slot[0]->state);
	for (size_t i = 0; i < r->n; i++)
		slot_set(&r->slot[i]->reason, "wrong state");
	return RC_CONTRACT;
}

/* Puts the slots that the verb works on in front; how many. */
static size_t
sift(struct receipt *r, enum verb verb, bool named)
{
	bool any = false;
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		any = any || slot_is(r->slot[i], verbs[verb].from) ||
		      (named && slot_is(r->slot[i], verbs[verb].or_from));
	for (size_t i = 0; any && i < r->n; i++) {
		struct slot *s = r->slot[i];
		bool work = slot_is(s, verbs[verb].from) ||
			    slot_is(s, verbs[verb].or_from);

		r->slot[i] = r->slot[n];
		r->slot[n] = s;
		n += work;
	}
	for (size_t i = n; any && i < r->n; i++)
		r->slot[i]->unchanged = true;
	return n;
}

/* Moves the generation's slots out of g into the receipt. */
static void
take_slots(struct load *l, struct gens *g, const char *batch, int64_t wanted)
{
	for (size_t i = 0; i < g->r.n; i++) {
		struct slot *s = g->r.slot[i], *mine;

		if (strcmp(s->batch, batch) != 0 || s->generation != wanted)
			continue;
		mine = receipt_slot(&l->receipt, s->table, s->source, s->feed,
		    s->date, s->batch);
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
	for (size_t i = 0; i < l->receipt.n; i++) { /* nothing was changed */
		l->receipt.slot[i]->state = "refused";
		l->receipt.slot[i]->rows = 0;
		l->receipt.slot[i]->restated = 0;
	}
	return rc == RC_FINDINGS ? status : rc;
}

int
run_verb(struct load *l, enum verb verb, const char *batch, int64_t generation)
{
	bool named = generation != 0;
	const char **dates;
	struct gens g;
	size_t n = 0;
	int rc = gens_look(&g, l->b, batch, NULL, 0);

	l->receipt.verb = verbs[verb].word;
	if (rc == RC_OK)
		take_slots(l, &g, batch, named ? generation : meant(&g, verb));
	gens_release(&g);
	if (rc != RC_OK)
		return rc;
	n = sift(&l->receipt, verb, named);
	if (n == 0)
		return nothing(&l->receipt, verb, batch);
	dates = xcalloc(n, sizeof *dates);
	for (size_t i = 0; i < n; i++)
		dates[i] = l->receipt.slot[i]->date;
	rc = gens_look(&g, l->b, batch, dates, n);
	if (rc == RC_OK)
		rc = work(l, verb, &g, l->receipt.slot, n);
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
		v[i] = text_member(&row, names[i]);
	for (int i = 0; i < 4; i++) {
		struct json_span c = json_member(&row, counts[i]);

		json_i64(&c, &n[i]);
	}
	s = receipt_slot(&l->receipt, v[0], v[1], v[2], v[3], v[4]);
	s->generation = n[0];
	s->rows = (uint64_t)n[1];
	shown = strcmp(v[5], "published") == 0;
	kept = shown || strcmp(v[5], "replaced") == 0 ||
	       strcmp(v[5], "rolled_back") == 0;
	s->state = shown ? "published" : kept ? "replaced" : "staged";
	if (n[2] != (kept ? n[1] : 0) || n[3] != (shown ? n[1] : 0)) {
		l->status = slot_say(s, RC_CONTRACT,
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
run_verify(struct load *l)
{
	struct args a = {.p = &l->policy};
	char id[BQ_ID];
	int rc;

	l->receipt.verb = "verify";
	bq_random_id(id, "bqload_verify");
	rc = script_rows(l->b, "verify", id, &a, on_generation, l);
	if (rc != RC_OK)
		warn_msg("--verify", "%s", bq_why(l->b));
	return rc_graver(rc, l->status);
}
