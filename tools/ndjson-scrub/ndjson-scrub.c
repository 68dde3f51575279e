/* ndjson-scrub: what the policy says befalls personal data. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dec.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "filter.h"
#include "mem.h"
#include "opt.h"
#include "scrub.h"
#include "sha.h"
#include "span.h"
#include "stats.h"

enum {
	OPT_POLICY = OPT_TOOL,
	OPT_SALT_FILE,
	OPT_SALT_VERSION,
	OPT_VERSION_MEMBER,
	OPT_UNKNOWN,
};

static const struct opt options[] = {
    {"policy", OPT_POLICY, "file", "what befalls which member"},
    {"salt-file", OPT_SALT_FILE, "file", "key of the pseudonyms, mode 0400"},
    {"salt-version", OPT_SALT_VERSION, "name",
	"its name in the output, default made from it"},
    {"version-member", OPT_VERSION_MEMBER, "name",
	"add the salt's version to each record, too"},
    {"unknown", OPT_UNKNOWN, "action",
	"keep, drop or refuse members that have no rule"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set options_all = {
    "--policy file [--salt-file file] [--unknown action] [file ...]",
    {options, filter_options}};

enum { SALT_MIN = 16, VERSION_MAX = 64 };

/* Each record of a batch has its own list of changes; the pseudonyms of the
 * whole batch are made at once. */
struct pseudonym {
	const char *text; /* NULL: at `at` of the arena */
	size_t at, len;
	uint32_t slot, into, hex; /* record, place in its new text, digits */
};

struct job {
	struct policy policy;
	struct json_paths *paths;
	struct hmac hmac;
	struct secret salt;
	char version[VERSION_MAX + 1];
	const char *salt_member;
	int salt_path;
	bool salted;

	struct splice splice[BATCH_MAX];
	struct pseudonym *todo;
	size_t ntodo, cap;
	struct buf arena, tail, copy;
	uint64_t walks;
	const struct record *rec[BATCH_MAX];
	size_t n;

	/* of the record at hand */
	const struct record *now;
	const char *why;
	size_t byte;
	char text[320];

	uint64_t dropped;
	const char *first_file;
	uint64_t first_line;
	size_t first_byte;
};

/* The record at hand is bad; false, for the caller to return. */
static bool
bad(struct job *j, const char *at, const struct place *place, const char *why)
{
	snprintf(j->text, sizeof j->text, "%.200s %s",
	    place->text != NULL ? place->text : "the record", why);
	j->why = j->text;
	j->byte = at == NULL ? 0 : (size_t)(at - j->now->text) + 1;
	return false;
}

static struct splice *
changes(struct job *j)
{
	return &j->splice[j->n];
}

/* ---- actions ---- */

/* null and "" hold nothing and stay: a pseudonym of nothing would be one and
 * the same person for all who count. */
static bool
pseudonymise(struct job *j, const struct place *pl, const struct json_span *v)
{
	struct pseudonym *t;
	char hex[SHA_HEX + 2];

	if (v->type == JSON_NULL || (v->type == JSON_STRING && v->len == 2))
		return true;
	if (v->type != JSON_STRING && v->type != JSON_NUMBER)
		return bad(j, v->p, pl, "is neither a string nor a number");
	if (j->ntodo == j->cap) {
		j->cap = j->cap == 0 ? 256 : j->cap * 2;
		j->todo = xreallocarray(j->todo, j->cap, sizeof *j->todo);
	}
	t = &j->todo[j->ntodo++];
	t->text = v->p + 1;
	t->len = v->len - 2;
	t->at = j->arena.len;
	if (v->type == JSON_NUMBER)
		num_canonical(&j->arena, v->p, v->len);
	else if (v->flags & JSON_ESCAPED)
		json_decode_buf(v, &j->arena);
	if (v->type == JSON_NUMBER || (v->flags & JSON_ESCAPED)) {
		t->text = NULL;
		t->len = j->arena.len - t->at;
	}
	t->slot = (uint32_t)j->n;
	t->into = (uint32_t)changes(j)->text.len + 1;
	t->hex = pl->rule.length;
	memset(hex, '0', sizeof hex);
	hex[0] = '"';
	hex[t->hex + 1] = '"';
	splice_replace(changes(j), j->now->text, v, hex, t->hex + 2);
	return true;
}

