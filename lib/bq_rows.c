/* The rows of a query's result, page for page, in the form of sqlite-query. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bq_impl.h"
#include "exits.h"
#include "fv.h"
#include "google.h"
#include "mem.h"
#include "page.h"
#include "sys.h"

#define ROW_MAX (64u << 20)
#define BLOCK (128u << 10)
#define LINE_MAX ((size_t)512 << 20)

enum { TOKEN_MAX = 4096, HELD = 256 << 10 };

struct reading {
	struct bq *b;
	struct bq_rows *r;
	const struct bq_job *job;
	struct fv *fv;
	struct spool *page; /* rows of a page until it proved whole */
	struct buf held;
	uint64_t total, rows, in_page;
	char token[TOKEN_MAX];
	int rc; /* of a row */
};

static void
results_path(const struct reading *g, struct buf *path, const char *max)
{
	buf_str(path, "/queries/");
	url_escape(path, g->job->id, strlen(g->job->id));
	if (*g->job->location != '\0')
		url_param(path, "location", g->job->location);
	url_param(path, "maxResults", max);
	url_param(path, "formatOptions.useInt64Timestamp", "true");
}

/* ---- the columns ---- */

static int
take_schema(struct reading *g, const struct json_span *root)
{
	static const int styles[] = {FV_OMIT_NULL, FV_JSON, FV_NUMBER};
	const char *const lists[] = {
	    g->r->omit_null, g->r->json, g->r->numbers};
	struct json_span schema = json_member(root, "schema"), fields = {0};
	char *why = NULL;
	int rc;

	g->r->columns = false;
	if (schema.type == JSON_OBJECT)
		fields = json_member(&schema, "fields");
	if (fields.type != JSON_ARRAY)
		return RC_OK;
	g->fv = fv_new(&fields, NULL, &why);
	if (g->fv != NULL && fv_columns(g->fv) > 0)
		g->r->columns = true;
	if (g->fv != NULL)
		fv_style(g->fv, FV_QUERY, NULL, &why);
	for (int i = 0; g->fv != NULL && g->r->columns && i < 3; i++) {
		if (lists[i] != NULL &&
		    !fv_style(g->fv, styles[i], lists[i], &why)) {
			rc = bq_fail(g->b, RC_USAGE, "%s", why);
			free(why);
			return rc;
		}
	}
	if (g->fv == NULL) {
		rc = bq_fail(g->b, RC_CONTRACT, "the schema: %s", why);
		free(why);
		return rc;
	}
	return RC_OK;
}

/* What the result looks like, and how many rows it has. */
static int
ask_schema(struct reading *g)
{
	struct buf path = BUF_INIT(16384);
	struct json_span done;
	struct bq_reply r;
	int rc;

	results_path(g, &path, "0");
	rc = bq_call(g->b, "GET", buf_cstr(&path), NULL, &r);
	if (rc == RC_OK) {
		done = r.root.type == JSON_OBJECT
			   ? json_member(&r.root, "jobComplete")
			   : (struct json_span){0};
		g->total = bq_u64(&r.root, "totalRows");
		if (done.type != JSON_TRUE)
			rc = bq_fail(g->b, RC_TRANSIENT,
			    "job %s is done, and its result is not complete",
			    g->job->id);
		else
			rc = take_schema(g, &r.root);
	} else if (r.verdict == HTTP_GONE) {
		rc = bq_fail(g->b, RC_CONTRACT,
		    "the result of job %s is kept no longer: %s", g->job->id,
		    r.why);
	}
	bq_reply_release(&r);
	buf_release(&path);
	return rc;
}

/* ---- a page ---- */

static int
spill(struct reading *g)
{
	if (spool_write(g->page, g->held.p, g->held.len) < 0)
		return bq_fail(
		    g->b, RC_IO, "cannot keep a page: %s", strerror(errno));
	buf_reset(&g->held);
	return RC_OK;
}

static int
take_row(void *ctx, const char *text, size_t len)
{
	struct reading *g = ctx;
	const char *wrong = fv_row(g->fv, text, len, &g->held);

	if (wrong != NULL)
		return g->rc = bq_fail(g->b, RC_CONTRACT, "a row: %s", wrong);
	buf_char(&g->held, '\n');
	g->in_page++;
	return g->rc = g->held.len < HELD ? RC_OK : spill(g);
}

