/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm/guest-ram.h, as far as the kernel tells which pages were never used:
 * what was written is never taken for untouched, however it was.
 */
#include "vmm/guest-ram.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ferry/host.h"
#include "vmm/pagemap-scan.h"

enum { PAGES = 1000, WORDS = (PAGES + 63) / 64 };

static bool kernel_tells(void)
{
    PagemapScan scan = { .fd = pagemap_open(), .any = PAGEMAP_EXISTS };
    GuestRam ram;
    bool ok;

    g_assert_true(guest_ram_init(&ram, MIG_PAGE_SIZE, NULL));
    ok = pagemap_scan(&scan, &ram);
    guest_ram_destroy(&ram);
    close(scan.fd);
    if (!ok) {
        g_test_skip("this machine's kernel has NO PAGEMAP_SCAN");
    }
    return ok;
}

static void note_found(void *opaque, uint64_t page, uint64_t end,
                       uint64_t what)
{
    *(bool *)opaque = true;
}

/* Does a page that was only read share the kernel's zero page?  Some kernels
 * give it memory of its own, as if it had been written. */
static bool kernel_shares_zero(void)
{
    bool shares = false;
    PagemapScan scan = {
        .fd = pagemap_open(), .any = PAGEMAP_ZERO,
        .found = note_found, .opaque = &shares,
    };
    GuestRam ram;

    g_assert_true(guest_ram_init(&ram, MIG_PAGE_SIZE, NULL));
    g_assert_cmpint(*(volatile uint8_t *)ram.host, ==, 0);
    g_assert_true(pagemap_scan(&scan, &ram));
    guest_ram_destroy(&ram);
    close(scan.fd);
    return shares;
}

static bool is_set(const uint64_t *bitmap, unsigned page)
{
    return bitmap[page / 64] >> page % 64 & 1;
}

static void test_untouched(void)
{
    uint64_t bitmap[WORDS] = { 0 };
    GuestRam ram;

    if (!kernel_tells()) {
        return;
    }
    g_assert_true(guest_ram_init(&ram, PAGES * MIG_PAGE_SIZE, NULL));
    for (unsigned n = 0; n < PAGES; n += 3) {
        ram.host[n * MIG_PAGE_SIZE + n] = n % 2; /* every other: a zero */
    }
    /* Only read: zero, and nobody wrote it. */
    if (kernel_shares_zero()) {
        g_assert_cmpint(*(volatile uint8_t *)(ram.host + MIG_PAGE_SIZE), ==,
                        0);
    } else {
        g_test_message("a page that was read is not tried: this kernel gives "
                       "it memory of its own");
    }
    guest_ram_find_untouched(&ram, bitmap);
    for (unsigned n = 0; n < PAGES; n++) {
        g_assert_cmpint(is_set(bitmap, n), ==, n % 3 != 0);
    }
    for (unsigned n = PAGES; n < 64 * WORDS; n++) {
        g_assert_false(is_set(bitmap, n));
    }
    guest_ram_destroy(&ram);
}

/* Written through the kernel, and pages of another size. */
static void test_other_ways(void)
{
    uint64_t bitmap[WORDS] = { 0 };
    uint64_t size = PAGES * MIG_PAGE_SIZE;
    GuestRam ram;
    int fds[2];

    g_assert_true(guest_ram_init(&ram, size, NULL));
    madvise(ram.host, size, MADV_HUGEPAGE); /* as far as it goes */
    g_assert_cmpint(pipe(fds), ==, 0);
    g_assert_cmpint(write(fds[1], "x", 1), ==, 1);
    g_assert_cmpint(read(fds[0], ram.host + 500 * MIG_PAGE_SIZE, 1), ==, 1);
    ram.host[700 * MIG_PAGE_SIZE] = 1;
    guest_ram_find_untouched(&ram, bitmap);
    g_assert_false(is_set(bitmap, 500));
    g_assert_false(is_set(bitmap, 700));
    for (unsigned n = 0; n < PAGES; n++) {
        g_assert_true(!is_set(bitmap, n) || ram.host[n * MIG_PAGE_SIZE] == 0);
    }
    close(fds[0]);
    close(fds[1]);
    guest_ram_destroy(&ram);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vmm-ram/untouched", test_untouched);
    g_test_add_func("/vmm-ram/other-ways", test_other_ways);
    return g_test_run();
}
