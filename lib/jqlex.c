/* The words of a jq program, and which of them are refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jqlex.h"
#include "mem.h"

#define NEST_MAX 200

struct lex {
	const char *start, *p, *end;
	struct toks *out;
	struct jq_why *why;
};

static bool
bad(struct lex *l, const char *at, const char *text)
{
	l->why->at = (size_t)(at - l->start);
	l->why->text = text;
	return false;
}

void
jqx_where(const char *text, size_t at, char *room)
{
	size_t line = 1, col = 1;

	for (size_t i = 0; i < at; i++) {
		col++;
		if (text[i] == '\n') {
			line++;
			col = 1;
		}
	}
	if (line > 1)
		snprintf(room, 48, "line %zu, column %zu", line, col);
	else
		snprintf(room, 48, "column %zu", col);
}

static bool
is_name(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (!first && c >= '0' && c <= '9');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static void
add(struct lex *l, enum tok_type type, const char *s, size_t n, const char *at)
{
	struct toks *o = l->out;

	if (o->n == o->cap) {
		o->cap = o->cap == 0 ? 64 : o->cap * 2;
		o->t = xreallocarray(o->t, o->cap, sizeof(*o->t));
	}
	o->t[o->n++] = (struct tok){type, s, n, (size_t)(at - l->start)};
}

static bool
lone_utf8(struct lex *l)
{
	const unsigned char *p = (const unsigned char *)l->start;
	const unsigned char *end = (const unsigned char *)l->end;

	while (p < end) {
		size_t n = *p < 0x80   ? 1
			   : *p < 0xc2 ? 0
			   : *p < 0xe0 ? 2
			   : *p < 0xf0 ? 3
			   : *p < 0xf5 ? 4
				       : 0;
		bool ok = n > 0 && *p != 0 && (size_t)(end - p) >= n;

		for (size_t i = 1; ok && i < n; i++)
			ok = (p[i] & 0xc0) == 0x80;
		if (ok && n > 2)
			ok = !(*p == 0xe0 && p[1] < 0xa0) &&
			     !(*p == 0xed && p[1] > 0x9f) &&
			     !(*p == 0xf0 && p[1] < 0x90) &&
			     !(*p == 0xf4 && p[1] > 0x8f);
		if (!ok)
			return bad(l, (const char *)p,
			    *p == 0 ? "NUL byte" : "not UTF-8");
		p += n;
	}
	return true;
}

/* libjq from 1.7 on continues a comment after a backslash, 1.6 does not. */
static bool
comment(struct lex *l)
{
	while (l->p < l->end && *l->p != '\n') {
		if (*l->p == '\\' &&
		    (l->p + 1 == l->end || l->p[1] == '\n' || l->p[1] == '\r'))
			return bad(l, l->p, "comment ends in a backslash");
		l->p++;
	}
	return true;
}

static bool
blanks(struct lex *l)
{
	while (l->p < l->end) {
		if (*l->p == '#') {
			if (!comment(l))
				return false;
		} else if (strchr(" \t\r\n", *l->p) != NULL) {
			l->p++;
		} else {
			break;
		}
	}
	return true;
}

static int
hex4(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int d = is_digit(c)            ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
					       : -1;

		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

/* After a backslash; l->p is at the character after it. */
static bool
escape(struct lex *l)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	char *o = l->out->room;
	const char *at = l->p - 1, *hit;
	int u, low;

	if (l->p == l->end)
		return bad(l, at, "string is not closed");
	hit = memchr(from, *l->p, sizeof(from) - 1);
	if (hit != NULL) {
		o[l->out->room_len++] = to[hit - from];
		l->p++;
		return true;
	}
	if (*l->p != 'u' || (u = hex4(l->p + 1, l->end)) < 0)
		return bad(l, at, "bad escape in a string");
	l->p += 5;
	if (u >= 0xd800 && u < 0xe000) {
		low = l->end - l->p >= 6 && l->p[0] == '\\' && l->p[1] == 'u'
			  ? hex4(l->p + 2, l->end)
			  : -1;
		if (u >= 0xdc00 || low < 0xdc00 || low > 0xdfff)
			return bad(l, at, "lone surrogate in a string");
		u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
		l->p += 6;
	}
	l->out->room_len += json_put_utf8(o + l->out->room_len, (unsigned)u);
	return true;
}

static bool words(struct lex *l, int depth, bool in_string);

