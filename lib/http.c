/* Requests in flight: their order, their tries, their waits. */
#include "http.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "diag.h"
#include "exits.h"
#include "http_impl.h"
#include "mem.h"
#include "stats.h"
#include "sys.h"

enum {
	BACKOFF_MS = 1000,
	BACKOFF_MAX_MS = 64000,
	METADATA_TRIES = 3,
	POLL_MS = 250, /* signals are looked at */
};

#define MS_NS INT64_C(1000000)

struct http *
http_open(const char *tool_and_version)
{
	struct http *h = xcalloc(1, sizeof(*h));

	signal(SIGPIPE, SIG_IGN);
	h->agent = xstrdup(tool_and_version);
	h->connect_s = 10;
	h->stall_s = 30;
	h->total_s = 300;
	h->tries = 5;
	h->backoff = 100;
	h->max_wait_s = 120;
	h->budget_s = 21600;
	h->max_body = UINT64_C(1) << 30;
	h->parallel = 4;
	h->record_fd = -1;
	return h;
}

int
http_start(struct http *h)
{
	int rc = replay_start(h);

	if (rc != RC_OK)
		return rc;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
	    (h->multi = curl_multi_init()) == NULL)
		die(RC_OSERR, NULL, "cannot start libcurl");
	sys_random(&h->jitter, sizeof(h->jitter));
	h->jitter |= 1;
	h->began = sys_mono_ns();
	h->started = true;
	return RC_OK;
}

bool
http_replaying(const struct http *h)
{
	return h->replay != NULL;
}

void
http_auth(struct http *h, http_sign *sign, void *ctx)
{
	h->sign = sign;
	h->sign_ctx = ctx;
}

void
http_pace(struct http *h, int64_t ms)
{
	h->pace_ms = ms;
}

unsigned
http_tries(const struct http *h)
{
	return (unsigned)h->tries;
}

/* Flights ---------------------------------------------------------------- */

static char **
copy_headers(const char *const *from)
{
	size_t n = 0;
	char **to;

	if (from == NULL)
		return NULL;
	while (from[n] != NULL)
		n++;
	to = xcalloc(n + 1, sizeof(*to));
	for (size_t i = 0; i < n; i++)
		to[i] = xstrdup(from[i]);
	return to;
}

static struct flight *
flight_new(struct http *h, const struct http_request *r)
{
	struct flight *f = xcalloc(1, sizeof(*f)), **at = &h->flights;

	f->h = h;
	f->r = *r;
	f->method = xstrdup(r->method);
	f->url = xstrdup(r->url);
	f->shown = url_redacted(r->url, r->secret_url);
	if (r->secret_url && strchr(f->url, '?') != NULL)
		diag_secret(
		    strchr(f->url, '?') + 1, strlen(strchr(f->url, '?') + 1));
	f->headers = copy_headers(r->headers);
	if (r->body != NULL) {
		f->body_copy = xmalloc(r->body_len + 1);
		memcpy(f->body_copy, r->body, r->body_len);
		f->r.body = f->body_copy;
	}
	f->a.body = spool_new();
	f->a.why = f->j.why;
	f->a.reason = f->j.reason;
	f->a.location = f->a.range = "";
	f->a.headers = &f->hs;
	while (*at != NULL)
		at = &(*at)->next;
	*at = f;
	return f;
}

static void
flight_free(struct flight *f)
{
	struct flight **at = &f->h->flights;

	while (*at != NULL && *at != f)
		at = &(*at)->next;
	if (*at == f)
		*at = f->next;
	if (f->easy != NULL) {
		curl_multi_remove_handle(f->h->multi, f->easy);
		f->h->running--;
		wire_drop(f);
	}
	for (size_t i = 0; f->headers != NULL && f->headers[i] != NULL; i++)
		free(f->headers[i]);
	free(f->headers);
	if (f->r.secret_url && strchr(f->url, '?') != NULL)
		diag_forget(strchr(f->url, '?') + 1);
	if (f->body_copy != NULL)
		explicit_bzero(f->body_copy, f->r.body_len);
	free(f->body_copy);
	free(f->method);
	free(f->url);
	free(f->shown);
	free(f->recorded);
	body_stop(&f->body);
	headers_release(&f->hs);
	spool_free(f->a.body);
	free(f);
}

static void
settle(struct flight *f, enum verdict v, int rc)
{
	f->a.verdict = v;
	f->a.rc = rc;
	f->a.location = headers_get(&f->hs, "Location");
	f->a.range = headers_get(&f->hs, "Range");
	f->state = FLIGHT_DONE;
	spool_rewind(f->a.body);
}

static uint64_t
jitter(struct http *h, uint64_t below)
{
	h->jitter ^= h->jitter << 13;
	h->jitter ^= h->jitter >> 7;
	h->jitter ^= h->jitter << 17;
	return below == 0 ? 0 : h->jitter % below;
}

