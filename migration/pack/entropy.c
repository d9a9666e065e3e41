/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A few bytes of each page are counted by their value.  Of n random bytes the
 * sum of the squares of the 256 counts is n + n (n - 1) / 256, give or take
 * n sqrt(2 / 256): an excess of a sixteenth is more than ten times that where
 * there are 4096 bytes, and three times where there are 1024.  Text and code
 * exceed it many times over, and of base64, whose bytes have 6 bits, it is four
 * times as much.  One page of text among 32 random ones shows.
 *
 * What does not show is a repetition within random bytes.  Whole pages that
 * come again have been found before, by their hash.
 *
 * LZ4 on samples, as OpenZFS has it, finds repetitions but takes base64 for
 * random.
 */
#include "migration/pack/entropy.h"

#define STEP   3904u /* not a page: other places of each */
#define SAMPLE 64u   /* bytes of each STEP */
#define LEAST  1024u /* sampled bytes to tell from */

bool entropy_is_full(const uint8_t *buf, size_t size)
{
    uint32_t count[256] = { 0 };
    uint64_t n = 0, squares = 0, random;

    for (size_t at = 0; at + SAMPLE <= size; at += STEP, n += SAMPLE) {
        for (unsigned i = 0; i < SAMPLE; i++) {
            count[buf[at + i]]++;
        }
    }
    for (unsigned i = 0; i < 256; i++) {
        squares += (uint64_t)count[i] * count[i];
    }
    random = n + n * n / 256;
    return n >= LEAST && squares < random + random / 16;
}