/* l->p is after the opening quote. */
static bool
string(struct lex *l, int depth)
{
	const char *at = l->p - 1;
	bool parts = false;

	for (;;) {
		char *s = l->out->room + l->out->room_len;
		const char *from = l->p;

		while (
		    l->p < l->end && *l->p != '"' &&
		    !(*l->p == '\\' && l->p + 1 < l->end && l->p[1] == '(')) {
			if (*l->p == '\\') {
				l->p++;
				if (!escape(l))
					return false;
			} else {
				l->out->room[l->out->room_len++] = *l->p++;
			}
		}
		if (l->p == l->end)
			return bad(l, at, "string is not closed");
		if (*l->p == '\\' && !parts) {
			add(l, T_OPEN, "\"", 1, at);
			parts = true;
		}
		add(l, parts ? T_PART : T_STR, s,
		    (size_t)(l->out->room + l->out->room_len - s),
		    parts ? from : at);
		l->out->room[l->out->room_len++] = '\0';
		if (*l->p++ == '"')
			break;
		l->p++;
		add(l, T_SUB, "(", 1, l->p - 2);
		if (depth >= NEST_MAX)
			return bad(l, l->p, "nested too deeply");
		if (!words(l, depth + 1, true))
			return false;
		add(l, T_SUBEND, ")", 1, l->p - 1);
	}
	if (parts)
		add(l, T_CLOSE, "\"", 1, l->p - 1);
	return true;
}

static void
number(struct lex *l)
{
	const char *at = l->p, *e;

	while (l->p < l->end && is_digit(*l->p))
		l->p++;
	if (l->p < l->end && *l->p == '.')
		for (l->p++; l->p < l->end && is_digit(*l->p);)
			l->p++;
	if (l->p < l->end && (*l->p == 'e' || *l->p == 'E')) {
		e = l->p + 1;
		if (e < l->end && (*e == '+' || *e == '-'))
			e++;
		if (e < l->end && is_digit(*e)) {
			while (e < l->end && is_digit(*e))
				e++;
			l->p = e;
		}
	}
	add(l, T_NUM, at, (size_t)(l->p - at), at);
}

static const char *
name(const char *p, const char *end)
{
	while (p < end) {
		if (is_name(*p, false))
			p++;
		else if (end - p > 2 && p[0] == ':' && p[1] == ':' &&
			 is_name(p[2], true))
			p += 2;
		else
			break;
	}
	return p;
}

static bool
op(struct lex *l)
{
	static const char *const ops[] = {"?//", "//=", "!=", "==", "//",
	    "|=", "+=", "-=", "*=", "/=", "%=", "<=", ">=", ".."};
	size_t left = (size_t)(l->end - l->p);

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		size_t n = strlen(ops[i]);

		if (left >= n && memcmp(l->p, ops[i], n) == 0) {
			add(l, T_OP, l->p, n, l->p);
			l->p += n;
			return true;
		}
	}
	if (strchr(".[](){}|,:;=<>+-*/%?", *l->p) == NULL)
		return bad(l, l->p, "unexpected character");
	add(l, T_OP, l->p, 1, l->p);
	l->p++;
	return true;
}

/* One word that is neither a string nor a closing bracket. */
static bool
word(struct lex *l)
{
	const char *at = l->p, *s = at + 1;
	size_t left = (size_t)(l->end - at);

	if (is_digit(*at) || (*at == '.' && left > 1 && is_digit(at[1]))) {
		number(l);
	} else if (is_name(*at, true)) {
		l->p = name(at, l->end);
		add(l, T_IDENT, at, (size_t)(l->p - at), at);
	} else if (*at == '.' && left > 1 && is_name(at[1], true)) {
		while (l->p++, l->p < l->end && is_name(*l->p, false))
			;
		add(l, T_FIELD, s, (size_t)(l->p - s), at);
	} else if (*at == '@' && left > 1 && is_name(at[1], false)) {
		l->p = name(at + 1, l->end);
		add(l, T_FORMAT, s, (size_t)(l->p - s), at);
	} else if (*at == '$') {
		l->p++;
		if (!blanks(l))
			return false;
		s = l->p;
		if (s == l->end || !is_name(*s, true))
			return bad(l, at, "name of a variable expected");
		l->p = name(s, l->end);
		add(l, T_VAR, s, (size_t)(l->p - s), at);
	} else {
		return op(l);
	}
	return true;
}

static bool
words(struct lex *l, int depth, bool in_string)
{
	char open[NEST_MAX];
	const char *at[NEST_MAX], *shut;
	int n = 0;

	for (;;) {
		if (!blanks(l))
			return false;
		if (l->p == l->end) {
			if (n > 0)
				return bad(l, at[n - 1], "bracket not closed");
			return in_string ? bad(l, l->p, "string is not closed")
					 : true;
		}
		if (*l->p == '"') {
			l->p++;
			if (!string(l, depth))
				return false;
			continue;
		}
		shut = strchr(")]}", *l->p);
		if (shut != NULL && n == 0 && in_string && *l->p == ')') {
			l->p++;
			return true;
		}
		if (shut != NULL && (n == 0 || open[n - 1] != *l->p))
			return bad(l, l->p, "bracket without its opening one");
		if (shut != NULL)
			n--;
		else if (strchr("([{", *l->p) != NULL) {
			if (n + depth >= NEST_MAX)
				return bad(l, l->p, "nested too deeply");
			at[n] = l->p;
			open[n++] = *l->p == '('   ? ')'
				    : *l->p == '[' ? ']'
						   : '}';
		}
		if (!word(l))
			return false;
	}
}

