#include "fv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "dec.h"
#include "fv_impl.h"
#include "mem.h"

#define SAFE_INT INT64_C(9007199254740992) /* 2^53 */
#define JSON_CELL_MAX ((size_t)64 << 20)

/* ---- the schema ---- */

static enum kind
kind_of(const struct json_span *type)
{
	static const struct {
		const char *name;
		enum kind kind;
	} types[] = {{"INTEGER", KIND_INT}, {"INT64", KIND_INT},
	    {"FLOAT", KIND_FLOAT}, {"FLOAT64", KIND_FLOAT},
	    {"BOOLEAN", KIND_BOOL}, {"BOOL", KIND_BOOL},
	    {"TIMESTAMP", KIND_TIME}, {"RECORD", KIND_RECORD},
	    {"STRUCT", KIND_RECORD}};

	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (json_is(type, types[i].name, strlen(types[i].name)))
			return types[i].kind;
	}
	return KIND_TEXT;
}

static void
cols_free(struct col *c, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(c[i].key);
		free(c[i].name);
		cols_free(c[i].child, c[i].n);
	}
	free(c);
}

/* Is the column (its dotted path) selected: itself, one above it, or one
 * below it? *used counts the entries of the list that were met exactly. */
static bool
selected(const char *list, const char *path, size_t *used)
{
	size_t n = strlen(path);
	bool found = false;

	for (const char *p = list; *p != '\0';) {
		size_t len = strcspn(p, ",");
		size_t least = len < n ? len : n;

		if (memcmp(p, path, least) == 0 &&
		    (len == n || (len < n && path[len] == '.') ||
			(n < len && p[n] == '.'))) {
			found = true;
			*used += len == n;
		}
		p += len + (p[len] == ',');
	}
	return found;
}

struct build {
	struct fv *v;
	const char *select;
	size_t used;
	char **why;
};

static bool columns(struct build *b, struct col *at, const char *path,
    const struct json_span *fields, unsigned depth);

static bool
column(struct build *b, struct col *at, const char *path,
    const struct json_span *field, unsigned depth)
{
	struct json_span name, type, mode, sub;
	struct buf text = BUF_INIT(8192);
	struct col *c;
	char *full;
	bool ok = true;

	name = json_member(field, "name");
	type = json_member(field, "type");
	mode = json_member(field, "mode");
	if (field->type != JSON_OBJECT || name.type != JSON_STRING ||
	    type.type != JSON_STRING || name.len > 2000) {
		*b->why = xasprintf("a field of %s without name or type",
		    *path == '\0' ? "the schema" : path);
		return false;
	}
	json_decode_buf(&name, &text);
	full = xasprintf(
	    "%s%s%s", path, *path == '\0' ? "" : ".", buf_cstr(&text));
	buf_release(&text);
	if (b->select != NULL && !selected(b->select, full, &b->used)) {
		free(full);
		return true;
	}
	at->child = xreallocarray(at->child, at->n + 1, sizeof *at->child);
	c = &at->child[at->n++];
	memset(c, 0, sizeof *c);
	c->name = full;
	c->kind = kind_of(&type);
	c->repeated = mode.type == JSON_STRING && json_is(&mode, "REPEATED", 8);
	c->decimal =
	    json_is(&type, "NUMERIC", 7) || json_is(&type, "BIGNUMERIC", 10);
	c->document = json_is(&type, "JSON", 4);
	c->key_len = name.len + 2u;
	c->key = xcalloc(1, c->key_len + 64);
	c->key[0] = ',';
	memcpy(c->key + 1, name.p, name.len);
	c->key[c->key_len - 1] = ':';
	if (c->key_len > b->v->max_key)
		b->v->max_key = c->key_len;
	if (c->kind == KIND_RECORD) {
		sub = json_member(field, "fields");
		ok = columns(b, c, full, &sub, depth + 1);
	}
	return ok;
}

static bool
columns(struct build *b, struct col *at, const char *path,
    const struct json_span *fields, unsigned depth)
{
	struct json_iter it;
	struct json_span f;

	if (fields->type != JSON_ARRAY || depth > FV_DEPTH) {
		*b->why = xasprintf("%s has no list of fields",
		    *path == '\0' ? "the schema" : path);
		return false;
	}
	json_iter_init(&it, fields);
	while (json_next_element(&it, &f)) {
		if (!column(b, at, path, &f, depth))
			return false;
	}
	return true;
}

