/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channels: blocking byte streams that another thread can abort.
 *
 * A thin layer over GIO: sockets, pipes and subprocesses are GIO's, and any
 * pair of GIO streams can be made a channel.  At most one thread reads and
 * one thread writes at a time.  Errors are in G_IO_ERROR; an aborted
 * operation fails with G_IO_ERROR_CANCELLED.
 *
 * A peer that is gone is an error and never a SIGPIPE, whatever the process
 * does with that signal.  But when GIO makes the first socket, it lets the
 * whole process ignore SIGPIPE.
 */
#ifndef FERRY_CHANNEL_H
#define FERRY_CHANNEL_H

#include <gio/gio.h>
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ferry/uri.h"

G_BEGIN_DECLS

typedef struct IoChannel IoChannel;
typedef struct IoListener IoListener;

/*
 * Open a channel to send to: connect, run a command and write to its standard
 * input, take over a descriptor, or create a file.  A file gets mode 0600.  Its
 * content before the offset is kept, and the rest is cut off.  Its name is on
 * the disk when this returns.  cancel may be NULL.
 */
IoChannel *io_channel_connect(const IoUri *uri, GCancellable *cancel,
                              GError **errp);

/*
 * The same, but a command gets a pipe for its standard input and one for its
 * output, so that it can answer.  Then io_channel_finish() does not wait for
 * the command; io_channel_wait_command() does, when all output has been read.
 */
IoChannel *io_channel_connect_two_way(const IoUri *uri, GCancellable *cancel,
                                      GError **errp);
/* Wait for the channel's command, for so many milliseconds, or until cancel
 * (which may be NULL).  True when it ends with status 0, and for a channel
 * without a command.  If it still runs: G_IO_ERROR_TIMED_OUT or _CANCELLED.  To
 * abort the channel does not end the wait. */
bool io_channel_wait_command(IoChannel *channel, unsigned ms,
                             GCancellable *cancel, GError **errp);

/*
 * The receiving side.  new binds and listens (tcp, unix), or only checks and
 * prepares (exec, fd, file), so that mistakes show at once.  accept waits for
 * one connection (tcp, unix), or opens the URI (exec, fd, file).  free removes
 * the path of a unix socket.
 */
IoListener *io_listener_new(const IoUri *uri, GError **errp);
IoChannel *io_listener_accept(IoListener *listener, GCancellable *cancel,
                              GError **errp);
/*
 * Like accept, among strangers.  Anybody may connect to a socket, so a peer is
 * turned away when it leaves, says something else, or says nothing for too
 * long.  At the end all peers but the first wanted one are turned away.  A
 * warning in GLib's log (domain "ferry") says each time which peer it was, and
 * why.  Peers do not hold each other up, and only a few dozen are heard at
 * once.  Other URIs (exec, fd, file) are opened as accept does.
 */
#define IO_HEAD_MAX 16

typedef struct IoAdmit {
    size_t head_size; /* bytes that tell who a peer is, 1..IO_HEAD_MAX */
    /* Are these the right bytes, as far as they go (1..head_size)?  False sets
     * the reason.  They can be read from the channel once more. */
    bool (*knows)(const uint8_t *head, size_t size, GError **errp);
    /* Returns the folder to encrypt with, as for io_channel_tls_accept(), newly
     * allocated, or "".  Called for each peer, by the thread that waits.  May
     * be NULL. */
    char *(*tls_creds)(void *opaque);
    void *opaque;
    unsigned patience_ms; /* for the head, with the TLS handshake */
} IoAdmit;

IoChannel *io_listener_admit(IoListener *listener, const IoAdmit *wanted,
                             GCancellable *cancel, GError **errp);

/* Where it listens, with the port that was chosen: "tcp:0.0.0.0:4444".  Owned
 * by the listener. */
const char *io_listener_address(const IoListener *listener);
/* The same as a URI. */
const IoUri *io_listener_uri(const IoListener *listener);
/* The socket at a unix path, for a library that accepts by itself; NULL for any
 * other URI.  Owned by the listener. */
GSocket *io_listener_socket(const IoListener *listener);
void io_listener_free(IoListener *listener); /* NULL is fine */

/* A unix socket, mode 0600, that listens at this path.  A socket that its owner
 * has left behind is replaced.  Fails when the owner still runs, or when the
 * path is something else. */
GSocket *io_listener_unix_socket(const char *path, GError **errp);

