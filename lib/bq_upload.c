#include "bq_upload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "google.h"
#include "mem.h"
#include "spool.h"
#include "sys.h"

enum {
	PACK_LEVEL = 1, /* fast: the network is the slower part */
	ONE_REQUEST = 5 << 20,
	PIECE = 8 << 20, /* all but the last are multiples of 256 KiB */
	SESSIONS_MAX = 3,
	STATE_MAX = 64 << 10,
	JOB_MAX = 16 << 20,
	WAIT_MS = 1000,
	WAIT_MAX_MS = 64000,
};

/* ---- packing ---- */

int
bq_pack_begin(struct bq_pack *p, bool gzip)
{
	*p = (struct bq_pack){.fd = spool_file()};
	if (p->fd < 0) {
		warn_sys("$TMPDIR", "cannot make a file for the rows");
		return RC_CANTCREAT;
	}
	p->sum_plain = sha256_new();
	p->sum_packed = sha256_new();
	out_init(&p->out, p->fd, "the rows' file", 0);
	if (gzip)
		out_gzip(&p->out, PACK_LEVEL);
	p->out.sum_plain = p->sum_plain;
	p->out.sum_packed = p->sum_packed;
	p->open = true;
	return RC_OK;
}

void
bq_pack_row(struct bq_pack *p, const char *text, size_t len)
{
	out_record(&p->out, text, len);
	p->rows++;
}

static void
end_sum(struct sha256 **sum, char hex[SHA_HEX + 1])
{
	unsigned char d[SHA_LEN];

	if (*sum == NULL)
		return;
	sha256_end(*sum, d);
	sha_hex(d, hex);
	*sum = NULL;
}

int
bq_pack_end(struct bq_pack *p)
{
	int rc = out_close(&p->out);

	p->open = false;
	p->size = p->out.written;
	end_sum(&p->sum_plain, p->plain);
	end_sum(&p->sum_packed, p->packed);
	return rc;
}

void
bq_pack_drop(struct bq_pack *p)
{
	if (p->open)
		out_drop(&p->out);
	end_sum(&p->sum_plain, p->plain);
	end_sum(&p->sum_packed, p->packed);
	if (p->fd > 0)
		close(p->fd);
	*p = (struct bq_pack){0};
}

/* Bytes of the pack into p; false: errno. */
static bool
read_pack(const struct bq_pack *pack, uint64_t at, char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = pread(pack->fd, p, n, (off_t)at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k == 0)
			errno = EIO; /* the file is ours and not shorter */
		if (k <= 0)
			return false;
		p += k;
		at += (uint64_t)k;
		n -= (size_t)k;
	}
	return true;
}

/* ---- the session of an upload ---- */

struct upload {
	struct bq *b;
	const struct bq_load *l;
	const char *id;
	const struct buf *job;
	int dirfd;     /* -1: no sessions are kept */
	char *name;    /* of the state file */
	char *session; /* its URL, a secret; NULL: none is open */
	uint64_t at;   /* what is there */
	char *piece;
	unsigned lost; /* answers in a row that brought nothing on */
};

static void
unable(struct upload *u, struct bq_reply *r, int rc, const char *what)
{
	*r = (struct bq_reply){.verdict = HTTP_CONTRACT, .rc = rc};
	buf_init(&r->text, JOB_MAX);
	snprintf(r->why, sizeof r->why, "%s", what);
	bq_fail(u->b, rc, "%s", what);
}

static bool
open_state(struct upload *u, struct bq_reply *r)
{
	const char *home = getenv("WEIR_HOME");
	int fd;

	if (u->l->state != NULL) {
		u->dirfd = dir_open(u->l->state, true, true);
	} else {
		fd = dir_open(
		    home != NULL && *home != '\0' ? home : "./var", true, true);
		u->dirfd = fd < 0 ? -1 : dir_open_at(fd, "bq", true);
		if (fd >= 0)
			close(fd);
	}
	if (u->dirfd >= 0)
		return true;
	unable(u, r, RC_CANTCREAT, "no directory for the session (--state)");
	return false;
}

static void
set_session(struct upload *u, const char *url)
{
	if (u->session != NULL) {
		diag_forget(u->session);
		explicit_bzero(u->session, strlen(u->session));
		free(u->session);
	}
	u->session = url == NULL ? NULL : xstrdup(url);
	if (u->session != NULL)
		diag_secret(u->session, strlen(u->session));
	u->at = 0;
}

static void
forget_session(struct upload *u)
{
	set_session(u, NULL);
	if (u->dirfd >= 0 && unlinkat(u->dirfd, u->name, 0) == 0)
		dir_sync(u->dirfd);
}

