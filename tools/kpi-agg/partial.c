/* Partial results. */
#include "partial.h"

#include <stdlib.h>
#include <string.h>

#include "hll.h"
#include "mem.h"
#include "sha.h"

/* Of a long list this many are in one record, under any --max-line. */
#define CHUNK ((size_t)1000)

static const char *const members[] = {"app_id", "platform", "metric", "segment",
    "value", "unit", "n", "sum", "least", "keys", "hll", "events",
    "unknown_event", "unknown_app", "excluded", "not_numbers"};
enum {
	P_APP,
	P_PLATFORM,
	P_METRIC,
	P_SEGMENT,
	P_VALUE,
	P_UNIT,
	P_N,
	P_SUM,
	P_LEAST,
	P_KEYS,
	P_HLL,
	P_EVENTS,
	P_UNKNOWN_EVENT,
	P_UNKNOWN_APP,
	P_EXCLUDED,
	P_NOT_NUMBERS,
	P_COUNT,
};

void
partial_key(const char *hash, struct fp_key *key)
{
	char text[SHA_HEX + 16];

	for (size_t i = 0; i < FP_SECRET / SHA_LEN; i++) {
		size_t n = strlen(hash);

		memcpy(text, hash, n);
		text[n] = (char)('0' + i);
		sha256_one(text, n + 1, key->secret + i * SHA_LEN);
	}
}

/* --- writing --- */

struct writer {
	struct agg *a;
	rows_put *put;
	void *ctx;
	struct buf text;
};

static void
hex64(struct buf *b, uint64_t v)
{
	for (int i = 60; i >= 0; i -= 4)
		buf_char(b, "0123456789abcdef"[v >> i & 15]);
}

static void
put_fp(struct buf *b, struct fp k)
{
	buf_char(b, '"');
	hex64(b, k.hi);
	hex64(b, k.lo);
	buf_char(b, '"');
}

static void
put_dec(struct buf *b, const struct dec *d)
{
	char text[DEC_TEXT];

	buf_add(b, text, dec_format(d, text));
}

static void
begin_record(struct writer *w, struct jsonw *j, const struct cell *c)
{
	buf_reset(&w->text);
	jsonw_begin(j, &w->text, '{');
	jsonw_strn(j, "app_id", c->app->s, c->app->len);
	jsonw_strn(j, "platform", c->platform->s, c->platform->len);
}

static void
begin_acc(struct writer *w, struct jsonw *j, const struct acc *x)
{
	const struct dict *d = w->a->d;

	begin_record(w, j, x->cell);
	jsonw_str(j, "metric", d->metric[x->metric].name);
	if (x->segment >= 0) {
		jsonw_str(j, "segment", d->segment[x->segment].name);
		jsonw_strn(j, "value", x->value->s, x->value->len);
	}
	if (x->unit != NULL)
		jsonw_strn(j, "unit", x->unit->s, x->unit->len);
}

static void
end_record(struct writer *w, struct jsonw *j)
{
	jsonw_end(j);
	w->put(w->ctx, w->text.p, w->text.len);
}

static void
put_sum(struct writer *w, struct jsonw *j, const struct sum *s)
{
	const struct sum_part *p;
	struct jsonw list, part;

	if (!s->used)
		return;
	jsonw_open(j, "sum", &list, '[');
	for (size_t i = 0; (p = sum_part(s, i)) != NULL; i++) {
		jsonw_open(&list, NULL, &part, '[');
		jsonw_i64(&part, NULL, p->scale);
		jsonw_raw(&part, NULL, "\"", 1);
		hex64(&w->text, (uint64_t)p->high);
		hex64(&w->text, (uint64_t)(p->low >> 64));
		hex64(&w->text, (uint64_t)p->low);
		buf_char(&w->text, '"');
		jsonw_end(&part);
	}
	jsonw_end(&list);
}

static int
by_fp(const void *pa, const void *pb)
{
	const struct fp *a = pa, *b = pb;

	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	return a->lo < b->lo ? -1 : a->lo > b->lo;
}

