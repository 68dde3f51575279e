/*
 * http_get: the HTTP module from the command line, for the tests. Bodies go
 * to stdout in the order of the URLs; a line a request goes to stderr:
 *	verdict status tries rc why
 * The exit status is the gravest of the answers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "auth.h"
#include "diag.h"
#include "exits.h"
#include "http.h"
#include "page.h"
#include "stats.h"
#include "sys.h"

enum {
	KEY_HEADER = OPT_TOOL,
	KEY_POST,
	KEY_BEARER,
	KEY_GOOGLE,
	KEY_CREDENTIALS,
	KEY_IMPERSONATE,
	KEY_TOKEN_URL,
	KEY_ASC,
	KEY_SECRET_URL,
	KEY_RAW,
	KEY_ONCE,
	KEY_ARRAY,
	KEY_RSS,
	KEY_PACE,
	KEY_REPEAT,
};

static const struct opt options[] = {
    {"header", KEY_HEADER, "line", "send this header"},
    {"post", KEY_POST, "text", "post this"},
    {"bearer", KEY_BEARER, "file", "a token"},
    {"google", KEY_GOOGLE, NULL, "credentials of Google's"},
    {"credentials", KEY_CREDENTIALS, "file", "from this file"},
    {"impersonate", KEY_IMPERSONATE, "account", "as this account"},
    {"token-url", KEY_TOKEN_URL, "url", "of the token server"},
    {"asc", KEY_ASC, "file", "a key of App Store Connect"},
    {"secret-url", KEY_SECRET_URL, NULL, "the URL is a secret"},
    {"raw", KEY_RAW, NULL, "bodies as they come"},
    {"once", KEY_ONCE, NULL, "no second try"},
    {"array", KEY_ARRAY, "name", "cut this array"},
    {"rss", KEY_RSS, NULL, "say the memory used"},
    {"pace", KEY_PACE, "ms", "time between requests"},
    {"repeat", KEY_REPEAT, "n", "each URL so often"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "[option ...] url ...", {options, http_options, NULL}};

struct get {
	struct http *h;
	const char *headers[9];
	size_t header_count;
	const char *post, *array;
	const char *credentials, *impersonate, *token_url;
	bool google, rss;
	uint64_t repeat;
	struct bearer_auth *bearer;
	struct asc_auth *asc;
	struct google_auth *google_auth;
	struct http_request r;
	struct spool *kept;
};

static int
element(void *ctx, const char *text, size_t len)
{
	struct get *g = ctx;

	return spool_write(g->kept, text, len) < 0 ||
		       spool_write(g->kept, "\n", 1) < 0
		   ? RC_IO
		   : RC_OK;
}

/* An array's elements, when the page was whole. */
static int
cut(struct get *g, struct spool *body, struct out *o)
{
	struct page *p = page_new(g->array, 16u << 20, element, g);
	struct json_span rest;
	struct json_error e;
	char block[4096];
	ssize_t n;
	int rc;

	g->kept = spool_new();
	while ((n = spool_read(body, block, sizeof(block))) > 0)
		if (page_feed(p, block, (size_t)n) != RC_OK)
			break;
	rc = page_end(p, &rest, &e);
	if (rc == RC_OK)
		spool_copy(g->kept, o);
	else
		warn_msg("page", "byte %zu: %s", e.byte, e.reason);
	spool_free(g->kept);
	page_free(p);
	return rc;
}

static int
show(struct get *g, struct http_answer *a, struct out *o)
{
	static const char *const words[] = {"ok", "retry", "reauth", "auth",
	    "contract", "config", "not_ready", "empty", "gone", "split",
	    "exists"};
	int rc = a->rc;

	warn_msg(words[a->verdict], "%d %u %d %s", a->status, a->tries, a->rc,
	    a->why);
	if (a->verdict == HTTP_OK && g->array != NULL)
		rc = rc_graver(rc, cut(g, a->body, o));
	else if (a->verdict == HTTP_OK && spool_copy(a->body, o) < 0)
		rc = RC_IO;
	http_done(g->h, a);
	return rc;
}

