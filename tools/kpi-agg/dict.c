/* Reading and checking the KPI dictionary and the apps. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "diag.h"
#include "dict.h"
#include "exits.h"
#include "mem.h"

struct load {
	struct dict *d;
	const struct conf *c;
	const struct node *source; /* the member of `sources` */
	bool bad;
};

static bool
is_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return n > 0 && n <= 64 && s[n] == '\0';
}

/* ".a.b_c": a path and nothing else. */
static bool
is_plain_path(const char *s)
{
	static const char name[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	if (*s != '.')
		return false;
	while (*s == '.') {
		size_t n = strspn(s + 1, name);

		if (n == 0 || (s[1] >= '0' && s[1] <= '9'))
			return false;
		s += n + 1;
	}
	return *s == '\0';
}

/* Skips `select(.name == "text")`, from its first byte; NULL: it is none. */
static const char *
skip_select(const char *s)
{
	size_t n;

	if (strncmp(s, "select(.", 8) != 0)
		return NULL;
	s += 8;
	n = strcspn(s, " =\"()");
	s += n + strspn(s + n, " ");
	if (n == 0 || strncmp(s, "==", 2) != 0)
		return NULL;
	s += 2 + strspn(s + 2, " ");
	if (*s != '"')
		return NULL;
	s += 1 + strcspn(s + 1, "\"\\");
	return s[0] == '"' && s[1] == ')' ? s + 2 : NULL;
}

/*
 * Nothing but paths, select by a key, | and //. The value of such a one
 * follows from the paths that lead to no other, and from the kind of what
 * stands on the way to them.
 */
static bool
is_simple(const char *s)
{
	bool name = false; /* within a name, or right behind */

	while (*s != '\0') {
		const char *skip = skip_select(s);
		bool letter = (*s >= 'a' && *s <= 'z') ||
			      (*s >= 'A' && *s <= 'Z') || *s == '_' ||
			      (*s >= '0' && *s <= '9');

		if (skip != NULL && !name) {
			s = skip;
			continue;
		}
		if (letter && !name)
			return false;
		if (*s == '[' && (!name || s[1] != ']'))
			return false;
		if (!letter && strchr(".?|/() []", *s) == NULL)
			return false;
		name = letter || *s == '.' || *s == '[' || *s == ']';
		s++;
	}
	return true;
}

/* Does the path lead to another one that is read? */
static bool
is_shell(const struct json_paths *ps, int path)
{
	const char *a = json_paths_text(ps, path), *b;
	size_t n = strlen(a);

	for (int i = 0; i < json_paths_count(ps); i++) {
		b = json_paths_text(ps, i);
		if (strncmp(a, b, n) == 0 && (b[n] == '.' || b[n] == '['))
			return true;
	}
	return false;
}

/* Which paths an expression reads: those it adds to an empty set. */

static void
find_reads(struct dict *d, struct dict_expr *x)
{
	struct json_paths *own = json_paths_new();
	char err[256];
	const char *why;
	struct expr *e = expr_compile(own, x->text, err, sizeof err);

	x->nreads = -1;
	if (e != NULL && expr_native(e) && json_paths_count(own) > 0) {
		x->nreads = json_paths_count(own);
		x->reads = xcalloc((size_t)x->nreads, sizeof *x->reads);
		x->shell = xcalloc((size_t)x->nreads, sizeof *x->shell);
		x->simple = is_simple(x->text);
		for (int i = 0; i < x->nreads; i++) {
			x->reads[i] = json_paths_add(
			    d->paths, json_paths_text(own, i), &why);
			x->shell[i] = is_shell(own, i);
		}
	}
	expr_free(e);
	json_paths_free(own);
}

/* The expression's number, once per text. */
static int
add_expr(struct load *l, const struct node *at, const char *text)
{
	struct dict *d = l->d;
	struct dict_expr *x;
	char err[256];
	const char *why;

	for (int i = 0; i < d->nexpr; i++)
		if (strcmp(d->expr[i].text, text) == 0)
			return i;
	d->expr = xreallocarray(d->expr, (size_t)d->nexpr + 1, sizeof *d->expr);
	x = &d->expr[d->nexpr];
	*x = (struct dict_expr){.text = xstrdup(text), .path = -1};
	x->e = expr_compile(d->paths, text, err, sizeof err);
	d->nexpr++;
	if (x->e == NULL) {
		conf_wrong(l->c, at, "%s", err);
		l->bad = true;
		x->nreads = -1;
		return d->nexpr - 1;
	}
	if (is_plain_path(text))
		x->path = json_paths_add(d->paths, text + 1, &why);
	find_reads(d, x);
	return d->nexpr - 1;
}

static void
wrong(struct load *l, const struct node *at, const char *text)
{
	conf_wrong(l->c, at, "%s", text);
	l->bad = true;
}

/* A member that is an expression; -1 where it is missing. */
static int
expr_member(struct load *l, const struct node *at, const char *name)
{
	const char *text = conf_str(l->c, at, name, NULL, &l->bad);

	return text == NULL ? -1 : add_expr(l, node_get(at, name), text);
}

/* "user" stands for the source's member of that name. */
static const struct node *
key_node(const struct load *l, const struct node *n)
{
	const struct node *s;

	if (n->type != JSON_STRING || !is_name(n->text))
		return n;
	s = node_get(l->source, n->text);
	return s == NULL ? n : s;
}

static int
same_key(const struct dict *d, const struct dict_key *k)
{
	for (int i = 0; i < d->nkey; i++)
		if (d->key[i].n == k->n &&
		    memcmp(d->key[i].expr, k->expr,
			(size_t)k->n * sizeof k->expr[0]) == 0)
			return i;
	return -1;
}

/* A string or an array of them. */
static bool
key_read(struct load *l, const struct node *n, struct dict_key *k)
{
	*k = (struct dict_key){.n = 0};
	n = key_node(l, n);
	if (n->type == JSON_STRING) {
		k->expr[k->n++] = add_expr(l, n, n->text);
		return true;
	}
	if (n->type != JSON_ARRAY || n->count == 0 || n->count > KEY_MAX) {
		wrong(l, n, "must be an expression or an array of up to 8");
		return false;
	}
	for (const struct node *e = n->child; e != NULL; e = e->next) {
		if (e->type != JSON_STRING) {
			wrong(l, e, "must be an expression");
			return false;
		}
		k->expr[k->n++] = add_expr(l, e, e->text);
	}
	return true;
}

static int
key_member(struct load *l, const struct node *at, const char *name)
{
	const struct node *n = node_get(at, name);
	struct dict *d = l->d;
	struct dict_key k;
	int i;

	if (n == NULL || !key_read(l, n, &k))
		return -1;
	i = same_key(d, &k);
	if (i >= 0)
		return i;
	d->key = xreallocarray(d->key, (size_t)d->nkey + 1, sizeof *d->key);
	d->key[d->nkey] = k;
	return d->nkey++;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *
dict_unit(const struct dict_metric *m)
{
	if (m->unit_text != NULL)
		return m->unit_text;
	switch (m->agg) {
	case AGG_COUNT:
	case AGG_DISTINCT:
	case AGG_APPROX:
		return "count";
	case AGG_RATIO:
	case AGG_FUNNEL:
		return "ratio";
	default:
		return "";
	}
}

bool
names_have(const struct dict_names *s, const char *p, size_t n)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strncmp(s->v[mid], p, n);

		if (c == 0 && s->v[mid][n] == '\0')
			return memchr(p, '\0', n) == NULL;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

/* A string or an array of strings. */
static struct dict_names
names_read(
    const struct conf *c, const struct node *at, const char *name, bool *bad)
{
	const struct node *n = node_get(at, name), *e;
	struct dict_names s = {NULL, 0, n != NULL};

	if (n == NULL)
		return s;
	if (n->type != JSON_STRING && n->type != JSON_ARRAY) {
		conf_wrong(c, n, "must be a string or an array of strings");
		*bad = true;
		return s;
	}
	s.v = xcalloc(n->type == JSON_STRING ? 1 : n->count + 1, sizeof *s.v);
	if (n->type == JSON_STRING) {
		s.v[s.n++] = n->text;
		return s;
	}
	for (e = n->child; e != NULL; e = e->next) {
		if (e->type != JSON_STRING) {
			conf_wrong(c, e, "must be a string");
			*bad = true;
			continue;
		}
		s.v[s.n++] = e->text;
	}
	qsort(s.v, s.n, sizeof *s.v, by_text);
	return s;
}

/* --- the source --- */

static void
read_segments(struct load *l)
{
	static const char *const members[] = {"value", "default", NULL};
	const struct node *map = conf_map(l->c, l->source, "segments", &l->bad);
	struct dict *d = l->d;

	for (const struct node *n = map == NULL ? NULL : map->child; n != NULL;
	     n = n->next) {
		struct dict_segment *s = &d->segment[d->nsegment];
		const struct node *v = node_get(n, "value");

		if (d->nsegment == SEG_MAX) {
			wrong(l, n, "more than 8 segments");
			return;
		}
		if (!is_name(n->key) || strcmp(n->key, "currency") == 0) {
			wrong(l, n,
			    "a segment is named in a-z, 0-9 and _, and "
			    "not \"currency\"");
			continue;
		}
		if (n->type != JSON_OBJECT || v == NULL) {
			wrong(l, n, "must be an object with \"value\"");
			continue;
		}
		conf_only(l->c, n, members, &l->bad);
		s->name = n->key;
		s->fallback =
		    conf_str(l->c, n, "default", "(not set)", &l->bad);
		if (key_read(l, v, &s->value))
			d->nsegment++;
	}
}

static void
read_time_unit(struct load *l)
{
	static const char *const words[] = {"us", "ms", "s", "rfc3339"};
	const char *w = conf_str(l->c, l->source, "time_unit", "us", &l->bad);

	for (unsigned i = 0; i < 4; i++)
		if (strcmp(w, words[i]) == 0) {
			l->d->time_unit = (enum time_unit)i;
			return;
		}
	wrong(l, node_get(l->source, "time_unit"),
	    "must be us, ms, s or rfc3339");
}

/* An expression, or several of which the first that is not empty counts. */
static void
read_app_id(struct load *l)
{
	const struct node *n = node_get(l->source, "app_id");
	struct dict *d = l->d;
	struct dict_key k;

	d->app = -1;
	if (n == NULL || !key_read(l, n, &k))
		return;
	d->app = k.expr[0];
	for (int i = 1; i < k.n; i++)
		d->app_else[d->napp_else++] = k.expr[i];
}

static int
by_from(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool
is_platform(const char *s)
{
	return is_name(s) && strcmp(s, "all") != 0;
}

/* {"macos": ["F1", ...]}: texts by what they become. */
static void
read_map(struct load *l, const struct node *at, struct dict_map *m)
{
	const struct node *map = conf_map(l->c, at, "map", &l->bad);

	for (const struct node *n = map == NULL ? NULL : map->child; n != NULL;
	     n = n->next) {
		struct dict_names from = names_read(l->c, map, n->key, &l->bad);

		if (!is_platform(n->key))
			wrong(l, n,
			    "a platform is named in a-z, 0-9 and _, "
			    "and not \"all\"");
		m->v = xreallocarray(m->v, m->n + from.n, sizeof *m->v);
		for (size_t i = 0; i < from.n; i++, m->n++) {
			m->v[m->n].from = from.v[i];
			m->v[m->n].to = n->key;
		}
		free(from.v);
	}
	if (m->n > 1)
		qsort(m->v, m->n, sizeof *m->v, by_from);
	for (size_t i = 1; i < m->n; i++)
		if (strcmp(m->v[i - 1].from, m->v[i].from) == 0) {
			conf_wrong(
			    l->c, map, "\"%s\" is there twice", m->v[i].from);
			l->bad = true;
		}
}

const char *
map_text(const struct dict_map *m, const char *p)
{
	size_t low = 0, high = m->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int c = strcmp(m->v[mid].from, p);

		if (c == 0)
			return m->v[mid].to;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return m->fallback == NULL ? p : m->fallback;
}

/* An expression, "all", or an object with a map. */
static void
read_platform(struct load *l)
{
	static const char *const members[] = {"value", "map", "default", NULL};
	const struct node *n = node_get(l->source, "platform");
	struct dict *d = l->d;

	d->platform = -1;
	if (n == NULL || n->type != JSON_OBJECT) {
		d->no_platform = n != NULL && n->type == JSON_STRING &&
				 strcmp(n->text, "all") == 0;
		if (!d->no_platform)
			d->platform = expr_member(l, l->source, "platform");
		return;
	}
	conf_only(l->c, n, members, &l->bad);
	d->platform = expr_member(l, n, "value");
	if (d->platform < 0)
		wrong(l, n, "needs \"value\"");
	read_map(l, n, &d->platform_map);
	d->platform_map.fallback = conf_str(l->c, n, "default", NULL, &l->bad);
	if (d->platform_map.fallback != NULL &&
	    !is_platform(d->platform_map.fallback))
		wrong(l, node_get(n, "default"),
		    "a platform is named in a-z, 0-9 and _, and not \"all\"");
}

static void
read_source(struct load *l)
{
	static const char *const members[] = {"date", "app_id", "stream",
	    "platform", "event", "time", "time_unit", "user", "session",
	    "exclude", "events", "segments", "description", NULL};
	const struct node *at = l->source;
	struct dict *d = l->d;

	conf_only(l->c, at, members, &l->bad);
	d->date = expr_member(l, at, "date");
	read_app_id(l);
	d->stream = expr_member(l, at, "stream");
	read_platform(l);
	d->event = expr_member(l, at, "event");
	d->exclude = expr_member(l, at, "exclude");
	if (d->date < 0)
		wrong(l, at, "needs \"date\"");
	read_time_unit(l);
	d->known = names_read(l->c, at, "events", &l->bad);
	if (d->known.given && d->event < 0)
		wrong(l, at, "\"events\" needs \"event\"");
	read_segments(l);
}

/* --- metrics --- */

static const struct {
	const char *word;
	enum agg_kind agg;
} agg_words[] = {
    {"count", AGG_COUNT},
    {"sum", AGG_SUM},
    {"min", AGG_MIN},
    {"max", AGG_MAX},
    {"avg", AGG_AVG},
    {"distinct", AGG_DISTINCT},
    {"distinct~", AGG_APPROX},
    {"ratio", AGG_RATIO},
    {"funnel", AGG_FUNNEL},
    {"one", AGG_ONE},
};

static void
read_agg(struct load *l, const struct node *at, struct dict_metric *m)
{
	const char *w = conf_str(l->c, at, "agg", "", &l->bad);

	for (size_t i = 0; i < sizeof agg_words / sizeof agg_words[0]; i++)
		if (strcmp(w, agg_words[i].word) == 0) {
			m->agg = agg_words[i].agg;
			return;
		}
	wrong(l, node_get(at, "agg") == NULL ? at : node_get(at, "agg"),
	    "\"agg\" must be count, sum, min, max, avg, one, distinct, "
	    "distinct~, ratio or funnel");
}

static bool
is_additive_agg(enum agg_kind agg)
{
	return agg == AGG_COUNT || agg == AGG_SUM;
}

/* May the owner say that it adds up over that dimension? */
static bool
may_claim(enum agg_kind agg)
{
	return is_additive_agg(agg) || agg == AGG_DISTINCT || agg == AGG_APPROX;
}

static bool
known_dimension(const struct load *l, const char *name)
{
	for (int i = 0; i < l->d->nsegment; i++)
		if (strcmp(l->d->segment[i].name, name) == 0)
			return true;
	return strcmp(name, "date") == 0 || strcmp(name, "app_id") == 0 ||
	       strcmp(name, "platform") == 0;
}

/* Does the metric add up over the dimension, by its kind or its owner? */
static bool
adds_up(const struct dict_metric *m, const char *dimension)
{
	const struct node *a = node_get(m->node, "additive");

	if (a == NULL)
		return is_additive_agg(m->agg);
	if (a->type == JSON_OBJECT)
		a = node_get(a, dimension);
	return a != NULL && a->type == JSON_TRUE;
}

static void
check_additive(struct load *l, const struct dict_metric *m)
{
	const struct node *a = node_get(m->node, "additive"), *n;

	if (a == NULL || a->type == JSON_FALSE)
		return;
	if (a->type == JSON_TRUE) {
		if (!is_additive_agg(m->agg))
			wrong(l, a,
			    "this kind of metric does not add up: false, or "
			    "for distinct an object by dimension");
		return;
	}
	if (a->type != JSON_OBJECT) {
		wrong(l, a, "must be true, false or an object by dimension");
		return;
	}
	for (n = a->child; n != NULL; n = n->next) {
		if (!known_dimension(l, n->key))
			wrong(l, n, "no such dimension or segment");
		else if (n->type != JSON_TRUE && n->type != JSON_FALSE)
			wrong(l, n, "must be true or false");
		else if (n->type == JSON_TRUE && !may_claim(m->agg))
			wrong(l, n, "this kind of metric does not add up");
	}
}

/* "rollup": {"platform": "sum"} instead of counting anew. */
static void
check_rollup(struct load *l, struct dict_metric *m)
{
	const struct node *r = conf_map(l->c, m->node, "rollup", &l->bad), *n;

	for (n = r == NULL ? NULL : r->child; n != NULL; n = n->next) {
		bool sum =
		    n->type == JSON_STRING && strcmp(n->text, "sum") == 0;

		if (!known_dimension(l, n->key)) {
			wrong(l, n, "no such dimension or segment");
		} else if (!sum && (n->type != JSON_STRING ||
				       strcmp(n->text, "compute") != 0)) {
			wrong(l, n, "must be \"compute\" or \"sum\"");
		} else if (sum && !adds_up(m, n->key)) {
			conf_wrong(l->c, n,
			    "%s is not additive over %s and cannot be summed",
			    m->name, n->key);
			l->bad = true;
		} else if (sum && strcmp(n->key, "platform") == 0) {
			/* of counts and sums it is the same as anew */
			m->sum_all = m->agg == AGG_DISTINCT;
		}
	}
}

static void
read_metric_segments(struct load *l, struct dict_metric *m)
{
	const struct node *list = conf_list(l->c, m->node, "segments", &l->bad);
	struct dict *d = l->d;

	for (const struct node *n = list == NULL ? NULL : list->child;
	     n != NULL; n = n->next) {
		int s = 0;

		while (s < d->nsegment &&
		       (n->type != JSON_STRING ||
			   strcmp(n->text, d->segment[s].name) != 0))
			s++;
		if (s == d->nsegment)
			wrong(l, n, "no such segment in this source");
		else if (m->nsegments == SEG_MAX)
			wrong(l, n, "more than 8 segments");
		else
			m->segment[m->nsegments++] = s;
	}
	if (m->agg == AGG_FUNNEL && m->nsegments > 0)
		wrong(l, list, "a funnel has no segments but its steps");
	if (!m->total && m->nsegments == 0)
		wrong(l, m->node, "without a total it needs segments");
}

static bool
has_value(enum agg_kind agg)
{
	return agg == AGG_SUM || agg == AGG_MIN || agg == AGG_MAX ||
	       agg == AGG_AVG || agg == AGG_ONE;
}

/* A literal such as count or EUR, or an expression that gives it. */
static void
read_unit(struct load *l, struct dict_metric *m)
{
	const char *u = conf_str(l->c, m->node, "unit", NULL, &l->bad);

	if (u == NULL)
		return;
	if (u[0] != '.' && u[0] != '(') {
		m->unit_text = u;
		return;
	}
	if (!has_value(m->agg)) {
		wrong(l, node_get(m->node, "unit"),
		    "only sum, min, max, avg and one take their unit from the "
		    "record");
		return;
	}
	m->unit = add_expr(l, node_get(m->node, "unit"), u);
}

static void
read_steps(struct load *l, struct dict_metric *m)
{
	static const char *const members[] = {"name", "event", "where", NULL};
	const struct node *list = conf_list(l->c, m->node, "steps", &l->bad);

	if (list == NULL || list->count < 2 || list->count > STEP_MAX) {
		wrong(l, list == NULL ? m->node : list,
		    "a funnel needs 2 to 16 steps");
		return;
	}
	for (const struct node *n = list->child; n != NULL; n = n->next) {
		struct dict_step *s = &m->step[m->nsteps++];

		if (n->type != JSON_OBJECT) {
			wrong(l, n, "must be an object");
			continue;
		}
		conf_only(l->c, n, members, &l->bad);
		s->name = conf_str(l->c, n, "name", "", &l->bad);
		if (!is_name(s->name))
			wrong(l, n, "needs a name of a-z, 0-9 and _");
		s->event = names_read(l->c, n, "event", &l->bad);
		s->where = expr_member(l, n, "where");
		if (!s->event.given && s->where < 0)
			wrong(l, n, "needs \"event\" or \"where\"");
	}
	m->window_us = conf_int(l->c, m->node, "window_s", 86400, &l->bad);
	if (m->window_us < 1 || m->window_us > 366 * 86400)
		wrong(l, node_get(m->node, "window_s"),
		    "must be 1 to 31622400 seconds");
	m->window_us *= 1000000;
	if (node_get(l->source, "time") == NULL)
		wrong(l, m->node, "a funnel needs \"time\" in the source");
}

static int
other_metric(struct load *l, const struct dict_metric *m, const char *member)
{
	const char *name = conf_str(l->c, m->node, member, NULL, &l->bad);
	struct dict *d = l->d;

	if (name == NULL) {
		wrong(l, m->node, "a ratio needs \"num\" and \"den\"");
		return -1;
	}
	for (int i = 0; i < d->nmetric; i++) {
		enum agg_kind a = d->metric[i].agg;

		if (strcmp(d->metric[i].name, name) != 0)
			continue;
		if (a == AGG_RATIO || a == AGG_FUNNEL || a == AGG_AVG ||
		    a == AGG_ONE)
			break;
		return i;
	}
	wrong(l, node_get(m->node, member),
	    "no such metric of this source that is no ratio, avg, one or "
	    "funnel");
	return -1;
}

static bool
has_segment(const struct dict_metric *m, int segment)
{
	for (int i = 0; i < m->nsegments; i++)
		if (m->segment[i] == segment)
			return true;
	return false;
}

static bool
same_names(const struct dict_names *a, const struct dict_names *b)
{
	if (a->given != b->given || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

bool
metric_of_feed(
    const struct dict *d, const struct dict_metric *m, const char *feed)
{
	if (m->agg == AGG_RATIO) /* den is of the same feeds */
		return m->num >= 0 &&
		       metric_of_feed(d, &d->metric[m->num], feed);
	for (size_t i = 0; i < m->feeds.n; i++)
		if (fnmatch(m->feeds.v[i], feed, FNM_NOESCAPE) == 0)
			return true;
	return !m->feeds.given;
}

/* Its parts must be there for each of its rows. */
static void
resolve_ratio(struct load *l, struct dict_metric *m)
{
	struct dict_metric *num, *den;

	m->num = other_metric(l, m, "num");
	m->den = other_metric(l, m, "den");
	if (m->num < 0 || m->den < 0)
		return;
	num = &l->d->metric[m->num];
	den = &l->d->metric[m->den];
	for (int i = 0; i < m->nsegments; i++)
		if (!has_segment(num, m->segment[i]) ||
		    !has_segment(den, m->segment[i]))
			wrong(l, node_get(m->node, "segments"),
			    "num and den must have the segment too");
	if (!same_names(&num->feeds, &den->feeds))
		wrong(l, m->node, "num and den must be of the same feeds");
	if (m->total && (!num->total || !den->total))
		wrong(l, m->node, "num and den must have a total too");
	if (den->unit >= 0 && den->unit != num->unit)
		wrong(l, m->node,
		    "money is divided by counts or by money of "
		    "the same unit expression");
	else if (num->unit >= 0 && den->unit < 0)
		den->split = num->unit;
	if (den->split >= 0 && den->split != num->unit && num->unit >= 0)
		wrong(l, m->node, "den is split by another unit already");
}

static void
check_shape(struct load *l, const struct dict_metric *m)
{
	bool keyed = m->agg == AGG_DISTINCT || m->agg == AGG_APPROX ||
		     m->agg == AGG_FUNNEL;
	bool valued = has_value(m->agg);

	if (keyed && m->key < 0)
		wrong(l, m->node, "needs \"key\"");
	if (valued && m->value < 0)
		wrong(l, m->node, "needs \"value\"");
	if (!keyed && m->key >= 0)
		wrong(l, node_get(m->node, "key"),
		    "only for distinct and funnel");
	if (!valued && m->value >= 0)
		wrong(l, node_get(m->node, "value"),
		    "only for sum, min, max, avg and one");
	if (m->times >= 0 && m->value < 0)
		wrong(l, node_get(m->node, "times"), "needs \"value\"");
	if (m->unlisted && (m->event.given || !l->d->known.given))
		wrong(l, node_get(m->node, "unlisted"),
		    "needs \"events\" in the source, and no \"event\" here");
	if (m->feeds.given && m->agg == AGG_RATIO)
		wrong(l, node_get(m->node, "feeds"),
		    "a ratio is of the feeds of its num and den");
	if (m->feeds.given && m->feeds.n == 0)
		wrong(l, node_get(m->node, "feeds"), "names no feed");
	if (m->once >= 0 && m->agg != AGG_SUM)
		wrong(l, node_get(m->node, "once"), "only for sum");
	if (m->event.given && l->d->event < 0)
		wrong(l, node_get(m->node, "event"),
		    "the source has no \"event\"");
}

/* Which of the factors count without their sign. */
static void
read_abs(struct load *l, struct dict_metric *m)
{
	const struct node *list = conf_list(l->c, m->node, "abs", &l->bad);

	for (const struct node *n = list == NULL ? NULL : list->child;
	     n != NULL; n = n->next) {
		bool text = n->type == JSON_STRING;

		if (text && strcmp(n->text, "value") == 0 && m->value >= 0)
			m->abs_value = true;
		else if (text && strcmp(n->text, "times") == 0 && m->times >= 0)
			m->abs_times = true;
		else
			wrong(l, n,
			    "must be \"value\" or \"times\", which must be "
			    "there");
	}
}

static void
read_metric(struct load *l, const struct node *n, struct dict_metric *m)
{
	static const char *const members[] = {"name", "source", "agg", "event",
	    "where", "value", "key", "once", "missing", "unit", "additive",
	    "rollup", "segments", "total", "num", "den", "places", "steps",
	    "window_s", "owner", "description", "feeds", "times", "abs",
	    "unlisted", NULL};
	static const char *const taken[] = {"date", "app_id", "platform",
	    "source_system", "metric", "segment", "value", "num", "den", "unit",
	    "kpi_version", "run_id", "quality"};

	*m = (struct dict_metric){.node = n, .split = -1, .num = -1, .den = -1};
	conf_only(l->c, n, members, &l->bad);
	m->name = conf_str(l->c, n, "name", "", &l->bad);
	if (!is_name(m->name))
		wrong(l, n, "needs a name of a-z, 0-9 and _");
	for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++)
		if (strcmp(m->name, taken[i]) == 0)
			wrong(l, node_get(n, "name"), "is a column's name");
	read_agg(l, n, m);
	m->event = names_read(l->c, n, "event", &l->bad);
	m->missing = names_read(l->c, n, "missing", &l->bad);
	m->where = expr_member(l, n, "where");
	m->value = expr_member(l, n, "value");
	m->times = expr_member(l, n, "times");
	read_abs(l, m);
	m->feeds = names_read(l->c, n, "feeds", &l->bad);
	m->unlisted = conf_bool(l->c, n, "unlisted", false, &l->bad);
	m->key = key_member(l, n, "key");
	m->once = key_member(l, n, "once");
	m->unit = -1;
	m->total = conf_bool(l->c, n, "total", true, &l->bad);
	m->places = (int)conf_int(l->c, n, "places", 6, &l->bad);
	if (m->places < 0 || m->places > 12)
		wrong(l, node_get(n, "places"), "must be 0 to 12");
	read_unit(l, m);
	read_metric_segments(l, m);
	if (m->agg == AGG_FUNNEL)
		read_steps(l, m);
	check_shape(l, m);
	check_additive(l, m);
	check_rollup(l, m);
	conf_str(l->c, n, "owner", "", &l->bad);
	conf_str(l->c, n, "description", "", &l->bad);
}

/* Is a metric of that name there already, for this source? */
static bool
name_taken(const struct dict *d, const char *name)
{
	for (int i = 0; i < d->nmetric; i++)
		if (strcmp(d->metric[i].name, name) == 0)
			return true;
	return false;
}

static void
read_metrics(struct load *l)
{
	const struct node *list =
	    conf_list(l->c, l->c->root, "metrics", &l->bad);
	struct dict *d = l->d;

	if (list == NULL || list->count == 0) {
		wrong(l, l->c->root, "needs \"metrics\"");
		return;
	}
	d->metric = xcalloc(list->count, sizeof *d->metric);
	for (const struct node *n = list->child; n != NULL; n = n->next) {
		const char *s;

		if (n->type != JSON_OBJECT) {
			wrong(l, n, "must be an object");
			continue;
		}
		s = conf_str(l->c, n, "source", NULL, &l->bad);
		if (s == NULL) {
			wrong(l, n, "needs \"source\"");
			continue;
		}
		if (node_get(node_get(l->c->root, "sources"), s) == NULL)
			wrong(l, node_get(n, "source"), "no such source");
		if (strcmp(s, d->source) != 0)
			continue;
		read_metric(l, n, &d->metric[d->nmetric]);
		if (name_taken(d, d->metric[d->nmetric].name))
			wrong(l, n, "a metric of this name is there already");
		d->nmetric++;
	}
	for (int i = 0; i < d->nmetric; i++)
		if (d->metric[i].agg == AGG_RATIO)
			resolve_ratio(l, &d->metric[i]);
}

static void
read_dimensions(struct load *l)
{
	static const char *const names[] = {"date", "app_id", "platform"};
	const struct node *list =
	    conf_list(l->c, l->c->root, "dimensions", &l->bad);
	const struct node *all = conf_list(l->c, l->c->root, "all", &l->bad);
	const struct node *n = list == NULL ? NULL : list->child;

	for (unsigned i = 0; list != NULL && i < 3; i++) {
		if (n == NULL || n->type != JSON_STRING ||
		    strcmp(n->text, names[i]) != 0) {
			wrong(l, list,
			    "must be [\"date\", \"app_id\", \"platform\"]; "
			    "other dimensions are segments");
			return;
		}
		n = n->next;
	}
	if (n != NULL)
		wrong(l, n, "other dimensions are segments");
	l->d->all = all == NULL;
	for (n = all == NULL ? NULL : all->child; n != NULL; n = n->next) {
		if (n->type == JSON_STRING && strcmp(n->text, "platform") == 0)
			l->d->all = true;
		else
			wrong(l, n, "only \"platform\" has a row over all");
	}
}

static int
read_dict(struct load *l)
{
	static const char *const members[] = {"version", "dimensions", "all",
	    "sources", "metrics", "description", NULL};
	const struct node *sources;
	struct dict *d = l->d;

	conf_only(l->c, l->c->root, members, &l->bad);
	d->version = conf_str(l->c, l->c->root, "version", "", &l->bad);
	if (d->version[0] == '\0')
		wrong(l, l->c->root, "needs \"version\", a text");
	sources = conf_map(l->c, l->c->root, "sources", &l->bad);
	l->source = sources == NULL ? NULL : node_get(sources, d->source);
	if (l->source == NULL || l->source->type != JSON_OBJECT) {
		conf_wrong(l->c, sources == NULL ? l->c->root : sources,
		    "has no source \"%s\"", d->source);
		return RC_CONFIG;
	}
	read_source(l);
	read_dimensions(l);
	read_metrics(l);
	d->time = -1;
	for (int i = 0; i < d->nmetric; i++)
		if (d->metric[i].agg == AGG_FUNNEL || d->metric[i].once >= 0)
			d->time = expr_member(l, l->source, "time");
	if (!l->bad && d->nmetric == 0)
		wrong(l, l->c->root, "no metric is of this source");
	return l->bad ? RC_CONFIG : RC_OK;
}

int
dict_load(const char *file, const char *source, struct dict **out)
{
	struct dict *d = xcalloc(1, sizeof *d);
	struct load l = {.d = d};
	int rc = conf_load(file, &d->conf);

	d->source = source;
	d->paths = json_paths_new();
	if (rc == RC_OK) {
		l.c = d->conf;
		rc = read_dict(&l);
	}
	if (rc != RC_OK) {
		dict_free(d);
		return rc;
	}
	*out = d;
	return RC_OK;
}

void
dict_free(struct dict *d)
{
	if (d == NULL)
		return;
	for (int i = 0; i < d->nexpr; i++) {
		free(d->expr[i].text);
		free(d->expr[i].reads);
		free(d->expr[i].shell);
		expr_free(d->expr[i].e);
	}
	for (int i = 0; i < d->nmetric; i++) {
		free(d->metric[i].event.v);
		free(d->metric[i].missing.v);
		free(d->metric[i].feeds.v);
		for (int s = 0; s < d->metric[i].nsteps; s++)
			free(d->metric[i].step[s].event.v);
	}
	free(d->known.v);
	free(d->platform_map.v);
	free(d->expr);
	free(d->key);
	free(d->metric);
	json_paths_free(d->paths);
	conf_free(d->conf);
	free(d);
}

/* --- apps --- */

/* Adds what another member names; sorted again. */
static void
names_join(struct dict_names *s, struct dict_names *more)
{
	if (more->n > 0) {
		s->v = xreallocarray(s->v, s->n + more->n, sizeof *s->v);
		memcpy(&s->v[s->n], more->v, more->n * sizeof *s->v);
		s->n += more->n;
		qsort(s->v, s->n, sizeof *s->v, by_text);
	}
	s->given = s->given || more->given;
	free(more->v);
}

static void
join_member(const struct conf *c, const struct node *at, const char *name,
    struct dict_names *to, bool *bad)
{
	struct dict_names more = names_read(c, at, name, bad);

	names_join(to, &more);
}

static void
check_zone(const struct conf *c, const struct node *at, bool *bad)
{
	const char *name = conf_str(c, at, "zone", NULL, bad);
	struct zone *z = name == NULL ? NULL : zone_open(name);

	if (name != NULL && z == NULL) {
		conf_wrong(c, node_get(at, "zone"), "no such time zone");
		*bad = true;
	}
	if (z != NULL)
		zone_close(z);
}

static void
check_days(const struct conf *c, const struct node *at, const char *name,
    int64_t least, bool *bad)
{
	int64_t n = conf_int(c, at, name, least, bad);

	if (n < least || n > 400) {
		conf_wrong(c, node_get(at, name), "must be %d to 400 days",
		    (int)least);
		*bad = true;
	}
}

/* One feed of an ad account. */
static void
check_account(const struct conf *c, const struct node *n, bool *bad)
{
	static const char *const members[] = {
	    "account", "level", "breakdowns", "zone", "currency", NULL};
	static const char *const levels[] = {
	    "account", "campaign", "adset", "ad"};
	const char *id, *level;
	bool known = false;

	if (n->type != JSON_OBJECT) {
		conf_wrong(c, n, "must be an object");
		*bad = true;
		return;
	}
	conf_only(c, n, members, bad);
	id = conf_str(c, n, "account", "", bad);
	if (id[0] == '\0' || id[strspn(id, "0123456789")] != '\0') {
		conf_wrong(c, n, "needs \"account\", the digits of its id");
		*bad = true;
	}
	level = conf_str(c, n, "level", "campaign", bad);
	for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
		known = known || strcmp(level, levels[i]) == 0;
	if (!known) {
		conf_wrong(c, node_get(n, "level"),
		    "must be account, campaign, adset or ad");
		*bad = true;
	}
	free(names_read(c, n, "breakdowns", bad).v);
	check_zone(c, n, bad);
	conf_str(c, n, "currency", NULL, bad);
}

/* Ad accounts are feeds act_ID. An app has one: the rows of two would have
 * the same keys. */
static void
read_accounts(
    struct apps *a, const struct node *at, struct dict_names *feeds, bool *bad)
{
	const struct conf *c = a->conf;
	const struct node *list = conf_list(c, at, "accounts", bad);
	const char *one = NULL;

	for (const struct node *n = list == NULL ? NULL : list->child;
	     n != NULL; n = n->next) {
		bool was = *bad;
		const char *id;

		*bad = false;
		check_account(c, n, bad);
		if (*bad)
			continue;
		*bad = was;
		id = conf_str(c, n, "account", "", bad);
		if (one == NULL) {
			struct dict_names more = {NULL, 1, true};

			a->made = xreallocarray(
			    a->made, a->nmade + 1, sizeof *a->made);
			a->made[a->nmade] = xasprintf("act_%s", id);
			more.v = xcalloc(1, sizeof *more.v);
			more.v[0] = a->made[a->nmade++];
			names_join(feeds, &more);
			one = id;
		} else if (strcmp(one, id) != 0) {
			conf_wrong(c, n, "an app has one ad account");
			*bad = true;
		}
	}
}

/* What a source's entry may have, besides what each may. */
static const struct {
	const char *source, *const *members;
} account_members[] = {
    {"ga4", (const char *const[]){"feeds", "streams", "ids", "platforms",
		"zone", "window", "lag", "project", "dataset", NULL}},
    {"meta", (const char *const[]){"accounts", "campaigns", "zone", "window",
		 "lag", NULL}},
    {"asc", (const char *const[]){"vendor", "reports", "skus", "apple_ids",
		"platforms", "zone", "window", "lag", NULL}},
    {NULL, (const char *const[]){"feeds", "streams", "ids", "platforms", "zone",
	       "window", "lag", NULL}},
};

static void
read_platforms(
    const struct conf *c, const struct node *at, struct app_conf *a, bool *bad)
{
	const struct node *list = conf_list(c, at, "platforms", bad);

	if (list == NULL)
		return;
	a->platform = xcalloc(list->count + 1, sizeof *a->platform);
	for (const struct node *n = list->child; n != NULL; n = n->next) {
		if (n->type != JSON_STRING || !is_name(n->text) ||
		    strcmp(n->text, "all") == 0) {
			conf_wrong(c, n,
			    "must be a name of a-z, 0-9 and _, "
			    "not \"all\"");
			*bad = true;
			continue;
		}
		a->platform[a->nplatform++] = n->text;
	}
}

/* The members of one app that this source asks for. */
static void
read_account(struct apps *apps, const struct node *at, const char *source,
    struct app_conf *a, bool *bad)
{
	const struct conf *c = apps->conf;
	size_t i = 0;

	while (account_members[i].source != NULL &&
	       strcmp(account_members[i].source, source) != 0)
		i++;
	conf_only(c, at, account_members[i].members, bad);
	a->feeds = names_read(c, at, "feeds", bad);
	join_member(c, at, "vendor", &a->feeds, bad);
	read_accounts(apps, at, &a->feeds, bad);
	a->streams = names_read(c, at, "streams", bad);
	join_member(c, at, "campaigns", &a->streams, bad);
	a->ids = names_read(c, at, "ids", bad);
	join_member(c, at, "skus", &a->ids, bad);
	join_member(c, at, "apple_ids", &a->ids, bad);
	free(names_read(c, at, "reports", bad).v);
	conf_str(c, at, "project", NULL, bad);
	conf_str(c, at, "dataset", NULL, bad);
	check_zone(c, at, bad);
	check_days(c, at, "window", 1, bad);
	check_days(c, at, "lag", 0, bad);
	read_platforms(c, at, a, bad);
}

static void
read_app(struct apps *apps, const struct node *n, const char *source,
    struct app_conf *a, bool *bad)
{
	static const char *const members[] = {"app_id", "name", "zone",
	    "currency", "critical", "sources", "owner", "description", NULL};
	const struct conf *c = apps->conf;
	const struct node *sources, *at;

	conf_only(c, n, members, bad);
	a->id = conf_str(c, n, "app_id", "", bad);
	a->currency = conf_str(c, n, "currency", NULL, bad);
	check_zone(c, n, bad);
	if (a->id[0] == '\0') {
		conf_wrong(c, n, "needs \"app_id\"");
		*bad = true;
	}
	conf_str(c, n, "name", "", bad);
	conf_list(c, n, "critical", bad);
	sources = conf_map(c, n, "sources", bad);
	at = sources == NULL ? NULL : node_get(sources, source);
	if (at != NULL && at->type == JSON_OBJECT)
		read_account(apps, at, source, a, bad);
}

/* An id, a stream or a feed without ids and streams is of one app only. */
static void
check_owner(const struct apps *a, size_t i, bool *bad)
{
	const struct app_conf *x = &a->app[i];

	for (size_t j = 0; j < i; j++) {
		const struct app_conf *y = &a->app[j];

		if (strcmp(x->id, y->id) == 0) {
			conf_wrong(a->conf, a->conf->root,
			    "app_id \"%s\" is there twice", x->id);
			*bad = true;
		}
		for (size_t k = 0; k < x->ids.n; k++)
			if (names_have(
				&y->ids, x->ids.v[k], strlen(x->ids.v[k]))) {
				conf_wrong(a->conf, a->conf->root,
				    "id \"%s\" is of two apps", x->ids.v[k]);
				*bad = true;
			}
		for (size_t k = 0; k < x->streams.n; k++)
			if (names_have(&y->streams, x->streams.v[k],
				strlen(x->streams.v[k]))) {
				conf_wrong(a->conf, a->conf->root,
				    "stream \"%s\" is of two apps",
				    x->streams.v[k]);
				*bad = true;
			}
	}
}

int
apps_load(const char *file, const char *source, struct apps **out)
{
	static const char *const members[] = {
	    "version", "apps", "description", NULL};
	struct apps *a = xcalloc(1, sizeof *a);
	const struct node *list;
	bool bad = false;
	int rc = conf_load(file, &a->conf);

	if (rc != RC_OK) {
		free(a);
		return rc;
	}
	conf_only(a->conf, a->conf->root, members, &bad);
	list = conf_list(a->conf, a->conf->root, "apps", &bad);
	a->app = xcalloc(list == NULL ? 1 : list->count + 1, sizeof *a->app);
	for (const struct node *n = list == NULL ? NULL : list->child;
	     n != NULL; n = n->next) {
		if (n->type != JSON_OBJECT) {
			conf_wrong(a->conf, n, "must be an object");
			bad = true;
			continue;
		}
		read_app(a, n, source, &a->app[a->n], &bad);
		check_owner(a, a->n++, &bad);
	}
	if (bad) {
		apps_free(a);
		return RC_CONFIG;
	}
	*out = a;
	return RC_OK;
}

void
apps_free(struct apps *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->n; i++) {
		free(a->app[i].feeds.v);
		free(a->app[i].streams.v);
		free(a->app[i].ids.v);
		free(a->app[i].platform);
	}
	for (size_t i = 0; i < a->nmade; i++)
		free(a->made[i]);
	free(a->made);
	free(a->app);
	conf_free(a->conf);
	free(a);
}

/*
 * Is the feed one of the app's? An account's name stands for all of its
 * feeds: "act_1001" for "act_1001.campaign".
 */
bool
app_has_feed(const struct app_conf *x, const char *feed)
{
	return names_have(&x->feeds, feed, strlen(feed)) ||
	       names_have(&x->feeds, feed, strcspn(feed, "."));
}

/* The only app of the feed; of several none can be told. */
static const struct app_conf *
by_feed(const struct apps *a, const char *feed)
{
	const struct app_conf *found = NULL;

	for (size_t i = 0; i < a->n; i++)
		if (app_has_feed(&a->app[i], feed)) {
			if (found != NULL)
				return NULL;
			found = &a->app[i];
		}
	return found;
}

const struct app_conf *
apps_find(
    const struct apps *a, const char *id, const char *stream, const char *feed)
{
	for (size_t i = 0; id != NULL && i < a->n; i++)
		if (names_have(&a->app[i].ids, id, strlen(id)))
			return &a->app[i];
	/* A bundle that nobody knows is not the app of its neighbours. */
	if (id != NULL)
		return NULL;
	for (size_t i = 0; stream != NULL && i < a->n; i++)
		if (names_have(&a->app[i].streams, stream, strlen(stream)))
			return &a->app[i];
	return by_feed(a, feed);
}
