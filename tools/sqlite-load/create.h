/* --create: a table from the members of records, or from --columns. */
#ifndef SQLITE_LOAD_CREATE_H
#define SQLITE_LOAD_CREATE_H

#include "db.h"
#include "stream.h"

struct create {
	const char *name;
	const char *columns; /* NULL: from the records */
	const char *key;     /* NULL: none */
	bool versioned;
};

/* In an open transaction. RC_USAGE for a wrong list, RC_CONTRACT for members
 * that cannot be columns: said. */
int create_table(struct db *d, const struct create *c, const struct batch *b);

#endif
