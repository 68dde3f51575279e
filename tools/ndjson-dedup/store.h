/*
 * The store of ids across batches (weir-dedup-store(5)).
 *
 *	store              the ledger: secret, key, day files, batches; replaced
 *	                   whole, it alone says what counts
 *	day-YYYYMMDD       a segment of fingerprints for each batch that has ids
 *	                   of that day (day-all where there are no days)
 *	pending/BATCH      what a run has passed on and nobody committed yet
 *	lock, locks/BATCH  flock(2)
 *
 * A day file only grows. What stands behind the length that the ledger knows
 * was left by a dead process and is cut off by the next commit. Functions
 * that return int give an exit status and have said what is wrong.
 */
#ifndef DEDUP_STORE_H
#define DEDUP_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fpset.h"
#include "json.h"

#define STORE_VERSION 1
#define BATCH_LEN 100
#define DAY_ALL INT32_MIN /* no days: one file for all */
#define FILE_NAME 24

struct sum {
	uint64_t lo, hi;
};

struct segment {
	int32_t day;
	uint64_t at; /* of its header in the day file */
	uint64_t ids;
	struct sum sum; /* of the fingerprints */
};

/* Another batch on whose account ids were dropped. */
struct owner {
	char batch[BATCH_LEN + 1];
	uint32_t number; /* its generation */
};

enum gen_state { GEN_PUBLISHED, GEN_REPLACED, GEN_ROLLED_BACK };

struct gen {
	char batch[BATCH_LEN + 1];
	uint32_t number; /* from 1 */
	enum gen_state state;
	uint64_t ids, dropped;
	struct owner *owners;
	size_t nowners;
	struct segment *seg; /* by day */
	size_t nseg;
	char **again; /* batches that must run again since it came or went */
	size_t nagain;
};

struct day_file {
	int32_t day;
	uint64_t bytes;
};

struct ledger {
	uint64_t id;
	struct fp_key secret;
	char *key, *day; /* as --key and --day say; day "": out of the id */
	int32_t floor;   /* the first day that is retained, DAY_ALL: all are */
	struct gen *gen;
	size_t ngen;
	struct day_file *file; /* by day */
	size_t nfile;
};

struct store {
	const char *path;
	int dir, pending, locks;
	unsigned wait;
	int lock; /* -1: not held */
	struct ledger l;
};

/* ---- ledger.c ---- */

enum { LEDGER_NONE = -1 }; /* there is none: a new store */
int ledger_read(struct store *s);
int ledger_write(struct store *s);
void ledger_release(struct ledger *l);
struct gen *ledger_visible(const struct ledger *l, const char *batch);
/* The generation that rolling back the visible one would bring back. */
struct gen *ledger_before(
    const struct ledger *l, const char *batch, uint32_t number);
struct gen *ledger_gen(const struct ledger *l, const char *batch, uint32_t n);
struct gen *ledger_add(struct ledger *l, const char *batch);
struct day_file *ledger_file(const struct ledger *l, int32_t day);
struct day_file *ledger_add_file(struct ledger *l, int32_t day);
void gen_release(struct gen *g);
void gen_own(struct gen *g, const char *batch, uint32_t number);
bool gen_owned_by(const struct gen *g, const char *batch);
/* {"batch":…}: a line of the ledger, of --stats and of a receipt. */
enum { GEN_SEGMENTS = 1 };
void gen_write(struct buf *b, const struct gen *g, int flags);
bool owners_read(const struct json_span *array, struct gen *g);

/* ---- store.c ---- */

int store_open(struct store *s, bool create);
/* The short lock around the ledger. */
int store_lock(struct store *s);
void store_unlock(struct store *s);
/* The lock of a batch, kept for the run; *fd. */
int batch_lock(struct store *s, const char *batch, int *fd);
void batch_unlock(struct store *s, const char *batch, int fd, bool forget);
void store_close(struct store *s);
/* Says that a file is damaged and how to go on; RC_CONTRACT. */
int store_damage(const struct store *s, const char *name, const char *what);
/* Says that a file cannot be opened, by errno. */
int store_cannot(const struct store *s, const char *name);
int store_io(const struct store *s, const char *name, const char *what);

/* ---- segment.c ---- */

void day_name(int32_t day, char out[FILE_NAME]); /* of its file */
void day_text(int32_t day, char out[FILE_NAME]); /* "2026-11-20", "all" */
bool day_parse(const struct json_span *v, int32_t *day);

/* Reads a day file to the length the ledger knows, checks all of it, and
 * hands out the fingerprints of the segments that want picks. */
struct day_reader {
	const struct store *s;
	bool (*want)(void *ctx, const struct gen *g);
	/* false: enough of this segment */
	bool (*take)(
	    void *ctx, const struct gen *g, const struct fp *x, size_t n);
	void *ctx;
};
int day_read(const struct day_reader *r, int32_t day);
/* Appends a segment of g; give yields the fingerprints, up to max a call, 0
 * at their end. Durable when it returns. */
int day_append(struct store *s, struct gen *g, int32_t day, uint64_t ids,
    size_t (*give)(void *ctx, struct fp *x, size_t max), void *ctx);

/* ---- stage.c ---- */

struct stage;
struct stage_desc {
	struct store *s;
	const char *batch;
	const char *key, *day; /* as the ledger is to say */
	uint64_t retain;       /* days; 0: as before */
	bool require;          /* there must be a store */
};
/* A run of the batch. seen is the caller's: what stands in it is dropped.
 * Then the secret of d->s->l is to be used. */
int stage_open(
    struct stage **st, const struct stage_desc *d, struct fpset *seen);
/* Loads the day where that is not done. STAGE_OLD, not said: it is older than
 * what is retained. */
enum { STAGE_OLD = -1 };
int stage_day(struct stage *st, int32_t day);
/* Records: passed on, or dropped; of a day that is loaded. */
int stage_take(struct stage *st, int32_t day, struct fp x);
void stage_dropped(struct stage *st, int32_t day, struct fp x);
int stage_begin(struct stage *st);
int stage_forget(struct stage *st); /* the open partition does not count */
int stage_end(struct stage *st);    /* durable when it returns */
/* The input was read to its end. */
int stage_finish(struct stage *st);
void stage_close(struct stage *st);

/* ---- verbs.c ---- */

int verb_commit(struct store *s, const char *batch);
int verb_abort(struct store *s, const char *batch);
/* number 0: the visible generation. */
int verb_rollback(struct store *s, const char *batch, uint32_t number);
int verb_stats(struct store *s);
/* Under the lock, the ledger read; days of UTC. */
int store_retain(struct store *s, uint64_t days);
int verb_retain(struct store *s, uint64_t days);

#endif
