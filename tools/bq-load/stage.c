/* Staging: rows go into their stage tables, and the batch is entered. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "load.h"
#include "mem.h"
#include "sql.h"
#include "target.h"

/* One statement publishes them all. */
enum { PARTS_MAX = 100, SALTS = 3, QUERY_MAX = 1 << 20, SCHEMA_MAX = 1 << 20 };

#define STAGE_DATASET(l) bq_ops((l)->b)

/* ---- generations ---- */

/*
 * What was staged or aborted is replaced; so is a quarantined one made of the
 * same things, for a run that is repeated comes to the same numbers.
 */
static int64_t
next_generation(
    const struct gens *g, const struct slot *like, const char *fingerprint)
{
	int64_t last = 0;

	for (size_t i = 0; i < g->r.n; i++) {
		const struct slot *s = g->r.slot[i];
		bool same = slot_is(s, "quarantined") && *fingerprint != '\0' &&
			    strcmp(s->fingerprint, fingerprint) == 0;

		if (strcmp(s->batch, like->batch) == 0 &&
		    strcmp(s->table, like->table) == 0 &&
		    !slot_is(s, "staged") && !slot_is(s, "aborted") && !same &&
		    s->generation > last)
			last = s->generation;
	}
	return last + 1;
}

/* All of them are equal to one generation that is visible: its number. */
static int64_t
equal_generation(
    const struct load *l, const struct gens *g, struct slot *const *s, size_t n)
{
	int64_t same = 0;

	for (size_t i = 0; i < n; i++) {
		const struct slot *seen = gens_visible(g, s[i]);

		if (seen == NULL || !policy_alike(s[i], seen, &l->run.policy) ||
		    *seen->checksum == '\0' ||
		    strcmp(s[i]->checksum, seen->checksum) != 0 ||
		    (i > 0 && seen->generation != same))
			return 0;
		same = seen->generation;
	}
	return same;
}

/* The visible generation was fetched again: the later time is kept. */
static int
keep_time(struct load *l, const struct gens *g, const struct slot *s)
{
	const struct slot *seen = gens_visible(g, s);
	struct args a = {.slot = s, .p = &l->run.policy};
	int64_t mine, its;
	struct script sc;
	struct bq_job j;
	char id[BQ_ID];
	int rc;

	if (s->fetched_at == NULL || seen == NULL ||
	    !time_parse(s->fetched_at, strlen(s->fetched_at), &mine) ||
	    (seen->fetched_at != NULL &&
		time_parse(seen->fetched_at, strlen(seen->fetched_at), &its) &&
		mine <= its))
		return RC_OK;
	script_init(&sc);
	script_file(&sc, "seen", NULL, 1, &a);
	script_id(l->b, &sc, "bqload_seen", g->digest, id);
	rc = script_run(l->b, &sc, id, true, &j);
	script_release(&sc);
	if (rc != RC_OK)
		warn_msg(s->batch, "cannot note when it was fetched: %s",
		    bq_why(l->b));
	return rc;
}

static int
unchanged(struct load *l, const struct gens *g, struct slot *const *s, size_t n,
    int64_t generation)
{
	int rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		s[i]->generation = generation;
		s[i]->state = "published";
		s[i]->unchanged = true;
		rc = keep_time(l, g, s[i]);
	}
	return rc;
}

/* ---- the stage tables ---- */

/* By what is in it, so that a table that is there is the right one. */
static void
name_stage(struct slot *s, const char *content)
{
	const char *parts[] = {
	    s->table, s->batch, s->source, s->feed, s->date, content};
	char id[BQ_ID], name[BQ_ID + 32];

	bq_job_id(id, "stage", parts, sizeof parts / sizeof *parts);
	id[sizeof "stage_" - 1 + 32] = '\0';
	snprintf(name, sizeof name, "%s_%" PRId64, id, s->generation);
	slot_set(&s->stage, name);
}

