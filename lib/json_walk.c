/* Walking validated text, and comparing and decoding its strings. */
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "json_impl.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* A quote or backslash at or after p. The loads are aligned, so they never
 * touch a page that p's text does not; what they read too much is masked. */
#ifdef __SSE2__
__attribute__((no_sanitize("address"))) static const char *
quote_or_backslash(const char *p)
{
	const char *block = (const char *)((uintptr_t)p & ~(uintptr_t)15);
	unsigned skip = (unsigned)(p - block);

	for (;; block += 16, skip = 0) {
		__m128i x =
		    _mm_load_si128((const __m128i *)(const void *)block);
		unsigned m = (unsigned)_mm_movemask_epi8(
		    _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')),
			_mm_cmpeq_epi8(x, _mm_set1_epi8('\\'))));

		m = m >> skip << skip;
		if (m != 0)
			return block + __builtin_ctz(m);
	}
}
#else
static const char *
quote_or_backslash(const char *p)
{
	while (*p != '"' && *p != '\\')
		p++;
	return p;
}
#endif

const char *
json_string_end(const char *p, uint8_t *flags)
{
	for (p++;; p += 2) {
		p = quote_or_backslash(p);
		if (*p == '"')
			return p + 1;
		*flags |= JSON_ESCAPED;
	}
}

/* End of the container at p. Strings are skipped whole. */
static const char *
container_end(const char *p)
{
	size_t depth = 0;
	uint8_t flags = 0;

	for (;;) {
		switch (*p) {
		case '"':
			p = json_string_end(p, &flags);
			continue;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			if (--depth == 0)
				return p + 1;
			break;
		}
		p++;
	}
}

static const char *
number_end(const char *p)
{
	while ((*p >= '0' && *p <= '9') || *p == '-' || *p == '+' ||
	       *p == '.' || *p == 'e' || *p == 'E')
		p++;
	return p;
}

struct json_span
json_value(const char *p)
{
	struct json_span v = {json_blanks(p), 0, JSON_NUMBER, 0};
	const char *end;

	switch (*v.p) {
	case '"':
		v.type = JSON_STRING;
		end = json_string_end(v.p, &v.flags);
		break;
	case '{':
		v.type = JSON_OBJECT;
		end = container_end(v.p);
		break;
	case '[':
		v.type = JSON_ARRAY;
		end = container_end(v.p);
		break;
	case 't':
		v.type = JSON_TRUE;
		end = v.p + 4;
		break;
	case 'f':
		v.type = JSON_FALSE;
		end = v.p + 5;
		break;
	case 'n':
		v.type = JSON_NULL;
		end = v.p + 4;
		break;
	default:
		end = number_end(v.p);
	}
	v.len = (uint32_t)(end - v.p);
	return v;
}

void
json_iter_init(struct json_iter *it, const struct json_span *container)
{
	it->p = container->p + 1;
}

bool
json_next_element(struct json_iter *it, struct json_span *val)
{
	const char *p = json_blanks(it->p);

	if (*p == ',')
		p = json_blanks(p + 1);
	if (*p == ']' || *p == '}') {
		it->p = p;
		return false;
	}
	*val = json_value(p);
	it->p = val->p + val->len;
	return true;
}

bool
json_next_member(
    struct json_iter *it, struct json_span *key, struct json_span *val)
{
	const char *p = json_blanks(it->p);

	if (*p == ',')
		p = json_blanks(p + 1);
	if (*p == '}') {
		it->p = p;
		return false;
	}
	key->p = p;
	key->type = JSON_STRING;
	key->flags = 0;
	p = json_string_end(p, &key->flags);
	key->len = (uint32_t)(p - key->p);
	p = json_blanks(p);
	*val = json_value(p + 1);
	it->p = val->p + val->len;
	return true;
}

size_t
json_put_utf8(char *o, unsigned u)
{
	if (u < 0x80) {
		o[0] = (char)u;
		return 1;
	}
	if (u < 0x800) {
		o[0] = (char)(0xc0 | u >> 6);
		o[1] = (char)(0x80 | (u & 0x3f));
		return 2;
	}
	if (u < 0x10000) {
		o[0] = (char)(0xe0 | u >> 12);
		o[1] = (char)(0x80 | (u >> 6 & 0x3f));
		o[2] = (char)(0x80 | (u & 0x3f));
		return 3;
	}
	o[0] = (char)(0xf0 | u >> 18);
	o[1] = (char)(0x80 | (u >> 12 & 0x3f));
	o[2] = (char)(0x80 | (u >> 6 & 0x3f));
	o[3] = (char)(0x80 | (u & 0x3f));
	return 4;
}

static unsigned
hex4(const char *p)
{
	unsigned v = 0;

	for (int i = 0; i < 4; i++) {
		unsigned c = (unsigned char)p[i];

		v = v << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return v;
}

/* One escape at p ("\..."), decoded to o. Returns the bytes read. */
static size_t
unescape(const char *p, char *o, size_t *wrote)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *at;
	unsigned u;

	*wrote = 1;
	if (p[1] != 'u') {
		at = strchr(from, p[1]);
		*o = at != NULL ? to[at - from] : p[1];
		return 2;
	}
	u = hex4(p + 2);
	if (u >= 0xd800 &&
	    u < 0xdc00) { /* valid text: the other half follows */
		u = 0x10000 + ((u - 0xd800) << 10) + (hex4(p + 8) - 0xdc00);
		*wrote = json_put_utf8(o, u);
		return 12;
	}
	*wrote = json_put_utf8(o, u);
	return 6;
}

