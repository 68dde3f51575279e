#include "loader.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "stats.h"

enum { RECEIPT_MAX = 1 << 30 };

static const struct batch none;

void
loader_init(struct loader *l, const struct engine *e, void *ctx)
{
	memset(l, 0, sizeof *l);
	filter_init(&l->f);
	l->engine = e;
	l->ctx = ctx;
	l->policy.fingerprint = "";
	l->run_id = getenv("RUN_ID");
	l->receipt.verb = "setup";
}

void
loader_release(struct loader *l)
{
	receipt_release(&l->receipt);
	buf_release(&l->f.begin_extra);
}

/* ---- a batch ---- */

static bool
whole(const struct loader *l)
{
	return l->batch != NULL || l->whole;
}

static void
give_up(struct loader *l, const char *why)
{
	l->engine->drop(l, true);
	for (size_t i = l->first; i < l->receipt.n; i++) {
		struct slot *s = l->receipt.slot[i];

		if (!slot_is(s, "not_ready") && !slot_is(s, "failed"))
			slot_refuse(s, s->reason != NULL ? s->reason : why);
	}
	l->broken = whole(l);
	l->skip = true;
}

int
loader_refuse(struct loader *l, int rc, const char *why)
{
	give_up(l, why);
	if (rc != RC_CONTRACT || l->damaged)
		return rc;
	l->status = rc_graver(l->status, rc);
	return RC_OK;
}

static int
finish_batch(struct loader *l)
{
	size_t n = l->receipt.n - l->first;
	int rc = RC_OK;

	if (n > 0)
		rc = l->engine->finish(l, l->receipt.slot + l->first, n);
	l->first = l->receipt.n;
	return rc;
}

/* The slots up to here are done with, where each is a batch of its own. */
static void
next_batch(struct loader *l)
{
	if (!whole(l))
		l->first = l->receipt.n;
}

static int
place(struct loader *l, const struct batch *b)
{
	int rc;

	if (l->placed)
		return RC_OK;
	rc = l->engine->place(l, b);
	l->placed = rc == RC_OK;
	return rc;
}

/* ---- the stream ---- */

static int
check_plain(const struct loader *l)
{
	if (l->versioned) {
		if (l->f.plain_out && l->source != NULL && l->feed != NULL &&
		    l->date != NULL)
			return RC_OK;
		warn_msg("-", "the input has no partitions, so that its end "
			      "proves nothing: name the one with --plain, "
			      "--source, --feed and --date");
		return RC_TRUNCATED;
	}
	if (l->f.plain_out || !l->replaces)
		return RC_OK;
	warn_msg("-", "the input has no partitions, so that its end proves "
		      "nothing: to replace the table needs --plain");
	return RC_TRUNCATED;
}

static void
new_slot(struct loader *l, const struct part *part)
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
	struct loader *l = f->ctx;
	const char *wrong;
	int rc = part->plain ? check_plain(l) : RC_OK;

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
	return loader_refuse(l, RC_CONTRACT, wrong);
}

static int
on_records(struct filter *f, const struct batch *b)
{
	struct loader *l = f->ctx;
	const char *why;
	size_t byte;
	int rc;

	if (l->skip)
		return RC_OK;
	rc = place(l, b);
	for (size_t i = 0; rc == RC_OK && i < b->n; i++) {
		rc = l->engine->put(l, &b->rec[i], &byte, &why);
		if (rc == RC_OK)
			l->cur->rows++;
		else if (rc == RC_FINDINGS)
			rc = filter_reject(f, &b->rec[i], byte, why);
	}
	if (rc != RC_OK)
		give_up(l, rc == RC_CONTRACT ? "a bad record" : "not written");
	return rc;
}

