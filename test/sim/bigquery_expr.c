/*
 * Expressions of GoogleSQL, with their types, as SQL of SQLite.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bigquery_sql.h"
#include "date.h"
#include "dec.h"

#define S(k) (&bq_scalar[T_##k])

static struct ex
make(size_t tok, const struct bq_type *t, const char *text)
{
	return (struct ex){.s = text, .t = t, .tok = tok};
}

/* What a node has of its parts. */
static void
inherit(struct ex *e, const struct ex *from)
{
	if (e->bare == NULL)
		e->bare = from->bare;
	e->agg = e->agg || from->agg;
	e->window = e->window || from->window;
}

static struct ex
grouped(struct sql *s, struct ex e)
{
	const struct group *g = s->scope == NULL ? NULL : s->scope->group;

	if (g == NULL || !g->active || e.bare == NULL)
		return e;
	for (size_t i = 0; i < g->n; i++) {
		if (strcmp(g->key[i], e.s) == 0)
			e.bare = NULL;
	}
	return e;
}

static bool
is_number(const struct bq_type *t)
{
	return t->kind == T_INT64 || t->kind == T_FLOAT64 ||
	       t->kind == T_NUMERIC || t->kind == T_BIGNUMERIC;
}

const char *
sql_collate(const struct bq_type *t)
{
	return t->kind == T_NUMERIC || t->kind == T_BIGNUMERIC
		   ? " COLLATE decimal"
		   : "";
}

/* ---- conversions ---- */

static int
rank(enum bq_kind k)
{
	return k == T_INT64        ? 1
	       : k == T_NUMERIC    ? 2
	       : k == T_BIGNUMERIC ? 3
	       : k == T_FLOAT64    ? 4
				   : 0;
}

bool
sql_coerces(const struct ex *e, const struct bq_type *to)
{
	enum bq_kind from = e->t->kind, k = to->kind;

	if (from == T_NULL || bq_type_same(e->t, to))
		return true;
	if (rank(from) > 0 && rank(k) > 0)
		return rank(from) < rank(k) || e->lit == LIT_FLOAT;
	return e->lit == LIT_STRING && (k == T_DATE || k == T_TIMESTAMP ||
					   k == T_DATETIME || k == T_BYTES);
}

static const char *
real_text(struct sql *s, const char *text)
{
	return strpbrk(text, ".eE") != NULL ? text
					    : arena_fmt(s->a, "%s.0", text);
}

static struct ex
literal(struct sql *s, struct ex e, const struct bq_type *to)
{
	char dec[DEC_TEXT + 1];
	struct ex r = e;
	int32_t day;
	int64_t us;

	r.t = to;
	r.lit = LIT_NONE;
	switch (to->kind) {
	case T_DATE:
		if (!date_parse(e.val, strlen(e.val), &day))
			sql_fail(s, e.tok,
			    "Could not cast literal \"%s\" to "
			    "type DATE",
			    e.val);
		r.s = arena_fmt(s->a, "%d", (int)day);
		return r;
	case T_TIMESTAMP:
		if (!bq_parse_timestamp(e.val, strlen(e.val), &us))
			sql_fail(s, e.tok,
			    "Could not cast literal \"%s\" to "
			    "type TIMESTAMP",
			    e.val);
		r.s = arena_fmt(s->a, "%lld", (long long)us);
		return r;
	case T_NUMERIC:
	case T_BIGNUMERIC:
		if (!bq_parse_decimal(e.val, strlen(e.val), to->kind, dec))
			sql_fail(s, e.tok, "Invalid %s value: %s",
			    bq_kind_name(to->kind), e.val);
		r.s = sql_quote(s, dec, strlen(dec));
		return r;
	case T_FLOAT64:
		r.s = real_text(s, e.val);
		return r;
	case T_BYTES:
		r.s = arena_fmt(s->a, "CAST(%s AS BLOB)", e.s);
		return r;
	default:
		return r;
	}
}

struct ex
sql_convert(struct sql *s, struct ex e, const struct bq_type *to)
{
	enum bq_kind from = e.t->kind, k = to->kind;

	if (from == k && k < T_STRUCT)
		return e;
	if (bq_type_same(e.t, to))
		return e;
	if (from == T_NULL) {
		e.t = to;
		return e;
	}
	if (!sql_coerces(&e, to))
		sql_fail(s, e.tok, "Cannot coerce expression %s to type %s",
		    bq_type_text(s->a, e.t), bq_type_text(s->a, to));
	if (e.lit != LIT_NONE && e.lit != LIT_NULL)
		return literal(s, e, to);
	if (k == T_FLOAT64)
		e.s = arena_fmt(s->a, "CAST(%s AS REAL)", e.s);
	else if (from == T_INT64)
		e.s = arena_fmt(s->a, "CAST(%s AS TEXT)", e.s);
	e.t = to;
	return e;
}

