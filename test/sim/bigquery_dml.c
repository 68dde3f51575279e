/*
 * INSERT, UPDATE, DELETE of GoogleSQL.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bigquery_run.h"

#define S(k) (&bq_scalar[T_##k])

struct bq_table *
dml_target(struct sql *s)
{
	struct path p = sql_path(s);
	struct bq_table *t = sql_find(s, &p);

	if (t == NULL)
		sql_raise(s, "notFound",
		    "Not found: Table %s:%s.%s was not found in location %s",
		    s->q->project,
		    p.dataset == NULL ? s->q->default_dataset : p.dataset,
		    p.table, s->q->location == NULL ? "US" : s->q->location);
	if (t->view != NULL)
		sql_fail(s, p.tok, "Cannot perform DML on a view: %s", p.table);
	if (p.dataset != NULL && export_dataset(p.dataset))
		sql_raise(s, "accessDenied",
		    "Access Denied: Table %s:%s.%s: the export is for reading "
		    "here",
		    s->q->project, p.dataset, p.table);
	return t;
}

/* An expression for a column, or DEFAULT. */
const char *
dml_assign(struct sql *s, const struct bq_field *f)
{
	struct ex e;

	if (sql_take(s, "DEFAULT"))
		return "NULL";
	e = sql_expr(s);
	if (!sql_coerces(&e, f->type))
		sql_fail(s, e.tok,
		    "Value of type %s cannot be assigned to %s, which has type "
		    "%s",
		    bq_type_text(s->a, e.t), f->name,
		    bq_type_text(s->a, f->type));
	return sql_convert(s, e, f->type).s;
}

void
dml_check(struct sql *s, const struct bq_table *t)
{
	if (s->q->dry_run)
		return;
	for (size_t i = 0; i < t->n; i++) {
		if (t->field[i].required &&
		    bq_number("SELECT EXISTS(SELECT 1 FROM %s WHERE \"%s\" IS "
			      "NULL)",
			t->sql, t->field[i].name))
			sql_raise(s, "invalidQuery",
			    "Required field %s cannot be null",
			    t->field[i].name);
	}
}

void
dml_counts(
    struct sql *s, const char *kind, int64_t ins, int64_t upd, int64_t del)
{
	struct bq_query *now = run_of(s)->now;

	now->kind = kind;
	now->inserted = ins;
	now->updated = upd;
	now->deleted = del;
}

static int64_t
dml_changed(const struct sql *s)
{
	return s->q->dry_run ? 0 : sqlite3_changes(bq_db());
}

/* (a, b, c), or all. */
size_t
dml_columns(struct sql *s, const struct bq_table *t, size_t *index)
{
	size_t n = 0;

	if (!sql_is(s, "(") || sql_is_at(s, s->at + 1, "SELECT") ||
	    sql_is_at(s, s->at + 1, "WITH")) {
		for (; n < t->n; n++)
			index[n] = n;
		return n;
	}
	s->at++;
	do {
		size_t tok = s->at;
		const char *name = sql_name(s);
		const struct bq_field *f =
		    bq_field_find(t->field, t->n, name, strlen(name));

		if (f == NULL)
			sql_fail(s, tok, "Column %s is not present in table %s",
			    name, t->id);
		for (size_t i = 0; i < n; i++) {
			if (index[i] == (size_t)(f - t->field))
				sql_fail(s, tok,
				    "INSERT has columns with "
				    "duplicate name: %s",
				    name);
		}
		index[n++] = (size_t)(f - t->field);
	} while (sql_take(s, ","));
	sql_want(s, ")");
	return n;
}

const char *
dml_names(
    struct sql *s, const struct bq_table *t, const size_t *index, size_t n)
{
	const char *text = "";

	for (size_t i = 0; i < n; i++)
		text = arena_fmt(s->a, "%s%s\"%s\"", text, i > 0 ? "," : "",
		    t->field[index[i]].name);
	return text;
}

