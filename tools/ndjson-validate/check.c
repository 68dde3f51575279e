/*
 * Checking a value, in one pass over its bytes. Keywords that look at a value
 * as a whole (allOf, contains, uniqueItems …) go over it again.
 */
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "dec.h"
#include "mem.h"
#include "num.h"
#include "schema.h"

#define TEXT_MAX (64u << 20)
#define WHY_MAX 300
#define DEPTH_MAX 4000

/* The way from the record to the value at hand. */
struct frame {
	const struct frame *up;
	const char *name; /* raw, with quotes; NULL: an element */
	size_t len, index;
};

struct found {
	uint64_t bits[PROPS_MAX / 64];
};

static bool check(struct checker *c, const struct schema *s, const char *p,
    const char **end, const struct frame *at);

void
checker_init(struct checker *c)
{
	memset(c, 0, sizeof(*c));
	buf_init(&c->why, 1 << 16);
	buf_init(&c->path, 1 << 16);
	buf_init(&c->scratch, TEXT_MAX);
	buf_init(&c->subject, TEXT_MAX);
}

void
checker_release(struct checker *c)
{
	buf_release(&c->why);
	buf_release(&c->path);
	buf_release(&c->scratch);
	buf_release(&c->subject);
}

static void
put_path(struct buf *b, const struct frame *at, bool indexes)
{
	bool plain = true;

	if (at == NULL || b->len > WHY_MAX)
		return;
	put_path(b, at->up, indexes);
	if (at->name == NULL) {
		buf_char(b, '[');
		if (indexes)
			buf_u64(b, at->index);
		buf_char(b, ']');
		return;
	}
	for (size_t i = 1; i + 1 < at->len; i++) {
		char c = at->name[i];

		plain = plain &&
			(c == '_' || (c >= '0' && c <= '9') ||
			    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
	}
	buf_char(b, '.');
	if (plain && at->len > 2)
		buf_add(b, at->name + 1, at->len - 2);
	else
		buf_add(b, at->name, at->len < 100 ? at->len : 100);
}

/* False, for the caller to return. */
static bool
bad(struct checker *c, const struct frame *at, const char *p, const char *text)
{
	if (c->quiet > 0)
		return false;
	buf_reset(&c->why);
	put_path(&c->why, at, true);
	if (at == NULL)
		buf_str(&c->why, "the record");
	buf_str(&c->why, ": ");
	buf_str(&c->why, text);
	c->where = p;
	return false;
}

static bool
bad_at(struct checker *c, const struct frame *at, const char *p,
    const char *text, const struct node *n)
{
	bad(c, at, p, text);
	if (c->quiet == 0) {
		buf_char(&c->why, ' ');
		buf_add(&c->why, n->text, n->len < 60 ? n->len : 60);
	}
	return false;
}

/* ---- scalars ---- */

static bool
type_ok(const struct schema *s, const struct json_span *v)
{
	if (s->types >> v->type & 1)
		return true;
	return v->type == JSON_NUMBER && (s->types & TYPE_INTEGER) != 0 &&
	       num_whole(v->p, v->len);
}

static bool
bad_type(struct checker *c, const struct schema *s, const struct json_span *v,
    const struct frame *at)
{
	static const struct {
		unsigned bits;
		const char *word;
	} t[] = {
	    {1u << JSON_NULL, "null"},
	    {1u << JSON_TRUE, "true or false"},
	    {TYPE_INTEGER, "an integer"},
	    {1u << JSON_NUMBER, "a number"},
	    {1u << JSON_STRING, "a string"},
	    {1u << JSON_ARRAY, "an array"},
	    {1u << JSON_OBJECT, "an object"},
	};
	size_t n = 0;

	bad(c, at, v->p, "");
	if (c->quiet > 0)
		return false;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		if (!(s->types & t[i].bits))
			continue;
		buf_str(&c->why, n++ > 0 ? " or " : "");
		buf_str(&c->why, t[i].word);
	}
	buf_str(&c->why, " expected, not ");
	buf_str(&c->why, node_type_word(v->type));
	return false;
}

static int
by_text(const void *a, const void *b)
{
	const struct text *x = a, *y = b;
	int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return c != 0 ? c : x->n < y->n ? -1 : x->n > y->n;
}

