/*
 * Evaluation over spans.
 *
 * `each` hands every output to a sink, which says EV_OK (go on), EV_STOP or
 * an error of its own; `only` is the shorter way of nodes with at most one
 * output. Both say EV_PUNT where a value turns out to be one for libjq.
 */
#include <stdlib.h>
#include <string.h>

#include "expr_eval.h"
#include "mem.h"

#define DEPTH_MAX 1000
#define BLOCK 4096

void *
ev_alloc(struct eval *ev, size_t n)
{
	struct scratch_block *b = ev->at;
	void *got;

	n = (n + 15) & ~(size_t)15;
	while (b == NULL || b->size - ev->used < n) {
		if (b == NULL || b->next == NULL) {
			size_t size = n > BLOCK ? n : BLOCK;
			struct scratch_block *more =
			    xmalloc(sizeof(*more) + size);

			more->next = NULL;
			more->size = size;
			if (b == NULL)
				ev->blocks = more;
			else
				b->next = more;
			b = more;
		} else {
			b = b->next;
		}
		ev->used = 0;
		ev->at = b;
	}
	got = b->data + ev->used;
	ev->used += n;
	return got;
}

enum ev_result
ev_error(struct eval *ev, const char *why)
{
	ev->why = why;
	return EV_ERR;
}

enum ev_result
ev_fatal(struct eval *ev, const char *why)
{
	ev->fatal = true;
	return ev_error(ev, why);
}

typedef enum ev_result (*sink)(struct eval *ev, const struct val *v, void *ctx);

static enum ev_result each(struct eval *ev, const struct ex *x,
    const struct val *in, sink to, void *ctx);
static enum ev_result only(
    struct eval *ev, const struct ex *x, const struct val *in, struct val *out);

static const struct val null_val = {JSON_NULL, 0, true, "null", 4};

static struct json_span
span_of(const struct val *v)
{
	return (struct json_span){v->p, (uint32_t)v->len, v->type, v->flags};
}

/*
 * A path that the scanner did not find is null, unless a value on the way
 * cannot have the next step.
 */
static enum ev_result
missing(struct eval *ev, const struct ex_path *path, struct val *out)
{
	const struct json_span *vals = ev->rec->val;

	*out = null_val;
	for (int i = path->n - 2; i >= 0; i--) {
		uint8_t type = vals[path->idx[i]].type;

		if (type == JSON_ABSENT)
			continue;
		if (type == JSON_NULL ||
		    type ==
			(path->step[i + 1] == 'm' ? JSON_OBJECT : JSON_ARRAY))
			break;
		return ev_error(ev, "value on the path cannot be indexed");
	}
	return EV_OK;
}

static enum ev_result
from_record(struct eval *ev, const struct ex_path *path, struct val *out)
{
	const struct json_span *s;

	if (path->n == 0) {
		*out = ev->root;
		return EV_OK;
	}
	s = &ev->rec->val[path->idx[path->n - 1]];
	if (s->flags & JSON_DUPLICATE)
		return ev_fatal(ev, "member occurs twice");
	if (s->type == JSON_ABSENT)
		return missing(ev, path, out);
	*out = val_span(s);
	return EV_OK;
}

/* The member of an object at hand; of two with one name, none. */
static enum ev_result
field(
    struct eval *ev, const struct ex *x, const struct val *in, struct val *out)
{
	struct json_span s = span_of(in), key, v;
	struct json_iter it;
	bool found = false;

	*out = null_val;
	if (in->type == JSON_NULL)
		return EV_OK;
	if (in->type != JSON_OBJECT)
		return ev_error(ev, "value cannot be indexed with a name");
	json_iter_init(&it, &s);
	while (json_next_member(&it, &key, &v)) {
		if (!json_is(&key, x->s, x->n))
			continue;
		if (found)
			return ev_fatal(ev, "member occurs twice");
		found = true;
		*out = val_span(&v);
	}
	return EV_OK;
}

static enum ev_result
element(
    struct eval *ev, const struct ex *x, const struct val *in, struct val *out)
{
	struct json_span s = span_of(in), v;
	struct json_iter it;
	int64_t k = x->from;

