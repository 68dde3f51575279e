#include "stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "input.h"
#include "mem.h"
#include "part.h"
#include "sys.h"

#define CONTROL "\"@stream\""

/*
 * The buffer: JSON_PAD bytes, then cap bytes of which [p, end) are read and
 * not yet handed out, whole lines up to limit, then JSON_PAD bytes again.
 */
struct stream_impl {
	struct json_paths *paths; /* the tool's and CONTROL, indexes kept */
	struct json_scanner *scan;
	struct json_span *vals; /* stride for each record of the batch */
	size_t stride, control;

	char *const *files;
	size_t nfiles, at;
	struct input in;
	bool open;
	uint64_t bytes; /* of inputs closed */

	char *mem, *base, *p, *limit, *end;
	size_t cap;
	const char *next; /* the line after the one looked at */
	enum json_status st;
	struct json_error error;
	uint64_t line; /* lines done */
	size_t bom;    /* bytes skipped before the first line */
	bool eof;
	bool unended;    /* the newline of the last line is ours */
	size_t long_len; /* of a line skipped for its length */

	bool in_part, plain_seen;
	struct part_own own;
};

void
stream_init(struct stream *s)
{
	memset(s, 0, sizeof *s);
	s->max_line = STREAM_MAX_LINE;
}

static void
prepare(struct stream *s)
{
	struct stream_impl *m = xcalloc(1, sizeof *m);
	int n = s->paths != NULL ? json_paths_count(s->paths) : 0;
	const char *why;

	s->impl = m;
	m->paths = json_paths_new();
	for (int i = 0; i < n; i++)
		json_paths_add(m->paths, json_paths_text(s->paths, i), &why);
	m->control = (size_t)json_paths_add(m->paths, CONTROL, &why);
	m->stride = (size_t)json_paths_count(m->paths);
	m->scan = json_scanner_new(m->paths);
	m->vals = xcalloc(BATCH_MAX * m->stride, sizeof *m->vals);
	m->cap = 2 * (size_t)INPUT_BLOCK + REJECT_KEEP;
	m->mem = xcalloc(1, m->cap + 2 * (size_t)JSON_PAD);
	m->base = m->p = m->limit = m->end = m->mem + JSON_PAD;
	m->in.fd = -1;
}

static void
begin_input(struct stream_impl *m)
{
	m->open = true;
	m->eof = m->unended = false;
	m->line = m->bom = 0;
	m->p = m->limit = m->end = m->base;
}

int
stream_open(struct stream *s, char *const *files, size_t n)
{
	static char dash[] = "-";
	static char *const only[] = {dash};
	struct input look;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(files[i], "-") != 0 && access(files[i], R_OK) < 0) {
			warn_sys(files[i], "cannot open");
			return RC_TRUNCATED;
		}
	}
	prepare(s);
	s->impl->files = n > 0 ? files : only;
	s->impl->nfiles = n > 0 ? n : 1;
	if (n == 0) {
		input_fd(&look, STDIN_FILENO, dash);
		s->size = input_size(&look);
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t size = input_path_size(files[i]);

		s->size =
		    size > 0 && (i == 0 || s->size > 0) ? s->size + size : 0;
	}
	return RC_OK;
}

int
stream_open_fd(struct stream *s, int fd, const char *name)
{
	prepare(s);
	input_fd(&s->impl->in, fd, name);
	s->size = input_size(&s->impl->in);
	begin_input(s->impl);
	return RC_OK;
}

static enum stream_what
stop(struct stream *s, int status)
{
	s->status = status;
	return STREAM_STOP;
}

/* ---- lines ---- */

enum fill { FILL_LINES, FILL_END, FILL_LONG, FILL_FAIL };

static void
grow(struct stream_impl *m, size_t max_line)
{
	size_t used = (size_t)(m->end - m->base);
	size_t cap = m->cap * 2, most = max_line + 2 * (size_t)INPUT_BLOCK;

	if (m->cap - used > INPUT_BLOCK)
		return;
	if (cap > most)
		cap = most;
	if (cap - used <= INPUT_BLOCK)
		cap = used + 2 * (size_t)INPUT_BLOCK;
	m->mem = xrealloc(m->mem, cap + 2 * (size_t)JSON_PAD);
	m->base = m->p = m->limit = m->mem + JSON_PAD;
	m->end = m->base + used;
	m->cap = cap;
}

