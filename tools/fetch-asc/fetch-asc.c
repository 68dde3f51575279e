/*
 * Reports of App Store Connect as partitions of NDJSON: sales and
 * subscriptions of a vendor, and the Analytics Reports of an app.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asc.h"
#include "auth.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "opt.h"
#include "stats.h"
#include "sys.h"

enum {
	OPT_VENDOR = OPT_TOOL,
	OPT_REPORT,
	OPT_SUBTYPE,
	OPT_FREQUENCY,
	OPT_VERSION,
	OPT_APP,
	OPT_REPORT_NAME,
	OPT_CREATE,
	OPT_SNAPSHOT,
	OPT_FILE_HOST,
	OPT_FROM,
	OPT_TO,
	OPT_DATE,
	OPT_KEY_FILE,
	OPT_KEY_ID,
	OPT_ISSUER,
	OPT_BASE_URL,
	OPT_RUN_ID,
	OPT_PLAIN,
	OPT_CHECK,
};

static const struct opt options[] = {
    {"vendor", OPT_VENDOR, "number", "vendor number, for sales reports"},
    {"report", OPT_REPORT, "type",
	"SALES (default), SUBSCRIPTION, "
	"SUBSCRIPTION_EVENT, SUBSCRIBER ..."},
    {"subtype", OPT_SUBTYPE, "type", "SUMMARY, DETAILED ..."},
    {"frequency", OPT_FREQUENCY, "word",
	"DAILY (default), WEEKLY, MONTHLY, YEARLY"},
    {"report-version", OPT_VERSION, "version", "version to ask for, as 1_3"},
    {"app", OPT_APP, "id", "app id, for Analytics Reports"},
    {"report-name", OPT_REPORT_NAME, "name",
	"Analytics Report, as 'App Downloads Standard'"},
    {"create-request", OPT_CREATE, NULL,
	"ask the service to make Analytics Reports for the app"},
    {"snapshot", OPT_SNAPSHOT, NULL,
	"the history too: the request ONE_TIME_SNAPSHOT"},
    {"file-host", OPT_FILE_HOST, "domain",
	"one more domain that report files may lie on"},
    {"from", OPT_FROM, "date", "first day, YYYY-MM-DD"},
    {"to", OPT_TO, "date", "last day, default yesterday"},
    {"date", OPT_DATE, "date", "one day alone"},
    {"key-file", OPT_KEY_FILE, "file", "private key, .p8, mode 0600"},
    {"key-id", OPT_KEY_ID, "id", "id of the key"},
    {"issuer", OPT_ISSUER, "id", "issuer id of the team"},
    {"base-url", OPT_BASE_URL, "url", "instead of Apple's"},
    {"run-id", OPT_RUN_ID, "text", "run it belongs to, default $RUN_ID"},
    {"plain", OPT_PLAIN, NULL, "records without control records"},
    {"check", OPT_CHECK, NULL, "prove the key and its rights, fetch nothing"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "--vendor number [--report type] [options]\n"
    "--app id --report-name name [options]\n"
    "--check [--vendor number] [options]",
    {options, http_options, NULL},
};

struct settings {
	struct asc asc;
	const char *key_file, *key_id, *issuer;
	char *credential, *derived;
	bool has_from, has_to;
};

/* ---- partitions ---- */

void
day_begin(struct asc *c, const struct day *d)
{
	struct buf extra = BUF_INIT(4096);
	struct part_desc desc = {.source = "asc",
	    .feed = d->feed,
	    .date = d->date,
	    .day_tz = "America/Los_Angeles",
	    .run_id = c->run_id,
	    .extra = ""};

	if (c->plain)
		return;
	if (d->time != NULL)
		buf_fmt(&extra, "\"fetched_at\":\"%s\"", d->time);
	if (d->sum != NULL)
		buf_fmt(&extra, "%s\"input_sha256\":\"%s\"",
		    extra.len > 0 ? "," : "", d->sum);
	desc.extra = buf_cstr(&extra);
	part_write_begin(&c->out, &desc);
	buf_release(&extra);
}

void
day_end(struct asc *c, const struct day *d, uint64_t records,
    enum outcome outcome, int rc, const char *reason)
{
	(void)d;
	c->parts++;
	c->records += records;
	if (outcome == OUTCOME_NOT_READY) {
		c->not_ready++;
	} else if (outcome == OUTCOME_FAILED) {
		c->failed++;
		c->gravest = rc_graver(c->gravest, rc);
	}
	if (!c->plain)
		part_write_end(&c->out, records, outcome, 0,
		    outcome == OUTCOME_FAILED ? rc_class(rc) : NULL, reason);
}

