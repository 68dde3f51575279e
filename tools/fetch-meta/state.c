/*
 * What outlives a run: report runs that were made and not yet read, and what
 * was learned of the size of requests. One small file a feed, replaced whole.
 * The id of a new report run goes to a note first: replacing a file takes
 * several steps, and a process that dies between them loses it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "fetch-meta.h"
#include "file.h"
#include "mem.h"
#include "sys.h"
#include "tree.h"

enum {
	STATE_MAX = 4 << 20,
	REPORT_LIFE_S = 6 * 3600, /* older ones are made anew */
	PLAN_LIFE_S = 30 * 86400, /* then larger requests are tried again */
};

/* A name for files out of the feed; long ones by their digest. */
static char *
state_name(const char *feed)
{
	char *name = xasprintf("%s.json", feed);
	unsigned char sum[SHA_LEN];
	char hex[SHA_HEX + 1];

	if (file_name_ok(name))
		return name;
	free(name);
	sha256_one(feed, strlen(feed), sum);
	sha_hex(sum, hex);
	return xasprintf("%.40s.json", hex);
}

static int
damaged(const struct state *s, const char *what)
{
	warn_msg(s->dir,
	    "%s: damaged (%s): remove it; report runs that wait "
	    "are then made again",
	    s->name, what);
	return RC_CONTRACT;
}

static bool
number(const struct node *at, const char *name, int64_t *v)
{
	const struct node *n = node_get(at, name);

	return n != NULL && node_i64(n, v) && *v >= 0;
}

static bool
text(const struct node *at, const char *name, char *out, size_t max)
{
	const struct node *n = node_get(at, name);

	if (n == NULL || n->type != JSON_STRING || n->len >= max)
		return false;
	memcpy(out, n->text, n->len + 1);
	return true;
}

static bool
read_plan(struct plan *p, const struct node *at, int64_t now_s)
{
	const struct node *async = node_get(at, "async");
	int64_t limit, days, ids, fields, since;

	if (!number(at, "limit", &limit) || !number(at, "days", &days) ||
	    !number(at, "ids", &ids) || !number(at, "fields", &fields) ||
	    !number(at, "since", &since) || async == NULL || limit == 0)
		return false;
	if (since + PLAN_LIFE_S < now_s)
		return true;
	p->limit = (uint64_t)limit;
	p->days = (uint64_t)days;
	p->ids = (uint64_t)ids;
	p->fields = (uint64_t)fields;
	p->since_s = since;
	p->async = async->type == JSON_TRUE;
	return true;
}

static bool
read_reports(struct state *s, const struct node *list, int64_t now_s)
{
	if (list == NULL || list->type != JSON_ARRAY)
		return false;
	for (const struct node *n = list->child; n != NULL; n = n->next) {
		struct report r = {.done = false};

		if (!text(n, "key", r.key, sizeof r.key) ||
		    !text(n, "id", r.id, sizeof r.id) ||
		    strspn(r.id, "0123456789") != strlen(r.id) ||
		    !number(n, "made", &r.made_s))
			return false;
		if (r.made_s + REPORT_LIFE_S < now_s)
			continue;
		s->reports =
		    xreallocarray(s->reports, s->count + 1, sizeof *s->reports);
		s->reports[s->count++] = r;
	}
	return true;
}

static int
parse(struct state *s, const struct buf *in, int64_t now_s)
{
	struct json_error e;
	struct tree *t = tree_parse(in->p, in->len, &e);
	int64_t v;
	int rc = RC_OK;

	if (t == NULL)
		return damaged(s, e.reason);
	if (!number(tree_root(t), "v", &v) || v != 1)
		rc = damaged(s, "no version 1");
	else if (!read_plan(&s->plan, node_get(tree_root(t), "plan"), now_s) ||
		 !read_reports(s, node_get(tree_root(t), "reports"), now_s) ||
		 !text(tree_root(t), "zone", s->zone, sizeof s->zone) ||
		 !text(
		     tree_root(t), "currency", s->currency, sizeof s->currency))
		rc = damaged(s, "a member is missing or wrong");
	tree_free(t);
	return rc;
}

