/*
 * Stepping over VALIDATED text, inline, for loops that touch every byte of a
 * record. Reads up to 63 bytes beyond the value (JSON_PAD allows it).
 */
#ifndef WEIR_SPAN_H
#define WEIR_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline const char *
span_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')
		p++;
	return p;
}

/* The first quote or backslash at or after p. */
static inline const char *
span_special(const char *p)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i slash = _mm_set1_epi8('\\');

	for (;; p += 32) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i y =
		    _mm_loadu_si128((const __m128i *)(const void *)(p + 16));
		unsigned m = (unsigned)_mm_movemask_epi8(_mm_or_si128(
		    _mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash)));
		unsigned n = (unsigned)_mm_movemask_epi8(_mm_or_si128(
		    _mm_cmpeq_epi8(y, quote), _mm_cmpeq_epi8(y, slash)));

		m |= n << 16;
		if (m != 0)
			return p + __builtin_ctz(m);
	}
#else
	while (*p != '"' && *p != '\\')
		p++;
	return p;
#endif
}

/* After the closing quote of the string at p; *escaped is set, never reset. */
static inline const char *
span_string(const char *p, bool *escaped)
{
	for (p = span_special(p + 1); *p == '\\'; p = span_special(p + 2))
		*escaped = true;
	return p + 1;
}

/* The first byte of text or key order: eight bytes as one number, the rest
 * zero, so that most keys are told apart by one compare. */
static inline uint64_t
span_prefix(const char *p, size_t n)
{
	uint64_t v;

	if (n == 0)
		return 0;
	memcpy(&v, p, sizeof v); /* the pad makes this safe */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return n >= 8 ? v : v & ~(UINT64_MAX >> 8 * n);
}

/* memcpy of short slices, in pieces of 64 bytes: `to` needs 63 bytes more
 * room than n, `from` 63 bytes more that can be read. */
static inline void
span_copy(char *to, const char *from, size_t n)
{
	do {
		memcpy(to, from, 64);
		to += 64;
		from += 64;
		n = n < 64 ? 0 : n - 64;
	} while (n > 0);
}

#endif
