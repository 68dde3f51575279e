#include "table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dec.h"
#include "diag.h"
#include "exits.h"
#include "json.h"
#include "mem.h"

enum { SQL_MAX = 1 << 20, NUMBER_TEXT = 400, SHOWN = 80, ROW_MAX = 900000000 };

static const char *const managed_names[] = {
    [OWN] = "",
    [SOURCE] = "source_system",
    [FEED] = "feed",
    [DATE] = "date",
    [BATCH] = "batch_id",
    [GENERATION] = "generation",
};

const char *
mode_word(enum mode m)
{
	static const char *const words[] = {
	    "", "replace", "upsert", "append", "ignore"};

	return words[m];
}

bool
table_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > TABLE_NAME_MAX || (*name >= '0' && *name <= '9') ||
	    sqlite3_strnicmp(name, "sqlite_", 7) == 0)
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz"
			    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == n;
}

/* ---- opening ---- */

static enum col_type
type_of(const char *declared, const char *kind)
{
	static const struct {
		const char *word;
		enum col_type type;
	} kinds[] = {
	    {"decimal", COL_DECIMAL},
	    {"json", COL_JSON},
	    {"text_json", COL_TEXT_JSON},
	    {"bool", COL_BOOL},
	};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(kind, kinds[i].word) == 0)
			return kinds[i].type;
	if (sqlite3_stricmp(declared, "DECIMAL_TEXT") == 0)
		return COL_DECIMAL;
	if (sqlite3_stricmp(declared, "JSON_TEXT") == 0)
		return COL_JSON;
	if (sqlite3_stricmp(declared, "BOOL_INT") == 0)
		return COL_BOOL;
	/* SQLite's own rules of affinity, in their order */
	if (sqlite3_strlike("%INT%", declared, 0) == 0)
		return COL_INT;
	if (sqlite3_strlike("%CHAR%", declared, 0) == 0 ||
	    sqlite3_strlike("%CLOB%", declared, 0) == 0 ||
	    sqlite3_strlike("%TEXT%", declared, 0) == 0)
		return COL_TEXT;
	if (sqlite3_strlike("%REAL%", declared, 0) == 0 ||
	    sqlite3_strlike("%FLOA%", declared, 0) == 0 ||
	    sqlite3_strlike("%DOUB%", declared, 0) == 0)
		return COL_REAL;
	return COL_ANY;
}

static enum managed
managed_of(const struct table *t, const char *name)
{
	if (t->versioned)
		for (enum managed m = SOURCE; m <= GENERATION; m++)
			if (strcmp(name, managed_names[m]) == 0)
				return m;
	return OWN;
}

/* The value of a default, which the definition of the table holds as SQL. */
static int
default_of(struct table *t, struct column *c, const char *text)
{
	struct buf sql = BUF_INIT(SQL_MAX);
	sqlite3_stmt *st;
	int rc;

	buf_fmt(&sql, "SELECT (%s)", text);
	rc = db_prepare(t->db, &st, &sql);
	buf_release(&sql);
	if (rc == RC_OK)
		rc = db_step(t->db, st);
	if (rc == RC_OK)
		c->def = sqlite3_value_dup(sqlite3_column_value(st, 0));
	sqlite3_finalize(st);
	return rc;
}

static int
add_column(struct table *t, sqlite3_stmt *st)
{
	struct column *c;
	int rc = RC_OK;

	if (sqlite3_stricmp(db_text(st, 1), "BLOB") == 0) {
		warn_msg(t->name, "column %s is a BLOB, which no record fills",
		    db_text(st, 0));
		return RC_CONTRACT;
	}
	t->col = xreallocarray(t->col, t->n + 1, sizeof *t->col);
	c = &t->col[t->n++];
	*c = (struct column){.name = xstrdup(db_text(st, 0))};
	c->len = strlen(c->name);
	c->type = type_of(db_text(st, 1), db_text(st, 5));
	c->not_null = sqlite3_column_int(st, 2) != 0;
	c->key = sqlite3_column_int(st, 4) != 0;
	c->managed = managed_of(t, c->name);
	if (sqlite3_column_type(st, 3) != SQLITE_NULL)
		rc = default_of(t, c, db_text(st, 3));
	/* an INTEGER PRIMARY KEY numbers itself */
	c->required = c->not_null && c->def == NULL && c->managed == OWN;
	return rc;
}

