#include "schema.h"

#include <stddef.h>

const char *const schema_lines[] = {
#include "schema.inc" /* made by the Makefile */
    NULL,
};
