/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time as a value that can be replaced.  Code that measures or waits is handed
 * a Clock, and tests hand in one that they move by hand.
 */
#ifndef UTIL_CLOCK_H
#define UTIL_CLOCK_H

#include <pthread.h>
#include <stdint.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)

typedef struct Clock Clock;

struct Clock {
    /* Nanoseconds since some fixed moment; never goes back. */
    int64_t (*now)(const Clock *clock);

    /*
     * Wait on cond, whose mutex is held, until it is signalled or the clock
     * shows deadline.  May return early.  cond is from thread_cond_init().
     */
    void (*wait)(const Clock *clock, pthread_cond_t *cond,
                 pthread_mutex_t *mutex, int64_t deadline);
};

static inline double ns_to_seconds(int64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

/* CLOCK_MONOTONIC. */
extern const Clock clock_monotonic;

static inline int64_t clock_now(const Clock *clock)
{
    return clock->now(clock);
}

#endif
