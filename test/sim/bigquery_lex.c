/*
 * Tokens of GoogleSQL, and errors with their place.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bigquery_sql.h"

static void
place(const struct sql *s, size_t at, unsigned *line, unsigned *col)
{
	*line = *col = 1;
	for (size_t i = 0; i < at && s->text[i] != '\0'; i++) {
		if (s->text[i] == '\n') {
			++*line;
			*col = 1;
		} else {
			++*col;
		}
	}
}

_Noreturn static void
fail_at(struct sql *s, size_t at, const char *text)
{
	unsigned line, col;

	place(s, at, &line, &col);
	s->reason = "invalidQuery";
	s->message = sim_keep("%s at [%u:%u]", text, line, col);
	longjmp(*s->fail, 1);
}

_Noreturn void
sql_fail(struct sql *s, size_t tok, const char *fmt, ...)
{
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fail_at(s, tok < s->n ? s->tok[tok].at : strlen(s->text), text);
}

_Noreturn void
sql_raise(struct sql *s, const char *reason, const char *fmt, ...)
{
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	s->reason = reason;
	s->message = sim_keep("%s", text);
	longjmp(*s->fail, 1);
}

struct buf *
sql_buf(struct sql *s)
{
	struct bufs *b = arena_alloc(s->a, sizeof *b);

	buf_init(&b->b, 1u << 28);
	b->next = *s->bufs;
	*s->bufs = b;
	return &b->b;
}

/* ---- the lexer ---- */

struct lexer {
	struct sql *s;
	const char *p;
	struct tok *tok;
	size_t n, cap;
};

static void
add(struct lexer *x, enum tok_kind kind, const char *at, const char *text,
    size_t len)
{
	struct tok *t;

	if (x->n == x->cap) {
		size_t cap = x->cap == 0 ? 256 : 2 * x->cap;
		struct tok *more = arena_alloc(x->s->a, cap * sizeof *more);

		if (x->n > 0)
			memcpy(more, x->tok, x->n * sizeof *more);
		x->tok = more;
		x->cap = cap;
	}
	t = &x->tok[x->n++];
	t->kind = kind;
	t->s = arena_strn(x->s->a, text, len);
	t->len = len;
	t->at = (size_t)(at - x->s->text);
}

static void
skip(struct lexer *x)
{
	for (;;) {
		x->p += strspn(x->p, " \t\r\n\f\v");
		if (*x->p == '#' || (x->p[0] == '-' && x->p[1] == '-')) {
			x->p += strcspn(x->p, "\n");
		} else if (x->p[0] == '/' && x->p[1] == '*') {
			const char *end = strstr(x->p + 2, "*/");

			if (end == NULL)
				fail_at(x->s, (size_t)(x->p - x->s->text),
				    "Syntax error: Unclosed comment");
			x->p = end + 2;
		} else {
			return;
		}
	}
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 32);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *
escape(struct lexer *x, const char *p, struct buf *b)
{
	static const char from[] = "abfnrtv\\?\"'`",
			  to[] = "\a\b\f\n\r\t\v\\?\"'`";
	const char *hit = *p == '\0' ? NULL : strchr(from, *p);
	unsigned v = 0;
	char utf8[4];
	int n;

	if (hit != NULL) {
		buf_char(b, to[hit - from]);
		return p + 1;
	}
	n = *p == 'x' || *p == 'X' ? 2 : *p == 'u' ? 4 : *p == 'U' ? 8 : 0;
	for (int i = 1; i <= n; i++) {
		int d = hex_digit(p[i]);

		if (d < 0)
			n = 0;
		v = v * 16 + (unsigned)(d < 0 ? 0 : d);
	}
	if (n == 0)
		fail_at(x->s, (size_t)(p - x->s->text),
		    "Syntax error: Illegal escape sequence");
	if (n == 2)
		buf_char(b, (char)v);
	else
		buf_add(b, utf8, json_put_utf8(utf8, v));
	return p + 1 + n;
}

