/* What is done to batches: commit, abort, rollback, retention, statistics. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "out.h"
#include "pending.h"
#include "store.h"
#include "sys.h"

#define DAY_NS (86400 * INT64_C(1000000000))

/* Locks the batch and the store, and reads the ledger. */
static int
enter(struct store *s, const char *batch, int *lock)
{
	int rc = batch_lock(s, batch, lock);

	if (rc != RC_OK) {
		*lock = -1;
		return rc;
	}
	rc = store_lock(s);
	if (rc == RC_OK)
		rc = ledger_read(s);
	if (rc == LEDGER_NONE) {
		warn_msg(s->path, "no store there");
		rc = RC_CONTRACT;
	}
	return rc;
}

static void
leave(struct store *s, const char *batch, int lock, int rc)
{
	store_unlock(s);
	if (lock >= 0)
		batch_unlock(s, batch, lock, rc == RC_OK);
}

static int
receipt(const struct gen *g)
{
	struct buf b = BUF_INIT((size_t)1 << 30);
	int rc;

	gen_write(&b, g, 0);
	rc = out_stdout_text(b.p, b.len);
	buf_release(&b);
	return rc;
}

/* ---- who must run again ---- */

struct compare {
	const struct gen *load, *look;
	struct fpset *set;
	bool missing;
};

static bool
want_load(void *ctx, const struct gen *g)
{
	return g == ((const struct compare *)ctx)->load;
}

static bool
take_load(void *ctx, const struct gen *g, const struct fp *x, size_t n)
{
	const struct compare *c = ctx;

	(void)g;
	for (size_t i = 0; i < n; i++)
		fpset_add(c->set, x[i]);
	return true;
}

static bool
want_look(void *ctx, const struct gen *g)
{
	return g == ((const struct compare *)ctx)->look;
}

static bool
take_look(void *ctx, const struct gen *g, const struct fp *x, size_t n)
{
	struct compare *c = ctx;

	(void)g;
	for (size_t i = 0; i < n && !c->missing; i++)
		c->missing = !fpset_has(c->set, x[i]);
	return !c->missing;
}

/* Does `to` (NULL: nothing) lack an id that `from` has? */
static int
lacks(const struct store *s, const struct gen *from, const struct gen *to,
    bool *missing)
{
	struct compare c = {.load = to, .look = from};
	struct day_reader r = {.s = s, .ctx = &c};
	int rc = RC_OK;

	*missing = from->nseg > 0;
	if (to == NULL || from->nseg == 0)
		return RC_OK;
	for (size_t i = 0; i < from->nseg && rc == RC_OK && !c.missing; i++) {
		int32_t day = from->seg[i].day;

		c.set = fpset_new(0);
		r.want = want_load;
		r.take = take_load;
		rc = day_read(&r, day);
		r.want = want_look;
		r.take = take_look;
		if (rc == RC_OK)
			rc = day_read(&r, day);
		fpset_free(c.set);
	}
	*missing = c.missing;
	return rc;
}

/* Batches that dropped ids on account of g's batch. */
static void
name_again(const struct ledger *l, struct gen *g)
{
	for (size_t i = 0; i < l->ngen; i++) {
		const struct gen *o = &l->gen[i];

		if (o->state != GEN_PUBLISHED || !gen_owned_by(o, g->batch))
			continue;
		g->again =
		    xreallocarray(g->again, g->nagain + 1, sizeof *g->again);
		g->again[g->nagain++] = xstrdup(o->batch);
	}
}

/* ---- commit ---- */

/* The part of a day in what is pending. */
struct part_of {
	size_t from, to; /* pieces */
	struct segment seg;
};

