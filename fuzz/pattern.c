/*
 * Any text as the pattern of a schema: refused, or a regular expression that
 * the C library takes and that can be searched for.
 */
#include "../tools/ndjson-validate/pattern.c"

#include "mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const texts[] = {
	    "", "a", "2026-11-20", "\303\244\360\237\230\200x", "a b\nc"};
	struct json_error e;
	struct buf quoted = BUF_INIT(1 << 20);
	regex_t re;

	/* a schema's text is UTF-8, and patterns are short */
	json_write_clean(&quoted, (const char *)data, size < 200 ? size : 200);
	if (json_check(quoted.p, quoted.len, false, &e)) {
		struct json_span s = json_value(buf_cstr(&quoted));
		char *text = xmalloc(s.len);
		size_t n = json_decode(&s, text);

		if (pattern_compile(&re, text, n) == NULL) {
			for (size_t i = 0; i < 5; i++)
				(void)regexec(&re, texts[i], 0, NULL, 0);
			regfree(&re);
		}
		free(text);
	}
	buf_release(&quoted);
	return 0;
}
