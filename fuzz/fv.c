/*
 * Any valid JSON as a row of BigQuery, over a schema with every type: refused,
 * or one sound object; and what the reader of one pass takes out of any bytes
 * must be sound and the same. The first byte chooses how much of the schema is there
 * and the form of the rows.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fv.h"
#include "mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char schema[] =
    "[{\"name\":\"s\",\"type\":\"STRING\"},"
    "{\"name\":\"i\",\"type\":\"INTEGER\"},"
    "{\"name\":\"f\",\"type\":\"FLOAT\"},{\"name\":\"b\",\"type\":\"BOOL\"},"
    "{\"name\":\"t\",\"type\":\"TIMESTAMP\"},"
    "{\"name\":\"n\",\"type\":\"BIGNUMERIC\"},"
    "{\"name\":\"j\",\"type\":\"JSON\"},"
    "{\"name\":\"l\",\"type\":\"INT64\",\"mode\":\"REPEATED\"},"
    "{\"name\":\"r\",\"type\":\"RECORD\",\"mode\":\"REPEATED\",\"fields\":["
    "{\"name\":\"k\",\"type\":\"STRING\"},"
    "{\"name\":\"v\",\"type\":\"STRUCT\",\"fields\":["
    "{\"name\":\"d\",\"type\":\"FLOAT64\"}]}]}]                              "
    "                                  ";

static void
quickly(struct fv *v, const char *text, size_t len)
{
	struct buf quick = BUF_INIT(16u << 20), slow = BUF_INIT(16u << 20);
	const char *end = fv_quick(v, text, text + len, &quick);
	struct json_error e;

	if (end == NULL && quick.len != 0)
		abort();
	if (end != NULL) {
		size_t n = (size_t)(end - text);

		if (n > len || !json_check(text, n, true, &e) ||
		    fv_row(v, text, n, &slow) != NULL ||
		    slow.len != quick.len ||
		    memcmp(slow.p, quick.p, slow.len) != 0)
			abort();
	}
	buf_release(&quick);
	buf_release(&slow);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const selects[] = {
	    "s", "i", "f", "b", "t", "l", "r.k", "r.v,r.k", "n", "j", NULL};
	struct buf out = BUF_INIT(16u << 20);
	struct json_span fields = json_value(schema);
	struct json_error e;
	char *why = NULL, *text;
	struct fv *v;

	if (size < 2)
		return 0;
	text = xcalloc(1, size - 1 + JSON_PAD);
	memcpy(text, data + 1, size - 1);
	v = fv_new(&fields, selects[data[0] % 11], &why);
	if (v == NULL)
		abort();
	if (data[0] >= 128 && !fv_style(v, FV_QUERY, NULL, &why))
		abort();
	if (data[0] >= 160)
		fv_style(v, data[0] >= 192 ? FV_JSON : FV_NUMBER, NULL, &why);
	quickly(v, text, size - 1);
	if (!json_check(text, size - 1, false, &e)) {
		/* fv_row takes what is sound */
	} else if (fv_row(v, text, size - 1, &out) == NULL) {
		if (!json_check(out.p, out.len, true, &e))
			abort();
	} else if (out.len != 0) {
		abort();
	}
	fv_free(v);
	free(text);
	buf_release(&out);
	return 0;
}
