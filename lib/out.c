#include "out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sha.h"
#include "sys.h"

struct out_gz {
	z_stream z;
	unsigned char *p; /* OUT_BLOCK bytes of room */
};

void
out_init(struct out *o, int fd, const char *name, int flags)
{
	memset(o, 0, sizeof *o);
	o->cap = OUT_BLOCK;
	o->p = xmalloc(o->cap);
	o->fd = fd;
	o->name = name;
	if ((flags & OUT_GZIP) != 0)
		out_gzip(o, 6);
	sys_pipe_size(fd);
}

void
out_gzip(struct out *o, int level)
{
	struct out_gz *g = xcalloc(1, sizeof *g);

	/* 16 + 15: a gzip header, without name and time: same bytes each run */
	if (deflateInit2(&g->z, level, Z_DEFLATED, 16 + 15, 8,
		Z_DEFAULT_STRATEGY) != Z_OK)
		die(RC_OSERR, NULL, "out of memory");
	g->p = xmalloc(OUT_BLOCK);
	o->gz = g;
}

static void
out_fail(struct out *o, int error)
{
	if (!o->failed) {
		o->failed = true;
		o->error = o->gone_ok && error == EPIPE ? 0 : error;
	}
}

static void
send(struct out *o, const void *p, size_t n)
{
	if (o->failed || n == 0)
		return;
	if (o->sum_packed != NULL)
		sha256_add(o->sum_packed, p, n);
	if (sys_write_all(o->fd, p, n) < 0)
		out_fail(o, errno);
	else
		o->written += n;
}

static void
squeeze(struct out *o, const void *p, size_t n, int flush)
{
	struct out_gz *g = o->gz;

	g->z.next_in = (z_const Bytef *)p;
	g->z.avail_in = (uInt)n;
	do {
		g->z.next_out = g->p;
		g->z.avail_out = OUT_BLOCK;
		if (deflate(&g->z, flush) == Z_STREAM_ERROR) {
			out_fail(o, EIO);
			return;
		}
		send(o, g->p, OUT_BLOCK - g->z.avail_out);
	} while (g->z.avail_out == 0 && !o->failed);
}

static void
push(struct out *o, const char *p, size_t n)
{
	if (o->sum_plain != NULL)
		sha256_add(o->sum_plain, p, n);
	if (o->gz == NULL) {
		send(o, p, n);
		return;
	}
	while (n > 0 && !o->failed) {
		size_t part = n < OUT_BLOCK ? n : OUT_BLOCK;

		squeeze(o, p, part, Z_NO_FLUSH);
		p += part;
		n -= part;
	}
}

void
out_slow(struct out *o, const void *p, size_t n)
{
	const char *from = p;
	size_t room = o->cap - o->len;

	o->bytes += n;
	if (n < room) { /* never from out_write, which has looked */
		memcpy(o->p + o->len, from, n);
		o->len += n;
		return;
	}
	memcpy(o->p + o->len, from, room);
	push(o, o->p, o->cap);
	from += room;
	n -= room;
	if (n >= o->cap) {
		size_t whole = n - n % o->cap;

		push(o, from, whole);
		from += whole;
		n -= whole;
	}
	memcpy(o->p, from, n);
	o->len = n;
}

/* The message comes once, and never for a signal that cut a write short. */
static int
verdict(struct out *o)
{
	if (!o->failed)
		return RC_OK;
	if (o->error != 0 && !(o->error == EINTR && sig_pending() != 0)) {
		errno = o->error;
		warn_sys(o->name, "write failed");
	}
	o->error = 0;
	return RC_IO;
}

int
out_flush(struct out *o)
{
	push(o, o->p, o->len);
	o->len = 0;
	return verdict(o);
}

static void
out_free(struct out *o)
{
	struct out_gz *g = o->gz;

	if (g != NULL) {
		deflateEnd(&g->z);
		free(g->p);
		free(g);
	}
	free(o->p);
	o->gz = NULL;
	o->p = NULL;
	o->len = o->cap = 0;
}

/*
 * Some file systems say only at a close that a write has failed; closing a
 * duplicate asks them and keeps the descriptor taken. A descriptor that
 * cannot be written at all is told even where nothing was to be written.
 */
static void
ask_file(struct out *o)
{
	int mode = fcntl(o->fd, F_GETFL);
	int copy;

	if (mode < 0 || (mode & O_ACCMODE) == O_RDONLY) {
		out_fail(o, EBADF);
		return;
	}
	copy = fcntl(o->fd, F_DUPFD_CLOEXEC, 3);
	if (copy >= 0 && close(copy) < 0 && errno != EINTR)
		out_fail(o, errno);
}

int
out_close(struct out *o)
{
	push(o, o->p, o->len);
	o->len = 0;
	if (o->gz != NULL && !o->failed)
		squeeze(o, "", 0, Z_FINISH);
	if (!o->failed)
		ask_file(o);
	out_free(o);
	return verdict(o);
}

void
out_drop(struct out *o)
{
	out_free(o);
}

int
out_stdout_text(const char *text, size_t len)
{
	struct out o;

	out_init(&o, STDOUT_FILENO, "stdout", 0);
	out_write(&o, text, len);
	return out_close(&o);
}
