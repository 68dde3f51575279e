#include "page_sweep.h"

#include <stddef.h>

#include "sys.h"

#define ALWAYS static inline __attribute__((always_inline))

/* The bytes that do not fill a block. */
static char *
sweep_bytes(struct sweep_state *s, char *p, char *end)
{
	for (; p < end; p++) {
		if (s->string != 0) {
			if (s->escape != 0)
				s->escape = 0;
			else if (*p == '\\')
				s->escape = 1;
			else if (*p == '"')
				s->string = 0;
			continue;
		}
		switch (*p) {
		case '"':
			s->string = ~0ull;
			break;
		case '{':
		case '[':
			s->depth++;
			break;
		case '}':
		case ']':
			if (--s->depth == 0)
				return p + 1;
			break;
		case '\n':
			*p = ' ';
			break;
		}
	}
	return NULL;
}

#ifdef __SSE2__
#include <immintrin.h>

/* Bytes that a backslash escapes: see json_kernel.h. */
ALWAYS uint64_t
escaped_by(uint64_t backslash, uint64_t *carry)
{
	const uint64_t odd = 0xaaaaaaaaaaaaaaaaull;
	uint64_t starts, codes, esc;

	starts = backslash & ~*carry;
	codes = (((starts << 1) | odd) - starts) ^ odd;
	esc = codes ^ (backslash | *carry);
	*carry = (codes & backslash) >> 63;
	return esc;
}

ALWAYS uint64_t
xor_before(uint64_t x)
{
	for (unsigned i = 1; i < 64; i *= 2)
		x ^= x << i;
	return x;
}

struct block {
	uint64_t quote, backslash, open, close, newline;
};

ALWAYS char *
sweep_blocks(struct sweep_state *s, char *p, char *end,
    void (*classify)(const char *, struct block *))
{
	for (; end - p >= 64; p += 64) {
		struct block b;
		uint64_t quote, in, todo;

		classify(p, &b);
		quote = b.quote;
		if ((b.backslash | s->escape) != 0)
			quote &= ~escaped_by(b.backslash, &s->escape);
		in = xor_before(quote) ^ s->string;
		s->string = (uint64_t)((int64_t)in >> 63);
		b.open &= ~in;
		b.close &= ~in;
		b.newline &= ~in;
		if ((uint64_t)__builtin_popcountll(b.close) < s->depth) {
			s->depth += (uint64_t)__builtin_popcountll(b.open);
			s->depth -= (uint64_t)__builtin_popcountll(b.close);
		} else {
			for (todo = b.open | b.close; todo != 0;
			     todo &= todo - 1) {
				uint64_t bit = todo & (0 - todo);

				s->depth +=
				    (b.open & bit) != 0 ? 1 : UINT64_MAX;
				if (s->depth > 0)
					continue;
				for (b.newline &= bit - 1; b.newline != 0;
				     b.newline &= b.newline - 1)
					p[__builtin_ctzll(b.newline)] = ' ';
				return p + __builtin_ctzll(bit) + 1;
			}
		}
		for (; b.newline != 0; b.newline &= b.newline - 1)
			p[__builtin_ctzll(b.newline)] = ' ';
	}
	return sweep_bytes(s, p, end);
}

ALWAYS uint64_t
equal16(const __m128i x[4], char c)
{
	uint64_t m = 0;

	for (unsigned i = 0; i < 4; i++)
		m |= (uint64_t)(unsigned)_mm_movemask_epi8(
			 _mm_cmpeq_epi8(x[i], _mm_set1_epi8(c)))
		     << 16 * i;
	return m;
}

ALWAYS void
classify16(const char *p, struct block *b)
{
	__m128i x[4], lower[4];

	for (int i = 0; i < 4; i++) {
		x[i] = _mm_loadu_si128((const __m128i *)(const void *)p + i);
		lower[i] = _mm_or_si128(x[i], _mm_set1_epi8(0x20));
	}
	b->quote = equal16(x, '"');
	b->backslash = equal16(x, '\\');
	b->newline = equal16(x, '\n');
	b->open = equal16(lower, '{');
	b->close = equal16(lower, '}');
}

static char *
sweep_sse2(struct sweep_state *s, char *p, char *end)
{
	return sweep_blocks(s, p, end, classify16);
}

#define AVX2 __attribute__((target("avx2,bmi,popcnt,lzcnt")))

AVX2 ALWAYS uint64_t
equal32(__m256i x, __m256i y, char c)
{
	__m256i want = _mm256_set1_epi8(c);
	unsigned a = (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(x, want));
	unsigned b = (unsigned)_mm256_movemask_epi8(_mm256_cmpeq_epi8(y, want));

	return (uint64_t)b << 32 | a;
}

AVX2 ALWAYS void
classify32(const char *p, struct block *b)
{
	const __m256i *at = (const __m256i *)(const void *)p;
	__m256i x = _mm256_loadu_si256(at), y = _mm256_loadu_si256(at + 1);

	b->quote = equal32(x, y, '"');
	b->backslash = equal32(x, y, '\\');
	b->newline = equal32(x, y, '\n');
	x = _mm256_or_si256(x, _mm256_set1_epi8(0x20));
	y = _mm256_or_si256(y, _mm256_set1_epi8(0x20));
	b->open = equal32(x, y, '{');
	b->close = equal32(x, y, '}');
}

AVX2 static char *
sweep_avx2(struct sweep_state *s, char *p, char *end)
{
	return sweep_blocks(s, p, end, classify32);
}
#endif

sweep_function *
sweep_choose(void)
{
#ifdef __SSE2__
	return sys_has_avx2() ? sweep_avx2 : sweep_sse2;
#else
	return sweep_bytes;
#endif
}
