/* The metrics: what each counts, and the rows that it has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "sql_impl.h"

#define KEY "date, app_id, platform"
#define NUL "CAST(NULL AS BIGNUMERIC)"
#define GROUP KEY ", split, segment"

/* --- what counts --- */

/* Where a member stands, for messages. */
static const struct node *
member(const struct dict_metric *m, const char *name)
{
	const struct node *n = node_get(m->node, name);

	return n == NULL ? m->node : n;
}

/* AND of what stands; "" where all records count. */
static const char *
and_where(struct sql *q, const char *where, const char *more)
{
	return *where == '\0' ? more : sx_fmt(q->x, "%s AND %s", where, more);
}

static const char *
event_filter(struct sql *q, const struct dict_names *event)
{
	const char *e =
	    sql_fact(q, node_get(q->source, "event"), q->d->event, 't');

	return event->n == 0
		   ? "FALSE"
		   : sx_fmt(q->x, "%s IN (%s)", e, sql_names(q, event));
}

static const char *
metric_filter(struct sql *q, const struct dict_metric *m)
{
	const struct node *at = member(m, "where");
	const char *w = "";

	if (m->event.given)
		w = event_filter(q, &m->event);
	if (m->unlisted) {
		const char *e =
		    sql_fact(q, node_get(q->source, "event"), q->d->event, 't');

		w = sx_fmt(q->x, "%s NOT IN (%s)", e,
		    q->d->known.n == 0 ? "''" : sql_names(q, &q->d->known));
		if (q->d->known.n == 0)
			w = sx_fmt(q->x, "%s IS NOT NULL", e);
	}
	if (m->where >= 0)
		w = and_where(q, w, sql_fact(q, at, m->where, 'w'));
	return w;
}

/* The parts of a key as one text, NULL where one of them is. */
static const char *
key_text(struct sql *q, const struct dict_metric *m, int key, const char *name)
{
	const struct dict_key *k = &q->d->key[key];
	const struct node *at = member(m, name);
	const char *text = "", *gone = "";

	for (int i = 0; i < k->n; i++) {
		const char *f = sql_fact(q, at, k->expr[i], 't');

		text = i + 1 == k->n
			   ? sx_fmt(q->x, "%s%s", text, f)
			   : sx_fmt(q->x,
				 "%sCAST(CHAR_LENGTH(%s) AS STRING) || ':' || "
				 "%s || ",
				 text, f, f);
		if (m->missing.n > 0)
			gone = sx_fmt(q->x, "%s%s%s IN (%s)", gone,
			    i == 0 ? "" : " OR ", f, sql_names(q, &m->missing));
	}
	return *gone == '\0'
		   ? text
		   : sx_fmt(q->x, "CASE WHEN %s THEN NULL ELSE %s END", gone,
			 text);
}

static bool
digits(const char *s)
{
	s += *s == '-';
	return *s != '\0' && s[strspn(s, "0123456789")] == '\0';
}

/* What a record adds. */
static const char *
amount(struct sql *q, const struct dict_metric *m)
{
	const struct node *at = member(m, "value"), *at2 = member(m, "times");
	const char *v, *t;

	v = sql_fact(q, at, m->value, 'n');
	for (size_t i = 0; i < m->missing.n; i++)
		if (digits(m->missing.v[i]))
			sql_wrong(q, node_get(m->node, "missing"),
			    "digits that stand for no value");
	if (m->abs_value)
		v = sx_fmt(q->x, "ABS(%s)", v);
	if (m->times < 0)
		return v;
	t = sql_fact(q, at2, m->times, 'n');
	if (q->node[m->value] != NULL && q->node[m->times] != NULL &&
	    !sx_whole(q->node[m->value]) && !sx_whole(q->node[m->times]))
		sql_wrong(q, at2, "a product of two numbers with decimals");
	if (m->abs_times)
		t = sx_fmt(q->x, "ABS(%s)", t);
	return sx_fmt(q->x, "(%s * %s)", v, t);
}

/* The column of the currency. */
static const char *
unit_column(struct sql *q, const struct dict_metric *m, int expr)
{
	const struct node *at = member(m, "unit");

	sql_fact(q, at, expr, 's');
	q->unit[expr] = true;
	return sx_fmt(q->x, "u%d", expr + 1);
}

