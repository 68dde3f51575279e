/* For loaders: a partition that is loaded, or that a verb touched; and the
 * receipt, one line of JSON that says what became of them. */
#ifndef WEIR_SLOT_H
#define WEIR_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "stream.h"

struct slot {
	char *table, *source, *feed, *date, *batch;
	int64_t generation; /* 0: none */
	char *day_tz, *run_id, *fetched_at, *quality, *input_sha256;
	char *fingerprint, *base_batch; /* of one that stands there */
	char *stage;                    /* its stage table; NULL: none */
	int64_t base_generation;
	struct buf lineage; /* kind NUL ref NUL ... */
	enum outcome outcome;
	uint64_t rows, records, rejected, restated;
	char checksum[33];
	const char *mode, *state; /* static texts */
	char *reason;
	bool unchanged;
};

struct receipt {
	const char *verb, *table;
	struct slot **slot; /* each of its own, so that they stay in place */
	size_t n;
	uint64_t rejected; /* records, here */
	/* where jobs are billed: told with the counts */
	bool billed;
	uint64_t jobs, bytes_processed, bytes_billed;
};

/* Texts may be NULL, which is "". */
struct slot *receipt_slot(struct receipt *r, const char *table,
    const char *source, const char *feed, const char *date, const char *batch);
void slot_set(char **text, const char *value);
/* Takes what the begin record says: NULL, or what is wrong with it. */
const char *slot_begin(struct slot *s, const struct part *part);
void slot_refuse(struct slot *s, const char *reason);
/* Says "BATCH: partition ...: why", keeps it as the reason, gives status. */
int slot_say(struct slot *s, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* One that stands in a store: takes its words for state, outcome and mode. */
void slot_words(
    struct slot *s, const char *state, const char *outcome, const char *mode);
bool slot_is(const struct slot *s, const char *state);
/* How many days old the day was when it was fetched, in its own zone. False:
 * not known. */
bool slot_age(const struct slot *s, int32_t *days);

void receipt_write(const struct receipt *r, struct buf *out);
void receipt_release(struct receipt *r);

#endif
