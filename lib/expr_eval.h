/* Evaluation of the tree; shared by expr.c and expr_eval.c alone. */
#ifndef WEIR_EXPR_EVAL_H
#define WEIR_EXPR_EVAL_H

#include "expr_impl.h"

/* The first output. EV_OK, EV_NONE, EV_ERR (ev->why) or EV_PUNT: only libjq
 * knows. */
enum ev_result ex_first(struct eval *ev, const struct ex *x, struct val *out);

#endif
