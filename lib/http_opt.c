/* The options that all network tools share. */
#include <string.h>

#include "http_impl.h"

enum {
	KEY_CA_FILE = OPT_HTTP,
	KEY_CONNECT,
	KEY_STALL,
	KEY_TIMEOUT,
	KEY_TRIES,
	KEY_BACKOFF,
	KEY_MAX_WAIT,
	KEY_BUDGET,
	KEY_MAX_BODY,
	KEY_PARALLEL,
	KEY_ALLOW_HTTP,
	KEY_RECORD,
	KEY_REPLAY,
	KEY_VERBOSE,
};

enum { DAY = 86400 };

const struct opt http_options[] = {
    {"ca-file", KEY_CA_FILE, "file", "certificates to trust, PEM"},
    {"connect-timeout", KEY_CONNECT, "seconds",
	"longest wait for a connection (10)"},
    {"stall-timeout", KEY_STALL, "seconds",
	"give up under 1 KiB in this time (30)"},
    {"timeout", KEY_TIMEOUT, "seconds", "longest time of one request (300)"},
    {"tries", KEY_TRIES, "n", "tries of one request (5)"},
    {"backoff", KEY_BACKOFF, "percent", "scale all waits, for tests (100)"},
    {"max-wait", KEY_MAX_WAIT, "seconds",
	"longest wait that a service may ask for (120)"},
    {"budget", KEY_BUDGET, "seconds", "no more tries after this time (21600)"},
    {"max-body", KEY_MAX_BODY, "size", "largest answer, unpacked (1G)"},
    {"parallel", KEY_PARALLEL, "n", "requests at once, up to 8 (4)"},
    {"allow-http", KEY_ALLOW_HTTP, NULL,
	"plain http to this machine, for tests"},
    {"record", KEY_RECORD, "dir", "keep every answer there"},
    {"replay", KEY_REPLAY, "dir", "answers from there, no network"},
    {"verbose", KEY_VERBOSE, NULL, "show requests, without secrets"},
    {NULL, 0, NULL, NULL},
};

bool
http_opt(struct http *h, int key)
{
	switch (key) {
	case KEY_CA_FILE:
		h->ca_file = opt_arg();
		break;
	case KEY_CONNECT:
		h->connect_s = opt_u64(1, DAY);
		break;
	case KEY_STALL:
		h->stall_s = opt_u64(1, DAY);
		break;
	case KEY_TIMEOUT:
		h->total_s = opt_u64(1, DAY);
		break;
	case KEY_TRIES:
		h->tries = opt_u64(1, 100);
		break;
	case KEY_BACKOFF:
		h->backoff = opt_u64(0, 1000);
		break;
	case KEY_MAX_WAIT:
		h->max_wait_s = opt_u64(0, DAY);
		break;
	case KEY_BUDGET:
		h->budget_s = opt_u64(1, 7 * DAY);
		break;
	case KEY_MAX_BODY:
		h->max_body = opt_size(1, UINT64_C(1) << 40);
		break;
	case KEY_PARALLEL:
		h->parallel = opt_u64(1, 8);
		break;
	case KEY_ALLOW_HTTP:
		h->allow_http = true;
		break;
	case KEY_RECORD:
		h->record = opt_arg();
		break;
	case KEY_REPLAY:
		h->replay = opt_arg();
		break;
	case KEY_VERBOSE:
		h->verbose = true;
		break;
	default:
		return false;
	}
	return true;
}
