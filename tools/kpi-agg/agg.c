/* Cells and accumulators. */
#include "agg.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "hll.h"
#include "mem.h"
#include "sys.h"

#define SLOTS ((size_t)1024)

/* Drawn once a process: no input can choose what collides. */
static uint64_t
seed(void)
{
	static uint64_t s;

	while (s == 0)
		sys_random(&s, sizeof s);
	return s;
}

void
agg_init(struct agg *a, const struct dict *d, const struct apps *apps)
{
	*a = (struct agg){.d = d, .apps = apps};
	a->text_slots = a->cell_slots = a->acc_slots = SLOTS;
	a->texts = xcalloc(SLOTS, sizeof *a->texts);
	a->cells = xcalloc(SLOTS, sizeof *a->cells);
	a->accs = xcalloc(SLOTS, sizeof *a->accs);
	a->max_groups = UINT64_MAX;
	a->off = xcalloc((size_t)d->nmetric + 1, sizeof *a->off);
}

bool
agg_feed(struct agg *a, const char *feed)
{
	bool any = false;

	for (int i = 0; i < a->d->nmetric; i++) {
		a->off[i] = !metric_of_feed(a->d, &a->d->metric[i], feed);
		any = any || !a->off[i];
	}
	return any;
}

static void
acc_free(struct acc *x)
{
	sum_release(&x->sum);
	free(x->hll);
	free(x->events.v);
	free(x->keys);
	free(x);
}

static void
seen_free(struct seen *s)
{
	for (struct seen *next; s != NULL; s = next) {
		next = s->next;
		free(s);
	}
}

void
agg_release(struct agg *a)
{
	for (size_t i = 0; i < a->text_slots; i++)
		for (struct text *t = a->texts[i], *next; t != NULL; t = next) {
			next = t->next;
			free(t);
		}
	for (size_t i = 0; i < a->cell_slots; i++)
		for (struct cell *c = a->cells[i], *next; c != NULL; c = next) {
			next = c->next;
			free(c);
		}
	for (size_t i = 0; i < a->acc_slots; i++)
		for (struct acc *x = a->accs[i], *next; x != NULL; x = next) {
			next = x->next;
			acc_free(x);
		}
	for (struct family *f = a->families, *next; f != NULL; f = next) {
		next = f->next;
		keys_release(&f->keys);
		free(f->place);
		free(f);
	}
	free(a->texts);
	free(a->cells);
	free(a->accs);
	free(a->off);
	seen_free(a->events);
	seen_free(a->apps_unknown);
	fpset_free(a->set);
}

static void
texts_grow(struct agg *a)
{
	size_t slots = 4 * a->text_slots;
	struct text **t = xcalloc(slots, sizeof *t);

	for (size_t i = 0; i < a->text_slots; i++)
		for (struct text *x = a->texts[i], *next; x != NULL; x = next) {
			next = x->next;
			x->next = t[x->hash & (slots - 1)];
			t[x->hash & (slots - 1)] = x;
		}
	free(a->texts);
	a->texts = t;
	a->text_slots = slots;
}

static struct text *
text_get(struct agg *a, const char *p, size_t n)
{
	const char *s = n > 0 ? p : ""; /* an empty text may stand nowhere */
	uint64_t h = XXH3_64bits_withSeed(s, n, seed());
	struct text *t = a->texts[h & (a->text_slots - 1)];

	while (t != NULL &&
	       (t->hash != h || t->len != n || memcmp(t->s, s, n) != 0))
		t = t->next;
	if (t != NULL)
		return t;
	if (a->ntexts++ >= a->text_slots)
		texts_grow(a);
	t = xmalloc(sizeof *t + n + 1);
	t->event = t->app = NULL;
	t->hash = h;
	t->len = n;
	memcpy(t->s, s, n);
	t->s[n] = '\0';
	t->next = a->texts[h & (a->text_slots - 1)];
	a->texts[h & (a->text_slots - 1)] = t;
	return t;
}

const struct text *
agg_text(struct agg *a, const char *p, size_t n)
{
	return text_get(a, p, n);
}

static uint64_t
cell_hash(int32_t day, const struct text *app, const struct text *platform)
{
	const uint64_t k[3] = {
	    (uint64_t)(uint32_t)day, app->hash, platform->hash};

	return XXH3_64bits_withSeed(k, sizeof k, seed());
}

