/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The definitions are repeated here because the program is often built with
 * headers that are older than the kernel that it runs on.
 */
#include "vmm/pagemap-scan.h"

#include <fcntl.h>
#include <linux/ioctl.h>
#include <sys/ioctl.h>

#include "ferry/host.h"

typedef struct PageRegion {
    uint64_t start, end, categories;
} PageRegion;

typedef struct ScanArg {
    uint64_t size, flags, start, end, walk_end;
    uint64_t regions, region_count, max_pages;
    uint64_t category_inverted, category_mask, category_any, return_mask;
} ScanArg;

#define IOC_PAGEMAP_SCAN   _IOWR('f', 16, ScanArg)
#define SCAN_WP_MATCHING   1u
#define SCAN_CHECK_WPASYNC 2u

#define REGIONS_PER_SCAN 1024

int pagemap_open(void)
{
    return open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

bool pagemap_scan(const PagemapScan *scan, const GuestRam *ram)
{
    g_autofree PageRegion *regions = g_new(PageRegion, REGIONS_PER_SCAN);
    const uint64_t base = (uintptr_t)ram->host;
    ScanArg arg = {
        .size = sizeof(arg),
        .flags = scan->protect ? SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC : 0,
        .start = base, .end = base + ram->size,
        .regions = (uintptr_t)regions, .region_count = REGIONS_PER_SCAN,
        .category_mask = scan->all, .category_any = scan->any,
        .return_mask = scan->all | scan->any | PAGEMAP_ZERO,
    };

    while (arg.start < arg.end) {
        int n = ioctl(scan->fd, IOC_PAGEMAP_SCAN, &arg);

        if (n < 0) {
            return false;
        }
        for (int i = 0; i < n && scan->found; i++) {
            scan->found(scan->opaque, (regions[i].start - base) / MIG_PAGE_SIZE,
                        (regions[i].end - base) / MIG_PAGE_SIZE,
                        regions[i].categories);
        }
        arg.start = arg.walk_end;
    }
    return true;
}
