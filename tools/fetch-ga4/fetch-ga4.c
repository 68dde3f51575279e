/*
 * Fetches days of a GA4 property: the rows of its BigQuery export, or a report
 * of the Data API, one partition a day.
 */
#include "fetch-ga4.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "google.h"
#include "mem.h"
#include "part.h"
#include "stats.h"
#include "sys.h"

#define SCOPE "https://www.googleapis.com/auth/"
#define HELD_MAX (16u << 20) /* of a page's records in memory */
#define SUM_BYTES (256 << 10)
#define BLOCK (128u << 10)
#define DAYS_MAX 4000

enum {
	OPT_EXPORT = OPT_TOOL,
	OPT_REPORT,
	OPT_CHECK,
	OPT_COMMIT,
	OPT_PROPERTY,
	OPT_PROJECT,
	OPT_DATASET,
	OPT_SINCE,
	OPT_UNTIL,
	OPT_DATE,
	OPT_DAYS,
	OPT_TZ,
	OPT_FEED,
	OPT_RUN_ID,
	OPT_SELECT,
	OPT_FRESH,
	OPT_INTRADAY,
	OPT_STATE,
	OPT_DIMENSIONS,
	OPT_METRICS,
	OPT_CURRENCY,
	OPT_EMPTY,
	OPT_RESERVE,
	OPT_PAGE_SIZE,
	OPT_CREDENTIALS,
	OPT_IMPERSONATE,
	OPT_TOKEN_URL,
	OPT_BIGQUERY_URL,
	OPT_DATA_URL,
	OPT_NO_AUTH,
	OPT_QUIET_TOO,
};

static const struct opt options[] = {
    {"export", OPT_EXPORT, NULL, "rows of the BigQuery export"},
    {"report", OPT_REPORT, NULL, "a report of the Data API"},
    {"check", OPT_CHECK, NULL,
	"only see whether credentials and rights are there"},
    {"commit", OPT_COMMIT, NULL,
	"what the last run fetched was loaded: seal the state"},
    {"property", OPT_PROPERTY, "id", "the property, digits"},
    {"project", OPT_PROJECT, "id",
	"project of the export, default $GOOGLE_CLOUD_PROJECT"},
    {"dataset", OPT_DATASET, "name", "its dataset (analytics_PROPERTY)"},
    {"date", OPT_DATE, "date", "the one day, YYYY-MM-DD"},
    {"since", OPT_SINCE, "date", "first day, YYYY-MM-DD"},
    {"until", OPT_UNTIL, "date", "last day (yesterday in the zone)"},
    {"days", OPT_DAYS, "n", "without --since: so many days (4)"},
    {"tz", OPT_TZ, "zone",
	"zone of the property; default: the Data API is asked"},
    {"feed", OPT_FEED, "name",
	"feed of the partitions (PROPERTY, of a report PROPERTY.report)"},
    {"run-id", OPT_RUN_ID, "text", "run it belongs to, default $RUN_ID"},
    {"select", OPT_SELECT, "list", "only these columns, as a,b.c"},
    {"fresh", OPT_FRESH, NULL, "take the fresh table where no daily one is"},
    {"intraday-after", OPT_INTRADAY, "n",
	"take the live table of a day so old without a daily one (3)"},
    {"state", OPT_STATE, "file", "leave out days that did not change"},
    {"dimensions", OPT_DIMENSIONS, "list", "of the report, comma between"},
    {"metrics", OPT_METRICS, "list", "of the report, comma between"},
    {"currency", OPT_CURRENCY, "code", "of money in the report"},
    {"keep-empty", OPT_EMPTY, NULL, "report rows whose metrics are all 0"},
    {"reserve", OPT_RESERVE, "n", "tokens of the quota to leave (100)"},
    {"page-size", OPT_PAGE_SIZE, "n", "rows to ask for at once (50000)"},
    {"credentials", OPT_CREDENTIALS, "file", "key file, JSON"},
    {"impersonate", OPT_IMPERSONATE, "email", "act as this service account"},
    {"token-url", OPT_TOKEN_URL, "url", "where tokens are had"},
    {"bigquery-url", OPT_BIGQUERY_URL, "url",
	"BigQuery, default $BIGQUERY_EMULATOR_HOST or Google"},
    {"data-url", OPT_DATA_URL, "url", "the Data API"},
    {"no-auth", OPT_NO_AUTH, NULL, "send no credentials, for emulators"},
    {"quiet", OPT_QUIET_TOO, NULL, "no notes on unchanged days and quota"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "--export --property id --project id [options]\n"
    "--report --property id --dimensions list --metrics list [options]\n"
    "--check --export|--report --property id [options]\n"
    "--commit --state file",
    {options, http_options, NULL},
};

struct settings {
	struct fetch f;
	int mode; /* OPT_EXPORT or OPT_REPORT */
	bool check, commit, no_auth;
	int32_t since, until;
	uint64_t days;
	const char *state, *credentials, *impersonate, *token_url;
	const char *bigquery, *data;
	struct google_auth *auth;
	char *own_dataset, *own_feed, *own_bigquery, *own_data;
};

/* ---- requests ---- */

int
fail(struct fetch *f, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f->why, sizeof f->why, fmt, ap);
	va_end(ap);
	return rc;
}

