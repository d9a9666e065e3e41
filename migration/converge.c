/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The guest stands still for as long as the rest takes, and the floor.
 *
 * The rest is the last pass.  It takes (dirty pages) * (bytes of stream per
 * page) / (bytes of stream per second).  Bytes are those of the stream, after
 * compression: an estimate in raw bytes against a wire rate would be too high
 * by the compression ratio, and cost passes that gain nothing.  The measured
 * rate includes everything that slows a pass down, the compression's CPU time
 * too.  If max-bandwidth has just been lowered below that rate, it counts
 * instead.
 *
 * The floor is what no pass makes shorter.  What was written before the last
 * pass arrives before it.  The queue is gone, and known here to be gone, after
 * the time that its bytes take, but not before a round trip.  When the source
 * knows that the last byte has arrived, it also has the answer to it, and GO
 * takes half a round trip more.  Without GO the guest runs as soon as the last
 * byte has arrived, half a round trip before the source knows.
 *
 * What the floor leaves of the limit is for the rest.  The rest always gets a
 * little: a floor above the limit is no reason to let the guest stand still
 * for the limit besides.  Nor is it a reason never to end.  A rest that by
 * itself is within the limit would do over a link without a delay, and is good
 * enough when it is hardly smaller than the smallest so far.  It is compared
 * with the smallest, not with the one before: a guest that works in turns
 * would otherwise seem to get better every other time.
 *
 * A part of the floor can be waited for while the guest runs on: the time that
 * the queue takes beyond a round trip.  A TCP that has sent too fast and
 * repeats what was lost can have a second of it.  So if the guest would stop
 * for longer than the limit, the engine waits for the queue first.  It does so
 * twice at most, because a link may stay like that for ever.  Meanwhile the
 * guest writes.  If what it has written does not fit, a pass comes next: a
 * rest that has grown does not show that passes no longer help.
 *
 * A rest that fits is not yet a short one.  As long as each rest is at most
 * half of the smallest before it, there is another pass, until what is left to
 * gain is hardly noticed.  All these passes together take less time than twice
 * the limit.
 *
 * Auto-converge.  A guest that dirties more than the threshold allows, in two
 * passes since the last step, loses CPU time: at first cpu-throttle-initial
 * per cent, then cpu-throttle-increment more each time.  With tailslow a step
 * is no larger than what would bring the guest down to the threshold if its
 * writing were proportional to its CPU time.
 */
#include "migration/converge.h"

#include <glib.h>
#include <math.h>

#define PASSES_BEFORE_STEP 2
#define SHORT_MS 20 /* hardly noticed */
#define HARDLY_SMALLER 0.9
#define MOST_DRAINS 2
#define BLIND_DRAIN_MS 1000

/* The time that the queue takes beyond a round trip: up to there it costs
 * nothing. */
static double excess_of(const ConvergeInput *in, double rate)
{
    double drain = rate > 0 ? (double)in->queued / rate * 1000 : 0;

    return MAX(drain - in->round_trip_ms, 0);
}

/* Nothing has arrived lately, so nobody can say how long anything will take. */
static ConvergeDecision decide_blindly(const ConvergeInput *in)
{
    bool drain = in->drains < MOST_DRAINS;

    return (ConvergeDecision){
        .switch_over = !in->dirty_pages && !drain,
        .drain_ms = !in->dirty_pages && drain ? BLIND_DRAIN_MS : 0,
        .rest_ms = INFINITY,
        .floor_ms = -1,
        .expected_downtime_ms = -1,
    };
}

static double floor_of(const ConvergeInput *in, double excess)
{
    return excess + (in->waits_for_go ? 1.5 : 0.5) * in->round_trip_ms;
}

static bool is_time(const ConvergeInput *in, double rest, double floor)
{
    double limit = (double)in->downtime_limit_ms;
    double room = MAX(limit - floor, MIN(limit, SHORT_MS));

    if (in->drained) {
        return rest <= room;
    }
    if (rest <= room) {
        return rest <= SHORT_MS || rest > in->least_ms / 2;
    }
    return rest <= limit && rest > in->least_ms * HARDLY_SMALLER;
}

static bool should_drain(const ConvergeInput *in, double excess,
                         double downtime)
{
    return excess > SHORT_MS && downtime > (double)in->downtime_limit_ms &&
           in->drains < MOST_DRAINS;
}

static int64_t whole_ms(double ms)
{
    return ms < (double)INT64_MAX ? (int64_t)ms : INT64_MAX;
}

ConvergeDecision converge_decide(const ConvergeInput *in)
{
    double rate = in->bytes_per_second;
    double rest = 0, excess, floor;
    bool fits, drain;

    if (in->max_bandwidth && rate > (double)in->max_bandwidth) {
        rate = (double)in->max_bandwidth;
    }
    if (rate <= 0 && (in->dirty_pages || in->queued)) {
        return decide_blindly(in);
    }
    if (in->dirty_pages) {
        rest = (double)in->dirty_pages * in->bytes_per_page / rate * 1000;
    }
    excess = excess_of(in, rate);
    floor = floor_of(in, excess);
    fits = is_time(in, rest, floor);
    drain = fits && should_drain(in, excess, rest + floor);
    return (ConvergeDecision){
        .switch_over = fits && !drain,
        .drain_ms = drain ? excess : 0,
        .drain_to = drain ? in->round_trip_ms / 1000 * rate : 0,
        .rest_ms = rest,
        .floor_ms = whole_ms(floor),
        .expected_downtime_ms = whole_ms(rest + floor),
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
