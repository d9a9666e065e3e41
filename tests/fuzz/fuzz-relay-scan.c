/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A relay cuts QEMU's stream into pages, blocks and literals.  Put together,
 * they are the stream again.
 */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/lib/mem-channel.h"
#include "tools/relay/relay-scan.h"

/* The bytes that have not been found yet. */
typedef struct Rest {
    const uint8_t *data;
    size_t size;
} Rest;

static void take(Rest *rest, const void *buf, size_t size)
{
    g_assert_cmpuint(size, <=, rest->size);
    g_assert_true(!size || !memcmp(rest->data, buf, size));
    rest->data += size;
    rest->size -= size;
}

static bool on_literal(void *opaque, const void *buf, size_t size,
                       GError **errp)
{
    take(opaque, buf, size);
    return true;
}

static bool on_page(void *opaque, const ScanPage *page, GError **errp)
{
    take(opaque, page->data, page->size);
    return true;
}

static bool on_block(void *opaque, const uint8_t *block, GError **errp)
{
    take(opaque, block, MIG_PAGE_SIZE);
    return true;
}

/* chunk: how many bytes come at a time, with a pause behind them; 0: all. */
static void scan(const ScanSink *sink, GBytes *bytes, size_t chunk)
{
    MemReader *r = mem_reader_new_chunked(bytes, chunk);
    Rest rest = { .size = 0 };

    rest.data = g_bytes_get_data(bytes, &rest.size);
    g_assert_true(scan_run(r->stream, sink, &rest, NULL));
    g_assert_cmpuint(rest.size, ==, 0);
    mem_reader_free(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GBytes *bytes = g_bytes_new_static(data, size);

    for (int all = 0; all < 2; all++) {
        const ScanSink sink = {
            .literal = on_literal,
            .page = on_page,
            .block = all ? NULL : on_block,
            .wants_all_pages = all,
        };

        scan(&sink, bytes, 0);
        scan(&sink, bytes, 1 + size % 5000);
    }
    g_bytes_unref(bytes);
    return 0;
}