/* What is not there is not the table, but the place it would be in. */
static bool
elsewhere(const char *why)
{
	return strstr(why, "Not found: Dataset") != NULL ||
	       strstr(why, "Not found: Project") != NULL;
}

struct http_answer *
ask(struct fetch *f, const char *method, const char *url,
    const struct buf *body, int *rc)
{
	static const char *const json[] = {
	    "Content-Type: application/json", NULL};
	struct http_request r = {.method = method,
	    .url = url,
	    .headers = body != NULL ? json : NULL,
	    .body = body != NULL ? body->p : NULL,
	    .body_len = body != NULL ? body->len : 0,
	    .json = true,
	    .judge = google_judge,
	    .ctx = f};
	struct http_answer *a = http_do(f->http, &r);

	if (a->verdict == HTTP_OK)
		*rc = RC_OK;
	else if (a->verdict == HTTP_GONE && !elsewhere(a->why))
		*rc = RC_NOTREADY;
	else
		*rc =
		    fail(f, a->rc != RC_OK ? a->rc : RC_CONTRACT, "%s", a->why);
	return a;
}

int
answer_json(struct fetch *f, struct http_answer *a, struct buf *b,
    struct json_span *root)
{
	struct json_error e;
	ssize_t n = 1;

	while (n > 0) {
		if (!buf_room(b, BLOCK))
			return fail(f, RC_CONTRACT, "the answer is too large");
		n = spool_read(a->body, b->p + b->len, BLOCK);
		if (n < 0)
			return fail(f, RC_IO, "cannot read the answer back");
		b->len += (size_t)n;
	}
	if (!json_check(b->p, b->len, true, &e))
		return fail(f, RC_CONTRACT,
		    "the answer is no JSON: byte %zu: "
		    "%s",
		    e.byte, e.reason);
	buf_grow(b, JSON_PAD);
	*root = json_value(buf_cstr(b));
	return RC_OK;
}

