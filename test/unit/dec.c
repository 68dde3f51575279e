/* Decimals against tables, brute force and, by the test, bc. */
#include "dec.h"

#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "diag.h"
#include "unit.h"

static struct dec
dec(const char *text)
{
	struct dec d = DEC_ZERO;

	OKF(dec_parse(text, strlen(text), &d), "%s", text);
	return d;
}

static bool
is(const struct dec *d, const char *want)
{
	char text[DEC_TEXT];
	size_t n = dec_format(d, text);

	if (n == strlen(want) && strcmp(text, want) == 0)
		return true;
	fprintf(stderr, "is %s, not %s\n", text, want);
	return false;
}

static void
parse(void)
{
	static const char *const good[][2] = {{"0", "0"}, {"-0", "0"},
	    {"-0.0", "0"}, {"0e99999999999999999999", "0"}, {"1", "1"},
	    {"-1", "-1"}, {"1.0", "1"}, {"1.50", "1.5"}, {"0.50", "0.5"},
	    {"-0.5", "-0.5"}, {"1200", "1200"}, {"1.2e3", "1200"},
	    {"12E+2", "1200"}, {"120e-2", "1.2"}, {"1e-7", "0.0000001"},
	    {"9007199254740993", "9007199254740993"},
	    {"9223372036854775807", "9223372036854775807"},
	    {"-9223372036854775808", "-9223372036854775808"},
	    {"18446744073709551616", "18446744073709551616"},
	    {"99999999999999999999999999999999999999",
		"99999999999999999999999999999999999999"},
	    {"-0.00000000000000000000000000000000000001",
		"-0.00000000000000000000000000000000000001"},
	    {"1e30", "1000000000000000000000000000000"},
	    {"1000000000000000000000000000000000000000000",
		"1000000000000000000000000000000000000000000"},
	    {"0.1000000000000000000000000000000000000000000000000", "0.1"},
	    {"1e-000000000000000000000000000001", "0.1"},
	    {"12345678901234567.8", "12345678901234567.8"}};
	static const char *const bad[] = {"", "-", "+1", "01", "-01", "1.",
	    ".5", "1e", "1e+", "0x10", "NaN", "Infinity", "1 ", " 1", "1,5",
	    "1.2.3", "1e5.0", "--1", "1e400", "1e-400", "1-", "1e9999999999",
	    "123456789012345678901234567890123456789",
	    "0.123456789012345678901234567890123456789",
	    "1e99999999999999999999999999999999999", "00", "0.", "-.5"};
	struct dec d;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		d = dec(good[i][0]);
		OK(is(&d, good[i][1]));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		OKF(!dec_parse(bad[i], strlen(bad[i]), &d), "%s", bad[i]);
}

static void
overflow(void)
{
	struct dec max = dec("99999999999999999999999999999999999999"), d;
	struct dec tiny = dec("0.00000000000000000000000000000000000001");
	struct dec one = dec("1"), big = dec("1e37"), x = max;
	int64_t v;

	OK(!dec_add(&x, &tiny) &&
	    is(&x, "99999999999999999999999999999999999999"));
	OK(!dec_mul(&x, &max) && dec_cmp(&x, &max) == 0);
	OK(dec_add(&x, &one) &&
	    is(&x, "100000000000000000000000000000000000000"));
	x = max;
	for (int i = 0; i < 2; i++)
		(void)dec_add(&x, &max);
	OK(dec_cmp(&x, &max) == 0); /* twice does not fit */
	x = tiny;
	OK(!dec_mul(&x, &tiny) || dec_cmp(&x, &one) < 0);
	x = dec("1e50");
	OK(!dec_mul(&x, &x));
	d = dec("1e-50");
	OK(!dec_mul(&d, &d));
	OK(!dec_div(&one, &(struct dec){0, 0}, 6, &d));
	OK(!dec_div(&big, &tiny, 6, &d));
	d = dec("9223372036854775807");
	OK(dec_to_i64(&d, &v) && v == INT64_MAX);
	d = dec("-9223372036854775808");
	OK(dec_to_i64(&d, &v) && v == INT64_MIN);
	d = dec("9223372036854775808");
	OK(!dec_to_i64(&d, &v));
	d = dec("1.5");
	OK(!dec_to_i64(&d, &v));
	d = dec("1.50e1");
	OK(dec_to_i64(&d, &v) && v == 15);
	d = dec("1e18");
	OK(dec_to_i64(&d, &v) && v == 1000000000000000000);
	d = dec("1e19");
	OK(!dec_to_i64(&d, &v));
	/* a zero of another scale changes nothing */
	x = dec("1e50");
	d = dec("0.000");
	OK(dec_add(&x, &d) && dec_sub(&x, &d) && dec_cmp(&x, &d) > 0);
}

