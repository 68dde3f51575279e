/*
 * Load jobs: NDJSON, plain or gzip, from the spool into a table, all of it or
 * nothing. Only what our loader may ask for: an explicit schema, no CSV, no
 * autodetect, no source URIs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "bigquery.h"
#include "date.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"

#define LINE_MAX_BYTES (100u << 20)

struct loading {
	struct bq_load *l;
	struct bq_table *t;
	const struct bq_field *given; /* the job's schema */
	size_t n_given;
	const char *partition; /* of the decorator, or NULL */
	int32_t part_day;
	sqlite3_stmt *insert;
	struct arena row;
	int64_t line, max_bad;
	bool ignore_unknown, all_given;
};

__attribute__((format(printf, 3, 4))) static bool
fail(struct bq_load *l, const char *reason, const char *fmt, ...)
{
	char text[800];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	l->reason = reason;
	l->message = sim_keep("%s", text);
	return false;
}

/* ---- the bytes ---- */

struct bytes {
	int fd;
	int64_t at, size;
	bool gzip, ended;
	z_stream z;
	unsigned char in[65536];
	const char *wrong;
};

static size_t
bytes_raw(struct bytes *b, void *p, size_t n)
{
	ssize_t got = pread(b->fd, p, n, b->at);

	if (got < 0)
		die(RC_IO, NULL, "spool: %s", strerror(errno));
	b->at += got;
	return (size_t)got;
}

static void
bytes_begin(struct bytes *b, int fd, int64_t size)
{
	unsigned char magic[2] = {0, 0};

	memset(b, 0, sizeof *b);
	b->fd = fd;
	b->size = size;
	bytes_raw(b, magic, 2);
	b->at = 0;
	b->gzip = magic[0] == 0x1f && magic[1] == 0x8b;
	if (b->gzip && inflateInit2(&b->z, 31) != Z_OK)
		die(RC_OSERR, NULL, "cannot inflate");
}

/* Up to n bytes; 0 at the end or where b->wrong is set. */
static size_t
bytes_read(struct bytes *b, char *p, size_t n)
{
	int rc;

	if (!b->gzip)
		return bytes_raw(b, p, n);
	b->z.next_out = (unsigned char *)p;
	b->z.avail_out = (unsigned)n;
	while (b->z.avail_out == n && b->wrong == NULL) {
		if (b->z.avail_in == 0) {
			b->z.next_in = b->in;
			b->z.avail_in =
			    (unsigned)bytes_raw(b, b->in, sizeof b->in);
		}
		if (b->ended) {
			if (b->z.avail_in == 0)
				return 0;
			b->wrong = "more than one gzip member: not known to "
				   "be read";
			return 0;
		}
		if (b->z.avail_in == 0) {
			b->wrong = "gzip: unexpected end of data";
			return 0;
		}
		rc = inflate(&b->z, Z_NO_FLUSH);
		if (rc == Z_STREAM_END)
			b->ended = true;
		else if (rc != Z_OK)
			b->wrong = "gzip: invalid data";
	}
	return b->wrong != NULL ? 0 : n - b->z.avail_out;
}

/* ---- rows ---- */

static void
bad_record(struct loading *g, const char *what, const char *name, size_t len)
{
	struct bq_load *l = g->l;

	l->bad++;
	if (l->errors < sizeof l->error / sizeof *l->error)
		l->error[l->errors++] = sim_keep(
		    "Error while reading data, error message: JSON parsing "
		    "error in row starting at position %lld: %s%s%.*s%s",
		    (long long)g->line, what, len > 0 ? ": " : "", (int)len,
		    name, len > 0 ? "." : "");
}

static bool
in_partition(
    struct loading *g, const struct bq_field *f, const struct json_span *v)
{
	int64_t us;
	int32_t day;

	if (v->type != JSON_STRING)
		return false;
	if (f->type->kind == T_DATE)
		return date_parse(v->p + 1, v->len - 2, &day) &&
		       day == g->part_day;
	return bq_parse_timestamp(v->p + 1, v->len - 2, &us) &&
	       day_of_ms(us / 1000) == g->part_day;
}