struct page *
page_read(struct fetch *f, struct http_answer *a,
    int (*element)(void *ctx, const char *text, size_t len),
    const char *(*quick)(void *ctx, const char *text, const char *end),
    void *ctx, struct json_span *rest, int *rc)
{
	struct page *p = page_new("rows", ROW_MAX, element, ctx);
	struct json_error e;
	const char *block;
	uint64_t sum = 1;
	ssize_t n;

	*rc = RC_OK;
	*f->why = '\0';
	page_quick(p, quick);
	spool_rewind(a->body);
	while (*rc == RC_OK && (n = spool_take(a->body, &block)) != 0) {
		if (n < 0) {
			*rc = fail(f, RC_IO, "cannot read the answer back");
			break;
		}
		if (sum == 1) /* its beginning and how long it is tell it */
			sum = XXH3_64bits_withSeed(block,
			    n < SUM_BYTES ? (size_t)n : SUM_BYTES,
			    spool_size(a->body));
		*rc = page_feed(p, block, (size_t)n);
	}
	if (*rc == RC_OK || (*rc == RC_CONTRACT && *f->why == '\0')) {
		*rc = page_end(p, rest, &e);
		if (*rc != RC_OK)
			fail(f, *rc, "the page is damaged: byte %zu: %s",
			    e.byte, e.reason);
		if (*rc == RC_OK && element != NULL) {
			if (page_elements(p) > 0 && sum == f->page_sum)
				*rc = fail(f, RC_CONTRACT,
				    "the page is the same as the one before");
			f->page_sum = sum;
		}
	}
	return p;
}

/* ---- records on hold ---- */

void
held_reset(struct fetch *f)
{
	buf_reset(&f->held);
	if (f->spill != NULL)
		spool_reset(f->spill);
}

int
held_room(struct fetch *f)
{
	if (f->held.len < HELD_MAX)
		return RC_OK;
	if (f->spill == NULL)
		f->spill = spool_new();
	if (spool_write(f->spill, f->held.p, f->held.len) < 0) {
		warn_sys("TMPDIR", "cannot keep a page");
		return fail(f, RC_IO, "cannot keep a page");
	}
	buf_reset(&f->held);
	return RC_OK;
}

int
held_print(struct fetch *f)
{
	if (f->spill != NULL && spool_size(f->spill) > 0 &&
	    spool_copy(f->spill, &f->out) < 0) {
		warn_sys("TMPDIR", "cannot read a page back");
		return fail(f, RC_IO, "cannot read a page back");
	}
	out_write(&f->out, f->held.p, f->held.len);
	held_reset(f);
	return f->out.failed ? RC_IO : RC_OK;
}

/* ---- partitions ---- */

void
begin(struct fetch *f, int32_t day, const char *date_header, const char *extra)
{
	char date[DATE_LEN + 1], now[TIME_LEN + 1];
	int64_t s = *date_header == '\0' ? -1 : curl_getdate(date_header, NULL);
	struct buf more = BUF_INIT(1u << 20);
	struct part_desc d = {.source = "ga4",
	    .feed = f->feed,
	    .date = date,
	    .day_tz = f->day_tz,
	    .run_id = f->run_id};

	/* the service's clock, so that a recording gives the same bytes */
	if (s < 0)
		s = sys_real_ns() / 1000000000;
	time_format(s * 1000, now);
	date_format(day, date);
	buf_fmt(&more, "\"fetched_at\":\"%s\"%s%s", now,
	    *extra == '\0' ? "" : ",", extra);
	d.extra = buf_cstr(&more);
	part_write_begin(&f->out, &d);
	buf_release(&more);
	f->open = true;
	f->records = f->page_sum = 0;
}

void
end(struct fetch *f, enum outcome o, int rc, const char *reason)
{
	part_write_end(&f->out, f->records, o, 0,
	    o == OUTCOME_FAILED ? rc_class(rc) : NULL, reason);
	f->open = false;
	stats_add("records", f->records);
}

/* A day's status into the run's: what ends the run at once is given back. */
static int
settle(struct fetch *f, int32_t day, int rc)
{
	char date[DATE_LEN + 1];

	if (rc == RC_OK || rc == RC_NOTREADY || rc == DAY_BEFORE ||
	    sig_pending() != 0 || f->out.failed)
		return rc;
	date_format(day, date);
	if (*f->why == '\0')
		fail(f, rc, "%s", rc_class(rc));
	warn_msg(date, "%s", f->why);
	if (!f->open)
		begin(f, day, "", "");
	end(f, OUTCOME_FAILED, rc, f->why);
	return rc;
}

