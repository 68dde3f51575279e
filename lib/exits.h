/*
 * Exit codes and their classes (docs/errors.md). One number, one class word,
 * one action of the caller; the same word stands in the exit code, the run
 * record and the alert. Status 124-127 and 128+n are the shell's.
 */
#ifndef WEIR_EXITS_H
#define WEIR_EXITS_H

enum {
	RC_OK = 0,         /* complete; an empty result too */
	RC_FINDINGS = 1,   /* worked, and the answer is no */
	RC_WARNINGS = 2,   /* only with --fail-on warn */
	RC_PARTIAL = 3,    /* some of it done, the rest named */
	RC_NOTREADY = 4,   /* the source has no data yet */
	RC_USAGE = 64,     /* wrong option; nothing was touched */
	RC_CONTRACT = 65,  /* input is not what was agreed */
	RC_TRUNCATED = 66, /* input ends early, or cannot be opened */
	RC_INTERNAL = 70,  /* a check of ours failed: a bug */
	RC_OSERR = 71,     /* out of memory, cannot fork */
	RC_CANTCREAT = 73, /* output or state cannot be made */
	RC_IO = 74,        /* reading or writing failed */
	RC_TRANSIENT = 75, /* run again later, unchanged */
	RC_AUTH = 77,      /* change the secret */
	RC_CONFIG = 78,    /* fix the configuration */
};

/* The class word of an exit status, "signal" for 128+n, "unknown" else. */
const char *rc_class(int rc);

/* The graver of two statuses, by the order 78 77 65 70 71 73 74 75 66 128+n
 * 3 4 1 2 64(first of all: a wrong call) and 141 last before 0. */
int rc_graver(int a, int b);

#endif
