/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/ram/compress.h: from batches of pages to records. */
#include "migration/ram/compress.h"

#include <string.h>

#include "ferry/error.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/wire.h"
#include "tests/lib/compress-pool.h"
#include "tests/lib/mem-channel.h"
#include "tests/lib/test-ram.h"
#include "util/pipeline.h"

static Pool *new_pool(unsigned threads, unsigned level)
{
    g_autoptr(GError) err = NULL;
    Pool *pool = compress_new(&codec_zlib, threads, level, &err);

    g_assert_no_error(err);
    return pool;
}

/* A batch of pages that stand one after the other. */
static void submit(Pool *pool, const RamBlock *block, uint64_t first,
                   unsigned count)
{
    CompressJob *job = pool_next(pool);

    g_assert_nonnull(job);
    job->batch.block = block;
    job->batch.count = count;
    for (unsigned i = 0; i < count; i++) {
        job->batch.page[i] = first + i;
    }
    pool_submit(pool);
}

/* Inflate, or copy, a record's data, and compare it with the page. */
static void check_data(Stream *s, const RamRecord *r, const uint8_t *page)
{
    uint8_t in[WIRE_COMPRESSED_MAX], got[MIG_PAGE_SIZE] = { 0 };
    void *decoder = codec_zlib.decoder_new(NULL);

    if (r->type == WIRE_RAM_PLAIN) {
        g_assert_true(stream_get_bytes(s, got, sizeof(got), NULL));
    } else if (r->type == WIRE_RAM_COMPRESSED) {
        g_assert_true(stream_get_bytes(s, in, r->length, NULL));
        g_assert_null(
            codec_zlib.decode(decoder, in, r->length, got, MIG_PAGE_SIZE));
        /* Worth it: shorter than the plain page. */
        g_assert_cmpuint(4 + r->length, <, MIG_PAGE_SIZE);
    }
    codec_zlib.decoder_free(decoder);
    g_assert_cmpmem(got, sizeof(got), page, MIG_PAGE_SIZE);
}

static void count_record(PageCounts *counts, const RamRecord *r,
                         uint64_t end)
{
    if (r->type == WIRE_RAM_ZERO) {
        counts->zero++;
        counts->zero_bytes += end - r->position;
    }
    counts->normal += r->type == WIRE_RAM_PLAIN;
    if (r->type == WIRE_RAM_COMPRESSED) {
        counts->compressed++;
        counts->compressed_bytes += end - r->position;
    }
}

/* The job's bytes are one record a page, in order, the first with a name, and
 * the page's bytes are those of memory.  Returns what the records are. */
static PageCounts check_job(const CompressJob *job)
{
    g_autoptr(MemReader) reader = mem_reader_new_static(job->out, job->size);
    const RamBatch *batch = &job->batch;
    PageCounts counts = { 0 };

    for (unsigned i = 0; i < batch->count; i++) {
        g_autoptr(GError) err = NULL;
        RamRecord r;

        ram_record_get(reader->stream, &r, &err);
        g_assert_no_error(err);
        g_assert_cmpint(r.has_name, ==, i == 0);
        g_assert_cmpuint(r.offset, ==, batch->page[i] * MIG_PAGE_SIZE);
        if (r.has_name) {
            g_assert_cmpstr(r.name, ==, batch->block->name);
        }
        check_data(reader->stream, &r,
                   ram_block_page(batch->block, batch->page[i]));
        count_record(&counts, &r, stream_position(reader->stream));
    }
    g_assert_cmpuint(stream_position(reader->stream), ==, job->size);
    g_assert_cmpmem(&counts, sizeof(counts), &job->counts, sizeof(counts));
    return counts;
}

static PageCounts collect(Pool *pool, uint64_t first)
{
    const CompressJob *job = pool_collect(pool, true);
    PageCounts counts;

    g_assert_nonnull(job);
    g_assert_cmpuint(job->batch.page[0], ==, first);
    counts = check_job(job);
    pool_release(pool);
    return counts;
}

