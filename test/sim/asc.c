/*
 * App Store Connect: sales and subscription reports, Analytics Reports and
 * the presigned host of their files.
 *
 * Settings: asc.public_key (PEM file), asc.kid, asc.issuer, asc.vendor,
 * asc.app, asc.request (ongoing, stopped, none),
 * asc.snapshot (1: one was asked for), asc.page (instances a page),
 * asc.bad (md5, size), asc.url_ttl (s), asc.latest (the version that alone is
 * taken), asc.rows (rows a made report has), asc.restate (restates these days:
 * DATE,DATE).
 * Files: asc/TYPE.SUBTYPE.FREQUENCY.DATE with .tsv, .tsv.gz or .json
 * ({"http_status":404,"body":{...}}); asc/analytics/PROCESSING-DATE.N.tsv,
 * with w-, m- or s- before it of weekly and monthly instances and snapshots.
 */
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "sim.h"

static struct asc {
	EVP_PKEY *key;
	bool created, snapshot;
	struct zone *zone;
} asc;

/* ---- errors ---- */

static void
fail(struct sim_answer *a, int status, const char *code, const char *title,
    const char *detail)
{
	struct jsonw w, list, e;
	char text[16];

	buf_reset(&a->body);
	sim_json(a, status);
	snprintf(text, sizeof text, "%d", status);
	jsonw_begin(&w, &a->body, '{');
	jsonw_open(&w, "errors", &list, '[');
	jsonw_open(&list, NULL, &e, '{');
	jsonw_str(&e, "id", "8a45808f-aa56-4e29-bef0-3f836d571a24");
	jsonw_str(&e, "status", text);
	jsonw_str(&e, "code", code);
	jsonw_str(&e, "title", title);
	jsonw_str(&e, "detail", detail);
	jsonw_end(&e);
	jsonw_end(&list);
	jsonw_end(&w);
}

static void
bad_param(struct sim_answer *a, const char *name)
{
	fail(a, 400, "PARAMETER_ERROR.ILLEGAL",
	    "A parameter has an invalid value",
	    sim_keep("'%s' is not a valid parameter for this request", name));
}

static void
bad_value(struct sim_answer *a, const char *name)
{
	fail(a, 400, "PARAMETER_ERROR.INVALID",
	    "A parameter has an invalid value",
	    sim_keep("the value of '%s' is not valid here", name));
}

static void
not_found(const struct sim_request *r, struct sim_answer *a)
{
	fail(a, 404, "NOT_FOUND", "The specified resource does not exist",
	    sim_keep("There is no resource of '%s'", r->path));
}

/* ---- the token ---- */

static int
sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* base64url without padding; false where it is anything else. */
static bool
unb64url(const char *p, size_t n, struct buf *out)
{
	unsigned acc = 0, bits = 0;

	if (n % 4 == 1)
		return false;
	for (size_t i = 0; i < n; i++) {
		int v = sextet(p[i]);

		if (v < 0)
			return false;
		acc = (acc << 6 | (unsigned)v) & 0xffffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			buf_char(out, (char)(acc >> bits & 0xff));
		}
	}
	return true;
}

static bool
signature_ok(const char *text, size_t n, const struct buf *sig)
{
	const unsigned char *p = (const unsigned char *)sig->p;
	ECDSA_SIG *s;
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned char *der = NULL;
	int len;
	bool ok;

	if (asc.key == NULL || sig->len != 64) { /* DER, or unpadded */
		EVP_MD_CTX_free(c);
		return false;
	}
	s = ECDSA_SIG_new();
	ECDSA_SIG_set0(s, BN_bin2bn(p, 32, NULL), BN_bin2bn(p + 32, 32, NULL));
	len = i2d_ECDSA_SIG(s, &der);
	ok = len > 0 &&
	     EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, asc.key) == 1 &&
	     EVP_DigestVerify(
		 c, der, (size_t)len, (const unsigned char *)text, n) == 1;
	OPENSSL_free(der);
	ECDSA_SIG_free(s);
	EVP_MD_CTX_free(c);
	return ok;
}

static bool
is(const struct json_span *o, const char *name, const char *text)
{
	struct json_span v = json_member(o, name);

	return v.type == JSON_STRING && json_is(&v, text, strlen(text));
}

static const char *
claims_wrong(const struct json_span *head, const struct json_span *claims)
{
	struct json_span iat = json_member(claims, "iat");
	struct json_span exp = json_member(claims, "exp");
	int64_t from, to, now = sim_now_s();

	if (!is(head, "alg", "ES256") || !is(head, "typ", "JWT"))
		return "alg or typ";
	if (!is(head, "kid", sim_setting("asc.kid", "ABC123DEFG")))
		return "kid";
	if (!is(claims, "aud", "appstoreconnect-v1"))
		return "aud";
	if (!is(claims, "iss",
		sim_setting(
		    "asc.issuer", "57246542-96fe-1a63-e053-0824d011072a")))
		return "iss";
	if (iat.type != JSON_NUMBER || !json_i64(&iat, &from) ||
	    memchr(iat.p, '.', iat.len) != NULL)
		return "iat is no integer";
	if (exp.type != JSON_NUMBER || !json_i64(&exp, &to) ||
	    memchr(exp.p, '.', exp.len) != NULL)
		return "exp is no integer";
	if (to - from > 1200 || to <= from)
		return "it lives over 20 minutes";
	if (from > now || to <= now)
		return "expired";
	return NULL;
}

