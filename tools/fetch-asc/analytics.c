/*
 * Analytics Reports: request, report, instances, segments, files. An instance
 * restates several dates; of each one the rows of its latest instance count.
 * In weekly and monthly reports a date stands for the period that has it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "asc.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sys.h"

enum {
	KEEP_DAYS = 35, /* how long the service keeps an instance */
	FINAL_DAYS = 2, /* the completeness lag */
	INSTANCES = 5000,
	PAGES = 100,
	RELISTS = 3,
};

struct instance {
	char id[200], date[DATE_LEN + 1];
	int32_t day;
	bool loaded;
	struct spool *plain;
	struct layout layout;
	struct buf header;
	char sum[65], time[TIME_LEN + 1]; /* of the first segment */
};

struct run {
	struct asc *c;
	const char *access; /* which request: ONGOING or ONE_TIME_SNAPSHOT */
	char report[160], request[200], report_id[200];
	bool stopped;
	struct instance *inst;
	size_t n, history;   /* of them: of the snapshot */
	int *owner;          /* of each day of the window, -1: none */
	int32_t first, last; /* dates that any instance has */
};

/* ---- JSON:API ---- */

struct http_answer *
get_json(struct asc *c, const char *url, int *rc)
{
	struct http_request r = {
	    .method = "GET", .url = url, .judge = judge_json, .ctx = c};
	struct http_answer *a = http_do(c->http, &r);

	*rc = RC_OK;
	if (a->verdict == HTTP_OK)
		return a;
	*rc = sig_pending() != 0 ? 128 + sig_pending()
	      : a->rc != RC_OK   ? a->rc
				 : RC_CONTRACT;
	if (sig_pending() == 0)
		warn_msg(c->base, "%s", a->why);
	http_done(c->http, a);
	return NULL;
}

static struct json_span
root_of(const struct http_answer *a)
{
	size_t n;

	return json_value(spool_memory(a->body, &n));
}

/* A text member, decoded; false: it is none, or too long. */
static bool
text_of(const struct json_span *o, const char *name, char *out, size_t room)
{
	struct json_span v = json_member(o, name);

	if (v.type != JSON_STRING || v.len >= room)
		return false;
	out[json_decode(&v, out)] = '\0';
	return strlen(out) > 0;
}

/* An id goes into a path: nothing but what ids are made of. */
static bool
id_of(const struct json_span *o, char *out, size_t room)
{
	if (!text_of(o, "id", out, room))
		return false;
	for (const char *p = out; *p != '\0'; p++) {
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
		    !(*p >= '0' && *p <= '9') && strchr("-_.", *p) == NULL)
			return false;
	}
	return out[0] != '.';
}

/* Same scheme, host and port as the base? */
static bool
same_host(const struct asc *c, const char *url)
{
	const char *host = strstr(c->base, "://");
	size_t n;

	if (host == NULL)
		return false;
	n = (size_t)(host - c->base) + 3;
	n += strcspn(c->base + n, "/?");
	return strncmp(url, c->base, n) == 0 &&
	       (url[n] == '/' || url[n] == '?');
}

static bool
was_there(char *const *seen, int n, const char *url)
{
	while (n-- > 0)
		if (strcmp(seen[n], url) == 0)
			return true;
	return false;
}

/* Each element of `data` on all pages, following links.next as it stands. */
static int
each(struct asc *c, const char *first,
    int (*element)(void *ctx, const struct json_span *e), void *ctx)
{
	char *seen[PAGES], *url = xstrdup(first);
	int rc = RC_OK, pages = 0;

	while (url != NULL && rc == RC_OK) {
		struct http_answer *a = get_json(c, url, &rc);
		struct json_span root, data, links, e;
		struct json_iter it;
		char *next = NULL, text[4096];

		if (a == NULL)
			break;
		root = root_of(a);
		data = json_member(&root, "data");
		links = json_member(&root, "links");
		if (data.type != JSON_ARRAY) {
			warn_msg(c->base, "the answer has no list of data");
			rc = RC_CONTRACT;
		} else {
			json_iter_init(&it, &data);
			while (rc == RC_OK && json_next_element(&it, &e)) {
				if (e.type == JSON_OBJECT)
					rc = element(ctx, &e);
			}
		}
		if (rc == RC_OK && links.type == JSON_OBJECT &&
		    text_of(&links, "next", text, sizeof text))
			next = xstrdup(text);
		http_done(c->http, a);
		seen[pages++] = url;
		url = next;
		if (next != NULL && !same_host(c, next)) {
			warn_msg(c->base, "the next page is on another host");
			rc = RC_CONTRACT;
		} else if (next != NULL &&
			   (pages == PAGES || was_there(seen, pages, next))) {
			warn_msg(c->base, "the pages do not end");
			rc = RC_CONTRACT;
		}
	}
	free(url);
	while (pages > 0)
		free(seen[--pages]);
	return rc;
}

