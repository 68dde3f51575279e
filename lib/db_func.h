/*
 * Exact decimals for SQL: what SQLite would do in doubles.
 *
 *	dec_sum(x)            aggregate; NULL without a value
 *	dec_add(a,b) dec_sub(a,b) dec_mul(a,b)
 *	dec_div(a,b,places)   half to even; NULL where b is 0
 *	dec_cmp(a,b)          -1, 0, 1
 *	dec_same(a,b)         1 where both are NULL or equal numbers
 *	COLLATE decimal       order of numbers kept as text
 *
 * Arguments are integers or texts of JSON numbers, results are text; NULL in,
 * NULL out. More than 38 digits are an error, but dec_same takes any number.
 */
#ifndef WEIR_DB_FUNC_H
#define WEIR_DB_FUNC_H

#include <sqlite3.h>

int db_functions(sqlite3 *h); /* SQLITE_OK */

#endif