static void
put_keys(struct writer *w, struct acc *x)
{
	struct jsonw j;

	if (x->nkeys > 1)
		qsort(x->keys, x->nkeys, sizeof *x->keys, by_fp);
	for (size_t i = 0; i < x->nkeys;) {
		begin_acc(w, &j, x);
		buf_str(&w->text, ",\"keys\":[");
		for (size_t k = 0; k < CHUNK && i < x->nkeys; k++, i++) {
			if (k > 0)
				buf_char(&w->text, ',');
			put_fp(&w->text, x->keys[i]);
		}
		buf_char(&w->text, ']');
		end_record(w, &j);
	}
}

static void
put_events(struct writer *w, const struct acc *x)
{
	struct jsonw j;

	for (size_t i = 0; i < x->events.n;) {
		begin_acc(w, &j, x);
		buf_str(&w->text, ",\"events\":[");
		for (size_t k = 0; k < CHUNK && i < x->events.n; k++, i++) {
			const struct event *e = &x->events.v[i];

			buf_str(&w->text, k > 0 ? ",[" : "[");
			put_fp(&w->text, e->who);
			buf_char(&w->text, ',');
			buf_i64(&w->text, e->us);
			buf_char(&w->text, ',');
			buf_u64(&w->text, e->steps);
			buf_char(&w->text, ',');
			put_dec(&w->text, &e->value);
			buf_char(&w->text, ']');
		}
		buf_char(&w->text, ']');
		end_record(w, &j);
	}
}

/* One for each rank, 0 to 51. */
static const char hll_digits[] =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP";

static void
put_acc(struct writer *w, struct acc *x)
{
	enum agg_kind kind = w->a->d->metric[x->metric].agg;
	uint64_t n = x->n - x->events.n - x->nkeys;
	struct jsonw j;

	if (n > 0) {
		begin_acc(w, &j, x);
		jsonw_u64(&j, "n", n);
		put_sum(w, &j, &x->sum);
		if (kind == AGG_MIN || kind == AGG_MAX || kind == AGG_ONE) {
			jsonw_raw(&j, "least", "", 0);
			put_dec(&w->text, &x->least);
		}
		if (x->hll != NULL) {
			jsonw_raw(&j, "hll", "\"", 1);
			for (size_t i = 0; i < HLL_SIZE; i++)
				buf_char(&w->text, hll_digits[x->hll[i]]);
			buf_char(&w->text, '"');
		}
		end_record(w, &j);
	}
	put_keys(w, x);
	put_events(w, x);
}

static void
put_seen(struct writer *w, const char *member, const struct seen *list)
{
	struct jsonw j;

	for (const struct seen *s = list; s != NULL; s = s->next) {
		if (s->n == 0)
			continue;
		buf_reset(&w->text);
		jsonw_begin(&j, &w->text, '{');
		jsonw_strn(&j, member, s->name->s, s->name->len);
		jsonw_u64(&j, "n", s->n);
		end_record(w, &j);
	}
}

void
partial_write(struct agg *a, rows_put *put, void *ctx)
{
	struct writer w = {a, put, ctx, BUF_INIT(1u << 30)};
	struct cell **cells;
	struct acc **accs;
	size_t n;
	struct jsonw j;

	agg_to_partial(a);
	cells = agg_cells(a);
	for (size_t i = 0; i < a->ncells; i++)
		if (cells[i]->wanted &&
		    (a->d->no_platform ||
			strcmp(cells[i]->platform->s, "all") != 0)) {
			begin_record(&w, &j, cells[i]);
			end_record(&w, &j);
		}
	free(cells);
	accs = agg_sorted(a, &n);
	for (size_t i = 0; i < n; i++)
		if (accs[i]->finest && accs[i]->n > 0)
			put_acc(&w, accs[i]);
	free(accs);
	agg_sort_seen(&a->events);
	agg_sort_seen(&a->apps_unknown);
	put_seen(&w, "unknown_event", a->events);
	put_seen(&w, "unknown_app", a->apps_unknown);
	if (a->excluded > 0 || a->not_numbers > 0) {
		buf_reset(&w.text);
		jsonw_begin(&j, &w.text, '{');
		jsonw_u64(&j, "excluded", a->excluded);
		jsonw_u64(&j, "not_numbers", a->not_numbers);
		end_record(&w, &j);
	}
	buf_release(&w.text);
}

/* --- reading --- */

struct json_paths *
partial_paths(void)
{
	struct json_paths *ps = json_paths_new();
	const char *why;

	for (int i = 0; i < P_COUNT; i++)
		json_paths_add(ps, members[i], &why);
	return ps;
}

