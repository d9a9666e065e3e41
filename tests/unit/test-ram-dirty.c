/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/ram/dirty.h: the walk, the count, and what a collection adds. */
#include "migration/ram/dirty.h"

#include <string.h>

#include "tests/lib/expect-error.h"
#include "tests/lib/test-ram.h"
#include "util/bitmap.h"

#define PART 4096u /* pages that the log is looked at again for */

/* A dirty log: bits to give out at the next collection. */
typedef struct Log {
    uint64_t map[2][8];
    int fail_at; /* block; -1: never */
    unsigned collected[2];
} Log;

static bool collect(void *opaque, size_t block, uint64_t *bitmap,
                    GError **errp)
{
    Log *log = opaque;

    if ((int)block == log->fail_at) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "no log");
        return false;
    }
    log->collected[block]++;
    for (unsigned i = 0; i < 8; i++) {
        if (log->map[block][i]) {
            bitmap[i] |= log->map[block][i];
        }
        log->map[block][i] = 0;
    }
    return true;
}

static const MigHost log_host = { .dirty_log_collect = collect };

/* Take all; check that batches ascend and keep to a block. */
static uint64_t take_all(RamDirty *dirty, const TestRam *ram)
{
    uint64_t expected = ram_dirty_pages(dirty), taken = 0, next = 0;
    const RamBlock *block = ram->a;
    RamBatch batch;

    while (ram_dirty_take(dirty, &batch)) {
        g_assert_cmpuint(batch.count, >, 0);
        g_assert_cmpuint(batch.count, <=, RAM_BATCH_PAGES);
        if (batch.block != block) {
            g_assert_true(block == ram->a && batch.block == ram->b);
            block = batch.block;
            next = 0;
        }
        for (unsigned i = 0; i < batch.count; i++) {
            g_assert_cmpuint(batch.page[i], >=, next);
            g_assert_cmpuint(batch.page[i], <, block->pages);
            next = batch.page[i] + 1;
        }
        taken += batch.count;
        g_assert_cmpuint(ram_dirty_pages(dirty), ==, expected - taken);
    }
    g_assert_cmpuint(taken, ==, expected);
    return taken;
}

static void test_all_at_first(void)
{
    static const uint64_t sizes[] = { 1, 63, 64, 65, 128, 200 };

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        for (unsigned k = 0; k < G_N_ELEMENTS(sizes); k++) {
            g_autoptr(TestRam) ram = test_ram_new(sizes[i], sizes[k]);
            RamDirty *dirty = ram_dirty_new(ram->blocks);

            g_assert_cmpuint(ram_dirty_pages(dirty), ==,
                             sizes[i] + sizes[k]);
            g_assert_cmpuint(take_all(dirty, ram), ==, sizes[i] + sizes[k]);
            ram_dirty_free(dirty);
        }
    }
    ram_dirty_free(NULL);
}

/* A batch ends where its block does. */
static void test_batches(void)
{
    g_autoptr(TestRam) ram = test_ram_new(100, 3);
    RamDirty *dirty = ram_dirty_new(ram->blocks);
    RamBatch batch;

    g_assert_true(ram_dirty_take(dirty, &batch));
    g_assert_true(batch.block == ram->a);
    g_assert_cmpuint(batch.count, ==, 64);
    g_assert_true(ram_dirty_take(dirty, &batch));
    g_assert_true(batch.block == ram->a);
    g_assert_cmpuint(batch.count, ==, 36);
    g_assert_cmpuint(batch.page[0], ==, 64);
    g_assert_true(ram_dirty_take(dirty, &batch));
    g_assert_true(batch.block == ram->b);
    g_assert_cmpuint(batch.count, ==, 3);
    g_assert_false(ram_dirty_take(dirty, &batch));
    ram_dirty_free(dirty);
}

