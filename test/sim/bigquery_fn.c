/*
 * Functions of GoogleSQL: which there are, with their signatures, and what
 * stands for them in SQLite (bigquery_func.c adds those that begin with bq_).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bigquery_sql.h"

#define S(k) (&bq_scalar[T_##k])

/*
 * S string, Y bytes, I int64, F float64, N numeric or bignumeric, B bool,
 * D date, T timestamp, A array, * anything. The result: one of these, or 1 for
 * the type of the first argument. $1 ... are the arguments.
 */
static const struct fn {
	const char *name, *args, *result, *text;
} fns[] = {
    {"LOWER", "S", "S", "lower($1)"},
    {"UPPER", "S", "S", "upper($1)"},
    {"LENGTH", "S", "I", "length($1)"},
    {"LENGTH", "Y", "I", "length($1)"},
    {"CHAR_LENGTH", "S", "I", "length($1)"},
    {"BYTE_LENGTH", "S", "I", "length(CAST($1 AS BLOB))"},
    {"SUBSTR", "SI", "S", "substr($1,$2)"},
    {"SUBSTR", "SII", "S", "substr($1,$2,$3)"},
    {"SUBSTRING", "SI", "S", "substr($1,$2)"},
    {"SUBSTRING", "SII", "S", "substr($1,$2,$3)"},
    {"LEFT", "SI", "S", "substr($1,1,$2)"},
    {"TRIM", "S", "S", "trim($1)"},
    {"TRIM", "SS", "S", "trim($1,$2)"},
    {"LTRIM", "S", "S", "ltrim($1)"},
    {"LTRIM", "SS", "S", "ltrim($1,$2)"},
    {"RTRIM", "S", "S", "rtrim($1)"},
    {"RTRIM", "SS", "S", "rtrim($1,$2)"},
    {"REPLACE", "SSS", "S", "replace($1,$2,$3)"},
    {"STRPOS", "SS", "I", "instr($1,$2)"},
    {"STARTS_WITH", "SS", "B", "(substr($1,1,length($2)) = $2)"},
    {"ENDS_WITH", "SS", "B", "(length($2) = 0 OR substr($1,-length($2)) = $2)"},
    {"LPAD", "SIS", "S", "bq_pad($1,$2,$3,1)"},
    {"LPAD", "SI", "S", "bq_pad($1,$2,' ',1)"},
    {"RPAD", "SIS", "S", "bq_pad($1,$2,$3,0)"},
    {"RPAD", "SI", "S", "bq_pad($1,$2,' ',0)"},
    {"REGEXP_CONTAINS", "SS", "B", "bq_regexp($1,$2)"},
    {"REGEXP_EXTRACT", "SS", "S", "bq_regexp_extract($1,$2)"},
    {"TO_HEX", "Y", "S", "lower(hex($1))"},
    {"SHA256", "S", "Y", "bq_sha256($1)"},
    {"SHA256", "Y", "Y", "bq_sha256($1)"},
    {"TO_JSON_STRING", "S", "S", "json_quote($1)"},
    {"TO_JSON_STRING", "I", "S", "CAST($1 AS TEXT)"},
    {"TO_JSON_STRING", "A", "S", "$1"},
    {"JSON_VALUE", "SS", "S", "CAST(json_extract($1,$2) AS TEXT)"},
    {"GENERATE_UUID", "", "S", "bq_uuid()"},
    {"ERROR", "S", "*", "bq_error($1)"},
    {"ABS", "I", "I", "abs($1)"},
    {"ABS", "F", "F", "abs($1)"},
    {"ABS", "N", "1", "ltrim($1,'-')"},
    {"SIGN", "I", "I", "sign($1)"},
    {"SIGN", "F", "F", "sign($1)"},
    {"MOD", "II", "I", "bq_imod($1,$2)"},
    {"DIV", "II", "I", "bq_idiv($1,$2)"},
    {"SAFE_DIVIDE", "FF", "F", "CASE WHEN $2 = 0 THEN NULL ELSE $1 / $2 END"},
    {"SAFE_DIVIDE", "NN", "1",
	"CASE WHEN $2 = '0' THEN NULL ELSE bq_ddiv($1,$2,$k) END"},
    {"FLOOR", "F", "F", "floor($1)"},
    {"CEIL", "F", "F", "ceil($1)"},
    {"ROUND", "F", "F", "bq_round($1,0)"},
    {"ROUND", "FI", "F", "bq_round($1,$2)"},
    {"ROUND", "N", "1", "bq_dround($1,0)"},
    {"ROUND", "NI", "1", "bq_dround($1,$2)"},
    {"DATE", "III", "D", "bq_ymd($1,$2,$3)"},
    {"DATE", "T", "D", "bq_cast($1,11,8,0)"},
    {"DATE", "TS", "D", "bq_day($1,$2)"},
    {"DATE", "D", "D", "$1"},
    {"PARSE_DATE", "SS", "D", "bq_parse_date($1,$2)"},
    {"FORMAT_DATE", "SD", "S", "bq_strftime($1,$2*86400000000)"},
    {"FORMAT_TIMESTAMP", "ST", "S", "bq_strftime($1,$2)"},
    {"TIMESTAMP", "S", "T", "bq_cast($1,1,11,0)"},
    {"TIMESTAMP", "D", "T", "($1*86400000000)"},
    {"TIMESTAMP", "T", "T", "$1"},
    {"UNIX_DATE", "D", "I", "$1"},
    {"DATE_FROM_UNIX_DATE", "I", "D", "$1"},
    {"UNIX_SECONDS", "T", "I", "bq_floor($1,1000000)"},
    {"UNIX_MILLIS", "T", "I", "bq_floor($1,1000)"},
    {"UNIX_MICROS", "T", "I", "$1"},
    {"TIMESTAMP_SECONDS", "I", "T", "($1*1000000)"},
    {"TIMESTAMP_MILLIS", "I", "T", "($1*1000)"},
    {"TIMESTAMP_MICROS", "I", "T", "$1"},
    {"ARRAY_LENGTH", "A", "I", "json_array_length($1)"},
    {"ARRAY_TO_STRING", "AS", "S", "bq_join($1,$2)"},
    {"FROM_HEX", "S", "Y", "bq_unhex($1)"},
    {"IS_NAN", "F", "B", "($1 = 'NaN')"},
    {"IS_INF", "F", "B", "(abs($1) = 9e999)"},
    {"TRUNC", "F", "F", "trunc($1)"},
    {"TRUNC", "N", "1", "bq_dtrunc($1)"},
    {"SIGN", "N", "1", "CAST(dec_cmp($1,0) AS TEXT)"},
    {"DIV", "NN", "1", "bq_dquot($1,$2)"},
    {"MOD", "NN", "1", "bq_drest($1,$2)"},
    {"TRANSLATE", "SSS", "S", "bq_translate($1,$2,$3)"},
    {"FORMAT", "SF", "S", "bq_format($1,$2)"},
    {"FORMAT", "SI", "S", "bq_format($1,$2)"},
};

