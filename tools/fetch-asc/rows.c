/* Rows of a checked text to NDJSON, with their event ids. */
#include "rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sha.h"
#include "span.h"

enum {
	BATCH = 64,
	BLOCK = 256 << 10,
	TABLE_FIRST = 1 << 12,
	TABLE_MAX = 1 << 21, /* slots: 24 MiB; 1.5 million different rows */
	KNOWN = 64,
	SHAPED = 64, /* columns, at most, for shapes */
	SHAPES = 16,
	DIGITS = 10,
	TEXT = 1 << 20, /* records that are given out at once */
};

struct cell {
	const char *p;
	size_t n;
};

/* How often a row's identity was seen. */
struct table {
	uint64_t *key;
	uint32_t *count;
	size_t slots, used;
};

static void
table_make(struct table *t, size_t slots)
{
	t->key = xcalloc(slots, sizeof *t->key);
	t->count = xcalloc(slots, sizeof *t->count);
	t->slots = slots;
	t->used = 0;
}

static size_t
slot_of(const struct table *t, uint64_t key)
{
	size_t i = (size_t)(key >> 20) & (t->slots - 1);

	while (t->count[i] != 0 && t->key[i] != key)
		i = (i + 1) & (t->slots - 1);
	return i;
}

static void
table_room(struct table *t)
{
	struct table old = *t;

	if (t->used < t->slots / 4 * 3)
		return;
	if (t->slots == TABLE_MAX) { /* begin anew: see CAVEATS of the page */
		memset(t->count, 0, t->slots * sizeof *t->count);
		t->used = 0;
		return;
	}
	table_make(t, t->slots * 2);
	for (size_t i = 0; i < old.slots; i++) {
		size_t to;

		if (old.count[i] == 0)
			continue;
		to = slot_of(t, old.key[i]);
		t->key[to] = old.key[i];
		t->count[to] = old.count[i];
		t->used++;
	}
	free(old.key);
	free(old.count);
}

/* Brings its place near. */
static void
table_ahead(const struct table *t, uint64_t key)
{
	size_t i = (size_t)(key >> 20) & (t->slots - 1);

	__builtin_prefetch(&t->key[i]);
	__builtin_prefetch(&t->count[i]);
}

/* The ordinal of this one among its equals, from 1. */
static uint32_t
table_count(struct table *t, uint64_t key)
{
	size_t i;

	table_room(t);
	i = slot_of(t, key);
	if (t->count[i]++ == 0) {
		t->key[i] = key;
		t->used++;
	}
	return t->count[i];
}

/* What stands between the cells of a line that have something in them: keys,
 * quotes, and the members of empty cells. */
struct shape {
	uint64_t empty; /* a bit a column */
	bool set;
	char *text;
	size_t n;
	uint32_t at[SHAPED + 2];
	uint8_t cell[SHAPED + 1];
};

struct writer {
	struct rows *r;
	struct table seen;
	struct buf text;   /* records of a batch */
	struct buf idents; /* what their ids are made of */
	size_t id_at[BATCH + 1], ident[BATCH + 1], ident_len[BATCH + 1];
	uint64_t hash[BATCH + 1];
	size_t n, lead_len, identity_len;
	size_t columns; /* so many of a line are looked at */
	size_t warnings;
	char strange[8][24];
	struct cell cell[COLUMNS_MAX + 1];
	uint32_t tab[COLUMNS_MAX + 1]; /* where a line's cells end */
	bool escapes;                  /* the line has what JSON escapes */
	bool short_line;               /* it has fewer cells than the header */
	bool straight;    /* the identity is the line itself, but for ... */
	uint64_t changed; /* ... these cells */
	const char *line;
	struct shape shape[SHAPES];
	char ordinal[24]; /* of the row before, right-aligned */
	size_t ordinal_at;
	size_t dates[COLUMNS_MAX], numbers[COLUMNS_MAX], n_dates, n_numbers;
	char us[COLUMNS_MAX][DATE_LEN]; /* the date that iso was made of */
	uint64_t known[KNOWN];          /* product types that were met */
	char iso[COLUMNS_MAX][DATE_LEN + 1];
	char plain[COLUMNS_MAX][48]; /* numbers without separators */
	struct buf quoted;           /* cells of a comma file that had quotes */
	char pad[64];                /* cells are read beyond their end */
};

