/* Expressions as GoogleSQL: compiled into a small tree, written from that. */
#include "sql_expr.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dec.h"
#include "jqparse.h"
#include "mem.h"
#include "sql_schema.h"

#define TEXT_MAX ((size_t)1 << 20) /* of one piece of SQL */
#define STAGES_MAX 64
#define DEPTH_MAX 100

enum kind {
	COL, /* a column: type S I F B, R for "is the record there" */
	STR,
	NUM,
	BOOL,
	NIL,
	NONE, /* empty */
	ALT,
	CMP,
	AND,
	OR,
	NOT,
	COND,   /* if a then b else c */
	SEQ,    /* a, then b: no output where a has none */
	KEYED,  /* under a key: col counts the elements, b of the first */
	CALL,   /* a function of texts: name, a, and perhaps a literal */
	NUMBER, /* tonumber */
	ADD,
};

struct sx_node {
	enum kind kind;
	char type; /* of COL */
	enum jq_op op;
	const char *s; /* COL: SQL; STR, NUM: text; CALL: which */
	size_t n;
	bool yes;      /* of BOOL */
	long from, to; /* of a slice; to -1: the end */
	const struct sx_node *a, *b, *c;
};

struct list {
	void **v;
	size_t n, room;
};

struct sx {
	const struct node *fields, *known;
	const char *why;
	struct list texts, progs, tables, keys, checks;
	int depth;
};

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

static const void *
refuse(struct sx *x, const char *why)
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
			refuse(x, "a text with a NUL");
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
		refuse(x, "a text is too long");
	out = sx_fmt(x, "%s", buf_cstr(&b));
	buf_release(&b);
	return out;
}

/* Digits that a double keeps: then it is the number that is written. */
static bool
few_digits(const char *s, size_t n)
{
	size_t digits = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == 'e' || s[i] == 'E')
			return false;
		if (isdigit((unsigned char)s[i]) && (digits > 0 || s[i] != '0'))
			digits++;
	}
	return digits <= 15 && n <= 20;
}

