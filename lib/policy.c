#include "policy.h"

#include <inttypes.h>
#include <string.h>

#include "date.h"
#include "diag.h"
#include "exits.h"

/* ---- what may become visible ---- */

static bool
without_rows(const struct slot *s)
{
	return s->outcome == OUTCOME_EMPTY || s->rows == 0;
}

int
policy_empty(struct slot *s, const struct slot *seen, const struct policy *p)
{
	if (seen == NULL || p->allow_empty || !without_rows(s) ||
	    without_rows(seen))
		return RC_OK;
	return slot_say(s, RC_CONTRACT,
	    "it is empty, the visible generation %" PRId64 " of %s has %" PRIu64
	    " rows (see --allow-empty)",
	    seen->generation, seen->batch, seen->rows);
}

static int
check_rejects(struct slot *s, const struct policy *p)
{
	uint64_t all = s->records + s->rejected;

	if (p->max_percent >= 0
		? (double)s->rejected * 100 <= p->max_percent * (double)all
		: s->rejected <= p->max_rejects)
		return RC_OK;
	return slot_say(s, RC_CONTRACT,
	    "not published: %" PRIu64 " records were rejected on the way "
	    "(see --max-rejects)",
	    s->rejected);
}

static int
check_partial(struct slot *s, const struct slot *seen, const struct policy *p)
{
	if (s->outcome != OUTCOME_PARTIAL)
		return RC_OK;
	if (seen != NULL && seen->outcome != OUTCOME_PARTIAL)
		return slot_say(s, RC_CONTRACT,
		    "not published: it is partial, the visible one is not");
	if (!p->allow_partial)
		return slot_say(s, RC_CONTRACT,
		    "not published: it is partial (see --allow-partial)");
	return RC_OK;
}

static int
check_order(struct slot *s, const struct slot *seen, const struct policy *p)
{
	int64_t mine, its;

	if (seen == NULL || p->force || s->fetched_at == NULL ||
	    seen->fetched_at == NULL ||
	    !time_parse(s->fetched_at, strlen(s->fetched_at), &mine) ||
	    !time_parse(seen->fetched_at, strlen(seen->fetched_at), &its) ||
	    mine >= its)
		return RC_OK;
	return slot_say(s, RC_CONTRACT,
	    "not published: fetched at %s, the visible one at %s (see --force)",
	    s->fetched_at, seen->fetched_at);
}

int
policy_publish(struct slot *s, const struct slot *seen, const struct policy *p)
{
	int rc = check_rejects(s, p);

	if (rc == RC_OK)
		rc = check_partial(s, seen, p);
	if (rc == RC_OK)
		rc = policy_empty(s, seen, p);
	return rc == RC_OK ? check_order(s, seen, p) : rc;
}

bool
policy_alike(
    const struct slot *s, const struct slot *seen, const struct policy *p)
{
	return strcmp(s->batch, seen->batch) == 0 && s->rows == seen->rows &&
	       s->outcome == seen->outcome && s->rejected == seen->rejected &&
	       strcmp(p->fingerprint, seen->fingerprint) == 0;
}

/* ---- verbs ---- */

static const struct {
	const char *word, *from, *or_from, *done, *or_done;
} verbs[] = {
    [VERB_LOAD] = {"load", "", "", "", ""},
    [VERB_PUBLISH] = {"publish", "staged", "", "published", "replaced"},
    [VERB_ABORT] = {"abort", "staged", "", "aborted", ""},
    [VERB_ROLLBACK] = {"rollback", "published", "replaced", "rolled_back", ""},
    [VERB_QUARANTINE] = {"quarantine", "staged", "", "quarantined", ""},
};

const char *
verb_word(enum verb verb)
{
	return verbs[verb].word;
}

int64_t
verb_means(const struct receipt *all, enum verb verb)
{
	int64_t first = 0, second = 0;

	for (size_t i = 0; i < all->n; i++) {
		const struct slot *s = all->slot[i];
		bool other =
		    verb == VERB_ROLLBACK
			? slot_is(s, "replaced") || slot_is(s, "rolled_back")
			: !slot_is(s, "aborted");

		if (slot_is(s, verbs[verb].from) && s->generation > first)
			first = s->generation;
		if (other && s->generation > second)
			second = s->generation;
	}
	return first != 0 ? first : second;
}

size_t
verb_sift(struct receipt *r, enum verb verb, bool named)
{
	bool any = false;
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		any = any || slot_is(r->slot[i], verbs[verb].from) ||
		      (named && slot_is(r->slot[i], verbs[verb].or_from));
	for (size_t i = 0; any && i < r->n; i++) {
		struct slot *s = r->slot[i];
		bool work = slot_is(s, verbs[verb].from) ||
			    slot_is(s, verbs[verb].or_from);

		r->slot[i] = r->slot[n];
		r->slot[n] = s;
		n += work;
	}
	for (size_t i = n; any && i < r->n; i++)
		r->slot[i]->unchanged = true;
	return n;
}

int
verb_nothing(struct receipt *r, enum verb verb, const char *batch)
{
	bool done = true;

	for (size_t i = 0; i < r->n; i++) {
		struct slot *s = r->slot[i];

		done = done && (slot_is(s, verbs[verb].done) ||
				   slot_is(s, verbs[verb].or_done));
		s->unchanged = true;
	}
	if (verb == VERB_ABORT || (r->n > 0 && done))
		return RC_OK;
	if (r->n == 0)
		warn_msg(batch, "there is no such batch or generation");
	else
		warn_msg(batch, "nothing to %s: generation %" PRId64 " is %s",
		    verbs[verb].word, r->slot[0]->generation,
		    r->slot[0]->state);
	for (size_t i = 0; i < r->n; i++)
		slot_set(&r->slot[i]->reason, "wrong state");
	return RC_CONTRACT;
}

void
verb_undone(struct receipt *r)
{
	for (size_t i = 0; i < r->n; i++) {
		r->slot[i]->state = "refused";
		r->slot[i]->rows = r->slot[i]->restated = 0;
	}
}
