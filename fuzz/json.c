/*
 * The scanner against the exact validator and walker: any bytes, every
 * kernel, the same verdict, the same spans. Aborts where they differ.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_impl.h"
#include "mem.h"

static const char *const paths[] = {
    "a", "event_name", "b.c", "b.c.d", "event_params[key=x].value.int_value",
    "event_params[key=ga_session_id].value", "items[0].price", "items[1]",
    "event_params[key=\"q\\\"\"].value", "kk", "long_member_name_one",
    "long_member_name_two", "prefix_long_member", "b", "b.\"\\u00e9\"", "k",
    "event_params[name=x]", "items",
};
#define PATHS (sizeof(paths) / sizeof(paths[0]))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct json_scanner *
scanner(const struct json_paths *ps, const char *kernel)
{
	setenv("WEIR_SIMD", kernel, 1);
	return json_scanner_new(ps);
}

static void
differ(const char *what, const char *kernel, const char *line, size_t len)
{
	fprintf(stderr, "json: %s differs, kernel %s: ", what, kernel);
	fwrite(line, 1, len, stderr);
	fputc('\n', stderr);
	abort();
}

/* The truth: json_check and the walk. */
static enum json_status
truth(const struct json_paths *ps, const char *line, size_t len,
    struct json_span *vals, struct json_error *e)
{
	struct json_span v;
	size_t i = 0;

	memset(vals, 0, PATHS * sizeof(*vals));
	while (i < len && strchr(" \t\r", line[i]) != NULL && line[i] != 0)
		i++;
	if (i == len)
		return JSON_BLANK;
	if (!json_check(line, len, true, e))
		return JSON_BAD;
	v = json_value(line);
	json_resolve(&ps->root, &v, vals);
	return JSON_OK;
}

static void
compare(const char *kernel, struct json_scanner *s,
    const struct json_paths *ps, const char *text, size_t size)
{
	const char *p = text, *end = text + size;

	json_scanner_reset(s);
	while (p < end) {
		struct json_span want[PATHS], got[PATHS];
		struct json_error we = {0}, ge = {0};
		const char *nl = memchr(p, '\n', (size_t)(end - p)), *next;
		size_t len = (size_t)(nl - p);
		enum json_status w = truth(ps, p, len, want, &we);
		enum json_status g = json_scan(s, p, &next, got, &ge);

		if (w != g || next != nl + 1)
			differ("verdict", kernel, p, len);
		if (w == JSON_BAD && we.byte != ge.byte)
			differ("place", kernel, p, len);
		for (size_t i = 0; w == JSON_OK && i < PATHS; i++)
			if (want[i].type != got[i].type ||
			    want[i].flags != got[i].flags ||
			    want[i].p != got[i].p || want[i].len != got[i].len)
				differ(paths[i], kernel, p, len);
		p = next;
	}
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const kernels[] = {"avx512", "avx2", "sse2",
	    "portable"};
	static struct json_scanner *s[4];
	static struct json_paths *ps;
	char *text;

	if (ps == NULL) {
		const char *why;

		ps = json_paths_new();
		for (size_t i = 0; i < PATHS; i++)
			if (json_paths_add(ps, paths[i], &why) != (int)i)
				abort();
		for (int i = 0; i < 4; i++)
			s[i] = scanner(ps, kernels[i]);
	}
	text = xcalloc(1, size + 1 + 2 * JSON_PAD);
	if (size > 0)
		memcpy(text + JSON_PAD, data, size);
	text[JSON_PAD + size] = '\n';
	for (int i = 0; i < 4; i++)
		compare(kernels[i], s[i], ps, text + JSON_PAD, size + 1);
	free(text);
	return 0;
}
