/*
 * Load jobs of BigQuery from rows at hand: they are packed as one gzip stream
 * into a file without a name, and sent with the job; below 5 MiB in one
 * request, else by a resumable upload in pieces of 8 MiB. A piece that was cut
 * is asked for and sent on from where it broke; a process that was killed
 * finds the session again where it still lives, by the id of the job.
 */
#ifndef WEIR_BQ_UPLOAD_H
#define WEIR_BQ_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "bq.h"
#include "out.h"
#include "sha.h"

/* Packed rows. Memory is that of the packer, whatever their number. */
struct bq_pack {
	struct out out;
	struct sha256 *sum_plain, *sum_packed;
	int fd;
	bool open;
	uint64_t rows;
	uint64_t size;            /* packed, after bq_pack_end */
	char plain[SHA_HEX + 1];  /* SHA-256 of the rows */
	char packed[SHA_HEX + 1]; /* and of the gzip stream */
};
/* gzip false: the rows go as they are, for emulators. RC_OK, or RC_CANTCREAT,
 * said. */
int bq_pack_begin(struct bq_pack *p, bool gzip);
/* A row and its newline. */
void bq_pack_row(struct bq_pack *p, const char *text, size_t len);
/* RC_OK, or RC_IO, said. */
int bq_pack_end(struct bq_pack *p);
void bq_pack_drop(struct bq_pack *p); /* also of one that never began */

struct bq_load {
	const char *base;            /* id of the job, generation 1 */
	const char *dataset, *table; /* replaced whole; it must be there */
	const struct buf *schema; /* of the rows: the array of fields, JSON */
	struct bq_pack *pack;
	const char *state; /* directory of the sessions, NULL: $WEIR_HOME/bq */
};
/*
 * Loads the packed rows by bq_job_run. As many rows must come out as went in,
 * else RC_CONTRACT. RC_OK or bq_why.
 */
int bq_load_run(struct bq *b, const struct bq_load *l, struct bq_job *j);

#endif
