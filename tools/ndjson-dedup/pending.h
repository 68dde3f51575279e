/*
 * pending/BATCH: what a run has passed on and nobody has committed. Complete
 * or absent: it is written as .new-BATCH, and the one before it stands aside
 * as .last-BATCH while a run goes on.
 *
 *	head   128 bytes: magic, version, store, batch
 *	piece  16 bytes: magic, day, ids; then 16 bytes each; any number of them
 *	tail   a piece's head with the length of a line of JSON, the line, and
 *	       the XXH3-128 of all before it
 */
#ifndef DEDUP_PENDING_H
#define DEDUP_PENDING_H

#include "store.h"

/* ---- reading ---- */

struct piece {
	int32_t day;
	uint64_t at, ids; /* at: of the first fingerprint */
};

struct pending {
	const struct store *s;
	char name[BATCH_LEN + 8];
	char batch[BATCH_LEN + 1];
	int fd;
	struct piece *piece; /* by day, then in order */
	size_t npiece;
	struct gen gen; /* ids, dropped, owners */
};

enum { PENDING_DONE, PENDING_NEW, PENDING_LAST };
void pending_name(char out[BATCH_LEN + 8], const char *batch, int kind);
enum { PENDING_NONE = -1 };
/* Checks the whole file. PENDING_NONE where there is none. */
int pending_open(
    struct pending *p, const struct store *s, const char *batch, int kind);
/* The next fingerprints of the pieces *at to `to`; 0 at the end, -1: said. */
struct pending_at {
	struct pending *p;
	size_t piece, to;
	uint64_t done; /* of that piece */
	int rc;
};
size_t pending_give(void *at, struct fp *x, size_t max);
void pending_close(struct pending *p);
/* Takes all files of the batch away. */
int pending_drop(const struct store *s, const char *batch);

/* ---- writing ---- */

struct draft {
	const struct store *s;
	char name[BATCH_LEN + 8], batch[BATCH_LEN + 1];
	int fd;
	uint64_t size, mark;
	void *sum, *sum_mark;
	bool settled; /* it is pending/BATCH, with a tail */
	bool failed;  /* a write or sync was refused: no more is asked */
};

int draft_open(struct draft *d, const struct store *s, const char *batch);
int draft_add(struct draft *d, int32_t day, const struct fp *x, size_t n);
void draft_mark(struct draft *d);
/* Hands out what was added since the mark, and forgets it. */
int draft_back(struct draft *d,
    void (*take)(void *ctx, const struct fp *x, size_t n), void *ctx);
/* Tail, fsync, rename, fsync of the directory. */
int draft_settle(struct draft *d, const struct gen *g);
/* Goes on after draft_settle: it is a draft again. */
int draft_resume(struct draft *d);
/* A draft that was not settled is taken away. */
void draft_close(struct draft *d);

#endif
