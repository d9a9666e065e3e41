/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/ram/pack-pages.h and unpack-pages.h: the pages of batches arrive in
 * the memory of a machine that has the same blocks in another order.
 */
#include "migration/ram/pack-pages.h"

#include <string.h>

#include "migration/ram/unpack-pages.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/mem-channel.h"
#include "tests/lib/test-ram.h"
#include "util/zero.h"

enum { PAGES_A = 300, PAGES_B = 40, THREADS = 2, WINDOW = 4 };

typedef struct World {
    TestRam *from, *to;
    RamBlocks *swapped; /* of `to`: "b" before "a" */
    RamPlace *place;
    PackPages *pack;
    Ladder ladder;
    unsigned rung; /* of the next batch */
    const PageHashKey *key; /* or NULL */
    PageHash hash[RAM_BATCH_PAGES]; /* of the last batch */
    Pool *pool;
    UnpackPages *unpack;
} World;

static RamBlocks *swap(const TestRam *ram)
{
    const MigRamBlock host[2] = { ram->host[1], ram->host[0] };

    return ram_blocks_new(host, 2, NULL);
}

static void world_init_with(World *w, Ladder ladder, unsigned window)
{
    LadderWorkerConfig worker = { .ladder = &w->ladder };
    PoolConfig config = pack_pages_pool(&worker, THREADS);
    g_autoptr(GError) err = NULL;

    w->ladder = ladder;
    w->rung = 0;
    w->key = NULL;
    w->from = test_ram_new(PAGES_A, PAGES_B);
    w->to = test_ram_new(PAGES_A, PAGES_B);
    w->swapped = swap(w->to);
    w->place = ram_place_new(w->swapped);
    w->pack = pack_pages_new(window, THREADS, NULL);
    w->pool = pool_new(&config, &err);
    g_assert_no_error(err);
    w->unpack = unpack_pages_new(window, THREADS, w->swapped, w->place, &err);
    g_assert_no_error(err);
}

static void world_init(World *w)
{
    world_init_with(w, ladder_of_one(&codec_zlib, 1), WINDOW);
}

static void world_destroy(World *w)
{
    pool_free(w->pool);
    pack_pages_free(w->pack);
    unpack_pages_free(w->unpack);
    ram_place_free(w->place);
    ram_blocks_free(w->swapped);
    test_ram_free(w->from);
    test_ram_free(w->to);
}

static RamBatch batch_of(const RamBlock *block, uint64_t first)
{
    RamBatch batch = { .block = block };

    while (batch.count < RAM_BATCH_PAGES && first < block->pages) {
        batch.page[batch.count++] = first++;
    }
    return batch;
}

/* The records of a batch, as the save loop would write them. */
static GBytes *pack_batch(World *w, const RamBatch *batch, PageCounts *counts)
{
    CompressJob *job = pool_next(w->pool);
    GBytes *bytes;

    job->key = w->key;
    memset(job->hash, 0, sizeof(job->hash));
    pack_pages_fill(w->pack, job, &w->ladder.rung[w->rung], batch, true);
    pool_submit(w->pool);
    job = pool_collect(w->pool, true);
    *counts = job->counts;
    memcpy(w->hash, job->hash, sizeof(w->hash));
    bytes = g_bytes_new(job->out, job->size);
    pool_release(w->pool);
    return bytes;
}

static bool load_plain(World *w, Stream *s, const RamBlock *block,
                       const RamRecord *record, GError **err)
{
    uint64_t page = record->offset / MIG_PAGE_SIZE;

    if (!unpack_pages_settle(w->unpack, block, page, 1, err)) {
        return false;
    }
    ram_place_announce(w->place, block, &page, 1);
    g_assert_true(stream_get_bytes(s, ram_place_direct(block, &page, 1),
                                   MIG_PAGE_SIZE, NULL));
    return true;
}

