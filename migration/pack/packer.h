/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sender's end of a history: pages in, packs out.
 *
 * One thread, the owner, begins packs and adds pages, in the order of the
 * stream: it copies, hashes and looks up.  Any thread then makes the bytes,
 * with pack_encode().  So the bytes depend neither on timing nor on the number
 * of threads.
 */
#ifndef MIGRATION_PACK_PACKER_H
#define MIGRATION_PACK_PACKER_H

#include "migration/pack/codec-worker.h"
#include "migration/pack/pack.h"

typedef struct Packer Packer;

/* Packs may refer to window packs before; 0: only to their own pages.  NULL,
 * and MIG_ERROR_HOST, when there is no memory. */
Packer *packer_new(unsigned window, unsigned in_flight, GError **errp);
void packer_free(Packer *packer); /* NULL is fine */

/* A pack that is being filled or encoded: at most in_flight at a time. */
typedef struct PackJob {
    /* set by packer_begin(): */
    uint64_t number;
    PackSlot *slot;
    const PackHistory *history; /* its older slots: nobody writes to them */
    bool wants_dictionary;
    /* by packer_add(): */
    PackDictionary dictionary;
    /* the caller's bytes, to be set before pack_encode(): */
    const uint8_t *extra;
    uint16_t extra_size;
} PackJob;

/* Begin the next pack, which is to get a page at least, in a job that stays
 * where it is until all were added.  dictionary: look for one, as is worth it
 * if codec_wants_dictionary() of the codec and level that it will be encoded
 * by. */
void packer_begin(Packer *packer, PackJob *job, bool dictionary);

/* Copy a page, of which the guest may change bytes meanwhile, into the last
 * pack that was begun, which has room.  The key goes into the checksum.  The
 * address is only for the search: the content that was last added with it is a
 * candidate for a delta. */
void packer_add(Packer *packer, uint64_t key, uint64_t address,
                const uint8_t *page);

/* What the pages became. */
typedef struct PackCounts {
    unsigned kind[PACK_KINDS];
} PackCounts;

PackCounts pack_counts(const PackJob *job);

/*
 * Write the pack to `to`, which has room for PACK_SIZE_MAX, and return its
 * size.  The worker's scratch has room for PACK_SCRATCH_SIZE.  If it has no
 * codec, the body is stored.
 */
#define PACK_SCRATCH_SIZE (PACK_DICTIONARY_BYTES + PACK_BODY_MAX)

size_t pack_encode(const PackJob *job, const CodecWorker *worker, uint8_t *to);

#endif
