/*
 * MERGE of GoogleSQL.
 * The source is written down, then who meets whom (m_pair). Each clause takes
 * the rows that no clause before it took and writes down what it would do; at
 * the end all of it is done.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bigquery_run.h"

#define S(k) (&bq_scalar[T_##k])

struct merge {
	struct bq_table *t;
	const char *tn, *sn, *alias; /* names in SQLite and of the target */
	struct src *ts, *ss;
	struct rel source;
	int64_t inserted, updated, deleted;
	const char *apply; /* statements for the end */
	unsigned clause;
};

static void
drop_temps(struct sql *s, const struct merge *m)
{
	run_exec(s, "DROP TABLE IF EXISTS m_src; DROP TABLE IF EXISTS m_pair");
	for (unsigned i = 1; i <= m->clause; i++)
		run_exec(s, arena_fmt(s->a, "DROP TABLE IF EXISTS m_do%u", i));
}

enum side { BOTH, SOURCE_ONLY, TARGET_ONLY };

static const char *
rows_of(struct sql *s, const struct merge *m, enum side side, const char *cond)
{
	const char *t = arena_fmt(
	    s->a, "JOIN %s AS %s ON %s.rowid = p.t", m->t->sql, m->tn, m->tn);
	const char *c =
	    arena_fmt(s->a, "JOIN m_src AS %s ON %s.rowid = p.s", m->sn, m->sn);

	return arena_fmt(s->a,
	    "FROM m_pair AS p %s %s WHERE p.done = 0 AND "
	    "%s AND %s",
	    side != SOURCE_ONLY ? t : "", side != TARGET_ONLY ? c : "",
	    side == BOTH          ? "p.t IS NOT NULL AND p.s IS NOT NULL"
	    : side == SOURCE_ONLY ? "p.t IS NULL"
				  : "p.s IS NULL",
	    cond);
}

static void
merge_insert(struct sql *s, struct merge *m, const char *rows)
{
	const char **value = arena_alloc(s->a, 1024 * sizeof *value);
	const char *values = "", *names = "";
	size_t index[1024], n;

	if (sql_take(s, "ROW")) {
		n = m->t->n;
		if (m->source.n != n)
			sql_fail(s, s->at - 1,
			    "INSERT ROW: the source has %zu columns, the "
			    "target %zu",
			    m->source.n, n);
		for (size_t i = 0; i < n; i++) {
			struct ex e = {.s = m->ss->col[i].sql,
			    .t = m->ss->col[i].t,
			    .tok = s->at - 1};

			index[i] = i;
			value[i] = sql_convert(s, e, m->t->field[i].type).s;
		}
	} else {
		n = dml_columns(s, m->t, index);
		sql_want(s, "VALUES");
		dml_row(s, m->t, index, n, value);
	}
	for (size_t i = 0; i < n; i++) {
		values = arena_fmt(s->a, "%s, %s AS v%zu", values, value[i], i);
		names = arena_fmt(s->a, "%s%sv%zu", names, i > 0 ? "," : "", i);
	}
	run_exec(s,
	    arena_fmt(s->a, "CREATE TABLE m_do%u AS SELECT p.rowid AS pr%s %s",
		m->clause, values, rows));
	m->apply = arena_fmt(s->a,
	    "%sINSERT INTO %s (%s) SELECT %s FROM m_do%u;", m->apply, m->t->sql,
	    dml_names(s, m->t, index, n), names, m->clause);
}

/* What is set is computed now, and set in the end. */
static void
merge_update(struct sql *s, struct merge *m, const char *rows)
{
	struct sets *l = dml_set(s, m->t, m->alias);
	const char *values = "", *set = "";

	for (size_t i = 0; i < l->n; i++) {
		values = arena_fmt(s->a, "%s, %s AS v%zu", values, l->e[i], i);
		set = arena_fmt(s->a, "%s%s\"%s\" = m_do%u.v%zu", set,
		    i > 0 ? ", " : "", m->t->field[l->index[i]].name, m->clause,
		    i);
	}
	run_exec(
	    s, arena_fmt(s->a,
		   "CREATE TABLE m_do%u AS SELECT p.rowid AS pr, p.t AS t%s "
		   "%s",
		   m->clause, values, rows));
	m->apply = arena_fmt(s->a,
	    "%sUPDATE %s SET %s FROM m_do%u WHERE %s.rowid = m_do%u.t;",
	    m->apply, m->t->sql, set, m->clause, m->t->sql, m->clause);
}

static int64_t
taken(struct sql *s, const struct merge *m)
{
	run_exec(s, arena_fmt(s->a,
			"UPDATE m_pair SET done = %u WHERE rowid IN (SELECT pr "
			"FROM m_do%u)",
			m->clause, m->clause));
	return bq_number("SELECT count(*) FROM m_do%u", m->clause);
}

