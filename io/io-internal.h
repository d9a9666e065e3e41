/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of io/ offer each other: channels over particular things,
 * and a pair of functions for each kind of URI.  channel-kind.h says what a
 * channel is.
 */
#ifndef IO_IO_INTERNAL_H
#define IO_IO_INTERNAL_H

#include <gio/gio.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "ferry/channel.h"
#include "ferry/uri.h"

G_BEGIN_DECLS

typedef enum {
    IO_TO_READ,
    IO_TO_WRITE,
} IoDirection;

/* Two-way, over a connected socket; takes a reference. */
IoChannel *io_socket_channel(const char *name, GSocketConnection *connection);

/* The connection of such a channel; NULL for other channels, and for an
 * encrypted one. */
GSocketConnection *io_connection_of(IoChannel *channel);
/* From now on everything goes through tls.  Takes a reference. */
void io_connection_set_tls(IoChannel *channel, GTlsConnection *tls);

/*
 * io_channel_tls_accept() for a caller that cannot block: done is called in
 * this thread's default context, or before begin returns, with the error, which
 * it owns, or with NULL.
 */
typedef void TlsDone(void *opaque, GError *err);
void tls_accept_begin(IoChannel *channel, const char *creds, TlsDone *done,
                      void *opaque);

/* False when the folder's list ca-crl.pem has the peer's certificate, or one
 * that has signed it, or when the list cannot be read.  True without a list.
 * If peer is NULL, only the list itself is checked. */
bool tls_crl_check(const char *creds, GTlsCertificate *peer, GError **errp);

/* One-way, over a descriptor that is no socket; owns it. */
IoChannel *io_fd_take(const char *name, int fd, IoDirection direction);

/* This end of the socket never writes more than a few messages. */
void io_socket_writes_little(IoChannel *channel);

/* Two-way, over a descriptor that is a socket; owns it, but not when it
 * fails. */
IoChannel *io_socket_take(const char *name, int fd, GError **errp);

IoChannel *io_socket_connect(const IoUri *uri, const char *name,
                             GCancellable *cancel, GError **errp);

/* Bind, listen, and add each GSocket to sockets.  Returns the address that
 * was bound, the first one if there are several. */
GSocketAddress *io_socket_listen(GPtrArray *sockets, const IoUri *uri,
                                 GError **errp);

/* The GSockets that listen, or NULL for a URI that nobody connects to. */
const GPtrArray *io_sockets_of(const IoListener *listener);

/* Check that fd is open for this direction, and make it close-on-exec. */
bool io_fd_prepare(int fd, IoDirection direction, GError **errp);
/* Takes over the descriptor, but not when it fails. */
IoChannel *io_fd_open(int fd, const char *name, IoDirection direction,
                      GError **errp);

/* False, with an error, in a build with -Dexec=false. */
bool io_exec_is_built_in(GError **errp);
IoChannel *io_exec_open(const IoUri *uri, IoDirection direction,
                        GError **errp);
/* With a pipe for its standard input and one for its output. */
IoChannel *io_exec_open_two_way(const IoUri *uri, GError **errp);
/* A descriptor of uri's file, at its offset, or -1.  If it is to be written to,
 * the file's name is on the disk. */
int io_file_open(const IoUri *uri, IoDirection direction, GError **errp);

/* What was written to a descriptor, and whether the disk has it.  Only the
 * thread that writes uses it. */
typedef struct IoSync {
    int fd;         /* -1: there is no disk, or fd was closed */
    size_t waiting; /* bytes since the disk was told to begin */
    bool due;       /* something was written since the last sync */
    int error;      /* of the sync that has failed: none is tried again */
} IoSync;

void io_sync_init(IoSync *sync, int fd); /* -1 is fine */
void io_sync_wrote(IoSync *sync, size_t bytes);
/* Wait until the disk has all of it. */
bool io_sync_data(IoSync *sync, GError **errp);

/* A source that is ready when cancel is cancelled; its function is a
 * GUnixFDSourceFunc.  NULL when cancel is NULL or has no descriptor.  The
 * source uses a descriptor because GLib's own source for a GCancellable leaks
 * now and then when another thread cancels.  g_cancellable_release_fd() must
 * follow. */
GSource *io_cancel_source(GCancellable *cancel);

/* Have context watch the source, until either ends.  Takes source, which may be
 * NULL. */
void io_watch(GMainContext *context, GSource *source, GSourceFunc func,
              void *opaque);

/* A stretch of code in which SIGPIPE stays away from this thread. */
typedef struct SigpipeHold {
    sigset_t old_mask;
    bool was_pending;
} SigpipeHold;

void sigpipe_hold(SigpipeHold *hold);
void sigpipe_release(const SigpipeHold *hold);

G_END_DECLS

#endif
