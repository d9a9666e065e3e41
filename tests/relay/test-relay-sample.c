/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a live line says, as a function of numbers; and where the numbers about
 * RAM come from: the places of pages. */
#include "tools/relay/relay-sample.h"

#include "tools/relay/relay-progress.h"

#define S   NS_PER_S
#define MIB ((uint64_t)1 << 20)

/* The line */

typedef struct Row {
    RelaySample before, now;
    const char *text, *brief;
} Row;

#define AT(seconds) .number = 3, .time = (seconds) * S

static const Row rows[] = {
    { { AT(0) }, { AT(1) },
      "migration 3: link 0.0 MiB/s, ratio 1.00", "3" },
    /* No rate before there are two moments. */
    { { AT(0) }, { AT(1), .plain = 30 * MIB, .packed = 10 * MIB },
      "migration 3: link 0.0 MiB/s, ratio 3.00", "3" },
    { { AT(10), .packed = MIB },
      { AT(12), .plain = 30 * MIB, .packed = 10 * MIB, .method = "zstd",
        .level = 1, .route = "web" },
      "migration 3 (web): link 4.5 MiB/s, ratio 3.00, zstd level 1", "web" },
    { { AT(10) }, { AT(11), .method = "none" },
      "migration 3: link 0.0 MiB/s, ratio 1.00, none", "3" },
    /* A counter that went back, and a clock that stands. */
    { { AT(10), .packed = 2 * MIB }, { AT(11), .packed = MIB, .plain = MIB },
      "migration 3: link 0.0 MiB/s, ratio 1.00", "3" },
    { { AT(10) }, { AT(10), .packed = MIB, .plain = MIB },
      "migration 3: link 0.0 MiB/s, ratio 1.00", "3" },
    /* The first pass */
    { { AT(10) },
      { AT(11), .phase = RELAY_PHASE_FIRST, .passes = 1, .ram = 64 * MIB,
        .pass_began = 5 * S },
      "migration 3: begins of 64.0 MiB, link 0.0 MiB/s, ratio 1.00",
      "3 begins" },
    { { AT(10) },
      { AT(11), .phase = RELAY_PHASE_FIRST, .passes = 1, .ram = 64 * MIB,
        .ram_passed = 16 * MIB, .pass_began = 5 * S },
      "migration 3: 25 % of 64.0 MiB, 18 s left of the first pass, link "
      "0.0 MiB/s, ratio 1.00", "3 25 %" },
    { { AT(10) },
      { AT(11), .phase = RELAY_PHASE_FIRST, .passes = 1, .ram = 64 * MIB,
        .ram_passed = 64 * MIB, .pass_began = 5 * S },
      "migration 3: 100 % of 64.0 MiB, 0 s left of the first pass, link "
      "0.0 MiB/s, ratio 1.00", "3 100 %" },
    /* too early to say */
    { { AT(10) },
      { AT(11), .phase = RELAY_PHASE_FIRST, .passes = 1, .ram = 64 * MIB,
        .ram_passed = 16 * MIB, .pass_began = 11 * S - 1 },
      "migration 3: 25 % of 64.0 MiB, link 0.0 MiB/s, ratio 1.00", "3 25 %" },
    /* 16 TiB */
    { { AT(10) },
      { AT(11), .phase = RELAY_PHASE_FIRST, .passes = 1, .ram = MIB << 24,
        .ram_passed = MIB, .pass_began = 1 * S },
      "migration 3: 0 % of 16777216.0 MiB, 167772150 s left of the first "
      "pass, link 0.0 MiB/s, ratio 1.00", "3 0 %" },
    /* Later passes */
    { { AT(10), .pages_again = 256 },
      { AT(11), .phase = RELAY_PHASE_AGAIN, .passes = 2, .ram = 64 * MIB,
        .ram_passed = 64 * MIB, .pages_again = 768 },
      "migration 3: pass 2, link 0.0 MiB/s, ratio 1.00, 768 pages again (2.0 "
      "MiB/s)", "3 pass 2" },
    { { AT(10) },
      { AT(11), .phase = RELAY_PHASE_AGAIN, .passes = 3, .dirty_rate = MIB,
        .pass_rate = 2 * MIB },
      "migration 3: pass 3, link 0.0 MiB/s, ratio 1.00, the guest changes 1.0 "
      "MiB/s: converges", "3 pass 3" },
    { { AT(10) },
      { AT(11), .phase = RELAY_PHASE_AGAIN, .passes = 3,
        .dirty_rate = 2 * MIB, .pass_rate = 2 * MIB },
      "migration 3: pass 3, link 0.0 MiB/s, ratio 1.00, the guest changes 2.0 "
      "MiB/s: does not converge at this rate", "3 pass 3" },
    /* A guest that is stopped changes nothing. */
    { { AT(10) },
      { AT(11), .phase = RELAY_PHASE_STOPPED, .passes = 3,
        .dirty_rate = 2 * MIB, .pass_rate = 2 * MIB },
      "migration 3: guest stopped, link 0.0 MiB/s, ratio 1.00",
      "3 guest stopped" },
    { { AT(10) }, { AT(11), .phase = RELAY_PHASE_POSTCOPY },
      "migration 3: postcopy, link 0.0 MiB/s, ratio 1.00", "3 postcopy" },
    { { AT(10) }, { AT(11), .phase = RELAY_PHASE_HANDED_OVER },
      "migration 3: handed over, link 0.0 MiB/s, ratio 1.00",
      "3 handed over" },
    /* Waits, of which the longest counts, and one that has begun earlier */
    { { AT(10) },
      { AT(11), .waited = { S / 10, S / 2, S / 5 } },
      "migration 3: link 0.0 MiB/s, ratio 1.00, waits for the link 50 %",
      "3" },
    { { AT(10), .waited = { 0, 0, 7 * S } },
      { AT(11), .waited = { 0, S / 10 - 1, 7 * S } },
      "migration 3: link 0.0 MiB/s, ratio 1.00", "3" },
    { { AT(10) }, { AT(11), .waited = { 3 * S } },
      "migration 3: link 0.0 MiB/s, ratio 1.00, waits for QEMU 100 %", "3" },
    { { AT(10) }, { AT(11), .waited = { 0, 0, S } },
      "migration 3: link 0.0 MiB/s, ratio 1.00, waits for the CPU 100 %",
      "3" },
    { { AT(10) }, { AT(11), .line = { .resumes = 2 } },
      "migration 3: link 0.0 MiB/s, ratio 1.00, resumes: 2", "3" },
};

