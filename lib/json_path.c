/* Paths: their text form, and the shared tree they are kept in. */
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "json_impl.h"
#include "mem.h"

struct json_paths *
json_paths_new(void)
{
	struct json_paths *ps = xcalloc(1, sizeof(*ps));

	ps->root.path = -1;
	return ps;
}

static void
free_children(struct path_node *n)
{
	struct path_node *c = n->child, *next;

	for (; c != NULL; c = next) {
		next = c->next;
		free_children(c);
		free(c->name);
		free(c->value);
		free(c->probe);
		free(c);
	}
}

void
json_paths_free(struct json_paths *ps)
{
	if (ps == NULL)
		return;
	free_children(&ps->root);
	for (int i = 0; i < ps->count; i++)
		free(ps->text[i]);
	free(ps->text);
	free(ps->end);
	free(ps);
}

int
json_paths_count(const struct json_paths *ps)
{
	return ps->count;
}

const char *
json_paths_text(const struct json_paths *ps, int index)
{
	return ps->text[index];
}

/* A quoted or bare word up to one of the stop characters. */
static const char *
word(const char *p, const char *stop, struct buf *out, const char **why)
{
	buf_reset(out);
	if (*p == '"') {
		struct json_error e;
		struct json_span s = {p, 0, JSON_STRING, 0};
		const char *end = p + 1;

		while (*end != '\0' && *end != '"')
			end += *end == '\\' && end[1] != '\0' ? 2 : 1;
		if (*end == '\0') {
			*why = "a quote is not closed";
			return NULL;
		}
		s.len = (uint32_t)(end + 1 - p);
		if (!json_check(p, s.len, false, &e)) {
			*why = "a quoted name is not a JSON string";
			return NULL;
		}
		json_decode_buf(&s, out);
		return end + 1;
	}
	while (*p != '\0' && strchr(stop, *p) == NULL)
		buf_char(out, *p++);
	if (out->len == 0) {
		*why = "a name is missing";
		return NULL;
	}
	return p;
}

static bool
same(const char *a, size_t alen, const char *b, size_t blen)
{
	return alen == blen && (alen == 0 || memcmp(a, b, alen) == 0);
}

/* What a SELECT compares: `"name":"value"`, and its first eight bytes. */
static void
prepare(struct path_node *n, const struct path_node *want,
    const struct path_node *first)
{
	struct buf b = BUF_INIT(1 << 20);
	size_t skip = want->name_len + 4, left;

	n->value = xstrndup(want->value, want->value_len);
	json_write_string(&b, n->name, n->name_len);
	buf_str(&b, ":");
	json_write_string(&b, n->value, n->value_len);
	n->probe_len = b.len;
	n->probe = xstrndup(b.p, b.len);
	n->same_name = /* and its name stands in the probe as it is */
	    memcmp(n->probe + 1, n->name, n->name_len) == 0 &&
	    n->probe[n->name_len + 1] == '"' &&
	    (first == NULL ||
		same(first->name, first->name_len, n->name, n->name_len));
	left = n->probe_len - skip < 8 ? n->probe_len - skip : 8;
	memset(&n->head_mask, 0xff, left);
	memcpy(&n->head, n->probe + skip, left);
	buf_release(&b);
}

/* The child with this step, made at need; they keep the order of adding. */
static struct path_node *
child_of(struct path_node *at, const struct path_node *want)
{
	struct path_node **link = &at->child, *n;
	const struct path_node *select = NULL;
	unsigned order = 0;

	for (; *link != NULL; link = &(*link)->next, order++) {
		if ((*link)->step == want->step && (*link)->n == want->n &&
		    same((*link)->name, (*link)->name_len, want->name,
			want->name_len) &&
		    same((*link)->value, (*link)->value_len, want->value,
			want->value_len))
			return *link;
		if ((*link)->step == STEP_SELECT && select == NULL)
			select = *link;
	}
	if (order == PATH_CHILDREN)
		return NULL;
	n = xcalloc(1, sizeof(*n));
	*n = *want;
	n->path = -1;
	n->order = order;
	n->child = n->next = NULL;
	n->name =
	    want->name == NULL ? NULL : xstrndup(want->name, want->name_len);
	n->value = NULL;
	n->probe = NULL;
	if (want->step == STEP_SELECT)
		prepare(n, want, select);
	else if (want->step == STEP_INDEX)
		at->counts = true;
	*link = n;
	return n;
}

/* One [..] after a name. */
static const char *
bracket(const char *p, struct path_node *want, struct buf *a, struct buf *b,
    const char **why)
{
	p++;
	if (*p >= '0' && *p <= '9') {
		want->step = STEP_INDEX;
		want->n = 0;
		while (*p >= '0' && *p <= '9' && want->n < 1000000)
			want->n = want->n * 10 + (size_t)(*p++ - '0');
	} else {
		want->step = STEP_SELECT;
		if ((p = word(p, "=]", a, why)) == NULL)
			return NULL;
		if (*p++ != '=') {
			*why = "'=' is missing in [name=value]";
			return NULL;
		}
		if (*p == ']') {
			buf_reset(b);
		} else if ((p = word(p, "]", b, why)) == NULL) {
			return NULL;
		}
		want->name = a->p;
		want->name_len = a->len;
		want->value = b->p;
		want->value_len = b->len;
	}
	if (*p != ']') {
		*why = "']' is missing";
		return NULL;
	}
	return p + 1;
}

static struct path_node *
parse(struct json_paths *ps, const char *p, const char **why)
{
	struct path_node *at = &ps->root;
	struct buf a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20);

	buf_room(&a, 1);
	buf_room(&b, 1);

	for (;;) {
		struct path_node want = {.step = STEP_MEMBER};

		if ((p = word(p, ".[", &a, why)) == NULL)
			goto bad;
		want.name = a.p;
		want.name_len = a.len;
		if ((at = child_of(at, &want)) == NULL) {
			*why = "too many members at one place";
			goto bad;
		}
		while (*p == '[') {
			want = (struct path_node){.step = STEP_INDEX};
			if ((p = bracket(p, &want, &a, &b, why)) == NULL)
				goto bad;
			if ((at = child_of(at, &want)) == NULL) {
				*why = "too many members at one place";
				goto bad;
			}
		}
		if (*p == '\0')
			break;
		if (*p++ != '.') {
			*why = "'.' or '[' expected";
			goto bad;
		}
	}
	buf_release(&a);
	buf_release(&b);
	return at;
bad:
	buf_release(&a);
	buf_release(&b);
	return NULL;
}

int
json_paths_add(struct json_paths *ps, const char *text, const char **why)
{
	struct path_node *n;

	if (*text == '.')
		text++;
	if ((n = parse(ps, text, why)) == NULL)
		return -1;
	if (n->path >= 0)
		return n->path;
	if (ps->count == ps->cap) {
		ps->cap = ps->cap == 0 ? 16 : ps->cap * 2;
		ps->text =
		    xreallocarray(ps->text, (size_t)ps->cap, sizeof(*ps->text));
		ps->end = xreallocarray(
		    ps->end, (size_t)ps->cap, sizeof(struct path_node *));
	}
	ps->text[ps->count] = xstrdup(text);
	ps->end[ps->count] = n;
	return n->path = ps->count++;
}