static void
drop(struct job *j, enum step step, const struct json_span *v)
{
	if (step == STEP_MEMBER)
		splice_drop_member(changes(j), j->now->text, v);
	else
		splice_drop_element(changes(j), j->now->text, v);
}

static bool
apply(struct job *j, const struct place *pl, const struct json_span *v)
{
	const char *why;

	switch (pl->rule.action) {
	case KEEP:
		break;
	case DROP:
		drop(j, pl->step, v);
		break;
	case PSEUDONYMISE:
		return pseudonymise(j, pl, v);
	case TRUNCATE:
		why = truncate_value(&pl->rule, j->now->text, v, changes(j));
		return why == NULL || bad(j, v->p, pl, why);
	case REFUSE:
		return v->type == JSON_NULL ||
		       bad(j, v->p, pl, "must not be there");
	}
	return true;
}

/* A member or element without a place of its own. `key` is where it starts. */
static bool
unknown(struct job *j, const struct place *parent, enum step step,
    const char *key, const struct json_span *v)
{
	if (parent->unknown == KEEP)
		return true;
	if (parent->unknown == REFUSE)
		return bad(
		    j, key, parent, "holds what the policy does not name");
	if (j->dropped++ == 0) {
		j->first_line = j->now->line;
		j->first_byte = (size_t)(key - j->now->text) + 1;
	}
	drop(j, step, v);
	return true;
}

/* ---- the walk ---- */

static bool visit(
    struct job *j, struct place *pl, const struct json_span *v, bool found);

static bool
members_walked(struct job *j, struct place *pl, const struct json_span *v)
{
	struct json_iter it;
	struct json_span key, val;
	uint64_t mark = ++j->walks;

	json_iter_init(&it, v);
	while (json_next_member(&it, &key, &val)) {
		struct place *c = NULL;

		for (size_t i = 0; i < pl->n && c == NULL; i++)
			if (json_is(&key, pl->child[i]->name,
				pl->child[i]->name_len))
				c = pl->child[i];
		if (c == NULL) {
			if (!unknown(j, pl, STEP_MEMBER, key.p, &val))
				return false;
			continue;
		}
		if (c->mark == mark)
			return bad(j, key.p, c, "occurs twice");
		c->mark = mark;
		if (!visit(j, c, &val, false))
			return false;
	}
	return true;
}

/*
 * Steps over the object at p and finds its member of that name: what an
 * element is selected by. *n counts how often it is there, since a second one
 * could hide behind the first.
 */
static const char *
selector(const char *p, const struct place *c, struct json_span *v, size_t *n)
{
	*n = 0;
	v->type = JSON_ABSENT;
	for (p = span_blanks(p + 1); *p != '}'; p = span_blanks(p)) {
		struct json_span key = {p, 0, JSON_STRING, 0}, val;
		bool escaped = false;

		if (*p == ',')
			key.p = p = span_blanks(p + 1);
		p = span_string(p, &escaped);
		key.len = (uint32_t)(p - key.p);
		key.flags = escaped ? JSON_ESCAPED : 0;
		val = json_value(span_blanks(p) + 1);
		p = val.p + val.len;
		if (json_is(&key, c->name, c->name_len) && (*n)++ == 0)
			*v = val;
	}
	return p + 1;
}

/* The child for an element, NULL where there is none. Sets *end. */
static struct place *
chosen(struct place *pl, const char *p, const char **end, bool *twice)
{
	struct place *last = NULL;
	struct json_span v = {NULL, 0, JSON_ABSENT, 0};
	size_t n = 0;

	*end = NULL;
	for (size_t i = 0; i < pl->n; i++) {
		struct place *c = pl->child[i];

		if (c->step == STEP_EACH)
			return c;
		if (*p != '{')
			continue;
		if (last == NULL || last->name_len != c->name_len ||
		    memcmp(last->name, c->name, c->name_len) != 0) {
			*end = selector(p, c, &v, &n);
			*twice |= n > 1;
		}
		last = c;
		if (v.type == JSON_STRING &&
		    json_is(&v, c->value, c->value_len))
			return c;
	}
	return NULL;
}

