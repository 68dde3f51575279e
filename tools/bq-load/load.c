#include "load.h"

#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "target.h"

enum { SCHEMA_MAX = 1 << 20 };

/* ---- the table ---- */

static bool
kept_by_us(const char *name)
{
	static const char *const names[] = {"batches", "lineage",
	    "restatements", "quarantine", "kpi_daily", "fact_kpi_daily_live"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return strncmp(name, "stage_", 6) == 0;
}

/* The tables of the works lie in their own dataset. */
static const char *
dataset_of(const struct bq *b, const char *table)
{
	static const char *const names[] = {
	    "pipeline_runs", "findings", "freezes"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(table, names[i]) == 0)
			return bq_ops(b);
	return bq_core(b);
}

/* --schema: the table is made, or gets what it lacks. */
static int
apply_schema(struct load *l, int found, const struct target *t)
{
	struct buf text = BUF_INIT(SCHEMA_MAX);
	struct json_span all;
	struct json_error e;
	int rc = file_read(l->schema, SCHEMA_MAX / 2, &text);

	if (rc != RC_OK)
		goto out;
	rc = RC_CONFIG;
	if (!json_check(text.p, text.len, false, &e)) {
		warn_at(l->schema, 0, e.byte, "%s", e.reason);
		goto out;
	}
	buf_grow(&text, JSON_PAD);
	all = json_value(buf_cstr(&text));
	if (all.type == JSON_OBJECT)
		all = json_member(&all, "fields");
	if (all.type != JSON_ARRAY) {
		warn_msg(l->schema, "neither an array of fields nor an object "
				    "that has one as its member fields");
		goto out;
	}
	if (found == RC_NOTREADY) {
		struct buf fields = BUF_INIT(SCHEMA_MAX);

		buf_add(&fields, all.p, all.len);
		rc = target_make(l->b, l->dataset, l->run.table, &fields, 0);
		buf_release(&fields);
	} else {
		rc = target_complete(l->b, l->dataset, l->run.table, t, &all);
	}
	if (rc != RC_OK)
		warn_msg(l->schema, "%s", bq_why(l->b));
out:
	buf_release(&text);
	return rc;
}

static int
open_rows(struct load *l, const struct target *t)
{
	int rc;

	if (t->view) {
		warn_msg(l->run.table, "is a view, and not to be loaded");
		return RC_CONTRACT;
	}
	rc = rows_open(&l->rows, l->run.table, &t->fields, l->run.key);
	l->have_rows = true;
	return rc;
}

static int
settle_mode(struct load *l)
{
	bool key = false;

	for (size_t i = 0; i < l->rows.n; i++)
		key = key || l->rows.col[i].key;
	if (!l->run.versioned && (l->run.batch != NULL || l->run.stage)) {
		warn_msg(l->run.batch != NULL ? "--batch" : "--stage",
		    "table %s is not under batch rules", l->run.table);
		return RC_USAGE;
	}
	if (!l->run.versioned && !key && !l->run.replaces) {
		warn_msg("--key",
		    "is needed to load table %s, or --mode replace",
		    l->run.table);
		return RC_USAGE;
	}
	return RC_OK;
}

int
load_open(struct load *l)
{
	struct target t = {0};
	int rc;

	l->run.versioned = strcmp(l->run.table, "fact_kpi_daily") == 0;
	l->dataset = dataset_of(l->b, l->run.table);
	if (kept_by_us(l->run.table)) {
		warn_msg(l->run.table, "is not to be loaded");
		return RC_CONTRACT;
	}
	rc = target_get(&t, l->b, l->dataset, l->run.table);
	if (l->schema != NULL && (rc == RC_OK || rc == RC_NOTREADY)) {
		rc = apply_schema(l, rc, &t);
		target_release(&t);
		if (rc != RC_OK)
			return rc;
		rc = target_get(&t, l->b, l->dataset, l->run.table);
	}
	if (rc == RC_NOTREADY) {
		warn_msg(l->run.table,
		    "there is no such table in %s (see --setup, --schema)",
		    l->dataset);
		return RC_CONTRACT;
	}
	if (rc != RC_OK) {
		warn_msg(l->run.table, "%s", bq_why(l->b));
		return rc;
	}
	rc = open_rows(l, &t);
	target_release(&t);
	return rc == RC_OK ? settle_mode(l) : rc;
}

/* ---- packs ---- */

static void
drop_packs(struct load *l)
{
	for (size_t i = 0; i < l->packs; i++)
		bq_pack_drop(&l->pack[i]);
	l->packs = 0;
}

void
load_close(struct load *l)
{
	drop_packs(l);
	free(l->pack);
	if (l->have_rows)
		rows_close(&l->rows);
}

/* ---- the engine ---- */

/* It stands in SQL between backticks. */
static bool
name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= 300 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == n;
}

static int
place(struct loader *run, const struct batch *b)
{
	struct load *l = run->ctx;
	const struct slot *s = run->cur;
	int rc;

	(void)b;
	l->pack = xreallocarray(l->pack, l->packs + 1, sizeof *l->pack);
	rc = bq_pack_begin(&l->pack[l->packs], !l->no_gzip);
	if (rc != RC_OK)
		return rc;
	l->packs++;
	rows_begin(&l->rows, s->source, s->feed, s->date, s->run_id);
	return RC_OK;
}

static int
put(struct loader *run, const struct record *rec, size_t *byte,
    const char **why)
{
	struct load *l = run->ctx;
	int rc = rows_put(&l->rows, rec);

	if (rc == RC_OK)
		bq_pack_row(
		    &l->pack[l->packs - 1], l->rows.line.p, l->rows.line.len);
	*byte = l->rows.byte;
	*why = l->rows.why;
	return rc;
}

static int
end(struct loader *run)
{
	struct load *l = run->ctx;
	struct bq_pack *pack = &l->pack[l->packs - 1];
	int rc = bq_pack_end(pack);

	if (rc != RC_OK)
		return rc;
	rows_sum(&l->rows, run->cur->checksum);
	return run->versioned ? RC_OK : plain_load(l, pack, run->cur);
}

static int
finish(struct loader *run, struct slot **s, size_t n)
{
	struct load *l = run->ctx;
	int rc = RC_OK;

	if (run->versioned && l->packs > 0)
		rc = stage_batch(l, s, n);
	drop_packs(l);
	return rc;
}

static int
drop(struct loader *run, bool all)
{
	(void)all; /* without batch rules there is one pack */
	drop_packs(run->ctx);
	return RC_OK;
}

/* What the jobs cost. */
static void
sum(struct loader *run)
{
	const struct load *l = run->ctx;
	struct receipt *r = &run->receipt;

	r->billed = true;
	bq_totals(l->b, &r->jobs, &r->bytes_processed, &r->bytes_billed);
}

void
load_init(struct load *l)
{
	static const struct engine engine = {.table_ok = name_ok,
	    .place = place,
	    .put = put,
	    .end = end,
	    .finish = finish,
	    .drop = drop,
	    .sum = sum};

	*l = (struct load){0};
	loader_init(&l->run, &engine, l);
	l->run.f.flags = FILTER_OWN_STATS;
}
