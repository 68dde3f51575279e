/*
 * The part of the jq language that weir evaluates itself, as a tree.
 *
 * jqx_check looks at the words of any program: it must be UTF-8, its quotes
 * and brackets must be well-formed, it must have a body, and it must not use
 * what a configuration or an expression may not (the environment, more input,
 * the clock, files, endless generators, recursion). jqx_parse then gives the
 * tree, with definitions and constant variables put in place, or NULL where the
 * program needs libjq (or is wrong: libjq says so).
 */
#ifndef WEIR_JQPARSE_H
#define WEIR_JQPARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"

enum jq_kind {
	JQ_DOT,
	JQ_LIT,   /* type, s, n: number's text or string, decoded */
	JQ_FIELD, /* .s, of the input */
	JQ_INDEX, /* .[from] */
	JQ_SLICE, /* .[from:to] */
	JQ_ITER,  /* .[] */
	JQ_TRY,   /* kid? */
	JQ_PIPE,  /* kids[0] | kids[1] */
	JQ_COMMA, /* kids, two or more */
	JQ_BIN,   /* kids[0] op kids[1] */
	JQ_AND,
	JQ_OR,
	JQ_ALT, /* kids[0] // kids[1] */
	JQ_IF,  /* if kids[0] then kids[1] else kids[2] */
	JQ_NEG,
	JQ_CALL,   /* s(kids; ...) */
	JQ_INTERP, /* "kids" put together */
	JQ_ARR,    /* [kids[0]], no kid: [] */
	JQ_OBJ,    /* keys[i] is a string literal, kids[i] its value */
	JQ_PARAM,  /* only within a definition */
};

/* Operators of JQ_BIN. */
enum jq_op { OP_ADD, OP_SUB, OP_MUL, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE };

struct jq_node {
	enum jq_kind kind;
	enum jq_op op;
	enum json_type type;
	bool
	    folded; /* a constant, worked out: the kids of JQ_ARR are its elements */
	bool has_from, has_to;
	int32_t from, to;
	const char *s;
	size_t n;
	size_t count;
	struct jq_node **kids;
	struct jq_node **keys;
	const void *def; /* of JQ_PARAM */
	size_t at;
};

/* Where (byte, from 0) and why. The text is static or lives in `room`. */
struct jq_why {
	size_t at;
	const char *text;
	char room[160];
};

bool jqx_check(const char *text, size_t len, struct jq_why *why);

struct jq_prog;
struct jq_prog *jqx_parse(const char *text, size_t len, struct jq_why *why);
struct jq_node *jqx_root(const struct jq_prog *p);
void jqx_free(struct jq_prog *p);

/* Memory that lasts as long as the program. */
void *jqx_alloc(struct jq_prog *p, size_t n);
struct jq_node *jqx_string(struct jq_prog *p, const char *s, size_t n);

/*
 * A program of literals, worked out: `+` of numbers, strings, arrays and
 * objects, signs. NULL where it is no constant. The result has only JQ_LIT,
 * JQ_ARR (kids are the elements) and JQ_OBJ (each key once, the last wins).
 */
struct jq_node *jqx_constant(struct jq_prog *p, const struct jq_node *n);
/* Appends a constant as JSON. */
void jqx_print(struct buf *out, const struct jq_node *constant);

/* Would libjq's doubles keep the digits of this JSON number? */
bool jqx_number_safe(const char *p, size_t n);
/* And those of all numbers written in a program? */
bool jqx_literals_safe(const char *text, size_t len, struct jq_why *why);

/*
 * Does every libjq, and num_canonical, print this number as it is spelled?
 * Up to 15 digits, no exponent, no useless zero, nothing under 0.0001.
 */
bool jqx_number_plain(const char *p, size_t n);
/* The next number from p on, outside of strings; NULL: none. Valid JSON. */
const char *jqx_next_number(const char *p, const char *end, size_t *n);
/*
 * Appends the program with its other numbers in canonical form, so made that
 * libjq 1.7 takes them for doubles and forgets how they were written.
 */
void jqx_plain_literals(struct buf *out, const char *text, size_t len);

/* "line 2, column 7" of a byte; room of 48. */
void jqx_where(const char *text, size_t at, char *room);

#endif