static const char *
time_us(struct sql *q)
{
	static const char *const factor[] = {"1", "1000", "1000000"};
	const struct node *at = node_get(q->source, "time");
	const char *t;

	if (q->d->time < 0)
		return "0";
	if (q->d->time_unit == TIME_TEXT) {
		sql_wrong(q, node_get(q->source, "time_unit"), "times as text");
		return "0";
	}
	t = sql_fact(q, at, q->d->time, 'i');
	return q->d->time_unit == TIME_US
		   ? t
		   : sx_fmt(q->x, "%s * %s", t, factor[q->d->time_unit]);
}

/* --- what a metric counts: n_NAME, v_NAME --- */

/* A value where the record counts. */
static const char *
where_counts(struct sql *q, const char *where, const char *value)
{
	return *where == '\0'
		   ? value
		   : sx_fmt(q->x, "CASE WHEN %s THEN %s END", where, value);
}

static bool
has_v(const struct dict_metric *m)
{
	return m->agg != AGG_COUNT && m->agg != AGG_DISTINCT;
}

/* The amounts that are added once: a column of `amounts`. Of each key the
 * earliest counts, of several the least. */
static void
once_column(struct sql *q, const struct dict_metric *m)
{
	const char *where = metric_filter(q, m), *v = amount(q, m);
	const char *who = key_text(q, m, m->once, "once"), *unit = "";
	const char *counts =
	    and_where(q, where, sx_fmt(q->x, "%s IS NOT NULL", v));

	if (m->unit >= 0)
		unit = sx_fmt(q->x, ", %s", unit_column(q, m, m->unit));
	buf_fmt(&q->amounts,
	    ",\n    CASE WHEN %s AND (%s IS NULL OR ROW_NUMBER() OVER (\n"
	    "      PARTITION BY " KEY ", segment%s, %s, %s\n"
	    "      ORDER BY COALESCE(%s, 0), %s) = 1) THEN %s END AS once_%s",
	    counts, who, unit, counts, who, time_us(q), v, v, m->name);
}

static void
head(struct sql *q, struct buf *b, const struct dict_metric *m)
{
	bool bad = false;
	const char *text =
	    conf_str(q->d->conf, m->node, "description", "", &bad);

	buf_str(b, ",\n");
	sql_comment(b, "    ",
	    sx_fmt(q->x, "%s%s%s", m->name, *text == '\0' ? "" : ": ", text));
}

/* The aggregates of a metric, one or two columns. */
static void
put_aggregates(struct sql *q, struct buf *b, const struct dict_metric *m)
{
	const char *where = metric_filter(q, m), *v;

	switch (m->agg) {
	case AGG_COUNT:
		v = *where == '\0' ? "*" : where_counts(q, where, "1");
		break;
	case AGG_DISTINCT:
		v = sx_fmt(q->x, "DISTINCT %s",
		    where_counts(q, where, key_text(q, m, m->key, "key")));
		break;
	default:
		v = where_counts(q, where, amount(q, m));
	}
	head(q, b, m);
	buf_fmt(b, "    COUNT(%s) AS n_%s", v, m->name);
	if (!has_v(m))
		return;
	if (m->once >= 0)
		v = sx_fmt(q->x, "once_%s", m->name);
	buf_fmt(b, ",\n    %s(%s) AS v_%s",
	    m->agg == AGG_MAX                        ? "MAX"
	    : m->agg == AGG_MIN || m->agg == AGG_ONE ? "MIN"
						     : "SUM",
	    v, m->name);
}

/* What a group shows of it: a column of the alias. */
static const char *
shown(struct sql *q, const struct dict_metric *m, const char *alias)
{
	if (!has_v(m))
		return sx_fmt(q->x, "CAST(COALESCE(%s.n_%s, 0) AS BIGNUMERIC)",
		    alias, m->name);
	if (m->agg == AGG_ONE)
		return sx_fmt(q->x, "CASE WHEN %s.n_%s = 1 THEN %s.v_%s END",
		    alias, m->name, alias, m->name);
	if (m->agg == AGG_MIN || m->agg == AGG_MAX)
		return sx_fmt(q->x, "%s.v_%s", alias, m->name);
	return sx_fmt(q->x, "COALESCE(%s.v_%s, 0)", alias, m->name);
}

