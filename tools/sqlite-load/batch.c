#include "batch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sys.h"

enum { SQL_MAX = 1 << 20, REASON_MAX = 1400, MS = 1000000 };

/* A generation of a partition, parameters 1 to 6. */
#define THIS                                                           \
	" WHERE table_name = ?1 AND batch_id = ?2 AND generation = ?3" \
	" AND source_system = ?4 AND feed = ?5 AND date = ?6"
#define THIS_ARGS(s)                                                     \
	(s)->table, (s)->batch, (s)->generation, (s)->source, (s)->feed, \
	    (s)->date
/* Its rows, parameters 1 to 5 in the order of table_at. */
#define ROWS_ARGS(s) \
	(s)->source, (s)->feed, (s)->date, (s)->batch, (s)->generation

#define SLOTS                                                                  \
	"SELECT table_name, source_system, feed, date, batch_id, generation,"  \
	" state, outcome, mode, rows, rejected, checksum, fetched_at, day_tz," \
	" run_id, fingerprint, replaces_batch, replaces_generation"            \
	" FROM batches"

static const char *
now(char text[TIME_LEN + 1])
{
	time_format(sys_real_ns() / MS, text);
	return text;
}

/* Says why a partition is refused or stays staged, and keeps it. */
static int __attribute__((format(printf, 3, 4)))
refuse(struct slot *s, int status, const char *fmt, ...)
{
	char why[REASON_MAX], a[DIAG_QUOTE], b[DIAG_QUOTE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	warn_msg(s->batch, "partition %s %s %s: %s",
	    diag_quote(a, s->source, strlen(s->source)),
	    diag_quote(b, s->feed, strlen(s->feed)), s->date, why);
	slot_set(&s->reason, why);
	return status;
}

/* ---- reading generations ---- */

static const char *
word_of(const char *text)
{
	static const char *const words[] = {"staged", "published", "replaced",
	    "rolled_back", "quarantined", "aborted", "replace", "upsert",
	    "append"};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(words[i], text) == 0)
			return words[i];
	return "";
}

static bool
is(const struct slot *s, const char *state)
{
	return strcmp(s->state, state) == 0;
}

static void
read_slot(struct receipt *r, sqlite3_stmt *st)
{
	struct slot *s = receipt_slot(r, db_text(st, 0), db_text(st, 1),
	    db_text(st, 2), db_text(st, 3), db_text(st, 4));

	s->generation = sqlite3_column_int64(st, 5);
	s->state = word_of(db_text(st, 6));
	s->outcome = OUTCOME_COMPLETE;
	if (strcmp(db_text(st, 7), "empty") == 0)
		s->outcome = OUTCOME_EMPTY;
	else if (strcmp(db_text(st, 7), "partial") == 0)
		s->outcome = OUTCOME_PARTIAL;
	s->mode = word_of(db_text(st, 8));
	s->rows = s->records = (uint64_t)sqlite3_column_int64(st, 9);
	s->rejected = (uint64_t)sqlite3_column_int64(st, 10);
	snprintf(s->checksum, sizeof s->checksum, "%s", db_text(st, 11));
	if (sqlite3_column_type(st, 12) != SQLITE_NULL)
		slot_set(&s->fetched_at, db_text(st, 12));
	slot_set(&s->day_tz, db_text(st, 13));
	slot_set(&s->run_id, db_text(st, 14));
	slot_set(&s->fingerprint, db_text(st, 15));
	slot_set(&s->base_batch, db_text(st, 16));
	s->base_generation = sqlite3_column_int64(st, 17);
}

static int
read_slots(struct db *d, struct receipt *r, sqlite3_stmt *st)
{
	int rc;

	while ((rc = db_step(d, st)) == RC_OK)
		read_slot(r, st);
	sqlite3_finalize(st);
	return rc == RC_NOTREADY ? RC_OK : rc;
}

/* The visible generation of the partition of s: r gets it, or nothing. */
static int
visible(struct db *d, const struct slot *s, struct receipt *r)
{
	sqlite3_stmt *st;
	int rc = db_query(d, &st,
	    SLOTS " WHERE table_name = ?1 AND date = ?2 AND source_system = ?3"
		  " AND feed = ?4 AND state = 'published'",
	    "tttt", s->table, s->date, s->source, s->feed);

	return rc == RC_OK ? read_slots(d, r, st) : rc;
}

