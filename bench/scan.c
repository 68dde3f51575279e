/*
 * scan PATH... <rows: the scanner alone, as the reader of streams drives it:
 * every row validated, the paths found. Prints counts on stderr.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "json.h"
#include "mem.h"

#define BLOCK (256u << 10)
#define PATHS 32

int
main(int argc, char **argv)
{
	struct json_paths *ps = json_paths_new();
	struct json_scanner *s;
	struct json_span vals[PATHS];
	struct json_error e;
	char *base = xcalloc(1, 8 * BLOCK), *b = base + JSON_PAD;
	size_t have = 0, rows = 0, bad = 0, bytes = 0;
	const char *why;
	ssize_t n;

	diag_init(argv[0]);
	for (int i = 1; i < argc && i <= PATHS; i++)
		if (json_paths_add(ps, argv[i], &why) < 0)
			die(RC_USAGE, argv[i], "%s", why);
	s = json_scanner_new(ps);
	while (have < 4 * BLOCK && (n = read(0, b + have, BLOCK)) > 0) {
		char *end = memrchr(b + have, '\n', (size_t)n), *from = b;

		have += (size_t)n;
		if (end++ == NULL)
			continue;
		json_scanner_reset(s);
		while (from < end) {
			const char *next;

			bad += json_scan(s, from, &next, vals, &e) == JSON_BAD;
			from = b + (next - b);
			rows++;
			for (int i = 0; i < argc - 1; i++)
				bytes += vals[i].len;
		}
		have -= (size_t)(end - b);
		memmove(b, end, have);
	}
	fprintf(stderr, "%s: %zu rows, %zu bad, %zu bytes of values\n",
	    json_kernel(s), rows, bad, bytes);
	json_scanner_free(s);
	json_paths_free(ps);
	free(base);
	return 0;
}
