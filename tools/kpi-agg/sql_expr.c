/* Expressions as GoogleSQL: from the tree of jq to that of sql_value.c. */
#include "sql_expr_impl.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jqshape.h"
#include "mem.h"
#include "sql_schema.h"

#define TEXT_MAX ((size_t)1 << 20) /* of one piece of SQL */
#define DEPTH_MAX 100

/* Where the input of a part stands. */
struct place {
	const struct node *fields; /* of the record at hand; NULL: a scalar */
	const struct node *field;  /* NULL: the row, or an element */
	const struct node *known;  /* fields of the record, as known here */
	bool gone;                 /* the tables do not have it: null */
	const char *sql;           /* of it: t.a.b, p.value */
	const char *flat;          /* for the names of columns */
	const char *array, *where; /* under a key: column and condition */
	bool inside;               /* an element that a subquery has at hand */
	const struct sx_node *value; /* a value at hand, in place of all that */
};

/* --- memory --- */

static void
list_add(struct list *l, void *p)
{
	if (l->n == l->room) {
		l->room = l->room == 0 ? 16 : 2 * l->room;
		l->v = xreallocarray(l->v, l->room, sizeof *l->v);
	}
	l->v[l->n++] = p;
}

const char *
sx_fmt(struct sx *x, const char *fmt, ...)
{
	va_list ap, again;
	char *s;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	s = xmalloc((size_t)n + 1);
	vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	list_add(&x->texts, s);
	if ((size_t)n > TEXT_MAX && x->why == NULL)
		x->why = "it is too large";
	return s;
}

struct sx *
sx_new(const struct node *fields, const struct node *known)
{
	struct sx *x = xcalloc(1, sizeof *x);

	x->fields = fields;
	x->known = known;
	return x;
}

static void
list_free(struct list *l, void (*each)(void *))
{
	for (size_t i = 0; i < l->n; i++)
		each(l->v[i]);
	free(l->v);
}

static void
prog_free(void *p)
{
	jqx_free(p);
}

void
sx_free(struct sx *x)
{
	if (x == NULL)
		return;
	list_free(&x->texts, free);
	list_free(&x->tables, free);
	list_free(&x->keys, free);
	list_free(&x->checks, free);
	list_free(&x->progs, prog_free);
	free(x);
}

const char *
sx_why(const struct sx *x)
{
	return x->why;
}

const void *
sx_refuse(struct sx *x, const char *why)
{
	if (x->why == NULL)
		x->why = why;
	return NULL;
}

/* --- what is read --- */

const struct sx_column *
sx_of_table(const struct sx *x, size_t i)
{
	return i < x->tables.n ? x->tables.v[i] : NULL;
}

const struct sx_column *
sx_of_keys(const struct sx *x, size_t i)
{
	return i < x->keys.n ? x->keys.v[i] : NULL;
}

const struct sx_check *
sx_check(const struct sx *x, size_t i)
{
	return i < x->checks.n ? x->checks.v[i] : NULL;
}

void
sx_add_check(struct sx *x, const char *when, const char *text)
{
	struct sx_check *c;

	for (size_t i = 0; i < x->checks.n; i++) {
		c = x->checks.v[i];
		if (strcmp(c->when, when) == 0)
			return;
	}
	c = xmalloc(sizeof *c);
	*c = (struct sx_check){when, text};
	list_add(&x->checks, c);
}

static bool
name_taken(const struct list *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(((struct sx_column *)l->v[i])->name, name) == 0)
			return true;
	return false;
}

/* A name of a column, of letters that need no quotes, and of no other. */
static const char *
new_name(struct sx *x, const char *want)
{
	struct buf b = BUF_INIT(64);
	const char *name;

	for (const char *s = want; *s != '\0' && b.len < 56; s++)
		buf_char(&b, isalnum((unsigned char)*s)
				 ? (char)tolower((unsigned char)*s)
				 : '_');
	name = sx_fmt(x, "%s", buf_cstr(&b));
	for (int i = 2;
	     name_taken(&x->tables, name) || name_taken(&x->keys, name); i++)
		name = sx_fmt(x, "%s_%d", buf_cstr(&b), i);
	buf_release(&b);
	return name;
}