/* (a, b, c) of VALUES. */
void
dml_row(struct sql *s, const struct bq_table *t, const size_t *index, size_t n,
    const char **value)
{
	size_t tok = s->at;

	sql_want(s, "(");
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && !sql_take(s, ","))
			sql_fail(s, tok,
			    "Inserted row has wrong column count; Has %zu, "
			    "expected %zu",
			    i, n);
		value[i] = dml_assign(s, &t->field[index[i]]);
	}
	if (sql_is(s, ","))
		sql_fail(s, tok,
		    "Inserted row has wrong column count; Has more, expected "
		    "%zu",
		    n);
	sql_want(s, ")");
}

static const char *
joined(struct sql *s, const char *const *value, size_t n)
{
	const char *text = "";

	for (size_t i = 0; i < n; i++)
		text =
		    arena_fmt(s->a, "%s%s%s", text, i > 0 ? "," : "", value[i]);
	return text;
}

/* INSERT ... SELECT: the query with the columns' types. */
static const char *
insert_query(
    struct sql *s, const struct bq_table *t, const size_t *index, size_t n)
{
	size_t tok = s->at;
	struct rel q = sql_query(s);
	const char *list = "";

	if (q.n != n)
		sql_fail(s, tok,
		    "Inserted row has wrong column count; Has %zu, expected "
		    "%zu",
		    q.n, n);
	for (size_t i = 0; i < n; i++) {
		const struct bq_field *f = &t->field[index[i]];
		struct ex e = {.s = arena_fmt(s->a, "\"%s\"", q.col[i]),
		    .t = q.field[i].type,
		    .tok = tok};

		if (!sql_coerces(&e, f->type))
			sql_fail(s, tok,
			    "Query column %zu has type %s which cannot be "
			    "inserted into column %s, which has type %s",
			    i + 1, bq_type_text(s->a, e.t), f->name,
			    bq_type_text(s->a, f->type));
		list = arena_fmt(s->a, "%s%s%s", list, i > 0 ? "," : "",
		    sql_convert(s, e, f->type).s);
	}
	return arena_fmt(s->a, "SELECT %s FROM (%s)", list, q.s);
}

void
dml_insert(struct sql *s)
{
	const char **value = arena_alloc(s->a, 1024 * sizeof *value);
	size_t index[1024], n;
	const char *text = "";
	struct bq_table *t;

	sql_want(s, "INSERT");
	sql_take(s, "INTO");
	t = dml_target(s);
	n = dml_columns(s, t, index);
	if (sql_take(s, "VALUES")) {
		do {
			dml_row(s, t, index, n, value);
			text = arena_fmt(s->a, "%s%s(%s)", text,
			    *text == '\0' ? "VALUES " : ",",
			    joined(s, value, n));
		} while (sql_take(s, ","));
	} else {
		text = insert_query(s, t, index, n);
	}
	run_end(s);
	run_charge(s);
	run_perform(s, arena_fmt(s->a, "INSERT INTO %s (%s) %s", t->sql,
			   dml_names(s, t, index, n), text));
	dml_counts(s, "INSERT", dml_changed(s), 0, 0);
	dml_check(s, t);
	run_touch(s, t);
}

struct sets *
dml_set(struct sql *s, const struct bq_table *t, const char *alias)
{
	struct sets *l = arena_alloc(s->a, sizeof *l);

	do {
		size_t tok = s->at;
		const char *name = sql_name(s);
		const struct bq_field *f;

		if (sql_is(s, ".") && strcasecmp(name, alias) == 0) {
			s->at++;
			name = sql_name(s);
		}
		f = bq_field_find(t->field, t->n, name, strlen(name));
		if (f == NULL)
			sql_fail(s, tok, "Column %s is not present in table %s",
			    name, t->id);
		for (size_t i = 0; i < l->n; i++) {
			if (l->index[i] == (size_t)(f - t->field))
				sql_fail(s, tok,
				    "Update item %s assigned more than once",
				    name);
		}
		sql_want(s, "=");
		l->index[l->n] = (size_t)(f - t->field);
		l->e[l->n++] = dml_assign(s, f);
	} while (sql_take(s, ","));
	return l;
}

const char *
dml_alias(struct sql *s, const char *fallback)
{
	if (sql_take(s, "AS") ||
	    (sql_is_name(s) && !sql_is(s, "VALUES") && !sql_is(s, "UPDATE")))
		return sql_name(s);
	return fallback;
}

