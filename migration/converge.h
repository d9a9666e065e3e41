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
    double least_ms; /* smallest rest_ms so far; INFINITY: none yet */
    uint64_t queued;       /* bytes of stream that have not arrived */
    double round_trip_ms;  /* 0: not known, or no time at all */
    bool waits_for_go;     /* the destination does, when it has everything */
    unsigned drains;       /* waits of drain_ms so far */
    bool drained;          /* the last of these came after the last pass */
} ConvergeInput;

typedef struct ConvergeDecision {
    bool switch_over; /* else one more pass */
    /* Not 0: neither a pass nor the switch-over yet.  First wait until the
     * queue has shrunk to drain_to bytes, which should take this long.  Then
     * collect the dirty log and decide again. */
    double drain_ms;
    double drain_to;
    double rest_ms;   /* time for the dirty pages; INFINITY: not known */
    int64_t floor_ms; /* time that no pass makes shorter; -1: not known */
    int64_t expected_downtime_ms; /* both together; -1: not known */
} ConvergeDecision;

ConvergeDecision converge_decide(const ConvergeInput *in);

/* What auto-converge looks at after a pass. */
typedef struct ThrottleInput {
    uint64_t dirtied_bytes; /* of stream, that the guest dirtied in the pass */
    uint64_t sent_bytes;    /* of stream, sent in the same time */
    unsigned threshold;     /* per cent of sent_bytes that is acceptable */
    unsigned high_passes;   /* passes before this one that were above it */
    unsigned percent;       /* of CPU time, taken from the guest now */
    unsigned initial, increment, max;
    bool tailslow;
} ThrottleInput;

typedef struct ThrottleDecision {
    unsigned high_passes;
    unsigned percent;
} ThrottleDecision;

ThrottleDecision converge_throttle(const ThrottleInput *in);

#endif