static void
set_limit(struct stream_impl *m, const char *from)
{
	const char *nl = memrchr(from, '\n', (size_t)(m->end - from));

	m->limit = nl != NULL ? m->base + (nl - m->base) + 1 : m->p;
}

/*
 * The line that begins at base is too long: its first bytes stay there, the
 * rest is read and forgotten.
 */
static enum fill
skip_long(struct stream_impl *m)
{
	size_t kept = (size_t)(m->end - m->base);
	char *to, *nl = NULL;

	m->long_len = kept;
	if (kept > REJECT_KEEP + 1)
		kept = REJECT_KEEP + 1;
	do {
		ssize_t n;
		size_t part;

		to = m->base + kept;
		n = input_read(&m->in, to);
		if (n < 0)
			return FILL_FAIL;
		if (n == 0) {
			m->eof = true;
			m->p = m->limit = m->end = to;
			return FILL_LONG;
		}
		m->end = to + n;
		nl = memchr(to, '\n', (size_t)n);
		part = nl != NULL ? (size_t)(nl - to) : (size_t)n;
		m->long_len += part;
		kept = kept + part < REJECT_KEEP + 1 ? kept + part
						     : REJECT_KEEP + 1;
	} while (nl == NULL);
	m->p = nl + 1;
	set_limit(m, m->p);
	return FILL_LONG;
}

/* More whole lines; all of the last ones are done. */
static enum fill
fill(struct stream_impl *m, size_t max_line)
{
	size_t tail = (size_t)(m->end - m->p);

	json_scanner_reset(m->scan); /* it reads ahead */
	if (m->eof)
		return FILL_END;
	memmove(m->base, m->p, tail);
	m->p = m->limit = m->base;
	m->end = m->base + tail;
	for (;;) {
		ssize_t n;

		if ((size_t)(m->end - m->base) > max_line)
			return skip_long(m);
		grow(m, max_line);
		n = input_read(&m->in, m->end);
		if (n < 0)
			return FILL_FAIL;
		if (n == 0)
			break;
		m->end += n;
		set_limit(m, m->end - n);
		if (m->limit != m->p)
			return FILL_LINES;
	}
	m->eof = true;
	if (m->end == m->p)
		return FILL_END;
	*m->end++ = '\n';
	m->limit = m->end;
	m->unended = true;
	return FILL_LINES;
}

/* A byte order mark is no part of the text, at byte 0 only. */
static void
skip_bom(struct stream_impl *m)
{
	if (m->limit - m->p >= 4 && memcmp(m->p, "\xef\xbb\xbf", 3) == 0)
		m->bom = 3;
	m->p += m->bom;
}

static void
add_record(struct stream_impl *m, struct batch *b)
{
	struct record *r = &b->rec[b->n];
	const char *from = m->p, *to = m->next - 2;

	while (*from != '{')
		from++;
	while (*to != '}')
		to--;
	r->text = from;
	r->len = (uint32_t)(to - from + 1);
	r->line = ++m->line;
	r->val = m->vals + b->n * m->stride;
	b->n++;
}

/* Records up to the end of the batch, of the buffer, or to a line that is
 * something else: m->p then stands at it, m->next after it. False there. */
static bool
scan_lines(struct stream_impl *m, struct batch *b, size_t max_line)
{
	while (b->n < BATCH_MAX && m->p < m->limit) {
		struct json_span *vals = m->vals + b->n * m->stride;

		m->st = json_scan(m->scan, m->p, &m->next, vals, &m->error);
		if ((size_t)(m->next - m->p) - 1 > max_line)
			return false;
		if (m->st == JSON_OK && vals[m->control].type == JSON_ABSENT)
			add_record(m, b);
		else if (m->st == JSON_BLANK)
			m->line++;
		else
			return false;
		m->p = (char *)m->next;
	}
	return true;
}

/* ---- what is wrong ---- */

