/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be asked of a running migration besides to end. */
#include <glib.h>
#include <string.h>

#include "tests/lib/pair.h"

/* A source that has come to a state, seen by its events. */
static void wait_for_state(Pair *pair, MigState state)
{
    MigInfo info;

    do {
        g_thread_yield();
        mig_query(pair->src, &info);
        mig_info_clear(&info);
        g_assert_cmpint(info.state, !=, MIG_STATE_FAILED);
    } while (info.state != state);
}

static Pair *pair_in_pre_switchover(void)
{
    Pair *pair = pair_new();

    pair_set(pair, MIG_OPT_PAUSE_BEFORE_SWITCHOVER, 1);
    pair_start(pair);
    wait_for_state(pair, MIG_STATE_PRE_SWITCHOVER);
    g_assert_false(fake_host_running(pair->src_host));
    return pair;
}

static void test_continue(void)
{
    Pair *pair = pair_in_pre_switchover();
    g_autofree char *states = NULL;
    GError *err = NULL;

    g_assert_false(mig_continue(pair->src, MIG_STATE_DEVICE, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_STATE);
    g_assert_cmpstr(err->message, ==,
                    "Migration not in expected state: pre-switchover");
    g_clear_error(&err);
    g_assert_true(mig_continue(pair->src, MIG_STATE_PRE_SWITCHOVER, &err));
    g_assert_no_error(err);
    pair_assert_moved(pair);
    states = fake_host_states(pair->src_host);
    g_assert_cmpstr(states, ==,
                    "setup,active,pre-switchover,device,completed");
    g_assert_false(mig_continue(pair->src, MIG_STATE_PRE_SWITCHOVER, &err));
    g_assert_cmpstr(err->message, ==,
                    "Migration not in expected state: completed");
    g_clear_error(&err);
    pair_free(pair);
}

static void test_cancel_in_pre_switchover(void)
{
    Pair *pair = pair_in_pre_switchover();

    mig_cancel(pair->src, NULL);
    pair_assert_stayed(pair, MIG_STATE_CANCELLED);
    g_assert_false(mig_continue(pair->src, MIG_STATE_PRE_SWITCHOVER, NULL));
    pair_free(pair);
}

/* Nothing is written in that state: the return path has to tell. */
static void test_destination_leaves_in_pre_switchover(void)
{
    Pair *pair = pair_in_pre_switchover();

    mig_cancel(pair->dst, NULL);
    pair_assert_stayed(pair, MIG_STATE_FAILED);
    pair_free(pair);
}

/* The user writes a lot, and slows down as much as it is told to. */
static bool dirty_by_throttle(FakeHost *host, FakePoint point, unsigned nth,
                              GError **errp)
{
    if (point == FAKE_LOG_COLLECT) {
        unsigned pages = 290 * (100 - host->throttle) / 100;

        if (host->throttle > 70) {
            pages = 0;
        }
        for (unsigned i = 0; i < pages; i++) {
            fake_host_write(host, 0, i, nth * 1000 + i);
        }
    }
    return true;
}

static void run_throttled(bool auto_converge, bool tailslow, unsigned max)
{
    Pair *pair = pair_new();

    pair_set(pair, MIG_OPT_AUTO_CONVERGE, auto_converge);
    pair_set(pair, MIG_OPT_CPU_THROTTLE_TAILSLOW, tailslow);
    pair_set(pair, MIG_OPT_MAX_CPU_THROTTLE, max);
    pair_set(pair, MIG_OPT_THROTTLE_TRIGGER_THRESHOLD, 10);
    pair_set(pair, MIG_OPT_MAX_BANDWIDTH, 4096000);
    pair_set(pair, MIG_OPT_DOWNTIME_LIMIT, 0);
    pair->src_host->hook = dirty_by_throttle;
    pair_start(pair);
    pair_assert_moved(pair);
    /* 20, 30, ... until the guest is slow enough; then given back. */
    g_assert_cmpuint(pair->src_host->throttle_max, >, 70);
    g_assert_cmpuint(pair->src_host->throttle_max, <=, max);
    g_assert_cmpuint(pair->src_host->throttle, ==, 0);
    pair_free(pair);
}

static void test_auto_converge(void)
{
    run_throttled(true, false, 99);
    run_throttled(true, false, 75);
    run_throttled(true, true, 99);
}

/* Without the capability nothing is slowed down. */
static bool dirty_for_a_while(FakeHost *host, FakePoint point, unsigned nth,
                              GError **errp)
{
    if (point == FAKE_LOG_COLLECT && nth < 8) {
        for (unsigned i = 0; i < 290; i++) {
            fake_host_write(host, 0, i, nth * 1000 + i);
        }
    }
    return true;
}

static void test_no_auto_converge(void)
{
    Pair *pair = pair_new();

    pair_set(pair, MIG_OPT_MAX_BANDWIDTH, 4096000);
    pair_set(pair, MIG_OPT_DOWNTIME_LIMIT, 0);
    pair->src_host->hook = dirty_for_a_while;
    pair_start(pair);
    pair_assert_moved(pair);
    g_assert_cmpuint(pair->src_host->throttle_max, ==, 0);
    pair_free(pair);
}

static void test_throttle_ends_with_cancel(void)
{
    Pair *pair = pair_new();
    MigInfo info;

    pair_set(pair, MIG_OPT_AUTO_CONVERGE, 1);
    pair_set(pair, MIG_OPT_MAX_CPU_THROTTLE, 50); /* never enough */
    pair_set(pair, MIG_OPT_MAX_BANDWIDTH, 4096000);
    pair_set(pair, MIG_OPT_DOWNTIME_LIMIT, 0);
    pair->src_host->hook = dirty_by_throttle;
    pair_start(pair);
    do {
        g_thread_yield();
        mig_query(pair->src, &info);
        mig_info_clear(&info);
    } while (info.cpu_throttle < 50);
    mig_cancel(pair->src, NULL);
    pair_assert_stayed(pair, MIG_STATE_CANCELLED);
    g_assert_cmpuint(pair->src_host->throttle, ==, 0);
    pair_free(pair);
}

/* validate-uuid */

static const uint8_t uuid_a[16] = { 1, 2, 3, 4, 5, 6, 7, 8,
                                    9, 10, 11, 12, 13, 14, 15, 16 };
static const uint8_t uuid_b[16] = { 0xff };

static void test_uuid(void)
{
    static const struct {
        const uint8_t *src, *dst;
        bool on, moves;
    } rows[] = {
        { uuid_a, uuid_a, true, true },
        { uuid_a, uuid_b, true, false },
        { uuid_a, uuid_b, false, true },
        { uuid_a, NULL, true, true },
        { NULL, uuid_b, true, true },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Pair *pair = pair_new();
        GError *err = NULL;

        pair_set(pair, MIG_OPT_VALIDATE_UUID, rows[i].on);
        pair->src_calls.uuid = rows[i].src;
        pair->dst_calls.uuid = rows[i].dst;
        pair_start(pair);
        if (rows[i].moves) {
            pair_assert_moved(pair);
        } else {
            pair_assert_stayed(pair, MIG_STATE_FAILED);
            mig_wait(pair->dst, &err);
            g_assert_nonnull(strstr(err->message, "UUID received is "
                             "01020304-0506-0708-090a-0b0c0d0e0f10 and local "
                             "is ff000000-0000-0000-0000-000000000000"));
            g_clear_error(&err);
        }
        pair_free(pair);
    }
}

/* Without return-path the source knows no more than that all was taken. */
static void test_no_return_path(void)
{
    Pair *pair = pair_new();

    pair_set(pair, MIG_OPT_RETURN_PATH, 0);
    pair_start(pair);
    pair_assert_moved(pair);
    pair_free(pair);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/control/pre-switchover/continue", test_continue);
    g_test_add_func("/control/pre-switchover/cancel",
                    test_cancel_in_pre_switchover);
    g_test_add_func("/control/pre-switchover/destination-leaves",
                    test_destination_leaves_in_pre_switchover);
    g_test_add_func("/control/auto-converge/on", test_auto_converge);
    g_test_add_func("/control/auto-converge/off", test_no_auto_converge);
    g_test_add_func("/control/auto-converge/cancel",
                    test_throttle_ends_with_cancel);
    g_test_add_func("/control/uuid", test_uuid);
    g_test_add_func("/control/no-return-path", test_no_return_path);
    return g_test_run();
}
