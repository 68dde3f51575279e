/* One query of the insights edge, sync or as a report run, all its pages. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "diag.h"
#include "exits.h"
#include "fetch-meta.h"
#include "mem.h"
#include "page.h"
#include "stats.h"
#include "sys.h"

enum { DOC_MAX = 1 << 20, FRESH_S = 120 };
#define ROW_MAX ((size_t)16 << 20)

/* ---- the parameters ---- */

struct params {
	struct param list[12];
	size_t n;
	struct buf fields, range, filter, breakdowns, windows;
	char limit[24];
};

static void
add(struct params *p, const char *name, const char *value)
{
	p->list[p->n++] = (struct param){name, value};
}

static void
add_comma(struct buf *b, const char *text)
{
	if (b->len > 0)
		buf_char(b, ',');
	buf_str(b, text);
}

static void
write_fields(const struct meta *m, const struct query *q, struct buf *b)
{
	if (q->ids_only) {
		buf_fmt(b, "%s_id", level_names[q->level]);
		return;
	}
	for (size_t i = 0; i < m->n_keys; i++)
		add_comma(b, m->fields[i]);
	for (size_t i = q->field_lo; i < q->field_hi; i++)
		add_comma(b, m->fields[i]);
}

/* The service's own JSON arrays, so that no value needs a quoting of commas. */
static void
write_filter(const struct query *q, struct buf *b)
{
	struct jsonw list, one, value;
	char field[20];

	snprintf(field, sizeof field, "%s.id", level_names[q->filter]);
	jsonw_begin(&list, b, '[');
	jsonw_open(&list, NULL, &one, '{');
	jsonw_str(&one, "field", field);
	jsonw_str(&one, "operator", "IN");
	jsonw_open(&one, "value", &value, '[');
	for (size_t i = 0; i < q->n_ids; i++)
		jsonw_str(&value, NULL, q->ids[i]);
	jsonw_end(&value);
	jsonw_end(&one);
	jsonw_end(&list);
}

static void
params_init(struct params *p, const struct meta *m, const struct query *q)
{
	char since[DATE_LEN + 1], until[DATE_LEN + 1];

	memset(p, 0, sizeof *p);
	buf_init(&p->fields, 64 << 10);
	buf_init(&p->range, 256);
	buf_init(&p->filter, 2 << 20);
	buf_init(&p->breakdowns, 4096);
	date_format(q->since, since);
	date_format(q->until, until);
	write_fields(m, q, &p->fields);
	buf_fmt(&p->range, "{\"since\":\"%s\",\"until\":\"%s\"}", since, until);
	add(p, "level", level_names[q->level]);
	add(p, "fields", buf_cstr(&p->fields));
	add(p, "time_range", buf_cstr(&p->range));
	add(p, "time_increment", q->ids_only ? "all_days" : "1");
	if (q->filter != LEVEL_ACCOUNT) {
		write_filter(q, &p->filter);
		add(p, "filtering", buf_cstr(&p->filter));
	}
	if (q->ids_only)
		return;
	for (size_t i = 0; i < q->n_breakdowns; i++)
		add_comma(&p->breakdowns, m->breakdowns[i]);
	add(p, "breakdowns", buf_cstr(&p->breakdowns));
	add(p, "action_attribution_windows", m->windows);
	add(p, "use_unified_attribution_setting", "true");
}

static void
params_release(struct params *p)
{
	buf_release(&p->fields);
	buf_release(&p->range);
	buf_release(&p->filter);
	buf_release(&p->breakdowns);
}

/* What tells one request from another. */
static void
params_key(const struct params *p, const struct meta *m, char key[33])
{
	struct buf text = BUF_INIT(4 << 20);
	unsigned char sum[SHA_LEN];
	char hex[SHA_HEX + 1];

	buf_fmt(&text, "%s/%s/act_%s", m->base, m->version, m->account);
	for (size_t i = 0; i < p->n; i++)
		url_param(&text, p->list[i].name,
		    p->list[i].value != NULL ? p->list[i].value : "");
	sha256_one(text.p, text.len, sum);
	sha_hex(sum, hex);
	memcpy(key, hex, 32);
	key[32] = '\0';
	buf_release(&text);
}

