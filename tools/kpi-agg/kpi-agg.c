/* Turns events and report rows into KPI rows, as the dictionary says. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agg.h"
#include "date.h"
#include "diag.h"
#include "dict.h"
#include "exits.h"
#include "filter.h"
#include "mem.h"
#include "opt.h"
#include "part.h"
#include "partial.h"
#include "reader.h"
#include "rows.h"
#include "sha.h"
#include "sql.h"
#include "stats.h"

/* Raised when partial results of an older one would not fit. */
#define FORMAT "kpi-agg 2"
#define TOLD_MAX 20 /* unknown names that get a line of their own */
#define PIECES_MAX 4096

enum {
	OPT_KPIS = OPT_TOOL,
	OPT_SOURCE,
	OPT_APPS,
	OPT_APP,
	OPT_WIDE,
	OPT_PARTIAL,
	OPT_MERGE,
	OPT_MAX_GROUPS,
	OPT_MAX_MEMORY,
	OPT_SQL,
	OPT_PROJECT,
	OPT_DATASET,
	OPT_PROPERTY,
	OPT_DATE,
	OPT_SINCE,
	OPT_UNTIL,
	OPT_INTRADAY,
	OPT_SCHEMA,
};

static const struct opt options[] = {
    {"kpis", OPT_KPIS, "file", "the KPI dictionary"},
    {"source", OPT_SOURCE, "name", "whose records these are, e.g. ga4"},
    {"apps", OPT_APPS, "file",
	"the apps; default apps.jq beside the dictionary"},
    {"app", OPT_APP, "id", "count this app alone"},
    {"wide", OPT_WIDE, NULL,
	"a record per date, app, platform and segment, metrics as members"},
    {"partial", OPT_PARTIAL, "i/n", "write a partial result, piece i of n"},
    {"merge", OPT_MERGE, NULL, "put partial results together"},
    {"max-groups", OPT_MAX_GROUPS, "count",
	"most accumulators in a partition, default 1000000"},
    {"max-memory", OPT_MAX_MEMORY, "size",
	"most memory for distinct keys, default no limit"},
    {"sql", OPT_SQL, "bigquery", "count nothing; write SQL that does"},
    {"project", OPT_PROJECT, "id", "project of the export"},
    {"property", OPT_PROPERTY, "id", "GA4 property"},
    {"dataset", OPT_DATASET, "name",
	"dataset of the export, default analytics_PROPERTY"},
    {"date", OPT_DATE, "date", "the day, YYYY-MM-DD"},
    {"since", OPT_SINCE, "date", "first of several days"},
    {"until", OPT_UNTIL, "date", "last of several days"},
    {"intraday", OPT_INTRADAY, "date",
	"take this day from the intraday table; may be given again"},
    {"schema", OPT_SCHEMA, "file",
	"schema of the tables, as BigQuery gives it"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "[--apps file] [--app id] [--wide] [--partial i/n | --merge]\n"
    "[--max-groups count] [--max-memory size] [--rejects file]\n"
    "[--max-rejects count] [--max-line size] [--plain] [--quiet]\n"
    "--kpis file --source name [file ...]\n"
    "--sql bigquery --project id --property id [--dataset name]\n"
    "--date date | --since date --until date [--intraday date]\n"
    "[--schema file] [--apps file] --kpis file --source ga4",
    {options, filter_options}};

/* A partition that partial results are put together to. */
struct whole {
	struct whole *next;
	char *source, *feed, *date, *run_id;
	int32_t day;
	uint64_t of, first; /* pieces; the least that was seen */
	bool *have;
	struct buf begin, end_text; /* of the first piece */
	enum outcome outcome;
	uint64_t rejected, records;
	struct agg agg;
};

struct tool {
	const char *kpis, *source, *apps_file, *app;
	bool wide, merge;
	uint64_t piece, of; /* of --partial, 0 */
	uint64_t max_groups, max_memory;
	struct dict *d;
	struct apps *apps;
	char hash[SHA_HEX + 1];
	struct reader *reader;
	struct agg agg, told; /* told: names to report at the end */
	bool open;
	int32_t day;
	struct whole *wholes, *into;
	uint64_t keys, groups;
	char *uncounted;    /* the last feed that no metric is of: told once */
	bool sql, sql_only; /* sql_only: an option that --sql alone has */
	struct sql_options q;
	bool since, until;
	int32_t *intraday;
};

static struct tool *
tool_of(struct filter *f)
{
	return f->ctx;
}

static void
start_agg(struct tool *t, struct agg *a, const char *feed)
{
	agg_init(a, t->d, t->apps);
	if (!agg_feed(a, feed) &&
	    (t->uncounted == NULL || strcmp(t->uncounted, feed) != 0)) {
		warn_msg(*feed == '\0' ? "input" : feed,
		    "warning: no metric of %s counts %s", t->kpis,
		    *feed == '\0' ? "records without a feed" : "this feed");
		free(t->uncounted);
		t->uncounted = xstrdup(feed);
	}
	a->set = fpset_new(t->max_memory);
	a->max_groups = t->max_groups;
	a->max_memory = t->max_memory;
}

/* Keeps what is to be told, and frees the rest. */
static void
end_agg(struct tool *t, struct agg *a)
{
	for (struct seen *s = a->events; s != NULL; s = s->next)
		agg_seen(&t->told, &t->told.events, s->name->s, s->name->len)
		    ->n += s->n;
	for (struct seen *s = a->apps_unknown; s != NULL; s = s->next)
		agg_seen(
		    &t->told, &t->told.apps_unknown, s->name->s, s->name->len)
		    ->n += s->n;
	t->told.excluded += a->excluded;
	t->told.not_numbers += a->not_numbers;
	t->keys += agg_count_keys(a);
	t->groups += a->naccs;
	agg_release(a);
}

static void
put_record(void *ctx, const char *text, size_t len)
{
	filter_put(ctx, text, len);
}

/* --- one go --- */

static void
drop_open(struct tool *t)
{
	if (t->open) {
		reader_flush(t->reader);
		end_agg(t, &t->agg);
	}
	t->open = false;
}

static int
check_part(const struct tool *t, const struct part *p)
{
	char a[DIAG_QUOTE];

	if (p->plain) {
		if (t->of == 0)
			return RC_OK;
		warn_msg("--partial",
		    "needs a partition: begin and end records around the "
		    "piece (ndjson-part)");
		return RC_TRUNCATED;
	}
	if (*p->kind != '\0') {
		warn_at(p->file, p->line, 0, "records of kind %s%s",
		    diag_quote(a, p->kind, strlen(p->kind)),
		    strcmp(p->kind, PARTIAL_KIND) == 0
			? ": put them together with --merge"
			: " are no input");
		return RC_CONTRACT;
	}
	if (strcmp(p->source, t->source) != 0) {
		warn_at(p->file, p->line, 0,
		    "the partition is of source %s, not of --source %s",
		    diag_quote(a, p->source, strlen(p->source)), t->source);
		return RC_CONTRACT;
	}
	return RC_OK;
}

static int
on_begin(struct filter *f, const struct part *p)
{
	struct tool *t = tool_of(f);
	int rc = check_part(t, p);

	if (rc != RC_OK)
		return rc;
	drop_open(t);
	t->day = READER_ANY_DAY;
	if (!p->plain && !date_parse(p->date, strlen(p->date), &t->day))
		return RC_INTERNAL; /* the reader has checked it */
	if (t->of > 0)
		buf_fmt(&f->begin_extra,
		    ",\"kind\":\"" PARTIAL_KIND
		    "\",\"piece\":%llu,\"of\":%llu,\"dict\":\"%s\"",
		    (unsigned long long)t->piece, (unsigned long long)t->of,
		    t->hash);
	start_agg(t, &t->agg, p->feed);
	t->agg.keep_keys = t->of > 0;
	t->open = true;
	reader_begin(t->reader, &t->agg, p->feed, t->day);
	return RC_OK;
}

static int
on_records(struct filter *f, const struct batch *b)
{
	struct tool *t = tool_of(f);
	int rc;

	reader_ahead(t->reader, b->rec, b->n);
	for (size_t i = 0; i < b->n; i++) {
		const char *why = reader_plan(t->reader, &b->rec[i]);

		if (why == NULL)
			continue;
		if ((rc = reader_apply(t->reader)) != RC_OK ||
		    (rc = filter_reject(f, &b->rec[i], 1, why)) != RC_OK)
			return rc;
	}
	return reader_apply(t->reader);
}

static int
write_rows(struct tool *t, struct agg *a, const struct part *p, int32_t day,
    enum outcome outcome, struct filter *f)
{
	const char *env = getenv("RUN_ID");
	struct rows_meta m = {.source = p->plain ? t->source : p->source,
	    .run_id = *p->run_id != '\0' ? p->run_id
		      : env != NULL      ? env
					 : "",
	    .wide = t->wide,
	    .partial = outcome == OUTCOME_PARTIAL};

	if (outcome == OUTCOME_NOT_READY || outcome == OUTCOME_FAILED)
		return RC_OK;
	if (!p->plain) {
		m.quality = json_member(&p->begin, "quality");
		if (outcome != OUTCOME_PARTIAL)
			rows_fill(a, day, p->feed, t->app);
	}
	return rows_write(a, &m, put_record, f);
}

static int
on_end(struct filter *f, const struct part *p, struct part_end *e)
{
	struct tool *t = tool_of(f);
	int rc = RC_OK;

	reader_flush(t->reader);
	/* What is left out would be lost where the partition replaces. */
	if (reader_others(t->reader) > 0 &&
	    (e->outcome == OUTCOME_COMPLETE || e->outcome == OUTCOME_EMPTY) &&
	    !p->plain) {
		e->outcome = OUTCOME_PARTIAL;
		e->reason = "counted for one app alone";
	}
	if (t->of > 0)
		partial_write(&t->agg, put_record, f);
	else
		rc = write_rows(t, &t->agg, p, t->day, e->outcome, f);
	end_agg(t, &t->agg);
	t->open = false;
	return rc;
}

static void
on_cut(struct filter *f, const struct part *p)
{
	(void)p;
	drop_open(tool_of(f));
}

/* --- merging --- */

static struct whole *
find_whole(struct tool *t, const struct part *p)
{
	struct whole **at = &t->wholes, *w;
	int c = 1;

	for (; (w = *at) != NULL; at = &w->next) {
		c = strcmp(w->source, p->source);
		c = c != 0 ? c : strcmp(w->feed, p->feed);
		c = c != 0 ? c : strcmp(w->date, p->date);
		if (c >= 0)
			break;
	}
	if (w != NULL && c == 0)
		return w;
	w = xcalloc(1, sizeof *w);
	w->source = xstrdup(p->source);
	w->feed = xstrdup(p->feed);
	w->date = xstrdup(p->date);
	if (!date_parse(w->date, strlen(w->date), &w->day))
		w->day = 0; /* the reader has checked it */
	w->outcome = OUTCOME_EMPTY;
	buf_init(&w->begin, 64u << 20);
	buf_init(&w->end_text, 64u << 20);
	start_agg(t, &w->agg, w->feed);
	w->next = *at;
	*at = w;
	return w;
}

static int
wrong_piece(const struct part *p, int rc, const char *text)
{
	warn_at(p->file, p->line, 0, "%s", text);
	return rc;
}

static int
piece_numbers(const struct part *p, uint64_t *piece, uint64_t *of)
{
	struct json_span i = json_member(&p->begin, "piece");
	struct json_span n = json_member(&p->begin, "of");
	int64_t vi, vn;

	if (!json_i64(&i, &vi) || !json_i64(&n, &vn) || vi < 1 || vn < vi ||
	    vn > PIECES_MAX)
		return wrong_piece(p, RC_CONTRACT,
		    "begin record: piece and of must be counts");
	*piece = (uint64_t)vi;
	*of = (uint64_t)vn;
	return RC_OK;
}

/* The begin as it was before --partial added to it. */
static void
keep_begin(struct whole *w, const struct part *p)
{
	static const char *const own[] = {"kind", "piece", "of", "dict"};
	struct json_iter it;
	struct json_span k, v;

	buf_reset(&w->begin);
	buf_char(&w->begin, '{');
	json_iter_init(&it, &p->begin);
	while (json_next_member(&it, &k, &v)) {
		bool skip = false;

		for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
			skip = skip || json_is(&k, own[i], strlen(own[i]));
		if (skip)
			continue;
		if (w->begin.len > 1)
			buf_char(&w->begin, ',');
		buf_add(&w->begin, k.p, k.len);
		buf_char(&w->begin, ':');
		buf_add(&w->begin, v.p, v.len);
	}
	buf_char(&w->begin, '}');
	free(w->run_id);
	w->run_id = xstrdup(p->run_id);
}

static int
merge_begin(struct filter *f, const struct part *p)
{
	struct tool *t = tool_of(f);
	struct json_span dict;
	uint64_t piece = 0, of = 0;
	struct whole *w;
	int rc;

	t->into = NULL;
	if (p->plain || strcmp(p->kind, PARTIAL_KIND) != 0)
		return p->plain ? (warn_msg("--merge", "no partial results"),
				      RC_TRUNCATED)
				: wrong_piece(
				      p, RC_CONTRACT, "not a partial result");
	dict = json_member(&p->begin, "dict");
	if (dict.type != JSON_STRING ||
	    !json_is(&dict, t->hash, strlen(t->hash)))
		return wrong_piece(p, RC_CONFIG,
		    "made by another dictionary, apps, source or version");
	if ((rc = piece_numbers(p, &piece, &of)) != RC_OK)
		return rc;
	w = find_whole(t, p);
	if (w->of == 0) {
		w->of = of;
		w->have = xcalloc(of + 1, sizeof *w->have);
	}
	if (w->of != of)
		return wrong_piece(
		    p, RC_CONTRACT, "pieces of different divisions");
	if (w->have[piece])
		return wrong_piece(p, RC_CONTRACT, "this piece came before");
	if (w->first == 0 || piece < w->first)
		keep_begin(w, p);
	if (w->first == 0 || piece < w->first)
		w->first = piece;
	w->have[0] = true; /* open: not whole before it ends */
	t->into = w;
	t->piece = piece;
	return RC_OK;
}

static int
merge_records(struct filter *f, const struct batch *b)
{
	struct tool *t = tool_of(f);
	int rc;

	for (size_t i = 0; i < b->n; i++) {
		const char *why =
		    partial_read(&t->into->agg, t->into->day, &b->rec[i]);

		if (why != NULL &&
		    (rc = filter_reject(f, &b->rec[i], 1, why)) != RC_OK)
			return rc;
	}
	return RC_OK;
}

/* The outcome of the whole: the worst of its pieces; empty if all are. */
static enum outcome
worse(enum outcome a, enum outcome b)
{
	static const int rank[] = {[OUTCOME_EMPTY] = 0,
	    [OUTCOME_COMPLETE] = 1,
	    [OUTCOME_PARTIAL] = 2,
	    [OUTCOME_NOT_READY] = 3,
	    [OUTCOME_FAILED] = 4};

	return rank[a] > rank[b] ? a : b;
}

static int
merge_end(struct filter *f, const struct part *p, struct part_end *e)
{
	struct tool *t = tool_of(f);
	struct whole *w = t->into;

	(void)p;
	w->have[t->piece] = true;
	w->have[0] = false;
	w->outcome = worse(w->outcome, e->outcome);
	w->rejected += e->rejected + f->rejected;
	if (w->end_text.len == 0 || t->piece == w->first) {
		buf_reset(&w->end_text);
		buf_add(&w->end_text, e->end.p, e->end.len);
	}
	t->into = NULL;
	return RC_OK;
}

static bool
is_whole(const struct whole *w)
{
	uint64_t missing = 0, first = 0;

	for (uint64_t i = w->of; i > 0; i--)
		if (!w->have[i]) {
			missing++;
			first = i;
		}
	if (missing == 0 && !w->have[0])
		return true;
	warn_msg("--merge",
	    "partition %s %s %s: piece %llu of %llu is missing or cut "
	    "(%llu in all)",
	    w->source, w->feed, w->date, (unsigned long long)first,
	    (unsigned long long)w->of, (unsigned long long)missing);
	return false;
}

static int
write_whole(struct tool *t, struct whole *w, struct filter *f)
{
	struct part p = {.source = w->source,
	    .feed = w->feed,
	    .date = w->date,
	    .run_id = w->run_id};
	struct part_end e = {.outcome = w->outcome,
	    .class_word = "",
	    .reason = w->outcome == OUTCOME_COMPLETE ? "" : "of a piece"};
	struct buf text = BUF_INIT(64u << 20);
	int rc;

	p.begin = (struct json_span){
	    w->begin.p, (uint32_t)w->begin.len, JSON_OBJECT, 0};
	if (!f->plain_out)
		out_record(&f->out, w->begin.p, w->begin.len);
	f->written = 0;
	rc = write_rows(t, &w->agg, &p, w->day, w->outcome, f);
	if (rc == RC_OK && !f->plain_out) {
		e.end = (struct json_span){
		    w->end_text.p, (uint32_t)w->end_text.len, JSON_OBJECT, 0};
		part_end_again(&text, &e, f->written, w->rejected);
		out_record(&f->out, text.p, text.len);
	}
	buf_release(&text);
	return rc;
}

static int
merge_finish(struct filter *f)
{
	struct tool *t = tool_of(f);
	int rc = RC_OK;

	for (struct whole *w = t->wholes; w != NULL; w = w->next)
		rc = rc_graver(
		    rc, is_whole(w) ? write_whole(t, w, f) : RC_TRUNCATED);
	return rc;
}

static void
free_wholes(struct tool *t)
{
	for (struct whole *w = t->wholes, *next; w != NULL; w = next) {
		next = w->next;
		end_agg(t, &w->agg);
		buf_release(&w->begin);
		buf_release(&w->end_text);
		free(w->source);
		free(w->feed);
		free(w->date);
		free(w->run_id);
		free(w->have);
		free(w);
	}
}

/* --- what is told at the end --- */

static void
tell(struct seen *list, const char *what, const char *where, const char *then,
    const char *stat)
{
	uint64_t names = 0, records = 0;
	char a[DIAG_QUOTE];

	for (const struct seen *s = list; s != NULL; s = s->next) {
		names++;
		records += s->n;
		if (names <= TOLD_MAX)
			warn_msg(NULL,
			    "warning: %s %s is not in %s%s (%llu records)",
			    what, diag_quote(a, s->name->s, s->name->len),
			    where, then, (unsigned long long)s->n);
	}
	if (names > TOLD_MAX)
		warn_msg(NULL, "warning: %llu more %ss like these",
		    (unsigned long long)(names - TOLD_MAX), what);
	stats_add(stat, records);
}

static int
tell_all(struct tool *t)
{
	agg_sort_seen(&t->told.events);
	agg_sort_seen(&t->told.apps_unknown);
	tell(t->told.events, "event name", t->kpis, "", "unknown_events");
	tell(t->told.apps_unknown, "app",
	    t->apps_file == NULL ? "the apps" : t->apps_file,
	    ": loaded under its own id", "unknown_apps");
	if (t->told.not_numbers > 0)
		warn_msg(NULL,
		    "warning: %llu values were NaN or infinite and count as "
		    "null",
		    (unsigned long long)t->told.not_numbers);
	stats_add("excluded", t->told.excluded);
	stats_add("not_numbers", t->told.not_numbers);
	stats_add("distinct_keys", t->keys);
	stats_add("groups", t->groups);
	stats_add("expr_native", expr_count_native);
	stats_add("expr_jq", expr_count_jq);
	stats_text("kpi_version", t->d->version);
	return RC_OK;
}

static int
on_finish(struct filter *f)
{
	return tell_all(tool_of(f));
}

static int
on_merge_finish(struct filter *f)
{
	struct tool *t = tool_of(f);
	int rc = merge_finish(f);

	free_wholes(t);
	t->wholes = NULL;
	tell_all(t);
	return rc;
}

/* --- set-up --- */

static void
parse_piece(struct tool *t)
{
	const char *s = opt_arg();
	char *end;

	t->piece = *s >= '1' && *s <= '9' ? strtoull(s, &end, 10) : 0;
	if (t->piece > 0 && *end == '/' && end[1] >= '1' && end[1] <= '9')
		t->of = strtoull(end + 1, &end, 10);
	if (t->of == 0 || *end != '\0' || t->piece > t->of ||
	    t->of > PIECES_MAX)
		opt_wrong(&set, "--partial: must be I/N, 1/4 for example");
}

/* A name that stands in the statement as it is. */
static const char *
table_name(const char *more)
{
	const char *s = opt_arg();

	for (const char *p = s; *p != '\0'; p++)
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			(*p >= '0' && *p <= '9') || *p == '_' ||
			strchr(more, *p) != NULL))
			opt_wrong(&set, "%s: letters, digits, _ and - alone",
			    opt_name());
	if (*s == '\0' || strlen(s) > 200)
		opt_wrong(&set, "%s: 1 to 200 letters and digits", opt_name());
	return s;
}

