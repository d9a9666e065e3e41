/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/ram/load.h: what it refuses, and how records that follow each
 * other change memory.  test-ram-save has the round trips.
 */
#include "migration/ram/load.h"

#include <string.h>
#include <sys/mman.h>

#include "migration/pack/codec.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/wire.h"
#include "migration/wire/xbzrle.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/load-section.h"
#include "tests/lib/mem-channel.h"
#include "tests/lib/test-ram.h"

/* Two blocks of four pages; what a test writes is the ram section. */
typedef struct World {
    TestRam *ram;
    MemWriter *writer;
    Stream *s; /* the writer's */
} World;

enum { PAGES = 4 };

static void world_init(World *world)
{
    world->ram = test_ram_new(PAGES, PAGES);
    world->writer = mem_writer_new();
    world->s = world->writer->stream;
}

/* What became of what was written. */
static bool load_bytes(World *world, GBytes *bytes, unsigned sections,
                       StatsData *data, GError **err)
{
    g_autoptr(MemReader) r = mem_reader_new(bytes);
    Stats *stats = stats_new(&clock_monotonic);
    StatsChannel counted = { .stats = stats };
    RamLoad *load = ram_load_new(r->stream, world->ram->blocks, 2, &counted);
    bool ok = load_blocks(load, r->stream, err);

    for (unsigned i = 0; ok && i < sections; i++) {
        ok = load_section(load, r->stream, err);
    }
    ok = ok && ram_load_drain(load, err);
    ram_load_free(load);
    stats_read(stats, data);
    stats_free(stats);
    return ok;
}

static bool load(World *world, unsigned sections, GError **err)
{
    g_autoptr(GBytes) bytes =
        mem_writer_finish(g_steal_pointer(&world->writer));
    StatsData data;

    return load_bytes(world, bytes, sections, &data, err);
}

/* Load, and be refused; the end of the world. */
static void refuse(World *world, MigErrorCode code, const char *text)
{
    g_autoptr(GError) err = NULL;

    g_assert_false(load(world, 1, &err));
    expect_error(&err, code, text);
    test_ram_free(world->ram);
}

static void load_well(World *world, unsigned sections)
{
    g_autoptr(GError) err = NULL;

    load(world, sections, &err);
    g_assert_no_error(err);
}

/* Writing records */

static void put_block(World *world, const char *name, uint64_t pages)
{
    stream_put_name(world->s, name);
    stream_put_be64(world->s, pages * MIG_PAGE_SIZE);
}

static void put_setup(World *world)
{
    ram_record_put_mem_size(world->s, 2 * PAGES * MIG_PAGE_SIZE);
    put_block(world, "a", PAGES);
    put_block(world, "b", PAGES);
    ram_record_put_eos(world->s);
}

static void put_zero(World *world, const char *name, uint64_t page)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX];

    stream_put_bytes(world->s, head,
                     ram_record_put_zero(head, page * MIG_PAGE_SIZE, name));
}

static void put_plain(World *world, const char *name, uint64_t page,
                      const uint8_t *bytes)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX];

    stream_put_bytes(world->s, head,
                     ram_record_put_plain(head, page * MIG_PAGE_SIZE, name));
    stream_put_bytes(world->s, bytes, MIG_PAGE_SIZE);
}

static void put_compressed(World *world, const char *name, uint64_t page,
                           const uint8_t *bytes)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX], data[WIRE_COMPRESSED_MAX];
    void *encoder = codec_zlib.encoder_new(1, NULL);
    uint32_t size = (uint32_t)codec_zlib.encode(encoder, bytes, MIG_PAGE_SIZE,
                                                data, sizeof(data));

    codec_zlib.encoder_free(encoder);
    stream_put_bytes(world->s, head,
                     ram_record_put_compressed(head, page * MIG_PAGE_SIZE,
                                               name, size));
    stream_put_bytes(world->s, data, size);
}

static void put_kind(World *world, PageKind kind, uint64_t page,
                     const uint8_t *bytes)
{
    switch (kind) {
    case PAGE_ZERO:
        put_zero(world, "b", page);
        break;
    case PAGE_TEXT:
        put_compressed(world, "b", page, bytes);
        break;
    default:
        put_plain(world, "b", page, bytes);
        break;
    }
}

