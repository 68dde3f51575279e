/*
 * Queries of GoogleSQL as queries of SQLite. FROM is read before the list of
 * SELECT, whose names it brings.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bigquery_sql.h"

#define COLS_MAX 1000
#define S(k) (&bq_scalar[T_##k])

/* ---- tables ---- */

struct path
sql_path(struct sql *s)
{
	struct path p = {.tok = s->at};
	const char *part[8];
	size_t n = 0;

	do {
		const struct tok *t = sql_tok(s);
		char *word;

		if (t->kind != TOK_QUOTED && t->kind != TOK_WORD)
			sql_name(s);
		if (n == 0)
			sql_name(s);
		else
			s->at++;
		word = arena_strn(s->a, t->s, t->len);
		/* my-project without quotes */
		while (t->kind == TOK_WORD && sql_is(s, "-") &&
		       (sql_ahead(s, 1)->kind == TOK_WORD ||
			   sql_ahead(s, 1)->kind == TOK_INT) &&
		       sql_tok(s)->at + 1 == sql_ahead(s, 1)->at) {
			word =
			    arena_fmt(s->a, "%s-%s", word, sql_ahead(s, 1)->s);
			s->at += 2;
		}
		for (char *w = word; w != NULL && n < 4;) {
			char *dot = strpbrk(w, ".:");

			if (dot != NULL)
				*dot++ = '\0';
			part[n++] = w;
			w = dot;
		}
	} while (n < 4 && sql_take(s, "."));
	if (n == 3 && strcmp(part[0], s->q->project) != 0)
		sql_raise(s, "accessDenied",
		    "Access Denied: Project %s: User does not have permission "
		    "to query it",
		    part[0]);
	if (n > 3)
		sql_fail(s, p.tok, "Table name: too many parts");
	p.table = part[n - 1];
	p.dataset = n > 1 ? part[n - 2] : NULL;
	return p;
}

struct bq_table *
sql_find(struct sql *s, const struct path *p)
{
	const char *dataset = p->dataset;
	struct bq_dataset *d;
	struct bq_table *t;

	if (dataset == NULL) {
		for (t = s->temps; t != NULL; t = t->next) {
			if (strcmp(t->id, p->table) == 0)
				return t;
		}
		dataset = s->q->default_dataset;
	}
	if (dataset == NULL)
		sql_raise(s, "invalid",
		    "Table \"%s\" must be qualified with a dataset (e.g. "
		    "dataset.table).",
		    p->table);
	d = bq_dataset_find(dataset);
	if (d == NULL && export_dataset(dataset))
		return sql_export(s, dataset, p->table);
	if (d == NULL || (s->q->location != NULL &&
			     strcasecmp(s->q->location, d->location) != 0))
		sql_raise(s, "notFound",
		    "Not found: Dataset %s:%s was not found in location %s",
		    s->q->project, dataset,
		    s->q->location == NULL ? "US" : s->q->location);
	return bq_table_find(d, p->table);
}

static struct src *
src_new(struct sql *s, const char *alias, size_t n)
{
	struct src *f = arena_alloc(s->a, sizeof *f);

	f->alias = alias;
	f->col = arena_alloc(s->a, (n + 1) * sizeof *f->col);
	f->n = n;
	return f;
}

static struct src *
src_of_rel(
    struct sql *s, const struct rel *q, const char *alias, const char *name)
{
	struct src *f = src_new(s, alias, q->n);

	for (size_t i = 0; i < q->n; i++) {
		f->col[i].name = q->field[i].name;
		f->col[i].t = q->field[i].type;
		f->col[i].sql = arena_fmt(s->a, "%s.\"%s\"", name, q->col[i]);
	}
	return f;
}

struct src *
sql_src_of(
    struct sql *s, struct bq_table *t, const char *alias, const char *name)
{
	struct src *f = src_new(s, alias, t->n);

	for (size_t i = 0; i < t->n; i++) {
		f->col[i].name = t->field[i].name;
		f->col[i].t = t->field[i].type;
		f->col[i].sql =
		    arena_fmt(s->a, "%s.\"%s\"", name, t->field[i].name);
		f->col[i].table = t;
		f->col[i].index = i;
	}
	return f;
}

/* A view's query, translated on its own. */
static struct rel
view(struct sql *s, const struct bq_table *t)
{
	struct sql inner = *s;
	struct rel q;

	if (s->depth > 150)
		sql_raise(s, "invalidQuery", "views nest too deeply");
	inner.depth += 10;
	inner.scope = NULL;
	inner.ctes = NULL;
	inner.vars = NULL;
	inner.in_agg = false;
	sql_lex(&inner, t->view);
	q = sql_query(&inner);
	s->alias = inner.alias;
	s->uses = inner.uses;
	return q;
}

