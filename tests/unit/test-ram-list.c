/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * migration/wire/ram-list.h: the list in every form that a QEMU gives it.  How
 * a destination compares it with its own blocks is in test-ram-load.
 */
#include "migration/wire/ram-list.h"

#include "migration/wire/ram-record.h"
#include "migration/wire/wire.h"
#include "tests/lib/expect-error.h"
#include "tests/lib/mem-channel.h"

#define RAM_MAX (UINT64_C(1) << 40)

static const RamListForm plain = { false, false };
static const RamListForm advised = { true, false };
static const RamListForm shared = { false, true };
static const RamListForm both = { true, true };

static void put_entry(Stream *s, const char *name, uint64_t pages)
{
    stream_put_name(s, name);
    stream_put_be64(s, pages * MIG_PAGE_SIZE);
}

/* Read what was written, and one byte more, that must be left. */
static RamList *read_list(MemWriter *w, RamListForm form, GError **err)
{
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(MemReader) r = NULL;
    RamList *list;

    stream_put_u8(w->stream, WIRE_FOOTER);
    bytes = mem_writer_finish(w);
    r = mem_reader_new(bytes);
    list = ram_list_get(r->stream, form, RAM_MAX, err);
    if (list) {
        g_assert_cmpuint(stream_position(r->stream), ==,
                         g_bytes_get_size(bytes) - 1);
    }
    return list;
}

static RamList *read_well(MemWriter *w, RamListForm form)
{
    g_autoptr(GError) err = NULL;
    RamList *list = read_list(w, form, &err);

    g_assert_no_error(err);
    return list;
}

static void refuse(MemWriter *w, RamListForm form, MigErrorCode code,
                   const char *text)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(read_list(w, form, &err));
    expect_error(&err, code, text);
}

static void assert_entry(const RamList *list, unsigned i, const char *name,
                         uint64_t page_size, uint64_t address)
{
    g_assert_cmpuint(i, <, list->count);
    g_assert_cmpstr(list->entry[i].name, ==, name);
    g_assert_cmpuint(list->entry[i].length, ==, (i + 1) * MIG_PAGE_SIZE);
    g_assert_cmpuint(list->entry[i].page_size, ==, page_size);
    g_assert_cmpuint(list->entry[i].address, ==, address);
}

/* Blocks a, b and c of one, two and three pages, each with these extras. */
static MemWriter *three_blocks(const uint64_t *extra, const unsigned count[3])
{
    static const char *const names[] = { "a", "b", "c" };
    MemWriter *w = mem_writer_new();

    ram_record_put_mem_size(w->stream, 6 * MIG_PAGE_SIZE);
    for (unsigned i = 0; i < 3; i++) {
        put_entry(w->stream, names[i], i + 1);
        for (unsigned k = 0; k < count[i]; k++) {
            stream_put_be64(w->stream, *extra++);
        }
    }
    ram_record_put_eos(w->stream);
    return w;
}

static void test_plain(void)
{
    static const unsigned none[3] = { 0 };
    RamListForm forms[] = { plain, advised };

    for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
        RamList *list = read_well(three_blocks(NULL, none), forms[i]);

        g_assert_cmpuint(list->total, ==, 6 * MIG_PAGE_SIZE);
        g_assert_cmpuint(list->count, ==, 3);
        assert_entry(list, 0, "a", 0, 0);
        assert_entry(list, 2, "c", 0, 0);
        ram_list_free(list);
    }
}

/* Which of three blocks have a page size: every combination. */
static void test_page_sizes(void)
{
    enum { HUGE = 2 << 20 };
    static const uint64_t sizes[3] = { HUGE, HUGE, HUGE };

    for (unsigned which = 0; which < 8; which++) {
        unsigned has[3] = { which & 1, which >> 1 & 1, which >> 2 };
        RamList *list = read_well(three_blocks(sizes, has), advised);

        assert_entry(list, 0, "a", has[0] ? HUGE : 0, 0);
        assert_entry(list, 1, "b", has[1] ? HUGE : 0, 0);
        assert_entry(list, 2, "c", has[2] ? HUGE : 0, 0);
        ram_list_free(list);
    }
}

static void test_addresses(void)
{
    static const uint64_t addresses[] = { 0, 0xfd000000, UINT64_C(1) << 32 };
    static const unsigned one[] = { 1, 1, 1 };
    RamListForm forms[] = { shared, both };

    for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
        RamList *list = read_well(three_blocks(addresses, one), forms[i]);

        assert_entry(list, 0, "a", 0, 0);
        assert_entry(list, 1, "b", 0, 0xfd000000);
        assert_entry(list, 2, "c", 0, UINT64_C(1) << 32);
        ram_list_free(list);
    }
}

