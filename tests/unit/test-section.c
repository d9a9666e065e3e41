/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/wire/section.h: what is written, what is read, what is refused. */
#include "migration/wire/section.h"

#include <string.h>

#include "migration/wire/names.h"
#include "migration/wire/wire.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/mem-channel.h"

static const Identity pc_test = { .machine = "pc-test" };

/* The preamble */

static const uint8_t good_preamble[] = {
    'Q', 'E', 'V', 'M', 0, 0, 0,   3,   7,   0,   0,
    0,   7,   'p', 'c', '-', 't', 'e', 's', 't',
};

static void test_put_preamble(void)
{
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;

    section_put_preamble(w->stream, &pc_test);
    bytes = mem_writer_finish(w);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                    good_preamble, sizeof(good_preamble));
}

/* A preamble, the bytes given, and one byte of something else. */
static MemReader *after_preamble(const void *bytes, size_t size)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    g_autoptr(GBytes) taken = NULL;
    const uint8_t next = WIRE_COMMAND;

    g_byte_array_append(all, good_preamble, sizeof(good_preamble));
    g_byte_array_append(all, bytes, (guint)size);
    g_byte_array_append(all, &next, 1);
    taken = g_byte_array_free_to_bytes(g_steal_pointer(&all));
    return mem_reader_new(taken);
}

/* Read it and compare it with our identity. */
static bool get_ours(Stream *s, const Identity *id, GError **err)
{
    Preamble preamble;

    return section_get_preamble(s, &preamble, err) &&
           section_check_preamble(&preamble, id, err);
}

/* A configuration with these subsections is taken, up to its last byte. */
static void accept(const void *bytes, size_t size)
{
    g_autoptr(MemReader) r = after_preamble(bytes, size);
    g_autoptr(GError) err = NULL;

    get_ours(r->stream, &pc_test, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(stream_position(r->stream), ==,
                     sizeof(good_preamble) + size);
}

static void refuse(const void *bytes, size_t size, MigErrorCode code,
                   const char *text)
{
    g_autoptr(MemReader) r = after_preamble(bytes, size);
    g_autoptr(GError) err = NULL;

    g_assert_false(get_ours(r->stream, &pc_test, &err));
    expect_error(&err, code, text);
}

#define ACCEPT(text) accept(text, sizeof(text) - 1)
#define REFUSE(text, code, error) refuse(text, sizeof(text) - 1, code, error)

/* Lengths are octal in these: name's length, name, version. */
#define CAPABILITIES "\5\032configuration/capabilities\0\0\0\1"
#define PAGE_BITS "\5\036configuration/target-page-bits\0\0\0\1"
#define UUID "\5\022configuration/uuid\0\0\0\1"
#define SOME_UUID "0123456789abcdef"

static void test_subsections_accepted(void)
{
    ACCEPT("");
    ACCEPT(CAPABILITIES "\0\0\0\0");
    ACCEPT(PAGE_BITS "\0\0\0\14");
    ACCEPT(UUID SOME_UUID);
    ACCEPT(CAPABILITIES "\0\0\0\0" PAGE_BITS "\0\0\0\14" UUID SOME_UUID);
}

/* The octal 23: "compress-method-abc". */
#define METHOD CAPABILITIES "\0\0\0\1\23compress-method-abc"

static void test_method(void)
{
    static const char bytes[] = METHOD;
    g_autoptr(MemReader) r = NULL;
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) written = NULL;
    Identity id = { "pc-test", NULL, "abc" };
    Preamble preamble;

    section_put_preamble(w->stream, &id);
    stream_put_u8(w->stream, 0);
    written = mem_writer_finish(w);
    /* Between the name, here, and the byte behind. */
    g_assert_cmpuint(g_bytes_get_size(written), ==,
                     13 + 7 + sizeof(bytes) - 1 + 1);
    g_assert_cmpmem((const char *)g_bytes_get_data(written, NULL) + 20,
                    sizeof(bytes) - 1, bytes, sizeof(bytes) - 1);
    r = mem_reader_new(written);
    g_assert_true(section_get_preamble(r->stream, &preamble, NULL));
    g_assert_cmpstr(section_method(&preamble), ==, "abc");
    g_assert_true(section_check_preamble(&preamble, &id, NULL));
    preamble.capabilities = 0;
    g_assert_null(section_method(&preamble));
}

