/* Staging: rows of a partition become a generation. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "batch.h"
#include "date.h"
#include "diag.h"
#include "exits.h"
#include "gens.h"

enum { SQL_MAX = 1 << 20 };

int
gens_delete_rows(struct table *t, const struct slot *s)
{
	struct buf sql = BUF_INIT(SQL_MAX);
	int rc;

	buf_str(&sql, "DELETE FROM ");
	db_name(&sql, t->store);
	buf_str(&sql, " WHERE ");
	table_at(&sql, "", 1);
	rc = db_run(t->db, buf_cstr(&sql), "tttti", ROWS_ARGS(s));
	buf_release(&sql);
	return rc;
}

static int
delete_generation(struct table *t, const struct slot *s)
{
	int rc = gens_delete_rows(t, s);

	if (rc == RC_OK)
		rc = db_run(
		    t->db, "DELETE FROM batches" THIS, "ttittt", THIS_ARGS(s));
	if (rc == RC_OK)
		rc = db_run(
		    t->db, "DELETE FROM lineage" THIS, "ttittt", THIS_ARGS(s));
	return rc;
}

/*
 * What was staged or aborted is replaced; so is a quarantined one made of the
 * same things, for a run that is repeated comes to the same numbers.
 */
int
batch_fresh(struct table *t, const char *batch, const char *fingerprint,
    int64_t *generation)
{
	struct receipt old = {0};
	sqlite3_stmt *st;
	int rc = db_query(t->db, &st,
	    SLOTS " WHERE batch_id = ?1 AND table_name = ?2"
		  " AND (state IN ('staged', 'aborted')"
		  " OR (state = 'quarantined' AND fingerprint = ?3"
		  " AND ?3 <> ''))",
	    "ttt", batch, t->name, fingerprint);

	if (rc == RC_OK)
		rc = gens_read(t->db, &old, st);
	for (size_t i = 0; rc == RC_OK && i < old.n; i++)
		rc = delete_generation(t, old.slot[i]);
	receipt_release(&old);
	if (rc != RC_OK)
		return rc;
	return db_int(t->db, generation, 1,
	    "SELECT max(generation) + 1 FROM batches"
	    " WHERE batch_id = ?1 AND table_name = ?2",
	    "tt", batch, t->name);
}

/* Has a row that is brought over a key that the new ones have? */
static int
check_append(struct table *t, struct slot *s, const struct slot *from)
{
	struct buf sql = BUF_INIT(SQL_MAX);
	sqlite3_stmt *st;
	int rc;

	buf_str(&sql, "SELECT 1 FROM ");
	db_name(&sql, t->store);
	buf_str(&sql, " o JOIN ");
	db_name(&sql, t->store);
	buf_str(&sql, " n ON n.source_system = o.source_system"
		      " AND n.feed = o.feed AND n.date = o.date"
		      " AND n.batch_id = ?6 AND n.generation = ?7");
	table_key_equal(t, &sql, "n", "o");
	buf_str(&sql, " WHERE ");
	table_at(&sql, "o.", 1);
	buf_str(&sql, " LIMIT 1");
	rc = db_query(t->db, &st, buf_cstr(&sql), "ttttiti", ROWS_ARGS(from),
	    s->batch, s->generation);
	buf_release(&sql);
	if (rc == RC_OK)
		rc = db_step(t->db, st);
	sqlite3_finalize(st);
	if (rc == RC_OK)
		return slot_say(s, RC_CONTRACT, "a key is there already");
	return rc == RC_NOTREADY ? RC_OK : rc;
}

/* Brings the visible rows over that the new generation does not have. */
static int
carry_over(
    struct table *t, struct slot *s, const struct slot *from, enum mode mode)
{
	struct buf sql = BUF_INIT(SQL_MAX);
	int64_t before = db_changes(t->db);
	int rc = RC_OK;

	if (mode == MODE_APPEND && t->has_key)
		rc = check_append(t, s, from);
	if (rc != RC_OK)
		return rc;
	buf_str(&sql,
	    mode == MODE_UPSERT ? "INSERT OR IGNORE INTO " : "INSERT INTO ");
	db_name(&sql, t->store);
	buf_str(&sql, " (source_system, feed, date, batch_id, generation, ");
	table_columns(t, &sql, "", false);
	buf_str(&sql, ") SELECT ?1, ?2, ?3, ?6, ?7, ");
	table_columns(t, &sql, "", false);
	buf_str(&sql, " FROM ");
	db_name(&sql, t->store);
	buf_str(&sql, " WHERE ");
	table_at(&sql, "", 1);
	rc = db_run(t->db, buf_cstr(&sql), "ttttiti", ROWS_ARGS(from), s->batch,
	    s->generation);
	buf_release(&sql);
	s->rows += (uint64_t)(db_changes(t->db) - before);
	return rc;
}

static int
mark_partial(struct table *t, const struct slot *s)
{
	if (!t->kpi || s->outcome != OUTCOME_PARTIAL)
		return RC_OK;
	return db_run(t->db,
	    "UPDATE fact_kpi_daily_rows SET quality = 'partial'"
	    " WHERE source_system = ?1 AND feed = ?2 AND date = ?3"
	    " AND batch_id = ?4 AND generation = ?5"
	    " AND (quality IS NULL OR quality NOT GLOB '[[{]*')",
	    "tttti", ROWS_ARGS(s));
}

