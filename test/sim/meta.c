/*
 * Meta's Graph API as far as insights go: account facts, insights (sync and
 * report runs), debug_token.
 *
 * Settings: meta.token, meta.app_secret, meta.require_proof, meta.campaigns,
 * meta.revision (restates a third of the days), meta.restate (restates these
 * days: DATE,DATE), meta.max_sync (rows of a sync
 * answer), meta.max_page (rows a page may be asked for), meta.max_async
 * (rows times fields of a report run), meta.bad_field (too much, always),
 * meta.max_breakdowns (more of them are too much, always),
 * meta.polls (of a running run), meta.race (polls answered 100/33),
 * meta.stuck, meta.token_days.
 * Files, in place of made data: meta/PATH.json, the pieces of PATH after the
 * version joined by dots; meta/PATH.post.json for what is posted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "date.h"
#include "mem.h"
#include "sha.h"
#include "sim.h"

enum { ADSETS = 2, ADS = 2, LIMIT = 25, RUNS = 4000 };

static const struct account {
	const char *id, *name, *zone, *currency;
} accounts[] = {
    {"1001", "Flocken", "Europe/Stockholm", "SEK"},
    {"1002", "Betet", "Europe/Stockholm", "SEK"},
    {"2002", "Ahead of UTC", "Pacific/Auckland", "NZD"},
    {"3003", "Behind UTC", "America/Los_Angeles", "USD"},
};

static const char *const levels[] = {"account", "campaign", "adset", "ad"};

/* Of AdsInsights in the service's own specification, v25.0. */
static const char *const fields_known[] = {"account_currency", "account_id",
    "account_name", "action_values", "actions", "ad_id", "ad_name", "adset_id",
    "adset_name", "attribution_setting", "buying_type", "campaign_id",
    "campaign_name", "clicks", "conversion_values", "conversions",
    "cost_per_action_type", "cost_per_inline_link_click",
    "cost_per_unique_click", "cpc", "cpm", "cpp", "created_time", "ctr",
    "date_start", "date_stop", "frequency", "impressions",
    "inline_link_click_ctr", "inline_link_clicks", "inline_post_engagement",
    "mobile_app_purchase_roas", "objective", "optimization_goal",
    "outbound_clicks", "purchase_roas", "quality_ranking", "reach",
    "social_spend", "spend", "unique_actions", "unique_clicks", "unique_ctr",
    "updated_time", "video_play_actions", "website_purchase_roas", NULL};

static const char *const breakdowns_known[] = {"age", "gender", "country",
    "publisher_platform", "platform_position", "device_platform",
    "impression_device", "product_id", "region", NULL};

static const char *const windows_known[] = {"1d_click", "1d_ev", "1d_view",
    "28d_click", "28d_view", "7d_click", "7d_view", "dda", "default",
    "skan_click", "skan_view", NULL};

static const char *const params_known[] = {"level", "fields", "time_range",
    "time_increment", "breakdowns", "action_attribution_windows",
    "use_unified_attribution_setting", "filtering", "limit", "after",
    "appsecret_proof", NULL};

struct names {
	char *name[100];
	size_t n;
};

struct ask {
	const struct account *account;
	int level;
	struct names fields, breakdowns, windows, filter;
	int filter_level; /* 0: none */
	int32_t since, until;
	bool all_days;
};

static struct run {
	struct ask ask;
	char id[24];
	unsigned polls;
} runs[RUNS];
static size_t run_count;

/* ---- errors ---- */

static void
fail_as(struct sim_answer *a, int status, const char *type, int64_t code,
    int64_t subcode, const char *message)
{
	struct jsonw w, e;

	buf_reset(&a->body);
	sim_json(a, status);
	jsonw_begin(&w, &a->body, '{');
	jsonw_open(&w, "error", &e, '{');
	jsonw_str(&e, "message", message);
	jsonw_str(&e, "type", type);
	jsonw_i64(&e, "code", code);
	if (subcode != 0)
		jsonw_i64(&e, "error_subcode", subcode);
	jsonw_str(&e, "fbtrace_id", "AsimTrace0001");
	jsonw_end(&e);
	jsonw_end(&w);
}

static bool
bad(struct sim_answer *a, const char *message)
{
	fail_as(
	    a, 400, "OAuthException", 100, 0, sim_keep("(#100) %s", message));
	return false;
}

