/*
 * The scanner: a kernel sweeps over the text and says of each row that it is
 * sound or suspect; what is suspect is judged and walked the exact way.
 */
#include <stdlib.h>
#include <string.h>

#include "json_impl.h"
#include "mem.h"

struct json_scanner {
	const struct json_paths *paths;
};

struct json_scanner *
json_scanner_new(const struct json_paths *ps)
{
	struct json_scanner *s = xcalloc(1, sizeof(*s));

	s->paths = ps;
	return s;
}

void
json_scanner_free(struct json_scanner *s)
{
	free(s);
}

const char *
json_kernel(const struct json_scanner *s)
{
	(void)s;
	return "portable";
}

void
json_scanner_reset(struct json_scanner *s)
{
	(void)s;
}

static bool
blank(const char *p, const char *end)
{
	return json_blanks(p) >= end;
}

enum json_status
json_scan(struct json_scanner *s, const char *line, const char **next,
    struct json_span *vals, struct json_error *e)
{
	const char *end = rawmemchr(line, '\n');
	struct json_span v;

	*next = end + 1;
	for (int i = 0; i < s->paths->count; i++)
		vals[i].type = JSON_ABSENT;
	if (blank(line, end))
		return JSON_BLANK;
	if (!json_check(line, (size_t)(end - line), true, e))
		return JSON_BAD;
	if (s->paths->count > 0) {
		v = json_value(line);
		json_resolve(&s->paths->root, &v, vals);
	}
	return JSON_OK;
}
