/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/wire/reader.h: which items a stream is read as. */
#include "migration/wire/reader.h"

#include <string.h>

#include "migration/wire/wire.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/mem-channel.h"

#define RAM_ID 7u

static const ReaderConfig strict = { .max_ram = UINT64_MAX };
static const ReaderConfig lenient = { UINT64_MAX, .may_lack_footers = true };
static const ReaderConfig bare = { UINT64_MAX, .may_lack_footers = true,
                                   .may_lack_configuration = true };

/* What a stream is put together from. */

static void put_preamble(Stream *s)
{
    const Identity id = { .machine = "test" };

    section_put_preamble(s, &id);
}

static void put_head(Stream *s, uint8_t type, const char *name)
{
    SectionHeader head = { .type = type, .id = RAM_ID, .version = 4 };

    g_strlcpy(head.name, name, sizeof(head.name));
    section_put_header(s, &head);
}

static void put_list(Stream *s)
{
    put_head(s, WIRE_START, WIRE_RAM_NAME);
    ram_record_put_mem_size(s, MIG_PAGE_SIZE);
    stream_put_name(s, "a");
    stream_put_be64(s, MIG_PAGE_SIZE);
    ram_record_put_eos(s);
}

static void put_zero(Stream *s, const char *name)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX];

    stream_put_bytes(s, head, ram_record_put_zero(head, 0, name));
}

static void put_part(Stream *s, uint8_t type)
{
    put_head(s, type, "");
    put_zero(s, "a");
    ram_record_put_eos(s);
}

static void put_footer(Stream *s)
{
    section_put_footer(s, RAM_ID);
}

/* What it is read as. */

typedef struct World {
    MemWriter *writer;
    GBytes *bytes;
    MemReader *source;
    Reader *reader;
    Item *item; /* NULL: there was none */
} World;

static Stream *world_init(World *w)
{
    *w = (World){ .writer = mem_writer_new() };
    return w->writer->stream;
}

static void read_it(World *w, const ReaderConfig *config)
{
    w->bytes = mem_writer_finish(w->writer);
    w->source = mem_reader_new(w->bytes);
    w->reader = reader_new(w->source->stream, config);
}

static void world_destroy(World *w)
{
    reader_free(w->reader);
    mem_reader_free(w->source);
    g_bytes_unref(w->bytes);
}

/* A letter for an item; what is its caller's to read is skipped. */
static char letter_of(World *w, const Item *item)
{
    size_t skip = 0;
    char letter = "PCSBRFED"[item->type];

    if (item->type == ITEM_COMMAND) {
        skip = item->command.length;
    } else if (item->type == ITEM_DESCRIPTION) {
        skip = item->description;
    } else if (item->type == ITEM_SECTION &&
               item->section.type == WIRE_FULL) {
        skip = strlen("device");
    }
    g_assert_true(stream_skip(w->source->stream, skip, NULL));
    return letter;
}

/* Of ram's records. */
static bool is_last(const Item *item)
{
    return item->record.type == WIRE_RAM_EOS &&
           item->section.type == WIRE_END;
}

/* The items up to an error, which there is at the end of the bytes at last. */
static void expect(World *w, const char *letters, MigErrorCode code,
                   const char *text)
{
    g_autoptr(GString) got = g_string_new(NULL);
    g_autoptr(GError) err = NULL;
    uint64_t position = 0;
    Item *item;

    while ((item = reader_next(w->reader, &err))) {
        w->item = item;
        g_assert_true(item->position >= position);
        position = stream_position(w->source->stream);
        g_string_append_c(got, letter_of(w, item));
        if (item->type == ITEM_RECORD) {
            g_assert_cmpint(item->ends_ram, ==, is_last(item));
        }
    }
    g_assert_cmpstr(got->str, ==, letters);
    expect_error(&err, code, text);
}

static void test_whole(void)
{
    World w;
    Stream *s = world_init(&w);

    put_preamble(s);
    section_put_open_return_path(s);
    put_list(s);
    put_footer(s);
    section_put_ping(s, 1);
    put_part(s, WIRE_PART);
    put_footer(s);
    put_part(s, WIRE_END);
    put_footer(s);
    put_head(s, WIRE_FULL, "board");
    stream_put_bytes(s, "device", strlen("device"));
    put_footer(s);
    stream_put_u8(s, WIRE_EOF);
    stream_put_u8(s, WIRE_VMDESCRIPTION);
    stream_put_be32(s, 2);
    stream_put_bytes(s, "{}", 2);
    section_put_ping(s, WIRE_FERRY_GO);
    read_it(&w, &strict);
    expect(&w, "PCSBFCSRRFSRRFSFEDC", MIG_ERROR_EOF, "");
    g_assert_true(reader_has_footers(w.reader));
    world_destroy(&w);
}

