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

typedef struct RelayReceiveConfig {
    Stream *from;    /* the link, after HELLO */
    IoChannel *to;   /* QEMU */
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

/* Write the stream until END, and set *total to its size.  False if it does not
 * come to END. */
bool relay_receive_run(RelayReceive *receive, uint64_t *total, GError **errp);

/* Does the stream begin as no migration can?  Then it was not the source's
 * first connection. */
bool relay_receive_is_second(const RelayReceive *receive);

/* After relay_receive_run() has failed: was it because QEMU took no more? */
bool relay_receive_qemu_failed(const RelayReceive *receive);

#endif