static void test_collect_adds(void)
{
    g_autoptr(TestRam) ram = test_ram_new(100, 300);
    RamDirty *dirty = ram_dirty_new(ram->blocks);
    Log log = { .fail_at = -1 };
    uint64_t added;
    RamBatch batch;

    /* Everything is dirty already: nothing can be added. */
    bitmap_set(log.map[0], 7);
    g_assert_true(ram_dirty_collect(dirty, &log_host, &log, &added, NULL));
    g_assert_cmpuint(added, ==, 0);
    g_assert_cmpuint(take_all(dirty, ram), ==, 400);

    bitmap_set(log.map[0], 7);
    bitmap_set(log.map[0], 99);
    bitmap_set(log.map[1], 0);
    g_assert_true(ram_dirty_collect(dirty, &log_host, &log, &added, NULL));
    g_assert_cmpuint(added, ==, 3);
    /* One of them is there already: it is not added again. */
    bitmap_set(log.map[0], 99);
    bitmap_set(log.map[1], 299);
    g_assert_true(ram_dirty_collect(dirty, &log_host, &log, &added, NULL));
    g_assert_cmpuint(added, ==, 1);
    g_assert_cmpuint(ram_dirty_pages(dirty), ==, 4);
    g_assert_cmpuint(log.collected[0], ==, 3);
    g_assert_cmpuint(log.collected[1], ==, 3);

    g_assert_true(ram_dirty_take(dirty, &batch));
    g_assert_cmpuint(batch.count, ==, 2);
    g_assert_cmpuint(batch.page[0], ==, 7);
    g_assert_cmpuint(batch.page[1], ==, 99);
    g_assert_true(ram_dirty_take(dirty, &batch));
    g_assert_true(batch.block == ram->b);
    g_assert_cmpuint(batch.count, ==, 2);
    g_assert_cmpuint(batch.page[1], ==, 299);
    g_assert_false(ram_dirty_take(dirty, &batch));
    ram_dirty_free(dirty);
}

/* After the false the walk is at the first block again. */
static void test_walk_restarts(void)
{
    g_autoptr(TestRam) ram = test_ram_new(64, 64);
    RamDirty *dirty = ram_dirty_new(ram->blocks);
    Log log = { .fail_at = -1 };

    take_all(dirty, ram);
    for (unsigned page = 0; page < 64; page++) {
        uint64_t added;
        RamBatch batch;

        bitmap_set(log.map[page % 2], page);
        g_assert_true(ram_dirty_collect(dirty, &log_host, &log, &added,
                                        NULL));
        g_assert_true(ram_dirty_take(dirty, &batch));
        g_assert_true(batch.block == (page % 2 ? ram->b : ram->a));
        g_assert_cmpuint(batch.count, ==, 1);
        g_assert_cmpuint(batch.page[0], ==, page);
        g_assert_false(ram_dirty_take(dirty, &batch));
    }
    /* With nothing dirty at all, too. */
    g_assert_cmpuint(take_all(dirty, ram), ==, 0);
    ram_dirty_free(dirty);
}

static void test_collect_fails(void)
{
    g_autoptr(TestRam) ram = test_ram_new(10, 10);

    for (int block = 0; block < 2; block++) {
        RamDirty *dirty = ram_dirty_new(ram->blocks);
        Log log = { .fail_at = block };
        g_autoptr(GError) err = NULL;
        uint64_t added;

        g_assert_false(ram_dirty_collect(dirty, &log_host, &log, &added,
                                         &err));
        expect_error(&err, MIG_ERROR_HOST, "no log");
        ram_dirty_free(dirty);
    }
}

/* A host that knows of pages that were never used. */
static void tell_untouched(void *opaque, size_t block, uint64_t *bitmap)
{
    const Log *log = opaque;

    for (unsigned i = 0; i < 8; i++) {
        bitmap[i] |= log->map[block][i];
    }
}

static const MigHost untouched_host = { .ram_untouched = tell_untouched };

static void expect_run(RamDirty *dirty, const RamBlock *block, uint64_t page,
                       uint64_t count)
{
    uint64_t before = ram_dirty_pages(dirty);
    RamRun run;

    g_assert_true(ram_dirty_take_untouched(dirty, &run));
    g_assert_true(run.block == block);
    g_assert_cmpuint(run.page, ==, page);
    g_assert_cmpuint(run.count, ==, count);
    g_assert_cmpuint(ram_dirty_pages(dirty), ==, before - count);
}

