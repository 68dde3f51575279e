/* Planning and counting records. */
#include "reader.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "hll.h"
#include "mem.h"
#include "sys.h"

#define ROUTE_SLOTS ((size_t)4096)   /* at first */
#define ROUTES_MAX ((size_t)1 << 16) /* then all are forgotten */
#define ROUTE_LINES 4                /* of the cache: most routes fit */
#define COPY 32 /* bytes copied at once; spans lie in padded text */

struct target {
	struct acc *acc;
	unsigned place; /* in the family */
};

/* A metric that a record of the route may count in. */
struct act {
	int metric;
	int where;      /* to be asked of each record, -1: no */
	uint32_t steps; /* of a funnel: those that it is for sure */
	uint32_t ask;   /* those whose where must be asked */
	unsigned naccs;
	bool late; /* acc is of the last unit that was seen */
	const struct text *unit;
	struct family *family; /* of a distinct count */
	struct target to[];
};

struct route {
	struct fp hash;
	uint64_t n;       /* records */
	struct act *act;  /* nact, one behind the other */
	struct act *sure; /* counts of every record: by n, at the end */
	struct cell *cell;
	unsigned nact, nsure;
	bool other_app, excluded;
	struct seen *event, *app; /* to be told of */
};

/* What a record's bytes say of its route. */
struct look {
	struct fp hash;
	unsigned flags;
};

struct memo_value {
	uint64_t at, number_at; /* the record it is of */
	struct expr_value v;
	int is_number; /* as number_of returns */
	struct dec number;
};

struct memo_key {
	uint64_t at, approx_at;
	bool none, approx_none; /* null or missing: not counted */
	struct fp fp;
	uint64_t approx;
	const char *wrong;
};

struct key_op {
	struct acc *acc;
	struct family *family;
	unsigned place;
	struct fp key;
};

enum op_kind { OP_COUNT, OP_APPROX, OP_VALUE, OP_EVENT };
struct op {
	struct acc *acc;
	enum op_kind kind;
	uint64_t approx;
	struct event e;
};

/* How much of a value is part of a route. */
enum part_mode {
	PART_ALL,
	PART_SHELL, /* of an object or array only that it is one */
	PART_DAY,   /* the date at the front of a time */
};
#define DAY_BYTES 12 /* quote, date, and what parts it from the time */

struct part_key {
	int path;
	enum part_mode mode;
};

struct reader {
	const struct dict *d;
	const struct apps *apps;
	const char *only_app;
	struct fp_key key;
	struct fp_key route_key;
	struct part_key *part; /* what of a record makes its route */
	int nparts;
	int *text, ntexts; /* expressions that do, where no path can */
	bool *covered;     /* expression: known from the route's key */

	struct agg *agg;
	const char *feed;
	int32_t day;
	uint64_t at, others, nans;
	struct memo_value *value;
	struct memo_key *memo;
	struct route **routes;
	size_t nroutes, slots;
	struct look look[BATCH_MAX];
	const struct record *looked; /* the batch that look is of, or NULL */
	size_t nlooked;
	struct act *draft;
	struct buf acts, sure; /* of a route that is made */
	char *made;            /* the key of the record at hand */
	size_t made_len, made_room;
	struct key_op *keys;
	size_t nkeys, keys_room;
	struct op *ops;
	size_t nops, ops_room;
	struct buf name;
	bool over; /* more groups than allowed */
};

/* --- set-up --- */

static void
add_part(struct reader *r, int path, enum part_mode mode)
{
	for (int i = 0; i < r->nparts; i++)
		if (r->part[i].path == path) {
			if (mode == PART_ALL)
				r->part[i].mode = mode;
			return;
		}
	r->part =
	    xreallocarray(r->part, (size_t)r->nparts + 1, sizeof *r->part);
	r->part[r->nparts++] = (struct part_key){path, mode};
}

/* What the expression reads, or else its value, becomes part of the route. */
static void
route_by(struct reader *r, int expr)
{
	const struct dict_expr *x;

	if (expr < 0 || r->covered[expr])
		return;
	x = &r->d->expr[expr];
	r->covered[expr] = true;
	if (x->nreads > 0 && x->simple) {
		for (int i = 0; i < x->nreads; i++)
			add_part(r, x->reads[i],
			    x->shell[i] ? PART_SHELL : PART_ALL);
		return;
	}
	r->text =
	    xreallocarray(r->text, (size_t)r->ntexts + 1, sizeof *r->text);
	r->text[r->ntexts++] = expr;
}

/* A date is often the front of a time, which is another in each record. */
static void
route_by_day(struct reader *r, int expr)
{
	const struct dict_expr *x = &r->d->expr[expr];

	if (x->path < 0 || x->nreads != 1)
		route_by(r, expr);
	else
		add_part(r, x->path, PART_DAY);
}

static bool
has_part(const struct reader *r, int path)
{
	for (int p = 0; p < r->nparts; p++)
		if (r->part[p].path == path && r->part[p].mode == PART_ALL)
			return true;
	return false;
}