static size_t
digits(char *to, uint32_t v)
{
	char text[DIGITS];
	size_t n = 0;

	do
		text[n++] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	for (size_t i = 0; i < n; i++)
		to[i] = text[n - 1 - i];
	return n;
}

static void
flush_batch(struct writer *w, bool last)
{
	const void *p[BATCH];
	size_t len[BATCH];
	unsigned char sum[BATCH][SHA_LEN];

	if (w->n == 0 && !last)
		return;
	for (size_t i = 0; i < w->n; i++) {
		char *ident = w->idents.p + w->ident[i];

		p[i] = ident;
		len[i] = w->ident_len[i];
		len[i] +=
		    digits(ident + len[i], table_count(&w->seen, w->hash[i]));
	}
	sha256_many(w->n, p, len, sum);
	for (size_t i = 0; i < w->n; i++) {
		char hex[SHA_HEX + 1];

		sha_hex(sum[i], hex);
		memcpy(w->text.p + w->id_at[i], hex, SHA_HEX);
	}
	w->r->count += w->n;
	w->n = 0;
	if (last || w->text.len >= TEXT) {
		out_write(w->r->out, w->text.p, w->text.len);
		buf_reset(&w->text);
	}
	buf_reset(&w->idents);
}

/* Escapes are rare in cells: sixteen bytes are looked at at once. The text was
 * checked to be UTF-8; 15 bytes after it can be read, and there is room for
 * six times its length and 16 more. */
static char *
put_text(char *o, const char *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t i = 0;

#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
	const __m128i low = _mm_set1_epi8(0x1f);

	for (; i < n; i += 16) {
		__m128i x =
		    _mm_loadu_si128((const __m128i *)(const void *)(p + i));
		unsigned odd = (unsigned)_mm_movemask_epi8(
		    _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, quote),
				     _mm_cmpeq_epi8(x, slash)),
			_mm_cmpeq_epi8(_mm_min_epu8(x, low), x)));

		if (n - i < 16)
			odd &= (1u << (n - i)) - 1;
		if (odd != 0)
			break;
		_mm_storeu_si128((__m128i *)(void *)(o + i), x);
	}
	if (i >= n)
		return o + n;
	o += i;
#endif
	for (; i < n; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c >= 0x20 && c != '"' && c != '\\') {
			*o++ = (char)c;
		} else if (c >= 0x20) {
			*o++ = '\\';
			*o++ = (char)c;
		} else {
			memcpy(o, "\\u00", 4);
			o[4] = hex[c >> 4];
			o[5] = hex[c & 15];
			o += 6;
		}
	}
	return o;
}

/* Short pieces; 15 bytes after them can be read and written. */
static inline char *
put_raw(char *o, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i += 16)
		memcpy(o + i, p + i, 16);
	return o + n;
}

/* MM/DD/YYYY as sales files have it. */
static bool
to_iso(const struct cell *c, char out[DATE_LEN + 1])
{
	int32_t day;
	char t[DATE_LEN];

	if (c->n != 10 || c->p[2] != '/' || c->p[5] != '/')
		return false;
	memcpy(t, c->p + 6, 4);
	t[4] = t[7] = '-';
	memcpy(t + 5, c->p, 2);
	memcpy(t + 8, c->p + 3, 2);
	if (!date_parse(t, DATE_LEN, &day))
		return false;
	memcpy(out, t, DATE_LEN);
	out[DATE_LEN] = '\0';
	return true;
}

/* "1,234.50" is 1234.50; what is no such number stays as it is. */
static bool
no_separators(const struct cell *c, char *out, size_t room, size_t *n)
{
	const char *comma = c->n == 0 ? NULL : memchr(c->p, ',', c->n);
	size_t len = 0, group = 0;

	if (comma == NULL || c->n >= room)
		return false;
	for (size_t i = 0; i < c->n; i++) {
		char ch = c->p[i];

		if (ch == ',') {
			if (len == 0 || (group != 3 && comma != c->p + i))
				return false;
			group = 0;
			continue;
		}
		if (ch == '.' && group != 3)
			return false;
		if (ch == '.') {
			for (; i < c->n; i++) {
				if (c->p[i] == ',')
					return false;
				out[len++] = c->p[i];
			}
			*n = len;
			return true;
		}
		if (!(ch >= '0' && ch <= '9') && !(ch == '-' && i == 0))
			return false;
		out[len++] = ch;
		group++;
	}
	*n = len;
	return group == 3;
}

