/*
 * The exact validator: says where and why. The kernels only say "suspect";
 * what is suspect is judged here, so this file is the one that decides.
 */
#include <string.h>

#include "json.h"
#include "json_impl.h"

struct check {
	const unsigned char *p, *end, *start;
	struct json_error *e;
};

static bool
wrong(struct check *c, const unsigned char *at, const char *reason)
{
	c->e->byte = (size_t)(at - c->start) + 1;
	c->e->reason = reason;
	c->e->cut = false;
	return false;
}

static bool
cut(struct check *c, const char *reason)
{
	wrong(c, c->end, reason);
	c->e->cut = true;
	return false;
}

static void
blanks(struct check *c)
{
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' ||
				    *c->p == '\r' || *c->p == '\n'))
		c->p++;
}

/* The length of a whole UTF-8 sequence at p, 0 if there is none. */
static size_t
utf8_len(const unsigned char *p, size_t n)
{
	unsigned lo = 0x80, hi = 0xbf;
	size_t len;

	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	if (n < len || p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

bool
json_utf8(const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + n;

	while (p < end) {
		size_t len = *p < 0x80 ? 1 : utf8_len(p, (size_t)(end - p));

		if (len == 0)
			return false;
		p += len;
	}
	return true;
}

static int
hex(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits after \u; -1 bad, -2 cut. */
static int
hex4(const unsigned char *p, const unsigned char *end)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		if (p + i >= end)
			return -2;
		if (hex(p[i]) < 0)
			return -1;
		v = v * 16 + hex(p[i]);
	}
	return v;
}

static bool
escape(struct check *c)
{
	const unsigned char *at = c->p;
	int u;

	if (at + 1 >= c->end)
		return cut(c, "line ends inside a string");
	if (strchr("\"\\/bfnrt", at[1]) != NULL && at[1] != '\0') {
		c->p += 2;
		return true;
	}
	if (at[1] != 'u')
		return wrong(c, at, "bad escape in a string");
	u = hex4(at + 2, c->end);
	if (u == -2)
		return cut(c, "line ends inside a string");
	if (u < 0)
		return wrong(c, at, "bad \\u escape in a string");
	c->p += 6;
	if (u < 0xd800 || u > 0xdfff)
		return true;
	if (u < 0xdc00 && c->end - c->p >= 6 && c->p[0] == '\\' &&
	    c->p[1] == 'u') {
		int low = hex4(c->p + 2, c->end);

		if (low >= 0xdc00 && low <= 0xdfff) {
			c->p += 6;
			return true;
		}
	}
	return wrong(c, at, "lone surrogate in a string");
}

static bool
string(struct check *c)
{
	c->p++;
	while (c->p < c->end) {
		unsigned char ch = *c->p;
		size_t n;

		if (ch == '"') {
			c->p++;
			return true;
		}
		if (ch == '\\') {
			if (!escape(c))
				return false;
			continue;
		}
		if (ch == 0)
			return wrong(c, c->p, "NUL byte in a string");
		if (ch < 0x20)
			return wrong(c, c->p, "control character in a string");
		if (ch < 0x80) {
			c->p++;
			continue;
		}
		n = utf8_len(c->p, (size_t)(c->end - c->p));
		if (n == 0)
			return wrong(c, c->p, "invalid UTF-8");
		c->p += n;
	}
	return cut(c, "line ends inside a string");
}

static bool
digits(struct check *c)
{
	const unsigned char *from = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > from;
}

static bool
number(struct check *c)
{
	const unsigned char *from = c->p;

	if (*c->p == '-')
		c->p++;
	if (c->p < c->end && *c->p == '0')
		c->p++;
	else if (!digits(c))
		goto bad;
	if (c->p < c->end && *c->p == '.') {
		c->p++;
		if (!digits(c))
			goto bad;
	}
	if (c->p < c->end && (*c->p | 0x20) == 'e') {
		c->p++;
		if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
			c->p++;
		if (!digits(c))
			goto bad;
	}
	if (c->p < c->end && strchr(",]} \t\r\n", *c->p) == NULL)
		goto bad;
	return true;
bad:
	if (c->p >= c->end)
		return cut(c, "line ends inside a number");
	return wrong(c, from, "bad number");
}

static bool
literal(struct check *c, const char *word)
{
	size_t n = strlen(word), have = (size_t)(c->end - c->p);

	if (have >= n && memcmp(c->p, word, n) == 0) {
		c->p += n;
		return true;
	}
	if (have < n && memcmp(c->p, word, have) == 0)
		return cut(c, "line ends inside a literal");
	return wrong(c, c->p, "not a JSON value");
}

static bool
scalar(struct check *c)
{
	switch (*c->p) {
	case '"':
		return string(c);
	case 't':
		return literal(c, "true");
	case 'f':
		return literal(c, "false");
	case 'n':
		return literal(c, "null");
	case 0:
		return wrong(c, c->p, "NUL byte");
	}
	if (*c->p == '-' || (*c->p >= '0' && *c->p <= '9'))
		return number(c);
	if (*c->p >= 0x80 && utf8_len(c->p, (size_t)(c->end - c->p)) == 0)
		return wrong(c, c->p, "invalid UTF-8");
	return wrong(c, c->p, "not a JSON value");
}

/* A key and its colon. */
static bool
member(struct check *c)
{
	if (c->p >= c->end)
		return cut(c, "line ends inside an object");
	if (*c->p != '"')
		return wrong(c, c->p, "a member must begin with a string");
	if (!string(c))
		return false;
	blanks(c);
	if (c->p >= c->end)
		return cut(c, "line ends inside an object");
	if (*c->p != ':')
		return wrong(c, c->p, "':' is missing after a key");
	c->p++;
	blanks(c);
	return true;
}

/* Everything of one value; containers are kept as bits, 1 for an object. */
static bool
value(struct check *c)
{
	uint64_t kinds[(JSON_DEPTH + 63) / 64];
	unsigned depth = 0;
	bool object;

	for (;;) {
		if (c->p >= c->end)
			return cut(c, depth == 0
					  ? "line ends before a value"
					  : "line ends inside a container");
		if (*c->p == '{' || *c->p == '[') {
			object = *c->p == '{';
			if (depth == JSON_DEPTH)
				return wrong(
				    c, c->p, "nesting is over 1000 levels");
			kinds[depth / 64] &= ~(1ull << depth % 64);
			kinds[depth / 64] |= (uint64_t)object << depth % 64;
			depth++;
			c->p++;
			blanks(c);
			if (c->p < c->end && *c->p == (object ? '}' : ']'))
				goto close;
			if (object && !member(c))
				return false;
			continue;
		}
		if (!scalar(c))
			return false;
		for (;;) { /* after a value */
			if (depth == 0)
				return true;
			object =
			    kinds[(depth - 1) / 64] >> (depth - 1) % 64 & 1;
			blanks(c);
			if (c->p >= c->end)
				return cut(
				    c, object ? "line ends inside an object"
					      : "line ends inside an array");
			if (*c->p == ',') {
				c->p++;
				blanks(c);
				if (object && !member(c))
					return false;
				if (!object && c->p < c->end && *c->p == ']')
					return wrong(c, c->p, "trailing comma");
				break;
			}
			if (*c->p != (object ? '}' : ']'))
				return wrong(c, c->p,
				    object ? "',' or '}' expected"
					   : "',' or ']' expected");
		close:
			c->p++;
			depth--;
		}
	}
}

bool
json_check(const char *p, size_t n, bool want_object, struct json_error *e)
{
	struct check c = {(const unsigned char *)p,
	    (const unsigned char *)p + n, (const unsigned char *)p, e};

	blanks(&c);
	if (c.p >= c.end)
		return cut(&c, "line ends before a value");
	if (want_object && *c.p != '{') {
		if (n >= 2 &&
		    (memcmp(p, "\xff\xfe", 2) == 0 ||
			memcmp(p, "\xfe\xff", 2) == 0 ||
			(c.p[0] == 0 && c.p + 1 < c.end && c.p[1] == '{')))
			return wrong(&c, c.p, "UTF-16, not UTF-8");
		if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
			return wrong(&c, c.p, "byte order mark inside");
		if (*c.p == 0)
			return wrong(&c, c.p, "NUL byte");
		return wrong(&c, c.p, "not a JSON object");
	}
	if (n >= 2 && c.p + 1 < c.end && c.p[0] == '{' && c.p[1] == 0)
		return wrong(&c, c.p, "UTF-16, not UTF-8");
	if (!value(&c))
		return false;
	blanks(&c);
	if (c.p < c.end)
		return wrong(&c, c.p, "more after the value");
	return true;
}
