/*
 * Dead letters: bad records are named and kept (docs/errors.md).
 *
 * With a file: the line goes there unchanged, and file, line, byte, tool and
 * reason to FILE.why as NDJSON, both 0600, both replaced whole when the run
 * ends. Without: the first bad record ends the run. At most 20 messages are
 * printed, the rest is counted. Of a record over 64 KiB the first 64 KiB are
 * kept and FILE.why says so ("cut":true).
 */
#ifndef WEIR_REJECT_H
#define WEIR_REJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REJECT_KEEP (64u << 10)

struct rejects {
	const char *path; /* NULL: no dead letters */
	uint64_t max; /* most that may be; UINT64_MAX: any number */
	bool max_given; /* --max-rejects was given */
	double percent; /* of the records read, <0: not asked for */
	uint64_t count, printed;
	struct reject_files *files;
};

void rejects_init(struct rejects *r);
/* "--max-rejects": N or N%. False: neither. */
bool rejects_parse_max(struct rejects *r, const char *text);
/* Opens the files when there is a path. RC_OK or RC_CANTCREAT, said. */
int rejects_open(struct rejects *r);
/*
 * Takes a bad record. RC_OK: go on with the next; RC_CONTRACT: stop (no dead
 * letters, or more than max); RC_IO. The message is printed either way.
 */
int rejects_take(struct rejects *r, const char *file, uint64_t line,
    size_t byte, const char *text, size_t len, const char *reason);
/* Puts the files in place. RC_OK, RC_PARTIAL where there were any, RC_CONTRACT
 * where they are more than the percentage of `records`, RC_IO. */
int rejects_close(struct rejects *r, uint64_t records);

#endif
