/* Files and state: the one way to write. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sys.h"

enum {
	NAME_LEN = 100,
	TMP_TRIES = 32,
	READ_STEP = 64 << 10,
	SECRET_LEN = 64 << 10,
	LOCK_POLL_MS = 50,
};

bool
file_name_ok(const char *name)
{
	size_t n = strnlen(name, NAME_LEN + 1);

	if (n == 0 || n > NAME_LEN || name[0] == '.' || name[0] == '-')
		return false;
	for (; *name != '\0'; name++)
		if (!((*name >= 'A' && *name <= 'Z') ||
			(*name >= 'a' && *name <= 'z') ||
			(*name >= '0' && *name <= '9') || *name == '.' ||
			*name == '_' || *name == '-'))
			return false;
	return true;
}

int
dir_sync(int dirfd)
{
	/* Some file systems cannot sync a directory and say EINVAL. */
	if (fsync(dirfd) == 0 || errno == EINVAL || errno == EROFS)
		return 0;
	return -1;
}

/* "a/b/c/" is "a/b" and "c"; the caller frees both. */
static void
split_path(const char *path, char **dir, char **name)
{
	size_t n = strlen(path), at;

	while (n > 1 && path[n - 1] == '/')
		n--;
	for (at = n; at > 0 && path[at - 1] != '/';)
		at--;
	*name = xstrndup(path + at, n - at);
	while (at > 1 && path[at - 1] == '/')
		at--;
	*dir = at == 0 ? xstrdup(".") : xstrndup(path, at);
}

/* The opened descriptor is a directory of ours that can be written to. */
static int
dir_check(int fd, const char *path, bool writable)
{
	struct stat st;

	if (fstat(fd, &st) < 0) {
		warn_sys(path, "cannot look at the directory");
	} else if (writable && st.st_uid != geteuid()) {
		warn_msg(path, "the directory belongs to another user (%u)",
		    (unsigned)st.st_uid);
	} else if (writable &&
		   faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0) {
		warn_sys(path, "cannot write to the directory");
	} else {
		return fd;
	}
	close(fd);
	return -1;
}