static enum stream_what
cut(struct stream *s, uint64_t line, const char *why)
{
	char a[DIAG_QUOTE], b[DIAG_QUOTE];

	s->impl->in_part = false;
	warn_at(s->impl->in.name, line, 0,
	    "partition %s %s %s is truncated: %s",
	    diag_quote(a, s->part.source, strlen(s->part.source)),
	    diag_quote(b, s->part.feed, strlen(s->part.feed)), s->part.date,
	    why);
	return STREAM_CUT;
}

static enum stream_what
broken(struct stream *s, uint64_t line, const char *why)
{
	warn_at(s->impl->in.name, line, 0, "%s", why);
	return stop(s, RC_CONTRACT);
}

/* A line that is no record. RC_OK: it is in the dead letters. */
static int
bad_line(struct stream *s, const char *text, size_t len, size_t byte,
    const char *reason)
{
	struct stream_impl *m = s->impl;
	int rc = RC_CONTRACT;

	m->line++;
	if (s->rejects != NULL)
		rc = rejects_take(
		    s->rejects, m->in.name, m->line, byte, text, len, reason);
	else
		warn_at(m->in.name, m->line, byte, "%s", reason);
	s->records++;
	s->total_records++;
	s->rejected++;
	if (rc != RC_OK)
		s->status = rc;
	return rc;
}

static bool
long_line(struct stream *s, const char *text, size_t len)
{
	char reason[64];

	snprintf(reason, sizeof reason, "line is longer than %zu bytes",
	    s->max_line);
	return bad_line(s, text, len, s->max_line + 1, reason) == RC_OK;
}

/* What a person needs to hear about some kinds of wrong bytes. */
static const char *
name_bytes(const struct stream_impl *m, const char *p, const char *reason)
{
	if (m->line == 0 && m->bom == 0 &&
	    (memcmp(p, "\xff\xfe", 2) == 0 || memcmp(p, "\xfe\xff", 2) == 0 ||
		memcmp(p, "{\0", 2) == 0 || memcmp(p, "\0{", 2) == 0))
		return "text is UTF-16, not UTF-8";
	if (memcmp(p, "\xef\xbb\xbf", 3) == 0)
		return "byte order mark inside of the input";
	return reason;
}

/* ---- control records ---- */

static enum stream_what
begin_part(struct stream *s, const struct json_span *rec)
{
	struct stream_impl *m = s->impl;
	const char *why;

	if (m->in_part)
		return cut(s, m->line + 1, "another one begins before its end");
	if (m->plain_seen)
		return broken(s, m->line + 1,
		    "a partition begins after records outside of one");
	why = part_parse_begin(&m->own, rec, &s->part);
	if (why != NULL)
		return broken(s, m->line + 1, why);
	s->part.file = m->in.name;
	s->part.line = ++m->line;
	m->p = (char *)m->next;
	m->in_part = s->has_parts = true;
	s->records = s->rejected = 0;
	return STREAM_BEGIN;
}

static enum stream_what
end_part(struct stream *s, const struct json_span *rec)
{
	struct stream_impl *m = s->impl;
	const char *why;
	char text[96];

	if (!m->in_part)
		return broken(
		    s, m->line + 1, "an end record without its begin");
	why = part_parse_end(&m->own, rec, &s->end);
	if (why != NULL)
		return broken(s, m->line + 1, why);
	m->line++;
	m->p = (char *)m->next;
	m->in_part = false;
	if (s->end.records != s->records) {
		snprintf(text, sizeof text,
		    "its end says %" PRIu64 " records, %" PRIu64 " were read",
		    s->end.records, s->records);
		return cut(s, m->line, text);
	}
	return STREAM_END;
}

static enum stream_what
control(struct stream *s)
{
	struct stream_impl *m = s->impl;
	const struct json_span *word = &m->vals[m->control];
	struct json_span rec = json_value(m->p);

	if (s->bare)
		return broken(s, m->line + 1,
		    "a control record where records alone are due");
	if ((word->flags & JSON_DUPLICATE) != 0)
		return broken(s, m->line + 1, "@stream stands twice");
	if (json_is(word, "begin", 5))
		return begin_part(s, &rec);
	if (json_is(word, "end", 3))
		return end_part(s, &rec);
	return broken(s, m->line + 1, "@stream is neither begin nor end");
}

/* ---- the reader ---- */

