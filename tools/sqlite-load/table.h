/*
 * A table and how records become its rows.
 *
 * A table is under batch rules ("versioned") where NAME_rows exists: rows of
 * all generations stand there, with the columns source_system, feed, date,
 * batch_id and generation, and the view NAME shows the published ones.
 */
#ifndef SQLITE_LOAD_TABLE_H
#define SQLITE_LOAD_TABLE_H

#include "db.h"
#include "stream.h"

#define TABLE_NAME_MAX 64

enum col_type {
	COL_TEXT,
	COL_INT,
	COL_REAL,
	COL_DECIMAL,
	COL_JSON,
	COL_TEXT_JSON,
	COL_BOOL,
	COL_ANY,
};

enum managed { OWN, SOURCE, FEED, DATE, BATCH, GENERATION };

struct column {
	char *name;
	size_t len;
	enum col_type type;
	enum managed managed;
	bool not_null, key, required;
	sqlite3_value *def; /* NULL: NULL */
	uint64_t seen;      /* number of the record that had it */
};

enum mode { MODE_DEFAULT, MODE_REPLACE, MODE_UPSERT, MODE_APPEND, MODE_IGNORE };
const char *mode_word(enum mode m);

/* The generation of a partition that rows belong to. */
struct place {
	const char *source, *feed, *date, *batch;
	int64_t generation;
	const char *run_id;
};

struct table {
	struct db *db;
	char *name, *store;
	bool versioned, kpi;
	struct column *col;
	size_t n;
	struct column *extra, *run_id; /* NULL where there is none */
	bool has_key;
	sqlite3_stmt *insert;
	struct place at;
	uint64_t record;
	struct buf text, rest; /* decoded texts; members for extra */
	char why[1400];        /* what is wrong with a record */
	size_t byte;
};

/* Is the text a name that we may give a table or a column? */
bool table_name_ok(const char *name);

/* RC_OK; RC_NOTREADY without a message where there is no such table;
 * RC_CONTRACT for a view, or what is not to be loaded. key: NULL, or columns
 * joined by commas. */
int table_open(
    struct table *t, struct db *d, const char *name, const char *key);
void table_close(struct table *t);

/* Readies the insertion; MODE_DEFAULT was settled by the caller. */
int table_begin(struct table *t, enum mode mode);
/* For versioned tables, before the first record of a partition. The texts are
 * referenced. */
void table_place(struct table *t, const struct place *at);
/*
 * One record. RC_OK; RC_FINDINGS: t->why and t->byte say what is wrong with
 * it; else the database failed, and it was said.
 */
int table_put(struct table *t, const struct record *rec);

/* Adds the names of the columns, joined; without the managed ones at need. */
void table_columns(
    const struct table *t, struct buf *sql, const char *prefix, bool managed);
/* " AND a.k = b.k ..." over the own columns of the key. */
void table_key_equal(
    const struct table *t, struct buf *sql, const char *a, const char *b);
/* "P.source_system = ?N AND ... generation = ?N+4", N being the first. */
void table_at(struct buf *sql, const char *prefix, int first);

#endif