/* Load them, as the load loop would. */
static bool load(World *w, GBytes *bytes, GError **err)
{
    g_autoptr(MemReader) r = mem_reader_new(bytes);

    while (stream_position(r->stream) < g_bytes_get_size(bytes)) {
        const RamBlock *block;
        RamRecord record;
        uint8_t *to;

        g_assert_true(ram_record_get(r->stream, &record, NULL));
        block = ram_blocks_find(w->swapped, record.has_name ? record.name
                                                            : "a");
        if (record.type == WIRE_RAM_PLAIN) {
            if (!load_plain(w, r->stream, block, &record, err)) {
                return false;
            }
            continue;
        }
        if (record.type != WIRE_RAM_PACK) {
            uint64_t page = record.offset / MIG_PAGE_SIZE;

            if (!unpack_pages_settle(w->unpack, block, page, record.range,
                                     err)) {
                return false;
            }
            ram_place_zeros(w->place, block, page, record.range);
            continue;
        }
        ram_place_announce(w->place, block, record.pages.page,
                           record.pages.count);
        to = unpack_pages_add(w->unpack, block, &record, err);
        if (!to) {
            return false;
        }
        g_assert_true(stream_get_bytes(r->stream, to, record.length, NULL));
    }
    return true;
}

/* Returns the bytes that the pages took. */
static uint64_t move(World *w, const RamBlock *block, uint64_t first)
{
    RamBatch batch = batch_of(block, first);
    g_autoptr(GError) err = NULL;
    g_autoptr(GBytes) bytes = NULL;
    PageCounts counts;

    bytes = pack_batch(w, &batch, &counts);
    g_assert_cmpuint(counts.zero + counts.compressed + counts.normal, ==,
                     batch.count);
    g_assert_cmpuint(counts.compressed_bytes + counts.zero_bytes, <=,
                     g_bytes_get_size(bytes));
    load(w, bytes, &err);
    g_assert_no_error(err);
    return g_bytes_get_size(bytes);
}

static void drain(World *w)
{
    g_autoptr(GError) err = NULL;

    unpack_pages_drain(w->unpack, &err);
    g_assert_no_error(err);
}

/* All of RAM, and again what has changed a little: pages, zero pages, and such
 * that were zero; without waiting in between. */
static void test_passes(void)
{
    World w;

    world_init(&w);
    for (uint32_t pass = 0; pass < 6; pass++) {
        test_ram_fill(w.from, pass / 2);
        ram_block_page(w.from->a, 3 * pass)[100] ^= 1;
        for (uint64_t i = 0; i < PAGES_A; i += RAM_BATCH_PAGES) {
            move(&w, w.from->a, i);
        }
    }
    drain(&w);
    g_assert_cmpmem(w.from->a->host, PAGES_A * MIG_PAGE_SIZE, w.to->a->host,
                    PAGES_A * MIG_PAGE_SIZE);
    world_destroy(&w);
}

/* compress-method auto: every batch by another rung, also by none, in one
 * history. */
static void test_rungs(void)
{
    World w;

    world_init_with(&w, ladder_of_all(0xffff), WINDOW);
    for (uint32_t pass = 0; pass < 12; pass++) {
        test_ram_fill(w.from, pass / 3);
        for (uint64_t i = 0; i < PAGES_A; i += RAM_BATCH_PAGES) {
            move(&w, w.from->a, i);
            w.rung = (w.rung + 1) % w.ladder.rungs;
        }
    }
    drain(&w);
    g_assert_cmpmem(w.from->a->host, PAGES_A * MIG_PAGE_SIZE, w.to->a->host,
                    PAGES_A * MIG_PAGE_SIZE);
    world_destroy(&w);
}

/* What was sent is known by its hash, whichever way it went. */
static void test_hashes(void)
{
    PageHashKey key;
    RamBatch batch;
    World w;

    world_init_with(&w, ladder_of_all(0xffff), WINDOW);
    g_assert_true(page_hash_key_init(&key, NULL));
    w.key = &key;
    test_ram_fill(w.from, 1);
    batch = batch_of(w.from->a, 0);
    for (w.rung = 0; w.rung < w.ladder.rungs; w.rung++) {
        PageCounts counts;
        g_autoptr(GBytes) bytes = pack_batch(&w, &batch, &counts);

        for (unsigned i = 0; i < batch.count; i++) {
            const uint8_t *page = ram_batch_page(&batch, i);

            g_assert_true(page_hash_matches(
                w.key, w.hash[i], page, buffer_is_zero(page, MIG_PAGE_SIZE)));
        }
    }
    world_destroy(&w);
}

/* Noise, other noise, and the first one again, where nothing is in its place:
 * it goes with dictionaries. */
