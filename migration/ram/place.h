/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes pages that have come to guest memory.  Nothing else at the destination
 * writes there.
 *
 * Memory begins as zero.  So a zero page whose memory was never written is not
 * touched, and RAM that the guest never used takes no memory at the destination
 * either.
 *
 * First the load loop's thread announces, with ram_place_announce(), that pages
 * will be written.  Then any thread may write them, one thread at a time.
 */
#ifndef MIGRATION_RAM_PLACE_H
#define MIGRATION_RAM_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/ram/blocks.h"

typedef struct RamPlace RamPlace;

/* The blocks must outlive the result. */
RamPlace *ram_place_new(const RamBlocks *blocks);
void ram_place_free(RamPlace *place); /* NULL is fine */

/* From the load loop's thread.  Does nothing for a block without memory. */
void ram_place_announce(RamPlace *place, const RamBlock *block,
                        const uint64_t *page, unsigned count);

/* From the load loop's thread: clear the pages that may differ from zero. */
void ram_place_zeros(RamPlace *place, const RamBlock *block, uint64_t page,
                     uint64_t count);

/* The memory of announced pages in a row, to be written instead of calling
 * ram_place_pages().  NULL when the pages are apart, or have no memory. */
uint8_t *ram_place_direct(const RamBlock *block, const uint64_t *page,
                          unsigned count);

/* Write the announced pages.  from has count pages. */
void ram_place_pages(const RamBlock *block, const uint64_t *page,
                     unsigned count, const uint8_t *from);

#endif