static void
cells_grow(struct agg *a)
{
	size_t slots = 4 * a->cell_slots;
	struct cell **t = xcalloc(slots, sizeof *t);

	for (size_t i = 0; i < a->cell_slots; i++)
		for (struct cell *c = a->cells[i], *next; c != NULL; c = next) {
			size_t at = cell_hash(c->day, c->app, c->platform) &
				    (slots - 1);

			next = c->next;
			c->next = t[at];
			t[at] = c;
		}
	free(a->cells);
	a->cells = t;
	a->cell_slots = slots;
}

static struct cell *
one_cell(struct agg *a, int32_t day, const struct text *app,
    const struct app_conf *conf, const struct text *platform, bool *is_new)
{
	uint64_t h = cell_hash(day, app, platform);
	struct cell *c = a->cells[h & (a->cell_slots - 1)];

	while (c != NULL &&
	       (c->day != day || c->app != app || c->platform != platform))
		c = c->next;
	*is_new = c == NULL;
	if (c != NULL)
		return c;
	if (a->ncells++ >= a->cell_slots)
		cells_grow(a);
	c = xcalloc(1, sizeof *c);
	*c = (struct cell){
	    .day = day, .app = app, .conf = conf, .platform = platform};
	c->next = a->cells[h & (a->cell_slots - 1)];
	a->cells[h & (a->cell_slots - 1)] = c;
	return c;
}

struct cell *
agg_cell(struct agg *a, int32_t day, const struct text *app,
    const struct app_conf *conf, const struct text *platform)
{
	bool is_new, all_new;
	struct cell *c = one_cell(a, day, app, conf, platform, &is_new);

	if (is_new && a->d->all && strcmp(platform->s, "all") != 0)
		c->all = one_cell(
		    a, day, app, conf, agg_text(a, "all", 3), &all_new);
	return c;
}

static uint64_t
acc_hash(const struct cell *c, int metric, int segment,
    const struct text *value, const struct text *unit)
{
	const uint64_t k[4] = {(uint64_t)(uintptr_t)c,
	    (uint64_t)(uint32_t)metric << 32 | (uint32_t)segment,
	    (uint64_t)(uintptr_t)value, (uint64_t)(uintptr_t)unit};

	return XXH3_64bits_withSeed(k, sizeof k, seed());
}

static void
accs_grow(struct agg *a)
{
	size_t slots = 4 * a->acc_slots;
	struct acc **t = xcalloc(slots, sizeof *t);

	for (size_t i = 0; i < a->acc_slots; i++)
		for (struct acc *x = a->accs[i], *next; x != NULL; x = next) {
			size_t at = acc_hash(x->cell, x->metric, x->segment,
					x->value, x->unit) &
				    (slots - 1);

			next = x->next;
			x->next = t[at];
			t[at] = x;
		}
	free(a->accs);
	a->accs = t;
	a->acc_slots = slots;
}

static struct acc *
acc_get(struct agg *a, struct cell *c, int metric, int segment,
    const struct text *value, const struct text *unit)
{
	uint64_t h = acc_hash(c, metric, segment, value, unit);
	struct acc *x = a->accs[h & (a->acc_slots - 1)];

	while (x != NULL &&
	       (x->cell != c || x->metric != metric || x->segment != segment ||
		   x->value != value || x->unit != unit))
		x = x->next;
	if (x != NULL)
		return x;
	if (a->naccs++ >= a->acc_slots)
		accs_grow(a);
	x = xcalloc(1, sizeof *x);
	x->cell = c;
	x->metric = metric;
	x->segment = segment;
	x->value = value;
	x->unit = unit;
	sys_random(&x->salt, sizeof x->salt);
	x->next = a->accs[h & (a->acc_slots - 1)];
	a->accs[h & (a->acc_slots - 1)] = x;
	return x;
}

