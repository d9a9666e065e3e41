/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An internal snapshot of a qcow2 image, as ferry-inspect reads it. */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tools/inspect/containers/input.h"

/* All that is inside; no more than a file of this size can have. */
static void read_it(Stream *stream, size_t file_size)
{
    uint8_t buf[4096];
    size_t size = 1;

    while (size && stream_get_some(stream, buf, sizeof(buf), &size, NULL)) {
        g_assert_cmpuint(stream_position(stream), <=,
                         file_size + (2u << 20));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GInputStream *in =
        g_memory_input_stream_new_from_data(data, (gssize)size, NULL);
    Input *input = input_new(io_channel_new("fuzz", in, NULL), "one");
    GError *err = NULL;
    bool ok;

    setenv("PATH", "/nowhere", 1);   /* no programs */
    setenv("TMPDIR", "/dev/shm", 1); /* the file is copied to memory */
    ok = input_open(input, &err);
    g_assert_true(ok == !err);
    g_clear_error(&err);
    if (ok && input_has_stream(input)) {
        read_it(input_stream(input), size);
    }
    input_free(input);
    g_object_unref(in);
    return 0;
}
