/*
 * Different keys, and for each the set of places where it was seen: one slot
 * of 16 bytes a key. Its word is a set of the first 31 places, or one place
 * beyond these, or says where a wider set of places stands; only keys that
 * were seen in several places, one of them beyond, need such a one.
 *
 * Keys are told apart by 96 bits.
 */
#ifndef KPI_KEYS_H
#define KPI_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fpset.h"

#define KEYS_WORDS_MAX 4
#define KEYS_PLACES_MAX (64 * KEYS_WORDS_MAX)

#define KEYS_NARROW 31 /* places that the word has bits for */
#define KEYS_ONE ((uint32_t)1 << 31)
#define KEYS_WIDE ((uint32_t)3 << 30)
#define KEYS_REST (((uint32_t)1 << 30) - 1)

struct keys {
	struct fpset *set;
	uint64_t *wide; /* sets of `words` words */
	size_t nwide, room;
	unsigned words;
};

void keys_init(struct keys *k);
void keys_release(struct keys *k);
/* Twice the places. */
void keys_widen(struct keys *k);
size_t keys_bytes(const struct keys *k);
/* Makes the set of a word wide, with a place more; the new word. */
uint32_t keys_wide(struct keys *k, uint32_t word, unsigned place);
/* The places of a word. */
void keys_places(
    const struct keys *k, uint32_t word, uint64_t places[KEYS_WORDS_MAX]);

/* What is kept of a key. */
static inline struct fp
keys_kept(struct fp x)
{
	x.lo &= ~FP_WORD;
	return x;
}

/* Marks the key as seen at a place. fpset_room came before. */
static inline void
keys_mark(struct keys *k, struct fp x, unsigned place)
{
	struct fp *p = fpset_place(k->set, x);
	uint32_t was = fp_word(p);
	uint32_t is =
	    place < KEYS_NARROW ? (uint32_t)1 << place : KEYS_ONE | place;

	if (was == 0)
		fpset_put(k->set, p, x, is);
	else if ((was | is) < KEYS_ONE)
		fp_set_word(p, was | is);
	else if (was >= KEYS_WIDE)
		k->wide[(was & KEYS_REST) * k->words + place / 64] |=
		    (uint64_t)1 << place % 64;
	else if (was != is)
		fp_set_word(p, keys_wide(k, was, place));
}

#endif
