/* JSON web tokens, bearer tokens, and those of App Store Connect. */
#include "auth.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "json.h"
#include "mem.h"
#include "sys.h"

enum {
	SIDE = 32, /* bytes of R and of S for P-256 */
	SIGNATURE_MAX = 1024,
	TOKEN_MAX = 4096,
	ASC_BACK_S = 30, /* clocks differ */
	ASC_LIFE_S = 1140,
	ASC_MARGIN_S = 300,
};

void
b64url(struct buf *out, const void *bytes, size_t n)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "abcdefghijklmnopqrstuvwxyz0123456789-_";
	const unsigned char *p = bytes;

	for (; n > 0; p += 3) {
		uint32_t v = (uint32_t)p[0] << 16;
		size_t k = n < 3 ? n : 3;

		v |= k > 1 ? (uint32_t)p[1] << 8 : 0;
		v |= k > 2 ? p[2] : 0;
		for (size_t i = 0; i <= k; i++)
			buf_char(out, set[v >> (18 - 6 * i) & 63]);
		n -= k;
	}
}

/* No key of ours is locked: libcrypto is not to ask the terminal. */
static int
no_password(char *to, int size, int writing, void *arg)
{
	(void)to;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static EVP_PKEY *
read_key(const struct secret *pem)
{
	BIO *b = pem->len <= INT32_MAX ? BIO_new_mem_buf(pem->p, (int)pem->len)
				       : NULL;
	EVP_PKEY *key = NULL;

	if (b != NULL)
		key = PEM_read_bio_PrivateKey(b, NULL, no_password, NULL);
	BIO_free(b);
	return key;
}

/* DER of ECDSA to R and S in fixed width: each may be short. */
static bool
fixed_width(const unsigned char *der, size_t n, unsigned char out[2 * SIDE])
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
	bool good =
	    sig != NULL &&
	    BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, SIDE) == SIDE &&
	    BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + SIDE, SIDE) == SIDE;

	ECDSA_SIG_free(sig);
	return good;
}

static bool
sign_text(EVP_PKEY *key, bool es256, const struct buf *text, struct buf *out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sig[SIGNATURE_MAX], fixed[2 * SIDE];
	size_t n = sizeof(sig);
	bool good =
	    ctx != NULL &&
	    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) > 0 &&
	    EVP_DigestSign(
		ctx, sig, &n, (const unsigned char *)text->p, text->len) > 0;

	EVP_MD_CTX_free(ctx);
	if (good && es256)
		good = fixed_width(sig, n, fixed);
	if (good)
		b64url(out, es256 ? fixed : sig, es256 ? sizeof(fixed) : n);
	return good;
}

/* NULL, or what is wrong with the key. */
static const char *
key_wrong(const EVP_PKEY *key, bool es256)
{
	if (key == NULL)
		return "not a private key in PEM, or locked by a password";
	if (es256 && (EVP_PKEY_get_base_id(key) != EVP_PKEY_EC ||
			 EVP_PKEY_get_bits(key) != 8 * SIDE))
		return "not a key for ES256 (EC, P-256)";
	if (!es256 && (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
			  EVP_PKEY_get_bits(key) < 2048))
		return "not a key for RS256 (RSA, 2048 bits or more)";
	return NULL;
}

int
jwt_sign(struct buf *out, const char *alg, const char *kid, const char *payload,
    const struct secret *pem)
{
	struct buf head = BUF_INIT(TOKEN_MAX), text = BUF_INIT(1 << 20);
	struct jsonw w;
	bool es256 = strcmp(alg, "ES256") == 0;
	EVP_PKEY *key = read_key(pem);
	const char *wrong = key_wrong(key, es256);

	jsonw_begin(&w, &head, '{');
	jsonw_str(&w, "alg", alg);
	if (kid != NULL)
		jsonw_str(&w, "kid", kid);
	jsonw_str(&w, "typ", "JWT");
	jsonw_end(&w);
	b64url(&text, head.p, head.len);
	buf_char(&text, '.');
	b64url(&text, payload, strlen(payload));
	if (wrong == NULL) {
		buf_add(out, text.p, text.len);
		buf_char(out, '.');
		if (!sign_text(key, es256, &text, out))
			wrong = "cannot sign with this key";
	}
	EVP_PKEY_free(key);
	ERR_clear_error();
	buf_release(&head);
	buf_release(&text);
	if (wrong == NULL)
		return RC_OK;
	warn_msg("private key", "%s", wrong);
	return RC_CONFIG;
}

