/*
 * The key of a record: the values of one or more paths, as one fingerprint.
 *
 * Strings are taken by their decoded text, numbers by their canonical form,
 * so that 1.0 is 1; the string "1", the number 1 and true all differ. Values
 * of several paths are hashed one by one: ["a","bc"] is not ["ab","c"].
 */
#ifndef DEDUP_KEY_H
#define DEDUP_KEY_H

#include "fpset.h"
#include "stream.h"

#define KEY_MAX 16

struct key {
	struct json_paths *paths;
	int index[KEY_MAX]; /* of the key's members in a record's values */
	size_t n;
	int day; /* index of --day's path, -1 for none */
	struct fp_key secret;
	struct buf text;
	char why[256];
};

void key_init(struct key *k);
/* Adds paths, "a,b.c"; NULL, or what is wrong with them. */
const char *key_add(struct key *k, const char *list);
/* "a,b.c", owned by the caller. */
char *key_text(const struct key *k);
/* False: the record has no usable key, key_wrong says why. */
bool key_of(struct key *k, const struct record *r, struct fp *x);
/* The reason and the byte of a record that key_of or key_day refused. */
const char *key_wrong(struct key *k, const struct record *r, size_t *byte);
/*
 * The UTC day of a record: out of our own event id, source:YYYYMMDD…:hex, or
 * the value of the path `day`: a date or an RFC 3339 time.
 */
bool key_day(struct key *k, const struct record *r, int32_t *day);
void key_release(struct key *k);

#endif