/* Options of --sql; false: it is none. */
static bool
take_sql(struct tool *t, int key)
{
	switch (key) {
	case OPT_SQL:
		t->sql = true;
		if (strcmp(opt_arg(), "bigquery") != 0)
			opt_wrong(&set, "--sql: bigquery is the only one");
		return true;
	case OPT_PROJECT:
		t->q.project = table_name("-.:");
		break;
	case OPT_DATASET:
		t->q.dataset = table_name("");
		break;
	case OPT_PROPERTY:
		t->q.property = table_name("-");
		break;
	case OPT_DATE:
		t->q.since = t->q.until = opt_date();
		t->since = t->until = true;
		break;
	case OPT_SINCE:
		t->q.since = opt_date();
		t->since = true;
		break;
	case OPT_UNTIL:
		t->q.until = opt_date();
		t->until = true;
		break;
	case OPT_INTRADAY:
		t->intraday = xreallocarray(
		    t->intraday, t->q.nintraday + 1, sizeof *t->intraday);
		t->intraday[t->q.nintraday++] = opt_date();
		break;
	case OPT_SCHEMA:
		t->q.schema = opt_arg();
		break;
	default:
		return false;
	}
	t->sql_only = true;
	return true;
}

static void
take_option(struct tool *t, struct filter *f, int key)
{
	if (take_sql(t, key))
		return;
	switch (key) {
	case OPT_KPIS:
		t->kpis = opt_arg();
		break;
	case OPT_SOURCE:
		t->source = opt_arg();
		break;
	case OPT_APPS:
		t->apps_file = opt_arg();
		break;
	case OPT_APP:
		t->app = opt_arg();
		break;
	case OPT_WIDE:
		t->wide = true;
		break;
	case OPT_PARTIAL:
		parse_piece(t);
		break;
	case OPT_MERGE:
		t->merge = true;
		break;
	case OPT_MAX_GROUPS:
		t->max_groups = opt_u64(1, UINT64_MAX - 1);
		break;
	case OPT_MAX_MEMORY:
		t->max_memory = opt_size(65536, UINT64_MAX);
		break;
	default:
		filter_opt(f, key);
	}
}

