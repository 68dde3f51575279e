/*
 * SHA-256 (FIPS 180-4) and HMAC (RFC 2104). Many messages at once use SHA-NI
 * two lanes wide where the processor has it, libcrypto else; the digests are
 * the same.
 */
#ifndef WEIR_SHA_H
#define WEIR_SHA_H

#include <stddef.h>
#include <stdint.h>

#define SHA_LEN 32
#define SHA_HEX 64

/* n independent messages. */
void sha256_many(size_t n, const void *const *p, const size_t *len,
    unsigned char (*out)[SHA_LEN]);
void sha256_one(const void *p, size_t len, unsigned char out[SHA_LEN]);
void sha_hex(const unsigned char d[SHA_LEN], char out[SHA_HEX + 1]);

/* A running digest. */
struct sha256;
struct sha256 *sha256_new(void);
void sha256_add(struct sha256 *s, const void *p, size_t n);
void sha256_end(struct sha256 *s, unsigned char out[SHA_LEN]); /* and free */

/* HMAC with prepared pads: hmac_key once, then any number of messages. */
struct hmac {
	uint32_t inner[8], outer[8];
};
void hmac_key(struct hmac *h, const void *key, size_t len);
void hmac_many(const struct hmac *h, size_t n, const void *const *p,
    const size_t *len, unsigned char (*out)[SHA_LEN]);

#endif
