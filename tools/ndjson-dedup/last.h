/*
 * --last: the records of a partition are kept until its end; then the last
 * one of each key goes out, in the order of the input.
 */
#ifndef DEDUP_LAST_H
#define DEDUP_LAST_H

#include "filter.h"
#include "fpset.h"

struct last {
	struct kept *rec;
	size_t n, cap;
	struct chunk *chunks; /* newest first */
	uint64_t bytes, max_bytes;
};

/* False: over max_bytes. */
bool last_take(struct last *l, struct fp x, const char *text, size_t len);
/* Writes what is left; the set is used and cleared. RC_OK, or RC_OSERR where
 * it has no room (not said). */
int last_write(
    struct last *l, struct fpset *seen, struct filter *f, uint64_t *dropped);
void last_clear(struct last *l);

#endif
