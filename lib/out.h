/*
 * Output: a buffered descriptor, plain or gzip, whose errors are kept.
 *
 * Bytes go out in pieces of 256 KiB. After a failed write everything more is
 * dropped and out_close (or out_flush) reports it, once, naming the stream.
 * No record is ever split by out_record's caller: a flush may split it on the
 * wire, but a close without error has written all.
 */
#ifndef WEIR_OUT_H
#define WEIR_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define OUT_BLOCK (256u << 10)

enum { OUT_GZIP = 1 };

struct sha256;

struct out {
	char *p; /* OUT_BLOCK bytes of room and more */
	size_t len, cap;
	int fd;
	bool failed;
	bool gone_ok; /* a reader that went away is no error: bytes are dropped */
	int error; /* errno of the failure */
	uint64_t bytes; /* taken so far, before gzip */
	uint64_t written; /* gone to the descriptor, after gzip */
	const char *name; /* for messages; referenced */
	void *gz;
	/* Running digests of the bytes before and after gzip, where set;
	 * borrowed. */
	struct sha256 *sum_plain, *sum_packed;
};

/* The descriptor is not closed by out_close; gzip level 6. The gzip bytes are a
 * function of the data and the level: no name, no time. */
void out_init(struct out *o, int fd, const char *name, int flags);
/* From the first byte on, gzip of this level (1-9). */
void out_gzip(struct out *o, int level);
/* Out of line: makes room, or writes a large piece through. */
void out_slow(struct out *o, const void *p, size_t n);
/* RC_OK, or RC_IO after a message. */
int out_flush(struct out *o);
/* Flush, end of gzip; RC_OK or RC_IO after a message (if none came yet). */
int out_close(struct out *o);
/* Frees without writing: for a run that gives up. */
void out_drop(struct out *o);

static inline void
out_write(struct out *o, const void *p, size_t n)
{
	if (n < o->cap - o->len) {
		if (n > 0) /* p may be NULL then */
			memcpy(o->p + o->len, p, n);
		o->len += n;
		o->bytes += n;
	} else {
		out_slow(o, p, n);
	}
}

/* A record and its newline. */
static inline void
out_record(struct out *o, const char *text, size_t len)
{
	if (len + 1 < o->cap - o->len) {
		memcpy(o->p + o->len, text, len);
		o->p[o->len + len] = '\n';
		o->len += len + 1;
		o->bytes += len + 1;
	} else {
		out_write(o, text, len);
		out_write(o, "\n", 1);
	}
}

/* Closes descriptor 1 with a check, for tools that print without filter.h:
 * RC_OK or RC_IO. */
int out_stdout_text(const char *text, size_t len);

#endif
