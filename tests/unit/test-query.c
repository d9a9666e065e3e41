/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mig_query() and what else can be asked of a handle that has not started, and
 * the arithmetic from counters and clock readings to MigInfo.
 */
#include <stdatomic.h>

#include "migration/internal.h"
#include "migration/pack/codec.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/fake-clock.h"
#include "util/thread.h"

/* Asked nothing, because nothing starts. */
static const MigHost host = { .machine = "none" };

typedef struct World {
    FakeClock clock;
    Migration *m;
} World;

static void world_init(World *world, bool compress)
{
    MigOptions options;

    mig_options_init(&options);
    options.value[MIG_OPT_COMPRESS] = compress;
    fake_clock_init(&world->clock);
    world->m = migration_new(&host, NULL, &options, &world->clock.clock);
}

/* A host that is slow to take an event, and asks what it is about. */
typedef struct SlowHost {
    World world;
    atomic_bool told;
} SlowHost;

static void slow_event(void *opaque, const MigEvent *event)
{
    SlowHost *slow = opaque;
    MigInfo info;

    mig_query(slow->world.m, &info);
    g_assert_cmpint(info.state, ==, event->state);
    mig_info_clear(&info);
    g_usleep(20 * 1000); /* long enough for others to see what they must not */
    atomic_store(&slow->told, true);
}

static void *set_active(void *m)
{
    migration_set_state(m, MIG_STATE_ACTIVE);
    return NULL;
}

/* When mig_query() shows a state, the host has been told of it. */
static void test_no_state_before_its_event(void)
{
    SlowHost slow = { .told = false };
    const MigHost slow_host = { .event = slow_event };
    MigState state;
    pthread_t thread;
    MigOptions options;

    mig_options_init(&options);
    fake_clock_init(&slow.world.clock);
    slow.world.m =
        migration_new(&slow_host, &slow, &options, &slow.world.clock.clock);
    slow.world.m->state = MIG_STATE_SETUP;
    thread_start(&thread, "slow", set_active, slow.world.m, NULL);
    do {
        MigInfo info;

        mig_query(slow.world.m, &info);
        state = info.state;
    } while (state != MIG_STATE_ACTIVE);
    g_assert_true(atomic_load(&slow.told));
    thread_join(thread);
    mig_free(slow.world.m);
}

static void test_fresh(void)
{
    for (unsigned compress = 0; compress <= 1; compress++) {
        MigInfo expected = {
            .state = MIG_STATE_NONE,
            .compress = compress,
            .expected_downtime_ms = 300, /* the default downtime-limit */
            .compression = {
                .method = codec_zlib.name,
                .level = 1,
                .encoder = codec_zlib.encoder_name(1),
            },
        };
        MigInfo info;
        World world;

        world_init(&world, compress);
        fake_clock_advance(&world.clock, NS_PER_S);
        mig_query(world.m, &info);
        g_assert_cmpmem(&info, sizeof(info), &expected, sizeof(expected));
        mig_info_clear(&info);
        mig_free(world.m);
    }
    mig_free(NULL);
}

/* The same of one that has the system's clock. */
static void test_public(void)
{
    MigOptions options;
    Migration *m;
    MigInfo info;

    mig_options_init(&options);
    m = mig_new(&host, NULL, &options);
    mig_query(m, &info);
    g_assert_cmpint(info.state, ==, MIG_STATE_NONE);
    g_assert_cmpint(info.total_time_ms, ==, 0);
    g_assert_null(info.error);
    mig_free(m);
    g_assert_cmpstr(mig_version(), ==, FERRY_VERSION);
}

/* Nothing to wait for, nothing to cancel. */
static void test_wait_and_cancel(void)
{
    g_autoptr(GError) err = NULL;
    MigInfo info;
    World world;

    world_init(&world, false);
    mig_cancel(world.m, NULL);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_false(mig_wait(world.m, &err));
        expect_error(&err, MIG_ERROR_STATE, "was not started");
    }
    mig_query(world.m, &info);
    g_assert_cmpint(info.state, ==, MIG_STATE_NONE);
    mig_free(world.m);
}

