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
#include "tools/relay/relay-credit.h"
#include "tools/relay/relay-link.h"
#include "tools/relay/relay-return.h"
#include "tools/relay/relay-stats.h"

/* The observers.  Each sees QEMU's bytes before they are passed on. */
typedef struct ReverseWatch {
    RelayStats *stats;
    ReturnWatch *back; /* or NULL: no return path */
} ReverseWatch;

void reverse_see(const ReverseWatch *watch, const uint8_t *buf, size_t size);

/* QEMU's bytes become frames of a channel, and its half-close becomes END.
 * credit is the channel's; NULL: no limit. */
bool reverse_to_link(IoChannel *qemu, LinkWriter *link, unsigned channel,
                     Credit *credit, const ReverseWatch *watch, GError **errp);

/*
 * Frames of the only channel become bytes again, and END becomes a half-close.
 * Returns at
 * DELIVERED, with its number of bytes in *delivered.  A QEMU that reads no more
 * is no failure: the other direction shows how the migration ends.
 */
bool reverse_from_link(LinkReader *link, IoChannel *qemu,
                       const ReverseWatch *watch, uint64_t *delivered,
                       GError **errp);

/* From one QEMU to the other. */
bool reverse_copy(IoChannel *from, IoChannel *to, const ReverseWatch *watch,
                  GError **errp);

#endif
