/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The scanner: every byte comes out once and in order, pages as pages. */
#include <string.h>

#include "migration/wire/section.h"
#include "migration/wire/wire.h"
#include "tests/lib/mem-channel.h"
#include "tests/lib/put-multifd.h"
#include "tools/relay/relay-scan.h"

#define RAM_ID 2u

/* put_start(): head, total, three blocks, EOS. */
#define START_SIZE (5 + 4 + 4 + 4 + 8 + (8 + 8) + (7 + 8) + (5 + 8) + 8)

typedef struct Found {
    GByteArray *bytes;
    unsigned pages, blocks, parts, ends, found_again;
    size_t head_size; /* of the last page, */
    uint64_t key;     /* and its number in RAM */
    size_t held_max;
    bool has_ram, return_path, postcopy, complete, stands_still;
    char *reason, *advice;
    StreamEnd end; /* END_UNTOLD: nobody has said */
} Found;

static bool on_literal(void *opaque, const void *buf, size_t size,
                       GError **errp)
{
    Found *found = opaque;

    g_byte_array_append(found->bytes, buf, (guint)size);
    return true;
}

static bool on_page(void *opaque, const ScanPage *page, GError **errp)
{
    Found *found = opaque;

    g_byte_array_append(found->bytes, page->data, (guint)page->size);
    found->pages++;
    found->head_size = page->head_size;
    found->key = ram_block_key(page->block,
                               page->record->offset / MIG_PAGE_SIZE);
    g_assert_cmpstr(page->block->name, ==, "pc.ram");
    return true;
}

static bool on_block(void *opaque, const uint8_t *block, GError **errp)
{
    Found *found = opaque;

    found->blocks++;
    return on_literal(opaque, block, MIG_PAGE_SIZE, errp);
}

static bool on_idle(void *opaque, bool waits, size_t held, GError **errp)
{
    Found *found = opaque;

    g_assert_cmpuint(held, <=, found->bytes->len);
    found->held_max = MAX(found->held_max, held);
    return true;
}

static void on_ram_begins(void *opaque, const RamBlocks *blocks,
                          bool has_return_path)
{
    Found *found = opaque;

    g_assert_false(found->has_ram);
    found->has_ram = true;
    found->return_path = has_return_path;
}

static void on_lost(void *opaque, const char *reason)
{
    Found *found = opaque;

    g_assert_null(found->reason);
    found->reason = g_strdup(reason);
}

static void on_reached(void *opaque, ScanPlace place)
{
    Found *found = opaque;

    found->postcopy |= place == SCAN_POSTCOPY;
    found->complete |= place == SCAN_COMPLETE;
    found->stands_still |= place == SCAN_STANDS_STILL;
    found->found_again += place == SCAN_FOUND;
}

static void on_advice(void *opaque, const char *text)
{
    Found *found = opaque;

    g_assert_null(found->advice);
    found->advice = g_strdup(text);
}

static void on_ended(void *opaque, const ScanEnd *end)
{
    Found *found = opaque;

    g_assert_cmpint(found->end, ==, END_UNTOLD);
    found->end = end->end;
}

static bool on_part(void *opaque, const ScanPart *part, GError **errp)
{
    Found *found = opaque;
    const uint8_t *head = found->bytes->data + found->bytes->len - 5;

    g_assert_cmpuint(head[0], ==, part->type);
    g_assert_cmpuint(part->id, ==, RAM_ID);
    g_assert_true(part->has_footer);
    found->parts++;
    return true;
}

static bool on_part_end(void *opaque, const ScanPart *part, GError **errp)
{
    Found *found = opaque;

    found->ends++;
    return true;
}

static const ScanSink sink = {
    .literal = on_literal,
    .page = on_page,
    .idle = on_idle,
    .ram_begins = on_ram_begins,
    .lost = on_lost,
    .ended = on_ended,
    .part = on_part,
    .part_end = on_part_end,
};

/* Takes blocks, as a relay does that packs. */
static const ScanSink block_sink = {
    .literal = on_literal,
    .page = on_page,
    .block = on_block,
    .idle = on_idle,
    .ram_begins = on_ram_begins,
    .lost = on_lost,
    .reached = on_reached,
    .advise = on_advice,
    .ended = on_ended,
};