/* All pairs of small numbers with a few scales, in plain integers. */
static void
brute(void)
{
	for (int a = -60; a <= 60; a++)
		for (int b = -60; b <= 60; b++)
			for (int sa = -1; sa <= 2; sa++)
				for (int sb = -1; sb <= 2; sb++) {
					static const int p[] = {
					    1000, 100, 10, 1};
					struct dec x = {a, sa}, y = {b, sb}, s;
					int va = a * p[sa + 1];
					int vb = b * p[sb + 1];
					struct dec w = {va + vb, 2};

					s = x;
					OK(dec_add(&s, &y) &&
					    dec_cmp(&s, &w) == 0);
					w.coef = va - vb;
					s = x;
					OK(dec_sub(&s, &y) &&
					    dec_cmp(&s, &w) == 0);
					s = x;
					w = (struct dec){(int64_t)va * vb, 4};
					OK(dec_mul(&s, &y) &&
					    dec_cmp(&s, &w) == 0);
					OK(dec_cmp(&x, &y) ==
					    (va > vb) - (va < vb));
				}
}

/* Half to even, by remainders in 64 bits. */
static void
division(void)
{
	static const int64_t ten[] = {1, 10, 100, 1000, 10000};
	struct dec a, b, q;

	for (int n = -200; n <= 200; n++)
		for (int d = -40; d <= 40; d++)
			for (int places = 0; places <= 4; places++) {
				int64_t num = llabs(n) * ten[places], den, v;
				struct dec x = {n, 1}, y = {d, 1}, w;

				if (d == 0)
					continue;
				den = llabs(d);
				v = num / den;
				if (num % den * 2 > den ||
				    (num % den * 2 == den && v % 2 == 1))
					v++;
				if ((n < 0) != (d < 0))
					v = -v;
				w = (struct dec){v, places};
				OKF(dec_div(&x, &y, places, &q) &&
					dec_cmp(&q, &w) == 0,
				    "%d/%d to %d", n, d, places);
			}
	a = dec("1");
	b = dec("3");
	OK(dec_div(&a, &b, 30, &q) &&
	    is(&q, "0.333333333333333333333333333333"));
	b = dec("1e30");
	OK(dec_div(&a, &b, 6, &q) && is(&q, "0"));
	OK(dec_div(&b, &a, 2, &q) && is(&q, "1000000000000000000000000000000"));
	a = dec("99999999999999999999999999999999999999");
	b = dec("99999999999999999999999999999999999998");
	OK(dec_div(&a, &b, 20, &q) && is(&q, "1"));
	OK(dec_div(&b, &a, 37, &q) && is(&q, "1"));
	a = dec("0.5");
	b = dec("1");
	OK(dec_div(&a, &b, 0, &q) && is(&q, "0"));
	a = dec("1.5");
	OK(dec_div(&a, &b, 0, &q) && is(&q, "2"));
	a = dec("2.5000000000000000000000000001");
	OK(dec_div(&a, &b, 0, &q) && is(&q, "3"));
}

static void
canonical_is(const char *text, const char *want)
{
	struct buf b = BUF_INIT(1 << 20);

	num_canonical(&b, text, strlen(text));
	OKF(strcmp(buf_cstr(&b), want) == 0, "%.60s: %.60s, not %.60s", text,
	    b.p, want);
	buf_release(&b);
}