static bool
hex_read(const char *p, uint64_t *v)
{
	*v = 0;
	for (int i = 0; i < 16; i++) {
		const char *at = "0123456789abcdef";
		const char *hit = p[i] == '\0' ? NULL : strchr(at, p[i]);

		if (hit == NULL)
			return false;
		*v = *v << 4 | (uint64_t)(hit - at);
	}
	return true;
}

static bool
fp_read(const struct json_span *s, struct fp *k)
{
	return s->type == JSON_STRING && s->len == 34 &&
	       hex_read(s->p + 1, &k->hi) && hex_read(s->p + 17, &k->lo);
}

static bool
part_read(const struct json_span *s, struct sum_part *p)
{
	struct json_iter it;
	struct json_span v;
	uint64_t high, mid, low;
	int64_t scale;

	if (s->type != JSON_ARRAY)
		return false;
	json_iter_init(&it, s);
	if (!json_next_element(&it, &v) || !json_i64(&v, &scale) ||
	    scale < -60 || scale > 100)
		return false;
	if (!json_next_element(&it, &v) || v.type != JSON_STRING ||
	    v.len != 50 || !hex_read(v.p + 1, &high) ||
	    !hex_read(v.p + 17, &mid) || !hex_read(v.p + 33, &low))
		return false;
	p->scale = (int32_t)scale;
	p->high = (int64_t)high;
	p->low = (sum_low)mid << 64 | low;
	return true;
}

static bool
event_read(const struct json_span *s, struct event *e)
{
	struct json_iter it;
	struct json_span v;
	int64_t steps;

	if (s->type != JSON_ARRAY)
		return false;
	json_iter_init(&it, s);
	if (!json_next_element(&it, &v) || !fp_read(&v, &e->who) ||
	    !json_next_element(&it, &v) || !json_i64(&v, &e->us) ||
	    !json_next_element(&it, &v) || !json_i64(&v, &steps) || steps < 0 ||
	    steps >> STEP_MAX != 0 || !json_next_element(&it, &v) ||
	    v.type != JSON_NUMBER || !dec_parse(v.p, v.len, &e->value))
		return false;
	e->steps = (uint32_t)steps;
	return true;
}

static const struct text *
text_read(struct agg *a, const struct json_span *s)
{
	const struct text *t;
	char *p;

	if (s->type != JSON_STRING)
		return NULL;
	p = xmalloc(s->len);
	t = agg_text(a, p, json_decode(s, p));
	free(p);
	return t;
}

static const struct app_conf *
conf_of(const struct apps *apps, const struct text *id)
{
	for (size_t i = 0; i < apps->n; i++)
		if (strcmp(apps->app[i].id, id->s) == 0)
			return &apps->app[i];
	return NULL;
}

static bool
hll_read(const struct json_span *s, struct acc *x)
{
	uint8_t reg[HLL_SIZE];

	if (s->type != JSON_STRING || s->len != HLL_SIZE + 2)
		return false;
	for (size_t i = 0; i < HLL_SIZE; i++) {
		const char *hit = strchr(hll_digits, s->p[i + 1]);

		if (hit == NULL)
			return false;
		reg[i] = (uint8_t)(hit - hll_digits);
	}
	if (x->hll == NULL)
		x->hll = xcalloc(1, HLL_SIZE);
	hll_merge(x->hll, reg);
	return true;
}

static const char damaged[] = "a damaged partial result";

static const char *
lists_read(struct agg *a, struct acc *x, const struct record *rec)
{
	struct json_iter it;
	struct json_span v;
	struct sum_part part;
	struct event e;
	struct fp k;

	if (rec->val[P_SUM].type == JSON_ARRAY) {
		json_iter_init(&it, &rec->val[P_SUM]);
		while (json_next_element(&it, &v)) {
			if (!part_read(&v, &part))
				return damaged;
			sum_add_part(&x->sum, &part);
		}
	}
	if (rec->val[P_KEYS].type == JSON_ARRAY) {
		json_iter_init(&it, &rec->val[P_KEYS]);
		while (json_next_element(&it, &v)) {
			if (!fp_read(&v, &k))
				return damaged;
			if (!agg_key(a, x, k))
				return "more keys than --max-memory";
		}
	}
	if (rec->val[P_EVENTS].type == JSON_ARRAY) {
		json_iter_init(&it, &rec->val[P_EVENTS]);
		while (json_next_element(&it, &v)) {
			if (!event_read(&v, &e))
				return damaged;
			acc_event(x, &e);
		}
	}
	return NULL;
}