/* apps.jq beside the dictionary, where there is one. */
static char *
default_apps(const char *kpis)
{
	const char *slash = strrchr(kpis, '/');
	char *path = xasprintf(
	    "%.*sapps.jq", slash == NULL ? 0 : (int)(slash + 1 - kpis), kpis);

	if (access(path, F_OK) == 0)
		return path;
	free(path);
	return NULL;
}

static void
make_hash(struct tool *t)
{
	unsigned char d[SHA_LEN];
	struct buf b = BUF_INIT(1u << 20);

	buf_fmt(&b, "%s\n%s\n%s\n%s\n%s\n", FORMAT, t->d->conf->sha256,
	    t->apps->conf == NULL ? "" : t->apps->conf->sha256, t->source,
	    t->app == NULL ? "" : t->app);
	sha256_one(b.p, b.len, d);
	sha_hex(d, t->hash);
	buf_release(&b);
}

static int
load(struct tool *t)
{
	struct fp_key key;
	int rc = dict_load(t->kpis, t->source, &t->d);

	if (rc != RC_OK)
		return rc;
	if (t->apps_file == NULL)
		t->apps = xcalloc(1, sizeof *t->apps);
	else if ((rc = apps_load(t->apps_file, t->source, &t->apps)) != RC_OK)
		return rc;
	make_hash(t);
	agg_init(&t->told, t->d, t->apps);
	t->reader = reader_new(t->d, t->apps, t->app);
	if (t->of > 0) {
		partial_key(t->hash, &key);
		reader_key(t->reader, &key);
	}
	return RC_OK;
}

