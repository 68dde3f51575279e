/* From the schema document to what is checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dec.h"
#include "diag.h"
#include "mem.h"
#include "num.h"
#include "schema.h"

/* The schemas of a document hang together; the node finds its schema, so that
 * references may go round. */

static struct schema *compile(struct schemas *d, const struct node *at);

static bool
wrong(struct schemas *d, const struct node *at, const char *text)
{
	conf_wrong(d->conf, at, "%s", text);
	return false;
}

static bool
is_type(struct schemas *d, const struct node *n, enum json_type type,
    const char *want)
{
	if (n->type == type)
		return true;
	conf_wrong(
	    d->conf, n, "%s expected, not %s", want, node_type_word(n->type));
	return false;
}

static bool
count(struct schemas *d, const struct node *n, uint64_t *v)
{
	struct dec x;
	int64_t i;

	if (n->type != JSON_NUMBER || !dec_parse(n->text, n->len, &x) ||
	    !dec_to_i64(&x, &i) || i < 0)
		return wrong(d, n, "a count expected");
	*v = (uint64_t)i;
	return true;
}

/* ---- types and values ---- */

static unsigned
type_bit(const struct node *n)
{
	static const struct {
		const char *word;
		unsigned bits;
	} t[] = {
	    {"null", 1u << JSON_NULL},
	    {"boolean", 1u << JSON_TRUE | 1u << JSON_FALSE},
	    {"number", 1u << JSON_NUMBER},
	    {"integer", TYPE_INTEGER},
	    {"string", 1u << JSON_STRING},
	    {"array", 1u << JSON_ARRAY},
	    {"object", 1u << JSON_OBJECT},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		if (n->type == JSON_STRING && strcmp(n->text, t[i].word) == 0)
			return t[i].bits;
	return 0;
}

static bool
kw_type(struct schemas *d, struct schema *s, const struct node *n)
{
	unsigned bit;

	s->types = 0;
	if (n->type != JSON_ARRAY) {
		s->types = type_bit(n);
		return s->types != 0 || wrong(d, n, "unknown type");
	}
	for (const struct node *c = n->child; c != NULL; c = c->next) {
		bit = type_bit(c);
		if (bit == 0)
			return wrong(d, c, "unknown type");
		s->types |= bit;
	}
	return s->types != 0 || wrong(d, n, "no type at all");
}

static int
by_text(const void *a, const void *b)
{
	const struct text *x = a, *y = b;
	int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return c != 0 ? c : x->n < y->n ? -1 : x->n > y->n;
}

/* The canonical form of a part of the schema. */
static void
write_node(struct buf *out, const struct node *n)
{
	static const char *const words[] = {
	    [JSON_NULL] = "null", [JSON_FALSE] = "false", [JSON_TRUE] = "true"};

	if (n->type == JSON_STRING) {
		json_write_string(out, n->text, n->len);
	} else if (n->type == JSON_NUMBER) {
		buf_add(out, n->text, n->len);
	} else if (n->type <= JSON_TRUE) {
		buf_str(out, words[n->type]);
	} else {
		buf_char(out, n->type == JSON_ARRAY ? '[' : '{');
		for (const struct node *c = n->child; c != NULL; c = c->next) {
			if (c != n->child)
				buf_char(out, ',');
			if (c->key != NULL) {
				json_write_string(out, c->key, c->key_len);
				buf_char(out, ':');
			}
			write_node(out, c);
		}
		buf_char(out, n->type == JSON_ARRAY ? ']' : '}');
	}
}

static void
add_value(struct schema *s, const struct node *n)
{
	struct buf b = BUF_INIT(64u << 20), canon = BUF_INIT(64u << 20);
	struct json_span v, dup;

	write_node(&b, n);
	v = json_value(buf_cstr(&b));
	json_canonical(&canon, &v, &dup);
	s->values =
	    xreallocarray(s->values, s->n_values + 1, sizeof(*s->values));
	s->values[s->n_values++] =
	    (struct text){xstrndup(canon.p, canon.len), canon.len};
	buf_release(&b);
	buf_release(&canon);
}

static bool
kw_const(struct schemas *d, struct schema *s, const struct node *n)
{
	if (s->has_values)
		return wrong(d, n, "const and enum in one schema");
	s->has_values = true;
	add_value(s, n);
	return true;
}

static bool
kw_enum(struct schemas *d, struct schema *s, const struct node *n)
{
	if (!is_type(d, n, JSON_ARRAY, "an array"))
		return false;
	if (s->has_values)
		return wrong(d, n, "const and enum in one schema");
	s->has_values = true;
	for (const struct node *c = n->child; c != NULL; c = c->next)
		add_value(s, c);
	if (s->n_values > 0)
		qsort(s->values, s->n_values, sizeof(*s->values), by_text);
	return true;
}

/* ---- strings and numbers ---- */

static bool
kw_pattern(struct schemas *d, struct schema *s, const struct node *n)
{
	const char *why;

	if (!is_type(d, n, JSON_STRING, "a string"))
		return false;
	why = pattern_compile(&s->pattern, n->text, n->len);
	if (why != NULL)
		return wrong(d, n, why);
	s->has_pattern = true;
	return true;
}

static bool
kw_format(struct schemas *d, struct schema *s, const struct node *n)
{
	if (!is_type(d, n, JSON_STRING, "a string"))
		return false;
	if (strcmp(n->text, "date") == 0)
		s->format = FORMAT_DATE;
	else if (strcmp(n->text, "date-time") == 0)
		s->format = FORMAT_DATE_TIME;
	else if (strcmp(n->text, "uuid") == 0)
		s->format = FORMAT_UUID;
	else
		return wrong(d, n,
		    "only date, date-time and uuid are checked; use pattern");
	return true;
}

static bool
kw_number(struct schemas *d, struct schema *s, const struct node *n)
{
	struct dec x;

	if (!is_type(d, n, JSON_NUMBER, "a number"))
		return false;
	switch (n->key[0] == 'm' ? n->key[1] : n->key[9 + 1]) {
	case 'i': /* minimum, exclusiveMinimum */
		*(n->key[0] == 'm' ? &s->min : &s->above) = n;
		return true;
	case 'a':
		*(n->key[0] == 'm' ? &s->max : &s->below) = n;
		return true;
	default:
		if (!dec_parse(n->text, n->len, &x) || x.coef <= 0 ||
		    x.coef > 1000000000000000000 || x.scale > 100 ||
		    x.scale < -100)
			return wrong(d, n,
			    "a positive number of at most 18 "
			    "digits expected");
		s->multiple = n;
		return true;
	}
}

static bool
kw_count(struct schemas *d, struct schema *s, const struct node *n)
{
	bool min = n->key[1] == 'i';

	switch (n->key[3]) {
	case 'L':
		s->has_len = true;
		return count(d, n, min ? &s->min_len : &s->max_len);
	case 'I':
		return count(d, n, min ? &s->min_items : &s->max_items);
	default:
		return count(d, n, min ? &s->min_props : &s->max_props);
	}
}

/* ---- sub-schemas ---- */

static bool
sub(struct schemas *d, const struct node *n, const struct schema **to)
{
	*to = compile(d, n);
	return *to != NULL;
}

static bool
list(struct schemas *d, const struct node *n, const struct schema ***to,
    size_t *len, bool may_be_empty)
{
	if (!is_type(d, n, JSON_ARRAY, "an array"))
		return false;
	if (n->count == 0 && !may_be_empty)
		return wrong(d, n, "empty list");
	*to = xcalloc(n->count + 1, sizeof(**to));
	for (const struct node *c = n->child; c != NULL; c = c->next)
		if (!sub(d, c, &(*to)[(*len)++]))
			return false;
	return true;
}

static bool
kw_items(struct schemas *d, struct schema *s, const struct node *n)
{
	if (n->type == JSON_ARRAY)
		return list(d, n, &s->tuple, &s->n_tuple, true);
	return sub(d, n, &s->items);
}

static bool
kw_more_items(struct schemas *d, struct schema *s, const struct node *n)
{
	return sub(d, n, &s->more_items);
}

static bool
kw_contains(struct schemas *d, struct schema *s, const struct node *n)
{
	s->whole = true;
	return sub(d, n, &s->contains);
}

static bool
kw_unique(struct schemas *d, struct schema *s, const struct node *n)
{
	if (n->type != JSON_TRUE && n->type != JSON_FALSE)
		return wrong(d, n, "true or false expected");
	s->unique = n->type == JSON_TRUE;
	s->whole = s->whole || s->unique;
	return true;
}

static bool
kw_all(struct schemas *d, struct schema *s, const struct node *n)
{
	s->whole = true;
	return list(d, n, &s->all, &s->n_all, false);
}

static bool
kw_any(struct schemas *d, struct schema *s, const struct node *n)
{
	s->whole = true;
	return list(d, n, &s->any, &s->n_any, false);
}

static bool
kw_one(struct schemas *d, struct schema *s, const struct node *n)
{
	s->whole = true;
	return list(d, n, &s->one, &s->n_one, false);
}

static bool
kw_not(struct schemas *d, struct schema *s, const struct node *n)
{
	s->whole = true;
	return sub(d, n, &s->not_this);
}

static bool
kw_if(struct schemas *d, struct schema *s, const struct node *n)
{
	s->whole = true;
	return sub(d, n, &s->if_this);
}

static bool
kw_then(struct schemas *d, struct schema *s, const struct node *n)
{
	return sub(d, n, &s->then);
}

static bool
kw_else(struct schemas *d, struct schema *s, const struct node *n)
{
	return sub(d, n, &s->otherwise);
}

/* ---- objects ---- */

uint64_t
schema_hash(const char *p, size_t n)
{
	uint64_t h = n * 0x9e3779b97f4a7c15ull, w;

	while (n >= 8) {
		memcpy(&w, p, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdull;
		h ^= h >> 29;
		p += 8;
		n -= 8;
	}
	w = 0;
	for (size_t i = 0; i < n; i++)
		w = w << 8 | (unsigned char)p[i];
	h = (h ^ w) * 0xff51afd7ed558ccdull;
	return h ^ h >> 32;
}

const struct prop *
schema_prop(const struct schema *s, const char *name, size_t n)
{
	uint64_t h;
	uint32_t i;

	if (s->n_props == 0)
		return NULL;
	h = schema_hash(name, n);
	for (i = s->slots[h & s->mask]; i != 0; i = s->props[i - 1].next) {
		const struct prop *p = &s->props[i - 1];

		if (p->hash == h && p->len == n &&
		    memcmp(p->name, name, n) == 0)
			return p;
	}
	return NULL;
}

static struct prop *
prop_for(struct schema *s, const char *name, size_t n)
{
	struct prop *p;

	for (size_t i = 0; i < s->n_props; i++)
		if (s->props[i].len == n &&
		    memcmp(s->props[i].name, name, n) == 0)
			return &s->props[i];
	s->props = xreallocarray(s->props, s->n_props + 1, sizeof(*s->props));
	p = &s->props[s->n_props++];
	*p = (struct prop){
	    .name = name, .len = (uint32_t)n, .hash = schema_hash(name, n)};
	return p;
}

static bool
kw_properties(struct schemas *d, struct schema *s, const struct node *n)
{
	const struct schema *sub_schema;

	if (!is_type(d, n, JSON_OBJECT, "an object"))
		return false;
	for (const struct node *c = n->child; c != NULL; c = c->next) {
		if (!sub(d, c, &sub_schema))
			return false;
		prop_for(s, c->key, c->key_len)->schema = sub_schema;
	}
	s->report = true;
	return true;
}

static bool
kw_required(struct schemas *d, struct schema *s, const struct node *n)
{
	struct prop *p;

	if (!is_type(d, n, JSON_ARRAY, "an array"))
		return false;
	for (const struct node *c = n->child; c != NULL; c = c->next) {
		if (!is_type(d, c, JSON_STRING, "a string"))
			return false;
		p = prop_for(s, c->text, c->len);
		s->n_required += !p->required;
		p->required = true;
	}
	return true;
}

static bool
kw_patterns(struct schemas *d, struct schema *s, const struct node *n)
{
	struct pattern_prop *p;
	const char *why;

	if (!is_type(d, n, JSON_OBJECT, "an object"))
		return false;
	s->patterns = xcalloc(n->count + 1, sizeof(*s->patterns));
	for (const struct node *c = n->child; c != NULL; c = c->next) {
		p = &s->patterns[s->n_patterns];
		why = pattern_compile(&p->re, c->key, c->key_len);
		if (why != NULL)
			return wrong(d, c, why);
		s->n_patterns++;
		if (!sub(d, c, &p->schema))
			return false;
	}
	s->report = true;
	return true;
}

static bool
kw_additional(struct schemas *d, struct schema *s, const struct node *n)
{
	return sub(d, n, &s->additional);
}

static bool
kw_names(struct schemas *d, struct schema *s, const struct node *n)
{
	s->whole = true;
	return sub(d, n, &s->names);
}

/* ---- references ---- */

static const struct node *
root_of(const struct node *n)
{
	while (n->parent != NULL)
		n = n->parent;
	return n;
}

/* One step of a JSON pointer, its ~0, ~1 and %XX undone. */
static char *
pointer_step(const char *p, size_t n)
{
	char *o = xmalloc(n + 1), *out = o;

	for (size_t i = 0; i < n; i++) {
		char two[3] = {0}, *end;
		long v;

		if (p[i] == '%' && i + 2 < n + 0) {
			memcpy(two, p + i + 1, 2);
			v = strtol(two, &end, 16);
			if (*end == '\0') {
				*o++ = (char)v;
				i += 2;
				continue;
			}
		}
		if (p[i] == '~' && i + 1 < n &&
		    (p[i + 1] == '0' || p[i + 1] == '1'))
			*o++ = p[++i] == '0' ? '~' : '/';
		else
			*o++ = p[i];
	}
	*o = '\0';
	return out;
}

static const struct node *
child_named(const struct node *n, const char *name)
{
	if (n->type == JSON_OBJECT)
		return node_get(n, name);
	if (n->type == JSON_ARRAY)
		for (const struct node *c = n->child; c != NULL; c = c->next) {
			char text[24];

			snprintf(text, sizeof(text), "%zu", c->index);
			if (strcmp(text, name) == 0)
				return c;
		}
	return NULL;
}

static bool
kw_ref(struct schemas *d, struct schema *s, const struct node *n)
{
	const struct node *to = root_of(n);
	const char *p;

	if (!is_type(d, n, JSON_STRING, "a string"))
		return false;
	if (n->text[0] != '#' || (n->text[1] != '\0' && n->text[1] != '/'))
		return wrong(d, n,
		    "only references within the document "
		    "(#/definitions/…) can be followed");
	for (p = n->text + 1; *p == '/' && to != NULL;) {
		size_t len = strcspn(p + 1, "/");
		char *step = pointer_step(p + 1, len);

		to = child_named(to, step);
		free(step);
		p += len + 1;
	}
	if (to == NULL)
		return wrong(d, n, "nothing there");
	return sub(d, to, &s->ref);
}

static bool
kw_definitions(struct schemas *d, struct schema *s, const struct node *n)
{
	const struct schema *unused;

	(void)s;
	if (!is_type(d, n, JSON_OBJECT, "an object"))
		return false;
	for (const struct node *c = n->child; c != NULL; c = c->next)
		if (!sub(d, c, &unused))
			return false;
	return true;
}

static bool
kw_dialect(struct schemas *d, struct schema *s, const struct node *n)
{
	(void)s;
	if (n->type == JSON_STRING && (strstr(n->text, "draft-07/") != NULL ||
					  strstr(n->text, "draft-06/") != NULL))
		return true;
	return wrong(d, n, "only draft-07 is understood");
}

static bool
kw_id(struct schemas *d, struct schema *s, const struct node *n)
{
	(void)s;
	return n->parent->parent == NULL ||
	       wrong(d, n, "an $id within the document is not understood");
}

static bool
kw_note(struct schemas *d, struct schema *s, const struct node *n)
{
	(void)d;
	(void)s;
	(void)n;
	return true;
}

/* ---- all together ---- */

static const struct {
	const char *name;
	bool (*fn)(struct schemas *, struct schema *, const struct node *);
} keywords[] = {
    {"type", kw_type},
    {"enum", kw_enum},
    {"const", kw_const},
    {"pattern", kw_pattern},
    {"format", kw_format},
    {"minimum", kw_number},
    {"maximum", kw_number},
    {"exclusiveMinimum", kw_number},
    {"exclusiveMaximum", kw_number},
    {"multipleOf", kw_number},
    {"minLength", kw_count},
    {"maxLength", kw_count},
    {"minItems", kw_count},
    {"maxItems", kw_count},
    {"minProperties", kw_count},
    {"maxProperties", kw_count},
    {"items", kw_items},
    {"additionalItems", kw_more_items},
    {"contains", kw_contains},
    {"uniqueItems", kw_unique},
    {"properties", kw_properties},
    {"required", kw_required},
    {"patternProperties", kw_patterns},
    {"additionalProperties", kw_additional},
    {"propertyNames", kw_names},
    {"allOf", kw_all},
    {"anyOf", kw_any},
    {"oneOf", kw_one},
    {"not", kw_not},
    {"if", kw_if},
    {"then", kw_then},
    {"else", kw_else},
    {"$ref", kw_ref},
    {"definitions", kw_definitions},
    {"$defs", kw_definitions},
    {"$schema", kw_dialect},
    {"$id", kw_id},
    {"$comment", kw_note},
    {"title", kw_note},
    {"description", kw_note},
    {"default", kw_note},
    {"examples", kw_note},
    {"readOnly", kw_note},
    {"writeOnly", kw_note},
    {"deprecated", kw_note},
    {"contentEncoding", kw_note},
    {"contentMediaType", kw_note},
};

static bool
is_note(const struct node *n)
{
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (strcmp(n->key, keywords[i].name) == 0)
			return keywords[i].fn == kw_note ||
			       keywords[i].fn == kw_definitions ||
			       keywords[i].fn == kw_dialect ||
			       keywords[i].fn == kw_id;
	return false;
}

static bool
keyword(struct schemas *d, struct schema *s, const struct node *n)
{
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (strcmp(n->key, keywords[i].name) == 0)
			return keywords[i].fn(d, s, n);
	return wrong(d, n,
	    "this keyword is not checked here, so it is "
	    "refused");
}

static void
index_props(struct schema *s)
{
	size_t size = 4;

	while (size < 2 * s->n_props)
		size *= 2;
	s->mask = size - 1;
	s->slots = xcalloc(size, sizeof(*s->slots));
	for (size_t i = 0; i < s->n_props; i++) {
		uint32_t *slot = &s->slots[s->props[i].hash & s->mask];

		s->props[i].next = *slot;
		*slot = (uint32_t)i + 1;
	}
}

static struct schema *
made_for(struct schemas *d, const struct node *at)
{
	for (struct schema *s = d->made; s != NULL; s = s->made)
		if (s->at == at)
			return s;
	return NULL;
}

static bool
fill(struct schemas *d, struct schema *s, const struct node *at)
{
	bool ref = node_get(at, "$ref") != NULL;

	for (const struct node *n = at->child; n != NULL; n = n->next) {
		if (ref && strcmp(n->key, "$ref") != 0 && !is_note(n))
			return wrong(
			    d, n, "draft-07 ignores what stands beside $ref");
		if (!keyword(d, s, n))
			return false;
	}
	if (s->n_props > PROPS_MAX)
		return wrong(d, at, "more than 2048 members");
	index_props(s);
	s->members = s->items != NULL || s->n_tuple > 0 || s->tuple != NULL ||
		     s->min_items > 0 || s->max_items != UINT64_MAX ||
		     s->n_props > 0 || s->n_patterns > 0 ||
		     s->additional != NULL || s->min_props > 0 ||
		     s->max_props != UINT64_MAX || s->report;
	s->plain = !s->whole && s->ref == NULL && !s->members &&
		   s->types == TYPE_ALL && !s->has_values && !s->has_pattern &&
		   s->format == FORMAT_NONE && !s->has_len && s->min == NULL &&
		   s->max == NULL && s->above == NULL && s->below == NULL &&
		   s->multiple == NULL;
	return true;
}

static struct schema *
compile(struct schemas *d, const struct node *at)
{
	struct schema *s = made_for(d, at);

	if (s != NULL)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->at = at;
	s->types = TYPE_ALL;
	s->max_len = s->max_items = s->max_props = UINT64_MAX;
	s->made = d->made;
	d->made = s;
	if (at->type == JSON_TRUE || at->type == JSON_FALSE) {
		s->plain = at->type == JSON_TRUE;
		s->never = !s->plain;
		return s;
	}
	if (!is_type(d, at, JSON_OBJECT, "a schema") || !fill(d, s, at))
		return NULL;
	return s;
}

/* A schema that comes to itself again for one and the same value. */
static bool
endless(struct schema *s)
{
	const struct schema *const *const lists[] = {s->all, s->any, s->one};
	const size_t n[] = {s->n_all, s->n_any, s->n_one};
	const struct schema *const others[] = {
	    s->ref, s->not_this, s->if_this, s->then, s->otherwise};

	if (s->colour != 0)
		return s->colour == 1;
	s->colour = 1;
	for (size_t k = 0; k < 3; k++)
		for (size_t i = 0; i < n[k]; i++)
			if (endless((struct schema *)(uintptr_t)lists[k][i]))
				return true;
	for (size_t i = 0; i < 5; i++)
		if (others[i] != NULL &&
		    endless((struct schema *)(uintptr_t)others[i]))
			return true;
	s->colour = 2;
	return false;
}

const struct schema *
schema_compile(struct schemas *d, const struct node *at)
{
	struct schema *s = compile(d, at);

	if (s == NULL)
		return NULL;
	for (struct schema *m = d->made; m != NULL; m = m->made) {
		if (endless(m)) {
			wrong(d, m->at, "a reference that leads to itself");
			return NULL;
		}
	}
	return s;
}

void
schemas_free(struct schemas *d)
{
	while (d->made != NULL) {
		struct schema *s = d->made;

		d->made = s->made;
		for (size_t i = 0; i < s->n_values; i++)
			free(s->values[i].p);
		for (size_t i = 0; i < s->n_patterns; i++)
			regfree(&s->patterns[i].re);
		if (s->has_pattern)
			regfree(&s->pattern);
		free(s->values);
		free(s->patterns);
		free(s->props);
		free(s->slots);
		free(s->tuple);
		free(s->all);
		free(s->any);
		free(s->one);
		free(s);
	}
}
