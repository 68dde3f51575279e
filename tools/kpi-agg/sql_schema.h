/* The columns of the export's tables. */
#ifndef KPI_SQL_SCHEMA_H
#define KPI_SQL_SCHEMA_H

#include "tree.h"

/*
 * The fields of a schema: that of the export as it is known here, or of a
 * file (an array of fields, {"fields":…} or a whole table resource, as
 * BigQuery gives them). RC_OK, or RC_CONFIG after a message. The tree is the
 * caller's.
 */
int sql_schema_load(
    const char *file, struct tree **tree, const struct node **fields);

/* "STRING", "INTEGER" … as a letter: S, I, F, B, R, or ? for others. */
char sql_type(const struct node *field);
bool sql_repeated(const struct node *field);
const struct node *sql_field(
    const struct node *fields, const char *name, size_t n);

#endif