static int
one(struct db *d, const struct slot *like, const char *batch,
    int64_t generation, struct receipt *r)
{
	sqlite3_stmt *st;
	int rc = db_query(d, &st, SLOTS THIS, "ttittt", like->table, batch,
	    generation, like->source, like->feed, like->date);

	return rc == RC_OK ? read_slots(d, r, st) : rc;
}

/* ---- checksum ---- */

static bool
volatile_name(const char *name)
{
	size_t n = strlen(name);

	return strcmp(name, "run_id") == 0 ||
	       (n > 3 && strcmp(name + n - 3, "_at") == 0);
}

static void
add_bytes(XXH3_state_t *sum, char type, const void *p, size_t n)
{
	uint64_t len = n;

	XXH3_128bits_update(sum, &type, 1);
	XXH3_128bits_update(sum, &len, sizeof len);
	XXH3_128bits_update(sum, p, n);
}

static void
add_row(XXH3_state_t *sum, sqlite3_stmt *st)
{
	for (int i = 0; i < sqlite3_column_count(st); i++) {
		int64_t n;
		double x;

		switch (sqlite3_column_type(st, i)) {
		case SQLITE_INTEGER:
			n = sqlite3_column_int64(st, i);
			add_bytes(sum, 'i', &n, sizeof n);
			break;
		case SQLITE_FLOAT:
			x = sqlite3_column_double(st, i);
			add_bytes(sum, 'r', &x, sizeof x);
			break;
		case SQLITE_NULL:
			add_bytes(sum, 'n', "", 0);
			break;
		default:
			add_bytes(sum, 't', sqlite3_column_text(st, i),
			    (size_t)sqlite3_column_bytes(st, i));
			break;
		}
	}
}

static void
checksum_sql(const struct table *t, struct buf *sql)
{
	const char *comma = "";

	buf_str(sql, "SELECT ");
	for (size_t i = 0; i < t->n; i++) {
		if (t->col[i].managed != OWN || volatile_name(t->col[i].name))
			continue;
		buf_str(sql, comma);
		db_name(sql, t->col[i].name);
		comma = ", ";
	}
	buf_str(sql, *comma == '\0' ? "1 FROM " : " FROM ");
	db_name(sql, t->store);
	buf_str(sql, " WHERE ");
	table_at(sql, "", 1);
	comma = " ORDER BY ";
	for (size_t i = 0; i < t->n; i++) {
		if (t->col[i].managed != OWN || (t->has_key && !t->col[i].key))
			continue;
		buf_str(sql, comma);
		db_name(sql, t->col[i].name);
		comma = ", ";
	}
}

static int
checksum(struct table *t, const struct slot *s, char hex[33], uint64_t *rows)
{
	struct buf sql = BUF_INIT(SQL_MAX);
	XXH3_state_t *sum = XXH3_createState();
	sqlite3_stmt *st;
	XXH128_hash_t h;
	int rc;

	if (sum == NULL || XXH3_128bits_reset(sum) != XXH_OK)
		die(RC_OSERR, NULL, "out of memory");
	checksum_sql(t, &sql);
	rc = db_query(t->db, &st, buf_cstr(&sql), "tttti", ROWS_ARGS(s));
	buf_release(&sql);
	*rows = 0;
	while (rc == RC_OK && (rc = db_step(t->db, st)) == RC_OK) {
		add_row(sum, st);
		++*rows;
	}
	sqlite3_finalize(st);
	h = XXH3_128bits_digest(sum);
	XXH3_freeState(sum);
	snprintf(hex, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64,
	    (uint64_t)h.low64);
	return rc == RC_NOTREADY ? RC_OK : rc;
}

/* The rows are still those that were staged. */
static int
intact(struct table *t, struct slot *s)
{
	char hex[33];
	uint64_t rows;
	int rc = checksum(t, s, hex, &rows);

	if (rc != RC_OK || (rows == s->rows && strcmp(hex, s->checksum) == 0))
		return rc;
	return refuse(s, RC_CONTRACT,
	    "generation %" PRId64 " is damaged: its rows are not those that "
	    "were staged; move the database away and rebuild it from raw",
	    s->generation);
}

