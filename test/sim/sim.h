/*
 * weir-sim: one local server that plays the services weir talks to, for tests
 * and the demo. A service is a file in this directory with a table of routes,
 * registered by SIM_SERVICE; state is in memory, one request at a time.
 *
 * A service is strict: what the contract does not know (a parameter, a header,
 * a signature) is answered with the service's own error shape.
 */
#ifndef WEIR_SIM_H
#define WEIR_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "json.h"

#define SIM_PARTS 24
#define SIM_PARAMS 64

struct sim_param {
	const char *name, *value; /* decoded; value "" where there is none */
};

struct sim_fault;
struct sim_request {
	const char *method;
	const char *target;          /* path and query as sent */
	const char *path, *query;    /* raw; query "" where there is none */
	const char *part[SIM_PARTS]; /* decoded pieces of the path */
	size_t parts;
	struct sim_param param[SIM_PARAMS]; /* of the query */
	size_t params;
	struct sim_param form[SIM_PARAMS]; /* of a form body (POST) */
	size_t forms;
	const char *body; /* NUL-ended */
	size_t body_len;
	bool expired;     /* a fault: whatever token came counts as ended */
	const struct sim_fault *fault; /* that hits it, or NULL */
	const char *note; /* goes to the log; static or sim_keep */
	void *impl;
};

struct sim_answer {
	int status; /* 200 before the handler */
	struct buf body;
	struct buf headers; /* "Name: value\n" lines */
};

struct sim_route {
	const char *method;  /* "*": any */
	const char *pattern; /* "/asc/v1/apps/?/x": ? is one piece, a last
				"**" is any rest */
	void (*handler)(const struct sim_request *r, struct sim_answer *a);
};

struct sim_service {
	const char *prefix;             /* "/asc/" */
	const struct sim_route *routes; /* method NULL ends */
	/* What no route takes: the service's own 404. NULL: plain text. */
	void (*unknown)(const struct sim_request *r, struct sim_answer *a);
	/* After options are read, before the port is open. NULL: none.
	 * False: could not, was said. */
	bool (*start)(void);
	struct sim_service *next;
};
void sim_register(struct sim_service *s);
#define SIM_SERVICE(var)                                                  \
	__attribute__((constructor)) static void sim_register_##var(void) \
	{                                                                 \
		sim_register(&var);                                       \
	}                                                                 \
	struct sim_service /* swallows the semicolon */

/* NULL where missing. */
const char *sim_header(const struct sim_request *r, const char *name);
const char *sim_param(const struct sim_request *r, const char *name);
const char *sim_form(const struct sim_request *r, const char *name);
/* The first parameter that is not in the NULL-ended list, or that is there
 * twice; NULL: none. */
const char *sim_strange_param(
    const struct sim_request *r, const char *const *known);
const char *sim_strange_form(
    const struct sim_request *r, const char *const *known);

void sim_add_header(struct sim_answer *a, const char *name, const char *value);
/* A body and its type. */
void sim_text(struct sim_answer *a, int status, const char *type,
    const char *text, size_t len);
/* Sets status and application/json; the body is then written to a->body. */
void sim_json(struct sim_answer *a, int status);
/* gzip of p, one member (appended). */
void sim_gzip(struct buf *out, const void *p, size_t n);

/* --set name=value; fallback where it was not given. */
const char *sim_setting(const char *name, const char *fallback);
int64_t sim_setting_int(const char *name, int64_t fallback);
/* Is the day (YYYY-MM-DD) in the setting's list, joined by commas? For days
 * whose numbers a service restates. */
bool sim_restated(const char *setting, const char *date);
/* A file below --data; false: there is none. */
bool sim_data_file(const char *path, struct buf *out);
/* The start of our own URLs: "http://127.0.0.1:PORT". */
const char *sim_base(void);
/* The same as the client names it: it may come through another listener. */
const char *sim_base_of(const struct sim_request *r);
/* A number that is a function of the seed and the text. */
uint64_t sim_hash(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int64_t sim_now_s(void);  /* wall clock and --set now_offset=S */
uint64_t sim_count(void); /* of requests so far, this one included */
const char *sim_keep(const char *fmt, ...) /* until the end of the program */
    __attribute__((format(printf, 1, 2)));

/* ---- faults.c ---- */

enum sim_fault_kind {
	FAULT_NONE,
	FAULT_STATUS,  /* status, headers, body (text or JSON) or file */
	FAULT_BODY,    /* the service's answer with another body */
	FAULT_HTML,    /* 200 (or status) and a page */
	FAULT_HEADERS, /* the service's answer with more headers */
	FAULT_RESET,   /* no answer: RST */
	FAULT_CUT,     /* full Content-Length, half the body */
	FAULT_SLOW, /* ms before the answer; with "bytes", ms per that many */
	FAULT_GZIP, /* the answer as gzip, "members" of it */
	FAULT_GZIPCUT, /* a cut gzip, with right length; "keep" in per cent */
	FAULT_BIGBODY, /* size bytes; "gzip": true for a bomb */
	FAULT_BIGHEAD, /* size bytes of headers */
	FAULT_EXPIRE,  /* the token counts as ended */
	FAULT_JOB_ERROR,   /* the job it begins ends with "reason" and the body */
	FAULT_JOB_WARNING, /* its errors[] say so, and it goes well */
};

struct sim_fault {
	enum sim_fault_kind kind;
	int64_t ms, bytes, size, members, keep;
	bool gzip;
	int status;
	const char *word, *reason;
	struct buf headers, body;
	bool has_body;
	char *match;
	uint64_t nth, times, seen;
	struct sim_fault *next;
};

bool faults_read(const char *file); /* false: said */
/* The fault that hits this request ("GET /x?y"), or NULL. */
const struct sim_fault *faults_hit(const char *what);
/* Changes the answer by its fault; what is done to the wire is not done
 * here. */
void fault_change(const struct sim_fault *f, struct sim_answer *a);

#endif
