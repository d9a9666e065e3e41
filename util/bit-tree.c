/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Level 0 has the bits.  In each level above, bit n says whether word n of the
 * level below has a bit set.  The highest level is one word.
 */
#include "util/bit-tree.h"

#include "util/bitmap.h"

#define LEVELS_MAX 11 /* of 6 bits each: enough for 64-bit numbers */

struct BitTree {
    unsigned levels;
    uint64_t *level[LEVELS_MAX];
};

BitTree *bit_tree_new(uint64_t bits)
{
    BitTree *tree = g_new0(BitTree, 1);

    do {
        tree->level[tree->levels++] = bitmap_new(bits);
        bits = bitmap_words(bits);
    } while (bits > 1);
    return tree;
}

void bit_tree_free(BitTree *tree)
{
    if (!tree) {
        return;
    }
    for (unsigned i = 0; i < tree->levels; i++) {
        g_free(tree->level[i]);
    }
    g_free(tree);
}

bool bit_tree_test(const BitTree *tree, uint64_t bit)
{
    return bitmap_test(tree->level[0], bit);
}

void bit_tree_set(BitTree *tree, uint64_t bit)
{
    for (unsigned i = 0; i < tree->levels; i++) {
        bool indexed = tree->level[i][bit / BITMAP_WORD_BITS] != 0;

        bitmap_set(tree->level[i], bit);
        if (indexed) {
            return;
        }
        bit /= BITMAP_WORD_BITS;
    }
}

void bit_tree_clear(BitTree *tree, uint64_t bit)
{
    for (unsigned i = 0; i < tree->levels; i++) {
        bitmap_clear(tree->level[i], bit);
        bit /= BITMAP_WORD_BITS;
        if (tree->level[i][bit]) {
            return;
        }
    }
}

uint64_t bit_tree_next(const BitTree *tree, uint64_t start, uint64_t end)
{
    uint64_t at = start, limit = end, word = 0;
    unsigned i = 0;

    /* Go up until a bit is set at or behind the start. */
    for (; at < limit && i < tree->levels; i++) {
        word = tree->level[i][at / BITMAP_WORD_BITS] &
               UINT64_MAX << (at % BITMAP_WORD_BITS);
        at /= BITMAP_WORD_BITS;
        if (word) {
            break;
        }
        at++;
        limit = bitmap_words(limit);
    }
    if (!word) {
        return end;
    }
    /* Go down to the first bit below it. */
    at = at * BITMAP_WORD_BITS + (unsigned)__builtin_ctzll(word);
    while (i-- > 0) {
        at = at * BITMAP_WORD_BITS +
             (unsigned)__builtin_ctzll(tree->level[i][at]);
    }
    return MIN(at, end);
}
