/*
 * HTTP for all network tools: libcurl's multi interface behind requests whose
 * answers come in order, with retries, limits and nothing to leak.
 *
 * TLS is verified, redirects are off, cookies and netrc too; http is for
 * loopback alone. A request is tried again only when its source's table calls
 * the answer transient (docs/errors.md). Bodies are inflated by us, with CRC
 * and a limit that counts decoded bytes. An answer's body goes to a spool
 * (memory, then an unlinked file) and is handed over whole, or never.
 */
#ifndef WEIR_HTTP_H
#define WEIR_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "opt.h"
#include "spool.h"

/* --ca-file, --connect-timeout, --stall-timeout, --timeout, --tries,
 * --backoff (scale in per cent, for tests), --max-wait, --budget, --max-body,
 * --parallel, --allow-http, --record DIR, --replay DIR, --verbose. */
enum {
	OPT_HTTP = OPT_FILTER + 20, /* first of 30 keys */
};
extern const struct opt http_options[];

struct http;
struct http_judgement;

/* What became of an answer; the source's table says which. */
enum verdict {
	HTTP_OK, /* take it */
	HTTP_RETRY, /* transient: wait, try again, 75 in the end */
	HTTP_REAUTH, /* 401: refresh the token once, then 77 */
	HTTP_AUTH, /* 77 */
	HTTP_CONTRACT, /* 65 */
	HTTP_CONFIG, /* 78 */
	HTTP_NOT_READY, /* the caller's to settle */
	HTTP_EMPTY,
	HTTP_GONE,
	HTTP_SPLIT, /* the request is too big: make it smaller */
	HTTP_EXISTS, /* 409 where we create with our own id */
};

struct http_answer {
	int status; /* HTTP status; 0: none came */
	enum verdict verdict;
	int rc; /* exit status for a verdict that fails */
	const char *why; /* cleaned message, at most 200 bytes */
	const char *reason; /* the service's own code or reason, "" */
	struct spool *body; /* decoded; rewound; belongs to the answer */
	unsigned tries;
	const char *location; /* Location header, "" */
	const char *range; /* Range header, "" */
	const void *headers; /* for http_header */
	unsigned odd; /* answers to this request so far that made no sense */
};
/* A header's value (case-insensitive name), "" where missing. */
const char *http_header(const struct http_answer *a, const char *name);

struct http_request {
	const char *method; /* "GET", "POST", "PUT", "PATCH", "DELETE" */
	const char *url; /* whole; a secret where secret_url is set */
	const char *const *headers; /* "Name: value", NULL-ended, no auth */
	const void *body;
	size_t body_len;
	bool secret_url; /* presigned: never shown, no Authorization sent */
	bool no_auth;
	bool once; /* not to be repeated after bytes were sent */
	/* Judges a whole answer; may sniff the body (first bytes or all of
	 * it, in memory up to 1 MiB). wait_ms: what vendor headers ask for,
	 * -1 for our own backoff. */
	enum verdict (*judge)(void *ctx, const struct http_answer *a,
	    struct http_judgement *out);
	void *ctx;
	void *user; /* the caller's */
	bool raw; /* the body as it comes, gzip is not undone */
	bool json; /* a good answer is a JSON object; what cannot be one is asked
		    for once more, then refused */
	bool unrecorded; /* holds a secret: neither recorded nor replayed */
	bool metadata; /* plain http to a metadata server: 3 s, 3 tries */
};
struct http_judgement {
	int64_t wait_ms;
	char why[256], reason[64];
	int rc; /* 0: by the verdict */
};

/* Adds the Authorization header (and what else a source signs with) to each
 * try; refresh: the last one was answered 401. RC_OK or why not (said). */
typedef int http_sign(void *ctx, bool refresh, struct buf *header);

struct http *http_open(const char *tool_and_version);
bool http_opt(struct http *h, int key); /* one of http_options? */
int http_start(struct http *h); /* options are complete; RC_OK or said */
/* Offline, from a recording: no credentials are needed, none are asked for. */
bool http_replaying(const struct http *h);
/* Answers are recorded or come from a recording: requests must be the same
 * each time. */
bool http_taping(const struct http *h);
void http_auth(struct http *h, http_sign *sign, void *ctx);
/* Spacing of requests to one host: vendor pacing. */
void http_pace(struct http *h, int64_t ms);
/* --tries: of one request. */
unsigned http_tries(const struct http *h);
/* A wait of the caller's own (polling), scaled by --backoff, none in a replay;
 * ended by a signal. */
void http_pause(struct http *h, int64_t ms);

/* One request, all tries. The answer lasts until http_done. */
struct http_answer *http_do(struct http *h, const struct http_request *r);
void http_done(struct http *h, struct http_answer *a);
/* Queues a request (copied); at most --parallel run at once. */
void http_queue(struct http *h, const struct http_request *r);
/* The oldest queued request's answer, waiting for it; NULL: none queued.
 * *user is the request's. */
struct http_answer *http_next(struct http *h, void **user);
/* The general table: status, Retry-After, HTML, error shapes of Google,
 * Graph and JSON:API; sources call it for what their own rows do not name. */
enum verdict http_judge(const struct http_answer *a,
    struct http_judgement *out);
void http_close(struct http *h); /* counts go to WEIR_STATS */

/* URL building: percent-encoded parameters appended with ? or &. */
void url_param(struct buf *url, const char *name, const char *value);
void url_escape(struct buf *url, const char *text, size_t len);
/* Base URLs from options or environment: scheme https (http: loopback and
 * --allow-http only), no user info, no fragment. RC_OK or RC_CONFIG, said. */
int url_check_base(const struct http *h, const char *what, const char *url);

#endif
