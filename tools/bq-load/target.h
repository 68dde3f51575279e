/* Tables of BigQuery by its REST calls, which cost nothing. */
#ifndef BQ_LOAD_TARGET_H
#define BQ_LOAD_TARGET_H

#include "bq.h"

enum { STAGE_DAYS = 7, QUARANTINE_DAYS = 90 };

struct target {
	struct bq_reply reply; /* of tables.get; its fields point into it */
	struct json_span fields;
	uint64_t rows, expires;
	bool view;
};
/* RC_OK; RC_NOTREADY without a message: there is no such table. Else bq_why. */
int target_get(
    struct target *t, struct bq *b, const char *dataset, const char *name);
void target_release(struct target *t);

/* A table of these fields, an array; it may be there already. days: how long
 * it lives, 0 for ever. RC_OK or bq_why. */
int target_make(struct bq *b, const char *dataset, const char *name,
    const struct buf *fields, unsigned days);
/* Another end of its life, 0 for none. RC_OK or bq_why; gone is no error. */
int target_expire(
    struct bq *b, const char *dataset, const char *name, unsigned days);
/* Gone is no error. */
int target_drop(struct bq *b, const char *dataset, const char *name);

/*
 * Compares the table's columns with those wanted (an array of fields); adds
 * what may be null and is missing. RC_OK, or RC_CONTRACT and bq_why.
 */
int target_complete(struct bq *b, const char *dataset, const char *name,
    const struct target *t, const struct json_span *wanted);

#endif
