/*
 * The BigQuery export: which table holds the day, whether it changed, and its
 * rows, pages in order.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "fetch-ga4.h"
#include "fv.h"
#include "mem.h"
#include "stats.h"
#include "sys.h"

#define LATE_DAYS 4  /* a day is rewritten for 72 hours, and zones */
#define WHOLE_DAYS 3 /* an intraday table so old gets no more rows */
#define LIST_PAGES 100
#define AHEAD 8 /* pages asked for at once, at most */

enum { DAILY, FRESH, INTRADAY };
static const char *const words[] = {"daily", "fresh", "intraday"};
static const char *const prefixes[] = {
    "events_", "events_fresh_", "events_intraday_"};

struct table {
	char name[40], etag[128], date[64]; /* date: of the answer */
	int kind;
	uint64_t rows, modified;
	bool buffered; /* rows stand in a buffer that numRows leaves out */
	struct fv *fv;
};

static void
dataset_url(const struct fetch *f, struct buf *url)
{
	buf_str(url, f->bigquery_url);
	buf_str(url, "/bigquery/v2/projects/");
	url_escape(url, f->project, strlen(f->project));
	buf_str(url, "/datasets/");
	url_escape(url, f->dataset, strlen(f->dataset));
}

static void
table_url(const struct fetch *f, const char *table, struct buf *url)
{
	dataset_url(f, url);
	buf_str(url, "/tables/");
	url_escape(url, table, strlen(table));
}

static void
name_of(int kind, int32_t day, char name[40])
{
	int y, m, d;

	date_to_civil(day, &y, &m, &d);
	snprintf(name, 40, "%s%04d%02d%02d", prefixes[kind], y, m, d);
}

static bool
member_u64(const struct json_span *o, const char *name, uint64_t *to)
{
	struct json_span v = json_member(o, name);
	int64_t n;

	*to = 0;
	if (v.type == JSON_ABSENT)
		return true; /* what is 0 may be left out */
	if (!json_i64(&v, &n) || n < 0)
		return false;
	*to = (uint64_t)n;
	return true;
}

static int
table_read(struct fetch *f, struct table *t, const struct json_span *root)
{
	struct json_span schema = json_member(root, "schema"), v;
	struct buf etag = BUF_INIT(4096);
	char *why = NULL;

	if (!member_u64(root, "numRows", &t->rows) ||
	    !member_u64(root, "lastModifiedTime", &t->modified))
		return fail(f, RC_CONTRACT,
		    "%s: numRows or lastModifiedTime "
		    "is no number",
		    t->name);
	v = json_member(root, "etag");
	if (v.type == JSON_STRING)
		json_decode_buf(&v, &etag);
	snprintf(t->etag, sizeof t->etag, "%s", buf_cstr(&etag));
	buf_release(&etag);
	t->buffered = t->kind == INTRADAY ||
		      json_member(root, "streamingBuffer").type == JSON_OBJECT;
	if (schema.type == JSON_OBJECT)
		v = json_member(&schema, "fields");
	else
		v.type = JSON_ABSENT;
	t->fv = fv_new(&v, f->select, &why);
	if (t->fv == NULL) {
		int rc = fail(f, RC_CONTRACT, "%s: %s", t->name, why);

		free(why);
		return rc;
	}
	return RC_OK;
}

/* RC_NOTREADY: there is no such table. */
static int
table_get(struct fetch *f, int kind, int32_t day, struct table *t)
{
	struct buf url = BUF_INIT(8192), text = BUF_INIT(64u << 20);
	struct http_answer *a;
	struct json_span root;
	int rc;

	memset(t, 0, sizeof *t);
	t->kind = kind;
	name_of(kind, day, t->name);
	table_url(f, t->name, &url);
	url_param(&url, "prettyPrint", "false");
	a = ask(f, "GET", buf_cstr(&url), NULL, &rc);
	if (rc == RC_OK)
		rc = answer_json(f, a, &text, &root);
	if (rc == RC_OK) {
		snprintf(t->date, sizeof t->date, "%s", http_header(a, "Date"));
		rc = table_read(f, t, &root);
	}
	http_done(f->http, a);
	buf_release(&text);
	buf_release(&url);
	return rc;
}

