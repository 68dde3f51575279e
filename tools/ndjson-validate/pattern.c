/*
 * Patterns: ECMA 262 regular expressions, turned into POSIX extended ones.
 *
 * The C locale matches bytes, so what may match a character beyond ASCII (a
 * dot, a negated class) is written out as the UTF-8 sequences. Lookaround,
 * back references, word boundaries and \p{} have no POSIX form: refused.
 */
#include <stdlib.h>
#include <string.h>

#include "schema.h"

/* Any UTF-8 sequence of two bytes or more. */
#define BEYOND                                                      \
	"[\302-\337][\200-\277]|[\340-\357][\200-\277][\200-\277]|" \
	"[\360-\364][\200-\277][\200-\277][\200-\277]"
#define REPEAT_MAX 1000
/* What regcomp is asked to make of it, repeats written out. */
#define COST_MAX 50000

struct trans {
	const char *p, *end;
	struct buf out;
	const char *why;
	int depth;
	size_t cost; /* atoms, with their repeats */
};

static bool
no(struct trans *t, const char *why)
{
	if (t->why == NULL)
		t->why = why;
	return false;
}

/* The members of a class: 128 ASCII characters, and sequences beside. */
struct set {
	bool in[128];
	struct buf more; /* "|ä|ö" */
	bool beyond;     /* all beyond ASCII, as \D and \S have it */
};

static void
add_range(struct set *s, int from, int to)
{
	for (int c = from; c <= to; c++)
		s->in[c] = true;
}

static void
add_class(struct set *s, char kind)
{
	struct set k = {.beyond = false};
	bool flip = kind >= 'A' && kind <= 'Z';

	switch (kind | 32) {
	case 'd':
		add_range(&k, '0', '9');
		break;
	case 'w':
		add_range(&k, '0', '9');
		add_range(&k, 'a', 'z');
		add_range(&k, 'A', 'Z');
		k.in['_'] = true;
		break;
	default: /* \s also has U+00A0 and others, which we leave out */
		add_range(&k, '\t', '\r');
		k.in[' '] = true;
	}
	for (int c = 0; c < 128; c++)
		s->in[c] = s->in[c] || k.in[c] != flip;
	s->beyond = s->beyond || flip;
}

static void
put_literal(struct buf *out, int c)
{
	if (strchr(".[]{}()*+?\\^$|", c) != NULL && c != '\0')
		buf_char(out, '\\');
	buf_char(out, (char)c);
}

/* As a bracket expression; `]`, `^` and `-` have their places in it. */
static void
put_set(struct buf *out, const struct set *s, bool negated)
{
	size_t n = 0;
	bool beyond = s->beyond != negated;
	int last = 0;

	for (int c = 1; c < 128; c++) {
		if (s->in[c] != negated) {
			n++;
			last = c;
		}
	}
	buf_char(out, '(');
	if (n == 1) {
		put_literal(out, last);
	} else if (n > 1) {
		buf_char(out, '[');
		if (s->in[']'] != negated)
			buf_char(out, ']');
		for (int c = 1; c < 128; c++)
			if (s->in[c] != negated && c != ']' && c != '^' &&
			    c != '-' && c != '[')
				buf_char(out, (char)c);
		if (s->in['['] != negated)
			buf_char(out, '[');
		if (s->in['^'] != negated)
			buf_char(out, '^');
		if (s->in['-'] != negated)
			buf_char(out, '-');
		buf_char(out, ']');
	}
	if (beyond)
		buf_str(out, n > 0 ? "|" BEYOND : BEYOND);
	else if (s->more.len > 0)
		buf_add(out, s->more.p + (n == 0), s->more.len - (n == 0));
	buf_char(out, ')');
}

static int
hex(const char *p, const char *end, int digits)
{
	int v = 0;

	if (end - p < digits)
		return -1;
	for (int i = 0; i < digits; i++) {
		int c = (unsigned char)p[i];

		if (c >= '0' && c <= '9')
			v = v * 16 + c - '0';
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v = v * 16 + (c | 32) - 'a' + 10;
		else
			return -1;
	}
	return v;
}