/* As a part of a ratio: 0 where there is none. */
static const char *
part(struct sql *q, const struct dict_metric *m, const char *alias)
{
	return has_v(m) ? sx_fmt(q->x, "COALESCE(%s.v_%s, 0)", alias, m->name)
			: shown(q, m, alias);
}

static const char *
count_of(struct sql *q, const struct dict_metric *m, const char *alias)
{
	return sx_fmt(
	    q->x, "CAST(COALESCE(%s.n_%s, 0) AS BIGNUMERIC)", alias, m->name);
}

/* --- rows: of groups (g), and of groups by currency (b, with sums s) --- */

struct row {
	const struct dict_metric *m;
	const char *segment; /* of a step of a funnel; "" */
	const char *show;    /* condition */
	const char *value;   /* or, where NULL: */
	const char *num, *den;
	const char *unit; /* SQL */
};

static void
power(char *text, size_t room, int places, bool minus)
{
	if (places == 0)
		snprintf(text, room, "1");
	else if (minus)
		snprintf(text, room, "0.%0*d", places, 1);
	else
		snprintf(text, room, "1%0*d", places, 0);
}

static void
column(struct buf *b, size_t id, const char *sql)
{
	buf_fmt(b, "\n      WHEN %zu THEN %s", id, sql);
}

static void
add_row(struct sql *q, struct rows *to, const struct row *r)
{
	char up[24], down[24];
	size_t id = ++to->n;

	buf_fmt(&to->list,
	    "%s    SELECT %zu AS id, '%s' AS metric, %s AS step_name",
	    id == 1 ? "" : "\n    UNION ALL\n", id, r->m->name,
	    *r->segment == '\0' ? "''" : r->segment);
	column(&to->show, id, r->show);
	column(&to->unit, id, r->unit);
	if (r->value != NULL) {
		column(&to->value, id, r->value);
		return;
	}
	power(up, sizeof up, r->m->places, false);
	power(down, sizeof down, r->m->places, true);
	column(&to->num, id, r->num);
	column(&to->den, id, r->den);
	column(&to->scale, id, sx_fmt(q->x, "BIGNUMERIC '%s'", up));
	column(&to->step, id, sx_fmt(q->x, "BIGNUMERIC '%s'", down));
}

/* split IN (…) of the metric's segments; "FALSE" where it has none. */
static const char *
of_splits(
    struct sql *q, const struct dict_metric *m, const char *alias, bool total)
{
	const char *s = total ? "''" : "";

	for (int i = 0; i < m->nsegments; i++)
		s = sx_fmt(q->x, "%s%s'%s'", s, *s == '\0' ? "" : ", ",
		    q->d->segment[m->segment[i]].name);
	return *s == '\0' ? "FALSE"
			  : sx_fmt(q->x, "%s.split IN (%s)", alias, s);
}

/* The total always, a segment where something was counted. */
static const char *
show_if(struct sql *q, const struct dict_metric *m, const char *counted)
{
	if (!m->total)
		return sx_fmt(
		    q->x, "%s AND %s", of_splits(q, m, "g", false), counted);
	if (m->nsegments == 0)
		return "g.split = ''";
	return sx_fmt(q->x, "g.split = '' OR %s AND %s",
	    of_splits(q, m, "g", false), counted);
}

/* A metric whose unit is one text. */
static void
plain_row(struct sql *q, const struct dict_metric *m)
{
	struct row r = {.m = m, .segment = ""};

	r.unit = sql_text(q, dict_unit(m));
	r.show = show_if(q, m, sx_fmt(q->x, "g.n_%s > 0", m->name));
	if (m->agg == AGG_AVG) {
		r.num = part(q, m, "g");
		r.den = count_of(q, m, "g");
	} else {
		r.value = shown(q, m, "g");
	}
	add_row(q, &q->of_groups, &r);
}

static const char *
units(struct sql *q, const struct dict_metric *m, const char *alias)
{
	return sx_fmt(q->x, "COALESCE(%s.units_%s, 0)", alias, m->name);
}