static const char *
new_column(struct sx *x, struct list *l, const char *want, const char *sql)
{
	struct sx_column *c;

	for (size_t i = 0; i < l->n; i++) {
		c = l->v[i];
		if (strcmp(c->sql, sql) == 0)
			return c->name;
	}
	c = xmalloc(sizeof *c);
	*c = (struct sx_column){new_name(x, want), sql};
	list_add(l, c);
	return c->name;
}

const char *
sx_column(struct sx *x, const char *name, char type)
{
	const struct node *f = sql_field(x->fields, name, strlen(name));

	if (f == NULL || (type == 'A') != sql_repeated(f) ||
	    (type != 'A' && sql_type(f) != type))
		return NULL;
	return new_column(
	    x, &x->tables, sx_fmt(x, "c_%s", name), sx_fmt(x, "t.%s", name));
}

bool
sx_has(const struct sx *x, const char *column, const char *path)
{
	const struct node *f = sql_field(x->fields, column, strlen(column));

	while (f != NULL && *path != '\0') {
		size_t n = strcspn(path, ".");

		f = sql_field(node_get(f, "fields"), path, n);
		path += n + (path[n] == '.');
	}
	return f != NULL;
}

/* --- literals --- */

const char *
sx_quote(struct sx *x, const char *s, size_t n)
{
	struct buf b = BUF_INIT(TEXT_MAX);
	const char *out;

	buf_char(&b, '\'');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '\0')
			sx_refuse(x, "a text with a NUL");
		if (c == '\'' || c == '\\')
			buf_fmt(&b, "\\%c", c);
		else if (c == '\n')
			buf_str(&b, "\\n");
		else if (c < 0x20 || c == 0x7f)
			buf_fmt(&b, "\\x%02x", c);
		else
			buf_char(&b, (char)c);
	}
	buf_char(&b, '\'');
	if (b.over)
		sx_refuse(x, "a text is too long");
	out = sx_fmt(x, "%s", buf_cstr(&b));
	buf_release(&b);
	return out;
}

/* --- compiling --- */

static struct sx_node *
make(struct sx *x, enum kind kind, const struct sx_node *a,
    const struct sx_node *b)
{
	struct sx_node *n = xcalloc(1, sizeof *n);

	list_add(&x->texts, n);
	n->kind = kind;
	n->a = a;
	n->b = b;
	return n;
}

static const struct sx_node *compile(struct sx *x, const struct jq_node *n,
    const struct place *at, struct jq_prog *prog);

static const char *
key_column(struct sx *x, const struct place *at, const char *what)
{
	return sx_fmt(x,
	    "(SELECT p.%s FROM UNNEST(s.%s) AS p WITH OFFSET AS o "
	    "WHERE %s ORDER BY o LIMIT 1)",
	    what, at->array, at->where);
}

/* The value at the place. */
static const struct sx_node *
here(struct sx *x, const struct place *at)
{
	struct sx_node *n;
	char type;

	if (at->value != NULL)
		return at->value;
	if (at->field == NULL)
		return sx_refuse(x, "a whole row or element as a value");
	if (at->gone)
		return make(x, NIL, NULL, NULL);
	if (sql_repeated(at->field))
		return sx_refuse(x, "an array as a value");
	type = sql_type(at->field);
	if (type == '?')
		return sx_refuse(x, "a column that is none of STRING, INT64, "
				    "FLOAT64, BOOL and STRUCT");
	n = make(x, COL, NULL, NULL);
	n->type = type;
	n->yes = strcmp(at->sql, "t.event_name") == 0;
	if (at->inside) {
		n->s = type == 'R' ? sx_fmt(x, "(%s IS NOT NULL)", at->sql)
				   : at->sql;
	} else if (at->array != NULL) {
		n->s = new_column(x, &x->keys, at->flat,
		    type == 'R'
			? sx_fmt(x, "COALESCE(%s, FALSE)",
			      key_column(x, at,
				  sx_fmt(x, "%s IS NOT NULL", at->sql + 2)))
			: key_column(x, at, at->sql + 2));
	} else {
		n->s = new_column(x, &x->tables, sx_fmt(x, "c_%s", at->flat),
		    type == 'R' ? sx_fmt(x, "(%s IS NOT NULL)", at->sql)
				: at->sql);
	}
	return n;
}