/* ---- the request ---- */

static int
take_request(void *ctx, const struct json_span *e)
{
	struct run *r = ctx;
	struct json_span at = json_member(e, "attributes");
	struct json_span stopped = json_member(&at, "stoppedDueToInactivity");

	if (at.type != JSON_OBJECT)
		return RC_OK;
	if (stopped.type == JSON_TRUE)
		r->stopped = true;
	else if (r->request[0] == '\0' &&
		 !id_of(e, r->request, sizeof r->request))
		r->request[0] = '\0';
	return RC_OK;
}

static int
find_request(struct run *r)
{
	struct buf url = BUF_INIT(8192);
	int rc;

	buf_fmt(&url, "%s/v1/apps/%s/analyticsReportRequests", r->c->base,
	    r->c->app);
	url_param(&url, "filter[accessType]", r->access);
	r->request[0] = '\0';
	r->stopped = false;
	rc = each(r->c, buf_cstr(&url), take_request, r);
	buf_release(&url);
	return rc;
}

static int
create_request(struct run *r)
{
	static const char *const headers[] = {
	    "Content-Type: application/json", NULL};
	struct asc *c = r->c;
	char *url = xasprintf("%s/v1/analyticsReportRequests", c->base);
	char *body = xasprintf(
	    "{\"data\":{\"type\":\"analyticsReportRequests\",\"attributes\":"
	    "{\"accessType\":\"%s\"},\"relationships\":{\"app\":{\"data\":"
	    "{\"type\":\"apps\",\"id\":\"%s\"}}}}}",
	    r->access, c->app);
	struct http_request q = {.method = "POST",
	    .url = url,
	    .headers = headers,
	    .body = body,
	    .body_len = strlen(body),
	    .judge = judge_json,
	    .ctx = c};
	struct http_answer *a = http_do(c->http, &q);
	int rc = RC_OK;

	/* one that exists is found by its list; so is one of a try before */
	if (a->verdict != HTTP_OK && a->verdict != HTTP_EXISTS) {
		warn_msg("--create-request", "%s", a->why);
		if (a->rc == RC_AUTH)
			warn_msg("--create-request",
			    "the key needs the role Admin for this, once");
		rc = a->rc != RC_OK ? a->rc : RC_CONTRACT;
	}
	http_done(c->http, a);
	free(url);
	free(body);
	return rc == RC_OK ? find_request(r) : rc;
}

static int
the_request(struct run *r)
{
	int rc = find_request(r);

	if (rc == RC_OK && r->request[0] == '\0' && r->c->create_request)
		rc = create_request(r);
	if (rc == RC_AUTH)
		warn_msg(r->c->app, "the key needs the role Sales and Reports, "
				    "Finance or Admin");
	if (rc != RC_OK || r->request[0] != '\0')
		return rc;
	if (r->stopped)
		warn_msg(r->c->app, "the reports were stopped because nobody "
				    "fetched them; ask anew with "
				    "--create-request");
	else
		warn_msg(r->c->app,
		    "no reports were asked for; do so once "
		    "with --create-request%s",
		    r->c->snapshot ? " --snapshot" : "");
	return RC_CONTRACT;
}

/* ---- report and instances ---- */

static int
take_report(void *ctx, const struct json_span *e)
{
	struct run *r = ctx;
	struct json_span at = json_member(e, "attributes");
	struct json_span name = json_member(&at, "name");

	if (name.type == JSON_STRING &&
	    json_is(&name, r->c->report_name, strlen(r->c->report_name)) &&
	    !id_of(e, r->report_id, sizeof r->report_id))
		r->report_id[0] = '\0';
	return RC_OK;
}

