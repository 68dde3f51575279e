/* What the parts of fetch-asc share. */
#ifndef WEIR_ASC_H
#define WEIR_ASC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "date.h"
#include "http.h"
#include "out.h"
#include "rows.h"
#include "stream.h"

struct asc {
	struct http *http;
	struct out out;
	const char *base, *run_id;
	const char *vendor, *type, *subtype, *frequency, *version;
	const char *app, *report_name, *file_host;
	bool create_request, snapshot, plain, check;
	int32_t from, to, today; /* Pacific days */
	uint64_t max_body;

	uint64_t parts, failed, not_ready, records;
	int gravest;
};

/* A download that is unpacked while it is judged. */
struct fetched {
	struct asc *asc;
	struct spool *plain;
	struct buf header;
	char sum[65]; /* SHA-256 of the file as it came */
	char time[TIME_LEN + 1];
	const char *md5; /* to be; NULL: not known */
	int64_t size;    /* to be; -1 */
	char latest[16]; /* the version that a 400 named */
	bool gone_url;   /* the presigned URL has ended */
};
void fetched_init(struct fetched *f, struct asc *asc);
void fetched_release(struct fetched *f);
/* Judges for http_request. */
enum verdict judge_report(
    void *ctx, const struct http_answer *a, struct http_judgement *out);
enum verdict judge_json(void *ctx, const struct http_answer *a,
    struct http_judgement *out); /* ctx: struct asc */
enum verdict judge_file(
    void *ctx, const struct http_answer *a, struct http_judgement *out);

/* One partition. */
struct day {
	char feed[400], date[DATE_LEN + 1];
	const char *time, *sum; /* may be NULL */
};
void day_begin(struct asc *c, const struct day *d);
void day_end(struct asc *c, const struct day *d, uint64_t records,
    enum outcome outcome, int rc, const char *reason);
/* Begin and end: a day without rows. */
void day_none(struct asc *c, const struct day *d, enum outcome outcome, int rc,
    const char *reason);

/* "App Downloads Standard" is app_downloads_standard. */
void lower_name(char *out, size_t room, const char *text);

/* The runs; an exit status that ends all of it, or RC_OK. */
int sales_run(struct asc *c);
bool sales_known(const struct asc *c, const char **why);
/* What a type is asked for as, where nothing is said. */
const char *sales_subtype(const struct asc *c);
int analytics_run(struct asc *c);
int sales_check(struct asc *c);
int check_run(struct asc *c);
/* A GET of JSON; NULL and *rc where it failed, said. */
struct http_answer *get_json(struct asc *c, const char *url, int *rc);

#endif
