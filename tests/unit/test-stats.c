/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/ram/stats.h, with a clock that is moved by hand. */
#include "migration/ram/stats.h"

#include <pthread.h>

#include "tests/lib/fake-clock.h"
#include "util/thread.h"

typedef struct World {
    FakeClock clock;
    Stats *stats;
    StatsChannel channel;
    uint64_t position;
} World;

static void world_init(World *world)
{
    fake_clock_init(&world->clock);
    world->stats = stats_new(&world->clock.clock);
    world->channel = (StatsChannel){ .stats = world->stats };
    world->position = 0;
}

static StatsData read_stats(World *world)
{
    StatsData data;

    stats_read(world->stats, &data);
    return data;
}

/* Account for this many pages, in this many bytes. */
static void account(World *world, uint64_t pages, uint64_t bytes)
{
    PageCounts counts = { .normal = pages };

    world->position += bytes;
    stats_account(&world->channel, &counts, world->position);
}

static void test_fresh(void)
{
    StatsData expected = { .expected_downtime_ms = -1,
                           .downtime_floor_ms = -1 };
    StatsData data;
    World world;

    world_init(&world);
    data = read_stats(&world);
    g_assert_cmpmem(&data, sizeof(data), &expected, sizeof(expected));
    stats_free(world.stats);
    stats_free(NULL);
}

static void test_counts_add_up(void)
{
    static const PageCounts more = { 1, 20, 300, 4000, .unchanged = 5 };
    World world;

    world_init(&world);
    for (uint64_t i = 1; i <= 3; i++) {
        StatsData data;

        stats_account(&world.channel, &more, 1000 * i);
        data = read_stats(&world);
        g_assert_cmpuint(data.pages.zero, ==, i);
        g_assert_cmpuint(data.pages.normal, ==, 20 * i);
        g_assert_cmpuint(data.pages.compressed, ==, 300 * i);
        g_assert_cmpuint(data.pages.compressed_bytes, ==, 4000 * i);
        g_assert_cmpuint(data.pages.unchanged, ==, 5 * i);
        /* A position, not a sum. */
        g_assert_cmpuint(data.transferred, ==, 1000 * i);
    }
    stats_free(world.stats);
}

/* Each stream counts for itself, and all are in the sum. */
static void test_channels(void)
{
    static const PageCounts one = { .normal = 1 };
    StatsChannel other;
    World world;

    world_init(&world);
    other = (StatsChannel){ .stats = world.stats };
    stats_account(&world.channel, &one, 100);
    stats_account(&other, &one, 1000);
    stats_moved(&world.channel, 150);
    g_assert_cmpuint(read_stats(&world).transferred, ==, 1150);
    g_assert_cmpuint(read_stats(&world).pages.normal, ==, 2);
    stats_stopped(world.stats);
    stats_moved(&other, 1500);
    stats_account(&world.channel, &one, 200);
    g_assert_cmpuint(read_stats(&world).transferred, ==, 1700);
    g_assert_cmpuint(read_stats(&world).precopy_bytes, ==, 1150);
    stats_free(world.stats);
}

static void test_remaining(void)
{
    static const PageCounts mixed = { 1, 2, 3, 999 };
    World world;

    world_init(&world);
    account(&world, 5, 100);
    g_assert_cmpuint(read_stats(&world).remaining, ==, 0);
    stats_sync(world.stats, 10, 77);
    g_assert_cmpuint(read_stats(&world).remaining, ==, 10);
    g_assert_cmpuint(read_stats(&world).dirty_rate, ==, 77);
    stats_account(&world.channel, &mixed, 200);
    g_assert_cmpuint(read_stats(&world).remaining, ==, 4);
    /* Never below nothing. */
    stats_account(&world.channel, &mixed, 300);
    g_assert_cmpuint(read_stats(&world).remaining, ==, 0);
    stats_sync(world.stats, 3, 0);
    g_assert_cmpuint(read_stats(&world).remaining, ==, 3);
    g_assert_cmpuint(read_stats(&world).sync_count, ==, 2);
    stats_free(world.stats);
}

static void test_jobs(void)
{
    World world;

    world_init(&world);
    stats_job(world.stats, false);
    stats_job(world.stats, true);
    stats_job(world.stats, false);
    g_assert_cmpuint(read_stats(&world).jobs, ==, 3);
    g_assert_cmpuint(read_stats(&world).busy, ==, 1);
    stats_free(world.stats);
}

