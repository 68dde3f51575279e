/* The session: place, credentials, and one call. */
#include "bq.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bq_impl.h"
#include "diag.h"
#include "exits.h"
#include "google.h"
#include "mem.h"
#include "stats.h"
#include "sys.h"

#define ANSWER_MAX (64u << 20)
#define BLOCK (64u << 10)
#define DEFAULT_MAX_BYTES (UINT64_C(10) << 30)

enum { JOB_TIMEOUT_S = 3600, WHY_MAX = 4096 };

struct bq *
bq_open(const char *tool_and_version)
{
	struct bq *b = xcalloc(1, sizeof *b);

	b->http = http_open(tool_and_version);
	b->max_bytes = DEFAULT_MAX_BYTES;
	b->job_timeout_s = JOB_TIMEOUT_S;
	buf_init(&b->why, WHY_MAX);
	return b;
}

void
bq_close(struct bq *b)
{
	if (b == NULL)
		return;
	if (b->jobs > 0) {
		stats_add("jobs", b->jobs);
		stats_add("job_retries", b->job_retries);
		stats_add("bytes_processed", b->bytes_processed);
		stats_add("bytes_billed", b->bytes_billed);
	}
	http_close(b->http);
	google_auth_close(b->auth);
	buf_release(&b->why);
	free(b->own_base);
	free(b->url);
	free(b->upload_url);
	free(b);
}

struct http *
bq_http(struct bq *b)
{
	return b->http;
}

const char *
bq_project(const struct bq *b)
{
	return b->project;
}

const char *
bq_core(const struct bq *b)
{
	return b->core;
}

const char *
bq_ops(const struct bq *b)
{
	return b->ops;
}

const char *
bq_location(const struct bq *b)
{
	return b->location;
}

const char *
bq_declared(const struct bq *b)
{
	return b->declared;
}

uint64_t
bq_max_bytes(const struct bq *b)
{
	return b->max_bytes;
}

void
bq_totals(
    const struct bq *b, uint64_t *jobs, uint64_t *processed, uint64_t *billed)
{
	*jobs = b->jobs;
	*processed = b->bytes_processed;
	*billed = b->bytes_billed;
}

const char *
bq_url(const struct bq *b)
{
	return b->url;
}

const char *
bq_upload_url(const struct bq *b)
{
	return b->upload_url;
}

bool
bq_checking(const struct bq *b)
{
	return b->check;
}

void
bq_pause(struct bq *b, int64_t ms)
{
	http_pause(b->http, ms);
}

const char *
bq_why(const struct bq *b)
{
	return b->why.len == 0 ? "" : b->why.p; /* ended by bq_fail */
}

int
bq_fail(struct bq *b, int rc, const char *fmt, ...)
{
	char text[WHY_MAX / 2];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	buf_reset(&b->why);
	buf_str(&b->why, text);
	buf_cstr(&b->why);
	return rc;
}

/* ---- answers ---- */

uint64_t
bq_u64(const struct json_span *object, const char *name)
{
	struct json_span v;
	int64_t n;

	if (object->type != JSON_OBJECT)
		return 0;
	v = json_member(object, name);
	return json_i64(&v, &n) && n > 0 ? (uint64_t)n : 0;
}

void
bq_text(
    const struct json_span *object, const char *name, char *dst, size_t room)
{
	struct json_span v = {0};
	struct buf text = BUF_INIT(1u << 20);

	if (object->type == JSON_OBJECT)
		v = json_member(object, name);
	if (v.type == JSON_STRING)
		json_decode_buf(&v, &text);
	snprintf(dst, room, "%s", buf_cstr(&text));
	buf_release(&text);
}

static int
read_body(struct bq *b, struct http_answer *a, struct bq_reply *r)
{
	struct json_error e;
	ssize_t n = 1;

	spool_rewind(a->body);
	while (n > 0) {
		if (!buf_room(&r->text, BLOCK))
			return bq_fail(
			    b, RC_CONTRACT, "the answer is too large");
		n = spool_read(a->body, r->text.p + r->text.len, BLOCK);
		if (n < 0)
			return bq_fail(b, RC_IO, "cannot read the answer back");
		r->text.len += (size_t)n;
	}
	if (r->text.len == 0)
		return RC_OK;
	if (!json_check(r->text.p, r->text.len, true, &e))
		return bq_fail(b, RC_CONTRACT,
		    "the answer is no JSON: byte %zu: %s", e.byte, e.reason);
	buf_grow(&r->text, JSON_PAD);
	r->root = json_value(buf_cstr(&r->text));
	return RC_OK;
}

