/*
 * What SQLite has no function for, or another meaning: casts, exact numbers,
 * dates, texts.
 */
#include <ctype.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bigquery.h"
#include "date.h"
#include "dec.h"
#include "mem.h"
#include "sha.h"
#include "sys.h"

#define DAY_US 86400000000

static const char *
text_of(sqlite3_value *v)
{
	const char *s = (const char *)sqlite3_value_text(v);

	return s == NULL ? "" : s;
}

static bool
any_null(int n, sqlite3_value **v)
{
	for (int i = 0; i < n; i++) {
		if (sqlite3_value_type(v[i]) == SQLITE_NULL)
			return true;
	}
	return false;
}

static void
fail(sqlite3_context *c, const char *fmt, const char *what)
{
	char text[400];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(text, sizeof text, fmt, what);
#pragma GCC diagnostic pop
	sqlite3_result_error(c, text, -1);
}

/* ---- numbers ---- */

static void
int_op(sqlite3_context *c, int n, sqlite3_value **v)
{
	char op = *(const char *)sqlite3_user_data(c);
	int64_t a, b, r = 0;
	bool over = false;

	if (any_null(n, v))
		return;
	a = sqlite3_value_int64(v[0]);
	b = sqlite3_value_int64(v[1]);
	if ((op == '/' || op == '%') && b == 0) {
		fail(c, "division by zero%s", "");
		return;
	}
	if (op == '+')
		over = __builtin_add_overflow(a, b, &r);
	else if (op == '-')
		over = __builtin_sub_overflow(a, b, &r);
	else if (op == '*')
		over = __builtin_mul_overflow(a, b, &r);
	else if (b == -1)
		over = __builtin_sub_overflow(0, op == '/' ? a : 0, &r);
	else
		r = op == '/' ? a / b : a % b;
	if (over)
		fail(c, "int64 overflow%s", "");
	else
		sqlite3_result_int64(c, r);
}

static void
float_div(sqlite3_context *c, int n, sqlite3_value **v)
{
	double b;

	if (any_null(n, v))
		return;
	b = sqlite3_value_double(v[1]);
	if (b == 0)
		fail(c, "division by zero%s", "");
	else
		sqlite3_result_double(c, sqlite3_value_double(v[0]) / b);
}

static bool
decimal(sqlite3_context *c, sqlite3_value *v, struct dec *d)
{
	const char *s = text_of(v);

	if (dec_parse(s, strlen(s), d))
		return true;
	fail(c, "not a number of at most 38 digits: %s", s);
	return false;
}

static void
result_dec(sqlite3_context *c, const struct dec *d)
{
	char text[DEC_TEXT];

	sqlite3_result_text(
	    c, text, (int)dec_format(d, text), SQLITE_TRANSIENT);
}

/* Half away from zero, as the service does. */
static bool
round_dec(struct dec *d, int places)
{
	dec_coef ten = 1, rest;

	if (d->scale <= places)
		return true;
	if (d->scale - places > 37) {
		*d = DEC_ZERO;
		return true;
	}
	for (int i = d->scale - places; i > 0; i--)
		ten *= 10;
	rest = d->coef % ten;
	d->coef /= ten;
	if (rest >= ten - rest)
		d->coef++;
	else if (rest <= -ten - rest)
		d->coef--;
	d->scale = places;
	return true;
}

static void
dec_round(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct dec d;

	if (any_null(n, v) || !decimal(c, v[0], &d))
		return;
	round_dec(&d, sqlite3_value_int(v[1]));
	result_dec(c, &d);
}

/* Division digit by digit, to that many places, half away from zero. Where 38
 * digits do not hold them, fewer: said in no way, as the service keeps 76. */
static void
dec_divide(sqlite3_context *c, int n, sqlite3_value **v)
{
	int places;
	struct dec a, b, q;

	if (any_null(n, v) || !decimal(c, v[0], &a) || !decimal(c, v[1], &b))
		return;
	if (b.coef == 0) {
		fail(c, "division by zero%s", "");
		return;
	}
	places = sqlite3_value_int(v[2]);
	/* one place more, then the rounding of the service */
	for (int p = places < 29 ? places + 1 : 30; p >= 0; p--) {
		if (dec_div(&a, &b, p, &q)) {
			round_dec(&q, p > 0 && p <= places ? p : places);
			result_dec(c, &q);
			return;
		}
	}
	fail(c, "the quotient has too many digits%s", "");
}

struct sum {
	unsigned char total[sizeof(struct dec)];
	int64_t n;
	bool failed;
};

