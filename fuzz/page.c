/*
 * The splitter of pages: any bytes, in pieces of any size, must give the same
 * elements, rest and status as in one piece; and what it calls sound must be
 * what the exact validator calls so. Aborts where not.
 *
 * The first byte says how large the pieces are, and whether a reader of its
 * own takes some elements out of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "json.h"
#include "page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_LINE = 200 };

static void
must(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "page: %s\n", what);
	abort();
}

struct seen {
	struct buf text; /* elements, a line each */
	uint64_t n;
	int status;
};

static int
element(void *ctx, const char *text, size_t len)
{
	struct seen *s = ctx;
	struct json_error e;

	must(len <= MAX_LINE && text[0] == '{' && text[len - 1] == '}' &&
		 memchr(text, '\n', len) == NULL &&
		 json_check(text, len, true, &e),
	    "an element is not one");
	buf_add(&s->text, text, len);
	buf_char(&s->text, '\n');
	s->n++;
	return RC_OK;
}

/* Takes {"q":12} and the like. */
static const char *
quick(void *ctx, const char *text, const char *end)
{
	const char *p = text + 5;

	if (end - text < 7 || memcmp(text, "{\"q\":", 5) != 0 || *p == '0')
		return NULL;
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	if (p >= end || p == text + 5 || *p != '}')
		return NULL;
	element(ctx, text, (size_t)(p + 1 - text));
	return p + 1;
}

static struct json_span
list_of(const struct json_span *rest)
{
	struct json_span v = json_member(rest, "data");

	return v.type == JSON_OBJECT ? json_member(&v, "x") : v;
}

static void
run(struct seen *s, const char *p, size_t n, size_t piece, const char *array,
    bool quickly)
{
	struct page *g = page_new(array, MAX_LINE, element, s);
	struct json_span rest, list;
	struct json_error e;

	page_quick(g, quickly ? quick : NULL);
	for (size_t at = 0, k; at < n; at += k) {
		k = piece < n - at ? piece : n - at;
		if (page_feed(g, p + at, k) != RC_OK)
			break;
	}
	s->status = page_end(g, &rest, &e);
	must(page_elements(g) == s->n, "the count is wrong");
	if (s->status == RC_OK) {
		buf_add(&s->text, rest.p, rest.len);
		if (s->n > 0) {
			list = list_of(&rest);
			must(list.type == JSON_ARRAY, "no array in the rest");
		}
	} else {
		must(e.reason != NULL, "no reason");
	}
	page_free(g);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen whole = {BUF_INIT(1 << 26), 0, 0};
	struct seen parts = {BUF_INIT(1 << 26), 0, 0};
	const char *array, *p = (const char *)data + 1;
	struct json_error e;
	size_t n = size - 1;

	if (size < 1)
		return 0;
	array = data[0] & 1 ? "data" : "data.x";
	run(&whole, p, n, n, array, false);
	run(&parts, p, n, (size_t)data[0] / 2 % 40 + 1, array, data[0] > 127);
	must(
	    whole.status == parts.status &&
		(whole.n == parts.n || whole.status != RC_OK) &&
		(whole.status != RC_OK || (whole.text.len == parts.text.len &&
					      memcmp(whole.text.p, parts.text.p,
						  whole.text.len) == 0)),
	    "pieces give another result");
	if (whole.status == RC_OK)
		must(json_check(p, n, true, &e), "an unsound page was taken");
	buf_release(&whole.text);
	buf_release(&parts.text);
	return 0;
}