/* One of the three, never two: the daily one, the fresh one where that is
 * wanted, the live one where no other will come. */
static int
table_find(struct fetch *f, int32_t day, struct table *t)
{
	int rc = table_get(f, DAILY, day, t);

	if (rc == RC_NOTREADY && f->fresh)
		rc = table_get(f, FRESH, day, t);
	if (rc == RC_NOTREADY &&
	    (int64_t)f->today - day >= (int64_t)f->intraday_after)
		rc = table_get(f, INTRADAY, day, t);
	return rc;
}

/* ---- pages ---- */

struct reading {
	struct fetch *f;
	struct table *t;
	const char *url; /* of the table's data, without place */
	uint64_t page;   /* rows to ask for */
	uint64_t got;    /* rows printed */
	uint64_t asked;  /* up to this row */
	char *token;
	unsigned queued;
	int held_rc;
};

static int
take_row(void *ctx, const char *text, size_t len)
{
	struct reading *r = ctx;
	struct fetch *f = r->f;
	const char *wrong;
	int rc = held_room(f);

	if (rc != RC_OK)
		return r->held_rc = rc;
	wrong = fv_row(r->t->fv, text, len, &f->held);
	if (wrong != NULL)
		return r->held_rc = fail(f, RC_CONTRACT, "a row: %s", wrong);
	buf_char(&f->held, '\n');
	return RC_OK;
}

/* The same where the row is as it should be: nearly always. */
static const char *
take_quickly(void *ctx, const char *text, const char *end)
{
	struct reading *r = ctx;
	struct fetch *f = r->f;

	if (held_room(f) != RC_OK)
		return NULL; /* take_row will say so */
	text = fv_quick(r->t->fv, text, end, &f->held);
	if (text != NULL)
		buf_char(&f->held, '\n');
	return text;
}

static void
page_url(struct reading *r, uint64_t from, uint64_t n, struct buf *url)
{
	char text[32];

	buf_str(url, r->url);
	snprintf(text, sizeof text, "%llu", (unsigned long long)n);
	url_param(url, "maxResults", text);
	if (r->token != NULL) {
		url_param(url, "pageToken", r->token);
	} else if (from > 0) {
		snprintf(text, sizeof text, "%llu", (unsigned long long)from);
		url_param(url, "startIndex", text);
	}
}

static void
request(struct fetch *f, struct http_request *q, const char *url)
{
	(void)f;
	memset(q, 0, sizeof *q);
	q->method = "GET";
	q->url = url;
	q->json = true;
}

/* The answer's rows are printed; *rows is their number. */
static int
page_take(struct reading *r, struct http_answer *a, uint64_t *rows)
{
	struct fetch *f = r->f;
	struct json_span rest, v;
	struct page *p;
	uint64_t total;
	int rc;

	held_reset(f);
	r->held_rc = RC_OK;
	p = page_read(f, a, take_row, take_quickly, r, &rest, &rc);
	*rows = page_elements(p);
	if (rc == RC_OK && !member_u64(&rest, "totalRows", &total))
		rc = fail(f, RC_CONTRACT, "totalRows is no number");
	if (rc == RC_OK && !r->t->buffered && total != r->t->rows)
		rc = fail(
		    f, RC_TRANSIENT, "the table changed while it was read");
	if (rc == RC_OK) {
		struct buf token = BUF_INIT(1u << 20);
		char *old = r->token;

		v = json_member(&rest, "pageToken");
		r->token = NULL;
		if (v.type == JSON_STRING && v.len > 2) {
			json_decode_buf(&v, &token);
			r->token = xstrdup(buf_cstr(&token));
		}
		if (old != NULL && r->token != NULL &&
		    strcmp(old, r->token) == 0)
			rc = fail(f, RC_CONTRACT,
			    "the page token is that of the page before");
		else if (r->token != NULL && *rows == 0)
			rc = fail(f, RC_CONTRACT,
			    "an empty page that says there is more");
		free(old);
		buf_release(&token);
	}
	if (rc == RC_OK) {
		rc = held_print(f);
		f->records += *rows;
		r->got += *rows;
	}
	page_free(p);
	return rc;
}

