/* event-id: gives each record its immutable, globally unique id. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canon.h"
#include "diag.h"
#include "event-id.h"
#include "exits.h"
#include "filter.h"
#include "mem.h"
#include "opt.h"
#include "sha.h"
#include "span.h"
#include "splice.h"
#include "stats.h"
#include "sys.h"

enum {
	OPT_SOURCE = OPT_TOOL,
	OPT_SOURCE_PATH,
	OPT_PROFILE,
	OPT_PROPERTY,
	OPT_TS,
	OPT_TS_UNIT,
	OPT_PAYLOAD,
	OPT_EXCLUDE,
	OPT_RAW_BYTES,
	OPT_LINEAGE,
	OPT_BATCH,
	OPT_SOURCE_FILE,
	OPT_REPLACE,
};

static const struct opt options[] = {
    {"source", OPT_SOURCE, "text", "the source's name in the id"},
    {"source-path", OPT_SOURCE_PATH, "path", "where records name their source"},
    {"profile", OPT_PROFILE, "ga4", "identity of a known kind of record"},
    {"property", OPT_PROPERTY, "id",
	"GA4 property, where no partition names it"},
    {"ts", OPT_TS, "path", "where records hold their time"},
    {"ts-unit", OPT_TS_UNIT, "unit", "rfc3339 (default), s, ms or us"},
    {"payload", OPT_PAYLOAD, "path", "hash this value only"},
    {"exclude", OPT_EXCLUDE, "path[,path]", "leave these out of the hash"},
    {"raw-bytes", OPT_RAW_BYTES, NULL, "hash the bytes as they are"},
    {"lineage", OPT_LINEAGE, NULL, "add source_file, line_no and batch_id"},
    {"batch", OPT_BATCH, "id", "the batch_id of --lineage"},
    {"source-file", OPT_SOURCE_FILE, "name", "the source_file of --lineage"},
    {"replace", OPT_REPLACE, NULL, "give records a new id in place of theirs"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set options_all = {
    "--ts path [--source text | --source-path path] [--payload path]\n"
    "--profile ga4 [--source text] [--property id] [--lineage]",
    {options, filter_options}};

enum { EXCLUDE_MAX = 64, OWN = 4, NONE = -1 };

/* Records are taken until this much payload waits to be hashed. */
enum { WAITING_MAX = 1u << 20 };

/* The members we add, and take away with --replace. */
static const char *const own[OWN] = {
    "event_id", "source_file", "line_no", "batch_id"};

struct job {
	/* settings */
	const char *source, *property, *batch, *source_file;
	int source_path, ts, payload;
	int exclude[EXCLUDE_MAX], own[OWN];
	size_t nexclude, nown;
	enum ts_unit unit;
	bool profile, raw, lineage, replace, deep;

	struct json_paths *paths;
	struct ga4 *ga4;
	struct canon *canon;
	struct stamp days;
	struct splice splice;
	struct buf scratch, copy, tail, lineage_text;
	const char *now_source; /* of the open partition */
	char why[256];

	/* records waiting for their digests */
	const struct record *rec[BATCH_MAX];
	char stamp[BATCH_MAX][18];
	size_t at[BATCH_MAX], len[BATCH_MAX];
	const void *direct[BATCH_MAX]; /* payload outside the scratch */
	size_t n;
};

static bool
source_ok(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') ||
			(p[i] >= 'A' && p[i] <= 'Z') ||
			(p[i] >= '0' && p[i] <= '9') || p[i] == '.' ||
			p[i] == '_' || p[i] == '-'))
			return false;
	return n >= 1 && n <= 64;
}

/* The values of members that are no part of the payload, because they go or
 * because they were named. */
static size_t
left_out(const struct job *j, const struct record *rec, const char **skip)
{
	size_t n = 0;

	for (size_t i = 0; i < j->nown; i++)
		if (rec->val[j->own[i]].type != JSON_ABSENT)
			skip[n++] = rec->val[j->own[i]].p;
	for (size_t i = 0; i < j->nexclude; i++)
		if (rec->val[j->exclude[i]].type != JSON_ABSENT)
			skip[n++] = rec->val[j->exclude[i]].p;
	return n;
}

