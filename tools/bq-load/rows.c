#include "rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "buf.h"
#include "date.h"
#include "dec.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"

enum {
	LINE_MAX_ = 100 << 20, /* a row of BigQuery */
	SHOWN = 80,
	KEYS_BYTES = 24 << 20, /* then the service looks for keys that repeat */
	DIGITS_MAX = 400,
};

/* ---- columns ---- */

const char *
type_word(const char *type)
{
	static const char *const same[][2] = {{"INTEGER", "INT64"},
	    {"FLOAT", "FLOAT64"}, {"BOOLEAN", "BOOL"}, {"RECORD", "STRUCT"},
	    {"DECIMAL", "NUMERIC"}, {"BIGDECIMAL", "BIGNUMERIC"}};

	for (size_t i = 0; i < sizeof same / sizeof *same; i++)
		if (strcasecmp(type, same[i][0]) == 0)
			return same[i][1];
	return type;
}

static enum col_type
kind_of(const struct column *c)
{
	static const struct {
		const char *word;
		enum col_type kind;
	} kinds[] = {{"STRING", COL_STRING}, {"INT64", COL_INT},
	    {"NUMERIC", COL_NUMERIC}, {"BIGNUMERIC", COL_BIGNUMERIC},
	    {"FLOAT64", COL_FLOAT}, {"BOOL", COL_BOOL}, {"DATE", COL_DATE},
	    {"TIMESTAMP", COL_TIMESTAMP}};

	if (strcasecmp(c->mode, "REPEATED") == 0)
		return COL_OTHER;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcasecmp(type_word(c->type), kinds[i].word) == 0)
			return kinds[i].kind;
	return COL_OTHER;
}

static char *
text_of(const struct json_span *object, const char *name, const char *def)
{
	struct json_span v = json_member(object, name);
	char *text;

	if (v.type != JSON_STRING)
		return xstrdup(def);
	text = xcalloc(v.len, 1);
	json_decode(&v, text);
	return text;
}

static bool
one_of(const char *word, const char *list)
{
	size_t n = strlen(word);

	while (*list != '\0') {
		size_t len = strcspn(list, ",");

		if (len == n && strncmp(word, list, n) == 0)
			return true;
		list += len + (list[len] == ',');
	}
	return false;
}

/* What our own tables ask of a record, and by what a row is named. */
static const struct known {
	const char *table, *must, *key;
} known[] = {
    {"fact_kpi_daily",
	"date,app_id,platform,source_system,metric,segment,value",
	"app_id,platform,metric,segment"},
    {"dim_apps", "app_id", "app_id"},
    {"pipeline_runs", "run_id,pipeline,start_time,status",
	"run_id,pipeline,source_system"},
    {"findings", "fingerprint,check,severity,message", "fingerprint"},
    {"freezes", "reason", "source_system,feed"},
};

static const struct known *
known_table(const char *name)
{
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(known[i].table, name) == 0)
			return &known[i];
	return NULL;
}

static void
add_column(struct rows *r, const struct json_span *field)
{
	const struct known *k = known_table(r->table);
	struct json_span inner;
	struct column *c;

	r->col = xreallocarray(r->col, r->n + 1, sizeof *r->col);
	c = &r->col[r->n++];
	*c = (struct column){.name = text_of(field, "name", ""),
	    .type = text_of(field, "type", "STRING"),
	    .mode = text_of(field, "mode", "NULLABLE")};
	inner = json_member(field, "fields");
	if (inner.type == JSON_ARRAY)
		c->fields = xstrndup(inner.p, inner.len);
	c->len = strlen(c->name);
	c->required = strcasecmp(c->mode, "REQUIRED") == 0;
	c->kind = kind_of(c);
	c->must = k != NULL ? one_of(c->name, k->must) : c->required;
	if (c->required && !c->must && c->kind == COL_STRING)
		c->def = "";
	c->given =
	    r->kpi && one_of(c->name, "feed,batch_id,generation,fetched_at,"
				      "published_at,deleted_at");
}

static struct column *
find(struct rows *r, const char *name, size_t len)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->col[i].len == len &&
		    memcmp(r->col[i].name, name, len) == 0)
			return &r->col[i];
	return NULL;
}

