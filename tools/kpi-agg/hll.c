/* HyperLogLog with the estimator of Ertl. */
#include <math.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "hll.h"

#define RANKS (64 - HLL_BITS + 1)

uint64_t
hll_hash(uint64_t h, const void *p, size_t n)
{
	return XXH3_64bits_withSeed(p, n, h);
}

void
hll_add(uint8_t *reg, uint64_t hash)
{
	uint64_t rest = hash << HLL_BITS;
	size_t i = (size_t)(hash >> (64 - HLL_BITS));
	uint8_t rank = (uint8_t)(rest == 0 ? RANKS : __builtin_clzll(rest) + 1);

	if (reg[i] < rank)
		reg[i] = rank;
}

void
hll_merge(uint8_t *reg, const uint8_t *other)
{
	for (size_t i = 0; i < HLL_SIZE; i++)
		if (reg[i] < other[i])
			reg[i] = other[i];
}

/* The paper's sigma and tau: what empty and full registers add. */
static double
sigma(double x)
{
	double y = 1, z = x, last;

	if (x >= 1)
		return HUGE_VAL;
	do {
		x *= x;
		last = z;
		z += x * y;
		y += y;
	} while (z > last);
	return z;
}

static double
tau(double x)
{
	double y = 1, z = 1 - x, last;

	if (x <= 0 || x >= 1)
		return 0;
	do {
		x = sqrt(x);
		last = z;
		y *= 0.5;
		z -= (1 - x) * (1 - x) * y;
	} while (z < last);
	return z / 3;
}

uint64_t
hll_count(const uint8_t *reg)
{
	static const double alpha = 0.72134752044448170368; /* 1 / (2 ln 2) */
	const double m = (double)HLL_SIZE;
	size_t count[RANKS + 1] = {0};
	double z;

	for (size_t i = 0; i < HLL_SIZE; i++)
		count[reg[i] <= RANKS ? reg[i] : RANKS]++;
	z = m * tau(1 - (double)count[RANKS] / m);
	for (int k = RANKS - 1; k >= 1; k--)
		z = 0.5 * (z + (double)count[k]);
	z += m * sigma((double)count[0] / m);
	return (uint64_t)(alpha * m * m / z + 0.5);
}
