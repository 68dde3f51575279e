/*
 * BigQuery v2: datasets, tables, and rows read without a query. Jobs are in
 * bigquery_jobs.c, uploads in bigquery_upload.c. Datasets of the GA4 export
 * are google.c's; nothing is written there.
 *
 * Settings: bq_dataset_location (of a dataset without one, default US),
 * bq_page_bytes; of jobs, see bigquery_jobs.c.
 */
#include "bigquery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"

#define P_DATASET part[5]
#define P_TABLE part[7]

static struct bq_dataset *datasets;

struct bq_dataset *
bq_dataset_find(const char *id)
{
	struct bq_dataset *d = datasets;

	while (d != NULL && strcmp(d->id, id) != 0)
		d = d->next;
	return d;
}

struct bq_dataset *
bq_dataset_add(const char *id, const char *location)
{
	struct bq_dataset *d = arena_alloc(&bq_forever, sizeof *d);
	struct bq_dataset **last = &datasets;
	static int64_t born;

	/* one that is made again is another one, however soon */
	born = bq_now_ms() > born ? bq_now_ms() : born + 1;
	d->id = sim_keep("%s", id);
	d->location = sim_keep("%s", location);
	d->created_ms = born;
	while (*last != NULL)
		last = &(*last)->next;
	*last = d;
	return d;
}

static void
dataset_drop(struct bq_dataset *d)
{
	struct bq_dataset **at = &datasets;

	while (d->tables != NULL)
		bq_table_drop(d->tables);
	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
}

/* ---- the tables' registry ---- */

/* Days that are older than the table keeps are gone. */
static void
expire_days(const struct bq_table *t)
{
	int64_t keep =
	    t->part_expire == NULL ? 0 : strtoll(t->part_expire, NULL, 10);
	const struct bq_field *f;
	int64_t first;

	if (keep <= 0 || t->part_field == NULL)
		return;
	f = bq_field_find(t->field, t->n, t->part_field, strlen(t->part_field));
	first = (bq_now_ms() - keep) / 86400000;
	bq_do("DELETE FROM %s WHERE \"%s\" < %lld", t->sql, f->name,
	    (long long)(f->type->kind == T_DATE ? first : first * 86400000000));
}

struct bq_table *
bq_table_find(const struct bq_dataset *d, const char *id)
{
	struct bq_table *t = d->tables;

	while (t != NULL && strcmp(t->id, id) != 0)
		t = t->next;
	if (t != NULL && t->expires_ms != 0 && t->expires_ms <= bq_now_ms()) {
		bq_table_drop(t);
		return NULL;
	}
	if (t != NULL)
		expire_days(t);
	return t;
}

struct bq_table *
bq_table_add(struct bq_dataset *d, const char *id)
{
	static unsigned count;
	struct bq_table *t = arena_alloc(&bq_forever, sizeof *t);
	struct bq_table **last = &d->tables;

	t->dataset = d;
	t->id = sim_keep("%s", id);
	t->sql = sim_keep("bq%u", ++count);
	t->created_ms = bq_now_ms();
	if (d->table_life_ms > 0)
		t->expires_ms = t->created_ms + d->table_life_ms;
	while (*last != NULL && strcmp((*last)->id, id) < 0)
		last = &(*last)->next;
	t->next = *last;
	*last = t;
	bq_table_touch(t);
	return t;
}

void
bq_table_drop(struct bq_table *t)
{
	struct bq_table **at = &t->dataset->tables;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	if (t->view == NULL)
		bq_do("DROP TABLE IF EXISTS %s", t->sql);
}

void
bq_table_touch(struct bq_table *t)
{
	int64_t now = bq_now_ms();

	t->modified_ms = now > t->modified_ms ? now : t->modified_ms + 1;
	t->version++;
}

static void
make(const char *name, const struct bq_field *f, size_t n)
{
	struct buf b = BUF_INIT(8u << 20);

	for (size_t i = 0; i < n; i++)
		buf_fmt(&b, "%s\"%s\"", i > 0 ? "," : "", f[i].name);
	bq_do("CREATE TABLE %s (%s)", name, buf_cstr(&b));
	buf_release(&b);
}

void
bq_table_make(struct bq_table *t)
{
	make(t->sql, t->field, t->n);
}