static void
take_from(struct ex *e, const struct ex *from)
{
	if (e->bare == NULL)
		e->bare = from->bare;
	e->agg = e->agg || from->agg;
	e->window = e->window || from->window;
}

static size_t
arguments(struct sql *s, struct ex *e, size_t max)
{
	size_t n = 0;

	sql_want(s, "(");
	if (sql_take(s, ")"))
		return 0;
	do {
		if (n == max)
			sql_fail(s, s->at, "too many arguments");
		e[n++] = sql_expr(s);
	} while (sql_take(s, ","));
	sql_want(s, ")");
	return n;
}

/* Does the argument fit? *to is what it is converted to. */
static bool
fits(const struct ex *e, char want, const struct bq_type **to)
{
	static const struct {
		char c;
		enum bq_kind k;
	} kinds[] = {{'S', T_STRING}, {'Y', T_BYTES}, {'I', T_INT64},
	    {'F', T_FLOAT64}, {'B', T_BOOL}, {'D', T_DATE}, {'T', T_TIMESTAMP}};
	enum bq_kind k = e->t->kind;

	*to = e->t;
	if (want == '*')
		return true;
	if (want == 'A')
		return k == T_ARRAY;
	if (want == 'N')
		return k == T_NUMERIC || k == T_BIGNUMERIC;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		if (kinds[i].c == want) {
			*to = &bq_scalar[kinds[i].k];
			return k == kinds[i].k || k == T_NULL;
		}
	}
	return false;
}