static void
canonical_table(void)
{
	static const char *const t[][2] = {{"0", "0"}, {"-0", "0"},
	    {"-0.0", "0"}, {"0e5", "0"}, {"1.0E2", "100"}, {"0.50", "0.5"},
	    {"1e21", "1e+21"}, {"1e20", "100000000000000000000"},
	    {"123456789012345678901", "123456789012345678901"},
	    {"1234567890123456789012", "1.234567890123456789012e+21"},
	    {"1e-7", "1e-7"}, {"1e-6", "0.000001"},
	    {"0.0000001234", "1.234e-7"}, {"0.000001234", "0.000001234"},
	    {"-12.340e1", "-123.4"}, {"100e-2", "1"}, {"1000e-1", "100"},
	    {"1E400", "1e+400"}, {"-1e-400", "-1e-400"}, {"10e399", "1e+400"},
	    {"9007199254740993", "9007199254740993"},
	    {"1e+00000000000000000000000021", "1e+21"},
	    {"1e100000000000000000000", "1e+100000000000000000000"},
	    {"10e99999999999999999999", "1e+100000000000000000000"},
	    {"0.1e100000000000000000000", "1e+99999999999999999999"},
	    {"0.1e-99999999999999999999", "1e-100000000000000000000"},
	    {"10e-100000000000000000000", "1e-99999999999999999999"},
	    {"12.5e100000000000000000000", "1.25e+100000000000000000001"},
	    {"0.00000000000000000000000000001", "1e-29"},
	    {"120210123456789013", "120210123456789013"}};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		canonical_is(t[i][0], t[i][1]);
		canonical_is(t[i][1], t[i][1]);
	}
}

/* 5000 digits, written in many ways, have one form. */
static void
canonical_long(void)
{
	enum { N = 5000 };
	static char digits[N + 1], text[4 * N], want[2 * N];

	for (size_t i = 0; i < N; i++)
		digits[i] = (char)('1' + unit_random() % 9);
	snprintf(want, sizeof(want), "%c.%se+%d", digits[0], digits + 1, N - 1);
	canonical_is(digits, want);
	for (int at = 1; at < N; at += 97) {
		snprintf(text, sizeof(text), "%.*s.%s000E+%d", at, digits,
		    digits + at, N - at);
		canonical_is(text, want);
	}
	snprintf(text, sizeof(text), "0.%0*d%se%d", 40, 0, digits, N + 40);
	canonical_is(text, want);
	snprintf(text, sizeof(text), "%s%0*de-%d", digits, N, 0, N);
	canonical_is(text, want);
	snprintf(text, sizeof(text), "%se-%d", digits, N);
	snprintf(want, sizeof(want), "0.%s", digits);
	canonical_is(text, want);
}

/* A random number of at most `digits` digits into text. */
static void
some(char *text, int digits)
{
	int n = 1 + (int)(unit_random() % (unsigned)digits), at = 0;
	int point = (int)(unit_random() % (unsigned)(n + 1));

	if (unit_random() % 2 == 0)
		text[at++] = '-';
	if (point == 0)
		text[at++] = '0';
	for (int i = 0; i < n; i++) {
		if (i == point)
			text[at++] = '.';
		text[at++] = (char)('0' + (i == 0 ? 1 + unit_random() % 9
						  : unit_random() % 10));
	}
	text[at] = '\0';
}

/* Lines for bc, each 0 or 1 where all is well. */
static void
for_bc(void)
{
	char a[64], b[64], r[DEC_TEXT];

	puts("scale=80");
	for (int i = 0; i < 3000; i++) {
		struct dec x, y, q;

		some(a, 18);
		some(b, 18);
		if (!dec_parse(a, strlen(a), &x) ||
		    !dec_parse(b, strlen(b), &y))
			continue;
		q = x;
		if (dec_add(&q, &y)) {
			dec_format(&q, r);
			printf("(%s)+(%s)-(%s)==0\n", a, b, r);
		}
		q = x;
		if (dec_mul(&q, &y)) {
			dec_format(&q, r);
			printf("(%s)*(%s)-(%s)==0\n", a, b, r);
		}
		if (dec_div(&x, &y, 12, &q)) {
			dec_format(&q, r);
			printf("((%s)/(%s)-(%s))^2<=(0.5*10^-12)^2\n", a, b, r);
		}
	}
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	diag_init(argv[0]);
	if (strcmp(what, "bc") == 0) {
		for_bc();
		return 0;
	}
	if (strcmp(what, "parse") == 0)
		parse();
	else if (strcmp(what, "overflow") == 0)
		overflow();
	else if (strcmp(what, "brute") == 0)
		brute();
	else if (strcmp(what, "division") == 0)
		division();
	else if (strcmp(what, "canonical") == 0) {
		canonical_table();
		canonical_long();
	}
	return unit_end();
}
