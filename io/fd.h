/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channels over GIO's streams of descriptors that are no sockets.  Either
 * stream may be NULL.
 */
#ifndef IO_FD_H
#define IO_FD_H

#include "io/channel-kind.h"
#include "io/io-internal.h"

G_BEGIN_DECLS

typedef struct FdChannel {
    IoChannel base;
    int out_fd;  /* out's, while it is open, or -1 */
    IoSync sync; /* of out_fd */
} FdChannel;

IoChannel *io_fd_channel(const char *name, GInputStream *in,
                         GOutputStream *out);

/* For a kind that is such a channel, but has a table of its own. */
void io_fd_channel_init(FdChannel *fd, const IoChannelOps *ops,
                        const char *name, GInputStream *in,
                        GOutputStream *out);
bool io_fd_writev(IoChannel *channel, GOutputVector *vectors, size_t count,
                  GError **errp);
bool io_fd_finish(IoChannel *channel, GError **errp);

G_END_DECLS

#endif
