/*
 * Storing: the records of a partition into a new version, the manifest last,
 * all of it on disk before the partition's end goes out.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "raw-store.h"
#include "sys.h"

struct store {
	const char *dir;
	int dirfd, level;
	unsigned wait_s;
	char began_at[TIME_LEN + 1];

	/* of the open partition, once it has a record */
	bool open, writing;
	int day, lock;
	char *where;
	unsigned version; /* the one to be made */
	struct afile data;
	char *path;
	struct out packed;
	struct sha256 *sum_plain, *sum_packed;
};

static void
now(char out[TIME_LEN + 1])
{
	time_format(sys_real_ns() / 1000000, out);
}

/* ---- a day's directory ---- */

/* What a killed run left; the lock is ours, so nobody writes to it. */
static void
sweep(int day)
{
	int copy = openat(day, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (d == NULL) {
		if (copy >= 0)
			close(copy);
		return;
	}
	while ((e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, ".tmp-", 5) == 0)
			unlinkat(day, e->d_name, 0);
	}
	closedir(d);
}

static int
enter_day(struct store *s, const struct part *p)
{
	int source = dir_open_at(s->dirfd, p->source, true);
	int feed = source < 0 ? -1 : dir_open_at(source, p->feed, true);

	s->day = feed < 0 ? -1 : dir_open_at(feed, p->date, true);
	if (source >= 0)
		close(source);
	if (feed >= 0)
		close(feed);
	return s->day < 0 ? RC_CANTCREAT : RC_OK;
}

static void
leave_day(struct store *s)
{
	if (s->lock >= 0)
		close(s->lock);
	if (s->day >= 0)
		close(s->day);
	free(s->where);
	s->lock = s->day = -1;
	s->where = NULL;
	s->open = false;
}

static int
open_day(struct store *s, const struct part *p)
{
	size_t n;
	unsigned *versions;
	int status = enter_day(s, p);

	s->open = true;
	s->where =
	    xasprintf("%s/%s/%s/%s", s->dir, p->source, p->feed, p->date);
	if (status == RC_OK)
		status = lock_take(s->day, "lock", s->wait_s, &s->lock);
	if (status != RC_OK)
		return status;
	sweep(s->day);
	versions = shelf_versions(s->day, &n);
	s->version = n > 0 ? versions[n - 1] + 1 : 1;
	free(versions);
	return RC_OK;
}

/* ---- the data file ---- */

static void
name_in_full(struct afile *a, const char *where, const char *name)
{
	free(a->path);
	a->path = xasprintf("%s/%s", where, name);
}

static int
begin_data(struct store *s)
{
	char name[SHELF_NAME];
	int status;

	shelf_data_name(name, s->version);
	status = afile_open_at(&s->data, s->day, name);
	if (status != RC_OK)
		return status;
	name_in_full(&s->data, s->where, name);
	s->path = xstrdup(s->data.path);
	out_init(&s->packed, s->data.fd, s->path, 0);
	out_gzip(&s->packed, s->level);
	s->packed.sum_plain = s->sum_plain = sha256_new();
	s->packed.sum_packed = s->sum_packed = sha256_new();
	s->writing = true;
	return RC_OK;
}

static void
digest(struct sha256 **sum, char hex[SHA_HEX + 1])
{
	unsigned char raw[SHA_LEN];

	sha256_end(*sum, raw);
	sha_hex(raw, hex);
	*sum = NULL;
}

/* All is written; the sums and lengths go into m. The file is not yet in
 * place. */
static int
end_data(struct store *s, struct manifest *m)
{
	int status = out_close(&s->packed);

	m->bytes = s->packed.bytes;
	m->packed_bytes = s->packed.written;
	digest(&s->sum_plain, m->sha256);
	digest(&s->sum_packed, m->packed_sha256);
	s->writing = false;
	if (status != RC_OK)
		afile_drop(&s->data);
	free(s->path);
	s->path = NULL;
	return status;
}

static void
drop_data(struct store *s)
{
	char hex[SHA_HEX + 1];

	if (!s->writing)
		return;
	out_drop(&s->packed);
	afile_drop(&s->data);
	digest(&s->sum_plain, hex);
	digest(&s->sum_packed, hex);
	free(s->path);
	s->path = NULL;
	s->writing = false;
}

/* ---- the version ---- */