/* A partition that its source gave up, or does not have yet. */
static int
not_loaded(struct loader *l, const struct part_end *e)
{
	bool waits = e->outcome == OUTCOME_NOT_READY;

	l->cur->state = outcome_word(e->outcome);
	l->cur->rows = 0;
	l->cur->generation = 0;
	if (*e->reason != '\0')
		slot_set(&l->cur->reason, e->reason);
	if (l->versioned)
		give_up(l, "another partition of its batch was not loaded");
	else
		l->engine->drop(l, false);
	next_batch(l);
	return waits ? RC_NOTREADY : RC_PARTIAL;
}

static int
end_unversioned(struct loader *l, const struct part *part)
{
	int rc;

	if (part->plain && l->cur->records == 0 && !l->f.plain_out) {
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
		rc = l->engine->drop(l, false);
		next_batch(l);
		return rc;
	}
	rc = place(l, &none);
	if (rc == RC_OK)
		rc = l->engine->end(l);
	return rc;
}

static int
end_versioned(struct loader *l)
{
	int rc = place(l, &none);

	if (rc == RC_OK)
		rc = l->engine->end(l);
	return rc == RC_OK ? RC_OK : loader_refuse(l, rc, "not written");
}

static int
on_end(struct filter *f, const struct part *part, struct part_end *e)
{
	struct loader *l = f->ctx;
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
		next_batch(l);
		return RC_OK;
	}
	rc = l->versioned ? end_versioned(l) : end_unversioned(l, part);
	if (rc == RC_OK && !l->skip && !whole(l))
		rc = finish_batch(l);
	next_batch(l);
	f->written = l->cur->rows;
	return rc;
}

static void
on_cut(struct filter *f, const struct part *part)
{
	struct loader *l = f->ctx;

	(void)part;
	give_up(l, "truncated");
	next_batch(l);
}

static void
receipt_text(struct loader *l, struct buf *text)
{
	if (l->engine->sum != NULL)
		l->engine->sum(l);
	receipt_write(&l->receipt, text);
}

static int
on_finish(struct filter *f)
{
	struct loader *l = f->ctx;
	struct buf text = BUF_INIT(RECEIPT_MAX);
	int rc = RC_OK;

	if (!l->broken)
		rc = finish_batch(l);
	l->receipt.rejected = f->rejects.count;
	receipt_text(l, &text);
	out_write(&f->out, text.p, text.len);
	buf_release(&text);
	l->told = true;
	stats_text("batch", l->receipt.n == 1 ? l->receipt.slot[0]->batch : "");
	return rc_graver(rc, l->status);
}

/* ---- the run ---- */

int
loader_stdout(void)
{
	int mode = fcntl(STDOUT_FILENO, F_GETFL);

	if (mode >= 0 && (mode & O_ACCMODE) != O_RDONLY)
		return RC_OK;
	warn_msg("stdout", "it is closed, and the receipt goes there");
	return RC_IO;
}

static int
tell(struct loader *l)
{
	struct buf text = BUF_INIT(RECEIPT_MAX);
	int rc;

	receipt_text(l, &text);
	rc = out_stdout_text(text.p, text.len);
	buf_release(&text);
	return rc;
}

int
loader_feed(struct loader *l, char *const *files, size_t n)
{
	struct filter *f = &l->f;
	int rc, told = RC_OK;

	l->receipt.verb = "load";
	l->receipt.table = l->table;
	f->flags |= FILTER_SINK | FILTER_STATE;
	f->ctx = l;
	f->begin = on_begin;
	f->records = on_records;
	f->end = on_end;
	f->cut = on_cut;
	f->finish = on_finish;
	rc = filter_run(f, files, n);
	if (l->first < l->receipt.n)
		give_up(l, "the run ended before it");
	l->receipt.rejected = f->rejects.count;
	if (!l->told)
		told = tell(l);
	return rc_graver(rc, told);
}

int
loader_work(struct loader *l, int (*work)(struct loader *l), uint64_t apps)
{
	int rc = work != NULL ? work(l) : RC_OK, told;

	for (size_t i = 0; i < l->receipt.n; i++)
		stats_add("rows", l->receipt.slot[i]->rows);
	stats_add("apps", apps);
	told = tell(l);
	return rc_graver(rc, told);
}