/* RC_OK: the table holds that many rows; RC_FINDINGS: it does not. */
static int
look_at_stage(struct load *l, struct slot *s, uint64_t rows)
{
	struct target t;
	int rc = target_get(&t, l->b, STAGE_DATASET(l), s->stage);
	bool good = rc == RC_OK && t.rows == rows;

	if (rc != RC_OK)
		return rc;
	if (good && t.expires == 0)
		rc =
		    target_expire(l->b, STAGE_DATASET(l), s->stage, STAGE_DAYS);
	target_release(&t);
	return rc != RC_OK ? rc : good ? RC_OK : RC_FINDINGS;
}

/*
 * A job of this id may be one of long ago, whose table is gone: then another.
 */
static int
load_stage(struct load *l, struct slot *s, struct bq_pack *pack,
    const struct buf *schema, const char *digest)
{
	int rc = RC_FINDINGS;

	for (unsigned salt = 0; rc == RC_FINDINGS && salt < SALTS; salt++) {
		const char number[] = {(char)('0' + salt), '\0'};
		const char *parts[] = {bq_project(l->b), STAGE_DATASET(l),
		    bq_born(l->b), s->stage, pack->plain, digest, number};
		char id[BQ_ID];
		struct bq_load in = {.base = id,
		    .dataset = STAGE_DATASET(l),
		    .table = s->stage,
		    .schema = schema,
		    .pack = pack,
		    .state = l->state};
		struct bq_job j;

		bq_job_id(id, "bqload", parts, sizeof parts / sizeof *parts);
		rc = bq_load_run(l->b, &in, &j);
		if (rc == RC_OK)
			rc = look_at_stage(l, s, pack->rows);
		if (rc == RC_FINDINGS && !j.found)
			rc = bq_fail(l->b, RC_CONTRACT,
			    "its stage table does not have the rows that were "
			    "loaded");
	}
	return rc == RC_FINDINGS
		   ? bq_fail(l->b, RC_CONTRACT, "its stage table is gone")
		   : rc;
}

/* The rows are in the stage table afterwards. */
static int
fill_stage(
    struct load *l, struct slot *s, struct bq_pack *pack, const char *digest)
{
	struct buf schema = BUF_INIT(SCHEMA_MAX);
	int rc;

	name_stage(s, pack->plain);
	rc = look_at_stage(l, s, pack->rows);
	rows_schema(&l->rows, &schema);
	if (rc == RC_NOTREADY) {
		rc = target_make(
		    l->b, STAGE_DATASET(l), s->stage, &schema, STAGE_DAYS);
		if (rc == RC_OK && pack->rows > 0)
			rc = RC_FINDINGS;
	}
	if (rc == RC_FINDINGS)
		rc = load_stage(l, s, pack, &schema, digest);
	buf_release(&schema);
	return rc == RC_OK ? rc : slot_fail(s, l->b, rc, "not loaded");
}

/* ---- entering ---- */

static void
enter_slot(struct script *sc, struct load *l, const struct slot *s, unsigned k)
{
	const char *p = s->lineage.p;
	const char *end = p == NULL ? NULL : p + s->lineage.len;
	struct args a = {.slot = s, .p = &l->run.policy};
	unsigned i = 0;

	script_file(sc, "enter", "\n-- each partition\n", k, &a);
	buf_char(&sc->text, '\n');
	while (p != end) {
		a.kind = p;
		a.ref = p + strlen(p) + 1;
		/* each statement has parameters of its own */
		script_file(sc, "lineage", NULL, k * 1000 + i++, &a);
		p = a.ref + strlen(a.ref) + 1;
	}
}

/* Stage tables that what was entered has taken the place of. */
static void
drop_old(struct load *l, const struct gens *g, struct slot *const *s, size_t n)
{
	for (size_t i = 0; i < g->r.n; i++) {
		const struct slot *old = g->r.slot[i];
		bool used = strcmp(old->batch, s[0]->batch) != 0 ||
			    old->stage == NULL ||
			    !(slot_is(old, "staged") ||
				(slot_is(old, "quarantined") &&
				    old->generation >= s[0]->generation));

		for (size_t k = 0; !used && k < n; k++)
			used = strcmp(old->stage, s[k]->stage) == 0;
		if (!used)
			target_drop(l->b, STAGE_DATASET(l), old->stage);
	}
}

