/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * userfaultfd in its asynchronous write-protect mode, and the PAGEMAP_SCAN
 * ioctl: Linux 6.7, Documentation/admin-guide/mm/pagemap.rst and
 * userfaultfd.rst.
 *
 * RAM is write-protected.  The kernel itself resolves the fault of the first
 * write to a page, and marks the page "written" by that.  One ioctl finds the
 * written pages of a range and protects them again, atomically for each page.
 *
 * Only pages that exist are protected and looked at.  A page that comes to
 * exist later is not protected, and so counts as written.  So the cost goes by
 * the memory that the guest uses.  To protect pages that do not exist would
 * take page tables for all of RAM, and a walk over them at each look.
 */
#include "vmm/soft/dirty-pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ferry/error.h"
#include "ferry/host.h"
#include "util/fail.h"
#include "vmm/pagemap-scan.h"

#define FEATURE_WP_ASYNC    (1ull << 15)
#define USER_MODE_ONLY      1
#define IOC_NEW_USERFAULTFD _IO(0xaa, 0)

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
        .features = FEATURE_WP_ASYNC,
    };

    log->uffd = open_userfaultfd();
    if (log->uffd < 0) {
        return fail_errno(errp, "dirty log: userfaultfd");
    }
    if (ioctl(log->uffd, UFFDIO_API, &api) < 0) {
        return fail_errno(errp, "dirty log: asynchronous write protection");
    }
    log->pagemap = pagemap_open();
    if (log->pagemap < 0) {
        return fail_errno(errp, "dirty log: /proc/self/pagemap");
    }
    return true;
}

/* The kernel may have one of the two and not the other: try both on one
 * page. */
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

bool dirty_pagemap_start(DirtyPagemap *log, const GuestRam *ram, GError **errp)
{
    struct uffdio_register reg = {
        .range = range_of(ram), .mode = UFFDIO_REGISTER_MODE_WP,
    };
    const PagemapScan protect = {
        .fd = log->pagemap, .protect = true, .any = PAGEMAP_EXISTS,
    };

    if (ioctl(log->uffd, UFFDIO_REGISTER, &reg) < 0) {
        return fail_errno(errp, "dirty log: register");
    }
    if (!pagemap_scan(&protect, ram)) {
        fail_errno(errp, "dirty log: write-protect");
        dirty_pagemap_stop(log, ram);
        return false;
    }
    return true;
}

void dirty_pagemap_stop(DirtyPagemap *log, const GuestRam *ram)
{
    struct uffdio_range range = range_of(ram);

    /* Cannot fail for a range that is registered.  It also lifts the
     * protection. */
    ioctl(log->uffd, UFFDIO_UNREGISTER, &range);
}

static void set_bits(void *opaque, uint64_t page, uint64_t end, uint64_t what)
{
    uint64_t *bitmap = opaque;

    for (; page < end; page++) {
        bitmap[page / 64] |= 1ull << (page % 64);
    }
}

bool dirty_pagemap_collect(DirtyPagemap *log, const GuestRam *ram,
                           uint64_t *bitmap, GError **errp)
{
    const PagemapScan written = {
        .fd = log->pagemap, .protect = true,
        .all = PAGEMAP_WRITTEN, .any = PAGEMAP_EXISTS,
        .found = set_bits, .opaque = bitmap,
    };

    return pagemap_scan(&written, ram) ||
           fail_errno(errp, "dirty log: PAGEMAP_SCAN");
}