/* False: the load fails at once. */
static bool
load_line(struct loading *g, const char *p, size_t n)
{
	struct bq_table *t = g->t;
	struct json_span o, k, v, none = {NULL, 0, JSON_ABSENT, 0};
	struct json_iter it;
	struct json_error e;
	const char *why;
	uint64_t seen[16] = {0};

	arena_reset(&g->row);
	if (!json_check(p, n, true, &e)) {
		bad_record(g, e.reason, "", 0);
		return true;
	}
	o = json_value(p);
	json_iter_init(&it, &o);
	while (json_next_member(&it, &k, &v)) {
		const struct bq_field *f =
		    bq_field_find(t->field, t->n, k.p + 1, k.len - 2);
		size_t at;

		if (f == NULL || bq_field_find(g->given, g->n_given, k.p + 1,
				     k.len - 2) == NULL) {
			if (g->ignore_unknown)
				continue;
			bad_record(g, "No such field", k.p + 1, k.len - 2);
			return true;
		}
		at = (size_t)(f - t->field);
		if (seen[at / 64] >> at % 64 & 1) {
			bad_record(g, "Duplicate field", k.p + 1, k.len - 2);
			return true;
		}
		seen[at / 64] |= (uint64_t)1 << at % 64;
		why = bq_bind_json(g->insert, (int)at + 1, f, &v, &g->row);
		if (why != NULL) {
			bad_record(g, why, k.p + 1, k.len - 2);
			return true;
		}
		if (g->partition != NULL && t->part_field != NULL &&
		    strcasecmp(f->name, t->part_field) == 0 &&
		    !in_partition(g, f, &v))
			return fail(g->l, "invalid",
			    "Some rows belong to different partitions rather "
			    "than destination partition %s",
			    g->partition);
	}
	for (size_t i = 0; i < t->n; i++) {
		if (seen[i / 64] >> i % 64 & 1)
			continue;
		why = bq_bind_json(
		    g->insert, (int)i + 1, &t->field[i], &none, &g->row);
		if (why != NULL) {
			bad_record(
			    g, why, t->field[i].name, strlen(t->field[i].name));
			return true;
		}
	}
	if (sqlite3_step(g->insert) != SQLITE_DONE)
		die(RC_INTERNAL, NULL, "load: %s", sqlite3_errmsg(bq_db()));
	sqlite3_reset(g->insert);
	g->l->rows++;
	return true;
}

static bool
load_lines(struct loading *g)
{
	struct buf b = BUF_INIT(LINE_MAX_BYTES + (2u << 20));
	struct bytes in;
	size_t n, start, done = 0;
	bool ok = true, more = true;

	bytes_begin(&in, g->l->fd, g->l->size);
	while (ok && more) {
		if (!buf_room(&b, (1u << 20) + JSON_PAD)) {
			ok = fail(g->l, "invalid", "A row is over 100 MB");
			break;
		}
		n = bytes_read(&in, b.p + b.len, 1u << 20);
		b.len += n;
		more = n > 0;
		if (!more && in.wrong == NULL && b.len > 0 &&
		    b.p[b.len - 1] != '\n')
			b.p[b.len++] = '\n';
		for (start = 0; ok && start < b.len;) {
			char *nl = memchr(b.p + start, '\n', b.len - start);

			if (nl == NULL)
				break;
			n = (size_t)(nl - b.p) - start;
			if (n > 0 && b.p[start + n - 1] == '\r')
				n--;
			if (n > 0)
				ok = load_line(g, b.p + start, n);
			if (ok && g->l->bad > g->max_bad)
				ok = false;
			g->line = (int64_t)done + (nl + 1 - b.p);
			start = (size_t)(nl + 1 - b.p);
		}
		done += start;
		memmove(b.p, b.p + start, b.len - start);
		b.len -= start;
	}
	if (in.gzip)
		inflateEnd(&in.z);
	buf_release(&b);
	arena_release(&g->row);
	if (g->l->bad > g->max_bad && g->l->reason == NULL)
		return fail(g->l, "invalid",
		    "Error while reading data, error message: JSON table "
		    "encountered too many errors, giving up. Rows: %lld; "
		    "errors: %lld. Please look into the errors[] collection "
		    "for more details.",
		    (long long)(g->l->rows + g->l->bad), (long long)g->l->bad);
	if (ok && in.wrong != NULL)
		return fail(g->l, "invalid",
		    "Error while reading data, error message: %s", in.wrong);
	return ok;
}

/* ---- the table ---- */