/* Those over x: bit 0 platform all, bit 1 the total, bit 2 all units. */
static void
link_up(struct agg *a, struct acc *x, bool first)
{
	const struct dict_metric *m = &a->d->metric[x->metric];
	unsigned can = 0;

	if (x->cell->all != NULL && !m->sum_all)
		can |= 1;
	if (x->segment >= 0 && first && m->total)
		can |= 2;
	if (x->unit != NULL && m->split >= 0)
		can |= 4;
	for (unsigned s = 1; s < 8; s++)
		if ((s & ~can) == 0)
			x->up[x->nup++] = acc_get(a,
			    s & 1 ? x->cell->all : x->cell, x->metric,
			    s & 2 ? -1 : x->segment, s & 2 ? NULL : x->value,
			    s & 4 ? NULL : x->unit);
	if (x->cell->all == NULL || !m->sum_all)
		return;
	x->all =
	    acc_get(a, x->cell->all, x->metric, x->segment, x->value, x->unit);
	for (unsigned i = 0; i < x->nup; i++)
		x->up[i]->all = acc_get(a, x->cell->all, x->metric,
		    x->up[i]->segment, x->up[i]->value, x->up[i]->unit);
}

struct seen *
agg_seen(struct agg *a, struct seen **list, const char *p, size_t n)
{
	struct text *name = text_get(a, p, n);
	struct seen **at = list == &a->events ? &name->event : &name->app;
	struct seen *s = *at;

	if (s == NULL) {
		s = xcalloc(1, sizeof *s);
		s->name = name;
		s->next = *list;
		*list = s;
		*at = s;
	}
	return s;
}

static bool
keep_key(struct agg *a, struct acc *x, struct fp key)
{
	(void)a;
	if (x->nkeys == x->keys_room) {
		x->keys_room = x->keys_room == 0 ? 64 : 2 * x->keys_room;
		x->keys = xreallocarray(x->keys, x->keys_room, sizeof *x->keys);
	}
	x->keys[x->nkeys++] = key;
	return true;
}

/* In the common set. */
static bool
add_direct(struct agg *a, struct acc *x, struct fp key)
{
	int is_new = fpset_add(a->set, acc_key(x, key));

	if (is_new <= 0)
		return is_new == 0;
	x->n++;
	if (a->keep_keys) /* what stands over it is made when merged */
		return keep_key(a, x, key);
	for (unsigned i = 0; i < x->nup; i++) {
		is_new = fpset_add(a->set, acc_key(x->up[i], key));
		if (is_new < 0)
			return false;
		x->up[i]->n += (uint64_t)is_new;
	}
	return true;
}

static struct family *
get_family(struct agg *a, const struct cell *c, int key)
{
	uint64_t h = XXH3_64bits_withSeed(
	    &c->day, sizeof c->day, c->app->hash + (uint64_t)key);
	struct family **at = &a->family_by[h % FAMILY_SLOTS], *f = *at;

	while (f != NULL &&
	       (f->day != c->day || f->app != c->app || f->key != key))
		f = f->chain;
	if (f != NULL)
		return f;
	f = xcalloc(1, sizeof *f);
	f->day = c->day;
	f->app = c->app;
	f->key = key;
	keys_init(&f->keys);
	f->chain = *at;
	*at = f;
	f->next = a->families;
	a->families = f;
	return f;
}

/* For each key of the family and each place that saw it. */
static bool
spread(struct agg *a, const struct family *f,
    bool (*visit)(struct agg *a, struct acc *x, struct fp key))
{
	const struct fpset *set = f->keys.set;

	for (size_t i = 0; i < set->total; i++) {
		const struct fp *p = &set->slot[i];
		uint64_t places[KEYS_WORDS_MAX];

		if (fp_word(p) == 0)
			continue;
		keys_places(&f->keys, fp_word(p), places);
		for (unsigned w = 0; w < KEYS_WORDS_MAX; w++)
			for (uint64_t m = places[w]; m != 0; m &= m - 1)
				if (!visit(a,
					f->place[64 * w +
						 (unsigned)__builtin_ctzll(m)],
					keys_kept(*p)))
					return false;
	}
	return true;
}

/* A place more for the family. Where they are too many, its keys go over to
 * the common set: a place that few keys see costs the others nothing there. */
static bool
add_place(struct agg *a, struct family *f, struct acc *x)
{
	x->family = f;
	x->place = f->nplaces;
	if (f->direct)
		return true;
	if (f->nplaces == KEYS_PLACES_MAX) {
		f->direct = true;
		if (!spread(a, f, add_direct))
			return false;
		a->key_bytes -= f->bytes;
		keys_release(&f->keys);
		return true;
	}
	if (f->nplaces == 64 * f->keys.words)
		keys_widen(&f->keys);
	f->place = xreallocarray(
	    f->place, (size_t)f->nplaces + 1, sizeof(struct acc *));
	f->place[f->nplaces++] = x;
	return true;
}

