/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * multifd's side channels, each captured to a file of its own: the pages that
 * the main channel does not have.
 */
#ifndef TOOLS_INSPECT_SIDE_CHANNELS_H
#define TOOLS_INSPECT_SIDE_CHANNELS_H

#include "tools/inspect/containers/input.h"
#include "tools/inspect/streams/inspect-ram.h"

typedef struct SideChannels SideChannels;

/* Are these the first bytes of one? */
bool side_channels_begins(const uint8_t *head, size_t size);

/* The inputs are open.  They are borrowed, as is ram; all must outlive the
 * result.  decode: look at pages that are compressed. */
SideChannels *side_channels_new(Input *const *input, unsigned count,
                                InspectRam *ram, bool decode, GError **errp);
void side_channels_free(SideChannels *side); /* NULL is fine */

/* The main channel has come to a point where all channels wait for each other:
 * take the pages that were sent before it. */
bool side_channels_sync(SideChannels *side, GError **errp);

/* Nothing more comes: take what is left. */
bool side_channels_finish(SideChannels *side, GError **errp);

/* MIG_ERROR_EOF if packets are missing that another channel must have had.
 * whole: every page has come. */
bool side_channels_check(const SideChannels *side, bool whole, GError **errp);

#endif
