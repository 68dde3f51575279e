/* Staging what a SELECT gives, which never comes here. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "sha.h"
#include "stage.h"
#include "target.h"

enum { QUERY_MAX = 1 << 20 };

/* Its columns are those of a KPI record, of types that lose nothing. */
static int
check_columns(struct load *l, struct slot *s, const struct target *t)
{
	static const char *const exact[] = {"BIGNUMERIC", "NUMERIC", "INT64"};

	for (size_t i = 0; i < l->rows.n; i++) {
		const struct column *c = &l->rows.col[i];
		struct json_iter it;
		struct json_span f, name, type = {0};
		char word[64] = "";
		bool good = false;

		if (c->given)
			continue;
		json_iter_init(&it, &t->fields);
		while (type.type == JSON_ABSENT && json_next_element(&it, &f)) {
			name = json_member(&f, "name");
			if (json_is(&name, c->name, c->len))
				type = json_member(&f, "type");
		}
		if (type.type == JSON_STRING && type.len < sizeof word)
			word[json_decode(&type, word)] = '\0';
		good = strcasecmp(type_word(word), type_word(c->type)) == 0;
		for (size_t k = 0; c->kind == COL_BIGNUMERIC && k < 3; k++)
			good =
			    good || strcasecmp(type_word(word), exact[k]) == 0;
		if (!good)
			return slot_say(s, RC_CONTRACT,
			    "column %s of the query is %s, not %s", c->name,
			    *word == '\0' ? "missing" : word, c->type);
	}
	return RC_OK;
}

static int
on_differ(void *ctx, const char *text, size_t len)
{
	struct json_span row = {
	    .p = text, .len = (uint32_t)len, .type = JSON_OBJECT};
	struct json_span v = json_member(&row, "differ");

	return json_i64(&v, ctx) ? RC_OK : RC_CONTRACT;
}

/* Is it what is visible? Without digests of rows, the service compares. */
static int
same_rows(struct load *l, const struct gens *g, struct slot *s, int64_t *same)
{
	const struct slot *seen = gens_visible(g, s);
	struct args a = {.slot = s, .p = &l->run.policy};
	int64_t differ = 1;
	char id[BQ_ID];
	int rc;

	*same = 0;
	if (l->run.policy.force || seen == NULL ||
	    !policy_alike(s, seen, &l->run.policy))
		return RC_OK;
	bq_random_id(id, "bqload_same");
	rc = script_rows(l->b, "same", id, &a, on_differ, &differ);
	if (rc != RC_OK)
		return slot_fail(s, l->b, rc, "not compared");
	if (differ == 0)
		*same = seen->generation;
	return RC_OK;
}

static int
query_into(
    struct load *l, struct slot *s, const struct buf *sql, const char *digest)
{
	const char *parts[] = {bq_project(l->b), STAGE_DATASET(l),
	    bq_born(l->b), s->stage, digest};
	struct bq_query q = {
	    .sql = sql->p, .dataset = STAGE_DATASET(l), .table = s->stage};
	struct bq_estimate e = {0};
	struct target t;
	struct bq_job j;
	char id[BQ_ID];
	int rc = bq_dry_run(l->b, &q, &e);

	if (rc == RC_OK && !l->run.f.quiet)
		warn_msg("--query",
		    "about %" PRIu64 " bytes will be read, more than %" PRIu64
		    " are not billed",
		    e.bytes, bq_max_bytes(l->b));
	bq_job_id(id, "bqload_query", parts, sizeof parts / sizeof *parts);
	if (rc == RC_OK) {
		rc = bq_query_run(l->b, &q, id, true, &j);
	}
	if (rc == RC_OK)
		rc = target_get(&t, l->b, STAGE_DATASET(l), s->stage);
	if (rc == RC_NOTREADY)
		rc = bq_fail(l->b, RC_CONTRACT, "its stage table is gone");
	if (rc != RC_OK)
		return slot_fail(s, l->b, rc, "the query failed");
	s->rows = s->records = t.rows;
	rc = check_columns(l, s, &t);
	target_release(&t);
	if (rc == RC_OK && target_expire(l->b, STAGE_DATASET(l), s->stage,
			       STAGE_DAYS) != RC_OK)
		rc = slot_fail(s, l->b, RC_TRANSIENT, "not staged");
	return rc;
}

static int
query_slot(
    struct load *l, const struct gens *g, struct slot *s, const struct buf *sql)
{
	unsigned char d[SHA_LEN];
	char hex[SHA_HEX + 1];
	char *content;
	int64_t same = 0;
	int rc;

	sha256_one(sql->p, strlen(sql->p), d);
	sha_hex(d, hex);
	content = xasprintf("%s %s", hex, g->digest);
	s->generation = stage_number(g, s, l->run.policy.fingerprint);
	stage_name(s, content);
	free(content);
	rc = query_into(l, s, sql, g->digest);
	if (rc == RC_OK)
		rc = stage_check(l, g, s);
	if (rc == RC_OK)
		rc = check_rows(l, s);
	if (rc == RC_OK)
		rc = same_rows(l, g, s, &same);
	if (rc == RC_FINDINGS)
		rc = RC_CONTRACT;
	if (rc != RC_OK)
		return loader_refuse(&l->run, rc, "not written");
	if (same == 0)
		return stage_settle(l, g, &s, 1);
	target_drop(l->b, STAGE_DATASET(l), s->stage);
	return stage_unchanged(l, g, &s, 1, same);
}

int
stage_query(struct load *l, const char *file)
{
	struct buf text = BUF_INIT(QUERY_MAX), sql = BUF_INIT(QUERY_MAX);
	struct loader *run = &l->run;
	char *batch = xasprintf("%s.%s.%s", run->source, run->feed, run->date);
	struct slot *s = receipt_slot(&run->receipt, run->table, run->source,
	    run->feed, run->date, run->batch != NULL ? run->batch : batch);
	struct gens g = {0};
	int rc;

	slot_set(&s->run_id, run->run_id);
	if (run->fetched_at != NULL)
		slot_set(&s->fetched_at, run->fetched_at);
	rc = file_read(file, QUERY_MAX / 2, &text);
	if (rc == RC_OK) {
		bq_sql(l->b, text.p, text.len, &sql);
		buf_cstr(&sql);
		rc = gens_look(
		    &g, l->b, s->batch, (const char *const *)&s->date, 1);
	}
	if (rc == RC_OK)
		rc = query_slot(l, &g, s, &sql);
	gens_release(&g);
	buf_release(&text);
	buf_release(&sql);
	free(batch);
	return rc_graver(rc, run->status);
}
