#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "stats.h"
#include "target.h"

enum { RECEIPT_MAX = 1 << 30, SCHEMA_MAX = 1 << 20 };

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
		rc = target_make(l->b, l->dataset, l->table, &fields, 0);
		buf_release(&fields);
	} else {
		rc = target_complete(l->b, l->dataset, l->table, t, &all);
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
		warn_msg(l->table, "is a view, and not to be loaded");
		return RC_CONTRACT;
	}
	rc = rows_open(&l->rows, l->table, &t->fields, l->key);
	l->have_rows = true;
	return rc;
}

static int
settle_mode(struct load *l)
{
	bool key = false;

	for (size_t i = 0; i < l->rows.n; i++)
		key = key || l->rows.col[i].key;
	if (!l->versioned && (l->batch != NULL || l->stage)) {
		warn_msg(l->batch != NULL ? "--batch" : "--stage",
		    "table %s is not under batch rules", l->table);
		return RC_USAGE;
	}
	if (!l->versioned && !key && !l->replace) {
		warn_msg("--key",
		    "is needed to load table %s, or --mode replace", l->table);
		return RC_USAGE;
	}
	return RC_OK;
}

int
load_open(struct load *l)
{
	struct target t = {0};
	int rc;

	l->receipt.verb = "load";
	l->receipt.table = l->table;
	l->versioned = strcmp(l->table, "fact_kpi_daily") == 0;
	l->dataset = dataset_of(l->b, l->table);
	if (kept_by_us(l->table)) {
		warn_msg(l->table, "is not to be loaded");
		return RC_CONTRACT;
	}
	rc = target_get(&t, l->b, l->dataset, l->table);
	if (l->schema != NULL && (rc == RC_OK || rc == RC_NOTREADY)) {
		rc = apply_schema(l, rc, &t);
		target_release(&t);
		if (rc != RC_OK)
			return rc;
		rc = target_get(&t, l->b, l->dataset, l->table);
	}
	if (rc == RC_NOTREADY) {
		warn_msg(l->table,
		    "there is no such table in %s (see --setup, --schema)",
		    l->dataset);
		return RC_CONTRACT;
	}
	if (rc != RC_OK) {
		warn_msg(l->table, "%s", bq_why(l->b));
		return rc;
	}
	rc = open_rows(l, &t);
	target_release(&t);
	return rc == RC_OK ? settle_mode(l) : rc;
}

void
load_cost(struct load *l)
{
	struct receipt *r = &l->receipt;

	r->billed = true;
	bq_totals(l->b, &r->jobs, &r->bytes_processed, &r->bytes_billed);
}

/* ---- packs ---- */

static void
drop_packs(struct load *l)
{
	for (size_t i = 0; i < l->packs; i++)
		bq_pack_drop(&l->pack[i]);
	l->packs = 0;
}

static int
place(struct load *l)
{
	int rc;

	if (l->placed)
		return RC_OK;
	l->pack = xreallocarray(l->pack, l->packs + 1, sizeof *l->pack);
	rc = bq_pack_begin(&l->pack[l->packs], !l->no_gzip);
	if (rc != RC_OK)
		return rc;
	l->packs++;
	l->placed = true;
	rows_begin(&l->rows, l->cur->source, l->cur->feed, l->cur->date,
	    l->cur->run_id);
	return RC_OK;
}

/* The batch that is on is given up. */
static void
give_up(struct load *l, const char *why)
{
	drop_packs(l);
	for (size_t i = l->first; i < l->receipt.n; i++) {
		struct slot *s = l->receipt.slot[i];

		if (!slot_is(s, "not_ready") && !slot_is(s, "failed"))
			slot_refuse(s, s->reason != NULL ? s->reason : why);
	}
	l->broken = l->batch != NULL;
	l->skip = true;
}

static int
finish_batch(struct load *l)
{
	int rc = RC_OK;

	if (l->receipt.n > l->first && l->packs > 0)
		rc = stage_batch(l);
	drop_packs(l);
	l->first = l->receipt.n;
	return rc;
}

/* ---- the stream ---- */

static int
check_plain(struct load *l, const struct filter *f)
{
	if (l->versioned) {
		if (f->plain_out && l->source != NULL && l->feed != NULL &&
		    l->date != NULL)
			return RC_OK;
		warn_msg("-", "the input has no partitions, so that its end "
			      "proves nothing: name the one with --plain, "
			      "--source, --feed and --date");
		return RC_TRUNCATED;
	}
	if (f->plain_out || !l->replace)
		return RC_OK;
	warn_msg("-", "the input has no partitions, so that its end proves "
		      "nothing: to replace the table needs --plain");
	return RC_TRUNCATED;
}

static void
new_slot(struct load *l, const struct part *part)
{
	const char *source = part->plain ? l->source : part->source;
	const char *feed = part->plain ? l->feed : part->feed;
	const char *date = part->plain ? l->date : part->date;
	char *batch = NULL;

	if (l->versioned && l->batch == NULL)
		batch = xasprintf("%s.%s.%s", source, feed, date);
	l->cur = receipt_slot(&l->receipt, l->table, source, feed, date,
	    l->batch != NULL ? l->batch : batch);
	free(batch);
}

