/* gzip undone and the text checked, in one pass, before a byte is used. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "rows.h"

enum { PIECE = 256 << 10 };

/* What is known of the text so far. */
struct check {
	struct spool *plain;
	struct buf *header;
	bool in_rows;
	char delim;
	uint64_t line, total, max;
	size_t cells, most; /* delimiters in this line; in the header */
	size_t line_bytes;
	unsigned need, low, high; /* bytes of a character still to come */
	char **why;
};

static int
wrong(struct check *c, const char *what)
{
	*c->why = xasprintf("line %llu: %s", (unsigned long long)c->line, what);
	return RC_CONTRACT;
}

/* One byte of UTF-8 (RFC 3629). */
static bool
utf8_byte(struct check *c, unsigned char b)
{
	if (c->need > 0) {
		if (b < c->low || b > c->high)
			return false;
		c->low = 0x80;
		c->high = 0xbf;
		c->need--;
		return true;
	}
	if (b < 0x80)
		return b != 0;
	if (b < 0xc2 || b > 0xf4)
		return false;
	c->need = b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;
	c->low = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
	c->high = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
	return true;
}

static int
end_line(struct check *c)
{
	if (c->delim == '\t' && c->cells > c->most)
		return wrong(c, "more cells than the header has");
	c->line++;
	c->cells = 0;
	c->line_bytes = 0;
	return RC_OK;
}

static int
slow_bytes(struct check *c, const char *p, size_t n)
{
	int rc = RC_OK;

	for (size_t i = 0; i < n && rc == RC_OK; i++) {
		if (!utf8_byte(c, (unsigned char)p[i]))
			return wrong(c, "not UTF-8 text");
		if (p[i] == '\n')
			rc = end_line(c);
		else if (p[i] == c->delim)
			c->cells++;
		c->line_bytes++;
	}
	return c->line_bytes > LINE_MAX_BYTES ? wrong(c, "too long") : rc;
}

#ifdef __SSE2__
/* Bits of a small mask; without an instruction that every machine has. */
static unsigned
bits16(unsigned m)
{
	m -= m >> 1 & 0x5555;
	m = (m & 0x3333) + (m >> 2 & 0x3333);
	m = (m + (m >> 4)) & 0x0f0f;
	return (m + (m >> 8)) & 31;
}

/* Sixteen bytes of ASCII with line ends among them. */
static int
end_lines(struct check *c, unsigned ends, unsigned tabs)
{
	unsigned from = 0;

	for (; ends != 0; ends &= ends - 1) {
		unsigned at = (unsigned)__builtin_ctz(ends);
		int rc;

		c->cells += bits16(tabs & ((1u << at) - 1));
		tabs &= ~0u << at;
		c->line_bytes += at - from;
		if (c->line_bytes > LINE_MAX_BYTES)
			return wrong(c, "too long");
		rc = end_line(c);
		if (rc != RC_OK)
			return rc;
		from = at + 1;
	}
	c->cells += bits16(tabs);
	c->line_bytes += 16 - from;
	return RC_OK;
}
#endif

/* Blocks of ASCII by sixteen; anything else byte by byte. */
static int
check_rows(struct check *c, const char *p, size_t n)
{
	int rc = RC_OK;

#ifdef __SSE2__
	const __m128i nl = _mm_set1_epi8('\n'), tab = _mm_set1_epi8(c->delim);
	const __m128i zero = _mm_setzero_si128();

	for (; n >= 16 && rc == RC_OK; p += 16, n -= 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
		unsigned odd = (unsigned)_mm_movemask_epi8(
		    _mm_or_si128(x, _mm_cmpeq_epi8(x, zero)));
		unsigned ends =
		    (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, nl));
		unsigned tabs =
		    (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, tab));

		if (odd != 0 || c->need > 0) {
			rc = slow_bytes(c, p, 16);
		} else if (ends != 0) {
			rc = end_lines(c, ends, tabs);
		} else {
			c->cells += bits16(tabs);
			c->line_bytes += 16;
		}
	}
#endif
	return rc != RC_OK ? rc : slow_bytes(c, p, n);
}

