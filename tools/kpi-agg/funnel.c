/* Counting funnels. */
#include "funnel.h"

#include <string.h>

/* Of each step the latest start of a chain that came this far. */
struct chain {
	int64_t start[STEP_MAX];
	bool have[STEP_MAX];
};

/* A later start has more of its window left, so it is never worse. The steps
 * are gone through from the last, so that an event is one step of a chain. */
static void
take(struct chain *c, const struct event *e, int nsteps, int64_t window_us)
{
	for (int s = nsteps - 1; s > 0; s--)
		if ((e->steps >> s & 1) != 0 && c->have[s - 1] &&
		    e->us - c->start[s - 1] <= window_us &&
		    (!c->have[s] || c->start[s] < c->start[s - 1])) {
			c->have[s] = true;
			c->start[s] = c->start[s - 1];
		}
	if ((e->steps & 1) != 0) {
		c->have[0] = true;
		c->start[0] = e->us;
	}
}

void
funnel_count(const struct events *s, int nsteps, int64_t window_us,
    uint64_t reached[STEP_MAX])
{
	struct chain c;

	memset(reached, 0, STEP_MAX * sizeof *reached);
	for (size_t i = 0, end; i < s->n; i = end) {
		const struct fp who = s->v[i].who;

		memset(&c, 0, sizeof c);
		for (end = i; end < s->n && s->v[end].who.hi == who.hi &&
			      s->v[end].who.lo == who.lo;
		     end++)
			take(&c, &s->v[end], nsteps, window_us);
		for (int k = 0; k < nsteps; k++)
			reached[k] += c.have[k];
	}
}
