/* One call of the Graph API: its parameters, its errors, its pacing. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

#include "diag.h"
#include "exits.h"
#include "fetch-meta.h"
#include "mem.h"
#include "num.h"
#include "stats.h"
#include "sys.h"

const char *const level_names[] = {"account", "campaign", "adset", "ad"};

/*
 * What an error is. The first row that fits counts; ANY fits all, NONE only
 * where there is no subcode. `text` must be part of the message, which is
 * never localised; error_user_* are and stand in no row.
 */
#define ANY INT64_MIN
#define NONE (INT64_MIN + 1)

enum { THEN_SPLIT = 1, POLLING = 2 };

static const struct row {
	int64_t from, to, subcode;
	const char *text;
	int rc, flags;
} table[] = {
    /* too much: the same request never works */
    {100, 100, 1487534, NULL, RC_SPLIT, 0},
    {ANY, ANY, ANY, "reduce the amount of data", RC_SPLIT, 0},
    {2, 2, 1504038, NULL, RC_SPLIT, 0},
    {100, 100, 1504018, NULL, RC_SPLIT, 0},
    /* by subcode */
    {1, 1, 99, NULL, RC_TRANSIENT, THEN_SPLIT},
    {1, 1, 2853001, NULL, RC_AUTH, 0},
    {2, 2, 1504041, NULL, RC_CONTRACT, 0},
    {2, 2, 1504042, NULL, RC_CONTRACT, 0},
    {2, 2, 1504043, NULL, RC_TRANSIENT, 0},
    {2, 2, 1504044, NULL, RC_TRANSIENT, THEN_SPLIT},
    {-2, -2, 2490547, NULL, RC_TRANSIENT, 0},
    {100, 100, 1504028, NULL, RC_CONTRACT, 0},
    {100, 100, 33, NULL, RC_TRANSIENT, POLLING},
    {100, 100, 33, NULL, RC_AUTH, 0},
    {100, 100, ANY, "Missing permissions", RC_AUTH, 0},
    {100, 100, ANY, "weren't there while creating the report run", RC_TRANSIENT,
	0},
    /* by code */
    {1, 2, ANY, NULL, RC_TRANSIENT, 0},
    {3, 3, ANY, NULL, RC_AUTH, 0},
    {4, 4, ANY, NULL, RC_TRANSIENT, 0},
    {10, 10, ANY, NULL, RC_AUTH, 0},
    {12, 12, ANY, NULL, RC_CONTRACT, 0},
    {17, 17, ANY, NULL, RC_TRANSIENT, 0},
    {32, 32, ANY, NULL, RC_TRANSIENT, 0},
    {100, 100, ANY, NULL, RC_CONTRACT, 0},
    {102, 102, ANY, NULL, RC_AUTH, 0},
    {104, 104, ANY, NULL, RC_TRANSIENT, 0},
    {190, 190, ANY, NULL, RC_AUTH, 0},
    {200, 299, ANY, NULL, RC_AUTH, 0},
    {341, 341, ANY, NULL, RC_TRANSIENT, 0},
    {368, 368, ANY, NULL, RC_AUTH, 0},
    {613, 613, ANY, NULL, RC_TRANSIENT, 0},
    {960, 960, ANY, NULL, RC_TRANSIENT, 0},
    {2500, 2500, ANY, NULL, RC_CONTRACT, 0},
    {2635, 2635, ANY, NULL, RC_CONTRACT, 0},
    {80000, 80014, ANY, NULL, RC_TRANSIENT, 0},
};

static bool
fits(const struct row *r, const struct meta *m, int64_t code, int64_t subcode,
    const char *message)
{
	/* A negative code says nothing: then the subcode does. */
	if (r->from != ANY && (code < r->from || code > r->to) &&
	    (code >= 0 || r->subcode == ANY || r->from < 0))
		return false;
	if (r->subcode != ANY && subcode != r->subcode)
		return false;
	if (r->text != NULL && strstr(message, r->text) == NULL)
		return false;
	return (r->flags & POLLING) == 0 || m->polling;
}