static void test_dictionary(void)
{
    uint64_t bytes = 0;
    World w;

    if (!codec_zstd.available) {
        g_test_skip("built without zstd");
        return;
    }
    world_init_with(&w, ladder_of_one(&codec_zstd, 1), 40);
    for (uint32_t pass = 0; pass < 3; pass++) {
        for (uint64_t i = 0; i < PAGES_A; i++) {
            uint8_t *page = ram_block_page(w.from->a, i);

            test_page_fill(page, PAGE_NOISE, (uint32_t)i + pass % 2 * 999);
            if (pass == 2) {
                memmove(page, page + 5, MIG_PAGE_SIZE - 5);
            }
        }
        bytes = 0;
        for (uint64_t i = 0; i < PAGES_A; i += RAM_BATCH_PAGES) {
            bytes += move(&w, w.from->a, i);
        }
    }
    g_assert_cmpuint(bytes, <, PAGES_A * MIG_PAGE_SIZE / 4);
    drain(&w);
    g_assert_cmpmem(w.from->a->host, PAGES_A * MIG_PAGE_SIZE, w.to->a->host,
                    PAGES_A * MIG_PAGE_SIZE);
    world_destroy(&w);
}

/* A page that is sent twice, and then is zero, while all are in flight. */
static void test_versions(void)
{
    World w;

    world_init(&w);
    for (uint32_t i = 0; i < 200; i++) {
        test_page_fill(ram_block_page(w.from->a, 0), PAGE_TEXT, i);
        move(&w, w.from->a, 0);
        test_page_fill(ram_block_page(w.from->a, 0), PAGE_TEXT, 1000 + i);
        move(&w, w.from->a, 0);
        memset(ram_block_page(w.from->a, 0), 0, MIG_PAGE_SIZE);
        move(&w, w.from->a, 0);
    }
    drain(&w);
    g_assert_cmpmem(w.from->a->host, MIG_PAGE_SIZE, w.to->a->host,
                    MIG_PAGE_SIZE);
    world_destroy(&w);
}

/* The second block's pages are not taken for those of the first. */
static void test_keys(void)
{
    World w;

    world_init(&w);
    g_assert_cmpuint(ram_block_key(ram_blocks_find(w.swapped, "a"), 7), ==,
                     ram_block_key(w.from->a, 7));
    g_assert_cmpuint(ram_block_key(ram_blocks_find(w.swapped, "b"), 7), ==,
                     ram_block_key(w.from->b, 7));
    g_assert_cmpuint(ram_block_key(w.from->b, 0), ==, PAGES_A);
    world_destroy(&w);
}

/* A pack that is damaged, or comes for another page, is named; and memory is as
 * it was. */
static void test_bad(void)
{
    for (unsigned i = 0; i < 2; i++) {
        static const uint8_t zero[MIG_PAGE_SIZE];
        RamBatch batch = { .count = 1, .page = { 5 } };
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(GBytes) bad = NULL;
        g_autoptr(GError) err = NULL;
        PageCounts counts;
        uint8_t *data;
        size_t size;
        World w;

        world_init(&w);
        batch.block = w.from->a;
        test_page_fill(ram_block_page(w.from->a, 5), PAGE_NOISE, 1);
        bytes = pack_batch(&w, &batch, &counts);
        data = g_bytes_unref_to_data(g_steal_pointer(&bytes), &size);
        data[i ? size - 1 : 6] ^= 0x10; /* the data's last byte; the page */
        bad = g_bytes_new_take(data, size);
        load(&w, bad, NULL);
        g_assert_false(unpack_pages_drain(w.unpack, &err));
        expect_error(&err, MIG_ERROR_STREAM,
                     "of the stream is bad: the checksum of a pack is wrong");
        g_assert_cmpmem(ram_block_page(w.to->a, 5), MIG_PAGE_SIZE, zero,
                        MIG_PAGE_SIZE);
        world_destroy(&w);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pack-pages/passes", test_passes);
    g_test_add_func("/pack-pages/rungs", test_rungs);
    g_test_add_func("/pack-pages/hashes", test_hashes);
    g_test_add_func("/pack-pages/dictionary", test_dictionary);
    g_test_add_func("/pack-pages/versions", test_versions);
    g_test_add_func("/pack-pages/keys", test_keys);
    g_test_add_func("/pack-pages/bad", test_bad);
    return g_test_run();
}