static void test_text(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *text = sample_text(&rows[i].before, &rows[i].now);
        g_autofree char *brief = sample_short_text(&rows[i].now);

        g_assert_cmpstr(text, ==, rows[i].text);
        g_assert_cmpstr(brief, ==, rows[i].brief);
    }
}

/* The places of pages */

typedef struct FakeClock {
    Clock clock;
    int64_t time;
} FakeClock;

static int64_t fake_now(const Clock *clock)
{
    return ((const FakeClock *)clock)->time;
}

/* Blocks of 4 and 2 pages; the names do not sort as the list does. */
static RamBlock two[] = {
    { .name = "pc.ram", .pages = 4, .index = 0, .first = 2 },
    { .name = "a.rom", .pages = 2, .index = 1, .first = 0 },
};

typedef struct Fixture {
    FakeClock clock;
    RelayStats stats;
    RelayProgress progress;
} Fixture;

static void set_up(Fixture *f, const void *unused)
{
    f->clock = (FakeClock){ .clock = { .now = fake_now }, .time = 5 * S };
    progress_init(&f->progress, &f->stats, &f->clock.clock);
}

static void tear_down(Fixture *f, const void *unused)
{
    progress_clear(&f->progress);
}

static void begin(Fixture *f)
{
    const RamBlocks blocks = { .block = two, .count = 2, .pages = 6 };

    progress_begin(&f->progress, &blocks);
}

static void page(Fixture *f, unsigned block, uint64_t number)
{
    progress_page(&f->progress, &two[block], number * MIG_PAGE_SIZE);
}

static void check(Fixture *f, RelayPhase phase, uint64_t passed,
                  uint64_t passes, uint64_t again)
{
    RelaySample sample = { .role = RELAY_ROLE_SEND };

    sample_take(&sample, &f->stats);
    g_assert_cmpint(sample.phase, ==, phase);
    g_assert_cmpuint(sample.ram_passed, ==, passed * MIG_PAGE_SIZE);
    g_assert_cmpuint(sample.passes, ==, passes);
    g_assert_cmpuint(sample.pages_again, ==, again);
}

