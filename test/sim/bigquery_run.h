/*
 * A run of one or more statements: what those who do them share. Any failure
 * leaves by way of sql_fail or sql_raise.
 */
#ifndef WEIR_SIM_BIGQUERY_RUN_H
#define WEIR_SIM_BIGQUERY_RUN_H

#include "bigquery_sql.h"

struct run {
	struct sql s;
	struct bq_query *q, *now; /* of the statement at hand */
	bool script, in_tx, in_statement;
	struct bq_table *touched[64];
	size_t n_touched;
};
struct run *run_of(struct sql *s);

/* Runs SQL of SQLite. */
void run_exec(struct sql *s, const char *text);
/* The same for a statement of the user's: a dry run only looks at it. */
void run_perform(struct sql *s, const char *text);
int64_t run_value(struct sql *s, const char *text);
/* A number for the name of a table, never twice. */
unsigned run_number(void);
void run_make_table(
    struct sql *s, const char *name, const struct bq_field *f, size_t n);
/* The table has changed; in a transaction: will have. */
void run_touch(struct sql *s, struct bq_table *t);
/* What the statement reads, and the cap on it. */
void run_charge(struct sql *s);
void run_use_all(struct sql *s, struct bq_table *t);
/* The statement ends here. */
void run_end(struct sql *s);
/* A NULL without a type is an INT64 in a result; names come once. */
void run_settle_types(struct sql *s, struct rel *q);

/* ---- bigquery_dml.c ---- */

/* SET a = x, b = y. */
struct sets {
	size_t n, index[1024];
	const char *e[1024];
};

void dml_insert(struct sql *s);
void dml_update(struct sql *s);
void dml_delete(struct sql *s);
void dml_truncate(struct sql *s);
struct bq_table *dml_target(struct sql *s);
/* An expression for a column, or DEFAULT. */
const char *dml_assign(struct sql *s, const struct bq_field *f);
void dml_check(struct sql *s, const struct bq_table *t); /* REQUIRED */
void dml_counts(
    struct sql *s, const char *kind, int64_t ins, int64_t upd, int64_t del);
/* (a, b, c), or all. */
size_t dml_columns(struct sql *s, const struct bq_table *t, size_t *index);
const char *dml_names(
    struct sql *s, const struct bq_table *t, const size_t *index, size_t n);
/* (a, b, c) of VALUES. */
void dml_row(struct sql *s, const struct bq_table *t, const size_t *index,
    size_t n, const char **value);
struct sets *dml_set(
    struct sql *s, const struct bq_table *t, const char *alias);
const char *dml_alias(struct sql *s, const char *fallback);

/* ---- bigquery_merge.c ---- */

void dml_merge(struct sql *s);

/* ---- bigquery_ddl.c ---- */

void ddl_create(struct sql *s);
void ddl_drop(struct sql *s);
void ddl_alter(struct sql *s);

#endif