static int
note_open(struct state *s, int flags)
{
	char *name = xasprintf("%s.id", s->name);
	int fd = file_open_state(s->dirfd, name, flags);

	if (fd < 0 && errno != ENOENT)
		warn_sys(name, "cannot open");
	free(name);
	return fd;
}

/* The id of a run that was made, where it came as far as the note. A note that
 * is cut or of another run is none. */
static void
note_read(struct state *s)
{
	struct report *r = s->reports;
	char line[80], want[80];
	size_t n = s->count;
	ssize_t len;
	int fd;

	while (n > 0 && *r->id != '\0')
		r++, n--;
	if (n == 0 || (fd = note_open(s, O_RDONLY)) < 0)
		return;
	len = sys_read(fd, line, sizeof line - 1);
	close(fd);
	if (len <= 34)
		return;
	line[len] = '\0';
	memcpy(r->id, line + 33,
	    strspn(line + 33, "0123456789") < sizeof r->id
		? strspn(line + 33, "0123456789")
		: 0);
	snprintf(want, sizeof want, "%s %s\n", r->key, r->id);
	if (strcmp(line, want) != 0)
		memset(r->id, 0, sizeof r->id);
}

static int
load(struct state *s, int64_t now_s)
{
	int fd = file_open_state(s->dirfd, s->name, 0);
	struct buf in = BUF_INIT(STATE_MAX);
	char block[4096];
	ssize_t n;
	int rc = RC_OK;

	if (fd < 0 && errno == ENOENT)
		return RC_OK;
	if (fd < 0) {
		warn_sys(s->name, "cannot open");
		return RC_CANTCREAT;
	}
	while ((n = sys_read(fd, block, sizeof block)) > 0)
		buf_add(&in, block, (size_t)n);
	if (n < 0) {
		warn_sys(s->name, "cannot read");
		rc = RC_IO;
	} else {
		rc = in.over ? damaged(s, "too long") : parse(s, &in, now_s);
	}
	close(fd);
	buf_release(&in);
	if (rc == RC_OK)
		note_read(s);
	return rc;
}

int
state_open(struct meta *m)
{
	struct state *s = &m->state;
	char *lock;
	int rc;

	s->dirfd = s->lock = s->note = -1;
	s->plan = (struct plan){.limit = LIMIT_START};
	s->dir = m->dir;
	if (m->dir == NULL)
		return RC_OK;
	s->dirfd = dir_open(m->dir, true, true);
	if (s->dirfd < 0)
		return RC_CANTCREAT;
	s->name = state_name(m->feed);
	lock = xasprintf("%s.lock", s->name);
	rc = lock_take(s->dirfd, lock, m->wait_s, &s->lock);
	free(lock);
	return rc == RC_OK ? load(s, sys_real_ns() / 1000000000) : rc;
}

struct report *
state_find(struct meta *m, const char *key)
{
	for (size_t i = 0; i < m->state.count; i++)
		if (strcmp(m->state.reports[i].key, key) == 0)
			return &m->state.reports[i];
	return NULL;
}

int
state_intend(struct meta *m, const char *key, int64_t now_s)
{
	struct state *s = &m->state;

	if (s->dirfd >= 0 && s->note < 0) {
		s->note = note_open(s, O_RDWR | O_CREAT);
		if (s->note < 0)
			return RC_CANTCREAT;
	}
	if (s->note >= 0 && ftruncate(s->note, 0) < 0) {
		warn_sys(s->name, "cannot empty the note beside it");
		return RC_IO;
	}
	return state_add(m, key, "", now_s);
}

