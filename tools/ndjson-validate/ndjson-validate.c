/* ndjson-validate: events against their contract, a JSON Schema a type. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "filter.h"
#include "mem.h"
#include "opt.h"
#include "schema.h"
#include "stats.h"

enum { OPT_SCHEMA = OPT_TOOL, OPT_TYPE_PATH, OPT_UNKNOWN };

static const struct opt options[] = {
    {"schema", OPT_SCHEMA, "file", "the contract: a schema, or one an event"},
    {"type-path", OPT_TYPE_PATH, "path",
	"where a record has its event name, default event_name"},
    {"unknown", OPT_UNKNOWN, "action",
	"keep or reject events and members of no schema"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set options_all = {
    "--schema file [--type-path path] [--unknown action] [file ...]",
    {options, filter_options}};

/* What a summary tells of things that no schema knows. */
#define TOLD_MAX 20
#define KEPT_MAX 1000
struct strange {
	char *text;
	uint64_t count;
};

struct strangers {
	const char *what;
	struct strange *v;
	size_t n;
	uint64_t total, unnamed;
};

struct event {
	const char *name;
	size_t len;
	uint64_t hash;
	const struct schema *schema;
};

struct job {
	struct conf *conf;
	struct schemas schemas;
	const struct schema *all; /* for each record, NULL: none */
	struct event *events;     /* open addressing */
	size_t mask;
	bool by_event;

	const char *type_path;
	struct json_paths *paths;
	int type;
	bool reject_unknown;

	struct checker checker;
	struct strangers names, members;
	struct buf text;
};

/* ---- the contract ---- */

static bool
load_events(struct job *j, const struct node *events)
{
	size_t size = 8;

	if (events->type != JSON_OBJECT) {
		conf_wrong(j->conf, events, "an object of schemas expected");
		return false;
	}
	while (size < 2 * events->count)
		size *= 2;
	j->events = xcalloc(size, sizeof(*j->events));
	j->mask = size - 1;
	for (const struct node *n = events->child; n != NULL; n = n->next) {
		uint64_t h = schema_hash(n->key, n->key_len);
		struct event *e = &j->events[h & j->mask];

		while (e->name != NULL)
			e = &j->events[(size_t)(e - j->events + 1) & j->mask];
		*e = (struct event){
		    n->key, n->key_len, h, schema_compile(&j->schemas, n)};
		if (e->schema == NULL)
			return false;
	}
	j->by_event = true;
	return true;
}

/* Either one schema, or {"events": {NAME: schema}, "all": schema, …}. */
static bool
load_contract(struct job *j)
{
	static const char *const names[] = {"events", "all", "type_path",
	    "definitions", "$defs", "$schema", "$id", "$comment", "title",
	    "description", NULL};
	const struct node *root = j->conf->root, *n;
	const char *path;
	bool bad = false;

	j->schemas.conf = j->conf;
	if (node_get(root, "events") == NULL) {
		j->all = schema_compile(&j->schemas, root);
		return j->all != NULL;
	}
	conf_only(j->conf, root, names, &bad);
	path = conf_str(j->conf, root, "type_path", NULL, &bad);
	if (j->type_path == NULL)
		j->type_path = path;
	if (bad || !load_events(j, node_get(root, "events")))
		return false;
	n = node_get(root, "all");
	if (n != NULL)
		j->all = schema_compile(&j->schemas, n);
	return n == NULL || j->all != NULL;
}

static int
load(struct job *j, const char *file)
{
	const char *why;
	int rc = conf_load(file, &j->conf);

	if (rc != RC_OK)
		return rc;
	if (!load_contract(j))
		return RC_CONFIG;
	if (j->type_path == NULL)
		j->type_path = "event_name";
	if (!j->by_event)
		return RC_OK;
	j->type = json_paths_add(j->paths, j->type_path, &why);
	if (j->type < 0) {
		warn_msg("--type-path", "%s", why);
		return RC_CONFIG;
	}
	return RC_OK;
}

/* ---- what is unknown ---- */

static void
meet(struct strangers *s, const char *text, size_t n)
{
	s->total++;
	for (size_t i = 0; i < s->n; i++) {
		if (strlen(s->v[i].text) == n &&
		    memcmp(s->v[i].text, text, n) == 0) {
			s->v[i].count++;
			return;
		}
	}
	if (s->n == KEPT_MAX) {
		s->unnamed++;
		return;
	}
	s->v = xreallocarray(s->v, s->n + 1, sizeof(*s->v));
	s->v[s->n++] = (struct strange){xstrndup(text, n), 1};
}

static void
unknown_member(void *ctx, const struct schema *s, const char *path,
    const char *name, size_t len)
{
	struct job *j = ctx;

	(void)s;
	buf_reset(&j->text);
	buf_str(&j->text, path);
	buf_char(&j->text, '.');
	buf_add(&j->text, name, len < 200 ? len : 200);
	meet(&j->members, j->text.p, strnlen(j->text.p, j->text.len));
}

static int
by_count(const void *a, const void *b)
{
	const struct strange *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->text, y->text);
}

