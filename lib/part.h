/*
 * Control records: what begins and ends a partition (weir-stream(5)). For the
 * reader, the filter loop and the tools that make partitions; no other tool
 * sees one.
 */
#ifndef WEIR_PART_H
#define WEIR_PART_H

#include "stream.h"

/* Owns the texts of a begin and an end. */
struct part_own {
	char *begin[6], *end[2];
	struct buf text;
};

/*
 * A begin record, validated JSON, into p; its span is copied too. NULL, or
 * what is wrong with it (static text). file and line are the caller's.
 */
const char *part_parse_begin(
    struct part_own *own, const struct json_span *rec, struct part *p);
/* An end record; e->end is the caller's span. e->records is what it says. */
const char *part_parse_end(
    struct part_own *own, const struct json_span *rec, struct part_end *e);
void part_release(struct part_own *own);

/*
 * The begin record once more, with more members (`,"kind":"x"`, or nothing)
 * in place of its own of these names. All others are kept byte for byte.
 */
void part_begin_again(
    struct buf *out, const struct part *p, const struct buf *extra);
/* The end record once more with these counts and the outcome, class and
 * reason of e. All other members of e->end are kept byte for byte. */
void part_end_again(struct buf *out, const struct part_end *e, uint64_t records,
    uint64_t rejected);

#endif