static int
take_instance(void *ctx, const struct json_span *e)
{
	struct run *r = ctx;
	struct json_span at = json_member(e, "attributes");
	struct instance *i;

	if (at.type != JSON_OBJECT)
		return RC_OK;
	if (r->n == INSTANCES) {
		warn_msg(
		    r->c->base, "there are more than %d instances", INSTANCES);
		return RC_CONTRACT;
	}
	r->inst = xreallocarray(r->inst, r->n + 1, sizeof *r->inst);
	i = memset(&r->inst[r->n], 0, sizeof *i);
	if (!id_of(e, i->id, sizeof i->id) ||
	    !text_of(&at, "processingDate", i->date, sizeof i->date + 2) ||
	    !date_parse(i->date, strlen(i->date), &i->day)) {
		warn_msg(r->c->base, "an instance without id or date");
		return RC_CONTRACT;
	}
	/* a day is in no instance before it */
	if (i->day >= r->c->from)
		r->n++;
	return RC_OK;
}

static int
later_first(const void *a, const void *b)
{
	const struct instance *x = a, *y = b;

	if (x->day != y->day)
		return x->day < y->day ? 1 : -1;
	return strcmp(x->id, y->id);
}

static int
find_instances(struct run *r)
{
	struct buf url = BUF_INIT(8192);
	int rc;

	r->report_id[0] = '\0';
	buf_fmt(&url, "%s/v1/analyticsReportRequests/%s/reports", r->c->base,
	    r->request);
	url_param(&url, "filter[name]", r->c->report_name);
	url_param(&url, "limit", "200");
	rc = each(r->c, buf_cstr(&url), take_report, r);
	if (rc == RC_OK && r->report_id[0] != '\0') {
		buf_reset(&url);
		buf_fmt(&url, "%s/v1/analyticsReports/%s/instances", r->c->base,
		    r->report_id);
		url_param(&url, "filter[granularity]", r->c->frequency);
		url_param(&url, "limit", "200");
		rc = each(r->c, buf_cstr(&url), take_instance, r);
	}
	buf_release(&url);
	return rc;
}

/* ---- segments ---- */

struct segment {
	char url[4096], md5[64];
	int64_t size;
};

struct segments {
	struct segment *p;
	size_t n;
	struct asc *c;
};

/* Files lie on Apple's own storage; for tests, where the base is. */
static bool
file_host_ok(const struct asc *c, const char *url)
{
	static const char *const domains[] = {
	    ".amazonaws.com", ".apple.com", ".mzstatic.com"};
	size_t n;

	if (same_host(c, url))
		return true;
	if (strncmp(url, "https://", 8) != 0)
		return false;
	url += 8;
	n = strcspn(url, "/?:#");
	if (memchr(url, '@', strcspn(url, "/?#")) != NULL ||
	    memchr(url, '\\', strcspn(url, "/?#")) != NULL)
		return false;
	for (size_t i = 0; i < 4; i++) {
		const char *d = i < 3 ? domains[i] : c->file_host;
		size_t len = d == NULL ? 0 : strlen(d);

		if (len > 0 && n >= len &&
		    strncasecmp(url + n - len, d, len) == 0 &&
		    (d[0] == '.' || n == len || url[n - len - 1] == '.'))
			return true;
	}
	return false;
}

static int
take_segment(void *ctx, const struct json_span *e)
{
	struct segments *s = ctx;
	struct json_span at = json_member(e, "attributes"), size;
	struct segment *g;

	s->p = xreallocarray(s->p, s->n + 1, sizeof *s->p);
	g = &s->p[s->n];
	size = json_member(&at, "sizeInBytes");
	if (at.type != JSON_OBJECT ||
	    !text_of(&at, "url", g->url, sizeof g->url) ||
	    !text_of(&at, "checksum", g->md5, sizeof g->md5) ||
	    !json_i64(&size, &g->size) || g->size < 0) {
		warn_msg(s->c->base, "a segment without url, checksum or size");
		return RC_CONTRACT;
	}
	if (!file_host_ok(s->c, g->url)) {
		warn_msg(s->c->base, "a file lies on a host that is not known "
				     "(--file-host)");
		return RC_CONTRACT;
	}
	s->n++;
	return RC_OK;
}

