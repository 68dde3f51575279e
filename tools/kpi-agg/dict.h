/*
 * The KPI dictionary and the apps, read and checked (weir-kpis(5)).
 *
 * dict_load takes the part that one source needs: its paths, its metrics and
 * their expressions, all compiled into one set of paths. A wrong file is said
 * with the path of the member.
 */
#ifndef KPI_DICT_H
#define KPI_DICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"
#include "expr.h"
#include "json.h"

enum agg_kind {
	AGG_COUNT,
	AGG_SUM,
	AGG_MIN,
	AGG_MAX,
	AGG_AVG,
	AGG_DISTINCT, /* exact */
	AGG_APPROX,   /* distinct~ */
	AGG_RATIO,
	AGG_FUNNEL,
	AGG_ONE, /* the value of the only record that has one */
};

/* An expression, once per text. */
struct dict_expr {
	char *text;
	struct expr *e;
	int path;           /* a plain path is read without expr.h; else -1 */
	int *reads, nreads; /* paths; nreads -1 where libjq may read all */
	bool *shell;        /* of a path read: only on the way to another one */
	bool simple;        /* nothing but paths, select by a key, and // */
};

/* One or more expressions that make a key, or a segment's value. */
#define KEY_MAX 8
struct dict_key {
	int expr[KEY_MAX], n;
};

struct dict_segment {
	const char *name, *fallback;
	struct dict_key value;
};

struct dict_names {
	const char **v; /* sorted */
	size_t n;
	bool given; /* not given: any name */
};

/* Other names for a text: platforms of product types. */
struct dict_map {
	struct {
		const char *from, *to;
	} * v; /* sorted by from */
	size_t n;
	const char *fallback; /* what is not named becomes, NULL: itself */
};

struct dict_step {
	const char *name;
	struct dict_names event;
	int where; /* expression, -1: none */
};

#define STEP_MAX 16
#define SEG_MAX 8

struct dict_metric {
	const char *name;
	enum agg_kind agg;
	struct dict_names event, missing;
	int where, value, unit; /* expressions, -1: none */
	int key, once;          /* keys, -1: none */
	const char *unit_text;  /* literal, NULL */
	int split; /* expression of unit that a ratio of money needs, -1 */
	int segment[SEG_MAX], nsegments;
	bool total;   /* has rows of segment "" */
	bool sum_all; /* platform all by adding; the owner says it may */
	int num, den, places;
	struct dict_step step[STEP_MAX];
	int nsteps;
	int64_t window_us;
	const struct node *node;
	struct dict_names feeds; /* patterns; not given: any feed */
	int times;               /* a second factor of value, -1: none */
	bool abs_value, abs_times;
	bool unlisted; /* of event names that the source does not expect */
};

enum time_unit { TIME_US, TIME_MS, TIME_S, TIME_TEXT };

struct dict {
	struct conf *conf;
	const char *version, *source;
	char hash[SHA_HEX + 1]; /* of dictionary, apps, source and format */
	struct json_paths *paths;
	struct dict_expr *expr;
	int nexpr;
	struct dict_key *key;
	int nkey;
	int date, app, stream, platform, event, time, exclude; /* or -1 */
	enum time_unit time_unit;
	struct dict_names known;
	struct dict_segment segment[SEG_MAX];
	int nsegment;
	struct dict_metric *metric;
	int nmetric;
	bool all; /* rows of platform all */
	/* The app's id is the first of `app` and these that is not empty. */
	int app_else[KEY_MAX], napp_else;
	bool no_platform; /* rows of platform all alone; platform is -1 */
	struct dict_map platform_map;
};

struct apps;

/* RC_OK, or RC_CONFIG after a message. */
int dict_load(const char *file, const char *source, struct dict **out);
void dict_free(struct dict *d);

/* An app as the configuration knows it. */
struct app_conf {
	const char *id, *currency;
	struct dict_names feeds, streams, ids;
	const char **platform;
	size_t nplatform;
};

struct apps {
	struct conf *conf;
	struct app_conf *app;
	size_t n;
	char **made; /* names that were put together here */
	size_t nmade;
};

/* The apps as the source sees them. RC_OK or RC_CONFIG. */
int apps_load(const char *file, const char *source, struct apps **out);
void apps_free(struct apps *a);

bool app_has_feed(const struct app_conf *x, const char *feed);

/*
 * The app of a record: by its own id, then by stream, then by feed. id and
 * stream may be NULL. NULL: not known; its id is then `id`, or the feed.
 */
const struct app_conf *apps_find(
    const struct apps *a, const char *id, const char *stream, const char *feed);

/* What its values are counted in, where that is no currency. */
const char *dict_unit(const struct dict_metric *m);

bool names_have(const struct dict_names *s, const char *p, size_t n);
/* What the text is called in the map; p itself where it stays as it is. */
const char *map_text(const struct dict_map *m, const char *p);
/* Does the metric count records of the feed? */
bool metric_of_feed(
    const struct dict *d, const struct dict_metric *m, const char *feed);

#endif
