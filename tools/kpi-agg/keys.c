/* Keys and where they were seen. */
#include "keys.h"

#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sys.h"

#define FIRST_CAP ((size_t)64)
#define PAGES ((size_t)1 << 20) /* tables from this size are mapped */

/* Tables of several families grow through the same sizes: wiping pages that
 * one has left is cheaper than asking the kernel for others. */
#define SPARE 8
static struct {
	uint64_t *p;
	size_t bytes;
} spare[SPARE];

static uint64_t *
slots_new(size_t bytes)
{
	uint64_t *p;

	if (bytes < PAGES)
		return xcalloc(1, bytes);
	for (int i = 0; i < SPARE; i++)
		if (spare[i].p != NULL && spare[i].bytes == bytes) {
			p = spare[i].p;
			spare[i].p = NULL;
			memset(p, 0, bytes);
			return p;
		}
	p = sys_pages(bytes);
	if (p == NULL)
		die(RC_OSERR, NULL, "out of memory");
	return p;
}

static void
slots_free(uint64_t *p, size_t bytes)
{
	int i = 0;

	if (bytes < PAGES) {
		free(p);
		return;
	}
	while (i < SPARE && spare[i].p != NULL)
		i++;
	if (i == SPARE) {
		sys_pages_free(p, bytes);
		return;
	}
	spare[i].p = p;
	spare[i].bytes = bytes;
}

void
keys_give_back(void)
{
	for (int i = 0; i < SPARE; i++)
		if (spare[i].p != NULL) {
			sys_pages_free(spare[i].p, spare[i].bytes);
			spare[i].p = NULL;
		}
}

size_t
keys_bytes(const struct keys *k)
{
	return k->cap * keys_stride(k) * sizeof *k->slot;
}

void
keys_init(struct keys *k)
{
	*k = (struct keys){.cap = FIRST_CAP, .words = 1};
	k->slot = slots_new(keys_bytes(k));
}

void
keys_release(struct keys *k)
{
	if (k->slot != NULL)
		slots_free(k->slot, keys_bytes(k));
	k->slot = NULL;
}

/* Into an empty table; the keys are known to be different. */
static void
put(struct keys *k, const uint64_t *from, unsigned words)
{
	struct fp x = {from[0], from[1]};
	uint64_t *s = keys_home(k, x);
	const uint64_t *end = k->slot + k->cap * keys_stride(k);

	while ((s[0] | s[1]) != 0) {
		s += keys_stride(k);
		if (s == end)
			s = k->slot;
	}
	memcpy(s, from, (2 + words) * sizeof *s);
}

static void
rebuild(struct keys *k, size_t cap, unsigned words)
{
	struct keys to = {.cap = cap, .n = k->n, .words = words};
	const uint64_t *end = k->slot + k->cap * keys_stride(k);

	to.slot = slots_new(keys_bytes(&to));
	for (const uint64_t *s = k->slot; s != end; s += keys_stride(k))
		if ((s[0] | s[1]) != 0)
			put(&to, s, k->words);
	slots_free(k->slot, keys_bytes(k));
	*k = to;
}

bool
keys_room(struct keys *k, uint64_t max)
{
	if (k->n < k->cap - k->cap / 4)
		return true;
	if (max != 0 && 2 * keys_bytes(k) > max)
		return false;
	rebuild(k, 2 * k->cap, k->words);
	return true;
}

void
keys_widen(struct keys *k)
{
	rebuild(k, k->cap, 2 * k->words);
}
