/*
 * Jobs of BigQuery: insert, get, list, cancel, and queries with their pages.
 *
 * Settings: bq_polls=N (a job is DONE at the poll after N; default 0: the
 * first), bq_get404=N (the first N jobs.get after a 409 do not find the job),
 * bq_email. A fault {"do":"job-error","reason":R,"body":MESSAGE} that hits the
 * request that begins a job makes it end with that errorResult; "job-warning"
 * leaves an entry in errors[] of a job that goes well.
 *
 * A job runs when its end is asked for, or when another request would see what
 * it does; so it can be cancelled before.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "bigquery.h"
#include "mem.h"

struct bq_job {
	const char *id, *location;
	const char *config; /* JSON as it came */
	struct json_span load, query;
	int fd;
	int64_t size, created_ms, ended_ms;
	int64_t polls, hidden; /* gets that answer 404 */
	bool ran, dry;
	const char *reason, *message, *warning, *warning_reason;
	const char *request_id;
	struct bq_query q;
	struct bq_load l;
	const struct bq_job *parent;
	const struct bq_query *as; /* a child: its part of the script */
	int64_t children;
	struct bq_job *next; /* older */
};

static struct bq_job *jobs;

static struct bq_job *
find(const char *id, const char *location)
{
	for (struct bq_job *j = jobs; j != NULL; j = j->next) {
		if (strcmp(j->id, id) == 0 && location != NULL &&
		    strcasecmp(j->location, location) == 0)
			return j;
	}
	return NULL;
}

static int
code_of(const char *reason)
{
	static const struct {
		const char *reason;
		int code;
	} known[] = {{"notFound", 404}, {"duplicate", 409},
	    {"accessDenied", 403}, {"quotaExceeded", 403},
	    {"rateLimitExceeded", 403}, {"jobRateLimitExceeded", 403},
	    {"backendError", 503}, {"jobBackendError", 503},
	    {"internalError", 500}, {"jobInternalError", 500},
	    {"resourcesExceeded", 400}, {"stopped", 499}};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (strcmp(known[i].reason, reason) == 0)
			return known[i].code;
	}
	return 400;
}

static const char *
status_of(int code)
{
	return code == 404   ? "NOT_FOUND"
	       : code == 409 ? "ALREADY_EXISTS"
	       : code == 403 ? "PERMISSION_DENIED"
	       : code == 503 ? "UNAVAILABLE"
	       : code == 500 ? "INTERNAL"
	       : code == 499 ? "CANCELLED"
			     : "INVALID_ARGUMENT";
}

static void
say_reason(struct sim_answer *a, const char *reason, const char *message)
{
	int code = code_of(reason);

	google_error(a, code, reason, status_of(code), "%s", message);
}

/* ---- running ---- */

static const char *
destination(struct bq_job *j, struct bq_query *q)
{
	struct json_span ref = json_member(&j->query, "destinationTable");
	const char *dataset = bq_text(&bq_forever, &ref, "datasetId");
	const char *table = bq_text(&bq_forever, &ref, "tableId");
	const char *write = bq_text(&bq_forever, &j->query, "writeDisposition");
	const char *create =
	    bq_text(&bq_forever, &j->query, "createDisposition");
	struct bq_dataset *d;
	struct bq_table *t;
	const char *why = NULL;

	q->reason = "invalid";
	if (q->result == NULL || strcmp(q->kind, "SELECT") != 0)
		return "Cannot set destination table in jobs with DDL, DML or "
		       "scripts";
	if (dataset == NULL || table == NULL || !bq_name_ok(table, true))
		return "destinationTable: not a table";
	d = bq_dataset_find(dataset);
	if (d == NULL || strcasecmp(d->location, j->location) != 0) {
		q->reason = "notFound";
		return sim_keep("Not found: Dataset %s:%s was not found in "
				"location %s",
		    google_project(), dataset, j->location);
	}
	if (write == NULL)
		write = "WRITE_EMPTY";
	t = bq_table_find(d, table);
	if (t == NULL && create != NULL &&
	    strcmp(create, "CREATE_NEVER") == 0) {
		q->reason = "notFound";
		return sim_keep("Not found: Table %s:%s.%s", google_project(),
		    dataset, table);
	}
	if (t != NULL && strcmp(write, "WRITE_EMPTY") == 0 &&
	    bq_number("SELECT count(*) FROM %s", t->sql) > 0) {
		q->reason = "duplicate";
		return sim_keep("Already Exists: Table %s:%s.%s",
		    google_project(), dataset, table);
	}
	if (t == NULL) {
		t = bq_table_add(d, table);
		t->field = q->field;
		t->n = q->n;
		bq_table_make(t);
		why = bq_table_layout(t, &j->query);
		if (why != NULL)
			bq_table_drop(t);
	} else if (strcmp(write, "WRITE_TRUNCATE") == 0) {
		bq_do("DELETE FROM %s", t->sql);
		bq_table_fields(t, q->field, q->n);
	} else {
		for (size_t i = 0; i < t->n && why == NULL; i++) {
			if (i >= q->n ||
			    strcasecmp(t->field[i].name, q->field[i].name) !=
				0 ||
			    !bq_type_same(t->field[i].type, q->field[i].type))
				why = "Provided Schema does not match the "
				      "destination table";
		}
	}
	if (why != NULL)
		return why;
	bq_do("INSERT INTO %s SELECT * FROM %s", t->sql, q->result);
	bq_table_touch(t);
	q->reason = NULL;
	return NULL;
}

