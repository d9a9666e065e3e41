/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ferry/channel.h over tcp and unix sockets and socket pairs, over streams of
 * one's own, and what holds for every channel.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/channel-kind.h"
#include "tests/unit/channel-kit.h"

/* --- tcp ---- */

static void test_tcp_ipv4(void)
{
    IoListener *listener = listen_at("tcp:127.0.0.1:0");
    const char *address = io_listener_address(listener);

    g_assert_true(g_str_has_prefix(address, "tcp:127.0.0.1:"));
    g_assert_false(g_str_has_suffix(address, ":0"));
    connect_and_check(listener, address);
    connect_and_check(listener, address);
    io_listener_free(listener);
}

static void test_tcp_ipv6(void)
{
    IoListener *listener;

    if (!machine_has_ipv6()) {
        g_test_skip("this machine HAS NO ::1, IPv6 IS NOT TESTED");
        return;
    }
    listener = listen_at("tcp:[::1]:0");
    g_assert_true(g_str_has_prefix(io_listener_address(listener),
                                   "tcp:[::1]:"));
    connect_and_check(listener, io_listener_address(listener));
    io_listener_free(listener);
}

static void test_tcp_any_address(void)
{
    IoListener *listener = listen_at("tcp::0");
    g_autofree char *empty = same_port(listener, "");
    g_autofree char *ipv4 = same_port(listener, "127.0.0.1");
    g_autofree char *ipv6 = same_port(listener, "[::1]");

    connect_and_check(listener, empty);
    connect_and_check(listener, ipv4);
    if (machine_has_ipv6()) {
        connect_and_check(listener, ipv6);
    }
    io_listener_free(listener);
}

static void test_tcp_host_name(void)
{
    IoListener *listener = listen_at("tcp:localhost:0");
    g_autofree char *name = same_port(listener, "localhost");

    connect_and_check(listener, io_listener_address(listener));
    connect_and_check(listener, name);
    io_listener_free(listener);
}

/* With a port that was given, every address of the name is served. */
static void test_tcp_all_addresses(void)
{
    IoListener *listener = listen_at("tcp:127.0.0.1:0");
    g_autofree char *name = same_port(listener, "localhost");
    g_autofree char *ipv4 = same_port(listener, "127.0.0.1");
    g_autofree char *ipv6 = same_port(listener, "[::1]");

    io_listener_free(listener);
    listener = listen_at(name);
    connect_and_check(listener, ipv4);
    if (machine_has_ipv6()) {
        connect_and_check(listener, ipv6);
    }
    io_listener_free(listener);
}

static void test_tcp_port_again(void)
{
    IoListener *listener = listen_at("tcp:127.0.0.1:0");
    g_autofree char *address = g_strdup(io_listener_address(listener));

    /* The side that closes first is left in TIME_WAIT: the listener's. */
    IoChannel *sender = connect_to(address);
    io_channel_free(accept_from(listener));
    assert_reads(sender, "");
    io_channel_free(sender);
    io_listener_free(listener);

    io_listener_free(listen_at(address));
}

static void test_tcp_port_in_use(void)
{
    IoListener *listener = listen_at("tcp:127.0.0.1:0");

    assert_fails_to_listen(io_listener_address(listener), "in use");
    io_listener_free(listener);

    listener = listen_at("tcp::0");
    assert_fails_to_listen(io_listener_address(listener), "in use");
    io_listener_free(listener);
}

static void test_tcp_refused(void)
{
    IoListener *listener = listen_at("tcp:127.0.0.1:0");
    g_autofree char *address = g_strdup(io_listener_address(listener));

    io_listener_free(listener);
    assert_fails_to_connect(address, "refused");
}

static void test_tcp_port_zero(void)
{
    assert_fails_to_connect("tcp:127.0.0.1:0", "port 0");
}

static void test_tcp_no_such_address(void)
{
    /* 192.0.2.0/24 is nobody's (RFC 5737). */
    assert_fails_to_listen("tcp:192.0.2.1:0", "assign requested address");
}

