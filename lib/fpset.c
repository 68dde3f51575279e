/*
 * Linear probing, where a member's home is its rank in the range of all
 * 64-bit values, scaled to the capacity. Members so stand nearly in order, a
 * table grows in its place by one sweep from front to back: the peak is the
 * new table alone, and it need not be twice the old.
 */
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "diag.h"
#include "exits.h"
#include "fpset.h"
#include "mem.h"
#include "sys.h"

#define FIRST_CAP ((size_t)1024)
#define FIRST_SLACK ((size_t)512) /* slots behind the last home */
#define WORDS_CAP ((size_t)64)
#define WORDS_SLACK ((size_t)32)
#define SMALL ((size_t)1 << 16) /* bytes; less is not mapped */
#define HUGE ((size_t)2 << 20)
#define SLOT sizeof(struct fp)
#define SWEEP 256 /* slots moved at a time */

/* The run of full slots at the front of a sweep. */
struct front {
	struct fp *run, *end;
};

void
fp_key_random(struct fp_key *k)
{
	sys_random(k->secret, sizeof k->secret);
}

struct fp
fp_hash(const struct fp_key *k, const void *p, size_t n)
{
	XXH128_hash_t h =
	    XXH3_128bits_withSecret(p, n, k->secret, sizeof k->secret);
	struct fp x = {h.low64, h.high64};

	if ((x.lo | x.hi) == 0)
		x.lo = 1;
	return x;
}

struct fp
fp_join(struct fp a, struct fp b)
{
	const struct fp both[2] = {a, b};
	XXH128_hash_t h = XXH3_128bits(both, sizeof both);
	struct fp x = {h.low64, h.high64};

	if ((x.lo | x.hi) == 0)
		x.lo = 1;
	return x;
}

static bool
is_empty(const struct fp *p)
{
	return (p->lo | p->hi) == 0;
}

static struct fp *
slots_new(size_t n)
{
	struct fp *p;

	if (n * SLOT < SMALL)
		return xcalloc(n, SLOT);
	p = sys_pages(n * SLOT);
	if (p == NULL)
		die(RC_OSERR, NULL, "out of memory");
	return p;
}

static void
slots_free(struct fp *p, size_t n)
{
	if (n * SLOT < SMALL)
		free(p);
	else
		sys_pages_free(p, n * SLOT);
}

static struct fp *
slots_more(struct fp *p, size_t n, size_t more)
{
	struct fp *q;

	if (more * SLOT < SMALL) {
		p = xreallocarray(p, more, SLOT);
		memset(p + n, 0, (more - n) * SLOT);
		return p;
	}
	/* Pages that small ones were given for stay small. */
	if (n * SLOT < SMALL || (n * SLOT < HUGE && more * SLOT >= HUGE)) {
		q = slots_new(more);
		memcpy(q, p, n * SLOT);
		slots_free(p, n);
		return q;
	}
	q = sys_pages_grow(p, n * SLOT, more * SLOT);
	if (q == NULL)
		die(RC_OSERR, NULL, "out of memory");
	return q;
}

/* Past this count the table grows: 3/4 of the homes. */
static size_t
full_at(size_t cap)
{
	return cap - cap / 4;
}

struct fpset *
fpset_new(uint64_t max_bytes)
{
	struct fpset *s = xcalloc(1, sizeof *s);

	s->cap = FIRST_CAP;
	s->total = FIRST_CAP + FIRST_SLACK;
	s->full = full_at(s->cap);
	s->max_bytes = max_bytes;
	s->slot = slots_new(s->total);
	return s;
}

struct fpset *
fpset_new_words(void)
{
	struct fpset *s = xcalloc(1, sizeof *s);

	s->cap = WORDS_CAP;
	s->total = WORDS_CAP + WORDS_SLACK;
	s->full = full_at(s->cap);
	s->slot = slots_new(s->total);
	return s;
}

/*
 * Puts the next members into an empty table, nearly in order. While a home is
 * not before the run of full slots at the front of the sweep, the place is
 * that home or the end of the run: no probing, and no branch to guess.
 */
static void
refill(const struct fpset *s, struct front *f, const struct fp *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct fp *h = fpset_home(s, x[i]);

		if (__builtin_expect(h < f->run, 0)) {
			while (!is_empty(h))
				h++;
			*h = x[i];
			if (h == f->end)
				f->end++;
			continue;
		}
		f->run = h > f->end ? h : f->run;
		h = h > f->end ? h : f->end;
		*h = x[i];
		f->end = h + 1;
	}
}

/* All members to the end of the slots, in their order. The first of them. */
static struct fp *
pack(struct fp *slot, size_t used, size_t total)
{
	struct fp *to = slot + total;

	for (struct fp *p = slot + used; p-- > slot;) {
		to[-1] = *p;
		to -= !is_empty(p);
	}
	return to;
}

/*
 * Grows the table in its place: packs the members at its end, and sweeps them
 * to their homes from the front. The sweep never meets what it has not read:
 * no member was before its home, homes have only spread, and so the first k
 * members fit as far from the end of the table as they were before.
 */