static void test_both(void)
{
    static const uint64_t extras[] = { 0x200000, 0, 0xfd000000, 0x200000,
                                       0x100000000 };
    static const unsigned count[] = { 2, 1, 2 };
    RamList *list = read_well(three_blocks(extras, count), both);

    assert_entry(list, 0, "a", 0x200000, 0);
    assert_entry(list, 1, "b", 0, 0xfd000000);
    assert_entry(list, 2, "c", 0x200000, 0x100000000);
    ram_list_free(list);
}

static void test_unannounced(void)
{
    static const uint64_t extras[] = { 0x200000, 0x200000, 0x200000 };
    static const unsigned first[] = { 1, 0, 0 }, last[] = { 0, 0, 1 };
    static const unsigned none[3] = { 0 };

    refuse(three_blocks(extras, first), plain, MIG_ERROR_STREAM,
           "an empty name");
    refuse(three_blocks(extras, last), plain, MIG_ERROR_STREAM,
           "a RAM record with flags 0x000");
    refuse(three_blocks(NULL, none), shared, MIG_ERROR_STREAM,
           "RAM block 'a' without an address");
}

static MemWriter *two_blocks(const char *first, uint64_t a, uint64_t b)
{
    MemWriter *w = mem_writer_new();

    ram_record_put_mem_size(w->stream, 4 * MIG_PAGE_SIZE);
    stream_put_name(w->stream, first);
    stream_put_be64(w->stream, a);
    stream_put_name(w->stream, "b");
    stream_put_be64(w->stream, b);
    ram_record_put_eos(w->stream);
    return w;
}

static void test_lengths(void)
{
    refuse(two_blocks("a", 0x1000, 0x4000), plain, MIG_ERROR_STREAM,
           "RAM block 'b' with 0x4000 bytes of 0x3000 that are left");
    refuse(two_blocks("a", 0, 0x4000), plain, MIG_ERROR_STREAM,
           "RAM block 'a' with 0x0 bytes");
    refuse(two_blocks("a", 0x1001, 0x2fff), plain, MIG_ERROR_STREAM,
           "RAM block 'a' with 0x1001 bytes");
    refuse(two_blocks("a", UINT64_MAX - 0xfff, 0x5000), plain,
           MIG_ERROR_STREAM, "RAM block 'a' with 0xfffffffffffff000 bytes");
    refuse(two_blocks("b", 0x1000, 0x3000), plain, MIG_ERROR_STREAM,
           "RAM block 'b' twice");
}

static void test_too_much(void)
{
    MemWriter *w = mem_writer_new();

    ram_record_put_mem_size(w->stream, RAM_MAX + MIG_PAGE_SIZE);
    refuse(w, plain, MIG_ERROR_UNSUPPORTED, "1099511631872 bytes of RAM");
}

static void test_too_many(void)
{
    MemWriter *w = mem_writer_new();

    ram_record_put_mem_size(w->stream, RAM_MAX);
    for (unsigned i = 0; i <= WIRE_BLOCKS_MAX; i++) {
        g_autofree char *name = g_strdup_printf("block %u", i);

        put_entry(w->stream, name, 1);
    }
    refuse(w, plain, MIG_ERROR_STREAM, "more than 4096 RAM blocks");
}

/* Multifd's flushes behind the entries are counted, and are no extras. */
static void test_flushes(void)
{
    const RamListForm forms[] = { plain, advised, shared, both };

    for (unsigned i = 0; i < G_N_ELEMENTS(forms); i++) {
        MemWriter *w = mem_writer_new();
        RamList *list;

        ram_record_put_mem_size(w->stream, MIG_PAGE_SIZE);
        put_entry(w->stream, "a", 1);
        if (forms[i].addresses) {
            stream_put_be64(w->stream, 4096);
        }
        stream_put_be64(w->stream, WIRE_RAM_MULTIFD);
        stream_put_be64(w->stream, WIRE_RAM_MULTIFD);
        ram_record_put_eos(w->stream);
        list = read_well(w, forms[i]);
        g_assert_cmpuint(list->flushes, ==, 2);
        g_assert_cmpuint(list->entry[0].page_size, ==, 0);
        g_assert_cmpuint(list->entry[0].address, ==,
                         forms[i].addresses ? 4096 : 0);
        ram_list_free(list);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ram-list/plain", test_plain);
    g_test_add_func("/ram-list/page-sizes", test_page_sizes);
    g_test_add_func("/ram-list/addresses", test_addresses);
    g_test_add_func("/ram-list/both", test_both);
    g_test_add_func("/ram-list/unannounced", test_unannounced);
    g_test_add_func("/ram-list/lengths", test_lengths);
    g_test_add_func("/ram-list/too-much", test_too_much);
    g_test_add_func("/ram-list/too-many", test_too_many);
    g_test_add_func("/ram-list/flushes", test_flushes);
    return g_test_run();
}
