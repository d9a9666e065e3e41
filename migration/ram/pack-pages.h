/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compression by packs: what compress.h's pool does, for a destination that
 * keeps a history.  The jobs are the same, but the save loop fills them by
 * pack_pages_fill(), in the order of the stream.
 */
#ifndef MIGRATION_RAM_PACK_PAGES_H
#define MIGRATION_RAM_PACK_PAGES_H

#include "migration/ram/compress.h"

/* Pages of history, at the source. */
typedef struct PackPages PackPages;

/* The destination keeps a window of so many packs; threads as for
 * pack_pages_pool().  NULL, and MIG_ERROR_HOST, when there is no memory. */
PackPages *pack_pages_new(unsigned window, unsigned threads, GError **errp);
void pack_pages_free(PackPages *pages); /* NULL is fine */

/* As compress_pool(). */
PoolConfig pack_pages_pool(LadderWorkerConfig *worker, unsigned threads);

/* Copy the batch's pages into the job, which has its key and hashes, instead of
 * setting its batch.  They will be encoded by the rung; one without a codec
 * makes no pack, but plain pages, which the history does not have. */
void pack_pages_fill(PackPages *pages, CompressJob *job, const Rung *rung,
                     const RamBatch *batch, bool zero_ranges);

#endif
