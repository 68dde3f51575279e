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

/* Where the name before the sign begins. A URL's "?mail=" is no part of it,
 * and the letter of an escape such as \n neither. */
static const char *
name_begin(const char *sign)
{
	const char *p = sign;

	for (;;) {
		const char *whole = p;
		size_t skip;

		while (part_of_name((unsigned char)p[-1]))
			p--;
		if (p[-1] != '\\' || p == whole)
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

/* Is the slice inside something that goes anyway? */
static bool
gone(const struct splice *s, const char *record, const char *p)
{
	uint32_t at = (uint32_t)(p - record);

	for (size_t i = 0; i < s->n; i++)
		if (s->list[i].from <= at && at < s->list[i].to)
			return true;
	return false;
}

/* Does p stand in the name of a member? */
static bool
in_key(const char *p)
{
	for (p = span_special(p); *p == '\\'; p = span_special(p + 2))
		;
	return *span_blanks(p + 1) == ':';
}

const char *
email_scrub(enum email what, const char *record, size_t len, struct splice *s,
    size_t *byte)
{
	const char *end = record + len, *p = record, *from, *a, *z;
	size_t n;

	while ((p = candidate(p, end)) != NULL) {
		n = at_sign(p, record, &from);
		a = n > 0 ? name_begin(from) : from;
		z = n > 0 ? domain_end(from + n) : from;
		p++;
		if (a == from || z == from + n || gone(s, record, from))
			continue;
		*byte = (size_t)(a - record) + 1;
		if (what == EMAIL_REFUSE)
			return "holds an e-mail address";
		if (in_key(z))
			return "the name of a member holds an e-mail address";
		splice_bytes(s, record, a, (size_t)(z - a), redacted,
		    sizeof redacted - 1);
		p = z;
	}
	return NULL;
}