/* The page through take_row; its token is that of the next, "" at the end. */
static int
convert(struct reading *g, struct http_answer *a)
{
	struct page *p = page_new("rows", ROW_MAX, take_row, g);
	struct json_span rest;
	struct json_error e;
	char *block = xmalloc(BLOCK);
	ssize_t n = 1;
	int rc = RC_OK;

	spool_rewind(a->body);
	g->rc = RC_OK;
	while (rc == RC_OK && n > 0) {
		n = spool_read(a->body, block, BLOCK);
		if (n > 0)
			rc = page_feed(p, block, (size_t)n);
	}
	free(block);
	if (n < 0)
		rc = bq_fail(g->b, RC_IO, "cannot read the answer back");
	else if (g->rc == RC_OK && (rc = page_end(p, &rest, &e)) != RC_OK)
		bq_fail(g->b, rc, "the page is damaged: byte %zu: %s", e.byte,
		    e.reason);
	if (rc == RC_OK) {
		char next[TOKEN_MAX];

		bq_text(&rest, "pageToken", next, sizeof next);
		if (*next != '\0' && strcmp(next, g->token) == 0)
			rc = bq_fail(g->b, RC_CONTRACT,
			    "a page is said to follow itself");
		snprintf(g->token, sizeof g->token, "%s", next);
	}
	page_free(p);
	return g->rc != RC_OK ? g->rc : rc;
}

static int
give_lines(struct reading *g)
{
	struct buf line = BUF_INIT(LINE_MAX);
	int rc = RC_OK;
	ssize_t n = 1;

	spool_rewind(g->page);
	while (rc == RC_OK && n > 0) {
		size_t from = 0;
		char *end;

		if (!buf_room(&line, BLOCK)) {
			rc = bq_fail(g->b, RC_CONTRACT, "a row is too long");
			break;
		}
		n = spool_read(g->page, line.p + line.len, BLOCK);
		if (n < 0)
			rc = bq_fail(g->b, RC_IO, "cannot read a page back");
		line.len += n > 0 ? (size_t)n : 0;
		while (rc == RC_OK && (end = memchr(line.p + from, '\n',
					   line.len - from)) != NULL) {
			size_t len = (size_t)(end - line.p) - from;

			rc = g->r->row(g->r->ctx, line.p + from, len);
			from += len + 1;
		}
		memmove(line.p, line.p + from, line.len - from);
		line.len -= from;
	}
	buf_release(&line);
	return rc;
}

/* The page proved whole. */
static int
give(struct reading *g)
{
	int rc = spill(g);

	if (rc != RC_OK)
		return rc;
	if (g->r->row != NULL)
		rc = give_lines(g);
	else if (spool_copy(g->page, g->r->out) < 0)
		rc = bq_fail(g->b, RC_IO, "cannot read a page back");
	else if (g->r->out->failed)
		rc = RC_IO; /* said by out_close */
	spool_reset(g->page);
	if (rc == RC_OK)
		g->rows += g->in_page;
	g->in_page = 0;
	return rc;
}

static int
read_page(struct reading *g)
{
	struct buf url = BUF_INIT(16384);
	struct http_request q = {
	    .method = "GET", .json = true, .judge = google_judge};
	struct http_answer *a;
	int rc;

	buf_str(&url, bq_url(g->b));
	results_path(g, &url, "100000");
	url_param(&url, "prettyPrint", "false");
	if (*g->token != '\0')
		url_param(&url, "pageToken", g->token);
	q.url = buf_cstr(&url);
	a = http_do(bq_http(g->b), &q);
	if (a->verdict == HTTP_OK)
		rc = convert(g, a);
	else
		rc = bq_fail(
		    g->b, a->rc != RC_OK ? a->rc : RC_CONTRACT, "%s", a->why);
	http_done(bq_http(g->b), a);
	buf_release(&url);
	return rc == RC_OK ? give(g) : rc;
}

int
bq_rows_read(struct bq *b, const struct bq_job *j, struct bq_rows *r)
{
	struct reading g = {.b = b, .r = r, .job = j};
	int rc;

	r->rows = r->pages = 0;
	buf_init(&g.held, LINE_MAX);
	g.page = spool_new();
	rc = ask_schema(&g);
	while (rc == RC_OK && g.fv != NULL && r->columns && g.rows < g.total) {
		rc = read_page(&g);
		r->pages++;
		if (rc == RC_OK && sig_pending() != 0)
			rc = bq_fail(b, 128 + sig_pending(), "interrupted");
		if (rc == RC_OK && (g.rows > g.total ||
				       (g.rows < g.total && *g.token == '\0')))
			rc = bq_fail(b, RC_CONTRACT,
			    "the result has %llu rows, and %llu came",
			    (unsigned long long)g.total,
			    (unsigned long long)g.rows);
	}
	r->rows = g.rows;
	fv_free(g.fv);
	spool_free(g.page);
	buf_release(&g.held);
	return rc;
}
