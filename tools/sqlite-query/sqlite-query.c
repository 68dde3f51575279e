/* Runs a query on a SQLite database; its rows are NDJSON. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "box.h"
#include "date.h"
#include "db.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "opt.h"
#include "out.h"
#include "rows.h"
#include "stats.h"
#include "stream.h"
#include "sys.h"

enum {
	OPT_DB = OPT_TOOL,
	OPT_FILE,
	OPT_PARAM,
	OPT_BOX,
	OPT_NUMBERS,
	OPT_OMIT_NULL,
	OPT_WRITE,
	OPT_SOURCE,
	OPT_FEED,
	OPT_DATE,
	OPT_WAIT,
};

enum { PARAMS_MAX = 100, WAIT_S = 60, WAIT_MAX = 86400, SQL_MAX = 1 << 20 };
#define ROW_MAX ((size_t)2 << 30)

static const struct opt options[] = {
    {"db", OPT_DB, "file", "the database"},
    {"file", OPT_FILE, "sql", "read the query from there"},
    {"param", OPT_PARAM, "name=value", "bind a parameter; name:type=value"},
    {"box", OPT_BOX, NULL, "a table for people instead of NDJSON"},
    {"numbers", OPT_NUMBERS, "columns", "texts there are exact numbers"},
    {"omit-null", OPT_OMIT_NULL, "columns", "leave members out where null"},
    {"write", OPT_WRITE, NULL, "let it change the database, in a transaction"},
    {"source", OPT_SOURCE, "name", "the rows are a partition of this source"},
    {"feed", OPT_FEED, "name", "its feed"},
    {"date", OPT_DATE, "date", "its date"},
    {"wait", OPT_WAIT, "seconds", "for a lock, default 60"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "--db file [option ...] query\n"
    "--db file [option ...] --file sql",
    {options},
};

enum type { TYPE_TEXT, TYPE_INT, TYPE_REAL, TYPE_NULL };

struct param {
	char *name;
	enum type type;
	const char *value;
	bool used;
};

struct query {
	const char *db, *file, *numbers, *omit;
	struct part_desc part;
	bool box, write;
	unsigned wait_s;
	struct param param[PARAMS_MAX];
	size_t params;
	char date[DATE_LEN + 1];
	struct buf sql;
	struct out out;
	uint64_t rows;
};

/* ---- options ---- */

static enum type
type_named(const char *word)
{
	static const char *const words[] = {"text", "int", "real", "null"};

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (strcmp(word, words[i]) == 0)
			return (enum type)i;
	opt_wrong(&set, "--param: types are text, int, real and null");
}

static void
take_param(struct query *q)
{
	const char *text = opt_arg(), *eq = strchr(text, '=');
	struct param *p = &q->param[q->params];
	char *colon;

	if (eq == NULL || eq == text)
		opt_wrong(&set, "--param: not name=value");
	if (q->params == PARAMS_MAX)
		opt_wrong(&set, "--param: at most 100");
	p->name = xstrndup(text, (size_t)(eq - text));
	p->value = eq + 1;
	colon = strchr(p->name, ':');
	if (colon != NULL) {
		*colon = '\0';
		p->type = type_named(colon + 1);
	}
	q->params++;
}

static void
take(struct query *q, int key)
{
	switch (key) {
	case OPT_DB:
		q->db = opt_arg();
		break;
	case OPT_FILE:
		q->file = opt_arg();
		break;
	case OPT_PARAM:
		take_param(q);
		break;
	case OPT_BOX:
		q->box = true;
		break;
	case OPT_NUMBERS:
		q->numbers = opt_arg();
		break;
	case OPT_OMIT_NULL:
		q->omit = opt_arg();
		break;
	case OPT_WRITE:
		q->write = true;
		break;
	case OPT_SOURCE:
		q->part.source = opt_arg();
		break;
	case OPT_FEED:
		q->part.feed = opt_arg();
		break;
	case OPT_DATE:
		date_format(opt_date(), q->date);
		q->part.date = q->date;
		break;
	default:
		q->wait_s = (unsigned)opt_u64(0, WAIT_MAX);
		break;
	}
}

static int
take_query(struct query *q, int argc, char **argv)
{
	bool part = q->part.source != NULL;

	if (q->db == NULL || *q->db == '\0')
		opt_wrong(&set, "--db is missing");
	if (argc > 1 || (argc == 1) == (q->file != NULL))
		opt_wrong(&set, "one query, as the last argument or --file");
	if (part != (q->part.feed != NULL) || part != (q->part.date != NULL))
		opt_wrong(&set, "--source, --feed and --date go together");
	if (part && q->box)
		opt_wrong(&set, "--box is no partition");
	q->part.run_id = getenv("RUN_ID");
	buf_init(&q->sql, SQL_MAX);
	if (q->file != NULL)
		return file_read(q->file, SQL_MAX - 1, &q->sql);
	buf_str(&q->sql, argv[0]);
	if (q->sql.over)
		opt_wrong(&set, "the query is over 1 MiB");
	return RC_OK;
}

/* ---- running ---- */

static int
bind_one(sqlite3_stmt *st, int at, struct param *p)
{
	char *end;
	double x;
	int64_t n;

	p->used = true;
	switch (p->type) {
	case TYPE_TEXT:
		sqlite3_bind_text(st, at, p->value, -1, SQLITE_STATIC);
		return RC_OK;
	case TYPE_NULL:
		return RC_OK;
	case TYPE_REAL:
		x = strtod(p->value, &end);
		if (end == p->value || *end != '\0')
			break;
		sqlite3_bind_double(st, at, x);
		return RC_OK;
	case TYPE_INT:
		errno = 0;
		n = strtoll(p->value, &end, 10);
		if (end == p->value || *end != '\0' || errno != 0)
			break;
		sqlite3_bind_int64(st, at, n);
		return RC_OK;
	}
	warn_msg("--param", "%s is not of its type", p->name);
	return RC_USAGE;
}