static void test_set_live(void)
{
    g_autoptr(GError) err = NULL;
    World world;

    world_init(&world, false);
    for (unsigned i = 0; i < MIG_OPT__COUNT; i++) {
        const MigOption *o = mig_option(i);
        uint64_t value = o->kind == MIG_KIND_STRING ? 0 : o->max;
        bool ok = mig_set_live(world.m, i, value, &err);

        g_assert_cmpint(ok, ==, o->live);
        if (!ok) {
            expect_error(&err, MIG_ERROR_OPTION,
                         "cannot change while a migration runs");
        }
    }
    g_assert_cmpuint(migration_downtime_limit_ms(world.m), ==, 2000000);
    g_assert_true(mig_set_live(world.m, MIG_OPT_STALL_TIMEOUT, 0, NULL));
    g_assert_cmpuint(ratelimit_get(world.m->limit), ==, INT64_MAX);
    g_assert_false(mig_set_live(world.m, MIG_OPT_DOWNTIME_LIMIT, 2000001,
                                &err));
    expect_error(&err, MIG_ERROR_OPTION, "between 0 and 2000000");
    g_assert_cmpuint(migration_downtime_limit_ms(world.m), ==, 2000000);
    mig_free(world.m);
}

/* Before the first reading there is no time, and after the last no more. */
static void test_times(void)
{
    MigInfo info;
    World world;
    Migration *m;

    world_init(&world, false);
    m = world.m;
    m->start_time = clock_now(m->clock);
    fake_clock_advance(&world.clock, 30 * NS_PER_MS);
    mig_query(m, &info);
    g_assert_cmpint(info.total_time_ms, ==, 30);
    g_assert_cmpint(info.setup_time_ms, ==, 0);
    m->active_time = clock_now(m->clock);
    fake_clock_advance(&world.clock, 1000 * NS_PER_MS);
    migration_mark_stopped(m);
    fake_clock_advance(&world.clock, 250 * NS_PER_MS);
    mig_query(m, &info);
    g_assert_cmpint(info.downtime_ms, ==, 0);
    migration_mark_handed_over(m);
    fake_clock_advance(&world.clock, 5 * NS_PER_MS);
    m->end_time = clock_now(m->clock);
    fake_clock_advance(&world.clock, 999 * NS_PER_MS);
    mig_query(m, &info);
    g_assert_cmpint(info.setup_time_ms, ==, 30);
    g_assert_cmpint(info.downtime_ms, ==, 250);
    g_assert_cmpint(info.total_time_ms, ==, 1285);
    mig_free(m);
}

static void fill_stats(World *world)
{
    static const PageCounts pages = { 10, 20, 30, 30 * 1024,
                                      .unchanged = 15 };
    static const PageCounts first = { 1, 2, 0, 0 };
    Stats *stats = world->m->stats;
    StatsChannel channel = { .stats = stats };

    stats_sync(stats, 100, 55);
    stats_expect(stats, 123, 45);
    for (unsigned i = 0; i < 8; i++) {
        stats_job(stats, i < 2);
    }
    stats_account(&channel, &first, 0);
    fake_clock_advance(&world->clock, 500 * NS_PER_MS);
    stats_account(&channel, &pages, 1000000);
    stats_stopped(stats);
    stats_moved(&channel, 1200000);
    migration_set_total(world->m, 777 * MIG_PAGE_SIZE);
}

static void test_counters(void)
{
    MigInfo info;
    World world;

    world_init(&world, true);
    world.m->start_time = clock_now(world.m->clock);
    fill_stats(&world);
    mig_query(world.m, &info);
    g_assert_cmpint(info.expected_downtime_ms, ==, 123);
    g_assert_cmpint(info.downtime_floor_ms, ==, 0);
    g_assert_cmpuint(info.ram.transferred, ==, 1200000);
    g_assert_cmpuint(info.ram.precopy_bytes, ==, 1000000);
    g_assert_cmpuint(info.ram.downtime_bytes, ==, 200000);
    g_assert_cmpuint(info.ram.remaining, ==, 22 * MIG_PAGE_SIZE);
    g_assert_cmpuint(info.ram.total, ==, 777 * MIG_PAGE_SIZE);
    g_assert_cmpuint(info.ram.duplicate, ==, 11);
    g_assert_cmpuint(info.ram.normal, ==, 22);
    g_assert_cmpuint(info.ram.dirty_sync_count, ==, 1);
    g_assert_cmpuint(info.ram.dirty_pages_rate, ==, 55);
    g_assert_cmpuint(info.ram.pages_per_second, ==, 150);
    g_assert_cmpfloat_with_epsilon(info.ram.mbps, 16, 1e-9);
    g_assert_cmpuint(info.compression.pages, ==, 30);
    g_assert_cmpuint(info.compression.unchanged, ==, 15);
    g_assert_cmpuint(info.compression.busy, ==, 2);
    g_assert_cmpfloat_with_epsilon(info.compression.busy_rate, 0.25, 1e-9);
    g_assert_cmpuint(info.compression.compressed_size, ==, 30 * 1024);
    g_assert_cmpfloat_with_epsilon(info.compression.rate, 4, 1e-9);
    mig_free(world.m);
}

