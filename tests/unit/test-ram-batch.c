/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Batches and ranges of zero pages: from the compression pool through the load
 * loop into memory, and what the load loop refuses of them.
 */
#include <string.h>

#include "migration/ram/load.h"
#include "tests/lib/compress-pool.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/load-section.h"
#include "tests/lib/mem-channel.h"
#include "tests/lib/test-ram.h"

enum { PAGES = 640 };

static bool can_run(const Codec *codec)
{
    if (!codec->available) {
        g_autofree char *why = g_strdup_printf("%s was NOT BUILT IN",
                                               codec->name);

        g_test_skip(why);
    }
    return codec->available;
}

/* A stream of one section, that block "a" is loaded from. */
typedef struct World {
    const Codec *codec;
    TestRam *from;
    TestRam *to;
    MemWriter *writer;
    Stream *s; /* the writer's */
    PageCounts counts; /* what the pool says of what is in it */
} World;

static void world_init_sized(World *w, const Codec *codec, uint64_t pages)
{
    w->codec = codec;
    w->from = test_ram_new(pages, 0);
    w->to = test_ram_new(pages, 0);
    w->writer = mem_writer_new();
    w->s = w->writer->stream;
    w->counts = (PageCounts){ 0 };
    ram_record_put_mem_size(w->s, pages * MIG_PAGE_SIZE);
    stream_put_name(w->s, "a");
    stream_put_be64(w->s, pages * MIG_PAGE_SIZE);
    ram_record_put_eos(w->s);
}

static void world_init(World *w, const Codec *codec)
{
    world_init_sized(w, codec, PAGES);
}

static bool load(World *w, StatsData *data, GError **err)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(MemReader) r = NULL;
    Stats *stats = stats_new(&clock_monotonic);
    StatsChannel counted = { .stats = stats };
    RamLoad *ram;
    bool ok;

    ram_record_put_eos(w->s);
    bytes = mem_writer_finish(g_steal_pointer(&w->writer));
    r = mem_reader_new(bytes);
    ram = ram_load_new(r->stream, w->to->blocks, 2, &counted);
    ram_load_set_codec(ram, w->codec);
    ok = load_blocks(ram, r->stream, err) &&
         load_section(ram, r->stream, err) && ram_load_drain(ram, err);
    ram_load_free(ram);
    stats_read(stats, data);
    stats_free(stats);
    return ok;
}

static void world_destroy(World *w)
{
    test_ram_free(w->from);
    test_ram_free(w->to);
}

static void load_well(World *w)
{
    g_autoptr(GError) err = NULL;
    StatsData data;

    load(w, &data, &err);
    g_assert_no_error(err);
    test_ram_assert_same(w->from, w->to);
    /* The load loop has counted what the pool has. */
    g_assert_cmpmem(&data.pages, sizeof(data.pages), &w->counts,
                    sizeof(w->counts));
    world_destroy(w);
}

static void refuse(World *w, const char *text)
{
    g_autoptr(GError) err = NULL;
    StatsData data;

    g_assert_false(load(w, &data, &err));
    expect_error(&err, MIG_ERROR_STREAM, text);
    world_destroy(w);
}

/* Compress pages at these distances from each other, from first on. */
static void put_job(World *w, uint64_t first, uint64_t step, unsigned count,
                    bool ranges)
{
    Pool *pool = compress_new(w->codec, 1, 1, NULL);
    CompressJob *job = pool_next(pool);
    const CompressJob *done;

    job->batch.block = w->from->a;
    job->batch.count = count;
    job->zero_ranges = ranges;
    for (unsigned i = 0; i < count; i++) {
        job->batch.page[i] = first + i * step;
    }
    pool_submit(pool);
    done = pool_collect(pool, true);
    stream_put_bytes(w->s, done->out, done->size);
    w->counts.zero += done->counts.zero;
    w->counts.zero_bytes += done->counts.zero_bytes;
    w->counts.normal += done->counts.normal;
    w->counts.compressed += done->counts.compressed;
    w->counts.compressed_bytes += done->counts.compressed_bytes;
    pool_release(pool);
    pool_free(pool);
}