int
bq_reply_take(struct bq *b, struct http_answer *a, struct bq_reply *r)
{
	*r = (struct bq_reply){.verdict = a->verdict,
	    .rc = a->rc,
	    .status = a->status,
	    .tries = (int)a->tries};
	buf_init(&r->text, ANSWER_MAX);
	snprintf(r->why, sizeof r->why, "%s", a->why);
	snprintf(r->reason, sizeof r->reason, "%s", a->reason);
	if (a->verdict == HTTP_OK) {
		r->rc = read_body(b, a, r);
		if (r->rc != RC_OK) {
			r->verdict = HTTP_CONTRACT;
			snprintf(r->why, sizeof r->why, "%.200s", bq_why(b));
		}
		return r->rc;
	}
	if (r->rc == RC_OK)
		r->rc = RC_CONTRACT;
	return bq_fail(b, r->rc, "%s", r->why);
}

void
bq_reply_release(struct bq_reply *r)
{
	buf_release(&r->text);
	r->root = (struct json_span){0};
}

int
bq_call(struct bq *b, const char *method, const char *path,
    const struct buf *body, struct bq_reply *r)
{
	static const char *const json[] = {
	    "Content-Type: application/json; charset=UTF-8", NULL};
	struct buf url = BUF_INIT(64u << 10);
	struct http_request q = {.method = method,
	    .judge = google_judge,
	    .json = strcmp(method, "DELETE") != 0};
	struct http_answer *a;
	int rc;

	buf_str(&url, b->url);
	buf_str(&url, path);
	url_param(&url, "prettyPrint", "false");
	q.url = buf_cstr(&url);
	if (body != NULL) {
		q.headers = json;
		q.body = body->p;
		q.body_len = body->len;
	}
	a = http_do(b->http, &q);
	rc = bq_reply_take(b, a, r);
	http_done(b->http, a);
	buf_release(&url);
	return rc;
}

/* ---- the place ---- */

void
bq_add_location(const struct bq *b, struct buf *path)
{
	if (*b->location != '\0')
		url_param(path, "location", b->location);
}

static bool
european(const char *place)
{
	return strncasecmp(place, "EU", 3) == 0 ||
	       strncasecmp(place, "europe-", 7) == 0;
}

/* The words for a dataset that lies elsewhere than it was said to. */
static int
misplaced(const char *dataset, const char *place, const char *declared)
{
	if (european(declared) && !european(place))
		warn_msg(dataset,
		    "lies in %s, and %s was declared: data must not leave the "
		    "EU",
		    place, declared);
	else
		warn_msg(dataset, "lies in %s, and %s was declared (%s)", place,
		    declared, "see --location");
	return RC_CONFIG;
}

/* What to do about a dataset that cannot be read. */
static int
no_dataset(struct bq *b, const char *dataset, const struct bq_reply *r)
{
	if (r->verdict == HTTP_GONE) {
		warn_msg(dataset,
		    "%s has no such dataset (see bq-load --setup): %s",
		    b->project, r->why);
		return RC_CONFIG;
	}
	if (r->rc == RC_AUTH && r->status == 403)
		warn_msg(dataset,
		    "%s; the right bigquery.datasets.get is needed: grant "
		    "BigQuery Data Viewer or Data Editor on the dataset",
		    r->why);
	else
		warn_msg(dataset, "%s", r->why);
	return r->rc;
}

