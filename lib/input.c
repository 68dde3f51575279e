#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sys.h"

struct input_gz {
	z_stream z;
	bool member_done;
	bool pending; /* the last call filled its output: ask for more */
	bool bad;
	unsigned char in[INPUT_BLOCK];
};

void
input_fd(struct input *in, int fd, const char *name)
{
	memset(in, 0, sizeof *in);
	in->fd = fd;
	in->name = name;
	sys_pipe_size(fd);
}

int
input_open(struct input *in, const char *path)
{
	int fd;

	if (strcmp(path, "-") == 0) {
		input_fd(in, STDIN_FILENO, path);
		return RC_OK;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0) {
		warn_sys(path, "cannot open");
		return RC_TRUNCATED;
	}
	input_fd(in, fd, path);
	in->own = true;
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return RC_OK;
}

uint64_t
input_size(const struct input *in)
{
	struct stat st;
	off_t at;

	if (fstat(in->fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	at = lseek(in->fd, 0, SEEK_CUR);
	return at < 0 || at > st.st_size ? 0 : (uint64_t)(st.st_size - at);
}

uint64_t
input_path_size(const char *path)
{
	struct input in = {.fd = STDIN_FILENO};
	struct stat st;

	if (strcmp(path, "-") == 0)
		return input_size(&in);
	return stat(path, &st) == 0 && S_ISREG(st.st_mode)
		   ? (uint64_t)st.st_size
		   : 0;
}

static ssize_t
wrong(struct input *in, int status, const char *what)
{
	in->status = status;
	warn_msg(in->name, "%s", what);
	return -1;
}

/* A read error is not the end of the file. */
static ssize_t
raw_read(struct input *in, void *p, size_t n)
{
	ssize_t k = sys_read(in->fd, p, n);

	if (k >= 0) {
		in->bytes += (uint64_t)k;
		return k;
	}
	if (errno == EINTR && sig_pending() != 0) {
		in->status = 128 + sig_pending();
		return -1;
	}
	in->status = errno == EISDIR || errno == EBADF ? RC_TRUNCATED : RC_IO;
	warn_sys(in->name, "read failed");
	return -1;
}

static void
gz_begin(struct input *in, const char *p, size_t n)
{
	struct input_gz *g = xmalloc(sizeof *g);

	memset(&g->z, 0, sizeof g->z);
	g->member_done = g->pending = g->bad = false;
	memcpy(g->in, p, n);
	g->z.next_in = g->in;
	g->z.avail_in = (uInt)n;
	if (inflateInit2(&g->z, 16 + 15) != Z_OK)
		die(RC_OSERR, NULL, "out of memory");
	in->gz = g;
}

/* More compressed bytes: 1, or 0 at the right end of the data, or -1. */
static int
gz_fill(struct input *in)
{
	struct input_gz *g = in->gz;
	ssize_t k;

	if (g->z.avail_in > 0 || g->pending)
		return 1;
	k = raw_read(in, g->in, sizeof g->in);
	if (k < 0)
		return -1;
	if (k == 0 && !g->member_done)
		return (int)wrong(in, RC_TRUNCATED, "gzip data ends early");
	g->z.next_in = g->in;
	g->z.avail_in = (uInt)k;
	return k > 0;
}

static ssize_t
gz_read(struct input *in, char *p)
{
	struct input_gz *g = in->gz;

	for (;;) {
		int more, rc;
		size_t got;

		if (g->bad)
			return wrong(in, RC_CONTRACT, "gzip data is damaged");
		more = gz_fill(in);
		if (more <= 0)
			return more;
		if (g->member_done && g->z.avail_in > 0) {
			inflateReset(&g->z);
			g->member_done = false;
		}
		g->z.next_out = (Bytef *)p;
		g->z.avail_out = INPUT_BLOCK;
		rc = inflate(&g->z, Z_NO_FLUSH);
		got = INPUT_BLOCK - g->z.avail_out;
		g->pending = rc == Z_OK && g->z.avail_out == 0;
		g->member_done = rc == Z_STREAM_END;
		g->bad = rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR;
		if (got > 0)
			return (ssize_t)got;
	}
}

/* The first block: two bytes are needed to know gzip. */
static ssize_t
first_read(struct input *in, char *p)
{
	size_t n = 0;

	in->begun = true;
	while (n < 2) {
		ssize_t k = raw_read(in, p + n, INPUT_BLOCK - n);

		if (k < 0)
			return -1;
		if (k == 0)
			break;
		n += (size_t)k;
	}
	if (n < 2 || p[0] != '\x1f' || p[1] != '\x8b')
		return (ssize_t)n;
	gz_begin(in, p, n);
	return gz_read(in, p);
}

ssize_t
input_read(struct input *in, char *p)
{
	if (!in->begun)
		return first_read(in, p);
	return in->gz != NULL ? gz_read(in, p) : raw_read(in, p, INPUT_BLOCK);
}

void
input_close(struct input *in)
{
	if (in->gz != NULL) {
		inflateEnd(&in->gz->z);
		free(in->gz);
	}
	if (in->own)
		close(in->fd);
	memset(in, 0, sizeof *in);
	in->fd = -1;
}