/* Why the token is not taken; NULL: it is. */
static const char *
token_wrong(const char *t)
{
	const char *dot = strchr(t, '.');
	const char *end = dot == NULL ? NULL : strchr(dot + 1, '.');
	struct buf head = BUF_INIT(65536), body = head, sig = head;
	const char *why = "form";

	if (end != NULL && unb64url(t, (size_t)(dot - t), &head) &&
	    unb64url(dot + 1, (size_t)(end - dot - 1), &body) &&
	    unb64url(end + 1, strlen(end + 1), &sig) &&
	    json_check(head.p, head.len, true, NULL) &&
	    json_check(body.p, body.len, true, NULL)) {
		struct json_span h, c;

		buf_cstr(&head);
		buf_cstr(&body);
		h = json_value(head.p);
		c = json_value(body.p);
		why = !signature_ok(t, (size_t)(end - t), &sig)
			  ? "signature"
			  : claims_wrong(&h, &c);
	}
	buf_release(&head);
	buf_release(&body);
	buf_release(&sig);
	return why;
}

/* Token, brackets, rate header: what every call has. */
static bool
admit(const struct sim_request *r, struct sim_answer *a)
{
	const char *auth = sim_header(r, "Authorization");
	const char *why = "no token";

	sim_add_header(a, "X-Rate-Limit",
	    sim_setting("asc.rate", "user-hour-lim:3600;user-hour-rem:3121;"));
	if (auth != NULL && strncmp(auth, "Bearer ", 7) == 0)
		why = r->expired ? "expired" : token_wrong(auth + 7);
	if (why != NULL) {
		((struct sim_request *)(uintptr_t)r)->note =
		    sim_keep("token: %s", why);
		fail(a, 401, "NOT_AUTHORIZED",
		    "Authentication credentials are missing or invalid.",
		    "Provide a properly configured and signed bearer token, "
		    "and make sure that it has not expired.");
		return false;
	}
	if (strpbrk(r->query, "[]") != NULL) {
		bad_param(a, "[");
		return false;
	}
	return true;
}

/* ---- sales reports ---- */

static const struct {
	const char *type, *subtype, *frequencies;
	const char *version; /* the one that is taken; NULL: none or any */
} combos[] = {
    {"SALES", "SUMMARY", "DAILY WEEKLY MONTHLY YEARLY", NULL},
    {"SUBSCRIPTION", "SUMMARY", "DAILY", "1_3"},
    {"SUBSCRIPTION_EVENT", "SUMMARY", "DAILY", "1_3"},
    {"SUBSCRIBER", "DETAILED", "DAILY", "1_3"},
    {"SUBSCRIPTION_OFFER_CODE_REDEMPTION", "SUMMARY", "DAILY", "1_0"},
    {"PRE_ORDER", "SUMMARY", "DAILY WEEKLY MONTHLY YEARLY", "1_0"},
    {"NEWSSTAND", "DETAILED", "DAILY WEEKLY", "1_0"},
    {"INSTALLS", "SUMMARY", "MONTHLY", "1_2"},
    {"INSTALLS", "DETAILED", "MONTHLY", "1_2"},
    {"INSTALLS", "DETAILED", "YEARLY", "1_1"},
    {"INSTALLS", "SUMMARY_CHANNEL", "YEARLY", "1_1"},
    {"INSTALLS", "SUMMARY_INSTALL_TYPE", "YEARLY", "1_1"},
    {"INSTALLS", "SUMMARY_TERRITORY", "YEARLY", "1_1"},
    {"FIRST_ANNUAL", "DETAILED", "DAILY", "1_0"},
    {"FIRST_ANNUAL", "SUMMARY", "YEARLY", "1_0"},
    {"WIN_BACK_ELIGIBILITY", "SUMMARY", "DAILY", "1_0"},
};
enum { COMBOS = sizeof combos / sizeof *combos };

static const char sales_header[] =
    "Provider\tProvider Country\tSKU\tDeveloper\tTitle\tVersion\t"
    "Product Type Identifier\tUnits\tDeveloper Proceeds\tBegin Date\t"
    "End Date\tCustomer Currency\tCountry Code\tCurrency of Proceeds\t"
    "Apple Identifier\tCustomer Price\tPromo Code\tParent Identifier\t"
    "Subscription\tPeriod\tCategory\tCMB\tDevice\tSupported Platforms\t"
    "Proceeds Reason\tPreserved Pricing\tClient\tOrder Type\n";

/* The vendor's apps, as conf/apps.jq has them: the second one has the sales of
 * each third row. */