void
dml_update(struct sql *s)
{
	struct scope in = {NULL, NULL, NULL};
	struct buf *from = sql_buf(s);
	const char *name, *alias, *set = "", *where, *more = "";
	struct bq_table *t;
	struct src *me;
	size_t list;

	sql_want(s, "UPDATE");
	t = dml_target(s);
	name = arena_fmt(s->a, "t%u", ++s->alias);
	alias = sql_is(s, "SET") ? t->id : dml_alias(s, t->id);
	me = sql_src_of(s, t, alias, name);
	sql_want(s, "SET");
	list = s->at;
	s->at = sql_list_end(s);
	s->scope = &in;
	if (sql_take(s, "FROM")) {
		sql_from(s, from);
		more = arena_fmt(s->a, " FROM %s", buf_cstr(from));
	}
	me->next = in.srcs;
	in.srcs = me;
	if (!sql_take(s, "WHERE"))
		sql_fail(s, s->at, "UPDATE must have a WHERE clause");
	where = sql_bool(s, "WHERE clause").s;
	sql_pruned(s, in.srcs, where);
	run_end(s);
	{
		size_t end = s->at;
		struct sets *l;

		s->at = list;
		l = dml_set(s, t, alias);
		for (size_t i = 0; i < l->n; i++)
			set = arena_fmt(s->a, "%s%s\"%s\" = %s", set,
			    i > 0 ? ", " : "", t->field[l->index[i]].name,
			    l->e[i]);
		if (!sql_is(s, "FROM") && !sql_is(s, "WHERE"))
			sql_fail(s, s->at, "Syntax error: Unexpected \"%s\"",
			    sql_tok(s)->s);
		s->at = end;
	}
	s->scope = NULL;
	run_use_all(s, t);
	run_charge(s);
	if (*more != '\0' && !s->q->dry_run &&
	    run_value(
		s, arena_fmt(s->a,
		       "SELECT EXISTS(SELECT 1 FROM %s AS %s, %s WHERE %s "
		       "GROUP BY %s.rowid HAVING count(*) > 1)",
		       t->sql, name, more + 6, where, name)))
		sql_raise(s, "invalidQuery",
		    "UPDATE/MERGE must match at most one source row for each "
		    "target row");
	run_perform(s, arena_fmt(s->a, "UPDATE %s AS %s SET %s%s WHERE %s",
			   t->sql, name, set, more, where));
	dml_counts(s, "UPDATE", 0, dml_changed(s), 0);
	dml_check(s, t);
	run_touch(s, t);
}

void
dml_delete(struct sql *s)
{
	struct scope in = {NULL, NULL, NULL};
	const char *name, *alias, *where;
	struct bq_table *t;

	sql_want(s, "DELETE");
	sql_take(s, "FROM");
	t = dml_target(s);
	name = arena_fmt(s->a, "t%u", ++s->alias);
	alias = dml_alias(s, t->id);
	in.srcs = sql_src_of(s, t, alias, name);
	if (!sql_take(s, "WHERE"))
		sql_fail(s, s->at, "DELETE must have a WHERE clause");
	s->scope = &in;
	where = sql_bool(s, "WHERE clause").s;
	sql_pruned(s, in.srcs, where);
	s->scope = NULL;
	run_end(s);
	run_use_all(s, t);
	run_charge(s);
	run_perform(s, arena_fmt(s->a, "DELETE FROM %s AS %s WHERE %s", t->sql,
			   name, where));
	dml_counts(s, "DELETE", 0, 0, dml_changed(s));
	run_touch(s, t);
}

void
dml_truncate(struct sql *s)
{
	struct bq_table *t;

	sql_want(s, "TRUNCATE");
	sql_want(s, "TABLE");
	t = dml_target(s);
	run_end(s);
	run_perform(s, arena_fmt(s->a, "DELETE FROM %s", t->sql));
	dml_counts(s, "TRUNCATE_TABLE", 0, 0, dml_changed(s));
	run_touch(s, t);
}
