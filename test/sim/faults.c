/*
 * Faults by script, one NDJSON object a line:
 *   {"match":"GET /graph/v25.0/act_1","nth":2,"times":1,"do":"status",
 *    "status":429,"headers":{"Retry-After":"1"},"body":"..."}
 * match is a glob over "METHOD /path?query" with a * at its end added; nth
 * counts the requests that match (default 1), times says how many from there
 * on (default 1, 0: all).
 */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "sim.h"

static struct sim_fault *first, **last = &first;

static const struct {
	const char *word;
	enum sim_fault_kind kind;
} kinds[] = {
    {"status", FAULT_STATUS},
    {"body", FAULT_BODY},
    {"html", FAULT_HTML},
    {"headers", FAULT_HEADERS},
    {"reset", FAULT_RESET},
    {"cut", FAULT_CUT},
    {"slow", FAULT_SLOW},
    {"gzip", FAULT_GZIP},
    {"gzipcut", FAULT_GZIPCUT},
    {"bigbody", FAULT_BIGBODY},
    {"bighead", FAULT_BIGHEAD},
    {"expire", FAULT_EXPIRE},
    {"job-error", FAULT_JOB_ERROR},
    {"job-warning", FAULT_JOB_WARNING},
};

static char *
text_of(const struct json_span *v)
{
	char *p = xmalloc(v->len + 1);

	p[json_decode(v, p)] = '\0';
	return p;
}

static int64_t
number(const struct json_span *o, const char *name, int64_t fallback)
{
	struct json_span v = json_member(o, name);
	int64_t n;

	return json_i64(&v, &n) ? n : fallback;
}

static void
take_headers(struct sim_fault *f, const struct json_span *o)
{
	struct json_iter it;
	struct json_span k, v;

	if (o->type != JSON_OBJECT)
		return;
	json_iter_init(&it, o);
	while (json_next_member(&it, &k, &v)) {
		json_decode_buf(&k, &f->headers);
		buf_str(&f->headers, ": ");
		if (v.type == JSON_STRING)
			json_decode_buf(&v, &f->headers);
		else
			buf_add(&f->headers, v.p, v.len);
		buf_char(&f->headers, '\n');
	}
}

static bool
take_body(struct sim_fault *f, const struct json_span *o)
{
	struct json_span v = json_member(o, "body");
	struct json_span file = json_member(o, "file");

	f->has_body = true;
	if (file.type == JSON_STRING) {
		char *name = text_of(&file);
		int rc = file_read(name, 64u << 20, &f->body);

		free(name);
		return rc == RC_OK;
	}
	if (v.type == JSON_STRING)
		json_decode_buf(&v, &f->body);
	else if (v.type != JSON_ABSENT)
		buf_add(&f->body, v.p, v.len);
	else
		f->has_body = false;
	return true;
}

static const char *
take(struct sim_fault *f, const struct json_span *o)
{
	struct json_span match = json_member(o, "match");
	struct json_span what = json_member(o, "do");
	struct json_span headers = json_member(o, "headers");
	char *text;

	if (match.type != JSON_STRING || what.type != JSON_STRING)
		return "match and do are needed";
	text = text_of(&match);
	f->match = xasprintf("%s*", text);
	free(text);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (json_is(&what, kinds[i].word, strlen(kinds[i].word))) {
			f->kind = kinds[i].kind;
			f->word = kinds[i].word;
		}
	}
	if (f->kind == FAULT_NONE)
		return "do: unknown";
	f->nth = (uint64_t)number(o, "nth", 1);
	f->times = (uint64_t)number(o, "times", 1);
	f->status = (int)number(o, "status", 0);
	f->ms = number(o, "ms", 0);
	f->bytes = number(o, "bytes", 0);
	f->size = number(o, "size", 1 << 20);
	f->members = number(o, "members", 1);
	f->keep = number(o, "keep", 50);
	f->gzip = json_member(o, "gzip").type == JSON_TRUE;
	f->reason = "backendError";
	if (json_member(o, "reason").type == JSON_STRING) {
		struct json_span reason = json_member(o, "reason");

		f->reason = text_of(&reason);
	}
	take_headers(f, &headers);
	return take_body(f, o) ? NULL : "file: cannot be read";
}

bool
faults_read(const char *file)
{
	struct buf text = BUF_INIT(64u << 20);
	uint64_t line = 0;
	bool ok = file_read(file, 64u << 20, &text) == RC_OK;

	for (char *p = text.p, *end = text.p + text.len; ok && p < end;) {
		char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = nl == NULL ? (size_t)(end - p) : (size_t)(nl - p);
		struct json_error e = {0, NULL, false};

		line++;
		if (n > 0) {
			struct sim_fault *f = xcalloc(1, sizeof *f);
			struct json_span o = {NULL, 0, 0, 0};
			const char *why;

			buf_init(&f->headers, 8u << 20);
			buf_init(&f->body, 64u << 20);
			if (!json_check(p, n, true, &e)) {
				why = e.reason;
			} else {
				o = json_value(p);
				why = take(f, &o);
			}
			*last = f;
			last = &f->next;
			if (why != NULL) {
				warn_at(file, line, e.byte, "%s", why);
				ok = false;
			}
		}
		p += n + 1;
	}
	buf_release(&text);
	return ok;
}

