/* Ordered funnels: how far each user came within a window. */
#ifndef KPI_FUNNEL_H
#define KPI_FUNNEL_H

#include "agg.h"

/*
 * reached[i] is set to the users who did steps 0 to i in that order, each
 * step at its own event, the last within window_us of the first. The events
 * are sorted by user, time and steps (agg_finish).
 */
void funnel_count(const struct events *s, int nsteps, int64_t window_us,
    uint64_t reached[STEP_MAX]);

#endif