static bool
elements(struct job *j, struct place *pl, const struct json_span *v)
{
	const char *p = v->p + 1;

	for (;;) {
		struct json_span val;
		struct place *c;
		const char *end;
		bool twice = false;

		p = span_blanks(p);
		if (*p == ',')
			p = span_blanks(p + 1);
		if (*p == ']')
			return true;
		c = chosen(pl, p, &end, &twice);
		if (twice)
			return bad(j, p, pl,
			    "has an element with its key "
			    "twice");
		if (end == NULL)
			val = json_value(p);
		else
			val = (struct json_span){
			    p, (uint32_t)(end - p), JSON_OBJECT, 0};
		if (c == NULL) {
			if (!unknown(j, pl, STEP_EACH, val.p, &val))
				return false;
		} else if (!visit(j, c, &val, false)) {
			return false;
		}
		p = val.p + val.len;
	}
}

/* Members between a and the one whose value starts at `upto` (or the closing
 * brace) have no place: each found one is stepped over by its own gap. */
static bool
gap(struct job *j, struct place *pl, const char *a, const char *upto)
{
	for (;;) {
		struct json_span key = {NULL, 0, JSON_STRING, 0}, v;
		bool escaped = false;
		const char *end;

		a = span_blanks(a);
		if (*a == ',')
			a = span_blanks(a + 1);
		if (*a == '}')
			return true;
		key.p = a;
		end = span_string(a, &escaped);
		a = span_blanks(span_blanks(end) + 1);
		if (a == upto)
			return true;
		v = json_value(a);
		a = v.p + v.len;
		if (!unknown(j, pl, STEP_MEMBER, key.p, &v))
			return false;
	}
}

static const struct json_span *
value_of(const struct job *j, const struct place *pl, uint16_t child)
{
	return &j->now->val[pl->child[child]->path];
}

/* Sorts the n found children, and keeps their order with the others behind. */
static void
reorder(const struct job *j, struct place *pl, uint16_t *found, size_t n)
{
	size_t at = n;

	for (size_t i = 1; i < n; i++) {
		uint16_t c = found[i];
		const char *p = value_of(j, pl, c)->p;
		size_t k = i;

		for (; k > 0 && value_of(j, pl, found[k - 1])->p > p; k--)
			found[k] = found[k - 1];
		found[k] = c;
	}
	memcpy(pl->order, found, n * sizeof *found);
	for (size_t i = 0; i < pl->n; i++)
		if (value_of(j, pl, (uint16_t)i)->type == JSON_ABSENT)
			pl->order[at++] = (uint16_t)i;
}

/* The found children in order of their place in the record, which is mostly
 * the order of the last record. Returns how many. */
static size_t
in_order(struct job *j, struct place *pl, uint16_t *out)
{
	const char *last = NULL;
	size_t n = 0;
	bool sorted = true;

	for (size_t i = 0; i < pl->n; i++) {
		uint16_t c = pl->order[i];
		const struct json_span *v = value_of(j, pl, c);

		if (v->type == JSON_ABSENT)
			continue;
		sorted &= v->p > last;
		last = v->p;
		out[n++] = c;
	}
	if (!sorted)
		reorder(j, pl, out, n);
	return n;
}

/* Members whose places the scanner found. Where unknown ones may stay nothing
 * else is looked at; else the bytes between the found ones must be their keys
 * and nothing more. */
static bool
members_found(struct job *j, struct place *pl, const struct json_span *v)
{
	uint16_t order[PLACES_MAX];
	const char *a = v->p + 1;
	size_t n;

	if (pl->unknown == KEEP) {
		for (size_t i = 0; i < pl->n; i++) {
			struct place *c = pl->child[i];
			const struct json_span *m = &j->now->val[c->path];

			if (m->type != JSON_ABSENT && !c->idle &&
			    !visit(j, c, m, true))
				return false;
		}
		return true;
	}
	n = in_order(j, pl, order);
	for (size_t i = 0; i < n; i++) {
		struct place *c = pl->child[order[i]];
		const struct json_span *m = &j->now->val[c->path];
		size_t skip = i == 0; /* the first has no comma */

		if ((size_t)(m->p - a) != c->gap_len - skip ||
		    memcmp(a, c->gap + skip, c->gap_len - skip) != 0)
			if (!gap(j, pl, a, m->p))
				return false;
		if (!c->idle && !visit(j, c, m, true))
			return false;
		a = m->p + m->len;
	}
	return *a == '}' || gap(j, pl, a, NULL);
}

