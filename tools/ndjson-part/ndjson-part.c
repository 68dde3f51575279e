/*
 * Puts proof of their end around the records of foreign commands, and shows,
 * checks or takes off what is there.
 */
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "ndjson-part.h"
#include "part.h"
#include "sys.h"

enum {
	OPT_SOURCE = OPT_TOOL,
	OPT_FEED,
	OPT_DATE,
	OPT_TZ,
	OPT_RUN_ID,
	OPT_SET,
	OPT_STAMP,
	OPT_ALLOW_EMPTY,
	OPT_THROUGH,
	OPT_CHECK,
	OPT_STRIP,
	OPT_SUMMARY,
};

static const struct opt options[] = {
    {"source", OPT_SOURCE, "name", "source_system of the partition to make"},
    {"feed", OPT_FEED, "name", "its feed: what is fetched as one thing"},
    {"date", OPT_DATE, "date", "its day, YYYY-MM-DD"},
    {"tz", OPT_TZ, "zone", "time zone of the day, as Europe/Stockholm"},
    {"run-id", OPT_RUN_ID, "text", "run it belongs to, default $RUN_ID"},
    {"set", OPT_SET, "name=json", "one more member of the begin record"},
    {"stamp", OPT_STAMP, NULL, "add fetched_at, the time of the start"},
    {"allow-empty", OPT_ALLOW_EMPTY, NULL,
	"no records and status 0: nothing happened that day"},
    {"through", OPT_THROUGH, NULL, "run the command over each partition"},
    {"check", OPT_CHECK, NULL, "verify all of a stream, print nothing"},
    {"strip", OPT_STRIP, NULL, "take the control records off"},
    {"summary", OPT_SUMMARY, NULL, "print one record a partition"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "--source name --feed name --date date [options] -- command ...\n"
    "--through [options] -- command ...\n"
    "--check | --strip | --summary [options] [file ...]",
    {options, filter_options, NULL},
};

struct settings {
	struct filter f;
	struct make make;
	char day[DATE_LEN + 1];
	struct buf extra;
	int mode; /* 0: make */
	bool stamp;
};

/* ---- the begin record ---- */

static void
add_member(struct buf *extra, const char *name, size_t n, const char *json)
{
	if (extra->len > 0)
		buf_char(extra, ',');
	json_write_string(extra, name, n);
	buf_char(extra, ':');
	buf_str(extra, json);
}

static bool
is_standard(const char *name, size_t n)
{
	static const char *const names[] = {"@stream", "v", "source_system",
	    "feed", "date", "day_tz", "run_id"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0)
			return true;
	}
	return false;
}

static void
add_set(struct settings *s, const char *arg)
{
	const char *eq = strchr(arg, '=');
	struct json_error e;

	if (eq == NULL || eq == arg || is_standard(arg, (size_t)(eq - arg)))
		opt_wrong(&set, "--set: name=json, with a name of your own");
	if (!json_check(eq + 1, strlen(eq + 1), false, &e))
		opt_wrong(&set, "--set: not JSON: %s", e.reason);
	if (strpbrk(eq, "\r\n") != NULL)
		opt_wrong(&set, "--set: the JSON must be on one line");
	add_member(&s->extra, arg, (size_t)(eq - arg), eq + 1);
}

static void
add_stamp(struct settings *s)
{
	struct buf text = BUF_INIT(64);
	char now[TIME_LEN + 1];

	time_format(sys_real_ns() / 1000000000 * 1000, now);
	json_write_string(&text, now, strlen(now));
	add_member(&s->extra, "fetched_at", 10, buf_cstr(&text));
	buf_release(&text);
}

/* ---- check, strip, summary ---- */

static int
class_of(const struct part *p, const struct part_end *e)
{
	(void)p;
	switch (e->outcome) {
	case OUTCOME_NOT_READY:
		return RC_NOTREADY;
	case OUTCOME_PARTIAL:
	case OUTCOME_FAILED:
		return RC_PARTIAL;
	default:
		return RC_OK;
	}
}

/* Plain records prove nothing, so --check takes them only with --plain. */
static int
verdict(struct filter *f, const struct part *p, struct part_end *e)
{
	if (!p->plain || f->plain_out)
		return class_of(p, e);
	warn_msg("stdin", "no control records: nothing proves that it is "
			  "whole");
	return RC_TRUNCATED;
}

static int
pass_over(struct filter *f, const struct batch *b)
{
	f->written += b->n;
	return RC_OK;
}

static int
copy(struct filter *f, const struct batch *b)
{
	for (size_t i = 0; i < b->n; i++)
		filter_put(f, b->rec[i].text, b->rec[i].len);
	return RC_OK;
}

