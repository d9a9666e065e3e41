/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VMM_BOOT_H
#define VMM_BOOT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/cpu.h"
#include "vmm/guest-ram.h"

/* The longest command line, without its NUL. */
#define BOOT_COMMAND_LINE_MAX 4095

/*
 * Put the page tables, the GDT, the boot info and the command line into RAM;
 * see docs/machine.md, "Entry".
 */
void boot_setup_ram(GuestRam *ram, unsigned cpus, const char *command_line);

/* Set up a CPU that was just reset to enter the guest at entry. */
void boot_setup_cpu(CpuState *cpu, uint64_t entry);

#endif
