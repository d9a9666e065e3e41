/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a page costs: the bare codec on one core, and the pools with 1 to 64
 * threads, on the non-zero pages of a RAM image.
 *
 *     bench-pool IMAGE [PAGES]
 *
 * Prints JSON.  Everything is measured in this one run, so that ratios hold.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migration/codec.h"
#include "migration/ram-compress.h"
#include "migration/ram-decompress.h"
#include "migration/ram-record.h"
#include "migration/wire.h"
#include "util/clock.h"
#include "util/zero.h"

typedef struct Bench {
    RamBlock block;     /* the non-zero pages, packed */
    uint8_t *encoded;   /* WIRE_COMPRESSED_MAX bytes for each */
    uint32_t *length;   /* 0: did not shrink */
} Bench;

static uint8_t *map_pages(size_t bytes)
{
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    g_assert(p != MAP_FAILED);
    return p;
}

/* Spread over the image, so that a part of it is like the whole. */
static void load_pages(Bench *b, const char *path, uint64_t max)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    uint8_t *image;
    uint64_t pages, n = 0;

    if (fd < 0 || fstat(fd, &st) < 0) {
        perror(path);
        exit(1);
    }
    pages = (uint64_t)st.st_size / MIG_PAGE_SIZE;
    image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    g_assert(image != MAP_FAILED);
    b->block = (RamBlock){ .name = "ram" };
    b->block.host = map_pages(max * MIG_PAGE_SIZE);
    for (uint64_t i = 0; i < pages && n < max; i++) {
        uint64_t page = i * 7919 % pages;

        if (!buffer_is_zero(image + page * MIG_PAGE_SIZE, MIG_PAGE_SIZE)) {
            memcpy(ram_block_page(&b->block, n++),
                   image + page * MIG_PAGE_SIZE, MIG_PAGE_SIZE);
        }
    }
    b->block.pages = n;
    b->encoded = map_pages(n * WIRE_COMPRESSED_MAX);
    b->length = g_new0(uint32_t, n);
    munmap(image, (size_t)st.st_size);
    close(fd);
}

static double mb_per_second(const Bench *b, int64_t begin)
{
    int64_t ns = clock_now(&clock_monotonic) - begin;

    return (double)(b->block.pages * MIG_PAGE_SIZE) * 1000 / (double)ns;
}

static void bench_codec(Bench *b, unsigned level)
{
    void *encoder = codec_zlib.encoder_new(level, NULL);
    void *decoder = codec_zlib.decoder_new(NULL);
    uint8_t page[MIG_PAGE_SIZE];
    uint64_t out = 0;
    double encode, decode;
    int64_t begin = clock_now(&clock_monotonic);

    for (uint64_t i = 0; i < b->block.pages; i++) {
        b->length[i] = (uint32_t)codec_zlib.encode(
            encoder, ram_block_page(&b->block, i), MIG_PAGE_SIZE,
            b->encoded + i * WIRE_COMPRESSED_MAX, MIG_PAGE_SIZE - 5);
        out += b->length[i] ? b->length[i] : MIG_PAGE_SIZE;
    }
    encode = mb_per_second(b, begin);
    begin = clock_now(&clock_monotonic);
    for (uint64_t i = 0; i < b->block.pages; i++) {
        if (b->length[i]) {
            codec_zlib.decode(decoder, b->encoded + i * WIRE_COMPRESSED_MAX,
                              b->length[i], page, MIG_PAGE_SIZE);
        }
    }
    decode = mb_per_second(b, begin);
    printf("    {\"bench\": \"codec\", \"codec\": \"zlib\", \"level\": %u, "
           "\"encode_mb_s\": %.1f, \"decode_mb_s\": %.1f, "
           "\"ratio\": %.3f},\n",
           level, encode, decode,
           (double)out / (double)(b->block.pages * MIG_PAGE_SIZE));
    codec_zlib.encoder_free(encoder);
    codec_zlib.decoder_free(decoder);
}

static bool collect(CompressPool *pool)
{
    bool any = compress_collect(pool, true) != NULL;

    if (any) {
        compress_release(pool);
    }
    return any;
}

static double bench_compress(Bench *b, unsigned threads)
{
    CompressPool *pool = compress_new(&codec_zlib, threads, 1, NULL);
    int64_t begin = clock_now(&clock_monotonic);
    double rate;

    for (uint64_t i = 0; i < b->block.pages; i += RAM_BATCH_PAGES) {
        CompressJob *job;

        while (!(job = compress_next(pool))) {
            collect(pool);
        }
        job->batch.block = &b->block;
        job->batch.count = (unsigned)MIN(b->block.pages - i, RAM_BATCH_PAGES);
        for (unsigned k = 0; k < job->batch.count; k++) {
            job->batch.page[k] = i + k;
        }
        compress_submit(pool);
    }
    while (collect(pool)) {
        continue;
    }
    rate = mb_per_second(b, begin);
    compress_free(pool);
    return rate;
}

static double bench_decompress(Bench *b, unsigned threads)
{
    RamBlocks blocks = { &b->block, 1, b->block.pages };
    RamBlock out = b->block;
    DecompressPool *pool;
    int64_t begin;
    double rate;

    out.host = map_pages(b->block.pages * MIG_PAGE_SIZE);
    blocks.block = &out;
    pool = decompress_new(&codec_zlib, threads, &blocks, NULL);
    begin = clock_now(&clock_monotonic);
    for (uint64_t i = 0; i < b->block.pages; i++) {
        if (b->length[i]) {
            memcpy(decompress_add(pool, &out, i, b->length[i], 0, NULL),
                   b->encoded + i * WIRE_COMPRESSED_MAX, b->length[i]);
        }
    }
    g_assert(decompress_drain(pool, NULL));
    rate = mb_per_second(b, begin);
    decompress_free(pool);
    munmap(out.host, b->block.pages * MIG_PAGE_SIZE);
    return rate;
}

int main(int argc, char **argv)
{
    static const unsigned levels[] = { 9, 6, 1 }; /* 1 last: pools use it */
    Bench b = { 0 };

    if (argc < 2) {
        fprintf(stderr, "usage: bench-pool IMAGE [PAGES]\n");
        return 1;
    }
    load_pages(&b, argv[1], argc > 2 ? strtoull(argv[2], NULL, 0) : 30000);
    printf("{\n  \"pages\": %" G_GUINT64_FORMAT ", \"cores\": %ld,\n"
           "  \"results\": [\n",
           b.block.pages, sysconf(_SC_NPROCESSORS_ONLN));
    for (unsigned i = 0; i < G_N_ELEMENTS(levels); i++) {
        bench_codec(&b, levels[i]);
    }
    for (unsigned threads = 1; threads <= 64; threads *= 2) {
        printf("    {\"bench\": \"pool\", \"threads\": %u, "
               "\"compress_mb_s\": %.1f, \"decompress_mb_s\": %.1f}%s\n",
               threads, bench_compress(&b, threads),
               bench_decompress(&b, threads), threads < 64 ? "," : "");
        fflush(stdout);
    }
    printf("  ]\n}\n");
    g_free(b.length);
    return 0;
}