/* The list of blocks */

static void test_setup(void)
{
    World world;

    world_init(&world);
    ram_record_put_mem_size(world.s, 2 * PAGES * MIG_PAGE_SIZE);
    put_block(&world, "b", PAGES); /* in any order */
    put_block(&world, "a", PAGES);
    ram_record_put_eos(world.s);
    load_well(&world, 0);
    test_ram_free(world.ram);
}

static void test_setup_begins_wrong(void)
{
    World world;

    world_init(&world);
    ram_record_put_eos(world.s);
    refuse(&world, MIG_ERROR_STREAM, "starts with record type 0x010");
    world_init(&world);
    put_zero(&world, "a", 0);
    refuse(&world, MIG_ERROR_STREAM, "starts with record type 0x002");
}

static void test_wrong_total(void)
{
    static const uint64_t totals[] = { 0, 2 * PAGES - 1, 2 * PAGES + 1 };

    for (unsigned i = 0; i < G_N_ELEMENTS(totals); i++) {
        g_autofree char *text = g_strdup_printf(
            "the source has %" G_GUINT64_FORMAT " bytes of RAM, this machine "
            "32768", totals[i] * MIG_PAGE_SIZE);
        World world;

        world_init(&world);
        ram_record_put_mem_size(world.s, totals[i] * MIG_PAGE_SIZE);
        if (totals[i]) {
            put_block(&world, "a", PAGES);
            put_block(&world, "b", totals[i] - PAGES);
        }
        ram_record_put_eos(world.s);
        refuse(&world, MIG_ERROR_PEER, text);
    }
}

static void refuse_blocks(const char *first, uint64_t first_pages,
                          const char *second, uint64_t second_pages,
                          MigErrorCode code, const char *text)
{
    World world;

    world_init(&world);
    ram_record_put_mem_size(world.s, 2 * PAGES * MIG_PAGE_SIZE);
    put_block(&world, first, first_pages);
    put_block(&world, second, second_pages);
    ram_record_put_eos(world.s);
    refuse(&world, code, text);
}

static void test_wrong_blocks(void)
{
    refuse_blocks("a", PAGES, "c", PAGES, MIG_ERROR_PEER,
                  "Unknown ramblock \"c\", cannot accept migration");
    refuse_blocks("a\n", PAGES, "b", PAGES, MIG_ERROR_PEER,
                  "Unknown ramblock \"a\\n\"");
    refuse_blocks("a", PAGES - 1, "b", PAGES + 1, MIG_ERROR_PEER,
                  "Size mismatch: a: 0x3000 != 0x4000");
    refuse_blocks("a", PAGES + 1, "b", PAGES - 1, MIG_ERROR_PEER,
                  "Size mismatch: a: 0x5000 != 0x4000");
    refuse_blocks("a", PAGES, "b", PAGES + 1, MIG_ERROR_STREAM,
                  "RAM block 'b' with 0x5000 bytes of 0x4000 that are left");
    refuse_blocks("b", PAGES, "b", PAGES, MIG_ERROR_STREAM,
                  "RAM block 'b' twice");
}

/* A third block, where the list should have ended. */
static void test_setup_ends_wrong(void)
{
    World world;

    world_init(&world);
    ram_record_put_mem_size(world.s, 2 * PAGES * MIG_PAGE_SIZE);
    put_block(&world, "a", PAGES);
    put_block(&world, "b", PAGES);
    put_zero(&world, "b", 0);
    refuse(&world, MIG_ERROR_STREAM,
           "the list of RAM blocks ends with record type 0x002");
}

/* Records */

static void test_unknown_block(void)
{
    World world;

    world_init(&world);
    put_setup(&world);
    put_zero(&world, "c\1", 0);
    refuse(&world, MIG_ERROR_STREAM, "unknown RAM block 'c\\001'");
}

