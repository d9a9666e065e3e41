/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channels over TLS over a socket.  To encrypt a socket's channel is to put
 * TLS's streams, and this table, in the place of its own.
 */
#include "io/io-internal.h"
#include "io/socket-channel.h"

/* In TLS 1.3 a peer refuses our certificate after the handshake (tls.c), and
 * then only hangs up.  A peer that has sent bytes has not refused it. */
static void add_hint(SocketChannel *s, GError **errp)
{
    if (!g_atomic_int_get(&s->heard) && s->base.head_size == 0) {
        g_prefix_error(errp, "nothing came after the TLS handshake, so the "
                       "peer may have refused our certificate: ");
    }
}

static bool tls_read(IoChannel *channel, void *buf, size_t size,
                     size_t *nread, GError **errp)
{
    SocketChannel *s = io_socket_of(channel);

    if (!io_kind_read(channel, buf, size, nread, errp)) {
        add_hint(s, errp);
        return false;
    }
    g_atomic_int_set(&s->heard, true);
    return true;
}

static bool tls_writev(IoChannel *channel, GOutputVector *vectors,
                       size_t count, GError **errp)
{
    if (!io_socket_writev(channel, vectors, count, errp)) {
        add_hint(io_socket_of(channel), errp);
        return false;
    }
    return true;
}

/* A peer that can tell from the stream where it ends, as QEMU can, may be gone
 * before the goodbye of TLS. */
static bool shut_down(SocketChannel *s, GError **errp)
{
    GError *err = NULL;

    if (!io_socket_shut_down(s, &err) &&
        !g_error_matches(err, G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED)) {
        g_propagate_error(errp, err);
        return false;
    }
    g_clear_error(&err);
    return true;
}

static bool tls_finish(IoChannel *channel, GError **errp)
{
    bool ok = g_output_stream_close(channel->out, channel->aborted, errp) &&
              shut_down(io_socket_of(channel), errp);

    return io_kind_named(channel, ok, errp);
}

static void tls_close(IoChannel *channel)
{
    SocketChannel *s = io_socket_of(channel);

    g_io_stream_close(G_IO_STREAM(s->tls), channel->aborted, NULL);
    g_object_unref(s->tls);
    io_socket_close(channel);
}

static const IoChannelOps tls_ops = {
    .read = tls_read,
    .writev = tls_writev,
    .finish = tls_finish,
    .queued = io_socket_queued,
    .round_trip = io_socket_round_trip,
    .close = tls_close,
};

void io_connection_set_tls(IoChannel *channel, GTlsConnection *tls)
{
    GIOStream *stream = G_IO_STREAM(tls);

    io_socket_of(channel)->tls = g_object_ref(tls);
    g_set_object(&channel->in, g_io_stream_get_input_stream(stream));
    g_set_object(&channel->out, g_io_stream_get_output_stream(stream));
    channel->ops = &tls_ops;
}

char *io_channel_tls_peer(const IoChannel *channel)
{
    GTlsCertificate *certificate;
    g_autoptr(GByteArray) bytes = NULL;

    if (!io_channel_is_encrypted(channel)) {
        return NULL;
    }
    certificate = g_tls_connection_get_peer_certificate(
        ((const SocketChannel *)channel)->tls);
    if (!certificate) {
        return NULL;
    }
    g_object_get(certificate, "certificate", &bytes, NULL);
    return g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes->data,
                                       bytes->len);
}

bool io_channel_is_encrypted(const IoChannel *channel)
{
    return channel->ops == &tls_ops;
}
