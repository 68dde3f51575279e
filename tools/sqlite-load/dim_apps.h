/* dim_apps from the configuration of the apps. */
#ifndef SQLITE_LOAD_DIM_APPS_H
#define SQLITE_LOAD_DIM_APPS_H

#include "db.h"

/* Makes the table what the file says, in a transaction of its own. */
int apps_load(struct db *d, const char *file, uint64_t *count);

#endif