static bool
data_is_there(const struct store *s, const struct manifest *m)
{
	char name[SHELF_NAME];
	struct stat st;

	shelf_data_name(name, m->version);
	return fstatat(s->day, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (uint64_t)st.st_size == m->packed_bytes;
}

/*
 * Does the newest version say the same? Then a fetch of the same day that
 * brought nothing new makes no version, and a run that was killed after its
 * manifest was written, none either when it is run again.
 */
static int
same_as_newest(struct store *s, const struct manifest *m, bool *same)
{
	struct manifest old;
	int status;

	*same = false;
	if (s->version == 1)
		return RC_OK;
	status = manifest_read(&old, s->day, s->version - 1, s->where);
	if (status == RC_OK) {
		*same = old.outcome == m->outcome && old.rows == m->rows &&
			old.rejected == m->rejected &&
			strcmp(old.sha256, m->sha256) == 0;
		if (*same && !data_is_there(s, &old)) {
			warn_msg(s->where,
			    "warning: version %u has lost its data; it is "
			    "stored again",
			    old.version);
			*same = false;
		}
	}
	manifest_release(&old);
	return status;
}

static int
put_manifest(struct store *s, const struct manifest *m, const struct part *p)
{
	struct buf line = BUF_INIT(SIZE_MAX / 2);
	char name[SHELF_NAME];
	struct afile a;
	int status;

	shelf_manifest_name(name, m->version);
	status = afile_open_at(&a, s->day, name);
	if (status == RC_OK) {
		name_in_full(&a, s->where, name);
		manifest_write(&line, m, p);
		buf_char(&line, '\n');
		if (sys_write_all(a.fd, line.p, line.len) < 0) {
			warn_sys(a.path, "write failed");
			afile_drop(&a);
			status = RC_IO;
		} else {
			status = afile_commit(&a, 0400);
		}
	}
	buf_release(&line);
	return status;
}

static char *
fetched_at(const struct part *p)
{
	struct json_span v = json_member(&p->begin, "fetched_at");
	char *text = xmalloc((size_t)v.len + 1);
	int64_t us;
	size_t n = 0;

	if (v.type == JSON_STRING)
		n = json_decode(&v, text);
	if (!time_parse(text, n, &us))
		n = 0;
	text[n] = '\0';
	return text;
}

static int
keep(struct store *s, const struct part *p, struct manifest *m)
{
	char stored_at[TIME_LEN + 1];
	bool same;
	int status = end_data(s, m);

	if (status != RC_OK)
		return status;
	status = same_as_newest(s, m, &same);
	if (status != RC_OK || same) {
		afile_drop(&s->data);
		return status;
	}
	status = afile_commit(&s->data, 0400);
	if (status != RC_OK)
		return status;
	now(stored_at);
	m->stored_at = stored_at;
	m->began_at = s->began_at;
	m->fetched_at = fetched_at(p);
	status = put_manifest(s, m, p);
	free(m->fetched_at);
	return status;
}

/* ---- the filter ---- */

static int
begin(struct filter *f, const struct part *p)
{
	struct store *s = f->ctx;
	char text[DIAG_QUOTE];
	const char *name = p->source;

	if (p->plain) {
		warn_msg("stdin", "no control records: what is stored must be "
				  "a partition");
		return RC_TRUNCATED;
	}
	if (file_name_ok(name))
		name = p->feed;
	if (!file_name_ok(name)) {
		warn_at(p->file, p->line, 0, "%s is no name for a directory",
		    diag_quote(text, name, strlen(name)));
		return RC_CONTRACT;
	}
	now(s->began_at);
	return RC_OK;
}

static int
ready(struct store *s, const struct part *p)
{
	int status = s->open ? RC_OK : open_day(s, p);

	return status == RC_OK && !s->writing ? begin_data(s) : status;
}

static int
records(struct filter *f, const struct batch *b)
{
	struct store *s = f->ctx;
	int status = ready(s, &f->in.part);

	if (status != RC_OK)
		return status;
	for (size_t i = 0; i < b->n; i++) {
		out_record(&s->packed, b->rec[i].text, b->rec[i].len);
		filter_put(f, b->rec[i].text, b->rec[i].len);
	}
	return s->packed.failed ? out_flush(&s->packed) : RC_OK;
}

static void
cut(struct filter *f, const struct part *p)
{
	struct store *s = f->ctx;

	(void)p;
	drop_data(s);
	if (s->open)
		leave_day(s);
}

static int
end(struct filter *f, const struct part *p, struct part_end *e)
{
	struct store *s = f->ctx;
	struct manifest m = {.outcome = e->outcome, .rows = f->written};
	int status = RC_OK;

	/* not there yet, or given up: nothing to keep */
	if (e->outcome != OUTCOME_NOT_READY && e->outcome != OUTCOME_FAILED)
		status = ready(s, p);
	if (status == RC_OK && s->writing && e->outcome != OUTCOME_NOT_READY &&
	    e->outcome != OUTCOME_FAILED) {
		m.version = s->version;
		m.rejected = e->rejected + f->in.rejected;
		m.begin = p->begin;
		m.end = e->end;
		status = keep(s, p, &m);
	}
	drop_data(s);
	if (s->open)
		leave_day(s);
	return status;
}

int
store_run(struct filter *f, const char *dir, int level, unsigned wait_s)
{
	struct store s = {.dir = dir, .level = level, .wait_s = wait_s};
	int status;

	s.day = s.lock = -1;
	s.dirfd = dir_open(dir, true, true);
	if (s.dirfd < 0)
		return RC_CANTCREAT;
	f->ctx = &s;
	f->flags = FILTER_STATE;
	f->begin = begin;
	f->records = records;
	f->end = end;
	f->cut = cut;
	status = filter_run(f, NULL, 0);
	close(s.dirfd);
	return status;
}
