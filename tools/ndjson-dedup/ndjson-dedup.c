/* Keeps the first record of each key, or the last; across batches by a store.*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "filter.h"
#include "fpset.h"
#include "key.h"
#include "last.h"
#include "mem.h"
#include "stats.h"
#include "store.h"

enum {
	OPT_ACROSS = OPT_TOOL,
	OPT_LAST,
	OPT_MAX_MEMORY,
	OPT_STORE,
	OPT_BATCH,
	OPT_DAY,
	OPT_ONE_FILE,
	OPT_COMMIT,
	OPT_ABORT,
	OPT_ROLLBACK,
	OPT_GENERATION,
	OPT_STATS,
	OPT_RETAIN,
	OPT_REQUIRE,
	OPT_WAIT,
};

static const struct opt options[] = {
    {"key", 'k', "path", "paths of the key, joined by commas or repeated"},
    {"across", OPT_ACROSS, NULL, "one scope for the whole input"},
    {"last", OPT_LAST, NULL, "keep the last record of a key"},
    {"max-memory", OPT_MAX_MEMORY, "size", "most memory for keys and records"},
    {"store", OPT_STORE, "dir", "the store of ids across batches"},
    {"batch", OPT_BATCH, "id", "what is passed on is of this batch"},
    {"day", OPT_DAY, "path", "the event's day or time, for the store"},
    {"one-file", OPT_ONE_FILE, NULL, "a store without days"},
    {"commit", OPT_COMMIT, "id", "publish what the batch has staged"},
    {"abort", OPT_ABORT, "id", "forget what the batch has staged"},
    {"rollback", OPT_ROLLBACK, "id", "take a published batch back"},
    {"generation", OPT_GENERATION, "n", "which one to take back"},
    {"stats", OPT_STATS, NULL, "print what the store holds"},
    {"retain-days", OPT_RETAIN, "n", "let go of older days"},
    {"require-state", OPT_REQUIRE, NULL, "fail where there is no store yet"},
    {"wait", OPT_WAIT, "seconds", "how long to wait for a lock, default 0"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "[options] --key path [file ...]\n"
    "--key path --store dir --batch id [file ...]\n"
    "--store dir --commit id | --abort id | --rollback id | --stats",
    {options, filter_options, NULL, NULL}};

struct dedup {
	struct key key;
	struct fpset *seen;
	struct last last;
	bool across, keep_last;
	uint64_t max_bytes, dropped;
	/* --across: what the open partition brought, to be taken out again
	 * where the partition turns out not to count */
	struct fp *fresh;
	size_t nfresh, cap_fresh;

	struct store store; /* path NULL: none */
	struct stage *stage;
	const char *batch, *day_path;
	bool one_file, require;
	uint64_t retain;
	int verb; /* option key; 0: a filter */
	const char *verb_batch;
	uint32_t generation;
};

static int
too_many(const struct dedup *d)
{
	warn_msg("--max-memory", "no room for more than %llu keys",
	    (unsigned long long)fpset_count(d->seen));
	return RC_OSERR;
}

/* Records from..to-1 of the batch, those that lie side by side as one. */
static void
put(struct filter *f, const struct batch *b, size_t from, size_t to)
{
	while (from < to) {
		const struct record *r = &b->rec[from];
		const char *end = r->text + r->len;
		size_t i = from + 1;

		while (i < to && *end == '\n' && b->rec[i].text == end + 1) {
			end = b->rec[i].text + b->rec[i].len;
			i++;
		}
		out_record(&f->out, r->text, (size_t)(end - r->text));
		f->written += i - from;
		from = i;
	}
}

/* ---- one record ---- */

static void
remember(struct dedup *d, struct fp x)
{
	if (d->nfresh == d->cap_fresh) {
		d->cap_fresh = d->cap_fresh == 0 ? 1024 : 2 * d->cap_fresh;
		d->fresh =
		    xreallocarray(d->fresh, d->cap_fresh, sizeof *d->fresh);
	}
	d->fresh[d->nfresh++] = x;
}

enum verdict { PASS, DROP, BAD, OLD, STOP };

