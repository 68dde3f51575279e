/* The parts of ndjson-scrub: policy, truncation, e-mail addresses. */
#ifndef SCRUB_H
#define SCRUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "conf.h"
#include "json.h"
#include "splice.h"

enum action { KEEP, DROP, PSEUDONYMISE, TRUNCATE, REFUSE };

enum cut { CUT_NETWORK, CUT_HOUR, CUT_DAY, CUT_QUERY };

enum unit { UNIT_TEXT, UNIT_S, UNIT_MS, UNIT_US };

enum email { EMAIL_KEEP, EMAIL_REDACT, EMAIL_REFUSE };

struct rule {
	enum action action;
	enum cut cut;
	enum unit unit;
	uint32_t length; /* hex digits of a pseudonym */
};

/* ---- policy.c ---- */

enum { PLACES_MAX = 1024 }; /* below one place */

enum step { STEP_MEMBER, STEP_SELECT, STEP_EACH };

/*
 * The policy as a tree. A node that has no rule of its own is only on the way
 * to others; `unknown` is what befalls members below it that have no node.
 */
struct place {
	enum step step;
	char *name; /* MEMBER: the member; SELECT: the member compared */
	size_t name_len;
	char *value; /* SELECT: the text it is compared with */
	size_t value_len;
	char *gap; /* MEMBER: `,"name":` as it mostly stands in a record */
	size_t gap_len;
	char *text;       /* the path as written, for messages */
	int path;         /* of the scanner's set; -1 behind an array */
	bool ruled, idle; /* idle: nothing at or below it can change */
	struct rule rule;
	enum action unknown; /* KEEP, DROP or REFUSE */
	const struct node *conf;
	struct place **child; /* in order of the policy */
	size_t n;
	uint16_t *order; /* of the children in the last record */
	uint64_t mark;   /* of the last object that had it */
};

struct policy {
	struct conf *conf;
	struct place root;
	enum email email;
	bool needs_salt;
};

/* RC_OK, or RC_CONFIG after a message. unknown < 0: as the policy says. */
int policy_load(
    const char *file, int unknown, struct json_paths *paths, struct policy *p);
void policy_release(struct policy *p);
/* KEEP, DROP, REFUSE, or -1. */
int policy_unknown(const char *word);

/* ---- truncate.c ---- */

/* Makes the value coarser in the splice. NULL, or why it cannot. */
const char *truncate_value(const struct rule *r, const char *record,
    const struct json_span *v, struct splice *s);

/* ---- email.c ---- */

/*
 * E-mail addresses in what the splice leaves of the record: "@", "%40" and
 * "\u0040" between a name and a domain. Redacts them, or says why the record
 * cannot stay (and at which byte, from 1).
 */
const char *email_scrub(enum email what, const char *record, size_t len,
    struct splice *s, size_t *byte);

#endif