static void fill_block(const RamBlock *block, PageKind kind)
{
    for (uint64_t n = 0; n < block->pages; n++) {
        test_page_fill(ram_block_page(block, n), kind, (uint32_t)n);
    }
}

/* Each kind of page becomes its kind of record. */
static void test_kinds(void)
{
    g_autoptr(TestRam) ram = test_ram_new(64, 0);
    Pool *pool = new_pool(2, 1);

    for (unsigned kind = 0; kind < PAGE_KINDS; kind++) {
        PageCounts counts;

        fill_block(ram->a, kind);
        submit(pool, ram->a, 0, 64);
        counts = collect(pool, 0);
        g_assert_cmpuint(counts.zero, ==, kind == PAGE_ZERO ? 64 : 0);
        g_assert_cmpuint(counts.compressed, ==, kind == PAGE_TEXT ? 64 : 0);
        g_assert_cmpuint(counts.normal, ==, kind == PAGE_NOISE ? 64 : 0);
    }
    pool_free(pool);
}

static void test_mixed(void)
{
    g_autoptr(TestRam) ram = test_ram_new(64, 0);

    test_ram_fill(ram, 0);
    for (unsigned level = 1; level <= 9; level++) {
        Pool *pool = new_pool(3, level);

        for (unsigned count = 1; count <= 6; count++) {
            submit(pool, ram->a, count, count);
        }
        for (unsigned count = 1; count <= 6; count++) {
            collect(pool, count);
        }
        pool_free(pool);
    }
}

/* What is stored is longer than the page: level 0 sends all as plain. */
static void test_level_0(void)
{
    g_autoptr(TestRam) ram = test_ram_new(60, 0);
    Pool *pool = new_pool(1, 0);
    PageCounts counts;

    test_ram_fill(ram, 0);
    submit(pool, ram->a, 0, 60);
    counts = collect(pool, 0);
    g_assert_cmpuint(counts.zero, ==, 20);
    g_assert_cmpuint(counts.normal, ==, 40);
    g_assert_cmpuint(counts.compressed, ==, 0);
    pool_free(pool);
}

static void test_bad_level(void)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(compress_new(&codec_zlib, 4, 10, &err));
    g_assert_error(err, MIG_ERROR, MIG_ERROR_HOST);
}

/* Pages that shrink by less and less: check_data() holds the limit. */
static void test_hardly_shrinks(void)
{
    g_autoptr(TestRam) ram = test_ram_new(64, 0);
    Pool *pool = new_pool(1, 1);
    PageCounts all = { 0 };

    for (unsigned from = MIG_PAGE_SIZE - 4 * 64; from < MIG_PAGE_SIZE;
         from += 64) {
        PageCounts counts;

        fill_block(ram->a, PAGE_NOISE);
        for (unsigned i = 0; i < 64; i++) {
            memset(ram_block_page(ram->a, i) + from + i, 0,
                   MIG_PAGE_SIZE - from - i);
        }
        submit(pool, ram->a, 0, 64);
        counts = collect(pool, 0);
        all.normal += counts.normal;
        all.compressed += counts.compressed;
    }
    /* Both sides of the limit were seen. */
    g_assert_cmpuint(all.normal, >, 0);
    g_assert_cmpuint(all.compressed, >, 0);
    pool_free(pool);
}

/* The longest that a job can get: a long name, and nothing shrinks. */
static void test_longest_job(void)
{
    g_autoptr(TestRam) ram = test_ram_new(64, 0);
    g_autofree char *name = g_strnfill(WIRE_NAME_MAX, 'n');
    RamBlock block = *ram->a;
    Pool *pool = new_pool(1, 1);
    const CompressJob *job;

    block.name = name;
    fill_block(&block, PAGE_NOISE);
    submit(pool, &block, 0, 64);
    job = pool_collect(pool, true);
    check_job(job);
    g_assert_cmpuint(job->size, ==,
                     1 + WIRE_NAME_MAX + 64 * (8 + MIG_PAGE_SIZE));
    pool_release(pool);
    pool_free(pool);
}

