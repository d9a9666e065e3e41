/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of one virtual CPU, the same for every accelerator.
 *
 * While the machine is stopped, an accelerator can be asked to write a CPU's
 * state here (accel_save_cpu) and to take it from here (accel_load_cpu).  The
 * state travels as the device "cpu", one instance per CPU.
 */
#ifndef VMM_CPU_H
#define VMM_CPU_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/vmstate.h"

#define CPU_CR0_PE     (1u << 0)
#define CPU_CR0_MP     (1u << 1)
#define CPU_CR0_ET     (1u << 4)
#define CPU_CR0_NE     (1u << 5)
#define CPU_CR0_PG     (1u << 31)
#define CPU_CR4_PAE    (1u << 5)
#define CPU_CR4_OSFXSR (1u << 9)
#define CPU_CR4_OSXMM  (1u << 10)
#define CPU_CR4_LA57   (1u << 12)
#define CPU_EFER_LME   (1u << 8)
#define CPU_EFER_LMA   (1u << 10)

/* Access rights of a segment, as in bits 40-55 of a descriptor (Intel SDM
 * volume 3, 3.4.5), with bit 16 for a segment that is not usable. */
#define CPU_AR_TYPE(ar) ((ar) & 15)
#define CPU_AR_S        (1u << 4)
#define CPU_AR_DPL(ar)  (((ar) >> 5) & 3)
#define CPU_AR_P        (1u << 7)
#define CPU_AR_AVL      (1u << 12)
#define CPU_AR_L        (1u << 13)
#define CPU_AR_DB       (1u << 14)
#define CPU_AR_G        (1u << 15)
#define CPU_AR_UNUSABLE (1u << 16)

#define CPU_AR_CODE64 (CPU_AR_P | CPU_AR_S | CPU_AR_L | CPU_AR_G | 11)
#define CPU_AR_DATA   (CPU_AR_P | CPU_AR_S | CPU_AR_DB | CPU_AR_G | 3)
#define CPU_AR_TSS64  (CPU_AR_P | 11)

/* The order in which instructions encode them. */
enum {
    CPU_RAX, CPU_RCX, CPU_RDX, CPU_RBX, CPU_RSP, CPU_RBP, CPU_RSI, CPU_RDI,
    CPU_GPR_COUNT = 16,
};
enum {
    CPU_ES, CPU_CS, CPU_SS, CPU_DS, CPU_FS, CPU_GS,
    CPU_SEG_COUNT,
};

typedef struct CpuSegment {
    uint64_t base;
    uint32_t limit; /* in bytes */
    uint32_t access;
    uint16_t selector;
} CpuSegment;

typedef struct CpuTable {
    uint64_t base;
    uint16_t limit;
} CpuTable;

/* x87 and SSE, the parts of an FXSAVE image (Intel SDM volume 1, 10.5). */
typedef struct CpuFpu {
    uint16_t control, status, opcode;
    uint8_t tags; /* abridged: bit n is clear when register n is empty */
    uint8_t unused[5]; /* instead of padding: FPUs are compared as bytes */
    uint32_t mxcsr;
    uint64_t ip, dp;
    uint8_t st[8][16]; /* ST(0) first, 10 bytes each */
    uint8_t xmm[16][16];
} CpuFpu;

typedef struct CpuMsrs {
    uint64_t star, lstar, cstar, fmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_aux;
} CpuMsrs;

/* An exception on its way into the guest, and the interrupt shadow. */
typedef struct CpuEvent {
    bool injected;
    bool has_error;
    uint8_t vector;
    uint8_t shadow;
    uint32_t error;
} CpuEvent;

typedef struct Accel Accel;

typedef struct CpuState {
    Accel *accel; /* runs this CPU; not part of the state */
    unsigned index;

    uint64_t gpr[CPU_GPR_COUNT];
    uint64_t rip, rflags;
    CpuSegment seg[CPU_SEG_COUNT], ldt, tr;
    CpuTable gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, efer;
    uint64_t tsc;
    bool halted;
    CpuFpu fpu;
    CpuMsrs msrs;
    CpuEvent event;
} CpuState;

extern const MigVMState cpu_vmstate;

/* All zero, except for what has a subsection and is not zero after a reset:
 * x87, SSE and PAT. */
void cpu_state_reset(CpuState *cpu, Accel *accel, unsigned index);

/*
 * Can an accelerator that knows only flat 64-bit mode at CPL 0 run this CPU?
 * If not, MIG_ERROR_UNSUPPORTED says why.
 */
bool cpu_state_check_flat64(const CpuState *cpu, GError **errp);

#endif
