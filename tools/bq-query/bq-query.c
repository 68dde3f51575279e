/* Runs SQL on BigQuery: what it would cost, rows as NDJSON, a receipt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "query.h"
#include "stats.h"
#include "sys.h"

enum {
	OPT_FILE = OPT_TOOL,
	OPT_PARAM,
	OPT_DRY_RUN,
	OPT_WRITE,
	OPT_REQUEST,
	OPT_NUMBERS,
	OPT_JSON,
	OPT_OMIT_NULL,
	OPT_SOURCE,
	OPT_FEED,
	OPT_DATE,
	OPT_QUIET_TOO,
};

#define SQL_MAX (1u << 20)

static const struct opt options[] = {
    {"file", OPT_FILE, "sql", "read the query from there"},
    {"param", OPT_PARAM, "name=value", "a parameter; name:TYPE=value"},
    {"dry-run", OPT_DRY_RUN, NULL, "only print what it would cost"},
    {"write", OPT_WRITE, NULL, "let it change data or tables"},
    {"request", OPT_REQUEST, "text",
	"the same request is not done twice, default $RUN_ID with --write"},
    {"numbers", OPT_NUMBERS, "columns", "texts there are exact numbers"},
    {"json", OPT_JSON, "columns", "texts there may be JSON"},
    {"omit-null", OPT_OMIT_NULL, "columns", "leave members out where null"},
    {"source", OPT_SOURCE, "name", "the rows are a partition of this source"},
    {"feed", OPT_FEED, "name", "its feed"},
    {"date", OPT_DATE, "date", "its date"},
    {"quiet", OPT_QUIET_TOO, NULL, "no notes on cost and earlier runs"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "[option ...] query\n"
    "[option ...] --file sql\n"
    "--check [option ...]",
    {options, bq_options, http_options, NULL},
};

struct run {
	struct bq *bq;
	struct params params;
	struct bq_query query;
	struct bq_rows rows;
	struct part_desc part;
	const char *file, *request;
	char date[DATE_LEN + 1];
	bool dry, write, quiet;
	size_t statements;
	struct buf text, sql;
	struct out out;
};

/* ---- options ---- */

static void
take(struct run *r, int key)
{
	const char *wrong;

	switch (key) {
	case OPT_FILE:
		r->file = opt_arg();
		break;
	case OPT_PARAM:
		wrong = param_take(&r->params, opt_arg());
		if (wrong != NULL)
			opt_wrong(&set, "--param: %s", wrong);
		break;
	case OPT_DRY_RUN:
		r->dry = true;
		break;
	case OPT_WRITE:
		r->write = true;
		break;
	case OPT_REQUEST:
		r->request = opt_arg();
		break;
	case OPT_NUMBERS:
		r->rows.numbers = opt_arg();
		break;
	case OPT_JSON:
		r->rows.json = opt_arg();
		break;
	case OPT_OMIT_NULL:
		r->rows.omit_null = opt_arg();
		break;
	case OPT_SOURCE:
		r->part.source = opt_arg();
		break;
	case OPT_FEED:
		r->part.feed = opt_arg();
		break;
	case OPT_DATE:
		date_format(opt_date(), r->date);
		r->part.date = r->date;
		break;
	case OPT_QUIET_TOO:
		r->quiet = true;
		break;
	default:
		bq_opt(r->bq, key);
		break;
	}
}

static void
check_params(const struct run *r)
{
	for (size_t i = 0; i < r->params.n; i++)
		if (!bq_sql_uses(r->text.p, r->text.len, r->params.p[i].name))
			opt_wrong(&set, "--param: the query has no @%s",
			    r->params.p[i].name);
}

/* The text and what is said about it. RC_OK, or not, said. */
static int
complete(struct run *r, int argc, char **argv)
{
	bool part = r->part.source != NULL;
	int rc;

	if (bq_checking(r->bq)) {
		if (argc > 0 || r->file != NULL)
			opt_wrong(&set, "--check takes no query");
		return RC_OK;
	}
	if (argc > 1 || (argc == 1) == (r->file != NULL))
		opt_wrong(&set, "one query, as the last argument or --file");
	if (part != (r->part.feed != NULL) || part != (r->part.date != NULL))
		opt_wrong(&set, "--source, --feed and --date go together");
	if (part && (r->write || r->dry))
		opt_wrong(&set, "a partition is made of rows, by reading");
	r->part.run_id = getenv("RUN_ID");
	if (r->file != NULL) {
		rc = file_read(r->file, SQL_MAX - 1, &r->text);
		if (rc != RC_OK)
			return rc;
	} else {
		buf_str(&r->text, argv[0]);
	}
	if (r->text.over)
		opt_wrong(&set, "the query is over 1 MiB");
	buf_cstr(&r->text);
	r->statements = bq_sql_statements(r->text.p, r->text.len);
	if (r->statements == 0)
		opt_wrong(&set, "no statement");
	check_params(r);
	return RC_OK;
}

