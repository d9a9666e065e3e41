/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest RAM: one anonymous mapping, from physical address 0.  The kernel
 * supplies its pages as they are written.
 */
#ifndef VMM_GUEST_RAM_H
#define VMM_GUEST_RAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct GuestRam {
    uint8_t *host;
    uint64_t size; /* in bytes, whole pages */
} GuestRam;

bool guest_ram_init(GuestRam *ram, uint64_t size, GError **errp);
void guest_ram_destroy(GuestRam *ram); /* all zero is fine */

/* size bytes at a physical address, or NULL when they are not all in RAM. */
void *guest_ram_at(const GuestRam *ram, uint64_t address, uint64_t size);

/* Fill RAM from the start of a file, which must not be larger.  Holes in the
 * file are not touched. */
bool guest_ram_load_image(GuestRam *ram, const char *path, GError **errp);

/* Write part of RAM to a new file (mode 0600), leaving holes where pages are
 * zero. */
bool guest_ram_save(const GuestRam *ram, uint64_t address, uint64_t size,
                    const char *path, GError **errp);

/* Set the bits of the pages that nobody ever wrote, as far as the kernel can
 * tell.  One bit a page. */
void guest_ram_find_untouched(const GuestRam *ram, uint64_t *bitmap);

#endif