/* What the place says of the value. found: the scanner has its members. */
static bool
visit(struct job *j, struct place *pl, const struct json_span *v, bool found)
{
	bool array;

	if (found && (v->flags & JSON_DUPLICATE))
		return bad(j, v->p, pl, "occurs twice");
	if (pl->n == 0)
		return apply(j, pl, v);
	array = pl->child[0]->step != STEP_MEMBER;
	if (v->type == JSON_NULL)
		return true;
	if (v->type != (array ? JSON_ARRAY : JSON_OBJECT))
		return bad(j, v->p, pl,
		    array ? "is not an array" : "is not an object");
	if (array)
		return elements(j, pl, v);
	return found ? members_found(j, pl, v) : members_walked(j, pl, v);
}

/* Duplicates of idle places count, too: a second one may be read by others. */
static bool
single(struct job *j)
{
	int n = json_paths_count(j->paths);
	unsigned any = 0;

	for (int i = 0; i < n; i++)
		any |= j->now->val[i].flags;
	if ((any & JSON_DUPLICATE) == 0)
		return true;
	for (int i = 0; i < n; i++)
		if (j->now->val[i].flags & JSON_DUPLICATE) {
			snprintf(j->text, sizeof j->text, "%.200s occurs twice",
			    json_paths_text(j->paths, i));
			j->why = j->text;
			j->byte = 0;
			return false;
		}
	return true;
}

static bool
scrub(struct job *j, const struct record *rec)
{
	struct json_span root = {rec->text, rec->len, JSON_OBJECT, 0};

	j->now = rec;
	splice_reset(changes(j));
	if (!single(j))
		return false;
	if (j->salt_path >= 0 && rec->val[j->salt_path].type != JSON_ABSENT) {
		j->why = "has the member of --version-member already";
		j->byte = 0;
		return false;
	}
	if (!members_found(j, &j->policy.root, &root))
		return false;
	if (j->policy.email == EMAIL_KEEP)
		return true;
	j->why = email_scrub(
	    j->policy.email, rec->text, rec->len, changes(j), &j->byte);
	return j->why == NULL;
}

/* ---- output ---- */

/* The pseudonyms of the waiting records go to the places kept for them. */
static void
fill_in(struct job *j)
{
	enum { AT_ONCE = 128 };
	const void *p[AT_ONCE];
	size_t len[AT_ONCE];
	unsigned char d[AT_ONCE][SHA_LEN];
	char hex[SHA_HEX + 1];

	for (size_t from = 0; from < j->ntodo; from += AT_ONCE) {
		const struct pseudonym *t = j->todo + from;
		size_t n =
		    j->ntodo - from < AT_ONCE ? j->ntodo - from : AT_ONCE;

		for (size_t i = 0; i < n; i++) {
			p[i] = t[i].text != NULL ? t[i].text
						 : j->arena.p + t[i].at;
			len[i] = t[i].len;
		}
		hmac_many(&j->hmac, n, p, len, d);
		for (size_t i = 0; i < n; i++) {
			sha_hex(d[i], hex);
			memcpy(j->splice[t[i].slot].text.p + t[i].into, hex,
			    t[i].hex);
		}
	}
	j->ntodo = 0;
	buf_reset(&j->arena);
}

/* With the salt's version as the last member, perhaps the only one. */
static void
write_marked(struct job *j, struct filter *f, const struct record *rec,
    const struct splice *s)
{
	buf_reset(&j->copy);
	splice_apply(s, rec->text, rec->len, &j->copy);
	out_write(&f->out, j->copy.p, j->copy.len - 1);
	if (*span_blanks(j->copy.p + 1) != '}')
		out_write(&f->out, ",", 1);
	filter_put(f, j->tail.p, j->tail.len);
}

