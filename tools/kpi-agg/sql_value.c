/* Expressions as GoogleSQL: what is true, compared, a text or a number. */
#include <ctype.h>
#include <string.h>

#include "dec.h"
#include "sql_expr_impl.h"

/* --- is there an output, and is it true? --- */

/* NULL: more than one element of a key cannot be. */
const char *
sx_multi(struct sx *x, const struct sx_node *n)
{
	const char *m = NULL;

	if (n == NULL)
		return NULL;
	if (n->kind == KEYED)
		return sx_fmt(x, "%s > 1", n->s);
	for (int i = 0; i < 3; i++) {
		const char *k = sx_multi(x, i == 0   ? n->a
					    : i == 1 ? n->b
						     : n->c);

		if (m == NULL || k == NULL || strcmp(m, k) == 0)
			m = m == NULL ? k : m;
		else
			m = sx_fmt(x, "(%s OR %s)", m, k);
	}
	return m;
}

/* Both, where NULL stands for "always". */
static const char *
both(struct sx *x, const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == NULL ? b : a;
	return strcmp(a, b) == 0 ? a : sx_fmt(x, "(%s AND %s)", a, b);
}

/* The condition for an output; NULL: always. */
const char *
sx_some(struct sx *x, const struct sx_node *n)
{
	const char *a, *b, *c;

	switch (n->kind) {
	case NONE:
		return "FALSE";
	case KEYED:
		return both(x, sx_fmt(x, "(%s > 0)", n->s), sx_some(x, n->b));
	case ALT:
		b = sx_some(x, n->b);
		return b == NULL
			   ? NULL
			   : sx_fmt(x, "(%s OR %s)", sx_truth(x, n->a), b);
	case AND:
	case OR:
		a = sx_some(x, n->a);
		b = sx_some(x, n->b);
		if (b == NULL)
			return a;
		return both(x, a,
		    sx_fmt(x, n->kind == AND ? "(NOT %s OR %s)" : "(%s OR %s)",
			sx_truth(x, n->a), b));
	case COND:
		a = sx_some(x, n->a);
		b = sx_some(x, n->b);
		c = sx_some(x, n->c);
		if (b == NULL && c == NULL)
			return a;
		return both(x, a,
		    sx_fmt(x, "(CASE WHEN %s THEN %s ELSE %s END)",
			sx_truth(x, n->a), b == NULL ? "TRUE" : b,
			c == NULL ? "TRUE" : c));
	case CMP:
	case SEQ:
	case ADD:
		return both(x, sx_some(x, n->a), sx_some(x, n->b));
	case NOT:
	case NUMBER:
	case CALL:
		return sx_some(x, n->a);
	default:
		return NULL;
	}
}

/* Types of jq that the value may have. */
enum { T_NIL = 1, T_BOOL = 2, T_NUM = 4, T_STR = 8, T_REC = 16 };

static unsigned
types(const struct sx_node *n)
{
	unsigned a;

	switch (n->kind) {
	case COL:
		a = n->type == 'B'   ? T_BOOL
		    : n->type == 'F' ? T_NUM | T_STR
		    : n->type == 'R' ? T_REC
				     : T_STR;
		return n->yes ? a : a | T_NIL;
	case STR:
		return T_STR;
	case NUM:
	case NUMBER:
		return T_NUM;
	case NIL:
		return T_NIL;
	case NONE:
		return 0;
	case ALT:
		return (types(n->a) & ~(unsigned)T_NIL) | types(n->b);
	case COND:
		return types(n->b) | types(n->c);
	case SEQ:
	case KEYED:
		return types(n->b);
	case ADD:
		a = types(n->a) | types(n->b);
		return (types(n->a) & types(n->b) & T_NIL) == 0
			   ? a & ~(unsigned)T_NIL
			   : a;
	case CALL:
		return *n->s == 'l' && n->s[1] == 'e' ? T_NUM
		       : strcmp(n->s, "slice") == 0 ||
			       strcmp(n->s + 1, "trimstr") == 0
			   ? types(n->a)
		       : n->s[0] == 'a' ? T_STR
					: T_BOOL;
	default:
		return T_BOOL;
	}
}

