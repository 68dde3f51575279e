#ifndef RAW_STORE_H
#define RAW_STORE_H

#include "filter.h"
#include "shelf.h"

/* Passes stdin on and keeps each partition below dir. */
int store_run(struct filter *f, const char *dir, int level, unsigned wait_s);

/* Reading what is there: --replay, --verify, --list. */
struct ask {
	const char *dir;
	struct span_of span;
	bool as_of_given, plain, quiet;
	int64_t as_of_us; /* versions fetched later are not there */
};
int replay_run(const struct ask *a);
int verify_run(const struct ask *a);
int list_run(const struct ask *a);

#endif