/* What is below a field; NULL: it is no record. */
static const struct node *
below(const struct node *field)
{
	return field == NULL || sql_repeated(field) || sql_type(field) != 'R'
		   ? NULL
		   : node_get(field, "fields");
}

static bool
step(struct sx *x, struct place *at, const char *name, size_t n)
{
	const struct node *f, *known;

	if (at->value != NULL || (at->fields == NULL && at->known == NULL)) {
		sx_refuse(x, at->value == NULL && at->field != NULL &&
				     sql_repeated(at->field)
				 ? "a member of an array"
				 : "a member of a scalar");
		return false;
	}
	f = sql_field(at->fields, name, n);
	known = sql_field(at->known, name, n);
	if (f == NULL && known == NULL) {
		sx_refuse(x, sx_fmt(x,
				 "column .%.*s, which the schema does not have "
				 "(--schema gives another)",
				 (int)(n < 100 ? n : 100), name));
		return false;
	}
	at->gone = f == NULL;
	at->field = f == NULL ? known : f;
	at->sql = sx_fmt(x, "%s.%.*s", at->sql, (int)n, name);
	at->flat = *at->flat == '\0'
		       ? sx_fmt(x, "%.*s", (int)n, name)
		       : sx_fmt(x, "%s_%.*s", at->flat, (int)n, name);
	at->fields = below(f);
	at->known = below(known);
	return true;
}

/* Of a column of the table: fields of its elements as they are known here. */
static const struct node *
known_elements(const struct sx *x, const struct place *at)
{
	const struct node *f = sql_field(x->known, at->flat, strlen(at->flat));

	return f == NULL ? NULL : node_get(f, "fields");
}

/* The elements of a repeated column of the table, as p. */
static bool
elements(struct sx *x, const struct place *at, struct place *in)
{
	if (at->value != NULL || at->field == NULL || at->gone ||
	    !sql_repeated(at->field) || at->array != NULL || at->inside ||
	    sql_type(at->field) != 'R') {
		sx_refuse(x, "[] of what is no repeated record of the table");
		return false;
	}
	*in = (struct place){.fields = node_get(at->field, "fields"),
	    .known = known_elements(x, at),
	    .sql = "p",
	    .flat = "",
	    .array = new_column(
		x, &x->tables, sx_fmt(x, "c_%s", at->flat), at->sql)};
	return true;
}

static const struct sx_node *stages(struct sx *x, const struct jq_stages *s,
    size_t i, const struct place *at, struct jq_prog *prog);

/* .a[] | select(.key == "X") | rest */
static const struct sx_node *
keyed_stages(struct sx *x, const struct jq_stages *s, size_t i,
    const struct place *at, struct jq_prog *prog)
{
	const struct jq_node *name, *text;
	const struct node *f;
	struct place in;
	struct sx_node *n;

	if (at->gone && s->v[i]->kind == JQ_TRY)
		return make(x, NONE, NULL, NULL);
	if (i + 1 >= s->n || !jqx_keyed(s->v[i + 1], &name, &text))
		return sx_refuse(x,
		    "[] without select(.key == \"text\"), outside of any and "
		    "all");
	if (!elements(x, at, &in))
		return NULL;
	f = sql_field(in.fields, name->s, name->n);
	if (f == NULL || sql_type(f) != 'S' || sql_repeated(f))
		return sx_refuse(
		    x, "select by what is no STRING of the element");
	in.where = sx_fmt(x, "p.%.*s = %s", (int)name->n, name->s,
	    sx_quote(x, text->s, text->n));
	in.flat = sx_fmt(x, "p_%.*s", (int)text->n, text->s);
	n = make(x, KEYED, NULL, NULL);
	n->s =
	    new_column(x, &x->keys, sx_fmt(x, "n_%.*s", (int)text->n, text->s),
		sx_fmt(x, "(SELECT COUNT(*) FROM UNNEST(s.%s) AS p WHERE %s)",
		    in.array, in.where));
	n->b = i + 2 == s->n ? here(x, &in) : stages(x, s, i + 2, &in, prog);
	return n->b == NULL ? NULL : n;
}

