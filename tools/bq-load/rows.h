/*
 * How records become rows of a table of BigQuery: its columns, from the schema
 * that the service tells, and each record as an object of these columns.
 */
#ifndef BQ_LOAD_ROWS_H
#define BQ_LOAD_ROWS_H

#include "fpset.h"
#include "json.h"
#include "stream.h"

enum col_type {
	COL_STRING,
	COL_INT,
	COL_NUMERIC,
	COL_BIGNUMERIC,
	COL_FLOAT,
	COL_BOOL,
	COL_DATE,
	COL_TIMESTAMP,
	COL_OTHER, /* taken as it stands; BigQuery judges it */
};

struct column {
	char *name, *type, *mode;
	char *fields; /* of a RECORD, JSON; NULL: none */
	size_t len;
	enum col_type kind;
	bool required;          /* NOT NULL */
	bool must;              /* a record without it is bad */
	bool key, given;        /* given: by the loader, not by a record */
	const char *def;        /* of a column that is not null; NULL: none */
	struct json_span value; /* of the record that is on */
};

struct rows {
	char *table;
	bool kpi;
	struct column *col;
	size_t n;
	struct column *extra, *run_id; /* NULL where there is none */
	/* the partition that is on; NULL where there is none */
	const char *source, *feed, *date, *own_run_id;
	struct fpset *keys; /* of the partition; NULL: no longer kept */
	struct fp_key secret;
	uint64_t sum[2]; /* over the rows, in any order, without run_id */
	struct buf line, text;
	uint64_t number; /* of the row, for weir_line */
	char why[1400];  /* what is wrong with a record */
	size_t byte;
};

/* fields: the array schema.fields of tables.get. key: columns joined by commas,
 * NULL for the table's own. RC_OK, or RC_CONTRACT, said. */
int rows_open(struct rows *r, const char *table, const struct json_span *fields,
    const char *key);
void rows_close(struct rows *r);
/* The array of fields for the stage table, and their names joined. */
void rows_schema(const struct rows *r, struct buf *out);
void rows_names(const struct rows *r, struct buf *out, const char *prefix);
/* Before the first record of a partition. The texts are referenced. */
void rows_begin(struct rows *r, const char *source, const char *feed,
    const char *date, const char *run_id);
/* The row is in r->line. RC_FINDINGS: r->why and r->byte say what is wrong. */
int rows_put(struct rows *r, const struct record *rec);
/* Digest of the partition's rows. */
void rows_sum(const struct rows *r, char hex[33]);

/* Type words of the service, old and new, as one: INTEGER is INT64. */
const char *type_word(const char *type);

#endif
