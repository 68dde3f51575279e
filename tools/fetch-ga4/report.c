/*
 * Reports of the GA4 Data API: one request a day (more where there are pages),
 * so that what the service says of the quality of the numbers belongs to one
 * partition.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "fetch-ga4.h"
#include "mem.h"
#include "num.h"
#include "span.h"
#include "sys.h"

#define FIELDS 24 /* dimensions and metrics, with room for more */

struct field {
	char *name; /* as JSON text, quotes included */
	bool is_date, is_number;
};

struct report {
	struct fetch *f;
	int32_t day;
	struct field dim[FIELDS], met[FIELDS];
	size_t dims, mets;
	uint64_t count; /* rowCount */
	char *quality;  /* raw JSON, "" where all is well */
	int rc;
};

static void
report_url(const struct fetch *f, const char *method, struct buf *url)
{
	buf_str(url, f->data_url);
	buf_str(url, "/v1beta/properties/");
	buf_str(url, f->property);
	buf_str(url, method);
}

static void
put_names(struct jsonw *w, const char *member, const char *list)
{
	struct jsonw l, o;

	jsonw_open(w, member, &l, '[');
	for (const char *p = list; *p != '\0';) {
		size_t n = strcspn(p, ",");

		jsonw_open(&l, NULL, &o, '{');
		jsonw_strn(&o, "name", p, n);
		jsonw_end(&o);
		p += n + (p[n] == ',');
	}
	jsonw_end(&l);
}

/* A total order: pages of one that is none may overlap. */
static void
put_order(struct jsonw *w, const char *list)
{
	struct jsonw l, o, d;

	jsonw_open(w, "orderBys", &l, '[');
	for (const char *p = list; *p != '\0';) {
		size_t n = strcspn(p, ",");

		jsonw_open(&l, NULL, &o, '{');
		jsonw_open(&o, "dimension", &d, '{');
		jsonw_strn(&d, "dimensionName", p, n);
		jsonw_str(&d, "orderType", "ALPHANUMERIC");
		jsonw_end(&d);
		jsonw_end(&o);
		p += n + (p[n] == ',');
	}
	jsonw_end(&l);
}

static void
put_request(const struct fetch *f, int32_t day, const char *dimensions,
    const char *metrics, uint64_t limit, uint64_t offset, struct buf *body)
{
	char date[DATE_LEN + 1], text[24];
	struct jsonw w, l, o;

	date_format(day, date);
	jsonw_begin(&w, body, '{');
	jsonw_open(&w, "dateRanges", &l, '[');
	jsonw_open(&l, NULL, &o, '{');
	jsonw_str(&o, "startDate", date);
	jsonw_str(&o, "endDate", date);
	jsonw_end(&o);
	jsonw_end(&l);
	if (dimensions != NULL && *dimensions != '\0') {
		put_names(&w, "dimensions", dimensions);
		put_order(&w, dimensions);
	}
	put_names(&w, "metrics", metrics);
	snprintf(text, sizeof text, "%llu", (unsigned long long)limit);
	jsonw_str(&w, "limit", text);
	snprintf(text, sizeof text, "%llu", (unsigned long long)offset);
	jsonw_str(&w, "offset", text);
	if (f->keep_empty)
		jsonw_bool(&w, "keepEmptyRows", true);
	if (f->currency != NULL)
		jsonw_str(&w, "currencyCode", f->currency);
	jsonw_bool(&w, "returnPropertyQuota", true);
	jsonw_end(&w);
}

/* ---- what stands around the rows ---- */

static struct json_span
member(const struct json_span *o, const char *name)
{
	struct json_span none = {NULL, 0, JSON_ABSENT, 0};

	return o->type == JSON_OBJECT ? json_member(o, name) : none;
}

/* Headers name the columns; the same name twice would lose one. */
static int
headers(struct report *r, const struct json_span *list, struct field *to,
    size_t *n, bool metrics)
{
	struct json_iter it;
	struct json_span h, name;

	*n = 0;
	if (list->type == JSON_ABSENT)
		return RC_OK;
	if (list->type != JSON_ARRAY)
		return fail(r->f, RC_CONTRACT, "the headers are no list");
	json_iter_init(&it, list);
	while (json_next_element(&it, &h)) {
		struct field *c = &to[*n];

		name = member(&h, "name");
		if (*n == FIELDS || name.type != JSON_STRING)
			return fail(r->f, RC_CONTRACT,
			    "a header without a name, or too many");
		c->name = xstrndup(name.p, name.len);
		c->is_date = !metrics && json_is(&name, "date", 4);
		c->is_number = metrics;
		(*n)++;
	}
	return RC_OK;
}

