/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ferry/channel.h over what this machine has: descriptors, commands and files,
 * in both directions.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ferry/channel.h"
#include "io/channel-kind.h"
#include "tests/unit/channel-kit.h"

/* --- fd ---- */

static void test_fd_pipe(void)
{
    g_autofree char *read_uri = NULL;
    g_autofree char *write_uri = NULL;
    IoChannel *reader;
    IoChannel *writer;
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    read_uri = fd_uri(fds[0]);
    write_uri = fd_uri(fds[1]);
    reader = open_reader(read_uri);
    writer = connect_to(write_uri);
    g_assert_false(io_channel_is_two_way(reader));
    g_assert_false(io_channel_is_two_way(writer));
    check_transfer(writer, reader);
    io_channel_free(reader);
    io_channel_free(writer);
}

static void test_fd_socket(void)
{
    g_autofree char *read_uri = NULL;
    g_autofree char *write_uri = NULL;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), ==, 0);
    read_uri = fd_uri(fds[0]);
    write_uri = fd_uri(fds[1]);
    check_two_way(connect_to(write_uri), open_reader(read_uri));
}

static void test_fd_file(void)
{
    g_autofree char *read_uri = NULL;
    g_autofree char *write_uri = fd_uri(open("file", O_CREAT | O_WRONLY, 0600));
    IoChannel *channel = connect_to(write_uri);

    write_text(channel, "state");
    finish(channel);
    io_channel_free(channel);
    read_uri = fd_uri(open("file", O_RDONLY));
    channel = open_reader(read_uri);
    assert_reads(channel, "state");
    io_channel_free(channel);
}

/* A file is skipped by seeking, up to its end; a pipe cannot be. */
static void test_skip(void)
{
    g_autofree char *text = g_strnfill(100000, 'x');
    g_autoptr(GError) err = NULL;
    g_autofree char *pipe_uri = NULL;
    uint64_t skipped;
    IoChannel *channel;
    char got;
    size_t n;
    int fds[2];

    text[70000] = 'y';
    g_file_set_contents("file", text, 100000, NULL);
    channel = open_reader("file:file,offset=10");
    g_assert_cmpint(io_kind_input_fd(channel), >=, 0);
    g_assert_true(io_kind_skip(channel, 69990, &skipped, &err));
    g_assert_cmpuint(skipped, ==, 69990);
    g_assert_true(io_channel_read(channel, &got, 1, &n, &err));
    g_assert_cmpint(got, ==, 'y');
    g_assert_true(io_kind_skip(channel, UINT64_MAX, &skipped, &err));
    g_assert_cmpuint(skipped, ==, 29999);
    g_assert_true(io_kind_skip(channel, 1, &skipped, &err));
    g_assert_cmpuint(skipped, ==, 0);
    io_channel_free(channel);

    g_assert_cmpint(pipe(fds), ==, 0);
    pipe_uri = fd_uri(fds[0]);
    channel = open_reader(pipe_uri);
    g_assert_cmpint(io_kind_input_fd(channel), ==, -1);
    g_assert_true(io_kind_skip(channel, 1, &skipped, &err));
    g_assert_cmpuint(skipped, ==, 0);
    io_channel_free(channel);
    close(fds[1]);
}

static void test_fd_not_open(void)
{
    assert_fails_to_connect("fd:1234", "descriptor 1234 is not open");
    assert_fails_to_listen("fd:1234", "descriptor 1234 is not open");
}

static void test_fd_wrong_side(void)
{
    g_autofree char *read_uri = NULL;
    g_autofree char *write_uri = NULL;
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    read_uri = fd_uri(fds[0]);
    write_uri = fd_uri(fds[1]);
    assert_fails_to_connect(read_uri, "not open for writing");
    assert_fails_to_listen(write_uri, "not open for reading");
    /* What has not been taken over is still ours. */
    g_assert_cmpint(close(fds[0]), ==, 0);
    g_assert_cmpint(close(fds[1]), ==, 0);
}

static void test_fd_listening_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    g_autofree char *uri = fd_uri(fd);

    g_assert_cmpint(listen(fd, 1), ==, 0);
    assert_fails_to_connect(uri, "is a listening socket");
    g_assert_cmpint(close(fd), ==, 0);
}

