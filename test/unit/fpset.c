/* The set of fingerprints against a plain model, and its bounds. */
#include "fpset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "diag.h"
#include "mem.h"
#include "unit.h"

static int
by_value(const void *a, const void *b)
{
	const struct fp *x = a, *y = b;

	if (x->hi != y->hi)
		return x->hi < y->hi ? -1 : 1;
	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static uint64_t visited;

static void
visit(struct fp x, void *set)
{
	visited++;
	OK(fpset_has(set, x));
}

/* Adds all, then again, then takes every third away; counts by sorting. */
static void
against_sort(struct fp *x, size_t n)
{
	struct fpset *s = fpset_new(0);
	struct fp *sorted = xreallocarray(NULL, n, sizeof *sorted);
	uint64_t added = 0, gone = 0;
	size_t distinct = 0;

	for (size_t i = 0; i < n; i++) {
		if (i + 8 < n)
			fpset_prefetch(s, x[i + 8]);
		added += fpset_add(s, x[i]) == 1;
	}
	memcpy(sorted, x, n * sizeof *x);
	qsort(sorted, n, sizeof *sorted, by_value);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || by_value(&sorted[i - 1], &sorted[i]) != 0)
			sorted[distinct++] = sorted[i];
	OK(added == distinct && fpset_count(s) == distinct);
	for (size_t i = 0; i < n; i++)
		OK(fpset_add(s, x[i]) == 0);
	for (size_t i = 0; i < distinct; i += 3)
		gone += fpset_remove(s, sorted[i]);
	OK(gone == (distinct + 2) / 3);
	OK(fpset_count(s) == distinct - gone);
	for (size_t i = 0; i < distinct; i++)
		OK(fpset_has(s, sorted[i]) == (i % 3 != 0));
	OK(!fpset_remove(s, sorted[0]));
	visited = 0;
	fpset_each(s, visit, s);
	OK(visited == distinct - gone);
	fpset_clear(s);
	OK(fpset_count(s) == 0 && !fpset_has(s, sorted[distinct - 1]));
	fpset_free(s);
	free(sorted);
}

static int
adds(void)
{
	size_t n = 3000000;
	struct fp *x = xreallocarray(NULL, n, sizeof *x);

	for (size_t i = 0; i < n; i++)
		x[i] = (struct fp){unit_random() % 1500000, 0};
	for (size_t i = 0; i < n; i++)
		x[i] = fp_join(x[i], (struct fp){1, 2});
	against_sort(x, n);
	free(x);
	return unit_end();
}

/* Equal halves, the ends of the range, zero: what a bad hash would give. */
static int
collide(void)
{
	static const uint64_t high[] = {
	    0, 1, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX / 2};
	size_t n = 0;
	struct fp *x = xreallocarray(NULL, 100000, sizeof *x);

	for (size_t i = 0; i < 5; i++)
		for (uint64_t j = 0; j < 1500; j++)
			x[n++] = (struct fp){j, high[i]};
	for (uint64_t j = 0; j < 60000; j++)
		x[n++] = (struct fp){j % 8, (j / 8) << 50};
	against_sort(x, n);
	against_sort(x, 4000);
	free(x);
	return unit_end();
}