static void
trim(struct cell *c)
{
	while (c->n > 0 && (c->p[0] == ' ' || c->p[0] == '\r')) {
		c->p++;
		c->n--;
	}
	while (c->n > 0 && (c->p[c->n - 1] == ' ' || c->p[c->n - 1] == '\r'))
		c->n--;
}

/* A cell of a comma file (RFC 4180); the byte after it. */
static const char *
comma_cell(struct writer *w, const char *p, const char *end, struct cell *c)
{
	size_t from = w->quoted.len;

	if (*p != '"') {
		c->p = p;
		while (p < end && *p != ',')
			p++;
		c->n = (size_t)(p - c->p);
		return p;
	}
	for (p++; p < end; p++) {
		if (*p == '"' && (++p == end || *p != '"'))
			break;
		buf_char(&w->quoted, *p);
	}
	while (p < end && *p != ',')
		p++;
	c->p = w->quoted.p + from;
	c->n = w->quoted.len - from;
	return p;
}

/* Where the cells of a line end, and whether anything in it must be escaped:
 * one look at each byte. 15 bytes after the line can be read. */
static size_t
tabs(struct writer *w, const char *line, size_t len)
{
	size_t n = 0, most = w->columns;
	uint32_t *at = w->tab;

	w->escapes = false;
#ifdef __SSE2__
	const __m128i tab = _mm_set1_epi8('\t'), quote = _mm_set1_epi8('"');
	const __m128i slash = _mm_set1_epi8('\\'), low = _mm_set1_epi8(0x1f);
	unsigned odd = 0;

	for (size_t i = 0; i < len && n < most; i += 16) {
		__m128i x =
		    _mm_loadu_si128((const __m128i *)(const void *)(line + i));
		__m128i t = _mm_cmpeq_epi8(x, tab);
		unsigned m = (unsigned)_mm_movemask_epi8(t);
		unsigned o = (unsigned)_mm_movemask_epi8(_mm_andnot_si128(
		    t, _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, quote),
					_mm_cmpeq_epi8(x, slash)),
			   _mm_cmpeq_epi8(_mm_min_epu8(x, low), x))));

		if (len - i < 16) {
			m &= (1u << (len - i)) - 1;
			o &= (1u << (len - i)) - 1;
		}
		odd |= o;
		for (; m != 0 && n < most; m &= m - 1)
			at[n++] = (uint32_t)i + (uint32_t)__builtin_ctz(m);
	}
	w->escapes = odd != 0;
#else
	for (size_t i = 0; i < len && n < most; i++) {
		if (line[i] == '\t')
			at[n++] = (uint32_t)i;
		w->escapes |= (unsigned char)line[i] < 0x20 || line[i] == '"' ||
			      line[i] == '\\';
	}
#endif
	return n;
}

static void
split_commas(struct writer *w, const char *p, const char *end)
{
	size_t n = 0;

	buf_reset(&w->quoted);
	buf_room(&w->quoted, (size_t)(end - p) + 65); /* it does not move */
	while (n < w->columns) {
		struct cell *c = &w->cell[n++];

		p = comma_cell(w, p, end, c);
		trim(c);
		if (p >= end)
			break;
		p++;
	}
	for (; n < w->columns; n++)
		w->cell[n] = (struct cell){NULL, 0};
	w->escapes = true;
}

/* Cells of a line; missing ones are empty. */
static void
split(struct writer *w, const char *p, const char *end)
{
	size_t n, from = 0, len = (size_t)(end - p);

	if (w->r->l->delim == ',') {
		split_commas(w, p, end);
		return;
	}
	w->line = p;
	w->changed = 0;
	n = tabs(w, p, len);
	w->short_line = n + 1 < w->columns;
	w->tab[n] = (uint32_t)len;
	for (size_t i = 0; i < w->columns; i++) {
		struct cell *c = &w->cell[i];

		if (i > n) {
			*c = (struct cell){NULL, 0};
			continue;
		}
		c->p = p + from;
		c->n = w->tab[i] - from;
		from = w->tab[i] + 1;
		if (c->n > 0 && (c->p[0] <= ' ' || c->p[c->n - 1] <= ' ')) {
			trim(c);
			w->changed |= UINT64_C(1) << (i & 63);
		}
	}
}