static void
take_option(struct get *g, int key)
{
	const char *arg = opt_arg();

	if (key == KEY_HEADER && g->header_count < 8)
		g->headers[g->header_count++] = arg;
	else if (key == KEY_POST)
		g->post = arg;
	else if (key == KEY_BEARER && bearer_open(&g->bearer, arg) != RC_OK)
		exit(RC_CONFIG);
	else if (key == KEY_GOOGLE)
		g->google = true;
	else if (key == KEY_CREDENTIALS)
		g->credentials = arg;
	else if (key == KEY_IMPERSONATE)
		g->impersonate = arg;
	else if (key == KEY_TOKEN_URL)
		g->token_url = arg;
	else if (key == KEY_ASC &&
		 asc_auth_open(&g->asc, arg, "KID", "ISS") != RC_OK)
		exit(RC_CONFIG);
	else if (key == KEY_SECRET_URL)
		g->r.secret_url = true;
	else if (key == KEY_RAW)
		g->r.raw = true;
	else if (key == KEY_ONCE)
		g->r.once = true;
	else if (key == KEY_ARRAY)
		g->array = arg;
	else if (key == KEY_RSS)
		g->rss = true;
	else if (key == KEY_PACE)
		http_pace(g->h, (int64_t)opt_u64(0, 100000));
	else if (key == KEY_REPEAT)
		g->repeat = opt_u64(1, 100000);
}

static int
credentials(struct get *g)
{
	int rc = RC_OK;

	if (g->google)
		rc = google_auth_open(&g->google_auth, g->h, g->credentials,
		    "scope-a scope-b", g->impersonate, g->token_url);
	if (g->google_auth != NULL) {
		http_auth(g->h, google_sign, g->google_auth);
		warn_msg("who", "%s", google_auth_who(g->google_auth));
	} else if (g->bearer != NULL) {
		http_auth(g->h, bearer_sign, g->bearer);
	} else if (g->asc != NULL) {
		http_auth(g->h, asc_sign, g->asc);
	}
	return rc;
}

static int
fetch(struct get *g, char **urls)
{
	struct http_answer *a;
	struct out o;
	int rc = RC_OK;

	out_init(&o, STDOUT_FILENO, "stdout", 0);
	for (uint64_t i = 0; i < g->repeat; i++)
		for (char **u = urls; *u != NULL; u++) {
			g->r.url = *u;
			http_queue(g->h, &g->r);
		}
	while ((a = http_next(g->h, NULL)) != NULL)
		rc = rc_graver(rc, show(g, a, &o));
	return rc_graver(rc, out_close(&o));
}

int
main(int argc, char **argv)
{
	struct get g = {.repeat = 1};
	struct rusage used;
	int key, rc;

	diag_init(argv[0]);
	sig_init();
	stats_start();
	g.h = http_open("weir-test/1");
	while ((key = opt_next(&set, argc, argv)) >= 0)
		if (!http_opt(g.h, key))
			take_option(&g, key);
	g.r.method = g.post != NULL ? "POST" : "GET";
	g.r.headers = g.headers;
	g.r.body = g.post;
	g.r.body_len = g.post != NULL ? strlen(g.post) : 0;
	rc = http_start(g.h);
	if (rc == RC_OK)
		rc = credentials(&g);
	if (rc == RC_OK)
		rc = fetch(&g, argv + opt_index());
	google_auth_close(g.google_auth);
	bearer_close(g.bearer);
	asc_auth_close(g.asc);
	http_close(g.h);
	if (g.rss && getrusage(RUSAGE_SELF, &used) == 0)
		warn_msg("rss", "%ld", used.ru_maxrss);
	stats_end(rc);
	if (rc > 128 && sig_pending() != 0)
		sig_die(sig_pending());
	return rc;
}
