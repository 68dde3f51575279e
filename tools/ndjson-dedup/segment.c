/*
 * Day files: segments one after the other, in the machine's byte order.
 *
 *	head   144 bytes: magic, version, day, store, ids, generation, batch
 *	ids    16 bytes each
 *	tail   32 bytes: magic, ids, XXH3-128 of the ids: the commit record
 *
 * What a head and a tail must be is known from the ledger, byte for byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "store.h"
#include "sys.h"

#define AT_ONCE 4096 /* fingerprints */

struct head {
	char magic[8];
	uint32_t version;
	int32_t day;
	uint64_t store, ids;
	uint32_t number, zero;
	char batch[104];
};

struct tail {
	char magic[8];
	uint64_t ids;
	struct sum sum;
};

_Static_assert(sizeof(struct head) == 144, "no padding");
_Static_assert(sizeof(struct tail) == 32, "no padding");

void
day_text(int32_t day, char out[FILE_NAME])
{
	if (day == DAY_ALL)
		memcpy(out, "all", 4);
	else
		date_format(day, out);
}

void
day_name(int32_t day, char out[FILE_NAME])
{
	char text[FILE_NAME], *p = out + 4;

	day_text(day, text);
	memcpy(out, "day-", 4);
	for (const char *q = text; *q != '\0'; q++)
		if (*q != '-')
			*p++ = *q;
	*p = '\0';
}

bool
day_parse(const struct json_span *v, int32_t *day)
{
	if (v->type != JSON_STRING)
		return false;
	if (json_is(v, "all", 3)) {
		*day = DAY_ALL;
		return true;
	}
	return date_parse(v->p + 1, v->len - 2, day);
}

static void
make_head(struct head *h, const struct store *s, const struct gen *g,
    int32_t day, uint64_t ids)
{
	memset(h, 0, sizeof *h);
	memcpy(h->magic, "WDSEGMNT", 8);
	h->version = STORE_VERSION;
	h->day = day;
	h->store = s->l.id;
	h->ids = ids;
	h->number = g->number;
	memcpy(h->batch, g->batch, strlen(g->batch));
}

static void
make_tail(struct tail *t, uint64_t ids, struct sum sum)
{
	memset(t, 0, sizeof *t);
	memcpy(t->magic, "WDCOMMIT", 8);
	t->ids = ids;
	t->sum = sum;
}

/* ---- reading ---- */

struct entry {
	const struct gen *g;
	const struct segment *seg;
};

static int
by_place(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->seg->at < y->seg->at ? -1 : x->seg->at > y->seg->at;
}

static struct entry *
entries(const struct ledger *l, int32_t day, size_t *n)
{
	struct entry *e = NULL;
	size_t cap = 0;

	*n = 0;
	for (size_t i = 0; i < l->ngen; i++) {
		const struct gen *g = &l->gen[i];

		for (size_t j = 0; j < g->nseg; j++) {
			if (g->seg[j].day != day)
				continue;
			if (*n == cap) {
				cap = cap == 0 ? 16 : 2 * cap;
				e = xreallocarray(e, cap, sizeof *e);
			}
			e[(*n)++] = (struct entry){g, &g->seg[j]};
		}
	}
	if (*n > 1)
		qsort(e, *n, sizeof *e, by_place);
	return e;
}

/* 0: that many bytes are there; 1: they are not; -1: errno. */
static int
read_full(int fd, void *p, size_t n)
{
	char *at = p;

	while (n > 0) {
		ssize_t got = sys_read(fd, at, n);

		if (got <= 0)
			return got < 0 ? -1 : 1;
		at += got;
		n -= (size_t)got;
	}
	return 0;
}

struct reading {
	const struct day_reader *r;
	const char *name;
	int fd;
	struct fp *x; /* AT_ONCE */
	XXH3_state_t *sum;
};

static int
piece(const struct reading *in, void *p, size_t n)
{
	int got = read_full(in->fd, p, n);

	if (got > 0)
		return store_damage(in->r->s, in->name, "it was cut");
	return got < 0 ? store_io(in->r->s, in->name, "cannot read") : RC_OK;
}

