/*
 * A JSON Schema (draft-07, the subset of ndjson-validate(1)), compiled once
 * and checked over raw bytes.
 */
#ifndef SCHEMA_H
#define SCHEMA_H

#include <regex.h>

#include "buf.h"
#include "conf.h"
#include "json.h"

enum {
	TYPE_INTEGER = 1 << 8, /* beside 1 << enum json_type */
	TYPE_ALL = 0xfe,
};

struct schema;

/* A member that the schema knows: in properties, required, or both. */
struct prop {
	const char *name; /* decoded */
	uint32_t len;
	uint32_t next; /* in its slot, plus 1 */
	uint64_t hash;
	const struct schema *schema; /* NULL: only required */
	bool required;
};

struct pattern_prop {
	regex_t re;
	const struct schema *schema;
};

/* Values in canonical form, sorted. */
struct text {
	char *p;
	size_t n;
};

enum format { FORMAT_NONE, FORMAT_DATE, FORMAT_DATE_TIME, FORMAT_UUID };

struct schema {
	const struct node *at;
	struct schema *made; /* all of a document, for the release */
	bool plain;          /* anything goes */
	bool never;
	bool members; /* has keywords for members or elements */
	bool whole;   /* has keywords that look at the value as a whole */
	bool report;  /* members it does not know are told */
	unsigned types;
	const struct schema *ref;

	struct text *values; /* enum, const */
	size_t n_values;
	bool has_values;

	/* strings */
	bool has_pattern;
	regex_t pattern;
	enum format format;
	uint64_t min_len, max_len;
	bool has_len;

	/* numbers: the digits of the schema */
	const struct node *min, *max, *above, *below, *multiple;

	/* arrays */
	const struct schema *items, *more_items, *contains;
	const struct schema **tuple;
	size_t n_tuple;
	uint64_t min_items, max_items;
	bool unique;

	/* objects */
	struct prop *props;
	size_t n_props, n_required;
	uint32_t *slots; /* index of the first prop, plus 1 */
	uint64_t mask;
	struct pattern_prop *patterns;
	size_t n_patterns;
	const struct schema *additional; /* NULL: all goes */
	const struct schema *names;
	uint64_t min_props, max_props;

	/* whole */
	const struct schema **all, **any, **one;
	size_t n_all, n_any, n_one;
	const struct schema *not_this, *if_this, *then, *otherwise;

	int colour; /* for the search for endless references */
};

#define PROPS_MAX 2048

/* Compiles the schema that stands at a node; NULL after a message. The
 * schemas of one document share `made`; free them by schemas_free. */
struct schemas {
	const struct conf *conf;
	struct schema *made;
};
const struct schema *schema_compile(struct schemas *s, const struct node *at);
void schemas_free(struct schemas *s);

uint64_t schema_hash(const char *p, size_t n);
const struct prop *schema_prop(
    const struct schema *s, const char *name, size_t n);

/* Told of a member that no schema of its object knows: the path of the object
 * and the member's name. */
struct checker {
	void (*unknown)(void *ctx, const struct schema *s, const char *path,
	    const char *name, size_t len);
	void *ctx;
	bool reject_unknown;
	const struct schema *also; /* knows members of the record, too */

	/* after schema_check gave false */
	struct buf why;    /* ".items[2].price: …" */
	const char *where; /* the failing value */

	struct buf scratch, subject, path;
	unsigned quiet, depth;
};
void checker_init(struct checker *c);
void checker_release(struct checker *c);
/* Over a valid JSON value at p. */
bool schema_check(struct checker *c, const struct schema *s, const char *p);

/* An ECMA regular expression as a POSIX one that works on UTF-8 bytes. NULL,
 * or why it cannot be had. */
const char *pattern_compile(regex_t *re, const char *s, size_t n);

#endif
