/*
 * The kernels of sha.c: SHA-NI with two messages side by side, AVX-512 with
 * sixteen. Not for others.
 */
#ifndef WEIR_SHA_NI_H
#define WEIR_SHA_NI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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
/* Compresses n blocks into the state. */
void sha_ni_blocks(uint32_t state[8], const unsigned char *p, size_t n);

/* Needs SHA-NI, too, for what does not fill its lanes. */
bool sha_x16_here(void);
void sha_x16_run(const struct sha_job *job);

/* HMACs of sixteen messages of at most SHA_SHORT bytes. */
enum { SHA_LANES = 16, SHA_SHORT = 55 };
void sha_x16_hmac(const uint32_t inner[8], const uint32_t outer[8],
    const void *const p[SHA_LANES], const size_t len[SHA_LANES],
    unsigned char (*const out[SHA_LANES])[32]);

/* The last n (under 64) bytes of a message of `total`, then 0x80, zeros, and
 * the length in bits. Returns the count of blocks. */
static inline size_t
sha_pad(unsigned char tail[128], const unsigned char *rest, size_t n,
    uint64_t total)
{
	size_t blocks = n < 56 ? 1 : 2;

	memset(tail, 0, blocks * 64);
	if (n > 0)
		memcpy(tail, rest, n);
	tail[n] = 0x80;
	total *= 8;
	for (size_t i = 1; i <= 8; i++, total >>= 8)
		tail[blocks * 64 - i] = (unsigned char)total;
	return blocks;
}

static inline void
sha_store(const uint32_t h[8], unsigned char out[32])
{
	for (size_t i = 0; i < 8; i++) {
		out[4 * i] = (unsigned char)(h[i] >> 24);
		out[4 * i + 1] = (unsigned char)(h[i] >> 16);
		out[4 * i + 2] = (unsigned char)(h[i] >> 8);
		out[4 * i + 3] = (unsigned char)h[i];
	}
}

#endif