/* They come as runs, once, and not among the others. */
static void test_untouched(void)
{
    g_autoptr(TestRam) ram = test_ram_new(512, 512);
    RamDirty *dirty = ram_dirty_new(ram->blocks);
    Log log = { .fail_at = -1 };
    RamRun run;

    log.map[0][0] = 1 | UINT64_C(1) << 63;
    log.map[0][1] = UINT64_MAX;
    log.map[0][2] = 3;
    log.map[1][7] = UINT64_C(0xff) << 56;
    ram_dirty_find_untouched(dirty, &untouched_host, &log);
    g_assert_cmpuint(ram_dirty_pages(dirty), ==, 1024);
    expect_run(dirty, ram->a, 0, 1);
    expect_run(dirty, ram->a, 63, 67);
    expect_run(dirty, ram->b, 504, 8);
    g_assert_false(ram_dirty_take_untouched(dirty, &run));
    g_assert_false(ram_dirty_take_untouched(dirty, &run));
    g_assert_cmpuint(take_all(dirty, ram), ==, 1024 - 76);
    ram_dirty_free(dirty);
}

static void test_all_untouched(void)
{
    g_autoptr(TestRam) ram = test_ram_new(512, 512);
    RamDirty *dirty = ram_dirty_new(ram->blocks);
    RamBatch batch;
    Log log;

    memset(log.map, 0xff, sizeof(log.map));
    ram_dirty_find_untouched(dirty, &untouched_host, &log);
    expect_run(dirty, ram->a, 0, 512);
    expect_run(dirty, ram->b, 0, 512);
    g_assert_false(ram_dirty_take(dirty, &batch));
    ram_dirty_free(dirty);
}

/* A page that is written after all comes with the others. */
static void test_untouched_is_written(void)
{
    g_autoptr(TestRam) ram = test_ram_new(512, 512);
    RamDirty *dirty = ram_dirty_new(ram->blocks);
    Log log = { .fail_at = -1 };
    uint64_t added;
    RamRun run;

    memset(log.map, 0xff, sizeof(log.map));
    ram_dirty_find_untouched(dirty, &untouched_host, &log);
    while (ram_dirty_take_untouched(dirty, &run)) {
        continue;
    }
    memset(log.map, 0, sizeof(log.map));
    log.map[1][3] = 1;
    g_assert_true(ram_dirty_collect(dirty, &log_host, &log, &added, NULL));
    g_assert_cmpuint(added, ==, 1);
    g_assert_cmpuint(take_all(dirty, ram), ==, 1);
    ram_dirty_free(dirty);
}

/* Most hosts do not know. */
static void test_no_untouched(void)
{
    g_autoptr(TestRam) ram = test_ram_new(10, 20);
    RamDirty *dirty = ram_dirty_new(ram->blocks);
    RamRun run;

    ram_dirty_find_untouched(dirty, &log_host, NULL);
    g_assert_false(ram_dirty_take_untouched(dirty, &run));
    g_assert_cmpuint(take_all(dirty, ram), ==, 30);
    ram_dirty_free(dirty);
}

/* A log that is seen part by part. */
typedef struct PartLog {
    uint64_t map[2][3 * PART / 64];
    bool fails;
    unsigned looks;
} PartLog;

static bool collect_part(void *opaque, const MigRamPart *part,
                         uint64_t *bitmap, GError **errp)
{
    PartLog *log = opaque;

    g_assert_cmpuint(part->first % PART, ==, 0);
    g_assert_cmpuint(part->pages, <=, PART);
    if (log->fails) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "no log");
        return false;
    }
    log->looks++;
    for (unsigned i = 0; i < bitmap_words(part->pages); i++) {
        uint64_t *word = &log->map[part->block][part->first / 64 + i];

        bitmap[i] |= *word;
        *word = 0;
    }
    return true;
}

