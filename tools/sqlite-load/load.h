/* Loading a stream: each partition, or the whole stream, is a transaction. */
#ifndef SQLITE_LOAD_LOAD_H
#define SQLITE_LOAD_LOAD_H

#include "batch.h"
#include "create.h"
#include "filter.h"

struct load {
	/* set by main */
	struct db *db;
	const char *table, *key, *batch; /* batch NULL: each its own */
	const char *source, *feed, *date, *fetched_at, *run_id;
	enum mode mode;
	bool stage;
	bool create;
	struct create made;
	struct policy policy;

	struct receipt receipt;
	bool told; /* the receipt is written */

	struct table t;
	bool have_table, started, placed, skip, broken;
	size_t first;       /* slot of the batch that is on */
	int64_t generation; /* of it */
	struct slot *cur;
	int status; /* of what was refused while the run went on */
};

/* Opens the table where it is there, settles the mode: before data is read. */
int load_open(struct load *l);
void load_callbacks(struct load *l, struct filter *f);
/* After the run, however it ended: what is open is rolled back. */
void load_close(struct load *l);

#endif
