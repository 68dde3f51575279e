/*
 * The SHA-NI kernel of sha.c, two messages side by side. Not for others.
 */
#ifndef WEIR_SHA_NI_H
#define WEIR_SHA_NI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is to be hashed from where: the digests begin at `start` (eight words)
 * after `before` bytes that were compressed into it, a multiple of 64. */
struct sha_job {
	size_t n;
	const void *const *p;
	const size_t *len;
	unsigned char (*out)[32];
	const uint32_t *start;
	uint64_t before;
};

extern const uint32_t sha_k[64];

/* Is it compiled in, and does the processor have it? */
bool sha_ni_here(void);
void sha_ni_run(const struct sha_job *job);
/* Compresses one block into the state. */
void sha_ni_block(uint32_t state[8], const unsigned char block[64]);

#endif