static void test_no_footers(void)
{
    World w;
    Stream *s = world_init(&w);

    put_preamble(s);
    put_list(s);
    put_part(s, WIRE_PART);
    put_part(s, WIRE_END);
    stream_put_u8(s, WIRE_EOF);
    read_it(&w, &lenient);
    expect(&w, "PSBFSRRFSRRFE", MIG_ERROR_EOF, "");
    g_assert_false(reader_has_footers(w.reader));
    world_destroy(&w);

    s = world_init(&w);
    put_preamble(s);
    put_list(s);
    put_part(s, WIRE_PART);
    read_it(&w, &strict);
    expect(&w, "PSB", MIG_ERROR_STREAM, "no footer after section 7");
    world_destroy(&w);

    /* Where the first section has one, all have. */
    s = world_init(&w);
    put_preamble(s);
    put_list(s);
    put_footer(s);
    put_part(s, WIRE_PART);
    put_part(s, WIRE_END);
    read_it(&w, &lenient);
    expect(&w, "PSBFSRR", MIG_ERROR_STREAM, "no footer after section 7");
    world_destroy(&w);
}

/* Records are ram's alone: what another section has is not looked at. */
/* Machine types before 2.4, and others for the same reader. */
static void test_no_configuration(void)
{
    for (int is_bare = 0; is_bare < 2; is_bare++) {
        World w;
        Stream *s = world_init(&w);

        if (is_bare) {
            stream_put_be32(s, WIRE_MAGIC);
            stream_put_be32(s, WIRE_VERSION);
        } else {
            put_preamble(s);
        }
        put_list(s);
        put_part(s, WIRE_END);
        read_it(&w, &bare);
        g_assert_true((w.item = reader_next(w.reader, NULL)));
        g_assert_cmpstr(w.item->preamble.machine, ==, is_bare ? "" : "test");
        g_assert_cmpuint(w.item->preamble.page_bits, ==, MIG_PAGE_BITS);
        expect(&w, "SBFSRRF", MIG_ERROR_EOF, "");
        world_destroy(&w);
    }
}

/* A caller that reads on behind what it did not understand. */
static void test_resume(void)
{
    World w;
    Stream *s = world_init(&w);

    put_preamble(s);
    put_head(s, WIRE_FULL, "strange");
    stream_put_bytes(s, "device", strlen("device"));
    put_list(s);
    put_footer(s);
    stream_put_bytes(s, "strange", strlen("strange"));
    put_part(s, WIRE_END);
    put_footer(s);
    read_it(&w, &strict);
    for (int i = 0; i < 2; i++) { /* preamble, head */
        g_assert_true(reader_next(w.reader, NULL));
    }
    g_assert_true(stream_skip(w.source->stream, 6 + 17, NULL));
    reader_resume(w.reader, WIRE_START, RAM_ID);
    for (int i = 0; i < 2; i++) { /* blocks, footer */
        g_assert_true((w.item = reader_next(w.reader, NULL)));
    }
    g_assert_cmpuint(w.item->blocks->count, ==, 1);
    g_assert_cmpuint(w.item->section.id, ==, RAM_ID);
    g_assert_true(w.item->is_ram);
    g_assert_true(stream_skip(w.source->stream, 7 + 5, NULL));
    reader_resume(w.reader, WIRE_END, RAM_ID);
    expect(&w, "RRF", MIG_ERROR_EOF, "");
    world_destroy(&w);
}

static void test_other_section(void)
{
    World w;
    Stream *s = world_init(&w);

    put_preamble(s);
    put_head(s, WIRE_START, "block");
    put_footer(s);
    put_head(s, WIRE_PART, "");
    put_footer(s);
    read_it(&w, &strict);
    expect(&w, "PSFSF", MIG_ERROR_EOF, "");
    world_destroy(&w);
}

/* Ids are what the last START says; pages before one are nobody's. */
static void test_ids(void)
{
    World w;
    Stream *s = world_init(&w);

    put_preamble(s);
    put_head(s, WIRE_PART, "");
    put_footer(s);
    put_list(s);
    put_footer(s);
    put_list(s);
    put_footer(s);
    put_part(s, WIRE_PART);
    put_footer(s);
    put_head(s, WIRE_START, "block");
    put_footer(s);
    put_head(s, WIRE_PART, "");
    put_footer(s);
    read_it(&w, &strict);
    expect(&w, "PSFSBFSBFSRRFSFSF", MIG_ERROR_EOF, "");
    world_destroy(&w);
}

/* A list that was taken outlives the reader. */
static void test_take_blocks(void)
{
    World w;
    Stream *s = world_init(&w);
    RamList *list;
    Item *item;

    put_preamble(s);
    put_list(s);
    put_footer(s);
    read_it(&w, &strict);
    do {
        item = reader_next(w.reader, NULL);
        g_assert_nonnull(item);
    } while (item->type != ITEM_BLOCKS);
    list = g_steal_pointer(&item->blocks);
    world_destroy(&w);
    g_assert_cmpuint(list->total, ==, MIG_PAGE_SIZE);
    g_assert_cmpstr(list->entry[0].name, ==, "a");
    ram_list_free(list);
}

