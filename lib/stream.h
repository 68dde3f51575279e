/*
 * Streams: NDJSON cut into partitions that prove their end (weir-stream(5)).
 *
 * The reader takes plain or gzip input (by magic, several members), from
 * files or descriptors, checks every record, finds the paths asked for, and
 * hands out batches of records between the control records. Tools use it
 * through filter.h; only ndjson-part and producers come here directly.
 *
 * Memory: one buffer of at most max_line + 512 KiB. Records point into it and
 * last until the next stream_next.
 */
#ifndef WEIR_STREAM_H
#define WEIR_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "json.h"
#include "out.h"
#include "reject.h"

#define STREAM_MAX_LINE (16u << 20)
#define BATCH_MAX 64

enum outcome {
	OUTCOME_COMPLETE,
	OUTCOME_EMPTY,
	OUTCOME_NOT_READY,
	OUTCOME_PARTIAL,
	OUTCOME_FAILED,
};
const char *outcome_word(enum outcome o);

/* A partition's begin. Strings are owned by the reader until the next begin.
 * In plain NDJSON `plain` is true and the strings are "". */
struct part {
	bool plain;
	const char *source; /* source_system */
	const char *feed;
	const char *date; /* YYYY-MM-DD */
	const char *day_tz;
	const char *run_id;
	const char *kind; /* "" for records, "kpi-partial" for pieces */
	struct json_span begin; /* the whole begin record, as read */
	const char *file; /* where it stands */
	uint64_t line;
};

/* A partition's end: what the control record said, and what was read. */
struct part_end {
	enum outcome outcome;
	uint64_t records; /* as counted */
	uint64_t rejected; /* on the way here, without our own */
	const char *class_word; /* "" where not failed */
	const char *reason;
	struct json_span end; /* the whole end record; absent in plain input */
};

struct record {
	const char *text; /* first '{' to last '}', no newline or blanks */
	uint32_t len;
	uint64_t line;
	const struct json_span *val; /* one per path of the set */
};

struct batch {
	size_t n;
	const char *file; /* "-" for stdin */
	struct record rec[BATCH_MAX];
};

enum stream_what {
	STREAM_BATCH, /* records in s->batch, all of one partition */
	STREAM_BEGIN, /* s->part */
	STREAM_END, /* s->end; the count was right */
	STREAM_CUT, /* the open partition is truncated; was said */
	STREAM_EOF, /* all inputs read */
	STREAM_STOP, /* s->status says why; was said; or a signal (sig_pending).
			An open partition is cut by it */
};

struct stream {
	/* set before stream_open */
	const struct json_paths *paths; /* NULL: none */
	size_t max_line;
	struct rejects *rejects; /* NULL: the first bad record stops */
	bool bare; /* control records are an error: a foreign command's output */

	/* valid after stream_next */
	struct batch batch;
	struct part part;
	struct part_end end;
	int status;
	bool has_parts; /* a begin was seen */
	uint64_t records, rejected; /* of the open partition, as read */
	uint64_t total_records, total_bytes; /* of the run; bytes as read */
	uint64_t size; /* of all inputs where they are regular files, else 0 */

	struct stream_impl *impl;
};

void stream_init(struct stream *s); /* defaults */
/* files: names, "-" for stdin; n 0 is stdin. RC_OK, or RC_TRUNCATED (cannot
 * be opened; said). */
int stream_open(struct stream *s, char *const *files, size_t n);
/* One open descriptor; name for messages, referenced. */
int stream_open_fd(struct stream *s, int fd, const char *name);
enum stream_what stream_next(struct stream *s);
/* A record of the current batch is bad: to the dead letters. RC_OK: go on. */
int stream_reject(struct stream *s, const struct record *rec, size_t byte,
    const char *reason);
void stream_close(struct stream *s);

/*
 * Writing partitions, for producers. members of `extra` ("" or
 * `"quality":{…},"x":1`, raw JSON members) come after the standard ones. A
 * NULL or "" value is left out.
 */
struct part_desc {
	const char *source, *feed, *date, *day_tz, *run_id;
	const char *extra;
};
void part_write_begin(struct out *o, const struct part_desc *d);
/* reason and class_word may be NULL. */
void part_write_end(struct out *o, uint64_t records, enum outcome outcome,
    uint64_t rejected, const char *class_word, const char *reason);

#endif
