/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sending side of a URI.  Only tcp and unix have to wait.
 */
#include "io/io-internal.h"

static IoChannel *open_fd(int fd, const char *name, GError **errp)
{
    return io_fd_prepare(fd, IO_TO_WRITE, errp)
               ? io_fd_open(fd, name, IO_TO_WRITE, errp)
               : NULL;
}

static IoChannel *open_file(const IoUri *uri, const char *name, GError **errp)
{
    int fd = io_file_open(uri, IO_TO_WRITE, errp);

    return fd >= 0 ? io_fd_take(name, fd, IO_TO_WRITE) : NULL;
}

static IoChannel *open_by_kind(const IoUri *uri, const char *name,
                               GCancellable *cancel, GError **errp)
{
    switch (uri->kind) {
    case IO_URI_TCP:
    case IO_URI_UNIX:
        return io_socket_connect(uri, name, cancel, errp);
    case IO_URI_FD:
        return open_fd(uri->fd, name, errp);
    case IO_URI_EXEC:
        return io_exec_open(uri, IO_TO_WRITE, errp);
    case IO_URI_FILE:
        return open_file(uri, name, errp);
    }
    g_assert_not_reached();
}

IoChannel *io_channel_connect(const IoUri *uri, GCancellable *cancel,
                              GError **errp)
{
    g_autofree char *name = io_uri_to_string(uri);
    IoChannel *channel = NULL;

    if (!g_cancellable_set_error_if_cancelled(cancel, errp)) {
        channel = open_by_kind(uri, name, cancel, errp);
    }
    if (!channel) {
        g_prefix_error(errp, "%s: ", name);
    }
    return channel;
}

IoChannel *io_channel_connect_two_way(const IoUri *uri, GCancellable *cancel,
                                      GError **errp)
{
    return uri->kind == IO_URI_EXEC ? io_exec_open_two_way(uri, errp)
                                    : io_channel_connect(uri, cancel, errp);
}
