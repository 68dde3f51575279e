#include "last.h"

#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "mem.h"

#define CHUNK ((size_t)4 << 20)

struct kept {
	struct fp x;
	const char *text;
	uint32_t len;
	bool stays;
};

struct chunk {
	struct chunk *next;
	size_t len, cap;
	char text[];
};

static char *
room(struct last *l, size_t n)
{
	struct chunk *c = l->chunks;

	if (c == NULL || c->cap - c->len < n) {
		size_t cap = n > CHUNK ? n : CHUNK;

		c = xmalloc(sizeof *c + cap);
		c->next = l->chunks;
		c->len = 0;
		c->cap = cap;
		l->chunks = c;
		l->bytes += sizeof *c + cap;
	}
	c->len += n;
	return c->text + c->len - n;
}

bool
last_take(struct last *l, struct fp x, const char *text, size_t len)
{
	char *copy;

	if (l->n == l->cap) {
		size_t cap = l->cap == 0 ? 1024 : l->cap + l->cap / 2;

		l->rec = xreallocarray(l->rec, cap, sizeof *l->rec);
		l->bytes += (cap - l->cap) * sizeof *l->rec;
		l->cap = cap;
	}
	copy = room(l, len + 1);
	memcpy(copy, text, len);
	copy[len] = '\n';
	l->rec[l->n++] = (struct kept){x, copy, (uint32_t)len, false};
	return l->bytes <= l->max_bytes;
}

int
last_write(
    struct last *l, struct fpset *seen, struct filter *f, uint64_t *dropped)
{
	fpset_clear(seen);
	for (size_t i = l->n; i-- > 0;) {
		int added;

		if (i >= 16)
			fpset_prefetch(seen, l->rec[i - 16].x);
		added = fpset_add(seen, l->rec[i].x);
		if (added < 0)
			return RC_OSERR;
		l->rec[i].stays = added == 1;
		*dropped += added == 0;
	}
	for (size_t i = 0; i < l->n; i++)
		if (l->rec[i].stays)
			filter_put(f, l->rec[i].text, l->rec[i].len);
	last_clear(l);
	return RC_OK;
}

void
last_clear(struct last *l)
{
	while (l->chunks != NULL) {
		struct chunk *c = l->chunks;

		l->chunks = c->next;
		free(c);
	}
	free(l->rec);
	l->rec = NULL;
	l->n = l->cap = 0;
	l->bytes = 0;
}
