/* The builtins that are evaluated here, each as jq has it. */
#include <string.h>

#include "dec.h"
#include "expr_impl.h"

static bool
two_strings(struct eval *ev, const struct val *in, const struct val *arg,
    const char **p, size_t *n, const char **q, size_t *m)
{
	if (in->type != JSON_STRING || arg->type != JSON_STRING)
		return false;
	val_str(ev, in, p, n);
	val_str(ev, arg, q, m);
	return true;
}

static enum ev_result
fn_startswith(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	const char *p, *q;
	size_t n, m;

	if (!two_strings(ev, in, arg, &p, &n, &q, &m))
		return ev_error(ev, "startswith() requires string inputs");
	*out = val_bool(n >= m && memcmp(p, q, m) == 0);
	return EV_OK;
}

static enum ev_result
fn_endswith(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	const char *p, *q;
	size_t n, m;

	if (!two_strings(ev, in, arg, &p, &n, &q, &m))
		return ev_error(ev, "endswith() requires string inputs");
	*out = val_bool(n >= m && memcmp(p + n - m, q, m) == 0);
	return EV_OK;
}

static enum ev_result
fn_ltrimstr(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	const char *p, *q;
	size_t n, m;

	*out = *in;
	if (two_strings(ev, in, arg, &p, &n, &q, &m) && n >= m &&
	    memcmp(p, q, m) == 0)
		*out = val_text(p + m, n - m);
	return EV_OK;
}

static enum ev_result
fn_rtrimstr(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	const char *p, *q;
	size_t n, m;

	*out = *in;
	if (two_strings(ev, in, arg, &p, &n, &q, &m) && n >= m &&
	    memcmp(p + n - m, q, m) == 0)
		*out = val_text(p, n - m);
	return EV_OK;
}

static enum ev_result
fold(struct eval *ev, const struct val *in, char first, char flip,
    struct val *out)
{
	const char *p;
	size_t n;
	char *o;

	if (in->type != JSON_STRING)
		return ev_error(ev, "case functions require a string");
	val_str(ev, in, &p, &n);
	o = ev_alloc(ev, n + 1);
	for (size_t i = 0; i < n; i++)
		o[i] = p[i] >= first && p[i] <= first + 25 ? (char)(p[i] ^ flip)
							   : p[i];
	*out = val_text(o, n);
	return EV_OK;
}

static enum ev_result
fn_downcase(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	(void)arg;
	return fold(ev, in, 'A', ' ', out);
}

static enum ev_result
fn_upcase(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	(void)arg;
	return fold(ev, in, 'a', ' ', out);
}

static enum ev_result
contained(struct eval *ev, const struct val *big, const struct val *part,
    struct val *out)
{
	const char *p, *q;
	size_t n, m;
	bool yes = false;
	enum ev_result r;

	if (two_strings(ev, big, part, &p, &n, &q, &m)) {
		/* libjq 1.6 stops at a NUL, which is its fault alone */
		*out = val_bool(m == 0 || memmem(p, n, q, m) != NULL);
		return EV_OK;
	}
	if (big->type != part->type)
		return ev_error(
		    ev, "values cannot have their containment checked");
	r = val_equal(ev, big, part, &yes); /* EV_PUNT for containers */
	*out = val_bool(yes);
	return r;
}

static enum ev_result
fn_contains(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	return contained(ev, in, arg, out);
}

static enum ev_result
fn_inside(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	return contained(ev, arg, in, out);
}

static enum ev_result
number(struct eval *ev, uint64_t v, struct val *out)
{
	struct dec d = dec_from_i64((int64_t)v);
	char *o = ev_alloc(ev, DEC_TEXT);

	*out = (struct val){JSON_NUMBER, 0, true, o, dec_format(&d, o)};
	return EV_OK;
}

static enum ev_result
fn_length(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	struct json_span s = {in->p, (uint32_t)in->len, in->type, in->flags};
	struct json_iter it;
	struct json_span e;
	const char *p;
	size_t n;
	uint64_t count = 0;

	(void)arg;
	switch (in->type) {
	case JSON_NULL:
		break;
	case JSON_STRING:
		val_str(ev, in, &p, &n);
		for (size_t i = 0; i < n; i++)
			count += ((unsigned char)p[i] & 0xc0) != 0x80;
		break;
	case JSON_NUMBER:
		*out = *in;
		if (*in->p == '-') {
			out->p++;
			out->len--;
		}
		return EV_OK;
	case JSON_ARRAY:
		json_iter_init(&it, &s);
		while (json_next_element(&it, &e))
			count++;
		break;
	case JSON_OBJECT:
		return EV_PUNT; /* a member may be there twice */
	default:
		return ev_error(ev, "a boolean has no length");
	}
	return number(ev, count, out);
}