static void
cover_rest(struct reader *r)
{
	for (int e = 0; e < r->d->nexpr; e++) {
		const struct dict_expr *x = &r->d->expr[e];
		bool all = x->nreads > 0;

		for (int i = 0; all && i < x->nreads; i++)
			all = has_part(r, x->reads[i]);
		r->covered[e] = r->covered[e] || all;
	}
}

/* The unit of a metric of few events is found for each of them. */
static bool
is_late(const struct dict_metric *m)
{
	return m->event.given && (m->unit >= 0 || m->split >= 0);
}

struct reader *
reader_new(const struct dict *d, const struct apps *apps, const char *only_app)
{
	struct reader *r = xcalloc(1, sizeof *r);

	*r = (struct reader){.d = d, .apps = apps, .only_app = only_app};
	fp_key_random(&r->key);
	fp_key_random(&r->route_key);
	r->draft = xmalloc(sizeof *r->draft + SEG_MAX * sizeof(struct target));
	buf_init(&r->acts, 1u << 30);
	buf_init(&r->sure, 1u << 30);
	r->covered = xcalloc((size_t)d->nexpr + 1, sizeof *r->covered);
	r->value = xcalloc((size_t)d->nexpr + 1, sizeof *r->value);
	r->memo = xcalloc((size_t)d->nkey + 1, sizeof *r->memo);
	r->slots = ROUTE_SLOTS;
	r->routes = xcalloc(r->slots, sizeof(struct route *));
	buf_init(&r->name, 1u << 30);
	r->made_room = 4096;
	r->made = xmalloc(r->made_room);
	route_by_day(r, d->date);
	route_by(r, d->app);
	for (int i = 0; i < d->napp_else; i++)
		route_by(r, d->app_else[i]);
	route_by(r, d->stream);
	route_by(r, d->platform);
	route_by(r, d->event);
	for (int i = 0; i < d->nmetric; i++) {
		const struct dict_metric *m = &d->metric[i];

		if (!is_late(m)) {
			route_by(r, m->unit);
			route_by(r, m->split);
		}
		for (int s = 0; s < m->nsegments; s++) {
			const struct dict_key *k =
			    &d->segment[m->segment[s]].value;

			for (int e = 0; e < k->n; e++)
				route_by(r, k->expr[e]);
		}
	}
	cover_rest(r);
	return r;
}

void
reader_key(struct reader *r, const struct fp_key *fixed)
{
	r->key = *fixed;
}

static struct act *
next_act(struct act *t)
{
	return (void *)&t->to[t->naccs];
}

static void
route_done(struct reader *r, struct route *x)
{
	struct act *t = x->sure;

	for (unsigned k = 0; k < x->nsure; k++, t = next_act(t))
		for (unsigned j = 0; j < t->naccs; j++)
			t->to[j].acc->n += x->n;
	if (x->cell != NULL && x->n > 0) {
		x->cell->wanted = true;
		if (x->cell->all != NULL)
			x->cell->all->wanted = true;
	}
	if (x->event != NULL)
		x->event->n += x->n;
	if (x->app != NULL)
		x->app->n += x->n;
	if (x->other_app)
		r->others += x->n;
	if (x->excluded)
		r->agg->excluded += x->n;
}

static void
forget_routes(struct reader *r)
{
	for (size_t i = 0; r->nroutes > 0 && i < r->slots; i++) {
		struct route *x = r->routes[i];

		if (x == NULL)
			continue;
		route_done(r, x);
		free(x);
		r->routes[i] = NULL;
		r->nroutes--;
	}
}

void
reader_flush(struct reader *r)
{
	forget_routes(r);
	r->agg->not_numbers = r->nans;
}

void
reader_begin(struct reader *r, struct agg *a, const char *feed, int32_t day)
{
	if (r->agg != NULL)
		forget_routes(r);
	r->agg = a;
	r->looked = NULL;
	r->feed = feed;
	r->day = day;
	r->others = r->nans = 0;
	r->nkeys = r->nops = 0;
}

uint64_t
reader_others(const struct reader *r)
{
	return r->others;
}

void
reader_free(struct reader *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->slots; i++)
		free(r->routes[i]);
	free(r->routes);
	free(r->part);
	free(r->text);
	free(r->covered);
	free(r->value);
	free(r->memo);
	free(r->keys);
	free(r->ops);
	buf_release(&r->name);
	free(r->made);
	free(r->draft);
	buf_release(&r->acts);
	buf_release(&r->sure);
	free(r);
}

/* --- expressions of a record --- */

static const struct expr_value *
value_of(struct reader *r, int expr, const struct record *rec)
{
	struct memo_value *m = &r->value[expr];
	const struct dict_expr *x = &r->d->expr[expr];

	if (m->at == r->at)
		return &m->v;
	m->at = r->at;
	if (x->path >= 0) {
		const struct json_span *s = &rec->val[x->path];

		if (s->type == JSON_STRING && s->flags == 0) {
			m->v = (struct expr_value){
			    EXPR_STRING, s->p + 1, s->len - 2};
			return &m->v;
		}
		if (s->type == JSON_NUMBER && s->flags == 0) {
			m->v = (struct expr_value){EXPR_NUMBER, s->p, s->len};
			return &m->v;
		}
	}
	expr_eval(x->e, rec, &m->v);
	return &m->v;
}