/* One page now, by token or by place. */
static int
page_now(struct reading *r, uint64_t from, uint64_t n, uint64_t *rows)
{
	struct buf url = BUF_INIT(1u << 20);
	struct http_answer *a;
	int rc;

	page_url(r, from, n, &url);
	a = ask(r->f, "GET", buf_cstr(&url), NULL, &rc);
	if (rc == RC_NOTREADY)
		rc = fail(r->f, RC_TRANSIENT, "the table went away");
	if (rc == RC_OK)
		rc = page_take(r, a, rows);
	http_done(r->f->http, a);
	buf_release(&url);
	return rc;
}

static int
by_token(struct reading *r)
{
	uint64_t rows;
	int rc;

	do {
		rc = page_now(r, 0, r->page, &rows);
	} while (rc == RC_OK && r->token != NULL && sig_pending() == 0);
	return rc;
}

static void
queue_more(struct reading *r)
{
	struct http_request q;

	while (r->queued < AHEAD && r->asked < r->t->rows) {
		struct buf url = BUF_INIT(1u << 20);

		page_url(r, r->asked, r->page, &url);
		request(r->f, &q, buf_cstr(&url));
		http_queue(r->f->http, &q);
		buf_release(&url);
		r->asked += r->page;
		r->queued++;
	}
}

/* A page that came short (the service bounds bytes) is filled up before the
 * next one is printed. */
static int
fill(struct reading *r, uint64_t from, uint64_t n, uint64_t rows)
{
	int rc = RC_OK;

	while (rc == RC_OK && rows < n && sig_pending() == 0) {
		uint64_t more;

		free(r->token);
		r->token = NULL;
		rc = page_now(r, from + rows, n - rows, &more);
		if (rc == RC_OK && more == 0)
			rc = fail(r->f, RC_CONTRACT,
			    "rows %llu and up are missing",
			    (unsigned long long)(from + rows));
		rows += more;
	}
	return rc;
}

/* The first page shows how many rows fit in one; then several at once. */
static int
by_place(struct reading *r)
{
	struct fetch *f = r->f;
	uint64_t rows, from;
	int rc = page_now(r, 0, r->page, &rows);

	if (rc == RC_OK && rows < r->page && rows > 0)
		r->page = rows;
	r->asked = from = r->got;
	while (rc == RC_OK && from < r->t->rows && sig_pending() == 0) {
		uint64_t n = r->t->rows - from;
		struct http_answer *a;

		n = n < r->page ? n : r->page;
		free(r->token);
		r->token = NULL;
		queue_more(r);
		a = http_next(f->http, NULL);
		r->queued--;
		rc = a->verdict == HTTP_OK ? RC_OK : a->rc;
		if (rc != RC_OK)
			fail(f, rc, "%s", a->why);
		else
			rc = page_take(r, a, &rows);
		http_done(f->http, a);
		if (rc == RC_OK)
			rc = fill(r, from, n, rows);
		from += n;
	}
	while (r->queued > 0) {
		http_done(f->http, http_next(f->http, NULL));
		r->queued--;
	}
	return rc;
}

/* After the last page the table must be what it was before the first. */
static int
still_same(struct fetch *f, int32_t day, const struct table *t)
{
	struct table now;
	int rc = table_get(f, t->kind, day, &now);

	if (rc == RC_NOTREADY)
		rc = fail(f, RC_TRANSIENT, "the table went away");
	if (rc == RC_OK &&
	    (now.modified != t->modified || now.rows != t->rows ||
		strcmp(now.etag, t->etag) != 0))
		rc = fail(
		    f, RC_TRANSIENT, "the table changed while it was read");
	fv_free(now.fv);
	return rc;
}

