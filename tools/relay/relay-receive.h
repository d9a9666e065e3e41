/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Forward, at the destination: frames become QEMU's stream again. */
#ifndef RELAY_RECEIVE_H
#define RELAY_RECEIVE_H

#include <glib.h>
#include <stdbool.h>

#include "ferry/channel.h"
#include "migration/pack/codec.h"
#include "migration/wire/stream.h"
#include "tools/relay/relay-outcome.h"
#include "tools/relay/relay-stats.h"

/*
 * Where bytes go from version 4 on, where the link has more than one channel.
 * The reader of the link calls all of these, and none may wait.  Channels were
 * not looked at, and are any number below RELAY_CHANNELS.
 */
typedef struct ReceiveSink {
    bool (*open)(void *opaque, unsigned channel, GError **errp);
    bool (*put)(void *opaque, unsigned channel, const GOutputVector *bytes,
                size_t count, GError **errp);
    bool (*end)(void *opaque, unsigned channel, uint64_t total,
                GError **errp);
    bool (*reset)(void *opaque, unsigned channel, const char *reason,
                  GError **errp);
    bool (*credit)(void *opaque, unsigned channel, uint64_t limit,
                   GError **errp);
    /* May the link end now? */
    bool (*is_over)(void *opaque);
    void *opaque;
} ReceiveSink;

typedef struct RelayReceiveConfig {
    Stream *from;    /* the link, after HELLO */
    IoChannel *to;   /* QEMU: the only channel */
    const ReceiveSink *sink; /* NULL, or instead of `to` */
    unsigned version; /* that ANSWER agreed to */
    unsigned window; /* most packs of history, if the version has PACK */
    const Codec *codec;
    unsigned pages;  /* most in a batch */
    unsigned threads;
    RelayStats *stats;
    Ending *ending;  /* set by VERDICT */
} RelayReceiveConfig;

typedef struct RelayReceive RelayReceive;

RelayReceive *relay_receive_new(const RelayReceiveConfig *config,
                                GError **errp);
void relay_receive_free(RelayReceive *receive); /* NULL is fine */

/* Write the stream until END, and set *total to its size; with a sink, that of
 * all streams, until the link ends.  False if it does not come to that. */
bool relay_receive_run(RelayReceive *receive, uint64_t *total, GError **errp);

/* Does the stream begin as no migration can?  Then it was not the source's
 * first connection. */
bool relay_receive_is_second(const RelayReceive *receive);

/* After relay_receive_run() has failed: was it because QEMU took no more? */
bool relay_receive_qemu_failed(const RelayReceive *receive);

#endif
