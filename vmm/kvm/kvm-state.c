/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Converts between CpuState and KVM's structures: Linux,
 * Documentation/virt/kvm/api.rst and <asm/kvm.h>.
 */
#include "vmm/kvm/kvm-state.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "ferry/error.h"
#include "util/fail.h"

#define MAX_CPUID_ENTRIES 256

#define MSR_TSC            0x10
#define MSR_SYSENTER_CS    0x174
#define MSR_SYSENTER_ESP   0x175
#define MSR_SYSENTER_EIP   0x176
#define MSR_PAT            0x277
#define MSR_STAR           0xc0000081
#define MSR_LSTAR          0xc0000082
#define MSR_CSTAR          0xc0000083
#define MSR_FMASK          0xc0000084
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX        0xc0000103

static struct kvm_segment to_kvm_segment(const CpuSegment *s)
{
    return (struct kvm_segment) {
        .base = s->base, .limit = s->limit, .selector = s->selector,
        .type = CPU_AR_TYPE(s->access), .s = !!(s->access & CPU_AR_S),
        .dpl = CPU_AR_DPL(s->access), .present = !!(s->access & CPU_AR_P),
        .avl = !!(s->access & CPU_AR_AVL), .l = !!(s->access & CPU_AR_L),
        .db = !!(s->access & CPU_AR_DB), .g = !!(s->access & CPU_AR_G),
        .unusable = !!(s->access & CPU_AR_UNUSABLE),
    };
}

static CpuSegment from_kvm_segment(const struct kvm_segment *k)
{
    return (CpuSegment) {
        .base = k->base, .limit = k->limit, .selector = k->selector,
        .access = k->type | (k->s ? CPU_AR_S : 0) | (uint32_t)k->dpl << 5 |
                  (k->present ? CPU_AR_P : 0) | (k->avl ? CPU_AR_AVL : 0) |
                  (k->l ? CPU_AR_L : 0) | (k->db ? CPU_AR_DB : 0) |
                  (k->g ? CPU_AR_G : 0) | (k->unusable ? CPU_AR_UNUSABLE : 0),
    };
}

static void to_kvm_regs(struct kvm_regs *k, const CpuState *s)
{
    *k = (struct kvm_regs) {
        .rax = s->gpr[0], .rcx = s->gpr[1], .rdx = s->gpr[2],
        .rbx = s->gpr[3], .rsp = s->gpr[4], .rbp = s->gpr[5],
        .rsi = s->gpr[6], .rdi = s->gpr[7], .r8 = s->gpr[8],
        .r9 = s->gpr[9], .r10 = s->gpr[10], .r11 = s->gpr[11],
        .r12 = s->gpr[12], .r13 = s->gpr[13], .r14 = s->gpr[14],
        .r15 = s->gpr[15], .rip = s->rip, .rflags = s->rflags,
    };
}

static void from_kvm_regs(CpuState *s, const struct kvm_regs *k)
{
    const uint64_t gpr[CPU_GPR_COUNT] = {
        k->rax, k->rcx, k->rdx, k->rbx, k->rsp, k->rbp, k->rsi, k->rdi,
        k->r8, k->r9, k->r10, k->r11, k->r12, k->r13, k->r14, k->r15,
    };

    memcpy(s->gpr, gpr, sizeof(gpr));
    s->rip = k->rip;
    s->rflags = k->rflags;
}

static void to_kvm_sregs(struct kvm_sregs *k, const CpuState *s)
{
    k->es = to_kvm_segment(&s->seg[CPU_ES]);
    k->cs = to_kvm_segment(&s->seg[CPU_CS]);
    k->ss = to_kvm_segment(&s->seg[CPU_SS]);
    k->ds = to_kvm_segment(&s->seg[CPU_DS]);
    k->fs = to_kvm_segment(&s->seg[CPU_FS]);
    k->gs = to_kvm_segment(&s->seg[CPU_GS]);
    k->ldt = to_kvm_segment(&s->ldt);
    k->tr = to_kvm_segment(&s->tr);
    k->gdt.base = s->gdt.base;
    k->gdt.limit = s->gdt.limit;
    k->idt.base = s->idt.base;
    k->idt.limit = s->idt.limit;
    k->cr0 = s->cr0;
    k->cr2 = s->cr2;
    k->cr3 = s->cr3;
    k->cr4 = s->cr4;
    k->efer = s->efer;
}

