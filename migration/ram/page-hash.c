/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The hash is NH with words of 64 bits, as UMAC and VMAC have it below their
 * other layers (Black, Halevi, Krawczyk, Krovetz, Rogaway: "UMAC: Fast and
 * Secure Message Authentication", CRYPTO '99):
 *
 *     sum of (m[i] + k[i] mod 2^64) * (m[i+1] + k[i+1] mod 2^64), i even,
 *     mod 2^128
 *
 * They prove that two messages of one length that differ have the same NH with
 * a probability of at most 2^-64, if the key's words are random.  All pages
 * have one length, and are as long as the key, so the layers that UMAC has for
 * longer messages are not needed.
 *
 * Nor is a nonce, or the pad that a MAC adds to the hash.  These keep an
 * attacker who sees a tag from learning about the key.  Nobody sees a hash: it
 * is only compared, and stays in this process.  All that a guest can learn, by
 * when and how much is sent, is whether two pages were taken for equal.  As
 * long as no two different pages were, that follows from the pages alone.  So
 * the answers tell nothing about the key, and the next pair that the guest
 * tries is no better than the first one.  In N comparisons, by whatever plan,
 * the probability of a mistake is at most N * 2^-64: for 2^30, which are pages
 * of 4 TiB, once in 10^10 migrations.  A guest that wins harms its own memory
 * and nobody else's.
 *
 * docs/performance.md has what other hashes cost.
 *
 * Where memory is hashed in place, the guest may write to it meanwhile.  Then
 * the hash may be that of a page that never was.  If it is taken for the one
 * that was sent, nothing is lost: the write has set the page's dirty bit after
 * the log was collected, the page comes again, and what was noted of it is
 * still what the destination has.  But the hash that is noted must be that of
 * the very bytes that are sent, so it is taken of their copy.
 */
#include "migration/ram/page-hash.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ferry/error.h"

#define ENTROPY_MAX 256u /* bytes that the system gives at a time */

__extension__ typedef unsigned __int128 Uint128;

G_STATIC_ASSERT(sizeof(PageHash) == 16);
G_STATIC_ASSERT(MIG_PAGE_SIZE % ENTROPY_MAX == 0);

PageHash page_hash(const PageHashKey *key, const uint8_t *page)
{
    const uint64_t *k = key ? key->word : NULL;
    Uint128 sum = 0;

    for (unsigned i = 0; k && i < MIG_PAGE_SIZE / 8; i += 2) {
        uint64_t m[2];

        memcpy(m, page + 8 * i, sizeof(m));
        sum += (Uint128)(m[0] + k[i]) * (m[1] + k[i + 1]);
    }
    return (PageHash){ (uint64_t)sum, (uint64_t)(sum >> 64) };
}

PageHash page_hash_zero(const PageHashKey *key)
{
    return key ? key->zero : (PageHash){ 0 };
}

bool page_hash_key_init(PageHashKey *key, GError **errp)
{
    static const uint8_t zero[MIG_PAGE_SIZE];
    uint8_t *to = (uint8_t *)key->word;

    for (size_t i = 0; i < sizeof(key->word); i += ENTROPY_MAX) {
        if (getentropy(to + i, ENTROPY_MAX) != 0) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                        "the system gives no random bytes: %s",
                        g_strerror(errno));
            return false;
        }
    }
    key->zero = page_hash(key, zero);
    return true;
}

bool page_hash_matches(const PageHashKey *key, PageHash hash,
                     const uint8_t *page, bool zero)
{
    if (!page_hash_is_known(hash)) {
        return false;
    }
    return page_hash_equal(hash, zero ? key->zero : page_hash(key, page));
}
