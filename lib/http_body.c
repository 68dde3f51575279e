/* Bodies as they come: gzip undone, with its checksums and a limit. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "diag.h"
#include "exits.h"
#include "http_impl.h"
#include "mem.h"

enum { INFLATE_ROOM = 64 << 10 };

struct inflater {
	z_stream z;
	bool member_done;
	unsigned char out[INFLATE_ROOM];
};

void
body_start(struct body *b, struct spool *out, uint64_t max, bool gzip)
{
	body_stop(b);
	memset(b, 0, sizeof(*b));
	b->out = out;
	b->max = max;
	b->gzip = gzip;
}

static bool
keep(struct body *b, const unsigned char *p, size_t n)
{
	if (n > b->max - spool_size(b->out)) {
		b->over = true;
		return false;
	}
	if (spool_write(b->out, p, n) < 0) {
		b->error = errno;
		return false;
	}
	for (size_t i = n; i > 0; i--)
		if (p[i - 1] != ' ' && p[i - 1] != '\n' && p[i - 1] != '\r' &&
		    p[i - 1] != '\t') {
			b->last = p[i - 1];
			break;
		}
	return true;
}

static bool
damaged(struct body *b, const char *what)
{
	b->wrong = what;
	return false;
}

static bool
inflate_some(struct body *b, const void *p, size_t n)
{
	struct inflater *g = b->gz;

	if (g == NULL) {
		g = b->gz = xcalloc(1, sizeof(*g));
		if (inflateInit2(&g->z, 16 + 15) != Z_OK)
			die(RC_OSERR, NULL, "out of memory");
	}
	g->z.next_in = (z_const Bytef *)p;
	g->z.avail_in = (uInt)n;
	do {
		int rc;

		if (g->member_done) {
			if (g->z.avail_in == 0)
				return true;
			inflateReset(&g->z); /* or what follows is junk */
			g->member_done = false;
		}
		g->z.next_out = g->out;
		g->z.avail_out = INFLATE_ROOM;
		rc = inflate(&g->z, Z_NO_FLUSH);
		if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
			return damaged(b, "gzip data is damaged");
		if (!keep(b, g->out, INFLATE_ROOM - g->z.avail_out))
			return false;
		g->member_done = rc == Z_STREAM_END;
	} while (g->z.avail_in > 0 || g->z.avail_out == 0);
	return true;
}

bool
body_take(struct body *b, const void *p, size_t n)
{
	b->begun |= n > 0;
	if (b->gzip)
		return n == 0 || inflate_some(b, p, n);
	return keep(b, p, n);
}

bool
body_end(struct body *b)
{
	struct inflater *g = b->gz;

	if (spool_flush(b->out) < 0) {
		b->error = errno;
		return false;
	}
	if (g != NULL && !g->member_done)
		return damaged(b, "gzip data ends early");
	return true;
}

void
body_stop(struct body *b)
{
	struct inflater *g = b->gz;

	if (g != NULL)
		inflateEnd(&g->z);
	free(g);
	b->gz = NULL;
}

/* Headers ---------------------------------------------------------------- */

void
headers_reset(struct headers *hs)
{
	if (hs->text.max == 0)
		buf_init(&hs->text, HEADER_BYTES);
	buf_reset(&hs->text);
	hs->n = 0;
}

void
headers_release(struct headers *hs)
{
	buf_release(&hs->text);
	hs->n = 0;
}

bool
headers_add(struct headers *hs, const char *line, size_t n)
{
	const char *colon = memchr(line, ':', n), *value;

	if (colon == NULL)
		return true;
	value = colon + 1;
	n -= (size_t)(value - line);
	while (n > 0 && (*value == ' ' || *value == '\t'))
		value++, n--;
	while (n > 0 && (unsigned char)value[n - 1] <= ' ')
		n--;
	if (memchr(value, '\0', n) != NULL || hs->n == HEADERS_MAX)
		return false;
	hs->at[hs->n][0] = hs->text.len;
	buf_add(&hs->text, line, (size_t)(colon - line));
	buf_char(&hs->text, '\0');
	hs->at[hs->n][1] = hs->text.len;
	buf_add(&hs->text, value, n);
	buf_char(&hs->text, '\0');
	hs->n++;
	return !hs->text.over;
}

const char *
headers_get(const struct headers *hs, const char *name)
{
	for (size_t i = 0; i < hs->n; i++)
		if (strcasecmp(hs->text.p + hs->at[i][0], name) == 0)
			return hs->text.p + hs->at[i][1];
	return "";
}

const char *
http_header(const struct http_answer *a, const char *name)
{
	return a->headers != NULL ? headers_get(a->headers, name) : "";
}
