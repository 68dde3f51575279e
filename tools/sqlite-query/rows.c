#include "rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "json.h"
#include "mem.h"

#define VALUE_MAX ((size_t)2 << 30)

/* ---- columns ---- */

static bool
listed(const char *list, const char *name)
{
	size_t n = strlen(name);

	if (list != NULL && strcmp(list, "all") == 0)
		return true;
	while (list != NULL && *list != '\0') {
		size_t len = strcspn(list, ",");

		if (len == n && memcmp(list, name, n) == 0)
			return true;
		list += len + (list[len] == ',');
	}
	return false;
}

/* Each name of a list must be a column. */
static int
check_list(const struct rows *r, const char *option, const char *list)
{
	char shown[DIAG_QUOTE];

	while (list != NULL && strcmp(list, "all") != 0 && *list != '\0') {
		size_t len = strcspn(list, ","), i;

		for (i = 0; i < r->n; i++)
			if (strlen(r->field[i].name) == len &&
			    memcmp(r->field[i].name, list, len) == 0)
				break;
		if (i == r->n) {
			warn_msg(option, "no column is named %s",
			    diag_quote(shown, list, len));
			return RC_USAGE;
		}
		list += len + (list[len] == ',');
	}
	return RC_OK;
}

/* What the warehouse says that the column holds, seen through views. */
static int
kind_of(struct db *d, sqlite3_stmt *of, int col, enum kind *kind)
{
	static const char *const words[] = {
	    [KIND_PLAIN] = "",
	    [KIND_DECIMAL] = "decimal",
	    [KIND_JSON] = "json",
	    [KIND_TEXT_JSON] = "text_json",
	    [KIND_BOOL] = "bool",
	};
	const char *table = sqlite3_column_table_name(of, col);
	const char *column = sqlite3_column_origin_name(of, col);
	const char *declared = sqlite3_column_decltype(of, col);
	sqlite3_stmt *st;
	int rc;

	*kind = KIND_PLAIN;
	if (declared != NULL && strcmp(declared, "DECIMAL_TEXT") == 0)
		*kind = KIND_DECIMAL;
	else if (declared != NULL && strcmp(declared, "JSON_TEXT") == 0)
		*kind = KIND_JSON;
	else if (declared != NULL && strcmp(declared, "BOOL_INT") == 0)
		*kind = KIND_BOOL;
	if (!d->warehouse || table == NULL || column == NULL)
		return RC_OK;
	rc = db_query(d, &st,
	    "SELECT kind FROM column_kinds WHERE table_name = ?1"
	    " AND column_name = ?2",
	    "tt", table, column);
	if (rc == RC_OK)
		rc = db_step(d, st);
	for (enum kind k = KIND_DECIMAL; rc == RC_OK && k <= KIND_BOOL; k++)
		if (strcmp(db_text(st, 0), words[k]) == 0)
			*kind = k;
	sqlite3_finalize(st);
	return rc == RC_NOTREADY ? RC_OK : rc;
}

static int
add_field(struct rows *r, int col, const char *numbers, const char *omit)
{
	struct field *f = &r->field[r->n];
	struct buf head = BUF_INIT(VALUE_MAX);
	char shown[DIAG_QUOTE];

	f->name = sqlite3_column_name(r->st, col);
	if (f->name == NULL)
		die(RC_OSERR, NULL, "out of memory");
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->field[i].name, f->name) == 0) {
			warn_msg(r->db->path,
			    "two columns are named %s (see AS in SQL)",
			    diag_quote(shown, f->name, strlen(f->name)));
			return RC_CONTRACT;
		}
	json_write_clean(&head, f->name, strlen(f->name));
	buf_char(&head, ':');
	f->head = xstrdup(buf_cstr(&head));
	buf_release(&head);
	f->number = listed(numbers, f->name);
	f->omit_null = listed(omit, f->name);
	r->n++;
	return kind_of(r->db, r->st, col, &f->kind);
}

int
rows_open(struct rows *r, struct db *d, sqlite3_stmt *st, const char *numbers,
    const char *omit)
{
	int n = sqlite3_column_count(st), rc = RC_OK;

	*r = (struct rows){.db = d, .st = st};
	buf_init(&r->one, VALUE_MAX);
	r->field = xcalloc((size_t)n + 1, sizeof *r->field);
	for (int i = 0; rc == RC_OK && i < n; i++)
		rc = add_field(r, i, numbers, omit);
	if (rc == RC_OK)
		rc = check_list(r, "--numbers", numbers);
	if (rc == RC_OK)
		rc = check_list(r, "--omit-null", omit);
	if (rc != RC_OK)
		rows_close(r);
	return rc;
}

