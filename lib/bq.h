/*
 * BigQuery, as bq-load and bq-query use it: one session (credentials, place,
 * options), one call, jobs with ids of our own, SQL texts with parameters, and
 * the rows of a result.
 *
 * A place is a project, the dataset of the facts (core), the dataset of the
 * works (ops) and the location, which is read from the dataset and sent with
 * every call about a job. All texts that a struct bq gives out are its own and
 * last until bq_close. Statuses are those of exits.h. Where a comment says
 * "said", one message was printed; else bq_why says what to print.
 */
#ifndef WEIR_BQ_H
#define WEIR_BQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "http.h"
#include "json.h"
#include "opt.h"
#include "out.h"

/* --project, --location, --dataset, --ops-dataset, --credentials,
 * --impersonate, --token-url, --bigquery-url, --no-auth, --max-bytes-billed,
 * --job-timeout, --check. */
enum {
	OPT_BQ = OPT_FILTER + 60, /* first of 30 keys */
};
extern const struct opt bq_options[];

struct bq;

/* ---- the session ---- */

struct bq *bq_open(const char *tool_and_version);
/* Takes one of bq_options or of http_options; false: it is none of them. */
bool bq_opt(struct bq *b, int key);
enum {
	BQ_NEW = 1, /* the datasets may be missing: they will be made, or are
		       not needed. The location is then the declared one */
	BQ_ELSEWHERE = 4, /* core may be missing where a place is declared */
	BQ_OPS = 2, /* the ops dataset is read too, must lie where core does */
};
/*
 * Options are complete: checks names and URLs, opens the credentials, reads
 * the location of the dataset and compares it with the declared one. RC_OK;
 * 64 is not returned: wrong names are 78. Said.
 */
int bq_start(struct bq *b, unsigned flags);
/* --check was given: the tool calls this in place of its work. Proves that
 * jobs may be made and the datasets be read (a dry run, which costs nothing),
 * says who we are or which right is missing. RC_OK or said. */
bool bq_checking(const struct bq *b);
int bq_check(struct bq *b);
void bq_close(struct bq *b); /* counts go to WEIR_STATS; NULL is nothing */

struct http *bq_http(struct bq *b);
const char *bq_project(const struct bq *b);
const char *bq_core(const struct bq *b); /* dataset ids, without project */
const char *bq_ops(const struct bq *b);
const char *bq_location(const struct bq *b); /* "" while there is none */
/* When the datasets that bq_start read were made: tells them from others of the
 * same names before, whose jobs may still be known. A part of the ids of jobs
 * that change something there. */
const char *bq_born(struct bq *b);
const char *bq_declared(const struct bq *b); /* by option or variable; "" */
uint64_t bq_max_bytes(const struct bq *b);
/* Jobs of the run so far, and what they read and cost. */
void bq_totals(const struct bq *b, uint64_t *jobs, uint64_t *processed,
    uint64_t *billed);
