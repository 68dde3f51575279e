/*
 * run-log: runs a command as one run of a pipeline. It gives it a RUN_ID,
 * keeps a second one out, and writes down how it ended: with the gravest
 * status of all stages, not with the last one's.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "date.h"
#include "diag.h"
#include "exits.h"
#include "file.h"
#include "mem.h"
#include "opt.h"
#include "runlog.h"
#include "stats.h"
#include "sys.h"

enum {
	OPT_DB = OPT_TOOL,
	OPT_GRACE,
	OPT_HOME,
	OPT_LAST,
	OPT_LOG,
	OPT_PING_FILE,
	OPT_PING_HTTP,
	OPT_TEXTFILE,
	OPT_WAIT,
};

static const struct opt options[] = {
    {"pipeline", 'p', "name", "name of the pipeline; one run of it at a time"},
    {"source", 's', "name", "source_system of the record (default: none)"},
    {"db", OPT_DB, "file", "store the record in pipeline_runs there too"},
    {"grace", OPT_GRACE, "s", "seconds from SIGTERM to SIGKILL (default 10)"},
    {"home", OPT_HOME, "dir", "state (default $WEIR_HOME, else var)"},
    {"last", OPT_LAST, NULL, "print the last runs (10, or the operand)"},
    {"log", OPT_LOG, "file", "the common log (default HOME/runs/weir.log)"},
    {"ping-file", OPT_PING_FILE, "file",
	"file holding the URL of a dead man's switch"},
    {"ping-http", OPT_PING_HTTP, NULL, "allow http to this machine"},
    {"textfile", OPT_TEXTFILE, "dir",
	"write weir_PIPELINE.prom there for Prometheus"},
    {"wait", OPT_WAIT, "s",
	"wait so long for a run that is under way (default 0)"},
    {NULL, 0, NULL, NULL},
};

static const struct opt_set set = {
    "[options] --pipeline name -- command [argument ...]\n"
    "[--home dir] [--pipeline name] --last [n]",
    {options}};

/* A name of ours: the one given, or time and chance, in order of time. */
static void
make_id(struct run *run)
{
	const char *given = getenv("RUN_ID");
	unsigned char r[4];
	char stamp[TIME_STAMP_LEN + 1];

	if (given != NULL && *given != '\0') {
		if (!file_name_ok(given))
			die(RC_CONFIG, "RUN_ID",
			    "not 1 to 100 of [A-Za-z0-9._-]");
		snprintf(run->id, sizeof run->id, "%s", given);
		return;
	}
	sys_random(r, sizeof r);
	if (!time_stamp(run->start_ms, stamp))
		die(RC_OSERR, NULL, "the clock is out of range");
	snprintf(run->id, sizeof run->id, "%.8sT%.9s-%02x%02x%02x%02x", stamp,
	    stamp + 8, r[0], r[1], r[2], r[3]);
}

/* Directories, lock, an empty file for the stages' counts. */
static int
run_prepare(struct run *run)
{
	char *lock = xasprintf("%s.lock", run->pipeline);
	char full[PATH_MAX];
	int rc = RC_CANTCREAT, fd;

	if ((run->home_fd = dir_open(run->home, true, true)) < 0 ||
	    (run->runs_fd = dir_open_at(run->home_fd, "runs", true)) < 0)
		goto done;
	if (realpath(run->home, full) == NULL) {
		warn_sys(run->home, "cannot resolve");
		goto done;
	}
	rc = lock_take(run->runs_fd, lock, run->wait_s, &run->lock_fd);
	if (rc != RC_OK)
		goto done;
	run->stats_path = xasprintf("%s/runs/%s.stats", full, run->pipeline);
	fd = open(run->stats_path,
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
	    0600);
	if (fd < 0) {
		warn_sys(run->stats_path, "cannot make");
		rc = RC_CANTCREAT;
		goto done;
	}
	close(fd);
	rc = record_open(run);
done:
	free(lock);
	return rc;
}

/* Writes the run down. The status to end with: what went wrong here counts,
 * but for the ping. */