static const ScanSink greedy_sink = {
    .literal = on_literal,
    .page = on_page,
    .idle = on_idle,
    .ram_begins = on_ram_begins,
    .lost = on_lost,
    .wants_all_pages = true,
};

static void scan(const ScanSink *with, GBytes *bytes, size_t chunk,
                 Found *found)
{
    g_autoptr(MemReader) r = chunk ? mem_reader_new_chunked(bytes, chunk)
                                   : mem_reader_new(bytes);
    g_autoptr(GError) err = NULL;

    *found = (Found){ .bytes = g_byte_array_new() };
    g_assert_true(scan_run(r->stream, with, found, &err));
    g_assert_no_error(err);
    g_assert_cmpmem(found->bytes->data, found->bytes->len,
                    g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

static void found_clear(Found *found)
{
    g_byte_array_unref(found->bytes);
    g_free(found->reason);
    g_free(found->advice);
}

/* Streams to scan */

typedef enum {
    NO_RETURN_PATH = 1 << 0,
    POSTCOPY = 1 << 1,   /* advised, and a block of large pages */
    XBZRLE = 1 << 2,
    NO_FOOTERS = 1 << 3,
    RDMA = 1 << 4,       /* a record that nobody takes apart */
    SHARED = 1 << 5,     /* x-ignore-shared: addresses */
    UNLISTED = 1 << 6,   /* a page of a block that is not listed */
    NAMELESS = 1 << 7,   /* a page of the block of none before it */
    BEFORE = 1 << 8,     /* a device's section before RAM */
    BETWEEN = 1 << 9,    /* a device's sections between RAM's */
    BARE = 1 << 10,      /* no configuration */
    OUTSIDE = 1 << 11,   /* a page behind the end of its block */
    ENDS = 1 << 12,      /* with devices, EOF and a description */
    MULTIFD = 1 << 13,   /* ends of its rounds */
    SWITCHES = 1 << 14,  /* to postcopy, between RAM's parts */
    EMPTY = 1 << 15,     /* first, a list of no blocks */
} Flavour;

#define DEVICE_ID 9u

/* What looks like heads of ram's sections, and is none. */
static const char decoys[] =
    "~\0\0\0\1\2\0\0\0\2\0\0\0\0\0\0\0\3xx\2\0\0\0\2"
    "\0\0\0\0\0\0\x10\x30\1\0\0\0\5\3ram\0\0\0\0\0\0\0\4\0\0\0\0\0\0\x10"
    "\4\1a\0\0\0\0\0\0\x20\0~\0\0\0\2\3\0\0\0\2\0\0\0\0\0\x40\0\x28~\3";

static void put_footer(Stream *s, unsigned flavour)
{
    if (!(flavour & NO_FOOTERS)) {
        section_put_footer(s, RAM_ID);
    }
}

static void put_block(Stream *s, const char *name, uint64_t size,
                      bool page_size, bool address)
{
    stream_put_name(s, name);
    stream_put_be64(s, size);
    if (page_size) {
        stream_put_be64(s, 2 << 20);
    }
    if (address) {
        stream_put_be64(s, 5 << 20);
    }
}

static void put_device(Stream *s, uint8_t type, unsigned flavour)
{
    SectionHeader head = { type, DEVICE_ID, "vfio", 0, 1 };

    section_put_header(s, &head);
    for (unsigned i = 0; i < 50; i++) {
        stream_put_bytes(s, decoys, sizeof(decoys) - 1 - i);
    }
    if (!(flavour & NO_FOOTERS)) {
        section_put_footer(s, DEVICE_ID);
    }
}

static void put_command(Stream *s, uint16_t number, uint16_t length)
{
    stream_put_u8(s, WIRE_COMMAND);
    stream_put_be16(s, number);
    stream_put_be16(s, length);
}

/* As QEMU 11.1 does it: the devices are in the package. */
static void put_switch(Stream *s)
{
    const char discard[] = "\0\6pc.ram\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\x10";
    uint32_t size = 5 + 50 * (sizeof(decoys) - 1) + 5;

    put_command(s, WIRE_CMD_POSTCOPY_DISCARD, sizeof(discard) - 1);
    stream_put_bytes(s, discard, sizeof(discard) - 1);
    section_put_ping(s, 2);
    put_command(s, WIRE_CMD_PACKAGED, sizeof(size));
    stream_put_be32(s, size);
    put_command(s, WIRE_CMD_POSTCOPY_LISTEN, 0);
    for (unsigned i = 0; i < 50; i++) {
        stream_put_bytes(s, decoys, sizeof(decoys) - 1);
    }
    put_command(s, WIRE_CMD_POSTCOPY_RUN, 0);
    section_put_ping(s, 4);
}

static void put_start(Stream *s, unsigned flavour)
{
    SectionHeader start = { WIRE_START, RAM_ID, "ram", 0, WIRE_RAM_VERSION };
    bool large = flavour & POSTCOPY, address = flavour & SHARED;

    section_put_header(s, &start);
    ram_record_put_mem_size(s, 5 << 20);
    put_block(s, "pc.bios", 1 << 20, false, address);
    put_block(s, "pc.ram", 2 << 20, large, address);
    put_block(s, "more", 2 << 20, large, address);
    if (flavour & MULTIFD) {
        stream_put_be64(s, WIRE_RAM_MULTIFD);
    }
    ram_record_put_eos(s);
    put_footer(s, flavour);
}

static void put_pages(Stream *s, unsigned flavour)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX], page[MIG_PAGE_SIZE];

    memset(page, 0x5a, sizeof(page));
    if (flavour & NAMELESS) {
        stream_put_bytes(s, head, ram_record_put_plain(head, 4096, NULL));
        stream_put_bytes(s, page, sizeof(page));
    }
    stream_put_bytes(s, head, ram_record_put_zero(head, 0, "pc.ram"));
    stream_put_bytes(s, head, ram_record_put_plain(head, 4096, NULL));
    stream_put_bytes(s, page, sizeof(page));
    if (flavour & XBZRLE) {
        stream_put_be64(s, 8192 | WIRE_RAM_XBZRLE);
        stream_put_name(s, "pc.ram");
        stream_put_u8(s, 1);
        stream_put_be16(s, 3);
        stream_put_bytes(s, "abc", 3);
    }
    if (flavour & MULTIFD) {
        stream_put_be64(s, WIRE_RAM_MULTIFD);
    }
    if (flavour & RDMA) {
        stream_put_be64(s, WIRE_RAM_HOOK);
    }
    if (flavour & UNLISTED) {
        stream_put_bytes(s, head, ram_record_put_plain(head, 0, "no.ram"));
        stream_put_bytes(s, page, sizeof(page));
    }
    if (flavour & OUTSIDE) {
        stream_put_bytes(s, head, ram_record_put_plain(head, 2 << 20, NULL));
        stream_put_bytes(s, page, sizeof(page));
    }
    stream_put_bytes(s, head, ram_record_put_compressed(head, 8192, NULL, 20));
    stream_put_bytes(s, page, 20);
    stream_put_bytes(s, head, ram_record_put_plain(head, 12288, "pc.ram"));
    stream_put_bytes(s, page, sizeof(page));
    ram_record_put_eos(s);
    put_footer(s, flavour);
}

