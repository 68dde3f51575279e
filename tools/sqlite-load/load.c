#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "stats.h"

enum { RECEIPT_MAX = 1 << 30 };

static int
settle_mode(struct load *l)
{
	struct table *t = &l->t;

	if (l->mode == MODE_DEFAULT)
		l->mode = t->versioned ? MODE_REPLACE
			  : t->has_key ? MODE_UPSERT
				       : MODE_APPEND;
	if (t->versioned && l->mode == MODE_IGNORE) {
		warn_msg("--mode",
		    "a table under batch rules takes replace, upsert, append");
		return RC_USAGE;
	}
	if (!t->has_key && (l->mode == MODE_UPSERT || l->mode == MODE_IGNORE)) {
		warn_msg("--mode", "table %s has no key for %s", t->name,
		    mode_word(l->mode));
		return RC_USAGE;
	}
	if (!t->versioned && (l->batch != NULL || l->stage)) {
		warn_msg(l->batch != NULL ? "--batch" : "--stage",
		    "table %s is not under batch rules", t->name);
		return RC_USAGE;
	}
	return RC_OK;
}

int
load_open(struct load *l)
{
	char shown[DIAG_QUOTE];
	int rc;

	l->receipt.verb = "load";
	l->receipt.table = l->table;
	rc = table_open(&l->t, l->db, l->table, l->key);
	if (rc == RC_NOTREADY && l->create)
		return RC_OK;
	if (rc == RC_NOTREADY) {
		warn_msg(l->db->path, "no table %s (see --create)",
		    diag_quote(shown, l->table, strlen(l->table)));
		return RC_CONTRACT;
	}
	l->have_table = rc == RC_OK;
	return rc == RC_OK ? settle_mode(l) : rc;
}

static bool
versioned(const struct load *l)
{
	return l->have_table ? l->t.versioned : l->made.versioned;
}

/* ---- the transaction ---- */

static int
exec(struct load *l, const char *sql)
{
	if (sqlite3_exec(l->db->h, sql, NULL, NULL, NULL) == SQLITE_OK)
		return RC_OK;
	return db_fail(l->db, "cannot write");
}

static int
make_table(struct load *l, const struct batch *b)
{
	int rc = create_table(l->db, &l->made, b);

	if (rc == RC_OK)
		rc = table_open(&l->t, l->db, l->table, l->key);
	l->have_table = rc == RC_OK;
	return rc == RC_OK ? settle_mode(l) : rc;
}

static int
empty_table(struct load *l)
{
	struct buf sql = BUF_INIT(1024);
	int rc;

	buf_str(&sql, "DELETE FROM ");
	db_name(&sql, l->t.store);
	rc = db_run(l->db, buf_cstr(&sql), "");
	buf_release(&sql);
	return rc;
}

/*
 * The lock is taken with the first record, not with the begin: the stage
 * before may still be computing. Up to the savepoint old staged rows go.
 */
static int
start(struct load *l, const struct batch *b)
{
	int rc;

	if (l->started)
		return RC_OK;
	rc = db_begin(l->db);
	if (rc != RC_OK)
		return rc;
	l->started = true;
	if (!l->have_table)
		rc = make_table(l, b);
	if (rc == RC_OK)
		rc = table_begin(&l->t, l->mode);
	if (rc == RC_OK && l->t.versioned)
		rc = batch_fresh(&l->t, l->cur->batch, l->policy.fingerprint,
		    &l->generation);
	else if (rc == RC_OK && l->mode == MODE_REPLACE)
		rc = empty_table(l);
	return rc == RC_OK && l->t.versioned ? exec(l, "SAVEPOINT fresh") : rc;
}