/* A channel over two GIO streams, either of which may be NULL.  Takes a
 * reference to each.  name is for messages. */
IoChannel *io_channel_new(const char *name, GInputStream *in,
                          GOutputStream *out);

/* Two channels in this process that are joined: bytes that are written to one
 * are read from the other.  The amount in between is bounded. */
bool io_channel_pair(IoChannel *ends[2], GError **errp);

/*
 * Encrypt a channel over a socket, before anything is read or written: shake
 * hands with the peer, of which one end connects and the other accepts.  The
 * folder creds is laid out as QEMU's: ca-cert.pem, ca-crl.pem (optional),
 * server-cert.pem and server-key.pem (to accept), client-cert.pem and
 * client-key.pem (to connect).  Each end refuses a peer without a certificate
 * that is signed by that CA.  The end that connects also refuses a certificate
 * that is not for hostname, which is a name or an address.
 *
 * After a failure the channel can only be freed.  The message begins with its
 * name.  See docs/tls.md.
 */
bool io_channel_tls_connect(IoChannel *channel, const char *creds,
                            const char *hostname, GError **errp);
bool io_channel_tls_accept(IoChannel *channel, const char *creds,
                           GError **errp);

/* Can the folder be used, to accept or to connect?  Reads the files that would
 * be used. */
bool io_channel_tls_check(const char *creds, bool accepts, GError **errp);
bool io_channel_is_encrypted(const IoChannel *channel);
/* The SHA-256 of the certificate that the peer has, in hexadecimal, newly
 * allocated.  NULL where the channel is not encrypted. */
char *io_channel_tls_peer(const IoChannel *channel);

const char *io_channel_name(const IoChannel *channel);
bool io_channel_is_two_way(const IoChannel *channel);
/* Does the channel write to a file or a disk, so that no peer reads along? */
bool io_channel_is_file(const IoChannel *channel);

/* Read 1..size bytes into buf, and say how many; 0 means end of file. */
bool io_channel_read(IoChannel *channel, void *buf, size_t size,
                     size_t *nread, GError **errp);

/* Would a read return at once, with bytes, with the end or with an error?
 * False also where the stream cannot tell. */
bool io_channel_has_input(IoChannel *channel);

/*
 * Wait until a read would return at once, as above, for at most so many
 * milliseconds (-1: forever), or until `until`, which may be NULL, is
 * cancelled.  Returns whether it would.  True also where the stream cannot
 * tell.
 */
bool io_channel_wait_input(IoChannel *channel, int ms, GCancellable *until);

/* Write all of count vectors.  The array is used as scratch space. */
bool io_channel_writev(IoChannel *channel, GOutputVector *vectors,
                       size_t count, GError **errp);

/*
 * For a TCP channel: how many of the bytes that were written (with TLS, of the
 * encrypted bytes) the peer's system does not have yet, as far as is known
 * here; and the shortest round trip so far, in ns.  0 where that is not known,
 * as with every other channel.
 *
 * Of these bytes only a few wait here to be sent: 5 to 10 ms at the present
 * rate, or enough to keep the link busy if that is more.  The others are on
 * their way.
 */
uint64_t io_channel_queued(IoChannel *channel);
int64_t io_channel_round_trip(IoChannel *channel);

/*
 * Wait until the bytes that were written to a file, or a disk, outlive a power
 * cut.  The wait cannot be aborted.  A failure is for good: bytes are lost, and
 * every later call fails, too.  For channels that keep nothing (sockets, pipes,
 * commands, devices such as /dev/null) there is nothing to wait for.
 */
bool io_channel_sync(IoChannel *channel, GError **errp);

/*
 * Nothing more will be written: half-close a socket, sync and close a file, or
 * close a command's input and, unless the channel is two-way, wait for the
 * command.  False when the file could not be completed or the command failed.
 * A status other than 0 is in G_SPAWN_EXIT_ERROR, a death by signal in
 * G_IO_ERROR.
 */
bool io_channel_finish(IoChannel *channel, GError **errp);

/* Make every operation on the channel fail, those in progress and all later
 * ones.  From any thread. */
void io_channel_abort(IoChannel *channel);

/* Close and free.  A command that still runs is killed, with all that it
 * started.  NULL is fine. */
void io_channel_free(IoChannel *channel);

/* For a caller that has made a file by itself: put its name on the disk, as
 * fsync() does with its content.  As with fsync(), a failure is for good. */
bool io_sync_name(int fd, const char *path, GError **errp);

G_END_DECLS

#endif
