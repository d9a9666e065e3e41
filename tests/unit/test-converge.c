/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/converge.h: the decision, as a table. */
#include "migration/converge.h"

#include <glib.h>
#include <math.h>

typedef struct Row {
    ConvergeInput in;
    bool switch_over;
    int64_t expected_ms;
    int64_t floor_ms; /* of that; 0 or -1: not looked at */
    bool drain;       /* the queue is waited for instead */
} Row;

/* Bytes per page and per second that make arithmetic easy: at 1000 bytes a
 * page and 1 MB/s, a page takes a millisecond. */
static const Row rows[] = {
    /* nothing dirty: at once, for all other values */
    { { 0, 1000, 1e6, 0, 300 }, true, 0 },
    { { 0, 1000, 1e6, 0, 0 }, true, 0 },
    { { 0, 1000, 0, 0, 300 }, true, 0 },
    { { 0, 0, 0, 0, 0 }, true, 0 },
    { { 0, 4104, 1e9, 1, 0 }, true, 0 },
    { { 0, 4104, -1, 1, 0 }, true, 0 },

    /* the rate is not known: never */
    { { 1, 1000, 0, 0, 300 }, false, -1 },
    { { 1, 1000, 0, 1000000, 300 }, false, -1 },
    { { 1, 1000, 0, 0, 2000000 }, false, -1 },
    { { 1, 1000, -1, 0, 300 }, false, -1 },
    { { UINT64_MAX, 1000, 0, 0, 300 }, false, -1 },

    /* around the limit */
    { { 1, 1000, 1e6, 0, 300 }, true, 1 },
    { { 299, 1000, 1e6, 0, 300 }, true, 299 },
    { { 300, 1000, 1e6, 0, 300 }, true, 300 },
    { { 301, 1000, 1e6, 0, 300 }, false, 301 },
    { { 3000, 1000, 1e6, 0, 300 }, false, 3000 },
    { { 3000, 1000, 1e7, 0, 300 }, true, 300 },
    { { 3001, 1000, 1e7, 0, 300 }, false, 300 },
    { { 2000000, 1000, 1e6, 0, 2000000 }, true, 2000000 },
    { { 2000001, 1000, 1e6, 0, 2000000 }, false, 2000001 },

    /* a limit of nothing: only when nothing is dirty */
    { { 1, 1000, 1e6, 0, 0 }, false, 1 },
    { { 1, 1000, 1e9, 0, 0 }, false, 0 },
    { { 1, 1, 1e12, 0, 0 }, false, 0 },

    /* parts of a millisecond count, and are not shown */
    { { 1, 1000, 1e7, 0, 1 }, true, 0 },
    { { 15, 1000, 1e7, 0, 1 }, false, 1 },
    { { 19, 1000, 1e7, 0, 2 }, true, 1 },
    { { 20, 1000, 1e7, 0, 2 }, true, 2 },
    { { 21, 1000, 1e7, 0, 2 }, false, 2 },

    /* compressed pages take less of it */
    { { 1000, 4104, 4.104e6, 0, 300 }, false, 1000 },
    { { 1000, 1026, 4.104e6, 0, 300 }, true, 250 },
    { { 1000, 513, 4.104e6, 0, 124 }, false, 125 },
    { { 1000, 513, 4.104e6, 0, 125 }, true, 125 },
    { { 1000000, 9, 1e8, 0, 300 }, true, 90 },
    { { 1000000, 9, 1e7, 0, 300 }, false, 900 },
    { { 1000000, 0, 1e7, 0, 0 }, true, 0 },

    /* max-bandwidth above the measured rate changes nothing */
    { { 300, 1000, 1e6, 1000000, 300 }, true, 300 },
    { { 300, 1000, 1e6, 2000000, 300 }, true, 300 },
    { { 301, 1000, 1e6, 2000000, 300 }, false, 301 },
    { { 300, 1000, 1e6, INT64_MAX, 300 }, true, 300 },
    { { 300, 1000, 1e6, UINT64_MAX, 300 }, true, 300 },

    /* below it, it is the rate */
    { { 300, 1000, 1e6, 999999, 300 }, false, 300 },
    { { 300, 1000, 1e6, 500000, 300 }, false, 600 },
    { { 150, 1000, 1e6, 500000, 300 }, true, 300 },
    { { 151, 1000, 1e6, 500000, 300 }, false, 302 },
    { { 300, 1000, 1e9, 1000000, 300 }, true, 300 },
    { { 301, 1000, 1e9, 1000000, 300 }, false, 301 },
    { { 1, 1000, 1e6, 1, 300 }, false, 1000000 },
    { { 1, 1, 1e6, 1, 1000 }, true, 1000 },

    /* within the limit, and each pass halves it: go on, down to 20 ms */
    { { 200, 1000, 1e6, 0, 300, INFINITY }, false, 200 },
    { { 200, 1000, 1e6, 0, 300, 1e9 }, false, 200 },
    { { 200, 1000, 1e6, 0, 300, 400 }, false, 200 },
    { { 200, 1000, 1e6, 0, 300, 399 }, true, 200 },
    { { 200, 1000, 1e6, 0, 300, 100 }, true, 200 },
    { { 21, 1000, 1e6, 0, 300, INFINITY }, false, 21 },
    { { 20, 1000, 1e6, 0, 300, INFINITY }, true, 20 },
    { { 0, 1000, 1e6, 0, 300, INFINITY }, true, 0 },
    { { 301, 1000, 1e6, 0, 300, 300 }, false, 301 },

    /* what is queued comes before the rest: at 1 MB/s, 1000 bytes a ms */
    { { 100, 1000, 1e6, 0, 300, 0, 100000 }, true, 200, 100 },
    { { 200, 1000, 1e6, 0, 300, 0, 100000 }, true, 300, 100 },
    { { 201, 1000, 1e6, 0, 300, 201, 100000 }, false, 301, 100, true },
    { { 201, 1000, 1e6, 0, 300, 300, 100000 }, false, 301, 100 },
    { { 300, 1000, 1e6, 0, 300, INFINITY, 100000 }, false, 400, 100 },
    { { 0, 1000, 1e6, 0, 300, INFINITY, 100000 }, true, 100, 100 },
    /* and at the rate of max-bandwidth, where that is lower */
    { { 100, 1000, 1e6, 500000, 300, 0, 50000 }, true, 300, 100 },

    /* the hand-over: 1.5 round trips with GO, half of one without */
    { { 100, 1000, 1e6, 0, 300, 0, 0, 100, true }, true, 250, 150 },
    { { 150, 1000, 1e6, 0, 300, 0, 0, 100, true }, true, 300, 150 },
    { { 151, 1000, 1e6, 0, 300, 200, 0, 100, true }, false, 301, 150 },
    { { 250, 1000, 1e6, 0, 300, 0, 0, 100, false }, true, 300, 50 },
    { { 251, 1000, 1e6, 0, 300, 300, 0, 100, false }, false, 301, 50 },
    /* a queue on its way during the first of them costs nothing more */
    { { 100, 1000, 1e6, 0, 300, 0, 100000, 100, true }, true, 250, 150 },
    { { 100, 1000, 1e6, 0, 300, 0, 120000, 100, true }, true, 270, 170 },
    { { 100, 1000, 1e6, 0, 300, 0, 120000, 100, false }, true, 170, 70 },
    { { 0, 1000, 0, 0, 300, INFINITY, 120000, 100, true }, false, -1, -1,
      true },

    /* a floor above the limit leaves 20 ms, or the limit */
    { { 20, 1000, 1e6, 0, 300, INFINITY, 0, 400, true }, true, 620, 600 },
    { { 21, 1000, 1e6, 0, 300, INFINITY, 0, 400, true }, false, 621, 600 },
    { { 21, 1000, 1e6, 0, 300, 100, 0, 400, true }, false, 621, 600 },
    { { 20, 1000, 1e6, 0, 160, 21, 0, 100, true }, true, 170, 150 },
    { { 5, 1000, 1e6, 0, 5, 6, 0, 100, true }, true, 155, 150 },
    { { 6, 1000, 1e6, 0, 5, 6, 0, 100, true }, false, 156, 150 },
    { { 1, 1000, 1e6, 0, 0, 1, 0, 100, true }, false, 151, 150 },

    /* but it does not keep a migration from ending that no pass gets on */
    { { 300, 1000, 1e6, 0, 300, 300, 0, 400, true }, true, 900, 600 },
    { { 300, 1000, 1e6, 0, 300, 200, 0, 400, true }, true, 900, 600 },
    { { 271, 1000, 1e6, 0, 300, 300, 0, 400, true }, true, 871, 600 },
    { { 270, 1000, 1e6, 0, 300, 300, 0, 400, true }, false, 870, 600 },
    { { 301, 1000, 1e6, 0, 300, 301, 0, 400, true }, false, 901, 600 },

    /* numbers that only a broken host makes */
    { { 1, 1000, 1e6, 0, 300, 0, UINT64_MAX }, false, 18446744073709552, -1,
      true },
    { { UINT64_MAX, 4104, 1, 0, 2000000 }, false, INT64_MAX },
    { { UINT64_MAX, 1e300, 1e-300, 0, 2000000 }, false, INT64_MAX },
    { { UINT64_MAX, 4104, 1e30, 0, 300 }, true, 0 },
    { { 1, 1000, 1e6, 0, UINT64_MAX }, true, 1 },
};

