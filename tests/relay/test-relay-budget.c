/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/hand-clock.h"
#include "tools/relay/relay-budget.h"
#include "util/thread.h"

static void test_memory(void)
{
    const BudgetConfig config = { .memory = 1000, .clock = &clock_monotonic };
    Budget *budget = budget_new(&config);
    BudgetUser *a = budget_join(budget), *b = budget_join(budget);

    g_assert_cmpuint(budget_promise(a, 6, 100), ==, 6);
    g_assert_cmpuint(budget_promise(b, 6, 100), ==, 4);
    g_assert_cmpuint(budget_promise(b, 2, 100), ==, 2);
    g_assert_cmpuint(budget_promise(a, 100, 100), ==, 8);
    budget_leave(a);
    g_assert_cmpuint(budget_promise(b, 1000, 300), ==, 3);
    budget_leave(b);
    budget_free(budget);
}

static void test_line(void)
{
    const BudgetConfig config = { .memory = 1000, .clock = &clock_monotonic };
    Budget *budget = budget_new(&config);
    BudgetUser *a = budget_join(budget), *b = budget_join(budget);

    g_assert_cmpuint(budget_promise_line(a, 10, 2000), ==, 250);
    g_assert_cmpuint(budget_promise(a, 1000, 1), ==, 750);
    /* The least there always is. */
    g_assert_cmpuint(budget_promise_line(b, 10, 2000), ==, 10);
    g_assert_cmpuint(budget_promise(b, 1000, 1), ==, 0);
    budget_leave(a);
    g_assert_cmpuint(budget_promise_line(b, 10, 100), ==, 100);
    g_assert_cmpuint(budget_promise(b, 1000, 1), ==, 900);
    budget_leave(b);
    budget_free(budget);
}

/* By a caller that cannot wait. */
static void test_pace_later(void)
{
    const BudgetConfig config = { .rate = 10, .clock = &clock_monotonic };
    Budget *budget = budget_new(&config);
    BudgetUser *user = budget_join(budget);
    int64_t wait;

    g_assert_cmpint(budget_pace_later(user, 100), ==, 0);
    wait = budget_pace_later(user, 1);
    g_assert_cmpint(wait, >, 0);
    g_assert_cmpint(wait, <=, 10 * NS_PER_S);
    budget_leave(user);
    budget_free(budget);
}

static void test_no_limits(void)
{
    const BudgetConfig config = { .clock = &clock_monotonic };
    Budget *budget = budget_new(&config);
    BudgetUser *user = budget_join(budget);

    g_assert_cmpuint(budget_promise(user, 1u << 31, 1u << 20), ==, 1u << 31);
    for (unsigned i = 0; i < 1000; i++) {
        budget_pace(user, SIZE_MAX / 2);
    }
    budget_leave(user);
    budget_free(budget);
}

typedef struct Writer {
    BudgetUser *user;
    int written;  /* atomic */
    pthread_t thread;
} Writer;

static void *write_twice(void *opaque)
{
    Writer *writer = opaque;

    for (unsigned i = 0; i < 2; i++) {
        budget_pace(writer->user, 1000);
        g_atomic_int_inc(&writer->written);
    }
    return NULL;
}

/* The first write goes at once, and the second one when the first has had its
 * time: a second, for one that writes alone at 1000 bytes a second. */
static void check_pace(Budget *budget, HandClock *hand, int64_t takes)
{
    Writer writer = { budget_join(budget), 0, 0 };

    g_assert_true(thread_start(&writer.thread, "test/write", write_twice,
                               &writer, NULL));
    hand_clock_advance_idle(hand, takes - NS_PER_MS);
    g_assert_cmpint(g_atomic_int_get(&writer.written), ==, 1);
    hand_clock_advance(hand, NS_PER_MS);
    thread_join(writer.thread);
    g_assert_cmpint(g_atomic_int_get(&writer.written), ==, 2);
    budget_leave(writer.user);
}

/* How long a write takes beside one that has written so long ago; 0: never. */
static void test_rate(const void *row)
{
    const struct {
        int64_t ago, takes;
    } rows[] = {
        { 0, NS_PER_S },
        { 1, 2 * NS_PER_S },
        { BUDGET_LATELY_NS - 1, 2 * NS_PER_S },
        { BUDGET_LATELY_NS, NS_PER_S },
    };
    unsigned i = GPOINTER_TO_UINT(row);
    BudgetConfig config = { .rate = 1000 };
    BudgetUser *other;
    Budget *budget;
    HandClock hand;

    hand_clock_init(&hand);
    config.clock = &hand.clock;
    budget = budget_new(&config);
    other = budget_join(budget);
    if (rows[i].ago) {
        budget_pace(other, 1);
        hand_clock_advance(&hand, rows[i].ago);
    }
    check_pace(budget, &hand, rows[i].takes);
    budget_leave(other);
    budget_free(budget);
    hand_clock_destroy(&hand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/budget/memory", test_memory);
    g_test_add_func("/budget/line", test_line);
    g_test_add_func("/budget/pace-later", test_pace_later);
    g_test_add_func("/budget/no-limits", test_no_limits);
    for (unsigned i = 0; i < 4; i++) {
        g_autofree char *path = g_strdup_printf("/budget/rate/%u", i);

        g_test_add_data_func(path, GUINT_TO_POINTER(i), test_rate);
    }
    return g_test_run();
}