static void
run_query(struct bq_job *j)
{
	struct bq_query *q = &j->q;
	bool to =
	    !q->dry_run &&
	    json_member(&j->query, "destinationTable").type == JSON_OBJECT;

	if (to)
		bq_do("SAVEPOINT out");
	bq_run(q);
	if (q->reason == NULL && to) {
		q->message = destination(j, q);
		if (q->message == NULL)
			q->reason = NULL;
		else
			bq_do("ROLLBACK TO out");
	}
	if (to)
		bq_do("RELEASE out");
	j->reason = q->reason;
	j->message = q->message;
	for (struct bq_query *c = q->child; c != NULL; c = c->next) {
		struct bq_job *k = arena_alloc(&bq_forever, sizeof *k);

		k->id = sim_keep("script_job_%016llx_%lld",
		    (unsigned long long)sim_hash("%s", j->id),
		    (long long)j->children++);
		k->location = j->location;
		k->config = sim_keep("{\"query\":{\"useLegacySql\":false}}");
		k->created_ms = k->ended_ms = bq_now_ms();
		k->ran = true;
		k->fd = -1;
		k->parent = j;
		k->as = c;
		k->reason = c->reason;
		k->message = c->message;
		k->next = jobs;
		jobs = k;
	}
}

static void
run(struct bq_job *j)
{
	if (j->ran)
		return;
	j->ran = true;
	if (j->reason != NULL) {
		/* a fault: nothing happens */
	} else if (j->load.type == JSON_OBJECT) {
		bq_load_run(&j->l);
		j->reason = j->l.reason;
		j->message = j->l.message;
	} else {
		run_query(j);
	}
	if (j->fd >= 0)
		close(j->fd);
	j->fd = -1;
	j->ended_ms = bq_now_ms();
}

void
bq_jobs_settle(void)
{
	struct bq_job *oldest;

	do {
		oldest = NULL;
		for (struct bq_job *j = jobs; j != NULL; j = j->next) {
			if (!j->ran)
				oldest = j;
		}
		if (oldest != NULL)
			run(oldest);
	} while (oldest != NULL);
}

/* One look at the job: it may be done by now. */
static bool
poll_job(struct bq_job *j)
{
	if (j->parent != NULL || j->dry)
		return true;
	j->polls++;
	if (j->polls <= sim_setting_int("bq_polls", 0))
		return false;
	bq_jobs_settle();
	return true;
}

static bool
is_done(const struct bq_job *j)
{
	return j->parent != NULL || j->dry ||
	       (j->ran && j->polls > sim_setting_int("bq_polls", 0));
}

/* ---- as JSON ---- */

static void
put_ms(struct jsonw *w, const char *name, int64_t v)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", (long long)v);
	jsonw_str(w, name, text);
}

static void
put_error(struct jsonw *w, const char *name, const char *reason,
    const char *message, const char *location)
{
	struct jsonw o;

	jsonw_open(w, name, &o, '{');
	jsonw_str(&o, "reason", reason);
	if (location != NULL)
		jsonw_str(&o, "location", location);
	jsonw_str(&o, "message", message);
	jsonw_end(&o);
}

