/* The options of the tools of BigQuery, and the environment behind them. */
#include <stdlib.h>
#include <string.h>

#include "bq_impl.h"
#include "diag.h"
#include "exits.h"
#include "google.h"

enum {
	KEY_PROJECT = OPT_BQ,
	KEY_LOCATION,
	KEY_DATASET,
	KEY_OPS,
	KEY_CREDENTIALS,
	KEY_IMPERSONATE,
	KEY_TOKEN_URL,
	KEY_URL,
	KEY_NO_AUTH,
	KEY_MAX_BYTES,
	KEY_TIMEOUT,
	KEY_CHECK,
};

const struct opt bq_options[] = {
    {"project", KEY_PROJECT, "id",
	"project, default $GOOGLE_CLOUD_PROJECT or the key's"},
    {"location", KEY_LOCATION, "place",
	"where the data must be, default $BQ_LOCATION"},
    {"dataset", KEY_DATASET, "name",
	"of the facts, default $BQ_DATASET or analytics_core"},
    {"ops-dataset", KEY_OPS, "name",
	"of the works, default $BQ_OPS_DATASET or analytics_ops"},
    {"credentials", KEY_CREDENTIALS, "file", "key file, JSON"},
    {"impersonate", KEY_IMPERSONATE, "email", "act as this service account"},
    {"token-url", KEY_TOKEN_URL, "url", "where tokens are had"},
    {"bigquery-url", KEY_URL, "url",
	"BigQuery, default $BIGQUERY_EMULATOR_HOST or Google"},
    {"no-auth", KEY_NO_AUTH, NULL, "send no credentials, for emulators"},
    {"max-bytes-billed", KEY_MAX_BYTES, "size",
	"a query that would cost more is not run (10G)"},
    {"job-timeout", KEY_TIMEOUT, "seconds", "longest time of a job (3600)"},
    {"check", KEY_CHECK, NULL,
	"only see whether credentials and rights are there"},
    {NULL, 0, NULL, NULL},
};

bool
bq_opt(struct bq *b, int key)
{
	switch (key) {
	case KEY_PROJECT:
		b->project = opt_arg();
		break;
	case KEY_LOCATION:
		b->declared = opt_arg();
		break;
	case KEY_DATASET:
		b->core = opt_arg();
		break;
	case KEY_OPS:
		b->ops = opt_arg();
		break;
	case KEY_CREDENTIALS:
		b->credentials = opt_arg();
		break;
	case KEY_IMPERSONATE:
		b->impersonate = opt_arg();
		break;
	case KEY_TOKEN_URL:
		b->token_url = opt_arg();
		break;
	case KEY_URL:
		b->base = opt_arg();
		break;
	case KEY_NO_AUTH:
		b->no_auth = true;
		break;
	case KEY_MAX_BYTES:
		b->max_bytes = opt_size(1, UINT64_C(1) << 60);
		break;
	case KEY_TIMEOUT:
		b->job_timeout_s = opt_u64(1, 86400);
		break;
	case KEY_CHECK:
		b->check = true;
		break;
	default:
		return http_opt(b->http, key);
	}
	return true;
}

/* The option, the variables in their order, or the fallback. */
static const char *
chosen(const char *option, const char *var, const char *other,
    const char *fallback)
{
	const char *text = option;

	if (text == NULL)
		text = getenv(var);
	if ((text == NULL || *text == '\0') && other != NULL)
		text = getenv(other);
	return text == NULL || *text == '\0' ? fallback : text;
}

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Names stand in URLs and SQL as they are. */
static int
check_name(const char *option, const char *name, const char *allowed)
{
	char shown[DIAG_QUOTE];
	size_t n = strlen(name);

	if (n > 0 && n <= 200 && strspn(name, allowed) == n)
		return RC_OK;
	warn_msg(option, "not a name: %s", diag_quote(shown, name, n));
	return RC_CONFIG;
}

int
bq_complete(struct bq *b)
{
	int rc;

	b->declared = chosen(b->declared, "BQ_LOCATION", NULL, "");
	b->core = chosen(b->core, "BQ_DATASET", NULL, "analytics_core");
	b->ops = chosen(b->ops, "BQ_OPS_DATASET", NULL, "analytics_ops");
	b->base = b->own_base =
	    google_base(b->base, "BIGQUERY_EMULATOR_HOST", BQ_HOST);
	b->project =
	    chosen(b->project, "GOOGLE_CLOUD_PROJECT", "BQ_PROJECT", NULL);
	if (b->project == NULL && b->auth != NULL)
		b->project = google_auth_project(b->auth);
	if (b->project == NULL) {
		warn_msg("--project",
		    "is needed, or $GOOGLE_CLOUD_PROJECT: the key names none");
		return RC_CONFIG;
	}
	if ((rc = check_name("--project", b->project, LETTERS DIGITS "-.:")) !=
		RC_OK ||
	    (rc = check_name(
		 "--dataset", b->core, LETTERS CAPITALS DIGITS "_")) != RC_OK ||
	    (rc = check_name("--ops-dataset", b->ops,
		 LETTERS CAPITALS DIGITS "_")) != RC_OK)
		return rc;
	if (*b->declared != '\0' && strlen(b->declared) >= sizeof b->location) {
		warn_msg("--location", "not a name of a place");
		return RC_CONFIG;
	}
	return *b->declared == '\0' ? RC_OK
				    : check_name("--location", b->declared,
					  LETTERS CAPITALS DIGITS "-");
}