static int
take_key(struct rows *r, const char *key)
{
	const struct known *k = known_table(r->table);
	char shown[DIAG_QUOTE];

	if (key == NULL && k != NULL)
		key = k->key;
	while (key != NULL && *key != '\0') {
		size_t len = strcspn(key, ",");
		struct column *c = find(r, key, len);

		if (c == NULL || c->given) {
			warn_msg("--key", "table %s has no column %s", r->table,
			    diag_quote(shown, key, len));
			return RC_CONTRACT;
		}
		c->key = true;
		key += len + (key[len] == ',');
	}
	return RC_OK;
}

/* The columns that our statements name are there. */
static int
check_kpi(struct rows *r)
{
	static const char *const names[] = {"date", "app_id", "platform",
	    "source_system", "metric", "segment", "value", "num", "den", "unit",
	    "kpi_version", "run_id", "quality", "feed", "batch_id",
	    "generation", "fetched_at", "published_at", "deleted_at"};

	for (size_t i = 0; r->kpi && i < sizeof names / sizeof *names; i++)
		if (find(r, names[i], strlen(names[i])) == NULL) {
			warn_msg(r->table, "it has no column %s (see --setup)",
			    names[i]);
			return RC_CONTRACT;
		}
	/* publish.sql writes these columns and no more */
	for (size_t i = 0; r->kpi && i < r->n; i++) {
		bool ours = false;

		for (size_t k = 0; k < sizeof names / sizeof *names; k++)
			ours = ours || strcmp(r->col[i].name, names[k]) == 0;
		r->col[i].given = r->col[i].given || !ours;
	}
	return RC_OK;
}

int
rows_open(struct rows *r, const char *table, const struct json_span *fields,
    const char *key)
{
	struct json_iter it;
	struct json_span f;
	int rc;

	*r = (struct rows){.table = xstrdup(table)};
	r->kpi = strcmp(table, "fact_kpi_daily") == 0;
	buf_init(&r->line, LINE_MAX_);
	buf_init(&r->text, LINE_MAX_);
	fp_key_random(&r->secret);
	json_iter_init(&it, fields);
	while (json_next_element(&it, &f))
		add_column(r, &f);
	rc = take_key(r, key);
	if (rc == RC_OK)
		rc = check_kpi(r);
	r->extra = find(r, "extra", 5);
	r->run_id = find(r, "run_id", 6);
	return rc;
}

void
rows_close(struct rows *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->col[i].name);
		free(r->col[i].type);
		free(r->col[i].mode);
		free(r->col[i].fields);
	}
	free(r->col);
	free(r->table);
	fpset_free(r->keys);
	buf_release(&r->line);
	buf_release(&r->text);
	*r = (struct rows){0};
}

void
rows_schema(const struct rows *r, struct buf *out)
{
	struct jsonw list, w;

	jsonw_begin(&list, out, '[');
	for (size_t i = 0; i < r->n; i++) {
		if (r->col[i].given)
			continue;
		jsonw_open(&list, NULL, &w, '{');
		jsonw_str(&w, "name", r->col[i].name);
		jsonw_str(&w, "type", r->col[i].type);
		jsonw_str(&w, "mode", r->col[i].mode);
		if (r->col[i].fields != NULL)
			jsonw_raw(&w, "fields", r->col[i].fields,
			    strlen(r->col[i].fields));
		jsonw_end(&w);
	}
	if (!r->kpi) { /* the order of the rows, for merge.sql */
		jsonw_open(&list, NULL, &w, '{');
		jsonw_str(&w, "name", "weir_line");
		jsonw_str(&w, "type", "INTEGER");
		jsonw_str(&w, "mode", "REQUIRED");
		jsonw_end(&w);
	}
	jsonw_end(&list);
}

void
rows_names(const struct rows *r, struct buf *out, const char *prefix)
{
	for (size_t i = 0, n = 0; i < r->n; i++)
		if (!r->col[i].given)
			buf_fmt(out, "%s%s`%s`", n++ > 0 ? ", " : "", prefix,
			    r->col[i].name);
}

void
rows_begin(struct rows *r, const char *source, const char *feed,
    const char *date, const char *run_id)
{
	r->source = source;
	r->feed = feed;
	r->date = date;
	r->own_run_id = run_id;
	r->sum[0] = r->sum[1] = 0;
	r->number = 0;
	fpset_free(r->keys);
	r->keys = r->kpi ? fpset_new(KEYS_BYTES) : NULL;
}

