/* The policy file, as a tree of places. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "exits.h"
#include "mem.h"
#include "scrub.h"

enum { HEX_MIN = 16, HEX_MAX = 64 };

static const char *const actions[] = {[KEEP] = "keep",
    [DROP] = "drop",
    [PSEUDONYMISE] = "pseudonymise",
    [TRUNCATE] = "truncate",
    [REFUSE] = "refuse"};
static const char *const cuts[] = {[CUT_NETWORK] = "network",
    [CUT_HOUR] = "hour",
    [CUT_DAY] = "day",
    [CUT_QUERY] = "path"};
static const char *const units[] = {[UNIT_TEXT] = "rfc3339",
    [UNIT_S] = "s",
    [UNIT_MS] = "ms",
    [UNIT_US] = "us"};
static const char *const emails[] = {[EMAIL_KEEP] = "keep",
    [EMAIL_REDACT] = "redact",
    [EMAIL_REFUSE] = "refuse"};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int
word_of(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(text, words[i]) == 0)
			return (int)i;
	return -1;
}

int
policy_unknown(const char *word)
{
	int a = word_of(word, actions, COUNT(actions));

	return a == PSEUDONYMISE || a == TRUNCATE ? -1 : a;
}

/* ---- paths ---- */

/* A name: quoted as a JSON string, or bare up to one of the stops. */
static const char *
name(const char *p, const char *stops, struct buf *out)
{
	size_t n;

	buf_reset(out);
	if (*p == '"') {
		struct json_span s = {p, 0, JSON_STRING, JSON_ESCAPED};
		struct json_error e;

		for (n = 1; p[n] != '\0' && p[n] != '"'; n++)
			if (p[n] == '\\' && p[n + 1] != '\0')
				n++;
		s.len = (uint32_t)n + 1;
		if (p[n] == '\0' || !json_check(p, s.len, false, &e))
			return NULL;
		json_decode_buf(&s, out);
		return p + n + 1;
	}
	n = strcspn(p, stops);
	buf_add(out, p, n);
	return n > 0 ? p + n : NULL;
}

struct want {
	enum step step;
	struct buf name, value;
};

/* One step at p; NULL where it is malformed. */
static const char *
step(const char *p, bool first, struct want *w)
{
	if (*p != '[') {
		w->step = STEP_MEMBER;
		if (!first && *p++ != '.')
			return NULL;
		return name(p, ".[", &w->name);
	}
	if (first)
		return NULL;
	if (p[1] == ']') {
		w->step = STEP_EACH;
		return p + 2;
	}
	w->step = STEP_SELECT;
	p = name(p + 1, "=]", &w->name);
	if (p == NULL || *p != '=')
		return NULL;
	p = name(p + 1, "]", &w->value);
	return p == NULL || *p != ']' ? NULL : p + 1;
}

static bool
same(const char *a, size_t n, const struct buf *b)
{
	return n == b->len && (n == 0 || memcmp(a, b->p, n) == 0);
}

static char *
text_of(const struct buf *b)
{
	return xstrndup(b->len > 0 ? b->p : "", b->len);
}

/* The scanner finds places that only members lead to. */
static int
scanner_path(const struct place *at, const struct place *parent, bool root,
    struct json_paths *paths, const char *text, size_t len)
{
	const char *why;
	char *upto;
	int index;

	if (at->step != STEP_MEMBER || (!root && parent->path < 0))
		return -1;
	upto = xstrndup(text, len);
	index = json_paths_add(paths, upto, &why);
	free(upto);
	return index;
}

/* The child of that step, made at need. */
static struct place *
child_of(struct place *parent, struct want *w, const char *text, size_t len,
    bool root, struct json_paths *paths)
{
	struct buf gap = BUF_INIT(1u << 20);
	struct place *c;

	if (w->step == STEP_EACH)
		buf_reset(&w->name);
	if (w->step != STEP_SELECT)
		buf_reset(&w->value);
	for (size_t i = 0; i < parent->n; i++) {
		c = parent->child[i];
		if (c->step == w->step &&
		    same(c->name, c->name_len, &w->name) &&
		    same(c->value, c->value_len, &w->value))
			return c;
	}
	c = xcalloc(1, sizeof *c);
	c->step = w->step;
	c->name = text_of(&w->name);
	c->name_len = w->name.len;
	c->value = text_of(&w->value);
	c->value_len = w->value.len;
	c->text = xstrndup(text, len);
	c->path = scanner_path(c, parent, root, paths, text, len);
	buf_char(&gap, ',');
	json_write_string(&gap, c->name, c->name_len);
	buf_char(&gap, ':');
	c->gap = text_of(&gap);
	c->gap_len = gap.len;
	buf_release(&gap);
	parent->child =
	    xreallocarray(parent->child, parent->n + 1, sizeof(struct place *));
	parent->child[parent->n++] = c;
	return c;
}