static void
row(struct filter *f, const struct part *p, const struct part_end *e,
    const char *outcome)
{
	struct buf b = BUF_INIT(SIZE_MAX / 2);
	struct jsonw w;

	jsonw_begin(&w, &b, '{');
	jsonw_str(&w, "source_system", p->source);
	jsonw_str(&w, "feed", p->feed);
	jsonw_str(&w, "date", p->date);
	jsonw_u64(&w, "records", e->records);
	jsonw_str(&w, "outcome", outcome);
	jsonw_u64(&w, "rejected", e->rejected + f->in.rejected);
	if (e->class_word != NULL && *e->class_word != '\0')
		jsonw_str(&w, "class", e->class_word);
	if (e->reason != NULL && *e->reason != '\0')
		jsonw_str(&w, "reason", e->reason);
	jsonw_end(&w);
	out_record(&f->out, b.p, b.len);
	buf_release(&b);
}

static int
row_end(struct filter *f, const struct part *p, struct part_end *e)
{
	row(f, p, e, p->plain ? "unproven" : outcome_word(e->outcome));
	return verdict(f, p, e);
}

static void
row_cut(struct filter *f, const struct part *p)
{
	struct part_end e = {.records = f->in.records};

	row(f, p, &e, "truncated");
}

static int
read_stream(struct settings *s, char *const *files, size_t n)
{
	struct filter *f = &s->f;

	f->records = s->mode == OPT_STRIP ? copy : pass_over;
	if (s->mode == OPT_STRIP) {
		f->plain_out = true;
	} else {
		f->flags = FILTER_SINK;
		f->end = s->mode == OPT_CHECK ? verdict : row_end;
		f->cut = s->mode == OPT_SUMMARY ? row_cut : NULL;
	}
	return filter_run(f, files, n);
}

/* ---- the command line ---- */

static void
set_mode(struct settings *s, int mode)
{
	if (s->mode != 0 && s->mode != mode)
		opt_wrong(&set, "one of --through, --check, --strip, "
				"--summary");
	s->mode = mode;
}

static void
take(struct settings *s, int key)
{
	struct part_desc *d = &s->make.desc;

	switch (key) {
	case OPT_SOURCE:
		d->source = opt_arg();
		break;
	case OPT_FEED:
		d->feed = opt_arg();
		break;
	case OPT_DATE:
		date_format(opt_date(), s->day);
		d->date = s->day;
		break;
	case OPT_TZ:
		d->day_tz = opt_arg();
		break;
	case OPT_RUN_ID:
		d->run_id = opt_arg();
		break;
	case OPT_SET:
		add_set(s, opt_arg());
		break;
	case OPT_STAMP:
		s->stamp = true;
		break;
	case OPT_ALLOW_EMPTY:
		s->make.allow_empty = true;
		break;
	default:
		set_mode(s, key);
	}
}

static void
check_desc(const struct part_desc *d)
{
	struct zone *z;

	if (d->source == NULL || d->feed == NULL || d->date == NULL ||
	    *d->source == '\0' || *d->feed == '\0')
		opt_wrong(&set, "--source, --feed and --date are needed");
	if (d->day_tz == NULL)
		return;
	z = zone_open(d->day_tz);
	if (z == NULL)
		opt_wrong(&set, "--tz: no such time zone");
	zone_close(z);
}

static int
make(struct settings *s, char *const *argv)
{
	struct make *m = &s->make;

	check_desc(&m->desc);
	if (m->desc.run_id == NULL)
		m->desc.run_id = getenv("RUN_ID");
	if (s->stamp)
		add_stamp(s);
	m->desc.extra = s->extra.len > 0 ? buf_cstr(&s->extra) : NULL;
	m->plain = s->f.plain_out;
	m->quiet = s->f.quiet;
	m->max_line = s->f.in.max_line;
	m->rejects = &s->f.rejects;
	return make_run(m, argv);
}

int
main(int argc, char **argv)
{
	struct settings s = {.mode = 0};
	int key, status;
	char **rest;

	diag_init(argv[0]);
	filter_init(&s.f);
	buf_init(&s.extra, 1u << 20);
	while ((key = opt_next(&set, argc, argv)) >= 0) {
		if (!filter_opt(&s.f, key))
			take(&s, key);
	}
	rest = argv + opt_index();
	if ((s.mode == 0 || s.mode == OPT_THROUGH) && *rest == NULL)
		opt_wrong(&set, "the command is missing");
	if (s.mode != 0 && s.make.desc.source != NULL)
		opt_wrong(&set, "--source is for a partition to be made");
	if (s.mode == 0)
		status = make(&s, rest);
	else if (s.mode == OPT_THROUGH)
		status = through_run(&s.f, rest);
	else
		status = read_stream(&s, rest, (size_t)(argc - opt_index()));
	buf_release(&s.extra);
	return status;
}
