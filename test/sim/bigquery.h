/*
 * BigQuery's stand-in: what its files share. Rows are in an SQLite database
 * of our own (a temporary file without a name), one SQLite table per table;
 * SQL is translated (bigquery_sql.c).
 *
 * A column's value is kept as
 *	STRING, JSON, DATETIME, TIME	TEXT
 *	BYTES				BLOB
 *	INT64				INTEGER
 *	FLOAT64				REAL
 *	NUMERIC, BIGNUMERIC		TEXT, shortest decimal
 *	BOOL				INTEGER 0, 1
 *	DATE				INTEGER, days since 1970
 *	TIMESTAMP			INTEGER, microseconds since 1970
 *	STRUCT, REPEATED		TEXT, JSON as it was loaded
 */
#ifndef WEIR_SIM_BIGQUERY_H
#define WEIR_SIM_BIGQUERY_H

#include <sqlite3.h>
#include <stdarg.h>

#include "google.h"
#include "sim.h"

/* ---- memory that goes away at once ---- */

struct arena {
	struct arena_block *blocks;
};
void *arena_alloc(struct arena *a, size_t n); /* zeroed */
char *arena_fmt(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
char *arena_strn(struct arena *a, const char *p, size_t n);
void arena_release(struct arena *a);
/* Empties it, with some memory kept. */
void arena_reset(struct arena *a);
extern struct arena bq_forever; /* what lasts as long as the program */

/* ---- types ---- */

enum bq_kind {
	T_NULL, /* of a literal NULL */
	T_STRING,
	T_BYTES,
	T_INT64,
	T_FLOAT64,
	T_NUMERIC,
	T_BIGNUMERIC,
	T_BOOL,
	T_DATE,
	T_DATETIME,
	T_TIME,
	T_TIMESTAMP,
	T_JSON,
	T_STRUCT,
	T_ARRAY,
};

struct bq_field;
struct bq_type {
	enum bq_kind kind;
	const struct bq_type *elem;    /* T_ARRAY */
	const struct bq_field *fields; /* T_STRUCT */
	size_t n;
};

struct bq_field {
	const char *name;
	const struct bq_type *type; /* REPEATED: T_ARRAY */
	bool required;
	const char *description; /* or NULL */
};

extern const struct bq_type bq_scalar[T_STRUCT]; /* by kind */
const char *bq_kind_name(enum bq_kind k);        /* "INT64" */
const char *bq_kind_rest(enum bq_kind k);        /* "INTEGER" */
bool bq_kind_of(const char *p, size_t n, enum bq_kind *k);
const char *bq_type_text(struct arena *a, const struct bq_type *t);
bool bq_type_same(const struct bq_type *a, const struct bq_type *b);
/* fields of a schema; NULL and *why: it is not sound. */
const struct bq_field *bq_fields_read(
    const struct json_span *list, struct arena *a, size_t *n, const char **why);
void bq_fields_put(struct jsonw *w, const struct bq_field *f, size_t n);
const struct bq_field *bq_fields_copy(const struct bq_field *f, size_t n);

/* ---- datasets and tables ---- */

struct bq_dataset {
	const char *id, *location, *description, *labels;
	int64_t created_ms, table_life_ms;
	struct bq_table *tables;
	struct bq_dataset *next;
};

struct bq_table {
	struct bq_dataset *dataset;
	const char *id;
	const char *sql; /* name in SQLite */
	const struct bq_field *field;
	size_t n;
	const char *view;        /* its query, or NULL */
	const char *part_type;   /* DAY ..., or NULL */
	const char *part_field;  /* NULL: by ingestion */
	const char *part_expire; /* ms, or NULL */
	bool part_filter;        /* requirePartitionFilter */
	const char *cluster[4];
	size_t clusters;
	const char *description, *friendly, *labels;
	int64_t created_ms, modified_ms, expires_ms; /* 0: never */
	uint64_t version;
	struct bq_table *next;
};

sqlite3 *bq_db(void);
/* Runs SQL of ours; dies where it is wrong. */
void bq_do(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int64_t bq_number(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int64_t bq_now_ms(void);
int64_t bq_now_us(void);

struct bq_dataset *bq_dataset_find(const char *id);
struct bq_dataset *bq_dataset_add(
    const char *id, const char *location); /* is not there yet */
/* Without what has expired. */
struct bq_table *bq_table_find(const struct bq_dataset *d, const char *id);
struct bq_table *bq_table_add(struct bq_dataset *d, const char *id);
void bq_table_drop(struct bq_table *t);
/* The rows' place, once the fields are known. */
void bq_table_make(struct bq_table *t);
void bq_table_touch(struct bq_table *t);
/* Other columns; rows keep what has a column of the same name. */
void bq_table_fields(struct bq_table *t, const struct bq_field *f, size_t n);
const struct bq_field *bq_field_find(
    const struct bq_field *f, size_t n, const char *name, size_t len);
bool bq_name_ok(const char *name, bool dash);
/* NULL, or why these options do not fit the fields. */
const char *bq_table_layout(struct bq_table *t, const struct json_span *body);

/* ---- answers ---- */

/* The checks that begin each call: token, parameters (a NULL-ended list),
 * project. */
bool bq_call(const struct sim_request *r, struct sim_answer *a,
    enum google_api api, const char *const *params);
#define BQ_COMMON "prettyPrint", "fields", "alt", "quotaUser"
/* The body as JSON whose members are all known to `type` of the discovery
 * document; false: the error is in the answer. */
bool bq_body(struct sim_answer *a, const char *p, size_t n, const char *type,
    struct json_span *root);
const char *bq_text(
    struct arena *a, const struct json_span *o, const char *name);
int64_t bq_int(const struct json_span *o, const char *name, int64_t fallback);
bool bq_true(const struct json_span *o, const char *name);
/* As "fields" asks for. */
void bq_mask(const struct sim_request *r, struct sim_answer *a);
void bq_not_found(struct sim_answer *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* One value of a row as v; col is of the statement. */
void bq_put_value(struct buf *b, const struct bq_type *t, sqlite3_stmt *st,
    int col, bool int64_timestamps);

/* ---- values (bigquery_value.c) ---- */

/* JSON to a kept value, bound to the statement; NULL, or what is wrong. */
const char *bq_bind_json(sqlite3_stmt *st, int at, const struct bq_field *f,
    const struct json_span *v, struct arena *a);
bool bq_parse_timestamp(const char *p, size_t n, int64_t *us);
bool bq_parse_decimal(const char *p, size_t n, enum bq_kind k, char *out);
void bq_format_timestamp(int64_t us, struct buf *b);
int bq_functions(sqlite3 *h);

/* ---- jobs ---- */

struct bq_job;

/* A query, or a script, with all that a job says of it. */
struct bq_query {
	const char *text;
	const char *location; /* of the job; NULL: wherever */
	const char *project;
	const char *default_dataset;
	struct json_span params; /* queryParameters, or absent */
	bool dry_run;
	int64_t max_billed; /* -1: no cap */

	/* what came out */
	const char *reason, *message; /* NULL: it went well */
	const char *kind;             /* "SELECT" ... "SCRIPT" */
	const char *result;           /* SQLite table of the rows, or NULL */
	const struct bq_field *field; /* its columns */
	size_t n;
	int64_t rows;
	int64_t bytes, billed;
	int64_t inserted, updated, deleted; /* -1: not DML */
	const char *ddl;                    /* operation performed, or NULL */
	const char *ddl_table, *ddl_dataset;
	struct bq_query *child, *next; /* of a script */
};
/* Everything that comes out lasts. */
void bq_run(struct bq_query *q);

/* A load from the spool; NULL, or the reason of the error. */
struct bq_load {
	const char *project, *location;
	struct json_span config; /* configuration.load */
	int fd;                  /* the upload, from its start */
	int64_t size;
	const char *reason, *message;
	const char *error[8]; /* further messages */
	size_t errors;
	int64_t rows, bad, bytes;
};
void bq_load_run(struct bq_load *l);

/* Makes the job out of a Job body, and begins it (fd: the upload, now the
 * job's; -1: none). False: an error is in the answer. */
bool bq_job_insert(const struct sim_request *r, struct sim_answer *a,
    const char *body, size_t n, int fd, int64_t size);
/* The same checks, before the upload. */
bool bq_job_check(const struct sim_request *r, struct sim_answer *a,
    const char *body, size_t n, bool duplicate_too);
/* What is not done yet, as other requests see it. */
void bq_jobs_settle(void);

void bq_job_insert_call(const struct sim_request *r, struct sim_answer *a);
void bq_job_get(const struct sim_request *r, struct sim_answer *a);
void bq_job_list(const struct sim_request *r, struct sim_answer *a);
void bq_job_cancel(const struct sim_request *r, struct sim_answer *a);
void bq_query_call(const struct sim_request *r, struct sim_answer *a);
void bq_query_results(const struct sim_request *r, struct sim_answer *a);

#endif
