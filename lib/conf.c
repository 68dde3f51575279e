/* Configuration: jq programs of literals natively, others by libjq. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "conf.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "jqparse.h"
#include "jqrun.h"
#include "mem.h"

#define CONF_MAX (16u << 20)

static int
wrong_at(const char *file, const char *text, const struct jq_why *why)
{
	char where[48];

	jqx_where(text, why->at, where);
	warn_msg(file, "%s: %s", where, why->text);
	return RC_CONFIG;
}

/* libjq keeps the last of two members of one name in silence. */
static const struct jq_node *
twin(const struct jq_node *n)
{
	const struct jq_node *hit;

	for (size_t i = 0; i < n->count; i++) {
		hit = twin(n->kids[i]);
		if (hit != NULL)
			return hit;
		for (size_t k = 0; n->keys != NULL && k < i; k++)
			if (n->keys[i]->n == n->keys[k]->n &&
			    memcmp(n->keys[i]->s, n->keys[k]->s,
				n->keys[i]->n) == 0)
				return n->keys[i];
	}
	return NULL;
}

/* RC_OK with the JSON in out, RC_CONFIG said, -1: it needs libjq. */
static int
natively(const char *file, const struct buf *text, struct buf *out,
    struct jq_why *stop)
{
	struct jq_why why;
	struct jq_prog *p = jqx_parse(text->p, text->len, stop);
	const struct jq_node *root;
	int rc = -1;

	if (p == NULL)
		return -1;
	root = twin(jqx_root(p));
	if (root != NULL) {
		why.at = root->at;
		why.text = "member occurs twice";
		rc = wrong_at(file, text->p, &why);
	} else {
		root = jqx_constant(p, jqx_root(p));
		if (root != NULL) {
			jqx_print(out, root);
			rc = RC_OK;
		}
	}
	jqx_free(p);
	return rc;
}

static int
by_libjq(const char *file, const struct buf *text, struct buf *out,
    const struct jq_why *stop)
{
	struct jq_why why;
	struct jqrun *r;
	enum json_type type;
	enum jqrun_result res;
	bool more = false;

	if (!jqx_literals_safe(text->p, text->len, &why))
		return wrong_at(file, text->p, &why);
	r = jqrun_new(text->p, &why);
	if (r == NULL) {
		/* libjq knows the reason, our own parser the place */
		why.at = stop->at;
		return wrong_at(file, text->p, &why);
	}
	res = jqrun_first(r, NULL, 0, out, &type, &more);
	if (res == JQRUN_ERROR)
		warn_msg(file, "%s", buf_cstr(out));
	else if (res == JQRUN_NONE)
		warn_msg(file, "the program yields nothing");
	else if (more)
		warn_msg(file, "the program yields more than one value");
	else if (type == JSON_STRING)
		warn_msg(file, "the program yields a string, not an object");
	jqrun_free(r);
	return res == JQRUN_VALUE && !more && type != JSON_STRING ? RC_OK
								  : RC_CONFIG;
}

/* The JSON that the file yields. */
static int
yield(const char *file, const struct buf *text, struct buf *out)
{
	struct json_error e;
	struct jq_why why, stop = {0};
	int rc;

	if (json_check(text->p, text->len, false, &e)) {
		buf_add(out, text->p, text->len);
		return RC_OK;
	}
	if (!jqx_check(text->p, text->len, &why))
		return wrong_at(file, text->p, &why);
	rc = natively(file, text, out, &stop);
	return rc >= 0 ? rc : by_libjq(file, text, out, &stop);
}

static int
digest(struct conf *c, const struct buf *json)
{
	struct buf canon = BUF_INIT(4 * CONF_MAX);
	struct json_span root = json_value(json->p), dup;
	unsigned char sum[SHA_LEN];

	if (!json_canonical(&canon, &root, &dup) || canon.over) {
		warn_msg(c->file, "too large");
		buf_release(&canon);
		return RC_CONFIG;
	}
	sha256_one(canon.p, canon.len, sum);
	sha_hex(sum, c->sha256);
	buf_release(&canon);
	return RC_OK;
}

