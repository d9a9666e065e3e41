/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where RAM blocks are in the guest's physical memory. */
#ifndef TOOLS_INSPECT_LAYOUT_H
#define TOOLS_INSPECT_LAYOUT_H

#include "tools/inspect/streams/inspect-ram.h"

/* What a stream does not say. */
typedef struct LayoutPlace {
    const char *block;
    uint64_t address;
} LayoutPlace;

typedef struct LayoutConfig {
    const char *ram;     /* names with commas between; NULL: the board's own */
    const GArray *place; /* of LayoutPlace */
} LayoutConfig;

/* A piece of a block; whole pages. */
typedef struct LayoutPart {
    uint64_t address, size;
    unsigned block;
    uint64_t offset; /* in the block */
    bool is_rom; /* firmware below 4 GiB */
} LayoutPart;

/* By address, none over another; of LayoutPart, to be freed by g_array_unref().
 * Warns of blocks that may be memory, and have no place.  NULL when the layout
 * of the machine is not known. */
GArray *layout_new(const InspectReport *report, const LayoutConfig *config,
                   GError **errp);

/* Write a part to this place of a new file, where zeros are left out. */
bool layout_write(int fd, uint64_t at, const LayoutPart *part,
                  const InspectRam *ram, GError **errp);

#endif
