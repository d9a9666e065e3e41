/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "delay-line.h"

#include "util/clock.h"

/* The driver of the line may be late by this much.  The wire has gone on
 * sending meanwhile, and does not lose that time. */
#define CREDIT (5 * NS_PER_MS)

bool delay_line_take(DelayLine *line, int64_t now, size_t size, int64_t *due)
{
    int64_t waits = line->free_at - now;

    if ((double)waits * line->bytes_per_ns > (double)line->queue) {
        return false;
    }
    if (waits < -CREDIT) {
        line->free_at = now - CREDIT;
    }
    line->free_at += (int64_t)((double)size / line->bytes_per_ns);
    *due = (line->free_at > now ? line->free_at : now) + line->delay;
    return true;
}