/* The channels' own sockets, found among the process's descriptors. */
static void test_tcp_options(void)
{
    IoListener *listener = listen_at("tcp:127.0.0.1:0");
    IoChannel *sender = connect_to(io_listener_address(listener));
    IoChannel *receiver = accept_from(listener);
    int connected = 0;

    for (int fd = 0; fd < 256; fd++) {
        int no_delay = 0, keep_alive = 0, listening = 0;
        int idle = 0, interval = 0, count = 0, unacknowledged = 0;
        socklen_t size = sizeof(int);

        if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size) < 0) {
            continue;
        }
        getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keep_alive, &size);
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
        connected += !listening;
        g_assert_true(listening || (no_delay && keep_alive));
        getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &size);
        getsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, &size);
        getsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, &size);
        getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, &size);
        /* A peer that is gone is found to be so within a minute. */
        g_assert_true(listening || idle + count * interval <= 60);
        /* A peer that only does not read is not taken for gone. */
        g_assert_cmpint(unacknowledged, ==, 0);
    }
    g_assert_cmpint(connected, ==, 2);
    io_channel_free(sender);
    io_channel_free(receiver);
    io_listener_free(listener);
}

/* --- unix ---- */

static void test_unix_transfer(void)
{
    IoListener *listener = listen_at("unix:socket");

    g_assert_cmpstr(io_listener_address(listener), ==, "unix:socket");
    connect_and_check(listener, "unix:socket");
    io_listener_free(listener);
    g_assert_false(g_file_test("socket", G_FILE_TEST_EXISTS));
}

static void test_unix_mode(void)
{
    mode_t old = umask(0);
    IoListener *listener = listen_at("unix:socket");
    struct stat st;

    umask(old);
    g_assert_cmpint(stat("socket", &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, 0600);
    io_listener_free(listener);
}

/* What a process that was killed leaves behind. */
static void leave_socket(const char *path, int type)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof(address)),
                    ==, 0);
    g_assert_cmpint(close(fd), ==, 0);
}

static void test_unix_left_behind(void)
{
    const int types[] = { SOCK_STREAM, SOCK_DGRAM };

    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        IoListener *listener;

        leave_socket("socket", types[i]);
        listener = listen_at("unix:socket");
        connect_and_check(listener, "unix:socket");
        io_listener_free(listener);
    }
}

/* A process that has the socket keeps it, and does not hear of the attempt. */
static void test_unix_in_use(void)
{
    IoListener *listener = listen_at("unix:socket");
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr_un address = { AF_UNIX, "datagrams" };

    assert_fails_to_listen("unix:socket", "another process has this socket");
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof(address)),
                    ==, 0);
    assert_fails_to_listen("unix:datagrams",
                           "another process has this socket");
    close(fd);
    /* The first one to come is the one that we send. */
    connect_and_check(listener, "unix:socket");
    io_listener_free(listener);
}

/* Nobody but root and its owner can tell whether it is in use. */
static void test_unix_of_another_user(void)
{
    bool is_root = geteuid() == 0;

    leave_socket("socket", SOCK_STREAM);
    g_assert_cmpint(chmod("socket", 0), ==, 0);
    if (is_root) {
        g_assert_cmpint(chmod(".", 0755), ==, 0);
        g_assert_cmpint(seteuid(65534), ==, 0);
    }
    assert_fails_to_listen("unix:socket", "cannot be told");
    if (is_root) {
        g_assert_cmpint(seteuid(0), ==, 0);
    }
    g_assert_cmpint(unlink("socket"), ==, 0);
}

/* A listener's free must not take away the socket of one that came later. */
static void test_unix_replaced(void)
{
    IoListener *first = listen_at("unix:socket");
    IoListener *second;

    g_assert_cmpint(unlink("socket"), ==, 0);
    second = listen_at("unix:socket");
    io_listener_free(first);
    connect_and_check(second, "unix:socket");
    io_listener_free(second);
}

static void test_unix_not_a_socket(void)
{
    g_assert_true(g_file_set_contents("file", "data", -1, NULL));
    assert_fails_to_listen("unix:file", "exists and is not a socket");
    assert_contents("file", "data");
    g_assert_cmpint(symlink("file", "link"), ==, 0);
    assert_fails_to_listen("unix:link", "exists and is not a socket");
}

static void test_unix_path_length(void)
{
    g_autofree char *fits = g_strnfill(107, 'x');
    g_autofree char *long_uri = g_strdup_printf("unix:%sx", fits);
    g_autofree char *fitting_uri = g_strdup_printf("unix:%s", fits);

    assert_fails_to_listen(long_uri, "has 108 bytes, a socket's at most 107");
    assert_fails_to_connect(long_uri, "has 108 bytes, a socket's at most 107");
    io_listener_free(listen_at(fitting_uri));
}

