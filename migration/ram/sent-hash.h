/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the destination has: for each page the hash of what was sent last for
 * it.  A page that is still that need not be sent again.
 *
 * An entry is here or in a job, never in both.  The save loop takes out the
 * entries of a batch when it fills a job with it, and puts back what the job
 * has sent when that is in the stream.  What was taken and is not put back is
 * not known any more.
 *
 * It begins empty and belongs to one attempt, that is to one destination.  It
 * takes 16 bytes for each page that was sent and was not zero, and a bit for
 * every page.  The save loop's thread has it.
 */
#ifndef MIGRATION_RAM_SENT_HASH_H
#define MIGRATION_RAM_SENT_HASH_H

#include "migration/ram/blocks.h"
#include "migration/ram/dirty.h"
#include "migration/ram/page-hash.h"

typedef struct SentHash SentHash;

/* The blocks must outlive it.  NULL and MIG_ERROR_HOST where there is no
 * memory, or no key. */
SentHash *sent_hash_new(const RamBlocks *blocks, GError **errp);
void sent_hash_free(SentHash *sent); /* NULL is fine */

/* The key of all hashes here; it never changes. */
const PageHashKey *sent_hash_key(const SentHash *sent);

/* The entries of the batch's pages: hash[batch->count]. */
void sent_hash_take(SentHash *sent, const RamBatch *batch, PageHash *hash);
void sent_hash_put(SentHash *sent, const RamBatch *batch,
                   const PageHash *hash);

/* Something else is sent for the batch's pages, whose hash is not noted. */
void sent_hash_forget(SentHash *sent, const RamBatch *batch);

/* These pages were sent for the first time, and were zero. */
void sent_hash_put_zeros(SentHash *sent, const RamRun *run);

#endif