static void from_kvm_sregs(CpuState *s, const struct kvm_sregs *k)
{
    s->seg[CPU_ES] = from_kvm_segment(&k->es);
    s->seg[CPU_CS] = from_kvm_segment(&k->cs);
    s->seg[CPU_SS] = from_kvm_segment(&k->ss);
    s->seg[CPU_DS] = from_kvm_segment(&k->ds);
    s->seg[CPU_FS] = from_kvm_segment(&k->fs);
    s->seg[CPU_GS] = from_kvm_segment(&k->gs);
    s->ldt = from_kvm_segment(&k->ldt);
    s->tr = from_kvm_segment(&k->tr);
    s->gdt = (CpuTable) { .base = k->gdt.base, .limit = k->gdt.limit };
    s->idt = (CpuTable) { .base = k->idt.base, .limit = k->idt.limit };
    s->cr0 = k->cr0;
    s->cr2 = k->cr2;
    s->cr3 = k->cr3;
    s->cr4 = k->cr4;
    s->efer = k->efer;
}

/*
 * KVM_SET_FPU forgets MXCSR, so KVM_SET_XSAVE is used: an FXSAVE image (Intel
 * SDM volume 1, 10.5.1), padded, and the header of the XSAVE area.
 */
typedef struct KvmXsave {
    uint16_t control, status;
    uint8_t tags, reserved;
    uint16_t opcode;
    uint64_t ip, dp;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16];
    uint8_t xmm[16][16];
    uint8_t unused[96];
    uint64_t present; /* XSTATE_BV */
    uint8_t rest[sizeof(struct kvm_xsave) - 520];
} KvmXsave;

G_STATIC_ASSERT(sizeof(KvmXsave) == sizeof(struct kvm_xsave));
G_STATIC_ASSERT(offsetof(KvmXsave, present) == 512);

#define XSTATE_X87_SSE 3

static void to_kvm_xsave(KvmXsave *k, const CpuFpu *f)
{
    memset(k, 0, sizeof(*k));
    memcpy(k->st, f->st, sizeof(k->st));
    memcpy(k->xmm, f->xmm, sizeof(k->xmm));
    k->control = f->control;
    k->status = f->status;
    k->tags = f->tags;
    k->opcode = f->opcode;
    k->ip = f->ip;
    k->dp = f->dp;
    k->mxcsr = f->mxcsr;
    k->present = XSTATE_X87_SSE;
}

static void from_kvm_xsave(CpuFpu *f, const KvmXsave *k)
{
    memcpy(f->st, k->st, sizeof(f->st));
    memcpy(f->xmm, k->xmm, sizeof(f->xmm));
    f->control = k->control;
    f->status = k->status;
    f->tags = k->tags;
    f->opcode = k->opcode;
    f->ip = k->ip;
    f->dp = k->dp;
    f->mxcsr = k->mxcsr;
}

typedef struct KvmMsr {
    uint32_t number;
    size_t offset; /* in CpuState */
} KvmMsr;

static const KvmMsr kvm_msrs[] = {
    { MSR_TSC, offsetof(CpuState, tsc) },
    { MSR_SYSENTER_CS, offsetof(CpuState, msrs.sysenter_cs) },
    { MSR_SYSENTER_ESP, offsetof(CpuState, msrs.sysenter_esp) },
    { MSR_SYSENTER_EIP, offsetof(CpuState, msrs.sysenter_eip) },
    { MSR_PAT, offsetof(CpuState, msrs.pat) },
    { MSR_STAR, offsetof(CpuState, msrs.star) },
    { MSR_LSTAR, offsetof(CpuState, msrs.lstar) },
    { MSR_CSTAR, offsetof(CpuState, msrs.cstar) },
    { MSR_FMASK, offsetof(CpuState, msrs.fmask) },
    { MSR_KERNEL_GS_BASE, offsetof(CpuState, msrs.kernel_gs_base) },
    { MSR_TSC_AUX, offsetof(CpuState, msrs.tsc_aux) },
};

typedef struct OneMsr {
    struct kvm_msrs head;
    struct kvm_msr_entry entry;
} OneMsr;

/* An MSR that this CPU does not have keeps its value in the state. */
static void get_msrs(int fd, CpuState *s)
{
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(kvm_msrs); i++) {
        OneMsr msr = {
            .head.nmsrs = 1, .entry.index = kvm_msrs[i].number,
        };

        if (ioctl(fd, KVM_GET_MSRS, &msr) == 1) {
            memcpy((char *)s + kvm_msrs[i].offset, &msr.entry.data,
                   sizeof(msr.entry.data));
        }
    }
}

static bool set_msrs(int fd, const CpuState *s, GError **errp)
{
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(kvm_msrs); i++) {
        OneMsr msr = {
            .head.nmsrs = 1, .entry.index = kvm_msrs[i].number,
        };

        memcpy(&msr.entry.data, (const char *)s + kvm_msrs[i].offset,
               sizeof(msr.entry.data));
        /* If the MSR does not exist, a value of zero is no loss. */
        if (ioctl(fd, KVM_SET_MSRS, &msr) != 1 && msr.entry.data != 0) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                        "kvm: cannot set MSR 0x%x to 0x%llx",
                        msr.entry.index, msr.entry.data);
            return false;
        }
    }
    return true;
}