static int
read_columns(struct table *t)
{
	sqlite3_stmt *st;
	int rc;

	rc = db_query(t->db, &st,
	    t->db->warehouse
		? "SELECT x.name, x.type, x.\"notnull\", x.dflt_value, x.pk,"
		  " coalesce(k.kind, '') FROM pragma_table_xinfo(?1) x"
		  " LEFT JOIN column_kinds k ON k.table_name = ?1"
		  " AND k.column_name = x.name WHERE x.hidden = 0"
		  " ORDER BY x.cid"
		: "SELECT name, type, \"notnull\", dflt_value, pk, ''"
		  " FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid",
	    "t", t->store);
	while (rc == RC_OK && (rc = db_step(t->db, st)) == RC_OK)
		rc = add_column(t, st);
	sqlite3_finalize(st);
	return rc == RC_NOTREADY ? RC_OK : rc;
}

static struct column *
find(struct table *t, const char *name, size_t len)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->col[i].len == len &&
		    memcmp(t->col[i].name, name, len) == 0)
			return &t->col[i];
	return NULL;
}

/* Replaces the primary key by the columns of --key. */
static int
take_key(struct table *t, const char *key)
{
	for (size_t i = 0; i < t->n; i++)
		t->col[i].key = t->col[i].managed != OWN && t->col[i].key;
	while (*key != '\0') {
		size_t len = strcspn(key, ",");
		struct column *c = find(t, key, len);
		char shown[DIAG_QUOTE];

		if (c == NULL) {
			warn_msg("--key", "table %s has no column %s", t->name,
			    diag_quote(shown, key, len));
			return RC_CONTRACT;
		}
		c->key = true;
		key += len + (key[len] == ',');
	}
	return RC_OK;
}

/* What must be there in a KPI record. */
static void
require_kpi(struct table *t)
{
	static const char *const names[] = {"date", "app_id", "platform",
	    "source_system", "metric", "segment", "value"};

	t->kpi = strcmp(t->name, "fact_kpi_daily") == 0;
	for (size_t i = 0; t->kpi && i < sizeof names / sizeof *names; i++) {
		struct column *c = find(t, names[i], strlen(names[i]));

		if (c != NULL)
			c->required = true;
	}
}

/* The type of the object of that name; "" if none. */
static int
object_type(struct db *d, const char *name, char type[16])
{
	sqlite3_stmt *st;
	int rc = db_query(d, &st,
	    "SELECT type FROM sqlite_schema WHERE name = ?1"
	    " AND type IN ('table', 'view')",
	    "t", name);

	*type = '\0';
	if (rc == RC_OK)
		rc = db_step(d, st);
	if (rc == RC_OK)
		snprintf(type, 16, "%s", db_text(st, 0));
	sqlite3_finalize(st);
	return rc == RC_NOTREADY ? RC_OK : rc;
}

static bool
kept_by_us(const struct table *t)
{
	static const char *const names[] = {
	    "meta", "column_kinds", "batches", "lineage", "restatements"};
	size_t n = strlen(t->name);

	if (!t->db->warehouse)
		return false;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(t->name, names[i]) == 0)
			return true;
	return n > 5 && strcmp(t->name + n - 5, "_rows") == 0;
}

static int
find_store(struct table *t)
{
	char type[16], shown[DIAG_QUOTE];
	int rc;

	t->store = xasprintf("%s_rows", t->name);
	rc = object_type(t->db, t->store, type);
	if (rc != RC_OK)
		return rc;
	t->versioned = t->db->warehouse && strcmp(type, "table") == 0;
	if (t->versioned)
		return RC_OK;
	free(t->store);
	t->store = xstrdup(t->name);
	rc = object_type(t->db, t->name, type);
	if (rc != RC_OK)
		return rc;
	if (*type == '\0')
		return RC_NOTREADY;
	if (strcmp(type, "view") != 0 && !kept_by_us(t))
		return RC_OK;
	warn_msg(t->db->path, "%s is not to be loaded",
	    diag_quote(shown, t->name, strlen(t->name)));
	return RC_CONTRACT;
}

int
table_open(struct table *t, struct db *d, const char *name, const char *key)
{
	int rc;

	*t = (struct table){.db = d, .name = xstrdup(name)};
	buf_init(&t->text, SIZE_MAX / 2);
	buf_init(&t->rest, SIZE_MAX / 2);
	rc = find_store(t);
	if (rc == RC_OK)
		rc = read_columns(t);
	if (rc == RC_OK && key != NULL)
		rc = take_key(t, key);
	if (rc != RC_OK) {
		table_close(t);
		return rc;
	}
	require_kpi(t);
	t->extra = find(t, "extra", 5);
	if (t->extra != NULL && t->extra->type != COL_JSON)
		t->extra = NULL;
	t->run_id = find(t, "run_id", 6);
	for (size_t i = 0; i < t->n; i++)
		if (t->col[i].key && t->col[i].managed == OWN)
			t->has_key = true;
	return RC_OK;
}