static struct place *
place_of(struct place *root, const char *text, struct json_paths *paths)
{
	struct want w = {STEP_MEMBER, BUF_INIT(1u << 20), BUF_INIT(1u << 20)};
	struct place *at = root;
	const char *p = text;

	do {
		p = step(p, p == text, &w);
		if (p == NULL)
			break;
		at = child_of(
		    at, &w, text, (size_t)(p - text), at == root, paths);
	} while (*p != '\0');
	buf_release(&w.name);
	buf_release(&w.value);
	return p == NULL ? NULL : at;
}

/* ---- rules ---- */

static int
conf_word(const struct conf *c, const struct node *at, const char *member,
    const char *def, const char *const *words, size_t n, bool *bad)
{
	const char *text = conf_str(c, at, member, def, bad);
	int v = text == NULL ? -1 : word_of(text, words, n);
	const struct node *m = node_get(at, member);

	if (v >= 0)
		return v;
	if (!*bad)
		conf_wrong(c, m != NULL ? m : at,
		    m != NULL ? "is not one of the words that stand here"
			      : "\"%s\" is missing",
		    member);
	*bad = true;
	return 0;
}

static void
rule_object(
    const struct conf *c, const struct node *at, struct rule *r, bool *bad)
{
	static const char *const known[] = {
	    "action", "to", "unit", "length", "why", NULL};
	int64_t length;

	conf_only(c, at, known, bad);
	r->action = (enum action)conf_word(
	    c, at, "action", NULL, actions, COUNT(actions), bad);
	if (r->action == TRUNCATE) {
		r->cut = (enum cut)conf_word(
		    c, at, "to", NULL, cuts, COUNT(cuts), bad);
		r->unit = (enum unit)conf_word(
		    c, at, "unit", "rfc3339", units, COUNT(units), bad);
	} else if (node_get(at, "to") != NULL || node_get(at, "unit") != NULL) {
		conf_wrong(c, at, "\"to\" and \"unit\" go with truncate");
		*bad = true;
	}
	length = conf_int(c, at, "length", HEX_MAX, bad);
	if (length < HEX_MIN || length > HEX_MAX || length % 2 != 0) {
		conf_wrong(c, node_get(at, "length"),
		    "is not an even number from %d to %d", HEX_MIN, HEX_MAX);
		*bad = true;
	}
	r->length = (uint32_t)length;
	(void)conf_str(c, at, "why", "", bad);
}

/* "keep", "pseudonymise:32", "truncate:path". */
static bool
rule_text(const char *text, struct rule *r)
{
	size_t n = strcspn(text, ":");
	const char *arg = text[n] == ':' ? text + n + 1 : NULL;
	char *word = xstrndup(text, n);
	int a = word_of(word, actions, COUNT(actions)), cut;

	free(word);
	if (a < 0 || (a == TRUNCATE && arg == NULL))
		return false;
	r->action = (enum action)a;
	if (a == TRUNCATE) {
		cut = word_of(arg, cuts, COUNT(cuts));
		r->cut = (enum cut)cut;
		return cut >= 0;
	}
	if (arg == NULL)
		return true;
	if (a != PSEUDONYMISE || strlen(arg) != 2 ||
	    strspn(arg, "0123456789") != 2)
		return false;
	r->length = (uint32_t)((arg[0] - '0') * 10 + arg[1] - '0');
	return r->length >= HEX_MIN && r->length <= HEX_MAX &&
	       r->length % 2 == 0;
}