static void test_rows(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        ConvergeDecision got = converge_decide(&rows[i].in);

        if (got.switch_over != rows[i].switch_over ||
            (got.drain_ms > 0) != rows[i].drain ||
            got.expected_downtime_ms != rows[i].expected_ms ||
            (rows[i].floor_ms > 0 && got.floor_ms != rows[i].floor_ms)) {
            g_error("row %u: %d, %" G_GINT64_FORMAT " ms, of which %"
                    G_GINT64_FORMAT, i, got.switch_over,
                    got.expected_downtime_ms, got.floor_ms);
        }
    }
}

/* A queue that would make the downtime longer than the limit goes out first. */
static void test_drain(void)
{
    /* At 1 MB/s: 10 ms of rest, 500 of queue, 100 of which cost nothing. */
    ConvergeInput in = {
        .dirty_pages = 10, .bytes_per_page = 1000, .bytes_per_second = 1e6,
        .downtime_limit_ms = 300, .least_ms = INFINITY, .queued = 500000,
        .round_trip_ms = 100, .waits_for_go = true,
    };
    ConvergeDecision got = converge_decide(&in);

    g_assert_false(got.switch_over);
    g_assert_cmpfloat(got.drain_ms, ==, 400);
    g_assert_cmpfloat(got.drain_to, ==, 100000);
    g_assert_cmpint(got.expected_downtime_ms, ==, 560);

    in.downtime_limit_ms = 560; /* it is within the limit */
    g_assert_true(converge_decide(&in).switch_over);
    g_assert_cmpfloat(converge_decide(&in).drain_ms, ==, 0);
    in.downtime_limit_ms = 559;
    g_assert_cmpfloat(converge_decide(&in).drain_ms, ==, 400);

    in.downtime_limit_ms = 1; /* no drain makes a round trip shorter */
    in.dirty_pages = 0;
    in.queued = 120000;
    g_assert_true(converge_decide(&in).switch_over);
    in.queued = 121000;
    g_assert_cmpfloat(converge_decide(&in).drain_ms, ==, 21);

    in.downtime_limit_ms = 300; /* a rest that does not fit: another pass */
    in.dirty_pages = 301;
    in.queued = 500000;
    got = converge_decide(&in);
    g_assert_false(got.switch_over);
    g_assert_cmpfloat(got.drain_ms, ==, 0);

    in.dirty_pages = 0; /* nothing arrives: only then nothing is known */
    in.bytes_per_second = 0;
    got = converge_decide(&in);
    g_assert_false(got.switch_over);
    g_assert_cmpfloat(got.drain_ms, ==, 1000);
    g_assert_cmpfloat(got.drain_to, ==, 0);
    in.dirty_pages = 1;
    got = converge_decide(&in);
    g_assert_false(got.switch_over);
    g_assert_cmpfloat(got.drain_ms, ==, 0);
    in.dirty_pages = 0;
    in.drains = 2;
    g_assert_true(converge_decide(&in).switch_over);
    in.drains = 0;
    in.queued = 0;
    g_assert_true(converge_decide(&in).switch_over);
    in.queued = 500000;
    in.bytes_per_second = 1e6;

    in.dirty_pages = 10; /* the queue does not get shorter */
    in.drains = 1;
    g_assert_cmpfloat(converge_decide(&in).drain_ms, ==, 400);
    in.drains = 2;
    g_assert_true(converge_decide(&in).switch_over);
}

