#include "google.h"

#include <stdlib.h>
#include <string.h>

#include "exits.h"
#include "mem.h"

static bool
one_of(const char *word, const char *const *list)
{
	for (; *list != NULL; list++) {
		if (strcmp(word, *list) == 0)
			return true;
	}
	return false;
}

enum verdict
google_judge(void *ctx, const struct http_answer *a, struct http_judgement *out)
{
	static const char *const limits[] = {"responseTooLarge",
	    "bytesBilledLimitExceeded", "billingTierLimitExceeded",
	    "resourcesExceeded", NULL};
	enum verdict v = http_judge(a, out);

	(void)ctx;
	if (a->status == 404)
		return HTTP_GONE;
	if (a->status == 409)
		return HTTP_EXISTS;
	if (a->status >= 300 && one_of(out->reason, limits))
		return HTTP_CONTRACT;
	/* Tokens of the Data API come back in an hour or a day. */
	if (a->status == 429 && strstr(out->why, "Exhausted") != NULL)
		out->wait_ms = INT64_MAX;
	return v;
}

char *
google_base(const char *option, const char *var, const char *fallback)
{
	const char *url = option != NULL ? option : getenv(var);
	size_t n;

	if (url == NULL || *url == '\0')
		url = fallback;
	n = strlen(url);
	while (n > 0 && url[n - 1] == '/')
		n--;
	return xstrndup(url, n);
}
