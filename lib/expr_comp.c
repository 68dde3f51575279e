/*
 * From the parsed program to the tree that is evaluated.
 *
 * The compiler knows where in the record the input of each part stands, as
 * long as it stands at a fixed place: `.a | .b`, `select(f) | .b`, and
 * `.params[] | select(.key == "X") | .value` all read paths that the scanner
 * finds in its one pass.
 */
#include <string.h>

#include "expr_impl.h"
#include "jqshape.h"
#include "mem.h"

#define NODES_MAX 20000
#define DEPTH_MAX 300
#define PATH_TEXT 2000

/* Where the input stands; `known` false: it is a value at hand. */
struct loc {
	bool known;
	bool sure; /* the last step cannot fail */
	struct ex_path path;
	struct buf *text; /* of the path */
};

struct comp {
	struct expr *e;
	struct json_paths *ps;
	struct jq_prog *prog;
	const char *why; /* set: give up for good */
	int depth;
};

static struct ex *
make(struct comp *c, enum ex_kind kind, size_t kids)
{
	struct expr *e = c->e;
	struct ex *x = xcalloc(1, sizeof(*x));

	if (e->n_all == e->cap_all) {
		e->cap_all = e->cap_all == 0 ? 16 : e->cap_all * 2;
		e->all = xreallocarray(e->all, e->cap_all, sizeof(*e->all));
	}
	e->all[e->n_all++] = x;
	x->kind = kind;
	x->count = kids;
	x->single = x->total = true;
	x->kids = kids == 0 ? NULL : xcalloc(kids, sizeof(struct ex *));
	return x;
}

static void
set_text(struct ex *x, const char *s, size_t n)
{
	char *copy = xmalloc(n + 1);

	memcpy(copy, s, n);
	copy[n] = '\0';
	x->s = copy;
	x->n = n;
}

static void
quoted(struct buf *b, const char *s, size_t n)
{
	bool plain = n > 0;

	for (size_t i = 0; i < n; i++)
		plain =
		    plain && ((s[i] >= 'a' && s[i] <= 'z') ||
				 (s[i] >= 'A' && s[i] <= 'Z') ||
				 (s[i] >= '0' && s[i] <= '9') || s[i] == '_');
	if (plain)
		buf_add(b, s, n);
	else
		json_write_string(b, s, n);
}

/* Appends a step to the place; false where it is no place to stand on. */
static bool
step(struct comp *c, const struct loc *at, struct loc *to, struct buf *text,
    char kind, const struct jq_node *n, const char *key, size_t key_len)
{
	const char *why = NULL;
	int i = at->path.n;

	if (!at->known || i == PATH_MAX_STEPS || (i == 0 && kind != 'm'))
		return false;
	if ((n != NULL && memchr(n->s == NULL ? "" : n->s, '\0', n->n)) ||
	    (key != NULL && memchr(key, '\0', key_len)))
		return false;
	buf_reset(text);
	if (at->text != NULL)
		buf_add(text, at->text->p, at->text->len);
	if (kind == 'm') {
		if (i > 0)
			buf_char(text, '.');
		quoted(text, n->s, n->n);
	} else {
		buf_char(text, '[');
		if (kind == 'i') {
			buf_u64(text, (uint64_t)n->from);
		} else {
			quoted(text, key, key_len);
			buf_char(text, '=');
			quoted(text, n->s, n->n);
		}
		buf_char(text, ']');
	}
	if (text->len > PATH_TEXT)
		return false;
	*to = (struct loc){.known = true, .path = at->path, .text = text};
	to->path.idx[i] = json_paths_add(c->ps, buf_cstr(text), &why);
	to->path.step[i] = (uint8_t)kind;
	to->path.n = i + 1;
	to->sure = kind == 'k' ||
		   (kind == 'm' && (i == 0 || at->path.step[i - 1] == 'k'));
	return to->path.idx[i] >= 0;
}

static struct ex *
path_node(struct comp *c, const struct loc *at)
{
	struct ex *x = make(c, EX_PATH, 0);

	x->path = xcalloc(1, sizeof(*x->path));
	*x->path = at->path;
	return x;
}

static struct ex *comp(
    struct comp *c, const struct jq_node *n, const struct loc *at);

static const struct loc here = {0};

static struct ex *
pair(struct comp *c, enum ex_kind kind, struct ex *a, struct ex *b)
{
	struct ex *x;

	if (a == NULL || b == NULL)
		return NULL;
	x = make(c, kind, 2);
	x->kids[0] = a;
	x->kids[1] = b;
	x->single = a->single && b->single;
	x->total = a->total && b->total;
	return x;
}