static bool
is_int64(const char *s, size_t n)
{
	struct dec d;
	int64_t v;
	char text[DEC_TEXT];
	size_t len;

	if (!dec_parse(s, n, &d) || !dec_to_i64(&d, &v))
		return false;
	len = dec_format(&d, text);
	return len == n && memcmp(text, s, n) == 0;
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
		return refuse(x, "a whole row or element as a value");
	if (at->gone)
		return make(x, NIL, NULL, NULL);
	if (sql_repeated(at->field))
		return refuse(x, "an array as a value");
	type = sql_type(at->field);
	if (type == '?')
		return refuse(x, "a column that is none of STRING, INT64, "
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
		refuse(x, at->value == NULL && at->field != NULL &&
				  sql_repeated(at->field)
			      ? "a member of an array"
			      : "a member of a scalar");
		return false;
	}
	f = sql_field(at->fields, name, n);
	known = sql_field(at->known, name, n);
	if (f == NULL && known == NULL) {
		refuse(x, sx_fmt(x,
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

static bool
is_call(const struct jq_node *n, const char *name, size_t args)
{
	return n->kind == JQ_CALL && n->count == args && n->n == strlen(name) &&
	       memcmp(n->s, name, n->n) == 0;
}

static bool
is_string(const struct jq_node *n)
{
	return n->kind == JQ_LIT && n->type == JSON_STRING;
}

struct stages {
	const struct jq_node *v[STAGES_MAX];
	size_t n;
};

static bool
flatten(struct stages *s, const struct jq_node *n, int depth)
{
	if (n->kind == JQ_PIPE)
		return depth < STAGES_MAX &&
		       flatten(s, n->kids[0], depth + 1) &&
		       flatten(s, n->kids[1], depth + 1);
	if (s->n == STAGES_MAX)
		return false;
	s->v[s->n++] = n;
	return true;
}

/* select(.key == "X"): the name and the text. */
static bool
keyed(const struct jq_node *n, const struct jq_node **name,
    const struct jq_node **text)
{
	const struct jq_node *eq;

	if (!is_call(n, "select", 1) || n->kids[0]->kind != JQ_BIN ||
	    n->kids[0]->op != OP_EQ)
		return false;
	eq = n->kids[0];
	*name = eq->kids[is_string(eq->kids[0]) ? 1 : 0];
	*text = eq->kids[is_string(eq->kids[0]) ? 0 : 1];
	return (*name)->kind == JQ_FIELD && is_string(*text);
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
		refuse(x, "[] of what is no repeated record of the table");
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

static const struct sx_node *stages(struct sx *x, const struct stages *s,
    size_t i, const struct place *at, struct jq_prog *prog);

/* .a[] | select(.key == "X") | rest */
static const struct sx_node *
keyed_stages(struct sx *x, const struct stages *s, size_t i,
    const struct place *at, struct jq_prog *prog)
{
	const struct jq_node *name, *text;
	const struct node *f;
	struct place in;
	struct sx_node *n;

	if (at->gone && s->v[i]->kind == JQ_TRY)
		return make(x, NONE, NULL, NULL);
	if (i + 1 >= s->n || !keyed(s->v[i + 1], &name, &text))
		return refuse(x,
		    "[] without select(.key == \"text\"), outside of any and "
		    "all");
	if (!elements(x, at, &in))
		return NULL;
	f = sql_field(in.fields, name->s, name->n);
	if (f == NULL || sql_type(f) != 'S' || sql_repeated(f))
		return refuse(x, "select by what is no STRING of the element");
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
select_stages(struct sx *x, const struct stages *s, size_t i,
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

static const char *some(struct sx *x, const struct sx_node *n);

static const struct sx_node *
stages(struct sx *x, const struct stages *s, size_t i, const struct place *at,
    struct jq_prog *prog)
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
	if (is_call(n, "select", 1))
		return select_stages(x, s, i, at, prog);
	first = compile(x, n, at, prog);
	if (first == NULL || i + 1 == s->n)
		return first;
	to = (struct place){.value = first};
	rest = stages(x, s, i + 1, &to, prog);
	if (rest == NULL)
		return NULL;
	return some(x, first) == NULL ? rest : make(x, SEQ, first, rest);
}

static const struct sx_node *
literal(struct sx *x, const struct jq_node *k)
{
	struct sx_node *n;

	if (k->kind != JQ_LIT)
		return refuse(x, "an array or object");
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
			return refuse(x, "a text with a NUL");
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
	return refuse(x, n->op == OP_SUB ? "subtraction" : "multiplication");
}

/* any(.a[]; f), all(.a[]; f) */
static const struct sx_node *
quantor(struct sx *x, const struct jq_node *n, const struct place *at,
    struct jq_prog *prog, bool any)
{
	struct stages s = {.n = 0};
	struct place to = *at, in;
	const struct sx_node *f;
	struct sx_node *r;
	const struct jq_node *last;
	const char *truth, *has, *what;

	if (!flatten(&s, n->kids[0], 0))
		return refuse(x, "so long a pipe");
	last = s.v[s.n - 1];
	if (last->kind == JQ_TRY)
		last = last->kids[0];
	if (last->kind != JQ_ITER || s.n < 2)
		return refuse(x, "any or all of what is not .column[]");
	for (size_t i = 0; i + 1 < s.n; i++)
		if (s.v[i]->kind != JQ_FIELD)
			return refuse(x, "any or all of what is not .column[]");
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
	has = some(x, f);
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
		if (!is_call(n, names[i], i < 3 ? 0 : 1))
			continue;
		if (n->count == 1 &&
		    (!is_string(n->kids[0]) ||
			(arg = literal(x, n->kids[0])) == NULL))
			return refuse(
			    x, sx_fmt(x, "%s of no literal", names[i]));
		r = make(x, CALL, here(x, at), arg);
		r->s = names[i];
		return r->a == NULL ? NULL : r;
	}
	return refuse(x, sx_fmt(x, "%.*s/%zu", (int)n->n, n->s, n->count));
}

static const struct sx_node *
call(struct sx *x, const struct jq_node *n, const struct place *at,
    struct jq_prog *prog)
{
	const struct sx_node *a;

	if (is_call(n, "empty", 0))
		return make(x, NONE, NULL, NULL);
	if (is_call(n, "first", 1))
		return compile(x, n->kids[0], at, prog);
	if (is_call(n, "any", 2) || is_call(n, "all", 2))
		return quantor(x, n, at, prog, n->s[1] == 'n');
	if (is_call(n, "IN", 1))
		return in_list(x, n, at);
	if (is_call(n, "not", 0) || is_call(n, "tonumber", 0)) {
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
		return refuse(x, "a slice from the end");
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
	struct stages s = {.n = 0};
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
		return flatten(&s, n, 0) ? stages(x, &s, 0, at, prog)
					 : refuse(x, "so long a pipe");
	case JQ_TRY:
		if (n->kids[0]->kind != JQ_FIELD && n->kids[0]->kind != JQ_ITER)
			return refuse(x, "? behind what is no path");
		s.v[s.n++] = n;
		return stages(x, &s, 0, at, prog);
	case JQ_CALL:
		if (is_call(n, "select", 1)) {
			s.v[s.n++] = n;
			return stages(x, &s, 0, at, prog);
		}
		return call(x, n, at, prog);
	case JQ_BIN:
		return binary(x, n, at, prog);
	case JQ_NEG:
		k = jqx_constant(prog, n);
		return k == NULL ? refuse(x, "negation") : literal(x, k);
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
		return refuse(x, "an element by its number");
	case JQ_COMMA:
		return refuse(x, "several outputs (,)");
	case JQ_INTERP:
		return refuse(x, "a text with \\( )");
	default:
		return refuse(x, "an array or object");
	}
}

static const struct sx_node *
compile(struct sx *x, const struct jq_node *n, const struct place *at,
    struct jq_prog *prog)
{
	const struct sx_node *r;

	if (x->why != NULL || x->depth >= DEPTH_MAX)
		return refuse(x, "so deep a nesting");
	x->depth++;
	r = one(x, n, at, prog);
	x->depth--;
	return x->why == NULL ? r : NULL;
}

static const char *multi(struct sx *x, const struct sx_node *n);

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
		return refuse(x, "what libjq alone understands");
	list_add(&x->progs, prog);
	n = compile(x, jqx_root(prog), &row, prog);
	if (n == NULL)
		return NULL;
	/* Where the first element gives nothing jq goes on to the next. */
	has = some(x, n);
	many = has == NULL ? NULL : multi(x, n);
	if (n->kind == KEYED && some(x, n->b) == NULL)
		many = NULL;
	if (many != NULL)
		sx_add_check(x, sx_fmt(x, "%s AND NOT %s", many, has),
		    "a key of a repeated column is there twice");
	return x->why == NULL ? n : NULL;
}

/* --- writing: is there an output, and is it true? --- */

/* NULL: more than one element of a key cannot be. */
static const char *
multi(struct sx *x, const struct sx_node *n)
{
	const char *m = NULL;

	if (n == NULL)
		return NULL;
	if (n->kind == KEYED)
		return sx_fmt(x, "%s > 1", n->s);
	for (int i = 0; i < 3; i++) {
		const char *k = multi(x, i == 0 ? n->a : i == 1 ? n->b : n->c);

		if (m == NULL || k == NULL || strcmp(m, k) == 0)
			m = m == NULL ? k : m;
		else
			m = sx_fmt(x, "(%s OR %s)", m, k);
	}
	return m;
}

/* Both, where NULL stands for "always". */
static const char *
both(struct sx *x, const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == NULL ? b : a;
	return strcmp(a, b) == 0 ? a : sx_fmt(x, "(%s AND %s)", a, b);
}

/* The condition for an output; NULL: always. */
static const char *
some(struct sx *x, const struct sx_node *n)
{
	const char *a, *b, *c;

	switch (n->kind) {
	case NONE:
		return "FALSE";
	case KEYED:
		return both(x, sx_fmt(x, "(%s > 0)", n->s), some(x, n->b));
	case ALT:
		b = some(x, n->b);
		return b == NULL
			   ? NULL
			   : sx_fmt(x, "(%s OR %s)", sx_truth(x, n->a), b);
	case AND:
	case OR:
		a = some(x, n->a);
		b = some(x, n->b);
		if (b == NULL)
			return a;
		return both(x, a,
		    sx_fmt(x, n->kind == AND ? "(NOT %s OR %s)" : "(%s OR %s)",
			sx_truth(x, n->a), b));
	case COND:
		a = some(x, n->a);
		b = some(x, n->b);
		c = some(x, n->c);
		if (b == NULL && c == NULL)
			return a;
		return both(x, a,
		    sx_fmt(x, "(CASE WHEN %s THEN %s ELSE %s END)",
			sx_truth(x, n->a), b == NULL ? "TRUE" : b,
			c == NULL ? "TRUE" : c));
	case CMP:
	case SEQ:
	case ADD:
		return both(x, some(x, n->a), some(x, n->b));
	case NOT:
	case NUMBER:
	case CALL:
		return some(x, n->a);
	default:
		return NULL;
	}
}

/* Types of jq that the value may have. */
enum { T_NIL = 1, T_BOOL = 2, T_NUM = 4, T_STR = 8, T_REC = 16 };

static unsigned
types(const struct sx_node *n)
{
	unsigned a;

	switch (n->kind) {
	case COL:
		a = n->type == 'B'   ? T_BOOL
		    : n->type == 'F' ? T_NUM | T_STR
		    : n->type == 'R' ? T_REC
				     : T_STR;
		return n->yes ? a : a | T_NIL;
	case STR:
		return T_STR;
	case NUM:
	case NUMBER:
		return T_NUM;
	case NIL:
		return T_NIL;
	case NONE:
		return 0;
	case ALT:
		return (types(n->a) & ~(unsigned)T_NIL) | types(n->b);
	case COND:
		return types(n->b) | types(n->c);
	case SEQ:
	case KEYED:
		return types(n->b);
	case ADD:
		a = types(n->a) | types(n->b);
		return (types(n->a) & types(n->b) & T_NIL) == 0
			   ? a & ~(unsigned)T_NIL
			   : a;
	case CALL:
		return *n->s == 'l' && n->s[1] == 'e' ? T_NUM
		       : strcmp(n->s, "slice") == 0 ||
			       strcmp(n->s + 1, "trimstr") == 0
			   ? types(n->a)
		       : n->s[0] == 'a' ? T_STR
					: T_BOOL;
	default:
		return T_BOOL;
	}
}

static const char *compare(struct sx *x, enum jq_op op, const struct sx_node *a,
    const struct sx_node *b);

/* startswith and the like; what they are asked of is a text for sure. */
static const char *
text_test(struct sx *x, const struct sx_node *n)
{
	const char *a = sx_text(x, n->a), *lit;

	if (a == NULL)
		return NULL;
	lit = sx_quote(x, n->b->s, n->b->n);
	if (*n->s == 's')
		return sx_fmt(x, "STARTS_WITH(%s, %s)", a, lit);
	if (*n->s == 'e')
		return sx_fmt(x, "ENDS_WITH(%s, %s)", a, lit);
	return n->b->n == 0 ? "TRUE"
			    : sx_fmt(x, "(STRPOS(%s, %s) > 0)", a, lit);
}

static bool
is_test(const struct sx_node *n)
{
	return n->kind == CALL && types(n) == T_BOOL;
}

/* Only of texts: of null it would be an error of the record. */
static bool
text_for_sure(struct sx *x, const struct sx_node *n)
{
	if (types(n->a) == T_STR)
		return true;
	refuse(x, sx_fmt(x,
		      "%s of what may be null or no text (write (… // \"\") "
		      "before it)",
		      n->s));
	return false;
}

static const char *
truth_alt(struct sx *x, const struct sx_node *n)
{
	const char *a = sx_truth(x, n->a), *b = sx_truth(x, n->b);

	return a == NULL || b == NULL ? NULL : sx_fmt(x, "(%s OR %s)", a, b);
}

const char *
sx_truth(struct sx *x, const struct sx_node *n)
{
	const char *a, *b, *c, *r = NULL;

	switch (n->kind) {
	case COL:
		return n->type == 'B'   ? sx_fmt(x, "COALESCE(%s, FALSE)", n->s)
		       : n->type == 'R' ? n->s
					: sx_fmt(x, "(%s IS NOT NULL)", n->s);
	case STR:
	case NUM:
		return "TRUE";
	case BOOL:
		return n->yes ? "TRUE" : "FALSE";
	case NIL:
	case NONE:
		return "FALSE";
	case ALT:
		return truth_alt(x, n);
	case CMP:
		r = compare(x, n->op, n->a, n->b);
		return r == NULL ? NULL : both(x, some(x, n), r);
	case AND:
	case OR:
		a = sx_truth(x, n->a);
		b = sx_truth(x, n->b);
		if (a == NULL || b == NULL)
			return NULL;
		if (n->kind == AND)
			return sx_fmt(x, "(%s AND %s)", a, b);
		return sx_fmt(x, "(%s OR %s)", a, both(x, some(x, n->a), b));
	case NOT:
		a = sx_truth(x, n->a);
		return a == NULL
			   ? NULL
			   : both(x, some(x, n->a), sx_fmt(x, "NOT %s", a));
	case COND:
		a = sx_truth(x, n->a);
		b = sx_truth(x, n->b);
		c = sx_truth(x, n->c);
		if (a == NULL || b == NULL || c == NULL)
			return NULL;
		return both(x, some(x, n->a),
		    sx_fmt(x, "(CASE WHEN %s THEN %s ELSE %s END)", a, b, c));
	case SEQ:
		a = some(x, n->a);
		b = sx_truth(x, n->b);
		return b == NULL ? NULL : both(x, a, b);
	case KEYED:
		b = sx_truth(x, n->b);
		if (b == NULL || n->b->kind == COL)
			return b;
		return sx_fmt(x, "(%s > 0 AND %s)", n->s, b);
	case NUMBER:
	case ADD:
		return refuse(x, "a number as a condition");
	case CALL:
		if (!is_test(n))
			return refuse(x, "a text as a condition");
		if (!text_for_sure(x, n) || (r = text_test(x, n)) == NULL)
			return NULL;
		return both(x, some(x, n->a), r);
	}
	return NULL;
}

/* --- writing: comparisons --- */

static int
rank(unsigned type)
{
	return type == T_NIL ? 0 : type == T_BOOL ? 1 : type == T_NUM ? 2 : 3;
}

static bool
is_literal(const struct sx_node *n)
{
	return n->kind == STR || n->kind == NUM || n->kind == NIL ||
	       n->kind == BOOL;
}

static const char *
is_null(struct sx *x, const struct sx_node *n)
{
	const char *s;

	if ((types(n) & T_NIL) == 0)
		return "FALSE";
	if (n->kind == COL)
		return n->type == 'R' ? sx_fmt(x, "NOT %s", n->s)
				      : sx_fmt(x, "%s IS NULL", n->s);
	s = sx_text(x, n);
	return s == NULL ? NULL : sx_fmt(x, "%s IS NULL", s);
}

static const char *
op_word(enum jq_op op)
{
	static const char *const words[] = {[OP_EQ] = "=",
	    [OP_LT] = "<",
	    [OP_LE] = "<=",
	    [OP_GT] = ">",
	    [OP_GE] = ">="};

	return words[op];
}

/* A value and a literal of another type: jq's order of types decides. */
static const char *
by_rank(struct sx *x, enum jq_op op, const struct sx_node *a, unsigned ta,
    const struct sx_node *lit)
{
	bool less = rank(ta) < rank(types(lit));
	const char *null = is_null(x, a);

	if (null == NULL)
		return NULL;
	if (op == OP_LT || op == OP_LE)
		return less ? "TRUE" : sx_fmt(x, "(%s)", null);
	return less ? "FALSE" : sx_fmt(x, "(NOT (%s))", null);
}

static const char *
compare_float(struct sx *x, enum jq_op op, const struct sx_node *a,
    const struct sx_node *lit)
{
	const char *odd = sx_fmt(x, "IS_NAN(%s) OR IS_INF(%s)", a->s, a->s);

	if (lit->kind == STR) {
		if (strcmp(lit->s, "NaN") == 0 || strstr(lit->s, "Inf") != NULL)
			return refuse(x, "NaN or Infinity in a comparison");
		if (op == OP_EQ)
			return "FALSE";
		return refuse(x, "the order of a FLOAT64 and a text");
	}
	if (!few_digits(lit->s, lit->n))
		return refuse(x, "a FLOAT64 beside a number of more than 15 "
				 "digits or with an exponent");
	if (op == OP_LT || op == OP_LE)
		return sx_fmt(x, "(%s IS NULL OR (NOT (%s) AND %s %s %s))",
		    a->s, odd, a->s, op_word(op), lit->s);
	if (op == OP_EQ)
		return sx_fmt(x, "COALESCE(%s = %s, FALSE)", a->s, lit->s);
	return sx_fmt(x, "COALESCE(%s OR %s %s %s, FALSE)", odd, a->s,
	    op_word(op), lit->s);
}

/* Something of one type, and a literal of it. */
static const char *
compare_same(struct sx *x, enum jq_op op, const struct sx_node *a,
    const struct sx_node *lit)
{
	const char *s, *l;

	if (lit->kind == BOOL) {
		if (op != OP_EQ)
			return refuse(x, "the order of true and false");
		if (a->kind == COL)
			return sx_fmt(x, "COALESCE(%s = %s, FALSE)", a->s,
			    lit->yes ? "TRUE" : "FALSE");
		s = sx_truth(x, a);
		return s == NULL || lit->yes ? s : sx_fmt(x, "NOT %s", s);
	}
	if (lit->kind == NUM) {
		s = sx_number(x, a);
		l = sx_number(x, lit);
	} else {
		if (op == OP_EQ && a->kind == COL && a->type == 'I')
			return is_int64(lit->s, lit->n)
				   ? sx_fmt(x, "COALESCE(%s = %s, FALSE)", a->s,
					 lit->s)
				   : "FALSE";
		s = sx_text(x, a);
		l = sx_quote(x, lit->s, lit->n);
	}
	if (s == NULL || l == NULL)
		return NULL;
	if (op == OP_LT || op == OP_LE)
		return sx_fmt(x, "COALESCE(%s %s %s, TRUE)", s, op_word(op), l);
	return sx_fmt(x, "COALESCE(%s %s %s, FALSE)", s, op_word(op), l);
}

static const char *
compare_literal(struct sx *x, enum jq_op op, const struct sx_node *a,
    const struct sx_node *lit)
{
	unsigned t = types(a) & ~(unsigned)T_NIL;

	if (lit->kind == NIL) {
		const char *null = is_null(x, a);

		if (op == OP_EQ || null == NULL)
			return null == NULL ? NULL : sx_fmt(x, "(%s)", null);
		return refuse(x, "the order of null");
	}
	if (a->kind == COL && a->type == 'F' && lit->kind != BOOL)
		return compare_float(x, op, a, lit);
	if (t == 0)
		return op == OP_EQ ? "FALSE" : by_rank(x, op, a, T_NIL, lit);
	if ((t & (t - 1)) != 0 || t == T_REC)
		return op == OP_EQ && t == T_REC
			   ? "FALSE"
			   : refuse(x, "a comparison of values of several "
				       "types");
	if (t == types(lit))
		return compare_same(x, op, a, lit);
	return op == OP_EQ ? "FALSE" : by_rank(x, op, a, t, lit);
}

static enum jq_op
turned(enum jq_op op)
{
	return op == OP_LT   ? OP_GT
	       : op == OP_LE ? OP_GE
	       : op == OP_GT ? OP_LT
	       : op == OP_GE ? OP_LE
			     : op;
}

/* Two values: equal texts, or both null. */
static const char *
compare_two(struct sx *x, enum jq_op op, const struct sx_node *a,
    const struct sx_node *b)
{
	unsigned ta = types(a) & ~(unsigned)T_NIL;
	unsigned tb = types(b) & ~(unsigned)T_NIL;
	const char *s, *t;

	if (op != OP_EQ)
		return refuse(x, "the order of two columns");
	if (ta != T_STR || tb != T_STR)
		return refuse(x, "a comparison of two values that are no "
				 "texts");
	s = sx_text(x, a);
	t = sx_text(x, b);
	return s == NULL || t == NULL
		   ? NULL
		   : sx_fmt(x, "(%s IS NOT DISTINCT FROM %s)", s, t);
}

/* BOOL, never NULL; whether there is an output at all is asked elsewhere. */
static const char *
compare(struct sx *x, enum jq_op op, const struct sx_node *a,
    const struct sx_node *b)
{
	const char *s, *t, *c;

	if (op == OP_NE) {
		s = compare(x, OP_EQ, a, b);
		return s == NULL ? NULL : sx_fmt(x, "NOT %s", s);
	}
	if (is_literal(a) && !is_literal(b))
		return compare(x, turned(op), b, a);
	if (a->kind == KEYED || a->kind == SEQ)
		return compare(x, op, a->b, b);
	if (a->kind == NONE)
		return "FALSE";
	if (a->kind == ALT || a->kind == COND) {
		c = sx_truth(x, a->a);
		s = compare(x, op, a->kind == ALT ? a->a : a->b, b);
		t = compare(x, op, a->kind == ALT ? a->b : a->c, b);
		if (c == NULL || s == NULL || t == NULL)
			return NULL;
		return strcmp(s, t) == 0
			   ? s
			   : sx_fmt(x, "(CASE WHEN %s THEN %s ELSE %s END)", c,
				 s, t);
	}
	return is_literal(b) ? compare_literal(x, op, a, b)
			     : compare_two(x, op, a, b);
}

/* --- writing: values --- */

/* The shortest digits that give the double again. CAST(… AS STRING) tries 15
 * digits and then takes 17. */
static const char *
shortest(struct sx *x, const char *s)
{
	return sx_fmt(x,
	    "CASE %s WHEN CAST(FORMAT('%%.15g', %s) AS FLOAT64) THEN "
	    "FORMAT('%%.15g', %s) WHEN CAST(FORMAT('%%.16g', %s) AS FLOAT64) "
	    "THEN FORMAT('%%.16g', %s) ELSE FORMAT('%%.17g', %s) END",
	    s, s, s, s, s, s);
}

static const char *
float_text(struct sx *x, const char *s)
{
	sx_add_check(x,
	    sx_fmt(x,
		"%s != 0 AND (ABS(%s) < 0.000001 OR ABS(%s) >= 1e21) "
		"AND NOT IS_INF(%s)",
		s, s, s, s),
	    "a FLOAT64 in a key is under 0.000001 or over 1e21");
	return sx_fmt(x,
	    "CASE WHEN IS_NAN(%s) THEN 'NaN' "
	    "WHEN IS_INF(%s) THEN CASE WHEN %s > 0 THEN 'Infinity' ELSE "
	    "'-Infinity' END WHEN %s = 0 THEN '0' ELSE "
	    "CAST(CAST(%s AS BIGNUMERIC) AS STRING) END",
	    s, s, s, s, shortest(x, s));
}

const char *
sx_float_same(struct sx *x, const char *s)
{
	return sx_fmt(x,
	    "CASE WHEN IS_NAN(%s) THEN NULL\n"
	    "        WHEN ABS(%s) < 9007199254740992 AND %s = TRUNC(%s) THEN "
	    "CAST(CAST(%s AS INT64) AS STRING)\n"
	    "        WHEN ABS(%s) >= 9007199254740992 AND ABS(%s) < 1e19 THEN "
	    "CAST(CAST(%s AS BIGNUMERIC) AS STRING)\n"
	    "        ELSE CAST(%s AS STRING) END",
	    s, s, s, s, s, s, s, shortest(x, s), s);
}

static const char *
float_number(struct sx *x, const char *s)
{
	sx_add_check(x,
	    sx_fmt(
		x, "ABS(%s) < 1e-20 AND %s != 0 AND NOT IS_NAN(%s)", s, s, s),
	    "a FLOAT64 has more decimals than a BIGNUMERIC");
	return sx_fmt(x,
	    "CASE WHEN IS_NAN(%s) OR IS_INF(%s) THEN NULL ELSE "
	    "CAST(%s AS BIGNUMERIC) END",
	    s, s, shortest(x, s));
}

static const char *
column_text(struct sx *x, const struct sx_node *n)
{
	switch (n->type) {
	case 'S':
		return n->s;
	case 'F':
		return float_text(x, n->s);
	case 'R':
		return refuse(x, "a record as a value");
	default:
		return sx_fmt(x, "CAST(%s AS STRING)", n->s);
	}
}

static const char *
call_text(struct sx *x, const struct sx_node *n)
{
	static const char up[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char low[] = "abcdefghijklmnopqrstuvwxyz";
	bool trim = n->s[1] == 't' && strcmp(n->s + 1, "trimstr") == 0;
	const char *a, *lit;

	if (trim || strcmp(n->s, "slice") == 0) {
		if ((types(n->a) & ~(unsigned)T_NIL) != T_STR)
			return refuse(
			    x, sx_fmt(x, "%s of what is no text", n->s));
	} else if (!text_for_sure(x, n)) {
		return NULL;
	}
	a = sx_text(x, n->a);
	if (a == NULL)
		return NULL;
	if (strcmp(n->s, "slice") == 0)
		return n->to < 0
			   ? sx_fmt(x, "SUBSTR(%s, %ld)", a, n->from + 1)
			   : sx_fmt(x, "SUBSTR(%s, %ld, %ld)", a, n->from + 1,
				 n->to > n->from ? n->to - n->from : 0L);
	if (trim) {
		lit = sx_quote(x, n->b->s, n->b->n);
		return *n->s == 'l'
			   ? sx_fmt(x,
				 "CASE WHEN STARTS_WITH(%s, %s) THEN "
				 "SUBSTR(%s, CHAR_LENGTH(%s) + 1) ELSE %s END",
				 a, lit, a, lit, a)
			   : sx_fmt(x,
				 "CASE WHEN ENDS_WITH(%s, %s) THEN SUBSTR(%s, "
				 "1, CHAR_LENGTH(%s) - CHAR_LENGTH(%s)) ELSE "
				 "%s END",
				 a, lit, a, a, lit, a);
	}
	return strcmp(n->s, "ascii_downcase") == 0
		   ? sx_fmt(x, "TRANSLATE(%s, '%s', '%s')", a, up, low)
		   : sx_fmt(x, "TRANSLATE(%s, '%s', '%s')", a, low, up);
}

static const char *
truth_text(struct sx *x, const struct sx_node *n)
{
	const char *t = sx_truth(x, n), *has = some(x, n);

	if (t == NULL)
		return NULL;
	if (has == NULL)
		return sx_fmt(
		    x, "CASE WHEN %s THEN 'true' ELSE 'false' END", t);
	return sx_fmt(
	    x, "CASE WHEN %s THEN 'true' WHEN %s THEN 'false' END", t, has);
}

/* NULL where there is nothing under the key, without being asked. */
static bool
null_anyway(const struct sx_node *n)
{
	return n->kind == COL ||
	       (n->kind == ALT && null_anyway(n->a) && null_anyway(n->b));
}

/* One of two, by a condition. */
static const char *
choose(struct sx *x, const struct sx_node *n,
    const char *(*value)(struct sx *, const struct sx_node *))
{
	const struct sx_node *yes = n->kind == ALT ? n->a : n->b;
	const struct sx_node *no = n->kind == ALT ? n->b : n->c;
	const char *c = sx_truth(x, n->a), *a = value(x, yes),
		   *b = value(x, no), *many;

	if (a == NULL || b == NULL || c == NULL)
		return NULL;
	if (n->kind == ALT && (many = multi(x, n->a)) != NULL)
		sx_add_check(x, sx_fmt(x, "%s AND NOT %s", many, c),
		    "a key of a repeated column is there twice");
	if (n->kind == ALT && (types(n->a) & T_BOOL) == 0 && value == sx_text)
		return sx_fmt(x, "COALESCE(%s, %s)", a, b);
	if (strcmp(b, "NULL") == 0)
		return sx_fmt(x, "CASE WHEN %s THEN %s END", c, a);
	return sx_fmt(x, "CASE WHEN %s THEN %s ELSE %s END", c, a, b);
}

/* b, where a has an output; under a key, where there is one. */
static const char *
under(struct sx *x, const struct sx_node *n,
    const char *(*value)(struct sx *, const struct sx_node *))
{
	const char *b = value(x, n->b), *has;

	if (b == NULL || (n->kind == KEYED && null_anyway(n->b)))
		return b;
	has = n->kind == KEYED ? sx_fmt(x, "%s > 0", n->s) : some(x, n->a);
	return has == NULL ? b : sx_fmt(x, "CASE WHEN %s THEN %s END", has, b);
}

/* null + a is a. */
static const char *
add(struct sx *x, const struct sx_node *n, const char *op,
    const char *(*value)(struct sx *, const struct sx_node *))
{
	const char *a = value(x, n->a), *b = value(x, n->b), *has;
	bool null_a = (types(n->a) & T_NIL) != 0;
	bool null_b = (types(n->b) & T_NIL) != 0;
	const char *sum;

	if (a == NULL || b == NULL)
		return NULL;
	sum = sx_fmt(x, "(%s %s %s)", a, op, b);
	if (null_a || null_b)
		sum = sx_fmt(x, "COALESCE(%s, %s, %s)", sum, a, b);
	has = some(x, n);
	return has == NULL ? sum
			   : sx_fmt(x, "CASE WHEN %s THEN %s END", has, sum);
}

const char *
sx_text(struct sx *x, const struct sx_node *n)
{
	const char *s;

	switch (n->kind) {
	case COL:
		return column_text(x, n);
	case STR:
		return sx_quote(x, n->s, n->n);
	case NUM:
		return is_int64(n->s, n->n)
			   ? sx_quote(x, n->s, n->n)
			   : refuse(x, "a number with a fraction as a text");
	case NIL:
	case NONE:
		return "NULL";
	case ALT:
	case COND:
		return choose(x, n, sx_text);
	case SEQ:
	case KEYED:
		return under(x, n, sx_text);
	case NUMBER:
		s = sx_number(x, n);
		return s == NULL ? NULL : sx_fmt(x, "CAST(%s AS STRING)", s);
	case ADD:
		if (((types(n->a) | types(n->b)) & ~(unsigned)T_NIL) == T_STR)
			return add(x, n, "||", sx_text);
		return refuse(x, "a sum of numbers as a text");
	case CALL:
		if (is_test(n))
			return truth_text(x, n);
		if (types(n) == T_NUM) {
			s = sx_number(x, n);
			return s == NULL ? NULL
					 : sx_fmt(x, "CAST(%s AS STRING)", s);
		}
		return call_text(x, n);
	default:
		return truth_text(x, n);
	}
}

const char *
sx_shown(struct sx *x, const struct sx_node *n)
{
	if ((types(n) & T_NUM) != 0 && types(n) != T_NUM)
		return refuse(x, "a FLOAT64 that would be seen");
	return sx_text(x, n);
}

static const char *
length(struct sx *x, const struct sx_node *n)
{
	const char *s;

	if ((types(n->a) & ~(unsigned)T_NIL) != T_STR)
		return refuse(x, "length of what is no text");
	s = sx_text(x, n->a);
	if (s == NULL)
		return NULL;
	s = sx_fmt(x, "CAST(CHAR_LENGTH(COALESCE(%s, '')) AS BIGNUMERIC)", s);
	return some(x, n->a) == NULL
		   ? s
		   : sx_fmt(x, "CASE WHEN %s THEN %s END", some(x, n->a), s);
}

const char *
sx_number(struct sx *x, const struct sx_node *n)
{
	struct dec d;
	char text[DEC_TEXT];

	switch (n->kind) {
	case COL:
		if (n->type == 'I')
			return sx_fmt(x, "CAST(%s AS BIGNUMERIC)", n->s);
		if (n->type == 'F')
			return float_number(x, n->s);
		return refuse(x, "a number from a column that is none");
	case STR:
	case NUM:
		if (!dec_parse(n->s, n->n, &d) || d.scale > 38 || d.scale < -20)
			return refuse(x, "a literal that is no number of at "
					 "most 38 decimals");
		return sx_fmt(
		    x, "BIGNUMERIC '%.*s'", (int)dec_format(&d, text), text);
	case NIL:
	case NONE:
		return "NULL";
	case ALT:
	case COND:
		return choose(x, n, sx_number);
	case SEQ:
	case KEYED:
		return under(x, n, sx_number);
	case NUMBER:
		if ((types(n->a) & T_NIL) != 0)
			return refuse(x, "tonumber of what may be null (write "
					 "(… // 0) before it)");
		return sx_number(x, n->a);
	case ADD:
		if (((types(n->a) | types(n->b)) & ~(unsigned)T_NIL) != T_NUM)
			return refuse(x, "a sum of what is no number for sure "
					 "(tonumber before it)");
		return add(x, n, "+", sx_number);
	case CALL:
		if (strcmp(n->s, "length") == 0)
			return length(x, n);
		break;
	default:
		break;
	}
	return refuse(x, "a number from what is none");
}

const char *
sx_int64(struct sx *x, const struct sx_node *n)
{
	return n->kind == COL && n->type == 'I'
		   ? n->s
		   : refuse(x, "a time that is no plain column of INT64");
}

bool
sx_whole(const struct sx_node *n)
{
	return n->kind == KEYED ? sx_whole(n->b)
				: n->kind == COL && n->type == 'I';
}
