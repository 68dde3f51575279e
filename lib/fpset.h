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

struct fpset;
/* max_bytes: most memory, 0 for no limit. */
struct fpset *fpset_new(uint64_t max_bytes);
void fpset_prefetch(const struct fpset *s, struct fp x);
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

#endif