static struct ex
fill(
    struct sql *s, const struct fn *f, const struct ex *e, size_t n, size_t tok)
{
	static const char letters[] = "SYIFBDT";
	static const enum bq_kind kinds[] = {
	    T_STRING, T_BYTES, T_INT64, T_FLOAT64, T_BOOL, T_DATE, T_TIMESTAMP};
	struct ex r = {.tok = tok};
	struct buf *b = sql_buf(s);
	const char *letter = strchr(letters, *f->result);

	for (const char *p = f->text; *p != '\0'; p++) {
		if (*p == '$' && p[1] == 'k')
			buf_str(b, e[0].t->kind == T_NUMERIC ? "9" : "38");
		else if (*p == '$')
			buf_str(b, e[p[1] - '1'].s);
		else
			buf_char(b, *p);
		p += *p == '$';
	}
	r.t = *f->result == '1' ? e[0].t
	      : letter == NULL  ? S(NULL)
				: &bq_scalar[kinds[letter - letters]];
	for (size_t i = 0; i < n; i++)
		take_from(&r, &e[i]);
	r.s = arena_strn(s->a, b->p, b->len);
	return r;
}

/* Arguments that are exact numbers take one type; false: they have none. */
static bool
exact_ones(struct sql *s, const struct fn *f, struct ex *e, size_t n)
{
	const struct bq_type *t = NULL;

	for (size_t i = 0; i < n; i++) {
		enum bq_kind k = e[i].t->kind;

		if (f->args[i] == 'N' &&
		    (k == T_BIGNUMERIC || (k == T_NUMERIC && t == NULL)))
			t = e[i].t;
	}
	if (strchr(f->args, 'N') == NULL)
		return true;
	for (size_t i = 0; i < n && t != NULL; i++) {
		if (f->args[i] == 'N')
			e[i] = sql_convert(s, e[i], t);
	}
	return t != NULL;
}

static struct ex
plain(struct sql *s, const char *name, size_t tok)
{
	struct ex e[8];
	size_t n = arguments(s, e, 8);
	bool known = false;
	const char *types = "";

	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < sizeof fns / sizeof *fns; i++) {
			const struct bq_type *to;
			bool ok = true;
			size_t k;

			if (strcasecmp(fns[i].name, name) != 0)
				continue;
			known = true;
			if (strlen(fns[i].args) != n)
				continue;
			/* first as it is, then with coercion */
			for (k = 0; k < n && ok; k++)
				ok = fits(&e[k], fns[i].args[k], &to) ||
				     (pass == 1 &&
					 (fns[i].args[k] == 'N'
						 ? e[k].t->kind == T_INT64
						 : fns[i].args[k] != 'A' &&
						       sql_coerces(&e[k], to)));
			if (!ok || !exact_ones(s, &fns[i], e, n))
				continue;
			for (k = 0; k < n; k++) {
				fits(&e[k], fns[i].args[k], &to);
				e[k] = sql_convert(s, e[k], to);
			}
			return fill(s, &fns[i], e, n, tok);
		}
	}
	if (!known)
		sql_fail(s, tok, "Function not found: %s", name);
	for (size_t i = 0; i < n; i++)
		types = arena_fmt(s->a, "%s%s%s", types, i > 0 ? ", " : "",
		    bq_type_text(s->a, e[i].t));
	sql_fail(s, tok,
	    "No matching signature for function %s for argument types: %s",
	    name, types);
}