static struct ex *
around(struct comp *c, enum ex_kind kind, struct ex *a)
{
	struct ex *x;

	if (a == NULL)
		return NULL;
	x = make(c, kind, 1);
	x->kids[0] = a;
	x->single = a->single;
	x->total = a->total;
	return x;
}

/* A node that works on its input, put behind the place the input stands at. */
static struct ex *
behind(struct comp *c, const struct loc *at, struct ex *x)
{
	return !at->known || x == NULL ? x
				       : pair(c, EX_PIPE, path_node(c, at), x);
}

static struct ex *
constant(struct comp *c, const struct jq_node *n)
{
	struct jq_node *k = jqx_constant(c->prog, n);
	struct buf b = BUF_INIT(1 << 20);
	struct ex *x;

	if (k == NULL)
		return NULL;
	x = make(c, EX_CONST, 0);
	if (k->kind == JQ_LIT && k->type == JSON_STRING) {
		set_text(x, k->s, k->n);
		x->lit = val_text(x->s, x->n);
		return x;
	}
	jqx_print(&b, k);
	set_text(x, b.p, b.len);
	buf_release(&b);
	x->lit = (struct val){(uint8_t)(k->kind == JQ_ARR   ? JSON_ARRAY
					: k->kind == JQ_OBJ ? JSON_OBJECT
							    : k->type),
	    0, true, x->s, x->n};
	return x;
}

static struct ex *stages(
    struct comp *c, const struct jq_stages *s, size_t i, const struct loc *at);

/* .a[] | select(.key == "X") | rest */
static struct ex *
keyed_stages(
    struct comp *c, const struct jq_stages *s, size_t i, const struct loc *at)
{
	const struct jq_node *iter = s->v[i], *name, *value;
	struct buf text = BUF_INIT(1 << 16);
	struct loc to;
	struct ex *x = NULL, *body, *slow;
	bool optional = iter->kind == JQ_TRY;

	if (optional)
		iter = iter->kids[0];
	if (!at->known || at->path.n == 0 || iter->kind != JQ_ITER ||
	    i + 1 >= s->n)
		return NULL;
	if (!jqx_keyed(s->v[i + 1], &name, &value) ||
	    !step(c, at, &to, &text, 'k', value, name->s, name->n))
		goto out;
	body = i + 2 == s->n ? path_node(c, &to) : stages(c, s, i + 2, &to);
	if (body == NULL || !body->single || !body->total)
		goto out;
	slow = comp(c, s->v[i], at);
	slow = slow == NULL
		   ? NULL
		   : pair(c, EX_PIPE, slow, stages(c, s, i + 1, &here));
	x = pair(c, EX_KEYED, body, slow);
	if (x != NULL) {
		x->path = xcalloc(1, sizeof(*x->path));
		*x->path = to.path;
		x->path->optional = optional;
		x->single = false;
		x->total = false;
	}
out:
	buf_release(&text);
	return x;
}

/* select(f) | rest: the rest reads where select stood. */
static struct ex *
select_stages(
    struct comp *c, const struct jq_stages *s, size_t i, const struct loc *at)
{
	struct ex *cond = comp(c, s->v[i]->kids[0], at), *rest;
	struct ex *x;

	if (cond == NULL)
		return NULL;
	if (i + 1 < s->n)
		rest = stages(c, s, i + 1, at);
	else
		rest = at->known ? path_node(c, at) : make(c, EX_DOT, 0);
	x = pair(c, EX_SELECT, cond, rest);
	if (x != NULL)
		x->total = false;
	return x;
}

/* A field or index at a known place: go there. */
static struct ex *
path_stages(
    struct comp *c, const struct jq_stages *s, size_t i, const struct loc *at)
{
	struct buf text = BUF_INIT(1 << 16);
	const struct jq_node *n = s->v[i];
	struct loc to;
	struct ex *x, *rest;

	if (n->kind == JQ_INDEX && n->from < 0)
		return NULL;
	if (!step(c, at, &to, &text, n->kind == JQ_FIELD ? 'm' : 'i', n, NULL,
		0)) {
		buf_release(&text);
		return NULL;
	}
	if (i + 1 == s->n) {
		x = path_node(c, &to);
	} else {
		x = rest = stages(c, s, i + 1, &to);
		/* the path itself may fail, even if the rest would not see */
		if (rest != NULL && !to.sure && rest->kind != EX_PATH &&
		    !(rest->kind == EX_PIPE && rest->kids[0]->kind == EX_PATH))
			x = pair(c, EX_PIPE, path_node(c, &to), rest);
	}
	buf_release(&text);
	return x;
}

