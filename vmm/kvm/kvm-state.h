/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VMM_KVM_KVM_STATE_H
#define VMM_KVM_KVM_STATE_H

#include <glib.h>
#include <stdbool.h>

#include "vmm/cpu.h"

/* fd is a virtual CPU's, which does not run.  The field halted is left
 * alone. */
bool kvm_state_load(int fd, const CpuState *state, GError **errp);
bool kvm_state_save(int fd, CpuState *state, GError **errp);

/* Give a new virtual CPU the features that CpuState can carry; kvm is the
 * descriptor of /dev/kvm. */
bool kvm_state_set_cpuid(int kvm, int fd, GError **errp);

#endif