static const char *
alias_of(struct sql *s, const char *fallback)
{
	if (sql_take(s, "AS"))
		return sql_name(s);
	if (sql_is_name(s) && !sql_is(s, "WINDOW"))
		return sql_name(s);
	return fallback;
}

static struct src *
unnest(struct sql *s, struct buf *out)
{
	const char *name = arena_fmt(s->a, "t%u", ++s->alias), *alias;
	struct ex e, *value = arena_alloc(s->a, sizeof *value);
	const struct bq_type *t;
	struct src *f;

	sql_want(s, "(");
	e = sql_expr(s);
	sql_want(s, ")");
	if (e.t->kind != T_ARRAY)
		sql_fail(s, e.tok,
		    "Values referenced in UNNEST must be "
		    "arrays. UNNEST contains expression of type "
		    "%s",
		    bq_type_text(s->a, e.t));
	buf_fmt(out, "json_each(%s) AS %s", e.s, name);
	alias = alias_of(s, "");
	t = e.t->elem;
	*value = sql_json_value(s, arena_fmt(s->a, "%s.value", name), t);
	f = src_new(s, alias, t->kind == T_STRUCT ? t->n : 0);
	f->value = *alias != '\0' ? value : NULL;
	for (size_t i = 0; i < f->n; i++) {
		f->col[i].name = t->fields[i].name;
		f->col[i].t = t->fields[i].type;
		f->col[i].sql = sql_json_value(s,
		    arena_fmt(s->a, "json_extract(%s.value,'$.%s')", name,
			t->fields[i].name),
		    t->fields[i].type)
				    .s;
	}
	if (t->kind != T_STRUCT && *alias == '\0') {
		f->n = 1;
		f->col[0].name = "_unnest";
		f->col[0].t = t;
		f->col[0].sql = value->s;
	}
	if (sql_take(s, "WITH")) {
		sql_want(s, "OFFSET");
		f->col[f->n].name = alias_of(s, "offset");
		f->col[f->n].t = S(INT64);
		f->col[f->n].sql = arena_fmt(s->a, "%s.key", name);
		f->n++; /* room for one more is always there */
	}
	return f;
}

/* Is it an array of what FROM brought so far: FROM t, t.items? */
static bool
is_array_path(struct sql *s)
{
	const struct tok *t = sql_tok(s);

	if (t->kind != TOK_WORD || s->scope == NULL ||
	    !sql_is_at(s, s->at + 1, "."))
		return false;
	for (struct src *f = s->scope->srcs; f != NULL; f = f->next) {
		if (strcasecmp(f->alias, t->s) == 0)
			return true;
	}
	return false;
}

struct src *
sql_table(struct sql *s, struct buf *out)
{
	size_t tok = s->at;
	const char *name, *alias;
	struct bq_table *t;
	struct path p;
	struct rel q;

	if (sql_take(s, "UNNEST"))
		return unnest(s, out);
	if (sql_is(s, "(") && (sql_is_at(s, s->at + 1, "SELECT") ||
				  sql_is_at(s, s->at + 1, "WITH") ||
				  sql_is_at(s, s->at + 1, "("))) {
		struct scope *up = s->scope;

		s->at++;
		s->scope = up == NULL ? NULL : up->outer; /* not lateral */
		q = sql_query(s);
		s->scope = up;
		sql_want(s, ")");
		name = arena_fmt(s->a, "t%u", ++s->alias);
		alias = alias_of(s, "");
		buf_fmt(out, "(%s) AS %s", q.s, name);
		return src_of_rel(s, &q, alias, name);
	}
	if (is_array_path(s))
		sql_fail(s, tok, "FROM t, t.array: write UNNEST(t.array)");
	p = sql_path(s);
	name = arena_fmt(s->a, "t%u", ++s->alias);
	if (p.dataset == NULL) {
		for (struct cte *c = s->ctes; c != NULL; c = c->next) {
			if (strcasecmp(c->name, p.table) == 0) {
				alias = alias_of(s, p.table);
				buf_fmt(out, "%s AS %s", c->sql, name);
				return src_of_rel(s, &c->rel, alias, name);
			}
		}
	}
	t = sql_find(s, &p);
	if (t == NULL)
		sql_raise(s, "notFound",
		    "Not found: Table %s:%s.%s was not found in location %s",
		    s->q->project,
		    p.dataset == NULL ? s->q->default_dataset : p.dataset,
		    p.table, s->q->location == NULL ? "US" : s->q->location);
	if (sql_is(s, "FOR"))
		sql_fail(s, s->at,
		    "FOR SYSTEM_TIME: not known to this "
		    "stand-in");
	alias = alias_of(s, p.table);
	if (t->view == NULL) {
		buf_fmt(out, "%s AS %s", t->sql, name);
		return sql_src_of(s, t, alias, name);
	}
	q = view(s, t);
	buf_fmt(out, "(%s) AS %s", q.s, name);
	return src_of_rel(s, &q, alias, name);
}

