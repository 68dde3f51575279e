#include "key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "date.h"
#include "dec.h"
#include "mem.h"

#define TEXT_MAX (2u << 30)

void
key_init(struct key *k)
{
	memset(k, 0, sizeof *k);
	k->paths = json_paths_new();
	k->day = -1;
	buf_init(&k->text, TEXT_MAX);
}

void
key_release(struct key *k)
{
	json_paths_free(k->paths);
	buf_release(&k->text);
	explicit_bzero(&k->secret, sizeof k->secret);
}

/* The end of the first path of a list: a comma outside quotes and brackets. */
static size_t
first_path(const char *list)
{
	bool quoted = false;
	size_t i, deep = 0;

	for (i = 0; list[i] != '\0'; i++) {
		if (quoted && list[i] == '\\' && list[i + 1] != '\0')
			i++;
		else if (list[i] == '"')
			quoted = !quoted;
		else if (!quoted && list[i] == '[')
			deep++;
		else if (!quoted && list[i] == ']' && deep > 0)
			deep--;
		else if (!quoted && deep == 0 && list[i] == ',')
			break;
	}
	return i;
}

const char *
key_add(struct key *k, const char *list)
{
	for (;;) {
		size_t n = first_path(list);
		char *path = xstrndup(list, n);
		const char *why = "";
		int at = json_paths_add(k->paths, path, &why);

		free(path);
		if (at < 0)
			return why;
		for (size_t i = 0; i < k->n; i++)
			if (k->index[i] == at)
				return "a path stands twice in the key";
		if (k->n == KEY_MAX)
			return "more than 16 paths";
		k->index[k->n++] = at;
		if (list[n] == '\0')
			return NULL;
		list += n + 1;
	}
}

char *
key_text(const struct key *k)
{
	struct buf b = BUF_INIT(1u << 20);
	char *text;

	for (size_t i = 0; i < k->n; i++) {
		if (i > 0)
			buf_char(&b, ',');
		buf_str(&b, json_paths_text(k->paths, k->index[i]));
	}
	text = xstrdup(buf_cstr(&b));
	buf_release(&b);
	return text;
}

/* Values other than strings get a second hash, so that "1" is not 1. */
static struct fp
of_kind(struct fp x, enum json_type kind)
{
	return fp_join(x, (struct fp){(uint64_t)kind, 0});
}

static bool
value_of(struct key *k, const struct json_span *v, struct fp *x)
{
	if ((v->flags & JSON_DUPLICATE) != 0)
		return false;
	switch ((enum json_type)v->type) {
	case JSON_STRING:
		if (v->len <= 2)
			return false;
		if ((v->flags & JSON_ESCAPED) == 0) {
			*x = fp_hash(&k->secret, v->p + 1, v->len - 2);
			return true;
		}
		buf_reset(&k->text);
		json_decode_buf(v, &k->text);
		*x = fp_hash(&k->secret, k->text.p, k->text.len);
		return true;
	case JSON_NUMBER:
		buf_reset(&k->text);
		num_canonical(&k->text, v->p, v->len);
		*x = of_kind(
		    fp_hash(&k->secret, k->text.p, k->text.len), JSON_NUMBER);
		return true;
	case JSON_TRUE:
	case JSON_FALSE:
		*x = of_kind(fp_hash(&k->secret, v->p, v->len), JSON_TRUE);
		return true;
	default:
		return false;
	}
}

bool
key_of(struct key *k, const struct record *r, struct fp *x)
{
	if (!value_of(k, &r->val[k->index[0]], x))
		return false;
	for (size_t i = 1; i < k->n; i++) {
		struct fp y;

		if (!value_of(k, &r->val[k->index[i]], &y))
			return false;
		*x = fp_join(*x, y);
	}
	return true;
}

static const char *
value_wrong(const struct json_span *v)
{
	if ((v->flags & JSON_DUPLICATE) != 0)
		return "stands twice";
	switch ((enum json_type)v->type) {
	case JSON_ABSENT:
		return "is missing";
	case JSON_NULL:
		return "is null";
	case JSON_STRING:
		return v->len <= 2 ? "is empty" : NULL;
	case JSON_ARRAY:
		return "is an array";
	case JSON_OBJECT:
		return "is an object";
	default:
		return NULL;
	}
}

static const char *
say(struct key *k, int index, const struct record *r, const char *what,
    size_t *byte)
{
	const struct json_span *v = &r->val[index];

	*byte = v->type == JSON_ABSENT ? 1 : (size_t)(v->p - r->text) + 1;
	snprintf(k->why, sizeof k->why, "key %.160s %s",
	    json_paths_text(k->paths, index), what);
	return k->why;
}

const char *
key_wrong(struct key *k, const struct record *r, size_t *byte)
{
	for (size_t i = 0; i < k->n; i++) {
		const char *what = value_wrong(&r->val[k->index[i]]);

		if (what != NULL)
			return say(k, k->index[i], r, what, byte);
	}
	if (k->day < 0)
		return say(k, k->index[0], r,
		    "is not of the form source:YYYYMMDDHHMMSSmmm:hash", byte);
	say(k, k->day, r, "is neither a date nor an RFC 3339 time", byte);
	memcpy(k->why, "day", 3);
	return k->why;
}

/* ---- the day ---- */

static bool
is_digits(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return true;
}

/* source:20261120031700123:hex */
static bool
day_of_id(const char *p, size_t n, int32_t *day)
{
	const char *colon = memchr(p, ':', n);
	size_t rest;

	if (colon == NULL || colon == p)
		return false;
	rest = n - (size_t)(colon + 1 - p);
	return rest > TIME_STAMP_LEN + 1 && colon[1 + TIME_STAMP_LEN] == ':' &&
	       is_digits(colon + 1, TIME_STAMP_LEN) &&
	       date_parse_compact(colon + 1, 8, day);
}

static bool
day_of_value(const char *p, size_t n, int32_t *day)
{
	int64_t us;

	if (date_parse(p, n, day) || date_parse_compact(p, n, day))
		return true;
	if (!time_parse(p, n, &us))
		return false;
	*day = day_of_ms((us - (us % 1000 + 1000) % 1000) / 1000);
	return true;
}

bool
key_day(struct key *k, const struct record *r, int32_t *day)
{
	const struct json_span *v = &r->val[k->day < 0 ? k->index[0] : k->day];
	const char *p = v->p + 1;
	size_t n = v->len - 2;

	if (v->type != JSON_STRING || (v->flags & JSON_DUPLICATE) != 0)
		return false;
	if ((v->flags & JSON_ESCAPED) != 0) {
		buf_reset(&k->text);
		json_decode_buf(v, &k->text);
		p = k->text.p;
		n = k->text.len;
	}
	return k->day < 0 ? day_of_id(p, n, day) : day_of_value(p, n, day);
}
