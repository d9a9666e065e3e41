/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libmicrohttpd reads and answers requests.  It has no thread of its own here:
 * a GSource waits for its epoll descriptor, and for the time at which it wants
 * to look for connections that are too slow, and lets it run.  So the page is
 * made by the main thread, which needs no lock for it.
 *
 * With as many connections as it may have, the library stops to listen.  When
 * one of them has closed, it listens again, but only when it runs once more,
 * for which it does not ask.  So it runs every second, whatever comes.
 *
 * Everybody who reaches the socket is served.  So few connections are open at
 * once, none for long, each with little memory, and a request changes nothing.
 */
#include "tools/relay/relay-http.h"

#include "ferry/error.h"

#ifdef HAVE_MICROHTTPD
#include <gio/gio.h>
#include <microhttpd.h>
#include <string.h>
#include <unistd.h>

#include "ferry/channel.h"

#define CONNECTIONS_MAX 16u
#define IDLE_S          10u
#define REQUEST_MAX     ((size_t)16 << 10)

struct Http {
    HttpConfig config;
    IoListener *listener; /* unix; it has the socket then */
    GSocket *socket;
    char *address;
    struct MHD_Daemon *daemon; /* or NULL */
    GSource *source;           /* or NULL */
};

typedef struct HttpSource {
    GSource source;
    struct MHD_Daemon *daemon;
    gpointer epoll; /* its tag */
} HttpSource;

/* The source */

/* ms until the library wants to run; -1: not before something comes. */
static int time_to_run(HttpSource *s)
{
    MHD_UNSIGNED_LONG_LONG ms;

    return MHD_get_timeout(s->daemon, &ms) == MHD_YES
               ? (int)MIN(ms, G_MAXINT) : -1;
}

static gboolean source_prepare(GSource *source, int *timeout)
{
    *timeout = time_to_run((HttpSource *)source);
    return *timeout == 0;
}

static gboolean source_check(GSource *source)
{
    HttpSource *s = (HttpSource *)source;

    return g_source_query_unix_fd(source, s->epoll) || time_to_run(s) == 0;
}

static gboolean source_dispatch(GSource *source, GSourceFunc callback,
                                gpointer opaque)
{
    MHD_run(((HttpSource *)source)->daemon);
    g_source_set_ready_time(source,
                            g_get_monotonic_time() + G_USEC_PER_SEC);
    return G_SOURCE_CONTINUE;
}

static GSource *attach_source(struct MHD_Daemon *daemon)
{
    static GSourceFuncs funcs = {
        .prepare = source_prepare,
        .check = source_check,
        .dispatch = source_dispatch,
    };
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
    GSource *source = g_source_new(&funcs, sizeof(HttpSource));
    HttpSource *s = (HttpSource *)source;

    s->daemon = daemon;
    s->epoll = g_source_add_unix_fd(source, info->epoll_fd, G_IO_IN);
    g_source_set_ready_time(source, 0);
    g_source_attach(source, NULL);
    return source;
}

/* Requests */

/* Takes text, from g_malloc(). */
static enum MHD_Result answer(struct MHD_Connection *connection,
                              unsigned status, const char *type, char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text,
                                        MHD_RESPMEM_MUST_COPY);
    enum MHD_Result result = MHD_NO;

    g_free(text);
    if (response) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
        if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
            MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW,
                                    "GET, HEAD");
        }
        result = MHD_queue_response(connection, status, response);
        MHD_destroy_response(response);
    }
    return result;
}

static enum MHD_Result on_request(void *opaque,
                                  struct MHD_Connection *connection,
                                  const char *url, const char *method,
                                  const char *version, const char *data,
                                  size_t *size, void **state)
{
    Http *http = opaque;

    if (strcmp(url, HTTP_PATH)) {
        return answer(connection, MHD_HTTP_NOT_FOUND, "text/plain",
                      g_strdup("there is only " HTTP_PATH "\n"));
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) &&
        strcmp(method, MHD_HTTP_METHOD_HEAD)) {
        return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain",
                      g_strdup("it can be read only\n"));
    }
    return answer(connection, MHD_HTTP_OK, http->config.type,
                  http->config.page(http->config.opaque));
}