/* JOIN ... USING (a, b): the columns of both become one. */
static void using(struct sql *s, struct buf *out, struct src *left,
    struct src *right, const char *kind)
{
	const char *join = " ON ";

	sql_want(s, "(");
	do {
		size_t tok = s->at;
		const char *name = sql_name(s);
		struct col *l = NULL, *r = NULL;

		for (struct src *f = left; f != right; f = f->next) {
			for (size_t i = 0; i < f->n; i++) {
				if (!f->col[i].hidden &&
				    strcasecmp(f->col[i].name, name) == 0)
					l = &f->col[i];
			}
		}
		for (size_t i = 0; i < right->n; i++) {
			if (strcasecmp(right->col[i].name, name) == 0)
				r = &right->col[i];
		}
		if (l == NULL || r == NULL)
			sql_fail(s, tok,
			    "Column %s in USING clause not found on %s side of "
			    "join",
			    name, l == NULL ? "left" : "right");
		if (!bq_type_same(l->t, r->t))
			sql_fail(s, tok,
			    "Column %s in USING has incompatible types %s and "
			    "%s",
			    name, bq_type_text(s->a, l->t),
			    bq_type_text(s->a, r->t));
		sql_use(s, l);
		sql_use(s, r);
		buf_fmt(out, "%s%s = %s", join, l->sql, r->sql);
		join = " AND ";
		if (strcmp(kind, "FULL") == 0)
			l->sql =
			    arena_fmt(s->a, "coalesce(%s,%s)", l->sql, r->sql);
		else if (strcmp(kind, "RIGHT") == 0)
			l->sql = r->sql;
		r->hidden = true;
	} while (sql_take(s, ","));
	sql_want(s, ")");
}

static const char *
join_kind(struct sql *s)
{
	const char *kind = NULL;

	if (sql_take(s, ","))
		return ",";
	if (sql_take(s, "CROSS"))
		kind = "CROSS";
	else if (sql_take(s, "INNER"))
		kind = "INNER";
	else if (sql_take(s, "LEFT"))
		kind = "LEFT";
	else if (sql_take(s, "RIGHT"))
		kind = "RIGHT";
	else if (sql_take(s, "FULL"))
		kind = "FULL";
	else if (!sql_is(s, "JOIN"))
		return NULL;
	if (kind != NULL && *kind != 'C' && *kind != 'I')
		sql_take(s, "OUTER");
	sql_want(s, "JOIN");
	return kind == NULL ? "INNER" : kind;
}

/* Reads what follows FROM; s->scope gets its sources one by one. */
struct src *
sql_from(struct sql *s, struct buf *out)
{
	struct src *first, *last;
	const char *kind;

	first = last = sql_table(s, out);
	s->scope->srcs = first;
	while ((kind = join_kind(s)) != NULL) {
		size_t tok = s->at;
		struct src *f;

		buf_fmt(out, *kind == ',' ? ", " : " %s JOIN ", kind);
		f = sql_table(s, out);
		for (struct src *o = first; o != NULL; o = o->next) {
			if (*f->alias != '\0' &&
			    strcasecmp(o->alias, f->alias) == 0)
				sql_fail(s, tok,
				    "Duplicate table alias %s in the same FROM "
				    "clause",
				    f->alias);
		}
		last->next = f;
		last = f;
		if (*kind == ',' || *kind == 'C')
			continue;
		if (sql_take(s, "ON"))
			buf_fmt(out, " ON %s", sql_bool(s, "JOIN ON clause").s);
		else if (sql_take(s, "USING"))
			using(s, out, first, f, kind);
		else if (f->value == NULL && f->n > 0)
			sql_fail(s, s->at,
			    "Syntax error: Expected keyword ON or keyword "
			    "USING");
		else
			buf_str(out, " ON 1");
	}
	return first;
}

void
sql_pruned(struct sql *s, const struct src *f, const char *where)
{
	for (; f != NULL; f = f->next) {
		const struct bq_table *t = f->n > 0 ? f->col[0].table : NULL;

		if (t == NULL || !t->part_filter || t->part_field == NULL)
			continue;
		for (size_t i = 0; i < f->n; i++) {
			if (strcasecmp(f->col[i].name, t->part_field) == 0 &&
			    strstr(where, f->col[i].sql) == NULL)
				sql_raise(s, "invalidQuery",
				    "Cannot query over table '%s.%s' without a "
				    "filter over column(s) '%s' that can be "
				    "used for partition elimination",
				    t->dataset->id, t->id, t->part_field);
		}
	}
}

/* ---- SELECT ---- */

struct item {
	struct ex e;
	const char *name, *col;
};

struct select {
	struct item item[COLS_MAX];
	size_t n;
	struct buf *from, *where, *group, *having, *windows, *out;
	const char *qualify;
	bool distinct, has_from, aggregated;
	size_t list; /* token where the list begins */
};

