/* The tables of the warehouse: pipelines/sql/sqlite/, compiled in. */
#ifndef SQLITE_LOAD_SCHEMA_H
#define SQLITE_LOAD_SCHEMA_H

extern const char *const schema_lines[]; /* ends with NULL */

#endif
