/* A partition around what a foreign command writes. */
#include <signal.h>
#include <unistd.h>

#include "command.h"
#include "diag.h"
#include "exits.h"
#include "ndjson-part.h"
#include "stats.h"
#include "sys.h"

static int
copy(struct stream *s, struct out *o)
{
	for (;;) {
		switch (stream_next(s)) {
		case STREAM_BATCH:
			for (size_t i = 0; i < s->batch.n; i++)
				out_record(o, s->batch.rec[i].text,
				    s->batch.rec[i].len);
			if (o->failed)
				return RC_IO;
			progress_update(s->total_records, s->total_bytes, 0);
			break;
		case STREAM_EOF:
			return RC_OK;
		default:
			return s->status;
		}
	}
}

/*
 * The end of a partition whose command has ended with that code. No end is
 * written where it failed, or where it gave nothing and nobody said that this
 * may be.
 */
static int
finish(const struct make *m, const struct command *c, int code,
    const struct stream *s, struct out *o)
{
	uint64_t n = s->records - s->rejected;
	enum outcome outcome = OUTCOME_COMPLETE;
	const char *reason = NULL;
	int status = RC_OK;

	if (code == RC_PARTIAL && n > 0) {
		outcome = OUTCOME_PARTIAL;
		reason = "the command ended with status 3";
		status = RC_PARTIAL;
	} else if (code == RC_NOTREADY && n == 0) {
		outcome = OUTCOME_NOT_READY;
		status = RC_NOTREADY;
	} else if (code != 0) {
		return command_failed(c, code);
	} else if (n == 0 && !m->allow_empty) {
		warn_msg(c->name, "gave no records; with --allow-empty that "
				  "is an answer");
		return RC_CONTRACT;
	} else if (n == 0) {
		outcome = OUTCOME_EMPTY;
	}
	if (!m->plain)
		part_write_end(o, n, outcome, s->rejected, NULL, reason);
	return status;
}

static int
carry(const struct make *m, char *const *argv, struct out *o)
{
	struct command c;
	struct stream s;
	int status, code;

	status = command_start(&c, argv, false);
	if (status != RC_OK)
		return status;
	if (!m->plain)
		part_write_begin(o, &m->desc);
	stream_init(&s);
	s.bare = true;
	s.max_line = m->max_line;
	s.rejects = m->rejects;
	stream_open_fd(&s, c.out, c.name);
	status = copy(&s, o);
	if (status == RC_OK) {
		code = command_wait(&c);
		status = sig_pending() != 0 ? 128 + sig_pending()
					    : finish(m, &c, code, &s, o);
	} else {
		command_end(&c, sig_pending() != 0 ? sig_pending() : SIGTERM);
	}
	close(c.out);
	status = rc_graver(status, rejects_close(m->rejects, s.records));
	stats_add("records_in", s.total_records);
	stats_add("records_out", s.records - s.rejected);
	stats_add("rejected", s.rejected);
	stats_add("bytes_in", s.total_bytes);
	stats_add("partitions", 1);
	stream_close(&s);
	return status;
}

int
make_run(const struct make *m, char *const *argv)
{
	struct out o;
	int status;

	sig_init();
	stats_start();
	if (m->desc.run_id != NULL && *m->desc.run_id != '\0')
		stats_text("run_id", m->desc.run_id);
	progress_start(m->quiet);
	out_init(&o, STDOUT_FILENO, "stdout", 0);
	status = rejects_open(m->rejects);
	if (status == RC_OK)
		status = carry(m, argv, &o);
	progress_end();
	stats_add("bytes_out", o.bytes);
	status = rc_graver(status, out_close(&o));
	stats_end(status);
	if (sig_pending() != 0)
		sig_die(sig_pending());
	return status;
}
