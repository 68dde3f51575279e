#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sys.h"

enum {
	SPOOL_PAD = 64,       /* readable, zero: scanners look ahead */
	SPOOL_PAGE = 1 << 20, /* a block; two make a huge page */
	SPOOL_SMALL = SPOOL_PAGE - SPOOL_PAD, /* may always be in memory */
	SPOOL_MORE = 15,                      /* blocks behind the first */
	SPOOL_FIRST = 16 << 10,
	SPOOL_BLOCK = 256 << 10,
};

static size_t in_memory; /* room of all spools */
static size_t most = 24 << 20;

/* In memory the first SPOOL_SMALL bytes are at p, what follows in blocks of
 * that size: nothing moves while a spool grows. Once it is over SPOOL_BLOCK p
 * is such a block too. */
struct spool {
	char *p; /* with a file what is to be written there */
	size_t len, cap;
	char *more[SPOOL_MORE];
	size_t n_more;
	char *block; /* read from the file */
	int fd;      /* -1: in memory */
	uint64_t size, at;
};

/* Blocks are used again and never given back: their pages cost more than what
 * is written to them. */
union block {
	union block *next;
	char bytes[SPOOL_PAGE];
};

static union block *unused;

static char *
block_get(void)
{
	union block *b = unused;

	if (b == NULL) {
		b = sys_pages(2 * sizeof(*b));
		if (b == NULL)
			die(RC_OSERR, NULL, "out of memory");
		b[1].next = NULL;
		b->next = &b[1];
	}
	unused = b->next;
	return b->bytes;
}

static void
block_put(char *p)
{
	union block *b = (union block *)(void *)p;

	b->next = unused;
	unused = b;
}

void
spool_limit(size_t all)
{
	most = all;
}

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
free_first(struct spool *s)
{
	if (s->cap == SPOOL_SMALL)
		block_put(s->p);
	else
		free(s->p);
}

static void
set_room(struct spool *s, size_t cap)
{
	size_t n = s->fd < 0 ? (size_t)s->size : 0;
	char *p;

	if (cap == s->cap)
		return;
	in_memory = in_memory - s->cap + cap;
	p = cap == SPOOL_SMALL ? block_get() : xmalloc(cap + SPOOL_PAD);
	memcpy(p, s->p, n);
	free_first(s);
	s->p = p;
	s->cap = cap;
}

static void
free_more(struct spool *s)
{
	while (s->n_more > 0) {
		block_put(s->more[--s->n_more]);
		in_memory -= SPOOL_SMALL;
	}
}

/* The bytes in memory from `at` on, up to the end of their block. */
static size_t
piece(const struct spool *s, uint64_t at, const char **p)
{
	size_t block = (size_t)(at / SPOOL_SMALL), i = at % SPOOL_SMALL;
	uint64_t left = s->size - at;

	*p = (block == 0 ? s->p : s->more[block - 1]) + i;
	return left < SPOOL_SMALL - i ? (size_t)left : SPOOL_SMALL - i;
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
	const char *p;
	size_t n;

	s->fd = spool_file();
	if (s->fd < 0)
		return -1;
	for (uint64_t at = 0; at < s->size; at += n) {
		n = piece(s, at, &p);
		if (sys_write_all(s->fd, p, n) < 0)
			return -1;
	}
	free_more(s);
	s->len = 0;
	set_room(s, SPOOL_BLOCK);
	return 0;
}

/* Room for n bytes more in memory, or none of it. */
static bool
room_for(struct spool *s, size_t n)
{
	size_t cap = s->cap, blocks;

	if (n > (size_t)SPOOL_SMALL * (SPOOL_MORE + 1) - s->size)
		return false;
	n += (size_t)s->size;
	while (cap < n && cap < SPOOL_SMALL)
		cap = cap < SPOOL_BLOCK ? 2 * cap : SPOOL_SMALL;
	blocks = n > SPOOL_SMALL ? (n - 1) / SPOOL_SMALL : 0;
	if (blocks > s->n_more &&
	    in_memory - s->cap + cap + (blocks - s->n_more) * SPOOL_SMALL >
		most)
		return false;
	if (cap > s->cap)
		set_room(s, cap);
	while (s->n_more < blocks) {
		s->more[s->n_more++] = block_get();
		in_memory += SPOOL_SMALL;
	}
	return true;
}