static const struct {
	const char *sku, *title, *id, *coins, *coins_id;
} titles[] = {
    {"com.example.flocken", "Flocken", "1000000001",
	"com.example.flocken.coins", "1000000002"},
    {"com.example.betet", "Betet", "1000000004", "com.example.betet.coins",
	"1000000005"},
};

/* What is added to the counts of a day that is restated. */
static unsigned
restated(const char *date)
{
	return sim_restated("asc.restate", date) ? 2 : 0;
}

/* A day of sales that is a function of the seed and the date. */
static void
make_sales(const char *date, int32_t day, struct buf *out)
{
	static const char *const type[] = {
	    "1F", "1F", "3F", "7F", "IA1", "IAY", "F7", "FI1"};
	static const char *const country[] = {"US", "SE", "JP", "DE"};
	static const char *const money[] = {"USD", "SEK", "JPY", "EUR"};
	int64_t rows = sim_setting_int("asc.rows", 12);
	unsigned more = restated(date);
	int y, m, d;

	date_to_civil(day, &y, &m, &d);
	buf_str(out, sales_header);
	for (int64_t i = 0; i < rows; i++) {
		uint64_t h = sim_hash("asc %s %lld", date, (long long)i);
		size_t t = h % 8, c = h / 8 % 4, x = h / 25600 % 3 == 2;
		bool paid = t == 4 || t == 5 || t == 7;
		bool refund = paid && h / 32 % 10 == 0;

		buf_fmt(out,
		    "APPLE\tUS\t%s\tExample AB\t%s\t%s\t%s\t%s%u\t%s\t"
		    "%02d/%02d/%04d\t%02d/%02d/%04d\t%s\t%s\t%s\t%s\t%s%s\t"
		    " \t%s\t%s\t%s\tGames\t \t%s\tiOS\t \t \t \t \n",
		    paid ? titles[x].coins : titles[x].sku,
		    paid ? "Coins \xc3\xa5\xc3\xa4" : titles[x].title,
		    paid ? " " : "1.0", type[t], refund ? "-" : "",
		    (unsigned)(h / 320 % 40 + 1) + more, paid ? "0.70" : "0", m,
		    d, y, m, d, y, money[c], country[c], money[c],
		    paid ? titles[x].coins_id : titles[x].id, refund ? "-" : "",
		    paid ? "0.99" : "0", paid ? titles[x].sku : " ",
		    t == 5 ? "Renewal" : " ", t == 5 ? "1 Month" : " ",
		    h / 12800 % 2 != 0 ? "iPhone" : "iPad");
	}
}

static const char subscription_header[] =
    "App Name\tApp Apple ID\tSubscription Name\tSubscription Apple ID\t"
    "Subscription Group ID\tStandard Subscription Duration\t"
    "Subscription Offer Name\tPromotional Offer ID\tCustomer Price\t"
    "Customer Currency\tDeveloper Proceeds\tProceeds Currency\t"
    "Preserved Pricing\tProceeds Reason\tClient\tDevice\tState\tCountry\t"
    "Active Standard Price Subscriptions\t"
    "Active Free Trial Introductory Offer Subscriptions\t"
    "Active Pay Up Front Introductory Offer Subscriptions\t"
    "Active Pay As You Go Introductory Offer Subscriptions\t"
    "Free Trial Promotional Offer Subscriptions\t"
    "Pay Up Front Promotional Offer Subscriptions\t"
    "Pay As You Go Promotional Offer Subscriptions\t"
    "Free Trial Offer Code Subscriptions\t"
    "Pay Up Front Offer Code Subscriptions\t"
    "Pay As You Go Offer Code Subscriptions\tMarketing Opt-Ins\t"
    "Billing Retry\tGrace Period\tSubscribers\n";
static const char event_header[] =
    "Event Date\tEvent\tApp Name\tApp Apple ID\tSubscription Name\t"
    "Subscription Apple ID\tSubscription Group ID\t"
    "Standard Subscription Duration\tSubscription Offer Type\t"
    "Subscription Offer Duration\tMarketing Opt-In\t"
    "Marketing Opt-In Duration\tPreserved Pricing\tProceeds Reason\t"
    "Subscription Offer Name\tPromotional Offer ID\t"
    "Consecutive Paid Periods\tOriginal Start Date\tDevice\tClient\t"
    "State\tCountry\tPrevious Subscription Name\t"
    "Previous Subscription Apple ID\tDays Before Canceling\t"
    "Cancellation Reason\tDays Canceled\tQuantity\t"
    "Paid Service Days Recovered\n";
static const char subscriber_header[] =
    "Event Date\tApp Name\tApp Apple ID\tSubscription Name\t"
    "Subscription Apple ID\tSubscription Group ID\t"
    "Standard Subscription Duration\tSubscription Offer Name\t"
    "Promotional Offer ID\tSubscription Offer Type\t"
    "Subscription Offer Duration\tMarketing Opt-In Duration\t"
    "Customer Price\tCustomer Currency\tDeveloper Proceeds\t"
    "Proceeds Currency\tPreserved Pricing\tProceeds Reason\tClient\t"
    "Device\tCountry\tSubscriber ID\tSubscriber ID Reset\tRefund\t"
    "Purchase Date\tUnits\n";

