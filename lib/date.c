/* Dates, times and zones, by our own arithmetic. */
#include "date.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"
#include "sys.h"

enum {
	DAY_S = 86400,
	YEAR_MAX = 9999,
	ERA_DAYS = 146097,    /* 400 years */
	EPOCH_SHIFT = 719468, /* days from 0000-03-01 to 1970-01-01 */
	ZONE_FILE_MAX = 1 << 20,
};

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static int64_t
floor_mod(int64_t a, int64_t b)
{
	int64_t m = a % b;

	return m < 0 ? m + b : m;
}

/* Years begin in March here: the leap day is the last of its year. */
int32_t
date_from_civil(int year, int month, int mday)
{
	int64_t y = (int64_t)year - (month <= 2);
	int64_t era = floor_div(y, 400), in_era = y - era * 400;
	int64_t in_year =
	    (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + mday - 1;

	return (int32_t)(era * ERA_DAYS + in_era * 365 + in_era / 4 -
			 in_era / 100 + in_year - EPOCH_SHIFT);
}

void
date_to_civil(int32_t day, int *year, int *month, int *mday)
{
	int64_t z = (int64_t)day + EPOCH_SHIFT, era = floor_div(z, ERA_DAYS);
	int64_t d = z - era * ERA_DAYS;
	int64_t y = (d - d / 1460 + d / 36524 - d / 146096) / 365;
	int64_t in_year = d - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * in_year + 2) / 153;

	*mday = (int)(in_year - (153 * m + 2) / 5 + 1);
	*month = (int)(m < 10 ? m + 3 : m - 9);
	*year = (int)(y + era * 400 + (*month <= 2));
}

/* n digits at p. */
static bool
number(const char *p, int n, int *v)
{
	*v = 0;
	for (int i = 0; i < n; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		*v = *v * 10 + (p[i] - '0');
	}
	return true;
}