/* While the queue went out the guest has written. */
static void test_drained(void)
{
    /* 150 ms of the limit are left for the rest. */
    ConvergeInput in = {
        .bytes_per_page = 1000, .bytes_per_second = 1e6,
        .downtime_limit_ms = 300, .least_ms = 10, .round_trip_ms = 100,
        .waits_for_go = true, .drains = 1, .drained = true,
    };

    in.dirty_pages = 150;
    g_assert_true(converge_decide(&in).switch_over);
    in.dirty_pages = 151;
    g_assert_false(converge_decide(&in).switch_over);
    in.drained = false; /* a pass, and the rest is the same */
    g_assert_true(converge_decide(&in).switch_over);
}

/* More dirty pages never make it switch over earlier, nor look shorter. */
static void test_monotonic(void)
{
    ConvergeInput in = {
        .bytes_per_page = 1234.5, .bytes_per_second = 3e6,
        .max_bandwidth = 2500000, .downtime_limit_ms = 300,
    };
    ConvergeDecision before = converge_decide(&in);

    for (in.dirty_pages = 1; in.dirty_pages < 5000; in.dirty_pages++) {
        ConvergeDecision now = converge_decide(&in);

        g_assert_true(before.switch_over || !now.switch_over);
        g_assert_cmpint(now.expected_downtime_ms, >=,
                        before.expected_downtime_ms);
        before = now;
    }
    g_assert_false(before.switch_over);
}

