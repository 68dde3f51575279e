/* KPI rows. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "funnel.h"
#include "hll.h"
#include "mem.h"

struct row {
	const struct cell *cell;
	int metric;
	const struct text *segment;
	const char *unit;
	struct dec value, num, den;
	bool null, ratio; /* ratio: num and den are shown */
};

struct rows {
	struct agg *a;
	struct acc **acc;
	size_t nacc;
	struct row *row;
	size_t n, room;
	int status;
	struct buf text;
};

/* The accumulators of one metric, segment value and cell, by unit. */
struct group {
	struct acc **v;
	size_t n;
};

void
rows_fill(struct agg *a, int32_t day, const char *feed, const char *only_app)
{
	bool any = a->ncells > 0;
	struct cell *c;

	for (size_t i = 0; i < a->apps->n; i++) {
		const struct app_conf *x = &a->apps->app[i];
		const struct text *id = agg_text(a, x->id, strlen(x->id));

		if (!app_has_feed(x, feed) ||
		    (only_app != NULL && strcmp(only_app, x->id) != 0))
			continue;
		any = true;
		for (size_t p = 0; !a->d->no_platform && p < x->nplatform;
		     p++) {
			const char *w = x->platform[p];

			c = agg_cell(a, day, id, x, agg_text(a, w, strlen(w)));
			c->wanted = true;
			if (c->all != NULL)
				c->all->wanted = true;
		}
		if (a->d->no_platform || (x->nplatform == 0 && a->d->all))
			agg_cell(a, day, id, x, agg_text(a, "all", 3))->wanted =
			    true;
	}
	if (any || (only_app != NULL && strcmp(only_app, feed) != 0))
		return;
	agg_seen(a, &a->apps_unknown, feed, strlen(feed));
	agg_cell(a, day, agg_text(a, feed, strlen(feed)), NULL,
	    agg_text(a, "all", 3))
	    ->wanted = true;
}

/* --- values --- */

static void
too_large(struct rows *r, const struct acc *x)
{
	char date[DATE_LEN + 1], app[DIAG_QUOTE], seg[DIAG_QUOTE];

	date_format(x->cell->day, date);
	warn_msg(r->a->d->metric[x->metric].name,
	    "the sum for %s, app %s, platform %s%s%s has more than 38 digits",
	    date, diag_quote(app, x->cell->app->s, x->cell->app->len),
	    x->cell->platform->s, x->value == NULL ? "" : ", segment ",
	    x->value == NULL ? ""
			     : diag_quote(seg, x->value->s, x->value->len));
	r->status = RC_CONTRACT;
}

/* What a row or a part of a ratio shows; false: null. */
static bool
acc_number(struct rows *r, const struct acc *x, struct dec *out)
{
	switch (r->a->d->metric[x->metric].agg) {
	case AGG_COUNT:
	case AGG_DISTINCT:
		*out = dec_from_i64((int64_t)x->n);
		return true;
	case AGG_APPROX:
		*out = dec_from_i64(
		    x->hll == NULL ? 0 : (int64_t)hll_count(x->hll));
		return true;
	case AGG_SUM:
	case AGG_AVG:
		if (!sum_total(&x->sum, out))
			too_large(r, x);
		return true;
	case AGG_MIN:
	case AGG_MAX:
		*out = x->least;
		return x->n > 0;
	case AGG_ONE:
		*out = x->least;
		return x->n == 1;
	case AGG_RATIO:
	case AGG_FUNNEL:
		break;
	}
	return false;
}

static struct row *
new_row(struct rows *r, const struct cell *c, int metric, const char *unit)
{
	struct row *x;

	if (r->n == r->room) {
		r->room = r->room == 0 ? 256 : 2 * r->room;
		r->row = xreallocarray(r->row, r->room, sizeof *r->row);
	}
	x = &r->row[r->n++];
	*x = (struct row){.cell = c, .metric = metric, .unit = unit};
	return x;
}

static void
divide(struct rows *r, struct row *x, const struct acc *of)
{
	int places = r->a->d->metric[x->metric].places;

	x->ratio = true;
	x->null = x->den.coef == 0;
	if (!x->null && !dec_div(&x->num, &x->den, places, &x->value))
		too_large(r, of);
}

/* "", "channel=Direct", "currency=EUR", "channel=Direct,currency=EUR" */
static const struct text *
segment_name(struct rows *r, const struct acc *x, const char *currency)
{
	buf_reset(&r->text);
	if (x->segment >= 0) {
		buf_str(&r->text, r->a->d->segment[x->segment].name);
		buf_char(&r->text, '=');
		buf_add(&r->text, x->value->s, x->value->len);
	}
	if (currency != NULL) {
		if (r->text.len > 0)
			buf_char(&r->text, ',');
		buf_str(&r->text, "currency=");
		buf_str(&r->text, currency);
	}
	return agg_text(r->a, r->text.p, r->text.len);
}

