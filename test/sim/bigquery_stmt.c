/*
 * Statements and scripts of GoogleSQL: each is translated and run in turn; a
 * transaction that fails leaves nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bigquery_sql.h"

#define S(k) (&bq_scalar[T_##k])
#define MB ((int64_t)1 << 20)

struct run {
	struct sql s;
	struct bq_query *q, *now; /* of the statement at hand */
	bool script, in_tx, in_statement;
	struct bq_table *touched[64];
	size_t n_touched;
	int64_t before; /* result tables of a transaction go with it */
};

static struct run *
run_of(struct sql *s)
{
	return (struct run *)(void *)s; /* it is the first member */
}

static unsigned counter;

/* ---- SQLite ---- */

static void
exec(struct sql *s, const char *text)
{
	char *why = NULL;

	if (sqlite3_exec(bq_db(), text, NULL, NULL, &why) != SQLITE_OK) {
		const char *kept = sim_keep("%s", why);

		sqlite3_free(why);
		sql_raise(s, "invalidQuery", "%s", kept);
	}
}

/* The statement is sound for SQLite, too; run it unless it is for show. */
static void
perform(struct sql *s, const char *text)
{
	sqlite3_stmt *st;

	if (getenv("WEIR_SIM_SQL") != NULL)
		fprintf(stderr, "sql: %s\n", text);
	if (s->q->dry_run) {
		if (sqlite3_prepare_v2(bq_db(), text, -1, &st, NULL) !=
		    SQLITE_OK)
			sql_raise(
			    s, "invalidQuery", "%s", sqlite3_errmsg(bq_db()));
		sqlite3_finalize(st);
	} else {
		exec(s, text);
	}
}

static int64_t
value_of(struct sql *s, const char *text)
{
	sqlite3_stmt *st;
	int64_t n = 0;

	if (sqlite3_prepare_v2(bq_db(), text, -1, &st, NULL) != SQLITE_OK)
		sql_raise(s, "invalidQuery", "%s", sqlite3_errmsg(bq_db()));
	if (sqlite3_step(st) == SQLITE_ROW) {
		n = sqlite3_column_int64(st, 0);
	} else {
		const char *why = sim_keep("%s", sqlite3_errmsg(bq_db()));

		sqlite3_finalize(st);
		sql_raise(s, "invalidQuery", "%s", why);
	}
	sqlite3_finalize(st);
	return n;
}

static void
touch(struct sql *s, struct bq_table *t)
{
	struct run *r = run_of(s);

	if (!r->in_tx) {
		bq_table_touch(t);
		return;
	}
	for (size_t i = 0; i < r->n_touched; i++) {
		if (r->touched[i] == t)
			return;
	}
	if (r->n_touched < sizeof r->touched / sizeof *r->touched)
		r->touched[r->n_touched++] = t;
}

/* ---- what it costs ---- */

static int64_t
bytes_of(const struct use *u)
{
	static const int fixed[T_STRUCT] = {[T_INT64] = 8,
	    [T_FLOAT64] = 8,
	    [T_NUMERIC] = 16,
	    [T_BIGNUMERIC] = 32,
	    [T_BOOL] = 1,
	    [T_DATE] = 8,
	    [T_DATETIME] = 8,
	    [T_TIME] = 8,
	    [T_TIMESTAMP] = 8};
	const struct bq_table *t = u->table;
	struct buf b = BUF_INIT(1u << 20);
	int64_t n;

	buf_str(&b, "0");
	for (size_t i = 0; i < t->n && i < 1024; i++) {
		enum bq_kind k = t->field[i].type->kind;

		if (!(u->cols[i / 64] >> i % 64 & 1))
			continue;
		if (k < T_STRUCT && fixed[k] > 0)
			buf_fmt(&b, "+%d", fixed[k]);
		else
			buf_fmt(&b, "+2+coalesce(length(\"%s\"),0)",
			    t->field[i].name);
	}
	n = bq_number("SELECT total(%s) FROM %s", buf_cstr(&b), t->sql);
	buf_release(&b);
	return n;
}

static void
charge(struct sql *s)
{
	struct run *r = run_of(s);
	int64_t bytes = 0, billed = 0;

	for (const struct use *u = s->uses; u != NULL; u = u->next) {
		int64_t n = bytes_of(u), up = (n + MB - 1) / MB * MB;

		bytes += n;
		billed += up < 10 * MB ? 10 * MB : up;
	}
	r->now->bytes = bytes;
	r->now->billed = s->q->dry_run ? 0 : billed;
	if (r->q != r->now) {
		r->q->bytes += bytes;
		r->q->billed += r->now->billed;
	}
	if (s->q->max_billed >= 0 && r->q->billed > s->q->max_billed) {
		r->now->billed = r->q->billed = 0;
		sql_raise(s, "bytesBilledLimitExceeded",
		    "Query exceeded limit for bytes billed: %lld. %lld or "
		    "higher required.",
		    (long long)s->q->max_billed, (long long)billed);
	}
}

static void
use_all(struct sql *s, struct bq_table *t)
{
	struct col c = {.table = t};

	for (c.index = 0; c.index < t->n; c.index++)
		sql_use(s, &c);
}

/* ---- SELECT ---- */

