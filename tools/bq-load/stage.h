/* What is the same for staged rows, loaded or selected. */
#ifndef BQ_LOAD_STAGE_H
#define BQ_LOAD_STAGE_H

#include "load.h"

#define STAGE_DATASET(l) bq_ops((l)->b)

/* The number of the batch's next generation. */
int64_t stage_number(
    const struct gens *g, const struct slot *like, const char *fingerprint);
/* Names the slot's stage table by what is in it, so that a table that is there
 * is the right one. */
void stage_name(struct slot *s, const char *content);
/* Its rows are counted: may it be staged? RC_OK or RC_CONTRACT, said. */
int stage_check(struct load *l, const struct gens *g, struct slot *s);
/* The stage tables are full: enters the batch, and publishes it unless
 * --stage. RC_OK also where it was refused. */
int stage_settle(
    struct load *l, const struct gens *g, struct slot **s, size_t n);
/* It is the generation that is visible. RC_OK or said. */
int stage_unchanged(struct load *l, const struct gens *g, struct slot *const *s,
    size_t n, int64_t generation);

#endif