static void
too_much(struct sim_answer *a)
{
	fail_as(a, 400, "OAuthException", 100, 1487534,
	    "(#100) Too much data was requested in one call");
}

static void
no_object(const struct sim_request *r, struct sim_answer *a)
{
	fail_as(a, 400, "GraphMethodException", 100, 33,
	    sim_keep("Unsupported request. Object with ID '%s' does not exist, "
		     "cannot be loaded due to missing permissions, or does not "
		     "support this operation",
		r->parts > 2 ? r->part[2] : ""));
}

static void
no_path(const struct sim_request *r, struct sim_answer *a)
{
	(void)r;
	fail_as(a, 400, "OAuthException", 2500, 0, "Unknown path components");
}

/* ---- who asks ---- */

static const char *
token(void)
{
	return sim_setting("meta.token", "EAAGsimToken0123456789");
}

static const char *
value_of(const struct sim_request *r, const char *name)
{
	return strcmp(r->method, "POST") == 0 ? sim_form(r, name)
					      : sim_param(r, name);
}

static bool
proof_ok(const struct sim_request *r, struct sim_answer *a)
{
	const char *secret = sim_setting("meta.app_secret", "simAppSecret"),
		   *proof = value_of(r, "appsecret_proof"), *t = token();
	size_t len = strlen(t);
	unsigned char sum[1][SHA_LEN];
	char hex[SHA_HEX + 1];
	struct hmac h;

	if (proof == NULL && sim_setting_int("meta.require_proof", 0) == 0)
		return true;
	hmac_key(&h, secret, strlen(secret));
	hmac_many(&h, 1, (const void *const[]){t}, &len, sum);
	sha_hex(sum[0], hex);
	if (proof != NULL && strcmp(proof, hex) == 0)
		return true;
	fail_as(a, 400, "GraphMethodException", 100, 0,
	    proof == NULL ? "API calls from the server require an "
			    "appsecret_proof argument"
			  : "Invalid appsecret_proof provided in the API "
			    "argument");
	return false;
}

static void
add_date(struct sim_answer *a)
{
	time_t t = (time_t)sim_now_s();
	struct tm tm;
	char text[64];

	gmtime_r(&t, &tm);
	strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	sim_add_header(a, "Date", text);
}

/* Version, token, proof; the headers of every answer. */
static bool
enter(const struct sim_request *r, struct sim_answer *a)
{
	const char *version = r->part[1],
		   *auth = sim_header(r, "Authorization");

	add_date(a);
	sim_add_header(a, "facebook-api-version", version);
	sim_add_header(a, "x-fb-ads-insights-throttle",
	    "{\"app_id_util_pct\":1.5,\"acc_id_util_pct\":2,"
	    "\"ads_api_access_tier\":\"standard_access\"}");
	if (version[0] != 'v' || atoi(version + 1) < 23) {
		fail_as(a, 400, "OAuthException", 2635, 0,
		    "You are calling a deprecated version of the Ads API. "
		    "Please update to the latest version: v26.0.");
		return false;
	}
	if (sim_param(r, "access_token") != NULL)
		return bad(a, "the token belongs in the header");
	if (r->expired || auth == NULL || strncmp(auth, "Bearer ", 7) != 0 ||
	    strcmp(auth + 7, token()) != 0) {
		fail_as(a, 400, "OAuthException", 190, r->expired ? 463 : 0,
		    "Error validating access token: Session has expired");
		return false;
	}
	return proof_ok(r, a);
}

/* A file of the data directory in place of what we would make. */
static bool
from_file(const struct sim_request *r, struct sim_answer *a)
{
	struct buf path = BUF_INIT(4096), body = BUF_INIT(64 << 20);
	bool found;

	buf_str(&path, "meta/");
	for (size_t i = 2; i < r->parts; i++)
		buf_fmt(&path, "%s%s", i > 2 ? "." : "", r->part[i]);
	if (strcmp(r->method, "POST") == 0)
		buf_str(&path, ".post");
	buf_str(&path, ".json");
	found = sim_data_file(buf_cstr(&path), &body);
	if (found) {
		sim_json(a, 200);
		buf_add(&a->body, body.p, body.len);
	}
	buf_release(&path);
	buf_release(&body);
	return found;
}

