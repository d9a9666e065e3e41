/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one relay makes of QEMU's stream.  Each input is expanded, and
 * compressed.  The compressed stream is expanded again.  That works if the
 * first expansion did, and leaves the guest the same RAM.  A page may be in
 * another section then, and a zero page in another kind of record.
 */
#include <string.h>

#include "migration/wire/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/mem-channel.h"
#include "tools/relay/relay-convert.h"
#include "tools/relay/relay-scan.h"

/* NULL when it was refused. */
static GBytes *convert(GBytes *bytes, bool expand)
{
    MemReader *r = mem_reader_new(bytes);
    MemWriter *w = mem_writer_new();
    RelayStats stats = { 0 };
    RelayFindings findings = { 0 };
    const ReturnWatch back = { .lost = false };
    const RelayConvertConfig config = {
        .from = r->stream,
        .to = w->channel,
        .expand = expand,
        .level = 1,
        .threads = 1,
        .stats = &stats,
        .findings = &findings,
        .back = &back,
    };
    RelayConvert *convert = relay_convert_new(&config, NULL);
    GBytes *out = NULL;

    g_assert_nonnull(convert);
    if (relay_convert_run(convert, NULL)) {
        out = mem_writer_finish(w);
    } else {
        mem_writer_free(w);
    }
    relay_convert_free(convert);
    relay_findings_clear(&findings);
    mem_reader_free(r);
    return out;
}

/* A stream's pages, as far as it is understood.  Their keys are an offset and,
 * in its low bits, the number of the block in the list. */
typedef struct Pages {
    GHashTable *last;    /* what each has in the end: MIG_PAGE_SIZE bytes */
    GHashTable *section; /* those of this section; NULL: it does not matter */
} Pages;

static const uint8_t zero_page[MIG_PAGE_SIZE];

static bool on_literal(void *opaque, const void *buf, size_t size,
                       GError **errp)
{
    return true;
}

static bool on_page(void *opaque, const ScanPage *page, GError **errp)
{
    Pages *pages = opaque;
    uint64_t key = page->record->offset | page->block->index;

    G_STATIC_ASSERT(WIRE_BLOCKS_MAX <= WIRE_RAM_FLAGS + 1);
    if (pages->section) {
        g_assert_true(g_hash_table_add(pages->section,
                                       g_memdup2(&key, sizeof(key))));
        return true;
    }
    g_assert_cmphex(page->record->type, !=, WIRE_RAM_COMPRESSED);
    g_hash_table_replace(pages->last, g_memdup2(&key, sizeof(key)),
                         g_memdup2(page->size ? page->data : zero_page,
                                   MIG_PAGE_SIZE));
    return true;
}

static bool on_part(void *opaque, const ScanPart *part, GError **errp)
{
    Pages *pages = opaque;

    if (pages->section) {
        g_hash_table_remove_all(pages->section);
    }
    return true;
}

static void scan(GBytes *bytes, Pages *pages)
{
    static const ScanSink sink = {
        .literal = on_literal,
        .page = on_page,
        .wants_all_pages = true,
        .part = on_part,
    };
    MemReader *r = mem_reader_new(bytes);

    g_assert_true(scan_run(r->stream, &sink, pages, NULL));
    mem_reader_free(r);
}

/* QEMU orders nothing within a section: it would not know which is newer. */
static void check_order(GBytes *compressed)
{
    g_autoptr(GHashTable) section = g_hash_table_new_full(
        g_int64_hash, g_int64_equal, g_free, NULL);

    scan(compressed, &(Pages){ .section = section });
}

static GHashTable *ram_of(GBytes *expanded)
{
    GHashTable *last = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                             g_free, g_free);

    scan(expanded, &(Pages){ .last = last });
    return last;
}

static void check_same_ram(GBytes *a, GBytes *b)
{
    g_autoptr(GHashTable) ram_a = ram_of(a);
    g_autoptr(GHashTable) ram_b = ram_of(b);
    GHashTableIter iter;
    gpointer key, page;

    g_assert_cmpuint(g_hash_table_size(ram_a), ==, g_hash_table_size(ram_b));
    g_hash_table_iter_init(&iter, ram_a);
    while (g_hash_table_iter_next(&iter, &key, &page)) {
        const void *other = g_hash_table_lookup(ram_b, key);

        g_assert_nonnull(other);
        g_assert_true(!memcmp(page, other, MIG_PAGE_SIZE));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) input = g_bytes_new_static(data, size);
    g_autoptr(GBytes) expanded = convert(input, true);
    g_autoptr(GBytes) compressed = convert(input, false);
    g_autoptr(GBytes) again = compressed ? convert(compressed, true) : NULL;

    if (compressed) {
        check_order(compressed);
    }
    if (expanded && compressed) {
        g_assert_nonnull(again);
        check_same_ram(expanded, again);
    }
    return 0;
}
