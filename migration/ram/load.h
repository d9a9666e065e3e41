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
 * The stream, blocks and stats are borrowed and must outlive it.  The blocks'
 * memory reads as zero.  threads is for the decompression pool, which is
 * started by the first compressed page.
 */
RamLoad *ram_load_new(Stream *stream, const RamBlocks *blocks,
                      unsigned threads, Stats *stats);
void ram_load_free(RamLoad *load);

/* How pages are compressed, where it is not in the zlib format.  Before the
 * first page. */
void ram_load_set_codec(RamLoad *load, const Codec *codec);

/* Who reads a stream without having the guest: the inspector. */
typedef struct RamWatcher {
    /* Called for the pages of a record, before its data is read: once for all
     * of a range, and for each page of a batch. */
    bool (*pages)(void *opaque, const RamRecord *record,
                  const RamBlock *block, uint64_t first, uint64_t count,
                  GError **errp);
    void *opaque;
    bool verify; /* decode also the pages of blocks without memory */
} RamWatcher;

/*
 * To be called first.  Then blocks may have no memory: their pages are skipped
 * or, with verify, decoded and dropped.
 */
void ram_load_watch(RamLoad *load, const RamWatcher *watcher);

/* The content of ram's START: the source has the same blocks. */
bool ram_load_blocks(RamLoad *load, const RamList *list, GError **errp);

/* A record of ram's PART or END whose data is to be read, if it has any.  EOS
 * is one, too. */
bool ram_load_record(RamLoad *load, const RamRecord *record, GError **errp);

/* Wait until every page is in memory. */
bool ram_load_drain(RamLoad *load, GError **errp);

#endif
