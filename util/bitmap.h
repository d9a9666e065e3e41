/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bitmaps of uint64_t words: bit n is bit n % 64 of word n / 64.  Sizes are in
 * bits.  Bits past the size in the last word are clear and stay clear.
 */
#ifndef UTIL_BITMAP_H
#define UTIL_BITMAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define BITMAP_WORD_BITS 64

static inline uint64_t bitmap_words(uint64_t bits)
{
    return (bits + BITMAP_WORD_BITS - 1) / BITMAP_WORD_BITS;
}

/* All bits clear.  To be freed by g_free(). */
static inline uint64_t *bitmap_new(uint64_t bits)
{
    return g_new0(uint64_t, bitmap_words(bits));
}

static inline bool bitmap_test(const uint64_t *map, uint64_t bit)
{
    return map[bit / BITMAP_WORD_BITS] >> (bit % BITMAP_WORD_BITS) & 1;
}

static inline void bitmap_set(uint64_t *map, uint64_t bit)
{
    map[bit / BITMAP_WORD_BITS] |= UINT64_C(1) << (bit % BITMAP_WORD_BITS);
}

static inline void bitmap_clear(uint64_t *map, uint64_t bit)
{
    map[bit / BITMAP_WORD_BITS] &= ~(UINT64_C(1) << (bit % BITMAP_WORD_BITS));
}

/* Set all bits. */
void bitmap_fill(uint64_t *map, uint64_t bits);

/* Set so many bits from start on. */
void bitmap_set_run(uint64_t *map, uint64_t start, uint64_t count);

/* How many bits are set. */
uint64_t bitmap_count(const uint64_t *map, uint64_t bits);

/*
 * Take up to max set bits out of the map, in order, from bit start on: write
 * their numbers to taken, and clear them.  Returns how many were taken.  Less
 * than max means that no bit from start on is set any more.
 */
unsigned bitmap_take(uint64_t *map, uint64_t bits, uint64_t start,
                     uint64_t *taken, unsigned max);

/* The first bit from start on that is set, or clear; bits if there is none. */
uint64_t bitmap_next_set(const uint64_t *map, uint64_t bits, uint64_t start);
uint64_t bitmap_next_clear(const uint64_t *map, uint64_t bits,
                           uint64_t start);

#endif
