/*
 * Under BigQuery's stand-in: memory, types and schemas, the database, bodies
 * whose members must be known, and answers cut to "fields".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bigquery.h"
#include "db_func.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sys.h"

/* ---- memory ---- */

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	_Alignas(16) char p[];
};

struct arena bq_forever;

void *
arena_alloc(struct arena *a, size_t n)
{
	struct arena_block *b = a->blocks;
	void *p;

	n = (n + 15) & ~(size_t)15;
	if (b == NULL || b->size - b->used < n) {
		size_t size = n > 65536 ? n : 65536;

		b = xmalloc(sizeof *b + size);
		b->used = 0;
		b->size = size;
		b->next = a->blocks;
		a->blocks = b;
	}
	p = b->p + b->used;
	b->used += n;
	memset(p, 0, n);
	return p;
}

char *
arena_strn(struct arena *a, const char *p, size_t n)
{
	char *s = arena_alloc(a, n + 1);

	memcpy(s, p, n);
	return s;
}

char *
arena_fmt(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *s;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	s = arena_alloc(a, (size_t)n + 1);
	vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	return s;
}

void
arena_release(struct arena *a)
{
	while (a->blocks != NULL) {
		struct arena_block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
}

void
arena_reset(struct arena *a)
{
	struct arena_block *first = a->blocks;

	if (first == NULL)
		return;
	a->blocks = first->next;
	arena_release(a);
	first->next = NULL;
	first->used = 0;
	a->blocks = first;
}

/* ---- types ---- */

const struct bq_type bq_scalar[T_STRUCT] = {
    [T_NULL] = {.kind = T_NULL},
    [T_STRING] = {.kind = T_STRING},
    [T_BYTES] = {.kind = T_BYTES},
    [T_INT64] = {.kind = T_INT64},
    [T_FLOAT64] = {.kind = T_FLOAT64},
    [T_NUMERIC] = {.kind = T_NUMERIC},
    [T_BIGNUMERIC] = {.kind = T_BIGNUMERIC},
    [T_BOOL] = {.kind = T_BOOL},
    [T_DATE] = {.kind = T_DATE},
    [T_DATETIME] = {.kind = T_DATETIME},
    [T_TIME] = {.kind = T_TIME},
    [T_TIMESTAMP] = {.kind = T_TIMESTAMP},
    [T_JSON] = {.kind = T_JSON},
};

static const struct {
	const char *name;
	enum bq_kind kind;
} kind_names[] = {
    /* what SQL says, then what REST says, then the rest */
    {"INT64", T_INT64},
    {"FLOAT64", T_FLOAT64},
    {"BOOL", T_BOOL},
    {"STRUCT", T_STRUCT},
    {"INTEGER", T_INT64},
    {"FLOAT", T_FLOAT64},
    {"BOOLEAN", T_BOOL},
    {"RECORD", T_STRUCT},
    {"STRING", T_STRING},
    {"BYTES", T_BYTES},
    {"NUMERIC", T_NUMERIC},
    {"BIGNUMERIC", T_BIGNUMERIC},
    {"DATE", T_DATE},
    {"DATETIME", T_DATETIME},
    {"TIME", T_TIME},
    {"TIMESTAMP", T_TIMESTAMP},
    {"JSON", T_JSON},
    {"ARRAY", T_ARRAY},
    {"INT", T_INT64},
    {"BIGINT", T_INT64},
    {"DECIMAL", T_NUMERIC},
    {"BIGDECIMAL", T_BIGNUMERIC},
};
#define N_KINDS (sizeof kind_names / sizeof *kind_names)

const char *
bq_kind_name(enum bq_kind k)
{
	for (size_t i = 0; i < N_KINDS; i++) {
		if (kind_names[i].kind == k)
			return kind_names[i].name;
	}
	return "NULL";
}

const char *
bq_kind_rest(enum bq_kind k)
{
	for (size_t i = 4; i < N_KINDS; i++) {
		if (kind_names[i].kind == k)
			return kind_names[i].name;
	}
	return "INTEGER"; /* the type of SELECT NULL */
}

bool
bq_kind_of(const char *p, size_t n, enum bq_kind *k)
{
	for (size_t i = 0; i < N_KINDS; i++) {
		if (strlen(kind_names[i].name) == n &&
		    strncasecmp(kind_names[i].name, p, n) == 0) {
			*k = kind_names[i].kind;
			return true;
		}
	}
	return false;
}

const char *
bq_type_text(struct arena *a, const struct bq_type *t)
{
	const char *s = "";

	if (t->kind == T_ARRAY)
		return arena_fmt(a, "ARRAY<%s>", bq_type_text(a, t->elem));
	if (t->kind != T_STRUCT)
		return bq_kind_name(t->kind);
	for (size_t i = 0; i < t->n; i++)
		s = arena_fmt(a, "%s%s%s %s", s, i > 0 ? ", " : "",
		    t->fields[i].name, bq_type_text(a, t->fields[i].type));
	return arena_fmt(a, "STRUCT<%s>", s);
}

bool
bq_type_same(const struct bq_type *a, const struct bq_type *b)
{
	if (a->kind != b->kind || a->n != b->n)
		return false;
	if (a->kind == T_ARRAY)
		return bq_type_same(a->elem, b->elem);
	for (size_t i = 0; i < a->n; i++) {
		if (!bq_type_same(a->fields[i].type, b->fields[i].type))
			return false;
	}
	return true;
}

const struct bq_field *
bq_field_find(const struct bq_field *f, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++) {
		if (strlen(f[i].name) == len &&
		    strncasecmp(f[i].name, name, len) == 0)
			return &f[i];
	}
	return NULL;
}

