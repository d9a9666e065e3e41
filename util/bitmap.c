/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bitmaps are walked by word: a clear word costs one test for 64 bits. */
#include "util/bitmap.h"

void bitmap_fill(uint64_t *map, uint64_t bits)
{
    uint64_t whole = bits / BITMAP_WORD_BITS;

    for (uint64_t i = 0; i < whole; i++) {
        map[i] = UINT64_MAX;
    }
    if (bits % BITMAP_WORD_BITS) {
        map[whole] = (UINT64_C(1) << (bits % BITMAP_WORD_BITS)) - 1;
    }
}

void bitmap_set_run(uint64_t *map, uint64_t start, uint64_t count)
{
    uint64_t end = start + count;

    while (start < end) {
        unsigned bit = start % BITMAP_WORD_BITS;
        uint64_t in_word = MIN(end - start, BITMAP_WORD_BITS - bit);

        map[start / BITMAP_WORD_BITS] |=
            UINT64_MAX >> (BITMAP_WORD_BITS - in_word) << bit;
        start += in_word;
    }
}

uint64_t bitmap_count(const uint64_t *map, uint64_t bits)
{
    uint64_t count = 0;

    for (uint64_t i = 0; i < bitmap_words(bits); i++) {
        count += (unsigned)__builtin_popcountll(map[i]);
    }
    return count;
}

unsigned bitmap_take(uint64_t *map, uint64_t bits, uint64_t start,
                     uint64_t *taken, unsigned max)
{
    unsigned n = 0;

    for (uint64_t i = start / BITMAP_WORD_BITS; i < bitmap_words(bits); i++) {
        uint64_t keep = 0;

        if (i == start / BITMAP_WORD_BITS) {
            keep = (UINT64_C(1) << (start % BITMAP_WORD_BITS)) - 1;
        }
        while ((map[i] & ~keep) && n < max) {
            uint64_t word = map[i] & ~keep;

            taken[n++] = i * BITMAP_WORD_BITS +
                         (unsigned)__builtin_ctzll(word);
            map[i] &= ~(word & -word);
        }
        if (n == max) {
            break;
        }
    }
    return n;
}

/* invert: 0 to look for a set bit, all ones to look for a clear one. */
static uint64_t next_bit(const uint64_t *map, uint64_t bits, uint64_t start,
                         uint64_t invert)
{
    uint64_t word = start / BITMAP_WORD_BITS;
    uint64_t found;

    if (start >= bits) {
        return bits;
    }
    found = (map[word] ^ invert) & UINT64_MAX << (start % BITMAP_WORD_BITS);
    while (!found && ++word < bitmap_words(bits)) {
        found = map[word] ^ invert;
    }
    return found ? MIN(bits, word * BITMAP_WORD_BITS +
                                 (unsigned)__builtin_ctzll(found))
                 : bits;
}

uint64_t bitmap_next_set(const uint64_t *map, uint64_t bits, uint64_t start)
{
    return next_bit(map, bits, start, 0);
}

uint64_t bitmap_next_clear(const uint64_t *map, uint64_t bits, uint64_t start)
{
    return next_bit(map, bits, start, UINT64_MAX);
}
