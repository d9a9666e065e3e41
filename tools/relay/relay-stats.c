/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-stats.h"

#include "util/clock.h"

void relay_stats_waited(RelayStats *stats, RelayWait what, int64_t since)
{
    atomic_fetch_add_explicit(&stats->waited[what],
                              clock_now(&clock_monotonic) - since,
                              memory_order_relaxed);
}
