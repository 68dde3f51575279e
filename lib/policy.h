/*
 * What every loader decides in the same way: what may become visible, and
 * which generations of a batch a verb works on.
 *
 * Nothing is read or written here: slots stand for what was staged and for
 * what is there. What is refused is said, and the slot keeps why.
 */
#ifndef WEIR_POLICY_H
#define WEIR_POLICY_H

#include "slot.h"

struct policy {
	bool allow_empty, allow_partial, force;
	uint64_t max_rejects;
	double max_percent;      /* <0: not asked for */
	const char *fingerprint; /* "" where there is none */
	const char *reason;      /* NULL: none */
};

/* Without rows over a visible generation (seen, NULL: none) that has some.
 * RC_OK or RC_CONTRACT. */
int policy_empty(
    struct slot *s, const struct slot *seen, const struct policy *p);
/* All that keeps a staged slot from taking the place of seen, but for what
 * only the store knows. RC_OK or RC_CONTRACT. */
int policy_publish(
    struct slot *s, const struct slot *seen, const struct policy *p);
/* Is s what is visible, as far as can be told without the rows? */
bool policy_alike(
    const struct slot *s, const struct slot *seen, const struct policy *p);

/* ---- verbs, on the generations that stand in a store ---- */

enum verb {
	VERB_LOAD,
	VERB_PUBLISH,
	VERB_ABORT,
	VERB_ROLLBACK,
	VERB_QUARANTINE
};
const char *verb_word(enum verb verb);

/* all: the generations of one batch. The one that the verb means where none
 * was named; 0: there is none. */
int64_t verb_means(const struct receipt *all, enum verb verb);
/* r: the slots of one generation. Puts those that the verb works on in front
 * and marks the others unchanged; how many. named: it was asked for by number.
 */
size_t verb_sift(struct receipt *r, enum verb verb, bool named);
/* There were none. RC_OK where it was done already, or RC_CONTRACT, said. */
int verb_nothing(struct receipt *r, enum verb verb, const char *batch);
/* What the verb did was undone: the receipt says so. */
void verb_undone(struct receipt *r);

#endif
