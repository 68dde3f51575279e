/*
 * Generations and their verbs (stage.c, publish.c, verbs.c). All is done in
 * the transaction that the caller has open; with any status but RC_OK he rolls
 * back, unless it is said otherwise.
 */
#ifndef SQLITE_LOAD_BATCH_H
#define SQLITE_LOAD_BATCH_H

#include "policy.h"
#include "table.h"

/* Forgets what the batch has staged and gives the number of the next
 * generation. */
int batch_fresh(struct table *t, const char *batch, const char *fingerprint,
    int64_t *generation);

/* The rows of a partition are written: completes them and enters the
 * generation. RC_CONTRACT: refused, the slot says why. */
int batch_stage(
    struct table *t, struct slot *s, enum mode mode, const struct policy *p);

/* Are all of these equal to one generation of the batch that is visible?
 * Then *generation is its number, else 0. */
int batch_equal(struct table *t, struct slot *const *s, size_t n,
    const struct policy *p, int64_t *generation);
/* The visible generation was fetched again: keeps the later time. */
int batch_seen(struct table *t, const struct slot *s);

/* Publishes staged slots. RC_FINDINGS: not to be published, *status is the
 * exit status, the slots say why, nothing was changed. */
int batch_publish(struct table *t, struct slot *const *s, size_t n,
    const struct policy *p, bool verify, int *status);

/* The verbs on what stands in the database; they add slots to r. generation 0
 * is what is staged, or for a rollback what is visible. */
int batch_verb(struct db *d, enum verb verb, const char *batch,
    int64_t generation, const struct policy *p, struct receipt *r, int *status);

/* Every generation's rows against its checksum. */
int batch_verify(struct db *d, struct receipt *r);

#endif
