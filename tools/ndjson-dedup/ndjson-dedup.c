/* Keeps the first record of each key, or the last one. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "filter.h"
#include "fpset.h"
#include "key.h"
#include "last.h"
#include "mem.h"
#include "stats.h"

enum {
	OPT_ACROSS = OPT_TOOL,
	OPT_LAST,
	OPT_MAX_MEMORY,
};

static const struct opt options[] = {
    {"key", 'k', "path", "paths of the key, joined by commas or repeated"},
    {"across", OPT_ACROSS, NULL, "one scope for the whole input"},
    {"last", OPT_LAST, NULL, "keep the last record of a key"},
    {"max-memory", OPT_MAX_MEMORY, "size", "most memory for keys and records"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "[options] --key path [file ...]", {options, filter_options, NULL, NULL}};

struct dedup {
	struct key key;
	struct fpset *seen;
	struct last last;
	bool across, keep_last;
	uint64_t max_bytes, dropped;
	/* --across: the members that the open partition brought, to be taken
	 * out again where it turns out not to count */
	struct fp *fresh;
	size_t nfresh, cap_fresh;
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

		while (i < to && *end == '\n' && b->rec[i].text == end + 1)
			end = b->rec[i].text + b->rec[i].len, i++;
		out_record(&f->out, r->text, (size_t)(end - r->text));
		f->written += i - from;
		from = i;
	}
}

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

/* 1: pass it on; 0: drop it; -1: no room. */
static int
judge(struct filter *f, const struct record *r, struct fp x)
{
	struct dedup *d = f->ctx;
	int added;

	if (d->keep_last)
		return last_take(&d->last, x, r->text, r->len) ? 0 : -1;
	added = fpset_add(d->seen, x);
	if (added == 0)
		d->dropped++;
	else if (added == 1 && d->across && !f->in.part.plain)
		remember(d, x);
	return added;
}

static int
reject(struct filter *f, const struct record *r)
{
	struct dedup *d = f->ctx;
	size_t byte;
	const char *why = key_wrong(&d->key, r, &byte);

	return filter_reject(f, r, byte, why);
}

static int
records(struct filter *f, const struct batch *b)
{
	struct dedup *d = f->ctx;
	struct fp x[BATCH_MAX];
	bool good[BATCH_MAX];
	size_t from = 0;

	for (size_t i = 0; i < b->n; i++) {
		good[i] = key_of(&d->key, &b->rec[i], &x[i]);
		if (good[i])
			fpset_prefetch(d->seen, x[i]);
	}
	for (size_t i = 0; i < b->n; i++) {
		int verdict = good[i] ? judge(f, &b->rec[i], x[i]) : 0;
		int rc = RC_OK;

		if (verdict == 1)
			continue;
		put(f, b, from, i);
		from = i + 1;
		if (verdict < 0)
			return too_many(d);
		if (!good[i])
			rc = reject(f, &b->rec[i]);
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
	if (!d->across)
		fpset_clear(d->seen);
	return RC_OK;
}

/* What a partition brought that no reader keeps is not seen. */
static void
forget(struct dedup *d)
{
	for (size_t i = 0; i < d->nfresh; i++)
		fpset_remove(d->seen, d->fresh[i]);
	d->nfresh = 0;
}

static void
cut(struct filter *f, const struct part *part)
{
	struct dedup *d = f->ctx;

	(void)part;
	forget(d);
	last_clear(&d->last);
}

static int
end(struct filter *f, const struct part *part, struct part_end *e)
{
	struct dedup *d = f->ctx;

	(void)part;
	if (e->outcome == OUTCOME_FAILED || e->outcome == OUTCOME_NOT_READY)
		forget(d);
	if (d->keep_last &&
	    last_write(&d->last, d->seen, f, &d->dropped) != RC_OK)
		return too_many(d);
	return RC_OK;
}

static int
finish(struct filter *f)
{
	const struct dedup *d = f->ctx;

	stats_add("duplicates", d->dropped);
	return RC_OK;
}

/* Three quarters of the machine's memory. */
static uint64_t
default_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (uint64_t)pages / 4 * 3 * (uint64_t)size
				     : UINT64_MAX;
}

static void
take_options(struct dedup *d, struct filter *f, int argc, char **argv)
{
	const char *why;
	int key;

	while ((key = opt_next(&set, argc, argv)) != -1) {
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
	if (d->key.n == 0)
		opt_wrong(&set, "--key is missing");
	if (d->across && d->keep_last)
		opt_wrong(
		    &set, "--last works within a partition, not --across");
}

int
main(int argc, char **argv)
{
	struct dedup d = {.max_bytes = default_memory()};
	struct filter f;
	int rc;

	diag_init(argv[0]);
	key_init(&d.key);
	filter_init(&f);
	take_options(&d, &f, argc, argv);
	fp_key_random(&d.key.secret);
	d.seen = fpset_new(d.max_bytes);
	d.last.max_bytes = d.max_bytes;
	f.ctx = &d;
	f.paths = d.key.paths;
	f.begin = begin;
	f.records = records;
	f.end = end;
	f.cut = cut;
	f.finish = finish;
	rc = filter_run(&f, argv + opt_index(), (size_t)(argc - opt_index()));
	last_clear(&d.last);
	fpset_free(d.seen);
	key_release(&d.key);
	free(d.fresh);
	return rc;
}
