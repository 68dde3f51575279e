/* The options of loaders. */
#include <string.h>

#include "file.h"
#include "loader.h"

enum {
	TABLE = LOADER_OPTIONS,
	BATCH,
	STAGE,
	PUBLISH,
	ABORT,
	ROLLBACK,
	QUARANTINE,
	REASON,
	GENERATION,
	APPS,
	FINGERPRINT,
	FETCHED_AT,
	ALLOW_EMPTY,
	ALLOW_PARTIAL,
	FORCE,
	SOURCE,
	FEED,
	DATE,
};

enum { REASON_LEN = 2000, NAME_LEN = 200, TEXT_LEN = 4096 };

const struct opt loader_options[] = {
    {"table", TABLE, "name", "the table to load"},
    {"batch", BATCH, "id", "the whole stream is this batch"},
    {"stage", STAGE, NULL, "stage only"},
    {"publish", PUBLISH, "id", "publish what the batch has staged"},
    {"abort", ABORT, "id", "forget what the batch has staged"},
    {"rollback", ROLLBACK, "id", "take its visible generation back"},
    {"quarantine", QUARANTINE, "id", "keep what is staged unpublished"},
    {"reason", REASON, "text", "why, for these verbs"},
    {"generation", GENERATION, "n", "the verb is for this one only"},
    {"apps", APPS, "conf", "load dim_apps from this configuration"},
    {"fingerprint", FINGERPRINT, "hex", "digest of what it is made of"},
    {"fetched-at", FETCHED_AT, "time", "when it was fetched, RFC 3339"},
    {"allow-empty", ALLOW_EMPTY, NULL, "let empty replace rows"},
    {"allow-partial", ALLOW_PARTIAL, NULL, "publish partial partitions"},
    {"force", FORCE, NULL, "publish older, stage equal generations"},
    {"source", SOURCE, "name", "source system of plain input"},
    {"feed", FEED, "name", "feed of plain input"},
    {"date", DATE, "date", "date of plain input"},
    {"rejects", OPT_REJECTS, "file", "keep bad records there and go on"},
    {"max-rejects", OPT_MAX_REJECTS, "count",
	"most rejected records published, or N%, default 0"},
    {"max-line", OPT_MAX_LINE, "size", "longest line in bytes, default 16M"},
    {"plain", OPT_PLAIN, NULL, "the input is one partition, named here"},
    {NULL, 0, NULL, NULL},
};

/* ---- taking ---- */

static void
take_text(const struct opt_set *set, const char **to, size_t max)
{
	size_t n = strlen(opt_arg());

	if (n == 0 || n > max)
		opt_wrong(set, "%s: empty or too long", opt_name());
	*to = opt_arg();
}

static void
take_table(struct loader *l, const struct opt_set *set)
{
	l->table = opt_arg();
	if (!l->engine->table_ok(l->table))
		opt_wrong(set, "--table: not the name of a table");
}

static void
take_batch(struct loader *l, const struct opt_set *set)
{
	l->batch = opt_arg();
	if (!file_name_ok(l->batch))
		opt_wrong(set, "--batch: 1 to 100 letters, digits, "
			       "'.', '_' and '-'");
}

static void
take_fingerprint(struct loader *l, const struct opt_set *set)
{
	const char *text = opt_arg();
	size_t n = strlen(text);

	l->policy.fingerprint = text;
	if (n > NAME_LEN ||
	    strspn(text, "abcdefghijklmnopqrstuvwxyz"
			 "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:._-") != n)
		opt_wrong(set, "--fingerprint: up to 200 letters, "
			       "digits and :._-");
}

static void
take_time(struct loader *l, const struct opt_set *set)
{
	int64_t us;

	l->fetched_at = opt_arg();
	if (!time_parse(l->fetched_at, strlen(l->fetched_at), &us))
		opt_wrong(set, "--fetched-at: not a time of RFC 3339");
}

/* Options with a value of their own. */
static void
take_value(struct loader *l, const struct opt_set *set, int key)
{
	switch (key) {
	case TABLE:
		take_table(l, set);
		break;
	case LOADER_KEY:
		take_text(set, &l->key, TEXT_LEN);
		break;
	case BATCH:
		take_batch(l, set);
		break;
	case REASON:
		take_text(set, &l->policy.reason, REASON_LEN);
		break;
	case GENERATION:
		l->generation = (int64_t)opt_u64(1, INT32_MAX);
		break;
	case APPS:
		take_text(set, &l->apps, TEXT_LEN);
		break;
	case FINGERPRINT:
		take_fingerprint(l, set);
		break;
	case FETCHED_AT:
		take_time(l, set);
		break;
	case SOURCE:
		take_text(set, &l->source, NAME_LEN);
		break;
	case FEED:
		take_text(set, &l->feed, NAME_LEN);
		break;
	case DATE:
		date_format(opt_date(), l->day);
		l->date = l->day;
		break;
	default:
		break;
	}
}

static bool
take_flag(struct loader *l, int key)
{
	const struct {
		int key;
		bool *flag;
	} flags[] = {
	    {STAGE, &l->stage},
	    {LOADER_SETUP, &l->setup},
	    {LOADER_VERIFY, &l->verify},
	    {ALLOW_EMPTY, &l->policy.allow_empty},
	    {ALLOW_PARTIAL, &l->policy.allow_partial},
	    {FORCE, &l->policy.force},
	};

	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (flags[i].key == key)
			return *flags[i].flag = true;
	return false;
}

static bool
take_verb(struct loader *l, const struct opt_set *set, int key)
{
	static const struct {
		int key;
		enum verb verb;
	} verbs[] = {{PUBLISH, VERB_PUBLISH}, {ABORT, VERB_ABORT},
	    {ROLLBACK, VERB_ROLLBACK}, {QUARANTINE, VERB_QUARANTINE}};

	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (verbs[i].key != key)
			continue;
		if (l->verb != VERB_LOAD)
			opt_wrong(set, "%s: one verb at a time", opt_name());
		if (*opt_arg() == '\0')
			opt_wrong(set, "%s: empty", opt_name());
		l->verb = verbs[i].verb;
		l->verb_batch = opt_arg();
		return true;
	}
	return false;
}

bool
loader_opt(struct loader *l, const struct opt_set *set, int key)
{
	if (filter_opt(&l->f, key))
		return true;
	if (key < OPT_LOADER || key > DATE)
		return false;
	if (!take_verb(l, set, key) && !take_flag(l, key))
		take_value(l, set, key);
	return true;
}

/* ---- what goes together ---- */

void
loader_check(struct loader *l, const struct opt_set *set, bool operands)
{
	const struct rejects *r = &l->f.rejects;
	bool reads = l->table != NULL;

	if (l->verb != VERB_LOAD && (reads || l->setup || l->verify))
		opt_wrong(set, "a verb stands alone");
	if (l->verb == VERB_LOAD && !reads && !l->setup && !l->verify &&
	    l->apps == NULL)
		opt_wrong(set, "--table is missing");
	if (operands && !reads)
		opt_wrong(set, "files are read with --table only");
	if (l->verb == VERB_LOAD && l->generation != 0)
		opt_wrong(set, "--generation goes with a verb");
	if (l->verb == VERB_QUARANTINE && l->policy.reason == NULL)
		opt_wrong(set, "--quarantine needs --reason");
	if (!l->f.plain_out && !l->names && (l->source || l->feed || l->date))
		opt_wrong(set, "--source, --feed, --date go with --plain");
	l->policy.max_rejects = r->max_given ? r->max : 0;
	l->policy.max_percent = r->max_given ? r->percent : -1;
}
