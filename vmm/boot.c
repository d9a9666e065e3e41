/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest finds when it is entered: docs/machine.md, "Entry".
 *
 * The accessed and dirty bits of the page tables, and the accessed bits of
 * the descriptors, are set from the start, so that the CPU has no reason to
 * write to these pages behind the guest's back.
 */
#include "vmm/boot.h"

#include <string.h>

#define GDT_ADDRESS     0x500u
#define INFO_ADDRESS    0x1000u
#define COMMAND_ADDRESS 0x2000u
#define PML4_ADDRESS    0x4000u
#define PDPT_ADDRESS    0x5000u
#define PD_ADDRESS      0x6000u /* four of them, 1 GiB each */

#define INFO_MAGIC   0x49425246u /* "FRBI" */
#define INFO_VERSION 1

#define PTE_TABLE 0x23u /* accessed, writable, present */
#define PTE_2MIB  0xe3u /* the same, dirty, and a large page */

#define SELECTOR_CODE 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_TSS  0x18

/* Flat descriptors (Intel SDM volume 3, 3.4.5): limit 4 GiB, accessed. */
#define GDT_CODE64 0x00af9b000000ffffull
#define GDT_DATA   0x00cf93000000ffffull

typedef struct BootInfo {
    uint32_t magic, version;
    uint64_t ram_size;
    uint32_t cpus, command_length;
    uint64_t command;
} BootInfo;

G_STATIC_ASSERT(sizeof(BootInfo) == 32);

static void put64(GuestRam *ram, uint64_t address, uint64_t value)
{
    value = GUINT64_TO_LE(value);
    memcpy(ram->host + address, &value, sizeof(value));
}

static void put_page_tables(GuestRam *ram)
{
    unsigned i;

    memset(ram->host + PML4_ADDRESS, 0, 6 * 4096);
    put64(ram, PML4_ADDRESS, PDPT_ADDRESS | PTE_TABLE);
    for (i = 0; i < 4; i++) {
        put64(ram, PDPT_ADDRESS + 8 * i, (PD_ADDRESS + 4096 * i) | PTE_TABLE);
    }
    for (i = 0; i < 4 * 512; i++) {
        put64(ram, PD_ADDRESS + 8 * i, ((uint64_t)i << 21) | PTE_2MIB);
    }
}

static void put_gdt(GuestRam *ram)
{
    put64(ram, GDT_ADDRESS, 0);
    put64(ram, GDT_ADDRESS + SELECTOR_CODE, GDT_CODE64);
    put64(ram, GDT_ADDRESS + SELECTOR_DATA, GDT_DATA);
}

void boot_setup_ram(GuestRam *ram, unsigned cpus, const char *command_line)
{
    size_t length = strlen(command_line);
    BootInfo info = {
        .magic = GUINT32_TO_LE(INFO_MAGIC),
        .version = GUINT32_TO_LE(INFO_VERSION),
        .ram_size = GUINT64_TO_LE(ram->size),
        .cpus = GUINT32_TO_LE(cpus),
        .command_length = GUINT32_TO_LE((uint32_t)length),
        .command = GUINT64_TO_LE(COMMAND_ADDRESS),
    };

    g_assert(length <= BOOT_COMMAND_LINE_MAX);
    put_page_tables(ram);
    put_gdt(ram);
    memcpy(ram->host + INFO_ADDRESS, &info, sizeof(info));
    memcpy(ram->host + COMMAND_ADDRESS, command_line, length + 1);
}

static CpuSegment flat_segment(uint16_t selector, uint32_t access)
{
    return (CpuSegment) {
        .selector = selector, .limit = UINT32_MAX, .access = access,
    };
}

void boot_setup_cpu(CpuState *cpu, uint64_t entry)
{
    unsigned i;

    for (i = 0; i < CPU_SEG_COUNT; i++) {
        cpu->seg[i] = flat_segment(SELECTOR_DATA, CPU_AR_DATA);
    }
    cpu->seg[CPU_CS] = flat_segment(SELECTOR_CODE, CPU_AR_CODE64);
    /* Hardware insists on a task register; nothing ever uses this one. */
    cpu->tr = (CpuSegment) {
        .selector = SELECTOR_TSS, .limit = 0x67, .access = CPU_AR_TSS64,
    };
    cpu->ldt = (CpuSegment) { .access = CPU_AR_UNUSABLE };
    cpu->gdt = (CpuTable) { .base = GDT_ADDRESS, .limit = SELECTOR_TSS - 1 };
    cpu->cr0 = CPU_CR0_PE | CPU_CR0_MP | CPU_CR0_ET | CPU_CR0_NE | CPU_CR0_PG;
    cpu->cr3 = PML4_ADDRESS;
    cpu->cr4 = CPU_CR4_PAE | CPU_CR4_OSFXSR | CPU_CR4_OSXMM;
    cpu->efer = CPU_EFER_LME | CPU_EFER_LMA;
    cpu->gpr[CPU_RDI] = INFO_ADDRESS;
    cpu->gpr[CPU_RSI] = cpu->index;
    cpu->rip = entry;
    cpu->rflags = 2;
}