static const struct sx_node *
select_stages(struct sx *x, const struct jq_stages *s, size_t i,
    const struct place *at, struct jq_prog *prog)
{
	struct sx_node *n = make(x, COND, NULL, NULL);

	n->a = compile(x, s->v[i]->kids[0], at, prog);
	n->b = n->a == NULL    ? NULL
	       : i + 1 == s->n ? here(x, at)
			       : stages(x, s, i + 1, at, prog);
	n->c = make(x, NONE, NULL, NULL);
	return n->a == NULL || n->b == NULL ? NULL : n;
}

static const struct sx_node *
stages(struct sx *x, const struct jq_stages *s, size_t i,
    const struct place *at, struct jq_prog *prog)
{
	const struct jq_node *n = s->v[i];
	const struct jq_node *bare = n->kind == JQ_TRY ? n->kids[0] : n;
	const struct sx_node *first, *rest;
	struct place to = *at;

	if (n->kind == JQ_DOT && i + 1 < s->n)
		return stages(x, s, i + 1, at, prog);
	if (bare->kind == JQ_ITER)
		return keyed_stages(x, s, i, at, prog);
	if (bare->kind == JQ_FIELD) {
		if (!step(x, &to, bare->s, bare->n))
			return NULL;
		return i + 1 == s->n ? here(x, &to)
				     : stages(x, s, i + 1, &to, prog);
	}
	if (jqx_is_call(n, "select", 1))
		return select_stages(x, s, i, at, prog);
	first = compile(x, n, at, prog);
	if (first == NULL || i + 1 == s->n)
		return first;
	to = (struct place){.value = first};
	rest = stages(x, s, i + 1, &to, prog);
	if (rest == NULL)
		return NULL;
	return sx_some(x, first) == NULL ? rest : make(x, SEQ, first, rest);
}

static const struct sx_node *
literal(struct sx *x, const struct jq_node *k)
{
	struct sx_node *n;

	if (k->kind != JQ_LIT)
		return sx_refuse(x, "an array or object");
	n = make(x,
	    k->type == JSON_STRING   ? STR
	    : k->type == JSON_NUMBER ? NUM
	    : k->type == JSON_NULL   ? NIL
				     : BOOL,
	    NULL, NULL);
	n->yes = k->type == JSON_TRUE;
	if (k->type == JSON_STRING || k->type == JSON_NUMBER) {
		n->s = sx_fmt(x, "%.*s", (int)k->n, k->s);
		n->n = k->n;
		if (strlen(n->s) != k->n)
			return sx_refuse(x, "a text with a NUL");
	}
	return n;
}

static const struct sx_node *
two(struct sx *x, enum kind kind, const struct jq_node *n,
    const struct place *at, struct jq_prog *prog)
{
	const struct sx_node *a = compile(x, n->kids[0], at, prog);
	const struct sx_node *b =
	    a == NULL ? NULL : compile(x, n->kids[1], at, prog);
	struct sx_node *r = b == NULL ? NULL : make(x, kind, a, b);

	if (r != NULL)
		r->op = n->op;
	return r;
}

static const struct sx_node *
binary(struct sx *x, const struct jq_node *n, const struct place *at,
    struct jq_prog *prog)
{
	const struct jq_node *k = jqx_constant(prog, n);

	if (k != NULL)
		return literal(x, k);
	if (n->op >= OP_EQ)
		return two(x, CMP, n, at, prog);
	if (n->op == OP_ADD)
		return two(x, ADD, n, at, prog);
	return sx_refuse(x, n->op == OP_SUB ? "subtraction" : "multiplication");
}

/* any(.a[]; f), all(.a[]; f) */
static const struct sx_node *
quantor(struct sx *x, const struct jq_node *n, const struct place *at,
    struct jq_prog *prog, bool any)
{
	struct jq_stages s = {.n = 0};
	struct place to = *at, in;
	const struct sx_node *f;
	struct sx_node *r;
	const struct jq_node *last;
	const char *truth, *has, *what;

