/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The payload of commands that more than one line of code reads. */
#ifndef TOOLS_INSPECT_COMMAND_H
#define TOOLS_INSPECT_COMMAND_H

#include "migration/wire/section.h"
#include "tools/inspect/streams/inspect-ram.h"

/* POSTCOPY_RAM_DISCARD. */
bool inspect_command_discard(Stream *stream, const Command *command,
                             InspectRam *ram, GError **errp);

#endif