/* ---- rows ---- */

void
rows_init(struct rows *rows)
{
	*rows = (struct rows){.text = spool_new()};
}

void
rows_reset(struct rows *rows)
{
	spool_reset(rows->text);
	rows->count = 0;
}

void
rows_release(struct rows *rows)
{
	spool_free(rows->text);
	rows->text = NULL;
}

static int
cannot_keep(void)
{
	warn_sys("rows", "cannot keep");
	return RC_IO;
}

int
rows_add(struct rows *rows, const char *head, size_t head_len, const char *text,
    size_t len)
{
	const struct iovec parts[] = {
	    {(void *)(uintptr_t)head, head_len},
	    {(void *)(uintptr_t)text, len},
	    {(void *)(uintptr_t) "\n", 1},
	};

	rows->count++;
	return spool_writev(rows->text, parts, 3) < 0 ? cannot_keep() : RC_OK;
}

int
rows_move(struct rows *to, struct rows *from)
{
	const char *block;
	ssize_t n;

	spool_rewind(from->text);
	while ((n = spool_take(from->text, &block)) > 0)
		if (spool_write(to->text, block, (size_t)n) < 0)
			n = -1;
	to->count += from->count;
	return n < 0 ? cannot_keep() : RC_OK;
}

/* A row does not begin with a blank, and has no newline in it. */
bool
rows_next(struct rows *rows, struct buf *line)
{
	const char *end;
	ssize_t n;

	buf_reset(line);
	for (;;) {
		if (rows->left == 0) {
			n = spool_take(rows->text, &rows->at);
			if (n <= 0)
				return false;
			rows->left = (size_t)n;
		}
		end = memchr(rows->at, '\n', rows->left);
		n = end != NULL ? end - rows->at : (ssize_t)rows->left;
		buf_add(line, rows->at, (size_t)n);
		n += end != NULL;
		rows->at += n;
		rows->left -= (size_t)n;
		if (end != NULL) {
			buf_cstr(line);
			return !line->over;
		}
	}
}

void
rows_rewind(struct rows *rows)
{
	spool_rewind(rows->text);
	rows->left = 0;
}

/* What is looked at, in the pass that validates: rows are long. */
enum { AT_START, AT_STOP, AT_ACCOUNT };
static const char *const looked_at[] = {
    "date_start", "date_stop", "account_id", NULL};

struct reader {
	struct meta *m;
	const struct query *q;
	struct rows *rows; /* one a day */
	struct page *page;
	struct json_paths *paths;
	struct buf account; /* put into a row that does not name it */
	size_t head_len;
	uint64_t count;
	char day[DATE_LEN + 1]; /* of the row before, and as a number */
	int32_t day_n;
};

static int
bad_row(struct reader *r, const char *what)
{
	return graph_fault(r->m, RC_CONTRACT, "row %llu of the page: %s",
	    (unsigned long long)r->count, what);
}

/* Of a member that is there twice the last one counts, as for most readers. */
static struct json_span
last_of(const char *row, size_t len, const char *name)
{
	struct json_span all = {row, (uint32_t)len, JSON_OBJECT, 0}, key, val,
			 last = {NULL, 0, JSON_ABSENT, 0};
	struct json_iter it;

	json_iter_init(&it, &all);
	while (json_next_member(&it, &key, &val))
		if (json_is(&key, name, strlen(name)))
			last = val;
	return last;
}

static int
row_day(struct reader *r, const struct json_span *seen, int32_t *day)
{
	struct json_span start = seen[AT_START], stop = seen[AT_STOP];

	if (start.type != JSON_STRING || start.len != DATE_LEN + 2)
		return bad_row(r, "no date_start");
	if (memcmp(start.p + 1, r->day, DATE_LEN) == 0) {
		*day = r->day_n;
	} else if (!date_parse(start.p + 1, DATE_LEN, day)) {
		return bad_row(r, "date_start is no date");
	}
	if (*day < r->q->since || *day > r->q->until)
		return bad_row(r, "date_start is not in the range asked for");
	if (!r->q->ids_only &&
	    (stop.len != start.len || memcmp(stop.p, start.p, stop.len) != 0))
		return bad_row(r, "more than one day");
	memcpy(r->day, start.p + 1, DATE_LEN);
	r->day_n = *day;
	return RC_OK;
}