void
graph_classify(const struct meta *m, int64_t code, int64_t subcode, int status,
    const char *message, bool transient, struct fault *f)
{
	char text[DIAG_QUOTE];

	f->code = code;
	f->subcode = subcode;
	f->then_split = false;
	f->rc = transient || status >= 500 || status == 429 ? RC_TRANSIENT
							    : RC_CONTRACT;
	for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
		if (!fits(&table[i], m, code, subcode, message))
			continue;
		f->rc = table[i].rc;
		f->then_split = (table[i].flags & THEN_SPLIT) != 0;
		break;
	}
	diag_quote(text, message, strlen(message));
	if (subcode != NONE)
		snprintf(f->text, sizeof f->text, "error %lld/%lld: %.150s%s%s",
		    (long long)code, (long long)subcode, text,
		    *f->trace ? ", trace " : "", f->trace);
	else
		snprintf(f->text, sizeof f->text, "error %lld: %.150s%s%s",
		    (long long)code, text, *f->trace ? ", trace " : "",
		    f->trace);
}

int
graph_fault(struct meta *m, int rc, const char *fmt, ...)
{
	va_list ap;

	m->fault = (struct fault){.rc = rc, .wait_ms = -1};
	va_start(ap, fmt);
	vsnprintf(m->fault.text, sizeof m->fault.text, fmt, ap);
	va_end(ap);
	return rc;
}

/* ---- usage headers ---- */

/* A number, or one in a string, rounded up; 0 for anything else. */
static int64_t
whole(const struct json_span *v)
{
	const char *p = v->p, *end = v->p + v->len;
	int64_t n = 0;

	if (v->type == JSON_STRING)
		p++, end--;
	else if (v->type != JSON_NUMBER)
		return 0;
	for (; p < end && *p >= '0' && *p <= '9' && n < 100000000; p++)
		n = n * 10 + (*p - '0');
	if (p < end && *p == '.') {
		for (p++; p < end && *p == '0'; p++)
			;
		n += p < end && *p >= '1' && *p <= '9';
	}
	return n;
}

struct usage {
	int64_t percent, minutes;
};

/* All that looks like a share of an allowance, wherever it stands: the
 * business header has several ids and several entries for each. */
static void
usage_of(struct usage *u, const struct json_span *v, unsigned depth)
{
	static const char *const shares[] = {"call_count", "total_time",
	    "total_cputime", "acc_id_util_pct", "app_id_util_pct"};
	struct json_iter it;
	struct json_span key, val;

	if (depth > 4)
		return;
	json_iter_init(&it, v);
	while (v->type == JSON_ARRAY && json_next_element(&it, &val))
		usage_of(u, &val, depth + 1);
	while (v->type == JSON_OBJECT && json_next_member(&it, &key, &val)) {
		if (val.type == JSON_OBJECT || val.type == JSON_ARRAY)
			usage_of(u, &val, depth + 1);
		for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
			if (json_is(&key, shares[i], strlen(shares[i])) &&
			    whole(&val) > u->percent)
				u->percent = whole(&val);
		if (json_is(&key, "estimated_time_to_regain_access", 31) &&
		    whole(&val) > u->minutes)
			u->minutes = whole(&val);
	}
}

static struct usage
usage_read(const struct http_answer *a)
{
	static const char *const names[] = {"x-app-usage", "x-ad-account-usage",
	    "x-business-use-case-usage", "x-fb-ads-insights-throttle"};
	struct usage u = {0, 0};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		const char *text = http_header(a, names[i]);
		struct json_span root;
		struct json_error e;

		if (*text == '\0' || !json_check(text, strlen(text), true, &e))
			continue; /* missing or garbage: no say */
		root = json_value(text);
		usage_of(&u, &root, 0);
	}
	return u;
}

/* Milliseconds between calls from here on. */
static int64_t
pause_of(const struct usage *u)
{
	if (u->minutes > 0)
		return (u->minutes > 15 ? 15 : u->minutes) * 60000;
	if (u->percent > 95)
		return 60000;
	if (u->percent >= 90)
		return 30000;
	return u->percent >= 75 ? 2000 : 0;
}

/* ---- one call ---- */

