/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that is saved to a file is given up when the disk has it, and not
 * before.  Until then every failure and every cancel leaves it where it is.
 */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "tests/lib/fake-disk.h"
#include "tests/lib/pair.h"

typedef struct Save {
    char *path;
    FakeHost *host;
    MigOptions options;
    Migration *m;
    unsigned stopped_at; /* the first sync with the guest stopped; 0: none */
    unsigned last_pause; /* seconds that this sync takes */
    Gate gate;           /* where the sync with the guest stopped waits */
    bool gated;
} Save;

/* From the second pass on only some pages are dirty. */
static bool dirty_hook(FakeHost *host, FakePoint point, unsigned nth,
                       GError **errp)
{
    if (point == FAKE_LOG_COLLECT) {
        fake_host_write(host, 0, nth % 8, nth);
    }
    return true;
}

static void on_sync(unsigned nth, void *opaque)
{
    Save *save = opaque;

    if (fake_host_running(save->host)) {
        return;
    }
    save->stopped_at = save->stopped_at ? save->stopped_at : nth;
    sleep(save->last_pause);
    if (save->gated) {
        gate_pass(&save->gate);
    }
}

static void save_init(Save *save)
{
    static const uint64_t pages[FAKE_BLOCKS_MAX] = { 300, 70 };
    int fd = g_file_open_tmp("ferry-save-XXXXXX", &save->path, NULL);

    g_assert_cmpint(fd, >=, 0);
    close(fd);
    save->host = fake_host_new(pages, FAKE_BLOCKS_MAX);
    fake_host_fill(save->host, 42);
    save->host->running = true;
    save->host->hook = dirty_hook;
    mig_options_init(&save->options);
    gate_init(&save->gate);
    fake_disk = (FakeDisk){
        .error = EIO, .on_sync = on_sync, .opaque = save,
    };
}

static void save_start(Save *save)
{
    g_autofree char *text = g_strconcat("file:", save->path, NULL);
    g_autoptr(IoUri) uri = io_uri_parse(text, NULL);

    save->m = mig_new(&fake_mig_host, save->host, &save->options);
    g_assert_true(mig_send_to(save->m, uri, NULL));
}

static void save_destroy(Save *save)
{
    fake_disk = (FakeDisk){ .error = EIO };
    mig_free(save->m);
    fake_host_free(save->host);
    gate_destroy(&save->gate);
    g_unlink(save->path);
    g_free(save->path);
}

static void assert_stayed(Save *save, const char *states)
{
    g_autofree char *got = fake_host_states(save->host);

    g_assert_cmpstr(got, ==, states);
    g_assert_true(fake_host_running(save->host));
    g_assert_false(save->host->logging);
}

/* The passes are synced as they end, so that little is left for the end. */
static void test_completes(void)
{
    Save save = { .path = NULL };
    g_autofree char *states = NULL;

    save_init(&save);
    save_start(&save);
    g_assert_true(mig_wait(save.m, NULL));
    states = fake_host_states(save.host);
    g_assert_cmpstr(states, ==, "setup,active,device,completed");
    g_assert_cmpuint(fake_disk.names, ==, 1);
    g_assert_cmpuint(save.stopped_at, ==, save.host->passes + 1);
    g_assert_cmpuint(fake_disk.syncs, ==, save.stopped_at);
    save_destroy(&save);
}

static void fail_at(unsigned sync, const char *states)
{
    Save save = { .path = NULL };
    g_autoptr(GError) err = NULL;

    save_init(&save);
    fake_disk.fail_sync = sync;
    save_start(&save);
    g_assert_false(mig_wait(save.m, &err));
    g_assert_nonnull(strstr(err->message, "what was written may not be on the "
                            "disk: Input/output error"));
    assert_stayed(&save, states);
    g_assert_cmpuint(fake_disk.syncs, ==, sync);
    save_destroy(&save);
}

static void test_pass_fails(void)
{
    fail_at(1, "setup,active,failed");
}

static unsigned count_syncs(void)
{
    Save save = { .path = NULL };
    unsigned syncs;

    save_init(&save);
    save_start(&save);
    g_assert_true(mig_wait(save.m, NULL));
    syncs = fake_disk.syncs;
    save_destroy(&save);
    return syncs;
}

static void test_last_fails(void)
{
    fail_at(count_syncs(), "setup,active,device,failed");
}

/* As long as the disk does not have it, it is not too late. */
static void test_cancel(void)
{
    Save save = { .gated = true };

    save_init(&save);
    save_start(&save);
    gate_await(&save.gate);
    g_assert_true(mig_cancel(save.m, NULL));
    gate_release(&save.gate);
    g_assert_false(mig_wait(save.m, NULL));
    assert_stayed(&save, "setup,active,device,cancelling,cancelled");
    save_destroy(&save);
}

/* A disk that takes its time is no destination that does nothing. */
static void test_slow(void)
{
    Save save = { .last_pause = 2 };

    save_init(&save);
    g_assert_true(mig_options_set(&save.options,
                                  mig_option(MIG_OPT_STALL_TIMEOUT), 1, NULL));
    save_start(&save);
    g_assert_true(mig_wait(save.m, NULL));
    g_assert_cmpuint(save.stopped_at, >, 0);
    save_destroy(&save);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/file/completes", test_completes);
    g_test_add_func("/file/pass-fails", test_pass_fails);
    g_test_add_func("/file/last-fails", test_last_fails);
    g_test_add_func("/file/cancel", test_cancel);
    g_test_add_func("/file/slow", test_slow);
    return g_test_run();
}