static int
sum_part(struct pending *p, struct part_of *d)
{
	struct pending_at at = {.p = p, .piece = d->from, .to = d->to};
	XXH3_state_t *st = XXH3_createState();
	XXH128_hash_t h;
	struct fp x[256];
	size_t n;

	if (st == NULL)
		die(RC_OSERR, NULL, "out of memory");
	XXH3_128bits_reset(st);
	while ((n = pending_give(&at, x, 256)) > 0) {
		XXH3_128bits_update(st, x, n * sizeof *x);
		d->seg.ids += n;
	}
	h = XXH3_128bits_digest(st);
	d->seg.sum = (struct sum){h.low64, h.high64};
	XXH3_freeState(st);
	return at.rc;
}

/* Days that are no longer retained are left out. */
static int
parts_of(struct pending *p, int32_t floor, struct part_of **out, size_t *n)
{
	struct part_of *d = xreallocarray(NULL, p->npiece + 1, sizeof *d);

	*out = d;
	*n = 0;
	for (size_t i = 0, j; i < p->npiece; i = j) {
		int32_t day = p->piece[i].day;
		int rc;

		for (j = i + 1; j < p->npiece && p->piece[j].day == day; j++)
			;
		if (day != DAY_ALL && day < floor)
			continue;
		d[*n] =
		    (struct part_of){.from = i, .to = j, .seg = {.day = day}};
		rc = sum_part(p, &d[*n]);
		if (rc != RC_OK)
			return rc;
		++*n;
	}
	return RC_OK;
}