static void test_subsections_refused(void)
{
    REFUSE(CAPABILITIES "\0\0\0\2\23compress-method-abc\1x",
           MIG_ERROR_UNSUPPORTED, "'x', which is not supported with others");
    REFUSE(CAPABILITIES "\0\0\0\2\1x\23compress-method-abc",
           MIG_ERROR_UNSUPPORTED, "'x', which is not supported");
    REFUSE(METHOD METHOD, MIG_ERROR_UNSUPPORTED, "not supported with others");
    REFUSE(CAPABILITIES "\0\0\0\1\017x-ignore-shared", MIG_ERROR_UNSUPPORTED,
           "capability 'x-ignore-shared'");
    REFUSE(CAPABILITIES "\0\0\0\1\3a\1b", MIG_ERROR_UNSUPPORTED,
           "capability 'a\\001b'");
    REFUSE(CAPABILITIES "\0\0\0\101", MIG_ERROR_STREAM, "65 capabilities");
    REFUSE(CAPABILITIES "\0\0\0\1\0", MIG_ERROR_STREAM, "an empty name");
    REFUSE(PAGE_BITS "\0\0\0\15", MIG_ERROR_PEER,
           "pages of 13 bits, expected 12");
    REFUSE("\5\007unknown\0\0\0\1", MIG_ERROR_STREAM,
           "unknown configuration subsection 'unknown'");
    REFUSE("\5\0", MIG_ERROR_STREAM, "an empty name");
    /* The second is read like the first. */
    REFUSE(UUID SOME_UUID PAGE_BITS "\0\0\0\13", MIG_ERROR_PEER, "11 bits");
}

static void read_preamble(const void *bytes, size_t size, GError **err)
{
    g_autoptr(MemReader) r = mem_reader_new_static(bytes, size);

    g_assert_false(get_ours(r->stream, &pc_test, err));
}

static void refuse_changed(size_t at, uint8_t to, MigErrorCode code,
                           const char *text)
{
    uint8_t bytes[sizeof(good_preamble) + 1];
    g_autoptr(GError) err = NULL;

    memcpy(bytes, good_preamble, sizeof(good_preamble));
    bytes[sizeof(good_preamble)] = 0;
    bytes[at] = to;
    read_preamble(bytes, sizeof(bytes), &err);
    expect_error(&err, code, text);
}

static void test_bad_header(void)
{
    refuse_changed(0, 'q', MIG_ERROR_STREAM,
                   "not a migration stream: magic 0x7145564d, before byte 4");
    refuse_changed(3, 'N', MIG_ERROR_STREAM, "magic 0x5145564e");
    refuse_changed(7, 2, MIG_ERROR_STREAM, "stream version 2, expected 3");
    refuse_changed(7, 4, MIG_ERROR_STREAM, "stream version 4");
    refuse_changed(4, 1, MIG_ERROR_STREAM, "stream version 16777219");
    refuse_changed(8, 1, MIG_ERROR_STREAM,
                   "no configuration section, but type 0x01");
}

static void expect_magic(const char *start, const char *name)
{
    g_autoptr(GError) err = NULL;

    read_preamble(start, 4, &err);
    expect_error(&err, MIG_ERROR_STREAM, name);
}

/* What people have, or what connects, instead of a stream. */
static void test_foreign_magics(void)
{
    expect_magic("QFI\xfb", "which is a qcow2 disk image");
    expect_magic("\x7f" "ELF", "which is an ELF file");
    expect_magic("\x1f\x8b\x08\x00", "which is a gzip file");
    expect_magic("\xfd" "7zX", "which is an xz file");
    expect_magic("\x28\xb5\x2f\xfd", "which is a zstd file");
    expect_magic("BZh9", "which is a bzip2 file");
    expect_magic("\x89LZO", "which is an lzop file");
    expect_magic("KDUM", "which is a kdump-compressed dump");
    expect_magic("DISK", "which is a diskdump dump");
    expect_magic("make", "by makedumpfile, flattened");
    expect_magic("Libv", "which is a file of libvirt's save");
    expect_magic("Xen ", "saved by Xen's xl");
    expect_magic("\xd2\xbe\xd2\xbe", "suspended by VMware");
    expect_magic("\x16\x03\x01\x02", "which is TLS (tls-creds");
    expect_magic("\x11\x22\x33\x44", "which is a side channel of multifd");
    expect_magic("\x08\x00\x0a\x07", "recovery of a postcopy");
    expect_magic("\376FRE", "which is ferry-relay");
    expect_magic("GET ", "which is an HTTP client");
    expect_magic("\0\0\0\0", "nothing but zero bytes");
    expect_magic("nono", "not a migration stream: magic 0x6e6f6e6f, before");
}