/* Of money where none was counted: what the app uses. */
static const char *
usual_unit(const struct dict_metric *m, const struct cell *c)
{
	if (m->unit < 0)
		return dict_unit(m);
	return c->conf != NULL && c->conf->currency != NULL ? c->conf->currency
							    : "XXX";
}

static void
value_row(
    struct rows *r, const struct acc *x, const char *unit, const char *currency)
{
	const struct dict_metric *m = &r->a->d->metric[x->metric];
	struct row *w = new_row(r, x->cell, x->metric, unit);

	w->segment = segment_name(r, x, currency);
	if (m->agg != AGG_AVG) {
		w->null = !acc_number(r, x, &w->value);
		return;
	}
	acc_number(r, x, &w->num);
	w->den = dec_from_i64((int64_t)x->n);
	divide(r, w, x);
}

static void
funnel_rows(struct rows *r, const struct acc *x)
{
	const struct dict_metric *m = &r->a->d->metric[x->metric];
	uint64_t reached[STEP_MAX];
	struct row *w;

	funnel_count(&x->events, m->nsteps, m->window_us, reached);
	w = new_row(r, x->cell, x->metric, dict_unit(m));
	w->segment = agg_text(r->a, "", 0);
	w->num = dec_from_i64((int64_t)reached[m->nsteps - 1]);
	w->den = dec_from_i64((int64_t)reached[0]);
	divide(r, w, x);
	for (int s = 0; s < m->nsteps; s++) {
		w = new_row(r, x->cell, x->metric, dict_unit(m));
		buf_reset(&r->text);
		buf_fmt(&r->text, "step=%0*d.%s", m->nsteps > 9 ? 2 : 1, s + 1,
		    m->step[s].name);
		w->segment = agg_text(r->a, r->text.p, r->text.len);
		w->num = dec_from_i64((int64_t)reached[s]);
		w->den = dec_from_i64((int64_t)reached[s > 0 ? s - 1 : 0]);
		divide(r, w, x);
	}
}

/* --- groups --- */

static bool
same_group(const struct acc *a, const struct acc *b)
{
	return a->cell == b->cell && a->metric == b->metric &&
	       a->segment == b->segment && a->value == b->value;
}

/* How many units were really counted, and the first of them. */
static size_t
units(const struct group *g, const struct acc **one)
{
	size_t n = 0;

	for (size_t i = 0; i < g->n; i++)
		if (g->v[i]->unit != NULL && g->v[i]->n > 0 && n++ == 0)
			*one = g->v[i];
	return n;
}

static bool
counted(const struct group *g)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->v[i]->n > 0)
			return true;
	return false;
}

/* The one over all units. */
static const struct acc *
whole(const struct group *g)
{
	return g->n > 0 && g->v[0]->unit == NULL ? g->v[0] : NULL;
}

static const struct acc *
of_unit(const struct group *g, const struct text *unit)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->v[i]->unit == unit)
			return g->v[i];
	return NULL;
}

/* Amounts of several currencies have no sum: the row says so. */
static void
mixed_row(struct rows *r, const struct acc *x, int metric)
{
	struct row *w = new_row(r, x->cell, metric, "mixed");

	w->segment = segment_name(r, x, NULL);
	w->null = true;
}

static void
money_rows(struct rows *r, const struct group *g)
{
	const struct dict_metric *m = &r->a->d->metric[g->v[0]->metric];
	const struct acc *one = NULL;
	size_t n = units(g, &one);

	if (n == 0 && g->v[0]->segment < 0)
		value_row(r, whole(g), usual_unit(m, g->v[0]->cell), NULL);
	if (n == 1)
		value_row(r, one, one->unit->s, NULL);
	if (n <= 1)
		return;
	if (g->v[0]->segment < 0)
		mixed_row(r, g->v[0], g->v[0]->metric);
	for (size_t i = 0; i < g->n; i++)
		if (g->v[i]->unit != NULL && g->v[i]->n > 0)
			value_row(
			    r, g->v[i], g->v[i]->unit->s, g->v[i]->unit->s);
}

/* Each metric that is counted itself. */
static void
group_rows(struct rows *r, const struct group *g)
{
	const struct dict_metric *m = &r->a->d->metric[g->v[0]->metric];

	if (m->agg == AGG_RATIO ||
	    (g->v[0]->segment < 0 ? !m->total : !counted(g)))
		return;
	if (m->agg == AGG_FUNNEL)
		funnel_rows(r, g->v[0]);
	else if (m->unit >= 0)
		money_rows(r, g);
	else
		value_row(r, whole(g), dict_unit(m), NULL);
}