struct acc *
agg_finest(struct agg *a, struct cell *c, int metric, int segment,
    const struct text *value, const struct text *unit, bool first)
{
	struct acc *x = acc_get(a, c, metric, segment, value, unit);
	const struct dict_metric *m = &a->d->metric[metric];

	if (!x->finest) {
		x->finest = true;
		link_up(a, x, first);
		if (m->agg == AGG_DISTINCT &&
		    !add_place(a, get_family(a, c, m->key), x))
			return NULL;
	}
	return a->naccs > a->max_groups ? NULL : x;
}

/* --- counting --- */

/* Room for a key more. False: over the memory that is allowed. */
static bool
family_room(struct agg *a, struct family *f)
{
	uint64_t bytes;

	if (f->keys.set->count < f->keys.set->full)
		return true;
	bytes = keys_bytes(&f->keys);
	a->key_bytes += bytes - f->bytes;
	f->bytes = bytes;
	if (a->max_memory != 0 && a->key_bytes + bytes / 2 > a->max_memory)
		return false;
	return fpset_grow(f->keys.set);
}

bool
agg_key(struct agg *a, struct acc *x, struct fp key)
{
	struct family *f = x->family;

	if (f->direct)
		return add_direct(a, x, keys_kept(key));
	if (!family_room(a, f))
		return false;
	keys_mark(&f->keys, key, x->place);
	return true;
}

static bool
keep_and_count(struct agg *a, struct acc *x, struct fp key)
{
	x->n++;
	return keep_key(a, x, key);
}

uint64_t
agg_count_keys(const struct agg *a)
{
	uint64_t n = a->set == NULL ? 0 : fpset_count(a->set);

	for (const struct family *f = a->families; f != NULL; f = f->next)
		n += f->direct ? 0 : fpset_count(f->keys.set);
	return n;
}

void
acc_approx(struct acc *x, uint64_t hash)
{
	if (x->hll == NULL)
		x->hll = xcalloc(1, HLL_SIZE);
	hll_add(x->hll, hash);
	x->n++;
}

void
acc_value(const struct agg *a, struct acc *x, const struct dec *v)
{
	enum agg_kind k = a->d->metric[x->metric].agg;

	if (k == AGG_SUM || k == AGG_AVG)
		sum_add(&x->sum, v);
	else if (x->n == 0 || k == AGG_ONE ||
		 (k == AGG_MIN ? dec_cmp(v, &x->least) < 0
			       : dec_cmp(v, &x->least) > 0))
		x->least = *v;
	x->n++;
}

void
acc_event(struct acc *x, const struct event *e)
{
	struct events *s = &x->events;

	if (s->n == s->room) {
		s->room = s->room == 0 ? 64 : 2 * s->room;
		s->v = xreallocarray(s->v, s->room, sizeof *s->v);
	}
	s->v[s->n++] = *e;
	x->n++;
}

/* --- the end --- */

static void
merge_up(const struct agg *a, struct acc *up, const struct acc *x)
{
	switch (a->d->metric[x->metric].agg) {
	case AGG_DISTINCT:
	case AGG_RATIO:
		return;
	case AGG_MIN:
	case AGG_MAX:
	case AGG_ONE:
		if (x->n > 0) {
			acc_value(a, up, &x->least);
			up->n += x->n - 1;
		}
		return;
	case AGG_SUM:
	case AGG_AVG:
		sum_merge(&up->sum, &x->sum);
		break;
	case AGG_APPROX:
		if (x->hll != NULL) {
			if (up->hll == NULL)
				up->hll = xcalloc(1, HLL_SIZE);
			hll_merge(up->hll, x->hll);
		}
		break;
	case AGG_FUNNEL:
	case AGG_COUNT:
		break;
	}
	for (size_t i = 0; i < x->events.n; i++)
		acc_event(up, &x->events.v[i]);
	up->n += x->n - x->events.n;
}

static int
by_event(const void *pa, const void *pb)
{
	const struct event *a = pa, *b = pb;
	int c;

	if (a->who.hi != b->who.hi)
		return a->who.hi < b->who.hi ? -1 : 1;
	if (a->who.lo != b->who.lo)
		return a->who.lo < b->who.lo ? -1 : 1;
	if (a->us != b->us)
		return a->us < b->us ? -1 : 1;
	if (a->steps != b->steps)
		return a->steps < b->steps ? -1 : 1;
	c = dec_cmp(&a->value, &b->value);
	return c;
}

