/*
 * A foreign command whose output, and at need input, goes through pipes.
 * No shell is between: the words are the argument vector.
 */
#ifndef NDJSON_PART_COMMAND_H
#define NDJSON_PART_COMMAND_H

#include <stdbool.h>
#include <sys/types.h>

struct command {
	const char *name;
	pid_t pid;
	int in;  /* its stdin, where it was asked for; else -1 */
	int out; /* its stdout */
};

/* RC_OK, RC_CONFIG (it cannot be run) or RC_OSERR, said. Without feed it has
 * our own stdin. */
int command_start(struct command *c, char *const *argv, bool feed);
/* Waits; the exit code, or 128+n after signal n. A signal to us is passed on
 * to it. */
int command_wait(struct command *c);
/* Ends it: the signal, then SIGKILL where it stays longer than 1.5 s. */
void command_end(struct command *c, int sig);
/* The status of ours for one of a command that did not end well; said. */
int command_failed(const struct command *c, int code);

#endif
