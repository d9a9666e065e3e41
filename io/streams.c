/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Channels over two GIO streams of any sort, which the caller brings.
 */
#include <gio/gunixinputstream.h>
#include <gio/gunixoutputstream.h>

#include "io/channel-kind.h"
#include "io/fd.h"
#include "io/io-internal.h"

static bool streams_writev(IoChannel *channel, GOutputVector *vectors,
                           size_t count, GError **errp)
{
    SigpipeHold hold;
    bool ok;

    sigpipe_hold(&hold);
    ok = g_output_stream_writev_all(channel->out, vectors, count, NULL,
                                    channel->aborted, errp);
    sigpipe_release(&hold);
    return ok;
}

/* Some streams write something as they close. */
static bool streams_finish(IoChannel *channel, GError **errp)
{
    SigpipeHold hold;
    bool ok;

    sigpipe_hold(&hold);
    ok = g_output_stream_close(channel->out, channel->aborted, errp);
    sigpipe_release(&hold);
    return io_kind_named(channel, ok, errp);
}

static const IoChannelOps streams_ops = {
    .read = io_kind_read,
    .writev = streams_writev,
    .finish = streams_finish,
    .close = io_kind_close,
};

IoChannel *io_channel_new(const char *name, GInputStream *in,
                          GOutputStream *out)
{
    IoChannel *channel;

    if ((out && G_IS_UNIX_OUTPUT_STREAM(out)) ||
        (in && !out && G_IS_UNIX_INPUT_STREAM(in))) {
        return io_fd_channel(name, in, out);
    }
    channel = g_new0(IoChannel, 1);
    io_kind_init(channel, &streams_ops, name, in, out);
    return channel;
}