static bool
is_null(const struct expr_value *v)
{
	return v->type == EXPR_NONE || v->type == EXPR_NULL;
}

/* jq's truth. 1, 0, or -1 with a reason. */
static int
truth(const struct expr_value *v, const char **why)
{
	if (v->type == EXPR_ERROR) {
		*why = v->p;
		return -1;
	}
	return !is_null(v) && v->type != EXPR_FALSE;
}

/* Text of a scalar; NULL and no reason where it is null. */
static const char *
scalar(const struct expr_value *v, size_t *n, const char **why)
{
	*why = NULL;
	switch (v->type) {
	case EXPR_STRING:
	case EXPR_NUMBER:
		*n = v->len;
		return v->p;
	case EXPR_TRUE:
		*n = 4;
		return "true";
	case EXPR_FALSE:
		*n = 5;
		return "false";
	case EXPR_JSON:
		*why = "an array or object where a key or name belongs";
		return NULL;
	case EXPR_ERROR:
		*why = v->p;
		return NULL;
	case EXPR_NONE:
	case EXPR_NULL:
		break;
	}
	return NULL;
}

/* --- routes --- */

static inline uint32_t
part_len(const struct part_key *k, const struct json_span *s)
{
	if (k->mode == PART_ALL)
		return s->len;
	if (k->mode == PART_SHELL)
		return s->type >= JSON_ARRAY ? 1 : s->len;
	return s->len < DAY_BYTES ? s->len : DAY_BYTES;
}

static char *
made_room(struct reader *r, char *at, size_t n)
{
	size_t len = (size_t)(at - r->made);

	if (n < r->made_room - len)
		return at;
	while (n >= r->made_room - len)
		r->made_room *= 2;
	r->made = xrealloc(r->made, r->made_room);
	return r->made + len;
}

/* The values of expressions that are no paths; rare. */
static const char *
make_texts(struct reader *r, const struct record *rec, char **at)
{
	const char *why = NULL;

	for (int i = 0; i < r->ntexts; i++) {
		const struct expr_value *v = value_of(r, r->text[i], rec);
		size_t n = 0;
		const char *s = scalar(v, &n, &why);

		if (why != NULL)
			return why;
		*at = made_room(r, *at, n + sizeof n + 1);
		*(*at)++ = s == NULL ? '-' : '+';
		memcpy(*at, &n, sizeof n);
		if (s != NULL)
			memcpy(*at + sizeof n, s, n);
		*at += sizeof n + n;
	}
	return NULL;
}

/*
 * The route's key: the parts as they stand in the record, parted by newlines,
 * which no line has. Most parts are short: copying a fixed number of bytes
 * and going on behind the part costs no branch that could be guessed wrong.
 */
static const char *
make_key(struct reader *r, const struct record *rec, unsigned *flags)
{
	char *at = r->made;
	const char *why;

	for (int p = 0; p < r->nparts; p++) {
		const struct json_span *s = &rec->val[r->part[p].path];
		uint32_t n = part_len(&r->part[p], s);

		*flags |= s->flags;
		if (at + n + COPY + 1 >= r->made + r->made_room)
			at = made_room(r, at, n + COPY + 1);
		if (s->type == JSON_ABSENT) {
			*at++ = '\n';
			continue;
		}
		memcpy(at, s->p, COPY);
		if (n > COPY)
			memcpy(at + COPY, s->p + COPY, n - COPY);
		at += n;
		*at++ = '\n';
	}
	if (r->ntexts > 0 && (why = make_texts(r, rec, &at)) != NULL)
		return why;
	r->made_len = (size_t)(at - r->made);
	return NULL;
}

static void
more_slots(struct reader *r)
{
	size_t slots = 4 * r->slots;
	struct route **t = xcalloc(slots, sizeof(struct route *));

	for (size_t i = 0; i < r->slots; i++) {
		struct route *x = r->routes[i];
		size_t k;

		if (x == NULL)
			continue;
		k = x->hash.lo & (slots - 1);
		while (t[k] != NULL)
			k = (k + 1) & (slots - 1);
		t[k] = x;
	}
	free(r->routes);
	r->routes = t;
	r->slots = slots;
}

/* The slot of the route, or of the free place where it belongs. */
static struct route **
route_slot(const struct reader *r, struct fp hash)
{
	size_t i = hash.lo & (r->slots - 1);

	for (; r->routes[i] != NULL; i = (i + 1) & (r->slots - 1))
		if (r->routes[i]->hash.lo == hash.lo &&
		    r->routes[i]->hash.hi == hash.hi)
			break;
	return &r->routes[i];
}

