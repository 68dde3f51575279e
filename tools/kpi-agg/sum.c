/* Exact sums of decimals. */
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "sum.h"

static void
part_add(struct sum_part *p, sum_low low, int64_t high)
{
	p->low += low;
	p->high = (int64_t)((uint64_t)p->high + (uint64_t)high +
			    (p->low < low ? 1 : 0));
}

static struct sum_part *
part_of(struct sum *s, int32_t scale)
{
	size_t i = 0;

	if (!s->used) {
		s->used = true;
		s->one = (struct sum_part){0, 0, scale};
	}
	if (s->one.scale == scale)
		return &s->one;
	while (i < s->nmore && s->more[i].scale < scale)
		i++;
	if (i < s->nmore && s->more[i].scale == scale)
		return &s->more[i];
	s->more = xreallocarray(s->more, s->nmore + 1, sizeof *s->more);
	memmove(&s->more[i + 1], &s->more[i], (s->nmore - i) * sizeof *s->more);
	s->nmore++;
	s->more[i] = (struct sum_part){0, 0, scale};
	return &s->more[i];
}

void
sum_add(struct sum *s, const struct dec *d)
{
	part_add(part_of(s, d->scale), (sum_low)d->coef, d->coef < 0 ? -1 : 0);
}

void
sum_add_part(struct sum *s, const struct sum_part *p)
{
	part_add(part_of(s, p->scale), p->low, p->high);
}

void
sum_merge(struct sum *s, const struct sum *other)
{
	if (!other->used)
		return;
	sum_add_part(s, &other->one);
	for (size_t i = 0; i < other->nmore; i++)
		sum_add_part(s, &other->more[i]);
}

/* 768 bits of two's complement: 192 and the 145 digits between the least and
 * the greatest scale of dec.h fit. */
#define LIMBS 24
struct big {
	uint32_t limb[LIMBS];
};

static void
big_times10(struct big *b)
{
	uint64_t carry = 0;

	for (int i = 0; i < LIMBS; i++) {
		carry += (uint64_t)b->limb[i] * 10;
		b->limb[i] = (uint32_t)carry;
		carry >>= 32;
	}
}

static void
big_add(struct big *b, const struct sum_part *p)
{
	uint32_t sign = p->high < 0 ? UINT32_MAX : 0;
	uint64_t carry = 0;

	for (int i = 0; i < LIMBS; i++) {
		uint32_t v =
		    i < 4   ? (uint32_t)(p->low >> (32 * i))
		    : i < 6 ? (uint32_t)((uint64_t)p->high >> (32 * (i - 4)))
			    : sign;

		carry += (uint64_t)b->limb[i] + v;
		b->limb[i] = (uint32_t)carry;
		carry >>= 32;
	}
}

static bool
big_negative(const struct big *b)
{
	return b->limb[LIMBS - 1] >> 31 != 0;
}

static void
big_negate(struct big *b)
{
	uint64_t carry = 1;

	for (int i = 0; i < LIMBS; i++) {
		carry += (uint32_t)~b->limb[i];
		b->limb[i] = (uint32_t)carry;
		carry >>= 32;
	}
}

/* Of a number that is not negative. */
static uint32_t
big_over10(const struct big *b, struct big *quotient)
{
	uint64_t rest = 0;

	for (int i = LIMBS - 1; i >= 0; i--) {
		rest = rest << 32 | b->limb[i];
		quotient->limb[i] = (uint32_t)(rest / 10);
		rest %= 10;
	}
	return (uint32_t)rest;
}

static bool
big_fits(const struct big *b)
{
	for (int i = 4; i < LIMBS; i++)
		if (b->limb[i] != 0)
			return false;
	return b->limb[3] >> 31 == 0;
}

/* Takes trailing zeros off behind the point, and before it at need. */
static bool
big_dec(struct big *b, int32_t scale, struct dec *d)
{
	bool negative = big_negative(b);
	struct big q;
	sum_low v = 0;

	if (negative)
		big_negate(b);
	while ((scale > 0 || !big_fits(b)) && big_over10(b, &q) == 0) {
		bool zero = true;

		for (int i = 0; i < LIMBS && zero; i++)
			zero = q.limb[i] == 0;
		*b = q;
		scale = zero ? 0 : scale - 1;
	}
	if (!big_fits(b))
		return false;
	for (int i = 3; i >= 0; i--)
		v = v << 32 | b->limb[i];
	d->coef = negative ? -(dec_coef)v : (dec_coef)v;
	d->scale = v == 0 ? 0 : scale;
	return true;
}

const struct sum_part *
sum_part(const struct sum *s, size_t i)
{
	size_t before = 0;

	if (!s->used || i > s->nmore)
		return NULL;
	while (before < s->nmore && s->more[before].scale < s->one.scale)
		before++;
	if (i == before)
		return &s->one;
	return &s->more[i < before ? i : i - 1];
}

bool
sum_total(const struct sum *s, struct dec *d)
{
	const struct sum_part *p = sum_part(s, 0);
	struct big b = {{0}};
	int32_t scale = p == NULL ? 0 : p->scale;

	for (size_t i = 0; (p = sum_part(s, i)) != NULL; i++) {
		for (; scale < p->scale; scale++)
			big_times10(&b);
		big_add(&b, p);
	}
	return big_dec(&b, scale, d);
}

void
sum_release(struct sum *s)
{
	free(s->more);
	*s = (struct sum){.used = false};
}
