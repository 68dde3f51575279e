/* One try of a request: a curl handle, its callbacks, and how it ended. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "http_impl.h"
#include "mem.h"

enum { STALL_BYTES = 1024, METADATA_S = 3 };

static bool
header_is(const char *line, size_t n, const char *name)
{
	size_t len = strlen(name);

	return n > len && line[len] == ':' && strncasecmp(line, name, len) == 0;
}

static size_t
on_header(char *line, size_t size, size_t n, void *arg)
{
	struct flight *f = arg;

	n *= size;
	f->lines++;
	if (n >= 5 && strncmp(line, "HTTP/", 5) == 0) {
		headers_reset(&f->hs); /* of the final answer alone */
		f->lengths = 0;
		f->framed = false;
	}
	if (header_is(line, n, "Content-Length"))
		f->lengths++;
	if (header_is(line, n, "Content-Length") ||
	    header_is(line, n, "Transfer-Encoding"))
		f->framed = true;
	if (!headers_add(&f->hs, line, n)) {
		f->header_over = true;
		return 0;
	}
	return n;
}

static bool
body_begins(struct flight *f)
{
	const char *coding = headers_get(&f->hs, "Content-Encoding");
	bool gzip = strcasecmp(coding, "gzip") == 0 ||
		    strcasecmp(coding, "x-gzip") == 0;

	if (!gzip && *coding != '\0' && strcasecmp(coding, "identity") != 0)
		f->bad_encoding = true;
	body_start(&f->body, f->a.body, f->h->max_body, gzip && !f->r.raw);
	return !f->bad_encoding || f->r.raw;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct flight *f = arg;

	n *= size;
	f->wire += n;
	if (f->lengths > 1)
		return 0;
	if (!f->body.begun && !body_begins(f))
		return 0;
	return body_take(&f->body, p, n) ? n : 0;
}

/* The kernel is asked for no connection to what is only ours to reach. */
static curl_socket_t
on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct flight *f = arg;
	const struct sockaddr_in *v4 = (const void *)&to->addr;
	const struct sockaddr_in6 *v6 = (const void *)&to->addr;

	(void)purpose;
	if ((to->family == AF_INET &&
		(ntohl(v4->sin_addr.s_addr) >> 16) == 0xa9fe) ||
	    (to->family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr)))
		f->link_local = true;
	if (f->link_local && !f->r.metadata)
		return CURL_SOCKET_BAD;
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

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

static int
on_debug(CURL *easy, curl_infotype type, char *p, size_t n, void *arg)
{
	static const char excess[] = "Excess found";
	struct flight *f = arg;

	(void)easy;
	/* libcurl says only here that a body was longer than its length */
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

/* NULL, or why the request cannot be sent. */
static const char *
url_wrong(const struct flight *f, bool *loopback)
{
	CURLU *u = curl_url();
	char *scheme = NULL, *host = NULL, *user = NULL;
	const char *why = NULL;

	if (u == NULL)
		die(RC_OSERR, NULL, "out of memory");
	if (strpbrk(f->url, "\r\n \t") != NULL ||
	    curl_url_set(u, CURLUPART_URL, f->url, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK) {
		why = "the URL is malformed";
		goto out;
	}
	*loopback = wire_loopback(host);
	if (curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_OK)
		why = "the URL has a user in it";
	else if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)
		why = "only https is spoken";
	else if (strcmp(scheme, "http") == 0 && !f->r.metadata &&
		 !(f->h->allow_http && *loopback))
		why = "only https is spoken";
out:
	curl_free(scheme);
	curl_free(host);
	curl_free(user);
	curl_url_cleanup(u);
	return why;
}

static bool
add_header(struct flight *f, const char *line)
{
	struct curl_slist *more;

	if (strpbrk(line, "\r\n") != NULL)
		return false;
	more = curl_slist_append(f->list, line);
	if (more == NULL)
		die(RC_OSERR, NULL, "out of memory");
	f->list = more;
	return true;
}

static bool
has_header(const struct flight *f, const char *name)
{
	for (const struct curl_slist *l = f->list; l != NULL; l = l->next)
		if (header_is(l->data, strlen(l->data), name))
			return true;
	return false;
}

/* The lines that sign() gave, each ended by \n or by the text's end. */
static bool
add_signature(struct flight *f, const char *text)
{
	while (*text != '\0') {
		size_t n = strcspn(text, "\n");
		char *line = xstrndup(text, n);
		bool good = n == 0 || add_header(f, line);

		explicit_bzero(line, n);
		free(line);
		if (!good)
			return false;
		text += n + (text[n] == '\n');
	}
	return true;
}

static int
sign(struct flight *f)
{
	struct http *h = f->h;
	struct buf line = BUF_INIT(64 << 10);
	int rc;

	if (h->sign == NULL || f->r.no_auth || f->r.secret_url)
		return RC_OK;
	h->signing = true;
	rc = h->sign(h->sign_ctx, f->refresh, &line);
	h->signing = false;
	f->refresh = false;
	if (rc == RC_OK && !add_signature(f, buf_cstr(&line)))
		rc = RC_CONFIG;
	if (line.p != NULL)
		explicit_bzero(line.p, line.cap);
	buf_release(&line);
	if (rc != RC_OK)
		snprintf(f->j.why, sizeof(f->j.why), "no credentials");
	return rc;
}

static void
limits(struct flight *f)
{
	const struct http *h = f->h;
	CURL *c = f->easy;
	long stall = h->stall_s > 0 ? (long)h->stall_s : 1;
	uint64_t connect_s = f->r.metadata && h->connect_s > METADATA_S
				 ? METADATA_S
				 : h->connect_s;

	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_s * 1000);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)h->total_s * 1000);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, stall);
	curl_easy_setopt(
	    c, CURLOPT_LOW_SPEED_LIMIT, (STALL_BYTES + stall - 1) / stall);
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https,http");
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(c, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(c, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	if (h->ca_file != NULL)
		curl_easy_setopt(c, CURLOPT_CAINFO, h->ca_file);
}

static void
callbacks(struct flight *f)
{
	CURL *c = f->easy;

	curl_easy_setopt(c, CURLOPT_PRIVATE, f);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, f->errbuf);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, f);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, f);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_socket);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, f);
	curl_easy_setopt(c, CURLOPT_DEBUGFUNCTION, on_debug);
	curl_easy_setopt(c, CURLOPT_DEBUGDATA, f);
	curl_easy_setopt(c, CURLOPT_VERBOSE, 1L);
}