/* A date: YYYYMMDD, YYYY-MM-DD, or such a one before T or a blank. */
static bool
read_day(const struct expr_value *v, int32_t *day)
{
	if (v->type != EXPR_STRING && v->type != EXPR_NUMBER)
		return false;
	if (v->len == 8)
		return date_parse_compact(v->p, v->len, day);
	if (v->len <= DATE_LEN)
		return date_parse(v->p, v->len, day);
	return (v->p[DATE_LEN] == 'T' || v->p[DATE_LEN] == ' ') &&
	       date_parse(v->p, DATE_LEN, day);
}

static const char *
route_day(struct reader *r, const struct record *rec, int32_t *day)
{
	const struct expr_value *v = value_of(r, r->d->date, rec);

	if (v->type == EXPR_ERROR)
		return v->p;
	if (!read_day(v, day))
		return "the date is missing or is none";
	if (r->day != READER_ANY_DAY && *day != r->day)
		return "the date is not that of the partition";
	return NULL;
}

static const char *
optional_text(struct reader *r, int expr, const struct record *rec,
    const struct text **out)
{
	const char *why, *s;
	size_t n = 0;

	*out = NULL;
	if (expr < 0)
		return NULL;
	s = scalar(value_of(r, expr, rec), &n, &why);
	if (s != NULL)
		*out = agg_text(r->agg, s, n);
	return why;
}

/* The app's id in the record, the first that is not empty; NULL: none. */
static const char *
route_app(struct reader *r, const struct record *rec, const struct text **id)
{
	const char *why = optional_text(r, r->d->app, rec, id);

	for (int i = 0; i < r->d->napp_else && why == NULL &&
			(*id == NULL || (*id)->len == 0);
	     i++)
		why = optional_text(r, r->d->app_else[i], rec, id);
	if (*id != NULL && (*id)->len == 0)
		*id = NULL;
	return why;
}

/* Lower case into r->name; NULL, or why it is none. */
static const char *
route_platform(struct reader *r, const struct record *rec)
{
	const struct dict *d = r->d;
	const struct text *t;
	const char *why = optional_text(r, d->platform, rec, &t);

	buf_reset(&r->name);
	if (why != NULL)
		return why;
	if (d->no_platform) {
		buf_str(&r->name, "all");
		return NULL;
	}
	if (t != NULL && t->len > 0)
		buf_str(&r->name, map_text(&d->platform_map, t->s));
	for (size_t i = 0; i < r->name.len; i++)
		if (r->name.p[i] >= 'A' && r->name.p[i] <= 'Z')
			r->name.p[i] = (char)(r->name.p[i] | 0x20);
	if (r->name.len == 0)
		buf_str(&r->name, "unknown");
	if (r->name.len == 3 && memcmp(r->name.p, "all", 3) == 0)
		return "platform \"all\" is kept for the sum over all";
	return NULL;
}

/* The cell, or no cell where the record is of an app not asked for. */
static const char *
route_cell(struct reader *r, const struct record *rec, struct route *x,
    struct cell **cell)
{
	const struct text *id, *stream;
	const struct app_conf *conf;
	const char *why, *name;
	int32_t day;

	*cell = NULL;
	if ((why = route_day(r, rec, &day)) != NULL ||
	    (why = route_app(r, rec, &id)) != NULL ||
	    (why = optional_text(r, r->d->stream, rec, &stream)) != NULL)
		return why;
	conf = apps_find(r->apps, id == NULL ? NULL : id->s,
	    stream == NULL ? NULL : stream->s, r->feed);
	name = conf != NULL    ? conf->id
	       : id != NULL    ? id->s
	       : *r->feed != 0 ? r->feed
			       : "unknown";
	if (r->only_app != NULL && strcmp(name, r->only_app) != 0) {
		x->other_app = true;
		return NULL;
	}
	if (conf == NULL)
		x->app =
		    agg_seen(r->agg, &r->agg->apps_unknown, name, strlen(name));
	if ((why = route_platform(r, rec)) != NULL)
		return why;
	*cell = agg_cell(r->agg, day, agg_text(r->agg, name, strlen(name)),
	    conf, agg_text(r->agg, r->name.p, r->name.len));
	return NULL;
}

static const char *
segment_text(struct reader *r, const struct dict_segment *s,
    const struct record *rec, const struct text **out)
{
	bool any = false;

	buf_reset(&r->name);
	for (int i = 0; i < s->value.n; i++) {
		const char *why, *p;
		size_t n = 0;

		p = scalar(value_of(r, s->value.expr[i], rec), &n, &why);
		if (why != NULL)
			return why;
		any = any || p != NULL;
		if (i > 0)
			buf_char(&r->name, '/');
		if (p == NULL)
			buf_str(&r->name, s->fallback);
		else
			buf_add(&r->name, p, n);
	}
	*out = any ? agg_text(r->agg, r->name.p, r->name.len)
		   : agg_text(r->agg, s->fallback, strlen(s->fallback));
	return NULL;
}