static bool
is_from(const struct sql *s, size_t at)
{
	return sql_is_at(s, at, "FROM") &&
	       !(at >= 2 && sql_is_at(s, at - 1, "DISTINCT") &&
		   (sql_is_at(s, at - 2, "IS") || sql_is_at(s, at - 2, "NOT")));
}

static bool
ends_list(const struct sql *s, size_t at)
{
	static const char *const words[] = {"WHERE", "GROUP", "HAVING",
	    "QUALIFY", "WINDOW", "ORDER", "LIMIT", "UNION", "INTERSECT", ";"};

	if (s->tok[at].kind == TOK_END || is_from(s, at))
		return true;
	if (sql_is_at(s, at, "EXCEPT"))
		return !sql_is_at(s, at + 1, "(");
	for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
		if (sql_is_at(s, at, words[i]))
			return true;
	}
	return false;
}

/* The token after the list of SELECT; also where its Nth item begins. */
static size_t
list_end(const struct sql *s, size_t at, size_t nth, size_t *begin)
{
	int depth = 0;

	if (nth == 0)
		*begin = at;
	for (;; at++) {
		if (sql_is_at(s, at, "(") || sql_is_at(s, at, "["))
			depth++;
		else if (sql_is_at(s, at, ")") || sql_is_at(s, at, "]"))
			depth--;
		if (depth < 0 || s->tok[at].kind == TOK_END ||
		    (depth == 0 && ends_list(s, at)))
			return at;
		if (depth == 0 && sql_is_at(s, at, ",") && nth > 0 &&
		    --nth == 0)
			*begin = at + 1;
	}
}

/* The item of that alias; SIZE_MAX: none. */
static size_t
item_named(const struct sql *s, size_t at, const char *name)
{
	size_t i = 0, begin = 0, end = list_end(s, at, SIZE_MAX, &begin);
	int depth = 0;

	for (; at <= end; at++) {
		bool last = at == end;

		if (sql_is_at(s, at, "(") || sql_is_at(s, at, "["))
			depth++;
		else if (!last &&
			 (sql_is_at(s, at, ")") || sql_is_at(s, at, "]")))
			depth--;
		if (depth != 0 || (!last && !sql_is_at(s, at, ",")))
			continue;
		if (at >= 2 &&
		    (s->tok[at - 1].kind == TOK_WORD ||
			s->tok[at - 1].kind == TOK_QUOTED) &&
		    strcasecmp(s->tok[at - 1].s, name) == 0 &&
		    sql_is_at(s, at - 2, "AS"))
			return i;
		i++;
	}
	return SIZE_MAX;
}

static struct ex
nth_item(struct sql *s, const struct select *q, size_t nth, size_t tok)
{
	size_t back = s->at, begin = SIZE_MAX;
	struct ex e;

	list_end(s, q->list, nth, &begin);
	if (begin == SIZE_MAX)
		sql_fail(
		    s, tok, "GROUP BY is out of SELECT column number range");
	s->at = begin;
	e = sql_expr(s);
	s->at = back;
	return e;
}

static bool
names_source(struct sql *s, const char *name)
{
	for (struct src *f = s->scope->srcs; f != NULL; f = f->next) {
		if (strcasecmp(f->alias, name) == 0)
			return true;
		for (size_t i = 0; i < f->n; i++) {
			if (strcasecmp(f->col[i].name, name) == 0)
				return true;
		}
	}
	return false;
}

static void
group_by(struct sql *s, struct select *q)
{
	struct group *g = s->scope->group;
	bool first = true;

	sql_want(s, "BY");
	if (sql_is(s, "ROLLUP") || sql_is(s, "CUBE") || sql_is(s, "GROUPING") ||
	    sql_is(s, "ALL"))
		sql_fail(s, s->at, "GROUP BY %s: not known to this stand-in",
		    sql_tok(s)->s);
	g->key = arena_alloc(s->a, 256 * sizeof *g->key);
	do {
		const struct tok *t = sql_tok(s);
		size_t tok = s->at, nth = SIZE_MAX;
		struct ex e;

		if (t->kind == TOK_INT) {
			nth = strtoul(t->s, NULL, 10) - 1;
			s->at++;
		} else if ((t->kind == TOK_WORD || t->kind == TOK_QUOTED) &&
			   !sql_is_at(s, s->at + 1, ".") &&
			   !sql_is_at(s, s->at + 1, "(") &&
			   !names_source(s, t->s)) {
			nth = item_named(s, q->list, t->s);
			s->at += nth != SIZE_MAX;
		}
		e = nth != SIZE_MAX ? nth_item(s, q, nth, tok) : sql_expr(s);
		if (e.agg)
			sql_fail(s, tok,
			    "Aggregate functions are not allowed in GROUP BY");
		if (e.t->kind >= T_STRUCT || e.t->kind == T_JSON)
			sql_fail(s, tok,
			    "Grouping by expressions of type %s is not allowed",
			    bq_type_text(s->a, e.t));
		if (g->n == 256)
			sql_fail(s, tok, "GROUP BY: over 256");
		g->key[g->n++] = e.s;
		/* a number there would be a place in SQLite */
		buf_fmt(q->group, "%s(%s)", first ? "" : ", ", e.s);
		first = false;
	} while (sql_take(s, ","));
	q->aggregated = true;
}

