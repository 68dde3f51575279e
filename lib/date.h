/*
 * Dates, times and zones. A day is an int32_t count of days since 1970-01-01
 * (proleptic Gregorian, years 0001 to 9999). Instants are int64_t, their unit
 * is in the name. Nothing depends on the locale or on TZ.
 */
#ifndef WEIR_DATE_H
#define WEIR_DATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DATE_LEN 10

/* "YYYY-MM-DD" or, by the second, "YYYYMMDD"; the whole text must be it. */
bool date_parse(const char *p, size_t n, int32_t *day);
bool date_parse_compact(const char *p, size_t n, int32_t *day);
void date_format(int32_t day, char out[DATE_LEN + 1]);
int32_t date_from_civil(int year, int month, int mday);
void date_to_civil(int32_t day, int *year, int *month, int *mday);

/* RFC 3339 with zone, any number of fraction digits; the result is floored to
 * the microsecond. A leap second counts to 59.999999 of its minute. */
bool time_parse(const char *p, size_t n, int64_t *us);
/* "2026-11-20T03:17:00.123Z", or without fraction where ms % 1000 is 0. */
#define TIME_LEN 24
void time_format(int64_t ms, char out[TIME_LEN + 1]);
/* "20261120031700123": YYYYMMDDHH24MISSMS in UTC. False outside year 1-9999.*/
#define TIME_STAMP_LEN 17
bool time_stamp(int64_t ms, char out[TIME_STAMP_LEN + 1]);

/* Floor division: the UTC day of an instant. */
int32_t day_of_ms(int64_t ms);

/*
 * Time zones by their IANA name, read from the system's zoneinfo. zone_open
 * returns NULL for a name that is not there ("UTC" always is). zone_day gives
 * the calendar day of an instant in the zone.
 */
struct zone;
struct zone *zone_open(const char *name);
int32_t zone_day(const struct zone *z, int64_t unix_s);
void zone_close(struct zone *z);

#endif
