/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stopping what goes on in ferry/channel.h: abort in every place where a thread
 * can wait, and peers that are gone.  A test that wants a thread to be blocked
 * watches the thread's state in /proc.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ferry/channel.h"
#include "tests/unit/channel-kit.h"

/* --- abort ---- */

/* A thread that does one thing that blocks, and is to be stopped in it. */
typedef struct Blocked {
    bool (*run)(struct Blocked *blocked, GError **errp);
    IoChannel *channel;
    IoListener *listener;
    const IoUri *uri;
    GCancellable *cancel;
    pthread_t thread;
    pid_t tid;   /* atomic; 0 until the thread runs */
    int is_done; /* atomic */
    GError *err; /* to be read once the thread was joined */
} Blocked;

static void *blocked_main(void *opaque)
{
    Blocked *blocked = opaque;
    pid_t tid = syscall(SYS_gettid);

    __atomic_store_n(&blocked->tid, tid, __ATOMIC_RELEASE);
    g_assert_false(blocked->run(blocked, &blocked->err));
    __atomic_store_n(&blocked->is_done, 1, __ATOMIC_RELEASE);
    return NULL;
}

static bool thread_sleeps(pid_t tid)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/stat", tid);
    g_autofree char *stat = NULL;
    const char *after_name;

    if (!g_file_get_contents(path, &stat, NULL, NULL)) {
        return false;
    }
    after_name = strrchr(stat, ')');
    return after_name && after_name[2] == 'S';
}

static void block(Blocked *blocked)
{
    pid_t tid = 0;

    g_assert_cmpint(
        pthread_create(&blocked->thread, NULL, blocked_main, blocked), ==, 0);
    while (tid == 0 || !thread_sleeps(tid)) {
        g_assert_false(__atomic_load_n(&blocked->is_done, __ATOMIC_ACQUIRE));
        sched_yield();
        tid = __atomic_load_n(&blocked->tid, __ATOMIC_ACQUIRE);
    }
}

