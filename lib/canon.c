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
	unsigned not_flat; /* records until flat ones are expected again */
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

#ifdef __SSE2__

/*
 * Flat records, which most events are. Stepping from quote to quote makes
 * each step wait for the one before; here all quotes are found first, 64
 * bytes at a time, and the members then follow from their places.
 */
enum { FLAT_LEN = 2048, QUOTES = 128, ESCAPES = 64, AGAIN = 64 };

struct places {
	uint16_t quote[QUOTES + 64], escape[ESCAPES];
	bool odd[ESCAPES]; /* the escape has a shorter form */
	size_t n, nescapes;
};

/* Takes escaped quotes out of the mask, and notes the escapes. carry: the byte before the block escapes its first one. */
static uint64_t
escaped_out(struct places *pl, const char *p, size_t base, uint64_t slashes,
    uint64_t quotes, bool *carry)
{
	if (*carry) {
		slashes &= ~UINT64_C(1);
		quotes &= ~UINT64_C(1);
	}
	*carry = false;
	while (slashes != 0) {
		unsigned i = (unsigned)__builtin_ctzll(slashes);
		uint64_t pair = UINT64_C(3) << i;

		slashes &= ~pair;
		quotes &= ~(pair & ~(UINT64_C(1) << i));
		*carry = i == 63;
		if (pl->nescapes < ESCAPES) {
			pl->odd[pl->nescapes] =
			    p[i + 1] == 'u' || p[i + 1] == '/';
			pl->escape[pl->nescapes++] = (uint16_t)(base + i);
		}
	}
	return quotes;
}

static inline uint64_t
bytes_equal(const char *p, char c)
{
	const __m128i x = _mm_set1_epi8(c);
	uint64_t m = 0;

	for (int i = 0; i < 4; i++) {
		const void *at = p + 16 * i;
		unsigned part = (unsigned)_mm_movemask_epi8(
		    _mm_cmpeq_epi8(_mm_loadu_si128(at), x));

		m |= (uint64_t)part << 16 * i;
	}
	return m;
}

/* The places of all quotes that begin or end a string. False: too many. */
static bool
quotes(struct places *pl, const char *p, size_t len)
{
	bool carry = false;

	pl->n = pl->nescapes = 0;
	for (size_t base = 0; base < len; base += 64) {
		uint64_t q = bytes_equal(p + base, '"');
		uint64_t s = bytes_equal(p + base, '\\');

		if (len - base < 64) {
			q &= (UINT64_C(1) << (len - base)) - 1;
			s &= (UINT64_C(1) << (len - base)) - 1;
		}
		if (s != 0 || carry)
			q = escaped_out(pl, p + base, base, s, q, &carry);
		for (; q != 0; q &= q - 1)
			pl->quote[pl->n++] =
			    (uint16_t)(base + (unsigned)__builtin_ctzll(q));
		if (pl->n > QUOTES || pl->nescapes == ESCAPES)
			return false;
	}
	return true;
}

/* Steps over the escapes before `to`: 0 for none, 1, or 2 where one of them
 * has a shorter form. */
static inline int
escapes_until(const struct places *pl, size_t *next, size_t to)
{
	int found = 0;

	for (; *next < pl->nescapes && pl->escape[*next] < to; (*next)++)
		found = pl->odd[*next] ? 2 : found == 0 ? 1 : found;
	return found;
}

/*
 * The members of a flat object without blanks. False: it is not one, and
 * nothing is on the stack.
 */
static bool
collect_flat(struct canon *c, const struct json_span *v,
    const char *const *skip, size_t nskip)
{
	const char *p = v->p;
	struct places pl;
	size_t at = 1, q = 0, next = 0, end = v->len - 1;

	if (v->len > FLAT_LEN || v->len < 3 || !quotes(&pl, p, v->len))
		return false;
	while (q + 1 < pl.n) {
		size_t ks = pl.quote[q], ke = pl.quote[q + 1], to;
		struct member *m;

		if (ks != at || p[ke + 1] != ':' ||
		    escapes_until(&pl, &next, ke) != 0)
			goto other;
		m = push(c);
		m->p = p + ks;
		m->value = p + ke + 2;
		m->key_len = (uint32_t)(ke - ks - 1);
		m->prefix = span_prefix(m->p + 1, m->key_len);
		m->escaped = false;
		m->clean = true;
		q += 2;
		if (*m->value == '"') {
			to = (size_t)pl.quote[q + 1] + 1;
			m->clean = escapes_until(&pl, &next, to) < 2;
			q += 2;
		} else if (*m->value == '{' || *m->value == '[') {
			goto other;
		} else {
			to = (size_t)(value(m->value, 1, &m->clean) - p);
		}
		if (p[to] != ',' && to != end)
			goto other;
		at = to + 1;
		m->len = (uint32_t)(to - ks);
		if (nskip > 0 && skipped(m->value, skip, nskip))
			c->n--;
	}
	if (at == v->len)
		return true;
other:
	c->n = 0;
	return false;
}

#endif

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

/* A plain number with zeros at the end of its fraction, as amounts are
 * written: these go. False: it is none such. */
static bool
emit_amount(struct buf *out, const char *p, const char *end)
{
	const char *dot = p;

	while (*dot >= '0' && *dot <= '9')
		dot++;
	if (dot == p || *dot != '.' || end - p > 16 ||
	    (*p == '0' && end - dot > 5))
		return false;
	for (const char *q = dot + 1; q < end; q++)
		if (*q < '0' || *q > '9')
			return false;
	while (end[-1] == '0')
		end--;
	buf_add(out, p, (size_t)((end[-1] == '.' ? end - 1 : end) - p));
	return true;
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
	if (*p != '"' && emit_amount(out, p, end))
		return true;
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

static bool
try_flat(struct canon *c, const struct json_span *v, const char *const *skip,
    size_t nskip)
{
#ifdef __SSE2__
	if (c->not_flat > 0) {
		c->not_flat--;
		return false;
	}
	if (collect_flat(c, v, skip, nskip))
		return true;
	c->not_flat = AGAIN;
#endif
	return false;
}

bool
canon_record(struct canon *c, struct buf *out, const struct json_span *v,
    const char *const *skip, size_t nskip)
{
	size_t n;
	bool ok = true;

	c->n = 0;
	if (!try_flat(c, v, skip, nskip) && !collect(c, v->p, 0, skip, nskip)) {
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
