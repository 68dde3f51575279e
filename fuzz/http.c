/*
 * What a service sends, part by part: headers with their dates and waits,
 * errors in a body, gzip in pieces, URLs to be shown. The first byte chooses.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "http_impl.h"
#include "mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lines up to an empty one, then the body. */
static void
answer(const char *p, size_t n)
{
	struct headers hs = {.n = 0};
	struct http_judgement j = {.wait_ms = -1};
	struct http_answer a = {
	    .status = 100 + (int)(n % 500), .headers = &hs, .why = ""};
	const char *end = p + n, *nl;
	int64_t wait;

	headers_reset(&hs);
	while (p < end && (nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		if (nl == p)
			break;
		if (!headers_add(&hs, p, (size_t)(nl - p)))
			break;
		p = nl + 1;
	}
	a.body = spool_new();
	spool_write(a.body, p, (size_t)(end - p));
	spool_rewind(a.body);
	wait = retry_after_ms(&a);
	if (wait < -1)
		abort();
	http_judge(&a, &j);
	if (j.wait_ms < -1 || strlen(j.why) >= sizeof(j.why))
		abort();
	for (const char *c = j.why; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			abort();
	spool_free(a.body);
	headers_release(&hs);
}

/* In pieces or at once: the same bytes, or refused both times. */
static uint64_t
inflated(const uint8_t *p, size_t n, size_t piece, struct spool *out)
{
	struct body b = {.out = NULL};
	bool good = true;

	body_start(&b, out, 1u << 20, true);
	for (size_t at = 0; good && at < n; at += piece)
		good = body_take(&b, p + at, n - at < piece ? n - at : piece);
	good = good && body_end(&b);
	body_stop(&b);
	if (spool_size(out) > 1u << 20)
		abort();
	return good ? spool_size(out) : UINT64_MAX;
}

static void
packed(const uint8_t *p, size_t n)
{
	struct spool *one = spool_new(), *many = spool_new();
	size_t a, b;

	if (inflated(p, n, n + 1, one) != inflated(p, n, 7, many))
		abort();
	if (spool_memory(one, &a) != NULL && spool_memory(many, &b) != NULL &&
	    a == b &&
	    memcmp(spool_memory(one, &a), spool_memory(many, &b), a) != 0)
		abort();
	spool_free(one);
	spool_free(many);
}

static void
url(const char *p, size_t n)
{
	char *text = xstrndup(p, n), *once, *twice;
	struct http *h = http_open("fuzz");

	once = url_redacted(text, false);
	twice = url_redacted(once, false);
	if (strcmp(once, twice) != 0)
		abort();
	url_check_base(h, "fuzz", text);
	http_close(h);
	free(text);
	free(once);
	free(twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool quiet;

	if (!quiet) { /* messages are not what is looked at */
		if (freopen("/dev/null", "w", stderr) == NULL)
			abort();
		quiet = true;
	}
	if (size == 0)
		return 0;
	switch (data[0] % 3) {
	case 0:
		answer((const char *)data + 1, size - 1);
		break;
	case 1:
		packed(data + 1, size - 1);
		break;
	default:
		url((const char *)data + 1, size - 1);
	}
	return 0;
}