static void
make_report(const char *type, const char *date, int32_t day, struct buf *out)
{
	if (strcmp(type, "SALES") == 0) {
		make_sales(date, day, out);
	} else if (strcmp(type, "SUBSCRIPTION") == 0) {
		buf_str(out, subscription_header);
		buf_fmt(out,
		    "Flocken\t1000000001\tMonthly\t1000000003\t20000001\t"
		    "1 Month\t \t \t9.99\tUSD\t7.00\tUSD\t \t \t \tiPhone\t"
		    " \tUS\t%u\t3\t0\t0\t0\t0\t0\t0\t0\t0\t1\t2\t1\t \n",
		    (unsigned)(sim_hash("sub %s", date) % 900 + 100) +
			restated(date));
	} else if (strcmp(type, "SUBSCRIPTION_EVENT") == 0) {
		buf_str(out, event_header);
		buf_fmt(out,
		    "%s\tRenew\tFlocken\t1000000001\tMonthly\t1000000003\t"
		    "20000001\t1 Month\t \t \t \t \t \t \t \t \t4\t2026-01-02"
		    "\tiPhone\t \t \tUS\t \t \t \t \t \t%u\t \n",
		    date,
		    (unsigned)(sim_hash("event %s", date) % 50 + 1) +
			restated(date));
	} else if (strcmp(type, "SUBSCRIBER") != 0) {
		/* columns that no source tells: a report all the same */
		buf_fmt(out,
		    "Provider\tApp Apple ID\tCountry\tUnits\n"
		    "APPLE\t1000000001\tSE\t%u\n",
		    (unsigned)(sim_hash("%s %s", type, date) % 90 + 1));
	} else {
		buf_str(out, subscriber_header);
		buf_fmt(out,
		    "%s\tFlocken\t1000000001\tMonthly\t1000000003\t20000001\t"
		    "1 Month\t \t \t \t \t \t-9.99\tUSD\t7.00\tUSD\t \t \t \t"
		    "iPhone\tUS\t900719925474099312\t \tYes\t%s\t-1\n",
		    date, date);
	}
}

/* The last day a report date stands for; false: not of that frequency. */
static bool
period_end(const char *date, const char *frequency, int32_t *day)
{
	size_t n = strlen(date);
	char text[16];
	int y, m, d;

	if (strcmp(frequency, "DAILY") == 0)
		return date_parse(date, n, day);
	if (strcmp(frequency, "WEEKLY") == 0) /* 1970-01-04 was a Sunday */
		return date_parse(date, n, day) && (*day - 3) % 7 == 0;
	if (strcmp(frequency, "MONTHLY") == 0) {
		if (n != 7)
			return false;
		snprintf(text, sizeof text, "%s-01", date);
		if (!date_parse(text, 10, day))
			return false;
		date_to_civil(*day, &y, &m, &d);
		*day = date_from_civil(m == 12 ? y + 1 : y, m % 12 + 1, 1) - 1;
		return true;
	}
	if (n != 4)
		return false;
	snprintf(text, sizeof text, "%s-12-31", date);
	return date_parse(text, 10, day);
}

static void
no_sales(struct sim_answer *a)
{
	fail(a, 404, "NOT_FOUND",
	    "The request expected results but none were found",
	    "There were no sales for the date specified.");
}

static void
send_gzip(struct sim_answer *a, const struct buf *text)
{
	a->status = 200;
	sim_add_header(a, "Content-Type", "application/a-gzip");
	sim_gzip(&a->body, text->p, text->len);
}

static bool
from_file(const char *stem, struct sim_answer *a)
{
	struct buf b = BUF_INIT(512u << 20);
	bool found = true;

	if (sim_data_file(sim_keep("%s.tsv", stem), &b)) {
		send_gzip(a, &b);
	} else if (sim_data_file(sim_keep("%s.tsv.gz", stem), &b)) {
		sim_text(a, 200, "application/a-gzip", b.p, b.len);
	} else if (sim_data_file(sim_keep("%s.json", stem), &b) &&
		   json_check(b.p, b.len, true, NULL)) {
		struct json_span o = json_value(buf_cstr(&b));
		struct json_span st = json_member(&o, "http_status");
		struct json_span body = json_member(&o, "body");
		int64_t status = 404;

		json_i64(&st, &status);
		sim_json(a, (int)status);
		buf_add(&a->body, body.p, body.len);
	} else {
		found = false;
	}
	buf_release(&b);
	return found;
}