static const char *compare(struct sx *x, enum jq_op op, const struct sx_node *a,
    const struct sx_node *b);

/* startswith and the like; what they are asked of is a text for sure. */
static const char *
text_test(struct sx *x, const struct sx_node *n)
{
	const char *a = sx_text(x, n->a), *lit;

	if (a == NULL)
		return NULL;
	lit = sx_quote(x, n->b->s, n->b->n);
	if (*n->s == 's')
		return sx_fmt(x, "STARTS_WITH(%s, %s)", a, lit);
	if (*n->s == 'e')
		return sx_fmt(x, "ENDS_WITH(%s, %s)", a, lit);
	return n->b->n == 0 ? "TRUE"
			    : sx_fmt(x, "(STRPOS(%s, %s) > 0)", a, lit);
}

static bool
is_test(const struct sx_node *n)
{
	return n->kind == CALL && types(n) == T_BOOL;
}

/* Only of texts: of null it would be an error of the record. */
static bool
text_for_sure(struct sx *x, const struct sx_node *n)
{
	if (types(n->a) == T_STR)
		return true;
	sx_refuse(x, sx_fmt(x,
			 "%s of what may be null or no text (write (… // \"\") "
			 "before it)",
			 n->s));
	return false;
}

static const char *
truth_alt(struct sx *x, const struct sx_node *n)
{
	const char *a = sx_truth(x, n->a), *b = sx_truth(x, n->b);

	return a == NULL || b == NULL ? NULL : sx_fmt(x, "(%s OR %s)", a, b);
}

const char *
sx_truth(struct sx *x, const struct sx_node *n)
{
	const char *a, *b, *c, *r = NULL;

	switch (n->kind) {
	case COL:
		return n->type == 'B'   ? sx_fmt(x, "COALESCE(%s, FALSE)", n->s)
		       : n->type == 'R' ? n->s
					: sx_fmt(x, "(%s IS NOT NULL)", n->s);
	case STR:
	case NUM:
		return "TRUE";
	case BOOL:
		return n->yes ? "TRUE" : "FALSE";
	case NIL:
	case NONE:
		return "FALSE";
	case ALT:
		return truth_alt(x, n);
	case CMP:
		r = compare(x, n->op, n->a, n->b);
		return r == NULL ? NULL : both(x, sx_some(x, n), r);
	case AND:
	case OR:
		a = sx_truth(x, n->a);
		b = sx_truth(x, n->b);
		if (a == NULL || b == NULL)
			return NULL;
		if (n->kind == AND)
			return sx_fmt(x, "(%s AND %s)", a, b);
		return sx_fmt(x, "(%s OR %s)", a, both(x, sx_some(x, n->a), b));
	case NOT:
		a = sx_truth(x, n->a);
		return a == NULL
			   ? NULL
			   : both(x, sx_some(x, n->a), sx_fmt(x, "NOT %s", a));
	case COND:
		a = sx_truth(x, n->a);
		b = sx_truth(x, n->b);
		c = sx_truth(x, n->c);
		if (a == NULL || b == NULL || c == NULL)
			return NULL;
		return both(x, sx_some(x, n->a),
		    sx_fmt(x, "(CASE WHEN %s THEN %s ELSE %s END)", a, b, c));
	case SEQ:
		a = sx_some(x, n->a);
		b = sx_truth(x, n->b);
		return b == NULL ? NULL : both(x, a, b);
	case KEYED:
		b = sx_truth(x, n->b);
		if (b == NULL || n->b->kind == COL)
			return b;
		return sx_fmt(x, "(%s > 0 AND %s)", n->s, b);
	case NUMBER:
	case ADD:
		return sx_refuse(x, "a number as a condition");
	case CALL:
		if (!is_test(n))
			return sx_refuse(x, "a text as a condition");
		if (!text_for_sure(x, n) || (r = text_test(x, n)) == NULL)
			return NULL;
		return both(x, sx_some(x, n->a), r);
	}
	return NULL;
}

/* --- comparisons --- */

