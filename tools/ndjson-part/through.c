/*
 * Partitions through a foreign command: one run of it for each, its input
 * without control records, its output counted.
 *
 * We feed it; a child of ours, the collector, reads what it writes, checks it
 * and hands it to stdout. So each side may block, and none waits for another
 * in a circle. The control records are written while no collector runs.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "diag.h"
#include "exits.h"
#include "ndjson-part.h"
#include "sys.h"

struct through {
	char *const *argv;
	bool running;
	bool ended; /* the command, by us */
	struct command command;
	struct out feed;
	pid_t collector;
	int report; /* the collector's answer comes from there */
};

/* What a collector has to say when it is done. */
struct report {
	uint64_t records;
	int64_t status; /* of this width, so that no byte is left unset */
};

static _Noreturn void
collect(const struct command *c, size_t max_line, int to)
{
	struct report r = {0, RC_OK};
	struct stream s;
	struct out o;
	enum stream_what what;

	stream_init(&s);
	s.bare = true;
	s.max_line = max_line;
	stream_open_fd(&s, c->out, c->name);
	out_init(&o, STDOUT_FILENO, "stdout", 0);
	while ((what = stream_next(&s)) == STREAM_BATCH && !o.failed) {
		for (size_t i = 0; i < s.batch.n; i++)
			out_record(&o, s.batch.rec[i].text, s.batch.rec[i].len);
	}
	if (what == STREAM_STOP)
		r.status = s.status;
	r.records = s.records;
	r.status = rc_graver((int)r.status, out_close(&o));
	stream_close(&s);
	sys_write_all(to, &r, sizeof r);
	_exit(0);
}

static int
start(struct filter *f)
{
	struct through *t = f->ctx;
	int fds[2];
	int status = out_flush(&f->out);

	if (status != RC_OK)
		return status;
	status = command_start(&t->command, t->argv, true);
	if (status != RC_OK)
		return status;
	if (pipe2(fds, O_CLOEXEC) < 0 || (t->collector = fork()) < 0) {
		warn_sys(NULL, "cannot start");
		command_end(&t->command, SIGTERM);
		return RC_OSERR;
	}
	if (t->collector == 0) {
		/* the command must see the end of its input */
		close(t->command.in);
		close(fds[0]);
		collect(&t->command, f->in.max_line, fds[1]);
	}
	close(fds[1]);
	close(t->command.out);
	t->report = fds[0];
	out_init(&t->feed, t->command.in, t->command.name, 0);
	t->feed.gone_ok = true;
	t->ended = false;
	t->running = true;
	return RC_OK;
}

/* A command may end before it has read all, `head` does. */
static void
feed(struct through *t, const struct batch *b)
{
	void (*old)(int) = signal(SIGPIPE, SIG_IGN);

	for (size_t i = 0; b != NULL && i < b->n; i++)
		out_record(&t->feed, b->rec[i].text, b->rec[i].len);
	if (b == NULL)
		out_close(&t->feed);
	signal(SIGPIPE, old);
}

static int
records(struct filter *f, const struct batch *b)
{
	struct through *t = f->ctx;
	int status = t->running ? RC_OK : start(f);

	if (status == RC_OK)
		feed(t, b);
	return status;
}

static int
collected(struct through *t, struct report *r)
{
	int status;
	ssize_t n = sys_read(t->report, r, sizeof *r);

	if (n < 0 && sig_pending() != 0) {
		command_end(&t->command, sig_pending());
		t->ended = true;
		/* what the command has started may keep its pipe open */
		kill(t->collector, SIGTERM);
	}
	while (waitpid(t->collector, &status, 0) < 0 && errno == EINTR)
		;
	close(t->report);
	if (sig_pending() != 0)
		return 128 + sig_pending();
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return n == (ssize_t)sizeof *r ? (int)r->status : RC_INTERNAL;
}

/* Both have read and written all; RC_OK where the partition may end. */
static int
settle(struct filter *f)
{
	struct through *t = f->ctx;
	struct report r = {0, RC_OK};
	int status, code;

	feed(t, NULL);
	close(t->command.in);
	status = collected(t, &r);
	if (status != RC_OK) {
		if (!t->ended)
			command_end(&t->command, SIGTERM);
	} else {
		code = command_wait(&t->command);
		if (code != 0)
			status = command_failed(&t->command, code);
	}
	t->running = false;
	f->written = r.records;
	return status;
}

static int
end(struct filter *f, const struct part *part, struct part_end *e)
{
	struct through *t = f->ctx;
	int status;

	/* nothing to say about a day that the source did not give */
	if (!t->running && e->records == 0 &&
	    (e->outcome == OUTCOME_NOT_READY || e->outcome == OUTCOME_FAILED))
		return RC_OK;
	if (!t->running && (status = start(f)) != RC_OK)
		return status;
	status = settle(f);
	if (status == 128 + SIGPIPE)
		sig_die(SIGPIPE);
	if (status == RC_OK || status == RC_IO || sig_pending() != 0)
		return status;
	(void)part;
	f->lost = status;
	return RC_OK;
}

static void
cut(struct filter *f, const struct part *part)
{
	struct through *t = f->ctx;
	struct report r;

	(void)part;
	if (!t->running)
		return;
	/* it must not take the cut for the end of its input */
	command_end(&t->command, sig_pending() != 0 ? sig_pending() : SIGTERM);
	out_drop(&t->feed);
	close(t->command.in);
	collected(t, &r);
	t->running = false;
}

int
through_run(struct filter *f, char *const *argv)
{
	struct through t = {.argv = argv};

	f->ctx = &t;
	f->flags = FILTER_EXEC;
	f->records = records;
	f->end = end;
	f->cut = cut;
	return filter_run(f, NULL, 0);
}
