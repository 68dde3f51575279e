/*
 * What an answer means where its source's own table says nothing: the status,
 * and the error shapes of Google, OAuth, Graph and JSON:API.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "diag.h"
#include "exits.h"
#include "http_impl.h"
#include "json.h"
#include "sys.h"

enum { SNIFF_MAX = 64 << 10, SECOND_MS = 1000 };

int
verdict_rc(enum verdict v)
{
	switch (v) {
	case HTTP_OK:
	case HTTP_EMPTY:
	case HTTP_EXISTS:
		return RC_OK;
	case HTTP_RETRY:
		return RC_TRANSIENT;
	case HTTP_REAUTH:
	case HTTP_AUTH:
		return RC_AUTH;
	case HTTP_CONFIG:
		return RC_CONFIG;
	case HTTP_NOT_READY:
		return RC_NOTREADY;
	case HTTP_CONTRACT:
	case HTTP_GONE:
	case HTTP_SPLIT:
		break;
	}
	return RC_CONTRACT;
}

int64_t
retry_after_ms(const struct http_answer *a)
{
	const char *text = http_header(a, "Retry-After");
	const char *date = http_header(a, "Date");
	time_t until, now = -1;
	size_t n = strlen(text);

	if (n == 0)
		return -1;
	if (strspn(text, "0123456789") == n)
		return n > 9 ? INT64_MAX : (int64_t)atol(text) * SECOND_MS;
	until = curl_getdate(text, NULL);
	if (until < 0)
		return -1;
	if (*date != '\0')
		now = curl_getdate(date, NULL);
	if (now < 0)
		now = (time_t)(sys_real_ns() / 1000000000);
	return until > now ? (int64_t)(until - now) * SECOND_MS : 0;
}

/* The service's own words. */
struct said {
	char reason[64], message[1024];
	size_t message_len;
	int64_t code; /* in the body, 0: none */
	bool transient, is_error;
};

static void
take_text(const struct json_span *v, char *dst, size_t room)
{
	struct buf b = BUF_INIT(1u << 20);

	if (v->type == JSON_STRING)
		json_decode_buf(v, &b);
	else if (v->type == JSON_NUMBER)
		buf_add(&b, v->p, v->len);
	snprintf(dst, room, "%s", buf_cstr(&b));
	buf_release(&b);
}

static void
take_message(struct said *s, const struct json_span *v)
{
	if (v->type == JSON_STRING && s->message_len == 0) {
		take_text(v, s->message, sizeof(s->message));
		s->message_len = strlen(s->message);
	}
}

static void
first_reason(struct said *s, const struct json_span *list, const char *name)
{
	struct json_iter it;
	struct json_span first, v;

	if (list->type != JSON_ARRAY)
		return;
	json_iter_init(&it, list);
	if (!json_next_element(&it, &first) || first.type != JSON_OBJECT)
		return;
	v = json_member(&first, name);
	take_text(&v, s->reason, sizeof(s->reason));
	v = json_member(&first, "detail");
	take_message(s, &v);
	v = json_member(&first, "title");
	take_message(s, &v);
}

/* {"error":{"code":…,"message":…,"errors":[{"reason":…}],"status":…}} and
 * {"error":{"code":…,"error_subcode":…,"is_transient":…}}. */
static void
error_object(struct said *s, const struct json_span *error)
{
	struct json_span v = json_member(error, "message");
	size_t n;

	take_message(s, &v);
	v = json_member(error, "code");
	json_i64(&v, &s->code);
	v = json_member(error, "is_transient");
	s->transient = v.type == JSON_TRUE;
	v = json_member(error, "errors");
	first_reason(s, &v, "reason");
	v = json_member(error, "status");
	if (s->reason[0] == '\0')
		take_text(&v, s->reason, sizeof(s->reason));
	v = json_member(error, "code");
	if (s->reason[0] == '\0')
		take_text(&v, s->reason, sizeof(s->reason));
	v = json_member(error, "error_subcode");
	n = strlen(s->reason);
	if (v.type == JSON_NUMBER && n < 20)
		snprintf(s->reason + n, sizeof(s->reason) - n, "/%.*s",
		    v.len < 20 ? (int)v.len : 20, v.p);
}