static void
write_record(struct job *j, struct filter *f, size_t slot)
{
	const struct record *rec = j->rec[slot];
	struct splice *s = &j->splice[slot];
	size_t at = 0;

	splice_resolve(s, rec->text);
	if (j->salt_member != NULL) {
		write_marked(j, f, rec, s);
		return;
	}
	for (size_t i = 0; i < s->n; i++) {
		const struct change *c = &s->list[i];

		out_write(&f->out, rec->text + at, c->from - at);
		out_write(&f->out, s->text.p + c->at, c->len);
		at = c->to;
	}
	filter_put(f, rec->text + at, rec->len - at);
}

static void
flush(struct job *j, struct filter *f)
{
	fill_in(j);
	for (size_t i = 0; i < j->n; i++)
		write_record(j, f, i);
	j->n = 0;
}

static int
records(struct filter *f, const struct batch *b)
{
	struct job *j = f->ctx;

	for (size_t i = 0; i < b->n; i++) {
		size_t todo = j->ntodo, arena = j->arena.len;
		uint64_t dropped = j->dropped;

		if (scrub(j, &b->rec[i])) {
			if (j->dropped > 0 && dropped == 0)
				j->first_file = b->file;
			j->rec[j->n++] = &b->rec[i];
			continue;
		}
		j->ntodo = todo;
		j->arena.len = arena;
		j->dropped = dropped;
		{
			int st = filter_reject(f, &b->rec[i], j->byte, j->why);

			if (st != RC_OK) {
				flush(j, f);
				return st;
			}
		}
	}
	flush(j, f);
	return RC_OK;
}

/* ---- salt and partitions ---- */

/* What was scrubbed once holds pseudonyms, and pseudonyms of those would meet
 * no others. */
static int
begin(struct filter *f, const struct part *part)
{
	struct job *j = f->ctx;

	if (part->plain)
		return RC_OK;
	if (json_member(&part->begin, "scrubbed").type != JSON_ABSENT ||
	    json_member(&part->begin, "salt_version").type != JSON_ABSENT) {
		warn_at(part->file, part->line, 0,
		    "the partition is scrubbed already");
		return RC_CONTRACT;
	}
	buf_str(&f->begin_extra, ",\"scrubbed\":true");
	if (j->salted)
		buf_fmt(
		    &f->begin_extra, ",\"salt_version\":\"%s\"", j->version);
	buf_fmt(&f->begin_extra, ",\"pii_policy\":\"%.16s\"",
	    j->policy.conf->sha256);
	return RC_OK;
}

static bool
version_ok(const char *v)
{
	size_t n = strspn(v, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW"
			     "XYZ0123456789._-");

	return n >= 1 && n <= VERSION_MAX && v[n] == '\0';
}

/* The first 8 hex digits of SHA-256("weir-salt-version" salt). */
static void
default_version(struct job *j)
{
	static const char prefix[] = "weir-salt-version";
	struct sha256 *s = sha256_new();
	unsigned char d[SHA_LEN];
	char hex[SHA_HEX + 1];

	sha256_add(s, prefix, sizeof prefix - 1);
	sha256_add(s, j->salt.p, j->salt.len);
	sha256_end(s, d);
	sha_hex(d, hex);
	memcpy(j->version, hex, 8);
	j->version[8] = '\0';
}

/* --salt-file, else the credential analytics_salt. */
static int
read_salt(struct job *j, const char *file)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	char *path;
	int rc;

	if (file == NULL && (dir == NULL || *dir == '\0')) {
		warn_msg("--salt-file",
		    "is needed: the policy pseudonymises members");
		return RC_CONFIG;
	}
	path =
	    file != NULL ? xstrdup(file) : xasprintf("%s/analytics_salt", dir);
	rc = secret_read(path, &j->salt);
	if (rc == RC_OK && j->salt.len < SALT_MIN) {
		warn_msg(path, "the salt is shorter than %d bytes", SALT_MIN);
		rc = RC_CONFIG;
	}
	free(path);
	if (rc != RC_OK)
		return rc;
	hmac_key(&j->hmac, j->salt.p, j->salt.len);
	j->salted = true;
	if (j->version[0] == '\0')
		default_version(j);
	return RC_OK;
}

