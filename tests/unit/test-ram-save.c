/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/ram/save.h, with migration/ram/load.h behind it: with all options,
 * one loads what the other saves.
 */
#include "migration/ram/save.h"

#include <string.h>
#include <sys/mman.h>

#include "migration/ram/load.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/wire.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/fake-clock.h"
#include "tests/lib/load-section.h"
#include "tests/lib/mem-channel.h"
#include "tests/lib/test-ram.h"
#include "util/bitmap.h"

static MigOptions options_with(bool compress, bool wait, unsigned threads,
                               unsigned level)
{
    MigOptions options;

    mig_options_init(&options);
    options.value[MIG_OPT_COMPRESS] = compress;
    options.value[MIG_OPT_COMPRESS_WAIT_THREAD] = wait;
    options.value[MIG_OPT_COMPRESS_THREADS] = threads;
    options.value[MIG_OPT_COMPRESS_LEVEL] = level;
    return options;
}

/* A source without a migration around it. */
typedef struct Sender {
    TestRam *ram;
    MemWriter *writer;
    FakeClock clock;
    Stats *stats;
    StatsChannel counted;
    RamDirty *dirty;
    RamSave *save;
} Sender;

static void sender_init(Sender *s, TestRam *ram, const MigOptions *options,
                        MemWriter *writer)
{
    s->ram = ram;
    s->writer = writer;
    fake_clock_init(&s->clock);
    s->stats = stats_new(&s->clock.clock);
    s->counted = (StatsChannel){ .stats = s->stats };
    s->dirty = ram_dirty_new(ram->blocks);
    s->save = ram_save_new(writer->stream, ram->blocks, options, &s->counted);
}

static void sender_destroy(Sender *s)
{
    ram_save_free(s->save);
    ram_dirty_free(s->dirty);
    stats_free(s->stats);
}