/* ---- functions of any type ---- */

static struct ex
call_of(struct sql *s, const char *head, const struct ex *e, size_t n,
    const struct bq_type *t, size_t tok)
{
	struct ex r = {.t = t, .tok = tok};
	const char *text = arena_fmt(s->a, "%s(", head);

	for (size_t i = 0; i < n; i++) {
		text =
		    arena_fmt(s->a, "%s%s%s", text, i > 0 ? "," : "", e[i].s);
		take_from(&r, &e[i]);
	}
	r.s = arena_fmt(s->a, "%s)", text);
	return r;
}

static struct ex
if_of(struct sql *s, size_t tok)
{
	struct ex e[3], r = {.tok = tok};

	sql_want(s, "(");
	e[0] = sql_bool(s, "IF");
	sql_want(s, ",");
	e[1] = sql_expr(s);
	sql_want(s, ",");
	e[2] = sql_expr(s);
	sql_want(s, ")");
	r.t = sql_unify(s, e + 1, 2, "function IF");
	r.s = arena_fmt(
	    s->a, "CASE WHEN %s THEN %s ELSE %s END", e[0].s, e[1].s, e[2].s);
	r.s = arena_fmt(s->a, "(%s)", r.s);
	for (size_t i = 0; i < 3; i++)
		take_from(&r, &e[i]);
	return r;
}

static struct ex
same_type(struct sql *s, const char *name, const char *head, size_t tok)
{
	struct ex e[64];
	size_t n = arguments(s, e, 64);
	const struct bq_type *t;

	if (n == 0 ||
	    ((strcmp(head, "ifnull") == 0 || strcmp(head, "nullif") == 0) &&
		n != 2))
		sql_fail(s, tok, "%s: wrong number of arguments", name);
	t = sql_unify(s, e, n, arena_fmt(s->a, "function %s", name));
	if (n == 1) {
		e[0].tok = tok;
		return e[0];
	}
	if (strcmp(head, "max") == 0 || strcmp(head, "min") == 0)
		e[0].s = arena_fmt(s->a, "%s%s", e[0].s, sql_collate(t));
	return call_of(s, head, e, n, t, tok);
}

static struct ex
concat(struct sql *s, size_t tok)
{
	struct ex e[64], r = {.tok = tok, .t = S(STRING)};
	size_t n = arguments(s, e, 64);
	const char *text = "";

	for (size_t i = 0; i < n; i++) {
		if (e[i].t->kind != T_STRING && e[i].t->kind != T_NULL)
			sql_fail(s, e[i].tok,
			    "No matching signature for function CONCAT for "
			    "argument types: %s",
			    bq_type_text(s->a, e[i].t));
		text =
		    arena_fmt(s->a, "%s%s%s", text, i > 0 ? "||" : "", e[i].s);
		take_from(&r, &e[i]);
	}
	r.s = arena_fmt(s->a, "(%s)", text);
	return r;
}

/* ---- dates ---- */

static const char *
part(struct sql *s, const char *known)
{
	size_t tok = s->at;
	const char *w = sql_tok(s)->s, *find;
	char *upper = arena_strn(s->a, w, strlen(w));

	for (char *p = upper; *p != '\0'; p++)
		*p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
	find = arena_fmt(s->a, " %s ", upper);
	if (sql_tok(s)->kind != TOK_WORD || strstr(known, find) == NULL)
		sql_fail(s, tok,
		    "A valid date part name is required but found "
		    "%s",
		    w);
	s->at++;
	return upper;
}

#define DATE_PARTS " DAY WEEK ISOWEEK MONTH QUARTER YEAR "
#define TIME_PARTS " MICROSECOND MILLISECOND SECOND MINUTE HOUR DAY "