static void fill(World *w, PageKind kind, uint64_t page)
{
    test_page_fill(ram_block_page(w->from->a, page), kind, (uint32_t)page);
}

/* Round trips */

/* All kinds of page, near and far from each other, with and without ranges. */
static void test_round_trip(gconstpointer codec)
{
    static const uint64_t steps[] = { 1, 2, 9 };

    for (unsigned i = 0; i < G_N_ELEMENTS(steps) && can_run(codec); i++) {
        for (unsigned kinds = 1; kinds < 1 << PAGE_KINDS; kinds++) {
            World w;

            world_init(&w, codec);
            for (unsigned n = 0; n < 64; n++) {
                unsigned kind = n / 3 % PAGE_KINDS;

                if (kinds >> kind & 1) {
                    fill(&w, kind, 5 + n * steps[i]);
                }
            }
            put_job(&w, 5, steps[i], 64, kinds % 2);
            g_assert_cmpuint(w.counts.zero + w.counts.normal +
                             w.counts.compressed, ==, 64);
            load_well(&w);
        }
    }
}

/* Farther from each other than a record can say: two records. */
static void test_gaps(gconstpointer codec)
{
    for (uint64_t gap = WIRE_BATCH_GAP_MAX; gap <= WIRE_BATCH_GAP_MAX + 1 &&
                                            can_run(codec); gap++) {
        World w;

        world_init_sized(&w, codec, gap + 1);
        fill(&w, PAGE_TEXT, 0);
        fill(&w, PAGE_TEXT, gap);
        put_job(&w, 0, gap, 2, false);
        g_assert_cmpuint(w.counts.compressed, ==, 2);
        load_well(&w);
    }
}

/* What does not shrink goes plain, and is no longer than that. */
static void test_noise(gconstpointer codec)
{
    for (unsigned count = 1; count <= 64 && can_run(codec); count += 21) {
        World w;

        world_init(&w, codec);
        for (unsigned n = 0; n < count; n++) {
            fill(&w, PAGE_NOISE, n);
        }
        put_job(&w, 0, 1, count, true);
        g_assert_cmpuint(w.counts.normal, ==, count);
        load_well(&w);
    }
}

/* A run of zero pages takes one record where ranges are taken. */
static void test_zero_run(void)
{
    for (unsigned ranges = 0; ranges <= 1; ranges++) {
        uint64_t before;
        World w;

        world_init(&w, &codec_zlib);
        before = stream_position(w.s);
        put_job(&w, 100, 1, 64, ranges);
        /* u64, name, u64; or u64, name, u8, then u64 and u8 */
        g_assert_cmpuint(stream_position(w.s) - before, ==,
                         ranges ? 8 + 2 + 8 : 2 + 64 * 9);
        g_assert_cmpuint(w.counts.zero, ==, 64);
        load_well(&w);
    }
}

/* What the load loop makes of records */

static void put_range(World *w, uint64_t page, uint64_t count)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX];

    size_t size = ram_record_put_zero_range(head, page * MIG_PAGE_SIZE, "a",
                                            count);

    stream_put_bytes(w->s, head, size);
    w->counts.zero += count;
    w->counts.zero_bytes += size;
}

static void put_batch(World *w, const uint64_t *page, unsigned count,
                      const char *data)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX];
    RamPages pages = { .count = count };

    memcpy(pages.page, page, count * sizeof(*page));
    stream_put_bytes(w->s, head,
                     ram_record_put_batch(head, &pages, "a",
                                          (uint32_t)strlen(data)));
    stream_put_bytes(w->s, data, strlen(data));
}

/* A range over pages that came before, some still being decoded, and over the
 * whole block. */