/* ---- values ---- */

static int
wrong(struct rows *r, const struct record *rec, const struct json_span *at,
    const char *what, const char *name, size_t len)
{
	char shown[DIAG_QUOTE];

	snprintf(r->why, sizeof r->why, "%s: %s",
	    diag_quote(shown, name, len < SHOWN ? len : SHOWN), what);
	r->byte = at != NULL ? (size_t)(at->p - rec->text) + 1 : 1;
	return RC_FINDINGS;
}

static const char *
put_string(struct rows *r, const struct json_span *v)
{
	size_t before = r->text.len;

	if ((v->flags & JSON_ESCAPED) == 0) {
		buf_add(&r->line, v->p, v->len);
		return NULL;
	}
	json_decode_buf(v, &r->text);
	if (memchr(r->text.p + before, '\0', r->text.len - before) != NULL)
		return "a text with \\u0000, which the table cannot hold";
	/* the same text is always written the same way */
	json_write_string(&r->line, r->text.p + before, r->text.len - before);
	return NULL;
}

static const char *
put_int(struct rows *r, const struct json_span *v)
{
	struct dec d;
	int64_t n;

	if ((v->type != JSON_NUMBER && v->type != JSON_STRING) ||
	    (!json_i64(v, &n) &&
		(v->type != JSON_NUMBER || !dec_parse(v->p, v->len, &d) ||
		    !dec_to_i64(&d, &n))))
		return "not an integer of 64 bits";
	buf_fmt(&r->line, "\"%" PRId64 "\"", n);
	return NULL;
}

/* A number as digits with a point among them: where the point stands, and the
 * digits without zeros around. False: too long to be one of BigQuery's. */
struct plain {
	char digit[DIGITS_MAX];
	int n, point; /* value = 0.DIGITS * 10^point */
	bool minus;
};

static bool
plain_of(const struct json_span *v, struct plain *d)
{
	const char *p = v->p, *end = p + v->len;
	bool dot = false;
	long exponent = 0;

	*d = (struct plain){0};
	if (*p == '-') {
		d->minus = true;
		p++;
	}
	for (; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.') {
			dot = true;
		} else if (d->n == 0 && *p == '0') {
			d->point -= dot; /* a zero in front */
		} else {
			if (d->n == DIGITS_MAX)
				return false;
			d->digit[d->n++] = *p;
			d->point += !dot;
		}
	}
	if (p < end) {
		if (end - p > 8)
			return false;
		exponent = strtol(p + 1, NULL, 10);
	}
	while (d->n > 0 && d->digit[d->n - 1] == '0')
		d->n--;
	d->point += (int)exponent;
	if (d->n == 0)
		*d = (struct plain){0};
	return true;
}

static const char *
put_decimal(struct rows *r, const struct json_span *v, int whole, int places)
{
	struct plain d;

	if (v->type != JSON_NUMBER)
		return "not a number";
	if (!plain_of(v, &d) || d.point > whole || d.n - d.point > places)
		return "a number of more digits than the column holds";
	buf_str(&r->line, d.minus ? "\"-" : "\"");
	if (d.point <= 0)
		buf_char(&r->line, '0');
	for (int i = 0; i < d.point; i++)
		buf_char(&r->line, i < d.n ? d.digit[i] : '0');
	if (d.n > d.point) {
		buf_char(&r->line, '.');
		for (int i = d.point; i < 0; i++)
			buf_char(&r->line, '0');
		for (int i = d.point > 0 ? d.point : 0; i < d.n; i++)
			buf_char(&r->line, d.digit[i]);
	}
	buf_char(&r->line, '"');
	return NULL;
}

static const char *
put_date(struct rows *r, const struct json_span *v)
{
	int32_t day;

	if (v->type != JSON_STRING || v->len < 2 ||
	    !date_parse(v->p + 1, v->len - 2, &day))
		return "not a date, YYYY-MM-DD";
	buf_add(&r->line, v->p, v->len);
	return NULL;
}

