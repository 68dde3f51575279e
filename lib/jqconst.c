/* Programs of literals, worked out without libjq. */
#include <string.h>

#include "buf.h"
#include "dec.h"
#include "jqparse.h"

static struct jq_node *fold(
    struct jq_prog *p, const struct jq_node *n, int depth);

static struct jq_node *
make(struct jq_prog *p, enum jq_kind kind, size_t count)
{
	struct jq_node *n = jqx_alloc(p, sizeof(*n));

	n->kind = kind;
	n->folded = true;
	n->type = kind == JQ_ARR ? JSON_ARRAY : JSON_OBJECT;
	n->count = count;
	n->kids = jqx_alloc(p, (count + 1) * sizeof(*n->kids));
	if (kind == JQ_OBJ)
		n->keys = jqx_alloc(p, (count + 1) * sizeof(*n->keys));
	return n;
}

static struct jq_node *
number(struct jq_prog *p, const struct dec *d)
{
	char text[DEC_TEXT], *copy;
	size_t n = dec_format(d, text);
	struct jq_node *lit;

	copy = jqx_alloc(p, n + 1);
	memcpy(copy, text, n);
	lit = jqx_string(p, copy, n);
	lit->type = JSON_NUMBER;
	return lit;
}

/* Text of moderate size only: dec_format writes no exponent. */
static bool
decimal(const struct jq_node *n, struct dec *d)
{
	return n->kind == JQ_LIT && n->type == JSON_NUMBER &&
	       dec_parse(n->s, n->n, d) && d->scale <= 40 && d->scale >= -40;
}

static struct jq_node *
fold_list(struct jq_prog *p, const struct jq_node *n, int depth)
{
	const struct jq_node *in = n->count > 0 ? n->kids[0] : NULL;
	struct jq_node *out;
	bool many = in != NULL && in->kind == JQ_COMMA;

	out = make(p, JQ_ARR, in == NULL ? 0 : many ? in->count : 1);
	for (size_t i = 0; i < out->count; i++) {
		out->kids[i] = fold(p, many ? in->kids[i] : in, depth);
		if (out->kids[i] == NULL)
			return NULL;
	}
	return out;
}

/* Adds or replaces; o has room. */
static void
put(struct jq_node *o, struct jq_node *key, struct jq_node *val)
{
	for (size_t i = 0; i < o->count; i++) {
		if (o->keys[i]->n == key->n &&
		    memcmp(o->keys[i]->s, key->s, key->n) == 0) {
			o->kids[i] = val;
			return;
		}
	}
	o->keys[o->count] = key;
	o->kids[o->count++] = val;
}

static struct jq_node *
fold_object(struct jq_prog *p, const struct jq_node *n, int depth)
{
	struct jq_node *out = make(p, JQ_OBJ, n->count), *v;

	out->count = 0;
	for (size_t i = 0; i < n->count; i++) {
		v = fold(p, n->kids[i], depth);
		if (v == NULL)
			return NULL;
		put(out, n->keys[i], v);
	}
	return out;
}

static struct jq_node *
merge(struct jq_prog *p, const struct jq_node *a, const struct jq_node *b)
{
	struct jq_node *out = make(p, a->kind, a->count + b->count);

	if (a->kind == JQ_ARR) {
		memcpy(out->kids, a->kids, a->count * sizeof(*a->kids));
		memcpy(
		    out->kids + a->count, b->kids, b->count * sizeof(*b->kids));
		return out;
	}
	memcpy(out->kids, a->kids, a->count * sizeof(*a->kids));
	memcpy(out->keys, a->keys, a->count * sizeof(*a->keys));
	out->count = a->count;
	for (size_t i = 0; i < b->count; i++)
		put(out, b->keys[i], b->kids[i]);
	return out;
}

static struct jq_node *
add(struct jq_prog *p, struct jq_node *a, struct jq_node *b)
{
	struct dec x, y;
	char *s;

	if (a->kind == JQ_LIT && a->type == JSON_NULL)
		return b;
	if (b->kind == JQ_LIT && b->type == JSON_NULL)
		return a;
	if (a->kind != b->kind || (a->kind == JQ_LIT && a->type != b->type))
		return NULL;
	if (a->kind != JQ_LIT)
		return merge(p, a, b);
	if (a->type == JSON_STRING) {
		s = jqx_alloc(p, a->n + b->n + 1);
		memcpy(s, a->s, a->n);
		memcpy(s + a->n, b->s, b->n);
		return jqx_string(p, s, a->n + b->n);
	}
	if (a->type != JSON_NUMBER || !decimal(a, &x) || !decimal(b, &y) ||
	    !dec_add(&x, &y))
		return NULL;
	return number(p, &x);
}

static struct jq_node *
negate(struct jq_prog *p, const struct jq_node *a)
{
	struct jq_node *lit;
	char *s;

	if (a == NULL || a->kind != JQ_LIT || a->type != JSON_NUMBER)
		return NULL;
	if (a->s[0] == '-') {
		lit = jqx_string(p, a->s + 1, a->n - 1);
	} else {
		s = jqx_alloc(p, a->n + 2);
		s[0] = '-';
		memcpy(s + 1, a->s, a->n);
		lit = jqx_string(p, s, a->n + 1);
	}
	lit->type = JSON_NUMBER;
	return lit;
}

static struct jq_node *
fold(struct jq_prog *p, const struct jq_node *n, int depth)
{
	struct jq_node *a, *b;

	if (depth > 400)
		return NULL;
	if (n->folded) {
		a = jqx_alloc(p, sizeof(*a));
		*a = *n;
		return a;
	}
	switch (n->kind) {
	case JQ_LIT:
		a = jqx_alloc(p, sizeof(*a));
		*a = *n;
		return a;
	case JQ_ARR:
		return fold_list(p, n, depth + 1);
	case JQ_OBJ:
		return fold_object(p, n, depth + 1);
	case JQ_NEG:
		return negate(p, fold(p, n->kids[0], depth + 1));
	case JQ_BIN:
		if (n->op != OP_ADD)
			return NULL;
		a = fold(p, n->kids[0], depth + 1);
		b = a == NULL ? NULL : fold(p, n->kids[1], depth + 1);
		return b == NULL ? NULL : add(p, a, b);
	default:
		return NULL;
	}
}

struct jq_node *
jqx_constant(struct jq_prog *p, const struct jq_node *n)
{
	return fold(p, n, 0);
}

void
jqx_print(struct buf *out, const struct jq_node *n)
{
	if (n->kind == JQ_LIT) {
		if (n->type == JSON_STRING)
			json_write_string(out, n->s, n->n);
		else
			buf_add(out, n->s, n->n);
		return;
	}
	buf_char(out, n->kind == JQ_ARR ? '[' : '{');
	for (size_t i = 0; i < n->count; i++) {
		if (i > 0)
			buf_char(out, ',');
		if (n->kind == JQ_OBJ) {
			json_write_string(out, n->keys[i]->s, n->keys[i]->n);
			buf_char(out, ':');
		}
		jqx_print(out, n->kids[i]);
	}
	buf_char(out, n->kind == JQ_ARR ? ']' : '}');
}