void
bq_table_fields(struct bq_table *t, const struct bq_field *f, size_t n)
{
	struct buf b = BUF_INIT(8u << 20);
	static unsigned count;
	const char *name = sim_keep("bqx%u", ++count);

	for (size_t i = 0; i < n; i++) {
		const struct bq_field *old =
		    bq_field_find(t->field, t->n, f[i].name, strlen(f[i].name));

		buf_fmt(&b, old == NULL ? "%sNULL" : "%s\"%s\"",
		    i > 0 ? "," : "", f[i].name);
	}
	make(name, f, n);
	bq_do("INSERT INTO %s SELECT %s FROM %s; DROP TABLE %s", name,
	    buf_cstr(&b), t->sql, t->sql);
	t->sql = name;
	t->field = bq_fields_copy(f, n);
	t->n = n;
	buf_release(&b);
}

/* ---- datasets ---- */

static void
put_dataset(struct sim_answer *a, const struct bq_dataset *d)
{
	struct jsonw w, o;

	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "kind", "bigquery#dataset");
	jsonw_str(&w, "etag",
	    sim_keep("d%llx", (unsigned long long)sim_hash("%s", d->id)));
	jsonw_str(&w, "id", sim_keep("%s:%s", google_project(), d->id));
	jsonw_open(&w, "datasetReference", &o, '{');
	jsonw_str(&o, "datasetId", d->id);
	jsonw_str(&o, "projectId", google_project());
	jsonw_end(&o);
	if (d->description != NULL)
		jsonw_str(&w, "description", d->description);
	if (d->labels != NULL)
		jsonw_raw(&w, "labels", d->labels, strlen(d->labels));
	if (d->table_life_ms > 0)
		jsonw_str(&w, "defaultTableExpirationMs",
		    sim_keep("%lld", (long long)d->table_life_ms));
	jsonw_str(
	    &w, "creationTime", sim_keep("%lld", (long long)d->created_ms));
	jsonw_str(
	    &w, "lastModifiedTime", sim_keep("%lld", (long long)d->created_ms));
	jsonw_str(&w, "location", d->location);
	jsonw_str(&w, "type", "DEFAULT");
	jsonw_end(&w);
}

static void
datasets_insert(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {
	    BQ_COMMON, "accessPolicyVersion", NULL};
	struct json_span body, ref, labels;
	const char *id, *location, *project;
	struct arena m = {NULL};
	struct bq_dataset *d;

	if (!bq_call(r, a, API_BQ_WRITE, params) ||
	    !bq_body(a, r->body, r->body_len, "Dataset", &body))
		return;
	ref = json_member(&body, "datasetReference");
	id = bq_text(&m, &ref, "datasetId");
	project = bq_text(&m, &ref, "projectId");
	location = bq_text(&m, &body, "location");
	if (location == NULL)
		location = sim_setting("bq_dataset_location", "US");
	if (id == NULL || !bq_name_ok(id, false) ||
	    (project != NULL && strcmp(project, google_project()) != 0)) {
		google_error(a, 400, "invalid", "INVALID_ARGUMENT",
		    "Invalid dataset ID \"%s\". Dataset IDs must be "
		    "alphanumeric (plus underscores) and must be at most 1024 "
		    "characters long.",
		    id == NULL ? "" : id);
	} else if (bq_dataset_find(id) != NULL || export_dataset(id)) {
		google_error(a, 409, "duplicate", "ALREADY_EXISTS",
		    "Already Exists: Dataset %s:%s", google_project(), id);
	} else {
		d = bq_dataset_add(id, location);
		d->table_life_ms = bq_int(&body, "defaultTableExpirationMs", 0);
		d->description = bq_text(&bq_forever, &body, "description");
		labels = json_member(&body, "labels");
		if (labels.type == JSON_OBJECT)
			d->labels = sim_keep("%.*s", (int)labels.len, labels.p);
		put_dataset(a, d);
		bq_mask(r, a);
	}
	arena_release(&m);
}

static struct bq_dataset *
dataset_of(const struct sim_request *r, struct sim_answer *a)
{
	struct bq_dataset *d = bq_dataset_find(r->P_DATASET);

	if (d == NULL)
		bq_not_found(
		    a, "Dataset %s:%s", google_project(), r->P_DATASET);
	return d;
}

static void
datasets_get(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {
	    BQ_COMMON, "datasetView", "accessPolicyVersion", NULL};
	struct bq_dataset *d;

	if (export_dataset(r->P_DATASET)) {
		export_datasets_get(r, a);
	} else if (bq_call(r, a, API_BQ, params) &&
		   (d = dataset_of(r, a)) != NULL) {
		put_dataset(a, d);
		bq_mask(r, a);
	}
}