static void send_pass(Sender *s)
{
    g_autoptr(GError) err = NULL;

    ram_save_pass(s->save, s->dirty, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(ram_dirty_pages(s->dirty), ==, 0);
}

/* A log that has every third page of each block. */
static bool third_collect(void *opaque, size_t block, uint64_t *bitmap,
                          GError **errp)
{
    const TestRam *ram = opaque;

    for (uint64_t n = block; n < ram->blocks->block[block].pages; n += 3) {
        bitmap_set(bitmap, n);
    }
    return true;
}

static const MigHost third_host = { .dirty_log_collect = third_collect };

/* Change these pages, and make them dirty. */
static void dirty_thirds(Sender *s, uint32_t seed)
{
    uint64_t added;

    for (unsigned i = 0; i < s->ram->blocks->count; i++) {
        const RamBlock *block = &s->ram->blocks->block[i];

        for (uint64_t n = i; n < block->pages; n += 3) {
            test_page_fill(ram_block_page(block, n), (n + seed) % PAGE_KINDS,
                           seed + (uint32_t)n);
        }
    }
    g_assert_true(ram_dirty_collect(s->dirty, &third_host, s->ram, &added,
                                    NULL));
}

/* Set-up and three sections. */
static GBytes *send_all(TestRam *ram, const MigOptions *options)
{
    MemWriter *writer = mem_writer_new();
    Sender s;

    sender_init(&s, ram, options, writer);
    test_ram_fill(ram, 17);
    ram_save_setup(s.save);
    send_pass(&s);
    dirty_thirds(&s, 100);
    send_pass(&s);
    dirty_thirds(&s, 200);
    send_pass(&s);
    sender_destroy(&s);
    return mem_writer_finish(writer);
}

static void load_all(TestRam *ram, GBytes *bytes, size_t chunk,
                     unsigned threads)
{
    g_autoptr(MemReader) r = mem_reader_new_chunked(bytes, chunk);
    Stats *stats = stats_new(&clock_monotonic);
    StatsChannel counted = { .stats = stats };
    RamLoad *load = ram_load_new(r->stream, ram->blocks, threads, &counted);
    g_autoptr(GError) err = NULL;
    StatsData data;

    g_assert_true(load_blocks(load, r->stream, &err) &&
                  load_section(load, r->stream, &err) &&
                  load_section(load, r->stream, &err) &&
                  load_section(load, r->stream, &err) &&
                  ram_load_drain(load, &err));
    g_assert_cmpuint(stream_position(r->stream), ==, g_bytes_get_size(bytes));
    stats_read(stats, &data);
    g_assert_cmpuint(data.transferred, ==, g_bytes_get_size(bytes));
    ram_load_free(load);
    stats_free(stats);
}

static void round_trip(uint64_t pages_a, uint64_t pages_b,
                       const MigOptions *options)
{
    g_autoptr(TestRam) from = test_ram_new(pages_a, pages_b);
    g_autoptr(TestRam) to = test_ram_new(pages_a, pages_b);
    g_autoptr(GBytes) bytes = send_all(from, options);

    load_all(to, bytes, 5000, 2);
    test_ram_assert_same(from, to);
}

static void test_plain(void)
{
    MigOptions options = options_with(false, true, 1, 1);

    round_trip(1, 0, &options);
    round_trip(64, 1, &options);
    round_trip(300, 129, &options);
}

static void test_compressed(void)
{
    for (unsigned threads = 1; threads <= 8; threads *= 2) {
        for (unsigned wait = 0; wait <= 1; wait++) {
            MigOptions options = options_with(true, wait, threads, 1);

            round_trip(1, 0, &options);
            round_trip(64, 1, &options);
            round_trip(1000, 129, &options);
        }
    }
}

static void test_levels(void)
{
    for (unsigned level = 0; level <= 9; level++) {
        MigOptions options = options_with(true, true, 2, level);

        round_trip(70, 5, &options);
    }
}

static void test_many_decompress_threads(void)
{
    MigOptions options = options_with(true, true, 4, 1);
    g_autoptr(TestRam) from = test_ram_new(500, 500);
    g_autoptr(GBytes) bytes = send_all(from, &options);

    for (unsigned threads = 1; threads <= 64; threads *= 4) {
        g_autoptr(TestRam) to = test_ram_new(500, 500);

        load_all(to, bytes, G_MAXSSIZE, threads);
        test_ram_assert_same(from, to);
    }
}

/* The bytes of the set-up, as QEMU writes them. */
static void test_setup(void)
{
    static const uint8_t expected[] = {
        0, 0, 0, 0, 0, 0, 0x50, 0x04, /* five pages */
        1, 'a', 0, 0, 0, 0, 0, 0, 0x30, 0,
        1, 'b', 0, 0, 0, 0, 0, 0, 0x20, 0,
        0, 0, 0, 0, 0, 0, 0, 0x10, /* EOS */
    };
    MigOptions options = options_with(false, true, 1, 1);
    g_autoptr(TestRam) ram = test_ram_new(3, 2);
    MemWriter *writer = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;
    Sender s;

    sender_init(&s, ram, &options, writer);
    ram_save_setup(s.save);
    sender_destroy(&s);
    bytes = mem_writer_finish(writer);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                    expected, sizeof(expected));
}

