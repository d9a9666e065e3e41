/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is known of a migration at one moment, and what two moments tell. */
#ifndef RELAY_SAMPLE_H
#define RELAY_SAMPLE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/relay/relay-args.h"
#include "tools/relay/relay-line.h"
#include "tools/relay/relay-stats.h"

typedef struct RelaySample {
    unsigned number;
    RelayRole role;
    const char *route; /* or NULL; the arguments' */
    int64_t time;      /* of clock_monotonic */
    LineCounts line;
    /* These are RelayStats'. */
    uint64_t plain, packed; /* bytes of bytes_in and bytes_out: unpacked, and on
                             * the link */
    uint64_t pages, pages_again, history, reverse_bytes;
    uint64_t ram, ram_passed, passes, dirty_rate, pass_rate;
    RelayPhase phase;
    int64_t pass_began;
    const char *method; /* or NULL */
    unsigned level;
    int64_t waited[RELAY_WAIT__COUNT];
} RelaySample;

/* Fill in what the stats have.  role is set. */
void sample_take(RelaySample *sample, RelayStats *stats);

/* Bytes a second between two moments.  before->time 0: the rate is 0. */
double sample_rate(const RelaySample *before, const RelaySample *now,
                   uint64_t was, uint64_t is);

/* Plain bytes for each packed one; 1 before there are any. */
double sample_ratio(const RelaySample *now);

/* Seconds until the first pass through RAM ends, if the rest of it takes as
 * long as what has passed.  -1: that cannot be said. */
int64_t sample_time_left(const RelaySample *now);

/* Do the passes get shorter, so that the last one will be short enough?  Only
 * if it is known: pass_rate is not 0. */
bool sample_converges(const RelaySample *now);

const char *sample_phase_name(RelayPhase phase);

/* "migration 3 (web): 43 % of 4096.0 MiB, ..." */
char *sample_text(const RelaySample *before, const RelaySample *now);

/* The same, a few words: "web 43 %". */
char *sample_short_text(const RelaySample *now);

#endif