/* How many names are in a list with commas. */
static size_t
names_in(const char *list)
{
	size_t n = list != NULL && *list != '\0';

	for (; n > 0 && *list != '\0'; list++)
		n += *list == ',';
	return n;
}

static void
forget_headers(struct report *r)
{
	for (size_t i = 0; i < r->dims; i++)
		free(r->dim[i].name);
	for (size_t i = 0; i < r->mets; i++)
		free(r->met[i].name);
	r->dims = r->mets = 0;
}

static char *
quality_of(const struct json_span *rest)
{
	struct json_span meta = member(rest, "metadata"), v;
	struct buf b = BUF_INIT(65536);
	struct jsonw w;
	char *text;

	jsonw_begin(&w, &b, '{');
	if (member(&meta, "dataLossFromOtherRow").type == JSON_TRUE)
		jsonw_bool(&w, "data_loss_from_other_row", true);
	if (member(&meta, "subjectToThresholding").type == JSON_TRUE)
		jsonw_bool(&w, "subject_to_thresholding", true);
	v = member(&meta, "samplingMetadatas");
	if (v.type == JSON_ARRAY && v.len > 2)
		jsonw_span(&w, "sampling", &v);
	v = member(&meta, "schemaRestrictionResponse");
	if (v.type == JSON_OBJECT && v.len > 2)
		jsonw_span(&w, "restricted", &v);
	jsonw_end(&w);
	for (size_t i = 0; i < b.len; i++)
		if (b.p[i] == '\n' || b.p[i] == '\r')
			b.p[i] = ' ';
	text = xstrdup(b.len > 2 ? buf_cstr(&b) : "");
	buf_release(&b);
	return text;
}

static int64_t
remaining(const struct json_span *quota, const char *name)
{
	struct json_span part = member(quota, name);
	struct json_span v = member(&part, "remaining");
	int64_t n;

	if (part.type != JSON_OBJECT)
		return INT64_MAX;
	return json_i64(&v, &n) ? n : 0; /* 0 is left out */
}

/* Shown, and obeyed: what is left must be more than the reserve. */
static void
see_quota(struct fetch *f, const struct json_span *rest, bool last)
{
	struct json_span quota = member(rest, "propertyQuota");
	int64_t day = remaining(&quota, "tokensPerDay");
	int64_t hour = remaining(&quota, "tokensPerHour");
	int64_t project = remaining(&quota, "tokensPerProjectPerHour");
	int64_t errors = remaining(&quota, "serverErrorsPerProjectPerHour");
	int64_t least = day < hour ? day : hour;

	if (quota.type != JSON_OBJECT)
		return;
	least = least < project ? least : project;
	f->quota_known = true;
	f->quota_left = errors < 2 ? 0 : (uint64_t)(least < 0 ? 0 : least);
	if (last && !f->quiet)
		warn_msg("quota", "%lld tokens left today, %lld this hour",
		    (long long)day,
		    (long long)(hour < project ? hour : project));
}

/* ---- rows ---- */

static int
put_date(struct report *r, const struct json_span *v)
{
	int32_t day;

	if (v->type != JSON_STRING || v->len != 10 ||
	    !date_parse_compact(v->p + 1, 8, &day) || day != r->day)
		return fail(r->f, RC_CONTRACT, "a row of another date");
	return RC_OK;
}

static int
put_values(struct report *r, const struct json_span *list,
    const struct field *fields, size_t n)
{
	struct buf *b = &r->f->held;
	struct json_iter it;
	struct json_span cell, v;
	struct json_error e;
	size_t i = 0;

	if (list->type == JSON_ABSENT && n == 0)
		return RC_OK;
	if (list->type != JSON_ARRAY)
		return fail(r->f, RC_CONTRACT, "a row without its values");
	json_iter_init(&it, list);
	while (json_next_element(&it, &cell)) {
		v = member(&cell, "value");
		if (i == n || (v.type != JSON_STRING && v.type != JSON_ABSENT))
			return fail(r->f, RC_CONTRACT,
			    "a row has more values than there are headers, or "
			    "one that is no text");
		if (fields[i].is_date) {
			if (put_date(r, &v) != RC_OK)
				return RC_CONTRACT;
			i++;
			continue;
		}
		buf_char(b, ',');
		buf_str(b, fields[i].name);
		buf_char(b, ':');
		/* A number stays the digits that came. */
		if (fields[i].is_number && v.type == JSON_STRING && v.len > 2 &&
		    (v.p[1] == '-' || (v.p[1] >= '0' && v.p[1] <= '9')) &&
		    json_check(v.p + 1, v.len - 2u, false, &e))
			buf_add(b, v.p + 1, v.len - 2u);
		else if (v.type == JSON_STRING)
			buf_add(b, v.p, v.len);
		else
			buf_str(b, "\"\"");
		i++;
	}
	return i == n ? RC_OK
		      : fail(r->f, RC_CONTRACT,
			    "a row has fewer values than there are headers");
}

