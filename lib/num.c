/* Numbers of any length in their exact order. */
#include <stdint.h>

#include "num.h"

/* value = 0.d1d2d3… * 10^exp; the digits are read by a cursor. */
struct number {
	const char *p, *end; /* first digit that is not 0; end of mantissa */
	int64_t exp;
	int sign; /* 0: the number is 0 */
};

static int64_t
exponent(const char *p, const char *end)
{
	bool neg = false;
	int64_t v = 0;

	if (p < end && (*p == '-' || *p == '+'))
		neg = *p++ == '-';
	for (; p < end && v < INT64_MAX / 100; p++)
		v = v * 10 + (*p - '0');
	return neg ? -v : v;
}

static struct number
take(const char *p, size_t n)
{
	const char *end = p + n, *e, *dot = NULL;
	struct number x = {.sign = 1};

	if (p < end && *p == '-') {
		x.sign = -1;
		p++;
	}
	for (e = p; e < end && *e != 'e' && *e != 'E'; e++)
		if (*e == '.')
			dot = e;
	x.end = e;
	while (p < e && (*p == '0' || *p == '.'))
		p++;
	x.p = p;
	if (p == e) {
		x.sign = 0;
		return x;
	}
	if (dot == NULL)
		x.exp = e - p;
	else if (p < dot)
		x.exp = dot - p;
	else
		x.exp = dot + 1 - p;
	if (e < end)
		x.exp += exponent(e + 1, end);
	return x;
}

static int
digit(struct number *x)
{
	if (x->p < x->end && *x->p == '.')
		x->p++;
	return x->p < x->end ? *x->p++ - '0' : -1;
}

static int
magnitude(struct number a, struct number b)
{
	if (a.exp != b.exp)
		return a.exp < b.exp ? -1 : 1;
	for (;;) {
		int x = digit(&a), y = digit(&b);

		if (x < 0 && y < 0)
			return 0;
		x = x < 0 ? 0 : x;
		y = y < 0 ? 0 : y;
		if (x != y)
			return x < y ? -1 : 1;
	}
}

static bool
small(const char *p, size_t n, int64_t *v)
{
	bool neg = n > 0 && *p == '-';
	int64_t got = 0;

	if (n > 18)
		return false;
	for (size_t i = neg; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		got = got * 10 + (p[i] - '0');
	}
	*v = neg ? -got : got;
	return true;
}

int
num_cmp(const char *a, size_t an, const char *b, size_t bn)
{
	struct number x, y;
	int64_t i, k;

	if (small(a, an, &i) && small(b, bn, &k))
		return i < k ? -1 : i > k;
	x = take(a, an);
	y = take(b, bn);
	if (x.sign != y.sign)
		return x.sign < y.sign ? -1 : 1;
	if (x.sign == 0)
		return 0;
	return x.sign * magnitude(x, y);
}

bool
num_whole(const char *p, size_t n)
{
	struct number x;
	int64_t digits = 0, zeros = 0;
	int d;

	x = take(p, n);
	if (x.sign == 0)
		return true;
	while ((d = digit(&x)) >= 0) {
		digits++;
		zeros = d == 0 ? zeros + 1 : 0;
	}
	return digits - zeros <= x.exp;
}
