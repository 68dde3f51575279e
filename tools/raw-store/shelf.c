#include "shelf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "input.h"
#include "mem.h"
#include "sys.h"

#define MANIFEST_MAX (129u << 20)
#define CHECK ",\"check\":\""

void
shelf_data_name(char out[SHELF_NAME], unsigned version)
{
	snprintf(out, SHELF_NAME, "v%04u.ndjson.gz", version);
}

void
shelf_manifest_name(char out[SHELF_NAME], unsigned version)
{
	snprintf(out, SHELF_NAME, "v%04u.json", version);
}

/* ---- the manifest ---- */

static void
check_of(const char *p, size_t n, char hex[SHA_HEX + 1])
{
	unsigned char digest[SHA_LEN];

	sha256_one(p, n, digest);
	sha_hex(digest, hex);
}

static void
known(struct jsonw *w, const char *name, const char *text)
{
	if (text != NULL && *text != '\0')
		jsonw_str(w, name, text);
}

void
manifest_write(struct buf *out, const struct manifest *m, const struct part *p)
{
	size_t from = out->len;
	char name[SHELF_NAME], hex[SHA_HEX + 1];
	struct jsonw w;

	shelf_data_name(name, m->version);
	jsonw_begin(&w, out, '{');
	jsonw_u64(&w, "format", SHELF_FORMAT);
	jsonw_str(&w, "source_system", p->source);
	jsonw_str(&w, "feed", p->feed);
	jsonw_str(&w, "date", p->date);
	jsonw_u64(&w, "version", m->version);
	jsonw_str(&w, "outcome", outcome_word(m->outcome));
	jsonw_u64(&w, "rows", m->rows);
	jsonw_u64(&w, "bytes", m->bytes);
	jsonw_str(&w, "sha256", m->sha256);
	jsonw_str(&w, "file", name);
	jsonw_u64(&w, "gz_bytes", m->packed_bytes);
	jsonw_str(&w, "gz_sha256", m->packed_sha256);
	jsonw_u64(&w, "rejected", m->rejected);
	known(&w, "fetched_at", m->fetched_at);
	known(&w, "began_at", m->began_at);
	known(&w, "stored_at", m->stored_at);
	jsonw_span(&w, "begin", &m->begin);
	jsonw_span(&w, "end", &m->end);
	check_of(out->p + from, out->len - from, hex);
	jsonw_str(&w, "check", hex);
	jsonw_end(&w);
}

static bool
get_count(const struct json_span *o, const char *name, uint64_t *to)
{
	struct json_span v = json_member(o, name);
	int64_t n;

	if (v.type != JSON_NUMBER || !json_i64(&v, &n) || n < 0)
		return false;
	*to = (uint64_t)n;
	return true;
}

static bool
get_hex(const struct json_span *o, const char *name, char to[SHA_HEX + 1])
{
	struct json_span v = json_member(o, name);

	if (v.type != JSON_STRING || v.len != SHA_HEX + 2)
		return false;
	memcpy(to, v.p + 1, SHA_HEX);
	to[SHA_HEX] = '\0';
	return true;
}

static char *
get_text(const struct json_span *o, const char *name)
{
	struct json_span v = json_member(o, name);
	char *text;

	if (v.type != JSON_STRING)
		return xstrdup("");
	text = xmalloc((size_t)v.len + 1);
	text[json_decode(&v, text)] = '\0';
	return text;
}

static bool
get_outcome(const struct json_span *o, enum outcome *to)
{
	struct json_span v = json_member(o, "outcome");

	for (int i = OUTCOME_COMPLETE; i <= OUTCOME_FAILED; i++) {
		const char *word = outcome_word((enum outcome)i);

		if (v.type == JSON_STRING && json_is(&v, word, strlen(word))) {
			*to = (enum outcome)i;
			return true;
		}
	}
	return false;
}

/* Is the line whole and unchanged? Its last member tells. */
static bool
unchanged(const char *p, size_t n)
{
	size_t tail = strlen(CHECK) + SHA_HEX + 2;
	char hex[SHA_HEX + 1];

	if (n < tail + 2 || memcmp(p + n - tail, CHECK, strlen(CHECK)) != 0)
		return false;
	check_of(p, n - tail, hex);
	return memcmp(p + n - 2 - SHA_HEX, hex, SHA_HEX) == 0 &&
	       memcmp(p + n - 2, "\"}", 2) == 0;
}