static int
bind(struct query *q, sqlite3_stmt *st)
{
	int n = sqlite3_bind_parameter_count(st), rc = RC_OK;

	for (int i = 1; rc == RC_OK && i <= n; i++) {
		const char *name = sqlite3_bind_parameter_name(st, i);
		size_t k = q->params;

		while (
		    k > 0 && (name == NULL ||
				 strcmp(name + 1, q->param[k - 1].name) != 0))
			k--;
		if (k == 0) {
			warn_msg("--param", "parameter %s is not given",
			    name != NULL ? name : "?");
			return RC_USAGE;
		}
		rc = bind_one(st, i, &q->param[k - 1]);
	}
	return rc;
}

static int
print(struct query *q, struct rows *r)
{
	struct buf line = BUF_INIT(ROW_MAX);
	struct box *box = q->box ? box_new(r, &q->out) : NULL;
	int rc = RC_OK;

	while (rc == RC_OK && !q->out.failed &&
	       (rc = db_step(r->db, r->st)) == RC_OK) {
		if (box != NULL) {
			rc = box_row(box);
		} else {
			buf_reset(&line);
			rc = rows_json(r, &line);
			if (rc == RC_OK)
				out_record(&q->out, line.p, line.len);
		}
		q->rows += rc == RC_OK;
	}
	if (box != NULL)
		box_end(box);
	buf_release(&line);
	return rc == RC_NOTREADY ? RC_OK : rc;
}

static int
run_statement(struct query *q, struct db *d, sqlite3_stmt *st)
{
	struct rows r;
	int rc;

	if (!q->write && sqlite3_stmt_readonly(st) == 0) {
		warn_msg(q->db, "the query changes the database (see --write)");
		return RC_USAGE;
	}
	rc = bind(q, st);
	if (rc != RC_OK)
		return rc;
	rc = rows_open(&r, d, st, q->numbers, q->omit);
	if (rc != RC_OK)
		return rc;
	rc = print(q, &r);
	rows_close(&r);
	return rc;
}

/* Blanks and comments are no statement: sqlite3_prepare gives none. */
static int
run_script(struct query *q, struct db *d)
{
	const char *p = buf_cstr(&q->sql), *end = p + q->sql.len;
	int done = 0, rc = RC_OK;

	while (rc == RC_OK && p < end) {
		sqlite3_stmt *st = NULL;

		if (sqlite3_prepare_v3(d->h, p, (int)(end - p), 0, &st, &p) !=
		    SQLITE_OK)
			return db_fail(d, "wrong query");
		if (st == NULL)
			continue;
		if (++done > 1 && !q->write) {
			warn_msg(
			    q->db, "more than one statement (see --write)");
			rc = RC_USAGE;
		} else {
			rc = run_statement(q, d, st);
		}
		sqlite3_finalize(st);
	}
	if (rc == RC_OK && done == 0) {
		warn_msg(q->db, "no statement");
		return RC_USAGE;
	}
	return rc;
}

static int
check_params(const struct query *q)
{
	for (size_t i = 0; i < q->params; i++)
		if (!q->param[i].used) {
			warn_msg("--param", "the query has no parameter %s",
			    q->param[i].name);
			return RC_USAGE;
		}
	return RC_OK;
}

static int
run(struct query *q, struct db *d)
{
	bool part = q->part.source != NULL;
	int rc = RC_OK;

	if (q->write)
		rc = db_begin(d);
	else if (sqlite3_exec(d->h, "PRAGMA query_only = ON", NULL, NULL,
		     NULL) != SQLITE_OK)
		rc = db_fail(d, "cannot open");
	sqlite3_limit(d->h, SQLITE_LIMIT_ATTACHED, 0);
	if (rc == RC_OK && part)
		part_write_begin(&q->out, &q->part);
	if (rc == RC_OK)
		rc = run_script(q, d);
	if (rc == RC_OK)
		rc = check_params(q);
	if (rc == RC_OK && part)
		part_write_end(&q->out, q->rows,
		    q->rows > 0 ? OUTCOME_COMPLETE : OUTCOME_EMPTY, 0, NULL,
		    NULL);
	if (q->write && rc == RC_OK) /* EPIPE is no commit */
		rc = out_flush(&q->out);
	if (q->write && rc == RC_OK)
		rc = db_commit(d);
	db_rollback(d);
	return rc;
}

int
main(int argc, char **argv)
{
	struct query q = {.wait_s = WAIT_S};
	struct db d;
	int key, rc;

	diag_init(argv[0]);
	while ((key = opt_next(&set, argc, argv)) != -1)
		take(&q, key);
	rc = take_query(&q, argc - opt_index(), argv + opt_index());
	sig_init();
	if (q.write)
		signal(SIGPIPE, SIG_IGN);
	stats_start();
	out_init(&q.out, STDOUT_FILENO, "stdout", 0);
	if (rc == RC_OK) {
		rc = db_open(&d, q.db, DB_FOREIGN | (q.write ? DB_WRITE : 0),
		    q.wait_s, NULL);
		if (rc == RC_OK) {
			rc = run(&q, &d);
			db_close(&d);
		}
	}
	rc = rc_graver(rc, out_close(&q.out));
	stats_add("rows", q.rows);
	stats_end(rc);
	for (size_t i = 0; i < q.params; i++)
		free(q.param[i].name);
	buf_release(&q.sql);
	if (sig_pending() != 0)
		sig_die(sig_pending());
	return rc;
}