static const struct account *
account_of(const struct sim_request *r)
{
	for (size_t i = 0; i < sizeof accounts / sizeof *accounts; i++)
		if (strncmp(r->part[2], "act_", 4) == 0 &&
		    strcmp(r->part[2] + 4, accounts[i].id) == 0)
			return &accounts[i];
	return NULL;
}

/* ---- the account, the token ---- */

static void node(const struct sim_request *r, struct sim_answer *a);

static void
account_facts(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const known[] = {"fields", "appsecret_proof", NULL};
	const struct account *acc = account_of(r);
	const char *fields = sim_param(r, "fields");
	struct jsonw w;

	if (sim_strange_param(r, known) != NULL) {
		bad(a, "unknown parameter");
		return;
	}
	if (from_file(r, a))
		return;
	if (acc == NULL) {
		no_object(r, a);
		return;
	}
	if (fields == NULL || strstr(fields, "timezone_name") == NULL ||
	    strstr(fields, "currency") == NULL) {
		bad(a, "which fields?");
		return;
	}
	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "account_id", acc->id);
	jsonw_str(&w, "name", acc->name);
	jsonw_str(&w, "currency", sim_setting("meta.currency", acc->currency));
	jsonw_str(&w, "timezone_name", sim_setting("meta.zone", acc->zone));
	jsonw_i64(&w, "account_status", 1);
	jsonw_str(&w, "id", sim_keep("act_%s", acc->id));
	jsonw_end(&w);
}

static void
debug_token(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const known[] = {
	    "input_token", "method", "appsecret_proof", NULL};
	const char *t = sim_form(r, "input_token"),
		   *method = sim_form(r, "method");
	int64_t days = sim_setting_int("meta.token_days", 60);
	struct jsonw w, d, s;

	if (!enter(r, a))
		return;
	if (sim_strange_form(r, known) != NULL || t == NULL || method == NULL ||
	    strcmp(method, "GET") != 0) {
		bad(a, "which token?");
		return;
	}
	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_open(&w, "data", &d, '{');
	jsonw_str(&d, "app_id", "138483919580948");
	jsonw_str(&d, "type", "SYSTEM_USER");
	jsonw_bool(&d, "is_valid", strcmp(t, token()) == 0);
	jsonw_i64(
	    &d, "expires_at", days > 0 ? sim_now_s() + days * 86400 + 60 : 0);
	jsonw_i64(&d, "data_access_expires_at", 0);
	jsonw_open(&d, "scopes", &s, '[');
	jsonw_str(&s, NULL, sim_setting("meta.scope", "ads_read"));
	jsonw_end(&s);
	jsonw_end(&d);
	jsonw_end(&w);
}

/* ---- what is asked ---- */

