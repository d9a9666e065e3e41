/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/ratelimit.h, with two clocks: FakeClock, which a waiting thread
 * moves on to the deadline, and one that stands still, for waits that end
 * otherwise.
 */
#include "migration/ratelimit.h"

#include <sched.h>

#include "tests/lib/expect-error.h"
#include "tests/lib/fake-clock.h"
#include "util/thread.h"

/* 1000 bytes a millisecond. */
enum { RATE = 1000000, STEP = 1000 };

static void wait_for(RateLimit *limit, size_t bytes)
{
    g_autoptr(GError) err = NULL;

    ratelimit_wait(limit, bytes, &err);
    g_assert_no_error(err);
}

/* Milliseconds since the clock was made; it stands on whole ones here. */
static int64_t elapsed_ms(const FakeClock *clock)
{
    int64_t ns = clock_now(&clock->clock) - NS_PER_S;

    g_assert_cmpint(ns % NS_PER_MS, ==, 0);
    return ns / NS_PER_MS;
}

static void test_rate_is_kept(void)
{
    FakeClock clock;
    RateLimit *limit;

    fake_clock_init(&clock);
    limit = ratelimit_new(&clock.clock, RATE);
    for (unsigned i = 0; i < 10000; i++) {
        g_assert_cmpint(elapsed_ms(&clock), ==, i ? i - 1 : 0);
        wait_for(limit, STEP);
    }
    ratelimit_free(limit);
    ratelimit_free(NULL);
}

/* However the bytes are cut. */
static void test_sizes(void)
{
    static const size_t sizes[] = {
        STEP, 3 * STEP, 0, 1000 * STEP, 7 * STEP, 0, 0, 2 * STEP,
    };
    int64_t due = 0;
    FakeClock clock;
    RateLimit *limit;

    fake_clock_init(&clock);
    limit = ratelimit_new(&clock.clock, RATE);
    for (unsigned i = 0; i < 80; i++) {
        size_t size = sizes[i % G_N_ELEMENTS(sizes)];

        wait_for(limit, size);
        g_assert_cmpint(elapsed_ms(&clock), ==, due);
        due += (int64_t)size / STEP;
    }
    ratelimit_free(limit);
}

static void test_no_limit(void)
{
    FakeClock clock;
    RateLimit *limit;

    fake_clock_init(&clock);
    limit = ratelimit_new(&clock.clock, 0);
    for (unsigned i = 0; i < 100; i++) {
        wait_for(limit, SIZE_MAX);
    }
    g_assert_cmpint(elapsed_ms(&clock), ==, 0);
    ratelimit_free(limit);
}

/* A sender that was idle for long may send 10 ms' worth at once, and no
 * more. */
static void test_credit(void)
{
    FakeClock clock;
    RateLimit *limit;

    fake_clock_init(&clock);
    limit = ratelimit_new(&clock.clock, RATE);
    fake_clock_advance(&clock, 5 * NS_PER_S);
    for (unsigned i = 0; i < 11; i++) {
        wait_for(limit, STEP);
        g_assert_cmpint(elapsed_ms(&clock), ==, 5000);
    }
    wait_for(limit, STEP);
    g_assert_cmpint(elapsed_ms(&clock), ==, 5001);
    ratelimit_free(limit);
}

/* A sender that was idle for 3 ms may send 3 ms' worth. */
static void test_little_credit(void)
{
    FakeClock clock;
    RateLimit *limit;

    fake_clock_init(&clock);
    limit = ratelimit_new(&clock.clock, RATE);
    fake_clock_advance(&clock, 3 * NS_PER_MS);
    for (unsigned i = 0; i < 4; i++) {
        wait_for(limit, STEP);
        g_assert_cmpint(elapsed_ms(&clock), ==, 3);
    }
    wait_for(limit, STEP);
    g_assert_cmpint(elapsed_ms(&clock), ==, 4);
    ratelimit_free(limit);
}

static void test_live_change(void)
{
    FakeClock clock;
    RateLimit *limit;

    fake_clock_init(&clock);
    limit = ratelimit_new(&clock.clock, RATE);
    g_assert_cmpuint(ratelimit_get(limit), ==, RATE);
    wait_for(limit, 1000 * STEP);
    /* That would be a second; at the new rate there is no debt. */
    ratelimit_set(limit, 2 * RATE);
    g_assert_cmpuint(ratelimit_get(limit), ==, 2 * RATE);
    wait_for(limit, 8 * STEP);
    g_assert_cmpint(elapsed_ms(&clock), ==, 0);
    wait_for(limit, STEP);
    g_assert_cmpint(elapsed_ms(&clock), ==, 4);
    ratelimit_set(limit, 0);
    wait_for(limit, 1000 * STEP);
    wait_for(limit, 1000 * STEP);
    g_assert_cmpint(elapsed_ms(&clock), ==, 4);
    ratelimit_set(limit, RATE);
    wait_for(limit, 5 * STEP);
    wait_for(limit, STEP);
    g_assert_cmpint(elapsed_ms(&clock), ==, 9);
    ratelimit_free(limit);
}