/* No key of the new rows may be that of another feed. */
int
gens_check_feeds(struct table *t, struct slot *s)
{
	struct buf sql = BUF_INIT(SQL_MAX);
	char a[DIAG_QUOTE], b[DIAG_QUOTE];
	sqlite3_stmt *st;
	int rc;

	if (!t->has_key)
		return RC_OK;
	buf_str(&sql, "SELECT v.feed, v.batch_id FROM batches v CROSS JOIN ");
	db_name(&sql, t->store);
	buf_str(&sql, " n JOIN ");
	db_name(&sql, t->store);
	buf_str(&sql, " o ON o.source_system = v.source_system"
		      " AND o.feed = v.feed AND o.date = v.date"
		      " AND o.batch_id = v.batch_id"
		      " AND o.generation = v.generation");
	table_key_equal(t, &sql, "o", "n");
	buf_str(&sql, " WHERE v.table_name = ?6 AND v.state = 'published'"
		      " AND v.source_system = ?1 AND v.feed <> ?2"
		      " AND v.date = ?3 AND ");
	table_at(&sql, "n.", 1);
	buf_str(&sql, " LIMIT 1");
	rc = db_query(
	    t->db, &st, buf_cstr(&sql), "ttttit", ROWS_ARGS(s), t->name);
	buf_release(&sql);
	if (rc == RC_OK)
		rc = db_step(t->db, st);
	if (rc == RC_OK)
		rc = slot_say(s, RC_CONTRACT,
		    "feed %s has a key that feed %s has too (batch %s)",
		    diag_quote(a, s->feed, strlen(s->feed)),
		    diag_quote(b, db_text(st, 0), strlen(db_text(st, 0))),
		    db_text(st, 1));
	sqlite3_finalize(st);
	return rc == RC_NOTREADY ? RC_OK : rc;
}

static int
enter_lineage(struct table *t, const struct slot *s)
{
	const char *p = s->lineage.p, *end = p + s->lineage.len;
	int rc = RC_OK;

	while (rc == RC_OK && s->lineage.len > 0 && p < end) {
		const char *ref = p + strlen(p) + 1;

		rc = db_run(t->db,
		    "INSERT OR REPLACE INTO lineage (table_name, batch_id,"
		    " generation, source_system, feed, date, kind, ref)"
		    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
		    "ttitttt"
		    "t",
		    THIS_ARGS(s), p, ref);
		p = ref + strlen(ref) + 1;
	}
	return rc;
}

static int
enter(struct table *t, struct slot *s, const struct slot *seen,
    const struct policy *p)
{
	char at[TIME_LEN + 1], gen[24] = "";
	const char *quality =
	    s->outcome == OUTCOME_PARTIAL ? "partial" : s->quality;
	bool base = seen != NULL && strcmp(s->mode, "replace") != 0;
	int rc;

	if (base)
		snprintf(gen, sizeof gen, "%" PRId64, seen->generation);
	rc = db_run(t->db,
	    "INSERT INTO batches (table_name, batch_id, generation,"
	    " source_system, feed, date, day_tz, state, outcome, mode, rows,"
	    " rejected, quality, checksum, fingerprint, input_sha256,"
	    " replaces_batch, replaces_generation, run_id, fetched_at,"
	    " staged_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'staged', ?8, ?9,"
	    " ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
	    "ttittttttii"
	    "ttttttttt",
	    THIS_ARGS(s), s->day_tz, outcome_word(s->outcome), s->mode,
	    (int64_t)s->rows, (int64_t)s->rejected, quality, s->checksum,
	    p->fingerprint, s->input_sha256, base ? seen->batch : NULL,
	    base ? gen : NULL, s->run_id, s->fetched_at, gens_now(at));
	return rc == RC_OK ? enter_lineage(t, s) : rc;
}

int
batch_stage(
    struct table *t, struct slot *s, enum mode mode, const struct policy *p)
{
	struct receipt r = {0};
	struct slot *seen;
	uint64_t rows;
	int rc = gens_visible(t->db, s, &r);

	seen = r.n > 0 ? r.slot[0] : NULL;
	s->mode = mode_word(mode);
	if (rc == RC_OK && seen != NULL && mode != MODE_REPLACE)
		rc = carry_over(t, s, seen, mode);
	if (rc == RC_OK && s->outcome == OUTCOME_COMPLETE && s->rows == 0)
		s->outcome = OUTCOME_EMPTY;
	if (rc == RC_OK)
		rc = mark_partial(t, s);
	if (rc == RC_OK)
		rc = gens_checksum(t, s, s->checksum, &rows);
	if (rc == RC_OK) {
		s->rows = rows; /* with upsert a key may have come twice */
		rc = policy_empty(s, seen, p);
	}
	if (rc == RC_OK)
		rc = gens_check_feeds(t, s);
	if (rc == RC_OK)
		rc = enter(t, s, seen, p);
	if (rc == RC_OK)
		s->state = "staged";
	receipt_release(&r);
	return rc;
}

static bool
equal(const struct slot *s, const struct slot *seen, const struct policy *p)
{
	return policy_alike(s, seen, p) &&
	       strcmp(s->checksum, seen->checksum) == 0;
}

int
batch_equal(struct table *t, struct slot *const *s, size_t n,
    const struct policy *p, int64_t *generation)
{
	int rc = RC_OK;
	bool all = n > 0;

	*generation = 0;
	for (size_t i = 0; rc == RC_OK && all && i < n; i++) {
		struct receipt r = {0};

		rc = gens_visible(t->db, s[i], &r);
		all = rc == RC_OK && r.n > 0 && equal(s[i], r.slot[0], p) &&
		      (i == 0 || *generation == r.slot[0]->generation);
		*generation = all ? r.slot[0]->generation : 0;
		receipt_release(&r);
	}
	return rc;
}

int
batch_seen(struct table *t, const struct slot *s)
{
	return db_run(t->db,
	    "UPDATE batches SET fetched_at = max(coalesce(fetched_at, ?7), "
	    "?7)" THIS " AND ?7 IS NOT NULL",
	    "ttitttt", THIS_ARGS(s), s->fetched_at);
}