static const char *
put_time(struct rows *r, const struct json_span *v)
{
	char at[TIME_LEN + 1];
	int64_t us, part;

	if (v->type != JSON_STRING || v->len < 2 ||
	    !time_parse(v->p + 1, v->len - 2, &us))
		return "not a time of RFC 3339";
	part = (us % 1000000 + 1000000) % 1000000;
	time_format((us - part) / 1000, at);
	at[strcspn(at, ".Z")] = '\0';
	buf_fmt(&r->line, "\"%s.%06dZ\"", at, (int)part);
	return NULL;
}

/* A text column that may be null takes JSON too, as its text. */
static const char *
put_text(struct rows *r, const struct column *c, const struct json_span *v)
{
	if (v->type == JSON_STRING)
		return put_string(r, v);
	if (c->required)
		return "not a text";
	if (r->kpi && v->type != JSON_OBJECT && v->type != JSON_ARRAY)
		return "neither a text nor an object";
	json_write_string(&r->line, v->p, v->len);
	return NULL;
}

static const char *
put_value(struct rows *r, const struct column *c, const struct json_span *v)
{
	switch (c->kind) {
	case COL_STRING:
		return put_text(r, c, v);
	case COL_INT:
		return put_int(r, v);
	case COL_NUMERIC:
		return put_decimal(r, v, 29, 9);
	case COL_BIGNUMERIC:
		return put_decimal(r, v, 38, 38);
	case COL_BOOL:
		if (v->type != JSON_TRUE && v->type != JSON_FALSE)
			return "neither true nor false";
		break;
	case COL_DATE:
		return put_date(r, v);
	case COL_TIMESTAMP:
		return put_time(r, v);
	case COL_FLOAT:
		if (v->type != JSON_NUMBER && v->type != JSON_STRING)
			return "not a number";
		break;
	case COL_OTHER:
		break;
	}
	buf_add(&r->line, v->p, v->len);
	return NULL;
}

/* ---- records ---- */

/* A member that says again where the row belongs must say the same. */
static int
same_place(struct rows *r, const struct record *rec, const struct column *c,
    const struct json_span *v)
{
	const char *want = NULL;
	char shown[DIAG_QUOTE], text[DIAG_QUOTE + 60];

	if (strcmp(c->name, "source_system") == 0)
		want = r->source;
	else if (strcmp(c->name, "feed") == 0)
		want = r->feed;
	else if (strcmp(c->name, "date") == 0)
		want = r->date;
	if (want == NULL)
		return wrong(
		    r, rec, v, "is given by the loader", c->name, c->len);
	if (v->type == JSON_STRING && json_is(v, want, strlen(want)))
		return RC_OK;
	snprintf(text, sizeof text, "is not that of its partition, %s",
	    diag_quote(shown, want, strlen(want)));
	return wrong(r, rec, v, text, c->name, c->len);
}

static int
take_member(struct rows *r, const struct record *rec,
    const struct json_span *key, const struct json_span *v, struct buf *rest)
{
	struct column *c = NULL;

	for (size_t i = 0; i < r->n && c == NULL; i++)
		if (json_is(key, r->col[i].name, r->col[i].len))
			c = &r->col[i];
	if (c == NULL &&
	    (r->kpi || r->extra == NULL || r->extra->value.type != JSON_ABSENT))
		return wrong(r, rec, key, "the table has no such column",
		    key->p + 1, key->len - 2);
	if (c == NULL) {
		buf_char(rest, rest->len == 0 ? '{' : ',');
		buf_add(rest, key->p, key->len);
		buf_char(rest, ':');
		buf_add(rest, v->p, v->len);
		return RC_OK;
	}
	if (c->value.type != JSON_ABSENT)
		return wrong(r, rec, v, "comes twice", c->name, c->len);
	c->value = *v;
	if (r->kpi && (c->given || strcmp(c->name, "date") == 0 ||
			  strcmp(c->name, "source_system") == 0))
		return same_place(r, rec, c, v);
	return RC_OK;
}

