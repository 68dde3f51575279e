/* --setup: the datasets, and the tables and views of pipelines/sql/bigquery. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "diag.h"
#include "exits.h"
#include "load.h"
#include "mem.h"
#include "sql.h"
#include "target.h"

enum { TEXT_MAX = 1 << 20, WORD = 320 };

/* ---- datasets ---- */

static int
make_dataset(struct bq *b, const char *name)
{
	struct buf body = BUF_INIT(TEXT_MAX);
	struct bq_reply r;
	struct jsonw w, ref;
	int rc;

	jsonw_begin(&w, &body, '{');
	jsonw_open(&w, "datasetReference", &ref, '{');
	jsonw_str(&ref, "projectId", bq_project(b));
	jsonw_str(&ref, "datasetId", name);
	jsonw_end(&ref);
	jsonw_str(&w, "location", bq_location(b));
	jsonw_end(&w);
	rc = bq_call(b, "POST", "/datasets", &body, &r);
	if (r.verdict == HTTP_EXISTS) /* bq_start compared where it lies */
		rc = RC_OK;
	bq_reply_release(&r);
	buf_release(&body);
	if (rc != RC_OK)
		warn_msg(name, "cannot make the dataset: %s", bq_why(b));
	return rc;
}

static int
settle_dataset(struct bq *b, const char *name)
{
	char *path = xasprintf("/datasets/%s", name);
	struct bq_reply r;
	int rc = bq_call(b, "GET", path, NULL, &r);
	bool missing = r.verdict == HTTP_GONE;

	free(path);
	bq_reply_release(&r);
	if (!missing) {
		if (rc != RC_OK)
			warn_msg(name, "%s", bq_why(b));
		return rc;
	}
	if (*bq_location(b) == '\0') {
		warn_msg("--location",
		    "or $BQ_LOCATION: where is dataset %s to lie, for ever? "
		    "(EU, US, europe-north1 ...)",
		    name);
		return RC_CONFIG;
	}
	return make_dataset(b, name);
}

/* ---- columns that a table of an older version lacks ---- */

/* The end of an item of a list in parentheses: its comma or the last ')'. */
static const char *
item_end(const char *p)
{
	int depth = 0;

	for (; *p != '\0'; p++) {
		if (*p == '\'') {
			p = strchr(p + 1, '\'');
			if (p == NULL)
				die(RC_INTERNAL, NULL, "a table's text");
		} else if (*p == '(') {
			depth++;
		} else if (*p == ')' && depth-- == 0) {
			break;
		} else if (*p == ',' && depth == 0) {
			break;
		}
	}
	return p;
}

/* "name TYPE [NOT NULL] [OPTIONS …]" as a field of a schema. */
static void
put_field(struct jsonw *list, const char *p, size_t n)
{
	char name[WORD], type[WORD];
	struct jsonw w;
	char *item = xstrndup(p, n);

	if (sscanf(item, " `%319[^`]` %319s", name, type) != 2 &&
	    sscanf(item, " %319s %319s", name, type) != 2)
		die(RC_INTERNAL, NULL, "a column's text");
	jsonw_open(list, NULL, &w, '{');
	jsonw_str(&w, "name", name);
	jsonw_str(&w, "type", type);
	jsonw_str(&w, "mode",
	    strstr(item, " NOT NULL") != NULL ? "REQUIRED" : "NULLABLE");
	jsonw_end(&w);
	free(item);
}

/* The columns of one CREATE TABLE against those that the table has. */
static int
complete_table(
    struct bq *b, const char *dataset, const char *name, const char *list)
{
	struct buf fields = BUF_INIT(TEXT_MAX);
	struct json_span wanted;
	struct jsonw w;
	struct target t;
	int rc;

	jsonw_begin(&w, &fields, '[');
	while (*list != ')' && *list != '\0') {
		const char *end = item_end(list);

		put_field(&w, list, (size_t)(end - list));
		list = end + (*end == ',');
	}
	jsonw_end(&w);
	buf_grow(&fields, JSON_PAD);
	wanted = json_value(buf_cstr(&fields));
	rc = target_get(&t, b, dataset, name);
	if (rc == RC_OK) {
		rc = target_complete(b, dataset, name, &t, &wanted);
		target_release(&t);
	} else if (rc == RC_NOTREADY) {
		rc = RC_OK; /* it will be made whole */
	}
	if (rc != RC_OK)
		warn_msg(name, "%s", bq_why(b));
	buf_release(&fields);
	return rc;
}

static int
complete_tables(struct bq *b, const char *text)
{
	static const char create[] = "CREATE TABLE IF NOT EXISTS `analytics_";
	char dataset[WORD], name[WORD];
	int rc = RC_OK;

	while (rc == RC_OK && (text = strstr(text, create)) != NULL) {
		text += sizeof create - 1;
		if (sscanf(text, "%319[a-z].%319[a-z_]` (", dataset, name) != 2)
			die(RC_INTERNAL, NULL, "a table's text");
		text = strchr(text, '(') + 1;
		rc = complete_table(b,
		    strcmp(dataset, "ops") == 0 ? bq_ops(b) : bq_core(b), name,
		    text);
	}
	return rc;
}

/* ---- all of it ---- */

/* First the tables that are there: the views may name new columns of theirs. */
static int
run_file(struct load *l, const char *file)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	struct args a = {0};
	struct script sc;
	struct bq_job j;
	char id[BQ_ID];
	int rc;

	sql_text(&text, file);
	rc = complete_tables(l->b, buf_cstr(&text));
	if (rc == RC_OK) {
		script_init(&sc);
		script_add(&sc, text.p, 1, &a);
		bq_random_id(id, "bqload_setup");
		rc = script_run(l->b, &sc, id, true, &j);
		script_release(&sc);
		if (rc != RC_OK)
			warn_msg(file, "%s", bq_why(l->b));
	}
	buf_release(&text);
	return rc;
}

int
run_setup(struct load *l)
{
	const char *file;
	int rc = settle_dataset(l->b, bq_core(l->b));

	if (rc == RC_OK)
		rc = settle_dataset(l->b, bq_ops(l->b));
	for (unsigned i = 0; rc == RC_OK && (file = sql_tables(i)) != NULL; i++)
		rc = run_file(l, file);
	return rc;
}