static void test_expected_downtime(void)
{
    World world;

    world_init(&world);
    stats_expect(world.stats, 300, 75);
    g_assert_cmpint(read_stats(&world).expected_downtime_ms, ==, 300);
    g_assert_cmpint(read_stats(&world).downtime_floor_ms, ==, 75);
    stats_expect(world.stats, -1, -1);
    g_assert_cmpint(read_stats(&world).expected_downtime_ms, ==, -1);
    g_assert_cmpint(read_stats(&world).downtime_floor_ms, ==, -1);
    stats_free(world.stats);
}

static void test_stopped(void)
{
    World world;

    world_init(&world);
    account(&world, 1, 1000);
    g_assert_cmpuint(read_stats(&world).precopy_bytes, ==, 1000);
    stats_stopped(world.stats);
    account(&world, 1, 500);
    g_assert_cmpuint(read_stats(&world).precopy_bytes, ==, 1000);
    g_assert_cmpuint(read_stats(&world).transferred, ==, 1500);
    stats_free(world.stats);
}

static void assert_rates(World *world, double bytes, double pages)
{
    StatsData data = read_stats(world);

    g_assert_cmpfloat_with_epsilon(data.bytes_per_second, bytes, 1e-6);
    g_assert_cmpfloat_with_epsilon(data.pages_per_second, pages, 1e-6);
}

/* A rate is that of the last whole window of 100 ms. */
static void test_windows(void)
{
    World world;

    world_init(&world);
    fake_clock_advance(&world.clock, 50 * NS_PER_MS);
    account(&world, 10, 99000); /* before the first one */
    assert_rates(&world, 0, 0);
    fake_clock_advance(&world.clock, 100 * NS_PER_MS - 1);
    account(&world, 10, 1000);
    assert_rates(&world, 0, 0);
    fake_clock_advance(&world.clock, 1);
    account(&world, 10, 1000);
    assert_rates(&world, 20000, 200);
    /* The next window forgets the one before. */
    fake_clock_advance(&world.clock, 99 * NS_PER_MS);
    account(&world, 1, 100);
    assert_rates(&world, 20000, 200);
    fake_clock_advance(&world.clock, 101 * NS_PER_MS);
    account(&world, 1, 100);
    assert_rates(&world, 1000, 10);
    /* Nothing came for ten seconds. */
    fake_clock_advance(&world.clock, 10 * NS_PER_S);
    account(&world, 0, 0);
    assert_rates(&world, 0, 0);
    stats_free(world.stats);
}

enum { WRITES = 20000 };

static void *write_main(void *arg)
{
    static const PageCounts more = { 1, 1, 1, 7 };
    World *world = arg;

    for (uint64_t i = 1; i <= WRITES; i++) {
        stats_account(&world->channel, &more, i * 100);
    }
    return NULL;
}

/* A reader never sees half an update. */
static void test_one_moment(void)
{
    pthread_t writer;
    StatsData data;
    World world;

    world_init(&world);
    g_assert_true(thread_start(&writer, "writer", write_main, &world, NULL));
    do {
        data = read_stats(&world);
        g_assert_cmpuint(data.pages.zero, ==, data.pages.normal);
        g_assert_cmpuint(data.pages.zero, ==, data.pages.compressed);
        g_assert_cmpuint(data.pages.zero * 7, ==,
                         data.pages.compressed_bytes);
        g_assert_cmpuint(data.pages.zero * 100, ==, data.transferred);
    } while (data.pages.zero < WRITES);
    thread_join(writer);
    stats_free(world.stats);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/stats/fresh", test_fresh);
    g_test_add_func("/stats/counts", test_counts_add_up);
    g_test_add_func("/stats/channels", test_channels);
    g_test_add_func("/stats/remaining", test_remaining);
    g_test_add_func("/stats/jobs", test_jobs);
    g_test_add_func("/stats/expected-downtime", test_expected_downtime);
    g_test_add_func("/stats/stopped", test_stopped);
    g_test_add_func("/stats/windows", test_windows);
    g_test_add_func("/stats/one-moment", test_one_moment);
    return g_test_run();
}
