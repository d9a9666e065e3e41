/* SPDX-License-Identifier: GPL-2.0-or-later */
/* io_channel_queued(), io_channel_round_trip(), and how much waits unsent. */
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>

#include "channel-kit.h"
#include "io/tcp-queue.h"

#define MS     INT64_C(1000000)
#define BOUND  65536
#define PIECE  65536 /* that the system takes without another look */

static void test_bound(void)
{
    static const struct {
        uint64_t rate;
        unsigned bound;
    } rows[] = {
        { 0, BOUND },
        { 1, 16384 },
        { 125000, 16384 },         /* 1 Mbit/s */
        { 2500000, 25000 },        /* 20 Mbit/s */
        { 6550000, 65500 },        /* thin, just so */
        { 6553600, BOUND },        /* 64 KiB in 10 ms */
        { 13107200, BOUND },       /* 64 KiB in 5 ms */
        { 13200000, 66000 },
        { 125000000, 625000 },     /* 1 Gbit/s */
        { 1250000000, 6250000 },   /* 10 Gbit/s */
        { UINT64_MAX, 64 << 20 },  /* what no link does */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_assert_cmpuint(tcp_queue_bound(rows[i].rate), ==, rows[i].bound);
    }
}

static void test_thin(void)
{
    const TcpQueue thin = { .fd = 0, .bound = 65535 };
    const TcpQueue wide = { .fd = 0, .bound = 65536 };
    const TcpQueue none = { .fd = -1, .bound = 16384 };

    g_assert_true(tcp_queue_is_thin(&thin));
    g_assert_false(tcp_queue_is_thin(&wide));
    g_assert_false(tcp_queue_is_thin(&none));
}

static void *write_main(void *opaque)
{
    g_autofree uint8_t *bulk = make_bulk();

    write_bulk(opaque, bulk);
    return NULL;
}

static int fd_of(IoChannel *channel)
{
    return g_socket_get_fd(
        g_socket_connection_get_socket(io_connection_of(channel)));
}

static int asked(int fd, unsigned long what)
{
    int bytes = -1;

    g_assert_cmpint(ioctl(fd, what, &bytes), ==, 0);
    return bytes;
}

/* The system takes no more now, and has something that is not sent. */
static bool is_stuck(int fd)
{
    struct pollfd writable = { fd, POLLOUT, 0 };

    return asked(fd, SIOCOUTQNSD) > 0 && poll(&writable, 1, 0) == 0;
}

static void free_both(IoChannel *a, IoChannel *b)
{
    io_channel_free(a);
    io_channel_free(b);
}

/* The peer reads nothing, so that all that it has room for is sent. */
static void check_stuck(IoChannel *from, IoChannel *to)
{
    g_autoptr(GByteArray) got = NULL;
    int fd = fd_of(from);
    pthread_t thread;

    g_assert_cmpuint(io_channel_queued(from), ==, 0);
    pthread_create(&thread, NULL, write_main, from);
    while (!is_stuck(fd)) {
        sched_yield();
    }
    g_assert_cmpint(asked(fd, SIOCOUTQNSD), <=, BOUND + PIECE);
    g_assert_cmpuint(io_channel_queued(from), >=, asked(fd, SIOCOUTQNSD));
    g_assert_cmpuint(io_channel_queued(to), ==, 0);

    got = read_all(to);
    pthread_join(thread, NULL);
    g_assert_cmpuint(got->len, ==, BULK_SIZE);
    while (io_channel_queued(from)) {
        sched_yield(); /* its end is acknowledged soon */
    }
}

static void test_unsent(void)
{
    IoListener *listener = listen_at("tcp:127.0.0.1:0");
    IoChannel *from = connect_to(io_listener_address(listener));
    IoChannel *to = accept_from(listener);

    check_stuck(from, to);
    g_assert_cmpint(io_channel_round_trip(from), >, 0);
    g_assert_cmpint(io_channel_round_trip(from), <, 1000 * MS);
    free_both(from, to);

    /* The end that accepts is no different. */
    to = connect_to(io_listener_address(listener));
    from = accept_from(listener);
    check_stuck(from, to);
    free_both(from, to);
    io_listener_free(listener);
}

static void test_not_tcp(void)
{
    IoChannel *ends[2];

    make_pair(ends);
    write_text(ends[0], "unread");
    g_assert_cmpuint(io_channel_queued(ends[0]), ==, 0);
    g_assert_cmpint(io_channel_round_trip(ends[0]), ==, 0);
    free_both(ends[0], ends[1]);
}

static const ChannelTest tests[] = {
    { "queue/bound", test_bound },
    { "queue/thin", test_thin },
    { "queue/unsent", test_unsent },
    { "queue/not-tcp", test_not_tcp },
};

int main(int argc, char **argv)
{
    return run_channel_tests(argc, argv, tests, G_N_ELEMENTS(tests));
}
