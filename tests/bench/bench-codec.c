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
#include "migration/pack/codec-deflate.h"
#include "migration/wire/wire.h"

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
};

static double ratio(const BenchUnits *units)
{
    uint64_t raw = units->block->pages * MIG_PAGE_SIZE, out = 0;

    for (uint64_t i = 0; i < units->block->pages; i += units->pages) {
        out += units->length[i]
                   ? units->length[i]
                   : bench_unit_pages(units, i) * (uint64_t)MIG_PAGE_SIZE;
    }
    return (double)out / (double)raw;
}

static void bench_one(BenchUnits *units, const Row *row, unsigned level)
{
    static const char format[] =
        ",\n    {\"name\": \"%s\", \"encoder\": \"%s\", \"level\": %u, "
        "\"pages\": %u, \"encode_mb_s\": %.1f, \"decode_mb_s\": %.1f, "
        "\"ratio\": %.4f}";
    double encode = bench_encode(units, row->codec, level).cpu;
    double decode = bench_decode(units, row->decoder).cpu;

    printf(format, row->name, row->codec->encoder_name(level), level,
           units->pages, encode, decode, ratio(units));
    fflush(stdout);
}

static void bench_row(BenchUnits *units, const Row *row)
{
    if (!row->codec->available) {
        return;
    }
    for (unsigned u = 0; u < UNITS_MAX && row->units[u]; u++) {
        units->pages = row->units[u];
        for (unsigned l = 0; row->levels[l] >= 0; l++) {
            bench_one(units, row, (unsigned)row->levels[l]);
        }
    }
}

/* Every codec that takes several pages together. */
static void bench_batches(BenchUnits *units)
{
    for (unsigned i = 0; i < CODEC_COUNT; i++) {
        const Codec *codec = codec_by_method(i);
        g_autofree char *name = g_strdup_printf("compress-method %s",
                                                codec->name);
        const Row row = { codec, codec, name, { 1, 4, 16, 64 },
                          { 0, 1, 2, 5, 9, -1 } };

        if (codec->batch_pages > 1) {
            bench_row(units, &row);
        }
    }
}

/* What everything else is measured against. */
static double copy_all(const BenchUnits *units)
{
    const RamBlock *block = units->block;
    BenchBegin begin = bench_begin();

    for (uint64_t i = 0; i < block->pages; i++) {
        memcpy(units->encoded + i * MIG_PAGE_SIZE, ram_block_page(block, i),
               MIG_PAGE_SIZE);
    }
    return bench_end(block, begin).cpu;
}

int main(int argc, char **argv)
{
    RamBlock block = bench_load_args(argc, argv);
    BenchUnits units;

    bench_units_init(&units, &block);
    printf("{\n  \"pages\": %" G_GUINT64_FORMAT ",\n  \"results\": [\n"
           "    {\"name\": \"memcpy\", \"encode_mb_s\": %.1f}",
           block.pages, copy_all(&units));
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        bench_row(&units, &rows[i]);
    }
    bench_batches(&units);
    printf("\n  ]\n}\n");
    bench_units_destroy(&units);
    bench_unload(&block);
    return 0;
}
