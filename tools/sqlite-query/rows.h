/* The columns of a statement, and a row of it as JSON. */
#ifndef SQLITE_QUERY_ROWS_H
#define SQLITE_QUERY_ROWS_H

#include "buf.h"
#include "db.h"

enum kind { KIND_PLAIN, KIND_DECIMAL, KIND_JSON, KIND_TEXT_JSON, KIND_BOOL };

struct field {
	const char *name; /* of the statement */
	char *head;       /* "name": as JSON */
	enum kind kind;
	bool number;    /* --numbers names it: anything else is an error */
	bool omit_null; /* --omit-null names it */
};

struct rows {
	struct db *db;
	sqlite3_stmt *st;
	struct field *field;
	size_t n;
	struct buf one;
};

/* numbers, omit: names joined by commas, or NULL; "all" for all. RC_OK, or
 * RC_CONTRACT for two columns of one name, RC_USAGE for a name that is no
 * column: said. */
int rows_open(struct rows *r, struct db *d, sqlite3_stmt *st,
    const char *numbers, const char *omit);
/* Appends the current row as an object. RC_OK, or RC_CONTRACT, said. */
int rows_json(struct rows *r, struct buf *out);
/* Appends one value of it. */
int rows_value(struct rows *r, size_t i, struct buf *out);
void rows_close(struct rows *r);

#endif
