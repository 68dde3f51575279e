#include "jqshape.h"

#include <string.h>

bool
jqx_is_call(const struct jq_node *n, const char *name, size_t args)
{
	return n->kind == JQ_CALL && n->count == args && n->n == strlen(name) &&
	       memcmp(n->s, name, n->n) == 0;
}

bool
jqx_is_string(const struct jq_node *n)
{
	return n->kind == JQ_LIT && n->type == JSON_STRING;
}

bool
jqx_keyed(const struct jq_node *n, const struct jq_node **name,
    const struct jq_node **text)
{
	const struct jq_node *eq;

	if (!jqx_is_call(n, "select", 1) || n->kids[0]->kind != JQ_BIN ||
	    n->kids[0]->op != OP_EQ)
		return false;
	eq = n->kids[0];
	*name = eq->kids[jqx_is_string(eq->kids[0]) ? 1 : 0];
	*text = eq->kids[jqx_is_string(eq->kids[0]) ? 0 : 1];
	return (*name)->kind == JQ_FIELD && jqx_is_string(*text);
}

static bool
flatten(struct jq_stages *s, const struct jq_node *n, int depth)
{
	if (n->kind == JQ_PIPE)
		return depth < STAGES_MAX &&
		       flatten(s, n->kids[0], depth + 1) &&
		       flatten(s, n->kids[1], depth + 1);
	if (s->n == STAGES_MAX)
		return false;
	s->v[s->n++] = n;
	return true;
}

bool
jqx_stages(struct jq_stages *s, const struct jq_node *n)
{
	return flatten(s, n, 0);
}
