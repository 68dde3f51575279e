/* Loads records into BigQuery, by batches. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "load.h"
#include "stats.h"
#include "sys.h"

enum {
	OPT_TABLE = OPT_TOOL,
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
	OPT_SCHEMA,
	OPT_QUERY,
	OPT_FINGERPRINT,
	OPT_FETCHED_AT,
	OPT_ALLOW_EMPTY,
	OPT_ALLOW_PARTIAL,
	OPT_FORCE,
	OPT_SOURCE,
	OPT_FEED,
	OPT_DATE,
	OPT_STATE,
	OPT_VERIFY,
	OPT_NO_GZIP,
};

enum { REASON_LEN = 2000, RECEIPT_MAX = 1 << 30 };

static const struct opt options[] = {
    {"table", OPT_TABLE, "name", "the table to load"},
    {"key", OPT_KEY, "columns", "what names a row of a table of one's own"},
    {"mode", OPT_MODE, "mode", "upsert or replace, without batch rules"},
    {"batch", OPT_BATCH, "id", "the whole stream is this batch"},
    {"stage", OPT_STAGE, NULL, "stage only"},
    {"publish", OPT_PUBLISH, "id", "publish what the batch has staged"},
    {"abort", OPT_ABORT, "id", "forget what the batch has staged"},
    {"rollback", OPT_ROLLBACK, "id", "take its visible generation back"},
    {"quarantine", OPT_QUARANTINE, "id", "keep what is staged unpublished"},
    {"reason", OPT_REASON, "text", "why, for these verbs"},
    {"generation", OPT_GENERATION, "n", "the verb is for this one only"},
    {"setup", OPT_SETUP, NULL, "make or check datasets and tables"},
    {"apps", OPT_APPS, "conf", "load dim_apps from this configuration"},
    {"schema", OPT_SCHEMA, "file", "the table's fields, made where missing"},
    {"query", OPT_QUERY, "file", "stage what this SELECT gives"},
    {"fingerprint", OPT_FINGERPRINT, "hex", "digest of what it is made of"},
    {"fetched-at", OPT_FETCHED_AT, "time", "when it was fetched, RFC 3339"},
    {"allow-empty", OPT_ALLOW_EMPTY, NULL, "let empty replace rows"},
    {"allow-partial", OPT_ALLOW_PARTIAL, NULL, "publish partial partitions"},
    {"force", OPT_FORCE, NULL, "publish older, stage equal generations"},
    {"source", OPT_SOURCE, "name", "source system of plain input"},
    {"feed", OPT_FEED, "name", "feed of plain input"},
    {"date", OPT_DATE, "date", "date of plain input"},
    {"state", OPT_STATE, "dir",
	"where uploads are remembered, default $WEIR_HOME/bq"},
    {"verify", OPT_VERIFY, NULL, "count every generation's rows"},
    {"no-gzip", OPT_NO_GZIP, NULL, "send rows unpacked, for emulators"},
    /* the common ones, said for a loader */
    {"rejects", OPT_REJECTS, "file", "keep bad records there and go on"},
    {"max-rejects", OPT_MAX_REJECTS, "count",
	"most rejected records published, or N%, default 0"},
    {"max-line", OPT_MAX_LINE, "size", "longest line in bytes, default 16M"},
    {"plain", OPT_PLAIN, NULL, "the input is one partition, named here"},
    {"quiet", OPT_QUIET, NULL, "no progress, no word of what it will cost"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "--table name [--batch id] [--stage] [option ...] [file ...]\n"
    "--publish id | --abort id | --rollback id | --quarantine id\n"
    "--table name --query file --source name --feed name --date date\n"
    "--setup [--apps conf]\n"
    "--verify",
    {options, bq_options, http_options},
};

