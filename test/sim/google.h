/*
 * What the files that play Google share: the check of tokens, errors in
 * Google's shape, and the GA4 export's tables (files of --data), which
 * BigQuery shows beside its own.
 */
#ifndef WEIR_SIM_GOOGLE_H
#define WEIR_SIM_GOOGLE_H

#include "sim.h"

enum google_api { API_DATA, API_BQ, API_BQ_WRITE, API_IAM };

/* Is the call allowed? Else the error is in the answer, in the API's shape. */
bool google_allowed(
    const struct sim_request *r, struct sim_answer *a, enum google_api api);
/* reason NULL: no errors[]. What was written to the answer goes away. */
void google_error(struct sim_answer *a, int code, const char *reason,
    const char *status, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
const char *google_project(void);

/* Is it a dataset of the export? */
bool export_dataset(const char *dataset);
/* Handlers of /bigquery/v2/projects/?/datasets/?... for such. */
void export_datasets_get(const struct sim_request *r, struct sim_answer *a);
void export_tables_list(const struct sim_request *r, struct sim_answer *a);
void export_tables_get(const struct sim_request *r, struct sim_answer *a);
void export_tabledata_list(const struct sim_request *r, struct sim_answer *a);
/* The rows of a table, as NDJSON, until the next call; false: there is none.
 * Another etag: other rows. */
bool export_rows(const char *dataset, const char *table, const char **text,
    size_t *len, const char **etag);
/* The fields of all columns that the export is known to have. */
struct json_span export_fields(void);

#endif
