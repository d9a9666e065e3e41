/* SPDX-License-Identifier: GPL-2.0-or-later */
/* --diff: read two guests, and print what differs. */
#ifndef TOOLS_INSPECT_INSPECT_DIFF_H
#define TOOLS_INSPECT_INSPECT_DIFF_H

#include "tools/inspect/inspect-args.h"

/* *name is the stream that an error is about. */
bool inspect_diff(const InspectArgs *args, bool *same, const char **name,
                  GError **errp);

#endif
