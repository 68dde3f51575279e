/* Keys and where they were seen. */
#include "keys.h"

#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "mem.h"

void
keys_init(struct keys *k)
{
	*k = (struct keys){.set = fpset_new_words(), .words = 1};
}

void
keys_release(struct keys *k)
{
	fpset_free(k->set);
	free(k->wide);
	*k = (struct keys){.words = 1};
}

size_t
keys_bytes(const struct keys *k)
{
	return fpset_bytes(k->set) + k->room * k->words * sizeof *k->wide;
}

static void
more_wide(struct keys *k)
{
	k->room = k->room < 64 ? 64 : k->room + k->room / 2;
	k->wide = xreallocarray(k->wide, k->room, k->words * sizeof *k->wide);
}

void
keys_widen(struct keys *k)
{
	unsigned words = k->words;
	uint64_t *to;

	k->words *= 2;
	if (k->room == 0)
		return;
	k->wide = xreallocarray(k->wide, k->room, k->words * sizeof *k->wide);
	to = k->wide + k->nwide * k->words;
	for (size_t i = k->nwide; i-- > 0;) {
		to -= k->words;
		memmove(to, k->wide + i * words, words * sizeof *to);
		memset(to + words, 0, words * sizeof *to);
	}
}

void
keys_places(
    const struct keys *k, uint32_t word, uint64_t places[KEYS_WORDS_MAX])
{
	memset(places, 0, KEYS_WORDS_MAX * sizeof *places);
	if (word < KEYS_ONE)
		places[0] = word;
	else if (word < KEYS_WIDE)
		places[(word & KEYS_REST) / 64] |= (uint64_t)1 << word % 64;
	else
		memcpy(places, k->wide + (word & KEYS_REST) * k->words,
		    k->words * sizeof *places);
}

uint32_t
keys_wide(struct keys *k, uint32_t word, unsigned place)
{
	uint64_t places[KEYS_WORDS_MAX];

	keys_places(k, word, places);
	places[place / 64] |= (uint64_t)1 << place % 64;
	if (k->nwide > KEYS_REST)
		die(RC_OSERR, NULL, "out of memory");
	if (k->nwide == k->room)
		more_wide(k);
	memcpy(
	    k->wide + k->nwide * k->words, places, k->words * sizeof *places);
	return KEYS_WIDE | (uint32_t)k->nwide++;
}
