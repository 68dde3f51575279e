/*
 * Rows as BigQuery's REST answers write them: {"f":[{"v":…},…]}, cells by
 * position. The schema (tables.get, or a query's answer) is compiled once;
 * each row becomes one NDJSON object as an extract job writes it: INT64 as
 * text, exact; FLOAT64 as the shortest number ("NaN", "Infinity" as text);
 * BOOL as true or false; TIMESTAMP, fetched with useInt64Timestamp, as
 * "YYYY-MM-DD HH:MM:SS[.ffffff] UTC"; what is null left out; a REPEATED field
 * always there, [] where empty; all else as the text it is.
 */
#ifndef WEIR_FV_H
#define WEIR_FV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "json.h"

#define FV_DEPTH 16 /* BigQuery nests records to 15 */

struct fv;
/*
 * fields: the validated array schema.fields. select: NULL, or columns as
 * "a,b.c": the schema is pruned as selectedFields prunes the answer. NULL and
 * a text of the caller's (freed by it) where the schema is none, or a column
 * of the selection is not in it.
 */
struct fv *fv_new(
    const struct json_span *fields, const char *select, char **why);

/* Other forms than those of an extract job. */
enum {
	FV_QUERY = 1, /* null is null; INT64 is a number up to 2^53 and a text
			 beyond; NUMERIC and BIGNUMERIC are exact numbers
			 without exponent or zeros at the end; TIMESTAMP is
			 YYYY-MM-DDTHH:MM:SS[.ffffff]Z; JSON is itself */
	FV_OMIT_NULL = 2, /* after FV_QUERY: null is left out */
	FV_JSON = 4,      /* a text that is a JSON object or list is itself */
	FV_NUMBER = 8,    /* a text is a number, itself */
};
/*
 * One of these forms for columns of the row: NULL or "all", or names with
 * commas between. False, and a text of the caller's, where one of the names
 * is no column.
 */
bool fv_style(struct fv *v, int style, const char *columns, char **why);
/* Columns of a row. */
size_t fv_columns(const struct fv *v);
/*
 * Appends the row as one object. The text must be validated JSON with JSON_PAD
 * readable bytes behind it. NULL, or what is wrong (owned by fv, lasts until
 * the next row); what was appended is then taken back.
 */
const char *fv_row(struct fv *v, const char *text, size_t len, struct buf *out);
/*
 * The same for a row whose text is not validated yet, and whose end is not
 * known: takes it where all of it stands before `end` and is exactly as the
 * service writes it, without blanks or surprises, and gives where it ends.
 * NULL: nothing was appended; fv_row shall judge it. JSON_PAD readable bytes
 * stand behind `end`.
 */
const char *fv_quick(
    struct fv *v, const char *text, const char *end, struct buf *out);
void fv_free(struct fv *v);

#endif