/* A string that begins at p with its quote. */
static void
string(struct lexer *x, const char *start, const char *p, bool raw, bool bytes)
{
	struct buf *b = sql_buf(x->s);
	char q = *p;
	size_t n = p[1] == q && p[2] == q ? 3 : 1;
	char end[4] = {q, q, q, '\0'};

	end[n] = '\0';
	p += n;
	while (strncmp(p, end, n) != 0) {
		if (*p == '\0' || (n == 1 && *p == '\n'))
			fail_at(x->s, (size_t)(start - x->s->text),
			    "Syntax error: Unclosed string literal");
		if (*p == '\\' && !raw) {
			p = escape(x, p + 1, b);
		} else {
			if (*p == '\\')
				buf_char(b, *p++);
			buf_char(b, *p++);
		}
	}
	add(x, bytes ? TOK_BYTES : TOK_STRING, start, b->len > 0 ? b->p : "",
	    b->len);
	x->p = p + n;
}

static void
number(struct lexer *x)
{
	const char *p = x->p, *start = p;
	enum tok_kind kind = TOK_INT;

	if (p[0] == '0' && (p[1] | 32) == 'x') {
		p += 2;
		while (hex_digit(*p) >= 0)
			p++;
	} else {
		p += strspn(p, "0123456789");
		if (*p == '.') {
			kind = TOK_FLOAT;
			p++;
			p += strspn(p, "0123456789");
		}
		if ((*p | 32) == 'e' &&
		    (isdigit((unsigned char)p[1]) ||
			((p[1] == '-' || p[1] == '+') &&
			    isdigit((unsigned char)p[2])))) {
			kind = TOK_FLOAT;
			p += 2;
			p += strspn(p, "0123456789");
		}
	}
	if (isalnum((unsigned char)*p) || *p == '_')
		fail_at(x->s, (size_t)(start - x->s->text),
		    "Syntax error: Missing whitespace between literal and "
		    "alias");
	add(x, kind, start, start, (size_t)(p - start));
	x->p = p;
}

static bool
word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static void
one(struct lexer *x)
{
	static const char *const twos[] = {
	    "<=", ">=", "<>", "!=", "||", "<<", ">>", "=>"};
	const char *p = x->p;
	size_t i = 0;

	while (i < 2 && p[i] != '\0' && strchr("rRbB", p[i]) != NULL)
		i++;
	if (p[i] == '\'' || p[i] == '"') {
		bool raw =
		    memchr(p, 'r', i) != NULL || memchr(p, 'R', i) != NULL;

		string(x, p, p + i, raw, i > (raw ? 1u : 0u));
		return;
	}
	if (isalpha((unsigned char)*p) || *p == '_') {
		while (word_char(*x->p))
			x->p++;
		add(x, TOK_WORD, p, p, (size_t)(x->p - p));
	} else if (*p == '`') {
		const char *end = strchr(p + 1, '`');

		if (end == NULL)
			fail_at(x->s, (size_t)(p - x->s->text),
			    "Syntax error: Unclosed identifier literal");
		add(x, TOK_QUOTED, p, p + 1, (size_t)(end - p - 1));
		x->p = end + 1;
	} else if (*p == '@' && (isalpha((unsigned char)p[1]) || p[1] == '_')) {
		x->p++;
		while (word_char(*x->p))
			x->p++;
		add(x, TOK_PARAM, p, p + 1, (size_t)(x->p - p - 1));
	} else if (isdigit((unsigned char)*p) ||
		   (*p == '.' && isdigit((unsigned char)p[1]) &&
		       (x->n == 0 || x->tok[x->n - 1].kind != TOK_WORD))) {
		number(x);
	} else {
		size_t len = 1;

		for (size_t k = 0; k < sizeof twos / sizeof *twos; k++) {
			/* ">>" also ends nested types */
			if (strncmp(p, twos[k], 2) == 0 &&
			    strcmp(twos[k], ">>") != 0)
				len = 2;
		}
		if (strchr("()[]<>,;.=+-*/|&^~!:@?{}$%", *p) == NULL)
			fail_at(x->s, (size_t)(p - x->s->text),
			    arena_fmt(x->s->a,
				"Syntax error: Illegal input character "
				"\"\\x%02x\"",
				(unsigned char)*p));
		add(x, TOK_SIGN, p, p, len);
		x->p += len;
	}
}

void
sql_lex(struct sql *s, const char *text)
{
	struct lexer x = {.s = s, .p = text};

	s->text = text;
	s->n = 0;
	for (skip(&x); *x.p != '\0'; skip(&x))
		one(&x);
	add(&x, TOK_END, x.p, "", 0);
	s->tok = x.tok;
	s->n = x.n;
	s->at = 0;
}

