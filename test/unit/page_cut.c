/*
 * page_cut ARRAY PIECE [REPEAT]: cuts the page on stdin, given in pieces of
 * that size (0: each of another size). Elements go to stdout, one a line, then
 * the rest. REPEAT measures instead: GB/s on stdout.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "page.h"
#include "sys.h"
#include "unit.h"

static int
print(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	return fwrite(text, 1, len, stdout) == len && putchar('\n') == '\n'
		   ? RC_OK
		   : RC_IO;
}

static int
count(void *ctx, const char *text, size_t len)
{
	(void)text;
	*(size_t *)ctx += len;
	return RC_OK;
}

static int
one(const char *array, const struct buf *in, size_t piece, bool quiet)
{
	size_t total = 0;
	struct page *p =
	    page_new(array, 16u << 20, quiet ? count : print, &total);
	struct json_span rest;
	struct json_error e;
	int rc;

	for (size_t at = 0, n; at < in->len; at += n) {
		n = piece > 0 ? piece : unit_random() % 300 + 1;
		if (n > in->len - at)
			n = in->len - at;
		if (page_feed(p, in->p + at, n) != RC_OK)
			break;
	}
	rc = page_end(p, &rest, &e);
	if (rc != RC_OK)
		warn_msg("page", "byte %zu: %s", e.byte, e.reason);
	else if (!quiet)
		rc = print(NULL, rest.p, rest.len);
	page_free(p);
	return rc;
}

int
main(int argc, char **argv)
{
	struct buf in = BUF_INIT((size_t)1 << 32);
	char block[1 << 16];
	size_t n;
	int rc = RC_OK;

	diag_init(argv[0]);
	if (argc < 3)
		return RC_USAGE;
	while ((n = fread(block, 1, sizeof(block), stdin)) > 0)
		buf_add(&in, block, n);
	if (argc == 3) {
		rc = one(argv[1], &in, (size_t)atol(argv[2]), false);
	} else {
		long times = atol(argv[3]);
		int64_t from = sys_mono_ns();

		for (long i = 0; i < times; i++)
			rc |= one(argv[1], &in, (size_t)atol(argv[2]), true);
		printf("%.2f GB/s\n", (double)in.len * (double)times /
					  (double)(sys_mono_ns() - from));
	}
	buf_release(&in);
	return rc;
}
