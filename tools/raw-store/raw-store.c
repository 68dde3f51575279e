/* Keeps what a source gave, unchanged and checksummed, and reads it back. */
#include "raw-store.h"

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "file.h"

enum {
	OPT_DIR = OPT_TOOL,
	OPT_LEVEL,
	OPT_WAIT,
	OPT_REPLAY,
	OPT_VERIFY,
	OPT_LIST,
	OPT_SOURCE,
	OPT_FEED,
	OPT_FROM,
	OPT_TO,
	OPT_AS_OF,
};

static const struct opt options[] = {
    {"dir", OPT_DIR, "dir", "the raw layer, made where it is missing"},
    {"level", OPT_LEVEL, "n", "of gzip, 1 (fast, the default) to 9 (small)"},
    {"wait", OPT_WAIT, "seconds", "for another run's lock, default 0"},
    {"replay", OPT_REPLAY, NULL, "write the newest complete version of days"},
    {"verify", OPT_VERIFY, NULL, "compare all files with their manifests"},
    {"list", OPT_LIST, NULL, "print one record a version"},
    {"source", OPT_SOURCE, "name", "source_system to read"},
    {"feed", OPT_FEED, "name", "feed to read, default all"},
    {"from", OPT_FROM, "date", "first day to read, YYYY-MM-DD"},
    {"to", OPT_TO, "date", "last day to read, YYYY-MM-DD"},
    {"as-of", OPT_AS_OF, "time", "only what was fetched by then, RFC 3339"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "--dir dir [options] < partitions\n"
    "--dir dir --replay --source name [--feed name] [--from date]"
    " [--to date]\n"
    "--dir dir --verify | --list [options]",
    {options, filter_options, NULL},
};

struct settings {
	struct filter f;
	struct ask ask;
	int mode, level;
	unsigned wait_s;
	bool reading; /* an option of the reading modes was given */
};

static void
take_as_of(struct ask *a)
{
	const char *text = opt_arg();
	int32_t day;

	a->as_of_given = true;
	if (time_parse(text, strlen(text), &a->as_of_us))
		return;
	if (!date_parse(text, strlen(text), &day))
		opt_wrong(&set, "--as-of: neither a time nor a date");
	a->as_of_us = ((int64_t)day + 1) * 86400 * 1000000 - 1;
}

static void
take_reading(struct settings *s, int key)
{
	struct span_of *span = &s->ask.span;

	s->reading = true;
	switch (key) {
	case OPT_SOURCE:
		span->source = opt_arg();
		break;
	case OPT_FEED:
		span->feed = opt_arg();
		break;
	case OPT_FROM:
		span->from = opt_date();
		span->from_given = true;
		break;
	case OPT_TO:
		span->to = opt_date();
		span->to_given = true;
		break;
	default:
		take_as_of(&s->ask);
	}
}

static void
take(struct settings *s, int key)
{
	switch (key) {
	case OPT_DIR:
		s->ask.dir = opt_arg();
		break;
	case OPT_LEVEL:
		s->level = (int)opt_u64(1, 9);
		break;
	case OPT_WAIT:
		s->wait_s = (unsigned)opt_u64(0, 86400);
		break;
	case OPT_REPLAY:
	case OPT_VERIFY:
	case OPT_LIST:
		if (s->mode != 0 && s->mode != key)
			opt_wrong(&set, "one of --replay, --verify, --list");
		s->mode = key;
		break;
	default:
		take_reading(s, key);
	}
}

static bool
name_ok(const char *name)
{
	return name == NULL || file_name_ok(name);
}

static void
check(const struct settings *s)
{
	const struct span_of *span = &s->ask.span;

	if (s->ask.dir == NULL)
		opt_wrong(&set, "--dir is missing");
	if (s->mode == 0 && s->reading)
		opt_wrong(&set, "--source, --feed, --from, --to and --as-of "
				"go with --replay, --verify or --list");
	if (s->mode == OPT_REPLAY && span->source == NULL)
		opt_wrong(&set, "--replay needs --source");
	if (span->feed != NULL && span->source == NULL)
		opt_wrong(&set, "--feed needs --source");
	if (!name_ok(span->source) || !name_ok(span->feed))
		opt_wrong(&set, "--source and --feed are names of directories");
	if (span->from_given && span->to_given && span->from > span->to)
		opt_wrong(&set, "--from is after --to");
}

int
main(int argc, char **argv)
{
	struct settings s = {.level = 1};
	int key;

	diag_init(argv[0]);
	filter_init(&s.f);
	while ((key = opt_next(&set, argc, argv)) >= 0) {
		if (!filter_opt(&s.f, key))
			take(&s, key);
	}
	if (argv[opt_index()] != NULL)
		opt_wrong(&set, "no operands are taken");
	check(&s);
	s.ask.plain = s.f.plain_out;
	s.ask.quiet = s.f.quiet;
	switch (s.mode) {
	case OPT_REPLAY:
		return replay_run(&s.ask);
	case OPT_VERIFY:
		return verify_run(&s.ask);
	case OPT_LIST:
		return list_run(&s.ask);
	default:
		return store_run(&s.f, s.ask.dir, s.level, s.wait_s);
	}
}
