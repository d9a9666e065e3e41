/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/containers/pull-channel.h"

#include "io/channel-kind.h"

typedef struct PullChannel {
    IoChannel base;
    const PullOps *ops;
    void *opaque;
} PullChannel;

static bool pull_read(IoChannel *channel, void *buf, size_t size,
                      size_t *nread, GError **errp)
{
    PullChannel *pull = (PullChannel *)channel;

    return pull->ops->read(pull->opaque, buf, size, nread, errp);
}

static bool pull_has_input(IoChannel *channel)
{
    return false; /* cannot tell */
}

static void pull_close(IoChannel *channel)
{
    PullChannel *pull = (PullChannel *)channel;

    pull->ops->free(pull->opaque);
}

/* It never writes. */
static const IoChannelOps pull_kind = {
    .read = pull_read,
    .has_input = pull_has_input,
    .close = pull_close,
};

IoChannel *pull_channel_new(const char *name, const PullOps *ops,
                            void *opaque)
{
    PullChannel *pull = g_new0(PullChannel, 1);

    io_kind_init(&pull->base, &pull_kind, name, NULL, NULL);
    pull->base.reads = true;
    pull->ops = ops;
    pull->opaque = opaque;
    return &pull->base;
}