static void put_shared(Stream *s)
{
    stream_put_u8(s, WIRE_SUBSECTION);
    stream_put_name(s, WIRE_CONFIG_CAPABILITIES);
    stream_put_be32(s, WIRE_CONFIG_CAPABILITIES_VERSION);
    stream_put_be32(s, 1);
    stream_put_name(s, "x-ignore-shared");
}

static GBytes *make_stream(unsigned flavour)
{
    const Identity identity = { .machine = "pc-i440fx-7.2" };
    SectionHeader part = { WIRE_PART, RAM_ID };
    SectionHeader empty = { WIRE_START, 1, "ram", 0, WIRE_RAM_VERSION };
    MemWriter *w = mem_writer_new();
    Stream *s = w->stream;

    if (flavour & BARE) {
        stream_put_be32(s, WIRE_MAGIC);
        stream_put_be32(s, WIRE_VERSION);
    } else {
        section_put_preamble(s, &identity);
    }
    if (flavour & SHARED) {
        put_shared(s);
    }
    if (!(flavour & NO_RETURN_PATH)) {
        section_put_open_return_path(s);
        section_put_ping(s, 1);
    }
    if (flavour & POSTCOPY) {
        put_command(s, WIRE_CMD_POSTCOPY_ADVISE, 16);
        stream_put_be64(s, 0);
        stream_put_be64(s, 0);
    }
    if (flavour & EMPTY) {
        section_put_header(s, &empty);
        ram_record_put_mem_size(s, 0);
        ram_record_put_eos(s);
        put_footer(s, flavour);
    }
    if (flavour & BEFORE) {
        put_device(s, WIRE_FULL, flavour);
    }
    put_start(s, flavour);
    if (flavour & BETWEEN) {
        put_device(s, WIRE_START, flavour);
    }
    section_put_header(s, &part);
    put_pages(s, flavour);
    if (flavour & BETWEEN) {
        put_device(s, WIRE_PART, flavour);
    }
    if (flavour & SWITCHES) {
        put_switch(s);
    }
    part.type = WIRE_END;
    section_put_header(s, &part);
    put_pages(s, flavour);
    if (flavour & SWITCHES) {
        stream_put_u8(s, WIRE_EOF);
        return mem_writer_finish(w);
    }
    if (flavour & ENDS) {
        put_device(s, WIRE_FULL, flavour);
        stream_put_u8(s, WIRE_EOF);
        stream_put_u8(s, WIRE_VMDESCRIPTION);
        stream_put_be32(s, 2);
        stream_put_bytes(s, "{}", 2);
        return mem_writer_finish(w);
    }
    stream_put_bytes(s, "devices, and a page: ", 21);
    stream_put_u8(s, WIRE_EOF);
    return mem_writer_finish(w);
}

