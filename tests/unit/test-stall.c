/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/stall.h: which waits are too long. */
#include "migration/stall.h"

#include "tests/lib/expect-error.h"
#include "tests/lib/gate.h"
#include "tests/lib/hand-clock.h"

#define LIMIT 5 /* seconds */

typedef struct World {
    HandClock hand;
    Gate stalled;
    Stall *stall;
} World;

static bool note(void *opaque)
{
    gate_reach(opaque);
    return true;
}

static void world_init(World *world, uint64_t seconds)
{
    hand_clock_init(&world->hand);
    gate_init(&world->stalled);
    world->stall = stall_new(&world->hand.clock, seconds);
    g_assert_true(stall_start(world->stall, note, &world->stalled, NULL));
}

static void world_destroy(World *world)
{
    stall_stop(world->stall);
    stall_free(world->stall);
    gate_destroy(&world->stalled);
    hand_clock_destroy(&world->hand);
}

static void expect_stall(World *world, const char *text)
{
    GError *err = NULL;

    gate_await(&world->stalled);
    g_assert_true(stall_found(world->stall, &err));
    expect_error(&err, MIG_ERROR_PEER, text);
    world_destroy(world);
}

static void expect_none(World *world)
{
    g_assert_false(stall_found(world->stall, NULL));
    world_destroy(world);
}

static void test_too_long(void)
{
    World world;

    world_init(&world, LIMIT);
    hand_clock_advance_idle(&world.hand, 3 * NS_PER_S);
    stall_wait(world.stall, true);
    hand_clock_advance_idle(&world.hand, LIMIT * NS_PER_S - 1);
    g_assert_false(stall_found(world.stall, NULL));
    hand_clock_advance(&world.hand, 1);
    expect_stall(&world, "taken and said nothing for 5 seconds");
}

/* Many waits, none of them long. */
static void test_progress(void)
{
    World world;

    world_init(&world, LIMIT);
    for (unsigned i = 0; i < 10; i++) {
        stall_wait(world.stall, true);
        hand_clock_advance_idle(&world.hand, LIMIT * NS_PER_S - 1);
        stall_wait(world.stall, false);
    }
    expect_none(&world);
}

/* A long wait in which the peer shows now and then that it is at work. */
static void test_put_off(void)
{
    World world;

    world_init(&world, LIMIT);
    stall_wait(world.stall, true);
    for (unsigned i = 0; i < 10; i++) {
        hand_clock_advance_idle(&world.hand, LIMIT * NS_PER_S - 1);
        stall_put_off(world.stall);
    }
    hand_clock_advance(&world.hand, LIMIT * NS_PER_S);
    expect_stall(&world, "taken and said nothing for 5 seconds");
}

/* A sign of life begins no wait where there is none. */
static void test_put_off_idle(void)
{
    World world;

    world_init(&world, LIMIT);
    stall_put_off(world.stall);
    hand_clock_advance_idle(&world.hand, 100 * LIMIT * NS_PER_S);
    expect_none(&world);
}

typedef struct Late {
    Stall *stall;
    Gate called; /* stalled() has begun */
    gint ended;  /* atomic: the wait is over */
} Late;

/* What makes the wait fail takes its time. */
static bool fail_slowly(void *opaque)
{
    Late *late = opaque;

    gate_reach(&late->called);
    for (unsigned i = 0; i < 1000; i++) {
        g_assert_false(g_atomic_int_get(&late->ended));
        g_thread_yield();
    }
    return true;
}

/* The wait that was found is the one that fails: its end, just then, waits
 * until it has, and no later step is hit. */
static void test_late(void)
{
    HandClock hand;
    Late late = { .ended = false };

    hand_clock_init(&hand);
    gate_init(&late.called);
    late.stall = stall_new(&hand.clock, LIMIT);
    g_assert_true(stall_start(late.stall, fail_slowly, &late, NULL));
    stall_wait(late.stall, true);
    hand_clock_advance(&hand, LIMIT * NS_PER_S);
    gate_await(&late.called);
    stall_wait(late.stall, false);
    g_atomic_int_set(&late.ended, true);
    g_assert_true(stall_found(late.stall, NULL));
    stall_stop(late.stall);
    stall_free(late.stall);
    gate_destroy(&late.called);
    hand_clock_destroy(&hand);
}

static bool refuse(void *opaque)
{
    gate_reach(opaque);
    return false;
}

/* A wait that may not be made to fail has not stalled. */
static void test_refused(void)
{
    World world;

    hand_clock_init(&world.hand);
    gate_init(&world.stalled);
    world.stall = stall_new(&world.hand.clock, LIMIT);
    g_assert_true(stall_start(world.stall, refuse, &world.stalled, NULL));
    stall_wait(world.stall, true);
    hand_clock_advance(&world.hand, LIMIT * NS_PER_S);
    gate_await(&world.stalled);
    hand_clock_advance_idle(&world.hand, LIMIT * NS_PER_S);
    expect_none(&world);
}

/* However long the owner is busy with something else. */
static void test_no_wait(void)
{
    World world;

    world_init(&world, LIMIT);
    stall_wait(world.stall, true);
    stall_wait(world.stall, false);
    hand_clock_advance_idle(&world.hand, 100 * LIMIT * NS_PER_S);
    expect_none(&world);
}

/* 0: no limit, until it is changed. */
static void test_live(void)
{
    World world;

    world_init(&world, 0);
    stall_wait(world.stall, true);
    hand_clock_advance(&world.hand, 100 * LIMIT * NS_PER_S);
    g_assert_false(stall_found(world.stall, NULL));
    stall_set(world.stall, 7);
    expect_stall(&world, "for 7 seconds");
}

static void test_shorter(void)
{
    World world;

    world_init(&world, 100);
    stall_wait(world.stall, true);
    hand_clock_advance_idle(&world.hand, LIMIT * NS_PER_S);
    stall_set(world.stall, LIMIT);
    expect_stall(&world, "for 5 seconds");
}

static void test_not_started(void)
{
    Stall *stall = stall_new(&clock_monotonic, LIMIT);

    stall_stop(stall);
    stall_free(stall);
    stall_free(NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stall/too-long", test_too_long);
    g_test_add_func("/stall/progress", test_progress);
    g_test_add_func("/stall/put-off", test_put_off);
    g_test_add_func("/stall/put-off/idle", test_put_off_idle);
    g_test_add_func("/stall/late", test_late);
    g_test_add_func("/stall/refused", test_refused);
    g_test_add_func("/stall/no-wait", test_no_wait);
    g_test_add_func("/stall/live", test_live);
    g_test_add_func("/stall/shorter", test_shorter);
    g_test_add_func("/stall/not-started", test_not_started);
    return g_test_run();
}