/* One pass's content: each page that was dirty, once; then EOS. */
static PageCounts check_pass(GBytes *bytes, const TestRam *ram)
{
    g_autoptr(MemReader) reader = mem_reader_new(bytes);
    g_autofree uint64_t *seen = bitmap_new(ram->blocks->pages);
    const RamBlock *block = NULL;
    PageCounts counts = { 0 };
    RamRecord r;

    while (ram_record_get(reader->stream, &r, NULL) &&
           r.type != WIRE_RAM_EOS) {
        uint64_t n;

        if (r.has_name) {
            block = ram_blocks_find(ram->blocks, r.name);
        }
        g_assert_nonnull(block);
        n = r.offset / MIG_PAGE_SIZE + (block == ram->b ? ram->a->pages : 0);
        g_assert_false(bitmap_test(seen, n));
        bitmap_set(seen, n);
        counts.zero += r.type == WIRE_RAM_ZERO;
        counts.normal += r.type == WIRE_RAM_PLAIN;
        counts.compressed += r.type == WIRE_RAM_COMPRESSED;
        g_assert_true(stream_skip(reader->stream,
                                  r.type == WIRE_RAM_PLAIN ? MIG_PAGE_SIZE
                                                           : r.length,
                                  NULL));
        if (r.type == WIRE_RAM_ZERO) {
            counts.zero_bytes += stream_position(reader->stream) - r.position;
        }
        if (r.type == WIRE_RAM_COMPRESSED) {
            counts.compressed_bytes += stream_position(reader->stream) -
                                       r.position;
        }
    }
    g_assert_cmpuint(r.type, ==, WIRE_RAM_EOS);
    g_assert_cmpuint(bitmap_count(seen, ram->blocks->pages), ==,
                     ram->blocks->pages);
    return counts;
}

static void check_first_pass(const MigOptions *options)
{
    g_autoptr(TestRam) ram = test_ram_new(1000, 77);
    MemWriter *writer = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;
    PageCounts counts;
    StatsData data;
    Sender s;

    sender_init(&s, ram, options, writer);
    test_ram_fill(ram, 3);
    send_pass(&s);
    stats_read(s.stats, &data);
    /* The EOS is still to be accounted, with what follows it. */
    g_assert_cmpuint(data.transferred + 8, ==,
                     stream_position(writer->stream));
    sender_destroy(&s);
    bytes = mem_writer_finish(writer);
    counts = check_pass(bytes, ram);
    g_assert_cmpmem(&counts, sizeof(counts), &data.pages,
                    sizeof(data.pages));
    g_assert_cmpuint(counts.zero, ==, 359);
    if (!options->value[MIG_OPT_COMPRESS]) {
        g_assert_cmpuint(counts.normal, ==, 718);
        g_assert_cmpuint(data.jobs, ==, 0);
    } else {
        /* 16 batches of one block, 2 of the other. */
        g_assert_cmpuint(data.jobs, ==, 18);
        g_assert_cmpuint(data.busy, <=, data.jobs);
    }
    /* With wait-thread, no batch is sent uncompressed. */
    if (options->value[MIG_OPT_COMPRESS] &&
        options->value[MIG_OPT_COMPRESS_WAIT_THREAD]) {
        g_assert_cmpuint(counts.compressed, ==, 359);
    }
}

static void test_each_page_once(void)
{
    for (unsigned i = 0; i < 9; i++) {
        MigOptions options = options_with(i > 0, i % 2, 1 + i / 4, 9);

        check_first_pass(&options);
    }
}

/* A pass over nothing is an EOS. */
static void test_empty_pass(void)
{
    for (unsigned compress = 0; compress <= 1; compress++) {
        MigOptions options = options_with(compress, true, 2, 1);
        g_autoptr(TestRam) ram = test_ram_new(10, 0);
        g_autoptr(MemWriter) writer = mem_writer_new();
        uint64_t before;
        Sender s;

        sender_init(&s, ram, &options, writer);
        send_pass(&s);
        before = stream_position(writer->stream);
        send_pass(&s);
        g_assert_cmpuint(stream_position(writer->stream), ==, before + 8);
        sender_destroy(&s);
    }
}

/* Wherever the channel fails the pass ends, with the channel's error, and
 * everything can be freed, jobs in any phase included. */
