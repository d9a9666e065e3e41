/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The receiving side of a URI.  As much as possible is opened before the peer
 * comes, so that mistakes show when the program starts and not when the
 * migration does.
 */
#include <gio/gunixsocketaddress.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/io-internal.h"

struct IoListener {
    IoUri *uri;               /* with the address that was bound */
    char *address;            /* uri as text */
    GPtrArray *sockets;       /* tcp, unix: GSockets; otherwise NULL */
    int fd;                   /* fd: until it is handed on; otherwise -1 */
    dev_t socket_dev;         /* unix: the file that bind made */
    ino_t socket_ino;
};

/* Put the address and port that were bound in place of those asked for. */
static void take_inet_address(IoUri *uri, GInetSocketAddress *bound)
{
    g_free(uri->host);
    uri->host = g_inet_address_to_string(
        g_inet_socket_address_get_address(bound));
    uri->port = g_inet_socket_address_get_port(bound);
}

static void close_socket(void *socket)
{
    g_socket_close(socket, NULL);
    g_object_unref(socket);
}

static bool listen_on_sockets(IoListener *listener, GError **errp)
{
    g_autoptr(GSocketAddress) bound = NULL;
    struct stat st;

    listener->sockets = g_ptr_array_new_with_free_func(close_socket);
    bound = io_socket_listen(listener->sockets, listener->uri, errp);
    if (!bound) {
        return false;
    }
    if (listener->uri->kind == IO_URI_TCP) {
        take_inet_address(listener->uri, G_INET_SOCKET_ADDRESS(bound));
    } else if (lstat(listener->uri->path, &st) == 0) {
        listener->socket_dev = st.st_dev;
        listener->socket_ino = st.st_ino;
    }
    return true;
}

static bool take_fd(IoListener *listener, GError **errp)
{
    if (!io_fd_prepare(listener->uri->fd, IO_TO_READ, errp)) {
        return false;
    }
    listener->fd = listener->uri->fd;
    return true;
}

static bool check_file(const IoUri *uri, GError **errp)
{
    int fd = io_file_open(uri, IO_TO_READ, errp);

    return fd >= 0 && close(fd) == 0;
}

static bool prepare(IoListener *listener, GError **errp)
{
    switch (listener->uri->kind) {
    case IO_URI_TCP:
    case IO_URI_UNIX:
        return listen_on_sockets(listener, errp);
    case IO_URI_FD:
        return take_fd(listener, errp);
    case IO_URI_EXEC:
        return true;
    case IO_URI_FILE:
        return check_file(listener->uri, errp);
    }
    g_assert_not_reached();
}

IoListener *io_listener_new(const IoUri *uri, GError **errp)
{
    IoListener *listener = g_new0(IoListener, 1);

    listener->uri = io_uri_copy(uri);
    listener->fd = -1;
    if (!prepare(listener, errp)) {
        g_autofree char *text = io_uri_to_string(uri);

        g_prefix_error(errp, "%s: ", text);
        io_listener_free(listener);
        return NULL;
    }
    listener->address = io_uri_to_string(listener->uri);
    return listener;
}

static void wait_for_caller(const GPtrArray *sockets, GCancellable *cancel)
{
    g_autofree GPollFD *fds = g_new0(GPollFD, sockets->len + 1);
    bool has_cancel = g_cancellable_make_pollfd(cancel, &fds[sockets->len]);

    for (unsigned i = 0; i < sockets->len; i++) {
        fds[i].fd = g_socket_get_fd(sockets->pdata[i]);
        fds[i].events = G_IO_IN;
    }
    g_poll(fds, sockets->len + has_cancel, -1);
    if (has_cancel) {
        g_cancellable_release_fd(cancel);
    }
}