static void
make_table(struct sql *s, const char *name, const struct bq_field *f, size_t n)
{
	const char *text = "";

	for (size_t i = 0; i < n; i++)
		text = arena_fmt(
		    s->a, "%s%s\"%s\"", text, i > 0 ? "," : "", f[i].name);
	exec(s, arena_fmt(s->a, "CREATE TABLE %s (%s)", name, text));
}

static void
end_of(struct sql *s)
{
	const struct tok *t = sql_tok(s);

	if (t->kind != TOK_END && !sql_is(s, ";"))
		sql_fail(s, s->at,
		    "Syntax error: Expected end of input but got %s\"%s\"",
		    t->kind == TOK_WORD ? "keyword or identifier " : "", t->s);
}

/* A NULL without a type is an INT64 in a result; names come once. */
static void
settle_types(struct sql *s, struct rel *q)
{
	for (size_t i = 0; i < q->n; i++) {
		if (strcmp(q->col[i], q->field[i].name) != 0)
			sql_raise(s, "invalidQuery",
			    "Duplicate column names in the result are not "
			    "supported. Found duplicate(s): %s",
			    q->field[i].name);
		if (q->field[i].type->kind == T_NULL)
			q->field[i].type = S(INT64);
	}
}

static void
query(struct sql *s)
{
	struct bq_query *now = run_of(s)->now;
	struct rel q = sql_query(s);
	const char *name;

	end_of(s);
	settle_types(s, &q);
	charge(s);
	now->kind = "SELECT";
	now->field = bq_fields_copy(q.field, q.n);
	now->n = q.n;
	if (s->q->dry_run) {
		perform(s, q.s);
		return;
	}
	name = sim_keep("res%u", ++counter);
	make_table(s, name, q.field, q.n);
	perform(s, arena_fmt(s->a, "INSERT INTO %s %s", name, q.s));
	now->rows = sqlite3_changes(bq_db());
	now->result = name;
}

/* ---- DML ---- */

static struct bq_table *
target(struct sql *s)
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
static const char *
assign(struct sql *s, const struct bq_field *f)
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

static void
check_required(struct sql *s, const struct bq_table *t)
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

static void
counts(struct sql *s, const char *kind, int64_t ins, int64_t upd, int64_t del)
{
	struct bq_query *now = run_of(s)->now;

	now->kind = kind;
	now->inserted = ins;
	now->updated = upd;
	now->deleted = del;
}

static int64_t
changed(const struct sql *s)
{
	return s->q->dry_run ? 0 : sqlite3_changes(bq_db());
}

/* (a, b, c), or all. */
static size_t
columns(struct sql *s, const struct bq_table *t, size_t *index)
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

static const char *
names_of(struct sql *s, const struct bq_table *t, const size_t *index, size_t n)
{
	const char *text = "";

	for (size_t i = 0; i < n; i++)
		text = arena_fmt(s->a, "%s%s\"%s\"", text, i > 0 ? "," : "",
		    t->field[index[i]].name);
	return text;
}

/* (a, b, c) of VALUES. */
static void
one_row(struct sql *s, const struct bq_table *t, const size_t *index, size_t n,
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
		value[i] = assign(s, &t->field[index[i]]);
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

static void
insert(struct sql *s)
{
	const char **value = arena_alloc(s->a, 1024 * sizeof *value);
	size_t index[1024], n;
	const char *text = "";
	struct bq_table *t;

	sql_want(s, "INSERT");
	sql_take(s, "INTO");
	t = target(s);
	n = columns(s, t, index);
	if (sql_take(s, "VALUES")) {
		do {
			one_row(s, t, index, n, value);
			text = arena_fmt(s->a, "%s%s(%s)", text,
			    *text == '\0' ? "VALUES " : ",",
			    joined(s, value, n));
		} while (sql_take(s, ","));
	} else {
		text = insert_query(s, t, index, n);
	}
	end_of(s);
	charge(s);
	perform(s, arena_fmt(s->a, "INSERT INTO %s (%s) %s", t->sql,
		       names_of(s, t, index, n), text));
	counts(s, "INSERT", changed(s), 0, 0);
	check_required(s, t);
	touch(s, t);
}

/* SET a = x, b = y. */
struct sets {
	size_t n, index[1024];
	const char *e[1024];
};

static struct sets *
set_list(struct sql *s, const struct bq_table *t, const char *alias)
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
		l->e[l->n++] = assign(s, f);
	} while (sql_take(s, ","));
	return l;
}

static const char *
alias_or(struct sql *s, const char *fallback)
{
	if (sql_take(s, "AS") ||
	    (sql_is_name(s) && !sql_is(s, "VALUES") && !sql_is(s, "UPDATE")))
		return sql_name(s);
	return fallback;
}

