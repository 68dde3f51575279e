/* How a try ended: whole, broken off by us, or lost on the way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "http_impl.h"

static enum verdict
because(struct flight *f, enum verdict v, int rc, const char *why)
{
	snprintf(f->j.why, sizeof(f->j.why), "%s", why);
	f->j.rc = rc;
	f->j.wait_ms = -1;
	return v;
}

static bool
tls_final(const struct flight *f, CURLcode code)
{
	static const char *const words[] = {"version", "unsupported protocol",
	    "no protocols", "no shared cipher", "handshake failure", "verify",
	    "certificate", NULL};

	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_INVALIDCERTSTATUS:
	case CURLE_SSL_ENGINE_NOTFOUND:
		return true;
	case CURLE_SSL_CONNECT_ERROR:
		for (size_t i = 0; words[i] != NULL; i++)
			if (strstr(f->errbuf, words[i]) != NULL)
				return true;
		return false;
	default:
		return false;
	}
}

/* We broke it off ourselves: why. */
static enum verdict
own_stop(struct flight *f)
{
	char text[128];

	if (f->header_over)
		return because(
		    f, HTTP_CONTRACT, RC_CONTRACT, "the headers are too large");
	if (f->lengths > 1)
		return because(f, HTTP_CONTRACT, RC_CONTRACT,
		    "the answer has two lengths");
	if (f->bad_encoding && !f->r.raw)
		return because(f, HTTP_CONTRACT, RC_CONTRACT,
		    "the body is packed in a way we did not ask for");
	if (f->body.over)
		return because(f, HTTP_CONTRACT, RC_CONTRACT,
		    "the body is larger than --max-body");
	if (f->body.error != 0) {
		snprintf(text, sizeof(text), "cannot keep the body: %s",
		    strerror(f->body.error));
		return because(f, HTTP_CONTRACT, RC_IO, text);
	}
	if (f->body.wrong != NULL)
		return because(f, HTTP_RETRY, 0, f->body.wrong);
	return HTTP_OK;
}

static enum verdict
broken(struct flight *f, CURLcode code)
{
	const char *text =
	    f->errbuf[0] != '\0' ? f->errbuf : curl_easy_strerror(code);
	char quoted[DIAG_QUOTE];
	long connect_code = 0;
	enum verdict v = own_stop(f);

	if (v != HTTP_OK)
		return v;
	curl_easy_getinfo(f->easy, CURLINFO_HTTP_CONNECTCODE, &connect_code);
	if (connect_code == 407)
		return because(
		    f, HTTP_CONFIG, RC_CONFIG, "the proxy asks for a password");
	if (connect_code >= 400 && connect_code < 500)
		return because(f, HTTP_CONFIG, RC_CONFIG,
		    "the proxy refuses the connection");
	if (f->link_local && !f->r.metadata)
		return because(f, HTTP_CONFIG, RC_CONFIG,
		    "the name leads to a link-local address");
	diag_quote(quoted, text, strlen(text));
	snprintf(f->j.why, sizeof(f->j.why), "%.*s",
	    (int)(strlen(quoted) - 2 < 200 ? strlen(quoted) - 2 : 200),
	    quoted + 1);
	f->j.wait_ms = -1;
	if (tls_final(f, code)) {
		f->j.rc = RC_CONFIG;
		return HTTP_CONFIG;
	}
	switch (code) {
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		f->j.rc = RC_CONFIG;
		return HTTP_CONFIG;
#if LIBCURL_VERSION_NUM >= 0x080600
	case CURLE_TOO_LARGE:
		return because(f, HTTP_CONTRACT, RC_CONTRACT,
		    "the headers are too large");
#endif
	case CURLE_OUT_OF_MEMORY: /* what older ones say of a giant header */
		if (f->lines > 0 && !f->body.begun)
			return because(f, HTTP_CONTRACT, RC_CONTRACT,
			    "the headers are too large");
		die(RC_OSERR, NULL, "out of memory");
	default:
		return HTTP_RETRY;
	}
}

/* More was read than the answer's length says. */
static bool
too_long(const struct flight *f)
{
	const char *length = headers_get(&f->hs, "Content-Length");

	return f->excess ||
	       (*length != '\0' &&
		   *headers_get(&f->hs, "Transfer-Encoding") == '\0' &&
		   f->read > strtoull(length, NULL, 10));
}

/* The whole of the body came, by its form or by its end. */
static enum verdict
whole(struct flight *f, long status)
{
	if (f->lengths > 1)
		return own_stop(f);
	if (!body_end(&f->body))
		return own_stop(f);
	if (too_long(f))
		return because(f, HTTP_RETRY, 0,
		    "the body is longer than its length says");
	if (status < 300 && !f->framed && f->body.begun && !f->body.gzip &&
	    f->body.last != '}' && f->body.last != ']')
		return because(f, HTTP_RETRY, 0,
		    "the body's end cannot be told from a cut");
	return HTTP_OK;
}

enum verdict
wire_end(struct flight *f, CURLcode code)
{
	enum verdict v;
	long status = 0, request = 0;

	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(f->easy, CURLINFO_REQUEST_SIZE, &request);
	f->sent = request > 0;
	f->h->bytes += f->wire;
	v = code == CURLE_OK ? whole(f, status) : broken(f, code);
	f->a.status = v == HTTP_OK ? (int)status : 0;
	spool_rewind(f->a.body);
	return v;
}