static int
dir_open_parts(
    int parent, const char *name, const char *path, bool create, bool writable)
{
	int fd;

	fd = openat(parent, name,
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT && create) {
		if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST) {
			warn_sys(path, "cannot make the directory");
			return -1;
		}
		if (dir_sync(parent) < 0) {
			warn_sys(path, "cannot sync the parent directory");
			return -1;
		}
		fd = openat(parent, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	if (fd < 0) {
		if (errno == ELOOP || errno == ENOTDIR)
			warn_msg(path, "not a directory (links are not "
				       "followed)");
		else
			warn_sys(path, "cannot open the directory");
		return -1;
	}
	return dir_check(fd, path, writable);
}

int
dir_open(const char *path, bool create, bool writable)
{
	char *parent, *name;
	int up, fd = -1;

	split_path(path, &parent, &name);
	up = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (up < 0)
		warn_sys(parent, "cannot open the directory");
	else
		fd = dir_open_parts(
		    up, *name != '\0' ? name : ".", path, create, writable);
	if (up >= 0)
		close(up);
	free(parent);
	free(name);
	return fd;
}

int
dir_open_at(int dirfd, const char *name, bool create)
{
	if (!file_name_ok(name)) {
		warn_msg(name, "not a name for a directory");
		return -1;
	}
	return dir_open_parts(dirfd, name, name, create, true);
}

static void
afile_release(struct afile *a)
{
	if (a->own_dir && a->dirfd >= 0)
		close(a->dirfd);
	free(a->name);
	free(a->path);
	a->name = a->path = NULL;
	a->dirfd = a->fd = -1;
	a->own_dir = false;
}

/* Makes the temporary file; -1 with errno. */
static int
afile_make(struct afile *a)
{
	for (int i = 0; i < TMP_TRIES; i++) {
		unsigned char r[8];

		sys_random(r, sizeof(r));
		snprintf(a->tmp, sizeof(a->tmp),
		    ".tmp-%02x%02x%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2],
		    r[3], r[4], r[5], r[6], r[7]);
		a->fd = openat(a->dirfd, a->tmp,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (a->fd >= 0 || errno != EEXIST)
			return a->fd;
	}
	return -1;
}

/* What stands there now must be ours to replace: nothing or a file. */
static bool
afile_target_ok(const struct afile *a)
{
	struct stat st;

	if (fstatat(a->dirfd, a->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return true;
		warn_sys(a->path, "cannot look at the file");
		return false;
	}
	if (!S_ISREG(st.st_mode)) {
		warn_msg(a->path, "in the way: not a regular file");
		return false;
	}
	if (st.st_uid != geteuid()) {
		warn_msg(a->path, "in the way: a file of another user (%u)",
		    (unsigned)st.st_uid);
		return false;
	}
	return true;
}

static int
afile_start(struct afile *a)
{
	if (!afile_target_ok(a)) {
		afile_release(a);
		return RC_CANTCREAT;
	}
	if (afile_make(a) < 0) {
		warn_sys(a->path, "cannot make a file beside it");
		afile_release(a);
		return RC_CANTCREAT;
	}
	return RC_OK;
}

int
afile_open(struct afile *a, const char *path)
{
	char *dir;

	memset(a, 0, sizeof(*a));
	a->fd = -1;
	a->own_dir = true;
	a->path = xstrdup(path);
	split_path(path, &dir, &a->name);
	a->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->dirfd < 0)
		warn_sys(dir, "cannot open the directory");
	free(dir);
	if (a->dirfd < 0) {
		afile_release(a);
		return RC_CANTCREAT;
	}
	return afile_start(a);
}

int
afile_open_at(struct afile *a, int dirfd, const char *name)
{
	memset(a, 0, sizeof(*a));
	a->fd = -1;
	a->dirfd = dirfd;
	a->path = xstrdup(name);
	a->name = xstrdup(name);
	if (!file_name_ok(name)) {
		warn_msg(name, "not a name for a file");
		afile_release(a);
		return RC_CANTCREAT;
	}
	return afile_start(a);
}

void
afile_drop(struct afile *a)
{
	int saved = errno;

	if (a->fd >= 0)
		close(a->fd);
	if (a->dirfd >= 0 && a->tmp[0] != '\0')
		unlinkat(a->dirfd, a->tmp, 0);
	a->tmp[0] = '\0';
	afile_release(a);
	errno = saved;
}

int
afile_commit(struct afile *a, mode_t mode)
{
	const char *failed = NULL;
	int fd = a->fd;

	/* A failed fsync is final: asked again, it may answer for less. */
	if (mode != 0 && fchmod(fd, mode) < 0)
		failed = "cannot set the mode";
	else if (fsync(fd) < 0)
		failed = "cannot sync";
	if (failed == NULL) {
		a->fd = -1; /* closed, whatever close says */
		if (close(fd) < 0 && errno != EINTR)
			failed = "cannot close";
	}
	if (failed == NULL && renameat(a->dirfd, a->tmp, a->dirfd, a->name) < 0)
		failed = "cannot replace";
	if (failed != NULL) {
		warn_sys(a->path, "%s", failed);
		afile_drop(a);
		return RC_IO;
	}
	a->tmp[0] = '\0';
	if (dir_sync(a->dirfd) < 0) {
		warn_sys(a->path, "cannot sync the directory");
		afile_release(a);
		return RC_IO;
	}
	afile_release(a);
	return RC_OK;
}

int
file_replace(const char *path, const void *p, size_t n, mode_t mode)
{
	struct afile a;
	int rc = afile_open(&a, path);

	if (rc != RC_OK)
		return rc;
	if (sys_write_all(a.fd, p, n) < 0) {
		warn_sys(path, "cannot write");
		afile_drop(&a);
		return RC_IO;
	}
	return afile_commit(&a, mode);
}

/* A regular file of ours behind the descriptor, or -1 and EINVAL. */
static int
own_file(int fd)
{
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_uid == geteuid())
		return fd;
	close(fd);
	errno = EINVAL;
	return -1;
}

int
file_open_state(int dirfd, const char *name, int flags)
{
	int fd = openat(dirfd, name,
	    flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600);

	if (fd < 0 && (errno == ELOOP || errno == ENXIO || errno == EISDIR ||
			  errno == ENODEV))
		errno = EINVAL; /* a link, a FIFO, a directory, a device */
	return own_file(fd);
}

static int
read_all(int fd, const char *path, size_t max, struct buf *out)
{
	for (;;) {
		size_t want =
		    max - out->len < READ_STEP ? max - out->len + 1 : READ_STEP;
		ssize_t got;

		/* one byte over the limit, to notice a larger file */
		if (out->cap - out->len < want) {
			out->cap =
			    out->len + (want > out->len ? want : out->len);
			out->p = xrealloc(out->p, out->cap);
		}
		got = sys_read(fd, out->p + out->len, want);
		if (got < 0) {
			warn_sys(path, "cannot read");
			return RC_IO;
		}
		if (got == 0)
			return RC_OK;
		out->len += (size_t)got;
		if (out->len > max) {
			warn_msg(path, "larger than %zu bytes", max);
			return RC_CONTRACT;
		}
	}
}

int
file_read(const char *path, size_t max, struct buf *out)
{
	bool is_stdin = strcmp(path, "-") == 0;
	struct stat st;
	int fd, rc;

	fd = is_stdin
		 ? STDIN_FILENO
		 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		warn_sys(path, "cannot open");
		return RC_TRUNCATED;
	}
	if (!is_stdin && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))) {
		warn_msg(path, "not a regular file");
		close(fd);
		return RC_TRUNCATED;
	}
	if (out->max < max)
		out->max = max;
	rc = read_all(fd, path, max, out);
	if (!is_stdin)
		close(fd);
	return rc;
}