/* The row as it came, behind what tells its key apart from others'. */
static int
take_row(void *ctx, const char *text, size_t len)
{
	struct reader *r = ctx;
	const struct query *q = r->q;
	struct json_span seen[3], *account = &seen[AT_ACCOUNT];
	struct rows *to;
	int32_t day;
	int rc;

	r->count++;
	memcpy(seen, page_found(r->page), sizeof seen);
	for (int i = 0; i < 3; i++)
		if ((seen[i].flags & JSON_DUPLICATE) != 0)
			seen[i] = last_of(text, len, looked_at[i]);
	rc = row_day(r, seen, &day);
	if (rc != RC_OK)
		return rc;
	if (account->type != JSON_ABSENT &&
	    !json_is(account, r->m->account, strlen(r->m->account)))
		return bad_row(r, "another account");
	to = &r->rows[q->ids_only ? 0 : day - q->since];
	if (q->ids_only)
		rc = rows_add(to, NULL, 0, text, len);
	else if (account->type == JSON_ABSENT)
		rc = rows_add(
		    to, r->account.p, r->account.len, text + 1, len - 1);
	else
		rc = rows_add(
		    to, r->m->row_head, r->head_len, text + 1, len - 1);
	return rc;
}

static void
reader_init(
    struct reader *r, struct meta *m, const struct query *q, struct rows *rows)
{
	const char *why;

	*r = (struct reader){.m = m, .q = q, .rows = rows};
	buf_init(&r->account, 8192);
	buf_fmt(
	    &r->account, "%s\"account_id\":\"%s\",", m->row_head, m->account);
	r->head_len = strlen(m->row_head);
	r->paths = json_paths_new();
	for (size_t i = 0; looked_at[i] != NULL; i++)
		json_paths_add(r->paths, looked_at[i], &why);
	r->page = page_new("data", ROW_MAX, take_row, r);
	page_find(r->page, r->paths);
}

static void
reader_release(struct reader *r)
{
	page_free(r->page);
	json_paths_free(r->paths);
	buf_release(&r->account);
}

/* Reads one page; `rest` is the page without its rows. */
static int
read_page(struct reader *r, struct http_answer *a, struct buf *rest)
{
	struct page *p = r->page;
	struct json_error e = {0, "not whole", false};
	struct json_span doc, data, v;
	const char *block;
	ssize_t n;
	int rc = RC_OK;

	r->count = 0;
	page_reset(p);
	r->m->fault = (struct fault){.rc = RC_OK};
	spool_rewind(a->body);
	while (rc == RC_OK && (n = spool_take(a->body, &block)) != 0) {
		if (n < 0) {
			warn_sys("answer", "cannot read");
			rc = RC_IO;
		} else {
			rc = page_feed(p, block, (size_t)n);
		}
	}
	if (rc == RC_OK) {
		rc = page_end(p, &doc, &e);
		if (rc == RC_OK) {
			data = json_member(&doc, "data");
			v = json_member(&doc, "error");
			if (data.type != JSON_ARRAY || v.type != JSON_ABSENT)
				rc = graph_fault(
				    r->m, RC_CONTRACT, "a page without data");
			buf_reset(rest);
			buf_add(rest, doc.p, doc.len);
			buf_cstr(rest);
		}
	}
	if (rc == RC_CONTRACT && r->m->fault.rc == RC_OK)
		graph_fault(
		    r->m, rc, "a page that is no whole JSON: %s", e.reason);
	return rc;
}

/* ---- paging ---- */

/* The value of `after` in a link that stays where we are. */
static bool
after_of_link(const struct meta *m, const char *link, struct buf *after)
{
	size_t n = strlen(m->base);
	const char *p;

	if (strncmp(link, m->base, n) != 0 || link[n] != '/')
		return false;
	p = strchr(link, '?');
	for (; p != NULL; p = strchr(p + 1, '&'))
		if (strncmp(p + 1, "after=", 6) == 0)
			break;
	if (p == NULL)
		return false;
	for (p += 7; *p != '\0' && *p != '&' && *p != '#'; p++) {
		unsigned c;

		if (*p == '%' && sscanf(p + 1, "%2x", &c) == 1) {
			buf_char(after, (char)c);
			p += 2;
		} else {
			buf_char(after, *p);
		}
	}
	return after->len > 0;
}

