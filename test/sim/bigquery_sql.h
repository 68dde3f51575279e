/*
 * A strict subset of GoogleSQL as SQL of SQLite: one pass over the tokens,
 * with types. What is not known is refused, with its name and place.
 */
#ifndef WEIR_SIM_BIGQUERY_SQL_H
#define WEIR_SIM_BIGQUERY_SQL_H

#include <setjmp.h>

#include "bigquery.h"

enum tok_kind {
	TOK_END,
	TOK_WORD,   /* a name or keyword, text as it stands */
	TOK_QUOTED, /* `name`, text without the quotes */
	TOK_STRING, /* text decoded */
	TOK_BYTES,
	TOK_INT,
	TOK_FLOAT,
	TOK_PARAM, /* @name, text without @ */
	TOK_SIGN,  /* one or two characters */
};

struct tok {
	enum tok_kind kind;
	const char *s;  /* ends with NUL */
	size_t len, at; /* at: byte in the text */
};

/* An expression: its SQL for SQLite and what is known of it. */
struct ex {
	const char *s;
	const struct bq_type *t;
	enum { LIT_NONE, LIT_NULL, LIT_STRING, LIT_INT, LIT_FLOAT } lit;
	const char *val;  /* of a literal, its text */
	const char *bare; /* a column that is neither grouped nor aggregated */
	const char *name; /* of a column or last field: what it is called */
	bool agg, window;
	size_t tok;
};

struct col {
	const char *name;
	const char *sql;
	const struct bq_type *t;
	struct bq_table *table; /* for the bytes, or NULL */
	size_t index;
	bool hidden; /* not in * */
};

/* What FROM brings: a table, a query, an array. */
struct src {
	const char *alias; /* "" where there is none */
	struct col *col;
	size_t n;
	const struct ex *value; /* of UNNEST: the element itself */
	struct src *next;
};

struct group {
	const char **key;
	size_t n;
	bool active;
};

struct scope {
	struct src *srcs;
	struct group *group;
	struct scope *outer;
};

/* A query's text and columns. */
struct rel {
	const char *s;
	struct bq_field *field;
	const char **col; /* their names in SQLite, no two alike */
	size_t n;
};

struct cte {
	const char *name, *sql;
	struct rel rel;
	struct cte *next;
};

struct var {
	const char *name;
	struct ex value;
	struct var *next;
};

struct use {
	struct bq_table *table;
	uint64_t cols[16];
	struct use *next;
};

/* Buffers of a run, released at its end however that comes. */
struct bufs {
	struct buf b;
	struct bufs *next;
};

struct sql {
	struct arena *a;
	struct bufs **bufs;
	struct bq_query *q;
	jmp_buf *fail;
	const char *reason, *message;
	const char *text;
	struct tok *tok;
	size_t n, at;
	struct scope *scope;
	struct cte *ctes;
	struct var *vars;
	struct bq_table *temps; /* of the script */
	struct use *uses;
	unsigned alias;
	int depth; /* of views and of nesting */
	bool in_agg;
	int64_t now_us;
};

/* ---- bigquery_lex.c ---- */

void sql_lex(struct sql *s, const char *text);
struct buf *sql_buf(struct sql *s);
_Noreturn void sql_fail(struct sql *s, size_t tok, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void sql_raise(struct sql *s, const char *reason, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
const struct tok *sql_tok(const struct sql *s); /* the one at hand */
const struct tok *sql_ahead(const struct sql *s, size_t n);
bool sql_is(const struct sql *s, const char *word); /* keyword or sign */
bool sql_is_at(const struct sql *s, size_t at, const char *word);
bool sql_take(struct sql *s, const char *word);
void sql_want(struct sql *s, const char *word);
const char *sql_name(struct sql *s); /* an identifier */
bool sql_is_name(const struct sql *s);
const char *sql_quote(struct sql *s, const char *text, size_t n); /* 'x' */
const char *sql_fold(struct sql *s, const char *name); /* for comparison */

/* ---- bigquery_expr.c ---- */

struct ex sql_expr(struct sql *s);
struct ex sql_convert(struct sql *s, struct ex e, const struct bq_type *to);
bool sql_coerces(const struct ex *e, const struct bq_type *to);
struct ex sql_bool(struct sql *s, const char *what);
/* The type all of them take, who are then converted. */
const struct bq_type *sql_unify(
    struct sql *s, struct ex *e, size_t n, const char *what);
const struct bq_type *sql_type(struct sql *s); /* reads one */
struct ex sql_field(struct sql *s, struct ex e, const char *name, size_t tok);
struct ex sql_cast(
    struct sql *s, struct ex e, const struct bq_type *to, bool safe);
/* ", COLLATE decimal" where the order of the kept value is not its own. */
const char *sql_collate(const struct bq_type *t);
void sql_order_item(struct sql *s, struct buf *b, struct ex e);
struct ex sql_param(struct sql *s, const char *name, size_t tok);
void sql_use(struct sql *s, const struct col *c);
struct ex sql_json_value(struct sql *s, const char *text,
    const struct bq_type *t); /* a leaf out of JSON */

/* ---- bigquery_fn.c ---- */

/* A call; the name is read, the parenthesis is at hand. */
struct ex sql_call(struct sql *s, const char *name, size_t tok);

/* ---- bigquery_select.c ---- */

struct rel sql_query(struct sql *s);
/* One item of FROM with its alias. */
struct src *sql_table(struct sql *s, struct buf *out);
struct src *sql_from(struct sql *s, struct buf *out);
/* A table that demands a filter on its partitions has one in WHERE. */
void sql_pruned(struct sql *s, const struct src *f, const char *where);
/* A table's name: project.dataset.table, quoted or not. */
struct path {
	const char *dataset, *table;
	size_t tok;
};
struct path sql_path(struct sql *s);
struct bq_table *sql_find(struct sql *s, const struct path *p);
struct src *sql_src_of(
    struct sql *s, struct bq_table *t, const char *alias, const char *name);
void sql_window(struct sql *s, struct buf *b); /* OVER's parenthesis */
/* Where the list at hand ends: at FROM, WHERE or the like. */
size_t sql_list_end(const struct sql *s);

/* ---- bigquery_export.c ---- */

/* A table of the GA4 export, its rows put where SQL finds them. NULL: there is
 * none. */
struct bq_table *sql_export(struct sql *s, const char *dataset, const char *id);

#endif