static void
report_of(struct sim_answer *a, const char *type, const char *subtype,
    const char *frequency, const char *date, int32_t day)
{
	int32_t today = zone_day(asc.zone, sim_now_s());
	struct buf text = BUF_INIT(512u << 20);

	if (from_file(
		sim_keep("asc/%s.%s.%s.%s", type, subtype, frequency, date), a))
		return;
	if (day >= today) {
		fail(a, 404, "NOT_FOUND",
		    "The request expected results but "
		    "none were found",
		    "Report is not available yet. Daily reports for the "
		    "Americas are available by 5 am Pacific Time.");
	} else if (strcmp(frequency, "YEARLY") != 0 && day < today - 365) {
		fail(a, 410, "GONE", "Report is no longer available",
		    "Report is no longer available. Daily reports are "
		    "available for the past 365 days.");
	} else {
		make_report(type, date, day, &text);
		send_gzip(a, &text);
	}
	buf_release(&text);
}

static bool
frequency_ok(const char *list, const char *word)
{
	static const char *const all[] = {
	    "DAILY", "WEEKLY", "MONTHLY", "YEARLY"};

	for (size_t i = 0; i < 4; i++) {
		if (strcmp(word, all[i]) == 0)
			return strstr(list, word) != NULL;
	}
	return false;
}

static void
sales_reports(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const known[] = {"filter[vendorNumber]",
	    "filter[reportType]", "filter[reportSubType]", "filter[frequency]",
	    "filter[reportDate]", "filter[version]", NULL};
	const char *accept = sim_header(r, "Accept");
	const char *v[6], *strange, *latest = sim_setting("asc.latest", NULL);
	int32_t day;
	size_t c;

	if (!admit(r, a))
		return;
	if (accept == NULL || strcmp(accept, "application/a-gzip") != 0) {
		fail(a, 406, "NOT_ACCEPTABLE",
		    "The requested content type "
		    "is not available",
		    "Accept application/a-gzip");
		return;
	}
	if ((strange = sim_strange_param(r, known)) != NULL) {
		bad_param(a, strange);
		return;
	}
	for (int i = 0; i < 6; i++) {
		v[i] = sim_param(r, known[i]);
		if (v[i] == NULL && i < 4) {
			fail(a, 400, "PARAMETER_ERROR.REQUIRED",
			    "A required parameter is missing", known[i]);
			return;
		}
	}
	for (c = 0; c < COMBOS; c++) {
		if (strcmp(combos[c].type, v[1]) == 0 &&
		    strcmp(combos[c].subtype, v[2]) == 0 &&
		    frequency_ok(combos[c].frequencies, v[3]))
			break;
	}
	if (c == COMBOS || v[4] == NULL || !period_end(v[4], v[3], &day)) {
		bad_value(a, c == COMBOS ? known[1] : known[4]);
	} else if (strcmp(v[0], sim_setting("asc.vendor", "80012345")) != 0) {
		bad_value(a, known[0]);
	} else if (latest != NULL &&
		   (v[5] == NULL || strcmp(v[5], latest) != 0)) {
		fail(a, 400, "PARAMETER_ERROR.INVALID",
		    "A parameter has an invalid value",
		    sim_keep("The version parameter you have specified is "
			     "invalid. The latest version for this report is "
			     "%s.",
			latest));
	} else if (latest == NULL && combos[c].version != NULL &&
		   (v[5] == NULL || strcmp(v[5], combos[c].version) != 0)) {
		no_sales(a); /* so it answered dead versions in 2023 */
	} else {
		report_of(a, v[1], v[2], v[3], v[4], day);
	}
}

/* ---- Analytics Reports ---- */

static const char *const names[] = {"App Downloads Standard",
    "App Downloads Detailed", "App Store Discovery and Engagement Standard",
    "App Sessions Standard", "App Crashes"};

static const char *
app(void)
{
	return sim_setting("asc.app", "1000000001");
}

static bool
json_wanted(
    const struct sim_request *r, struct sim_answer *a, const char *const *known)
{
	const char *strange;

	if (!admit(r, a))
		return false;
	strange = sim_strange_param(r, known);
	if (strange != NULL) {
		bad_param(a, strange);
		return false;
	}
	return true;
}

/* Opens {"data":[ ; close_list ends it. */
static void
open_list(struct sim_answer *a, struct jsonw *w, struct jsonw *data)
{
	sim_json(a, 200);
	jsonw_begin(w, &a->body, '{');
	jsonw_open(w, "data", data, '[');
}

static void
close_list(const struct sim_request *r, struct jsonw *w, struct jsonw *data,
    const char *next)
{
	struct jsonw links;

	jsonw_end(data);
	jsonw_open(w, "links", &links, '{');
	jsonw_str(&links, "self", sim_keep("%s%s", sim_base(), r->target));
	if (next != NULL)
		jsonw_str(&links, "next", next);
	jsonw_end(&links);
	jsonw_end(w);
}

static void
put_request(struct jsonw *data, const char *name, const char *id,
    const char *access, bool stopped)
{
	struct jsonw o, at;

	jsonw_open(data, name, &o, '{');
	jsonw_str(&o, "type", "analyticsReportRequests");
	jsonw_str(&o, "id", id);
	jsonw_open(&o, "attributes", &at, '{');
	jsonw_str(&at, "accessType", access);
	jsonw_bool(&at, "stoppedDueToInactivity", stopped);
	jsonw_end(&at);
	jsonw_end(&o);
}

