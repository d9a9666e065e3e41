/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes through an encrypted channel, whatever they are:
 *
 *     tls-pipe receive URI CREDS >FILE
 *     tls-pipe send URI CREDS HOSTNAME <FILE
 *
 * A peer that ends without TLS's end of file, as QEMU does, has ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ferry/channel.h"

static bool is_end(const GError *err)
{
    return g_error_matches(err, G_TLS_ERROR, G_TLS_ERROR_EOF);
}

static bool receive(IoChannel *channel, const char *creds, GError **errp)
{
    g_autofree char *buf = g_malloc(1 << 16);
    GError *err = NULL;
    size_t nread = 1;

    if (!io_channel_tls_accept(channel, creds, errp)) {
        return false;
    }
    while (nread > 0 &&
           io_channel_read(channel, buf, 1 << 16, &nread, &err)) {
        if (fwrite(buf, 1, nread, stdout) != nread) {
            return false;
        }
    }
    if (err && !is_end(err)) {
        g_propagate_error(errp, err);
        return false;
    }
    g_clear_error(&err);
    return true;
}

static bool send_all(IoChannel *channel, const char *creds,
                     const char *hostname, GError **errp)
{
    g_autofree char *buf = g_malloc(1 << 16);
    size_t size;

    if (!io_channel_tls_connect(channel, creds, hostname, errp)) {
        return false;
    }
    while ((size = fread(buf, 1, 1 << 16, stdin)) > 0) {
        GOutputVector vector = { buf, size };

        if (!io_channel_writev(channel, &vector, 1, errp)) {
            return false;
        }
    }
    return io_channel_finish(channel, errp);
}

static IoChannel *open_channel(const char *text, bool listen, GError **errp)
{
    g_autoptr(IoUri) uri = io_uri_parse(text, errp);
    IoListener *listener;
    IoChannel *channel;

    if (!uri || !listen) {
        return uri ? io_channel_connect(uri, NULL, errp) : NULL;
    }
    listener = io_listener_new(uri, errp);
    if (!listener) {
        return NULL;
    }
    channel = io_listener_accept(listener, NULL, errp);
    io_listener_free(listener);
    return channel;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) err = NULL;
    bool is_sender = argc == 5 && !strcmp(argv[1], "send");
    IoChannel *channel;
    bool ok;

    if (!is_sender && (argc != 4 || strcmp(argv[1], "receive"))) {
        fprintf(stderr, "see the head of tls-pipe.c\n");
        return EXIT_FAILURE;
    }
    channel = open_channel(argv[2], !is_sender, &err);
    ok = channel && (is_sender ? send_all(channel, argv[3], argv[4], &err)
                               : receive(channel, argv[3], &err));
    if (!ok) {
        fprintf(stderr, "tls-pipe: %s\n", err ? err->message : "no room");
    }
    io_channel_free(channel);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
