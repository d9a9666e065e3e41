/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream of no matter which QEMU, as ferry-inspect reads and verifies it.  Of
 * every other size, RAM block "a" is extracted, too. */
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tools/inspect/streams/inspect-stream.h"

typedef struct Reading {
    const Input *input;
    uint64_t last;
} Reading;

static void on_progress(void *opaque)
{
    Reading *reading = opaque;
    uint64_t position = input_position(reading->input);

    g_assert_cmpuint(position, >=, reading->last);
    reading->last = position;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GInputStream *in =
        g_memory_input_stream_new_from_data(data, (gssize)size, NULL);
    Input *input = input_new(io_channel_new("fuzz", in, NULL), NULL);
    Reading reading = { .input = input };
    g_autofree char *path = g_strdup_printf("/dev/shm/fuzz-inspect-%d",
                                            getpid());
    const InspectExtract extract = { "a", path };
    InspectConfig config = {
        .extract = &extract,
        .extracts = size >> 1 & 1,
        .verify = true,
        .threads = 1,
        .to_the_end = size & 1,
        .progress = on_progress,
        .opaque = &reading,
    };
    InspectReport report;
    GError *err = NULL;
    bool ok;

    inspect_report_init(&report);
    ok = inspect_stream(input, &config, &report, &err);
    g_assert_true(ok == !err);
    g_assert_true(!ok || report.complete);
    g_assert_cmpuint(report.bytes, <=, size);
    g_assert_cmpint(access(path, F_OK), ==, report.extracted ? 0 : -1);
    unlink(path);
    g_clear_error(&err);
    inspect_report_destroy(&report);
    input_free(input);
    g_object_unref(in);
    return 0;
}
