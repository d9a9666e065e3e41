/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file that somebody has, as ferry-inspect opens it. */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tools/inspect/containers/input.h"

/* What a container may give: bombs are not this fuzzer's subject. */
#define READ_MAX (4u << 20)

static void read_it(Stream *stream)
{
    uint8_t buf[4096];
    size_t size = 1;

    while (size && stream_position(stream) < READ_MAX &&
           stream_get_some(stream, buf, sizeof(buf), &size, NULL)) {
        continue;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GInputStream *in =
        g_memory_input_stream_new_from_data(data, (gssize)size, NULL);
    Input *input = input_new(io_channel_new("fuzz", in, NULL), NULL);
    GError *err = NULL;
    bool ok;

    setenv("PATH", "/nowhere", 1); /* no programs */
    ok = input_open(input, &err);
    g_assert_true(ok == !err);
    g_clear_error(&err);
    if (ok) {
        read_it(input_stream(input));
    }
    input_free(input);
    g_object_unref(in);
    return 0;
}