static const char *
parse(struct manifest *m)
{
	struct json_span o;
	struct json_error e;
	uint64_t format, version;

	if (m->text.len == 0 || m->text.p[m->text.len - 1] != '\n')
		return "manifest is cut";
	m->text.len--;
	if (!json_check(m->text.p, m->text.len, true, &e) ||
	    !unchanged(m->text.p, m->text.len))
		return "manifest is damaged";
	o = json_value(buf_cstr(&m->text));
	if (!get_count(&o, "format", &format) || format != SHELF_FORMAT)
		return "manifest has a format that is not known here";
	m->begin = json_member(&o, "begin");
	m->end = json_member(&o, "end");
	if (!get_count(&o, "version", &version) || version != m->version ||
	    !get_outcome(&o, &m->outcome) || !get_count(&o, "rows", &m->rows) ||
	    !get_count(&o, "bytes", &m->bytes) ||
	    !get_count(&o, "gz_bytes", &m->packed_bytes) ||
	    !get_count(&o, "rejected", &m->rejected) ||
	    !get_hex(&o, "sha256", m->sha256) ||
	    !get_hex(&o, "gz_sha256", m->packed_sha256) ||
	    m->begin.type != JSON_OBJECT || m->end.type != JSON_OBJECT)
		return "manifest lacks a member";
	m->began_at = get_text(&o, "began_at");
	m->fetched_at = get_text(&o, "fetched_at");
	m->stored_at = get_text(&o, "stored_at");
	return NULL;
}

static bool
slurp(int fd, struct buf *to)
{
	ssize_t n;

	do {
		if (!buf_grow(to, 64u << 10))
			return false;
		n = sys_read(fd, to->p + to->len, to->cap - to->len);
		if (n > 0)
			to->len += (size_t)n;
	} while (n > 0);
	return n == 0;
}

int
manifest_read(
    struct manifest *m, int dirfd, unsigned version, const char *where)
{
	char name[SHELF_NAME], *path;
	const char *wrong = NULL;
	int fd, status = RC_CONTRACT;

	memset(m, 0, sizeof *m);
	m->version = version;
	buf_init(&m->text, MANIFEST_MAX);
	shelf_manifest_name(name, version);
	path = xasprintf("%s/%s", where, name);
	fd = file_open_state(dirfd, name, O_RDONLY);
	if (fd < 0) {
		warn_sys(path, "cannot open");
	} else if (!slurp(fd, &m->text)) {
		warn_sys(path, "read failed");
		status = RC_IO;
	} else if ((wrong = parse(m)) != NULL) {
		warn_msg(
		    path, "%s: move it away and store the day again", wrong);
	} else {
		status = RC_OK;
	}
	if (fd >= 0)
		close(fd);
	free(path);
	return status;
}

void
manifest_release(struct manifest *m)
{
	free(m->began_at);
	free(m->fetched_at);
	free(m->stored_at);
	m->began_at = m->fetched_at = m->stored_at = NULL;
	buf_release(&m->text);
}

/* ---- directories ---- */

