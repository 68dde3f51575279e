/* What a job says of itself, and what its statements did. */
#include <stdio.h>
#include <string.h>

#include "bq_impl.h"
#include "exits.h"

enum { PAGES_MAX = 100 }; /* of the list of a script's statements */

/* ---- what a job says of itself ---- */

/* docs/errors.md: by the reason first. */
static const struct {
	const char *reason;
	int rc;
	bool passing;
} reasons[] = {
    {"rateLimitExceeded", RC_TRANSIENT, true},
    {"jobRateLimitExceeded", RC_TRANSIENT, true},
    {"userRateLimitExceeded", RC_TRANSIENT, true},
    {"backendError", RC_TRANSIENT, true},
    {"jobBackendError", RC_TRANSIENT, true},
    {"internalError", RC_TRANSIENT, true},
    {"jobInternalError", RC_TRANSIENT, true},
    {"badGateway", RC_TRANSIENT, true},
    {"tableUnavailable", RC_TRANSIENT, true},
    {"timeout", RC_TRANSIENT, true},
    {"quotaExceeded", RC_TRANSIENT, false},
    {"stopped", RC_TRANSIENT, false},
    {"accessDenied", RC_AUTH, false},
    {"authError", RC_AUTH, false},
    {"billingNotEnabled", RC_AUTH, false},
    {"blocked", RC_AUTH, false},
    {"policyViolation", RC_AUTH, false},
};

bool
bq_passing(const char *reason, const char *why, int *rc)
{
	static const char *const words[] = {"is not writable in the region",
	    "Could not serialize access", "concurrent update", NULL};

	*rc = RC_TRANSIENT;
	for (size_t i = 0; words[i] != NULL; i++) {
		if (strstr(why, words[i]) != NULL)
			return true;
	}
	for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
		if (strcmp(reason, reasons[i].reason) == 0) {
			*rc = reasons[i].rc;
			return reasons[i].passing;
		}
	}
	*rc = RC_CONTRACT;
	if (strstr(why, "Not found: Dataset") != NULL ||
	    strstr(why, "Not found: Project") != NULL)
		*rc = RC_CONFIG;
	return false;
}

void
bq_take_counts(struct bq_job *j, const struct json_span *stats)
{
	struct json_span none = {0}, query, load, dml, v;

	query = stats->type == JSON_OBJECT ? json_member(stats, "query") : none;
	load = stats->type == JSON_OBJECT ? json_member(stats, "load") : none;
	dml =
	    query.type == JSON_OBJECT ? json_member(&query, "dmlStats") : none;
	j->bytes_processed = bq_u64(stats, "totalBytesProcessed");
	if (j->bytes_processed == 0)
		j->bytes_processed = bq_u64(&query, "totalBytesProcessed");
	j->bytes_billed = bq_u64(&query, "totalBytesBilled");
	j->slot_ms = bq_u64(stats, "totalSlotMs");
	j->children = bq_u64(stats, "numChildJobs");
	j->dml_rows = bq_u64(&query, "numDmlAffectedRows");
	j->inserted = bq_u64(&dml, "insertedRowCount");
	j->updated = bq_u64(&dml, "updatedRowCount");
	j->deleted = bq_u64(&dml, "deletedRowCount");
	j->rows = bq_u64(&load, "outputRows");
	j->bad_rows = bq_u64(&load, "badRecords");
	bq_text(&query, "statementType", j->statement, sizeof j->statement);
	if (query.type == JSON_OBJECT) {
		v = json_member(&query, "cacheHit");
		j->cache_hit = v.type == JSON_TRUE;
	}
}

static void
take_error(struct bq_job *j, const struct json_span *error)
{
	char place[200];
	size_t n;

	bq_text(error, "reason", j->reason, sizeof j->reason);
	bq_text(error, "message", j->why, sizeof j->why);
	bq_text(error, "location", place, sizeof place);
	n = strlen(j->why);
	if (*place != '\0' && strstr(j->why, place) == NULL &&
	    n + 20 < sizeof j->why)
		snprintf(j->why + n, sizeof j->why - n, " (at %s)", place);
	if (*j->why == '\0')
		snprintf(j->why, sizeof j->why, "%s",
		    *j->reason == '\0' ? "no reason was given" : j->reason);
}