	*out = null_val;
	if (in->type == JSON_NULL)
		return EV_OK;
	if (in->type != JSON_ARRAY)
		return ev_error(ev, "value cannot be indexed with a number");
	if (k < 0) {
		json_iter_init(&it, &s);
		while (json_next_element(&it, &v))
			k++;
	}
	if (k < 0)
		return EV_OK;
	json_iter_init(&it, &s);
	while (json_next_element(&it, &v))
		if (k-- == 0) {
			*out = val_span(&v);
			break;
		}
	return EV_OK;
}

static enum ev_result
iterate(struct eval *ev, const struct val *in, sink to, void *ctx)
{
	struct json_span s = span_of(in), v;
	struct json_iter it;
	struct val out;
	enum ev_result r;

	if (in->type == JSON_OBJECT)
		return EV_PUNT; /* a member may be there twice */
	if (in->type != JSON_ARRAY)
		return ev_error(ev, "value cannot be iterated over");
	json_iter_init(&it, &s);
	while (json_next_element(&it, &v)) {
		out = val_span(&v);
		if ((r = to(ev, &out, ctx)) != EV_OK)
			return r;
	}
	return EV_OK;
}

/* Collects one output. */
static enum ev_result
keep(struct eval *ev, const struct val *v, void *ctx)
{
	(void)ev;
	*(struct val *)ctx = *v;
	return EV_STOP;
}

static enum ev_result
first_of(
    struct eval *ev, const struct ex *x, const struct val *in, struct val *out)
{
	enum ev_result r;

	if (x->single)
		return only(ev, x, in, out);
	r = each(ev, x, in, keep, out);
	return r == EV_STOP ? EV_OK : r == EV_OK ? EV_NONE : r;
}

/* any, all, IN: stops at the first output that decides. */
struct decide {
	const struct ex *cond; /* NULL: equal to in */
	const struct val *in;
	bool until, hit;
};

static enum ev_result
decide_one(struct eval *ev, const struct val *v, void *ctx)
{
	struct decide *d = ctx;

	(void)ev;
	if (val_true(v) != d->until)
		return EV_OK;
	d->hit = true;
	return EV_STOP;
}

static enum ev_result
decide_each(struct eval *ev, const struct val *v, void *ctx)
{
	struct decide *d = ctx;
	struct val b;
	bool equal;
	enum ev_result r;

	if (d->cond != NULL)
		return each(ev, d->cond, v, decide_one, d);
	r = val_equal(ev, v, d->in, &equal);
	if (r != EV_OK)
		return r;
	b = val_bool(equal);
	return decide_one(ev, &b, d);
}

static enum ev_result
decided(
    struct eval *ev, const struct ex *x, const struct val *in, struct val *out)
{
	struct decide d = {
	    x->kind == EX_IN ? NULL : x->kids[1], in, x->kind != EX_ALL, false};
	enum ev_result r = each(ev, x->kids[0], in, decide_each, &d);

	if (r != EV_OK && r != EV_STOP)
		return r;
	*out = val_bool(d.hit == d.until);
	return EV_OK;
}

struct gather {
	uint64_t count;
	struct val sum;
	bool adds;
};

static enum ev_result
gather_one(struct eval *ev, const struct val *v, void *ctx)
{
	struct gather *g = ctx;
	struct val sum;
	enum ev_result r;

	g->count++;
	if (!g->adds)
		return EV_OK;
	r = val_bin(ev, OP_ADD, &g->sum, v, &sum);
	g->sum = sum;
	return r;
}

static enum ev_result
gathered(
    struct eval *ev, const struct ex *x, const struct val *in, struct val *out)
{
	struct gather g = {0, null_val, x->kind == EX_SUM};
	enum ev_result r = each(ev, x->kids[0], in, gather_one, &g);
	struct buf b = BUF_INIT(32);
	char *text;

	if (r != EV_OK)
		return r;
	*out = g.sum;
	if (!g.adds) {
		text = ev_alloc(ev, 32);
		buf_u64(&b, g.count);
		memcpy(text, b.p, b.len);
		*out = (struct val){JSON_NUMBER, 0, true, text, b.len};
		buf_release(&b);
	}
	return EV_OK;
}

static enum ev_result
interpolated(
    struct eval *ev, const struct ex *x, const struct val *in, struct val *out)
{
	struct val *parts = ev_alloc(ev, x->count * sizeof(*parts));
	struct val part, sum = val_text("", 0), next;
	enum ev_result r;

