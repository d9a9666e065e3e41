/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channels over connected sockets, and what TLS uses of them.
 */
#ifndef IO_SOCKET_CHANNEL_H
#define IO_SOCKET_CHANNEL_H

#include "io/channel-kind.h"
#include "io/tcp-queue.h"

G_BEGIN_DECLS

typedef struct SocketChannel {
    IoChannel base;
    GSocketConnection *connection;
    TcpQueue queue; /* the writer's */

    /* tls-channel.c's.  If tls is set, base.in and base.out are its. */
    GTlsConnection *tls; /* over connection, or NULL */
    gint heard;          /* atomic: the peer has sent something since; the
                          * reader sets it, the writer reads it, too */
} SocketChannel;

static inline SocketChannel *io_socket_of(IoChannel *channel)
{
    return (SocketChannel *)channel;
}

bool io_socket_writev(IoChannel *channel, GOutputVector *vectors, size_t count,
                      GError **errp);
uint64_t io_socket_queued(IoChannel *channel);
int64_t io_socket_round_trip(IoChannel *channel);
/* Half-close; the error does not name the channel. */
bool io_socket_shut_down(SocketChannel *s, GError **errp);
void io_socket_close(IoChannel *channel);

G_END_DECLS

#endif