void
table_close(struct table *t)
{
	sqlite3_finalize(t->insert);
	for (size_t i = 0; i < t->n; i++) {
		sqlite3_value_free(t->col[i].def);
		free(t->col[i].name);
	}
	free(t->col);
	free(t->name);
	free(t->store);
	buf_release(&t->text);
	buf_release(&t->rest);
	*t = (struct table){0};
}

/* ---- pieces of SQL ---- */

void
table_columns(
    const struct table *t, struct buf *sql, const char *prefix, bool managed)
{
	const char *comma = "";

	for (size_t i = 0; i < t->n; i++) {
		if (!managed && t->col[i].managed != OWN)
			continue;
		buf_fmt(sql, "%s%s", comma, prefix);
		db_name(sql, t->col[i].name);
		comma = ", ";
	}
}

void
table_key_equal(
    const struct table *t, struct buf *sql, const char *a, const char *b)
{
	for (size_t i = 0; i < t->n; i++) {
		if (!t->col[i].key || t->col[i].managed != OWN)
			continue;
		buf_fmt(sql, " AND %s.", a);
		db_name(sql, t->col[i].name);
		buf_fmt(sql, " = %s.", b);
		db_name(sql, t->col[i].name);
	}
}

void
table_at(struct buf *sql, const char *prefix, int first)
{
	for (enum managed m = SOURCE; m <= GENERATION; m++)
		buf_fmt(sql, "%s%s%s = ?%d", m > SOURCE ? " AND " : "", prefix,
		    managed_names[m], first + (int)m - (int)SOURCE);
}

static void
on_conflict(const struct table *t, struct buf *sql, enum mode mode)
{
	const char *comma = "";

	buf_str(sql, " ON CONFLICT");
	if (mode == MODE_IGNORE) {
		buf_str(sql, " DO NOTHING");
		return;
	}
	for (size_t i = 0; i < t->n; i++) {
		if (!t->col[i].key)
			continue;
		buf_str(sql, *comma == '\0' ? " (" : comma);
		db_name(sql, t->col[i].name);
		comma = ", ";
	}
	buf_str(sql, ") DO ");
	comma = "UPDATE SET ";
	for (size_t i = 0; i < t->n; i++) {
		if (t->col[i].key)
			continue;
		buf_str(sql, comma);
		db_name(sql, t->col[i].name);
		buf_str(sql, " = excluded.");
		db_name(sql, t->col[i].name);
		comma = ", ";
	}
	if (*comma == 'U')
		buf_str(sql, "NOTHING");
}

int
table_begin(struct table *t, enum mode mode)
{
	struct buf sql = BUF_INIT(SQL_MAX);
	int rc;

	buf_str(&sql, t->versioned && mode == MODE_UPSERT ? "REPLACE INTO "
							  : "INSERT INTO ");
	db_name(&sql, t->store);
	buf_str(&sql, " (");
	table_columns(t, &sql, "", true);
	buf_str(&sql, ") VALUES (");
	for (size_t i = 0; i < t->n; i++)
		buf_fmt(&sql, "%s?%zu", i > 0 ? ", " : "", i + 1);
	buf_char(&sql, ')');
	if (!t->versioned && (mode == MODE_UPSERT || mode == MODE_IGNORE))
		on_conflict(t, &sql, mode);
	sqlite3_finalize(t->insert);
	rc = db_prepare(t->db, &t->insert, &sql);
	buf_release(&sql);
	return rc;
}

void
table_place(struct table *t, const struct place *at)
{
	t->at = *at;
	for (size_t i = 0; i < t->n; i++) {
		int param = (int)i + 1;
		const char *text = NULL;

		switch (t->col[i].managed) {
		case OWN:
			continue;
		case SOURCE:
			text = at->source;
			break;
		case FEED:
			text = at->feed;
			break;
		case DATE:
			text = at->date;
			break;
		case BATCH:
			text = at->batch;
			break;
		case GENERATION:
			sqlite3_bind_int64(t->insert, param, at->generation);
			continue;
		}
		sqlite3_bind_text(t->insert, param, text, -1, SQLITE_STATIC);
	}
}

/* ---- records ---- */

static int
wrong(struct table *t, const struct record *rec, const struct json_span *at,
    const char *what, const char *name, size_t len)
{
	char shown[DIAG_QUOTE];

	snprintf(t->why, sizeof t->why, "%s: %s",
	    diag_quote(shown, name, len < SHOWN ? len : SHOWN), what);
	t->byte = at != NULL ? (size_t)(at->p - rec->text) + 1 : 1;
	return RC_FINDINGS;
}

