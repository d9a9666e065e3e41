/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VMM_KVM_KVM_PROBE_H
#define VMM_KVM_KVM_PROBE_H

#include <glib.h>

typedef enum {
    KVM_PROBE_BROKEN, /* errp says why */
    KVM_PROBE_SLOW,
    KVM_PROBE_FAST,
} KvmProbe;

/* Run a tiny guest under KVM, for a few milliseconds at most. */
KvmProbe kvm_probe(GError **errp);

#endif