static bool
value_ok(struct checker *c, const struct schema *s, const struct json_span *v,
    const struct frame *at)
{
	struct text t = {(char *)(uintptr_t)v->p, v->len};
	struct json_span dup;

	if (v->type != JSON_STRING || (v->flags & JSON_ESCAPED)) {
		buf_reset(&c->scratch);
		if (!json_canonical(&c->scratch, v, &dup))
			return bad(c, at, v->p, "member occurs twice");
		t = (struct text){c->scratch.p, c->scratch.len};
	}
	if (s->n_values > 0 && bsearch(&t, s->values, s->n_values,
				   sizeof(*s->values), by_text) != NULL)
		return true;
	return bad(c, at, v->p,
	    s->n_values == 1 ? "not the value that it must be"
			     : "not one of the values that are allowed");
}

static bool
multiple_ok(const struct json_span *v, const struct node *of)
{
	struct dec x, m;
	dec_coef a, b, r;
	int64_t k;

	if (!dec_parse(v->p, v->len, &x) || !dec_parse(of->text, of->len, &m))
		return false;
	a = x.coef < 0 ? -x.coef : x.coef;
	b = m.coef;
	k = (int64_t)m.scale - x.scale;
	if (a == 0)
		return true;
	/* a * 10^k must be a multiple of b */
	for (; k < 0; k++) {
		if (a % 10 != 0)
			return false;
		a /= 10;
	}
	for (r = a % b; k > 0 && r != 0 && k < 400; k--)
		r = r * 10 % b;
	return r == 0;
}

static bool
number_ok(struct checker *c, const struct schema *s, const struct json_span *v,
    const struct frame *at)
{
	const struct node *n = s->min;

	if (n != NULL && num_cmp(v->p, v->len, n->text, n->len) < 0)
		return bad_at(c, at, v->p, "less than", n);
	n = s->max;
	if (n != NULL && num_cmp(v->p, v->len, n->text, n->len) > 0)
		return bad_at(c, at, v->p, "more than", n);
	n = s->above;
	if (n != NULL && num_cmp(v->p, v->len, n->text, n->len) <= 0)
		return bad_at(c, at, v->p, "not more than", n);
	n = s->below;
	if (n != NULL && num_cmp(v->p, v->len, n->text, n->len) >= 0)
		return bad_at(c, at, v->p, "not less than", n);
	n = s->multiple;
	if (n != NULL && !multiple_ok(v, n))
		return bad_at(c, at, v->p, "not a multiple of", n);
	return true;
}

static bool
uuid_ok(const char *p, size_t n)
{
	if (n != 36)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = p[i];

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (c != '-')
				return false;
		} else if (!((c >= '0' && c <= '9') ||
			       ((c | 32) >= 'a' && (c | 32) <= 'f'))) {
			return false;
		}
	}
	return true;
}

/* With a NUL behind it for the sake of checkers; REG_STARTEND minds its own
 * end, so that a NUL within is a character. */
static bool
matches(struct checker *c, const regex_t *re, const char *p, size_t n)
{
	regmatch_t m[1] = {{.rm_so = 0, .rm_eo = (regoff_t)n}};

	buf_reset(&c->subject);
	buf_add(&c->subject, p, n);
	return regexec(re, buf_cstr(&c->subject), 0, m, REG_STARTEND) == 0;
}

static bool
string_ok(struct checker *c, const struct schema *s, const struct json_span *v,
    const struct frame *at)
{
	const char *p = v->p + 1;
	size_t n = v->len - 2;
	uint64_t len = 0;
	int64_t us;
	int32_t day;

	if (!s->has_len && !s->has_pattern && s->format == FORMAT_NONE)
		return true;
	if (v->flags & JSON_ESCAPED) {
		buf_reset(&c->scratch);
		json_decode_buf(v, &c->scratch);
		p = c->scratch.p;
		n = c->scratch.len;
	}
	if (s->has_len) {
		for (size_t i = 0; i < n; i++)
			len += ((unsigned char)p[i] & 0xc0) != 0x80;
		if (len < s->min_len)
			return bad(c, at, v->p, "too short");
		if (len > s->max_len)
			return bad(c, at, v->p, "too long");
	}
	if (s->format == FORMAT_DATE && !date_parse(p, n, &day))
		return bad(c, at, v->p, "not a date (YYYY-MM-DD)");
	if (s->format == FORMAT_DATE_TIME && !time_parse(p, n, &us))
		return bad(c, at, v->p, "not a time (RFC 3339)");
	if (s->format == FORMAT_UUID && !uuid_ok(p, n))
		return bad(c, at, v->p, "not a UUID");
	if (s->has_pattern && !matches(c, &s->pattern, p, n))
		return bad(c, at, v->p, "does not match the pattern");
	return true;
}