static void
update(struct sql *s)
{
	struct scope in = {NULL, NULL, NULL};
	struct buf *from = sql_buf(s);
	const char *name, *alias, *set = "", *where, *more = "";
	struct bq_table *t;
	struct src *me;
	size_t list;

	sql_want(s, "UPDATE");
	t = target(s);
	name = arena_fmt(s->a, "t%u", ++s->alias);
	alias = sql_is(s, "SET") ? t->id : alias_or(s, t->id);
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
	end_of(s);
	{
		size_t end = s->at;
		struct sets *l;

		s->at = list;
		l = set_list(s, t, alias);
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
	use_all(s, t);
	charge(s);
	if (*more != '\0' && !s->q->dry_run &&
	    value_of(s, arena_fmt(s->a,
			    "SELECT EXISTS(SELECT 1 FROM %s AS %s, %s WHERE %s "
			    "GROUP BY %s.rowid HAVING count(*) > 1)",
			    t->sql, name, more + 6, where, name)))
		sql_raise(s, "invalidQuery",
		    "UPDATE/MERGE must match at most one source row for each "
		    "target row");
	perform(s, arena_fmt(s->a, "UPDATE %s AS %s SET %s%s WHERE %s", t->sql,
		       name, set, more, where));
	counts(s, "UPDATE", 0, changed(s), 0);
	check_required(s, t);
	touch(s, t);
}

static void delete (struct sql *s)
{
	struct scope in = {NULL, NULL, NULL};
	const char *name, *alias;
	struct bq_table *t;

	sql_want(s, "DELETE");
	sql_take(s, "FROM");
	t = target(s);
	name = arena_fmt(s->a, "t%u", ++s->alias);
	alias = alias_or(s, t->id);
	in.srcs = sql_src_of(s, t, alias, name);
	if (!sql_take(s, "WHERE"))
		sql_fail(s, s->at, "DELETE must have a WHERE clause");
	s->scope = &in;
	perform(s, arena_fmt(s->a, "DELETE FROM %s AS %s WHERE %s", t->sql,
		       name, sql_bool(s, "WHERE clause").s));
	s->scope = NULL;
	end_of(s);
	counts(s, "DELETE", 0, 0, changed(s));
	use_all(s, t);
	charge(s);
	touch(s, t);
}

static void
truncate_table(struct sql *s)
{
	struct bq_table *t;

	sql_want(s, "TRUNCATE");
	sql_want(s, "TABLE");
	t = target(s);
	end_of(s);
	perform(s, arena_fmt(s->a, "DELETE FROM %s", t->sql));
	counts(s, "TRUNCATE_TABLE", 0, 0, changed(s));
	touch(s, t);
}

/* ---- MERGE ---- */

/*
 * The source is written down, then who meets whom (m_pair). Each clause takes
 * the rows that no clause before it took and writes down what it would do; at
 * the end all of it is done.
 */
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
	exec(s, "DROP TABLE IF EXISTS m_src; DROP TABLE IF EXISTS m_pair");
	for (unsigned i = 1; i <= m->clause; i++)
		exec(s, arena_fmt(s->a, "DROP TABLE IF EXISTS m_do%u", i));
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
		n = columns(s, m->t, index);
		sql_want(s, "VALUES");
		one_row(s, m->t, index, n, value);
	}
	for (size_t i = 0; i < n; i++) {
		values = arena_fmt(s->a, "%s, %s AS v%zu", values, value[i], i);
		names = arena_fmt(s->a, "%s%sv%zu", names, i > 0 ? "," : "", i);
	}
	exec(s,
	    arena_fmt(s->a, "CREATE TABLE m_do%u AS SELECT p.rowid AS pr%s %s",
		m->clause, values, rows));
	m->apply = arena_fmt(s->a,
	    "%sINSERT INTO %s (%s) SELECT %s FROM m_do%u;", m->apply, m->t->sql,
	    names_of(s, m->t, index, n), names, m->clause);
}