static int
enter(struct load *l, const struct gens *g, struct slot **s, size_t n)
{
	struct args a = {.slot = s[0], .p = &l->run.policy};
	struct script sc;
	struct bq_job j;
	char id[BQ_ID];
	int rc;

	script_init(&sc);
	buf_str(&sc.text, "BEGIN TRANSACTION;\n");
	script_file(&sc, "enter", "BEGIN TRANSACTION;\n", 1, &a);
	for (size_t i = 0; i < n; i++)
		enter_slot(&sc, l, s[i], (unsigned)i + 1);
	buf_str(&sc.text, "COMMIT TRANSACTION;\n");
	script_id(l->b, &sc, "bqload_enter", g->digest, id);
	rc = script_run(l->b, &sc, id, true, &j);
	script_release(&sc);
	if (rc != RC_OK)
		return slot_fail(s[0], l->b, rc, "not staged");
	for (size_t i = 0; i < n; i++)
		s[i]->state = "staged";
	drop_old(l, g, s, n);
	return RC_OK;
}

/* ---- a batch ---- */

static int
settle(struct load *l, const struct gens *g, struct slot **s, size_t n)
{
	int status = RC_OK, rc;

	rc = enter(l, g, s, n);
	if (rc != RC_OK)
		return loader_refuse(&l->run, rc, "not written");
	if (l->run.stage)
		return RC_OK;
	rc = publish_slots(l, g, s, n, &status);
	if (rc == RC_FINDINGS) {
		l->run.status = rc_graver(l->run.status, status);
		rc = RC_OK;
	}
	return rc;
}

static int
check_slot(struct load *l, const struct gens *g, struct slot *s)
{
	if (s->outcome == OUTCOME_COMPLETE && s->rows == 0)
		s->outcome = OUTCOME_EMPTY;
	return policy_empty(s, gens_visible(g, s), &l->run.policy);
}

static int
stage_slots(struct load *l, const struct gens *g, struct slot **s, size_t n)
{
	int rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = fill_stage(l, s[i], &l->pack[i], g->digest);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = check_rows(l, s[i]);
	return rc == RC_FINDINGS ? RC_CONTRACT : rc;
}

int
stage_batch(struct load *l, struct slot **s, size_t n)
{
	const char *dates[PARTS_MAX] = {NULL};
	struct gens g = {0};
	int64_t same = 0;
	int rc = RC_OK;

	if (n > PARTS_MAX) {
		warn_msg(s[0]->batch, "more than %d partitions in one batch",
		    PARTS_MAX);
		return loader_refuse(
		    &l->run, RC_CONTRACT, "too many partitions");
	}
	for (size_t i = 0; i < n; i++)
		dates[i] = s[i]->date;
	rc = gens_look(&g, l->b, s[0]->batch, dates, n);
	for (size_t i = 0; rc == RC_OK && i < n; i++) {
		s[i]->generation =
		    next_generation(&g, s[0], l->run.policy.fingerprint);
		rc = check_slot(l, &g, s[i]);
	}
	if (rc == RC_OK && !l->run.policy.force)
		same = equal_generation(l, &g, s, n);
	if (rc == RC_OK && same == 0)
		rc = stage_slots(l, &g, s, n);
	if (rc != RC_OK)
		rc = loader_refuse(&l->run, rc, "not written");
	else if (same != 0)
		rc = unchanged(l, &g, s, n, same);
	else
		rc = settle(l, &g, s, n);
	gens_release(&g);
	return rc;
}

/* ---- what a SELECT gives ---- */

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
	s->generation = next_generation(g, s, l->run.policy.fingerprint);
	name_stage(s, content);
	free(content);
	rc = query_into(l, s, sql, g->digest);
	if (rc == RC_OK)
		rc = check_slot(l, g, s);
	if (rc == RC_OK)
		rc = check_rows(l, s);
	if (rc == RC_OK)
		rc = same_rows(l, g, s, &same);
	if (rc == RC_FINDINGS)
		rc = RC_CONTRACT;
	if (rc != RC_OK)
		return loader_refuse(&l->run, rc, "not written");
	if (same == 0)
		return settle(l, g, &s, 1);
	target_drop(l->b, STAGE_DATASET(l), s->stage);
	return unchanged(l, g, &s, 1, same);
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