static int
build(struct conf *c, struct buf *json)
{
	struct json_error e;

	buf_cstr(json);
	if (json->over) {
		warn_msg(c->file, "too large");
		return RC_CONFIG;
	}
	c->tree = tree_parse(json->p, json->len, &e);
	if (c->tree == NULL) {
		warn_msg(c->file, "%s", e.reason);
		return RC_CONFIG;
	}
	c->root = tree_root(c->tree);
	if (c->root->type != JSON_OBJECT) {
		warn_msg(c->file, "the program yields %s, not an object",
		    node_type_word(c->root->type));
		return RC_CONFIG;
	}
	return digest(c, json);
}

int
conf_load(const char *file, struct conf **out)
{
	struct buf text = BUF_INIT(CONF_MAX + 1);
	struct buf json = BUF_INIT(4 * CONF_MAX);
	struct conf *c = NULL;
	int rc = RC_CONFIG;

	*out = NULL;
	if (file_read(file, CONF_MAX, &text) != RC_OK)
		goto done;
	buf_cstr(&text);
	if (yield(file, &text, &json) != RC_OK)
		goto done;
	c = xcalloc(1, sizeof(*c));
	c->file = xstrdup(file);
	rc = build(c, &json);
	if (rc != RC_OK)
		conf_free(c);
	else
		*out = c;
done:
	buf_release(&text);
	buf_release(&json);
	return rc;
}

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	tree_free(c->tree);
	free(c->file);
	free(c);
}

void
conf_wrong(const struct conf *c, const struct node *at, const char *fmt, ...)
{
	char *path = node_path(at == NULL ? c->root : at);
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	warn_msg(c->file, "%s: %s", path, text);
	free(path);
}

/* The member, if it is there and of one of the types. */
static const struct node *
typed(const struct conf *c, const struct node *at, const char *name,
    enum json_type a, enum json_type b, const char *want, bool *bad)
{
	const struct node *n = node_get(at, name);

	if (n == NULL || n->type == a || n->type == b)
		return n;
	conf_wrong(c, n, "%s expected, not %s", want, node_type_word(n->type));
	*bad = true;
	return NULL;
}

const char *
conf_str(const struct conf *c, const struct node *at, const char *name,
    const char *def, bool *bad)
{
	const struct node *n =
	    typed(c, at, name, JSON_STRING, JSON_STRING, "a string", bad);

	if (n != NULL && memchr(n->text, '\0', n->len) != NULL) {
		conf_wrong(c, n, "NUL in a string");
		*bad = true;
		return def;
	}
	return n == NULL ? def : n->text;
}

int64_t
conf_int(const struct conf *c, const struct node *at, const char *name,
    int64_t def, bool *bad)
{
	const struct node *n =
	    typed(c, at, name, JSON_NUMBER, JSON_NUMBER, "an integer", bad);
	int64_t v;

	if (n == NULL)
		return def;
	if (!node_i64(n, &v)) {
		conf_wrong(c, n, "an integer expected, not '%.60s'", n->text);
		*bad = true;
		return def;
	}
	return v;
}

bool
conf_bool(const struct conf *c, const struct node *at, const char *name,
    bool def, bool *bad)
{
	const struct node *n =
	    typed(c, at, name, JSON_TRUE, JSON_FALSE, "true or false", bad);

	return n == NULL ? def : n->type == JSON_TRUE;
}

const struct node *
conf_list(
    const struct conf *c, const struct node *at, const char *name, bool *bad)
{
	return typed(c, at, name, JSON_ARRAY, JSON_ARRAY, "an array", bad);
}

const struct node *
conf_map(
    const struct conf *c, const struct node *at, const char *name, bool *bad)
{
	return typed(c, at, name, JSON_OBJECT, JSON_OBJECT, "an object", bad);
}

void
conf_only(const struct conf *c, const struct node *at, const char *const *names,
    bool *bad)
{
	for (const struct node *n = at->child; n != NULL; n = n->next) {
		const char *const *name = names;

		while (*name != NULL &&
		       (strlen(*name) != n->key_len ||
			   memcmp(*name, n->key, n->key_len) != 0))
			name++;
		if (*name != NULL)
			continue;
		conf_wrong(c, n, "unknown member");
		*bad = true;
	}
}
