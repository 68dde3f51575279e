/* Publishing, and what it did to the values. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "batch.h"
#include "date.h"
#include "diag.h"
#include "exits.h"
#include "gens.h"

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
		rc = slot_say(s, RC_TRANSIENT, "not published: frozen, %s",
		    diag_quote(why, db_text(st, 0), strlen(db_text(st, 0))));
	sqlite3_finalize(st);
	return rc == RC_NOTREADY ? RC_OK : rc;
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
	return slot_say(s, RC_TRANSIENT,
	    "not published: another generation became visible; stage it again");
}

static int
check_publish(struct db *d, struct slot *s, const struct slot *seen,
    const struct policy *p)
{
	int rc = check_frozen(d, s);

	if (rc == RC_OK)
		rc = policy_publish(s, seen, p);
	return rc == RC_OK ? check_base(s, seen) : rc;
}

#define KEYS_EQUAL                                             \
	" AND o.app_id = n.app_id AND o.platform = n.platform" \
	" AND o.metric = n.metric AND o.segment = n.segment"
#define OF_PARTITION(x) \
	x ".source_system = ?1 AND " x ".feed = ?2 AND " x ".date = ?3 AND "
#define OLD_ROWS OF_PARTITION("o") "o.batch_id = ?4 AND o.generation = ?5"
#define NEW_ROWS OF_PARTITION("n") "n.batch_id = ?6 AND n.generation = ?7"

/* What the change from old to new (NULL: nothing) did to the values. */
int
gens_restate(struct table *t, struct slot *s, const struct slot *old,
    const struct slot *new, const char *cause)
{
	char age[24] = "", at[TIME_LEN + 1];
	int32_t days;
	int64_t before = db_changes(t->db);
	int rc;

	if (!t->kpi)
		return RC_OK;
	if (slot_age(new, &days))
		snprintf(age, sizeof age, "%" PRId32, days);
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
	    new != NULL ? new->generation : (int64_t)0, cause,
	    *age != '\0' ? age : NULL, s->run_id, gens_now(at));
	s->restated = (uint64_t)(db_changes(t->db) - before);
	return rc;
}

static int
publish_one(struct table *t, struct slot *s)
{
	struct receipt r = {0};
	struct slot *seen;
	char gen[24] = "";
	int rc = gens_visible(t->db, s, &r);

	seen = r.n > 0 ? r.slot[0] : NULL;
	if (seen != NULL)
		snprintf(gen, sizeof gen, "%" PRId64, seen->generation);
	if (rc == RC_OK && seen != NULL)
		rc = gens_state(t->db, seen, "replaced", NULL);
	if (rc == RC_OK)
		rc = gens_state(t->db, s, "published", NULL);
	if (rc == RC_OK)
		rc = db_run(t->db,
		    "UPDATE batches SET replaces_batch = ?7,"
		    " replaces_generation = ?8" THIS,
		    "ttittttt", THIS_ARGS(s), seen != NULL ? seen->batch : NULL,
		    seen != NULL ? gen : NULL);
	if (rc == RC_OK)
		rc = gens_check_feeds(t, s);
	if (rc == RC_OK && seen != NULL)
		rc = gens_restate(t, s, seen, s, "publish");
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

		rc = gens_visible(t->db, s[i], &r);
		if (rc == RC_OK && verify)
			rc = gens_intact(t, s[i]);
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
