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
 * does with that signal.  GIO, though, ignores it in the whole process when
 * it makes the first socket.
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
 * Open a channel to send to: connect, run a command with its standard input,
 * take over a descriptor, create a file (mode 0600; what stands before the
 * offset is kept, what stands behind it is cut off; its name is on the disk
 * when this returns).  cancel may be NULL.
 */
IoChannel *io_channel_connect(const IoUri *uri, GCancellable *cancel,
                              GError **errp);

/*
 * The same, but a command gets a pipe for its standard input and one for its
 * output, so that it can answer.  Finishing the channel then does not wait for
 * the command; io_channel_wait_command does, when all has been read.
 */
IoChannel *io_channel_connect_two_way(const IoUri *uri, GCancellable *cancel,
                                      GError **errp);
/* False unless the command ends with status 0, by then and before cancel (which
 * may be NULL): G_IO_ERROR_TIMED_OUT or _CANCELLED where it still runs.  An
 * abort of the channel does not end the wait.  True for channels over something
 * else. */
bool io_channel_wait_command(IoChannel *channel, unsigned ms,
                             GCancellable *cancel, GError **errp);

/*
 * The receiving side.  new binds and listens (tcp, unix), or only checks and
 * prepares (exec, fd, file), so that its errors are seen at once; accept
 * waits for one connection, or opens what there is to open.  The path of a
 * unix socket is removed by free.
 */
IoListener *io_listener_new(const IoUri *uri, GError **errp);
IoChannel *io_listener_accept(IoListener *listener, GCancellable *cancel,
                              GError **errp);
/*
 * The same among strangers.  Anybody may connect to a socket, and whoever is
 * not wanted is turned away, with a warning in GLib's log (domain "ferry")
 * that says who it was and why: who leaves, says something else, or says
 * nothing for too long; at the end also all but the first that was wanted.
 * They do not hold each other up, and only a few dozen are heard at once.
 * What is nobody's to connect to (exec, fd, file) is opened as accept does.
 */
#define IO_HEAD_MAX 16

typedef struct IoAdmit {
    size_t head_size; /* bytes that tell who it is, 1..IO_HEAD_MAX */
    /* Are these what they should be, as far as they go (1..head_size)?  False
     * sets the reason.  They are read from the channel once more. */
    bool (*knows)(const uint8_t *head, size_t size, GError **errp);
    /* The folder to encrypt with, as for io_channel_tls_accept(), newly
     * allocated, or "".  It is asked for each that connects, by the thread
     * that waits.  May be NULL. */
    char *(*tls_creds)(void *opaque);
    void *opaque;
    unsigned patience_ms; /* until the head must have come, TLS included */
} IoAdmit;

IoChannel *io_listener_admit(IoListener *listener, const IoAdmit *wanted,
                             GCancellable *cancel, GError **errp);

/* Where it listens, with the port that was chosen: "tcp:0.0.0.0:4444". */
const char *io_listener_address(const IoListener *listener);
/* The same as a URI, the listener's. */
const IoUri *io_listener_uri(const IoListener *listener);
void io_listener_free(IoListener *listener); /* NULL is fine */

/* What listens there: a unix socket of mode 0600.  One that its owner has left
 * behind is replaced; where its owner lives, or where something else is, it
 * fails. */
GSocket *io_listener_unix_socket(const char *path, GError **errp);

/* A channel over two GIO streams, either of which may be NULL.  Takes a
 * reference to each.  name is for messages. */
IoChannel *io_channel_new(const char *name, GInputStream *in,
                          GOutputStream *out);

/* Two channels in this process, joined: what is written to one is read from
 * the other, with a bounded amount in between. */
bool io_channel_pair(IoChannel *ends[2], GError **errp);

/*
 * Encrypt a channel over a socket, before anything is read or written: shake
 * hands with the peer, of which one end connects and the other accepts.  The
 * folder creds is laid out as QEMU's: ca-cert.pem, ca-crl.pem (optional),
 * server-cert.pem and server-key.pem (to accept), client-cert.pem and
 * client-key.pem (to connect).  Each end refuses a peer without a certificate
 * that is signed by that CA; whoever connects also one that is not for
 * hostname, a name or an address.
 *
 * On failure nothing can be done with the channel but to free it; the message
 * begins with its name.  See docs/tls.md.
 */
bool io_channel_tls_connect(IoChannel *channel, const char *creds,
                            const char *hostname, GError **errp);
bool io_channel_tls_accept(IoChannel *channel, const char *creds,
                           GError **errp);

/* Can the folder be used, to accept or to connect?  Reads what would be read
 * then. */
bool io_channel_tls_check(const char *creds, bool accepts, GError **errp);
bool io_channel_is_encrypted(const IoChannel *channel);

const char *io_channel_name(const IoChannel *channel);
bool io_channel_is_two_way(const IoChannel *channel);
/* Is what is written kept in a file or on a disk, so that nobody reads it as it
 * comes? */
bool io_channel_is_file(const IoChannel *channel);

/* Read 1..size bytes into buf, and say how many; 0 means end of file. */
bool io_channel_read(IoChannel *channel, void *buf, size_t size,
                     size_t *nread, GError **errp);

/* Would a read return at once, be it with bytes, with the end or with an
 * error?  False also where the stream cannot tell. */
bool io_channel_has_input(IoChannel *channel);

/*
 * Wait until a read would return at once, as above, but for no longer than so
 * many milliseconds (with -1: for ever), or until `until` is cancelled, which
 * may be NULL.  Would it?  True also where the stream cannot tell.
 */
bool io_channel_wait_input(IoChannel *channel, int ms, GCancellable *until);

/* Write all of count vectors.  The array is used as scratch space. */
bool io_channel_writev(IoChannel *channel, GOutputVector *vectors,
                       size_t count, GError **errp);

/*
 * Of a TCP channel: how many of the bytes that were written (with TLS, of
 * those that they became) the peer's system has not got yet, as far as is known here;
 * and the shortest round trip so far, in ns.  0 where that is not known, as with
 * every other channel.
 *
 * Of what was written only a little waits here to be sent: 5 to 10 ms at the
 * rate of late, or what keeps the link busy if that is more.  The rest of these
 * bytes is on its way.
 */
uint64_t io_channel_queued(IoChannel *channel);
int64_t io_channel_round_trip(IoChannel *channel);

/*
 * Wait until what was written to a file, or a disk, outlives a power cut.  It
 * cannot be aborted.  A failure is for good: it says that something is lost,
 * and what asks again gets it again.  Where nothing is kept (sockets, pipes,
 * commands, devices such as /dev/null) there is nothing to wait for.
 */
bool io_channel_sync(IoChannel *channel, GError **errp);

/*
 * Nothing more will be written: half-close a socket, sync and close a file,
 * close a command's input and wait for it, unless it is a two-way one.  False when the file could not be
 * completed or the command failed: by its own word, a status other than 0, in
 * G_SPAWN_EXIT_ERROR; killed by a signal in G_IO_ERROR.
 */
bool io_channel_finish(IoChannel *channel, GError **errp);

/* Make every operation on the channel fail, now and from now on.  From any
 * thread. */
void io_channel_abort(IoChannel *channel);

/* Close and free.  A command that still runs is killed, with what it started.
 * NULL is fine. */
void io_channel_free(IoChannel *channel);

/* For a caller that has made a file by itself: have its name on the disk, as
 * fsync() has what is in it.  As with that, a failure is for good. */
bool io_sync_name(int fd, const char *path, GError **errp);

G_END_DECLS

#endif