static void test_outside(void)
{
    static const uint64_t pages[] = {
        PAGES, PAGES + 1, UINT64_MAX / MIG_PAGE_SIZE,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(pages); i++) {
        for (unsigned kind = 0; kind < PAGE_KINDS; kind++) {
            uint8_t bytes[MIG_PAGE_SIZE];
            g_autofree char *text = g_strdup_printf(
                "offset 0x%" G_GINT64_MODIFIER "x is outside block 'b'",
                pages[i] * MIG_PAGE_SIZE);
            World world;

            test_page_fill(bytes, kind, 1);
            world_init(&world);
            put_setup(&world);
            put_kind(&world, kind, pages[i], bytes);
            refuse(&world, MIG_ERROR_STREAM, text);
        }
    }
}

static void test_continue_first(void)
{
    World world;

    world_init(&world);
    put_setup(&world);
    put_zero(&world, NULL, 0);
    refuse(&world, MIG_ERROR_STREAM, "a first RAM record without a block");
}

static void test_second_list(void)
{
    World world;

    world_init(&world);
    put_setup(&world);
    put_zero(&world, "a", 0);
    put_setup(&world);
    refuse(&world, MIG_ERROR_STREAM, "a second list of RAM blocks");
}

static void test_bad_compressed_page(void)
{
    uint8_t bytes[MIG_PAGE_SIZE], head[WIRE_RECORD_HEAD_MAX];
    g_autofree char *text = NULL;
    World world;

    test_page_fill(bytes, PAGE_TEXT, 1);
    world_init(&world);
    put_setup(&world);
    put_compressed(&world, "a", 0, bytes);
    text = g_strdup_printf("block 'a', offset 0x2000: the compressed page at "
                           "byte %" G_GUINT64_FORMAT " of the stream is bad",
                           stream_position(world.s));
    stream_put_bytes(world.s, head,
                     ram_record_put_compressed(head, 0x2000, NULL, 5));
    stream_put_bytes(world.s, "wrong", 5);
    ram_record_put_eos(world.s);
    refuse(&world, MIG_ERROR_STREAM, text);
}

/* A block stays the current one across sections. */
static void test_block_stays(void)
{
    uint8_t x[MIG_PAGE_SIZE], y[MIG_PAGE_SIZE];
    World world;

    test_page_fill(x, PAGE_TEXT, 1);
    test_page_fill(y, PAGE_NOISE, 2);
    world_init(&world);
    put_setup(&world);
    put_compressed(&world, "b", 1, x);
    put_plain(&world, NULL, 2, y);
    ram_record_put_eos(world.s);
    put_compressed(&world, NULL, 3, x);
    put_zero(&world, "a", 0);
    put_plain(&world, NULL, 0, y);
    ram_record_put_eos(world.s);
    load_well(&world, 2);
    g_assert_cmpmem(ram_block_page(world.ram->b, 1), MIG_PAGE_SIZE, x,
                    MIG_PAGE_SIZE);
    g_assert_cmpmem(ram_block_page(world.ram->b, 2), MIG_PAGE_SIZE, y,
                    MIG_PAGE_SIZE);
    g_assert_cmpmem(ram_block_page(world.ram->b, 3), MIG_PAGE_SIZE, x,
                    MIG_PAGE_SIZE);
    g_assert_cmpmem(ram_block_page(world.ram->a, 0), MIG_PAGE_SIZE, y,
                    MIG_PAGE_SIZE);
    test_ram_free(world.ram);
}

/* One page three times in one section, in every order of kinds: the last is
 * what memory has. */
static void test_order_of_one_page(void)
{
    enum { ORDERS = PAGE_KINDS * PAGE_KINDS * PAGE_KINDS };

    for (unsigned order = 0; order < ORDERS; order++) {
        const unsigned kinds[] = { order % 3, order / 3 % 3, order / 9 };
        uint8_t bytes[MIG_PAGE_SIZE];
        World world;

        world_init(&world);
        put_setup(&world);
        for (unsigned i = 0; i < 3; i++) {
            test_page_fill(bytes, kinds[i], i);
            put_kind(&world, kinds[i], 2, bytes);
        }
        ram_record_put_eos(world.s);
        load_well(&world, 1);
        g_assert_cmpmem(ram_block_page(world.ram->b, 2), MIG_PAGE_SIZE, bytes,
                        MIG_PAGE_SIZE);
        test_ram_free(world.ram);
    }
}

static void put_changes(World *world, const char *name, uint64_t page,
                        const void *changes, size_t size)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX];

    stream_put_bytes(world->s, head,
                     ram_record_put_xbzrle(head, page * MIG_PAGE_SIZE, name,
                                           (uint16_t)size));
    stream_put_bytes(world->s, changes, size);
}

