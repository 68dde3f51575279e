/* Values made coarser: networks, hours, days, URLs without their query. */
#include <arpa/inet.h>
#include <string.h>

#include "date.h"
#include "dec.h"
#include "scrub.h"

enum { SHORT = 64 };

static void
replace_text(struct splice *s, const char *record, const struct json_span *v,
    const char *text)
{
	char quoted[SHORT + 16];
	size_t n = strlen(text);

	quoted[0] = '"';
	memcpy(quoted + 1, text, n);
	quoted[n + 1] = '"';
	splice_replace(s, record, v, quoted, n + 2);
}

/* IPv4 to /24, IPv6 to /48; an IPv4 address in IPv6 clothes as IPv4. */
static const char *
network(const char *record, const struct json_span *v, const char *text,
    struct splice *s)
{
	unsigned char a[16];
	char out[INET6_ADDRSTRLEN];

	if (inet_pton(AF_INET, text, a) == 1) {
		a[3] = 0;
		inet_ntop(AF_INET, a, out, sizeof out);
	} else if (inet_pton(AF_INET6, text, a) == 1) {
		static const unsigned char mapped[12] = {
		    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

		if (memcmp(a, mapped, 12) == 0)
			a[15] = 0;
		else
			memset(a + 6, 0, 10);
		inet_ntop(AF_INET6, a, out, sizeof out);
	} else {
		return "is not an IP address";
	}
	replace_text(s, record, v, out);
	return NULL;
}

static int64_t
floor_to(int64_t v, int64_t step)
{
	int64_t r = v % step;

	return v - (r < 0 ? r + step : r);
}

/* RFC 3339 in, RFC 3339 in UTC out. A bare date is a day already. */
static const char *
clock_text(const char *record, const struct json_span *v, const char *text,
    size_t n, int64_t step_ms, struct splice *s)
{
	char out[TIME_LEN + 1];
	int64_t us;
	int32_t day;

	if (date_parse(text, n, &day))
		return NULL;
	if (!time_parse(text, n, &us))
		return "is not an RFC 3339 time";
	time_format(floor_to(floor_to(us, 1000) / 1000, step_ms), out);
	replace_text(s, record, v, out);
	return NULL;
}

/* A count of seconds, milli- or microseconds stays one, string or number. */
static const char *
clock_count(const char *record, const struct json_span *v, const char *text,
    size_t n, int64_t step_ms, enum unit unit, struct splice *s)
{
	static const int64_t per_s[] = {
	    [UNIT_S] = 1, [UNIT_MS] = 1000, [UNIT_US] = 1000000};
	char out[DEC_TEXT];
	struct json_error e;
	struct dec d, fraction;
	int64_t t;
	size_t len;

	if (n == 0 || (*text != '-' && (*text < '0' || *text > '9')) ||
	    text[n - 1] < '0' || text[n - 1] > '9' ||
	    !json_check(text, n, false, &e) || !dec_parse(text, n, &d))
		return "is not a time";
	/* What stands behind the point is finer than any step. */
	fraction = dec_from_i64(1);
	if (!dec_div(&d, &fraction, 0, &d) || !dec_to_i64(&d, &t))
		return "is not a time";
	d = dec_from_i64(floor_to(t, step_ms / 1000 * per_s[unit]));
	len = dec_format(&d, out);
	out[len] = '\0';
	if (v->type == JSON_STRING)
		replace_text(s, record, v, out);
	else
		splice_replace(s, record, v, out, len);
	return NULL;
}

/* Everything from the first ? or # on goes; what stays is still looked at
 * for e-mail addresses, so it is not replaced. */
static void
query(const char *record, const struct json_span *v, struct splice *s)
{
	const char *p = v->p + 1, *end = v->p + v->len - 1;

	while (p < end && *p != '?' && *p != '#') {
		if (*p != '\\') {
			p++;
			continue;
		}
		if (memcmp(p, "\\u003", 5) == 0 && (p[5] == 'f' || p[5] == 'F'))
			break;
		if (memcmp(p, "\\u0023", 6) == 0)
			break;
		p += 2;
	}
	if (p < end)
		splice_bytes(s, record, p, (size_t)(end - p), "", 0);
}

const char *
truncate_value(const struct rule *r, const char *record,
    const struct json_span *v, struct splice *s)
{
	static const int64_t step_ms[] = {
	    [CUT_HOUR] = 3600000, [CUT_DAY] = 86400000};
	char text[SHORT];
	size_t n = v->len;

	if (v->type == JSON_NULL || (v->type == JSON_STRING && v->len == 2))
		return NULL;
	if (v->type != JSON_STRING && v->type != JSON_NUMBER)
		return "is neither a string nor a number";
	if (r->cut == CUT_QUERY) {
		if (v->type != JSON_STRING)
			return "is not a string";
		query(record, v, s);
		return NULL;
	}
	if (v->len >= SHORT)
		return r->cut == CUT_NETWORK ? "is not an IP address"
					     : "is not a time";
	if (v->type == JSON_STRING)
		n = json_decode(v, text);
	else
		memcpy(text, v->p, n);
	text[n] = '\0';
	if (strlen(text) != n)
		return "holds a NUL";
	if (r->cut == CUT_NETWORK)
		return v->type == JSON_STRING ? network(record, v, text, s)
					      : "is not a string";
	if (r->unit == UNIT_TEXT)
		return v->type == JSON_STRING
			   ? clock_text(record, v, text, n, step_ms[r->cut], s)
			   : "is a number: the rule needs a unit";
	return clock_count(record, v, text, n, step_ms[r->cut], r->unit, s);
}
