/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The registers of an x86 processor, from its section. */
#ifndef TOOLS_INSPECT_X86_STATE_H
#define TOOLS_INSPECT_X86_STATE_H

#include "tools/inspect/streams/inspect-report.h"

typedef struct CpuSegment {
    uint32_t selector, limit, flags;
    uint64_t base;
} CpuSegment;

typedef enum {
    CPU_RAX, CPU_RCX, CPU_RDX, CPU_RBX, CPU_RSP, CPU_RBP, CPU_RSI, CPU_RDI,
    CPU_R8,
} CpuRegister;

typedef enum {
    CPU_ES, CPU_CS, CPU_SS, CPU_DS, CPU_FS, CPU_GS, CPU_LDT, CPU_TR, CPU_GDT,
    CPU_IDT, CPU_SEGMENTS,
} CpuSegmentNumber;

typedef struct CpuState {
    uint64_t reg[16]; /* by CpuRegister; from CPU_R8 on r8 to r15 */
    uint64_t rip, rflags, efer, kernel_gs_base;
    uint64_t cr[5];
    CpuSegment segment[CPU_SEGMENTS];
} CpuState;

/* False when the device is no such processor, or is not described. */
bool cpu_state_get(const InspectDevice *device, CpuState *cpu);

/* Does it run 64-bit code, or could it at once? */
bool cpu_state_is_long(const CpuState *cpu);

#endif
