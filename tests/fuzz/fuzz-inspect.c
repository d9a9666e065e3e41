/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream of no matter which QEMU, as ferry-inspect reads and verifies it. */
#include "tests/fuzz/fuzz.h"
#include "tests/lib/mem-channel.h"
#include "tools/inspect/streams/inspect-stream.h"

static void on_progress(void *opaque, uint64_t position)
{
    uint64_t *last = opaque;

    g_assert_cmpuint(position, >=, *last);
    *last = position;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MemReader *r = mem_reader_new_static(data, size);
    uint64_t position = 0;
    InspectConfig config = {
        .verify = true,
        .threads = 1,
        .to_the_end = size & 1,
        .progress = on_progress,
        .opaque = &position,
    };
    InspectReport report;
    GError *err = NULL;
    bool ok;

    inspect_report_init(&report);
    ok = inspect_stream(r->channel, &config, &report, &err);
    g_assert_true(ok == !err);
    g_assert_true(!ok || report.complete);
    g_assert_cmpuint(report.bytes, <=, size);
    g_clear_error(&err);
    inspect_report_destroy(&report);
    mem_reader_free(r);
    return 0;
}