static int64_t
member_i64(const struct json_span *object, const char *name, int64_t missing)
{
	struct json_span v = json_member(object, name);
	int64_t n;

	return json_i64(&v, &n) ? n : missing;
}

static void
member_text(
    const struct json_span *object, const char *name, char *out, size_t max)
{
	struct json_span v = json_member(object, name);
	char *text;
	size_t n;

	*out = '\0';
	if (v.type != JSON_STRING)
		return;
	text = xmalloc(v.len + 1);
	n = json_decode(&v, text);
	n = n < max - 1 ? n : max - 1;
	memcpy(out, text, n);
	out[n] = '\0';
	free(text);
}

static void
judge_error(
    struct meta *m, const struct http_answer *a, const struct json_span *error)
{
	struct json_span transient = json_member(error, "is_transient");
	char message[512];

	member_text(error, "message", message, sizeof message);
	member_text(error, "fbtrace_id", m->fault.trace, sizeof m->fault.trace);
	for (char *p = m->fault.trace; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f)
			*p = '?';
	graph_classify(m, member_i64(error, "code", 0),
	    member_i64(error, "error_subcode", NONE), a->status, message,
	    transient.type == JSON_TRUE, &m->fault);
}

static enum verdict
verdict_of(struct meta *m, const struct http_answer *a, const struct usage *u,
    struct http_judgement *out)
{
	struct fault *f = &m->fault;

	snprintf(out->why, sizeof out->why, "%s", f->text);
	snprintf(out->reason, sizeof out->reason, "%lld", (long long)f->code);
	switch (f->rc) {
	case RC_SPLIT:
		return HTTP_SPLIT;
	case RC_AUTH:
		return HTTP_AUTH;
	case RC_TRANSIENT:
		if (f->then_split && a->tries >= 3)
			return HTTP_SPLIT;
		if (u->minutes > 0)
			f->wait_ms = out->wait_ms = u->minutes * 60000;
		return HTTP_RETRY;
	default:
		return HTTP_CONTRACT;
	}
}

enum { PAGE_BYTES = 4096 };

/* It begins as a page of data does. */
static bool
is_page(const char *p)
{
	static const char begin[] = "{\"data\":[";

	for (const char *b = begin; *b != '\0'; b++, p++) {
		while (strchr(" \t\r\n", *p) != NULL && *p != '\0')
			p++;
		if (*p != *b)
			return false;
	}
	return true;
}

/* An answer's status says little: an error may come with 200, data never with
 * an error. What is no JSON is a passing failure. */
static enum verdict
judge(void *ctx, const struct http_answer *a, struct http_judgement *out)
{
	struct meta *m = ctx;
	struct usage u = usage_read(a);
	enum verdict v = http_judge(a, out); /* and what it asks us to wait */
	struct json_span root, error;
	const char *body, *date = http_header(a, "date");
	struct json_error e;
	size_t len = 0;
	time_t t;

	m->fault = (struct fault){.rc = RC_OK, .wait_ms = -1};
	t = *date != '\0' ? curl_getdate(date, NULL) : -1;
	m->now_s = t > 0 ? (int64_t)t : sys_real_ns() / 1000000000;
	m->asked_ms = pause_of(&u);
	http_pace(m->http, m->asked_ms);
	if (v == HTTP_REAUTH)
		v = HTTP_AUTH; /* there is one token */
	if (a->status / 100 == 3 || a->status == 407)
		return v;
	body = spool_memory(a->body, &len);
	if (body == NULL && a->status == 200)
		return HTTP_OK; /* over 1 MiB: no error, the page is checked */
	if (a->status == 200 && len > PAGE_BYTES && is_page(body))
		return HTTP_OK; /* who reads it looks at all of it */
	if (body == NULL || !json_check(body, len, true, &e)) {
		if (a->status / 100 == 4)
			return v;
		snprintf(out->why, sizeof out->why,
		    "status %d, not a JSON object", a->status);
		if (a->status >= 300)
			return HTTP_RETRY;
		out->rc = RC_CONTRACT;
		return a->odd == 0 ? HTTP_RETRY : HTTP_CONTRACT;
	}
	root = json_value(body);
	error = json_member(&root, "error");
	if (error.type == JSON_OBJECT) {
		judge_error(m, a, &error);
		return verdict_of(m, a, &u, out);
	}
	return a->status == 200 ? HTTP_OK : v;
}