void
rows_close(struct rows *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->field[i].head);
	free(r->field);
	buf_release(&r->one);
	*r = (struct rows){0};
}

/* ---- values ---- */

static int
wrong(const struct rows *r, size_t i, const char *what)
{
	char shown[DIAG_QUOTE];
	const char *name = r->field[i].name;

	warn_msg(r->db->path, "column %s: %s",
	    diag_quote(shown, name, strlen(name)), what);
	return RC_CONTRACT;
}

/* The shortest text that reads back as the same double; never an integer's. */
static int
put_real(const struct rows *r, size_t i, double x, struct buf *out)
{
	char text[40];

	if (!isfinite(x))
		return wrong(r, i, "infinity has no form in JSON");
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, x);
		if (strtod(text, NULL) == x)
			break;
	}
	buf_str(out, text);
	if (strpbrk(text, ".e") == NULL)
		buf_str(out, ".0");
	return RC_OK;
}

static void
put_base64(const unsigned char *p, size_t n, struct buf *out)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789+/";

	buf_char(out, '"');
	for (size_t i = 0; i < n; i += 3) {
		unsigned v = (unsigned)p[i] << 16 |
			     (i + 1 < n ? (unsigned)p[i + 1] << 8 : 0) |
			     (i + 2 < n ? (unsigned)p[i + 2] : 0);

		buf_char(out, digit[v >> 18]);
		buf_char(out, digit[v >> 12 & 63]);
		buf_char(out, i + 1 < n ? digit[v >> 6 & 63] : '=');
		buf_char(out, i + 2 < n ? digit[v & 63] : '=');
	}
	buf_char(out, '"');
}

/* Is the text JSON that stands for itself in a column of that kind? */
static bool
raw(enum kind kind, const char *p, size_t n)
{
	struct json_error e;

	if (n == 0)
		return false;
	if (kind == KIND_DECIMAL && *p != '-' && (*p < '0' || *p > '9'))
		return false;
	if (kind == KIND_TEXT_JSON && *p != '{' && *p != '[')
		return false;
	return kind != KIND_PLAIN && kind != KIND_BOOL &&
	       memchr(p, '\n', n) == NULL && json_check(p, n, false, &e);
}

static int
put_text(struct rows *r, size_t i, struct buf *out)
{
	const struct field *f = &r->field[i];
	const char *p = (const char *)sqlite3_column_text(r->st, (int)i);
	size_t n = (size_t)sqlite3_column_bytes(r->st, (int)i), from;
	struct json_error e;

	if (p == NULL)
		return db_fail(r->db, "cannot read");
	if (raw(f->number ? KIND_DECIMAL : f->kind, p, n)) {
		buf_add(out, p, n);
		return RC_OK;
	}
	if (f->number)
		return wrong(r, i, "a value is not a number");
	from = out->len;
	json_write_string(out, p, n);
	if (!out->over &&
	    !json_check(out->p + from, out->len - from, false, &e))
		return wrong(r, i, "a text is not UTF-8");
	return RC_OK;
}

int
rows_value(struct rows *r, size_t i, struct buf *out)
{
	int64_t n;

	switch (sqlite3_column_type(r->st, (int)i)) {
	case SQLITE_NULL:
		buf_str(out, "null");
		return RC_OK;
	case SQLITE_INTEGER:
		n = sqlite3_column_int64(r->st, (int)i);
		if (r->field[i].kind == KIND_BOOL && (n == 0 || n == 1))
			buf_str(out, n == 1 ? "true" : "false");
		else
			buf_i64(out, n);
		return RC_OK;
	case SQLITE_FLOAT:
		return put_real(
		    r, i, sqlite3_column_double(r->st, (int)i), out);
	case SQLITE_BLOB:
		put_base64(sqlite3_column_blob(r->st, (int)i),
		    (size_t)sqlite3_column_bytes(r->st, (int)i), out);
		return RC_OK;
	default:
		return put_text(r, i, out);
	}
}

int
rows_json(struct rows *r, struct buf *out)
{
	char before = '{';
	int rc = RC_OK;

	for (size_t i = 0; rc == RC_OK && i < r->n; i++) {
		if (r->field[i].omit_null &&
		    sqlite3_column_type(r->st, (int)i) == SQLITE_NULL)
			continue;
		buf_char(out, before);
		buf_str(out, r->field[i].head);
		rc = rows_value(r, i, out);
		before = ',';
	}
	if (before == '{')
		buf_char(out, '{');
	buf_char(out, '}');
	return rc;
}
