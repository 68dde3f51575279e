/*
 * The tree of an expression of SQL; shared by sql_expr.c, which makes it, and
 * sql_value.c, which writes it.
 */
#ifndef KPI_SQL_EXPR_IMPL_H
#define KPI_SQL_EXPR_IMPL_H

#include "jqparse.h"
#include "sql_expr.h"

enum kind {
	COL, /* a column: type S I F B, R for "is the record there" */
	STR,
	NUM,
	BOOL,
	NIL,
	NONE, /* empty */
	ALT,
	CMP,
	AND,
	OR,
	NOT,
	COND,   /* if a then b else c */
	SEQ,    /* a, then b: no output where a has none */
	KEYED,  /* under a key: col counts the elements, b of the first */
	CALL,   /* a function of texts: name, a, and perhaps a literal */
	NUMBER, /* tonumber */
	ADD,
};

struct sx_node {
	enum kind kind;
	char type; /* of COL */
	enum jq_op op;
	const char *s; /* COL: SQL; STR, NUM: text; CALL: which */
	size_t n;
	bool yes;      /* of BOOL */
	long from, to; /* of a slice; to -1: the end */
	const struct sx_node *a, *b, *c;
};

struct list {
	void **v;
	size_t n, room;
};

struct sx {
	const struct node *fields, *known;
	const char *why;
	struct list texts, progs, tables, keys, checks;
	int depth;
};

/* NULL; what it says is why the expression has no exact SQL. */
const void *sx_refuse(struct sx *x, const char *why);
/* The condition for an output; NULL: always. */
const char *sx_some(struct sx *x, const struct sx_node *n);
/* That a key which is read is there more than once; NULL: it cannot be. */
const char *sx_multi(struct sx *x, const struct sx_node *n);

#endif
