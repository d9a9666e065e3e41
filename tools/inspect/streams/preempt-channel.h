/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes over the connection of postcopy-preempt: pages that a destination
 * has asked for, captured to a file of its own. */
#ifndef TOOLS_INSPECT_PREEMPT_CHANNEL_H
#define TOOLS_INSPECT_PREEMPT_CHANNEL_H

#include "tools/inspect/streams/inspect-ram.h"

/* Are these the first bytes of one?  As many as there are, of those asked. */
#define PREEMPT_HEAD (8u + 1u + 255u)
bool preempt_channel_begins(const uint8_t *head, size_t size);
/* Might they be, as far as four bytes tell? */
bool preempt_channel_may_begin(const uint8_t *head, size_t size);

/* Take all its pages.  Those that the main channel had before are old. */
bool preempt_channel_read(Stream *stream, InspectRam *ram, GError **errp);

#endif
