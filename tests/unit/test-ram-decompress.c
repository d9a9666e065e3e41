/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/ram/decompress.h: pages arrive in memory, in the order in which
 * they were added as far as one page goes, and bad ones are named.
 */
#include "migration/ram/decompress.h"

#include <string.h>

#include "migration/wire/wire.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/test-ram.h"
#include "util/pipeline.h"

typedef struct World {
    TestRam *ram;
    DecompressPool *pool;
    void *encoder;
} World;

static void world_init(World *world, unsigned threads)
{
    world->ram = test_ram_new(2000, 20);
    world->pool = decompress_new(&codec_zlib, threads, world->ram->blocks,
                                 NULL);
    world->encoder = codec_zlib.encoder_new(1, NULL);
    g_assert_nonnull(world->pool);
}

static void world_destroy(World *world)
{
    codec_zlib.encoder_free(world->encoder);
    decompress_free(world->pool);
    test_ram_free(world->ram);
}

/* A page's version is the seed of its bytes. */
static void fill_version(uint8_t *page, uint32_t version)
{
    test_page_fill(page, PAGE_TEXT, version);
}

static void assert_version(const RamBlock *block, uint64_t page,
                           uint32_t version)
{
    uint8_t expected[MIG_PAGE_SIZE];

    fill_version(expected, version);
    g_assert_cmpmem(ram_block_page(block, page), MIG_PAGE_SIZE, expected,
                    MIG_PAGE_SIZE);
}

static uint32_t compress_version(World *world, uint32_t version,
                                 uint8_t out[WIRE_COMPRESSED_MAX])
{
    uint8_t page[MIG_PAGE_SIZE];

    fill_version(page, version);
    return (uint32_t)codec_zlib.encode(world->encoder, page, MIG_PAGE_SIZE, out,
                                       WIRE_COMPRESSED_MAX);
}

static bool add(World *world, const RamBlock *block, uint64_t page,
                uint32_t version, GError **err)
{
    uint8_t data[WIRE_COMPRESSED_MAX];
    uint32_t length = compress_version(world, version, data);
    uint8_t *to = decompress_add(world->pool, block, page, length, 0, err);

    if (to) {
        memcpy(to, data, length);
    }
    return to != NULL;
}

/* A page that does not decompress, at byte 777 of the stream. */
static void add_bad(World *world, const RamBlock *block, uint64_t page)
{
    g_autoptr(GError) err = NULL;
    uint8_t *to = decompress_add(world->pool, block, page, 3, 777, &err);

    g_assert_no_error(err);
    memcpy(to, "bad", 3);
}

static void drain(World *world)
{
    g_autoptr(GError) err = NULL;

    decompress_drain(world->pool, &err);
    g_assert_no_error(err);
}

static void test_pages(void)
{
    for (unsigned threads = 1; threads <= 8; threads *= 2) {
        World world;

        world_init(&world, threads);
        drain(&world);
        for (uint32_t i = 0; i < 1000; i++) {
            g_assert_true(add(&world, world.ram->a, i * 7 % 1000, i, NULL));
        }
        for (uint32_t i = 0; i < 20; i++) {
            g_assert_true(add(&world, world.ram->b, i, 5000 + i, NULL));
        }
        drain(&world);
        drain(&world);
        for (uint32_t i = 0; i < 1000; i++) {
            assert_version(world.ram->a, i * 7 % 1000, i);
        }
        for (uint32_t i = 0; i < 20; i++) {
            assert_version(world.ram->b, i, 5000 + i);
        }
        world_destroy(&world);
    }
}

/* Data that is longer than the page, as a source may send it. */
static void test_stored(void)
{
    uint8_t page[MIG_PAGE_SIZE], data[WIRE_COMPRESSED_MAX];
    void *stored = codec_zlib.encoder_new(0, NULL);
    uint32_t length;
    World world;

    world_init(&world, 2);
    test_page_fill(page, PAGE_NOISE, 1);
    length = (uint32_t)codec_zlib.encode(stored, page, MIG_PAGE_SIZE, data,
                                         sizeof(data));
    g_assert_cmpuint(length, >, MIG_PAGE_SIZE);
    for (unsigned i = 0; i < 500; i++) {
        uint8_t *to = decompress_add(world.pool, world.ram->a, i, length, 0,
                                     NULL);

        memcpy(to, data, length);
    }
    drain(&world);
    for (unsigned i = 0; i < 500; i++) {
        g_assert_cmpmem(ram_block_page(world.ram->a, i), MIG_PAGE_SIZE, page,
                        MIG_PAGE_SIZE);
    }
    codec_zlib.encoder_free(stored);
    world_destroy(&world);
}

/* A job has room for the longest data there may be, in each of its pages. */
static void test_longest(void)
{
    World world;

    world_init(&world, 1);
    for (unsigned i = 0; i < RAM_BATCH_PAGES; i++) {
        uint8_t *to = decompress_add(world.pool, world.ram->a, i,
                                     WIRE_COMPRESSED_MAX, 0, NULL);

        memset(to, 0, WIRE_COMPRESSED_MAX);
    }
    g_assert_false(decompress_drain(world.pool, NULL));
    world_destroy(&world);
}

/* When the second version is added the first is in memory. */
static void test_same_page_twice(void)
{
    for (unsigned threads = 1; threads <= 4; threads += 3) {
        World world;

        world_init(&world, threads);
        for (uint32_t version = 0; version < 100; version++) {
            /* Others, too, so that there is something to wait behind. */
            for (uint32_t i = 0; i < version % 80; i++) {
                g_assert_true(add(&world, world.ram->a, i, i, NULL));
            }
            g_assert_true(add(&world, world.ram->b, 5, version, NULL));
            if (version) {
                assert_version(world.ram->b, 5, version - 1);
            }
        }
        drain(&world);
        assert_version(world.ram->b, 5, 99);
        world_destroy(&world);
    }
}