/* ---- the run ---- */

static int
each_day(struct settings *s)
{
	struct fetch *f = &s->f;
	uint64_t good = 0, waiting = 0;
	int worst = RC_OK;

	for (int32_t day = s->since; day <= s->until && !f->stop; day++) {
		int rc;

		*f->why = '\0';
		rc = s->mode == OPT_EXPORT ? export_day(f, day)
					   : report_day(f, day);
		rc = settle(f, day, rc);
		if (sig_pending() != 0 || f->out.failed)
			return RC_IO;
		if (rc == RC_OK)
			good++;
		else if (rc == RC_NOTREADY)
			waiting++;
		else if (rc != DAY_BEFORE)
			worst = rc_graver(worst, rc);
		if (rc == RC_AUTH || rc == RC_CONFIG || rc == RC_IO)
			return rc;
		if (out_flush(&f->out) != RC_OK)
			return RC_IO;
	}
	if (worst != RC_OK)
		return good + waiting > 0 ? RC_PARTIAL : worst;
	return waiting > 0 ? RC_NOTREADY : RC_OK;
}

/* The zone, and from it the days. */
static int
set_days(struct settings *s)
{
	struct fetch *f = &s->f;
	struct zone *z;
	int rc;

	if (f->tz != NULL) {
		snprintf(f->day_tz, sizeof f->day_tz, "%s", f->tz);
	} else if ((rc = report_zone(f)) != RC_OK) {
		warn_msg("--tz",
		    "not given, and the Data API does not tell "
		    "the zone: %s",
		    f->why);
		return rc;
	}
	if ((z = zone_open(f->day_tz)) == NULL) {
		warn_msg(f->day_tz, "no such time zone");
		return RC_CONFIG;
	}
	f->today = zone_day(z, sys_real_ns() / 1000000000);
	zone_close(z);
	if (s->until == INT32_MIN)
		s->until = f->today - 1;
	if (s->since == INT32_MIN)
		s->since = s->until - (int32_t)s->days + 1;
	if (s->since > s->until || s->until - s->since >= DAYS_MAX)
		opt_wrong(&set, "--since: after --until, or more than %d days",
		    DAYS_MAX);
	f->last = s->until;
	f->one = f->one && s->since == s->until;
	return RC_OK;
}

static int
sign_in(struct settings *s)
{
	struct fetch *f = &s->f;
	const char *scope = s->mode == OPT_REPORT ? SCOPE "analytics.readonly"
			    : f->tz != NULL       ? SCOPE "bigquery"
						  : SCOPE "bigquery " SCOPE
						    "analytics.readonly";
	int rc;

	if (s->no_auth)
		return RC_OK;
	sys_guard();
	rc = google_auth_open(&s->auth, f->http, s->credentials, scope,
	    s->impersonate, s->token_url);
	if (rc == RC_OK)
		http_auth(f->http, google_sign, s->auth);
	return rc;
}

static int
check(struct settings *s)
{
	int rc =
	    s->mode == OPT_EXPORT ? export_check(&s->f) : report_check(&s->f);

	if (rc != RC_OK)
		warn_msg("--check", "%s",
		    *s->f.why != '\0' ? s->f.why : rc_class(rc));
	else if (s->auth != NULL)
		warn_msg("--check", "%s", google_auth_who(s->auth));
	return rc;
}