static void test_unix_missing(void)
{
    assert_fails_to_connect("unix:socket", "No such file");
    assert_fails_to_listen("unix:nowhere/socket", "No such file");
}

/* --- channels as such ---- */


static void test_pair_transfer(void)
{
    IoChannel *ends[2];

    make_pair(ends);
    check_two_way(ends[0], ends[1]);
}

/* Neither end of file nor a full buffer: what is there is what one gets. */
static void test_read_is_partial(void)
{
    g_autoptr(GError) err = NULL;
    IoChannel *ends[2];
    char buf[16];
    size_t nread = 0;

    make_pair(ends);
    write_text(ends[0], "some");
    g_assert_true(io_channel_read(ends[1], buf, sizeof(buf), &nread, &err));
    g_assert_cmpmem(buf, nread, "some", 4);
    io_channel_free(ends[0]);
    g_assert_true(io_channel_read(ends[1], buf, sizeof(buf), &nread, &err));
    g_assert_cmpuint(nread, ==, 0);
    io_channel_free(ends[1]);
}

static void *cancel_main(void *cancel)
{
    g_cancellable_cancel(cancel);
    return NULL;
}

/* It shows before the bytes in front of it are read. */
static void test_hung_up(void)
{
    IoChannel *ends[2];
    char byte;
    size_t n;

    make_pair(ends);
    write_text(ends[0], "x");
    g_assert_false(io_kind_has_hung_up(ends[1]));
    g_assert_true(io_channel_finish(ends[0], NULL));
    g_assert_true(io_kind_has_hung_up(ends[1]));
    g_assert_true(io_channel_read(ends[1], &byte, 1, &n, NULL));
    g_assert_cmpuint(n, ==, 1);
    io_channel_free(ends[0]);
    io_channel_free(ends[1]);
}

static void test_wait_input(void)
{
    g_autoptr(GCancellable) cancel = g_cancellable_new();
    GThread *thread;
    IoChannel *ends[2];
    char byte;
    size_t n;

    make_pair(ends);
    g_assert_false(io_channel_wait_input(ends[1], 1, NULL));
    thread = g_thread_new("cancel", cancel_main, cancel);
    g_assert_false(io_channel_wait_input(ends[1], -1, cancel));
    g_thread_join(thread);
    write_text(ends[0], "x");
    g_assert_true(io_channel_wait_input(ends[1], -1, NULL));
    g_assert_true(io_channel_read(ends[1], &byte, 1, &n, NULL));
    io_channel_free(ends[0]);
    g_assert_true(io_channel_wait_input(ends[1], -1, NULL)); /* the end */
    io_channel_free(ends[1]);
    make_pair(ends);
    io_channel_abort(ends[1]);
    g_assert_true(io_channel_wait_input(ends[1], -1, NULL));
    io_channel_free(ends[0]);
    io_channel_free(ends[1]);
}

static void test_write_nothing(void)
{
    g_autoptr(GError) err = NULL;
    IoChannel *ends[2];

    make_pair(ends);
    g_assert_true(io_channel_writev(ends[0], NULL, 0, &err));
    g_assert_true(write_bytes(ends[0], "", 0, &err));
    finish(ends[0]);
    assert_reads(ends[1], "");
    io_channel_free(ends[0]);
    io_channel_free(ends[1]);
}

static void check_finished(IoChannel *channel)
{
    g_autoptr(GError) err = NULL;

    finish(channel);
    finish(channel);
    g_assert_false(write_bytes(channel, "x", 1, &err));
    g_assert_true(g_error_matches(err, G_IO_ERROR, G_IO_ERROR_CLOSED) ||
                  g_error_matches(err, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE));
    io_channel_free(channel);
}

static void test_finished(void)
{
    IoChannel *ends[2];

    make_pair(ends);
    check_finished(ends[0]);
    io_channel_free(ends[1]);
    check_finished(connect_to("file:file"));
    if (io_exec_is_built_in(NULL)) {
        check_finished(connect_to("exec:cat"));
    }
}