static void
sum_add(sqlite3_context *c, sqlite3_value *v, bool minus)
{
	struct sum *s = sqlite3_aggregate_context(c, sizeof *s);
	struct dec d, total;

	if (s == NULL || sqlite3_value_type(v) == SQLITE_NULL)
		return;
	memcpy(&total, s->total, sizeof total);
	if (!decimal(c, v, &d) ||
	    !(minus ? dec_sub(&total, &d) : dec_add(&total, &d)))
		s->failed = true;
	memcpy(s->total, &total, sizeof total);
	s->n += minus ? -1 : 1;
}

static void
sum_step(sqlite3_context *c, int n, sqlite3_value **v)
{
	(void)n;
	sum_add(c, v[0], false);
}

static void
sum_inverse(sqlite3_context *c, int n, sqlite3_value **v)
{
	(void)n;
	sum_add(c, v[0], true);
}

static void
sum_value(sqlite3_context *c)
{
	struct sum *s = sqlite3_aggregate_context(c, 0);
	struct dec total, count, q;

	if (s == NULL || s->n == 0)
		return;
	memcpy(&total, s->total, sizeof total);
	if (s->failed) {
		fail(c, "numeric overflow%s", "");
		return;
	}
	if (sqlite3_user_data(c) != NULL) {
		count = dec_from_i64(s->n);
		if (!dec_div(&total, &count, 20, &q)) {
			fail(c, "numeric overflow%s", "");
			return;
		}
		total = q;
		round_dec(&total, 9);
	}
	result_dec(c, &total);
}

static void
round_double(sqlite3_context *c, int n, sqlite3_value **v)
{
	double x, p;

	if (any_null(n, v))
		return;
	x = sqlite3_value_double(v[0]);
	p = pow(10, sqlite3_value_int(v[1]));
	sqlite3_result_double(c, round(x * p) / p);
}

/* DIV towards zero, or MOD; what 38 digits do not hold is an error. */
static void
dec_whole(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct dec a, b, r;
	bool over = false;

	if (any_null(n, v) || !decimal(c, v[0], &a) || !decimal(c, v[1], &b))
		return;
	if (b.coef == 0) {
		fail(c, "division by zero%s", "");
		return;
	}
	for (; a.scale < b.scale && !over; a.scale++)
		over = __builtin_mul_overflow(a.coef, (dec_coef)10, &a.coef);
	for (; b.scale < a.scale && !over; b.scale++)
		over = __builtin_mul_overflow(b.coef, (dec_coef)10, &b.coef);
	if (over) {
		fail(c, "the number has too many digits%s", "");
		return;
	}
	r = sqlite3_user_data(c) == NULL
		? (struct dec){a.coef / b.coef, 0}
		: (struct dec){a.coef % b.coef, a.scale};
	result_dec(c, &r);
}

static void
dec_trunc(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct dec d;

	if (any_null(n, v) || !decimal(c, v[0], &d))
		return;
	for (; d.scale > 0; d.scale--)
		d.coef /= 10;
	result_dec(c, &d);
}

/* The one value of a scalar subquery. */
struct single {
	sqlite3_value *v;
	int64_t n;
};

static void
single_step(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct single *s = sqlite3_aggregate_context(c, sizeof *s);

	(void)n;
	if (s != NULL && s->n++ == 0)
		s->v = sqlite3_value_dup(v[0]);
}

static void
single_final(sqlite3_context *c)
{
	struct single *s = sqlite3_aggregate_context(c, 0);

	if (s == NULL)
		return;
	if (s->n > 1)
		fail(c, "Scalar subquery produced more than one element%s", "");
	else if (s->v != NULL)
		sqlite3_result_value(c, s->v);
	sqlite3_value_free(s->v);
}

/* ---- casts ---- */

static const char *
trimmed(const char *s, size_t *n)
{
	while (isspace((unsigned char)*s))
		s++;
	*n = strlen(s);
	while (*n > 0 && isspace((unsigned char)s[*n - 1]))
		--*n;
	return s;
}

static void
to_text(sqlite3_context *c, sqlite3_value *v, enum bq_kind from)
{
	struct buf b = BUF_INIT(1u << 16);
	char day[DATE_LEN + 1];
	double d;

	switch (from) {
	case T_BOOL:
		buf_str(&b, sqlite3_value_int(v) ? "true" : "false");
		break;
	case T_DATE:
		date_format(sqlite3_value_int(v), day);
		buf_str(&b, day);
		break;
	case T_TIMESTAMP:
		bq_format_timestamp(sqlite3_value_int64(v), &b);
		buf_str(&b, "+00");
		break;
	case T_FLOAT64:
		d = sqlite3_value_double(v);
		buf_fmt(&b, "%.15g", d);
		if (strtod(buf_cstr(&b), NULL) != d) {
			buf_reset(&b);
			buf_fmt(&b, "%.17g", d);
		}
		break;
	default:
		buf_str(&b, text_of(v));
	}
	sqlite3_result_text(c, buf_cstr(&b), -1, SQLITE_TRANSIENT);
	buf_release(&b);
}