static void
look_at_version(struct meta *m, const struct http_answer *a)
{
	const char *v = http_header(a, "facebook-api-version");
	char text[DIAG_QUOTE];

	if (m->version_said || *v == '\0' || strcmp(v, m->version) == 0)
		return;
	m->version_said = true;
	warn_msg("contract",
	    "warning: asked for %s, answered by %s: raise --api-version",
	    m->version, diag_quote(text, v, strlen(v)));
}

/* The exit status, or RC_SPLIT, of an answer that is no data. */
static int
failed(struct meta *m, const struct http_answer *a)
{
	int rc = a->rc;

	if (a->verdict == HTTP_SPLIT)
		return RC_SPLIT;
	if (sig_pending() != 0)
		return 128 + sig_pending();
	if (rc == RC_OK)
		rc = RC_TRANSIENT;
	/* Of a try that got no answer, or one the table does not know. */
	if (a->status == 0 || m->fault.rc == RC_OK || *m->fault.text == '\0')
		return graph_fault(m, rc, "%s",
		    a->why != NULL && *a->why != '\0' ? a->why : "no answer");
	if (m->fault.then_split && rc == RC_TRANSIENT)
		return RC_SPLIT;
	m->fault.rc = rc;
	return rc;
}

/*
 * A POST makes a report run: http.c never repeats it. Where the service said
 * that it did not do it, we do.
 */
static bool
post_again(struct meta *m, const struct http_answer *a, unsigned tries)
{
	const struct fault *f = &m->fault;
	int64_t wait = f->wait_ms >= 0 ? f->wait_ms : INT64_C(1000) << tries;

	if (a->verdict != HTTP_RETRY || a->status == 0 || f->code == 0 ||
	    a->status == 429 || tries >= 5 || f->wait_ms > m->max_wait_ms ||
	    (f->then_split && tries >= 3))
		return false;
	return graph_sleep(wait * m->backoff / 100) == RC_OK;
}

static void
add_params(struct meta *m, struct buf *to, const struct param *params, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (params[i].value != NULL && *params[i].value != '\0')
			url_param(to, params[i].name, params[i].value);
	if (*m->proof != '\0')
		url_param(to, "appsecret_proof", m->proof);
}

int
graph_call(struct meta *m, const char *method, const char *path,
    const struct param *params, size_t n, struct http_answer **answer)
{
	static const char *const form[] = {
	    "Content-Type: application/x-www-form-urlencoded", NULL};
	struct buf url = BUF_INIT(4 << 20), body = BUF_INIT(4 << 20);
	bool post = strcmp(method, "POST") == 0;
	struct http_request r = {
	    .method = method, .json = true, .judge = judge, .ctx = m};
	struct http_answer *a;
	int rc = RC_OK;

	if (m->asked_ms > m->max_wait_ms)
		return graph_fault(m, RC_TRANSIENT,
		    "throttled: calls are heard again in %lld min at the "
		    "earliest, --max-wait is less",
		    (long long)(m->asked_ms / 60000));
	buf_fmt(&url, "%s/%s/%s", m->base, m->version, path);
	add_params(m, post ? &body : &url, params, n);
	if (url.over || body.over) {
		rc = graph_fault(m, RC_INTERNAL, "the request is too long");
		goto done;
	}
	if (post && body.len > 0) {
		/* url_param begins with the mark of a query */
		r.headers = form;
		r.body = body.p + 1;
		r.body_len = body.len - 1;
		r.once = true; /* it makes a report run */
		r.unrecorded = strcmp(path, "debug_token") == 0;
	}
	r.url = buf_cstr(&url);
	m->fault = (struct fault){.rc = RC_OK, .wait_ms = -1};
	for (unsigned tries = 1;; tries++) {
		a = http_do(m->http, &r);
		if (!post || !post_again(m, a, tries))
			break;
		http_done(m->http, a);
	}
	if (m->started_s == 0)
		m->started_s = m->now_s;
	look_at_version(m, a);
	if (a->verdict == HTTP_OK) {
		*answer = a;
	} else {
		rc = failed(m, a);
		http_done(m->http, a);
	}
done:
	buf_release(&url);
	buf_release(&body);
	return rc;
}

