/* Writing JSON: strings, objects, and the canonical form. */
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "dec.h"
#include "json_impl.h"
#include "mem.h"

static void
control(struct buf *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char from[] = "\b\f\n\r\t", to[] = "bfnrt";
	const char *at = c == 0 ? NULL : strchr(from, c);

	buf_char(out, '\\');
	if (at != NULL) {
		buf_char(out, to[at - from]);
		return;
	}
	buf_str(out, "u00");
	buf_char(out, hex[c >> 4]);
	buf_char(out, hex[c & 15]);
}

/* Text with what JSON asks for escaped, without the quotes around it. */
static void
escaped(struct buf *out, const char *p, size_t len)
{
	size_t from = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_add(out, p + from, i - from);
		from = i + 1;
		if (c < 0x20) {
			control(out, c);
		} else {
			buf_char(out, '\\');
			buf_char(out, (char)c);
		}
	}
	buf_add(out, p + from, len - from);
}

void
json_write_string(struct buf *out, const char *text, size_t len)
{
	buf_char(out, '"');
	escaped(out, text, len);
	buf_char(out, '"');
}

/* Bytes from p that are whole UTF-8 text, at least one character. */
static size_t
clean_len(const char *p, size_t n)
{
	unsigned char c = (unsigned char)*p;
	size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	char quoted[6] = "\"";
	struct json_error e;

	if (len > n)
		return 0;
	if (len == 1)
		return 1;
	memcpy(quoted + 1, p, len);
	quoted[len + 1] = '"';
	return json_check(quoted, len + 2, false, &e) ? len : 0;
}

void
json_write_clean(struct buf *out, const char *text, size_t len)
{
	buf_char(out, '"');
	for (size_t i = 0; i < len;) {
		size_t n = clean_len(text + i, len - i);

		if (n == 0)
			buf_str(out, "\xef\xbf\xbd");
		else
			escaped(out, text + i, n);
		i += n == 0 ? 1 : n;
	}
	buf_char(out, '"');
}

/* A string span in its shortest form: only what must be is escaped. */
static void
canonical_string(struct buf *out, const struct json_span *s)
{
	char *text;
	size_t n;

	if (!(s->flags & JSON_ESCAPED)) {
		buf_add(out, s->p, s->len);
		return;
	}
	text = xmalloc(s->len);
	n = json_decode(s, text);
	json_write_string(out, text, n);
	free(text);
}

struct pair {
	struct json_span key, val;
	const char *name; /* decoded */
	size_t len;
	bool own;
};

static int
by_name(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int c = memcmp(x->name, y->name, n);

	return c != 0 ? c : (x->len > y->len) - (x->len < y->len);
}

/*
 * Containers that are open, as an explicit stack: an object keeps its members
 * sorted and is written one by one, an array goes through its text.
 */
struct level {
	bool object;
	struct pair *pairs;
	size_t n, next;
	struct json_iter it;
};

static struct pair *
members(const struct json_span *v, size_t *n, struct json_span *dup)
{
	struct pair *pairs = NULL;
	struct json_iter it;
	struct json_span key, val;
	size_t count = 0, cap = 0;

	json_iter_init(&it, v);
	while (json_next_member(&it, &key, &val)) {
		struct pair *p;

		if (count == cap) {
			cap = cap == 0 ? 8 : cap * 2;
			pairs = xreallocarray(pairs, cap, sizeof(*pairs));
		}
		p = &pairs[count++];
		*p = (struct pair){key, val, key.p + 1, key.len - 2, false};
		if (key.flags & JSON_ESCAPED) {
			char *text = xmalloc(key.len);

			p->len = json_decode(&key, text);
			p->name = text;
			p->own = true;
		}
	}
	if (count > 1)
		qsort(pairs, count, sizeof(*pairs), by_name);
	for (size_t i = 1; i < count; i++)
		if (by_name(&pairs[i - 1], &pairs[i]) == 0)
			*dup = pairs[i].key;
	*n = count;
	return pairs;
}

static void
free_pairs(struct pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pairs[i].own)
			free((void *)(uintptr_t)pairs[i].name);
	free(pairs);
}