static bool
from_text(sqlite3_context *c, const char *s, enum bq_kind to)
{
	size_t n;
	char *end;
	int64_t i;
	int32_t day;
	double d;
	struct dec x;

	s = trimmed(s, &n);
	switch (to) {
	case T_INT64:
		if (n == 0 || n > 20)
			return false;
		for (size_t k = *s == '-' || *s == '+'; k < n; k++) {
			if (!isdigit((unsigned char)s[k]))
				return false;
		}
		if (!isdigit((unsigned char)s[n - 1]) ||
		    !dec_parse(s + (*s == '+'), n - (*s == '+'), &x)) {
			/* leading zeros */
			i = strtoll(s, &end, 10);
			if (end != s + n)
				return false;
			sqlite3_result_int64(c, i);
			return true;
		}
		if (!dec_to_i64(&x, &i))
			return false;
		sqlite3_result_int64(c, i);
		return true;
	case T_FLOAT64:
		d = strtod(s, &end);
		if (n == 0 || end != s + n)
			return false;
		sqlite3_result_double(c, d);
		return true;
	case T_NUMERIC:
	case T_BIGNUMERIC:
		if (!dec_parse(s, n, &x))
			return false;
		if (to == T_NUMERIC)
			round_dec(&x, 9);
		result_dec(c, &x);
		return true;
	case T_BOOL:
		if (n == 4 && strncasecmp(s, "true", 4) == 0)
			sqlite3_result_int(c, 1);
		else if (n == 5 && strncasecmp(s, "false", 5) == 0)
			sqlite3_result_int(c, 0);
		else
			return false;
		return true;
	case T_DATE:
		if (!date_parse(s, n, &day))
			return false;
		sqlite3_result_int64(c, day);
		return true;
	case T_TIMESTAMP:
		if (!bq_parse_timestamp(s, n, &i))
			return false;
		sqlite3_result_int64(c, i);
		return true;
	case T_BYTES:
		sqlite3_result_blob(c, s, (int)strlen(s), SQLITE_TRANSIENT);
		return true;
	default:
		return false;
	}
}

static bool
cast_number(
    sqlite3_context *c, sqlite3_value *v, enum bq_kind from, enum bq_kind to)
{
	struct dec d;
	int64_t i;
	double x;
	char text[40];

	switch (to) {
	case T_BOOL:
		sqlite3_result_int(c, sqlite3_value_int64(v) != 0);
		return true;
	case T_FLOAT64:
		sqlite3_result_double(c, from == T_INT64
					     ? (double)sqlite3_value_int64(v)
					     : strtod(text_of(v), NULL));
		return true;
	case T_INT64:
		if (from == T_BOOL) {
			sqlite3_result_int64(c, sqlite3_value_int64(v));
			return true;
		}
		if (from == T_FLOAT64) {
			x = round(sqlite3_value_double(v));
			if (!(x >= -9223372036854775808.0 &&
				x < 9223372036854775808.0))
				return false;
			sqlite3_result_int64(c, (int64_t)x);
			return true;
		}
		if (!dec_parse(text_of(v), strlen(text_of(v)), &d))
			return false;
		round_dec(&d, 0);
		if (!dec_to_i64(&d, &i))
			return false;
		sqlite3_result_int64(c, i);
		return true;
	default: /* NUMERIC, BIGNUMERIC */
		if (from == T_FLOAT64) {
			snprintf(text, sizeof text, "%.17g",
			    sqlite3_value_double(v));
			if (strtod(text, NULL) == sqlite3_value_double(v)) {
				char s15[40];

				snprintf(s15, sizeof s15, "%.15g",
				    sqlite3_value_double(v));
				if (strtod(s15, NULL) ==
				    sqlite3_value_double(v))
					memcpy(text, s15, sizeof text);
			}
			if (!dec_parse(text, strlen(text), &d))
				return false;
		} else if (!dec_parse(text_of(v), strlen(text_of(v)), &d)) {
			return false;
		}
		if (to == T_NUMERIC)
			round_dec(&d, 9);
		result_dec(c, &d);
		return true;
	}
}

