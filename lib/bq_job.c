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

/* ---- inserting ---- */

static void
insert_by_post(struct bq *b, void *ctx, const char *id, const struct buf *job,
    struct bq_reply *r)
{
	(void)ctx;
	(void)id;
	bq_call(b, "POST", "/jobs", job, r);
}

void
bq_put_reference(const struct bq *b, struct jsonw *w, const char *id)
{
	struct jsonw ref;

	jsonw_open(w, "jobReference", &ref, '{');
	jsonw_str(&ref, "projectId", b->project);
	jsonw_str(&ref, "jobId", id);
	if (*b->location != '\0')
		jsonw_str(&ref, "location", b->location);
	jsonw_end(&ref);
}

static void
write_job(const struct bq *b, const struct bq_job_spec *spec, const char *id,
    struct buf *out)
{
	struct jsonw w;

	jsonw_begin(&w, out, '{');
	bq_put_reference(b, &w, id);
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
		if (r.verdict == HTTP_OK && bq_take_job(b, j, &r.root)) {
			*mine = true;
			rc = RC_OK;
		} else if (job_exists(&r)) {
			rc = bq_get_patient(b, j);
			if (rc != RC_OK)
				bq_fail_job(b, j, BQ_UNKNOWN, rc);
		} else if (lost(&r) && sig_pending() == 0) {
			*mine = true;
			rc = bq_get(b, j);
			if (rc != RC_OK && rc != RC_NOTREADY)
				bq_fail_job(b, j, BQ_UNKNOWN, rc);
			else if (rc == RC_NOTREADY)
				bq_fail(b, 0, "%s", r.why);
		} else {
			snprintf(j->reason, sizeof j->reason, "%s", r.reason);
			if (r.verdict == HTTP_GONE)
				bq_passing(r.reason, r.why, &r.rc);
			bq_fail(b, 0, "%s", r.why);
			rc = bq_fail_job(
			    b, j, lost(&r) ? BQ_UNKNOWN : BQ_NONE, r.rc);
		}
		bq_reply_release(&r);
	}
	if (rc == RC_NOTREADY)
		rc = bq_fail_job(b, j, BQ_NONE, RC_TRANSIENT);
	buf_release(&job);
	return rc;
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
	rc = bq_poll(b, j);
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
		bq_count_children(b, j);
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
