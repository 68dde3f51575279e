/*
 * A run in front of a sink: what another published batch owns, or came
 * earlier in this run, is dropped; the ids of what is passed on go to
 * pending/BATCH.
 *
 * What the same batch has passed on before (its visible generation, its last
 * complete run) is passed on again, whoever else owns it meanwhile: the same
 * input gives the same bytes, and the sink's key takes up the repeat.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "pending.h"
#include "store.h"
#include "sys.h"

#define DAY_BUF 1024 /* fingerprints */

struct day {
	int32_t day;
	bool loaded, lost; /* lost: something was dropped, since the mark */
	uint64_t others;   /* ids that others own */
	struct fp *x;
	size_t n, cap;
};

struct stage {
	struct store *s;
	char batch[BATCH_LEN + 1];
	int lock;
	struct fpset *seen; /* of others, and of this run */
	struct fpset *own;  /* passed on by the batch before; may be NULL */
	struct fpset *lost; /* dropped since the mark */
	struct draft draft;
	struct day **day; /* by day */
	size_t nday, cap;
	struct day *now;
	struct gen gen;
	uint64_t ids, dropped; /* of gen, at the mark */
};

static int
no_room(const struct stage *st)
{
	warn_msg("--max-memory", "no room for more than %llu ids",
	    (unsigned long long)fpset_count(st->seen));
	return RC_OSERR;
}

/* ---- opening ---- */

static int
new_ledger(struct store *s, const struct stage_desc *d)
{
	struct ledger *l = &s->l;

	if (d->require) {
		warn_msg(s->path, "no store there, and --require-state");
		return RC_CONTRACT;
	}
	memset(l, 0, sizeof *l);
	sys_random(&l->id, sizeof l->id);
	fp_key_random(&l->secret);
	l->key = xstrdup(d->key);
	l->day = xstrdup(d->day);
	l->floor = DAY_ALL;
	return ledger_write(s);
}

static int
check_key(const struct store *s, const struct stage_desc *d)
{
	char a[DIAG_QUOTE], b[DIAG_QUOTE];
	bool key = strcmp(s->l.key, d->key) != 0;
	const char *is = key ? s->l.key : s->l.day;
	const char *want = key ? d->key : d->day;

	if (strcmp(is, want) == 0)
		return RC_OK;
	warn_msg(s->path, "made for %s %s, not for %s", key ? "--key" : "--day",
	    diag_quote(a, is, strlen(is)), diag_quote(b, want, strlen(want)));
	return RC_CONFIG;
}

static int
ready(struct store *s, const struct stage_desc *d)
{
	int rc = store_lock(s);

	if (rc != RC_OK)
		return rc;
	rc = ledger_read(s);
	if (rc == LEDGER_NONE)
		rc = new_ledger(s, d);
	else if (rc == RC_OK)
		rc = check_key(s, d);
	if (rc == RC_OK && d->retain > 0)
		rc = store_retain(s, d->retain);
	store_unlock(s);
	return rc;
}

static struct fpset *
own_set(struct stage *st)
{
	if (st->own == NULL)
		st->own = fpset_new(0);
	return st->own;
}

static int
load_own(struct stage *st, int kind)
{
	struct pending p;
	struct pending_at at = {.p = &p, .rc = RC_OK};
	struct fp x[256];
	size_t n;
	int rc = pending_open(&p, st->s, st->batch, kind);

	if (rc != RC_OK)
		return rc == PENDING_NONE ? RC_OK : rc;
	at.to = p.npiece;
	while ((n = pending_give(&at, x, 256)) > 0)
		for (size_t i = 0; i < n; i++)
			fpset_add(own_set(st), x[i]);
	pending_close(&p);
	return at.rc;
}

/* The last run stands aside, so that nobody commits it for this one. */
static int
set_aside(struct stage *st)
{
	char done[BATCH_LEN + 8], last[BATCH_LEN + 8];

	pending_name(done, st->batch, PENDING_DONE);
	pending_name(last, st->batch, PENDING_LAST);
	if (renameat(st->s->pending, done, st->s->pending, last) < 0)
		return errno == ENOENT
			   ? RC_OK
			   : store_io(st->s, "pending", "cannot rename in");
	if (dir_sync(st->s->pending) < 0)
		return store_io(st->s, "pending", "cannot sync");
	return RC_OK;
}

int
stage_open(struct stage **out, const struct stage_desc *d, struct fpset *seen)
{
	struct stage *st = xcalloc(1, sizeof *st);
	int rc;

	*out = st;
	st->s = d->s;
	st->seen = seen;
	st->lock = st->draft.fd = -1;
	memcpy(st->batch, d->batch, strlen(d->batch) + 1);
	memcpy(st->gen.batch, d->batch, strlen(d->batch) + 1);
	rc = batch_lock(d->s, d->batch, &st->lock);
	if (rc == RC_OK)
		rc = ready(d->s, d);
	if (rc == RC_OK)
		rc = load_own(st, PENDING_LAST);
	if (rc == RC_OK)
		rc = load_own(st, PENDING_DONE);
	if (rc == RC_OK)
		rc = set_aside(st);
	if (rc == RC_OK)
		rc = draft_open(&st->draft, d->s, d->batch);
	st->lost = fpset_new(0);
	return rc;
}

