/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcp and unix, up to the connection.  Sockets, name look-ups and waiting are
 * GIO's; this file decides what GIO leaves open.  A host name may have several
 * addresses.  Connecting tries one after the other; listening takes them all,
 * so that a peer reaches us whichever it tries first.  The empty host is one
 * IPv6 socket that takes IPv4 too, or an IPv4 socket where there is no IPv6.
 */
#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/io-internal.h"
#include "util/clock.h"

/* How often, and for how long, to knock where the queue is full. */
#define RETRY_MS 10
#define ROOM_NS  (30 * NS_PER_S)

static GSocketAddress *unix_address(const char *path, GError **errp)
{
    size_t limit = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

    if (strlen(path) > limit) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_FILENAME_TOO_LONG,
                    "the path has %zu bytes, a socket's at most %zu",
                    strlen(path), limit);
        return NULL;
    }
    return g_unix_socket_address_new(path);
}

static GSocketConnectable *connect_target(const IoUri *uri, GError **errp)
{
    if (uri->kind == IO_URI_UNIX) {
        return G_SOCKET_CONNECTABLE(unix_address(uri->path, errp));
    }
    if (uri->port == 0) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                    "cannot connect to port 0");
        return NULL;
    }
    return uri->host[0] ? g_network_address_new(uri->host, uri->port)
                        : g_network_address_new_loopback(uri->port);
}

/* Wait a little, or until `cancel`.  False when it was long enough. */
static bool wait_for_room(GCancellable *cancel, int64_t until)
{
    GPollFD fd;
    bool has_fd = g_cancellable_make_pollfd(cancel, &fd);

    g_poll(&fd, has_fd ? 1 : 0, RETRY_MS);
    if (has_fd) {
        g_cancellable_release_fd(cancel);
    }
    return clock_now(&clock_monotonic) < until;
}

/* A unix socket whose queue is full refuses who would not wait, as GIO does
 * not: a QEMU's queue is short, and several connections of multifd's come at
 * once. */
static GSocketConnection *connect_patiently(GSocketClient *client,
                                            GSocketConnectable *target,
                                            GCancellable *cancel,
                                            GError **errp)
{
    int64_t until = clock_now(&clock_monotonic) + ROOM_NS;

    for (;;) {
        GError *err = NULL;
        GSocketConnection *connection =
            g_socket_client_connect(client, target, cancel, &err);

        if (connection) {
            return connection;
        }
        if (!G_IS_UNIX_SOCKET_ADDRESS(target) ||
            !g_error_matches(err, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK) ||
            !wait_for_room(cancel, until)) {
            g_propagate_error(errp, err);
            return NULL;
        }
        g_error_free(err);
        if (g_cancellable_set_error_if_cancelled(cancel, errp)) {
            return NULL;
        }
    }
}

IoChannel *io_socket_connect(const IoUri *uri, const char *name,
                             GCancellable *cancel, GError **errp)
{
    g_autoptr(GSocketConnectable) target = connect_target(uri, errp);
    g_autoptr(GSocketClient) client = NULL;
    g_autoptr(GSocketConnection) connection = NULL;

    if (!target) {
        return NULL;
    }
    client = g_socket_client_new();
    /* Proxies are for web browsers. */
    g_socket_client_set_enable_proxy(client, FALSE);
    connection = connect_patiently(client, target, cancel, errp);
    return connection ? io_socket_channel(name, connection) : NULL;
}

static GSocket *bind_and_listen(GSocketAddress *address, GError **errp)
{
    GSocketFamily family = g_socket_address_get_family(address);
    g_autoptr(GSocket) socket = g_socket_new(family, G_SOCKET_TYPE_STREAM,
                                             G_SOCKET_PROTOCOL_DEFAULT, errp);

    if (!socket) {
        return NULL;
    }
    /* A peer that calls may be gone again when it is accepted. */
    g_socket_set_blocking(socket, FALSE);
    if (family == G_SOCKET_FAMILY_IPV6) {
        g_socket_set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0, NULL);
    }
    if (family == G_SOCKET_FAMILY_UNIX) {
        /* Linux gives the file this mode, less the umask, as it makes it. */
        fchmod(g_socket_get_fd(socket), 0600);
    }
    /* A crowd of strangers must not fill the backlog: a peer that finds it full
     * waits for a second (tcp), or is refused (unix). */
    g_socket_set_listen_backlog(socket, SOMAXCONN);
    if (!g_socket_bind(socket, address, TRUE, errp) ||
        !g_socket_listen(socket, errp)) {
        return NULL;
    }
    return g_steal_pointer(&socket);
}

