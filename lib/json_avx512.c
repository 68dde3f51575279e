/* The kernel for AVX-512 with byte compares (Skylake-SP and later). */
#ifdef __x86_64__
#ifdef __clang__
#pragma clang attribute push(                                           \
    __attribute__((                                                     \
	target("avx2,avx512f,avx512bw,bmi,bmi2,lzcnt,pclmul,popcnt"))), \
    apply_to = function)
#else
#pragma GCC target("avx2,avx512f,avx512bw,bmi,bmi2,lzcnt,pclmul,popcnt")
#endif
#include "json_x86.h"

#define KERNEL json_kernel_avx512
#define KERNEL_NAME "avx512"

static inline __attribute__((always_inline)) void
classify(const char *p, struct masks *m)
{
	__m512i x = _mm512_loadu_si512(p);
	__m512i bit5 = _mm512_set1_epi8(0x20);
	__m512i lower = _mm512_or_si512(x, bit5);

	m->quote = _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('"'));
	m->backslash = _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('\\'));
	m->newline = _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('\n'));
	m->open = _mm512_cmpeq_epi8_mask(lower, _mm512_set1_epi8('{'));
	m->close = _mm512_cmpeq_epi8_mask(lower, _mm512_set1_epi8('}'));
	m->colon = _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8(':'));
	m->comma = _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8(','));
	m->high = _mm512_movepi8_mask(x);
	m->square = _mm512_testn_epi8_mask(x, bit5);
	m->control = _mm512_cmplt_epu8_mask(x, bit5);
	m->blank = _mm512_cmpeq_epi8_mask(x, bit5);
	if (m->control != 0)
		m->blank |= _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('\t')) |
			    _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('\r'));
}

#include "json_kernel.h"

#ifdef __clang__
#pragma clang attribute pop
#endif
#endif
