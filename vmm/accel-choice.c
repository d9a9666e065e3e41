/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The choice of an accelerator.
 *
 * That /dev/kvm opens says little: on some machines KVM has no hardware under
 * it and runs a guest a hundred times slower than the software CPU does.  So
 * KVM is first tried with a tiny guest (kvm-probe.c), and the default takes it
 * only when it is fast.
 */
#include "ferry/error.h"
#include "vmm/accel.h"
#include "vmm/kvm/kvm-probe.h"

static const AccelOps *soft_ops(GError **errp)
{
#ifdef HAVE_UNICORN
    return &accel_soft_ops;
#else
    g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                "the software CPU was not built in (it needs Unicorn)");
    return NULL;
#endif
}

/* Without a software CPU a slow KVM is better than nothing. */
static const AccelOps *default_ops(GError **errp)
{
    g_autoptr(GError) kvm_error = NULL;
    KvmProbe kvm = kvm_probe(&kvm_error);
    const AccelOps *soft = soft_ops(kvm == KVM_PROBE_BROKEN ? errp : NULL);

    if (kvm == KVM_PROBE_FAST || (kvm == KVM_PROBE_SLOW && !soft)) {
        return &accel_kvm_ops;
    }
    if (!soft) {
        g_prefix_error(errp, "%s, and ", kvm_error->message);
    }
    return soft;
}

static const AccelOps *choose(AccelKind kind, GError **errp)
{
    switch (kind) {
    case ACCEL_DEFAULT:
        return default_ops(errp);
    case ACCEL_KVM:
        return kvm_probe(errp) == KVM_PROBE_BROKEN ? NULL : &accel_kvm_ops;
    case ACCEL_SOFT:
        return soft_ops(errp);
    }
    g_assert_not_reached();
}

Accel *accel_new(const AccelOptions *options, const AccelBoard *board,
                 GError **errp)
{
    const AccelOps *ops = choose(options->kind, errp);

    return ops ? ops->new(board, options, errp) : NULL;
}
