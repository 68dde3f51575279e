/*
 * What the loaders of all engines share: their options, the way of a stream
 * through partitions and batches, and the receipt. An engine gives what is
 * its own: how rows are written and how a batch becomes visible.
 *
 * A partition is a batch of its own, or the whole stream is one: with --batch,
 * or where the engine says so (`whole`). A batch that cannot be loaded is
 * given up; the run goes on with the next, unless the engine itself failed.
 */
#ifndef WEIR_LOADER_H
#define WEIR_LOADER_H

#include "date.h"
#include "filter.h"
#include "policy.h"

enum {
	OPT_LOADER = OPT_TOOL + 100, /* first of 30 keys */
	/* these the tool's own table names, in the engine's words */
	LOADER_KEY = OPT_LOADER,
	LOADER_SETUP,
	LOADER_VERIFY,
	LOADER_OPTIONS, /* the rest is in loader_options */
};
/* The common ones of filters are among them, said for a loader; --quiet is
 * the tool's. */
extern const struct opt loader_options[];

struct loader;

/* All but sum must be there. */
struct engine {
	/* May a table be called so? */
	bool (*table_ok)(const char *name);
	/* Before the first record of a partition, or at its end where it has
	 * none: l->cur is its slot. b: the records at hand. RC_OK or said. */
	int (*place)(struct loader *l, const struct batch *b);
	/* One record. RC_OK; RC_FINDINGS: it is bad, *why and *byte say how
	 * (until the next call); else said. */
	int (*put)(struct loader *l, const struct record *rec, size_t *byte,
	    const char **why);
	/* The partition is complete and has l->cur->rows. Under batch rules it
	 * is made ready, else it is loaded. RC_OK, RC_CONTRACT for a refusal,
	 * or said. */
	int (*end)(struct loader *l);
	/*
	 * The slots of a batch are complete: staged, and published unless
	 * l->stage. What is refused goes through loader_refuse or to
	 * l->status. RC_OK to go on; else the run ends with it.
	 */
	int (*finish)(struct loader *l, struct slot **s, size_t n);
	/* What was written of the batch is forgotten, or of the open partition
	 * alone. May set l->damaged. RC_OK or said. */
	int (*drop)(struct loader *l, bool all);
	/* Adds to the receipt what is known when it is written. */
	void (*sum)(struct loader *l);
};

struct loader {
	/* taken from the options; the texts are referenced */
	const char *table, *key, *batch; /* batch NULL: each its own */
	const char *source, *feed, *date, *fetched_at, *run_id;
	const char *apps;
	const char *verb_batch; /* what the verb is about */
	enum verb verb;
	int64_t generation; /* 0: not named */
	bool stage, setup, verify;
	struct policy policy;
	struct filter f;

	/* set by the tool or its engine before it is used */
	const struct engine *engine;
	void *ctx;
	bool names; /* --source, --feed, --date have a use without --plain */
	bool versioned; /* the table is under batch rules */
	bool whole;     /* the stream is one batch without --batch too */
	bool replaces;  /* loading empties a table without batch rules */
	bool damaged;   /* a refusal ends the run */

	/* the run */
	struct receipt receipt;
	struct slot *cur; /* the open partition's */
	int status;       /* of what was refused while the run went on */
	bool told;        /* the receipt is written */
	bool placed, skip, broken;
	size_t first; /* slot of the batch that is on */
	char day[DATE_LEN + 1];
};

void loader_init(struct loader *l, const struct engine *e, void *ctx);
/* Takes one of the options above; false: it is none of them. */
bool loader_opt(struct loader *l, const struct opt_set *set, int key);
/* After the last: what does not go together exits 64. */
void loader_check(struct loader *l, const struct opt_set *set, bool operands);
/* A receipt that nobody gets would leave the caller without an answer: RC_OK
 * where stdout is open, else said. Before any work. */
int loader_stdout(void);

/* Loads files (n 0: stdin) into the table, which the engine has opened, and
 * writes the receipt. */
int loader_feed(struct loader *l, char *const *files, size_t n);
/* What needs no input: work (NULL: nothing is left) adds to the receipt, which
 * is written. apps: rows of dim_apps, for the statistics. */
int loader_work(struct loader *l, int (*work)(struct loader *l), uint64_t apps);
/* Gives up the batch that is on. RC_OK where the run goes on all the same, by
 * l->status; else rc. why is for slots without a reason. */
int loader_refuse(struct loader *l, int rc, const char *why);
void loader_release(struct loader *l);

#endif