static int
read_rows(struct fetch *f, int32_t day, struct table *t)
{
	struct buf url = BUF_INIT(65536);
	struct reading r = {.f = f, .t = t, .page = f->page_size};
	int rc;

	table_url(f, t->name, &url);
	buf_str(&url, "/data");
	url_param(&url, "prettyPrint", "false");
	url_param(&url, "formatOptions.useInt64Timestamp", "true");
	if (f->select != NULL)
		url_param(&url, "selectedFields", f->select);
	r.url = buf_cstr(&url);
	rc = t->buffered ? by_token(&r) : by_place(&r);
	if (rc == RC_OK && sig_pending() == 0 && !t->buffered)
		rc = still_same(f, day, t);
	if (rc == RC_OK && !t->buffered && r.got != t->rows &&
	    sig_pending() == 0)
		rc = fail(f, RC_CONTRACT, "%llu rows of %llu came",
		    (unsigned long long)r.got, (unsigned long long)t->rows);
	free(r.token);
	buf_release(&url);
	return rc;
}

/* ---- which days there are ---- */

/* A small answer, and which right is missing where it is refused. */
static int
check_get(struct fetch *f, const struct buf *url, const char *right,
    struct buf *text, struct json_span *root)
{
	struct http_answer *a;
	int rc;

	buf_reset(text);
	a = ask(f, "GET", url->p, NULL, &rc);
	if (rc == RC_NOTREADY)
		rc = fail(f, RC_CONTRACT, "no dataset %s in project %s",
		    f->dataset, f->project);
	if (rc == RC_AUTH)
		warn_msg(f->dataset,
		    "the right %s is missing: the account needs "
		    "the role BigQuery Data Viewer on the "
		    "dataset",
		    right);
	if (rc == RC_OK)
		rc = answer_json(f, a, text, root);
	http_done(f->http, a);
	return rc;
}

/* What days there are; the one to try is the last. */
struct shards {
	int32_t first, last;
	int kind; /* of the last */
	uint64_t n[3];
};

static void
take_shard(struct shards *s, const char *name)
{
	size_t n = strlen(name);
	int32_t day;

	for (int k = INTRADAY; k >= DAILY; k--) {
		size_t lead = strlen(prefixes[k]);

		if (n != lead + 8 || strncmp(name, prefixes[k], lead) != 0 ||
		    !date_parse_compact(name + lead, 8, &day))
			continue;
		s->n[k]++;
		if (day < s->first)
			s->first = day;
		if (day > s->last || (day == s->last && k < s->kind)) {
			s->last = day;
			s->kind = k;
		}
		return;
	}
}

/* Ends early where a day before `enough` was seen. The order of the list is not
 * promised. */
static int
list_shards(struct fetch *f, struct shards *s, int32_t enough, struct buf *text)
{
	struct json_span root, list, t, ref, name;
	struct buf url = BUF_INIT(1u << 20), token = BUF_INIT(1u << 20);
	struct json_iter it;
	char id[300];
	int rc = RC_OK;

	*s = (struct shards){INT32_MAX, INT32_MIN, DAILY, {0, 0, 0}};
	for (int page = 0; rc == RC_OK && s->first >= enough; page++) {
		if (page == LIST_PAGES) {
			rc =
			    fail(f, RC_CONTRACT, "more than %d000 tables in %s",
				LIST_PAGES, f->dataset);
			break;
		}
		buf_reset(&url);
		dataset_url(f, &url);
		buf_str(&url, "/tables");
		url_param(&url, "prettyPrint", "false");
		url_param(&url, "maxResults", "1000");
		if (token.len > 0)
			url_param(&url, "pageToken", buf_cstr(&token));
		buf_cstr(&url);
		rc = check_get(f, &url, "bigquery.tables.list", text, &root);
		if (rc != RC_OK)
			break;
		list = json_member(&root, "tables");
		json_iter_init(&it, &list);
		while (list.type == JSON_ARRAY && json_next_element(&it, &t)) {
			if (t.type != JSON_OBJECT)
				continue;
			ref = json_member(&t, "tableReference");
			if (ref.type != JSON_OBJECT)
				continue;
			name = json_member(&ref, "tableId");
			if (name.type != JSON_STRING || name.len >= sizeof id)
				continue;
			id[json_decode(&name, id)] = '\0';
			take_shard(s, id);
		}
		name = json_member(&root, "nextPageToken");
		buf_reset(&token);
		if (name.type != JSON_STRING || name.len <= 2)
			break;
		json_decode_buf(&name, &token);
	}
	buf_release(&token);
	buf_release(&url);
	return rc;
}

