/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A clock that stands still until a thread waits for it. */
#ifndef TESTS_FAKE_CLOCK_H
#define TESTS_FAKE_CLOCK_H

#include "util/clock.h"

typedef struct FakeClock {
    Clock clock; /* what is handed out */
    int64_t now; /* atomic */
} FakeClock;

/* Starts at one second, because 0 means "not yet" to some. */
void fake_clock_init(FakeClock *fake);
void fake_clock_advance(FakeClock *fake, int64_t ns);

#endif
