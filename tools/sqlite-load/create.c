#include "create.h"

#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "json.h"
#include "mem.h"
#include "table.h"

enum { COLUMNS_MAX = 500, SQL_MAX = 1 << 20 };

enum type { TEXT, INTEGER, DECIMAL, REAL, BOOL, JSON, UNKNOWN };

static const struct {
	const char *word, *sql, *kind;
	const char *foreign; /* where no table of ours keeps the kind */
} types[] = {
    [TEXT] = {"text", "TEXT", NULL, "TEXT"},
    [INTEGER] = {"integer", "INTEGER", NULL, "INTEGER"},
    [DECIMAL] = {"decimal", "TEXT", "decimal", "DECIMAL_TEXT"},
    [REAL] = {"real", "REAL", NULL, "REAL"},
    [BOOL] = {"bool", "INTEGER", "bool", "BOOL_INT"},
    [JSON] = {"json", "TEXT", "json", "JSON_TEXT"},
    [UNKNOWN] = {"", "TEXT", "json",
	"JSON_TEXT"}, /* null in all that was seen */
};

struct list {
	struct {
		char *name;
		enum type type;
	} col[COLUMNS_MAX];
	size_t n;
};

static bool
managed_name(const char *name)
{
	static const char *const names[] = {
	    "source_system", "feed", "date", "batch_id", "generation"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (sqlite3_stricmp(name, names[i]) == 0)
			return true;
	return false;
}

static enum type
type_of(const struct json_span *v)
{
	int64_t n;

	switch ((enum json_type)v->type) {
	case JSON_NUMBER:
		return json_i64(v, &n) ? INTEGER : DECIMAL;
	case JSON_STRING:
		return TEXT;
	case JSON_TRUE:
	case JSON_FALSE:
		return BOOL;
	case JSON_ARRAY:
	case JSON_OBJECT:
		return JSON;
	default:
		return UNKNOWN;
	}
}

/* Integers are decimals too; what else differs is kept as JSON. */
static enum type
both(enum type a, enum type b)
{
	if (a == b || b == UNKNOWN)
		return a;
	if (a == UNKNOWN)
		return b;
	if ((a == INTEGER && b == DECIMAL) || (a == DECIMAL && b == INTEGER))
		return DECIMAL;
	return JSON;
}

static int
add(struct list *l, const char *name, enum type type)
{
	char shown[DIAG_QUOTE];
	size_t i;

	for (i = 0; i < l->n; i++)
		if (sqlite3_stricmp(l->col[i].name, name) == 0)
			break;
	if (i < l->n && strcmp(l->col[i].name, name) == 0) {
		l->col[i].type = both(l->col[i].type, type);
		return RC_OK;
	}
	if (i < l->n || l->n == COLUMNS_MAX || !table_name_ok(name)) {
		warn_msg("--create", "%s cannot be the name of a column",
		    diag_quote(shown, name, strlen(name)));
		return RC_CONTRACT;
	}
	l->col[l->n].name = xstrdup(name);
	l->col[l->n++].type = type;
	return RC_OK;
}

static int
add_members(struct list *l, const struct record *rec)
{
	struct json_span all = {
	    .p = rec->text, .len = rec->len, .type = JSON_OBJECT};
	struct json_span key, v;
	struct json_iter it;
	int rc = RC_OK;

	json_iter_init(&it, &all);
	while (rc == RC_OK && json_next_member(&it, &key, &v)) {
		char *name = xcalloc(key.len, 1);

		json_decode(&key, name);
		rc = add(l, name, type_of(&v));
		free(name);
	}
	return rc;
}

/* "name:type,name:type" */
static int
add_list(struct list *l, const char *text)
{
	int rc = RC_OK;

	while (rc == RC_OK && *text != '\0') {
		size_t len = strcspn(text, ","), name = strcspn(text, ":,");
		char *copy = xstrndup(text, name);
		enum type t = UNKNOWN;

		for (enum type i = TEXT; i < UNKNOWN; i++)
			if (len - name == strlen(types[i].word) + 1 &&
			    strncmp(text + name + 1, types[i].word,
				len - name - 1) == 0)
				t = i;
		if (t == UNKNOWN) {
			warn_msg("--columns",
			    "%s is without a type, one of "
			    "text, integer, decimal, real, bool, json",
			    copy);
			rc = RC_USAGE;
		} else {
			rc = add(l, copy, t);
		}
		free(copy);
		text += len + (text[len] == ',');
	}
	return rc;
}

static bool
in_key(const char *key, const char *name)
{
	size_t n = strlen(name);

	while (key != NULL && *key != '\0') {
		size_t len = strcspn(key, ",");

		if (len == n && strncmp(key, name, n) == 0)
			return true;
		key += len + (key[len] == ',');
	}
	return false;
}

static int
check_key(const struct list *l, const char *key)
{
	size_t found = 0, want = 0;
	char shown[DIAG_QUOTE];

	for (const char *p = key; p != NULL && *p != '\0'; want++) {
		size_t len = strcspn(p, ",");

		p += len + (p[len] == ',');
	}
	for (size_t i = 0; i < l->n; i++)
		found += in_key(key, l->col[i].name);
	if (found == want)
		return RC_OK;
	warn_msg("--key", "not all of %s are columns of the new table",
	    diag_quote(shown, key, strlen(key)));
	return RC_CONTRACT;
}

static void
table_sql(
    struct buf *sql, const struct create *c, const struct list *l, bool foreign)
{
	buf_str(sql, "CREATE TABLE ");
	buf_fmt(sql, "\"%s%s\" (", c->name, c->versioned ? "_rows" : "");
	if (c->versioned)
		buf_str(sql, "source_system TEXT NOT NULL, feed TEXT NOT NULL,"
			     " date TEXT NOT NULL, batch_id TEXT NOT NULL,"
			     " generation INTEGER NOT NULL, ");
	for (size_t i = 0; i < l->n; i++)
		if (!c->versioned || !managed_name(l->col[i].name))
			buf_fmt(sql, "\"%s\" %s%s, ", l->col[i].name,
			    foreign ? types[l->col[i].type].foreign
				    : types[l->col[i].type].sql,
			    in_key(c->key, l->col[i].name) ? " NOT NULL" : "");
	sql->len -= 2;
	if (c->key != NULL) {
		buf_str(sql, ", PRIMARY KEY (");
		if (c->versioned)
			buf_str(sql, "source_system, feed, date, batch_id,"
				     " generation, ");
		for (size_t i = 0; i < l->n; i++)
			if (in_key(c->key, l->col[i].name) &&
			    !(c->versioned && managed_name(l->col[i].name)))
				buf_fmt(sql, "\"%s\", ", l->col[i].name);
		sql->len -= 2;
		buf_char(sql, ')');
	}
	buf_str(sql, c->key != NULL ? ") WITHOUT ROWID" : ")");
	if (!foreign)
		buf_str(sql, c->key != NULL ? ", STRICT" : " STRICT");
}

static void
view_sql(struct buf *sql, const struct create *c, const struct list *l)
{
	buf_fmt(sql, "CREATE VIEW \"%s\" AS SELECT ", c->name);
	for (size_t i = 0; i < l->n; i++)
		if (!managed_name(l->col[i].name))
			buf_fmt(sql, "r.\"%s\", ", l->col[i].name);
	buf_fmt(sql,
	    "b.source_system, b.feed, b.date, b.batch_id, b.generation"
	    " FROM batches b CROSS JOIN \"%s_rows\" r"
	    " ON r.source_system = b.source_system AND r.feed = b.feed"
	    " AND r.date = +b.date AND r.batch_id = b.batch_id"
	    " AND r.generation = b.generation"
	    " WHERE b.table_name = '%s' AND b.state = 'published'",
	    c->name, c->name);
}

static int
run(struct db *d, const struct create *c, const struct list *l)
{
	struct buf sql = BUF_INIT(SQL_MAX);
	char *store = xasprintf("%s%s", c->name, c->versioned ? "_rows" : "");
	int rc;

	table_sql(&sql, c, l, !d->warehouse);
	rc = db_run(d, buf_cstr(&sql), "");
	if (rc == RC_OK && c->versioned) {
		buf_reset(&sql);
		view_sql(&sql, c, l);
		rc = db_run(d, buf_cstr(&sql), "");
	}
	for (size_t i = 0; rc == RC_OK && d->warehouse && i < l->n; i++)
		if (types[l->col[i].type].kind != NULL)
			rc = db_run(d,
			    "INSERT OR REPLACE INTO column_kinds"
			    " VALUES (?1, ?2, ?3)",
			    "ttt", store, l->col[i].name,
			    types[l->col[i].type].kind);
	free(store);
	buf_release(&sql);
	return rc;
}

int
create_table(struct db *d, const struct create *c, const struct batch *b)
{
	struct list *l = xcalloc(1, sizeof *l);
	int rc = RC_OK;

	if (c->columns != NULL)
		rc = add_list(l, c->columns);
	for (size_t i = 0; c->columns == NULL && rc == RC_OK && i < b->n; i++)
		rc = add_members(l, &b->rec[i]);
	if (rc == RC_OK && l->n == 0) {
		warn_msg("--create", "there is no record to make it from");
		rc = RC_CONTRACT;
	}
	if (rc == RC_OK)
		rc = check_key(l, c->key);
	if (rc == RC_OK)
		rc = run(d, c, l);
	for (size_t i = 0; i < l->n; i++)
		free(l->col[i].name);
	free(l);
	return rc;
}
