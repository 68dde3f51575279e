/* What the parts of the loader share: the run, a batch on its way. */
#ifndef BQ_LOAD_LOAD_H
#define BQ_LOAD_LOAD_H

#include "bq_upload.h"
#include "gens.h"
#include "loader.h"
#include "rows.h"
#include "script.h"

struct load {
	struct loader run;

	/* set by main */
	struct bq *b;
	const char *state;  /* directory, NULL: the default */
	const char *schema; /* file with the fields, NULL: none */
	const char *query;  /* file with the SELECT, NULL: none */
	bool no_gzip;

	const char *dataset; /* of the table */
	struct rows rows;
	bool have_rows;
	struct bq_pack *pack; /* one for each slot of the batch that is on */
	size_t packs;
};

/* load.c: the engine. */
void load_init(struct load *l);
/* Reads the table's columns before data is read. RC_OK or said. */
int load_open(struct load *l);
void load_close(struct load *l);

/*
 * stage.c: these slots are a batch whose rows are packed; it is staged, and
 * published unless --stage. RC_OK also where it was refused: the loader's
 * status and the slots say so.
 */
int stage_batch(struct load *l, struct slot **s, size_t n);
/* query.c: the same with rows that a SELECT gives. RC_OK or said. */
int stage_query(struct load *l, const char *file);

/* publish.c: RC_OK, RC_FINDINGS where a slot was refused (*status), or said. */
int publish_slots(struct load *l, const struct gens *g, struct slot **s,
    size_t n, int *status);
/* The file's block for each slot, as one transaction. old: what is there, NULL
 * where there is nothing. RC_OK or bq_why. */
int publish_transaction(struct load *l, const struct gens *g, const char *file,
    const char *cause, struct slot **s, struct slot **old, size_t n);
/* Says why it did not hold: RC_FINDINGS and *status, or rc. */
int publish_explain(
    struct load *l, struct slot **s, size_t n, int rc, int *status);
/* How many values it restated, for the receipt. RC_OK. */
int publish_count(struct load *l, struct slot **s, size_t n, const char *cause);
/* Says what keeps staged rows from being entered: RC_OK nothing, RC_FINDINGS:
 * said, RC_CONTRACT is the status; else said. */
int check_rows(struct load *l, struct slot *s);

/* verbs.c: what needs no input. */
int run_verb(struct loader *run);
int run_verify(struct loader *run);

/* plain.c: the rows of the pack go into a table without batch rules. */
int plain_load(struct load *l, struct bq_pack *pack, struct slot *s);
int plain_apps(struct load *l, const char *conf, uint64_t *count);

/* setup.c: datasets, tables and views. RC_OK or said. */
int run_setup(struct load *l);

#endif