/* [f] | length and [f] | add without making the array */
static struct ex *
collected(
    struct comp *c, const struct jq_stages *s, size_t i, const struct loc *at)
{
	const struct jq_node *n = s->v[i], *inner;
	struct ex *x, *gen;
	bool map = jqx_is_call(n, "map", 1), length;

	if (i + 1 >= s->n || !(map || (n->kind == JQ_ARR && !n->folded)))
		return NULL;
	length = jqx_is_call(s->v[i + 1], "length", 0);
	if (!length && !jqx_is_call(s->v[i + 1], "add", 0))
		return NULL;
	inner = n->count == 0 ? NULL : n->kids[0];
	if (inner == NULL)
		return NULL;
	if (map) {
		struct ex *iter = make(c, EX_ITER, 0);

		iter->single = iter->total = false;
		gen = pair(
		    c, EX_PIPE, behind(c, at, iter), comp(c, inner, &here));
	} else {
		gen = comp(c, inner, at);
	}
	x = around(c, length ? EX_COUNT : EX_SUM, gen);
	if (x == NULL)
		return NULL;
	x->single = x->total = true;
	return i + 2 == s->n ? x
			     : pair(c, EX_PIPE, x, stages(c, s, i + 2, &here));
}

/* split("x")[0] */
static struct ex *
split(struct comp *c, const struct jq_stages *s, size_t i, const struct loc *at)
{
	const struct jq_node *n = s->v[i], *k;
	struct ex *x;

	if (i + 1 >= s->n || !jqx_is_call(n, "split", 1) ||
	    !jqx_is_string(n->kids[0]) || n->kids[0]->n == 0)
		return NULL;
	k = s->v[i + 1];
	if (!(k->kind == JQ_INDEX && k->from >= -1) &&
	    !jqx_is_call(k, "first", 0) && !jqx_is_call(k, "last", 0))
		return NULL;
	x = make(c, EX_SPLIT, 0);
	set_text(x, n->kids[0]->s, n->kids[0]->n);
	x->from = k->kind == JQ_INDEX ? k->from : *k->s == 'f' ? 0 : -1;
	x = behind(c, at, x);
	return i + 2 == s->n ? x
			     : pair(c, EX_PIPE, x, stages(c, s, i + 2, &here));
}

static struct ex *
stages(
    struct comp *c, const struct jq_stages *s, size_t i, const struct loc *at)
{
	const struct jq_node *n = s->v[i];
	struct ex *x = NULL, *first;

	if (n->kind == JQ_DOT && i + 1 < s->n)
		return stages(c, s, i + 1, at);
	if (jqx_is_call(n, ".[]", 1)) {
		/* .[$k] with its constant filled in */
		struct jq_node *f =
		    jqx_string(c->prog, n->kids[0]->s, n->kids[0]->n);
		struct jq_stages t = *s;

		if (!jqx_is_string(n->kids[0]))
			return NULL;
		f->kind = JQ_FIELD;
		t.v[i] = f;
		return stages(c, &t, i, at);
	}
	if (at->known && (n->kind == JQ_FIELD || n->kind == JQ_INDEX)) {
		x = path_stages(c, s, i, at);
		if (x != NULL)
			return x;
	}
	if ((x = keyed_stages(c, s, i, at)) != NULL ||
	    (x = collected(c, s, i, at)) != NULL ||
	    (x = split(c, s, i, at)) != NULL)
		return x;
	if (jqx_is_call(n, "select", 1))
		return select_stages(c, s, i, at);
	first = comp(c, n, at);
	if (first == NULL || i + 1 == s->n)
		return first;
	return pair(c, EX_PIPE, first, stages(c, s, i + 1, &here));
}

/* Kids that see the same input. */
static struct ex *
with_kids(struct comp *c, enum ex_kind kind, const struct jq_node *n,
    const struct loc *at)
{
	struct ex *x = make(c, kind, n->count);

	for (size_t i = 0; i < n->count; i++) {
		x->kids[i] = comp(c, n->kids[i], at);
		if (x->kids[i] == NULL)
			return NULL;
		x->single = x->single && x->kids[i]->single;
		x->total = x->total && x->kids[i]->total;
	}
	x->op = n->op;
	return x;
}