static const char *
unit_text(struct reader *r, const struct dict_metric *m, const struct cell *c,
    const struct record *rec, const struct text **out)
{
	const char *why, *fallback = "XXX"; /* ISO 4217: no currency */

	*out = NULL;
	if (m->unit < 0 && m->split < 0)
		return NULL;
	why = optional_text(r, m->unit >= 0 ? m->unit : m->split, rec, out);
	if (why != NULL || (*out != NULL && (*out)->len > 0))
		return why;
	if (c->conf != NULL && c->conf->currency != NULL)
		fallback = c->conf->currency;
	*out = agg_text(r->agg, fallback, strlen(fallback));
	return NULL;
}

static const char *
act_accs(
    struct reader *r, struct act *t, struct cell *c, const struct record *rec)
{
	const struct dict_metric *m = &r->d->metric[t->metric];
	const struct text *unit, *value = NULL;
	const char *why = unit_text(r, m, c, rec, &unit);

	if (why != NULL || (t->naccs > 0 && t->unit == unit))
		return why;
	t->unit = unit;
	t->late = is_late(m);
	t->naccs = m->nsegments == 0 ? 1 : (unsigned)m->nsegments;
	for (unsigned i = 0; i < t->naccs; i++) {
		int seg = m->nsegments == 0 ? -1 : m->segment[i];
		struct acc *x;

		if (seg >= 0 && (why = segment_text(r, &r->d->segment[seg], rec,
				     &value)) != NULL)
			return why;
		x = agg_finest(r->agg, c, t->metric, seg,
		    seg < 0 ? NULL : value, unit, i == 0);
		if (x == NULL) {
			r->over = true;
			return "more groups than --max-groups";
		}
		t->family = x->family;
		t->to[i] = (struct target){x, x->place};
	}
	return NULL;
}

/* Does the filter hold? 1, 0, 2: to be asked of each record, -1: error. */
static int
sure_where(struct reader *r, const struct dict_names *event, int where,
    const struct text *name, const struct record *rec, const char **why)
{
	if (event->given &&
	    (name == NULL || !names_have(event, name->s, name->len)))
		return 0;
	if (where < 0)
		return 1;
	if (!r->covered[where])
		return 2;
	return truth(value_of(r, where, rec), why);
}

/* 1: the metric is of this route; 0: not; -1: error. */
static int
act_filter(struct reader *r, struct act *t, const struct text *name,
    const struct record *rec, const char **why)
{
	const struct dict_metric *m = &r->d->metric[t->metric];
	int is;

	if (r->agg->off[t->metric] ||
	    (m->unlisted &&
		(name == NULL || names_have(&r->d->known, name->s, name->len))))
		return 0;
	is = sure_where(r, &m->event, m->where, name, rec, why);

	t->where = is == 2 ? m->where : -1;
	if (is <= 0 || m->agg != AGG_FUNNEL)
		return is > 0 ? 1 : is;
	for (int s = 0; s < m->nsteps; s++) {
		int step = sure_where(
		    r, &m->step[s].event, m->step[s].where, name, rec, why);

		if (step < 0)
			return -1;
		if (step == 1)
			t->steps |= 1u << s;
		if (step == 2)
			t->ask |= 1u << s;
	}
	return (t->steps | t->ask) != 0;
}

static const char *
route_acts(struct reader *r, struct route *x, struct cell *c,
    const struct text *name, const struct record *rec)
{
	const struct dict *d = r->d;
	const char *why = NULL;

	for (int i = 0; i < d->nmetric; i++) {
		struct act *t = r->draft;
		bool sure;
		int is;

		if (d->metric[i].agg == AGG_RATIO)
			continue;
		*t = (struct act){.metric = i};
		is = act_filter(r, t, name, rec, &why);
		if (is < 0)
			return why;
		if (is == 0)
			continue;
		if ((why = act_accs(r, t, c, rec)) != NULL)
			return why;
		sure =
		    d->metric[i].agg == AGG_COUNT && t->where < 0 && !t->late;
		buf_add(sure ? &r->sure : &r->acts, t,
		    sizeof *t + t->naccs * sizeof *t->to);
		x->nsure += sure;
		x->nact += !sure;
	}
	return NULL;
}

static const char *
route_fill(struct reader *r, struct route *x, const struct record *rec)
{
	const struct text *name;
	struct cell *cell;
	const char *why = route_cell(r, rec, x, &cell);

	if (why != NULL || cell == NULL)
		return why;
	if (r->d->exclude >= 0 && r->covered[r->d->exclude]) {
		int is = truth(value_of(r, r->d->exclude, rec), &why);

		x->excluded = is > 0;
		if (is != 0) {
			x->app = NULL;
			return why;
		}
	}
	why = optional_text(r, r->d->event, rec, &name);
	if (why != NULL)
		return why;
	if (r->d->known.given && name != NULL &&
	    !names_have(&r->d->known, name->s, name->len))
		x->event =
		    agg_seen(r->agg, &r->agg->events, name->s, name->len);
	x->cell = cell;
	why = route_acts(r, x, cell, name, rec);
	return why;
}

