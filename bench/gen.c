/*
 * gen nested|flat ROWS DAYS DUPLICATES: rows for the benchmark on stdout, each
 * a pure function of its number. nested: GA4 export rows (about 1.9 kB); flat:
 * canonical events (about 350 B), event_id first. DUPLICATES per cent of the
 * rows are an earlier row again.
 *
 * Escapes, non-ASCII text, keyed arrays and nested objects occur in shares
 * like those of real exports; vocabularies are small, field order is fixed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "date.h"
#include "diag.h"
#include "exits.h"
#include "out.h"

#define DAY0 20400 /* 2025-11-08 */

struct rng {
	uint64_t x;
};

static uint64_t
next(struct rng *r)
{
	uint64_t z = r->x += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static unsigned
below(struct rng *r, unsigned n)
{
	return (unsigned)((next(r) >> 33) % n);
}

#define PICK(r, list) ((list)[below(r, sizeof(list) / sizeof((list)[0]))])

static const char *const names[] = {"page_view", "scroll", "session_start",
    "user_engagement", "view_item", "add_to_cart", "begin_checkout",
    "purchase", "first_visit", "view_promotion", "select_item", "login",
    "search", "form_start"};
static const char *const platforms[] = {"WEB", "IOS", "ANDROID"};
static const char *const cities[] = {"Stockholm", "G\xc3\xb6teborg",
    "Z\xc3\xbcrich", "Lund", "M\xc3\xbcnchen", "Oslo", "Berlin"};
static const char *const media[] = {"organic", "cpc", "(none)", "referral",
    "email", "social"};
static const char *const origins[] = {"google", "meta", "(direct)",
    "newsletter", "bing", "tiktok"};
static const char *const titles[] = {"Home", "Checkout \\u2013 step 2",
    "\\\"Sale\\\" of the week", "Product page", "Caf\xc3\xa9 & mat",
    "Sign in", "About us"};

struct event {
	unsigned user, session, day, ms;
	const char *name, *platform, *medium, *origin;
	unsigned cents; /* 0: no purchase */
};

static struct event
event_of(struct rng *r, unsigned days)
{
	struct event e;

	e.user = below(r, 400000);
	e.day = below(r, days);
	e.session = e.user % 7919 * 31 + e.day * 13 + below(r, 3);
	e.ms = below(r, 86400000);
	e.name = PICK(r, names);
	e.platform = PICK(r, platforms);
	e.medium = PICK(r, media);
	e.origin = PICK(r, origins);
	e.cents = below(r, 24) == 0 ? 100 + below(r, 40000) : 0;
	return e;
}

static void
param(struct buf *b, const char *key, const char *slot, const char *value)
{
	buf_fmt(b, ",{\"key\":\"%s\",\"value\":{\"%s\":\"%s\"}}", key, slot,
	    value);
}

static void
number(struct buf *b, const char *key, uint64_t value)
{
	buf_fmt(b, ",{\"key\":\"%s\",\"value\":{\"int_value\":\"%llu\"}}", key,
	    (unsigned long long)value);
}

static void
params(struct buf *b, struct rng *r, const struct event *e)
{
	buf_fmt(b,
	    "\"event_params\":[{\"key\":\"page_location\",\"value\":{"
	    "\"string_value\":\"https:\\/\\/shop.example.com\\/p\\/%u"
	    "?utm_source=%s\\u0026id=%u\"}}",
	    below(r, 5000), e->origin, below(r, 100000));
	param(b, "page_title", "string_value", PICK(r, titles));
	number(b, "ga_session_id", 1762560000 + e->session);
	number(b, "ga_session_number", 1 + below(r, 9));
	number(b, "engagement_time_msec", below(r, 60000));
	param(b, "medium", "string_value", e->medium);
	param(b, "source", "string_value", e->origin);
	param(b, "campaign", "string_value", "autumn-2025");
	param(b, "session_engaged", "string_value", "1");
	number(b, "entrances", below(r, 2));
	number(b, "percent_scrolled", below(r, 100));
	param(b, "page_referrer", "string_value", "https://www.example.org/");
	param(b, "currency", "string_value", "SEK");
	buf_char(b, ']');
}

static void
nested(struct buf *b, struct rng *r, const struct event *e, unsigned days)
{
	char day[DATE_LEN + 1];
	uint64_t us = ((uint64_t)(DAY0 + e->day) * 86400000 + e->ms) * 1000;

	(void)days;
	date_format((int32_t)(DAY0 + e->day), day);
	buf_fmt(b,
	    "{\"event_date\":\"%.4s%.2s%.2s\",\"event_timestamp\":\"%llu\","
	    "\"event_name\":\"%s\",",
	    day, day + 5, day + 8, (unsigned long long)us, e->name);
	params(b, r, e);
	buf_fmt(b,
	    ",\"event_previous_timestamp\":\"%llu\","
	    "\"event_bundle_sequence_id\":\"-%u\","
	    "\"event_server_timestamp_offset\":\"%u\","
	    "\"user_pseudo_id\":\"%u.%u\",\"privacy_info\":{"
	    "\"analytics_storage\":\"Yes\",\"ads_storage\":\"No\"},"
	    "\"user_properties\":[],\"user_first_touch_timestamp\":\"%llu\",",
	    (unsigned long long)us - 4000000, below(r, 1000000000),
	    below(r, 900000), 1000000 + e->user * 7u, 1700000000 + e->user,
	    (unsigned long long)us - 90000000);
	buf_fmt(b,
	    "\"user_ltv\":{\"revenue\":%u.5,\"currency\":\"USD\"},"
	    "\"device\":{\"category\":\"mobile\",\"mobile_brand_name\":"
	    "\"Apple\",\"mobile_model_name\":\"iPhone\","
	    "\"operating_system\":\"iOS\",\"operating_system_version\":"
	    "\"iOS 18.%u\",\"language\":\"sv-se\","
	    "\"is_limited_ad_tracking\":\"No\",\"web_info\":{\"browser\":"
	    "\"Safari\",\"browser_version\":\"18.%u\",\"hostname\":"
	    "\"shop.example.com\"}},\"geo\":{\"city\":\"%s\",\"country\":"
	    "\"Sweden\",\"continent\":\"Europe\",\"region\":\"Stockholm "
	    "County\",\"sub_continent\":\"Northern Europe\",\"metro\":"
	    "\"(not set)\"},\"traffic_source\":{\"name\":\"(%s)\","
	    "\"medium\":\"%s\",\"source\":\"%s\"},\"stream_id\":"
	    "\"2100450278\",\"platform\":\"%s\"",
	    below(r, 900), below(r, 8), below(r, 8), PICK(r, cities),
	    e->medium, e->medium, e->origin, e->platform);
	if (e->cents > 0)
		buf_fmt(b,
		    ",\"ecommerce\":{\"total_item_quantity\":\"1\","
		    "\"purchase_revenue\":%u.%02u,\"transaction_id\":"
		    "\"T%llu\"}",
		    e->cents / 100, e->cents % 100,
		    (unsigned long long)next(r) >> 20);
	buf_str(b, ",\"items\":[]}");
}

static void
flat(struct buf *b, struct rng *r, const struct event *e, unsigned days)
{
	char stamp[TIME_STAMP_LEN + 1], ts[TIME_LEN + 1];
	int64_t ms = (int64_t)(DAY0 + e->day) * 86400000 + e->ms;

	(void)days;
	time_stamp(ms, stamp);
	time_format(ms, ts);
	buf_fmt(b,
	    "{\"event_id\":\"app:%s:%016llx%016llx%016llx%016llx\","
	    "\"event_ts\":\"%s\",\"source\":\"%s\",\"app_id\":\"app%u\","
	    "\"platform\":\"%s\",\"event_name\":\"%s\","
	    "\"schema_version\":3,\"user_id\":\"u%u\",\"session_id\":"
	    "\"s%u-%u\",\"title\":\"%s\",\"city\":\"%s\",\"value\":%u.%02u,"
	    "\"currency\":\"SEK\"}",
	    stamp, (unsigned long long)next(r), (unsigned long long)next(r),
	    (unsigned long long)next(r), (unsigned long long)next(r), ts,
	    e->origin, below(r, 3), e->platform, e->name, e->user, e->user,
	    e->session, PICK(r, titles), PICK(r, cities), e->cents / 100,
	    e->cents % 100);
}

int
main(int argc, char **argv)
{
	struct buf b = BUF_INIT(1 << 16);
	struct out out;
	uint64_t rows;
	unsigned days, duplicates;
	bool is_flat;

	diag_init(argv[0]);
	if (argc != 5)
		die(RC_USAGE, NULL, "usage: gen nested|flat ROWS DAYS PERCENT");
	is_flat = strcmp(argv[1], "flat") == 0;
	rows = strtoull(argv[2], NULL, 10);
	days = (unsigned)strtoul(argv[3], NULL, 10);
	duplicates = (unsigned)strtoul(argv[4], NULL, 10);
	out_init(&out, 1, "stdout", 0);
	for (uint64_t i = 0; i < rows; i++) {
		struct rng pick = {i * 0xd1342543de82ef95ull}, r;
		struct event e;

		r.x = i;
		if (i > 0 && below(&pick, 100) < duplicates)
			r.x = next(&pick) % i;
		r.x = r.x * 0x2545f4914f6cdd1dull + 1;
		e = event_of(&r, days);
		buf_reset(&b);
		(is_flat ? flat : nested)(&b, &r, &e, days);
		out_record(&out, b.p, b.len);
	}
	buf_release(&b);
	return out_close(&out);
}