/* NULL where amounts are of several currencies. */
static const char *
unless_mixed(struct sql *q, const char *count, const char *sql)
{
	return sx_fmt(
	    q->x, "CASE WHEN %s > 1 THEN NULL ELSE %s END", count, sql);
}

/* Amounts by currency: none or one of them, or "mixed"; and each of several
 * by itself. */
static void
money_rows(struct sql *q, const struct dict_metric *m, struct rows *by)
{
	const char *n = units(q, m, "g");
	struct row r = {.m = m, .segment = ""};

	r.show = show_if(q, m, sx_fmt(q->x, "%s = 1", n));
	r.unit = sx_fmt(q->x,
	    "CASE WHEN %s > 1 THEN 'mixed' ELSE COALESCE(g.unit_%s, %s) END", n,
	    m->name, sql_currency(q, "g"));
	if (m->agg == AGG_AVG) {
		r.num = unless_mixed(q, n, part(q, m, "g"));
		r.den = unless_mixed(q, n, count_of(q, m, "g"));
	} else {
		r.value = unless_mixed(q, n, shown(q, m, "g"));
	}
	add_row(q, &q->of_groups, &r);

	r = (struct row){.m = m, .segment = "", .unit = "b.unit"};
	r.show = sx_fmt(q->x, "s.units_%s > 1 AND b.n_%s > 0 AND %s", m->name,
	    m->name, of_splits(q, m, "b", m->total));
	if (m->agg == AGG_AVG) {
		r.num = part(q, m, "b");
		r.den = count_of(q, m, "b");
	} else {
		r.value = shown(q, m, "b");
	}
	add_row(q, by, &r);
}

/* --- ratios --- */

static void
count_ratio(struct sql *q, const struct dict_metric *m,
    const struct dict_metric *num, const struct dict_metric *den)
{
	struct row r = {.m = m, .segment = ""};

	r.show = show_if(q, m,
	    sx_fmt(q->x, "(g.n_%s > 0 OR g.n_%s > 0)", num->name, den->name));
	r.num = part(q, num, "g");
	r.den = part(q, den, "g");
	r.unit = sql_text(q, dict_unit(m));
	add_row(q, &q->of_groups, &r);
}

/* Money by counts: den is all records, or by currency where there are
 * several. */
static void
money_ratio(struct sql *q, const struct dict_metric *m,
    const struct dict_metric *num, const struct dict_metric *den,
    struct rows *by)
{
	const char *n = units(q, num, "g"), *text = sql_text(q, dict_unit(m));
	bool money = m->unit_text == NULL;
	struct row r = {.m = m, .segment = ""};

	r.show = show_if(q, m,
	    sx_fmt(
		q->x, "%s <= 1 AND (%s = 1 OR g.n_%s > 0)", n, n, den->name));
	r.num = unless_mixed(q, n, part(q, num, "g"));
	r.den = unless_mixed(q, n, part(q, den, "g"));
	r.unit = money ? sx_fmt(q->x, "COALESCE(g.unit_%s, %s)", num->name,
			     sql_currency(q, "g"))
		       : text;
	r.unit = sx_fmt(
	    q->x, "CASE WHEN %s > 1 THEN 'mixed' ELSE %s END", n, r.unit);
	add_row(q, &q->of_groups, &r);

	r = (struct row){.m = m, .segment = ""};
	r.show = sx_fmt(q->x, "s.units_%s > 1 AND b.n_%s > 0 AND %s", num->name,
	    num->name, of_splits(q, m, "b", m->total));
	r.num = part(q, num, "b");
	r.den = part(q, den, "b");
	r.unit = money ? "b.unit" : text;
	add_row(q, by, &r);
}

/* Money by money: each currency by itself, of the side that has more. */
static void
currency_ratio(struct sql *q, const struct dict_metric *m,
    const struct dict_metric *num, const struct dict_metric *den,
    struct rows *by)
{
	const char *cn = units(q, num, "g"), *cd = units(q, den, "g");
	const char *text = sql_text(q, dict_unit(m));
	const char *many = sx_fmt(q->x, "(%s > 1 OR %s > 1)", cn, cd);
	const char *same = sx_fmt(q->x, "(%s = 0 OR g.unit_%s = g.unit_%s)", cn,
	    num->name, den->name);
	struct row r = {.m = m, .segment = ""};

