/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first peer goes on first, and no peer is waited for forever. */
#include "tools/relay/relay-turns.h"
#include "tools/relay/relay-wire.h"
#include "util/clock.h"
#include "util/thread.h"

typedef struct Waiter {
    Turns *turns;
    unsigned number;
    pthread_t thread;
    GAsyncQueue *went_on; /* numbers, in the order in which they did */
} Waiter;

static void *waiter_main(void *opaque)
{
    Waiter *w = opaque;

    turns_wait(w->turns, w->number);
    g_async_queue_push(w->went_on, GUINT_TO_POINTER(w->number));
    turns_leave(w->turns, w->number);
    return NULL;
}

static unsigned next(GAsyncQueue *went_on)
{
    return GPOINTER_TO_UINT(g_async_queue_pop(went_on));
}

/* The last ones ask first. */
static void test_order(void)
{
    enum { COUNT = 4 };
    Turns *turns = turns_new(2);
    GAsyncQueue *went_on = g_async_queue_new();
    Waiter waiter[COUNT];

    for (unsigned i = 0; i < COUNT; i++) {
        waiter[i] = (Waiter){ turns, i + 1, .went_on = went_on };
        turns_enter(turns, i + 1);
    }
    for (unsigned i = COUNT; i-- > 0;) {
        g_assert_true(thread_start(&waiter[i].thread, "test/waiter",
                                   waiter_main, &waiter[i], NULL));
    }
    for (unsigned i = 0; i < COUNT; i++) {
        g_assert_cmpuint(next(went_on), ==, i + 1);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        thread_join(waiter[i].thread);
    }
    g_async_queue_unref(went_on);
    turns_free(turns);
}

static void pass(Turns *turns, unsigned number)
{
    turns_wait(turns, number);
    turns_leave(turns, number);
}

/* A silent peer is waited for once, and not by every later peer. */
static void test_silent(void)
{
    enum { COUNT = 20 };
    Turns *turns = turns_new(2);
    int64_t since;

    for (unsigned i = 0; i <= COUNT; i++) {
        turns_enter(turns, i);
    }
    since = clock_now(&clock_monotonic);
    pass(turns, 1);
    g_assert_cmpint(clock_now(&clock_monotonic) - since, >=, RELAY_TURN_NS);
    for (unsigned i = 2; i <= COUNT; i++) {
        pass(turns, i);
    }
    g_assert_cmpint(clock_now(&clock_monotonic) - since, <,
                    COUNT * RELAY_TURN_NS);
    turns_leave(turns, 0);
    turns_free(turns);
}

/* Those that are known to come are waited for as long as it takes, but only on
 * the same way. */
static void test_begun(void)
{
    static const char here, there;
    Turns *turns = turns_new(2);
    GAsyncQueue *went_on = g_async_queue_new();
    Waiter waiter = { turns, 2, .went_on = went_on };

    for (unsigned i = 0; i < 4; i++) {
        turns_enter(turns, i);
        turns_begin(turns, i, i == 1 ? &there : &here);
    }
    pass(turns, 1); /* not after 0 */
    g_assert_true(thread_start(&waiter.thread, "test/waiter", waiter_main,
                               &waiter, NULL));
    g_assert_null(g_async_queue_timeout_pop(
        went_on, (RELAY_TURN_NS + NS_PER_S / 2) / 1000));
    turns_leave(turns, 0);
    g_assert_cmpuint(next(went_on), ==, 2);
    thread_join(waiter.thread);
    pass(turns, 3);
    g_async_queue_unref(went_on);
    turns_free(turns);
}

/* The only place is never free again. */
static void test_places(void)
{
    Turns *one = turns_new(1), *two = turns_new(2);

    g_assert_true(turns_claim(one));
    g_assert_false(turns_claim(one));
    turns_give_back(one);
    g_assert_false(turns_claim(one));
    g_assert_true(turns_claim(two));
    g_assert_true(turns_claim(two));
    g_assert_false(turns_claim(two));
    turns_give_back(two);
    g_assert_true(turns_claim(two));
    g_assert_false(turns_claim(two));
    turns_free(one);
    turns_free(two);
}

static bool is_live(Turns *turns)
{
    g_autoptr(GCancellable) live = turns_live(turns);

    return g_cancellable_is_cancelled(live);
}

static void test_live(void)
{
    Turns *turns = turns_new(2);
    g_autoptr(GCancellable) waiting = turns_live(turns);

    g_assert_false(is_live(turns));
    turns_begin_live(turns);
    g_assert_true(g_cancellable_is_cancelled(waiting));
    turns_begin_live(turns);
    turns_end_live(turns);
    g_assert_true(is_live(turns));
    turns_end_live(turns);
    g_assert_false(is_live(turns));
    turns_free(turns);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/turns/order", test_order);
    g_test_add_func("/relay/turns/silent", test_silent);
    g_test_add_func("/relay/turns/begun", test_begun);
    g_test_add_func("/relay/turns/places", test_places);
    g_test_add_func("/relay/turns/live", test_live);
    return g_test_run();
}
