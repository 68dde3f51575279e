/* A query as a job: its parameters, its configuration, its dry run. */
#include <string.h>

#include "bq_impl.h"
#include "exits.h"

static bool
array_of(const char *type, char element[40])
{
	size_t n = strlen(type);

	if (n < 8 || n > 40 || memcmp(type, "ARRAY<", 6) != 0 ||
	    type[n - 1] != '>')
		return false;
	memcpy(element, type + 6, n - 7);
	element[n - 7] = '\0';
	return true;
}

static void
put_list(struct jsonw *value, const struct bq_param *p)
{
	struct jsonw list, one;

	jsonw_open(value, "arrayValues", &list, '[');
	for (size_t i = 0; i < p->n; i++) {
		jsonw_open(&list, NULL, &one, '{');
		jsonw_str(&one, "value", p->list[i]);
		jsonw_end(&one);
	}
	jsonw_end(&list);
}

static void
put_param(struct jsonw *list, const struct bq_param *p)
{
	struct jsonw param, type, inner, value;
	char element[40];
	bool array = array_of(p->type, element);

	jsonw_open(list, NULL, &param, '{');
	jsonw_str(&param, "name", p->name);
	jsonw_open(&param, "parameterType", &type, '{');
	jsonw_str(&type, "type", array ? "ARRAY" : p->type);
	if (array) {
		jsonw_open(&type, "arrayType", &inner, '{');
		jsonw_str(&inner, "type", element);
		jsonw_end(&inner);
	}
	jsonw_end(&type);
	jsonw_open(&param, "parameterValue", &value, '{');
	if (array)
		put_list(&value, p);
	else if (p->value != NULL)
		jsonw_str(&value, "value", p->value);
	jsonw_end(&value);
	jsonw_end(&param);
}

static void
put_destination(struct bq *b, struct jsonw *w, const struct bq_query *q)
{
	struct jsonw to;

	jsonw_open(w, "destinationTable", &to, '{');
	jsonw_str(&to, "projectId", b->project);
	jsonw_str(&to, "datasetId", q->dataset);
	jsonw_str(&to, "tableId", q->table);
	jsonw_end(&to);
	jsonw_str(w, "writeDisposition",
	    q->write != NULL ? q->write : "WRITE_TRUNCATE");
	jsonw_str(w, "createDisposition",
	    q->create != NULL ? q->create : "CREATE_IF_NEEDED");
}

static void
put_u64_text(struct jsonw *w, const char *name, uint64_t v)
{
	char text[24];
	struct buf b = BUF_INIT(sizeof text);

	buf_u64(&b, v);
	jsonw_strn(w, name, b.p, b.len);
	buf_release(&b);
}

static void
put_config(struct bq *b, const struct bq_query *q, bool dry, struct buf *out)
{
	struct jsonw w, query, list;

	jsonw_begin(&w, out, '{');
	jsonw_open(&w, "query", &query, '{');
	jsonw_str(&query, "query", q->sql);
	jsonw_bool(&query, "useLegacySql", false);
	put_u64_text(&query, "maximumBytesBilled", b->max_bytes);
	if (q->nparams > 0) {
		jsonw_str(&query, "parameterMode", "NAMED");
		jsonw_open(&query, "queryParameters", &list, '[');
		for (size_t i = 0; i < q->nparams; i++)
			put_param(&list, &q->params[i]);
		jsonw_end(&list);
	}
	if (q->table != NULL)
		put_destination(b, &query, q);
	jsonw_str(&query, "priority", q->batch ? "BATCH" : "INTERACTIVE");
	jsonw_end(&query);
	if (dry)
		jsonw_bool(&w, "dryRun", true);
	else
		put_u64_text(&w, "jobTimeoutMs", b->job_timeout_s * 1000);
	jsonw_end(&w);
}

void
bq_query_config(struct bq *b, const struct bq_query *q, struct buf *out)
{
	put_config(b, q, false, out);
}

static int
take_estimate(struct bq *b, const struct bq_reply *r, struct bq_estimate *e)
{
	struct json_span stats = {0}, query = {0};

	if (r->root.type == JSON_OBJECT)
		stats = json_member(&r->root, "statistics");
	if (stats.type != JSON_OBJECT)
		return bq_fail(b, RC_CONTRACT,
		    "the answer to a dry run has no statistics");
	query = json_member(&stats, "query");
	e->bytes = bq_u64(&stats, "totalBytesProcessed");
	if (e->bytes == 0)
		e->bytes = bq_u64(&query, "totalBytesProcessed");
	bq_text(&query, "statementType", e->statement, sizeof e->statement);
	bq_text(&query, "totalBytesProcessedAccuracy", e->accuracy,
	    sizeof e->accuracy);
	return RC_OK;
}

int
bq_dry_run(struct bq *b, const struct bq_query *q, struct bq_estimate *e)
{
	struct buf config = BUF_INIT(16u << 20), job = BUF_INIT(16u << 20);
	struct jsonw w;
	struct bq_reply r;
	char id[BQ_ID] = "bqdry";
	int rc;

	*e = (struct bq_estimate){0};
	put_config(b, q, true, &config);
	/* no job is made, but clients send an id: one that means nothing */
	if (!http_taping(b->http))
		bq_random_id(id, "bqdry");
	jsonw_begin(&w, &job, '{');
	bq_put_reference(b, &w, id);
	jsonw_raw(&w, "configuration", config.p, config.len);
	jsonw_end(&w);
	rc = bq_call(b, "POST", "/jobs", &job, &r);
	if (rc == RC_OK)
		rc = take_estimate(b, &r, e);
	else if (r.verdict == HTTP_GONE) /* a table that the text names */
		bq_passing(r.reason, r.why, &rc);
	bq_reply_release(&r);
	buf_release(&job);
	buf_release(&config);
	return rc;
}

int
bq_query_run(struct bq *b, const struct bq_query *q, const char *base,
    bool atomic, struct bq_job *j)
{
	struct buf config = BUF_INIT(16u << 20);
	struct bq_job_spec spec = {
	    .base = base, .configuration = &config, .atomic = atomic};
	int rc;

	put_config(b, q, false, &config);
	rc = bq_job_run(b, &spec, j);
	buf_release(&config);
	return rc;
}
