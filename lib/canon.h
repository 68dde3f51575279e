/*
 * The canonical form of a record in a hot loop: the same bytes as
 * json_canonical, without allocation, since most values of real records are
 * canonical as they stand and only their order is not.
 */
#ifndef WEIR_CANON_H
#define WEIR_CANON_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"
#include "json.h"

struct canon;
struct canon *canon_new(void);
void canon_free(struct canon *c);

/*
 * Appends the canonical form of the validated object, JSON_PAD readable bytes
 * behind it. Members of the object itself whose value starts at one of the
 * `skip` pointers (NULL ones are ignored) are left out. False where an object
 * has a key twice.
 */
bool canon_record(struct canon *c, struct buf *out,
    const struct json_span *object, const char *const *skip, size_t nskip);

#endif
