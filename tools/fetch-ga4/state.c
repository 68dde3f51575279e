/*
 * What the tables were like when they were fetched. What a run saw goes to
 * PATH.next; --commit, after the load, makes it PATH: a day counts as fetched
 * only when its rows arrived.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "fetch-ga4.h"
#include "file.h"
#include "mem.h"
#include "sha.h"

#define STATE_MAX (64u << 20)

static char *
text_of(const struct json_span *v)
{
	char *p = xmalloc((size_t)v->len + 1);

	p[v->type == JSON_STRING ? json_decode(v, p) : 0] = '\0';
	return p;
}

static bool
read_day(struct state *s, const struct json_span *v)
{
	struct json_span day = json_member(v, "date");
	struct json_span rows = json_member(v, "rows");
	struct json_span modified = json_member(v, "modified");
	struct json_span table = json_member(v, "table");
	struct json_span etag = json_member(v, "etag");
	struct day_state d = {.table = NULL};
	int64_t n, m;
	bool ok;

	if (day.type != JSON_STRING || day.len != DATE_LEN + 2 ||
	    !date_parse(day.p + 1, DATE_LEN, &d.day) || !json_i64(&rows, &n) ||
	    !json_i64(&modified, &m) || n < 0 || m < 0)
		return false;
	d.rows = (uint64_t)n;
	d.modified = (uint64_t)m;
	d.table = text_of(&table);
	d.etag = text_of(&etag);
	ok = state_day(s, d.day) == NULL && *d.table != '\0';
	state_put(s, &d);
	free(d.table);
	free(d.etag);
	return ok;
}

/* The last line is the checksum of what stands before it. */
static const char *
parse(struct state *s, const char *p, size_t n)
{
	struct json_span root, v, e;
	struct json_error error;
	struct json_iter it;
	unsigned char sum[SHA_LEN];
	char hex[SHA_HEX + 1], *property;
	bool same;

	if (n < SHA_HEX + 2 || p[n - 1] != '\n' || p[n - SHA_HEX - 2] != '\n')
		return "damaged: no checksum";
	sha256_one(p, n - SHA_HEX - 1, sum);
	sha_hex(sum, hex);
	if (memcmp(hex, p + n - SHA_HEX - 1, SHA_HEX) != 0)
		return "damaged: the checksum is another";
	if (!json_check(p, n - SHA_HEX - 2, true, &error))
		return "damaged: not JSON";
	root = json_value(p);
	v = json_member(&root, "v");
	if (v.len != 1 || *v.p != '1')
		return "of a version that is not known here";
	v = json_member(&root, "property");
	property = text_of(&v);
	same = strcmp(property, s->property) == 0;
	free(property);
	if (!same)
		return "of another property";
	v = json_member(&root, "days");
	if (v.type != JSON_ARRAY)
		return "damaged: no days";
	json_iter_init(&it, &v);
	while (json_next_element(&it, &e)) {
		if (e.type != JSON_OBJECT || !read_day(s, &e))
			return "damaged: a day is none";
	}
	return NULL;
}

int
state_read(struct state *s, const char *path, const char *property)
{
	struct buf b = BUF_INIT(STATE_MAX);
	const char *wrong;
	int fd, rc;

	s->path = path;
	s->property = xstrdup(property);
	if (path == NULL)
		return RC_OK;
	fd = file_open_state(AT_FDCWD, path, O_RDONLY);
	if (fd < 0 && errno == ENOENT)
		return RC_OK;
	if (fd < 0) {
		warn_sys(path, "cannot open the state");
		return RC_CANTCREAT;
	}
	close(fd);
	rc = file_read(path, STATE_MAX, &b);
	if (rc == RC_OK) {
		buf_grow(&b, JSON_PAD);
		wrong = parse(s, buf_cstr(&b), b.len);
		if (wrong != NULL) {
			warn_msg(path, "%s; remove it to fetch all days anew",
			    wrong);
			rc = RC_CONTRACT;
		}
	}
	buf_release(&b);
	return rc;
}

const struct day_state *
state_day(const struct state *s, int32_t day)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->days[i].day == day)
			return &s->days[i];
	}
	return NULL;
}

static int
by_day(const void *pa, const void *pb)
{
	const struct day_state *a = pa, *b = pb;

	return (a->day > b->day) - (a->day < b->day);
}

void
state_put(struct state *s, const struct day_state *d)
{
	struct day_state *old =
	    (struct day_state *)(uintptr_t)state_day(s, d->day);

	if (old == NULL) {
		s->days = xreallocarray(s->days, s->n + 1, sizeof *s->days);
		old = &s->days[s->n++];
	} else {
		free(old->table);
		free(old->etag);
	}
	*old = *d;
	old->table = xstrdup(d->table);
	old->etag = xstrdup(d->etag);
	qsort(s->days, s->n, sizeof *s->days, by_day);
}

int
state_write(const struct state *s)
{
	struct buf b = BUF_INIT(STATE_MAX);
	struct jsonw w, l, o;
	char *path = xasprintf("%s.next", s->path);
	char date[DATE_LEN + 1], hex[SHA_HEX + 1];
	unsigned char sum[SHA_LEN];
	int rc;

	jsonw_begin(&w, &b, '{');
	jsonw_u64(&w, "v", 1);
	jsonw_str(&w, "property", s->property);
	jsonw_open(&w, "days", &l, '[');
	for (size_t i = 0; i < s->n; i++) {
		const struct day_state *d = &s->days[i];

		date_format(d->day, date);
		jsonw_open(&l, NULL, &o, '{');
		jsonw_str(&o, "date", date);
		jsonw_str(&o, "table", d->table);
		jsonw_u64(&o, "rows", d->rows);
		jsonw_u64(&o, "modified", d->modified);
		jsonw_str(&o, "etag", d->etag);
		jsonw_end(&o);
	}
	jsonw_end(&l);
	jsonw_end(&w);
	buf_char(&b, '\n');
	sha256_one(b.p, b.len, sum);
	sha_hex(sum, hex);
	buf_str(&b, hex);
	buf_char(&b, '\n');
	rc = file_replace(path, b.p, b.len, 0600);
	buf_release(&b);
	free(path);
	return rc;
}

int
state_commit(const char *path)
{
	char *next = xasprintf("%s.next", path);
	struct buf b = BUF_INIT(STATE_MAX);
	int fd = file_open_state(AT_FDCWD, next, O_RDONLY), rc;

	if (fd < 0 && errno == ENOENT) {
		rc = RC_OK; /* done before, or nothing was fetched */
	} else if (fd < 0) {
		warn_sys(next, "cannot open the state");
		rc = RC_CANTCREAT;
	} else {
		close(fd);
		rc = file_read(next, STATE_MAX, &b);
		if (rc == RC_OK)
			rc = file_replace(path, b.p, b.len, 0600);
		if (rc == RC_OK && unlink(next) < 0) {
			warn_sys(next, "cannot remove");
			rc = RC_IO;
		}
	}
	buf_release(&b);
	free(next);
	return rc;
}

void
state_release(struct state *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->days[i].table);
		free(s->days[i].etag);
	}
	free(s->days);
	free(s->property);
}