/* Behind a record of each kind in the same section, a page changes into what
 * the changes say; and then again. */
static void test_changes(void)
{
    for (unsigned kind = 0; kind < PAGE_KINDS; kind++) {
        uint8_t page[MIG_PAGE_SIZE], next[MIG_PAGE_SIZE], out[MIG_PAGE_SIZE];
        World world;

        test_page_fill(page, kind, 5);
        world_init(&world);
        put_setup(&world);
        put_kind(&world, kind, 2, page);
        for (unsigned i = 1; i < 3; i++) {
            memcpy(next, page, sizeof(next));
            memset(next + 1000 * i, (int)i, 77);
            put_changes(&world, i == 1 ? NULL : "b", 2, out,
                        xbzrle_encode(page, next, out, sizeof(out)));
            memcpy(page, next, sizeof(next));
        }
        ram_record_put_eos(world.s);
        load_well(&world, 1);
        g_assert_cmpmem(ram_block_page(world.ram->b, 2), MIG_PAGE_SIZE, page,
                        MIG_PAGE_SIZE);
        test_ram_free(world.ram);
    }
}

/* A page that never came is zero; and zero again, once it has changed. */
static void test_changes_of_zero(void)
{
    uint8_t zero[MIG_PAGE_SIZE] = { 0 };
    World world;

    world_init(&world);
    put_setup(&world);
    put_changes(&world, "a", 1, "\0\2no", 4);
    put_changes(&world, NULL, 3, "\0\2no", 4);
    put_zero(&world, NULL, 1);
    ram_record_put_eos(world.s);
    load_well(&world, 1);
    g_assert_cmpmem(ram_block_page(world.ram->a, 1), MIG_PAGE_SIZE, zero,
                    MIG_PAGE_SIZE);
    g_assert_cmpmem(ram_block_page(world.ram->a, 3), 3, "no", 3);
    test_ram_free(world.ram);
}

static void test_bad_changes(void)
{
    World world;

    world_init(&world);
    put_setup(&world);
    put_changes(&world, "a", 1, "\0\2n", 3);
    ram_record_put_eos(world.s);
    refuse(&world, MIG_ERROR_STREAM, "block 'a', offset 0x1000: bad changes "
           "(XBZRLE): it ends before its bytes");
}

/* Memory that was never written cannot even be read here, and is not. */
static void test_zero_leaves_untouched(void)
{
    World world;

    world_init(&world);
    for (unsigned i = 0; i < 2; i++) {
        mprotect(world.ram->host[i].host, world.ram->host[i].length,
                 PROT_NONE);
    }
    put_setup(&world);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned page = 0; page < PAGES; page++) {
            put_zero(&world, "a", page);
            put_zero(&world, "b", page);
        }
        ram_record_put_eos(world.s);
    }
    load_well(&world, 2);
    test_ram_free(world.ram);
}

static void test_zero_clears_written(void)
{
    uint8_t bytes[MIG_PAGE_SIZE], zero[MIG_PAGE_SIZE] = { 0 };
    World world;

    test_page_fill(bytes, PAGE_TEXT, 1);
    world_init(&world);
    put_setup(&world);
    put_plain(&world, "a", 0, bytes);
    put_compressed(&world, "a", 1, bytes);
    ram_record_put_eos(world.s);
    put_zero(&world, "a", 0);
    put_zero(&world, "a", 1);
    ram_record_put_eos(world.s);
    load_well(&world, 2);
    for (unsigned page = 0; page < 2; page++) {
        g_assert_cmpmem(ram_block_page(world.ram->a, page), MIG_PAGE_SIZE,
                        zero, MIG_PAGE_SIZE);
    }
    test_ram_free(world.ram);
}