static void
method(struct flight *f)
{
	CURL *c = f->easy;
	bool body = f->r.body != NULL || strcmp(f->method, "POST") == 0 ||
		    strcmp(f->method, "PUT") == 0 ||
		    strcmp(f->method, "PATCH") == 0;

	if (body) {
		curl_easy_setopt(
		    c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->r.body_len);
		curl_easy_setopt(
		    c, CURLOPT_POSTFIELDS, f->r.body != NULL ? f->r.body : "");
	}
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, f->method);
	if (strcmp(f->method, "HEAD") == 0)
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
}

static int
headers(struct flight *f)
{
	static const char *const none[] = {"Expect", "Content-Type", NULL};
	int rc;

	for (size_t i = 0; f->headers != NULL && f->headers[i] != NULL; i++)
		if (!add_header(f, f->headers[i])) {
			snprintf(f->j.why, sizeof(f->j.why),
			    "a header has a line break in it");
			return RC_CONTRACT;
		}
	if (!f->r.raw && !has_header(f, "Accept-Encoding"))
		add_header(f, "Accept-Encoding: gzip");
	for (size_t i = 0; none[i] != NULL; i++)
		if (!has_header(f, none[i])) {
			char line[32];

			snprintf(line, sizeof(line), "%s:", none[i]);
			add_header(f, line);
		}
	rc = sign(f);
	curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->list);
	return rc;
}

int
wire_begin(struct flight *f)
{
	bool loopback = false;
	const char *why = url_wrong(f, &loopback);
	int rc;

	if (why != NULL) {
		snprintf(f->j.why, sizeof(f->j.why), "%s", why);
		return RC_CONFIG;
	}
	f->easy = curl_easy_init();
	if (f->easy == NULL)
		die(RC_OSERR, NULL, "out of memory");
	f->errbuf[0] = '\0';
	f->lengths = f->lines = 0;
	f->framed = f->header_over = f->excess = false;
	f->bad_encoding = f->link_local = false;
	f->wire = 0;
	headers_reset(&f->hs);
	spool_reset(f->a.body);
	body_start(&f->body, f->a.body, f->h->max_body, false);
	limits(f);
	callbacks(f);
	curl_easy_setopt(f->easy, CURLOPT_URL, f->url);
	curl_easy_setopt(f->easy, CURLOPT_USERAGENT, f->h->agent);
	if (loopback || f->r.metadata)
		curl_easy_setopt(f->easy, CURLOPT_PROXY, "");
	if (f->r.secret_url)
		curl_easy_setopt(f->easy, CURLOPT_FRESH_CONNECT, 1L);
	method(f);
	rc = headers(f);
	if (rc != RC_OK) {
		wire_drop(f);
		return rc;
	}
	if (curl_multi_add_handle(f->h->multi, f->easy) != CURLM_OK)
		die(RC_OSERR, NULL, "out of memory");
	f->h->running++;
	return RC_OK;
}

void
wire_drop(struct flight *f)
{
	for (struct curl_slist *l = f->list; l != NULL; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
	curl_slist_free_all(f->list);
	f->list = NULL;
	curl_easy_cleanup(f->easy);
	f->easy = NULL;
	body_stop(&f->body);
}

/* How it ended -------------------------------------------------------------*/

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
	case CURLE_OUT_OF_MEMORY: /* what libcurl says of a giant header, too */
		if (f->lines > 0 && !f->body.begun)
			return because(f, HTTP_CONTRACT, RC_CONTRACT,
			    "the headers are too large");
		die(RC_OSERR, NULL, "out of memory");
	default:
		return HTTP_RETRY;
	}
}

/* The whole of the body came, by its form or by its end. */
static enum verdict
whole(struct flight *f)
{
	if (f->lengths > 1)
		return own_stop(f);
	if (!body_end(&f->body))
		return because(f, HTTP_RETRY, 0, f->body.wrong);
	if (f->excess)
		return because(f, HTTP_RETRY, 0,
		    "the body is longer than its length says");
	if (!f->framed && f->body.begun && !f->body.gzip &&
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
	v = code == CURLE_OK ? whole(f) : broken(f, code);
	f->a.status = v == HTTP_OK ? (int)status : 0;
	spool_rewind(f->a.body);
	return v;
}
