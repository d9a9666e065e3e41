/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reaching the other end, and encrypting the channel to it.
 */
#include "migration/internal.h"

#include <unistd.h>

/* The name that the destination's certificate must have, or NULL. */
static const char *destination_name(const Migration *m)
{
    const char *name = mig_options_string(&m->options, MIG_OPT_TLS_HOSTNAME);
    const IoUri *uri = m->peer.uri;

    if (name[0]) {
        return name;
    }
    if (!uri || uri->kind != IO_URI_TCP) {
        return NULL;
    }
    return uri->host[0] ? uri->host : "localhost";
}

static const char *tls_creds(const Migration *m)
{
    return mig_options_string(&m->options, MIG_OPT_TLS_CREDS);
}

static char *copy_tls_creds(void *opaque)
{
    return g_strdup(tls_creds(opaque));
}

/* Is the channel to come from something that is no socket? */
static bool is_one_way(const Migration *m)
{
    const IoUri *uri = m->peer.listener ? io_listener_uri(m->peer.listener)
                                        : m->peer.uri;

    return uri && (uri->kind == IO_URI_EXEC || uri->kind == IO_URI_FILE);
}

/* Looked at before there is a connection: the peer may be waiting for just one,
 * which a fault on this side must not use up. */
static bool can_encrypt(Migration *m, GError **errp)
{
    if (!tls_creds(m)[0]) {
        return true;
    }
    if (!io_channel_tls_check(tls_creds(m), m->peer.incoming, errp)) {
        return false;
    }
    if (is_one_way(m)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "tls-creds is set, and only sockets can be encrypted");
        return false;
    }
    if (!m->peer.incoming && !destination_name(m)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "tls-creds is set, and nothing says whom the "
                    "destination's certificate must be for: set tls-hostname");
        return false;
    }
    return true;
}

static bool encrypt(Migration *m, IoChannel *channel, GError **errp)
{
    if (!tls_creds(m)[0] || io_channel_is_encrypted(channel)) {
        return true;
    }
    return m->peer.incoming
               ? io_channel_tls_accept(channel, tls_creds(m), errp)
               : io_channel_tls_connect(channel, tls_creds(m),
                                        destination_name(m), errp);
}

static IoChannel *reach_peer(Migration *m, GError **errp)
{
    Peer *peer = &m->peer;
    IoChannel *channel = peer->channel;

    if (!can_encrypt(m, errp)) {
        return NULL;
    }
    if (peer->listener) {
        channel = mig_accept(peer->listener, copy_tls_creds, m, m->connecting,
                             errp);
        /* Whoever connects next must not be left waiting. */
        io_listener_free(g_steal_pointer(&peer->listener));
    } else if (peer->uri) {
        channel = io_channel_connect(peer->uri, m->connecting, errp);
        if (channel) {
            peer->uri->fd = -1; /* an fd: URI's is the channel's */
        }
    }
    return channel;
}

IoChannel *migration_open_channel(Migration *m, GError **errp)
{
    IoChannel *channel = reach_peer(m, errp);
    bool cancelled;

    if (!channel) {
        return NULL;
    }
    pthread_mutex_lock(&m->lock);
    m->peer.channel = channel;
    cancelled = m->cancelled;
    pthread_mutex_unlock(&m->lock);

    if (cancelled) {
        migration_cancelled_error(errp);
        return NULL;
    }
    return encrypt(m, channel, errp) ? channel : NULL;
}

/* The descriptor of an fd: URI that no channel was made of.  Whoever has the
 * other end may be waiting for us. */
static void close_unused_fd(IoUri *uri)
{
    if (uri && uri->kind == IO_URI_FD && uri->fd > STDERR_FILENO) {
        close(uri->fd);
        uri->fd = -1;
    }
}

void migration_close_channel(Migration *m)
{
    IoChannel *channel;

    pthread_mutex_lock(&m->lock);
    channel = g_steal_pointer(&m->peer.channel);
    pthread_mutex_unlock(&m->lock);
    io_channel_free(channel);
    close_unused_fd(m->peer.uri);
}

void peer_clear(Peer *peer)
{
    io_channel_free(peer->channel);
    io_listener_free(peer->listener);
    io_uri_free(peer->uri);
    *peer = (Peer){ 0 };
}
