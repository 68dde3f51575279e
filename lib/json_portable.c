/* The kernel in plain C: eight bytes at a time in a register. */
#include <string.h>

#include "json_impl.h"

#define KERNEL json_kernel_portable
#define KERNEL_NAME "portable"
#define string_end json_string_end
#define first_bit(x) ((x) == 0 ? 0u : (unsigned)__builtin_ctzll(x))

#define EACH(byte) (0x0101010101010101ull * (uint64_t)(byte))

/* The top bits of the eight bytes, lowest byte first. */
static inline uint64_t
tops(uint64_t x)
{
	return (x >> 7 & EACH(1)) * 0x0102040810204080ull >> 56;
}

/* 0x80 in each byte that is zero. */
static inline uint64_t
zeros(uint64_t x)
{
	return ~(((x & EACH(0x7f)) + EACH(0x7f)) | x | EACH(0x7f));
}

static inline uint64_t
equal(uint64_t x, unsigned char c)
{
	return tops(zeros(x ^ EACH(c)));
}

static inline void
classify(const char *p, struct masks *m)
{
	memset(m, 0, sizeof(*m));
	for (int i = 0; i < 64; i += 8) {
		uint64_t x = 0, lower;

		for (int k = 0; k < 8; k++)
			x |= (uint64_t)(unsigned char)p[i + k] << 8 * k;
		lower = x | EACH(0x20);
		m->quote |= equal(x, '"') << i;
		m->backslash |= equal(x, '\\') << i;
		m->newline |= equal(x, '\n') << i;
		m->open |= equal(lower, '{') << i;
		m->close |= equal(lower, '}') << i;
		m->colon |= equal(x, ':') << i;
		m->comma |= equal(x, ',') << i;
		m->high |= tops(x) << i;
		m->square |= tops(~x << 2) << i;
		m->control |= tops(zeros(x & EACH(0xe0))) << i;
		m->blank |= (equal(x, ' ') | equal(x, '\t') | equal(x, '\r'))
			    << i;
	}
}

static inline uint64_t
prefix_xor(uint64_t x)
{
	for (int n = 1; n < 64; n *= 2)
		x ^= x << n;
	return x;
}

#include "json_kernel.h"
