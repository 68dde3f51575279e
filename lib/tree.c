/* A small JSON document as a tree in one arena. */
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "mem.h"
#include "tree.h"

#define BLOCK 8192

struct block {
	struct block *next;
	size_t used, size;
	char data[];
};

struct tree {
	struct block *blocks;
	struct node *root;
};

static void *
arena(struct tree *t, size_t n)
{
	struct block *b = t->blocks;
	void *got;

	n = (n + 15) & ~(size_t)15;
	if (b == NULL || b->size - b->used < n) {
		size_t size = n > BLOCK ? n : BLOCK;

		b = xmalloc(sizeof(*b) + size);
		b->size = size;
		b->used = 0;
		b->next = t->blocks;
		t->blocks = b;
	}
	got = b->data + b->used;
	b->used += n;
	return got;
}

static const char *
decoded(struct tree *t, const struct json_span *s, size_t *len)
{
	char *p = arena(t, (size_t)s->len + 1);

	*len = json_decode(s, p);
	p[*len] = '\0';
	return p;
}

static struct node *
new_node(struct tree *t, const struct json_span *v, struct node *parent)
{
	struct node *n = arena(t, sizeof(*n));
	char *p;

	*n = (struct node){.type = v->type, .parent = parent, .text = ""};
	if (v->type == JSON_STRING) {
		n->text = decoded(t, v, &n->len);
	} else if (v->type == JSON_NUMBER) {
		p = arena(t, (size_t)v->len + 1);
		memcpy(p, v->p, v->len);
		p[v->len] = '\0';
		n->text = p;
		n->len = v->len;
	}
	return n;
}

/* Sorted look-up of a twin; objects of a configuration are small, but a
 * schema may have thousands of properties. */
static int
by_key(const void *a, const void *b)
{
	const struct node *x = *(const struct node *const *)a;
	const struct node *y = *(const struct node *const *)b;
	size_t n = x->key_len < y->key_len ? x->key_len : y->key_len;
	int c = memcmp(x->key, y->key, n);

	if (c != 0)
		return c;
	return x->key_len < y->key_len ? -1 : x->key_len > y->key_len;
}

static bool
has_twin(const struct node *object)
{
	const struct node **v;
	size_t n = 0;
	bool twin = false;

	if (object->count < 2)
		return false;
	v = xreallocarray(NULL, object->count, sizeof(*v));
	for (const struct node *c = object->child; c != NULL; c = c->next)
		v[n++] = c;
	qsort(v, n, sizeof(*v), by_key);
	for (size_t i = 1; i < n && !twin; i++)
		twin = by_key(&v[i - 1], &v[i]) == 0;
	free(v);
	return twin;
}

/* Recursion is bounded by JSON_DEPTH, which json_check has seen to. */
static bool
fill(struct tree *t, struct node *at, const struct json_span *v)
{
	struct json_span key, val;
	struct node **last = &at->child;
	struct json_iter it;

	if (v->type != JSON_ARRAY && v->type != JSON_OBJECT)
		return true;
	json_iter_init(&it, v);
	while (v->type == JSON_OBJECT ? json_next_member(&it, &key, &val)
				      : json_next_element(&it, &val)) {
		struct node *n = new_node(t, &val, at);

		if (v->type == JSON_OBJECT)
			n->key = decoded(t, &key, &n->key_len);
		n->index = at->count++;
		*last = n;
		last = &n->next;
		if (!fill(t, n, &val))
			return false;
	}
	return v->type != JSON_OBJECT || !has_twin(at);
}

struct tree *
tree_parse(const char *p, size_t n, struct json_error *e)
{
	struct tree *t;
	struct json_span root;

	if (!json_check(p, n, false, e))
		return NULL;
	t = xcalloc(1, sizeof(*t));
	root = json_value(p);
	t->root = new_node(t, &root, NULL);
	if (!fill(t, t->root, &root)) {
		*e = (struct json_error){1, "a member occurs twice", false};
		tree_free(t);
		return NULL;
	}
	return t;
}

struct node *
tree_root(const struct tree *t)
{
	return t->root;
}

void
tree_free(struct tree *t)
{
	if (t == NULL)
		return;
	while (t->blocks != NULL) {
		struct block *b = t->blocks;

		t->blocks = b->next;
		free(b);
	}
	free(t);
}

struct node *
node_get(const struct node *object, const char *name)
{
	size_t n = strlen(name);

	if (object == NULL || object->type != JSON_OBJECT)
		return NULL;
	for (struct node *c = object->child; c != NULL; c = c->next)
		if (c->key_len == n && memcmp(c->key, name, n) == 0)
			return c;
	return NULL;
}

static bool
plain_name(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			c == '_' || (i > 0 && c >= '0' && c <= '9')))
			return false;
	}
	return n > 0;
}

static void
add_path(struct buf *b, const struct node *n)
{
	if (n->parent == NULL)
		return;
	add_path(b, n->parent);
	if (n->key == NULL) {
		buf_char(b, '[');
		buf_u64(b, n->index);
		buf_char(b, ']');
		return;
	}
	buf_char(b, '.');
	if (plain_name(n->key, n->key_len))
		buf_add(b, n->key, n->key_len);
	else
		json_write_string(b, n->key, n->key_len);
}

char *
node_path(const struct node *n)
{
	struct buf b = BUF_INIT(1 << 16);
	char *s;

	add_path(&b, n);
	if (b.len == 0)
		buf_char(&b, '.');
	s = xstrndup(b.p, b.len);
	buf_release(&b);
	return s;
}

const char *
node_type_word(enum json_type t)
{
	static const char *const words[] = {"nothing", "null", "false", "true",
	    "a number", "a string", "an array", "an object"};

	return words[t];
}

bool
node_i64(const struct node *n, int64_t *v)
{
	struct json_span s = {n->text, (uint32_t)n->len, (uint8_t)n->type, 0};

	return n->type == JSON_NUMBER && json_i64(&s, v);
}
