/*
 * Jobs with ids of our own: whatever is lost on the way, asking for the id
 * tells what became of the job, so that none is done twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bq_impl.h"
#include "exits.h"
#include "sha.h"
#include "sys.h"

enum {
	OWN_MAX = 3,     /* generations of one run */
	BURNT_MAX = 100, /* generations at all */
	ROUNDS = 3,      /* inserts after lost answers */
	POLL_MS = 1000,
	POLL_MAX_MS = 30000,
	GRACE_MS = 60000,   /* for a job that the service ends at its time */
	ABSENT_MS = 200000, /* a 404 right after a 409 passes */
	PAGES_MAX = 100,    /* of the list of a script's statements */
};

#define JOB_MAX (16u << 20)

/* ---- ids ---- */

void
bq_job_id(
    char id[BQ_ID], const char *prefix, const char *const *parts, size_t n)
{
	struct sha256 *s = sha256_new();
	unsigned char sum[SHA_LEN];
	char hex[SHA_HEX + 1], head[32];

	for (size_t i = 0; i < n; i++) {
		size_t len = parts[i] == NULL ? 0 : strlen(parts[i]);

		snprintf(
		    head, sizeof head, parts[i] == NULL ? "-;" : "%zu:", len);
		sha256_add(s, head, strlen(head));
		sha256_add(s, parts[i] == NULL ? "" : parts[i], len);
	}
	sha256_end(s, sum);
	sha_hex(sum, hex);
	snprintf(id, BQ_ID, "%.60s_%s", prefix, hex);
}

void
bq_random_id(char id[BQ_ID], const char *prefix)
{
	uint64_t r[2];

	sys_random(r, sizeof r);
	snprintf(id, BQ_ID, "%.60s_%016llx%016llx", prefix,
	    (unsigned long long)r[0], (unsigned long long)r[1]);
}

static void
name_generation(char id[BQ_ID], const char *base, unsigned generation)
{
	if (generation == 1)
		snprintf(id, BQ_ID, "%.140s", base);
	else
		snprintf(id, BQ_ID, "%.140s_g%u", base, generation);
}

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

static void
take_counts(struct bq_job *j, const struct json_span *stats)
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
static bool
take_job(struct bq *b, struct bq_job *j, const struct json_span *root)
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
	take_counts(j, &stats);
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

/* ---- asking for a job ---- */

static int
fail_job(struct bq *b, struct bq_job *j, enum bq_state state, int rc)
{
	j->state = state;
	j->rc = rc;
	snprintf(j->why, sizeof j->why, "%s", bq_why(b));
	return rc;
}

static int
get(struct bq *b, struct bq_job *j)
{
	struct buf path = BUF_INIT(4096);
	struct bq_reply r;
	int rc;

	buf_str(&path, "/jobs/");
	url_escape(&path, j->id, strlen(j->id));
	bq_add_location(b, &path);
	rc = bq_call(b, "GET", buf_cstr(&path), NULL, &r);
	if (r.verdict == HTTP_GONE)
		rc = RC_NOTREADY;
	else if (rc == RC_OK && !take_job(b, j, &r.root))
		rc = bq_fail(b, RC_CONTRACT, "the answer is no job");
	bq_reply_release(&r);
	buf_release(&path);
	return rc;
}

int
bq_job_get(struct bq *b, const char *id, struct bq_job *j)
{
	*j = (struct bq_job){.generation = 1};
	snprintf(j->id, sizeof j->id, "%s", id);
	return get(b, j);
}

/* The same where the job must be there: a 404 passes. */
static int
get_patient(struct bq *b, struct bq_job *j)
{
	int64_t spent = 0, pause = POLL_MS;
	int rc;

	while ((rc = get(b, j)) == RC_NOTREADY && spent < ABSENT_MS &&
	       sig_pending() == 0) {
		bq_pause(b, pause);
		spent += pause;
		pause =
		    pause * 3 / 2 < POLL_MAX_MS ? pause * 3 / 2 : POLL_MAX_MS;
	}
	if (rc == RC_NOTREADY)
		rc = bq_fail(b, RC_TRANSIENT,
		    "job %s is said to exist, and is not found in %s", j->id,
		    *b->location == '\0' ? "the default location"
					 : b->location);
	return rc;
}

static int
poll_job(struct bq *b, struct bq_job *j)
{
	int64_t spent = 0, pause = POLL_MS, began = sys_mono_ns();
	int64_t most = (int64_t)b->job_timeout_s * 1000 + GRACE_MS;

	while (j->state == BQ_RUNNING) {
		int rc;

		if (sig_pending() != 0) {
			bq_fail(b, 0, "interrupted; job %s goes on", j->id);
			return fail_job(b, j, BQ_RUNNING, 128 + sig_pending());
		}
		if (spent >= most ||
		    (sys_mono_ns() - began) / 1000000 >= most) {
			bq_fail(b, 0,
			    "job %s still runs after %llu s: it may yet be "
			    "done",
			    j->id, (unsigned long long)(most / 1000));
			return fail_job(b, j, BQ_RUNNING, RC_TRANSIENT);
		}
		bq_pause(b, pause);
		spent += pause;
		pause =
		    pause * 3 / 2 < POLL_MAX_MS ? pause * 3 / 2 : POLL_MAX_MS;
		rc = get_patient(b, j);
		if (sig_pending() != 0 && j->state == BQ_RUNNING)
			continue; /* said above */
		if (rc != RC_OK)
			return fail_job(b, j, BQ_UNKNOWN, rc);
	}
	return j->rc;
}

/* ---- inserting ---- */