/* ---- cost ---- */

static void
human(uint64_t bytes, char out[32])
{
	static const char *const units[] = {
	    "bytes", "KiB", "MiB", "GiB", "TiB"};
	uint64_t whole = bytes, tenth = 0;
	int u = 0;

	while (whole >= 1024 && u < 4) {
		tenth = whole % 1024 * 10 / 1024;
		whole /= 1024;
		u++;
	}
	if (u == 0)
		snprintf(out, 32, "%llu bytes", (unsigned long long)bytes);
	else
		snprintf(out, 32, "%llu.%llu %s", (unsigned long long)whole,
		    (unsigned long long)tenth, units[u]);
}

static void
print_estimate(struct run *r, const struct bq_estimate *e)
{
	struct buf line = BUF_INIT(4096);
	struct jsonw w;

	jsonw_begin(&w, &line, '{');
	jsonw_bool(&w, "dry_run", true);
	jsonw_u64(&w, "bytes_processed", e->bytes);
	jsonw_str(&w, "accuracy", e->accuracy);
	jsonw_str(&w, "statement", e->statement);
	jsonw_u64(&w, "max_bytes_billed", bq_max_bytes(r->bq));
	jsonw_str(&w, "location", bq_location(r->bq));
	jsonw_end(&w);
	out_record(&r->out, line.p, line.len);
	buf_release(&line);
}