struct settings {
	struct filter f;
	struct load l;
	const char *apps, *batch, *query;
	enum verb verb;
	int64_t generation;
	bool setup, verify, limit, mode;
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

/* It stands in SQL between backticks. */
static bool
name_ok(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= 300 &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == n;
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

static void
take_mode(struct settings *s)
{
	s->mode = true;
	if (strcmp(opt_arg(), "replace") == 0)
		s->l.replace = true;
	else if (strcmp(opt_arg(), "upsert") != 0)
		opt_wrong(&set, "--mode: neither upsert nor replace");
}

/* Options with a value of their own. */
static void
take_value(struct settings *s, int key)
{
	struct load *l = &s->l;

	switch (key) {
	case OPT_TABLE:
		l->table = opt_arg();
		if (!name_ok(l->table))
			opt_wrong(&set, "--table: not the name of a table");
		break;
	case OPT_KEY:
		take_text(&l->key, 4096);
		break;
	case OPT_MODE:
		take_mode(s);
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
	case OPT_SCHEMA:
		take_text(&l->schema, 4096);
		break;
	case OPT_QUERY:
		take_text(&s->query, 4096);
		break;
	case OPT_STATE:
		take_text(&l->state, 4096);
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
	case OPT_ALLOW_EMPTY:
		l->policy.allow_empty = true;
		break;
	case OPT_ALLOW_PARTIAL:
		l->policy.allow_partial = true;
		break;
	case OPT_FORCE:
		l->policy.force = true;
		break;
	case OPT_VERIFY:
		s->verify = true;
		break;
	case OPT_NO_GZIP:
		l->no_gzip = true;
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
	if (bq_opt(s->l.b, key))
		return;
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (verbs[i].key == key)
			take_verb(s, verbs[i].verb);
	take_value(s, key);
	take_flag(s, key);
}

static void
check_query(struct settings *s, bool operands)
{
	struct load *l = &s->l;

	if (s->query == NULL)
		return;
	if (l->table == NULL || strcmp(l->table, "fact_kpi_daily") != 0)
		opt_wrong(&set, "--query goes with --table fact_kpi_daily");
	if (l->source == NULL || l->feed == NULL || l->date == NULL)
		opt_wrong(&set, "--query needs --source, --feed and --date");
	if (operands)
		opt_wrong(&set, "--query reads no files");
}

static void
check_options(struct settings *s, bool operands)
{
	struct load *l = &s->l;
	bool reads = l->table != NULL;

	if (bq_checking(l->b))
		return;
	if (http_replaying(bq_http(l->b)))
		opt_wrong(&set, "--replay: what was loaded cannot be loaded "
				"from a recording");
	if (s->verb != VERB_LOAD && (reads || s->setup || s->verify || s->apps))
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
	check_query(s, operands);
	if (!s->f.plain_out && s->query == NULL &&
	    (l->source || l->feed || l->date))
		opt_wrong(&set, "--source, --feed, --date go with --plain");
	if (reads && strcmp(l->table, "fact_kpi_daily") == 0 &&
	    (l->schema != NULL || l->key != NULL || (s->mode && !l->replace)))
		opt_wrong(&set,
		    "--schema, --key and --mode upsert are for tables without "
		    "batch rules");
	if (!reads && (l->schema != NULL || l->key != NULL || s->mode))
		opt_wrong(&set, "--schema, --key and --mode go with --table");
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
tell(struct load *l)
{
	struct buf text = BUF_INIT(RECEIPT_MAX);
	int rc;

	load_cost(l);
	receipt_write(&l->receipt, &text);
	rc = out_stdout_text(text.p, text.len);
	buf_release(&text);
	return rc;
}

/* What needs no input: a verb, the check, the tables alone, a query. */
static int
without_input(struct settings *s, uint64_t apps)
{
	struct load *l = &s->l;
	int rc = RC_OK, told;

	if (s->query != NULL) {
		rc = load_open(l);
		if (rc == RC_OK)
			rc = stage_query(l, s->query);
	} else if (s->verb != VERB_LOAD) {
		rc = run_verb(l, s->verb, s->batch, s->generation);
	} else if (s->verify) {
		rc = run_verify(l);
	}
	for (size_t i = 0; i < l->receipt.n; i++)
		stats_add("rows", l->receipt.slot[i]->rows);
	stats_add("apps", apps);
	told = tell(l);
	return rc_graver(rc, told);
}

static int
with_input(struct settings *s, char **files, size_t n)
{
	struct load *l = &s->l;
	int rc = load_open(l), told = RC_OK;

	if (rc != RC_OK)
		return rc;
	load_callbacks(l, &s->f);
	rc = filter_run(&s->f, files, n);
	l->receipt.rejected = s->f.rejects.count;
	if (!l->told)
		told = tell(l);
	return rc_graver(rc, told);
}

static int
run(struct settings *s, char **files, size_t n)
{
	struct load *l = &s->l;
	uint64_t apps = 0;
	int rc = check_stdout();

	if (rc == RC_OK)
		rc = bq_start(l->b, BQ_OPS | (s->setup ? BQ_NEW : 0));
	if (rc != RC_OK)
		return rc;
	if (bq_checking(l->b))
		return bq_check(l->b);
	l->receipt.verb = "setup";
	if (s->setup)
		rc = run_setup(l);
	if (rc == RC_OK && s->apps != NULL)
		rc = plain_apps(l, s->apps, &apps);
	if (rc == RC_OK)
		rc = l->table != NULL && s->query == NULL
			 ? with_input(s, files, n)
			 : without_input(s, apps);
	load_close(l);
	receipt_release(&l->receipt);
	return rc;
}

int
main(int argc, char **argv)
{
	struct settings s = {0};
	int key, rc;

	diag_init(argv[0]);
	filter_init(&s.f);
	s.l.b = bq_open("bq-load/" WEIR_VERSION);
	s.l.policy.fingerprint = "";
	s.l.run_id = getenv("RUN_ID");
	while ((key = opt_next(&set, argc, argv)) != -1)
		take(&s, key);
	check_options(&s, opt_index() < argc);
	s.l.policy.max_rejects = s.limit ? s.f.rejects.max : 0;
	s.l.policy.max_percent = s.limit ? s.f.rejects.percent : -1;
	s.l.quiet = s.f.quiet;
	signal(SIGPIPE, SIG_IGN);
	sig_init();
	stats_start();
	rc = run(&s, argv + opt_index(), (size_t)(argc - opt_index()));
	buf_release(&s.f.begin_extra);
	bq_close(s.l.b);
	stats_end(rc);
	if (sig_pending() != 0)
		sig_die(sig_pending());
	return rc;
}