static enum ev_result
fn_utf8bytelength(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	const char *p;
	size_t n;

	(void)arg;
	if (in->type != JSON_STRING)
		return ev_error(ev, "only strings have UTF-8 byte length");
	val_str(ev, in, &p, &n);
	return number(ev, n, out);
}

static enum ev_result
fn_tostring(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	(void)arg;
	return val_tostring(ev, in, out);
}

/* libjq takes more than JSON does ("nan", " 1", "01"): it decides those. */
static enum ev_result
fn_tonumber(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	static const char odd[] = "0123456789+-.eEnaNAiIfFtTyY \t\r\n";
	struct json_error e;
	const char *p;
	size_t n;

	(void)arg;
	*out = *in;
	if (in->type == JSON_NUMBER)
		return EV_OK;
	if (in->type != JSON_STRING)
		return ev_error(ev, "value cannot be parsed as a number");
	val_str(ev, in, &p, &n);
	if (n > 0 && (*p == '-' || (*p >= '0' && *p <= '9')) &&
	    p[n - 1] >= '0' && p[n - 1] <= '9' && json_check(p, n, false, &e)) {
		*out = (struct val){JSON_NUMBER, 0, true, p, n};
		return EV_OK;
	}
	for (size_t i = 0; i < n; i++)
		if (memchr(odd, p[i], sizeof(odd) - 1) == NULL)
			return ev_error(ev, "string is not a number");
	return EV_PUNT;
}

static enum ev_result
fn_type(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	static const char *const words[] = {"", "null", "boolean", "boolean",
	    "number", "string", "array", "object"};
	const char *w = words[in->type];

	(void)ev;
	(void)arg;
	*out = val_text(w, strlen(w));
	return EV_OK;
}

static enum ev_result
fn_not(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	(void)ev;
	(void)arg;
	*out = val_bool(!val_true(in));
	return EV_OK;
}

static enum ev_result
fn_has(struct eval *ev, const struct val *in, const struct val *arg,
    struct val *out)
{
	struct json_span s = {in->p, (uint32_t)in->len, in->type, in->flags};
	struct json_span key, v;
	struct json_iter it;
	const char *p;
	size_t n;

	if (in->type == JSON_ARRAY && arg->type == JSON_NUMBER)
		return EV_PUNT;
	*out = val_bool(false);
	if (in->type == JSON_NULL &&
	    (arg->type == JSON_STRING || arg->type == JSON_NUMBER))
		return EV_OK;
	if (in->type != JSON_OBJECT || arg->type != JSON_STRING)
		return ev_error(ev, "value cannot be checked for a key");
	val_str(ev, arg, &p, &n);
	json_iter_init(&it, &s);
	while (out->type == JSON_FALSE && json_next_member(&it, &key, &v))
		*out = val_bool(json_is(&key, p, n));
	return EV_OK;
}

ex_fn
ex_function(const char *name, size_t len, size_t args)
{
	static const struct {
		const char *name;
		size_t args;
		ex_fn fn;
	} table[] = {
	    {"startswith", 1, fn_startswith},
	    {"endswith", 1, fn_endswith},
	    {"ltrimstr", 1, fn_ltrimstr},
	    {"rtrimstr", 1, fn_rtrimstr},
	    {"ascii_downcase", 0, fn_downcase},
	    {"ascii_upcase", 0, fn_upcase},
	    {"contains", 1, fn_contains},
	    {"inside", 1, fn_inside},
	    {"length", 0, fn_length},
	    {"utf8bytelength", 0, fn_utf8bytelength},
	    {"tostring", 0, fn_tostring},
	    {"tonumber", 0, fn_tonumber},
	    {"type", 0, fn_type},
	    {"not", 0, fn_not},
	    {"has", 1, fn_has},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].args == args && strlen(table[i].name) == len &&
		    memcmp(table[i].name, name, len) == 0)
			return table[i].fn;
	return NULL;
}