static void
resize(struct fpset *s, size_t cap, size_t slack)
{
	size_t used = s->total;
	struct fp some[SWEEP], *p, *end;
	struct front f;

	s->slot = slots_more(s->slot, used, cap + slack);
	s->cap = cap;
	s->total = cap + slack;
	s->full = full_at(cap);
	f.run = f.end = s->slot;
	end = s->slot + s->total;
	p = pack(s->slot, used, s->total);
	memset(s->slot, 0,
	    (size_t)((p < s->slot + used ? p : s->slot + used) - s->slot) *
		SLOT);
	while (p < end) {
		size_t n =
		    (size_t)(end - p) < SWEEP ? (size_t)(end - p) : SWEEP;

		memcpy(some, p, n * SLOT);
		memset(p, 0, n * SLOT);
		refill(s, &f, some, n);
		p += n;
	}
}

/* Half as many homes again, or up to the limit. False: no room is left. */
bool
fpset_grow(struct fpset *s)
{
	size_t slack = s->total - s->cap;
	size_t cap = s->cap + s->cap / 2;

	if (slack < FIRST_SLACK)
		slack = cap / 2 < FIRST_SLACK ? cap / 2 : FIRST_SLACK;

	if ((cap + slack) * SLOT >= HUGE / 2 && (cap + slack) * SLOT < HUGE)
		cap = HUGE / SLOT - slack; /* a whole huge page */
	if (s->max_bytes != 0) {
		uint64_t most = s->max_bytes / SLOT;

		if (cap + slack > most) {
			/* The last step is not worth less than a sixteenth;
			 * then the table is filled to 15/16. */
			if (most < slack ||
			    most - slack < s->cap + s->cap / 16) {
				s->full = s->cap - s->cap / 16;
				return s->count < s->full;
			}
			cap = (size_t)most - slack;
		}
	}
	resize(s, cap, slack);
	return true;
}

void
fpset_spill(struct fpset *s)
{
	resize(s, s->cap, 2 * (s->total - s->cap));
}

static int
add_zero(struct fpset *s)
{
	if (s->zero)
		return 0;
	s->zero = true;
	return 1;
}

/* The slot that holds x, or the empty one where it belongs. */
static struct fp *
find(const struct fpset *s, struct fp x)
{
	struct fp *p = fpset_home(s, x);

	while ((p->lo != x.lo || p->hi != x.hi) && !is_empty(p))
		p++;
	return p;
}

int
fpset_add(struct fpset *s, struct fp x)
{
	struct fp *p;

	if (is_empty(&x))
		return add_zero(s);
	p = find(s, x);
	if (!is_empty(p))
		return 0;
	if (s->count >= s->full) {
		if (!fpset_grow(s))
			return -1;
		p = find(s, x);
	}
	*p = x;
	s->count++;
	if (p == s->slot + s->total - 1)
		fpset_spill(s);
	return 1;
}

bool
fpset_has(const struct fpset *s, struct fp x)
{
	return is_empty(&x) ? s->zero : !is_empty(find(s, x));
}

bool
fpset_reserve(struct fpset *s, uint64_t n)
{
	size_t slack = s->total - s->cap;
	size_t least = (size_t)n + (size_t)n / 3 + 64;
	size_t cap = s->cap + s->cap / 2; /* many small steps are dear */

	if (n <= s->full)
		return true;
	if (cap < least ||
	    (s->max_bytes != 0 && (cap + slack) * SLOT > s->max_bytes))
		cap = least;
	if (s->max_bytes != 0 && (cap + slack) * SLOT > s->max_bytes)
		return false;
	resize(s, cap, slack);
	return true;
}

/*
 * Whatever follows in the same run of full slots and may stand in the hole
 * without being before its home goes there, until there is none.
 */
static void
close_hole(const struct fpset *s, struct fp *hole)
{
	for (struct fp *p = hole + 1; !is_empty(p); p++) {
		if (fpset_home(s, *p) > hole)
			continue;
		*hole = *p;
		hole = p;
	}
	*hole = (struct fp){0, 0};
}

bool
fpset_remove(struct fpset *s, struct fp x)
{
	struct fp *p;

	if (is_empty(&x)) {
		bool was = s->zero;

		s->zero = false;
		return was;
	}
	p = find(s, x);
	if (is_empty(p))
		return false;
	close_hole(s, p);
	s->count--;
	return true;
}

uint64_t
fpset_count(const struct fpset *s)
{
	return s->count + s->zero;
}

uint64_t
fpset_bytes(const struct fpset *s)
{
	return s->total * SLOT;
}

void
fpset_each(
    const struct fpset *s, void (*visit)(struct fp x, void *ctx), void *ctx)
{
	if (s->zero)
		visit((struct fp){0, 0}, ctx);
	for (size_t i = 0; i < s->total; i++)
		if (!is_empty(&s->slot[i]))
			visit(s->slot[i], ctx);
}

void
fpset_clear(struct fpset *s)
{
	/* A large table is given back: what comes next may be small. */
	if (s->cap > FIRST_CAP) {
		slots_free(s->slot, s->total);
		s->cap = FIRST_CAP;
		s->total = FIRST_CAP + FIRST_SLACK;
		s->full = full_at(s->cap);
		s->slot = slots_new(s->total);
	} else {
		memset(s->slot, 0, s->total * SLOT);
	}
	s->count = 0;
	s->zero = false;
}

void
fpset_free(struct fpset *s)
{
	if (s == NULL)
		return;
	slots_free(s->slot, s->total);
	free(s);
}