static int
list_segments(struct run *r, const struct instance *i, struct segments *s)
{
	char *url = xasprintf("%s/v1/analyticsReportInstances/%s/segments?"
			      "limit=200",
	    r->c->base, i->id);
	int rc;

	s->n = 0;
	s->c = r->c;
	rc = each(r->c, url, take_segment, s);
	free(url);
	return rc;
}

static int
append(struct instance *i, struct fetched *f, const char *what)
{
	char *why = NULL, block[65536];
	ssize_t n;
	int rc = RC_OK;

	if (i->header.len == 0) {
		buf_add(&i->header, f->header.p, f->header.len);
		memcpy(i->sum, f->sum, sizeof i->sum);
		memcpy(i->time, f->time, sizeof i->time);
		rc = layout_read(&i->layout, f->header.p, f->header.len,
		    &kind_analytics, what, &why);
	} else if (i->header.len != f->header.len ||
		   memcmp(i->header.p, f->header.p, f->header.len) != 0) {
		why = xstrdup("its segments have different headers");
		rc = RC_CONTRACT;
	} else {
		i->sum[0] = '\0'; /* of one file, not of several */
	}
	if (rc != RC_OK) {
		warn_msg(i->date, "%s", why);
		free(why);
		return rc;
	}
	if (spool_size(i->plain) == 0) { /* the first one is not copied */
		struct spool *empty = i->plain;

		i->plain = f->plain;
		f->plain = empty;
	}
	spool_rewind(f->plain);
	while ((n = spool_read(f->plain, block, sizeof block)) > 0) {
		if (spool_write(i->plain, block, (size_t)n) < 0)
			break;
	}
	if (n == 0 && spool_write(i->plain, "\n", 1) == 0)
		return RC_OK;
	warn_sys(i->date, "cannot keep a segment");
	return RC_IO;
}

static int
fetch_segment(
    struct run *r, struct instance *i, const struct segment *g, bool *ended)
{
	struct fetched f;
	struct http_request q = {.method = "GET",
	    .url = g->url,
	    .secret_url = true,
	    .no_auth = true,
	    .raw = true,
	    .judge = judge_file,
	    .ctx = &f};
	struct http_answer *a;
	int rc = RC_OK;

	fetched_init(&f, r->c);
	f.md5 = g->md5;
	f.size = g->size;
	a = http_do(r->c->http, &q);
	*ended = a->verdict != HTTP_OK && f.gone_url;
	if (a->verdict == HTTP_OK) {
		rc = append(i, &f, r->report);
	} else if (!*ended) {
		rc = sig_pending() != 0 ? 128 + sig_pending()
		     : a->rc != RC_OK   ? a->rc
					: RC_CONTRACT;
		warn_msg(i->date, "%s", a->why);
	}
	http_done(r->c->http, a);
	fetched_release(&f);
	return rc;
}

/* All segments of one instance; an address that ended is listed again. */
static int
load_instance(struct run *r, struct instance *i)
{
	struct segments s = {NULL, 0, NULL};
	size_t done = 0;
	int lists = 0, rc;

	buf_init(&i->header, 2u << 20);
	i->plain = spool_new();
	rc = list_segments(r, i, &s);
	while (rc == RC_OK && done < s.n) {
		bool ended = false;

		rc = fetch_segment(r, i, &s.p[done], &ended);
		if (rc == RC_OK && !ended) {
			done++;
		} else if (ended && ++lists > RELISTS) {
			warn_msg(i->date, "the addresses of its files end "
					  "before they can be used");
			rc = RC_TRANSIENT;
		} else if (ended) {
			rc = list_segments(r, i, &s);
		}
	}
	free(s.p);
	i->loaded = rc == RC_OK && i->header.len > 0;
	return rc;
}

/* ---- days ---- */

struct claim {
	struct run *r;
	int who;
};

