/*
 * The scanner: a kernel sweeps over the text and says of each row that it is
 * sound or suspect; what is suspect is judged and walked the exact way.
 */
#include <stdlib.h>
#include <string.h>

#include "json_impl.h"
#include "mem.h"
#include "sys.h"

struct json_scanner {
	const struct json_paths *paths;
	const struct json_kernel *kernel;
	struct key_table keys;
	struct key_slot *keep; /* what the table's slots point to */
	struct sweep *sweep;
};

static const struct json_kernel *
choose(void)
{
	const char *want = getenv("WEIR_SIMD");

#ifdef __x86_64__
	if (want == NULL || strcmp(want, "avx2") == 0)
		return sys_has_avx2() ? &json_kernel_avx2 : &json_kernel_sse2;
	if (strcmp(want, "sse2") == 0)
		return &json_kernel_sse2;
#else
	(void)want;
#endif
	return &json_kernel_portable;
}

static void
slot_for(const struct path_node *n, int top, struct key_slot *s)
{
	size_t len = n->name_len < 8 ? n->name_len : 8;
	char tail[8] = {0};

	memcpy(tail + 8 - len, n->name + n->name_len - len, len);
	memcpy(&s->tail, tail, 8);
	s->len = n->name_len;
	s->name = n->name;
	s->top = top;
}

/* Puts all keys into a table of 2^bits slots; false where two collide. Names
 * of one tail and one length hang on one slot. */
static bool
place(struct key_table *t, struct key_slot *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct key_slot *s =
		    &t->slot[((keys[i].tail ^ keys[i].len) * t->factor) >>
			     t->shift];

		keys[i].next = NULL;
		if (s->len == SIZE_MAX) {
			*s = keys[i];
		} else if (s->len == keys[i].len && s->tail == keys[i].tail) {
			keys[i].next = s->next;
			s->next = &keys[i];
		} else {
			return false;
		}
	}
	return true;
}

static void
empty(struct key_table *t, unsigned bits)
{
	t->shift = 64 - bits;
	t->slot = xreallocarray(t->slot, (size_t)1 << bits, sizeof(*t->slot));
	for (size_t i = 0; i < (size_t)1 << bits; i++)
		t->slot[i] = (struct key_slot){0, SIZE_MAX, NULL, -1, NULL};
}

/* Looks for a factor without collisions; a larger table makes one likely. The
 * keys stay with the table. */
static bool
build(struct key_table *t, struct key_slot *keys, size_t n)
{
	uint64_t factor = 0x9e3779b97f4a7c15ull;

	for (unsigned bits = 4; bits <= 14; bits++) {
		if ((size_t)1 << bits < n)
			continue;
		for (int tries = 0; tries < 64; tries++) {
			factor = factor * 6364136223846793005ull +
				 1442695040888963407ull;
			t->factor = factor | 1;
			empty(t, bits);
			if (place(t, keys, n))
				return true;
		}
	}
	return false;
}

/* A bit for each wanted key's last two bytes (of "a": the quote and the a). */
static uint64_t
filter_of(const struct key_slot *keys, size_t n)
{
	uint64_t filter = 0;

	for (size_t i = 0; i < n; i++) {
		char two[2] = {'"', 0};
		uint16_t last;

		if (keys[i].len == 0)
			return UINT64_MAX;
		if (keys[i].len > 1)
			two[0] = keys[i].name[keys[i].len - 2];
		two[1] = keys[i].name[keys[i].len - 1];
		memcpy(&last, two, 2);
		filter |= 1ull << (uint16_t)(last * 0x9e37u) / 1024;
	}
	return filter;
}

struct json_scanner *
json_scanner_new(const struct json_paths *ps)
{
	struct json_scanner *s = xcalloc(1, sizeof(*s));
	const struct path_node *c;
	struct key_slot *keys;
	size_t n = 0;

	s->paths = ps;
	s->kernel = choose();
	for (c = ps->root.child; c != NULL; c = c->next)
		n++;
	keys = xcalloc(n + 1, sizeof(*keys));
	s->keys.node = xcalloc(n + 1, sizeof(*s->keys.node));
	n = 0;
	for (c = ps->root.child; c != NULL; c = c->next, n++) {
		slot_for(c, (int)n, &keys[n]);
		s->keys.node[n] = c;
	}
	s->keys.filter = filter_of(keys, n);
	if (build(&s->keys, keys, n))
		s->sweep = xcalloc(1, sizeof(*s->sweep));
	s->keep = keys;
	return s;
}

void
json_scanner_free(struct json_scanner *s)
{
	if (s == NULL)
		return;
	free(s->keep);
	free(s->keys.slot);
	free(s->keys.node);
	free(s->sweep);
	free(s);
}

const char *
json_kernel(const struct json_scanner *s)
{
	return s->kernel->name;
}

void
json_scanner_reset(struct json_scanner *s)
{
	if (s->sweep != NULL)
		s->sweep->next = NULL;
}

static enum json_status
exact(struct json_scanner *s, const char *line, const char **next,
    struct json_span *vals, struct json_error *e)
{
	const char *end = rawmemchr(line, '\n'), *p = line;
	struct json_span v;

	*next = end + 1;
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
		p++;
	if (p == end)
		return JSON_BLANK;
	if (!json_check(line, (size_t)(end - line), true, e))
		return JSON_BAD;
	if (s->paths->count > 0) {
		v = json_value(line);
		json_resolve(&s->paths->root, &v, vals);
	}
	return JSON_OK;
}

enum json_status
json_scan(struct json_scanner *s, const char *line, const char **next,
    struct json_span *vals, struct json_error *e)
{
	size_t size = (size_t)s->paths->count * sizeof(*vals);

	if (size > 0)
		memset(vals, 0, size);
	if (s->sweep != NULL &&
	    s->kernel->row(s->sweep, &s->keys, line, next, vals))
		return JSON_OK;
	if (size > 0)
		memset(vals, 0, size);
	return exact(s, line, next, vals, e);
}
