/* Days: what is asked for at once, what fails alone, and the partitions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "exits.h"
#include "fetch-meta.h"
#include "mem.h"
#include "stats.h"
#include "stream.h"
#include "sys.h"

enum { MONTHS = 37 };

struct day {
	int rc;       /* RC_OK, or why it failed */
	bool partial; /* fields or breakdowns were left out */
	char why[256];
	char *left_out; /* members of `quality`, or NULL */
};

struct run {
	struct meta *m;
	int32_t first; /* day[0] */
	struct day day[CHUNK_DAYS];
	struct rows rows[CHUNK_DAYS];
	unsigned in_row; /* failed days, one after the other */
	uint64_t written, good, partial, bad, later;
	int worst;
	char last[256]; /* why the last one failed */
};

/* ---- fetching ---- */

static void
mark_failed(
    struct run *r, int32_t since, int32_t until, int rc, const char *why)
{
	if (why != r->last)
		snprintf(r->last, sizeof r->last, "%s", why);
	for (int32_t d = since; d <= until; d++) {
		struct day *day = &r->day[d - r->first];

		day->rc = rc;
		snprintf(day->why, sizeof day->why, "%s", r->last);
	}
}

/* The rows are true as far as they go: the day says what they lack. */
static void
left_out(struct meta *m, struct day *day)
{
	struct buf b = BUF_INIT(64 << 10);
	struct jsonw w;
	const char *fields = buf_cstr(&m->dropped),
		   *breakdowns = buf_cstr(&m->coarser);

	day->partial = true;
	snprintf(day->why, sizeof day->why,
	    "too much data, left out: %.100s%s%s%.100s", fields,
	    *fields != '\0' && *breakdowns != '\0' ? "; " : "",
	    *breakdowns != '\0' ? "the breakdown " : "", breakdowns);
	jsonw_begin(&w, &b, '{');
	if (*fields != '\0')
		jsonw_str(&w, "fields_left_out", fields);
	if (*breakdowns != '\0')
		jsonw_str(&w, "breakdowns_left_out", breakdowns);
	jsonw_end(&w);
	day->left_out = xstrdup(buf_cstr(&b));
	buf_release(&b);
}

static bool
may_fail(int rc)
{
	return rc == RC_TRANSIENT || rc == RC_CONTRACT;
}

static int
get_day(struct run *r, int32_t d)
{
	struct meta *m = r->m;
	struct query q = {.level = m->level,
	    .since = d,
	    .until = d,
	    .field_lo = m->n_keys,
	    .field_hi = m->n_fields,
	    .n_breakdowns = m->n_breakdowns};
	struct day *day = &r->day[d - r->first];
	int rc;

	buf_reset(&m->dropped);
	buf_reset(&m->coarser);
	rc = split_get(m, &q, &r->rows[d - r->first]);
	if (rc == RC_SPLIT && m->soft) /* the last error is the reason */
		rc = RC_TRANSIENT;
	else if (rc == RC_SPLIT)
		rc = graph_fault(
		    m, RC_CONTRACT, "too much data, even for one field");
	if (rc == RC_OK && m->dropped.len + m->coarser.len > 0)
		left_out(m, day);
	if (rc != RC_OK)
		rows_reset(&r->rows[d - r->first]);
	if (rc == RC_OK)
		r->in_row = 0;
	if (!may_fail(rc))
		return rc;
	mark_failed(r, d, d, rc, m->fault.text);
	r->in_row += m->fault.stuck ? GIVE_UP_AFTER : 1;
	return RC_OK;
}

static int get_range(struct run *r, int32_t since, int32_t until);

static int
get_parts(struct run *r, int32_t since, int32_t until, int32_t step)
{
	int rc = RC_OK;

	for (int32_t d = since; d <= until && rc == RC_OK; d += step)
		rc = get_range(r, d, until - d < step ? until : d + step - 1);
	return rc;
}

