#include "pending.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "sys.h"

#define BLOCK ((size_t)64 << 10)
#define PIECE_IDS 0x21534449u /* "IDS!" */
#define PIECE_END 0x21444e45u /* "END!" */

struct head {
	char magic[8];
	uint32_t version, zero;
	uint64_t store;
	char batch[104];
};

struct piece_head {
	uint32_t magic;
	int32_t day;
	uint64_t n;
};

_Static_assert(sizeof(struct head) == 128, "no padding");
_Static_assert(sizeof(struct piece_head) == 16, "no padding");

void
pending_name(char out[BATCH_LEN + 8], const char *batch, int kind)
{
	static const char *const prefix[] = {"", ".new-", ".last-"};

	snprintf(out, BATCH_LEN + 8, "%s%s", prefix[kind], batch);
}

static void
make_head(struct head *h, const struct store *s, const char *batch)
{
	memset(h, 0, sizeof *h);
	memcpy(h->magic, "WDPENDNG", 8);
	h->version = STORE_VERSION;
	h->store = s->l.id;
	memcpy(h->batch, batch, strlen(batch));
}

static char *
path_of(const struct store *s, const char *name)
{
	return xasprintf("%s/pending/%s", s->path, name);
}

static int
io_error(const struct store *s, const char *name, const char *what)
{
	char *path = path_of(s, name);

	warn_sys(path, "%s", what);
	free(path);
	return RC_IO;
}

/* ---- reading ---- */

static int
damage(const struct pending *p, const char *what)
{
	char *path = path_of(p->s, p->name);

	warn_msg(path,
	    "damaged: %s; take it away with --abort %s and run the batch again",
	    what, p->batch);
	free(path);
	return RC_CONTRACT;
}