static void
rule_of(const struct conf *c, const struct node *at, struct rule *r, bool *bad)
{
	*r = (struct rule){KEEP, CUT_NETWORK, UNIT_TEXT, HEX_MAX};
	if (at->type == JSON_OBJECT) {
		rule_object(c, at, r, bad);
	} else if (at->type != JSON_STRING || !rule_text(at->text, r)) {
		conf_wrong(c, at,
		    "is none of keep, drop, refuse, pseudonymise[:16-64], "
		    "truncate:network|hour|day|path, nor an object");
		*bad = true;
	}
}

static void
rules(struct policy *p, const struct node *map, struct json_paths *paths,
    bool *bad)
{
	for (const struct node *n = map->child; n != NULL; n = n->next) {
		struct place *at = place_of(&p->root, n->key, paths);

		if (at == NULL || strlen(n->key) != n->key_len) {
			conf_wrong(p->conf, n,
			    "the name is not a path such as a.b, "
			    "a[key=b].c or a[].b");
			*bad = true;
			continue;
		}
		if (at->ruled) {
			conf_wrong(
			    p->conf, n, "names the same place as another");
			*bad = true;
		}
		at->ruled = true;
		at->conf = n;
		rule_of(p->conf, n, &at->rule, bad);
		if (at->rule.action == PSEUDONYMISE)
			p->needs_salt = true;
	}
}

/* Hands `unknown` down, finds what is idle, refuses contradictions. */
static void
settle(struct policy *p, struct place *at, enum action unknown, bool *bad)
{
	at->unknown = at->ruled && at->rule.action == KEEP ? KEEP : unknown;
	at->idle = !at->ruled || at->rule.action == KEEP;
	if (at->n > 0 && at->ruled && at->rule.action != KEEP) {
		conf_wrong(p->conf, at->conf,
		    "only a place that is kept can have rules below it");
		*bad = true;
	}
	if (at->n > 0 && at->unknown != KEEP)
		at->idle = false;
	if (at->n > PLACES_MAX) {
		conf_wrong(p->conf, at->child[PLACES_MAX]->conf,
		    "more than %d rules below one place", PLACES_MAX);
		*bad = true;
		return;
	}
	at->order = xcalloc(at->n + 1, sizeof *at->order);
	for (size_t i = 0; i < at->n; i++) {
		struct place *c = at->child[i];

		at->order[i] = (uint16_t)i;
		if ((c->step == STEP_MEMBER) !=
		    (at->child[0]->step == STEP_MEMBER)) {
			conf_wrong(p->conf, c->conf,
			    "'%s' is both an object and an array",
			    at->text != NULL ? at->text : "");
			*bad = true;
		}
		settle(p, c, at->unknown, bad);
		at->idle &= c->idle;
	}
}

int
policy_load(
    const char *file, int unknown, struct json_paths *paths, struct policy *p)
{
	static const char *const known[] = {
	    "version", "unknown", "email", "paths", "raw", NULL};
	const struct node *map;
	const char *word;
	bool bad = false;
	int rc, def;

	*p = (struct policy){.root = {.path = -1}};
	rc = conf_load(file, &p->conf);
	if (rc != RC_OK)
		return rc;
	conf_only(p->conf, p->conf->root, known, &bad);
	word = conf_str(p->conf, p->conf->root, "unknown", "keep", &bad);
	def = word == NULL ? -1 : policy_unknown(word);
	if (def < 0 && !bad) {
		conf_wrong(p->conf, node_get(p->conf->root, "unknown"),
		    "is none of keep, drop, refuse");
		bad = true;
	}
	p->email = (enum email)conf_word(p->conf, p->conf->root, "email",
	    "keep", emails, COUNT(emails), &bad);
	map = conf_map(p->conf, p->conf->root, "paths", &bad);
	if (map == NULL && !bad) {
		conf_wrong(p->conf, p->conf->root, "has no \"paths\"");
		bad = true;
	}
	if (map != NULL)
		rules(p, map, paths, &bad);
	if (!bad)
		settle(p, &p->root, (enum action)(unknown < 0 ? def : unknown),
		    &bad);
	return bad ? RC_CONFIG : RC_OK;
}

static void
release(struct place *at)
{
	for (size_t i = 0; i < at->n; i++) {
		release(at->child[i]);
		free(at->child[i]);
	}
	free(at->child);
	free(at->order);
	free(at->name);
	free(at->value);
	free(at->gap);
	free(at->text);
}

void
policy_release(struct policy *p)
{
	release(&p->root);
	if (p->conf != NULL)
		conf_free(p->conf);
}
