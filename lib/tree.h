/*
 * A JSON document as a tree, for configuration and schemas only (records are
 * never parsed into trees). Text is kept decoded and NUL-terminated; numbers
 * keep their digits. One arena, freed at once.
 */
#ifndef WEIR_TREE_H
#define WEIR_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"

struct node {
	enum json_type type;
	const char *key; /* of a member; NULL in arrays and at the root */
	size_t key_len;
	const char *text; /* string, decoded; number, its digits */
	size_t len;
	size_t count; /* of members or elements */
	size_t index; /* among its siblings */
	struct node *parent, *child, *next;
};

struct tree;
/* NULL and *e for bad JSON, or an object with a key twice. */
struct tree *tree_parse(const char *p, size_t n, struct json_error *e);
struct node *tree_root(const struct tree *t);
void tree_free(struct tree *t);

/* The member, NULL if it is not there (or null is given). */
struct node *node_get(const struct node *object, const char *name);
/* ".metrics[3].name"; caller frees. */
char *node_path(const struct node *n);
const char *node_type_word(enum json_type t);
bool node_i64(const struct node *n, int64_t *v);

#endif
