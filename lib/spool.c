#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mem.h"
#include "sys.h"

enum {
	SPOOL_SMALL = 1 << 20, /* may always be in memory */
	SPOOL_ONE = 16 << 20,
	SPOOL_ALL = 24 << 20,
	SPOOL_FIRST = 16 << 10,
	SPOOL_PAD = 64, /* readable, zero: scanners look ahead */
	SPOOL_BLOCK = 256 << 10,
};

static size_t in_memory; /* room of all spools */

struct spool {
	char *p; /* all of it; with a file what is to be written there */
	size_t len, cap;
	char *block; /* read from the file */
	int fd;      /* -1: in memory */
	uint64_t size, at;
};

struct spool *
spool_new(void)
{
	struct spool *s = xcalloc(1, sizeof(*s));

	s->fd = -1;
	s->cap = SPOOL_FIRST;
	s->p = xcalloc(1, s->cap + SPOOL_PAD);
	in_memory += s->cap;
	return s;
}

int
spool_file(void)
{
	const char *dir = getenv("TMPDIR");
	char *path;
	int fd;

	if (dir == NULL || *dir == '\0')
		dir = "/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	path = xasprintf("%s/.tmp-weir-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	free(path);
	return fd;
}

static void
set_room(struct spool *s, size_t cap)
{
	in_memory = in_memory - s->cap + cap;
	s->p = xrealloc(s->p, cap + SPOOL_PAD);
	s->cap = cap;
}

int
spool_flush(struct spool *s)
{
	if (s->fd < 0 || s->len == 0)
		return 0;
	if (sys_write_all(s->fd, s->p, s->len) < 0)
		return -1;
	s->len = 0;
	return 0;
}

static int
to_file(struct spool *s)
{
	s->fd = spool_file();
	if (s->fd < 0 || spool_flush(s) < 0)
		return -1;
	set_room(s, SPOOL_BLOCK);
	return 0;
}

/* Room for n bytes more in memory, or none of it. */
static bool
room_for(struct spool *s, size_t n)
{
	size_t cap = s->cap;

	if (n > SPOOL_ONE - s->len)
		return false;
	while (cap - s->len < n)
		cap *= 2;
	if (cap > SPOOL_SMALL && in_memory - s->cap + cap > SPOOL_ALL)
		return false;
	if (cap > s->cap)
		set_room(s, cap);
	return true;
}

int
spool_write(struct spool *s, const void *p, size_t n)
{
	if (n == 0)
		return 0;
	if (s->fd < 0 && !room_for(s, n) && to_file(s) < 0)
		return -1;
	if (s->fd >= 0 && n > s->cap - s->len && spool_flush(s) < 0)
		return -1;
	if (n > s->cap - s->len) {
		if (sys_write_all(s->fd, p, n) < 0)
			return -1;
	} else {
		memcpy(s->p + s->len, p, n);
		s->len += n;
		memset(s->p + s->len, 0, SPOOL_PAD);
	}
	s->size += n;
	return 0;
}

uint64_t
spool_size(const struct spool *s)
{
	return s->size;
}

void
spool_rewind(struct spool *s)
{
	s->at = 0;
}

ssize_t
spool_read(struct spool *s, void *p, size_t n)
{
	ssize_t k;

	if (n > s->size - s->at)
		n = (size_t)(s->size - s->at);
	if (n == 0)
		return 0;
	if (spool_flush(s) < 0)
		return -1;
	if (s->fd < 0) {
		memcpy(p, s->p + s->at, n);
		k = (ssize_t)n;
	} else {
		do
			k = pread(s->fd, p, n, (off_t)s->at);
		while (k < 0 && errno == EINTR);
		if (k == 0) { /* the file is ours and cannot be shorter */
			errno = EIO;
			k = -1;
		}
	}
	if (k > 0)
		s->at += (uint64_t)k;
	return k;
}

ssize_t
spool_take(struct spool *s, const char **p)
{
	ssize_t k;

	if (s->fd < 0) {
		*p = s->p + s->at;
		k = (ssize_t)(s->size - s->at);
		s->at = s->size;
		return k;
	}
	if (s->block == NULL)
		s->block = xmalloc(SPOOL_BLOCK);
	k = spool_read(s, s->block, SPOOL_BLOCK);
	*p = s->block;
	return k;
}

const char *
spool_memory(const struct spool *s, size_t *len)
{
	bool small = s->fd < 0 && s->len <= SPOOL_SMALL;

	*len = small ? s->len : 0;
	return small ? s->p : NULL;
}

static size_t
look_at(const struct spool *s, uint64_t at, char *to, size_t n)
{
	ssize_t k = -1;

	if (s->fd < 0)
		memcpy(to, s->p + at, n);
	else
		do
			k = pread(s->fd, to, n, (off_t)at);
		while (k < 0 && errno == EINTR);
	return s->fd < 0 ? n : k < 0 ? 0 : (size_t)k;
}

void
spool_ends(const struct spool *s, char *first, char *last)
{
	static const char blank[] = " \t\r\n";
	char text[64];
	size_t n = s->size < sizeof(text) ? (size_t)s->size : sizeof(text);
	size_t k = look_at(s, 0, text, n), i = 0;

	while (i < k && text[i] != '\0' && strchr(blank, text[i]) != NULL)
		i++;
	*first = (char)(i < k ? text[i] : '\0');
	k = look_at(s, s->size - n, text, n);
	while (
	    k > 0 && text[k - 1] != '\0' && strchr(blank, text[k - 1]) != NULL)
		k--;
	*last = (char)(k > 0 ? text[k - 1] : '\0');
}

int
spool_copy(struct spool *s, struct out *o)
{
	const char *p;
	ssize_t k;

	s->at = 0;
	while ((k = spool_take(s, &p)) > 0)
		out_write(o, p, (size_t)k);
	return k < 0 ? -1 : 0;
}

void
spool_reset(struct spool *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->len = 0;
	s->size = s->at = 0;
	if (s->cap > SPOOL_SMALL)
		set_room(s, SPOOL_FIRST);
	memset(s->p, 0, SPOOL_PAD);
}

void
spool_free(struct spool *s)
{
	if (s == NULL)
		return;
	if (s->fd >= 0)
		close(s->fd);
	in_memory -= s->cap;
	free(s->block);
	free(s->p);
	free(s);
}