static void
normal(struct writer *w)
{
	for (size_t i = 0; i < w->n_dates; i++) {
		size_t at = w->dates[i];
		struct cell *c = &w->cell[at];

		w->changed |= UINT64_C(1) << (at & 63);
		/* mostly the day of the row before */
		if (c->n == DATE_LEN && w->iso[at][0] != '\0' &&
		    memcmp(c->p, w->us[at], DATE_LEN) == 0) {
			*c = (struct cell){w->iso[at], DATE_LEN};
		} else if (to_iso(c, w->iso[at])) {
			memcpy(w->us[at], c->p, DATE_LEN);
			*c = (struct cell){w->iso[at], DATE_LEN};
		}
	}
	for (size_t i = 0; i < w->n_numbers; i++) {
		size_t n, at = w->numbers[i];
		struct cell *c = &w->cell[at];

		if (no_separators(c, w->plain[at], sizeof w->plain[at], &n)) {
			*c = (struct cell){w->plain[at], n};
			w->changed |= UINT64_C(1) << (at & 63);
		}
	}
}

/* Columns that may need it. */
static void
set_normal(struct writer *w)
{
	const struct layout *l = w->r->l;

	for (size_t i = 0; i < w->columns; i++) {
		if (l->col[i].date)
			w->dates[w->n_dates++] = i;
		else if (l->col[i].number)
			w->numbers[w->n_numbers++] = i;
	}
	w->straight = l->delim == '\t' && w->columns <= SHAPED &&
		      l->n_more == 0 && l->n_order >= w->columns;
	for (size_t i = 0; i < l->n_order && w->straight; i++)
		w->straight = l->order[i] == (i < w->columns ? (int)i : -1);
}

/* "Product type identifiers", the complete list, and what was seen. */
static void
look_at_product(struct writer *w, const struct cell *c)
{
	static const char known[] =
	    " 1 1F 1T F1 1-B F1-B 1E 1EP 1EU 3 3F 7 7F 7T F7 IA1 IA1-M FI1 IA9 "
	    "IA9-M IAY IAY-M IA3 3T IAC 5 ";
	char word[26];
	char quoted[DIAG_QUOTE];
	uint64_t v, *met;

	if (c->n == 0 || c->n > 22)
		return;
	v = span_prefix(c->p, c->n);
	met = &w->known[(v * 0x9e3779b97f4a7c15ull) >> 58];
	if (c->n <= 8 && *met == v)
		return;
	word[0] = ' ';
	memcpy(word + 1, c->p, c->n);
	memcpy(word + 1 + c->n, " ", 2);
	if (strstr(known, word) != NULL) {
		if (c->n <= 8)
			*met = v;
		return;
	}
	for (size_t i = 0; i < w->warnings; i++) {
		if (strcmp(w->strange[i], word) == 0)
			return;
	}
	if (w->warnings == 8)
		return;
	memcpy(w->strange[w->warnings++], word, c->n + 3);
	warn_msg("product type identifier", "warning: %s is new",
	    diag_quote(quoted, c->p, c->n));
}

/* The cells of the line with tabs behind them: as they came, but for those that
 * were changed. */
static char *
put_line(const struct writer *w, char *o)
{
	const char *from = w->line;
	size_t last = w->tab[w->columns - 1];

	for (uint64_t m = w->changed; m != 0; m &= m - 1) {
		size_t i = (size_t)__builtin_ctzll(m);
		size_t start = i == 0 ? 0 : w->tab[i - 1] + 1;

		o = put_raw(o, from, (size_t)(w->line + start - from));
		o = put_raw(o, w->cell[i].p, w->cell[i].n);
		from = w->line + w->tab[i];
	}
	o = put_raw(o, from, (size_t)(w->line + last - from));
	*o++ = '\t';
	return o;
}

/* The cells of known columns in our own order, so that Apple's does not
 * matter; of others, which may come and go, those with something in them. */
