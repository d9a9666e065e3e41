/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is behind an IoChannel: a table of operations for each kind of channel.
 *
 *   streams.c         two GIO streams of any sort
 *   fd.c              descriptors: pipes, files, devices
 *   exec.c            the pipes of a command
 *   socket-channel.c  connected sockets: tcp, unix, the pair in this process
 *   tls-channel.c     an encrypted socket: its table takes the socket's place
 *
 * channel.c calls the table and does what all kinds have in common.  It refuses
 * what the channel is not for, and everything on an aborted channel, so that an
 * operation need not look for that at first.
 *
 * There is no operation for abort.  Every kind waits in GIO, and gives GIO the
 * channel's cancellable; that may be cancelled by any thread, while everything
 * else here belongs to the threads that read and write.
 */
#ifndef IO_CHANNEL_KIND_H
#define IO_CHANNEL_KIND_H

#include "ferry/channel.h"

G_BEGIN_DECLS

/* As the functions of the same names in ferry/channel.h. */
typedef struct IoChannelOps {
    /* The errors of these do not name the channel. */
    bool (*read)(IoChannel *channel, void *buf, size_t size, size_t *nread,
                 GError **errp);
    bool (*writev)(IoChannel *channel, GOutputVector *vectors, size_t count,
                   GError **errp);
    /* These do, because what has failed may be a command. */
    bool (*finish)(IoChannel *channel, GError **errp);
    bool (*wait_command)(IoChannel *channel, unsigned ms, GCancellable *cancel,
                         GError **errp); /* NULL: there is none */

    bool (*sync)(IoChannel *channel, GError **errp); /* NULL: keeps nothing */
    uint64_t (*queued)(IoChannel *channel);          /* NULL: not known */
    int64_t (*round_trip)(IoChannel *channel);       /* NULL: not known */

    /* Close everything, of an aborted channel, and let go of what the kind has
     * besides its IoChannel.  Errors are dropped: whoever cares for them has
     * called finish. */
    void (*close)(IoChannel *channel);
} IoChannelOps;

/* The first member of every kind's own structure. */
struct IoChannel {
    const IoChannelOps *ops;
    char *name;
    GInputStream *in;          /* or NULL */
    GOutputStream *out;        /* or NULL */
    GCancellable *aborted;
    bool is_file;              /* see io_channel_is_file() */
    uint8_t head[IO_HEAD_MAX]; /* what was unread: head_size bytes, */
    size_t head_from;          /* from here on still to be read */
    size_t head_size;
};

/* The structure comes zeroed from g_new0(), and io_channel_free() frees it.
 * Takes a reference to each stream, which may be NULL. */
void io_kind_init(IoChannel *channel, const IoChannelOps *ops,
                  const char *name, GInputStream *in, GOutputStream *out);

/* Put the name before the error, unless ok, which is returned. */
bool io_kind_named(const IoChannel *channel, bool ok, GError **errp);

/* What most kinds do: read from in, and close what there is of in and out. */
bool io_kind_read(IoChannel *channel, void *buf, size_t size,
                  size_t *nread, GError **errp);
void io_kind_close(IoChannel *channel);

/* What was read from in directly, by a caller that cannot block, goes back
 * once, and is what is read from the channel first. */
void io_kind_unread(IoChannel *channel, const uint8_t *bytes, size_t count);

G_END_DECLS

#endif
