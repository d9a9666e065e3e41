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
 *
 *     bench-pack --again IMAGE LATER
 *
 * Both are of the same guest's RAM.  First all pages of IMAGE are sent, then
 * those of LATER that are not as they were in IMAGE, and only what these take
 * is printed, with what the packer made of them.
 */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench-pages.h"
#include "migration/pack/packer.h"
#include "migration/pack/unpacker.h"
#include "util/zero.h"

typedef struct Row {
    const Codec *codec;
    unsigned level;
    unsigned history; /* MiB */
} Row;

typedef struct Costs {
    uint64_t bytes;
    uint64_t kind[PACK_KINDS]; /* pages */
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

/* What is sent, in this order. */
typedef struct Pages {
    const uint8_t *ram;
    const uint64_t *page; /* numbers of pages in ram; each page's address */
    uint64_t count;
} Pages;

typedef struct Bench {
    Packer *packer;
    Unpacker *unpacker;
    CodecWorker *encoder;
    unsigned level; /* of encoder */
    UnpackWorker *decoder;
    uint8_t *pack, *body;
} Bench;

static void bench_init(Bench *b, const Row *row)
{
    CodecWorkerConfig config = {
        .codec = row->codec, .level = row->level,
        .scratch_size = PACK_SCRATCH_SIZE,
    };
    unsigned window = row->history * ((1u << 20) / PACK_SLOT_BYTES);

    *b = (Bench){
        .packer = packer_new(window, 1, NULL),
        .unpacker = unpacker_new(window, 1, NULL),
        .encoder = codec_worker_new_encoder(&config, NULL),
        .level = row->level,
        .decoder = unpack_worker_new(NULL, NULL),
        .pack = g_malloc(PACK_SIZE_MAX),
        .body = g_malloc(PACK_BODY_MAX),
    };
}

static void bench_destroy(Bench *b)
{
    packer_free(b->packer);
    unpacker_free(b->unpacker);
    codec_worker_free(b->encoder);
    unpack_worker_free(b->decoder);
    g_free(b->pack);
    g_free(b->body);
}

/* The pages from `first` on, as many as a pack has. */
static void move_pack(Bench *b, const Pages *pages, uint64_t first,
                      Costs *costs)
{
    unsigned count = (unsigned)MIN(pages->count - first, PACK_PAGES);
    const uint64_t *key = pages->page + first;
    double last = cpu_now();
    PackCounts counts;
    UnpackJob in;
    PackJob out;
    size_t size;

    packer_begin(b->packer, &out,
                 codec_wants_dictionary(b->encoder->codec, b->level));
    for (unsigned i = 0; i < count; i++) {
        packer_add(b->packer, key[i], key[i],
                   pages->ram + key[i] * MIG_PAGE_SIZE);
    }
    costs->add += lap(&last);
    size = pack_encode(&out, b->encoder, b->pack);
    costs->encode += lap(&last);
    costs->bytes += size;
    counts = pack_counts(&out);
    for (unsigned i = 0; i < PACK_KINDS; i++) {
        costs->kind[i] += counts.kind[i];
    }

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

static Costs move_pages(Bench *b, const Pages *pages)
{
    Costs costs = { 0 };

    for (uint64_t i = 0; i < pages->count; i += PACK_PAGES) {
        move_pack(b, pages, i, &costs);
    }
    return costs;
}

static Costs run(const Pages *pages, const Row *row)
{
    Costs costs;
    Bench b;

    bench_init(&b, row);
    costs = move_pages(&b, pages);
    bench_destroy(&b);
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

/* A pack has the pages of an image one after the other. */
static Pages all_pages(const RamBlock *block)
{
    uint64_t *page = g_new(uint64_t, block->pages);

    for (uint64_t i = 0; i < block->pages; i++) {
        page[i] = i;
    }
    return (Pages){ block->host, page, block->pages };
}

static void pages_destroy(Pages *pages)
{
    g_free((gpointer)pages->page);
}

static void bench_image(const RamBlock *block)
{
    static const Row rows[] = {
        { &codec_lz4, 1, 0 },   { &codec_lz4, 1, 64 },  { &codec_lz4, 1, 1024 },
        { &codec_zstd, 0, 64 }, { &codec_zstd, 1, 0 },  { &codec_zstd, 1, 64 },
        { &codec_zstd, 1, 1024 }, { &codec_zstd, 3, 64 },
        { &codec_zstd, 3, 1024 }, { &codec_zstd, 6, 64 },
        { &codec_zstd, 6, 1024 },
    };
    Pages pages = all_pages(block);

    printf("{\n  \"pages\": %" G_GUINT64_FORMAT ",\n  \"results\": [\n    {}",
           block->pages);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Costs costs;

        if (!rows[i].codec->available) {
            continue;
        }
        if (!rows[i].history) {
            costs = run_records(block, &rows[i]);
            print_row(&rows[i], -1, &costs);
        }
        costs = run(&pages, &rows[i]);
        print_row(&rows[i], (int)rows[i].history, &costs);
    }
    printf("\n  ]\n}\n");
    pages_destroy(&pages);
}

/* Pages that are sent again */

/* How many words of 8 bytes a page that has changed differs in. */
static unsigned words_changed(const uint8_t *a, const uint8_t *b)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MIG_PAGE_SIZE; i += 8) {
        count += memcmp(a + i, b + i, 8) != 0;
    }
    return count;
}

