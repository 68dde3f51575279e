/*
 * SQL with its parameters, put together from the statements of
 * pipelines/sql/bigquery and from what they are about.
 */
#ifndef BQ_LOAD_SCRIPT_H
#define BQ_LOAD_SCRIPT_H

#include "bq.h"
#include "policy.h"

/* What the parameters of a statement are taken from; members may be NULL where
 * the statement has no use for them. */
struct args {
	const struct slot *slot; /* its partition and generation */
	const struct slot *old;  /* @old_batch …, @seen; NULL: none */
	const struct policy *p;
	const char *state, *was, *cause, *kind, *ref, *batch;
	const char *const *dates;
	size_t ndates;
};

struct script {
	struct buf text;
	struct bq_param *param;
	size_t n;
	char **own; /* texts of the parameters */
	size_t owned;
};

void script_init(struct script *s);
void script_release(struct script *s);
/*
 * Appends a text: its parameters are named with _K where k is 2 or more, and
 * `analytics_ops.stage` is the slot's stage table.
 */
void script_add(
    struct script *s, const char *text, unsigned k, const struct args *a);
/* The file, or what of it stands between the marks `from` (a line, NULL: the
 * start) and "COMMIT TRANSACTION". */
void script_file(struct script *s, const char *name, const char *from,
    unsigned k, const struct args *a);

/* The id of a job that is this text, with these parameters, in this state, on
 * these datasets. */
void script_id(struct bq *b, const struct script *s, const char *prefix,
    const char *state, char id[BQ_ID]);
/* Runs it as a job of that id: RC_OK or bq_why. */
int script_run(struct bq *b, const struct script *s, const char *base,
    bool atomic, struct bq_job *j);
/* Says what it would read; no job. RC_OK or bq_why. */
int script_estimate(
    struct bq *b, const struct script *s, const char *what, bool quiet);
/* Runs one file and gives each row of its result to row. RC_OK or bq_why. */
int script_rows(struct bq *b, const char *name, const char *id,
    const struct args *a, int (*row)(void *ctx, const char *text, size_t len),
    void *ctx);

#endif