/* Where the next page begins; no cursor: this was the last. A cursor on the
 * last page is no sign of another, only the link is. */
static int
next_cursor(struct meta *m, const struct buf *rest, struct buf *after)
{
	struct json_span doc = json_value(rest->p), paging, cursors, next, cur;
	struct buf link = BUF_INIT(64 << 10);
	int rc = RC_OK;

	buf_reset(after);
	paging = json_member(&doc, "paging");
	if (paging.type != JSON_OBJECT)
		return RC_OK;
	next = json_member(&paging, "next");
	if (next.type != JSON_STRING || next.len <= 2)
		return RC_OK;
	cursors = json_member(&paging, "cursors");
	if (cursors.type == JSON_OBJECT) {
		cur = json_member(&cursors, "after");
		if (cur.type == JSON_STRING)
			json_decode_buf(&cur, after);
	}
	if (after->len == 0) {
		json_decode_buf(&next, &link);
		if (!after_of_link(m, buf_cstr(&link), after))
			rc = graph_fault(m, RC_CONTRACT,
			    "the next page is at another place");
	}
	if (rc == RC_OK && (after->over || memchr(after->p, '\0', after->len)))
		rc = graph_fault(m, RC_CONTRACT, "a cursor that is none");
	buf_release(&link);
	return rc;
}

/* All pages below the path; limit is halved where a page is too big, to the
 * floor. */
static int
read_pages(struct reader *r, const char *path, const struct params *base,
    uint64_t floor)
{
	struct meta *m = r->m;
	struct buf rest = BUF_INIT(DOC_MAX), after = BUF_INIT(DOC_MAX);
	uint64_t(*seen)[4] = NULL;
	size_t pages = 0;
	int rc = RC_OK;

	do {
		struct param list[16];
		size_t n = 0;
		char limit[24];
		struct http_answer *a;

		for (size_t i = 0; base != NULL && i < base->n; i++)
			list[n++] = base->list[i];
		snprintf(limit, sizeof limit, "%llu",
		    (unsigned long long)m->state.plan.limit);
		list[n++] = (struct param){"limit", limit};
		list[n++] = (struct param){"after", buf_cstr(&after)};
		rc = graph_call(m, "GET", path, list, n, &a);
		if (rc == RC_SPLIT && m->state.plan.limit / 2 >= floor) {
			m->state.plan.limit /= 2;
			m->state.plan.since_s = m->now_s;
			rc = RC_OK;
			continue;
		}
		if (rc != RC_OK)
			break;
		rc = read_page(r, a, &rest);
		http_done(m->http, a);
		if (rc == RC_OK)
			rc = next_cursor(m, &rest, &after);
		if (rc != RC_OK || after.len == 0)
			break;
		if (pages == PAGES_MAX) {
			rc = graph_fault(m, RC_CONTRACT, "pages without end");
			break;
		}
		seen = xreallocarray(seen, pages + 1, sizeof *seen);
		sha256_one(after.p, after.len, (unsigned char *)seen[pages]);
		for (size_t i = 0; i < pages && rc == RC_OK; i++)
			if (memcmp(seen[i], seen[pages], 32) == 0)
				rc = graph_fault(m, RC_CONTRACT,
				    "a page that was there before");
		pages++;
	} while (rc == RC_OK && sig_pending() == 0);
	if (sig_pending() != 0)
		rc = 128 + sig_pending();
	free(seen);
	buf_release(&rest);
	buf_release(&after);
	return rc;
}

/* ---- report runs ---- */

enum job { JOB_WAIT, JOB_DONE, JOB_AGAIN, JOB_FAILED };

