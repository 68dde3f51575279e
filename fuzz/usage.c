/* Usage headers of the Graph API: any text in any of them is a wait that is no
 * longer than a quarter of an hour. */
#include "../tools/fetch-meta/graph.c"
#include "http_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"x-app-usage: ",
	    "x-ad-account-usage: ", "x-business-use-case-usage: ",
	    "x-fb-ads-insights-throttle: "};
	struct headers hs = {.n = 0};
	struct http_answer a = {.status = 200, .headers = &hs};
	struct buf line = BUF_INIT(1u << 20);
	struct usage u;

	if (size == 0)
		return 0;
	headers_reset(&hs);
	buf_str(&line, names[data[0] % 4]);
	buf_add(&line, data + 1, size - 1);
	headers_add(&hs, line.p, line.len);
	u = usage_read(&a);
	if (u.percent < 0 || u.minutes < 0 || pause_of(&u) < 0 ||
	    pause_of(&u) > 900000)
		abort();
	buf_release(&line);
	headers_release(&hs);
	return 0;
}