const struct bq_type *
sql_unify(struct sql *s, struct ex *e, size_t n, const char *what)
{
	const struct bq_type *t = S(NULL);

	/* Literals take the type of the others where they can. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < n; i++) {
			struct ex as = {.t = t};

			if ((pass == 0) == (e[i].lit != LIT_NONE))
				continue;
			if (t->kind == T_NULL)
				t = e[i].t;
			else if (sql_coerces(&e[i], t))
				continue;
			else if (sql_coerces(&as, e[i].t))
				t = e[i].t;
			else
				sql_fail(s, e[i].tok,
				    "No matching signature for %s for "
				    "argument types: %s, %s",
				    what, bq_type_text(s->a, t),
				    bq_type_text(s->a, e[i].t));
		}
	}
	for (size_t i = 0; i < n; i++)
		e[i] = sql_convert(s, e[i], t);
	return t;
}

struct ex
sql_json_value(struct sql *s, const char *text, const struct bq_type *t)
{
	const char *fmt = "%s";

	switch (t->kind) {
	case T_INT64:
		fmt = "CAST(%s AS INTEGER)";
		break;
	case T_FLOAT64:
		fmt = "CAST(%s AS REAL)";
		break;
	case T_BOOL:
		fmt = "(%s IN (1,'true'))";
		break;
	case T_NUMERIC:
	case T_BIGNUMERIC:
		fmt = "bq_decimal(%s)";
		break;
	case T_DATE:
		fmt = "bq_date(%s)";
		break;
	case T_TIMESTAMP:
		fmt = "bq_timestamp(%s)";
		break;
	case T_STRING:
		fmt = "CAST(%s AS TEXT)";
		break;
	default:
		break;
	}
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	text = arena_fmt(s->a, fmt, text);
#pragma GCC diagnostic pop
	return make(0, t, text);
}

struct ex
sql_cast(struct sql *s, struct ex e, const struct bq_type *to, bool safe)
{
	enum bq_kind from = e.t->kind, k = to->kind;
	struct ex r = e;

	r.t = to;
	r.lit = LIT_NONE;
	r.name = NULL;
	if (bq_type_same(e.t, to) || from == T_NULL)
		return r;
	if (from >= T_STRUCT || k >= T_STRUCT || from == T_JSON ||
	    k == T_JSON || k == T_DATETIME || k == T_TIME ||
	    from == T_DATETIME || from == T_TIME)
		sql_fail(s, e.tok,
		    "Invalid cast from %s to %s (or not known "
		    "to this stand-in)",
		    bq_type_text(s->a, e.t), bq_type_text(s->a, to));
	if (k != T_STRING && from != T_STRING) {
		bool dates = (from == T_DATE || from == T_TIMESTAMP) &&
			     (k == T_DATE || k == T_TIMESTAMP);
		bool numbers = rank(from) > 0 && rank(k) > 0;
		bool bools = (from == T_BOOL && k == T_INT64) ||
			     (from == T_INT64 && k == T_BOOL);

		if (!dates && !numbers && !bools)
			sql_fail(s, e.tok, "Invalid cast from %s to %s",
			    bq_kind_name(from), bq_kind_name(k));
	}
	r.s = arena_fmt(
	    s->a, "bq_cast(%s,%d,%d,%d)", e.s, (int)from, (int)k, safe ? 1 : 0);
	return grouped(s, r);
}

/* ---- parameters and literals ---- */

static const struct bq_type *
param_type(struct sql *s, const struct json_span *o, const char *name)
{
	const char *type = bq_text(s->a, o, "type");
	struct json_span of;
	struct bq_type *t;
	enum bq_kind k;

	if (type == NULL || !bq_kind_of(type, strlen(type), &k) ||
	    k == T_STRUCT)
		sql_raise(s, "invalid",
		    "Query parameter '%s' has a type this stand-in does not "
		    "know",
		    name);
	if (k != T_ARRAY)
		return &bq_scalar[k];
	of = json_member(o, "arrayType");
	if (of.type != JSON_OBJECT)
		sql_raise(s, "invalid",
		    "Query parameter '%s': arrayType is missing", name);
	t = arena_alloc(s->a, sizeof *t);
	t->kind = T_ARRAY;
	t->elem = param_type(s, &of, name);
	return t;
}

static const char *
param_scalar(
    struct sql *s, const struct bq_type *t, const char *v, const char *name)
{
	struct ex e = {.s = sql_quote(s, v, strlen(v)),
	    .t = S(STRING),
	    .lit = LIT_STRING,
	    .val = v};
	jmp_buf *up = s->fail;
	jmp_buf here;
	char *end;

	if (t->kind == T_STRING)
		return e.s;
	if (t->kind == T_INT64) {
		long long i;

		i = strtoll(v, &end, 10);
		if (*v == '\0' || *end != '\0')
			sql_raise(s, "invalid",
			    "Invalid value for parameter '%s': %s", name, v);
		return arena_fmt(s->a, "(%lld)", i);
	}
	if (t->kind == T_BOOL) {
		if (strcasecmp(v, "true") != 0 && strcasecmp(v, "false") != 0)
			sql_raise(s, "invalid",
			    "Invalid value for parameter '%s': %s", name, v);
		return (*v | 32) == 't' ? "1" : "0";
	}
	if (t->kind == T_FLOAT64) {
		double d = strtod(v, &end);

		if (*v == '\0' || *end != '\0')
			sql_raise(s, "invalid",
			    "Invalid value for parameter '%s': %s", name, v);
		return real_text(s, arena_fmt(s->a, "%.17g", d));
	}
	if (setjmp(here) != 0) {
		s->fail = up;
		sql_raise(s, "invalid", "Invalid value for parameter '%s': %s",
		    name, v);
	}
	s->fail = &here;
	e = literal(s, e, t);
	s->fail = up;
	return e.s;
}

static struct json_span
param_find(struct sql *s, const char *name)
{
	struct json_span p = {NULL, 0, JSON_ABSENT, 0};
	struct json_iter it;

	if (s->q->params.type != JSON_ARRAY)
		return p;
	json_iter_init(&it, &s->q->params);
	while (json_next_element(&it, &p)) {
		if (strcasecmp(bq_text(s->a, &p, "name"), name) == 0)
			return p;
	}
	return (struct json_span){NULL, 0, JSON_ABSENT, 0};
}

static const char *
param_array(struct sql *s, const struct bq_type *t,
    const struct json_span *value, const char *name)
{
	struct json_span list = json_member(value, "arrayValues"), v;
	struct buf *b = sql_buf(s);
	struct json_iter it;
	const char *text, *item;
	bool first = true;

	buf_char(b, '[');
	json_iter_init(&it, &list);
	while (list.type == JSON_ARRAY && json_next_element(&it, &v)) {
		text = bq_text(s->a, &v, "value");
		if (!first)
			buf_char(b, ',');
		first = false;
		if (text == NULL) {
			buf_str(b, "null");
			continue;
		}
		item = param_scalar(s, t->elem, text, name);
		if (*item == '\'')
			json_write_string(b, text, strlen(text));
		else
			buf_add(b, item + (*item == '('),
			    strcspn(item + (*item == '('), ")"));
	}
	buf_char(b, ']');
	text = sql_quote(s, b->p, b->len);
	return text;
}

struct ex
sql_param(struct sql *s, const char *name, size_t tok)
{
	struct json_span p = param_find(s, name), type, value;
	const struct bq_type *t;
	const char *v = NULL;
	struct ex e;

	if (p.type == JSON_ABSENT)
		sql_fail(s, tok, "Query parameter '%s' not found", name);
	type = json_member(&p, "parameterType");
	value = json_member(&p, "parameterValue");
	t = param_type(s, &type, name);
	if (t->kind == T_ARRAY)
		return make(tok, t,
		    value.type == JSON_OBJECT ? param_array(s, t, &value, name)
					      : "NULL");
	if (value.type == JSON_OBJECT)
		v = bq_text(s->a, &value, "value");
	e = make(tok, t, v == NULL ? "NULL" : param_scalar(s, t, v, name));
	if (t->kind == T_STRING && v != NULL) {
		e.lit = LIT_STRING; /* it coerces as a literal does */
		e.val = v;
	}
	return e;
}

static struct ex
typed_literal(struct sql *s, enum bq_kind k)
{
	size_t tok = s->at++;
	const struct tok *t = sql_tok(s);
	struct ex e = make(tok, S(STRING), sql_quote(s, t->s, t->len));

	e.lit = LIT_STRING;
	e.val = t->s;
	s->at++;
	if (k == T_JSON || k == T_DATETIME || k == T_TIME) {
		e.t = &bq_scalar[k];
		e.lit = LIT_NONE;
		return e;
	}
	return literal(s, e, &bq_scalar[k]);
}

static struct ex
number_literal(struct sql *s)
{
	const struct tok *t = sql_tok(s);
	struct ex e = make(s->at, S(INT64), t->s);

	e.val = t->s;
	if (t->kind == TOK_FLOAT) {
		e.t = S(FLOAT64);
		e.lit = LIT_FLOAT;
		e.s = *t->s == '.' ? arena_fmt(s->a, "0%s", t->s) : t->s;
		e.val = e.s;
	} else {
		e.lit = LIT_INT;
		if (t->len > 19)
			sql_fail(s, s->at, "Invalid integer literal: %s", t->s);
	}
	s->at++;
	return e;
}

/* ---- names ---- */

void
sql_use(struct sql *s, const struct col *c)
{
	struct use *u = s->uses;

	if (c->table == NULL)
		return;
	while (u != NULL && u->table != c->table)
		u = u->next;
	if (u == NULL) {
		u = arena_alloc(s->a, sizeof *u);
		u->table = c->table;
		u->next = s->uses;
		s->uses = u;
	}
	if (c->index < 1024)
		u->cols[c->index / 64] |= (uint64_t)1 << c->index % 64;
}

struct ex
sql_field(struct sql *s, struct ex e, const char *name, size_t tok)
{
	const struct bq_field *f;
	struct ex r;

	if (e.t->kind != T_STRUCT)
		sql_fail(s, tok,
		    "Cannot access field %s on a value with type "
		    "%s",
		    name, bq_type_text(s->a, e.t));
	f = bq_field_find(e.t->fields, e.t->n, name, strlen(name));
	if (f == NULL)
		sql_fail(s, tok, "Field name %s does not exist in %s", name,
		    bq_type_text(s->a, e.t));
	r = sql_json_value(s,
	    arena_fmt(s->a, "json_extract(%s,'$.%s')", e.s, f->name), f->type);
	r.tok = e.tok;
	r.name = f->name;
	inherit(&r, &e);
	return grouped(s, r);
}

static struct ex
from_col(struct sql *s, struct scope *in, const struct col *c, size_t tok)
{
	struct ex e = make(tok, c->t, c->sql);

	e.name = c->name;
	if (in == s->scope && !s->in_agg)
		e.bare = c->name;
	sql_use(s, c);
	return grouped(s, e);
}

static struct src *
src_named(struct scope *in, const char *name)
{
	for (struct src *f = in->srcs; f != NULL; f = f->next) {
		if (strcasecmp(f->alias, name) == 0)
			return f;
	}
	return NULL;
}

static const struct col *
col_in(struct sql *s, struct src *f, const char *name, size_t tok)
{
	const struct col *hit = NULL;

	for (size_t i = 0; i < f->n; i++) {
		if (strcasecmp(f->col[i].name, name) != 0)
			continue;
		if (hit != NULL)
			sql_fail(s, tok, "Column name %s is ambiguous", name);
		hit = &f->col[i];
	}
	return hit;
}

static const struct col *
col_named(struct sql *s, struct scope *in, const char *name, size_t tok)
{
	const struct col *hit = NULL;

	for (struct src *f = in->srcs; f != NULL; f = f->next) {
		const struct col *c = col_in(s, f, name, tok);

		if (c != NULL && hit != NULL)
			sql_fail(s, tok, "Column name %s is ambiguous", name);
		if (c != NULL)
			hit = c;
	}
	return hit;
}

static struct ex
value_of(struct sql *s, struct scope *in, struct src *f, size_t tok)
{
	struct ex e = *f->value;

	e.tok = tok;
	e.name = f->alias;
	if (in == s->scope && !s->in_agg)
		e.bare = f->alias;
	return grouped(s, e);
}

static struct ex
name(struct sql *s)
{
	size_t tok = s->at;
	const char *word = sql_name(s);
	bool dot = sql_is(s, ".");

	for (struct scope *in = s->scope; in != NULL; in = in->outer) {
		const struct col *c = col_named(s, in, word, tok);
		struct src *f = src_named(in, word);

		if (f != NULL && dot && f->value == NULL) {
			const char *field = sql_ahead(s, 1)->s;
			const struct col *of = col_in(s, f, field, s->at + 1);

			if (of != NULL) {
				s->at += 2;
				return from_col(s, in, of, tok);
			}
			if (c == NULL)
				sql_fail(s, s->at + 1,
				    "Name %s not found inside %s", field, word);
		}
		if (c != NULL)
			return from_col(s, in, c, tok);
		if (f != NULL && f->value != NULL)
			return value_of(s, in, f, tok);
		if (f != NULL)
			sql_fail(s, tok,
			    "%s as a value: this stand-in has no row values",
			    word);
	}
	for (struct var *v = s->vars; v != NULL; v = v->next) {
		if (strcasecmp(v->name, word) == 0) {
			struct ex e = v->value;

			e.tok = tok;
			return e;
		}
	}
	sql_fail(s, tok, "Unrecognized name: %s", word);
}

/* ---- the rest of primaries ---- */

const struct bq_type *
sql_type(struct sql *s)
{
	size_t tok = s->at;
	const struct tok *w = sql_tok(s);
	enum bq_kind k;
	struct bq_type *t;

	if (w->kind != TOK_WORD || !bq_kind_of(w->s, w->len, &k) ||
	    strcasecmp(w->s, "FLOAT") == 0 || strcasecmp(w->s, "RECORD") == 0)
		sql_fail(s, tok, "Type not found: %s", w->s);
	s->at++;
	if (k == T_ARRAY) {
		t = arena_alloc(s->a, sizeof *t);
		t->kind = T_ARRAY;
		sql_want(s, "<");
		t->elem = sql_type(s);
		sql_want(s, ">");
		return t;
	}
	if (k == T_STRUCT) {
		struct bq_field f[64];

		t = arena_alloc(s->a, sizeof *t);
		t->kind = T_STRUCT;
		sql_want(s, "<");
		do {
			if (t->n == 64)
				sql_fail(s, tok, "STRUCT: over 64 fields");
			memset(&f[t->n], 0, sizeof f[0]);
			f[t->n].name = sql_name(s);
			f[t->n++].type = sql_type(s);
		} while (sql_take(s, ","));
		sql_want(s, ">");
		t->fields = memcpy(arena_alloc(s->a, t->n * sizeof f[0]), f,
		    t->n * sizeof f[0]);
		return t;
	}
	if (sql_take(s, "(")) { /* NUMERIC(p, s), STRING(n) */
		do
			s->at++;
		while (sql_take(s, ","));
		sql_want(s, ")");
	}
	return &bq_scalar[k];
}

struct ex
sql_bool(struct sql *s, const char *what)
{
	struct ex e = sql_expr(s);

	if (e.t->kind != T_BOOL && e.t->kind != T_NULL)
		sql_fail(s, e.tok, "%s should return type BOOL, but returns %s",
		    what, bq_type_text(s->a, e.t));
	return e;
}

static struct ex
case_of(struct sql *s)
{
	struct ex r = make(s->at, S(NULL), ""), on = {0}, when[64], then[65];
	bool simple, other = false;
	size_t n = 0;
	const char *text = "CASE";

	s->at++;
	simple = !sql_is(s, "WHEN");
	if (simple)
		on = sql_expr(s);
	while (sql_take(s, "WHEN")) {
		if (n == 64)
			sql_fail(s, s->at, "CASE: over 64 branches");
		if (simple) {
			struct ex pair[2] = {on, sql_expr(s)};
			const struct bq_type *t = sql_unify(s, pair, 2, "CASE");

			when[n] = pair[1];
			when[n].s =
			    arena_fmt(s->a, "(%s = %s)", pair[0].s, pair[1].s);
			inherit(&when[n], &pair[0]);
			(void)t;
		} else {
			when[n] = sql_bool(s, "CASE WHEN");
		}
		sql_want(s, "THEN");
		then[n++] = sql_expr(s);
	}
	if (n == 0)
		sql_fail(s, s->at, "Syntax error: Expected WHEN");
	if (sql_take(s, "ELSE")) {
		then[n] = sql_expr(s);
		other = true;
	}
	sql_want(s, "END");
	r.t = sql_unify(s, then, n + other, "operator CASE");
	for (size_t i = 0; i < n; i++) {
		text = arena_fmt(
		    s->a, "%s WHEN %s THEN %s", text, when[i].s, then[i].s);
		inherit(&r, &when[i]);
		inherit(&r, &then[i]);
	}
	if (other) {
		text = arena_fmt(s->a, "%s ELSE %s", text, then[n].s);
		inherit(&r, &then[n]);
	}
	r.s = arena_fmt(s->a, "(%s END)", text);
	return r;
}

static bool
query_ahead(const struct sql *s, size_t at)
{
	while (sql_is_at(s, at, "("))
		at++;
	return sql_is_at(s, at, "SELECT") || sql_is_at(s, at, "WITH");
}

static struct ex
subquery(struct sql *s, size_t tok)
{
	struct rel q;

	sql_want(s, "(");
	q = sql_query(s);
	sql_want(s, ")");
	if (q.n != 1)
		sql_fail(s, tok,
		    "Scalar subquery cannot have more than one column unless "
		    "using SELECT AS STRUCT");
	return make(tok, q.field[0].type,
	    arena_fmt(
		s->a, "(SELECT bq_single(\"%s\") FROM (%s))", q.col[0], q.s));
}

static struct ex
array_of(struct sql *s, size_t tok)
{
	struct bq_type *t = arena_alloc(s->a, sizeof *t);
	struct ex r = make(tok, t, ""), e[256];
	const char *text = "json_array(";
	size_t n = 0;

	t->kind = T_ARRAY;
	if (sql_is(s, "(")) { /* ARRAY(query) */
		struct rel q;

		s->at++;
		q = sql_query(s);
		sql_want(s, ")");
		if (q.n != 1)
			sql_fail(s, tok, "ARRAY subquery: one column");
		t->elem = q.field[0].type;
		r.s = arena_fmt(s->a,
		    "(SELECT json_group_array(%s\"%s\"%s) FROM (%s))",
		    t->elem->kind == T_STRUCT ? "json(" : "", q.col[0],
		    t->elem->kind == T_STRUCT ? ")" : "", q.s);
		return r;
	}
	t->elem = S(INT64);
	if (sql_take(s, "<")) {
		t->elem = sql_type(s);
		sql_want(s, ">");
	}
	sql_want(s, "[");
	while (!sql_is(s, "]")) {
		if (n == 256)
			sql_fail(s, tok, "an array of over 256 elements");
		e[n++] = sql_expr(s);
		if (!sql_take(s, ","))
			break;
	}
	sql_want(s, "]");
	if (n > 0)
		t->elem = sql_unify(s, e, n, "ARRAY");
	for (size_t i = 0; i < n; i++) {
		text =
		    arena_fmt(s->a, "%s%s%s", text, i > 0 ? "," : "", e[i].s);
		inherit(&r, &e[i]);
	}
	r.s = arena_fmt(s->a, "%s)", text);
	return r;
}

static struct ex
struct_of(struct sql *s, size_t tok)
{
	struct bq_type *t = arena_alloc(s->a, sizeof *t);
	struct bq_field f[64];
	struct ex r = make(tok, t, ""), e;
	const char *text = "json_object(";

	memset(f, 0, sizeof f);
	t->kind = T_STRUCT;
	sql_want(s, "(");
	do {
		if (t->n == 64)
			sql_fail(s, tok, "STRUCT: over 64 fields");
		e = sql_expr(s);
		f[t->n].type = e.t;
		f[t->n].name = sql_take(s, "AS") ? sql_name(s)
			       : e.name != NULL
				   ? e.name
				   : arena_fmt(s->a, "_field_%zu", t->n + 1);
		text = arena_fmt(s->a,
		    e.t->kind >= T_STRUCT ? "%s%s'%s',json(%s)" : "%s%s'%s',%s",
		    text, t->n > 0 ? "," : "", f[t->n].name, e.s);
		inherit(&r, &e);
		t->n++;
	} while (sql_take(s, ","));
	sql_want(s, ")");
	t->fields = memcpy(
	    arena_alloc(s->a, t->n * sizeof f[0]), f, t->n * sizeof f[0]);
	r.s = arena_fmt(s->a, "%s)", text);
	return r;
}

static struct ex
cast_of(struct sql *s, bool safe)
{
	const struct bq_type *t;
	size_t tok = s->at++;
	struct ex e;

	sql_want(s, "(");
	e = sql_expr(s);
	sql_want(s, "AS");
	t = sql_type(s);
	if (sql_is(s, "FORMAT"))
		sql_fail(s, s->at,
		    "CAST ... FORMAT: not known to this "
		    "stand-in");
	sql_want(s, ")");
	e.tok = tok;
	return sql_cast(s, e, t, safe);
}

static struct ex
primary(struct sql *s)
{
	const struct tok *t = sql_tok(s);
	size_t tok = s->at;
	struct ex e;
	enum bq_kind k;

	switch (t->kind) {
	case TOK_INT:
	case TOK_FLOAT:
		return number_literal(s);
	case TOK_STRING:
		s->at++;
		e = make(tok, S(STRING), sql_quote(s, t->s, t->len));
		e.lit = LIT_STRING;
		e.val = t->s;
		return e;
	case TOK_BYTES:
		s->at++;
		return make(tok, S(BYTES),
		    arena_fmt(
			s->a, "CAST(%s AS BLOB)", sql_quote(s, t->s, t->len)));
	case TOK_PARAM:
		s->at++;
		return sql_param(s, t->s, tok);
	case TOK_QUOTED:
		return name(s);
	case TOK_END:
		sql_fail(s, tok, "Syntax error: Unexpected end of statement");
	case TOK_WORD:
	case TOK_SIGN:
		break;
	}
	if (sql_is(s, "(")) {
		if (query_ahead(s, s->at))
			return subquery(s, tok);
		s->at++;
		e = sql_expr(s);
		if (sql_is(s, ","))
			sql_fail(
			    s, s->at, "a tuple: not known to this stand-in");
		sql_want(s, ")");
		e.s = arena_fmt(s->a, "(%s)", e.s);
		return grouped(s, e);
	}
	if (sql_is(s, "["))
		return array_of(s, tok);
	if (sql_is(s, "NULL")) {
		s->at++;
		e = make(tok, S(NULL), "NULL");
		e.lit = LIT_NULL;
		return e;
	}
	if (sql_is(s, "TRUE") || sql_is(s, "FALSE")) {
		s->at++;
		return make(tok, S(BOOL), (*t->s | 32) == 't' ? "1" : "0");
	}
	if (sql_is(s, "CASE"))
		return case_of(s);
	if (sql_is(s, "CAST"))
		return cast_of(s, false);
	if (sql_is(s, "SAFE_CAST"))
		return cast_of(s, true);
	if (sql_is(s, "EXISTS")) {
		struct rel q;

		s->at++;
		sql_want(s, "(");
		q = sql_query(s);
		sql_want(s, ")");
		return make(tok, S(BOOL), arena_fmt(s->a, "EXISTS(%s)", q.s));
	}
	if (sql_is(s, "ARRAY")) {
		s->at++;
		return array_of(s, tok);
	}
	if (sql_is(s, "STRUCT")) {
		s->at++;
		return struct_of(s, tok);
	}
	if (t->kind == TOK_WORD && sql_ahead(s, 1)->kind == TOK_STRING &&
	    bq_kind_of(t->s, t->len, &k))
		return typed_literal(s, k);
	if (t->kind == TOK_WORD && sql_is_at(s, s->at + 1, "(")) {
		s->at++;
		return grouped(s, sql_call(s, t->s, tok));
	}
	if (t->kind == TOK_WORD && strcasecmp(t->s, "SAFE") == 0 &&
	    sql_is_at(s, s->at + 1, "."))
		sql_fail(s, tok, "SAFE.%s: not known to this stand-in",
		    sql_ahead(s, 2)->s);
	return name(s);
}

static struct ex
subscript(struct sql *s, struct ex e)
{
	const struct tok *how = sql_tok(s);
	bool safe, ordinal;
	struct ex at, r;
	const char *index;

	if (e.t->kind != T_ARRAY)
		sql_fail(s, s->at, "Subscript access on a value of type %s",
		    bq_type_text(s->a, e.t));
	safe = strncasecmp(how->s, "SAFE_", 5) == 0;
	ordinal = strcasecmp(how->s + (safe ? 5 : 0), "ORDINAL") == 0;
	if (!ordinal && strcasecmp(how->s + (safe ? 5 : 0), "OFFSET") != 0)
		sql_fail(s, s->at,
		    "Syntax error: Expected OFFSET or ORDINAL "
		    "but got \"%s\"",
		    how->s);
	s->at++;
	sql_want(s, "(");
	at = sql_expr(s);
	sql_want(s, ")");
	sql_want(s, "]");
	index = arena_fmt(s->a, "(%s%s)", at.s, ordinal ? "-1" : "");
	r = sql_json_value(s,
	    arena_fmt(s->a,
		"json_extract(%s,'$['||bq_index(%s,"
		"json_array_length(%s),%d)||']')",
		e.s, index, e.s, safe ? 1 : 0),
	    e.t->elem);
	r.tok = e.tok;
	inherit(&r, &e);
	inherit(&r, &at);
	return r;
}

static struct ex
postfix(struct sql *s)
{
	struct ex e = primary(s);

	for (;;) {
		if (sql_take(s, ".")) {
			const struct tok *t = sql_tok(s);

			if (t->kind != TOK_WORD && t->kind != TOK_QUOTED)
				sql_fail(s, s->at,
				    "Syntax error: Unexpected \"%s\"", t->s);
			s->at++;
			e = sql_field(s, e, t->s, s->at - 1);
		} else if (sql_take(s, "[")) {
			e = grouped(s, subscript(s, e));
		} else {
			return e;
		}
	}
}

/* ---- operators ---- */

static struct ex
unary(struct sql *s)
{
	size_t tok = s->at;
	struct ex e;

	if (sql_take(s, "-")) {
		e = unary(s);
		if (e.t->kind == T_NUMERIC || e.t->kind == T_BIGNUMERIC)
			e.s = arena_fmt(s->a, "dec_sub(0,%s)", e.s);
		else if (!is_number(e.t))
			sql_fail(s, tok,
			    "No matching signature for operator - for "
			    "argument types: %s",
			    bq_type_text(s->a, e.t));
		else
			e.s = arena_fmt(s->a, "(-%s)", e.s);
		if (e.lit == LIT_INT || e.lit == LIT_FLOAT)
			e.val = arena_fmt(s->a, "-%s", e.val);
		e.tok = tok;
		e.name = NULL;
		return grouped(s, e);
	}
	if (sql_take(s, "+"))
		return unary(s);
	return postfix(s);
}

static struct ex
arithmetic(struct sql *s, struct ex l, struct ex r, char op, size_t tok)
{
	struct ex e[2] = {l, r}, out = make(tok, NULL, "");
	const char *word = op == '+'   ? "add"
			   : op == '-' ? "sub"
			   : op == '*' ? "mul"
				       : "div";

	inherit(&out, &l);
	inherit(&out, &r);
	if (l.t->kind == T_DATE && r.t->kind == T_INT64 &&
	    (op == '+' || op == '-')) {
		out.t = l.t;
		out.s = arena_fmt(s->a, "(%s %c %s)", l.s, op, r.s);
		return grouped(s, out);
	}
	if ((!is_number(l.t) && l.t->kind != T_NULL) ||
	    (!is_number(r.t) && r.t->kind != T_NULL))
		sql_fail(s, tok,
		    "No matching signature for operator %c for argument "
		    "types: %s, %s",
		    op, bq_type_text(s->a, l.t), bq_type_text(s->a, r.t));
	out.t = sql_unify(s, e, 2, "operator");
	if (out.t->kind == T_NULL || (op == '/' && out.t->kind == T_INT64)) {
		e[0] = sql_convert(s, e[0], S(FLOAT64));
		e[1] = sql_convert(s, e[1], S(FLOAT64));
		out.t = S(FLOAT64);
	}
	if (out.t->kind == T_FLOAT64 && op != '/')
		out.s = arena_fmt(s->a, "(%s %c %s)", e[0].s, op, e[1].s);
	else if (out.t->kind == T_FLOAT64)
		out.s = arena_fmt(s->a, "bq_fdiv(%s,%s)", e[0].s, e[1].s);
	else if (out.t->kind == T_INT64)
		out.s = arena_fmt(s->a, "bq_i%s(%s,%s)", word, e[0].s, e[1].s);
	else if (op == '/')
		out.s = arena_fmt(s->a, "bq_ddiv(%s,%s,%d)", e[0].s, e[1].s,
		    out.t->kind == T_NUMERIC ? 9 : 38);
	else
		out.s = arena_fmt(s->a, "dec_%s(%s,%s)", word, e[0].s, e[1].s);
	return grouped(s, out);
}

static struct ex
product(struct sql *s)
{
	struct ex l = unary(s);

	for (;;) {
		size_t tok = s->at;

		if (sql_take(s, "*")) {
			l = arithmetic(s, l, unary(s), '*', tok);
		} else if (sql_take(s, "/")) {
			l = arithmetic(s, l, unary(s), '/', tok);
		} else if (sql_take(s, "||")) {
			struct ex r = unary(s), out = make(tok, l.t, "");

			if (l.t->kind == T_NULL)
				out.t = r.t;
			if ((out.t->kind != T_STRING &&
				out.t->kind != T_BYTES) ||
			    (r.t->kind != out.t->kind && r.t->kind != T_NULL))
				sql_fail(s, tok,
				    "No matching signature for operator || "
				    "for argument types: %s, %s",
				    bq_type_text(s->a, l.t),
				    bq_type_text(s->a, r.t));
			out.s = arena_fmt(s->a,
			    out.t->kind == T_BYTES ? "CAST(%s || %s AS BLOB)"
						   : "(%s || %s)",
			    l.s, r.s);
			inherit(&out, &l);
			inherit(&out, &r);
			l = grouped(s, out);
		} else {
			return l;
		}
	}
}

static struct ex
sum(struct sql *s)
{
	struct ex l = product(s);

	for (;;) {
		size_t tok = s->at;

		if (sql_take(s, "+"))
			l = arithmetic(s, l, product(s), '+', tok);
		else if (sql_take(s, "-"))
			l = arithmetic(s, l, product(s), '-', tok);
		else
			return l;
	}
}

static struct ex
compare(struct sql *s, struct ex l, struct ex r, const char *op, size_t tok)
{
	struct ex e[2] = {l, r}, out = make(tok, S(BOOL), "");
	const struct bq_type *t;

	t = sql_unify(s, e, 2, arena_fmt(s->a, "operator %s", op));
	if (t->kind >= T_STRUCT || t->kind == T_JSON)
		sql_fail(s, tok, "%s is not defined for arguments of type %s",
		    op, bq_type_text(s->a, t));
	out.s = arena_fmt(s->a, "(%s%s %s %s)", e[0].s,
	    *op == '<' || *op == '>' ? sql_collate(t) : "",
	    strcmp(op, "!=") == 0 ? "<>" : op, e[1].s);
	inherit(&out, &l);
	inherit(&out, &r);
	return grouped(s, out);
}

static struct ex
in_list(struct sql *s, struct ex l, bool negate, size_t tok)
{
	struct ex e[257], out = make(tok, S(BOOL), "");
	const char *text = "";
	size_t n = 1;

	e[0] = l;
	inherit(&out, &l);
	if (sql_take(s, "UNNEST")) {
		struct ex a;

		sql_want(s, "(");
		a = sql_expr(s);
		sql_want(s, ")");
		if (a.t->kind != T_ARRAY)
			sql_fail(s, a.tok,
			    "Values referenced in UNNEST must be arrays");
		l = sql_convert(s, l, a.t->elem);
		out.s =
		    arena_fmt(s->a, "(%s %sIN (SELECT %s FROM json_each(%s)))",
			l.s, negate ? "NOT " : "",
			sql_json_value(s, "value", a.t->elem).s, a.s);
		inherit(&out, &a);
		return grouped(s, out);
	}
	if (sql_is(s, "(") && query_ahead(s, s->at + 1)) {
		struct rel q;

		s->at++;
		q = sql_query(s);
		sql_want(s, ")");
		if (q.n != 1)
			sql_fail(s, tok,
			    "Subquery of type IN must have only "
			    "one output column");
		e[1] = make(tok, q.field[0].type, "");
		sql_unify(s, e, 2, "operator IN");
		out.s = arena_fmt(
		    s->a, "(%s %sIN (%s))", e[0].s, negate ? "NOT " : "", q.s);
		return grouped(s, out);
	}
	sql_want(s, "(");
	do {
		if (n == 257)
			sql_fail(s, tok, "IN: over 256 values");
		e[n++] = sql_expr(s);
	} while (sql_take(s, ","));
	sql_want(s, ")");
	sql_unify(s, e, n, "operator IN");
	for (size_t i = 1; i < n; i++) {
		text =
		    arena_fmt(s->a, "%s%s%s", text, i > 1 ? "," : "", e[i].s);
		inherit(&out, &e[i]);
	}
	out.s = arena_fmt(
	    s->a, "(%s %sIN (%s))", e[0].s, negate ? "NOT " : "", text);
	return grouped(s, out);
}

static struct ex
is_what(struct sql *s, struct ex l, size_t tok)
{
	bool negate = sql_take(s, "NOT");
	struct ex out = make(tok, S(BOOL), "");

	inherit(&out, &l);
	if (sql_take(s, "NULL")) {
		out.s = arena_fmt(
		    s->a, "(%s IS %sNULL)", l.s, negate ? "NOT " : "");
	} else if (sql_is(s, "TRUE") || sql_is(s, "FALSE")) {
		if (l.t->kind != T_BOOL)
			sql_fail(s, tok, "IS TRUE: a BOOL is expected");
		out.s = arena_fmt(s->a, "(%s IS %s%d)", l.s,
		    negate ? "NOT " : "", sql_is(s, "TRUE") ? 1 : 0);
		s->at++;
	} else if (sql_take(s, "DISTINCT")) {
		struct ex e[2];

		sql_want(s, "FROM");
		e[0] = l;
		e[1] = sum(s);
		inherit(&out, &e[1]);
		sql_unify(s, e, 2, "operator IS DISTINCT FROM");
		out.s = arena_fmt(
		    s->a, "(%s IS %s%s)", e[0].s, negate ? "" : "NOT ", e[1].s);
	} else {
		sql_fail(s, s->at, "Syntax error: Unexpected \"%s\" after IS",
		    sql_tok(s)->s);
	}
	return grouped(s, out);
}

static struct ex
between(struct sql *s, struct ex l, bool negate, size_t tok)
{
	struct ex e[3], out = make(tok, S(BOOL), "");
	const struct bq_type *t;

	e[0] = l;
	e[1] = sum(s);
	sql_want(s, "AND");
	e[2] = sum(s);
	t = sql_unify(s, e, 3, "operator BETWEEN");
	for (size_t i = 0; i < 3; i++)
		inherit(&out, &e[i]);
	out.s = arena_fmt(s->a, "(%s%s %sBETWEEN %s AND %s)", e[0].s,
	    sql_collate(t), negate ? "NOT " : "", e[1].s, e[2].s);
	return grouped(s, out);
}

static struct ex
comparison(struct sql *s)
{
	static const char *const ops[] = {
	    "=", "<>", "!=", "<=", ">=", "<", ">"};
	struct ex l = sum(s);

	for (;;) {
		size_t tok = s->at;
		bool negate =
		    sql_is(s, "NOT") && (sql_is_at(s, s->at + 1, "IN") ||
					    sql_is_at(s, s->at + 1, "LIKE") ||
					    sql_is_at(s, s->at + 1, "BETWEEN"));
		size_t i = 0;

		s->at += negate;
		if (sql_take(s, "IN")) {
			l = in_list(s, l, negate, tok);
			continue;
		}
		if (sql_take(s, "BETWEEN")) {
			l = between(s, l, negate, tok);
			continue;
		}
		if (sql_take(s, "LIKE")) {
			struct ex r = sum(s), out = make(tok, S(BOOL), "");

			if (l.t->kind != T_STRING || r.t->kind != T_STRING)
				sql_fail(s, tok, "LIKE: STRING is expected");
			out.s = arena_fmt(s->a, "(%s %sLIKE %s ESCAPE '\\')",
			    l.s, negate ? "NOT " : "", r.s);
			inherit(&out, &l);
			inherit(&out, &r);
			l = grouped(s, out);
			continue;
		}
		if (sql_take(s, "IS")) {
			l = is_what(s, l, tok);
			continue;
		}
		while (i < 7 && !sql_is(s, ops[i]))
			i++;
		if (i == 7)
			return l;
		s->at++;
		l = compare(s, l, sum(s), ops[i], tok);
	}
}

static struct ex
negation(struct sql *s)
{
	size_t tok = s->at;
	struct ex e;

	if (!sql_take(s, "NOT"))
		return comparison(s);
	e = negation(s);
	if (e.t->kind != T_BOOL && e.t->kind != T_NULL)
		sql_fail(s, tok,
		    "No matching signature for operator NOT for "
		    "argument types: %s",
		    bq_type_text(s->a, e.t));
	e.s = arena_fmt(s->a, "(NOT %s)", e.s);
	e.t = S(BOOL);
	e.name = NULL;
	return grouped(s, e);
}

static struct ex
logic(struct sql *s, const char *word, struct ex (*next)(struct sql *))
{
	struct ex l = next(s);

	while (sql_is(s, word)) {
		size_t tok = s->at++;
		struct ex r = next(s), out = make(tok, S(BOOL), "");

		if ((l.t->kind != T_BOOL && l.t->kind != T_NULL) ||
		    (r.t->kind != T_BOOL && r.t->kind != T_NULL))
			sql_fail(s, tok,
			    "No matching signature for operator %s for "
			    "argument types: %s, %s",
			    word, bq_type_text(s->a, l.t),
			    bq_type_text(s->a, r.t));
		out.s = arena_fmt(s->a, "(%s %s %s)", l.s, word, r.s);
		inherit(&out, &l);
		inherit(&out, &r);
		l = grouped(s, out);
	}
	return l;
}

static struct ex
conjunction(struct sql *s)
{
	return logic(s, "AND", negation);
}

struct ex
sql_expr(struct sql *s)
{
	struct ex e;

	if (++s->depth > 200)
		sql_fail(s, s->at, "nested too deeply");
	e = logic(s, "OR", conjunction);
	s->depth--;
	return e;
}

void
sql_order_item(struct sql *s, struct buf *b, struct ex e)
{
	buf_str(b, e.s);
	buf_str(b, sql_collate(e.t));
	if (sql_take(s, "DESC"))
		buf_str(b, " DESC");
	else
		sql_take(s, "ASC");
	if (sql_take(s, "NULLS")) {
		if (sql_take(s, "FIRST")) {
			buf_str(b, " NULLS FIRST");
		} else {
			sql_want(s, "LAST");
			buf_str(b, " NULLS LAST");
		}
	}
}