static struct route *
route_make(struct reader *r, const struct record *rec, struct fp hash,
    const char **why)
{
	struct route *x = xcalloc(1, sizeof *x);
	char *at;

	x->hash = hash;
	buf_reset(&r->acts);
	buf_reset(&r->sure);
	if ((*why = route_fill(r, x, rec)) != NULL) {
		free(x);
		return NULL;
	}
	/* In one piece: it is asked for before it is needed. */
	x = xrealloc(x, sizeof *x + r->acts.len + r->sure.len);
	at = (char *)(x + 1);
	x->act = (void *)at;
	x->sure = (void *)(at + r->acts.len);
	if (r->acts.len > 0)
		memcpy(at, r->acts.p, r->acts.len);
	if (r->sure.len > 0)
		memcpy(at + r->acts.len, r->sure.p, r->sure.len);
	if (r->nroutes == ROUTES_MAX)
		forget_routes(r);
	if (r->nroutes * 2 >= r->slots)
		more_slots(r);
	*route_slot(r, hash) = x;
	r->nroutes++;
	return x;
}

static const char *
look_at(struct reader *r, const struct record *rec, struct look *k)
{
	const char *why;

	k->flags = 0;
	if ((why = make_key(r, rec, &k->flags)) == NULL)
		k->hash = fp_hash(&r->route_key, r->made, r->made_len);
	return why;
}

/*
 * Routes are many, and what they lead to lies all over memory: it is asked
 * for while other records of the batch are at work.
 */
void
reader_ahead(struct reader *r, const struct record *rec, size_t n)
{
	r->looked = NULL;
	if (r->ntexts > 0 || n > BATCH_MAX)
		return;
	for (size_t i = 0; i < n; i++) {
		look_at(r, &rec[i], &r->look[i]);
		__builtin_prefetch(
		    &r->routes[r->look[i].hash.lo & (r->slots - 1)]);
	}
	r->looked = rec;
	r->nlooked = n;
	for (size_t i = 0; i < n; i++) {
		const char *x =
		    (const char *)
			r->routes[r->look[i].hash.lo & (r->slots - 1)];

		for (int line = 0; x != NULL && line < ROUTE_LINES; line++)
			__builtin_prefetch(x + 64 * line);
	}
}

/* The route of a record; NULL and why. */
static struct route *
route_find(struct reader *r, const struct record *rec, const char **why)
{
	struct look one;
	const struct look *k = &one;
	struct route *x;

	if (r->looked != NULL && rec >= r->looked &&
	    rec < r->looked + r->nlooked)
		k = &r->look[rec - r->looked];
	else if ((*why = look_at(r, rec, &one)) != NULL)
		return NULL;
	if (k->flags & JSON_DUPLICATE) {
		*why = "a member that is read is there twice";
		return NULL;
	}
	x = *route_slot(r, k->hash);
	return x != NULL ? x : route_make(r, rec, k->hash, why);
}

/* --- planning --- */

static bool
is_missing(const struct dict_names *missing, const char *p, size_t n)
{
	return missing->n > 0 && names_have(missing, p, n);
}

/* The key's fingerprint, once a record. */
static const struct memo_key *
key_of(struct reader *r, int key, const struct record *rec)
{
	struct memo_key *m = &r->memo[key];
	const struct dict_key *k = &r->d->key[key];

	if (m->at == r->at)
		return m;
	m->at = r->at;
	m->none = false;
	m->wrong = NULL;
	for (int i = 0; i < k->n; i++) {
		size_t n = 0;
		const char *p =
		    scalar(value_of(r, k->expr[i], rec), &n, &m->wrong);
		struct fp fp;

		if (p == NULL) {
			m->none = true;
			return m;
		}
		fp = fp_hash(&r->key, p, n);
		m->fp = i == 0 ? fp : fp_join(m->fp, fp);
	}
	return m;
}

/* 1: fp is set; 0: null or missing, not counted; -1: error. */
static int
key_fp(struct reader *r, int key, const struct dict_names *missing,
    const struct record *rec, struct fp *fp, const char **why)
{
	const struct dict_key *k = &r->d->key[key];
	const struct memo_key *m = key_of(r, key, rec);

	if (m->wrong != NULL) {
		*why = m->wrong;
		return -1;
	}
	if (m->none)
		return 0;
	for (int i = 0; missing->n > 0 && i < k->n; i++) {
		const struct expr_value *v = value_of(r, k->expr[i], rec);

		if ((v->type == EXPR_STRING || v->type == EXPR_NUMBER) &&
		    is_missing(missing, v->p, v->len))
			return 0;
	}
	*fp = m->fp;
	return 1;
}

static int
key_approx(struct reader *r, int key, const struct dict_names *missing,
    const struct record *rec, uint64_t *hash, const char **why)
{
	const struct dict_key *k = &r->d->key[key];
	struct fp fp;
	int is = key_fp(r, key, missing, rec, &fp, why);

	*hash = 0;
	for (int i = 0; is > 0 && i < k->n; i++) {
		size_t n = 0;
		const char *p = scalar(value_of(r, k->expr[i], rec), &n, why);

		*hash = hll_hash(*hash, p, n);
	}
	return is;
}