static struct ex *
types(struct comp *c, const struct jq_node *n, const struct loc *at)
{
	static const struct {
		const char *name;
		unsigned mask;
	} t[] = {
	    {"values", 0xfe & ~(1u << JSON_NULL)},
	    {"nulls", 1u << JSON_NULL},
	    {"booleans", 1u << JSON_TRUE | 1u << JSON_FALSE},
	    {"numbers", 1u << JSON_NUMBER},
	    {"strings", 1u << JSON_STRING},
	    {"arrays", 1u << JSON_ARRAY},
	    {"objects", 1u << JSON_OBJECT},
	    {"iterables", 1u << JSON_ARRAY | 1u << JSON_OBJECT},
	    {"scalars", 0xfe & ~(1u << JSON_ARRAY | 1u << JSON_OBJECT)},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (jqx_is_call(n, t[i].name, 0)) {
			struct ex *x = make(c, EX_TYPES, 0);

			x->mask = t[i].mask;
			x->total = false;
			return behind(c, at, x);
		}
	}
	return NULL;
}

static struct ex *
regex(struct comp *c, const struct jq_node *n, const struct loc *at)
{
	const struct jq_node *f = n->count == 2 ? n->kids[1] : NULL;
	struct ex_regex *r;
	struct ex *x;

	if (!jqx_is_string(n->kids[0]) || (f != NULL && !jqx_is_string(f)))
		return NULL;
	r = ex_regex_new(n->kids[0]->s, n->kids[0]->n, f == NULL ? "" : f->s,
	    f == NULL ? 0 : f->n);
	if (r == NULL)
		return NULL;
	x = make(c, EX_TEST, 0);
	x->regex = r;
	return behind(c, at, x);
}

/* any(f), all(f), any(gen; f), all(gen; f) */
static struct ex *
quantor(struct comp *c, const struct jq_node *n, const struct loc *at)
{
	enum ex_kind kind = n->s[1] == 'n' ? EX_ANY : EX_ALL;
	struct ex *gen, *cond, *x;

	if (n->count == 2) {
		gen = comp(c, n->kids[0], at);
		cond = gen == NULL ? NULL : comp(c, n->kids[1], &here);
	} else {
		gen = make(c, EX_ITER, 0);
		gen->single = gen->total = false;
		gen = behind(c, at, gen);
		cond = n->count == 0 ? make(c, EX_DOT, 0)
				     : comp(c, n->kids[0], &here);
	}
	x = pair(c, kind, gen, cond);
	if (x != NULL)
		x->single = x->total = true;
	return x;
}

static struct ex *
call(struct comp *c, const struct jq_node *n, const struct loc *at)
{
	ex_fn fn = ex_function(n->s, n->n, n->count);
	struct ex *x, *arg = NULL;

	if (fn != NULL) {
		if (n->count == 1) {
			arg = comp(c, n->kids[0], &here);
			if (arg == NULL || !arg->single)
				return NULL;
		}
		x = make(c, EX_CALL, n->count);
		if (arg != NULL) {
			x->kids[0] = arg;
			x->total = arg->total;
		}
		x->fn = fn;
		return behind(c, at, x);
	}
	if (jqx_is_call(n, "empty", 0)) {
		x = make(c, EX_EMPTY, 0);
		x->total = false;
		return x;
	}
	if (jqx_is_call(n, "first", 1)) {
		x = around(c, EX_FIRST, comp(c, n->kids[0], at));
		if (x != NULL)
			x->single = true;
		return x;
	}
	if (jqx_is_call(n, "any", 0) || jqx_is_call(n, "all", 0) ||
	    jqx_is_call(n, "any", 1) || jqx_is_call(n, "all", 1) ||
	    jqx_is_call(n, "any", 2) || jqx_is_call(n, "all", 2))
		return quantor(c, n, at);
	if (jqx_is_call(n, "IN", 1)) {
		x = around(c, EX_IN, comp(c, n->kids[0], &here));
		if (x != NULL)
			x->single = x->total = true;
		return behind(c, at, x);
	}
	if (jqx_is_call(n, "test", 1) || jqx_is_call(n, "test", 2))
		return regex(c, n, at);
	return types(c, n, at);
}

