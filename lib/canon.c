/*
 * Canonical records, fast.
 *
 * A value is clean when its text is its canonical form: no blanks, no escape
 * that could be shorter, numbers in shortest form, keys in order. One walk
 * tells clean values from others; an object is then written member by member
 * in order of its keys, clean ones as one slice.
 */
#include "canon.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "span.h"
#include "splice.h"

/* Deeper values go to json_canonical, whose stack is its own. */
enum { DEEP = 24 };

struct member {
	uint64_t prefix; /* of the key */
	const char *p;   /* opening quote of the key */
	const char *value;
	uint32_t key_len; /* without quotes */
	uint32_t len;     /* from p to the end of the value */
	bool clean;       /* p, len is the canonical member */
	bool escaped;     /* the key has a backslash */
};

struct canon {
	struct member *members; /* a stack, one stretch for each open object */
	size_t n, cap;
	uint16_t *order; /* of the last record's members, tried first */
	size_t order_n, order_cap;
};

struct canon *
canon_new(void)
{
	return xcalloc(1, sizeof(struct canon));
}

void
canon_free(struct canon *c)
{
	if (c == NULL)
		return;
	free(c->members);
	free(c->order);
	free(c);
}

/* Is the number's text its shortest form? "No" is always a safe answer. */
static inline const char *
number(const char *p, bool *clean)
{
	const char *digits, *dot;

	p += *p == '-';
	digits = p;
	while (*p >= '0' && *p <= '9')
		p++;
	if (*p != '.' && *p != 'e' && *p != 'E') {
		*clean &=
		    p - digits <= 20 && (digits[0] != '0' || digits[-1] != '-');
		return p;
	}
	dot = p;
	if (*p == '.')
		for (p++; *p >= '0' && *p <= '9';)
			p++;
	*clean &= p[-1] != '0' && p - digits <= 20 && *p != 'e' && *p != 'E' &&
		  (digits[0] != '0' || p - dot < 6);
	while ((*p >= '0' && *p <= '9') || *p == 'e' || *p == 'E' ||
	       *p == '+' || *p == '-')
		p++;
	return p;
}

/* Escapes that have no shorter form leave a string clean. */
static const char *
escapes(const char *p, bool *clean)
{
	while (*p == '\\') {
		*clean &= p[1] != '/' && p[1] != 'u';
		p = span_special(p + 2);
	}
	return p + 1;
}

static inline const char *
string(const char *p, bool *clean)
{
	p = span_special(p + 1);
	return *p == '"' ? p + 1 : escapes(p, clean);
}

