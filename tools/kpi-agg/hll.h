/*
 * HyperLogLog: how many different keys, in 16 KiB, within 0.81 % (standard
 * error). The hash has no key, so that pieces counted on different machines
 * merge; the estimate (Ertl 2017, arXiv 1702.01284, section 4) needs no
 * tables and no logarithms, so that every machine gives the same number.
 */
#ifndef KPI_HLL_H
#define KPI_HLL_H

#include <stddef.h>
#include <stdint.h>

#define HLL_BITS 14
#define HLL_SIZE ((size_t)1 << HLL_BITS)

/* Goes on from h, 0 at first. */
uint64_t hll_hash(uint64_t h, const void *p, size_t n);
void hll_add(uint8_t *reg, uint64_t hash);
void hll_merge(uint8_t *reg, const uint8_t *other);
uint64_t hll_count(const uint8_t *reg);

#endif