static void
cast(sqlite3_context *c, int n, sqlite3_value **v)
{
	enum bq_kind from = (enum bq_kind)sqlite3_value_int(v[1]);
	enum bq_kind to = (enum bq_kind)sqlite3_value_int(v[2]);
	bool safe = sqlite3_value_int(v[3]) != 0, ok;
	char text[300];
	int64_t us;

	(void)n;
	if (sqlite3_value_type(v[0]) == SQLITE_NULL)
		return;
	if (to == T_STRING) {
		to_text(c, v[0], from);
		return;
	}
	if (from == T_STRING) {
		ok = from_text(c, text_of(v[0]), to);
	} else if (from == T_DATE && to == T_TIMESTAMP) {
		sqlite3_result_int64(c, sqlite3_value_int64(v[0]) * DAY_US);
		ok = true;
	} else if (from == T_TIMESTAMP && to == T_DATE) {
		us = sqlite3_value_int64(v[0]);
		sqlite3_result_int64(
		    c, us / DAY_US - (us % DAY_US < 0 ? 1 : 0));
		ok = true;
	} else {
		ok = cast_number(c, v[0], from, to);
	}
	if (ok)
		return;
	if (safe) {
		sqlite3_result_null(c);
		return;
	}
	snprintf(text, sizeof text, "Bad %s value: %.200s",
	    to == T_BOOL      ? "bool"
	    : to == T_INT64   ? "int64"
	    : to == T_FLOAT64 ? "double"
	    : to == T_DATE    ? "date (invalid date)"
			      : bq_kind_name(to),
	    text_of(v[0]));
	sqlite3_result_error(c, text, -1);
}

/* Leaves of JSON, which hold a value as it was loaded or as we keep it. */
static void
leaf(sqlite3_context *c, int n, sqlite3_value **v)
{
	enum bq_kind to = *(const enum bq_kind *)sqlite3_user_data(c);

	(void)n;
	if (sqlite3_value_type(v[0]) == SQLITE_NULL)
		return;
	if ((to == T_DATE || to == T_TIMESTAMP) &&
	    sqlite3_value_type(v[0]) == SQLITE_INTEGER)
		sqlite3_result_value(c, v[0]);
	else if (!from_text(c, text_of(v[0]), to))
		fail(c, "Bad value: %s", text_of(v[0]));
}

/* ---- dates ---- */

static int
month_days(int y, int m)
{
	static const int days[] = {
	    31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return m == 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)
		   ? 29
		   : days[m - 1];
}

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0 ? 1 : 0);
}

static int64_t
unit_us(const char *unit)
{
	return strcmp(unit, "MICROSECOND") == 0   ? 1
	       : strcmp(unit, "MILLISECOND") == 0 ? 1000
	       : strcmp(unit, "SECOND") == 0      ? 1000000
	       : strcmp(unit, "MINUTE") == 0      ? 60000000
	       : strcmp(unit, "HOUR") == 0        ? 3600000000
						  : DAY_US;
}

/* The first day of the part a day is in. */
static int32_t
trunc_day(int32_t day, const char *unit)
{
	int y, m, d;

	date_to_civil(day, &y, &m, &d);
	if (strcmp(unit, "WEEK") == 0) /* Sunday */
		return day - (int32_t)(((day + 4) % 7 + 7) % 7);
	if (strcmp(unit, "ISOWEEK") == 0)
		return day - (int32_t)(((day + 3) % 7 + 7) % 7);
	if (strcmp(unit, "MONTH") == 0)
		return date_from_civil(y, m, 1);
	if (strcmp(unit, "QUARTER") == 0)
		return date_from_civil(y, (m - 1) / 3 * 3 + 1, 1);
	if (strcmp(unit, "YEAR") == 0)
		return date_from_civil(y, 1, 1);
	return day;
}

static void
trunc_of(sqlite3_context *c, int n, sqlite3_value **v)
{
	const char *unit = text_of(v[1]);
	int64_t x = sqlite3_value_int64(v[0]);

	if (any_null(n, v))
		return;
	if (sqlite3_value_int(v[2]))
		x = trunc_day((int32_t)x, unit);
	else
		x = floor_div(x, unit_us(unit)) * unit_us(unit);
	sqlite3_result_int64(c, x);
}

static int64_t
ordinal(int32_t day, const char *unit)
{
	int y, m, d;

	date_to_civil(day, &y, &m, &d);
	if (strcmp(unit, "YEAR") == 0)
		return y;
	if (strcmp(unit, "QUARTER") == 0)
		return y * 4 + (m - 1) / 3;
	if (strcmp(unit, "MONTH") == 0)
		return y * 12 + m;
	if (strcmp(unit, "WEEK") == 0 || strcmp(unit, "ISOWEEK") == 0)
		return floor_div(trunc_day(day, unit), 7);
	return day;
}

static void
diff(sqlite3_context *c, int n, sqlite3_value **v)
{
	const char *unit = text_of(v[2]);
	int64_t a = sqlite3_value_int64(v[0]), b = sqlite3_value_int64(v[1]);

	if (any_null(n, v))
		return;
	if (sqlite3_value_int(v[3]))
		sqlite3_result_int64(
		    c, ordinal((int32_t)a, unit) - ordinal((int32_t)b, unit));
	else
		sqlite3_result_int64(c, (a - b) / unit_us(unit));
}