/* ---- staging ---- */

static int
delete_rows(struct table *t, const struct slot *s)
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
	int rc = delete_rows(t, s);

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
		rc = read_slots(t->db, &old, st);
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
		return refuse(s, RC_CONTRACT, "a key is there already");
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

static bool
without_rows(const struct slot *s)
{
	return s->outcome == OUTCOME_EMPTY || s->rows == 0;
}

static int
check_empty(struct slot *s, const struct slot *seen, const struct policy *p)
{
	if (seen == NULL || p->allow_empty || !without_rows(s) ||
	    without_rows(seen))
		return RC_OK;
	return refuse(s, RC_CONTRACT,
	    "it is empty, the visible generation %" PRId64 " of %s has %" PRIu64
	    " rows (see --allow-empty)",
	    seen->generation, seen->batch, seen->rows);
}

/* No key of the new rows may be that of another feed. */
static int
check_feeds(struct table *t, struct slot *s)
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
		rc = refuse(s, RC_CONTRACT,
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
	    base ? gen : NULL, s->run_id, s->fetched_at, now(at));
	return rc == RC_OK ? enter_lineage(t, s) : rc;
}

int
batch_stage(
    struct table *t, struct slot *s, enum mode mode, const struct policy *p)
{
	struct receipt r = {0};
	struct slot *seen;
	uint64_t rows;
	int rc = visible(t->db, s, &r);

	seen = r.n > 0 ? r.slot[0] : NULL;
	s->mode = mode_word(mode);
	if (rc == RC_OK && seen != NULL && mode != MODE_REPLACE)
		rc = carry_over(t, s, seen, mode);
	if (rc == RC_OK && s->outcome == OUTCOME_COMPLETE && s->rows == 0)
		s->outcome = OUTCOME_EMPTY;
	if (rc == RC_OK)
		rc = mark_partial(t, s);
	if (rc == RC_OK)
		rc = checksum(t, s, s->checksum, &rows);
	if (rc == RC_OK) {
		s->rows = rows; /* with upsert a key may have come twice */
		rc = check_empty(s, seen, p);
	}
	if (rc == RC_OK)
		rc = check_feeds(t, s);
	if (rc == RC_OK)
		rc = enter(t, s, seen, p);
	if (rc == RC_OK)
		s->state = "staged";
	receipt_release(&r);
	return rc;
}