struct look {
	struct fp x;
	int32_t day;
	enum verdict is;
	int rc; /* STOP: the run's end */
};

/* Finds the key, and the day with what the store knows of it. */
static void
look_at(struct dedup *d, const struct record *r, struct look *l)
{
	l->is = PASS;
	l->day = DAY_ALL;
	if (!key_of(&d->key, r, &l->x) || (d->stage != NULL && !d->one_file &&
					      !key_day(&d->key, r, &l->day))) {
		l->is = BAD;
		return;
	}
	if (d->stage != NULL) {
		l->rc = stage_day(d->stage, l->day);
		if (l->rc != RC_OK)
			l->is = l->rc == STAGE_OLD ? OLD : STOP;
	}
	fpset_prefetch(d->seen, l->x);
}

static void
stop(struct look *l, int rc)
{
	if (rc == RC_OK)
		return;
	l->is = STOP;
	l->rc = rc;
}

static void
judge(struct filter *f, const struct record *r, struct look *l)
{
	struct dedup *d = f->ctx;
	int added;

	if (d->keep_last) {
		l->is = DROP;
		if (!last_take(&d->last, l->x, r->text, r->len))
			stop(l, too_many(d));
		return;
	}
	added = fpset_add(d->seen, l->x);
	if (added < 0) {
		stop(l, too_many(d));
	} else if (added == 0) {
		l->is = DROP;
		d->dropped++;
		if (d->stage != NULL)
			stage_dropped(d->stage, l->day, l->x);
	} else if (d->stage != NULL) {
		stop(l, stage_take(d->stage, l->day, l->x));
	} else if (d->across && !f->in.part.plain) {
		remember(d, l->x);
	}
}

static int
reject(struct filter *f, const struct record *r, const struct look *l)
{
	struct dedup *d = f->ctx;
	size_t byte = 1;
	char day[DATE_LEN + 1];
	const char *why;

	if (l->is == BAD) {
		why = key_wrong(&d->key, r, &byte);
	} else {
		date_format(l->day, day);
		snprintf(d->key.why, sizeof d->key.why,
		    "day %s is older than what the store retains", day);
		why = d->key.why;
	}
	return filter_reject(f, r, byte, why);
}

/* ---- the filter ---- */

static int
records(struct filter *f, const struct batch *b)
{
	struct dedup *d = f->ctx;
	struct look l[BATCH_MAX];
	size_t from = 0;

	for (size_t i = 0; i < b->n; i++)
		look_at(d, &b->rec[i], &l[i]);
	for (size_t i = 0; i < b->n; i++) {
		int rc = RC_OK;

		if (l[i].is == PASS)
			judge(f, &b->rec[i], &l[i]);
		if (l[i].is == PASS)
			continue;
		put(f, b, from, i);
		from = i + 1;
		if (l[i].is == STOP)
			return l[i].rc;
		if (l[i].is != DROP)
			rc = reject(f, &b->rec[i], &l[i]);
		if (rc != RC_OK)
			return rc;
	}
	put(f, b, from, b->n);
	return RC_OK;
}

static int
begin(struct filter *f, const struct part *part)
{
	struct dedup *d = f->ctx;

	(void)part;
	d->nfresh = 0;
	if (d->stage != NULL)
		return stage_begin(d->stage);
	if (!d->across)
		fpset_clear(d->seen);
	return RC_OK;
}

/* What a partition brought that no reader keeps is not seen. */
static int
forget(struct dedup *d)
{
	for (size_t i = 0; i < d->nfresh; i++)
		fpset_remove(d->seen, d->fresh[i]);
	d->nfresh = 0;
	return d->stage != NULL ? stage_forget(d->stage) : RC_OK;
}

static void
cut(struct filter *f, const struct part *part)
{
	struct dedup *d = f->ctx;

	(void)part;
	(void)forget(d);
	last_clear(&d->last);
}

