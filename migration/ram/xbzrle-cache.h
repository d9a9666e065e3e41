/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The capability xbzrle at the source: copies of pages as they were sent, so
 * that of a page that is sent again only the changes need be.  The save loop's,
 * but for what a batch borrows.
 */
#ifndef MIGRATION_RAM_XBZRLE_CACHE_H
#define MIGRATION_RAM_XBZRLE_CACHE_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/ram/blocks.h"
#include "migration/ram/writer.h"
#include "migration/wire/wire.h"

typedef struct XbzrleCache XbzrleCache;

/* The most that one batch's records take. */
#define XBZRLE_BATCH_BYTES \
    (WIRE_RECORD_HEAD_MAX + RAM_BATCH_PAGES * (8 + 3 + MIG_PAGE_SIZE))

/* bytes is a power of two and at least a page; no more than all pages of the
 * blocks need is used.  NULL when there is not so much memory. */
XbzrleCache *xbzrle_cache_new(uint64_t bytes, const RamBlocks *blocks,
                              GError **errp);
void xbzrle_cache_free(XbzrleCache *cache); /* NULL is fine */

/* Another pass begins.  Nothing reads copies of the last one any more. */
void xbzrle_cache_begin_pass(XbzrleCache *cache);

/*
 * Take out of a batch the pages whose changes take at most room bytes each, and
 * those that have not changed; write the changes' records.  changed gets the
 * pages with changes.  The pages that stay in the batch have to be sent as they
 * are there: the cache counts on it for those that it has a copy of.  These
 * copies stay as they are until the pass ends.
 */
void xbzrle_cache_take(XbzrleCache *cache, RamBatch *batch, RamBatch *changed,
                       size_t room, RamWriter *out);

#endif
