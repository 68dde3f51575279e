/*
 * CREATE, DROP and ALTER of GoogleSQL.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bigquery_run.h"

#define S(k) (&bq_scalar[T_##k])

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
			    run_value(
				s, arena_fmt(s->a, "SELECT %s",
				       sql_convert(s, e, S(TIMESTAMP)).s)) /
			    1000;
		} else if (strcasecmp(name, "partition_expiration_days") == 0) {
			o->part_expire = arena_fmt(s->a, "%lld",
			    86400000 * (long long)run_value(s,
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
	t->sql = sim_keep("tmp%u", run_number());
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
		run_settle_types(s, &q);
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
	run_end(s);
	run_charge(s);
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
		run_make_table(s, t->sql, t->field, t->n);
		if (q.s != NULL)
			run_exec(s,
			    arena_fmt(s->a, "INSERT INTO %s %s", t->sql, q.s));
		return;
	}
	/* The rows first: they may come from the table that goes. */
	if (q.s != NULL) {
		run_exec(s, "DROP TABLE IF EXISTS m_new");
		run_make_table(s, "m_new", q.field, q.n);
		run_exec(s, arena_fmt(s->a, "INSERT INTO m_new %s", q.s));
	}
	if (c->old != NULL)
		bq_table_drop(c->old);
	t = bq_table_add(c->d, c->p.table);
	take_table(t, &shape, &o);
	bq_table_make(t);
	if (q.s != NULL)
		run_exec(
		    s, arena_fmt(s->a,
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
	run_settle_types(s, &q);
	run_end(s);
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
	run_end(s);
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

void
ddl_create(struct sql *s)
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

void
ddl_drop(struct sql *s)
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
	run_end(s);
	if (p.dataset == NULL) {
		for (struct bq_table **at = &s->temps; *at != NULL;
		     at = &(*at)->next) {
			if (strcmp((*at)->id, p.table) != 0)
				continue;
			run_exec(
			    s, arena_fmt(s->a, "DROP TABLE %s", (*at)->sql));
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

void
ddl_alter(struct sql *s)
{
	struct bq_field *f = arena_alloc(s->a, 1000 * sizeof *f);
	struct options o = {.description = NULL};
	struct bq_table *t;
	size_t n;

	sql_want(s, "ALTER");
	sql_want(s, "TABLE");
	if (sql_take(s, "IF"))
		sql_want(s, "EXISTS");
	t = dml_target(s);
	if (run_of(s)->in_tx)
		sql_raise(s, "invalidQuery",
		    "DDL statement is not supported in a transaction: ALTER");
	memcpy(f, t->field, t->n * sizeof *f);
	n = t->n;
	if (sql_take(s, "SET")) {
		options(s, &o);
		run_end(s);
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
		run_end(s);
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