static void
add_identity(struct writer *w, size_t line)
{
	const struct layout *l = w->r->l;
	struct buf *b = &w->idents;
	size_t from = b->len;
	char *o;

	if (!buf_room(b,
		w->identity_len + 2 * line + l->leads + COLUMNS_MAX * 12 + 256))
		die(RC_OSERR, NULL, "out of memory");
	w->ident[w->n] = from;
	o = b->p + from;
	memcpy(o, w->r->identity, w->identity_len);
	o += w->identity_len;
	if (w->straight && !w->short_line)
		o = put_line(w, o);
	for (size_t i = w->straight && !w->short_line ? w->columns : 0;
	     i < l->n_order; i++) {
		if (l->order[i] >= 0)
			o = put_raw(
			    o, w->cell[l->order[i]].p, w->cell[l->order[i]].n);
		*o++ = '\t';
	}
	for (size_t i = 0; i < l->n_more; i++) {
		const struct column *col = &l->col[l->more[i]];
		const struct cell *c = &w->cell[l->more[i]];

		if (c->n == 0)
			continue;
		o = put_raw(o, col->lead + 2, col->lead_len - 5);
		*o++ = '=';
		o = put_raw(o, c->p, c->n);
		*o++ = '\t';
	}
	b->len = (size_t)(o - b->p);
	w->ident_len[w->n] = b->len - from;
	w->hash[w->n] = XXH3_64bits(b->p + from, b->len - from);
	table_ahead(&w->seen, w->hash[w->n]);
	b->len += DIGITS; /* for how often it was seen */
}

static void
shape_make(struct shape *s, const struct layout *l, uint64_t empty)
{
	struct buf b = BUF_INIT(SIZE_MAX / 2);

	buf_room(&b, l->leads + 2 * l->n + 80);
	s->n = 0;
	s->at[0] = 0;
	for (size_t i = 0; i < l->n; i++) {
		buf_add(&b, l->col[i].lead, l->col[i].lead_len);
		if ((empty >> i & 1) == 0) {
			s->cell[s->n++] = (uint8_t)i;
			s->at[s->n] = (uint32_t)b.len;
		}
		buf_char(&b, '"');
	}
	buf_add(&b, "}\n", 2);
	s->at[s->n + 1] = (uint32_t)b.len;
	free(s->text);
	s->text = xcalloc(1, b.len + 16);
	memcpy(s->text, b.p, b.len);
	buf_release(&b);
	s->empty = empty;
	s->set = true;
}

/* The shape of the row; lines of one kind have few of them. */
static const struct shape *
shape_of(struct writer *w)
{
	uint64_t empty = 0;
	struct shape *s;

	for (size_t i = 0; i < w->columns; i++)
		empty |= (uint64_t)(w->cell[i].n == 0) << i;
	s = &w->shape[(empty * 0x9e3779b97f4a7c15ull) >> 60];
	if (!s->set || s->empty != empty)
		shape_make(s, w->r->l, empty);
	return s;
}

static char *
put_cells(struct writer *w, char *o)
{
	const struct layout *l = w->r->l;
	const struct shape *s;
	size_t i;

	if (l->n > SHAPED || w->columns != l->n) {
		for (i = 0; i < l->n; i++) {
			const struct cell *c = &w->cell[i];

			o = put_raw(o, l->col[i].lead, l->col[i].lead_len);
			o = w->escapes ? put_text(o, c->p, c->n)
				       : put_raw(o, c->p, c->n);
			*o++ = '"';
		}
		memcpy(o, "}\n", 2);
		return o + 2;
	}
	s = shape_of(w);
	for (i = 0; i < s->n; i++) {
		const struct cell *c = &w->cell[s->cell[i]];

		o = put_raw(o, s->text + s->at[i], s->at[i + 1] - s->at[i]);
		o = w->escapes ? put_text(o, c->p, c->n)
			       : put_raw(o, c->p, c->n);
	}
	return put_raw(o, s->text + s->at[i], s->at[i + 1] - s->at[i]);
}

/* One more than before, as text. */
static void
count_up(struct writer *w)
{
	size_t i = sizeof w->ordinal;

	while (i > w->ordinal_at && w->ordinal[i - 1] == '9')
		w->ordinal[--i] = '0';
	if (i == w->ordinal_at)
		w->ordinal[--w->ordinal_at] = '1';
	else
		w->ordinal[i - 1]++;
}