static void
write_state(const struct upload *u, struct buf *out)
{
	struct jsonw w;

	jsonw_begin(&w, out, '{');
	jsonw_str(&w, "job", u->id);
	jsonw_str(&w, "sha256", u->l->pack->packed);
	jsonw_u64(&w, "size", u->l->pack->size);
	jsonw_str(&w, "session", u->session);
	jsonw_end(&w);
	buf_char(out, '\n');
}

static int
keep_session(struct upload *u)
{
	struct buf text = BUF_INIT(STATE_MAX);
	struct afile a;
	int rc = afile_open_at(&a, u->dirfd, u->name);

	if (rc == RC_OK) {
		write_state(u, &text);
		if (sys_write_all(a.fd, text.p, text.len) < 0) {
			warn_sys(u->name, "cannot keep the session");
			afile_drop(&a);
			rc = RC_IO;
		} else {
			rc = afile_commit(&a, 0600);
		}
	}
	if (text.p != NULL)
		explicit_bzero(text.p, text.len);
	buf_release(&text);
	return rc;
}

/* Is it a URL of the service that we were told to use? The token goes there. */
static bool
trusted(const struct bq *b, const char *url)
{
	static const char google[] = ".googleapis.com";
	const char *own = bq_upload_url(b), *host = strstr(own, "://");
	size_t n, tail = sizeof google - 1;

	if (host == NULL)
		return false;
	n = (size_t)(host - own) + 3 + strcspn(host + 3, "/");
	if (strncmp(own, url, n) == 0 && url[n] == '/')
		return true;
	/* Google hands out sessions on another of its hosts */
	if (n <= 8 + tail || strncmp(own, "https://", 8) != 0 ||
	    memcmp(own + n - tail, google, tail) != 0 ||
	    strncmp(url, "https://", 8) != 0)
		return false;
	n = strcspn(url + 8, "/:@?#");
	return n > tail && url[8 + n] == '/' &&
	       memcmp(url + 8 + n - tail, google, tail) == 0;
}

/* The session of a process that was killed, where it had the same bytes. */
static void
find_session(struct upload *u)
{
	struct json_span root, job, sum, url;
	struct buf text = BUF_INIT(STATE_MAX), found = BUF_INIT(STATE_MAX);
	struct json_error e;
	int fd = file_open_state(u->dirfd, u->name, 0);
	ssize_t n = 1;

	while (fd >= 0 && n > 0 && buf_room(&text, 4096)) {
		n = read(fd, text.p + text.len, 4096);
		text.len += n > 0 ? (size_t)n : 0;
	}
	if (fd >= 0)
		close(fd);
	if (text.len > 0 && json_check(text.p, text.len, true, &e)) {
		buf_grow(&text, JSON_PAD);
		root = json_value(buf_cstr(&text));
		job = json_member(&root, "job");
		sum = json_member(&root, "sha256");
		url = json_member(&root, "session");
		if (job.type == JSON_STRING && sum.type == JSON_STRING &&
		    url.type == JSON_STRING &&
		    json_is(&job, u->id, strlen(u->id)) &&
		    json_is(&sum, u->l->pack->packed, SHA_HEX))
			json_decode_buf(&url, &found);
	}
	if (found.len > 0 && trusted(u->b, buf_cstr(&found)))
		set_session(u, found.p);
	if (found.p != NULL)
		explicit_bzero(found.p, found.len);
	if (text.p != NULL)
		explicit_bzero(text.p, text.len);
	buf_release(&found);
	buf_release(&text);
}

/* Opens a session. False: r says why there is none. */
static bool
begin_session(struct upload *u, struct bq_reply *r)
{
	static const char *const headers[] = {
	    "Content-Type: application/json; charset=UTF-8",
	    "X-Upload-Content-Type: application/octet-stream", NULL, NULL};
	const char *with[4];
	char length[64];
	struct http_request q = {.method = "POST",
	    .headers = with,
	    .body = u->job->p,
	    .body_len = u->job->len,
	    .unrecorded = true,
	    .judge = google_judge};
	struct http_answer *a;
	char *url = xasprintf("%s/jobs?uploadType=resumable&prettyPrint=false",
	    bq_upload_url(u->b));
	bool good = false;

	memcpy(with, headers, sizeof with);
	snprintf(length, sizeof length, "X-Upload-Content-Length: %" PRIu64,
	    u->l->pack->size);
	with[2] = length;
	q.url = url;
	a = http_do(bq_http(u->b), &q);
	if (a->verdict != HTTP_OK) {
		bq_reply_take(u->b, a, r);
	} else if (*a->location == '\0' || !trusted(u->b, a->location)) {
		unable(u, r, RC_CONTRACT,
		    "the session of the upload is nowhere, or elsewhere than "
		    "the service");
	} else {
		set_session(u, a->location);
		good = keep_session(u) == RC_OK;
		if (!good)
			unable(u, r, RC_IO, "cannot keep the upload's session");
	}
	http_done(bq_http(u->b), a);
	free(url);
	return good;
}

