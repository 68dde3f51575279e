/* URLs: built, checked, and shown without what is secret in them. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "diag.h"
#include "exits.h"
#include "http_impl.h"
#include "mem.h"

enum { PORT_HTTPS = 443, PORT_USER = 1024 };

void
url_escape(struct buf *url, const char *text, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9') ||
		    (c != 0 && strchr("-._~", c) != NULL)) {
			buf_char(url, (char)c);
		} else {
			buf_char(url, '%');
			buf_char(url, hex[c >> 4]);
			buf_char(url, hex[c & 15]);
		}
	}
}

void
url_param(struct buf *url, const char *name, const char *value)
{
	bool more = url->len > 0 && memchr(url->p, '?', url->len) != NULL;

	buf_char(url, more ? '&' : '?');
	url_escape(url, name, strlen(name));
	buf_char(url, '=');
	url_escape(url, value, strlen(value));
}

bool
wire_loopback(const char *host)
{
	size_t n = strlen(host);

	if (strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
	    strcmp(host, "[::1]") == 0)
		return true;
	return strncmp(host, "127.", 4) == 0 &&
	       strspn(host, "0123456789.") == n;
}

static bool
internal_host(const char *host)
{
	return strncmp(host, "169.254.", 8) == 0 ||
	       strncasecmp(host, "[fe80:", 6) == 0 ||
	       strcasecmp(host, "[fd00:ec2::254]") == 0 ||
	       strcasecmp(host, "metadata") == 0 ||
	       strcasecmp(host, "metadata.google.internal") == 0;
}

static const char *
base_wrong(const struct http *h, CURLU *u)
{
	char *scheme = NULL, *host = NULL, *port = NULL, *other = NULL;
	const char *why = NULL;
	bool plain;
	long n;

	if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) !=
		CURLUE_OK) {
		why = "not a URL";
		goto out;
	}
	n = atol(port);
	plain = strcmp(scheme, "http") == 0;
	if (curl_url_get(u, CURLUPART_USER, &other, 0) == CURLUE_OK ||
	    curl_url_get(u, CURLUPART_PASSWORD, &other, 0) == CURLUE_OK)
		why = "a URL here has no user or password in it";
	else if (curl_url_get(u, CURLUPART_FRAGMENT, &other, 0) == CURLUE_OK)
		why = "a URL here has no fragment";
	else if (!plain && strcmp(scheme, "https") != 0)
		why = "only https is spoken";
	else if (internal_host(host))
		why = "this host is not for data";
	else if (plain && !wire_loopback(host))
		why = "plain http is for this machine only";
	else if (plain && !h->allow_http)
		why = "plain http needs --allow-http";
	else if (!plain && n != PORT_HTTPS && n < PORT_USER)
		why = "this port is not for https";
out:
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_free(other);
	return why;
}

int
url_check_base(const struct http *h, const char *what, const char *url)
{
	CURLU *u = curl_url();
	const char *why = "not a URL";

	if (u == NULL)
		die(RC_OSERR, NULL, "out of memory");
	if (strpbrk(url, "\r\n \t") == NULL &&
	    curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK)
		why = base_wrong(h, u);
	curl_url_cleanup(u);
	if (why == NULL)
		return RC_OK;
	warn_msg(what, "%s", why);
	return RC_CONFIG;
}

/* Parameters whose values are keys to something. */
bool
url_secret_param(const char *name, size_t n)
{
	static const char *const list[] = {"access_token", "upload_id", "key",
	    "token", "sig", "signature", "x-amz-signature", "x-amz-credential",
	    "x-amz-security-token", "awsaccesskeyid", "googleaccessid",
	    "x-goog-signature", "x-goog-credential", "appsecret_proof",
	    "assertion", "client_secret", "refresh_token", "policy",
	    "key-pair-id", NULL};

	for (size_t i = 0; list[i] != NULL; i++)
		if (strlen(list[i]) == n && strncasecmp(name, list[i], n) == 0)
			return true;
	return false;
}

char *
url_redacted(const char *url, bool no_query)
{
	struct buf b = BUF_INIT(1u << 20);
	size_t head = strcspn(url, "?");
	const char *p = url + head;
	char *text;

	buf_add(&b, url, head);
	while (*p != '\0' && !no_query) {
		size_t n = strcspn(p + 1, "&") + 1, eq = strcspn(p, "=");

		if (eq < n && url_secret_param(p + 1, eq - 1)) {
			buf_add(&b, p, eq);
			buf_str(&b, "=REDACTED");
		} else {
			buf_add(&b, p, n);
		}
		p += n;
	}
	text = xstrdup(buf_cstr(&b));
	buf_release(&b);
	return text;
}
