/*
 * Bytes of one input, plain or gzip: told apart by the first two bytes. Gzip
 * may have several members; lengths and checksums are checked.
 *
 * Foreign files are read, never mapped: one that shrinks meanwhile is no
 * fault of ours.
 */
#ifndef WEIR_INPUT_H
#define WEIR_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Most that one read gives, and least room to offer. */
#define INPUT_BLOCK (256u << 10)

struct input_gz;

struct input {
	int fd;
	bool own; /* input_close closes it */
	const char *name; /* for messages; referenced */
	uint64_t bytes; /* as read, before gzip is undone */
	bool begun;
	int status; /* after -1: the exit status; the message was printed,
		       except where a signal is pending */
	struct input_gz *gz;
};

/* "-" is stdin. RC_OK, or RC_TRUNCATED after a message. */
int input_open(struct input *in, const char *path);
void input_fd(struct input *in, int fd, const char *name);
/* Where it is a regular file the size of the rest, else 0. */
uint64_t input_size(const struct input *in);
uint64_t input_path_size(const char *path); /* "-" is stdin */
/* Up to INPUT_BLOCK bytes into p, 0 at the end, -1 with in->status. */
ssize_t input_read(struct input *in, char *p);
void input_close(struct input *in);

#endif