/* A line that is no record; nothing of the batch stands before it. STREAM_BATCH:
 * it is done, go on. */
static enum stream_what
special(struct stream *s)
{
	struct stream_impl *m = s->impl;
	const char *text = m->p;
	size_t len = (size_t)(m->next - m->p) - 1;
	bool last = m->next == m->limit && m->unended;

	if (len > s->max_line) {
		m->p = (char *)m->next;
		return long_line(s, text, len) ? STREAM_BATCH : STREAM_STOP;
	}
	if (m->st == JSON_OK)
		return control(s);
	m->p = (char *)m->next;
	if (last && m->in_part)
		return cut(s, m->line + 1, "its last line is cut");
	return bad_line(s, text, len,
		   m->error.byte + (m->line == 0 ? m->bom : 0),
		   name_bytes(m, text, m->error.reason)) == RC_OK
		   ? STREAM_BATCH
		   : STREAM_STOP;
}

/* STREAM_EOF where all is read, STREAM_BATCH where there are lines. */
static enum stream_what
next_input(struct stream *s)
{
	struct stream_impl *m = s->impl;

	if (m->open) {
		m->bytes += m->in.bytes;
		input_close(&m->in);
		m->open = false;
	}
	if (m->at == m->nfiles)
		return STREAM_EOF;
	if (input_open(&m->in, m->files[m->at++]) != RC_OK)
		return stop(s, RC_TRUNCATED);
	begin_input(m);
	return STREAM_BATCH;
}

static enum stream_what
more(struct stream *s)
{
	struct stream_impl *m = s->impl;
	bool first;

	if (!m->open)
		return next_input(s);
	first = m->line == 0 && m->limit == m->base;
	switch (fill(m, s->max_line)) {
	case FILL_LINES:
		memset(m->end, 0, JSON_PAD);
		if (first)
			skip_bom(m);
		return STREAM_BATCH;
	case FILL_LONG:
		return long_line(s, m->base, m->long_len) ? STREAM_BATCH
							  : STREAM_STOP;
	case FILL_FAIL:
		return stop(s, m->in.status);
	case FILL_END:
		break;
	}
	if (m->in_part)
		return cut(s, m->line, "the input ends without its end record");
	return next_input(s);
}

static enum stream_what
give(struct stream *s)
{
	struct stream_impl *m = s->impl;

	if (!m->in_part) {
		if (s->has_parts)
			return broken(s, s->batch.rec[0].line,
			    "a record outside of a partition");
		m->plain_seen = s->part.plain = true;
		s->part.source = s->part.feed = s->part.date = "";
		s->part.day_tz = s->part.run_id = s->part.kind = "";
	}
	s->batch.file = m->in.name;
	s->records += s->batch.n;
	s->total_records += s->batch.n;
	return STREAM_BATCH;
}

enum stream_what
stream_next(struct stream *s)
{
	struct stream_impl *m = s->impl;
	enum stream_what what = STREAM_BATCH;

	if (sig_pending() != 0)
		return stop(s, 128 + sig_pending());
	s->batch.n = 0;
	do {
		if (m->p == m->limit)
			what = more(s);
		else if (!scan_lines(m, &s->batch, s->max_line) &&
			 s->batch.n == 0)
			what = special(s);
		else
			what = STREAM_BATCH;
	} while (what == STREAM_BATCH && s->batch.n == 0);
	s->total_bytes = m->bytes + m->in.bytes;
	return what == STREAM_BATCH ? give(s) : what;
}

int
stream_reject(
    struct stream *s, const struct record *rec, size_t byte, const char *reason)
{
	s->rejected++;
	if (s->rejects != NULL)
		return rejects_take(s->rejects, s->batch.file, rec->line, byte,
		    rec->text, rec->len, reason);
	warn_at(s->batch.file, rec->line, byte, "%s", reason);
	return RC_CONTRACT;
}

void
stream_close(struct stream *s)
{
	struct stream_impl *m = s->impl;

	if (m == NULL)
		return;
	if (m->open)
		input_close(&m->in);
	json_scanner_free(m->scan);
	json_paths_free(m->paths);
	part_release(&m->own);
	free(m->vals);
	free(m->mem);
	free(m);
	s->impl = NULL;
}
