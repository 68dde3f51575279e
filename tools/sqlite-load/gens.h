/*
 * What the parts of batches share: generations as they stand in the table
 * batches, and their rows. All return an exit status; what was wrong is said.
 */
#ifndef SQLITE_LOAD_GENS_H
#define SQLITE_LOAD_GENS_H

#include "date.h"
#include "slot.h"
#include "table.h"

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

/* A query that gens_read takes to its end; a WHERE follows. */
#define SLOTS                                                                  \
	"SELECT table_name, source_system, feed, date, batch_id, generation,"  \
	" state, outcome, mode, rows, rejected, checksum, fetched_at, day_tz," \
	" run_id, fingerprint, replaces_batch, replaces_generation"            \
	" FROM batches"

/* gens.c */
const char *gens_now(char text[TIME_LEN + 1]);
/* Adds the slots that st finds, which it finalizes. */
int gens_read(struct db *d, struct receipt *r, sqlite3_stmt *st);
/* The visible generation of the partition of s: r gets it, or nothing. */
int gens_visible(struct db *d, const struct slot *s, struct receipt *r);
int gens_one(struct db *d, const struct slot *like, const char *batch,
    int64_t generation, struct receipt *r);
/* reason NULL: as it was. */
int gens_state(
    struct db *d, const struct slot *s, const char *state, const char *reason);

/* checksum.c: over the rows, but for what differs from run to run. */
int gens_checksum(
    struct table *t, const struct slot *s, char hex[33], uint64_t *rows);
/* The rows are still those that were staged, or RC_CONTRACT. */
int gens_intact(struct table *t, struct slot *s);

/* stage.c */
int gens_delete_rows(struct table *t, const struct slot *s);
/* No key of the new rows may be that of another feed: else RC_CONTRACT. */
int gens_check_feeds(struct table *t, struct slot *s);

/* publish.c: logs what the change from old to new (NULL: nothing) did to the
 * values, and counts it in s. */
int gens_restate(struct table *t, struct slot *s, const struct slot *old,
    const struct slot *new, const char *cause);

#endif