struct fv *
fv_new(const struct json_span *fields, const char *select, char **why)
{
	struct fv *v = xcalloc(1, sizeof *v);
	struct build b = {v, select, 0, why};
	size_t asked = 1;

	v->root.name = xstrdup("the row");
	v->root.kind = KIND_RECORD;
	if (!columns(&b, &v->root, "", fields, 0)) {
		fv_free(v);
		return NULL;
	}
	for (const char *p = select; p != NULL && (p = strchr(p, ',')); p++)
		asked++;
	if (select != NULL && b.used != asked) {
		*why = xasprintf("a column of '%s' is not in the table, or is "
				 "named twice",
		    select);
		fv_free(v);
		return NULL;
	}
	return v;
}

void
fv_free(struct fv *v)
{
	if (v == NULL)
		return;
	free(v->root.name);
	cols_free(v->root.child, v->root.n);
	free(v);
}

/* ---- forms ---- */

static void
as_query(struct col *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct col *k = &c->child[i];

		k->nulls = true;
		if (k->kind == KIND_INT)
			k->kind = KIND_SMALL_INT;
		else if (k->kind == KIND_TIME)
			k->kind = KIND_INSTANT;
		else if (k->decimal)
			k->kind = KIND_DECIMAL;
		else if (k->document)
			k->kind = KIND_DOCUMENT;
		as_query(k);
	}
}

static void
set_form(struct col *c, int style)
{
	if (style == FV_OMIT_NULL)
		c->nulls = false;
	else if (style == FV_JSON && c->kind == KIND_TEXT)
		c->kind = KIND_MAYBE_JSON;
	else if (style == FV_NUMBER && c->kind == KIND_TEXT)
		c->kind = KIND_NUMBER;
}

bool
fv_style(struct fv *v, int style, const char *columns, char **why)
{
	struct col *c = v->root.child;

	if (style == FV_QUERY) {
		as_query(&v->root);
		return true;
	}
	for (size_t i = 0; columns == NULL || strcmp(columns, "all") == 0;
	     i++) {
		if (i == v->root.n)
			return true;
		set_form(&c[i], style);
	}
	while (*columns != '\0') {
		size_t len = strcspn(columns, ","), i = 0;

		while (i < v->root.n && (strlen(c[i].name) != len ||
					    memcmp(c[i].name, columns, len)))
			i++;
		if (i == v->root.n) {
			*why = xasprintf("no column is named %.*s",
			    len > 200 ? 200 : (int)len, columns);
			return false;
		}
		set_form(&c[i], style);
		columns += len + (columns[len] == ',');
	}
	return true;
}

size_t
fv_columns(const struct fv *v)
{
	return v->root.n;
}

/* ---- a row ---- */

/* The text is valid JSON: what is looked for is its shape. */
static inline const char *
blanks(const char *p)
{
	if ((unsigned char)*p <= ' ')
		p = span_blanks(p);
	return p;
}

static const char *
bad(struct fv *v, const struct col *c, const char *what)
{
	if (v->wrong == NULL) {
		v->at = c;
		v->wrong = what;
	}
	return NULL;
}

/* After `{"x":`, NULL where it is not there. */
static const char *
open_slow(const char *p, char x)
{
	p = blanks(p);
	if (*p++ != '{')
		return NULL;
	p = blanks(p);
	if (p[0] != '"' || p[1] != x || p[2] != '"')
		return NULL;
	p = blanks(p + 3);
	return *p == ':' ? blanks(p + 1) : NULL;
}

static inline const char *
open_key(const char *p, char x)
{
	const char want[4] = {'{', '"', x, '"'};

	if (memcmp(p, want, 4) == 0 && p[4] == ':' && (unsigned char)p[5] > ' ')
		return p + 5;
	return open_slow(p, x);
}

static inline const char *
put_string(struct fv *v, const char *p)
{
	char *o = v->o;

	*o++ = *p++;
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i slash = _mm_set1_epi8('\\');

	for (;;) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
		unsigned m = (unsigned)_mm_movemask_epi8(_mm_or_si128(
		    _mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash)));

		_mm_storeu_si128((__m128i *)(void *)o, x);
		if (m == 0) {
			p += 16;
			o += 16;
			continue;
		}
		p += __builtin_ctz(m);
		o += __builtin_ctz(m);
		if (*p == '"')
			break;
		o[0] = p[0];
		o[1] = p[1];
		p += 2;
		o += 2;
	}