/* One column of the row; the sum takes what is not volatile. */
static int
put_column(struct rows *r, const struct record *rec, struct column *c,
    const struct buf *rest, struct buf *digest)
{
	size_t before = r->line.len;
	const struct json_span *v = &c->value;
	const char *why = NULL;

	if (v->type == JSON_ABSENT && c->must)
		return wrong(r, rec, NULL, "is missing", c->name, c->len);
	buf_fmt(&r->line, "%c\"%s\":", r->line.len > 0 ? ',' : '{', c->name);
	if (v->type > JSON_NULL) {
		why = put_value(r, c, v);
	} else if (c == r->extra && rest->len > 0) {
		json_write_string(&r->line, rest->p, rest->len);
	} else if (c == r->run_id && v->type == JSON_ABSENT &&
		   r->own_run_id != NULL) {
		json_write_clean(
		    &r->line, r->own_run_id, strlen(r->own_run_id));
	} else if (c->def != NULL) {
		json_write_string(&r->line, c->def, strlen(c->def));
	} else if (c->required || c->key) {
		why = v->type == JSON_NULL ? "is null" : "is missing";
	} else {
		r->line.len = before; /* what is missing is NULL */
	}
	if (why != NULL)
		return wrong(r, rec, v->type == JSON_ABSENT ? NULL : v, why,
		    c->name, c->len);
	if (c != r->run_id)
		buf_add(digest, r->line.p + before, r->line.len - before);
	return RC_OK;
}

static void
add_sum(struct rows *r, const struct buf *digest)
{
	XXH128_hash_t h = XXH3_128bits(digest->p, digest->len);
	uint64_t low = r->sum[0] + h.low64;

	r->sum[1] += h.high64 + (low < r->sum[0]);
	r->sum[0] = low;
}

/* False: the key came before in this partition. */
static bool
new_key(struct rows *r)
{
	struct fp all = {1, 1};
	int is_new;

	if (r->keys == NULL)
		return true;
	for (size_t i = 0; i < r->n; i++) {
		const struct json_span *v = &r->col[i].value;
		size_t before = r->text.len;

		if (!r->col[i].key)
			continue;
		json_decode_buf(v, &r->text);
		all = fp_join(all, fp_hash(&r->secret, r->text.p + before,
				       r->text.len - before));
	}
	is_new = fpset_add(r->keys, all);
	if (is_new < 0) { /* check.sql will tell */
		fpset_free(r->keys);
		r->keys = NULL;
	}
	return is_new != 0;
}

static int
put_row(struct rows *r, const struct record *rec, struct buf *rest,
    struct buf *digest)
{
	struct json_span all = {
	    .p = rec->text, .len = rec->len, .type = JSON_OBJECT};
	struct json_iter it;
	struct json_span key, v;
	int rc = RC_OK;

	json_iter_init(&it, &all);
	while (rc == RC_OK && json_next_member(&it, &key, &v))
		rc = take_member(r, rec, &key, &v, rest);
	if (rest->len > 0)
		buf_char(rest, '}');
	for (size_t i = 0; rc == RC_OK && i < r->n; i++)
		if (!r->col[i].given)
			rc = put_column(r, rec, &r->col[i], rest, digest);
	if (rc == RC_OK && (r->line.over || r->text.over || rest->over)) {
		r->byte = 1;
		snprintf(r->why, sizeof r->why, "too long for a row");
		rc = RC_FINDINGS;
	}
	return rc;
}

int
rows_put(struct rows *r, const struct record *rec)
{
	struct buf rest = BUF_INIT(LINE_MAX_), digest = BUF_INIT(LINE_MAX_);
	int rc;

	buf_reset(&r->line);
	buf_reset(&r->text);
	for (size_t i = 0; i < r->n; i++)
		r->col[i].value = (struct json_span){0};
	rc = put_row(r, rec, &rest, &digest);
	if (rc == RC_OK && !new_key(r)) {
		r->byte = 1;
		snprintf(r->why, sizeof r->why, "its key is there already");
		rc = RC_FINDINGS;
	}
	if (rc == RC_OK) {
		add_sum(r, &digest);
		if (!r->kpi)
			buf_fmt(&r->line, "%c\"weir_line\":\"%" PRIu64 "\"",
			    r->line.len > 0 ? ',' : '{', ++r->number);
		buf_char(&r->line, '}');
	}
	buf_release(&rest);
	buf_release(&digest);
	return rc;
}

void
rows_sum(const struct rows *r, char hex[33])
{
	snprintf(hex, 33, "%016" PRIx64 "%016" PRIx64, r->sum[1], r->sum[0]);
}