static void
add_item(struct sql *s, struct select *q, struct ex e, const char *name)
{
	if (q->n == COLS_MAX)
		sql_fail(s, e.tok, "SELECT: over %d columns", COLS_MAX);
	q->item[q->n].e = e;
	q->item[q->n++].name = name;
}

/* EXCEPT (a, b): is the column left out? */
static bool
left_out(const struct sql *s, size_t from, size_t to, const char *name)
{
	for (size_t i = from; i < to; i++) {
		if (strcasecmp(s->tok[i].s, name) == 0 && !sql_is_at(s, i, ","))
			return true;
	}
	return false;
}

static void
star(struct sql *s, struct select *q, const char *of, size_t tok)
{
	size_t from = 0, to = 0, found = 0;
	const char *rep_name[64];
	struct ex rep[64];
	size_t reps = 0;

	if (sql_is(s, "EXCEPT") && sql_is_at(s, s->at + 1, "(")) {
		from = s->at + 2;
		for (to = from; !sql_is_at(s, to, ")"); to++) {
			if (s->tok[to].kind == TOK_END)
				sql_fail(s, to, "Syntax error: EXCEPT");
		}
		s->at = to + 1;
	}
	if (sql_take(s, "REPLACE")) {
		sql_want(s, "(");
		do {
			if (reps == 64)
				sql_fail(s, s->at, "REPLACE: over 64");
			rep[reps] = sql_expr(s);
			sql_want(s, "AS");
			rep_name[reps++] = sql_name(s);
		} while (sql_take(s, ","));
		sql_want(s, ")");
	}
	for (struct src *f = s->scope->srcs; f != NULL; f = f->next) {
		if (of != NULL && strcasecmp(f->alias, of) != 0)
			continue;
		found++;
		if (f->value != NULL && f->value->t->kind != T_STRUCT) {
			struct ex e = *f->value;

			e.tok = tok;
			add_item(s, q, e, f->alias);
		}
		for (size_t i = 0; i < f->n; i++) {
			struct ex e = {.s = f->col[i].sql,
			    .t = f->col[i].t,
			    .bare = f->col[i].name,
			    .tok = tok};

			if ((f->col[i].hidden && of == NULL) ||
			    left_out(s, from, to, f->col[i].name))
				continue;
			sql_use(s, &f->col[i]);
			for (size_t k = 0; k < reps; k++) {
				if (strcasecmp(rep_name[k], f->col[i].name) ==
				    0)
					e = rep[k];
			}
			add_item(s, q, e, f->col[i].name);
		}
	}
	if (found == 0)
		sql_fail(s, tok, "%s.*: no such name", of == NULL ? "" : of);
}

static void
list(struct sql *s, struct select *q)
{
	for (;;) {
		size_t tok = s->at;
		struct ex e;
		const char *name;

		if (sql_take(s, "*")) {
			star(s, q, NULL, tok);
		} else if (sql_is_name(s) && sql_is_at(s, s->at + 1, ".") &&
			   sql_is_at(s, s->at + 2, "*")) {
			name = sql_name(s);
			s->at += 2;
			star(s, q, name, tok);
		} else {
			e = sql_expr(s);
			name = e.name;
			if (sql_take(s, "AS") || sql_is_name(s))
				name = sql_name(s);
			add_item(s, q, e, name);
		}
		if (!sql_take(s, ",") || ends_list(s, s->at))
			return; /* a comma may end the list */
	}
}

/* Names for all; in SQLite no two alike. */
static void
name_items(struct sql *s, struct select *q)
{
	unsigned anonymous = 0;

	for (size_t i = 0; i < q->n; i++) {
		if (q->item[i].name == NULL)
			q->item[i].name = arena_fmt(s->a, "f%u_", anonymous++);
		q->item[i].col = q->item[i].name;
		for (size_t k = 0; k < i; k++) {
			if (strcasecmp(q->item[k].name, q->item[i].name) == 0)
				q->item[i].col = arena_fmt(
				    s->a, "%s %zu", q->item[i].name, i);
		}
	}
}

static void
check_grouped(struct sql *s, const struct ex *e, const char *where)
{
	if (e->bare != NULL)
		sql_fail(s, e->tok,
		    "%s expression references column %s which is neither "
		    "grouped nor aggregated",
		    where, e->bare);
}