/* The record without members that lie deeper than its top. */
static void
copy_without(
    struct job *j, const struct record *rec, const char **skip, size_t n)
{
	static const char pad[JSON_PAD] = "\n";

	splice_reset(&j->splice);
	for (size_t i = 0; i < n; i++) {
		struct json_span v = json_value(skip[i]);

		splice_drop_member(&j->splice, rec->text, &v);
	}
	splice_resolve(&j->splice, rec->text);
	buf_reset(&j->copy);
	splice_apply(&j->splice, rec->text, rec->len, &j->copy);
	buf_add(&j->copy, pad, sizeof pad);
}

static const char *
canonical_record(struct job *j, const struct record *rec)
{
	const char *skip[EXCLUDE_MAX + OWN];
	struct json_span v = {rec->text, rec->len, JSON_OBJECT, 0};
	size_t n = left_out(j, rec, skip);

	if (n > 0 && j->deep) {
		copy_without(j, rec, skip, n);
		v.p = j->copy.p;
		v.len = (uint32_t)(j->copy.len - JSON_PAD);
		n = 0;
	}
	if (!canon_record(j->canon, &j->scratch, &v, skip, n))
		return "an object has a member twice";
	return NULL;
}

static const char *
one_value(struct job *j, const struct json_span *v)
{
	struct json_span dup;

	if (v->type == JSON_ABSENT) {
		snprintf(j->why, sizeof j->why, "%s is missing",
		    json_paths_text(j->paths, j->payload));
		return j->why;
	}
	if (j->raw)
		buf_add(&j->scratch, v->p, v->len);
	else if (v->type == JSON_STRING)
		json_decode_buf(v, &j->scratch);
	else if (!json_canonical(&j->scratch, v, &dup))
		return "an object has a member twice";
	return NULL;
}

/* Lays the payload in the scratch, or points to it where it lies. */
static const char *
payload(struct job *j, const struct record *rec)
{
	struct json_span root = {rec->text, rec->len, JSON_OBJECT, 0};

	if (j->profile)
		return ga4_payload(j->ga4, &root, rec->val, &j->scratch);
	if (j->payload != NONE)
		return one_value(j, &rec->val[j->payload]);
	if (!j->raw)
		return canonical_record(j, rec);
	if (rec->val[j->own[0]].type == JSON_ABSENT && !j->lineage) {
		j->direct[j->n] = rec->text;
		j->len[j->n] = rec->len;
		return NULL;
	}
	{
		const char *skip[EXCLUDE_MAX + OWN];

		copy_without(j, rec, skip, left_out(j, rec, skip));
		buf_add(&j->scratch, j->copy.p, j->copy.len - JSON_PAD);
	}
	return NULL;
}

static const char *
check_members(struct job *j, const struct record *rec)
{
	int count = json_paths_count(j->paths);

	for (int i = 0; i < count; i++)
		if (rec->val[i].flags & JSON_DUPLICATE) {
			snprintf(j->why, sizeof j->why, "%s occurs twice",
			    json_paths_text(j->paths, i));
			return j->why;
		}
	if (j->replace)
		return NULL;
	for (size_t i = 0; i < j->nown; i++)
		if (rec->val[j->own[i]].type != JSON_ABSENT) {
			snprintf(j->why, sizeof j->why,
			    "has %s already: --replace gives it a new one",
			    own[i]);
			return j->why;
		}
	return NULL;
}

static const char *
check_source(struct job *j, const struct record *rec)
{
	const struct json_span *v;

	if (j->source_path == NONE)
		return NULL;
	v = &rec->val[j->source_path];
	if (v->type == JSON_STRING && source_ok(v->p + 1, v->len - 2))
		return NULL;
	snprintf(j->why, sizeof j->why,
	    "%s is not a name of 1 to 64 letters, digits, '.', '_', '-'",
	    json_paths_text(j->paths, j->source_path));
	return j->why;
}

