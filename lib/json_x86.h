/* What the AVX2 and AVX-512 kernels share. */
#include <immintrin.h>
#include <string.h>

#include "json_impl.h"

#define UTF8_BLOCKS
#define first_bit(x) ((unsigned)_tzcnt_u64(x))

static inline uint64_t
prefix_xor(uint64_t x)
{
	return (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(
	    _mm_set_epi64x(0, (long long)x), _mm_set1_epi8(-1), 0));
}

static inline const char *
string_end(const char *p, uint8_t *flags)
{
	for (p++;; p += 2) {
		unsigned m;

		for (;; p += 32) {
			__m256i x = _mm256_loadu_si256(
			    (const __m256i *)(const void *)p);

			m = (unsigned)_mm256_movemask_epi8(_mm256_or_si256(
			    _mm256_cmpeq_epi8(x, _mm256_set1_epi8('"')),
			    _mm256_cmpeq_epi8(x, _mm256_set1_epi8('\\'))));
			if (m != 0)
				break;
		}
		p += __builtin_ctz(m);
		if (*p == '"')
			return p + 1;
		*flags |= JSON_ESCAPED;
	}
}

/*
 * UTF-8 by table lookup (J. Keiser, D. Lemire, "Validating UTF-8 in less than
 * one instruction per byte", 2020): three nibbles of each pair of bytes give
 * the set of errors they allow; what all three allow is one.
 */
enum {
	SHORT = 1,         /* lead not followed by a continuation */
	LONG = 2,          /* ASCII followed by one */
	OVER3 = 4,         /* e0 80..9f */
	LARGE = 8,         /* over 10ffff, f4 90.. */
	SURROGATE = 16,    /* ed a0..bf */
	OVER2 = 32,        /* c0, c1 */
	LARGE4_OVER4 = 64, /* f5.. 80..8f, f0 80..8f */
	TWO = 128,         /* two continuations: right only in 3 and 4 */
	CARRY = SHORT | LONG | TWO,
};

static inline __m256i
table(char a, char b, char c, char d, char e, char f, char g, char h, char i,
    char j, char k, char l, char m, char n, char o, char q)
{
	return _mm256_broadcastsi128_si256(
	    _mm_setr_epi8(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, q));
}

static inline __m256i
utf8_errors(__m256i in, __m256i prev)
{
	const __m256i first = table(LONG, LONG, LONG, LONG, LONG, LONG, LONG,
	    LONG, (char)TWO, (char)TWO, (char)TWO, (char)TWO, SHORT | OVER2,
	    SHORT, SHORT | OVER3 | SURROGATE, SHORT | LARGE | LARGE4_OVER4);
	const char big = (char)(CARRY | LARGE | LARGE4_OVER4);
	const __m256i low_nibble = table(
	    (char)(CARRY | OVER3 | OVER2 | LARGE4_OVER4), (char)(CARRY | OVER2),
	    (char)CARRY, (char)CARRY, (char)(CARRY | LARGE), big, big, big, big,
	    big, big, big, big, (char)(big | SURROGATE), big, big);
	const char tail = (char)(LONG | OVER2 | TWO);
	const __m256i second = table(SHORT, SHORT, SHORT, SHORT, SHORT, SHORT,
	    SHORT, SHORT, (char)(tail | OVER3 | LARGE4_OVER4),
	    (char)(tail | OVER3 | LARGE), (char)(tail | SURROGATE | LARGE),
	    (char)(tail | SURROGATE | LARGE), SHORT, SHORT, SHORT, SHORT);
	const __m256i nibble = _mm256_set1_epi8(15);
	__m256i mid = _mm256_permute2x128_si256(prev, in, 0x21);
	__m256i one = _mm256_alignr_epi8(in, mid, 15);
	__m256i two = _mm256_alignr_epi8(in, mid, 14);
	__m256i three = _mm256_alignr_epi8(in, mid, 13);
	__m256i special, must;

	special = _mm256_and_si256(
	    _mm256_and_si256(
		_mm256_shuffle_epi8(
		    first, _mm256_and_si256(_mm256_srli_epi16(one, 4), nibble)),
		_mm256_shuffle_epi8(low_nibble, _mm256_and_si256(one, nibble))),
	    _mm256_shuffle_epi8(
		second, _mm256_and_si256(_mm256_srli_epi16(in, 4), nibble)));
	must = _mm256_or_si256(
	    _mm256_subs_epu8(two, _mm256_set1_epi8((char)(0xe0 - 0x80))),
	    _mm256_subs_epu8(three, _mm256_set1_epi8((char)(0xf0 - 0x80))));
	must = _mm256_and_si256(must, _mm256_set1_epi8((char)0x80));
	return _mm256_xor_si256(must, special);
}

static inline uint64_t
utf8_block(struct sweep *w, const char *p)
{
	const __m256i *at = (const __m256i *)(const void *)p;
	__m256i *keep = (__m256i *)(void *)w->utf8;
	__m256i a = _mm256_loadu_si256(at), b = _mm256_loadu_si256(at + 1);
	__m256i prev =
	    w->high ? _mm256_loadu_si256(keep) : _mm256_setzero_si256();
	__m256i err = _mm256_or_si256(utf8_errors(a, prev), utf8_errors(b, a));

	_mm256_storeu_si256(keep, b);
	return (uint64_t)!_mm256_testz_si256(err, err);
}
