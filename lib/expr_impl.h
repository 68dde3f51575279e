/*
 * What the parts of the expression module share: the tree that is evaluated,
 * values while it is, and the functions over values.
 *
 * An expression may have several outputs (`.a[]`, `,`), so evaluation hands
 * them to a sink; nodes with at most one (`single`) have a shorter way.
 */
#ifndef WEIR_EXPR_IMPL_H
#define WEIR_EXPR_IMPL_H

#include "buf.h"
#include "expr.h"
#include "jqparse.h"
#include "jqrun.h"

enum ex_kind {
	EX_CONST,
	EX_PATH,  /* from the record: path */
	EX_DOT,   /* the input */
	EX_FIELD, /* .s of the input */
	EX_INDEX, /* .[from] of the input */
	EX_SLICE, /* .[from:to] of the input */
	EX_ITER,
	EX_TRY,
	EX_PIPE,
	EX_COMMA,
	EX_BIN,
	EX_AND,
	EX_OR,
	EX_ALT,
	EX_IF,
	EX_NEG,
	EX_SELECT, /* kids[0]: condition; kids[1]: what follows */
	EX_FIRST,
	EX_ANY, /* kids[0] generator, kids[1] condition */
	EX_ALL,
	EX_IN,    /* kids[0] yields the input? */
	EX_KEYED, /* path: the element; kids[0]: of it; kids[1]: long way */
	EX_COUNT, /* number of outputs of kids[0] */
	EX_SUM,   /* their sum */
	EX_INTERP,
	EX_TYPES, /* select by type: mask */
	EX_EMPTY,
	EX_CALL,  /* fn(input, kids[0]) */
	EX_SPLIT, /* split(s)[from] */
	EX_TEST,  /* test(regular expression of literals) */
};

enum ev_result { EV_OK, EV_NONE, EV_ERR, EV_PUNT, EV_STOP };

/* A string is raw (as in the text, with quotes) or decoded. */
struct val {
	uint8_t type; /* enum json_type */
	uint8_t flags;
	bool raw;
	const char *p;
	size_t len;
};

/* The steps from the root of the record; idx[i] is the path of i+1 steps. */
#define PATH_MAX_STEPS 12
struct ex_path {
	int n;
	int idx[PATH_MAX_STEPS];
	uint8_t step[PATH_MAX_STEPS]; /* 'm', 'i', 'k' */
	bool optional;                /* of EX_KEYED: .[]? */
};

struct ex;
struct eval;
typedef enum ev_result (*ex_fn)(struct eval *ev, const struct val *in,
    const struct val *arg, struct val *out);

struct ex {
	enum ex_kind kind;
	enum jq_op op;
	bool single; /* at most one output */
	bool total;  /* and at least one, or an error */
	bool has_from, has_to;
	bool quick; /* EX_BIN: path ==, != text */
	int32_t from, to;
	unsigned mask;
	size_t count;
	struct ex **kids;
	struct ex_path *path;
	const char *s; /* NUL-terminated */
	size_t n;
	struct val lit;
	ex_fn fn;
	struct ex_regex *regex;
};

/* An alternative of a regular expression made of literals. */
struct ex_alt {
	char *s;
	size_t n;
	bool at_start, at_end;
};
struct ex_regex {
	struct ex_alt *alt;
	size_t n;
	bool fold;  /* "i" */
	bool lines; /* has an anchor or .*: not for text with newlines */
};
struct ex_regex *ex_regex_new(
    const char *s, size_t n, const char *flags, size_t nflags);
void ex_regex_free(struct ex_regex *r);
enum ev_result ex_regex_test(struct eval *ev, const struct ex_regex *r,
    const struct val *in, struct val *out);

/* Memory of one evaluation; blocks are kept for the next. */
struct scratch_block {
	struct scratch_block *next;
	size_t size;
	char data[];
};
struct eval {
	const struct record *rec;
	struct val root;
	const char *why;
	bool fatal; /* an error of the record: no ? hides it */
	struct scratch_block *blocks, *at;
	size_t used;
	unsigned depth;
};
void *ev_alloc(struct eval *ev, size_t n);
enum ev_result ev_error(struct eval *ev, const char *why);
enum ev_result ev_fatal(struct eval *ev, const char *why);

struct expr {
	char *text;
	struct ex *root; /* NULL: not native */
	struct ex **all; /* for the release */
	size_t n_all, cap_all;
	struct jqrun *jq;
	struct buf out, canon;
	struct eval ev;
};

/* For fuzzing: what is not native is refused, libjq is never asked. */
extern bool expr_no_jq;

/* The tree for evaluation, NULL where libjq must do it; *why and false: the
 * paths do not fit. */
bool ex_compile(struct expr *e, struct json_paths *ps, struct jq_prog *prog,
    const char **why);

/* Values. */
struct val val_span(const struct json_span *s);
struct val val_text(const char *p, size_t n); /* decoded string */
struct val val_bool(bool b);
static inline bool
val_true(const struct val *v)
{
	return v->type != JSON_NULL && v->type != JSON_FALSE;
}
/* Decoded bytes of a string. */
void val_str(struct eval *ev, const struct val *v, const char **p, size_t *n);
/* -1, 0, 1 in jq's order; EV_PUNT for two arrays or objects. */
enum ev_result val_cmp(
    struct eval *ev, const struct val *a, const struct val *b, int *c);
enum ev_result val_equal(
    struct eval *ev, const struct val *a, const struct val *b, bool *equal);
enum ev_result val_bin(struct eval *ev, enum jq_op op, const struct val *a,
    const struct val *b, struct val *out);
enum ev_result val_neg(struct eval *ev, const struct val *a, struct val *out);
enum ev_result val_tostring(
    struct eval *ev, const struct val *a, struct val *out);
enum ev_result val_slice(
    struct eval *ev, const struct ex *x, const struct val *in, struct val *out);
enum ev_result val_split(
    struct eval *ev, const struct ex *x, const struct val *in, struct val *out);

/* The function of a name and number of arguments; NULL: not ours. */
ex_fn ex_function(const char *name, size_t len, size_t args);

#endif
