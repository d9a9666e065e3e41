/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * userfaultfd in its asynchronous write-protect mode, and the PAGEMAP_SCAN
 * ioctl: Linux 6.7, Documentation/admin-guide/mm/pagemap.rst and
 * userfaultfd.rst.
 *
 * RAM is write-protected; the kernel itself resolves the fault of the first
 * write to a page, which is what marks it "written".  One ioctl finds the
 * written pages of a range and protects them again, atomically for each
 * page.  WP_UNPOPULATED makes this hold for pages that do not exist yet too.
 *
 * The definitions are repeated here because the headers of the distributions
 * that the program is built on are often older than the kernels it runs on.
 */
#include "vmm/dirty-pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "migration/error.h"
#include "migration/host.h"

#define FEATURE_WP_UNPOPULATED (1ull << 13)
#define FEATURE_WP_ASYNC       (1ull << 15)
#define USER_MODE_ONLY         1
#define IOC_NEW_USERFAULTFD    _IO(0xaa, 0)

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
#define PAGE_WRITTEN       2u

#define PROTECT_SLICE (UINT64_C(1) << 30)
#define REGIONS_PER_SCAN 1024

static bool fail_errno(const char *what, GError **errp)
{
    g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "dirty log: %s: %s", what,
                g_strerror(errno));
    return false;
}

static int open_userfaultfd(void)
{
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | USER_MODE_ONLY);
    int dev;

    if (fd >= 0) {
        return fd;
    }
    dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (dev >= 0) {
        fd = ioctl(dev, IOC_NEW_USERFAULTFD, O_CLOEXEC);
        close(dev);
    }
    return fd;
}

static bool open_both(DirtyPagemap *log, GError **errp)
{
    struct uffdio_api api = {
        .api = UFFD_API,
        .features = FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED,
    };

    log->uffd = open_userfaultfd();
    if (log->uffd < 0) {
        return fail_errno("userfaultfd", errp);
    }
    if (ioctl(log->uffd, UFFDIO_API, &api) < 0) {
        return fail_errno("asynchronous write protection", errp);
    }
    log->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (log->pagemap < 0) {
        return fail_errno("/proc/self/pagemap", errp);
    }
    return true;
}

/* The kernel may have the one and not the other: try it all on one page. */
static bool try_out(DirtyPagemap *log, GError **errp)
{
    GuestRam page;
    uint64_t before = 0, after = 0;
    bool ok;

    if (!guest_ram_init(&page, MIG_PAGE_SIZE, errp)) {
        return false;
    }
    ok = dirty_pagemap_start(log, &page, errp);
    if (ok) {
        ok = dirty_pagemap_collect(log, &page, &before, errp);
        *(volatile uint8_t *)page.host = 1;
        ok = ok && dirty_pagemap_collect(log, &page, &after, errp);
        dirty_pagemap_stop(log, &page);
        if (ok && (before != 0 || after != 1)) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                        "dirty log: the kernel does not see our writes");
            ok = false;
        }
    }
    guest_ram_destroy(&page);
    return ok;
}

bool dirty_pagemap_init(DirtyPagemap *log, GError **errp)
{
    log->uffd = log->pagemap = -1;
    if (!open_both(log, errp) || !try_out(log, errp)) {
        dirty_pagemap_destroy(log);
        return false;
    }
    return true;
}

void dirty_pagemap_destroy(DirtyPagemap *log)
{
    if (log->uffd >= 0) {
        close(log->uffd);
    }
    if (log->pagemap >= 0) {
        close(log->pagemap);
    }
    log->uffd = log->pagemap = -1;
}

static struct uffdio_range range_of(const GuestRam *ram)
{
    return (struct uffdio_range) {
        .start = (uintptr_t)ram->host, .len = ram->size,
    };
}

/* In slices, between which the process can be killed: the kernel does not look
 * while it is at one, and a page never used takes it time too. */
static bool protect(const DirtyPagemap *log, const GuestRam *ram)
{
    uint64_t at;

    for (at = 0; at < ram->size; at += PROTECT_SLICE) {
        struct uffdio_writeprotect slice = {
            .range = {
                .start = (uintptr_t)ram->host + at,
                .len = MIN(PROTECT_SLICE, ram->size - at),
            },
            .mode = UFFDIO_WRITEPROTECT_MODE_WP,
        };

        if (ioctl(log->uffd, UFFDIO_WRITEPROTECT, &slice) < 0) {
            return false;
        }
    }
    return true;
}

bool dirty_pagemap_start(DirtyPagemap *log, const GuestRam *ram, GError **errp)
{
    struct uffdio_register reg = {
        .range = range_of(ram), .mode = UFFDIO_REGISTER_MODE_WP,
    };

    if (ioctl(log->uffd, UFFDIO_REGISTER, &reg) < 0) {
        return fail_errno("register", errp);
    }
    if (!protect(log, ram)) {
        fail_errno("write-protect", errp);
        dirty_pagemap_stop(log, ram);
        return false;
    }
    return true;
}

void dirty_pagemap_stop(DirtyPagemap *log, const GuestRam *ram)
{
    struct uffdio_range range = range_of(ram);

    /* Cannot fail for a range that is registered; it also lifts the
     * protection. */
    ioctl(log->uffd, UFFDIO_UNREGISTER, &range);
}

static void set_bits(uint64_t *bitmap, uint64_t first, uint64_t end)
{
    uint64_t n;

    for (n = first; n < end; n++) {
        bitmap[n / 64] |= 1ull << (n % 64);
    }
}

bool dirty_pagemap_collect(DirtyPagemap *log, const GuestRam *ram,
                           uint64_t *bitmap, GError **errp)
{
    g_autofree PageRegion *regions = g_new(PageRegion, REGIONS_PER_SCAN);
    const uint64_t base = (uintptr_t)ram->host;
    ScanArg arg = {
        .size = sizeof(arg), .flags = SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
        .start = base, .end = base + ram->size,
        .regions = (uintptr_t)regions, .region_count = REGIONS_PER_SCAN,
        .category_mask = PAGE_WRITTEN, .return_mask = PAGE_WRITTEN,
    };

    while (arg.start < arg.end) {
        int i, n = ioctl(log->pagemap, IOC_PAGEMAP_SCAN, &arg);

        if (n < 0) {
            return fail_errno("PAGEMAP_SCAN", errp);
        }
        for (i = 0; i < n; i++) {
            set_bits(bitmap, (regions[i].start - base) >> MIG_PAGE_BITS,
                     (regions[i].end - base) >> MIG_PAGE_BITS);
        }
        arg.start = arg.walk_end;
    }
    return true;
}