/* A job resource. DONE is no success yet: errorResult decides, and errors[]
 * does not. False: it is no job. */
bool
bq_take_job(struct bq *b, struct bq_job *j, const struct json_span *root)
{
	struct json_span status, ref, error, stats;
	char state[16];

	if (root->type != JSON_OBJECT)
		return false;
	status = json_member(root, "status");
	ref = json_member(root, "jobReference");
	stats = json_member(root, "statistics");
	bq_text(&status, "state", state, sizeof state);
	bq_text(&ref, "location", j->location, sizeof j->location);
	if (*j->location == '\0')
		snprintf(j->location, sizeof j->location, "%s", b->location);
	else if (*b->location == '\0')
		snprintf(b->location, sizeof b->location, "%s", j->location);
	bq_take_counts(j, &stats);
	j->rc = RC_OK;
	*j->reason = *j->why = '\0';
	if (strcmp(state, "DONE") != 0) {
		j->state = BQ_RUNNING;
		return strcmp(state, "PENDING") == 0 ||
		       strcmp(state, "RUNNING") == 0;
	}
	error = json_member(&status, "errorResult");
	j->state = error.type == JSON_OBJECT ? BQ_FAILED : BQ_DONE;
	if (j->state == BQ_FAILED) {
		take_error(j, &error);
		bq_passing(j->reason, j->why, &j->rc);
	}
	return true;
}

/* ---- statements of a script ---- */

static void
add_children(struct bq_job *j, const struct json_span *list)
{
	struct json_iter it;
	struct json_span one, stats;

	if (list->type != JSON_ARRAY)
		return;
	json_iter_init(&it, list);
	while (json_next_element(&it, &one)) {
		struct bq_job child = {0};

		if (one.type != JSON_OBJECT)
			continue;
		stats = json_member(&one, "statistics");
		bq_take_counts(&child, &stats);
		j->dml_rows += child.dml_rows;
		j->inserted += child.inserted;
		j->updated += child.updated;
		j->deleted += child.deleted;
	}
}

/* The counts of a script are those of its statements. They are told, not
 * relied on: where they cannot be had they stay 0. */
void
bq_count_children(struct bq *b, struct bq_job *j)
{
	char token[1024] = "";

	for (int page = 0; page < PAGES_MAX; page++) {
		struct buf path = BUF_INIT(8192);
		struct json_span list;
		struct bq_reply r;

		buf_str(&path, "/jobs");
		url_param(&path, "parentJobId", j->id);
		url_param(&path, "projection", "full");
		url_param(&path, "maxResults", "1000");
		if (*token != '\0')
			url_param(&path, "pageToken", token);
		*token = '\0';
		if (bq_call(b, "GET", buf_cstr(&path), NULL, &r) == RC_OK &&
		    r.root.type == JSON_OBJECT) {
			list = json_member(&r.root, "jobs");
			add_children(j, &list);
			bq_text(&r.root, "nextPageToken", token, sizeof token);
		}
		bq_reply_release(&r);
		buf_release(&path);
		if (*token == '\0')
			return;
	}
}

void
bq_job_write(struct jsonw *w, const struct bq_job *j)
{
	static const char *const states[] = {[BQ_NONE] = "none",
	    [BQ_DONE] = "done",
	    [BQ_FAILED] = "failed",
	    [BQ_RUNNING] = "running",
	    [BQ_UNKNOWN] = "unknown"};

	jsonw_str(w, "job", j->id);
	jsonw_str(w, "location", j->location);
	jsonw_str(w, "state", states[j->state]);
	if (*j->statement != '\0')
		jsonw_str(w, "statement", j->statement);
	jsonw_bool(w, "found", j->found);
	jsonw_u64(w, "inserted", j->inserted);
	jsonw_u64(w, "updated", j->updated);
	jsonw_u64(w, "deleted", j->deleted);
	jsonw_u64(w, "rows", j->rows > 0 ? j->rows : j->dml_rows);
	jsonw_u64(w, "bytes_processed", j->bytes_processed);
	jsonw_u64(w, "bytes_billed", j->bytes_billed);
}
