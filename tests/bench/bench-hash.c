/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What it costs to know which pages have not changed.
 *
 *     bench-hash IMAGE [PAGES]
 *
 * Prints JSON: the hash beside a copy and an unkeyed hash, and for each method
 * the CPU time of a pass over the image without hashes, of one that hashes
 * what it sends, as the first one does, and of one that finds all unchanged.
 * The three take turns; each figure is the median of ROUNDS.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench-pages.h"
#include "migration/ram/sent-hash.h"
#include "tests/lib/compress-pool.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { THREADS = 2, LEVEL = 1, ROUNDS = 21 };

typedef enum { WITHOUT, FIRST, UNCHANGED, WAYS } Way;

/* One core */

typedef struct World {
    PageHashKey key;
    uint8_t copy[MIG_PAGE_SIZE];
    uint64_t all; /* so that no result is left out */
} World;

static void copy_page(World *w, const uint8_t *page)
{
    memcpy(w->copy, page, MIG_PAGE_SIZE);
    w->all += w->copy[page[0]];
}

static void hash_page(World *w, const uint8_t *page)
{
    w->all += page_hash(&w->key, page).low;
}

static void xxh3_page(World *w, const uint8_t *page)
{
    w->all += XXH3_64bits(page, MIG_PAGE_SIZE);
}

static double rate_of(World *w, const RamBlock *block,
                      void (*f)(World *w, const uint8_t *page))
{
    BenchBegin begin = bench_begin();

    for (uint64_t i = 0; i < block->pages; i++) {
        f(w, ram_block_page(block, i));
    }
    return bench_end(block, begin).cpu;
}

/* Passes */

typedef struct Pass {
    const RamBlock *block;
    Pool *pool;
    SentHash *sent; /* NULL: without */
    uint64_t bytes;
} Pass;

static bool collect(Pass *pass)
{
    CompressJob *job = pool_collect(pass->pool, true);

    if (!job) {
        return false;
    }
    if (pass->sent) {
        sent_hash_put(pass->sent, &job->batch, job->hash);
    }
    pass->bytes += job->size;
    pool_release(pass->pool);
    return true;
}

static void submit(Pass *pass, uint64_t first)
{
    CompressJob *job;

    while (!(job = pool_next(pass->pool))) {
        collect(pass);
    }
    job->batch.block = pass->block;
    job->batch.count = (unsigned)MIN(pass->block->pages - first,
                                     RAM_BATCH_PAGES);
    for (unsigned i = 0; i < job->batch.count; i++) {
        job->batch.page[i] = first + i;
    }
    if (pass->sent) {
        job->key = sent_hash_key(pass->sent);
        sent_hash_take(pass->sent, &job->batch, job->hash);
    }
    pool_submit(pass->pool);
}

/* MB a second of CPU. */
static double run_pass(Pass *pass)
{
    BenchBegin begin = bench_begin();

    for (uint64_t i = 0; i < pass->block->pages; i += RAM_BATCH_PAGES) {
        submit(pass, i);
    }
    while (collect(pass)) {
        continue;
    }
    return bench_end(pass->block, begin).cpu;
}

static void run_ways(const RamBlocks *blocks, const Codec *codec,
                     double rate[WAYS])
{
    Pass pass = { .block = &blocks->block[0] };

    pass.pool = compress_new(codec, THREADS, LEVEL, NULL);
    rate[WITHOUT] = run_pass(&pass);
    pool_free(pass.pool);

    pass.pool = compress_new(codec, THREADS, LEVEL, NULL);
    pass.sent = sent_hash_new(blocks, NULL);
    rate[FIRST] = run_pass(&pass);
    pass.bytes = 0;
    rate[UNCHANGED] = run_pass(&pass);
    g_assert(pass.bytes == 0);
    pool_free(pass.pool);
    sent_hash_free(pass.sent);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* From the least to the most; the median is in the middle. */
static void sort(double value[ROUNDS])
{
    qsort(value, ROUNDS, sizeof(*value), compare);
}

static void bench_method(const RamBlocks *blocks, const Codec *codec)
{
    double rate[WAYS], by_way[WAYS][ROUNDS], more[ROUNDS];

    for (unsigned i = 0; i < ROUNDS; i++) {
        run_ways(blocks, codec, rate);
        for (unsigned way = 0; way < WAYS; way++) {
            by_way[way][i] = rate[way];
        }
        more[i] = rate[WITHOUT] / rate[FIRST];
    }
    for (unsigned way = 0; way < WAYS; way++) {
        sort(by_way[way]);
    }
    sort(more);
    printf(",\n    {\"method\": \"%s\", \"without_mb_cpu_s\": %.1f, "
           "\"first_mb_cpu_s\": %.1f, \"unchanged_mb_cpu_s\": %.1f, "
           "\"cpu_first_to_without\": %.3f, \"least\": %.3f, "
           "\"most\": %.3f}",
           codec->name, by_way[WITHOUT][ROUNDS / 2],
           by_way[FIRST][ROUNDS / 2], by_way[UNCHANGED][ROUNDS / 2],
           more[ROUNDS / 2], more[0], more[ROUNDS - 1]);
    fflush(stdout);
}

static void print_core(const RamBlock *block)
{
    World *w = g_new0(World, 1);
    double copy, hash, xxh3;

    g_assert(page_hash_key_init(&w->key, NULL));
    rate_of(w, block, copy_page); /* the caches and the clock rate */
    copy = rate_of(w, block, copy_page);
    hash = rate_of(w, block, hash_page);
    xxh3 = rate_of(w, block, xxh3_page);
    printf("    {\"memcpy_mb_s\": %.0f, \"hash_mb_s\": %.0f, "
           "\"xxh3_mb_s\": %.0f}", copy, hash, xxh3);
    g_assert(w->all);
    g_free(w);
}

int main(int argc, char **argv)
{
    RamBlock block = bench_load_args(argc, argv);
    RamBlocks blocks = { &block, 1, block.pages };

    printf("{\n  \"results\": [\n");
    print_core(&block);
    for (uint64_t method = 0; method < CODEC_COUNT; method++) {
        const Codec *codec = codec_by_method(method);

        if (codec->available) {
            bench_method(&blocks, codec);
        }
    }
    printf("\n  ]\n}\n");
    bench_unload(&block);
    return 0;
}
