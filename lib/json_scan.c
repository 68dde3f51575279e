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
	struct key_slot *slots; /* what the table points to */
	struct sweep *sweep;
};

static const struct json_kernel *
choose(void)
{
	const char *want = getenv("WEIR_SIMD");

#ifdef __x86_64__
	if (want == NULL || strcmp(want, "avx512") == 0)
		return sys_has_avx512() ? &json_kernel_avx512
		       : sys_has_avx2() ? &json_kernel_avx2
					: &json_kernel_sse2;
	if (strcmp(want, "avx2") == 0)
		return sys_has_avx2() ? &json_kernel_avx2 : &json_kernel_sse2;
	if (strcmp(want, "sse2") == 0)
		return &json_kernel_sse2;
#else
	(void)want;
#endif
	return &json_kernel_portable;
}

static void
prepare(struct key_slot *s, const struct path_node *n)
{
	size_t len = n->name_len < 8 ? n->name_len : 8;
	char tail[8] = {0};

	memcpy(tail + 8 - len, n->name + n->name_len - len, len);
	memcpy(&s->tail, tail, 8);
	memset(tail, 0, 8 - len);
	memset(tail + 8 - len, 0xff, len);
	memcpy(&s->mask, tail, 8);
	s->len = n->name_len;
	s->name = n->name;
	s->node = n;
}

/* The two bytes before a key's closing quote. */
static uint16_t
last_two(const struct path_node *n)
{
	char two[2] = {'"', n->name[n->name_len - 1]};
	uint16_t last;

	if (n->name_len > 1)
		two[0] = n->name[n->name_len - 2];
	memcpy(&last, two, 2);
	return last;
}

/* False where a key cannot be found by its end: the empty one, and one longer
 * than what may be read before a row. */
static bool
build(struct key_table *t, struct key_slot *slots, const struct path_node *n)
{
	for (; n != NULL; n = n->next, slots++) {
		unsigned h;

		if (n->name_len == 0 || n->name_len > JSON_PAD - 16)
			return false;
		h = key_hash(last_two(n));
		prepare(slots, n);
		slots->next = t->slot[h];
		t->slot[h] = slots;
	}
	return true;
}

struct json_scanner *
json_scanner_new(const struct json_paths *ps)
{
	struct json_scanner *s = xcalloc(1, sizeof(*s));
	const struct path_node *c;
	size_t n = 1;

	s->paths = ps;
	s->kernel = choose();
	for (c = ps->root.child; c != NULL; c = c->next)
		n++;
	s->slots = xcalloc(n, sizeof(*s->slots));
	if (build(&s->keys, s->slots, ps->root.child))
		s->sweep = xcalloc(1, sizeof(*s->sweep));
	return s;
}

void
json_scanner_free(struct json_scanner *s)
{
	if (s == NULL)
		return;
	free(s->slots);
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
