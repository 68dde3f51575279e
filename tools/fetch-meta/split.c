/*
 * A day that is too much for one request: by the ids of what is above the
 * level asked for, then by fields. Sums are never made: an account's row can
 * only be split by fields. Where not even one field can be had, the last
 * breakdown is left out, and the day says so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "fetch-meta.h"
#include "mem.h"
#include "sys.h"

enum { IDS_MAX = 200000, LOOKBACK = 28, JOIN_MAX = 16 << 20 };

/* ---- by id ---- */

struct ids {
	char **id;
	size_t n;
};

static void
ids_release(struct ids *ids)
{
	for (size_t i = 0; i < ids->n; i++)
		free(ids->id[i]);
	free(ids->id);
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
unique(struct ids *ids)
{
	size_t n = 0;

	if (ids->n == 0)
		return;
	qsort(ids->id, ids->n, sizeof *ids->id, by_text);
	for (size_t i = 1; i < ids->n; i++) {
		if (strcmp(ids->id[n], ids->id[i]) == 0)
			free(ids->id[i]);
		else
			ids->id[++n] = ids->id[i];
	}
	ids->n = n + 1;
}

/*
 * The ids of a level that may have rows on the day. Conversions come late, to
 * things that were not shown any more: hence the wider range.
 */
static int
find_ids(
    struct meta *m, const struct query *q, enum level level, struct ids *ids)
{
	struct query find = *q;
	struct rows rows;
	struct buf text = BUF_INIT(1 << 20);
	char name[20];
	int rc;

	find.level = level;
	find.ids_only = true;
	find.since = q->since - LOOKBACK;
	rows_init(&rows);
	rc = insights_get(m, &find, &rows);
	snprintf(name, sizeof name, "%s_id", level_names[level]);
	rows_rewind(&rows);
	while (rc == RC_OK && rows_next(&rows, &text)) {
		struct json_span row = json_value(text.p),
				 id = json_member(&row, name);
		char digits[24];

		if (id.type != JSON_STRING || id.len - 2 >= sizeof digits ||
		    ids->n == IDS_MAX) {
			rc = graph_fault(m, RC_CONTRACT, "no list of %s", name);
			break;
		}
		digits[json_decode(&id, digits)] = '\0';
		ids->id = xreallocarray(ids->id, ids->n + 1, sizeof *ids->id);
		ids->id[ids->n++] = xstrdup(digits);
	}
	if (rc == RC_SPLIT)
		rc = graph_fault(
		    m, RC_CONTRACT, "the list of %s is too much data", name);
	unique(ids);
	rows_release(&rows);
	buf_release(&text);
	return rc;
}

static void
learn(struct meta *m, uint64_t *what, uint64_t value)
{
	if (m->soft)
		return;
	*what = value > 0 ? value : 1;
	m->state.plan.since_s = m->now_s;
}

static int
in_batches(struct meta *m, const struct query *q, enum level filter, char **ids,
    size_t n, size_t batch, struct rows *rows)
{
	int rc = RC_OK;

	for (size_t i = 0; i < n && rc == RC_OK; i += batch) {
		struct query sub = *q;

		sub.filter = filter;
		sub.ids = ids + i;
		sub.n_ids = n - i < batch ? n - i : batch;
		rc = split_get(m, &sub, rows);
	}
	return rc;
}

/* RC_SPLIT: there is nothing to split by. */
static int
by_children(struct meta *m, const struct query *q, struct rows *rows)
{
	enum level level = q->filter + 1;
	struct ids ids = {NULL, 0};
	size_t batch = m->state.plan.ids;
	struct rows own; /* of all batches, or of none */
	int rc = find_ids(m, q, level, &ids);

	rows_init(&own);
	if (rc == RC_OK && ids.n == 0)
		rc = RC_SPLIT;
	if (batch == 0 || q->filter != LEVEL_ACCOUNT)
		batch = (ids.n + 1) / 2;
	if (rc == RC_OK) {
		if (q->filter == LEVEL_ACCOUNT)
			learn(m, &m->state.plan.ids, batch);
		rc = in_batches(m, q, level, ids.id, ids.n, batch, &own);
	}
	if (rc == RC_OK)
		rc = rows_move(rows, &own);
	rows_release(&own);
	ids_release(&ids);
	return rc;
}

static int
by_halves(struct meta *m, const struct query *q, struct rows *rows)
{
	size_t half = (q->n_ids + 1) / 2;

	if (q->filter == LEVEL_CAMPAIGN &&
	    (m->state.plan.ids == 0 || half < m->state.plan.ids))
		learn(m, &m->state.plan.ids, half);
	return in_batches(m, q, q->filter, q->ids, q->n_ids, half, rows);
}

/* ---- by field ---- */

struct entry {
	unsigned char key[SHA_LEN];
	size_t at, len;
	bool used;
};

struct side {
	struct buf text;
	struct entry *row;
	size_t n;
};

static void
key_add(struct buf *key, const struct json_span *row, const char *name)
{
	struct json_span v = json_member(row, name);

	buf_add(key, v.p, v.type == JSON_ABSENT ? 0 : v.len);
	buf_char(key, '\n');
}

static int
by_key(const void *a, const void *b)
{
	return memcmp(a, b, SHA_LEN);
}

static int
side_read(struct meta *m, struct rows *from, struct side *s)
{
	struct buf one = BUF_INIT(JOIN_MAX), key = BUF_INIT(JOIN_MAX);
	int rc = RC_OK;

	buf_init(&s->text, JOIN_MAX);
	rows_rewind(from);
	while (rows_next(from, &one)) {
		struct json_span row = json_value(one.p);
		struct entry *e;

		buf_reset(&key);
		key_add(&key, &row, "date_start");
		key_add(&key, &row, "campaign_id");
		key_add(&key, &row, "adset_id");
		key_add(&key, &row, "ad_id");
		for (size_t i = 0; i < m->n_breakdowns; i++)
			key_add(&key, &row, m->breakdowns[i]);
		s->row = xreallocarray(s->row, s->n + 1, sizeof *s->row);
		e = &s->row[s->n++];
		*e = (struct entry){.at = s->text.len, .len = one.len};
		sha256_one(key.p, key.len, e->key);
		buf_add(&s->text, one.p, one.len);
		buf_char(&s->text, '\0');
	}
	if (s->text.over)
		rc = graph_fault(m, RC_CONTRACT,
		    "too much data to put fields together again");
	else if (s->n > 0)
		qsort(s->row, s->n, sizeof *s->row, by_key);
	for (size_t i = 1; i < s->n && rc == RC_OK; i++)
		if (by_key(&s->row[i - 1], &s->row[i]) == 0)
			rc = graph_fault(m, RC_CONTRACT,
			    "two rows have one key: fields cannot be put "
			    "together");
	buf_release(&one);
	buf_release(&key);
	return rc;
}

/* The members of b that a has not, behind those of a. */
static void
merge(struct buf *out, const char *a, size_t a_len, const char *b)
{
	struct json_span row = json_value(a), other = json_value(b), key, val;
	struct json_iter it;
	struct buf name = BUF_INIT(1 << 20);

	buf_add(out, a, a_len - 1);
	json_iter_init(&it, &other);
	while (json_next_member(&it, &key, &val)) {
		buf_reset(&name);
		json_decode_buf(&key, &name);
		if (json_member(&row, buf_cstr(&name)).type != JSON_ABSENT)
			continue;
		buf_char(out, ',');
		buf_add(out, key.p, key.len);
		buf_char(out, ':');
		buf_add(out, val.p, val.len);
	}
	buf_char(out, '}');
	buf_release(&name);
}

static int
join(struct meta *m, struct side *a, struct side *b, struct rows *rows)
{
	struct buf out = BUF_INIT(JOIN_MAX);
	int rc = RC_OK;

	/* Nothing beside something is no answer. */
	if ((a->n == 0) != (b->n == 0))
		return graph_fault(m, RC_CONTRACT,
		    "a part of the fields has no rows, another has");
	for (size_t i = 0; i < a->n && rc == RC_OK; i++) {
		struct entry *e = &a->row[i], *o;
		const char *text = a->text.p + e->at;

		o = bsearch(e, b->row, b->n, sizeof *b->row, by_key);
		if (o == NULL) {
			rc = rows_add(rows, NULL, 0, text, e->len);
			continue;
		}
		o->used = true;
		buf_reset(&out);
		merge(&out, text, e->len, b->text.p + o->at);
		rc = rows_add(rows, NULL, 0, out.p, out.len);
	}
	for (size_t i = 0; i < b->n && rc == RC_OK; i++)
		if (!b->row[i].used)
			rc = rows_add(rows, NULL, 0, b->text.p + b->row[i].at,
			    b->row[i].len);
	buf_release(&out);
	return rc;
}

/* RC_SPLIT: no field of it can be had; m->dropped has their names. */
static int
by_fields(struct meta *m, const struct query *q, struct rows *rows)
{
	size_t n = q->field_hi - q->field_lo;
	struct rows part[2];
	struct side side[2] = {{.row = NULL}, {.row = NULL}};
	int rc[2] = {RC_OK, RC_OK}, all;

	rows_init(&part[0]);
	rows_init(&part[1]);
	for (int i = 0; i < 2; i++) {
		struct query sub = *q;

		if (i == 0)
			sub.field_hi = q->field_lo + n / 2;
		else
			sub.field_lo = q->field_lo + n / 2;
		rc[i] = split_get(m, &sub, &part[i]);
		all = rc[i];
		if (all != RC_OK && all != RC_SPLIT)
			goto done;
	}
	if (rc[0] == RC_SPLIT && rc[1] == RC_SPLIT) {
		all = RC_SPLIT;
	} else if (rc[0] != rc[1]) {
		all = rows_move(rows, &part[rc[0] == RC_OK ? 0 : 1]);
	} else {
		all = side_read(m, &part[0], &side[0]);
		if (all == RC_OK)
			all = side_read(m, &part[1], &side[1]);
		if (all == RC_OK)
			all = join(m, &side[0], &side[1], rows);
	}
done:
	for (int i = 0; i < 2; i++) {
		rows_release(&part[i]);
		buf_release(&side[i].text);
		free(side[i].row);
	}
	return all;
}

/* A name onto a comma list, once. */
static void
leave_out(struct buf *list, const char *name)
{
	const char *p = buf_cstr(list);
	size_t n = strlen(name);

	for (; *p != '\0'; p += strcspn(p, ","), p += *p == ',')
		if (strncmp(p, name, n) == 0 && (p[n] == ',' || p[n] == '\0'))
			return;
	if (list->len > 0)
		buf_char(list, ',');
	buf_str(list, name);
}

/* RC_SPLIT: of no field anything can be had. What was left out on the way to
 * that is of no interest then. */
static int
coarser(
    struct meta *m, const struct query *q, size_t dropped, struct rows *rows)
{
	struct query sub = *q;

	if (q->n_breakdowns == 0 || q->field_lo != m->n_keys ||
	    q->field_hi != m->n_fields)
		return RC_SPLIT;
	m->dropped.len = dropped;
	sub.n_breakdowns--;
	leave_out(&m->coarser, m->breakdowns[sub.n_breakdowns]);
	return split_get(m, &sub, rows);
}

/* ---- all of it ---- */

static bool
known_too_big(const struct plan *p, const struct query *q)
{
	if (p->fields > 0 && q->field_hi - q->field_lo > p->fields)
		return true;
	if (p->ids == 0)
		return false;
	return q->filter == LEVEL_ACCOUNT
		   ? q->level > LEVEL_ACCOUNT
		   : q->filter == LEVEL_CAMPAIGN && q->n_ids > p->ids;
}

int
split_get(struct meta *m, const struct query *q, struct rows *rows)
{
	size_t n = q->field_hi - q->field_lo;
	int rc = RC_SPLIT;
	bool known = known_too_big(&m->state.plan, q);
	size_t dropped = m->dropped.len;

	if (sig_pending() != 0)
		return 128 + sig_pending();
	if (!known)
		rc = insights_get(m, q, rows);
	if (rc != RC_SPLIT)
		return rc;
	if (q->n_ids > 1)
		return by_halves(m, q, rows);
	if (q->filter < q->level) {
		rc = by_children(m, q, rows);
		if (rc != RC_SPLIT)
			return rc;
	}
	if (n <= 1) {
		leave_out(&m->dropped, n == 1 ? m->fields[q->field_lo] : "all");
	} else {
		if (!known || m->state.plan.fields == 0)
			learn(m, &m->state.plan.fields, n / 2);
		rc = by_fields(m, q, rows);
	}
	return rc == RC_SPLIT ? coarser(m, q, dropped, rows) : rc;
}