/* Takes socket, which may be NULL.  Returns the address with the port that was
 * chosen. */
static GSocketAddress *add_socket(GPtrArray *sockets, GSocket *socket,
                                  GError **errp)
{
    if (!socket) {
        return NULL;
    }
    g_ptr_array_add(sockets, socket);
    return g_socket_get_local_address(socket, errp);
}

static GSocketAddress *listen_on(GPtrArray *sockets, GSocketAddress *address,
                                 GError **errp)
{
    return add_socket(sockets, bind_and_listen(address, errp), errp);
}

static GSocketAddress *listen_on_any(GPtrArray *sockets, uint16_t port,
                                     GError **errp)
{
    g_autoptr(GSocketAddress) ipv4 = NULL;
    g_autoptr(GSocketAddress) ipv6 = NULL;
    GSocketAddress *bound;

    ipv6 = g_inet_socket_address_new_from_string("::", port);
    bound = listen_on(sockets, ipv6, NULL);
    if (!bound) {
        ipv4 = g_inet_socket_address_new_from_string("0.0.0.0", port);
        bound = listen_on(sockets, ipv4, errp);
    }
    return bound;
}

/*
 * An address that this machine does not have is no error as long as another one
 * works.  Port 0 is chosen on the first address only, because only one port can
 * be reported.
 */
static GSocketAddress *listen_on_host(GPtrArray *sockets, const IoUri *uri,
                                      GError **errp)
{
    g_autoptr(GSocketConnectable) host = NULL;
    g_autoptr(GSocketAddressEnumerator) addresses = NULL;
    g_autoptr(GSocketAddress) first = NULL;
    GError *err = NULL;

    host = g_network_address_new(uri->host, uri->port);
    addresses = g_socket_connectable_enumerate(host);
    while (!first || uri->port != 0) {
        g_autoptr(GSocketAddress) bound = NULL;
        g_autoptr(GSocketAddress) address = g_socket_address_enumerator_next(
            addresses, NULL, err ? NULL : &err);

        if (!address) {
            break;
        }
        bound = listen_on(sockets, address, err ? NULL : &err);
        if (!first) {
            first = g_steal_pointer(&bound);
        }
    }
    if (!first) {
        g_propagate_error(errp, err);
        return NULL;
    }
    g_clear_error(&err);
    return g_steal_pointer(&first);
}

/*
 * Does a process have the socket with this path?  A connection would tell, but
 * a QEMU that waits there for a guest would take it for its source.  So this
 * connects with a socket of another type, which the kernel refuses.  Its error
 * tells whether a process is there (unix(7)), unless we may not write to the
 * socket.  Returns the error, or 0.
 */
static int try_socket(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int err = 0;

    if (fd < 0 || connect(fd, (const struct sockaddr *)address,
                          sizeof(*address)) < 0) {
        err = errno;
    }
    if (fd >= 0) {
        close(fd);
    }
    return err;
}

/* Remove a socket that its owner has left behind.  A file that is no socket is
 * somebody's data, and stays. */
static bool remove_old_socket(const char *path, GError **errp)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat st;
    int err;

    if (lstat(path, &st) < 0) {
        return true;
    }
    if (!S_ISSOCK(st.st_mode)) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_EXISTS,
                    "the path exists and is not a socket");
        return false;
    }
    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    err = try_socket(&address);
    if (err == EACCES) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                    "the socket belongs to uid %u, and we may not write to it: "
                    "whether a process has it cannot be told; remove it if "
                    "none has, or use another path", (unsigned)st.st_uid);
        return false;
    }
    if (err != ECONNREFUSED) {
        g_set_error(errp, G_IO_ERROR, G_IO_ERROR_ADDRESS_IN_USE,
                    "another process has this socket; end that one, or use "
                    "another path");
        return false;
    }
    unlink(path);
    return true;
}

GSocket *io_listener_unix_socket(const char *path, GError **errp)
{
    g_autoptr(GSocketAddress) address = unix_address(path, errp);

    if (!address || !remove_old_socket(path, errp)) {
        return NULL;
    }
    return bind_and_listen(address, errp);
}

GSocketAddress *io_socket_listen(GPtrArray *sockets, const IoUri *uri,
                                 GError **errp)
{
    if (uri->kind == IO_URI_UNIX) {
        return add_socket(sockets, io_listener_unix_socket(uri->path, errp),
                          errp);
    }
    if (uri->host[0] == '\0') {
        return listen_on_any(sockets, uri->port, errp);
    }
    return listen_on_host(sockets, uri, errp);
}
