/* Sales and Trends: one file a vendor, report and period. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asc.h"
#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "sys.h"

/* "Download sales and trends reports": what may be asked for together. */
static const struct combo {
	const char *type, *subtype, *frequencies, *version;
	const struct kind *kind;
} combos[] = {
    {"SALES", "SUMMARY", "DAILY WEEKLY MONTHLY YEARLY", NULL, &kind_sales},
    {"SUBSCRIPTION", "SUMMARY", "DAILY", "1_3", &kind_subscription},
    {"SUBSCRIPTION_EVENT", "SUMMARY", "DAILY", "1_3", &kind_event},
    {"SUBSCRIBER", "DETAILED", "DAILY", "1_3", &kind_subscriber},
    {"SUBSCRIPTION_OFFER_CODE_REDEMPTION", "SUMMARY", "DAILY", "1_0",
	&kind_other},
    {"PRE_ORDER", "SUMMARY", "DAILY WEEKLY MONTHLY YEARLY", "1_0", &kind_other},
    {"NEWSSTAND", "DETAILED", "DAILY WEEKLY", "1_0", &kind_other},
    {"INSTALLS", "SUMMARY", "MONTHLY", "1_2", &kind_other},
    {"INSTALLS", "DETAILED", "MONTHLY", "1_2", &kind_other},
    {"INSTALLS", "DETAILED", "YEARLY", "1_1", &kind_other},
    {"INSTALLS", "SUMMARY_CHANNEL", "YEARLY", "1_1", &kind_other},
    {"INSTALLS", "SUMMARY_INSTALL_TYPE", "YEARLY", "1_1", &kind_other},
    {"INSTALLS", "SUMMARY_TERRITORY", "YEARLY", "1_1", &kind_other},
    {"FIRST_ANNUAL", "DETAILED", "DAILY", "1_0", &kind_other},
    {"FIRST_ANNUAL", "SUMMARY", "YEARLY", "1_0", &kind_other},
    {"WIN_BACK_ELIGIBILITY", "SUMMARY", "DAILY", "1_0", &kind_other},
};
enum { COMBOS = sizeof combos / sizeof *combos };

static const struct combo *
combo_of(const struct asc *c)
{
	for (size_t i = 0; i < COMBOS; i++) {
		if (strcmp(combos[i].type, c->type) == 0 &&
		    strcmp(combos[i].subtype, c->subtype) == 0 &&
		    has_word(combos[i].frequencies, c->frequency))
			return &combos[i];
	}
	return NULL;
}

bool
sales_known(const struct asc *c, const char **why)
{
	const char *wrong = "--report: no such type";

	for (size_t i = 0; i < COMBOS; i++) {
		if (strcmp(combos[i].type, c->type) != 0)
			continue;
		if (strcmp(combos[i].subtype, c->subtype) == 0) {
			wrong = "--frequency: not for this report";
			break;
		}
		wrong = "--subtype: not for this report";
	}
	*why = combo_of(c) == NULL ? wrong : NULL;
	return *why == NULL;
}

const char *
sales_subtype(const struct asc *c)
{
	for (size_t i = 0; i < COMBOS; i++) {
		if (strcmp(combos[i].type, c->type) == 0 &&
		    has_word(combos[i].frequencies, c->frequency))
			return combos[i].subtype;
	}
	return "SUMMARY";
}

void
lower_name(char *out, size_t room, const char *text)
{
	size_t n = 0;

	for (; *text != '\0' && n + 1 < room; text++) {
		char ch = *text;

		if (ch >= 'A' && ch <= 'Z')
			ch = (char)(ch + 32);
		if (!(ch >= 'a' && ch <= 'z') && !(ch >= '0' && ch <= '9'))
			ch = '_';
		out[n++] = ch;
	}
	out[n] = '\0';
}

/* Does a period of this frequency end on that day? How the service names it;
 * lag: days after its end until "none" means none. */
