/* Tables without batch rules: loaded beside, then merged by their key. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apps.h"
#include "diag.h"
#include "exits.h"
#include "load.h"
#include "mem.h"
#include "sql.h"
#include "target.h"

enum { TEXT_MAX = 1 << 20, DAYS = 1 };

/* ---- the statement ---- */

struct pieces {
	struct buf table, columns, key, match, set, values;
};

static void
join(struct buf *out, const char *comma, const char *fmt, const char *name)
{
	if (out->len > 0)
		buf_str(out, comma);
	for (; *fmt != '\0'; fmt++)
		if (*fmt == '%')
			buf_fmt(out, "`%s`", name);
		else
			buf_char(out, *fmt);
}

static void
pieces_of(struct load *l, struct pieces *p)
{
	bool ops = l->dataset == bq_ops(l->b);

	buf_init(&p->table, TEXT_MAX);
	buf_init(&p->columns, TEXT_MAX);
	buf_init(&p->key, TEXT_MAX);
	buf_init(&p->match, TEXT_MAX);
	buf_init(&p->set, TEXT_MAX);
	buf_init(&p->values, TEXT_MAX);
	buf_fmt(
	    &p->table, "analytics_%s.%s", ops ? "ops" : "core", l->run.table);
	rows_names(&l->rows, &p->columns, "");
	rows_names(&l->rows, &p->values, "s.");
	for (size_t i = 0; i < l->rows.n; i++) {
		const struct column *c = &l->rows.col[i];

		if (c->key)
			join(&p->key, ", ", "%", c->name);
		if (c->key)
			join(&p->match, " AND ", "t.% = s.%", c->name);
		else
			join(&p->set, ", ", "% = s.%", c->name);
	}
}

static void
pieces_release(struct pieces *p)
{
	buf_release(&p->table);
	buf_release(&p->columns);
	buf_release(&p->key);
	buf_release(&p->match);
	buf_release(&p->set);
	buf_release(&p->values);
}

/* The file with what its braces stand for. */
static void
fill_in(struct buf *out, const char *file, const struct pieces *p)
{
	const struct {
		const char *mark;
		const struct buf *with;
	} marks[] = {{"{table}", &p->table}, {"{columns}", &p->columns},
	    {"{key}", &p->key}, {"{match}", &p->match}, {"{set}", &p->set},
	    {"{values}", &p->values}};
	struct buf all = BUF_INIT(TEXT_MAX);
	const char *at;

	sql_text(&all, file);
	at = buf_cstr(&all);
	while (*at != '\0') {
		size_t n = strcspn(at, "{"), i = 0;

		buf_add(out, at, n);
		at += n;
		while (*at == '{' && i < sizeof marks / sizeof *marks &&
		       strncmp(at, marks[i].mark, strlen(marks[i].mark)) != 0)
			i++;
		if (*at == '{' && i < sizeof marks / sizeof *marks) {
			buf_add(out, marks[i].with->p, marks[i].with->len);
			at += strlen(marks[i].mark);
		} else if (*at == '{') {
			buf_char(out, *at++);
		}
	}
	buf_release(&all);
}

/* A key alone: what matches is left as it is. */
static void
without_update(struct buf *sql)
{
	static const char line[] = "WHEN MATCHED THEN UPDATE SET \n";
	char *at = strstr(buf_cstr(sql), line);

	if (at == NULL)
		return;
	memmove(at, at + sizeof line - 1,
	    (size_t)(sql->p + sql->len - at) - (sizeof line - 1));
	sql->len -= sizeof line - 1;
}

static int
merge(struct load *l, struct slot *s)
{
	struct buf sql = BUF_INIT(TEXT_MAX);
	struct args a = {.slot = s, .p = &l->run.policy};
	struct pieces p;
	struct script sc;
	struct bq_job j;
	char id[BQ_ID];
	int rc;

	pieces_of(l, &p);
	fill_in(&sql, l->run.replaces ? "replace" : "merge", &p);
	without_update(&sql);
	script_init(&sc);
	script_add(&sc, buf_cstr(&sql), 1, &a);
	script_id(l->b, &sc, "bqload_merge", "", id);
	rc = script_run(l->b, &sc, id, true, &j);
	script_release(&sc);
	pieces_release(&p);
	buf_release(&sql);
	return rc;
}

