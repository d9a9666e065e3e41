/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RAM records to guest memory. */
#ifndef MIGRATION_RAM_LOAD_H
#define MIGRATION_RAM_LOAD_H

#include <glib.h>
#include <stdbool.h>

#include "migration/pack/codec.h"
#include "migration/ram/blocks.h"
#include "migration/ram/stats.h"
#include "migration/wire/ram-list.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/stream.h"

typedef struct RamLoad RamLoad;

/*
 * The stream, blocks and stats are borrowed and must outlive the result.  The
 * blocks' memory reads as zero.  threads is for the decompression pool, which
 * the first compressed page starts.
 */
RamLoad *ram_load_new(Stream *stream, const RamBlocks *blocks,
                      unsigned threads, StatsChannel *counted);
void ram_load_free(RamLoad *load);

/* How pages are compressed, if not in the zlib format.  Called before the first
 * page. */
void ram_load_set_codec(RamLoad *load, const Codec *codec);

/* The source sends packs instead, which refer to window packs before.  False
 * when that was said before, or a page has come. */
bool ram_load_use_packs(RamLoad *load, unsigned window);

/* An observer that reads a stream without having the guest: the inspector. */
typedef struct RamWatcher {
    /* Called for the pages of a record, before its data is read: once for a
     * whole range, and once for each page of a batch. */
    bool (*pages)(void *opaque, const RamRecord *record,
                  const RamBlock *block, uint64_t first, uint64_t count,
                  GError **errp);
    void *opaque;
    bool verify; /* decode also the pages of blocks without memory */
    /* Where to put the content of a plain page instead of in the block's
     * memory; it is there when the next function of the watcher is called.
     * NULL is an error.  The function may be NULL. */
    uint8_t *(*plain)(void *opaque, const RamBlock *block, uint64_t page,
                      GError **errp);
} RamWatcher;

/*
 * Called first, if at all.  With a watcher, blocks may have no memory: their
 * pages are skipped or, with verify, decoded and dropped.
 */
void ram_load_watch(RamLoad *load, const RamWatcher *watcher);

/* Take the content of ram's START.  False unless the source has the same
 * blocks. */
bool ram_load_blocks(RamLoad *load, const RamList *list, GError **errp);

/* Load a record of ram's PART or END, and read its data, if it has any.  EOS is
 * a record, too. */
bool ram_load_record(RamLoad *load, const RamRecord *record, GError **errp);

/* Wait until every page is in memory. */
bool ram_load_drain(RamLoad *load, GError **errp);

#endif