/* Takes a record into the waiting ones. NULL, or why it is bad. */
static const char *
take(struct job *j, const struct record *rec)
{
	const struct json_span *ts;
	const char *why;
	size_t start = j->scratch.len;

	j->rec[j->n] = rec;
	j->direct[j->n] = NULL;
	if ((why = check_members(j, rec)) != NULL ||
	    (why = check_source(j, rec)) != NULL)
		return why;
	if ((why = payload(j, rec)) != NULL) {
		j->scratch.len = start;
		return why;
	}
	if (j->scratch.over) {
		j->scratch.over = false;
		j->scratch.len = start;
		return "its payload is too large";
	}
	ts = j->profile ? ga4_timestamp(j->ga4) : &rec->val[j->ts];
	if ((why = stamp(&j->days, ts, j->unit, j->stamp[j->n])) != NULL) {
		j->scratch.len = start;
		snprintf(j->why, sizeof j->why, "%s %s",
		    j->profile ? "event_timestamp"
			       : json_paths_text(j->paths, j->ts),
		    why);
		return j->why;
	}
	if (j->direct[j->n] == NULL) {
		j->at[j->n] = start;
		j->len[j->n] = j->scratch.len - start;
	}
	j->n++;
	return NULL;
}

/* An old id that stands first, as we put it: the comma behind it may pass for
 * the opening brace. NULL: it is not so. */
static const char *
after_first(const struct job *j, const struct record *rec)
{
	const struct json_span *v = &rec->val[j->own[0]];

	for (size_t i = 1; i < j->nown; i++)
		if (rec->val[j->own[i]].type != JSON_ABSENT)
			return NULL;
	if (v->type == JSON_ABSENT || v->p[v->len] != ',' ||
	    splice_key(v->p) != rec->text + 1)
		return NULL;
	return v->p + v->len;
}

/* What follows the id, without the members that are replaced. */
static void
rest(struct job *j, const struct record *rec, const char **p, size_t *len)
{
	const char *comma;
	bool any = false;

	*p = rec->text;
	*len = rec->len;
	if (!j->replace)
		return;
	comma = after_first(j, rec);
	if (comma != NULL) {
		*p = comma;
		*len = rec->len - (size_t)(comma - rec->text);
		return;
	}
	splice_reset(&j->splice);
	for (size_t i = 0; i < j->nown; i++) {
		const struct json_span *v = &rec->val[j->own[i]];

		if (v->type != JSON_ABSENT) {
			splice_drop_member(&j->splice, rec->text, v);
			any = true;
		}
	}
	if (!any)
		return;
	splice_resolve(&j->splice, rec->text);
	buf_reset(&j->copy);
	splice_apply(&j->splice, rec->text, rec->len, &j->copy);
	*p = j->copy.p;
	*len = j->copy.len;
}

static void
lineage(struct job *j, const struct record *rec, const char *file)
{
	if (j->lineage_text.len == 0) {
		buf_str(&j->lineage_text, ",\"source_file\":");
		json_write_clean(&j->lineage_text, file, strlen(file));
		buf_str(&j->lineage_text, ",\"line_no\":");
	}
	buf_reset(&j->tail);
	buf_add(&j->tail, j->lineage_text.p, j->lineage_text.len);
	buf_u64(&j->tail, rec->line);
	buf_str(&j->tail, ",\"batch_id\":");
	if (j->batch == NULL)
		buf_str(&j->tail, "null");
	else
		json_write_clean(&j->tail, j->batch, strlen(j->batch));
	buf_char(&j->tail, '}');
}

/* {"event_id":"source:stamp:digest" */
static void
write_id(struct job *j, struct filter *f, size_t i,
    const unsigned char digest[SHA_LEN])
{
	const char *source = j->now_source;
	size_t n;
	char text[256], *p = text;

	if (j->source_path != NONE) {
		const struct json_span *v = &j->rec[i]->val[j->source_path];

		source = v->p + 1;
		n = v->len - 2;
	} else {
		n = strlen(source);
	}
	memcpy(p, "{\"event_id\":\"", 13);
	memcpy(p += 13, source, n);
	*(p += n) = ':';
	memcpy(++p, j->stamp[i], 17);
	*(p += 17) = ':';
	sha_hex(digest, ++p);
	p += SHA_HEX;
	*p++ = '"';
	out_write(&f->out, text, (size_t)(p - text));
}

