/* What the parts of the HTTP module share. */
#ifndef WEIR_HTTP_IMPL_H
#define WEIR_HTTP_IMPL_H

#include <curl/curl.h>

#include "http.h"

enum {
	HEADERS_MAX = 128,
	HEADER_BYTES = 64 << 10,
	NO_WAIT_LIMIT = 1000,
};

/* The headers of the last answer; text holds "name\0value\0" pairs. */
struct headers {
	struct buf text;
	size_t at[HEADERS_MAX][2]; /* name, value: offsets */
	size_t n;
};
void headers_reset(struct headers *hs);
void headers_release(struct headers *hs);
/* A line as it came; false: too many or too long. */
bool headers_add(struct headers *hs, const char *line, size_t n);
const char *headers_get(const struct headers *hs, const char *name);

/* Takes the bytes of a body, undoes gzip, counts. */
struct body {
	struct spool *out;
	uint64_t max;
	void *gz;
	bool gzip, done, begun;
	unsigned char last; /* the last byte that is no blank */
	const char *wrong;  /* damaged: try again */
	bool over;          /* larger than max */
	int error;          /* errno of the spool */
};
void body_start(struct body *b, struct spool *out, uint64_t max, bool gzip);
bool body_take(struct body *b, const void *p, size_t n);
/* The body came to its end; false: it is not whole. */
bool body_end(struct body *b);
void body_stop(struct body *b);

enum flight_state {
	FLIGHT_WAITING,
	FLIGHT_SIGNING,
	FLIGHT_RUNNING,
	FLIGHT_DONE
};

struct flight {
	struct http_answer a; /* first: the caller's view */
	struct http *h;
	struct flight *next;
	enum flight_state state;
	bool queued; /* in order, for http_next */

	/* the request, copied */
	struct http_request r;
	char *method, *url, *shown; /* shown: without secrets */
	char **headers;
	void *body_copy;

	/* the try */
	CURL *easy;
	struct curl_slist *list;
	struct body body;
	struct headers hs;
	struct http_judgement j;
	char errbuf[CURL_ERROR_SIZE];
	int64_t not_before; /* monotonic ns */
	unsigned lines;     /* of the head */
	unsigned lengths;   /* Content-Length headers */
	bool framed;        /* the end of the body is told by its form */
	bool header_over, excess, bad_encoding, link_local;
	bool sent; /* something of the request */
	bool refresh, refreshed;
	uint64_t wire;  /* bytes as they came */
	uint64_t read;  /* of the body, and what came behind it */
	char *recorded; /* name in a recording */
};

struct http {
	CURLM *multi;
	char *agent;
	http_sign *sign;
	void *sign_ctx;
	bool signing, started;
	struct flight *flights; /* oldest first */
	unsigned running;
	int64_t pace_ms, last_start, began;
	uint64_t jitter;

	/* options */
	const char *ca_file, *record, *replay;
	uint64_t connect_s, stall_s, total_s, tries, backoff, max_wait_s;
	uint64_t budget_s, max_body, parallel;
	bool allow_http, verbose;

	int record_fd;
	struct seen_name {
		char name[33];
		unsigned count;
	} * names;
	size_t name_count, name_cap;

	uint64_t requests, retries, bytes, waited_ms;
};

/* http_trace.c */
int wire_debug(CURL *easy, curl_infotype type, char *p, size_t n, void *arg);

/* http_wire.c: one try. RC_OK or not begun: f->j says why. */
int wire_begin(struct flight *f);
/* http_end.c: the try ended; verdict, and f->j filled. */
enum verdict wire_end(struct flight *f, CURLcode code);
void wire_drop(struct flight *f);
bool wire_loopback(const char *host);

/* http_judge.c */
int verdict_rc(enum verdict v);
/* Milliseconds a Retry-After asks for, -1 for none or unreadable. */
int64_t retry_after_ms(const struct http_answer *a);

/* http_replay.c */
int replay_start(struct http *h); /* RC_OK, or said */
/* Fills the answer from the recording; false: there is none. */
bool replay_answer(struct flight *f);
int record_answer(struct flight *f);
void replay_close(struct http *h);
/* The URL with the values of secret parameters taken out. */
char *url_redacted(const char *url, bool no_query);
bool url_secret_param(const char *name, size_t n);

#endif
