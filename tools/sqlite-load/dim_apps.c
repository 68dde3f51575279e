#include "dim_apps.h"

#include "apps.h"
#include "exits.h"

static int
add_app(void *ctx, const struct app *a)
{
	return db_run(ctx,
	    "INSERT INTO dim_apps (app_id, name, platforms, time_zone,"
	    " currency, owner, critical_kpis, config)"
	    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	    "ttttttt"
	    "t",
	    a->id, a->name, a->platforms, a->zone, a->currency, a->owner,
	    a->critical, a->config);
}

int
apps_load(struct db *d, const char *file, uint64_t *count)
{
	int rc = db_begin(d);

	if (rc == RC_OK)
		rc = db_run(d, "DELETE FROM dim_apps", "");
	if (rc == RC_OK)
		rc = apps_read(file, add_app, d, count);
	if (rc == RC_OK)
		rc = db_commit(d);
	else
		db_rollback(d);
	return rc;
}