int
graph_object(struct meta *m, const char *method, const char *path,
    const struct param *params, size_t n, struct buf *doc,
    struct json_span *root)
{
	struct http_answer *a;
	struct json_error e;
	const char *body;
	size_t len = 0;
	int rc = graph_call(m, method, path, params, n, &a);

	if (rc != RC_OK)
		return rc;
	body = spool_memory(a->body, &len);
	buf_reset(doc);
	if (body != NULL)
		buf_add(doc, body, len);
	http_done(m->http, a);
	if (body == NULL || !json_check(doc->p, doc->len, true, &e))
		return graph_fault(
		    m, RC_CONTRACT, "%s: not a small object", path);
	*root = json_value(buf_cstr(doc));
	return RC_OK;
}

int
graph_sleep(int64_t ms)
{
	int64_t end = sys_mono_ns() + ms * 1000000;

	for (;;) {
		int64_t left = end - sys_mono_ns();
		struct timespec t = {0, left > 200000000 ? 200000000 : left};

		if (sig_pending() != 0)
			return 128 + sig_pending();
		if (left <= 0)
			return RC_OK;
		nanosleep(&t, NULL);
	}
}

/* ---- the account ---- */

int
graph_account(struct meta *m)
{
	static const struct param params[] = {{"fields",
	    "account_id,name,currency,timezone_name,account_status"}};
	struct buf doc = BUF_INIT(1 << 20);
	struct json_span root;
	char path[40], id[24];
	int rc;

	snprintf(path, sizeof path, "act_%s", m->account);
	rc = graph_object(m, "GET", path, params, 1, &doc, &root);
	if (rc == RC_OK) {
		member_text(&root, "account_id", id, sizeof id);
		member_text(&root, "name", m->name, sizeof m->name);
		member_text(&root, "currency", m->currency, sizeof m->currency);
		member_text(
		    &root, "timezone_name", m->zone_name, sizeof m->zone_name);
		m->account_status = member_i64(&root, "account_status", 0);
		if (strcmp(id, m->account) != 0 || *m->currency == '\0' ||
		    *m->zone_name == '\0')
			rc = graph_fault(m, RC_CONTRACT,
			    "the account's id, currency or zone is missing");
	}
	buf_release(&doc);
	if (rc != RC_OK) {
		if (rc < 128 || rc == RC_SPLIT)
			warn_msg(path, "%s", m->fault.text);
		return rc == RC_SPLIT ? RC_CONTRACT : rc;
	}
	m->zone = zone_open(m->zone_name);
	if (m->zone == NULL) {
		warn_msg(path, "its time zone '%s' is not on this machine",
		    m->zone_name);
		return RC_CONFIG;
	}
	return RC_OK;
}

/* ---- --check ---- */

/* Days until an instant in seconds; INT64_MIN where there is none. */
static int64_t
days_left(const struct json_span *data, const char *name, int64_t now_s)
{
	int64_t at = member_i64(data, name, 0);

	return at > 0 ? (at - now_s) / 86400 : INT64_MIN;
}

static void
put_days(struct jsonw *w, const char *name, int64_t days)
{
	if (days == INT64_MIN)
		jsonw_null(w, name);
	else
		jsonw_i64(w, name, days);
}

/* The token goes in the body: nobody logs that. */
static int
debug_token(struct meta *m, struct buf *doc, struct json_span *data)
{
	const struct secret *token = bearer_secret(m->bearer);
	char *text = xstrndup(token->p, token->len);
	struct param params[] = {{"input_token", text}, {"method", "GET"}};
	struct json_span root;
	int rc = graph_object(m, "POST", "debug_token", params, 2, doc, &root);

	explicit_bzero(text, strlen(text));
	free(text);
	if (rc == RC_OK)
		*data = json_member(&root, "data");
	return rc;
}

