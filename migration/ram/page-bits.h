/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bit for each page of the blocks that have memory; for the others, nothing
 * is ever set.  One thread's. */
#ifndef MIGRATION_RAM_PAGE_BITS_H
#define MIGRATION_RAM_PAGE_BITS_H

#include <stdint.h>

#include "migration/ram/blocks.h"

typedef struct PageBits PageBits;

/* All clear.  The blocks must outlive it. */
PageBits *page_bits_new(const RamBlocks *blocks);
void page_bits_free(PageBits *bits); /* NULL is fine */

void page_bits_set(PageBits *bits, const RamBlock *block,
                   const uint64_t *page, unsigned count);
void page_bits_clear(PageBits *bits, const RamBlock *block,
                     const uint64_t *page, unsigned count);

/* The first page from start on that is set; end, if none before it is. */
uint64_t page_bits_next(const PageBits *bits, const RamBlock *block,
                        uint64_t start, uint64_t end);

#endif