/* Opens a container on the stack. */
static void
enter(struct level *l, const struct json_span *v, struct json_span *dup)
{
	*l = (struct level){.object = v->type == JSON_OBJECT};
	if (l->object)
		l->pairs = members(v, &l->n, dup);
	else
		json_iter_init(&l->it, v);
}

/* The next value of the level, with its comma and key written. */
static bool
advance(struct buf *out, struct level *l, struct json_span *v)
{
	if (l->object) {
		struct pair *p = &l->pairs[l->next];

		if (l->next == l->n)
			return false;
		if (l->next++ > 0)
			buf_char(out, ',');
		json_write_string(out, p->name, p->len);
		buf_char(out, ':');
		*v = p->val;
		return true;
	}
	if (!json_next_element(&l->it, v))
		return false;
	if (l->next++ > 0)
		buf_char(out, ',');
	return true;
}

static void
canonical_scalar(struct buf *out, const struct json_span *v)
{
	if (v->type == JSON_STRING)
		canonical_string(out, v);
	else if (v->type == JSON_NUMBER)
		num_canonical(out, v->p, v->len);
	else
		buf_add(out, v->p, v->len);
}

bool
json_canonical(
    struct buf *out, const struct json_span *root, struct json_span *dup)
{
	struct level *stack = NULL;
	size_t depth = 0, cap = 0;
	struct json_span v = *root, none = {NULL, 0, JSON_ABSENT, 0};

	*dup = none;
	for (;;) {
		if (v.type == JSON_OBJECT || v.type == JSON_ARRAY) {
			if (depth == cap) {
				cap = cap == 0 ? 8 : cap * 2;
				stack =
				    xreallocarray(stack, cap, sizeof(*stack));
			}
			buf_char(out, v.type == JSON_OBJECT ? '{' : '[');
			enter(&stack[depth++], &v, dup);
		} else {
			canonical_scalar(out, &v);
		}
		while (depth > 0 && !advance(out, &stack[depth - 1], &v)) {
			depth--;
			buf_char(out, stack[depth].object ? '}' : ']');
			free_pairs(stack[depth].pairs, stack[depth].n);
		}
		if (depth == 0)
			break;
	}
	free(stack);
	return dup->type == JSON_ABSENT;
}

void
jsonw_begin(struct jsonw *w, struct buf *out, char open)
{
	*w = (struct jsonw){out, open == '{' ? '}' : ']', true};
	buf_char(out, open);
}

static void
name_of(struct jsonw *w, const char *name)
{
	if (!w->first)
		buf_char(w->out, ',');
	w->first = false;
	if (name != NULL) {
		json_write_clean(w->out, name, strlen(name));
		buf_char(w->out, ':');
	}
}

void
jsonw_open(struct jsonw *w, const char *name, struct jsonw *inner, char open)
{
	name_of(w, name);
	jsonw_begin(inner, w->out, open);
}

void
jsonw_strn(struct jsonw *w, const char *name, const char *p, size_t n)
{
	name_of(w, name);
	json_write_clean(w->out, p, n);
}

void
jsonw_str(struct jsonw *w, const char *name, const char *text)
{
	jsonw_strn(w, name, text, strlen(text));
}

void
jsonw_u64(struct jsonw *w, const char *name, uint64_t v)
{
	name_of(w, name);
	buf_u64(w->out, v);
}

void
jsonw_i64(struct jsonw *w, const char *name, int64_t v)
{
	name_of(w, name);
	buf_i64(w->out, v);
}

void
jsonw_bool(struct jsonw *w, const char *name, bool v)
{
	name_of(w, name);
	buf_str(w->out, v ? "true" : "false");
}

void
jsonw_null(struct jsonw *w, const char *name)
{
	name_of(w, name);
	buf_str(w->out, "null");
}

void
jsonw_raw(struct jsonw *w, const char *name, const char *p, size_t n)
{
	name_of(w, name);
	buf_add(w->out, p, n);
}

void
jsonw_span(struct jsonw *w, const char *name, const struct json_span *v)
{
	if (v->type == JSON_ABSENT)
		jsonw_null(w, name);
	else
		jsonw_raw(w, name, v->p, v->len);
}

void
jsonw_end(struct jsonw *w)
{
	buf_char(w->out, w->close);
}
