/*
 * Finds the end of an element of a page: of a container, by its quotes and
 * brackets. Line breaks outside strings become blanks on the way.
 */
#ifndef WEIR_PAGE_SWEEP_H
#define WEIR_PAGE_SWEEP_H

#include <stdint.h>

struct sweep_state {
	uint64_t escape; /* 1: the next byte is escaped */
	uint64_t string; /* all ones: inside a string */
	uint64_t depth;
};

/* The byte after the container, or NULL where it does not end before `end`:
 * the state then goes on with the bytes that follow. */
typedef char *sweep_function(struct sweep_state *s, char *p, char *end);
sweep_function *sweep_choose(void);

#endif
