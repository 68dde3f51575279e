/* What the unit programs share: OK counts, unit_end says and exits. */
#ifndef UNIT_H
#define UNIT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

static unsigned long unit_bad, unit_all;

#define OK(cond)                                                               \
	do {                                                                   \
		unit_all++;                                                    \
		if (!(cond) && unit_bad++ < 20)                                \
			fprintf(                                               \
			    stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
	} while (0)

/* With the case it was. */
#define OKF(cond, ...)                                                         \
	do {                                                                   \
		unit_all++;                                                    \
		if (!(cond) && unit_bad++ < 20) {                              \
			fprintf(                                               \
			    stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond); \
			fprintf(stderr, __VA_ARGS__);                          \
			fputc('\n', stderr);                                   \
		}                                                              \
	} while (0)

static inline int
unit_end(void)
{
	printf("%lu of %lu wrong\n", unit_bad, unit_all);
	return unit_bad > 0 || unit_all == 0;
}

/* xorshift: the same numbers on every machine. */
static uint64_t unit_seed = 88172645463325252u;

static inline uint64_t
unit_random(void)
{
	unit_seed ^= unit_seed << 13;
	unit_seed ^= unit_seed >> 7;
	unit_seed ^= unit_seed << 17;
	return unit_seed;
}

#endif