	r.show = show_if(
	    q, m, sx_fmt(q->x, "NOT %s AND (%s = 1 OR %s = 1)", many, cn, cd));
	r.num = sx_fmt(q->x, "CASE WHEN %s THEN NULL ELSE %s END", many,
	    part(q, num, "g"));
	r.den = sx_fmt(q->x,
	    "CASE WHEN %s THEN NULL WHEN %s THEN %s ELSE BIGNUMERIC '0' END",
	    many, same, part(q, den, "g"));
	r.unit =
	    sx_fmt(q->x, "CASE WHEN %s THEN 'mixed' ELSE %s END", many, text);
	add_row(q, &q->of_groups, &r);

	r = (struct row){.m = m, .segment = ""};
	r.show = sx_fmt(q->x,
	    "(s.units_%s > 1 OR s.units_%s > 1) AND %s AND\n"
	    "        CASE WHEN s.units_%s < s.units_%s THEN b.n_%s > 0 ELSE "
	    "b.n_%s > 0 END",
	    num->name, den->name, of_splits(q, m, "b", m->total), num->name,
	    den->name, den->name, num->name);
	r.num = part(q, num, "b");
	r.den = part(q, den, "b");
	r.unit = text;
	add_row(q, by, &r);
}

/* --- funnels --- */

/* Each event with the steps that it is: b0, b1, ..., and both its time and
 * place among the user's. */
static void
funnel_events(struct sql *q, const struct dict_metric *m, struct buf *b)
{
	const char *any = "", *steps = "", *where = metric_filter(q, m);

	buf_fmt(b, "  SELECT " KEY ", %s AS who, %s AS us",
	    key_text(q, m, m->key, "key"), time_us(q));
	for (int s = 0; s < m->nsteps; s++) {
		const struct dict_step *st = &m->step[s];
		const struct node *at = node_get(m->node, "steps")->child;
		const char *is = "";

		for (int i = 0; i < s; i++)
			at = at->next;
		if (st->event.given)
			is = event_filter(q, &st->event);
		if (st->where >= 0)
			is = and_where(q, is,
			    sql_fact(q, node_get(at, "where"), st->where, 'w'));
		any = sx_fmt(q->x, "%s%s(%s)", any, s == 0 ? "" : " OR ", is);
		steps = sx_fmt(q->x, "%s%s%d * b%d", steps, s == 0 ? "" : " + ",
		    1 << s, s);
		buf_fmt(
		    b, ",\n    CASE WHEN %s THEN 1 ELSE 0 END AS b%d", is, s);
	}
	where = and_where(q, where, sx_fmt(q->x, "(%s)", any));
	buf_fmt(b, "\n  FROM hits WHERE split = '' AND %s\n", where);
	buf_fmt(&q->metrics, ",\nf_%s AS (\n%s)", m->name, buf_cstr(b));
	buf_reset(b);
	buf_str(b, "  SELECT " KEY ", who, us");
	for (int s = 1; s < m->nsteps; s++)
		buf_fmt(b, ", b%d", s);
	buf_fmt(b,
	    ",\n    ROW_NUMBER() OVER (PARTITION BY " KEY
	    ", who ORDER BY us, %s) AS nth,\n"
	    "    CASE WHEN b0 = 1 THEN us END AS start0\n"
	    "  FROM f_%s WHERE who IS NOT NULL AND us IS NOT NULL\n",
	    steps, m->name);
	buf_fmt(&q->metrics, ",\nf0_%s AS (\n%s)", m->name, buf_cstr(b));
	buf_reset(b);
}

/* A later start has more of its window left, so it is never worse: of the
 * chains that came to a step, the latest start before the event. */