bool
jqx_lex(const char *text, size_t len, struct toks *out, struct jq_why *why)
{
	struct lex l = {text, text, text + len, out, why};

	*out = (struct toks){0};
	/* Decoded text is never longer than its source; each piece gets a
	 * NUL, for which its quote or `\(` made room. */
	out->room = xmalloc(len + 2);
	if (!lone_utf8(&l) || !words(&l, 0, false))
		return false;
	add(&l, T_END, "", 0, l.end);
	return true;
}

void
jqx_lex_release(struct toks *t)
{
	free(t->t);
	free(t->room);
	*t = (struct toks){0};
}

/*
 * What a program may not say. implode ends the whole process on a number that
 * is no code point, in libjq 1.6 and 1.7 alike.
 */
static const char *const refused[] = {"env", "input", "inputs", "debug",
    "stderr", "input_filename", "input_line_number", "now", "localtime",
    "strflocaltime", "get_search_list", "modulemeta", "import", "include",
    "halt", "halt_error", "repeat", "while", "until", "infinite", "implode"};
static const char *const refused_vars[] = {
    "ENV", "__loc__", "__prog_args", "__prog_name"};

static bool
refuse(struct jq_why *why, const struct tok *t, const char *what)
{
	why->at = t->at;
	snprintf(why->room, sizeof(why->room), "'%s%.*s' %s",
	    t->type == T_VAR ? "$" : "", (int)(t->n < 60 ? t->n : 60), t->s,
	    what);
	why->text = why->room;
	return false;
}

static bool
listed(const struct tok *t, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (tok_is(t, t->type, names[i]))
			return true;
	return false;
}

struct scope {
	const struct tok *name;
	int depth;
};

static bool
word_ok(const struct tok *t, size_t i, bool in_object, const struct scope *defs,
    size_t ndefs, struct jq_why *why)
{
	const struct tok *w = &t[i];

	if (w->type == T_VAR &&
	    listed(w, refused_vars, sizeof(refused_vars) / sizeof(char *)))
		return refuse(why, w, "is not to be had here");
	if (w->type != T_IDENT || (in_object && tok_is(&t[i + 1], T_OP, ":")))
		return true;
	if (listed(w, refused, sizeof(refused) / sizeof(char *)))
		return refuse(why, w, "is not to be had here");
	if (tok_is(w, T_IDENT, "recurse") && tok_is(&t[i + 1], T_OP, "("))
		return refuse(why, w, "with an argument may never end");
	for (size_t d = 0; d < ndefs; d++)
		if (w != defs[d].name && w->n == defs[d].name->n &&
		    memcmp(w->s, defs[d].name->s, w->n) == 0)
			return refuse(why, w, "calls itself: it may never end");
	return true;
}

bool
jqx_words_ok(const struct toks *toks, struct jq_why *why)
{
	const struct tok *t = toks->t;
	struct scope defs[64];
	size_t ndefs = 0;
	char open[2 * NEST_MAX];
	int depth = 0;

	for (size_t i = 0; t[i].type != T_END; i++) {
		if (tok_is(&t[i], T_OP, "(") || tok_is(&t[i], T_OP, "[") ||
		    tok_is(&t[i], T_OP, "{") || t[i].type == T_SUB) {
			if (depth == 2 * NEST_MAX)
				return refuse(why, &t[i], "nested too deeply");
			open[depth++] = *t[i].s;
		} else if (tok_is(&t[i], T_OP, ")") ||
			   tok_is(&t[i], T_OP, "]") ||
			   tok_is(&t[i], T_OP, "}") || t[i].type == T_SUBEND) {
			depth--;
		} else if (tok_is(&t[i], T_OP, ";") && ndefs > 0 &&
			   defs[ndefs - 1].depth == depth) {
			ndefs--;
		} else if (tok_is(&t[i], T_IDENT, "def") &&
			   t[i + 1].type == T_IDENT) {
			if (ndefs == 64)
				return refuse(why, &t[i], "nested too deeply");
			defs[ndefs++] = (struct scope){&t[i + 1], depth};
			continue;
		}
		if (!word_ok(t, i, depth > 0 && open[depth - 1] == '{', defs,
			ndefs, why))
			return false;
	}
	return true;
}