static void
put_status(struct jsonw *w, const struct bq_job *j)
{
	bool done = is_done(j);
	const char *where =
	    j->reason != NULL && strcmp(j->reason, "invalidQuery") == 0
		? "query"
		: NULL;
	struct jsonw o, l;

	jsonw_open(w, "status", &o, '{');
	if (done && j->reason != NULL)
		put_error(&o, "errorResult", j->reason, j->message, where);
	if (done &&
	    (j->reason != NULL || j->l.errors > 0 || j->warning != NULL)) {
		jsonw_open(&o, "errors", &l, '[');
		if (j->reason != NULL)
			put_error(&l, NULL, j->reason, j->message, where);
		for (size_t i = 0; i < j->l.errors; i++)
			put_error(&l, NULL, "invalid", j->l.error[i], NULL);
		if (j->warning != NULL)
			put_error(
			    &l, NULL, j->warning_reason, j->warning, NULL);
		jsonw_end(&l);
	}
	jsonw_str(&o, "state",
	    done                                                  ? "DONE"
	    : j->polls < 1                                        ? "PENDING"
	    : j->polls == 1 && sim_setting_int("bq_polls", 0) > 1 ? "PENDING"
								  : "RUNNING");
	jsonw_end(&o);
}

static void
put_dml(struct jsonw *w, const struct bq_query *q)
{
	struct jsonw o;

	if (q->inserted < 0)
		return;
	jsonw_open(w, "dmlStats", &o, '{');
	put_ms(&o, "insertedRowCount", q->inserted);
	put_ms(&o, "deletedRowCount", q->deleted);
	put_ms(&o, "updatedRowCount", q->updated);
	jsonw_end(&o);
	put_ms(w, "numDmlAffectedRows", q->inserted + q->deleted + q->updated);
}

static void
put_statistics(struct jsonw *w, const struct bq_job *j)
{
	const struct bq_query *q = j->as != NULL ? j->as : &j->q;
	struct jsonw o, s;
	bool done = is_done(j);

	jsonw_open(w, "statistics", &o, '{');
	put_ms(&o, "creationTime", j->created_ms);
	if (done || j->polls > 1)
		put_ms(&o, "startTime", j->created_ms);
	if (done)
		put_ms(&o, "endTime", j->ended_ms);
	if (j->parent != NULL)
		jsonw_str(&o, "parentJobId", j->parent->id);
	if (j->children > 0)
		put_ms(&o, "numChildJobs", j->children);
	if (!done || (j->reason != NULL && j->load.type == JSON_OBJECT)) {
		jsonw_end(&o);
		return;
	}
	if (j->load.type == JSON_OBJECT) {
		jsonw_open(&o, "load", &s, '{');
		put_ms(&s, "inputFiles", 1);
		put_ms(&s, "inputFileBytes", j->l.bytes);
		put_ms(&s, "outputRows", j->l.rows);
		put_ms(&s, "outputBytes", j->l.rows * 100);
		put_ms(&s, "badRecords", j->l.bad);
		jsonw_end(&s);
		jsonw_end(&o);
		return;
	}
	put_ms(&o, "totalBytesProcessed", q->bytes);
	jsonw_open(&o, "query", &s, '{');
	if (q->kind != NULL)
		jsonw_str(&s, "statementType", q->kind);
	put_ms(&s, "totalBytesProcessed", q->bytes);
	if (j->dry) {
		jsonw_str(&s, "totalBytesProcessedAccuracy", "PRECISE");
		put_ms(&s, "totalBytesBilled", 0);
		if (q->field != NULL) {
			struct jsonw f;

			jsonw_open(&s, "schema", &f, '{');
			bq_fields_put(&f, q->field, q->n);
			jsonw_end(&f);
		}
	} else {
		put_ms(&s, "totalBytesBilled", q->billed);
		jsonw_bool(&s, "cacheHit", false);
		put_ms(&s, "totalSlotMs", 1);
		put_dml(&s, q);
	}
	if (q->ddl != NULL) {
		struct jsonw t;

		jsonw_str(&s, "ddlOperationPerformed", q->ddl);
		jsonw_open(&s, "ddlTargetTable", &t, '{');
		jsonw_str(&t, "projectId", google_project());
		jsonw_str(&t, "datasetId", q->ddl_dataset);
		jsonw_str(&t, "tableId", q->ddl_table);
		jsonw_end(&t);
	}
	jsonw_end(&s);
	jsonw_end(&o);
}

static void
put_job_reference(struct jsonw *w, const struct bq_job *j)
{
	struct jsonw o;

	jsonw_open(w, "jobReference", &o, '{');
	jsonw_str(&o, "projectId", google_project());
	jsonw_str(&o, "jobId", j->id);
	jsonw_str(&o, "location", j->location);
	jsonw_end(&o);
}