static int
take_row(void *ctx, const char *text, size_t len)
{
	struct report *r = ctx;
	struct json_span row = {text, (uint32_t)len, JSON_OBJECT, 0}, v;
	char date[DATE_LEN + 1];

	r->rc = held_room(r->f);
	if (r->rc != RC_OK)
		return r->rc;
	date_format(r->day, date);
	buf_fmt(&r->f->held, "{\"date\":\"%s\"", date);
	v = json_member(&row, "dimensionValues");
	r->rc = put_values(r, &v, r->dim, r->dims);
	if (r->rc == RC_OK) {
		v = json_member(&row, "metricValues");
		r->rc = put_values(r, &v, r->met, r->mets);
	}
	buf_str(&r->f->held, "}\n");
	return r->rc;
}

/* ---- a day ---- */

static int
post(struct report *r, uint64_t offset, struct http_answer **a)
{
	struct fetch *f = r->f;
	struct buf url = BUF_INIT(8192), body = BUF_INIT(65536);
	int rc;

	report_url(f, ":runReport", &url);
	put_request(
	    f, r->day, f->dimensions, f->metrics, f->page_size, offset, &body);
	*a = ask(f, "POST", buf_cstr(&url), &body, &rc);
	if (rc == RC_NOTREADY)
		rc = fail(f, RC_CONTRACT, "%s", (*a)->why);
	if (rc == RC_AUTH)
		f->stop = true;
	if (rc == RC_TRANSIENT && (*a)->status >= 500)
		f->errors = true;
	buf_release(&body);
	buf_release(&url);
	return rc;
}

/* What is around the rows first, since it may stand after them. */
static int
around(struct report *r, struct http_answer *a, bool first)
{
	struct fetch *f = r->f;
	struct json_span rest, v;
	char *quality;
	int64_t count = 0;
	int rc;
	struct page *p = page_read(f, a, NULL, NULL, NULL, &rest, &rc);

	if (rc == RC_OK) {
		v = json_member(&rest, "rowCount");
		if (v.type != JSON_ABSENT &&
		    (!json_i64(&v, &count) || count < 0))
			rc = fail(f, RC_CONTRACT, "rowCount is no count");
	}
	if (rc == RC_OK && !first && (uint64_t)count != r->count)
		rc = fail(
		    f, RC_TRANSIENT, "the report changed between two pages");
	if (rc == RC_OK) {
		r->count = (uint64_t)count;
		forget_headers(r);
		v = json_member(&rest, "dimensionHeaders");
		rc = headers(r, &v, r->dim, &r->dims, false);
	}
	if (rc == RC_OK) {
		v = json_member(&rest, "metricHeaders");
		rc = headers(r, &v, r->met, &r->mets, true);
	}
	/* An answer without rows has them too: what has none is no report. */
	if (rc == RC_OK && (r->dims != names_in(f->dimensions) ||
			       r->mets != names_in(f->metrics)))
		rc = fail(f, RC_CONTRACT,
		    "the answer has other columns than were asked for");
	if (rc == RC_OK) {
		quality = quality_of(&rest);
		if (r->quality != NULL && strcmp(r->quality, quality) != 0)
			rc = fail(f, RC_TRANSIENT,
			    "the quality changed between two pages");
		free(r->quality);
		r->quality = quality;
		see_quota(
		    f, &rest, (uint64_t)count <= f->records + page_elements(p));
	}
	page_free(p);
	return rc;
}

static void
begin_report(struct report *r, struct http_answer *a)
{
	struct buf extra = BUF_INIT(1u << 20);

	if (*r->quality != '\0') {
		buf_str(&extra, "\"quality\":");
		buf_str(&extra, r->quality);
	}
	begin(r->f, r->day, http_header(a, "Date"), buf_cstr(&extra));
	buf_release(&extra);
}