/* A run that failed: v25 says why, older ones do not. */
static enum job
job_failed(struct meta *m, const struct json_span *doc, const char *status)
{
	struct json_span code = json_member(doc, "error_code"),
			 sub = json_member(doc, "error_subcode"),
			 text = json_member(doc, "error_message");
	struct buf message = BUF_INIT(4096);
	int64_t c = 0, s = INT64_MIN + 1;

	if (!json_i64(&code, &c)) {
		graph_fault(
		    m, RC_TRANSIENT, "the report run ended as '%s'", status);
		m->fault.then_split = strcmp(status, "Job Failed") == 0;
		return JOB_AGAIN;
	}
	if (!json_i64(&sub, &s))
		s = INT64_MIN + 1;
	if (text.type == JSON_STRING)
		json_decode_buf(&text, &message);
	graph_classify(m, c, s, 200, buf_cstr(&message), false, &m->fault);
	buf_release(&message);
	return m->fault.rc == RC_TRANSIENT ? JOB_AGAIN : JOB_FAILED;
}

static enum job
job_look(struct meta *m, const struct json_span *doc, int64_t *percent)
{
	static const char *const waiting[] = {
	    "Job Not Started", "Job Started", "Job Running"};
	struct json_span v = json_member(doc, "async_status"),
			 done = json_member(doc, "async_percent_completion");
	char status[64] = "";

	*percent = 0;
	if (!json_i64(&done, percent))
		*percent = 0;
	if (v.type == JSON_STRING && v.len < sizeof status)
		status[json_decode(&v, status)] = '\0';
	if (strcmp(status, "Job Completed") == 0)
		return JOB_DONE;
	for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++)
		if (strcmp(status, waiting[i]) == 0)
			return JOB_WAIT;
	if (strcmp(status, "Job Failed") == 0 ||
	    strcmp(status, "Job Skipped") == 0)
		return job_failed(m, doc, status);
	graph_fault(m, RC_CONTRACT, "a report run of unknown state");
	return JOB_FAILED;
}

/* Waits for a run. RC_GONE: it is not there any more. JOB_AGAIN is
 * RC_TRANSIENT with *again set. One that was just made is not known at once to
 * all of the service, whoever made it. */
static int
job_wait(struct meta *m, const struct report *run, bool adopted, bool *again)
{
	bool fresh = m->now_s - run->made_s < FRESH_S;
	const char *id = run->id;
	int64_t start = sys_mono_ns(), pause = m->poll_ms, percent;
	struct buf doc = BUF_INIT(DOC_MAX);
	int rc;

	*again = false;
	for (;;) {
		struct json_span root;
		int64_t ms;

		m->polling = !adopted || fresh;
		rc = graph_object(m, "GET", id, NULL, 0, &doc, &root);
		m->polling = false;
		if (rc != RC_OK) {
			if (adopted && m->fault.code == 100)
				rc = RC_GONE;
			break;
		}
		switch (job_look(m, &root, &percent)) {
		case JOB_DONE:
			goto done;
		case JOB_AGAIN:
			*again = true;
			rc = RC_TRANSIENT;
			goto done;
		case JOB_FAILED:
			rc = m->fault.rc;
			goto done;
		case JOB_WAIT:
			break;
		}
		/* 5 minutes at nothing, an hour in all, as polls go. */
		ms = (sys_mono_ns() - start) / 1000000;
		if ((percent == 0 && ms > m->poll_ms * 60) ||
		    ms > m->poll_ms * 720) {
			rc = graph_fault(m, RC_TRANSIENT,
			    "report run %s stands at %lld %% after %lld s", id,
			    (long long)percent, (long long)ms / 1000);
			m->fault.stuck = true;
			goto done;
		}
		rc = http_replaying(m->http) ? RC_OK : graph_sleep(pause);
		if (rc != RC_OK)
			goto done;
		pause = pause * 2 < m->poll_ms * 6 ? pause * 2 : m->poll_ms * 6;
	}
done:
	buf_release(&doc);
	return rc;
}

