/* SQL texts: names of tables, statements, parameters; the query as a job. */
#include <string.h>
#include <strings.h>

#include "bq_impl.h"
#include "exits.h"

/* ---- the text ---- */

enum token { TOKEN_OTHER, TOKEN_QUOTED, TOKEN_COMMENT, TOKEN_NAME, TOKEN_SEMI };

/* The length of what begins at p: up to the closing quotes, the end of the
 * line, or one byte. What does not end goes to the end of the text. */
static size_t
quoted(const char *p, size_t n)
{
	char q = *p;
	size_t close = 1, i;

	if (q != '`' && n >= 3 && p[1] == q && p[2] == q)
		close = 3;
	for (i = close; i < n; i++) {
		if (p[i] == '\\')
			i++;
		else if (p[i] == q &&
			 (close == 1 ||
			     (n - i >= 3 && p[i + 1] == q && p[i + 2] == q)))
			return i + close;
	}
	return n;
}

static size_t
next_token(const char *p, size_t n, enum token *kind)
{
	const char *end;

	*kind = TOKEN_OTHER;
	if (*p == '\'' || *p == '"' || *p == '`') {
		*kind = *p == '`' ? TOKEN_NAME : TOKEN_QUOTED;
		return quoted(p, n);
	}
	if (*p == '#' || (n > 1 && p[0] == '-' && p[1] == '-')) {
		*kind = TOKEN_COMMENT;
		end = memchr(p, '\n', n);
		return end == NULL ? n : (size_t)(end - p);
	}
	if (n > 1 && p[0] == '/' && p[1] == '*') {
		*kind = TOKEN_COMMENT;
		end = memmem(p + 2, n - 2, "*/", 2);
		return end == NULL ? n : (size_t)(end - p) + 2;
	}
	if (*p == ';')
		*kind = TOKEN_SEMI;
	return 1;
}

/* `analytics_core.x` with project and dataset, all else as it is. */
static void
put_name(const struct bq *b, const char *p, size_t n, struct buf *out)
{
	static const char *const words[] = {
	    "`analytics_core.", "`analytics_ops."};

	for (int i = 0; i < 2; i++) {
		size_t len = strlen(words[i]);

		if (n <= len || memcmp(p, words[i], len) != 0)
			continue;
		buf_char(out, '`');
		buf_str(out, b->project);
		buf_char(out, '.');
		buf_str(out, i == 0 ? b->core : b->ops);
		buf_char(out, '.');
		buf_add(out, p + len, n - len);
		return;
	}
	buf_add(out, p, n);
}

void
bq_sql(const struct bq *b, const char *text, size_t len, struct buf *out)
{
	enum token kind;

	for (size_t n; len > 0; text += n, len -= n) {
		n = next_token(text, len, &kind);
		if (kind == TOKEN_NAME)
			put_name(b, text, n, out);
		else
			buf_add(out, text, n);
	}
}

size_t
bq_sql_statements(const char *text, size_t len)
{
	size_t count = 0;
	bool begun = false;
	enum token kind;

	for (size_t n; len > 0; text += n, len -= n) {
		n = next_token(text, len, &kind);
		if (kind == TOKEN_SEMI)
			begun = false;
		else if (kind != TOKEN_COMMENT &&
			 strchr(" \t\r\n\f\v", *text) == NULL && !begun) {
			begun = true;
			count++;
		}
	}
	return count;
}

static bool
word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_';
}

bool
bq_sql_uses(const char *text, size_t len, const char *name)
{
	size_t size = strlen(name);
	enum token kind;
	bool at = false;

	for (size_t n; len > 0; text += n, len -= n) {
		n = next_token(text, len, &kind);
		if (at && len >= size && strncasecmp(text, name, size) == 0 &&
		    (len == size || !word_char(text[size])))
			return true;
		at = kind == TOKEN_OTHER && *text == '@' && !at;
	}
	return false;
}

/* ---- the job ---- */

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
	struct jsonw w, ref;
	struct bq_reply r;
	int rc;

	*e = (struct bq_estimate){0};
	put_config(b, q, true, &config);
	jsonw_begin(&w, &job, '{');
	jsonw_open(&w, "jobReference", &ref, '{');
	jsonw_str(&ref, "projectId", b->project);
	if (*b->location != '\0')
		jsonw_str(&ref, "location", b->location);
	jsonw_end(&ref);
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
