/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's physical memory as a file. */
#ifndef TOOLS_INSPECT_WRITE_MEMORY_H
#define TOOLS_INSPECT_WRITE_MEMORY_H

#include "tools/inspect/converters/layout.h"

/* Each byte at its address; firmware, which is below 4 GiB, is left out. */
bool write_raw(int fd, const InspectReport *report, const InspectRam *ram,
               const LayoutConfig *config, GError **errp);

/* An ELF core, as QEMU's dump-guest-memory writes it, without the memory of
 * devices. */
bool write_elf(int fd, const InspectReport *report, const InspectRam *ram,
               const LayoutConfig *config, GError **errp);

#endif