static int
on_begin(struct filter *f, const struct part *part)
{
	struct load *l = f->ctx;
	const char *wrong;
	int rc = part->plain ? check_plain(l, f) : RC_OK;

	if (rc != RC_OK)
		return rc;
	new_slot(l, part);
	wrong = slot_begin(l->cur, part);
	if (l->cur->fetched_at == NULL && l->fetched_at != NULL)
		slot_set(&l->cur->fetched_at, l->fetched_at);
	if (*part->run_id == '\0')
		slot_set(&l->cur->run_id, l->run_id);
	l->placed = false;
	l->skip = l->broken;
	if (wrong == NULL)
		return RC_OK;
	warn_at(part->file, part->line, 0, "%s", wrong);
	slot_set(&l->cur->reason, wrong);
	give_up(l, wrong);
	l->status = rc_graver(l->status, RC_CONTRACT);
	return RC_OK;
}

static int
on_records(struct filter *f, const struct batch *b)
{
	struct load *l = f->ctx;
	int rc;

	if (l->skip)
		return RC_OK;
	rc = place(l);
	for (size_t i = 0; rc == RC_OK && i < b->n; i++) {
		rc = rows_put(&l->rows, &b->rec[i]);
		if (rc == RC_OK) {
			bq_pack_row(&l->pack[l->packs - 1], l->rows.line.p,
			    l->rows.line.len);
			l->cur->rows++;
		} else if (rc == RC_FINDINGS) {
			rc = filter_reject(
			    f, &b->rec[i], l->rows.byte, l->rows.why);
		}
	}
	if (rc != RC_OK)
		give_up(l, rc == RC_CONTRACT ? "a bad record" : "not written");
	return rc;
}

/* A partition that its source gave up, or does not have yet. */
static int
not_loaded(struct load *l, const struct part_end *e)
{
	bool waits = e->outcome == OUTCOME_NOT_READY;

	l->cur->state = outcome_word(e->outcome);
	l->cur->rows = 0;
	l->cur->generation = 0;
	if (*e->reason != '\0')
		slot_set(&l->cur->reason, e->reason);
	give_up(l, "another partition of its batch was not loaded");
	if (l->batch == NULL)
		l->first = l->receipt.n;
	return waits ? RC_NOTREADY : RC_PARTIAL;
}

static int
end_plain(struct load *l, const struct part *part, const struct filter *f)
{
	int rc = RC_OK;

	if (part->plain && l->cur->records == 0 && !f->plain_out) {
		warn_msg("-", "no records: is the input whole? (see --plain)");
		rc = RC_TRUNCATED;
	} else if (l->cur->outcome == OUTCOME_PARTIAL &&
		   !l->policy.allow_partial) {
		warn_msg(l->cur->source,
		    "partition %s is partial and was not "
		    "loaded (see --allow-partial)",
		    l->cur->date);
		slot_refuse(l->cur, "partial");
		l->status = rc_graver(l->status, RC_CONTRACT);
	} else {
		rc = plain_load(l, &l->pack[l->packs - 1], l->cur);
	}
	drop_packs(l);
	l->first = l->receipt.n;
	return rc;
}

static int
on_end(struct filter *f, const struct part *part, struct part_end *e)
{
	struct load *l = f->ctx;
	int rc;

	l->cur->outcome = e->outcome;
	l->cur->records = e->records;
	l->cur->rejected = e->rejected + f->rejected;
	if (e->outcome == OUTCOME_NOT_READY || e->outcome == OUTCOME_FAILED)
		return not_loaded(l, e);
	if (l->skip) {
		if (l->cur->reason == NULL)
			slot_refuse(l->cur, "another partition of its batch "
					    "was not loaded");
		if (l->batch == NULL)
			l->first = l->receipt.n;
		return RC_OK;
	}
	rc = place(l);
	if (rc == RC_OK)
		rc = bq_pack_end(&l->pack[l->packs - 1]);
	if (rc != RC_OK) {
		give_up(l, "not written");
		return rc;
	}
	rows_sum(&l->rows, l->cur->checksum);
	if (!l->versioned)
		rc = end_plain(l, part, f);
	else if (l->batch == NULL)
		rc = finish_batch(l);
	f->written = l->cur->rows;
	return rc;
}

static void
on_cut(struct filter *f, const struct part *part)
{
	struct load *l = f->ctx;

	(void)part;
	if (l->first < l->receipt.n)
		give_up(l, "truncated");
	if (l->batch == NULL)
		l->first = l->receipt.n;
}

static int
on_finish(struct filter *f)
{
	struct load *l = f->ctx;
	struct buf text = BUF_INIT(RECEIPT_MAX);
	int rc = RC_OK;

	if (!l->broken)
		rc = finish_batch(l);
	l->receipt.rejected = f->rejects.count;
	load_cost(l);
	receipt_write(&l->receipt, &text);
	out_write(&f->out, text.p, text.len);
	buf_release(&text);
	l->told = true;
	stats_text("batch", l->receipt.n == 1 ? l->receipt.slot[0]->batch : "");
	return rc_graver(rc, l->status);
}

void
load_callbacks(struct load *l, struct filter *f)
{
	f->flags = FILTER_SINK | FILTER_STATE | FILTER_OWN_STATS;
	f->ctx = l;
	f->begin = on_begin;
	f->records = on_records;
	f->end = on_end;
	f->cut = on_cut;
	f->finish = on_finish;
}

void
load_close(struct load *l)
{
	if (l->first < l->receipt.n && l->packs > 0)
		give_up(l, "the run ended before it");
	drop_packs(l);
	free(l->pack);
	if (l->have_rows)
		rows_close(&l->rows);
}
