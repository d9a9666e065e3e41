/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asks the kernel which pages of guest RAM this process has written.
 */
#ifndef VMM_SOFT_DIRTY_PAGEMAP_H
#define VMM_SOFT_DIRTY_PAGEMAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/guest-ram.h"

typedef struct DirtyPagemap {
    int uffd;
    int pagemap;
} DirtyPagemap;

/* False when this kernel cannot do it, or does not let us. */
bool dirty_pagemap_init(DirtyPagemap *log, GError **errp);
void dirty_pagemap_destroy(DirtyPagemap *log);

bool dirty_pagemap_start(DirtyPagemap *log, const GuestRam *ram,
                         GError **errp);
/* Sets the bits of the pages written since start or the last collect. */
bool dirty_pagemap_collect(DirtyPagemap *log, const GuestRam *ram,
                           uint64_t *bitmap, GError **errp);
void dirty_pagemap_stop(DirtyPagemap *log, const GuestRam *ram);

#endif