static int
group_cmp(const struct acc *x, const struct cell *c, int metric, int segment,
    const struct text *value)
{
	if (x->cell != c)
		return x->cell->rank < c->rank ? -1 : 1;
	if (x->metric != metric)
		return x->metric < metric ? -1 : 1;
	if (x->segment != segment)
		return x->segment < segment ? -1 : 1;
	return text_order(x->value, value);
}

/* The group of another metric beside one; empty where nothing was counted. */
static struct group
find_group(struct rows *r, const struct cell *c, int metric, int segment,
    const struct text *value)
{
	size_t low = 0, high = r->nacc;
	struct group g = {NULL, 0};

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (group_cmp(r->acc[mid], c, metric, segment, value) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	g.v = &r->acc[low];
	while (low + g.n < r->nacc &&
	       group_cmp(g.v[g.n], c, metric, segment, value) == 0)
		g.n++;
	return g;
}

static void
ratio_row(struct rows *r, int metric, const struct acc *num,
    const struct acc *den, const struct acc *at, const char *unit,
    const char *currency)
{
	struct row *w = new_row(r, at->cell, metric, unit);

	w->segment = segment_name(r, at, currency);
	w->num = w->den = DEC_ZERO;
	if (num != NULL)
		acc_number(r, num, &w->num);
	if (den != NULL)
		acc_number(r, den, &w->den);
	divide(r, w, at);
}

/* Each currency by itself: also one that only the other side has. */
static void
money_by_money(struct rows *r, int metric, const struct group *num,
    const struct group *den, const struct acc *at, const char *unit)
{
	const struct acc *one = NULL;
	size_t of_num = units(num, &one), of_den = units(den, &one);
	const struct group *by = of_den > of_num ? den : num;
	size_t n = of_den > of_num ? of_den : of_num;

	if (n > 1 && at->segment < 0)
		mixed_row(r, at, metric);
	if (n == 0)
		ratio_row(r, metric, NULL, NULL, at, unit, NULL);
	for (size_t i = 0; i < by->n; i++) {
		const struct text *u = by->v[i]->unit;

		if (u != NULL && by->v[i]->n > 0)
			ratio_row(r, metric, of_unit(num, u), of_unit(den, u),
			    at, unit, n > 1 ? u->s : NULL);
	}
}

/* A ratio beside the group of its num (or den, where num has none). */
static void
ratio_rows(struct rows *r, int metric, const struct group *num,
    const struct group *den, const struct acc *at)
{
	const struct dict *d = r->a->d;
	const struct dict_metric *m = &d->metric[metric];
	const struct dict_metric *nm = &d->metric[m->num];
	const struct dict_metric *dm = &d->metric[m->den];
	const struct acc *one = NULL;
	const char *unit = dict_unit(m);
	bool money = nm->unit >= 0 && m->unit_text == NULL && dm->unit < 0;
	size_t n = units(num, &one);

	if (nm->unit < 0) {
		ratio_row(r, metric, whole(num), whole(den), at, unit, NULL);
		return;
	}
	if (dm->unit >= 0) {
		money_by_money(r, metric, num, den, at, unit);
		return;
	}
	if (n <= 1) {
		/* dividing by all of den: orders without an amount too */
		if (money)
			unit = n == 1 ? one->unit->s : usual_unit(nm, at->cell);
		ratio_row(r, metric, one, whole(den), at, unit, NULL);
		return;
	}
	if (at->segment < 0)
		mixed_row(r, at, metric);
	for (size_t i = 0; i < num->n; i++) {
		const struct acc *x = num->v[i];

		if (x->unit == NULL || x->n == 0)
			continue;
		ratio_row(r, metric, x, of_unit(den, x->unit), at,
		    money ? x->unit->s : unit, x->unit->s);
	}
}

static bool
ratio_has(const struct dict_metric *m, int segment)
{
	if (segment < 0)
		return m->total;
	for (int i = 0; i < m->nsegments; i++)
		if (m->segment[i] == segment)
			return true;
	return false;
}

/* The ratios that this group is a part of; each once. */
static void
group_ratios(struct rows *r, const struct group *g)
{
	const struct dict *d = r->a->d;
	const struct acc *at = g->v[0];

	for (int i = 0; i < d->nmetric; i++) {
		const struct dict_metric *m = &d->metric[i];
		struct group num, den;

		if (m->agg != AGG_RATIO || r->a->off[i] ||
		    !ratio_has(m, at->segment) ||
		    (m->num != at->metric && m->den != at->metric))
			continue;
		num = find_group(r, at->cell, m->num, at->segment, at->value);
		den = find_group(r, at->cell, m->den, at->segment, at->value);
		/* by num, and by den only where num has no such group */
		if (at->metric != m->num && num.n > 0)
			continue;
		if (at->segment >= 0 && !counted(&num) && !counted(&den))
			continue;
		ratio_rows(r, i, &num, &den, at);
	}
}

/* --- output --- */

static const struct dict_metric *sort_metric;

static int
by_key(const void *pa, const void *pb)
{
	const struct row *a = pa, *b = pb;
	int c;

	if (a->cell != b->cell)
		return a->cell->rank < b->cell->rank ? -1 : 1;
	c = strcmp(sort_metric[a->metric].name, sort_metric[b->metric].name);
	return c != 0 ? c : text_order(a->segment, b->segment);
}

static int
by_segment(const void *pa, const void *pb)
{
	const struct row *a = pa, *b = pb;
	int c;

	if (a->cell != b->cell)
		return a->cell->rank < b->cell->rank ? -1 : 1;
	c = text_order(a->segment, b->segment);
	return c != 0 ? c : a->metric - b->metric;
}

static void
put_dec(struct jsonw *w, const char *name, const struct dec *d)
{
	char text[DEC_TEXT];

	jsonw_raw(w, name, text, dec_format(d, text));
}

static void
put_front(struct jsonw *w, const struct row *x, const struct rows_meta *meta)
{
	char date[DATE_LEN + 1];

	date_format(x->cell->day, date);
	jsonw_str(w, "date", date);
	jsonw_strn(w, "app_id", x->cell->app->s, x->cell->app->len);
	jsonw_strn(w, "platform", x->cell->platform->s, x->cell->platform->len);
	jsonw_str(w, "source_system", meta->source);
}

static void
put_back(const struct rows *r, struct jsonw *w, const struct rows_meta *meta)
{
	jsonw_str(w, "kpi_version", r->a->d->version);
	jsonw_str(w, "run_id", meta->run_id);
	if (meta->partial)
		jsonw_str(w, "quality", "partial");
	else if (meta->quality.type == JSON_ABSENT)
		jsonw_str(w, "quality", "complete");
	else
		jsonw_span(w, "quality", &meta->quality);
}

static void
put_value(struct jsonw *w, const char *name, const struct row *x)
{
	if (x->null)
		jsonw_null(w, name);
	else
		put_dec(w, name, &x->value);
}

static void
put_long(struct rows *r, const struct row *x, const struct rows_meta *meta)
{
	struct jsonw w;

	jsonw_begin(&w, &r->text, '{');
	put_front(&w, x, meta);
	jsonw_str(&w, "metric", r->a->d->metric[x->metric].name);
	jsonw_strn(&w, "segment", x->segment->s, x->segment->len);
	put_value(&w, "value", x);
	if (x->ratio) {
		put_dec(&w, "num", &x->num);
		put_dec(&w, "den", &x->den);
	}
	jsonw_str(&w, "unit", x->unit);
	put_back(r, &w, meta);
	jsonw_end(&w);
}

/* Rows of one cell and segment as one record; the number of them. */
static size_t
put_wide(struct rows *r, size_t i, const struct rows_meta *meta)
{
	const struct row *x = &r->row[i];
	struct jsonw w;
	size_t n = 0;

	jsonw_begin(&w, &r->text, '{');
	put_front(&w, x, meta);
	jsonw_strn(&w, "segment", x->segment->s, x->segment->len);
	for (;
	     i + n < r->n && x[n].cell == x->cell && x[n].segment == x->segment;
	     n++)
		put_value(&w, r->a->d->metric[x[n].metric].name, &x[n]);
	put_back(r, &w, meta);
	jsonw_end(&w);
	return n;
}

static void
make_rows(struct rows *r)
{
	for (size_t i = 0; i < r->nacc && r->status == RC_OK;) {
		struct group g = {&r->acc[i], 1};

		while (i + g.n < r->nacc && same_group(g.v[0], g.v[g.n]))
			g.n++;
		if (g.v[0]->cell->wanted) {
			group_rows(r, &g);
			group_ratios(r, &g);
		}
		i += g.n;
	}
}

int
rows_write(
    struct agg *a, const struct rows_meta *meta, rows_put *put, void *ctx)
{
	struct rows r = {.a = a, .status = RC_OK};

	buf_init(&r.text, 1u << 30);
	agg_finish(a, &r.acc, &r.nacc);
	make_rows(&r);
	sort_metric = a->d->metric;
	if (r.n > 1)
		qsort(r.row, r.n, sizeof *r.row,
		    meta->wide ? by_segment : by_key);
	for (size_t i = 0; i < r.n && r.status == RC_OK;) {
		buf_reset(&r.text);
		if (meta->wide) {
			i += put_wide(&r, i, meta);
		} else {
			put_long(&r, &r.row[i++], meta);
		}
		put(ctx, r.text.p, r.text.len);
	}
	free(r.row);
	free(r.acc);
	buf_release(&r.text);
	return r.status;
}