/* ---- a day ---- */

static bool
unchanged(const struct fetch *f, int32_t day, const struct table *t)
{
	const struct day_state *d = state_day(&f->state, day);

	return d != NULL && !t->buffered && strcmp(d->table, t->name) == 0 &&
	       d->rows == t->rows && d->modified == t->modified &&
	       strcmp(d->etag, t->etag) == 0;
}

static void
begin_table(struct fetch *f, int32_t day, const struct table *t)
{
	struct buf extra = BUF_INIT(4096);
	char modified[TIME_LEN + 1];

	buf_fmt(&extra, "\"table\":\"%s\"", t->name);
	if (t->modified > 0 && t->modified < 253402300800000) {
		time_format((int64_t)t->modified, modified);
		buf_fmt(&extra, ",\"modified_at\":\"%s\"", modified);
	}
	if (t->kind != DAILY)
		buf_fmt(
		    &extra, ",\"quality\":{\"table\":\"%s\"}", words[t->kind]);
	begin(f, day, t->date, buf_cstr(&extra));
	buf_release(&extra);
}

/* The first day that has a table, asked once: days come in order, so a table
 * before this one is before all that are still to come. */
static int
first_day(struct fetch *f, int32_t day)
{
	struct buf text = BUF_INIT(64u << 20);
	struct shards s;
	int rc = RC_OK;

	if (f->first == INT32_MIN) {
		rc = list_shards(f, &s, day, &text);
		if (rc == RC_OK)
			f->first = s.first;
	}
	buf_release(&text);
	return rc;
}

/* No table at all may be a link of today: the last day waits for it. */
static int
no_days(struct fetch *f, int32_t day)
{
	static const char why[] =
	    "no table of any day yet: in Google Analytics, Admin, BigQuery "
	    "links, is there a link with the daily export, made before today?";

	if (!f->told)
		warn_msg(f->dataset, "%s", why);
	f->told = true;
	if (day < f->last)
		return DAY_BEFORE;
	if (f->one && f->today - day > LATE_DAYS)
		return fail(f, RC_CONTRACT, "no table of any day");
	begin(f, day, "", "");
	end(f, OUTCOME_NOT_READY, RC_NOTREADY, "no table of any day yet");
	return RC_NOTREADY;
}

static int
before_first(struct fetch *f)
{
	char first[DATE_LEN + 1];

	date_format(f->first, first);
	if (f->one)
		return fail(f, RC_CONTRACT,
		    "no table of this day: the export begins with %s, what "
		    "was before the link to BigQuery does not come",
		    first);
	if (!f->told)
		warn_msg(f->dataset,
		    "the export begins with %s: days before the link to "
		    "BigQuery do not come, and are left out",
		    first);
	f->told = true;
	return DAY_BEFORE;
}

static int
no_table(struct fetch *f, int32_t day)
{
	int rc = first_day(f, day);

	if (rc != RC_OK)
		return rc;
	if (f->first == INT32_MAX)
		return no_days(f, day);
	if (f->first > day)
		return before_first(f);
	begin(f, day, "", "");
	if (f->today - day <= LATE_DAYS) {
		end(f, OUTCOME_NOT_READY, RC_NOTREADY, "no table yet");
		return RC_NOTREADY;
	}
	return fail(f, RC_CONTRACT,
	    "no table of this day: it was deleted, or "
	    "never came");
}