static void test_pages(void)
{
    const unsigned flavours[] = { 0, NO_RETURN_PATH, POSTCOPY, XBZRLE, SHARED,
                                   SHARED | POSTCOPY, MULTIFD,
                                   MULTIFD | SHARED | POSTCOPY };

    for (unsigned i = 0; i < G_N_ELEMENTS(flavours); i++) {
        g_autoptr(GBytes) bytes = make_stream(flavours[i]);
        Found found;

        scan(&sink, bytes, 0, &found);
        g_assert_cmpuint(found.pages, ==, 4);
        g_assert_cmpuint(found.parts, ==, 2);
        g_assert_cmpuint(found.ends, ==, 2);
        g_assert_cmpuint(found.head_size, ==, 8 + 1 + 6);
        g_assert_true(found.has_ram);
        g_assert_true(found.return_path == (flavours[i] != NO_RETURN_PATH));
        g_assert_cmpstr(found.reason, ==, NULL);
        found_clear(&found);
    }
}

static void test_all_pages(void)
{
    g_autoptr(GBytes) bytes = make_stream(0);
    Found found;

    scan(&greedy_sink, bytes, 0, &found);
    g_assert_cmpuint(found.pages, ==, 8);
    found_clear(&found);
}

static void test_no_footers(void)
{
    ScanSink quiet = sink;
    g_autoptr(GBytes) bytes = make_stream(NO_FOOTERS);
    g_autoptr(GBytes) cut = NULL;
    Found found;

    quiet.part = NULL;
    scan(&quiet, bytes, 0, &found);
    g_assert_cmpuint(found.pages, ==, 4);
    g_assert_cmpuint(found.ends, ==, 2);
    g_assert_cmpint(found.end, ==, END_OPAQUE);
    found_clear(&found);

    /* Nothing behind RAM is not the end of the devices. */
    cut = g_bytes_new_from_bytes(bytes, 0, g_bytes_get_size(bytes) - 22);
    scan(&quiet, cut, 0, &found);
    g_assert_cmpuint(found.ends, ==, 2);
    g_assert_cmpint(found.end, ==, END_CUT);
    found_clear(&found);
}

/* What is not understood is no page, nor is what follows it in its section.
 * For a sink that changes pages there are none in what follows, either. */
