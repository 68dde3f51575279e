/*
 * Values of BigQuery's stand-in: out of loaded JSON, and as f and v.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bigquery.h"
#include "date.h"
#include "dec.h"

bool
bq_parse_timestamp(const char *p, size_t n, int64_t *us)
{
	char text[48], *z;
	size_t zone;

	if (n < 10 || n > 40)
		return false;
	memcpy(text, p, n);
	text[n] = '\0';
	if (n > 4 && strcmp(text + n - 4, " UTC") == 0)
		text[n -= 4] = '\0';
	if (n == 10)
		n += (size_t)snprintf(text + n, 12, "T00:00:00");
	if (text[10] == ' ' || text[10] == 't')
		text[10] = 'T';
	/* The zone: none is UTC, "+00" is "+00:00". */
	z = text + n - 1;
	while (
	    z > text + 10 && *z != '+' && *z != '-' && *z != 'Z' && *z != 'z')
		z--;
	zone = z > text + 10 ? n - (size_t)(z - text) : 0;
	if (zone == 0)
		snprintf(text + n, sizeof text - n, "Z");
	else if (*z != 'Z' && *z != 'z' && zone == 3)
		snprintf(text + n, sizeof text - n, ":00");
	return time_parse(text, strlen(text), us);
}

void
bq_format_timestamp(int64_t us, struct buf *b)
{
	int64_t s = us / 1000000, f = us % 1000000, in_day;
	int y, m, d;

	if (f < 0) {
		f += 1000000;
		s--;
	}
	in_day = s % 86400;
	if (in_day < 0)
		in_day += 86400;
	date_to_civil((int32_t)((s - in_day) / 86400), &y, &m, &d);
	buf_fmt(b, "%04d-%02d-%02d %02d:%02d:%02d", y, m, d,
	    (int)(in_day / 3600), (int)(in_day / 60 % 60), (int)(in_day % 60));
	if (f % 1000 == 0 && f != 0)
		buf_fmt(b, ".%03d", (int)(f / 1000));
	else if (f != 0)
		buf_fmt(b, ".%06d", (int)f);
}

/* out: DEC_TEXT bytes. */
bool
bq_parse_decimal(const char *p, size_t n, enum bq_kind k, char *out)
{
	struct dec d;
	const char *dot;

	if (!dec_parse(p, n, &d))
		return false;
	out[dec_format(&d, out)] = '\0';
	dot = strchr(out, '.');
	return k != T_NUMERIC || dot == NULL || strlen(dot + 1) <= 9;
}

/* ---- what a load brings ---- */

static bool
parse_float(const char *p, double *d)
{
	char *end;

	if (strcasecmp(p, "nan") == 0 || strcasecmp(p, "inf") == 0 ||
	    strcasecmp(p, "+inf") == 0 || strcasecmp(p, "-inf") == 0 ||
	    strcasecmp(p, "infinity") == 0 || strcasecmp(p, "-infinity") == 0) {
		*d = strtod(p, NULL);
		return true;
	}
	*d = strtod(p, &end);
	return end != p && *end == '\0' && isfinite(*d);
}

static const char *check_fields(
    const struct bq_type *t, const struct json_span *v, struct arena *a);

/* Is the value one of the type? at < 0: nothing is bound. */
static const char *
scalar(sqlite3_stmt *st, int at, enum bq_kind kind, const struct json_span *v,
    struct arena *a)
{
	char *text = arena_alloc(a, v->len + 1), dec[DEC_TEXT + 1];
	size_t n = v->len;
	int64_t i;
	int32_t day;
	double d;

