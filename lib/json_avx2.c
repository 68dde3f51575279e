/* The kernel for AVX2 with BMI and carry-less multiply. */
#ifdef __x86_64__
#ifdef __clang__
#pragma clang attribute push(                                     \
    __attribute__((target("avx2,bmi,bmi2,lzcnt,pclmul,popcnt"))), \
    apply_to = function)
#else
#pragma GCC target("avx2,bmi,bmi2,lzcnt,pclmul,popcnt")
#endif
#include "json_x86.h"

#define KERNEL json_kernel_avx2
#define KERNEL_NAME "avx2"

static inline uint64_t
mask2(__m256i a, __m256i b)
{
	return (uint32_t)_mm256_movemask_epi8(a) |
	       (uint64_t)(uint32_t)_mm256_movemask_epi8(b) << 32;
}

static inline uint64_t
equal2(__m256i a, __m256i b, char c)
{
	__m256i x = _mm256_set1_epi8(c);

	return mask2(_mm256_cmpeq_epi8(a, x), _mm256_cmpeq_epi8(b, x));
}

/* '[' and ']' become '{' and '}' with bit 5 set; no other byte does that but
 * the brackets themselves. */
static inline __attribute__((always_inline)) void
classify(const char *p, struct masks *m)
{
	const __m256i *at = (const __m256i *)(const void *)p;
	__m256i a = _mm256_loadu_si256(at), b = _mm256_loadu_si256(at + 1);
	__m256i bit5 = _mm256_set1_epi8(0x20), most = _mm256_set1_epi8(0x1f);
	__m256i la = _mm256_or_si256(a, bit5), lb = _mm256_or_si256(b, bit5);

	m->quote = equal2(a, b, '"');
	m->backslash = equal2(a, b, '\\');
	m->newline = equal2(a, b, '\n');
	m->open = equal2(la, lb, '{');
	m->close = equal2(la, lb, '}');
	m->colon = equal2(a, b, ':');
	m->comma = equal2(a, b, ',');
	m->high = mask2(a, b);
	m->square = ~mask2(_mm256_slli_epi16(a, 2), _mm256_slli_epi16(b, 2));
	m->control = mask2(_mm256_cmpeq_epi8(_mm256_max_epu8(a, most), most),
	    _mm256_cmpeq_epi8(_mm256_max_epu8(b, most), most));
	m->blank = equal2(a, b, ' ');
	if (m->control != 0)
		m->blank |= equal2(a, b, '\t') | equal2(a, b, '\r');
}

#include "json_kernel.h"

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