	if (!jqx_stages(&s, n->kids[0]))
		return sx_refuse(x, "so long a pipe");
	last = s.v[s.n - 1];
	if (last->kind == JQ_TRY)
		last = last->kids[0];
	if (last->kind != JQ_ITER || s.n < 2)
		return sx_refuse(x, "any or all of what is not .column[]");
	for (size_t i = 0; i + 1 < s.n; i++)
		if (s.v[i]->kind != JQ_FIELD)
			return sx_refuse(
			    x, "any or all of what is not .column[]");
		else if (!step(x, &to, s.v[i]->s, s.v[i]->n))
			return NULL;
	if (!elements(x, &to, &in))
		return NULL;
	what = in.array;
	in.array = NULL;
	in.inside = true;
	f = compile(x, n->kids[1], &in, prog);
	truth = f == NULL ? NULL : sx_truth(x, f);
	if (truth == NULL)
		return NULL;
	has = sx_some(x, f);
	r = make(x, COL, NULL, NULL);
	r->type = 'B';
	if (!any && has != NULL)
		truth = sx_fmt(x, "(NOT %s OR %s)", has, truth);
	r->s = new_column(x, &x->keys, any ? "any_element" : "all_elements",
	    sx_fmt(x,
		any ? "EXISTS (SELECT 1 FROM UNNEST(s.%s) AS p WHERE %s)"
		    : "NOT EXISTS (SELECT 1 FROM UNNEST(s.%s) AS p WHERE NOT "
		      "%s)",
		what, truth));
	return r;
}

static const struct sx_node *
in_list(struct sx *x, const struct jq_node *n, const struct place *at)
{
	const struct jq_node *list = n->kids[0];
	size_t count = list->kind == JQ_COMMA ? list->count : 1;
	const struct sx_node *value = here(x, at), *all = NULL;

	for (size_t i = 0; value != NULL && i < count; i++) {
		const struct jq_node *k =
		    list->kind == JQ_COMMA ? list->kids[i] : list;
		const struct sx_node *lit = literal(x, k);
		struct sx_node *eq;

		if (lit == NULL)
			return NULL;
		eq = make(x, CMP, value, lit);
		eq->op = OP_EQ;
		all = all == NULL ? eq : make(x, OR, all, eq);
	}
	return all;
}

static const struct sx_node *
text_call(struct sx *x, const struct jq_node *n, const struct place *at)
{
	static const char *const names[] = {"ascii_downcase", "ascii_upcase",
	    "length", "startswith", "endswith", "contains", "ltrimstr",
	    "rtrimstr"};
	const struct sx_node *arg = NULL;
	struct sx_node *r;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (!jqx_is_call(n, names[i], i < 3 ? 0 : 1))
			continue;
		if (n->count == 1 &&
		    (!jqx_is_string(n->kids[0]) ||
			(arg = literal(x, n->kids[0])) == NULL))
			return sx_refuse(
			    x, sx_fmt(x, "%s of no literal", names[i]));
		r = make(x, CALL, here(x, at), arg);
		r->s = names[i];
		return r->a == NULL ? NULL : r;
	}
	return sx_refuse(x, sx_fmt(x, "%.*s/%zu", (int)n->n, n->s, n->count));
}

static const struct sx_node *
call(struct sx *x, const struct jq_node *n, const struct place *at,
    struct jq_prog *prog)
{
	const struct sx_node *a;

	if (jqx_is_call(n, "empty", 0))
		return make(x, NONE, NULL, NULL);
	if (jqx_is_call(n, "first", 1))
		return compile(x, n->kids[0], at, prog);
	if (jqx_is_call(n, "any", 2) || jqx_is_call(n, "all", 2))
		return quantor(x, n, at, prog, n->s[1] == 'n');
	if (jqx_is_call(n, "IN", 1))
		return in_list(x, n, at);
	if (jqx_is_call(n, "not", 0) || jqx_is_call(n, "tonumber", 0)) {
		a = here(x, at);
		return a == NULL
			   ? NULL
			   : make(x, *n->s == 'n' ? NOT : NUMBER, a, NULL);
	}
	return text_call(x, n, at);
}