static void
windows(struct sql *s, struct select *q)
{
	bool first = true;

	do {
		const char *name = sql_name(s);

		sql_want(s, "AS");
		buf_fmt(q->windows, "%s\"%s\" AS ", first ? "" : ", ", name);
		first = false;
		sql_window(s, q->windows);
	} while (sql_take(s, ","));
}

/* Names of the list are seen where no source has them. */
static struct src *
with_items(struct sql *s, struct select *q)
{
	struct src *f = arena_alloc(s->a, sizeof *f);

	f->alias = "";
	f->col = arena_alloc(s->a, q->n * sizeof *f->col);
	for (size_t i = 0; i < q->n; i++) {
		if (names_source(s, q->item[i].name))
			continue;
		f->col[f->n].name = q->item[i].name;
		f->col[f->n].sql = q->item[i].e.s;
		f->col[f->n++].t = q->item[i].e.t;
	}
	f->next = s->scope->srcs;
	return f;
}

static void
tail(struct sql *s, struct select *q)
{
	struct group *g = s->scope->group;
	struct src *plain = s->scope->srcs;

	s->scope->srcs = with_items(s, q);
	if (sql_take(s, "HAVING")) {
		struct ex e = sql_bool(s, "HAVING clause");

		if (!q->aggregated)
			sql_fail(s, e.tok,
			    "The HAVING clause requires GROUP "
			    "BY or aggregation");
		for (size_t i = 0; e.bare != NULL && i < q->n; i++) {
			if (strcasecmp(e.bare, q->item[i].name) == 0)
				e.bare = NULL;
		}
		check_grouped(s, &e, "HAVING clause");
		buf_str(q->having, e.s);
	}
	if (sql_take(s, "QUALIFY"))
		q->qualify = sql_bool(s, "QUALIFY clause").s;
	if (sql_take(s, "WINDOW"))
		windows(s, q);
	s->scope->srcs = plain;
	(void)g;
}

static void
emit(struct sql *s, struct select *q, struct rel *r)
{
	buf_str(q->out, q->distinct ? "SELECT DISTINCT " : "SELECT ");
	for (size_t i = 0; i < q->n; i++)
		buf_fmt(q->out, "%s%s AS \"%s\"", i > 0 ? ", " : "",
		    q->item[i].e.s, q->item[i].col);
	if (q->qualify != NULL)
		buf_fmt(q->out, ", %s AS \"q ualify\"", q->qualify);
	if (q->from->len > 0)
		buf_fmt(q->out, " FROM %s", buf_cstr(q->from));
	if (q->where->len > 0)
		buf_fmt(q->out, " WHERE %s", buf_cstr(q->where));
	if (q->group->len > 0)
		buf_fmt(q->out, " GROUP BY %s", buf_cstr(q->group));
	if (q->having->len > 0)
		buf_fmt(q->out, " HAVING %s", buf_cstr(q->having));
	if (q->windows->len > 0)
		buf_fmt(q->out, " WINDOW %s", buf_cstr(q->windows));
	r->s = arena_strn(s->a, q->out->p, q->out->len);
	if (q->qualify == NULL)
		return;
	buf_reset(q->out);
	for (size_t i = 0; i < q->n; i++)
		buf_fmt(q->out, "%s\"%s\"", i > 0 ? ", " : "", q->item[i].col);
	r->s = arena_fmt(s->a, "SELECT %s FROM (%s) WHERE \"q ualify\"",
	    buf_cstr(q->out), r->s);
}

static struct rel
core(struct sql *s, struct select *q)
{
	struct rel r = {.n = 0};
	struct ex e;
	size_t end, begin = 0;

	q->distinct = sql_take(s, "DISTINCT");
	if (!q->distinct)
		sql_take(s, "ALL");
	if (sql_is(s, "AS"))
		sql_fail(s, s->at, "SELECT AS: not known to this stand-in");
	q->list = s->at;
	end = list_end(s, s->at, SIZE_MAX, &begin);
	s->at = end;
	if (sql_take(s, "FROM"))
		sql_from(s, q->from);
	if (sql_take(s, "WHERE")) {
		if (q->from->len == 0)
			sql_fail(s, s->at - 1,
			    "Query without FROM clause cannot have a WHERE "
			    "clause");
		e = sql_bool(s, "WHERE clause");
		if (e.agg || e.window)
			sql_fail(s, e.tok,
			    "%s functions are not allowed in "
			    "WHERE clause",
			    e.agg ? "Aggregate" : "Analytic");
		buf_str(q->where, e.s);
	}
	sql_pruned(s, s->scope->srcs, buf_cstr(q->where));
	if (sql_take(s, "GROUP"))
		group_by(s, q);
	end = s->at;
	s->at = q->list;
	s->scope->group->active = true;
	list(s, q);
	if (!(ends_list(s, s->at) || sql_is(s, ")")))
		sql_fail(s, s->at,
		    "Syntax error: Expected end of the list "
		    "but got \"%s\"",
		    sql_tok(s)->s);
	if (sql_is(s, "FROM") || sql_is(s, "WHERE") || sql_is(s, "GROUP"))
		s->at = end;
	name_items(s, q);
	for (size_t i = 0; i < q->n; i++)
		q->aggregated = q->aggregated || q->item[i].e.agg;
	for (size_t i = 0; i < q->n && q->aggregated; i++)
		check_grouped(s, &q->item[i].e, "SELECT list");
	tail(s, q);
	r.n = q->n;
	r.field = arena_alloc(s->a, (q->n + 1) * sizeof *r.field);
	r.col = arena_alloc(s->a, (q->n + 1) * sizeof *r.col);
	for (size_t i = 0; i < q->n; i++) {
		r.field[i].name = q->item[i].name;
		r.field[i].type = q->item[i].e.t;
		r.col[i] = q->item[i].col;
	}
	return r;
}

