/* The statements of pipelines/sql/bigquery, compiled in. */
#ifndef BQ_LOAD_SQL_H
#define BQ_LOAD_SQL_H

#include "buf.h"

/* Appends the file of that name, without ".sql"; there must be one. */
void sql_text(struct buf *out, const char *name);
/* The files of the tables, in their order: the name of the Ith, or NULL. */
const char *sql_tables(unsigned i);

#endif
