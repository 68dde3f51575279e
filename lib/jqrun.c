/* All that weir has to do with libjq. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jq.h>
#include <jv.h>

#include "buf.h"
#include "dec.h"
#include "jqrun.h"
#include "mem.h"

#define WHY_MAX 200
#define PROGRAM_MAX (64u << 20)

uint64_t jqrun_count;

struct jqrun {
	jq_state *jq;
	char said[WHY_MAX]; /* first message of libjq */
};

/* Keeps the first message; the others follow from it. */
static void
listen(void *ctx, jv msg)
{
	struct jqrun *r = ctx;
	const char *s;

	if (jv_get_kind(msg) == JV_KIND_STRING && r->said[0] == '\0') {
		s = jv_string_value(msg);
		if (strncmp(s, "jq: error: ", 11) == 0)
			s += 11;
		else if (strncmp(s, "error: ", 7) == 0)
			s += 7;
		snprintf(
		    r->said, sizeof(r->said), "%.*s", (int)strcspn(s, "\n"), s);
	}
	jv_free(msg);
}

/* "(Unix shell quoting issues?) at <top-level>, line 1:" helps nobody here */
static void
shorten(char *s)
{
	static const char *const tails[] = {
	    " (Unix shell quoting", " at <top-level>", " at <unknown>"};

	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		char *hit = strstr(s, tails[i]);

		if (hit != NULL)
			*hit = '\0';
	}
}

/*
 * libjq imports ~/.jq where it is a file, and asks the password database for
 * the home if HOME is not set: so it gets a home that has none.
 */
static int
compile(jq_state *jq, const char *text)
{
	const char *home = getenv("HOME");
	char *old = home == NULL ? NULL : xstrdup(home);
	int ok;

	setenv("HOME", "/dev/null", 1);
	ok = jq_compile_args(jq, text, jv_object());
	if (old == NULL)
		unsetenv("HOME");
	else
		setenv("HOME", old, 1);
	free(old);
	return ok;
}

struct jqrun *
jqrun_new(const char *text, struct jq_why *why)
{
	struct jqrun *r = xcalloc(1, sizeof(*r));
	struct buf plain = BUF_INIT(PROGRAM_MAX);
	int ok;

	jqrun_count++;
	r->jq = jq_init();
	why->at = 0;
	if (r->jq == NULL) {
		why->text = "libjq does not start";
		free(r);
		return NULL;
	}
	jq_set_error_cb(r->jq, listen, r);
	jq_set_attr(r->jq, jv_string("JQ_LIBRARY_PATH"), jv_array());
	jq_set_attr(r->jq, jv_string("JQ_ORIGIN"), jv_string("/dev/null"));
	jq_set_attr(r->jq, jv_string("PROGRAM_ORIGIN"), jv_string("/dev/null"));
	jqx_plain_literals(&plain, text, strlen(text));
	ok = compile(r->jq, buf_cstr(&plain));
	buf_release(&plain);
	if (!ok) {
		shorten(r->said);
		snprintf(why->room, sizeof(why->room), "%.*s",
		    (int)sizeof(why->room) - 1,
		    r->said[0] != '\0' ? r->said : "not a jq program");
		why->text = why->room;
		jqrun_free(r);
		return NULL;
	}
	return r;
}

/* jv_parse_sized reads on to a NUL when it words an error; this does not. */
static jv
parse(const char *p, size_t n)
{
	struct jv_parser *parser = jv_parser_new(0);
	jv v, more;

	jv_parser_set_buf(parser, p, (int)n, 0);
	v = jv_parser_next(parser);
	if (jv_is_valid(v)) {
		jv_parser_free(parser);
		return v;
	}
	more = jv_invalid_get_msg(jv_copy(v));
	jv_free(more);
	jv_parser_free(parser);
	return v;
}

/*
 * libjq 1.7 keeps how a number was written, and writes it so again. A new
 * number of the same value it writes as 1.6 does.
 */
static jv
doubles(jv v)
{
	jv out;

	switch (jv_get_kind(v)) {
	case JV_KIND_NUMBER:
		out = jv_number(jv_number_value(v));
		break;
	case JV_KIND_ARRAY:
		out = jv_array();
		for (int i = 0; i < jv_array_length(jv_copy(v)); i++)
			out = jv_array_append(
			    out, doubles(jv_array_get(jv_copy(v), i)));
		break;
	case JV_KIND_OBJECT:
		out = jv_object();
		for (int i = jv_object_iter(v); jv_object_iter_valid(v, i);
		     i = jv_object_iter_next(v, i))
			out = jv_object_set(out, jv_object_iter_key(v, i),
			    doubles(jv_object_iter_value(v, i)));
		break;
	default:
		return v;
	}
	jv_free(v);
	return out;
}

static bool
all_plain(const char *p, size_t len)
{
	const char *end = p + len;
	size_t n;

	while ((p = jqx_next_number(p, end, &n)) != NULL) {
		if (!jqx_number_plain(p, n))
			return false;
		p += n;
	}
	return true;
}

static jv
take(const char *json, size_t len)
{
	jv v = parse(json, len);

	return jv_is_valid(v) && !all_plain(json, len) ? doubles(v) : v;
}

/* As the native evaluator writes them: 1e+17 in full, and never -0. */
static void
add_canonical(struct buf *out, const char *p, size_t len)
{
	const char *end = p + len, *at;
	size_t n;

	while ((at = jqx_next_number(p, end, &n)) != NULL) {
		buf_add(out, p, (size_t)(at - p));
		num_canonical(out, at, n);
		p = at + n;
	}
	buf_add(out, p, (size_t)(end - p));
}

