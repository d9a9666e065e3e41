/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The compression pool: batches of pages in, bytes of stream out.
 *
 * The save loop owns it.  Batches come back in the order in which they were
 * submitted, each as complete RAM records whose first names the block, so
 * that a batch's bytes mean the same wherever they stand in a section.
 */
#ifndef MIGRATION_RAM_COMPRESS_H
#define MIGRATION_RAM_COMPRESS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/pack/codec.h"
#include "migration/ram/blocks.h"
#include "migration/ram/stats.h"

typedef struct CompressPool CompressPool;

typedef struct CompressJob {
    RamBatch batch;    /* set by the save loop, as is */
    bool zero_ranges;  /* whether the reader takes them; */
    uint8_t *out;      /* then written by the worker: the records, */
    size_t size;       /* their bytes, */
    PageCounts counts; /* and what they are */
} CompressJob;

/* threads 1..255, level 0..9; 2 * threads + 2 jobs are allocated. */
CompressPool *compress_new(const Codec *codec, unsigned threads,
                           unsigned level, GError **errp);
void compress_free(CompressPool *pool);

/* See util/pool.h. */
CompressJob *compress_next(CompressPool *pool);
void compress_submit(CompressPool *pool);
const CompressJob *compress_collect(CompressPool *pool, bool wait);
void compress_release(CompressPool *pool);

#endif
