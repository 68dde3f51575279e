/*
 * Bytes that are kept until they are whole: in memory while all spools together
 * are small (24 MiB, one 16 MiB), then in an unlinked file (TMPDIR, 0600).
 * Written once, then read from the start.
 */
#ifndef WEIR_SPOOL_H
#define WEIR_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "out.h"

struct spool;
struct spool *spool_new(void);
/* Another limit than 24 MiB, for all spools of the program together. */
void spool_limit(size_t all);
int spool_write(struct spool *s, const void *p, size_t n); /* 0 or -1, errno */
/* The same, of some parts. */
int spool_writev(struct spool *s, const struct iovec *parts, int count);
/* Reads up to n bytes from a file to its end: how many, 0 at the end of the
 * file, or -1. */
ssize_t spool_fill(struct spool *s, int fd, size_t n);
/* What is gathered goes to the file: a disk that is full shows here at last, or
 * when it is read. 0 or -1. */
int spool_flush(struct spool *s);
uint64_t spool_size(const struct spool *s);
void spool_rewind(struct spool *s);
ssize_t spool_read(struct spool *s, void *p, size_t n); /* 0 at the end */
/* Some of the bytes that come next, where they lie; they last until the next call. How
 * many, 0 at the end, or -1. */
ssize_t spool_take(struct spool *s, const char **p);
/* All of it, where it is in memory and no more than 1 MiB, with 64 bytes that
 * can be read behind it; else NULL. */
const char *spool_memory(const struct spool *s, size_t *len);
/* The first and the last byte that are no blanks, 0 where there is none in the
 * first or last 64 bytes. */
void spool_ends(const struct spool *s, char *first, char *last);
/* Copies all of it to the output. 0 or -1. */
int spool_copy(struct spool *s, struct out *o);
void spool_reset(struct spool *s);
void spool_free(struct spool *s);
/* A file without a name (TMPDIR, 0600); -1 and errno where there is none. */
int spool_file(void);

#endif
