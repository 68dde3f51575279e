/* The ping of a dead man's switch: it may fail, the run may not wait. */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "runlog.h"

enum { CONNECT_MS = 5000, TOTAL_MS = 10000 };

static bool
is_loopback(const char *host)
{
	return strcmp(host, "127.0.0.1") == 0 || strcmp(host, "[::1]") == 0 ||
	       strcasecmp(host, "localhost") == 0;
}

/* https, or http to this machine where that was asked for. */
static const char *
url_wrong(const char *text, bool http)
{
	CURLU *u = curl_url();
	char *scheme = NULL, *host = NULL;
	const char *wrong = "is no URL";

	if (u != NULL && curl_url_set(u, CURLUPART_URL, text, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
		wrong = NULL;
		if (strcmp(scheme, "https") != 0 &&
		    !(http && strcmp(scheme, "http") == 0 && is_loopback(host)))
			wrong = "the URL is not https";
	}
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(u);
	return wrong;
}

int
ping_open(struct run *run)
{
	const char *wrong;
	int rc = secret_read(run->ping_file, &run->secret);

	if (rc != RC_OK)
		return rc;
	run->url = xstrndup(run->secret.p, run->secret.len);
	if ((wrong = url_wrong(run->url, run->ping_http)) != NULL) {
		warn_msg(run->ping_file, "%s", wrong);
		return RC_CONFIG;
	}
	return RC_OK;
}

static size_t
drop_body(char *p, size_t size, size_t n, void *ctx)
{
	(void)p;
	(void)ctx;
	return size * n;
}

static CURLcode
request(CURL *c, const char *url, bool http)
{
	curl_easy_setopt(c, CURLOPT_URL, url);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(
	    c, CURLOPT_PROTOCOLS_STR, http ? "http,https" : "https");
#else
	curl_easy_setopt(c, CURLOPT_PROTOCOLS,
	    (long)(CURLPROTO_HTTPS | (http ? CURLPROTO_HTTP : 0)));
#endif
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)TOTAL_MS);
	curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, drop_body);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "weir");
	return curl_easy_perform(c);
}

void
ping_send(const struct run *run, const char *what)
{
	CURL *c;
	char *url;
	CURLcode rc = CURLE_OUT_OF_MEMORY;

	if (run->url == NULL)
		return;
	/* "/start" and "/fail" stand before a query, where there is one */
	url = xasprintf("%.*s%s%s", (int)strcspn(run->url, "?"), run->url, what,
	    run->url + strcspn(run->url, "?"));
	if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK &&
	    (c = curl_easy_init()) != NULL) {
		rc = request(c, url, run->ping_http);
		curl_easy_cleanup(c);
	}
	curl_global_cleanup();
	if (rc != CURLE_OK)
		warn_msg("ping", "warning: %s not sent: %s",
		    *what == '\0' ? "success" : what + 1,
		    curl_easy_strerror(rc));
	explicit_bzero(url, strlen(url));
	free(url);
}
