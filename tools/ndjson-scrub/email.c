/* E-mail addresses in what is left of a record. */
#include <string.h>

#include "scrub.h"
#include "span.h"

static const char redacted[] = "[email]";

/* "@", or the "40" of "%40" and "\u0040", at or after p; NULL if none. May
 * be wrong about the latter: at_sign says. */
static const char *
candidate(const char *p, const char *end)
{
#ifdef __SSE2__
	const __m128i at = _mm_set1_epi8('@'), four = _mm_set1_epi8('4');
	const __m128i zero = _mm_set1_epi8('0');
	const __m128i percent = _mm_set1_epi8('%');

	for (; p < end; p += 16) {
		__m128i a = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i b =
		    _mm_loadu_si128((const __m128i *)(const void *)(p + 1));
		__m128i c =
		    _mm_loadu_si128((const __m128i *)(const void *)(p + 2));
		__m128i before = _mm_or_si128(
		    _mm_cmpeq_epi8(a, percent), _mm_cmpeq_epi8(a, zero));
		__m128i forty = _mm_and_si128(
		    _mm_cmpeq_epi8(b, four), _mm_cmpeq_epi8(c, zero));
		unsigned m = (unsigned)_mm_movemask_epi8(_mm_or_si128(
		    _mm_cmpeq_epi8(a, at), _mm_and_si128(before, forty)));

		if (m != 0) {
			p += __builtin_ctz(m);
			return p < end ? p : NULL;
		}
	}
	return NULL;
#else
	for (; p < end; p++)
		if (*p == '@' ||
		    ((*p == '%' || *p == '0') && p[1] == '4' && p[2] == '0'))
			return p;
	return NULL;
#endif
}

/* Where the sign begins and how long it is; 0 for a false alarm. */
static size_t
at_sign(const char *p, const char *record, const char **from)
{
	*from = p;
	if (*p == '@')
		return 1;
	if (*p == '%')
		return 3;
	*from = p - 3;
	return p - record >= 3 && memcmp(p - 3, "\\u0040", 6) == 0 ? 6 : 0;
}

static bool
alnum(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z');
}

/* Characters of the name, UTF-8 beyond ASCII included. */
static bool
in_name(char c)
{
	return alnum(c) || (c & 0x80) != 0 ||
	       (c != '\0' && strchr("._%+-!#$&'*/=?^`{|}~", c) != NULL);
}

/* The code of \uXXXX at p, else 0. */
static unsigned
escaped_unit(const char *p)
{
	unsigned v = 0;

	if (p[0] != '\\' || p[1] != 'u')
		return 0;
	for (int i = 2; i < 6; i++) {
		unsigned c = (unsigned char)p[i];

		v = v << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return v;
}

static bool
part_of_name(unsigned c)
{
	return c >= 0x80 ||
	       (c > 0 && in_name((char)c) && strchr("=&?/#", (int)c) == NULL);
}

/* Where the name before the sign begins, not before `least`. A URL's "?mail=" is no part of it,
 * and the letter of an escape such as \n neither. */
static const char *
name_begin(const char *sign, const char *least)
{
	const char *p = sign;

	for (;;) {
		const char *whole = p;
		size_t skip;

		while (p > least && part_of_name((unsigned char)p[-1]))
			p--;
		if (p == least || p[-1] != '\\' || p == whole)
			return p;
		skip = *p == 'u' ? 5 : 1;
		if ((size_t)(whole - p) < skip)
			return whole;
		if (!part_of_name(escaped_unit(p - 1)))
			return p + skip;
		p--;
	}
}

/* Where the domain ends: labels with a dot between them, or the sign's end if
 * there is no domain. */
static const char *
domain_end(const char *start)
{
	const char *p = start, *last = start, *dot = NULL;

	for (;;) {
		unsigned c = escaped_unit(p);
		size_t n = c != 0 ? 6 : 1;

		if (c == 0)
			c = (unsigned char)*p;
		if (c == '.' && p > start) {
			dot = p;
		} else if (c >= 0x80 || (c > 0 && alnum((char)c))) {
			last = p + n;
		} else if (c != '-') {
			return dot != NULL && last - dot >= 3 ? last : start;
		}
		p += n;
	}
}

/*
 * What is known of the text so far. Signs come in order of their places, so
 * each change and each string is looked at once, however many there are.
 */
struct around {
	const struct splice *s;
	size_t n, next; /* changes that rules made; the next to look at */
	uint32_t gone;  /* what is before this place goes anyway */
	const char *string_end;
	bool key; /* that string is the name of a member */
};

static bool
gone(struct around *a, uint32_t at)
{
	for (; a->next < a->n && a->s->list[a->next].from <= at; a->next++)
		if (a->s->list[a->next].to > a->gone)
			a->gone = a->s->list[a->next].to;
	return at < a->gone;
}

/* Does p stand in the name of a member? */
static bool
in_key(struct around *a, const char *p)
{
	if (p <= a->string_end)
		return a->key;
	for (p = span_special(p); *p == '\\'; p = span_special(p + 2))
		;
	a->string_end = p;
	a->key = *span_blanks(p + 1) == ':';
	return a->key;
}

const char *
email_scrub(enum email what, const char *record, size_t len, struct splice *s,
    size_t *byte)
{
	const char *end = record + len, *p = record, *least = record;
	struct around near = {s, s->n, 0, 0, record, false};

	splice_sort(s);
	while ((p = candidate(p, end)) != NULL) {
		const char *from, *a, *z;
		size_t n = at_sign(p, record, &from);

		p++;
		if (n == 0 || gone(&near, (uint32_t)(from - record)))
			continue;
		z = domain_end(from + n);
		if (z == from + n)
			continue;
		a = name_begin(from, least);
		if (a == from)
			continue;
		*byte = (size_t)(a - record) + 1;
		if (what == EMAIL_REFUSE)
			return "the record holds an e-mail address";
		if (in_key(&near, z))
			return "the name of a member holds an e-mail address";
		splice_bytes(s, record, a, (size_t)(z - a), redacted,
		    sizeof redacted - 1);
		p = least = z;
	}
	return NULL;
}
