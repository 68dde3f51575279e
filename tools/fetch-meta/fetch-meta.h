/*
 * fetch-meta: what its parts share. graph.c speaks with the Graph API (one
 * call, its errors, its pacing), insights.c makes one query and reads all of
 * its pages, split.c makes a query smaller until it is answered, state.c
 * keeps report runs and what was learned, days.c writes the partitions.
 */
#ifndef FETCH_META_H
#define FETCH_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth.h"
#include "buf.h"
#include "date.h"
#include "http.h"
#include "json.h"
#include "out.h"
#include "sha.h"
#include "spool.h"

#define DEFAULT_BASE "https://graph.facebook.com"
#define DEFAULT_VERSION "v25.0"

enum level { LEVEL_ACCOUNT, LEVEL_CAMPAIGN, LEVEL_ADSET, LEVEL_AD };
extern const char *const level_names[];

enum mode { MODE_AUTO, MODE_SYNC, MODE_ASYNC };

/* Beside the exit statuses: the request is too big, or (of a row of the
 * error table) a run that we were polling is gone. */
enum { RC_SPLIT = 1000, RC_GONE };

/* Days of one request, fields of one, pages of one answer. */
enum {
	CHUNK_DAYS = 28,
	FIELDS_MAX = 100,
	LIMIT_START = 500,
	PAGES_MAX = 20000,
	GIVE_UP_AFTER = 3, /* failed days in a row */
};

/* What a source's error says, by the table of graph.c. */
struct fault {
	int rc;          /* RC_OK: none; RC_SPLIT and RC_GONE too */
	bool then_split; /* transient, and too big when tries run out */
	bool stuck;      /* a report run that still runs: no other is made */
	int64_t wait_ms; /* asked for by the service; -1: not */
	int64_t code, subcode;
	char trace[64];
	char text[256]; /* cleaned, for a message or a reason */
};

/* A report run that was made for a request. */
struct report {
	char key[33];   /* digest of the request */
	char id[24];    /* "": it was to be made, and may have been */
	int64_t made_s; /* when, by the service's clock */
	bool done; /* its rows were taken: forgotten at the end of the run */
};

/* What was learned about the size of requests; 0 is no limit. */
struct plan {
	uint64_t limit; /* rows of a page */
	uint64_t days, ids, fields;
	bool async;
	int64_t since_s; /* when this was learned */
};

struct state {
	int dirfd; /* -1: none is kept */
	int lock;
	int note; /* gets the id of a run at once, in one write */
	char *name;
	const char *dir;
	struct plan plan;
	struct report *reports;
	size_t count;
	char zone[64], currency[8];
};

struct meta {
	/* options */
	const char *base, *version, *dir;
	char account[24]; /* digits */
	enum level level;
	enum mode mode;
	char *breakdowns[8];
	size_t n_breakdowns;
	char *fields[FIELDS_MAX]; /* keys come first: n_keys of them */
	size_t n_fields, n_keys;
	const char *windows;  /* comma list, "" for the service's own */
	int32_t until, since; /* INT32_MIN: not given */
	unsigned lookback;
	int64_t poll_ms;
	unsigned backoff; /* per cent, as http.h takes it */
	int64_t max_wait_ms;
	unsigned wait_s;
	bool include_today, plain, quiet;
	struct secret app_secret;

	/* the run */
	struct http *http;
	struct bearer_auth *bearer;
	char proof[SHA_HEX + 1];
	struct state state;
	struct fault fault; /* of the last call */
	int64_t asked_ms;   /* pause that the last answer asks for */
	bool polling;       /* the call is about a run that we made */
	bool soft;          /* the last RC_SPLIT was an error that may pass */
	bool version_said;
	int64_t now_s;         /* by the service's clock, at the last answer */
	int64_t started_s;     /* the same, at the first one */
	int64_t data_s;        /* when the oldest data of the chunk was made */
	char *feed, *row_head; /* what is put before the members of a row */
	char name[256], zone_name[64], currency[8];
	int64_t account_status;
	struct zone *zone;
	struct buf dropped; /* fields left out, comma list */
	struct buf coarser; /* breakdowns left out, the same */
	struct out out;
};

/* ---- graph.c ---- */

struct param {
	const char *name, *value;
};

/*
 * One call with all its tries. GET puts the parameters into the URL, POST
 * into the body. RC_OK and the answer (to be given to http_done), or a status
 * with m->fault filled in; RC_SPLIT where the request is too big. Nothing is
 * said but for credentials and configuration.
 */
int graph_call(struct meta *m, const char *method, const char *path,
    const struct param *params, size_t n, struct http_answer **answer);
/* The same, for a small object: its text is copied to doc and validated. */
int graph_object(struct meta *m, const char *method, const char *path,
    const struct param *params, size_t n, struct buf *doc,
    struct json_span *root);
/* Classifies an error of this code, subcode and text. */
void graph_classify(const struct meta *m, int64_t code, int64_t subcode,
    int status, const char *message, bool transient, struct fault *f);
/* Fills in a fault of our own. Returns rc. */
int graph_fault(struct meta *m, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Sleeps, in slices that see signals. RC_OK, or 128+n. */
int graph_sleep(int64_t ms);
/* The account's facts into m. */
int graph_account(struct meta *m);
int graph_check(struct meta *m);
int graph_version_check(const char *version, int32_t today);

/* ---- insights.c ---- */

/* A query of the insights edge. */
struct query {
	enum level level;
	int32_t since, until;
	size_t field_lo, field_hi; /* of m->fields, after the keys */
	size_t n_breakdowns;       /* the first ones of m->breakdowns */
	bool ids_only;             /* keys of this level over the whole range */
	enum level filter;         /* LEVEL_ACCOUNT: none */
	char **ids;
	size_t n_ids;
};

/*
 * Rows of one day: lines of NDJSON.
 */
struct rows {
	struct spool *text;
	uint64_t count;
	const char *at; /* rows_next: what is left of a block */
	size_t left;
};

void rows_init(struct rows *rows);
void rows_reset(struct rows *rows);
void rows_release(struct rows *rows);
/* Adds a row of two parts. RC_OK, or RC_IO and said. */
int rows_add(struct rows *rows, const char *head, size_t head_len,
    const char *text, size_t len);
/* Adds all rows of another. */
int rows_move(struct rows *to, struct rows *from);
void rows_rewind(struct rows *rows);
/* The next row, without the newline, a NUL behind it. */
bool rows_next(struct rows *rows, struct buf *line);

/*
 * Appends to `rows`, one of each day of the query (of ids, one in all), only
 * where the whole query was answered. Of more than one day they are empty
 * before it.
 */
int insights_get(struct meta *m, const struct query *q, struct rows *rows);

/* ---- split.c ---- */

/* Splits by id and by field at need, and leaves out breakdowns in the end. One
 * day. */
int split_get(struct meta *m, const struct query *q, struct rows *rows);

/* ---- state.c ---- */

int state_open(struct meta *m);
struct report *state_find(struct meta *m, const char *key);
/* Before a run is made, and once its id is known. */
int state_intend(struct meta *m, const char *key, int64_t now_s);
int state_add(struct meta *m, const char *key, const char *id, int64_t made_s);
void state_forget(struct meta *m, const char *key);
int state_save(struct meta *m);
/* The end of the run: what was read is forgotten. */
int state_close(struct meta *m, bool finished);
void state_release(struct meta *m);

/* ---- days.c ---- */

int days_run(struct meta *m);

#endif