static bool set_event(int fd, const CpuEvent *event, GError **errp)
{
    struct kvm_vcpu_events k = {
        .flags = KVM_VCPUEVENT_VALID_SHADOW,
        .exception.injected = event->injected,
        .exception.nr = event->vector,
        .exception.has_error_code = event->has_error,
        .exception.error_code = event->error,
        .interrupt.shadow = event->shadow,
    };

    if (ioctl(fd, KVM_SET_VCPU_EVENTS, &k) < 0) {
        return fail_errno(errp, "kvm: KVM_SET_VCPU_EVENTS");
    }
    return true;
}

static bool get_event(int fd, CpuEvent *event, GError **errp)
{
    struct kvm_vcpu_events k;

    if (ioctl(fd, KVM_GET_VCPU_EVENTS, &k) < 0) {
        return fail_errno(errp, "kvm: KVM_GET_VCPU_EVENTS");
    }
    event->injected = k.exception.injected;
    event->vector = k.exception.nr;
    event->has_error = k.exception.has_error_code;
    event->error = k.exception.error_code;
    event->shadow = k.interrupt.shadow;
    return true;
}

bool kvm_state_load(int fd, const CpuState *s, GError **errp)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    KvmXsave xsave;

    to_kvm_regs(&regs, s);
    to_kvm_xsave(&xsave, &s->fpu);
    /* Registers that our state lacks (the APIC's base) stay as they are. */
    if (ioctl(fd, KVM_GET_SREGS, &sregs) < 0) {
        return fail_errno(errp, "kvm: KVM_GET_SREGS");
    }
    to_kvm_sregs(&sregs, s);
    if (ioctl(fd, KVM_SET_SREGS, &sregs) < 0) {
        return fail_errno(errp, "kvm: the segment or control registers are "
                          "refused");
    }
    if (ioctl(fd, KVM_SET_REGS, &regs) < 0) {
        return fail_errno(errp, "kvm: KVM_SET_REGS");
    }
    if (ioctl(fd, KVM_SET_XSAVE, &xsave) < 0) {
        return fail_errno(errp, "kvm: the x87/SSE registers are refused");
    }
    return set_msrs(fd, s, errp) && set_event(fd, &s->event, errp);
}

bool kvm_state_save(int fd, CpuState *s, GError **errp)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    KvmXsave xsave;

    if (ioctl(fd, KVM_GET_REGS, &regs) < 0 ||
        ioctl(fd, KVM_GET_SREGS, &sregs) < 0 ||
        ioctl(fd, KVM_GET_XSAVE, &xsave) < 0) {
        return fail_errno(errp, "kvm: cannot read the CPU's registers");
    }
    from_kvm_regs(s, &regs);
    from_kvm_sregs(s, &sregs);
    from_kvm_xsave(&s->fpu, &xsave);
    get_msrs(fd, s);
    return get_event(fd, &s->event, errp);
}

static void clear_bits(uint32_t *reg, uint32_t bits)
{
    *reg &= ~bits;
}

/*
 * Limit the guest's CPU to what the state can carry: no XSAVE and nothing that
 * lives in its area, no protection keys, no local APIC timer, no KVM clock.
 */
static void limit_cpuid(struct kvm_cpuid2 *cpuid)
{
    unsigned i;

    for (i = 0; i < cpuid->nent; i++) {
        struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

        switch (e->function) {
        case 1: /* MONITOR, FMA, x2APIC, TSC deadline, (OS)XSAVE, AVX, F16C */
            clear_bits(&e->ecx, 1u << 3 | 1u << 12 | 1u << 21 | 1u << 24 |
                                    7u << 26 | 1u << 29);
            break;
        case 7:
        case 0xd:
        case 0x40000000:
        case 0x40000001:
            e->eax = e->ebx = e->ecx = e->edx = 0;
            break;
        case 0x80000001: /* XOP, LWP, FMA4 */
            clear_bits(&e->ecx, 1u << 11 | 1u << 15 | 1u << 16);
            break;
        }
    }
}

bool kvm_state_set_cpuid(int kvm, int fd, GError **errp)
{
    g_autofree struct kvm_cpuid2 *cpuid =
        g_malloc0(sizeof(*cpuid) +
                  MAX_CPUID_ENTRIES * sizeof(cpuid->entries[0]));

    cpuid->nent = MAX_CPUID_ENTRIES;
    if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid) < 0) {
        return fail_errno(errp, "kvm: KVM_GET_SUPPORTED_CPUID");
    }
    limit_cpuid(cpuid);
    if (ioctl(fd, KVM_SET_CPUID2, cpuid) < 0) {
        return fail_errno(errp, "kvm: KVM_SET_CPUID2");
    }
    return true;
}
