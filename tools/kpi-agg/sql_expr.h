/*
 * Expressions of the dictionary as GoogleSQL over the GA4 export.
 *
 * A record is the row as the export's own NDJSON form has it: INT64 is a
 * string of digits, FLOAT64 a number in its shortest form, NULL is null. What
 * an expression reads becomes a column of one of two steps of the statement:
 * a scalar of the table (alias t), or what stands under a key of a repeated
 * field (over those columns, alias s). The expression itself then is SQL over
 * the names of these columns.
 *
 * Nothing is approximated: what has no exact meaning in SQL is refused, with
 * the word for it in sx_why. What only a row can tell (a key that is there
 * twice where it matters) is a check, at which the statement ends.
 */
#ifndef KPI_SQL_EXPR_H
#define KPI_SQL_EXPR_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "tree.h"

struct sx;
struct sx_node;

/*
 * fields: of the tables, checked (sql_schema.h). What they lack, but known
 * has, is null in each row, as it is in a stream.
 */
struct sx *sx_new(const struct node *fields, const struct node *known);
void sx_free(struct sx *x);

/* NULL: sx_why says why not. */
const struct sx_node *sx_compile(struct sx *x, const char *text);
/* The value as STRING, NULL where it is null or there is none. */
const char *sx_text(struct sx *x, const struct sx_node *n);
/* The same for what is shown: FLOAT64 and BOOL are refused. */
const char *sx_shown(struct sx *x, const struct sx_node *n);
/* As BIGNUMERIC; NULL where it is null, NaN or infinite. */
const char *sx_number(struct sx *x, const struct sx_node *n);
/* Is it true? BOOL, never NULL. */
const char *sx_truth(struct sx *x, const struct sx_node *n);
/* A plain column of INT64, as that. */
const char *sx_int64(struct sx *x, const struct sx_node *n);
/* Whole for sure: a product with it keeps its decimals. */
bool sx_whole(const struct sx_node *n);
const char *sx_why(const struct sx *x);

/* The name of a column of the table, made at need; NULL: the table has no
 * such column (of that type: S, I, F, A for repeated). */
const char *sx_column(struct sx *x, const char *name, char type);
/* Does the field of an element of a repeated column exist? */
bool sx_has(const struct sx *x, const char *column, const char *path);

/* What was read so far; i from 0, NULL at the end. */
struct sx_column {
	const char *name, *sql;
};
const struct sx_column *sx_of_table(const struct sx *x, size_t i);
const struct sx_column *sx_of_keys(const struct sx *x, size_t i);
/* Conditions under which the statement ends, and what it says then. */
struct sx_check {
	const char *when, *text;
};
const struct sx_check *sx_check(const struct sx *x, size_t i);
void sx_add_check(struct sx *x, const char *when, const char *text);

/* Text that lives as long as x. */
const char *sx_fmt(struct sx *x, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A string literal. False in *ok for bytes that no literal has. */
const char *sx_quote(struct sx *x, const char *s, size_t n);
/* A text that is the same for equal numbers, FLOAT64 and INT64, and for those
 * alone; NULL for NaN. */
const char *sx_float_same(struct sx *x, const char *sql);

#endif
