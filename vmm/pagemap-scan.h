/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PAGEMAP_SCAN ioctl (Linux 6.7, Documentation/admin-guide/mm/pagemap.rst):
 * finds the pages of guest RAM that are of a kind, and can write-protect them.
 */
#ifndef VMM_PAGEMAP_SCAN_H
#define VMM_PAGEMAP_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "vmm/guest-ram.h"

/* What a page can be. */
#define PAGEMAP_WRITTEN (1u << 1) /* since the last write-protection, if any */
#define PAGEMAP_PRESENT (1u << 3)
#define PAGEMAP_SWAPPED (1u << 4)
#define PAGEMAP_ZERO    (1u << 5) /* the kernel's zero page: only ever read */

/* The page exists: somebody touched it. */
#define PAGEMAP_EXISTS (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)

typedef struct PagemapScan {
    int fd;       /* of pagemap_open() */
    bool protect; /* write-protect what is found, atomically for each page */
    uint64_t all; /* find pages that are all of these, */
    uint64_t any; /* and at least one of these */
    /* Called for pages in a row that are alike; may be NULL. */
    void (*found)(void *opaque, uint64_t page, uint64_t end, uint64_t what);
    void *opaque;
} PagemapScan;

/* -1, and errno, when the pagemap cannot be opened. */
int pagemap_open(void);

/* False, and errno, when this kernel cannot do it. */
bool pagemap_scan(const PagemapScan *scan, const GuestRam *ram);

#endif