	/* libjq evaluates the last part first */
	for (size_t i = x->count; i-- > 0;)
		if ((r = only(ev, x->kids[i], in, &part)) != EV_OK ||
		    (r = val_tostring(ev, &part, &parts[i])) != EV_OK)
			return r;
	for (size_t i = 0; i < x->count; i++) {
		if ((r = val_bin(ev, OP_ADD, &sum, &parts[i], &next)) != EV_OK)
			return r;
		sum = next;
	}
	*out = sum;
	return EV_OK;
}

/* The commonest comparison: a path with a text. False: do it properly. */
static bool
quickly(const struct eval *ev, const struct ex *x, struct val *out)
{
	const struct ex *text = x->kids[1];
	const struct ex_path *path = x->kids[0]->path;
	const struct json_span *s = &ev->rec->val[path->idx[path->n - 1]];

	if (s->type != JSON_STRING || s->flags != 0)
		return false;
	*out = val_bool(
	    (s->len == text->n + 2 &&
		memcmp(s->p + 1, text->s, text->n) == 0) == (x->op == OP_EQ));
	return true;
}

static enum ev_result
binary(
    struct eval *ev, const struct ex *x, const struct val *in, struct val *out)
{
	struct val a, b;
	enum ev_result r;

	if (x->quick && quickly(ev, x, out))
		return EV_OK;
	/* libjq evaluates the right side first */
	if ((r = only(ev, x->kids[1], in, &b)) != EV_OK ||
	    (r = only(ev, x->kids[0], in, &a)) != EV_OK)
		return r;
	return val_bin(ev, x->op, &a, &b, out);
}

static enum ev_result
logic(
    struct eval *ev, const struct ex *x, const struct val *in, struct val *out)
{
	enum ev_result r = only(ev, x->kids[0], in, out);

	if (r != EV_OK)
		return r;
	if (val_true(out) == (x->kind == EX_OR)) {
		*out = val_bool(x->kind == EX_OR);
		return EV_OK;
	}
	r = only(ev, x->kids[1], in, out);
	if (r == EV_OK)
		*out = val_bool(val_true(out));
	return r;
}

static enum ev_result
call(struct eval *ev, const struct ex *x, const struct val *in, struct val *out)
{
	struct val arg = null_val, self = *in;
	enum ev_result r;

	if (x->count > 0 && (r = only(ev, x->kids[0], in, &arg)) != EV_OK)
		return r;
	return x->fn(ev, &self, &arg, out);
}

/* Errors of what a ? follows are forgiven; // forgives none. */
static bool
forgiven(const struct eval *ev, enum ev_result r)
{
	return r == EV_ERR && !ev->fatal;
}

/* Must the elements be looked at one by one? Where the first is no object
 * jq fails at it, and the scanner has passed it over. */
static enum ev_result
keyed_first(struct eval *ev, const struct ex *x, const struct val *in,
    struct val *out, bool *slow)
{
	const struct ex_path *path = x->path;
	const struct json_span *array = &ev->rec->val[path->idx[path->n - 2]];
	const struct json_span *hit = &ev->rec->val[path->idx[path->n - 1]];
	const char *p;

	if ((array->flags | hit->flags) & JSON_DUPLICATE)
		return ev_fatal(ev, "member occurs twice");
	*slow = array->type != JSON_ARRAY;
	if (*slow)
		return EV_OK;
	for (p = array->p + 1; *p == ' ' || *p == '\t' || *p == '\r'; p++)
		;
	*slow = *p != '{' && *p != ']';
	if (*slow)
		return EV_OK;
	if (hit->type == JSON_ABSENT)
		return EV_NONE;
	return only(ev, x->kids[0], in, out);
}