static enum verdict
judge_piece(void *ctx, const struct http_answer *a, struct http_judgement *out)
{
	if (a->status == 308)
		return HTTP_OK;
	if (a->status == 410)
		return HTTP_GONE;
	return google_judge(ctx, a, out);
}

/* Sends n bytes from u->at on; none asks what is there. */
static struct http_answer *
put(struct upload *u, size_t n)
{
	char range[96];
	const char *const headers[] = {
	    range, "Content-Type: application/octet-stream", NULL};
	struct http_request q = {.method = "PUT",
	    .url = u->session,
	    .headers = headers,
	    .body = u->piece,
	    .body_len = n,
	    .unrecorded = true,
	    .once = true, /* what is there is asked before */
	    .judge = judge_piece};

	if (n > 0)
		snprintf(range, sizeof range,
		    "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
		    u->at, u->at + n - 1, u->l->pack->size);
	else
		snprintf(range, sizeof range, "Content-Range: bytes */%" PRIu64,
		    u->l->pack->size);
	return http_do(bq_http(u->b), &q);
}

/* What a 308 says is there; false: it makes no sense. */
static bool
take_range(struct upload *u, const char *range)
{
	uint64_t last, was = u->at;
	char more;

	if (*range == '\0')
		u->at = 0;
	else if (sscanf(range, "bytes=0-%" SCNu64 "%c", &last, &more) == 1 ||
		 sscanf(range, "0-%" SCNu64 "%c", &last, &more) == 1)
		u->at = last < u->l->pack->size ? last + 1 : UINT64_MAX;
	else
		return false;
	if (u->at > was)
		u->lost = 0;
	return u->at <= u->l->pack->size;
}

static void
wait_a_while(struct upload *u)
{
	unsigned n = u->lost < 7 ? u->lost : 7;
	int64_t top = (int64_t)WAIT_MS << (n > 0 ? n - 1 : 0);
	uint32_t dice;

	sys_random(&dice, sizeof dice);
	if (top > WAIT_MAX_MS)
		top = WAIT_MAX_MS;
	bq_pause(u->b, (int64_t)(dice % (uint32_t)(top + 1)));
}

enum step { GO_ON, ASK, AGAIN, OVER };

/* What an answer means, to a piece or to the question what is there; OVER: it
 * is in the reply. */
static enum step
take_answer(
    struct upload *u, bool asked, struct http_answer *a, struct bq_reply *r)
{
	uint64_t was = u->at;

	if (a->verdict == HTTP_OK && a->status == 308) {
		if (!take_range(u, a->range)) {
			unable(u, r, RC_CONTRACT,
			    "the upload's answer names no range of ours");
			return OVER;
		}
		if (u->at < u->l->pack->size && (asked || u->at > was))
			return GO_ON;
		u->lost++; /* all is there and no job yet, or nothing came on */
	} else if (a->verdict == HTTP_GONE) {
		return AGAIN;
	} else if (a->verdict == HTTP_RETRY) {
		u->lost++;
	} else {
		bq_reply_take(u->b, a, r);
		if (r->verdict == HTTP_CONTRACT && a->status < 300)
			r->verdict = HTTP_RETRY; /* the job may be there */
		return OVER;
	}
	if (u->lost < http_tries(bq_http(u->b)) && sig_pending() == 0)
		return ASK;
	bq_reply_take(u->b, a, r);
	r->verdict = HTTP_RETRY;
	r->rc = RC_TRANSIENT;
	return OVER;
}

/* Sends the pieces of a session. AGAIN: it is gone. */
static enum step
send_pieces(struct upload *u, bool found, struct bq_reply *r)
{
	enum step next = found ? ASK : GO_ON;

	while (next == GO_ON || next == ASK) {
		uint64_t left = u->l->pack->size - u->at;
		size_t n = left < PIECE ? (size_t)left : PIECE;
		struct http_answer *a;

		if (next == ASK && u->lost > 0)
			wait_a_while(u);
		if (next == ASK)
			n = 0;
		if (!read_pack(u->l->pack, u->at, u->piece, n)) {
			unable(u, r, RC_IO, "cannot read the rows back");
			return OVER;
		}
		a = put(u, n);
		next = take_answer(u, n == 0, a, r);
		http_done(bq_http(u->b), a);
	}
	return next;
}

