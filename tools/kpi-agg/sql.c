/* The statement: from the tables to hits, and the frame around the metrics. */
#include "sql.h"

#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sql_impl.h"
#include "sql_schema.h"

#define STATEMENT_MAX ((size_t)1 << 20) /* of BigQuery */

/* --- small things --- */

void
sql_wrong(struct sql *q, const struct node *at, const char *why)
{
	conf_wrong(q->d->conf, at, "has no exact SQL: %s", why);
	q->bad = true;
}

void
sql_comment(struct buf *b, const char *before, const char *text)
{
	buf_str(b, before);
	buf_str(b, "-- ");
	for (; *text != '\0'; text++)
		buf_char(b,
		    (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text);
	buf_char(b, '\n');
}

const char *
sql_text(struct sql *q, const char *s)
{
	return sx_quote(q->x, s, strlen(s));
}

const char *
sql_names(struct sql *q, const struct dict_names *names)
{
	struct buf b = BUF_INIT(STATEMENT_MAX);
	const char *s;

	for (size_t i = 0; i < names->n; i++) {
		buf_str(&b, i == 0 ? "" : ", ");
		buf_str(&b, sql_text(q, names->v[i]));
	}
	s = sx_fmt(q->x, "%s", buf_cstr(&b));
	buf_release(&b);
	return s;
}

static const struct sx_node *
node_of(struct sql *q, const struct node *at, int expr)
{
	if (q->node[expr] == NULL)
		q->node[expr] = sx_compile(q->x, q->d->expr[expr].text);
	if (q->node[expr] == NULL)
		sql_wrong(q, at, sx_why(q->x));
	return q->node[expr];
}

static const char *
view_of(struct sx *x, const struct sx_node *n, char view)
{
	switch (view) {
	case 't':
		return sx_text(x, n);
	case 's':
		return sx_shown(x, n);
	case 'w':
		return sx_truth(x, n);
	case 'n':
		return sx_number(x, n);
	default:
		return sx_int64(x, n);
	}
}

const char *
sql_fact(struct sql *q, const struct node *at, int expr, char view)
{
	const struct sx_node *n = node_of(q, at, expr);
	const char *s = n == NULL ? NULL : view_of(q->x, n, view);
	char kind = view == 's' ? 't' : view;

	if (s == NULL || sx_why(q->x) != NULL) {
		if (n != NULL)
			sql_wrong(q, at, sx_why(q->x));
		q->node[expr] = NULL;
		return "NULL";
	}
	for (size_t i = 0; i < q->nfacts; i++)
		if (q->fact[i].expr == expr && q->fact[i].view == kind)
			return q->fact[i].name;
	if (strcmp(s, "NULL") == 0)
		s = sx_fmt(q->x, "CAST(NULL AS %s)",
		    kind == 't'   ? "STRING"
		    : kind == 'n' ? "BIGNUMERIC"
				  : "INT64");
	q->fact = xreallocarray(q->fact, q->nfacts + 1, sizeof *q->fact);
	q->fact[q->nfacts] =
	    (struct fact){expr, kind, sx_fmt(q->x, "%c%d", kind, expr + 1), s};
	return q->fact[q->nfacts++].name;
}

const char *
sql_currency(struct sql *q, const char *alias)
{
	struct buf b = BUF_INIT(STATEMENT_MAX);
	const char *s;

	for (size_t i = 0; i < q->apps->n; i++)
		if (q->apps->app[i].currency != NULL)
			buf_fmt(&b, " WHEN %s THEN %s",
			    sql_text(q, q->apps->app[i].id),
			    sql_text(q, q->apps->app[i].currency));
	s = b.len == 0 ? "'XXX'"
		       : sx_fmt(q->x, "CASE %s.app_id%s ELSE 'XXX' END", alias,
			     buf_cstr(&b));
	buf_release(&b);
	return s;
}

/* --- what makes two rows the same: event-id(1), profile ga4 --- */

static const char *
coded(struct sx *x, const char *sql)
{
	return sx_fmt(x,
	    "COALESCE(CAST(CHAR_LENGTH(%s) AS STRING) || ':' || %s, '-')", sql,
	    sql);
}

static const char *
coded_column(struct sx *x, const char *name, char type)
{
	const char *c = sx_column(x, name, type);

	if (c == NULL)
		return "'-'";
	c = sx_fmt(x, "s.%s", c);
	return coded(x, type == 'S' ? c : sx_fmt(x, "CAST(%s AS STRING)", c));
}

/* 's' or 'n' and the value, nothing where the slot is empty or NaN. */
static const char *
coded_slot(struct sx *x, const char *slot)
{
	const char *c = sx_fmt(x, "p.value.%s", slot);

	if (!sx_has(x, "event_params", sx_fmt(x, "value.%s", slot)))
		return "''";
	if (*slot == 's')
		return sx_fmt(x,
		    "COALESCE('s' || CAST(CHAR_LENGTH(%s) AS STRING) || ':' || "
		    "%s, '')",
		    c, c);
	/* ended by a comma, which no number has */
	c = *slot == 'i' ? sx_fmt(x, "CAST(%s AS STRING)", c)
			 : sx_float_same(x, c);
	return sx_fmt(x, "COALESCE('n' || %s || ',', '')", c);
}

static const char *
coded_params(struct sx *x)
{
	const char *c = sx_column(x, "event_params", 'A');
	const char *none;

	if (c == NULL)
		return "'0;'";
	sx_add_check(
	    x, "params_without_key > 0", "an event parameter has no key");
	none = "\n      COALESCE(NULLIF(";
	return sx_fmt(x,
	    "CAST((SELECT COUNT(*) FROM UNNEST(s.%s) AS p) AS STRING) || ';' "
	    "||\n"
	    "    COALESCE((SELECT STRING_AGG(q.param, ',' ORDER BY q.param) "
	    "FROM (SELECT\n"
	    "      %s ||%s%s ||\n      %s ||\n      %s ||\n      %s, ''), '-') "
	    "AS param\n"
	    "      FROM UNNEST(s.%s) AS p) AS q), '')",
	    c, coded(x, "p.key"), none, coded_slot(x, "string_value"),
	    coded_slot(x, "int_value"), coded_slot(x, "float_value"),
	    coded_slot(x, "double_value"), c);
}

static const char *
identity(struct sx *x)
{
	static const char *const numbers[] = {
	    "batch_page_id", "batch_ordering_id", "batch_event_index"};
	const char *s = sx_fmt(x, "%s || ',' ||\n    %s || ',' ||\n    %s",
	    coded_column(x, "stream_id", 'S'),
	    coded_column(x, "event_name", 'S'),
	    coded_column(x, "event_timestamp", 'I'));

	s = sx_fmt(x, "%s || ',' ||\n    %s", s,
	    coded_column(x, "user_pseudo_id", 'S'));
	for (size_t i = 0; i < 3; i++)
		s = sx_fmt(x, "%s || ',' ||\n    %s", s,
		    coded_column(x, numbers[i], 'I'));
	return sx_fmt(x, "%s || ',' ||\n    %s", s, coded_params(x));
}

/* --- the steps --- */

static bool
is_intraday(const struct sql_options *o, int32_t day)
{
	for (size_t i = 0; i < o->nintraday; i++)
		if (o->intraday[i] == day)
			return true;
	return false;
}

static void
put_days(struct sql *q, struct buf *b)
{
	char date[DATE_LEN + 1];

	for (int32_t day = q->o->since; day <= q->o->until; day++) {
		date_format(day, date);
		buf_fmt(b, "%s  SELECT DATE '%s' AS date, '%s' AS quality\n",
		    day == q->o->since ? "" : "  UNION ALL\n", date,
		    is_intraday(q->o, day) ? "partial" : "complete");
	}
}

static void
put_shards(struct sql *q, struct buf *b)
{
	const struct sx_column *c;
	char date[DATE_LEN + 1];

	for (int32_t day = q->o->since; day <= q->o->until; day++) {
		date_format(day, date);
		buf_fmt(b, "%s  SELECT DATE '%s' AS date",
		    day == q->o->since ? "" : "  UNION ALL\n", date);
		for (size_t i = 0; (c = sx_of_table(q->x, i)) != NULL; i++)
			buf_fmt(b, ",\n    %s AS %s", c->sql, c->name);
		buf_fmt(b, "\n  FROM `%s.%s.events_%s%.4s%.2s%.2s` AS t\n",
		    q->o->project, q->o->dataset,
		    is_intraday(q->o, day) ? "intraday_" : "", date, date + 5,
		    date + 8);
	}
}

/* Scalars are handed on, arrays are used up here. */
static void
put_leaves(struct sql *q, struct buf *b, const char *id)
{
	const struct sx_column *c;

	buf_str(b, "  SELECT s.date");
	for (size_t i = 0; (c = sx_of_table(q->x, i)) != NULL; i++)
		if (sx_column(q->x, c->sql + 2, 'A') == NULL)
			buf_fmt(b, ",\n    s.%s", c->name);
	for (size_t i = 0; (c = sx_of_keys(q->x, i)) != NULL; i++)
		buf_fmt(b, ",\n    %s AS %s", c->sql, c->name);
	if (sx_column(q->x, "event_params", 'A') != NULL)
		buf_fmt(b,
		    ",\n    (SELECT COUNT(*) FROM UNNEST(s.%s) AS p WHERE "
		    "p.key IS NULL) AS params_without_key",
		    sx_column(q->x, "event_params", 'A'));
	buf_fmt(b, ",\n    %s AS identity\n  FROM shards AS s\n", id);
}

static void
put_facts(struct sql *q, struct buf *b)
{
	const struct sx_check *c;

	buf_str(b, "  SELECT date, identity");
	for (size_t i = 0; i < q->nfacts; i++) {
		buf_str(b, ",\n");
		sql_comment(b, "    ", q->d->expr[q->fact[i].expr].text);
		buf_fmt(b, "    %s AS %s", q->fact[i].sql, q->fact[i].name);
	}
	buf_str(b, "\n  FROM leaves\n  WHERE CASE\n");
	for (size_t i = 0; (c = sx_check(q->x, i)) != NULL; i++)
		buf_fmt(b, "    WHEN %s THEN ERROR(%s)\n", c->when,
		    sql_text(q, c->text));
	buf_str(b, "    ELSE TRUE END\n");
}

static void
put_columns(struct sql *q, struct buf *b, const char *alias)
{
	for (size_t i = 0; i < q->nfacts; i++)
		buf_fmt(b, ", %s.%s", alias, q->fact[i].name);
}

static void
put_ranked(struct sql *q, struct buf *b)
{
	buf_str(b, "  SELECT f.date");
	put_columns(q, b, "f");
	buf_str(b, ",\n    ROW_NUMBER() OVER (PARTITION BY f.date, f.identity "
		   "ORDER BY f.identity");
	put_columns(q, b, "f");
	buf_str(b, ") AS nth\n  FROM facts AS f\n");
}

/* By its own id, by stream, by feed. */
static void
put_app(struct sql *q, struct buf *b)
{
	const struct dict *d = q->d;
	const struct app_conf *feed =
	    apps_find(q->apps, NULL, NULL, q->o->property);
	const char *id = NULL, *stream = NULL;

	if (d->app >= 0)
		id = sx_fmt(q->x, "r.%s",
		    sql_fact(q, node_get(q->source, "app_id"), d->app, 's'));
	for (int i = 0; i < d->napp_else; i++)
		id = sx_fmt(q->x, "COALESCE(NULLIF(%s, ''), r.%s)", id,
		    sql_fact(
			q, node_get(q->source, "app_id"), d->app_else[i], 's'));
	if (d->stream >= 0)
		stream = sx_fmt(q->x, "r.%s",
		    sql_fact(q, node_get(q->source, "stream"), d->stream, 's'));
	buf_str(b, "    CASE\n");
	for (size_t i = 0; id != NULL && i < q->apps->n; i++)
		if (q->apps->app[i].ids.n > 0)
			buf_fmt(b, "      WHEN %s IN (%s) THEN %s\n", id,
			    sql_names(q, &q->apps->app[i].ids),
			    sql_text(q, q->apps->app[i].id));
	if (id != NULL)
		buf_fmt(b, "      WHEN %s != '' THEN %s\n", id, id);
	for (size_t i = 0; stream != NULL && i < q->apps->n; i++)
		if (q->apps->app[i].streams.n > 0)
			buf_fmt(b, "      WHEN %s IN (%s) THEN %s\n", stream,
			    sql_names(q, &q->apps->app[i].streams),
			    sql_text(q, q->apps->app[i].id));
	buf_fmt(b, "      WHEN TRUE THEN %s END AS app_id",
	    sql_text(q, feed == NULL ? q->o->property : feed->id));
}

static const char *
platform(struct sql *q)
{
	const struct dict_map *m = &q->d->platform_map;
	const struct node *at = node_get(q->source, "platform");
	const char *p;

	if (q->d->no_platform)
		return "'all'";
	if (q->d->platform < 0)
		return "'unknown'";
	p = sx_fmt(
	    q->x, "NULLIF(r.%s, '')", sql_fact(q, at, q->d->platform, 's'));
	if (m->n > 0 || m->fallback != NULL) {
		const char *is = p;

		p = sx_fmt(q->x, "CASE WHEN %s IS NULL THEN NULL", is);
		for (size_t i = 0; i < m->n; i++)
			p = sx_fmt(q->x, "%s WHEN %s = %s THEN %s", p, is,
			    sql_text(q, m->v[i].from), sql_text(q, m->v[i].to));
		p = sx_fmt(q->x, "%s ELSE %s END", p,
		    m->fallback == NULL ? is : sql_text(q, m->fallback));
	}
	return sx_fmt(q->x,
	    "COALESCE(TRANSLATE(%s, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', "
	    "'abcdefghijklmnopqrstuvwxyz'), 'unknown')",
	    p);
}

static void
put_once(struct sql *q, struct buf *b, const char *on)
{
	buf_str(b, "  SELECT r.date,\n");
	put_app(q, b);
	buf_fmt(b, ",\n    %s AS platform", on);
	put_columns(q, b, "r");
	buf_str(b, "\n  FROM ranked AS r\n  WHERE r.nth = 1");
	if (!q->d->no_platform)
		buf_fmt(b,
		    " AND CASE WHEN %s = 'all' THEN\n    ERROR('platform "
		    "\"all\" is kept for the sum over all') ELSE TRUE END",
		    on);
	buf_char(b, '\n');
}

/* The text of a segment, the default in place of null. */
static const char *
segment(struct sql *q, const struct dict_segment *s)
{
	const struct node *at = node_get(
	    node_get(node_get(q->source, "segments"), s->name), "value");
	const char *none = sql_text(q, s->fallback), *all = "", *text = "";

	for (int i = 0; i < s->value.n; i++) {
		const char *f = sx_fmt(
		    q->x, "o.%s", sql_fact(q, at, s->value.expr[i], 's'));

		if (s->value.n == 1)
			return sx_fmt(q->x, "COALESCE(%s, %s)", f, none);
		all = sx_fmt(
		    q->x, "%s%s%s IS NULL", all, i == 0 ? "" : " AND ", f);
		text = sx_fmt(q->x, "%s%sCOALESCE(%s, %s)", text,
		    i == 0 ? "" : " || '/' || ", f, none);
	}
	return sx_fmt(
	    q->x, "CASE WHEN %s THEN %s ELSE %s END", all, none, text);
}

/* Each row for its platform and for all, and for each segment. */
static void
put_hits(struct sql *q, struct buf *b, const char *exclude)
{
	const struct dict *d = q->d;
	bool every = d->all && !d->no_platform, more = false;

	buf_fmt(b, "  SELECT o.date, o.app_id,\n    %s AS platform,\n",
	    every ? "CASE WHEN a.every = 1 THEN 'all' ELSE o.platform END"
		  : "o.platform");
	buf_str(b, "    a.split,\n    CASE a.split");
	for (int i = 0; i < d->nsegment; i++)
		if (q->seg[i])
			buf_fmt(b, "\n      WHEN '%s' THEN '%s=' || %s",
			    d->segment[i].name, d->segment[i].name,
			    segment(q, &d->segment[i]));
	buf_str(b, "\n      WHEN '' THEN '' END AS segment");
	put_columns(q, b, "o");
	for (int i = 0; i < d->nexpr; i++)
		if (q->unit[i])
			buf_fmt(b,
			    ",\n    COALESCE(NULLIF(o.t%d, ''), %s) AS u%d",
			    i + 1, sql_currency(q, "o"), i + 1);
	buf_str(b, "\n  FROM once AS o\n  CROSS JOIN (\n");
	for (int e = 0; e <= (every ? 1 : 0); e++)
		for (int i = -1; i < d->nsegment; i++) {
			if (i >= 0 && !q->seg[i])
				continue;
			buf_fmt(b, "%s    SELECT %d AS every, '%s' AS split\n",
			    more ? "    UNION ALL\n" : "", e,
			    i < 0 ? "" : d->segment[i].name);
			more = true;
		}
	buf_str(b, "  ) AS a\n");
	if (exclude != NULL)
		buf_fmt(b, "  WHERE NOT o.%s\n", exclude);
}

static void
put_amounts(struct sql *q, struct buf *b)
{
	buf_str(b, "  SELECT date, app_id, platform, split, segment");
	for (size_t i = 0; i < q->nfacts; i++)
		buf_fmt(b, ", %s", q->fact[i].name);
	for (int i = 0; i < q->d->nexpr; i++)
		if (q->unit[i])
			buf_fmt(b, ", u%d", i + 1);
	buf_add(b, q->amounts.p, q->amounts.len);
	buf_str(b, "\n  FROM hits\n");
}

static void
put_counted(struct sql *q, struct buf *b)
{
	buf_str(b, "  SELECT date, app_id, platform, split, segment");
	buf_add(b, q->counted.p, q->counted.len);
	buf_str(b,
	    "\n  FROM amounts\n  GROUP BY date, app_id, platform, split, "
	    "segment\n");
}

static void
put_fill(struct buf *b, bool *any, const char *app, const char *on)
{
	buf_fmt(b, "%s    SELECT %s AS app_id, %s AS platform\n",
	    *any ? "    UNION ALL\n" : "", app, on);
	*any = true;
}

/* Those that were seen, and those that the apps name. */
static void
put_cells(struct sql *q, struct buf *b)
{
	const struct dict *d = q->d;
	struct buf fill = BUF_INIT(STATEMENT_MAX);
	bool any = false, known = false;

	buf_str(b, "  SELECT date, app_id, platform, split, segment FROM "
		   "counted\n");
	for (size_t i = 0; i < q->apps->n; i++) {
		const struct app_conf *x = &q->apps->app[i];
		const char *id = sql_text(q, x->id);

		if (!app_has_feed(x, q->o->property))
			continue;
		known = true;
		for (size_t p = 0; !d->no_platform && p < x->nplatform; p++)
			put_fill(&fill, &any, id, sql_text(q, x->platform[p]));
		if (d->no_platform || d->all)
			put_fill(&fill, &any, id, "'all'");
	}
	if (any)
		buf_fmt(b,
		    "  UNION DISTINCT\n  SELECT d.date, f.app_id, f.platform, "
		    "'' AS split, '' AS segment\n"
		    "  FROM days AS d CROSS JOIN (\n%s  ) AS f\n"
		    "  WHERE d.quality = 'complete'\n",
		    buf_cstr(&fill));
	if (!known)
		buf_fmt(b,
		    "  UNION DISTINCT\n  SELECT d.date, %s AS app_id, 'all' AS "
		    "platform, '' AS split, '' AS segment\n"
		    "  FROM days AS d\n"
		    "  WHERE d.quality = 'complete' AND NOT EXISTS (\n"
		    "    SELECT 1 FROM once AS o WHERE o.date = d.date)\n",
		    sql_text(q, q->o->property));
	buf_release(&fill);
}

static void
put_groups(struct sql *q, struct buf *b)
{
	buf_str(b, "  SELECT c.date, c.app_id, c.platform, c.split, c.segment");
	buf_add(b, q->joined.p, q->joined.len);
	buf_str(b, "\n  FROM cells AS c\n"
		   "  LEFT JOIN counted AS w ON w.date = c.date AND w.app_id = "
		   "c.app_id\n    AND w.platform = c.platform AND w.segment = "
		   "c.segment\n");
	buf_add(b, q->joins.p, q->joins.len);
}

/* --- the frame --- */

static void
cte(struct buf *out, const char *name, struct buf *body)
{
	buf_fmt(out, "%s%s AS (\n", out->len > 0 ? ",\n" : "", name);
	buf_add(out, body->p, body->len);
	buf_char(out, ')');
	buf_reset(body);
}

static void
put_head(struct sql *q, struct buf *out)
{
	char since[DATE_LEN + 1], until[DATE_LEN + 1];

	date_format(q->o->since, since);
	date_format(q->o->until, until);
	sql_comment(out, "",
	    sx_fmt(q->x,
		"KPIs of GA4 property %s, %s to %s: kpi-agg(1) --sql bigquery",
		q->o->property, since, until));
	sql_comment(out, "",
	    sx_fmt(q->x, "Dictionary version %s, sha256 %s", q->d->version,
		q->d->conf->sha256));
	buf_str(out, "WITH\n");
}

static void
put_case(struct buf *b, const struct buf *branches, const char *name)
{
	if (branches->len == 0) {
		buf_fmt(b, ",\n    CAST(NULL AS BIGNUMERIC) AS %s", name);
		return;
	}
	buf_str(b, ",\n    CASE k.id");
	buf_add(b, branches->p, branches->len);
	buf_fmt(b, " END AS %s", name);
}

static void
put_rows(struct buf *b, struct rows *r, const char *alias, const char *segment,
    const char *from)
{
	if (r->n == 0)
		return;
	if (b->len > 0)
		buf_str(b, "  UNION ALL\n");
	buf_fmt(b,
	    "  SELECT %s.date, %s.app_id, %s.platform, k.metric,\n    %s "
	    "AS segment",
	    alias, alias, alias, segment);
	put_case(b, &r->value, "value");
	put_case(b, &r->num, "num");
	put_case(b, &r->den, "den");
	put_case(b, &r->scale, "scale");
	put_case(b, &r->step, "step");
	put_case(b, &r->unit, "unit");
	buf_fmt(b, "\n  FROM %s\n  CROSS JOIN (\n%s\n  ) AS k\n", from,
	    buf_cstr(&r->list));
	buf_str(b, "  WHERE CASE k.id");
	buf_add(b, r->show.p, r->show.len);
	buf_str(b, " END\n");
}

static void
put_results(struct sql *q, struct buf *b)
{
	put_rows(b, &q->of_groups, "g",
	    "CASE WHEN k.step_name = '' THEN g.segment ELSE k.step_name END",
	    "grouped AS g");
	for (int e = 0; e < q->d->nexpr; e++)
		put_rows(b, &q->by_currency[e], "b",
		    "b.segment || CASE WHEN b.segment = '' THEN 'currency=' "
		    "ELSE ',currency=' END || b.unit",
		    sx_fmt(q->x,
			"currency_%d AS b JOIN sums_%d AS s ON s.date = b.date "
			"AND s.app_id = b.app_id\n    AND s.platform = "
			"b.platform AND s.segment = b.segment",
			e + 1, e + 1));
}

/* num / den at the metric's places, rounded half to even. */
static void
put_last(struct sql *q, struct buf *out)
{
	buf_fmt(out,
	    ",\n-- num / den, rounded half to even.\n"
	    "divided AS (\n"
	    "  SELECT date, app_id, platform, metric, segment, value, num, "
	    "den, "
	    "scale, step, unit,\n"
	    "    CASE WHEN den = 0 THEN NULL ELSE DIV(num * scale, den) END AS "
	    "whole\n"
	    "  FROM results\n),\n"
	    "rounded AS (\n"
	    "  SELECT date, app_id, platform, metric, segment, num, den, "
	    "unit,\n"
	    "    CASE WHEN scale IS NULL THEN value ELSE step * (whole + CASE\n"
	    "      WHEN 2 * ABS(num * scale - whole * den) > ABS(den)\n"
	    "        OR 2 * ABS(num * scale - whole * den) = ABS(den) AND "
	    "MOD(whole, BIGNUMERIC '2') != 0\n"
	    "        THEN SIGN(num) * SIGN(den)\n"
	    "      ELSE BIGNUMERIC '0' END) END AS value\n"
	    "  FROM divided\n)\n");
	buf_fmt(out,
	    "SELECT r.date, r.app_id, r.platform, %s AS source_system, "
	    "r.metric, r.segment,\n"
	    "  r.value, r.num, r.den, r.unit, %s AS kpi_version, %s AS run_id, "
	    "d.quality\n"
	    "FROM rounded AS r JOIN days AS d ON d.date = r.date\n"
	    "ORDER BY r.date, r.app_id, r.platform, r.metric, r.segment\n",
	    sql_text(q, q->d->source), sql_text(q, q->d->version),
	    sql_text(q, q->o->run_id));
}

/* The date of a record is that of its table, or the record is bad. */
static void
check_date(struct sql *q)
{
	const struct node *at = node_get(q->source, "date");
	const struct sx_node *n;
	const char *s;

	/* as a column too, so that what cannot be shown is refused */
	sql_fact(q, at, q->d->date, 's');
	n = q->node[q->d->date];
	s = n == NULL ? NULL : sx_text(q->x, n);
	if (s == NULL)
		return;
	sx_add_check(q->x,
	    sx_fmt(q->x,
		"NOT COALESCE(%s = FORMAT_DATE('%%Y%%m%%d', date) OR %s = "
		"CAST(date AS STRING) OR STARTS_WITH(%s, CAST(date AS STRING) "
		"|| 'T') OR STARTS_WITH(%s, CAST(date AS STRING) || ' '), "
		"FALSE)",
		s, s, s, s),
	    "the date is not that of the table");
}

/* What event-id(1) refuses. */
static void
check_identity(struct sql *q)
{
	const char *name = sx_column(q->x, "event_name", 'S');
	const char *ts = sx_column(q->x, "event_timestamp", 'I');

	if (name == NULL || ts == NULL) {
		warn_msg(q->o->schema == NULL ? "schema" : q->o->schema,
		    "is not of the GA4 export: event_name and event_timestamp "
		    "are missing");
		q->bad = true;
		return;
	}
	sx_add_check(
	    q->x, sx_fmt(q->x, "%s IS NULL", name), "event_name is null");
	sx_add_check(
	    q->x, sx_fmt(q->x, "%s IS NULL", ts), "event_timestamp is null");
}

static void
steps(struct sql *q, struct buf *out, const char *id, const char *on,
    const char *exclude)
{
	struct buf b = BUF_INIT(STATEMENT_MAX), all = BUF_INIT(STATEMENT_MAX);

	put_days(q, &b);
	cte(&all, "days", &b);
	put_shards(q, &b);
	cte(&all, "shards", &b);
	put_leaves(q, &b, id);
	cte(&all, "leaves", &b);
	put_facts(q, &b);
	cte(&all, "facts", &b);
	put_ranked(q, &b);
	cte(&all, "ranked", &b);
	put_once(q, &b, on);
	cte(&all, "once", &b);
	put_hits(q, &b, exclude);
	cte(&all, "hits", &b);
	put_amounts(q, &b);
	cte(&all, "amounts", &b);
	put_counted(q, &b);
	cte(&all, "counted", &b);
	buf_add(&all, q->metrics.p, q->metrics.len);
	put_cells(q, &b);
	cte(&all, "cells", &b);
	put_groups(q, &b);
	cte(&all, "grouped", &b);
	put_results(q, &b);
	cte(&all, "results", &b);
	put_head(q, out);
	buf_add(out, all.p, all.len);
	put_last(q, out);
	if (b.over || all.over || out->over || q->metrics.over ||
	    q->counted.over) {
		warn_msg("--until",
		    "the statement is over 1 MiB; ask for fewer days");
		q->bad = true;
	}
	buf_release(&b);
	buf_release(&all);
}

/* All that reads a column comes before the columns are written. */
static void
statement(struct sql *q, struct buf *out)
{
	struct buf b = BUF_INIT(STATEMENT_MAX);
	const char *id, *on, *exclude = NULL;

	check_identity(q);
	check_date(q);
	sql_metrics(q);
	if (q->d->exclude >= 0)
		exclude = sql_fact(
		    q, node_get(q->source, "exclude"), q->d->exclude, 'w');
	id = identity(q->x);
	on = platform(q);
	put_app(q, &b);
	for (int i = 0; i < q->d->nsegment; i++)
		if (q->seg[i])
			segment(q, &q->d->segment[i]);
	buf_release(&b);
	if (!q->bad)
		steps(q, out, id, on, exclude);
}

static void
rows_init(struct rows *r, bool release)
{
	struct buf *all[] = {&r->list, &r->show, &r->value, &r->num, &r->den,
	    &r->scale, &r->step, &r->unit};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (release)
			buf_release(all[i]);
		else
			buf_init(all[i], STATEMENT_MAX);
}

/* Makes the buffers, or gives them back. */
static void
bufs(struct sql *q, bool release)
{
	struct buf *all[] = {
	    &q->amounts, &q->counted, &q->metrics, &q->joined, &q->joins};

	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		if (release)
			buf_release(all[i]);
		else
			buf_init(all[i], STATEMENT_MAX);
	rows_init(&q->of_groups, release);
	for (int e = 0; e < q->d->nexpr; e++)
		rows_init(&q->by_currency[e], release);
}

int
sql_write(const struct sql_options *o, const struct dict *d,
    const struct apps *apps, struct buf *out)
{
	struct sql q = {.o = o, .d = d, .apps = apps};
	struct tree *tree, *known_tree = NULL;
	const struct node *fields, *known;
	int rc = sql_schema_load(o->schema, &tree, &fields);

	if (rc == RC_OK)
		rc = sql_schema_load(NULL, &known_tree, &known);
	if (rc != RC_OK) {
		tree_free(tree);
		tree_free(known_tree);
		return rc;
	}
	q.by_currency = xcalloc((size_t)d->nexpr + 1, sizeof *q.by_currency);
	bufs(&q, false);
	q.source = node_get(node_get(d->conf->root, "sources"), d->source);
	q.x = sx_new(fields, known);
	q.node = xcalloc((size_t)d->nexpr + 1, sizeof(struct sx_node *));
	q.unit = xcalloc((size_t)d->nexpr + 1, sizeof *q.unit);
	statement(&q, out);
	sx_free(q.x);
	free(q.node);
	free(q.unit);
	free(q.fact);
	bufs(&q, true);
	free(q.by_currency);
	tree_free(tree);
	tree_free(known_tree);
	return q.bad ? RC_CONFIG : RC_OK;
}