static void test_cancelled_before(void)
{
    for (uint64_t rate = 0; rate <= RATE; rate += RATE) {
        g_autoptr(GError) err = NULL;
        FakeClock clock;
        RateLimit *limit;

        fake_clock_init(&clock);
        limit = ratelimit_new(&clock.clock, rate);
        wait_for(limit, STEP);
        ratelimit_cancel(limit);
        for (unsigned i = 0; i < 2; i++) {
            g_assert_false(ratelimit_wait(limit, STEP, &err));
            expect_error(&err, MIG_ERROR_CANCELLED,
                         "the migration was cancelled");
        }
        /* It is not undone by a change of the rate. */
        ratelimit_set(limit, 5);
        g_assert_false(ratelimit_wait(limit, STEP, NULL));
        g_assert_cmpint(elapsed_ms(&clock), ==, 0);
        ratelimit_free(limit);
    }
}

/* A clock that stands still, and counts the threads that wait for it. */
typedef struct StillClock {
    Clock clock;
    int waits; /* atomic */
} StillClock;

static int64_t still_now(const Clock *clock)
{
    return NS_PER_S;
}

static void still_wait(const Clock *clock, pthread_cond_t *cond,
                       pthread_mutex_t *mutex, int64_t deadline)
{
    StillClock *still = (StillClock *)clock;

    g_assert_cmpint(deadline, >, NS_PER_S);
    __atomic_add_fetch(&still->waits, 1, __ATOMIC_SEQ_CST);
    pthread_cond_wait(cond, mutex);
}

typedef struct Waiter {
    StillClock clock;
    RateLimit *limit;
    pthread_t thread;
    bool ok;
    GError *err;
} Waiter;

static void *waiter_main(void *arg)
{
    Waiter *w = arg;

    w->ok = ratelimit_wait(w->limit, STEP, &w->err);
    return NULL;
}

/* Returns when the thread waits.  Its mutex is the limit's: a call that takes
 * it comes when the thread is in the wait proper. */
static void waiter_start(Waiter *w)
{
    *w = (Waiter){ .clock.clock = { .now = still_now, .wait = still_wait } };
    w->limit = ratelimit_new(&w->clock.clock, RATE);
    wait_for(w->limit, STEP);
    g_assert_true(thread_start(&w->thread, "waiter", waiter_main, w, NULL));
    while (!__atomic_load_n(&w->clock.waits, __ATOMIC_SEQ_CST)) {
        sched_yield();
    }
}

static void waiter_join(Waiter *w)
{
    thread_join(w->thread);
    ratelimit_free(w->limit);
}

static void test_cancel_wakes(void)
{
    Waiter w;

    waiter_start(&w);
    ratelimit_cancel(w.limit);
    waiter_join(&w);
    g_assert_false(w.ok);
    expect_error(&w.err, MIG_ERROR_CANCELLED, "the migration was cancelled");
}

static void test_change_wakes(void)
{
    static const uint64_t rates[] = { 0, 1, RATE, 2 * RATE };

    for (unsigned i = 0; i < G_N_ELEMENTS(rates); i++) {
        Waiter w;

        waiter_start(&w);
        ratelimit_set(w.limit, rates[i]);
        waiter_join(&w);
        g_assert_no_error(w.err);
        g_assert_true(w.ok);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ratelimit/rate", test_rate_is_kept);
    g_test_add_func("/ratelimit/sizes", test_sizes);
    g_test_add_func("/ratelimit/none", test_no_limit);
    g_test_add_func("/ratelimit/credit", test_credit);
    g_test_add_func("/ratelimit/credit/little", test_little_credit);
    g_test_add_func("/ratelimit/live-change", test_live_change);
    g_test_add_func("/ratelimit/cancelled-before", test_cancelled_before);
    g_test_add_func("/ratelimit/cancel-wakes", test_cancel_wakes);
    g_test_add_func("/ratelimit/change-wakes", test_change_wakes);
    return g_test_run();
}
