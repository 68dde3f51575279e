/* Exact decimals with a 128-bit coefficient. */
#include "dec.h"

#include <string.h>

#include "buf.h"

__extension__ typedef unsigned __int128 dec_abs;

enum {
	DIGITS_MAX = 38,
	SCALE_MAX = 90, /* so that dec_format's text fits */
	SCALE_MIN = -54,
	FAST_DIGITS = 18,
	EXP_DIGITS = 17, /* exponents up to this many digits fit an int64 */
};

#define COEF_MAX ((dec_coef)(~(dec_abs)0 >> 1))

static dec_abs
magnitude(dec_coef v)
{
	return v < 0 ? 0 - (dec_abs)v : (dec_abs)v;
}

/* 10^n, n from 0 to 38. */
static dec_coef
power(int n)
{
	static const uint64_t low[] = {1u, 10u, 100u, 1000u, 10000u, 100000u,
	    1000000u, 10000000u, 100000000u, 1000000000u, 10000000000u,
	    100000000000u, 1000000000000u, 10000000000000u, 100000000000000u,
	    1000000000000000u, 10000000000000000u, 100000000000000000u,
	    1000000000000000000u, 10000000000000000000u};

	return n < 20 ? (dec_coef)low[n] : (dec_coef)low[19] * low[n - 19];
}

/* v * 10^n; false where that does not fit. */
static bool
shift(dec_coef *v, int64_t n)
{
	if (*v == 0 || n == 0)
		return true;
	return n > 0 && n <= DIGITS_MAX &&
	       !__builtin_mul_overflow(*v, power((int)n), v);
}

static void
trim(struct dec *d)
{
	if (d->coef == 0)
		d->scale = 0;
	while (d->coef != 0 && d->coef % 10 == 0) {
		d->coef /= 10;
		d->scale--;
	}
}