static const char *
acc_read(struct agg *a, struct acc *x, const struct record *rec)
{
	enum agg_kind kind = a->d->metric[x->metric].agg;
	const struct json_span *least = &rec->val[P_LEAST];
	struct dec v;
	int64_t n = 0;

	if (rec->val[P_N].type != JSON_ABSENT &&
	    (!json_i64(&rec->val[P_N], &n) || n < 0))
		return damaged;
	if (kind == AGG_MIN || kind == AGG_MAX || kind == AGG_ONE) {
		if (least->type != JSON_NUMBER || n == 0 ||
		    !dec_parse(least->p, least->len, &v))
			return damaged;
		acc_value(a, x, &v);
		n--;
	}
	x->n += (uint64_t)n;
	if (rec->val[P_HLL].type != JSON_ABSENT &&
	    !hll_read(&rec->val[P_HLL], x))
		return damaged;
	return lists_read(a, x, rec);
}

/* The accumulator that a record is of. */
static struct acc *
acc_of(struct agg *a, struct cell *c, const struct record *rec)
{
	const struct text *name = text_read(a, &rec->val[P_METRIC]);
	const struct text *seg = text_read(a, &rec->val[P_SEGMENT]);
	const struct text *unit = text_read(a, &rec->val[P_UNIT]);
	const struct dict *d = a->d;
	int m = 0, s = -1;
	bool first = true;

	while (name != NULL && m < d->nmetric &&
	       strcmp(d->metric[m].name, name->s) != 0)
		m++;
	if (name == NULL || m == d->nmetric)
		return NULL;
	for (int i = 0; seg != NULL && i < d->metric[m].nsegments; i++)
		if (strcmp(d->segment[d->metric[m].segment[i]].name, seg->s) ==
		    0) {
			s = d->metric[m].segment[i];
			first = i == 0;
		}
	if ((s < 0) != (d->metric[m].nsegments == 0) ||
	    (s >= 0) != (rec->val[P_VALUE].type == JSON_STRING))
		return NULL;
	return agg_finest(a, c, m, s,
	    s < 0 ? NULL : text_read(a, &rec->val[P_VALUE]), unit, first);
}

static const char *
seen_read(struct agg *a, struct seen **list, const struct record *rec, int path)
{
	const struct text *t = text_read(a, &rec->val[path]);
	int64_t n;

	if (t == NULL || !json_i64(&rec->val[P_N], &n) || n < 0)
		return damaged;
	agg_seen(a, list, t->s, t->len)->n += (uint64_t)n;
	return NULL;
}

static const char *
counts_read(struct agg *a, const struct record *rec)
{
	int64_t excluded, nans;

	if (!json_i64(&rec->val[P_EXCLUDED], &excluded) ||
	    !json_i64(&rec->val[P_NOT_NUMBERS], &nans) || excluded < 0 ||
	    nans < 0)
		return damaged;
	a->excluded += (uint64_t)excluded;
	a->not_numbers += (uint64_t)nans;
	return NULL;
}

const char *
partial_read(struct agg *a, int32_t day, const struct record *rec)
{
	const struct text *app, *platform;
	struct cell *c;
	struct acc *x;

	if (rec->val[P_UNKNOWN_EVENT].type != JSON_ABSENT)
		return seen_read(a, &a->events, rec, P_UNKNOWN_EVENT);
	if (rec->val[P_UNKNOWN_APP].type != JSON_ABSENT)
		return seen_read(a, &a->apps_unknown, rec, P_UNKNOWN_APP);
	if (rec->val[P_EXCLUDED].type != JSON_ABSENT)
		return counts_read(a, rec);
	app = text_read(a, &rec->val[P_APP]);
	platform = text_read(a, &rec->val[P_PLATFORM]);
	if (app == NULL || platform == NULL)
		return damaged;
	c = agg_cell(a, day, app, conf_of(a->apps, app), platform);
	if (rec->val[P_METRIC].type == JSON_ABSENT) {
		c->wanted = true;
		if (c->all != NULL)
			c->all->wanted = true;
		return NULL;
	}
	x = acc_of(a, c, rec);
	return x == NULL ? damaged : acc_read(a, x, rec);
}