/* A page of n things that are numbered from 0. */
struct page {
	size_t from, to;
};

static bool
page_of(const struct sim_request *r, struct sim_answer *a, size_t fallback,
    struct page *p)
{
	const char *token = sim_param(r, "pageToken");
	const char *max = sim_param(r, "maxResults");
	char *end = NULL;

	p->from = 0;
	if (token != NULL && *token != '\0') {
		p->from = strtoull(token, &end, 10);
		if (end == token || *end != '\0') {
			google_error(a, 400, "invalid", "INVALID_ARGUMENT",
			    "Invalid value for pageToken");
			return false;
		}
	}
	p->to = p->from + (max == NULL ? fallback : strtoull(max, NULL, 10));
	return true;
}

static void
datasets_list(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {
	    BQ_COMMON, "all", "filter", "maxResults", "pageToken", NULL};
	struct jsonw w, l, o, e;
	struct page p;
	size_t i = 0;

	if (!bq_call(r, a, API_BQ, params) || !page_of(r, a, 50, &p))
		return;
	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "kind", "bigquery#datasetList");
	jsonw_open(&w, "datasets", &l, '[');
	for (struct bq_dataset *d = datasets; d != NULL; d = d->next, i++) {
		if (i < p.from || i >= p.to)
			continue;
		jsonw_open(&l, NULL, &e, '{');
		jsonw_str(&e, "kind", "bigquery#dataset");
		jsonw_str(&e, "id", sim_keep("%s:%s", google_project(), d->id));
		jsonw_open(&e, "datasetReference", &o, '{');
		jsonw_str(&o, "datasetId", d->id);
		jsonw_str(&o, "projectId", google_project());
		jsonw_end(&o);
		jsonw_str(&e, "location", d->location);
		jsonw_end(&e);
	}
	jsonw_end(&l);
	if (i > p.to)
		jsonw_str(&w, "nextPageToken", sim_keep("%zu", p.to));
	jsonw_end(&w);
	bq_mask(r, a);
}

/* ---- tables ---- */

const char *
bq_table_layout(struct bq_table *t, const struct json_span *body)
{
	struct json_span part = json_member(body, "timePartitioning");
	struct json_span cluster = json_member(body, "clustering"), list, v;
	struct json_iter it;

	if (json_member(body, "rangePartitioning").type == JSON_OBJECT)
		return "rangePartitioning: this stand-in knows time only";
	if (part.type == JSON_OBJECT) {
		const struct bq_field *f;

		t->part_type = bq_text(&bq_forever, &part, "type");
		t->part_field = bq_text(&bq_forever, &part, "field");
		t->part_expire = bq_text(&bq_forever, &part, "expirationMs");
		if (t->part_type == NULL ||
		    (strcmp(t->part_type, "DAY") != 0 &&
			strcmp(t->part_type, "MONTH") != 0 &&
			strcmp(t->part_type, "YEAR") != 0 &&
			strcmp(t->part_type, "HOUR") != 0))
			return "Invalid value for timePartitioning.type";
		if (t->part_field != NULL) {
			f = bq_field_find(t->field, t->n, t->part_field,
			    strlen(t->part_field));
			if (f == NULL)
				return "The field specified for time "
				       "partitioning cannot be found in the "
				       "schema.";
			if (f->type->kind != T_DATE &&
			    f->type->kind != T_TIMESTAMP &&
			    f->type->kind != T_DATETIME)
				return "The field specified for time "
				       "partitioning must be DATE, TIMESTAMP "
				       "or DATETIME.";
		}
		t->part_filter =
		    t->part_filter || bq_true(&part, "requirePartitionFilter");
	}
	t->part_filter =
	    t->part_filter || bq_true(body, "requirePartitionFilter");
	if (cluster.type != JSON_OBJECT)
		return NULL;
	list = json_member(&cluster, "fields");
	if (list.type != JSON_ARRAY)
		return "clustering.fields is missing";
	json_iter_init(&it, &list);
	while (json_next_element(&it, &v)) {
		char *name = arena_alloc(&bq_forever, v.len + 1);

		name[json_decode(&v, name)] = '\0';
		if (t->clusters == 4)
			return "Cannot cluster by more than 4 columns.";
		if (bq_field_find(t->field, t->n, name, strlen(name)) == NULL)
			return "The field specified for clustering cannot be "
			       "found in the schema.";
		t->cluster[t->clusters++] = name;
	}
	return NULL;
}