static int
finish(struct filter *f)
{
	struct job *j = f->ctx;

	stats_add("unknown_dropped", j->dropped);
	if (j->salted)
		stats_text("salt_version", j->version);
	if (j->dropped > 0)
		warn_at(j->first_file, j->first_line, j->first_byte,
		    "warning: the first of %llu members that the policy does "
		    "not name and that were dropped",
		    (unsigned long long)j->dropped);
	return RC_OK;
}

/* ---- main ---- */

struct settings {
	const char *policy, *salt_file;
	int unknown;
};

static void
take_option(struct job *j, struct settings *s, struct filter *f, int key)
{
	switch (key) {
	case OPT_POLICY:
		s->policy = opt_arg();
		break;
	case OPT_SALT_FILE:
		s->salt_file = opt_arg();
		break;
	case OPT_SALT_VERSION:
		if (!version_ok(opt_arg()))
			opt_wrong(&options_all,
			    "--salt-version: not 1 to %d "
			    "of [A-Za-z0-9._-]",
			    VERSION_MAX);
		snprintf(j->version, sizeof j->version, "%s", opt_arg());
		break;
	case OPT_VERSION_MEMBER:
		if (!version_ok(opt_arg()))
			opt_wrong(
			    &options_all, "--version-member: not a plain name");
		j->salt_member = opt_arg();
		break;
	case OPT_UNKNOWN:
		s->unknown = policy_unknown(opt_arg());
		if (s->unknown < 0)
			opt_wrong(&options_all,
			    "--unknown: none of keep, drop, refuse");
		break;
	default:
		filter_opt(f, key);
	}
}

static int
prepare(struct job *j, const struct settings *s)
{
	int rc = policy_load(s->policy, s->unknown, j->paths, &j->policy);
	const char *why;
	char *quoted;

	if (rc == RC_OK && (j->policy.needs_salt || s->salt_file != NULL))
		rc = read_salt(j, s->salt_file);
	if (rc != RC_OK || j->salt_member == NULL)
		return rc;
	if (!j->salted)
		opt_wrong(&options_all, "--version-member: there is no salt");
	quoted = xasprintf("\"%s\"", j->salt_member);
	j->salt_path = json_paths_add(j->paths, quoted, &why);
	free(quoted);
	buf_fmt(&j->tail, "\"%s\":\"%s\"}", j->salt_member, j->version);
	return RC_OK;
}

static void
release(struct job *j)
{
	policy_release(&j->policy);
	for (size_t i = 0; i < BATCH_MAX; i++)
		splice_release(&j->splice[i]);
	buf_release(&j->arena);
	buf_release(&j->tail);
	buf_release(&j->copy);
	free(j->todo);
	secret_wipe(&j->salt);
	explicit_bzero(&j->hmac, sizeof j->hmac);
	json_paths_free(j->paths);
}

int
main(int argc, char **argv)
{
	static struct job j;
	static struct filter f;
	struct settings s = {NULL, NULL, -1};
	int key, status;

	diag_init(argv[0]);
	j.paths = json_paths_new();
	j.salt_path = -1;
	buf_init(&j.arena, SIZE_MAX / 4);
	buf_init(&j.tail, 1u << 16);
	buf_init(&j.copy, SIZE_MAX / 4);
	for (size_t i = 0; i < BATCH_MAX; i++)
		splice_init(&j.splice[i], SIZE_MAX / 4);
	filter_init(&f);
	while ((key = opt_next(&options_all, argc, argv)) != -1)
		take_option(&j, &s, &f, key);
	if (s.policy == NULL)
		opt_wrong(&options_all, "--policy is needed");
	status = prepare(&j, &s);
	if (status == RC_OK) {
		f.paths = j.paths;
		f.ctx = &j;
		f.begin = begin;
		f.records = records;
		f.finish = finish;
		status = filter_run(
		    &f, argv + opt_index(), (size_t)(argc - opt_index()));
	}
	release(&j);
	return status;
}
