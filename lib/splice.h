/*
 * A record with slices replaced and members removed, everything else byte for
 * byte. Changes may come in any order; a change inside a removed or replaced
 * slice is dropped with it. Commas are put right.
 */
#ifndef WEIR_SPLICE_H
#define WEIR_SPLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "json.h"

struct change {
	uint32_t from, to; /* of the record */
	uint32_t at, len;  /* of text */
	bool drop;
};

struct splice {
	struct change *list;
	size_t n, cap;
	struct buf text; /* the new slices */
};

void splice_init(struct splice *s, size_t max_text);
void splice_reset(struct splice *s);
void splice_release(struct splice *s);

/* The value v of the (validated) record at `record` becomes these bytes. */
void splice_replace(struct splice *s, const char *record,
    const struct json_span *v, const void *p, size_t n);
/* The member whose value is v goes, with its key; or the element. */
void splice_drop_member(
    struct splice *s, const char *record, const struct json_span *v);
void splice_drop_element(
    struct splice *s, const char *record, const struct json_span *v);
/* The bytes from p on, n of them, become these. */
void splice_bytes(struct splice *s, const char *record, const char *from,
    size_t len, const void *p, size_t n);

/* Puts the changes so far in order of their places. */
void splice_sort(struct splice *s);
/* Sorts the changes and sees to the commas; once, before splice_apply. */
void splice_resolve(struct splice *s, const char *record);
/* Appends the changed record. */
void splice_apply(
    const struct splice *s, const char *record, size_t len, struct buf *out);

/* The opening quote of the key of a member's value. */
const char *splice_key(const char *value);

#endif
