/* SPDX-License-Identifier: GPL-2.0-or-later */
/* migration/wire/ram-record.h: each record both ways, and all that is
 * illegal. */
#include "migration/wire/ram-record.h"

#include <string.h>

#include "migration/wire/wire.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/mem-channel.h"
#include "util/endian.h"

/* Behind every record here, so that what is read can be told from it. */
#define BEHIND "behind"

static MemReader *reader_of(const void *bytes, size_t size)
{
    g_autoptr(GByteArray) all = g_byte_array_new();
    g_autoptr(GBytes) taken = NULL;

    g_byte_array_append(all, bytes, (guint)size);
    g_byte_array_append(all, (const guint8 *)BEHIND, sizeof(BEHIND));
    taken = g_byte_array_free_to_bytes(g_steal_pointer(&all));
    return mem_reader_new(taken);
}

/* Exactly these bytes were the record's head. */
static void read_good(const void *bytes, size_t size, RamRecord *r)
{
    g_autoptr(MemReader) reader = reader_of(bytes, size);
    g_autoptr(GError) err = NULL;
    char behind[sizeof(BEHIND)];

    ram_record_get(reader->stream, r, &err);
    g_assert_no_error(err);
    g_assert_cmpuint(stream_position(reader->stream), ==, size);
    g_assert_cmpuint(r->position, ==, 0);
    g_assert_true(stream_get_bytes(reader->stream, behind, sizeof(behind),
                                   NULL));
    g_assert_cmpstr(behind, ==, BEHIND);
}

static void refuse(const void *bytes, size_t size, MigErrorCode code,
                   const char *text)
{
    g_autoptr(MemReader) reader = reader_of(bytes, size);
    g_autoptr(GError) err = NULL;
    RamRecord r;

    g_assert_false(ram_record_get(reader->stream, &r, &err));
    expect_error(&err, code, text);
}

/* Round trips */

static size_t put_record(uint8_t *to, unsigned type, uint64_t offset,
                         const char *name)
{
    switch (type) {
    case WIRE_RAM_ZERO:
        return ram_record_put_zero(to, offset, name);
    case WIRE_RAM_PLAIN:
        return ram_record_put_plain(to, offset, name);
    case WIRE_RAM_XBZRLE:
        return ram_record_put_xbzrle(to, offset, name, 1234);
    default:
        return ram_record_put_compressed(to, offset, name, 1234);
    }
}

static void round_trip(unsigned type, uint64_t offset, const char *name)
{
    uint8_t bytes[WIRE_RECORD_HEAD_MAX];
    size_t size = put_record(bytes, type, offset, name);
    RamRecord r;

    g_assert_cmpuint(size, <=, WIRE_RECORD_HEAD_MAX);
    g_assert_cmphex(load_be64(bytes), ==,
                    offset | type | (name ? 0 : WIRE_RAM_CONTINUE));
    read_good(bytes, size, &r);
    g_assert_cmpuint(r.type, ==, type);
    g_assert_cmphex(r.offset, ==, offset);
    g_assert_cmpuint(r.length, ==, type == WIRE_RAM_COMPRESSED ||
                                           type == WIRE_RAM_XBZRLE ? 1234 : 0);
    g_assert_cmpint(r.has_name, ==, name != NULL);
    if (name) {
        g_assert_cmpstr(r.name, ==, name);
    }
}

static void test_pages(void)
{
    static const unsigned types[] = {
        WIRE_RAM_ZERO, WIRE_RAM_PLAIN, WIRE_RAM_COMPRESSED, WIRE_RAM_XBZRLE,
    };
    static const uint64_t offsets[] = {
        0, MIG_PAGE_SIZE, UINT64_C(1) << 32, UINT64_MAX & ~WIRE_RAM_FLAGS,
    };
    g_autofree char *longest = g_strnfill(255, 'n');

    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        for (unsigned k = 0; k < G_N_ELEMENTS(offsets); k++) {
            round_trip(types[i], offsets[k], NULL);
            round_trip(types[i], offsets[k], "b");
            round_trip(types[i], offsets[k], longest);
        }
    }
}

