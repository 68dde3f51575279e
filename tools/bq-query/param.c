/* Parameters: their types, and values that are of them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "date.h"
#include "mem.h"
#include "query.h"

static bool
whole_number(const char *v)
{
	char *end;

	errno = 0;
	strtoll(v, &end, 10);
	return end != v && *end == '\0' && errno == 0 && *v != ' ' && *v != '+';
}

static bool
number(const char *v)
{
	struct json_error e;

	return (*v == '-' || (*v >= '0' && *v <= '9')) &&
	       json_check(v, strlen(v), false, &e);
}

static bool
boolean(const char *v)
{
	return strcmp(v, "true") == 0 || strcmp(v, "false") == 0;
}

static bool
date(const char *v)
{
	int32_t day;

	return date_parse(v, strlen(v), &day);
}

static bool
document(const char *v)
{
	struct json_error e;

	return json_check(v, strlen(v), false, &e);
}

static const struct type {
	const char *name, *also; /* also: sqlite-query's word */
	bool (*good)(const char *value);
} types[] = {
    {"STRING", "text", NULL},
    {"INT64", "int", whole_number},
    {"FLOAT64", "real", number},
    {"BOOL", NULL, boolean},
    {"DATE", NULL, date},
    {"TIMESTAMP", NULL, NULL},
    {"DATETIME", NULL, NULL},
    {"TIME", NULL, NULL},
    {"NUMERIC", NULL, number},
    {"BIGNUMERIC", NULL, number},
    {"JSON", NULL, document},
    {"BYTES", NULL, NULL},
};

static const struct type *
type_named(const char *word, size_t n)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		if (strlen(types[i].name) == n &&
		    strncasecmp(types[i].name, word, n) == 0)
			return &types[i];
		if (types[i].also != NULL && strlen(types[i].also) == n &&
		    strncmp(types[i].also, word, n) == 0)
			return &types[i];
	}
	return NULL;
}

static bool
name_ok(const char *name, size_t n)
{
	static const char word[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";

	return n > 0 && n <= 128 && strspn(name, word) >= n &&
	       (*name < '0' || *name > '9');
}

static const char *
add_element(struct bq_param *p, const struct type *t, char *text)
{
	if (t->good != NULL && !t->good(text)) {
		free(text);
		return "a value is not of its type";
	}
	p->list = xreallocarray((void *)p->list, p->n + 1, sizeof *p->list);
	((const char **)p->list)[p->n++] = text;
	return NULL;
}

/* a,b,c or a JSON array of texts and numbers. */
static const char *
take_list(struct bq_param *p, const struct type *t, const char *value)
{
	const char *wrong = NULL;
	struct json_error e;
	struct json_span root, one;
	struct json_iter it;

	if (*value != '[') {
		while (wrong == NULL && *value != '\0') {
			size_t n = strcspn(value, ",");

			wrong = add_element(p, t, xstrndup(value, n));
			value += n + (value[n] == ',');
		}
		return wrong;
	}
	if (!json_check(value, strlen(value), false, &e))
		return "a list is values with commas between, or JSON";
	root = json_value(value);
	json_iter_init(&it, &root);
	while (wrong == NULL && json_next_element(&it, &one)) {
		struct buf text = BUF_INIT(1u << 20);

		if (one.type == JSON_STRING)
			json_decode_buf(&one, &text);
		else if (one.type == JSON_OBJECT || one.type == JSON_ARRAY ||
			 one.type == JSON_NULL)
			wrong = "a list holds texts and numbers";
		else
			buf_add(&text, one.p, one.len);
		if (wrong == NULL)
			wrong = add_element(p, t, xstrdup(buf_cstr(&text)));
		buf_release(&text);
	}
	return wrong;
}

static const char *
take_value(struct bq_param *p, const char *type, size_t n, const char *value)
{
	const struct type *t;

	if (n == 4 && strncmp(type, "null", n) == 0) {
		p->type = xstrdup("STRING");
		return *value == '\0' ? NULL : "null has no value";
	}
	if (n > 7 && strncasecmp(type, "ARRAY<", 6) == 0 &&
	    type[n - 1] == '>') {
		t = type_named(type + 6, n - 7);
		if (t == NULL)
			return "no such type of elements";
		p->type = xasprintf("ARRAY<%s>", t->name);
		return take_list(p, t, value);
	}
	t = type_named(type, n);
	if (t == NULL)
		return "no such type";
	if (t->good != NULL && !t->good(value))
		return "the value is not of its type";
	p->type = xstrdup(t->name);
	p->value = xstrdup(value);
	return NULL;
}

const char *
param_take(struct params *ps, const char *text)
{
	size_t name = strcspn(text, ":=");
	struct bq_param *p = &ps->p[ps->n];
	const char *type = "STRING", *value;
	size_t n = 6;

	if (ps->n == PARAMS_MAX)
		return "at most 100";
	if (text[name] == '\0' || !name_ok(text, name))
		return "not name=value";
	value = text + name;
	if (*value == ':') {
		type = value + 1;
		n = strcspn(type, "=");
		value = type + n;
		if (*value == '\0')
			return "not name:TYPE=value";
	}
	for (size_t i = 0; i < ps->n; i++) {
		if (strlen(ps->p[i].name) == name &&
		    strncasecmp(ps->p[i].name, text, name) == 0)
			return "the same name twice";
	}
	p->name = xstrndup(text, name);
	ps->n++;
	return take_value(p, type, n, value + 1);
}

void
params_release(struct params *ps)
{
	for (size_t i = 0; i < ps->n; i++) {
		struct bq_param *p = &ps->p[i];

		for (size_t k = 0; k < p->n; k++)
			free((void *)p->list[k]);
		free((void *)p->list);
		free((void *)p->name);
		free((void *)p->type);
		free((void *)p->value);
	}
	ps->n = 0;
}

void
params_print(const struct params *ps, struct buf *out)
{
	struct jsonw w, one, list;

	jsonw_begin(&w, out, '[');
	for (size_t i = 0; i < ps->n; i++) {
		const struct bq_param *p = &ps->p[i];

		jsonw_open(&w, NULL, &one, '[');
		jsonw_str(&one, NULL, p->name);
		jsonw_str(&one, NULL, p->type);
		if (p->value != NULL)
			jsonw_str(&one, NULL, p->value);
		jsonw_open(&one, NULL, &list, '[');
		for (size_t k = 0; k < p->n; k++)
			jsonw_str(&list, NULL, p->list[k]);
		jsonw_end(&list);
		jsonw_end(&one);
	}
	jsonw_end(&w);
}
