/*
 * JSON over raw bytes: strict RFC 8259 and UTF-8, no tree, constant stack.
 *
 * A span is a value as it stands in the input, quotes and brackets included.
 * Spans point into the caller's text and last as long as it does. Objects and
 * arrays nest to JSON_DEPTH. A lone surrogate escape is an error.
 */
#ifndef WEIR_JSON_H
#define WEIR_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

#define JSON_DEPTH 1000
/* Bytes that must be readable before and after the text given to json_scan. */
#define JSON_PAD 128

enum json_type {
	JSON_ABSENT = 0,
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

enum {
	JSON_ESCAPED = 1, /* a string with a backslash in it */
	JSON_DUPLICATE = 2, /* the member occurs again: the first is given */
};

struct json_span {
	const char *p;
	uint32_t len;
	uint8_t type;  /* enum json_type */
	uint8_t flags;
};

struct json_error {
	size_t byte; /* from 1 */
	const char *reason;
	bool cut; /* the text ends too early: "line ends inside a string" */
};

/*
 * Paths. Text form: names joined by dots, a name may be "quoted" as a JSON
 * string; after a name, [name=value] selects the first element of an array
 * whose member `name` is the string `value` (quoted at need), [N] the Nth
 * from 0. Examples: device.category, event_params[key=ga_session_id].value,
 * items[0].price. Adding a path again gives its first index.
 */
struct json_paths;
struct json_paths *json_paths_new(void);
/* The index of the path; -1 and *why (static text) where it is malformed. */
int json_paths_add(struct json_paths *ps, const char *text, const char **why);
int json_paths_count(const struct json_paths *ps);
const char *json_paths_text(const struct json_paths *ps, int index);
void json_paths_free(struct json_paths *ps);

/*
 * The scanner: validates one line and finds all paths of the set in one pass.
 *
 * line is the first byte; the line ends at the first '\n', which must be
 * there; JSON_PAD bytes before line and after the '\n' must be readable. A
 * line is one object, blanks around it allowed. *next is set to the byte
 * after the '\n' whatever the result. vals has json_paths_count members.
 * With JSON_BAD, *e says where and why. A '\r' before the '\n' is a blank.
 */
struct json_scanner;
enum json_status { JSON_OK, JSON_BLANK, JSON_BAD };
/* The paths must outlive the scanner and not change any more. */
struct json_scanner *json_scanner_new(const struct json_paths *ps);
enum json_status json_scan(struct json_scanner *s, const char *line,
    const char **next, struct json_span *vals, struct json_error *e);
/* The kernel in use: "avx512", "avx2", "sse2", "portable"; WEIR_SIMD may force one. */
const char *json_kernel(const struct json_scanner *s);
void json_scanner_free(struct json_scanner *s);
/* Must be called when bytes after the last '\n' that was scanned have changed
 * (a refilled buffer): the scanner reads up to JSON_PAD bytes ahead. */
void json_scanner_reset(struct json_scanner *s);

/* Validates any memory, without padding: one value, blanks around it. Where
 * want_object is set anything else than an object is an error. */
bool json_check(const char *p, size_t n, bool want_object,
    struct json_error *e);

/*
 * Walking a span of VALIDATED text. json_value gives the span of the value
 * that starts at p (blanks skipped).
 */
struct json_span json_value(const char *p);

struct json_iter {
	const char *p;
};

void json_iter_init(struct json_iter *it, const struct json_span *container);
/* Members of an object: key is a string span, quotes included. False at end. */
bool json_next_member(struct json_iter *it, struct json_span *key,
    struct json_span *val);
bool json_next_element(struct json_iter *it, struct json_span *val);
/* Follows one path of the set through a validated value. */
struct json_span json_find(const struct json_paths *ps, int index,
    const struct json_span *root);
/* The first member of that (decoded) name; type JSON_ABSENT if none. */
struct json_span json_member(const struct json_span *object, const char *name);

/* A string's bytes, unescaped, into out (room for len bytes); the count. */
size_t json_decode(const struct json_span *string, char *out);
/* Appends the unescaped bytes. */
void json_decode_buf(const struct json_span *string, struct buf *out);
/* Writes a code point as UTF-8 (1 to 4 bytes) and gives their number. */
size_t json_put_utf8(char *o, unsigned code);
/* Is the string, decoded, this text? */
bool json_is(const struct json_span *string, const char *text, size_t len);
static inline bool
json_truthy_string(const struct json_span *s)
{
	return s->type == JSON_STRING && s->len > 2;
}
/* An integer, from a JSON number without fraction or a string of digits as
 * the Google APIs write it. False: it is not, or does not fit. */
bool json_i64(const struct json_span *v, int64_t *out);

/*
 * Canonical form of a validated value: members sorted by decoded key bytes,
 * no blanks, numbers by num_canonical, strings minimally escaped (\" \\ and
 * \u00XX, with \b \f \n \r \t, for control characters). False where an object
 * has a key twice; *dup is then that key's span.
 */
bool json_canonical(struct buf *out, const struct json_span *v,
    struct json_span *dup);

/* Appends text as a JSON string with quotes, minimally escaped. The text must
 * be UTF-8; json_write_clean replaces what is not by U+FFFD first. */
void json_write_string(struct buf *out, const char *text, size_t len);
void json_write_clean(struct buf *out, const char *text, size_t len);

/*
 * Writer of an object or array, so that commas and quotes have one place.
 *	struct jsonw w;
 *	jsonw_begin(&w, &buf, '{');
 *	jsonw_str(&w, "tool", name);
 *	jsonw_end(&w);
 * name is NULL in arrays.
 */
struct jsonw {
	struct buf *out;
	char close;
	bool first;
};
void jsonw_begin(struct jsonw *w, struct buf *out, char open);
void jsonw_open(struct jsonw *w, const char *name, struct jsonw *inner,
    char open);
void jsonw_str(struct jsonw *w, const char *name, const char *text);
void jsonw_strn(struct jsonw *w, const char *name, const char *p, size_t n);
void jsonw_u64(struct jsonw *w, const char *name, uint64_t v);
void jsonw_i64(struct jsonw *w, const char *name, int64_t v);
void jsonw_bool(struct jsonw *w, const char *name, bool v);
void jsonw_null(struct jsonw *w, const char *name);
/* Raw JSON text, taken as it is. */
void jsonw_raw(struct jsonw *w, const char *name, const char *p, size_t n);
void jsonw_span(struct jsonw *w, const char *name, const struct json_span *v);
void jsonw_end(struct jsonw *w);

#endif
