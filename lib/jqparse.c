/*
 * Recursive descent over the words of a jq program. What is outside of our
 * part of the language makes the parser give up: libjq then decides.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "dec.h"
#include "jqlex.h"
#include "mem.h"

#define DEPTH_MAX 200
#define NODES_MAX 200000
#define KIDS_MAX 100000

struct block {
	struct block *next;
	size_t used, size;
	char data[];
};

struct jq_prog {
	struct toks toks;
	struct block *blocks;
	struct jq_node *root;
	size_t nodes;
};

struct def {
	const char *name;
	size_t len;
	size_t count;
	const struct tok **params; /* T_IDENT or T_VAR */
	struct jq_node *body;      /* NULL while it is read */
	size_t seq;
	const struct def *prev;
};

struct var {
	const char *name;
	size_t len;
	struct jq_node *value; /* a constant, or */
	const struct def *def; /* parameter of this definition */
	size_t seq;
	size_t index;
	const struct var *prev;
};

struct parse {
	struct jq_prog *prog;
	const struct tok *t;
	const struct def *defs;
	const struct var *vars;
	size_t seq; /* grows with each name that is bound */
	struct jq_why *why;
	int depth;
};

void *
jqx_alloc(struct jq_prog *p, size_t n)
{
	struct block *b = p->blocks;
	void *got;

	n = (n + 15) & ~(size_t)15;
	if (b == NULL || b->size - b->used < n) {
		size_t size = n > 4000 ? n : 4000;

		b = xmalloc(sizeof(*b) + size);
		b->size = size;
		b->used = 0;
		b->next = p->blocks;
		p->blocks = b;
	}
	got = b->data + b->used;
	b->used += n;
	memset(got, 0, n);
	return got;
}

static struct jq_node *
give_up(struct parse *p, const char *text)
{
	if (p->why->text == NULL) {
		p->why->at = p->t->at;
		p->why->text = text;
	}
	return NULL;
}

static struct jq_node *
node(struct jq_prog *p, enum jq_kind kind, size_t kids)
{
	struct jq_node *n = jqx_alloc(p, sizeof(*n));

	p->nodes++;
	n->kind = kind;
	n->count = kids;
	if (kids > 0)
		n->kids = jqx_alloc(p, kids * sizeof(struct jq_node *));
	return n;
}

struct jq_node *
jqx_string(struct jq_prog *p, const char *s, size_t n)
{
	struct jq_node *lit = node(p, JQ_LIT, 0);

	lit->type = JSON_STRING;
	lit->s = s;
	lit->n = n;
	return lit;
}

static struct jq_node *
word_lit(struct jq_prog *p, enum json_type type, const char *s)
{
	struct jq_node *lit = jqx_string(p, s, strlen(s));

	lit->type = type;
	return lit;
}

static struct jq_node *
pair(struct parse *p, enum jq_kind kind, struct jq_node *a, struct jq_node *b)
{
	struct jq_node *n;

	if (a == NULL || b == NULL)
		return NULL;
	n = node(p->prog, kind, 2);
	n->kids[0] = a;
	n->kids[1] = b;
	return n;
}

/* A list that grows while it is read. */
struct list {
	struct jq_node **v;
	size_t n, cap;
};

static void
list_add(struct list *l, struct jq_node *n)
{
	if (l->n == l->cap) {
		l->cap = l->cap == 0 ? 8 : l->cap * 2;
		l->v = xreallocarray(l->v, l->cap, sizeof(*l->v));
	}
	l->v[l->n++] = n;
}

static struct jq_node *
list_node(struct parse *p, enum jq_kind kind, const struct list *l)
{
	struct jq_node *n = node(p->prog, kind, l->n);

	if (l->n > 0)
		memcpy(n->kids, l->v, l->n * sizeof(*l->v));
	return n;
}

static bool
at(const struct parse *p, const char *op)
{
	return tok_is(p->t, T_OP, op);
}

static bool
at_word(const struct parse *p, const char *word)
{
	return tok_is(p->t, T_IDENT, word);
}

static bool
take(struct parse *p, const char *op)
{
	if (!at(p, op))
		return false;
	p->t++;
	return true;
}

