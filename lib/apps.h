/* For loaders: the rows of dim_apps, from the configuration of the apps. */
#ifndef WEIR_APPS_H
#define WEIR_APPS_H

#include <stdint.h>

/* zone, currency and owner may be NULL; platforms and critical are JSON
 * arrays, config is the app's whole configuration as JSON. */
struct app {
	const char *id, *name, *platforms, *zone, *currency, *owner, *critical,
	    *config;
};
/* Gives each app of the file to take, which returns RC_OK to go on. RC_OK,
 * RC_CONFIG (said), or what take returned. */
int apps_read(const char *file, int (*take)(void *ctx, const struct app *a),
    void *ctx, uint64_t *count);

#endif
