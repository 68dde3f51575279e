/* SHA-256 and HMAC against published vectors and libcrypto. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "sha.h"
#include "sys.h"

static int wrong;

static void
check(const char *what, const unsigned char *got, const char *want)
{
	char hex[SHA_HEX + 1];

	sha_hex(got, hex);
	if (strncmp(hex, want, strlen(want)) != 0) {
		printf("%s: %s, not %s\n", what, hex, want);
		wrong++;
	}
}

static void
check_bytes(const char *what, size_t n, const void *got, const void *want)
{
	if (memcmp(got, want, SHA_LEN) != 0) {
		printf("%s: differs at length %zu\n", what, n);
		wrong++;
	}
}

/* FIPS 180-4 examples as NIST publishes them. */
static void
nist(void)
{
	static const struct {
		const char *text, *hex;
	} t[] = {
	    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852"
		 "b855"},
	    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f2"
		    "0015ad"},
	    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06"
		"c1"},
	    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
	     "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
		"cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9"
		"d1"},
	};
	char *million = malloc(1000000);
	const void *p = million;
	size_t len = 1000000;
	unsigned char d[1][SHA_LEN];

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		const void *q = t[i].text;
		size_t n = strlen(t[i].text);

		sha256_one(q, n, d[0]);
		check("NIST, one", d[0], t[i].hex);
		sha256_many(1, &q, &n, d);
		check("NIST, many", d[0], t[i].hex);
	}
	if (million == NULL)
		abort();
	memset(million, 'a', len);
	sha256_many(1, &p, &len, d);
	check("a million a", d[0],
	    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(million);
}

/* RFC 4231, section 4. */
static void
rfc4231(void)
{
	unsigned char k1[20], k3[20], k4[25], k6[131], d3[50], d4[50];
	static const char six[] =
	    "Test Using Larger Than Block-Size Key - Hash Key First";
	static const char seven[] =
	    "This is a test using a larger than block-size key and a larger "
	    "than block-size data. The key needs to be hashed before being "
	    "used by the HMAC algorithm.";
	const struct {
		const void *key;
		size_t key_len;
		const void *data;
		size_t len;
		const char *hex;
	} t[] = {
	    {k1, sizeof k1, "Hi There", 8,
		"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cf"
		"f7"},
	    {"Jefe", 4, "what do ya want for nothing?", 28,
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec38"
		"43"},
	    {k3, sizeof k3, d3, sizeof d3,
		"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565"
		"fe"},
	    {k4, sizeof k4, d4, sizeof d4,
		"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff4672966"
		"5"
		"b"},
	    {k6, sizeof k6, six, sizeof six - 1,
		"60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f"
		"54"},
	    {k6, sizeof k6, seven, sizeof seven - 1,
		"9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35"
		"e2"},
	};

	memset(k1, 0x0b, sizeof k1);
	memset(k3, 0xaa, sizeof k3);
	memset(k6, 0xaa, sizeof k6);
	memset(d3, 0xdd, sizeof d3);
	memset(d4, 0xcd, sizeof d4);
	for (size_t i = 0; i < sizeof k4; i++)
		k4[i] = (unsigned char)(i + 1);
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct hmac h;
		unsigned char d[1][SHA_LEN];

		hmac_key(&h, t[i].key, t[i].key_len);
		hmac_many(&h, 1, &t[i].data, &t[i].len, d);
		check("RFC 4231", d[0], t[i].hex);
	}
}

/* Many messages of the lengths first, first + 1, … at odd addresses. */
static void
against_libcrypto(size_t first, size_t n, size_t step)
{
	const size_t room = first + n * step + 40;
	unsigned char *text = malloc(room), want[SHA_LEN];
	const void **p = calloc(n, sizeof *p);
	size_t *len = calloc(n, sizeof *len);
	unsigned char(*d)[SHA_LEN] = calloc(n, SHA_LEN);
	struct hmac h;
	unsigned hlen;

	if (text == NULL || p == NULL || len == NULL || d == NULL)
		abort();
	sys_random(text, room);
	for (size_t i = 0; i < n; i++) {
		p[i] = text + i % 7;
		len[i] = first + i * step;
	}
	sha256_many(n, p, len, d);
	for (size_t i = 0; i < n; i++) {
		struct sha256 *s = sha256_new();

		if (EVP_Digest(p[i], len[i], want, NULL, EVP_sha256(), NULL) !=
		    1)
			abort();
		check_bytes("sha256_many", len[i], d[i], want);
		sha256_add(s, p[i], len[i] / 3);
		sha256_add(
		    s, (const char *)p[i] + len[i] / 3, len[i] - len[i] / 3);
		sha256_end(s, d[i]);
		check_bytes("sha256_add", len[i], d[i], want);
	}
	hmac_key(&h, text, 33);
	hmac_many(&h, n, p, len, d);
	for (size_t i = 0; i < n; i++) {
		HMAC(EVP_sha256(), text, 33, p[i], len[i], want, &hlen);
		check_bytes("hmac_many", len[i], d[i], want);
	}
	free(text);
	free(p);
	free(len);
	free(d);
}

int
main(int argc, char **argv)
{
	(void)argc;
	diag_init(argv[0]);
	nist();
	rfc4231();
	against_libcrypto(0, 301, 1);
	against_libcrypto(1, 1, 1);
	against_libcrypto(63, 2, 1);
	against_libcrypto(0, 130, 0);
	against_libcrypto(40, 33, 1);
	for (int i = 0; i < 40; i++) {
		uint16_t r[3];

		sys_random(r, sizeof r);
		against_libcrypto(r[0] % 2000, r[1] % 130, r[2] % 90 + 1);
	}
	puts(wrong == 0 ? "ok" : "wrong");
	return wrong != 0;
}
