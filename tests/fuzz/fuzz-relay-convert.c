/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one relay makes of QEMU's stream.  Each input is expanded as it is, and
 * compressed; what has become of it by that is expanded again, which works if
 * it did before.
 */
#include "tests/fuzz/fuzz.h"
#include "tests/lib/mem-channel.h"
#include "tools/relay/relay-convert.h"

/* NULL when it was refused. */
static GBytes *convert(GBytes *bytes, bool expand)
{
    MemReader *r = mem_reader_new(bytes);
    MemWriter *w = mem_writer_new();
    RelayStats stats = { 0 };
    RelayFindings findings = { 0 };
    const RelayConvertConfig config = {
        .from = r->stream,
        .to = w->channel,
        .expand = expand,
        .level = 1,
        .threads = 1,
        .stats = &stats,
        .findings = &findings,
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GBytes) input = g_bytes_new_static(data, size);
    g_autoptr(GBytes) expanded = convert(input, true);
    g_autoptr(GBytes) compressed = convert(input, false);
    g_autoptr(GBytes) again = compressed ? convert(compressed, true) : NULL;

    if (expanded && compressed) {
        g_assert_nonnull(again);
    }
    return 0;
}
