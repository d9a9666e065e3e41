/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/hand-clock.h"

#include <stdbool.h>

static int64_t hand_now(const Clock *clock)
{
    HandClock *hand = (HandClock *)clock;
    int64_t now;

    pthread_mutex_lock(&hand->lock);
    now = hand->now;
    pthread_mutex_unlock(&hand->lock);
    return now;
}

static void hand_wait(const Clock *clock, pthread_cond_t *cond,
                      pthread_mutex_t *mutex, int64_t deadline)
{
    HandClock *hand = (HandClock *)clock;
    bool due;

    pthread_mutex_lock(&hand->lock);
    due = hand->now >= deadline;
    if (!due) {
        hand->cond = cond;
        hand->mutex = mutex;
        hand->waits++;
        pthread_cond_signal(&hand->waited);
    }
    pthread_mutex_unlock(&hand->lock);
    if (!due) {
        pthread_cond_wait(cond, mutex);
    }
}

void hand_clock_init(HandClock *hand)
{
    *hand = (HandClock){
        .clock = { .now = hand_now, .wait = hand_wait },
        .now = NS_PER_S,
    };
    pthread_mutex_init(&hand->lock, NULL);
    pthread_cond_init(&hand->waited, NULL);
}

void hand_clock_destroy(HandClock *hand)
{
    pthread_cond_destroy(&hand->waited);
    pthread_mutex_destroy(&hand->lock);
}

void hand_clock_advance(HandClock *hand, int64_t ns)
{
    pthread_cond_t *cond;
    pthread_mutex_t *mutex;

    pthread_mutex_lock(&hand->lock);
    hand->now += ns;
    cond = hand->cond;
    mutex = hand->mutex;
    pthread_mutex_unlock(&hand->lock);
    if (cond) {
        pthread_mutex_lock(mutex);
        pthread_cond_broadcast(cond);
        pthread_mutex_unlock(mutex);
    }
}

static void await_waits(HandClock *hand, unsigned above)
{
    pthread_mutex_lock(&hand->lock);
    while (hand->waits <= above) {
        pthread_cond_wait(&hand->waited, &hand->lock);
    }
    pthread_mutex_unlock(&hand->lock);
}

void hand_clock_advance_idle(HandClock *hand, int64_t ns)
{
    unsigned before;

    await_waits(hand, 0);
    pthread_mutex_lock(&hand->lock);
    before = hand->waits;
    pthread_mutex_unlock(&hand->lock);
    hand_clock_advance(hand, ns);
    await_waits(hand, before);
}
