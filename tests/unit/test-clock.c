/* SPDX-License-Identifier: GPL-2.0-or-later */
/* util/clock.h: the monotonic clock. */
#include "util/clock.h"

#include <glib.h>
#include <time.h>

#include "util/thread.h"

static void test_now(void)
{
    struct timespec before, after;
    int64_t now;

    clock_gettime(CLOCK_MONOTONIC, &before);
    now = clock_now(&clock_monotonic);
    clock_gettime(CLOCK_MONOTONIC, &after);
    g_assert_cmpint(now, >=, before.tv_sec * NS_PER_S + before.tv_nsec);
    g_assert_cmpint(now, <=, after.tv_sec * NS_PER_S + after.tv_nsec);
}

typedef struct Waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool flag; /* lock */
} Waiter;

static void waiter_init(Waiter *w)
{
    pthread_mutex_init(&w->lock, NULL);
    thread_cond_init(&w->cond);
    w->flag = false;
}

static void waiter_destroy(Waiter *w)
{
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->lock);
}

/* The deadline is of the clock that now() reads, and is kept. */
static void test_wait_until_deadline(void)
{
    int64_t deadline = clock_now(&clock_monotonic) + 2 * NS_PER_MS;
    Waiter w;

    waiter_init(&w);
    pthread_mutex_lock(&w.lock);
    while (clock_now(&clock_monotonic) < deadline) {
        clock_monotonic.wait(&clock_monotonic, &w.cond, &w.lock, deadline);
    }
    pthread_mutex_unlock(&w.lock);
    g_assert_cmpint(clock_now(&clock_monotonic), >=, deadline);
    waiter_destroy(&w);
}

static void test_deadline_in_the_past(void)
{
    Waiter w;

    waiter_init(&w);
    pthread_mutex_lock(&w.lock);
    clock_monotonic.wait(&clock_monotonic, &w.cond, &w.lock, 0);
    pthread_mutex_unlock(&w.lock);
    waiter_destroy(&w);
}

static void *signal_main(void *arg)
{
    Waiter *w = arg;

    pthread_mutex_lock(&w->lock);
    w->flag = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* A signal ends the wait; were it lost, this would hang. */
static void test_wait_is_signalled(void)
{
    int64_t far = clock_now(&clock_monotonic) + 100000 * NS_PER_S;
    pthread_t thread;
    Waiter w;

    waiter_init(&w);
    pthread_mutex_lock(&w.lock);
    g_assert_true(thread_start(&thread, "signal", signal_main, &w, NULL));
    while (!w.flag) {
        clock_monotonic.wait(&clock_monotonic, &w.cond, &w.lock, far);
    }
    pthread_mutex_unlock(&w.lock);
    thread_join(thread);
    waiter_destroy(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/clock/now", test_now);
    g_test_add_func("/clock/wait/deadline", test_wait_until_deadline);
    g_test_add_func("/clock/wait/past", test_deadline_in_the_past);
    g_test_add_func("/clock/wait/signalled", test_wait_is_signalled);
    return g_test_run();
}
