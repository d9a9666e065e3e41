/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A main channel, and one of multifd's side channels or that of
 * postcopy-preempt, as ferry-inspect reads them.  The input: u16 the size of
 * the main one, which comes first.
 */
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tools/inspect/streams/preempt-channel.h"
#include "tools/inspect/streams/inspect-stream.h"
#include "util/endian.h"

static void on_progress(void *opaque)
{
}

static Input *open_bytes(const uint8_t *data, size_t size)
{
    GInputStream *in =
        g_memory_input_stream_new_from_data(data, (gssize)size, NULL);
    Input *input = input_new(io_channel_new("fuzz", in, NULL), NULL);

    g_object_unref(in);
    return input;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t split = size > 2 ? MIN(load_be16(data), size - 2) : 0;
    Input *main_channel, *side;
    bool preempts;
    InspectReport report;
    GError *err = NULL;
    g_autofree char *path = g_strdup_printf("/dev/shm/fuzz-multifd-%d",
                                            getpid());
    const InspectExtract extract = { "a", path };
    bool ok;

    if (size < 2) {
        return 0;
    }
    main_channel = open_bytes(data + 2, split);
    side = open_bytes(data + 2 + split, size - 2 - split);
    preempts = preempt_channel_begins(data + 2 + split, size - 2 - split);
    inspect_report_init(&report);
    ok = inspect_stream(main_channel, &(InspectConfig){
        .side = &side,
        .sides = !preempts,
        .preempt = preempts ? side : NULL,
        .extract = &extract,
        .extracts = size & 1,
        .verify = true,
        .threads = 1,
        .progress = on_progress,
    }, &report, &err);
    g_assert_true(ok == !err);
    g_clear_error(&err);
    g_assert_cmpint(access(path, F_OK), ==, report.extracted ? 0 : -1);
    unlink(path);
    inspect_report_destroy(&report);
    input_free(main_channel);
    input_free(side);
    return 0;
}