static void test_fd_used_twice(void)
{
    g_autofree char *uri = fd_uri(open("/dev/null", O_RDONLY));
    g_autoptr(GError) err = NULL;
    IoListener *listener = listen_at(uri);
    IoChannel *channel = accept_from(listener);

    g_assert_null(io_listener_accept(listener, NULL, &err));
    g_assert_nonnull(strstr(err->message, "already been used"));
    io_listener_free(listener);
    assert_reads(channel, "");
    io_channel_free(channel);
}

/* The fixture sees whether the listener, which took it over, closes it. */
static void test_fd_not_accepted(void)
{
    g_autofree char *uri = fd_uri(open("/dev/null", O_RDONLY));

    io_listener_free(listen_at(uri));
}

/* --- exec ---- */

static void test_exec_write(void)
{
    IoChannel *channel = connect_to("exec:tr a-z A-Z > out");

    g_assert_false(io_channel_is_two_way(channel));
    write_text(channel, "state");
    finish(channel);
    /* finish has waited for the command, so all of it is there. */
    assert_contents("out", "STATE");
    io_channel_free(channel);
}

static void test_exec_read(void)
{
    IoChannel *channel = open_reader("exec:printf state; cat");

    g_assert_false(io_channel_is_two_way(channel));
    assert_reads(channel, "state");
    io_channel_free(channel);
}

/* Through a FIFO between two commands: a large transfer in each direction. */
static void test_exec_bulk(void)
{
    IoChannel *writer;
    IoChannel *reader;

    g_assert_cmpint(mkfifo("fifo", 0600), ==, 0);
    writer = connect_to("exec:cat > fifo");
    reader = open_reader("exec:cat fifo");
    check_transfer(writer, reader);
    io_channel_free(writer);
    io_channel_free(reader);
}

/* status: that the command ended with; 0: it was killed. */
static void assert_finish_says(const char *uri, int status, const char *says)
{
    IoChannel *channel = connect_to(uri);
    g_autoptr(GError) err = NULL;

    g_assert_false(io_channel_finish(channel, &err));
    if (status) {
        g_assert_error(err, G_SPAWN_EXIT_ERROR, status);
    } else {
        g_assert_error(err, G_IO_ERROR, G_IO_ERROR_FAILED);
    }
    g_assert_cmpstr(err->message, ==, says);
    io_channel_free(channel);
}

static void test_exec_status(void)
{
    assert_finish_says("exec:cat; exit 3", 3,
                       "command 'cat; exit 3' exited with status 3");
    assert_finish_says("exec:kill -9 $$", 0,
                       "command 'kill -9 $$' was killed by signal 9 (Killed)");
}

static void test_exec_killed_by_free(void)
{
    pid_t pid;

    io_channel_free(open_endless(&pid));
    g_assert_cmpint(kill(pid, 0), ==, -1);
    g_assert_cmpint(errno, ==, ESRCH);
}

static IoChannel *connect_two_way(const char *text)
{
    IoUri *uri = parse_uri(text);
    g_autoptr(GError) err = NULL;
    IoChannel *channel = io_channel_connect_two_way(uri, NULL, &err);

    g_assert_no_error(err);
    io_uri_free(uri);
    return channel;
}

static void test_exec_two_way(void)
{
    IoChannel *channel = connect_two_way("exec:tr a-z A-Z; exit 3");
    g_autoptr(GError) err = NULL;

    g_assert_true(io_channel_is_two_way(channel));
    write_text(channel, "state");
    finish(channel);
    assert_reads(channel, "STATE");
    g_assert_false(io_channel_wait_command(channel, 60000, NULL, &err));
    g_assert_error(err, G_SPAWN_EXIT_ERROR, 3);
    io_channel_free(channel);
}

/* It is seen to close its output, though it goes on reading. */
static void test_exec_closes_output(void)
{
    IoChannel *channel = connect_two_way("exec:exec cat > out");
    g_autoptr(GError) err = NULL;

    assert_reads(channel, "");
    write_text(channel, "state");
    finish(channel);
    io_channel_wait_command(channel, 60000, NULL, &err);
    g_assert_no_error(err);
    assert_contents("out", "state");
    io_channel_free(channel);
}