static void
put_job(struct jsonw *w, const struct bq_job *j)
{
	jsonw_str(w, "kind", "bigquery#job");
	if (!j->dry)
		jsonw_str(w, "id",
		    sim_keep("%s:%s.%s", google_project(), j->location, j->id));
	jsonw_str(w, "user_email",
	    sim_setting("bq_email", "robot@weir-test.iam.gserviceaccount.com"));
	if (!j->dry)
		put_job_reference(w, j);
	jsonw_raw(w, "configuration", j->config, strlen(j->config));
	put_status(w, j);
	put_statistics(w, j);
}

static void
answer_job(
    const struct sim_request *r, struct sim_answer *a, const struct bq_job *j)
{
	struct jsonw w;

	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	put_job(&w, j);
	jsonw_end(&w);
	bq_mask(r, a);
}

/* ---- insert ---- */

static bool
one_of(const char *v, const char *list)
{
	size_t n = v == NULL ? 0 : strlen(v);

	if (v == NULL)
		return true;
	for (const char *p = list; *p != '\0';) {
		size_t len = strcspn(p, " ");

		if (len == n && memcmp(p, v, n) == 0)
			return true;
		p += len + (p[len] == ' ');
	}
	return false;
}

static const char *
load_wrong(const struct json_span *load, struct arena *m, bool upload)
{
	struct json_span ref = json_member(load, "destinationTable");
	struct json_span schema = json_member(load, "schema"), list;
	const char *format = bq_text(m, load, "sourceFormat"), *why;
	const char *project = bq_text(m, &ref, "projectId");
	const char *encoding = bq_text(m, load, "encoding");
	size_t n;

	if (!upload)
		return "a load without an upload: this stand-in has no "
		       "sourceUris";
	if (json_member(load, "sourceUris").type != JSON_ABSENT)
		return "sourceUris are not for uploads";
	if (project == NULL || bq_text(m, &ref, "datasetId") == NULL ||
	    bq_text(m, &ref, "tableId") == NULL)
		return "Required parameter is missing: destinationTable";
	if (strcmp(project, google_project()) != 0)
		return "destinationTable: another project";
	if (format == NULL)
		return "sourceFormat is missing, its default is CSV: this "
		       "stand-in loads NEWLINE_DELIMITED_JSON";
	if (strcmp(format, "NEWLINE_DELIMITED_JSON") != 0)
		return "sourceFormat: this stand-in loads "
		       "NEWLINE_DELIMITED_JSON";
	if (bq_true(load, "autodetect"))
		return "autodetect is refused: it guesses types from the data "
		       "of each day";
	if (schema.type != JSON_OBJECT)
		return "schema is missing: an explicit one is demanded";
	list = json_member(&schema, "fields");
	if (bq_fields_read(&list, m, &n, &why) == NULL)
		return why;
	if (encoding != NULL && strcmp(encoding, "UTF-8") != 0)
		return "encoding: UTF-8";
	if (!one_of(bq_text(m, load, "writeDisposition"),
		"WRITE_APPEND WRITE_TRUNCATE WRITE_EMPTY WRITE_TRUNCATE_DATA"))
		return "Invalid value for writeDisposition";
	if (!one_of(bq_text(m, load, "createDisposition"),
		"CREATE_IF_NEEDED CREATE_NEVER"))
		return "Invalid value for createDisposition";
	return NULL;
}

static const char *
query_wrong(const struct json_span *query, struct arena *m)
{
	struct json_span legacy = json_member(query, "useLegacySql");
	const char *mode = bq_text(m, query, "parameterMode");
	struct json_span params = json_member(query, "queryParameters");
	struct json_iter it;
	struct json_span p;

	if (legacy.type != JSON_FALSE)
		return "useLegacySql must be false: its default is true, and "
		       "this stand-in has no legacy SQL";
	if (bq_text(m, query, "query") == NULL)
		return "Required parameter is missing: query";
	if (!one_of(mode, "NAMED"))
		return "parameterMode: this stand-in knows NAMED";
	if (!one_of(bq_text(m, query, "priority"), "INTERACTIVE BATCH"))
		return "Invalid value for priority";
	if (!one_of(bq_text(m, query, "writeDisposition"),
		"WRITE_APPEND WRITE_TRUNCATE WRITE_EMPTY WRITE_TRUNCATE_DATA"))
		return "Invalid value for writeDisposition";
	if (params.type != JSON_ARRAY)
		return NULL;
	json_iter_init(&it, &params);
	while (json_next_element(&it, &p)) {
		if (mode == NULL)
			return "parameterMode is missing";
		if (bq_text(m, &p, "name") == NULL)
			return "a parameter without name";
		if (json_member(&p, "parameterType").type != JSON_OBJECT)
			return "a parameter without parameterType";
	}
	return NULL;
}

