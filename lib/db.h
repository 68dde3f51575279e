/*
 * SQLite databases: the warehouse of weir, or one that the user has.
 *
 * A warehouse carries our application id and schema version, and in its table
 * meta the names of its tables and a checksum over their definitions. It is
 * made whole under another name and linked into place, so that a file which is
 * there is complete or damaged. Journal: WAL; every commit is synced.
 *
 * Functions return an exit status and have said what was wrong.
 */
#ifndef WEIR_DB_H
#define WEIR_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

#define DB_APPLICATION 0x77656972 /* "weir" */
#define DB_VERSION 1
/* Up to this size the structure of the whole file is checked on opening, over
 * it that of the small tables. */
#define DB_CHECK_BYTES (256u << 20)

struct db {
	sqlite3 *h;
	const char *path; /* for messages; referenced */
	bool warehouse;   /* it is one of ours */
	unsigned wait_s;
	int64_t give_up_ns; /* end of the wait for a lock that is on */
};

enum {
	DB_WRITE = 1,
	DB_MAKE = 2,    /* make it where it is missing */
	DB_FOREIGN = 4, /* take one that is not ours */
};

/*
 * ddl: what a new database is made of, lines that end with NULL; NULL makes an
 * empty one. Missing without DB_MAKE: RC_TRUNCATED. Damaged, foreign, of a
 * newer version: RC_CONTRACT. A link, another's, a directory, not writable:
 * RC_CANTCREAT.
 */
int db_open(struct db *d, const char *path, int flags, unsigned wait_s,
    const char *const *ddl);
void db_close(struct db *d);

/* Says "tool: path: what: sqlite's text" and returns the status for it. */
int db_fail(struct db *d, const char *what);

/*
 * One statement of fixed text, its parameters by type: t const char * (NULL is
 * NULL), b const char * and size_t, i int64_t, v sqlite3_value *. db_run takes
 * it to its end; db_query leaves *st ready for db_step.
 */
int db_run(struct db *d, const char *sql, const char *types, ...);
int db_query(
    struct db *d, sqlite3_stmt **st, const char *sql, const char *types, ...);
/* RC_OK with a row; RC_NOTREADY at the end, without a message. */
int db_step(struct db *d, sqlite3_stmt *st);
/* The single integer that a query gives, def without a row or for NULL. */
int db_int(struct db *d, int64_t *out, int64_t def, const char *sql,
    const char *types, ...);
/* Prepares text that was put together; *st is NULL on failure. */
int db_prepare(struct db *d, sqlite3_stmt **st, struct buf *sql);

int db_begin(struct db *d); /* IMMEDIATE */
int db_commit(struct db *d);
void db_rollback(struct db *d); /* nothing where none is open */

/* Rows changed so far by INSERT, UPDATE and DELETE. */
int64_t db_changes(const struct db *d);

/* Adds a name in double quotes. */
void db_name(struct buf *sql, const char *name);
/* "" for NULL, text of the column else. */
const char *db_text(sqlite3_stmt *st, int col);

#endif
