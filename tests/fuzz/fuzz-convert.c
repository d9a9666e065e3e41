/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream of a QEMU, which becomes an ELF core and physical memory. */
#include <fcntl.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "tools/inspect/converters/write-memory.h"
#include "tools/inspect/devices/device-check.h"
#include "tools/inspect/streams/inspect-stream.h"

static void on_progress(void *opaque)
{
}

static bool convert(void *opaque, const InspectReport *report,
                    const InspectRam *ram, GError **errp)
{
    g_autoptr(GArray) none = g_array_new(FALSE, FALSE, sizeof(LayoutPlace));
    const LayoutConfig config = { .place = none };
    int fd = open("/dev/shm", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    bool ok = write_elf(fd, report, ram, &config, errp) &&
              write_raw(fd, report, ram, &config, errp);

    close(fd);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GInputStream *in =
        g_memory_input_stream_new_from_data(data, (gssize)size, NULL);
    Input *input = input_new(io_channel_new("fuzz", in, NULL), NULL);
    const InspectConfig config = {
        .scratch = "/dev/shm",
        .convert = convert,
        .parts = true,
        .threads = 1,
        .progress = on_progress,
    };
    InspectReport report;
    GError *err = NULL;
    bool ok;

    inspect_report_init(&report);
    ok = inspect_stream(input, &config, &report, &err);
    g_assert_true(ok == !err);
    g_clear_error(&err);
    device_check_all(&report);
    inspect_report_destroy(&report);
    input_free(input);
    g_object_unref(in);
    return 0;
}
