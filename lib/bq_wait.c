/* Asking for a job by its id, and waiting for its end. */
#include <stdio.h>
#include <string.h>

#include "bq_impl.h"
#include "exits.h"
#include "sys.h"

enum {
	POLL_MAX_MS = 30000,
	GRACE_MS = 60000,   /* for a job that the service ends at its time */
	ABSENT_MS = 200000, /* a 404 right after a 409 passes */
};

int
bq_fail_job(struct bq *b, struct bq_job *j, enum bq_state state, int rc)
{
	j->state = state;
	j->rc = rc;
	snprintf(j->why, sizeof j->why, "%s", bq_why(b));
	return rc;
}

int
bq_get(struct bq *b, struct bq_job *j)
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
	else if (rc == RC_OK && !bq_take_job(b, j, &r.root))
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
	return bq_get(b, j);
}

/* The same where the job must be there: a 404 passes. */
int
bq_get_patient(struct bq *b, struct bq_job *j)
{
	int64_t spent = 0, pause = POLL_MS;
	int rc;

	while ((rc = bq_get(b, j)) == RC_NOTREADY && spent < ABSENT_MS &&
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

int
bq_poll(struct bq *b, struct bq_job *j)
{
	int64_t spent = 0, pause = POLL_MS, began = sys_mono_ns();
	int64_t most = (int64_t)b->job_timeout_s * 1000 + GRACE_MS;

	while (j->state == BQ_RUNNING) {
		int rc;

		if (sig_pending() != 0) {
			bq_fail(b, 0, "interrupted; job %s goes on", j->id);
			return bq_fail_job(
			    b, j, BQ_RUNNING, 128 + sig_pending());
		}
		if (spent >= most ||
		    (sys_mono_ns() - began) / 1000000 >= most) {
			bq_fail(b, 0,
			    "job %s still runs after %llu s: it may yet be "
			    "done",
			    j->id, (unsigned long long)(most / 1000));
			return bq_fail_job(b, j, BQ_RUNNING, RC_TRANSIENT);
		}
		bq_pause(b, pause);
		spent += pause;
		pause =
		    pause * 3 / 2 < POLL_MAX_MS ? pause * 3 / 2 : POLL_MAX_MS;
		rc = bq_get_patient(b, j);
		if (sig_pending() != 0 && j->state == BQ_RUNNING)
			continue; /* said above */
		if (rc != RC_OK)
			return bq_fail_job(b, j, BQ_UNKNOWN, rc);
	}
	return j->rc;
}
