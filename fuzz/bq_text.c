/*
 * Any text as SQL for BigQuery: read to its end and not beyond, names put in
 * their place once, statements counted alike before and after.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bq_impl.h"
#include "mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct bq b = {.project = "p", .core = "c", .ops = "o"};
	struct buf once = BUF_INIT(16u << 20), twice = BUF_INIT(16u << 20);
	char *text = xmalloc(size); /* nothing behind it may be read */

	memcpy(text, data, size);
	bq_sql(&b, text, size, &once);
	bq_sql(&b, once.p, once.len, &twice);
	if (once.len != twice.len ||
	    (once.len > 0 && memcmp(once.p, twice.p, once.len) != 0))
		abort();
	if (bq_sql_statements(text, size) !=
	    bq_sql_statements(once.p, once.len))
		abort();
	bq_sql_uses(text, size, "day");
	free(text);
	buf_release(&once);
	buf_release(&twice);
	return 0;
}
