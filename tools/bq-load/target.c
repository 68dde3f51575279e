#include "target.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "exits.h"
#include "rows.h"
#include "sys.h"

enum { BODY_MAX = 16 << 20, PATH_MAX_ = 4096, WORD = 320 };

static void
path_of(struct buf *path, const char *dataset, const char *name)
{
	buf_fmt(path, "/datasets/%s/tables", dataset);
	if (name != NULL) {
		buf_char(path, '/');
		url_escape(path, name, strlen(name));
	}
}

static int
call(struct bq *b, const char *method, const char *dataset, const char *name,
    const struct buf *body, struct bq_reply *r)
{
	struct buf path = BUF_INIT(PATH_MAX_);
	int rc;

	path_of(&path, dataset, name);
	rc = bq_call(b, method, buf_cstr(&path), body, r);
	buf_release(&path);
	return rc;
}

static uint64_t
number(const struct json_span *object, const char *name)
{
	struct json_span v = json_member(object, name);
	int64_t n;

	return json_i64(&v, &n) && n > 0 ? (uint64_t)n : 0;
}

int
target_get(
    struct target *t, struct bq *b, const char *dataset, const char *name)
{
	struct json_span schema, type;
	int rc;

	*t = (struct target){0};
	rc = call(b, "GET", dataset, name, NULL, &t->reply);
	if (t->reply.verdict == HTTP_GONE)
		rc = RC_NOTREADY;
	if (rc != RC_OK) {
		target_release(t);
		return rc;
	}
	schema = json_member(&t->reply.root, "schema");
	if (schema.type == JSON_OBJECT)
		t->fields = json_member(&schema, "fields");
	type = json_member(&t->reply.root, "type");
	t->view = type.type == JSON_STRING && !json_is(&type, "TABLE", 5);
	t->rows = number(&t->reply.root, "numRows");
	t->expires = number(&t->reply.root, "expirationTime");
	if (t->fields.type != JSON_ARRAY && !t->view) {
		target_release(t);
		return bq_fail(b, RC_CONTRACT, "table %s has no schema", name);
	}
	return RC_OK;
}

void
target_release(struct target *t)
{
	bq_reply_release(&t->reply);
	t->fields = (struct json_span){0};
}

static void
put_end(struct jsonw *w, unsigned days)
{
	if (days > 0)
		jsonw_u64(w, "expirationTime",
		    (uint64_t)(sys_real_ns() / 1000000) +
			(uint64_t)days * 86400000);
	else
		jsonw_null(w, "expirationTime");
}

int
target_make(struct bq *b, const char *dataset, const char *name,
    const struct buf *fields, unsigned days)
{
	struct buf body = BUF_INIT(BODY_MAX);
	struct bq_reply r;
	struct jsonw w, in;
	int rc;

	jsonw_begin(&w, &body, '{');
	jsonw_open(&w, "tableReference", &in, '{');
	jsonw_str(&in, "projectId", bq_project(b));
	jsonw_str(&in, "datasetId", dataset);
	jsonw_str(&in, "tableId", name);
	jsonw_end(&in);
	jsonw_open(&w, "schema", &in, '{');
	jsonw_raw(&in, "fields", fields->p, fields->len);
	jsonw_end(&in);
	if (days > 0)
		put_end(&w, days);
	jsonw_end(&w);
	rc = call(b, "POST", dataset, NULL, &body, &r);
	if (r.verdict == HTTP_EXISTS)
		rc = RC_OK;
	bq_reply_release(&r);
	buf_release(&body);
	return rc;
}

int
target_expire(
    struct bq *b, const char *dataset, const char *name, unsigned days)
{
	struct buf body = BUF_INIT(BODY_MAX);
	struct bq_reply r;
	struct jsonw w;
	int rc;

	jsonw_begin(&w, &body, '{');
	put_end(&w, days);
	jsonw_end(&w);
	rc = call(b, "PATCH", dataset, name, &body, &r);
	if (r.verdict == HTTP_GONE)
		rc = RC_OK;
	bq_reply_release(&r);
	buf_release(&body);
	return rc;
}

int
target_drop(struct bq *b, const char *dataset, const char *name)
{
	struct bq_reply r;
	int rc = call(b, "DELETE", dataset, name, NULL, &r);

	if (r.verdict == HTTP_GONE)
		rc = RC_OK;
	bq_reply_release(&r);
	return rc;
}

/* ---- columns ---- */

static void
word(const struct json_span *field, const char *name, const char *def,
    char out[WORD])
{
	struct json_span v = json_member(field, name);
	struct buf text = BUF_INIT(BODY_MAX);

	if (v.type == JSON_STRING)
		json_decode_buf(&v, &text);
	else
		buf_str(&text, def);
	snprintf(out, WORD, "%s", buf_cstr(&text));
	buf_release(&text);
}

static bool
find_field(
    const struct json_span *fields, const char *name, struct json_span *out)
{
	struct json_iter it;
	char have[WORD];

	json_iter_init(&it, fields);
	while (json_next_element(&it, out)) {
		word(out, "name", "", have);
		if (strcasecmp(have, name) == 0)
			return true;
	}
	return false;
}

/* One wanted column: it is there as it should be, or is added to the list. */
static int
settle_field(struct bq *b, const char *table, const struct target *t,
    const struct json_span *want, struct jsonw *list, unsigned *added)
{
	struct json_span have;
	char name[WORD], type[WORD], its[WORD], mode[WORD];

	word(want, "name", "", name);
	word(want, "type", "STRING", type);
	if (find_field(&t->fields, name, &have)) {
		word(&have, "type", "", its);
		if (strcasecmp(type_word(type), type_word(its)) == 0)
			return RC_OK;
		return bq_fail(b, RC_CONTRACT,
		    "column %s of table %s is of type %s, not %s", name, table,
		    its, type);
	}
	word(want, "mode", "NULLABLE", mode);
	if (strcasecmp(mode, "REQUIRED") == 0)
		return bq_fail(b, RC_CONTRACT,
		    "table %s has no column %s, which may not be null and so "
		    "cannot be added",
		    table, name);
	jsonw_span(list, NULL, want);
	++*added;
	return RC_OK;
}

int
target_complete(struct bq *b, const char *dataset, const char *name,
    const struct target *t, const struct json_span *wanted)
{
	struct buf body = BUF_INIT(BODY_MAX);
	struct json_span f;
	struct json_iter it;
	struct jsonw w, schema, list;
	struct bq_reply r;
	unsigned added = 0;
	int rc = RC_OK;

	jsonw_begin(&w, &body, '{');
	jsonw_open(&w, "schema", &schema, '{');
	jsonw_open(&schema, "fields", &list, '[');
	json_iter_init(&it, &t->fields);
	while (json_next_element(&it, &f))
		jsonw_span(&list, NULL, &f);
	json_iter_init(&it, wanted);
	while (rc == RC_OK && json_next_element(&it, &f))
		rc = settle_field(b, name, t, &f, &list, &added);
	jsonw_end(&list);
	jsonw_end(&schema);
	jsonw_end(&w);
	if (rc == RC_OK && added > 0) {
		rc = call(b, "PATCH", dataset, name, &body, &r);
		bq_reply_release(&r);
	}
	buf_release(&body);
	return rc;
}
