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

enum { STALL_BYTES = 1024, METADATA_S = 3, READ_BYTES = 256 << 10 };

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
		f->read = 0;
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

/* Link-local, or where a cloud keeps the credentials of its machines. */
static bool
not_for_data(const struct curl_sockaddr *to)
{
	static const unsigned char ec2[16] = {
	    0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54};
	const struct sockaddr_in *v4 = (const void *)&to->addr;
	const struct sockaddr_in6 *v6 = (const void *)&to->addr;
	const unsigned char *p;

	if (to->family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 16 == 0xa9fe;
	if (to->family != AF_INET6)
		return false;
	p = v6->sin6_addr.s6_addr;
	return IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) ||
	       memcmp(p, ec2, sizeof(ec2)) == 0 ||
	       (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) && p[12] == 169 &&
		   p[13] == 254);
}

/* The kernel is asked for no connection to what is only ours to reach. */
static curl_socket_t
on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct flight *f = arg;
	(void)purpose;
	f->link_local = f->link_local || not_for_data(to);
	if (f->link_local && !f->r.metadata)
		return CURL_SOCKET_BAD;
	return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
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
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)READ_BYTES);
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
	curl_easy_setopt(c, CURLOPT_DEBUGFUNCTION, wire_debug);
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
	f->wire = f->read = 0;
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