static struct ex
diff(struct sql *s, bool dates, size_t tok)
{
	const struct bq_type *t = dates ? S(DATE) : S(TIMESTAMP);
	struct ex a, b, r = {.tok = tok, .t = S(INT64)};
	const char *unit;

	sql_want(s, "(");
	a = sql_convert(s, sql_expr(s), t);
	sql_want(s, ",");
	b = sql_convert(s, sql_expr(s), t);
	sql_want(s, ",");
	unit = part(s, dates ? DATE_PARTS : TIME_PARTS);
	sql_want(s, ")");
	take_from(&r, &a);
	take_from(&r, &b);
	if (dates && strcmp(unit, "DAY") == 0)
		r.s = arena_fmt(s->a, "(%s - %s)", a.s, b.s);
	else
		r.s = arena_fmt(
		    s->a, "bq_diff(%s,%s,'%s',%d)", a.s, b.s, unit, dates);
	return r;
}

static struct ex
shift(struct sql *s, bool dates, bool minus, size_t tok)
{
	const struct bq_type *t = dates ? S(DATE) : S(TIMESTAMP);
	struct ex a, n, r = {.tok = tok, .t = t};
	const char *unit;

	sql_want(s, "(");
	a = sql_convert(s, sql_expr(s), t);
	sql_want(s, ",");
	sql_want(s, "INTERVAL");
	n = sql_convert(s, sql_expr(s), S(INT64));
	unit = part(s, dates ? DATE_PARTS : TIME_PARTS);
	sql_want(s, ")");
	take_from(&r, &a);
	take_from(&r, &n);
	if (dates && strcmp(unit, "DAY") == 0)
		r.s =
		    arena_fmt(s->a, "(%s %c %s)", a.s, minus ? '-' : '+', n.s);
	else
		r.s = arena_fmt(s->a, "bq_shift(%s,%s%s,'%s',%d)", a.s,
		    minus ? "-" : "", n.s, unit, dates);
	return r;
}

static struct ex
truncate_of(struct sql *s, bool dates, size_t tok)
{
	const struct bq_type *t = dates ? S(DATE) : S(TIMESTAMP);
	struct ex a, r = {.tok = tok, .t = t};
	const char *unit;

	sql_want(s, "(");
	a = sql_convert(s, sql_expr(s), t);
	sql_want(s, ",");
	unit = part(s, dates ? DATE_PARTS : TIME_PARTS);
	sql_want(s, ")");
	take_from(&r, &a);
	r.s = arena_fmt(s->a, "bq_trunc(%s,'%s',%d)", a.s, unit, dates);
	return r;
}

static struct ex
extract(struct sql *s, size_t tok)
{
	struct ex a, r = {.tok = tok, .t = S(INT64)};
	const char *unit;

	sql_want(s, "(");
	unit = part(s, " YEAR QUARTER MONTH WEEK ISOWEEK ISOYEAR DAY DAYOFWEEK "
		       "DAYOFYEAR HOUR MINUTE SECOND MILLISECOND MICROSECOND "
		       "DATE ");
	sql_want(s, "FROM");
	a = sql_expr(s);
	if (sql_is(s, "AT"))
		sql_fail(s, s->at, "AT TIME ZONE: not known to this stand-in");
	sql_want(s, ")");
	if (a.t->kind != T_DATE && a.t->kind != T_TIMESTAMP)
		sql_fail(s, a.tok, "EXTRACT: a DATE or TIMESTAMP is expected");
	take_from(&r, &a);
	if (strcmp(unit, "DATE") == 0)
		return sql_cast(s, a, S(DATE), false);
	r.s = arena_fmt(s->a, "bq_extract('%s',%s%s)", unit, a.s,
	    a.t->kind == T_DATE ? "*86400000000" : "");
	return r;
}