/* Bearer tokens ---------------------------------------------------------- */

struct bearer_auth {
	struct secret token;
};

int
bearer_open(struct bearer_auth **b, const char *file)
{
	struct bearer_auth *n = xcalloc(1, sizeof(*n));
	int rc = secret_read(file, &n->token);

	*b = NULL;
	if (rc != RC_OK) {
		free(n);
		return rc;
	}
	*b = n;
	return RC_OK;
}

/* A token out of a file is what it is: asking again does not help. */
int
bearer_sign(void *ctx, bool refresh, struct buf *header)
{
	const struct bearer_auth *b = ctx;

	(void)refresh;
	buf_str(header, "Authorization: Bearer ");
	buf_add(header, b->token.p, b->token.len);
	return RC_OK;
}

const struct secret *
bearer_secret(const struct bearer_auth *b)
{
	return &b->token;
}

void
bearer_close(struct bearer_auth *b)
{
	if (b == NULL)
		return;
	secret_wipe(&b->token);
	free(b);
}

/* App Store Connect ------------------------------------------------------ */

struct asc_auth {
	struct secret key;
	char *kid, *issuer;
	char token[TOKEN_MAX];
	int64_t until; /* monotonic ns; 0: no token */
};

int
asc_auth_open(struct asc_auth **a, const char *key_file, const char *kid,
    const char *issuer)
{
	struct asc_auth *n = xcalloc(1, sizeof(*n));
	struct buf header = BUF_INIT(2 * TOKEN_MAX);
	int rc = secret_read_lines(key_file, &n->key);

	*a = NULL;
	n->kid = xstrdup(kid);
	n->issuer = issuer != NULL && *issuer != '\0' ? xstrdup(issuer) : NULL;
	if (rc == RC_OK) /* a wrong key is found before any work */
		rc = asc_sign(n, false, &header);
	if (header.p != NULL)
		explicit_bzero(header.p, header.cap);
	buf_release(&header);
	if (rc != RC_OK) {
		asc_auth_close(n);
		return rc;
	}
	*a = n;
	return RC_OK;
}

static int
asc_token(struct asc_auth *a)
{
	struct buf claims = BUF_INIT(TOKEN_MAX), out = BUF_INIT(TOKEN_MAX - 1);
	int64_t now = sys_real_ns() / 1000000000;
	struct jsonw w;
	int rc;

	jsonw_begin(&w, &claims, '{');
	if (a->issuer != NULL)
		jsonw_str(&w, "iss", a->issuer);
	else
		jsonw_str(&w, "sub", "user");
	jsonw_i64(&w, "iat", now - ASC_BACK_S);
	jsonw_i64(&w, "exp", now - ASC_BACK_S + ASC_LIFE_S);
	jsonw_str(&w, "aud", "appstoreconnect-v1");
	jsonw_end(&w);
	rc = jwt_sign(&out, "ES256", a->kid, buf_cstr(&claims), &a->key);
	if (rc == RC_OK && out.over)
		rc = RC_CONFIG;
	if (rc == RC_OK) {
		memcpy(a->token, buf_cstr(&out), out.len + 1);
		diag_secret(a->token, out.len);
		a->until =
		    sys_mono_ns() + (ASC_LIFE_S - ASC_BACK_S - ASC_MARGIN_S) *
					INT64_C(1000000000);
	}
	buf_release(&claims);
	buf_release(&out);
	return rc;
}

int
asc_sign(void *ctx, bool refresh, struct buf *header)
{
	struct asc_auth *a = ctx;

	if (refresh || a->until == 0 || sys_mono_ns() >= a->until) {
		int rc = asc_token(a);

		if (rc != RC_OK)
			return rc;
	}
	buf_str(header, "Authorization: Bearer ");
	buf_str(header, a->token);
	return RC_OK;
}

void
asc_auth_close(struct asc_auth *a)
{
	if (a == NULL)
		return;
	secret_wipe(&a->key);
	diag_forget(a->token);
	explicit_bzero(a->token, sizeof(a->token));
	free(a->kid);
	free(a->issuer);
	free(a);
}
