/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/ram/place.h"

#include <string.h>

#include "migration/ram/page-bits.h"

struct RamPlace {
    PageBits *written; /* the load loop's: memory may differ from zero */
};

RamPlace *ram_place_new(const RamBlocks *blocks)
{
    RamPlace *place = g_new0(RamPlace, 1);

    place->written = page_bits_new(blocks);
    return place;
}

void ram_place_free(RamPlace *place)
{
    if (place) {
        page_bits_free(place->written);
        g_free(place);
    }
}

void ram_place_announce(RamPlace *place, const RamBlock *block,
                        const uint64_t *page, unsigned count)
{
    page_bits_set(place->written, block, page, count);
}

void ram_place_zeros(RamPlace *place, const RamBlock *block, uint64_t page,
                     uint64_t count)
{
    uint64_t end = page + count;

    while (block->host &&
           (page = page_bits_next(place->written, block, page, end)) < end) {
        memset(ram_block_page(block, page), 0, MIG_PAGE_SIZE);
        page_bits_clear(place->written, block, &page, 1);
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