static void test_bad_machine(void)
{
    refuse_changed(12, 0, MIG_ERROR_STREAM, "a machine name of 0 bytes");
    refuse_changed(11, 1, MIG_ERROR_STREAM, "a machine name of 263 bytes");
    refuse_changed(9, 0xff, MIG_ERROR_STREAM, "a machine name of");
    refuse_changed(12, 6, MIG_ERROR_PEER,
                   "Machine type received is 'pc-tes' and local is 'pc-test'");
    refuse_changed(12, 8, MIG_ERROR_STREAM,
                   "a machine name with a NUL byte in it");
    refuse_changed(19, 'T', MIG_ERROR_PEER, "'pc-tesT'");
    refuse_changed(19, 0, MIG_ERROR_STREAM, "a NUL byte");
    refuse_changed(19, '\n', MIG_ERROR_PEER, "'pc-tes\\n'");
}

/* A reader that is no destination sees all values, also foreign ones. */
static void test_preamble_values(void)
{
    static const char subsections[] =
        CAPABILITIES "\0\0\0\2\1x\1y" PAGE_BITS "\0\0\0\15" UUID SOME_UUID
        CAPABILITIES "\0\0\0\1\1z";
    g_autoptr(MemReader) r =
        after_preamble(subsections, sizeof(subsections) - 1);
    g_autofree char *uuid = NULL;
    g_autoptr(GError) err = NULL;
    Preamble preamble;

    section_get_preamble(r->stream, &preamble, &err);
    g_assert_no_error(err);
    g_assert_cmpstr(preamble.machine, ==, "pc-test");
    g_assert_cmpuint(preamble.capabilities, ==, 3);
    g_assert_cmpstr(preamble.capability[1], ==, "y");
    g_assert_cmpstr(preamble.capability[2], ==, "z");
    g_assert_cmpuint(preamble.page_bits, ==, 13);
    g_assert_true(preamble.has_uuid);
    uuid = section_uuid_text(preamble.uuid);
    g_assert_cmpstr(uuid, ==, "30313233-3435-3637-3839-616263646566");
}

static void test_longest_machine(void)
{
    g_autofree char *machine = g_strnfill(255, 'm');
    Identity id = { .machine = machine };
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(MemReader) r = NULL;
    g_autoptr(GError) err = NULL;

    section_put_preamble(w->stream, &id);
    stream_put_u8(w->stream, WIRE_START);
    bytes = mem_writer_finish(w);
    r = mem_reader_new(bytes);
    get_ours(r->stream, &id, &err);
    g_assert_no_error(err);
}

/* Wherever it ends, subsections included, it is the end that is told. */
static void test_preamble_eof(void)
{
    static const char subsections[] = CAPABILITIES "\0\0\0\0" PAGE_BITS
                                                   "\0\0\0\14" UUID SOME_UUID;
    g_autoptr(MemReader) all =
        after_preamble(subsections, sizeof(subsections) - 1);
    const uint8_t *data = g_bytes_get_data(all->bytes, NULL);

    for (size_t size = 0; size < g_bytes_get_size(all->bytes); size++) {
        g_autofree char *text = g_strdup_printf("at byte %zu of", size);
        g_autoptr(GError) err = NULL;

        read_preamble(data, size, &err);
        expect_error(&err, MIG_ERROR_EOF, text);
    }
}

/* Headers and footers */

static MemReader *written_header(const SectionHeader *section)
{
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;

    section_put_header(w->stream, section);
    bytes = mem_writer_finish(w);
    return mem_reader_new(bytes);
}

static void test_header(void)
{
    static const uint8_t types[] = {
        WIRE_START, WIRE_PART, WIRE_END, WIRE_FULL,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        bool has_name = types[i] == WIRE_START || types[i] == WIRE_FULL;
        SectionHeader put = {
            .type = types[i], .id = 0x12345678, .name = "device",
            .instance = 0x9abcdef0, .version = 4,
        };
        SectionHeader got = { 0 };
        g_autoptr(MemReader) r = written_header(&put);
        g_autoptr(GError) err = NULL;

        g_assert_true(stream_get_u8(r->stream, &got.type, NULL));
        g_assert_cmpuint(got.type, ==, types[i]);
        section_get_header(r->stream, &got, &err);
        g_assert_no_error(err);
        g_assert_cmpuint(got.id, ==, put.id);
        g_assert_cmpuint(stream_position(r->stream), ==,
                         g_bytes_get_size(r->bytes));
        g_assert_cmpuint(g_bytes_get_size(r->bytes), ==,
                         has_name ? 5 + 7 + 8 : 5);
        if (has_name) {
            g_assert_cmpstr(got.name, ==, "device");
            g_assert_cmpuint(got.instance, ==, put.instance);
            g_assert_cmpuint(got.version, ==, 4);
        }
    }
}