/* The same number in another block is another page. */
static void test_same_number(void)
{
    World world;

    world_init(&world, 1);
    g_assert_true(add(&world, world.ram->a, 5, 1, NULL));
    g_assert_true(add(&world, world.ram->b, 5, 2, NULL));
    drain(&world);
    assert_version(world.ram->a, 5, 1);
    assert_version(world.ram->b, 5, 2);
    world_destroy(&world);
}

static void test_settle(void)
{
    World world;

    world_init(&world, 2);
    g_assert_true(decompress_settle(world.pool, world.ram->a, 0, 1, NULL));
    for (uint32_t i = 0; i < 300; i++) {
        g_assert_true(add(&world, world.ram->a, i, i, NULL));
        if (i % 3 == 0) {
            g_assert_true(decompress_settle(world.pool, world.ram->a, i / 2,
                                            1, NULL));
            assert_version(world.ram->a, i / 2, i / 2);
        }
    }
    drain(&world);
    world_destroy(&world);
}

#define BAD_PAGE \
    "block 'b', offset 0x3000: the compressed page at byte 777 of the " \
    "stream is bad: incorrect header check"

static void test_error_from_drain(void)
{
    g_autoptr(GError) err = NULL;
    World world;

    world_init(&world, 2);
    g_assert_true(add(&world, world.ram->b, 2, 1, NULL));
    add_bad(&world, world.ram->b, 3);
    g_assert_true(add(&world, world.ram->b, 4, 1, NULL));
    g_assert_false(decompress_drain(world.pool, &err));
    expect_error(&err, MIG_ERROR_STREAM, BAD_PAGE);
    world_destroy(&world);
}

static void test_error_from_settle(void)
{
    g_autoptr(GError) err = NULL;
    World world;

    world_init(&world, 2);
    add_bad(&world, world.ram->b, 3);
    g_assert_true(add(&world, world.ram->b, 4, 1, NULL));
    /* One that is not in flight has nothing to wait for. */
    g_assert_true(decompress_settle(world.pool, world.ram->b, 5, 1, &err));
    g_assert_false(decompress_settle(world.pool, world.ram->b, 4, 1, &err));
    expect_error(&err, MIG_ERROR_STREAM, BAD_PAGE);
    world_destroy(&world);
}

/* Sooner or later it is in the way of another page: at the latest when all
 * jobs are out. */
static void test_error_from_add(void)
{
    g_autoptr(GError) err = NULL;
    unsigned n = 0;
    World world;

    world_init(&world, 1);
    add_bad(&world, world.ram->b, 3);
    while (add(&world, world.ram->a, n, n, &err)) {
        g_assert_cmpuint(++n, <=, pipeline_jobs(1) * RAM_BATCH_PAGES);
    }
    expect_error(&err, MIG_ERROR_STREAM, BAD_PAGE);
    world_destroy(&world);
}

/* The same page again: it waits, and hears of it. */
static void test_error_from_add_same(void)
{
    g_autoptr(GError) err = NULL;
    World world;

    world_init(&world, 1);
    add_bad(&world, world.ram->b, 3);
    g_assert_false(add(&world, world.ram->b, 3, 1, &err));
    expect_error(&err, MIG_ERROR_STREAM, BAD_PAGE);
    world_destroy(&world);
}

/* In stages: added, its data not there yet; filled; submitted. */
static void test_free_with_pages(void)
{
    World world;

    world_init(&world, 2);
    g_assert_nonnull(decompress_add(world.pool, world.ram->a, 0, 9, 0, NULL));
    world_destroy(&world);

    for (uint32_t count = 1; count < 400; count += 57) {
        world_init(&world, 2);
        for (uint32_t i = 0; i < count; i++) {
            g_assert_true(add(&world, world.ram->a, i, i, NULL));
        }
        world_destroy(&world);
    }
    decompress_free(NULL);
}

static void *no_decoder(GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "no decoder");
    return NULL;
}

static void test_no_worker(void)
{
    g_autoptr(TestRam) ram = test_ram_new(1, 0);
    g_autoptr(GError) err = NULL;
    Codec codec = codec_zlib;

    codec.decoder_new = no_decoder;
    g_assert_null(decompress_new(&codec, 3, ram->blocks, &err));
    expect_error(&err, MIG_ERROR_HOST, "no decoder");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-decompress/pages", test_pages);
    g_test_add_func("/ram-decompress/stored", test_stored);
    g_test_add_func("/ram-decompress/longest", test_longest);
    g_test_add_func("/ram-decompress/same-page-twice", test_same_page_twice);
    g_test_add_func("/ram-decompress/same-number", test_same_number);
    g_test_add_func("/ram-decompress/settle", test_settle);
    g_test_add_func("/ram-decompress/error/drain", test_error_from_drain);
    g_test_add_func("/ram-decompress/error/settle", test_error_from_settle);
    g_test_add_func("/ram-decompress/error/add", test_error_from_add);
    g_test_add_func("/ram-decompress/error/add-same",
                    test_error_from_add_same);
    g_test_add_func("/ram-decompress/free-with-pages", test_free_with_pages);
    g_test_add_func("/ram-decompress/no-worker", test_no_worker);
    return g_test_run();
}