static void
merge_clause(struct sql *s, struct merge *m)
{
	struct scope in = {NULL, NULL, NULL};
	enum side side = BOTH;
	const char *cond = "1", *rows;
	struct src *ts = m->ts, *ss = m->ss;

	m->clause++;
	if (sql_take(s, "NOT")) {
		sql_want(s, "MATCHED");
		side = SOURCE_ONLY;
		if (sql_take(s, "BY")) {
			if (sql_take(s, "SOURCE"))
				side = TARGET_ONLY;
			else
				sql_want(s, "TARGET");
		}
	} else {
		sql_want(s, "MATCHED");
	}
	ts->next = side == BOTH ? ss : NULL;
	ss->next = NULL;
	in.srcs = side == SOURCE_ONLY ? ss : ts;
	s->scope = &in;
	if (sql_take(s, "AND"))
		cond = sql_bool(s, "WHEN ... AND").s;
	sql_want(s, "THEN");
	rows = rows_of(s, m, side, cond);
	if (sql_is(s, "INSERT") && side == SOURCE_ONLY) {
		s->at++;
		merge_insert(s, m, rows);
		m->inserted += taken(s, m);
	} else if (sql_is(s, "DELETE") && side != SOURCE_ONLY) {
		s->at++;
		run_exec(
		    s, arena_fmt(s->a,
			   "CREATE TABLE m_do%u AS SELECT p.rowid AS pr, p.t "
			   "AS t %s",
			   m->clause, rows));
		m->deleted += taken(s, m);
		m->apply = arena_fmt(s->a,
		    "%sDELETE FROM %s WHERE rowid IN (SELECT t FROM m_do%u);",
		    m->apply, m->t->sql, m->clause);
	} else if (sql_is(s, "UPDATE") && side != SOURCE_ONLY) {
		s->at++;
		sql_want(s, "SET");
		merge_update(s, m, rows);
		m->updated += taken(s, m);
	} else {
		sql_fail(s, s->at, "Syntax error: Unexpected \"%s\" in MERGE",
		    sql_tok(s)->s);
	}
	s->scope = NULL;
}

static void
merge_source(struct sql *s, struct merge *m)
{
	struct buf *text = sql_buf(s);
	struct scope in = {NULL, NULL, NULL};
	const char *list = "";
	struct bq_field *f;
	struct src *src;

	s->scope = &in;
	src = sql_table(s, text);
	s->scope = NULL;
	m->sn = arena_fmt(s->a, "t%u", ++s->alias);
	f = arena_alloc(s->a, (src->n + 1) * sizeof *f);
	for (size_t i = 0; i < src->n; i++) {
		f[i].name = src->col[i].name;
		f[i].type = src->col[i].t;
		sql_use(s, &src->col[i]);
		list = arena_fmt(
		    s->a, "%s%s%s", list, i > 0 ? "," : "", src->col[i].sql);
		src->col[i].sql =
		    arena_fmt(s->a, "%s.\"%s\"", m->sn, f[i].name);
		src->col[i].table = NULL;
	}
	run_make_table(s, "m_src", f, src->n);
	run_exec(s, arena_fmt(s->a, "INSERT INTO m_src SELECT %s FROM %s", list,
			buf_cstr(text)));
	m->source.field = f;
	m->source.n = src->n;
	m->ss = src;
}

void
dml_merge(struct sql *s)
{
	struct merge m = {.apply = ""};
	struct scope in = {NULL, NULL, NULL};
	const char *on;

	sql_want(s, "MERGE");
	sql_take(s, "INTO");
	run_exec(s, "DROP TABLE IF EXISTS m_src; DROP TABLE IF EXISTS m_pair");
	m.t = dml_target(s);
	m.tn = arena_fmt(s->a, "t%u", ++s->alias);
	m.alias = sql_is(s, "USING") ? m.t->id : dml_alias(s, m.t->id);
	m.ts = sql_src_of(s, m.t, m.alias, m.tn);
	sql_want(s, "USING");
	merge_source(s, &m);
	sql_want(s, "ON");
	m.ts->next = m.ss;
	in.srcs = m.ts;
	s->scope = &in;
	on = sql_bool(s, "MERGE condition").s;
	s->scope = NULL;
	run_exec(
	    s, arena_fmt(s->a,
		   "CREATE TABLE m_pair AS SELECT %s.rowid AS t, %s.rowid AS "
		   "s, 0 AS done FROM %s AS %s FULL JOIN m_src AS %s ON %s",
		   m.tn, m.sn, m.t->sql, m.tn, m.sn, on));
	while (sql_take(s, "WHEN"))
		merge_clause(s, &m);
	if (m.clause == 0)
		sql_fail(s, s->at, "Syntax error: Expected WHEN");
	run_end(s);
	if (bq_number("SELECT EXISTS(SELECT 1 FROM m_pair WHERE done > 0 AND t "
		      "IS NOT NULL AND s IS NOT NULL GROUP BY t HAVING "
		      "count(*) > 1)"))
		sql_raise(s, "invalidQuery",
		    "UPDATE/MERGE must match at most one source row for each "
		    "target row");
	run_use_all(s, m.t);
	run_charge(s);
	if (!s->q->dry_run)
		run_exec(s, m.apply);
	drop_temps(s, &m);
	dml_counts(s, "MERGE", m.inserted, m.updated, m.deleted);
	dml_check(s, m.t);
	run_touch(s, m.t);
}
