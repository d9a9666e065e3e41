/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Forward, with one relay.  Either plain pages become QEMU's own compressed
 * ones, for a QEMU 2.4 to 9.0 with `compress` on, or compressed pages become
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
    bool expand;      /* compressed to plain; otherwise the reverse */
    unsigned level;   /* unless expand */
    unsigned threads;
    RelayStats *stats;
    RelayFindings *findings; /* filled in while the stream is scanned */
    const ReturnWatch *back; /* the reverse thread's */
} RelayConvertConfig;

typedef struct RelayConvert RelayConvert;

RelayConvert *relay_convert_new(const RelayConvertConfig *config,
                                GError **errp);
void relay_convert_free(RelayConvert *convert); /* NULL is fine */

/* Convert until the stream ends and all of it is written. */
bool relay_convert_run(RelayConvert *convert, GError **errp);

/* After relay_convert_run() has failed: was it because the destination took no
 * more? */
bool relay_convert_write_failed(const RelayConvert *convert);

#endif
