/* Shapes of an expression's tree that every one who compiles it looks for. */
#ifndef WEIR_JQSHAPE_H
#define WEIR_JQSHAPE_H

#include "jqparse.h"

bool jqx_is_call(const struct jq_node *n, const char *name, size_t args);
bool jqx_is_string(const struct jq_node *n); /* a literal */

/* select(.key == "X"), either way round: the JQ_FIELD and the literal. */
bool jqx_keyed(const struct jq_node *n, const struct jq_node **name,
    const struct jq_node **text);

/* The parts of a pipe in a row. */
#define STAGES_MAX 64
struct jq_stages {
	const struct jq_node *v[STAGES_MAX];
	size_t n;
};
/* Appends those of n; false: they are too many. */
bool jqx_stages(struct jq_stages *s, const struct jq_node *n);

#endif
