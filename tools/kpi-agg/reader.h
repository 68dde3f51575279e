/*
 * From records to counts: a batch of records is planned one by one, so that a
 * bad one leaves no trace, and then applied.
 *
 * What a record's day, app, platform, event name and segments lead to (its
 * route) is worked out once for each combination of their bytes and kept: a
 * record costs one look into the table of routes and what its metrics read
 * besides.
 */
#ifndef KPI_READER_H
#define KPI_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "agg.h"
#include "dict.h"
#include "stream.h"

struct reader;

/* only_app: count records of this app alone, NULL: all. */
struct reader *reader_new(
    const struct dict *d, const struct apps *apps, const char *only_app);
void reader_free(struct reader *r);
/* fixed: keys are hashed as in every other piece of these partial results. */
void reader_key(struct reader *r, const struct fp_key *fixed);

/* Counts into `a` from now on. day is the partition's, or READER_ANY_DAY. */
#define READER_ANY_DAY INT32_MIN
void reader_begin(
    struct reader *r, struct agg *a, const char *feed, int32_t day);
/* These records are planned next, one by one; they stay where they are. */
void reader_ahead(struct reader *r, const struct record *rec, size_t n);
/* Plans a record. NULL, or why it is bad. */
const char *reader_plan(struct reader *r, const struct record *rec);
/* Counts what was planned. RC_OK, or an exit status after a message. */
int reader_apply(struct reader *r);
/* What was counted by routes goes to the accumulators. */
void reader_flush(struct reader *r);
/* Records that were left out as of another app, since reader_begin. */
uint64_t reader_others(const struct reader *r);

#endif
