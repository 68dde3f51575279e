#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"

/* The lock around the ledger is held for moments: another batch that starts or
 * is committed is no reason to fail. Seconds. */
#define MOMENTS 60u

int
store_damage(const struct store *s, const char *name, const char *what)
{
	char *path = xasprintf("%s/%s", s->path, name);

	warn_msg(path,
	    "damaged: %s; move the store away and run the batches of the days "
	    "it retains again into a new one",
	    what);
	free(path);
	return RC_CONTRACT;
}

int
store_io(const struct store *s, const char *name, const char *what)
{
	char *path = xasprintf("%s/%s", s->path, name);

	warn_sys(path, "%s", what);
	free(path);
	return RC_IO;
}

int
store_cannot(const struct store *s, const char *name)
{
	char *path = xasprintf("%s/%s", s->path, name);
	int rc = errno == EIO ? RC_IO : RC_CANTCREAT;

	if (errno == EINVAL)
		warn_msg(path, "not a regular file of ours");
	else
		warn_sys(path, "cannot open");
	free(path);
	return rc;
}

/* What a process that died while it held the lock has left. */
static void
clear_temporary(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *e;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d)) != NULL)
		if (strncmp(e->d_name, ".tmp-", 5) == 0)
			unlinkat(dir, e->d_name, 0);
	closedir(d);
}

int
store_lock(struct store *s)
{
	unsigned wait = s->wait > MOMENTS ? s->wait : MOMENTS;
	int rc = lock_take(s->dir, "lock", wait, &s->lock);

	if (rc != RC_OK) {
		s->lock = -1;
		return rc;
	}
	clear_temporary(s->dir);
	return RC_OK;
}

void
store_unlock(struct store *s)
{
	if (s->lock >= 0)
		close(s->lock);
	s->lock = -1;
}

/* A lock file may be taken away by its holder: then it is tried again. */
int
batch_lock(struct store *s, const char *batch, int *fd)
{
	struct stat st;

	for (;;) {
		int rc = lock_take(s->locks, batch, s->wait, fd);

		if (rc != RC_OK)
			return rc;
		if (fstat(*fd, &st) == 0 && st.st_nlink > 0)
			return RC_OK;
		close(*fd);
	}
}

void
batch_unlock(struct store *s, const char *batch, int fd, bool forget)
{
	if (forget)
		unlinkat(s->locks, batch, 0);
	close(fd);
}

int
store_open(struct store *s, bool create)
{
	s->pending = s->locks = s->lock = -1;
	s->dir = dir_open(s->path, create, true);
	if (s->dir < 0)
		return RC_CANTCREAT;
	s->pending = dir_open_at(s->dir, "pending", true);
	if (s->pending < 0)
		return RC_CANTCREAT;
	s->locks = dir_open_at(s->dir, "locks", true);
	return s->locks < 0 ? RC_CANTCREAT : RC_OK;
}

void
store_close(struct store *s)
{
	store_unlock(s);
	ledger_release(&s->l);
	if (s->locks >= 0)
		close(s->locks);
	if (s->pending >= 0)
		close(s->pending);
	if (s->dir >= 0)
		close(s->dir);
}