static void
hear(struct said *s, const struct http_answer *a)
{
	struct json_span root, v, text;
	struct json_error e;
	const char *p;
	size_t n;

	memset(s, 0, sizeof(*s));
	p = a->body != NULL ? spool_memory(a->body, &n) : NULL;
	if (p == NULL || n > SNIFF_MAX || !json_check(p, n, true, &e))
		return;
	root = json_value(p);
	v = json_member(&root, "error");
	if (v.type == JSON_OBJECT) {
		s->is_error = true;
		error_object(s, &v);
	} else if (v.type == JSON_STRING) {
		s->is_error = true;
		take_text(&v, s->reason, sizeof(s->reason));
		text = json_member(&root, "error_description");
		take_message(s, &text);
	} else if (a->status >= 300) {
		v = json_member(&root, "errors");
		first_reason(s, &v, "code");
	}
}

static bool
one_of(const char *word, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcmp(word, *list) == 0)
			return true;
	return false;
}

/* The first byte that is no blank is one of HTML or another text. */
static bool
is_html(const struct http_answer *a)
{
	char head[64];
	ssize_t n;

	if (a->body == NULL)
		return false;
	spool_rewind(a->body);
	n = spool_read(a->body, head, sizeof(head));
	spool_rewind(a->body);
	for (ssize_t i = 0; i < n; i++)
		if (strchr(" \t\r\n\xef\xbb\xbf", head[i]) == NULL)
			return head[i] == '<';
	return false;
}

static enum verdict
by_status(const struct http_answer *a, const struct said *s, int status)
{
	static const char *const rate[] = {"rateLimitExceeded",
	    "userRateLimitExceeded", "jobRateLimitExceeded",
	    "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "backendError",
	    "quotaExceeded", NULL};
	static const char *const passing[] = {"tableUnavailable",
	    "backendError", "internalError", "timeout", NULL};

	if (status < 300)
		return HTTP_OK;
	switch (status) {
	case 401:
		return HTTP_REAUTH;
	case 403:
		return one_of(s->reason, rate) ? HTTP_RETRY : HTTP_AUTH;
	case 407:
		return HTTP_CONFIG;
	case 408:
	case 429:
		return HTTP_RETRY;
	case 400:
		if (one_of(s->reason, passing) ||
		    strstr(s->message, "not writable in the region") != NULL)
			return HTTP_RETRY;
		return HTTP_CONTRACT;
	case 501:
	case 505:
		return HTTP_CONTRACT;
	}
	(void)a;
	return status >= 500 ? HTTP_RETRY : HTTP_CONTRACT;
}

static void
explain(struct http_judgement *out, const struct http_answer *a,
    const struct said *s)
{
	char quoted[DIAG_QUOTE];

	snprintf(out->reason, sizeof(out->reason), "%s", s->reason);
	if (s->message_len > 0)
		snprintf(out->why, sizeof(out->why), "status %d: %.200s",
		    a->status, diag_quote(quoted, s->message, s->message_len));
	else if (s->reason[0] != '\0')
		snprintf(out->why, sizeof(out->why), "status %d: %.200s",
		    a->status,
		    diag_quote(quoted, s->reason, strlen(s->reason)));
	else if (a->status >= 300 && a->status < 400)
		snprintf(out->why, sizeof(out->why),
		    "status %d: redirects are not followed", a->status);
	else
		snprintf(out->why, sizeof(out->why), "status %d", a->status);
}

enum verdict
http_judge(const struct http_answer *a, struct http_judgement *out)
{
	struct said s;
	enum verdict v;
	int status = a->status;

	hear(&s, a);
	explain(out, a, &s);
	out->wait_ms = retry_after_ms(a);
	if (status < 300 && s.is_error) {
		if (s.code >= 400 && s.code < 600)
			status = (int)s.code;
		else if (!s.transient)
			return HTTP_CONTRACT;
	}
	if (status < 300 && !s.is_error && is_html(a)) {
		snprintf(out->why, sizeof(out->why),
		    "status %d with HTML where data should be", a->status);
		out->rc = RC_CONTRACT;
		return a->odd == 0 ? HTTP_RETRY : HTTP_CONTRACT;
	}
	v = s.transient ? HTTP_RETRY : by_status(a, &s, status);
	if (v == HTTP_RETRY && strcmp(s.reason, "quotaExceeded") == 0)
		out->wait_ms = INT64_MAX; /* a long window: the next run */
	return v;
}
