/*
 * A set of 128-bit fingerprints, for exact distinct counts and dedup.
 *
 * Open addressing, grown by half in one sweep that gives the old pages back,
 * so that the peak is 36 bytes an id from a million ids up; pages are huge
 * where the system gives them. The hash is XXH3-128 under a secret of 192
 * random bytes, drawn per run or kept with a store. A false "already there"
 * has a chance under 1e-18 at 10^9 ids.
 */
#ifndef WEIR_FPSET_H
#define WEIR_FPSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fp {
	uint64_t lo, hi; /* never both 0 */
};

#define FP_SECRET 192
struct fp_key {
	unsigned char secret[FP_SECRET];
};
void fp_key_random(struct fp_key *k);
struct fp fp_hash(const struct fp_key *k, const void *p, size_t n);
/* Joins another part to a key of several members; order matters. */
struct fp fp_join(struct fp a, struct fp b);

/* Open for the inline functions below. */
struct fpset {
	struct fp *slot;
	size_t cap;   /* homes */
	size_t total; /* slots; the last one is always empty */
	size_t count, full;
	uint64_t max_bytes;
	bool zero; /* {0,0} marks an empty slot, so it is kept here */
};
/* max_bytes: most memory, 0 for no limit. */
struct fpset *fpset_new(uint64_t max_bytes);
/* 1: new; 0: was there; -1: the limit is reached. */
int fpset_add(struct fpset *s, struct fp x);
bool fpset_has(const struct fpset *s, struct fp x);
/* False: it was not there. */
bool fpset_remove(struct fpset *s, struct fp x);
/* Makes room for n members at once. False: over the limit, nothing is done. */
bool fpset_reserve(struct fpset *s, uint64_t n);
uint64_t fpset_count(const struct fpset *s);
uint64_t fpset_bytes(const struct fpset *s);
/* Calls visit for each member, in no order. */
void fpset_each(
    const struct fpset *s, void (*visit)(struct fp x, void *ctx), void *ctx);
void fpset_clear(struct fpset *s);
void fpset_free(struct fpset *s);

/*
 * A set whose members carry a word of the caller's in the low half of lo:
 * never 0, and not looked at when members are compared. It begins small.
 *
 *	if (fpset_room(s)) {
 *		struct fp *p = fpset_place(s, x);
 *
 *		if (fp_word(p) != 0)
 *			fp_set_word(p, …);
 *		else
 *			fpset_put(s, p, x, word);
 *	}
 */
#define FP_WORD ((uint64_t)UINT32_MAX)
struct fpset *fpset_new_words(void);
/* Room for one more. False: the limit is reached. */
bool fpset_grow(struct fpset *s);
/* The last slot was taken. */
void fpset_spill(struct fpset *s);

__extension__ typedef unsigned __int128 fp_u128;

static inline struct fp *
fpset_home(const struct fpset *s, struct fp x)
{
	return s->slot + (size_t)((fp_u128)x.hi * s->cap >> 64);
}

static inline void
fpset_prefetch(const struct fpset *s, struct fp x)
{
	__builtin_prefetch(fpset_home(s, x), 1);
}

static inline uint32_t
fp_word(const struct fp *p)
{
	return (uint32_t)p->lo;
}

static inline void
fp_set_word(struct fp *p, uint32_t word)
{
	p->lo = (p->lo & ~FP_WORD) | word;
}

static inline bool
fpset_room(struct fpset *s)
{
	return __builtin_expect(s->count < s->full, 1) || fpset_grow(s);
}

/* The slot that holds x, or the empty one where it belongs. */
static inline struct fp *
fpset_place(const struct fpset *s, struct fp x)
{
	struct fp *p = fpset_home(s, x);

	while ((p->hi != x.hi || ((p->lo ^ x.lo) & ~FP_WORD) != 0) &&
	       fp_word(p) != 0)
		p++;
	return p;
}

static inline void
fpset_put(struct fpset *s, struct fp *p, struct fp x, uint32_t word)
{
	p->hi = x.hi;
	p->lo = (x.lo & ~FP_WORD) | word;
	s->count++;
	if (__builtin_expect(p == s->slot + s->total - 1, 0))
		fpset_spill(s);
}

#endif
