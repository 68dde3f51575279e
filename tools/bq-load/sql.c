#include "sql.h"

#include <string.h>

#include "diag.h"
#include "exits.h"

static const struct {
	const char *name, *line;
} lines[] = {
#include "bq-sql.inc" /* made by the Makefile */
};

enum { LINES = sizeof lines / sizeof *lines };

void
sql_text(struct buf *out, const char *name)
{
	size_t before = out->len;

	for (size_t i = 0; i < LINES; i++)
		if (strcmp(lines[i].name, name) == 0)
			buf_str(out, lines[i].line);
	if (out->len == before)
		die(RC_INTERNAL, NULL, "no statement '%s'", name);
}

/* Their names begin with a number; the lines come in the order of names. */
const char *
sql_tables(unsigned i)
{
	const char *last = "";

	for (size_t k = 0; k < LINES; k++) {
		const char *name = lines[k].name;

		if (*name < '0' || *name > '9' || strcmp(name, last) == 0)
			continue;
		last = name;
		if (i-- == 0)
			return name;
	}
	return NULL;
}