static void
write_record(struct job *j, struct filter *f, size_t i, const char *file,
    const unsigned char digest[SHA_LEN])
{
	const struct record *rec = j->rec[i];
	const char *p, *after;
	size_t len;

	rest(j, rec, &p, &len);
	write_id(j, f, i, digest);
	after = span_blanks(p + 1);
	if (*after != '}')
		out_write(&f->out, ",", 1);
	if (j->lineage) {
		out_write(&f->out, p + 1, len - 2);
		lineage(j, rec, j->source_file != NULL ? j->source_file : file);
		out_record(&f->out, j->tail.p, j->tail.len);
	} else {
		out_record(&f->out, p + 1, len - 1);
	}
	f->written++;
}

/* Hashes and writes the waiting records. */
static void
flush(struct job *j, struct filter *f, const char *file)
{
	unsigned char digest[BATCH_MAX][SHA_LEN];
	const void *p[BATCH_MAX];

	for (size_t i = 0; i < j->n; i++)
		p[i] = j->direct[i] != NULL ? j->direct[i]
					    : j->scratch.p + j->at[i];
	sha256_many(j->n, p, j->len, digest);
	for (size_t i = 0; i < j->n; i++)
		write_record(j, f, i, file, digest[i]);
	j->n = 0;
	buf_reset(&j->scratch);
}

static int
records(struct filter *f, const struct batch *b)
{
	struct job *j = f->ctx;
	const char *file =
	    b->file != NULL && strcmp(b->file, "-") != 0 ? b->file : "stdin";

	buf_reset(&j->lineage_text);
	for (size_t i = 0; i < b->n; i++) {
		const char *why = take(j, &b->rec[i]);

		if (why != NULL) {
			int st = filter_reject(f, &b->rec[i], 0, why);

			if (st != RC_OK) {
				flush(j, f, file);
				return st;
			}
		}
		if (j->scratch.len >= WAITING_MAX)
			flush(j, f, file);
	}
	flush(j, f, file);
	return RC_OK;
}

static int
begin(struct filter *f, const struct part *part)
{
	struct job *j = f->ctx;

	j->now_source = j->source;
	if (j->profile)
		ga4_property(j->ga4, j->property != NULL ? j->property
				     : part->plain       ? ""
							 : part->feed);
	if (j->source != NULL || j->source_path != NONE)
		return RC_OK;
	if (part->plain) {
		warn_msg(NULL, "records outside a partition need --source");
		return RC_USAGE;
	}
	if (!source_ok(part->source, strlen(part->source))) {
		warn_at(part->file, part->line, 0,
		    "source_system cannot stand in an id; see --source");
		return RC_CONTRACT;
	}
	j->now_source = part->source;
	return RC_OK;
}

static int
add_path(struct job *j, const char *text)
{
	const char *why;
	int index = json_paths_add(j->paths, text, &why);

	if (index < 0)
		opt_wrong(&options_all, "%s: %s", opt_name(), why);
	return index;
}

static void
add_excludes(struct job *j, const char *list)
{
	for (;;) {
		size_t n = strcspn(list, ",");
		char *one = xstrndup(list, n);

		if (j->nexclude == EXCLUDE_MAX)
			opt_wrong(&options_all, "--exclude: more than %d paths",
			    EXCLUDE_MAX);
		j->exclude[j->nexclude++] = add_path(j, one);
		if (strpbrk(one, ".[\"") != NULL)
			j->deep = true;
		free(one);
		if (list[n] == '\0')
			return;
		list += n + 1;
	}
}

static enum ts_unit
unit_of(const char *text)
{
	static const char *const words[] = {[TS_RFC3339] = "rfc3339",
	    [TS_S] = "s",
	    [TS_MS] = "ms",
	    [TS_US] = "us"};

	for (enum ts_unit u = TS_RFC3339; u <= TS_US; u++)
		if (strcmp(text, words[u]) == 0)
			return u;
	opt_wrong(&options_all, "--ts-unit: none of rfc3339, s, ms, us");
}

static const char *
source_of(const char *text)
{
	if (!source_ok(text, strlen(text)))
		opt_wrong(&options_all, "--source: not a name of 1 to 64 "
					"letters, digits, '.', '_', '-'");
	return text;
}