static void
list_requests(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const known[] = {
	    "filter[accessType]", "limit", NULL};
	const char *mode = sim_setting("asc.request", "ongoing");
	const char *access;
	struct jsonw w, data;

	if (!json_wanted(r, a, known))
		return;
	if (strcmp(r->part[3], app()) != 0) {
		not_found(r, a);
		return;
	}
	access = sim_param(r, "filter[accessType]");
	if (access != NULL && strcmp(access, "ONGOING") != 0 &&
	    strcmp(access, "ONE_TIME_SNAPSHOT") != 0) {
		bad_value(a, "filter[accessType]");
		return;
	}
	open_list(a, &w, &data);
	if ((access == NULL || strcmp(access, "ONE_TIME_SNAPSHOT") == 0) &&
	    (asc.snapshot || sim_setting_int("asc.snapshot", 0) != 0))
		put_request(
		    &data, NULL, "req-snap", "ONE_TIME_SNAPSHOT", false);
	if (access == NULL || strcmp(access, "ONGOING") == 0) {
		if (strcmp(mode, "none") != 0)
			put_request(&data, NULL, "req-old", "ONGOING",
			    strcmp(mode, "stopped") == 0);
		if (asc.created)
			put_request(&data, NULL, "req-new", "ONGOING", false);
	}
	close_list(r, &w, &data, NULL);
}

static void
create_request(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const none[] = {NULL};
	const char *mode = sim_setting("asc.request", "ongoing");
	const char *type = sim_header(r, "Content-Type");
	const char *access = strstr(r->body, "\"ONGOING\"") != NULL
				 ? "ONGOING"
				 : "ONE_TIME_SNAPSHOT";
	char *want;
	bool ok, history = strcmp(access, "ONGOING") != 0;
	struct jsonw w;

	if (!json_wanted(r, a, none))
		return;
	want = xasprintf("{\"data\":{\"type\":\"analyticsReportRequests\","
			 "\"attributes\":{\"accessType\":\"%s\"},"
			 "\"relationships\":{\"app\":{\"data\":{\"type\":"
			 "\"apps\",\"id\":\"%s\"}}}}}",
	    access, app());
	ok = strcmp(want, r->body) == 0;
	free(want);
	if (type == NULL || strcmp(type, "application/json") != 0 || !ok) {
		fail(a, 409, "ENTITY_ERROR", "The entity is not valid",
		    "the body is not what it should be");
	} else if (history
		       ? asc.snapshot || sim_setting_int("asc.snapshot", 0) != 0
		       : asc.created || strcmp(mode, "ongoing") == 0) {
		fail(a, 409, "STATE_ERROR", "The request cannot be fulfilled",
		    "You already have such an entity");
	} else {
		asc.created = asc.created || !history;
		asc.snapshot = asc.snapshot || history;
		sim_json(a, 201);
		jsonw_begin(&w, &a->body, '{');
		put_request(&w, "data", history ? "req-snap" : "req-new",
		    access, false);
		jsonw_end(&w);
	}
}

static void
list_reports(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const known[] = {
	    "filter[name]", "filter[category]", "limit", NULL};
	const char *name;
	bool snap;
	struct jsonw w, data, o, at;

	if (!json_wanted(r, a, known))
		return;
	name = sim_param(r, "filter[name]");
	open_list(a, &w, &data);
	/* what was just asked for has none yet */
	snap = strcmp(r->part[3], "req-snap") == 0 && !asc.snapshot;
	for (size_t i = 0; (snap || strcmp(r->part[3], "req-old") == 0) &&
			   i < sizeof names / sizeof *names;
	     i++) {
		if (name != NULL && strcmp(name, names[i]) != 0)
			continue;
		jsonw_open(&data, NULL, &o, '{');
		jsonw_str(&o, "type", "analyticsReports");
		jsonw_str(&o, "id", sim_keep("%s-%zu", snap ? "rs" : "r2", i));
		jsonw_open(&o, "attributes", &at, '{');
		jsonw_str(&at, "name", names[i]);
		jsonw_str(&at, "category", "COMMERCE");
		jsonw_end(&at);
		jsonw_end(&o);
	}
	close_list(r, &w, &data, NULL);
}

/* Which dates an instance has: a snapshot long ones, a week its Monday, a month
 * its first day; a day's the two days before. False: it is none. */
static bool
instance_dates(const char *id, int32_t day, int32_t *from, int32_t *to)
{
	int y, m, d;

	date_to_civil(day, &y, &m, &d);
	*from = day - 2;
	*to = day - 1;
	switch (*id) {
	case 's':
		*from = day - 100;
		*to = day - 3;
		return day == zone_day(asc.zone, sim_now_s()) - 2;
	case 'w':
		*from = *to = day - 7;
		return (day - 4) % 7 == 0; /* 1970-01-05: Monday */
	case 'm':
		*from = *to =
		    date_from_civil(m == 1 ? y - 1 : y, m == 1 ? 12 : m - 1, 1);
		return d == 5;
	default:
		return true;
	}
}

