/* What libcurl says of a request: for --verbose, and for us. */
#include <string.h>
#include <strings.h>

#include "diag.h"
#include "http_impl.h"

/* Names of headers, and values of those that are harmless. */
static void
trace(const struct flight *f, const char *mark, const char *p, size_t n)
{
	static const char *const plain[] = {"content-type", "content-length",
	    "content-encoding", "transfer-encoding", "retry-after", "date",
	    "accept-encoding", "user-agent", "content-range", "range", NULL};
	size_t len = strcspn(p, ":\r\n");
	bool show = false;

	if (len >= n || p[len] != ':')
		return;
	for (size_t i = 0; plain[i] != NULL; i++)
		show |= strlen(plain[i]) == len &&
			strncasecmp(p, plain[i], len) == 0;
	while (n > 0 && (unsigned char)p[n - 1] <= ' ')
		n--;
	warn_msg(f->shown, "%s %.*s%s", mark, show ? (int)n : (int)len, p,
	    show ? "" : ": ...");
}

int
wire_debug(CURL *easy, curl_infotype type, char *p, size_t n, void *arg)
{
	static const char excess[] = "Excess found";
	struct flight *f = arg;

	(void)easy;
	/* A body longer than its length: what was read, before it is cut, and
	 * libcurl's own word where it cuts elsewhere. */
	if (type == CURLINFO_DATA_IN)
		f->read += n;
	if (type == CURLINFO_TEXT && n > sizeof(excess) &&
	    memcmp(p, excess, sizeof(excess) - 1) == 0)
		f->excess = true;
	if (!f->h->verbose)
		return 0;
	if (type == CURLINFO_HEADER_IN && n < 4096) {
		char line[4097];

		memcpy(line, p, n);
		line[n] = '\0';
		trace(f, "<", line, n);
	} else if (type == CURLINFO_HEADER_OUT) {
		for (size_t at = 0, k; at < n; at += k + 1) {
			char line[512];

			k = 0;
			while (at + k < n && p[at + k] != '\n')
				k++;
			if (k >= sizeof(line))
				continue;
			memcpy(line, p + at, k);
			line[k] = '\0';
			trace(f, ">", line, k);
		}
	}
	return 0;
}