/* The bytes that QEMU reads. */
static void test_bytes(void)
{
    uint8_t got[32];

    g_assert_cmpmem(got, ram_record_put_zero(got, 0x5000, "ab"),
                    "\0\0\0\0\0\0\x50\x02\2ab\0", 12);
    g_assert_cmpmem(got, ram_record_put_zero(got, 0x5000, NULL),
                    "\0\0\0\0\0\0\x50\x22\0", 9);
    g_assert_cmpmem(got, ram_record_put_plain(got, 0x1234567000, NULL),
                    "\0\0\0\x12\x34\x56\x70\x28", 8);
    g_assert_cmpmem(got, ram_record_put_compressed(got, 0, "ab", 0x100e),
                    "\0\0\0\0\0\0\x01\0\2ab\0\0\x10\x0e", 15);
    g_assert_cmpmem(got, ram_record_put_xbzrle(got, 0x5000, NULL, 0x102),
                    "\0\0\0\0\0\0\x50\x60\1\1\2", 11);
}

static void test_mem_size_and_eos(void)
{
    MemWriter *w = mem_writer_new();
    g_autoptr(GBytes) bytes = NULL;
    const uint8_t *data;
    RamRecord r;

    ram_record_put_mem_size(w->stream, UINT64_C(0x123456000));
    ram_record_put_eos(w->stream);
    bytes = mem_writer_finish(w);
    g_assert_cmpuint(g_bytes_get_size(bytes), ==, 16);
    data = g_bytes_get_data(bytes, NULL);
    read_good(data, 8, &r);
    g_assert_cmpuint(r.type, ==, WIRE_RAM_MEM_SIZE);
    g_assert_cmphex(r.offset, ==, UINT64_C(0x123456000));
    g_assert_false(r.has_name);
    read_good(data + 8, 8, &r);
    g_assert_cmpuint(r.type, ==, WIRE_RAM_EOS);
    g_assert_false(r.has_name);
}

static void test_position(void)
{
    g_autoptr(MemReader) reader = NULL;
    uint8_t bytes[100];
    size_t size = 5;
    RamRecord r;

    memset(bytes, 0, sizeof(bytes));
    size += ram_record_put_zero(bytes + size, 0, NULL);
    size += ram_record_put_zero(bytes + size, 0, NULL);
    reader = reader_of(bytes, size);
    g_assert_true(stream_skip(reader->stream, 5, NULL));
    g_assert_true(ram_record_get(reader->stream, &r, NULL));
    g_assert_cmpuint(r.position, ==, 5);
    g_assert_true(ram_record_get(reader->stream, &r, NULL));
    g_assert_cmpuint(r.position, ==, 14);
}

/* Flags */

static bool is_legal(unsigned flags)
{
    switch (flags) {
    case WIRE_RAM_MEM_SIZE:
    case WIRE_RAM_EOS:
    case WIRE_RAM_ZERO:
    case WIRE_RAM_ZERO | WIRE_RAM_CONTINUE:
    case WIRE_RAM_PLAIN:
    case WIRE_RAM_PLAIN | WIRE_RAM_CONTINUE:
    case WIRE_RAM_XBZRLE:
    case WIRE_RAM_XBZRLE | WIRE_RAM_CONTINUE:
    case WIRE_RAM_COMPRESSED:
    case WIRE_RAM_COMPRESSED | WIRE_RAM_CONTINUE:
    case WIRE_RAM_BATCH:
    case WIRE_RAM_BATCH | WIRE_RAM_CONTINUE:
    case WIRE_RAM_PACK:
    case WIRE_RAM_PACK | WIRE_RAM_CONTINUE:
    case WIRE_RAM_ZERO_RANGE:
    case WIRE_RAM_ZERO_RANGE | WIRE_RAM_CONTINUE:
        return true;
    default:
        return false;
    }
}

/* Alone or with CONTINUE. */
static const char *unsupported(unsigned flags)
{
    switch (flags & ~WIRE_RAM_CONTINUE) {
    case WIRE_RAM_HOOK:
        return "the source uses RDMA, which is not supported";
    case WIRE_RAM_MULTIFD:
        return "the source uses multifd, which is not supported";
    default:
        return NULL;
    }
}

/* Every value of the twelve flag bits, at offset 0. */
static void test_all_flags(void)
{
    for (unsigned flags = 0; flags <= WIRE_RAM_FLAGS; flags++) {
        g_autofree char *text = g_strdup_printf("flags 0x%03x,", flags);
        uint8_t bytes[32] = { 0 };

        store_be64(bytes, flags);
        if (is_legal(flags)) {
            continue;
        }
        if (unsupported(flags)) {
            refuse(bytes, sizeof(bytes), MIG_ERROR_UNSUPPORTED,
                   unsupported(flags));
        } else {
            refuse(bytes, sizeof(bytes), MIG_ERROR_STREAM, text);
        }
    }
}

