/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is behind RAM: devices, EOF, the vmdescription, perhaps GO. */
#ifndef TOOLS_INSPECT_TAIL_H
#define TOOLS_INSPECT_TAIL_H

#include "tools/inspect/streams/inspect-stream.h"
#include "migration/wire/stream.h"

/* The devices that the report has already came before RAM. */
bool inspect_tail(const Input *input, const InspectConfig *config,
                  InspectReport *report, bool lacks_footers, GError **errp);

#endif
