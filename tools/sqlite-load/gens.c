#include "gens.h"

#include <stdio.h>
#include <string.h>

#include "exits.h"
#include "sys.h"

enum { MS = 1000000 };

const char *
gens_now(char text[TIME_LEN + 1])
{
	time_format(sys_real_ns() / MS, text);
	return text;
}

static void
read_slot(struct receipt *r, sqlite3_stmt *st)
{
	struct slot *s = receipt_slot(r, db_text(st, 0), db_text(st, 1),
	    db_text(st, 2), db_text(st, 3), db_text(st, 4));

	s->generation = sqlite3_column_int64(st, 5);
	slot_words(s, db_text(st, 6), db_text(st, 7), db_text(st, 8));
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

int
gens_read(struct db *d, struct receipt *r, sqlite3_stmt *st)
{
	int rc;

	while ((rc = db_step(d, st)) == RC_OK)
		read_slot(r, st);
	sqlite3_finalize(st);
	return rc == RC_NOTREADY ? RC_OK : rc;
}

/* The visible generation of the partition of s: r gets it, or nothing. */
int
gens_visible(struct db *d, const struct slot *s, struct receipt *r)
{
	sqlite3_stmt *st;
	int rc = db_query(d, &st,
	    SLOTS " WHERE table_name = ?1 AND date = ?2 AND source_system = ?3"
		  " AND feed = ?4 AND state = 'published'",
	    "tttt", s->table, s->date, s->source, s->feed);

	return rc == RC_OK ? gens_read(d, r, st) : rc;
}

int
gens_one(struct db *d, const struct slot *like, const char *batch,
    int64_t generation, struct receipt *r)
{
	sqlite3_stmt *st;
	int rc = db_query(d, &st, SLOTS THIS, "ttittt", like->table, batch,
	    generation, like->source, like->feed, like->date);

	return rc == RC_OK ? gens_read(d, r, st) : rc;
}

int
gens_state(
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
	    "ttitttttt", THIS_ARGS(s), state, reason, gens_now(at));
}
