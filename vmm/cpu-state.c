/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a CPU's state travels.
 *
 * The main table has what every guest uses.  x87/SSE, the MSRs and an exception
 * under way are subsections.  They are sent only when they differ from what
 * cpu_state_reset() sets, so a destination that gets none ends up the same.
 * The accelerator is asked for the state just before it is saved, and given the
 * state just after it was loaded.
 */
#include "vmm/cpu.h"

#include <string.h>

#include "ferry/error.h"
#include "vmm/accel.h"

#define PAT_RESET   0x0007040600070406u
#define FCW_RESET   0x37f
#define MXCSR_RESET 0x1f80

static CpuState *cpu_of(void *data)
{
    return data;
}

static bool cpu_pre_save(void *data, GError **errp)
{
    return accel_save_cpu(cpu_of(data)->accel, data, errp);
}

static bool cpu_post_load(void *data, uint32_t version, GError **errp)
{
    return accel_load_cpu(cpu_of(data)->accel, data, errp);
}

static void fpu_reset(CpuFpu *fpu)
{
    memset(fpu, 0, sizeof(*fpu));
    fpu->control = FCW_RESET;
    fpu->mxcsr = MXCSR_RESET;
}

static void msrs_reset(CpuMsrs *msrs)
{
    memset(msrs, 0, sizeof(*msrs));
    msrs->pat = PAT_RESET;
}

static bool fpu_is_needed(const void *data)
{
    const CpuState *cpu = data;
    CpuFpu reset;

    fpu_reset(&reset);
    return memcmp(&cpu->fpu, &reset, sizeof(reset)) != 0;
}

static bool msrs_are_needed(const void *data)
{
    const CpuState *cpu = data;
    CpuMsrs reset;

    msrs_reset(&reset);
    return memcmp(&cpu->msrs, &reset, sizeof(reset)) != 0;
}

static bool event_is_needed(const void *data)
{
    const CpuState *cpu = data;

    return cpu->event.injected || cpu->event.shadow;
}

/* A value with reserved bits set would make the CPU fault in the guest. */
static bool fpu_post_load(void *data, uint32_t version, GError **errp)
{
    if (cpu_of(data)->fpu.mxcsr & ~0xffffu) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_STREAM,
                    "MXCSR 0x%x has reserved bits set",
                    cpu_of(data)->fpu.mxcsr);
        return false;
    }
    return true;
}

static const MigVMStateField segment_fields[] = {
    MIG_VMSTATE_U64(CpuSegment, base),
    MIG_VMSTATE_U32(CpuSegment, limit),
    MIG_VMSTATE_U32(CpuSegment, access),
    MIG_VMSTATE_U16(CpuSegment, selector),
    MIG_VMSTATE_END
};

static const MigVMState segment_vmstate = {
    .name = "segment", .version = 1, .minimum_version = 1,
    .fields = segment_fields,
};

static const MigVMStateField table_fields[] = {
    MIG_VMSTATE_U64(CpuTable, base),
    MIG_VMSTATE_U16(CpuTable, limit),
    MIG_VMSTATE_END
};

static const MigVMState table_vmstate = {
    .name = "table", .version = 1, .minimum_version = 1,
    .fields = table_fields,
};

static const MigVMStateField fpu_fields[] = {
    MIG_VMSTATE_U16(CpuState, fpu.control),
    MIG_VMSTATE_U16(CpuState, fpu.status),
    MIG_VMSTATE_U16(CpuState, fpu.opcode),
    MIG_VMSTATE_U8(CpuState, fpu.tags),
    MIG_VMSTATE_U32(CpuState, fpu.mxcsr),
    MIG_VMSTATE_U64(CpuState, fpu.ip),
    MIG_VMSTATE_U64(CpuState, fpu.dp),
    MIG_VMSTATE_BUFFER(CpuState, fpu.st),
    MIG_VMSTATE_BUFFER(CpuState, fpu.xmm),
    MIG_VMSTATE_END
};

static const MigVMState fpu_vmstate = {
    .name = "cpu/fpu", .version = 1, .minimum_version = 1,
    .fields = fpu_fields, .needed = fpu_is_needed,
    .post_load = fpu_post_load,
};