static enum ev_result
only(struct eval *ev, const struct ex *x, const struct val *in, struct val *out)
{
	struct val v;
	enum ev_result r;

	switch (x->kind) {
	case EX_CONST:
		*out = x->lit;
		return EV_OK;
	case EX_PATH:
		return from_record(ev, x->path, out);
	case EX_DOT:
		*out = *in;
		return EV_OK;
	case EX_FIELD:
		return field(ev, x, in, out);
	case EX_INDEX:
		return element(ev, x, in, out);
	case EX_SLICE:
		return val_slice(ev, x, in, out);
	case EX_TRY:
		r = only(ev, x->kids[0], in, out);
		return forgiven(ev, r) ? EV_NONE : r;
	case EX_PIPE:
		r = only(ev, x->kids[0], in, &v);
		return r == EV_OK ? only(ev, x->kids[1], &v, out) : r;
	case EX_BIN:
		return binary(ev, x, in, out);
	case EX_AND:
	case EX_OR:
		return logic(ev, x, in, out);
	case EX_ALT:
		r = only(ev, x->kids[0], in, out);
		if ((r == EV_OK && val_true(out)) || r > EV_NONE)
			return r;
		return only(ev, x->kids[1], in, out);
	case EX_IF:
		r = only(ev, x->kids[0], in, &v);
		return r != EV_OK
			   ? r
			   : only(ev, x->kids[val_true(&v) ? 1 : 2], in, out);
	case EX_NEG:
		r = only(ev, x->kids[0], in, &v);
		return r == EV_OK ? val_neg(ev, &v, out) : r;
	case EX_SELECT:
		r = only(ev, x->kids[0], in, &v);
		if (r != EV_OK)
			return r;
		return val_true(&v) ? only(ev, x->kids[1], in, out) : EV_NONE;
	case EX_FIRST:
		return first_of(ev, x->kids[0], in, out);
	case EX_ANY:
	case EX_ALL:
	case EX_IN:
		return decided(ev, x, in, out);
	case EX_COUNT:
	case EX_SUM:
		return gathered(ev, x, in, out);
	case EX_INTERP:
		return interpolated(ev, x, in, out);
	case EX_TYPES:
		*out = *in;
		return x->mask >> in->type & 1 ? EV_OK : EV_NONE;
	case EX_EMPTY:
		return EV_NONE;
	case EX_CALL:
		return call(ev, x, in, out);
	case EX_SPLIT:
		return val_split(ev, x, in, out);
	case EX_TEST:
		return ex_regex_test(ev, x->regex, in, out);
	case EX_ITER:
	case EX_COMMA:
	case EX_KEYED:
		break;
	}
	return EV_PUNT; /* these are never `single` */
}

/* What a sink needs to go on with the next part. */
struct next {
	const struct ex *x;
	const struct val *in, *other;
	sink to;
	void *ctx;
	bool flag;
};

static enum ev_result
then_pipe(struct eval *ev, const struct val *v, void *ctx)
{
	struct next *n = ctx;

	return each(ev, n->x->kids[1], v, n->to, n->ctx);
}

static enum ev_result
then_select(struct eval *ev, const struct val *v, void *ctx)
{
	struct next *n = ctx;

	return val_true(v) ? each(ev, n->x->kids[1], n->in, n->to, n->ctx)
			   : EV_OK;
}

static enum ev_result
then_if(struct eval *ev, const struct val *v, void *ctx)
{
	struct next *n = ctx;

	return each(ev, n->x->kids[val_true(v) ? 1 : 2], n->in, n->to, n->ctx);
}

static enum ev_result
then_truth(struct eval *ev, const struct val *v, void *ctx)
{
	struct next *n = ctx;
	struct val b = val_bool(val_true(v));

	return n->to(ev, &b, n->ctx);
}

static enum ev_result
then_logic(struct eval *ev, const struct val *v, void *ctx)
{
	struct next *n = ctx;
	bool or = n->x->kind == EX_OR;
	struct val b = val_bool(or);

	if (val_true(v) == or)
		return n->to(ev, &b, n->ctx);
	return each(ev, n->x->kids[1], n->in, then_truth, n);
}

static enum ev_result
then_left(struct eval *ev, const struct val *v, void *ctx)
{
	struct next *n = ctx;
	struct val out;
	enum ev_result r = val_bin(ev, n->x->op, v, n->other, &out);

	return r == EV_OK ? n->to(ev, &out, n->ctx) : r;
}

static enum ev_result
then_right(struct eval *ev, const struct val *v, void *ctx)
{
	struct next n = *(struct next *)ctx;

	n.other = v;
	return each(ev, n.x->kids[0], n.in, then_left, &n);
}