int
state_add(struct meta *m, const char *key, const char *id, int64_t made_s)
{
	struct state *s = &m->state;
	struct report *r = state_find(m, key);
	char line[80];

	/* Where that fails the file below will tell. */
	snprintf(line, sizeof line, "%s %s\n", key, id);
	if (*id != '\0' && s->note >= 0 &&
	    pwrite(s->note, line, strlen(line), 0) < 0)
		warn_sys(s->name, "cannot write the note beside it");

	if (r == NULL) {
		s->reports =
		    xreallocarray(s->reports, s->count + 1, sizeof *s->reports);
		r = &s->reports[s->count++];
	}
	*r = (struct report){.made_s = made_s};
	snprintf(r->key, sizeof r->key, "%s", key);
	snprintf(r->id, sizeof r->id, "%s", id);
	return state_save(m);
}

void
state_forget(struct meta *m, const char *key)
{
	struct state *s = &m->state;
	struct report *r = state_find(m, key);

	if (r == NULL)
		return;
	s->count--;
	memmove(r, r + 1, (size_t)(&s->reports[s->count] - r) * sizeof *r);
}

int
state_save(struct meta *m)
{
	struct state *s = &m->state;
	struct buf out = BUF_INIT(STATE_MAX);
	struct jsonw w, plan, list, one;
	struct afile a;
	int rc;

	if (s->dirfd < 0)
		return RC_OK;
	jsonw_begin(&w, &out, '{');
	jsonw_u64(&w, "v", 1);
	jsonw_str(&w, "zone", m->zone_name);
	jsonw_str(&w, "currency", m->currency);
	jsonw_open(&w, "plan", &plan, '{');
	jsonw_u64(&plan, "limit", s->plan.limit);
	jsonw_bool(&plan, "async", s->plan.async);
	jsonw_u64(&plan, "days", s->plan.days);
	jsonw_u64(&plan, "ids", s->plan.ids);
	jsonw_u64(&plan, "fields", s->plan.fields);
	jsonw_i64(&plan, "since", s->plan.since_s);
	jsonw_end(&plan);
	jsonw_open(&w, "reports", &list, '[');
	for (size_t i = 0; i < s->count; i++) {
		jsonw_open(&list, NULL, &one, '{');
		jsonw_str(&one, "key", s->reports[i].key);
		jsonw_str(&one, "id", s->reports[i].id);
		jsonw_i64(&one, "made", s->reports[i].made_s);
		jsonw_end(&one);
	}
	jsonw_end(&list);
	jsonw_end(&w);
	buf_char(&out, '\n');
	rc = afile_open_at(&a, s->dirfd, s->name);
	if (rc == RC_OK) {
		if (sys_write_all(a.fd, out.p, out.len) < 0) {
			warn_sys(s->name, "cannot write");
			afile_drop(&a);
			rc = RC_IO;
		} else {
			rc = afile_commit(&a, 0);
		}
	}
	buf_release(&out);
	return rc;
}

int
state_close(struct meta *m, bool finished)
{
	struct state *s = &m->state;
	size_t n = 0;
	char *note;
	int rc;

	if (s->dirfd < 0 || !finished)
		return RC_OK;
	for (size_t i = 0; i < s->count; i++)
		if (!s->reports[i].done)
			s->reports[n++] = s->reports[i];
	s->count = n;
	rc = state_save(m);
	if (rc == RC_OK) { /* the note has nothing that is not there */
		note = xasprintf("%s.id", s->name);
		if (unlinkat(s->dirfd, note, 0) < 0 && errno != ENOENT)
			warn_sys(note, "cannot remove");
		free(note);
	}
	return rc;
}

void
state_release(struct meta *m)
{
	struct state *s = &m->state;

	if (s->dirfd >= 0)
		close(s->dirfd);
	if (s->lock >= 0)
		close(s->lock);
	if (s->note >= 0)
		close(s->note);
	free(s->name);
	free(s->reports);
}