/* ---- arrays ---- */

static const struct schema *
item_schema(const struct schema *s, size_t i)
{
	if (s->items != NULL)
		return s->items;
	if (i < s->n_tuple)
		return s->tuple[i];
	return s->n_tuple > 0 || s->tuple != NULL ? s->more_items : NULL;
}

static const char *
skip_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')
		p++;
	return p;
}

static const char *
skip(const char *p)
{
	struct json_span v = json_value(p);

	return v.p + v.len;
}

static bool
array_ok(struct checker *c, const struct schema *s, const char *p,
    const char **end, const struct frame *up)
{
	struct frame at = {.up = up};
	const struct schema *of;
	const char *start = p;
	size_t n = 0;

	for (p = skip_blanks(p + 1); *p != ']'; n++) {
		of = item_schema(s, n);
		at.index = n;
		if (of == NULL || of->plain)
			p = skip(p);
		else if (!check(c, of, p, &p, &at))
			return false;
		p = skip_blanks(p);
		if (*p == ',')
			p = skip_blanks(p + 1);
	}
	*end = p + 1;
	if (n < s->min_items)
		return bad(c, up, start, "too few elements");
	if (n > s->max_items)
		return bad(c, up, start, "too many elements");
	return true;
}

/* ---- objects ---- */

/* Does another schema of the same object know the member? */
static bool
knows(struct checker *c, const struct schema *s, const char *name, size_t n,
    int depth)
{
	const struct schema *const *const lists[] = {s->all, s->any, s->one};
	const size_t len[] = {s->n_all, s->n_any, s->n_one};
	const struct schema *const more[] = {
	    s->ref, s->if_this, s->then, s->otherwise};
	const struct prop *p = schema_prop(s, name, n);

	if (p != NULL && p->schema != NULL)
		return true;
	if (s->additional != NULL)
		return true;
	for (size_t i = 0; i < s->n_patterns; i++)
		if (matches(c, &s->patterns[i].re, name, n))
			return true;
	if (depth > 8)
		return true;
	for (size_t k = 0; k < 3; k++)
		for (size_t i = 0; i < len[k]; i++)
			if (knows(c, lists[k][i], name, n, depth + 1))
				return true;
	for (size_t i = 0; i < 4; i++)
		if (more[i] != NULL && knows(c, more[i], name, n, depth + 1))
			return true;
	return false;
}

static bool
unknown(struct checker *c, const struct schema *s, const struct frame *at,
    const char *name, size_t n)
{
	if (!s->report || c->quiet > 0 || knows(c, s, name, n, 0) ||
	    (at->up == NULL && c->also != NULL &&
		knows(c, c->also, name, n, 0)))
		return true;
	if (c->unknown != NULL) {
		buf_reset(&c->path);
		put_path(&c->path, at->up, false);
		c->unknown(c->ctx, s, buf_cstr(&c->path), name, n);
	}
	return !c->reject_unknown ||
	       bad(c, at, at->name, "member is not in the schema");
}

/* A member by patternProperties and additionalProperties. */
static bool
other_member(struct checker *c, const struct schema *s, const char *name,
    size_t n, const char *p, const char **end, const struct frame *at,
    bool listed)
{
	bool known = listed;

	for (size_t i = 0; i < s->n_patterns; i++) {
		if (!matches(c, &s->patterns[i].re, name, n))
			continue;
		known = true;
		if (!check(c, s->patterns[i].schema, p, end, at))
			return false;
	}
	if (!known && s->additional != NULL) {
		if (s->additional->never)
			return bad(c, at, at->name, "member is not allowed");
		return check(c, s->additional, p, end, at);
	}
	return known || unknown(c, s, at, name, n);
}

