/* What the parts of the BigQuery module share. */
#ifndef WEIR_BQ_IMPL_H
#define WEIR_BQ_IMPL_H

#include "auth.h"
#include "bq.h"

#define BQ_HOST "https://bigquery.googleapis.com"
enum { POLL_MS = 1000 }; /* the first wait */

#define BQ_SCOPE "https://www.googleapis.com/auth/bigquery"

struct bq {
	struct http *http;
	struct google_auth *auth;

	/* options */
	const char *project, *declared, *core, *ops;
	const char *credentials, *impersonate, *token_url, *base;
	uint64_t max_bytes, job_timeout_s;
	bool no_auth, check;

	char *own_base, *url, *upload_url;
	char location[64];
	char born[64];  /* bq_born */
	unsigned flags; /* of bq_start */
	bool absent;    /* a dataset was not there yet */
	struct buf why;
	uint64_t jobs, job_retries, bytes_processed, bytes_billed;
};

/* bq_opt.c: names and what the environment says. RC_OK or said. */
int bq_complete(struct bq *b);
/* bq_status.c: does waiting cure what a job failed of; *rc is its class. */
bool bq_passing(const char *reason, const char *why, int *rc);
/* The counts of a job's statistics; of a script's statements, added. */
void bq_take_counts(struct bq_job *j, const struct json_span *stats);
void bq_count_children(struct bq *b, struct bq_job *j);
/* A job resource. False: it is no job. */
bool bq_take_job(struct bq *b, struct bq_job *j, const struct json_span *root);

/* bq_job.c: the member jobReference, with the place where it is known. */
void bq_put_reference(const struct bq *b, struct jsonw *w, const char *id);

/* bq_wait.c: keeps what became of the job; gives rc back. */
int bq_fail_job(struct bq *b, struct bq_job *j, enum bq_state state, int rc);
/* jobs.get by j->id: RC_OK, RC_NOTREADY where it is not there, or bq_why. */
int bq_get(struct bq *b, struct bq_job *j);
/* The same where the job must be there: a 404 passes. */
int bq_get_patient(struct bq *b, struct bq_job *j);
/* Until it is DONE, or its time is up. */
int bq_poll(struct bq *b, struct bq_job *j);

/* A member that is a number or the text of one; 0 where it is not there. */
uint64_t bq_u64(const struct json_span *object, const char *name);
/* A member's text, cut to room; "" where there is none. */
void bq_text(
    const struct json_span *object, const char *name, char *dst, size_t room);
/* Appends ?location=L or &location=L where it is known. */
void bq_add_location(const struct bq *b, struct buf *path);

#endif