/* converge_throttle(): threshold 50, initial 20, increment 10. */
static void test_throttle(void)
{
    static const struct {
        uint64_t dirtied, sent;
        unsigned high_passes, percent, max;
        bool tailslow;
        unsigned then_high, then_percent;
    } steps[] = {
        /* below the threshold, and just at it: as it was */
        { 0, 0, 0, 0, 99, false, 0, 0 },
        { 10, 100, 0, 0, 99, false, 0, 0 },
        { 50, 100, 1, 0, 99, false, 1, 0 },
        { 50, 100, 1, 30, 99, false, 1, 30 },
        /* the first pass above it only counts */
        { 51, 100, 0, 0, 99, false, 1, 0 },
        { 900, 100, 0, 40, 99, false, 1, 40 },
        { 1, 0, 0, 0, 99, false, 1, 0 },
        /* the second takes a step */
        { 51, 100, 1, 0, 99, false, 0, 20 },
        { 51, 100, 1, 20, 99, false, 0, 30 },
        { 900, 100, 1, 90, 99, false, 0, 99 },
        { 900, 100, 1, 99, 99, false, 0, 99 },
        { 900, 100, 1, 0, 15, false, 0, 15 },
        { 900, 100, 1, 20, 25, false, 0, 25 },
        /* tailslow: the first step is the same, later ones fit the need */
        { 900, 100, 1, 0, 99, true, 0, 20 },
        { 900, 100, 1, 20, 99, true, 0, 30 },
        { 53, 100, 1, 20, 99, true, 0, 25 },
        { 51, 100, 1, 50, 99, true, 0, 51 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        ThrottleInput in = {
            .dirtied_bytes = steps[i].dirtied,
            .sent_bytes = steps[i].sent,
            .threshold = 50,
            .high_passes = steps[i].high_passes,
            .percent = steps[i].percent,
            .initial = 20,
            .increment = 10,
            .max = steps[i].max,
            .tailslow = steps[i].tailslow,
        };
        ThrottleDecision out = converge_throttle(&in);

        g_test_message("row %u", i);
        g_assert_cmpuint(out.high_passes, ==, steps[i].then_high);
        g_assert_cmpuint(out.percent, ==, steps[i].then_percent);
    }
}

/* Guests whose dirty pages differ from pass to pass, over a link whose floor is
 * the whole limit: each ends, and soon. */
static void test_sequences(void)
{
    static const uint64_t dirty[][4] = {
        { 400, 250, 400, 250 }, { 250, 400, 400, 400 }, { 299, 301, 301, 301 },
        { 300, 250, 200, 150 }, { 400, 390, 250, 240 }, { 900, 30, 900, 30 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(dirty); i++) {
        double least = INFINITY;
        unsigned pass = 0;
        ConvergeDecision decision;

        do {
            const ConvergeInput in = {
                .dirty_pages = dirty[i][pass % 4],
                .bytes_per_page = 1000, .bytes_per_second = 1e6,
                .downtime_limit_ms = 300, .round_trip_ms = 200,
                .waits_for_go = true, .least_ms = least,
            };

            decision = converge_decide(&in);
            g_assert_cmpint(decision.floor_ms, ==, 300);
            least = MIN(least, decision.rest_ms);
            g_assert_cmpuint(pass++, <, 8);
        } while (!decision.switch_over);
        g_assert_cmpfloat(decision.rest_ms, <=, 300);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/converge/rows", test_rows);
    g_test_add_func("/converge/sequences", test_sequences);
    g_test_add_func("/converge/drain", test_drain);
    g_test_add_func("/converge/drained", test_drained);
    g_test_add_func("/converge/monotonic", test_monotonic);
    g_test_add_func("/converge/throttle", test_throttle);
    return g_test_run();
}