static bool collect_all(void *opaque, size_t block, uint64_t *bitmap,
                        GError **errp)
{
    PartLog *log = opaque;

    for (unsigned i = 0; i < 3 * PART / 64; i++) {
        if (log->map[block][i]) {
            bitmap[i] |= log->map[block][i];
        }
        log->map[block][i] = 0;
    }
    return true;
}

static const MigHost part_host = {
    .dirty_log_collect = collect_all, .dirty_log_collect_part = collect_part,
};

/* Two blocks, the second with only a bit of a part, of which some pages are
 * dirty and the log has others. */
typedef struct Parts {
    TestRam *ram;
    PartLog log;
    RamDirty *dirty;
} Parts;

static Parts *parts_new(void)
{
    Parts *p = g_new0(Parts, 1);

    p->ram = test_ram_new(3 * PART, 100);
    p->dirty = ram_dirty_new(p->ram->blocks);
    take_all(p->dirty, p->ram);
    return p;
}

static void parts_free(Parts *p)
{
    ram_dirty_free(p->dirty);
    test_ram_free(p->ram);
    g_free(p);
}

/* The first page is dirty, and one of block b. */
static void make_dirty(Parts *p)
{
    uint64_t added;

    bitmap_set(p->log.map[0], 10);
    bitmap_set(p->log.map[1], 50);
    g_assert_true(ram_dirty_collect(p->dirty, &part_host, &p->log, &added,
                                    NULL));
    g_assert_cmpuint(added, ==, 2);
}

/* The next page of the walk; -1 at its end. */
static int64_t take_one(Parts *p, uint64_t expected_added)
{
    RamBatch batch;
    uint64_t added;

    g_assert_true(ram_dirty_refresh(p->dirty, &added, NULL));
    g_assert_cmpuint(added, ==, expected_added);
    if (!ram_dirty_take(p->dirty, &batch)) {
        return -1;
    }
    g_assert_cmpuint(batch.count, ==, 1);
    return (int64_t)batch.page[0];
}

/* Only where something is to be sent does the walk look again. */
static void test_refresh(void)
{
    Parts *p = parts_new();
    RamBatch batch;
    uint64_t added;

    make_dirty(p);
    ram_dirty_follow(p->dirty, &part_host, &p->log);
    bitmap_set(p->log.map[0], 10);           /* in time: sent once */
    bitmap_set(p->log.map[0], 2 * PART + 1); /* in a part that is clean */
    bitmap_set(p->log.map[1], 7);            /* before that of block b */
    g_assert_cmpint(take_one(p, 0), ==, 10);
    bitmap_set(p->log.map[0], 10);           /* too late */
    g_assert_cmpuint(p->log.looks, ==, 1);
    g_assert_cmpuint(ram_dirty_pages(p->dirty), ==, 1);
    g_assert_true(ram_dirty_refresh(p->dirty, &added, NULL));
    g_assert_cmpuint(added, ==, 1);
    g_assert_cmpuint(ram_dirty_pages(p->dirty), ==, 2);
    g_assert_true(ram_dirty_take(p->dirty, &batch));
    g_assert_true(batch.block == p->ram->b);
    g_assert_cmpuint(batch.count, ==, 2);
    g_assert_cmpuint(batch.page[0], ==, 7);
    g_assert_cmpuint(batch.page[1], ==, 50);
    g_assert_cmpint(take_one(p, 0), ==, -1);
    g_assert_cmpuint(p->log.looks, ==, 2);
    parts_free(p);
}

/* What was written during a pass counts, also what that pass has sent. */
static void test_refresh_counts(void)
{
    Parts *p = parts_new();
    uint64_t added;

    make_dirty(p);
    ram_dirty_follow(p->dirty, &part_host, &p->log);
    bitmap_set(p->log.map[0], 10);
    bitmap_set(p->log.map[0], 2 * PART + 1);
    g_assert_cmpint(take_one(p, 0), ==, 10);
    g_assert_cmpint(take_one(p, 0), ==, 50);
    g_assert_cmpint(take_one(p, 0), ==, -1);
    g_assert_true(ram_dirty_collect(p->dirty, &part_host, &p->log, &added,
                                    NULL));
    g_assert_cmpuint(added, ==, 2);
    g_assert_cmpuint(ram_dirty_pages(p->dirty), ==, 1);
    g_assert_cmpint(take_one(p, 0), ==, 2 * PART + 1);
    parts_free(p);
}

