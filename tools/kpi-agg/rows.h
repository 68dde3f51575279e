/* KPI rows: from accumulators to records, sorted by their key. */
#ifndef KPI_ROWS_H
#define KPI_ROWS_H

#include "agg.h"
#include "json.h"

struct rows_meta {
	const char *source, *run_id;
	struct json_span quality; /* of begin; absent: "complete" */
	bool partial;             /* quality is "partial" whatever begin says */
	bool wide;
};

typedef void rows_put(void *ctx, const char *text, size_t len);

/* Cells of a partition for the apps that the configuration names for the
 * feed, so that nothing happened is a row of 0. */
void rows_fill(
    struct agg *a, int32_t day, const char *feed, const char *only_app);
/* Finishes the state and hands over each record. RC_OK, or RC_CONTRACT after
 * a message: an amount that is too large. */
int rows_write(
    struct agg *a, const struct rows_meta *meta, rows_put *put, void *ctx);

#endif