static void
claim_day(void *ctx, int32_t day)
{
	struct claim *cl = ctx;
	const struct asc *c = cl->r->c;

	if (day < cl->r->first)
		cl->r->first = day;
	if (day > cl->r->last)
		cl->r->last = day;
	if (day >= c->from && day <= c->to && cl->r->owner[day - c->from] < 0)
		cl->r->owner[day - c->from] = cl->who;
}

static int
put_day(struct run *r, int32_t day, struct day *d)
{
	int who = r->owner[day - r->c->from];
	struct instance *i = &r->inst[who];
	struct asc *c = r->c;
	struct buf lead = BUF_INIT(4096), identity = BUF_INIT(4096);
	struct rows rows = {.l = &i->layout, .out = &c->out, .only = d->date};
	int rc;

	buf_fmt(&lead,
	    "\"source\":\"asc\",\"app_id\":\"%s\",\"report\":\"%s\","
	    "\"report_date\":\"%s\",\"processing_date\":\"%s\","
	    "\"row_ordinal\":",
	    c->app, r->report, d->date, i->date);
	buf_fmt(
	    &identity, "asc|analytics|%s|%s|%s|", c->app, r->report, d->date);
	rows.lead = buf_cstr(&lead);
	rows.identity = buf_cstr(&identity);
	d->time = i->time;
	d->sum = i->sum[0] != '\0' ? i->sum : NULL;
	day_begin(c, d);
	rc = rows_write(&rows, i->plain);
	if (rc == RC_OK)
		day_end(c, d, rows.count, OUTCOME_COMPLETE, RC_OK, NULL);
	buf_release(&lead);
	buf_release(&identity);
	return rc;
}

/* A day that no instance holds. */
static void
put_none(struct run *r, int32_t day, const struct day *d)
{
	struct asc *c = r->c;
	bool later = r->n > 0 && r->inst[0].day >= day + FINAL_DAYS;
	bool kept = day >= c->today - KEEP_DAYS ||
		    (c->snapshot && day >= r->first && day <= r->last);

	if (later && kept)
		day_none(c, d, OUTCOME_EMPTY, RC_OK, NULL);
	else if (!kept && !(c->snapshot && r->history == 0)) {
		warn_msg(d->date, "no longer available: kept for %d days",
		    KEEP_DAYS);
		day_none(c, d, OUTCOME_FAILED, RC_CONTRACT,
		    "gone: no longer available");
	} else
		day_none(
		    c, d, OUTCOME_NOT_READY, RC_NOTREADY, "not available yet");
}

static int
write_days(struct run *r, int failed)
{
	struct asc *c = r->c;
	bool daily = strcmp(c->frequency, "DAILY") == 0, any = false;
	int rc = RC_OK;

	for (int32_t day = c->from; day <= c->to && rc == RC_OK; day++) {
		struct day d = {.time = NULL};

		/* Which dates a longer period has is the report's to say; where
		 * there is none, that is told of the last day. */
		if (!daily &&
		    (failed != RC_OK || r->owner[day - c->from] < 0) &&
		    (any || day < c->to))
			continue;
		any = true;
		snprintf(d.feed, sizeof d.feed, "%.30s.%s", c->app, r->report);
		date_format(day, d.date);
		if (sig_pending() != 0)
			return 128 + sig_pending();
		if (failed != RC_OK)
			day_none(c, &d, OUTCOME_FAILED, failed,
			    "its report could not be fetched");
		else if (r->owner[day - c->from] >= 0)
			rc = put_day(r, day, &d);
		else if (daily)
			put_none(r, day, &d);
		else
			day_none(c, &d, OUTCOME_NOT_READY, RC_NOTREADY,
			    "no period of the report is here yet");
		if (c->out.failed)
			rc = RC_IO;
	}
	return rc;
}

static void
instance_release(struct instance *i)
{
	spool_free(i->plain);
	layout_release(&i->layout);
	buf_release(&i->header);
	i->plain = NULL;
}

/* How many days of the window are of that instance; -1: of none yet. */
static size_t
owned(const struct run *r, int who)
{
	size_t n = 0;

	for (int32_t d = r->c->from; d <= r->c->to; d++)
		n += r->owner[d - r->c->from] == who;
	return n;
}