static bool
in_list(const char *const *list, const char *name)
{
	for (; *list != NULL; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

static bool
take_names(struct names *to, const char *text, const char *const *known)
{
	to->n = 0;
	while (text != NULL && *text != '\0') {
		size_t len = strcspn(text, ",");

		if (to->n == 100)
			return false;
		to->name[to->n] = xstrndup(text, len);
		if (!in_list(known, to->name[to->n++]))
			return false;
		text += len + (text[len] == ',');
	}
	return true;
}

static bool
take_range(struct ask *q, const char *text)
{
	struct json_error e;
	struct json_span root, since, until;

	if (text == NULL || !json_check(text, strlen(text), true, &e))
		return false;
	root = json_value(text);
	since = json_member(&root, "since");
	until = json_member(&root, "until");
	return since.len == 12 && until.len == 12 &&
	       date_parse(since.p + 1, 10, &q->since) &&
	       date_parse(until.p + 1, 10, &q->until) && q->since <= q->until &&
	       q->until - q->since < 1200;
}

static bool
take_filter(struct ask *q, const char *text)
{
	struct json_error e;
	struct json_span list, one, field, op, ids, v;
	struct json_iter it;

	q->filter_level = 0;
	q->filter.n = 0;
	if (text == NULL)
		return true;
	if (!json_check(text, strlen(text), false, &e))
		return false;
	list = json_value(text);
	if (list.type != JSON_ARRAY)
		return false;
	json_iter_init(&it, &list);
	if (!json_next_element(&it, &one) || one.type != JSON_OBJECT)
		return false;
	field = json_member(&one, "field");
	op = json_member(&one, "operator");
	ids = json_member(&one, "value");
	for (int i = 1; i < 4; i++) {
		const char *name = sim_keep("%s.id", levels[i]);

		if (json_is(&field, name, strlen(name)))
			q->filter_level = i;
	}
	if (q->filter_level == 0 || !json_is(&op, "IN", 2) ||
	    ids.type != JSON_ARRAY)
		return false;
	json_iter_init(&it, &ids);
	while (json_next_element(&it, &v)) {
		if (q->filter.n == 100 || v.type != JSON_STRING)
			return false;
		q->filter.name[q->filter.n++] = xstrndup(v.p + 1, v.len - 2);
	}
	return true;
}

static bool
take_ask(const struct sim_request *r, struct sim_answer *a, struct ask *q)
{
	const char *level = value_of(r, "level"),
		   *inc = value_of(r, "time_increment");
	int32_t today = (int32_t)(sim_now_s() / 86400);

	memset(q, 0, sizeof *q);
	q->account = account_of(r);
	if (q->account == NULL) {
		no_object(r, a);
		return false;
	}
	if (sim_strange_param(r, params_known) != NULL ||
	    sim_strange_form(r, params_known) != NULL)
		return bad(a, "unknown parameter");
	q->level = -1;
	for (int i = 0; i < 4; i++)
		if (level != NULL && strcmp(level, levels[i]) == 0)
			q->level = i;
	if (q->level < 0)
		return bad(a, "level must be one of account, campaign, ...");
	if (!take_names(&q->fields, value_of(r, "fields"), fields_known) ||
	    q->fields.n == 0)
		return bad(
		    a, sim_keep("%s is not valid for fields param",
			   q->fields.n > 0 ? q->fields.name[q->fields.n - 1]
					   : ""));
	if (!take_names(
		&q->breakdowns, value_of(r, "breakdowns"), breakdowns_known))
		return bad(a, "breakdowns must be one of the known");
	if (!take_names(&q->windows, value_of(r, "action_attribution_windows"),
		windows_known))
		return bad(a, "action_attribution_windows must be known");
	if (!take_range(q, value_of(r, "time_range")))
		return bad(a, "time_range is not valid");
	if (today - q->since > 1128)
		return bad(a, "since is beyond 37 months from now");
	if (inc == NULL ||
	    (strcmp(inc, "1") != 0 && strcmp(inc, "all_days") != 0))
		return bad(a, "time_increment");
	q->all_days = strcmp(inc, "1") != 0;
	return take_filter(q, value_of(r, "filtering")) ||
	       bad(a, "filtering is not valid");
}

/* ---- rows ---- */

static const char *const sides[][3] = {{"18-24", "25-34", "65+"},
    {"female", "male", "unknown"}, {"SE", "NO", "DE"}};

static const char *
side(const char *breakdown, unsigned i)
{
	for (unsigned b = 0; b < 3; b++)
		if (strcmp(breakdown, breakdowns_known[b]) == 0)
			return sides[b][i % 3];
	return i % 3 == 0 ? "facebook" : i % 3 == 1 ? "instagram" : "unknown";
}

struct row {
	const struct ask *q;
	int c, s, d; /* campaign, ad set, ad from 0; -1: above */
	int32_t day;
	unsigned part; /* which of the breakdown's combinations */
};

static const char *
id_of(const struct row *w, int level)
{
	return sim_keep("12024%s%05d%02d%02d", w->q->account->id, w->c + 1,
	    level > 1 ? w->s + 1 : 0, level > 2 ? w->d + 1 : 0);
}

static bool
restated(int32_t day)
{
	char date[DATE_LEN + 1];

	date_format(day, date);
	return sim_restated("meta.restate", date);
}

/* A count of one day, the sum of all ads below, each up to `most`. */
static uint64_t
metric(const struct row *w, const char *name, uint64_t most)
{
	int64_t revision = sim_setting_int("meta.revision", 0);
	int campaigns = (int)sim_setting_int("meta.campaigns", 3);
	uint64_t sum = 0, more = restated(w->day) ? 1 : 0;

	for (int c = 0; c < campaigns; c++)
		for (int s = 0; s < ADSETS; s++)
			for (int d = 0; d < ADS; d++) {
				if ((w->c >= 0 && w->c != c) ||
				    (w->s >= 0 && w->s != s) ||
				    (w->d >= 0 && w->d != d))
					continue;
				sum += sim_hash("%s %s %d %d %d %d %u",
					   w->q->account->id, name, c, s, d,
					   w->day, w->part) %
					   most +
				       more;
			}
	if (revision > 0 && sim_hash("restated %d", w->day) % 3 == 0)
		sum += (uint64_t)revision;
	return sum;
}

static void
put_action(const struct row *w, struct jsonw *list, const char *type,
    uint64_t n, bool money)
{
	struct jsonw e;
	const char *v =
	    money ? sim_keep("%llu.%02llu", (unsigned long long)n / 100,
			(unsigned long long)n % 100)
		  : sim_keep("%llu", (unsigned long long)n);

	jsonw_open(list, NULL, &e, '{');
	jsonw_str(&e, "action_type", type);
	jsonw_str(&e, "value", v);
	for (size_t i = 0; i < w->q->windows.n; i++)
		if (strstr(w->q->windows.name[i], "click") != NULL)
			jsonw_str(&e, w->q->windows.name[i], v);
	jsonw_end(&e);
}

static void
put_field(const struct row *w, struct jsonw *o, const char *f)
{
	uint64_t spend = metric(w, "spend", 30000);
	struct jsonw list;

	if (strcmp(f, "account_id") == 0)
		jsonw_str(o, f, w->q->account->id);
	else if (strcmp(f, "account_name") == 0)
		jsonw_str(o, f, w->q->account->name);
	else if (strcmp(f, "account_currency") == 0)
		jsonw_str(o, f, w->q->account->currency);
	else if (strcmp(f, "campaign_id") == 0 && w->c >= 0)
		jsonw_str(o, f, id_of(w, 1));
	else if (strcmp(f, "campaign_name") == 0 && w->c >= 0)
		jsonw_str(o, f, sim_keep("Kampanj %d \xc3\xa5", w->c + 1));
	else if (strcmp(f, "adset_id") == 0 && w->s >= 0)
		jsonw_str(o, f, id_of(w, 2));
	else if (strcmp(f, "adset_name") == 0 && w->s >= 0)
		jsonw_str(o, f, sim_keep("Set %d", w->s + 1));
	else if (strcmp(f, "ad_id") == 0 && w->d >= 0)
		jsonw_str(o, f, id_of(w, 3));
	else if (strcmp(f, "ad_name") == 0 && w->d >= 0)
		jsonw_str(o, f, sim_keep("Ad %d", w->d + 1));
	else if (strcmp(f, "spend") == 0)
		jsonw_str(o, f,
		    w->q->breakdowns.n > 0
			? sim_keep("%llu.%06llu",
			      (unsigned long long)spend / 1000000,
			      (unsigned long long)spend % 1000000)
			: sim_keep("%llu.%02llu",
			      (unsigned long long)spend / 100,
			      (unsigned long long)spend % 100));
	else if (strcmp(f, "impressions") == 0)
		jsonw_str(o, f,
		    sim_keep("%llu", (unsigned long long)metric(w, f, 2000)));
	else if (strcmp(f, "reach") == 0)
		jsonw_str(o, f,
		    sim_keep("%llu", (unsigned long long)metric(w, f, 900)));
	else if (strcmp(f, "clicks") == 0 ||
		 strcmp(f, "inline_link_clicks") == 0)
		jsonw_str(o, f,
		    sim_keep("%llu", (unsigned long long)metric(w, f, 40)));
	else if (strcmp(f, "actions") == 0 || strcmp(f, "action_values") == 0) {
		bool money = strcmp(f, "action_values") == 0;
		uint64_t n = metric(w, "purchases", 4);

		if (n == 0) /* what is nothing is left out */
			return;
		jsonw_open(o, f, &list, '[');
		if (!money)
			put_action(w, &list, "link_click",
			    metric(w, "inline_link_clicks", 40), false);
		if (!money)
			put_action(
			    w, &list, "mobile_app_install", n + 1, false);
		put_action(w, &list, "purchase", money ? n * 9999 : n, money);
		put_action(
		    w, &list, "omni_purchase", money ? n * 9999 : n, money);
		jsonw_end(&list);
	} else if (strcmp(f, "purchase_roas") == 0) {
		jsonw_open(o, f, &list, '[');
		put_action(w, &list, "omni_purchase", spend % 700, true);
		jsonw_end(&list);
	}
}

static void
put_row(const struct row *w, struct jsonw *data)
{
	struct jsonw o;
	char day[DATE_LEN + 1], stop[DATE_LEN + 1];
	unsigned part = w->part;

	date_format(w->q->all_days ? w->q->since : w->day, day);
	date_format(w->q->all_days ? w->q->until : w->day, stop);
	jsonw_open(data, NULL, &o, '{');
	for (size_t i = 0; i < w->q->fields.n; i++)
		put_field(w, &o, w->q->fields.name[i]);
	jsonw_str(&o, "date_start", day);
	jsonw_str(&o, "date_stop", stop);
	for (size_t i = 0; i < w->q->breakdowns.n; i++) {
		jsonw_str(&o, w->q->breakdowns.name[i],
		    side(w->q->breakdowns.name[i], part));
		part /= 3;
	}
	jsonw_end(&o);
}

static bool
filtered_out(const struct row *w)
{
	const char *id;

	if (w->q->filter_level == 0)
		return false;
	id = id_of(w, w->q->filter_level);
	for (size_t i = 0; i < w->q->filter.n; i++)
		if (strcmp(w->q->filter.name[i], id) == 0)
			return false;
	return true;
}

/* Calls take for the rows from..to-1; gives the count of all. An entity above
 * the filter's level has no row of its own then. */
static size_t
each_row(const struct ask *q, size_t from, size_t to, struct jsonw *data)
{
	int campaigns = (int)sim_setting_int("meta.campaigns", 3);
	unsigned parts = 1;
	size_t n = 0;
	int32_t last = q->all_days ? q->since : q->until,
		today = (int32_t)(sim_now_s() / 86400) + 1;

	for (size_t i = 0; i < q->breakdowns.n; i++)
		parts *= 3;
	for (int32_t day = q->since; day <= last && day <= today; day++) {
		if (!q->all_days && !restated(day) &&
		    sim_hash("silent %d", day) % 9 == 0)
			continue;
		for (int e = 0; e < campaigns * ADSETS * ADS; e++)
			for (unsigned p = 0; p < parts; p++) {
				struct row w = {q, e / (ADSETS * ADS),
				    e / ADS % ADSETS, e % ADS, day, p};

				if (filtered_out(&w) ||
				    (q->level < 1 && w.c > 0) ||
				    (q->level < 2 && w.s > 0) ||
				    (q->level < 3 && w.d > 0))
					continue;
				w.c = q->level < 1 ? -1 : w.c;
				w.s = q->level < 2 ? -1 : w.s;
				w.d = q->level < 3 ? -1 : w.d;
				if (data != NULL && n >= from && n < to)
					put_row(&w, data);
				n++;
			}
	}
	return n;
}

static bool
has_bad_field(const struct ask *q)
{
	const char *bad_one = sim_setting("meta.bad_field", "");

	if ((int64_t)q->breakdowns.n >
	    sim_setting_int("meta.max_breakdowns", 9))
		return true;
	for (size_t i = 0; i < q->fields.n; i++)
		if (strcmp(q->fields.name[i], bad_one) == 0)
			return true;
	return false;
}

static void
put_page(const struct sim_request *r, struct sim_answer *a, const struct ask *q)
{
	const char *limit_text = sim_param(r, "limit"),
		   *after = sim_param(r, "after");
	int64_t limit = limit_text != NULL ? atoi(limit_text) : LIMIT,
		most = sim_setting_int("meta.max_page", 5000);
	size_t from = 0, total = each_row(q, 0, 0, NULL), to;
	struct jsonw w, data, paging, cursors;

	if (after != NULL && (strncmp(after, "QVFI=", 5) != 0 ||
				 (from = (size_t)atol(after + 5)) > total)) {
		bad(a, "Invalid cursors values");
		return;
	}
	if (limit < 1 || limit > most) {
		fail_as(a, 500, "OAuthException", 1, 0,
		    "Please reduce the "
		    "amount of data you're asking for, then retry your "
		    "request");
		return;
	}
	to = from + (size_t)limit < total ? from + (size_t)limit : total;
	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_open(&w, "data", &data, '[');
	each_row(q, from, to, &data);
	jsonw_end(&data);
	if (total > 0) {
		const char *c = sim_keep("QVFI=%zu", to);

		jsonw_open(&w, "paging", &paging, '{');
		jsonw_open(&paging, "cursors", &cursors, '{');
		jsonw_str(&cursors, "before", sim_keep("QVFI=%zu", from));
		jsonw_str(&cursors, "after", c);
		jsonw_end(&cursors);
		if (to < total)
			jsonw_str(&paging, "next",
			    sim_keep("%s%s?access_token=%s&limit=%lld"
				     "&after=QVFI%%3D%zu",
				sim_base(), r->path, token(), (long long)limit,
				to));
		jsonw_end(&paging);
	}
	jsonw_end(&w);
}

/* ---- insights ---- */

static void
insights(const struct sim_request *r, struct sim_answer *a)
{
	struct ask q;

	if (!enter(r, a))
		return;
	if (strncmp(r->part[2], "act_", 4) != 0) {
		node(r, a);
		return;
	}
	if (from_file(r, a) || !take_ask(r, a, &q))
		return;
	if (has_bad_field(&q) || (int64_t)each_row(&q, 0, 0, NULL) >
				     sim_setting_int("meta.max_sync", 100000)) {
		too_much(a);
		return;
	}
	put_page(r, a, &q);
}

static void
make_run(const struct sim_request *r, struct sim_answer *a)
{
	struct run *run = &runs[run_count];
	struct jsonw w;

	if (!enter(r, a))
		return;
	if (from_file(r, a))
		return;
	if (run_count == RUNS || !take_ask(r, a, &run->ask)) {
		if (a->body.len == 0)
			bad(a, "too many report runs");
		return;
	}
	snprintf(run->id, sizeof run->id, "6%015zu", ++run_count);
	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "report_run_id", run->id);
	jsonw_end(&w);
}

static void
put_status(struct run *run, struct sim_answer *a)
{
	int64_t polls = sim_setting_int("meta.polls", 1),
		cells = (int64_t)(each_row(&run->ask, 0, 0, NULL) *
				  run->ask.fields.n);
	bool stuck = sim_setting_int("meta.stuck", 0) != 0,
	     done = !stuck && run->polls > polls,
	     failed = done &&
		      (has_bad_field(&run->ask) ||
			  cells > sim_setting_int("meta.max_async", 1000000));
	struct jsonw w;

	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "id", run->id);
	jsonw_str(&w, "account_id", run->ask.account->id);
	jsonw_i64(&w, "time_ref", sim_now_s());
	jsonw_str(&w, "async_status",
	    stuck    ? "Job Not Started"
	    : failed ? "Job Failed"
	    : done   ? "Job Completed"
		     : "Job Running");
	jsonw_i64(&w, "async_percent_completion", stuck ? 0 : done ? 100 : 40);
	if (failed) {
		jsonw_i64(&w, "error_code", 100);
		jsonw_i64(&w, "error_subcode", 1487534);
		jsonw_str(&w, "error_message", "Too much data");
		jsonw_str(&w, "error_user_msg", "Demasiados datos");
	}
	jsonw_end(&w);
}

