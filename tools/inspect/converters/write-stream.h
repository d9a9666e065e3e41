/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same guest as a stream that any QEMU of its version loads. */
#ifndef TOOLS_INSPECT_WRITE_STREAM_H
#define TOOLS_INSPECT_WRITE_STREAM_H

#include "tools/inspect/converters/layout.h"

/*
 * Write to this descriptor a bare stream, with each page once, plain or zero,
 * and without what needs a capability.  MIG_ERROR_UNSUPPORTED when the guest
 * has something that cannot be written so.
 */
bool write_stream(int fd, const InspectReport *report, const InspectRam *ram,
                  const LayoutConfig *unused, GError **errp);

#endif
