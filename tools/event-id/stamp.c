/* Instants in JSON to the stamp of an event id. */
#include <string.h>

#include "date.h"
#include "dec.h"
#include "event-id.h"

/* Longest text of an instant that is looked at; a number of 38 digits with a
 * sign, a point and an exponent is shorter. */
enum { TEXT_MAX = 64 };

static const char not_a_time[] = "is not an RFC 3339 time";
static const char not_a_number[] = "is not a number";
static const char out_of_range[] = "is not within the years 1 to 9999";

/* Ten to the power, for the few powers that can matter. */
static bool
power(int n, dec_coef *out)
{
	*out = 1;
	if (n > 38)
		return false;
	while (n-- > 0)
		*out *= 10;
	return true;
}

/* floor(d * 10^shift) for shift -3, 0, 3; false if out of range. */
static bool
floor_ms(const struct dec *d, int shift, int64_t *ms)
{
	int scale = d->scale - shift;
	dec_coef p, q;

	if (d->coef == 0) {
		*ms = 0;
		return true;
	}
	if (scale <= 0) {
		if (scale < -20 || !power(-scale, &p) ||
		    __builtin_mul_overflow(d->coef, p, &q))
			return false;
	} else if (!power(scale, &p)) {
		q = d->coef < 0 ? -1 : 0;
	} else {
		q = d->coef / p;
		if (d->coef % p < 0)
			q--;
	}
	if (q > INT64_MAX || q < INT64_MIN)
		return false;
	*ms = (int64_t)q;
	return true;
}

/* Up to 18 digits, as nearly every instant is written. */
static bool
plain_digits(const char *p, size_t n, int64_t *v)
{
	int64_t u = 0;

	if (n == 0 || n > 18)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		u = u * 10 + (p[i] - '0');
	}
	*v = u;
	return n == 1 || p[0] != '0';
}

static const char *
from_number(const char *p, size_t n, enum ts_unit unit, int64_t *ms)
{
	static const int shift[] = {[TS_S] = 3, [TS_MS] = 0, [TS_US] = -3};
	struct json_error e;
	struct dec d;
	int64_t v;

	if (plain_digits(p, n, &v) && v < INT64_MAX / 1000) {
		*ms = unit == TS_S ? v * 1000 : unit == TS_MS ? v : v / 1000;
		return NULL;
	}
	if (n == 0 || (*p != '-' && (*p < '0' || *p > '9')) || p[n - 1] < '0' ||
	    p[n - 1] > '9' || !json_check(p, n, false, &e))
		return not_a_number;
	if (!dec_parse(p, n, &d) || !floor_ms(&d, shift[unit], ms))
		return out_of_range;
	return NULL;
}

/* Where a day is kept, by the low bits of its last two digits. */
static inline unsigned
place_of(const char *date)
{
	return ((unsigned)date[8] * 10 + (unsigned)date[9]) % STAMP_DAYS;
}

/* Two digits below a limit, or -1. */
static inline int
two(const char *p, int limit)
{
	int a = p[0] - '0', b = p[1] - '0', v = a * 10 + b;

	return a < 0 || a > 9 || b < 0 || b > 9 || v >= limit ? -1 : v;
}

/*
 * YYYY-MM-DDTHH:MM:SS.mmm…Z with a date that time_parse found good: the stamp
 * is its digits. Records of a stream share their days, so this is the rule.
 */
static bool
stamp_known(struct stamp *s, const char *p, size_t n, char out[18])
{
	unsigned at = n < 24 ? 0 : place_of(p);
	size_t i;

	if (n < 24 || memcmp(p, s->known[at].date, 10) != 0 || p[10] != 'T' ||
	    p[13] != ':' || p[16] != ':' || p[19] != '.' || p[n - 1] != 'Z')
		return false;
	if (two(p + 11, 24) < 0 || two(p + 14, 60) < 0 || two(p + 17, 60) < 0 ||
	    two(p + 20, 100) < 0)
		return false;
	for (i = 22; i < n - 1; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	memcpy(out, s->known[at].digits, 8);
	memcpy(out + 8, p + 11, 2);
	memcpy(out + 10, p + 14, 2);
	memcpy(out + 12, p + 17, 2);
	memcpy(out + 14, p + 20, 3);
	out[17] = '\0';
	return true;
}

/* Remembers the date, whose text is good and in UTC. */
static void
learn(struct stamp *s, const char *p, size_t n, const char *digits)
{
	if (n < 24 || p[n - 1] != 'Z' || p[17] == '6')
		return;
	memcpy(s->known[place_of(p)].date, p, 10);
	memcpy(s->known[place_of(p)].digits, digits, 8);
}

/* time_stamp, the day's part remembered. */
static bool
stamp_ms(struct stamp *s, int64_t ms, char out[18])
{
	int64_t in_day = ms - s->day_ms;
	uint32_t t;

	if (s->day[0] == '\0' || in_day < 0 || in_day >= 86400000) {
		if (!time_stamp(ms, out))
			return false;
		s->day_ms = (int64_t)day_of_ms(ms) * 86400000;
		memcpy(s->day, out, 8);
		return true;
	}
	t = (uint32_t)in_day;
	memcpy(out, s->day, 8);
	for (int i = 16; i >= 14; i--, t /= 10)
		out[i] = (char)('0' + t % 10);
	for (int i = 12; i >= 8; i -= 2) {
		uint32_t part = i == 8 ? t : t % 60;

		out[i] = (char)('0' + part / 10);
		out[i + 1] = (char)('0' + part % 10);
		t /= 60;
	}
	out[17] = '\0';
	return true;
}

const char *
stamp(
    struct stamp *s, const struct json_span *v, enum ts_unit unit, char out[18])
{
	char decoded[TEXT_MAX];
	const char *p = v->p, *why;
	size_t n = v->len;
	int64_t ms;

	if (v->type == JSON_ABSENT)
		return "is missing";
	if (v->type == JSON_NULL)
		return "is null";
	if (v->type == JSON_STRING) {
		p++;
		n -= 2;
		if (v->flags & JSON_ESCAPED) {
			if (v->len > TEXT_MAX)
				return unit == TS_RFC3339 ? not_a_time
							  : not_a_number;
			n = json_decode(v, decoded);
			p = decoded;
		}
	} else if (v->type != JSON_NUMBER) {
		return "is neither a string nor a number";
	}
	if (unit == TS_RFC3339) {
		int64_t us;

		if (v->type != JSON_STRING)
			return "is a number: its unit is needed (--ts-unit)";
		if (stamp_known(s, p, n, out))
			return NULL;
		if (!time_parse(p, n, &us))
			return not_a_time;
		ms = us / 1000 - (us % 1000 < 0);
		if (!time_stamp(ms, out))
			return out_of_range;
		learn(s, p, n, out);
		return NULL;
	}
	if ((why = from_number(p, n, unit, &ms)) != NULL)
		return why;
	return stamp_ms(s, ms, out) ? NULL : out_of_range;
}