const struct sim_fault *
faults_hit(const char *what)
{
	const struct sim_fault *hit = NULL;

	for (struct sim_fault *f = first; f != NULL; f = f->next) {
		if (fnmatch(f->match, what, FNM_NOESCAPE) != 0)
			continue;
		f->seen++;
		if (hit == NULL && f->seen >= f->nth &&
		    (f->times == 0 || f->seen < f->nth + f->times))
			hit = f;
	}
	return hit;
}

static void
replace(struct sim_answer *a, const struct buf *body)
{
	buf_reset(&a->body);
	buf_add(&a->body, body->p, body->len);
}

static void
drop_header(struct sim_answer *a, const char *name)
{
	size_t n = strlen(name);

	for (char *p = a->headers.p; p != NULL && a->headers.len > 0;) {
		char *end = a->headers.p + a->headers.len;
		char *nl = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;

		if (nl == NULL)
			return;
		if (strncasecmp(p, name, n) == 0 && p[n] == ':') {
			memmove(p, nl + 1, (size_t)(end - nl - 1));
			a->headers.len -= (size_t)(nl + 1 - p);
		} else {
			p = nl + 1;
		}
	}
}

static void
compress(const struct sim_fault *f, struct sim_answer *a)
{
	struct buf out = BUF_INIT(SIZE_MAX / 2);
	size_t members = f->members < 1 ? 1 : (size_t)f->members;
	size_t at = 0;

	if (a->body.len >= 2 && (unsigned char)a->body.p[0] == 0x1f) {
		buf_add(&out, a->body.p, a->body.len); /* it is one */
	} else {
		sim_add_header(a, "Content-Encoding", "gzip");
		for (size_t i = 1; i <= members; i++) {
			size_t to = a->body.len * i / members;

			sim_gzip(&out, a->body.p + at, to - at);
			at = to;
		}
	}
	if (f->kind == FAULT_GZIPCUT)
		out.len = out.len * (size_t)f->keep / 100;
	replace(a, &out);
	buf_release(&out);
}

static void
grow(const struct sim_fault *f, struct sim_answer *a)
{
	struct buf big = BUF_INIT(SIZE_MAX / 2);
	size_t n = (size_t)f->size;

	if (buf_room(&big, n)) {
		memset(big.p, ' ', n);
		big.len = n;
	}
	buf_reset(&a->body);
	if (f->gzip) {
		sim_gzip(&a->body, big.p, big.len);
		sim_add_header(a, "Content-Encoding", "gzip");
	} else {
		buf_add(&a->body, big.p, big.len);
	}
	buf_release(&big);
}

void
fault_change(const struct sim_fault *f, struct sim_answer *a)
{
	static const char page[] =
	    "<!DOCTYPE html>\n<html><head><title>Sorry</title></head>"
	    "<body><h1>Something went wrong</h1></body></html>\n";

	if (f->kind == FAULT_JOB_ERROR || f->kind == FAULT_JOB_WARNING)
		return; /* the service did it */
	switch (f->kind) {
	case FAULT_STATUS:
	case FAULT_HTML:
		buf_reset(&a->headers);
		a->status = 200;
		buf_reset(&a->body);
		if (f->kind == FAULT_HTML)
			buf_str(&a->body, page);
		sim_add_header(a, "Content-Type",
		    f->kind == FAULT_HTML ? "text/html" : "application/json");
		break;
	case FAULT_GZIP:
	case FAULT_GZIPCUT:
		compress(f, a);
		break;
	case FAULT_BIGBODY:
		grow(f, a);
		break;
	case FAULT_BIGHEAD:
		for (int64_t n = 0; n < f->size; n += 100)
			sim_add_header(a, "X-Filler",
			    "0123456789012345678901234567890123456789"
			    "0123456789012345678901234567890123456789");
		break;
	default:
		break;
	}
	if (f->status != 0)
		a->status = f->status;
	if (f->has_body)
		replace(a, &f->body);
	for (const char *p = f->headers.p, *end = p + f->headers.len;
	     f->headers.len > 0 && p < end;) {
		const char *colon = memchr(p, ':', (size_t)(end - p));
		char *name = xstrndup(p, (size_t)(colon - p));

		drop_header(a, name);
		free(name);
		p = (const char *)memchr(p, '\n', (size_t)(end - p)) + 1;
	}
	buf_add(&a->headers, f->headers.p, f->headers.len);
}