	if (v->type == JSON_STRING)
		n = json_decode(v, text);
	else
		memcpy(text, v->p, n);
	text[n] = '\0';
	if (v->type == JSON_OBJECT || v->type == JSON_ARRAY) {
		if (kind == T_JSON) {
			if (at >= 0)
				sqlite3_bind_text(st, at, v->p, (int)v->len,
				    SQLITE_TRANSIENT);
			return NULL;
		}
		return v->type == JSON_ARRAY
			   ? "Array specified for non-repeated field"
			   : "This field is not a record";
	}
	switch (kind) {
	case T_STRING:
	case T_JSON:
		if (v->type != JSON_STRING && kind == T_STRING &&
		    v->type != JSON_NUMBER)
			return "Could not convert value to string";
		if (at >= 0)
			sqlite3_bind_text(
			    st, at, text, (int)n, SQLITE_TRANSIENT);
		return NULL;
	case T_INT64:
		if (v->type == JSON_NUMBER && strlen(text) > 15 &&
		    (!json_i64(v, &i) || i > 9007199254740991 ||
			i < -9007199254740991))
			return "Could not convert value to integer (over 2^53 "
			       "it must be a string)";
		if (!json_i64(v, &i))
			return "Could not convert value to integer";
		if (at >= 0)
			sqlite3_bind_int64(st, at, i);
		return NULL;
	case T_FLOAT64:
		if ((v->type != JSON_NUMBER && v->type != JSON_STRING) ||
		    !parse_float(text, &d))
			return "Could not convert value to double";
		if (at >= 0 && isnan(d))
			sqlite3_bind_text(st, at, "NaN", 3, SQLITE_STATIC);
		else if (at >= 0)
			sqlite3_bind_double(st, at, d);
		return NULL;
	case T_NUMERIC:
	case T_BIGNUMERIC:
		if ((v->type != JSON_NUMBER && v->type != JSON_STRING) ||
		    !bq_parse_decimal(text, n, kind, dec))
			return kind == T_NUMERIC ? "Invalid NUMERIC value"
						 : "Invalid BIGNUMERIC value";
		if (at >= 0)
			sqlite3_bind_text(st, at, dec, -1, SQLITE_TRANSIENT);
		return NULL;
	case T_BOOL:
		if (strcasecmp(text, "true") != 0 &&
		    strcasecmp(text, "false") != 0)
			return "Could not convert value to boolean";
		if (at >= 0)
			sqlite3_bind_int(st, at, (text[0] | 32) == 't');
		return NULL;
	case T_DATE:
		if (v->type != JSON_STRING || !date_parse(text, n, &day))
			return "Could not parse value as DATE";
		if (at >= 0)
			sqlite3_bind_int64(st, at, day);
		return NULL;
	case T_TIMESTAMP:
		if (v->type != JSON_STRING || !bq_parse_timestamp(text, n, &i))
			return "Could not parse value as TIMESTAMP";
		if (at >= 0)
			sqlite3_bind_int64(st, at, i);
		return NULL;
	default:
		return "a type this stand-in does not load";
	}
}

static const char *
check_value(
    const struct bq_field *f, const struct json_span *v, struct arena *a)
{
	const struct bq_type *t = f->type;
	const char *why = NULL;
	struct json_iter it;
	struct json_span e;

	if (v->type == JSON_NULL || v->type == JSON_ABSENT)
		return f->required ? "Missing required field" : NULL;
	if (t->kind == T_STRUCT)
		return check_fields(t, v, a);
	if (t->kind != T_ARRAY)
		return scalar(NULL, -1, t->kind, v, a);
	if (v->type != JSON_ARRAY)
		return "Repeated field must be imported as a JSON array";
	json_iter_init(&it, v);
	while (why == NULL && json_next_element(&it, &e)) {
		if (e.type == JSON_NULL)
			why = "Only optional fields can be set to NULL";
		else if (t->elem->kind == T_STRUCT)
			why = check_fields(t->elem, &e, a);
		else
			why = scalar(NULL, -1, t->elem->kind, &e, a);
	}
	return why;
}

static const char *
check_fields(
    const struct bq_type *t, const struct json_span *v, struct arena *a)
{
	struct json_iter it;
	struct json_span k, m;

	if (v->type != JSON_OBJECT)
		return "This field is a record";
	json_iter_init(&it, v);
	while (json_next_member(&it, &k, &m)) {
		const struct bq_field *f =
		    bq_field_find(t->fields, t->n, k.p + 1, k.len - 2);
		const char *why;

		if (f == NULL)
			return "no such field";
		if ((why = check_value(f, &m, a)) != NULL)
			return why;
	}
	return NULL;
}

