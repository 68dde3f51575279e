/*
 * Configuration: a jq program that yields one object (plain JSON is one).
 *
 * A program made of literals only (objects, arrays, strings, numbers,
 * comments, `+` of them) is evaluated here, in microseconds; anything else by
 * libjq, without $ENV, env, input, import, include, ~/.jq and now. Errors say
 * the file and the path of the member.
 */
#ifndef WEIR_CONF_H
#define WEIR_CONF_H

#include "sha.h"
#include "tree.h"

struct conf {
	char *file;
	struct tree *tree;
	struct node *root; /* always an object */
	char sha256[SHA_HEX + 1]; /* of the yielded object, canonical form */
};

/* RC_OK, or RC_CONFIG after a message. */
int conf_load(const char *file, struct conf **out);
void conf_free(struct conf *c);

/*
 * Typed access below a node; a wrong type is said ("tool: FILE: .a.b: text")
 * and sets *bad. Missing members give the default.
 */
const char *conf_str(const struct conf *c, const struct node *at,
    const char *name, const char *def, bool *bad);
int64_t conf_int(const struct conf *c, const struct node *at,
    const char *name, int64_t def, bool *bad);
bool conf_bool(const struct conf *c, const struct node *at, const char *name,
    bool def, bool *bad);
/* An array or object member, NULL where missing. */
const struct node *conf_list(const struct conf *c, const struct node *at,
    const char *name, bool *bad);
const struct node *conf_map(const struct conf *c, const struct node *at,
    const char *name, bool *bad);
/* Says "tool: FILE: PATH: text". */
void conf_wrong(const struct conf *c, const struct node *at, const char *fmt,
    ...) __attribute__((format(printf, 3, 4)));
/* Every member of the object must be one of the names (NULL-ended); others
 * are said and set *bad. */
void conf_only(const struct conf *c, const struct node *at,
    const char *const *names, bool *bad);

#endif
