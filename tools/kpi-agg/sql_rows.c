/* The metrics: what each counts, and the rows that it has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "sql_impl.h"

#define KEY "date, app_id, platform"
#define SAME(a, b)                                                    \
	a ".date = " b ".date AND " a ".app_id = " b ".app_id AND " a \
	  ".platform = " b ".platform"
#define NUL "CAST(NULL AS BIGNUMERIC)"

/* --- what counts --- */

static const char *
member(const struct sql *q, const struct dict_metric *m, const char *name,
    const struct node **at)
{
	(void)q;
	*at = node_get(m->node, name);
	if (*at == NULL)
		*at = m->node;
	return name;
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
	const struct node *at;
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
	member(q, m, "where", &at);
	if (m->where >= 0)
		w = and_where(q, w, sql_fact(q, at, m->where, 'w'));
	return w;
}

/* The parts of a key as one text, NULL where one of them is. */
static const char *
key_text(struct sql *q, const struct dict_metric *m, int key, const char *name)
{
	const struct dict_key *k = &q->d->key[key];
	const struct node *at;
	const char *text = "", *gone = "";

	member(q, m, name, &at);
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
	const struct node *at, *at2;
	const char *v, *t;

	member(q, m, "value", &at);
	v = sql_fact(q, at, m->value, 'n');
	for (size_t i = 0; i < m->missing.n; i++)
		if (digits(m->missing.v[i]))
			sql_wrong(q, node_get(m->node, "missing"),
			    "digits that stand for no value");
	if (m->abs_value)
		v = sx_fmt(q->x, "ABS(%s)", v);
	if (m->times < 0)
		return v;
	member(q, m, "times", &at2);
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
	const struct node *at;

	member(q, m, "unit", &at);
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

/* --- m_NAME: date, app_id, platform, split, segment, [unit,] n, v --- */

struct group {
	const char *split, *segment; /* literals or SQL of the columns */
	const char *by;              /* more columns to group by: ", s_x" */
};

static struct group
total_group(void)
{
	return (struct group){"''", "''", ""};
}

static struct group
segment_group(struct sql *q, int s)
{
	const char *name = q->d->segment[s].name;

	q->seg[s] = true;
	return (struct group){sx_fmt(q->x, "'%s'", name),
	    sx_fmt(q->x, "'%s=' || s_%s", name, name),
	    sx_fmt(q->x, ", s_%s", name)};
}

/* n and v of a metric that is no ratio, funnel. */
static const char *
counted(struct sql *q, const struct dict_metric *m)
{
	const char *v;

	switch (m->agg) {
	case AGG_COUNT:
		return "COUNT(*) AS n, CAST(COUNT(*) AS BIGNUMERIC) AS v";
	case AGG_DISTINCT:
		v = sx_fmt(
		    q->x, "COUNT(DISTINCT %s)", key_text(q, m, m->key, "key"));
		return sx_fmt(
		    q->x, "%s AS n, CAST(%s AS BIGNUMERIC) AS v", v, v);
	case AGG_MAX:
		v = amount(q, m);
		return sx_fmt(q->x, "COUNT(%s) AS n, MAX(%s) AS v", v, v);
	case AGG_MIN:
	case AGG_ONE: /* shown only where it is the only one */
		v = amount(q, m);
		return sx_fmt(q->x, "COUNT(%s) AS n, MIN(%s) AS v", v, v);
	default:
		v = amount(q, m);
		return sx_fmt(q->x, "COUNT(%s) AS n, SUM(%s) AS v", v, v);
	}
}

/* The rows that count, of each key the earliest (the least of several). */
static const char *
from_once(struct sql *q, const struct dict_metric *m, const struct group *g,
    const char *unit, const char *where)
{
	const char *k = key_text(q, m, m->once, "once"), *v = amount(q, m);

	return sx_fmt(q->x,
	    "(\n    SELECT " KEY "%s%s%s, %s AS val, %s AS who,\n"
	    "      ROW_NUMBER() OVER (PARTITION BY " KEY "%s%s%s, %s "
	    "ORDER BY COALESCE(%s, 0), %s) AS nth\n"
	    "    FROM hits WHERE %s) AS e",
	    g->by, *unit == '\0' ? "" : ", ", unit, v, k, g->by,
	    *unit == '\0' ? "" : ", ", unit, k, time_us(q), v,
	    and_where(q, where, sx_fmt(q->x, "%s IS NOT NULL", v)));
}

static void
group_select(struct sql *q, struct buf *b, const struct dict_metric *m,
    const struct group *g, const char *unit)
{
	const char *where = metric_filter(q, m), *from = "hits";
	const char *what = counted(q, m);
	bool units = *unit != '\0';

	if (m->once >= 0) {
		from = from_once(q, m, g, unit, where);
		where = "";
		what = "COUNT(*) AS n, SUM(CASE WHEN who IS NULL OR nth = 1 "
		       "THEN val END) AS v";
	}
	buf_fmt(b, "%s  SELECT " KEY ", %s AS split, %s AS segment",
	    b->len > 0 ? "  UNION ALL\n" : "", g->split, g->segment);
	if (units)
		buf_fmt(b, ", %s AS unit", unit);
	buf_fmt(b, ",\n    %s\n  FROM %s\n", what, from);
	if (m->sum_all && m->once < 0)
		where = and_where(q, where, "platform != 'all'");
	if (*where != '\0')
		buf_fmt(b, "  WHERE %s\n", where);
	buf_fmt(
	    b, "  GROUP BY " KEY "%s%s%s\n", g->by, units ? ", " : "", unit);
}

static void
put_cte(struct sql *q, const char *name, struct buf *body)
{
	buf_fmt(&q->metrics, "%s AS (\n%s)", name, buf_cstr(body));
}

/* All groups of the metric, by unit or without. */
static void
metric_cte(
    struct sql *q, const struct dict_metric *m, const char *name, int unit)
{
	struct buf b = BUF_INIT((size_t)1 << 20);
	const char *u = unit < 0 ? "" : unit_column(q, m, unit);
	struct group g = total_group();

	if (m->total)
		group_select(q, &b, m, &g, u);
	for (int i = 0; i < m->nsegments; i++) {
		g = segment_group(q, m->segment[i]);
		group_select(q, &b, m, &g, u);
	}
	if (!m->sum_all) {
		put_cte(q, name, &b);
	} else {
		buf_fmt(&q->metrics,
		    "p%s AS (\n%s),\n%s AS (\n  SELECT * FROM p%s\n"
		    "  UNION ALL\n  SELECT date, app_id, 'all' AS platform, "
		    "split, segment%s,\n    SUM(n) AS n, SUM(v) AS v\n"
		    "  FROM p%s\n  GROUP BY date, app_id, split, segment%s\n)",
		    name, buf_cstr(&b), name, name, unit < 0 ? "" : ", unit",
		    name, unit < 0 ? "" : ", unit");
	}
	buf_release(&b);
}

/* --- rows --- */

static const char *
plain_unit(const struct dict_metric *m)
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

/* Begins a SELECT of plain or fractions. */
static struct buf *
rows_of(struct sql *q, bool fraction)
{
	struct buf *b = fraction ? &q->fractions : &q->plain;

	if (b->len > 0)
		buf_str(b, "  UNION ALL\n");
	return b;
}

static void
power(char *text, int places, bool minus)
{
	if (minus && places > 0)
		sprintf(text, "0.%0*d", places, 1);
	else
		sprintf(text, "1%0*d", places, 0);
	if (places == 0)
		strcpy(text, "1");
}

/* num and den as SQL; FROM and WHERE follow. */
static struct buf *
fraction(struct sql *q, const struct dict_metric *m, const char *alias,
    const char *segment, const char *num, const char *den, const char *unit)
{
	struct buf *b = rows_of(q, true);
	char up[24], down[24];

	power(up, m->places, false);
	power(down, m->places, true);
	buf_fmt(b,
	    "  SELECT %s.date, %s.app_id, %s.platform, '%s' AS metric, %s AS "
	    "segment,\n    %s AS num, %s AS den, BIGNUMERIC '%s' AS scale, "
	    "BIGNUMERIC '%s' AS step, %s AS unit\n",
	    alias, alias, alias, m->name, segment, num, den, up, down, unit);
	return b;
}

static struct buf *
plain(struct sql *q, const struct dict_metric *m, const char *alias,
    const char *segment, const char *value, const char *unit)
{
	struct buf *b = rows_of(q, false);

	buf_fmt(b,
	    "  SELECT %s.date, %s.app_id, %s.platform, '%s' AS metric, %s AS "
	    "segment,\n    %s AS value, " NUL " AS num, " NUL
	    " AS den, %s AS unit\n",
	    alias, alias, alias, m->name, segment, value, unit);
	return b;
}

/* One row of a group with n and v, or of a cell without (has false). */
static void
value_row(struct sql *q, const struct dict_metric *m, const char *alias,
    const char *segment, bool has, const char *unit, const char *from)
{
	struct buf *b;

	if (m->agg == AGG_AVG) {
		b = fraction(q, m, alias, segment,
		    has ? "COALESCE(m.v, 0)" : "BIGNUMERIC '0'",
		    has ? "CAST(COALESCE(m.n, 0) AS BIGNUMERIC)"
			: "BIGNUMERIC '0'",
		    unit);
	} else {
		const char *v = m->agg == AGG_ONE
				    ? "CASE WHEN m.n = 1 THEN m.v END"
				: m->agg == AGG_MIN || m->agg == AGG_MAX
				    ? "m.v"
				    : "COALESCE(m.v, 0)";

		if (!has)
			v = *v == 'C' && v[1] == 'O' ? "BIGNUMERIC '0'" : NUL;
		b = plain(q, m, alias, segment, v, unit);
	}
	buf_str(b, from);
}

static const char *
segment_rows(struct sql *q, const char *name)
{
	return sx_fmt(
	    q->x, "  FROM m_%s AS m WHERE m.split != '' AND m.n > 0\n", name);
}

/* A metric whose unit is one text. */
static void
plain_rows(struct sql *q, const struct dict_metric *m)
{
	const char *unit = sql_text(q, plain_unit(m));

	if (m->total)
		value_row(q, m, "c", "''", true, unit,
		    sx_fmt(q->x,
			"  FROM cells AS c LEFT JOIN m_%s AS m\n"
			"    ON " SAME("m", "c") " AND m.split = ''\n",
			m->name));
	if (m->nsegments > 0)
		value_row(q, m, "m", "m.segment", true, unit,
		    segment_rows(q, m->name));
}

/* How many units, and one of them, by group: u_NAME. */
static void
units_cte(struct sql *q, const struct dict_metric *m)
{
	buf_fmt(&q->metrics,
	    ",\nu_%s AS (\n  SELECT " KEY
	    ", split, segment, COUNT(*) AS units, MIN(unit) AS unit\n"
	    "  FROM m_%s WHERE n > 0 GROUP BY " KEY ", split, segment\n)",
	    m->name, m->name);
}

#define WITH_CURRENCY                                                        \
	"CASE WHEN u.units = 1 THEN m.segment ELSE m.segment ||\n"           \
	"      CASE WHEN m.segment = '' THEN 'currency=' ELSE ',currency=' " \
	"END || m.unit END"

/* Amounts by currency: one, several, or none. */
static void
money_rows(struct sql *q, const struct dict_metric *m)
{
	const char *n = m->name;

	value_row(q, m, "m", WITH_CURRENCY, true, "m.unit",
	    sx_fmt(q->x,
		"  FROM m_%s AS m JOIN u_%s AS u\n    ON " SAME(
		    "u", "m") " AND u.segment = m.segment\n  WHERE m.n > 0\n",
		n, n));
	if (!m->total)
		return;
	value_row(q, m, "c", "''", false, sql_currency(q, "c"),
	    sx_fmt(q->x,
		"  FROM cells AS c LEFT JOIN u_%s AS u\n    ON " SAME(
		    "u", "c") " AND u.split = ''\n  WHERE u.units IS NULL\n",
		n));
	buf_fmt(plain(q, m, "u", "''", NUL, "'mixed'"),
	    "  FROM u_%s AS u WHERE u.split = '' AND u.units > 1\n", n);
}

/* --- ratios --- */

/* The groups that a ratio has rows for, as g. */
static const char *
ratio_groups(struct sql *q, const struct dict_metric *m)
{
	const char *num = q->d->metric[m->num].name;
	const char *den = q->d->metric[m->den].name;
	const char *splits = "", *s = "";

	if (m->total)
		s = "    SELECT " KEY
		    ", '' AS split, '' AS segment FROM cells\n";
	for (int i = 0; i < m->nsegments; i++)
		splits = sx_fmt(q->x, "%s%s'%s'", splits, i == 0 ? "" : ", ",
		    q->d->segment[m->segment[i]].name);
	if (m->nsegments > 0)
		s = sx_fmt(q->x,
		    "%s%s    SELECT " KEY
		    ", split, segment FROM m_%s WHERE n > 0 AND split IN (%s)\n"
		    "    UNION DISTINCT\n"
		    "    SELECT " KEY
		    ", split, segment FROM m_%s WHERE n > 0 AND split IN "
		    "(%s)\n",
		    s, *s == '\0' ? "" : "    UNION DISTINCT\n", num, splits,
		    den, splits);
	return sx_fmt(q->x, "(\n%s  ) AS g", s);
}

#define GROUP(a) SAME(a, "g") " AND " a ".segment = g.segment"

static void
count_ratio(struct sql *q, const struct dict_metric *m)
{
	buf_fmt(fraction(q, m, "g", "g.segment", "COALESCE(a.v, 0)",
		    "COALESCE(b.v, 0)", sql_text(q, plain_unit(m))),
	    "  FROM %s\n  LEFT JOIN m_%s AS a ON " GROUP(
		"a") "\n"
		     "  LEFT JOIN m_%s AS b ON " GROUP("b") "\n",
	    ratio_groups(q, m), q->d->metric[m->num].name,
	    q->d->metric[m->den].name);
}

static void
mixed_ratio(struct sql *q, const struct dict_metric *m, const char *from)
{
	if (m->total)
		buf_fmt(plain(q, m, "u", "''", NUL, "'mixed'"),
		    "  FROM %s WHERE u.split = '' AND u.units > 1\n", from);
}

/* Money by counts: den is all records, or by currency where there are
 * several. */
static void
money_ratio(struct sql *q, const struct dict_metric *m)
{
	const char *num = q->d->metric[m->num].name;
	const char *den = q->d->metric[m->den].name;
	bool money = m->unit_text == NULL;
	const char *unit =
	    money ? sx_fmt(q->x, "COALESCE(a.unit, %s)", sql_currency(q, "g"))
		  : sql_text(q, plain_unit(m));

	buf_fmt(fraction(q, m, "g", "g.segment", "COALESCE(a.v, 0)",
		    "COALESCE(b.v, 0)", unit),
	    "  FROM %s\n  LEFT JOIN u_%s AS u ON " GROUP(
		"u") "\n"
		     "  LEFT JOIN m_%s AS a ON " GROUP(
			 "a") " AND a.n > 0\n"
			      "  LEFT JOIN m_%s AS b ON " GROUP(
				  "b") "\n"
				       "  WHERE COALESCE(u.units, 0) <= 1\n",
	    ratio_groups(q, m), num, num, den);
	mixed_ratio(q, m, sx_fmt(q->x, "u_%s AS u", num));
	buf_fmt(fraction(q, m, "m", WITH_CURRENCY, "m.v", "COALESCE(b.v, 0)",
		    money ? "m.unit" : unit),
	    "  FROM %s\n  JOIN u_%s AS u ON " GROUP(
		"u") " AND u.units > 1\n"
		     "  JOIN m_%s AS m ON " GROUP(
			 "m") " AND m.n > 0\n"
			      "  LEFT JOIN s_%s AS b ON " GROUP(
				  "b") " AND b.unit = m.unit\n",
	    ratio_groups(q, m), num, num, den);
}

/* Money by money: each currency by itself, of the side that has more. */
static void
currency_ratio(struct sql *q, const struct dict_metric *m)
{
	const char *num = q->d->metric[m->num].name;
	const char *den = q->d->metric[m->den].name;
	const char *unit = sql_text(q, plain_unit(m));
	const char *name = sx_fmt(q->x, "r_%s", m->name);

	/* g and how many units each side has */
	buf_fmt(&q->metrics,
	    ",\n%s AS (\n  SELECT g.date, g.app_id, g.platform, g.split, "
	    "g.segment,\n    COALESCE(a.units, 0) AS nums, COALESCE(b.units, "
	    "0) AS dens,\n    CASE WHEN COALESCE(a.units, 0) < "
	    "COALESCE(b.units, 0) THEN b.units ELSE COALESCE(a.units, 0) END "
	    "AS units\n  FROM %s\n  LEFT JOIN u_%s AS a ON " GROUP(
		"a") "\n"
		     "  LEFT JOIN u_%s AS b ON " GROUP("b") "\n)",
	    name, ratio_groups(q, m), num, den);
	mixed_ratio(q, m, sx_fmt(q->x, "%s AS u", name));
	buf_fmt(fraction(q, m, "u", "u.segment", "BIGNUMERIC '0'",
		    "BIGNUMERIC '0'", unit),
	    "  FROM %s AS u WHERE u.units = 0\n", name);
	buf_fmt(
	    fraction(q, m, "m", WITH_CURRENCY, "m.v", "COALESCE(b.v, 0)", unit),
	    "  FROM %s AS u JOIN m_%s AS m\n    ON " SAME(
		"m", "u") " AND m.segment = u.segment AND m.n > 0\n"
			  "  LEFT JOIN m_%s AS b\n    ON " SAME(
			      "b", "m") " AND b.segment = m.segment AND b.unit "
					"= m.unit AND b.n > "
					"0\n  WHERE u.nums >= u.dens\n",
	    name, num, den);
	buf_fmt(
	    fraction(q, m, "m", WITH_CURRENCY, "COALESCE(a.v, 0)", "m.v", unit),
	    "  FROM %s AS u JOIN m_%s AS m\n    ON " SAME(
		"m", "u") " AND m.segment = u.segment AND m.n > 0\n"
			  "  LEFT JOIN m_%s AS a\n    ON " SAME(
			      "a", "m") " AND a.segment = m.segment AND a.unit "
					"= m.unit AND a.n > "
					"0\n  WHERE u.nums < u.dens\n",
	    name, den, num);
}

static void
ratio_rows(struct sql *q, const struct dict_metric *m)
{
	const struct dict_metric *num = &q->d->metric[m->num];
	const struct dict_metric *den = &q->d->metric[m->den];

	if (den->unit >= 0)
		currency_ratio(q, m);
	else if (num->unit >= 0)
		money_ratio(q, m);
	else
		count_ratio(q, m);
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
	buf_fmt(b, "\n  FROM hits WHERE %s\n", where);
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
	const char *unit = sql_text(q, plain_unit(m));
	const char *from = sx_fmt(q->x,
	    "  FROM cells AS c LEFT JOIN m_%s AS m ON " SAME("m", "c") "\n",
	    m->name);

	for (int s = -1; s < m->nsteps; s++) {
		int num = s < 0 ? m->nsteps - 1 : s;
		int den = s <= 0 ? 0 : s - 1;
		const char *seg =
		    s < 0 ? "''"
			  : sx_fmt(q->x, "'step=%0*d.%s'",
				m->nsteps > 9 ? 2 : 1, s + 1, m->step[s].name);

		buf_str(fraction(q, m, "c", seg,
			    sx_fmt(q->x,
				"CAST(COALESCE(m.r%d, 0) AS BIGNUMERIC)", num),
			    sx_fmt(q->x,
				"CAST(COALESCE(m.r%d, 0) AS BIGNUMERIC)", den),
			    unit),
		    from);
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
	for (int s = 0; s < m->nsteps; s++)
		buf_fmt(&q->metrics,
		    ",\n    COUNT(DISTINCT CASE WHEN start%d IS NOT NULL THEN "
		    "who END) AS r%d",
		    s, s);
	buf_fmt(&q->metrics, "\n  FROM f%d_%s GROUP BY " KEY "\n)",
	    m->nsteps - 1, m->name);
	funnel_rows(q, m);
	buf_release(&b);
}

/* --- all --- */

static void
head(struct sql *q, const struct dict_metric *m)
{
	bool bad = false;
	const char *text =
	    conf_str(q->d->conf, m->node, "description", "", &bad);

	buf_str(&q->metrics, ",\n");
	sql_comment(&q->metrics, "",
	    sx_fmt(q->x, "%s%s%s", m->name, *text == '\0' ? "" : ": ", text));
}

static void
metric(struct sql *q, const struct dict_metric *m)
{
	if (m->agg == AGG_APPROX) {
		sql_wrong(q, node_get(m->node, "agg"),
		    "distinct~ (HyperLogLog of another kind)");
		return;
	}
	if (m->agg == AGG_RATIO) {
		ratio_rows(q, m);
		return;
	}
	if (m->agg == AGG_FUNNEL) {
		funnel(q, m);
		return;
	}
	head(q, m);
	metric_cte(q, m, sx_fmt(q->x, "m_%s", m->name), m->unit);
	if (m->split >= 0 && m->unit < 0) {
		buf_fmt(&q->metrics, ",\n");
		metric_cte(q, m, sx_fmt(q->x, "s_%s", m->name), m->split);
	}
	if (m->unit >= 0) {
		units_cte(q, m);
		money_rows(q, m);
	} else {
		plain_rows(q, m);
	}
}

void
sql_metrics(struct sql *q)
{
	for (int i = 0; i < q->d->nmetric; i++) {
		const struct dict_metric *m = &q->d->metric[i];

		if (metric_of_feed(q->d, m, q->o->property))
			metric(q, m);
	}
}
