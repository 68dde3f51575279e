/*
 * One pass that validates and decodes: rows as the service writes them, with
 * no blank in them and each cell of the kind that the schema says. It gives up
 * on anything else, which costs a second look by fv.c and no more.
 */
#include <string.h>

#include "fv_impl.h"
#include "json_impl.h"

#define ROW_MAX ((size_t)32 << 10) /* longer rows are fv.c's */

static bool
is(const char *p, const char *want, size_t n)
{
	return memcmp(p, want, n) == 0;
}
#define IS(p, want) is(p, "" want, sizeof want - 1)

/* A string with an escape or what is not ASCII; p is after its first quote. */
static const char *
string_slow(struct fv *v, const char *p, const char *end)
{
	const char *q = p;
	struct json_error e;

	while (q < end && *q != '"')
		q += *q == '\\' ? 2 : 1;
	if (q >= end || !json_check(p - 1, (size_t)(q + 1 - p) + 1, false, &e))
		return NULL;
	put(v, p - 1, (size_t)(q + 1 - p) + 1);
	return q + 1;
}

/* p is at the quote. */
static inline const char *
string(struct fv *v, const char *p, const char *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
	const __m128i low = _mm_set1_epi8(0x1f);
	const char *from = ++p;
	char *o = v->o;

	*o++ = '"';
	for (; p < end; p += 16, o += 16) {
		__m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
		unsigned q =
		    (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, quote));
		/* signed: what is not ASCII counts as low too */
		unsigned odd = (unsigned)_mm_movemask_epi8(_mm_or_si128(
		    _mm_cmpeq_epi8(x, slash), _mm_cmpgt_epi8(low, x)));

		_mm_storeu_si128((__m128i *)(void *)o, x);
		odd |= (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, low));
		if (odd != 0 && (q == 0 || (odd & (q - 1) & ~q) != 0))
			return string_slow(v, from, end);
		if (q != 0) {
			unsigned n = (unsigned)__builtin_ctz(q);

			v->o = o + n + 1;
			return p + n + 1;
		}
	}
	return NULL;
#else
	return string_slow(v, p + 1, end);
#endif
}

/* Digits from p on, up to 32 of them. */
static inline size_t
few_digits(const char *p)
{
	size_t n = 0;

	while (n < 32 && p[n] >= '0' && p[n] <= '9')
		n++;
	return n;
}

/* "-12", in the range of an INT64. */
static inline const char *
integer(struct fv *v, const char *p)
{
	bool minus = p[1] == '-';
	size_t n = few_digits(p + 1 + minus);

	if (n == 0 || p[1 + minus + n] != '"')
		return NULL;
	n += minus + 2u;
	if (n > 20) {
		struct json_span s = {p, (uint32_t)n, JSON_STRING, 0};
		int64_t any;

		if (!json_i64(&s, &any))
			return NULL;
	}
	span_copy(v->o, p, n);
	v->o += n;
	return p + n;
}

/* "12.50", of few digits; the number without what says nothing. */
static inline const char *
decimal(struct fv *v, const char *p)
{
	const char *from = ++p;
	size_t whole = few_digits(p), n = whole;

	if (whole == 0 || whole > 15 || (whole > 1 && *p == '0'))
		return NULL;
	if (p[n] == '.') {
		size_t part = few_digits(p + n + 1);

		if (part == 0 || part > 16 || (*p == '0' && part > 6))
			return NULL;
		n += part + 1;
	}
	if (p[n] != '"')
		return NULL;
	p += n + 1;
	if (n > whole) {
		while (from[n - 1] == '0')
			n--;
		n -= from[n - 1] == '.';
	}
	put(v, from, n);
	return p;
}

static inline const char *
boolean(struct fv *v, const char *p)
{
	size_t n = p[1] == 't' ? 4 : 5;

	if (!(n == 4 ? IS(p, "\"true\"") : IS(p, "\"false\"")))
		return NULL;
	put(v, p + 1, n);
	return p + n + 2;
}

static const char *record(
    struct fv *v, const struct col *c, const char *p, const char *end);

static inline const char *
value(struct fv *v, const struct col *c, const char *p, const char *end)
{
	if (c->kind == KIND_RECORD)
		return record(v, c, p, end);
	if (*p != '"')
		return NULL;
	switch (c->kind) {
	case KIND_TEXT:
		return string(v, p, end);
	case KIND_INT:
		return integer(v, p);
	case KIND_FLOAT:
		return decimal(v, p);
	case KIND_BOOL:
		return boolean(v, p);
	default:
		return NULL;
	}
}

static const char *
list(struct fv *v, const struct col *c, const char *p, const char *end)
{
	if (*p != '[')
		return NULL;
	*v->o++ = '[';
	if (p[1] == ']') {
		*v->o++ = ']';
		return p + 2;
	}
	do {
		if (p >= end || !IS(p + 1, "{\"v\":"))
			return NULL;
		p = value(v, c, p + 6, end);
		if (p == NULL || *p++ != '}')
			return NULL;
		*v->o++ = *p;
	} while (*p == ',');
	return *p == ']' ? p + 1 : NULL;
}

static inline const char *
cell(struct fv *v, const struct col *c, const char *p, const char *end)
{
	if (*p == 'n') {
		if (!IS(p, "null"))
			return NULL;
		put_null(v, c);
		return p + 4;
	}
	put_key(v, c);
	return c->repeated ? list(v, c, p, end) : value(v, c, p, end);
}

static const char *
record(struct fv *v, const struct col *c, const char *p, const char *end)
{
	char *start = v->o;

	if (!IS(p, "{\"f\":["))
		return NULL;
	p += 5; /* each cell has a byte before it */
	for (size_t i = 0; i < c->n; i++) {
		if (p >= end || !IS(p + 1, "{\"v\":"))
			return NULL;
		p = cell(v, &c->child[i], p + 6, end);
		if (p == NULL || *p++ != '}')
			return NULL;
		if (*p != (i + 1 < c->n ? ',' : ']'))
			return NULL;
	}
	if (c->n == 0 || p[1] != '}')
		return NULL;
	if (v->o == start)
		*v->o++ = '{';
	*start = '{';
	*v->o++ = '}';
	return p + 2;
}

const char *
fv_quick(struct fv *v, const char *text, const char *end, struct buf *out)
{
	/* a cell of 10 bytes may bring its key */
	size_t room = ROW_MAX / 10 * (v->max_key + 64) + 2 * ROW_MAX;

	if ((size_t)(end - text) > ROW_MAX)
		end = text + ROW_MAX;
	if (!buf_room(out, room))
		return NULL;
	v->o = out->p + out->len;
	text = record(v, &v->root, text, end);
	if (text == NULL || text > end)
		return NULL;
	out->len = (size_t)(v->o - out->p);
	return text;
}