static void test_write_fails(void)
{
    for (unsigned i = 0; i < 30; i++) {
        MigOptions options = options_with(i % 3, i % 3 == 1, 2, 1);
        g_autoptr(TestRam) ram = test_ram_new(1500, 0);
        g_autoptr(MemWriter) writer = mem_writer_new_bounded(100 + 60000 * i);
        g_autoptr(GError) err = NULL;
        Sender s;

        sender_init(&s, ram, &options, writer);
        test_ram_fill(ram, 3);
        if (ram_save_pass(s.save, s.dirty, &err)) {
            /* What is left in the stream's buffer is an EOS. */
            stream_flush(writer->stream, NULL);
            g_assert_cmpuint(ram_dirty_pages(s.dirty), ==, 0);
        } else {
            expect_error(&err, MIG_ERROR_IO, "memory: ");
        }
        g_assert_true(i > 10 || ram_dirty_pages(s.dirty) > 0);
        sender_destroy(&s);
    }
    ram_save_free(NULL);
}

static void test_no_pool(void)
{
    MigOptions options = options_with(true, true, 2, 10);
    g_autoptr(TestRam) ram = test_ram_new(1, 0);
    g_autoptr(MemWriter) writer = mem_writer_new();
    g_autoptr(GError) err = NULL;
    Sender s;

    sender_init(&s, ram, &options, writer);
    g_assert_false(ram_save_pass(s.save, s.dirty, &err));
    expect_error(&err, MIG_ERROR_HOST, "no compression level 10");
    sender_destroy(&s);
}

/* Packs: pages that are sent again, and have hardly changed, are nearly
 * free. */
static void test_packs(void)
{
    enum { THREADS = 3, WINDOW = 40 };
    MigOptions options = options_with(true, true, THREADS, 1);
    g_autoptr(TestRam) from = test_ram_new(500, 100);
    g_autoptr(TestRam) to = test_ram_new(500, 100);
    g_autoptr(MemWriter) writer = mem_writer_new();
    g_autoptr(GError) err = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(MemReader) r = NULL;
    Stats *stats = stats_new(&clock_monotonic);
    StatsChannel counted = { .stats = stats };
    uint64_t position[4], added;
    Ladder ladder;
    RamLoad *load;
    Sender s;

    test_ram_fill(from, 1);
    sender_init(&s, from, &options, writer);
    ladder = ladder_of_one(&codec_zlib, 1);
    ram_save_use_packs(s.save, WINDOW, &ladder);
    ram_save_setup(s.save);
    position[0] = stream_position(writer->stream);
    for (unsigned pass = 1; pass <= 3; pass++) {
        ram_block_page(from->a, 6)[pass] ^= 1;
        if (pass > 1) {
            g_assert_true(ram_dirty_collect(s.dirty, &third_host, from, &added,
                                            NULL));
        }
        send_pass(&s);
        position[pass] = stream_position(writer->stream);
    }
    g_assert_cmpuint(20 * (position[2] - position[1]), <,
                     position[1] - position[0]);
    bytes = mem_writer_finish(g_steal_pointer(&writer));
    sender_destroy(&s);

    r = mem_reader_new(bytes);
    load = ram_load_new(r->stream, to->blocks, 2, &counted);
    g_assert_true(ram_load_use_packs(load, WINDOW));
    g_assert_true(load_blocks(load, r->stream, &err));
    for (unsigned pass = 1; pass <= 3; pass++) {
        load_section(load, r->stream, &err);
        g_assert_no_error(err);
    }
    g_assert_true(ram_load_drain(load, NULL));
    ram_load_free(load);
    stats_free(stats);
    test_ram_assert_same(from, to);
}

/* Pages that are as they were sent */

typedef struct Resend {
    TestRam *ram;
    MemWriter *writer;
    Sender s;
} Resend;

/* What comes after its set-up is sent twice: compressed or in packs. */
static void resend_init(Resend *r, const MigOptions *options, bool packs)
{
    r->ram = test_ram_new(500, 100);
    r->writer = mem_writer_new();
    test_ram_fill(r->ram, 1);
    sender_init(&r->s, r->ram, options, r->writer);
    if (packs) {
        Ladder ladder = ladder_of_one(&codec_zlib, 1);

        ram_save_use_packs(r->s.save, 0, &ladder);
    }
    send_pass(&r->s);
}