static void
take_option(struct job *j, struct filter *f, int key)
{
	switch (key) {
	case OPT_SOURCE:
		j->source = source_of(opt_arg());
		break;
	case OPT_SOURCE_PATH:
		j->source_path = add_path(j, opt_arg());
		break;
	case OPT_PROFILE:
		if (strcmp(opt_arg(), "ga4") != 0)
			opt_wrong(&options_all, "--profile: there is only ga4");
		j->profile = true;
		break;
	case OPT_PROPERTY:
		j->property = opt_arg();
		break;
	case OPT_TS:
		j->ts = add_path(j, opt_arg());
		break;
	case OPT_TS_UNIT:
		j->unit = unit_of(opt_arg());
		break;
	case OPT_PAYLOAD:
		j->payload = add_path(j, opt_arg());
		break;
	case OPT_EXCLUDE:
		add_excludes(j, opt_arg());
		break;
	case OPT_RAW_BYTES:
		j->raw = true;
		break;
	case OPT_LINEAGE:
		j->lineage = true;
		break;
	case OPT_BATCH:
		j->batch = opt_arg();
		break;
	case OPT_SOURCE_FILE:
		j->source_file = opt_arg();
		break;
	case OPT_REPLACE:
		j->replace = true;
		break;
	default:
		filter_opt(f, key);
	}
}

static void
check_options(const struct job *j)
{
	if (j->source != NULL && j->source_path != NONE)
		opt_wrong(&options_all, "--source and --source-path exclude "
					"each other");
	if (j->profile &&
	    (j->ts != NONE || j->payload != NONE || j->nexclude > 0 || j->raw))
		opt_wrong(&options_all, "--profile says what --ts, --payload, "
					"--exclude and --raw-bytes would");
	if (!j->profile && j->ts == NONE)
		opt_wrong(&options_all, "--ts or --profile is needed");
	if (!j->profile && j->property != NULL)
		opt_wrong(&options_all, "--property goes with --profile ga4");
	if (j->nexclude > 0 && (j->raw || j->payload != NONE))
		opt_wrong(&options_all,
		    "--exclude goes with the canonical form "
		    "of whole records only");
	if (!j->lineage && (j->batch != NULL || j->source_file != NULL))
		opt_wrong(&options_all, "--batch and --source-file go with "
					"--lineage");
}

static void
prepare(struct job *j)
{
	const char *why;

	j->nown = j->lineage ? OWN : 1;
	for (size_t i = 0; i < j->nown; i++)
		j->own[i] = json_paths_add(j->paths, own[i], &why);
	if (j->profile) {
		j->ga4 = ga4_new(j->paths);
		j->unit = TS_US;
	}
}

static void
init(struct job *j)
{
	*j = (struct job){.source_path = NONE, .ts = NONE, .payload = NONE};
	j->paths = json_paths_new();
	j->canon = canon_new();
	splice_init(&j->splice, 0);
	/* A number can be written 5 times shorter than its canonical form. */
	buf_init(&j->scratch, SIZE_MAX / 4);
	buf_init(&j->copy, SIZE_MAX / 4);
	buf_init(&j->tail, 1u << 20);
	buf_init(&j->lineage_text, 1u << 20);
}

static void
release(struct job *j)
{
	ga4_free(j->ga4);
	canon_free(j->canon);
	splice_release(&j->splice);
	buf_release(&j->scratch);
	buf_release(&j->copy);
	buf_release(&j->tail);
	buf_release(&j->lineage_text);
	json_paths_free(j->paths);
}

static int
finish(struct filter *f)
{
	struct job *j = f->ctx;

	if (j->ga4 != NULL && ga4_nan(j->ga4) > 0)
		stats_add("nan", ga4_nan(j->ga4));
	return RC_OK;
}

int
main(int argc, char **argv)
{
	static struct job j;
	static struct filter f;
	int key, status;

	diag_init(argv[0]);
	init(&j);
	filter_init(&f);
	while ((key = opt_next(&options_all, argc, argv)) != -1)
		take_option(&j, &f, key);
	check_options(&j);
	prepare(&j);
	f.paths = j.paths;
	f.ctx = &j;
	f.begin = begin;
	f.records = records;
	f.finish = finish;
	status =
	    filter_run(&f, argv + opt_index(), (size_t)(argc - opt_index()));
	release(&j);
	return status;
}