/* What has been cleared is as if never written. */
static void test_zero_clears_once(void)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(MemReader) r = NULL;
    uint8_t page[MIG_PAGE_SIZE];
    Stats *stats = stats_new(&clock_monotonic);
    World world;
    StatsChannel counted = { .stats = stats };
    RamLoad *ram_load;

    test_page_fill(page, PAGE_NOISE, 1);
    world_init(&world);
    put_plain(&world, "a", 0, page);
    put_zero(&world, NULL, 0);
    ram_record_put_eos(world.s);
    put_zero(&world, NULL, 0);
    ram_record_put_eos(world.s);
    bytes = mem_writer_finish(world.writer);
    r = mem_reader_new(bytes);
    ram_load = ram_load_new(r->stream, world.ram->blocks, 1, &counted);
    g_assert_true(load_section(ram_load, r->stream, NULL));
    mprotect(world.ram->a->host, MIG_PAGE_SIZE, PROT_NONE);
    g_assert_true(load_section(ram_load, r->stream, NULL));
    ram_load_free(ram_load);
    stats_free(stats);
    test_ram_free(world.ram);
}

static GBytes *small_stream(World *world, uint64_t *compressed_bytes)
{
    uint8_t bytes[MIG_PAGE_SIZE];
    uint64_t before;

    test_page_fill(bytes, PAGE_TEXT, 1);
    put_setup(world);
    put_zero(world, "a", 0);
    put_plain(world, NULL, 1, bytes);
    before = stream_position(world->s);
    put_compressed(world, "b", 2, bytes);
    put_compressed(world, NULL, 1, bytes);
    *compressed_bytes = stream_position(world->s) - before;
    ram_record_put_eos(world->s);
    return mem_writer_finish(g_steal_pointer(&world->writer));
}

static void test_counts(void)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) err = NULL;
    uint64_t compressed_bytes;
    StatsData data;
    World world;

    world_init(&world);
    bytes = small_stream(&world, &compressed_bytes);
    load_bytes(&world, bytes, 1, &data, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(data.pages.zero, ==, 1);
    g_assert_cmpuint(data.pages.normal, ==, 1);
    g_assert_cmpuint(data.pages.compressed, ==, 2);
    g_assert_cmpuint(data.pages.compressed_bytes, ==, compressed_bytes);
    g_assert_cmpuint(data.transferred, ==, g_bytes_get_size(bytes));
    test_ram_free(world.ram);
}

/* The stream may end anywhere, pages in flight or not. */
static void test_eof(void)
{
    g_autoptr(GBytes) bytes = NULL;
    uint64_t unused;
    World world;

    world_init(&world);
    bytes = small_stream(&world, &unused);
    for (size_t size = 0; size < g_bytes_get_size(bytes); size += 11) {
        g_autoptr(GBytes) cut = g_bytes_new_from_bytes(bytes, 0, size);
        g_autofree char *text = g_strdup_printf("at byte %zu of", size);
        g_autoptr(GError) err = NULL;
        StatsData data;

        g_assert_false(load_bytes(&world, cut, 1, &data, &err));
        expect_error(&err, MIG_ERROR_EOF, text);
    }
    test_ram_free(world.ram);
    ram_load_free(NULL);
}

/* Watching */

static bool note_pages(void *opaque, const RamRecord *record,
                       const RamBlock *block, uint64_t first, uint64_t count,
                       GError **errp)
{
    g_string_append_printf(opaque, "%s%u+%u:%x ", block->name,
                           (unsigned)first, (unsigned)count, record->type);
    return true;
}

static bool refuse_pages(void *opaque, const RamRecord *record,
                         const RamBlock *block, uint64_t first,
                         uint64_t count, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "I have seen enough");
    return false;
}

/* Load what was written with block b being without memory. */
static bool watch(World *world, RamWatcher watcher, GError **err)
{
    g_autoptr(GBytes) bytes =
        mem_writer_finish(g_steal_pointer(&world->writer));
    g_autoptr(MemReader) r = mem_reader_new(bytes);
    Stats *stats = stats_new(&clock_monotonic);
    StatsChannel counted = { .stats = stats };
    RamLoad *load;
    bool ok;

    world->ram->blocks->block[1].host = NULL;
    load = ram_load_new(r->stream, world->ram->blocks, 2, &counted);
    ram_load_watch(load, &watcher);
    ok = load_section(load, r->stream, err) && ram_load_drain(load, err);
    ram_load_free(load);
    stats_free(stats);
    return ok;
}