static void
resumable(struct upload *u, struct bq_reply *r)
{
	enum step end = AGAIN;

	if (!open_state(u, r))
		return;
	u->piece = xmalloc(PIECE);
	find_session(u);
	for (unsigned i = 0; end == AGAIN && i < SESSIONS_MAX; i++) {
		bool found = u->session != NULL;

		u->lost = 0;
		if (!found && !begin_session(u, r))
			break;
		end = send_pieces(u, found, r);
		if (end == AGAIN || r->verdict != HTTP_RETRY)
			forget_session(u);
		if (end == AGAIN && i + 1 == SESSIONS_MAX)
			unable(u, r, RC_TRANSIENT,
			    "the upload's session was gone, again and again");
	}
	set_session(u, NULL);
	free(u->piece);
	close(u->dirfd);
}

/* Below 5 MiB: the job and the rows in one body. */
static void
one_request(struct upload *u, struct bq_reply *r)
{
	const struct bq_pack *p = u->l->pack;
	struct buf body = BUF_INIT(JOB_MAX);
	char mark[SHA_HEX + 1], type[128];
	const char *const headers[] = {type, NULL};
	struct http_request q = {
	    .method = "POST", .headers = headers, .judge = google_judge};
	struct http_answer *a;
	char *url = xasprintf("%s/jobs?uploadType=multipart&prettyPrint=false",
	    bq_upload_url(u->b));

	/* a digest of the bytes cannot be in them */
	memcpy(mark, p->packed, sizeof mark);
	snprintf(type, sizeof type,
	    "Content-Type: multipart/related; boundary=%s", mark);
	buf_fmt(&body,
	    "--%s\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n",
	    mark);
	buf_add(&body, u->job->p, u->job->len);
	buf_fmt(&body,
	    "\r\n--%s\r\ncontent-type: application/octet-stream\r\n\r\n", mark);
	if (!buf_room(&body, p->size + 128) ||
	    !read_pack(p, 0, body.p + body.len, p->size)) {
		unable(u, r, RC_IO, "cannot read the rows back");
	} else {
		body.len += p->size;
		buf_fmt(&body, "\r\n--%s--\r\n", mark);
		q.url = url;
		q.body = body.p;
		q.body_len = body.len;
		a = http_do(bq_http(u->b), &q);
		bq_reply_take(u->b, a, r);
		if (r->verdict == HTTP_CONTRACT && a->status < 300)
			r->verdict = HTTP_RETRY; /* the job may be there */
		http_done(bq_http(u->b), a);
	}
	buf_release(&body);
	free(url);
}

static void
upload(struct bq *b, void *ctx, const char *id, const struct buf *job,
    struct bq_reply *r)
{
	struct upload u = {.b = b, .l = ctx, .id = id, .job = job, .dirfd = -1};

	u.name = xasprintf("%s.session", id);
	if (u.l->pack->size < ONE_REQUEST)
		one_request(&u, r);
	else
		resumable(&u, r);
	free(u.name);
}

static void
configure(struct bq *b, const struct bq_load *l, struct buf *out)
{
	struct jsonw w, load, to;

	jsonw_begin(&w, out, '{');
	jsonw_open(&w, "load", &load, '{');
	jsonw_open(&load, "destinationTable", &to, '{');
	jsonw_str(&to, "projectId", bq_project(b));
	jsonw_str(&to, "datasetId", l->dataset);
	jsonw_str(&to, "tableId", l->table);
	jsonw_end(&to);
	jsonw_str(&load, "sourceFormat", "NEWLINE_DELIMITED_JSON");
	jsonw_open(&load, "schema", &to, '{');
	jsonw_raw(&to, "fields", l->schema->p, l->schema->len);
	jsonw_end(&to);
	jsonw_str(&load, "writeDisposition", "WRITE_TRUNCATE");
	jsonw_str(&load, "createDisposition", "CREATE_NEVER");
	jsonw_i64(&load, "maxBadRecords", 0);
	jsonw_bool(&load, "ignoreUnknownValues", false);
	jsonw_bool(&load, "autodetect", false);
	jsonw_str(&load, "encoding", "UTF-8");
	jsonw_end(&load);
	jsonw_end(&w);
}

int
bq_load_run(struct bq *b, const struct bq_load *l, struct bq_job *j)
{
	struct buf configuration = BUF_INIT(JOB_MAX);
	struct bq_job_spec spec = {.base = l->base,
	    .configuration = &configuration,
	    .atomic = true,
	    .insert = upload,
	    .ctx = (void *)(uintptr_t)l};
	int rc;

	configure(b, l, &configuration);
	rc = bq_job_run(b, &spec, j);
	buf_release(&configuration);
	if (rc == RC_OK && j->rows != l->pack->rows)
		rc = bq_fail(b, RC_CONTRACT,
		    "%" PRIu64 " rows were sent and %" PRIu64 " loaded",
		    l->pack->rows, j->rows);
	return rc;
}