static bool
member_ok(struct checker *c, const struct schema *s, struct frame *at,
    bool escaped, const char *p, const char **end, struct found *found,
    size_t *required)
{
	struct json_span key = {
	    at->name, (uint32_t)at->len, JSON_STRING, JSON_ESCAPED};
	const char *name = at->name + 1;
	size_t n = at->len - 2;
	const struct prop *prop;
	struct buf own = BUF_INIT(TEXT_MAX);
	bool ok = true;

	if (escaped) {
		json_decode_buf(&key, &own);
		name = own.p == NULL ? "" : own.p;
		n = own.len;
	}
	*end = NULL;
	prop = schema_prop(s, name, n);
	if (prop != NULL) {
		size_t i = (size_t)(prop - s->props);
		uint64_t bit = 1ull << i % 64, *word = &found->bits[i / 64];

		if (*word & bit)
			ok = bad(c, at, p, "member occurs twice");
		*word |= bit;
		*required += prop->required;
		if (ok && prop->schema != NULL && !prop->schema->plain)
			ok = check(c, prop->schema, p, end, at);
	}
	if (ok && (prop == NULL || prop->schema == NULL || s->n_patterns > 0))
		ok = other_member(c, s, name, n, p, end, at,
		    prop != NULL && prop->schema != NULL);
	if (ok && *end == NULL)
		*end = skip(p);
	buf_release(&own);
	return ok;
}

static bool
missing(struct checker *c, const struct schema *s, const struct found *found,
    const char *p, const struct frame *at)
{
	for (size_t i = 0; i < s->n_props; i++) {
		if (!s->props[i].required ||
		    (found->bits[i / 64] >> i % 64 & 1))
			continue;
		bad(c, at, p, "member ");
		if (c->quiet == 0) {
			buf_char(&c->why, '\'');
			buf_add(&c->why, s->props[i].name,
			    s->props[i].len < 100 ? s->props[i].len : 100);
			buf_str(&c->why, "' is missing");
		}
		return false;
	}
	return true;
}

static bool
object_ok(struct checker *c, const struct schema *s, const char *p,
    const char **end, const struct frame *up)
{
	struct frame at = {.up = up};
	struct found found;
	const char *start = p, *key;
	size_t n = 0, required = 0;
	bool escaped;

	memset(&found, 0, (s->n_props + 63) / 64 * sizeof(uint64_t));
	for (p = skip_blanks(p + 1); *p != '}'; n++) {
		struct json_span k = json_value(p);

		key = k.p;
		escaped = (k.flags & JSON_ESCAPED) != 0;
		at.name = key;
		at.len = k.len;
		p = skip_blanks(skip_blanks(key + k.len) + 1);
		if (!member_ok(c, s, &at, escaped, p, &p, &found, &required))
			return false;
		p = skip_blanks(p);
		if (*p == ',')
			p = skip_blanks(p + 1);
	}
	*end = p + 1;
	if (required < s->n_required)
		return missing(c, s, &found, start, up);
	if (n < s->min_props)
		return bad(c, up, start, "too few members");
	if (n > s->max_props)
		return bad(c, up, start, "too many members");
	return true;
}

/* ---- the value as a whole ---- */

static bool
quietly(struct checker *c, const struct schema *s, const char *p)
{
	const char *end;
	bool ok;

	c->quiet++;
	ok = check(c, s, p, &end, NULL);
	c->quiet--;
	return ok;
}

static bool
unique(const struct json_span *v)
{
	struct buf all = BUF_INIT(TEXT_MAX);
	struct json_iter it;
	struct json_span e, dup;
	struct text *t = NULL;
	size_t n = 0, cap = 0;
	bool ok = true;

	json_iter_init(&it, v);
	while (json_next_element(&it, &e)) {
		size_t from = all.len;

		if (n == cap) {
			cap = cap == 0 ? 16 : cap * 2;
			t = xreallocarray(t, cap, sizeof(*t));
		}
		json_canonical(&all, &e, &dup);
		t[n++] = (struct text){(char *)(uintptr_t)from, all.len - from};
	}
	for (size_t i = 0; i < n; i++)
		t[i].p = all.p + (uintptr_t)t[i].p;
	if (n > 1)
		qsort(t, n, sizeof(*t), by_text);
	for (size_t i = 1; i < n; i++)
		ok = ok && by_text(&t[i - 1], &t[i]) != 0;
	free(t);
	buf_release(&all);
	return ok;
}

static bool
array_whole(struct checker *c, const struct schema *s,
    const struct json_span *v, const struct frame *at)
{
	struct json_iter it;
	struct json_span e;
	bool found = false;

	if (s->unique && !unique(v))
		return bad(c, at, v->p, "an element occurs twice");
	if (s->contains == NULL)
		return true;
	json_iter_init(&it, v);
	while (!found && json_next_element(&it, &e))
		found = quietly(c, s->contains, e.p);
	return found || bad(c, at, v->p, "no element is as it must be");
}