/* ---- the rows ---- */

/*
 * The names hold what no other run has: loaded again, the same rows may mean
 * something else, because of what came between. To load and merge twice is
 * harmless, by the key.
 */
static int
load_beside(struct load *l, struct bq_pack *pack, struct slot *s)
{
	struct buf schema = BUF_INIT(TEXT_MAX);
	char name[BQ_ID], id[BQ_ID];
	struct bq_load in = {.base = id,
	    .dataset = bq_ops(l->b),
	    .schema = &schema,
	    .pack = pack,
	    .state = l->state};
	struct bq_job j;
	int rc;

	bq_random_id(name, "stage");
	bq_random_id(id, "bqload");
	slot_set(&s->stage, name);
	in.table = s->stage;
	rows_schema(&l->rows, &schema);
	rc = target_make(l->b, bq_ops(l->b), s->stage, &schema, DAYS);
	if (rc == RC_OK && pack->rows > 0) {
		rc = bq_load_run(l->b, &in, &j);
	}
	buf_release(&schema);
	return rc;
}

int
plain_load(struct load *l, struct bq_pack *pack, struct slot *s)
{
	int rc = RC_OK;

	if (pack->rows > 0 || l->run.replaces) {
		rc = load_beside(l, pack, s);
		if (rc == RC_OK)
			rc = merge(l, s);
		if (s->stage != NULL && rc != RC_OK) {
			char *why = xstrdup(bq_why(l->b));

			target_drop(l->b, bq_ops(l->b), s->stage);
			bq_fail(l->b, rc, "%s", why);
			free(why);
		} else if (s->stage != NULL) {
			target_drop(l->b, bq_ops(l->b), s->stage);
		}
	}
	if (rc != RC_OK) {
		warn_msg(l->run.table, "not loaded: %s", bq_why(l->b));
		slot_refuse(s, bq_why(l->b));
		return rc;
	}
	s->state = "loaded";
	return RC_OK;
}

/* ---- dim_apps ---- */

struct apps {
	struct load *l;
	struct bq_pack *pack;
	uint64_t line;
};

static void
put(struct jsonw *w, const char *name, const char *text)
{
	struct buf v = BUF_INIT(TEXT_MAX);

	if (text == NULL)
		return;
	json_write_clean(&v, text, strlen(text));
	jsonw_raw(w, name, v.p, v.len);
	buf_release(&v);
}

static int
add_app(void *ctx, const struct app *a)
{
	struct apps *in = ctx;
	struct buf line = BUF_INIT(TEXT_MAX);
	struct jsonw w;

	jsonw_begin(&w, &line, '{');
	put(&w, "app_id", a->id);
	put(&w, "name", a->name);
	put(&w, "platforms", a->platforms);
	put(&w, "time_zone", a->zone);
	put(&w, "currency", a->currency);
	put(&w, "owner", a->owner);
	put(&w, "critical_kpis", a->critical);
	put(&w, "config", a->config);
	jsonw_u64(&w, "weir_line", ++in->line);
	jsonw_end(&w);
	bq_pack_row(in->pack, line.p, line.len);
	buf_release(&line);
	return RC_OK;
}

int
plain_apps(struct load *l, const char *conf, uint64_t *count)
{
	struct load mine = {.b = l->b, .state = l->state};
	struct bq_pack pack;
	struct apps in = {&mine, &pack, 0};
	struct slot *s;
	int rc = bq_pack_begin(&pack, !l->no_gzip);

	if (rc != RC_OK)
		return rc;
	mine.run.table = "dim_apps";
	mine.run.policy = l->run.policy;
	mine.run.replaces = true;
	rc = apps_read(conf, add_app, &in, count);
	if (rc == RC_OK)
		rc = load_open(&mine);
	if (rc == RC_OK)
		rc = bq_pack_end(&pack);
	if (rc == RC_OK) {
		s = receipt_slot(
		    &mine.run.receipt, mine.run.table, NULL, NULL, NULL, NULL);
		rc = plain_load(&mine, &pack, s);
	}
	bq_pack_drop(&pack);
	receipt_release(&mine.run.receipt);
	load_close(&mine);
	return rc;
}
