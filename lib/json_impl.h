/*
 * What the parts of the JSON module share: the compiled paths, the state of a
 * kernel's sweep, and the walk over validated text.
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
	uint64_t head, head_mask; /* first 8 bytes of `value"` */
	bool same_name;           /* as the first SELECT among the siblings */
	bool counts;              /* has an INDEX child */
	size_t n;                 /* INDEX */
	unsigned order;           /* among the siblings */
	int path;                 /* the path that ends here, -1 for none */
	struct path_node *child, *next;
};

struct json_paths {
	struct path_node root;
	char **text;
	struct path_node **end; /* node of each path */
	int count, cap;
};

/* Which children of one node were met. */
#define PATH_CHILDREN 512 /* most children of one node */
struct seen {
	uint64_t bits[PATH_CHILDREN / 64];
};

static inline bool
json_seen(struct seen *s, const struct path_node *n)
{
	uint64_t bit = 1ull << n->order % 64, *word = &s->bits[n->order / 64];
	bool was = (*word & bit) != 0;

	*word |= bit;
	return was;
}

/* Flags every path at or below the node: its member occurs twice. */
void json_duplicate(const struct path_node *n, struct json_span *vals);

/* Finds all paths below node (whose value is v) by walking the text. */
void json_resolve(const struct path_node *node, const struct json_span *v,
    struct json_span *vals);

/* End of the string that starts at p (its opening quote); flags gets
 * JSON_ESCAPED. The text is valid, so the end is there. */
const char *json_string_end(const char *p, uint8_t *flags);

/* Is it all UTF-8? */
bool json_utf8(const char *p, size_t n);

static inline const char *
json_blanks(const char *p)
{
	while (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')
		p++;
	return p;
}

/*
 * The kernels (json_kernel.h). Bit i of a mask is byte i of a block of 64.
 */
struct masks {
	uint64_t quote, backslash, newline, open, close, colon, comma;
	uint64_t blank;   /* space, tab, CR */
	uint64_t control; /* under 0x20 */
	uint64_t high;    /* over 0x7f */
	uint64_t square;  /* of open and close: [ and ] */
};

/* What one block hands to the next. */
struct carries {
	uint64_t escape, string, region, comma, open, colon, body;
};

enum {
	SWEEP_DEPTH = 60,   /* deeper rows go the exact way */
	SWEEP_SLACK = 128,  /* stack levels below 0, for wrong input */
	SWEEP_LIST = 32768, /* brackets */
	SWEEP_KEEP = 512,
	SWEEP_COLS = 4096,
};

struct sweep {
	const char *next; /* where the sweep goes on; NULL: it begins anew */
	const char *base, *block;
	struct carries carry;
	unsigned char utf8[64]; /* the kernel's own */

	/* of the block */
	uint64_t colons;   /* after keys of the record, not looked at yet */
	uint64_t newlines; /* not looked at yet */
	uint64_t bracket_mask, high_mask;
	const char *low_half; /* where a surrogate pair's second half must be */
	bool bad, high, backslash, row_backslash;
	bool key_escape; /* a backslash in a key */

	/* brackets: offset from base, place of the partner */
	int depth;
	uint64_t kinds;  /* bit 0: the container is an array */
	uint32_t n, row; /* entries; first one of the row */
	uint32_t stack[SWEEP_SLACK + SWEEP_DEPTH + 128];
	uint32_t pos[SWEEP_LIST + 64], match[SWEEP_LIST + 64];

	unsigned cols; /* colons after keys of the row: offset from base */
	uint32_t col[SWEEP_COLS];
};

/* The wanted top-level members, found by their last two bytes (of "a": the
 * quote and the a). */
struct key_slot {
	uint64_t tail, mask; /* last eight bytes; which of them count */
	size_t len;
	const char *name;
	const struct path_node *node;
	const struct key_slot *next;
};

struct key_table {
	const struct key_slot *slot[256];
};

static inline unsigned
key_hash(uint16_t last)
{
	return (uint16_t)(last * 0x9e37u) >> 8;
}

struct json_kernel {
	const char *name;
	bool (*row)(struct sweep *w, const struct key_table *t,
	    const char *line, const char **next, struct json_span *vals);
};

extern const struct json_kernel json_kernel_portable;
#ifdef __x86_64__
extern const struct json_kernel json_kernel_sse2, json_kernel_avx2,
    json_kernel_avx512;
#endif

#endif