static struct ex
now(struct sql *s, bool date, size_t tok)
{
	struct ex r = {.tok = tok, .t = date ? S(DATE) : S(TIMESTAMP)};

	if (sql_take(s, "(")) {
		if (!sql_is(s, ")")) {
			if (!date || sql_tok(s)->kind != TOK_STRING)
				sql_fail(
				    s, s->at, "Syntax error: Expected \")\"");
			r.s = arena_fmt(s->a, "bq_day(%lld,%s)",
			    (long long)s->now_us,
			    sql_quote(s, sql_tok(s)->s, sql_tok(s)->len));
			s->at++;
		}
		sql_want(s, ")");
	}
	if (r.s == NULL)
		r.s = arena_fmt(s->a, "%lld",
		    (long long)(date ? s->now_us / 86400000000 : s->now_us));
	return r;
}

/* ---- aggregates and window functions ---- */

void
sql_window(struct sql *s, struct buf *b)
{
	bool first = true;

	sql_want(s, "(");
	buf_char(b, '(');
	if (sql_is_name(s) && !sql_is(s, "PARTITION") && !sql_is(s, "ROWS"))
		buf_fmt(b, "\"%s\" ", sql_name(s));
	if (sql_take(s, "PARTITION")) {
		sql_want(s, "BY");
		buf_str(b, "PARTITION BY ");
		do {
			buf_str(b, first ? "" : ", ");
			first = false;
			buf_str(b, sql_expr(s).s);
		} while (sql_take(s, ","));
	}
	first = true;
	if (sql_take(s, "ORDER")) {
		sql_want(s, "BY");
		buf_str(b, " ORDER BY ");
		do {
			buf_str(b, first ? "" : ", ");
			first = false;
			sql_order_item(s, b, sql_expr(s));
		} while (sql_take(s, ","));
	}
	if (sql_is(s, "ROWS") || sql_is(s, "RANGE")) {
		static const char words[] =
		    " ROWS RANGE BETWEEN AND UNBOUNDED PRECEDING FOLLOWING "
		    "CURRENT ROW ";

		while (!sql_is(s, ")")) {
			const struct tok *t = sql_tok(s);
			const char *w = arena_fmt(s->a, " %s ", t->s);

			if (t->kind != TOK_INT && strcasestr(words, w) == NULL)
				sql_fail(s, s->at,
				    "Syntax error: Unexpected \"%s\" in a "
				    "window frame",
				    t->s);
			buf_str(b, w);
			s->at++;
		}
	}
	sql_want(s, ")");
	buf_char(b, ')');
}

static struct ex
over(struct sql *s, struct ex e)
{
	struct buf *b = sql_buf(s);

	if (!sql_take(s, "OVER"))
		return e;
	if (sql_is(s, "(")) {
		bool in = s->in_agg;

		s->in_agg = false;
		sql_window(s, b);
		s->in_agg = in;
		e.s = arena_fmt(s->a, "%s OVER %s", e.s, buf_cstr(b));
	} else {
		e.s = arena_fmt(s->a, "%s OVER \"%s\"", e.s, sql_name(s));
	}
	e.agg = false;
	e.window = true;
	return e;
}

struct agg {
	bool distinct, star, ordered;
	struct ex x, sep;
	bool has_sep;
};

/* STRING_AGG(x, ... ORDER BY x): by itself, no other. */
static void
agg_order(struct sql *s, struct agg *g)
{
	struct ex by;

	s->at++;
	sql_want(s, "BY");
	by = sql_expr(s);
	if (strcmp(by.s, g->x.s) != 0 || sql_is(s, "DESC"))
		sql_fail(s, by.tok,
		    "STRING_AGG(x ORDER BY y): not known to this stand-in");
	sql_take(s, "ASC");
	g->ordered = true;
}