static int
run(struct tool *t, struct filter *f, char *const *files, size_t n)
{
	struct json_paths *paths = NULL;
	int rc;

	f->ctx = t;
	f->paths = t->d->paths;
	f->begin = on_begin;
	f->records = on_records;
	f->end = on_end;
	f->cut = on_cut;
	f->finish = on_finish;
	if (t->merge) {
		paths = partial_paths();
		f->paths = paths;
		f->flags |= FILTER_SINK;
		f->begin = merge_begin;
		f->records = merge_records;
		f->end = merge_end;
		f->cut = NULL;
		f->finish = on_merge_finish;
	}
	rc = filter_run(f, files, n);
	json_paths_free(paths);
	return rc;
}

/* What the command line of --sql must have, and must not. */
static void
check_sql(struct tool *t, size_t files)
{
	if (!t->sql) {
		if (t->sql_only)
			opt_wrong(&set, "options of --sql without --sql");
		return;
	}
	if (strcmp(t->source, "ga4") != 0)
		opt_wrong(&set, "--sql: only for --source ga4");
	if (t->app != NULL || t->wide || t->of > 0 || t->merge || files > 0)
		opt_wrong(&set,
		    "--sql reads no input and excludes --app, --wide, "
		    "--partial and --merge");
	if (t->q.project == NULL || t->q.property == NULL)
		opt_wrong(&set, "--sql needs --project and --property");
	if (!t->since || !t->until || t->q.until < t->q.since)
		opt_wrong(&set, "--sql needs --date, or --since and --until");
	if (t->q.until - t->q.since >= SQL_DAYS_MAX)
		opt_wrong(&set, "--until: more than %d days", SQL_DAYS_MAX);
	for (size_t i = 0; i < t->q.nintraday; i++)
		if (t->intraday[i] < t->q.since || t->intraday[i] > t->q.until)
			opt_wrong(
			    &set, "--intraday: a day that is not asked for");
}

