/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packs: bytes, and CPU time by whose it is.
 *
 *     bench-pack IMAGE [PAGES]
 *
 * Prints JSON, a row for each method, level and history.  The times are
 * seconds of CPU for all the pages: of the thread that adds pages, of the
 * workers that encode and decode, and of the thread that finishes packs.
 * Without packs, records of 16 pages are the row with history -1.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench-pages.h"
#include "migration/pack/packer.h"
#include "migration/pack/unpacker.h"

typedef struct Row {
    const Codec *codec;
    unsigned level;
    unsigned history; /* MiB */
} Row;

typedef struct Costs {
    uint64_t bytes;
    double add, encode, decode, finish;
} Costs;

static double cpu_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Since *last, which becomes now. */
static double lap(double *last)
{
    double now = cpu_now(), took = now - *last;

    *last = now;
    return took;
}

typedef struct Bench {
    const RamBlock *block;
    Packer *packer;
    Unpacker *unpacker;
    CodecWorker *encoder;
    unsigned level; /* of encoder */
    UnpackWorker *decoder;
    uint8_t *pack, *body;
} Bench;

static void move_pack(Bench *b, uint64_t first, Costs *costs)
{
    unsigned count = (unsigned)MIN(b->block->pages - first, PACK_PAGES);
    double last = cpu_now();
    uint64_t key[PACK_PAGES];
    UnpackJob in;
    PackJob out;
    size_t size;

    packer_begin(b->packer, &out,
                 codec_wants_dictionary(b->encoder->codec, b->level));
    for (unsigned i = 0; i < count; i++) {
        key[i] = first + i;
        packer_add(b->packer, key[i], key[i],
                   ram_block_page(b->block, first + i));
    }
    costs->add += lap(&last);
    size = pack_encode(&out, b->encoder, b->pack);
    costs->encode += lap(&last);
    costs->bytes += size;

    unpacker_begin(b->unpacker, &in, key, count);
    in.in = b->pack;
    in.size = size;
    in.body = b->body;
    if (!unpack_is_ready(b->unpacker, &in)) {
        g_assert_not_reached();
    }
    unpack_decode(&in, b->decoder);
    costs->decode += lap(&last);
    if (unpack_finish(b->unpacker, &in)) {
        fprintf(stderr, "bench-pack: a pack does not come back\n");
        exit(1);
    }
    costs->finish += lap(&last);
}

static Costs run(const RamBlock *block, const Row *row)
{
    CodecWorkerConfig config = {
        .codec = row->codec, .level = row->level,
        .scratch_size = PACK_SCRATCH_SIZE,
    };
    unsigned window = row->history * ((1u << 20) / PACK_SLOT_BYTES);
    Bench b = {
        .block = block,
        .packer = packer_new(window, 1, NULL),
        .unpacker = unpacker_new(window, 1, NULL),
        .encoder = codec_worker_new_encoder(&config, NULL),
        .level = row->level,
        .decoder = unpack_worker_new(NULL, NULL),
        .pack = g_malloc(PACK_SIZE_MAX),
        .body = g_malloc(PACK_BODY_MAX),
    };
    Costs costs = { 0 };

    for (uint64_t i = 0; i < block->pages; i += PACK_PAGES) {
        move_pack(&b, i, &costs);
    }
    packer_free(b.packer);
    unpacker_free(b.unpacker);
    codec_worker_free(b.encoder);
    unpack_worker_free(b.decoder);
    g_free(b.pack);
    g_free(b.body);
    return costs;
}

/* What is sent without packs. */
static Costs run_records(const RamBlock *block, const Row *row)
{
    BenchUnits units;
    Costs costs = { 0 };
    double last;

    bench_units_init(&units, block);
    units.pages = row->codec->batch_pages;
    last = cpu_now();
    bench_encode(&units, row->codec, row->level);
    costs.encode = lap(&last);
    bench_decode(&units, row->codec);
    costs.decode = lap(&last);
    for (uint64_t i = 0; i < block->pages; i += units.pages) {
        costs.bytes += units.length[i]
                           ? units.length[i]
                           : bench_unit_pages(&units, i) * MIG_PAGE_SIZE;
    }
    bench_units_destroy(&units);
    return costs;
}

static void print_row(const Row *row, int history, const Costs *c)
{
    printf(",\n    {\"method\": \"%s\", \"level\": %u, \"history_mib\": %d, "
           "\"mb\": %.1f, \"add_s\": %.2f, \"encode_s\": %.2f, "
           "\"decode_s\": %.2f, \"finish_s\": %.2f}",
           row->codec->name, row->level, history, (double)c->bytes / 1e6,
           c->add, c->encode, c->decode, c->finish);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const Row rows[] = {
        { &codec_lz4, 1, 0 },   { &codec_lz4, 1, 64 },  { &codec_lz4, 1, 1024 },
        { &codec_zstd, 0, 64 }, { &codec_zstd, 1, 0 },  { &codec_zstd, 1, 64 },
        { &codec_zstd, 1, 1024 }, { &codec_zstd, 3, 64 },
        { &codec_zstd, 3, 1024 }, { &codec_zstd, 6, 64 },
        { &codec_zstd, 6, 1024 },
    };
    RamBlock block = bench_load_args(argc, argv);

    printf("{\n  \"pages\": %" G_GUINT64_FORMAT ",\n  \"results\": [\n    {}",
           block.pages);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Costs costs;

        if (!rows[i].codec->available) {
            continue;
        }
        if (!rows[i].history) {
            costs = run_records(&block, &rows[i]);
            print_row(&rows[i], -1, &costs);
        }
        costs = run(&block, &rows[i]);
        print_row(&rows[i], (int)rows[i].history, &costs);
    }
    printf("\n  ]\n}\n");
    bench_unload(&block);
    return 0;
}