/* There is room for it. */
static void
put_memory(struct spool *s, const char *p, size_t n)
{
	if (n == 0)
		return; /* and p may be NULL */
	if (s->size + n <= SPOOL_SMALL) {
		memcpy(s->p + s->size, p, n);
		s->size += n;
		memset(s->p + s->size, 0, SPOOL_PAD);
		return;
	}
	while (n > 0) {
		size_t block = (size_t)(s->size / SPOOL_SMALL),
		       i = s->size % SPOOL_SMALL, k = SPOOL_SMALL - i;

		k = n < k ? n : k;
		memcpy((block == 0 ? s->p : s->more[block - 1]) + i, p, k);
		s->size += k;
		p += k;
		n -= k;
	}
}

int
spool_write(struct spool *s, const void *p, size_t n)
{
	if (n == 0)
		return 0;
	if (s->fd < 0) {
		if (room_for(s, n)) {
			put_memory(s, p, n);
			return 0;
		}
		if (to_file(s) < 0)
			return -1;
	}
	if (n > s->cap - s->len && spool_flush(s) < 0)
		return -1;
	if (n > s->cap - s->len) {
		if (sys_write_all(s->fd, p, n) < 0)
			return -1;
	} else {
		memcpy(s->p + s->len, p, n);
		s->len += n;
	}
	s->size += n;
	return 0;
}

int
spool_writev(struct spool *s, const struct iovec *parts, int count)
{
	size_t n = 0;

	for (int i = 0; i < count; i++)
		n += parts[i].iov_len;
	if (s->fd < 0 && room_for(s, n)) {
		for (int i = 0; i < count; i++)
			put_memory(s, parts[i].iov_base, parts[i].iov_len);
		return 0;
	}
	for (int i = 0; i < count; i++)
		if (spool_write(s, parts[i].iov_base, parts[i].iov_len) < 0)
			return -1;
	return 0;
}

ssize_t
spool_fill(struct spool *s, int fd, size_t n)
{
	size_t block = (size_t)(s->size / SPOOL_SMALL),
	       i = s->size % SPOOL_SMALL;
	char *buf, *to;
	ssize_t k;

	if (n > SPOOL_BLOCK)
		n = SPOOL_BLOCK;
	if (s->fd < 0 && room_for(s, n) && n <= SPOOL_SMALL - i) {
		to = (block == 0 ? s->p : s->more[block - 1]) + i;
		k = sys_read(fd, to, n);
		if (k > 0) {
			s->size += (uint64_t)k;
			memset(to + k, 0, SPOOL_PAD);
		}
		return k;
	}
	buf = xmalloc(n);
	k = sys_read(fd, buf, n);
	if (k > 0 && spool_write(s, buf, (size_t)k) < 0)
		k = -1;
	free(buf);
	return k;
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

static ssize_t
read_file(const struct spool *s, uint64_t at, void *p, size_t n)
{
	ssize_t k;

	do
		k = pread(s->fd, p, n, (off_t)at);
	while (k < 0 && errno == EINTR);
	return k;
}

ssize_t
spool_read(struct spool *s, void *p, size_t n)
{
	char *to = p;
	ssize_t k;

	if (n > s->size - s->at)
		n = (size_t)(s->size - s->at);
	if (n == 0)
		return 0;
	if (spool_flush(s) < 0)
		return -1;
	if (s->fd >= 0) {
		k = read_file(s, s->at, p, n);
		if (k == 0) { /* the file is ours and cannot be shorter */
			errno = EIO;
			k = -1;
		}
		if (k > 0)
			s->at += (uint64_t)k;
		return k;
	}
	for (size_t left = n; left > 0;) {
		const char *from;
		size_t one = piece(s, s->at, &from);

		one = one < left ? one : left;
		memcpy(to, from, one);
		to += one;
		left -= one;
		s->at += one;
	}
	return (ssize_t)n;
}

ssize_t
spool_take(struct spool *s, const char **p)
{
	ssize_t k;

	if (s->fd < 0) {
		size_t n = s->at < s->size ? piece(s, s->at, p) : 0;

		s->at += n;
		return (ssize_t)n;
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
	bool small = s->fd < 0 && s->size <= SPOOL_SMALL;

	*len = small ? (size_t)s->size : 0;
	return small ? s->p : NULL;
}

static size_t
look_at(const struct spool *s, uint64_t at, char *to, size_t n)
{
	struct spool look = *s;
	ssize_t k;

	if (s->fd >= 0) {
		k = read_file(s, at, to, n);
		return k < 0 ? 0 : (size_t)k;
	}
	look.at = at;
	return (size_t)spool_read(&look, to, n);
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
	free_more(s);
	memset(s->p, 0, SPOOL_PAD);
}

void
spool_free(struct spool *s)
{
	if (s == NULL)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free_more(s);
	in_memory -= s->cap;
	free(s->block);
	free_first(s);
	free(s);
}
