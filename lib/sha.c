/* SHA-256 and HMAC: SHA-NI for many messages at once, libcrypto else. */
#include "sha.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The plain functions: EVP_MD_fetch crashes where there was no memory for
 * libcrypto's initialisation, and takes a millisecond at each start. HMAC
 * also needs to begin from a prepared state, which EVP cannot. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include "mem.h"
#include "sha_ni.h"

const uint32_t sha_k[64] = {0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5,
    0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
    0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138,
    0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624,
    0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5,
    0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f,
    0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static const uint32_t sha_start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
    0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

struct sha256 {
	SHA256_CTX ctx;
};

/* Looked at once: the answer cannot change during a run. */
static bool
use_ni(void)
{
	static int known = -1;

	if (known < 0) {
		const char *forced = getenv("WEIR_SIMD");

		known = sha_ni_here() &&
			(forced == NULL || strcmp(forced, "portable") != 0);
	}
	return known == 1;
}

void
sha256_one(const void *p, size_t len, unsigned char out[SHA_LEN])
{
	SHA256_CTX c;

	SHA256_Init(&c);
	SHA256_Update(&c, p, len);
	SHA256_Final(out, &c);
}

void
sha256_many(size_t n, const void *const *p, const size_t *len,
    unsigned char (*out)[SHA_LEN])
{
	if (use_ni()) {
		struct sha_job job = {n, p, len, out, sha_start, 0};

		sha_ni_run(&job);
		return;
	}
	for (size_t i = 0; i < n; i++)
		sha256_one(p[i], len[i], out[i]);
}

void
sha_hex(const unsigned char d[SHA_LEN], char out[SHA_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < SHA_LEN; i++) {
		out[2 * i] = digits[d[i] >> 4];
		out[2 * i + 1] = digits[d[i] & 15];
	}
	out[SHA_HEX] = '\0';
}

struct sha256 *
sha256_new(void)
{
	struct sha256 *s = xmalloc(sizeof *s);

	SHA256_Init(&s->ctx);
	return s;
}

void
sha256_add(struct sha256 *s, const void *p, size_t n)
{
	SHA256_Update(&s->ctx, p, n);
}

void
sha256_end(struct sha256 *s, unsigned char out[SHA_LEN])
{
	SHA256_Final(out, &s->ctx);
	free(s);
}

static void
block(uint32_t h[8], const unsigned char *p)
{
	SHA256_CTX c;

	if (use_ni()) {
		sha_ni_block(h, p);
		return;
	}
	SHA256_Init(&c);
	memcpy(c.h, h, sizeof c.h);
	SHA256_Transform(&c, p);
	memcpy(h, c.h, sizeof c.h);
}

/* A message of which `before` bytes are in the start state already. */
static void
finish_portable(const struct sha_job *job, size_t i)
{
	SHA256_CTX c;

	SHA256_Init(&c);
	memcpy(c.h, job->start, sizeof c.h);
	c.Nl = (SHA_LONG)(job->before * 8);
	SHA256_Update(&c, job->p[i], job->len[i]);
	SHA256_Final(job->out[i], &c);
}

static void
run(const struct sha_job *job)
{
	if (use_ni()) {
		sha_ni_run(job);
		return;
	}
	for (size_t i = 0; i < job->n; i++)
		finish_portable(job, i);
}

void
hmac_key(struct hmac *h, const void *key, size_t len)
{
	unsigned char k[64] = {0}, pad[64];

	if (len > sizeof k)
		sha256_one(key, len, k);
	else if (len > 0)
		memcpy(k, key, len);
	memcpy(h->inner, sha_start, sizeof h->inner);
	memcpy(h->outer, sha_start, sizeof h->outer);
	for (size_t i = 0; i < sizeof k; i++)
		pad[i] = k[i] ^ 0x36;
	block(h->inner, pad);
	for (size_t i = 0; i < sizeof k; i++)
		pad[i] = k[i] ^ 0x5c;
	block(h->outer, pad);
	explicit_bzero(k, sizeof k);
	explicit_bzero(pad, sizeof pad);
}

enum { HMAC_CHUNK = 64 };

void
hmac_many(const struct hmac *h, size_t n, const void *const *p,
    const size_t *len, unsigned char (*out)[SHA_LEN])
{
	unsigned char inner[HMAC_CHUNK][SHA_LEN];
	const void *q[HMAC_CHUNK];
	size_t qlen[HMAC_CHUNK];

	for (size_t i = 0; i < HMAC_CHUNK; i++) {
		q[i] = inner[i];
		qlen[i] = SHA_LEN;
	}
	while (n > 0) {
		size_t m = n < HMAC_CHUNK ? n : HMAC_CHUNK;
		struct sha_job in = {m, p, len, inner, h->inner, 64};
		struct sha_job fin = {m, q, qlen, out, h->outer, 64};

		run(&in);
		run(&fin);
		n -= m;
		p += m;
		len += m;
		out += m;
	}
}