static int
read_ids(const struct reading *in, const struct entry *e)
{
	bool wanted = in->r->want(in->r->ctx, e->g);
	XXH128_hash_t h;

	XXH3_128bits_reset(in->sum);
	for (uint64_t left = e->seg->ids; left > 0;) {
		size_t n = left < AT_ONCE ? (size_t)left : AT_ONCE;
		int rc = piece(in, in->x, n * sizeof *in->x);

		if (rc != RC_OK)
			return rc;
		XXH3_128bits_update(in->sum, in->x, n * sizeof *in->x);
		if (wanted)
			wanted = in->r->take(in->r->ctx, e->g, in->x, n);
		left -= n;
	}
	h = XXH3_128bits_digest(in->sum);
	if (h.low64 != e->seg->sum.lo || h.high64 != e->seg->sum.hi)
		return store_damage(
		    in->r->s, in->name, "the checksum of a segment is wrong");
	return RC_OK;
}

static int
read_segment(const struct reading *in, const struct entry *e, int32_t day)
{
	struct head head, want_head;
	struct tail tail, want_tail;
	int rc = piece(in, &head, sizeof head);

	make_head(&want_head, in->r->s, e->g, day, e->seg->ids);
	make_tail(&want_tail, e->seg->ids, e->seg->sum);
	if (rc == RC_OK && memcmp(&head, &want_head, sizeof head) != 0)
		rc = store_damage(
		    in->r->s, in->name, "the head of a segment is wrong");
	if (rc == RC_OK)
		rc = read_ids(in, e);
	if (rc == RC_OK)
		rc = piece(in, &tail, sizeof tail);
	if (rc == RC_OK && memcmp(&tail, &want_tail, sizeof tail) != 0)
		rc = store_damage(
		    in->r->s, in->name, "a commit record is wrong");
	return rc;
}

static int
read_entries(const struct reading *in, const struct entry *e, size_t n,
    const struct day_file *file)
{
	uint64_t at = 0;

	for (size_t i = 0; i < n; i++) {
		int rc;

		if (e[i].seg->at != at)
			return store_damage(in->r->s, in->name,
			    "segments are not where the ledger says");
		rc = read_segment(in, &e[i], file->day);
		if (rc != RC_OK)
			return rc;
		at += sizeof(struct head) + sizeof(struct tail) +
		      e[i].seg->ids * sizeof(struct fp);
	}
	return at == file->bytes
		   ? RC_OK
		   : store_damage(in->r->s, in->name,
			 "its length is not what the ledger says");
}

int
day_read(const struct day_reader *r, int32_t day)
{
	const struct day_file *file = ledger_file(&r->s->l, day);
	char name[FILE_NAME];
	struct reading in = {.r = r, .name = name};
	struct entry *e;
	size_t n;
	int rc;

	if (file == NULL)
		return RC_OK;
	day_name(day, name);
	in.fd = file_open_state(r->s->dir, name, O_RDONLY);
	if (in.fd < 0)
		return errno == ENOENT
			   ? store_damage(r->s, name, "the file is gone")
			   : store_cannot(r->s, name);
	in.x = xreallocarray(NULL, AT_ONCE, sizeof *in.x);
	in.sum = XXH3_createState();
	if (in.sum == NULL)
		die(RC_OSERR, NULL, "out of memory");
	e = entries(&r->s->l, day, &n);
	rc = read_entries(&in, e, n, file);
	free(e);
	XXH3_freeState(in.sum);
	free(in.x);
	close(in.fd);
	return rc;
}

/* ---- writing ---- */

/* Opens the file and cuts off what no ledger knows. */
static int
open_to_append(
    struct store *s, const char *name, const struct day_file *file, int *fd)
{
	uint64_t known = file != NULL ? file->bytes : 0;
	struct stat st;

