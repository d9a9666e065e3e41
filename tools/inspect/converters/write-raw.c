/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <unistd.h>

#include "tools/inspect/converters/write-memory.h"
#include "util/fail.h"

bool write_raw(int fd, const InspectReport *report, const InspectRam *ram,
               const LayoutConfig *config, GError **errp)
{
    g_autoptr(GArray) parts = layout_new(report, config, errp);
    uint64_t end = 0;

    if (!parts) {
        return false;
    }
    for (unsigned i = 0; i < parts->len; i++) {
        const LayoutPart *part = &g_array_index(parts, LayoutPart, i);

        if (part->is_rom) {
            continue;
        }
        if (!layout_write(fd, part->address, part, ram, errp)) {
            return false;
        }
        end = part->address + part->size;
    }
    return ftruncate(fd, (off_t)end) == 0 ||
           fail_errno(errp, "cannot set the length");
}
