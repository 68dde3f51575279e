/* The kernel for any x86-64. */
#ifdef __x86_64__
#include <emmintrin.h>
#include <string.h>

#include "json_impl.h"

#define KERNEL json_kernel_sse2
#define KERNEL_NAME "sse2"
#define string_end json_string_end
#define first_bit(x) ((x) == 0 ? 0u : (unsigned)__builtin_ctzll(x))

static inline uint64_t
mask4(const __m128i x[4])
{
	uint64_t m = 0;

	for (int i = 0; i < 4; i++)
		m |= (uint64_t)(unsigned)_mm_movemask_epi8(x[i]) << 16 * i;
	return m;
}

static inline uint64_t
equal4(const __m128i x[4], char c)
{
	__m128i want = _mm_set1_epi8(c), r[4];

	for (int i = 0; i < 4; i++)
		r[i] = _mm_cmpeq_epi8(x[i], want);
	return mask4(r);
}

static inline __attribute__((always_inline)) void
classify(const char *p, struct masks *m)
{
	const __m128i most = _mm_set1_epi8(0x1f), bit5 = _mm_set1_epi8(0x20);
	__m128i x[4], lower[4], round[4], under[4];

	for (int i = 0; i < 4; i++) {
		x[i] = _mm_loadu_si128((const __m128i *)(const void *)p + i);
		lower[i] = _mm_or_si128(x[i], bit5);
		round[i] = _mm_slli_epi16(x[i], 2);
		under[i] = _mm_cmpeq_epi8(_mm_max_epu8(x[i], most), most);
	}
	m->quote = equal4(x, '"');
	m->backslash = equal4(x, '\\');
	m->newline = equal4(x, '\n');
	m->open = equal4(lower, '{');
	m->close = equal4(lower, '}');
	m->colon = equal4(x, ':');
	m->comma = equal4(x, ',');
	m->high = mask4(x);
	m->square = ~mask4(round);
	m->control = mask4(under);
	m->blank = equal4(x, ' ');
	if (m->control != 0)
		m->blank |= equal4(x, '\t') | equal4(x, '\r');
}

static inline uint64_t
prefix_xor(uint64_t x)
{
	for (int n = 1; n < 64; n *= 2)
		x ^= x << n;
	return x;
}

#include "json_kernel.h"
#endif