/* Does the job's schema go with the table? Adds columns where it may. */
static bool
schema_fits(struct loading *g, bool may_add, bool may_relax)
{
	struct bq_table *t = g->t;
	struct bq_field *all;
	size_t n = t->n;

	for (size_t i = 0; i < t->n; i++) {
		const struct bq_field *f = bq_field_find(g->given, g->n_given,
		    t->field[i].name, strlen(t->field[i].name));

		if (f == NULL && t->field[i].required)
			return fail(g->l, "invalid",
			    "Provided Schema does not match Table %s:%s.%s. "
			    "Field %s is missing in new schema",
			    g->l->project, t->dataset->id, t->id,
			    t->field[i].name);
		if (f == NULL)
			continue;
		if (!bq_type_same(f->type, t->field[i].type))
			return fail(g->l, "invalid",
			    "Provided Schema does not match Table %s:%s.%s. "
			    "Field %s has changed type from %s to %s",
			    g->l->project, t->dataset->id, t->id, f->name,
			    bq_kind_rest(t->field[i].type->kind),
			    bq_kind_rest(f->type->kind));
		if (f->required != t->field[i].required && !may_relax)
			return fail(g->l, "invalid",
			    "Provided Schema does not match Table %s:%s.%s. "
			    "Field %s has changed mode from %s to %s",
			    g->l->project, t->dataset->id, t->id, f->name,
			    f->required ? "NULLABLE" : "REQUIRED",
			    f->required ? "REQUIRED" : "NULLABLE");
	}
	all = arena_alloc(&g->row, (t->n + g->n_given) * sizeof *all);
	memcpy(all, t->field, t->n * sizeof *all);
	for (size_t i = 0; i < g->n_given; i++) {
		const struct bq_field *f = &g->given[i];

		if (bq_field_find(t->field, t->n, f->name, strlen(f->name)) !=
		    NULL)
			continue;
		if (!may_add || f->required)
			return fail(g->l, "invalid",
			    "Provided Schema does not match Table %s:%s.%s. "
			    "Cannot add %sfields (field: %s)",
			    g->l->project, t->dataset->id, t->id,
			    f->required ? "required " : "", f->name);
		all[n++] = *f;
	}
	if (n > t->n)
		bq_table_fields(t, all, n);
	return true;
}

static bool
has_option(const struct json_span *load, const char *word)
{
	struct json_span list = json_member(load, "schemaUpdateOptions"), v;
	struct json_iter it;

	if (list.type != JSON_ARRAY)
		return false;
	json_iter_init(&it, &list);
	while (json_next_element(&it, &v)) {
		if (json_is(&v, word, strlen(word)))
			return true;
	}
	return false;
}

static bool
same_layout(struct loading *g, struct arena *m)
{
	struct json_span part = json_member(&g->l->config, "timePartitioning");
	const char *type = bq_text(m, &part, "type");
	const char *field = bq_text(m, &part, "field");
	const struct bq_table *t = g->t;

	if (part.type != JSON_OBJECT)
		return true;
	if (t->part_type == NULL || type == NULL ||
	    strcmp(type, t->part_type) != 0 ||
	    (field == NULL) != (t->part_field == NULL) ||
	    (field != NULL && strcasecmp(field, t->part_field) != 0))
		return fail(g->l, "invalid",
		    "Incompatible table partitioning specification. Expects "
		    "partitioning specification %s(%s), but input "
		    "partitioning specification is %s(%s)",
		    t->part_type == NULL ? "none" : t->part_type,
		    t->part_field == NULL ? "" : t->part_field,
		    type == NULL ? "" : type, field == NULL ? "" : field);
	return true;
}

/* Finds or makes the destination; *fresh: it was made. */
static bool
destination(struct loading *g, struct arena *m, const char *write, bool *fresh)
{
	struct json_span ref = json_member(&g->l->config, "destinationTable");
	const char *dataset = bq_text(m, &ref, "datasetId");
	char *table = (char *)(uintptr_t)bq_text(m, &ref, "tableId");
	const char *create = bq_text(m, &g->l->config, "createDisposition");
	bool update = json_member(&g->l->config, "schemaUpdateOptions").type ==
		      JSON_ARRAY;
	struct bq_dataset *d = bq_dataset_find(dataset);
	char *decorator = strchr(table, '$');
	const char *why;

	if (decorator != NULL) {
		*decorator++ = '\0';
		g->partition = decorator;
	}
	if (update && strcmp(write, "WRITE_APPEND") != 0 &&
	    strcmp(write, "WRITE_TRUNCATE_DATA") != 0 &&
	    !(strcmp(write, "WRITE_TRUNCATE") == 0 && g->partition != NULL))
		return fail(g->l, "invalid",
		    "Schema update options should only be specified with "
		    "WRITE_APPEND disposition, or with WRITE_TRUNCATE "
		    "disposition on a table partition.");
	if (d == NULL || strcasecmp(d->location, g->l->location) != 0)
		return fail(g->l, "notFound",
		    "Not found: Dataset %s:%s was not found in location %s",
		    g->l->project, dataset, g->l->location);
	g->t = bq_table_find(d, table);
	*fresh = g->t == NULL;
	if (*fresh) {
		if (create != NULL && strcmp(create, "CREATE_NEVER") == 0)
			return fail(g->l, "notFound",
			    "Not found: Table %s:%s.%s", g->l->project, dataset,
			    table);
		if (!bq_name_ok(table, true))
			return fail(
			    g->l, "invalid", "Invalid table ID \"%s\".", table);
		g->t = bq_table_add(d, table);
		g->t->field = bq_fields_copy(g->given, g->n_given);
		g->t->n = g->n_given;
		bq_table_make(g->t);
		why = bq_table_layout(g->t, &g->l->config);
		if (why != NULL)
			return fail(g->l, "invalid", "%s", why);
	} else if (g->t->view != NULL) {
		return fail(g->l, "invalid",
		    "%s:%s.%s is not allowed for this operation because it is "
		    "currently a VIEW.",
		    g->l->project, dataset, table);
	}
	if (g->partition != NULL &&
	    (g->t->part_type == NULL || g->t->part_field == NULL ||
		strcmp(g->t->part_type, "DAY") != 0 ||
		!date_parse_compact(
		    g->partition, strlen(g->partition), &g->part_day)))
		return fail(g->l, "invalid",
		    "Partition %s: this stand-in knows day partitions of a "
		    "column",
		    g->partition);
	return true;
}