/* One of multifd's side connections has pages, and no list of blocks. */
static void test_no_ram(Fixture *f, const void *unused)
{
    page(f, 0, 1);
    check(f, RELAY_PHASE_UNKNOWN, 0, 0, 0);
}

static void test_passes(Fixture *f, const void *unused)
{
    begin(f);
    g_assert_cmpuint(relay_stats_get(&f->stats.ram), ==, 6 * MIG_PAGE_SIZE);
    check(f, RELAY_PHASE_FIRST, 0, 1, 0);
    page(f, 0, 0);
    check(f, RELAY_PHASE_FIRST, 1, 1, 0);
    page(f, 0, 3);  /* two zero pages were in between */
    check(f, RELAY_PHASE_FIRST, 4, 1, 0);
    page(f, 1, 0);
    check(f, RELAY_PHASE_FIRST, 5, 1, 0);
    f->clock.time += S;
    page(f, 0, 1);  /* what follows was zero, and the guest changes pages */
    check(f, RELAY_PHASE_AGAIN, 6, 2, 1);
    page(f, 0, 3);
    page(f, 1, 1);
    check(f, RELAY_PHASE_AGAIN, 6, 2, 3);
    page(f, 1, 1);  /* the same page at once */
    check(f, RELAY_PHASE_AGAIN, 6, 3, 4);
}

/* The pass of 2 s is followed by one of 4 pages, in 1 s. */
static void test_rates(Fixture *f, const void *unused)
{
    begin(f);
    page(f, 1, 1);
    f->clock.time += 2 * S;
    for (unsigned i = 0; i < 4; i++) {
        page(f, 0, i);
    }
    g_assert_cmpuint(relay_stats_get(&f->stats.pass_rate), ==, 0);
    f->clock.time += S;
    page(f, 0, 0);
    g_assert_cmpuint(relay_stats_get(&f->stats.dirty_rate), ==,
                     2 * MIG_PAGE_SIZE);
    g_assert_cmpuint(relay_stats_get(&f->stats.pass_rate), ==,
                     4 * MIG_PAGE_SIZE);
    page(f, 0, 0); /* a pass in no time changes nothing of that */
    g_assert_cmpuint(relay_stats_get(&f->stats.dirty_rate), ==,
                     2 * MIG_PAGE_SIZE);
}

static void test_places(Fixture *f, const void *unused)
{
    begin(f);
    page(f, 0, 2);
    progress_reached(&f->progress, SCAN_STANDS_STILL);
    check(f, RELAY_PHASE_STOPPED, 6, 1, 0);
    page(f, 0, 1);
    check(f, RELAY_PHASE_STOPPED, 6, 2, 1);
    progress_reached(&f->progress, SCAN_POSTCOPY);
    page(f, 0, 0); /* was asked for */
    progress_reached(&f->progress, SCAN_STANDS_STILL);
    check(f, RELAY_PHASE_POSTCOPY, 6, 2, 1);
    progress_reached(&f->progress, SCAN_COMPLETE);
    check(f, RELAY_PHASE_HANDED_OVER, 6, 2, 1);
}

/* Which side is packed depends on the role. */
static void test_sides(void)
{
    RelayStats stats = { .bytes_in = 30, .bytes_out = 10 };
    RelaySample sample = { .role = RELAY_ROLE_TO_QEMU };

    sample_take(&sample, &stats);
    g_assert_cmpfloat(sample_ratio(&sample), ==, 3);
    sample.role = RELAY_ROLE_FROM_QEMU;
    sample_take(&sample, &stats);
    g_assert_cmpuint(sample.packed, ==, 30);
    g_assert_cmpuint(sample.plain, ==, 10);
}

#define ADD(path, test) \
    g_test_add(path, Fixture, NULL, set_up, test, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/sample/text", test_text);
    g_test_add_func("/relay/sample/sides", test_sides);
    ADD("/relay/progress/no-ram", test_no_ram);
    ADD("/relay/progress/passes", test_passes);
    ADD("/relay/progress/rates", test_rates);
    ADD("/relay/progress/places", test_places);
    return g_test_run();
}