/* Latest first, until every day of the window has its rows. An instance that
 * cannot be had leaves unknown which days it restates: all wait. One that has
 * none of the window is not kept. */
static int
load(struct run *r)
{
	int rc = RC_OK;

	if (r->n > 0)
		qsort(r->inst, r->n, sizeof *r->inst, later_first);
	for (size_t i = 0; i < r->n && rc == RC_OK && owned(r, -1) > 0; i++) {
		struct claim cl = {r, (int)i};

		if (sig_pending() != 0)
			return 128 + sig_pending();
		rc = load_instance(r, &r->inst[i]);
		if (rc == RC_OK && r->inst[i].loaded)
			rc = rows_days(&r->inst[i].layout, r->inst[i].plain,
			    claim_day, &cl);
		if (owned(r, (int)i) == 0)
			instance_release(&r->inst[i]);
	}
	return rc;
}

/* What is made each day, and with --snapshot the history too: a date that both
 * have counts once, as all dates do. */
static int
find(struct run *r)
{
	size_t ongoing;
	int rc;

	r->access = "ONGOING";
	if (r->c->snapshot) {
		rc = find_request(r);
		if (rc == RC_OK && r->request[0] != '\0')
			rc = find_instances(r);
		if (rc != RC_OK)
			return rc;
		r->access = "ONE_TIME_SNAPSHOT";
	}
	ongoing = r->n;
	rc = the_request(r);
	if (rc == RC_OK)
		rc = find_instances(r);
	r->history = r->n - ongoing;
	return rc;
}

int
analytics_run(struct asc *c)
{
	struct run *r = xcalloc(1, sizeof *r);
	size_t days = (size_t)(c->to - c->from) + 1;
	char name[120];
	int rc;

	r->c = c;
	r->first = INT32_MAX;
	r->last = INT32_MIN;
	r->owner = xreallocarray(NULL, days, sizeof *r->owner);
	for (size_t i = 0; i < days; i++)
		r->owner[i] = -1;
	lower_name(name, sizeof name, c->report_name);
	snprintf(r->report, sizeof r->report, "%s_%s", name,
	    *c->frequency == 'D'   ? "daily"
	    : *c->frequency == 'W' ? "weekly"
				   : "monthly");
	rc = find(r);
	if (rc == RC_OK)
		rc = load(r);
	if (rc < 128)
		rc = rc_graver(write_days(r, rc), rc);
	for (size_t i = 0; i < r->n; i++)
		instance_release(&r->inst[i]);
	free(r->inst);
	free(r->owner);
	free(r);
	return rc;
}

/* ---- check ---- */

static int
count_one(void *ctx, const struct json_span *e)
{
	(void)e;
	++*(uint64_t *)ctx;
	return RC_OK;
}

/* The apps of the account, one call; then the reports of the app, or the
 * latest sales report of the vendor. */
int
check_run(struct asc *c)
{
	struct run *r = xcalloc(1, sizeof *r);
	struct buf url = BUF_INIT(4096);
	uint64_t apps = 0;
	int rc;

	r->c = c;
	buf_fmt(&url, "%s/v1/apps", c->base);
	url_param(&url, "fields[apps]", "name,bundleId,sku");
	url_param(&url, "limit", "200");
	rc = each(c, buf_cstr(&url), count_one, &apps);
	buf_release(&url);
	if (rc == RC_OK)
		warn_msg("check", "the key is good; it sees %llu apps",
		    (unsigned long long)apps);
	if (rc == RC_AUTH)
		warn_msg("check", "the key id, the issuer id or the key is "
				  "wrong, or the key was revoked");
	if (rc == RC_OK && c->app != NULL) {
		r->access = c->snapshot ? "ONE_TIME_SNAPSHOT" : "ONGOING";
		rc = the_request(r);
		if (rc == RC_OK)
			warn_msg(
			    "check", "reports are made for app %s", c->app);
	} else if (rc == RC_OK && c->vendor != NULL) {
		rc = sales_check(c);
		if (rc == RC_OK)
			warn_msg("check", "reports of vendor %s can be read",
			    c->vendor);
	}
	free(r);
	return rc;
}
