/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XBZRLE: what has changed in a page, as QEMU writes it (docs/xbzrle.txt of
 * QEMU's documentation; docs/stream.md has the format).  Pure functions from
 * bytes to bytes.
 */
#ifndef MIGRATION_WIRE_XBZRLE_H
#define MIGRATION_WIRE_XBZRLE_H

#include <stddef.h>
#include <stdint.h>

/* The changes take more bytes than they may. */
#define XBZRLE_OVERFLOW SIZE_MAX

/*
 * Write the changes that make a page of what was before what is now; returns
 * their bytes.  0 means that the pages are equal.  room is at most
 * MIG_PAGE_SIZE.
 */
size_t xbzrle_encode(const uint8_t *before, const uint8_t *now, uint8_t *out,
                     size_t room);

/* Make the changes in a page.  NULL, or what is wrong with them; then they may
 * have been made in part.  The changes may be any bytes. */
const char *xbzrle_decode(const uint8_t *changes, size_t size, uint8_t *page);

#endif