/* ---- days ---- */

static struct day *
find_day(struct stage *st, int32_t day)
{
	size_t lo = 0, hi = st->nday;
	struct day *d;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (st->day[mid]->day == day)
			return st->day[mid];
		if (st->day[mid]->day < day)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (st->nday == st->cap) {
		st->cap = st->cap == 0 ? 16 : 2 * st->cap;
		st->day = xreallocarray(st->day, st->cap, sizeof *st->day);
	}
	memmove(
	    &st->day[lo + 1], &st->day[lo], (st->nday - lo) * sizeof *st->day);
	d = xcalloc(1, sizeof *d);
	d->day = day;
	st->day[lo] = d;
	st->nday++;
	return d;
}

struct loading {
	struct stage *st;
	bool full;
};

static bool
want_own(void *ctx, const struct gen *g)
{
	const struct loading *l = ctx;

	return g->state == GEN_PUBLISHED && strcmp(g->batch, l->st->batch) == 0;
}

static bool
take_own(void *ctx, const struct gen *g, const struct fp *x, size_t n)
{
	const struct loading *l = ctx;

	(void)g;
	for (size_t i = 0; i < n; i++)
		fpset_add(own_set(l->st), x[i]);
	return true;
}

static bool
want_others(void *ctx, const struct gen *g)
{
	const struct loading *l = ctx;

	return g->state == GEN_PUBLISHED && strcmp(g->batch, l->st->batch) != 0;
}

static bool
take_others(void *ctx, const struct gen *g, const struct fp *x, size_t n)
{
	struct loading *l = ctx;
	struct stage *st = l->st;

	(void)g;
	for (size_t i = 0; i < n; i++) {
		if (i + 16 < n)
			fpset_prefetch(st->seen, x[i + 16]);
		if (st->own != NULL && fpset_has(st->own, x[i]))
			continue;
		if (fpset_add(st->seen, x[i]) < 0)
			l->full = true;
	}
	return !l->full;
}

/* How many ids of the day others have, and whether the batch has some. */
static bool
count_day(const struct stage *st, struct day *d)
{
	const struct ledger *l = &st->s->l;
	bool own = false;

	for (size_t i = 0; i < l->ngen; i++) {
		const struct gen *g = &l->gen[i];
		bool mine = strcmp(g->batch, st->batch) == 0;

		if (g->state != GEN_PUBLISHED)
			continue;
		for (size_t j = 0; j < g->nseg; j++) {
			if (g->seg[j].day != d->day)
				continue;
			if (mine)
				own = true;
			else
				d->others += g->seg[j].ids;
		}
	}
	return own;
}