static int
place(struct load *l, const struct batch *b)
{
	struct place at;
	int rc = start(l, b);

	if (rc != RC_OK || l->placed)
		return rc;
	l->placed = true;
	l->cur->generation = l->t.versioned ? l->generation : 0;
	at = (struct place){l->cur->source, l->cur->feed, l->cur->date,
	    l->cur->batch, l->generation, l->cur->run_id};
	table_place(&l->t, &at);
	return l->t.versioned ? RC_OK : exec(l, "SAVEPOINT partition");
}

/* The batch that is on is given up; what it had written goes. */
static void
give_up(struct load *l, const char *why)
{
	db_rollback(l->db);
	l->started = false;
	for (size_t i = l->first; i < l->receipt.n; i++) {
		struct slot *s = l->receipt.slot[i];

		if (strcmp(s->state, "not_ready") != 0 &&
		    strcmp(s->state, "failed") != 0)
			slot_refuse(s, s->reason != NULL ? s->reason : why);
	}
	l->broken = l->batch != NULL || !versioned(l);
	l->skip = true;
}

/* The numbers of a batch stand: the same as before, staged, or published. */
static int
settle_batch(struct load *l, struct slot **s, size_t n)
{
	int64_t same = 0;
	int status, rc = RC_OK;

	if (!l->policy.force)
		rc = batch_equal(&l->t, s, n, &l->policy, &same);
	if (rc == RC_OK && same != 0) {
		rc = exec(l, "ROLLBACK TO fresh");
		for (size_t i = 0; rc == RC_OK && i < n; i++) {
			s[i]->generation = same;
			s[i]->state = "published";
			s[i]->unchanged = true;
			rc = batch_seen(&l->t, s[i]);
		}
		return rc;
	}
	if (rc != RC_OK || l->stage)
		return rc;
	rc = batch_publish(&l->t, s, n, &l->policy, false, &status);
	if (rc == RC_FINDINGS) {
		l->status = rc_graver(l->status, status);
		rc = RC_OK;
	}
	return rc;
}

/* A refusal is kept for the end of the run; what broke the database is not. */
static int
refused(struct load *l, int rc, const char *why)
{
	give_up(l, why);
	if (rc != RC_CONTRACT || sqlite3_errcode(l->db->h) == SQLITE_CORRUPT ||
	    sqlite3_errcode(l->db->h) == SQLITE_NOTADB)
		return rc;
	l->status = rc_graver(l->status, rc);
	return RC_OK;
}

static int
finish_batch(struct load *l)
{
	struct slot **s = l->receipt.slot + l->first;
	size_t n = l->receipt.n - l->first;
	int rc = RC_OK;

	if (!l->started)
		return RC_OK;
	if (versioned(l))
		rc = settle_batch(l, s, n);
	if (rc != RC_OK)
		return refused(l, rc, "not written");
	rc = db_commit(l->db);
	if (rc != RC_OK) {
		give_up(l, "not written");
		return rc;
	}
	for (size_t i = 0; !versioned(l) && i < n; i++)
		if (strcmp(s[i]->state, "refused") == 0 && s[i]->reason == NULL)
			s[i]->state = "loaded";
	l->started = false;
	l->first = l->receipt.n;
	return RC_OK;
}

/* ---- the stream ---- */

static int
check_plain(struct load *l, const struct filter *f)
{
	if (versioned(l)) {
		if (f->plain_out && l->source != NULL && l->feed != NULL &&
		    l->date != NULL)
			return RC_OK;
		warn_msg("-", "the input has no partitions, so that its end "
			      "proves nothing: name the one with --plain, "
			      "--source, --feed and --date");
		return RC_TRUNCATED;
	}
	if (f->plain_out || l->mode != MODE_REPLACE)
		return RC_OK;
	warn_msg("-", "the input has no partitions, so that its end proves "
		      "nothing: to replace the table needs --plain");
	return RC_TRUNCATED;
}