/* Takes coef * 10^-scale where the scale is one we can print. */
static bool
settle(dec_coef coef, int64_t scale, struct dec *d)
{
	while (coef != 0 && scale > 0 && scale > SCALE_MAX && coef % 10 == 0) {
		coef /= 10;
		scale--;
	}
	while (coef != 0 && scale < SCALE_MIN) {
		if (__builtin_mul_overflow(coef, (dec_coef)10, &coef))
			return false;
		scale++;
	}
	if (coef == 0)
		scale = 0;
	if (scale > SCALE_MAX)
		return false;
	d->coef = coef;
	d->scale = (int32_t)scale;
	return true;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The pieces of a JSON number's text. */
struct number {
	bool negative;
	const char *whole, *part; /* digits before and behind the point */
	size_t whole_n, part_n;
	bool exp_negative;
	const char *exp; /* without leading zeros */
	size_t exp_n;
};

static bool
number_split(const char *p, size_t n, struct number *num)
{
	const char *end = p + n;

	memset(num, 0, sizeof(*num));
	if (p < end && *p == '-') {
		num->negative = true;
		p++;
	}
	for (num->whole = p; p < end && is_digit(*p); p++)
		num->whole_n++;
	if (num->whole_n == 0 || (num->whole_n > 1 && *num->whole == '0'))
		return false;
	if (p < end && *p == '.') {
		for (num->part = ++p; p < end && is_digit(*p); p++)
			num->part_n++;
		if (num->part_n == 0)
			return false;
	}
	if (p == end)
		return true;
	if (*p != 'e' && *p != 'E')
		return false;
	p++;
	if (p < end && (*p == '+' || *p == '-'))
		num->exp_negative = *p++ == '-';
	if (p == end || !is_digit(*p))
		return false;
	while (p + 1 < end && *p == '0' && is_digit(p[1]))
		p++;
	for (num->exp = p; p < end && is_digit(*p); p++)
		num->exp_n++;
	return p == end;
}

static char
number_digit(const struct number *num, size_t i)
{
	return i < num->whole_n ? num->whole[i] : num->part[i - num->whole_n];
}

/* The significant digits are those from *first up to *last. */
static void
number_significant(const struct number *num, size_t *first, size_t *last)
{
	*last = num->whole_n + num->part_n;
	for (*first = 0; *first < *last && number_digit(num, *first) == '0';)
		++*first;
	while (*last > *first && number_digit(num, *last - 1) == '0')
		--*last;
}

/* Only for exponents of at most EXP_DIGITS digits. */
static int64_t
number_exponent(const struct number *num)
{
	int64_t v = 0;

	for (size_t i = 0; i < num->exp_n; i++)
		v = v * 10 + (num->exp[i] - '0');
	return num->exp_negative ? -v : v;
}

/* The common case: few digits, no exponent. */
static bool
parse_fast(const char *p, size_t n, struct dec *d)
{
	size_t i = n > 0 && *p == '-', from = i, point = 0;
	uint64_t v = 0;

	if (n > FAST_DIGITS + 1)
		return false;
	for (; i < n; i++) {
		if (is_digit(p[i]))
			v = v * 10 + (uint64_t)(p[i] - '0');
		else if (p[i] == '.' && point == 0 && i > from)
			point = i;
		else
			return false;
	}
	if (i == from || (point != 0 && point + 1 == n) ||
	    (p[from] == '0' && n - from > 1 && point != from + 1))
		return false;
	d->coef = from > 0 ? -(dec_coef)v : (dec_coef)v;
	d->scale = point != 0 && v != 0 ? (int32_t)(n - point - 1) : 0;
	return true;
}

bool
dec_parse(const char *p, size_t n, struct dec *d)
{
	struct number num;
	size_t first, last;
	dec_coef v = 0;

	if (parse_fast(p, n, d))
		return true;
	if (!number_split(p, n, &num))
		return false;
	number_significant(&num, &first, &last);
	if (first == last) {
		*d = DEC_ZERO;
		return true;
	}
	if (last - first > DIGITS_MAX || num.exp_n > EXP_DIGITS)
		return false;
	for (size_t i = first; i < last; i++)
		v = v * 10 + (number_digit(&num, i) - '0');
	return settle(num.negative ? -v : v,
	    (int64_t)last - (int64_t)num.whole_n - number_exponent(&num), d);
}

/* Both on the larger scale. */
static bool
align(struct dec *a, struct dec *b)
{
	struct dec *low = a->scale < b->scale ? a : b;
	struct dec *high = low == a ? b : a;

	if (!shift(&low->coef, (int64_t)high->scale - low->scale))
		return false;
	low->scale = high->scale;
	return true;
}

static bool
combine(struct dec *a, const struct dec *b, bool minus)
{
	struct dec x = *a, y = *b;
	dec_coef sum;

	if (y.coef == 0)
		return true; /* nor must it drag the other to its scale */
	if (x.coef == 0 && !minus) {
		*a = y;
		return true;
	}
	if (x.scale != y.scale && !align(&x, &y)) {
		x = *a;
		y = *b;
		trim(&x);
		trim(&y);
		if (!align(&x, &y))
			return false;
	}
	if (minus ? __builtin_sub_overflow(x.coef, y.coef, &sum)
		  : __builtin_add_overflow(x.coef, y.coef, &sum)) {
		int32_t scale = x.scale;

		/* a common tail of zeros may give way */
		while (x.coef % 10 == 0 && y.coef % 10 == 0) {
			x.coef /= 10;
			y.coef /= 10;
			scale--;
			if (!(minus ? __builtin_sub_overflow(
					  x.coef, y.coef, &sum)
				    : __builtin_add_overflow(
					  x.coef, y.coef, &sum)))
				return settle(sum, scale, a);
		}
		return false;
	}
	a->coef = sum;
	a->scale = sum == 0 ? 0 : x.scale;
	return true;
}

bool
dec_add(struct dec *a, const struct dec *b)
{
	return combine(a, b, false);
}

bool
dec_sub(struct dec *a, const struct dec *b)
{
	return combine(a, b, true);
}

bool
dec_mul(struct dec *a, const struct dec *b)
{
	struct dec x = *a, y = *b;
	dec_coef v;

	if (__builtin_mul_overflow(x.coef, y.coef, &v)) {
		trim(&x);
		trim(&y);
		if (__builtin_mul_overflow(x.coef, y.coef, &v))
			return false;
	}
	return settle(v, (int64_t)x.scale + y.scale, a);
}

int
dec_cmp(const struct dec *a, const struct dec *b)
{
	dec_coef x = a->coef, y = b->coef;
	int64_t more = (int64_t)b->scale - a->scale;

	/* What does not fit on the other's scale is the larger by magnitude. */
	if (more > 0 && !shift(&x, more))
		return a->coef < 0 ? -1 : 1;
	if (more < 0 && !shift(&y, -more))
		return b->coef < 0 ? 1 : -1;
	return (x > y) - (x < y);
}

/* *q = *q * 10 + the next digit of the quotient; *r is the rest. */
static bool
divide_step(dec_abs *q, dec_abs *r, dec_abs by)
{
	dec_abs rest = 0;
	unsigned digit = 0;

	/* ten times the rest, taken modulo `by` at each addition */
	for (int i = 0; i < 10; i++) {
		rest += *r;
		if (rest >= by) {
			rest -= by;
			digit++;
		}
	}
	*r = rest;
	return !__builtin_mul_overflow(*q, (dec_abs)10, q) &&
	       !__builtin_add_overflow(*q, (dec_abs)digit, q);
}

bool
dec_div(const struct dec *a, const struct dec *b, int places, struct dec *out)
{
	struct dec x = *a, y = *b;
	dec_abs q = 0, r, by;
	bool negative = (a->coef < 0) != (b->coef < 0);
	int64_t more;

	if (b->coef == 0 || places > SCALE_MAX || places < SCALE_MIN)
		return false;
	trim(&x);
	trim(&y);
	more = (int64_t)places + y.scale - x.scale;
	by = magnitude(y.coef);
	r = magnitude(x.coef);
	for (; more < 0; more++)
		if (__builtin_mul_overflow(by, (dec_abs)10, &by)) {
			*out = DEC_ZERO; /* under half of the last place */
			return true;
		}
	q = r / by;
	r %= by;
	for (; more > 0; more--)
		if (!divide_step(&q, &r, by))
			return false;
	if (r > by - r || (r == by - r && (q & 1) != 0))
		q++; /* cannot wrap: q is far from the end where r > 0 */
	if (q > (dec_abs)COEF_MAX)
		return false;
	return settle(negative ? -(dec_coef)q : (dec_coef)q, places, out);
}

struct dec
dec_from_i64(int64_t v)
{
	return (struct dec){v, 0};
}

bool
dec_to_i64(const struct dec *d, int64_t *v)
{
	struct dec x = *d;

	trim(&x);
	if (x.scale > 0 || !shift(&x.coef, -(int64_t)x.scale) ||
	    x.coef > INT64_MAX || x.coef < INT64_MIN)
		return false;
	*v = (int64_t)x.coef;
	return true;
}

size_t
dec_format(const struct dec *d, char out[DEC_TEXT])
{
	struct dec x = *d;
	char digits[40];
	int n = 0, at = 0;
	dec_abs v;

	if (x.scale > 0)
		while (x.scale > 0 && x.coef % 10 == 0) {
			x.coef /= 10;
			x.scale--;
		}
	v = magnitude(x.coef);
	do
		digits[n++] = (char)('0' + (int)(v % 10));
	while ((v /= 10) > 0);
	if (x.coef < 0)
		out[at++] = '-';
	if (x.coef == 0)
		x.scale = 0;
	if (x.scale >= n) {
		out[at++] = '0';
		out[at++] = '.';
		for (int i = n; i < x.scale; i++)
			out[at++] = '0';
	}
	for (int i = n; i > 0; i--) {
		if (i == x.scale && i < n)
			out[at++] = '.';
		out[at++] = digits[i - 1];
	}
	for (int i = x.scale; i < 0; i++)
		out[at++] = '0';
	out[at] = '\0';
	return (size_t)at;
}

static void
put_digits(struct buf *out, const struct number *num, size_t from, size_t to)
{
	for (; from < to && from < num->whole_n; from++)
		buf_char(out, num->whole[from]);
	if (from < to)
		buf_add(out, num->part + (from - num->whole_n), to - from);
}

static void
put_zeros(struct buf *out, int64_t n)
{
	for (; n > 0; n--)
		buf_char(out, '0');
}

/* exp + add as text, exp being too long for an int64 and add being short. */
static void
put_long_exponent(struct buf *out, const struct number *num, int64_t add)
{
	size_t from = out->len, i;
	int64_t carry = num->exp_negative ? -add : add;

	buf_char(out, '0'); /* room for one more digit */
	buf_add(out, num->exp, num->exp_n);
	if (out->over)
		return;
	for (i = out->len; carry != 0 && i > from; i--) {
		int64_t v = out->p[i - 1] - '0' + carry;

		carry = v / 10 - (v % 10 < 0);
		out->p[i - 1] = (char)('0' + (v - carry * 10));
	}
	for (i = from; i + 1 < out->len && out->p[i] == '0';)
		i++;
	memmove(out->p + from, out->p + i, out->len - i);
	out->len -= i - from;
}

/* d.ddde+N; N is the exponent of the first digit. */
static void
put_scientific(
    struct buf *out, const struct number *num, size_t first, size_t last)
{
	/* of the first digit, where the number's own exponent is 0 */
	int64_t own = (int64_t)num->whole_n - (int64_t)first - 1;
	bool is_long = num->exp_n > EXP_DIGITS;
	int64_t exp = is_long ? 0 : number_exponent(num) + own;

	put_digits(out, num, first, first + 1);
	if (last - first > 1)
		buf_char(out, '.');
	put_digits(out, num, first + 1, last);
	buf_char(out, 'e');
	buf_char(out, (is_long ? num->exp_negative : exp < 0) ? '-' : '+');
	if (is_long)
		put_long_exponent(out, num, own);
	else
		buf_u64(out, (uint64_t)(exp < 0 ? -exp : exp));
}

void
num_canonical(struct buf *out, const char *p, size_t n)
{
	struct number num;
	size_t first, last;
	int64_t point; /* where it stands, counted from the first digit */

	if (!number_split(p, n, &num)) {
		buf_add(out, p, n); /* not ours to judge: the scanner did */
		return;
	}
	number_significant(&num, &first, &last);
	if (first == last) {
		buf_char(out, '0');
		return;
	}
	if (num.negative)
		buf_char(out, '-');
	point = (int64_t)num.whole_n - (int64_t)first;
	if (num.exp_n > EXP_DIGITS) {
		put_scientific(out, &num, first, last);
		return;
	}
	point += number_exponent(&num);
	if (point > 21 || point <= -6) {
		put_scientific(out, &num, first, last);
	} else if (point <= 0) {
		buf_str(out, "0.");
		put_zeros(out, -point);
		put_digits(out, &num, first, last);
	} else if ((size_t)point >= last - first) {
		put_digits(out, &num, first, last);
		put_zeros(out, point - (int64_t)(last - first));
	} else {
		put_digits(out, &num, first, first + (size_t)point);
		buf_char(out, '.');
		put_digits(out, &num, first + (size_t)point, last);
	}
}