/* The socket */

static GSocket *bind_tcp(const IoUri *uri, GError **errp)
{
    g_autoptr(GSocketConnectable) name =
        g_network_address_new(uri->host, uri->port);
    g_autoptr(GSocketAddressEnumerator) all =
        g_socket_connectable_enumerate(name);
    g_autoptr(GSocketAddress) address =
        g_socket_address_enumerator_next(all, NULL, errp);
    g_autoptr(GSocket) socket = NULL;

    if (!address) {
        return NULL;
    }
    socket = g_socket_new(g_socket_address_get_family(address),
                          G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, errp);
    if (!socket || !g_socket_bind(socket, address, TRUE, errp) ||
        !g_socket_listen(socket, errp)) {
        return NULL;
    }
    return g_steal_pointer(&socket);
}

static GSocket *listen_tcp(const IoUri *uri, GError **errp)
{
    GSocket *socket = bind_tcp(uri, errp);

    if (!socket) {
        g_autofree char *text = io_uri_to_string(uri);

        g_prefix_error(errp, "%s: ", text);
    }
    return socket;
}

static char *bound_address(const Http *http)
{
    g_autoptr(GSocketAddress) address =
        g_socket_get_local_address(http->socket, NULL);
    g_autoptr(IoUri) uri = io_uri_copy(http->config.at);

    if (address && uri->kind == IO_URI_TCP) {
        uri->port = g_inet_socket_address_get_port(
            G_INET_SOCKET_ADDRESS(address));
    }
    return io_uri_to_string(uri);
}

static bool listen_at(Http *http, GError **errp)
{
    const IoUri *at = http->config.at;

    if (at->kind == IO_URI_UNIX) {
        http->listener = io_listener_new(at, errp);
        if (http->listener) {
            http->socket = g_object_ref(io_listener_socket(http->listener));
        }
    } else {
        http->socket = listen_tcp(at, errp);
    }
    if (!http->socket) {
        return false;
    }
    http->address = bound_address(http);
    return true;
}

/* The whole */

static bool start(Http *http, GError **errp)
{
    int fd = dup(g_socket_get_fd(http->socket)); /* the library closes it */

    http->daemon = fd < 0 ? NULL : MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, http,
        MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, REQUEST_MAX,
        MHD_OPTION_END);
    if (!http->daemon) {
        if (fd >= 0) {
            close(fd);
        }
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "%s: libmicrohttpd does not start", http->address);
        return false;
    }
    http->source = attach_source(http->daemon);
    return true;
}

Http *http_new(const HttpConfig *config, GError **errp)
{
    Http *http = g_new0(Http, 1);

    http->config = *config;
    if (!listen_at(http, errp) || !start(http, errp)) {
        http_free(http);
        return NULL;
    }
    return http;
}

void http_free(Http *http)
{
    if (!http) {
        return;
    }
    if (http->source) {
        g_source_destroy(http->source);
        g_source_unref(http->source);
    }
    if (http->daemon) {
        MHD_stop_daemon(http->daemon);
    }
    g_clear_object(&http->socket);
    io_listener_free(http->listener);
    g_free(http->address);
    g_free(http);
}

const char *http_address(const Http *http)
{
    return http->address;
}

const char *http_library(void)
{
    return "libmicrohttpd";
}

#else

Http *http_new(const HttpConfig *config, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                "this build has no libmicrohttpd, which --metrics needs");
    return NULL;
}

void http_free(Http *http)
{
}

const char *http_address(const Http *http)
{
    return "";
}

const char *http_library(void)
{
    return "none";
}

#endif
