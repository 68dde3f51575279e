/*
 * meas RUNS CORE BYTES ROWS LABEL COMMAND: runs a shell command RUNS times
 * after a warm-up (none for one run), on one core (- for any), its stdout on
 * /dev/null, and prints one row of Markdown: medians of CPU and wall seconds,
 * most memory of one process, GB/s and million rows/s by CPU. CPU seconds are
 * what to compare on a machine that others use too.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "sys.h"

#define RUNS_MAX 64

struct run {
	double cpu, wall, mib;
	int status;
};

static double
seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void
child(const char *core, const char *command)
{
	int null = open("/dev/null", O_WRONLY);

	if (strcmp(core, "-") != 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET((unsigned)atoi(core), &set);
		sched_setaffinity(0, sizeof(set), &set);
	}
	dup2(null, 1);
	execlp("bash", "bash", "-o", "pipefail", "-c", command, (char *)NULL);
	_exit(127);
}

static struct run
once(const char *core, const char *command)
{
	int64_t from = sys_mono_ns();
	struct rusage u;
	struct run r;
	int st;
	pid_t pid = fork();

	if (pid == 0)
		child(core, command);
	if (pid < 0 || wait4(pid, &st, 0, &u) < 0)
		die(RC_OSERR, NULL, "cannot run");
	r.wall = (double)(sys_mono_ns() - from) / 1e9;
	r.cpu = seconds(u.ru_utime) + seconds(u.ru_stime);
	r.mib = (double)u.ru_maxrss / 1024;
	r.status = WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
	return r;
}

static int
by_number(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	double cpu[RUNS_MAX], wall[RUNS_MAX], mib = 0, bytes, rows;
	int runs, status = 0;

	diag_init(argv[0]);
	if (argc != 7)
		die(RC_USAGE, NULL,
		    "usage: meas RUNS CORE BYTES ROWS LABEL COMMAND");
	runs = atoi(argv[1]) < 1 ? 1 : atoi(argv[1]);
	if (runs > RUNS_MAX)
		runs = RUNS_MAX;
	bytes = strtod(argv[3], NULL);
	rows = strtod(argv[4], NULL);
	if (runs > 1)
		once(argv[2], argv[6]);
	for (int i = 0; i < runs; i++) {
		struct run r = once(argv[2], argv[6]);

		cpu[i] = r.cpu;
		wall[i] = r.wall;
		mib = r.mib > mib ? r.mib : mib;
		status = r.status != 0 ? r.status : status;
	}
	qsort(cpu, (size_t)runs, sizeof(cpu[0]), by_number);
	qsort(wall, (size_t)runs, sizeof(wall[0]), by_number);
	printf("| %s | %.3f | %.3f | %.0f | %.2f | %.2f | %d | %s%.0d |\n",
	    argv[5], cpu[runs / 2], wall[runs / 2], mib,
	    bytes / cpu[runs / 2] / 1e9, rows / cpu[runs / 2] / 1e6, runs,
	    status == 0 ? "ok" : "exit ", status);
	return status != 0;
}
