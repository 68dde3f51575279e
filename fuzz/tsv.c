/*
 * A report of App Store Connect, packed or not: refused, or records that are
 * sound JSON, one a row, no id twice.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../tools/fetch-asc/rows.h"
#include "exits.h"
#include "json.h"
#include "mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { IDS = 512 };

static void
look(const char *p, size_t n, uint64_t count)
{
	static char ids[IDS][64];
	const char *end = p + n;
	uint64_t rows = 0;

	for (const char *nl; p < end; p = nl + 1, rows++) {
		struct json_error e;

		nl = memchr(p, '\n', (size_t)(end - p));
		if (nl == NULL || !json_check(p, (size_t)(nl - p), true, &e) ||
		    memcmp(p, "{\"event_id\":\"", 13) != 0)
			abort();
		if (rows < IDS)
			memcpy(ids[rows], p + 13, 64);
		for (uint64_t i = 0; i < rows && rows < IDS; i++)
			if (memcmp(ids[i], ids[rows], 64) == 0)
				abort();
	}
	if (rows != count)
		abort();
}

static void
write_rows(struct spool *plain, const struct layout *l)
{
	int fd = spool_file();
	struct out o;
	struct rows r = {.l = l,
	    .out = &o,
	    .lead = "\"source\":\"asc\",\"row_ordinal\":",
	    .identity = "asc|"};
	off_t n;
	char *text;

	if (fd < 0)
		abort();
	out_init(&o, fd, "fuzz", 0);
	if (rows_write(&r, plain) != RC_OK || out_flush(&o) != RC_OK)
		abort();
	n = lseek(fd, 0, SEEK_END);
	text = xcalloc(1, (size_t)n + JSON_PAD);
	if (pread(fd, text, (size_t)n, 0) != n)
		abort();
	look(text, (size_t)n, r.count);
	free(text);
	out_close(&o);
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct spool *packed = spool_new(), *plain = spool_new();
	struct buf header = BUF_INIT(2u << 20);
	struct layout l;
	char *why = NULL;

	memset(&l, 0, sizeof l);
	spool_write(packed, data, size);
	if (unpack(packed, plain, &header, 1u << 20, &why) == RC_OK &&
	    layout_read(&l, header.p, header.len, &kind_other, "fuzz", &why) ==
		RC_OK)
		write_rows(plain, &l);
	layout_release(&l);
	free(why);
	buf_release(&header);
	spool_free(packed);
	spool_free(plain);
	return 0;
}