static bool
period(const struct asc *c, int32_t day, char name[DATE_LEN + 1], int *lag)
{
	int y, m, d, ty, tm, td;

	date_format(day, name);
	date_to_civil(day, &y, &m, &d);
	date_to_civil(day + 1, &ty, &tm, &td);
	*lag = 2;
	if (strcmp(c->frequency, "DAILY") == 0)
		return true;
	if (strcmp(c->frequency, "WEEKLY") == 0) {
		*lag = 3;
		return ((day - 3) % 7 + 7) % 7 == 0; /* 1970-01-04: Sunday */
	}
	if (strcmp(c->frequency, "MONTHLY") == 0) {
		name[7] = '\0';
		*lag = 7;
		return td == 1;
	}
	name[4] = '\0';
	*lag = 8;
	return td == 1 && tm == 1;
}

struct job {
	struct asc *c;
	const struct combo *combo;
	struct day day;
	int32_t end; /* the last day of the period */
	char period[DATE_LEN + 1], report[120];
	int lag;
};

static void
job_url(const struct job *j, const char *version, struct buf *url)
{
	const struct asc *c = j->c;

	buf_reset(url);
	buf_fmt(url, "%s/v1/salesReports", c->base);
	url_param(url, "filter[frequency]", c->frequency);
	url_param(url, "filter[reportDate]", j->period);
	url_param(url, "filter[reportSubType]", c->subtype);
	url_param(url, "filter[reportType]", c->type);
	url_param(url, "filter[vendorNumber]", c->vendor);
	if (version != NULL && *version != '\0')
		url_param(url, "filter[version]", version);
}

static int
put_rows(struct job *j, struct fetched *f)
{
	struct asc *c = j->c;
	struct layout l;
	struct buf lead = BUF_INIT(4096), identity = BUF_INIT(4096);
	struct rows rows = {.l = &l, .out = &c->out};
	char *why = NULL;
	int rc;

	rc = layout_read(
	    &l, f->header.p, f->header.len, j->combo->kind, j->report, &why);
	if (rc != RC_OK) {
		warn_msg(j->day.date, "%s", why);
		day_none(c, &j->day, OUTCOME_FAILED, rc, why);
		goto out;
	}
	buf_fmt(&lead,
	    "\"source\":\"asc\",\"vendor\":\"%s\",\"report\":\"%s\","
	    "\"report_date\":\"%s\",\"row_ordinal\":",
	    c->vendor, j->report, j->day.date);
	buf_fmt(&identity, "asc|sales|%s|%s|%s|", c->vendor, j->report,
	    j->day.date);
	rows.lead = buf_cstr(&lead);
	rows.identity = buf_cstr(&identity);
	j->day.sum = f->sum;
	day_begin(c, &j->day);
	rc = rows_write(&rows, f->plain);
	if (rc == RC_OK)
		day_end(c, &j->day, rows.count,
		    rows.count > 0 ? OUTCOME_COMPLETE : OUTCOME_EMPTY, RC_OK,
		    NULL);
out:
	free(why);
	layout_release(&l);
	buf_release(&lead);
	buf_release(&identity);
	return rc == RC_IO ? rc : RC_OK;
}

/* No file: zero is believed only when it had time to come. */
static int
none(struct job *j, enum verdict v)
{
	bool settled = j->c->today - j->end >= j->lag;

	if (v == HTTP_EMPTY && settled)
		day_none(j->c, &j->day, OUTCOME_EMPTY, RC_OK, NULL);
	else if (v == HTTP_EMPTY)
		day_none(j->c, &j->day, OUTCOME_NOT_READY, RC_NOTREADY,
		    "no sales yet: too recent to be believed");
	else if (v == HTTP_NOT_READY)
		day_none(j->c, &j->day, OUTCOME_NOT_READY, RC_NOTREADY,
		    "not available yet");
	else {
		warn_msg(j->day.date, "no longer available: kept for a year");
		day_none(j->c, &j->day, OUTCOME_FAILED, RC_CONTRACT,
		    "gone: no longer available");
	}
	return RC_OK;
}