struct order {
	struct json_span body, config, load, query;
	const char *id, *location;
	bool dry;
};

/* Reads and checks a Job; false: the error is in the answer. */
static bool
order_read(struct order *o, struct sim_answer *a, const char *body, size_t n,
    bool upload, struct arena *m)
{
	struct json_span ref, none = {NULL, 0, JSON_ABSENT, 0};
	const char *project, *why = NULL;

	if (!bq_body(a, body, n, "Job", &o->body))
		return false;
	ref = json_member(&o->body, "jobReference");
	o->config = json_member(&o->body, "configuration");
	o->load = o->query = none;
	if (o->config.type == JSON_OBJECT) {
		o->load = json_member(&o->config, "load");
		o->query = json_member(&o->config, "query");
	}
	o->id = bq_text(m, &ref, "jobId");
	o->location = bq_text(m, &ref, "location");
	project = bq_text(m, &ref, "projectId");
	o->dry = bq_true(&o->config, "dryRun");
	if (project != NULL && strcmp(project, google_project()) != 0)
		why = "jobReference.projectId: another project";
	else if (o->id != NULL && !bq_name_ok(o->id, true))
		why = arena_fmt(m,
		    "Invalid job ID \"%s\". Job IDs must be alphanumeric "
		    "(plus underscores and dashes) and must be at most 1024 "
		    "characters long.",
		    o->id);
	else if ((o->load.type == JSON_OBJECT) ==
		 (o->query.type == JSON_OBJECT))
		why = "Unspecified job configuration query: one of load and "
		      "query";
	else if (o->load.type == JSON_OBJECT)
		why = o->dry ? "a load has no dry run"
			     : load_wrong(&o->load, m, upload);
	else if (upload)
		why = "an upload is for loads";
	else
		why = query_wrong(&o->query, m);
	if (o->location == NULL)
		o->location = "US";
	if (why != NULL)
		google_error(a, 400, "invalid", "INVALID_ARGUMENT", "%s", why);
	return why == NULL;
}

static bool
unused(struct sim_answer *a, const struct order *o)
{
	struct bq_job *old = o->id == NULL ? NULL : find(o->id, o->location);

	if (old == NULL || o->dry)
		return true;
	old->hidden = sim_setting_int("bq_get404", 0);
	google_error(a, 409, "duplicate", "ALREADY_EXISTS",
	    "Already Exists: Job %s:%s.%s", google_project(), old->location,
	    o->id);
	return false;
}

bool
bq_job_check(const struct sim_request *r, struct sim_answer *a,
    const char *body, size_t n, bool duplicate_too)
{
	struct arena m = {NULL};
	struct order o;
	bool ok;

	(void)r;
	ok = order_read(&o, a, body, n, true, &m) &&
	     (!duplicate_too || unused(a, &o));
	arena_release(&m);
	return ok;
}

static void
set_query(struct bq_job *j, const struct json_span *query)
{
	struct json_span dataset = json_member(query, "defaultDataset");

	j->q.text = bq_text(&bq_forever, query, "query");
	j->q.project = google_project();
	j->q.location = j->location;
	j->q.default_dataset = bq_text(&bq_forever, &dataset, "datasetId");
	j->q.params = json_member(query, "queryParameters");
	j->q.dry_run = j->dry;
	j->q.max_billed = bq_int(query, "maximumBytesBilled", -1);
}

static void
set_fault(struct bq_job *j, const struct sim_fault *f)
{
	const char *body;

	if (f == NULL)
		return;
	body = f->has_body ? sim_keep("%.*s", (int)f->body.len, f->body.p)
			   : "The job encountered an error.";
	if (f->kind == FAULT_JOB_ERROR) {
		j->reason = f->reason;
		j->message = body;
	} else if (f->kind == FAULT_JOB_WARNING) {
		j->warning_reason = f->reason;
		j->warning = body;
	}
}

static struct bq_job *
begin(const struct sim_request *r, const struct json_span *config,
    const char *id, const char *location, bool dry)
{
	struct bq_job *j = arena_alloc(&bq_forever, sizeof *j);

	j->id = id != NULL ? sim_keep("%s", id)
			   : sim_keep("job_%016llx",
				 (unsigned long long)sim_hash("job %llu",
				     (unsigned long long)sim_count()));
	j->location = sim_keep("%s", location);
	j->config = arena_strn(&bq_forever, config->p, config->len);
	j->created_ms = bq_now_ms();
	j->dry = dry;
	j->fd = -1;
	set_fault(j, r->fault);
	if (!dry) {
		j->next = jobs;
		jobs = j;
	}
	return j;
}

