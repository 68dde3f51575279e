/* What the parts of bq-query share. */
#ifndef BQ_QUERY_H
#define BQ_QUERY_H

#include "bq.h"
#include "stream.h"

enum { PARAMS_MAX = 100 };

struct params {
	struct bq_param p[PARAMS_MAX];
	size_t n;
};

/* name=value or name:TYPE=value into the next parameter. NULL, or what is
 * wrong (static). The texts are copied. */
const char *param_take(struct params *ps, const char *text);
void params_release(struct params *ps);
/* What tells one set of parameters from another. */
void params_print(const struct params *ps, struct buf *out);

#endif
