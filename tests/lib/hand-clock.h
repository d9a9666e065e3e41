/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A clock that is moved by hand, for one thread that waits by it. */
#ifndef TESTS_HAND_CLOCK_H
#define TESTS_HAND_CLOCK_H

#include "util/clock.h"

typedef struct HandClock {
    Clock clock; /* what is handed out */
    pthread_mutex_t lock;
    pthread_cond_t waited; /* waits was raised */
    /* all below: lock */
    int64_t now;
    unsigned waits;
    pthread_cond_t *cond; /* of the last that waited; NULL: none so far */
    pthread_mutex_t *mutex;
} HandClock;

/* Starts at one second, because 0 means "not yet" to some. */
void hand_clock_init(HandClock *hand);
void hand_clock_destroy(HandClock *hand);

void hand_clock_advance(HandClock *hand, int64_t ns);

/* The same, and the thread has looked at the time and found nothing to do. */
void hand_clock_advance_idle(HandClock *hand, int64_t ns);

#endif
