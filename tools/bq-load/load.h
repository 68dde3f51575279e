/* What the parts of the loader share: the run, a batch on its way. */
#ifndef BQ_LOAD_LOAD_H
#define BQ_LOAD_LOAD_H

#include "bq_upload.h"
#include "filter.h"
#include "gens.h"
#include "rows.h"
#include "script.h"

enum verb {
	VERB_LOAD,
	VERB_PUBLISH,
	VERB_ABORT,
	VERB_ROLLBACK,
	VERB_QUARANTINE
};

struct load {
	/* set by main */
	struct bq *b;
	const char *table, *key, *batch; /* batch NULL: each its own */
	const char *source, *feed, *date, *fetched_at, *run_id;
	const char *state;  /* directory, NULL: the default */
	const char *schema; /* file with the fields, NULL: none */
	bool stage, replace, quiet, no_gzip;
	struct policy policy;

	struct receipt receipt;
	bool told; /* the receipt is written */

	const char *dataset; /* of the table */
	bool versioned;      /* under batch rules */
	struct rows rows;
	bool have_rows;
	struct bq_pack *pack; /* one for each slot from `first` on */
	size_t packs, first;
	struct slot *cur;
	bool placed, skip, broken;
	int status; /* of what was refused while the run went on */
};

/* load.c: reads the table's columns before data is read. RC_OK or said. */
int load_open(struct load *l);
void load_callbacks(struct load *l, struct filter *f);
void load_close(struct load *l);
/* What the jobs cost, for the receipt that is about to be written. */
void load_cost(struct load *l);

/*
 * stage.c: the slots from l->first on are a batch whose rows are packed; it
 * is staged, and published unless --stage. RC_OK also where it was refused:
 * l->status and the slots say so.
 */
int stage_batch(struct load *l);
/* The same with rows that a SELECT gives. RC_OK or said. */
int stage_query(struct load *l, const char *file);

/* publish.c: RC_OK, RC_FINDINGS where a slot was refused (*status), or said. */
int publish_slots(struct load *l, const struct gens *g, struct slot **s,
    size_t n, int *status);
/* A verb on what stands there. */
int run_verb(
    struct load *l, enum verb verb, const char *batch, int64_t generation);
int run_verify(struct load *l);
int check_empty(
    struct slot *s, const struct slot *seen, const struct policy *p);
/* Says what keeps staged rows from being entered: RC_OK nothing, RC_FINDINGS:
 * said, RC_CONTRACT is the status; else said. */
int check_rows(struct load *l, struct slot *s);

/* plain.c: the rows of the pack go into a table without batch rules. */
int plain_load(struct load *l, struct bq_pack *pack, struct slot *s);
int plain_apps(struct load *l, const char *conf, uint64_t *count);

/* setup.c: datasets, tables and views. RC_OK or said. */
int run_setup(struct load *l);

#endif