static int
end(struct filter *f, const struct part *part, struct part_end *e)
{
	struct dedup *d = f->ctx;
	bool counts =
	    e->outcome != OUTCOME_FAILED && e->outcome != OUTCOME_NOT_READY;

	(void)part;
	if (d->keep_last &&
	    last_write(&d->last, d->seen, f, &d->dropped) != RC_OK)
		return too_many(d);
	if (!counts)
		return forget(d);
	if (d->stage != NULL) {
		/* The records first, then the ids, then the end record. */
		int rc = out_flush(&f->out);

		return rc == RC_OK ? stage_end(d->stage) : rc;
	}
	return RC_OK;
}

static int
finish(struct filter *f)
{
	const struct dedup *d = f->ctx;

	stats_add("duplicates", d->dropped);
	return d->stage != NULL ? stage_finish(d->stage) : RC_OK;
}

/* ---- options ---- */

/* Three quarters of the machine's memory. */
static uint64_t
default_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages / 4 * 3 * (uint64_t)size
				     : UINT64_MAX;
}

static const char *
batch_arg(void)
{
	if (!file_name_ok(opt_arg()))
		opt_wrong(&set,
		    "%s: a batch id is 1 to 100 of A-Z a-z 0-9 . _ -, not "
		    "beginning with . or -",
		    opt_name());
	return opt_arg();
}

static void
take_verb(struct dedup *d, int key)
{
	if (d->verb != 0)
		opt_wrong(&set, "%s: one thing at a time", opt_name());
	d->verb = key;
	if (key != OPT_STATS)
		d->verb_batch = batch_arg();
}

/* Options of the store; false: it is none. */
static bool
store_option(struct dedup *d, int key)
{
	switch (key) {
	case OPT_STORE:
		d->store.path = opt_arg();
		return true;
	case OPT_BATCH:
		d->batch = batch_arg();
		return true;
	case OPT_DAY:
		d->day_path = opt_arg();
		return true;
	case OPT_ONE_FILE:
		d->one_file = true;
		return true;
	case OPT_COMMIT:
	case OPT_ABORT:
	case OPT_ROLLBACK:
	case OPT_STATS:
		take_verb(d, key);
		return true;
	case OPT_GENERATION:
		d->generation = (uint32_t)opt_u64(1, UINT32_MAX - 1);
		return true;
	case OPT_RETAIN:
		d->retain = opt_u64(1, 1000000);
		return true;
	case OPT_REQUIRE:
		d->require = true;
		return true;
	case OPT_WAIT:
		d->store.wait = (unsigned)opt_u64(0, 86400);
		return true;
	default:
		return false;
	}
}

static void
filter_option(struct dedup *d, struct filter *f, int key)
{
	const char *why;

	switch (key) {
	case 'k':
		why = key_add(&d->key, opt_arg());
		if (why != NULL)
			opt_wrong(&set, "--key: %s", why);
		break;
	case OPT_ACROSS:
		d->across = true;
		break;
	case OPT_LAST:
		d->keep_last = true;
		break;
	case OPT_MAX_MEMORY:
		d->max_bytes = opt_size(64u << 10, UINT64_MAX);
		break;
	default:
		filter_opt(f, key);
	}
}

static void
check_store_options(const struct dedup *d)
{
	if (d->store.path == NULL &&
	    (d->batch != NULL || d->verb != 0 || d->retain > 0 ||
		d->day_path != NULL || d->one_file || d->require))
		opt_wrong(&set, "--store is missing");
	if (d->generation > 0 && d->verb != OPT_ROLLBACK)
		opt_wrong(&set, "--generation belongs to --rollback");
	if (d->day_path != NULL && d->one_file)
		opt_wrong(&set, "--day and --one-file exclude each other");
	if (d->batch != NULL && d->verb != 0)
		opt_wrong(&set, "--batch is for a run over records");
	if (d->batch != NULL && (d->keep_last || d->across))
		opt_wrong(&set, "a store keeps the first record, in one scope "
				"for the whole run");
}