static void
agg_arguments(struct sql *s, struct agg *g, const char *name)
{
	bool in = s->in_agg;

	sql_want(s, "(");
	s->in_agg = true;
	if (sql_take(s, "*")) {
		g->star = true;
	} else {
		g->distinct = sql_take(s, "DISTINCT");
		g->x = sql_expr(s);
		if (g->x.agg)
			sql_fail(s, g->x.tok,
			    "Aggregations of aggregations are not allowed");
		if (sql_take(s, ",")) {
			g->sep = sql_expr(s);
			g->has_sep = true;
		}
		if (sql_is(s, "ORDER") && strcasecmp(name, "STRING_AGG") == 0)
			agg_order(s, g);
	}
	s->in_agg = in;
	if (sql_is(s, "ORDER") || sql_is(s, "LIMIT") || sql_is(s, "HAVING") ||
	    sql_is(s, "IGNORE") || sql_is(s, "RESPECT"))
		sql_fail(s, s->at, "%s inside %s: not known to this stand-in",
		    sql_tok(s)->s, name);
	sql_want(s, ")");
}

static const char *const agg_names[] = {"COUNT", "COUNTIF", "SUM", "AVG", "MIN",
    "MAX", "ANY_VALUE", "LOGICAL_AND", "LOGICAL_OR", "STRING_AGG", "ARRAY_AGG",
    NULL};

static struct ex
aggregate(struct sql *s, const char *name, size_t at, size_t tok)
{
	struct agg g = {.star = false};
	struct ex r = {.tok = tok, .agg = true};
	enum bq_kind k;
	const char *d;
	struct bq_type *list;

	agg_arguments(s, &g, name);
	k = g.star ? T_NULL : g.x.t->kind;
	d = g.distinct ? "DISTINCT " : "";
	if (g.star && at != 0)
		sql_fail(s, tok, "Argument * can only be used in COUNT(*)");
	if (g.has_sep && strcmp(agg_names[at], "STRING_AGG") != 0)
		sql_fail(s, tok, "%s: too many arguments", name);
	r.t = g.star ? S(INT64) : g.x.t;
	switch (at) {
	case 0:
		r.t = S(INT64);
		r.s = g.star ? "count(*)"
			     : arena_fmt(s->a, "count(%s%s)", d, g.x.s);
		break;
	case 1:
		if (k != T_BOOL && k != T_NULL)
			sql_fail(s, tok, "COUNTIF: a BOOL is expected");
		r.t = S(INT64);
		r.s = arena_fmt(s->a, "count(CASE WHEN %s THEN 1 END)", g.x.s);
		break;
	case 2:
	case 3:
		if (k == T_NUMERIC || k == T_BIGNUMERIC)
			r.s = arena_fmt(s->a, "bq_%s(%s%s)",
			    at == 2 ? "dsum" : "davg", d, g.x.s);
		else if (k == T_INT64 || k == T_FLOAT64)
			r.s = arena_fmt(s->a, "%s(%s%s)",
			    at == 2 ? "sum" : "avg", d, g.x.s);
		else
			sql_fail(s, tok,
			    "No matching signature for aggregate function %s "
			    "for argument types: %s",
			    name, bq_type_text(s->a, g.x.t));
		if (at == 3 && k == T_INT64)
			r.t = S(FLOAT64);
		break;
	case 4:
	case 5:
	case 6:
		r.s = arena_fmt(s->a, "%s(%s%s)", at == 5 ? "max" : "min",
		    g.x.s, sql_collate(g.x.t));
		break;
	case 7:
	case 8:
		if (k != T_BOOL)
			sql_fail(s, tok, "%s: a BOOL is expected", name);
		r.s = arena_fmt(s->a, "%s(%s)", at == 7 ? "min" : "max", g.x.s);
		break;
	case 9:
		if (k != T_STRING)
			sql_fail(s, tok, "STRING_AGG: a STRING is expected");
		if (g.ordered && !g.distinct) {
			r.s = arena_fmt(s->a, "bq_sorted(%s,%s)", g.x.s,
			    g.has_sep ? g.sep.s : "','");
			break;
		}
		r.s =
		    g.has_sep && !g.distinct
			? arena_fmt(s->a, "group_concat(%s,%s)", g.x.s, g.sep.s)
			: arena_fmt(s->a, "group_concat(%s%s)", d, g.x.s);
		if (g.has_sep && g.distinct)
			sql_fail(s, tok,
			    "STRING_AGG(DISTINCT ..., ...): not "
			    "known to this stand-in");
		break;
	default:
		list = arena_alloc(s->a, sizeof *list);
		list->kind = T_ARRAY;
		list->elem = g.x.t;
		r.t = list;
		r.s = arena_fmt(s->a,
		    k >= T_STRUCT ? "json_group_array(json(%s))"
				  : "json_group_array(%s)",
		    g.x.s);
	}
	r = over(s, r);
	if (r.window)
		r.bare = g.x.bare;
	return r;
}