static const unsigned word_limits[] = { 16, 128, PACK_DELTA_WORDS, PACK_WORDS };

/* By word_limits, the first that is not exceeded: pages that have changed. */
typedef struct Changes {
    uint64_t pages[G_N_ELEMENTS(word_limits)];
} Changes;

static void count_change(Changes *changes, unsigned words)
{
    unsigned k = 0;

    while (words > word_limits[k]) {
        k++;
    }
    changes->pages[k]++;
}

/* The pages of an image that are not zero. */
static Pages find_pages(const BenchImage *image)
{
    uint64_t *page = g_new(uint64_t, image->pages);
    Pages pages = { image->bytes, page, 0 };

    for (uint64_t i = 0; i < image->pages; i++) {
        if (!buffer_is_zero(image->bytes + i * MIG_PAGE_SIZE, MIG_PAGE_SIZE)) {
            page[pages.count++] = i;
        }
    }
    return pages;
}

/* Of these the ones that an earlier image of the same RAM has otherwise. */
static Pages find_changed(const BenchImage *image, const BenchImage *earlier,
                          Changes *changes)
{
    Pages all = find_pages(image);
    uint64_t *page = g_new(uint64_t, image->pages);
    Pages pages = { image->bytes, page, 0 };

    for (uint64_t i = 0; i < all.count; i++) {
        size_t at = all.page[i] * MIG_PAGE_SIZE;
        unsigned words = words_changed(earlier->bytes + at, image->bytes + at);

        if (words) {
            count_change(changes, words);
            page[pages.count++] = all.page[i];
        }
    }
    pages_destroy(&all);
    return pages;
}

static void print_again(const Row *row, const Costs *c)
{
    printf(",\n    {\"history_mib\": %u, \"bytes\": %" G_GUINT64_FORMAT,
           row->history, c->bytes);
    printf(", \"pattern\": %" G_GUINT64_FORMAT ", \"same\": %" G_GUINT64_FORMAT
           ", \"delta\": %" G_GUINT64_FORMAT ", \"new\": %" G_GUINT64_FORMAT
           ", \"cpu_s\": %.3f}",
           c->kind[PACK_PATTERN], c->kind[PACK_SAME], c->kind[PACK_DELTA],
           c->kind[PACK_NEW], c->add + c->encode);
    fflush(stdout);
}

static void bench_again(const BenchImage *image, const BenchImage *later)
{
    static const Row rows[] = {
        { &codec_zstd, 1, 0 }, { &codec_zstd, 1, 64 }, { &codec_zstd, 1, 512 },
    };
    Changes changes = { { 0 } };
    Pages first = find_pages(image);
    Pages again = find_changed(later, image, &changes);

    printf("{\n  \"first\": %" G_GUINT64_FORMAT ", \"again\": "
           "%" G_GUINT64_FORMAT ",\n  \"words\": {",
           first.count, again.count);
    for (unsigned i = 0; i < G_N_ELEMENTS(word_limits); i++) {
        printf("%s\"%u\": %" G_GUINT64_FORMAT, i ? ", " : "", word_limits[i],
               changes.pages[i]);
    }
    printf("},\n  \"results\": [\n    {}");
    for (unsigned i = 0; codec_zstd.available && i < G_N_ELEMENTS(rows); i++) {
        Costs costs;
        Bench b;

        bench_init(&b, &rows[i]);
        move_pages(&b, &first);
        costs = move_pages(&b, &again);
        bench_destroy(&b);
        print_again(&rows[i], &costs);
    }
    printf("\n  ]\n}\n");
    pages_destroy(&first);
    pages_destroy(&again);
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "--again")) {
        BenchImage image = bench_open_image(argv[2]);
        BenchImage later = bench_open_image(argv[3]);

        if (image.pages != later.pages) {
            fprintf(stderr, "bench-pack: images of different sizes\n");
            return 1;
        }
        bench_again(&image, &later);
        bench_close_image(&image);
        bench_close_image(&later);
    } else {
        RamBlock block = bench_load_args(argc, argv);

        bench_image(&block);
        bench_unload(&block);
    }
    return 0;
}