static void
put_layout(struct jsonw *w, const struct bq_table *t)
{
	struct jsonw o, l;

	if (t->part_type != NULL) {
		jsonw_open(w, "timePartitioning", &o, '{');
		jsonw_str(&o, "type", t->part_type);
		if (t->part_field != NULL)
			jsonw_str(&o, "field", t->part_field);
		if (t->part_expire != NULL)
			jsonw_str(&o, "expirationMs", t->part_expire);
		jsonw_end(&o);
	}
	if (t->part_filter)
		jsonw_bool(w, "requirePartitionFilter", true);
	if (t->clusters > 0) {
		jsonw_open(w, "clustering", &o, '{');
		jsonw_open(&o, "fields", &l, '[');
		for (size_t i = 0; i < t->clusters; i++)
			jsonw_str(&l, NULL, t->cluster[i]);
		jsonw_end(&l);
		jsonw_end(&o);
	}
}

static void
put_reference(struct jsonw *w, const char *name, const struct bq_table *t)
{
	struct jsonw o;

	jsonw_open(w, name, &o, '{');
	jsonw_str(&o, "projectId", google_project());
	jsonw_str(&o, "datasetId", t->dataset->id);
	jsonw_str(&o, "tableId", t->id);
	jsonw_end(&o);
}

static void
put_table(struct sim_answer *a, const struct bq_table *t)
{
	int64_t rows =
	    t->view != NULL ? 0 : bq_number("SELECT count(*) FROM %s", t->sql);
	struct jsonw w, o;

	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "kind", "bigquery#table");
	jsonw_str(&w, "etag",
	    sim_keep("%s.%llu.%lld", t->sql, (unsigned long long)t->version,
		(long long)t->modified_ms));
	jsonw_str(&w, "id",
	    sim_keep("%s:%s.%s", google_project(), t->dataset->id, t->id));
	put_reference(&w, "tableReference", t);
	if (t->description != NULL)
		jsonw_str(&w, "description", t->description);
	if (t->friendly != NULL)
		jsonw_str(&w, "friendlyName", t->friendly);
	if (t->labels != NULL)
		jsonw_raw(&w, "labels", t->labels, strlen(t->labels));
	jsonw_open(&w, "schema", &o, '{');
	bq_fields_put(&o, t->field, t->n);
	jsonw_end(&o);
	put_layout(&w, t);
	if (t->view == NULL) {
		jsonw_str(&w, "numRows", sim_keep("%lld", (long long)rows));
		jsonw_str(
		    &w, "numBytes", sim_keep("%lld", (long long)rows * 100));
	} else {
		jsonw_open(&w, "view", &o, '{');
		jsonw_str(&o, "query", t->view);
		jsonw_bool(&o, "useLegacySql", false);
		jsonw_end(&o);
	}
	jsonw_str(
	    &w, "creationTime", sim_keep("%lld", (long long)t->created_ms));
	jsonw_str(&w, "lastModifiedTime",
	    sim_keep("%lld", (long long)t->modified_ms));
	if (t->expires_ms != 0)
		jsonw_str(&w, "expirationTime",
		    sim_keep("%lld", (long long)t->expires_ms));
	jsonw_str(&w, "type", t->view != NULL ? "VIEW" : "TABLE");
	jsonw_str(&w, "location", t->dataset->location);
	jsonw_end(&w);
}

/* What patch may change as well. NULL, or what is wrong. */
static const char *
take_words(struct bq_table *t, const struct json_span *body)
{
	struct json_span v = json_member(body, "labels");
	struct json_span expires = json_member(body, "expirationTime");
	const char *s;
	int64_t at;

	if (v.type == JSON_OBJECT)
		t->labels = sim_keep("%.*s", (int)v.len, v.p);
	if ((s = bq_text(&bq_forever, body, "description")) != NULL)
		t->description = s;
	if ((s = bq_text(&bq_forever, body, "friendlyName")) != NULL)
		t->friendly = s;
	if (expires.type == JSON_NULL) {
		t->expires_ms = 0;
	} else if (expires.type != JSON_ABSENT) {
		if (!json_i64(&expires, &at))
			return "Invalid value for expirationTime";
		if (at <= bq_now_ms())
			return "Invalid value for expirationTime: must be in "
			       "the future";
		t->expires_ms = at;
	}
	return NULL;
}

