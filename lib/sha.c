/* SHA-256 and HMAC: our kernels for many messages at once, else libcrypto. */
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

enum path { UNKNOWN, PORTABLE, NI, X16 };

/* Looked at once: the answer cannot change during a run. */
static enum path
choose(void)
{
	static enum path known;
	const char *forced = getenv("WEIR_SIMD");

	if (known != UNKNOWN)
		return known;
	if (!sha_ni_here() ||
	    (forced != NULL && strcmp(forced, "portable") == 0))
		return known = PORTABLE;
	if (!sha_x16_here() || (forced != NULL && *forced != '\0' &&
				   strcmp(forced, "avx512") != 0))
		return known = NI;
	return known = X16;
}

/* From how many messages on sixteen lanes are worth their while. */
enum { MANY = 8 };

/* False: there is no kernel of ours for this processor. */
static bool
fast(const struct sha_job *job)
{
	enum path path = choose();

	if (path == PORTABLE)
		return false;
	if (path == X16 && job->n >= MANY)
		sha_x16_run(job);
	else
		sha_ni_run(job);
	return true;
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
	struct sha_job job = {n, p, len, out, sha_start, 0};

	if (fast(&job))
		return;
	for (size_t i = 0; i < n; i++)
		sha256_one(p[i], len[i], out[i]);
}

/* Eight digits at once: nibbles are spread over the bytes of a word, and
 * those from ten up are moved on to the letters. */
static inline uint64_t
hex8(uint32_t v)
{
	const uint64_t ones = 0x0101010101010101;
	uint64_t x = v, above;

	x = (x << 16 | x) & 0x0000ffff0000ffff;
	x = (x << 8 | x) & 0x00ff00ff00ff00ff;
	x = (x << 4 | x) & 0x0f0f0f0f0f0f0f0f;
	above = (x + 6 * ones) >> 4 & ones;
	return x + '0' * ones + above * ('a' - '0' - 10);
}

void
sha_hex(const unsigned char d[SHA_LEN], char out[SHA_HEX + 1])
{
	for (size_t i = 0; i < SHA_LEN; i += 4) {
		uint64_t x =
		    hex8((uint32_t)d[i] << 24 | (uint32_t)d[i + 1] << 16 |
			 (uint32_t)d[i + 2] << 8 | d[i + 3]);

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		x = __builtin_bswap64(x);
#endif
		memcpy(out + 2 * i, &x, 8);
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

	if (choose() != PORTABLE) {
		sha_ni_blocks(h, p, 1);
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
	if (fast(job))
		return;
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

static void
hmac_any(const struct hmac *h, size_t n, const void *const *p,
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

/* Short messages that wait for their lanes to be full. */
struct shorts {
	const struct hmac *h;
	size_t n, len[SHA_LANES];
	const void *p[SHA_LANES];
	unsigned char (*out[SHA_LANES])[SHA_LEN];
};

/* The lanes that have no message do the first one's again. */
static void
shorts_run(struct shorts *s)
{
	if (s->n == 0)
		return;
	for (size_t i = s->n; i < SHA_LANES; i++) {
		s->p[i] = s->p[0];
		s->len[i] = s->len[0];
		s->out[i] = s->out[0];
	}
	sha_x16_hmac(s->h->inner, s->h->outer, s->p, s->len, s->out);
	s->n = 0;
}

void
hmac_many(const struct hmac *h, size_t n, const void *const *p,
    const size_t *len, unsigned char (*out)[SHA_LEN])
{
	struct shorts s = {.h = h};

	if (choose() != X16 || n < MANY) {
		hmac_any(h, n, p, len, out);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (len[i] > SHA_SHORT) {
			hmac_any(h, 1, p + i, len + i, out + i);
			continue;
		}
		s.p[s.n] = p[i];
		s.len[s.n] = len[i];
		s.out[s.n] = out + i;
		if (++s.n == SHA_LANES)
			shorts_run(&s);
	}
	shorts_run(&s);
}
