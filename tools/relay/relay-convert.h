/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forward, with one relay: plain pages become QEMU's own compressed ones, for
 * a destination of 2.4 to 9.0 with `compress` on; or compressed pages become
 * plain ones, for any destination.
 */
#ifndef RELAY_CONVERT_H
#define RELAY_CONVERT_H

#include <glib.h>
#include <stdbool.h>

#include "ferry/channel.h"
#include "migration/wire/stream.h"
#include "tools/relay/relay-log.h"
#include "tools/relay/relay-stats.h"

typedef struct RelayConvertConfig {
    Stream *from;
    IoChannel *to;
    bool expand;      /* compressed to plain; else plain to compressed */
    unsigned level;   /* unless expand */
    unsigned threads;
    RelayStats *stats;
    RelayFindings *findings; /* set as they are found */
    const ReturnWatch *back; /* the reverse thread's */
} RelayConvertConfig;

typedef struct RelayConvert RelayConvert;

RelayConvert *relay_convert_new(const RelayConvertConfig *config,
                                GError **errp);
void relay_convert_free(RelayConvert *convert); /* NULL is fine */

/* Until the stream ends and all of it is written. */
bool relay_convert_run(RelayConvert *convert, GError **errp);

/* After it has failed: was it the destination that took no more? */
bool relay_convert_write_failed(const RelayConvert *convert);

#endif
