/*
 * The state of one partition: cells (date, app, platform), and in each an
 * accumulator for each metric, segment value and unit.
 *
 * Records are counted in the finest accumulators. What stands over several of
 * them (the total over a segment, platform all, all currencies of a count) is
 * made from these at the end. For exact distinct counts a family (date, app,
 * key) has each key once, with the set of the finest that saw it; where a
 * family has too many of them, each has its keys in one common set, and a key
 * that is new in the finest is asked for in those over it at once.
 */
#ifndef KPI_AGG_H
#define KPI_AGG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dec.h"
#include "dict.h"
#include "fpset.h"
#include "keys.h"
#include "sum.h"

/* A text, once: equal texts are the same pointer. */
struct text {
	struct text *next;
	struct seen *event, *app; /* where it is to be told of */
	uint64_t hash;
	size_t len;
	char s[];
};

struct cell {
	struct cell *next;
	struct cell *all; /* the same for platform all; NULL in one such */
	int32_t day;
	const struct text *app, *platform;
	const struct app_conf *conf; /* NULL: an app that nobody knows */
	size_t rank;                 /* in output order, set by agg_finish */
	bool wanted; /* has rows: records were counted, or the apps name it */
};

/* An event that a funnel looks at, or an amount that counts once. */
struct event {
	struct fp who;
	int64_t us;
	uint32_t steps;
	struct dec value;
};

struct events {
	struct event *v;
	size_t n, room;
};

/* The accumulators of distinct counts of the same keys. */
struct family {
	struct family *next, *chain;
	int32_t day;
	const struct text *app;
	int key;
	bool direct;    /* too many places: in the common set */
	uint64_t bytes; /* of keys, when they last grew */
	struct keys keys;
	struct acc **place;
	unsigned nplaces;
};

#define UP_MAX 7
struct acc {
	struct acc *next;
	struct cell *cell;
	int metric, segment;             /* segment -1: all values */
	const struct text *value, *unit; /* NULL: all */
	bool finest;
	uint8_t nup;
	struct acc *up[UP_MAX];
	struct acc *all;       /* where all is the sum of the platforms */
	struct family *family; /* of the finest of a distinct count */
	unsigned place;
	struct fp salt; /* of its keys in the common set */
	uint64_t n;     /* records counted; distinct keys */
	struct sum sum;
	struct dec least; /* or greatest */
	uint8_t *hll;
	struct events events;
	struct fp *keys; /* kept for a partial result */
	size_t nkeys, keys_room;
};

/* Something to tell at the end: a name that is not in the configuration. */
struct seen {
	struct seen *next;
	const struct text *name;
	uint64_t n;
};

#define FAMILY_SLOTS 1024
struct agg {
	const struct dict *d;
	const struct apps *apps;
	struct fpset *set; /* of families that are direct */
	struct family *families, *family_by[FAMILY_SLOTS];
	bool keep_keys;
	uint64_t max_groups, max_memory, key_bytes;
	struct text **texts;
	size_t ntexts, text_slots;
	struct cell **cells;
	size_t ncells, cell_slots;
	struct acc **accs;
	size_t naccs, acc_slots;
	struct seen *events, *apps_unknown;
	uint64_t excluded, not_numbers;
	bool *off; /* metrics that are not of this feed */
};

void agg_init(struct agg *a, const struct dict *d, const struct apps *apps);
void agg_release(struct agg *a);
/* Whose records these are: metrics of other feeds have no rows. False: no
 * metric is of this feed. */
bool agg_feed(struct agg *a, const char *feed);

const struct text *agg_text(struct agg *a, const char *p, size_t n);
/* The cell, made at need (and that of platform all with it). */
struct cell *agg_cell(struct agg *a, int32_t day, const struct text *app,
    const struct app_conf *conf, const struct text *platform);
/* The accumulator that records are counted in, made at need. NULL: there are
 * more groups than --max-groups. segment is a place in the dictionary's list
 * or -1, `first` whether the metric's total is to be made of this one. */
struct acc *agg_finest(struct agg *a, struct cell *c, int metric, int segment,
    const struct text *value, const struct text *unit, bool first);
struct seen *agg_seen(
    struct agg *a, struct seen **list, const char *p, size_t n);

static inline struct fp
acc_key(const struct acc *x, struct fp k)
{
	k.lo ^= x->salt.lo;
	k.hi ^= x->salt.hi;
	if ((k.lo | k.hi) == 0)
		k.lo = 1;
	return k;
}

static inline void
family_prefetch(const struct agg *a, const struct family *f,
    const struct acc *x, struct fp key)
{
	if (f->direct)
		fpset_prefetch(a->set, acc_key(x, key));
	else
		fpset_prefetch(f->keys.set, key);
}

/* Counts a key where it is new. False: the memory that is allowed is used
 * up. */
bool agg_key(struct agg *a, struct acc *x, struct fp key);

/* The same where family and place are at hand. */
static inline bool
family_key(struct agg *a, struct family *f, struct acc *x, unsigned place,
    struct fp key)
{
	if (f->direct || f->keys.set->count >= f->keys.set->full)
		return agg_key(a, x, key);
	keys_mark(&f->keys, key, place);
	return true;
}
void acc_event(struct acc *x, const struct event *e);
void acc_value(const struct agg *a, struct acc *x, const struct dec *v);
void acc_approx(struct acc *x, uint64_t hash);

/*
 * Makes what stands over the finest, and cells and accumulators for what had
 * nothing. Called once, when all is counted; the accumulators are then in
 * output order in *sorted (count in *n), which the caller frees.
 */
void agg_finish(struct agg *a, struct acc ***sorted, size_t *n);
/* The same without adding anything: what is there, in output order. */
struct acc **agg_sorted(struct agg *a, size_t *n);
struct cell **agg_cells(struct agg *a);
void agg_sort_seen(struct seen **list); /* by name */
/* Makes ready for a partial result: keys go from the families to the
 * accumulators, and events are in order. */
void agg_to_partial(struct agg *a);
uint64_t agg_count_keys(const struct agg *a);
/* Order by bytes; NULL first. */
int text_order(const struct text *a, const struct text *b);

#endif
