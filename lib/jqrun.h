/*
 * libjq behind a fence: no environment, no files, no ~/.jq, nothing printed,
 * the first output only. Numbers lose their spelling on the way in, so that all
 * versions say the same, and come out in canonical form. A wrong program, a
 * failed run and a number that a double cannot hold are told in words.
 */
#ifndef WEIR_JQRUN_H
#define WEIR_JQRUN_H

#include "jqparse.h"

struct jqrun;

/* Programs given to libjq so far: its start costs more than all else here. */
extern uint64_t jqrun_count;

/*
 * Compiles (libjq 1.6 takes 14 ms for it). The text must have passed
 * jqx_check. NULL and *why, whose place is only known when it is not 0.
 */
struct jqrun *jqrun_new(const char *text, struct jq_why *why);

enum jqrun_result { JQRUN_NONE, JQRUN_VALUE, JQRUN_ERROR };

/*
 * Runs over a valid JSON text (NULL: null). Where more is given it tells if
 * there was another output. JQRUN_VALUE: the output is in
 * *out as JSON, its type in *type, a string decoded. JQRUN_ERROR: *out holds
 * why, without control characters.
 */
enum jqrun_result jqrun_first(struct jqrun *r, const char *json, size_t len,
    struct buf *out, enum json_type *type, bool *more);

void jqrun_free(struct jqrun *r);

#endif
