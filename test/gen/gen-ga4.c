/*
 * Makes days of a GA4 BigQuery export as an extract job leaves them: NDJSON
 * with the real nested schema, INT64 as strings, FLOAT64 as numbers, absent
 * instead of null, [] for an empty repeated field.
 *
 * A day's file is a pure function of the options and the day, so that a day
 * made again is the same bytes. In it: two apps on web, iOS and Android, a
 * weekly rhythm, hits without consent (no user_pseudo_id), rows written twice,
 * sessions that arrive up to three days late (--as-of says what is there
 * yet), and one incident: iOS purchases of the first app fall on one day.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "date.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "json.h"
#include "mem.h"
#include "opt.h"
#include "out.h"

#define DAY_MAX (1u << 30) /* bytes of one day's file, unpacked */

enum {
	OPT_AS_OF = OPT_TOOL,
	OPT_INCIDENT,
	OPT_INTRADAY,
	OPT_PROPERTY,
	OPT_SEED,
	OPT_SHAPE,
	OPT_ZONE,
};

static const struct opt options[] = {
    {"dir", 'd', "dir", "where analytics_PROPERTY directories are made"},
    {"start", 's', "date", "first day, YYYY-MM-DD"},
    {"end", 'e', "date", "last day, YYYY-MM-DD"},
    {"sessions", 'n', "n", "sessions of an app on a usual day (default 300)"},
    {"gzip", 'z', NULL, "write events_YYYYMMDD.ndjson.gz"},
    {"as-of", OPT_AS_OF, "date",
	"leave out what arrives later (default: none)"},
    {"incident", OPT_INCIDENT, "date",
	"day without iOS purchases of the first app, or none"},
    {"intraday", OPT_INTRADAY, NULL, "write events_intraday_ files instead"},
    {"property", OPT_PROPERTY, "ids",
	"property ids, comma between (default 412345678,398765432)"},
    {"seed", OPT_SEED, "n", "other numbers (default 1)"},
    {"shape", OPT_SHAPE, "word",
	"split: a property an app (default); shared: one for both"},
    {"zone", OPT_ZONE, "name", "zone of the days (default Europe/Stockholm)"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "[--gzip] [--sessions n] --dir dir --start date --end date", {options}};

enum { WEB, IOS, ANDROID, PLATFORMS };

struct app {
	const char *id; /* of the bundle */
	const char *host;
	const char *name;          /* in titles and brands */
	unsigned stream;           /* first of three stream ids */
	unsigned share[PLATFORMS]; /* of the sessions, percent */
	unsigned price;            /* usual price of an item, in hundredths */
};

static const struct app apps[] = {
    {"com.example.flocken", "www.flocken.example", "Flocken",
	4400000000u % 1000000u, {45, 33, 22}, 24900},
    {"com.example.betet", "www.betet.example", "Betet", 4400000100u % 1000000u,
	{60, 22, 18}, 9900},
};
enum { APPS = sizeof apps / sizeof apps[0] };

struct channel {
	const char *source, *medium, *campaign, *group;
	unsigned weight, buys; /* of sessions; purchases in 1000 of them */
};
static const struct channel channels[] = {
    {"google", "organic", "(organic)", "Organic Search", 28, 55},
    {"(direct)", "(none)", "(direct)", "Direct", 24, 65},
    {"facebook", "paid_social", "host_2026_se", "Paid Social", 20, 38},
    {"google", "cpc", "brand_sök", "Paid Search", 14, 70},
    {"newsletter", "email", "vecka \"hej\"", "Email", 8, 95},
    {"blogg.example", "referral", "(referral)", "Referral", 6, 40},
};
enum { CHANNELS = sizeof channels / sizeof channels[0] };

static const char *const geo[][5] = {
    {"Stockholm", "Sweden", "Europe", "Stockholm County", "Northern Europe"},
    {"Göteborg", "Sweden", "Europe", "Västra Götaland County",
	"Northern Europe"},
    {"Malmö", "Sweden", "Europe", "Skåne County", "Northern Europe"},
    {"Oslo", "Norway", "Europe", "Oslo", "Northern Europe"},
    {"Berlin", "Germany", "Europe", "Berlin", "Western Europe"},
};
static const char *const browsers[][3] = {
    {"Chrome", "131.0.6778.86", "Windows"},
    {"Safari", "18.1", "Macintosh"},
    {"Firefox", "133.0", "Linux"},
    {"Edge", "131.0.2903.51", "Windows"},
};
static const char *const phones[][4] = {
    {"Apple", "iPhone 15", "iPhone16,1", "iOS 18.1.1"},
    {"Apple", "iPhone 13", "iPhone14,5", "iOS 17.6"},
    {"Samsung", "Galaxy S24", "SM-S921B", "14"},
    {"Google", "Pixel 8", "Pixel 8", "15"},
};
static const char *const pages[] = {"/", "/produkter", "/produkter/tröja-42",
    "/blogg/så-växer-vi", "/konto", "/hjälp"};
static const char *const goods[] = {"Tröja \"Fjäll\"", "Mössa", "Kalender 2027",
    "Presentkort", "Mugg / blå", "Väska"};

/* Sunday first; web and app people differ little enough. */
static const unsigned week[7] = {118, 88, 92, 95, 97, 104, 121};

struct gen {
	const char *dir;
	char *property[APPS];
	unsigned properties;
	int32_t start, end, as_of, incident;
	unsigned sessions;
	uint64_t seed;
	bool gzip, intraday;
	struct zone *zone;
};

/* A day's rows: text in one buffer, order by a hash of the session. */
struct row {
	uint64_t key;
	size_t at, len;
};
struct day {
	const struct gen *g;
	int32_t date;
	char compact[9];
	int64_t midnight; /* unix seconds of the zone's midnight */
	int64_t length;   /* seconds in the day: 23, 24 or 25 hours */
	struct buf text;
	struct row *rows;
	size_t count, room;
};

/* A visit, drawn once; its events follow from it. */
struct visit {
	const struct app *app;
	const struct channel *ch;
	unsigned platform;
	uint64_t rng;
	uint64_t user, user_hash;
	bool fresh, consent;
	int64_t session; /* ga_session_id: seconds */
	int64_t us;      /* of the next event */
	uint64_t key;
	unsigned ordering;
	uint64_t serial; /* unique in the day */
};

static uint64_t
mix(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static uint64_t
draw(uint64_t *s)
{
	return mix(*s += 0x9e3779b97f4a7c15u);
}

static unsigned
below(uint64_t *s, unsigned n)
{
	return (unsigned)(((draw(s) >> 32) * n) >> 32);
}

static void
hundredths(struct buf *b, uint64_t v)
{
	buf_u64(b, v / 100);
	if (v % 100 != 0) {
		buf_char(b, '.');
		buf_char(b, (char)('0' + v % 100 / 10));
		if (v % 10 != 0)
			buf_char(b, (char)('0' + v % 10));
	}
}

static void
w_int(struct jsonw *w, const char *name, int64_t v)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", (long long)v);
	jsonw_str(w, name, text);
}

static void
w_money(struct jsonw *w, const char *name, uint64_t v)
{
	struct buf b = BUF_INIT(64);

	hundredths(&b, v);
	jsonw_raw(w, name, b.p, b.len);
	buf_release(&b);
}

static struct jsonw
w_object(struct jsonw *w, const char *name)
{
	struct jsonw inner;

	jsonw_open(w, name, &inner, '{');
	return inner;
}

static void
param_int(struct jsonw *list, const char *key, int64_t v)
{
	struct jsonw p = w_object(list, NULL), val;

	jsonw_str(&p, "key", key);
	val = w_object(&p, "value");
	w_int(&val, "int_value", v);
	jsonw_end(&val);
	jsonw_end(&p);
}

static void
param_str(struct jsonw *list, const char *key, const char *v)
{
	struct jsonw p = w_object(list, NULL), val;

	jsonw_str(&p, "key", key);
	val = w_object(&p, "value");
	jsonw_str(&val, "string_value", v);
	jsonw_end(&val);
	jsonw_end(&p);
}

/* A whole number goes to int_value and a broken one to double_value. */
static void
param_money(struct jsonw *list, const char *key, uint64_t v)
{
	struct jsonw p, val;

	if (v % 100 == 0) {
		param_int(list, key, (int64_t)(v / 100));
		return;
	}
	p = w_object(list, NULL);
	jsonw_str(&p, "key", key);
	val = w_object(&p, "value");
	w_money(&val, "double_value", v);
	jsonw_end(&val);
	jsonw_end(&p);
}

static void
put_params(struct jsonw *w, struct visit *v, const char *name, uint64_t money)
{
	struct jsonw list;
	unsigned page = below(&v->rng, sizeof pages / sizeof pages[0]);
	char url[160];

	jsonw_open(w, "event_params", &list, '[');
	if (v->consent) {
		param_int(&list, "ga_session_id", v->session);
		param_int(&list, "ga_session_number",
		    v->fresh ? 1 : 2 + (int64_t)(v->user_hash % 7));
	}
	if (v->platform == WEB) {
		snprintf(
		    url, sizeof url, "https://%s%s", v->app->host, pages[page]);
		param_str(&list, "page_location", url);
		param_str(&list, "page_title", v->app->name);
		/* the slot of this key is not stable in real exports either */
		if (strcmp(name, "page_view") == 0)
			param_str(&list, "session_engaged", "1");
		else
			param_int(&list, "session_engaged", 1);
	} else {
		if (strcmp(name, "user_engagement") == 0)
			param_int(&list, "session_engaged", 1);
		param_str(&list, "firebase_screen_class", "MainView");
		param_int(&list, "firebase_screen_id",
		    (int64_t)(v->user_hash | 1u << 30));
	}
	if (strcmp(name, "user_engagement") == 0)
		param_int(
		    &list, "engagement_time_msec", 500 + below(&v->rng, 60000));
	if (money > 0) {
		param_str(&list, "currency", "SEK");
		param_money(&list, "value", money);
	}
	jsonw_end(&list);
}

static void
put_user(struct jsonw *w, const struct day *d, const struct visit *v)
{
	struct jsonw o, list;
	char id[40];

	if (v->consent && v->user % 4 == 0) {
		snprintf(id, sizeof id, "u%llu", (unsigned long long)v->user);
		jsonw_str(w, "user_id", id);
	}
	if (v->consent) {
		if (v->platform == WEB)
			snprintf(id, sizeof id, "%llu.%llu",
			    (unsigned long long)(v->user_hash % 2147483647),
			    1700000000 +
				(unsigned long long)v->user % 30000000);
		else
			snprintf(id, sizeof id, "%016llX%016llX",
			    (unsigned long long)v->user_hash,
			    (unsigned long long)mix(v->user_hash));
		jsonw_str(w, "user_pseudo_id", id);
	}
	o = w_object(w, "privacy_info");
	jsonw_str(&o, "analytics_storage", v->consent ? "Yes" : "No");
	jsonw_str(&o, "ads_storage", v->consent ? "Yes" : "No");
	jsonw_str(&o, "uses_transient_token", "No");
	jsonw_end(&o);
	jsonw_open(w, "user_properties", &list, '[');
	jsonw_end(&list);
	if (v->consent)
		w_int(w, "user_first_touch_timestamp",
		    v->fresh ? v->us
			     : (d->midnight -
				   86400 * (2 + (int64_t)(v->user_hash % 90))) *
				   1000000);
	if (v->platform == WEB)
		jsonw_bool(w, "is_active_user", true);
}

static void
put_device(struct jsonw *w, const struct visit *v)
{
	struct jsonw o = w_object(w, "device"), web;
	const char *const *m;

	if (v->platform == WEB) {
		m = browsers[v->user_hash % 4];
		jsonw_str(&o, "category",
		    v->user_hash % 3 == 0 ? "desktop" : "mobile");
		jsonw_str(&o, "operating_system", m[2]);
		jsonw_str(&o, "language", "sv-se");
		jsonw_str(&o, "is_limited_ad_tracking", "No");
		web = w_object(&o, "web_info");
		jsonw_str(&web, "browser", m[0]);
		jsonw_str(&web, "browser_version", m[1]);
		jsonw_str(&web, "hostname", v->app->host);
		jsonw_end(&web);
	} else {
		m = phones[(v->platform == IOS ? 0 : 2) + v->user_hash % 2];
		jsonw_str(&o, "category", "mobile");
		jsonw_str(&o, "mobile_brand_name", m[0]);
		jsonw_str(&o, "mobile_model_name", m[1]);
		jsonw_str(&o, "mobile_os_hardware_model", m[2]);
		jsonw_str(&o, "operating_system",
		    v->platform == IOS ? "iOS" : "Android");
		jsonw_str(&o, "operating_system_version", m[3]);
		jsonw_str(&o, "language", "sv-se");
		jsonw_str(&o, "is_limited_ad_tracking", "Yes");
		w_int(&o, "time_zone_offset_seconds", 3600);
	}
	jsonw_end(&o);
}

static void
put_place(struct jsonw *w, const struct visit *v)
{
	const char *const *m = geo[v->user_hash / 11 % 5];
	struct jsonw o = w_object(w, "geo");

	jsonw_str(&o, "city", m[0]);
	jsonw_str(&o, "country", m[1]);
	jsonw_str(&o, "continent", m[2]);
	jsonw_str(&o, "region", m[3]);
	jsonw_str(&o, "sub_continent", m[4]);
	jsonw_str(&o, "metro", "(not set)");
	jsonw_end(&o);
	if (v->platform == WEB)
		return;
	o = w_object(w, "app_info");
	jsonw_str(&o, "id", v->app->id);
	jsonw_str(&o, "version", "2.14.1");
	jsonw_str(&o, "firebase_app_id", "1:331234567890:ios:00aa11bb22cc33dd");
	jsonw_str(&o, "install_source",
	    v->platform == IOS ? "iTunes" : "com.android.vending");
	jsonw_end(&o);
}

static void
put_channel(struct jsonw *w, const struct visit *v, bool first)
{
	const struct channel *c = v->ch;
	struct jsonw o = w_object(w, "traffic_source"), in;

	jsonw_str(&o, "name", c->campaign);
	jsonw_str(&o, "medium", c->medium);
	jsonw_str(&o, "source", c->source);
	jsonw_end(&o);
	if (first && strcmp(c->group, "Direct") != 0) {
		o = w_object(w, "collected_traffic_source");
		jsonw_str(&o, "manual_campaign_name", c->campaign);
		jsonw_str(&o, "manual_source", c->source);
		jsonw_str(&o, "manual_medium", c->medium);
		jsonw_end(&o);
	}
	if (!v->consent)
		return;
	o = w_object(w, "session_traffic_source_last_click");
	in = w_object(&o, "manual_campaign");
	jsonw_str(&in, "campaign_name", c->campaign);
	jsonw_str(&in, "source", c->source);
	jsonw_str(&in, "medium", c->medium);
	jsonw_end(&in);
	in = w_object(&o, "cross_channel_campaign");
	jsonw_str(&in, "campaign_name", c->campaign);
	jsonw_str(&in, "source", c->source);
	jsonw_str(&in, "medium", c->medium);
	jsonw_str(&in, "default_channel_group", c->group);
	jsonw_str(&in, "primary_channel_group", c->group);
	jsonw_end(&in);
	jsonw_end(&o);
}

static void
put_basket(struct jsonw *w, const struct day *d, struct visit *v,
    const char *name, uint64_t money, unsigned pieces)
{
	struct jsonw o, list;
	bool bought = strcmp(name, "purchase") == 0;
	char id[60];

	if (bought) {
		o = w_object(w, "ecommerce");
		w_int(&o, "total_item_quantity", pieces);
		w_money(&o, "purchase_revenue_in_usd", money / 10);
		w_money(&o, "purchase_revenue", money);
		w_money(&o, "tax_value", money / 5);
		w_int(&o, "unique_items", pieces);
		snprintf(id, sizeof id, "T-%s-%u-%llu", d->compact,
		    v->app->stream + v->platform,
		    (unsigned long long)v->serial);
		jsonw_str(&o, "transaction_id", id);
		jsonw_end(&o);
	}
	jsonw_open(w, "items", &list, '[');
	for (unsigned i = 0; i < pieces; i++) {
		unsigned k = (unsigned)((v->serial + i) % 6);

		o = w_object(&list, NULL);
		snprintf(id, sizeof id, "SKU_%u", 100 + k);
		jsonw_str(&o, "item_id", id);
		jsonw_str(&o, "item_name", goods[k]);
		jsonw_str(&o, "item_brand", v->app->name);
		w_money(&o, "price", money / pieces);
		w_int(&o, "quantity", 1);
		if (bought)
			w_money(&o, "item_revenue", money / pieces);
		jsonw_end(&o);
	}
	jsonw_end(&list);
}

static struct row *
day_row(struct day *d)
{
	if (d->count == d->room) {
		d->room = d->room == 0 ? 1024 : 2 * d->room;
		d->rows = xreallocarray(d->rows, d->room, sizeof *d->rows);
	}
	return &d->rows[d->count++];
}

/* One event of the visit, some seconds after the one before. */
static void
event(struct day *d, struct visit *v, const char *name, uint64_t money,
    unsigned pieces)
{
	static const char *const words[] = {"WEB", "IOS", "ANDROID"};
	struct row *r = day_row(d);
	struct jsonw w;
	char id[24];

	r->at = d->text.len;
	jsonw_begin(&w, &d->text, '{');
	jsonw_str(&w, "event_date", d->compact);
	w_int(&w, "event_timestamp", v->us);
	jsonw_str(&w, "event_name", name);
	put_params(&w, v, name, money);
	w_int(&w, "event_bundle_sequence_id", (int64_t)(v->serial % 4000));
	w_int(&w, "event_server_timestamp_offset", below(&v->rng, 900000));
	put_user(&w, d, v);
	put_device(&w, v);
	put_place(&w, v);
	put_channel(&w, v, v->ordering == 0);
	snprintf(id, sizeof id, "44%08u", v->app->stream + v->platform);
	jsonw_str(&w, "stream_id", id);
	jsonw_str(&w, "platform", words[v->platform]);
	put_basket(&w, d, v, name, money, pieces);
	w_int(&w, "batch_event_index", 1 + v->ordering);
	w_int(&w, "batch_ordering_id", 1 + v->ordering / 4);
	w_int(&w, "batch_page_id",
	    v->session * 1000 + (int64_t)(v->serial % 1000));
	jsonw_end(&w);
	r->len = d->text.len - r->at;
	r->key = v->key;
	v->ordering++;
	v->us += 400000 + below(&v->rng, 40000000);
}

/* Written twice: the same bytes again, elsewhere in the file. */
static void
repeat_row(struct day *d, uint64_t key)
{
	struct row last = d->rows[d->count - 1], *r = day_row(d);

	*r = last;
	r->key = key;
}

static void
play_shop(struct day *d, struct visit *v)
{
	unsigned pieces = 1 + below(&v->rng, 3);
	uint64_t money = 0;
	unsigned buys = v->ch->buys;
	bool broken = d->date == d->g->incident && v->platform == IOS &&
		      v->app == &apps[0];

	for (unsigned i = 0; i < pieces; i++)
		money += v->app->price / 2 + below(&v->rng, v->app->price);
	if (below(&v->rng, 1000) >= 7 * buys)
		return;
	event(d, v, "view_item", money, pieces);
	if (below(&v->rng, 100) >= 45)
		return;
	event(d, v, "add_to_cart", money, pieces);
	if (below(&v->rng, 100) >= 60)
		return;
	event(d, v, "begin_checkout", money, pieces);
	if (below(&v->rng, 100) >= (broken ? 4 : 53))
		return;
	event(d, v, "purchase", money, pieces);
	if (below(&v->rng, 100) < 6)
		repeat_row(d, mix(v->key));
}

static void
play(struct day *d, struct visit *v)
{
	unsigned views = 1 + below(&v->rng, 5);

	event(d, v, "session_start", 0, 0);
	if (v->fresh)
		event(d, v, v->platform == WEB ? "first_visit" : "first_open",
		    0, 0);
	for (unsigned i = 0; i < views; i++) {
		if (!v->consent && i > 0)
			event(d, v, "session_start", 0, 0);
		event(d, v, v->platform == WEB ? "page_view" : "screen_view", 0,
		    0);
	}
	if (below(&v->rng, 100) < 60)
		event(d, v, "user_engagement", 0, 0);
	if (below(&v->rng, 1000) < 8)
		repeat_row(d, mix(v->key + 1));
	if (v->fresh && v->consent && below(&v->rng, 100) < 38) {
		event(d, v, "sign_up", 0, 0);
		if (below(&v->rng, 100) < 78)
			event(d, v, "profile_created", 0, 0);
	}
	if (!v->fresh && below(&v->rng, 100) < 12)
		event(d, v, "login", 0, 0);
	play_shop(d, v);
}

static const struct channel *
pick_channel(uint64_t *s)
{
	unsigned x = below(s, 100), i = 0;

	while (i + 1 < CHANNELS && x >= channels[i].weight)
		x -= channels[i++].weight;
	return &channels[i];
}

/* More in the evening than in the morning, little at night. */
static int64_t
second_of_day(uint64_t *s, int64_t length)
{
	static const unsigned char hour[24] = {2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 7,
	    8, 9, 8, 7, 7, 8, 9, 10, 12, 13, 12, 8, 4};
	unsigned sum = 0, x, h = 0;
	int64_t sec;

	for (unsigned i = 0; i < 24; i++)
		sum += hour[i];
	x = below(s, sum);
	while (x >= hour[h])
		x -= hour[h++];
	sec = (int64_t)h * 3600 + below(s, 3600);
	return sec < length - 600 ? sec : length - 600;
}

/* Visit number `i` of the app that day; false: not arrived yet. */
static bool
visit_draw(struct day *d, unsigned a, unsigned i, struct visit *v)
{
	const struct gen *g = d->g;
	uint64_t s = mix(g->seed * 0x9e3779b97f4a7c15u + (uint64_t)d->date) ^
		     mix(((uint64_t)a << 40) + i + 1);
	unsigned x = below(&s, 100), late;

	memset(v, 0, sizeof *v);
	v->app = &apps[a];
	v->ch = pick_channel(&s);
	v->platform = x < v->app->share[WEB]                        ? WEB
		      : x < v->app->share[WEB] + v->app->share[IOS] ? IOS
								    : ANDROID;
	v->serial = i;
	v->fresh = below(&s, 100) < 18;
	v->consent = v->platform != WEB || below(&s, 100) >= 12;
	/* A fresh user belongs to the day, the others to a pool. */
	v->user = v->fresh ? (uint64_t)d->date * 1000000 + i
			   : below(&s, 4 * g->sessions + 1);
	v->user_hash = mix(v->user * 31 + a * 7 + v->platform + g->seed);
	v->session = d->midnight + second_of_day(&s, d->length);
	v->us = v->session * 1000000 + below(&s, 1000000);
	late = below(&s, 1000) < 25 ? 1 + below(&s, 3) : 0;
	v->key = draw(&s);
	v->rng = s;
	return (int64_t)d->date + 1 + late <= g->as_of;
}

static int
by_key(const void *pa, const void *pb)
{
	const struct row *a = pa, *b = pb;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a->at < b->at ? -1 : a->at > b->at;
}

static void
day_app(struct day *d, unsigned a)
{
	const struct gen *g = d->g;
	uint64_t s = mix(g->seed + (uint64_t)d->date * 977 + a);
	/* 1970-01-01 was a Thursday; a slow growth, some noise. */
	uint64_t n = (uint64_t)g->sessions * week[(unsigned)(d->date + 4) % 7] *
		     (96 + below(&s, 9)) / 10000;
	struct visit v;

	for (unsigned i = 0; i < n; i++)
		if (visit_draw(d, a, i, &v))
			play(d, &v);
}

/* The zone's midnight: the first second whose day is this one. */
static int64_t
zone_midnight(const struct zone *z, int32_t day)
{
	int64_t low = ((int64_t)day - 2) * 86400,
		high = ((int64_t)day + 2) * 86400;

	while (high - low > 1) {
		int64_t mid = low + (high - low) / 2;

		if (zone_day(z, mid) >= day)
			high = mid;
		else
			low = mid;
	}
	return high;
}

static int
day_write(struct day *d, const char *property)
{
	const struct gen *g = d->g;
	char *dir = xasprintf("%s/analytics_%s", g->dir, property);
	char *path = xasprintf("%s/events_%s%s.ndjson%s", dir,
	    g->intraday ? "intraday_" : "", d->compact, g->gzip ? ".gz" : "");
	struct afile a;
	struct out o;
	int rc;

	if (mkdir(dir, 0777) < 0 && errno != EEXIST) {
		warn_sys(dir, "cannot make the directory");
		rc = RC_CANTCREAT;
		goto done;
	}
	if ((rc = afile_open(&a, path)) != RC_OK)
		goto done;
	out_init(&o, a.fd, path, g->gzip ? OUT_GZIP : 0);
	for (size_t i = 0; i < d->count; i++)
		out_record(&o, d->text.p + d->rows[i].at, d->rows[i].len);
	if ((rc = out_close(&o)) != RC_OK)
		afile_drop(&a);
	else
		rc = afile_commit(&a, 0644);
done:
	free(path);
	free(dir);
	return rc;
}

static int
day_make(const struct gen *g, int32_t date, unsigned property)
{
	struct day d = {.g = g, .date = date, .text = BUF_INIT(DAY_MAX)};
	int y, m, md, rc;

	date_to_civil(date, &y, &m, &md);
	snprintf(d.compact, sizeof d.compact, "%04u%02u%02u",
	    (unsigned)y % 10000, (unsigned)m % 100, (unsigned)md % 100);
	d.midnight = zone_midnight(g->zone, date);
	d.length = zone_midnight(g->zone, date + 1) - d.midnight;
	for (unsigned a = 0; a < APPS; a++)
		if (g->properties == 1 || a == property)
			day_app(&d, a);
	if (d.text.over)
		die(RC_OSERR, NULL, "a day is over 1 GiB");
	if (d.count > 0)
		qsort(d.rows, d.count, sizeof *d.rows, by_key);
	rc = day_write(&d, g->property[property]);
	buf_release(&d.text);
	free(d.rows);
	return rc;
}

static unsigned
split_properties(struct gen *g, const char *list)
{
	unsigned n = 0;

	while (n < APPS) {
		size_t len = strcspn(list, ",");

		g->property[n] = xstrndup(list, len);
		if (!file_name_ok(g->property[n]))
			opt_wrong(&set, "--property: bad name");
		n++;
		if (list[len] == '\0')
			return n;
		list += len + 1;
	}
	opt_wrong(&set, "--property: at most %d names", (int)APPS);
}

static void
read_options(struct gen *g, int argc, char **argv)
{
	const char *shape = "split", *property = "412345678,398765432";
	const char *zone = "Europe/Stockholm";
	int key;

	while ((key = opt_next(&set, argc, argv)) != -1) {
		if (key == 'd')
			g->dir = opt_arg();
		else if (key == 's')
			g->start = opt_date();
		else if (key == 'e')
			g->end = opt_date();
		else if (key == 'n')
			g->sessions = (unsigned)opt_u64(0, 10000000);
		else if (key == 'z')
			g->gzip = true;
		else if (key == OPT_AS_OF)
			g->as_of = opt_date();
		else if (key == OPT_INCIDENT)
			g->incident = strcmp(opt_arg(), "none") == 0
					  ? INT32_MAX
					  : opt_date();
		else if (key == OPT_INTRADAY)
			g->intraday = true;
		else if (key == OPT_PROPERTY)
			property = opt_arg();
		else if (key == OPT_SEED)
			g->seed = opt_u64(0, UINT64_MAX);
		else if (key == OPT_SHAPE)
			shape = opt_arg();
		else if (key == OPT_ZONE)
			zone = opt_arg();
	}
	if (g->dir == NULL || g->start == INT32_MIN || g->end == INT32_MIN)
		opt_wrong(&set, "--dir, --start and --end are needed");
	if (strcmp(shape, "split") != 0 && strcmp(shape, "shared") != 0)
		opt_wrong(&set, "--shape: split or shared");
	g->properties = split_properties(g, property);
	if (strcmp(shape, "shared") == 0)
		g->properties = 1;
	else if (g->properties != APPS)
		opt_wrong(&set, "--property: one for each app");
	if (g->incident == INT32_MIN)
		g->incident = g->end;
	if ((g->zone = zone_open(zone)) == NULL)
		die(RC_CONFIG, zone, "no such time zone");
}

int
main(int argc, char **argv)
{
	struct gen g = {.start = INT32_MIN,
	    .end = INT32_MIN,
	    .as_of = INT32_MAX,
	    .incident = INT32_MIN,
	    .sessions = 300,
	    .seed = 1};
	int rc = RC_OK;

	diag_init(argv[0]);
	read_options(&g, argc, argv);
	if (mkdir(g.dir, 0777) < 0 && errno != EEXIST) {
		warn_sys(g.dir, "cannot make the directory");
		rc = RC_CANTCREAT;
	}
	for (int32_t d = g.start; d <= g.end && rc == RC_OK; d++)
		for (unsigned p = 0; p < g.properties && rc == RC_OK; p++)
			rc = day_make(&g, d, p);
	for (unsigned p = 0; p < APPS; p++)
		free(g.property[p]);
	zone_close(g.zone);
	return rc;
}
