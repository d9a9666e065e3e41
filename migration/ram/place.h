/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where pages that have come go: guest memory.  Nothing else of the destination
 * writes to it.
 *
 * Memory begins as zero.  A zero page whose memory was never written is
 * therefore done without touching it, so that RAM that the guest never used
 * takes no memory at the destination either.
 *
 * The load loop's thread says first, with ram_place_announce(), that pages will
 * be written; then any thread may write them, one at a time.
 */
#ifndef MIGRATION_RAM_PLACE_H
#define MIGRATION_RAM_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/ram/blocks.h"

typedef struct RamPlace RamPlace;

/* The blocks must outlive it. */
RamPlace *ram_place_new(const RamBlocks *blocks);
void ram_place_free(RamPlace *place); /* NULL is fine */

/* From the load loop's thread.  A block without memory takes anything. */
void ram_place_announce(RamPlace *place, const RamBlock *block,
                        const uint64_t *page, unsigned count);

/* From the load loop's thread: clear those of the pages that may differ from
 * zero. */
void ram_place_zeros(RamPlace *place, const RamBlock *block, uint64_t page,
                     uint64_t count);

/* Memory that may be written instead of calling ram_place_pages(): that of
 * pages in a row, announced.  NULL: they are apart, or have no memory. */
uint8_t *ram_place_direct(const RamBlock *block, const uint64_t *page,
                          unsigned count);

/* from has count pages, which were announced. */
void ram_place_pages(const RamBlock *block, const uint64_t *page,
                     unsigned count, const uint8_t *from);

#endif
