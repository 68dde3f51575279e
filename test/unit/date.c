/* Dates against a naive calendar, times against tables, zones against libc. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "date.h"
#include "diag.h"
#include "unit.h"

static bool
leap(int y)
{
	return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
}

/* Counts every day of the calendar, one by one. */
static void
calendar(void)
{
	static const int len[] = {
	    31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int32_t day = date_from_civil(1, 1, 1), got;
	char text[DATE_LEN + 1], want[40];
	int y, m, d;

	OK(date_from_civil(1970, 1, 1) == 0);
	OK(day == -719162);
	for (int year = 1; year <= 9999; year++)
		for (int month = 1; month <= 12; month++)
			for (int mday = 1;
			     mday <=
			     len[month - 1] + (month == 2 && leap(year));
			     mday++, day++) {
				date_to_civil(day, &y, &m, &d);
				OK(y == year && m == month && d == mday);
				OK(date_from_civil(year, month, mday) == day);
				snprintf(want, sizeof(want), "%04d-%02d-%02d",
				    year, month, mday);
				date_format(day, text);
				OKF(strcmp(text, want) == 0, "%s", want);
				OK(date_parse(text, 10, &got) && got == day);
			}
	OK(day == date_from_civil(10000, 1, 1));
}

static void
parse(void)
{
	static const char *const bad[] = {"", "2026-11-2", "2026-11-200",
	    "2026-13-01", "2026-00-01", "2026-01-00", "2026-01-32",
	    "2026-02-29", "1900-02-29", "2100-02-29", "0000-01-01",
	    "2026/11/20", "2026-11-20 ", " 2026-11-2", "+026-11-20",
	    "2026-1-020", "20261120", "2026-04-31", "２026-1-1"};
	int32_t day;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		OKF(!date_parse(bad[i], strlen(bad[i]), &day), "%s", bad[i]);
	OK(date_parse("2024-02-29", 10, &day) &&
	    day == date_from_civil(2024, 2, 29));
	OK(date_parse("2000-02-29", 10, &day));
	OK(date_parse_compact("20240229", 8, &day) && day == 19782);
	OK(!date_parse_compact("20230229", 8, &day));
	OK(!date_parse_compact("2023-2-9", 8, &day));
	OK(!date_parse_compact("202302281", 9, &day));
	OK(day_of_ms(-1) == -1 && day_of_ms(0) == 0);
	OK(day_of_ms(86399999) == 0 && day_of_ms(86400000) == 1);
	OK(day_of_ms(-86400000) == -1 && day_of_ms(-86400001) == -2);
}

static void
times(void)
{
	static const struct {
		const char *text;
		int64_t us;
	} good[] = {
	    {"1970-01-01T00:00:00Z", 0},
	    {"1970-01-01t00:00:00z", 0},
	    {"1970-01-01 00:00:00Z", 0},
	    {"1969-12-31T23:59:59.999999Z", -1},
	    {"1969-12-31T23:59:59.9999999Z", -1},
	    {"1970-01-01T00:00:00.0000019Z", 1},
	    {"1970-01-01T00:00:00.5Z", 500000},
	    {"1970-01-01T01:00:00+01:00", 0},
	    {"1969-12-31T19:00:00-05:00", 0},
	    {"1970-01-01T05:45:00+05:45", 0},
	    {"2026-11-20T03:17:00.123456789Z", 1795144620123456},
	    {"2016-12-31T23:59:60Z", 1483228799999999},
	    {"2016-12-31T23:59:60.5Z", 1483228799999999},
	    {"2017-01-01T05:29:60+05:30", 1483228799999999},
	    {"0001-01-01T00:00:00Z", -62135596800000000},
	    {"9999-12-31T23:59:59.999999Z", 253402300799999999},
	};
	static const char *const bad[] = {"", "2026-11-20", "2026-11-20T03:17Z",
	    "2026-11-20T03:17:00", "2026-11-20T24:00:00Z",
	    "2026-11-20T03:60:00Z", "2026-11-20T03:17:61Z",
	    "2026-11-20T03:17:60Z", "2026-11-20T03:17:00.Z",
	    "2026-11-20T03:17:00+1:00", "2026-11-20T03:17:00+0100",
	    "2026-11-20T03:17:00+24:00", "2026-11-20T03:17:00+01:60",
	    "2026-11-20T03:17:00ZZ", "2026-11-20T03:17:00 Z",
	    "2026-02-30T03:17:00Z", "2026-11-20T03:17:00,5Z",
	    "2026-11-20_03:17:00Z", "2026-11-20T3:17:00.00Z"};
	int64_t us;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		OKF(time_parse(good[i].text, strlen(good[i].text), &us) &&
			us == good[i].us,
		    "%s %lld", good[i].text, (long long)us);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		OKF(!time_parse(bad[i], strlen(bad[i]), &us), "%s", bad[i]);
}

static void
formats(void)
{
	char text[TIME_LEN + 1], stamp[TIME_STAMP_LEN + 1];

	time_format(1795144620123, text);
	OK(strcmp(text, "2026-11-20T03:17:00.123Z") == 0);
	time_format(1795144620000, text);
	OK(strcmp(text, "2026-11-20T03:17:00Z") == 0);
	time_format(-1, text);
	OK(strcmp(text, "1969-12-31T23:59:59.999Z") == 0);
	OK(time_stamp(1795144620123, stamp));
	OK(strcmp(stamp, "20261120031700123") == 0);
	OK(time_stamp(-62135596800000, stamp) &&
	    strcmp(stamp, "00010101000000000") == 0);
	OK(!time_stamp(-62135596800001, stamp));
	OK(time_stamp(253402300799999, stamp));
	OK(!time_stamp(253402300800000, stamp));
	OK(!time_stamp(INT64_MAX, stamp) && !time_stamp(INT64_MIN, stamp));
}

/* The same instants by libc, six hours apart and at random seconds. */
static void
zone_equals_libc(const char *name)
{
	struct zone *z = zone_open(name);
	const int64_t end = 4102444800; /* 2100 */

	OKF(z != NULL, "%s", name);
	if (z == NULL)
		return;
	setenv("TZ", name, 1);
	tzset();
	for (int64_t t = -2208988800; t < end;
	     t += (int64_t)(unit_random() % 43200)) {
		time_t at = (time_t)t;
		struct tm tm;

		localtime_r(&at, &tm);
		OKF(zone_day(z, t) == date_from_civil(tm.tm_year + 1900,
					  tm.tm_mon + 1, tm.tm_mday),
		    "%s %lld", name, (long long)t);
	}
	zone_close(z);
}

static void
zones(void)
{
	static const char *const names[] = {"UTC", "Europe/Stockholm",
	    "America/New_York", "America/Los_Angeles", "Europe/Dublin",
	    "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo",
	    "Africa/Casablanca", "Pacific/Apia", "America/Nuuk",
	    "Antarctica/Troll", "Africa/Monrovia", "Pacific/Kiritimati",
	    "Asia/Gaza", "Asia/Kolkata", "America/Santiago", "Etc/GMT+12",
	    "Pacific/Chatham", "Asia/Tehran", "Europe/London"};
	static const char *const bad[] = {"", "Nowhere/Land", "europe/stockhol",
	    "../../../etc/passwd", "/etc/passwd", "Europe", "Europe/",
	    "Europe//Stockholm", "tzdata.zi", "zone.tab", "Europe/Stock\nholm",
	    "CET-1CEST,M3.5.0,M10.5.0/3", ":UTC"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		zone_equals_libc(names[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		OKF(zone_open(bad[i]) == NULL, "%s", bad[i]);
}

/* The edges of the short and the long day in Stockholm. */
static void
dst(void)
{
	struct zone *z = zone_open("Europe/Stockholm");
	int32_t march = date_from_civil(2026, 3, 29);
	int32_t october = date_from_civil(2026, 10, 25);
	int64_t s = (int64_t)march * 86400, l = (int64_t)october * 86400;

	OK(z != NULL);
	if (z == NULL)
		return;
	OK(zone_day(z, s - 3600) == march);
	OK(zone_day(z, s - 3601) == march - 1);
	OK(zone_day(z, s - 3600 + 23 * 3600 - 1) == march);
	OK(zone_day(z, s - 3600 + 23 * 3600) == march + 1);
	OK(zone_day(z, l - 7200) == october);
	OK(zone_day(z, l - 7201) == october - 1);
	OK(zone_day(z, l - 7200 + 25 * 3600 - 1) == october);
	OK(zone_day(z, l - 7200 + 25 * 3600) == october + 1);
	zone_close(z);
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	diag_init(argv[0]);
	if (strcmp(what, "calendar") == 0)
		calendar();
	else if (strcmp(what, "parse") == 0)
		parse();
	else if (strcmp(what, "times") == 0) {
		times();
		formats();
	} else if (strcmp(what, "zones") == 0)
		zones();
	else if (strcmp(what, "dst") == 0)
		dst();
	return unit_end();
}