static void tell_untouched_parts(void *opaque, size_t block, uint64_t *bitmap)
{
    for (uint64_t n = 1; n < 5; n++) {
        bitmap_set(bitmap, block ? n : 2 * PART + n);
    }
}

/* An untouched page that refreshing finds written is one of the others, and
 * was to be sent anyway. */
static void test_refresh_untouched(void)
{
    static const MigHost host = {
        .ram_untouched = tell_untouched_parts,
        .dirty_log_collect_part = collect_part,
    };
    Parts *p = parts_new();
    uint64_t added, sum = 0;
    RamBatch batch;

    ram_dirty_free(p->dirty);
    p->dirty = ram_dirty_new(p->ram->blocks);
    ram_dirty_find_untouched(p->dirty, &host, &p->log);
    ram_dirty_follow(p->dirty, &host, &p->log);
    bitmap_set(p->log.map[0], 2 * PART + 2);
    bitmap_set(p->log.map[0], 3 * PART - 1);
    do {
        g_assert_true(ram_dirty_refresh(p->dirty, &added, NULL));
        g_assert_cmpuint(added, ==, 0);
        batch.count = 0;
        ram_dirty_take(p->dirty, &batch);
        sum += batch.count;
    } while (batch.count);
    g_assert_cmpuint(sum, ==, p->ram->blocks->pages - 8 + 1);
    expect_run(p->dirty, p->ram->a, 2 * PART + 1, 1);
    expect_run(p->dirty, p->ram->a, 2 * PART + 3, 2);
    expect_run(p->dirty, p->ram->b, 1, 4);
    g_assert_cmpuint(ram_dirty_pages(p->dirty), ==, 0);
    parts_free(p);
}

/* The guest is stopped: nobody looks. */
static void test_refresh_no_more(void)
{
    Parts *p = parts_new();

    make_dirty(p);
    ram_dirty_follow(p->dirty, &part_host, &p->log);
    ram_dirty_follow(p->dirty, NULL, NULL);
    bitmap_set(p->log.map[0], 11);
    g_assert_cmpint(take_one(p, 0), ==, 10);
    g_assert_cmpint(take_one(p, 0), ==, 50);
    g_assert_cmpint(take_one(p, 0), ==, -1);
    g_assert_cmpuint(p->log.looks, ==, 0);
    parts_free(p);
}

static void test_refresh_fails(void)
{
    Parts *p = parts_new();
    g_autoptr(GError) err = NULL;
    uint64_t added;

    make_dirty(p);
    ram_dirty_follow(p->dirty, &part_host, &p->log);
    p->log.fails = true;
    g_assert_false(ram_dirty_refresh(p->dirty, &added, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_HOST);
    parts_free(p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-dirty/all-at-first", test_all_at_first);
    g_test_add_func("/ram-dirty/batches", test_batches);
    g_test_add_func("/ram-dirty/collect-adds", test_collect_adds);
    g_test_add_func("/ram-dirty/walk-restarts", test_walk_restarts);
    g_test_add_func("/ram-dirty/collect-fails", test_collect_fails);
    g_test_add_func("/ram-dirty/untouched", test_untouched);
    g_test_add_func("/ram-dirty/untouched/all", test_all_untouched);
    g_test_add_func("/ram-dirty/untouched/written", test_untouched_is_written);
    g_test_add_func("/ram-dirty/untouched/none", test_no_untouched);
    g_test_add_func("/ram-dirty/refresh", test_refresh);
    g_test_add_func("/ram-dirty/refresh/counts", test_refresh_counts);
    g_test_add_func("/ram-dirty/refresh/untouched", test_refresh_untouched);
    g_test_add_func("/ram-dirty/refresh/no-more", test_refresh_no_more);
    g_test_add_func("/ram-dirty/refresh/fails", test_refresh_fails);
    return g_test_run();
}