bool
bq_job_insert(const struct sim_request *r, struct sim_answer *a,
    const char *body, size_t n, int fd, int64_t size)
{
	struct arena m = {NULL};
	struct json_span config;
	struct order o;
	struct bq_job *j;

	if (!order_read(&o, a, body, n, fd >= 0, &m) || !unused(a, &o)) {
		arena_release(&m);
		return false;
	}
	j = begin(r, &o.config, o.id, o.location, o.dry);
	config = json_value(j->config);
	j->load = json_member(&config, "load");
	j->query = json_member(&config, "query");
	if (j->load.type == JSON_OBJECT) {
		j->fd = fd;
		j->l = (struct bq_load){.project = google_project(),
		    .location = j->location,
		    .config = j->load,
		    .fd = fd,
		    .size = size};
	} else {
		set_query(j, &j->query);
	}
	arena_release(&m);
	if (j->dry) {
		bq_jobs_settle();
		run(j);
		if (j->reason != NULL) {
			say_reason(a, j->reason, j->message);
			return false;
		}
	}
	answer_job(r, a, j);
	return true;
}

void
bq_job_insert_call(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {BQ_COMMON, NULL};

	if (bq_call(r, a, API_BQ_WRITE, params))
		bq_job_insert(r, a, r->body, r->body_len, -1, 0);
}

/* ---- get, list, cancel ---- */

/* The job of the path and of "location", which is demanded. */
static struct bq_job *
job_of(const struct sim_request *r, struct sim_answer *a)
{
	struct bq_job *j = find(r->part[5], sim_param(r, "location"));

	if (j != NULL && j->hidden > 0) {
		j->hidden--;
		j = NULL;
	}
	if (j == NULL)
		bq_not_found(a, "Job %s:%s", google_project(), r->part[5]);
	return j;
}

void
bq_job_get(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {BQ_COMMON, "location", NULL};
	struct bq_job *j;

	if (!bq_call(r, a, API_BQ, params) || (j = job_of(r, a)) == NULL)
		return;
	poll_job(j);
	answer_job(r, a, j);
}

void
bq_job_cancel(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {BQ_COMMON, "location", NULL};
	struct bq_job *j;
	struct jsonw w, o;

	if (!bq_call(r, a, API_BQ_WRITE, params) || (j = job_of(r, a)) == NULL)
		return;
	if (!j->ran) {
		j->reason = "stopped";
		j->message = "Job execution was cancelled: User requested "
			     "cancellation";
		run(j);
	}
	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "kind", "bigquery#jobCancelResponse");
	jsonw_open(&w, "job", &o, '{');
	put_job(&o, j);
	jsonw_end(&o);
	jsonw_end(&w);
	bq_mask(r, a);
}

static void
put_listed(struct jsonw *l, const struct bq_job *j, bool full)
{
	struct jsonw o;

	jsonw_open(l, NULL, &o, '{');
	jsonw_str(&o, "kind", "bigquery#job");
	jsonw_str(&o, "id",
	    sim_keep("%s:%s.%s", google_project(), j->location, j->id));
	put_job_reference(&o, j);
	jsonw_str(&o, "state",
	    is_done(j) ? "DONE" : (j->polls > 1 ? "RUNNING" : "PENDING"));
	if (is_done(j) && j->reason != NULL)
		put_error(&o, "errorResult", j->reason, j->message, NULL);
	put_statistics(&o, j);
	if (full)
		jsonw_raw(&o, "configuration", j->config, strlen(j->config));
	put_status(&o, j);
	jsonw_end(&o);
}

