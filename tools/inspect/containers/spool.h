/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A copy of bytes that come once, to read them in another order. */
#ifndef TOOLS_INSPECT_SPOOL_H
#define TOOLS_INSPECT_SPOOL_H

#include "ferry/channel.h"
#include "migration/wire/stream.h"

/*
 * Copy the rest of the stream to a file without a name, in $TMPDIR or /var/tmp.
 * Pieces that are zero are holes in it.  Returns a channel that reads the file.
 * What cannot be read ends the copy, and *cut is set to the reason.
 */
IoChannel *spool(Stream *from, GError **cut, GError **errp);

#endif
