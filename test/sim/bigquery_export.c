/*
 * Tables of the GA4 export for SQL: their rows are loaded when a query asks for
 * them, and anew when they changed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bigquery_sql.h"
#include "diag.h"
#include "exits.h"

static struct shard {
	struct bq_table t;
	struct bq_dataset d;
	char etag[40];
	int64_t rows;
	struct shard *next;
} * shards;

static struct shard *
shard_of(const char *dataset, const char *id)
{
	static unsigned count;
	struct shard *h = shards;
	struct json_span fields = export_fields();
	const char *why;

	while (h != NULL &&
	       (strcmp(h->d.id, dataset) != 0 || strcmp(h->t.id, id) != 0))
		h = h->next;
	if (h != NULL)
		return h;
	h = arena_alloc(&bq_forever, sizeof *h);
	h->d.id = sim_keep("%s", dataset);
	h->d.location = sim_setting("bq_location", "EU");
	h->t.dataset = &h->d;
	h->t.id = sim_keep("%s", id);
	h->t.sql = sim_keep("ga%u", ++count);
	h->t.field = bq_fields_read(&fields, &bq_forever, &h->t.n, &why);
	if (h->t.field == NULL)
		die(RC_INTERNAL, NULL, "the export's schema: %s", why);
	h->next = shards;
	shards = h;
	return h;
}

static void
load_row(struct sql *s, const struct bq_table *t, sqlite3_stmt *st,
    const char *row, struct arena *m)
{
	struct json_span o = json_value(row), k, v;
	struct json_iter it;
	const char *why;

	sqlite3_clear_bindings(st);
	json_iter_init(&it, &o);
	while (json_next_member(&it, &k, &v)) {
		const struct bq_field *f =
		    bq_field_find(t->field, t->n, k.p + 1, k.len - 2);

		if (f == NULL)
			continue; /* newer than the schema we have */
		why = bq_bind_json(st, (int)(f - t->field) + 1, f, &v, m);
		if (why != NULL) {
			sqlite3_finalize(st);
			arena_release(m);
			sql_raise(s, "invalid", "%s.%s: %s: %s", t->dataset->id,
			    t->id, f->name, why);
		}
	}
	if (sqlite3_step(st) != SQLITE_DONE)
		die(RC_INTERNAL, NULL, "%s", sqlite3_errmsg(bq_db()));
	sqlite3_reset(st);
	arena_release(m);
}

/* A statement that failed took back what was loaded for it. */
static bool
is_there(const struct shard *h, const char *etag)
{
	return bq_number("SELECT EXISTS(SELECT 1 FROM sqlite_schema WHERE name "
			 "= '%s')",
		   h->t.sql) &&
	       strcmp(h->etag, etag) == 0 &&
	       bq_number("SELECT count(*) FROM %s", h->t.sql) == h->rows;
}

struct bq_table *
sql_export(struct sql *s, const char *dataset, const char *id)
{
	const char *text, *etag, *sql = "";
	struct arena m = {NULL};
	struct shard *h;
	sqlite3_stmt *st;
	size_t len;

	if (s->q->location != NULL &&
	    strcasecmp(s->q->location, sim_setting("bq_location", "EU")) != 0)
		sql_raise(s, "notFound",
		    "Not found: Dataset %s:%s was not found in location %s",
		    s->q->project, dataset, s->q->location);
	if (!export_rows(dataset, id, &text, &len, &etag))
		return NULL;
	h = shard_of(dataset, id);
	if (is_there(h, etag))
		return &h->t;
	bq_do("DROP TABLE IF EXISTS %s", h->t.sql);
	bq_table_make(&h->t);
	for (size_t i = 0; i < h->t.n; i++)
		sql = arena_fmt(s->a, "%s%s?", sql, i > 0 ? "," : "");
	sql = arena_fmt(s->a, "INSERT INTO %s VALUES (%s)", h->t.sql, sql);
	if (sqlite3_prepare_v2(bq_db(), sql, -1, &st, NULL) != SQLITE_OK)
		die(RC_INTERNAL, NULL, "%s", sqlite3_errmsg(bq_db()));
	for (size_t i = 0; i < len;) {
		const char *nl = memchr(text + i, '\n', len - i);
		size_t n = nl == NULL ? len - i : (size_t)(nl - text) - i;

		if (n > 0)
			load_row(s, &h->t, st, text + i, &m);
		i += n + 1;
	}
	sqlite3_finalize(st);
	h->rows = bq_number("SELECT count(*) FROM %s", h->t.sql);
	snprintf(h->etag, sizeof h->etag, "%s", etag);
	return &h->t;
}
