/*
 * Counts of a run, and the progress line.
 *
 * With WEIR_STATS naming a file, a start line goes there at stats_start and
 * an end line at stats_end, each one O_APPEND write under 4 KiB:
 *   {"event":"start","tool":"event-id","pid":12,"time":"…Z"}
 *   {"event":"end","tool":"event-id","pid":12,"time":"…Z","status":0,
 *    "class":"ok","seconds":1.234,"counts":{"records_in":10,…}}
 * A start without its end is a killed stage. On a terminal (stderr) a line
 * with rows/s, MB/s and, for files, percent and time left is kept up to date
 * twice a second.
 */
#ifndef WEIR_STATS_H
#define WEIR_STATS_H

#include <stdbool.h>
#include <stdint.h>

void stats_start(void);
/* Adds n to the named count (name is static text); at most 48 names. */
void stats_add(const char *name, uint64_t n);
/* A text member of the end line ("batch", "run_id"); static name, copied. */
void stats_text(const char *name, const char *text);
/* Writes the end line; also from atexit is not done: call it last. */
void stats_end(int status);

/* total 0: unknown. Cheap to call for every batch: a look at the clock on a
 * terminal, nothing elsewhere. */
void progress_start(bool quiet);
void progress_update(uint64_t records, uint64_t bytes, uint64_t total);
void progress_end(void); /* wipes the line */

#endif