static void
remember(struct fetch *f, int32_t day, struct table *t)
{
	struct day_state d = {t->name, t->etag, t->rows, t->modified, day};

	if (!t->buffered)
		state_put(&f->next, &d);
}

int
export_day(struct fetch *f, int32_t day)
{
	struct table t;
	int rc = table_find(f, day, &t);

	if (rc == RC_OK && f->first == INT32_MIN)
		f->first = day;
	if (rc == RC_NOTREADY)
		rc = no_table(f, day);
	else if (rc == RC_OK && unchanged(f, day, &t)) {
		char date[DATE_LEN + 1];

		date_format(day, date);
		stats_add("unchanged", 1);
		if (!f->quiet)
			warn_msg(date, "unchanged since the last time");
	} else if (rc == RC_OK) {
		begin_table(f, day, &t);
		rc = read_rows(f, day, &t);
		if (rc == RC_OK && sig_pending() == 0) {
			if (t.kind == INTRADAY && f->today - day < WHOLE_DAYS)
				end(f, OUTCOME_PARTIAL, RC_OK,
				    "intraday table, the day may go on");
			else
				end(f,
				    f->records > 0 ? OUTCOME_COMPLETE
						   : OUTCOME_EMPTY,
				    RC_OK, NULL);
			remember(f, day, &t);
		}
	}
	fv_free(t.fv);
	return rc;
}

/* ---- --check ---- */

/* The schema and no row of the last day: who may do that may read all. */
static int
check_rows(struct fetch *f, const struct shards *s, struct buf *text)
{
	struct buf url = BUF_INIT(65536);
	struct json_span root;
	struct table t;
	int rc;

	name_of(s->kind, s->last, t.name);
	table_url(f, t.name, &url);
	url_param(&url, "prettyPrint", "false");
	buf_cstr(&url);
	rc = check_get(f, &url, "bigquery.tables.get", text, &root);
	if (rc == RC_OK) {
		buf_reset(&url);
		table_url(f, t.name, &url);
		buf_str(&url, "/data");
		url_param(&url, "maxResults", "0");
		buf_cstr(&url);
		rc = check_get(f, &url, "bigquery.tables.getData", text, &root);
	}
	buf_release(&url);
	return rc;
}

int
export_check(struct fetch *f)
{
	struct buf url = BUF_INIT(8192), text = BUF_INIT(64u << 20);
	struct buf place = BUF_INIT(1024);
	char first[DATE_LEN + 1], last[DATE_LEN + 1];
	struct json_span root, v;
	struct shards s;
	int rc;

	dataset_url(f, &url);
	url_param(&url, "prettyPrint", "false");
	buf_cstr(&url);
	rc = check_get(f, &url, "bigquery.datasets.get", &text, &root);
	if (rc == RC_OK) {
		v = json_member(&root, "location");
		if (v.type == JSON_STRING)
			json_decode_buf(&v, &place);
		rc = list_shards(f, &s, INT32_MIN, &text);
	}
	if (rc == RC_OK && s.last == INT32_MIN) {
		warn_msg(f->dataset,
		    "warning: can be read, location %s; it has no days yet",
		    buf_cstr(&place));
	} else if (rc == RC_OK && (rc = check_rows(f, &s, &text)) == RC_OK) {
		date_format(s.first, first);
		date_format(s.last, last);
		warn_msg(f->dataset,
		    "can be read, location %s, %llu days and %llu live ones "
		    "from %s to %s",
		    buf_cstr(&place),
		    (unsigned long long)(s.n[DAILY] + s.n[FRESH]),
		    (unsigned long long)s.n[INTRADAY], first, last);
	}
	if (rc == RC_OK && f->tz == NULL && (rc = report_zone(f)) != RC_OK)
		warn_msg("--tz", "not given, and the Data API does not tell "
				 "the zone");
	buf_release(&place);
	buf_release(&text);
	buf_release(&url);
	return rc;
}
