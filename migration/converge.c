/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The last pass takes (dirty pages) * (bytes of stream per page) / (bytes of
 * stream per second).  Bytes are those of the stream, after compression: an
 * estimate in raw bytes against a wire rate would be too high by the
 * compression ratio, and cost passes that gain nothing.  The measured rate
 * has everything in it that slows a pass down, the compression's CPU time
 * too; where max-bandwidth has just been lowered below it, that counts.
 *
 * A downtime within the limit is not yet a short one: as long as each pass at
 * least halves the estimate there is another, until what is left to gain is
 * hardly noticed.  All of these together take less time than twice the limit.
 *
 * Auto-converge.  A guest that dirties more than the threshold allows, in two
 * passes since the last step, loses CPU time: at first cpu-throttle-initial
 * per cent, then cpu-throttle-increment more each time.  With tailslow a step
 * is no larger than what would bring the guest down to the threshold, were
 * its writing proportional to its CPU time.
 */
#include "migration/converge.h"

#include <glib.h>
#include <math.h>

#define PASSES_BEFORE_STEP 2
#define SHORT_MS 20

static bool still_shrinks(const ConvergeInput *in, double ms)
{
    return ms > SHORT_MS && ms <= in->last_ms / 2;
}

ConvergeDecision converge_decide(const ConvergeInput *in)
{
    double rate = in->bytes_per_second;
    double ms;

    if (in->dirty_pages == 0) {
        return (ConvergeDecision){ true, 0, 0 };
    }
    if (in->max_bandwidth && rate > (double)in->max_bandwidth) {
        rate = (double)in->max_bandwidth;
    }
    if (rate <= 0) {
        return (ConvergeDecision){ false, INFINITY, -1 };
    }
    ms = (double)in->dirty_pages * in->bytes_per_page / rate * 1000;
    return (ConvergeDecision){
        .switch_over = ms <= (double)in->downtime_limit_ms &&
                       !still_shrinks(in, ms),
        .ms = ms,
        .expected_downtime_ms = ms < (double)INT64_MAX ? (int64_t)ms
                                                       : INT64_MAX,
    };
}

static unsigned throttle_step(const ThrottleInput *in, double allowed)
{
    double left = 100.0 - in->percent;
    double needed = left - left * allowed / (double)in->dirtied_bytes;

    if (in->percent == 0) {
        return in->initial;
    }
    return in->tailslow ? (unsigned)MIN(needed + 0.5, in->increment)
                        : in->increment;
}

ThrottleDecision converge_throttle(const ThrottleInput *in)
{
    double allowed = (double)in->sent_bytes * in->threshold / 100;

    if ((double)in->dirtied_bytes <= allowed) {
        return (ThrottleDecision){ in->high_passes, in->percent };
    }
    if (in->high_passes + 1 < PASSES_BEFORE_STEP) {
        return (ThrottleDecision){ in->high_passes + 1, in->percent };
    }
    return (ThrottleDecision){
        .high_passes = 0,
        .percent = MIN(in->percent + throttle_step(in, allowed), in->max),
    };
}
