/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compression: batches of pages in, bytes of stream out.
 *
 * The save loop owns the pool.  Each batch becomes complete RAM records.  The
 * first record names the block, so that a batch's bytes mean the same wherever
 * they stand in a section.
 */
#ifndef MIGRATION_RAM_COMPRESS_H
#define MIGRATION_RAM_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/pack/codec-worker.h"
#include "migration/pack/ladder.h"
#include "migration/pack/packer.h"
#include "migration/ram/blocks.h"
#include "migration/ram/page-hash.h"
#include "migration/ram/stats.h"
#include "migration/ram/writer.h"
#include "migration/wire/ram-record.h"
#include "util/pool.h"

typedef struct CompressJob {
    /* The save loop sets these before it submits the job; a worker reads. */
    RamBatch batch;
    const PageHashKey *key; /* NULL: no hashes */
    bool zero_ranges; /* the reader takes ranges of zero pages */
    /* Instead of zero_ranges, pack_pages_fill() sets: */
    RamWriter writer; /* what is written of out already */
    RamPages packed;  /* the pages of the pack; perhaps none, then there is */
    PackJob pack;     /* no pack */
    const Rung *rung; /* how the pack is encoded */
    /* Of a page that is sent as it is: where its copy stands in out; or 0. */
    uint32_t plain[RAM_BATCH_PAGES];
    /* Of the batch's pages.  Filled: of what was sent last.  Collected: of what
     * was sent now, or what it was, where that is still the same. */
    PageHash hash[RAM_BATCH_PAGES];
    /* The worker sets these; the save loop reads them once it has collected. */
    size_t size; /* bytes of records */
    PageCounts counts;
    uint8_t out[]; /* the records */
} CompressJob;

/* Is nothing of page i of the batch to be encoded, whose bytes are at from?  No
 * record is written of a page that is still what was sent last for it, and that
 * of a zero page is written to out. */
bool compress_skip_page(CompressJob *job, RamWriter *out, unsigned i,
                        const uint8_t *from);

/* A pool of CompressJob whose workers encode, with threads of them (1..255) and
 * pipeline_jobs(threads).  The worker must stay until the pool was made; its
 * scratch_size is set here. */
PoolConfig compress_pool(CodecWorkerConfig *worker, unsigned threads);

#endif
