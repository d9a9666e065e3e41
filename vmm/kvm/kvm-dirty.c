/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM copies the log of a whole slot, 2 MiB for 64 GiB, but forgets only the
 * pages that it is told to forget.  So one copy serves for all parts that are
 * asked for while it is fresh.
 *
 * Nothing is lost by that.  A page of the copy is handed out once.  Then KVM is
 * told to forget exactly the pages that were handed out, which protects them
 * again before they are read.  Pages that were written after the copy was made
 * stay in the log, for the next copy.
 */
#include "vmm/kvm/kvm-dirty.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "util/fail.h"

/* How long a copy is fresh.  A page that is written in that time, before its
 * turn, may be sent twice.  To copy 2 MiB takes a thousandth of that time. */
#define FRESH_NS UINT64_C(100000000)

void kvm_dirty_init(KvmDirty *dirty, int vm, uint64_t pages)
{
    *dirty = (KvmDirty){
        .vm = vm, .pages = pages,
        .copy = g_new0(uint64_t, (pages + 63) / 64),
    };
}

void kvm_dirty_destroy(KvmDirty *dirty)
{
    g_free(dirty->copy);
    *dirty = (KvmDirty){ .copy = NULL };
}

static bool call(const KvmDirty *dirty, unsigned long request, void *arg,
                 const char *name, GError **errp)
{
    return ioctl(dirty->vm, request, arg) >= 0 ||
           fail_errno(errp, "kvm: %s", name);
}

static bool make_copy(KvmDirty *dirty, uint64_t now, GError **errp)
{
    struct kvm_dirty_log get = { .dirty_bitmap = dirty->copy };

    if (!call(dirty, KVM_GET_DIRTY_LOG, &get, "KVM_GET_DIRTY_LOG", errp)) {
        return false;
    }
    dirty->copied_at = now;
    return true;
}

bool kvm_dirty_collect(KvmDirty *dirty, const MigRamPart *part, uint64_t now,
                       uint64_t *bitmap, GError **errp)
{
    uint64_t *bits = dirty->copy + part->first / 64;
    uint64_t words = (part->pages + 63) / 64;
    bool whole = part->pages == dirty->pages;
    /* Clear exactly these bits, or a write in between would be lost. */
    struct kvm_clear_dirty_log clear = {
        .first_page = part->first, .num_pages = (uint32_t)part->pages,
        .dirty_bitmap = bits,
    };

    if ((whole || !dirty->copied_at || now - dirty->copied_at >= FRESH_NS) &&
        !make_copy(dirty, now, errp)) {
        return false;
    }
    if (!call(dirty, KVM_CLEAR_DIRTY_LOG, &clear, "KVM_CLEAR_DIRTY_LOG",
              errp)) {
        return false;
    }
    for (uint64_t i = 0; i < words; i++) {
        bitmap[i] |= bits[i];
    }
    memset(bits, 0, words * sizeof(*bits));
    if (whole) {
        dirty->copied_at = 0; /* nothing is left in the copy */
    }
    return true;
}