static double
cpu(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

/* Seconds to add n ids of a shape through the keyed hash. */
static double
fill(const struct fp_key *k, size_t n, const char *const shape[2], int width)
{
	struct fpset *s = fpset_new(0);
	double from = cpu();
	char id[64];

	for (size_t i = 0; i < n; i++) {
		int len = snprintf(
		    id, sizeof id, "%s%0*zu%s", shape[0], width, i, shape[1]);

		fpset_add(s, fp_hash(k, id, (size_t)len));
	}
	OK(fpset_count(s) == n);
	fpset_free(s);
	return cpu() - from;
}

/* Eight times the ids: about eight times the time, whatever their shape. */
static int
timing(void)
{
	static const char *const shape[][2] = {{"", ""},
	    {"0000000000000000", "0000000000000000"},
	    {"aaaaaaaaaaaaaaaaaaaaaaaa", ""}};
	struct fp_key k;

	fp_key_random(&k);
	for (size_t i = 0; i < 3; i++) {
		double small = fill(&k, 100000, shape[i], (int)i);
		double large = fill(&k, 800000, shape[i], (int)i);

		printf("%zu: %.3f s, %.3f s\n", i, small, large);
		OK(large < 60 * small + 0.5);
	}
	return unit_end();
}

/* Under 40 bytes a member, at every count from a million up. */
static int
memory(void)
{
	struct fpset *s = fpset_new(0);
	struct fp x = {1, 1};
	struct rusage ru;
	double worst = 0, peak;

	for (uint64_t i = 1; i <= 6000000; i++) {
		double each;

		x = fp_join(x, (struct fp){i, 0});
		fpset_add(s, x);
		each = (double)fpset_bytes(s) / (double)i;
		if (i >= 1000000 && each > worst)
			worst = each;
	}
	getrusage(RUSAGE_SELF, &ru);
	peak = (double)ru.ru_maxrss * 1024 / 6e6;
	printf("table %.1f, process at 6 M %.1f bytes a member\n", worst, peak);
	OK(worst < 36.5);
	OK(peak < 40);
	fpset_free(s);
	return unit_end();
}

/* The secret counts at every length: all of its bits for some length. */
static int
secret(void)
{
	struct fp_key a, b;
	char text[1200];

	fp_key_random(&a);
	fp_key_random(&b);
	memset(text, 'x', sizeof text);
	for (size_t n = 0; n <= sizeof text; n++) {
		struct fp x = fp_hash(&a, text, n), y = fp_hash(&b, text, n);

		OK(x.lo != y.lo && x.hi != y.hi);
		y = fp_hash(&a, text, n);
		OK(x.lo == y.lo && x.hi == y.hi);
	}
	OK(fp_join((struct fp){1, 2}, (struct fp){3, 4}).lo !=
	    fp_join((struct fp){3, 4}, (struct fp){1, 2}).lo);
	return unit_end();
}

static int
limit(void)
{
	struct fpset *s = fpset_new(1 << 20);
	struct fp x = {0, 0};
	uint64_t n = 0;

	while (fpset_add(s, x) == 1 && n < 1000000)
		x = fp_join(x, (struct fp){++n, 0});
	OK(fpset_add(s, x) == -1);
	OK(fpset_bytes(s) <= 1 << 20);
	printf("%lu members in 1 MiB\n", (unsigned long)n);
	OK(n > (1 << 20) / 40);
	OK(!fpset_reserve(s, 1 << 20));
	x = (struct fp){0, 0};
	for (uint64_t i = 0; i < n; i++) {
		OK(fpset_has(s, x));
		x = fp_join(x, (struct fp){i + 1, 0});
	}
	fpset_free(s);
	s = fpset_new(0);
	OK(fpset_reserve(s, 100000) && fpset_bytes(s) > 1600000);
	fpset_free(s);
	return unit_end();
}

/* Words stay with their members while the set grows from small to large. */
static int
words(void)
{
	enum { N = 300000 };
	struct fpset *s = fpset_new_words();
	struct fp x = {0, 0}, *p;
	uint32_t bad = 0;

	for (uint32_t i = 1; i <= N; i++) {
		x = fp_join(x, (struct fp){i, 0});
		bad += !fpset_room(s);
		p = fpset_place(s, x);
		bad += fp_word(p) != 0;
		fpset_put(s, p, x, i);
		if (i % 3 == 0) {
			x.lo ^= i; /* not looked at */
			p = fpset_place(s, x);
			bad += fp_word(p) != i;
			fp_set_word(p, i | 1u << 31);
			x.lo ^= i;
		}
	}
	OK(fpset_count(s) == N);
	x = (struct fp){0, 0};
	for (uint32_t i = 1; i <= N; i++) {
		x = fp_join(x, (struct fp){i, 0});
		bad += fp_word(fpset_place(s, x)) !=
		       (i % 3 == 0 ? i | 1u << 31 : i);
	}
	OK(bad == 0);
	fpset_free(s);
	return unit_end();
}

int
main(int argc, char **argv)
{
	diag_init(argv[0]);
	if (argc < 2)
		return 64;
	if (strcmp(argv[1], "adds") == 0)
		return adds();
	if (strcmp(argv[1], "collide") == 0)
		return collide();
	if (strcmp(argv[1], "timing") == 0)
		return timing();
	if (strcmp(argv[1], "memory") == 0)
		return memory();
	if (strcmp(argv[1], "secret") == 0)
		return secret();
	if (strcmp(argv[1], "words") == 0)
		return words();
	return limit();
}