static void test_not_understood(void)
{
    const struct {
        const ScanSink *sink;
        unsigned flavour, pages;
        const char *says;
    } rows[] = {
        { &sink, RDMA, 2, "RDMA" },
        { &greedy_sink, XBZRLE, 2, "XBZRLE" },
        { &greedy_sink, MULTIFD, 2, "multifd" },
        { &greedy_sink, SWITCHES, 4, "command 6 (POSTCOPY_RAM_DISCARD" },
        { &sink, UNLISTED, 2, "RAM block 'no.ram', which is not listed" },
        { &sink, NAMELESS, 0, "a page of no RAM block" },
        { &sink, OUTSIDE, 2, "a page behind the end of RAM block 'pc.ram'" },
        { &greedy_sink, BETWEEN, 0, "section 'vfio' before" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GBytes) bytes = make_stream(rows[i].flavour);
        Found found;

        scan(rows[i].sink, bytes, 0, &found);
        g_assert_cmpuint(found.pages, ==, rows[i].pages);
        g_assert_cmpuint(found.ends, ==, 0);
        g_assert_nonnull(strstr(found.reason, rows[i].says));
        found_clear(&found);
    }
}

/* Behind what is not understood, RAM is found again; but how such a stream has
 * ended is not known. */
static void test_found_again(void)
{
    const struct {
        unsigned flavour;
        const char *says;
        StreamEnd end;
        unsigned again; /* while the guest runs */
    } rows[] = {
        { ENDS, NULL, END_WHOLE, 0 },
        { ENDS | MULTIFD, NULL, END_WHOLE, 0 },
        { SWITCHES | POSTCOPY, NULL, END_WHOLE, 0 },
        { ENDS | BEFORE, "section 'vfio' before", END_OPAQUE, 1 },
        { ENDS | BETWEEN, "section 'vfio' before", END_OPAQUE, 1 },
        { ENDS | BEFORE | BETWEEN | POSTCOPY, "section 'vfio'", END_OPAQUE,
          2 },
        { ENDS | EMPTY, "an empty list of RAM blocks", END_OPAQUE, 1 },
        { ENDS | NO_FOOTERS, NULL, END_WHOLE, 0 },
        { ENDS | NO_FOOTERS | BARE, NULL, END_WHOLE, 0 },
        { NO_FOOTERS | BARE, NULL, END_OPAQUE, 0 },
        { ENDS | NO_FOOTERS | BARE | BEFORE, "section 'vfio'", END_OPAQUE, 1 },
        { ENDS | NO_FOOTERS | BETWEEN, "section 'vfio' before", END_OPAQUE,
          1 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GBytes) bytes = make_stream(rows[i].flavour);

        for (size_t chunk = 0; chunk < 60; chunk += chunk < 20 ? 1 : 7) {
            Found found;

            scan(&block_sink, bytes, chunk, &found);
            g_assert_cmpuint(found.pages, ==, 4);
            g_assert_true(found.has_ram);
            g_assert_true(found.return_path);
            g_assert_true(found.postcopy == !!(rows[i].flavour & SWITCHES));
            g_assert_cmpint(found.end, ==, rows[i].end);
            g_assert_true(found.complete == !!(rows[i].flavour &
                                               (ENDS | SWITCHES)));
            g_assert_true(found.stands_still);
            g_assert_cmpuint(found.found_again, ==, rows[i].again);
            if (rows[i].says) {
                g_assert_nonnull(strstr(found.reason, rows[i].says));
            } else {
                g_assert_null(found.reason);
            }
            found_clear(&found);
        }
    }
}

/* A connection of postcopy-preempt is called that; a package that is none, and
 * one that is cut. */
static void test_postcopy(void)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX], page[MIG_PAGE_SIZE] = { 1 };
    g_autoptr(GBytes) whole = make_stream(SWITCHES | POSTCOPY);
    g_autoptr(GBytes) cut = NULL;
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;
    Found found;

    stream_put_bytes(w->stream, head,
                     ram_record_put_plain(head, 4096, "pc.ram"));
    stream_put_bytes(w->stream, page, sizeof(page));
    bytes = mem_writer_finish(w);
    for (size_t chunk = 0; chunk < 12; chunk++) { /* only the first is seen */
        scan(&block_sink, bytes, chunk, &found);
        g_assert_nonnull(strstr(found.reason, "pages of postcopy-preempt"));
        g_assert_true(chunk || found.blocks == 1);
        found_clear(&found);
    }

    cut = g_bytes_new_from_bytes(whole, 0, g_bytes_get_size(whole) - 10000);
    scan(&block_sink, cut, 0, &found);
    g_assert_true(found.postcopy);
    g_assert_cmpint(found.end, ==, END_CUT);
    found_clear(&found);
}

