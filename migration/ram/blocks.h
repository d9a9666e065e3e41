/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guest RAM as the engine sees it: the host's blocks, checked. */
#ifndef MIGRATION_RAM_BLOCKS_H
#define MIGRATION_RAM_BLOCKS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "ferry/host.h"
#include "migration/wire/ram-list.h"

typedef struct RamBlock {
    const char *name; /* the host's */
    uint8_t *host; /* NULL: no memory; see ram_load_watch() */
    uint64_t pages;
    unsigned index; /* in RamBlocks.block and in the host's array */
    uint64_t first; /* pages of the blocks whose names sort before its name */
} RamBlock;

typedef struct RamBlocks {
    RamBlock *block;
    unsigned count;
    uint64_t pages; /* of all blocks */
    const RamBlock **by_name; /* [count], sorted */
} RamBlocks;

/* MIG_ERROR_HOST when the host's blocks break the rules of host.h. */
RamBlocks *ram_blocks_new(const MigRamBlock *block, size_t count,
                          GError **errp);
void ram_blocks_free(RamBlocks *blocks);

/* Blocks as in a stream's list, without memory.  Their names are the list's. */
RamBlocks *ram_blocks_of_list(const RamList *list);

/* NULL when no block has that name.  The search is fast, because a stream may
 * have 4096 blocks, and name one in every record. */
const RamBlock *ram_blocks_find(const RamBlocks *blocks, const char *name);

static inline uint64_t ram_blocks_bytes(const RamBlocks *blocks)
{
    return blocks->pages * MIG_PAGE_SIZE;
}

static inline uint8_t *ram_block_page(const RamBlock *block, uint64_t page)
{
    return block->host + page * MIG_PAGE_SIZE;
}

/* A number for each page of all blocks, which both ends of a migration give to
 * it, because they have blocks of the same names and lengths. */
static inline uint64_t ram_block_key(const RamBlock *block, uint64_t page)
{
    return block->first + page;
}

/* Some pages of one block: the unit of work of the save loop. */
#define RAM_BATCH_PAGES 64u

typedef struct RamBatch {
    const RamBlock *block;
    unsigned count;
    uint64_t page[RAM_BATCH_PAGES]; /* page numbers, ascending */
    /* what to send instead of the guest's page; NULL: that */
    const uint8_t *copy[RAM_BATCH_PAGES];
} RamBatch;

static inline const uint8_t *ram_batch_page(const RamBatch *batch, unsigned i)
{
    return batch->copy[i] ? batch->copy[i]
                          : ram_block_page(batch->block, batch->page[i]);
}

#endif