int
shelf_enter(int dirfd, const char *name)
{
	return openat(
	    dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **
shelf_names(int dirfd, size_t *n)
{
	int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	char **names = NULL;
	struct dirent *e;

	*n = 0;
	if (d == NULL) {
		if (copy >= 0)
			close(copy);
		return NULL;
	}
	while ((e = readdir(d)) != NULL) {
		if (!file_name_ok(e->d_name))
			continue;
		names = xreallocarray(names, *n + 1, sizeof *names);
		names[(*n)++] = xstrdup(e->d_name);
	}
	closedir(d);
	if (*n > 0)
		qsort(names, *n, sizeof *names, by_text);
	return names;
}

void
shelf_names_free(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

/* "v0007.json" is 7; 0 for other names. */
static unsigned
version_of(const char *name)
{
	char again[SHELF_NAME];
	unsigned v = 0;

	if (name[0] != 'v')
		return 0;
	for (const char *p = name + 1; *p >= '0' && *p <= '9'; p++) {
		if (v > 99999999)
			return 0;
		v = v * 10 + (unsigned)(*p - '0');
	}
	shelf_manifest_name(again, v);
	return strcmp(again, name) == 0 ? v : 0;
}

static int
by_number(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x > y) - (x < y);
}

unsigned *
shelf_versions(int dirfd, size_t *n)
{
	size_t all;
	char **names = shelf_names(dirfd, &all);
	unsigned *v = xcalloc(all + 1, sizeof *v);

	*n = 0;
	for (size_t i = 0; i < all; i++) {
		unsigned one = version_of(names[i]);

		if (one > 0)
			v[(*n)++] = one;
	}
	shelf_names_free(names, all);
	qsort(v, *n, sizeof *v, by_number);
	return v;
}

struct walk {
	const char *dir;
	const struct span_of *span;
	int (*visit)(const struct shelf_day *d, void *ctx);
	void *ctx;
	int status;
};

/* True: the walk goes on. */
static bool
keep(struct walk *w, int status)
{
	w->status = rc_graver(w->status, status);
	return sig_pending() == 0 &&
	       (status == RC_OK || status == RC_PARTIAL ||
		   status == RC_NOTREADY || status == RC_CONTRACT);
}

static bool
visit_day(struct walk *w, int feed_fd, const char *source, const char *feed,
    const char *date)
{
	struct shelf_day d = {-1, source, feed, date, NULL};
	char *where = xasprintf("%s/%s/%s/%s", w->dir, source, feed, date);
	bool on;

	d.where = where;
	if (feed_fd >= 0)
		d.fd = shelf_enter(feed_fd, date);
	if (feed_fd >= 0 && d.fd < 0 && errno != ENOENT) {
		warn_sys(where, "cannot open the directory");
		on = keep(w, RC_CONTRACT);
	} else {
		on = keep(w, w->visit(&d, w->ctx));
	}
	if (d.fd >= 0)
		close(d.fd);
	free(where);
	return on;
}

static bool
each_day_given(
    struct walk *w, int feed_fd, const char *source, const char *feed)
{
	for (int32_t day = w->span->from; day <= w->span->to; day++) {
		char date[DATE_LEN + 1];

		date_format(day, date);
		if (!visit_day(w, feed_fd, source, feed, date))
			return false;
	}
	return true;
}

static bool
each_day_there(
    struct walk *w, int feed_fd, const char *source, const char *feed)
{
	size_t n;
	char **names = shelf_names(feed_fd, &n);
	bool on = true;

	for (size_t i = 0; on && i < n; i++) {
		int32_t day;

		if (!date_parse(names[i], strlen(names[i]), &day) ||
		    (w->span->from_given && day < w->span->from) ||
		    (w->span->to_given && day > w->span->to))
			continue;
		on = visit_day(w, feed_fd, source, feed, names[i]);
	}
	shelf_names_free(names, n);
	return on;
}

static bool
visit_feed(struct walk *w, int source_fd, const char *source, const char *feed)
{
	int fd = source_fd < 0 ? -1 : shelf_enter(source_fd, feed);
	bool on;

	if (fd < 0 && w->span->feed == NULL)
		return true; /* a stray file */
	on = w->span->from_given && w->span->to_given
		 ? each_day_given(w, fd, source, feed)
		 : each_day_there(w, fd, source, feed);
	if (fd >= 0)
		close(fd);
	return on;
}

static bool
visit_source(struct walk *w, int dirfd, const char *source)
{
	int fd = shelf_enter(dirfd, source);
	bool on = true;
	size_t n = 0;
	char **names = NULL;

	if (w->span->feed != NULL) {
		on = visit_feed(w, fd, source, w->span->feed);
	} else if (fd >= 0) {
		names = shelf_names(fd, &n);
		for (size_t i = 0; on && i < n; i++)
			on = visit_feed(w, fd, source, names[i]);
		shelf_names_free(names, n);
	}
	if (fd >= 0)
		close(fd);
	return on;
}

int
shelf_walk(const char *dir, const struct span_of *span,
    int (*visit)(const struct shelf_day *d, void *ctx), void *ctx)
{
	struct walk w = {dir, span, visit, ctx, RC_OK};
	int fd = dir_open(dir, false, false);
	size_t n = 0;
	char **names = NULL;

	if (fd < 0)
		return RC_TRUNCATED;
	if (span->source != NULL) {
		visit_source(&w, fd, span->source);
	} else {
		names = shelf_names(fd, &n);
		for (size_t i = 0; i < n; i++) {
			if (!visit_source(&w, fd, names[i]))
				break;
		}
		shelf_names_free(names, n);
	}
	close(fd);
	if (sig_pending() != 0)
		return 128 + sig_pending();
	return w.status;
}

/* ---- the records ---- */

struct reading {
	struct sha256 *sum;
	uint64_t bytes, rows;
	char last;
};

static void
take(struct reading *r, const char *p, size_t n)
{
	const char *end = p + n, *at = p;

	sha256_add(r->sum, p, n);
	r->bytes += n;
	r->last = p[n - 1];
	while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		r->rows++;
		at++;
	}
}

/* What came out of the file against what the manifest says. */
static const char *
differs(const struct reading *r, const struct manifest *m)
{
	unsigned char digest[SHA_LEN];
	char hex[SHA_HEX + 1];

	sha256_end(r->sum, digest);
	sha_hex(digest, hex);
	if (r->bytes != m->bytes)
		return "has another length than its manifest says";
	if (r->rows != m->rows)
		return "has another number of rows than its manifest says";
	if (strcmp(hex, m->sha256) != 0)
		return "has another sha256 than its manifest says";
	return NULL;
}

static int
read_plain(const char *path, int fd, const struct manifest *m, struct out *to)
{
	char *block = xmalloc(INPUT_BLOCK);
	struct reading r = {sha256_new(), 0, 0, '\n'};
	struct input in;
	const char *wrong;
	int status;
	ssize_t n;

	input_fd(&in, fd, path);
	while ((n = input_read(&in, block)) > 0) {
		take(&r, block, (size_t)n);
		if (to != NULL)
			out_write(to, block, (size_t)n);
		if (to != NULL && to->failed)
			break;
	}
	wrong = differs(&r, m);
	status = n < 0 ? in.status : RC_OK;
	/* a cut file of our own is damage */
	if (status == RC_TRUNCATED)
		status = RC_CONTRACT;
	if (n == 0 && wrong != NULL) {
		warn_msg(path, "%s", wrong);
		status = RC_CONTRACT;
	}
	if (n > 0)
		status = RC_IO; /* out_close says why */
	/* what follows must be able to begin a line */
	if (to != NULL && r.last != '\n')
		out_write(to, "\n", 1);
	input_close(&in);
	free(block);
	return status;
}

/* The packed bytes first: nothing of a damaged file is handed on. */
static int
check_packed(const char *path, int fd, const struct manifest *m)
{
	char *block = xmalloc(INPUT_BLOCK), hex[SHA_HEX + 1];
	unsigned char digest[SHA_LEN];
	struct sha256 *sum = sha256_new();
	uint64_t size = 0;
	ssize_t n;

	while ((n = sys_read(fd, block, INPUT_BLOCK)) > 0) {
		sha256_add(sum, block, (size_t)n);
		size += (uint64_t)n;
	}
	sha256_end(sum, digest);
	sha_hex(digest, hex);
	free(block);
	if (n < 0 && sig_pending() != 0)
		return 128 + sig_pending();
	if (n < 0 || lseek(fd, 0, SEEK_SET) < 0) {
		warn_sys(path, "read failed");
		return RC_IO;
	}
	if (size == m->packed_bytes && strcmp(hex, m->packed_sha256) == 0)
		return RC_OK;
	warn_msg(path, "is damaged: %s differs from the manifest",
	    size != m->packed_bytes ? "its length" : "its sha256");
	return RC_CONTRACT;
}

int
shelf_read(const struct shelf_day *d, const struct manifest *m, struct out *to)
{
	char name[SHELF_NAME], *path;
	int fd, status = RC_CONTRACT;

	shelf_data_name(name, m->version);
	path = xasprintf("%s/%s", d->where, name);
	fd = file_open_state(d->fd, name, O_RDONLY);
	if (fd < 0) {
		warn_sys(path, "cannot open");
	} else {
		status = check_packed(path, fd, m);
		if (status == RC_OK)
			status = read_plain(path, fd, m, to);
		close(fd);
	}
	free(path);
	return status;
}