/* Bounds and order, at several sizes of the pool. */
static void test_order(void)
{
    enum { BATCHES = 60, BATCH = 7 };
    g_autoptr(TestRam) ram = test_ram_new(BATCHES * BATCH, 0);

    test_ram_fill(ram, 9);
    for (unsigned threads = 1; threads <= 9; threads += 4) {
        Pool *pool = new_pool(threads, 1);
        unsigned submitted = 0, collected = 0;

        while (collected < BATCHES) {
            unsigned most = pipeline_jobs(threads);
            unsigned jobs = MIN(most, BATCHES - collected);

            while (submitted < collected + jobs) {
                submit(pool, ram->a, BATCH * submitted++, BATCH);
            }
            g_assert_true(jobs < most || !pool_next(pool));
            collect(pool, BATCH * collected++);
        }
        g_assert_null(pool_collect(pool, true));
        pool_free(pool);
    }
    pool_free(NULL);
}

static void test_free_with_jobs(void)
{
    g_autoptr(TestRam) ram = test_ram_new(64, 0);
    Pool *pool = new_pool(2, 9);

    test_ram_fill(ram, 1);
    for (unsigned i = 0; i < 6; i++) {
        submit(pool, ram->a, 0, 64);
    }
    pool_free(pool);
}

/*
 * A codec in whose middle the guest writes to the page.  The page has its own
 * address in its first bytes, so that the codec finds it.
 */
static size_t meddling_encode(void *encoder, const uint8_t *page, size_t size,
                              uint8_t *out, size_t max)
{
    uint8_t *guest;

    memcpy(&guest, page, sizeof(guest));
    g_assert_true(guest != page);
    memset(guest, 0x99, MIG_PAGE_SIZE);
    for (unsigned i = sizeof(guest); i < MIG_PAGE_SIZE; i++) {
        g_assert_cmpuint(page[i], ==, 0x11);
    }
    return codec_zlib.encode(encoder, page, size, out, max);
}

/* What is compressed is a copy that nobody writes to. */
static void test_guest_writes(void)
{
    g_autoptr(TestRam) ram = test_ram_new(1, 0);
    uint8_t *page = ram_block_page(ram->a, 0);
    uint8_t before[MIG_PAGE_SIZE];
    const CompressJob *job;
    Codec codec = codec_zlib;
    Pool *pool;

    codec.encode = meddling_encode;
    pool = compress_new(&codec, 1, 1, NULL);
    memset(page, 0x11, MIG_PAGE_SIZE);
    memcpy(page, &page, sizeof(page));
    memcpy(before, page, MIG_PAGE_SIZE);
    submit(pool, ram->a, 0, 1);
    job = pool_collect(pool, true);
    g_assert_cmpuint(page[0], ==, 0x99);
    memcpy(page, before, MIG_PAGE_SIZE);
    g_assert_cmpuint(check_job(job).compressed, ==, 1);
    pool_release(pool);
    pool_free(pool);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-compress/kinds", test_kinds);
    g_test_add_func("/ram-compress/mixed", test_mixed);
    g_test_add_func("/ram-compress/level-0", test_level_0);
    g_test_add_func("/ram-compress/bad-level", test_bad_level);
    g_test_add_func("/ram-compress/hardly-shrinks", test_hardly_shrinks);
    g_test_add_func("/ram-compress/longest-job", test_longest_job);
    g_test_add_func("/ram-compress/order", test_order);
    g_test_add_func("/ram-compress/free-with-jobs", test_free_with_jobs);
    g_test_add_func("/ram-compress/guest-writes", test_guest_writes);
    return g_test_run();
}