/* Passes on; an error from here is not the tried part's own. */
static enum ev_result
then_tried(struct eval *ev, const struct val *v, void *ctx)
{
	struct next *n = ctx;
	enum ev_result r = n->to(ev, v, n->ctx);

	n->flag = n->flag || r == EV_ERR;
	return r;
}

static enum ev_result
tried(struct eval *ev, const struct ex *x, const struct val *in, sink to,
    void *ctx)
{
	struct next n = {.x = x, .in = in, .to = to, .ctx = ctx};
	enum ev_result r = each(ev, x->kids[0], in, then_tried, &n);

	return !n.flag && forgiven(ev, r) ? EV_OK : r;
}

static enum ev_result
then_good(struct eval *ev, const struct val *v, void *ctx)
{
	struct next *n = ctx;

	if (!val_true(v))
		return EV_OK;
	n->flag = true;
	return n->to(ev, v, n->ctx);
}

static enum ev_result
alternative(struct eval *ev, const struct ex *x, const struct val *in, sink to,
    void *ctx)
{
	struct next n = {.x = x, .in = in, .to = to, .ctx = ctx};
	enum ev_result r = each(ev, x->kids[0], in, then_good, &n);

	return r != EV_OK || n.flag ? r : each(ev, x->kids[1], in, to, ctx);
}

static enum ev_result
then_skip(struct eval *ev, const struct val *v, void *ctx)
{
	struct next *n = ctx;

	if (!n->flag) {
		n->flag = true;
		return EV_OK;
	}
	return n->to(ev, v, n->ctx);
}

static enum ev_result
keyed(struct eval *ev, const struct ex *x, const struct val *in, sink to,
    void *ctx)
{
	struct next n = {.x = x, .in = in, .to = to, .ctx = ctx};
	struct val v;
	bool slow = false;
	enum ev_result r = keyed_first(ev, x, in, &v, &slow);

	if (slow)
		return each(ev, x->kids[1], in, to, ctx);
	if (r != EV_OK)
		return r == EV_NONE ? EV_OK : r;
	r = to(ev, &v, ctx);
	/* more is wanted: another element may have the key */
	return r == EV_OK ? each(ev, x->kids[1], in, then_skip, &n) : r;
}

static enum ev_result
each_of(struct eval *ev, const struct ex *x, const struct val *in, sink to,
    void *ctx)
{
	struct next n = {.x = x, .in = in, .to = to, .ctx = ctx};
	enum ev_result r;

	switch (x->kind) {
	case EX_ITER:
		return iterate(ev, in, to, ctx);
	case EX_PIPE:
		return each(ev, x->kids[0], in, then_pipe, &n);
	case EX_COMMA:
		for (size_t i = 0; i < x->count; i++)
			if ((r = each(ev, x->kids[i], in, to, ctx)) != EV_OK)
				return r;
		return EV_OK;
	case EX_SELECT:
		return each(ev, x->kids[0], in, then_select, &n);
	case EX_IF:
		return each(ev, x->kids[0], in, then_if, &n);
	case EX_AND:
	case EX_OR:
		return each(ev, x->kids[0], in, then_logic, &n);
	case EX_BIN:
		return each(ev, x->kids[1], in, then_right, &n);
	case EX_TRY:
		return tried(ev, x, in, to, ctx);
	case EX_ALT:
		return alternative(ev, x, in, to, ctx);
	case EX_KEYED:
		return keyed(ev, x, in, to, ctx);
	default:
		return EV_PUNT; /* the others are `single` */
	}
}

static enum ev_result
each(struct eval *ev, const struct ex *x, const struct val *in, sink to,
    void *ctx)
{
	struct val v;
	enum ev_result r;

	if (x->single) {
		r = only(ev, x, in, &v);
		return r == EV_OK ? to(ev, &v, ctx) : r == EV_NONE ? EV_OK : r;
	}
	if (++ev->depth > DEPTH_MAX)
		return EV_PUNT;
	r = each_of(ev, x, in, to, ctx);
	ev->depth--;
	return r;
}

enum ev_result
ex_first(struct eval *ev, const struct ex *x, struct val *out)
{
	ev->used = 0;
	ev->at = ev->blocks;
	ev->why = NULL;
	ev->fatal = false;
	ev->depth = 0;
	return first_of(ev, x, &ev->root, out);
}