static bool
names_ok(struct checker *c, const struct schema *s, const struct json_span *v,
    const struct frame *up)
{
	struct json_iter it;
	struct json_span key, val;

	json_iter_init(&it, v);
	while (json_next_member(&it, &key, &val)) {
		struct frame at = {.up = up, .name = key.p, .len = key.len};

		if (!quietly(c, s->names, key.p))
			return bad(c, &at, key.p,
			    "the member's name is not as it must be");
	}
	return true;
}

static bool
choices_ok(struct checker *c, const struct schema *s, const struct json_span *v,
    const struct frame *at)
{
	size_t fits = 0;

	for (size_t i = 0; i < s->n_any && fits == 0; i++)
		fits += quietly(c, s->any[i], v->p);
	if (s->n_any > 0 && fits == 0)
		return bad(c, at, v->p, "fits none of anyOf");
	fits = 0;
	for (size_t i = 0; i < s->n_one && fits < 2; i++)
		fits += quietly(c, s->one[i], v->p);
	if (s->n_one > 0 && fits != 1)
		return bad(c, at, v->p,
		    fits == 0 ? "fits none of oneOf"
			      : "fits more than one of oneOf");
	if (s->not_this != NULL && quietly(c, s->not_this, v->p))
		return bad(c, at, v->p, "is what it must not be");
	return true;
}

/* The unknown members of a value are told by the schema that lists its
 * members, not by each part of an allOf. */
static bool
part_ok(struct checker *c, const struct schema *s, const struct json_span *v,
    const struct frame *at)
{
	const char *end;
	void (*tell)(void *, const struct schema *, const char *, const char *,
	    size_t) = c->unknown;
	bool reject = c->reject_unknown, ok;

	c->unknown = NULL;
	c->reject_unknown = false;
	ok = check(c, s, v->p, &end, at);
	c->unknown = tell;
	c->reject_unknown = reject;
	return ok;
}

static bool
whole_ok(struct checker *c, const struct schema *s, const struct json_span *v,
    const struct frame *at)
{
	const struct schema *next;

	if (v->type == JSON_ARRAY && !array_whole(c, s, v, at))
		return false;
	if (v->type == JSON_OBJECT && s->names != NULL &&
	    !names_ok(c, s, v, at))
		return false;
	for (size_t i = 0; i < s->n_all; i++)
		if (!part_ok(c, s->all[i], v, at))
			return false;
	if (!choices_ok(c, s, v, at))
		return false;
	if (s->if_this == NULL)
		return true;
	next = quietly(c, s->if_this, v->p) ? s->then : s->otherwise;
	return next == NULL || part_ok(c, next, v, at);
}

static bool
value_whole(struct checker *c, const struct schema *s, const char *p,
    const char **end, const struct frame *at)
{
	struct json_span v = json_value(p);

	*end = v.p + v.len;
	if (!type_ok(s, &v))
		return bad_type(c, s, &v, at);
	if (s->has_values && !value_ok(c, s, &v, at))
		return false;
	if (s->whole && !whole_ok(c, s, &v, at))
		return false;
	switch (v.type) {
	case JSON_NUMBER:
		return number_ok(c, s, &v, at);
	case JSON_STRING:
		return string_ok(c, s, &v, at);
	default:
		return true;
	}
}

static bool
check(struct checker *c, const struct schema *s, const char *p,
    const char **end, const struct frame *at)
{
	struct json_span v;
	bool ok;

	p = skip_blanks(p);
	while (s->ref != NULL)
		s = s->ref;
	if (s->plain) {
		*end = skip(p);
		return true;
	}
	if (s->never)
		return bad(c, at, p, "nothing is allowed here");
	if (*p != '{' && *p != '[')
		return value_whole(c, s, p, end, at);
	if (c->depth >= DEPTH_MAX)
		return bad(c, at, p, "nested too deeply");
	v = (struct json_span){p, 0, *p == '{' ? JSON_OBJECT : JSON_ARRAY, 0};
	if (!type_ok(s, &v))
		return bad_type(c, s, &v, at);
	c->depth++;
	ok = true;
	*end = NULL;
	if (s->has_values || s->whole)
		ok = value_whole(c, s, p, end, at);
	if (ok && (s->members || *end == NULL))
		ok = *p == '{' ? object_ok(c, s, p, end, at)
			       : array_ok(c, s, p, end, at);
	c->depth--;
	return ok;
}

bool
schema_check(struct checker *c, const struct schema *s, const char *p)
{
	const char *end;

	c->quiet = c->depth = 0;
	return check(c, s, p, &end, NULL);
}
