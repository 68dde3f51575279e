/* What the parts of fetch-ga4 share. */
#ifndef FETCH_GA4_H
#define FETCH_GA4_H

#include "auth.h"
#include "http.h"
#include "out.h"
#include "page.h"
#include "stream.h"

#define ROW_MAX (16u << 20) /* of a page: one row */

struct day_state {
	char *table, *etag;
	uint64_t rows, modified;
	int32_t day;
};

struct state {
	const char *path; /* NULL: none kept */
	char *property;
	struct day_state *days;
	size_t n;
};

struct fetch {
	/* options */
	const char *property, *project, *dataset, *select, *tz, *feed, *run_id;
	const char *bigquery_url, *data_url, *dimensions, *metrics, *currency;
	uint64_t page_size, intraday_after, reserve;
	bool fresh, quiet, keep_empty;

	struct http *http;
	struct out out;
	struct buf held;     /* records of a page until the page proved whole */
	struct spool *spill; /* what does not fit there */
	struct state state, next;
	char day_tz[64];
	int32_t today; /* in the zone of the property */
	int32_t last;  /* of the days asked for */
	/* A day with a table: the first one, or one before all that miss theirs.
	 * INT32_MIN: not known yet, INT32_MAX: there is none. */
	int32_t first;
	bool one;  /* one day, asked for by name */
	bool told; /* that days before the first do not come */

	/* the partition that is open */
	uint64_t records;
	uint64_t page_sum; /* of the last page's bytes, 0: none yet */
	bool open, stop;
	char why[400]; /* why the day failed */
	uint64_t quota_left;
	bool quota_known, errors; /* errors: of the service, all tries long */
};

/* One request and its answer, said where it is none; rc is the status. A 404
 * is RC_NOTREADY and not said. */
struct http_answer *ask(struct fetch *f, const char *method, const char *url,
    const struct buf *body, int *rc);
/* The answer as a validated document in b (whole in memory, to 64 MiB). */
int answer_json(struct fetch *f, struct http_answer *a, struct buf *b,
    struct json_span *root);
/* Keeps why the day fails; gives rc back. */
int fail(struct fetch *f, int rc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A page through `element`; *rest is the page's until page_free. */
struct page *page_read(struct fetch *f, struct http_answer *a,
    int (*element)(void *ctx, const char *text, size_t len),
    const char *(*quick)(void *ctx, const char *text, const char *end),
    void *ctx, struct json_span *rest, int *rc);
/* Records of the page so far: to stdout, or away. */
void held_reset(struct fetch *f);
int held_room(struct fetch *f); /* spills when it is much; RC_OK or RC_IO */
int held_print(struct fetch *f);

/* The begin record; extra are raw members. */
void begin(
    struct fetch *f, int32_t day, const char *date_header, const char *extra);
void end(struct fetch *f, enum outcome o, int rc, const char *reason);

int export_check(struct fetch *f);
/* DAY_BEFORE, and no partition: the export begins after that day. */
#define DAY_BEFORE (-1)
int export_day(struct fetch *f, int32_t day);
int report_check(struct fetch *f);
int report_day(struct fetch *f, int32_t day);
/* The zone of the property, asked of the Data API, into day_tz. */
int report_zone(struct fetch *f);

/* RC_OK; 65 and 73 said. A file that is not there is an empty state. */
int state_read(struct state *s, const char *path, const char *property);
const struct day_state *state_day(const struct state *s, int32_t day);
void state_put(struct state *s, const struct day_state *d);
int state_write(const struct state *s); /* to PATH.next */
int state_commit(const char *path);     /* PATH.next becomes PATH */
void state_release(struct state *s);

#endif