static const struct {
	const char *name, *head;
	int least, most; /* arguments */
} windows[] = {
    {"ROW_NUMBER", "row_number", 0, 0},
    {"RANK", "rank", 0, 0},
    {"DENSE_RANK", "dense_rank", 0, 0},
    {"LAG", "lag", 1, 3},
    {"LEAD", "lead", 1, 3},
    {"FIRST_VALUE", "first_value", 1, 1},
    {"LAST_VALUE", "last_value", 1, 1},
};

static struct ex
window_fn(struct sql *s, size_t at, size_t tok)
{
	struct ex e[3], r;
	size_t n = arguments(s, e, 3);

	if ((int)n < windows[at].least || (int)n > windows[at].most)
		sql_fail(
		    s, tok, "%s: wrong number of arguments", windows[at].name);
	r = call_of(s, windows[at].head, e, n, n == 0 ? S(INT64) : e[0].t, tok);
	if (!sql_is(s, "OVER"))
		sql_fail(s, tok,
		    "Analytic function %s cannot be called without an OVER "
		    "clause",
		    windows[at].name);
	return over(s, r);
}

struct ex
sql_call(struct sql *s, const char *name, size_t tok)
{
	static const struct {
		const char *name, *head;
	} any[] = {{"COALESCE", "coalesce"}, {"IFNULL", "ifnull"},
	    {"NULLIF", "nullif"}, {"GREATEST", "max"}, {"LEAST", "min"}};

	for (size_t i = 0; agg_names[i] != NULL; i++) {
		if (strcasecmp(name, agg_names[i]) == 0)
			return aggregate(s, name, i, tok);
	}
	for (size_t i = 0; i < sizeof windows / sizeof *windows; i++) {
		if (strcasecmp(name, windows[i].name) == 0)
			return window_fn(s, i, tok);
	}
	for (size_t i = 0; i < sizeof any / sizeof *any; i++) {
		if (strcasecmp(name, any[i].name) == 0)
			return same_type(s, name, any[i].head, tok);
	}
	if (strcasecmp(name, "IF") == 0)
		return if_of(s, tok);
	if (strcasecmp(name, "CONCAT") == 0)
		return concat(s, tok);
	if (strcasecmp(name, "DATE_DIFF") == 0)
		return diff(s, true, tok);
	if (strcasecmp(name, "TIMESTAMP_DIFF") == 0)
		return diff(s, false, tok);
	if (strcasecmp(name, "DATE_ADD") == 0)
		return shift(s, true, false, tok);
	if (strcasecmp(name, "DATE_SUB") == 0)
		return shift(s, true, true, tok);
	if (strcasecmp(name, "TIMESTAMP_ADD") == 0)
		return shift(s, false, false, tok);
	if (strcasecmp(name, "TIMESTAMP_SUB") == 0)
		return shift(s, false, true, tok);
	if (strcasecmp(name, "DATE_TRUNC") == 0)
		return truncate_of(s, true, tok);
	if (strcasecmp(name, "TIMESTAMP_TRUNC") == 0)
		return truncate_of(s, false, tok);
	if (strcasecmp(name, "EXTRACT") == 0)
		return extract(s, tok);
	if (strcasecmp(name, "CURRENT_TIMESTAMP") == 0)
		return now(s, false, tok);
	if (strcasecmp(name, "CURRENT_DATE") == 0)
		return now(s, true, tok);
	return plain(s, name, tok);
}