static void
shift(sqlite3_context *c, int n, sqlite3_value **v)
{
	const char *unit = text_of(v[2]);
	int64_t x = sqlite3_value_int64(v[0]), by = sqlite3_value_int64(v[1]);
	int64_t months;
	int y, m, d;

	if (any_null(n, v))
		return;
	if (!sqlite3_value_int(v[3])) {
		sqlite3_result_int64(c, x + by * unit_us(unit));
		return;
	}
	if (strstr(unit, "WEEK") != NULL) {
		sqlite3_result_int64(c, x + 7 * by);
		return;
	}
	date_to_civil((int32_t)x, &y, &m, &d);
	months = y * 12 + m - 1 +
		 by * (*unit == 'Y'      ? 12
			  : *unit == 'Q' ? 3
					 : 1);
	y = (int)floor_div(months, 12);
	m = (int)(months - (int64_t)y * 12) + 1;
	if (d > month_days(y, m))
		d = month_days(y, m);
	sqlite3_result_int64(c, date_from_civil(y, m, d));
}

static void
extract(sqlite3_context *c, int n, sqlite3_value **v)
{
	const char *unit = text_of(v[0]);
	int64_t us, day, in_day, r;
	int y, m, d;

	if (any_null(n, v))
		return;
	us = sqlite3_value_int64(v[1]);
	day = floor_div(us, DAY_US);
	in_day = us - day * DAY_US;
	date_to_civil((int32_t)day, &y, &m, &d);
	if (strcmp(unit, "YEAR") == 0)
		r = y;
	else if (strcmp(unit, "MONTH") == 0)
		r = m;
	else if (strcmp(unit, "DAY") == 0)
		r = d;
	else if (strcmp(unit, "QUARTER") == 0)
		r = (m - 1) / 3 + 1;
	else if (strcmp(unit, "DAYOFWEEK") == 0)
		r = ((day + 4) % 7 + 7) % 7 + 1;
	else if (strcmp(unit, "DAYOFYEAR") == 0)
		r = day - date_from_civil(y, 1, 1) + 1;
	else if (strcmp(unit, "HOUR") == 0)
		r = in_day / 3600000000;
	else if (strcmp(unit, "MINUTE") == 0)
		r = in_day / 60000000 % 60;
	else if (strcmp(unit, "SECOND") == 0)
		r = in_day / 1000000 % 60;
	else if (strcmp(unit, "MILLISECOND") == 0)
		r = in_day / 1000 % 1000;
	else if (strcmp(unit, "MICROSECOND") == 0)
		r = in_day % 1000000;
	else {
		fail(c, "EXTRACT(%s ...): not known to this stand-in", unit);
		return;
	}
	sqlite3_result_int64(c, r);
}

static void
ymd(sqlite3_context *c, int n, sqlite3_value **v)
{
	int y = sqlite3_value_int(v[0]), m = sqlite3_value_int(v[1]);
	int d = sqlite3_value_int(v[2]);

	if (any_null(n, v))
		return;
	if (y < 1 || y > 9999 || m < 1 || m > 12 || d < 1 ||
	    d > month_days(y, m))
		fail(c, "Input calculates to invalid date%s", "");
	else
		sqlite3_result_int64(c, date_from_civil(y, m, d));
}

/* The day of an instant in a zone. */
static void
day_in(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct zone *z;

	if (any_null(n, v))
		return;
	z = zone_open(text_of(v[1]));
	if (z == NULL) {
		fail(c, "Invalid time zone: %s", text_of(v[1]));
		return;
	}
	sqlite3_result_int64(
	    c, zone_day(z, floor_div(sqlite3_value_int64(v[0]), 1000000)));
	zone_close(z);
}

static void
strftime_of(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct buf b = BUF_INIT(1u << 16);
	int64_t us, day, in_day;
	int y, m, d;

	if (any_null(n, v))
		return;
	us = sqlite3_value_int64(v[1]);
	day = floor_div(us, DAY_US);
	in_day = us - day * DAY_US;
	date_to_civil((int32_t)day, &y, &m, &d);
	for (const char *p = text_of(v[0]); *p != '\0'; p++) {
		if (*p != '%') {
			buf_char(&b, *p);
			continue;
		}
		switch (*++p) {
		case 'Y':
			buf_fmt(&b, "%04d", y);
			break;
		case 'm':
			buf_fmt(&b, "%02d", m);
			break;
		case 'd':
			buf_fmt(&b, "%02d", d);
			break;
		case 'H':
			buf_fmt(&b, "%02d", (int)(in_day / 3600000000));
			break;
		case 'M':
			buf_fmt(&b, "%02d", (int)(in_day / 60000000 % 60));
			break;
		case 'S':
			buf_fmt(&b, "%02d", (int)(in_day / 1000000 % 60));
			break;
		case 'F':
			buf_fmt(&b, "%04d-%02d-%02d", y, m, d);
			break;
		case 'T':
			buf_fmt(&b, "%02d:%02d:%02d",
			    (int)(in_day / 3600000000),
			    (int)(in_day / 60000000 % 60),
			    (int)(in_day / 1000000 % 60));
			break;
		case 'E': /* %E3S, %E6S */
			if ((p[1] == '3' || p[1] == '6') && p[2] == 'S') {
				buf_fmt(&b, "%02d.%0*d",
				    (int)(in_day / 1000000 % 60), p[1] - '0',
				    (int)(in_day % 1000000 /
					  (p[1] == '3' ? 1000 : 1)));
				p += 2;
				break;
			}
			/* fall through */
		default:
			buf_release(&b);
			fail(c, "format %s: not known to this stand-in",
			    text_of(v[0]));
			return;
		}
	}
	sqlite3_result_text(c, buf_cstr(&b), -1, SQLITE_TRANSIENT);
	buf_release(&b);
}