/* What is set is computed now, and set in the end. */
static void
merge_update(struct sql *s, struct merge *m, const char *rows)
{
	struct sets *l = set_list(s, m->t, m->alias);
	const char *values = "", *set = "";

	for (size_t i = 0; i < l->n; i++) {
		values = arena_fmt(s->a, "%s, %s AS v%zu", values, l->e[i], i);
		set = arena_fmt(s->a, "%s%s\"%s\" = m_do%u.v%zu", set,
		    i > 0 ? ", " : "", m->t->field[l->index[i]].name, m->clause,
		    i);
	}
	exec(s, arena_fmt(s->a,
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
	exec(s, arena_fmt(s->a,
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
		exec(s, arena_fmt(s->a,
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
	make_table(s, "m_src", f, src->n);
	exec(s, arena_fmt(s->a, "INSERT INTO m_src SELECT %s FROM %s", list,
		    buf_cstr(text)));
	m->source.field = f;
	m->source.n = src->n;
	m->ss = src;
}

static void
merge(struct sql *s)
{
	struct merge m = {.apply = ""};
	struct scope in = {NULL, NULL, NULL};
	const char *on;

	sql_want(s, "MERGE");
	sql_take(s, "INTO");
	exec(s, "DROP TABLE IF EXISTS m_src; DROP TABLE IF EXISTS m_pair");
	m.t = target(s);
	m.tn = arena_fmt(s->a, "t%u", ++s->alias);
	m.alias = sql_is(s, "USING") ? m.t->id : alias_or(s, m.t->id);
	m.ts = sql_src_of(s, m.t, m.alias, m.tn);
	sql_want(s, "USING");
	merge_source(s, &m);
	sql_want(s, "ON");
	m.ts->next = m.ss;
	in.srcs = m.ts;
	s->scope = &in;
	on = sql_bool(s, "MERGE condition").s;
	s->scope = NULL;
	exec(s, arena_fmt(s->a,
		    "CREATE TABLE m_pair AS SELECT %s.rowid AS t, %s.rowid AS "
		    "s, 0 AS done FROM %s AS %s FULL JOIN m_src AS %s ON %s",
		    m.tn, m.sn, m.t->sql, m.tn, m.sn, on));
	while (sql_take(s, "WHEN"))
		merge_clause(s, &m);
	if (m.clause == 0)
		sql_fail(s, s->at, "Syntax error: Expected WHEN");
	end_of(s);
	if (bq_number("SELECT EXISTS(SELECT 1 FROM m_pair WHERE done > 0 AND t "
		      "IS NOT NULL AND s IS NOT NULL GROUP BY t HAVING "
		      "count(*) > 1)"))
		sql_raise(s, "invalidQuery",
		    "UPDATE/MERGE must match at most one source row for each "
		    "target row");
	use_all(s, m.t);
	charge(s);
	if (!s->q->dry_run)
		exec(s, m.apply);
	drop_temps(s, &m);
	counts(s, "MERGE", m.inserted, m.updated, m.deleted);
	check_required(s, m.t);
	touch(s, m.t);
}

/* ---- DDL ---- */

struct options {
	const char *description, *friendly, *part_expire;
	int64_t expires_ms;
	bool has_expires, part_filter;
};

static void
options(struct sql *s, struct options *o)
{
	if (!sql_take(s, "OPTIONS"))
		return;
	sql_want(s, "(");
	while (!sql_is(s, ")")) {
		size_t tok = s->at;
		const char *name = sql_name(s);
		struct ex e;

		sql_want(s, "=");
		e = sql_expr(s);
		if (strcasecmp(name, "description") == 0) {
			o->description = e.lit == LIT_STRING ? e.val : NULL;
		} else if (strcasecmp(name, "friendly_name") == 0) {
			o->friendly = e.lit == LIT_STRING ? e.val : NULL;
		} else if (strcasecmp(name, "expiration_timestamp") == 0) {
			o->has_expires = true;
			o->expires_ms =
			    value_of(
				s, arena_fmt(s->a, "SELECT %s",
				       sql_convert(s, e, S(TIMESTAMP)).s)) /
			    1000;
		} else if (strcasecmp(name, "partition_expiration_days") == 0) {
			o->part_expire = arena_fmt(s->a, "%lld",
			    86400000 * (long long)value_of(s,
					   arena_fmt(s->a, "SELECT %s", e.s)));
		} else if (strcasecmp(name, "require_partition_filter") == 0) {
			o->part_filter = strcmp(e.s, "1") == 0;
		} else if (strcasecmp(name, "labels") != 0) {
			sql_fail(s, tok, "Unknown option: %s", name);
		}
		if (!sql_take(s, ","))
			break;
	}
	sql_want(s, ")");
}

static size_t
column_list(struct sql *s, struct bq_field *f, size_t max)
{
	size_t n = 0;

	sql_want(s, "(");
	while (!sql_is(s, ")")) {
		struct options o = {.description = NULL};
		size_t tok = s->at;

		if (n == max)
			sql_fail(s, tok, "over %zu columns", max);
		if (sql_is(s, "PRIMARY") || sql_is(s, "FOREIGN") ||
		    sql_is(s, "CONSTRAINT"))
			sql_fail(s, tok, "%s: not known to this stand-in",
			    sql_tok(s)->s);
		f[n].name = sql_name(s);
		if (bq_field_find(f, n, f[n].name, strlen(f[n].name)) != NULL)
			sql_fail(s, tok, "Duplicate column name %s", f[n].name);
		f[n].type = sql_type(s);
		if (sql_is(s, "DEFAULT"))
			sql_fail(s, s->at,
			    "DEFAULT: not known to this "
			    "stand-in");
		if (sql_take(s, "NOT")) {
			sql_want(s, "NULL");
			f[n].required = true;
		}
		options(s, &o);
		f[n++].description = o.description;
		if (!sql_take(s, ","))
			break;
	}
	sql_want(s, ")");
	return n;
}

static void
partition_by(struct sql *s, struct bq_table *t)
{
	const char *name, *unit = "DAY";
	const struct bq_field *f;
	size_t tok;

	sql_want(s, "BY");
	tok = s->at;
	name = sql_name(s);
	if (sql_take(s, "(")) {
		bool trunc = strcasecmp(name, "DATE_TRUNC") == 0 ||
			     strcasecmp(name, "TIMESTAMP_TRUNC") == 0;

		if (!trunc && strcasecmp(name, "DATE") != 0)
			sql_fail(s, tok,
			    "PARTITION BY %s: not known to this "
			    "stand-in",
			    name);
		name = sql_name(s);
		if (trunc) {
			sql_want(s, ",");
			unit = sql_name(s);
		}
		sql_want(s, ")");
	}
	f = bq_field_find(t->field, t->n, name, strlen(name));
	if (f == NULL)
		sql_fail(s, tok, "Unrecognized name: %s", name);
	if (f->type->kind != T_DATE && f->type->kind != T_TIMESTAMP)
		sql_fail(s, tok,
		    "PARTITION BY expression must be a DATE or TIMESTAMP "
		    "column");
	t->part_type = sim_keep("%s", unit);
	t->part_field = f->name;
}

static void
cluster_by(struct sql *s, struct bq_table *t)
{
	sql_want(s, "BY");
	do {
		size_t tok = s->at;
		const char *name = sql_name(s);
		const struct bq_field *f =
		    bq_field_find(t->field, t->n, name, strlen(name));

		if (f == NULL)
			sql_fail(s, tok, "Unrecognized name: %s", name);
		if (t->clusters == 4)
			sql_fail(
			    s, tok, "Cannot cluster by more than 4 columns");
		if (f->type->kind == T_FLOAT64 || f->type->kind >= T_STRUCT)
			sql_fail(s, tok, "CLUSTER BY %s: of type %s", name,
			    bq_type_text(s->a, f->type));
		t->cluster[t->clusters++] = f->name;
	} while (sql_take(s, ","));
}

static void
ddl(struct sql *s, const char *kind, const char *done, const char *dataset,
    const char *table)
{
	struct bq_query *now = run_of(s)->now;

	now->kind = kind;
	now->ddl = done;
	now->ddl_dataset =
	    sim_keep("%s", dataset == NULL ? "_script" : dataset);
	now->ddl_table = sim_keep("%s", table);
}

static struct bq_dataset *
dataset_for(struct sql *s, struct path *p)
{
	struct bq_dataset *d;

	if (p->dataset == NULL)
		p->dataset = s->q->default_dataset;
	d = p->dataset == NULL ? NULL : bq_dataset_find(p->dataset);
	if (d == NULL || (s->q->location != NULL &&
			     strcasecmp(d->location, s->q->location) != 0))
		sql_raise(s, "notFound",
		    "Not found: Dataset %s:%s was not found in location %s",
		    s->q->project, p->dataset == NULL ? "" : p->dataset,
		    s->q->location == NULL ? "US" : s->q->location);
	return d;
}

static void
take_table(
    struct bq_table *t, const struct bq_table *shape, const struct options *o)
{
	t->field = bq_fields_copy(shape->field, shape->n);
	t->n = shape->n;
	t->part_type = shape->part_type;
	if (shape->part_field != NULL)
		t->part_field = sim_keep("%s", shape->part_field);
	t->clusters = shape->clusters;
	for (size_t i = 0; i < t->clusters; i++)
		t->cluster[i] = sim_keep("%s", shape->cluster[i]);
	if (o->description != NULL)
		t->description = sim_keep("%s", o->description);
	if (o->friendly != NULL)
		t->friendly = sim_keep("%s", o->friendly);
	if (o->part_expire != NULL)
		t->part_expire = sim_keep("%s", o->part_expire);
	t->part_filter = o->part_filter;
	if (o->has_expires)
		t->expires_ms = o->expires_ms;
}

static struct bq_table *
temp_add(struct sql *s, const char *id)
{
	struct bq_table *t;

	for (t = s->temps; t != NULL; t = t->next) {
		if (strcmp(t->id, id) == 0)
			sql_raise(s, "duplicate",
			    "Already Exists: Table _script.%s", id);
	}
	t = arena_alloc(&bq_forever, sizeof *t);
	t->id = sim_keep("%s", id);
	t->sql = sim_keep("tmp%u", ++counter);
	t->next = s->temps;
	s->temps = t;
	return t;
}

struct create {
	bool replace, unless, temp;
	struct path p;
	struct bq_dataset *d;
	struct bq_table *old;
};

static bool
create_head(struct sql *s, struct create *c, const char *kind)
{
	if (sql_take(s, "IF")) {
		sql_want(s, "NOT");
		sql_want(s, "EXISTS");
		c->unless = true;
	}
	c->p = sql_path(s);
	if (c->temp)
		return true;
	if (run_of(s)->in_tx)
		sql_raise(s, "invalidQuery",
		    "DDL statement is not supported in a transaction: CREATE "
		    "%s",
		    kind);
	c->d = dataset_for(s, &c->p);
	if (!bq_name_ok(c->p.table, true))
		sql_fail(s, c->p.tok, "Invalid table ID \"%s\".", c->p.table);
	c->old = bq_table_find(c->d, c->p.table);
	if (c->old != NULL && !c->replace && !c->unless)
		sql_raise(s, "duplicate", "Already Exists: Table %s:%s.%s",
		    s->q->project, c->d->id, c->p.table);
	return true;
}

static void
create_table(struct sql *s, struct create *c)
{
	struct bq_field *f = arena_alloc(s->a, 1000 * sizeof *f);
	struct bq_table shape = {.field = f}, *t;
	struct options o = {.description = NULL};
	struct rel q = {.n = 0};
	size_t query = 0;

	create_head(s, c, "TABLE");
	if (sql_is(s, "(")) {
		shape.n = column_list(s, f, 1000);
	} else {
		/* AS comes last, its columns are wanted first */
		size_t back = s->at, at = s->at;

		for (int depth = 0; s->tok[at].kind != TOK_END &&
				    !(depth == 0 && sql_is_at(s, at, "AS"));
		     at++)
			depth += sql_is_at(s, at, "(") - sql_is_at(s, at, ")");
		if (s->tok[at].kind == TOK_END)
			sql_fail(s, back,
			    "Syntax error: Expected \"(\" or "
			    "keyword AS");
		s->at = at + 1;
		q = sql_query(s);
		settle_types(s, &q);
		query = s->at;
		shape.field = q.field;
		shape.n = q.n;
		s->at = back;
	}
	if (sql_take(s, "PARTITION"))
		partition_by(s, &shape);
	if (sql_take(s, "CLUSTER"))
		cluster_by(s, &shape);
	options(s, &o);
	if (q.s != NULL) {
		sql_want(s, "AS");
		s->at = query;
	} else if (sql_is(s, "AS")) {
		sql_fail(s, s->at,
		    "columns and AS: not known to this "
		    "stand-in");
	}
	end_of(s);
	charge(s);
	ddl(s, q.s != NULL ? "CREATE_TABLE_AS_SELECT" : "CREATE_TABLE",
	    c->old == NULL ? "CREATE"
	    : c->unless    ? "SKIP"
			   : "REPLACE",
	    c->d == NULL ? NULL : c->d->id, c->p.table);
	if ((c->old != NULL && c->unless) || s->q->dry_run)
		return;
	if (c->temp) {
		t = temp_add(s, c->p.table);
		take_table(t, &shape, &o);
		make_table(s, t->sql, t->field, t->n);
		if (q.s != NULL)
			exec(s,
			    arena_fmt(s->a, "INSERT INTO %s %s", t->sql, q.s));
		return;
	}
	/* The rows first: they may come from the table that goes. */
	if (q.s != NULL) {
		exec(s, "DROP TABLE IF EXISTS m_new");
		make_table(s, "m_new", q.field, q.n);
		exec(s, arena_fmt(s->a, "INSERT INTO m_new %s", q.s));
	}
	if (c->old != NULL)
		bq_table_drop(c->old);
	t = bq_table_add(c->d, c->p.table);
	take_table(t, &shape, &o);
	bq_table_make(t);
	if (q.s != NULL)
		exec(s, arena_fmt(s->a,
			    "INSERT INTO %s SELECT * FROM m_new; DROP TABLE "
			    "m_new",
			    t->sql));
}

static void
create_view(struct sql *s, struct create *c)
{
	struct options o = {.description = NULL};
	struct bq_table shape = {.id = NULL}, *t;
	struct rel q;
	size_t from;

	create_head(s, c, "VIEW");
	options(s, &o);
	sql_want(s, "AS");
	from = sql_tok(s)->at;
	q = sql_query(s);
	settle_types(s, &q);
	end_of(s);
	ddl(s, "CREATE_VIEW",
	    c->old == NULL ? "CREATE"
	    : c->unless    ? "SKIP"
			   : "REPLACE",
	    c->d->id, c->p.table);
	if ((c->old != NULL && c->unless) || s->q->dry_run)
		return;
	if (c->old != NULL && c->old->view == NULL)
		sql_raise(s, "invalid",
		    "%s:%s.%s is not allowed for this operation because it is "
		    "currently a TABLE.",
		    s->q->project, c->d->id, c->p.table);
	if (c->old != NULL)
		bq_table_drop(c->old);
	t = bq_table_add(c->d, c->p.table);
	shape.field = q.field;
	shape.n = q.n;
	take_table(t, &shape, &o);
	t->expires_ms = o.has_expires ? o.expires_ms : 0;
	t->view =
	    sim_keep("%.*s", (int)(sql_tok(s)->at - from), s->text + from);
}

static void
create_schema(struct sql *s)
{
	bool unless = false;
	struct path p;

	if (sql_take(s, "IF")) {
		sql_want(s, "NOT");
		sql_want(s, "EXISTS");
		unless = true;
	}
	p = sql_path(s);
	if (sql_is(s, "OPTIONS"))
		sql_fail(s, s->at,
		    "OPTIONS of a schema: not known to this "
		    "stand-in");
	end_of(s);
	ddl(s, "CREATE_SCHEMA", "CREATE", p.table, "");
	if (bq_dataset_find(p.table) != NULL) {
		if (!unless)
			sql_raise(s, "duplicate",
			    "Already Exists: Dataset %s:%s", s->q->project,
			    p.table);
		return;
	}
	if (!s->q->dry_run)
		bq_dataset_add(
		    p.table, s->q->location == NULL ? "US" : s->q->location);
}

static void
create(struct sql *s)
{
	struct create c = {.temp = false};

	sql_want(s, "CREATE");
	if (sql_take(s, "OR")) {
		sql_want(s, "REPLACE");
		c.replace = true;
	}
	c.temp = sql_take(s, "TEMP") || sql_take(s, "TEMPORARY");
	if (sql_take(s, "TABLE"))
		create_table(s, &c);
	else if (sql_take(s, "VIEW"))
		create_view(s, &c);
	else if (sql_take(s, "SCHEMA"))
		create_schema(s);
	else
		sql_fail(s, s->at, "CREATE %s: not known to this stand-in",
		    sql_tok(s)->s);
}

static void
drop(struct sql *s)
{
	bool view, unless = false;
	struct bq_table *t;
	struct path p;

	sql_want(s, "DROP");
	view = sql_take(s, "VIEW");
	if (!view)
		sql_want(s, "TABLE");
	if (sql_take(s, "IF")) {
		sql_want(s, "EXISTS");
		unless = true;
	}
	p = sql_path(s);
	end_of(s);
	if (p.dataset == NULL) {
		for (struct bq_table **at = &s->temps; *at != NULL;
		     at = &(*at)->next) {
			if (strcmp((*at)->id, p.table) != 0)
				continue;
			exec(s, arena_fmt(s->a, "DROP TABLE %s", (*at)->sql));
			*at = (*at)->next;
			ddl(s, "DROP_TABLE", "DROP", NULL, p.table);
			return;
		}
	}
	if (run_of(s)->in_tx)
		sql_raise(s, "invalidQuery",
		    "DDL statement is not supported in a transaction: DROP");
	t = bq_table_find(dataset_for(s, &p), p.table);
	if (t == NULL && !unless)
		sql_raise(s, "notFound", "Not found: Table %s:%s.%s",
		    s->q->project, p.dataset, p.table);
	if (t != NULL && (t->view != NULL) != view)
		sql_raise(s, "invalid", "Cannot drop %s:%s.%s: it is a %s",
		    s->q->project, p.dataset, p.table,
		    t->view != NULL ? "VIEW" : "TABLE");
	ddl(s, view ? "DROP_VIEW" : "DROP_TABLE", t == NULL ? "SKIP" : "DROP",
	    p.dataset, p.table);
	if (t != NULL && !s->q->dry_run)
		bq_table_drop(t);
}

static void
alter(struct sql *s)
{
	struct bq_field *f = arena_alloc(s->a, 1000 * sizeof *f);
	struct options o = {.description = NULL};
	struct bq_table *t;
	size_t n;

	sql_want(s, "ALTER");
	sql_want(s, "TABLE");
	if (sql_take(s, "IF"))
		sql_want(s, "EXISTS");
	t = target(s);
	if (run_of(s)->in_tx)
		sql_raise(s, "invalidQuery",
		    "DDL statement is not supported in a transaction: ALTER");
	memcpy(f, t->field, t->n * sizeof *f);
	n = t->n;
	if (sql_take(s, "SET")) {
		options(s, &o);
		end_of(s);
	} else {
		do {
			bool unless = false;
			const struct bq_field *old;

			sql_want(s, "ADD");
			sql_want(s, "COLUMN");
			if (sql_take(s, "IF")) {
				sql_want(s, "NOT");
				sql_want(s, "EXISTS");
				unless = true;
			}
			memset(&f[n], 0, sizeof *f);
			f[n].name = sql_name(s);
			f[n].type = sql_type(s);
			if (sql_is(s, "NOT"))
				sql_fail(s, s->at,
				    "Cannot add a REQUIRED "
				    "column to a table");
			old = bq_field_find(f, n, f[n].name, strlen(f[n].name));
			if (old != NULL && !unless)
				sql_fail(s, s->at, "Column already exists: %s",
				    f[n].name);
			n += old == NULL;
		} while (sql_take(s, ",") && n < 1000);
		end_of(s);
	}
	ddl(s, "ALTER_TABLE", "ALTER", t->dataset->id, t->id);
	if (s->q->dry_run)
		return;
	if (o.has_expires)
		t->expires_ms = o.expires_ms;
	if (o.description != NULL)
		t->description = sim_keep("%s", o.description);
	if (n > t->n)
		bq_table_fields(t, f, n);
	bq_table_touch(t);
}

/* ---- scripts ---- */

static void
begin(struct sql *s)
{
	struct run *r = run_of(s);

	s->at++;
	if (!sql_take(s, "TRANSACTION") && !sql_is(s, ";"))
		sql_fail(s, s->at, "BEGIN ... END: not known to this stand-in");
	end_of(s);
	if (r->in_tx)
		sql_raise(
		    s, "invalidQuery", "Transaction is already in progress");
	r->now->kind = "BEGIN_TRANSACTION";
	exec(s, "SAVEPOINT tx");
	r->in_tx = true;
}

static void
leave(struct run *r, bool commit)
{
	r->in_tx = false;
	if (!commit)
		bq_do("ROLLBACK TO tx");
	bq_do("RELEASE tx");
	for (size_t i = 0; i < r->n_touched && commit; i++)
		bq_table_touch(r->touched[i]);
	r->n_touched = 0;
	for (struct bq_query *c = r->q->child; c != NULL && !commit;
	     c = c->next) {
		if (c->result != NULL &&
		    !bq_number("SELECT EXISTS(SELECT 1 FROM sqlite_schema "
			       "WHERE name = '%s')",
			c->result)) {
			c->result = NULL;
			c->rows = 0;
		}
	}
}

static void
commit(struct sql *s)
{
	struct run *r = run_of(s);
	bool ok = sql_is(s, "COMMIT");

	s->at++;
	sql_take(s, "TRANSACTION");
	end_of(s);
	if (!r->in_tx)
		sql_raise(
		    s, "invalidQuery", "There is no transaction in progress");
	r->now->kind = ok ? "COMMIT_TRANSACTION" : "ROLLBACK_TRANSACTION";
	leave(r, ok);
}

static void
assert_that(struct sql *s)
{
	size_t tok = s->at++;
	const char *text = "Assertion failed";
	struct ex e = sql_bool(s, "ASSERT");

	if (sql_take(s, "AS")) {
		if (sql_tok(s)->kind != TOK_STRING)
			sql_fail(s, s->at,
			    "Syntax error: Expected string "
			    "literal");
		text = sql_tok(s)->s;
		s->at++;
	}
	end_of(s);
	charge(s);
	run_of(s)->now->kind = "ASSERT";
	if (s->q->dry_run)
		perform(s, arena_fmt(s->a, "SELECT %s", e.s));
	else if (value_of(s, arena_fmt(s->a, "SELECT %s", e.s)) != 1)
		sql_fail(s, tok, "%s", text);
}

static void
set_value(struct sql *s, struct var *v, struct ex e)
{
	sqlite3_stmt *st;
	const char *text = arena_fmt(
	    s->a, "SELECT quote(%s)", sql_convert(s, e, v->value.t).s);

	if (sqlite3_prepare_v2(bq_db(), text, -1, &st, NULL) != SQLITE_OK)
		sql_raise(s, "invalidQuery", "%s", sqlite3_errmsg(bq_db()));
	if (sqlite3_step(st) == SQLITE_ROW) {
		text = arena_fmt(
		    s->a, "%s", (const char *)sqlite3_column_text(st, 0));
		sqlite3_finalize(st);
	} else {
		text = sim_keep("%s", sqlite3_errmsg(bq_db()));
		sqlite3_finalize(st);
		sql_raise(s, "invalidQuery", "%s", text);
	}
	v->value.s = text;
}

static void
declare(struct sql *s)
{
	struct var *v = NULL, *last = s->vars;

	s->at++;
	do {
		v = arena_alloc(s->a, sizeof *v);
		v->name = sql_name(s);
		v->next = s->vars;
		s->vars = v;
	} while (sql_take(s, ","));
	v->value.t = NULL;
	if (!sql_is(s, "DEFAULT"))
		v->value.t = sql_type(s);
	if (sql_take(s, "DEFAULT")) {
		struct ex e = sql_expr(s);

		if (v->value.t == NULL)
			v->value.t = e.t;
		charge(s);
		set_value(s, v, e);
	} else {
		v->value.s = "NULL";
	}
	end_of(s);
	for (struct var *o = v->next; o != last; o = o->next)
		o->value = v->value;
	run_of(s)->now->kind = "SCRIPT";
}

static void
set(struct sql *s)
{
	const char *name;
	struct var *v = s->vars;
	size_t tok = ++s->at;

	name = sql_name(s);
	while (v != NULL && strcasecmp(v->name, name) != 0)
		v = v->next;
	if (v == NULL)
		sql_fail(s, tok, "Undeclared variable: %s", name);
	sql_want(s, "=");
	{
		struct ex e = sql_expr(s);

		end_of(s);
		charge(s);
		set_value(s, v, e);
	}
	run_of(s)->now->kind = "SCRIPT";
}

static void
statement(struct sql *s)
{
	static const struct {
		const char *word;
		void (*run)(struct sql *s);
	} known[] = {{"SELECT", query}, {"WITH", query}, {"(", query},
	    {"INSERT", insert}, {"UPDATE", update}, {"DELETE", delete},
	    {"MERGE", merge}, {"TRUNCATE", truncate_table}, {"CREATE", create},
	    {"DROP", drop}, {"ALTER", alter}, {"BEGIN", begin},
	    {"COMMIT", commit}, {"ROLLBACK", commit}, {"ASSERT", assert_that},
	    {"DECLARE", declare}, {"SET", set}};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (sql_is(s, known[i].word)) {
			known[i].run(s);
			return;
		}
	}
	sql_fail(s, s->at, "Syntax error: Unexpected %s%s",
	    sql_tok(s)->kind == TOK_END ? "end of script"
					: "keyword or identifier ",
	    sql_tok(s)->s);
}

static size_t
count_statements(const struct sql *s)
{
	size_t n = 0;
	bool any = false;

	for (size_t i = 0; i < s->n; i++) {
		bool end = s->tok[i].kind == TOK_END || sql_is_at(s, i, ";");

		n += end && any;
		any = !end;
	}
	return n;
}

static void
run_all(struct run *r)
{
	struct sql *s = &r->s;
	struct bq_query **last = &r->q->child;

	sql_lex(s, r->q->text);
	r->script = count_statements(s) > 1;
	r->now = r->q;
	if (r->script)
		r->q->kind = "SCRIPT";
	for (;;) {
		while (sql_take(s, ";"))
			;
		if (sql_tok(s)->kind == TOK_END)
			break;
		if (r->script) {
			r->now = arena_alloc(&bq_forever, sizeof *r->now);
			r->now->inserted = -1;
			r->now->text = "";
			*last = r->now;
			last = &r->now->next;
		}
		s->uses = NULL;
		s->ctes = NULL;
		s->scope = NULL;
		s->in_agg = false;
		s->depth = 0;
		s->now_us = bq_now_us();
		if (sql_is(s, "BEGIN") || sql_is(s, "COMMIT") ||
		    sql_is(s, "ROLLBACK")) {
			statement(s);
			continue;
		}
		bq_do("SAVEPOINT st");
		r->in_statement = true;
		statement(s);
		r->in_statement = false;
		bq_do("RELEASE st");
	}
	if (s->n == 1)
		sql_fail(s, 0, "Syntax error: Unexpected end of script");
	if (r->in_tx)
		leave(r, false); /* never committed */
}

static void
guarded(struct run *r)
{
	jmp_buf fail;

	r->s.fail = &fail;
	if (setjmp(fail) == 0) {
		run_all(r);
		return;
	}
	r->q->reason = r->now->reason = r->s.reason;
	r->q->message = r->now->message = r->s.message;
	if (r->in_statement) {
		bq_do("ROLLBACK TO st");
		bq_do("RELEASE st");
	}
	if (r->in_tx)
		leave(r, false);
}

void
bq_run(struct bq_query *q)
{
	struct arena a = {NULL};
	struct bufs *bufs = NULL;
	struct run r = {
	    .s = {.a = &a, .bufs = &bufs, .q = q}, .q = q, .now = q};

	q->inserted = -1;
	bq_db();
	guarded(&r);
	for (struct bq_table *t = r.s.temps; t != NULL; t = t->next)
		bq_do("DROP TABLE IF EXISTS %s", t->sql);
	for (; bufs != NULL; bufs = bufs->next)
		buf_release(&bufs->b);
	arena_release(&a);
}