/* Digits that a double keeps: then it is the number that is written. */
static bool
few_digits(const char *s, size_t n)
{
	size_t digits = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == 'e' || s[i] == 'E')
			return false;
		if (isdigit((unsigned char)s[i]) && (digits > 0 || s[i] != '0'))
			digits++;
	}
	return digits <= 15 && n <= 20;
}

static bool
is_int64(const char *s, size_t n)
{
	struct dec d;
	int64_t v;
	char text[DEC_TEXT];
	size_t len;

	if (!dec_parse(s, n, &d) || !dec_to_i64(&d, &v))
		return false;
	len = dec_format(&d, text);
	return len == n && memcmp(text, s, n) == 0;
}

static int
rank(unsigned type)
{
	return type == T_NIL ? 0 : type == T_BOOL ? 1 : type == T_NUM ? 2 : 3;
}

static bool
is_literal(const struct sx_node *n)
{
	return n->kind == STR || n->kind == NUM || n->kind == NIL ||
	       n->kind == BOOL;
}

static const char *
is_null(struct sx *x, const struct sx_node *n)
{
	const char *s;

	if ((types(n) & T_NIL) == 0)
		return "FALSE";
	if (n->kind == COL)
		return n->type == 'R' ? sx_fmt(x, "NOT %s", n->s)
				      : sx_fmt(x, "%s IS NULL", n->s);
	s = sx_text(x, n);
	return s == NULL ? NULL : sx_fmt(x, "%s IS NULL", s);
}

static const char *
op_word(enum jq_op op)
{
	static const char *const words[] = {[OP_EQ] = "=",
	    [OP_LT] = "<",
	    [OP_LE] = "<=",
	    [OP_GT] = ">",
	    [OP_GE] = ">="};

	return words[op];
}

/* A value and a literal of another type: jq's order of types decides. */
static const char *
by_rank(struct sx *x, enum jq_op op, const struct sx_node *a, unsigned ta,
    const struct sx_node *lit)
{
	bool less = rank(ta) < rank(types(lit));
	const char *null = is_null(x, a);

	if (null == NULL)
		return NULL;
	if (op == OP_LT || op == OP_LE)
		return less ? "TRUE" : sx_fmt(x, "(%s)", null);
	return less ? "FALSE" : sx_fmt(x, "(NOT (%s))", null);
}

static const char *
compare_float(struct sx *x, enum jq_op op, const struct sx_node *a,
    const struct sx_node *lit)
{
	const char *odd = sx_fmt(x, "IS_NAN(%s) OR IS_INF(%s)", a->s, a->s);

	if (lit->kind == STR) {
		if (strcmp(lit->s, "NaN") == 0 || strstr(lit->s, "Inf") != NULL)
			return sx_refuse(x, "NaN or Infinity in a comparison");
		if (op == OP_EQ)
			return "FALSE";
		return sx_refuse(x, "the order of a FLOAT64 and a text");
	}
	if (!few_digits(lit->s, lit->n))
		return sx_refuse(x, "a FLOAT64 beside a number of more than 15 "
				    "digits or with an exponent");
	if (op == OP_LT || op == OP_LE)
		return sx_fmt(x, "(%s IS NULL OR (NOT (%s) AND %s %s %s))",
		    a->s, odd, a->s, op_word(op), lit->s);
	if (op == OP_EQ)
		return sx_fmt(x, "COALESCE(%s = %s, FALSE)", a->s, lit->s);
	return sx_fmt(x, "COALESCE(%s OR %s %s %s, FALSE)", odd, a->s,
	    op_word(op), lit->s);
}

