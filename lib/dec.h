/*
 * Exact decimals: value = coef * 10^-scale, 128-bit coefficient. Nothing ever
 * passes through a double; what does not fit is said, never rounded.
 */
#ifndef WEIR_DEC_H
#define WEIR_DEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

__extension__ typedef __int128 dec_coef;

struct dec {
	dec_coef coef;
	int32_t scale; /* may be negative: 1e30 is {1, -30} */
};

#define DEC_ZERO ((struct dec){0, 0})

/* A whole JSON number. False: not a number, or more than 38 digits. */
bool dec_parse(const char *p, size_t n, struct dec *d);
/* False on overflow; *a is then unchanged. */
bool dec_add(struct dec *a, const struct dec *b);
bool dec_sub(struct dec *a, const struct dec *b);
bool dec_mul(struct dec *a, const struct dec *b);
int dec_cmp(const struct dec *a, const struct dec *b);
/* a / b rounded half to even at `places` decimals. False: b is 0, overflow. */
bool dec_div(const struct dec *a, const struct dec *b, int places,
    struct dec *q);
struct dec dec_from_i64(int64_t v);
/* False unless it is an integer in range. */
bool dec_to_i64(const struct dec *d, int64_t *v);
/* Plain decimal, shortest: no exponent, no trailing zeros ("-0.5", "1200"). */
#define DEC_TEXT 96
size_t dec_format(const struct dec *d, char out[DEC_TEXT]);

/*
 * Shortest exact form of any JSON number, of any length, for canonical JSON:
 * "1.0E2" is 100, "0.50" is 0.5, "-0" and "-0.0" are 0, and from 10^21 up or
 * under 10^-7 it is d.ddde+N / d.ddde-N as ECMAScript writes it, with all
 * digits kept. Appends to out. The text must be a valid JSON number.
 */
void num_canonical(struct buf *out, const char *p, size_t n);

#endif