size_t
json_decode(const struct json_span *s, char *out)
{
	const char *p = s->p + 1, *end = s->p + s->len - 1;
	char *o = out;

	if (!(s->flags & JSON_ESCAPED) &&
	    memchr(p, '\\', (size_t)(end - p)) == NULL) {
		memcpy(out, p, (size_t)(end - p));
		return (size_t)(end - p);
	}
	while (p < end) {
		size_t wrote;

		if (*p != '\\') {
			*o++ = *p++;
			continue;
		}
		p += unescape(p, o, &wrote);
		o += wrote;
	}
	return (size_t)(o - out);
}

void
json_decode_buf(const struct json_span *s, struct buf *out)
{
	if (buf_room(out, s->len))
		out->len += json_decode(s, out->p + out->len);
}

bool
json_is(const struct json_span *s, const char *text, size_t len)
{
	const char *p = s->p + 1, *end = s->p + s->len - 1;

	if (!(s->flags & JSON_ESCAPED))
		return (size_t)(end - p) == len && memcmp(p, text, len) == 0;
	while (p < end) {
		char one[4];
		size_t n = 1;

		if (*p == '\\') {
			p += unescape(p, one, &n);
		} else {
			one[0] = *p++;
		}
		if (n > len || memcmp(text, one, n) != 0)
			return false;
		text += n;
		len -= n;
	}
	return len == 0;
}

struct json_span
json_member(const struct json_span *object, const char *name)
{
	struct json_iter it;
	struct json_span key, val;
	size_t len = strlen(name);

	if (object->type == JSON_OBJECT) {
		json_iter_init(&it, object);
		while (json_next_member(&it, &key, &val))
			if (json_is(&key, name, len))
				return val;
	}
	return (struct json_span){NULL, 0, JSON_ABSENT, 0};
}

bool
json_i64(const struct json_span *v, int64_t *out)
{
	const char *p = v->p, *end = v->p + v->len;
	uint64_t u = 0, most;
	bool minus;

	if (v->type == JSON_STRING) {
		p++;
		end--;
	} else if (v->type != JSON_NUMBER) {
		return false;
	}
	minus = p < end && *p == '-';
	p += minus;
	if (p >= end || end - p > 19)
		return false;
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return false;
		u = u * 10 + (uint64_t)(*p - '0');
	}
	most = (uint64_t)INT64_MAX + minus;
	if (u > most)
		return false;
	*out = minus ? (int64_t)(0 - u) : (int64_t)u;
	return true;
}

/* A value found for a node. */
static void
found(const struct path_node *n, const struct json_span *v,
    struct json_span *vals)
{
	if (n->path >= 0)
		vals[n->path] = *v;
	if (n->child != NULL)
		json_resolve(n, v, vals);
}

void
json_duplicate(const struct path_node *n, struct json_span *vals)
{
	if (n->path >= 0)
		vals[n->path].flags |= JSON_DUPLICATE;
	for (const struct path_node *c = n->child; c != NULL; c = c->next)
		json_duplicate(c, vals);
}

static void
resolve_members(const struct path_node *node, const struct json_span *v,
    struct json_span *vals)
{
	struct json_iter it;
	struct json_span key, val;
	struct seen seen = {{0}};

	json_iter_init(&it, v);
	while (json_next_member(&it, &key, &val))
		for (const struct path_node *c = node->child; c != NULL;
		     c = c->next)
			if (c->step != STEP_MEMBER ||
			    !json_is(&key, c->name, c->name_len))
				continue;
			else if (json_seen(&seen, c))
				json_duplicate(c, vals);
			else
				found(c, &val, vals);
}

static bool
selected(const struct path_node *c, const struct json_span *element)
{
	struct json_span key;

	if (element->type != JSON_OBJECT)
		return false;
	key = json_member(element, c->name);
	return key.type == JSON_STRING && json_is(&key, c->value, c->value_len);
}

static void
resolve_elements(const struct path_node *node, const struct json_span *v,
    struct json_span *vals)
{
	for (const struct path_node *c = node->child; c != NULL; c = c->next) {
		struct json_iter it;
		struct json_span val;
		size_t n = 0;

		if (c->step == STEP_MEMBER)
			continue;
		json_iter_init(&it, v);
		for (; json_next_element(&it, &val); n++)
			if (c->step == STEP_INDEX ? n == c->n
						  : selected(c, &val)) {
				found(c, &val, vals);
				break;
			}
	}
}

void
json_resolve(const struct path_node *node, const struct json_span *v,
    struct json_span *vals)
{
	if (v->type == JSON_OBJECT)
		resolve_members(node, v, vals);
	else if (v->type == JSON_ARRAY)
		resolve_elements(node, v, vals);
}

/* Does this node, or one below it, hold the path's end? */
static bool
leads_to(const struct path_node *n, const struct path_node *end)
{
	if (n == end)
		return true;
	for (const struct path_node *c = n->child; c != NULL; c = c->next)
		if (leads_to(c, end))
			return true;
	return false;
}

static struct json_span
step(const struct path_node *c, const struct json_span *v)
{
	struct json_iter it;
	struct json_span val, none = {NULL, 0, JSON_ABSENT, 0};
	size_t n = 0;

	if (c->step == STEP_MEMBER)
		return json_member(v, c->name);
	if (v->type != JSON_ARRAY)
		return none;
	json_iter_init(&it, v);
	for (; json_next_element(&it, &val); n++)
		if (c->step == STEP_INDEX ? n == c->n : selected(c, &val))
			return val;
	return none;
}

struct json_span
json_find(const struct json_paths *ps, int index, const struct json_span *root)
{
	const struct path_node *n = &ps->root, *end = ps->end[index];
	struct json_span v = *root;

	while (n != end && v.type != JSON_ABSENT) {
		for (n = n->child; !leads_to(n, end); n = n->next)
			;
		v = step(n, &v);
	}
	return v;
}