static bool
is_no_number(const struct expr_value *v)
{
	static const char *const words[] = {
	    "NaN", "Infinity", "-Infinity", "+inf", "-inf", "inf", "nan"};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (v->len == strlen(words[i]) &&
		    memcmp(v->p, words[i], v->len) == 0)
			return true;
	return false;
}

static int
read_number(struct reader *r, const struct expr_value *v, struct dec *out,
    const char **why)
{
	if (is_null(v))
		return 0;
	if (v->type == EXPR_ERROR) {
		*why = v->p;
		return -1;
	}
	*why = "the value of a metric is no number";
	if (v->type != EXPR_NUMBER && v->type != EXPR_STRING)
		return -1;
	if (dec_parse(v->p, v->len, out))
		return 1;
	if (v->type == EXPR_STRING && is_no_number(v)) {
		r->nans++;
		return 0;
	}
	if (v->type == EXPR_NUMBER)
		*why = "the value of a metric has more than 38 digits";
	return -1;
}

/* 1: a number; 0: null, or NaN as the Google APIs write it; -1: error. */
static int
number_of(struct reader *r, int expr, const struct record *rec, struct dec *out,
    const char **why)
{
	const struct expr_value *v = value_of(r, expr, rec);
	struct memo_value *m = &r->value[expr];

	if (m->number_at != r->at) {
		m->number_at = r->at;
		m->is_number = read_number(r, v, &m->number, why);
	}
	*out = m->number;
	return m->is_number;
}

/* The same of a value without its sign, where texts may stand for null. */
static int
factor_of(struct reader *r, int expr, const struct dict_names *missing,
    bool no_sign, const struct record *rec, struct dec *out, const char **why)
{
	const struct expr_value *v = value_of(r, expr, rec);
	int is;

	if (v->type == EXPR_STRING && is_missing(missing, v->p, v->len))
		return 0;
	is = number_of(r, expr, rec, out, why);
	if (is > 0 && no_sign && out->coef < 0)
		out->coef = -out->coef;
	return is;
}

/* What a record adds: value, or value times another. */
static int
amount_of(struct reader *r, const struct dict_metric *m,
    const struct record *rec, struct dec *out, const char **why)
{
	struct dec times;
	int is =
	    factor_of(r, m->value, &m->missing, m->abs_value, rec, out, why);

	if (is <= 0 || m->times < 0)
		return is;
	is =
	    factor_of(r, m->times, &m->missing, m->abs_times, rec, &times, why);
	if (is > 0 && !dec_mul(out, &times)) {
		*why = "the product of a metric has more than 38 digits";
		return -1;
	}
	return is;
}

/* 1: a time; 0: null; -1: error. */
static int
time_of(
    struct reader *r, const struct record *rec, int64_t *us, const char **why)
{
	static const int64_t factor[] = {1, 1000, 1000000};
	const struct expr_value *v = value_of(r, r->d->time, rec);
	struct dec d;
	int64_t n;

	if (is_null(v))
		return 0;
	if (v->type == EXPR_ERROR) {
		*why = v->p;
		return -1;
	}
	*why = "the time of the event is none";
	if (r->d->time_unit == TIME_TEXT)
		return v->type == EXPR_STRING && time_parse(v->p, v->len, us)
			   ? 1
			   : -1;
	if ((v->type != EXPR_NUMBER && v->type != EXPR_STRING) ||
	    !dec_parse(v->p, v->len, &d) || !dec_to_i64(&d, &n) ||
	    __builtin_mul_overflow(n, factor[r->d->time_unit], us))
		return -1;
	return 1;
}

static struct op *
new_op(struct reader *r, struct acc *acc, enum op_kind kind)
{
	struct op *o;

	if (r->nops == r->ops_room) {
		r->ops_room = r->ops_room == 0 ? 256 : 2 * r->ops_room;
		r->ops = xreallocarray(r->ops, r->ops_room, sizeof *r->ops);
	}
	o = &r->ops[r->nops++];
	__builtin_prefetch(&acc->n, 1);
	__builtin_prefetch(&acc->sum, 1);
	o->acc = acc;
	o->kind = kind;
	return o;
}

static inline void
plan_key(struct reader *r, const struct act *t, struct fp key)
{
	for (unsigned i = 0; i < t->naccs; i++) {
		if (r->nkeys == r->keys_room) {
			r->keys_room =
			    r->keys_room == 0 ? 256 : 2 * r->keys_room;
			r->keys = xreallocarray(
			    r->keys, r->keys_room, sizeof *r->keys);
		}
		r->keys[r->nkeys++] = (struct key_op){
		    t->to[i].acc, t->family, t->to[i].place, key};
		family_prefetch(r->agg, t->family, t->to[i].acc, key);
	}
}