static void
funnel_step(struct sql *q, const struct dict_metric *m, int s, struct buf *b)
{
	const char *keep = "";

	for (int i = s + 1; i < m->nsteps; i++)
		keep = sx_fmt(q->x, "%s, b%d", keep, i);
	for (int i = 0; i < s; i++)
		keep = sx_fmt(q->x, "%s, start%d", keep, i);
	buf_fmt(b,
	    "  SELECT " KEY ", who, us, nth%s,\n"
	    "    CASE WHEN b%d = 1 AND us - before <= %lld THEN before END AS "
	    "start%d\n"
	    "  FROM (SELECT " KEY ", who, us, nth%s, b%d,\n"
	    "    MAX(start%d) OVER (PARTITION BY " KEY ", who ORDER BY nth\n"
	    "      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS "
	    "before\n  FROM f%d_%s) AS e\n",
	    keep, s, (long long)m->window_us, s, keep, s, s - 1, s - 1,
	    m->name);
	buf_fmt(&q->metrics, ",\nf%d_%s AS (\n%s)", s, m->name, buf_cstr(b));
	buf_reset(b);
}

static void
funnel_rows(struct sql *q, const struct dict_metric *m)
{
	for (int s = -1; s < m->nsteps; s++) {
		int num = s < 0 ? m->nsteps - 1 : s;
		int den = s <= 0 ? 0 : s - 1;
		struct row r = {.m = m, .segment = "", .show = "g.split = ''"};

		if (s >= 0)
			r.segment = sx_fmt(q->x, "'step=%0*d.%s'",
			    m->nsteps > 9 ? 2 : 1, s + 1, m->step[s].name);
		r.num = sx_fmt(q->x,
		    "CAST(COALESCE(g.users%d_%s, 0) AS BIGNUMERIC)", num,
		    m->name);
		r.den = sx_fmt(q->x,
		    "CAST(COALESCE(g.users%d_%s, 0) AS BIGNUMERIC)", den,
		    m->name);
		r.unit = sql_text(q, dict_unit(m));
		add_row(q, &q->of_groups, &r);
	}
}

static void
funnel(struct sql *q, const struct dict_metric *m)
{
	struct buf b = BUF_INIT((size_t)1 << 20);

	if (!m->total)
		return;
	funnel_events(q, m, &b);
	for (int s = 1; s < m->nsteps; s++)
		funnel_step(q, m, s, &b);
	buf_fmt(&q->metrics, ",\nm_%s AS (\n  SELECT " KEY, m->name);
	for (int s = 0; s < m->nsteps; s++) {
		buf_fmt(&q->metrics,
		    ",\n    COUNT(DISTINCT CASE WHEN start%d IS NOT NULL THEN "
		    "who END) AS users%d_%s",
		    s, s, m->name);
		buf_fmt(
		    &q->joined, ",\n    m_%s.users%d_%s", m->name, s, m->name);
	}
	buf_fmt(&q->metrics, "\n  FROM f%d_%s GROUP BY " KEY "\n)",
	    m->nsteps - 1, m->name);
	buf_fmt(&q->joins,
	    "  LEFT JOIN m_%s ON m_%s.date = c.date AND m_%s.app_id = "
	    "c.app_id\n    AND m_%s.platform = c.platform AND c.split = ''\n",
	    m->name, m->name, m->name, m->name);
	funnel_rows(q, m);
	buf_release(&b);
}

/* --- all --- */

static bool
is_counted(const struct sql *q, const struct dict_metric *m)
{
	return metric_of_feed(q->d, m, q->o->property) && m->agg != AGG_RATIO &&
	       m->agg != AGG_FUNNEL && m->agg != AGG_APPROX;
}

/* Groups by currency, of all metrics that take it from this expression:
 * currency_N, and what a group has of them: sums_N. */