static const struct sx_node *
slice(struct sx *x, const struct jq_node *n, const struct place *at)
{
	const struct sx_node *a = here(x, at);
	struct sx_node *r;

	if (a == NULL || (n->has_from && n->from < 0) ||
	    (n->has_to && n->to < 0))
		return sx_refuse(x, "a slice from the end");
	r = make(x, CALL, a, NULL);
	r->s = "slice";
	r->from = n->has_from ? n->from : 0;
	r->to = n->has_to ? n->to : -1;
	return r;
}

static const struct sx_node *
one(struct sx *x, const struct jq_node *n, const struct place *at,
    struct jq_prog *prog)
{
	struct jq_stages s = {.n = 0};
	struct sx_node *r;
	const struct jq_node *k;

	switch (n->kind) {
	case JQ_DOT:
		return here(x, at);
	case JQ_LIT:
		return literal(x, n);
	case JQ_PIPE:
	case JQ_FIELD:
	case JQ_ITER:
		return jqx_stages(&s, n) ? stages(x, &s, 0, at, prog)
					 : sx_refuse(x, "so long a pipe");
	case JQ_TRY:
		if (n->kids[0]->kind != JQ_FIELD && n->kids[0]->kind != JQ_ITER)
			return sx_refuse(x, "? behind what is no path");
		s.v[s.n++] = n;
		return stages(x, &s, 0, at, prog);
	case JQ_CALL:
		if (jqx_is_call(n, "select", 1)) {
			s.v[s.n++] = n;
			return stages(x, &s, 0, at, prog);
		}
		return call(x, n, at, prog);
	case JQ_BIN:
		return binary(x, n, at, prog);
	case JQ_NEG:
		k = jqx_constant(prog, n);
		return k == NULL ? sx_refuse(x, "negation") : literal(x, k);
	case JQ_AND:
		return two(x, AND, n, at, prog);
	case JQ_OR:
		return two(x, OR, n, at, prog);
	case JQ_ALT:
		return two(x, ALT, n, at, prog);
	case JQ_IF:
		r = make(x, COND, compile(x, n->kids[0], at, prog), NULL);
		r->b = r->a == NULL ? NULL : compile(x, n->kids[1], at, prog);
		r->c = r->b == NULL ? NULL : compile(x, n->kids[2], at, prog);
		return r->c == NULL ? NULL : r;
	case JQ_SLICE:
		return slice(x, n, at);
	case JQ_INDEX:
		return sx_refuse(x, "an element by its number");
	case JQ_COMMA:
		return sx_refuse(x, "several outputs (,)");
	case JQ_INTERP:
		return sx_refuse(x, "a text with \\( )");
	default:
		return sx_refuse(x, "an array or object");
	}
}

static const struct sx_node *
compile(struct sx *x, const struct jq_node *n, const struct place *at,
    struct jq_prog *prog)
{
	const struct sx_node *r;

	if (x->why != NULL || x->depth >= DEPTH_MAX)
		return sx_refuse(x, "so deep a nesting");
	x->depth++;
	r = one(x, n, at, prog);
	x->depth--;
	return x->why == NULL ? r : NULL;
}

const struct sx_node *
sx_compile(struct sx *x, const char *text)
{
	const struct place row = {
	    .fields = x->fields, .known = x->known, .sql = "t", .flat = ""};
	const struct sx_node *n;
	const char *has, *many;
	struct jq_why why;
	struct jq_prog *prog;

	x->why = NULL;
	prog = jqx_parse(text, strlen(text), &why);
	if (prog == NULL)
		return sx_refuse(x, "what libjq alone understands");
	list_add(&x->progs, prog);
	n = compile(x, jqx_root(prog), &row, prog);
	if (n == NULL)
		return NULL;
	/* Where the first element gives nothing jq goes on to the next. */
	has = sx_some(x, n);
	many = has == NULL ? NULL : sx_multi(x, n);
	if (n->kind == KEYED && sx_some(x, n->b) == NULL)
		many = NULL;
	if (many != NULL)
		sx_add_check(x, sx_fmt(x, "%s AND NOT %s", many, has),
		    "a key of a repeated column is there twice");
	return x->why == NULL ? n : NULL;
}
