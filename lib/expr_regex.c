/*
 * test() with a regular expression that is made of literal alternatives:
 *	abc   ^abc   abc$   ^(a|b|c)$   ^(.*cp.*|paid.*)$   (?:a|b)
 * Everything else is libjq's. Text with a newline too where the expression
 * has an anchor or a dot, and text beyond ASCII where case is folded.
 */
#include <stdlib.h>
#include <string.h>

#include "expr_impl.h"
#include "mem.h"

void
ex_regex_free(struct ex_regex *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++)
		free(r->alt[i].s);
	free(r->alt);
	free(r);
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool
take_dots(const char **p, const char *end)
{
	bool took = false;

	while (end - *p >= 2 && (*p)[0] == '.' && (*p)[1] == '*') {
		*p += 2;
		took = true;
	}
	return took;
}

/* One alternative from *p up to '|' or the end; false: not ours. */
static bool
alternative(struct ex_regex *r, const char **p, const char *end)
{
	struct ex_alt *a;
	bool dots;

	r->alt = xreallocarray(r->alt, r->n + 1, sizeof(*r->alt));
	a = &r->alt[r->n++];
	*a = (struct ex_alt){.s = xmalloc((size_t)(end - *p) + 1)};
	if (*p < end && **p == '^') {
		a->at_start = true;
		r->lines = true;
		(*p)++;
	}
	if (take_dots(p, end)) {
		a->at_start = false;
		r->lines = true;
	}
	while (*p < end && **p != '|') {
		char c = *(*p)++;

		if (c == '\\' && *p < end &&
		    strchr(".-/+*?()[]{}^$|\\", **p) != NULL) {
			c = *(*p)++;
		} else if (c == '$' && (*p == end || **p == '|')) {
			a->at_end = true;
			r->lines = true;
			break;
		} else if (c == '.' && *p < end && **p == '*') {
			(*p)--;
			dots = take_dots(p, end);
			r->lines = true;
			if (*p < end && **p == '$')
				(*p)++;
			else if (*p < end && **p != '|')
				return false;
			return dots;
		} else if (c == '\0' || strchr(".[]{}()*+?\\^$", c) != NULL) {
			return false;
		}
		if (*p < end && strchr("*+?{", **p) != NULL && **p != '\0')
			return false;
		a->s[a->n++] = r->fold ? lower(c) : c;
	}
	return *p == end || **p == '|';
}

static bool
alternatives(struct ex_regex *r, const char *p, const char *end)
{
	for (;;) {
		if (!alternative(r, &p, end))
			return false;
		if (p == end)
			return true;
		p++;
	}
}

/* ^( … )$ with the anchors put to each alternative that has no .* there. */
static bool
grouped(struct ex_regex *r, const char *p, const char *end)
{
	bool start = false, stop = false;
	const char *s = p, *e = end;

	if (s < e && *s == '^') {
		start = true;
		s++;
	}
	if (s < e && e[-1] == '$') {
		stop = true;
		e--;
	}
	if (e - s < 2 || *s != '(' || e[-1] != ')' ||
	    (e - s > 2 && e[-2] == '\\'))
		return false;
	s++;
	e--;
	if (e - s >= 2 && s[0] == '?' && s[1] == ':')
		s += 2;
	r->lines = start || stop;
	while (s <= e) {
		struct ex_alt *a;
		const char *from = s;
		bool open_end;

		if (!alternative(r, &s, e))
			return false;
		a = &r->alt[r->n - 1];
		if (a->at_start || a->at_end)
			return false;
		a->at_start = start && !(s - from >= 2 && from[0] == '.' &&
					   from[1] == '*');
		open_end = s - from >= 2 && s[-1] == '*' && s[-2] == '.' &&
			   (s - from < 3 || s[-3] != '\\');
		a->at_end = stop && !open_end;
		s++;
	}
	return true;
}

struct ex_regex *
ex_regex_new(const char *s, size_t n, const char *flags, size_t nflags)
{
	struct ex_regex *r = xcalloc(1, sizeof(*r));
	const char *end = s + n;
	bool ok;

	r->fold = nflags == 1 && *flags == 'i';
	for (size_t i = 0; r->fold && i < n; i++)
		if ((unsigned char)s[i] >= 0x80)
			goto no;
	if ((nflags > 0 && !r->fold) || memchr(s, '\n', n) != NULL)
		goto no;
	if (memchr(s, '(', n) != NULL)
		ok = grouped(r, s, end);
	else
		ok = alternatives(r, s, end);
	if (ok)
		return r;
no:
	ex_regex_free(r);
	return NULL;
}

static bool
equal(const struct ex_regex *r, const char *p, const char *q, size_t n)
{
	if (!r->fold)
		return memcmp(p, q, n) == 0;
	for (size_t i = 0; i < n; i++)
		if (lower(p[i]) != q[i])
			return false;
	return true;
}

static bool
found(const struct ex_regex *r, const struct ex_alt *a, const char *p, size_t n)
{
	if (a->n > n || (a->at_start && a->at_end && a->n != n))
		return false;
	if (a->at_start)
		return equal(r, p, a->s, a->n);
	if (a->at_end)
		return equal(r, p + n - a->n, a->s, a->n);
	if (a->n == 0)
		return true;
	if (!r->fold)
		return memmem(p, n, a->s, a->n) != NULL;
	for (size_t i = 0; i + a->n <= n; i++)
		if (equal(r, p + i, a->s, a->n))
			return true;
	return false;
}

enum ev_result
ex_regex_test(struct eval *ev, const struct ex_regex *r, const struct val *in,
    struct val *out)
{
	const char *p;
	size_t n;

	if (in->type != JSON_STRING)
		return ev_error(ev, "only a string can be matched");
	val_str(ev, in, &p, &n);
	if (memchr(p, '\0', n) != NULL ||
	    (r->lines && memchr(p, '\n', n) != NULL))
		return EV_PUNT;
	for (size_t i = 0; r->fold && i < n; i++)
		if ((unsigned char)p[i] >= 0x80)
			return EV_PUNT;
	*out = val_bool(false);
	for (size_t i = 0; i < r->n && out->type == JSON_FALSE; i++)
		*out = val_bool(found(r, &r->alt[i], p, n));
	return EV_OK;
}