static void
tell(struct strangers *s)
{
	char quoted[DIAG_QUOTE];

	if (s->n > 0)
		qsort(s->v, s->n, sizeof(*s->v), by_count);
	for (size_t i = 0; i < s->n && i < TOLD_MAX; i++)
		warn_msg(NULL, "warning: unknown %s %s: %llu records", s->what,
		    diag_quote(quoted, s->v[i].text, strlen(s->v[i].text)),
		    (unsigned long long)s->v[i].count);
	if (s->n > TOLD_MAX)
		warn_msg(NULL, "warning: %zu more unknown %ss", s->n - TOLD_MAX,
		    s->what);
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].text);
	free(s->v);
}

/* ---- records ---- */

static const struct event *
event_of(struct job *j, const struct json_span *name)
{
	const char *p = name->p + 1;
	size_t n = name->len - 2;
	uint64_t h;

	if (name->flags & JSON_ESCAPED) {
		buf_reset(&j->text);
		json_decode_buf(name, &j->text);
		p = j->text.p == NULL ? "" : j->text.p;
		n = j->text.len;
	}
	h = schema_hash(p, n);
	for (size_t i = h & j->mask; j->events[i].name != NULL;
	     i = (i + 1) & j->mask) {
		const struct event *e = &j->events[i];

		if (e->hash == h && e->len == n && memcmp(e->name, p, n) == 0)
			return e;
	}
	meet(&j->names, p, n < 200 ? n : 200);
	return NULL;
}

/* Where an event has a schema of its own, that one tells what is unknown. */
static bool
fits(struct job *j, const struct schema *s, const char *text)
{
	struct checker *c = &j->checker;
	bool ok;

	if (s != NULL) {
		c->also = j->all;
		if (!schema_check(c, s, text))
			return false;
	}
	if (j->all == NULL)
		return true;
	c->also = NULL;
	c->unknown = j->by_event ? NULL : unknown_member;
	c->reject_unknown = !j->by_event && j->reject_unknown;
	ok = schema_check(c, j->all, text);
	c->unknown = unknown_member;
	c->reject_unknown = j->reject_unknown;
	return ok;
}

/* NULL: good. Else why not, and *byte where. */
static const char *
judge(struct job *j, const struct record *rec, size_t *byte)
{
	const struct schema *s = NULL;
	const struct json_span *name;
	const struct event *e;

	*byte = 0;
	if (j->by_event) {
		name = &rec->val[j->type];
		if (name->flags & JSON_DUPLICATE)
			return "the event name is there twice";
		if (name->type != JSON_STRING)
			return "the event name is not a string";
		e = event_of(j, name);
		*byte = (size_t)(name->p - rec->text) + 1;
		if (e == NULL && j->reject_unknown)
			return "no schema for this event name";
		s = e == NULL ? NULL : e->schema;
	}
	if (fits(j, s, rec->text))
		return NULL;
	*byte = (size_t)(j->checker.where - rec->text) + 1;
	return buf_cstr(&j->checker.why);
}

static int
records(struct filter *f, const struct batch *b)
{
	struct job *j = f->ctx;

	for (size_t i = 0; i < b->n; i++) {
		const struct record *rec = &b->rec[i];
		size_t byte;
		const char *why = judge(j, rec, &byte);
		int rc;

		if (why == NULL) {
			filter_put(f, rec->text, rec->len);
			continue;
		}
		rc = filter_reject(f, rec, byte, why);
		if (rc != RC_OK)
			return rc;
	}
	return RC_OK;
}

static int
finish(struct filter *f)
{
	struct job *j = f->ctx;

	stats_add("unknown_events", j->names.total);
	stats_add("unknown_members", j->members.total);
	return RC_OK;
}

static void
release(struct job *j)
{
	schemas_free(&j->schemas);
	checker_release(&j->checker);
	buf_release(&j->text);
	free(j->events);
	json_paths_free(j->paths);
	conf_free(j->conf);
}

static int
run(struct job *j, struct filter *f, const char *schema, int argc, char **argv)
{
	int rc = load(j, schema);

	if (rc != RC_OK)
		return rc;
	f->paths = j->paths;
	f->ctx = j;
	f->records = records;
	f->finish = finish;
	rc = filter_run(f, argv + opt_index(), (size_t)(argc - opt_index()));
	tell(&j->names);
	tell(&j->members);
	return rc;
}

static bool
unknown_option(struct job *j, const char *word)
{
	j->reject_unknown = strcmp(word, "reject") == 0;
	return j->reject_unknown || strcmp(word, "keep") == 0;
}

int
main(int argc, char **argv)
{
	struct job j = {.names.what = "event", .members.what = "member"};
	struct filter f;
	const char *schema = NULL;
	int key, rc;

	diag_init(argv[0]);
	filter_init(&f);
	while ((key = opt_next(&options_all, argc, argv)) != -1) {
		if (filter_opt(&f, key))
			continue;
		if (key == OPT_SCHEMA)
			schema = opt_arg();
		else if (key == OPT_TYPE_PATH)
			j.type_path = opt_arg();
		else if (key == OPT_UNKNOWN && !unknown_option(&j, opt_arg()))
			opt_wrong(&options_all, "--unknown: keep or reject");
	}
	if (schema == NULL)
		opt_wrong(&options_all, "--schema: a contract is needed");
	j.paths = json_paths_new();
	buf_init(&j.text, 64u << 20);
	checker_init(&j.checker);
	j.checker.unknown = unknown_member;
	j.checker.ctx = &j;
	j.checker.reject_unknown = j.reject_unknown;
	rc = run(&j, &f, schema, argc, argv);
	release(&j);
	return rc;
}
