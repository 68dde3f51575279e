/*
 * What the parts of the JSON module share: the compiled paths, the index a
 * kernel makes of a row, and the walk over validated text.
 */
#ifndef WEIR_JSON_IMPL_H
#define WEIR_JSON_IMPL_H

#include "json.h"

/*
 * A path is a chain of steps; equal beginnings share their nodes. The root's
 * children are members of the record.
 */
enum step { STEP_MEMBER, STEP_SELECT, STEP_INDEX };

struct path_node {
	enum step step;
	char *name; /* MEMBER: the member; SELECT: the key's member */
	size_t name_len;
	char *value; /* SELECT: the wanted value */
	size_t value_len;
	char *probe; /* SELECT: `"name":"value"` */
	size_t probe_len;
	size_t n; /* INDEX */
	int path; /* the path that ends here, -1 for none */
	struct path_node *child, *next;
};

struct json_paths {
	struct path_node root;
	char **text;
	struct path_node **end; /* node of each path */
	int count, cap;
};

/* Finds all paths below node (whose value is v) by walking the text. */
void json_resolve(const struct path_node *node, const struct json_span *v,
    struct json_span *vals);

/* End of the string that starts at p (its opening quote); flags gets
 * JSON_ESCAPED. The text is valid, so the end is there. */
const char *json_string_end(const char *p, uint8_t *flags);

static inline const char *
json_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')
		p++;
	return p;
}

#endif