/* The text of an instance's segment: a file, or made. False: there is none. */
static bool
segment_text(const char *id, int64_t n, struct buf *out)
{
	int32_t day, from, to, today = zone_day(asc.zone, sim_now_s());
	struct buf none = BUF_INIT(1u << 20);
	const char *date = id + 2;
	char text[11];

	if (strlen(id) != 12 || strchr("iwms", *id) == NULL || id[1] != '-')
		return false;
	if (sim_data_file(sim_keep("asc/analytics/%s.%lld.tsv",
			      *id == 'i' ? date : id, (long long)n),
		out))
		return true;
	if (sim_data_file("asc/analytics/only-files", &none)) {
		buf_release(&none);
		return false;
	}
	if (n > 1 || !date_parse(date, 10, &day) || day > today - 1 ||
	    day < today - 35 || !instance_dates(id, day, &from, &to))
		return false;
	buf_str(out,
	    "Date\tApp Name\tApp Apple Identifier\tDownload Type\t"
	    "App Version\tDevice\tPlatform Version\tSource Type\tPage Type\t"
	    "Pre-Order\tTerritory\tCounts\n");
	for (int32_t d = from; d <= to; d++) {
		date_format(d, text);
		buf_fmt(out,
		    "%s\tFlocken\t1000000001\t%s\t1.0\tiPhone\tiOS 26.6\t"
		    "App Store search\tProduct page\t\tSE\t%u\n",
		    text, n == 0 ? "First-time download" : "Redownload",
		    (unsigned)(sim_hash("an %s %s", date, text) % 90 + 1) +
			restated(text));
	}
	return true;
}

static void
put_instance(struct jsonw *data, const char *id, const char *granularity)
{
	struct jsonw o, at;

	jsonw_open(data, NULL, &o, '{');
	jsonw_str(&o, "type", "analyticsReportInstances");
	jsonw_str(&o, "id", id);
	jsonw_open(&o, "attributes", &at, '{');
	jsonw_str(&at, "granularity", granularity);
	jsonw_str(&at, "processingDate", id + 2);
	jsonw_end(&at);
	jsonw_end(&o);
}

static void
list_instances(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const known[] = {"filter[granularity]",
	    "filter[processingDate]", "limit", "cursor", NULL};
	int32_t today = zone_day(asc.zone, sim_now_s());
	int64_t page = sim_setting_int("asc.page", 200), n = 0, skip;
	const char *next = NULL, *cursor, *gran;
	struct buf text = BUF_INIT(512u << 20);
	struct jsonw w, data;
	const char *kind, *id;
	char date[11];

	if (!json_wanted(r, a, known))
		return;
	gran = sim_param(r, "filter[granularity]");
	if (gran == NULL || !frequency_ok("DAILY WEEKLY MONTHLY", gran)) {
		bad_value(a, "filter[granularity]");
		return;
	}
	kind = strncmp(r->part[3], "rs-", 3) == 0 ? "s"
	       : *gran == 'D'                     ? "i"
	       : *gran == 'W'                     ? "w"
						  : "m";
	cursor = sim_param(r, "cursor");
	skip = cursor == NULL ? 0 : strtoll(cursor, NULL, 10);
	open_list(a, &w, &data);
	for (int32_t d = today - 35; d <= today; d++) {
		date_format(d, date);
		id = sim_keep("%s-%s", kind, date);
		if (!segment_text(id, 0, &text))
			continue;
		if (n >= skip && n < skip + page)
			put_instance(&data, id, gran);
		n++;
		buf_reset(&text);
	}
	if (n > skip + page)
		next = sim_keep("%s/asc/v1/analyticsReports/%s/instances?"
				"filter%%5Bgranularity%%5D=%s&limit=200&"
				"cursor=%lld",
		    sim_setting("asc.next_base", sim_base_of(r)), r->part[3],
		    gran, (long long)(skip + page));
	close_list(r, &w, &data, next);
	buf_release(&text);
}

