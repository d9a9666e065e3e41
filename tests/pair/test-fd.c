/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The descriptor of an fd: URI is the migration's from its start on.  The
 * process at the other end sees it end, whatever becomes of the migration.
 */
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/pair.h"

/* The migration fails, and the descriptor is not open any more even while the
 * handle still is. */
static void check_closes(const MigOptions *options, int fd, const char *says)
{
    static const uint64_t pages[FAKE_BLOCKS_MAX] = { 30, 7 };
    FakeHost *host = fake_host_new(pages, FAKE_BLOCKS_MAX);
    g_autoptr(GError) err = NULL;
    Migration *m;

    host->running = true;
    m = pair_send_to_fd(host, options, fd);
    g_assert_false(mig_wait(m, &err));
    g_assert_nonnull(strstr(err->message, says));
    g_assert_cmpint(fcntl(fd, F_GETFD), <, 0);
    g_assert_true(fake_host_running(host));
    mig_free(m);
    fake_host_free(host);
}

static void test_wrong_direction(void)
{
    MigOptions options;
    int fds[2];

    mig_options_init(&options);
    g_assert_cmpint(pipe(fds), ==, 0);
    check_closes(&options, fds[0], "not open for writing");
    close(fds[1]);
}

static void test_no_certificates(void)
{
    const MigOption *creds = mig_option(MIG_OPT_TLS_CREDS);
    MigOptions options;
    int fds[2];

    mig_options_init(&options);
    g_assert_true(mig_options_set_text(&options, creds, "/nonexistent", NULL));
    g_assert_cmpint(pipe(fds), ==, 0);
    check_closes(&options, fds[1], "TLS");
    close(fds[0]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fd/wrong-direction", test_wrong_direction);
    g_test_add_func("/fd/no-certificates", test_no_certificates);
    return g_test_run();
}
