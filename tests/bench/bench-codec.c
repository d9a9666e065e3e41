/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What compression itself costs: every library, level by level, a page and
 * several pages at a time, on one core, in CPU time.
 *
 *     bench-codec IMAGE [PAGES]
 *
 * Prints JSON, a row for each.  The levels are those of compress-level, but
 * for the libraries of the zlib format, which have their own.
 */
#include <glib.h>
#include <stdio.h>
#include <string.h>

#include "bench-pages.h"
#include "migration/codec-deflate.h"
#include "migration/wire.h"

#define UNITS_MAX 4
#define LEVELS_MAX 6

typedef struct Row {
    const Codec *codec;
    const Codec *decoder;
    const char *name;
    unsigned units[UNITS_MAX];  /* pages at a time; 0 ends them */
    int levels[LEVELS_MAX];     /* -1 ends them */
} Row;

static const Row rows[] = {
    { &deflate_zlib, &deflate_zlib, "zlib", { 1 }, { 1, 6, 9, -1 } },
    { &deflate_libdeflate, &deflate_libdeflate, "libdeflate", { 1 },
      { 1, 4, 6, 10, -1 } },
    { &deflate_isal, &codec_zlib, "ISA-L", { 1 }, { 0, 1, 2, 3, -1 } },
    { &codec_zlib, &codec_zlib, "compress-method zlib", { 1 },
      { 0, 1, 2, 3, 6, -1 } },
    { &codec_zstd, &codec_zstd, "compress-method zstd", { 1, 4, 16, 64 },
      { 0, 1, 2, 5, 9, -1 } },
    { &codec_lz4, &codec_lz4, "compress-method lz4", { 1, 4, 16, 64 },
      { 0, 1, 2, 9, -1 } },
};

typedef struct Unit {
    size_t raw;    /* bytes */
    size_t size;   /* encoded; 0: does not shrink */
} Unit;

typedef struct Bench {
    RamBlock block;
    uint8_t *encoded;  /* as large as the block: a unit stands where its pages
                        * stood */
    uint8_t *out;      /* room for the largest unit */
    Unit *units;
} Bench;

static size_t unit_at(const Bench *b, uint64_t page, unsigned pages)
{
    return (size_t)MIN(b->block.pages - page, pages) * MIG_PAGE_SIZE;
}

static double encode_all(Bench *b, const Codec *codec, unsigned level,
                         unsigned pages)
{
    void *encoder = codec->encoder_new(level, NULL);
    BenchBegin begin = bench_begin();
    Unit *unit = b->units;
    double rate;

    for (uint64_t i = 0; i < b->block.pages; i += pages, unit++) {
        unit->raw = unit_at(b, i, pages);
        unit->size = codec->encode(encoder, ram_block_page(&b->block, i),
                                   unit->raw, b->encoded + i * MIG_PAGE_SIZE,
                                   unit->raw - 1);
    }
    rate = bench_end(&b->block, begin).cpu;
    codec->encoder_free(encoder);
    return rate;
}

/* What did not shrink is not decoded, and still counts: it is copied. */
static double decode_all(Bench *b, const Codec *codec, unsigned pages)
{
    void *decoder = codec->decoder_new(NULL);
    BenchBegin begin = bench_begin();
    const Unit *unit = b->units;
    double rate;

    for (uint64_t i = 0; i < b->block.pages; i += pages, unit++) {
        const uint8_t *from = b->encoded + i * MIG_PAGE_SIZE;

        if (unit->size) {
            g_assert(!codec->decode(decoder, from, unit->size, b->out,
                                    unit->raw));
        } else {
            memcpy(b->out, ram_block_page(&b->block, i), unit->raw);
        }
    }
    rate = bench_end(&b->block, begin).cpu;
    codec->decoder_free(decoder);
    return rate;
}

static double ratio(const Bench *b, unsigned pages)
{
    uint64_t out = 0;
    const Unit *unit = b->units;

    for (uint64_t i = 0; i < b->block.pages; i += pages, unit++) {
        out += unit->size ? unit->size : unit->raw;
    }
    return (double)out / (double)(b->block.pages * MIG_PAGE_SIZE);
}

static void bench_one(Bench *b, const Row *row, unsigned level,
                      unsigned pages)
{
    static const char format[] =
        ",\n    {\"name\": \"%s\", \"encoder\": \"%s\", \"level\": %u, "
        "\"pages\": %u, \"encode_mb_s\": %.1f, \"decode_mb_s\": %.1f, "
        "\"ratio\": %.4f}";
    double encode = encode_all(b, row->codec, level, pages);
    double decode = decode_all(b, row->decoder, pages);

    printf(format, row->name, row->codec->encoder_name(level), level, pages,
           encode, decode, ratio(b, pages));
    fflush(stdout);
}

static void bench_row(Bench *b, const Row *row)
{
    for (unsigned u = 0; u < UNITS_MAX && row->units[u]; u++) {
        for (unsigned l = 0; row->levels[l] >= 0; l++) {
            bench_one(b, row, (unsigned)row->levels[l], row->units[u]);
        }
    }
}

/* What everything else is measured against. */
static double copy_all(Bench *b)
{
    BenchBegin begin = bench_begin();

    for (uint64_t i = 0; i < b->block.pages; i++) {
        memcpy(b->encoded + i * MIG_PAGE_SIZE, ram_block_page(&b->block, i),
               MIG_PAGE_SIZE);
    }
    return bench_end(&b->block, begin).cpu;
}

int main(int argc, char **argv)
{
    Bench b = { .block = bench_load_args(argc, argv) };
    const size_t bytes = (size_t)b.block.pages * MIG_PAGE_SIZE;

    b.encoded = bench_map(bytes);
    b.out = g_malloc(64 * MIG_PAGE_SIZE);
    b.units = g_new0(Unit, b.block.pages);
    printf("{\n  \"pages\": %" G_GUINT64_FORMAT ",\n  \"results\": [\n"
           "    {\"name\": \"memcpy\", \"encode_mb_s\": %.1f}",
           b.block.pages, copy_all(&b));
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].codec->available) {
            bench_row(&b, &rows[i]);
        }
    }
    printf("\n  ]\n}\n");
    g_free(b.units);
    g_free(b.out);
    bench_unmap(b.encoded, bytes);
    bench_unload(&b.block);
    return 0;
}