static bool
equal(const struct slot *a, const struct slot *seen, const struct policy *p)
{
	return strcmp(a->batch, seen->batch) == 0 && a->rows == seen->rows &&
	       a->outcome == seen->outcome && a->rejected == seen->rejected &&
	       strcmp(a->checksum, seen->checksum) == 0 &&
	       strcmp(p->fingerprint, seen->fingerprint) == 0;
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

		rc = visible(t->db, s[i], &r);
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

/* ---- publishing ---- */

static int
check_frozen(struct db *d, struct slot *s)
{
	sqlite3_stmt *st;
	char why[DIAG_QUOTE];
	int rc = db_query(d, &st,
	    "SELECT reason FROM freezes WHERE source_system IN ('', ?1)"
	    " AND feed IN ('', ?2) LIMIT 1",
	    "tt", s->source, s->feed);

	if (rc == RC_OK)
		rc = db_step(d, st);
	if (rc == RC_OK)
		rc = refuse(s, RC_TRANSIENT, "not published: frozen, %s",
		    diag_quote(why, db_text(st, 0), strlen(db_text(st, 0))));
	sqlite3_finalize(st);
	return rc == RC_NOTREADY ? RC_OK : rc;
}

static int
check_rejects(struct slot *s, const struct policy *p)
{
	uint64_t all = s->records + s->rejected;

	if (p->max_percent >= 0
		? (double)s->rejected * 100 <= p->max_percent * (double)all
		: s->rejected <= p->max_rejects)
		return RC_OK;
	return refuse(s, RC_CONTRACT,
	    "not published: %" PRIu64 " records were rejected on the way "
	    "(see --max-rejects)",
	    s->rejected);
}

static int
check_partial(struct slot *s, const struct slot *seen, const struct policy *p)
{
	if (s->outcome != OUTCOME_PARTIAL)
		return RC_OK;
	if (seen != NULL && seen->outcome != OUTCOME_PARTIAL)
		return refuse(s, RC_CONTRACT,
		    "not published: it is partial, the visible one is not");
	if (!p->allow_partial)
		return refuse(s, RC_CONTRACT,
		    "not published: it is partial (see --allow-partial)");
	return RC_OK;
}

static int
check_order(struct slot *s, const struct slot *seen, const struct policy *p)
{
	int64_t mine, its;

	if (seen == NULL || p->force || s->fetched_at == NULL ||
	    seen->fetched_at == NULL ||
	    !time_parse(s->fetched_at, strlen(s->fetched_at), &mine) ||
	    !time_parse(seen->fetched_at, strlen(seen->fetched_at), &its) ||
	    mine >= its)
		return RC_OK;
	return refuse(s, RC_CONTRACT,
	    "not published: fetched at %s, the visible one at %s (see --force)",
	    s->fetched_at, seen->fetched_at);
}

/* Rows were carried over from what was visible then. */
static int
check_base(struct slot *s, const struct slot *seen)
{
	if (strcmp(s->mode, "replace") == 0 || s->base_batch == NULL)
		return RC_OK;
	if (seen == NULL ? s->base_generation == 0
			 : s->base_generation == seen->generation &&
			       strcmp(s->base_batch, seen->batch) == 0)
		return RC_OK;
	return refuse(s, RC_TRANSIENT,
	    "not published: another generation became visible; stage it again");
}

static int
check_publish(struct db *d, struct slot *s, const struct slot *seen,
    const struct policy *p)
{
	int rc = check_frozen(d, s);

	if (rc == RC_OK)
		rc = check_rejects(s, p);
	if (rc == RC_OK)
		rc = check_partial(s, seen, p);
	if (rc == RC_OK)
		rc = check_empty(s, seen, p);
	if (rc == RC_OK)
		rc = check_order(s, seen, p);
	return rc == RC_OK ? check_base(s, seen) : rc;
}

/* How old the day was when it was fetched, in its own zone; NULL: unknown. */
static const char *
age_of(const struct slot *s, char text[24])
{
	struct zone *z;
	int64_t us, unix_s;
	int32_t day, fetched;

	if (s == NULL || s->fetched_at == NULL ||
	    !time_parse(s->fetched_at, strlen(s->fetched_at), &us) ||
	    !date_parse(s->date, strlen(s->date), &day))
		return NULL;
	unix_s = us / 1000000 - (us % 1000000 < 0);
	z = zone_open(*s->day_tz != '\0' ? s->day_tz : "UTC");
	if (z == NULL)
		return NULL;
	fetched = zone_day(z, unix_s);
	zone_close(z);
	snprintf(text, 24, "%d", (int)(fetched - day));
	return text;
}

#define KEYS_EQUAL                                             \
	" AND o.app_id = n.app_id AND o.platform = n.platform" \
	" AND o.metric = n.metric AND o.segment = n.segment"
#define OF_PARTITION(x) \
	x ".source_system = ?1 AND " x ".feed = ?2 AND " x ".date = ?3 AND "
#define OLD_ROWS OF_PARTITION("o") "o.batch_id = ?4 AND o.generation = ?5"
#define NEW_ROWS OF_PARTITION("n") "n.batch_id = ?6 AND n.generation = ?7"

/* What the change from old to new (NULL: nothing) did to the values. */
static int
restate(struct table *t, struct slot *s, const struct slot *old,
    const struct slot *new, const char *cause)
{
	char age[24], at[TIME_LEN + 1];
	int64_t before = db_changes(t->db);
	int rc;

	if (!t->kpi)
		return RC_OK;
	rc = db_run(t->db,
	    "INSERT INTO restatements (source_system, feed, date, app_id,"
	    " platform, metric, segment, cause, old_value, new_value,"
	    " old_batch, old_generation, new_batch, new_generation,"
	    " old_kpi_version, new_kpi_version, age_days, run_id, logged_at)"
	    " SELECT ?1, ?2, ?3, app_id, platform, metric, segment, ?8, was,"
	    " is_now, ?4, ?5, ?6, ?7, old_version, new_version, ?9, ?10, ?11"
	    " FROM (SELECT n.app_id, n.platform, n.metric, n.segment,"
	    " o.value AS was, n.value AS is_now, o.kpi_version AS old_version,"
	    " n.kpi_version AS new_version"
	    " FROM fact_kpi_daily_rows n LEFT JOIN fact_kpi_daily_rows o"
	    " ON " OLD_ROWS KEYS_EQUAL " WHERE " NEW_ROWS
	    " AND n.value IS NOT o.value AND NOT dec_same(n.value, o.value)"
	    " UNION ALL SELECT o.app_id, o.platform, o.metric, o.segment,"
	    " o.value, NULL, o.kpi_version, NULL FROM fact_kpi_daily_rows o"
	    " WHERE " OLD_ROWS " AND o.value IS NOT NULL"
	    " AND NOT EXISTS (SELECT 1 FROM fact_kpi_daily_rows n "
	    "WHERE " NEW_ROWS KEYS_EQUAL "))",
	    "ttttititttt", s->source, s->feed, s->date, old->batch,
	    old->generation, new != NULL ? new->batch : "",
	    new != NULL ? new->generation : (int64_t)0, cause, age_of(new, age),
	    s->run_id, now(at));
	s->restated = (uint64_t)(db_changes(t->db) - before);
	return rc;
}

static int
set_state(
    struct db *d, const struct slot *s, const char *state, const char *reason)
{
	char at[TIME_LEN + 1];

	return db_run(d,
	    "UPDATE batches SET state = ?7, reason = coalesce(?8, reason),"
	    " published_at = iif(?7 = 'published',"
	    "  coalesce(published_at, ?9), published_at),"
	    " replaced_at = iif(?7 = 'replaced', ?9,"
	    "  iif(?7 = 'published', NULL, replaced_at)),"
	    " rolled_back_at = iif(?7 = 'rolled_back', ?9, rolled_back_at),"
	    " quarantined_at = iif(?7 = 'quarantined', ?9, quarantined_at),"
	    " aborted_at = iif(?7 = 'aborted', ?9, aborted_at)" THIS,
	    "ttitttttt", THIS_ARGS(s), state, reason, now(at));
}

static int
publish_one(struct table *t, struct slot *s)
{
	struct receipt r = {0};
	struct slot *seen;
	char gen[24] = "";
	int rc = visible(t->db, s, &r);

	seen = r.n > 0 ? r.slot[0] : NULL;
	if (seen != NULL)
		snprintf(gen, sizeof gen, "%" PRId64, seen->generation);
	if (rc == RC_OK && seen != NULL)
		rc = set_state(t->db, seen, "replaced", NULL);
	if (rc == RC_OK)
		rc = set_state(t->db, s, "published", NULL);
	if (rc == RC_OK)
		rc = db_run(t->db,
		    "UPDATE batches SET replaces_batch = ?7,"
		    " replaces_generation = ?8" THIS,
		    "ttittttt", THIS_ARGS(s), seen != NULL ? seen->batch : NULL,
		    seen != NULL ? gen : NULL);
	if (rc == RC_OK)
		rc = check_feeds(t, s);
	if (rc == RC_OK && seen != NULL)
		rc = restate(t, s, seen, s, "publish");
	if (rc == RC_OK)
		s->state = "published";
	receipt_release(&r);
	return rc;
}

/* All are looked at before one is changed. */
int
batch_publish(struct table *t, struct slot *const *s, size_t n,
    const struct policy *p, bool verify, int *status)
{
	int rc = RC_OK;

	*status = RC_OK;
	for (size_t i = 0; i < n; i++) {
		struct receipt r = {0};

		rc = visible(t->db, s[i], &r);
		if (rc == RC_OK && verify)
			rc = intact(t, s[i]);
		if (rc == RC_OK)
			*status = rc_graver(
			    *status, check_publish(t->db, s[i],
					 r.n > 0 ? r.slot[0] : NULL, p));
		receipt_release(&r);
		if (rc != RC_OK)
			return rc;
	}
	if (*status != RC_OK)
		return RC_FINDINGS;
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		rc = publish_one(t, s[i]);
	return rc;
}

/* ---- the other verbs ---- */

/* What s replaced, and that one where it was taken back too. */
static int
before(struct table *t, const struct slot *s, struct receipt *found)
{
	char *batch = xstrdup(s->base_batch);
	int64_t generation = s->base_generation;
	int rc = RC_OK;

	while (rc == RC_OK && *batch != '\0') {
		struct receipt r = {0};

		rc = one(t->db, s, batch, generation, &r);
		if (rc != RC_OK || r.n == 0) {
			receipt_release(&r);
			break;
		}
		if (is(r.slot[0], "replaced")) {
			*found = r;
			break;
		}
		slot_set(&batch, r.slot[0]->base_batch);
		generation = r.slot[0]->base_generation;
		receipt_release(&r);
	}
	free(batch);
	return rc;
}

static int
rollback_one(struct table *t, struct slot *s, const struct policy *p)
{
	struct receipt r = {0};
	struct slot *old;
	bool was_visible = is(s, "published");
	int rc;

	if (!was_visible)
		rc = set_state(t->db, s, "rolled_back", p->reason);
	else
		rc = before(t, s, &r);
	old = r.n > 0 ? r.slot[0] : NULL;
	if (rc == RC_OK && was_visible)
		rc = set_state(t->db, s, "rolled_back", p->reason);
	if (rc == RC_OK && old != NULL) {
		rc = intact(t, old);
		if (rc == RC_OK)
			rc = set_state(t->db, old, "published", NULL);
		if (rc == RC_OK)
			rc = check_feeds(t, old);
	}
	if (rc == RC_OK && was_visible)
		rc = restate(t, s, s, old, "rollback");
	if (rc == RC_OK)
		s->state = "rolled_back";
	receipt_release(&r);
	return rc;
}

static int
drop_one(struct table *t, struct slot *s, bool keep, const struct policy *p)
{
	const char *state = keep ? "quarantined" : "aborted";
	int rc = keep ? RC_OK : delete_rows(t, s);

	if (rc == RC_OK)
		rc = set_state(t->db, s, state, p->reason);
	if (rc == RC_OK)
		s->state = state;
	return rc;
}

static const struct {
	const char *word, *from, *or_from, *done, *or_done;
} verbs[] = {
    [VERB_LOAD] = {"load", "", "", "", ""},
    [VERB_PUBLISH] = {"publish", "staged", "", "published", "replaced"},
    [VERB_ABORT] = {"abort", "staged", "", "aborted", ""},
    [VERB_ROLLBACK] = {"rollback", "published", "replaced", "rolled_back", ""},
    [VERB_QUARANTINE] = {"quarantine", "staged", "", "quarantined", ""},
};

/* The generation that a verb means where none was named; 0: no such batch. */
static int
meant(struct db *d, enum verb verb, const char *batch, int64_t *generation)
{
	int rc = db_int(d, generation, 0,
	    "SELECT max(generation) FROM batches WHERE batch_id = ?1"
	    " AND state = ?2",
	    "tt", batch, verbs[verb].from);

	if (rc != RC_OK || *generation != 0)
		return rc;
	return db_int(d, generation, 0,
	    verb == VERB_ROLLBACK
		? "SELECT max(generation) FROM batches WHERE batch_id = ?1"
		  " AND state IN ('replaced', 'rolled_back')"
		: "SELECT max(generation) FROM batches WHERE batch_id = ?1"
		  " AND state <> 'aborted'",
	    "t", batch);
}

/* Nothing is to be done: because it was done already, or it is wrong. */
static int
nothing(struct receipt *r, enum verb verb, const char *batch)
{
	bool done = true;

	for (size_t i = 0; i < r->n; i++) {
		struct slot *s = r->slot[i];

		done = done &&
		       (is(s, verbs[verb].done) || is(s, verbs[verb].or_done));
		s->unchanged = true;
	}
	if (verb == VERB_ABORT || (r->n > 0 && done))
		return RC_OK;
	if (r->n == 0)
		warn_msg(batch, "there is no such batch or generation");
	else
		warn_msg(batch, "nothing to %s: generation %" PRId64 " is %s",
		    verbs[verb].word, r->slot[0]->generation,
		    r->slot[0]->state);
	for (size_t i = 0; i < r->n; i++)
		slot_set(&r->slot[i]->reason, "wrong state");
	return RC_CONTRACT;
}

/* Keeps the slots that the verb works on; false where there is none. */
static bool
sift(struct receipt *r, enum verb verb, bool named)
{
	bool any = false;
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		any = any || is(r->slot[i], verbs[verb].from) ||
		      (named && is(r->slot[i], verbs[verb].or_from));
	for (size_t i = 0; any && i < r->n; i++) {
		struct slot *s = r->slot[i];
		bool work =
		    is(s, verbs[verb].from) || is(s, verbs[verb].or_from);

		r->slot[i] = r->slot[n];
		r->slot[n] = s;
		n += work;
	}
	if (any)
		for (size_t i = n; i < r->n; i++)
			r->slot[i]->unchanged = true;
	return any;
}

static bool
works_on(const struct slot *s)
{
	return !s->unchanged;
}

static int
verb_table(struct db *d, enum verb verb, struct slot **s, size_t n,
    const struct policy *p, int *status)
{
	struct table t;
	int rc = table_open(&t, d, s[0]->table, NULL);

	if (rc == RC_NOTREADY)
		return refuse(s[0], RC_CONTRACT, "its table is missing");
	if (rc != RC_OK)
		return rc;
	if (verb == VERB_PUBLISH)
		rc = batch_publish(&t, s, n, p, true, status);
	for (size_t i = 0; verb != VERB_PUBLISH && rc == RC_OK && i < n; i++)
		rc = verb == VERB_ROLLBACK
			 ? rollback_one(&t, s[i], p)
			 : drop_one(&t, s[i], verb == VERB_QUARANTINE, p);
	table_close(&t);
	return rc;
}

int
batch_verb(struct db *d, enum verb verb, const char *batch, int64_t generation,
    const struct policy *p, struct receipt *r, int *status)
{
	sqlite3_stmt *st;
	bool named = generation != 0;
	int rc = named ? RC_OK : meant(d, verb, batch, &generation);
	size_t i = 0, n = 0;

	r->verb = verbs[verb].word;
	*status = RC_OK;
	if (rc == RC_OK)
		rc = db_query(d, &st,
		    SLOTS " WHERE batch_id = ?1 AND generation = ?2"
			  " ORDER BY table_name, source_system, feed, date",
		    "ti", batch, generation);
	if (rc == RC_OK)
		rc = read_slots(d, r, st);
	if (rc != RC_OK)
		return rc;
	if (!sift(r, verb, named))
		return nothing(r, verb, batch);
	while (n < r->n && works_on(r->slot[n]))
		n++;
	while (rc == RC_OK && i < n) {
		size_t end = i + 1;

		while (end < n &&
		       strcmp(r->slot[end]->table, r->slot[i]->table) == 0)
			end++;
		rc = verb_table(d, verb, r->slot + i, end - i, p, status);
		i = end;
	}
	return rc;
}

int
batch_verify(struct db *d, struct receipt *r)
{
	sqlite3_stmt *st;
	int rc = db_query(d, &st,
	    SLOTS " WHERE state <> 'aborted' ORDER BY table_name, date,"
		  " source_system, feed, batch_id, generation",
	    "");
	int status = RC_OK;

	r->verb = "verify";
	if (rc == RC_OK)
		rc = read_slots(d, r, st);
	for (size_t i = 0; rc == RC_OK && i < r->n; i++) {
		struct table t;

		rc = table_open(&t, d, r->slot[i]->table, NULL);
		if (rc == RC_NOTREADY) {
			status = refuse(
			    r->slot[i], RC_CONTRACT, "its table is missing");
			rc = RC_OK;
			continue;
		}
		if (rc != RC_OK)
			break;
		rc = intact(&t, r->slot[i]);
		if (rc == RC_CONTRACT) {
			r->slot[i]->state = "refused";
			status = rc;
			rc = RC_OK;
		}
		table_close(&t);
	}
	return rc != RC_OK ? rc : status;
}
