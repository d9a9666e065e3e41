/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A channel that reads what a function makes: what a container holds. */
#ifndef TOOLS_INSPECT_PULL_CHANNEL_H
#define TOOLS_INSPECT_PULL_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "ferry/channel.h"

typedef struct PullOps {
    /* Give 1..size bytes, and say how many; 0 is the end.  Errors are in
     * MIG_ERROR, and do not name the channel. */
    bool (*read)(void *opaque, void *buf, size_t size, size_t *got,
                 GError **errp);
    void (*free)(void *opaque);
} PullOps;

/* Takes opaque over. */
IoChannel *pull_channel_new(const char *name, const PullOps *ops,
                            void *opaque);

#endif
