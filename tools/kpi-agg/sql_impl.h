/*
 * What the parts of the statement share. Its steps, each a CTE:
 *
 *	days	the days, with their quality
 *	shards	the tables, a scalar or repeated column for all that is read
 *	leaves	what stands under keys; the identity of the row
 *	facts	the expressions of the dictionary, a column each
 *	once	without the rows that are there again; app and platform
 *	hits	each row for its platform and for all, as a whole and for each
 *		segment (split: its name, or ''); units
 *	amounts	what is added once
 *	counted	the metrics by group: n_NAME records or keys, v_NAME their value
 *	currency_N, sums_N	amounts by currency; how many of them, and of one
 *	m_NAME	users that came to the steps of a funnel
 *	cells	the groups that may have rows: seen, or named by the apps
 *	grouped	all of that, side by side
 *	results	the rows, with what is to be divided
 *
 * A step that another one names is made again for each naming: so metrics are
 * columns of few steps and not steps of their own.
 */
#ifndef KPI_SQL_IMPL_H
#define KPI_SQL_IMPL_H

#include "sql.h"
#include "sql_expr.h"

/* A column of facts. */
struct fact {
	int expr;
	char view; /* t text, w truth, n number, i INT64 */
	const char *name, *sql;
};

/* Rows by their number: for each column the branches of a CASE. */
struct rows {
	size_t n;
	struct buf list, show, value, num, den, scale, step, unit;
};

struct sql {
	const struct sql_options *o;
	const struct dict *d;
	const struct apps *apps;
	const struct node *source; /* of the dictionary */
	struct sx *x;
	const struct sx_node **node; /* of the expressions, made at need */
	struct fact *fact;
	size_t nfacts;
	bool seg[SEG_MAX];                    /* used */
	bool *unit;                           /* by expression */
	struct buf amounts, counted, metrics; /* columns; CTEs */
	struct buf joined, joins;             /* of groups */
	struct rows of_groups, *by_currency;  /* by expression */
	bool bad;
};

/* The name of the column; "NULL" after a message. `at`: whose expression. */
const char *sql_fact(struct sql *q, const struct node *at, int expr, char view);
void sql_wrong(struct sql *q, const struct node *at, const char *why);
/* One line of a comment. */
void sql_comment(struct buf *b, const char *before, const char *text);
/* 'a', 'b' */
const char *sql_names(struct sql *q, const struct dict_names *names);
/* The text of a name as a literal. */
const char *sql_text(struct sql *q, const char *s);
/* The currency of the app in the column app_id of the alias. */
const char *sql_currency(struct sql *q, const char *alias);

/* Adds the columns, CTEs and rows of all metrics. */
void sql_metrics(struct sql *q);

#endif
