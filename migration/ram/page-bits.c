/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/ram/page-bits.h"

#include "util/bit-tree.h"

struct PageBits {
    unsigned blocks;
    BitTree *tree[]; /* NULL: the block has no memory */
};

PageBits *page_bits_new(const RamBlocks *blocks)
{
    PageBits *bits = g_malloc0(sizeof(*bits) +
                               blocks->count * sizeof(bits->tree[0]));

    bits->blocks = blocks->count;
    for (unsigned i = 0; i < blocks->count; i++) {
        if (blocks->block[i].host) {
            bits->tree[i] = bit_tree_new(blocks->block[i].pages);
        }
    }
    return bits;
}

void page_bits_free(PageBits *bits)
{
    for (unsigned i = 0; bits && i < bits->blocks; i++) {
        bit_tree_free(bits->tree[i]);
    }
    g_free(bits);
}

void page_bits_set(PageBits *bits, const RamBlock *block,
                   const uint64_t *page, unsigned count)
{
    BitTree *tree = bits->tree[block->index];

    for (unsigned i = 0; tree && i < count; i++) {
        bit_tree_set(tree, page[i]);
    }
}

void page_bits_clear(PageBits *bits, const RamBlock *block,
                     const uint64_t *page, unsigned count)
{
    BitTree *tree = bits->tree[block->index];

    for (unsigned i = 0; tree && i < count; i++) {
        bit_tree_clear(tree, page[i]);
    }
}

uint64_t page_bits_next(const PageBits *bits, const RamBlock *block,
                        uint64_t start, uint64_t end)
{
    const BitTree *tree = bits->tree[block->index];

    return tree ? bit_tree_next(tree, start, end) : end;
}
