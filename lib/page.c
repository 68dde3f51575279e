/*
 * Two machines take turns: one reads what is around the array, byte by byte,
 * into a document of its own; the other finds the ends of the elements, 64
 * bytes at a time, by quotes and brackets alone. The comma after an element
 * becomes a newline, so that the scanner of lines judges each of them. If the
 * document (with an empty array) and all elements are sound, so was the page.
 */
#include "page.h"

#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "mem.h"
#include "page_sweep.h"

enum {
	PIECE = 128 << 10,
	BATCH = 2048,
	CAP_KEPT = 1 << 20, /* of text, from page to page */
	NAMES = 8,
	REST_MIN = 1 << 20,
};

enum where { REST, FIRST, NEXT, ELEMENT, AFTER };

struct slice {
	size_t at, len;
};

struct page {
	size_t max_line;
	int (*element)(void *ctx, const char *text, size_t len);
	const char *(*quick)(void *ctx, const char *text, const char *end);
	void *ctx;
	bool taken; /* by quick: the element before pos */
	int status;
	struct json_error error;
	enum where where;
	uint64_t elements;

	/* around the array */
	char *names[NAMES];
	size_t name_len[NAMES], name_count;
	struct buf rest;
	size_t depth, match; /* containers open; of them on the path */
	bool in_string, escape, is_key, key_next, hit, found_array;
	size_t key_at;
	size_t cut_at; /* place of the elements in rest */
	uint64_t array_at, cut_len, fed;

	/* elements */
	struct json_paths *no_paths;
	struct json_scanner *scanner;
	struct json_span *found;
	char *mem, *text;
	size_t cap, len, pos, line, start, stop;
	uint64_t base; /* of text in the page */
	struct sweep_state sweep;
	sweep_function *find;
	struct slice done[BATCH];
	size_t n;
};

static int
fail(struct page *g, uint64_t byte, const char *reason)
{
	g->error.byte = (size_t)byte + 1;
	g->error.reason = reason;
	g->error.cut = false;
	return g->status = RC_CONTRACT;
}

static void
set_names(struct page *g, const char *array)
{
	while (g->name_count < NAMES) {
		size_t n = strcspn(array, ".");

		g->names[g->name_count] = xstrndup(array, n);
		g->name_len[g->name_count++] = n;
		if (array[n] == '\0')
			break;
		array += n + 1;
	}
}

struct page *
page_new(const char *array, size_t max_line,
    int (*element)(void *ctx, const char *text, size_t len), void *ctx)
{
	struct page *g = xcalloc(1, sizeof(*g));

	g->max_line = max_line;
	g->element = element;
	g->ctx = ctx;
	set_names(g, array);
	buf_init(&g->rest, max_line < REST_MIN ? REST_MIN : max_line);
	g->no_paths = json_paths_new();
	g->scanner = json_scanner_new(g->no_paths);
	g->cap = 2 * PIECE;
	g->mem = xcalloc(1, g->cap + 2 * JSON_PAD);
	g->text = g->mem + JSON_PAD;
	g->find = sweep_choose();
	return g;
}

void
page_quick(struct page *g,
    const char *(*quick)(void *ctx, const char *text, const char *end))
{
	g->quick = quick;
}

void
page_find(struct page *g, const struct json_paths *paths)
{
	size_t n = (size_t)json_paths_count(paths);

	json_scanner_free(g->scanner);
	g->scanner = json_scanner_new(paths);
	g->found = xreallocarray(g->found, n, sizeof(*g->found));
}

const struct json_span *
page_found(const struct page *g)
{
	return g->found;
}

static void
set_cap(struct page *g, size_t cap)
{
	g->cap = cap;
	g->mem = xrealloc(g->mem, cap + 2 * JSON_PAD);
	g->text = g->mem + JSON_PAD;
}

void
page_reset(struct page *g)
{
	g->taken = false;
	g->status = RC_OK;
	g->error = (struct json_error){0, NULL, false};
	g->where = REST;
	g->elements = g->array_at = g->cut_len = g->fed = g->base = 0;
	buf_reset(&g->rest);
	g->depth = g->match = g->key_at = g->cut_at = 0;
	g->in_string = g->escape = g->is_key = g->key_next = false;
	g->hit = g->found_array = false;
	g->len = g->pos = g->line = g->start = g->stop = g->n = 0;
	if (g->cap > CAP_KEPT)
		set_cap(g, 2 * PIECE);
	json_scanner_reset(g->scanner);
}

/* Around the array ------------------------------------------------------- */