/* place: where it lies, "" where it is not there and need not be. */
static int
locate(struct bq *b, const char *dataset, bool optional, char place[64])
{
	char made[32];
	size_t n = strlen(b->born);
	struct bq_reply r;
	struct buf path = BUF_INIT(4096);
	int rc;

	*place = '\0';
	buf_fmt(&path, "/datasets/%s", dataset);
	rc = bq_call(b, "GET", buf_cstr(&path), NULL, &r);
	if (r.verdict == HTTP_GONE && optional) {
		b->absent = true;
		rc = RC_OK;
	} else if (rc != RC_OK) {
		rc = no_dataset(b, dataset, &r);
	} else {
		bq_text(&r.root, "location", place, 64);
		bq_text(&r.root, "creationTime", made, sizeof made);
		snprintf(b->born + n, sizeof b->born - n, "%s/", made);
		/* an emulator's dataset may lie nowhere */
		if (*place == '\0' && !b->no_auth) {
			warn_msg(dataset, "the answer names no location");
			rc = RC_CONTRACT;
		}
	}
	bq_reply_release(&r);
	buf_release(&path);
	return rc;
}

static int
settle_place(struct bq *b, unsigned flags)
{
	bool optional = (flags & BQ_NEW) != 0 ||
			((flags & BQ_ELSEWHERE) != 0 && *b->declared != '\0');
	char core[64], ops[64];
	int rc;

	*b->born = '\0';
	b->absent = false;
	b->flags = flags;
	rc = locate(b, b->core, optional, core);

	*ops = '\0';
	if (rc == RC_OK && (flags & BQ_OPS) != 0)
		rc = locate(b, b->ops, optional, ops);
	if (rc != RC_OK)
		return rc;
	if (*core != '\0' && *ops != '\0' && strcasecmp(core, ops) != 0) {
		warn_msg(b->ops,
		    "lies in %s, and %s in %s: they must be together", ops,
		    b->core, core);
		return RC_CONFIG;
	}
	if (*b->declared != '\0' && *core != '\0' &&
	    strcasecmp(core, b->declared) != 0)
		return misplaced(b->core, core, b->declared);
	if (*b->declared != '\0' && *ops != '\0' &&
	    strcasecmp(ops, b->declared) != 0)
		return misplaced(b->ops, ops, b->declared);
	snprintf(b->location, sizeof b->location, "%s",
	    *core != '\0'  ? core
	    : *ops != '\0' ? ops
			   : b->declared);
	return RC_OK;
}

const char *
bq_born(struct bq *b)
{
	/* those that were to be made are there now */
	if (b->absent && (b->flags & BQ_NEW) != 0 &&
	    settle_place(b, b->flags) != RC_OK)
		b->absent = true;
	return b->born;
}

static int
sign_in(struct bq *b)
{
	int rc;

	if (b->no_auth)
		return RC_OK;
	sys_guard();
	rc = google_auth_open(&b->auth, b->http, b->credentials, BQ_SCOPE,
	    b->impersonate, b->token_url);
	if (rc == RC_OK)
		http_auth(b->http, google_sign, b->auth);
	return rc;
}

int
bq_start(struct bq *b, unsigned flags)
{
	struct buf name = BUF_INIT(4096);
	int rc;

	if ((rc = http_start(b->http)) != RC_OK || (rc = sign_in(b)) != RC_OK ||
	    (rc = bq_complete(b)) != RC_OK ||
	    (rc = url_check_base(b->http, "--bigquery-url", b->base)) != RC_OK)
		return rc;
	url_escape(&name, b->project, strlen(b->project));
	b->url =
	    xasprintf("%s/bigquery/v2/projects/%s", b->base, buf_cstr(&name));
	b->upload_url = xasprintf(
	    "%s/upload/bigquery/v2/projects/%s", b->base, buf_cstr(&name));
	buf_release(&name);
	return settle_place(b, flags);
}

int
bq_check(struct bq *b)
{
	struct bq_query q = {.sql = "SELECT 1"};
	struct bq_estimate e;
	int rc = bq_dry_run(b, &q, &e);

	if (rc == RC_AUTH)
		warn_msg("--check",
		    "%s; the right bigquery.jobs.create is needed: grant "
		    "BigQuery Job User on the project",
		    bq_why(b));
	else if (rc != RC_OK)
		warn_msg("--check", "%s", bq_why(b));
	else
		warn_msg("--check", "%s; project %s, dataset %s in %s",
		    b->auth == NULL ? "no credentials"
				    : google_auth_who(b->auth),
		    b->project, b->core,
		    *b->location == '\0' ? "no place yet" : b->location);
	return rc;
}