static int
run(struct settings *s)
{
	struct fetch *f = &s->f;
	int rc, worst;

	if ((rc = http_start(f->http)) != RC_OK ||
	    (rc = url_check_base(f->http, "--bigquery-url", f->bigquery_url)) !=
		RC_OK ||
	    (rc = url_check_base(f->http, "--data-url", f->data_url)) !=
		RC_OK ||
	    (rc = state_read(&f->state, s->state, f->property)) != RC_OK ||
	    (rc = state_read(&f->next, s->state, f->property)) != RC_OK ||
	    (rc = sign_in(s)) != RC_OK)
		return rc;
	if (s->check)
		return check(s);
	if ((rc = set_days(s)) != RC_OK)
		return rc;
	worst = each_day(s);
	rc = out_flush(&f->out);
	if (rc == RC_OK && s->state != NULL && sig_pending() == 0)
		rc = state_write(&f->next);
	return rc != RC_OK ? rc : worst;
}

/* ---- options ---- */

static void
set_mode(struct settings *s, int mode)
{
	if (s->mode != 0 && s->mode != mode)
		opt_wrong(&set, "one of --export and --report");
	s->mode = mode;
}

static bool
take_common(struct settings *s, int key)
{
	struct fetch *f = &s->f;

	switch (key) {
	case OPT_CHECK:
		s->check = true;
		break;
	case OPT_COMMIT:
		s->commit = true;
		break;
	case OPT_PROPERTY:
		f->property = opt_arg();
		break;
	case OPT_PROJECT:
		f->project = opt_arg();
		break;
	case OPT_DATASET:
		f->dataset = opt_arg();
		break;
	case OPT_DATE:
		s->since = s->until = opt_date();
		f->one = true;
		break;
	case OPT_SINCE:
		s->since = opt_date();
		break;
	case OPT_UNTIL:
		s->until = opt_date();
		break;
	case OPT_DAYS:
		s->days = opt_u64(1, DAYS_MAX);
		break;
	case OPT_TZ:
		f->tz = opt_arg();
		break;
	case OPT_FEED:
		f->feed = opt_arg();
		break;
	case OPT_RUN_ID:
		f->run_id = opt_arg();
		break;
	case OPT_STATE:
		s->state = opt_arg();
		break;
	case OPT_PAGE_SIZE:
		f->page_size = opt_u64(1, 250000);
		break;
	case OPT_QUIET_TOO:
		f->quiet = true;
		break;
	default:
		return false;
	}
	return true;
}

static void
take(struct settings *s, int key)
{
	struct fetch *f = &s->f;

	switch (key) {
	case OPT_SELECT:
		f->select = opt_arg();
		break;
	case OPT_FRESH:
		f->fresh = true;
		break;
	case OPT_INTRADAY:
		f->intraday_after = opt_u64(0, DAYS_MAX);
		break;
	case OPT_DIMENSIONS:
		f->dimensions = opt_arg();
		break;
	case OPT_METRICS:
		f->metrics = opt_arg();
		break;
	case OPT_CURRENCY:
		f->currency = opt_arg();
		break;
	case OPT_EMPTY:
		f->keep_empty = true;
		break;
	case OPT_RESERVE:
		f->reserve = opt_u64(0, INT64_MAX);
		break;
	case OPT_CREDENTIALS:
		s->credentials = opt_arg();
		break;
	case OPT_IMPERSONATE:
		s->impersonate = opt_arg();
		break;
	case OPT_TOKEN_URL:
		s->token_url = opt_arg();
		break;
	case OPT_BIGQUERY_URL:
		s->bigquery = opt_arg();
		break;
	case OPT_DATA_URL:
		s->data = opt_arg();
		break;
	case OPT_NO_AUTH:
		s->no_auth = true;
		break;
	default:
		set_mode(s, key);
	}
}

/* Lists of names go into URLs and requests as they are. */
static void
check_list(const char *option, const char *list, const char *more)
{
	if (list == NULL)
		return;
	for (const char *p = list; *p != '\0';) {
		size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM"
				     "NOPQRSTUVWXYZ0123456789_");

		while (p[n] != '\0' && strchr(more, p[n]) != NULL)
			n += 1 + strspn(p + n + 1,
				     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM"
				     "NOPQRSTUVWXYZ0123456789_");
		if (n == 0 || (p[n] != ',' && p[n] != '\0') ||
		    (p[n] == ',' && p[n + 1] == '\0'))
			opt_wrong(
			    &set, "%s: names with a comma between", option);
		p += n + (p[n] == ',');
	}
}

