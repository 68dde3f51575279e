/*
 * A byte buffer that grows up to a ceiling.
 *
 * The buffer owns its bytes; they move when it grows. Going over the ceiling
 * sets `over` and drops the addition: check it once, after a series of
 * additions. Not NUL-terminated unless buf_cstr is called.
 */
#ifndef WEIR_BUF_H
#define WEIR_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
	char *p;
	size_t len, cap, max;
	bool over;
};

#define BUF_INIT(ceiling) {NULL, 0, 0, (ceiling), false}

void buf_init(struct buf *b, size_t max);
/* Makes room for n more bytes; false (and over) at the ceiling. */
bool buf_grow(struct buf *b, size_t n);
void buf_u64(struct buf *b, uint64_t v); /* decimal */
void buf_i64(struct buf *b, int64_t v);
void buf_fmt(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Adds a NUL that is not counted; the text lasts until the next addition. */
const char *buf_cstr(struct buf *b);
void buf_release(struct buf *b);

static inline bool
buf_room(struct buf *b, size_t n)
{
	return n <= b->cap - b->len || buf_grow(b, n);
}

static inline void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (buf_room(b, n) && n > 0) {
		memcpy(b->p + b->len, p, n);
		b->len += n;
	}
}

static inline void
buf_char(struct buf *b, char c)
{
	if (buf_room(b, 1))
		b->p[b->len++] = c;
}

static inline void
buf_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

static inline void
buf_reset(struct buf *b)
{
	b->len = 0;
	b->over = false;
}

#endif