static int
read_at(const struct pending *p, void *to, size_t n, uint64_t at)
{
	char *q = to;

	while (n > 0) {
		ssize_t got = pread(p->fd, q, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return io_error(p->s, p->name, "cannot read");
		if (got == 0)
			return damage(p, "it was cut");
		q += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return RC_OK;
}

/* The last 16 bytes are the checksum of the others. */
static int
check_sum(const struct pending *p, uint64_t size)
{
	XXH3_state_t *st = XXH3_createState();
	char *block = xmalloc(BLOCK);
	uint64_t at = 0, end = size - sizeof(struct sum);
	struct sum want;
	XXH128_hash_t h;
	int rc = RC_OK;

	if (st == NULL)
		die(RC_OSERR, NULL, "out of memory");
	XXH3_128bits_reset(st);
	while (rc == RC_OK && at < end) {
		size_t n = end - at < BLOCK ? (size_t)(end - at) : BLOCK;

		rc = read_at(p, block, n, at);
		if (rc == RC_OK)
			XXH3_128bits_update(st, block, n);
		at += n;
	}
	h = XXH3_128bits_digest(st);
	XXH3_freeState(st);
	free(block);
	if (rc == RC_OK)
		rc = read_at(p, &want, sizeof want, end);
	if (rc == RC_OK && (want.lo != h.low64 || want.hi != h.high64))
		rc = damage(p, "its checksum is wrong");
	return rc;
}

static int
check_head(const struct pending *p)
{
	struct head h, want;
	int rc = read_at(p, &h, sizeof h, 0);

	if (rc != RC_OK)
		return rc;
	make_head(&want, p->s, p->batch);
	if (memcmp(h.magic, want.magic, sizeof h.magic) == 0 &&
	    h.version > STORE_VERSION) {
		warn_msg(p->s->path, "made by a newer version of ndjson-dedup");
		return RC_CONTRACT;
	}
	return memcmp(&h, &want, sizeof h) == 0
		   ? RC_OK
		   : damage(p, "its head is wrong");
}

static bool
get_count(const struct json_span *object, const char *name, uint64_t *v)
{
	struct json_span m = json_member(object, name);
	int64_t i;

	if (m.type != JSON_NUMBER || !json_i64(&m, &i) || i < 0)
		return false;
	*v = (uint64_t)i;
	return true;
}

static int
read_tail(struct pending *p, uint64_t at, uint64_t n)
{
	char *text = xmalloc((size_t)n + 1);
	struct json_error e;
	struct json_span line, own;
	int rc = read_at(p, text, (size_t)n, at);

	if (rc == RC_OK && !json_check(text, (size_t)n, true, &e))
		rc = damage(p, "its tail is not JSON");
	if (rc == RC_OK) {
		line = json_value(text);
		own = json_member(&line, "on_account_of");
		if (!get_count(&line, "ids", &p->gen.ids) ||
		    !get_count(&line, "dropped", &p->gen.dropped) ||
		    !owners_read(&own, &p->gen))
			rc = damage(p, "its tail is not what it should be");
	}
	free(text);
	return rc;
}

static int
by_day(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	if (x->day != y->day)
		return x->day < y->day ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static void
add_piece(struct pending *p, const struct piece_head *h, uint64_t at)
{
	if ((p->npiece & (p->npiece - 1)) == 0)
		p->piece = xreallocarray(p->piece,
		    p->npiece == 0 ? 1 : 2 * p->npiece, sizeof *p->piece);
	p->piece[p->npiece++] = (struct piece){h->day, at, h->n};
}

static int
read_pieces(struct pending *p, uint64_t size)
{
	uint64_t at = sizeof(struct head), end = size - sizeof(struct sum);
	struct piece_head h;

	for (;;) {
		uint64_t left;
		int rc;

		if (end - at < sizeof h)
			return damage(p, "it has no tail");
		rc = read_at(p, &h, sizeof h, at);
		if (rc != RC_OK)
			return rc;
		at += sizeof h;
		left = end - at;
		if (h.magic == PIECE_END && h.n == left)
			return read_tail(p, at, h.n);
		if (h.magic != PIECE_IDS || h.n > left / sizeof(struct fp))
			return damage(p, "a piece is wrong");
		add_piece(p, &h, at);
		at += h.n * sizeof(struct fp);
	}
}

int
pending_open(
    struct pending *p, const struct store *s, const char *batch, int kind)
{
	struct stat st;
	int rc;

	memset(p, 0, sizeof *p);
	p->s = s;
	memcpy(p->batch, batch, strlen(batch) + 1);
	memcpy(p->gen.batch, batch, strlen(batch) + 1);
	pending_name(p->name, batch, kind);
	p->fd = file_open_state(s->pending, p->name, O_RDONLY);
	if (p->fd < 0) {
		char name[BATCH_LEN + 20];

		if (errno == ENOENT)
			return PENDING_NONE;
		snprintf(name, sizeof name, "pending/%s", p->name);
		return store_cannot(s, name);
	}
	if (fstat(p->fd, &st) < 0)
		rc = io_error(s, p->name, "cannot read");
	else if (st.st_size == 0)
		rc = damage(p, "it is empty");
	else if ((size_t)st.st_size < sizeof(struct head) + sizeof(struct sum))
		rc = damage(p, "it was cut");
	else
		rc = check_head(p);
	if (rc == RC_OK)
		rc = check_sum(p, (uint64_t)st.st_size);
	if (rc == RC_OK)
		rc = read_pieces(p, (uint64_t)st.st_size);
	if (rc == RC_OK && p->npiece > 1)
		qsort(p->piece, p->npiece, sizeof *p->piece, by_day);
	if (rc != RC_OK)
		pending_close(p);
	return rc;
}

void
pending_close(struct pending *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	free(p->piece);
	p->piece = NULL;
	p->npiece = 0;
	gen_release(&p->gen);
}

size_t
pending_give(void *ctx, struct fp *x, size_t max)
{
	struct pending_at *at = ctx;
	const struct piece *q;
	uint64_t n;

	while (at->piece < at->to && at->done == at->p->piece[at->piece].ids) {
		at->piece++;
		at->done = 0;
	}
	if (at->piece == at->to)
		return 0;
	q = &at->p->piece[at->piece];
	n = q->ids - at->done < max ? q->ids - at->done : max;
	at->rc = read_at(
	    at->p, x, (size_t)n * sizeof *x, q->at + at->done * sizeof *x);
	if (at->rc != RC_OK)
		return 0;
	at->done += n;
	return (size_t)n;
}

int
pending_drop(const struct store *s, const char *batch)
{
	bool any = false;

	for (int kind = PENDING_DONE; kind <= PENDING_LAST; kind++) {
		char name[BATCH_LEN + 8];

		pending_name(name, batch, kind);
		if (unlinkat(s->pending, name, 0) == 0)
			any = true;
		else if (errno != ENOENT)
			return io_error(s, name, "cannot remove");
	}
	if (any && dir_sync(s->pending) < 0)
		return io_error(s, "", "cannot sync the directory");
	return RC_OK;
}

/* ---- writing ---- */

/* It is final: nothing of the draft is believed any more. */
static int
draft_fail(struct draft *d, const char *name, const char *what)
{
	d->failed = true;
	return io_error(d->s, name, what);
}

static int
draft_write(struct draft *d, const void *p, size_t n)
{
	if (sys_write_all(d->fd, p, n) < 0)
		return draft_fail(d, d->name, "cannot write");
	XXH3_128bits_update(d->sum, p, n);
	d->size += n;
	return RC_OK;
}

int
draft_open(struct draft *d, const struct store *s, const char *batch)
{
	struct head h;

	memset(d, 0, sizeof *d);
	d->s = s;
	memcpy(d->batch, batch, strlen(batch) + 1);
	pending_name(d->name, batch, PENDING_NEW);
	d->sum = XXH3_createState();
	d->sum_mark = XXH3_createState();
	if (d->sum == NULL || d->sum_mark == NULL)
		die(RC_OSERR, NULL, "out of memory");
	XXH3_128bits_reset(d->sum);
	/* The lock of the batch is ours: this is of a dead process. */
	unlinkat(s->pending, d->name, 0);
	d->fd = file_open_state(s->pending, d->name, O_RDWR | O_CREAT | O_EXCL);
	if (d->fd < 0) {
		char *path = path_of(s, d->name);

		warn_sys(path, "cannot make the file");
		free(path);
		return errno == ENOSPC || errno == EIO ? RC_IO : RC_CANTCREAT;
	}
	make_head(&h, s, batch);
	return draft_write(d, &h, sizeof h);
}

int
draft_add(struct draft *d, int32_t day, const struct fp *x, size_t n)
{
	struct piece_head h = {PIECE_IDS, day, n};
	int rc = draft_write(d, &h, sizeof h);

	return rc == RC_OK ? draft_write(d, x, n * sizeof *x) : rc;
}

void
draft_mark(struct draft *d)
{
	d->mark = d->size;
	XXH3_copyState(d->sum_mark, d->sum);
}

static int
cut_to(struct draft *d, uint64_t size)
{
	d->size = size;
	if (ftruncate(d->fd, (off_t)size) < 0 ||
	    lseek(d->fd, (off_t)size, SEEK_SET) < 0)
		return draft_fail(d, d->name, "cannot cut");
	return RC_OK;
}

int
draft_back(struct draft *d,
    void (*take)(void *ctx, const struct fp *x, size_t n), void *ctx)
{
	struct pending p = {.s = d->s, .fd = d->fd};
	struct fp x[256];
	uint64_t at = d->mark;
	int rc = RC_OK;

	memcpy(p.batch, d->batch, sizeof p.batch);
	memcpy(p.name, d->name, sizeof p.name);
	while (rc == RC_OK && at < d->size) {
		struct piece_head h;

		rc = read_at(&p, &h, sizeof h, at);
		at += sizeof h;
		while (rc == RC_OK && h.n > 0) {
			size_t n = h.n < 256 ? (size_t)h.n : 256;

			rc = read_at(&p, x, n * sizeof *x, at);
			if (rc == RC_OK)
				take(ctx, x, n);
			at += n * sizeof *x;
			h.n -= n;
		}
	}
	if (rc != RC_OK)
		return rc;
	XXH3_copyState(d->sum, d->sum_mark);
	return cut_to(d, d->mark);
}

static int
move(struct draft *d, int from, int to)
{
	char old[BATCH_LEN + 8], new[BATCH_LEN + 8];

	pending_name(old, d->batch, from);
	pending_name(new, d->batch, to);
	if (renameat(d->s->pending, old, d->s->pending, new) < 0)
		return draft_fail(d, new, "cannot replace");
	if (dir_sync(d->s->pending) < 0)
		return draft_fail(d, "", "cannot sync the directory");
	return RC_OK;
}

static int
write_tail(struct draft *d, const struct gen *g)
{
	struct buf b = BUF_INIT((size_t)1 << 30);
	struct piece_head h = {PIECE_END, 0, 0};
	XXH128_hash_t sum;
	struct sum out;
	int rc;

	draft_mark(d); /* the tail is no part of what may follow */
	gen_write(&b, g, 0);
	h.n = b.len;
	rc = draft_write(d, &h, sizeof h);
	if (rc == RC_OK)
		rc = draft_write(d, b.p, b.len);
	buf_release(&b);
	if (rc != RC_OK)
		return rc;
	sum = XXH3_128bits_digest(d->sum);
	out = (struct sum){sum.low64, sum.high64};
	return draft_write(d, &out, sizeof out);
}

int
draft_settle(struct draft *d, const struct gen *g)
{
	int rc = write_tail(d, g);

	if (rc == RC_OK && fsync(d->fd) < 0)
		rc = draft_fail(d, d->name, "cannot sync");
	if (rc == RC_OK)
		rc = move(d, PENDING_NEW, PENDING_DONE);
	d->settled = rc == RC_OK;
	return rc;
}

int
draft_resume(struct draft *d)
{
	int rc = move(d, PENDING_DONE, PENDING_NEW);

	if (rc != RC_OK)
		return rc;
	d->settled = false;
	XXH3_copyState(d->sum, d->sum_mark);
	return cut_to(d, d->mark);
}

void
draft_close(struct draft *d)
{
	if (d->fd >= 0)
		close(d->fd);
	if (!d->settled && d->s != NULL)
		unlinkat(d->s->pending, d->name, 0);
	XXH3_freeState(d->sum);
	XXH3_freeState(d->sum_mark);
	memset(d, 0, sizeof *d);
	d->fd = -1;
}
