/*
 * What answers of Google's APIs mean (BigQuery's reasons first, the status
 * second), for the tools that talk to them.
 */
#ifndef WEIR_GOOGLE_H
#define WEIR_GOOGLE_H

#include "http.h"

/* A judge for http_request: http_judge, and 404 is HTTP_GONE, 409 is
 * HTTP_EXISTS, a quota that is spent for hours is given up at once (75),
 * errors that no waiting cures are final. */
enum verdict google_judge(
    void *ctx, const struct http_answer *a, struct http_judgement *out);
/* $VAR or the fallback, without slashes at its end; the caller frees it. */
char *google_base(const char *option, const char *var, const char *fallback);

#endif