bool
bq_name_ok(const char *name, bool dash)
{
	size_t n = strlen(name);

	if (n == 0 || n > 1024)
		return false;
	for (const char *p = name; *p != '\0'; p++) {
		if (!((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			(*p >= '0' && *p <= '9') || *p == '_' ||
			(dash && *p == '-')))
			return false;
	}
	return true;
}

static bool
column_name_ok(const char *name)
{
	return bq_name_ok(name, false) && strlen(name) <= 300 &&
	       !(*name >= '0' && *name <= '9');
}

static const char *
field_read(struct bq_field *f, const struct json_span *o, struct arena *a)
{
	const char *type = bq_text(a, o, "type"), *mode = bq_text(a, o, "mode");
	struct json_span sub = json_member(o, "fields");
	struct bq_type *t = arena_alloc(a, sizeof *t), *list;
	const char *why = NULL;

	f->name = bq_text(a, o, "name");
	f->description = bq_text(a, o, "description");
	if (f->name == NULL || !column_name_ok(f->name))
		return arena_fmt(a, "Invalid field name \"%s\".",
		    f->name == NULL ? "" : f->name);
	if (type == NULL || !bq_kind_of(type, strlen(type), &t->kind) ||
	    t->kind == T_ARRAY)
		return arena_fmt(a,
		    "Invalid value for type: %s is not a "
		    "valid value",
		    type == NULL ? "" : type);
	if (t->kind == T_STRUCT) {
		t->fields = bq_fields_read(&sub, a, &t->n, &why);
		if (t->fields == NULL)
			return why;
	} else if (sub.type != JSON_ABSENT) {
		return arena_fmt(a, "Field %s has no fields", f->name);
	}
	f->type = t;
	if (mode == NULL || strcasecmp(mode, "NULLABLE") == 0)
		return NULL;
	if (strcasecmp(mode, "REQUIRED") == 0) {
		f->required = true;
		return NULL;
	}
	if (strcasecmp(mode, "REPEATED") != 0)
		return arena_fmt(a, "Invalid value for mode: %s", mode);
	list = arena_alloc(a, sizeof *list);
	list->kind = T_ARRAY;
	list->elem = t;
	f->type = list;
	return NULL;
}

const struct bq_field *
bq_fields_read(
    const struct json_span *list, struct arena *a, size_t *n, const char **why)
{
	struct bq_field *f;
	struct json_iter it;
	struct json_span o;
	size_t count = 0;

	*why = "Empty schema specified.";
	if (list->type != JSON_ARRAY)
		return NULL;
	json_iter_init(&it, list);
	while (json_next_element(&it, &o))
		count++;
	if (count == 0)
		return NULL;
	f = arena_alloc(a, count * sizeof *f);
	*n = 0;
	json_iter_init(&it, list);
	while (json_next_element(&it, &o)) {
		*why = field_read(&f[*n], &o, a);
		if (*why == NULL && bq_field_find(f, *n, f[*n].name,
					strlen(f[*n].name)) != NULL)
			*why = arena_fmt(
			    a, "Field %s already exists in schema", f[*n].name);
		if (*why != NULL)
			return NULL;
		(*n)++;
	}
	return f;
}

void
bq_fields_put(struct jsonw *w, const struct bq_field *f, size_t n)
{
	struct jsonw l, o;

	jsonw_open(w, "fields", &l, '[');
	for (size_t i = 0; i < n; i++) {
		const struct bq_type *t = f[i].type;
		bool repeated = t->kind == T_ARRAY;

		if (repeated)
			t = t->elem;
		jsonw_open(&l, NULL, &o, '{');
		jsonw_str(&o, "name", f[i].name);
		jsonw_str(&o, "type", bq_kind_rest(t->kind));
		jsonw_str(&o, "mode",
		    repeated        ? "REPEATED"
		    : f[i].required ? "REQUIRED"
				    : "NULLABLE");
		if (f[i].description != NULL)
			jsonw_str(&o, "description", f[i].description);
		if (t->kind == T_STRUCT)
			bq_fields_put(&o, t->fields, t->n);
		jsonw_end(&o);
	}
	jsonw_end(&l);
}

static const struct bq_type *
type_copy(const struct bq_type *t)
{
	struct bq_type *c;

	if (t->kind < T_STRUCT)
		return &bq_scalar[t->kind];
	c = arena_alloc(&bq_forever, sizeof *c);
	*c = *t;
	if (t->kind == T_ARRAY)
		c->elem = type_copy(t->elem);
	else
		c->fields = bq_fields_copy(t->fields, t->n);
	return c;
}

const struct bq_field *
bq_fields_copy(const struct bq_field *f, size_t n)
{
	struct bq_field *c = arena_alloc(&bq_forever, n * sizeof *c);

	for (size_t i = 0; i < n; i++) {
		c[i] = f[i];
		c[i].name = sim_keep("%s", f[i].name);
		if (f[i].description != NULL)
			c[i].description = sim_keep("%s", f[i].description);
		c[i].type = type_copy(f[i].type);
	}
	return c;
}

/* ---- the database ---- */

static sqlite3 *db;

static void
close_db(void)
{
	sqlite3_close_v2(db);
	db = NULL;
	arena_release(&bq_forever);
}

sqlite3 *
bq_db(void)
{
	if (db != NULL)
		return db;
	/* "": a file that is gone when it is closed, not memory */
	if (sqlite3_open("", &db) != SQLITE_OK ||
	    db_functions(db) != SQLITE_OK || bq_functions(db) != SQLITE_OK)
		die(RC_OSERR, NULL, "no database: %s", sqlite3_errmsg(db));
	atexit(close_db);
	bq_do("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;"
	      "PRAGMA cache_size = -65536; PRAGMA temp_store = FILE");
	return db;
}

void
bq_do(const char *fmt, ...)
{
	struct arena a = {NULL};
	char *sql, *why = NULL;
	va_list ap;

	va_start(ap, fmt);
	sql = sqlite3_vmprintf(fmt, ap);
	va_end(ap);
	if (sqlite3_exec(bq_db(), sql, NULL, NULL, &why) != SQLITE_OK)
		die(RC_INTERNAL, NULL, "%s: %s", why, sql);
	sqlite3_free(sql);
	arena_release(&a);
}

int64_t
bq_number(const char *fmt, ...)
{
	sqlite3_stmt *st;
	int64_t n = 0;
	va_list ap;
	char *sql;

	va_start(ap, fmt);
	sql = sqlite3_vmprintf(fmt, ap);
	va_end(ap);
	if (sqlite3_prepare_v2(bq_db(), sql, -1, &st, NULL) != SQLITE_OK)
		die(RC_INTERNAL, NULL, "%s: %s", sqlite3_errmsg(db), sql);
	if (sqlite3_step(st) == SQLITE_ROW)
		n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_free(sql);
	return n;
}

int64_t
bq_now_us(void)
{
	return sys_real_ns() / 1000 +
	       sim_setting_int("now_offset", 0) * 1000000;
}

int64_t
bq_now_ms(void)
{
	return bq_now_us() / 1000;
}

/* ---- bodies ---- */

const char *
bq_text(struct arena *a, const struct json_span *o, const char *name)
{
	struct json_span v = {NULL, 0, JSON_ABSENT, 0};
	char *s;

	if (o->type == JSON_OBJECT)
		v = json_member(o, name);
	if (v.type == JSON_STRING) {
		s = arena_alloc(a, v.len + 1);
		s[json_decode(&v, s)] = '\0';
		return s;
	}
	if (v.type == JSON_NUMBER)
		return arena_strn(a, v.p, v.len);
	return NULL;
}

int64_t
bq_int(const struct json_span *o, const char *name, int64_t fallback)
{
	struct json_span v = {NULL, 0, JSON_ABSENT, 0};
	int64_t n;

	if (o->type == JSON_OBJECT)
		v = json_member(o, name);
	return json_i64(&v, &n) ? n : fallback;
}

bool
bq_true(const struct json_span *o, const char *name)
{
	if (o->type != JSON_OBJECT)
		return false;
	return json_member(o, name).type == JSON_TRUE;
}

static const char *const member_lines[] = {
#include "bigquery-members.inc"
};

static const char *
line_of(const char *type, size_t n)
{
	for (size_t i = 0; i < sizeof member_lines / sizeof(char *); i++) {
		if (strncmp(member_lines[i], type, n) == 0 &&
		    member_lines[i][n] == ' ')
			return member_lines[i] + n;
	}
	return NULL;
}

struct body {
	struct arena arena;
	const char *wrong;
};

static bool check_object(struct body *b, const struct json_span *o,
    const char *type, size_t n, const char *at);

static bool
check_value(
    struct body *b, const struct json_span *v, const char *kind, const char *at)
{
	struct json_iter it;
	struct json_span k, e;
	int64_t any;
	bool ok = true;

	if (v->type == JSON_NULL)
		return true;
	switch (*kind) {
	case '*':
		return true;
	case 's':
		ok = v->type == JSON_STRING;
		break;
	case 'b':
		ok = v->type == JSON_TRUE || v->type == JSON_FALSE;
		break;
	case 'n':
		ok = v->type == JSON_NUMBER;
		break;
	case 'i':
		ok = json_i64(v, &any);
		break;
	case '@':
		return check_object(
		    b, v, kind + 1, strcspn(kind + 1, " \n"), at);
	case '[':
		ok = v->type == JSON_ARRAY;
		json_iter_init(&it, v);
		while (ok && json_next_element(&it, &e)) {
			if (!check_value(b, &e, kind + 1, at))
				return false;
		}
		break;
	case '{':
		ok = v->type == JSON_OBJECT;
		json_iter_init(&it, v);
		while (ok && json_next_member(&it, &k, &e)) {
			if (!check_value(b, &e, kind + 1, at))
				return false;
		}
		break;
	default:
		ok = false;
	}
	if (!ok)
		b->wrong = arena_fmt(&b->arena,
		    "Invalid value at '%s' (%s), %.*s", at + (*at == '.'),
		    *kind == 's'   ? "TYPE_STRING"
		    : *kind == 'b' ? "TYPE_BOOL"
		    : *kind == 'i' ? "TYPE_INT64"
		    : *kind == 'n' ? "TYPE_INT32"
				   : "a list or object",
		    v->len > 100 ? 100 : (int)v->len, v->p);
	return ok;
}

static bool
check_object(struct body *b, const struct json_span *o, const char *type,
    size_t n, const char *at)
{
	const char *line = line_of(type, n);
	struct json_iter it;
	struct json_span k, v;

	if (line == NULL || line[1] == '*')
		return true;
	if (o->type != JSON_OBJECT) {
		b->wrong = arena_fmt(&b->arena, "Invalid value at '%s' (%.*s)",
		    at + (*at == '.'), (int)n, type);
		return false;
	}
	json_iter_init(&it, o);
	while (json_next_member(&it, &k, &v)) {
		const char *name = arena_strn(&b->arena, k.p + 1, k.len - 2);
		const char *find = arena_fmt(&b->arena, " %s:", name);
		const char *hit = strstr(line, find);

		if (hit == NULL) {
			b->wrong = arena_fmt(&b->arena,
			    "Invalid JSON payload received. Unknown name "
			    "\"%s\" at '%s': Cannot find field.",
			    name, at + (*at == '.'));
			return false;
		}
		if (!check_value(b, &v, hit + strlen(find),
			arena_fmt(&b->arena, "%s.%s", at, name)))
			return false;
	}
	return true;
}

bool
bq_body(struct sim_answer *a, const char *p, size_t n, const char *type,
    struct json_span *root)
{
	struct body b = {{NULL}, NULL};
	struct json_error e;

	if (!json_check(p, n, true, &e)) {
		google_error(a, 400, "parseError", "INVALID_ARGUMENT",
		    "Parse Error: %s at byte %zu", e.reason, e.byte);
		return false;
	}
	*root = json_value(p);
	if (!check_object(&b, root, type, strlen(type), ""))
		google_error(
		    a, 400, "invalid", "INVALID_ARGUMENT", "%s", b.wrong);
	arena_release(&b.arena);
	return b.wrong == NULL;
}

/* ---- the start of a call ---- */

void
bq_not_found(struct sim_answer *a, const char *fmt, ...)
{
	struct arena arena = {NULL};
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	google_error(a, 404, "notFound", "NOT_FOUND", "Not found: %s", text);
	arena_release(&arena);
}

bool
bq_call(const struct sim_request *r, struct sim_answer *a, enum google_api api,
    const char *const *params)
{
	const char *odd = sim_strange_param(r, params);
	const char *project = r->part[r->part[0][0] == 'u' ? 4 : 3];
	const char *type = sim_header(r, "Content-Type");

	if (!google_allowed(r, a, api))
		return false;
	if (odd != NULL) {
		google_error(a, 400, "invalidParameter", "INVALID_ARGUMENT",
		    "Unknown name \"%s\": Cannot bind query parameter.", odd);
		return false;
	}
	if (strcmp(project, google_project()) != 0) {
		google_error(a, 403, "accessDenied", "PERMISSION_DENIED",
		    "Access Denied: Project %s: User does not have "
		    "bigquery.jobs.create permission in project %s.",
		    project, project);
		return false;
	}
	if (r->part[0][0] != 'u' && r->body_len > 0 &&
	    (type == NULL || strncasecmp(type, "application/json", 16) != 0)) {
		google_error(a, 400, "badContent", "INVALID_ARGUMENT",
		    "Unsupported content with type: %s",
		    type == NULL ? "(none)" : type);
		return false;
	}
	return true;
}

/* ---- fields=a,b(c,d),e/f ---- */

/* The end of one item of the mask. */
static const char *
item_end(const char *p)
{
	int depth = 0;

	for (; *p != '\0'; p++) {
		if (*p == '(')
			depth++;
		else if (*p == ')' && depth-- == 0)
			return p;
		else if (*p == ',' && depth == 0)
			return p;
	}
	return p;
}

static void mask_value(
    struct buf *b, const struct json_span *v, const char *mask);

static void
mask_object(struct buf *b, const struct json_span *v, const char *mask)
{
	struct json_iter it;
	struct json_span k, m;
	bool first = true;

	buf_char(b, '{');
	json_iter_init(&it, v);
	while (json_next_member(&it, &k, &m)) {
		for (const char *p = mask; *p != '\0' && *p != ')';) {
			size_t n = strcspn(p, ",()/");
			const char *end = item_end(p);

			if ((n == 1 && *p == '*') || json_is(&k, p, n)) {
				if (!first)
					buf_char(b, ',');
				first = false;
				buf_add(b, k.p, k.len);
				buf_char(b, ':');
				mask_value(b, &m,
				    p[n] == '(' || p[n] == '/' ? p + n + 1
							       : "");
				break;
			}
			p = *end == ',' ? end + 1 : end;
		}
	}
	buf_char(b, '}');
}

static void
mask_value(struct buf *b, const struct json_span *v, const char *mask)
{
	struct json_iter it;
	struct json_span e;
	bool first = true;

	if (*mask == '\0' ||
	    (v->type != JSON_OBJECT && v->type != JSON_ARRAY)) {
		buf_add(b, v->p, v->len);
	} else if (v->type == JSON_OBJECT) {
		mask_object(b, v, mask);
	} else {
		buf_char(b, '[');
		json_iter_init(&it, v);
		while (json_next_element(&it, &e)) {
			if (!first)
				buf_char(b, ',');
			first = false;
			mask_value(b, &e, mask);
		}
		buf_char(b, ']');
	}
}

void
bq_mask(const struct sim_request *r, struct sim_answer *a)
{
	const char *mask = sim_param(r, "fields");
	struct buf out = BUF_INIT(SIZE_MAX / 2);
	struct json_span v;

	if (mask == NULL || *mask == '\0' || a->status != 200 ||
	    a->body.len == 0)
		return;
	buf_cstr(&a->body);
	v = json_value(a->body.p);
	mask_value(&out, &v, mask);
	buf_reset(&a->body);
	buf_add(&a->body, out.p, out.len);
	buf_release(&out);
}
