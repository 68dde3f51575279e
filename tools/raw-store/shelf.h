/*
 * How the raw layer lies on disk.
 *
 *	DIR/<source>/<feed>/<date>/v0001.ndjson.gz   the records
 *	DIR/<source>/<feed>/<date>/v0001.json        the manifest
 *
 * A version is there when its manifest is there: it is written last. Both
 * files never change. A manifest is one line of JSON that ends with the
 * SHA-256 of what stands before its last member.
 */
#ifndef RAW_STORE_SHELF_H
#define RAW_STORE_SHELF_H

#include <stdbool.h>
#include <stdint.h>

#include "part.h"
#include "sha.h"

#define SHELF_FORMAT 1
#define SHELF_NAME 64

struct manifest {
	unsigned version;
	enum outcome outcome;
	uint64_t rows, bytes, packed_bytes, rejected;
	char sha256[SHA_HEX + 1], packed_sha256[SHA_HEX + 1];
	char *began_at, *fetched_at, *stored_at; /* "" where not known */
	struct json_span begin, end; /* the control records, as read */
	struct buf text;
};

void shelf_data_name(char out[SHELF_NAME], unsigned version);
void shelf_manifest_name(char out[SHELF_NAME], unsigned version);

/* Appends the manifest's line, without a newline. */
void manifest_write(
    struct buf *out, const struct manifest *m, const struct part *p);
/* RC_OK, or RC_CONTRACT (damaged), RC_IO: said. `where` names the directory
 * for messages. */
int manifest_read(
    struct manifest *m, int dirfd, unsigned version, const char *where);
void manifest_release(struct manifest *m);

/* The versions that have a manifest, ascending; the caller frees. */
unsigned *shelf_versions(int dirfd, size_t *n);
/* Names in a directory that file_name_ok takes, sorted; free with
 * shelf_names_free. */
char **shelf_names(int dirfd, size_t *n);
void shelf_names_free(char **names, size_t n);
/* A directory of ours below another, for reading; -1 with errno. */
int shelf_enter(int dirfd, const char *name);

/* A span of days, and at will one source or feed. */
struct span_of {
	const char *source, *feed; /* NULL: all */
	int32_t from, to;
	bool from_given, to_given;
};
/* One day of a feed that has at least a directory. */
struct shelf_day {
	int fd;
	const char *source, *feed, *date;
	const char *where; /* path, for messages */
};
/*
 * Calls visit for each day of the span, sorted by source, feed and date; a
 * day without a directory only where both ends of the span were given: fd is
 * then -1. The gravest status of the calls; one that is not RC_OK,
 * RC_PARTIAL, RC_NOTREADY or RC_CONTRACT ends the walk.
 */
int shelf_walk(const char *dir, const struct span_of *span,
    int (*visit)(const struct shelf_day *d, void *ctx), void *ctx);

/*
 * Reads a version's records and compares them with the manifest; with `to`
 * they are written there on the way. RC_OK, or RC_CONTRACT (damaged; said),
 * RC_IO.
 */
int shelf_read(
    const struct shelf_day *d, const struct manifest *m, struct out *to);

#endif