void
day_none(struct asc *c, const struct day *d, enum outcome outcome, int rc,
    const char *reason)
{
	day_begin(c, d);
	day_end(c, d, 0, outcome, rc, reason);
}

/* ---- the command line ---- */

static void
take(struct settings *s, int key)
{
	struct asc *c = &s->asc;

	switch (key) {
	case OPT_VENDOR:
		c->vendor = opt_arg();
		break;
	case OPT_REPORT:
		c->type = opt_arg();
		break;
	case OPT_SUBTYPE:
		c->subtype = opt_arg();
		break;
	case OPT_FREQUENCY:
		c->frequency = opt_arg();
		break;
	case OPT_VERSION:
		c->version = opt_arg();
		break;
	case OPT_APP:
		c->app = opt_arg();
		break;
	case OPT_REPORT_NAME:
		c->report_name = opt_arg();
		break;
	case OPT_CREATE:
		c->create_request = true;
		break;
	case OPT_SNAPSHOT:
		c->snapshot = true;
		break;
	case OPT_FILE_HOST:
		c->file_host = opt_arg();
		break;
	case OPT_FROM:
		c->from = opt_date();
		s->has_from = true;
		break;
	case OPT_TO:
		c->to = opt_date();
		s->has_to = true;
		break;
	case OPT_DATE:
		c->from = c->to = opt_date();
		s->has_from = s->has_to = true;
		break;
	case OPT_KEY_FILE:
		s->key_file = opt_arg();
		break;
	case OPT_KEY_ID:
		s->key_id = opt_arg();
		break;
	case OPT_ISSUER:
		s->issuer = opt_arg();
		break;
	case OPT_BASE_URL:
		c->base = opt_arg();
		break;
	case OPT_RUN_ID:
		c->run_id = opt_arg();
		break;
	case OPT_PLAIN:
		c->plain = true;
		break;
	case OPT_CHECK:
		c->check = true;
		break;
	default:
		if (!http_opt(c->http, key))
			break;
		if (strcmp(opt_name(), "--max-body") == 0)
			c->max_body = opt_size(1, UINT64_C(1) << 40);
	}
}

static const char *
from_env(const char *given, const char *name)
{
	const char *v = getenv(name);

	return given != NULL ? given : v != NULL && *v != '\0' ? v : NULL;
}

/* What is not said: from the environment. AuthKey_KEYID.p8 names its key. */
static void
complete(struct settings *s)
{
	struct asc *c = &s->asc;
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	const char *name;

	s->key_file = from_env(s->key_file, "ASC_KEY_FILE");
	s->key_id = from_env(s->key_id, "ASC_KEY_ID");
	s->issuer = from_env(s->issuer, "ASC_ISSUER_ID");
	c->vendor = from_env(c->vendor, "ASC_VENDOR_NUMBER");
	c->base = from_env(c->base, "ASC_BASE_URL");
	c->run_id = from_env(c->run_id, "RUN_ID");
	if (c->base == NULL)
		c->base = "https://api.appstoreconnect.apple.com";
	if (s->key_file == NULL && dir != NULL && *dir != '\0')
		s->key_file = s->credential = xasprintf("%s/asc.p8", dir);
	if (s->key_file == NULL || s->key_id != NULL)
		return;
	name = strrchr(s->key_file, '/');
	name = name == NULL ? s->key_file : name + 1;
	if (strncmp(name, "AuthKey_", 8) == 0) {
		s->derived = xstrdup(name + 8);
		s->derived[strcspn(s->derived, ".")] = '\0';
		s->key_id = s->derived;
	}
}

static bool
is_number(const char *text)
{
	size_t n = strlen(text);

	return n > 0 && n <= 20 && strspn(text, "0123456789") == n;
}