static void test_watch(void)
{
    uint8_t x[MIG_PAGE_SIZE];

    test_page_fill(x, PAGE_TEXT, 1);
    for (unsigned verify = 0; verify < 2; verify++) {
        g_autoptr(GString) seen = g_string_new(NULL);
        g_autoptr(GError) err = NULL;
        uint8_t head[WIRE_RECORD_HEAD_MAX];
        World world;

        world_init(&world);
        put_compressed(&world, "a", 1, x);
        put_compressed(&world, "b", 1, x);
        put_plain(&world, NULL, 2, x);
        put_zero(&world, NULL, 1);
        put_zero(&world, NULL, 2);
        stream_put_bytes(world.s, head,
                         ram_record_put_zero_range(head, 0, NULL, 3));
        ram_record_put_eos(world.s);
        watch(&world, (RamWatcher){ note_pages, seen, verify }, &err);
        g_assert_no_error(err);
        g_assert_cmpstr(seen->str, ==, "a1+1:100 b1+1:100 b2+1:8 b1+1:2 "
                        "b2+1:2 b0+3:800 ");
        g_assert_cmpmem(ram_block_page(world.ram->a, 1), MIG_PAGE_SIZE, x,
                        MIG_PAGE_SIZE);
        test_ram_free(world.ram);
    }
}

/* A bad page that goes nowhere: nobody looks, unless told to. */
static void test_watch_verify(void)
{
    for (unsigned verify = 0; verify < 2; verify++) {
        g_autoptr(GString) seen = g_string_new(NULL);
        g_autoptr(GError) err = NULL;
        uint8_t head[WIRE_RECORD_HEAD_MAX];
        World world;

        world_init(&world);
        stream_put_bytes(world.s, head,
                         ram_record_put_compressed(head, 0, "b", 5));
        stream_put_bytes(world.s, "wrong", 5);
        ram_record_put_eos(world.s);
        g_assert_true(watch(&world, (RamWatcher){ note_pages, seen, verify },
                            &err) == !verify);
        if (verify) {
            expect_error(&err, MIG_ERROR_STREAM, "block 'b', offset 0x0");
        }
        test_ram_free(world.ram);
    }
}

static void test_watch_refuses(void)
{
    g_autoptr(GError) err = NULL;
    World world;

    world_init(&world);
    put_zero(&world, "a", 0);
    g_assert_false(watch(&world, (RamWatcher){ refuse_pages }, &err));
    expect_error(&err, MIG_ERROR_HOST, "I have seen enough");
    test_ram_free(world.ram);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-load/setup", test_setup);
    g_test_add_func("/ram-load/setup/begins-wrong", test_setup_begins_wrong);
    g_test_add_func("/ram-load/setup/wrong-total", test_wrong_total);
    g_test_add_func("/ram-load/setup/wrong-blocks", test_wrong_blocks);
    g_test_add_func("/ram-load/setup/ends-wrong", test_setup_ends_wrong);
    g_test_add_func("/ram-load/refuse/unknown-block", test_unknown_block);
    g_test_add_func("/ram-load/refuse/outside", test_outside);
    g_test_add_func("/ram-load/refuse/continue-first", test_continue_first);
    g_test_add_func("/ram-load/refuse/second-list", test_second_list);
    g_test_add_func("/ram-load/refuse/bad-page", test_bad_compressed_page);
    g_test_add_func("/ram-load/block-stays", test_block_stays);
    g_test_add_func("/ram-load/order-of-one-page", test_order_of_one_page);
    g_test_add_func("/ram-load/changes", test_changes);
    g_test_add_func("/ram-load/changes/of-zero", test_changes_of_zero);
    g_test_add_func("/ram-load/changes/bad", test_bad_changes);
    g_test_add_func("/ram-load/zero/untouched", test_zero_leaves_untouched);
    g_test_add_func("/ram-load/zero/clears", test_zero_clears_written);
    g_test_add_func("/ram-load/zero/clears-once", test_zero_clears_once);
    g_test_add_func("/ram-load/counts", test_counts);
    g_test_add_func("/ram-load/eof", test_eof);
    g_test_add_func("/ram-load/watch", test_watch);
    g_test_add_func("/ram-load/watch/verify", test_watch_verify);
    g_test_add_func("/ram-load/watch/refuses", test_watch_refuses);
    return g_test_run();
}