static void resend_destroy(Resend *r)
{
    sender_destroy(&r->s);
    mem_writer_free(r->writer);
    test_ram_free(r->ram);
}

/* Make every third page dirty again and send it: bytes besides the EOS. */
static uint64_t resend_thirds(Resend *r)
{
    uint64_t before = stream_position(r->writer->stream), added;

    g_assert_true(ram_dirty_collect(r->s.dirty, &third_host, r->ram, &added,
                                    NULL));
    send_pass(&r->s);
    return stream_position(r->writer->stream) - before - 8;
}

static PageCounts counts_of(const Sender *s)
{
    StatsData data;

    stats_read(s->stats, &data);
    return data.pages;
}

/* As many as third_host says are dirty. */
enum { THIRDS = 167 + 33 };

static void test_unchanged(void)
{
    for (unsigned packs = 0; packs <= 1; packs++) {
        MigOptions options = options_with(true, true, 2, 1);
        PageCounts first, then;
        Resend r;

        resend_init(&r, &options, packs);
        first = counts_of(&r.s);
        g_assert_cmpuint(first.unchanged, ==, 0);
        for (unsigned i = 1; i <= 3; i++) {
            g_assert_cmpuint(resend_thirds(&r), ==, 0);
            then = counts_of(&r.s);
            g_assert_cmpuint(then.unchanged, ==, i * THIRDS);
            then.unchanged = 0;
            g_assert_cmpmem(&then, sizeof(then), &first, sizeof(first));
        }
        resend_destroy(&r);
    }
}

/* One page becomes something else, from one kind to each other, and stays. */
static void check_changes(Resend *r)
{
    static const PageKind turns[] = {
        PAGE_TEXT, PAGE_ZERO, PAGE_NOISE, PAGE_TEXT, PAGE_NOISE, PAGE_ZERO,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(turns); i++) {
        uint64_t unchanged = counts_of(&r->s).unchanged;

        test_page_fill(ram_block_page(r->ram->a, 3), turns[i], 100 + i);
        g_assert_cmpuint(resend_thirds(r), >, 0);
        g_assert_cmpuint(counts_of(&r->s).unchanged - unchanged, ==,
                         THIRDS - 1);
        g_assert_cmpuint(resend_thirds(r), ==, 0);
    }
}

static void test_changed(void)
{
    for (unsigned packs = 0; packs <= 1; packs++) {
        MigOptions options = options_with(true, true, 2, 1);
        Resend r;

        resend_init(&r, &options, packs);
        check_changes(&r);
        resend_destroy(&r);
    }
}

static void test_compress_off(void)
{
    MigOptions options = options_with(false, true, 2, 1);
    Resend r;

    resend_init(&r, &options, false);
    g_assert_cmpuint(resend_thirds(&r), >, THIRDS);
    g_assert_cmpuint(counts_of(&r.s).unchanged, ==, 0);
    resend_destroy(&r);
}

static void fill_with_text(const RamBlock *block, uint32_t seed)
{
    for (uint64_t i = 0; i < block->pages; i++) {
        test_page_fill(ram_block_page(block, i), PAGE_TEXT,
                       seed + (uint32_t)i);
    }
}

/* What was sent of a page without a copy, nobody knows.  All pages would be
 * compressed, if some had not overtaken the jobs. */
static void test_overtaking(void)
{
    MigOptions options = options_with(true, false, 1, 9);
    PageCounts first, second, third;
    Resend r;

    resend_init(&r, &options, false);
    first = counts_of(&r.s);
    fill_with_text(r.ram->a, 1000);
    fill_with_text(r.ram->b, 2000);
    resend_thirds(&r);
    second = counts_of(&r.s);
    g_assert_cmpuint(second.unchanged, ==, 0);
    resend_thirds(&r);
    third = counts_of(&r.s);
    g_assert_cmpuint(third.unchanged + second.normal - first.normal, <=,
                     THIRDS);
    resend_destroy(&r);
}

