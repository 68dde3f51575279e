#include "db_func.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "buf.h"
#include "dec.h"

enum { NUMBER_MAX = 1 << 20, PLACES_MAX = 30 };

enum op { OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_CMP };

static const enum op ops[] = {OP_ADD, OP_SUB, OP_MUL, OP_DIV, OP_CMP};

/* False: not a number that fits; an error result is set. */
static bool
number(sqlite3_context *c, sqlite3_value *v, struct dec *d)
{
	if (sqlite3_value_type(v) == SQLITE_INTEGER) {
		*d = dec_from_i64(sqlite3_value_int64(v));
		return true;
	}
	if (sqlite3_value_type(v) == SQLITE_TEXT &&
	    dec_parse((const char *)sqlite3_value_text(v),
		(size_t)sqlite3_value_bytes(v), d))
		return true;
	sqlite3_result_error(c, "not an exact number of at most 38 digits", -1);
	return false;
}

static void
result(sqlite3_context *c, bool fits, const struct dec *d)
{
	char text[DEC_TEXT];

	if (!fits) {
		sqlite3_result_error(c, "the number has too many digits", -1);
		return;
	}
	sqlite3_result_text(
	    c, text, (int)dec_format(d, text), SQLITE_TRANSIENT);
}

static void
divide(sqlite3_context *c, const struct dec *a, const struct dec *b,
    sqlite3_value *places)
{
	int n = sqlite3_value_int(places);
	struct dec q;

	if (b->coef == 0)
		sqlite3_result_null(c);
	else if (n < 0 || n > PLACES_MAX)
		sqlite3_result_error(c, "places are 0 to 30", -1);
	else
		result(c, dec_div(a, b, n, &q), &q);
}

static void
compute(sqlite3_context *c, int n, sqlite3_value **v)
{
	enum op op = *(const enum op *)sqlite3_user_data(c);
	struct dec a, b;

	for (int i = 0; i < n; i++)
		if (sqlite3_value_type(v[i]) == SQLITE_NULL)
			return;
	if (!number(c, v[0], &a) || !number(c, v[1], &b))
		return;
	switch (op) {
	case OP_ADD:
		result(c, dec_add(&a, &b), &a);
		break;
	case OP_SUB:
		result(c, dec_sub(&a, &b), &a);
		break;
	case OP_MUL:
		result(c, dec_mul(&a, &b), &a);
		break;
	case OP_DIV:
		divide(c, &a, &b, v[2]);
		break;
	case OP_CMP:
		sqlite3_result_int(c, dec_cmp(&a, &b));
		break;
	}
}

/* SQLite gives memory for 8-byte alignment, a decimal needs 16. */
struct sum {
	unsigned char total[sizeof(struct dec)];
	bool any, failed;
};

static void
sum_step(sqlite3_context *c, int n, sqlite3_value **v)
{
	struct sum *s = sqlite3_aggregate_context(c, sizeof *s);
	struct dec d, total;

	(void)n;
	if (s == NULL) {
		sqlite3_result_error_nomem(c);
		return;
	}
	if (s->failed || sqlite3_value_type(v[0]) == SQLITE_NULL)
		return;
	memcpy(&total, s->total, sizeof total);
	if (!number(c, v[0], &d) || !dec_add(&total, &d))
		s->failed = true;
	memcpy(s->total, &total, sizeof total);
	s->any = true;
}

static void
sum_final(sqlite3_context *c)
{
	struct sum *s = sqlite3_aggregate_context(c, 0);

	struct dec total;

	if (s == NULL || !s->any)
		return;
	memcpy(&total, s->total, sizeof total);
	result(c, !s->failed, &total);
}

/* Numbers of any length: their shortest forms are compared. */
static bool
same_text(const char *a, size_t an, const char *b, size_t bn)
{
	struct buf x = BUF_INIT(NUMBER_MAX), y = BUF_INIT(NUMBER_MAX);
	bool same;

	num_canonical(&x, a, an);
	num_canonical(&y, b, bn);
	same = !x.over && !y.over && x.len == y.len &&
	       memcmp(x.p, y.p, x.len) == 0;
	buf_release(&x);
	buf_release(&y);
	return same;
}

static bool
begins_number(const char *p, size_t n)
{
	return n > 0 && (*p == '-' || (*p >= '0' && *p <= '9'));
}

static void
same(sqlite3_context *c, int n, sqlite3_value **v)
{
	bool null_a = sqlite3_value_type(v[0]) == SQLITE_NULL;
	bool null_b = sqlite3_value_type(v[1]) == SQLITE_NULL, equal;
	const char *a = (const char *)sqlite3_value_text(v[0]);
	const char *b = (const char *)sqlite3_value_text(v[1]);
	size_t an = (size_t)sqlite3_value_bytes(v[0]);
	size_t bn = (size_t)sqlite3_value_bytes(v[1]);
	struct dec x, y;

	(void)n;
	if (null_a || null_b)
		equal = null_a && null_b;
	else if (a == NULL || b == NULL)
		equal = false;
	else if (an == bn && memcmp(a, b, an) == 0)
		equal = true;
	else if (dec_parse(a, an, &x) && dec_parse(b, bn, &y))
		equal = dec_cmp(&x, &y) == 0;
	else
		equal = begins_number(a, an) && begins_number(b, bn) &&
			same_text(a, an, b, bn);
	sqlite3_result_int(c, equal);
}

static int
collate(void *ctx, int an, const void *a, int bn, const void *b)
{
	struct dec x, y;
	bool num_a = dec_parse(a, (size_t)an, &x);
	bool num_b = dec_parse(b, (size_t)bn, &y);
	int order;

	(void)ctx;
	if (num_a && num_b)
		return dec_cmp(&x, &y);
	if (num_a != num_b)
		return num_a ? -1 : 1;
	order = memcmp(a, b, (size_t)(an < bn ? an : bn));
	return order != 0 ? order : an - bn;
}

int
db_functions(sqlite3 *h)
{
	static const struct {
		const char *name;
		int args;
	} two[] = {{"dec_add", 2}, {"dec_sub", 2}, {"dec_mul", 2},
	    {"dec_div", 3}, {"dec_cmp", 2}};
	int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && i < sizeof two / sizeof *two; i++)
		rc = sqlite3_create_function_v2(h, two[i].name, two[i].args,
		    flags, (void *)(uintptr_t)&ops[i], compute, NULL, NULL,
		    NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function_v2(
		    h, "dec_same", 2, flags, NULL, same, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function_v2(h, "dec_sum", 1, flags, NULL,
		    NULL, sum_step, sum_final, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_collation_v2(
		    h, "decimal", SQLITE_UTF8, NULL, collate, NULL);
	return rc;
}
