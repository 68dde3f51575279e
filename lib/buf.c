/* A byte buffer that grows up to a ceiling. */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "diag.h"
#include "exits.h"
#include "mem.h"

enum { BUF_FIRST = 64, DIGITS = 20 };

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf)BUF_INIT(max);
}

bool
buf_grow(struct buf *b, size_t n)
{
	size_t need, cap;

	if (__builtin_add_overflow(b->len, n, &need) || need > b->max) {
		b->over = true;
		return false;
	}
	if (need <= b->cap)
		return true;
	cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;
	while (cap < need)
		if (__builtin_mul_overflow(cap, (size_t)2, &cap))
			cap = need;
	if (cap > b->max)
		cap = b->max;
	b->p = xrealloc(b->p, cap);
	b->cap = cap;
	return true;
}

void
buf_u64(struct buf *b, uint64_t v)
{
	char text[DIGITS];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	buf_add(b, text + at, sizeof(text) - at);
}

void
buf_i64(struct buf *b, int64_t v)
{
	uint64_t abs = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	if (v < 0 && !buf_room(b, DIGITS + 1)) {
		char text[DIGITS + 2]; /* fits only if the digits are few */
		int n = snprintf(
		    text, sizeof(text), "-%llu", (unsigned long long)abs);

		b->over = b->max - b->len < (size_t)n;
		buf_add(b, text, (size_t)n);
		return;
	}
	if (v < 0)
		buf_char(b, '-');
	buf_u64(b, abs);
}

void
buf_fmt(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		die(RC_INTERNAL, NULL, "cannot format a text");
	/* vsnprintf writes a NUL too, which the ceiling need not hold */
	if (buf_room(b, (size_t)n + 1)) {
		vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	} else if ((size_t)n <= b->max - b->len) {
		char *text = xmalloc((size_t)n + 1);

		vsnprintf(text, (size_t)n + 1, fmt, again);
		b->over = false;
		buf_add(b, text, (size_t)n);
		free(text);
	}
	va_end(again);
}

const char *
buf_cstr(struct buf *b)
{
	/* The NUL may stand one above the ceiling: it is not content. */
	if (b->cap <= b->len) {
		b->p = xrealloc(b->p, b->len + 1);
		b->cap = b->len + 1;
	}
	b->p[b->len] = '\0';
	return b->p;
}

void
buf_release(struct buf *b)
{
	free(b->p);
	buf_init(b, b->max);
}
