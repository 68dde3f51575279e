#ifndef NDJSON_PART_H
#define NDJSON_PART_H

#include "filter.h"

/* The partition that --source and the others describe, around the output of a
 * command. */
struct make {
	struct part_desc desc;
	bool allow_empty, plain, quiet;
	size_t max_line;
	struct rejects *rejects;
};
int make_run(const struct make *m, char *const *argv);

/* --through: the records of each partition through a command of its own. */
int through_run(struct filter *f, char *const *argv);

#endif
