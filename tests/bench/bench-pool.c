/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the pools cost beyond the codec: each compress-method's codec alone on
 * one core, and the pools with 1 to 64 threads.
 *
 *     bench-pool IMAGE [PAGES]
 *
 * Prints JSON, a row for each.  The codec alone is threads 0: it reads pages
 * and writes them encoded, without looking for zeros, copying a page, or
 * making records.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench-pages.h"
#include "ferry/options.h"
#include "migration/pack/codec.h"
#include "migration/ram/decompress.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/wire.h"
#include "tests/lib/compress-pool.h"

#define LEVEL 1
#define THREADS_MAX 64

typedef struct Bench {
    const Codec *codec;
    RamBlock block;
    BenchUnits units;  /* a unit becomes a record */
} Bench;

static bool collect(Pool *pool)
{
    bool any = pool_collect(pool, true) != NULL;

    if (any) {
        pool_release(pool);
    }
    return any;
}

static BenchRate compress(Bench *b, unsigned threads)
{
    Pool *pool = compress_new(b->codec, threads, LEVEL, NULL);
    BenchBegin begin = bench_begin();
    BenchRate rate;

    for (uint64_t i = 0; i < b->block.pages; i += RAM_BATCH_PAGES) {
        CompressJob *job;

        while (!(job = pool_next(pool))) {
            collect(pool);
        }
        job->batch.block = &b->block;
        job->batch.count = (unsigned)MIN(b->block.pages - i, RAM_BATCH_PAGES);
        for (unsigned k = 0; k < job->batch.count; k++) {
            job->batch.page[k] = i + k;
        }
        pool_submit(pool);
    }
    while (collect(pool)) {
        continue;
    }
    rate = bench_end(&b->block, begin);
    pool_free(pool);
    return rate;
}

static void add_record(DecompressPool *pool, const Bench *b,
                       const RamBlock *to, uint64_t page)
{
    RamRecord record = {
        .type = b->codec->batch_pages > 1 ? WIRE_RAM_BATCH
                                          : WIRE_RAM_COMPRESSED,
        .offset = page * MIG_PAGE_SIZE,
        .length = b->units.length[page],
    };

    record.pages.count = bench_unit_pages(&b->units, page);
    for (unsigned i = 0; i < record.pages.count; i++) {
        record.pages.page[i] = page + i;
    }
    memcpy(decompress_add_record(pool, to, &record, NULL),
           b->units.encoded + page * MIG_PAGE_SIZE, record.length);
}

static BenchRate decompress(Bench *b, unsigned threads)
{
    const size_t bytes = (size_t)b->block.pages * MIG_PAGE_SIZE;
    RamBlock out = b->block;
    RamBlocks blocks = { &out, 1, out.pages };
    DecompressPool *pool;
    BenchBegin begin;
    BenchRate rate;

    out.host = bench_map(bytes);
    pool = decompress_new(b->codec, threads, &blocks, NULL);
    begin = bench_begin();
    for (uint64_t i = 0; i < out.pages; i += b->codec->batch_pages) {
        if (b->units.length[i]) {
            add_record(pool, b, &out, i);
        }
    }
    g_assert(decompress_drain(pool, NULL));
    rate = bench_end(&b->block, begin);
    decompress_free(pool);
    bench_unmap(out.host, bytes);
    return rate;
}

static void print_row(const Bench *b, unsigned threads, BenchRate in,
                      BenchRate out)
{
    printf(",\n    {\"method\": \"%s\", \"threads\": %u, "
           "\"compress_mb_s\": %.1f, \"compress_mb_cpu_s\": %.1f, "
           "\"decompress_mb_s\": %.1f, \"decompress_mb_cpu_s\": %.1f}",
           b->codec->name, threads, in.time, in.cpu, out.time, out.cpu);
    fflush(stdout);
}

static void bench_method(Bench *b)
{
    BenchRate encode = bench_encode(&b->units, b->codec, LEVEL);

    print_row(b, 0, encode, bench_decode(&b->units, b->codec));
    for (unsigned threads = 1; threads <= THREADS_MAX; threads *= 2) {
        print_row(b, threads, compress(b, threads), decompress(b, threads));
    }
}

int main(int argc, char **argv)
{
    Bench b = { .block = bench_load_args(argc, argv) };

    bench_units_init(&b.units, &b.block);
    printf("{\n  \"pages\": %" G_GUINT64_FORMAT ",\n  \"results\": [\n"
           "    {\"cores\": %ld}",
           b.block.pages, sysconf(_SC_NPROCESSORS_ONLN));
    for (uint64_t method = 0; method < CODEC_COUNT; method++) {
        b.codec = codec_by_method(method);
        if (b.codec->available) {
            b.units.pages = b.codec->batch_pages;
            bench_method(&b);
        }
    }
    printf("\n  ]\n}\n");
    bench_units_destroy(&b.units);
    bench_unload(&b.block);
    return 0;
}
