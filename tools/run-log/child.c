/* Runs the command: its own process group, its stderr kept in passing. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "runlog.h"
#include "sys.h"

enum { NOT_FOUND = 127, NOT_RUNNABLE = 126 };

static volatile sig_atomic_t got_signal, got_signals, got_child;

static void
on_end(int sig)
{
	got_signal = sig;
	got_signals++;
}

static void
on_child(int sig)
{
	(void)sig;
	got_child = 1;
}

/* What the process had before, for the child and for afterwards. */
struct saved {
	sigset_t mask;
	struct sigaction term, intr, hup, chld, pipe;
};

static void
signals_take(struct saved *old)
{
	struct sigaction sa = {0};
	sigset_t block;

	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGINT);
	sigaddset(&block, SIGHUP);
	sigaddset(&block, SIGCHLD);
	sigprocmask(SIG_BLOCK, &block, &old->mask);
	sigemptyset(&sa.sa_mask);
	sa.sa_handler = on_end;
	sigaction(SIGTERM, &sa, &old->term);
	sigaction(SIGINT, &sa, &old->intr);
	sigaction(SIGHUP, &sa, &old->hup);
	/* nohup and background shells ignore them: leave it so */
	if (old->intr.sa_handler == SIG_IGN)
		sigaction(SIGINT, &old->intr, NULL);
	if (old->hup.sa_handler == SIG_IGN)
		sigaction(SIGHUP, &old->hup, NULL);
	sa.sa_handler = on_child;
	sigaction(SIGCHLD, &sa, &old->chld);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, &old->pipe);
}

/* In the child: as if it had been started without us. */
static void
signals_give(const struct saved *old)
{
	sigaction(SIGTERM, &old->term, NULL);
	sigaction(SIGINT, &old->intr, NULL);
	sigaction(SIGHUP, &old->hup, NULL);
	sigaction(SIGCHLD, &old->chld, NULL);
	sigaction(SIGPIPE, &old->pipe, NULL);
	sigprocmask(SIG_SETMASK, &old->mask, NULL);
}

static void
tail_add(struct tail *t, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n') {
			memcpy(t->line[t->count % TAIL_LINES], t->open,
			    t->open_len);
			t->line[t->count % TAIL_LINES][t->open_len] = '\0';
			if (t->open_len > 0)
				t->count++;
			t->open_len = 0;
		} else if (p[i] != '\0' && t->open_len < TAIL_WIDTH) {
			t->open[t->open_len++] = p[i];
		}
	}
}

/* Hands on what the command says. False at the end or when none is there. */
static bool
pass_stderr(struct run *run, int fd)
{
	char block[8192];
	ssize_t n;

	do
		n = read(fd, block, sizeof block);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 && errno != EAGAIN ? false : n > 0;
	(void)sys_write_all(STDERR_FILENO, block, (size_t)n);
	tail_add(&run->tail, block, (size_t)n);
	return true;
}

/*
 * The lock goes with the child: when run-log itself is killed, the next run
 * still waits for what is left of this one. It is taken back by LOCK_UN.
 */
_Noreturn static void
child_exec(const struct run *run, const struct saved *old, int err_fd,
    int say_fd, bool group, pid_t parent)
{
	int e;

	if (group)
		setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(128 + SIGTERM);
	fcntl(run->lock_fd, F_SETFD, 0);
	signals_give(old);
	if (dup2(err_fd, STDERR_FILENO) >= 0 &&
	    setenv("RUN_ID", run->id, 1) == 0 &&
	    setenv("WEIR_STATS", run->stats_path, 1) == 0)
		execvp(run->argv[0], run->argv);
	e = errno;
	(void)!write(say_fd, &e, sizeof e);
	_exit(e == ENOENT ? NOT_FOUND : NOT_RUNNABLE);
}

static void
kill_child(pid_t pid, bool group, int sig)
{
	if (kill(group ? -pid : pid, sig) < 0 && group)
		kill(pid, sig);
}

/* Hands a signal on; the second one, or patience at its end, is SIGKILL. */
static void
hand_on(
    const struct run *run, pid_t pid, bool group, int *sent, int64_t *deadline)
{
	if (*sent < got_signals) {
		/* at a terminal the whole group had its SIGINT already */
		if (*sent == 0 && (group || got_signal != SIGINT))
			kill_child(pid, group, got_signal);
		else if (*sent > 0)
			kill_child(pid, group, SIGKILL);
		if (*sent == 0)
			*deadline =
			    sys_mono_ns() + (int64_t)run->grace_s * 1000000000;
		*sent = (int)got_signals;
	}
	if (*deadline != 0 && sys_mono_ns() > *deadline) {
		kill_child(pid, group, SIGKILL);
		*deadline = 0;
	}
}

static int
child_wait(struct run *run, pid_t pid, bool group, int fd, const sigset_t *mask)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	const struct timespec tick = {.tv_nsec = 200000000};
	int64_t deadline = 0;
	int sent = 0, st = 0;

	for (;;) {
		hand_on(run, pid, group, &sent, &deadline);
		if (got_child != 0) {
			got_child = 0;
			if (waitpid(pid, &st, WNOHANG) == pid)
				break;
		}
		if (ppoll(&p, 1, deadline != 0 ? &tick : NULL, mask) > 0 &&
		    !pass_stderr(run, fd))
			p.fd = -1; /* its stderr is closed */
	}
	while (pass_stderr(run, fd))
		;
	tail_add(&run->tail, "\n", 1);
	run->signal = got_signal;
	return WIFSIGNALED(st) ? 128 + WTERMSIG(st) : WEXITSTATUS(st);
}

/* Says why the command could not be started, if so. */
static void
say_exec(struct run *run, int fd)
{
	char name[DIAG_QUOTE];
	int e;

	if (read(fd, &e, sizeof e) == (ssize_t)sizeof e) {
		errno = e;
		warn_sys(NULL, "cannot run %s",
		    diag_quote(name, run->argv[0], strlen(run->argv[0])));
		snprintf(run->tally.message, sizeof run->tally.message,
		    "cannot run the command: %s", strerror(e));
	}
}

int
child_run(struct run *run)
{
	/* at a terminal the command stays in the group that may read it */
	bool group = !isatty(STDIN_FILENO);
	struct saved old;
	int err[2], say[2];
	pid_t pid, self = getpid();

	if (pipe2(err, O_CLOEXEC) < 0) {
		warn_sys(NULL, "cannot make a pipe");
		return RC_OSERR;
	}
	if (pipe2(say, O_CLOEXEC) < 0) {
		warn_sys(NULL, "cannot make a pipe");
		close(err[0]);
		close(err[1]);
		return RC_OSERR;
	}
	signals_take(&old);
	if ((pid = fork()) == 0)
		child_exec(run, &old, err[1], say[1], group, self);
	close(err[1]);
	close(say[1]);
	if (pid < 0) {
		warn_sys(NULL, "cannot fork");
	} else {
		if (group)
			setpgid(pid, pid);
		fcntl(err[0], F_SETFL, O_NONBLOCK);
		say_exec(run, say[0]);
		run->status = child_wait(run, pid, group, err[0], &old.mask);
	}
	signals_give(&old);
	close(err[0]);
	close(say[0]);
	return pid < 0 ? RC_OSERR : RC_OK;
}