/* It closes its output and goes on running. */
static void test_exec_goes_on(void)
{
    IoChannel *channel = connect_two_way("exec:exec sleep 100000 > out");
    g_autoptr(GError) err = NULL;

    assert_reads(channel, "");
    finish(channel);
    g_assert_false(io_channel_wait_command(channel, 1, NULL, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_TIMED_OUT);
    io_channel_free(channel);
}

static void *cancel_main(void *opaque)
{
    g_cancellable_cancel(opaque);
    return NULL;
}

/* Waited for by one thread, until another one has had enough. */
static void test_exec_no_longer_waited_for(void)
{
    IoChannel *channel = connect_two_way("exec:exec sleep 100000 > out");
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    GThread *thread = g_thread_new("cancel", cancel_main, cancel);
    g_autoptr(GError) err = NULL;

    g_assert_false(io_channel_wait_command(channel, G_MAXUINT, cancel, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_thread_join(thread);
    io_channel_free(channel);
}

/* Everything that holds the pipe is gone when it ends. */
static void test_exec_killed_with_children(void)
{
    IoChannel *channel;
    int alive;
    char c;
    size_t nread;
    g_autoptr(GError) err = NULL;

    g_assert_cmpint(mkfifo("alive", 0600), ==, 0);
    alive = open("alive", O_RDONLY | O_NONBLOCK);
    g_assert_cmpint(alive, >=, 0);
    channel = open_reader("exec:exec 3> alive; sleep 100000 & echo; wait");
    io_channel_read(channel, &c, 1, &nread, &err);
    g_assert_no_error(err);
    io_channel_free(channel);
    g_unix_set_fd_nonblocking(alive, FALSE, NULL);
    g_assert_cmpint(read(alive, &c, 1), ==, 0);
    close(alive);
}

/* What a terminal sends to our process group does not reach the command. */
static void test_exec_session(void)
{
    IoChannel *channel =
        open_reader("exec:echo $$; cut -d ' ' -f 5,6 /proc/self/stat");
    g_autofree char *text = read_text(channel);
    int pid, group, session;

    g_assert_cmpint(sscanf(text, "%d %d %d", &pid, &group, &session), ==, 3);
    g_assert_cmpint(group, ==, pid);
    g_assert_cmpint(session, ==, pid);
    io_channel_free(channel);
}

static void test_exec_no_zombie(void)
{
    IoChannel *channel = open_reader("exec:echo $$");
    g_autofree char *text = read_text(channel);
    pid_t pid = g_ascii_strtoull(text, NULL, 10);

    g_assert_cmpint(pid, >, 0);
    io_channel_free(channel);
    g_assert_cmpint(kill(pid, 0), ==, -1);
    g_assert_cmpint(errno, ==, ESRCH);
}

/* Started from a thread that takes no signals, a command still does. */
static void test_exec_signals(void)
{
    g_autofree char *text = NULL;
    IoChannel *channel;
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    channel = open_reader("exec:exec cat /proc/self/status");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    text = read_text(channel);
    g_assert_nonnull(strstr(text, "\nSigBlk:\t0000000000000000\n"));
    io_channel_free(channel);
}

/* --- file ---- */


static void test_file_write(void)
{
    IoChannel *channel = connect_to("file:file");
    struct stat st;

    g_assert_false(io_channel_is_two_way(channel));
    write_text(channel, "state");
    finish(channel);
    io_channel_free(channel);
    assert_contents("file", "state");
    g_assert_cmpint(stat("file", &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, 0600);
}

static void test_file_write_offset(void)
{
    IoChannel *channel;

    g_assert_true(g_file_set_contents("file", "header old state", -1, NULL));
    channel = connect_to("file:file,offset=7");
    /* Cut off when it is opened, not only as far as it is overwritten. */
    assert_contents("file", "header ");
    write_text(channel, "new");
    finish(channel);
    io_channel_free(channel);
    assert_contents("file", "header new");
}

static void test_file_write_past_end(void)
{
    IoChannel *channel = connect_to("file:file,offset=0x1K");
    g_autofree char *got = NULL;
    gsize size;

    write_text(channel, "state");
    finish(channel);
    io_channel_free(channel);
    g_assert_true(g_file_get_contents("file", &got, &size, NULL));
    g_assert_cmpuint(size, ==, 1024 + 5);
    g_assert_cmpmem(got + 1024, 5, "state", 5);
}

static void test_file_read_offset(void)
{
    IoChannel *channel;

    g_assert_true(g_file_set_contents("file", "header state", -1, NULL));
    channel = open_reader("file:file,offset=7");
    g_assert_false(io_channel_is_two_way(channel));
    assert_reads(channel, "state");
    io_channel_free(channel);
    channel = open_reader("file:file,offset=12");
    assert_reads(channel, "");
    io_channel_free(channel);
}

static void test_file_bulk(void)
{
    g_autofree uint8_t *bulk = make_bulk();
    IoChannel *channel = connect_to("file:file");
    g_autoptr(GByteArray) got = NULL;

    write_bulk(channel, bulk);
    io_channel_free(channel);
    channel = open_reader("file:file");
    got = read_all(channel);
    g_assert_cmpuint(got->len, ==, BULK_SIZE);
    g_assert_cmpint(memcmp(got->data, bulk, BULK_SIZE), ==, 0);
    io_channel_free(channel);
}

static void test_file_errors(void)
{
    g_assert_true(g_file_set_contents("file", "state", -1, NULL));
    assert_fails_to_listen("file:file,offset=6", "has 5 bytes, less than");
    assert_fails_to_listen("file:missing", "cannot open the file: No such");
    assert_fails_to_listen("file:.", "cannot read the file: Is a directory");
    assert_fails_to_connect("file:.", "cannot open the file: Is a directory");
    assert_fails_to_connect("file:no/where", "cannot open the file: No such");
    g_assert_cmpint(mkfifo("fifo", 0600), ==, 0);
    assert_fails_to_connect("file:fifo", "cannot open the file: No such dev");
    assert_fails_to_listen("file:fifo,offset=1", "cannot seek in the file");
}

/* A full disk, as /dev/full plays it. */
static void test_file_write_error(void)
{
    IoChannel *channel = connect_to("file:/dev/full");
    g_autoptr(GError) err = NULL;

    g_assert_false(write_bytes(channel, "x", 1, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
    io_channel_free(channel);
}

static const ChannelTest tests[] = {
    { "fd/pipe", test_fd_pipe },
    { "fd/socket", test_fd_socket },
    { "fd/file", test_fd_file },
    { "skip", test_skip },
    { "fd/not-open", test_fd_not_open },
    { "fd/wrong-side", test_fd_wrong_side },
    { "fd/listening-socket", test_fd_listening_socket },
    { "fd/used-twice", test_fd_used_twice },
    { "fd/not-accepted", test_fd_not_accepted },
    { "exec/write", test_exec_write, true },
    { "exec/read", test_exec_read, true },
    { "exec/bulk", test_exec_bulk, true },
    { "exec/status", test_exec_status, true },
    { "exec/two-way", test_exec_two_way, true },
    { "exec/closes-output", test_exec_closes_output, true },
    { "exec/goes-on", test_exec_goes_on, true },
    { "exec/no-longer-waited-for", test_exec_no_longer_waited_for, true },
    { "exec/killed-by-free", test_exec_killed_by_free, true },
    { "exec/killed-with-children", test_exec_killed_with_children, true },
    { "exec/session", test_exec_session, true },
    { "exec/no-zombie", test_exec_no_zombie, true },
    { "exec/signals", test_exec_signals, true },
    { "file/write", test_file_write },
    { "file/write-offset", test_file_write_offset },
    { "file/write-past-end", test_file_write_past_end },
    { "file/read-offset", test_file_read_offset },
    { "file/bulk", test_file_bulk },
    { "file/errors", test_file_errors },
    { "file/write-error", test_file_write_error },
};

int main(int argc, char **argv)
{
    return run_channel_tests(argc, argv, tests, G_N_ELEMENTS(tests));
}