/* It is told where it is more than the limit, as that is now. */
static void test_downtime_floor(void)
{
    MigInfo info;
    World world;

    world_init(&world, true);
    stats_expect(world.m->stats, 350, 301);
    mig_query(world.m, &info);
    g_assert_cmpint(info.downtime_floor_ms, ==, 301);
    g_assert_true(mig_set_live(world.m, MIG_OPT_DOWNTIME_LIMIT, 301, NULL));
    mig_query(world.m, &info);
    g_assert_cmpint(info.downtime_floor_ms, ==, 0);
    mig_free(world.m);
}

/* A destination does not show values of the source's dirty log.  It shows what
 * comes in the stream, whether its own capability is on or not. */
static void test_destination(void)
{
    MigInfo info;
    World world;

    world_init(&world, false);
    world.m->peer.incoming = true;
    mig_query(world.m, &info);
    g_assert_false(info.compress);
    fill_stats(&world);
    mig_query(world.m, &info);
    g_assert_true(info.compress);
    g_assert_cmpuint(info.ram.transferred, ==, 1200000);
    g_assert_cmpuint(info.ram.remaining, ==, 0);
    g_assert_cmpuint(info.ram.dirty_sync_count, ==, 0);
    g_assert_cmpuint(info.ram.dirty_pages_rate, ==, 0);
    g_assert_cmpuint(info.ram.precopy_bytes, ==, 0);
    g_assert_cmpuint(info.ram.downtime_bytes, ==, 0);
    mig_free(world.m);
}

/* When it has ended the rate is that of all of it. */
static void test_rate_at_the_end(void)
{
    MigInfo info;
    World world;

    world_init(&world, true);
    world.m->start_time = clock_now(world.m->clock);
    fill_stats(&world);
    fake_clock_advance(&world.clock, 1500 * NS_PER_MS);
    world.m->end_time = clock_now(world.m->clock);
    mig_query(world.m, &info);
    g_assert_cmpfloat_with_epsilon(info.ram.mbps, 4.8, 1e-9);
    /* Ended at once: no rate, and no division by zero. */
    world.m->end_time = world.m->start_time;
    mig_query(world.m, &info);
    g_assert_cmpfloat_with_epsilon(info.ram.mbps, 0, 1e-9);
    mig_free(world.m);
}

static void test_error(void)
{
    MigInfo info;
    World world;

    world_init(&world, false);
    world.m->state = MIG_STATE_FAILED;
    world.m->error = g_error_new(MIG_ERROR, MIG_ERROR_PEER, "no luck");
    mig_query(world.m, &info);
    g_assert_cmpint(info.state, ==, MIG_STATE_FAILED);
    g_assert_cmpstr(info.error, ==, "no luck");
    mig_info_clear(&info);
    g_assert_null(info.error);
    mig_info_clear(&info);
    /* That of a cancelled one says nothing new. */
    world.m->state = MIG_STATE_CANCELLED;
    mig_query(world.m, &info);
    g_assert_null(info.error);
    mig_free(world.m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/query/no-state-before-its-event",
                    test_no_state_before_its_event);
    g_test_add_func("/query/fresh", test_fresh);
    g_test_add_func("/query/public", test_public);
    g_test_add_func("/query/wait-and-cancel", test_wait_and_cancel);
    g_test_add_func("/query/set-live", test_set_live);
    g_test_add_func("/query/times", test_times);
    g_test_add_func("/query/counters", test_counters);
    g_test_add_func("/query/downtime-floor", test_downtime_floor);
    g_test_add_func("/query/destination", test_destination);
    g_test_add_func("/query/rate-at-the-end", test_rate_at_the_end);
    g_test_add_func("/query/error", test_error);
    return g_test_run();
}