/* Another destination has nothing of what the first one got. */
static void test_second_attempt(void)
{
    MigOptions options = options_with(true, true, 2, 1);
    g_autoptr(MemWriter) broken = mem_writer_new_bounded(100000);
    uint64_t length;
    Resend r;
    Sender s;

    resend_init(&r, &options, false);
    length = stream_position(r.writer->stream);
    sender_init(&s, r.ram, &options, broken);
    g_assert_false(ram_save_pass(s.save, s.dirty, NULL));
    sender_destroy(&s);
    sender_init(&s, r.ram, &options, r.writer);
    send_pass(&s);
    g_assert_cmpuint(stream_position(r.writer->stream), ==, 2 * length);
    g_assert_cmpuint(counts_of(&s).unchanged, ==, 0);
    sender_destroy(&s);
    resend_destroy(&r);
}

/* Untouched pages.  That they are not read is seen by that they cannot be. */

enum { FIRST_UNTOUCHED = 10, UNTOUCHED = 300 };

static void tell_untouched(void *opaque, size_t block, uint64_t *bitmap)
{
    for (unsigned n = 0; block == 0 && n < UNTOUCHED; n++) {
        bitmap_set(bitmap, FIRST_UNTOUCHED + n);
    }
}

static const MigHost untouched_host = { .ram_untouched = tell_untouched };

static void protect_untouched(const TestRam *ram, int protection)
{
    g_assert_cmpint(mprotect(ram_block_page(ram->a, FIRST_UNTOUCHED),
                             UNTOUCHED * MIG_PAGE_SIZE, protection), ==, 0);
}

static GBytes *send_untouched(TestRam *ram, bool compress, bool ranges)
{
    MigOptions options = options_with(compress, true, 2, 1);
    MemWriter *writer = mem_writer_new();
    StatsData data;
    Sender s;

    sender_init(&s, ram, &options, writer);
    if (ranges) {
        ram_save_use_ranges(s.save);
    }
    ram_save_setup(s.save);
    ram_dirty_find_untouched(s.dirty, &untouched_host, NULL);
    protect_untouched(ram, PROT_NONE);
    send_pass(&s);
    protect_untouched(ram, PROT_READ);
    stats_read(s.stats, &data);
    g_assert_cmpuint(data.pages.zero + data.pages.normal +
                     data.pages.compressed, ==, ram->blocks->pages);
    sender_destroy(&s);
    return mem_writer_finish(writer);
}

static void touch_page(uint8_t *page, GRand *rand)
{
    switch (g_rand_int_range(rand, 0, 6)) {
    case 0:
        return;
    case 1:
        memset(page, 0, MIG_PAGE_SIZE);
        return;
    case 2:
        test_page_fill(page, PAGE_NOISE, g_rand_int(rand));
        return;
    case 3: /* perhaps what it was before */
        test_page_fill(page, PAGE_TEXT, 1);
        return;
    default:
        for (unsigned i = 0; i < 8; i++) {
            page[g_rand_int_range(rand, 0, MIG_PAGE_SIZE)]++;
        }
        return;
    }
}

/* Change every third page a little, much or not at all, and make it dirty. */
static void touch_thirds(Sender *s, GRand *rand)
{
    uint64_t added;

    for (unsigned i = 0; i < s->ram->blocks->count; i++) {
        const RamBlock *block = &s->ram->blocks->block[i];

        for (uint64_t n = i; n < block->pages; n += 3) {
            touch_page(ram_block_page(block, n), rand);
        }
    }
    g_assert_true(ram_dirty_collect(s->dirty, &third_host, s->ram, &added,
                                    NULL));
}

