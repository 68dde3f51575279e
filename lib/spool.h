/*
 * Bytes that are kept until they are whole: in memory up to 1 MiB, then in an
 * unlinked file (TMPDIR, 0600). Written once, then read from the start.
 */
#ifndef WEIR_SPOOL_H
#define WEIR_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "out.h"

struct spool;
struct spool *spool_new(void);
int spool_write(struct spool *s, const void *p, size_t n); /* 0 or -1, errno */
uint64_t spool_size(const struct spool *s);
void spool_rewind(struct spool *s);
ssize_t spool_read(struct spool *s, void *p, size_t n); /* 0 at the end */
/* All of it, where it is in memory; NULL where it is not. */
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
