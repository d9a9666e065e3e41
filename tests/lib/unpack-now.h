/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pack's way from unpacker_begin() to its pages, without a pool. */
#ifndef TESTS_UNPACK_NOW_H
#define TESTS_UNPACK_NOW_H

#include "migration/pack/unpacker.h"

/* All before it are finished, and the owner has set what is its own.  NULL: the
 * pages are there.  Else what is wrong. */
static inline const char *unpack_now(Unpacker *unpacker, UnpackJob *job,
                                     UnpackWorker *worker)
{
    bool ready = unpack_is_ready(unpacker, job);

    g_assert(ready);
    unpack_decode(job, worker);
    return unpack_finish(unpacker, job);
}

static inline void unpack_assert_page(const UnpackJob *job, unsigned index,
                                      const uint8_t *expected)
{
    static const uint8_t zero[MIG_PAGE_SIZE];
    uint8_t buffer[MIG_PAGE_SIZE];
    const uint8_t *page = unpack_page(job, index, buffer);

    g_assert_cmpmem(page ? page : zero, MIG_PAGE_SIZE, expected,
                    MIG_PAGE_SIZE);
}

#endif
