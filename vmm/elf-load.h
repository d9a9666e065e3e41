/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VMM_ELF_LOAD_H
#define VMM_ELF_LOAD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/guest-ram.h"

/* The lowest address of a guest: RAM below belongs to the boot protocol. */
#define ELF_LOAD_LOWEST 0x100000u

/*
 * Copy a statically linked x86-64 executable to its physical addresses, and set
 * *entry to where it is entered.  image is not trusted: RAM is written only
 * when all of the image is in order.
 */
bool elf_load(GuestRam *ram, const uint8_t *image, size_t size,
              uint64_t *entry, GError **errp);

#endif
