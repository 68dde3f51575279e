/*
 * Uploads of BigQuery: multipart and resumable. The bytes go to a temporary
 * file without a name. A session lasts as long as the simulator.
 *
 * Settings: bq_duplicate=first|last (where a used job id is said: at the
 * session's begin, the default, or at its last chunk), bq_short=N (of the first
 * N chunks of a session only the first half is kept), bq_dies=N (a session is
 * gone after N chunks; once), bq_gone=404|410.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "bigquery.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"

#define UNIT 262144

struct session {
	const char *id;
	const char *job;    /* JSON */
	const char *answer; /* once it is done: the Job */
	int fd;
	int64_t have, total; /* total -1: not known yet */
	int64_t chunks;
	bool gone;
	const struct sim_fault *fault;
	struct session *next;
};

static struct session *sessions;
static bool one_died;

static int
spool(void)
{
	const char *dir = getenv("TMPDIR");
	int fd = open(
	    dir == NULL ? "/tmp" : dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char name[] = "/tmp/weir-sim.XXXXXX";

	if (fd >= 0)
		return fd;
	fd = mkostemp(name, O_CLOEXEC);
	if (fd < 0)
		die(RC_CANTCREAT, NULL, "spool: %s", strerror(errno));
	unlink(name);
	return fd;
}

static void
spool_add(int fd, const char *p, size_t n, int64_t at)
{
	while (n > 0) {
		ssize_t put = pwrite(fd, p, n, at);

		if (put < 0)
			die(RC_IO, NULL, "spool: %s", strerror(errno));
		p += put;
		at += put;
		n -= (size_t)put;
	}
}

static bool
plain(const struct sim_request *r, struct sim_answer *a)
{
	const char *coding = sim_header(r, "Content-Encoding");

	if (coding == NULL)
		return true;
	google_error(a, 400, "invalid", "INVALID_ARGUMENT",
	    "Content-Encoding: %s: the bytes are to be sent as they are",
	    coding);
	return false;
}

/* ---- multipart ---- */

struct part {
	const char *type, *p;
	size_t type_len, n;
};

/* The part from *at (after its delimiter) to the next delimiter. */
static const char *
part_read(
    struct part *out, const char **at, const char *end, const char *delimiter)
{
	size_t d = strlen(delimiter);
	const char *p = *at, *stop;

	if (end - p < 2 || memcmp(p, "\r\n", 2) != 0)
		return "no CRLF after a boundary";
	p += 2;
	out->type = NULL;
	for (;;) {
		const char *nl = memmem(p, (size_t)(end - p), "\r\n", 2);

		if (nl == NULL)
			return "a part's header does not end";
		if (nl == p) {
			p += 2;
			break;
		}
		if (nl - p < 13 || strncasecmp(p, "content-type:", 13) != 0)
			return "a part's header is not Content-Type";
		out->type = p + 13 + (p[13] == ' ');
		out->type_len = (size_t)(nl - out->type);
		p = nl + 2;
	}
	if (out->type == NULL)
		return "a part without Content-Type";
	stop = memmem(p, (size_t)(end - p), delimiter, d);
	if (stop == NULL)
		return "no closing boundary";
	out->p = p;
	out->n = (size_t)(stop - p);
	*at = stop + d;
	return NULL;
}

static const char *
parts_read(const struct sim_request *r, struct part *job, struct part *media)
{
	const char *type = sim_header(r, "Content-Type"), *b, *p, *why;
	const char *end = r->body + r->body_len;
	char delimiter[100];
	size_t n;

	if (type == NULL || strncasecmp(type, "multipart/related", 17) != 0 ||
	    (b = strstr(type, "boundary=")) == NULL)
		return "Content-Type: not multipart/related with a boundary";
	b += 9;
	b += *b == '"';
	n = strcspn(b, "\";");
	if (n == 0 || n > 70)
		return "boundary: 1 to 70 characters";
	snprintf(delimiter, sizeof delimiter, "\r\n--%.*s", (int)n, b);
	if (r->body_len < n + 2 || memcmp(r->body, delimiter + 2, n + 2) != 0)
		return "the body does not begin with its boundary";
	p = r->body + n + 2;
	if ((why = part_read(job, &p, end, delimiter)) != NULL ||
	    (why = part_read(media, &p, end, delimiter)) != NULL)
		return why;
	if (end - p < 2 || memcmp(p, "--", 2) != 0)
		return "not two parts";
	p += 2;
	if (p != end && !(end - p == 2 && memcmp(p, "\r\n", 2) == 0))
		return "bytes after the last boundary";
	if (job->type_len < 16 ||
	    strncasecmp(job->type, "application/json", 16) != 0)
		return "the first part is not application/json";
	return NULL;
}

static void
multipart(const struct sim_request *r, struct sim_answer *a)
{
	struct part job = {.p = NULL}, media = {.p = NULL};
	const char *why = parts_read(r, &job, &media);
	int fd;

	if (why != NULL) {
		google_error(a, 400, "badRequest", "INVALID_ARGUMENT",
		    "Malformed multipart body: %s", why);
		return;
	}
	fd = spool();
	spool_add(fd, media.p, media.n, 0);
	if (!bq_job_insert(r, a, job.p, job.n, fd, (int64_t)media.n))
		close(fd);
}

/* ---- resumable ---- */

static void
resumable(const struct sim_request *r, struct sim_answer *a)
{
	const char *type = sim_header(r, "Content-Type");
	const char *media = sim_header(r, "X-Upload-Content-Type");
	const char *length = sim_header(r, "X-Upload-Content-Length");
	bool late = strcmp(sim_setting("bq_duplicate", "first"), "last") == 0;
	struct session *s;

	if (type == NULL || strncasecmp(type, "application/json", 16) != 0 ||
	    media == NULL || strcmp(media, "application/octet-stream") != 0) {
		google_error(a, 400, "badRequest", "INVALID_ARGUMENT",
		    "Content-Type or X-Upload-Content-Type");
		return;
	}
	if (!bq_job_check(r, a, r->body, r->body_len, !late))
		return;
	s = arena_alloc(&bq_forever, sizeof *s);
	s->id = sim_keep(
	    "sess-%016llx", (unsigned long long)sim_hash("session %llu",
				(unsigned long long)sim_count()));
	s->job = arena_strn(&bq_forever, r->body, r->body_len);
	s->fd = spool();
	s->total = length == NULL ? -1 : strtoll(length, NULL, 10);
	s->fault = r->fault;
	s->next = sessions;
	sessions = s;
	sim_add_header(a, "Location",
	    sim_keep("%s/upload/bigquery/v2/projects/%s/jobs?uploadType="
		     "resumable&upload_id=%s",
		sim_base(), google_project(), s->id));
	sim_add_header(a, "X-GUploader-UploadID", s->id);
	a->status = 200;
}

static void
upload(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {BQ_COMMON, "uploadType", NULL};
	const char *type = sim_param(r, "uploadType");

	if (!bq_call(r, a, API_BQ_WRITE, params) || !plain(r, a))
		return;
	if (type != NULL && strcmp(type, "multipart") == 0)
		multipart(r, a);
	else if (type != NULL && strcmp(type, "resumable") == 0)
		resumable(r, a);
	else
		google_error(a, 400, "invalid", "INVALID_ARGUMENT",
		    "uploadType: multipart or resumable");
}

/* Content-Range: bytes S-E/N, S-E/"*", "*"/N, "*"/"*" (no quotes). */
struct range {
	int64_t first, last, total; /* -1 where there is a star */
};

static bool
number(const char **p, int64_t *v)
{
	char *end;

	if (**p == '*') {
		*v = -1;
		(*p)++;
		return true;
	}
	if (**p < '0' || **p > '9')
		return false;
	*v = strtoll(*p, &end, 10);
	*p = end;
	return true;
}

static bool
range_read(const char *p, struct range *g)
{
	if (p == NULL || strncmp(p, "bytes ", 6) != 0)
		return false;
	p += 6;
	if (!number(&p, &g->first))
		return false;
	g->last = -1;
	if (g->first >= 0 &&
	    (*p++ != '-' || !number(&p, &g->last) || g->last < g->first))
		return false;
	return *p++ == '/' && number(&p, &g->total) && *p == '\0';
}

static void
incomplete(struct sim_answer *a, const struct session *s)
{
	a->status = 308;
	if (s->have > 0)
		sim_add_header(a, "Range",
		    sim_keep("bytes=0-%lld", (long long)s->have - 1));
	sim_add_header(a, "X-GUploader-UploadID", s->id);
}

static void
finish(const struct sim_request *r, struct sim_answer *a, struct session *s)
{
	struct sim_request with = *r;

	if (with.fault == NULL || (with.fault->kind != FAULT_JOB_ERROR &&
				      with.fault->kind != FAULT_JOB_WARNING))
		with.fault = s->fault;
	s->total = s->have;
	if (!bq_job_insert(&with, a, s->job, strlen(s->job), s->fd, s->have)) {
		close(s->fd);
		s->gone = true;
	} else {
		s->answer = arena_strn(&bq_forever, a->body.p, a->body.len);
	}
	s->fd = -1;
}

static const char *
chunk_wrong(
    const struct sim_request *r, const struct session *s, const struct range *g)
{
	int64_t n = g->last - g->first + 1;

	if ((int64_t)r->body_len != n)
		return "the body is not as long as Content-Range says";
	if (g->total >= 0 && s->total >= 0 && g->total != s->total)
		return "the total changed";
	if (g->total >= 0 && g->last >= g->total)
		return "the range is past the total";
	if ((g->total < 0 || g->last + 1 < g->total) && n % UNIT != 0)
		return "a chunk that is not the last one is a multiple of "
		       "262144 bytes";
	if (g->first > s->have)
		return "bytes are missing before the range";
	return NULL;
}

static void
take_chunk(struct sim_answer *a, const struct sim_request *r, struct session *s,
    const struct range *g)
{
	const char *why = chunk_wrong(r, s, g);
	int64_t skip = s->have - g->first, n;

	if (why != NULL) {
		google_error(a, 400, "invalid", "INVALID_ARGUMENT",
		    "Invalid request: %s", why);
		return;
	}
	n = (int64_t)r->body_len - skip;
	s->chunks++;
	if (s->chunks <= sim_setting_int("bq_short", 0) && n > UNIT)
		n = (n / 2 + UNIT - 1) / UNIT * UNIT;
	if (n > 0) {
		spool_add(s->fd, r->body + skip, (size_t)n, s->have);
		s->have += n;
	}
	if (g->total >= 0)
		s->total = g->total;
	if (s->total >= 0 && s->have == s->total)
		finish(r, a, s);
	else
		incomplete(a, s);
}

static void
put_upload(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {
	    "uploadType", "upload_id", "fields", "prettyPrint", NULL};
	const char *id = sim_param(r, "upload_id");
	int64_t life = sim_setting_int("bq_dies", 0);
	struct session *s = sessions;
	struct range g;

	if (!bq_call(r, a, API_BQ_WRITE, params) || !plain(r, a))
		return;
	while (s != NULL && (id == NULL || strcmp(s->id, id) != 0))
		s = s->next;
	if (s != NULL && life > 0 && s->chunks >= life && !one_died)
		s->gone = one_died = true;
	if (s == NULL || s->gone) {
		int code = (int)sim_setting_int("bq_gone", 410);

		google_error(a, code, "notFound", "NOT_FOUND",
		    "The upload session is gone.");
	} else if (s->answer != NULL) {
		sim_text(
		    a, 200, "application/json", s->answer, strlen(s->answer));
	} else if (!range_read(sim_header(r, "Content-Range"), &g)) {
		google_error(a, 400, "invalid", "INVALID_ARGUMENT",
		    "Content-Range is missing or not one");
	} else if (g.first < 0) {
		if (r->body_len > 0)
			google_error(a, 400, "invalid", "INVALID_ARGUMENT",
			    "a probe has no body");
		else if (g.total >= 0 && g.total == s->have)
			finish(r, a, s);
		else
			incomplete(a, s);
	} else {
		take_chunk(a, r, s, &g);
	}
}

static const struct sim_route routes[] = {
    {"POST", "/upload/bigquery/v2/projects/?/jobs", upload},
    {"PUT", "/upload/bigquery/v2/projects/?/jobs", put_upload},
    {NULL, NULL, NULL}};
static struct sim_service upload_service = {
    .prefix = "/upload/bigquery/v2/", .routes = routes};
SIM_SERVICE(upload_service);