/* Another process may have let go of the day since the ledger was read. */
static bool
expired_meanwhile(struct stage *st, const struct day *d)
{
	struct store now = *st->s;
	char name[FILE_NAME];
	bool gone = false;

	day_name(d->day, name);
	if (ledger_file(&st->s->l, d->day) == NULL ||
	    faccessat(st->s->dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return false;
	memset(&now.l, 0, sizeof now.l);
	if (ledger_read(&now) == RC_OK) {
		gone = d->day < now.l.floor;
		if (gone)
			st->s->l.floor = now.l.floor;
	}
	ledger_release(&now.l);
	return gone;
}

static int
load_day(struct stage *st, struct day *d)
{
	struct loading l = {.st = st};
	struct day_reader r = {
	    .s = st->s, .want = want_own, .take = take_own, .ctx = &l};
	int rc = RC_OK;

	if (expired_meanwhile(st, d))
		return STAGE_OLD;
	if (count_day(st, d))
		rc = day_read(&r, d->day);
	if (rc != RC_OK)
		return rc;
	if (!fpset_reserve(st->seen, fpset_count(st->seen) + d->others))
		return no_room(st);
	r.want = want_others;
	r.take = take_others;
	rc = day_read(&r, d->day);
	if (rc == RC_OK && l.full)
		return no_room(st);
	d->loaded = rc == RC_OK;
	return rc;
}

int
stage_day(struct stage *st, int32_t day)
{
	struct day *d = st->now;

	if (d == NULL || d->day != day) {
		if (day != DAY_ALL && day < st->s->l.floor)
			return STAGE_OLD;
		d = find_day(st, day);
	}
	if (!d->loaded) {
		int rc = load_day(st, d);

		if (rc != RC_OK)
			return rc;
	}
	st->now = d;
	return RC_OK;
}

static struct day *
at_day(struct stage *st, int32_t day)
{
	if (st->now == NULL || st->now->day != day)
		st->now = find_day(st, day);
	return st->now;
}

/* ---- records ---- */

static int
flush_day(struct stage *st, struct day *d)
{
	int rc = RC_OK;

	if (d->n > 0)
		rc = draft_add(&st->draft, d->day, d->x, d->n);
	d->n = 0;
	return rc;
}

int
stage_take(struct stage *st, int32_t day, struct fp x)
{
	struct day *d = at_day(st, day);

	if (d->n == d->cap) {
		if (d->cap == DAY_BUF) {
			int rc = flush_day(st, d);

			if (rc != RC_OK)
				return rc;
		} else {
			d->cap = d->cap == 0 ? 64 : 4 * d->cap;
			d->x = xreallocarray(d->x, d->cap, sizeof *d->x);
		}
	}
	d->x[d->n++] = x;
	st->gen.ids++;
	return RC_OK;
}

void
stage_dropped(struct stage *st, int32_t day, struct fp x)
{
	struct day *d = at_day(st, day);

	st->gen.dropped++;
	if (d->others > 0) {
		fpset_add(st->lost, x);
		d->lost = true;
	}
}

/* ---- on whose account ---- */

struct blame {
	struct stage *st;
};

static bool
want_owner(void *ctx, const struct gen *g)
{
	const struct blame *b = ctx;

	return g->state == GEN_PUBLISHED &&
	       strcmp(g->batch, b->st->batch) != 0 &&
	       !gen_owned_by(&b->st->gen, g->batch);
}

static bool
take_owner(void *ctx, const struct gen *g, const struct fp *x, size_t n)
{
	const struct blame *b = ctx;
	struct stage *st = b->st;

	for (size_t i = 0; i < n; i++) {
		if (i + 16 < n)
			fpset_prefetch(st->lost, x[i + 16]);
		if (!fpset_has(st->lost, x[i]) ||
		    (st->own != NULL && fpset_has(st->own, x[i])))
			continue;
		gen_own(&st->gen, g->batch, g->number);
		return false;
	}
	return true;
}

static int
find_owners(struct stage *st)
{
	struct blame b = {.st = st};
	const struct day_reader r = {
	    .s = st->s, .want = want_owner, .take = take_owner, .ctx = &b};

	for (size_t i = 0; i < st->nday; i++) {
		int rc;

		if (!st->day[i]->lost)
			continue;
		rc = day_read(&r, st->day[i]->day);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

/* ---- partitions ---- */

static void
mark(struct stage *st)
{
	draft_mark(&st->draft);
	st->ids = st->gen.ids;
	st->dropped = st->gen.dropped;
	for (size_t i = 0; i < st->nday; i++)
		st->day[i]->lost = false;
	fpset_clear(st->lost);
}

int
stage_begin(struct stage *st)
{
	int rc = RC_OK;

	if (st->draft.settled)
		rc = draft_resume(&st->draft);
	if (rc == RC_OK)
		mark(st);
	return rc;
}

static void
unsee(void *ctx, const struct fp *x, size_t n)
{
	struct stage *st = ctx;

	for (size_t i = 0; i < n; i++)
		fpset_remove(st->seen, x[i]);
}

int
stage_forget(struct stage *st)
{
	int rc;

	if (st->draft.failed)
		return RC_IO; /* said */

	for (size_t i = 0; i < st->nday; i++) {
		unsee(st, st->day[i]->x, st->day[i]->n);
		st->day[i]->n = 0;
	}
	rc = draft_back(&st->draft, unsee, st);
	st->gen.ids = st->ids;
	st->gen.dropped = st->dropped;
	mark(st);
	return rc;
}

int
stage_end(struct stage *st)
{
	int rc = RC_OK;

	for (size_t i = 0; i < st->nday && rc == RC_OK; i++)
		rc = flush_day(st, st->day[i]);
	if (rc == RC_OK)
		rc = find_owners(st);
	if (rc == RC_OK)
		rc = draft_settle(&st->draft, &st->gen);
	return rc;
}

int
stage_finish(struct stage *st)
{
	char last[BATCH_LEN + 8];
	int rc = st->draft.settled ? RC_OK : stage_end(st);

	pending_name(last, st->batch, PENDING_LAST);
	if (rc == RC_OK)
		unlinkat(st->s->pending, last, 0);
	return rc;
}

void
stage_close(struct stage *st)
{
	if (st == NULL)
		return;
	if (st->draft.fd >= 0)
		draft_close(&st->draft);
	for (size_t i = 0; i < st->nday; i++) {
		free(st->day[i]->x);
		free(st->day[i]);
	}
	free(st->day);
	fpset_free(st->own);
	fpset_free(st->lost);
	gen_release(&st->gen);
	if (st->lock >= 0)
		batch_unlock(st->s, st->batch, st->lock, false);
	free(st);
}