/* ---- ORDER BY and LIMIT ---- */

static void
order_by(
    struct sql *s, struct buf *out, const struct rel *r, const struct select *q)
{
	bool first = true;

	sql_want(s, "BY");
	buf_str(out, " ORDER BY ");
	do {
		const struct tok *t = sql_tok(s);
		size_t nth = SIZE_MAX;
		struct ex e = {.s = ""};

		if (t->kind == TOK_INT) {
			nth = strtoul(t->s, NULL, 10) - 1;
			if (nth >= r->n)
				sql_fail(s, s->at,
				    "ORDER BY is out of SELECT column number "
				    "range: %s",
				    t->s);
		} else if (!sql_is_at(s, s->at + 1, ".") &&
			   !sql_is_at(s, s->at + 1, "(")) {
			for (size_t i = 0; i < r->n; i++) {
				if (strcasecmp(r->field[i].name, t->s) == 0)
					nth = i;
			}
			/* an expression that begins with the name */
			if (nth != SIZE_MAX &&
			    !(sql_is_at(s, s->at + 1, ",") ||
				sql_is_at(s, s->at + 1, "ASC") ||
				sql_is_at(s, s->at + 1, "DESC") ||
				sql_is_at(s, s->at + 1, "NULLS") ||
				sql_is_at(s, s->at + 1, "LIMIT") ||
				sql_is_at(s, s->at + 1, ")") ||
				sql_is_at(s, s->at + 1, ";") ||
				sql_ahead(s, 1)->kind == TOK_END))
				nth = SIZE_MAX;
		}
		if (!first)
			buf_str(out, ", ");
		first = false;
		if (nth != SIZE_MAX) {
			s->at++;
			e.s = arena_fmt(s->a, "%zu", nth + 1);
			e.t = r->field[nth].type;
		} else if (q == NULL || q->qualify != NULL || q->distinct) {
			sql_fail(s, s->at,
			    "ORDER BY here: only columns of the result");
		} else {
			e = sql_expr(s);
			if (q->aggregated)
				check_grouped(s, &e, "ORDER BY clause");
		}
		sql_order_item(s, out, e);
	} while (sql_take(s, ","));
}

static void
limit(struct sql *s, struct buf *out)
{
	if (!sql_take(s, "LIMIT"))
		return;
	buf_fmt(out, " LIMIT %s", sql_convert(s, sql_expr(s), S(INT64)).s);
	if (sql_take(s, "OFFSET"))
		buf_fmt(
		    out, " OFFSET %s", sql_convert(s, sql_expr(s), S(INT64)).s);
}

/* ---- UNION and the like ---- */

static struct rel select_one(struct sql *s, struct buf *order, bool alone);

/* Both get the types all of them take. */
static void
match(struct sql *s, struct rel *l, struct rel *r, size_t tok, const char *word)
{
	struct buf *lb = sql_buf(s), *rb = sql_buf(s);
	bool lc = false, rc = false;

	if (l->n != r->n)
		sql_fail(s, tok,
		    "Queries in %s have mismatched column count; query 1 has "
		    "%zu columns, query 2 has %zu columns",
		    word, l->n, r->n);
	for (size_t i = 0; i < l->n; i++) {
		struct ex e[2] = {{.s = arena_fmt(s->a, "\"%s\"", l->col[i]),
				      .t = l->field[i].type,
				      .tok = tok},
		    {.s = arena_fmt(s->a, "\"%s\"", r->col[i]),
			.t = r->field[i].type,
			.tok = tok}};
		const char *was[2] = {e[0].s, e[1].s};

		l->field[i].type = sql_unify(
		    s, e, 2, arena_fmt(s->a, "%s, column %zu", word, i + 1));
		lc = lc || strcmp(was[0], e[0].s) != 0;
		rc = rc || strcmp(was[1], e[1].s) != 0;
		buf_fmt(
		    lb, "%s%s AS \"%s\"", i > 0 ? ", " : "", e[0].s, l->col[i]);
		buf_fmt(
		    rb, "%s%s AS \"%s\"", i > 0 ? ", " : "", e[1].s, l->col[i]);
	}
	if (lc)
		l->s =
		    arena_fmt(s->a, "SELECT %s FROM (%s)", buf_cstr(lb), l->s);
	if (rc)
		r->s =
		    arena_fmt(s->a, "SELECT %s FROM (%s)", buf_cstr(rb), r->s);
}

