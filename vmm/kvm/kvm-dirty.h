/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KVM's dirty log by parts: KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG, with
 * KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE. */
#ifndef VMM_KVM_KVM_DIRTY_H
#define VMM_KVM_KVM_DIRTY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/host.h"

typedef struct KvmDirty {
    int vm;             /* its slot 0 is logged; borrowed */
    uint64_t pages;     /* of the slot */
    uint64_t *copy;     /* of the log, less what was handed out since */
    uint64_t copied_at; /* host time; 0: there is no copy */
} KvmDirty;

void kvm_dirty_init(KvmDirty *dirty, int vm, uint64_t pages);
void kvm_dirty_destroy(KvmDirty *dirty); /* all zero is fine */

/* See dirty_log_collect, for all of the slot, and dirty_log_collect_part in
 * ferry/host.h; now is host time. */
bool kvm_dirty_collect(KvmDirty *dirty, const MigRamPart *part, uint64_t now,
                       uint64_t *bitmap, GError **errp);

#endif