void
bq_job_list(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {BQ_COMMON, "allUsers",
	    "maxCreationTime", "minCreationTime", "maxResults", "pageToken",
	    "parentJobId", "projection", "stateFilter", NULL};
	const char *parent = sim_param(r, "parentJobId");
	const char *max = sim_param(r, "maxResults");
	const char *token = sim_param(r, "pageToken");
	const char *state = sim_param(r, "stateFilter");
	const char *since = sim_param(r, "minCreationTime");
	const char *projection = sim_param(r, "projection");
	bool full = projection != NULL && strcasecmp(projection, "full") == 0;
	long from = token == NULL ? 0 : strtol(token, NULL, 10), i = 0;
	long to = from + (max == NULL ? 50 : strtol(max, NULL, 10));
	struct jsonw w, l;

	if (!bq_call(r, a, API_BQ, params))
		return;
	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "kind", "bigquery#jobList");
	jsonw_open(&w, "jobs", &l, '[');
	for (const struct bq_job *j = jobs; j != NULL; j = j->next) {
		const char *s = is_done(j) ? "done" : "pending";

		if (parent == NULL ? j->parent != NULL
				   : j->parent == NULL ||
					 strcmp(j->parent->id, parent) != 0)
			continue;
		if ((state != NULL && strcasecmp(state, s) != 0) ||
		    (since != NULL && j->created_ms < strtoll(since, NULL, 10)))
			continue;
		if (i >= from && i < to)
			put_listed(&l, j, full);
		i++;
	}
	jsonw_end(&l);
	if (i > to)
		jsonw_str(&w, "nextPageToken", sim_keep("%ld", to));
	jsonw_end(&w);
	bq_mask(r, a);
}

/* ---- queries ---- */

struct rows {
	int64_t from, max;
	bool int64_timestamps;
};

static void
put_rows(struct sim_answer *a, struct jsonw *w, const struct bq_query *q,
    const struct rows *p)
{
	size_t limit = (size_t)sim_setting_int("bq_page_bytes", 10 << 20);
	struct buf b = BUF_INIT(SIZE_MAX / 2);
	struct jsonw o;
	sqlite3_stmt *st;
	int64_t at = p->from;
	char *sql;

	jsonw_open(w, "schema", &o, '{');
	bq_fields_put(&o, q->field, q->n);
	jsonw_end(&o);
	put_ms(w, "totalRows", q->rows);
	sql = sqlite3_mprintf("SELECT * FROM %s ORDER BY rowid LIMIT %lld "
			      "OFFSET %lld",
	    q->result, (long long)p->max, (long long)p->from);
	sqlite3_prepare_v2(bq_db(), sql, -1, &st, NULL);
	sqlite3_free(sql);
	buf_char(&b, '[');
	while (b.len < limit && sqlite3_step(st) == SQLITE_ROW) {
		buf_str(&b, at++ == p->from ? "{\"f\":[" : ",{\"f\":[");
		for (size_t i = 0; i < q->n; i++) {
			buf_str(&b, i > 0 ? ",{\"v\":" : "{\"v\":");
			bq_put_value(&b, q->field[i].type, st, (int)i,
			    p->int64_timestamps);
			buf_char(&b, '}');
		}
		buf_str(&b, "]}");
	}
	sqlite3_finalize(st);
	buf_char(&b, ']');
	if (at > p->from)
		jsonw_raw(w, "rows", b.p, b.len);
	if (at < q->rows && p->max > 0)
		jsonw_str(w, "pageToken",
		    sim_keep("%s.%lld", q->result, (long long)at));
	buf_release(&b);
	(void)a;
}

/* What a script gives is what its last SELECT gave. */
static const struct bq_query *
result_of(const struct bq_job *j)
{
	const struct bq_query *q = j->as != NULL ? j->as : &j->q, *last = q;

	for (const struct bq_query *c = q->child; c != NULL; c = c->next) {
		if (c->result != NULL)
			last = c;
	}
	return last;
}

static void
answer_query(const struct sim_request *r, struct sim_answer *a,
    const struct bq_job *j, const char *kind, const struct rows *p)
{
	const struct bq_query *q = result_of(j);
	struct jsonw w;

	sim_json(a, 200);
	jsonw_begin(&w, &a->body, '{');
	jsonw_str(&w, "kind", kind);
	if (!j->dry)
		put_job_reference(&w, j);
	if (!is_done(j)) {
		jsonw_bool(&w, "jobComplete", false);
		jsonw_end(&w);
		return;
	}
	jsonw_bool(&w, "jobComplete", true);
	jsonw_bool(&w, "cacheHit", false);
	put_ms(&w, "totalBytesProcessed", j->q.bytes);
	if (strcmp(kind, "bigquery#queryResponse") == 0 && !j->dry)
		put_ms(&w, "totalBytesBilled", j->q.billed);
	if (q->result != NULL) {
		put_rows(a, &w, q, p);
	} else {
		if (j->dry && q->field != NULL) {
			struct jsonw o;

			jsonw_open(&w, "schema", &o, '{');
			bq_fields_put(&o, q->field, q->n);
			jsonw_end(&o);
		}
		if (q->inserted >= 0 && !j->dry)
			put_dml(&w, q);
		put_ms(&w, "totalRows", 0);
	}
	jsonw_end(&w);
	bq_mask(r, a);
}

