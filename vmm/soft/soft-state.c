/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Converts between CpuState and the registers of a Unicorn engine.
 *
 * Unicorn knows segments by their selectors only (and the bases of FS and GS),
 * which is all that matters in flat 64-bit mode.  As long as a selector is
 * still the one that was loaded, the rest of the segment is taken from the
 * loaded state.  When the guest has loaded another selector, a flat segment is
 * made up.  The TSC is the host's and cannot be set; the state keeps the value
 * that it came with.
 *
 * Unicorn numbers the x87 registers; the state has them by distance from the
 * top of the stack, as FXSAVE does.
 */
#include "vmm/soft/soft-state.h"

#include <stddef.h>
#include <string.h>

#include "ferry/error.h"

#define MSR_SYSENTER_CS    0x174
#define MSR_SYSENTER_ESP   0x175
#define MSR_SYSENTER_EIP   0x176
#define MSR_PAT            0x277
#define MSR_EFER           0xc0000080
#define MSR_STAR           0xc0000081
#define MSR_LSTAR          0xc0000082
#define MSR_CSTAR          0xc0000083
#define MSR_FMASK          0xc0000084
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX        0xc0000103

typedef struct SoftRegister {
    int id; /* UC_X86_REG_... or the number of an MSR */
    size_t offset; /* of 64 bits in CpuState */
} SoftRegister;

#define REG(id_, member_) { UC_X86_REG_##id_, offsetof(CpuState, member_) }

/* In the order in which they can be written: CR0 switches paging on. */
static const SoftRegister soft_registers[] = {
    REG(RAX, gpr[0]), REG(RCX, gpr[1]), REG(RDX, gpr[2]), REG(RBX, gpr[3]),
    REG(RSP, gpr[4]), REG(RBP, gpr[5]), REG(RSI, gpr[6]), REG(RDI, gpr[7]),
    REG(R8, gpr[8]), REG(R9, gpr[9]), REG(R10, gpr[10]), REG(R11, gpr[11]),
    REG(R12, gpr[12]), REG(R13, gpr[13]), REG(R14, gpr[14]),
    REG(R15, gpr[15]), REG(RIP, rip), REG(RFLAGS, rflags),
    REG(CR2, cr2), REG(CR4, cr4), REG(CR3, cr3), REG(CR0, cr0),
};

#define MSR(number_, member_) { number_, offsetof(CpuState, member_) }

static const SoftRegister soft_msrs[] = {
    MSR(MSR_EFER, efer),
    MSR(MSR_SYSENTER_CS, msrs.sysenter_cs),
    MSR(MSR_SYSENTER_ESP, msrs.sysenter_esp),
    MSR(MSR_SYSENTER_EIP, msrs.sysenter_eip),
    MSR(MSR_PAT, msrs.pat),
    MSR(MSR_STAR, msrs.star),
    MSR(MSR_LSTAR, msrs.lstar),
    MSR(MSR_CSTAR, msrs.cstar),
    MSR(MSR_FMASK, msrs.fmask),
    MSR(MSR_KERNEL_GS_BASE, msrs.kernel_gs_base),
    MSR(MSR_TSC_AUX, msrs.tsc_aux),
};

/* In the order of CpuState. */
static const int soft_selectors[CPU_SEG_COUNT] = {
    UC_X86_REG_ES, UC_X86_REG_CS, UC_X86_REG_SS,
    UC_X86_REG_DS, UC_X86_REG_FS, UC_X86_REG_GS,
};

static uint16_t read16(uc_engine *uc, int id)
{
    uint16_t value = 0;

    uc_reg_read(uc, id, &value);
    return value;
}

static void load_msrs(uc_engine *uc, const CpuState *s)
{
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(soft_msrs); i++) {
        uc_x86_msr msr = { .rid = soft_msrs[i].id };

        memcpy(&msr.value, (const char *)s + soft_msrs[i].offset, 8);
        uc_reg_write(uc, UC_X86_REG_MSR, &msr);
    }
}

static void save_msrs(uc_engine *uc, CpuState *s)
{
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(soft_msrs); i++) {
        uc_x86_msr msr = { .rid = soft_msrs[i].id };

        uc_reg_read(uc, UC_X86_REG_MSR, &msr);
        memcpy((char *)s + soft_msrs[i].offset, &msr.value, 8);
    }
}

static uc_x86_mmr mmr_of_segment(const CpuSegment *s)
{
    return (uc_x86_mmr) {
        .selector = s->selector, .base = s->base, .limit = s->limit,
        .flags = s->access << 8, /* as the upper half of a descriptor */
    };
}

