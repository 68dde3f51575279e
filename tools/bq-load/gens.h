/* Generations of batches, as they stand in analytics_ops.batches. */
#ifndef BQ_LOAD_GENS_H
#define BQ_LOAD_GENS_H

#include "bq.h"
#include "script.h"
#include "slot.h"

struct gens {
	struct receipt r; /* the rows that were read */
	char digest[65];  /* of the batch's own: changes with its state */
};
/* All of the batch, and all generations of the days. RC_OK or said. */
int gens_look(struct gens *g, struct bq *b, const char *batch,
    const char *const *dates, size_t n);
void gens_release(struct gens *g);
/* Of the partition of s: the one that is visible, or NULL. */
struct slot *gens_visible(const struct gens *g, const struct slot *s);
struct slot *gens_one(const struct gens *g, const struct slot *like,
    const char *batch, int64_t generation);
/* What s replaced, and that one where it was taken back too; or NULL. */
struct slot *gens_before(const struct gens *g, const struct slot *s);

/* A member of a row as text, "" for null; the caller frees. */
char *row_text(const struct json_span *row, const char *name);
/* slot_say for what a call of bq.h could not do. */
int slot_fail(struct slot *s, struct bq *b, int rc, const char *what);

#endif