/* How long until the next try, in ms; the service's wish or our own. */
static int64_t
pause_ms(struct flight *f)
{
	unsigned n = f->a.tries - 1;
	int64_t top = n > 6 ? BACKOFF_MAX_MS : (int64_t)BACKOFF_MS << n;

	if (f->j.wait_ms >= 0)
		return f->j.wait_ms;
	if (top > BACKOFF_MAX_MS)
		top = BACKOFF_MAX_MS;
	return (int64_t)jitter(f->h, (uint64_t)top + 1);
}

static bool
may_repeat(const struct flight *f)
{
	if (!f->r.once || f->a.status == 429)
		return true;
	return f->a.status == 0 && !f->sent;
}

static int64_t
scaled(const struct http *h, int64_t ms)
{
	if (h->replay != NULL)
		return 0;
	return ms / 100 * (int64_t)h->backoff +
	       ms % 100 * (int64_t)h->backoff / 100;
}

void
http_pause(struct http *h, int64_t ms)
{
	int64_t until = sys_mono_ns() + scaled(h, ms) * MS_NS, left;

	h->waited_ms += (uint64_t)scaled(h, ms);
	while ((left = until - sys_mono_ns()) > 0 && sig_pending() == 0) {
		struct timespec t;

		left = left < POLL_MS * MS_NS ? left : POLL_MS * MS_NS;
		t = (struct timespec){.tv_nsec = left};
		nanosleep(&t, NULL);
	}
}

/* The metadata server answers at once, or is not there. */
static uint64_t
tries_of(const struct flight *f)
{
	uint64_t n = f->h->tries;

	return f->r.metadata && n > METADATA_TRIES ? METADATA_TRIES : n;
}

/* Another try, or the end of it. */
static void
retry(struct flight *f, bool repeatable)
{
	struct http *h = f->h;
	int rc = f->j.rc != 0 ? f->j.rc : RC_TRANSIENT;
	int64_t wait = pause_ms(f), now = sys_mono_ns();
	size_t n = strlen(f->j.why);

	if (wait / 1000 > (int64_t)h->max_wait_s && f->j.wait_ms >= 0) {
		if (wait < INT64_C(1000000000000))
			snprintf(f->j.why + n, sizeof(f->j.why) - n,
			    "; to be tried again in %lld s",
			    (long long)(wait / 1000));
		settle(f, HTTP_RETRY, rc);
		return;
	}
	wait = scaled(h, wait);
	if (f->a.tries >= tries_of(f) || !repeatable ||
	    (now - h->began) / MS_NS + wait > (int64_t)h->budget_s * 1000) {
		if (f->a.tries > 1)
			snprintf(f->j.why + n, sizeof(f->j.why) - n,
			    " (%u tries)", f->a.tries);
		settle(f, HTTP_RETRY, rc);
		return;
	}
	if (h->verbose)
		warn_msg(f->shown, "%s; again in %lld ms", f->j.why,
		    (long long)wait);
	h->retries++;
	h->waited_ms += (uint64_t)wait;
	f->not_before = now + wait * MS_NS;
	f->state = FLIGHT_WAITING;
}

/* A look at its ends: who takes it looks at all of it. */
static enum verdict
must_be_object(struct flight *f)
{
	char first, last;

	spool_ends(f->a.body, &first, &last);
	if (first == '{' && last == '}')
		return HTTP_OK;
	snprintf(f->j.why, sizeof(f->j.why),
	    "status %d with something else than a JSON object", f->a.status);
	f->j.rc = RC_CONTRACT;
	f->j.wait_ms = -1;
	return f->a.odd == 0 ? HTTP_RETRY : HTTP_CONTRACT;
}

static void
judge(struct flight *f, enum verdict wire)
{
	struct http *h = f->h;
	enum verdict v = wire;
	bool repeatable = may_repeat(f);

	if (wire == HTTP_OK) {
		f->j = (struct http_judgement){.wait_ms = -1};
		v = f->r.judge != NULL ? f->r.judge(f->r.ctx, &f->a, &f->j)
				       : http_judge(&f->a, &f->j);
		spool_rewind(f->a.body);
		if (v == HTTP_OK && f->r.json && f->a.status < 300)
			v = must_be_object(f);
		if (f->a.status < 300 && v == HTTP_RETRY &&
		    f->j.rc == RC_CONTRACT)
			f->a.odd++;
		repeatable = !f->r.once || f->a.status == 429;
	}
	if (h->verbose)
		warn_msg(f->shown, "%s: status %d, %llu bytes", f->method,
		    f->a.status, (unsigned long long)f->wire);
	if (v == HTTP_REAUTH && h->sign != NULL && !f->refreshed &&
	    !f->r.no_auth && !f->r.secret_url && h->replay == NULL) {
		f->refresh = f->refreshed = true;
		f->state = FLIGHT_WAITING;
		f->not_before = 0;
		h->retries++;
		return;
	}
	if (v == HTTP_RETRY)
		retry(f, repeatable);
	else
		settle(f, v, f->j.rc != 0 ? f->j.rc : verdict_rc(v));
}

