/* JSON web tokens with keys made here, each checked by libcrypto. */
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "auth.h"
#include "diag.h"
#include "exits.h"
#include "json.h"
#include "mem.h"
#include "unit.h"

enum { TIMES = 600 };

static EVP_PKEY *
make(bool ec, const char *curve)
{
	EVP_PKEY *k = ec ? EVP_EC_gen(curve) : EVP_RSA_gen(2048);

	if (k == NULL)
		abort();
	return k;
}

static struct secret
pem(EVP_PKEY *k)
{
	BIO *b = BIO_new(BIO_s_mem());
	struct secret s = {NULL, 0};
	char *p;
	long n;

	PEM_write_bio_PKCS8PrivateKey(b, k, NULL, NULL, 0, NULL, NULL);
	n = BIO_get_mem_data(b, &p);
	s.p = xstrndup(p, (size_t)n);
	s.len = (size_t)n;
	BIO_free(b);
	return s;
}

static int
sextet(char c)
{
	static const char set[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrs"
	    "tuvwxyz0123456789-_";
	const char *at = c != 0 ? strchr(set, c) : NULL;

	return at != NULL ? (int)(at - set) : -1;
}

static size_t
unb64(const char *p, size_t n, unsigned char *out)
{
	uint32_t v = 0;
	size_t bits = 0, to = 0;

	for (size_t i = 0; i < n; i++) {
		int s = sextet(p[i]);

		if (s < 0)
			return 0;
		v = v << 6 | (uint32_t)s;
		bits += 6;
		if (bits >= 8)
			out[to++] = (unsigned char)(v >> (bits -= 8));
	}
	return to;
}

static bool
verify(EVP_PKEY *k, const char *text, size_t n, const unsigned char *sig,
    size_t len)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool good =
	    EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, k) > 0 &&
	    EVP_DigestVerify(c, sig, len, (const unsigned char *)text, n) == 1;

	EVP_MD_CTX_free(c);
	return good;
}

static void
one(EVP_PKEY *k, const struct secret *key, bool es, int i, int *short_r,
    int *short_s)
{
	struct buf out = BUF_INIT(1 << 16);
	char payload[64];
	unsigned char raw[600], *der = NULL;
	const char *text, *dot, *sig;
	size_t n;

	snprintf(payload, sizeof(payload), "{\"i\":%d}", i);
	OK(jwt_sign(&out, es ? "ES256" : "RS256", "k\"1", payload, key) ==
	    RC_OK);
	text = buf_cstr(&out);
	OK(strpbrk(text, "=+/\n") == NULL);
	dot = strchr(text, '.');
	sig = strrchr(text, '.') + 1;
	n = unb64(text, (size_t)(dot - text), raw);
	raw[n] = '\0';
	OK(strcmp((char *)raw, es ? "{\"alg\":\"ES256\",\"kid\":\"k\\\"1\","
				    "\"typ\":\"JWT\"}"
				  : "{\"alg\":\"RS256\",\"kid\":\"k\\\"1\","
				    "\"typ\":\"JWT\"}") == 0);
	n = unb64(dot + 1, (size_t)(sig - dot) - 2, raw);
	raw[n] = '\0';
	OK(strcmp((char *)raw, payload) == 0);
	n = unb64(sig, strlen(sig), raw);
	OK(n == (es ? 64u : 256u));
	if (es) {
		ECDSA_SIG *s = ECDSA_SIG_new();

		*short_r += raw[0] == 0;
		*short_s += raw[32] == 0;
		ECDSA_SIG_set0(
		    s, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
		n = (size_t)i2d_ECDSA_SIG(s, &der);
		OK(verify(k, text, (size_t)(sig - text) - 1, der, n));
		OPENSSL_free(der);
		ECDSA_SIG_free(s);
	} else {
		OK(verify(k, text, (size_t)(sig - text) - 1, raw, n));
	}
	buf_release(&out);
}

static void
refused(const char *alg, const struct secret *key)
{
	struct buf out = BUF_INIT(1 << 16);

	OK(jwt_sign(&out, alg, NULL, "{}", key) == RC_CONFIG);
	OK(out.len == 0);
	buf_release(&out);
}

int
main(int argc, char **argv)
{
	EVP_PKEY *ec = make(true, "P-256"), *rsa = make(false, NULL);
	EVP_PKEY *wide = make(true, "P-384");
	struct secret ec_pem = pem(ec), rsa_pem = pem(rsa), other = pem(wide);
	struct secret junk = {xstrdup("not a key"), 9};
	struct buf b = BUF_INIT(100);
	int short_r = 0, short_s = 0, i;

	(void)argc;
	diag_init(argv[0]);
	b64url(&b, "\xff\xfe", 2);
	buf_char(&b, ' ');
	b64url(&b, "f", 1);
	buf_char(&b, ' ');
	b64url(&b, "foobar", 6);
	OK(strcmp(buf_cstr(&b), "__4 Zg Zm9vYmFy") == 0);
	for (i = 0; i < TIMES || ((short_r == 0 || short_s == 0) && i < 9999);
	     i++)
		one(ec, &ec_pem, true, i, &short_r, &short_s);
	OK(short_r > 0 && short_s > 0);
	printf("%d signatures, %d with a short R, %d with a short S\n", i,
	    short_r, short_s);
	for (i = 0; i < 20; i++)
		one(rsa, &rsa_pem, false, i, &short_r, &short_s);
	refused("RS256", &ec_pem);
	refused("ES256", &rsa_pem);
	refused("ES256", &other);
	refused("ES256", &junk);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(wide);
	free(ec_pem.p);
	free(rsa_pem.p);
	free(other.p);
	free(junk.p);
	buf_release(&b);
	return unit_end();
}