static void
clear(struct loading *g)
{
	const struct bq_table *t = g->t;
	const struct bq_field *f;

	if (g->partition == NULL) {
		bq_do("DELETE FROM %s", t->sql);
		return;
	}
	f = bq_field_find(t->field, t->n, t->part_field, strlen(t->part_field));
	if (f->type->kind == T_DATE)
		bq_do("DELETE FROM %s WHERE \"%s\" = %d", t->sql, f->name,
		    (int)g->part_day);
	else
		bq_do("DELETE FROM %s WHERE \"%s\" >= %lld AND \"%s\" < %lld",
		    t->sql, f->name, (long long)g->part_day * 86400000000,
		    f->name, ((long long)g->part_day + 1) * 86400000000);
}

static bool
prepare_insert(struct loading *g)
{
	struct buf b = BUF_INIT(1u << 20);

	buf_fmt(&b, "INSERT INTO %s VALUES (", g->t->sql);
	for (size_t i = 0; i < g->t->n; i++)
		buf_str(&b, i > 0 ? ",?" : "?");
	buf_char(&b, ')');
	if (sqlite3_prepare_v2(bq_db(), buf_cstr(&b), -1, &g->insert, NULL) !=
	    SQLITE_OK)
		die(RC_INTERNAL, NULL, "load: %s", sqlite3_errmsg(bq_db()));
	buf_release(&b);
	return true;
}

static bool
fill(struct loading *g, struct arena *m, const char *write, bool fresh)
{
	struct json_span *c = &g->l->config;
	bool truncate = strncmp(write, "WRITE_TRUNCATE", 14) == 0;
	bool ok;

	if (!fresh && strcmp(write, "WRITE_EMPTY") == 0 &&
	    bq_number("SELECT count(*) FROM %s", g->t->sql) > 0)
		return fail(g->l, "duplicate", "Already Exists: Table %s:%s.%s",
		    g->l->project, g->t->dataset->id, g->t->id);
	/* The whole table's truncation brings its own schema. */
	if (!fresh && strcmp(write, "WRITE_TRUNCATE") == 0 &&
	    g->partition == NULL) {
		clear(g);
		if (!same_layout(g, m))
			return false;
		bq_table_fields(g->t, g->given, g->n_given);
	} else if (!fresh) {
		if (!same_layout(g, m) ||
		    !schema_fits(g, has_option(c, "ALLOW_FIELD_ADDITION"),
			has_option(c, "ALLOW_FIELD_RELAXATION")))
			return false;
		if (truncate)
			clear(g);
	}
	if (g->t->n > 1024)
		return fail(g->l, "invalid", "more than 1024 columns");
	g->all_given = g->n_given == g->t->n;
	prepare_insert(g);
	ok = load_lines(g);
	sqlite3_finalize(g->insert);
	return ok;
}

void
bq_load_run(struct bq_load *l)
{
	struct arena m = {NULL};
	struct loading g = {.l = l};
	struct json_span schema = json_member(&l->config, "schema"), list;
	struct bq_table saved = {.id = NULL};
	const char *write, *why;
	bool fresh = false, ok;

	list = json_member(&schema, "fields");
	g.given = bq_fields_read(&list, &m, &g.n_given, &why);
	g.max_bad = bq_int(&l->config, "maxBadRecords", 0);
	g.ignore_unknown = bq_true(&l->config, "ignoreUnknownValues");
	write = bq_text(&m, &l->config, "writeDisposition");
	if (write == NULL)
		write = "WRITE_APPEND";
	l->bytes = l->size;
	bq_do("SAVEPOINT load");
	ok = destination(&g, &m, write, &fresh);
	if (ok) {
		saved = *g.t;
		ok = fill(&g, &m, write, fresh);
	}
	if (!ok) {
		if (g.t != NULL && fresh)
			bq_table_drop(g.t);
		bq_do("ROLLBACK TO load");
		if (g.t != NULL && !fresh && saved.sql != NULL) {
			g.t->sql = saved.sql;
			g.t->field = saved.field;
			g.t->n = saved.n;
		}
		l->rows = 0;
	} else {
		bq_table_touch(g.t);
	}
	bq_do("RELEASE load");
	arena_release(&m);
}
