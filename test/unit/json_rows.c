/*
 * json_rows PATH... <lines: what the scanner says of each line, as text:
 *	ok<TAB>VALUE<TAB>…   the span of each path, "-" absent, "!" twice
 *	bad BYTE REASON
 *	blank
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "json.h"

static void
show(const struct json_span *v)
{
	putchar('\t');
	if (v->flags & JSON_DUPLICATE)
		putchar('!');
	if (v->type == JSON_ABSENT)
		putchar('-');
	else
		fwrite(v->p, 1, v->len, stdout);
}

static void
rows(struct json_scanner *s, const char *p, const char *end, int paths)
{
	struct json_span vals[32];
	struct json_error e;

	while (p < end) {
		enum json_status st = json_scan(s, p, &p, vals, &e);

		if (st == JSON_BLANK) {
			printf("blank");
		} else if (st == JSON_BAD) {
			printf("bad %zu %s", e.byte, e.reason);
		} else {
			printf("ok");
			for (int i = 0; i < paths; i++)
				show(&vals[i]);
		}
		putchar('\n');
	}
}

int
main(int argc, char **argv)
{
	struct json_paths *ps = json_paths_new();
	struct json_scanner *s;
	struct buf b = BUF_INIT(1u << 30);
	const char *why;
	size_t n;

	for (int i = 1; i < argc; i++)
		if (json_paths_add(ps, argv[i], &why) < 0) {
			printf("%s: %s\n", argv[i], why);
			json_paths_free(ps);
			return 1;
		}
	s = json_scanner_new(ps);
	buf_room(&b, JSON_PAD);
	memset(b.p, 0, JSON_PAD);
	b.len = JSON_PAD;
	do {
		buf_room(&b, 65536 + JSON_PAD + 1);
		n = fread(b.p + b.len, 1, 65536, stdin);
		b.len += n;
	} while (n > 0);
	if (b.len > JSON_PAD && b.p[b.len - 1] != '\n')
		b.p[b.len++] = '\n';
	memset(b.p + b.len, 0, JSON_PAD);
	rows(s, b.p + JSON_PAD, b.p + b.len, argc - 1);
	json_scanner_free(s);
	json_paths_free(ps);
	buf_release(&b);
	return 0;
}