static int
key_order(const struct member *a, const struct member *b)
{
	size_t n = a->key_len < b->key_len ? a->key_len : b->key_len;
	int c;

	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	c = memcmp(a->p + 1, b->p + 1, n);
	return c != 0 ? c
		      : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static const char *value(const char *p, int depth, bool *clean);

static inline const char *
key(const char *p, struct member *m)
{
	m->p = p;
	m->escaped = false;
	p = span_string(p, &m->escaped);
	m->key_len = (uint32_t)(p - m->p - 2);
	m->prefix = span_prefix(m->p + 1, m->key_len);
	return p;
}

/* Steps over the object at p. */
static const char *
object(const char *p, int depth, bool *clean)
{
	struct member last, m;
	bool first = true;

	for (p++;; first = false, last = m) {
		const char *q = span_blanks(p);

		if (*q == '}') {
			*clean &= q == p;
			return q + 1;
		}
		*clean &= q == p;
		if (!first) {
			*clean &= q[1] == '"';
			q = span_blanks(q + 1);
		}
		p = key(q, &m);
		if (!first && key_order(&last, &m) >= 0)
			*clean = false;
		*clean &= !m.escaped && *p == ':';
		p = span_blanks(p) + 1;
		p = value(p, depth + 1, clean);
	}
}

static const char *
array(const char *p, int depth, bool *clean)
{
	for (p++;; p++) {
		const char *q = span_blanks(p);

		if (*q == ']') {
			*clean &= q == p;
			return q + 1;
		}
		p = value(p, depth + 1, clean);
		q = span_blanks(p);
		*clean &= q == p;
		p = q;
		if (*p == ']')
			return p + 1;
	}
}

/* Steps over a value and any blanks before it. */
static const char *
value(const char *p, int depth, bool *clean)
{
	if (*p == '"')
		return string(p, clean);
	if (*p == ' ' || *p == '\t' || *p == '\r') {
		*clean = false;
		p = span_blanks(p);
	}
	switch (*p) {
	case '"':
		return string(p, clean);
	case '{':
	case '[':
		if (depth >= DEEP) {
			struct json_span v = json_value(p);

			*clean = false;
			return v.p + v.len;
		}
		return *p == '{' ? object(p, depth, clean)
				 : array(p, depth, clean);
	case 't':
	case 'n':
		return p + 4;
	case 'f':
		return p + 5;
	default:
		return number(p, clean);
	}
}

static struct member *
push(struct canon *c)
{
	if (c->n == c->cap) {
		c->cap = c->cap == 0 ? 64 : c->cap * 2;
		c->members =
		    xreallocarray(c->members, c->cap, sizeof *c->members);
	}
	return &c->members[c->n++];
}

static bool
skipped(const char *v, const char *const *skip, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (skip[i] == v)
			return true;
	return false;
}

/* Puts the members of the object at p on the stack. False: an escaped key. */
static bool
collect(struct canon *c, const char *p, int depth, const char *const *skip,
    size_t nskip)
{
	for (p++;;) {
		struct member *m;

		p = span_blanks(p);
		if (*p == ',')
			p = span_blanks(p + 1);
		if (*p == '}')
			return true;
		m = push(c);
		p = key(p, m);
		if (m->escaped)
			return false;
		m->clean = *p == ':';
		p = span_blanks(p) + 1;
		m->value = p = span_blanks(p);
		m->clean &= p[-1] == ':';
		p = value(p, depth + 1, &m->clean);
		m->len = (uint32_t)(p - m->p);
		if (nskip > 0 && skipped(m->value, skip, nskip))
			c->n--;
	}
}

static int
by_key(const void *a, const void *b)
{
	return key_order(a, b);
}

/* Members in a new order: strictly ascending, or -1. */
static int
ascending(const struct member *m, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (key_order(&m[i - 1], &m[i]) >= 0)
			return -1;
	return 0;
}

static int
sort(struct member *m, size_t n)
{
	if (ascending(m, n) == 0)
		return 0;
	if (n > 40) {
		qsort(m, n, sizeof *m, by_key);
		return ascending(m, n);
	}
	for (size_t i = 1; i < n; i++) {
		struct member x = m[i];
		size_t k = i;

		for (; k > 0 && key_order(&m[k - 1], &x) > 0; k--)
			m[k] = m[k - 1];
		m[k] = x;
	}
	return ascending(m, n);
}

static bool emit(struct canon *c, struct buf *out, const char *p,
    const char *end, int depth);

static bool
emit_member(struct canon *c, struct buf *out, size_t index, int depth)
{
	struct member m = c->members[index];

	if (m.clean) {
		if (buf_room(out, m.len + 64)) {
			span_copy(out->p + out->len, m.p, m.len);
			out->len += m.len;
		}
		return true;
	}
	buf_add(out, m.p, m.key_len + 2);
	buf_char(out, ':');
	return emit(c, out, m.value, m.p + m.len, depth + 1);
}

static bool
slow(struct buf *out, const char *p)
{
	struct json_span v = json_value(p), dup;

	return json_canonical(out, &v, &dup);
}

static bool
emit_object(struct canon *c, struct buf *out, const char *p, int depth)
{
	size_t base = c->n, end;
	bool ok = true;

	if (!collect(c, p, depth, NULL, 0)) {
		c->n = base;
		return slow(out, p);
	}
	end = c->n;
	if (sort(c->members + base, end - base) < 0)
		ok = false;
	buf_char(out, '{');
	for (size_t i = base; ok && i < end; i++) {
		if (i > base)
			buf_char(out, ',');
		ok = emit_member(c, out, i, depth);
	}
	buf_char(out, '}');
	c->n = base;
	return ok;
}

static bool
emit_array(struct canon *c, struct buf *out, const char *p, int depth)
{
	bool ok = true, first = true;

	buf_char(out, '[');
	for (p++; ok; first = false) {
		const char *from;
		bool clean = true;

		p = span_blanks(p);
		if (*p == ',')
			p = span_blanks(p + 1);
		if (*p == ']')
			break;
		if (!first)
			buf_char(out, ',');
		from = p;
		p = value(p, depth + 1, &clean);
		if (clean)
			buf_add(out, from, (size_t)(p - from));
		else
			ok = emit(c, out, from, p, depth + 1);
	}
	buf_char(out, ']');
	return ok;
}

/* The value from p to end, which is not clean. */
static bool
emit(
    struct canon *c, struct buf *out, const char *p, const char *end, int depth)
{
	struct json_span v = {
	    p, (uint32_t)(end - p), JSON_STRING, JSON_ESCAPED};

	if (depth >= DEEP && (*p == '{' || *p == '['))
		return slow(out, p);
	if (*p == '{')
		return emit_object(c, out, p, depth);
	if (*p == '[')
		return emit_array(c, out, p, depth);
	if (*p != '"')
		return slow(out, p);
	if (!buf_room(out, 2 * (size_t)v.len + 64))
		return true;
	{
		/* Decoded behind the room for the result, which is at most
		 * as long as the source. */
		char *text = out->p + out->len + v.len;

		json_write_string(out, text, json_decode(&v, text));
	}
	return true;
}

/* Keys with escapes among members to be left out: rare enough to copy. */
static bool
slow_without(struct buf *out, const struct json_span *v,
    const char *const *skip, size_t nskip)
{
	struct splice s;
	struct buf copy = BUF_INIT((size_t)v->len + JSON_PAD);
	bool ok = true;

	splice_init(&s, 0);
	for (size_t i = 0; i < nskip; i++)
		if (skip[i] != NULL) {
			struct json_span gone = json_value(skip[i]);

			splice_drop_member(&s, v->p, &gone);
		}
	splice_resolve(&s, v->p);
	splice_apply(&s, v->p, v->len, &copy);
	buf_add(&copy, "\n", 1);
	ok = slow(out, copy.p);
	splice_release(&s);
	buf_release(&copy);
	return ok;
}

/* The members as the last record had them, if that puts them in order. */
static bool
remembered(struct canon *c, size_t n)
{
	const struct member *m = c->members;

	if (c->order_n != n)
		return false;
	for (size_t i = 1; i < n; i++)
		if (key_order(&m[c->order[i - 1]], &m[c->order[i]]) >= 0)
			return false;
	return true;
}

/* Finds the order and keeps it. False: a key twice. */
static bool
find_order(struct canon *c, size_t n)
{
	if (n > c->order_cap) {
		c->order_cap = n;
		c->order = xreallocarray(c->order, n, sizeof *c->order);
	}
	c->order_n = 0;
	for (size_t i = 0; i < n; i++) {
		size_t k = i;

		for (; k > 0 && key_order(&c->members[c->order[k - 1]],
				    &c->members[i]) > 0;
		     k--)
			c->order[k] = c->order[k - 1];
		c->order[k] = (uint16_t)i;
	}
	c->order_n = n;
	return remembered(c, n);
}

bool
canon_record(struct canon *c, struct buf *out, const struct json_span *v,
    const char *const *skip, size_t nskip)
{
	size_t n;
	bool ok = true;

	c->n = 0;
	if (!collect(c, v->p, 0, skip, nskip)) {
		c->n = 0;
		return slow_without(out, v, skip, nskip);
	}
	n = c->n;
	if (n > 1 && n <= 256) {
		if (!remembered(c, n) && !find_order(c, n))
			return false;
	} else if (sort(c->members, n) < 0) {
		return false;
	}
	buf_char(out, '{');
	for (size_t i = 0; ok && i < n; i++) {
		if (i > 0)
			buf_char(out, ',');
		ok =
		    emit_member(c, out, n > 1 && n <= 256 ? c->order[i] : i, 0);
	}
	buf_char(out, '}');
	return ok;
}