static bool
take_word(struct parse *p, const char *word)
{
	if (!at_word(p, word))
		return false;
	p->t++;
	return true;
}

static bool
keyword(const struct tok *t)
{
	static const char *const words[] = {"if", "then", "else", "elif", "end",
	    "and", "or", "def", "as", "reduce", "foreach", "try", "catch",
	    "label", "import", "include", "__loc__"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (tok_is(t, T_IDENT, words[i]))
			return true;
	return false;
}

static struct jq_node *parse_pipe(struct parse *p);
static struct jq_node *parse_postfix(struct parse *p);

/* jq also takes 007, 1. and .5; JSON does not. o has room for n + 1. */
static size_t
json_form(const char *s, size_t n, char *o)
{
	const char *end = s + n;
	char *out = o;

	while (s + 1 < end && *s == '0' && s[1] >= '0' && s[1] <= '9')
		s++;
	if (*s == '.')
		*o++ = '0';
	for (; s < end; s++) {
		if (*s == '.' && (s + 1 == end || s[1] == 'e' || s[1] == 'E'))
			continue;
		*o++ = *s;
	}
	return (size_t)(o - out);
}

static struct jq_node *
number(struct parse *p)
{
	char *text = jqx_alloc(p->prog, p->t->n + 1);
	struct jq_node *lit;

	lit = jqx_string(p->prog, text, json_form(p->t->s, p->t->n, text));
	lit->type = JSON_NUMBER;
	p->t++;
	return lit;
}

static struct jq_node *
interpolation(struct parse *p)
{
	struct list l = {0};
	struct jq_node *n = NULL, *part;

	p->t++;
	while (p->t->type != T_CLOSE) {
		if (p->t->type == T_PART) {
			if (p->t->n > 0)
				list_add(
				    &l, jqx_string(p->prog, p->t->s, p->t->n));
			p->t++;
			continue;
		}
		p->t++;
		part = parse_pipe(p);
		if (part == NULL)
			goto out;
		if (p->t->type != T_SUBEND) {
			give_up(p, "syntax error");
			goto out;
		}
		list_add(&l, part);
		p->t++;
	}
	p->t++;
	n = list_node(p, JQ_INTERP, &l);
out:
	free(l.v);
	return n;
}

static struct jq_node *
array(struct parse *p)
{
	struct jq_node *n, *inner = NULL;

	if (!take(p, "]")) {
		inner = parse_pipe(p);
		if (inner == NULL)
			return NULL;
		if (!take(p, "]"))
			return give_up(p, "syntax error");
	}
	n = node(p->prog, JQ_ARR, inner == NULL ? 0 : 1);
	if (inner != NULL)
		n->kids[0] = inner;
	return n;
}

static struct jq_node *
member_value(struct parse *p)
{
	struct jq_node *n, *v;

	if (!take(p, "-"))
		return parse_postfix(p);
	v = parse_postfix(p);
	if (v == NULL)
		return NULL;
	n = node(p->prog, JQ_NEG, 1);
	n->kids[0] = v;
	return n;
}

static struct jq_node *
object(struct parse *p)
{
	struct list keys = {0}, vals = {0};
	struct jq_node *n = NULL, *v;

	while (!at(p, "}")) {
		if (p->t->type != T_IDENT && p->t->type != T_STR) {
			give_up(p, "name of a member expected");
			goto out;
		}
		list_add(&keys, jqx_string(p->prog, p->t->s, p->t->n));
		keys.v[keys.n - 1]->at = p->t->at;
		p->t++;
		if (!take(p, ":")) {
			give_up(p, "':' expected");
			goto out;
		}
		v = member_value(p);
		if (v == NULL)
			goto out;
		list_add(&vals, v);
		if (!at(p, "}") && (!take(p, ",") || at(p, "}"))) {
			give_up(p, "',' or '}' expected");
			goto out;
		}
	}
	p->t++;
	n = list_node(p, JQ_OBJ, &vals);
	if (keys.n > 0) {
		n->keys = jqx_alloc(p->prog, keys.n * sizeof(*keys.v));
		memcpy(n->keys, keys.v, keys.n * sizeof(*keys.v));
	}
out:
	free(keys.v);
	free(vals.v);
	return n;
}

static struct jq_node *
condition(struct parse *p)
{
	struct jq_node *n = node(p->prog, JQ_IF, 3);

	n->kids[0] = parse_pipe(p);
	if (n->kids[0] == NULL)
		return NULL;
	if (!take_word(p, "then"))
		return give_up(p, "'then' expected");
	n->kids[1] = parse_pipe(p);
	if (n->kids[1] == NULL)
		return NULL;
	if (take_word(p, "elif")) {
		if (++p->depth > DEPTH_MAX)
			return give_up(p, "nested too deeply");
		n->kids[2] = condition(p);
		p->depth--;
		return n->kids[2] == NULL ? NULL : n;
	}
	if (!take_word(p, "else"))
		return give_up(p, "'else' expected");
	n->kids[2] = parse_pipe(p);
	if (n->kids[2] == NULL)
		return NULL;
	return take_word(p, "end") ? n : give_up(p, "'end' expected");
}

/* Puts the arguments in place of the parameters. */
static struct jq_node *
fill(struct parse *p, struct jq_node *n, const struct def *d,
    const struct list *args)
{
	struct jq_node *copy;

	if (n->kind == JQ_PARAM && n->def == d)
		return args->v[n->from];
	if (n->count == 0)
		return n;
	if (p->prog->nodes > NODES_MAX)
		return give_up(p, "program too large");
	copy = node(p->prog, n->kind, n->count);
	{
		struct jq_node **kids = copy->kids;

		*copy = *n;
		copy->kids = kids;
	}
	for (size_t i = 0; i < n->count; i++) {
		copy->kids[i] = fill(p, n->kids[i], d, args);
		if (copy->kids[i] == NULL)
			return NULL;
	}
	return copy;
}

static bool
is_constant(struct parse *p, struct jq_node **n)
{
	struct jq_node *c = jqx_constant(p->prog, *n);

	if (c != NULL)
		*n = c;
	return c != NULL;
}

static const struct var *
find_param(const struct parse *p, const struct tok *name)
{
	for (const struct var *v = p->vars; v != NULL; v = v->prev)
		if (v->def != NULL && v->len == name->n &&
		    memcmp(v->name, name->s, name->n) == 0)
			return v;
	return NULL;
}

static const struct def *
find_def(const struct parse *p, const struct tok *name, size_t count)
{
	for (const struct def *d = p->defs; d != NULL; d = d->prev)
		if (d->len == name->n && d->count == count &&
		    memcmp(d->name, name->s, name->n) == 0)
			return d;
	return NULL;
}

/* The innermost of the names that fit: parameter, definition, builtin. */
static struct jq_node *
call(struct parse *p, const struct tok *name, struct list *args)
{
	const struct var *v = args->n == 0 ? find_param(p, name) : NULL;
	const struct def *d = find_def(p, name, args->n);
	struct jq_node *n;

	if (v != NULL && (d == NULL || v->seq > d->seq)) {
		n = node(p->prog, JQ_PARAM, 0);
		n->def = v->def;
		n->from = (int32_t)v->index;
		return n;
	}
	if (d != NULL) {
		for (size_t i = 0; i < d->count; i++)
			if (d->params[i]->type == T_VAR &&
			    !is_constant(p, &args->v[i]))
				return give_up(p, "argument is not constant");
		return d->count == 0 ? d->body : fill(p, d->body, d, args);
	}
	n = list_node(p, JQ_CALL, args);
	n->s = name->s;
	n->n = name->n;
	n->at = name->at;
	return n;
}

static struct jq_node *
named(struct parse *p)
{
	const struct tok *name = p->t;
	struct list args = {0};
	struct jq_node *n = NULL, *arg;

	p->t++;
	if (tok_is(name, T_IDENT, "if"))
		return condition(p);
	if (keyword(name)) {
		p->t--;
		return give_up(p, "syntax error");
	}
	if (args.n == 0 && tok_is(name, T_IDENT, "null"))
		return word_lit(p->prog, JSON_NULL, "null");
	if (tok_is(name, T_IDENT, "true"))
		return word_lit(p->prog, JSON_TRUE, "true");
	if (tok_is(name, T_IDENT, "false"))
		return word_lit(p->prog, JSON_FALSE, "false");
	if (take(p, "(")) {
		do {
			arg = parse_pipe(p);
			if (arg == NULL)
				goto out;
			list_add(&args, arg);
		} while (take(p, ";"));
		if (!take(p, ")")) {
			give_up(p, "')' expected");
			goto out;
		}
	}
	n = call(p, name, &args);
out:
	free(args.v);
	return n;
}

static struct jq_node *
variable(struct parse *p)
{
	const struct tok *name = p->t;
	struct jq_node *n;

	for (const struct var *v = p->vars; v != NULL; v = v->prev) {
		if (v->len != name->n || memcmp(v->name, name->s, name->n) != 0)
			continue;
		p->t++;
		if (v->value != NULL)
			return v->value;
		/* $f of a parameter f that is no $f is not ours */
		if (v->def->params[v->index]->type != T_VAR)
			break;
		n = node(p->prog, JQ_PARAM, 0);
		n->def = v->def;
		n->from = (int32_t)v->index;
		return n;
	}
	return give_up(p, "unknown variable");
}

static struct jq_node *
field(struct jq_prog *p, const struct tok *t)
{
	struct jq_node *n = node(p, JQ_FIELD, 0);

	n->s = t->s;
	n->n = t->n;
	return n;
}

static struct jq_node *
term(struct parse *p)
{
	struct jq_node *n;

	switch (p->t->type) {
	case T_NUM:
		return number(p);
	case T_STR:
		n = jqx_string(p->prog, p->t->s, p->t->n);
		p->t++;
		return n;
	case T_OPEN:
		return interpolation(p);
	case T_IDENT:
		return named(p);
	case T_VAR:
		return variable(p);
	case T_FIELD:
		return field(p->prog, p->t++);
	default:
		break;
	}
	if (take(p, ".")) {
		if (p->t->type == T_STR)
			return field(p->prog, p->t++);
		return node(p->prog, JQ_DOT, 0);
	}
	if (take(p, "[")) {
		return array(p);
	}
	if (take(p, "{"))
		return object(p);
	if (take(p, "(")) {
		n = parse_pipe(p);
		if (n == NULL)
			return NULL;
		return take(p, ")") ? n : give_up(p, "')' expected");
	}
	return give_up(p, "syntax error");
}

/* A constant whole number within reason. */
static bool
small_int(struct parse *p, struct jq_node *n, int32_t *v)
{
	bool neg = false;
	int32_t got = 0;

	if (!is_constant(p, &n) || n->type != JSON_NUMBER || n->kind != JQ_LIT)
		return false;
	for (size_t i = 0; i < n->n; i++) {
		if (i == 0 && n->s[0] == '-') {
			neg = true;
			continue;
		}
		if (n->s[i] < '0' || n->s[i] > '9' || got > 1000000)
			return false;
		got = got * 10 + (n->s[i] - '0');
	}
	*v = neg ? -got : got;
	return true;
}

static struct jq_node *
slice(struct parse *p, struct jq_node *from)
{
	struct jq_node *n = node(p->prog, JQ_SLICE, 0), *to;

	n->has_from = from != NULL;
	if (from != NULL && !small_int(p, from, &n->from))
		return give_up(p, "bound of a slice is not constant");
	n->has_to = !at(p, "]");
	if (n->has_to) {
		to = parse_pipe(p);
		if (to == NULL)
			return NULL;
		if (!small_int(p, to, &n->to))
			return give_up(p, "bound of a slice is not constant");
	}
	if (!n->has_from && !n->has_to)
		return give_up(p, "syntax error");
	return take(p, "]") ? n : give_up(p, "']' expected");
}

/* After '['. */
static struct jq_node *
bracket(struct parse *p)
{
	struct jq_node *n, *k;

	if (take(p, "]"))
		return node(p->prog, JQ_ITER, 0);
	if (take(p, ":"))
		return slice(p, NULL);
	k = parse_pipe(p);
	if (k == NULL)
		return NULL;
	if (take(p, ":"))
		return slice(p, k);
	if (!take(p, "]"))
		return give_up(p, "']' expected");
	if (k->kind == JQ_LIT && k->type == JSON_STRING) {
		n = node(p->prog, JQ_FIELD, 0);
		n->s = k->s;
		n->n = k->n;
		return n;
	}
	if (k->kind == JQ_PARAM) {
		/* filled in later: `def m($k): .[$k];` */
		n = node(p->prog, JQ_CALL, 1);
		n->s = ".[]";
		n->n = 3;
		n->kids[0] = k;
		return n;
	}
	n = node(p->prog, JQ_INDEX, 0);
	if (!small_int(p, k, &n->from))
		return give_up(p, "index is not constant");
	return n;
}

static struct jq_node *
tried(struct parse *p, struct jq_node *n)
{
	struct jq_node *t = node(p->prog, JQ_TRY, 1);

	t->kids[0] = n;
	return t;
}

static struct jq_node *
suffix(struct parse *p)
{
	if (p->t->type == T_FIELD)
		return field(p->prog, p->t++);
	if (at(p, ".") && p->t[1].type == T_STR) {
		p->t += 2;
		return field(p->prog, &p->t[-1]);
	}
	p->t++;
	return bracket(p);
}

static bool
at_suffix(const struct parse *p)
{
	return p->t->type == T_FIELD || at(p, "[") ||
	       (at(p, ".") && p->t[1].type == T_STR);
}

/* `TERM as $x | …`, TERM being constant. */
static struct jq_node *
binding(struct parse *p, struct jq_node *value)
{
	const struct var *outer = p->vars;
	struct var v = {.prev = outer};
	struct jq_node *n;

	if (!is_constant(p, &value) || p->t->type != T_VAR)
		return give_up(p, "variable is not constant");
	v.name = p->t->s;
	v.len = p->t->n;
	v.value = value;
	p->t++;
	if (!take(p, "|"))
		return give_up(p, "'|' expected");
	v.seq = ++p->seq;
	p->vars = &v;
	n = parse_pipe(p);
	p->vars = outer;
	return n;
}

static struct jq_node *
parse_postfix(struct parse *p)
{
	struct jq_node *n = term(p), *s;
	bool path;

	if (n == NULL)
		return NULL;
	path = n->kind == JQ_FIELD;
	if (path && take(p, "?"))
		n = tried(p, n);
	while (at_suffix(p)) {
		path = true;
		s = suffix(p);
		if (s == NULL)
			return NULL;
		if (take(p, "?"))
			s = tried(p, s);
		n = n->kind == JQ_DOT ? s : pair(p, JQ_PIPE, n, s);
	}
	if (take_word(p, "as"))
		return binding(p, n);
	if (at(p, "?")) {
		while (take(p, "?"))
			n = tried(p, n);
		if (at_suffix(p))
			return give_up(p, "syntax error");
	}
	return n;
}

static struct jq_node *
parse_mul(struct parse *p)
{
	struct jq_node *n, *inner;

	if (take(p, "-")) {
		if (++p->depth > DEPTH_MAX)
			return give_up(p, "nested too deeply");
		inner = parse_mul(p);
		p->depth--;
		if (inner == NULL)
			return NULL;
		n = node(p->prog, JQ_NEG, 1);
		n->kids[0] = inner;
		return n;
	}
	n = parse_postfix(p);
	while (n != NULL && (at(p, "*") || at(p, "/") || at(p, "%"))) {
		if (!take(p, "*"))
			return give_up(p, "division");
		n = pair(
		    p, JQ_BIN, n, at(p, "-") ? parse_mul(p) : parse_postfix(p));
		if (n != NULL)
			n->op = OP_MUL;
	}
	return n;
}

static struct jq_node *
parse_add(struct parse *p)
{
	struct jq_node *n = parse_mul(p);

	while (n != NULL && (at(p, "+") || at(p, "-"))) {
		enum jq_op op = *p->t->s == '+' ? OP_ADD : OP_SUB;

		p->t++;
		n = pair(p, JQ_BIN, n, parse_mul(p));
		if (n != NULL)
			n->op = op;
	}
	return n;
}

static bool
comparison(const struct tok *t, enum jq_op *op)
{
	static const char *const words[] = {"==", "!=", "<", "<=", ">", ">="};

	for (int i = 0; i < 6; i++) {
		if (tok_is(t, T_OP, words[i])) {
			*op = (enum jq_op)(OP_EQ + i);
			return true;
		}
	}
	return false;
}

static struct jq_node *
parse_compare(struct parse *p)
{
	struct jq_node *n = parse_add(p);
	enum jq_op op;

	if (n == NULL || !comparison(p->t, &op))
		return n;
	p->t++;
	n = pair(p, JQ_BIN, n, parse_add(p));
	if (n == NULL)
		return NULL;
	n->op = op;
	return comparison(p->t, &op) ? give_up(p, "syntax error") : n;
}

static struct jq_node *
parse_and(struct parse *p)
{
	struct jq_node *n = parse_compare(p);

	while (n != NULL && take_word(p, "and"))
		n = pair(p, JQ_AND, n, parse_compare(p));
	return n;
}

static struct jq_node *
parse_or(struct parse *p)
{
	struct jq_node *n = parse_and(p);

	while (n != NULL && take_word(p, "or"))
		n = pair(p, JQ_OR, n, parse_and(p));
	return n;
}

static struct jq_node *
parse_alt(struct parse *p)
{
	struct jq_node *n = parse_or(p), *r;

	if (n == NULL || !take(p, "//"))
		return n;
	if (++p->depth > DEPTH_MAX)
		return give_up(p, "nested too deeply");
	r = parse_alt(p);
	p->depth--;
	return pair(p, JQ_ALT, n, r);
}

static struct jq_node *
parse_comma(struct parse *p)
{
	struct jq_node *n = parse_alt(p);
	struct list l = {0};

	if (n == NULL || !at(p, ","))
		return n;
	list_add(&l, n);
	while (n != NULL && take(p, ",")) {
		n = l.n < KIDS_MAX ? parse_alt(p)
				   : give_up(p, "too many values");
		list_add(&l, n);
	}
	if (n != NULL)
		n = list_node(p, JQ_COMMA, &l);
	free(l.v);
	return n;
}

#define PARAMS_MAX 16

/* `def name(params): body;` with p at the name. */
static bool
definition(struct parse *p, struct def *d, const struct tok **params)
{
	const struct var *outer_vars = p->vars;
	const struct def *outer_defs = p->defs;
	struct var vars[PARAMS_MAX];

	*d = (struct def){
	    .name = p->t->s, .len = p->t->n, .params = params, .prev = p->defs};
	if (p->t->type != T_IDENT || keyword(p->t))
		return false;
	p->t++;
	if (take(p, "(")) {
		do {
			if ((p->t->type != T_IDENT && p->t->type != T_VAR) ||
			    d->count == PARAMS_MAX)
				return false;
			params[d->count] = p->t;
			vars[d->count] = (struct var){.name = p->t->s,
			    .len = p->t->n,
			    .def = d,
			    .index = d->count,
			    .seq = ++p->seq,
			    .prev = p->vars};
			p->vars = &vars[d->count++];
			p->t++;
		} while (take(p, ";"));
		if (!take(p, ")"))
			return false;
	}
	if (!take(p, ":"))
		return false;
	d->body = parse_pipe(p);
	p->vars = outer_vars;
	p->defs = outer_defs;
	return d->body != NULL && take(p, ";");
}

static struct jq_node *
parse_def(struct parse *p)
{
	const struct def *outer = p->defs;
	const struct tok **params;
	struct def *d;
	struct jq_node *n;

	p->t++;
	/* the body's nodes point at d as long as it may be called */
	d = jqx_alloc(p->prog, sizeof(*d));
	params = jqx_alloc(p->prog, PARAMS_MAX * sizeof(*params));
	if (!definition(p, d, params))
		return give_up(p, "syntax error in a definition");
	d->seq = ++p->seq;
	p->defs = d;
	n = parse_pipe(p);
	p->defs = outer;
	return n;
}

static struct jq_node *
parse_pipe(struct parse *p)
{
	struct jq_node *n;

	if (++p->depth > DEPTH_MAX)
		return give_up(p, "nested too deeply");
	if (at_word(p, "def")) {
		n = parse_def(p);
	} else {
		n = parse_comma(p);
		if (n != NULL && take(p, "|"))
			n = pair(p, JQ_PIPE, n, parse_pipe(p));
	}
	p->depth--;
	return n;
}

/* libjq 1.6 takes such programs for `.`, 1.7 refuses them. */
static bool
has_body(const struct toks *t, struct jq_why *why)
{
	size_t n = 0;

	while (t->t[n].type != T_END)
		n++;
	why->at = n == 0 ? 0 : t->t[n - 1].at;
	if (n == 0)
		why->text = "the program is empty";
	else if (tok_is(&t->t[n - 1], T_OP, ";"))
		why->text = "nothing stands behind the definitions";
	return why->text == NULL;
}

bool
jqx_check(const char *text, size_t len, struct jq_why *why)
{
	struct toks t;
	bool ok;

	why->text = NULL;
	ok = jqx_lex(text, len, &t, why) && jqx_words_ok(&t, why) &&
	     has_body(&t, why);
	jqx_lex_release(&t);
	return ok;
}

struct jq_prog *
jqx_parse(const char *text, size_t len, struct jq_why *why)
{
	struct jq_prog *prog = xcalloc(1, sizeof(*prog));
	struct parse p = {.prog = prog, .why = why};

	why->text = NULL;
	if (!jqx_lex(text, len, &prog->toks, why)) {
		jqx_free(prog);
		return NULL;
	}
	p.t = prog->toks.t;
	prog->root = parse_pipe(&p);
	if (prog->root != NULL && p.t->type != T_END)
		prog->root = give_up(&p, "syntax error");
	if (prog->root == NULL) {
		jqx_free(prog);
		return NULL;
	}
	return prog;
}

struct jq_node *
jqx_root(const struct jq_prog *p)
{
	return p->root;
}

void
jqx_free(struct jq_prog *p)
{
	if (p == NULL)
		return;
	while (p->blocks != NULL) {
		struct block *b = p->blocks;

		p->blocks = b->next;
		free(b);
	}
	jqx_lex_release(&p->toks);
	free(p);
}

bool
jqx_literals_safe(const char *text, size_t len, struct jq_why *why)
{
	struct toks t;
	bool ok = jqx_lex(text, len, &t, why);

	for (size_t i = 0; ok && i < t.n; i++) {
		char *s;

		if (t.t[i].type != T_NUM)
			continue;
		s = xmalloc(t.t[i].n + 1);
		ok = jqx_number_safe(s, json_form(t.t[i].s, t.t[i].n, s));
		free(s);
		why->at = t.t[i].at;
		why->text = "number has more digits than libjq can keep";
	}
	jqx_lex_release(&t);
	return ok;
}

/* Blanks keep it apart from its neighbours: `if.5then`, `1.0.a`. */
static void
plain_literal(struct buf *out, const struct tok *t)
{
	struct buf canon = BUF_INIT(1 << 20);
	char *s = xmalloc(t->n + 1);
	size_t n = json_form(t->s, t->n, s);

	num_canonical(&canon, s, n);
	if (jqx_number_plain(canon.p, canon.len))
		buf_fmt(out, " %s ", buf_cstr(&canon));
	else
		buf_fmt(out, "(%s+0)", buf_cstr(&canon));
	free(s);
	buf_release(&canon);
}

void
jqx_plain_literals(struct buf *out, const char *text, size_t len)
{
	struct jq_why why;
	struct toks t;
	size_t done = 0;

	if (jqx_lex(text, len, &t, &why)) {
		for (size_t i = 0; i < t.n; i++) {
			const struct tok *k = &t.t[i];

			if (k->type != T_NUM || jqx_number_plain(k->s, k->n))
				continue;
			buf_add(out, text + done, k->at - done);
			plain_literal(out, k);
			done = k->at + k->n;
		}
	}
	buf_add(out, text + done, len - done);
	jqx_lex_release(&t);
}
