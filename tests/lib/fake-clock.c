/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/fake-clock.h"

#include <stdbool.h>

static int64_t fake_now(const Clock *clock)
{
    return __atomic_load_n(&((const FakeClock *)clock)->now,
                           __ATOMIC_SEQ_CST);
}

/* A thread that waits moves the clock, so no thread really waits. */
static void fake_wait(const Clock *clock, pthread_cond_t *cond,
                      pthread_mutex_t *mutex, int64_t deadline)
{
    FakeClock *fake = (FakeClock *)clock;
    int64_t now = fake_now(clock);

    while (now < deadline &&
           !__atomic_compare_exchange_n(&fake->now, &now, deadline, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        continue;
    }
}

void fake_clock_init(FakeClock *fake)
{
    *fake = (FakeClock){
        .clock = { .now = fake_now, .wait = fake_wait },
        .now = NS_PER_S,
    };
}

void fake_clock_advance(FakeClock *fake, int64_t ns)
{
    __atomic_add_fetch(&fake->now, ns, __ATOMIC_SEQ_CST);
}
