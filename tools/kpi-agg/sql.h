/* The dictionary as one statement of GoogleSQL over the GA4 export. */
#ifndef KPI_SQL_H
#define KPI_SQL_H

#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "dict.h"

#define SQL_DAYS_MAX 400 /* tables in one statement */

struct sql_options {
	const char *project, *dataset, *property, *run_id;
	const char *schema; /* a file; NULL: as it is known here */
	int32_t since, until;
	const int32_t *intraday; /* days of the intraday table */
	size_t nintraday;
};

/* Appends the statement. RC_OK, or RC_CONFIG after a message for each member
 * of the dictionary that has no exact SQL. */
int sql_write(const struct sql_options *o, const struct dict *d,
    const struct apps *apps, struct buf *out);

#endif