static const char *
create(struct bq_dataset *d, const char *id, const struct json_span *body,
    struct bq_table **made)
{
	struct json_span schema = json_member(body, "schema");
	struct json_span view = json_member(body, "view"), list;
	struct bq_table *t;
	const char *why = NULL;

	t = bq_table_add(d, id);
	if (view.type == JSON_OBJECT) {
		struct bq_query q = {.project = google_project(),
		    .location = d->location,
		    .dry_run = true,
		    .max_billed = -1};

		t->view = bq_text(&bq_forever, &view, "query");
		if (json_member(&view, "useLegacySql").type != JSON_FALSE)
			why = "useLegacySql must be false: this stand-in has "
			      "no legacy SQL";
		else if (t->view == NULL)
			why = "view.query is missing";
		q.text = t->view;
		if (why == NULL) {
			bq_run(&q);
			why = q.message;
			t->field = q.field;
			t->n = q.n;
		}
	} else {
		list = (struct json_span){NULL, 0, JSON_ABSENT, 0};
		if (schema.type == JSON_OBJECT)
			list = json_member(&schema, "fields");
		t->field = bq_fields_read(&list, &bq_forever, &t->n, &why);
		if (t->field != NULL)
			why = bq_table_layout(t, body);
		else if (schema.type == JSON_ABSENT)
			why = "a schema is demanded by this stand-in";
	}
	if (why == NULL)
		why = take_words(t, body);
	if (t->view == NULL && t->field == NULL)
		t->field = arena_alloc(&bq_forever, sizeof *t->field);
	if (t->view == NULL && why == NULL)
		bq_table_make(t);
	if (why != NULL)
		bq_table_drop(t);
	*made = t;
	return why;
}

static bool
writable(const struct sim_request *r, struct sim_answer *a)
{
	if (!export_dataset(r->P_DATASET))
		return true;
	google_error(a, 403, "accessDenied", "PERMISSION_DENIED",
	    "Access Denied: Dataset %s:%s: the export is for reading here",
	    google_project(), r->P_DATASET);
	return false;
}

static void
tables_insert(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {BQ_COMMON, NULL};
	struct arena m = {NULL};
	struct json_span body, ref;
	struct bq_dataset *d;
	struct bq_table *t;
	const char *id, *dataset, *why;

	if (!bq_call(r, a, API_BQ_WRITE, params) || !writable(r, a) ||
	    !bq_body(a, r->body, r->body_len, "Table", &body) ||
	    (d = dataset_of(r, a)) == NULL)
		return;
	ref = json_member(&body, "tableReference");
	id = bq_text(&m, &ref, "tableId");
	dataset = bq_text(&m, &ref, "datasetId");
	if (id == NULL || !bq_name_ok(id, true) ||
	    (dataset != NULL && strcmp(dataset, d->id) != 0)) {
		google_error(a, 400, "invalid", "INVALID_ARGUMENT",
		    "Invalid table ID \"%s\".", id == NULL ? "" : id);
	} else if (bq_table_find(d, id) != NULL) {
		google_error(a, 409, "duplicate", "ALREADY_EXISTS",
		    "Already Exists: Table %s:%s.%s", google_project(), d->id,
		    id);
	} else if ((why = create(d, id, &body, &t)) != NULL) {
		google_error(a, 400, "invalid", "INVALID_ARGUMENT", "%s", why);
	} else {
		put_table(a, t);
		bq_mask(r, a);
	}
	arena_release(&m);
}

/* The table of the path, without its decorator. */
static struct bq_table *
table_of(const struct sim_request *r, struct sim_answer *a)
{
	struct bq_dataset *d = dataset_of(r, a);
	struct bq_table *t = NULL;

	if (d == NULL)
		return NULL;
	bq_jobs_settle();
	t = bq_table_find(d, r->P_TABLE);
	if (t == NULL)
		bq_not_found(
		    a, "Table %s:%s.%s", google_project(), d->id, r->P_TABLE);
	return t;
}

static void
tables_get(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {
	    BQ_COMMON, "selectedFields", "view", NULL};
	struct bq_table *t;

	if (export_dataset(r->P_DATASET)) {
		export_tables_get(r, a);
	} else if (bq_call(r, a, API_BQ, params) &&
		   (t = table_of(r, a)) != NULL) {
		put_table(a, t);
		bq_mask(r, a);
	}
}