static void load_segments(uc_engine *uc, const CpuState *s)
{
    uc_x86_mmr gdt = { .base = s->gdt.base, .limit = s->gdt.limit };
    uc_x86_mmr idt = { .base = s->idt.base, .limit = s->idt.limit };
    uc_x86_mmr ldt = mmr_of_segment(&s->ldt), tr = mmr_of_segment(&s->tr);
    unsigned i;

    uc_reg_write(uc, UC_X86_REG_GDTR, &gdt);
    uc_reg_write(uc, UC_X86_REG_IDTR, &idt);
    uc_reg_write(uc, UC_X86_REG_LDTR, &ldt);
    uc_reg_write(uc, UC_X86_REG_TR, &tr);
    /* Reads the GDT.  If a selector's descriptor is gone, the register stays as
     * it was; the shadow still has the selector. */
    for (i = 0; i < CPU_SEG_COUNT; i++) {
        uc_reg_write(uc, soft_selectors[i], &s->seg[i].selector);
    }
    uc_reg_write(uc, UC_X86_REG_FS_BASE, &s->seg[CPU_FS].base);
    uc_reg_write(uc, UC_X86_REG_GS_BASE, &s->seg[CPU_GS].base);
}

static CpuSegment flat_segment(unsigned which, uint16_t selector)
{
    return (CpuSegment) {
        .selector = selector, .limit = UINT32_MAX,
        .access = which == CPU_CS ? CPU_AR_CODE64 : CPU_AR_DATA,
    };
}

static CpuTable read_table(uc_engine *uc, int id)
{
    uc_x86_mmr mmr = { .base = 0 };

    uc_reg_read(uc, id, &mmr);
    return (CpuTable) { .base = mmr.base, .limit = mmr.limit };
}

static void save_segments(uc_engine *uc, const CpuState *shadow, CpuState *s)
{
    unsigned i;

    for (i = 0; i < CPU_SEG_COUNT; i++) {
        uint16_t selector = read16(uc, soft_selectors[i]);

        s->seg[i] = selector == shadow->seg[i].selector ?
                        shadow->seg[i] : flat_segment(i, selector);
    }
    uc_reg_read(uc, UC_X86_REG_FS_BASE, &s->seg[CPU_FS].base);
    uc_reg_read(uc, UC_X86_REG_GS_BASE, &s->seg[CPU_GS].base);
    s->gdt = read_table(uc, UC_X86_REG_GDTR);
    s->idt = read_table(uc, UC_X86_REG_IDTR);
    s->ldt = shadow->ldt;
    s->tr = shadow->tr;
}

static unsigned fpu_top(uint16_t status)
{
    return (status >> 11) & 7;
}

static void load_fpu(uc_engine *uc, const CpuFpu *fpu)
{
    unsigned i, top = fpu_top(fpu->status);
    uint16_t tags = 0;

    for (i = 0; i < 8; i++) {
        /* Two bits a register: 3 for empty; 0 is enough for all others. */
        tags |= (fpu->tags >> i & 1 ? 0 : 3) << (2 * i);
        uc_reg_write(uc, UC_X86_REG_FP0 + (top + i) % 8, fpu->st[i]);
    }
    uc_reg_write(uc, UC_X86_REG_FPCW, &fpu->control);
    uc_reg_write(uc, UC_X86_REG_FPSW, &fpu->status);
    uc_reg_write(uc, UC_X86_REG_FPTAG, &tags);
    uc_reg_write(uc, UC_X86_REG_MXCSR, &fpu->mxcsr);
    for (i = 0; i < 16; i++) {
        uc_reg_write(uc, UC_X86_REG_XMM0 + i, fpu->xmm[i]);
    }
}

/* Unicorn does not record where the last x87 instruction was. */
static void save_fpu(uc_engine *uc, CpuFpu *fpu)
{
    uint16_t tags = read16(uc, UC_X86_REG_FPTAG);
    unsigned i, top;

    fpu->control = read16(uc, UC_X86_REG_FPCW);
    fpu->status = read16(uc, UC_X86_REG_FPSW);
    fpu->tags = 0;
    top = fpu_top(fpu->status);
    for (i = 0; i < 8; i++) {
        fpu->tags |= (tags >> (2 * i) & 3) == 3 ? 0 : 1 << i;
        uc_reg_read(uc, UC_X86_REG_FP0 + (top + i) % 8, fpu->st[i]);
    }
    uc_reg_read(uc, UC_X86_REG_MXCSR, &fpu->mxcsr);
    for (i = 0; i < 16; i++) {
        uc_reg_read(uc, UC_X86_REG_XMM0 + i, fpu->xmm[i]);
    }
}

bool soft_state_load(uc_engine *uc, CpuState *shadow, const CpuState *s,
                     GError **errp)
{
    size_t i;

    if (!cpu_state_check_flat64(s, errp)) {
        return false;
    }
    load_msrs(uc, s);
    for (i = 0; i < G_N_ELEMENTS(soft_registers); i++) {
        uc_reg_write(uc, soft_registers[i].id,
                     (const char *)s + soft_registers[i].offset);
    }
    load_segments(uc, s);
    load_fpu(uc, &s->fpu);
    *shadow = *s;
    return true;
}

void soft_state_save(uc_engine *uc, const CpuState *shadow, CpuState *s)
{
    size_t i;

    for (i = 0; i < G_N_ELEMENTS(soft_registers); i++) {
        uc_reg_read(uc, soft_registers[i].id,
                    (char *)s + soft_registers[i].offset);
    }
    save_msrs(uc, s);
    save_segments(uc, shadow, s);
    save_fpu(uc, &s->fpu);
    s->tsc = shadow->tsc;
    memset(&s->event, 0, sizeof(s->event));
}
