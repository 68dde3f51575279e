/*
 * The loop every filter and loader shares: options, reading, control records,
 * counting, dead letters, signals, statistics, exit status.
 *
 * A tool fills in its callbacks and calls filter_run. It never sees a control
 * record: begin is passed on (with begin_extra added), the tool's records
 * are counted, and the end is written after the tool's end callback returned
 * RC_OK, with the count of what was written and the sum of rejects. A
 * partition that is truncated gets no end. In plain NDJSON begin and end are
 * called once, with part->plain, and nothing is written around the records.
 */
#ifndef WEIR_FILTER_H
#define WEIR_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "opt.h"
#include "out.h"
#include "stream.h"

/* --rejects FILE, --max-rejects N|N%, --max-line SIZE, --plain, --quiet. */
enum {
	OPT_REJECTS = OPT_FILTER,
	OPT_MAX_REJECTS,
	OPT_MAX_LINE,
	OPT_PLAIN,
	OPT_QUIET,
};
extern const struct opt filter_options[];

enum {
	FILTER_SINK = 1, /* nothing goes to stdout but what the tool writes;
			    control records are not passed on */
	FILTER_STATE = 2, /* SIGPIPE is ignored: EPIPE is 74 */
	FILTER_EXEC = 4,  /* runs commands: no restraint of the process */
	FILTER_OWN_STATS = 8, /* the tool calls stats_start and stats_end: it
				 counts what comes after, and ends by sig_die */
};

struct filter {
	/* set by the tool before filter_run; filter_init zeroes */
	int flags;
	const struct json_paths *paths;
	void *ctx;
	/* All but records may be NULL. They return RC_OK to go on; RC_PARTIAL,
	 * RC_NOTREADY and RC_FINDINGS are remembered and go on; any other
	 * status ends the run with it (the callback has said why). */
	int (*begin)(struct filter *f, const struct part *part);
	int (*records)(struct filter *f, const struct batch *b);
	int (*end)(struct filter *f, const struct part *part,
	    struct part_end *end); /* may change end's outcome and texts, which
				      is what is then written */
	void (*cut)(struct filter *f, const struct part *part); /* truncated,
				or the run stops inside of it */
	/* After the last input, before the output is closed. */
	int (*finish)(struct filter *f);

	/* for the tool to use */
	struct out out; /* stdout; count what is written with filter_put */
	struct buf begin_extra; /* raw members `,"kind":"x"` for the begin about
				   to be written; begin fills it anew */
	uint64_t written; /* records written to the open partition */
	uint64_t rejected; /* own rejects in it */
	int lost; /* set by end: the partition gets no end, the run goes on and
		     ends with this status or a graver one */
	struct stream in;
	struct rejects rejects;
	bool plain_out; /* --plain */
	bool quiet;
};

void filter_init(struct filter *f);
/* Takes one of filter_options; false if the key is none of them. */
bool filter_opt(struct filter *f, int key);
/* The whole run over files (n 0: stdin); the exit status. */
int filter_run(struct filter *f, char *const *files, size_t n);

/* Writes a record to the output and counts it. */
static inline void
filter_put(struct filter *f, const char *text, size_t len)
{
	out_record(&f->out, text, len);
	f->written++;
}

/* The record is bad: RC_OK means skip it and go on with the next, anything
 * else is what the callback must return at once. */
int filter_reject(struct filter *f, const struct record *rec, size_t byte,
    const char *reason);

#endif