static void
tables_list(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {
	    BQ_COMMON, "maxResults", "pageToken", NULL};
	struct bq_dataset *d;
	struct jsonw w, l, e;
	struct page p;
	size_t i = 0;

	if (export_dataset(r->P_DATASET)) {
		export_tables_list(r, a);
		return;
	}
	if (!bq_call(r, a, API_BQ, params) || (d = dataset_of(r, a)) == NULL ||
	    !page_of(r, a, 50, &p))
		return;
	bq_jobs_settle();
	for (struct bq_table *t = d->tables, *next; t != NULL; t = next) {
		next = t->next;
		bq_table_find(d, t->id); /* drops what has expired */
	}
	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "kind", "bigquery#tableList");
	jsonw_open(&w, "tables", &l, '[');
	for (struct bq_table *t = d->tables; t != NULL; t = t->next, i++) {
		if (i < p.from || i >= p.to)
			continue;
		jsonw_open(&l, NULL, &e, '{');
		jsonw_str(&e, "kind", "bigquery#table");
		jsonw_str(&e, "id",
		    sim_keep("%s:%s.%s", google_project(), d->id, t->id));
		put_reference(&e, "tableReference", t);
		jsonw_str(&e, "type", t->view != NULL ? "VIEW" : "TABLE");
		put_layout(&e, t);
		jsonw_str(&e, "creationTime",
		    sim_keep("%lld", (long long)t->created_ms));
		if (t->expires_ms != 0)
			jsonw_str(&e, "expirationTime",
			    sim_keep("%lld", (long long)t->expires_ms));
		jsonw_end(&e);
	}
	jsonw_end(&l);
	if (i > p.to)
		jsonw_str(&w, "nextPageToken", sim_keep("%zu", p.to));
	jsonw_i64(&w, "totalItems", (int64_t)i);
	jsonw_end(&w);
	bq_mask(r, a);
}

/* The full new schema: what was there stays, what is new may be NULL. */
static const char *
patch_schema(
    struct bq_table *t, const struct json_span *schema, struct arena *m)
{
	struct json_span list = json_member(schema, "fields");
	const struct bq_field *f;
	const char *why;
	size_t n;

	f = bq_fields_read(&list, m, &n, &why);
	if (f == NULL)
		return why;
	for (size_t i = 0; i < t->n; i++) {
		const struct bq_field *new = bq_field_find(
		    f, n, t->field[i].name, strlen(t->field[i].name));

		if (new == NULL)
			return arena_fmt(m,
			    "Provided Schema does not match Table %s:%s.%s. "
			    "Field %s is missing in new schema",
			    google_project(), t->dataset->id, t->id,
			    t->field[i].name);
		if (!bq_type_same(new->type, t->field[i].type))
			return arena_fmt(m,
			    "Provided Schema does not match Table %s:%s.%s. "
			    "Field %s has changed type from %s to %s",
			    google_project(), t->dataset->id, t->id, new->name,
			    bq_kind_rest(t->field[i].type->kind),
			    bq_kind_rest(new->type->kind));
		if (new->required && !t->field[i].required)
			return arena_fmt(m,
			    "Provided Schema does not match Table %s:%s.%s. "
			    "Field %s has changed mode from NULLABLE to "
			    "REQUIRED",
			    google_project(), t->dataset->id, t->id, new->name);
	}
	for (size_t i = 0; i < n; i++) {
		if (f[i].required && bq_field_find(t->field, t->n, f[i].name,
					 strlen(f[i].name)) == NULL)
			return arena_fmt(m,
			    "Provided Schema does not match Table %s:%s.%s. "
			    "Cannot add required fields to an existing "
			    "schema. (field: %s)",
			    google_project(), t->dataset->id, t->id, f[i].name);
	}
	bq_table_fields(t, f, n);
	return NULL;
}

