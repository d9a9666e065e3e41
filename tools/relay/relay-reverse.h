/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The reverse direction: from the destination back to the source, untouched
 * and at once.  Each function blocks until that direction has ended.
 */
#ifndef RELAY_REVERSE_H
#define RELAY_REVERSE_H

#include <glib.h>
#include <stdbool.h>

#include "ferry/channel.h"
#include "tools/relay/relay-link.h"
#include "tools/relay/relay-return.h"
#include "tools/relay/relay-stats.h"

/* The observers: each is told of QEMU's bytes before they are passed on. */
typedef struct ReverseWatch {
    RelayStats *stats;
    ReturnWatch *back;
} ReverseWatch;

/* QEMU's bytes become frames, its end END. */
bool reverse_to_link(IoChannel *qemu, LinkWriter *link,
                     const ReverseWatch *watch, GError **errp);

/*
 * Frames become bytes again, END a half-close; until DELIVERED, and what it
 * says.  A QEMU that does not want to be told any more is no failure: what
 * becomes of the migration, the other direction shows.
 */
bool reverse_from_link(LinkReader *link, IoChannel *qemu,
                       const ReverseWatch *watch, uint64_t *delivered,
                       GError **errp);

/* From one QEMU to the other. */
bool reverse_copy(IoChannel *from, IoChannel *to, const ReverseWatch *watch,
                  GError **errp);

#endif