static void
begin(struct flight *f)
{
	int rc;

	f->state = FLIGHT_SIGNING;
	f->a.tries++;
	f->h->requests++;
	f->j = (struct http_judgement){.wait_ms = -1};
	if (f->h->replay != NULL) {
		if (replay_answer(f)) {
			judge(f, HTTP_OK);
		} else {
			snprintf(f->j.why, sizeof(f->j.why),
			    "the recording has no such answer");
			settle(f, HTTP_CONTRACT, RC_CONTRACT);
		}
		return;
	}
	f->h->last_start = sys_mono_ns();
	rc = wire_begin(f);
	if (rc == RC_OK)
		f->state = FLIGHT_RUNNING;
	else
		settle(f,
		    rc == RC_TRANSIENT ? HTTP_RETRY
		    : rc == RC_AUTH    ? HTTP_AUTH
				       : HTTP_CONFIG,
		    rc);
}

static void
ended(struct flight *f, CURLcode code)
{
	enum verdict v = wire_end(f, code);
	int rc;

	curl_multi_remove_handle(f->h->multi, f->easy);
	f->h->running--;
	wire_drop(f);
	if (v == HTTP_OK && (rc = record_answer(f)) != RC_OK) {
		snprintf(f->j.why, sizeof(f->j.why), "cannot record");
		settle(f, HTTP_CONTRACT, rc);
		return;
	}
	judge(f, v);
}

/* Starts what may start; the time until something else may, in ms. */
static int64_t
start_some(struct http *h)
{
	int64_t now = sys_mono_ns(), soon = POLL_MS;
	uint64_t ahead = 0; /* room for answers that nobody took yet */

	for (struct flight *f = h->flights; f != NULL; f = f->next) {
		int64_t at = f->not_before, pace;

		if (f->queued && f->state != FLIGHT_WAITING)
			ahead++;
		if (f->state != FLIGHT_WAITING)
			continue;
		if (h->signing && !f->r.no_auth)
			continue;
		if (f->queued &&
		    ahead++ >= (h->replay != NULL ? 1 : h->parallel * 2))
			break;
		if (!h->signing && h->running >= h->parallel)
			continue;
		pace = h->last_start + scaled(h, h->pace_ms) * MS_NS;
		if (h->pace_ms > 0 && !f->r.secret_url && pace > at &&
		    h->last_start > 0)
			at = pace;
		if (at <= now) {
			begin(f);
			now = sys_mono_ns();
		} else if ((at - now) / MS_NS + 1 < soon) {
			soon = (at - now) / MS_NS + 1;
		}
	}
	return soon;
}

static void
interrupt(struct http *h)
{
	for (struct flight *f = h->flights; f != NULL; f = f->next) {
		if (f->state == FLIGHT_DONE)
			continue;
		if (f->easy != NULL && f->state == FLIGHT_RUNNING) {
			curl_multi_remove_handle(h->multi, f->easy);
			h->running--;
			wire_drop(f);
		}
		f->a.status = 0;
		snprintf(f->j.why, sizeof(f->j.why), "interrupted");
		settle(f, HTTP_RETRY, 128 + sig_pending());
	}
}

/* True where something ended: what waits may start now. */
static bool
collect(struct http *h)
{
	CURLMsg *m;
	int left;
	bool any = false;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		char *mine = NULL;
		CURLcode code = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		any = true;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &mine);
		ended((struct flight *)(void *)mine, code);
	}
	return any;
}

static void
run_until(struct http *h, const struct flight *f)
{
	while (f->state != FLIGHT_DONE) {
		int64_t wait;
		int running = 0;

		if (sig_pending() != 0) {
			interrupt(h);
			continue;
		}
		wait = start_some(h);
		if (f->state == FLIGHT_DONE)
			break;
		if (curl_multi_perform(h->multi, &running) != CURLM_OK)
			die(RC_INTERNAL, NULL, "libcurl has lost its way");
		if (!collect(h) && f->state != FLIGHT_DONE)
			curl_multi_poll(h->multi, NULL, 0, (int)wait, NULL);
	}
}

struct http_answer *
http_do(struct http *h, const struct http_request *r)
{
	struct flight *f = flight_new(h, r);

	run_until(h, f);
	return &f->a;
}

void
http_queue(struct http *h, const struct http_request *r)
{
	flight_new(h, r)->queued = true;
}

struct http_answer *
http_next(struct http *h, void **user)
{
	struct flight *f = h->flights;

	while (f != NULL && !f->queued)
		f = f->next;
	if (f == NULL)
		return NULL;
	run_until(h, f);
	f->queued = false; /* the caller's from now on */
	if (user != NULL)
		*user = f->r.user;
	return &f->a;
}

void
http_done(struct http *h, struct http_answer *a)
{
	(void)h;
	if (a != NULL)
		flight_free((struct flight *)(void *)a);
}

void
http_close(struct http *h)
{
	if (h == NULL)
		return;
	while (h->flights != NULL)
		flight_free(h->flights);
	if (h->started) {
		stats_add("requests", h->requests);
		stats_add("retries", h->retries);
		stats_add("bytes_in", h->bytes);
		stats_add("waited_ms", h->waited_ms);
	}
	replay_close(h);
	if (h->multi != NULL) {
		curl_multi_cleanup(h->multi);
		curl_global_cleanup();
	}
	free(h->agent);
	free(h);
}