/* Something of one type, and a literal of it. */
static const char *
compare_same(struct sx *x, enum jq_op op, const struct sx_node *a,
    const struct sx_node *lit)
{
	const char *s, *l;

	if (lit->kind == BOOL) {
		if (op != OP_EQ)
			return sx_refuse(x, "the order of true and false");
		if (a->kind == COL)
			return sx_fmt(x, "COALESCE(%s = %s, FALSE)", a->s,
			    lit->yes ? "TRUE" : "FALSE");
		s = sx_truth(x, a);
		return s == NULL || lit->yes ? s : sx_fmt(x, "NOT %s", s);
	}
	if (lit->kind == NUM) {
		s = sx_number(x, a);
		l = sx_number(x, lit);
	} else {
		if (op == OP_EQ && a->kind == COL && a->type == 'I')
			return is_int64(lit->s, lit->n)
				   ? sx_fmt(x, "COALESCE(%s = %s, FALSE)", a->s,
					 lit->s)
				   : "FALSE";
		s = sx_text(x, a);
		l = sx_quote(x, lit->s, lit->n);
	}
	if (s == NULL || l == NULL)
		return NULL;
	if (op == OP_LT || op == OP_LE)
		return sx_fmt(x, "COALESCE(%s %s %s, TRUE)", s, op_word(op), l);
	return sx_fmt(x, "COALESCE(%s %s %s, FALSE)", s, op_word(op), l);
}

static const char *
compare_literal(struct sx *x, enum jq_op op, const struct sx_node *a,
    const struct sx_node *lit)
{
	unsigned t = types(a) & ~(unsigned)T_NIL;

	if (lit->kind == NIL) {
		const char *null = is_null(x, a);

		if (op == OP_EQ || null == NULL)
			return null == NULL ? NULL : sx_fmt(x, "(%s)", null);
		return sx_refuse(x, "the order of null");
	}
	if (a->kind == COL && a->type == 'F' && lit->kind != BOOL)
		return compare_float(x, op, a, lit);
	if (t == 0)
		return op == OP_EQ ? "FALSE" : by_rank(x, op, a, T_NIL, lit);
	if ((t & (t - 1)) != 0 || t == T_REC)
		return op == OP_EQ && t == T_REC
			   ? "FALSE"
			   : sx_refuse(x, "a comparison of values of several "
					  "types");
	if (t == types(lit))
		return compare_same(x, op, a, lit);
	return op == OP_EQ ? "FALSE" : by_rank(x, op, a, t, lit);
}

static enum jq_op
turned(enum jq_op op)
{
	return op == OP_LT   ? OP_GT
	       : op == OP_LE ? OP_GE
	       : op == OP_GT ? OP_LT
	       : op == OP_GE ? OP_LE
			     : op;
}

/* Two values: equal texts, or both null. */
static const char *
compare_two(struct sx *x, enum jq_op op, const struct sx_node *a,
    const struct sx_node *b)
{
	unsigned ta = types(a) & ~(unsigned)T_NIL;
	unsigned tb = types(b) & ~(unsigned)T_NIL;
	const char *s, *t;

	if (op != OP_EQ)
		return sx_refuse(x, "the order of two columns");
	if (ta != T_STR || tb != T_STR)
		return sx_refuse(x, "a comparison of two values that are no "
				    "texts");
	s = sx_text(x, a);
	t = sx_text(x, b);
	return s == NULL || t == NULL
		   ? NULL
		   : sx_fmt(x, "(%s IS NOT DISTINCT FROM %s)", s, t);
}

/* BOOL, never NULL; whether there is an output at all is asked elsewhere. */
static const char *
compare(struct sx *x, enum jq_op op, const struct sx_node *a,
    const struct sx_node *b)
{
	const char *s, *t, *c;

	if (op == OP_NE) {
		s = compare(x, OP_EQ, a, b);
		return s == NULL ? NULL : sx_fmt(x, "NOT %s", s);
	}
	if (is_literal(a) && !is_literal(b))
		return compare(x, turned(op), b, a);
	if (a->kind == KEYED || a->kind == SEQ)
		return compare(x, op, a->b, b);
	if (a->kind == NONE)
		return "FALSE";
	if (a->kind == ALT || a->kind == COND) {
		c = sx_truth(x, a->a);
		s = compare(x, op, a->kind == ALT ? a->a : a->b, b);
		t = compare(x, op, a->kind == ALT ? a->b : a->c, b);
		if (c == NULL || s == NULL || t == NULL)
			return NULL;
		return strcmp(s, t) == 0
			   ? s
			   : sx_fmt(x, "(CASE WHEN %s THEN %s ELSE %s END)", c,
				 s, t);
	}
	return is_literal(b) ? compare_literal(x, op, a, b)
			     : compare_two(x, op, a, b);
}

