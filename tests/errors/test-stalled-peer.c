/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A destination that is there and does nothing: the source gives it up after
 * stall-timeout, by a clock that the test moves; and does not where the wait
 * is its own, or giving up would be wrong.
 */
#include <sched.h>
#include <string.h>

#include "migration/internal.h"
#include "tests/lib/bare-peer.h"
#include "tests/lib/hand-clock.h"
#include "tests/lib/pair.h"
#include "tests/lib/watchdog.h"

#define LIMIT 60 /* seconds */

typedef struct World {
    Pair *pair;
    HandClock hand;
    IoChannel *peer; /* the source's other end */
    Watchdog *dog;
} World;

static void world_init(World *world, const uint64_t pages[2])
{
    Pair *pair = pair_new_sized(pages);

    world->dog = watchdog_new();
    world->pair = pair;
    hand_clock_init(&world->hand);
    pair->src = mig_new(&fake_mig_host, pair->src_host, &pair->options);
}

static void world_start(World *world)
{
    Migration *m = world->pair->src;
    IoChannel *ends[2];

    stall_free(m->stall);
    m->stall = stall_new(&world->hand.clock, LIMIT);
    g_assert_true(io_channel_pair(ends, NULL));
    world->peer = ends[1];
    g_assert_true(mig_send(m, ends[0], NULL));
}

static void world_destroy(World *world)
{
    pair_free(world->pair);
    io_channel_free(world->peer);
    hand_clock_destroy(&world->hand);
    watchdog_free(world->dog);
}

static void say(World *world, const uint8_t *message)
{
    g_assert_true(io_channel_writev(world->peer,
                                    &(GOutputVector){ message, 8 }, 1, NULL));
}

/* Read until these bytes have come. */
static void hear(World *world, const char *what, size_t size)
{
    g_autoptr(GByteArray) got = g_byte_array_new();
    uint8_t buf[4096];
    size_t nread;

    do {
        g_assert_true(io_channel_read(world->peer, buf, sizeof(buf), &nread,
                                      NULL));
        g_assert_cmpuint(nread, >, 0);
        g_byte_array_append(got, buf, (guint)nread);
    } while (!memmem(got->data, got->len, what, size));
}

/* The description's last member has come. */
static void hear_all(World *world)
{
    hear(world, "fifo", 4);
}

static bool has_stalled(World *world)
{
    return stall_found(world->pair->src->stall, NULL);
}

static MigState state_of(Migration *m)
{
    MigInfo info;

    mig_query(m, &info);
    mig_info_clear(&info);
    return info.state;
}

static void expect_stall(World *world)
{
    Pair *pair = world->pair;
    GError *err = NULL;

    /* What the source waits for it does not get: time only has to pass. */
    while (!has_stalled(world)) {
        hand_clock_advance(&world->hand, LIMIT * NS_PER_S);
        sched_yield();
    }
    g_assert_false(mig_wait(pair->src, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_PEER);
    g_assert_nonnull(strstr(err->message, "nothing for 60 seconds"));
    g_error_free(err);
    g_assert_true(fake_host_running(pair->src_host));
    g_assert_false(pair->src_host->logging);
    world_destroy(world);
}

static const uint64_t small[] = { 5, 2 };

static void test_no_answer(void)
{
    World world;

    world_init(&world, small);
    world_start(&world);
    expect_stall(&world);
}

/* More than a socket takes. */
static void test_not_reading(void)
{
    static const uint64_t large[] = { 3000, 1000 };
    World world;

    world_init(&world, large);
    world_start(&world);
    say(&world, peer_waits_for_go);
    say(&world, peer_pong);
    expect_stall(&world);
}

static void test_no_shut(void)
{
    World world;

    world_init(&world, small);
    world_start(&world);
    say(&world, peer_waits_for_go);
    say(&world, peer_pong);
    hear_all(&world);
    expect_stall(&world);
}

/* One that takes the guest over without GO may have done so. */
static void test_no_shut_of_other(void)
{
    World world;

    world_init(&world, small);
    world_start(&world);
    say(&world, peer_pong);
    hear_all(&world);
    hand_clock_advance_idle(&world.hand, 10 * LIMIT * NS_PER_S);
    g_assert_false(has_stalled(&world));
    say(&world, peer_shut_0);
    g_assert_true(mig_wait(world.pair->src, NULL));
    g_assert_false(fake_host_running(world.pair->src_host));
    world_destroy(&world);
}

/* Somebody thinks before the switch-over. */
static void test_pause(void)
{
    World world;
    Migration *m;

    world_init(&world, small);
    m = world.pair->src;
    m->options.value[MIG_OPT_PAUSE_BEFORE_SWITCHOVER] = true;
    world_start(&world);
    say(&world, peer_waits_for_go);
    say(&world, peer_pong);
    while (state_of(m) != MIG_STATE_PRE_SWITCHOVER) {
        sched_yield();
    }
    hand_clock_advance_idle(&world.hand, 10 * LIMIT * NS_PER_S);
    g_assert_false(has_stalled(&world));
    g_assert_true(mig_continue(m, MIG_STATE_PRE_SWITCHOVER, NULL));
    hear_all(&world);
    say(&world, peer_shut_0);
    g_assert_true(mig_wait(m, NULL));
    world_destroy(&world);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stalled-peer/no-answer", test_no_answer);
    g_test_add_func("/stalled-peer/not-reading", test_not_reading);
    g_test_add_func("/stalled-peer/no-shut", test_no_shut);
    g_test_add_func("/stalled-peer/no-shut/of-other", test_no_shut_of_other);
    g_test_add_func("/stalled-peer/pause", test_pause);
    return g_test_run();
}
