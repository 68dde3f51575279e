/* Loads records into a SQLite warehouse, by batches. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "date.h"
#include "db.h"
#include "diag.h"
#include "dim_apps.h"
#include "exits.h"
#include "file.h"
#include "filter.h"
#include "load.h"
#include "schema.h"
#include "stats.h"
#include "sys.h"

enum {
	OPT_DB = OPT_TOOL,
	OPT_TABLE,
	OPT_KEY,
	OPT_MODE,
	OPT_BATCH,
	OPT_STAGE,
	OPT_PUBLISH,
	OPT_ABORT,
	OPT_ROLLBACK,
	OPT_QUARANTINE,
	OPT_REASON,
	OPT_GENERATION,
	OPT_SETUP,
	OPT_APPS,
	OPT_CREATE,
	OPT_COLUMNS,
	OPT_VERSIONED,
	OPT_FINGERPRINT,
	OPT_FETCHED_AT,
	OPT_ALLOW_EMPTY,
	OPT_ALLOW_PARTIAL,
	OPT_FORCE,
	OPT_SOURCE,
	OPT_FEED,
	OPT_DATE,
	OPT_WAIT,
	OPT_REQUIRE_STATE,
	OPT_FOREIGN,
	OPT_VERIFY,
};

enum {
	WAIT_S = 60,
	WAIT_MAX = 86400,
	REASON_LEN = 2000,
	RECEIPT_MAX = 1 << 30
};

static const struct opt options[] = {
    {"db", OPT_DB, "file", "the database"},
    {"table", OPT_TABLE, "name", "the table to load"},
    {"key", OPT_KEY, "columns", "what names a row, default the primary key"},
    {"mode", OPT_MODE, "mode", "replace, upsert, append or ignore"},
    {"batch", OPT_BATCH, "id", "the whole stream is this batch"},
    {"stage", OPT_STAGE, NULL, "stage only"},
    {"publish", OPT_PUBLISH, "id", "publish what the batch has staged"},
    {"abort", OPT_ABORT, "id", "forget what the batch has staged"},
    {"rollback", OPT_ROLLBACK, "id", "take its visible generation back"},
    {"quarantine", OPT_QUARANTINE, "id", "keep what is staged unpublished"},
    {"reason", OPT_REASON, "text", "why, for these verbs"},
    {"generation", OPT_GENERATION, "n", "the verb is for this one only"},
    {"setup", OPT_SETUP, NULL, "make or check the database"},
    {"apps", OPT_APPS, "conf", "load dim_apps from this configuration"},
    {"create", OPT_CREATE, NULL, "make the table where it is missing"},
    {"columns", OPT_COLUMNS, "list", "its columns, name:type,name:type"},
    {"versioned", OPT_VERSIONED, NULL, "make it under batch rules"},
    {"fingerprint", OPT_FINGERPRINT, "hex", "digest of what it is made of"},
    {"fetched-at", OPT_FETCHED_AT, "time", "when it was fetched, RFC 3339"},
    {"allow-empty", OPT_ALLOW_EMPTY, NULL, "let empty replace rows"},
    {"allow-partial", OPT_ALLOW_PARTIAL, NULL, "publish partial partitions"},
    {"force", OPT_FORCE, NULL, "publish older, stage equal generations"},
    {"source", OPT_SOURCE, "name", "source system of plain input"},
    {"feed", OPT_FEED, "name", "feed of plain input"},
    {"date", OPT_DATE, "date", "date of plain input"},
    {"wait", OPT_WAIT, "seconds", "for other writers, default 60"},
    {"require-state", OPT_REQUIRE_STATE, NULL, "refuse a missing database"},
    {"foreign", OPT_FOREIGN, NULL, "a database that weir did not make"},
    {"verify", OPT_VERIFY, NULL, "check every generation's rows"},
    {NULL, 0, NULL, NULL},
};

/* The common ones, said for a loader. */
static const struct opt common[] = {
    {"rejects", OPT_REJECTS, "file", "keep bad records there and go on"},
    {"max-rejects", OPT_MAX_REJECTS, "count",
	"most rejected records published, or N%, default 0"},
    {"max-line", OPT_MAX_LINE, "size", "longest line in bytes, default 16M"},
    {"plain", OPT_PLAIN, NULL, "the input is one partition, named here"},
    {"quiet", OPT_QUIET, NULL, "no progress line on a terminal"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "--db file --table name [--batch id] [--stage] [option ...] [file ...]\n"
    "--db file --publish id | --abort id | --rollback id | --quarantine id\n"
    "--db file --setup [--apps conf]\n"
    "--db file --verify",
    {options, common},
};

struct settings {
	struct filter f;
	struct load l;
	const char *db, *apps, *batch;
	enum verb verb;
	int64_t generation;
	unsigned wait_s;
	int32_t day;
	bool setup, verify, require, foreign, limit;
	char date[DATE_LEN + 1];
};

static bool
fingerprint_ok(const char *text)
{
	size_t n = strlen(text);

	return n <= 200 &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:._-") == n;
}

static enum mode
take_mode(const char *text)
{
	for (enum mode m = MODE_REPLACE; m <= MODE_IGNORE; m++)
		if (strcmp(text, mode_word(m)) == 0)
			return m;
	opt_wrong(&set, "--mode: neither replace, upsert, append nor ignore");
}

static void
take_verb(struct settings *s, enum verb verb)
{
	if (s->verb != VERB_LOAD)
		opt_wrong(&set, "%s: one verb at a time", opt_name());
	if (*opt_arg() == '\0')
		opt_wrong(&set, "%s: empty", opt_name());
	s->verb = verb;
	s->batch = opt_arg();
}

static void
take_time(struct settings *s)
{
	int64_t us;

	s->l.fetched_at = opt_arg();
	if (!time_parse(s->l.fetched_at, strlen(s->l.fetched_at), &us))
		opt_wrong(&set, "--fetched-at: not a time of RFC 3339");
}

static void
take_text(const char **to, size_t max)
{
	size_t n = strlen(opt_arg());

	if (n == 0 || n > max)
		opt_wrong(&set, "%s: empty or too long", opt_name());
	*to = opt_arg();
}

/* Options with a value of their own. */
static void
take_value(struct settings *s, int key)
{
	struct load *l = &s->l;

	switch (key) {
	case OPT_DB:
		take_text(&s->db, 4096);
		break;
	case OPT_TABLE:
		l->table = opt_arg();
		if (!table_name_ok(l->table))
			opt_wrong(&set, "--table: not the name of a table");
		break;
	case OPT_KEY:
		take_text(&l->key, 4096);
		break;
	case OPT_MODE:
		l->mode = take_mode(opt_arg());
		break;
	case OPT_BATCH:
		l->batch = opt_arg();
		if (!file_name_ok(l->batch))
			opt_wrong(&set, "--batch: 1 to 100 letters, digits, "
					"'.', '_' and '-'");
		break;
	case OPT_REASON:
		take_text(&l->policy.reason, REASON_LEN);
		break;
	case OPT_GENERATION:
		s->generation = (int64_t)opt_u64(1, INT32_MAX);
		break;
	case OPT_APPS:
		take_text(&s->apps, 4096);
		break;
	case OPT_COLUMNS:
		take_text(&l->made.columns, 65536);
		break;
	case OPT_FINGERPRINT:
		l->policy.fingerprint = opt_arg();
		if (!fingerprint_ok(opt_arg()))
			opt_wrong(&set, "--fingerprint: up to 200 letters, "
					"digits and :._-");
		break;
	case OPT_FETCHED_AT:
		take_time(s);
		break;
	case OPT_SOURCE:
		take_text(&l->source, 200);
		break;
	case OPT_FEED:
		take_text(&l->feed, 200);
		break;
	case OPT_DATE:
		date_format(opt_date(), s->date);
		l->date = s->date;
		break;
	case OPT_WAIT:
		s->wait_s = (unsigned)opt_u64(0, WAIT_MAX);
		break;
	default:
		break;
	}
}

static void
take_flag(struct settings *s, int key)
{
	struct load *l = &s->l;

	switch (key) {
	case OPT_STAGE:
		l->stage = true;
		break;
	case OPT_SETUP:
		s->setup = true;
		break;
	case OPT_CREATE:
		l->create = true;
		break;
	case OPT_VERSIONED:
		l->made.versioned = true;
		break;
	case OPT_ALLOW_EMPTY:
		l->policy.allow_empty = true;
		break;
	case OPT_ALLOW_PARTIAL:
		l->policy.allow_partial = true;
		break;
	case OPT_FORCE:
		l->policy.force = true;
		break;
	case OPT_REQUIRE_STATE:
		s->require = true;
		break;
	case OPT_FOREIGN:
		s->foreign = true;
		break;
	case OPT_VERIFY:
		s->verify = true;
		break;
	default:
		break;
	}
}

static void
take(struct settings *s, int key)
{
	static const struct {
		int key;
		enum verb verb;
	} verbs[] = {{OPT_PUBLISH, VERB_PUBLISH}, {OPT_ABORT, VERB_ABORT},
	    {OPT_ROLLBACK, VERB_ROLLBACK}, {OPT_QUARANTINE, VERB_QUARANTINE}};

	if (filter_opt(&s->f, key)) {
		s->limit = s->limit || key == OPT_MAX_REJECTS;
		return;
	}
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (verbs[i].key == key)
			take_verb(s, verbs[i].verb);
	take_value(s, key);
	take_flag(s, key);
}

static void
check_options(struct settings *s, bool operands)
{
	struct load *l = &s->l;
	bool reads = l->table != NULL;

	if (s->db == NULL)
		opt_wrong(&set, "--db is missing");
	if (s->verb != VERB_LOAD && (reads || s->setup || s->verify))
		opt_wrong(&set, "a verb stands alone");
	if (s->verb == VERB_LOAD && !reads && !s->setup && !s->verify &&
	    s->apps == NULL)
		opt_wrong(&set, "--table is missing");
	if (operands && !reads)
		opt_wrong(&set, "files are read with --table only");
	if (s->verb == VERB_LOAD && s->generation != 0)
		opt_wrong(&set, "--generation goes with a verb");
	if (s->verb == VERB_QUARANTINE && l->policy.reason == NULL)
		opt_wrong(&set, "--quarantine needs --reason");
	if (!l->create && (l->made.columns != NULL || l->made.versioned))
		opt_wrong(&set, "--columns and --versioned go with --create");
	if (l->made.versioned && (l->key == NULL || s->foreign))
		opt_wrong(&set, "--versioned needs --key and a warehouse");
	if (!s->f.plain_out && (l->source || l->feed || l->date))
		opt_wrong(&set, "--source, --feed, --date go with --plain");
	if (s->foreign && (s->apps != NULL || s->verb != VERB_LOAD))
		opt_wrong(&set, "--foreign is for --table only");
}

/* A receipt that nobody gets would leave the caller without an answer. */
static int
check_stdout(void)
{
	int mode = fcntl(STDOUT_FILENO, F_GETFL);

	if (mode >= 0 && (mode & O_ACCMODE) != O_RDONLY)
		return RC_OK;
	warn_msg("stdout", "it is closed, and the receipt goes there");
	return RC_IO;
}

static int
tell(struct receipt *r)
{
	struct buf text = BUF_INIT(RECEIPT_MAX);
	int rc;

	receipt_write(r, &text);
	rc = out_stdout_text(text.p, text.len);
	buf_release(&text);
	return rc;
}

static int
in_transaction(struct settings *s, struct db *d, struct receipt *r)
{
	int status = RC_OK, rc = db_begin(d);

	if (rc == RC_OK)
		rc = batch_verb(d, s->verb, s->batch, s->generation,
		    &s->l.policy, r, &status);
	if (rc == RC_OK)
		rc = db_commit(d);
	if (rc == RC_OK)
		return RC_OK;
	db_rollback(d);
	for (size_t i = 0; i < r->n; i++) { /* nothing was changed */
		r->slot[i]->state = "refused";
		r->slot[i]->rows = r->slot[i]->restated = 0;
	}
	return rc == RC_FINDINGS ? status : rc;
}

/* What needs no input: a verb, the check, the tables alone. */
static int
without_input(struct settings *s, struct db *d, uint64_t apps)
{
	struct receipt r = {.verb = "setup"};
	int rc = RC_OK, told;

	if (s->verb != VERB_LOAD) {
		rc = in_transaction(s, d, &r);
	} else if (s->verify) {
		rc = batch_verify(d, &r);
	}
	for (size_t i = 0; i < r.n; i++)
		stats_add("rows", r.slot[i]->rows);
	stats_add("apps", apps);
	told = tell(&r);
	receipt_release(&r);
	return rc_graver(rc, told);
}

static int
with_input(struct settings *s, char **files, size_t n)
{
	struct load *l = &s->l;
	int rc = load_open(l), told = RC_OK;

	if (rc == RC_OK) {
		load_callbacks(l, &s->f);
		rc = filter_run(&s->f, files, n);
		load_close(l);
		l->receipt.rejected = s->f.rejects.count;
		if (!l->told)
			told = tell(&l->receipt);
	} else {
		load_close(l);
		buf_release(&s->f.begin_extra);
	}
	receipt_release(&l->receipt);
	return rc_graver(rc, told);
}

static int
run(struct settings *s, char **files, size_t n)
{
	bool make = s->verb == VERB_LOAD && !s->verify && !s->require;
	struct load *l = &s->l;
	uint64_t apps = 0;
	struct db d;
	int rc = check_stdout();

	if (rc == RC_OK)
		rc = db_open(&d, s->db,
		    DB_WRITE | (make ? DB_MAKE : 0) |
			(s->foreign ? DB_FOREIGN : 0),
		    s->wait_s, s->foreign ? NULL : schema_lines);
	if (rc != RC_OK)
		return rc;
	l->db = &d;
	if (s->apps != NULL)
		rc = apps_load(&d, s->apps, &apps);
	if (rc == RC_OK)
		rc = l->table != NULL ? with_input(s, files, n)
				      : without_input(s, &d, apps);
	db_close(&d);
	return rc;
}

int
main(int argc, char **argv)
{
	struct settings s = {.wait_s = WAIT_S};
	int key, rc;

	diag_init(argv[0]);
	filter_init(&s.f);
	s.l.policy.fingerprint = "";
	s.l.run_id = getenv("RUN_ID");
	while ((key = opt_next(&set, argc, argv)) != -1)
		take(&s, key);
	check_options(&s, opt_index() < argc);
	s.l.made.name = s.l.table;
	s.l.made.key = s.l.key;
	s.l.policy.max_rejects = s.limit ? s.f.rejects.max : 0;
	s.l.policy.max_percent = s.limit ? s.f.rejects.percent : -1;
	signal(SIGPIPE, SIG_IGN);
	sig_init();
	if (s.l.table == NULL)
		stats_start();
	rc = run(&s, argv + opt_index(), (size_t)(argc - opt_index()));
	if (s.l.table == NULL)
		stats_end(rc);
	if (sig_pending() != 0)
		sig_die(sig_pending());
	return rc;
}
