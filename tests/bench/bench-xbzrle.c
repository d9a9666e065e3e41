/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Up to how many bytes the changes of a page should be sent instead of the
 * page, compressed: XBZRLE_ROOM_COMPRESS of migration/ram/save.c.
 *
 *     bench-xbzrle IMAGE [PAGES]
 *
 * Pages of the image are changed: words all over the page, or in a row, to
 * noise or to those of another page.  Prints the bytes that a page takes on
 * average by zlib at level 1, and by changes where these take no more than a
 * quarter of the page, a half or all of it, and zlib for the others; last if
 * the smaller of both were sent, which takes the time of both.  And the CPU
 * time for a page, of both.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "bench-pages.h"
#include "migration/wire/xbzrle.h"

enum { WORDS = MIG_PAGE_SIZE / 8, LEVEL = 1 };

static const size_t rooms[] = {
    MIG_PAGE_SIZE / 4, MIG_PAGE_SIZE / 2, MIG_PAGE_SIZE - 3
};

typedef struct Way {
    const char *name;
    bool in_a_row;
    bool noise;
} Way;

static const Way ways[] = {
    { "noise anywhere", false, true },
    { "noise in a row", true, true },
    { "page anywhere", false, false },
    { "page in a row", true, false },
};

/* What a page takes, in bytes. */
typedef struct Sizes {
    size_t whole, changes;
} Sizes;

static uint64_t noise(GRand *rand)
{
    return (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
}

static void change(uint8_t *page, const uint8_t *other, unsigned words,
                   const Way *way, GRand *rand)
{
    unsigned first = (unsigned)g_rand_int_range(rand, 0,
                                                WORDS - (gint32)words + 1);

    for (unsigned i = 0; i < words; i++) {
        unsigned at = 8 * (way->in_a_row
                               ? first + i
                               : (unsigned)g_rand_int_range(rand, 0, WORDS));
        uint64_t word = noise(rand);

        memcpy(page + at, way->noise ? (uint8_t *)&word : other + at, 8);
    }
}

/* Not shorter: the page itself is sent. */
static size_t or_page(size_t size)
{
    return size == 0 || size > MIG_PAGE_SIZE ? MIG_PAGE_SIZE : size;
}

static double mean(const Sizes *sizes, uint64_t pages, size_t room)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < pages; i++) {
        sum += sizes[i].changes <= room ? sizes[i].changes : sizes[i].whole;
    }
    return (double)sum / (double)pages;
}

static double mean_of_smaller(const Sizes *sizes, uint64_t pages)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < pages; i++) {
        sum += MIN(sizes[i].changes, sizes[i].whole);
    }
    return (double)sum / (double)pages;
}

/* Microseconds for a page. */
static double cost(const RamBlock *block, BenchBegin begin)
{
    return MIG_PAGE_SIZE / bench_end(block, begin).cpu;
}

static void bench_changes(const RamBlock *before, const RamBlock *now,
                          Sizes *sizes, unsigned words, const Way *way)
{
    GRand *rand = g_rand_new_with_seed(words);
    void *encoder = codec_zlib.encoder_new(LEVEL, NULL);
    uint8_t out[MIG_PAGE_SIZE];
    BenchBegin begin;
    double by_changes;

    memcpy(now->host, before->host, now->pages * MIG_PAGE_SIZE);
    for (uint64_t i = 0; i < now->pages; i++) {
        change(ram_block_page(now, i),
               ram_block_page(before, (i + before->pages / 2) % before->pages),
               words, way, rand);
    }
    begin = bench_begin();
    for (uint64_t i = 0; i < now->pages; i++) {
        sizes[i].changes =
            or_page(xbzrle_encode(ram_block_page(before, i),
                                  ram_block_page(now, i), out, sizeof(out)));
    }
    by_changes = cost(now, begin);
    begin = bench_begin();
    for (uint64_t i = 0; i < now->pages; i++) {
        sizes[i].whole =
            or_page(codec_zlib.encode(encoder, ram_block_page(now, i),
                                      MIG_PAGE_SIZE, out, sizeof(out) - 1));
    }
    printf("%5u  %-14s  %6.0f", words, way->name,
           mean(sizes, now->pages, 0));
    for (size_t i = 0; i < G_N_ELEMENTS(rooms); i++) {
        printf("  %6.0f", mean(sizes, now->pages, rooms[i]));
    }
    printf("  %6.0f   %5.2f  %5.2f\n", mean_of_smaller(sizes, now->pages),
           by_changes, cost(now, begin));
    codec_zlib.encoder_free(encoder);
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    static const unsigned words[] = { 1,  8,   16,  32,  64,
                                      96, 128, 192, 256, 384, 512 };
    RamBlock before = bench_load_args(argc, argv);
    RamBlock now = before;
    g_autofree Sizes *sizes = g_new(Sizes, before.pages);

    now.host = bench_map(now.pages * MIG_PAGE_SIZE);
    printf("%" G_GUINT64_FORMAT " pages; bytes of one, and microseconds\n\n"
           "words  to                zlib  quarter    half   whole  smaller "
           "changes   zlib\n", before.pages);
    for (const Way *way = ways; way < ways + G_N_ELEMENTS(ways); way++) {
        for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
            bench_changes(&before, &now, sizes, words[i], way);
        }
    }
    bench_unload(&now);
    bench_unload(&before);
    return 0;
}