static int
settle(struct job *j, struct fetched *f, const struct http_answer *a)
{
	j->day.time = f->time[0] != '\0' ? f->time : NULL;
	switch (a->verdict) {
	case HTTP_OK:
		return put_rows(j, f);
	case HTTP_EMPTY:
	case HTTP_NOT_READY:
	case HTTP_GONE:
		return none(j, a->verdict);
	default:
		break;
	}
	if (sig_pending() != 0)
		return 128 + sig_pending();
	warn_msg(j->day.date, "%s", a->why);
	day_none(j->c, &j->day, OUTCOME_FAILED,
	    a->rc == RC_OK ? RC_CONTRACT : a->rc, a->why);
	/* the next day would meet the same */
	return a->rc == RC_AUTH || a->rc == RC_CONFIG || a->rc == RC_IO ? a->rc
									: RC_OK;
}

static int
fetch(struct job *j)
{
	static const char *const headers[] = {
	    "Accept: application/a-gzip", NULL};
	struct asc *c = j->c;
	struct buf url = BUF_INIT(8192);
	struct fetched f;
	struct http_answer *a;
	struct http_request r = {.method = "GET",
	    .headers = headers,
	    .judge = judge_report,
	    .ctx = &f,
	    .raw = true};
	int rc;

	fetched_init(&f, c);
	job_url(j, c->version != NULL ? c->version : j->combo->version, &url);
	r.url = buf_cstr(&url);
	a = http_do(c->http, &r);
	if (a->verdict == HTTP_SPLIT) { /* another version is asked for */
		warn_msg(j->report, "warning: the service wants version %s",
		    f.latest);
		http_done(c->http, a);
		job_url(j, f.latest, &url);
		r.url = buf_cstr(&url);
		a = http_do(c->http, &r);
	}
	rc = settle(j, &f, a);
	http_done(c->http, a);
	fetched_release(&f);
	buf_release(&url);
	return rc;
}

int
sales_run(struct asc *c)
{
	struct job j = {.c = c, .combo = combo_of(c)};
	char text[120];
	int rc = RC_OK;

	snprintf(
	    text, sizeof text, "%s_%s_%s", c->type, c->subtype, c->frequency);
	lower_name(j.report, sizeof j.report, text);
	for (int32_t d = c->from; d <= c->to && rc == RC_OK; d++) {
		if (sig_pending() != 0)
			return 128 + sig_pending();
		if (!period(c, d, j.period, &j.lag))
			continue;
		j.end = d;
		j.day = (struct day){.time = NULL};
		snprintf(j.day.feed, sizeof j.day.feed, "%s.%s", c->vendor,
		    j.report);
		date_format(d, j.day.date);
		rc = fetch(&j);
		if (c->out.failed)
			rc = RC_IO;
	}
	return rc;
}

int
sales_check(struct asc *c)
{
	static const char *const headers[] = {
	    "Accept: application/a-gzip", NULL};
	struct job j = {.c = c, .combo = combo_of(c)};
	struct buf url = BUF_INIT(8192);
	struct fetched f;
	struct http_request r = {.method = "GET",
	    .headers = headers,
	    .judge = judge_report,
	    .ctx = &f,
	    .raw = true};
	struct http_answer *a;
	int rc = RC_OK;

	fetched_init(&f, c);
	for (int32_t d = c->today - 3; !period(c, d, j.period, &j.lag);)
		d--;
	job_url(&j, j.combo->version, &url);
	r.url = buf_cstr(&url);
	a = http_do(c->http, &r);
	if (a->verdict != HTTP_OK && a->verdict != HTTP_EMPTY &&
	    a->verdict != HTTP_NOT_READY && a->verdict != HTTP_SPLIT) {
		warn_msg(c->vendor, "%s", a->why);
		if (a->rc == RC_AUTH)
			warn_msg(c->vendor, "the key needs the role Sales and "
					    "Reports, Finance or Admin, and "
					    "agreements must be signed");
		rc = a->rc == RC_OK ? RC_CONTRACT : a->rc;
	}
	http_done(c->http, a);
	fetched_release(&f);
	buf_release(&url);
	return rc;
}
