/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bench-pages.h"

#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/zero.h"

uint8_t *bench_map(size_t bytes)
{
    uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    g_assert(p != MAP_FAILED);
    return p;
}

void bench_unmap(uint8_t *p, size_t bytes)
{
    munmap(p, bytes);
}

/* 64 neighbours from here, 64 from there: a part of the image is like the
 * whole, and what is compressed together has been together. */
static uint64_t spread(uint64_t i, uint64_t pages)
{
    const uint64_t run = 64;

    return i / run * 7919 % (pages / run) * run + i % run;
}

static uint64_t count_pages(const uint8_t *image, uint64_t pages)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < pages; i++) {
        count += !buffer_is_zero(image + i * MIG_PAGE_SIZE, MIG_PAGE_SIZE);
    }
    return count;
}

BenchImage bench_open_image(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *bytes;

    if (fd < 0 || fstat(fd, &st) < 0) {
        perror(path);
        exit(1);
    }
    bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    g_assert(bytes != MAP_FAILED);
    close(fd);
    return (BenchImage){ bytes, (uint64_t)st.st_size / MIG_PAGE_SIZE };
}

void bench_close_image(BenchImage *image)
{
    munmap((void *)image->bytes, (size_t)image->pages * MIG_PAGE_SIZE);
}

RamBlock bench_load(const char *path, uint64_t max)
{
    BenchImage image = bench_open_image(path);
    RamBlock block = { .name = "ram" };
    uint64_t pages = image.pages;
    bool all = count_pages(image.bytes, pages) <= max;

    block.host = bench_map(max * MIG_PAGE_SIZE);
    for (uint64_t i = 0; i < pages / 64 * 64 && block.pages < max; i++) {
        uint64_t from = all ? i : spread(i, pages);
        const uint8_t *page = image.bytes + from * MIG_PAGE_SIZE;

        if (!buffer_is_zero(page, MIG_PAGE_SIZE)) {
            memcpy(block.host + block.pages * MIG_PAGE_SIZE, page,
                   MIG_PAGE_SIZE);
            block.pages++;
        }
    }
    bench_close_image(&image);
    return block;
}

RamBlock bench_load_args(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s IMAGE [PAGES]\n", argv[0]);
        exit(1);
    }
    return bench_load(argv[1], argc > 2 ? strtoull(argv[2], NULL, 0)
                                        : BENCH_PAGES);
}

void bench_unload(RamBlock *block)
{
    bench_unmap(block->host, block->pages * MIG_PAGE_SIZE);
}

BenchBegin bench_begin(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (BenchBegin){
        .time = clock_now(&clock_monotonic),
        .cpu = ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec,
    };
}

BenchRate bench_end(const RamBlock *block, BenchBegin begin)
{
    const double bytes = (double)(block->pages * MIG_PAGE_SIZE);
    BenchBegin now = bench_begin();

    return (BenchRate){
        .time = bytes * 1000 / (double)(now.time - begin.time),
        .cpu = bytes * 1000 / (double)(now.cpu - begin.cpu),
    };
}

void bench_units_init(BenchUnits *units, const RamBlock *block)
{
    *units = (BenchUnits){
        .block = block, .pages = 1,
        .encoded = bench_map((size_t)block->pages * MIG_PAGE_SIZE),
        .length = g_new0(uint32_t, block->pages),
    };
}

void bench_units_destroy(BenchUnits *units)
{
    bench_unmap(units->encoded, (size_t)units->block->pages * MIG_PAGE_SIZE);
    g_free(units->length);
}

unsigned bench_unit_pages(const BenchUnits *units, uint64_t first)
{
    return (unsigned)MIN(units->block->pages - first, units->pages);
}

static size_t unit_bytes(const BenchUnits *units, uint64_t first)
{
    return (size_t)bench_unit_pages(units, first) * MIG_PAGE_SIZE;
}

BenchRate bench_encode(BenchUnits *units, const Codec *codec, unsigned level)
{
    const RamBlock *block = units->block;
    void *encoder = codec->encoder_new(level, NULL);
    BenchBegin begin = bench_begin();
    BenchRate rate;

    for (uint64_t i = 0; i < block->pages; i += units->pages) {
        size_t raw = unit_bytes(units, i);

        units->length[i] = (uint32_t)codec->encode(
            encoder, ram_block_page(block, i), raw,
            units->encoded + i * MIG_PAGE_SIZE, raw - 1);
    }
    rate = bench_end(block, begin);
    codec->encoder_free(encoder);
    return rate;
}

static void decode_unit(const BenchUnits *units, const Codec *codec,
                        void *decoder, uint64_t first, uint8_t *out)
{
    if (units->length[first]) {
        g_assert(!codec->decode(decoder,
                                units->encoded + first * MIG_PAGE_SIZE,
                                units->length[first], out,
                                unit_bytes(units, first)));
    }
}

BenchRate bench_decode(const BenchUnits *units, const Codec *codec)
{
    g_autofree uint8_t *out = g_malloc((gsize)units->pages * MIG_PAGE_SIZE);
    void *decoder = codec->decoder_new(NULL);
    BenchBegin begin = bench_begin();
    BenchRate rate;

    for (uint64_t i = 0; i < units->block->pages; i += units->pages) {
        decode_unit(units, codec, decoder, i, out);
    }
    rate = bench_end(units->block, begin);
    codec->decoder_free(decoder);
    return rate;
}
