/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vmm/kvm/kvm-dirty.h over a log that does as KVM's: what it costs, and that no
 * write is lost, however old the copy is.
 */
#include "vmm/kvm/kvm-dirty.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/bitmap.h"

enum { VM = -77, PART = 4096 };

#define MS UINT64_C(1000000)

/* The kernel's side. */
static struct {
    uint64_t pages;
    uint64_t *log;
    uint64_t copies, copied; /* of the log; bytes */
    unsigned fail;           /* this request */
    /* The guest writes these in the middle of the next request. */
    uint64_t late[2];
    unsigned lates;
} kvm;

/* A write that no collection has told of since. */
static uint64_t *untold;

static void guest_writes(uint64_t page)
{
    bitmap_set(kvm.log, page);
    bitmap_set(untold, page);
}

static int get_log(const struct kvm_dirty_log *get)
{
    size_t size = bitmap_words(kvm.pages) * sizeof(uint64_t);

    memcpy(get->dirty_bitmap, kvm.log, size);
    kvm.copies++;
    kvm.copied += size;
    return 0;
}

/* Protect these pages again: what was written so far is to be read later. */
static int clear_log(const struct kvm_clear_dirty_log *clear)
{
    const uint64_t *bits = clear->dirty_bitmap;

    g_assert_cmpuint(clear->first_page % 64, ==, 0);
    g_assert_true(clear->num_pages % 64 == 0 ||
                  clear->first_page + clear->num_pages == kvm.pages);
    for (uint64_t i = 0; i < bitmap_words(clear->num_pages); i++) {
        kvm.log[clear->first_page / 64 + i] &= ~bits[i];
        untold[clear->first_page / 64 + i] &= ~bits[i];
    }
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    va_list ap;
    void *arg;
    int result;

    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    if (fd != VM) {
        return (int)syscall(SYS_ioctl, fd, request, arg);
    }
    if ((unsigned)request == kvm.fail) {
        errno = EIO;
        return -1;
    }
    while (kvm.lates) {
        guest_writes(kvm.late[--kvm.lates]);
    }
    result = request == KVM_GET_DIRTY_LOG ? get_log(arg) : clear_log(arg);
    return result;
}

static KvmDirty *world_new(uint64_t pages)
{
    KvmDirty *dirty = g_new0(KvmDirty, 1);

    kvm.pages = pages;
    kvm.log = bitmap_new(pages);
    untold = bitmap_new(pages);
    kvm_dirty_init(dirty, VM, pages);
    return dirty;
}

static void world_free(KvmDirty *dirty)
{
    kvm_dirty_destroy(dirty);
    g_free(dirty);
    g_free(kvm.log);
    g_free(untold);
    memset(&kvm, 0, sizeof(kvm));
}

/* How many pages are told of. */
static uint64_t collect(KvmDirty *dirty, uint64_t first, uint64_t pages,
                        uint64_t now)
{
    const MigRamPart part = { .first = first, .pages = pages };
    g_autofree uint64_t *bitmap = bitmap_new(pages);
    g_autoptr(GError) err = NULL;

    kvm_dirty_collect(dirty, &part, now, bitmap, &err);
    g_assert_no_error(err);
    return bitmap_count(bitmap, pages);
}

/* A pass over 64 GiB, at 16 GiB/s. */
static void test_cost(void)
{
    uint64_t pages = UINT64_C(64) << 18, parts = pages / PART;
    KvmDirty *dirty = world_new(pages);
    uint64_t now = MS;

    for (uint64_t i = 0; i < parts; i++, now += MS) {
        guest_writes(i * PART + i);
        collect(dirty, i * PART, PART, now);
    }
    g_assert_cmpuint(kvm.copies, ==, (parts + 99) / 100);
    g_assert_cmpuint(kvm.copied, <, UINT64_C(100) << 20);
    world_free(dirty);
}