static void test_legal_flags(void)
{
    /* A name of one byte, a fill byte or a length: right for each. */
    static const uint8_t with_name[] = { 1, 'n', 0, 0, 0, 1, 0, 0, 0, 0 };
    static const uint8_t without[] = { 0, 0, 0, 1, 0, 0, 0, 0 };
    static const uint8_t batch_with_name[] = { 1, 'n', 1, 0, 0, 0, 1 };
    static const uint8_t batch_without[] = { 1, 0, 0, 0, 1 };
    static const uint8_t xbzrle_with_name[] = { 1, 'n', 1, 0, 1 };
    static const uint8_t xbzrle_without[] = { 1, 0, 1 };
    unsigned legal = 0;

    for (unsigned flags = 0; flags <= WIRE_RAM_FLAGS; flags++) {
        bool name = !(flags & (WIRE_RAM_CONTINUE | WIRE_RAM_EOS |
                               WIRE_RAM_MEM_SIZE));
        bool batch = flags & (WIRE_RAM_BATCH | WIRE_RAM_PACK);
        uint8_t bytes[18] = { 0 };
        g_autoptr(MemReader) reader = NULL;
        g_autoptr(GError) err = NULL;
        RamRecord r;

        if (!is_legal(flags)) {
            continue;
        }
        legal++;
        store_be64(bytes, flags);
        if (batch) {
            memcpy(bytes + 8, name ? batch_with_name : batch_without,
                   name ? sizeof(batch_with_name) : sizeof(batch_without));
        } else if (flags & WIRE_RAM_XBZRLE) {
            memcpy(bytes + 8, name ? xbzrle_with_name : xbzrle_without,
                   name ? sizeof(xbzrle_with_name) : sizeof(xbzrle_without));
        } else {
            memcpy(bytes + 8, name ? with_name : without,
                   name ? sizeof(with_name) : sizeof(without));
        }
        reader = reader_of(bytes, sizeof(bytes));
        ram_record_get(reader->stream, &r, &err);
        g_assert_no_error(err);
        g_assert_cmpuint(r.type, ==, flags & ~WIRE_RAM_CONTINUE);
        g_assert_cmpint(r.has_name, ==, name);
    }
    g_assert_cmpuint(legal, ==, 16);
}

/* Fields */

static void test_eos_with_offset(void)
{
    uint8_t bytes[8];

    store_be64(bytes, 0x1000 | WIRE_RAM_EOS);
    refuse(bytes, 8, MIG_ERROR_STREAM, "a RAM record with flags 0x010");
}

static void test_fill_byte(void)
{
    for (unsigned fill = 1; fill < 256; fill++) {
        g_autofree char *text = g_strdup_printf("filled with 0x%02x", fill);
        uint8_t bytes[64];
        size_t size = ram_record_put_zero(bytes, 0x2000, "ram");

        bytes[size - 1] = (uint8_t)fill;
        refuse(bytes, size, MIG_ERROR_STREAM, text);
    }
}

static void test_compressed_length(void)
{
    static const uint32_t bad[] = { 0, 4111, 4112, 65536, UINT32_MAX };
    static const uint32_t right[] = { 1, 4096, 4110 };
    uint8_t bytes[64];
    RamRecord r;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdup_printf("a compressed page of %u ",
                                                bad[i]);

        refuse(bytes, ram_record_put_compressed(bytes, 0, NULL, bad[i]),
               MIG_ERROR_STREAM, text);
        refuse(bytes, ram_record_put_compressed(bytes, 0, "ram", bad[i]),
               MIG_ERROR_STREAM, text);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(right); i++) {
        read_good(bytes, ram_record_put_compressed(bytes, 0, NULL, right[i]),
                  &r);
        g_assert_cmpuint(r.length, ==, right[i]);
    }
}