static int
run_finish(struct run *run)
{
	int rc;

	run->end_ms = sys_real_ns() / 1000000;
	run->end_mono_ns = sys_mono_ns();
	tally_read(&run->tally, run->stats_path);
	run->status = rc_graver(run->status, run->tally.status);
	rc = record_close(run);
	if (run->db != NULL)
		rc = rc_graver(rc, record_db(run));
	if (run->textfile != NULL)
		rc = rc_graver(rc, record_textfile(run));
	ping_send(run, run->status == RC_OK ? "" : "/fail");
	if (rc == RC_OK || rc == RC_PARTIAL)
		record_done(run);
	unlink(run->stats_path);
	stats_add(
	    "records_written", tally_sum(&run->tally, "records_written", ""));
	return rc_graver(run->status, rc);
}

static int
run_all(struct run *run)
{
	int rc;

	if (run->ping_file != NULL && (rc = ping_open(run)) != RC_OK)
		return rc;
	run->start_ms = sys_real_ns() / 1000000;
	run->start_mono_ns = sys_mono_ns();
	make_id(run);
	if ((rc = run_prepare(run)) != RC_OK)
		return rc;
	stats_start();
	ping_send(run, "/start");
	rc = child_run(run);
	if (rc != RC_OK)
		run->status = rc;
	rc = run_finish(run);
	stats_end(rc);
	return rc;
}

static void
read_options(struct run *run, int argc, char **argv, bool *last)
{
	int key;

	while ((key = opt_next(&set, argc, argv)) != -1) {
		if (key == 'p')
			run->pipeline = opt_arg();
		else if (key == 's')
			run->source = opt_arg();
		else if (key == OPT_DB)
			run->db = opt_arg();
		else if (key == OPT_GRACE)
			run->grace_s = (unsigned)opt_u64(0, 86400);
		else if (key == OPT_HOME)
			run->home = opt_arg();
		else if (key == OPT_LAST)
			*last = true;
		else if (key == OPT_LOG)
			run->log = opt_arg();
		else if (key == OPT_PING_FILE)
			run->ping_file = opt_arg();
		else if (key == OPT_PING_HTTP)
			run->ping_http = true;
		else if (key == OPT_TEXTFILE)
			run->textfile = opt_arg();
		else if (key == OPT_WAIT)
			run->wait_s = (unsigned)opt_u64(0, 86400);
	}
	run->argv = argv + opt_index();
}

static int
list(struct run *run)
{
	uint64_t n = 10;
	char *end;

	if (run->argv[0] != NULL) {
		n = strtoull(run->argv[0], &end, 10);
		if (*end != '\0' || n == 0 || n > 1000000 ||
		    run->argv[1] != NULL)
			opt_wrong(&set, "--last: a number from 1 to 1000000");
	}
	if ((run->home_fd = dir_open(run->home, false, false)) < 0)
		return RC_CANTCREAT;
	run->runs_fd = openat(run->home_fd, "runs",
	    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return run->runs_fd < 0 ? RC_OK : record_list(run, n);
}

static void
run_release(struct run *run)
{
	if (run->lock_fd >= 0) {
		/* what the command left running has it too */
		flock(run->lock_fd, LOCK_UN);
		close(run->lock_fd);
	}
	if (run->runs_fd >= 0)
		close(run->runs_fd);
	if (run->home_fd >= 0)
		close(run->home_fd);
	free(run->stats_path);
	if (run->url != NULL) {
		explicit_bzero(run->url, strlen(run->url));
		free(run->url);
		secret_wipe(&run->secret);
	}
}

int
main(int argc, char **argv)
{
	static struct run run = {.source = "",
	    .grace_s = 10,
	    .home_fd = -1,
	    .runs_fd = -1,
	    .lock_fd = -1};
	bool last = false;
	int rc;

	diag_init(argv[0]);
	run.home = getenv("WEIR_HOME");
	if (run.home == NULL || *run.home == '\0')
		run.home = "var";
	read_options(&run, argc, argv, &last);
	if (run.pipeline != NULL && !file_name_ok(run.pipeline))
		opt_wrong(&set, "--pipeline: letters, digits, '.', '_', '-'");
	if (last) {
		rc = list(&run);
	} else if (run.pipeline == NULL || run.argv[0] == NULL) {
		opt_wrong(&set, "--pipeline and a command are needed");
	} else {
		rc = run_all(&run);
	}
	run_release(&run);
	if (run.signal != 0)
		sig_die(run.signal);
	return rc;
}