static void
parse_date(sqlite3_context *c, int n, sqlite3_value **v)
{
	const char *f = text_of(v[0]), *s = text_of(v[1]);
	int32_t day;
	bool ok = false;

	if (any_null(n, v))
		return;
	if (strcmp(f, "%Y%m%d") == 0)
		ok = date_parse_compact(s, strlen(s), &day);
	else if (strcmp(f, "%Y-%m-%d") == 0 || strcmp(f, "%F") == 0)
		ok = date_parse(s, strlen(s), &day);
	else {
		fail(c, "PARSE_DATE('%s'): not known to this stand-in", f);
		return;
	}
	if (ok)
		sqlite3_result_int64(c, day);
	else
		fail(c, "Failed to parse input string \"%s\"", s);
}

static void
floor_of(sqlite3_context *c, int n, sqlite3_value **v)
{
	if (!any_null(n, v))
		sqlite3_result_int64(c, floor_div(sqlite3_value_int64(v[0]),
					    sqlite3_value_int64(v[1])));
}

/* ---- texts ---- */

/* One conversion alone: %d, %.15g and the like. */
static void
format(sqlite3_context *c, int n, sqlite3_value **v)
{
	const char *f = text_of(v[0]);
	char text[400];
	int places;
	char last, more;

	if (any_null(n, v))
		return;
	if (strcmp(f, "%d") == 0 &&
	    sqlite3_value_type(v[1]) == SQLITE_INTEGER) {
		sqlite3_result_value(c, v[1]);
		return;
	}
	if (sscanf(f, "%%.%2d%c%c", &places, &last, &more) != 2 ||
	    (last != 'g' && last != 'f' && last != 'e')) {
		fail(c, "FORMAT('%s'): not known to this stand-in", f);
		return;
	}
	if (last == 'g')
		snprintf(text, sizeof text, "%.*g", places,
		    sqlite3_value_double(v[1]));
	else if (last == 'f')
		snprintf(text, sizeof text, "%.*f", places,
		    sqlite3_value_double(v[1]));
	else
		snprintf(text, sizeof text, "%.*e", places,
		    sqlite3_value_double(v[1]));
	sqlite3_result_text(c, text, -1, SQLITE_TRANSIENT);
}

/* Single bytes only. */
static void
translate(sqlite3_context *c, int n, sqlite3_value **v)
{
	const char *from = text_of(v[1]), *to = text_of(v[2]);
	struct buf b = BUF_INIT(1u << 26);

	if (any_null(n, v))
		return;
	for (const char *p = from; *p != '\0'; p++) {
		if ((unsigned char)*p >= 128) {
			fail(c,
			    "TRANSLATE of what is not ASCII: not known to "
			    "this stand-in%s",
			    "");
			return;
		}
	}
	for (const char *p = text_of(v[0]); *p != '\0'; p++) {
		const char *hit = strchr(from, *p);

		if (hit == NULL)
			buf_char(&b, *p);
		else if ((size_t)(hit - from) < strlen(to))
			buf_char(&b, to[hit - from]);
	}
	sqlite3_result_text(c, buf_cstr(&b), -1, SQLITE_TRANSIENT);
	buf_release(&b);
}

struct sorted {
	char **item;
	size_t n, cap;
	char *sep;
};

static void
sorted_step(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct sorted *s = sqlite3_aggregate_context(c, sizeof *s);

	(void)n;
	if (s == NULL || sqlite3_value_type(v[0]) == SQLITE_NULL)
		return;
	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 16 : 2 * s->cap;
		s->item = xreallocarray(s->item, s->cap, sizeof *s->item);
	}
	s->item[s->n++] = xstrdup(text_of(v[0]));
	if (s->sep == NULL)
		s->sep = xstrdup(text_of(v[1]));
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
sorted_final(sqlite3_context *c)
{
	struct sorted *s = sqlite3_aggregate_context(c, 0);
	struct buf b = BUF_INIT(1u << 28);

	if (s == NULL || s->n == 0)
		return;
	qsort(s->item, s->n, sizeof *s->item, by_bytes);
	for (size_t i = 0; i < s->n; i++) {
		if (i > 0)
			buf_str(&b, s->sep);
		buf_str(&b, s->item[i]);
		free(s->item[i]);
	}
	free(s->item);
	free(s->sep);
	sqlite3_result_text(c, buf_cstr(&b), -1, SQLITE_TRANSIENT);
	buf_release(&b);
}