#else
	for (; *p != '"'; *o++ = *p++) {
		if (*p == '\\')
			*o++ = *p++;
	}
#endif
	*o++ = *p++;
	v->o = o;
	return p;
}

static const char *
put_int(struct fv *v, const struct col *c, const char *p)
{
	bool text = *p == '"';
	const char *from = p + text;
	bool minus = *from == '-';
	size_t n = digits(from + minus);
	int64_t any;

	if (n == 0 || (text && from[minus + n] != '"'))
		return bad(v, c, "is no INT64");
	if (n >= 19) {
		struct json_span s = {p, (uint32_t)(n + minus + 2u * text),
		    text ? JSON_STRING : JSON_NUMBER, 0};

		if (n > 40 || !json_i64(&s, &any))
			return bad(v, c, "is no INT64");
	}
	n += minus;
	if (!text && strchr(".eE", from[n]) != NULL)
		return bad(v, c, "is no INT64");
	*v->o = '"';
	span_copy(v->o + 1, from, n);
	v->o[n + 1] = '"';
	v->o += n + 2;
	return from + n + text;
}

/* Any other number, or one of the words. */
static const char *
float_slow(struct fv *v, const struct col *c, const char *p, size_t n)
{
	static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
	struct buf text = BUF_INIT(4096);
	struct json_error e;

	for (size_t i = 0; i < 3; i++) {
		if (strlen(words[i]) == n && memcmp(words[i], p, n) == 0) {
			put(v, p - 1, n + 2);
			return p + n + 1;
		}
	}
	if (n == 0 || n > 1000 || (*p != '-' && digits(p) == 0) ||
	    !json_check(p, n, false, &e))
		return bad(v, c, "is no FLOAT64");
	num_canonical(&text, p, n);
	/* a canonical form is never much longer: room was made */
	if (text.over || text.len > n + 32) {
		buf_release(&text);
		return bad(v, c, "is no FLOAT64");
	}
	put(v, text.p, text.len);
	buf_release(&text);
	return p + n;
}

static const char *
put_float(struct fv *v, const struct col *c, const char *p)
{
	bool text = *p == '"';
	const char *from = p + text, *q = from, *end;
	size_t whole, part = 0, n;

	whole = digits(q);
	q += whole;
	if (whole > 0 && *q == '.') {
		part = digits(q + 1);
		q += part + 1;
	}
	end = q;
	while (text ? *end != '"' : strchr(",}] \t\r\n", *end) == NULL)
		end++;
	if (whole == 0 || whole > 15 || (whole > 1 && *from == '0') ||
	    end != q || q[-1] == '.' || (*from == '0' && part > 6)) {
		q = float_slow(v, c, from, (size_t)(end - from));
		return q == NULL ? NULL : end + text;
	}
	n = (size_t)(q - from);
	if (part > 0) {
		while (from[n - 1] == '0')
			n--;
		n -= from[n - 1] == '.';
	}
	put(v, from, n);
	return end + text;
}

static const char *
put_bool(struct fv *v, const struct col *c, const char *p)
{
	bool text = *p == '"';
	const char *from = p + text;
	size_t n = *from == 't' ? 4 : 5;

	if (memcmp(from, n == 4 ? "true" : "false", n) != 0 ||
	    (text && from[n] != '"'))
		return bad(v, c, "is no BOOL");
	put(v, from, n);
	return from + n + text;
}

/* Microseconds since 1970 to the text an extract job writes. */
static const char *
put_time(struct fv *v, const struct col *c, const char *p)
{
	struct json_span s = json_value(p);
	char day[DATE_LEN + 1], text[64];
	int64_t us, sec, rest;
	int n;

	if (!json_i64(&s, &us) || us < -62135596800000000 ||
	    us >= 253402300800000000)
		return bad(v, c, "is no TIMESTAMP in microseconds");
	sec = us / 1000000 - (us % 1000000 < 0);
	rest = us - sec * 1000000;
	date_format(day_of_ms(sec * 1000), day);
	sec = (sec % 86400 + 86400) % 86400;
	n = snprintf(text, sizeof text, "\"%s %02d:%02d:%02d", day,
	    (int)(sec / 3600), (int)(sec / 60 % 60), (int)(sec % 60));
	put(v, text, (size_t)n);
	if (rest != 0) {
		n = snprintf(text, sizeof text, ".%06d", (int)rest);
		put(v, text, (size_t)n);
	}
	put(v, " UTC\"", 5);
	return s.p + s.len;
}

