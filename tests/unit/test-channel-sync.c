/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ferry/channel.h, as far as it says what outlives a power cut: what is synced
 * and when, and that a sync that has failed is not tried again.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ferry/channel.h"
#include "tests/lib/fake-disk.h"
#include "tests/unit/channel-kit.h"

enum { NOBODY = 65534 };

static IoChannel *write_to(const char *uri)
{
    IoChannel *channel;

    fake_disk = (FakeDisk){ .error = EIO };
    channel = connect_to(uri);
    write_text(channel, "state");
    return channel;
}

static void test_file(void)
{
    IoChannel *channel = write_to("file:file");
    GStatBuf here;

    g_assert_cmpint(g_stat(".", &here), ==, 0);
    g_assert_cmpuint(fake_disk.names, ==, 1);
    g_assert_cmpuint(fake_disk.folder, ==, here.st_ino);
    g_assert_cmpuint(fake_disk.syncs, ==, 0);
    g_assert_true(io_channel_sync(channel, NULL));
    g_assert_cmpuint(fake_disk.syncs, ==, 1);
    /* Nothing new: nothing to wait for. */
    g_assert_true(io_channel_sync(channel, NULL));
    g_assert_cmpuint(fake_disk.syncs, ==, 1);
    write_text(channel, " and more");
    finish(channel);
    g_assert_cmpuint(fake_disk.syncs, ==, 2);
    io_channel_free(channel);
    assert_contents("file", "state and more");
}

static void assert_is_lost(bool (*call)(IoChannel *channel, GError **errp),
                           IoChannel *channel)
{
    g_autoptr(GError) err = NULL;

    g_assert_false(call(channel, &err));
    g_assert_cmpstr(err->message, ==, "file:file: what was written may not be "
                    "on the disk: Input/output error");
}

/* The second sync would say that all is well. */
static void test_failure_is_for_good(void)
{
    IoChannel *channel = write_to("file:file");

    fake_disk.fail_sync = 1;
    assert_is_lost(io_channel_sync, channel);
    assert_is_lost(io_channel_sync, channel);
    write_text(channel, "more");
    assert_is_lost(io_channel_finish, channel);
    g_assert_cmpuint(fake_disk.syncs, ==, 1);
    io_channel_free(channel);
}

static void test_finish_fails(void)
{
    IoChannel *channel = write_to("file:file");

    fake_disk.fail_sync = 1;
    assert_is_lost(io_channel_finish, channel);
    io_channel_free(channel);
}

/* The disk is told to begin long before it is waited for. */
static void test_begins_early(void)
{
    g_autofree uint8_t *bulk = make_bulk();
    IoChannel *channel = write_to("file:file");

    for (size_t at = 0; at < BULK_SIZE; at += 256 * 1024) {
        g_assert_true(write_bytes(channel, bulk + at, 256 * 1024, NULL));
    }
    g_assert_cmpuint(fake_disk.begins, >=, 3);
    g_assert_cmpuint(fake_disk.syncs, ==, 0);
    finish(channel);
    io_channel_free(channel);
}

/* A descriptor's folder is known only to the program that opened the file. */
static void test_fd(void)
{
    g_autofree char *uri = fd_uri(open("file", O_CREAT | O_WRONLY, 0600));
    IoChannel *channel = write_to(uri);

    finish(channel);
    g_assert_cmpuint(fake_disk.syncs, ==, 1);
    g_assert_cmpuint(fake_disk.names, ==, 0);
    io_channel_free(channel);
}

static void check_keeps_nothing(const char *uri)
{
    IoChannel *channel = write_to(uri);

    g_assert_true(io_channel_sync(channel, NULL));
    finish(channel);
    g_assert_cmpuint(fake_disk.syncs + fake_disk.names, ==, 0);
    io_channel_free(channel);
}

static void test_keeps_nothing(void)
{
    g_autofree char *pipe_uri = NULL;
    int fds[2], fifo;

    check_keeps_nothing("file:/dev/null");
    g_assert_cmpint(pipe(fds), ==, 0);
    pipe_uri = fd_uri(fds[1]);
    check_keeps_nothing(pipe_uri);
    close(fds[0]);
    g_assert_cmpint(mkfifo("fifo", 0600), ==, 0);
    fifo = open("fifo", O_RDONLY | O_NONBLOCK);
    check_keeps_nothing("file:fifo");
    close(fifo);
}

static void test_exec(void)
{
    check_keeps_nothing("exec:cat > file");
    assert_contents("file", "state");
}

/* A new file that only its folder's memory knows of would be lost as well. */
static void test_name_fails(void)
{
    fake_disk = (FakeDisk){ .fail_name = 1, .error = EIO };
    assert_fails_to_connect("file:file", "the folder with 'file' in it may not "
                            "be on the disk: Input/output error");
    g_assert_cmpuint(fake_disk.names, ==, 1);
}

static void test_name_of_link(void)
{
    IoChannel *channel;
    GStatBuf there;

    g_assert_cmpint(g_mkdir("there", 0700), ==, 0);
    g_assert_cmpint(g_stat("there", &there), ==, 0);
    g_assert_cmpint(symlink("there/file", "link"), ==, 0);
    channel = write_to("file:link");
    g_assert_cmpuint(fake_disk.folder, ==, there.st_ino);
    finish(channel);
    io_channel_free(channel);
    g_assert_cmpint(g_unlink("there/file"), ==, 0);
}

/* A file system where folders cannot be synced: then all of it is. */
static void test_no_folder_sync(void)
{
    fake_disk = (FakeDisk){ .fail_name = 1, .error = EINVAL };
    io_channel_free(connect_to("file:file"));
    g_assert_cmpuint(fake_disk.systems, ==, 1);
}

/* The same where the folder may only be written to. */
static void test_secret_folder(void)
{
    g_assert_cmpint(g_mkdir("drop", 0300), ==, 0);
    if (geteuid() == 0) {
        g_assert_cmpint(g_chmod(".", 0711), ==, 0);
        g_assert_cmpint(chown("drop", NOBODY, (gid_t)-1), ==, 0);
        g_assert_cmpint(seteuid(NOBODY), ==, 0);
    }
    fake_disk = (FakeDisk){ .error = EIO };
    io_channel_free(connect_to("file:drop/file"));
    g_assert_cmpuint(fake_disk.systems, ==, 1);
    g_assert_cmpint(g_unlink("drop/file"), ==, 0);
    g_assert_cmpint(seteuid(getuid()), ==, 0);
}

static const ChannelTest tests[] = {
    { "sync/file", test_file },
    { "sync/failure-is-for-good", test_failure_is_for_good },
    { "sync/finish-fails", test_finish_fails },
    { "sync/begins-early", test_begins_early },
    { "sync/fd", test_fd },
    { "sync/keeps-nothing", test_keeps_nothing },
    { "sync/exec", test_exec, true },
    { "sync/name/fails", test_name_fails },
    { "sync/name/of-link", test_name_of_link },
    { "sync/name/no-folder-sync", test_no_folder_sync },
    { "sync/name/secret-folder", test_secret_folder },
};

int main(int argc, char **argv)
{
    return run_channel_tests(argc, argv, tests, G_N_ELEMENTS(tests));
}
