/*
 * Different keys, and for each the set of places where it was seen: one entry
 * of 24 bytes where 64 bits are places enough, whatever the number of rows
 * that it counts in.
 */
#ifndef KPI_KEYS_H
#define KPI_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fpset.h"

#define KEYS_WORDS_MAX 4
#define KEYS_PLACES_MAX (64 * KEYS_WORDS_MAX)

struct keys {
	uint64_t *slot; /* lo, hi, places[words]; lo and hi 0: free */
	size_t cap, n;
	unsigned words;
};

void keys_init(struct keys *k);
void keys_release(struct keys *k);
/* Frees what released tables left for others; before the program ends. */
void keys_give_back(void);
/* Room for one key more. False: the table would be over max bytes. */
bool keys_room(struct keys *k, uint64_t max);
/* Twice the places. */
void keys_widen(struct keys *k);
size_t keys_bytes(const struct keys *k);

static inline size_t
keys_stride(const struct keys *k)
{
	return 2 + k->words;
}

static inline uint64_t *
keys_home(const struct keys *k, struct fp x)
{
	return k->slot + (x.lo & (k->cap - 1)) * keys_stride(k);
}

static inline void
keys_prefetch(const struct keys *k, struct fp x)
{
	const uint64_t *s = keys_home(k, x);

	__builtin_prefetch(s, 1);
	__builtin_prefetch(s + keys_stride(k) - 1, 1);
}

/* Marks the key as seen at a place. keys_room came before. */
static inline void
keys_mark(struct keys *k, struct fp x, unsigned place)
{
	uint64_t *s = keys_home(k, x);
	const uint64_t *end = k->slot + k->cap * keys_stride(k);

	while ((s[0] != x.lo || s[1] != x.hi) && (s[0] | s[1]) != 0) {
		s += keys_stride(k);
		if (s == end)
			s = k->slot;
	}
	k->n += (s[0] | s[1]) == 0;
	s[0] = x.lo;
	s[1] = x.hi;
	s[2 + place / 64] |= (uint64_t)1 << place % 64;
}

#endif
