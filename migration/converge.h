/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When to stop the guest and switch over: a pure function of numbers. */
#ifndef MIGRATION_CONVERGE_H
#define MIGRATION_CONVERGE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ConvergeInput {
    uint64_t dirty_pages;       /* that would have to move in the downtime */
    double bytes_per_page;      /* of stream, for a page like these */
    double bytes_per_second;    /* of stream, as measured; 0: not known */
    uint64_t max_bandwidth;     /* bytes/s; 0: no limit */
    uint64_t downtime_limit_ms;
} ConvergeInput;

typedef struct ConvergeDecision {
    bool switch_over;           /* else one more pass */
    int64_t expected_downtime_ms; /* -1: not known */
} ConvergeDecision;

ConvergeDecision converge_decide(const ConvergeInput *in);

#endif
