/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decompression of packs: what decompress.h does, for records of a source that
 * keeps a history.  The load loop owns it.  Packs are decoded in any order, and
 * their pages are placed in the order of the stream, by the load loop.
 */
#ifndef MIGRATION_RAM_UNPACK_PAGES_H
#define MIGRATION_RAM_UNPACK_PAGES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/ram/blocks.h"
#include "migration/ram/place.h"
#include "migration/wire/ram-record.h"

typedef struct UnpackPages UnpackPages;

/* The source's window, in packs; threads 1..255.  blocks and place must outlive
 * it.  Pages of a block without memory are decoded and dropped. */
UnpackPages *unpack_pages_new(unsigned window, unsigned threads,
                              const RamBlocks *blocks, RamPlace *place,
                              GError **errp);
void unpack_pages_free(UnpackPages *unpack); /* NULL is fine */

/*
 * Wait until no earlier version of these pages is in flight.  This call and
 * those below report, with MIG_ERROR_STREAM, block, offset and cause, a pack
 * that is bad; it need not be the one that they are called for.
 */
bool unpack_pages_settle(UnpackPages *unpack, const RamBlock *block,
                         uint64_t page, uint64_t count, GError **errp);

/* Add a record WIRE_RAM_PACK, whose pages are all in the block.  Returns where
 * to put its data, before the next call; NULL on an error. */
uint8_t *unpack_pages_add(UnpackPages *unpack, const RamBlock *block,
                          const RamRecord *record, GError **errp);

/* Wait for all that were added. */
bool unpack_pages_drain(UnpackPages *unpack, GError **errp);

#endif
