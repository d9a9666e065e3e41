/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/memory-kit.h"

#include <stdio.h>
#include <string.h>

#include "ferry/migration.h"
#include "tests/lib/fake-host.h"

uint64_t memory_of(const char *name)
{
    g_autofree char *status = NULL;
    unsigned long kbytes;
    const char *line;

    g_assert_true(g_file_get_contents("/proc/self/status", &status, NULL,
                                      NULL));
    line = strstr(status, name);
    g_assert_true(line && sscanf(line + strlen(name), ": %lu", &kbytes) == 1);
    return (uint64_t)kbytes * 1024;
}

void *memory_drop_main(void *opaque)
{
    IoChannel *channel = opaque;
    char buf[4096];
    size_t nread = 1;

    while (nread > 0 && io_channel_read(channel, buf, sizeof(buf), &nread,
                                        NULL)) {
        continue;
    }
    return NULL;
}

GError *memory_receive(IoChannel *channel, uint64_t pages, uint64_t history)
{
    FakeHost *host = fake_host_new(&pages, 1);
    MigOptions options;
    Migration *m;
    GError *err = NULL;

    mig_options_init(&options);
    options.value[MIG_OPT_DECOMPRESS_THREADS] = 1;
    options.value[MIG_OPT_COMPRESS_HISTORY] = history;
    m = mig_new(&fake_mig_host, host, &options);
    g_assert_true(mig_receive(m, channel, &err));
    g_assert_false(mig_wait(m, &err));
    mig_free(m);
    fake_host_free(host);
    return err;
}