/* The text of a string, where it is or decoded; NULL: it has a NUL. */
static const char *
string_text(struct table *t, const struct json_span *v, size_t *len)
{
	char *to;

	if ((v->flags & JSON_ESCAPED) == 0) {
		*len = v->len - 2;
		return v->p + 1;
	}
	to = t->text.p + t->text.len; /* there is room for the record */
	*len = json_decode(v, to);
	t->text.len += *len;
	return memchr(to, '\0', *len) == NULL ? to : NULL;
}

static int
bind_text(struct table *t, int param, const char *p, size_t len)
{
	return sqlite3_bind_text64(
	    t->insert, param, p, len, SQLITE_STATIC, SQLITE_UTF8);
}

static const char *
put_int(struct table *t, int param, const struct json_span *v)
{
	struct dec d;
	int64_t n;

	if (v->type != JSON_NUMBER && v->type != JSON_STRING)
		return "not an integer";
	if (!json_i64(v, &n) &&
	    (v->type != JSON_NUMBER || !dec_parse(v->p, v->len, &d) ||
		!dec_to_i64(&d, &n)))
		return "not an integer of 64 bits";
	sqlite3_bind_int64(t->insert, param, n);
	return NULL;
}

static const char *
put_real(struct table *t, int param, const struct json_span *v)
{
	char text[NUMBER_TEXT + 1];
	double x;

	if (v->type != JSON_NUMBER || v->len > NUMBER_TEXT)
		return "not a number that a REAL column holds";
	memcpy(text, v->p, v->len);
	text[v->len] = '\0';
	x = strtod(text, NULL);
	if (!isfinite(x))
		return "not a number that a REAL column holds";
	sqlite3_bind_double(t->insert, param, x);
	return NULL;
}

static const char *
put_string(struct table *t, int param, const struct json_span *v)
{
	size_t len;
	const char *p = string_text(t, v, &len);

	if (p == NULL)
		return "a text with \\u0000, which the table cannot hold";
	bind_text(t, param, p, len);
	return NULL;
}

static const char *
put_value(struct table *t, const struct column *c, const struct json_span *v)
{
	int param = (int)(c - t->col) + 1;

	switch (c->type) {
	case COL_INT:
		return put_int(t, param, v);
	case COL_REAL:
		return put_real(t, param, v);
	case COL_DECIMAL:
		if (v->type != JSON_NUMBER)
			return "not a number";
		break;
	case COL_BOOL:
		if (v->type != JSON_TRUE && v->type != JSON_FALSE)
			return "neither true nor false";
		sqlite3_bind_int(t->insert, param, v->type == JSON_TRUE);
		return NULL;
	case COL_TEXT:
		if (v->type != JSON_STRING)
			return "not a text";
		return put_string(t, param, v);
	case COL_TEXT_JSON:
		if (v->type == JSON_STRING)
			return put_string(t, param, v);
		if (v->type != JSON_OBJECT && v->type != JSON_ARRAY)
			return "neither a text nor an object";
		break;
	case COL_ANY:
		if (v->type == JSON_STRING)
			return put_string(t, param, v);
		if (put_int(t, param, v) == NULL)
			return NULL;
		break;
	case COL_JSON:
		break;
	}
	bind_text(t, param, v->p, v->len);
	return NULL;
}

static int
put_default(struct table *t, const struct column *c)
{
	int param = (int)(c - t->col) + 1;

	if (c == t->run_id && t->at.run_id != NULL)
		return sqlite3_bind_text(
		    t->insert, param, t->at.run_id, -1, SQLITE_STATIC);
	if (c->def != NULL)
		return sqlite3_bind_value(t->insert, param, c->def);
	return sqlite3_bind_null(t->insert, param);
}

/* A member that says again where the row belongs must say the same. */
static int
same_place(struct table *t, const struct record *rec, struct column *c,
    const struct json_span *v)
{
	const char *want = c->managed == SOURCE ? t->at.source
			   : c->managed == FEED ? t->at.feed
						: t->at.date;
	char shown[DIAG_QUOTE], text[DIAG_QUOTE + 60];

	if (c->managed == BATCH || c->managed == GENERATION)
		return wrong(
		    t, rec, v, "is given by the loader", c->name, c->len);
	if (v->type == JSON_STRING && json_is(v, want, strlen(want)))
		return RC_OK;
	snprintf(text, sizeof text, "is not that of its partition, %s",
	    diag_quote(shown, want, strlen(want)));
	return wrong(t, rec, v, text, c->name, c->len);
}