static void
key_end(struct page *g)
{
	struct json_span key = {g->rest.p + g->key_at,
	    (uint32_t)(g->rest.len - g->key_at), JSON_STRING, JSON_ESCAPED};
	size_t i = g->match - 1;

	g->is_key = g->key_next = false;
	if (g->rest.over)
		return;
	if (memchr(key.p, '\\', key.len) == NULL)
		key.flags = 0;
	else if (!json_check(key.p, key.len, false, &g->error))
		return; /* page_end will say so */
	g->hit = json_is(&key, g->names[i], g->name_len[i]);
}

/* An opening bracket; true where it is the array's. */
static bool
enter(struct page *g, char c)
{
	bool object = c == '{', hit = g->hit;

	g->hit = false;
	g->key_next = object;
	g->depth++;
	if (g->depth == 1)
		g->match = object;
	else if (hit && g->match == g->name_count && !object)
		return true;
	else if (hit && g->match < g->name_count && object)
		g->match++;
	return false;
}

static void
leave(struct page *g)
{
	g->hit = g->key_next = false;
	if (g->depth == 0)
		return;
	if (g->depth == g->match)
		g->match--;
	g->depth--;
}

static void
in_string(struct page *g, char c)
{
	if (g->escape)
		g->escape = false;
	else if (c == '\\')
		g->escape = true;
	else if (c == '"')
		g->in_string = false;
}

/* Takes bytes until the array begins. Returns how many. */
static size_t
around(struct page *g, const char *p, size_t n)
{
	size_t from = 0, i = 0;
	bool array = false;

	while (i < n && !array) {
		char c = p[i++];

		if (g->in_string) {
			in_string(g, c);
			if (!g->in_string && g->is_key) {
				buf_add(&g->rest, p + from, i - from);
				from = i;
				key_end(g);
			}
			continue;
		}
		switch (c) {
		case '"':
			g->in_string = true;
			g->hit = false;
			g->is_key =
			    g->key_next && g->match > 0 && g->depth == g->match;
			g->key_at = g->rest.len + i - 1 - from;
			break;
		case '{':
		case '[':
			array = enter(g, c);
			break;
		case '}':
		case ']':
			leave(g);
			break;
		case ',':
			g->key_next = true;
			g->hit = false;
			break;
		case ':':
		case ' ':
		case '\t':
		case '\r':
		case '\n':
			break;
		default:
			g->hit = false;
		}
	}
	buf_add(&g->rest, p + from, i - from);
	if (g->rest.over)
		fail(g, g->fed + i, "too much around the array");
	else if (array && g->found_array)
		fail(g, g->fed + i, "the array is there twice");
	else if (array) {
		g->found_array = true;
		g->where = FIRST;
		g->cut_at = g->rest.len;
		g->base = g->array_at = g->fed + i;
		g->len = g->pos = g->line = 0;
	}
	return i;
}

/* Elements --------------------------------------------------------------- */

/* Judges the elements that are whole and hands them on. */
static void
hand_on(struct page *g)
{
	const char *line = g->text + g->line, *next = line;
	struct json_error e = {0, NULL, false};

	for (size_t i = 0; i < g->n && g->status == RC_OK; i++) {
		const struct slice *s = &g->done[i];

		if (json_scan(g->scanner, line, &next, g->found, &e) !=
		    JSON_OK) {
			fail(g,
			    g->base + (uint64_t)(line - g->text) + e.byte - 1,
			    e.reason != NULL ? e.reason : "not an object");
			break;
		}
		g->elements++;
		if (g->element != NULL)
			g->status = g->element(g->ctx, g->text + s->at, s->len);
		line = next;
	}
	g->n = 0;
	g->line = (size_t)(line - g->text);
	json_scanner_reset(g->scanner);
}

/* The separator at pos ends the element. */
static void
separated(struct page *g)
{
	if (g->taken) {
		g->taken = false;
		g->line = g->pos + 1;
		return;
	}
	g->text[g->pos] = '\n';
	g->done[g->n++] = (struct slice){g->start, g->stop - g->start};
	if (g->n == BATCH) {
		g->pos++;
		hand_on(g);
		g->pos--;
	}
}

/* The element at pos, where the caller can read it as it stands. Those before
 * it come first. */
static bool
take(struct page *g)
{
	size_t most = g->len - g->pos;
	const char *end;

	if (g->quick == NULL)
		return false;
	if (g->n > 0)
		hand_on(g);
	if (g->status != RC_OK)
		return true;
	end = g->quick(g->ctx, g->text + g->pos,
	    g->text + g->pos + (most < g->max_line ? most : g->max_line));
	if (end == NULL)
		return false;
	g->elements++;
	g->taken = true;
	g->where = AFTER;
	g->pos = g->start = g->stop = (size_t)(end - g->text);
	return true;
}

