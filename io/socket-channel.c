/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channels over connected sockets.  GIO tries the system call first and polls
 * only when that would block, so a write that fits is one sendmsg() of all
 * vectors (at most 1024, the kernel's limit), a read one recv().
 *
 * A migration is many large writes and a few short messages that the other end
 * waits for, so Nagle's algorithm is off.  Keep-alive is on, because a side
 * that only reads would never learn that its peer is gone.  It finds out in a
 * minute, where the system's own default is two hours.
 *
 * The system does not ask a peer that has not acknowledged what was written to
 * it.  Then its own limit of a quarter of an hour holds: TCP_USER_TIMEOUT would
 * also cut off a peer that is well but reads nothing, such as one that is
 * swapping.  Only where this end writes so little that the peer's system always
 * has room for it, that cannot be, and a minute is enough there too.
 */
#include "io/socket-channel.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "io/io-internal.h"
#include "util/fail.h"

#define SILENT_FOR 30 /* seconds of silence before the peer's system is asked */
#define ASK_EVERY  10 /* seconds */
#define ASK_TIMES  3
#define GONE_AFTER (SILENT_FOR + ASK_TIMES * ASK_EVERY)

/* On a thin link, wait until most of the earlier bytes have been sent. */
static bool wait_for_queue(SocketChannel *s, GError **errp)
{
    return !tcp_queue_is_thin(&s->queue) ||
           g_socket_condition_wait(
               g_socket_connection_get_socket(s->connection), G_IO_OUT,
               s->base.aborted, errp);
}

bool io_socket_writev(IoChannel *channel, GOutputVector *vectors, size_t count,
                      GError **errp)
{
    SocketChannel *s = io_socket_of(channel);

    if (!wait_for_queue(s, errp) ||
        !g_output_stream_writev_all(channel->out, vectors, count, NULL,
                                    channel->aborted, errp)) {
        return false;
    }
    tcp_queue_wrote(&s->queue);
    return true;
}

uint64_t io_socket_queued(IoChannel *channel)
{
    return tcp_queue_bytes(&io_socket_of(channel)->queue);
}

int64_t io_socket_round_trip(IoChannel *channel)
{
    return tcp_queue_round_trip(&io_socket_of(channel)->queue);
}

bool io_socket_shut_down(SocketChannel *s, GError **errp)
{
    return g_socket_shutdown(g_socket_connection_get_socket(s->connection),
                             FALSE, TRUE, errp);
}

static bool socket_finish(IoChannel *channel, GError **errp)
{
    return io_kind_named(
        channel, io_socket_shut_down(io_socket_of(channel), errp), errp);
}

void io_socket_close(IoChannel *channel)
{
    SocketChannel *s = io_socket_of(channel);

    g_io_stream_close(G_IO_STREAM(s->connection), channel->aborted, NULL);
    g_object_unref(s->connection);
}

static const IoChannelOps socket_ops = {
    .read = io_kind_read,
    .writev = io_socket_writev,
    .finish = socket_finish,
    .queued = io_socket_queued,
    .round_trip = io_socket_round_trip,
    .close = io_socket_close,
};

GSocketConnection *io_connection_of(IoChannel *channel)
{
    return channel->ops == &socket_ops ? io_socket_of(channel)->connection
                                       : NULL;
}

static void set_tcp_options(GSocket *socket)
{
    g_socket_set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, SILENT_FOR, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, ASK_EVERY, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, ASK_TIMES, NULL);
    g_socket_set_keepalive(socket, TRUE);
}

IoChannel *io_socket_channel(const char *name, GSocketConnection *connection)
{
    SocketChannel *s = g_new0(SocketChannel, 1);
    GSocket *socket = g_socket_connection_get_socket(connection);
    bool is_tcp = g_socket_get_family(socket) != G_SOCKET_FAMILY_UNIX;
    GIOStream *stream = G_IO_STREAM(connection);

    io_kind_init(&s->base, &socket_ops, name,
                 g_io_stream_get_input_stream(stream),
                 g_io_stream_get_output_stream(stream));
    s->connection = g_object_ref(connection);
    if (is_tcp) {
        set_tcp_options(socket);
    }
    tcp_queue_init(&s->queue, is_tcp ? g_socket_get_fd(socket) : -1);
    return &s->base;
}

void io_socket_writes_little(IoChannel *channel)
{
    GSocketConnection *connection = io_connection_of(channel);
    GSocket *socket = g_socket_connection_get_socket(connection);

    if (g_socket_get_family(socket) != G_SOCKET_FAMILY_UNIX) {
        g_socket_set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT,
                            GONE_AFTER * 1000, NULL);
    }
}

IoChannel *io_socket_take(const char *name, int fd, GError **errp)
{
    g_autoptr(GSocketConnection) connection = NULL;
    g_autoptr(GSocket) socket = NULL;
    int listening = 0;
    socklen_t length = sizeof(listening);

    /* Otherwise it would fail at the first read, with a puzzling message. */
    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length);
    if (listening) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED,
                    "descriptor %d is a listening socket", fd);
        return NULL;
    }
    socket = g_socket_new_from_fd(fd, errp);
    if (!socket) {
        return NULL;
    }
    connection = g_socket_connection_factory_create_connection(socket);
    return io_socket_channel(name, connection);
}

bool io_channel_pair(IoChannel *ends[2], GError **errp)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
        return fail_errno(errp, "cannot make a socket pair");
    }
    for (int i = 0; i < 2; i++) {
        ends[i] = io_socket_take(i ? "pair:1" : "pair:0", fds[i], NULL);
        g_assert(ends[i]);
    }
    return true;
}