static bool
same_ids(const struct gen *g, const struct part_of *d, size_t n)
{
	if (g == NULL || g->nseg != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (g->seg[i].day != d[i].seg.day ||
		    g->seg[i].ids != d[i].seg.ids ||
		    g->seg[i].sum.lo != d[i].seg.sum.lo ||
		    g->seg[i].sum.hi != d[i].seg.sum.hi)
			return false;
	return true;
}

/* The numbers and owners of what was pending become those of g. */
static void
adopt(struct gen *g, struct gen *from)
{
	free(g->owners);
	g->owners = from->owners;
	g->nowners = from->nowners;
	g->ids = from->ids;
	g->dropped = from->dropped;
	from->owners = NULL;
	from->nowners = 0;
}

/* What was dropped must still be owned. */
static int
check_owners(const struct store *s, const struct pending *p)
{
	for (size_t i = 0; i < p->gen.nowners; i++) {
		const struct owner *o = &p->gen.owners[i];
		const struct gen *was = ledger_gen(&s->l, o->batch, o->number);
		const struct gen *is = ledger_visible(&s->l, o->batch);
		bool missing = was == NULL;

		if (was != NULL && is != was) {
			int rc = lacks(s, was, is, &missing);

			if (rc != RC_OK)
				return rc;
		}
		if (missing) {
			warn_msg(p->batch,
			    "ids were dropped on account of batch %s, which "
			    "was taken back since: run this batch again",
			    o->batch);
			return RC_CONTRACT;
		}
	}
	return RC_OK;
}

/* A new generation; the one before is kept for a rollback. */
static int
append_all(struct store *s, struct pending *p, const struct part_of *d,
    size_t n, struct gen *g)
{
	for (size_t i = 0; i < n; i++) {
		struct pending_at at = {
		    .p = p, .piece = d[i].from, .to = d[i].to};
		int rc = day_append(
		    s, g, d[i].seg.day, d[i].seg.ids, pending_give, &at);

		if (at.rc != RC_OK)
			return at.rc;
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static int
publish(struct store *s, struct pending *p, const struct part_of *d, size_t n)
{
	struct gen *g = ledger_add(&s->l, p->batch);
	struct gen *before;
	bool missing = false;
	int rc;

	g->state = GEN_REPLACED;
	before = ledger_visible(&s->l, p->batch);
	rc = append_all(s, p, d, n, g);
	if (rc != RC_OK)
		return rc;
	adopt(g, &p->gen);
	if (before != NULL) {
		rc = lacks(s, before, g, &missing);
		before->state = GEN_REPLACED;
	}
	g->state = GEN_PUBLISHED;
	if (missing)
		name_again(&s->l, g);
	return rc == RC_OK ? ledger_write(s) : rc;
}

static bool
same_owners(const struct gen *a, const struct gen *b)
{
	if (a->nowners != b->nowners || a->dropped != b->dropped)
		return false;
	for (size_t i = 0; i < a->nowners; i++)
		if (a->owners[i].number != b->owners[i].number ||
		    strcmp(a->owners[i].batch, b->owners[i].batch) != 0)
			return false;
	return true;
}

static int
seal(struct store *s, struct pending *p)
{
	struct gen *now = ledger_visible(&s->l, p->batch);
	struct part_of *d = NULL;
	size_t n = 0;
	int rc = check_owners(s, p);

	if (rc == RC_OK)
		rc = parts_of(p, s->l.floor, &d, &n);
	if (rc == RC_OK && !same_ids(now, d, n)) {
		rc = publish(s, p, d, n);
	} else if (rc == RC_OK && !same_owners(now, &p->gen)) {
		adopt(now, &p->gen);
		rc = ledger_write(s);
	}
	free(d);
	return rc;
}

/* Nothing pending: done before, or never. */
static int
nothing(const struct store *s, const char *batch)
{
	char name[BATCH_LEN + 8];

	pending_name(name, batch, PENDING_LAST);
	if (faccessat(s->pending, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		warn_msg(batch, "its last run did not finish: run it again");
	else if (ledger_visible(&s->l, batch) != NULL)
		return RC_OK;
	else
		warn_msg(batch, "nothing is staged for this batch");
	return RC_CONTRACT;
}

int
verb_commit(struct store *s, const char *batch)
{
	struct pending p;
	int lock, rc = enter(s, batch, &lock);

	if (rc == RC_OK) {
		rc = pending_open(&p, s, batch, PENDING_DONE);
		if (rc == PENDING_NONE) {
			rc = nothing(s, batch);
		} else if (rc == RC_OK) {
			rc = seal(s, &p);
			pending_close(&p);
			if (rc == RC_OK)
				rc = pending_drop(s, batch);
		}
	}
	if (rc == RC_OK)
		rc = receipt(ledger_visible(&s->l, batch));
	leave(s, batch, lock, rc);
	return rc;
}

int
verb_abort(struct store *s, const char *batch)
{
	struct buf b = BUF_INIT(1024);
	struct jsonw w;
	int lock, rc = batch_lock(s, batch, &lock);

	if (rc != RC_OK)
		return rc;
	rc = pending_drop(s, batch);
	batch_unlock(s, batch, lock, rc == RC_OK);
	if (rc != RC_OK)
		return rc;
	jsonw_begin(&w, &b, '{');
	jsonw_str(&w, "batch", batch);
	jsonw_str(&w, "state", "aborted");
	jsonw_end(&w);
	buf_char(&b, '\n');
	rc = out_stdout_text(b.p, b.len);
	buf_release(&b);
	return rc;
}

/* ---- rollback ---- */

/* The latest generation that was taken back, from a number up. */
static struct gen *
taken_back(const struct ledger *l, const char *batch, uint32_t from)
{
	struct gen *best = NULL;

	for (size_t i = 0; i < l->ngen; i++) {
		struct gen *g = &l->gen[i];

		if (g->state == GEN_ROLLED_BACK && g->number >= from &&
		    (best == NULL || g->number > best->number) &&
		    strcmp(g->batch, batch) == 0)
			best = g;
	}
	return best;
}

static int
take_back(struct store *s, struct gen *g)
{
	struct gen *to = ledger_before(&s->l, g->batch, g->number);
	bool missing;
	int rc = lacks(s, g, to, &missing);

	if (rc != RC_OK)
		return rc;
	g->state = GEN_ROLLED_BACK;
	if (to != NULL)
		to->state = GEN_PUBLISHED;
	for (size_t i = 0; i < g->nagain; i++)
		free(g->again[i]);
	g->nagain = 0;
	if (missing)
		name_again(&s->l, g);
	return ledger_write(s);
}

/*
 * Without a number a rollback that was done is not done again on what it
 * brought back: the same command after a crash must not go further.
 */
static int
rollback(struct store *s, const char *batch, uint32_t number, struct gen **g)
{
	struct gen *now = ledger_visible(&s->l, batch);

	if (number == 0)
		*g = taken_back(&s->l, batch, now != NULL ? now->number : 0);
	else
		*g = ledger_gen(&s->l, batch, number);
	if (*g != NULL && (*g)->state == GEN_ROLLED_BACK)
		return RC_OK;
	if (number == 0)
		*g = now;
	if (*g == NULL || *g != now) {
		warn_msg(batch, "%s of this batch is not published",
		    number == 0 ? "any generation" : "that generation");
		return RC_CONTRACT;
	}
	return take_back(s, *g);
}

int
verb_rollback(struct store *s, const char *batch, uint32_t number)
{
	struct gen *g = NULL;
	int lock, rc = enter(s, batch, &lock);

	if (rc == RC_OK)
		rc = rollback(s, batch, number, &g);
	if (rc == RC_OK)
		rc = receipt(g);
	leave(s, batch, lock, rc);
	return rc;
}

/* ---- retention ---- */

static int
drop_files(const struct store *s)
{
	int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;
	int rc = RC_OK;

	if (d == NULL)
		return store_io(s, ".", "cannot read");
	while (rc == RC_OK && (e = readdir(d)) != NULL) {
		int32_t day;

		if (strncmp(e->d_name, "day-", 4) == 0 &&
		    date_parse_compact(
			e->d_name + 4, strlen(e->d_name + 4), &day) &&
		    day < s->l.floor && unlinkat(s->dir, e->d_name, 0) < 0)
			rc = store_io(s, e->d_name, "cannot remove");
	}
	closedir(d);
	if (rc == RC_OK && dir_sync(s->dir) < 0)
		rc = store_io(s, ".", "cannot sync the directory");
	return rc;
}

static void
forget_days(struct ledger *l)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->nfile; i++)
		if (l->file[i].day >= l->floor)
			l->file[kept++] = l->file[i];
	l->nfile = kept;
	for (size_t i = 0; i < l->ngen; i++) {
		struct gen *g = &l->gen[i];

		kept = 0;
		for (size_t j = 0; j < g->nseg; j++)
			if (g->seg[j].day >= l->floor)
				g->seg[kept++] = g->seg[j];
		g->nseg = kept;
	}
}

int
store_retain(struct store *s, uint64_t days)
{
	struct ledger *l = &s->l;
	int32_t today = (int32_t)(sys_real_ns() / DAY_NS);
	int32_t floor = today - (int32_t)days + 1;
	int rc;

	if (l->nfile > 0 && l->file[0].day == DAY_ALL) {
		warn_msg(s->path, "a store without days retains all");
		return RC_CONFIG;
	}
	if (l->nfile > 0 && l->file[l->nfile - 1].day > today) {
		warn_msg(s->path, "warning: the clock stands before the newest "
				  "day of the store: nothing is let go");
		return RC_OK;
	}
	if (floor <= l->floor)
		return RC_OK;
	l->floor = floor;
	forget_days(l);
	rc = ledger_write(s);
	return rc == RC_OK ? drop_files(s) : rc;
}

int
verb_retain(struct store *s, uint64_t days)
{
	int rc = store_lock(s);

	if (rc == RC_OK)
		rc = ledger_read(s);
	if (rc == LEDGER_NONE) {
		warn_msg(s->path, "no store there");
		rc = RC_CONTRACT;
	}
	if (rc == RC_OK)
		rc = store_retain(s, days);
	if (rc == RC_OK && s->l.floor != DAY_ALL)
		rc = drop_files(s);
	store_unlock(s);
	return rc;
}

/* ---- statistics ---- */

static void
day_line(struct buf *b, const struct ledger *l, const struct day_file *f)
{
	char day[FILE_NAME];
	uint64_t ids = 0, segments = 0;
	struct jsonw w;

	for (size_t i = 0; i < l->ngen; i++) {
		const struct gen *g = &l->gen[i];

		for (size_t j = 0; j < g->nseg; j++) {
			if (g->seg[j].day != f->day)
				continue;
			segments++;
			if (g->state == GEN_PUBLISHED)
				ids += g->seg[j].ids;
		}
	}
	day_text(f->day, day);
	jsonw_begin(&w, b, '{');
	jsonw_str(&w, "day", day);
	jsonw_u64(&w, "ids", ids);
	jsonw_u64(&w, "bytes", f->bytes);
	jsonw_u64(&w, "segments", segments);
	jsonw_end(&w);
	buf_char(b, '\n');
}

static void
store_line(struct buf *b, const struct ledger *l)
{
	uint64_t bytes = 0, ids = 0, batches = 0;
	char floor[FILE_NAME];
	struct jsonw w;

	for (size_t i = 0; i < l->nfile; i++)
		bytes += l->file[i].bytes;
	for (size_t i = 0; i < l->ngen; i++) {
		if (l->gen[i].state != GEN_PUBLISHED)
			continue;
		batches++;
		for (size_t j = 0; j < l->gen[i].nseg; j++)
			ids += l->gen[i].seg[j].ids;
	}
	jsonw_begin(&w, b, '{');
	jsonw_str(&w, "store", "weir-dedup");
	jsonw_u64(&w, "version", STORE_VERSION);
	jsonw_str(&w, "key", l->key);
	jsonw_str(&w, "day", l->day);
	if (l->floor == DAY_ALL) {
		jsonw_null(&w, "retained_from");
	} else {
		day_text(l->floor, floor);
		jsonw_str(&w, "retained_from", floor);
	}
	jsonw_u64(&w, "batches", batches);
	jsonw_u64(&w, "days", l->nfile);
	jsonw_u64(&w, "ids", ids);
	jsonw_u64(&w, "bytes", bytes);
	jsonw_end(&w);
	buf_char(b, '\n');
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **
pending_names(const struct store *s, size_t *n)
{
	int fd = openat(s->pending, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;
	char **name = NULL;

	*n = 0;
	while (d != NULL && (e = readdir(d)) != NULL) {
		if (!file_name_ok(e->d_name))
			continue;
		name = xreallocarray(name, *n + 1, sizeof *name);
		name[(*n)++] = xstrdup(e->d_name);
	}
	if (d != NULL)
		closedir(d);
	if (*n > 1)
		qsort(name, *n, sizeof *name, by_name);
	return name;
}

static int
pending_lines(struct buf *b, const struct store *s)
{
	size_t n;
	char **name = pending_names(s, &n);
	int worst = RC_OK;

	for (size_t i = 0; i < n; i++) {
		struct pending p;
		int rc = pending_open(&p, s, name[i], PENDING_DONE);

		if (rc == RC_OK) {
			gen_write(b, &p.gen, 0);
			pending_close(&p);
		} else if (rc != PENDING_NONE) {
			worst = rc_graver(worst, rc);
		}
		free(name[i]);
	}
	free(name);
	return worst;
}

int
verb_stats(struct store *s)
{
	struct buf b = BUF_INIT((size_t)1 << 30);
	int rc = ledger_read(s), printed;

	if (rc == LEDGER_NONE) {
		warn_msg(s->path, "no store there");
		rc = RC_CONTRACT;
	}
	if (rc != RC_OK)
		return rc;
	store_line(&b, &s->l);
	for (size_t i = 0; i < s->l.nfile; i++)
		day_line(&b, &s->l, &s->l.file[i]);
	for (size_t i = 0; i < s->l.ngen; i++)
		gen_write(&b, &s->l.gen[i], 0);
	rc = pending_lines(&b, s);
	printed = out_stdout_text(b.p, b.len);
	buf_release(&b);
	return rc_graver(rc, printed);
}