/* What a capability and a command add to the list. */
static void test_list_form(void)
{
    World w;
    Stream *s = world_init(&w);

    stream_put_be32(s, WIRE_MAGIC);
    stream_put_be32(s, WIRE_VERSION);
    stream_put_u8(s, WIRE_CONFIGURATION);
    stream_put_be32(s, 1);
    stream_put_u8(s, 'm');
    stream_put_u8(s, WIRE_SUBSECTION);
    stream_put_name(s, WIRE_CONFIG_CAPABILITIES);
    stream_put_be32(s, WIRE_CONFIG_CAPABILITIES_VERSION);
    stream_put_be32(s, 1);
    stream_put_name(s, WIRE_CAP_IGNORE_SHARED);
    stream_put_u8(s, WIRE_COMMAND);
    stream_put_be16(s, WIRE_CMD_POSTCOPY_ADVISE);
    stream_put_be16(s, 0);
    put_head(s, WIRE_START, WIRE_RAM_NAME);
    ram_record_put_mem_size(s, MIG_PAGE_SIZE);
    stream_put_name(s, "a");
    stream_put_be64(s, MIG_PAGE_SIZE);
    stream_put_be64(s, 2 << 20);
    stream_put_be64(s, UINT64_C(1) << 32);
    ram_record_put_eos(s);
    put_footer(s);
    read_it(&w, &strict);
    expect(&w, "PCSBF", MIG_ERROR_EOF, "");
    g_assert_cmpuint(w.item->blocks->entry[0].page_size, ==, 2 << 20);
    g_assert_cmphex(w.item->blocks->entry[0].address, ==, UINT64_C(1) << 32);
    world_destroy(&w);
}

static void test_wrong_types(void)
{
    World w;
    Stream *s = world_init(&w);

    put_preamble(s);
    stream_put_u8(s, WIRE_FOOTER);
    read_it(&w, &strict);
    expect(&w, "P", MIG_ERROR_STREAM, "unknown section type 0x7e");
    world_destroy(&w);

    s = world_init(&w);
    put_preamble(s);
    stream_put_u8(s, WIRE_EOF);
    put_list(s);
    read_it(&w, &strict);
    expect(&w, "PE", MIG_ERROR_STREAM, "section type 0x01 after the end");
    world_destroy(&w);

    s = world_init(&w);
    put_preamble(s);
    stream_put_u8(s, WIRE_EOF);
    stream_put_u8(s, WIRE_VMDESCRIPTION);
    stream_put_be32(s, WIRE_VMDESC_MAX + 1);
    read_it(&w, &strict);
    expect(&w, "PE", MIG_ERROR_STREAM, "a vmdescription of 16777217 bytes");
    world_destroy(&w);
}

static void test_too_much_ram(void)
{
    const ReaderConfig small = { .max_ram = MIG_PAGE_SIZE - 1 };
    World w;
    Stream *s = world_init(&w);

    put_preamble(s);
    put_list(s);
    read_it(&w, &small);
    expect(&w, "PS", MIG_ERROR_UNSUPPORTED, "4096 bytes of RAM");
    world_destroy(&w);
}

/* A caller that knows what the record is goes on behind it. */
static void test_foreign_record(void)
{
    World w;
    Stream *s = world_init(&w);

    put_preamble(s);
    put_list(s);
    put_footer(s);
    put_head(s, WIRE_PART, "");
    stream_put_be64(s, WIRE_RAM_MULTIFD);
    put_zero(s, "a");
    ram_record_put_eos(s);
    put_footer(s);
    read_it(&w, &strict);
    expect(&w, "PSBFS", MIG_ERROR_UNSUPPORTED, "");
    g_assert_cmpint(w.item->type, ==, ITEM_RECORD);
    g_assert_cmphex(w.item->record.type, ==, WIRE_RAM_MULTIFD);
    expect(&w, "RRF", MIG_ERROR_EOF, "");
    world_destroy(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/reader/whole", test_whole);
    g_test_add_func("/reader/no-footers", test_no_footers);
    g_test_add_func("/reader/no-configuration", test_no_configuration);
    g_test_add_func("/reader/resume", test_resume);
    g_test_add_func("/reader/other-section", test_other_section);
    g_test_add_func("/reader/ids", test_ids);
    g_test_add_func("/reader/take-blocks", test_take_blocks);
    g_test_add_func("/reader/list-form", test_list_form);
    g_test_add_func("/reader/wrong-types", test_wrong_types);
    g_test_add_func("/reader/too-much-ram", test_too_much_ram);
    g_test_add_func("/reader/foreign-record", test_foreign_record);
    return g_test_run();
}