/* NULL without an error where nobody calls. */
static GSocket *take_caller(const GPtrArray *sockets, GError **errp)
{
    GSocket *caller = NULL;

    for (unsigned i = 0; !caller && i < sockets->len; i++) {
        g_autoptr(GError) err = NULL;

        caller = g_socket_accept(sockets->pdata[i], NULL, &err);
        if (err && !g_error_matches(err, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
            g_propagate_error(errp, g_steal_pointer(&err));
            return NULL;
        }
    }
    return caller;
}

/* GSocketListener would watch cancel with GLib's own source, which leaks:
 * see io_cancel_source(). */
static IoChannel *accept_socket(IoListener *listener, GCancellable *cancel,
                                GError **errp)
{
    g_autoptr(GSocket) caller = NULL;
    g_autoptr(GSocketConnection) connection = NULL;
    GError *err = NULL;

    while (!caller && !err &&
           !g_cancellable_set_error_if_cancelled(cancel, &err)) {
        wait_for_caller(listener->sockets, cancel);
        caller = take_caller(listener->sockets, &err);
    }
    if (!caller) {
        g_propagate_error(errp, err);
        return NULL;
    }
    connection = g_socket_connection_factory_create_connection(caller);
    return io_socket_channel(listener->address, connection);
}

static IoChannel *hand_on_fd(IoListener *listener, GError **errp)
{
    IoChannel *channel;

    if (listener->fd < 0) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_CLOSED,
                    "descriptor %d has already been used",
                    listener->uri->fd);
        return NULL;
    }
    channel = io_fd_open(listener->fd, listener->address, IO_TO_READ, errp);
    if (channel) {
        listener->fd = -1;
    }
    return channel;
}

static IoChannel *open_file(IoListener *listener, GError **errp)
{
    int fd = io_file_open(listener->uri, IO_TO_READ, errp);

    return fd >= 0 ? io_fd_take(listener->address, fd, IO_TO_READ) : NULL;
}

static IoChannel *accept_by_kind(IoListener *listener, GCancellable *cancel,
                                 GError **errp)
{
    switch (listener->uri->kind) {
    case IO_URI_TCP:
    case IO_URI_UNIX:
        return accept_socket(listener, cancel, errp);
    case IO_URI_FD:
        return hand_on_fd(listener, errp);
    case IO_URI_EXEC:
        return io_exec_open(listener->uri, IO_TO_READ, errp);
    case IO_URI_FILE:
        return open_file(listener, errp);
    }
    g_assert_not_reached();
}

IoChannel *io_listener_accept(IoListener *listener, GCancellable *cancel,
                              GError **errp)
{
    IoChannel *channel = NULL;

    if (!g_cancellable_set_error_if_cancelled(cancel, errp)) {
        channel = accept_by_kind(listener, cancel, errp);
    }
    if (!channel) {
        g_prefix_error(errp, "%s: ", listener->address);
    }
    return channel;
}

const char *io_listener_address(const IoListener *listener)
{
    return listener->address;
}

const IoUri *io_listener_uri(const IoListener *listener)
{
    return listener->uri;
}

GSocket *io_listener_socket(const IoListener *listener)
{
    return listener->uri->kind == IO_URI_UNIX ? listener->sockets->pdata[0]
                                              : NULL;
}

const GPtrArray *io_sockets_of(const IoListener *listener)
{
    return listener->sockets;
}

/* A file that has been replaced stays: another listener needs it. */
static void remove_socket_file(const IoListener *listener)
{
    struct stat st;

    if (lstat(listener->uri->path, &st) == 0 &&
        st.st_dev == listener->socket_dev &&
        st.st_ino == listener->socket_ino) {
        unlink(listener->uri->path);
    }
}

void io_listener_free(IoListener *listener)
{
    if (!listener) {
        return;
    }
    if (listener->uri->kind == IO_URI_UNIX) {
        remove_socket_file(listener);
    }
    g_clear_pointer(&listener->sockets, g_ptr_array_unref);
    if (listener->fd >= 0) {
        close(listener->fd);
    }
    io_uri_free(listener->uri);
    g_free(listener->address);
    g_free(listener);
}