static int
take_text(struct check *c, const char *p, size_t n)
{
	int rc;

	c->total += n;
	if (c->total > c->max) {
		*c->why = xstrdup("larger than --max-body");
		return RC_CONTRACT;
	}
	if (!c->in_rows && n > 0) {
		const char *nl = memchr(p, '\n', n);
		size_t part = nl == NULL ? n : (size_t)(nl - p) + 1;

		if (c->header->len + part > LINE_MAX_BYTES)
			return wrong(c, "too long for a header");
		rc = slow_bytes(c, p, part);
		if (rc != RC_OK)
			return rc;
		buf_add(c->header, p, part);
		if (nl == NULL)
			return RC_OK;
		c->in_rows = true;
		c->header->len--;
		c->delim = memchr(c->header->p, '\t', c->header->len) != NULL
			       ? '\t'
			       : ',';
		for (size_t i = 0; i < c->header->len; i++)
			c->most += c->header->p[i] == c->delim;
		p += part;
		n -= part;
	}
	rc = check_rows(c, p, n);
	if (rc == RC_OK && spool_write(c->plain, p, n) < 0) {
		*c->why = xasprintf("cannot keep it: %s", strerror(errno));
		rc = RC_IO;
	}
	return rc;
}

static int
damaged(struct check *c, const char *what)
{
	*c->why = xstrdup(what);
	return RC_TRANSIENT;
}

static int
inflate_all(struct check *c, struct spool *packed, char *in, char *out)
{
	z_stream z;
	ssize_t n;
	bool whole = false;
	int rc = RC_OK, st = Z_OK;

	memset(&z, 0, sizeof z);
	if (inflateInit2(&z, 15 + 16) != Z_OK)
		die(RC_OSERR, NULL, "out of memory");
	while (rc == RC_OK && (n = spool_read(packed, in, PIECE)) > 0) {
		z.next_in = (unsigned char *)in;
		z.avail_in = (unsigned)n;
		while (rc == RC_OK && z.avail_in > 0) {
			if (whole)
				inflateReset(&z);
			z.next_out = (unsigned char *)out;
			z.avail_out = PIECE;
			st = inflate(&z, Z_NO_FLUSH);
			whole = st == Z_STREAM_END;
			if (st != Z_OK && !whole && st != Z_BUF_ERROR)
				rc = damaged(c, "the gzip is damaged");
			else
				rc = take_text(c, out, PIECE - z.avail_out);
		}
		/* what a full output left inside */
		while (rc == RC_OK && !whole && z.avail_out == 0) {
			z.next_out = (unsigned char *)out;
			z.avail_out = PIECE;
			st = inflate(&z, Z_NO_FLUSH);
			whole = st == Z_STREAM_END;
			if (st != Z_OK && !whole && st != Z_BUF_ERROR)
				rc = damaged(c, "the gzip is damaged");
			else
				rc = take_text(c, out, PIECE - z.avail_out);
		}
	}
	inflateEnd(&z);
	return rc == RC_OK && !whole ? damaged(c, "the gzip is cut") : rc;
}

static int
copy_all(struct check *c, struct spool *packed, char *in)
{
	ssize_t n;
	int rc = RC_OK;

	while (rc == RC_OK && (n = spool_read(packed, in, PIECE)) > 0)
		rc = take_text(c, in, (size_t)n);
	return rc;
}

int
unpack(struct spool *packed, struct spool *plain, struct buf *header,
    uint64_t max, char **why)
{
	struct check c = {.plain = plain,
	    .header = header,
	    .line = 1,
	    .max = max,
	    .why = why};
	char *in = xmalloc(PIECE), *out = xmalloc(PIECE);
	unsigned char magic[2];
	int rc;

	*why = NULL;
	spool_rewind(packed);
	if (spool_read(packed, magic, 2) == 2 && magic[0] == 0x1f &&
	    magic[1] == 0x8b) {
		spool_rewind(packed);
		rc = inflate_all(&c, packed, in, out);
	} else {
		spool_rewind(packed);
		rc = copy_all(&c, packed, in);
	}
	if (rc == RC_OK && c.need > 0)
		rc = wrong(&c, "not UTF-8 text");
	if (rc == RC_OK && c.cells > c.most && c.in_rows && c.delim == '\t')
		rc = wrong(&c, "more cells than the header has");
	free(in);
	free(out);
	return rc;
}