static void
by_currency(struct sql *q, int unit, struct rows *by)
{
	struct buf b = BUF_INIT((size_t)1 << 20),
		   sums = BUF_INIT((size_t)1 << 20);
	const struct dict *d = q->d;
	bool any = false;

	for (int i = 0; i < d->nmetric; i++) {
		const struct dict_metric *m = &d->metric[i];

		if (!is_counted(q, m) || (m->unit != unit && m->split != unit))
			continue;
		any = true;
		if (m->unit < 0 && m->split == unit)
			unit_column(q, m, unit);
		put_aggregates(q, &b, m);
		if (m->unit != unit)
			continue;
		unit_column(q, m, unit);
		buf_fmt(&sums,
		    ",\n    COUNT(CASE WHEN n_%s > 0 THEN 1 END) AS units_%s,\n"
		    "    MIN(CASE WHEN n_%s > 0 THEN unit END) AS unit_%s,\n"
		    "    MIN(CASE WHEN n_%s > 0 THEN n_%s END) AS n_%s,\n"
		    "    MIN(CASE WHEN n_%s > 0 THEN v_%s END) AS v_%s",
		    m->name, m->name, m->name, m->name, m->name, m->name,
		    m->name, m->name, m->name, m->name);
		buf_fmt(&q->joined,
		    ",\n    s%d.units_%s, s%d.unit_%s, s%d.n_%s, s%d.v_%s",
		    unit + 1, m->name, unit + 1, m->name, unit + 1, m->name,
		    unit + 1, m->name);
		money_rows(q, m, by);
	}
	if (any) {
		buf_fmt(&q->metrics,
		    ",\ncurrency_%d AS (\n  SELECT " GROUP ", u%d AS unit%s\n"
		    "  FROM amounts GROUP BY " GROUP ", u%d\n),\n",
		    unit + 1, unit + 1, buf_cstr(&b), unit + 1);
		buf_fmt(&q->metrics,
		    "sums_%d AS (\n  SELECT " GROUP "%s\n  FROM currency_%d "
		    "GROUP BY " GROUP "\n)",
		    unit + 1, buf_cstr(&sums), unit + 1);
		buf_fmt(&q->joins,
		    "  LEFT JOIN sums_%d AS s%d ON s%d.date = c.date AND "
		    "s%d.app_id = c.app_id\n    AND s%d.platform = c.platform "
		    "AND s%d.segment = c.segment\n",
		    unit + 1, unit + 1, unit + 1, unit + 1, unit + 1, unit + 1);
	}
	buf_release(&b);
	buf_release(&sums);
}

/* Groups of all metrics without a currency: counted. */
static void
without_currency(struct sql *q)
{
	const struct dict *d = q->d;

	for (int i = 0; i < d->nmetric; i++) {
		const struct dict_metric *m = &d->metric[i];

		if (!is_counted(q, m))
			continue;
		if (m->once >= 0)
			once_column(q, m);
		if (m->unit >= 0)
			continue;
		put_aggregates(q, &q->counted, m);
		if (!m->sum_all || !d->all || d->no_platform)
			buf_fmt(&q->joined, ",\n    w.n_%s", m->name);
		else
			buf_fmt(&q->joined,
			    ",\n    CASE WHEN c.platform = 'all' THEN SUM(CASE "
			    "WHEN c.platform != 'all' THEN w.n_%s END)\n"
			    "      OVER (PARTITION BY c.date, c.app_id, "
			    "c.segment) ELSE w.n_%s END AS n_%s",
			    m->name, m->name, m->name);
		if (has_v(m))
			buf_fmt(&q->joined, ", w.v_%s", m->name);
		plain_row(q, m);
	}
}

static void
ratio(struct sql *q, const struct dict_metric *m, struct rows *by)
{
	const struct dict_metric *num = &q->d->metric[m->num];
	const struct dict_metric *den = &q->d->metric[m->den];

	if (den->unit >= 0)
		currency_ratio(q, m, num, den, &by[den->unit]);
	else if (num->unit >= 0)
		money_ratio(q, m, num, den, &by[num->unit]);
	else
		count_ratio(q, m, num, den);
}

void
sql_metrics(struct sql *q)
{
	const struct dict *d = q->d;

	without_currency(q);
	for (int e = 0; e < d->nexpr; e++)
		by_currency(q, e, &q->by_currency[e]);
	for (int i = 0; i < d->nmetric; i++) {
		const struct dict_metric *m = &d->metric[i];

		for (int s = 0; s < m->nsegments; s++)
			q->seg[m->segment[s]] = true;
		if (!metric_of_feed(d, m, q->o->property))
			continue;
		if (m->agg == AGG_APPROX)
			sql_wrong(q, node_get(m->node, "agg"),
			    "distinct~, a HyperLogLog of another kind");
		else if (m->agg == AGG_RATIO)
			ratio(q, m, q->by_currency);
		else if (m->agg == AGG_FUNNEL)
			funnel(q, m);
	}
}
