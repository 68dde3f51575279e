/*
 * run-log: what its parts share. A run is described by the options, lives
 * through child_run, is summed up by tally_read from the stages' WEIR_STATS
 * lines, and is written by record_*.
 */
#ifndef RUNLOG_H
#define RUNLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "file.h"

#define RUN_ID_MAX 100
#define TAIL_LINES 32
#define TAIL_WIDTH 1000
#define MESSAGE_MAX 500

/* The last lines the command wrote on stderr. */
struct tail {
	char line[TAIL_LINES][TAIL_WIDTH + 1];
	unsigned count; /* of all lines; the last is at (count - 1) % LINES */
	char open[TAIL_WIDTH + 1]; /* a line without its newline yet */
	size_t open_len;
};

/* The sum of one count of one tool over all its runs. */
struct sum {
	char tool[64], name[64];
	uint64_t value;
};
enum { SUMS = 1024 };

struct tally {
	struct sum sum[SUMS];
	size_t sums;
	uint64_t stages; /* started */
	uint64_t killed; /* started and never ended */
	int status;      /* the gravest of them; a killed one is 137 */
	char tool[64];   /* whose it was */
	char message[MESSAGE_MAX + 1]; /* of a note, "" if none */
	uint64_t records;              /* of notes */
	char reason[MESSAGE_MAX + 1];  /* of a note */
	int32_t data_through;          /* of a note; INT32_MIN: none */
	bool partial; /* of a note: what went well is published */
};

struct run {
	const char *pipeline, *source;
	const char *home, *db, *log, *textfile, *ping_file;
	unsigned wait_s, grace_s;
	bool ping_http;
	char **argv;

	char id[RUN_ID_MAX + 1];
	int64_t start_ms, end_ms, start_mono_ns, end_mono_ns;
	int home_fd, runs_fd, lock_fd;
	char *stats_path; /* absolute */
	struct secret
	    secret; /* the URL to ping: diag refers to it to the end */
	char *url;
	int signal; /* that ended us, 0 if none */
	int status; /* the command's, then the gravest of all */
	struct tail tail;
	struct tally tally;
};

/* Runs the command; run->status and run->signal say how it ended. RC_OSERR
 * where it could not be started at all. */
int child_run(struct run *run);

/* Reads the lines the stages left. Lines that are no JSON are passed over:
 * a killed writer may leave half of one. */
void tally_read(struct tally *t, const char *path);
/* Sum of a count over all tools; over those whose name ends in `suffix`. */
uint64_t tally_sum(const struct tally *t, const char *name, const char *suffix);
/* The largest sum of a count of a single tool. */
uint64_t tally_max(const struct tally *t, const char *name);

/* "success", "partial" or "failed". */
const char *run_status_word(const struct run *run);
/* The line to keep of what the command said: of the gravest stage if it said
 * something, else the last. Secrets and addresses are taken out. */
void run_message(const struct run *run, struct buf *out);
/* Takes out what looks like a secret or an address; at most MESSAGE_MAX. */
void redact(struct buf *out, const char *text, size_t len);

/* All return RC_OK, or a status after a message. */
int record_open(struct run *run);  /* the start record; a left one is closed */
int record_close(struct run *run); /* runs.ndjson, the common log */
int record_db(const struct run *run);
int record_textfile(const struct run *run);
int record_list(const struct run *run, uint64_t n); /* --last */
/* Removes the start record: the run is written. */
void record_done(struct run *run);

/* Reads the URL. RC_OK or RC_CONFIG, said. */
int ping_open(struct run *run);
/* What: "/start", "" or "/fail". A failure is a warning and nothing more. */
void ping_send(const struct run *run, const char *what);

#endif
