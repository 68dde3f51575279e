/* Values: strings, order, arithmetic, slices. */
#include <string.h>

#include "dec.h"
#include "expr_impl.h"
#include "num.h"

struct val
val_span(const struct json_span *s)
{
	return (struct val){s->type, s->flags, true, s->p, s->len};
}

struct val
val_text(const char *p, size_t n)
{
	return (struct val){JSON_STRING, 0, false, p, n};
}

struct val
val_bool(bool b)
{
	return b ? (struct val){JSON_TRUE, 0, true, "true", 4}
		 : (struct val){JSON_FALSE, 0, true, "false", 5};
}

void
val_str(struct eval *ev, const struct val *v, const char **p, size_t *n)
{
	struct json_span s;
	char *o;

	if (!v->raw) {
		*p = v->p;
		*n = v->len;
	} else if (!(v->flags & JSON_ESCAPED)) {
		*p = v->p + 1;
		*n = v->len - 2;
	} else {
		s = (struct json_span){
		    v->p, (uint32_t)v->len, v->type, v->flags};
		o = ev_alloc(ev, v->len);
		*n = json_decode(&s, o);
		*p = o;
	}
}

static int
bytes_cmp(const char *a, size_t an, const char *b, size_t bn)
{
	int c = memcmp(a, b, an < bn ? an : bn);

	if (c != 0)
		return c < 0 ? -1 : 1;
	return an < bn ? -1 : an > bn;
}

/* jq's order of types is that of enum json_type. */
enum ev_result
val_cmp(struct eval *ev, const struct val *a, const struct val *b, int *c)
{
	const char *p, *q;
	size_t n, m;

	if (a->type != b->type) {
		*c = a->type < b->type ? -1 : 1;
		return EV_OK;
	}
	switch (a->type) {
	case JSON_NUMBER:
		*c = num_cmp(a->p, a->len, b->p, b->len);
		return EV_OK;
	case JSON_STRING:
		val_str(ev, a, &p, &n);
		val_str(ev, b, &q, &m);
		*c = bytes_cmp(p, n, q, m);
		return EV_OK;
	case JSON_ARRAY:
	case JSON_OBJECT:
		return EV_PUNT;
	default:
		*c = 0;
		return EV_OK;
	}
}

enum ev_result
val_equal(
    struct eval *ev, const struct val *a, const struct val *b, bool *equal)
{
	const char *p, *q;
	size_t n, m;
	int c = 1;

	if (a->type == JSON_STRING && b->type == JSON_STRING) {
		val_str(ev, a, &p, &n);
		val_str(ev, b, &q, &m);
		*equal = n == m && memcmp(p, q, n) == 0;
		return EV_OK;
	}
	if (a->type == b->type && a->type >= JSON_ARRAY)
		return EV_PUNT;
	val_cmp(ev, a, b, &c);
	*equal = c == 0;
	return EV_OK;
}

/* So that the result, plain and without exponent, has room in DEC_TEXT. */
static bool
decimal(const struct val *v, struct dec *d)
{
	return dec_parse(v->p, v->len, d) && d->scale >= -20 && d->scale <= 40;
}

static enum ev_result
arithmetic(struct eval *ev, enum jq_op op, const struct val *a,
    const struct val *b, struct val *out)
{
	struct dec x, y;
	char *text;
	bool ok;

	if (!decimal(a, &x) || !decimal(b, &y))
		return ev_fatal(ev, "number too long for exact arithmetic");
	ok = op == OP_ADD   ? dec_add(&x, &y)
	     : op == OP_SUB ? dec_sub(&x, &y)
			    : dec_mul(&x, &y);
	if (!ok)
		return ev_fatal(ev, "result too long for exact arithmetic");
	text = ev_alloc(ev, DEC_TEXT);
	*out = (struct val){JSON_NUMBER, 0, true, text, dec_format(&x, text)};
	return EV_OK;
}

static enum ev_result
concat(
    struct eval *ev, const struct val *a, const struct val *b, struct val *out)
{
	const char *p, *q;
	size_t n, m;
	char *o;

	val_str(ev, a, &p, &n);
	val_str(ev, b, &q, &m);
	o = ev_alloc(ev, n + m + 1);
	memcpy(o, p, n);
	memcpy(o + n, q, m);
	*out = val_text(o, n + m);
	return EV_OK;
}

static enum ev_result
compare(struct eval *ev, enum jq_op op, const struct val *a,
    const struct val *b, struct val *out)
{
	enum ev_result r;
	bool yes = false;
	int c = 0;

	if (op == OP_EQ || op == OP_NE) {
		r = val_equal(ev, a, b, &yes);
		*out = val_bool(yes == (op == OP_EQ));
		return r;
	}
	r = val_cmp(ev, a, b, &c);
	*out = val_bool(op == OP_LT   ? c < 0
			: op == OP_LE ? c <= 0
			: op == OP_GT ? c > 0
				      : c >= 0);
	return r;
}