static void
tables_patch(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {
	    BQ_COMMON, "autodetect_schema", NULL};
	struct json_span body, schema, part;
	struct arena m = {NULL};
	struct bq_table *t;
	const char *why = NULL, *match = sim_header(r, "If-Match");

	if (!bq_call(r, a, API_BQ_WRITE, params) || !writable(r, a) ||
	    !bq_body(a, r->body, r->body_len, "Table", &body) ||
	    (t = table_of(r, a)) == NULL)
		return;
	if (match != NULL &&
	    strcmp(match,
		sim_keep("%s.%llu.%lld", t->sql, (unsigned long long)t->version,
		    (long long)t->modified_ms)) != 0) {
		google_error(a, 412, "conditionNotMet", "FAILED_PRECONDITION",
		    "Precondition Failed");
		return;
	}
	schema = json_member(&body, "schema");
	part = json_member(&body, "timePartitioning");
	if (part.type == JSON_OBJECT) {
		const char *field = bq_text(&m, &part, "field");

		if (t->part_type == NULL || field == NULL ||
		    t->part_field == NULL || strcmp(field, t->part_field) != 0)
			why = "Cannot change partitioning/clustering spec for "
			      "a partitioned/clustered table.";
		else
			t->part_expire =
			    bq_text(&bq_forever, &part, "expirationMs");
	}
	if (why == NULL && schema.type == JSON_OBJECT) {
		if (t->view != NULL)
			why = "Cannot change the schema of a view";
		else
			why = patch_schema(t, &schema, &m);
	}
	if (why == NULL)
		why = take_words(t, &body);
	if (why != NULL) {
		google_error(a, 400, "invalid", "INVALID_ARGUMENT", "%s", why);
	} else {
		bq_table_touch(t);
		put_table(a, t);
		bq_mask(r, a);
	}
	arena_release(&m);
}

static void
tables_delete(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {BQ_COMMON, NULL};
	struct bq_table *t;

	if (!bq_call(r, a, API_BQ_WRITE, params) || !writable(r, a) ||
	    (t = table_of(r, a)) == NULL)
		return;
	bq_table_drop(t);
	a->status = 204;
}

/* ---- rows ---- */

/* The columns of selectedFields; NULL: all. */
static bool
selected(const char *list, const char *name)
{
	size_t n = strlen(name);

	if (list == NULL || *list == '\0')
		return true;
	for (const char *p = list; *p != '\0';) {
		size_t len = strcspn(p, ",");

		if (len == n && strncasecmp(p, name, n) == 0)
			return true;
		p += len + (p[len] == ',');
	}
	return false;
}

/* A name of the list that is no column, or NULL. */
static const char *
select_wrong(const struct bq_table *t, const char *list)
{
	for (const char *p = list; p != NULL && *p != '\0';) {
		size_t len = strcspn(p, ",");

		if (bq_field_find(t->field, t->n, p, len) == NULL)
			return sim_keep("%.*s", (int)len, p);
		p += len + (p[len] == ',');
	}
	return NULL;
}

static void
put_rows(const struct sim_request *r, struct sim_answer *a, struct bq_table *t,
    int64_t from, int64_t max)
{
	const char *select = sim_param(r, "selectedFields");
	const char *micros = sim_param(r, "formatOptions.useInt64Timestamp");
	bool us = micros != NULL && strcmp(micros, "true") == 0;
	size_t limit = (size_t)sim_setting_int("bq_page_bytes", 10 << 20);
	int64_t total = bq_number("SELECT count(*) FROM %s", t->sql), at = from;
	sqlite3_stmt *st;
	char *sql = sqlite3_mprintf(
	    "SELECT * FROM %s ORDER BY rowid LIMIT %lld OFFSET %lld", t->sql,
	    (long long)max, (long long)from);

	sim_json(a, 200);
	buf_fmt(&a->body,
	    "{\"kind\":\"bigquery#tableDataList\",\"etag\":\"%llu\","
	    "\"totalRows\":\"%lld\"",
	    (unsigned long long)t->version, (long long)total);
	sqlite3_prepare_v2(bq_db(), sql, -1, &st, NULL);
	while (a->body.len < limit && sqlite3_step(st) == SQLITE_ROW) {
		bool first = true;

		buf_str(
		    &a->body, at == from ? ",\"rows\":[{\"f\":[" : ",{\"f\":[");
		for (size_t i = 0; i < t->n; i++) {
			if (!selected(select, t->field[i].name))
				continue;
			if (!first)
				buf_char(&a->body, ',');
			first = false;
			buf_str(&a->body, "{\"v\":");
			bq_put_value(
			    &a->body, t->field[i].type, st, (int)i, us);
			buf_char(&a->body, '}');
		}
		buf_str(&a->body, "]}");
		at++;
	}
	sqlite3_finalize(st);
	sqlite3_free(sql);
	if (at > from)
		buf_char(&a->body, ']');
	if (at < total && max > 0)
		buf_fmt(&a->body, ",\"pageToken\":\"%s.%llu.%lld\"", t->sql,
		    (unsigned long long)t->version, (long long)at);
	buf_char(&a->body, '}');
}