/* After a backslash: a character of its own, -1 for a class or a refusal. */
static int
escaped(struct trans *t)
{
	static const char from[] = "tnrfv", to[] = "\t\n\r\f\v";
	char c = *t->p++;
	const char *hit = c == '\0' ? NULL : strchr(from, c);
	int v;

	if (hit != NULL)
		return to[hit - from];
	if (c == 'x' || c == 'u') {
		v = hex(t->p, t->end, c == 'x' ? 2 : 4);
		if (v < 1 || v > 126) {
			no(t, "only ASCII may be written as \\x or \\u");
			return -1;
		}
		t->p += c == 'x' ? 2 : 4;
		return v;
	}
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || (unsigned char)c >= 0x80) {
		no(t, "this escape has no POSIX form");
		return -1;
	}
	return c;
}

static size_t
sequence(const char *p)
{
	unsigned char c = (unsigned char)*p;

	return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* One member of a class: its character, -1 where it was put in already. */
static int
member(struct trans *t, struct set *s)
{
	size_t n = sequence(t->p);

	if (n > 1) {
		buf_char(&s->more, '|');
		buf_add(&s->more, t->p, n);
		t->p += n;
		return -1;
	}
	if (*t->p != '\\')
		return (unsigned char)*t->p++;
	t->p++;
	if (t->p == t->end) {
		no(t, "backslash at the end");
		return -1;
	}
	if (strchr("dwsDWS", *t->p) != NULL && *t->p != '\0') {
		add_class(s, *t->p++);
		return -1;
	}
	if (*t->p == 'b') {
		t->p++;
		return '\b';
	}
	return escaped(t);
}

static bool
bracket(struct trans *t)
{
	struct set s = {.more = BUF_INIT(4096)};
	bool negated = false, first = true;

	if (t->p < t->end && *t->p == '^') {
		negated = true;
		t->p++;
	}
	while (t->why == NULL && t->p < t->end && *t->p != ']') {
		int from = member(t, &s), to = from;

		if (t->end - t->p >= 2 && *t->p == '-' && t->p[1] != ']') {
			t->p++;
			to = from < 0 ? -1 : member(t, &s);
			if (to < from || from < 0)
				no(t, "range that is not one of ASCII");
		}
		if (from >= 0 && t->why == NULL)
			add_range(&s, from, to);
		first = false;
	}
	if (t->why == NULL && (t->p == t->end || first))
		no(t, first ? "empty class" : "class is not closed");
	if (negated && s.more.len > 0)
		no(t, "negated class of characters beyond ASCII");
	if (t->why == NULL) {
		t->p++;
		if (s.beyond)
			buf_reset(&s.more);
		put_set(&t->out, &s, negated);
	}
	buf_release(&s.more);
	return t->why == NULL;
}

static bool
number(struct trans *t, unsigned *v)
{
	const char *from = t->p;

	*v = 0;
	for (; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++)
		if (*v <= REPEAT_MAX)
			*v = *v * 10 + (unsigned)(*t->p - '0');
	return t->p > from;
}

/* from: the cost before the atom that is repeated. */
static bool
repeat(struct trans *t, size_t from)
{
	unsigned a, b;

	if (t->p < t->end && strchr("*+?", *t->p) != NULL && *t->p != '\0') {
		buf_char(&t->out, *t->p++);
	} else if (t->p < t->end && *t->p == '{') {
		t->p++;
		if (!number(t, &a))
			return no(t, "number expected after {");
		b = a;
		buf_fmt(&t->out, "{%u", a);
		if (t->p < t->end && *t->p == ',') {
			t->p++;
			buf_char(&t->out, ',');
			if (number(t, &b))
				buf_fmt(&t->out, "%u", b);
			else
				b = a;
		}
		if (t->p == t->end || *t->p != '}')
			return no(t, "} expected");
		if (a > b || b > REPEAT_MAX)
			return no(t, "more than 1000 repeats");
		t->p++;
		buf_char(&t->out, '}');
		t->cost = from + (t->cost - from) * (b + 1);
	} else {
		return true;
	}
	if (t->p < t->end && *t->p == '?')
		t->p++; /* lazy: the same yes or no */
	if (t->p < t->end && strchr("*+?{", *t->p) != NULL && *t->p != '\0')
		return no(t, "repeat of a repeat");
	return true;
}

static bool alternatives(struct trans *t);

static bool
group(struct trans *t)
{
	if (t->p < t->end && *t->p == '?') {
		if (t->end - t->p < 2 || t->p[1] != ':')
			return no(t, "lookaround and named groups have no "
				     "POSIX form");
		t->p += 2;
	}
	if (++t->depth > 100)
		return no(t, "nested too deeply");
	buf_char(&t->out, '(');
	if (!alternatives(t))
		return false;
	if (t->p == t->end)
		return no(t, "group is not closed");
	t->p++;
	t->depth--;
	buf_char(&t->out, ')');
	return true;
}

static bool
escape(struct trans *t)
{
	struct set s = {.more = BUF_INIT(16)};
	int c;

	if (t->p == t->end)
		return no(t, "backslash at the end");
	if (strchr("dwsDWS", *t->p) != NULL && *t->p != '\0') {
		add_class(&s, *t->p++);
		put_set(&t->out, &s, false);
		return true;
	}
	c = escaped(t);
	if (c >= 0)
		put_literal(&t->out, c);
	return c >= 0;
}

static bool
atom(struct trans *t)
{
	size_t n = sequence(t->p);
	char c = *t->p;

	if (n > 1) {
		buf_char(&t->out, '(');
		buf_add(&t->out, t->p, n);
		buf_char(&t->out, ')');
		t->p += n;
		return true;
	}
	t->p++;
	switch (c) {
	case '(':
		return group(t);
	case '[':
		return bracket(t);
	case '\\':
		return escape(t);
	case '.':
		buf_str(&t->out, "([\001-\011\013\014\016-\177]|" BEYOND ")");
		return true;
	case '*':
	case '+':
	case '?':
	case '{':
		return no(t, "nothing to repeat");
	case ']':
	case '}':
		put_literal(&t->out, c);
		return true;
	case '\0':
		return no(t, "NUL");
	default:
		buf_char(&t->out, c);
		return true;
	}
}

static bool
alternatives(struct trans *t)
{
	bool empty = true;
	size_t from;

	while (t->p < t->end && *t->p != ')') {
		if (*t->p == '|') {
			if (empty)
				buf_str(&t->out, "()");
			buf_char(&t->out, *t->p++);
			empty = true;
			continue;
		}
		empty = false;
		if (*t->p == '^' || *t->p == '$') {
			buf_char(&t->out, *t->p++);
			if (t->p < t->end && *t->p != '\0' &&
			    strchr("*+?{", *t->p) != NULL)
				return no(t, "repeat of an anchor");
			continue;
		}
		from = t->cost++;
		if (!atom(t) || !repeat(t, from))
			return false;
		if (t->cost > COST_MAX)
			return no(t, "too large");
	}
	if (empty)
		buf_str(&t->out, "()");
	return true;
}

const char *
pattern_compile(regex_t *re, const char *s, size_t n)
{
	struct trans t = {.p = s, .end = s + n, .out = BUF_INIT(1 << 20)};

	if (alternatives(&t) && t.p < t.end)
		no(&t, ") without (");
	if (t.why == NULL && t.out.over)
		no(&t, "too long");
	if (t.why == NULL &&
	    regcomp(re, buf_cstr(&t.out), REG_EXTENDED | REG_NOSUB) != 0)
		no(&t, "not a regular expression");
	buf_release(&t.out);
	return t.why;
}
