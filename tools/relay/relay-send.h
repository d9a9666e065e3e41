/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Forward, at the source: the stream of one of QEMU's connections becomes
 * frames on the link. */
#ifndef RELAY_SEND_H
#define RELAY_SEND_H

#include <glib.h>
#include <stdbool.h>

#include "migration/wire/stream.h"
#include "tools/relay/relay-credit.h"
#include "tools/relay/relay-log.h"
#include "tools/relay/relay-trunk.h"

/* What the stream has come to, as far as a link that breaks is concerned. */
typedef enum {
    SEND_RUNS,         /* the guest still runs, as it does at first */
    SEND_STANDS_STILL, /* the source has stopped its guest */
    SEND_HANDED_OVER,  /* the destination may have all that it needs */
    SEND_LOST,         /* nobody knows where the stream is */
    SEND_GONE,         /* the source has gone, and waits for no answer */
} SendPlace;

typedef struct RelaySendConfig {
    Stream *from;     /* QEMU */
    Trunk *trunk;     /* borrowed */
    unsigned channel;
    Credit *credit;   /* borrowed; NULL: no limit */
    atomic_bool *spoke;   /* optional; set when QEMU says something, */
    atomic_bool *is_main; /* and when that is a migration stream with RAM */
    bool may_be_urgent; /* QEMU's connection for postcopy-preempt, perhaps */
    RelayFindings *findings; /* filled in while the stream is scanned */
    const ReturnWatch *back; /* the reverse thread's; of channel 0 */
    void (*reached)(void *opaque, SendPlace place); /* optional */
    void *opaque;
} RelaySendConfig;

typedef struct RelaySend RelaySend;

RelaySend *relay_send_new(const RelaySendConfig *config);
void relay_send_free(RelaySend *send); /* NULL is fine */

/*
 * Send frames until the stream ends, and then VERDICT and END.  False when the
 * link fails, when QEMU's connection fails, and when a receiver of version 1
 * would mistake a stream that was cut for a whole one.
 */
bool relay_send_run(RelaySend *send, GError **errp);

/* After relay_send_run() has failed, but not at the link: send the rest of the
 * source's bytes, and tell the other relay why no more come: by ABORT, or by
 * RESET of a channel that is not the first. */
void relay_send_abort(RelaySend *send, const char *reason);

/* After relay_send_run() has failed: was it the link that failed? */
bool relay_send_link_failed(const RelaySend *send);

#endif
