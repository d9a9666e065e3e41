/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file with mapped-ram, as ferry-inspect opens and reads it. */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tools/inspect/streams/inspect-stream.h"

static void on_progress(void *opaque)
{
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GInputStream *in =
        g_memory_input_stream_new_from_data(data, (gssize)size, NULL);
    Input *input = input_new(io_channel_new("fuzz", in, NULL), NULL);
    const InspectConfig config = {
        .threads = 1,
        .to_the_end = size & 1,
        .progress = on_progress,
    };
    InspectReport report;
    GError *err = NULL;
    bool ok;

    setenv("PATH", "/nowhere", 1);    /* no programs */
    setenv("TMPDIR", "/dev/shm", 1);  /* the file is copied to memory */
    inspect_report_init(&report);
    ok = input_open(input, &err) &&
         inspect_stream(input, &config, &report, &err);
    g_assert_true(ok == !err);
    g_clear_error(&err);
    inspect_report_destroy(&report);
    input_free(input);
    g_object_unref(in);
    return 0;
}
