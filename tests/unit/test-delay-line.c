/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tests/lib/delay-line.h: when packets arrive over a thin, long link. */
#include "../lib/delay-line.h"

#include <glib.h>

#include "util/clock.h"

#define START (1000 * NS_PER_S)

/* A packet of 1000 bytes takes a millisecond; three may wait. */
static DelayLine line_of(int64_t delay)
{
    return (DelayLine){ .bytes_per_ns = 1e-3, .delay = delay, .queue = 3000 };
}

static int64_t take(DelayLine *line, int64_t at_us)
{
    int64_t due;

    return delay_line_take(line, START + at_us * 1000, 1000, &due)
               ? (due - START) / 1000 : -1;
}

static void test_delay(void)
{
    DelayLine line = line_of(50 * NS_PER_MS);

    line.free_at = START;
    g_assert_cmpint(take(&line, 0), ==, 51000);
    g_assert_cmpint(take(&line, 10000), ==, 60000);
    g_assert_cmpint(take(&line, 16000), ==, 66000);
}

/* However it is offered, no more than the rate goes through. */
static void test_rate(void)
{
    DelayLine line = line_of(0);
    unsigned taken = 0;
    int64_t due = 0;

    line.free_at = START;
    for (int64_t us = 0; us < 1000000; us += 100) {
        int64_t at = take(&line, us);

        if (at >= 0) {
            g_assert_cmpint(at, ==, due + 1000);
            due = at;
            taken++;
        }
    }
    g_assert_cmpuint(taken, >=, 1000);
    g_assert_cmpuint(taken, <=, 1004);
}

/* What finds no room is lost, and there is room again when one has gone. */
static void test_queue(void)
{
    DelayLine line = line_of(0);

    line.free_at = START;
    for (int i = 1; i <= 4; i++) {
        g_assert_cmpint(take(&line, 0), ==, 1000 * i);
    }
    g_assert_cmpint(take(&line, 0), ==, -1);
    g_assert_cmpint(take(&line, 999), ==, -1);
    g_assert_cmpint(take(&line, 1000), ==, 5000);
}

/* A driver that comes late has not lost the wire's time, up to 5 ms. */
static void test_credit(void)
{
    DelayLine line = line_of(0);

    line.free_at = START;
    for (int i = 0; i < 5; i++) {
        g_assert_cmpint(take(&line, 20000), ==, 20000);
    }
    g_assert_cmpint(take(&line, 20000), ==, 21000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/delay-line/delay", test_delay);
    g_test_add_func("/delay-line/rate", test_rate);
    g_test_add_func("/delay-line/queue", test_queue);
    g_test_add_func("/delay-line/credit", test_credit);
    return g_test_run();
}