static int
to_extra(struct table *t, const struct record *rec, const struct json_span *key,
    const struct json_span *v)
{
	if (t->extra == NULL || t->extra->seen == t->record)
		return wrong(t, rec, key, "the table has no such column",
		    key->p + 1, key->len - 2);
	buf_char(&t->rest, t->rest.len == 0 ? '{' : ',');
	buf_add(&t->rest, key->p, key->len);
	buf_char(&t->rest, ':');
	buf_add(&t->rest, v->p, v->len);
	return RC_OK;
}

/* The column of a key; records of one source mostly keep their order. */
static struct column *
column_of(struct table *t, const struct json_span *key, size_t guess)
{
	for (size_t i = 0; i < t->n; i++) {
		struct column *c = &t->col[(guess + i) % t->n];

		if ((key->flags & JSON_ESCAPED) != 0
			? json_is(key, c->name, c->len)
			: key->len - 2 == c->len &&
			      memcmp(key->p + 1, c->name, c->len) == 0)
			return c;
	}
	return NULL;
}

static int
put_member(struct table *t, const struct record *rec, struct column *c,
    const struct json_span *v)
{
	const char *why;

	if (c->seen == t->record)
		return wrong(t, rec, v, "comes twice", c->name, c->len);
	if (v->type == JSON_NULL && c->not_null && c->def != NULL)
		return RC_OK;
	c->seen = t->record;
	if (c->managed != OWN)
		return same_place(t, rec, c, v);
	if (v->type == JSON_NULL) {
		if (c->not_null)
			return wrong(t, rec, v, "is null", c->name, c->len);
		sqlite3_bind_null(t->insert, (int)(c - t->col) + 1);
		return RC_OK;
	}
	why = put_value(t, c, v);
	return why == NULL ? RC_OK : wrong(t, rec, v, why, c->name, c->len);
}

static int
put_members(struct table *t, const struct record *rec)
{
	struct json_span all = {
	    .p = rec->text, .len = rec->len, .type = JSON_OBJECT};
	struct json_iter it;
	struct json_span key, v;
	size_t guess = 0;
	int rc = RC_OK;

	json_iter_init(&it, &all);
	while (rc == RC_OK && json_next_member(&it, &key, &v)) {
		struct column *c = column_of(t, &key, guess);

		if (c != NULL) {
			guess = (size_t)(c - t->col) + 1;
			rc = put_member(t, rec, c, &v);
		} else {
			rc = to_extra(t, rec, &key, &v);
		}
	}
	return rc;
}

static int
put_absent(struct table *t, const struct record *rec)
{
	for (size_t i = 0; i < t->n; i++) {
		struct column *c = &t->col[i];

		if (c->seen == t->record)
			continue;
		if (c->required)
			return wrong(
			    t, rec, NULL, "is missing", c->name, c->len);
		if (c == t->extra && t->rest.len > 0) {
			buf_char(&t->rest, '}');
			bind_text(t, (int)i + 1, t->rest.p, t->rest.len);
		} else if (c->managed == OWN) {
			put_default(t, c);
		}
	}
	return RC_OK;
}

/* A record that the rules of the table do not admit. */
static int
refused(struct table *t, const struct record *rec)
{
	int code = sqlite3_extended_errcode(t->db->h);
	char shown[DIAG_QUOTE];
	const char *text = sqlite3_errmsg(t->db->h);

	t->byte = 1;
	(void)rec;
	if (code == SQLITE_CONSTRAINT_PRIMARYKEY ||
	    code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_ROWID)
		snprintf(t->why, sizeof t->why, "its key is there already");
	else
		snprintf(t->why, sizeof t->why, "the table refuses it: %s",
		    diag_quote(shown, text, strlen(text)));
	return RC_FINDINGS;
}

int
table_put(struct table *t, const struct record *rec)
{
	int rc, code;

	if (rec->len > ROW_MAX) {
		t->byte = 1;
		snprintf(t->why, sizeof t->why, "too long for a row");
		return RC_FINDINGS;
	}
	t->record++;
	buf_reset(&t->text);
	buf_reset(&t->rest);
	if (!buf_room(&t->text, rec->len))
		die(RC_OSERR, NULL, "out of memory");
	rc = put_members(t, rec);
	if (rc == RC_OK)
		rc = put_absent(t, rec);
	if (rc != RC_OK)
		return rc;
	code = sqlite3_step(t->insert) & 0xff;
	if (code == SQLITE_CONSTRAINT || code == SQLITE_MISMATCH ||
	    code == SQLITE_TOOBIG)
		rc = refused(t, rec);
	else if (code != SQLITE_DONE)
		rc = db_fail(t->db, "cannot write");
	sqlite3_reset(t->insert);
	return rc;
}
