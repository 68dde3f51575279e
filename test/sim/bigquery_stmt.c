/*
 * Statements and scripts of GoogleSQL: each is translated and run in turn; a
 * transaction that fails leaves nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bigquery_run.h"

#define S(k) (&bq_scalar[T_##k])
#define MB ((int64_t)1 << 20)

struct run *
run_of(struct sql *s)
{
	return (struct run *)(void *)s; /* it is the first member */
}

unsigned
run_number(void)
{
	static unsigned counter;

	return ++counter;
}

/* ---- SQLite ---- */

void
run_exec(struct sql *s, const char *text)
{
	char *why = NULL;

	if (sqlite3_exec(bq_db(), text, NULL, NULL, &why) != SQLITE_OK) {
		const char *kept = sim_keep("%s", why);

		sqlite3_free(why);
		sql_raise(s, "invalidQuery", "%s", kept);
	}
}

/* The statement is sound for SQLite, too; run it unless it is for show. */
void
run_perform(struct sql *s, const char *text)
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
		run_exec(s, text);
	}
}

int64_t
run_value(struct sql *s, const char *text)
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

void
run_touch(struct sql *s, struct bq_table *t)
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

void
run_charge(struct sql *s)
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

void
run_use_all(struct sql *s, struct bq_table *t)
{
	struct col c = {.table = t};

	for (c.index = 0; c.index < t->n; c.index++)
		sql_use(s, &c);
}

/* ---- SELECT ---- */

void
run_make_table(
    struct sql *s, const char *name, const struct bq_field *f, size_t n)
{
	const char *text = "";

	for (size_t i = 0; i < n; i++)
		text = arena_fmt(
		    s->a, "%s%s\"%s\"", text, i > 0 ? "," : "", f[i].name);
	run_exec(s, arena_fmt(s->a, "CREATE TABLE %s (%s)", name, text));
}

void
run_end(struct sql *s)
{
	const struct tok *t = sql_tok(s);

	if (t->kind != TOK_END && !sql_is(s, ";"))
		sql_fail(s, s->at,
		    "Syntax error: Expected end of input but got %s\"%s\"",
		    t->kind == TOK_WORD ? "keyword or identifier " : "", t->s);
}

void
run_settle_types(struct sql *s, struct rel *q)
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

	run_end(s);
	run_settle_types(s, &q);
	run_charge(s);
	now->kind = "SELECT";
	now->field = bq_fields_copy(q.field, q.n);
	now->n = q.n;
	if (s->q->dry_run) {
		run_perform(s, q.s);
		return;
	}
	name = sim_keep("res%u", run_number());
	run_make_table(s, name, q.field, q.n);
	run_perform(s, arena_fmt(s->a, "INSERT INTO %s %s", name, q.s));
	now->rows = sqlite3_changes(bq_db());
	now->result = name;
}

/* ---- scripts ---- */

static void
begin(struct sql *s)
{
	struct run *r = run_of(s);

	s->at++;
	if (!sql_take(s, "TRANSACTION") && !sql_is(s, ";"))
		sql_fail(s, s->at, "BEGIN ... END: not known to this stand-in");
	run_end(s);
	if (r->in_tx)
		sql_raise(
		    s, "invalidQuery", "Transaction is already in progress");
	r->now->kind = "BEGIN_TRANSACTION";
	run_exec(s, "SAVEPOINT tx");
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
	run_end(s);
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
	run_end(s);
	run_charge(s);
	run_of(s)->now->kind = "ASSERT";
	if (s->q->dry_run)
		run_perform(s, arena_fmt(s->a, "SELECT %s", e.s));
	else if (run_value(s, arena_fmt(s->a, "SELECT %s", e.s)) != 1)
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
		run_charge(s);
		set_value(s, v, e);
	} else {
		v->value.s = "NULL";
	}
	run_end(s);
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

		run_end(s);
		run_charge(s);
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
	    {"INSERT", dml_insert}, {"UPDATE", dml_update},
	    {"DELETE", dml_delete}, {"MERGE", dml_merge},
	    {"TRUNCATE", dml_truncate}, {"CREATE", ddl_create},
	    {"DROP", ddl_drop}, {"ALTER", ddl_alter}, {"BEGIN", begin},
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
