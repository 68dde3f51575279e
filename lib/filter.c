#include "filter.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "mem.h"
#include "part.h"
#include "stats.h"
#include "sys.h"

const struct opt filter_options[] = {
    {"rejects", OPT_REJECTS, "file", "keep bad records there and go on"},
    {"max-rejects", OPT_MAX_REJECTS, "count",
	"most bad records, or N% of all, default no limit"},
    {"max-line", OPT_MAX_LINE, "size", "longest line in bytes, default 16M"},
    {"plain", OPT_PLAIN, NULL, "write the records without control records"},
    {"quiet", OPT_QUIET, NULL, "no progress line on a terminal"},
    {NULL, 0, NULL, NULL},
};

void
filter_init(struct filter *f)
{
	memset(f, 0, sizeof *f);
	stream_init(&f->in);
	rejects_init(&f->rejects);
	buf_init(&f->begin_extra, 1u << 20);
}

bool
filter_opt(struct filter *f, int key)
{
	switch (key) {
	case OPT_REJECTS:
		f->rejects.path = opt_arg();
		break;
	case OPT_MAX_REJECTS:
		if (!rejects_parse_max(&f->rejects, opt_arg()))
			die(RC_USAGE, "--max-rejects",
			    "neither a count nor a percentage");
		break;
	case OPT_MAX_LINE:
		f->in.max_line = opt_size(1, 2u << 30);
		break;
	case OPT_PLAIN:
		f->plain_out = true;
		break;
	case OPT_QUIET:
		f->quiet = true;
		break;
	default:
		return false;
	}
	return true;
}

int
filter_reject(
    struct filter *f, const struct record *rec, size_t byte, const char *reason)
{
	return stream_reject(&f->in, rec, byte, reason);
}

/* ---- the run ---- */

struct run {
	struct filter *f;
	int status;
	bool open; /* begin was called, end was not */
	uint64_t parts, out;
	struct buf text;
};

static bool
shows_control(const struct filter *f)
{
	return (f->flags & FILTER_SINK) == 0 && !f->plain_out &&
	       !f->in.part.plain;
}

/* True: go on. The lesser statuses are kept for the end. */
static bool
keep(struct run *r, int status)
{
	r->status = rc_graver(r->status, status);
	return status == RC_OK || status == RC_PARTIAL ||
	       status == RC_NOTREADY || status == RC_FINDINGS;
}

static bool
begin(struct run *r)
{
	struct filter *f = r->f;

	r->open = true;
	r->parts++;
	f->written = f->rejected = 0;
	f->lost = RC_OK;
	buf_reset(&f->begin_extra);
	if (*f->in.part.run_id != '\0')
		stats_text("run_id", f->in.part.run_id);
	if (f->begin != NULL && !keep(r, f->begin(f, &f->in.part)))
		return false;
	if (shows_control(f)) {
		buf_reset(&r->text);
		part_begin_again(&r->text, &f->in.part, &f->begin_extra);
		out_record(&f->out, r->text.p, r->text.len);
	}
	return true;
}

static bool
records(struct run *r)
{
	struct filter *f = r->f;

	if (!r->open && !begin(r))
		return false;
	if (!keep(r, f->records(f, &f->in.batch)))
		return false;
	progress_update(f->in.total_records, f->in.total_bytes, f->in.size);
	return !f->out.failed;
}

static void
say_dropped(const struct filter *f, const struct part_end *e)
{
	char a[DIAG_QUOTE], b[DIAG_QUOTE];
	const struct part *p = &f->in.part;

	if (e->records == 0 || f->written > 0 || (f->flags & FILTER_SINK) != 0)
		return;
	warn_msg(NULL, "warning: nothing is left of partition %s %s %s",
	    diag_quote(a, p->source, strlen(p->source)),
	    diag_quote(b, p->feed, strlen(p->feed)), p->date);
}

