/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/relay/relay-stats.h"

#include "util/clock.h"

void relay_stats_encoding(RelayStats *stats, const char *method,
                          unsigned level, const char *reason)
{
    atomic_store_explicit(&stats->method, method, memory_order_relaxed);
    atomic_store_explicit(&stats->level, level, memory_order_relaxed);
    atomic_store_explicit(&stats->reason, reason, memory_order_relaxed);
}

void relay_stats_waited(RelayStats *stats, RelayWait what, int64_t since)
{
    atomic_fetch_add_explicit(&stats->waited[what],
                              clock_now(&clock_monotonic) - since,
                              memory_order_relaxed);
}