enum ev_result
val_bin(struct eval *ev, enum jq_op op, const struct val *a,
    const struct val *b, struct val *out)
{
	if (op >= OP_EQ)
		return compare(ev, op, a, b, out);
	if (op == OP_ADD && (a->type == JSON_NULL || b->type == JSON_NULL)) {
		*out = a->type == JSON_NULL ? *b : *a;
		return EV_OK;
	}
	if (a->type == JSON_NUMBER && b->type == JSON_NUMBER)
		return arithmetic(ev, op, a, b, out);
	if (op == OP_ADD && a->type == JSON_STRING && b->type == JSON_STRING)
		return concat(ev, a, b, out);
	if (a->type == b->type && a->type >= JSON_ARRAY)
		return EV_PUNT;
	switch (op) {
	case OP_ADD:
		return ev_error(ev, "values cannot be added");
	case OP_SUB:
		return ev_error(ev, "values cannot be subtracted");
	default: /* a string times a number is one to libjq */
		return a->type == JSON_STRING || b->type == JSON_STRING
			   ? EV_PUNT
			   : ev_error(ev, "values cannot be multiplied");
	}
}

enum ev_result
val_neg(struct eval *ev, const struct val *a, struct val *out)
{
	const struct val zero = {JSON_NUMBER, 0, true, "0", 1};

	if (a->type != JSON_NUMBER)
		return ev_error(ev, "value cannot be negated");
	return arithmetic(ev, OP_SUB, &zero, a, out);
}

enum ev_result
val_tostring(struct eval *ev, const struct val *a, struct val *out)
{
	struct buf b = BUF_INIT(1 << 20);
	char *o;

	switch (a->type) {
	case JSON_STRING:
		*out = *a;
		return EV_OK;
	case JSON_NUMBER:
		num_canonical(&b, a->p, a->len);
		if (b.len == 1 && *b.p == '0' && *a->p == '-') {
			buf_reset(&b);
			buf_str(&b, "-0"); /* as jq has it */
		}
		o = ev_alloc(ev, b.len);
		memcpy(o, b.p, b.len);
		*out = val_text(o, b.len);
		buf_release(&b);
		return EV_OK;
	case JSON_ARRAY:
	case JSON_OBJECT:
		return EV_PUNT;
	default:
		*out = val_text(a->p, a->len);
		return EV_OK;
	}
}

static bool
begins(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static int64_t
code_points(const char *p, size_t n)
{
	int64_t c = 0;

	for (size_t i = 0; i < n; i++)
		c += begins(p[i]);
	return c;
}

/* Byte of the code point k, n where there are fewer. */
static size_t
byte_of(const char *p, size_t n, int64_t k)
{
	size_t i = 0;

	for (; i < n; i++)
		if (begins(p[i]) && k-- == 0)
			break;
	return i;
}

enum ev_result
val_slice(
    struct eval *ev, const struct ex *x, const struct val *in, struct val *out)
{
	const char *p;
	size_t n, a, b;
	int64_t len = 0, from = x->from, to = x->to;

	if (in->type == JSON_NULL) {
		*out = *in;
		return EV_OK;
	}
	if (in->type == JSON_ARRAY)
		return EV_PUNT;
	if (in->type != JSON_STRING)
		return ev_error(ev, "only strings and arrays have slices");
	val_str(ev, in, &p, &n);
	if (from < 0 || to < 0)
		len = code_points(p, n);
	from = !x->has_from ? 0 : from < 0 ? from + len : from;
	from = from < 0 ? 0 : from;
	to = to < 0 ? to + len : to;
	a = byte_of(p, n, from);
	b = !x->has_to   ? n
	    : to <= from ? a
			 : a + byte_of(p + a, n - a, to - from);
	*out = val_text(p + a, b - a);
	return EV_OK;
}

enum ev_result
val_split(
    struct eval *ev, const struct ex *x, const struct val *in, struct val *out)
{
	const char *p, *end, *hit, *last;
	size_t n;
	int32_t k = x->from;

	if (in->type != JSON_STRING)
		return ev_error(
		    ev, "split input and separator must be strings");
	val_str(ev, in, &p, &n);
	*out = (struct val){JSON_NULL, 0, true, "null", 4};
	if (n == 0)
		return EV_OK;
	end = p + n;
	for (last = p;; last = hit + x->n) {
		hit = memmem(last, (size_t)(end - last), x->s, x->n);
		if (k == 0 || (hit == NULL && k < 0))
			break;
		if (hit == NULL)
			return EV_OK;
		if (k > 0)
			k--;
	}
	*out = val_text(last, (size_t)((hit == NULL ? end : hit) - last));
	return EV_OK;
}