static const MigVMStateField msrs_fields[] = {
    MIG_VMSTATE_U64(CpuState, msrs.star),
    MIG_VMSTATE_U64(CpuState, msrs.lstar),
    MIG_VMSTATE_U64(CpuState, msrs.cstar),
    MIG_VMSTATE_U64(CpuState, msrs.fmask),
    MIG_VMSTATE_U64(CpuState, msrs.kernel_gs_base),
    MIG_VMSTATE_U64(CpuState, msrs.sysenter_cs),
    MIG_VMSTATE_U64(CpuState, msrs.sysenter_esp),
    MIG_VMSTATE_U64(CpuState, msrs.sysenter_eip),
    MIG_VMSTATE_U64(CpuState, msrs.pat),
    MIG_VMSTATE_U64(CpuState, msrs.tsc_aux),
    MIG_VMSTATE_END
};

static const MigVMState msrs_vmstate = {
    .name = "cpu/msrs", .version = 1, .minimum_version = 1,
    .fields = msrs_fields, .needed = msrs_are_needed,
};

static const MigVMStateField event_fields[] = {
    MIG_VMSTATE_BOOL(CpuState, event.injected),
    MIG_VMSTATE_BOOL(CpuState, event.has_error),
    MIG_VMSTATE_U8(CpuState, event.vector),
    MIG_VMSTATE_U8(CpuState, event.shadow),
    MIG_VMSTATE_U32(CpuState, event.error),
    MIG_VMSTATE_END
};

static const MigVMState event_vmstate = {
    .name = "cpu/event", .version = 1, .minimum_version = 1,
    .fields = event_fields, .needed = event_is_needed,
};

static const MigVMState *const cpu_subsections[] = {
    &fpu_vmstate, &msrs_vmstate, &event_vmstate, NULL
};

static const MigVMStateField cpu_fields[] = {
    MIG_VMSTATE_U64_ARRAY(CpuState, gpr, CPU_GPR_COUNT),
    MIG_VMSTATE_U64(CpuState, rip),
    MIG_VMSTATE_U64(CpuState, rflags),
    MIG_VMSTATE_STRUCT_ARRAY(CpuState, seg, CPU_SEG_COUNT, &segment_vmstate),
    MIG_VMSTATE_STRUCT(CpuState, ldt, &segment_vmstate),
    MIG_VMSTATE_STRUCT(CpuState, tr, &segment_vmstate),
    MIG_VMSTATE_STRUCT(CpuState, gdt, &table_vmstate),
    MIG_VMSTATE_STRUCT(CpuState, idt, &table_vmstate),
    MIG_VMSTATE_U64(CpuState, cr0),
    MIG_VMSTATE_U64(CpuState, cr2),
    MIG_VMSTATE_U64(CpuState, cr3),
    MIG_VMSTATE_U64(CpuState, cr4),
    MIG_VMSTATE_U64(CpuState, efer),
    MIG_VMSTATE_U64(CpuState, tsc),
    MIG_VMSTATE_BOOL(CpuState, halted),
    MIG_VMSTATE_END
};

const MigVMState cpu_vmstate = {
    .name = "cpu", .version = 1, .minimum_version = 1,
    .fields = cpu_fields, .subsections = cpu_subsections,
    .pre_save = cpu_pre_save, .post_load = cpu_post_load,
};

void cpu_state_reset(CpuState *cpu, Accel *accel, unsigned index)
{
    memset(cpu, 0, sizeof(*cpu));
    cpu->accel = accel;
    cpu->index = index;
    fpu_reset(&cpu->fpu);
    msrs_reset(&cpu->msrs);
}

/* NULL if the CPU is in flat 64-bit mode; otherwise why it is not. */
static const char *not_flat64(const CpuState *cpu)
{
    const uint64_t cr0 = CPU_CR0_PE | CPU_CR0_PG;
    const uint64_t efer = CPU_EFER_LME | CPU_EFER_LMA;
    const CpuSegment *cs = &cpu->seg[CPU_CS];

    if ((cpu->cr0 & cr0) != cr0 || (cpu->efer & efer) != efer ||
        !(cpu->cr4 & CPU_CR4_PAE)) {
        return "long mode is off";
    }
    if (cpu->cr4 & CPU_CR4_LA57) {
        return "it has five levels of page tables";
    }
    if (!(cs->access & CPU_AR_L) || !(cs->access & CPU_AR_P)) {
        return "its code segment is not a 64-bit one";
    }
    if (CPU_AR_DPL(cs->access) != 0 || (cs->selector & 3) != 0) {
        return "it is not at CPL 0";
    }
    if (cpu->event.injected || cpu->event.shadow) {
        return "an exception is being delivered";
    }
    return NULL;
}

bool cpu_state_check_flat64(const CpuState *cpu, GError **errp)
{
    const char *why = not_flat64(cpu);

    if (why) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                    "CPU %u cannot run on the software CPU, which knows only "
                    "flat 64-bit mode: %s", cpu->index, why);
        return false;
    }
    return true;
}