static void test_header_eof(void)
{
    SectionHeader put = { .type = WIRE_FULL, .id = 1, .name = "device" };
    g_autoptr(MemReader) all = written_header(&put);
    const uint8_t *data = g_bytes_get_data(all->bytes, NULL);

    for (size_t size = 1; size < g_bytes_get_size(all->bytes); size++) {
        g_autoptr(MemReader) r = mem_reader_new_static(data, size);
        SectionHeader got = { 0 };
        g_autoptr(GError) err = NULL;

        g_assert_true(stream_get_u8(r->stream, &got.type, NULL));
        g_assert_false(section_get_header(r->stream, &got, &err));
        expect_error(&err, MIG_ERROR_EOF, "");
    }
}

static void read_footer(const char *bytes, size_t size, GError **err)
{
    g_autoptr(MemReader) r = mem_reader_new_static(bytes, size);

    section_get_footer(r->stream, 0x01020304, err);
}

static void test_footer(void)
{
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) err = NULL;

    section_put_footer(w->stream, 0x01020304);
    bytes = mem_writer_finish(w);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                    "\x7e\1\2\3\4", 5);
    read_footer("\x7e\1\2\3\4", 5, &err);
    g_assert_no_error(err);
    read_footer("\x7d\1\2\3\4", 5, &err);
    expect_error(&err, MIG_ERROR_STREAM,
                 "no footer after section 16909060, but 0x7d");
    read_footer("\x7e\1\2\3\5", 5, &err);
    expect_error(&err, MIG_ERROR_STREAM,
                 "the footer of section 16909061 after section 16909060");
    read_footer("", 0, &err);
    expect_error(&err, MIG_ERROR_EOF, "at byte 0");
    read_footer("\x7e\1\2\3", 4, &err);
    expect_error(&err, MIG_ERROR_EOF, "at byte 4");
}

/* Commands */

static void read_command(const char *bytes, size_t size, Command *command,
                         GError **err)
{
    g_autoptr(MemReader) r = mem_reader_new_static(bytes, size);
    bool ok = section_get_command_head(r->stream, command, err) &&
              section_get_command_body(r->stream, command, err);

    g_assert_true(ok == !*err);
    g_assert_true(!ok || stream_position(r->stream) == size);
}

static void test_put_commands(void)
{
    static const char expected[] = "\x8\0\1\0\0"
                                   "\x8\0\2\0\4\x12\x34\x56\x78";
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;

    section_put_open_return_path(w->stream);
    section_put_ping(w->stream, 0x12345678);
    bytes = mem_writer_finish(w);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                    expected, sizeof(expected) - 1);
}