/* ---- reading tokens ---- */

const struct tok *
sql_tok(const struct sql *s)
{
	return &s->tok[s->at];
}

const struct tok *
sql_ahead(const struct sql *s, size_t n)
{
	return &s->tok[s->at + n < s->n ? s->at + n : s->n - 1];
}

bool
sql_is_at(const struct sql *s, size_t at, const char *word)
{
	const struct tok *t = &s->tok[at < s->n ? at : s->n - 1];

	return (t->kind == TOK_WORD || t->kind == TOK_SIGN) &&
	       strcasecmp(t->s, word) == 0;
}

bool
sql_is(const struct sql *s, const char *word)
{
	return sql_is_at(s, s->at, word);
}

bool
sql_take(struct sql *s, const char *word)
{
	if (!sql_is(s, word))
		return false;
	s->at++;
	return true;
}

void
sql_want(struct sql *s, const char *word)
{
	const struct tok *t = sql_tok(s);

	if (sql_take(s, word))
		return;
	if (t->kind == TOK_END)
		sql_fail(s, s->at,
		    "Syntax error: Expected \"%s\" but got end of statement",
		    word);
	sql_fail(s, s->at, "Syntax error: Expected \"%s\" but got %s\"%s\"",
	    word, t->kind == TOK_WORD ? "identifier " : "", t->s);
}

static bool
reserved(const char *w)
{
	static const char list[] =
	    " ALL AND ANY ARRAY AS ASC ASSERT_ROWS_MODIFIED AT BETWEEN BY CASE "
	    "CAST COLLATE CONTAINS CREATE CROSS CUBE CURRENT DEFAULT DEFINE "
	    "DESC DISTINCT ELSE END ENUM ESCAPE EXCEPT EXCLUDE EXISTS EXTRACT "
	    "FALSE FETCH FOLLOWING FOR FROM FULL GROUP GROUPING GROUPS HASH "
	    "HAVING IF IGNORE IN INNER INTERSECT INTERVAL INTO IS JOIN LATERAL "
	    "LEFT LIKE LIMIT LOOKUP MERGE NATURAL NEW NO NOT NULL NULLS OF ON "
	    "OR ORDER OUTER OVER PARTITION PRECEDING PROTO QUALIFY RANGE "
	    "RECURSIVE RESPECT RIGHT ROLLUP ROWS SELECT SET SOME STRUCT "
	    "TABLESAMPLE THEN TO TREAT TRUE UNBOUNDED UNION UNNEST USING WHEN "
	    "WHERE WINDOW WITH WITHIN ";
	char find[32];
	int n = snprintf(find, sizeof find, " %s ", w);

	if (n < 0 || (size_t)n >= sizeof find)
		return false;
	for (char *p = find; *p != '\0'; p++)
		*p = (char)toupper((unsigned char)*p);
	return strstr(list, find) != NULL;
}

bool
sql_is_name(const struct sql *s)
{
	const struct tok *t = sql_tok(s);

	return t->kind == TOK_QUOTED ||
	       (t->kind == TOK_WORD && !reserved(t->s));
}

const char *
sql_name(struct sql *s)
{
	const struct tok *t = sql_tok(s);

	if (!sql_is_name(s)) {
		if (t->kind == TOK_WORD)
			sql_fail(s, s->at,
			    "Syntax error: Unexpected keyword %s", t->s);
		sql_fail(s, s->at, "Syntax error: Unexpected %s%s%s",
		    t->kind == TOK_END ? "end of statement" : "\"",
		    t->kind == TOK_END ? "" : t->s,
		    t->kind == TOK_END ? "" : "\"");
	}
	s->at++;
	return t->s;
}

const char *
sql_quote(struct sql *s, const char *text, size_t n)
{
	char *out = arena_alloc(s->a, 2 * n + 3), *o = out;

	*o++ = '\'';
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\'')
			*o++ = '\'';
		*o++ = text[i];
	}
	*o++ = '\'';
	return out;
}

const char *
sql_fold(struct sql *s, const char *name)
{
	char *out = arena_strn(s->a, name, strlen(name));

	for (char *p = out; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	return out;
}