static void test_xbzrle_head(void)
{
    static const uint16_t bad[] = { 0, 4097, UINT16_MAX };
    uint8_t bytes[64];
    size_t size;
    RamRecord r;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *text = g_strdup_printf("changes of a page in %u "
                                                "bytes", bad[i]);

        refuse(bytes, ram_record_put_xbzrle(bytes, 0, NULL, bad[i]),
               MIG_ERROR_STREAM, text);
    }
    size = ram_record_put_xbzrle(bytes, 0x3000, "ram", MIG_PAGE_SIZE);
    read_good(bytes, size, &r);
    g_assert_cmpuint(r.length, ==, MIG_PAGE_SIZE);
    bytes[size - 3] = 2;
    refuse(bytes, size, MIG_ERROR_STREAM, "in encoding 2");
}

static void test_range(void)
{
    static const uint64_t counts[] = { 1, 2, 1 << 20, UINT64_MAX };
    uint8_t bytes[64];
    RamRecord r;

    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
        const char *name = i % 2 ? "ram" : NULL;

        read_good(bytes, ram_record_put_zero_range(bytes, 0x5000, name,
                                                   counts[i]), &r);
        g_assert_cmpuint(r.type, ==, WIRE_RAM_ZERO_RANGE);
        g_assert_cmphex(r.offset, ==, 0x5000);
        g_assert_cmpuint(r.range, ==, counts[i]);
    }
    refuse(bytes, ram_record_put_zero_range(bytes, 0, NULL, 0),
           MIG_ERROR_STREAM, "a range of no pages");
    read_good(bytes, ram_record_put_zero(bytes, 0x5000, NULL), &r);
    g_assert_cmpuint(r.range, ==, 1);
}

/* Zero pages in a row: how many records that takes. */
static void test_zeros(void)
{
    uint8_t bytes[64 * 9 + 4];

    g_assert_cmpuint(ram_record_put_zeros(bytes, 7, "ram", 64, false), ==,
                     4 + 64 * 9);
    g_assert_cmphex(load_be64(bytes + 4 + 63 * 9), ==,
                    (7 + 63) * MIG_PAGE_SIZE |
                        WIRE_RAM_ZERO | WIRE_RAM_CONTINUE);
    g_assert_cmpuint(ram_record_put_zeros(bytes, 7, NULL, 64, true), ==, 16);
    g_assert_cmphex(load_be64(bytes), ==, 7 * MIG_PAGE_SIZE |
                                              WIRE_RAM_ZERO_RANGE |
                                              WIRE_RAM_CONTINUE);
    /* A range would be longer, and everybody reads a zero page. */
    g_assert_cmpuint(ram_record_put_zeros(bytes, 7, NULL, 1, true), ==, 9);
}

static RamPages pages_of(unsigned count, uint64_t first, uint64_t gap)
{
    RamPages pages = { .count = count };

    for (unsigned i = 0; i < count; i++) {
        pages.page[i] = first + i * gap;
    }
    return pages;
}

static void test_batch(void)
{
    static const uint64_t gaps[] = { 1, 7, WIRE_BATCH_GAP_MAX };
    uint8_t bytes[WIRE_RECORD_HEAD_MAX];
    g_autofree char *longest = g_strnfill(255, 'n');
    RamRecord r;

    for (unsigned count = 1; count <= WIRE_BATCH_PAGES_MAX; count++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(gaps); i++) {
            RamPages pages = pages_of(count, 100, gaps[i]);
            size_t size = ram_record_put_batch(bytes, &pages,
                                               i ? longest : NULL, 4095);

            g_assert_cmpuint(size, <=, WIRE_RECORD_HEAD_MAX);
            read_good(bytes, size, &r);
            g_assert_cmpuint(r.type, ==, WIRE_RAM_BATCH);
            g_assert_cmpuint(r.length, ==, 4095);
            g_assert_cmpuint(r.pages.count, ==, count);
            g_assert_cmpmem(r.pages.page, count * sizeof(uint64_t),
                            pages.page, count * sizeof(uint64_t));
        }
    }
}

static void test_batch_limits(void)
{
    RamPages pages = pages_of(2, 0, 1);
    uint8_t bytes[64];
    size_t size = ram_record_put_batch(bytes, &pages, NULL, 8191);
    RamRecord r;

    read_good(bytes, size, &r);
    refuse(bytes, ram_record_put_batch(bytes, &pages, NULL, 8192),
           MIG_ERROR_STREAM, "a batch of 2 pages in 8192 bytes");
    refuse(bytes, ram_record_put_batch(bytes, &pages, NULL, UINT32_MAX),
           MIG_ERROR_STREAM, "a batch of 2 pages in 4294967295 bytes");
    refuse(bytes, ram_record_put_batch(bytes, &pages, NULL, 0),
           MIG_ERROR_STREAM, "a batch of 2 pages in 0 bytes");
    pages.page[1] = 0;
    refuse(bytes, ram_record_put_batch(bytes, &pages, NULL, 1),
           MIG_ERROR_STREAM, "a batch with a page twice");
    bytes[8] = 0;
    refuse(bytes, size, MIG_ERROR_STREAM, "a batch of 0 pages");
    bytes[8] = 65;
    refuse(bytes, size, MIG_ERROR_STREAM, "a batch of 65 pages");
}