/* One byte between elements. False at the end of the array, which stays. */
static bool
between(struct page *g)
{
	char *c = &g->text[g->pos];

	switch (*c) {
	case '\n':
		*c = ' ';
		break;
	case ' ':
	case '\t':
	case '\r':
		break;
	case '{':
		if (g->where == AFTER)
			goto wrong;
		if (take(g))
			return true;
		g->where = ELEMENT;
		g->start = g->pos;
		g->sweep = (struct sweep_state){0, 0, 0};
		return true;
	case ',':
		if (g->where != AFTER)
			goto wrong;
		separated(g);
		g->where = NEXT;
		break;
	case ']':
		if (g->where == NEXT)
			goto wrong;
		if (g->where == AFTER)
			separated(g);
		g->where = REST;
		return false;
	default:
		goto wrong;
	}
	g->pos++;
	return true;
wrong:
	fail(g, g->base + g->pos,
	    g->where == AFTER ? "',' or ']' expected"
	    : *c == ']'       ? "trailing comma"
			      : "an element is not an object");
	return false;
}

static void
in_element(struct page *g)
{
	const char *end =
	    g->find(&g->sweep, g->text + g->pos, g->text + g->len);

	g->pos = end != NULL ? (size_t)(end - g->text) : g->len;
	if (g->pos - g->start > g->max_line) {
		fail(g, g->base + g->start, "an element is too long");
	} else if (end != NULL) {
		g->stop = g->pos;
		g->where = AFTER;
	}
}

/* What is done goes; an element that is not whole moves to the front. */
static void
tidy(struct page *g)
{
	size_t keep = g->line;

	if (g->where == FIRST || g->where == NEXT)
		keep = g->pos; /* blanks */
	if (g->where == AFTER) {
		g->base += g->len - g->stop; /* blanks after it */
		g->pos = g->len = g->stop;
	}
	if (g->where == ELEMENT || g->where == AFTER)
		keep = g->start;
	memmove(g->text, g->text + keep, g->len - keep);
	g->base += keep;
	g->len -= keep;
	g->pos -= keep;
	g->start -= keep;
	g->stop -= keep;
	g->line = 0;
}

static void
make_room(struct page *g)
{
	if (g->cap - g->len >= PIECE)
		return;
	set_cap(g, 2 * g->cap);
	memset(g->text + g->len, 0, JSON_PAD);
}

/* Takes a piece of the array; returns how much of it belongs to it. */
static size_t
elements(struct page *g, const char *p, size_t n)
{
	size_t left;

	if (n > PIECE)
		n = PIECE;
	make_room(g);
	memcpy(g->text + g->len, p, n);
	g->len += n;
	while (g->pos < g->len && g->status == RC_OK)
		if (g->where == ELEMENT)
			in_element(g);
		else if (!between(g))
			break;
	if (g->status == RC_OK || g->n > 0) {
		int status = g->status; /* the elements before it are sound */
		struct json_error e = g->error;

		g->status = RC_OK;
		hand_on(g);
		if (g->status == RC_OK) {
			g->status = status;
			g->error = e;
		}
	}
	if (g->status != RC_OK)
		return n;
	if (g->where == REST) {
		left = g->len - g->pos;
		g->cut_len = g->fed + n - left - g->array_at;
		return n - left;
	}
	tidy(g);
	return n;
}

int
page_feed(struct page *g, const void *bytes, size_t n)
{
	const char *p = bytes;

	while (n > 0 && g->status == RC_OK) {
		size_t k =
		    g->where == REST ? around(g, p, n) : elements(g, p, n);

		g->fed += k;
		p += k;
		n -= k;
	}
	return g->status;
}

int
page_end(struct page *g, struct json_span *rest, struct json_error *e)
{
	if (g->status == RC_OK && g->where != REST) {
		fail(g, g->fed, "the page ends inside the array");
		g->error.cut = true;
	}
	if (g->status == RC_OK) {
		const char *text = buf_cstr(&g->rest);

		if (!json_check(text, g->rest.len, true, &g->error)) {
			if (g->found_array && g->error.byte > g->cut_at)
				g->error.byte += (size_t)g->cut_len;
			g->status = RC_CONTRACT;
		} else {
			buf_grow(&g->rest, JSON_PAD);
			*rest = json_value(buf_cstr(&g->rest));
		}
	}
	*e = g->error;
	return g->status;
}

uint64_t
page_elements(const struct page *g)
{
	return g->elements;
}

void
page_free(struct page *g)
{
	if (g == NULL)
		return;
	for (size_t i = 0; i < g->name_count; i++)
		free(g->names[i]);
	buf_release(&g->rest);
	json_scanner_free(g->scanner);
	json_paths_free(g->no_paths);
	free(g->found);
	free(g->mem);
	free(g);
}