/* The holder of a lock, as it wrote itself down; a hint for a person only. */
static void
lock_say_held(int fd, const char *name)
{
	char text[64] = "";
	long long pid = 0, since = 0;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n > 0 && sscanf(text, "%19lld %19lld", &pid, &since) == 2) {
		int64_t age = sys_real_ns() / 1000000000 - since;

		warn_msg(name, "locked by process %lld for %lld seconds", pid,
		    (long long)(age < 0 ? 0 : age));
	} else {
		warn_msg(name, "locked by another process");
	}
}

static bool
lock_wait(int fd, unsigned wait_s)
{
	const struct timespec pause = {0, LOCK_POLL_MS * 1000000L};
	int64_t until = sys_mono_ns() + (int64_t)wait_s * 1000000000;

	for (;;) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return true;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return false;
		if (sys_mono_ns() >= until || sig_pending() != 0) {
			errno = EWOULDBLOCK;
			return false;
		}
		nanosleep(&pause, NULL);
	}
}

int
lock_take(int dirfd, const char *name, unsigned wait_s, int *fd)
{
	char text[64];
	int lock = file_open_state(dirfd, name, O_RDWR | O_CREAT), n;

	if (lock < 0) {
		if (errno == EINVAL)
			warn_msg(name, "not a regular file of ours");
		else
			warn_sys(name, "cannot make the lock");
		return RC_CANTCREAT;
	}
	if (!lock_wait(lock, wait_s)) {
		bool held = errno == EWOULDBLOCK;

		if (held)
			lock_say_held(lock, name);
		else
			warn_sys(name, "cannot lock");
		close(lock);
		return held ? RC_TRANSIENT : RC_IO;
	}
	/* Who holds it: a full disk must not stand in the way of a lock. */
	n = snprintf(text, sizeof(text), "%ld %lld\n", (long)getpid(),
	    (long long)(sys_real_ns() / 1000000000));
	if (pwrite(lock, text, (size_t)n, 0) == n)
		(void)!ftruncate(lock, n);
	*fd = lock;
	return RC_OK;
}

/* Why the file cannot be a secret; NULL: it can. */
static const char *
secret_wrong(int fd, mode_t *mode)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return strerror(errno);
	*mode = st.st_mode & 07777;
	if (!S_ISREG(st.st_mode))
		return "not a regular file";
	if (st.st_uid != geteuid())
		return "belongs to another user";
	if (*mode != 0600 && *mode != 0400)
		return "readable by others; chmod 0600 it";
	return st.st_size > SECRET_LEN ? "too long for a secret" : NULL;
}

static int
secret_take(int fd, const char *path, bool lines, struct secret *s)
{
	size_t n = 0;
	ssize_t got;

	s->p = xmalloc(SECRET_LEN + 1);
	while (n < SECRET_LEN &&
	       (got = sys_read(fd, s->p + n, SECRET_LEN - n)) != 0) {
		if (got < 0) {
			warn_sys(path, "cannot read");
			return RC_CONFIG;
		}
		n += (size_t)got;
	}
	if (n > 0 && s->p[n - 1] == '\n')
		n--;
	s->p[n] = '\0';
	s->len = n;
	if (n == 0) {
		warn_msg(path, "the secret is empty");
		return RC_CONFIG;
	}
	if (memchr(s->p, '\0', n) != NULL ||
	    (!lines && (memchr(s->p, '\r', n) != NULL ||
			  memchr(s->p, '\n', n) != NULL))) {
		warn_msg(path, "a secret holds no NUL, CR or LF");
		return RC_CONFIG;
	}
	return RC_OK;
}

static int
secret_open(const char *path, bool lines, struct secret *s)
{
	const char *wrong;
	mode_t mode = 0;
	int fd, rc;

	memset(s, 0, sizeof(*s));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		warn_sys(path, "cannot open the secret");
		return RC_CONFIG;
	}
	wrong = secret_wrong(fd, &mode);
	if (wrong != NULL) {
		warn_msg(path, "%s (mode %04o)", wrong, (unsigned)mode);
		close(fd);
		return RC_CONFIG;
	}
	rc = secret_take(fd, path, lines, s);
	close(fd);
	if (rc != RC_OK) {
		secret_wipe(s);
		return rc;
	}
	sys_guard();
	diag_secret(s->p, s->len);
	return RC_OK;
}

int
secret_read(const char *path, struct secret *s)
{
	return secret_open(path, false, s);
}

int
secret_read_lines(const char *path, struct secret *s)
{
	return secret_open(path, true, s);
}

void
secret_wipe(struct secret *s)
{
	if (s->p != NULL) {
		diag_forget(s->p);
		explicit_bzero(s->p, SECRET_LEN + 1);
	}
	free(s->p);
	s->p = NULL;
	s->len = 0;
}