/* The last failure: a text fit for a message, "" where there was none. */
const char *bq_why(const struct bq *b);
/* Keeps the text as bq_why and gives rc back. */
int bq_fail(struct bq *b, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* A wait of so many ms, scaled by --backoff, ended by a signal. */
void bq_pause(struct bq *b, int64_t ms);

/* ---- one call ---- */

struct bq_reply {
	enum verdict verdict; /* HTTP_OK, HTTP_GONE (404), HTTP_EXISTS (409) …;
				 HTTP_RETRY: no tries are left, and the call
				 may have been carried out */
	int rc;               /* RC_OK, or the class of what is not HTTP_OK */
	int status, tries;
	char why[256], reason[64];
	struct buf text;       /* the answer, padded for json.h */
	struct json_span root; /* its object; JSON_ABSENT for an empty body */
};
/*
 * path is below .../bigquery/v2/projects/PROJECT, percent-encoded where its
 * parts need it, may end in ?a=b; body is a JSON object or NULL. Answers are
 * whole and validated (to 64 MiB). Returns r->rc; nothing is said, bq_why is
 * set where it is not RC_OK. r is filled in any case: bq_reply_release.
 */
int bq_call(struct bq *b, const char *method, const char *path,
    const struct buf *body, struct bq_reply *r);
/* The same from an answer of bq_http's (an upload's), which stays the
 * caller's. */
int bq_reply_take(struct bq *b, struct http_answer *a, struct bq_reply *r);
void bq_reply_release(struct bq_reply *r);
/* ".../upload/bigquery/v2/projects/PROJECT" and ".../bigquery/v2/projects/…":
 * the start of URLs. */
const char *bq_url(const struct bq *b);
const char *bq_upload_url(const struct bq *b);

/* ---- jobs ---- */

#define BQ_ID 160 /* room for a job id of ours, NUL included */

/* PREFIX_ and hex of SHA-256 over the parts, each with its length: the base of
 * the ids of a job that must not be done twice. NULL parts count as absent. */
void bq_job_id(
    char id[BQ_ID], const char *prefix, const char *const *parts, size_t n);
/* PREFIX_ and 128 random bits. */
void bq_random_id(char id[BQ_ID], const char *prefix);

enum bq_state {
	BQ_NONE,    /* never inserted: the request was refused */
	BQ_DONE,    /* and well */
	BQ_FAILED,  /* DONE with an errorResult */
	BQ_RUNNING, /* still, at the deadline: it may yet be done */
	BQ_UNKNOWN, /* answers were lost: it may be done */
};

/* What became of a job. Counts are 0 where the service does not tell. */
struct bq_job {
	enum bq_state state;
	int rc;         /* RC_OK, or the class */
	char id[BQ_ID]; /* with its generation */
	char location[64], statement[64];
	char reason[64], why[512]; /* of a failure; cleaned */
	unsigned generation;       /* 1: the base id itself */
	bool found;                /* it was there: an earlier run's */
	bool cache_hit;
	uint64_t bytes_processed, bytes_billed, slot_ms;
	uint64_t rows;     /* of a load: output rows */
	uint64_t bad_rows; /* of a load */
	uint64_t dml_rows, inserted, updated, deleted; /* scripts: the sum */
	uint64_t children; /* statements of a script */
};

/*
 * Inserts the job and fills the reply. job is the whole body, {"jobReference":
 * …,"configuration":…}, id its id. The default POSTs it; an upload brings its
 * own. HTTP_EXISTS and HTTP_RETRY are looked up by the id; a body of HTTP_OK
 * is the job resource.
 */
typedef void bq_insert(struct bq *b, void *ctx, const char *id,
    const struct buf *job, struct bq_reply *r);

struct bq_job_spec {
	const char *base; /* id of generation 1; then _g2, _g3 … */
	const struct buf *configuration; /* the object, JSON */
	bool atomic; /* a job that failed changed nothing: one whose error may
			pass is done again under the next generation */
	bq_insert *insert; /* NULL: POST */
	void *ctx;
};
/*
 * Runs the job to its end (or to --job-timeout): insert, look up, poll with
 * growing waits. An id that ended in error is burnt: where an earlier run left
 * it so, the next generation is made; where it is our own, only if the error
 * may pass and the job is atomic, at most 3 times. A job found running is
 * adopted; one found done is the answer, and nothing is sent again. Returns
 * j->rc; nothing is said, bq_why is set.
 */
int bq_job_run(struct bq *b, const struct bq_job_spec *spec, struct bq_job *j);
/* jobs.get and no more; RC_NOTREADY: there is no such job. */
int bq_job_get(struct bq *b, const char *id, struct bq_job *j);
/* {"job":…,"state":…,…}: the members of a receipt about a job. */
void bq_job_write(struct jsonw *w, const struct bq_job *j);

/* ---- SQL ---- */

/* The text with `analytics_core.x` and `analytics_ops.x` (in backticks, not in
 * strings or comments) as `project.dataset.x`. */
void bq_sql(const struct bq *b, const char *text, size_t len, struct buf *out);
/* Statements in the text, by the semicolons outside of strings and comments;
 * BEGIN … END counts as what it holds. */
size_t bq_sql_statements(const char *text, size_t len);
/* Does the text use the parameter @name? */
bool bq_sql_uses(const char *text, size_t len, const char *name);

struct bq_param {
	const char *name,
	    *type;         /* type: "STRING", "INT64", "ARRAY<STRING>" … */
	const char *value; /* NULL: NULL (of an array: no elements) */
	const char *const *list; /* of an ARRAY, n values */
	size_t n;
};

struct bq_query {
	const char *sql; /* prepared by bq_sql */
	const struct bq_param *params;
	size_t nparams;
	const char *dataset, *table; /* destination; NULL: an anonymous one */
	const char *write;  /* its writeDisposition, NULL: WRITE_TRUNCATE */
	const char *create; /* createDisposition, NULL: CREATE_IF_NEEDED */
	bool batch;         /* priority BATCH */
};
/* The configuration of the query's job, with --max-bytes-billed. */
void bq_query_config(struct bq *b, const struct bq_query *q, struct buf *out);

struct bq_estimate {
	uint64_t bytes;                   /* processed */
	char statement[64], accuracy[24]; /* "" where not told */
};
/* A dry run: no job, no cost. RC_OK or bq_why. */
int bq_dry_run(struct bq *b, const struct bq_query *q, struct bq_estimate *e);
/* bq_query_config and bq_job_run. */
int bq_query_run(struct bq *b, const struct bq_query *q, const char *base,
    bool atomic, struct bq_job *j);

/* ---- rows ---- */

struct bq_rows {
	const char *omit_null; /* columns left out where null, "all" */
	const char *json;    /* STRING columns that hold JSON objects, arrays */
	const char *numbers; /* STRING columns that hold exact numbers */
	/* Each row as it is given out, after its page proved whole; not RC_OK
	 * ends it. NULL: to `out`. */
	int (*row)(void *ctx, const char *text, size_t len);
	void *ctx;
	struct out *out;
	uint64_t rows; /* given out */
	uint64_t pages;
	bool columns; /* the result has columns at all */
};
/*
 * The rows of a query that is done (bq_job_run), one object each, as
 * sqlite-query prints them: NUMERIC and BIGNUMERIC as exact numbers in plain
 * form, INT64 as numbers up to 2^53 and as texts beyond, FLOAT64 as numbers,
 * null as null, TIMESTAMP in RFC 3339, all else as text. A page is given out
 * whole or not at all. RC_OK or bq_why.
 */
int bq_rows_read(struct bq *b, const struct bq_job *j, struct bq_rows *r);

#endif
