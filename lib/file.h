/*
 * Files and state: the one way to write (docs/errors.md, "Files").
 *
 * A file is made under a temporary name (".tmp-" and random hex, 0600) in its
 * own directory, written, fsynced, closed, renamed, and the directory
 * fsynced; a reader sees the old file or the new one, whole. Names made of
 * data hold [A-Za-z0-9._-] only. Nothing follows a symlink.
 */
#ifndef WEIR_FILE_H
#define WEIR_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"

/* Is the text a name we may give a file? 1 to 100 bytes of [A-Za-z0-9._-],
 * not beginning with '.' or '-'. */
bool file_name_ok(const char *name);

/*
 * Opens a state directory; one missing level is made (0700) and its parent
 * synced. The descriptor, or -1 after a message (RC_CANTCREAT): missing
 * parent, not a directory, a symlink, another owner, or (writable) read-only.
 */
int dir_open(const char *path, bool create, bool writable);
/* The same below a directory descriptor, for a checked name. */
int dir_open_at(int dirfd, const char *name, bool create);
int dir_sync(int dirfd); /* 0 or -1 */

struct afile {
	int dirfd; /* borrowed or owned */
	bool own_dir;
	int fd;
	char tmp[40];
	char *name;
	char *path; /* for messages */
};

/* Begins a new file `path` (any directory that exists). Returns RC_OK or
 * RC_CANTCREAT, said. Write to a->fd. */
int afile_open(struct afile *a, const char *path);
int afile_open_at(struct afile *a, int dirfd, const char *name);
/* fsync, close, chmod where mode is not 0, rename, fsync of the directory.
 * RC_OK, or RC_IO said; the new file is then gone and the old one stays. */
int afile_commit(struct afile *a, mode_t mode);
void afile_drop(struct afile *a);
/* All in one. */
int file_replace(const char *path, const void *p, size_t n, mode_t mode);

/* Opens a regular state file of ours for reading, without following links and
 * without hanging on a FIFO. -1 with errno (ENOENT: not there; EINVAL: not a
 * regular file or another's). */
int file_open_state(int dirfd, const char *name, int flags);
/* Reads a whole regular file (or, with "-", stdin) of at most max bytes.
 * RC_OK, RC_TRUNCATED (cannot open), RC_CONTRACT (too large), RC_IO: said. */
int file_read(const char *path, size_t max, struct buf *out);

/* Takes the lock `name` in the directory, waiting up to wait_s seconds. The
 * holder's pid and start time stand in the file for the message. RC_OK and
 * *fd (keep it open), RC_TRANSIENT (held: pid and age are said), RC_CANTCREAT,
 * RC_IO. */
int lock_take(int dirfd, const char *name, unsigned wait_s, int *fd);

/* A secret: a regular file, ours, mode 0400 or 0600, one trailing newline
 * dropped; no NUL, CR or LF inside. Told to diag. RC_OK or RC_CONFIG, said.*/
struct secret {
	char *p;
	size_t len;
};
int secret_read(const char *path, struct secret *s);
/* The same for keys and credentials, which have lines. */
int secret_read_lines(const char *path, struct secret *s);
void secret_wipe(struct secret *s);

#endif
