/* Loads records into a SQLite warehouse, by batches. */
#include <signal.h>
#include <string.h>

#include "db.h"
#include "diag.h"
#include "dim_apps.h"
#include "exits.h"
#include "load.h"
#include "schema.h"
#include "stats.h"
#include "sys.h"

enum {
	OPT_DB = OPT_TOOL,
	OPT_MODE,
	OPT_CREATE,
	OPT_COLUMNS,
	OPT_VERSIONED,
	OPT_WAIT,
	OPT_REQUIRE_STATE,
	OPT_FOREIGN,
};

enum { WAIT_S = 60, WAIT_MAX = 86400, PATH_LEN = 4096, COLUMNS_LEN = 65536 };

static const struct opt options[] = {
    {"db", OPT_DB, "file", "the database"},
    {"key", LOADER_KEY, "columns", "what names a row, default the primary key"},
    {"mode", OPT_MODE, "mode", "replace, upsert, append or ignore"},
    {"setup", LOADER_SETUP, NULL, "make or check the database"},
    {"create", OPT_CREATE, NULL, "make the table where it is missing"},
    {"columns", OPT_COLUMNS, "list", "its columns, name:type,name:type"},
    {"versioned", OPT_VERSIONED, NULL, "make it under batch rules"},
    {"wait", OPT_WAIT, "seconds", "for other writers, default 60"},
    {"require-state", OPT_REQUIRE_STATE, NULL, "refuse a missing database"},
    {"foreign", OPT_FOREIGN, NULL, "a database that weir did not make"},
    {"verify", LOADER_VERIFY, NULL, "check every generation's rows"},
    {"quiet", OPT_QUIET, NULL, "no progress line on a terminal"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "--db file --table name [--batch id] [--stage] [option ...] [file ...]\n"
    "--db file --publish id | --abort id | --rollback id | --quarantine id\n"
    "--db file --setup [--apps conf]\n"
    "--db file --verify",
    {options, loader_options},
};

struct settings {
	struct load l;
	const char *db;
	unsigned wait_s;
	bool require, foreign;
};

static enum mode
take_mode(const char *text)
{
	for (enum mode m = MODE_REPLACE; m <= MODE_IGNORE; m++)
		if (strcmp(text, mode_word(m)) == 0)
			return m;
	opt_wrong(&set, "--mode: neither replace, upsert, append nor ignore");
}

static const char *
take_text(size_t max)
{
	size_t n = strlen(opt_arg());

	if (n == 0 || n > max)
		opt_wrong(&set, "%s: empty or too long", opt_name());
	return opt_arg();
}

static void
take(struct settings *s, int key)
{
	struct load *l = &s->l;

	switch (key) {
	case OPT_DB:
		s->db = take_text(PATH_LEN);
		break;
	case OPT_MODE:
		l->mode = take_mode(opt_arg());
		break;
	case OPT_CREATE:
		l->create = true;
		break;
	case OPT_COLUMNS:
		l->made.columns = take_text(COLUMNS_LEN);
		break;
	case OPT_VERSIONED:
		l->made.versioned = true;
		break;
	case OPT_WAIT:
		s->wait_s = (unsigned)opt_u64(0, WAIT_MAX);
		break;
	case OPT_REQUIRE_STATE:
		s->require = true;
		break;
	case OPT_FOREIGN:
		s->foreign = true;
		break;
	default:
		loader_opt(&l->run, &set, key);
		break;
	}
}

static void
check_options(struct settings *s, bool operands)
{
	struct load *l = &s->l;
	struct loader *run = &l->run;

	if (s->db == NULL)
		opt_wrong(&set, "--db is missing");
	loader_check(run, &set, operands);
	if (!l->create && (l->made.columns != NULL || l->made.versioned))
		opt_wrong(&set, "--columns and --versioned go with --create");
	if (l->made.versioned && (run->key == NULL || s->foreign))
		opt_wrong(&set, "--versioned needs --key and a warehouse");
	if (s->foreign && (run->apps != NULL || run->verb != VERB_LOAD))
		opt_wrong(&set, "--foreign is for --table only");
	l->made.name = run->table;
	l->made.key = run->key;
}

/* A verb, in a transaction of its own. */
static int
verb(struct loader *run)
{
	struct load *l = run->ctx;
	int status = RC_OK, rc = db_begin(l->db);

	if (rc == RC_OK)
		rc = batch_verb(l->db, run->verb, run->verb_batch,
		    run->generation, &run->policy, &run->receipt, &status);
	if (rc == RC_OK)
		rc = db_commit(l->db);
	if (rc == RC_OK)
		return RC_OK;
	db_rollback(l->db);
	verb_undone(&run->receipt);
	return rc == RC_FINDINGS ? status : rc;
}

static int
verify(struct loader *run)
{
	struct load *l = run->ctx;

	return batch_verify(l->db, &run->receipt);
}

static int
with_input(struct load *l, char **files, size_t n)
{
	int rc = load_open(l);

	if (rc == RC_OK)
		rc = loader_feed(&l->run, files, n);
	load_close(l);
	return rc;
}

static int
run(struct settings *s, char **files, size_t n)
{
	struct load *l = &s->l;
	struct loader *r = &l->run;
	bool make = r->verb == VERB_LOAD && !r->verify && !s->require;
	uint64_t apps = 0;
	struct db d;
	int rc = loader_stdout();

	if (rc == RC_OK)
		rc = db_open(&d, s->db,
		    DB_WRITE | (make ? DB_MAKE : 0) |
			(s->foreign ? DB_FOREIGN : 0),
		    s->wait_s, s->foreign ? NULL : schema_lines);
	if (rc != RC_OK)
		return rc;
	l->db = &d;
	if (r->apps != NULL)
		rc = apps_load(&d, r->apps, &apps);
	if (rc == RC_OK && r->table != NULL)
		rc = with_input(l, files, n);
	else if (rc == RC_OK)
		rc = loader_work(r,
		    r->verb != VERB_LOAD ? verb
		    : r->verify          ? verify
					 : NULL,
		    apps);
	db_close(&d);
	return rc;
}

int
main(int argc, char **argv)
{
	struct settings s = {.wait_s = WAIT_S};
	bool reads;
	int key, rc;

	diag_init(argv[0]);
	load_init(&s.l);
	while ((key = opt_next(&set, argc, argv)) != -1)
		take(&s, key);
	check_options(&s, opt_index() < argc);
	reads = s.l.run.table != NULL; /* then the filter counts and tells */
	signal(SIGPIPE, SIG_IGN);
	sig_init();
	if (!reads)
		stats_start();
	rc = run(&s, argv + opt_index(), (size_t)(argc - opt_index()));
	loader_release(&s.l.run);
	if (!reads)
		stats_end(rc);
	if (sig_pending() != 0)
		sig_die(sig_pending());
	return rc;
}