static void assert_was_cancelled(Blocked *blocked)
{
    pthread_join(blocked->thread, NULL);
    g_assert_error(blocked->err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_clear_error(&blocked->err);
}

static bool run_read(Blocked *blocked, GError **errp)
{
    size_t nread;
    char buf[1];

    return io_channel_read(blocked->channel, buf, 1, &nread, errp);
}

static bool run_write(Blocked *blocked, GError **errp)
{
    g_autofree uint8_t *bulk = make_bulk();

    return write_bytes(blocked->channel, bulk, BULK_SIZE, errp);
}

static bool run_finish(Blocked *blocked, GError **errp)
{
    return io_channel_finish(blocked->channel, errp);
}

static bool run_accept(Blocked *blocked, GError **errp)
{
    return io_listener_accept(blocked->listener, blocked->cancel, errp);
}

static bool run_connect(Blocked *blocked, GError **errp)
{
    return io_channel_connect(blocked->uri, blocked->cancel, errp);
}

/* It stops, and nothing works on that channel any more. */
static void check_abort(IoChannel *channel,
                        bool (*run)(Blocked *blocked, GError **errp))
{
    Blocked blocked = { .run = run, .channel = channel };
    g_autoptr(GError) err = NULL;

    block(&blocked);
    io_channel_abort(channel);
    assert_was_cancelled(&blocked);
    g_assert_false(run(&blocked, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_true(g_str_has_prefix(err->message, io_channel_name(channel)));
    io_channel_free(channel);
}

static void test_abort_socket(void)
{
    IoChannel *ends[2];

    make_pair(ends);
    check_abort(ends[0], run_read);
    io_channel_free(ends[1]);
    make_pair(ends);
    check_abort(ends[0], run_write);
    io_channel_free(ends[1]);
}

static void test_abort_pipe(void)
{
    g_autofree char *read_uri = NULL;
    g_autofree char *write_uri = NULL;
    IoChannel *reader;
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    read_uri = fd_uri(fds[0]);
    write_uri = fd_uri(fds[1]);
    reader = open_reader(read_uri);
    check_abort(connect_to(write_uri), run_write);
    io_channel_free(reader);
}

static void test_abort_exec(void)
{
    pid_t pid;

    check_abort(open_endless(&pid), run_read);
    check_abort(connect_to("exec:exec sleep 100000"), run_write);
    check_abort(connect_to("exec:exec sleep 100000"), run_finish);
}

static void test_abort_fifo(void)
{
    g_assert_cmpint(mkfifo("fifo", 0600), ==, 0);
    check_abort(open_reader("file:fifo"), run_read);
}

/* A reader and a writer at the same time, and one abort for both. */
static void test_abort_both(void)
{
    Blocked reader = { .run = run_read };
    Blocked writer = { .run = run_write };
    IoChannel *ends[2];

    make_pair(ends);
    reader.channel = writer.channel = ends[0];
    block(&reader);
    block(&writer);
    io_channel_abort(ends[0]);
    assert_was_cancelled(&reader);
    assert_was_cancelled(&writer);
    io_channel_free(ends[0]);
    io_channel_free(ends[1]);
}

static void test_abort_early(void)
{
    g_autoptr(GError) read_err = NULL;
    g_autoptr(GError) write_err = NULL;
    g_autoptr(GError) finish_err = NULL;
    IoChannel *ends[2];
    size_t nread;
    char buf[1];

    make_pair(ends);
    write_text(ends[1], "x");
    io_channel_abort(ends[0]);
    g_assert_false(io_channel_read(ends[0], buf, 1, &nread, &read_err));
    g_assert_error(read_err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_false(io_channel_writev(ends[0], NULL, 0, &write_err));
    g_assert_error(write_err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_false(io_channel_finish(ends[0], &finish_err));
    g_assert_error(finish_err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    io_channel_free(ends[0]);
    io_channel_free(ends[1]);
}

/* A stream that takes no notice of its cancellable. */
static void test_abort_memory(void)
{
    g_autoptr(GInputStream) in =
        g_memory_input_stream_new_from_data("x", 1, NULL);
    IoChannel *channel = io_channel_new("memory", in, NULL);
    g_autoptr(GError) err = NULL;
    size_t nread;
    char buf[1];

    io_channel_abort(channel);
    g_assert_false(io_channel_read(channel, buf, 1, &nread, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    io_channel_free(channel);
}

static void check_accept_cancel(const char *uri)
{
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    Blocked blocked = { .run = run_accept, .cancel = cancel };
    g_autoptr(GError) err = NULL;

    blocked.listener = listen_at(uri);
    block(&blocked);
    g_cancellable_cancel(cancel);
    assert_was_cancelled(&blocked);
    g_assert_null(io_listener_accept(blocked.listener, cancel, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    io_listener_free(blocked.listener);
}

static void test_cancel_accept(void)
{
    IoListener *listener = listen_at("tcp:127.0.0.1:0");
    g_autofree char *two_sockets = same_port(listener, "localhost");

    io_listener_free(listener);
    check_accept_cancel("tcp:127.0.0.1:0");
    check_accept_cancel("unix:socket");
    /* Often, because what GLib leaks here it leaks now and then. */
    for (int i = 0; i < 200; i++) {
        check_accept_cancel(two_sockets);
    }
}

/*
 * A port whose queue is full: the kernel drops further attempts to connect,
 * which try again for minutes.
 */
static int open_full_port(int fillers[4], uint16_t *port)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, size), ==, 0);
    g_assert_cmpint(listen(fd, 0), ==, 0);
    g_assert_cmpint(getsockname(fd, (struct sockaddr *)&address, &size), ==,
                    0);
    *port = ntohs(address.sin_port);
    for (int i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fillers[i], (struct sockaddr *)&address, size);
    }
    return fd;
}

static void test_cancel_connect(void)
{
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    Blocked blocked = { .run = run_connect, .cancel = cancel };
    g_autofree char *text = NULL;
    g_autoptr(IoUri) uri = NULL;
    int fillers[4];
    uint16_t port;
    int fd = open_full_port(fillers, &port);

    text = g_strdup_printf("tcp:127.0.0.1:%u", port);
    blocked.uri = uri = parse_uri(text);
    block(&blocked);
    g_cancellable_cancel(cancel);
    assert_was_cancelled(&blocked);
    for (int i = 0; i < 4; i++) {
        close(fillers[i]);
    }
    close(fd);
}

/* Also where nothing would have blocked. */
static void test_cancelled_before(void)
{
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    g_autoptr(IoUri) uri = parse_uri("file:file");
    g_autoptr(GError) err = NULL;

    g_cancellable_cancel(cancel);
    g_assert_null(io_channel_connect(uri, cancel, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_false(g_file_test("file", G_FILE_TEST_EXISTS));
}

/* --- SIGPIPE, which would end this program ---- */


static IoChannel *open_broken_pipe(void)
{
    g_autofree char *uri = NULL;
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    close(fds[0]);
    uri = fd_uri(fds[1]);
    return connect_to(uri);
}

static void assert_broken(IoChannel *channel)
{
    g_autoptr(GError) err = NULL;

    /* GIO's sockets, and many a parent, have it ignored. */
    signal(SIGPIPE, SIG_DFL);
    g_assert_false(write_bytes(channel, "x", 1, &err));
    g_assert_true(signal(SIGPIPE, SIG_DFL) == SIG_DFL);
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE);
    g_assert_true(g_str_has_prefix(err->message, io_channel_name(channel)));
    io_channel_free(channel);
}

static void test_sigpipe_pipe(void)
{
    sigset_t mask;

    assert_broken(open_broken_pipe());
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    g_assert_false(sigismember(&mask, SIGPIPE));
}

static void test_sigpipe_socket(void)
{
    IoChannel *ends[2];

    make_pair(ends);
    io_channel_free(ends[1]);
    assert_broken(ends[0]);
}

static void test_sigpipe_exec(void)
{
    IoChannel *channel = connect_to("exec:exit 4");
    g_autoptr(GError) err = NULL;
    g_autofree uint8_t *bulk = make_bulk();

    signal(SIGPIPE, SIG_DFL);
    /* More than the pipe holds: blocks at most until the command is gone. */
    g_assert_false(write_bytes(channel, bulk, BULK_SIZE, &err));
    g_assert_error(err, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE);
    g_clear_error(&err);
    g_assert_false(io_channel_finish(channel, &err));
    g_assert_nonnull(strstr(err->message, "exited with status 4"));
    io_channel_free(channel);
}

static bool sigpipe_is_pending(void)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, SIGPIPE);
}

/* In a thread that has SIGPIPE blocked, ours does not stay, another does. */
static void test_sigpipe_pending(void)
{
    sigset_t set, old;
    int signum;

    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    assert_broken(open_broken_pipe());
    g_assert_false(sigpipe_is_pending());

    pthread_kill(pthread_self(), SIGPIPE);
    assert_broken(open_broken_pipe());
    g_assert_true(sigpipe_is_pending());

    sigwait(&set, &signum);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static const ChannelTest tests[] = {
    { "abort/socket", test_abort_socket },
    { "abort/pipe", test_abort_pipe },
    { "abort/exec", test_abort_exec, true },
    { "abort/fifo", test_abort_fifo },
    { "abort/both", test_abort_both },
    { "abort/early", test_abort_early },
    { "abort/memory", test_abort_memory },
    { "abort/accept", test_cancel_accept },
    { "abort/connect", test_cancel_connect },
    { "abort/cancelled-before", test_cancelled_before },
    { "sigpipe/pipe", test_sigpipe_pipe },
    { "sigpipe/socket", test_sigpipe_socket },
    { "sigpipe/exec", test_sigpipe_exec, true },
    { "sigpipe/pending", test_sigpipe_pending },
};

int main(int argc, char **argv)
{
    return run_channel_tests(argc, argv, tests, G_N_ELEMENTS(tests));
}