/* INT64 as a number, where no reader's double changes it. */
static const char *
put_small(struct fv *v, const struct col *c, const char *p)
{
	struct json_span s;
	char *from = v->o;
	int64_t n;

	p = put_int(v, c, p);
	s = (struct json_span){from, (uint32_t)(v->o - from), JSON_STRING, 0};
	if (p == NULL || !json_i64(&s, &n) || n > SAFE_INT || n < -SAFE_INT)
		return p;
	v->o = from + snprintf(from, 24, "%lld", (long long)n);
	return p;
}

/* A cell's text, decoded, into the buffer. NULL: it is no text. */
static const char *
cell_text(struct fv *v, const struct col *c, const char *p, struct buf *text)
{
	struct json_span s = json_value(p);

	if (s.type != JSON_STRING)
		return bad(v, c, "is no text");
	json_decode_buf(&s, text);
	return s.p + s.len;
}

/* Is it `-12.50`: digits, at most one point among them? */
static bool
plain_number(const char *p, size_t n)
{
	size_t i = n > 0 && *p == '-', whole, part = 0;

	whole = strspn(p + i, "0123456789");
	i += whole;
	if (p[i] == '.') {
		part = strspn(p + i + 1, "0123456789");
		i += part + 1;
	}
	return whole > 0 && i == n && (p[n - 1] != '.');
}

/* NUMERIC in its plain form, all digits kept. */
static const char *
put_decimal(struct fv *v, const struct col *c, const char *p)
{
	struct buf text = BUF_INIT(4096);
	const char *q = cell_text(v, c, p, &text), *t = buf_cstr(&text);
	size_t n = text.len;
	char plain[DEC_TEXT];
	struct dec d;

	if (q == NULL || n > 1000) {
		buf_release(&text);
		return q == NULL ? NULL : bad(v, c, "is no NUMERIC");
	}
	if (!plain_number(t, n)) {
		size_t len = 0;

		if (dec_parse(t, n, &d))
			len = dec_format(&d, plain);
		buf_release(&text);
		/* room was made for no more */
		if (len == 0 || len > n + 36)
			return bad(v, c, "is no NUMERIC");
		put(v, plain, len);
		return q;
	}
	if (memchr(t, '.', n) != NULL) {
		while (t[n - 1] == '0')
			n--;
		n -= t[n - 1] == '.';
	}
	if (*t == '-' && strspn(t + 1, "0.") >= n - 1)
		t++, n--; /* minus nothing */
	if (*t == '-')
		*v->o++ = *t++, n--;
	while (n > 1 && *t == '0' && t[1] != '.')
		t++, n--;
	put(v, t, n);
	buf_release(&text);
	return q;
}

/* A text that stands for itself where it is JSON of the wanted kind. */
static const char *
put_document(struct fv *v, const struct col *c, const char *p)
{
	struct buf text = BUF_INIT(JSON_CELL_MAX);
	const char *q = cell_text(v, c, p, &text), *t = buf_cstr(&text);
	struct json_error e;
	bool is;

	if (q == NULL || text.over) {
		buf_release(&text);
		return q == NULL ? NULL : bad(v, c, "is too long");
	}
	is = text.len > 0 && memchr(t, '\n', text.len) == NULL &&
	     (c->kind == KIND_DOCUMENT ||
		 (c->kind == KIND_NUMBER ? *t == '-' || (*t >= '0' && *t <= '9')
					 : *t == '{' || *t == '[')) &&
	     json_check(t, text.len, false, &e);
	if (is)
		put(v, t, text.len);
	buf_release(&text);
	if (!is && c->kind == KIND_NUMBER)
		return bad(v, c, "is not a number");
	return is ? q : put_string(v, p);
}

static const char *
put_instant(struct fv *v, const struct col *c, const char *p)
{
	char *from = v->o;

	p = put_time(v, c, p);
	if (p == NULL)
		return NULL;
	/* "2026-11-19 05:00:00 UTC" */
	from[11] = 'T';
	v->o -= 5;
	put(v, "Z\"", 2);
	return p;
}