static void
add_clean(struct buf *out, const char *s)
{
	for (size_t i = 0; s[i] != '\0' && i < WHY_MAX; i++)
		buf_char(out, (unsigned char)s[i] < ' ' ? ' ' : s[i]);
}

static void
told(struct buf *out, jv invalid)
{
	jv msg = jv_invalid_get_msg(invalid);

	buf_reset(out);
	if (jv_get_kind(msg) == JV_KIND_STRING)
		add_clean(out, jv_string_value(msg));
	else
		add_clean(out, "jq program failed");
	jv_free(msg);
}

static enum json_type
give(struct buf *out, jv v)
{
	static const enum json_type types[] = {
	    [JV_KIND_INVALID] = JSON_ABSENT,
	    [JV_KIND_NULL] = JSON_NULL,
	    [JV_KIND_FALSE] = JSON_FALSE,
	    [JV_KIND_TRUE] = JSON_TRUE,
	    [JV_KIND_NUMBER] = JSON_NUMBER,
	    [JV_KIND_STRING] = JSON_STRING,
	    [JV_KIND_ARRAY] = JSON_ARRAY,
	    [JV_KIND_OBJECT] = JSON_OBJECT,
	};
	enum json_type type = types[jv_get_kind(v)];
	jv text;

	buf_reset(out);
	if (type == JSON_STRING) {
		buf_add(out, jv_string_value(v),
		    (size_t)jv_string_length_bytes(jv_copy(v)));
		jv_free(v);
		return type;
	}
	text = jv_dump_string(v, 0);
	add_canonical(out, jv_string_value(text),
	    (size_t)jv_string_length_bytes(jv_copy(text)));
	jv_free(text);
	return type;
}

enum jqrun_result
jqrun_first(struct jqrun *r, const char *json, size_t len, struct buf *out,
    enum json_type *type, bool *more)
{
	enum jqrun_result res = JQRUN_VALUE;
	jv v;

	buf_reset(out);
	r->said[0] = '\0';
	if (len > INT_MAX) {
		add_clean(out, "record too large for libjq");
		return JQRUN_ERROR;
	}
	v = json == NULL ? jv_null() : take(json, len);
	if (!jv_is_valid(v)) {
		told(out, v);
		return JQRUN_ERROR;
	}
	jq_start(r->jq, v, 0);
	v = jq_next(r->jq);
	if (jv_is_valid(v)) {
		*type = give(out, v);
		if (more != NULL) {
			v = jq_next(r->jq);
			*more = jv_is_valid(v);
			jv_free(v);
		}
	} else if (jv_invalid_has_msg(jv_copy(v))) {
		told(out, v);
		res = JQRUN_ERROR;
	} else {
		jv_free(v);
		res = JQRUN_NONE;
	}
	/* drops what the program still holds of this record */
	jq_start(r->jq, jv_null(), 0);
	return res;
}

void
jqrun_free(struct jqrun *r)
{
	if (r == NULL)
		return;
	if (r->jq != NULL)
		jq_teardown(&r->jq);
	free(r);
}

/* Fifteen significant digits always survive a double. */
static bool
few_digits(const char *p, size_t n)
{
	size_t digits = 0;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == 'e' || p[i] == 'E')
			return false;
		if (p[i] >= '0' && p[i] <= '9' && (digits > 0 || p[i] != '0'))
			digits++;
	}
	return digits <= 15 && n < 40;
}

bool
jqx_number_plain(const char *p, size_t n)
{
	const char *end = p + n, *dot;

	if (n > 0 && *p == '-')
		p++;
	dot = memchr(p, '.', (size_t)(end - p));
	if (!few_digits(p, (size_t)(end - p)))
		return false;
	if (dot == NULL)
		return p < end && (*p != '0' || end - p == 1);
	return dot > p && (*p != '0' || dot - p == 1) && end - dot > 1 &&
	       end[-1] != '0' &&
	       (*p != '0' || end - dot < 5 || memcmp(dot, ".0000", 5) != 0);
}

const char *
jqx_next_number(const char *p, const char *end, size_t *n)
{
	for (; p < end; p++) {
		if (*p == '"') {
			for (p++; *p != '"'; p++)
				if (*p == '\\')
					p++;
		} else if (*p == '-' || (*p >= '0' && *p <= '9')) {
			*n = 1;
			while (p + *n < end && p[*n] != '\0' &&
			       strchr("+-.eE0123456789", p[*n]) != NULL)
				++*n;
			return p;
		}
	}
	return NULL;
}

bool
jqx_number_safe(const char *p, size_t n)
{
	struct buf a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20);
	jv v, text;
	bool same = false;

	if (few_digits(p, n))
		return true;
	if (n > 400)
		return false;
	v = parse(p, n);
	if (jv_get_kind(v) == JV_KIND_NUMBER) {
		/* a new number: 1.7 would print the old one's literal */
		text = jv_dump_string(jv_number(jv_number_value(v)), 0);
		num_canonical(&a, p, n);
		num_canonical(&b, jv_string_value(text),
		    (size_t)jv_string_length_bytes(jv_copy(text)));
		jv_free(text);
		same = a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
	}
	jv_free(v);
	buf_release(&a);
	buf_release(&b);
	return same;
}