static void
md5_hex(const struct buf *b, char out[33])
{
	unsigned char d[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	EVP_Digest(b->p, b->len, d, &n, EVP_md5(), NULL);
	for (unsigned i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", d[i]);
}

static void
list_segments(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const known[] = {"limit", NULL};
	const char *bad = sim_setting("asc.bad", "");
	const char *id = r->part[3];
	struct buf text = BUF_INIT(512u << 20), gz = text;
	struct jsonw w, data, o, at;
	char sum[33];

	if (!json_wanted(r, a, known))
		return;
	if (!segment_text(id, 0, &text)) {
		not_found(r, a);
		return;
	}
	open_list(a, &w, &data);
	for (int64_t n = 0;; n++) {
		buf_reset(&text);
		buf_reset(&gz);
		if (!segment_text(id, n, &text))
			break;
		sim_gzip(&gz, text.p, text.len);
		md5_hex(&gz, sum);
		jsonw_open(&data, NULL, &o, '{');
		jsonw_str(&o, "type", "analyticsReportSegments");
		jsonw_str(&o, "id", sim_keep("s-%lld", (long long)n));
		jsonw_open(&o, "attributes", &at, '{');
		jsonw_str(&at, "checksum",
		    strcmp(bad, "md5") == 0 ? "00000000000000000000000000000000"
					    : sum);
		jsonw_u64(&at, "sizeInBytes",
		    gz.len + (strcmp(bad, "size") == 0 ? 1 : 0));
		jsonw_str(&at, "url",
		    sim_keep("%s/asc-files/%s/%lld.csv.gz?"
			     "X-Amz-Security-Token=secretsecret&"
			     "X-Amz-Date=%lld&X-Amz-Signature=%016llx",
			sim_setting("asc.files_base", sim_base_of(r)), id,
			(long long)n, (long long)sim_now_s(),
			(unsigned long long)sim_hash(
			    "sig %s %lld", id, (long long)n)));
		jsonw_end(&at);
		jsonw_end(&o);
	}
	close_list(r, &w, &data, NULL);
	buf_release(&text);
	buf_release(&gz);
}

static void
s3_error(struct sim_answer *a, int status, const char *code)
{
	const char *text = sim_keep("<?xml version=\"1.0\"?>\n<Error><Code>%s"
				    "</Code></Error>",
	    code);

	sim_text(a, status, "application/xml", text, strlen(text));
}

static void
segment_file(const struct sim_request *r, struct sim_answer *a)
{
	const char *issued = sim_param(r, "X-Amz-Date");
	const char *sig = sim_param(r, "X-Amz-Signature");
	struct buf text = BUF_INIT(512u << 20);
	int64_t n = strtoll(r->part[2], NULL, 10);

	if (sim_header(r, "Authorization") != NULL ||
	    sim_header(r, "Cookie") != NULL) {
		s3_error(a, 400, "InvalidArgument");
	} else if (issued == NULL || sig == NULL ||
		   strtoull(sig, NULL, 16) !=
		       sim_hash("sig %s %lld", r->part[1], (long long)n)) {
		s3_error(a, 403, "SignatureDoesNotMatch");
	} else if (r->expired || sim_now_s() - strtoll(issued, NULL, 10) >
				     sim_setting_int("asc.url_ttl", 300)) {
		s3_error(a, 403, "AccessDenied");
	} else if (segment_text(r->part[1], n, &text)) {
		a->status = 200;
		sim_add_header(a, "Content-Type", "binary/octet-stream");
		sim_gzip(&a->body, text.p, text.len);
	} else {
		s3_error(a, 404, "NoSuchKey");
	}
	buf_release(&text);
}

static void
list_apps(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const known[] = {"fields[apps]", "limit", NULL};
	struct jsonw w, data, o, at;

	if (!json_wanted(r, a, known))
		return;
	open_list(a, &w, &data);
	for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
		jsonw_open(&data, NULL, &o, '{');
		jsonw_str(&o, "type", "apps");
		jsonw_str(&o, "id", i == 0 ? app() : titles[i].id);
		jsonw_open(&o, "attributes", &at, '{');
		jsonw_str(&at, "name", titles[i].title);
		jsonw_str(&at, "bundleId", titles[i].sku);
		jsonw_str(&at, "sku", titles[i].sku);
		jsonw_end(&at);
		jsonw_end(&o);
	}
	close_list(r, &w, &data, NULL);
}

/* ---- the service ---- */

static bool
start(void)
{
	const char *file = sim_setting("asc.public_key", NULL);
	FILE *f;

	asc.zone = zone_open("America/Los_Angeles");
	if (asc.zone == NULL) {
		warn_msg("America/Los_Angeles", "no such zone");
		return false;
	}
	if (file == NULL)
		return true;
	f = fopen(file, "re");
	if (f != NULL) {
		asc.key = PEM_read_PUBKEY(f, NULL, NULL, NULL);
		fclose(f);
	}
	if (asc.key == NULL)
		warn_msg(file, "no public key");
	return asc.key != NULL;
}

static const struct sim_route routes[] = {
    {"GET", "/asc/v1/salesReports", sales_reports},
    {"GET", "/asc/v1/apps", list_apps},
    {"GET", "/asc/v1/apps/?/analyticsReportRequests", list_requests},
    {"POST", "/asc/v1/analyticsReportRequests", create_request},
    {"GET", "/asc/v1/analyticsReportRequests/?/reports", list_reports},
    {"GET", "/asc/v1/analyticsReports/?/instances", list_instances},
    {"GET", "/asc/v1/analyticsReportInstances/?/segments", list_segments},
    {NULL, NULL, NULL},
};
static struct sim_service service = {"/asc/", routes, not_found, start, NULL};
SIM_SERVICE(service);

static const struct sim_route file_routes[] = {
    {"GET", "/asc-files/?/?", segment_file},
    {NULL, NULL, NULL},
};
static struct sim_service files = {
    "/asc-files/", file_routes, NULL, NULL, NULL};
SIM_SERVICE(files);