/* Load as many sections, and what has come is what was sent. */
static void check_loads(const TestRam *sent, GBytes *bytes, unsigned sections)
{
    g_autoptr(TestRam) ram = test_ram_new(300, 70);
    g_autoptr(MemReader) r = mem_reader_new(bytes);
    Stats *stats = stats_new(&clock_monotonic);
    StatsChannel counted = { .stats = stats };
    RamLoad *load = ram_load_new(r->stream, ram->blocks, 2, &counted);
    g_autoptr(GError) err = NULL;

    load_blocks(load, r->stream, &err);
    for (unsigned i = 0; i < sections; i++) {
        g_assert_no_error(err);
        load_section(load, r->stream, &err);
    }
    g_assert_no_error(err);
    g_assert_true(ram_load_drain(load, NULL));
    test_ram_assert_same(sent, ram);
    ram_load_free(load);
    stats_free(stats);
}

/* Six passes, five of them with the same 123 pages. */
static PageCounts send_changes(const MigOptions *options, uint32_t seed)
{
    g_autoptr(TestRam) ram = test_ram_new(300, 70);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autoptr(GBytes) bytes = NULL;
    MemWriter *writer = mem_writer_new();
    StatsData data;
    Sender s;

    sender_init(&s, ram, options, writer);
    g_assert_true(ram_save_use_xbzrle(s.save, NULL));
    test_ram_fill(ram, 17);
    ram_save_setup(s.save);
    send_pass(&s);
    for (unsigned pass = 2; pass <= 6; pass++) {
        touch_thirds(&s, rand);
        send_pass(&s);
    }
    stats_read(s.stats, &data);
    sender_destroy(&s);
    bytes = mem_writer_finish(writer);
    check_loads(ram, bytes, 6);
    return data.pages;
}

/* With and without compression, and a cache for all pages or for few. */
static void test_changes(void)
{
    for (unsigned round = 0; round < 40; round++) {
        bool compress = round & 1, small = round & 2;
        MigOptions options = options_with(compress, round & 4, 2, 1);
        PageCounts p;

        options.value[MIG_OPT_XBZRLE_CACHE_SIZE] =
            small ? 16 * MIG_PAGE_SIZE : UINT64_C(1) << 62;
        p = send_changes(&options, round);
        g_assert_cmpuint(p.xbzrle + p.zero + p.normal + p.compressed +
                         p.unchanged, ==,
                         370 + 5 * 123);
        g_assert_cmpuint(p.xbzrle, >=, small ? 8 : 100);
        g_assert_cmpuint(p.xbzrle_overflow, >=, small ? 1 : 30);
        g_assert_cmpuint(p.xbzrle_misses, >=, 60);
        g_assert_cmpuint(p.xbzrle_misses, <=, small ? 5 * 123 : 123);
        g_assert_cmpuint(p.xbzrle_bytes, <, p.xbzrle * 64);
        g_assert_true(compress == (p.compressed > 0));
    }
}

/* A page that has not changed takes no byte. */
static void test_changes_none(void)
{
    g_autoptr(TestRam) ram = test_ram_new(300, 70);
    MigOptions options = options_with(false, true, 1, 1);
    MemWriter *writer = mem_writer_new();
    uint64_t added, position;
    PageCounts counts;
    Sender s;

    sender_init(&s, ram, &options, writer);
    g_assert_true(ram_save_use_xbzrle(s.save, NULL));
    test_ram_fill(ram, 17);
    for (unsigned pass = 1; pass <= 3; pass++) {
        position = stream_position(writer->stream);
        send_pass(&s);
        g_assert_true(ram_dirty_collect(s.dirty, &third_host, ram, &added,
                                        NULL));
    }
    /* But zero pages do, because no copies of them are kept. */
    g_assert_cmpuint(stream_position(writer->stream) - position, <, 123 * 16);
    counts = counts_of(&s);
    g_assert_cmpuint(counts.xbzrle, ==, 0);
    g_assert_cmpuint(counts.unchanged, >, 60);
    sender_destroy(&s);
    g_bytes_unref(mem_writer_finish(writer));
}