/* Of a slow pass each part has a copy of its own. */
static void test_fresh(void)
{
    KvmDirty *dirty = world_new(3 * PART);

    guest_writes(1);
    guest_writes(PART + 1);
    g_assert_cmpuint(collect(dirty, 0, PART, 1000 * MS), ==, 1);
    guest_writes(PART + 2); /* not in the copy */
    g_assert_cmpuint(collect(dirty, PART, PART, 1099 * MS), ==, 1);
    g_assert_cmpuint(kvm.copies, ==, 1);
    g_assert_cmpuint(collect(dirty, PART, PART, 1100 * MS), ==, 1);
    g_assert_cmpuint(kvm.copies, ==, 2);
    world_free(dirty);
}

/* All of it is always what it is now: with the guest stopped it is the last
 * that anybody asks. */
static void test_whole(void)
{
    KvmDirty *dirty = world_new(PART + 100);

    guest_writes(1);
    g_assert_cmpuint(collect(dirty, 0, PART, 1000 * MS), ==, 1);
    guest_writes(1);
    guest_writes(PART + 99);
    g_assert_cmpuint(collect(dirty, 0, PART + 100, 1000 * MS), ==, 2);
    guest_writes(7);
    /* The copy was used up: the next part does not make do with it. */
    g_assert_cmpuint(collect(dirty, 0, PART, 1000 * MS), ==, 1);
    g_assert_cmpuint(kvm.copies, ==, 3);
    world_free(dirty);
}

/* Every write is reported in the end, also one in the middle of a call. */
static void test_nothing_is_lost(void)
{
    enum { PARTS = 5, PAGES = PARTS * PART - 77 };
    KvmDirty *dirty = world_new(PAGES);
    GRand *random = g_rand_new_with_seed(15);
    uint64_t now = MS;

    for (unsigned i = 0; i < 3000; i++) {
        unsigned part = (unsigned)g_rand_int_range(random, 0, PARTS);
        uint64_t first = part * PART;

        for (unsigned k = 0; k < 20; k++) {
            guest_writes((uint64_t)g_rand_int_range(random, 0, PAGES));
        }
        kvm.lates = G_N_ELEMENTS(kvm.late);
        for (unsigned k = 0; k < kvm.lates; k++) {
            kvm.late[k] = (uint64_t)g_rand_int_range(random, 0, PAGES);
        }
        now += (uint64_t)g_rand_int_range(random, 0, 60) * MS;
        if (i % 100 == 99) {
            collect(dirty, 0, PAGES, now);
        } else {
            collect(dirty, first, MIN(PART, PAGES - first), now);
        }
    }
    kvm.lates = 0;
    collect(dirty, 0, PAGES, now);
    g_assert_cmpuint(bitmap_count(untold, PAGES), ==, 0);
    g_assert_cmpuint(bitmap_count(kvm.log, PAGES), ==, 0);
    g_rand_free(random);
    world_free(dirty);
}

static void test_fails(void)
{
    const MigRamPart part = { .first = 0, .pages = PART };
    const unsigned requests[] = { (unsigned)KVM_GET_DIRTY_LOG,
                                  (unsigned)KVM_CLEAR_DIRTY_LOG };

    for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++) {
        KvmDirty *dirty = world_new(2 * PART);
        uint64_t bitmap[PART / 64] = { 0 };
        g_autoptr(GError) err = NULL;

        kvm.fail = requests[i];
        g_assert_false(kvm_dirty_collect(dirty, &part, MS, bitmap, &err));
        g_assert_true(g_str_has_suffix(err->message,
                                       "_DIRTY_LOG: Input/output error"));
        world_free(dirty);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kvm-dirty/cost", test_cost);
    g_test_add_func("/kvm-dirty/fresh", test_fresh);
    g_test_add_func("/kvm-dirty/whole", test_whole);
    g_test_add_func("/kvm-dirty/nothing-is-lost", test_nothing_is_lost);
    g_test_add_func("/kvm-dirty/fails", test_fails);
    return g_test_run();
}
