/*
 * Partial results: the state of a partition's piece as records, and back.
 *
 * Their begin says "kind":"kpi-partial", piece i of n and the hash of the
 * dictionary. Keys are fingerprints under a secret that follows from that
 * hash, so that equal keys are equal in every piece.
 */
#ifndef KPI_PARTIAL_H
#define KPI_PARTIAL_H

#include "agg.h"
#include "fpset.h"
#include "rows.h"
#include "stream.h"

#define PARTIAL_KIND "kpi-partial"

void partial_key(const char *hash, struct fp_key *key);
/* The state of agg, which must keep its keys. */
void partial_write(struct agg *a, rows_put *put, void *ctx);

/* The paths that partial_read reads. */
struct json_paths *partial_paths(void);
/* Adds one record to the state. NULL, or why it is damaged. */
const char *partial_read(struct agg *a, int32_t day, const struct record *rec);

#endif