static int
one_page(struct report *r, uint64_t offset)
{
	struct fetch *f = r->f;
	struct http_answer *a;
	struct json_span rest;
	struct page *p = NULL;
	uint64_t rows = 0;
	int rc = post(r, offset, &a);

	if (rc == RC_OK)
		rc = around(r, a, offset == 0);
	if (rc == RC_OK && offset == 0)
		begin_report(r, a);
	if (rc == RC_OK) {
		held_reset(f);
		p = page_read(f, a, take_row, NULL, r, &rest, &rc);
		rows = page_elements(p);
	}
	if (rc == RC_OK)
		rc = held_print(f);
	if (rc == RC_OK) {
		f->records += rows;
		if (rows == 0 && f->records < r->count)
			rc = fail(f, RC_CONTRACT, "%llu rows of %llu came",
			    (unsigned long long)f->records,
			    (unsigned long long)r->count);
		if (f->records > r->count)
			rc = fail(f, RC_CONTRACT, "more rows than rowCount");
	}
	page_free(p);
	http_done(f->http, a);
	return rc;
}

static int
quota_spent(struct fetch *f)
{
	/* Ten server errors an hour and the service hears nothing more. */
	if (f->errors)
		return fail(f, RC_TRANSIENT,
		    "the service had errors, and counts them: not asked");
	if (!f->quota_known || f->quota_left > f->reserve)
		return RC_OK;
	return fail(f, RC_TRANSIENT,
	    "quota: %llu tokens are left, --reserve keeps %llu",
	    (unsigned long long)f->quota_left, (unsigned long long)f->reserve);
}

int
report_day(struct fetch *f, int32_t day)
{
	struct report r = {.f = f, .day = day};
	uint64_t offset = 0;
	int rc;

	f->records = f->page_sum = 0;
	if (day >= f->today) {
		begin(f, day, "", "");
		end(f, OUTCOME_NOT_READY, RC_NOTREADY, "the day is not over");
		return RC_NOTREADY;
	}
	do {
		rc = quota_spent(f);
		if (rc == RC_OK)
			rc = one_page(&r, offset);
		offset = f->records;
	} while (rc == RC_OK && f->records < r.count && sig_pending() == 0);
	if (rc == RC_OK && sig_pending() == 0)
		end(f, f->records > 0 ? OUTCOME_COMPLETE : OUTCOME_EMPTY, RC_OK,
		    NULL);
	forget_headers(&r);
	free(r.quality);
	return rc;
}

/* ---- the property ---- */

int
report_zone(struct fetch *f)
{
	struct buf url = BUF_INIT(8192), body = BUF_INIT(65536);
	struct buf zone = BUF_INIT(1024), text = BUF_INIT(64u << 20);
	struct http_answer *a;
	struct json_span root, v;
	int rc;

	report_url(f, ":runReport", &url);
	put_request(f, day_of_ms(sys_real_ns() / 1000000) - 2, NULL, "sessions",
	    1, 0, &body);
	a = ask(f, "POST", buf_cstr(&url), &body, &rc);
	if (rc == RC_NOTREADY)
		rc = fail(f, RC_CONTRACT, "%s", a->why);
	if (rc == RC_OK)
		rc = answer_json(f, a, &text, &root);
	if (rc == RC_OK) {
		v = json_member(&root, "metadata");
		v = member(&v, "timeZone");
		if (v.type == JSON_STRING)
			json_decode_buf(&v, &zone);
		if (zone.len == 0 || zone.len >= sizeof f->day_tz)
			rc = fail(f, RC_CONTRACT, "the answer has no timeZone");
		else
			snprintf(
			    f->day_tz, sizeof f->day_tz, "%s", buf_cstr(&zone));
	}
	http_done(f->http, a);
	buf_release(&text);
	buf_release(&zone);
	buf_release(&body);
	buf_release(&url);
	return rc;
}

int
report_check(struct fetch *f)
{
	struct buf url = BUF_INIT(8192);
	struct http_answer *a;
	int rc;

	report_url(f, "/metadata", &url);
	a = ask(f, "GET", buf_cstr(&url), NULL, &rc);
	if (rc == RC_NOTREADY)
		rc = fail(f, RC_CONTRACT, "no such property");
	if (rc == RC_AUTH && (strstr(f->why, "has not been used") != NULL ||
				 strstr(f->why, "is disabled") != NULL))
		warn_msg(f->property, "the account's project needs the Google "
				      "Analytics Data API switched on");
	else if (rc == RC_AUTH)
		warn_msg(f->property, "the account needs the role Viewer on "
				      "the property, and the scope "
				      "analytics.readonly");
	if (rc == RC_OK)
		warn_msg(f->property, "the property can be read");
	http_done(f->http, a);
	buf_release(&url);
	return rc;
}