/* A page that is only guessed is not held back when the source pauses. */
static void test_guessed(void)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX], page[MIG_PAGE_SIZE] = { 1 };
    const Identity identity = { .machine = "pc-i440fx-7.2" };
    SectionHeader part = { WIRE_PART, RAM_ID };
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;
    Found found;

    section_put_preamble(w->stream, &identity);
    put_start(w->stream, 0);
    put_device(w->stream, WIRE_START, 0);
    section_put_header(w->stream, &part);
    for (unsigned i = 0; i < 2; i++) {
        stream_put_bytes(w->stream, head,
                         ram_record_put_plain(head, 4096, "pc.ram"));
        stream_put_bytes(w->stream, page, sizeof(page));
    }
    bytes = mem_writer_finish(w);
    scan(&block_sink, bytes, 0, &found);
    g_assert_cmpuint(found.pages, ==, 2);
    found_clear(&found);
    scan(&block_sink, bytes, 1000, &found);
    g_assert_cmpuint(found.pages, ==, 1);
    found_clear(&found);
}

/* Nothing is opaque: what makes no sense comes in blocks, but for the rest of
 * what came before a pause or the end. */
static void test_blocks(void)
{
    const struct {
        size_t size, chunk; /* there is a pause behind each chunk */
        unsigned blocks;
    } rows[] = {
        { 1, 0, 0 }, { 4095, 0, 0 }, { 4096, 0, 1 }, { 10000, 0, 2 },
        { 500000, 0, 122 }, { 12288, 4096, 3 }, { 12288, 4095, 0 },
        { 50000, 5000, 10 }, { 20000, 9000, 4 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree uint8_t *data = g_malloc(rows[i].size);
        g_autoptr(GBytes) bytes = NULL;
        Found found;

        for (size_t k = 0; k < rows[i].size; k++) {
            data[k] = (uint8_t)(k * 7 + (k >> 9));
        }
        bytes = g_bytes_new(data, rows[i].size);
        scan(&block_sink, bytes, rows[i].chunk, &found);
        g_assert_cmpuint(found.blocks, ==, rows[i].blocks);
        g_assert_cmpuint(found.pages, ==, 0);
        found_clear(&found);
    }
}

/* What follows RAM, too; and a stream may be cut in a block. */
static void test_devices(void)
{
    g_autoptr(GBytes) ram = make_stream(0);
    size_t ram_size = g_bytes_get_size(ram) - 1; /* without EOF */
    g_autoptr(GByteArray) all = g_byte_array_new();
    uint8_t state[3 * MIG_PAGE_SIZE + 50] = { 0 };

    g_byte_array_append(all, g_bytes_get_data(ram, NULL), (guint)ram_size);
    g_byte_array_append(all, state, sizeof(state));
    for (size_t cut = 0; cut < 2; cut++) {
        g_autoptr(GBytes) bytes = g_bytes_new(all->data,
                                              all->len - 100 * cut);
        Found found;

        scan(&block_sink, bytes, 0, &found);
        g_assert_cmpuint(found.pages, ==, 4);
        g_assert_cmpuint(found.blocks, ==, 3 - cut);
        g_assert_cmpstr(found.reason, ==, NULL);
        found_clear(&found);
    }
}

/* One of multifd's connections */

static void put_packet(Stream *s, const PutMultifd *packet, uint32_t data)
{
    uint8_t byte = 1;

    put_multifd_head(s, packet);
    while (data--) {
        stream_put_u8(s, byte++);
    }
}

/* Three pages and the last one again, and the ends of two rounds: the first, as
 * QEMU 7.2 writes it, with a page. */
static void put_rounds(Stream *s, unsigned flags, uint32_t size)
{
    const PutMultifd pages = {
        .flags = flags, .normal = 3, .zero = 2, .size = 3 * size,
        .name = "pc.ram", .offset = 1 << 20,
    };
    const PutMultifd last = {
        .flags = flags | PUT_MULTIFD_SYNC, .normal = 1, .size = size,
        .name = "pc.ram", .offset = (1 << 20) + 2 * MIG_PAGE_SIZE,
    };
    const PutMultifd sync = { .flags = PUT_MULTIFD_SYNC, .size = size };

    put_multifd_first(s, 1);
    put_packet(s, &sync, 0);
    put_packet(s, &pages, pages.size);
    put_packet(s, &last, size);
    put_packet(s, &sync, 0);
}

static GBytes *make_rounds(unsigned flags, uint32_t size)
{
    MemWriter *w = mem_writer_new();

    put_rounds(w->stream, flags, size);
    return mem_writer_finish(w);
}

static void test_multifd(void)
{
    g_autoptr(GBytes) bytes = make_rounds(0, MIG_PAGE_SIZE);
    uint64_t key = 0;

    for (size_t chunk = 0; chunk < 3000; chunk += 501) {
        Found found;

        scan(&block_sink, bytes, chunk, &found);
        g_assert_cmpuint(found.pages, ==, 4);
        g_assert_cmpuint(found.blocks, ==, 0);
        g_assert_cmpstr(found.reason, ==, NULL);
        g_assert_cmpstr(found.advice, ==, NULL);
        g_assert_cmpint(found.end, ==, END_OPAQUE);
        g_assert_false(found.has_ram);
        g_assert_true(!key || found.key == key);
        key = found.key;
        found_clear(&found);
    }
}

/* Cut anywhere, nothing is lost; and within a packet it shows. */
static void test_multifd_cut(void)
{
    g_autoptr(GBytes) bytes = make_rounds(0, MIG_PAGE_SIZE);
    const size_t head = 1344, first = 64;
    const size_t ends[] = {
        first, first + head, first + 2 * head + 3 * MIG_PAGE_SIZE,
        first + 3 * head + 4 * MIG_PAGE_SIZE,
        first + 4 * head + 4 * MIG_PAGE_SIZE,
    };

    g_assert_cmpuint(g_bytes_get_size(bytes), ==, ends[4]);
    for (unsigned i = 0; i < G_N_ELEMENTS(ends); i++) {
        for (size_t cut = ends[i] - 2; cut < ends[i] + 2; cut++) {
            g_autoptr(GBytes) part =
                g_bytes_new_from_bytes(bytes, 0, MIN(cut, ends[4]));
            Found found;

            scan(&block_sink, part, 0, &found);
            g_assert_cmpint(found.end, ==, MIN(cut, ends[4]) == ends[i]
                                               ? END_OPAQUE : END_CUT);
            found_clear(&found);
        }
    }
}

/* What QEMU has compressed is no page. */
static void test_multifd_compressed(void)
{
    g_autoptr(GBytes) bytes = make_rounds(PUT_MULTIFD_ZSTD, 3000);
    Found found;

    scan(&block_sink, bytes, 0, &found);
    g_assert_cmpuint(found.pages, ==, 0);
    g_assert_cmpuint(found.blocks, ==, 2);
    g_assert_cmpstr(found.reason, ==, NULL);
    g_assert_nonnull(strstr(found.advice, "multifd-compression zstd"));
    found_clear(&found);
}

static void test_multifd_state(void)
{
    const PutMultifd state = {
        .flags = PUT_MULTIFD_DEVICE, .size = 10000, .name = "vfio",
    };
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;
    Found found;

    put_rounds(w->stream, 0, MIG_PAGE_SIZE);
    put_packet(w->stream, &state, state.size);
    put_packet(w->stream, &state, 0); /* cut */
    bytes = mem_writer_finish(w);
    scan(&block_sink, bytes, 0, &found);
    g_assert_cmpuint(found.pages, ==, 4);
    g_assert_cmpuint(found.blocks, ==, 2);
    g_assert_cmpstr(found.advice, ==, NULL);
    g_assert_cmpint(found.end, ==, END_CUT);
    found_clear(&found);
}

/* From a packet on that makes no sense, there are only blocks. */
static void test_multifd_broken(void)
{
    const PutMultifd broken = { .magic = 0x55443322 };
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;
    Found found;

    put_rounds(w->stream, 0, MIG_PAGE_SIZE);
    put_packet(w->stream, &broken, 10000);
    bytes = mem_writer_finish(w);
    scan(&block_sink, bytes, 0, &found);
    g_assert_cmpuint(found.pages, ==, 4);
    g_assert_cmpuint(found.blocks, ==, (1344 - 12 + 10000) / MIG_PAGE_SIZE);
    g_assert_nonnull(strstr(found.reason, "0x55443322"));
    g_assert_cmpint(found.end, ==, END_OPAQUE);
    found_clear(&found);

    /* Nobody converts these. */
    scan(&greedy_sink, bytes, 0, &found);
    g_assert_cmpuint(found.pages, ==, 0);
    g_assert_nonnull(strstr(found.reason, "one of multifd's connections"));
    found_clear(&found);
}

static void test_chunks(void)
{
    g_autoptr(GBytes) bytes = make_stream(0);

    for (size_t chunk = 1; chunk < 40; chunk++) {
        Found found;

        scan(&sink, bytes, chunk, &found);
        g_assert_cmpuint(found.pages, ==, 4);
        found_clear(&found);
    }
}

/* The beginning of something that is not whole is held back.  When bytes come
 * one by one, that is at most all but the last byte of the list of blocks. */
static void test_held(void)
{
    g_autoptr(GBytes) bytes = make_stream(0);
    Found found;

    scan(&sink, bytes, 1, &found);
    g_assert_cmpuint(found.held_max, ==, START_SIZE - 1);
    found_clear(&found);
}

/* Cut anywhere, nothing is lost. */
static void test_truncated(void)
{
    g_autoptr(GBytes) bytes = make_stream(POSTCOPY);
    size_t size = g_bytes_get_size(bytes);

    for (size_t cut = 0; cut < size; cut += cut < 400 ? 1 : 13) {
        g_autoptr(GBytes) part = g_bytes_new_from_bytes(bytes, 0, cut);
        Found found;

        scan(&sink, part, 0, &found);
        found_clear(&found);
    }
}

/* A sink for pages of any block. */
static bool on_any_page(void *opaque, const ScanPage *page, GError **errp)
{
    return on_literal(opaque, page->data, page->size, errp);
}

static const ScanSink lenient_sink = {
    .literal = on_literal,
    .page = on_any_page,
    .idle = on_idle,
    .ram_begins = on_ram_begins,
    .lost = on_lost,
};

/* If any byte changes, nothing is lost. */
static void test_damaged(void)
{
    g_autoptr(GBytes) bytes = make_stream(0);
    size_t size = g_bytes_get_size(bytes);

    for (size_t at = 0; at < size; at += at < 400 ? 1 : 97) {
        uint8_t *data = g_memdup2(g_bytes_get_data(bytes, NULL), size);
        g_autoptr(GBytes) damaged = g_bytes_new_take(data, size);
        Found found;

        data[at] ^= (uint8_t)g_test_rand_int_range(1, 256);
        scan(&lenient_sink, damaged, 0, &found);
        found_clear(&found);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relay/scan/pages", test_pages);
    g_test_add_func("/relay/scan/all-pages", test_all_pages);
    g_test_add_func("/relay/scan/no-footers", test_no_footers);
    g_test_add_func("/relay/scan/not-understood", test_not_understood);
    g_test_add_func("/relay/scan/found-again", test_found_again);
    g_test_add_func("/relay/scan/postcopy", test_postcopy);
    g_test_add_func("/relay/scan/guessed", test_guessed);
    g_test_add_func("/relay/scan/blocks", test_blocks);
    g_test_add_func("/relay/scan/devices", test_devices);
    g_test_add_func("/relay/scan/multifd", test_multifd);
    g_test_add_func("/relay/scan/multifd/cut", test_multifd_cut);
    g_test_add_func("/relay/scan/multifd/compressed",
                    test_multifd_compressed);
    g_test_add_func("/relay/scan/multifd/state", test_multifd_state);
    g_test_add_func("/relay/scan/multifd/broken", test_multifd_broken);
    g_test_add_func("/relay/scan/chunks", test_chunks);
    g_test_add_func("/relay/scan/held", test_held);
    g_test_add_func("/relay/scan/truncated", test_truncated);
    g_test_add_func("/relay/scan/damaged", test_damaged);
    return g_test_run();
}
