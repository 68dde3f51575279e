/*
 * What identifies a row of the GA4 export.
 *
 * The export has no key, and one row arrives in many shapes: INT64 as string
 * or number, floats as 31.0, "31.0" or 3.1e1, null or absent, parameters in
 * any order or as JSON in a string, column names in upper case. The payload
 * is made of values only, in a fixed order, each with its length:
 *
 *	text     LENGTH:BYTES,     (netstrings; the bytes are decoded)
 *	number   the same, the bytes being its shortest exact decimal
 *	null     -,
 *
 *	ga4/1, property stream_id event_name event_timestamp user_pseudo_id
 *	batch_page_id batch_ordering_id batch_event_index
 *	COUNT; and for each event parameter, sorted by key and then by value:
 *	key, then s or n and the value, or - where it is null
 *
 * Attribution, geo and user columns are left out: the daily table may restate
 * what the intraday one said.
 */
#include <stdlib.h>
#include <string.h>

#include "dec.h"
#include "event-id.h"
#include "mem.h"
#include "span.h"

enum column {
	EVENT_NAME,
	EVENT_TIMESTAMP,
	STREAM_ID,
	USER_PSEUDO_ID,
	BATCH_PAGE_ID,
	BATCH_ORDERING_ID,
	BATCH_EVENT_INDEX,
	EVENT_PARAMS,
	COLUMNS,
};

static const char *const lower[] = {"event_name", "event_timestamp",
    "stream_id", "user_pseudo_id", "batch_page_id", "batch_ordering_id",
    "batch_event_index", "event_params"};
static const char *const upper[] = {"EVENT_NAME", "EVENT_TIMESTAMP",
    "STREAM_ID", "USER_PSEUDO_ID", "BATCH_PAGE_ID", "BATCH_ORDERING_ID",
    "BATCH_EVENT_INDEX", "EVENT_PARAMS"};

/* A parameter: encoded key and value, from at to end of g->text. */
struct param {
	uint64_t prefix;                     /* of the key */
	uint32_t at, key, key_len, val, end; /* key: its bytes */
};

struct ga4 {
	int index[COLUMNS];
	struct json_span col[COLUMNS];
	struct buf head; /* the fixed beginning, with the property */
	struct buf text, number, decoded;
	struct param *params;
	size_t n, cap;
	uint64_t nan;
};

static const char too_large[] = "event_params is too large";

struct ga4 *
ga4_new(struct json_paths *paths)
{
	struct ga4 *g = xcalloc(1, sizeof *g);
	const char *why;

	for (int i = 0; i < COLUMNS; i++)
		g->index[i] = json_paths_add(paths, lower[i], &why);
	buf_init(&g->head, 1u << 16);
	buf_init(&g->text, 1u << 30);
	buf_init(&g->number, 1u << 30);
	buf_init(&g->decoded, 1u << 30);
	return g;
}

void
ga4_free(struct ga4 *g)
{
	if (g == NULL)
		return;
	buf_release(&g->head);
	buf_release(&g->text);
	buf_release(&g->number);
	buf_release(&g->decoded);
	free(g->params);
	free(g);
}

const struct json_span *
ga4_timestamp(const struct ga4 *g)
{
	return &g->col[EVENT_TIMESTAMP];
}

uint64_t
ga4_nan(const struct ga4 *g)
{
	return g->nan;
}

/* LENGTH:BYTES, */
static inline void
put(struct buf *out, const char *p, size_t n)
{
	char digits[24];
	size_t at = sizeof digits, v = n;

	if (!buf_room(out, n + 64))
		return;
	digits[--at] = ':';
	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	memcpy(out->p + out->len, digits + at, sizeof digits - at);
	out->len += sizeof digits - at;
	memcpy(out->p + out->len, p, n);
	out->len += n;
	out->p[out->len++] = ',';
}

static void
put_null(struct buf *out)
{
	buf_add(out, "-,", 2);
}

void
ga4_property(struct ga4 *g, const char *property)
{
	buf_reset(&g->head);
	buf_str(&g->head, "ga4/1,");
	if (*property == '\0')
		put_null(&g->head);
	else
		put(&g->head, property, strlen(property));
}

