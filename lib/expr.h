/*
 * Expressions: jq text over a record, native where its shape is common.
 *
 * Paths, literals, comparisons, and/or/not, //, string tests, arithmetic on
 * numbers and select over a keyed array are evaluated over spans, exactly
 * (numbers as decimals, never doubles); everything else by libjq. Both give
 * what jq's first output would be; a program without output gives EXPR_NONE.
 * $ENV, env, input, inputs, debug, input_filename, now, import, include,
 * limit-less generators (range/0, repeat, while, until, recurse with f) and
 * $__loc__ are refused when compiled. Where libjq would lose digits of a
 * number the record is refused (EXPR_ERROR).
 */
#ifndef WEIR_EXPR_H
#define WEIR_EXPR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "stream.h"

enum expr_type {
	EXPR_NONE, /* no output */
	EXPR_NULL,
	EXPR_FALSE,
	EXPR_TRUE,
	EXPR_NUMBER, /* p, len: its text, exact */
	EXPR_STRING, /* p, len: decoded bytes, no quotes */
	EXPR_JSON, /* array or object: JSON text */
	EXPR_ERROR, /* p: why (NUL-terminated) */
};

struct expr_value {
	enum expr_type type;
	const char *p; /* valid until the expression is evaluated again */
	size_t len;
};

struct expr;
/*
 * Compiles; the paths it reads are added to ps (so compile all expressions
 * before the scanner is made). NULL and err for what is refused.
 */
struct expr *expr_compile(struct json_paths *ps, const char *text, char *err,
    size_t errlen);
bool expr_native(const struct expr *e);
/* rec->val are the spans of ps. */
void expr_eval(struct expr *e, const struct record *rec, struct expr_value *v);
/* jq's truth: false, null and no output are false. EXPR_ERROR gives -1. */
int expr_true(struct expr *e, const struct record *rec, const char **why);
void expr_free(struct expr *e);

/* Evaluations so far in this process, for WEIR_STATS. */
extern uint64_t expr_count_native, expr_count_jq;

/* Forces libjq for all that follow: for the differential test. */
extern bool expr_force_jq;

#endif