static bool
end(struct run *r)
{
	struct filter *f = r->f;
	struct part_end e = f->in.end;

	f->rejected = f->in.rejected;
	if (f->end != NULL && !keep(r, f->end(f, &f->in.part, &e)))
		return false;
	r->open = false;
	r->out += f->written;
	if (f->lost != RC_OK) {
		r->status = rc_graver(r->status, f->lost);
	} else if (shows_control(f)) {
		say_dropped(f, &e);
		buf_reset(&r->text);
		part_end_again(
		    &r->text, &e, f->written, e.rejected + f->rejected);
		out_record(&f->out, r->text.p, r->text.len);
	}
	return true;
}

/* The end of plain records is the end of the input. */
static bool
end_plain(struct run *r)
{
	struct stream *in = &r->f->in;

	if (in->has_parts)
		return true;
	if (!r->open) {
		memset(&in->part, 0, sizeof in->part);
		in->part.plain = true;
		in->part.source = in->part.feed = in->part.date = "";
		in->part.day_tz = in->part.run_id = in->part.kind = "";
		if (!begin(r))
			return false;
	}
	memset(&in->end, 0, sizeof in->end);
	in->end.outcome = OUTCOME_COMPLETE;
	in->end.records = in->records;
	in->end.class_word = in->end.reason = "";
	return end(r);
}

static void
cut(struct run *r)
{
	if (r->open && r->f->cut != NULL)
		r->f->cut(r->f, &r->f->in.part);
	r->open = false;
}

/* False: the run is over. */
static bool
step(struct run *r)
{
	struct filter *f = r->f;

	switch (stream_next(&f->in)) {
	case STREAM_BATCH:
		return records(r);
	case STREAM_BEGIN:
		return begin(r);
	case STREAM_END:
		return end(r);
	case STREAM_CUT:
		cut(r);
		r->status = rc_graver(r->status, RC_TRUNCATED);
		return true;
	case STREAM_STOP:
		r->status = rc_graver(r->status, f->in.status);
		return false;
	case STREAM_EOF:
		break;
	}
	if (end_plain(r) && f->finish != NULL)
		keep(r, f->finish(f));
	return false;
}

static void
count(const struct run *r)
{
	const struct filter *f = r->f;

	stats_add("records_in", f->in.total_records);
	stats_add("records_out", r->out);
	stats_add("rejected", f->rejects.count);
	stats_add("bytes_in", f->in.total_bytes);
	stats_add("bytes_out", f->out.bytes);
	stats_add("partitions", r->parts);
}

static void
run(struct run *r)
{
	struct filter *f = r->f;

	progress_start(f->quiet);
	while (step(r))
		;
	cut(r);
	progress_end();
}

int
filter_run(struct filter *f, char *const *files, size_t n)
{
	struct run r = {.f = f, .status = RC_OK};

	buf_init(&r.text, SIZE_MAX / 2);
	f->in.paths = f->paths;
	f->in.rejects = &f->rejects;
	sig_init();
	if ((f->flags & FILTER_STATE) != 0)
		signal(SIGPIPE, SIG_IGN);
	if ((f->flags & FILTER_OWN_STATS) == 0)
		stats_start();
	out_init(&f->out, STDOUT_FILENO, "stdout", 0);
	r.status = rejects_open(&f->rejects);
	if (r.status == RC_OK)
		r.status = stream_open(&f->in, files, n);
	if (r.status == RC_OK) {
		if ((f->flags & (FILTER_SINK | FILTER_STATE | FILTER_EXEC)) ==
		    0)
			sys_restrict(SYS_PURE);
		run(&r);
	}
	r.status = rc_graver(
	    r.status, rejects_close(&f->rejects, f->in.total_records));
	r.status = rc_graver(r.status, out_close(&f->out));
	count(&r);
	stream_close(&f->in);
	buf_release(&r.text);
	buf_release(&f->begin_extra);
	if ((f->flags & FILTER_OWN_STATS) != 0)
		return r.status;
	stats_end(r.status);
	if (sig_pending() != 0)
		sig_die(sig_pending());
	return r.status;
}