static void
add_row(struct writer *w, const char *p, const char *end)
{
	const struct layout *l = w->r->l;
	struct buf *b = &w->text;
	const char *only = w->r->only;
	char *o;

	split(w, p, end);
	if (l->footer && w->cell[0].n >= 5 &&
	    memcmp(w->cell[0].p, "Total", 5) == 0)
		return;
	normal(w);
	if (only != NULL &&
	    (w->cell[l->date].n != DATE_LEN ||
		memcmp(w->cell[l->date].p, only, DATE_LEN) != 0))
		return;
	if (l->product >= 0)
		look_at_product(w, &w->cell[l->product]);
	add_identity(w, (size_t)(end - p));
	if (!buf_room(b, w->lead_len + l->leads + 6 * (size_t)(end - p) +
			     l->n * 12 + 512))
		die(RC_OSERR, NULL, "out of memory");
	buf_add(b, "{\"event_id\":\"", 13);
	w->id_at[w->n] = b->len;
	b->len += SHA_HEX;
	buf_add(b, "\",", 2);
	buf_add(b, w->r->lead, w->lead_len);
	count_up(w);
	buf_add(
	    b, w->ordinal + w->ordinal_at, sizeof w->ordinal - w->ordinal_at);
	o = put_cells(w, b->p + b->len);
	b->len = (size_t)(o - b->p);

	if (++w->n == BATCH)
		flush_batch(w, false);
}

/* Calls row for each line that is not blank. */
static int
each_line(struct spool *plain,
    void (*row)(void *ctx, const char *p, const char *end), void *ctx)
{
	char *buf = xmalloc(BLOCK + LINE_MAX_BYTES + 128);
	size_t have = 0;
	ssize_t n;

	spool_rewind(plain);
	while ((n = spool_read(plain, buf + have, BLOCK)) > 0 || have > 0) {
		char *p = buf, *end = buf + have + (n > 0 ? n : 0), *nl;

		if (n < 0)
			break;
		if (n == 0) /* a last line without its end */
			*end++ = '\n';
		while ((nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
			const char *q = p;

			while (
			    q < nl && (*q == ' ' || *q == '\t' || *q == '\r'))
				q++;
			if (q < nl)
				row(ctx, p, nl);
			p = nl + 1;
		}
		have = (size_t)(end - p);
		memmove(buf, p, have);
		if (n == 0)
			break;
	}
	free(buf);
	if (n < 0)
		warn_sys(NULL, "cannot read what was kept");
	return n < 0 ? RC_IO : RC_OK;
}

static void
on_row(void *ctx, const char *p, const char *end)
{
	add_row(ctx, p, end);
}

int
rows_write(struct rows *r, struct spool *plain)
{
	struct writer *w = xcalloc(1, sizeof *w);
	int rc;

	w->r = r;
	w->columns = r->l->n;
	w->lead_len = strlen(r->lead);
	w->identity_len = strlen(r->identity);
	buf_init(&w->text, SIZE_MAX / 2);
	buf_init(&w->idents, SIZE_MAX / 2);
	buf_init(&w->quoted, SIZE_MAX / 2);
	table_make(&w->seen, TABLE_FIRST);
	set_normal(w);
	w->ordinal_at = sizeof w->ordinal;
	if (r->count > 0)
		w->ordinal_at -= (size_t)snprintf(w->ordinal, sizeof w->ordinal,
		    "%llu", (unsigned long long)r->count);
	memmove(w->ordinal + w->ordinal_at, w->ordinal,
	    sizeof w->ordinal - w->ordinal_at);
	rc = each_line(plain, on_row, w);
	flush_batch(w, true);
	for (size_t i = 0; i < SHAPES; i++)
		free(w->shape[i].text);
	free(w->seen.key);
	free(w->seen.count);
	buf_release(&w->text);
	buf_release(&w->idents);
	buf_release(&w->quoted);
	free(w);
	return rc;
}

struct days {
	struct writer w;
	struct rows r;
	void (*day)(void *ctx, int32_t day);
	void *ctx;
	int32_t last;
};

static void
on_day(void *ctx, const char *p, const char *end)
{
	struct days *d = ctx;
	const struct layout *l = d->r.l;
	int32_t day;

	split(&d->w, p, end);
	normal(&d->w);
	if (date_parse(d->w.cell[l->date].p, d->w.cell[l->date].n, &day) &&
	    day != d->last) {
		d->last = day;
		d->day(d->ctx, day);
	}
}

int
rows_days(const struct layout *l, struct spool *plain,
    void (*day)(void *ctx, int32_t day), void *ctx)
{
	struct days *d = xcalloc(1, sizeof *d);
	int rc;

	d->r.l = l;
	d->w.r = &d->r;
	d->w.columns = (size_t)l->date + 1;
	d->day = day;
	d->ctx = ctx;
	d->last = INT32_MIN;
	buf_init(&d->w.quoted, SIZE_MAX / 2);
	set_normal(&d->w);
	rc = each_line(plain, on_day, d);
	buf_release(&d->w.quoted);
	free(d);
	return rc;
}
