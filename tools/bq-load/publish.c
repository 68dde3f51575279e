/* Publishing: the transaction, what kept it, what it changed. */
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

/* ---- what the service finds in staged rows ---- */

static int
on_finding(void *ctx, const char *text, size_t len)
{
	struct slot *s = ctx;
	struct json_span row = {
	    .p = text, .len = (uint32_t)len, .type = JSON_OBJECT};
	char *what = row_text(&row, "what");
	char *feed = row_text(&row, "feed");
	char *batch = row_text(&row, "batch_id");
	char *app = row_text(&row, "app_id");
	char *metric = row_text(&row, "metric");
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
	struct args a = {.slot = s, .p = &l->run.policy};
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
	char *why = row_text(&row, "reason");
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
int
publish_explain(struct load *l, struct slot **s, size_t n, int rc, int *status)
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
		struct args a = {.slot = s[i], .p = &l->run.policy};

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
	char *source = row_text(&row, "source_system");
	char *feed = row_text(&row, "feed");
	char *date = row_text(&row, "date");
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

int
publish_count(struct load *l, struct slot **s, size_t n, const char *cause)
{
	const char **dates = xcalloc(n, sizeof *dates);
	struct args a = {.slot = s[0],
	    .p = &l->run.policy,
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
int
publish_transaction(struct load *l, const struct gens *g, const char *file,
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
		    .p = &l->run.policy,
		    .cause = cause};

		script_file(
		    &sc, file, "BEGIN TRANSACTION;\n", (unsigned)i + 1, &a);
		buf_char(&sc.text, '\n');
	}
	buf_str(&sc.text, "COMMIT TRANSACTION;\n");
	snprintf(prefix, sizeof prefix, "bqload_%s", file);
	script_id(l->b, &sc, prefix, g->digest, id);
	rc = script_estimate(l->b, &sc, s[0]->batch, l->run.f.quiet);
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
		    *status, policy_publish(s[i], seen[i], &l->run.policy));
	}
	if (*status != RC_OK) {
		free(seen);
		return RC_FINDINGS;
	}
	rc = publish_transaction(l, g, "publish", NULL, s, seen, n);
	if (rc != RC_OK && strstr(bq_why(l->b), "weir: ") != NULL) {
		char *why = xstrdup(bq_why(l->b));

		if (done_already(l, s, n))
			rc = RC_OK;
		bq_fail(l->b, rc, "%s", why);
		free(why);
	}
	if (rc != RC_OK)
		rc = publish_explain(l, s, n, rc, status);
	else if (any)
		publish_count(l, s, n, "publish");
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		s[i]->state = "published";
		target_drop(l->b, bq_ops(l->b), s[i]->stage);
	}
	free(seen);
	return rc;
}