/* Is it a run over records? */
static bool
check_options(struct dedup *d)
{
	check_store_options(d);
	if (d->verb != 0 || (d->retain > 0 && d->batch == NULL))
		return false;
	if (d->key.n == 0)
		opt_wrong(&set, "--key is missing");
	if (d->store.path != NULL && d->batch == NULL)
		opt_wrong(&set, "--batch is missing");
	if (d->across && d->keep_last)
		opt_wrong(&set, "--last works within a partition");
	return true;
}

/* Where the day comes from; also the word for it in the ledger. */
static const char *
choose_day(struct dedup *d, const char *key)
{
	const char *why;

	if (d->day_path != NULL) {
		d->key.day = json_paths_add(d->key.paths, d->day_path, &why);
		if (d->key.day < 0)
			opt_wrong(&set, "--day: %s", why);
		return d->day_path;
	}
	if (strcmp(key, "event_id") != 0)
		d->one_file = true;
	return d->one_file ? "(none)" : "(key)";
}

/* ---- runs ---- */

static int
run_verb(struct dedup *d)
{
	int rc;

	stats_start();
	if (d->verb_batch != NULL)
		stats_text("batch", d->verb_batch);
	rc = store_open(&d->store, false);
	if (rc == RC_OK) {
		switch (d->verb) {
		case OPT_COMMIT:
			rc = verb_commit(&d->store, d->verb_batch);
			break;
		case OPT_ABORT:
			rc = verb_abort(&d->store, d->verb_batch);
			break;
		case OPT_ROLLBACK:
			rc = verb_rollback(
			    &d->store, d->verb_batch, d->generation);
			break;
		case OPT_STATS:
			rc = verb_stats(&d->store);
			break;
		default:
			rc = verb_retain(&d->store, d->retain);
		}
	}
	store_close(&d->store);
	stats_end(rc);
	return rc;
}

static int
open_stage(struct dedup *d)
{
	char *key = key_text(&d->key);
	struct stage_desc desc = {.s = &d->store,
	    .batch = d->batch,
	    .key = key,
	    .day = choose_day(d, key),
	    .retain = d->retain,
	    .require = d->require};
	int rc = RC_OK;

	if (d->require && access(d->store.path, F_OK) < 0) {
		warn_msg(d->store.path, "no store there, and --require-state");
		rc = RC_CONTRACT;
		d->store.dir = d->store.pending = d->store.locks = -1;
		d->store.lock = -1;
	}
	if (rc == RC_OK)
		rc = store_open(&d->store, true);
	if (rc == RC_OK)
		rc = stage_open(&d->stage, &desc, d->seen);
	if (rc == RC_OK)
		d->key.secret = d->store.l.secret;
	free(key);
	return rc;
}

static int
run_filter(struct dedup *d, struct filter *f, char **files, size_t n)
{
	int rc = RC_OK;

	fp_key_random(&d->key.secret);
	d->seen = fpset_new(d->max_bytes);
	d->last.max_bytes = d->max_bytes;
	if (d->batch != NULL) {
		stats_text("batch", d->batch);
		f->flags |= FILTER_STATE;
		rc = open_stage(d);
	}
	f->ctx = d;
	f->paths = d->key.paths;
	f->begin = begin;
	f->records = records;
	f->end = end;
	f->cut = cut;
	f->finish = finish;
	if (rc == RC_OK)
		rc = filter_run(f, files, n);
	last_clear(&d->last);
	stage_close(d->stage);
	if (d->batch != NULL)
		store_close(&d->store);
	fpset_free(d->seen);
	free(d->fresh);
	return rc;
}

int
main(int argc, char **argv)
{
	struct dedup d = {.max_bytes = default_memory()};
	struct filter f;
	int rc, key, at;

	diag_init(argv[0]);
	key_init(&d.key);
	filter_init(&f);
	while ((key = opt_next(&set, argc, argv)) != -1)
		if (!store_option(&d, key))
			filter_option(&d, &f, key);
	at = opt_index();
	if (check_options(&d)) {
		rc = run_filter(&d, &f, argv + at, (size_t)(argc - at));
	} else {
		if (at < argc)
			opt_wrong(&set, "no files are read here");
		rc = run_verb(&d);
	}
	key_release(&d.key);
	return rc;
}