/* --- values --- */

/* The shortest digits that give the double again. CAST(… AS STRING) tries 15
 * digits and then takes 17. */
static const char *
shortest(struct sx *x, const char *s)
{
	return sx_fmt(x,
	    "CASE %s WHEN CAST(FORMAT('%%.15g', %s) AS FLOAT64) THEN "
	    "FORMAT('%%.15g', %s) WHEN CAST(FORMAT('%%.16g', %s) AS FLOAT64) "
	    "THEN FORMAT('%%.16g', %s) ELSE FORMAT('%%.17g', %s) END",
	    s, s, s, s, s, s);
}

static const char *
float_text(struct sx *x, const char *s)
{
	sx_add_check(x,
	    sx_fmt(x,
		"%s != 0 AND (ABS(%s) < 0.000001 OR ABS(%s) >= 1e21) "
		"AND NOT IS_INF(%s)",
		s, s, s, s),
	    "a FLOAT64 in a key is under 0.000001 or over 1e21");
	return sx_fmt(x,
	    "CASE WHEN IS_NAN(%s) THEN 'NaN' "
	    "WHEN IS_INF(%s) THEN CASE WHEN %s > 0 THEN 'Infinity' ELSE "
	    "'-Infinity' END WHEN %s = 0 THEN '0' ELSE "
	    "CAST(CAST(%s AS BIGNUMERIC) AS STRING) END",
	    s, s, s, s, shortest(x, s));
}

const char *
sx_float_same(struct sx *x, const char *s)
{
	return sx_fmt(x,
	    "CASE WHEN IS_NAN(%s) THEN NULL\n"
	    "        WHEN ABS(%s) < 9007199254740992 AND %s = TRUNC(%s) THEN "
	    "CAST(CAST(%s AS INT64) AS STRING)\n"
	    "        WHEN ABS(%s) >= 9007199254740992 AND ABS(%s) < 1e19 THEN "
	    "CAST(CAST(%s AS BIGNUMERIC) AS STRING)\n"
	    "        ELSE CAST(%s AS STRING) END",
	    s, s, s, s, s, s, s, shortest(x, s), s);
}

static const char *
float_number(struct sx *x, const char *s)
{
	sx_add_check(x,
	    sx_fmt(
		x, "ABS(%s) < 1e-20 AND %s != 0 AND NOT IS_NAN(%s)", s, s, s),
	    "a FLOAT64 has more decimals than a BIGNUMERIC");
	return sx_fmt(x,
	    "CASE WHEN IS_NAN(%s) OR IS_INF(%s) THEN NULL ELSE "
	    "CAST(%s AS BIGNUMERIC) END",
	    s, s, shortest(x, s));
}

static const char *
column_text(struct sx *x, const struct sx_node *n)
{
	switch (n->type) {
	case 'S':
		return n->s;
	case 'F':
		return float_text(x, n->s);
	case 'R':
		return sx_refuse(x, "a record as a value");
	default:
		return sx_fmt(x, "CAST(%s AS STRING)", n->s);
	}
}