/* SELECT, or WITH … SELECT, where the service does not tell. */
static bool
reads_by_text(const struct run *r)
{
	const char *p = r->sql.p;

	while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r' || *p == '(')
		p++;
	return strncasecmp(p, "select", 6) == 0 ||
	       strncasecmp(p, "with", 4) == 0;
}

static bool
only_reads(const struct run *r, const struct bq_estimate *e)
{
	if (r->statements > 1)
		return false;
	return *e->statement != '\0' ? strcmp(e->statement, "SELECT") == 0
				     : reads_by_text(r);
}

/* A dry run, which is free, before the real one. */
static int
estimate(struct run *r, struct bq_estimate *e)
{
	char cost[32], most[32];
	int rc = bq_dry_run(r->bq, &r->query, e);

	/* what a script makes on its way is not there in a dry run */
	if (rc == RC_CONTRACT && r->statements > 1 && r->write && !r->dry) {
		if (!r->quiet)
			warn_msg(
			    NULL, "warning: no estimate: %s", bq_why(r->bq));
		return RC_OK;
	}
	if (rc != RC_OK) {
		warn_msg(bq_project(r->bq), "%s", bq_why(r->bq));
		return rc;
	}
	human(e->bytes, cost);
	human(bq_max_bytes(r->bq), most);
	if (r->dry) {
		print_estimate(r, e);
	} else if (!r->quiet) {
		warn_msg(NULL, "reads %s%s (at most %s)", cost,
		    strcmp(e->accuracy, "UPPER_BOUND") == 0 ? " or less" : "",
		    most);
	}
	if (e->bytes > bq_max_bytes(r->bq)) {
		warn_msg("--max-bytes-billed",
		    "the query reads %s, more than %s: it was not run", cost,
		    most);
		return RC_CONTRACT;
	}
	if (!r->dry && !r->write && !only_reads(r, e)) {
		warn_msg(bq_project(r->bq),
		    "the query changes something, or is more than one "
		    "statement (see --write)");
		return RC_USAGE;
	}
	return RC_OK;
}

/* ---- the job ---- */

/*
 * The id of the job. A request with a name has one of its own, so that running
 * it again finds the job; what only reads has a random one.
 */
static void
name_job(struct run *r, char id[BQ_ID])
{
	const char *run = getenv("RUN_ID");
	const char *name = r->request;
	struct buf params = BUF_INIT(16u << 20);
	const char *parts[7];

	if (name == NULL && r->write && run != NULL && *run != '\0')
		name = run;
	if (name == NULL) {
		bq_random_id(id, "bqquery");
		return;
	}
	params_print(&r->params, &params);
	parts[0] = bq_project(r->bq);
	parts[1] = bq_core(r->bq);
	parts[2] = bq_ops(r->bq);
	parts[3] = name;
	parts[4] = r->query.sql;
	parts[5] = buf_cstr(&params);
	parts[6] = bq_born(r->bq);
	bq_job_id(id, "bqquery", parts, 7);
	buf_release(&params);
}

static void
print_receipt(struct run *r, const struct bq_job *j)
{
	struct buf line = BUF_INIT(1u << 16);
	struct jsonw w;

	jsonw_begin(&w, &line, '{');
	bq_job_write(&w, j);
	jsonw_end(&w);
	out_record(&r->out, line.p, line.len);
	buf_release(&line);
}

/* The rows of it; a receipt where it has none. */
static int
print_result(struct run *r, const struct bq_job *j)
{
	bool part = r->part.source != NULL;
	int rc;

	if (part)
		part_write_begin(&r->out, &r->part);
	r->rows.out = &r->out;
	rc = bq_rows_read(r->bq, j, &r->rows);
	if (rc != RC_OK) {
		if (!r->out.failed)
			warn_msg(j->id, "%s", bq_why(r->bq));
		return rc;
	}
	if (r->write && !r->rows.columns)
		print_receipt(r, j);
	if (part)
		part_write_end(&r->out, r->rows.rows,
		    r->rows.rows > 0 ? OUTCOME_COMPLETE : OUTCOME_EMPTY, 0,
		    NULL, NULL);
	return RC_OK;
}

/* Does the statement give rows? What is not told may. */
static bool
has_rows(const struct bq_job *j)
{
	return *j->statement == '\0' || strcmp(j->statement, "SELECT") == 0 ||
	       strcmp(j->statement, "SCRIPT") == 0;
}

static int
run_job(struct run *r)
{
	char id[BQ_ID];
	struct bq_job j;
	int rc;

	name_job(r, id);
	rc = bq_query_run(r->bq, &r->query, id, r->statements == 1, &j);
	if (rc != RC_OK) {
		warn_msg(bq_project(r->bq), "%s", bq_why(r->bq));
		return rc;
	}
	stats_text("job", j.id);
	if (j.found && !r->quiet)
		warn_msg(
		    j.id, "was done by an earlier run: nothing was sent again");
	if (r->write && !has_rows(&j)) {
		print_receipt(r, &j);
		return RC_OK;
	}
	return print_result(r, &j);
}

static int
work(struct run *r)
{
	struct bq_estimate e;
	int rc = bq_start(r->bq, BQ_ELSEWHERE);

	if (rc != RC_OK)
		return rc;
	if (bq_checking(r->bq))
		return bq_check(r->bq);
	bq_sql(r->bq, r->text.p, r->text.len, &r->sql);
	r->query.sql = buf_cstr(&r->sql);
	r->query.params = r->params.p;
	r->query.nparams = r->params.n;
	rc = estimate(r, &e);
	if (rc == RC_OK && !r->dry)
		rc = run_job(r);
	return rc;
}

int
main(int argc, char **argv)
{
	struct run r = {0};
	int key, rc;

	diag_init(argv[0]);
	buf_init(&r.text, SQL_MAX);
	buf_init(&r.sql, 4 * SQL_MAX);
	r.bq = bq_open("bq-query/" WEIR_VERSION);
	while ((key = opt_next(&set, argc, argv)) != -1)
		take(&r, key);
	rc = complete(&r, argc - opt_index(), argv + opt_index());
	sig_init();
	stats_start();
	out_init(&r.out, STDOUT_FILENO, "stdout", 0);
	if (rc == RC_OK)
		rc = work(&r);
	rc = rc_graver(rc, out_close(&r.out));
	stats_add("rows", r.rows.rows);
	bq_close(r.bq);
	stats_end(rc);
	params_release(&r.params);
	buf_release(&r.text);
	buf_release(&r.sql);
	if (sig_pending() != 0)
		sig_die(sig_pending());
	return rc;
}