static void
raise_error(sqlite3_context *c, int n, sqlite3_value **v)
{
	(void)n;
	sqlite3_result_error(c, text_of(v[0]), -1);
}

static void
pad(sqlite3_context *c, int n, sqlite3_value **v)
{
	const char *s = text_of(v[0]), *with = text_of(v[2]);
	int64_t want;
	size_t have = strlen(s), fill = strlen(with), k;
	bool left;
	struct buf b = BUF_INIT(1u << 24);

	if (any_null(n, v))
		return;
	want = sqlite3_value_int64(v[1]);
	left = sqlite3_value_int(v[3]) != 0;
	if (want < 0 || fill == 0) {
		fail(c, "PAD: bad arguments%s", "");
		return;
	}
	k = (size_t)want > have ? (size_t)want - have : 0;
	if (!left)
		buf_add(&b, s, have < (size_t)want ? have : (size_t)want);
	for (size_t i = 0; i < k; i++)
		buf_char(&b, with[i % fill]);
	if (left)
		buf_add(&b, s, have < (size_t)want ? have : (size_t)want);
	sqlite3_result_text(c, buf_cstr(&b), -1, SQLITE_TRANSIENT);
	buf_release(&b);
}

/* Extended expressions of POSIX, with \d and \w: for plain ones the same. */
static void
regexp(sqlite3_context *c, int n, sqlite3_value **v)
{
	bool pick = sqlite3_user_data(c) != NULL;
	struct buf b = BUF_INIT(1u << 16);
	const char *s = text_of(v[0]);
	regmatch_t m[2];
	regex_t re;
	int at;

	if (any_null(n, v))
		return;
	for (const char *p = text_of(v[1]); *p != '\0'; p++) {
		if (p[0] == '\\' && p[1] == 'd') {
			buf_str(&b, "[0-9]");
			p++;
		} else if (p[0] == '\\' && p[1] == 'w') {
			buf_str(&b, "[0-9A-Za-z_]");
			p++;
		} else {
			buf_char(&b, *p);
		}
	}
	if (strstr(buf_cstr(&b), "(?") != NULL ||
	    regcomp(&re, buf_cstr(&b), REG_EXTENDED) != 0) {
		buf_release(&b);
		fail(c, "regular expression not known to this stand-in: %s",
		    text_of(v[1]));
		return;
	}
	buf_release(&b);
	at = regexec(&re, s, 2, m, 0) == 0;
	if (!pick) {
		sqlite3_result_int(c, at);
	} else if (at) {
		regmatch_t *g = &m[re.re_nsub > 0 ? 1 : 0];

		if (g->rm_so >= 0)
			sqlite3_result_text(c, s + g->rm_so,
			    (int)(g->rm_eo - g->rm_so), SQLITE_TRANSIENT);
	}
	regfree(&re);
}

static void
sha256(sqlite3_context *c, int n, sqlite3_value **v)
{
	unsigned char d[SHA_LEN];
	const void *p;

	if (any_null(n, v))
		return;
	p = sqlite3_value_blob(v[0]);
	sha256_one(p == NULL ? "" : p, (size_t)sqlite3_value_bytes(v[0]), d);
	sqlite3_result_blob(c, d, SHA_LEN, SQLITE_TRANSIENT);
}

static void
unhex(sqlite3_context *c, int n, sqlite3_value **v)
{
	const char *s = text_of(v[0]);
	struct buf b = BUF_INIT(1u << 24);
	unsigned byte;

	if (any_null(n, v))
		return;
	for (; s[0] != '\0' && s[1] != '\0' && sscanf(s, "%2x", &byte) == 1;
	     s += 2)
		buf_char(&b, (char)byte);
	if (*s != '\0')
		fail(c, "Failed to decode invalid hexadecimal string%s", "");
	else
		sqlite3_result_blob(
		    c, b.len == 0 ? "" : b.p, (int)b.len, SQLITE_TRANSIENT);
	buf_release(&b);
}