static int
month_days(int year, int month)
{
	static const int days[] = {
	    31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

static bool
civil(int year, int month, int mday, int32_t *day)
{
	if (year < 1 || month < 1 || month > 12 || mday < 1 ||
	    mday > month_days(year, month))
		return false;
	*day = date_from_civil(year, month, mday);
	return true;
}

bool
date_parse(const char *p, size_t n, int32_t *day)
{
	int y, m, d;

	return n == DATE_LEN && p[4] == '-' && p[7] == '-' &&
	       number(p, 4, &y) && number(p + 5, 2, &m) &&
	       number(p + 8, 2, &d) && civil(y, m, d, day);
}

bool
date_parse_compact(const char *p, size_t n, int32_t *day)
{
	int y, m, d;

	return n == 8 && number(p, 4, &y) && number(p + 4, 2, &m) &&
	       number(p + 6, 2, &d) && civil(y, m, d, day);
}

static char *
put(char *p, int64_t v, int width)
{
	for (int i = width - 1; i >= 0; i--, v /= 10)
		p[i] = (char)('0' + v % 10);
	return p + width;
}

void
date_format(int32_t day, char out[DATE_LEN + 1])
{
	int y, m, d;

	date_to_civil(day, &y, &m, &d);
	out = put(out, y, 4);
	*out++ = '-';
	out = put(out, m, 2);
	*out++ = '-';
	out = put(out, d, 2);
	*out = '\0';
}

/* ".digits" at *p, floored to microseconds. */
static bool
fraction(const char **p, const char *end, int *us)
{
	int place = 100000;

	*us = 0;
	if (*p == end || **p != '.')
		return true;
	if (++*p == end || **p < '0' || **p > '9')
		return false;
	for (; *p < end && **p >= '0' && **p <= '9'; ++*p, place /= 10)
		*us += (**p - '0') * place;
	return true;
}

/* "Z", "+hh:mm", "-hh:mm" to the end of the text. */
static bool
offset(const char *p, const char *end, int *seconds)
{
	int h, m;

	*seconds = 0;
	if (end - p == 1)
		return *p == 'Z' || *p == 'z';
	if (end - p != 6 || (*p != '+' && *p != '-') || p[3] != ':' ||
	    !number(p + 1, 2, &h) || !number(p + 4, 2, &m) || h > 23 || m > 59)
		return false;
	*seconds = (h * 60 + m) * (*p == '-' ? -60 : 60);
	return true;
}

bool
time_parse(const char *p, size_t n, int64_t *us)
{
	const char *end = p + n;
	int32_t day;
	int h, m, s, micro, zone;

	if (n < DATE_LEN + 10 || !date_parse(p, DATE_LEN, &day) ||
	    (p[10] != 'T' && p[10] != 't' && p[10] != ' ') || p[13] != ':' ||
	    p[16] != ':' || !number(p + 11, 2, &h) || !number(p + 14, 2, &m) ||
	    !number(p + 17, 2, &s) || h > 23 || m > 59 || s > 60)
		return false;
	p += 19;
	if (!fraction(&p, end, &micro) || !offset(p, end, &zone))
		return false;
	if (s == 60) {
		/* A leap second is the last of a UTC hour's 59th minute. */
		if (floor_mod((int64_t)h * 60 + m - zone / 60, 60) != 59)
			return false;
		s = 59;
		micro = 999999;
	}
	*us = (((int64_t)day * 24 + h) * 60 + m) * 60 + s - zone;
	*us = *us * 1000000 + micro;
	return true;
}

int32_t
day_of_ms(int64_t ms)
{
	return (int32_t)floor_div(ms, (int64_t)DAY_S * 1000);
}

struct parts {
	int year, month, mday, hour, minute, second, ms;
};

static bool
split(int64_t ms, struct parts *t)
{
	int64_t days = floor_div(ms, (int64_t)DAY_S * 1000);
	int64_t in_day = floor_mod(ms, (int64_t)DAY_S * 1000);

	if (days < date_from_civil(1, 1, 1) ||
	    days > date_from_civil(YEAR_MAX, 12, 31))
		return false;
	date_to_civil((int32_t)days, &t->year, &t->month, &t->mday);
	t->ms = (int)(in_day % 1000);
	in_day /= 1000;
	t->hour = (int)(in_day / 3600);
	t->minute = (int)(in_day / 60 % 60);
	t->second = (int)(in_day % 60);
	return true;
}

void
time_format(int64_t ms, char out[TIME_LEN + 1])
{
	struct parts t;

	if (!split(ms, &t)) /* no clock of ours stands there */
		split(ms < 0 ? -62135596800000 : 253402300799999, &t);
	out = put(out, t.year, 4);
	*out++ = '-';
	out = put(out, t.month, 2);
	*out++ = '-';
	out = put(out, t.mday, 2);
	*out++ = 'T';
	out = put(out, t.hour, 2);
	*out++ = ':';
	out = put(out, t.minute, 2);
	*out++ = ':';
	out = put(out, t.second, 2);
	if (t.ms != 0) {
		*out++ = '.';
		out = put(out, t.ms, 3);
	}
	*out++ = 'Z';
	*out = '\0';
}

bool
time_stamp(int64_t ms, char out[TIME_STAMP_LEN + 1])
{
	struct parts t;

	if (!split(ms, &t))
		return false;
	out = put(out, t.year, 4);
	out = put(out, t.month, 2);
	out = put(out, t.mday, 2);
	out = put(out, t.hour, 2);
	out = put(out, t.minute, 2);
	out = put(out, t.second, 2);
	out = put(out, t.ms, 3);
	*out = '\0';
	return true;
}

/*
 * Zones: TZif files (RFC 8536), version 2 and up, and the POSIX rule of their
 * footer for the instants after the last transition.
 */
struct rule_date {
	char kind; /* 'M', 'J', or '0' (zero-based day of the year) */
	int month, week, wday, day;
	int32_t at; /* seconds after local midnight, may be negative */
};

struct zone {
	size_t n;
	int64_t *when; /* n transitions */
	int32_t *off;  /* n offsets: from when[i] on */
	int32_t first; /* before the first */
	bool has_rule, has_dst;
	int32_t std, dst;          /* of the rule, seconds east */
	struct rule_date from, to; /* of summer time */
};

static uint64_t
big_endian(const unsigned char *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | p[i];
	return v;
}

static const char *
rule_name(const char *p)
{
	const char *from = p;

	if (*p == '<') {
		p = strchr(p, '>');
		return p != NULL ? p + 1 : NULL;
	}
	while ((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z'))
		p++;
	return p > from ? p : NULL;
}

static const char *
rule_int(const char *p, int max, int *v)
{
	if (*p < '0' || *p > '9')
		return NULL;
	for (*v = 0; *p >= '0' && *p <= '9'; p++) {
		*v = *v * 10 + (*p - '0');
		if (*v > max)
			return NULL;
	}
	return p;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static const char *
rule_time(const char *p, int32_t *seconds)
{
	int sign = *p == '-' ? -1 : 1, v = 0;
	int32_t unit = 3600;

	if (*p == '-' || *p == '+')
		p++;
	p = rule_int(p, 167, &v);
	for (*seconds = v * unit; p != NULL && *p == ':' && unit > 1;) {
		unit /= 60;
		p = rule_int(p + 1, 59, &v);
		*seconds += v * unit;
	}
	*seconds *= sign;
	return p;
}

/* ",M3.2.0/2" and its kin. */
static const char *
rule_day(const char *p, struct rule_date *d)
{
	d->at = 7200;
	if (*p++ != ',')
		return NULL;
	d->kind = '0';
	if (*p == 'M' || *p == 'J')
		d->kind = *p++;
	if (d->kind != 'M')
		p = rule_int(p, 366, &d->day);
	else if ((p = rule_int(p, 12, &d->month)) == NULL || *p != '.' ||
		 (p = rule_int(p + 1, 5, &d->week)) == NULL || *p != '.' ||
		 (p = rule_int(p + 1, 6, &d->wday)) == NULL || d->month < 1 ||
		 d->week < 1)
		return NULL;
	if (p != NULL && *p == '/')
		p = rule_time(p + 1, &d->at);
	return p;
}

/* The footer: "CET-1CEST,M3.5.0,M10.5.0/3". Empty: no rule. */
static bool
rule_parse(struct zone *z, const char *p)
{
	int32_t west;

	if (*p == '\0')
		return true;
	if ((p = rule_name(p)) == NULL || (p = rule_time(p, &west)) == NULL)
		return false;
	z->std = -west;
	z->has_rule = true;
	if (*p == '\0')
		return true;
	if ((p = rule_name(p)) == NULL)
		return false;
	z->dst = z->std + 3600;
	if (*p != ',' && *p != '\0') {
		if ((p = rule_time(p, &west)) == NULL)
			return false;
		z->dst = -west;
	}
	z->has_dst = true;
	return (p = rule_day(p, &z->from)) != NULL &&
	       (p = rule_day(p, &z->to)) != NULL && *p == '\0';
}

/* The local second (since 1970, without offset) of a rule in a year. */
static int64_t
rule_second(const struct rule_date *d, int year)
{
	int32_t day = date_from_civil(year, 1, 1);
	bool leap = month_days(year, 2) == 29;

	if (d->kind == 'J') {
		day += d->day - 1 + (leap && d->day >= 60);
	} else if (d->kind == '0') {
		day += d->day;
	} else {
		int32_t first = date_from_civil(year, d->month, 1);
		int wday = (int)floor_mod((int64_t)first + 4, 7);

		day = first + (d->wday - wday + 7) % 7 + 7 * (d->week - 1);
		if (day >= first + month_days(year, d->month))
			day -= 7;
	}
	return (int64_t)day * DAY_S + d->at;
}

static int32_t
rule_offset(const struct zone *z, int64_t t)
{
	int year, month, mday;
	int64_t from, to;

	if (!z->has_dst)
		return z->std;
	date_to_civil(
	    (int32_t)floor_div(t + z->std, DAY_S), &year, &month, &mday);
	from = rule_second(&z->from, year) - z->std;
	to = rule_second(&z->to, year) - z->dst;
	if (from < to)
		return t >= from && t < to ? z->dst : z->std;
	return t >= from || t < to ? z->dst : z->std;
}

struct tzif {
	size_t isut, isstd, leap, times, types, chars;
	const unsigned char *body;
	size_t size; /* of the body, for times of `width` bytes */
};

static bool
tzif_header(const unsigned char *p, size_t n, size_t width, struct tzif *h)
{
	if (n < 44 || memcmp(p, "TZif", 4) != 0)
		return false;
	h->isut = (size_t)big_endian(p + 20, 4);
	h->isstd = (size_t)big_endian(p + 24, 4);
	h->leap = (size_t)big_endian(p + 28, 4);
	h->times = (size_t)big_endian(p + 32, 4);
	h->types = (size_t)big_endian(p + 36, 4);
	h->chars = (size_t)big_endian(p + 40, 4);
	if (h->times > ZONE_FILE_MAX || h->types == 0 || h->types > 256 ||
	    h->chars > ZONE_FILE_MAX || h->leap > ZONE_FILE_MAX ||
	    h->isut > 256 || h->isstd > 256)
		return false;
	h->body = p + 44;
	h->size = h->times * (width + 1) + h->types * 6 + h->chars +
		  h->leap * (width + 4) + h->isstd + h->isut;
	return h->size <= n - 44;
}

static int32_t
tzif_offset(const struct tzif *h, size_t width, size_t type)
{
	const unsigned char *p = h->body + h->times * (width + 1) + type * 6;

	return (int32_t)(uint32_t)big_endian(p, 4);
}

static bool
tzif_times(struct zone *z, const struct tzif *h, size_t width)
{
	const unsigned char *index = h->body + h->times * width;

	z->n = h->times;
	z->when = xreallocarray(NULL, z->n + 1, sizeof(*z->when));
	z->off = xreallocarray(NULL, z->n + 1, sizeof(*z->off));
	z->first = tzif_offset(h, width, 0);
	for (size_t i = 0; i < z->n; i++) {
		uint64_t v = big_endian(h->body + i * width, width);

		z->when[i] = width == 8 ? (int64_t)v : (int32_t)(uint32_t)v;
		if (index[i] >= h->types ||
		    (i > 0 && z->when[i] <= z->when[i - 1]))
			return false;
		z->off[i] = tzif_offset(h, width, index[i]);
	}
	return true;
}

static bool
tzif_parse(struct zone *z, const unsigned char *p, size_t n)
{
	struct tzif h;
	const unsigned char *foot, *end;
	char rule[128];

	if (!tzif_header(p, n, 4, &h))
		return false;
	if (p[4] < '2') /* an old file: what it lists is all there is */
		return tzif_times(z, &h, 4);
	n -= 44 + h.size;
	p = h.body + h.size;
	if (!tzif_header(p, n, 8, &h) || !tzif_times(z, &h, 8))
		return false;
	foot = h.body + h.size;
	n -= 44 + h.size;
	if (n < 2 || *foot != '\n' ||
	    (end = memchr(foot + 1, '\n', n - 1)) == NULL ||
	    (size_t)(end - foot) > sizeof(rule))
		return false;
	memcpy(rule, foot + 1, (size_t)(end - foot - 1));
	rule[end - foot - 1] = '\0';
	return rule_parse(z, rule);
}

/* Letters, digits, "_-+" and single slashes: no way out of the directory. */
static bool
zone_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n > 64 || name[0] == '/' || name[n - 1] == '/' ||
	    strstr(name, "//") != NULL)
		return false;
	for (; *name != '\0'; name++)
		if (!((*name >= 'A' && *name <= 'Z') ||
			(*name >= 'a' && *name <= 'z') ||
			(*name >= '0' && *name <= '9') ||
			strchr("_-+/", *name) != NULL))
			return false;
	return true;
}

/* The file's bytes, NULL where it cannot be read. */
static unsigned char *
zone_read(const char *name, size_t *n)
{
	const char *dir = getenv("TZDIR");
	char *path = xasprintf("%s/%s",
	    dir != NULL && *dir == '/' ? dir : "/usr/share/zoneinfo", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	unsigned char *p = NULL;
	struct stat st;
	ssize_t got;

	free(path);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_size <= ZONE_FILE_MAX) {
		p = xmalloc((size_t)st.st_size + 1);
		for (*n = 0; *n < (size_t)st.st_size; *n += (size_t)got)
			if ((got = sys_read(
				 fd, p + *n, (size_t)st.st_size - *n)) <= 0)
				break;
	}
	close(fd);
	return p;
}

struct zone *
zone_open(const char *name)
{
	struct zone *z;
	unsigned char *p;
	size_t n = 0;
	bool good;

	if (!zone_name_ok(name))
		return NULL;
	if (strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0)
		return xcalloc(1, sizeof(*z));
	if ((p = zone_read(name, &n)) == NULL)
		return NULL;
	z = xcalloc(1, sizeof(*z));
	good = tzif_parse(z, p, n);
	free(p);
	if (good)
		return z;
	zone_close(z);
	return NULL;
}

static int32_t
zone_offset(const struct zone *z, int64_t t)
{
	size_t low = 0, high = z->n;

	while (low < high) { /* the first transition after t */
		size_t mid = low + (high - low) / 2;

		if (z->when[mid] <= t)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == z->n && z->has_rule)
		return rule_offset(z, t);
	return low > 0 ? z->off[low - 1] : z->first;
}

int32_t
zone_day(const struct zone *z, int64_t unix_s)
{
	return (int32_t)floor_div(unix_s + zone_offset(z, unix_s), DAY_S);
}

void
zone_close(struct zone *z)
{
	if (z == NULL)
		return;
	free(z->when);
	free(z->off);
	free(z);
}