static int
job_make(struct meta *m, const struct params *p, const char *key)
{
	struct buf doc = BUF_INIT(DOC_MAX);
	struct json_span root, v;
	char path[40], id[24] = "";
	int rc;

	/* A run that is made and whose id never reached the disk cannot be found
	 * again: the service has no list of them. So that is at least known. */
	rc = state_intend(m, key, m->now_s);
	if (rc != RC_OK) {
		buf_release(&doc);
		return rc;
	}
	snprintf(path, sizeof path, "act_%s/insights", m->account);
	rc = graph_object(m, "POST", path, p->list, p->n, &doc, &root);
	if (rc == RC_OK) {
		v = json_member(&root, "report_run_id");
		if (v.type == JSON_STRING && v.len - 2 < sizeof id)
			id[json_decode(&v, id)] = '\0';
		if (*id == '\0' || strspn(id, "0123456789") != strlen(id))
			rc = graph_fault(m, RC_CONTRACT, "no report_run_id");
	}
	if (rc == RC_OK) {
		stats_add("report_runs", 1);
		rc = state_add(m, key, id, m->now_s);
	} else if (m->fault.code != 0) {
		state_forget(m, key); /* refused: none was made */
	}
	buf_release(&doc);
	return rc;
}

static int
get_async(struct meta *m, const struct query *q, const struct params *p,
    struct rows *rows)
{
	struct reader r;
	char key[33], path[48];
	int rc;

	params_key(p, m, key);
	reader_init(&r, m, q, rows);
	for (unsigned tries = 0;;) {
		struct report *run = state_find(m, key);
		bool adopted = run != NULL && *run->id != '\0', again;

		if (run != NULL && !adopted) {
			warn_msg(m->feed,
			    "warning: a report run may have been made that was "
			    "cut off before its id was kept: another is made");
			stats_add("report_runs_lost", 1);
		}
		if (!adopted) {
			rc = job_make(m, p, key);
			if (rc != RC_OK)
				break;
			run = state_find(m, key);
		}
		rc = job_wait(m, run, adopted, &again);
		if (rc == RC_GONE || again || rc == RC_SPLIT)
			state_forget(m, key);
		if (rc == RC_GONE)
			continue;
		if (again && tries++ == 0)
			continue;
		if (again && m->fault.then_split)
			rc = RC_SPLIT;
		if (rc != RC_OK)
			break;
		if (run->made_s < m->data_s)
			m->data_s = run->made_s;
		snprintf(path, sizeof path, "%s/insights", run->id);
		m->polling = true;
		rc = read_pages(&r, path, NULL, 1);
		m->polling = false;
		if (rc == RC_OK)
			run->done = true;
		break;
	}
	reader_release(&r);
	return rc;
}

static int
get_sync(struct meta *m, const struct query *q, const struct params *p,
    struct rows *rows)
{
	struct reader r;
	char path[40];
	int rc;

	reader_init(&r, m, q, rows);
	snprintf(path, sizeof path, "act_%s/insights", m->account);
	rc = read_pages(&r, path, p, m->mode == MODE_SYNC ? 1 : 125);
	reader_release(&r);
	return rc;
}

static void
reset_all(struct rows *rows, const struct query *q)
{
	size_t n = q->ids_only ? 1 : (size_t)(q->until - q->since) + 1;

	for (size_t i = 0; i < n; i++)
		rows_reset(&rows[i]);
}

int
insights_get(struct meta *m, const struct query *q, struct rows *rows)
{
	/* Nothing stands before it: what is given up can be wiped. */
	bool first = spool_size(rows->text) == 0;
	struct rows own, *to = first ? rows : &own;
	struct params p;
	int rc = RC_SPLIT;

	if (!first)
		rows_init(&own);
	params_init(&p, m, q);
	if (!m->state.plan.async) {
		rc = get_sync(m, q, &p, to);
		if (rc == RC_SPLIT && m->mode != MODE_SYNC) {
			m->state.plan.async = true;
			m->state.plan.since_s = m->now_s;
			reset_all(to, q);
		}
	}
	if (rc == RC_SPLIT && m->state.plan.async)
		rc = get_async(m, q, &p, to);
	if (!first && rc == RC_OK)
		rc = rows_move(rows, &own);
	if (rc == RC_SPLIT)
		m->soft = m->fault.then_split;
	params_release(&p);
	if (!first)
		rows_release(&own);
	else if (rc != RC_OK)
		reset_all(rows, q);
	return rc;
}
