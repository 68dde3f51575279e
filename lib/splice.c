/* Records with slices replaced and removed. */
#include "splice.h"

#include <stdlib.h>

#include "mem.h"

void
splice_init(struct splice *s, size_t max_text)
{
	*s = (struct splice){NULL, 0, 0, BUF_INIT(max_text)};
}

void
splice_reset(struct splice *s)
{
	s->n = 0;
	buf_reset(&s->text);
}

void
splice_release(struct splice *s)
{
	free(s->list);
	buf_release(&s->text);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static const char *
back_over_blanks(const char *p)
{
	while (is_blank(p[-1]))
		p--;
	return p;
}

/* Quotes inside a key are escaped, and before the opening one there is never
 * a backslash: the first bare quote on the way back is it. */
const char *
splice_key(const char *value)
{
	const char *p = back_over_blanks(value) - 1; /* the colon */

	p = back_over_blanks(p) - 1; /* the closing quote */
	do {
		p--;
	} while (*p != '"' || p[-1] == '\\');
	return p;
}

static void
add(struct splice *s, const char *record, const char *from, const char *to,
    bool drop)
{
	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 32 : s->cap * 2;
		s->list = xreallocarray(s->list, s->cap, sizeof *s->list);
	}
	s->list[s->n++] = (struct change){(uint32_t)(from - record),
	    (uint32_t)(to - record), (uint32_t)s->text.len, 0, drop};
}

void
splice_bytes(struct splice *s, const char *record, const char *from, size_t len,
    const void *p, size_t n)
{
	add(s, record, from, from + len, false);
	s->list[s->n - 1].len = (uint32_t)n;
	buf_add(&s->text, p, n);
}

void
splice_replace(struct splice *s, const char *record, const struct json_span *v,
    const void *p, size_t n)
{
	splice_bytes(s, record, v->p, v->len, p, n);
}

void
splice_drop_member(
    struct splice *s, const char *record, const struct json_span *v)
{
	add(s, record, splice_key(v->p), v->p + v->len, true);
}

void
splice_drop_element(
    struct splice *s, const char *record, const struct json_span *v)
{
	add(s, record, v->p, v->p + v->len, true);
}

static int
by_place(const void *a, const void *b)
{
	const struct change *x = a, *y = b;

	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return (x->to < y->to) - (x->to > y->to);
}

/* Mostly in order already. */
void
splice_sort(struct splice *s)
{
	for (size_t i = 1; i < s->n; i++)
		if (by_place(&s->list[i - 1], &s->list[i]) > 0) {
			qsort(s->list, s->n, sizeof *s->list, by_place);
			return;
		}
}

/*
 * A dropped slice takes the comma and the blanks behind it along. The last of
 * its container has none: there the comma before the run of dropped ones
 * goes, if anything stands before that run.
 */
static void
take_comma(struct change *c, struct change *run, const char *record)
{
	const char *p = record + c->to;

	while (is_blank(*p))
		p++;
	if (*p == ',') {
		p++;
		while (is_blank(*p))
			p++;
	} else {
		const char *q = back_over_blanks(record + run->from);

		if (q[-1] == ',')
			run->from = (uint32_t)(q - 1 - record);
	}
	c->to = (uint32_t)(p - record);
}

void
splice_resolve(struct splice *s, const char *record)
{
	size_t kept = 0;

	splice_sort(s);
	for (size_t i = 0; i < s->n; i++) {
		struct change c = s->list[i];
		struct change *last = kept > 0 ? &s->list[kept - 1] : NULL;

		if (last != NULL && c.from < last->to)
			continue; /* inside what is gone */
		if (!c.drop) {
			s->list[kept++] = c;
		} else if (last != NULL && last->drop && last->to == c.from) {
			take_comma(&c, last, record);
			last->to = c.to;
		} else {
			take_comma(&c, &c, record);
			s->list[kept++] = c;
		}
	}
	s->n = kept;
}

void
splice_apply(
    const struct splice *s, const char *record, size_t len, struct buf *out)
{
	size_t at = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct change *c = &s->list[i];

		buf_add(out, record + at, c->from - at);
		buf_add(out, s->text.p + c->at, c->len);
		at = c->to;
	}
	buf_add(out, record + at, len - at);
}