/* A node that is not an account: a report run, or its rows. */
static void
node(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const known[] = {
	    "limit", "after", "appsecret_proof", NULL};
	bool rows = r->parts > 3;

	if (from_file(r, a))
		return;
	if (sim_strange_param(r, known) != NULL) {
		bad(a, "unknown parameter");
		return;
	}
	for (size_t i = 0; i < run_count; i++) {
		struct run *run = &runs[i];

		if (strcmp(run->id, r->part[2]) != 0)
			continue;
		if (run->polls++ < (unsigned)sim_setting_int("meta.race", 0))
			break;
		if (rows)
			put_page(r, a, &run->ask);
		else
			put_status(run, a);
		return;
	}
	no_object(r, a);
}

static void
object(const struct sim_request *r, struct sim_answer *a)
{
	if (!enter(r, a))
		return;
	if (strncmp(r->part[2], "act_", 4) == 0)
		account_facts(r, a);
	else
		node(r, a);
}

static const struct sim_route routes[] = {
    {"POST", "/graph/?/debug_token", debug_token},
    {"GET", "/graph/?/?/insights", insights},
    {"POST", "/graph/?/?/insights", make_run},
    {"GET", "/graph/?/?", object},
    {NULL, NULL, NULL},
};

static struct sim_service meta = {
    .prefix = "/graph/", .routes = routes, .unknown = no_path};
SIM_SERVICE(meta);
