/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/clock.h"

#include <time.h>

static int64_t monotonic_now(const Clock *clock)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static void monotonic_wait(const Clock *clock, pthread_cond_t *cond,
                           pthread_mutex_t *mutex, int64_t deadline)
{
    struct timespec ts = {
        .tv_sec = deadline / NS_PER_S,
        .tv_nsec = deadline % NS_PER_S,
    };

    pthread_cond_timedwait(cond, mutex, &ts);
}

const Clock clock_monotonic = {
    .now = monotonic_now,
    .wait = monotonic_wait,
};