/* A sum, perhaps each amount of a key once. */
static int
plan_value(struct reader *r, const struct act *t, const struct record *rec,
    const char **why)
{
	const struct dict_metric *m = &r->d->metric[t->metric];
	struct event e = {.steps = 0};
	enum op_kind kind = OP_VALUE;
	int is = amount_of(r, m, rec, &e.value, why);

	if (is <= 0)
		return is;
	if (m->once >= 0) {
		is = key_fp(r, m->once, &m->missing, rec, &e.who, why);
		if (is < 0)
			return is;
		if (is > 0)
			kind = OP_EVENT;
		if (is > 0 && r->d->time >= 0 &&
		    time_of(r, rec, &e.us, why) < 0)
			return -1;
	}
	for (unsigned i = 0; i < t->naccs; i++) {
		struct op *o = new_op(r, t->to[i].acc, kind);

		if (kind == OP_VALUE)
			o->e.value = e.value;
		else
			o->e = e;
	}
	return 1;
}

static int
plan_funnel(struct reader *r, const struct act *t, const struct record *rec,
    const char **why)
{
	const struct dict_metric *m = &r->d->metric[t->metric];
	struct event e = {.steps = t->steps, .value = DEC_ZERO};
	int is;

	for (int s = 0; s < m->nsteps; s++) {
		if ((t->ask >> s & 1) == 0)
			continue;
		is = truth(value_of(r, m->step[s].where, rec), why);
		if (is < 0)
			return -1;
		e.steps |= (uint32_t)is << s;
	}
	if (e.steps == 0)
		return 0;
	is = key_fp(r, m->key, &m->missing, rec, &e.who, why);
	if (is > 0)
		is = time_of(r, rec, &e.us, why);
	if (is > 0)
		new_op(r, t->to[0].acc, OP_EVENT)->e = e;
	return is;
}

/* -1: error. */
static int
plan_act(struct reader *r, struct act *t, struct cell *c,
    const struct record *rec, const char **why)
{
	const struct dict_metric *m = &r->d->metric[t->metric];
	struct fp key;
	uint64_t hash;
	int is;

	if (t->where >= 0) {
		is = truth(value_of(r, t->where, rec), why);
		if (is <= 0)
			return is;
	}
	if (t->late && (*why = act_accs(r, t, c, rec)) != NULL)
		return -1;
	switch (m->agg) {
	case AGG_DISTINCT:
		is = key_fp(r, m->key, &m->missing, rec, &key, why);
		if (is > 0)
			plan_key(r, t, key);
		return is;
	case AGG_APPROX:
		is = key_approx(r, m->key, &m->missing, rec, &hash, why);
		for (unsigned i = 0; is > 0 && i < t->naccs; i++)
			new_op(r, t->to[i].acc, OP_APPROX)->approx = hash;
		return is;
	case AGG_COUNT:
		for (unsigned i = 0; i < t->naccs; i++)
			new_op(r, t->to[i].acc, OP_COUNT);
		return 1;
	case AGG_SUM:
	case AGG_MIN:
	case AGG_MAX:
	case AGG_AVG:
	case AGG_ONE:
		return plan_value(r, t, rec, why);
	case AGG_FUNNEL:
		return plan_funnel(r, t, rec, why);
	case AGG_RATIO:
		break;
	}
	return 0;
}

const char *
reader_plan(struct reader *r, const struct record *rec)
{
	size_t nkeys = r->nkeys, nops = r->nops;
	uint64_t nans = r->nans;
	const char *why = NULL;
	struct route *x;
	struct act *t;

	r->at++;
	x = route_find(r, rec, &why);
	if (x == NULL)
		return why;
	if (r->d->exclude >= 0 && !r->covered[r->d->exclude] && !x->other_app) {
		int is = truth(value_of(r, r->d->exclude, rec), &why);

		r->agg->excluded += is > 0;
		if (is != 0)
			return why;
	}
	t = x->act;
	for (unsigned i = 0; i < x->nact; i++, t = next_act(t))
		if (plan_act(r, t, x->cell, rec, &why) < 0) {
			r->nkeys = nkeys;
			r->nops = nops;
			r->nans = nans;
			return why;
		}
	x->n++;
	return NULL;
}

int
reader_apply(struct reader *r)
{
	if (r->over) {
		warn_msg("--max-groups", "there are more groups than %llu",
		    (unsigned long long)r->agg->max_groups);
		return RC_OSERR;
	}
	for (size_t i = 0; i < r->nkeys; i++) {
		const struct key_op *k = &r->keys[i];

		if (!family_key(r->agg, k->family, k->acc, k->place, k->key)) {
			warn_msg("--max-memory",
			    "the distinct keys need more than %llu bytes",
			    (unsigned long long)r->agg->max_memory);
			return RC_OSERR;
		}
	}
	for (size_t i = 0; i < r->nops; i++) {
		struct op *o = &r->ops[i];

		switch (o->kind) {
		case OP_COUNT:
			o->acc->n++;
			break;
		case OP_APPROX:
			acc_approx(o->acc, o->approx);
			break;
		case OP_VALUE:
			acc_value(r->agg, o->acc, &o->e.value);
			break;
		case OP_EVENT:
			acc_event(o->acc, &o->e);
			break;
		}
	}
	r->nkeys = r->nops = 0;
	return RC_OK;
}