static const char *
set_operator(struct sql *s)
{
	const char *word = sql_is(s, "UNION")       ? "UNION"
			   : sql_is(s, "EXCEPT")    ? "EXCEPT"
			   : sql_is(s, "INTERSECT") ? "INTERSECT"
						    : NULL;

	if (word == NULL)
		return NULL;
	s->at++;
	if (sql_take(s, "ALL")) {
		if (*word != 'U')
			sql_fail(s, s->at - 1, "%s ALL: not supported", word);
		return "UNION ALL";
	}
	if (!sql_take(s, "DISTINCT"))
		sql_fail(s, s->at,
		    "Syntax error: Expected keyword ALL or keyword DISTINCT");
	return word;
}

static bool
more_follows(const struct sql *s)
{
	return sql_is(s, "UNION") || sql_is(s, "INTERSECT") ||
	       (sql_is(s, "EXCEPT") && !sql_is_at(s, s->at + 1, "("));
}

/* A SELECT, or a query in parentheses; with its order where it is alone. */
static struct rel
select_one(struct sql *s, struct buf *order, bool alone)
{
	struct group g = {NULL, 0, false};
	struct scope in = {NULL, &g, s->scope};
	struct select *q;
	bool agg = s->in_agg;
	struct rel r;

	if (sql_take(s, "(")) {
		r = sql_query(s);
		sql_want(s, ")");
		r.s = arena_fmt(s->a, "SELECT * FROM (%s)", r.s);
		if (alone && !more_follows(s) && sql_take(s, "ORDER"))
			order_by(s, order, &r, NULL);
		return r;
	}
	sql_want(s, "SELECT");
	q = arena_alloc(s->a, sizeof *q);
	q->from = sql_buf(s);
	q->where = sql_buf(s);
	q->group = sql_buf(s);
	q->having = sql_buf(s);
	q->windows = sql_buf(s);
	q->out = sql_buf(s);
	s->scope = &in;
	s->in_agg = false;
	r = core(s, q);
	if (alone && !more_follows(s) && sql_take(s, "ORDER"))
		order_by(s, order, &r, q);
	emit(s, q, &r);
	s->scope = in.outer;
	s->in_agg = agg;
	return r;
}

static void
with(struct sql *s, struct buf *out)
{
	bool first = true;

	if (sql_is(s, "RECURSIVE"))
		sql_fail(
		    s, s->at, "WITH RECURSIVE: not known to this stand-in");
	buf_str(out, "WITH ");
	do {
		struct cte *c = arena_alloc(s->a, sizeof *c);
		struct scope *up = s->scope;

		c->name = sql_name(s);
		c->sql = arena_fmt(s->a, "c%u", ++s->alias);
		sql_want(s, "AS");
		sql_want(s, "(");
		s->scope = NULL;
		c->rel = sql_query(s);
		s->scope = up;
		sql_want(s, ")");
		buf_fmt(
		    out, "%s%s AS (%s)", first ? "" : ", ", c->sql, c->rel.s);
		first = false;
		c->next = s->ctes;
		s->ctes = c;
	} while (sql_take(s, ","));
	buf_char(out, ' ');
}

struct rel
sql_query(struct sql *s)
{
	struct buf *out = sql_buf(s), *order = sql_buf(s);
	struct cte *up = s->ctes;
	const char *op;
	struct rel r, next;
	size_t tok;

	if (++s->depth > 200)
		sql_fail(s, s->at, "nested too deeply");
	if (sql_take(s, "WITH"))
		with(s, out);
	r = select_one(s, order, true);
	tok = s->at;
	while ((op = set_operator(s)) != NULL) {
		next = select_one(s, order, false);
		match(s, &r, &next, tok, op);
		r.s = arena_fmt(s->a, "%s %s %s", r.s, op, next.s);
		if (!more_follows(s) && sql_take(s, "ORDER"))
			order_by(s, order, &r, NULL);
		tok = s->at;
	}
	limit(s, order);
	buf_str(out, r.s);
	buf_str(out, buf_cstr(order));
	r.s = arena_strn(s->a, out->p, out->len);
	s->ctes = up;
	s->depth--;
	return r;
}

size_t
sql_list_end(const struct sql *s)
{
	size_t begin = 0;

	return list_end(s, s->at, SIZE_MAX, &begin);
}