/* The count of bytes. */
static size_t
put_text(struct ga4 *g, struct buf *out, const struct json_span *v)
{
	if (!(v->flags & JSON_ESCAPED)) {
		put(out, v->p + 1, v->len - 2);
		return v->len - 2;
	}
	buf_reset(&g->decoded);
	json_decode_buf(v, &g->decoded);
	put(out, g->decoded.p, g->decoded.len);
	return g->decoded.len;
}

/* Digits that are their own shortest form. */
static inline bool
shortest(const char *p, size_t n)
{
	size_t i = n > 0 && p[0] == '-';

	if (i == n || n > 20 || (p[i] == '0' && n > 1))
		return false;
	for (; i < n; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return true;
}

static bool
is_word(const char *p, size_t n, const char *word)
{
	size_t i;

	for (i = 0; i < n && word[i] != '\0'; i++)
		if ((p[i] | 0x20) != word[i])
			return false;
	return i == n && word[i] == '\0';
}

/* NaN is null in disguise; the infinities have one spelling. */
static const char *
put_odd_number(
    struct ga4 *g, struct buf *out, const char *tag, const char *p, size_t n)
{
	bool minus = n > 0 && *p == '-';
	size_t sign = n > 0 && (*p == '-' || *p == '+');

	if (is_word(p + sign, n - sign, "nan")) {
		g->nan++;
		put_null(out);
		return NULL;
	}
	if (!is_word(p + sign, n - sign, "inf") &&
	    !is_word(p + sign, n - sign, "infinity"))
		return "a number is not one";
	buf_str(out, tag);
	put(out, minus ? "-Infinity" : "Infinity", minus ? 9 : 8);
	return NULL;
}

/* A numeric leaf, written as a number or in a string. */
static const char *
put_number(
    struct ga4 *g, struct buf *out, const char *tag, const struct json_span *v)
{
	const char *p = v->p;
	size_t n = v->len;
	struct json_error e;

	if (v->type == JSON_NULL || v->type == JSON_ABSENT) {
		put_null(out);
		return NULL;
	}
	if (v->type == JSON_STRING) {
		p++;
		n -= 2;
	} else if (v->type != JSON_NUMBER) {
		return "a number is not one";
	}
	if (shortest(p, n)) {
		buf_str(out, tag);
		put(out, p, n);
		return NULL;
	}
	if (n == 0 || (*p != '-' && (*p < '0' || *p > '9')) || p[n - 1] < '0' ||
	    p[n - 1] > '9' || !json_check(p, n, false, &e))
		return put_odd_number(g, out, tag, p, n);
	buf_reset(&g->number);
	num_canonical(&g->number, p, n);
	buf_str(out, tag);
	put(out, g->number.p, g->number.len);
	return NULL;
}

/* A column of text. Some exports write ids of digits as numbers. */
static const char *
put_column(struct ga4 *g, struct buf *out, const struct json_span *v)
{
	if (v->type == JSON_STRING) {
		put_text(g, out, v);
		return NULL;
	}
	return put_number(g, out, "", v);
}

static const char *
slot(struct ga4 *g, const struct json_span *key, const struct json_span *v)
{
	if (v->type == JSON_NULL)
		return NULL;
	if (json_is(key, "string_value", 12)) {
		if (v->type != JSON_STRING)
			return "a string_value is not a string";
		buf_char(&g->text, 's');
		put_text(g, &g->text, v);
		return NULL;
	}
	if (json_is(key, "int_value", 9) || json_is(key, "double_value", 12) ||
	    json_is(key, "float_value", 11)) {
		size_t before = g->text.len;
		const char *why = put_number(g, &g->text, "n", v);

		/* NaN: as if the slot were empty */
		if (g->text.len == before + 2)
			g->text.len = before;
		return why;
	}
	return NULL;
}

/* The slots of a value that are set, or "-,". */
static const char *
param_value(struct ga4 *g, const struct json_span *v, struct param *m)
{
	struct json_iter it;
	struct json_span key, val;
	const char *why;

	if (v->type == JSON_OBJECT) {
		json_iter_init(&it, v);
		while (json_next_member(&it, &key, &val))
			if ((why = slot(g, &key, &val)) != NULL)
				return why;
	} else if (v->type != JSON_NULL && v->type != JSON_ABSENT) {
		return "the value of an event parameter is not an object";
	}
	if (g->text.len == m->val)
		put_null(&g->text);
	m->end = (uint32_t)g->text.len;
	return NULL;
}

static struct param *
param_new(struct ga4 *g)
{
	if (g->n == g->cap) {
		g->cap = g->cap == 0 ? 64 : g->cap * 2;
		g->params = xreallocarray(g->params, g->cap, sizeof *g->params);
	}
	return &g->params[g->n++];
}

/* The key was just put: its bytes stand before the last comma. */
static void
param_key(struct ga4 *g, struct param *m)
{
	m->val = (uint32_t)g->text.len;
	m->key = m->val - 1 - m->key_len;
	m->prefix =
	    g->text.over ? 0 : span_prefix(g->text.p + m->key, m->key_len);
}

static const char *
param_any(struct ga4 *g, const struct json_span *element)
{
	struct json_iter it;
	struct json_span name, val, key = {0}, value = {0};
	struct param *m;

	if (element->type != JSON_OBJECT)
		return "an event parameter is not an object";
	json_iter_init(&it, element);
	while (json_next_member(&it, &name, &val)) {
		struct json_span *to = json_is(&name, "key", 3)     ? &key
				       : json_is(&name, "value", 5) ? &value
								    : NULL;

		if (to == NULL)
			continue;
		if (to->type != JSON_ABSENT)
			return "an event parameter has a member twice";
		*to = val;
	}
	if (key.type != JSON_STRING)
		return "an event parameter has no key";
	m = param_new(g);
	m->at = (uint32_t)g->text.len;
	m->key_len = (uint32_t)put_text(g, &g->text, &key);
	param_key(g, m);
	return param_value(g, &value, m);
}

/*
 * The shape of the extract job, {"key":"k","value":{"int_value":"1"}}, is
 * read in one go. Returns what follows it, or NULL for any other shape,
 * having added nothing.
 */
static const char *
param_usual(struct ga4 *g, const char *p)
{
	static const char begin[] = "{\"key\":\"", mid[] = ",\"value\":{\"";
	const char *key, *key_end, *v, *v_end;
	struct param *m;
	bool text;

	if (memcmp(p, begin, 8) != 0)
		return NULL;
	key = p + 8;
	key_end = span_special(key);
	if (*key_end != '"' || memcmp(key_end + 1, mid, 11) != 0)
		return NULL;
	p = key_end + 12;
	text = memcmp(p, "string_value\":\"", 15) == 0;
	if (text)
		v = p + 15;
	else if (memcmp(p, "int_value\":\"", 12) == 0)
		v = p + 12;
	else
		return NULL;
	v_end = span_special(v);
	if (v_end[0] != '"' || v_end[1] != '}' || v_end[2] != '}' ||
	    (!text && !shortest(v, (size_t)(v_end - v))))
		return NULL;
	m = param_new(g);
	m->at = (uint32_t)g->text.len;
	m->key_len = (uint32_t)(key_end - key);
	put(&g->text, key, m->key_len);
	param_key(g, m);
	buf_char(&g->text, text ? 's' : 'n');
	put(&g->text, v, (size_t)(v_end - v));
	m->end = (uint32_t)g->text.len;
	return v_end + 3;
}

static const char *
collect(struct ga4 *g, const struct json_span *array)
{
	const char *p = array->p + 1;

	for (;;) {
		const char *next, *why;
		struct json_span v;

		p = span_blanks(p);
		if (*p == ',')
			p++;
		else if (*p == ']')
			return NULL;
		else if ((next = param_usual(g, p)) != NULL)
			p = next;
		else {
			v = json_value(p);
			if ((why = param_any(g, &v)) != NULL)
				return why;
			p = v.p + v.len;
		}
	}
}

/* By the bytes of the keys, then of the encoded values. */
static int
order(const struct ga4 *g, const struct param *a, const struct param *b)
{
	const char *t = g->text.p;
	uint32_t an = a->end - a->val, bn = b->end - b->val;
	int c;

	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	c = memcmp(t + a->key, t + b->key,
	    a->key_len < b->key_len ? a->key_len : b->key_len);
	if (c != 0)
		return c;
	if (a->key_len != b->key_len)
		return a->key_len < b->key_len ? -1 : 1;
	c = memcmp(t + a->val, t + b->val, an < bn ? an : bn);
	return c != 0 ? c : (an > bn) - (an < bn);
}

/* Heap sort from `enough` parameters up: an array made to hurt cannot. */
static void
sift(struct ga4 *g, size_t root, size_t n)
{
	struct param *m = g->params, t;

	for (size_t c; (c = 2 * root + 1) < n; root = c) {
		if (c + 1 < n && order(g, &m[c], &m[c + 1]) < 0)
			c++;
		if (order(g, &m[root], &m[c]) >= 0)
			return;
		t = m[root];
		m[root] = m[c];
		m[c] = t;
	}
}

static void
sort(struct ga4 *g)
{
	enum { ENOUGH = 64 };
	struct param *m = g->params, t;

	if (g->n <= ENOUGH) {
		for (size_t i = 1; i < g->n; i++) {
			size_t k = i;

			t = m[i];
			for (; k > 0 && order(g, &m[k - 1], &t) > 0; k--)
				m[k] = m[k - 1];
			m[k] = t;
		}
		return;
	}
	for (size_t i = g->n / 2; i-- > 0;)
		sift(g, i, g->n);
	for (size_t n = g->n; --n > 0;) {
		t = m[0];
		m[0] = m[n];
		m[n] = t;
		sift(g, 0, n);
	}
}

/* The array of parameters, perhaps as JSON in a string. */
static const char *
params(struct ga4 *g, struct buf *out, const struct json_span *v)
{
	struct buf unpacked = BUF_INIT(1u << 30);
	struct json_span array = *v;
	struct json_error e;
	const char *why = NULL;

	g->n = 0;
	buf_reset(&g->text);
	if (v->type == JSON_STRING) {
		static const char pad[JSON_PAD] = "\n";
		size_t n;

		json_decode_buf(v, &unpacked);
		n = unpacked.len;
		buf_add(&unpacked, pad, sizeof pad);
		if (!json_check(unpacked.p, n, false, &e))
			why = "event_params is a string that is not JSON";
		else
			array = json_value(unpacked.p);
	}
	if (why == NULL && array.type == JSON_ARRAY)
		why = collect(g, &array);
	else if (why == NULL && array.type != JSON_NULL &&
		 array.type != JSON_ABSENT)
		why = "event_params is not an array";
	buf_release(&unpacked);
	if (why != NULL)
		return why;
	if (g->n > 0 && !buf_room(&g->text, 64)) /* for span_copy */
		return too_large;
	sort(g);
	buf_u64(out, g->n);
	buf_char(out, ';');
	for (size_t i = 0; i < g->n; i++) {
		const struct param *m = &g->params[i];

		if (!buf_room(out, m->end - m->at + 64))
			return too_large;
		span_copy(out->p + out->len, g->text.p + m->at, m->end - m->at);
		out->len += m->end - m->at;
	}
	return NULL;
}

/* Rows of the upper case kind: every column by its other name. */
static void
find_upper(struct ga4 *g, const struct json_span *record)
{
	for (int i = 0; i < COLUMNS; i++)
		g->col[i] = json_member(record, upper[i]);
}

const char *
ga4_payload(struct ga4 *g, const struct json_span *record,
    const struct json_span *vals, struct buf *out)
{
	static const enum column texts[] = {STREAM_ID, EVENT_NAME};
	static const enum column numbers[] = {
	    BATCH_PAGE_ID, BATCH_ORDERING_ID, BATCH_EVENT_INDEX};
	const char *why = NULL;

	for (int i = 0; i < COLUMNS; i++) {
		g->col[i] = vals[g->index[i]];
		if (g->col[i].flags & JSON_DUPLICATE)
			return "a column occurs twice";
	}
	if (g->col[EVENT_NAME].type == JSON_ABSENT)
		find_upper(g, record);
	if (g->col[EVENT_NAME].type != JSON_STRING)
		return "event_name is not a string";
	buf_add(out, g->head.p, g->head.len);
	for (size_t i = 0; i < 2 && why == NULL; i++)
		why = put_column(g, out, &g->col[texts[i]]);
	if (why == NULL)
		why = put_number(g, out, "", &g->col[EVENT_TIMESTAMP]);
	if (why == NULL)
		why = put_column(g, out, &g->col[USER_PSEUDO_ID]);
	for (size_t i = 0; i < 3 && why == NULL; i++)
		why = put_number(g, out, "", &g->col[numbers[i]]);
	return why != NULL ? why : params(g, out, &g->col[EVENT_PARAMS]);
}