static void
complete(struct settings *s)
{
	struct fetch *f = &s->f;

	if (s->commit) {
		if (s->state == NULL || s->mode != 0)
			opt_wrong(&set, "--commit needs --state, and no more");
		return;
	}
	if (s->mode == 0)
		opt_wrong(&set, "one of --export and --report");
	if (f->property == NULL || *f->property == '\0' ||
	    strspn(f->property, "0123456789abcdefghijklmnopqrstuvwxyz") !=
		strlen(f->property))
		opt_wrong(&set, "--property: the id is needed, digits");
	if (s->mode == OPT_EXPORT) {
		if (f->project == NULL)
			f->project = getenv("GOOGLE_CLOUD_PROJECT");
		if (f->project == NULL || *f->project == '\0')
			opt_wrong(&set, "--project is needed");
	} else if (!s->check && (f->metrics == NULL || *f->metrics == '\0')) {
		opt_wrong(&set, "--metrics is needed");
	}
	if (s->mode == OPT_REPORT && s->state != NULL)
		opt_wrong(&set, "--state is for --export");
	check_list("--select", f->select, ".");
	check_list("--dimensions", f->dimensions, ":");
	check_list("--metrics", f->metrics, ":");
	check_list("--currency", f->currency, "");
	if (f->dataset == NULL)
		f->dataset = s->own_dataset =
		    xasprintf("analytics_%s", f->property);
	if (f->feed == NULL)
		f->feed = s->own_feed = xasprintf("%s%s", f->property,
		    s->mode == OPT_REPORT ? ".report" : "");
	if (f->run_id == NULL)
		f->run_id = getenv("RUN_ID");
	f->bigquery_url = s->own_bigquery = google_base(s->bigquery,
	    "BIGQUERY_EMULATOR_HOST", "https://bigquery.googleapis.com");
	f->data_url = s->own_data = google_base(s->data, "ANALYTICSDATA_HOST",
	    "https://analyticsdata.googleapis.com");
}

static void
release(struct settings *s)
{
	struct fetch *f = &s->f;

	http_close(f->http);
	google_auth_close(s->auth);
	spool_free(f->spill);
	buf_release(&f->held);
	state_release(&f->state);
	state_release(&f->next);
	free(s->own_dataset);
	free(s->own_feed);
	free(s->own_bigquery);
	free(s->own_data);
}

int
main(int argc, char **argv)
{
	struct settings s = {.since = INT32_MIN, .until = INT32_MIN};
	int key, rc, closed;

	diag_init(argv[0]);
	s.days = 4;
	s.f.page_size = 50000;
	s.f.intraday_after = 3;
	s.f.reserve = 100;
	s.f.first = INT32_MIN;
	buf_init(&s.f.held, 128u << 20);
	s.f.http = http_open("weir-fetch-ga4/" WEIR_VERSION);
	while ((key = opt_next(&set, argc, argv)) >= 0) {
		if (!http_opt(s.f.http, key) && !take_common(&s, key))
			take(&s, key);
	}
	if (opt_index() < argc)
		opt_wrong(&set, "no operands are taken");
	complete(&s);
	stats_start();
	sig_init();
	out_init(&s.f.out, 1, "stdout", 0);
	rc = s.commit ? state_commit(s.state) : run(&s);
	if (sig_pending() != 0)
		out_drop(&s.f.out);
	else if ((closed = out_close(&s.f.out)) != RC_OK)
		rc = closed;
	release(&s);
	stats_end(sig_pending() != 0 ? 128 + sig_pending() : rc);
	if (sig_pending() != 0)
		sig_die(sig_pending());
	return rc;
}