static void test_range_over_pages(gconstpointer codec)
{
    static const uint64_t ranges[][2] = {
        { 3, 5 }, { 0, 64 }, { 0, PAGES }, { 63, PAGES - 63 }, { 7, 1 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(ranges) && can_run(codec); i++) {
        World w;

        world_init(&w, codec);
        for (unsigned n = 0; n < 64; n++) {
            fill(&w, n % 2 ? PAGE_TEXT : PAGE_NOISE, n);
        }
        put_job(&w, 0, 1, 64, false);
        put_range(&w, ranges[i][0], ranges[i][1]);
        memset(ram_block_page(w.from->a, ranges[i][0]), 0,
               ranges[i][1] * MIG_PAGE_SIZE);
        load_well(&w);
    }
}

/* Pages that came before come again, in another batch. */
static void test_again(gconstpointer codec)
{
    World w;

    if (!can_run(codec)) {
        return;
    }
    world_init(&w, codec);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned n = round; n < 64; n++) {
            test_page_fill(ram_block_page(w.from->a, n), PAGE_TEXT,
                           1000 * round + n);
        }
        put_job(&w, round, 1, 64 - round, true);
    }
    load_well(&w);
}

static void test_refused_ranges(void)
{
    static const uint64_t ranges[][2] = {
        { 0, PAGES + 1 }, { PAGES - 1, 2 }, { PAGES, 1 }, { 1, UINT64_MAX },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(ranges); i++) {
        World w;

        world_init(&w, &codec_zlib);
        put_range(&w, ranges[i][0], ranges[i][1]);
        refuse(&w, "is outside block 'a'");
    }
}

static void test_refused_batches(gconstpointer codec)
{
    static const uint64_t outside[][2] = {
        { PAGES - 1, PAGES }, { PAGES, PAGES + 1 },
    };
    static const uint64_t inside[] = { 3, 4, 9 };
    World w;

    for (unsigned i = 0; i < G_N_ELEMENTS(outside) && can_run(codec); i++) {
        world_init(&w, codec);
        put_batch(&w, outside[i], 2, "x");
        refuse(&w, "is outside block 'a'");
    }
    if (((const Codec *)codec)->available) {
        world_init(&w, codec);
        put_batch(&w, inside, 3, "rubbish");
        refuse(&w, "block 'a', offset 0x3000: the batch of pages at byte 26 "
                   "of the stream is bad: ");
    }
}

/* Each kind of stream has its kind of record. */
static void test_refused_kinds(gconstpointer codec)
{
    static const uint64_t page = 3;
    uint8_t head[WIRE_RECORD_HEAD_MAX];
    World w;

    world_init(&w, &codec_zlib);
    put_batch(&w, &page, 1, "x");
    refuse(&w, "a batch of pages with compress-method zlib");
    if (can_run(codec)) {
        world_init(&w, codec);
        stream_put_bytes(w.s, head,
                         ram_record_put_compressed(head, 0, "a", 1));
        stream_put_bytes(w.s, "x", 1);
        refuse(&w, "a compressed page with compress-method ");
    }
}

static void add(const char *what, GTestDataFunc func, unsigned from)
{
    for (unsigned i = from; i < CODEC_COUNT; i++) {
        const Codec *codec = codec_by_method(i);
        g_autofree char *path = g_strdup_printf("/ram-batch/%s/%s", what,
                                                codec->name);

        g_test_add_data_func(path, codec, func);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("round-trip", test_round_trip, 0);
    add("gaps", test_gaps, 0);
    add("noise", test_noise, 0);
    add("again", test_again, 0);
    add("range-over-pages", test_range_over_pages, 0);
    g_test_add_func("/ram-batch/zero-run", test_zero_run);
    g_test_add_func("/ram-batch/refused/ranges", test_refused_ranges);
    add("refused/batches", test_refused_batches, 1);
    add("refused/kinds", test_refused_kinds, 1);
    return g_test_run();
}
