/* Expressions: native where it can be, libjq where it must. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expr_eval.h"
#include "mem.h"

#define TEXT_MAX 65536
#define OUT_MAX (64u << 20)

uint64_t expr_count_native, expr_count_jq;
bool expr_force_jq, expr_no_jq;

/* libjq's reason with the place our own parser stopped at. */
static void
say(const char *text, const struct jq_why *why, char *err, size_t errlen)
{
	char where[48];

	if (errlen == 0)
		return;
	jqx_where(text, why->at, where);
	snprintf(err, errlen, "%s: %s", where, why->text);
}

static bool
with_libjq(struct expr *e, struct jq_why *why)
{
	if (expr_no_jq) {
		why->text = "not native";
		return false;
	}
	if (e->jq == NULL && jqx_literals_safe(e->text, strlen(e->text), why))
		e->jq = jqrun_new(e->text, why);
	return e->jq != NULL;
}

static void
release_node(struct ex *x)
{
	free(x->kids);
	free(x->path);
	free((char *)(uintptr_t)x->s);
	ex_regex_free(x->regex);
	free(x);
}

void
expr_free(struct expr *e)
{
	if (e == NULL)
		return;
	for (size_t i = 0; i < e->n_all; i++)
		release_node(e->all[i]);
	free(e->all);
	while (e->ev.blocks != NULL) {
		struct scratch_block *b = e->ev.blocks;

		e->ev.blocks = b->next;
		free(b);
	}
	jqrun_free(e->jq);
	buf_release(&e->out);
	buf_release(&e->canon);
	free(e->text);
	free(e);
}

struct expr *
expr_compile(struct json_paths *ps, const char *text, char *err, size_t errlen)
{
	struct jq_why why = {0}, stop = {0};
	struct jq_prog *prog;
	struct expr *e;
	const char *paths_why = NULL;
	size_t len = strlen(text);

	if (len > TEXT_MAX) {
		snprintf(err, errlen, "expression too long");
		return NULL;
	}
	if (!jqx_check(text, len, &why)) {
		say(text, &why, err, errlen);
		return NULL;
	}
	e = xcalloc(1, sizeof(*e));
	e->text = xstrdup(text);
	buf_init(&e->out, OUT_MAX);
	buf_init(&e->canon, OUT_MAX);
	prog = jqx_parse(text, len, &stop);
	if (prog != NULL) {
		ex_compile(e, ps, prog, &paths_why);
		jqx_free(prog);
	}
	if (e->root == NULL && !with_libjq(e, &why)) {
		if (why.at == 0)
			why.at = stop.at;
		say(text, &why, err, errlen);
		expr_free(e);
		return NULL;
	}
	return e;
}

bool
expr_native(const struct expr *e)
{
	return e->root != NULL;
}

static void
fail(struct expr *e, struct expr_value *v, const char *why)
{
	buf_reset(&e->out);
	buf_str(&e->out, why);
	v->type = EXPR_ERROR;
	v->p = buf_cstr(&e->out);
	v->len = e->out.len;
}

/* Do all numbers of the text survive libjq? */
static bool
numbers_safe(const char *p, size_t len)
{
	const char *end = p + len;
	size_t n;

	while ((p = jqx_next_number(p, end, &n)) != NULL) {
		if (!jqx_number_safe(p, n))
			return false;
		p += n;
	}
	return true;
}

static const enum expr_type types[] = {
    [JSON_ABSENT] = EXPR_NONE,
    [JSON_NULL] = EXPR_NULL,
    [JSON_FALSE] = EXPR_FALSE,
    [JSON_TRUE] = EXPR_TRUE,
    [JSON_NUMBER] = EXPR_NUMBER,
    [JSON_STRING] = EXPR_STRING,
    [JSON_ARRAY] = EXPR_JSON,
    [JSON_OBJECT] = EXPR_JSON,
};

static void
by_libjq(struct expr *e, const struct record *rec, struct expr_value *v)
{
	struct json_span root = {rec->text, rec->len, JSON_OBJECT, 0}, dup;
	struct jq_why why = {0};
	enum json_type type = JSON_ABSENT;

	expr_count_jq++;
	if (!with_libjq(e, &why)) {
		fail(e, v, why.text);
		return;
	}
	buf_reset(&e->canon);
	if (!json_canonical(&e->canon, &root, &dup)) {
		fail(e, v, "member occurs twice");
		return;
	}
	if (e->canon.over) {
		fail(e, v, "record too large for libjq");
		return;
	}
	if (!numbers_safe(e->canon.p, e->canon.len)) {
		fail(e, v, "number has more digits than libjq can keep");
		return;
	}
	switch (jqrun_first(e->jq, rec->text, rec->len, &e->out, &type, NULL)) {
	case JQRUN_NONE:
		*v = (struct expr_value){EXPR_NONE, "", 0};
		return;
	case JQRUN_ERROR:
		v->type = EXPR_ERROR;
		break;
	case JQRUN_VALUE:
		v->type = types[type];
	}
	if (e->out.over) {
		fail(e, v, "result too large");
		return;
	}
	v->p = buf_cstr(&e->out);
	v->len = e->out.len;
}

static void
deliver(struct expr *e, const struct val *got, struct expr_value *v)
{
	v->p = got->p;
	v->len = got->len;
	switch (got->type) {
	case JSON_NULL:
		v->type = EXPR_NULL;
		break;
	case JSON_FALSE:
		v->type = EXPR_FALSE;
		break;
	case JSON_TRUE:
		v->type = EXPR_TRUE;
		break;
	case JSON_NUMBER:
		v->type = EXPR_NUMBER;
		break;
	case JSON_STRING:
		v->type = EXPR_STRING;
		val_str(&e->ev, got, &v->p, &v->len);
		break;
	default:
		v->type = EXPR_JSON;
	}
}

/* A path alone, found, and no work to do on it. */
static bool
plain_path(const struct expr *e, const struct record *rec, struct expr_value *v)
{
	const struct ex_path *path = e->root->path;
	const struct json_span *s = &rec->val[path->idx[path->n - 1]];
	size_t quote = s->type == JSON_STRING;

	if (s->type == JSON_ABSENT || s->flags != 0)
		return false;
	v->type = types[s->type];
	v->p = s->p + quote;
	v->len = s->len - 2 * quote;
	return true;
}

void
expr_eval(struct expr *e, const struct record *rec, struct expr_value *v)
{
	struct val got;

	if (e->root == NULL || expr_force_jq) {
		by_libjq(e, rec, v);
		return;
	}
	if (e->root->kind == EX_PATH && e->root->path->n > 0 &&
	    plain_path(e, rec, v)) {
		expr_count_native++;
		return;
	}
	e->ev.rec = rec;
	e->ev.root = (struct val){JSON_OBJECT, 0, true, rec->text, rec->len};
	switch (ex_first(&e->ev, e->root, &got)) {
	case EV_OK:
		deliver(e, &got, v);
		break;
	case EV_NONE:
		*v = (struct expr_value){EXPR_NONE, "", 0};
		break;
	case EV_ERR:
		fail(e, v, e->ev.why);
		break;
	default:
		by_libjq(e, rec, v);
		return;
	}
	expr_count_native++;
}

int
expr_true(struct expr *e, const struct record *rec, const char **why)
{
	struct expr_value v;

	expr_eval(e, rec, &v);
	if (v.type == EXPR_ERROR) {
		*why = v.p;
		return -1;
	}
	return v.type != EXPR_NONE && v.type != EXPR_NULL &&
	       v.type != EXPR_FALSE;
}