static void
uuid(sqlite3_context *c, int n, sqlite3_value **v)
{
	unsigned char r[16];
	char text[40];

	(void)n, (void)v;
	sys_random(r, sizeof r);
	snprintf(text, sizeof text,
	    "%02x%02x%02x%02x-%02x%02x-4%01x%02x-8%01x%02x-"
	    "%02x%02x%02x%02x%02x%02x",
	    r[0], r[1], r[2], r[3], r[4], r[5], r[6] & 15u, r[7], r[8] & 15u,
	    r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
	sqlite3_result_text(c, text, -1, SQLITE_TRANSIENT);
}

static void
index_of(sqlite3_context *c, int n, sqlite3_value **v)
{
	int64_t at, len;

	if (any_null(n, v))
		return;
	at = sqlite3_value_int64(v[0]);
	len = sqlite3_value_int64(v[1]);
	if (at >= 0 && at < len)
		sqlite3_result_int64(c, at);
	else if (!sqlite3_value_int(v[2]))
		fail(c, "Array index is out of bounds%s", "");
}

static void
join(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct buf b = BUF_INIT(1u << 26);
	struct json_span list, e;
	struct json_iter it;
	bool first = true;

	if (any_null(n, v))
		return;
	list = json_value(text_of(v[0]));
	json_iter_init(&it, &list);
	while (json_next_element(&it, &e)) {
		if (e.type != JSON_STRING)
			continue;
		if (!first)
			buf_str(&b, text_of(v[1]));
		first = false;
		json_decode_buf(&e, &b);
	}
	sqlite3_result_text(c, buf_cstr(&b), -1, SQLITE_TRANSIENT);
	buf_release(&b);
}

int
bq_functions(sqlite3 *h)
{
	static const enum bq_kind k_dec = T_BIGNUMERIC, k_date = T_DATE,
				  k_time = T_TIMESTAMP;
	static const struct {
		const char *name;
		int args;
		void (*run)(sqlite3_context *, int, sqlite3_value **);
		const void *data;
	} plain[] = {{"bq_iadd", 2, int_op, "+"}, {"bq_isub", 2, int_op, "-"},
	    {"bq_imul", 2, int_op, "*"}, {"bq_idiv", 2, int_op, "/"},
	    {"bq_imod", 2, int_op, "%"}, {"bq_fdiv", 2, float_div, NULL},
	    {"bq_ddiv", 3, dec_divide, NULL}, {"bq_dround", 2, dec_round, NULL},
	    {"bq_round", 2, round_double, NULL}, {"bq_cast", 4, cast, NULL},
	    {"bq_decimal", 1, leaf, &k_dec}, {"bq_date", 1, leaf, &k_date},
	    {"bq_timestamp", 1, leaf, &k_time}, {"bq_trunc", 3, trunc_of, NULL},
	    {"bq_diff", 4, diff, NULL}, {"bq_shift", 4, shift, NULL},
	    {"bq_extract", 2, extract, NULL}, {"bq_ymd", 3, ymd, NULL},
	    {"bq_day", 2, day_in, NULL}, {"bq_strftime", 2, strftime_of, NULL},
	    {"bq_parse_date", 2, parse_date, NULL},
	    {"bq_floor", 2, floor_of, NULL}, {"bq_error", 1, raise_error, NULL},
	    {"bq_pad", 4, pad, NULL}, {"bq_regexp", 2, regexp, NULL},
	    {"bq_regexp_extract", 2, regexp, "x"},
	    {"bq_sha256", 1, sha256, NULL}, {"bq_unhex", 1, unhex, NULL},
	    {"bq_uuid", 0, uuid, NULL}, {"bq_index", 3, index_of, NULL},
	    {"bq_join", 2, join, NULL}, {"bq_dquot", 2, dec_whole, NULL},
	    {"bq_drest", 2, dec_whole, "rest"},
	    {"bq_dtrunc", 1, dec_trunc, NULL}, {"bq_format", 2, format, NULL},
	    {"bq_translate", 3, translate, NULL}};
	int rc = SQLITE_OK;

	for (size_t i = 0; i < sizeof plain / sizeof *plain && rc == SQLITE_OK;
	     i++)
		rc = sqlite3_create_function_v2(h, plain[i].name, plain[i].args,
		    /* an error is for the row that has it */
		    plain[i].args == 0 || plain[i].run == raise_error
			? SQLITE_UTF8
			: SQLITE_UTF8 | SQLITE_DETERMINISTIC,
		    (void *)(uintptr_t)plain[i].data, plain[i].run, NULL, NULL,
		    NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_window_function(h, "bq_dsum", 1,
		    SQLITE_UTF8, NULL, sum_step, sum_value, sum_value,
		    sum_inverse, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_window_function(h, "bq_davg", 1,
		    SQLITE_UTF8, (void *)(uintptr_t) "avg", sum_step, sum_value,
		    sum_value, sum_inverse, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function_v2(h, "bq_single", 1, SQLITE_UTF8,
		    NULL, NULL, single_step, single_final, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function_v2(h, "bq_sorted", 2, SQLITE_UTF8,
		    NULL, NULL, sorted_step, sorted_final, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(
		    h, "PRAGMA case_sensitive_like = ON", NULL, NULL, NULL);
	return rc;
}