static void
tabledata_list(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {BQ_COMMON, "maxResults",
	    "pageToken", "startIndex", "selectedFields",
	    "formatOptions.useInt64Timestamp",
	    "formatOptions.timestampOutputFormat", NULL};
	const char *token = sim_param(r, "pageToken");
	const char *start = sim_param(r, "startIndex");
	const char *max = sim_param(r, "maxResults"), *dot, *odd;
	struct bq_table *t;
	char *head;

	if (export_dataset(r->P_DATASET)) {
		export_tabledata_list(r, a);
		return;
	}
	if (!bq_call(r, a, API_BQ, params) || (t = table_of(r, a)) == NULL)
		return;
	if (t->view != NULL) {
		google_error(a, 400, "invalid", "INVALID_ARGUMENT",
		    "Cannot list a table of type VIEW.");
		return;
	}
	odd = select_wrong(t, sim_param(r, "selectedFields"));
	head = xasprintf("%s.%llu.", t->sql, (unsigned long long)t->version);
	dot = token == NULL ? NULL : strrchr(token, '.');
	if (odd != NULL)
		google_error(a, 400, "invalid", "INVALID_ARGUMENT",
		    "Invalid field selection: No such field %s", odd);
	else if (token != NULL && (start != NULL || dot == NULL ||
				      strncmp(token, head, strlen(head)) != 0))
		google_error(a, 400, "invalid", "INVALID_ARGUMENT",
		    "Invalid value for pageToken");
	else
		put_rows(r, a, t,
		    dot != NULL     ? strtoll(dot + 1, NULL, 10)
		    : start != NULL ? strtoll(start, NULL, 10)
				    : 0,
		    max == NULL ? 100000 : strtoll(max, NULL, 10));
	free(head);
	bq_mask(r, a);
}

static void
datasets_delete(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {BQ_COMMON, "deleteContents", NULL};
	const char *all = sim_param(r, "deleteContents");
	struct bq_dataset *d;

	if (!bq_call(r, a, API_BQ_WRITE, params) || !writable(r, a) ||
	    (d = dataset_of(r, a)) == NULL)
		return;
	if (d->tables != NULL && (all == NULL || strcmp(all, "true") != 0)) {
		google_error(a, 400, "resourceInUse", "INVALID_ARGUMENT",
		    "Dataset %s:%s is still in use", google_project(), d->id);
		return;
	}
	dataset_drop(d);
	a->status = 204;
}

static void
insert_all(const struct sim_request *r, struct sim_answer *a)
{
	(void)r;
	google_error(a, 403, "accessDenied", "PERMISSION_DENIED",
	    "Access Denied: streaming inserts are not for us");
}

static void
unknown(const struct sim_request *r, struct sim_answer *a)
{
	(void)r;
	google_error(a, 404, "notFound", "NOT_FOUND", "Method not found.");
}

#define PROJECT "/bigquery/v2/projects/?"
#define DATASET PROJECT "/datasets/?"
static const struct sim_route routes[] = {
    {"POST", PROJECT "/datasets", datasets_insert},
    {"GET", PROJECT "/datasets", datasets_list}, {"GET", DATASET, datasets_get},
    {"DELETE", DATASET, datasets_delete},
    {"POST", DATASET "/tables", tables_insert},
    {"GET", DATASET "/tables", tables_list},
    {"GET", DATASET "/tables/?", tables_get},
    {"PATCH", DATASET "/tables/?", tables_patch},
    {"DELETE", DATASET "/tables/?", tables_delete},
    {"GET", DATASET "/tables/?/data", tabledata_list},
    {"POST", DATASET "/tables/?/insertAll", insert_all},
    {"POST", PROJECT "/jobs", bq_job_insert_call},
    {"GET", PROJECT "/jobs", bq_job_list},
    {"GET", PROJECT "/jobs/?", bq_job_get},
    {"POST", PROJECT "/jobs/?/cancel", bq_job_cancel},
    {"POST", PROJECT "/queries", bq_query_call},
    {"GET", PROJECT "/queries/?", bq_query_results}, {NULL, NULL, NULL}};

static struct sim_service bigquery_service = {
    .prefix = "/bigquery/v2/", .routes = routes, .unknown = unknown};
SIM_SERVICE(bigquery_service);
