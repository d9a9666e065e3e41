/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A whole destination: the input is a byte that says which guest waits, and
 * the stream; what the destination answers is dropped.  A guest that was not
 * loaded to the end does not run.
 */
#include <gio/gio.h>

#include "ferry/migration.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/fake-host.h"
#include "tests/wire/golden-cases.h"

#define WITH_BOARDS 0x80

/* Pages of the first block and the second. */
static const uint64_t layouts[][2] = { { 1 }, { 2 }, { 5 }, { 150 },
                                       { 70, 3 }, { 70 }, { 1040 } };

static const MigDevice *devices(void *opaque, size_t *count)
{
    FakeHost *host = opaque;

    return boards_devices(host->hook_data, count);
}

/* The guests of the golden streams. */
static FakeHost *make_host(uint8_t shape, MigHost *calls)
{
    const uint64_t *pages = layouts[(shape & ~WITH_BOARDS) %
                                    G_N_ELEMENTS(layouts)];
    FakeHost *host = fake_host_new(pages, pages[1] ? 2 : 1);

    *calls = fake_mig_host;
    if (shape & WITH_BOARDS) {
        host->hook_data = boards_new();
        calls->devices = devices;
    }
    return host;
}

static IoChannel *make_channel(const uint8_t *data, size_t size)
{
    g_autoptr(GInputStream) in =
        g_memory_input_stream_new_from_data(data, (gssize)size, NULL);
    g_autoptr(GOutputStream) out = g_memory_output_stream_new_resizable();

    return io_channel_new("input", in, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MigOptions options;
    Migration *m;
    MigHost calls;
    FakeHost *host;
    bool ok;

    if (size < 1) {
        return 0;
    }
    host = make_host(data[0], &calls);
    mig_options_init(&options);
    options.value[MIG_OPT_DECOMPRESS_THREADS] = 1;
    m = mig_new(&calls, host, &options);
    ok = mig_receive(m, make_channel(data + 1, size - 1), NULL) &&
         mig_wait(m, NULL);
    mig_free(m);
    g_assert_cmpint(fake_host_running(host), ==, ok);
    boards_free(host->hook_data);
    fake_host_free(host);
    return 0;
}
