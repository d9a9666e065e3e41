/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/ram/place.h"

#include <string.h>

#include "util/bit-tree.h"

struct RamPlace {
    const RamBlocks *blocks;
    /* The load loop's thread only.  [blocks->count]: the pages whose memory may
     * differ from zero; NULL: the block has no memory. */
    BitTree **written;
};

RamPlace *ram_place_new(const RamBlocks *blocks)
{
    RamPlace *place = g_new0(RamPlace, 1);

    place->blocks = blocks;
    place->written = g_new0(BitTree *, blocks->count);
    for (unsigned i = 0; i < blocks->count; i++) {
        if (blocks->block[i].host) {
            place->written[i] = bit_tree_new(blocks->block[i].pages);
        }
    }
    return place;
}

void ram_place_free(RamPlace *place)
{
    if (!place) {
        return;
    }
    for (unsigned i = 0; i < place->blocks->count; i++) {
        bit_tree_free(place->written[i]);
    }
    g_free(place->written);
    g_free(place);
}

void ram_place_announce(RamPlace *place, const RamBlock *block,
                        const uint64_t *page, unsigned count)
{
    BitTree *written = place->written[block->index];

    for (unsigned i = 0; written && i < count; i++) {
        bit_tree_set(written, page[i]);
    }
}

void ram_place_zeros(RamPlace *place, const RamBlock *block, uint64_t page,
                     uint64_t count)
{
    BitTree *written = place->written[block->index];
    uint64_t end = page + count;

    while (written && (page = bit_tree_next(written, page, end)) < end) {
        memset(ram_block_page(block, page), 0, MIG_PAGE_SIZE);
        bit_tree_clear(written, page);
    }
}

uint8_t *ram_place_direct(const RamBlock *block, const uint64_t *page,
                          unsigned count)
{
    bool in_a_row = page[count - 1] - page[0] == count - 1;

    return block->host && in_a_row ? ram_block_page(block, page[0]) : NULL;
}

void ram_place_pages(const RamBlock *block, const uint64_t *page,
                     unsigned count, const uint8_t *from)
{
    for (unsigned i = 0; block->host && i < count; i++) {
        memcpy(ram_block_page(block, page[i]), from, MIG_PAGE_SIZE);
        from += MIG_PAGE_SIZE;
    }
}