/* Of each key the earliest amount counts, the least of several such. */
static void
settle_once(struct acc *x)
{
	struct events *s = &x->events;

	for (size_t i = 0; i < s->n; i++)
		if (i == 0 || s->v[i].who.hi != s->v[i - 1].who.hi ||
		    s->v[i].who.lo != s->v[i - 1].who.lo)
			sum_add(&x->sum, &s->v[i].value);
}

static void
sort_events(struct events *s)
{
	if (s->n > 1)
		qsort(s->v, s->n, sizeof *s->v, by_event);
}

void
agg_to_partial(struct agg *a)
{
	for (struct family *f = a->families; f != NULL; f = f->next)
		if (!f->direct)
			spread(a, f, keep_and_count);
	for (size_t i = 0; i < a->acc_slots; i++)
		for (struct acc *x = a->accs[i]; x != NULL; x = x->next)
			sort_events(&x->events);
}

static int
text_cmp(const struct text *a, const struct text *b)
{
	int c = memcmp(a->s, b->s, a->len < b->len ? a->len : b->len);

	return c != 0 ? c : (a->len > b->len) - (a->len < b->len);
}

static int
by_cell(const void *pa, const void *pb)
{
	const struct cell *a = *(struct cell *const *)pa;
	const struct cell *b = *(struct cell *const *)pb;
	int c;

	if (a->day != b->day)
		return a->day < b->day ? -1 : 1;
	c = text_cmp(a->app, b->app);
	return c != 0 ? c : text_cmp(a->platform, b->platform);
}

int
text_order(const struct text *a, const struct text *b)
{
	if (a == b)
		return 0;
	if (a == NULL || b == NULL)
		return a == NULL ? -1 : 1;
	return text_cmp(a, b);
}

static int
by_acc(const void *pa, const void *pb)
{
	const struct acc *a = *(struct acc *const *)pa;
	const struct acc *b = *(struct acc *const *)pb;
	int c;

	if (a->cell != b->cell)
		return a->cell->rank < b->cell->rank ? -1 : 1;
	if (a->metric != b->metric)
		return a->metric < b->metric ? -1 : 1;
	if (a->segment != b->segment)
		return a->segment < b->segment ? -1 : 1;
	c = text_order(a->value, b->value);
	return c != 0 ? c : text_order(a->unit, b->unit);
}

static struct acc **
all_accs(struct agg *a)
{
	struct acc **v = xcalloc(a->naccs + 1, sizeof(struct acc *));
	size_t n = 0;

	for (size_t i = 0; i < a->acc_slots; i++)
		for (struct acc *x = a->accs[i]; x != NULL; x = x->next)
			v[n++] = x;
	return v;
}

struct cell **
agg_cells(struct agg *a)
{
	struct cell **v = xcalloc(a->ncells + 1, sizeof(struct cell *));
	size_t n = 0;

	for (size_t i = 0; i < a->cell_slots; i++)
		for (struct cell *c = a->cells[i]; c != NULL; c = c->next)
			v[n++] = c;
	qsort(v, n, sizeof(struct cell *), by_cell);
	for (size_t i = 0; i < n; i++)
		v[i]->rank = i;
	return v;
}

struct acc **
agg_sorted(struct agg *a, size_t *n)
{
	struct acc **v = all_accs(a);

	qsort(v, a->naccs, sizeof(struct acc *), by_acc);
	*n = a->naccs;
	return v;
}

static int
by_name(const void *pa, const void *pb)
{
	const struct seen *a = *(struct seen *const *)pa;
	const struct seen *b = *(struct seen *const *)pb;

	return text_order(a->name, b->name);
}

void
agg_sort_seen(struct seen **list)
{
	struct seen **v = NULL;
	size_t n = 0;

	for (struct seen *s = *list; s != NULL; s = s->next)
		n++;
	if (n == 0)
		return;
	v = xcalloc(n, sizeof(struct seen *));
	n = 0;
	for (struct seen *s = *list; s != NULL; s = s->next)
		v[n++] = s;
	qsort(v, n, sizeof(struct seen *), by_name);
	*list = v[0];
	for (size_t i = 0; i < n; i++)
		v[i]->next = i + 1 < n ? v[i + 1] : NULL;
	free(v);
}