static void
insert_by_post(struct bq *b, void *ctx, const char *id, const struct buf *job,
    struct bq_reply *r)
{
	(void)ctx;
	(void)id;
	bq_call(b, "POST", "/jobs", job, r);
}

static void
write_job(const struct bq *b, const struct bq_job_spec *spec, const char *id,
    struct buf *out)
{
	struct jsonw w, ref;

	jsonw_begin(&w, out, '{');
	jsonw_open(&w, "jobReference", &ref, '{');
	jsonw_str(&ref, "projectId", b->project);
	jsonw_str(&ref, "jobId", id);
	if (*b->location != '\0')
		jsonw_str(&ref, "location", b->location);
	jsonw_end(&ref);
	jsonw_raw(&w, "configuration", spec->configuration->p,
	    spec->configuration->len);
	jsonw_end(&w);
}

/* Was the request surely not carried out? */
static bool
refused(const struct bq_reply *r)
{
	return r->status >= 400 && r->status < 500 && r->status != 408;
}

/* May it have been, without a word that can be read? */
static bool
lost(const struct bq_reply *r)
{
	return (r->status >= 200 && r->status < 300) ||
	       (r->verdict == HTTP_RETRY && !refused(r));
}

/* Is it the job that exists, and not what it was to make? */
static bool
job_exists(const struct bq_reply *r)
{
	return r->verdict == HTTP_EXISTS &&
	       (strstr(r->why, "Already Exists: ") == NULL ||
		   strstr(r->why, "Already Exists: Job") != NULL);
}

/*
 * One generation into the service, or what is there of it already. RC_OK: the
 * job is known, in whatever state. *mine: it may be that an earlier try of ours
 * made it.
 */
static int
insert(
    struct bq *b, const struct bq_job_spec *spec, struct bq_job *j, bool *mine)
{
	bq_insert *how = spec->insert != NULL ? spec->insert : insert_by_post;
	struct buf job = BUF_INIT(JOB_MAX);
	int rc = RC_NOTREADY;

	*mine = false;
	write_job(b, spec, j->id, &job);
	for (int round = 0; round < ROUNDS && rc == RC_NOTREADY; round++) {
		struct bq_reply r = {0};

		how(b, spec->ctx, j->id, &job, &r);
		*mine = *mine || r.tries > 1;
		if (r.verdict == HTTP_OK && take_job(b, j, &r.root)) {
			*mine = true;
			rc = RC_OK;
		} else if (job_exists(&r)) {
			rc = get_patient(b, j);
			if (rc != RC_OK)
				fail_job(b, j, BQ_UNKNOWN, rc);
		} else if (lost(&r) && sig_pending() == 0) {
			*mine = true;
			rc = get(b, j);
			if (rc != RC_OK && rc != RC_NOTREADY)
				fail_job(b, j, BQ_UNKNOWN, rc);
			else if (rc == RC_NOTREADY)
				bq_fail(b, 0, "%s", r.why);
		} else {
			snprintf(j->reason, sizeof j->reason, "%s", r.reason);
			if (r.verdict == HTTP_GONE)
				bq_passing(r.reason, r.why, &r.rc);
			bq_fail(b, 0, "%s", r.why);
			rc = fail_job(
			    b, j, lost(&r) ? BQ_UNKNOWN : BQ_NONE, r.rc);
		}
		bq_reply_release(&r);
	}
	if (rc == RC_NOTREADY)
		rc = fail_job(b, j, BQ_NONE, RC_TRANSIENT);
	buf_release(&job);
	return rc;
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
		take_counts(&child, &stats);
		j->dml_rows += child.dml_rows;
		j->inserted += child.inserted;
		j->updated += child.updated;
		j->deleted += child.deleted;
	}
}

/* The counts of a script are those of its statements. They are told, not
 * relied on: where they cannot be had they stay 0. */
static void
count_children(struct bq *b, struct bq_job *j)
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

/* ---- the run of a job ---- */

/* One generation to its end. */
static int
run_generation(
    struct bq *b, const struct bq_job_spec *spec, struct bq_job *j, bool *mine)
{
	int rc = insert(b, spec, j, mine);

	if (rc != RC_OK)
		return rc;
	j->found = !*mine;
	if (j->state != BQ_RUNNING)
		return j->rc;
	rc = poll_job(b, j);
	/* whoever made it, it ended before our eyes */
	if (j->state == BQ_FAILED)
		*mine = true;
	return rc;
}

int
bq_job_run(struct bq *b, const struct bq_job_spec *spec, struct bq_job *j)
{
	unsigned own = 0;
	bool mine;
	int rc;

	*j = (struct bq_job){0};
	for (unsigned generation = 1;; generation++) {
		int class;

		*j = (struct bq_job){.generation = generation};
		name_generation(j->id, spec->base, generation);
		rc = run_generation(b, spec, j, &mine);
		if (j->state != BQ_FAILED || generation == BURNT_MAX ||
		    sig_pending() != 0)
			break;
		if (!mine)
			continue; /* an earlier run's: burnt */
		if (++own == OWN_MAX || !spec->atomic ||
		    !bq_passing(j->reason, j->why, &class))
			break;
		b->job_retries++;
		bq_pause(b, (int64_t)POLL_MS << own);
	}
	if (j->state == BQ_DONE && j->children > 0 && j->dml_rows == 0)
		count_children(b, j);
	if (j->state == BQ_FAILED)
		bq_fail(b, 0, "%s (job %s)", j->why, j->id);
	b->jobs++;
	if (!j->found) {
		b->bytes_processed += j->bytes_processed;
		b->bytes_billed += j->bytes_billed;
	}
	j->rc = rc;
	return rc;
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