/* RC_OK where the run goes on; days may have failed. */
static int
get_range(struct run *r, int32_t since, int32_t until)
{
	struct meta *m = r->m;
	struct query q = {.level = m->level,
	    .since = since,
	    .until = until,
	    .field_lo = m->n_keys,
	    .field_hi = m->n_fields,
	    .n_breakdowns = m->n_breakdowns};
	int32_t n = until - since + 1, most = (int32_t)m->state.plan.days;
	int rc;

	if (r->in_row >= GIVE_UP_AFTER) {
		mark_failed(r, since, until, r->worst, r->last);
		return RC_OK;
	}
	if (most > 0 && n > most)
		return get_parts(r, since, until, most);
	if (n == 1) {
		rc = get_day(r, since);
		if (r->day[since - r->first].rc != RC_OK)
			r->worst =
			    rc_graver(r->worst, r->day[since - r->first].rc);
		return rc;
	}
	rc = insights_get(m, &q, &r->rows[since - r->first]);
	if (rc == RC_SPLIT) {
		if (!m->soft) {
			m->state.plan.days = (uint64_t)(n / 2);
			m->state.plan.since_s = m->now_s;
		}
		return get_parts(r, since, until, n / 2);
	}
	if (!may_fail(rc))
		return rc;
	/* What the service says of the request is so for every day of it, and
	 * beside a report run that still runs none is made. */
	if ((rc == RC_CONTRACT && m->fault.code != 0) || m->fault.stuck) {
		r->in_row = GIVE_UP_AFTER;
		r->worst = rc_graver(r->worst, rc);
		mark_failed(r, since, until, rc, m->fault.text);
		return RC_OK;
	}
	return get_parts(r, since, until, 1);
}

/* ---- writing ---- */

static void
begin_members(const struct meta *m, const char *quality, struct buf *extra)
{
	struct jsonw w, list;
	char now[TIME_LEN + 1];

	time_format(m->data_s * 1000, now);
	jsonw_begin(&w, extra, '{');
	jsonw_str(&w, "fetched_at", now);
	jsonw_str(&w, "currency", m->currency);
	jsonw_str(&w, "level", level_names[m->level]);
	jsonw_open(&w, "breakdowns", &list, '[');
	for (size_t i = 0; i < m->n_breakdowns; i++)
		jsonw_str(&list, NULL, m->breakdowns[i]);
	jsonw_end(&list);
	jsonw_str(&w, "attribution_windows", m->windows);
	jsonw_str(&w, "api_version", m->version);
	if (quality != NULL)
		jsonw_raw(&w, "quality", quality, strlen(quality));
	jsonw_end(&w);
	/* members only */
	extra->p[extra->len - 1] = '\0';
	extra->len--;
}

static void
begin(struct run *r, int32_t d, const char *quality)
{
	struct meta *m = r->m;
	struct buf extra = BUF_INIT(64 << 10);
	char date[DATE_LEN + 1];

	if (m->plain)
		return;
	date_format(d, date);
	begin_members(m, quality, &extra);
	part_write_begin(&m->out, &(struct part_desc){.source = "meta",
				      .feed = m->feed,
				      .date = date,
				      .day_tz = m->zone_name,
				      .run_id = getenv("RUN_ID"),
				      .extra = extra.p + 1});
	buf_release(&extra);
}

static void
end(struct run *r, uint64_t n, enum outcome o, int rc, const char *why)
{
	if (!r->m->plain)
		part_write_end(&r->m->out, n, o, 0,
		    rc != RC_OK ? rc_class(rc) : NULL, why);
	stats_add("partitions", 1);
}

static int
write_day(struct run *r, struct day *d, struct rows *rows, int32_t n)
{
	struct meta *m = r->m;
	char date[DATE_LEN + 1];

	date_format(n, date);
	begin(r, n, d->left_out);
	if (d->rc != RC_OK) {
		warn_msg(m->feed, "%s: failed (%s): %s", date, rc_class(d->rc),
		    d->why);
		end(r, 0, OUTCOME_FAILED, d->rc, d->why);
		r->bad++;
		r->worst = rc_graver(r->worst, d->rc);
	} else {
		if (spool_copy(rows->text, &m->out) < 0) {
			warn_sys("rows", "cannot read");
			return RC_IO;
		}
		if (d->partial) {
			warn_msg(m->feed, "%s: warning: %s", date, d->why);
			end(r, rows->count, OUTCOME_PARTIAL, RC_OK, d->why);
			r->partial++;
		} else {
			end(r, rows->count,
			    rows->count > 0 ? OUTCOME_COMPLETE : OUTCOME_EMPTY,
			    RC_OK, NULL);
		}
		r->good++;
		r->written += rows->count;
	}
	return out_flush(&m->out);
}