/* An accumulator over several places of a family, and which they are. */
struct over {
	struct acc *acc;
	uint64_t places[KEYS_WORDS_MAX];
};

struct overs {
	struct over *v;
	size_t n;
};

static void
add_over(struct overs *o, struct acc *x, unsigned place)
{
	size_t i = 0;

	while (i < o->n && o->v[i].acc != x)
		i++;
	if (i == o->n) {
		o->v = xreallocarray(o->v, o->n + 1, sizeof *o->v);
		o->v[o->n++] = (struct over){.acc = x};
	}
	o->v[i].places[place / 64] |= (uint64_t)1 << place % 64;
}

/* Many keys were seen at the same places: these are asked once. */
#define SAME 1024
struct same {
	uint64_t places[KEYS_WORDS_MAX];
	uint64_t n;
};

static void
count_same(const struct family *f, const struct overs *o, struct same *s)
{
	for (unsigned w = 0; s->n > 0 && w < KEYS_WORDS_MAX; w++)
		for (uint64_t m = s->places[w]; m != 0; m &= m - 1)
			f->place[64 * w + (unsigned)__builtin_ctzll(m)]->n +=
			    s->n;
	for (size_t i = 0; s->n > 0 && i < o->n; i++) {
		uint64_t hit = 0;

		for (unsigned w = 0; w < KEYS_WORDS_MAX; w++)
			hit |= o->v[i].places[w] & s->places[w];
		if (hit != 0)
			o->v[i].acc->n += s->n;
	}
	s->n = 0;
}

static void
count_slots(const struct family *f, const struct overs *o, struct same *cache)
{
	const struct fpset *set = f->keys.set;

	for (size_t i = 0; i < set->total; i++) {
		uint32_t word = fp_word(&set->slot[i]);
		uint64_t places[KEYS_WORDS_MAX], h = 0;
		struct same *c;

		if (word == 0)
			continue;
		keys_places(&f->keys, word, places);
		for (unsigned w = 0; w < KEYS_WORDS_MAX; w++)
			h = (h ^ places[w]) * 0x9e3779b97f4a7c15u;
		c = &cache[h >> 54];
		if (memcmp(c->places, places, sizeof places) != 0) {
			count_same(f, o, c);
			memcpy(c->places, places, sizeof places);
		}
		c->n++;
	}
	for (size_t i = 0; i < SAME; i++)
		count_same(f, o, &cache[i]);
}

/* The counts of a family: of its places and of all that stands over them. */
static void
count_family(const struct family *f)
{
	struct overs o = {NULL, 0};
	struct same *cache = xcalloc(SAME, sizeof *cache);

	for (unsigned i = 0; i < f->nplaces; i++)
		for (unsigned u = 0; u < f->place[i]->nup; u++)
			add_over(&o, f->place[i]->up[u], i);

	count_slots(f, &o, cache);
	free(cache);
	free(o.v);
}

void
agg_finish(struct agg *a, struct acc ***sorted, size_t *n)
{
	struct cell **cells;
	struct acc **v;

	for (const struct family *f = a->families; f != NULL; f = f->next)
		if (!f->direct)
			count_family(f);
	cells = agg_cells(a);
	for (size_t i = 0; i < a->ncells; i++)
		/* A row for each metric, also where nothing was counted. */
		for (int m = 0; m < a->d->nmetric; m++)
			if (!a->off[m])
				acc_get(a, cells[i], m, -1, NULL, NULL);
	free(cells);
	v = all_accs(a);
	for (size_t i = 0; i < a->naccs; i++)
		for (unsigned u = 0; v[i]->finest && u < v[i]->nup; u++)
			merge_up(a, v[i]->up[u], v[i]);
	for (size_t i = 0; i < a->naccs; i++)
		if (v[i]->all != NULL)
			v[i]->all->n += v[i]->n;
	for (size_t i = 0; i < a->naccs; i++) {
		struct acc *x = v[i];

		sort_events(&x->events);
		if (a->d->metric[x->metric].once >= 0)
			settle_once(x);
	}
	qsort(v, a->naccs, sizeof(struct acc *), by_acc);
	*sorted = v;
	*n = a->naccs;
}
