/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a page what it was?  A hash of 16 bytes under a secret key, of one
 * process.  It is never sent, and means nothing under another key.
 *
 * Any two different pages have the same hash with a probability of at most
 * 2^-64, whatever the pages are, over the choice of the key; page-hash.c says
 * why, and why a guest cannot do better by trying.
 */
#ifndef MIGRATION_RAM_PAGE_HASH_H
#define MIGRATION_RAM_PAGE_HASH_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/wire/wire.h"

/* All zero: no hash, the page is not known.  A page whose hash happens to be
 * that is only sent once more. */
typedef struct PageHash {
    uint64_t low, high;
} PageHash;

/* Constant, once it was made: any thread may read it. */
typedef struct PageHashKey {
    uint64_t word[MIG_PAGE_SIZE / 8];
    PageHash zero; /* of a page that is zero */
} PageHashKey;

/* From the system's random bytes.  MIG_ERROR_HOST when there are none. */
bool page_hash_key_init(PageHashKey *key, GError **errp);

/* With a key of NULL, nothing has a known hash. */
PageHash page_hash(const PageHashKey *key, const uint8_t *page);
PageHash page_hash_zero(const PageHashKey *key);

static inline bool page_hash_equal(PageHash a, PageHash b)
{
    return a.low == b.low && a.high == b.high;
}

static inline bool page_hash_is_known(PageHash hash)
{
    return hash.low || hash.high;
}

/*
 * Is the page, which the guest may be writing to, still the one that had this
 * hash?  No, if the hash is not known.  zero: the page was seen to be zero, and
 * need not be hashed.
 */
bool page_hash_matches(const PageHashKey *key, PageHash hash,
                     const uint8_t *page, bool zero);

#endif
