/*
 * Messages: one line on stderr, one write each, `tool: context: text`.
 *
 * Control characters, C1, bidi controls and bad UTF-8 in the text are shown
 * as \xNN or \u{N}; secrets that were registered are replaced by [secret];
 * foreign text is cut at 200 bytes by diag_quote. A message that cannot be
 * written is lost: data is not.
 */
#ifndef WEIR_DIAG_H
#define WEIR_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Once, first thing in main: the name for messages is that of argv[0]. Also
 * sees to it that descriptors 0, 1, 2 are open (sys_start). */
void diag_init(const char *argv0);
const char *diag_tool(void);

/* "tool: context: text"; without context where it is NULL. */
void warn_msg(const char *context, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The same with ": " and the text of errno at the end. */
void warn_sys(const char *context, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "tool: file:line:byte: text"; byte 0 is left out, line 0 too. */
void warn_at(const char *file, uint64_t line, size_t byte, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* warn_msg, then exit. For main, option and memory errors only. */
_Noreturn void die(int rc, const char *context, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Copies at most 200 bytes of foreign text into dst, cleaned, quoted as 'x',
 * "..." where cut. Returns dst. */
#define DIAG_QUOTE 640
char *diag_quote(char dst[DIAG_QUOTE], const char *text, size_t len);

/* From now on no message shows these bytes, nor their base64 or percent
 * form. The bytes are referenced, not copied. */
void diag_secret(const void *bytes, size_t len);
/* Before the bytes go, or change: registering the same place again replaces
 * what was there. */
void diag_forget(const void *bytes);
/* The length of the secret that begins at p, in any of its forms; 0: none. */
size_t diag_secret_at(const char *p, size_t n);
/* The most bytes that one can take. */
size_t diag_secret_reach(void);

#endif
