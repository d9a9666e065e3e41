/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A page that is not zero mostly shows it in its first bytes.  So look at those
 * first, and then go through the rest a cache line at a time, in a form that
 * the compiler turns into vector instructions.  The ones that every x86-64 has
 * are enough: they wait for memory, and wider ones were measured to be no
 * faster.
 */
#include "util/zero.h"

#include <glib.h>
#include <stdint.h>

#define LINE_WORDS 8

bool buffer_is_zero(const void *buf, size_t size)
{
    const uint64_t *word = buf;
    size_t words = size / sizeof(*word);

    g_assert(size % (LINE_WORDS * sizeof(*word)) == 0);

    for (size_t i = 0; i < words; i += LINE_WORDS) {
        uint64_t any = 0;

        for (size_t k = 0; k < LINE_WORDS; k++) {
            any |= word[i + k];
        }
        if (any) {
            return false;
        }
    }
    return true;
}