static const char *put_record(struct fv *v, const struct col *c, const char *p);

/* A value that is not null. */
static inline const char *
put_value(struct fv *v, const struct col *c, const char *p)
{
	switch (c->kind) {
	case KIND_INT:
		return put_int(v, c, p);
	case KIND_FLOAT:
		return put_float(v, c, p);
	case KIND_BOOL:
		return put_bool(v, c, p);
	case KIND_TIME:
		return put_time(v, c, p);
	case KIND_RECORD:
		return put_record(v, c, p);
	case KIND_SMALL_INT:
		return put_small(v, c, p);
	case KIND_DECIMAL:
		return put_decimal(v, c, p);
	case KIND_INSTANT:
		return put_instant(v, c, p);
	case KIND_DOCUMENT:
	case KIND_MAYBE_JSON:
	case KIND_NUMBER:
		return put_document(v, c, p);
	default:
		if (*p != '"')
			return bad(v, c, "is no text");
		return put_string(v, p);
	}
}

static const char *
put_list(struct fv *v, const struct col *c, const char *p)
{
	if (*p != '[')
		return bad(v, c, "is no list");
	*v->o++ = '[';
	p = blanks(p + 1);
	while (*p != ']') {
		p = open_key(p, 'v');
		if (p == NULL)
			return bad(v, c, "is not a list of v");
		if (*p == 'n') {
			put(v, "null", 4);
			p += 4;
		} else {
			p = put_value(v, c, p);
		}
		if (p == NULL || *(p = blanks(p)) != '}')
			return bad(v, c, "has more in a cell than v");
		p = blanks(p + 1);
		if (*p == ',') {
			*v->o++ = ',';
			p = blanks(p + 1);
		}
	}
	*v->o++ = ']';
	return p + 1;
}

static inline const char *
put_cell(struct fv *v, const struct col *c, const char *p)
{
	if (*p == 'n') {
		put_null(v, c);
		return p + 4;
	}
	put_key(v, c);
	return c->repeated ? put_list(v, c, p) : put_value(v, c, p);
}

/* Each member is written with a comma before it; the first one's place is
 * that of the bracket. */
static const char *
put_record(struct fv *v, const struct col *c, const char *p)
{
	char *start = v->o;

	p = open_key(p, 'f');
	if (p == NULL || *p != '[')
		return bad(v, c, "is no record with f");
	p = blanks(p + 1);
	for (size_t i = 0; i < c->n; i++) {
		p = open_key(p, 'v');
		if (p == NULL)
			return bad(v, c, "has fewer cells than the schema");
		p = put_cell(v, &c->child[i], p);
		if (p == NULL || *(p = blanks(p)) != '}')
			return bad(v, &c->child[i], "has more than v");
		p = blanks(p + 1);
		if (*p == ',' && i + 1 < c->n)
			p = blanks(p + 1);
	}
	if (*p != ']')
		return bad(v, c, "has more cells than the schema");
	p = blanks(p + 1);
	if (*p != '}')
		return bad(v, c, "has more than f");
	if (v->o == start)
		*v->o++ = '{';
	*start = '{';
	*v->o++ = '}';
	return p + 1;
}

/* Most bytes the row can come to: each cell may bring its key. */
static size_t
room_for(const struct fv *v, const char *p, size_t len)
{
	size_t cells = len / 7 + 1;

	if (len > 65536) {
		const char *end = p + len;

		for (cells = 1; (p = memmem(p, (size_t)(end - p), "\"v\"", 3));
		     p += 3)
			cells++;
	}
	return len + cells * (v->max_key + 40) + 256;
}

const char *
fv_row(struct fv *v, const char *text, size_t len, struct buf *out)
{
	const char *p;

	v->wrong = NULL;
	if (!buf_room(out, room_for(v, text, len)))
		return "the row is too long";
	v->o = out->p + out->len;
	p = put_record(v, &v->root, text);
	if (p != NULL && blanks(p) < text + len)
		p = bad(v, &v->root, "has more than f");
	if (p == NULL) {
		snprintf(v->why, sizeof v->why, "%s %s",
		    v->at == NULL ? "the row" : v->at->name, v->wrong);
		return v->why;
	}
	out->len = (size_t)(v->o - out->p);
	return NULL;
}
