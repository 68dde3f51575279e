/*
 * Pages of BigQuery to NDJSON, one core: usage: fv_page SCHEMA PAGE SECONDS
 * where SCHEMA is an answer of tables.get and PAGE one of tabledata.list.
 * Prints GB/s of page bytes: splitting and checking alone, with decoding, and
 * checked and decoded in one pass.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "fv.h"
#include "page.h"

static struct fv *fv;
static struct buf out = BUF_INIT(512u << 20);

static int
take(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	if (fv_row(fv, text, len, &out) != NULL)
		return RC_CONTRACT;
	buf_char(&out, '\n');
	if (out.len > 8u << 20)
		buf_reset(&out);
	return RC_OK;
}

static const char *
take_quickly(void *ctx, const char *text, const char *end)
{
	(void)ctx;
	text = fv_quick(fv, text, end, &out);
	if (text != NULL)
		buf_char(&out, '\n');
	if (out.len > 8u << 20)
		buf_reset(&out);
	return text;
}

/* Time of the processor: others may be at work beside us. */
static int64_t
cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static double
rate(const struct buf *page, bool decode, bool quick, double seconds)
{
	int64_t from = cpu_ns(), now = from;
	struct json_span rest;
	struct json_error e;
	double bytes = 0;

	while ((double)(now - from) < seconds * 1e9) {
		struct page *p =
		    page_new("rows", 16u << 20, decode ? take : NULL, NULL);

		page_quick(p, quick ? take_quickly : NULL);

		for (size_t at = 0; at < page->len; at += 131072)
			if (page_feed(p, page->p + at,
				page->len - at < 131072 ? page->len - at
							: 131072) != RC_OK)
				die(RC_CONTRACT, NULL, "bad page");
		if (page_end(p, &rest, &e) != RC_OK)
			die(RC_CONTRACT, NULL, "bad page: %s", e.reason);
		page_free(p);
		bytes += (double)page->len;
		now = cpu_ns();
	}
	return bytes / (double)(now - from);
}

int
main(int argc, char **argv)
{
	struct buf schema = BUF_INIT(64u << 20), page = BUF_INIT(1u << 30);
	struct json_span root, v;
	double split, both, quick, seconds;
	char *why = NULL;

	diag_init(argv[0]);
	if (argc != 4 || file_read(argv[1], 64u << 20, &schema) != RC_OK ||
	    file_read(argv[2], 1u << 30, &page) != RC_OK)
		return RC_USAGE;
	buf_grow(&schema, JSON_PAD);
	root = json_value(buf_cstr(&schema));
	v = json_member(&root, "schema");
	v = json_member(&v, "fields");
	fv = fv_new(&v, NULL, &why);
	if (fv == NULL)
		die(RC_CONTRACT, argv[1], "%s", why);
	seconds = strtod(argv[3], NULL);
	split = rate(&page, false, false, seconds);
	both = rate(&page, true, false, seconds);
	quick = rate(&page, true, true, seconds);
	printf("%zu bytes: split and checked %.2f GB/s, with decoding %.2f "
	       "GB/s, in one pass %.2f GB/s\n",
	    page.len, split, both, quick);
	fv_free(fv);
	buf_release(&out);
	buf_release(&page);
	buf_release(&schema);
	return 0;
}
