#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "diag.h"
#include "exits.h"
#include "sys.h"

/* What must be shut again on all ways out of command_start. */
struct pipes {
	int in[2], out[2], err[2];
};

static void
shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static bool
open_pipes(struct pipes *p, bool feed)
{
	if (feed && pipe2(p->in, O_CLOEXEC) < 0)
		return false;
	return pipe2(p->out, O_CLOEXEC) == 0 && pipe2(p->err, O_CLOEXEC) == 0;
}

/* In the child. Signal handlers go at exec; what our parent ignored stays
 * ignored. */
static _Noreturn void
become(char *const *argv, const struct pipes *p)
{
	int error;

	if ((p->in[0] < 0 || dup2(p->in[0], STDIN_FILENO) >= 0) &&
	    dup2(p->out[1], STDOUT_FILENO) >= 0)
		execvp(argv[0], argv);
	error = errno;
	sys_write_all(p->err[1], &error, sizeof error);
	_exit(127);
}

int
command_start(struct command *c, char *const *argv, bool feed)
{
	struct pipes p = {{-1, -1}, {-1, -1}, {-1, -1}};
	int status = RC_OSERR, error = 0;
	ssize_t n = 0;

	c->name = argv[0];
	c->pid = -1;
	c->in = c->out = -1;
	if (!open_pipes(&p, feed) || (c->pid = fork()) < 0) {
		warn_sys(argv[0], "cannot start");
		goto done;
	}
	if (c->pid == 0)
		become(argv, &p);
	shut(&p.err[1]);
	while ((n = read(p.err[0], &error, sizeof error)) < 0 && errno == EINTR)
		;
	if (n > 0) {
		while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			;
		errno = error;
		warn_sys(argv[0], "cannot run");
		status = RC_CONFIG;
		goto done;
	}
	c->in = p.in[1];
	c->out = p.out[0];
	p.in[1] = p.out[0] = -1;
	status = RC_OK;
done:
	for (int i = 0; i < 2; i++) {
		shut(&p.in[i]);
		shut(&p.out[i]);
		shut(&p.err[i]);
	}
	return status;
}

static int
code_of(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status)
				   : WEXITSTATUS(status);
}

int
command_wait(struct command *c)
{
	int status, passed = 0;

	while (waitpid(c->pid, &status, 0) < 0) {
		if (errno != EINTR)
			return RC_INTERNAL;
		if (sig_pending() != 0 && passed++ == 0)
			kill(c->pid, sig_pending());
	}
	return code_of(status);
}

void
command_end(struct command *c, int sig)
{
	static const struct timespec pause = {0, 10000000};
	int status;

	kill(c->pid, sig);
	kill(c->pid, SIGCONT);
	for (int i = 0; i < 150; i++) {
		pid_t pid = waitpid(c->pid, &status, WNOHANG);

		if (pid == c->pid || (pid < 0 && errno != EINTR))
			return;
		nanosleep(&pause, NULL);
	}
	kill(c->pid, SIGKILL);
	while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
		;
}

/* Our own classes keep their number; below 64 they mean something else with
 * each command. */
static bool
is_ours(int code)
{
	return code >= 64 && strcmp(rc_class(code), "unknown") != 0;
}

int
command_failed(const struct command *c, int code)
{
	if (code > 128)
		warn_msg(c->name, "ended by signal %d (%s)", code - 128,
		    strsignal(code - 128));
	else if (is_ours(code))
		warn_msg(c->name, "exited %d (%s)", code, rc_class(code));
	else
		warn_msg(c->name, "exited %d", code);
	if (code == 126 || code == 127)
		return RC_CONFIG;
	if (code > 128)
		return code;
	return is_ours(code) ? code : RC_CONTRACT;
}
