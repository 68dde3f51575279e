/*
 * A page of an API, as a stream: {"data":[{…},…],"paging":{…}}. The elements
 * of one array are cut out as raw slices, one object a line, and everything
 * else of the page is kept as a small document. Memory is that of one element
 * (max_line), not of the page. The whole page is validated; nothing is given
 * out by the caller before page_end said RC_OK.
 */
#ifndef WEIR_PAGE_H
#define WEIR_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "json.h"

struct page;
/* array: the path of the array ("data", "rows"); each element is given to
 * `element` as compact text as it stands (line breaks in it become blanks).
 * A non-zero return of `element` ends the page with that status. */
struct page *page_new(const char *array, size_t max_line,
    int (*element)(void *ctx, const char *text, size_t len), void *ctx);
/*
 * A reader of elements that validates what it takes, asked first: the element
 * at text ends somewhere, perhaps behind `end`, where JSON_PAD more bytes can
 * be read. It gives the place after the element, or NULL, having done nothing:
 * then the element is found, checked and given to `element`. Of a page that
 * is refused it may have taken the element before the fault.
 */
void page_quick(struct page *p,
    const char *(*quick)(void *ctx, const char *text, const char *end));
/* Paths to find in each element, in the pass that validates it; before the
 * first page. They are outside of what `quick` takes. */
void page_find(struct page *p, const struct json_paths *paths);
/* Within `element`: what was found, one span a path. */
const struct json_span *page_found(const struct page *p);
/* Makes it ready for another page, with the same settings. */
void page_reset(struct page *p);
int page_feed(struct page *p, const void *bytes, size_t n); /* RC_OK, 65 */
/* The page must be whole. `rest` is the document without the elements (the
 * array is empty in it), validated, owned by the page. *e where it is not. */
int page_end(struct page *p, struct json_span *rest, struct json_error *e);
uint64_t page_elements(const struct page *p);
void page_free(struct page *p);

#endif