static void test_commands(void)
{
    g_autoptr(GError) err = NULL;
    Command command;

    read_command("\0\1\0\0", 4, &command, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(command.number, ==, WIRE_CMD_OPEN_RETURN_PATH);
    read_command("\0\2\0\4\1\2\3\4", 8, &command, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(command.number, ==, WIRE_CMD_PING);
    g_assert_cmphex(command.value, ==, 0x01020304);
    read_command("\0\13\0\0", 4, &command, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(command.number, ==, WIRE_CMD_SWITCHOVER_START);
}

/* A SUM is compared with the sum of what stood before it.  Where none has begun
 * there is nothing that it could be right about, 0 included. */
static void test_sum(void)
{
    g_autoptr(MemWriter) w = mem_writer_new();
    g_autoptr(GBytes) written = NULL;
    g_autoptr(MemReader) r = NULL;
    GError *err = NULL;
    Command command;

    stream_sum_begin(w->stream);
    section_put_ping(w->stream, 1);
    section_put_sum(w->stream);
    written = mem_writer_finish(g_steal_pointer(&w));
    for (unsigned missed = 0; missed < 2; missed++) {
        uint8_t type;

        r = mem_reader_new(written);
        g_assert_true(stream_skip(r->stream, missed, NULL));
        stream_sum_begin(r->stream);
        g_assert_true(stream_skip(r->stream, 9 - missed, NULL));
        g_assert_true(stream_get_u8(r->stream, &type, NULL));
        g_assert_true(section_get_command_head(r->stream, &command, NULL));
        g_assert_true(section_get_command_body(r->stream, &command, &err) ==
                      !missed);
        g_clear_pointer(&r, mem_reader_free);
    }
    expect_error(&err, MIG_ERROR_STREAM, "the stream's checksum is wrong");
    read_command("\x46\x53\0\10\0\0\0\0\0\0\0", 12, &command, &err);
    expect_error(&err, MIG_ERROR_STREAM, "a SUM without PACKS");
}

static void test_command_lengths(void)
{
    static const struct {
        char number;
        unsigned length;
    } known[] = { { 1, 0 }, { 2, 4 }, { 11, 0 } };

    for (unsigned i = 0; i < G_N_ELEMENTS(known); i++) {
        for (unsigned length = 0; length < 600; length++) {
            char bytes[8] = { 0, known[i].number, (char)(length >> 8),
                              (char)length };
            g_autofree char *text = g_strdup_printf(
                "command %d with %u bytes, expected %u", known[i].number,
                length, known[i].length);
            g_autoptr(GError) err = NULL;
            Command command;

            if (length != known[i].length) {
                read_command(bytes, sizeof(bytes), &command, &err);
                expect_error(&err, MIG_ERROR_STREAM, text);
            }
        }
    }
}

/* By its name, if it has one: a number means nothing to a user who has turned
 * on a capability. */
static void test_command_names(void)
{
    static const struct {
        uint16_t number;
        const char *text;
    } known[] = {
        { WIRE_CMD_PACKAGED, "command 7 (PACKAGED, postcopy)" },
        { WIRE_CMD_POSTCOPY_DISCARD,
          "command 6 (POSTCOPY_RAM_DISCARD, postcopy)" },
        { WIRE_CMD_ENABLE_COLO, "command 8 (ENABLE_COLO)" },
        { 99, "command 99" },
        { 0, "command 0" },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(known); i++) {
        g_autofree char *text = wire_command_text(known[i].number);

        g_assert_cmpstr(text, ==, known[i].text);
    }
}

static void test_unknown_commands(void)
{
    for (unsigned number = 0; number < 65536; number++) {
        char bytes[8] = { (char)(number >> 8), (char)number };
        g_autofree char *name = wire_command_text(number);
        g_autofree char *text = g_strdup_printf(
            "%s of the source is not supported", name);
        g_autoptr(GError) err = NULL;
        Command command;

        if (number != 1 && number != 2 && number != 11 &&
            (number < 300 || number % 251 == 0)) {
            read_command(bytes, sizeof(bytes), &command, &err);
            expect_error(&err, MIG_ERROR_UNSUPPORTED, text);
        }
    }
}

static void test_command_eof(void)
{
    for (size_t size = 0; size < 8; size++) {
        g_autoptr(GError) err = NULL;
        Command command;

        read_command("\0\2\0\4\1\2\3\4", size, &command, &err);
        expect_error(&err, MIG_ERROR_EOF, "");
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/section/preamble/put", test_put_preamble);
    g_test_add_func("/section/preamble/accepted", test_subsections_accepted);
    g_test_add_func("/section/method", test_method);
    g_test_add_func("/section/preamble/refused", test_subsections_refused);
    g_test_add_func("/section/preamble/header", test_bad_header);
    g_test_add_func("/section/preamble/foreign", test_foreign_magics);
    g_test_add_func("/section/preamble/machine", test_bad_machine);
    g_test_add_func("/section/preamble/longest", test_longest_machine);
    g_test_add_func("/section/preamble/eof", test_preamble_eof);
    g_test_add_func("/section/preamble/values", test_preamble_values);
    g_test_add_func("/section/header", test_header);
    g_test_add_func("/section/header/eof", test_header_eof);
    g_test_add_func("/section/footer", test_footer);
    g_test_add_func("/section/command/put", test_put_commands);
    g_test_add_func("/section/command/get", test_commands);
    g_test_add_func("/section/command/sum", test_sum);
    g_test_add_func("/section/command/lengths", test_command_lengths);
    g_test_add_func("/section/command/names", test_command_names);
    g_test_add_func("/section/command/unknown", test_unknown_commands);
    g_test_add_func("/section/command/eof", test_command_eof);
    return g_test_run();
}