	*fd = file_open_state(
	    s->dir, name, known > 0 ? O_RDWR : O_RDWR | O_CREAT);
	if (*fd < 0)
		return errno == ENOENT
			   ? store_damage(s, name, "the file is gone")
			   : store_cannot(s, name);
	if (fstat(*fd, &st) < 0)
		return store_io(s, name, "cannot read");
	if ((uint64_t)st.st_size < known)
		return store_damage(s, name, "it was cut");
	if ((uint64_t)st.st_size > known && ftruncate(*fd, (off_t)known) < 0)
		return store_io(s, name, "cannot cut off a leftover");
	if (lseek(*fd, (off_t)known, SEEK_SET) < 0)
		return store_io(s, name, "cannot seek");
	return RC_OK;
}

struct writing {
	int fd;
	uint64_t ids;
	struct sum sum;
};

static int
write_ids(struct writing *out,
    size_t (*give)(void *ctx, struct fp *x, size_t max), void *ctx)
{
	struct fp *x = xreallocarray(NULL, AT_ONCE, sizeof *x);
	XXH3_state_t *sum = XXH3_createState();
	XXH128_hash_t h;
	size_t n;
	int rc = 0;

	if (sum == NULL)
		die(RC_OSERR, NULL, "out of memory");
	XXH3_128bits_reset(sum);
	out->ids = 0;
	while (rc == 0 && (n = give(ctx, x, AT_ONCE)) > 0) {
		XXH3_128bits_update(sum, x, n * sizeof *x);
		rc = sys_write_all(out->fd, x, n * sizeof *x);
		out->ids += n;
	}
	h = XXH3_128bits_digest(sum);
	out->sum = (struct sum){h.low64, h.high64};
	XXH3_freeState(sum);
	free(x);
	return rc;
}

static int
write_segment(struct writing *out, const struct head *head,
    size_t (*give)(void *ctx, struct fp *x, size_t max), void *ctx)
{
	struct tail tail;

	if (sys_write_all(out->fd, head, sizeof *head) < 0 ||
	    write_ids(out, give, ctx) < 0)
		return -1;
	make_tail(&tail, out->ids, out->sum);
	return sys_write_all(out->fd, &tail, sizeof tail);
}

/* Closed and durable, or not there. */
static int
settle(struct store *s, const char *name, int fd, bool is_new)
{
	if (fsync(fd) < 0) {
		close(fd);
		return store_io(s, name, "cannot sync");
	}
	if (close(fd) < 0 && errno != EINTR)
		return store_io(s, name, "cannot close");
	if (is_new && dir_sync(s->dir) < 0)
		return store_io(s, ".", "cannot sync the directory");
	return RC_OK;
}

static void
note(struct store *s, struct gen *g, int32_t day, const struct writing *out)
{
	struct day_file *file = ledger_file(&s->l, day);
	struct segment *seg;

	if (file == NULL)
		file = ledger_add_file(&s->l, day);
	g->seg = xreallocarray(g->seg, g->nseg + 1, sizeof *g->seg);
	seg = &g->seg[g->nseg++];
	*seg = (struct segment){day, file->bytes, out->ids, out->sum};
	file->bytes += sizeof(struct head) + sizeof(struct tail) +
		       out->ids * sizeof(struct fp);
}

int
day_append(struct store *s, struct gen *g, int32_t day, uint64_t ids,
    size_t (*give)(void *ctx, struct fp *x, size_t max), void *ctx)
{
	const struct day_file *file = ledger_file(&s->l, day);
	char name[FILE_NAME];
	struct writing out = {.fd = -1};
	struct head head;
	int rc;

	day_name(day, name);
	rc = open_to_append(s, name, file, &out.fd);
	if (rc != RC_OK) {
		if (out.fd >= 0)
			close(out.fd);
		return rc;
	}
	make_head(&head, s, g, day, ids);
	if (write_segment(&out, &head, give, ctx) < 0) {
		rc = store_io(s, name, "cannot write");
		close(out.fd);
		return rc;
	}
	rc = settle(s, name, out.fd, file == NULL);
	if (rc == RC_OK && out.ids != ids) {
		warn_msg(name, "%llu ids where %llu were due",
		    (unsigned long long)out.ids, (unsigned long long)ids);
		rc = RC_INTERNAL;
	}
	if (rc == RC_OK)
		note(s, g, day, &out);
	return rc;
}