static int
write_sql(struct tool *t)
{
	struct buf b = BUF_INIT((size_t)1 << 20);
	char *dataset = xasprintf("analytics_%s", t->q.property);
	struct out o;
	int rc;

	for (char *p = dataset; *p != '\0'; p++)
		if (*p == '-')
			*p = '_';
	if (t->q.dataset == NULL)
		t->q.dataset = dataset;
	t->q.run_id = getenv("RUN_ID");
	if (t->q.run_id == NULL)
		t->q.run_id = "";
	t->q.intraday = t->intraday;
	rc = sql_write(&t->q, t->d, t->apps, &b);
	if (rc == RC_OK) {
		out_init(&o, STDOUT_FILENO, "stdout", 0);
		out_write(&o, b.p, b.len);
		rc = out_close(&o);
	}
	buf_release(&b);
	free(dataset);
	return rc;
}

int
main(int argc, char **argv)
{
	struct tool t = {.max_groups = 1000000};
	struct filter f;
	char *apps = NULL;
	int key, rc;

	diag_init(argv[0]);
	filter_init(&f);
	while ((key = opt_next(&set, argc, argv)) != -1)
		take_option(&t, &f, key);
	if (t.kpis == NULL || t.source == NULL)
		opt_wrong(&set, "%s",
		    t.kpis == NULL ? "--kpis is missing"
				   : "--source is missing");
	if (t.merge && t.of > 0)
		opt_wrong(&set, "--partial and --merge exclude each other");
	if (t.of > 0 && (t.wide || f.plain_out))
		opt_wrong(&set, "a partial result is neither wide nor plain");
	check_sql(&t, (size_t)(argc - opt_index()));
	if (t.apps_file == NULL)
		t.apps_file = apps = default_apps(t.kpis);
	rc = load(&t);
	if (rc == RC_OK && t.sql)
		rc = write_sql(&t);
	else if (rc == RC_OK)
		rc = run(
		    &t, &f, argv + opt_index(), (size_t)(argc - opt_index()));
	drop_open(&t);
	free_wholes(&t);
	reader_free(t.reader);
	if (t.told.texts != NULL)
		agg_release(&t.told);
	apps_free(t.apps);
	dict_free(t.d);
	free(apps);
	free(t.uncounted);
	free(t.intraday);
	return rc;
}