static const char *
call_text(struct sx *x, const struct sx_node *n)
{
	static const char up[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char low[] = "abcdefghijklmnopqrstuvwxyz";
	bool trim = n->s[1] == 't' && strcmp(n->s + 1, "trimstr") == 0;
	const char *a, *lit;

	if (trim || strcmp(n->s, "slice") == 0) {
		if ((types(n->a) & ~(unsigned)T_NIL) != T_STR)
			return sx_refuse(
			    x, sx_fmt(x, "%s of what is no text", n->s));
	} else if (!text_for_sure(x, n)) {
		return NULL;
	}
	a = sx_text(x, n->a);
	if (a == NULL)
		return NULL;
	if (strcmp(n->s, "slice") == 0)
		return n->to < 0
			   ? sx_fmt(x, "SUBSTR(%s, %ld)", a, n->from + 1)
			   : sx_fmt(x, "SUBSTR(%s, %ld, %ld)", a, n->from + 1,
				 n->to > n->from ? n->to - n->from : 0L);
	if (trim) {
		lit = sx_quote(x, n->b->s, n->b->n);
		return *n->s == 'l'
			   ? sx_fmt(x,
				 "CASE WHEN STARTS_WITH(%s, %s) THEN "
				 "SUBSTR(%s, CHAR_LENGTH(%s) + 1) ELSE %s END",
				 a, lit, a, lit, a)
			   : sx_fmt(x,
				 "CASE WHEN ENDS_WITH(%s, %s) THEN SUBSTR(%s, "
				 "1, CHAR_LENGTH(%s) - CHAR_LENGTH(%s)) ELSE "
				 "%s END",
				 a, lit, a, a, lit, a);
	}
	return strcmp(n->s, "ascii_downcase") == 0
		   ? sx_fmt(x, "TRANSLATE(%s, '%s', '%s')", a, up, low)
		   : sx_fmt(x, "TRANSLATE(%s, '%s', '%s')", a, low, up);
}

static const char *
truth_text(struct sx *x, const struct sx_node *n)
{
	const char *t = sx_truth(x, n), *has = sx_some(x, n);

	if (t == NULL)
		return NULL;
	if (has == NULL)
		return sx_fmt(
		    x, "CASE WHEN %s THEN 'true' ELSE 'false' END", t);
	return sx_fmt(
	    x, "CASE WHEN %s THEN 'true' WHEN %s THEN 'false' END", t, has);
}

/* NULL where there is nothing under the key, without being asked. */
static bool
null_anyway(const struct sx_node *n)
{
	return n->kind == COL ||
	       (n->kind == ALT && null_anyway(n->a) && null_anyway(n->b));
}

/* One of two, by a condition. */
static const char *
choose(struct sx *x, const struct sx_node *n,
    const char *(*value)(struct sx *, const struct sx_node *))
{
	const struct sx_node *yes = n->kind == ALT ? n->a : n->b;
	const struct sx_node *no = n->kind == ALT ? n->b : n->c;
	const char *c = sx_truth(x, n->a), *a = value(x, yes),
		   *b = value(x, no), *many;

	if (a == NULL || b == NULL || c == NULL)
		return NULL;
	if (n->kind == ALT && (many = sx_multi(x, n->a)) != NULL)
		sx_add_check(x, sx_fmt(x, "%s AND NOT %s", many, c),
		    "a key of a repeated column is there twice");
	if (n->kind == ALT && (types(n->a) & T_BOOL) == 0 && value == sx_text)
		return sx_fmt(x, "COALESCE(%s, %s)", a, b);
	if (strcmp(b, "NULL") == 0)
		return sx_fmt(x, "CASE WHEN %s THEN %s END", c, a);
	return sx_fmt(x, "CASE WHEN %s THEN %s ELSE %s END", c, a, b);
}

/* b, where a has an output; under a key, where there is one. */
static const char *
under(struct sx *x, const struct sx_node *n,
    const char *(*value)(struct sx *, const struct sx_node *))
{
	const char *b = value(x, n->b), *has;

	if (b == NULL || (n->kind == KEYED && null_anyway(n->b)))
		return b;
	has = n->kind == KEYED ? sx_fmt(x, "%s > 0", n->s) : sx_some(x, n->a);
	return has == NULL ? b : sx_fmt(x, "CASE WHEN %s THEN %s END", has, b);
}

/* null + a is a. */
static const char *
add(struct sx *x, const struct sx_node *n, const char *op,
    const char *(*value)(struct sx *, const struct sx_node *))
{
	const char *a = value(x, n->a), *b = value(x, n->b), *has;
	bool null_a = (types(n->a) & T_NIL) != 0;
	bool null_b = (types(n->b) & T_NIL) != 0;
	const char *sum;

	if (a == NULL || b == NULL)
		return NULL;
	sum = sx_fmt(x, "(%s %s %s)", a, op, b);
	if (null_a || null_b)
		sum = sx_fmt(x, "COALESCE(%s, %s, %s)", sum, a, b);
	has = sx_some(x, n);
	return has == NULL ? sum
			   : sx_fmt(x, "CASE WHEN %s THEN %s END", has, sum);
}

const char *
sx_text(struct sx *x, const struct sx_node *n)
{
	const char *s;

	switch (n->kind) {
	case COL:
		return column_text(x, n);
	case STR:
		return sx_quote(x, n->s, n->n);
	case NUM:
		return is_int64(n->s, n->n)
			   ? sx_quote(x, n->s, n->n)
			   : sx_refuse(x, "a number with a fraction as a text");
	case NIL:
	case NONE:
		return "NULL";
	case ALT:
	case COND:
		return choose(x, n, sx_text);
	case SEQ:
	case KEYED:
		return under(x, n, sx_text);
	case NUMBER:
		s = sx_number(x, n);
		return s == NULL ? NULL : sx_fmt(x, "CAST(%s AS STRING)", s);
	case ADD:
		if (((types(n->a) | types(n->b)) & ~(unsigned)T_NIL) == T_STR)
			return add(x, n, "||", sx_text);
		return sx_refuse(x, "a sum of numbers as a text");
	case CALL:
		if (is_test(n))
			return truth_text(x, n);
		if (types(n) == T_NUM) {
			s = sx_number(x, n);
			return s == NULL ? NULL
					 : sx_fmt(x, "CAST(%s AS STRING)", s);
		}
		return call_text(x, n);
	default:
		return truth_text(x, n);
	}
}

const char *
sx_shown(struct sx *x, const struct sx_node *n)
{
	if ((types(n) & T_NUM) != 0 && types(n) != T_NUM)
		return sx_refuse(x, "a FLOAT64 that would be seen");
	return sx_text(x, n);
}

static const char *
length(struct sx *x, const struct sx_node *n)
{
	const char *s;

	if ((types(n->a) & ~(unsigned)T_NIL) != T_STR)
		return sx_refuse(x, "length of what is no text");
	s = sx_text(x, n->a);
	if (s == NULL)
		return NULL;
	s = sx_fmt(x, "CAST(CHAR_LENGTH(COALESCE(%s, '')) AS BIGNUMERIC)", s);
	return sx_some(x, n->a) == NULL
		   ? s
		   : sx_fmt(x, "CASE WHEN %s THEN %s END", sx_some(x, n->a), s);
}

const char *
sx_number(struct sx *x, const struct sx_node *n)
{
	struct dec d;
	char text[DEC_TEXT];

	switch (n->kind) {
	case COL:
		if (n->type == 'I')
			return sx_fmt(x, "CAST(%s AS BIGNUMERIC)", n->s);
		if (n->type == 'F')
			return float_number(x, n->s);
		return sx_refuse(x, "a number from a column that is none");
	case STR:
	case NUM:
		if (!dec_parse(n->s, n->n, &d) || d.scale > 38 || d.scale < -20)
			return sx_refuse(x, "a literal that is no number of at "
					    "most 38 decimals");
		return sx_fmt(
		    x, "BIGNUMERIC '%.*s'", (int)dec_format(&d, text), text);
	case NIL:
	case NONE:
		return "NULL";
	case ALT:
	case COND:
		return choose(x, n, sx_number);
	case SEQ:
	case KEYED:
		return under(x, n, sx_number);
	case NUMBER:
		if ((types(n->a) & T_NIL) != 0)
			return sx_refuse(x,
			    "tonumber of what may be null (write "
			    "(… // 0) before it)");
		return sx_number(x, n->a);
	case ADD:
		if (((types(n->a) | types(n->b)) & ~(unsigned)T_NIL) != T_NUM)
			return sx_refuse(x,
			    "a sum of what is no number for sure "
			    "(tonumber before it)");
		return add(x, n, "+", sx_number);
	case CALL:
		if (strcmp(n->s, "length") == 0)
			return length(x, n);
		break;
	default:
		break;
	}
	return sx_refuse(x, "a number from what is none");
}

const char *
sx_int64(struct sx *x, const struct sx_node *n)
{
	return n->kind == COL && n->type == 'I'
		   ? n->s
		   : sx_refuse(x, "a time that is no plain column of INT64");
}

bool
sx_whole(const struct sx_node *n)
{
	return n->kind == KEYED ? sx_whole(n->b)
				: n->kind == COL && n->type == 'I';
}
