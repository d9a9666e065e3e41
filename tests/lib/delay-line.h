/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One direction of a thin, long link, as arithmetic: a queue with a limit in
 * bytes, a wire that sends at a rate, and a way that takes a time.  It does no
 * I/O and reads no clock.
 */
#ifndef TESTS_DELAY_LINE_H
#define TESTS_DELAY_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct DelayLine {
    double bytes_per_ns;
    int64_t delay;   /* ns, from when a packet is sent to when it arrives */
    size_t queue;    /* bytes that may wait to be sent */
    int64_t free_at; /* when the wire has sent all that it was given */
} DelayLine;

/*
 * A packet comes now; *due is when it arrives.  False: there is no room, so it
 * is lost.
 */
bool delay_line_take(DelayLine *line, int64_t now, size_t size, int64_t *due);

#endif