/* A pack's head is a batch's, and its data may be longer than the pages. */
static void test_pack(void)
{
    RamPages pages = pages_of(2, 0, 9);
    uint8_t bytes[64];
    uint32_t most = WIRE_PACK_HEAD + 2 * (WIRE_PACK_ENTRY + MIG_PAGE_SIZE);
    RamRecord r;

    read_good(bytes, ram_record_put_pack(bytes, &pages, NULL, most), &r);
    g_assert_cmpuint(r.type, ==, WIRE_RAM_PACK);
    g_assert_cmpuint(r.length, ==, most);
    g_assert_cmpuint(r.pages.count, ==, 2);
    g_assert_cmpuint(r.pages.page[1], ==, 9);
    refuse(bytes, ram_record_put_pack(bytes, &pages, NULL, most + 1),
           MIG_ERROR_STREAM, "a pack of 2 pages in 8228 bytes");
    refuse(bytes, ram_record_put_pack(bytes, &pages, NULL, 0),
           MIG_ERROR_STREAM, "a pack of 2 pages in 0 bytes");
}

/* What the writer asks before it takes a page more. */
static void test_follows(void)
{
    RamPages pages = pages_of(63, 100, 2);

    g_assert_true(ram_record_follows(&pages, 225));
    g_assert_true(ram_record_follows(&pages, 224 + 65535));
    g_assert_false(ram_record_follows(&pages, 224 + 65536));
    pages = pages_of(64, 100, 2);
    g_assert_false(ram_record_follows(&pages, 227));
}

static void test_bad_names(void)
{
    uint8_t bytes[64] = { 0 };

    store_be64(bytes, WIRE_RAM_PLAIN);
    refuse(bytes, 9, MIG_ERROR_STREAM, "an empty name");
    bytes[8] = 2;
    bytes[9] = 'n';
    refuse(bytes, 11, MIG_ERROR_STREAM, "a name with a NUL byte");
}

static void test_eof(void)
{
    uint8_t bytes[64];
    size_t whole = ram_record_put_compressed(bytes, 0x3000, "ram", 77);

    for (size_t size = 0; size < whole; size++) {
        g_autoptr(MemReader) reader = mem_reader_new_static(bytes, size);
        g_autofree char *text = g_strdup_printf("at byte %zu of", size);
        g_autoptr(GError) err = NULL;
        RamRecord r;

        g_assert_false(ram_record_get(reader->stream, &r, &err));
        expect_error(&err, MIG_ERROR_EOF, text);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-record/pages", test_pages);
    g_test_add_func("/ram-record/bytes", test_bytes);
    g_test_add_func("/ram-record/mem-size-and-eos", test_mem_size_and_eos);
    g_test_add_func("/ram-record/position", test_position);
    g_test_add_func("/ram-record/flags/all", test_all_flags);
    g_test_add_func("/ram-record/flags/legal", test_legal_flags);
    g_test_add_func("/ram-record/eos-with-offset", test_eos_with_offset);
    g_test_add_func("/ram-record/fill-byte", test_fill_byte);
    g_test_add_func("/ram-record/compressed-length", test_compressed_length);
    g_test_add_func("/ram-record/xbzrle", test_xbzrle_head);
    g_test_add_func("/ram-record/range", test_range);
    g_test_add_func("/ram-record/zeros", test_zeros);
    g_test_add_func("/ram-record/batch", test_batch);
    g_test_add_func("/ram-record/batch/limits", test_batch_limits);
    g_test_add_func("/ram-record/pack", test_pack);
    g_test_add_func("/ram-record/follows", test_follows);
    g_test_add_func("/ram-record/bad-names", test_bad_names);
    g_test_add_func("/ram-record/eof", test_eof);
    return g_test_run();
}