static int
check_token(struct meta *m, struct jsonw *w)
{
	struct buf doc = BUF_INIT(1 << 20);
	struct json_span data, valid, scopes;
	int64_t days, access;
	int rc;

	if (m->bearer == NULL) /* a replay */
		return RC_OK;
	rc = debug_token(m, &doc, &data);

	if (rc != RC_OK || data.type != JSON_OBJECT) {
		warn_msg("debug_token",
		    "warning: the token's end is not known: %s",
		    rc != RC_OK ? m->fault.text : "no data");
		buf_release(&doc);
		return rc == RC_AUTH ? rc : RC_OK;
	}
	valid = json_member(&data, "is_valid");
	scopes = json_member(&data, "scopes");
	days = days_left(&data, "expires_at", m->now_s);
	access = days_left(&data, "data_access_expires_at", m->now_s);
	put_days(w, "token_days_left", days);
	put_days(w, "data_access_days_left", access);
	if (scopes.type == JSON_ARRAY)
		jsonw_span(w, "scopes", &scopes);
	rc = RC_OK;
	if (valid.type == JSON_FALSE) {
		warn_msg("token", "the service says that it is not valid");
		rc = RC_AUTH;
	}
	if (scopes.type == JSON_ARRAY &&
	    memmem(scopes.p, scopes.len, "\"ads_read\"", 10) == NULL &&
	    memmem(scopes.p, scopes.len, "\"ads_management\"", 16) == NULL) {
		warn_msg("token", "the right ads_read is missing");
		rc = RC_AUTH;
	}
	if (rc == RC_OK && days != INT64_MIN && days < 7)
		warn_msg(
		    "token", "warning: ends in %lld days", (long long)days);
	if (rc == RC_OK && access != INT64_MIN && access < 7)
		warn_msg("token",
		    "warning: its access to data ends in %lld "
		    "days",
		    (long long)access);
	buf_release(&doc);
	return rc;
}

int
graph_check(struct meta *m)
{
	struct buf line = BUF_INIT(1 << 20);
	struct jsonw w;
	int rc = graph_account(m);

	if (rc == RC_OK) {
		jsonw_begin(&w, &line, '{');
		jsonw_str(&w, "source_system", "meta");
		jsonw_str(&w, "account_id", m->account);
		jsonw_str(&w, "name", m->name);
		jsonw_str(&w, "currency", m->currency);
		jsonw_str(&w, "timezone", m->zone_name);
		jsonw_i64(&w, "account_status", m->account_status);
		jsonw_str(&w, "api_version", m->version);
		rc = check_token(m, &w);
		jsonw_end(&w);
		out_record(&m->out, line.p, line.len);
	}
	if (rc == RC_OK && m->account_status != 1)
		warn_msg(m->account,
		    "warning: account_status is %lld, not 1 "
		    "(active)",
		    (long long)m->account_status);
	buf_release(&line);
	return rc;
}

/* ---- --version-check ---- */

/* Meta's table of Marketing API versions; the last ones have no end yet, and
 * a year is what a version lives. */
static const struct {
	const char *version, *end;
	bool planned;
} versions[] = {
    {"v22.0", "2026-02-19", true},
    {"v23.0", "2026-06-09", true},
    {"v24.0", "2026-10-06", true},
    {"v25.0", "2027-02-18", false},
    {"v26.0", "2027-07-29", false},
};

int
graph_version_check(const char *version, int32_t today)
{
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
		const char *how = versions[i].planned ? "" : ", by our count";
		int32_t end;

		if (strcmp(versions[i].version, version) != 0 ||
		    !date_parse(versions[i].end, DATE_LEN, &end))
			continue;
		if (end <= today) {
			warn_msg(version, "ended on %s%s: raise --api-version",
			    versions[i].end, how);
			return RC_FINDINGS;
		}
		if (end - today <= 60) {
			warn_msg(version, "warning: ends on %s%s, in %d days",
			    versions[i].end, how, (int)(end - today));
			return RC_FINDINGS;
		}
		return RC_OK;
	}
	warn_msg(version, "not in the table of versions");
	return RC_FINDINGS;
}
