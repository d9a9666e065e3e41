/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vmm/chardev.h"

#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "ferry/channel.h"
#include "ferry/error.h"
#include "ferry/uri.h"

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

struct ChardevListener {
    GSocketService *service;
    ChardevConnected *connected;
    void *opaque;
    char *path; /* to be removed, or NULL */
};

static bool bad_chardev(const char *why, const char *what, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION, "%s '%s'", why, what);
    return false;
}

static bool parse_socket_option(const char *option, bool *server,
                                GError **errp)
{
    if (strcmp(option, "server=on") == 0) {
        *server = true;
    } else if (strcmp(option, "wait=on") == 0) {
        return bad_chardev("the machine never waits for a client, use "
                           "wait=off instead of", option, errp);
    } else if (strcmp(option, "wait=off") != 0 &&
               strcmp(option, "server=off") != 0) {
        return bad_chardev("unknown option", option, errp);
    }
    return true;
}

static bool parse_socket_options(char **options, GError **errp)
{
    bool server = false;

    for (; *options; options++) {
        if (!parse_socket_option(*options, &server, errp)) {
            return false;
        }
    }
    if (!server) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "only listening sockets are supported: add server=on");
        return false;
    }
    return true;
}

/* Migration URIs have the only parser of addresses. */
static bool parse_tcp(Chardev *chardev, const char *address, GError **errp)
{
    g_autoptr(IoUri) uri = io_uri_parse(address, errp);

    if (!uri) {
        return false;
    }
    chardev->kind = CHARDEV_TCP;
    chardev->host = g_strdup(uri->host);
    chardev->port = uri->port;
    return true;
}

static bool parse_parts(Chardev *chardev, char **parts, GError **errp)
{
    const char *what = parts[0] ? parts[0] : "";
    bool is_unix = g_str_has_prefix(what, "unix:");

    if (is_unix || g_str_has_prefix(what, "file:")) {
        if (what[5] == '\0') {
            return bad_chardev("no path in", what, errp);
        }
        if (is_unix && strlen(what + 5) > SOCKET_PATH_MAX) {
            return bad_chardev("a socket's path has at most 107 bytes, not",
                               what + 5, errp);
        }
        chardev->kind = is_unix ? CHARDEV_UNIX : CHARDEV_FILE;
        chardev->path = g_strdup(what + 5);
    } else if (g_str_has_prefix(what, "tcp:")) {
        if (!parse_tcp(chardev, what, errp)) {
            return false;
        }
    } else if (strcmp(what, "stdio") == 0) {
        chardev->kind = CHARDEV_STDIO;
    } else if (strcmp(what, "null") != 0 && strcmp(what, "none") != 0) {
        return bad_chardev("unknown character device", what, errp);
    }
    if (chardev_is_socket(chardev)) {
        return parse_socket_options(parts + 1, errp);
    }
    return !parts[0] || !parts[1] ||
           bad_chardev("unknown option", parts[1], errp);
}

bool chardev_parse(Chardev *chardev, const char *text, GError **errp)
{
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);

    memset(chardev, 0, sizeof(*chardev));
    if (!parse_parts(chardev, parts, errp)) {
        chardev_clear(chardev);
        return false;
    }
    return true;
}

void chardev_clear(Chardev *chardev)
{
    g_free(chardev->path);
    g_free(chardev->host);
    memset(chardev, 0, sizeof(*chardev));
}

bool chardev_is_socket(const Chardev *chardev)
{
    return chardev->kind == CHARDEV_UNIX || chardev->kind == CHARDEV_TCP;
}

GIOStream *chardev_stdio_stream(void)
{
    g_autoptr(GInputStream) in = g_unix_input_stream_new(STDIN_FILENO, FALSE);
    g_autoptr(GOutputStream) out =
        g_unix_output_stream_new(STDOUT_FILENO, FALSE);

    return g_simple_io_stream_new(in, out);
}

static gboolean on_incoming(GSocketService *service,
                            GSocketConnection *connection, GObject *source,
                            void *opaque)
{
    ChardevListener *listener = opaque;

    listener->connected(listener->opaque, connection);
    return TRUE;
}

static bool listen_unix(ChardevListener *listener, const char *path,
                        GError **errp)
{
    g_autoptr(GSocket) socket = io_listener_unix_socket(path, errp);

    if (!socket ||
        !g_socket_listener_add_socket(G_SOCKET_LISTENER(listener->service),
                                      socket, NULL, errp)) {
        g_prefix_error(errp, "%s: ", path);
        return false;
    }
    listener->path = g_strdup(path);
    return true;
}

static bool listen_tcp(ChardevListener *listener, const Chardev *chardev,
                       GError **errp)
{
    GSocketListener *sockets = G_SOCKET_LISTENER(listener->service);
    g_autoptr(GSocketConnectable) name = NULL;
    g_autoptr(GSocketAddressEnumerator) addresses = NULL;
    g_autoptr(GSocketAddress) address = NULL;

    if (chardev->host[0] == '\0') {
        return g_socket_listener_add_inet_port(sockets, chardev->port, NULL,
                                               errp);
    }
    name = g_network_address_new(chardev->host, chardev->port);
    addresses = g_socket_connectable_enumerate(name);
    address = g_socket_address_enumerator_next(addresses, NULL, errp);
    return address &&
           g_socket_listener_add_address(sockets, address,
                                         G_SOCKET_TYPE_STREAM,
                                         G_SOCKET_PROTOCOL_TCP, NULL, NULL,
                                         errp);
}

ChardevListener *chardev_listen(const Chardev *chardev,
                                ChardevConnected *connected, void *opaque,
                                GError **errp)
{
    ChardevListener *listener = g_new0(ChardevListener, 1);
    bool ok;

    g_assert(chardev_is_socket(chardev));
    listener->service = g_socket_service_new();
    listener->connected = connected;
    listener->opaque = opaque;
    g_signal_connect(listener->service, "incoming", G_CALLBACK(on_incoming),
                     listener);
    ok = chardev->kind == CHARDEV_UNIX
             ? listen_unix(listener, chardev->path, errp)
             : listen_tcp(listener, chardev, errp);
    if (!ok) {
        chardev_listener_free(listener);
        return NULL;
    }
    return listener;
}

void chardev_listener_set_open(ChardevListener *listener, bool open)
{
    if (open) {
        g_socket_service_start(listener->service);
    } else {
        g_socket_service_stop(listener->service);
    }
}

void chardev_listener_free(ChardevListener *listener)
{
    if (!listener) {
        return;
    }
    g_signal_handlers_disconnect_by_data(listener->service, listener);
    g_socket_service_stop(listener->service);
    g_socket_listener_close(G_SOCKET_LISTENER(listener->service));
    g_object_unref(listener->service);
    if (listener->path) {
        unlink(listener->path);
    }
    g_free(listener->path);
    g_free(listener);
}
