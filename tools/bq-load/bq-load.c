/* Loads records into BigQuery, by batches. */
#include <signal.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "load.h"
#include "stats.h"
#include "sys.h"

enum {
	OPT_MODE = OPT_TOOL,
	OPT_SCHEMA,
	OPT_QUERY,
	OPT_STATE,
	OPT_NO_GZIP,
};

enum { PATH_LEN = 4096 };

static const struct opt options[] = {
    {"key", LOADER_KEY, "columns", "what names a row of a table of one's own"},
    {"mode", OPT_MODE, "mode", "upsert or replace, without batch rules"},
    {"setup", LOADER_SETUP, NULL, "make or check datasets and tables"},
    {"schema", OPT_SCHEMA, "file", "the table's fields, made where missing"},
    {"query", OPT_QUERY, "file", "stage what this SELECT gives"},
    {"state", OPT_STATE, "dir",
	"where uploads are remembered, default $WEIR_HOME/bq"},
    {"verify", LOADER_VERIFY, NULL, "count every generation's rows"},
    {"no-gzip", OPT_NO_GZIP, NULL, "send rows unpacked, for emulators"},
    {"quiet", OPT_QUIET, NULL, "no progress, no word of what it will cost"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "--table name [--batch id] [--stage] [option ...] [file ...]\n"
    "--publish id | --abort id | --rollback id | --quarantine id\n"
    "--table name --query file --source name --feed name --date date\n"
    "--setup [--apps conf]\n"
    "--verify",
    {options, loader_options, bq_options, http_options},
};

struct settings {
	struct load l;
	bool mode;
};

static const char *
take_path(void)
{
	size_t n = strlen(opt_arg());

	if (n == 0 || n > PATH_LEN)
		opt_wrong(&set, "%s: empty or too long", opt_name());
	return opt_arg();
}

static void
take_mode(struct settings *s)
{
	s->mode = true;
	if (strcmp(opt_arg(), "replace") == 0)
		s->l.run.replaces = true;
	else if (strcmp(opt_arg(), "upsert") != 0)
		opt_wrong(&set, "--mode: neither upsert nor replace");
}

static void
take(struct settings *s, int key)
{
	struct load *l = &s->l;

	switch (key) {
	case OPT_MODE:
		take_mode(s);
		break;
	case OPT_SCHEMA:
		l->schema = take_path();
		break;
	case OPT_QUERY:
		l->query = take_path();
		l->run.names = true;
		break;
	case OPT_STATE:
		l->state = take_path();
		break;
	case OPT_NO_GZIP:
		l->no_gzip = true;
		break;
	default:
		if (!loader_opt(&l->run, &set, key))
			bq_opt(l->b, key);
		break;
	}
}

static bool
for_kpis(const struct loader *run)
{
	return run->table != NULL && strcmp(run->table, "fact_kpi_daily") == 0;
}

static void
check_query(const struct load *l, bool operands)
{
	const struct loader *run = &l->run;

	if (l->query == NULL)
		return;
	if (!for_kpis(run))
		opt_wrong(&set, "--query goes with --table fact_kpi_daily");
	if (run->source == NULL || run->feed == NULL || run->date == NULL)
		opt_wrong(&set, "--query needs --source, --feed and --date");
	if (operands)
		opt_wrong(&set, "--query reads no files");
}

static void
check_options(struct settings *s, bool operands)
{
	struct load *l = &s->l;
	struct loader *run = &l->run;

	if (bq_checking(l->b))
		return;
	if (http_replaying(bq_http(l->b)))
		opt_wrong(&set, "--replay: what was loaded cannot be loaded "
				"from a recording");
	if (run->verb != VERB_LOAD && run->apps != NULL)
		opt_wrong(&set, "a verb stands alone");
	loader_check(run, &set, operands);
	check_query(l, operands);
	if (for_kpis(run) && (l->schema != NULL || run->key != NULL ||
				 (s->mode && !run->replaces)))
		opt_wrong(&set,
		    "--schema, --key and --mode upsert are for tables without "
		    "batch rules");
	if (run->table == NULL &&
	    (l->schema != NULL || run->key != NULL || s->mode))
		opt_wrong(&set, "--schema, --key and --mode go with --table");
}

static int
query(struct loader *run)
{
	struct load *l = run->ctx;
	int rc;

	run->receipt.verb = "load";
	run->receipt.table = run->table;
	rc = load_open(l);
	return rc == RC_OK ? stage_query(l, l->query) : rc;
}

static int
work(struct load *l, char **files, size_t n, uint64_t apps)
{
	struct loader *run = &l->run;
	int rc;

	if (l->query != NULL)
		return loader_work(run, query, apps);
	if (run->verb != VERB_LOAD)
		return loader_work(run, run_verb, apps);
	if (run->table == NULL)
		return loader_work(run, run->verify ? run_verify : NULL, apps);
	rc = load_open(l);
	return rc == RC_OK ? loader_feed(run, files, n) : rc;
}

static int
run(struct load *l, char **files, size_t n)
{
	struct loader *r = &l->run;
	uint64_t apps = 0;
	int rc = loader_stdout();

	if (rc == RC_OK)
		rc = bq_start(l->b, BQ_OPS | (r->setup ? BQ_NEW : 0));
	if (rc != RC_OK)
		return rc;
	if (bq_checking(l->b))
		return bq_check(l->b);
	if (r->setup)
		rc = run_setup(l);
	if (rc == RC_OK && r->apps != NULL)
		rc = plain_apps(l, r->apps, &apps);
	if (rc == RC_OK)
		rc = work(l, files, n, apps);
	load_close(l);
	return rc;
}

int
main(int argc, char **argv)
{
	struct settings s = {0};
	struct load *l = &s.l;
	int key, rc;

	diag_init(argv[0]);
	load_init(l);
	l->b = bq_open("bq-load/" WEIR_VERSION);
	while ((key = opt_next(&set, argc, argv)) != -1)
		take(&s, key);
	check_options(&s, opt_index() < argc);
	signal(SIGPIPE, SIG_IGN);
	sig_init();
	stats_start();
	rc = run(l, argv + opt_index(), (size_t)(argc - opt_index()));
	loader_release(&l->run);
	bq_close(l->b);
	stats_end(rc);
	if (sig_pending() != 0)
		sig_die(sig_pending());
	return rc;
}