static void test_own_streams(void)
{
    g_autoptr(GInputStream) in = g_memory_input_stream_new_from_data("text", 4,
                                                                     NULL);
    g_autoptr(GOutputStream) out = g_memory_output_stream_new_resizable();
    IoChannel *channel = io_channel_new("mine", in, out);

    g_assert_cmpstr(io_channel_name(channel), ==, "mine");
    g_assert_true(io_channel_is_two_way(channel));
    assert_reads(channel, "text");
    write_text(channel, "answer");
    finish(channel);
    g_assert_cmpmem(
        g_memory_output_stream_get_data(G_MEMORY_OUTPUT_STREAM(out)),
        g_memory_output_stream_get_data_size(G_MEMORY_OUTPUT_STREAM(out)),
        "answer", 6);
    io_channel_free(channel);
    g_assert_true(g_input_stream_is_closed(in));
}

static void test_missing_side(void)
{
    IoChannel *channel = io_channel_new("mine", NULL, NULL);
    g_autoptr(GError) read_err = NULL;
    g_autoptr(GError) write_err = NULL;
    size_t nread;
    char buf[1];

    g_assert_false(io_channel_read(channel, buf, 1, &nread, &read_err));
    g_assert_cmpstr(read_err->message, ==, "mine: can only be written to");
    g_assert_false(write_bytes(channel, "x", 1, &write_err));
    g_assert_cmpstr(write_err->message, ==, "mine: can only be read from");
    finish(channel);
    io_channel_free(channel);
}

static void test_null_is_fine(void)
{
    io_channel_free(NULL);
    io_listener_free(NULL);
}

static unsigned count_inheritable_fds(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);

        count += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return count;
}

static void test_close_on_exec(void)
{
    bool has_exec = io_exec_is_built_in(NULL);
    unsigned before = count_inheritable_fds();
    g_autofree char *uri = fd_uri(open("/dev/null", O_WRONLY));
    IoListener *unix_listener = listen_at("unix:socket");
    IoListener *listener = listen_at("tcp::0");
    g_autofree char *address = same_port(listener, "127.0.0.1");
    IoChannel *channels[] = {
        connect_to(address),
        accept_from(listener),
        connect_to("unix:socket"),
        accept_from(unix_listener),
        has_exec ? connect_to("exec:cat") : NULL,
        has_exec ? open_reader("exec:cat") : NULL,
        connect_to("file:file"),
        open_reader("file:file"),
        connect_to(uri),
        NULL,
        NULL,
    };

    make_pair(channels + 9);
    g_assert_cmpuint(count_inheritable_fds(), ==, before);
    for (size_t i = 0; i < G_N_ELEMENTS(channels); i++) {
        io_channel_free(channels[i]);
    }
    io_listener_free(listener);
    io_listener_free(unix_listener);
}

static const ChannelTest tests[] = {
    { "tcp/ipv4", test_tcp_ipv4 },
    { "tcp/ipv6", test_tcp_ipv6 },
    { "tcp/any-address", test_tcp_any_address },
    { "tcp/host-name", test_tcp_host_name },
    { "tcp/all-addresses", test_tcp_all_addresses },
    { "tcp/port-again", test_tcp_port_again },
    { "tcp/port-in-use", test_tcp_port_in_use },
    { "tcp/refused", test_tcp_refused },
    { "tcp/port-zero", test_tcp_port_zero },
    { "tcp/no-such-address", test_tcp_no_such_address },
    { "tcp/options", test_tcp_options },
    { "unix/transfer", test_unix_transfer },
    { "unix/mode", test_unix_mode },
    { "unix/left-behind", test_unix_left_behind },
    { "unix/in-use", test_unix_in_use },
    { "unix/of-another-user", test_unix_of_another_user },
    { "unix/replaced", test_unix_replaced },
    { "unix/not-a-socket", test_unix_not_a_socket },
    { "unix/path-length", test_unix_path_length },
    { "unix/missing", test_unix_missing },
    { "pair/transfer", test_pair_transfer },
    { "read-is-partial", test_read_is_partial },
    { "hung-up", test_hung_up },
    { "wait-input", test_wait_input },
    { "write-nothing", test_write_nothing },
    { "finished", test_finished },
    { "own-streams", test_own_streams },
    { "missing-side", test_missing_side },
    { "null-is-fine", test_null_is_fine },
    { "close-on-exec", test_close_on_exec },
};

int main(int argc, char **argv)
{
    return run_channel_tests(argc, argv, tests, G_N_ELEMENTS(tests));
}