static void test_untouched(void)
{
    for (unsigned i = 0; i < 4; i++) {
        g_autoptr(TestRam) from = test_ram_new(500, 20);
        g_autoptr(TestRam) to = test_ram_new(500, 20);
        g_autoptr(GBytes) bytes = NULL;
        g_autoptr(MemReader) r = NULL;
        Stats *stats = stats_new(&clock_monotonic);
        StatsChannel counted = { .stats = stats };
        StatsData data;
        RamLoad *load;

        test_ram_fill(from, 1);
        memset(ram_block_page(from->a, FIRST_UNTOUCHED), 0,
               UNTOUCHED * MIG_PAGE_SIZE);
        bytes = send_untouched(from, i & 1, i & 2);
        r = mem_reader_new(bytes);
        load = ram_load_new(r->stream, to->blocks, 1, &counted);
        g_assert_true(load_blocks(load, r->stream, NULL));
        g_assert_true(load_section(load, r->stream, NULL));
        g_assert_true(ram_load_drain(load, NULL));
        ram_load_free(load);
        stats_read(stats, &data);
        stats_free(stats);
        test_ram_assert_same(from, to);
        /* A page more here or there is zero by itself. */
        g_assert_cmpuint(data.pages.zero, >=, UNTOUCHED);
        g_assert_cmpint(data.pages.zero_bytes < UNTOUCHED * 9, ==,
                        (i & 2) != 0);
    }
}

/* The guest writes one of them before its turn has come. */
static bool find_written(void *opaque, const MigRamPart *part,
                         uint64_t *bitmap, GError **errp)
{
    if (part->block == 0) {
        bitmap_set(bitmap, FIRST_UNTOUCHED + 7);
    }
    return true;
}

static void test_untouched_once(void)
{
    static const MigHost host = {
        .ram_untouched = tell_untouched,
        .dirty_log_collect_part = find_written,
    };

    for (unsigned compress = 0; compress <= 1; compress++) {
        MigOptions options = options_with(compress, true, 2, 1);
        g_autoptr(TestRam) ram = test_ram_new(500, 20);
        MemWriter *writer = mem_writer_new();
        g_autoptr(GBytes) bytes = NULL;
        Sender s;

        sender_init(&s, ram, &options, writer);
        ram_dirty_find_untouched(s.dirty, &host, NULL);
        ram_dirty_follow(s.dirty, &host, NULL);
        send_pass(&s);
        sender_destroy(&s);
        bytes = mem_writer_finish(writer);
        check_pass(bytes, ram);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-save/round-trip/plain", test_plain);
    g_test_add_func("/ram-save/round-trip/compressed", test_compressed);
    g_test_add_func("/ram-save/round-trip/levels", test_levels);
    g_test_add_func("/ram-save/round-trip/decompress-threads",
                    test_many_decompress_threads);
    g_test_add_func("/ram-save/setup", test_setup);
    g_test_add_func("/ram-save/each-page-once", test_each_page_once);
    g_test_add_func("/ram-save/empty-pass", test_empty_pass);
    g_test_add_func("/ram-save/write-fails", test_write_fails);
    g_test_add_func("/ram-save/no-pool", test_no_pool);
    g_test_add_func("/ram-save/packs", test_packs);
    g_test_add_func("/ram-save/unchanged", test_unchanged);
    g_test_add_func("/ram-save/unchanged/changed", test_changed);
    g_test_add_func("/ram-save/unchanged/compress-off", test_compress_off);
    g_test_add_func("/ram-save/unchanged/overtaking", test_overtaking);
    g_test_add_func("/ram-save/unchanged/second-attempt",
                    test_second_attempt);
    g_test_add_func("/ram-save/changes", test_changes);
    g_test_add_func("/ram-save/changes/none", test_changes_none);
    g_test_add_func("/ram-save/untouched", test_untouched);
    g_test_add_func("/ram-save/untouched/once", test_untouched_once);
    return g_test_run();
}