const char *
bq_bind_json(sqlite3_stmt *st, int at, const struct bq_field *f,
    const struct json_span *v, struct arena *a)
{
	const struct bq_type *t = f->type;

	if (v->type == JSON_NULL || v->type == JSON_ABSENT) {
		if (f->required)
			return "Missing required field";
		if (t->kind == T_ARRAY)
			sqlite3_bind_text(st, at, "[]", 2, SQLITE_STATIC);
		else
			sqlite3_bind_null(st, at);
		return NULL;
	}
	if (t->kind == T_ARRAY || t->kind == T_STRUCT) {
		const char *why = check_value(f, v, a);

		if (why == NULL)
			sqlite3_bind_text(
			    st, at, v->p, (int)v->len, SQLITE_TRANSIENT);
		return why;
	}
	return scalar(st, at, t->kind, v, a);
}

/* ---- f and v ---- */

static void
put_double(struct buf *b, double d)
{
	char text[40];

	if (isinf(d)) {
		buf_str(b, d > 0 ? "Infinity" : "-Infinity");
		return;
	}
	snprintf(text, sizeof text, "%.15g", d);
	if (strtod(text, NULL) != d)
		snprintf(text, sizeof text, "%.17g", d);
	buf_str(b, text);
	if (strpbrk(text, ".en") == NULL)
		buf_str(b, ".0");
}

static void put_json(
    struct buf *b, const struct bq_type *t, const struct json_span *v);

static void
put_struct(struct buf *b, const struct bq_type *t, const struct json_span *v)
{
	buf_str(b, "{\"f\":[");
	for (size_t i = 0; i < t->n; i++) {
		struct json_span m = json_member(v, t->fields[i].name);

		buf_str(b, i > 0 ? ",{\"v\":" : "{\"v\":");
		put_json(b, t->fields[i].type, &m);
		buf_char(b, '}');
	}
	buf_str(b, "]}");
}

/* A nested value, which is kept as JSON. */
static void
put_json(struct buf *b, const struct bq_type *t, const struct json_span *v)
{
	struct json_iter it;
	struct json_span e;
	bool first = true;

	if (t->kind == T_ARRAY) {
		buf_char(b, '[');
		if (v->type == JSON_ARRAY) {
			json_iter_init(&it, v);
			while (json_next_element(&it, &e)) {
				buf_str(b, first ? "{\"v\":" : ",{\"v\":");
				first = false;
				put_json(b, t->elem, &e);
				buf_char(b, '}');
			}
		}
		buf_char(b, ']');
	} else if (v->type == JSON_NULL || v->type == JSON_ABSENT) {
		buf_str(b, "null");
	} else if (t->kind == T_STRUCT) {
		put_struct(b, t, v);
	} else if (v->type == JSON_STRING) {
		buf_add(b, v->p, v->len);
	} else {
		buf_char(b, '"');
		buf_add(b, v->p, v->len);
		if (t->kind == T_FLOAT64 && memchr(v->p, '.', v->len) == NULL &&
		    memchr(v->p, 'e', v->len) == NULL)
			buf_str(b, ".0");
		buf_char(b, '"');
	}
}

void
bq_put_value(struct buf *b, const struct bq_type *t, sqlite3_stmt *st, int col,
    bool int64_timestamps)
{
	int64_t i = sqlite3_column_int64(st, col);
	char day[DATE_LEN + 1];
	const char *text;

	if (sqlite3_column_type(st, col) == SQLITE_NULL) {
		buf_str(b, t->kind == T_ARRAY ? "[]" : "null");
		return;
	}
	text = (const char *)sqlite3_column_text(st, col);
	switch (t->kind) {
	case T_ARRAY:
	case T_STRUCT: {
		struct json_span v = json_value(text);

		put_json(b, t, &v);
		return;
	}
	case T_BOOL:
		buf_str(b, i != 0 ? "\"true\"" : "\"false\"");
		return;
	case T_DATE:
		date_format((int32_t)i, day);
		buf_fmt(b, "\"%s\"", day);
		return;
	case T_TIMESTAMP:
		if (int64_timestamps)
			buf_fmt(b, "\"%lld\"", (long long)i);
		else
			buf_fmt(b, "\"%.6f\"", (double)i / 1e6);
		return;
	case T_FLOAT64:
		buf_char(b, '"');
		if (sqlite3_column_type(st, col) == SQLITE_TEXT)
			buf_str(b, text);
		else
			put_double(b, sqlite3_column_double(st, col));
		buf_char(b, '"');
		return;
	default:
		json_write_clean(
		    b, text, (size_t)sqlite3_column_bytes(st, col));
	}
}
