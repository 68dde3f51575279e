/*
 * JSON numbers as their text, of any length: order and wholeness without a
 * double and without a limit on digits.
 */
#ifndef WEIR_NUM_H
#define WEIR_NUM_H

#include <stdbool.h>
#include <stddef.h>

/* -1, 0, 1. Both must be valid JSON numbers. */
int num_cmp(const char *a, size_t an, const char *b, size_t bn);
/* Is it whole? 1.0 and 12e1 are. */
bool num_whole(const char *p, size_t n);

#endif