static int
chunk(struct run *r, int32_t since, int32_t until)
{
	int32_t n = until - since + 1;
	int rc;

	r->first = since;
	r->m->data_s = r->m->now_s;
	for (int32_t i = 0; i < n; i++) {
		r->day[i] = (struct day){.rc = RC_OK};
		rows_init(&r->rows[i]);
	}
	rc = get_range(r, since, until);
	for (int32_t i = 0; i < n; i++) {
		if (rc == RC_OK)
			rc = write_day(r, &r->day[i], &r->rows[i], since + i);
		rows_release(&r->rows[i]);
		free(r->day[i].left_out);
	}
	return rc;
}

/* ---- the window ---- */

/* The first day that the service still has. */
static int32_t
oldest(int32_t today)
{
	int year, month, day;

	date_to_civil(today, &year, &month, &day);
	month -= MONTHS;
	while (month < 1) {
		month += 12;
		year--;
	}
	return date_from_civil(year, month, day > 28 ? 28 : day) + 1;
}

static int
window(struct meta *m, int32_t *last)
{
	int32_t today = zone_day(m->zone, m->now_s), limit = oldest(today);
	char date[DATE_LEN + 1];

	*last = m->include_today ? today : today - 1;
	if (m->until == INT32_MIN)
		m->until = *last;
	if (m->since == INT32_MIN)
		m->since = m->until - (int32_t)m->lookback + 1;
	if (m->since < limit && m->until >= limit) {
		date_format(limit, date);
		warn_msg(m->feed,
		    "warning: the service keeps 37 months: "
		    "from %s on",
		    date);
		m->since = limit;
	}
	if (m->until < limit) {
		warn_msg(m->feed, "the service keeps 37 months only");
		return RC_CONTRACT;
	}
	return RC_OK;
}

/* A zone or currency never changes in place: it is another account then, or
 * the wrong one. */
static int
same_account(const struct meta *m)
{
	const struct state *s = &m->state;

	if (*s->zone != '\0' && strcmp(s->zone, m->zone_name) != 0) {
		warn_msg(m->feed, "the account's time zone was %s and is %s",
		    s->zone, m->zone_name);
		return RC_CONTRACT;
	}
	if (*s->currency != '\0' && strcmp(s->currency, m->currency) != 0) {
		warn_msg(m->feed, "the account's currency was %s and is %s",
		    s->currency, m->currency);
		return RC_CONTRACT;
	}
	return RC_OK;
}

static int
outcome_of(const struct run *r, int rc)
{
	if (rc != RC_OK)
		return rc;
	if (r->bad > 0)
		return r->good + r->later > 0 ? RC_PARTIAL : r->worst;
	if (r->partial > 0)
		return RC_PARTIAL;
	return r->later > 0 ? RC_NOTREADY : RC_OK;
}

int
days_run(struct meta *m)
{
	struct run *r = xcalloc(1, sizeof *r);
	int32_t last = 0, d;
	int rc = state_open(m);

	r->m = m;
	r->worst = RC_OK;
	if (rc == RC_OK)
		rc = graph_account(m);
	if (rc == RC_OK)
		rc = same_account(m);
	if (rc == RC_OK)
		rc = window(m, &last);
	if (rc == RC_OK && m->mode != MODE_AUTO)
		m->state.plan.async = m->mode == MODE_ASYNC;
	else if (m->level == LEVEL_AD || m->n_breakdowns > 0 ||
		 m->until - m->since >= 2 * CHUNK_DAYS)
		m->state.plan.async = true;
	for (d = m->since; rc == RC_OK && d <= m->until && d <= last;) {
		int32_t to = d + CHUNK_DAYS - 1;

		to = to < m->until ? to : m->until;
		to = to < last ? to : last;
		rc = chunk(r, d, to);
		d = to + 1;
	}
	for (; rc == RC_OK && d <= m->until; d++) {
		begin(r, d, NULL);
		end(r, 0, OUTCOME_NOT_READY, RC_OK, NULL);
		r->later++;
	}
	rc = outcome_of(r, rc);
	stats_add("records_out", r->written);
	if (rc == RC_AUTH || rc == RC_CONFIG)
		warn_msg(m->feed, "%s", m->fault.text);
	rc = rc_graver(rc, out_flush(&m->out));
	/* Only what reached the reader is forgotten. */
	if (rc == RC_OK || rc == RC_PARTIAL || rc == RC_NOTREADY || r->bad > 0)
		rc = rc_graver(rc, state_close(m, !m->out.failed));
	state_release(m);
	free(r);
	return rc;
}
