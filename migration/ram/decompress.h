/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decompression pool: compressed pages in, guest memory written.
 *
 * The load loop owns the pool.  Pages are decoded in any order, but never two
 * versions of one page at a time.  A page is in flight from decompress_add()
 * until its job was collected; to write the page, the load loop waits for that.
 */
#ifndef MIGRATION_RAM_DECOMPRESS_H
#define MIGRATION_RAM_DECOMPRESS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/pack/codec.h"
#include "migration/ram/blocks.h"
#include "migration/wire/ram-record.h"

typedef struct DecompressPool DecompressPool;

/* threads 1..255; pipeline_jobs(threads) are allocated.  blocks must outlive
 * it; pages of a block without memory are decoded and dropped. */
DecompressPool *decompress_new(const Codec *codec, unsigned threads,
                               const RamBlocks *blocks, GError **errp);
void decompress_free(DecompressPool *pool);

/*
 * Wait until no earlier version of these pages is in flight.  This call and
 * those below report, with MIG_ERROR_STREAM, block, offset and cause, a page
 * that did not decompress; it need not be the one that they are called for.
 */
bool decompress_settle(DecompressPool *pool, const RamBlock *block,
                       uint64_t page, uint64_t count, GError **errp);

/*
 * Add the pages of a record (WIRE_RAM_COMPRESSED or _BATCH), which are all in
 * the block.  Returns the place to which the caller writes the record's data
 * before the next call; NULL on an error.
 */
uint8_t *decompress_add_record(DecompressPool *pool, const RamBlock *block,
                               const RamRecord *record, GError **errp);

/* The same for one page of length compressed bytes; position is where its
 * record stands in the stream, for messages. */
uint8_t *decompress_add(DecompressPool *pool, const RamBlock *block,
                        uint64_t page, uint32_t length, uint64_t position,
                        GError **errp);

/* Wait for all pages that were added. */
bool decompress_drain(DecompressPool *pool, GError **errp);

#endif
