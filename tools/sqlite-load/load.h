/* The SQLite engine of the loader: each partition, or the whole stream, is a
 * transaction. */
#ifndef SQLITE_LOAD_LOAD_H
#define SQLITE_LOAD_LOAD_H

#include "batch.h"
#include "create.h"
#include "loader.h"

struct load {
	struct loader run;

	/* set by main */
	struct db *db;
	enum mode mode;
	bool create;
	struct create made;

	struct table t;
	bool have_table, started; /* started: a transaction is open */
	int64_t generation;       /* of the batch that is on */
};

void load_init(struct load *l);
/* Opens the table where it is there, settles the mode: before data is read. */
int load_open(struct load *l);
void load_close(struct load *l);

#endif