static void
verify(struct settings *s)
{
	struct asc *c = &s->asc;
	const char *why;

	if (c->type == NULL)
		c->type = "SALES";
	if (c->frequency == NULL)
		c->frequency = "DAILY";
	if (c->subtype == NULL)
		c->subtype = sales_subtype(c);
	if (c->report_name != NULL || c->create_request || c->snapshot) {
		if (c->app == NULL || !is_number(c->app))
			opt_wrong(&set, "--app: the id of an app, digits");
		if (!has_word("DAILY WEEKLY MONTHLY", c->frequency))
			opt_wrong(&set, "--frequency: DAILY, WEEKLY or MONTHLY "
					"of Analytics Reports");
		if (c->report_name == NULL)
			opt_wrong(&set, "--report-name is missing");
	} else if (!c->check || c->vendor != NULL) {
		if (c->vendor == NULL)
			opt_wrong(&set, "--vendor is missing");
		if (!is_number(c->vendor))
			opt_wrong(&set, "--vendor: digits alone");
	}
	if (!sales_known(c, &why))
		opt_wrong(&set, "%s", why);
	if (c->version != NULL &&
	    (strspn(c->version, "0123456789_") != strlen(c->version) ||
		strlen(c->version) > 8))
		opt_wrong(&set, "--report-version: as 1_3");
}

/* The window: 5 days up to yesterday, or as many as hold a period. */
static void
window(struct settings *s)
{
	struct asc *c = &s->asc;
	int32_t days = strcmp(c->frequency, "DAILY") == 0     ? 5
		       : strcmp(c->frequency, "WEEKLY") == 0  ? 14
		       : strcmp(c->frequency, "MONTHLY") == 0 ? 62
							      : 400;

	if (!s->has_to)
		c->to = c->today - 1;
	if (!s->has_from)
		c->from = c->to - days + 1;
	if (c->from > c->to)
		opt_wrong(&set, "--from is after --to");
}

static int
credentials(struct settings *s, struct asc_auth **auth)
{
	if (s->key_file == NULL)
		warn_msg("--key-file", "no private key was named");
	else if (s->key_id == NULL)
		warn_msg("--key-id", "the id of the key is missing");
	else if (s->issuer == NULL)
		warn_msg("--issuer", "missing: reports need a team key, an "
				     "individual key cannot read them");
	else
		return asc_auth_open(auth, s->key_file, s->key_id, s->issuer);
	return RC_CONFIG;
}

/* All days had but these. */
static int
verdict_of(const struct asc *c)
{
	if (c->failed > 0)
		return c->failed == c->parts ? c->gravest : RC_PARTIAL;
	return c->not_ready > 0 ? RC_NOTREADY : RC_OK;
}

static int
run(struct settings *s)
{
	struct asc *c = &s->asc;
	struct asc_auth *auth = NULL;
	int rc = url_check_base(c->http, "--base-url", c->base);

	if (rc == RC_OK)
		rc = credentials(s, &auth);
	if (rc == RC_OK)
		rc = http_start(c->http);
	if (rc == RC_OK) {
		http_auth(c->http, asc_sign, auth);
		http_pace(c->http, 1000);
		rc = c->check                 ? check_run(c)
		     : c->report_name == NULL ? sales_run(c)
					      : analytics_run(c);
		rc = rc_graver(rc, verdict_of(c));
	}
	asc_auth_close(auth);
	return rc;
}

int
main(int argc, char **argv)
{
	struct settings s = {.asc = {.max_body = UINT64_C(1) << 30}};
	struct asc *c = &s.asc;
	struct zone *zone;
	int key, rc;

	diag_init(argv[0]);
	c->http = http_open("fetch-asc/" WEIR_VERSION);
	while ((key = opt_next(&set, argc, argv)) != -1)
		take(&s, key);
	if (argv[opt_index()] != NULL)
		opt_wrong(&set, "no operands here");
	complete(&s);
	verify(&s);
	zone = zone_open("America/Los_Angeles");
	if (zone == NULL)
		die(RC_CONFIG, "America/Los_Angeles", "no such time zone here");
	c->today = zone_day(zone, sys_real_ns() / 1000000000);
	zone_close(zone);
	window(&s);
	signal(SIGPIPE, SIG_IGN);
	sig_init();
	stats_start();
	if (c->run_id != NULL)
		stats_text("run_id", c->run_id);
	out_init(&c->out, STDOUT_FILENO, "stdout", 0);
	rc = run(&s);
	http_close(c->http);
	stats_add("records_out", c->records);
	stats_add("partitions", c->parts);
	rc = rc_graver(rc, out_close(&c->out));
	stats_end(rc);
	free(s.credential);
	free(s.derived);
	if (sig_pending() != 0)
		sig_die(sig_pending());
	return rc;
}