static struct ex *
leaf(struct comp *c, const struct jq_node *n, const struct loc *at)
{
	struct ex *x;

	switch (n->kind) {
	case JQ_FIELD:
		x = make(c, EX_FIELD, 0);
		set_text(x, n->s, n->n);
		break;
	case JQ_INDEX:
		x = make(c, EX_INDEX, 0);
		break;
	case JQ_SLICE:
		x = make(c, EX_SLICE, 0);
		break;
	default:
		x = make(c, EX_ITER, 0);
		x->single = x->total = false;
	}
	x->from = n->from;
	x->to = n->to;
	x->has_from = n->has_from;
	x->has_to = n->has_to;
	return behind(c, at, x);
}

static struct ex *
alternative(struct comp *c, const struct jq_node *n, const struct loc *at)
{
	struct ex *x = with_kids(c, EX_ALT, n, at);

	if (x != NULL)
		x->total = x->kids[1]->total;
	return x;
}

static struct ex *
binary(struct comp *c, const struct jq_node *n, const struct loc *at)
{
	struct ex *x = with_kids(c, EX_BIN, n, at), *a;

	if (x == NULL || (x->op != OP_EQ && x->op != OP_NE))
		return x;
	if (x->kids[0]->kind == EX_CONST) {
		a = x->kids[0];
		x->kids[0] = x->kids[1];
		x->kids[1] = a;
	}
	x->quick = x->kids[0]->kind == EX_PATH && x->kids[0]->path->n > 0 &&
		   x->kids[1]->kind == EX_CONST &&
		   x->kids[1]->lit.type == JSON_STRING;
	return x;
}

static struct ex *
only_single(struct ex *x)
{
	return x == NULL || !x->single ? NULL : x;
}

static struct ex *
one(struct comp *c, const struct jq_node *n, const struct loc *at)
{
	struct jq_stages s = {.n = 0};
	struct ex *x;

	switch (n->kind) {
	case JQ_DOT:
		return at->known ? path_node(c, at) : make(c, EX_DOT, 0);
	case JQ_LIT:
	case JQ_ARR:
	case JQ_OBJ:
		return constant(c, n);
	case JQ_FIELD:
	case JQ_INDEX:
	case JQ_CALL:
		s.v[s.n++] = n;
		if (n->kind != JQ_CALL && at->known &&
		    (x = path_stages(c, &s, 0, at)) != NULL)
			return x;
		if (jqx_is_call(n, "select", 1))
			return select_stages(c, &s, 0, at);
		if (jqx_is_call(n, ".[]", 1))
			return stages(c, &s, 0, at);
		return n->kind == JQ_CALL ? call(c, n, at) : leaf(c, n, at);
	case JQ_SLICE:
	case JQ_ITER:
		return leaf(c, n, at);
	case JQ_TRY:
		x = around(c, EX_TRY, comp(c, n->kids[0], at));
		if (x != NULL)
			x->total = false;
		return x;
	case JQ_PIPE:
		return jqx_stages(&s, n) ? stages(c, &s, 0, at) : NULL;
	case JQ_COMMA:
		x = with_kids(c, EX_COMMA, n, at);
		if (x != NULL)
			x->single = x->total = false;
		return x;
	case JQ_BIN:
		x = constant(c, n);
		return x != NULL ? x : binary(c, n, at);
	case JQ_NEG:
		x = constant(c, n);
		return x != NULL ? x : only_single(with_kids(c, EX_NEG, n, at));
	case JQ_AND:
		return with_kids(c, EX_AND, n, at);
	case JQ_OR:
		return with_kids(c, EX_OR, n, at);
	case JQ_ALT:
		return alternative(c, n, at);
	case JQ_IF:
		return with_kids(c, EX_IF, n, at);
	case JQ_INTERP:
		return only_single(with_kids(c, EX_INTERP, n, at));
	default:
		return NULL;
	}
}

static struct ex *
comp(struct comp *c, const struct jq_node *n, const struct loc *at)
{
	struct ex *x;

	if (c->e->n_all > NODES_MAX || c->depth >= DEPTH_MAX)
		return NULL;
	c->depth++;
	x = one(c, n, at);
	c->depth--;
	return x;
}

bool
ex_compile(struct expr *e, struct json_paths *ps, struct jq_prog *prog,
    const char **why)
{
	const struct loc root = {.known = true, .sure = true};
	struct comp c = {.e = e, .ps = ps, .prog = prog};

	e->root = comp(&c, jqx_root(prog), &root);
	*why = c.why;
	return c.why == NULL;
}
