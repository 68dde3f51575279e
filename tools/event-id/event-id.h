/* The parts of event-id: instants to stamps, and the payload of a GA4 row. */
#ifndef EVENT_ID_H
#define EVENT_ID_H

#include "buf.h"
#include "json.h"

/* ---- stamp.c ---- */

enum ts_unit { TS_RFC3339, TS_S, TS_MS, TS_US };

#define STAMP_DAYS 32
/* What is known of the days seen last; starts as zeros. */
struct stamp {
	struct {
		char date[10], digits[8]; /* 2026-11-20, 20261120 */
	} known[STAMP_DAYS];              /* by day of the month */
	char day[8];
	int64_t day_ms; /* when `day` begins, where it is set */
};

/* YYYYMMDDHH24MISSMS of an instant, floored to the millisecond. NULL, or why
 * not (static text, to be put after the path). */
const char *stamp(struct stamp *s, const struct json_span *v, enum ts_unit unit,
    char out[18]);

/* ---- ga4.c ---- */

/*
 * Appends what identifies a row of the GA4 export, whatever shape of JSON it
 * came in. NULL, or why the row has no identity (static text).
 */
struct ga4;
struct ga4 *ga4_new(struct json_paths *paths);
void ga4_property(struct ga4 *g, const char *property); /* "": none */
const char *ga4_payload(struct ga4 *g, const struct json_span *record,
    const struct json_span *vals, struct buf *out);
/* The timestamp of the row just taken. */
const struct json_span *ga4_timestamp(const struct ga4 *g);
/* NaN values taken for null so far. */
uint64_t ga4_nan(const struct ga4 *g);
void ga4_free(struct ga4 *g);

#endif