static void
query_begin(const struct sim_request *r, struct sim_answer *a,
    const struct json_span *body, const char *request)
{
	struct json_span format = json_member(body, "formatOptions");
	const char *location = bq_text(&bq_forever, body, "location");
	struct rows p = {0, bq_int(body, "maxResults", 100000),
	    bq_true(&format, "useInt64Timestamp")};
	struct bq_job *j = NULL;

	for (struct bq_job *k = jobs; request != NULL && k != NULL;
	     k = k->next) {
		if (k->request_id != NULL &&
		    strcmp(k->request_id, request) == 0 &&
		    bq_now_ms() - k->created_ms < 900000 &&
		    strcmp(k->q.text, bq_text(&bq_forever, body, "query")) == 0)
			j = k;
	}
	if (j == NULL) {
		char *config =
		    xasprintf("{\"query\":%.*s}", (int)body->len, body->p);
		struct json_span c = json_value(config);

		j = begin(r, &c, NULL, location == NULL ? "US" : location,
		    bq_true(body, "dryRun"));
		free(config);
		c = json_value(j->config);
		j->query = json_member(&c, "query");
		j->request_id = request;
		set_query(j, &j->query);
		/* as a resource the job has no members of the request */
		j->config = "{\"query\":{\"useLegacySql\":false},\"jobType\":"
			    "\"QUERY\"}";
	}
	if (j->dry) {
		bq_jobs_settle();
		run(j);
	} else {
		poll_job(j);
	}
	if (is_done(j) && j->reason != NULL)
		say_reason(a, j->reason, j->message);
	else
		answer_query(r, a, j, "bigquery#queryResponse", &p);
}

void
bq_query_call(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {BQ_COMMON, NULL};
	struct json_span body;
	struct arena m = {NULL};
	const char *why, *request;

	if (!bq_call(r, a, API_BQ_WRITE, params) ||
	    !bq_body(a, r->body, r->body_len, "QueryRequest", &body))
		return;
	why = query_wrong(&body, &m);
	request = bq_text(&bq_forever, &body, "requestId");
	if (why == NULL && request != NULL && strlen(request) > 36)
		why = "requestId: at most 36 characters";
	if (why == NULL && bq_text(&m, &body, "jobCreationMode") != NULL)
		why = "jobCreationMode: a job is always made here";
	if (why != NULL)
		google_error(a, 400, "invalid", "INVALID_ARGUMENT", "%s", why);
	else
		query_begin(r, a, &body, request);
	arena_release(&m);
}

void
bq_query_results(const struct sim_request *r, struct sim_answer *a)
{
	static const char *const params[] = {BQ_COMMON, "location",
	    "maxResults", "pageToken", "startIndex", "timeoutMs",
	    "formatOptions.useInt64Timestamp",
	    "formatOptions.timestampOutputFormat", NULL};
	const char *token = sim_param(r, "pageToken"), *dot;
	const char *start = sim_param(r, "startIndex");
	const char *max = sim_param(r, "maxResults");
	const char *us = sim_param(r, "formatOptions.useInt64Timestamp");
	struct rows p = {.max = max == NULL ? 100000 : strtoll(max, NULL, 10),
	    .int64_timestamps = us != NULL && strcmp(us, "true") == 0};
	struct bq_job *j;
	const struct bq_query *q;

	if (!bq_call(r, a, API_BQ, params) || (j = job_of(r, a)) == NULL)
		return;
	if (j->load.type == JSON_OBJECT) {
		google_error(a, 400, "invalid", "INVALID_ARGUMENT",
		    "Cannot get query results of a load job");
		return;
	}
	poll_job(j);
	if (is_done(j) && j->reason != NULL) {
		say_reason(a, j->reason, j->message);
		return;
	}
	q = result_of(j);
	if (token != NULL) {
		dot = strchr(token, '.');
		if (q->result == NULL || dot == NULL ||
		    strncmp(token, q->result, (size_t)(dot - token)) != 0 ||
		    strlen(q->result) != (size_t)(dot - token)) {
			google_error(a, 400, "invalid", "INVALID_ARGUMENT",
			    "Invalid value for pageToken");
			return;
		}
		p.from = strtoll(dot + 1, NULL, 10);
	} else if (start != NULL) {
		p.from = strtoll(start, NULL, 10);
	}
	answer_query(r, a, j, "bigquery#getQueryResultsResponse", &p);
}
