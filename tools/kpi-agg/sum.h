/*
 * Exact sums of decimals, in any order: one 192-bit integer for each scale
 * that occurs, put together when asked. Only the result can be too large,
 * never a sum on the way, so the order of rows cannot matter.
 */
#ifndef KPI_SUM_H
#define KPI_SUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dec.h"

__extension__ typedef unsigned __int128 sum_low;

struct sum_part {
	sum_low low;
	int64_t high; /* two's complement over both */
	int32_t scale;
};

struct sum {
	struct sum_part one, *more; /* more: the others, sorted by scale */
	size_t nmore;
	bool used; /* one holds something */
};

void sum_add(struct sum *s, const struct dec *d);
void sum_merge(struct sum *s, const struct sum *other);
/* False: the sum has more than 38 digits. */
bool sum_total(const struct sum *s, struct dec *d);
/* For partial results: the parts by scale, NULL behind the last. */
const struct sum_part *sum_part(const struct sum *s, size_t i);
void sum_add_part(struct sum *s, const struct sum_part *p);
void sum_release(struct sum *s);

#endif