static int
on_begin(struct filter *f, const struct part *part)
{
	struct load *l = f->ctx;
	const char *wrong, *run_id = part->run_id;
	char *batch = NULL;
	int rc = part->plain ? check_plain(l, f) : RC_OK;

	if (rc != RC_OK)
		return rc;
	if (versioned(l) && l->batch == NULL)
		batch = xasprintf("%s.%s.%s",
		    part->plain ? l->source : part->source,
		    part->plain ? l->feed : part->feed,
		    part->plain ? l->date : part->date);
	l->cur = receipt_slot(&l->receipt, l->table,
	    part->plain ? l->source : part->source,
	    part->plain ? l->feed : part->feed,
	    part->plain ? l->date : part->date,
	    l->batch != NULL ? l->batch : batch);
	free(batch);
	wrong = slot_begin(l->cur, part);
	if (l->cur->fetched_at == NULL && l->fetched_at != NULL)
		slot_set(&l->cur->fetched_at, l->fetched_at);
	if (*run_id == '\0')
		slot_set(&l->cur->run_id, l->run_id);
	l->placed = false;
	l->skip = l->broken;
	if (wrong == NULL)
		return RC_OK;
	warn_at(part->file, part->line, 0, "%s", wrong);
	slot_set(&l->cur->reason, wrong);
	return refused(l, RC_CONTRACT, wrong);
}

static int
on_records(struct filter *f, const struct batch *b)
{
	struct load *l = f->ctx;
	int rc;

	if (l->skip)
		return RC_OK;
	rc = place(l, b);
	for (size_t i = 0; rc == RC_OK && i < b->n; i++) {
		rc = table_put(&l->t, &b->rec[i]);
		if (rc == RC_OK)
			l->cur->rows++;
		else if (rc == RC_FINDINGS)
			rc = filter_reject(f, &b->rec[i], l->t.byte, l->t.why);
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
	if (versioned(l))
		give_up(l, "another partition of its batch was not loaded");
	else if (l->placed)
		exec(l, "ROLLBACK TO partition");
	if (versioned(l) && l->batch == NULL)
		l->first = l->receipt.n;
	return waits ? RC_NOTREADY : RC_PARTIAL;
}

static int
end_unversioned(struct load *l, const struct part *part, const struct filter *f)
{
	struct batch none = {0};

	if (part->plain && l->cur->records == 0 && !f->plain_out) {
		warn_msg("-", "no records: is the input whole? (see --plain)");
		return RC_TRUNCATED;
	}
	if (l->cur->outcome == OUTCOME_PARTIAL && !l->policy.allow_partial) {
		warn_msg(l->cur->source,
		    "partition %s is partial and was not "
		    "loaded (see --allow-partial)",
		    l->cur->date);
		slot_refuse(l->cur, "partial");
		l->status = rc_graver(l->status, RC_CONTRACT);
		return l->placed ? exec(l, "ROLLBACK TO partition") : RC_OK;
	}
	return place(l, &none);
}

static int
on_end(struct filter *f, const struct part *part, struct part_end *e)
{
	struct load *l = f->ctx;
	struct batch none = {0};
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
	if (!versioned(l)) {
		rc = end_unversioned(l, part, f);
		f->written = l->cur->rows;
		return rc;
	}
	rc = place(l, &none);
	if (rc == RC_OK)
		rc = batch_stage(&l->t, l->cur, l->mode, &l->policy);
	if (rc != RC_OK)
		rc = refused(l, rc, "not written");
	else if (l->batch == NULL)
		rc = finish_batch(l);
	if (l->batch == NULL)
		l->first = l->receipt.n;
	f->written = l->cur->rows;
	return rc;
}

static void
on_cut(struct filter *f, const struct part *part)
{
	struct load *l = f->ctx;

	(void)part;
	give_up(l, "truncated");
	if (l->batch == NULL && versioned(l))
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
	f->flags = FILTER_SINK | FILTER_STATE;
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
	if (l->started)
		give_up(l, "the run ended before it");
	if (l->have_table)
		table_close(&l->t);
}
