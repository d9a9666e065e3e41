/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is behind an IoChannel: a table of operations for each kind of channel.
 *
 *   streams.c         two GIO streams of any sort
 *   fd.c              descriptors: pipes, files, devices
 *   exec.c            the pipes of a command
 *   socket-channel.c  connected sockets: tcp, unix, the pair in this process
 *   tls-channel.c     an encrypted socket: its table takes the socket's place
 *   tools/relay/relay-line.c  one connection after the other
 *
 * channel.c calls the table and does what all kinds have in common.  It refuses
 * the direction that a channel does not have, and everything on an aborted
 * channel, so that an operation need not check for that at its start.
 *
 * There is no operation for abort.  Every kind waits in GIO, and gives GIO the
 * channel's cancellable, which any thread may cancel.
 */
#ifndef IO_CHANNEL_KIND_H
#define IO_CHANNEL_KIND_H

#include "ferry/channel.h"

G_BEGIN_DECLS

/* Like the functions of the same names in ferry/channel.h. */
typedef struct IoChannelOps {
    /* The errors of these do not name the channel. */
    bool (*read)(IoChannel *channel, void *buf, size_t size, size_t *nread,
                 GError **errp);
    bool (*writev)(IoChannel *channel, GOutputVector *vectors, size_t count,
                   GError **errp);
    /* The errors of these do, because it may be a command that has failed. */
    bool (*finish)(IoChannel *channel, GError **errp);
    bool (*wait_command)(IoChannel *channel, unsigned ms, GCancellable *cancel,
                         GError **errp); /* NULL: there is none */

    bool (*sync)(IoChannel *channel, GError **errp); /* NULL: nothing to do */
    /* NULL: `in` tells, where it can be polled */
    bool (*has_input)(IoChannel *channel);
    uint64_t (*queued)(IoChannel *channel);          /* NULL: not known */
    int64_t (*round_trip)(IoChannel *channel);       /* NULL: not known */

    /* Close an aborted channel, and free what the kind has besides its
     * IoChannel.  Errors are dropped: a caller that wants them calls finish. */
    void (*close)(IoChannel *channel);
} IoChannelOps;

/* The first member of every kind's own structure.  One thread may read while
 * another one writes.  Fields without a note are set while the channel is made,
 * or encrypted, by the one thread that has it then. */
struct IoChannel {
    const IoChannelOps *ops;
    char *name;
    GInputStream *in;          /* or NULL */
    GOutputStream *out;        /* or NULL */
    bool reads, writes;        /* which directions it has */
    GCancellable *aborted;     /* any thread cancels; has its own lock */
    bool is_file;              /* see io_channel_is_file() */
    int in_file;               /* see io_kind_input_fd() */
    uint8_t head[IO_HEAD_MAX]; /* reader: bytes that were unread, */
    size_t head_from;          /* reader: from here on still to be read, */
    size_t head_size;          /* up to here */
};

/* The structure comes zeroed from g_new0(), and io_channel_free() frees it.
 * Takes a reference to each stream, which may be NULL: then the channel does
 * not have this direction, unless the kind sets reads or writes. */
void io_kind_init(IoChannel *channel, const IoChannelOps *ops,
                  const char *name, GInputStream *in, GOutputStream *out);

/* Put the name before the error, unless ok, which is returned. */
bool io_kind_named(const IoChannel *channel, bool ok, GError **errp);

/* What most kinds do: read from in, and close what there is of in and out. */
bool io_kind_read(IoChannel *channel, void *buf, size_t size,
                  size_t *nread, GError **errp);
void io_kind_close(IoChannel *channel);

/* The regular file or disk that the channel reads, for pread() and the like;
 * -1 where it reads something else.  The channel keeps the descriptor. */
int io_kind_input_fd(const IoChannel *channel);

/* Pass over at most size bytes without reading them, and say how many; 0 where
 * only reading leads on, and at the end of file. */
bool io_kind_skip(IoChannel *channel, uint64_t size, uint64_t *skipped,
                  GError **errp);

/* Will the peer write nothing more?  True as soon as this system knows, though
 * bytes may still have to be read; false where it cannot be told.  Beside the
 * reader, from any thread. */
bool io_kind_has_hung_up(const IoChannel *channel);

/* Put back bytes that a caller that cannot block has read from `in` itself.
 * The channel's next read returns them.  Once for a channel. */
void io_kind_unread(IoChannel *channel, const uint8_t *bytes, size_t count);

G_END_DECLS

#endif
