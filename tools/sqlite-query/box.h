/* Rows as a table for people: aligned columns under their names. */
#ifndef SQLITE_QUERY_BOX_H
#define SQLITE_QUERY_BOX_H

#include "out.h"
#include "rows.h"

struct box;
struct box *box_new(struct rows *r, struct out *out);
/* Takes the current row. RC_OK, or RC_CONTRACT, said. */
int box_row(struct box *b);
void box_end(struct box *b); /* prints what is left, and frees */

#endif
