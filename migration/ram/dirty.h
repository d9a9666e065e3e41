/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages are still to be sent: one bitmap per block. */
#ifndef MIGRATION_RAM_DIRTY_H
#define MIGRATION_RAM_DIRTY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/ram/blocks.h"

typedef struct RamDirty RamDirty;

/* All pages dirty.  blocks must outlive it. */
RamDirty *ram_dirty_new(const RamBlocks *blocks);
void ram_dirty_free(RamDirty *dirty);

/* How many pages are dirty. */
uint64_t ram_dirty_pages(const RamDirty *dirty);

/* Ask the host which pages need not be read unless ram_dirty_refresh() finds
 * them written.  Called once, before pages are taken. */
void ram_dirty_find_untouched(RamDirty *dirty, const MigHost *host,
                              void *opaque);

/* Pages in a row that the host knows to be zero. */
typedef struct RamRun {
    const RamBlock *block;
    uint64_t page;
    uint64_t count;
} RamRun;

/* After a walk: take out the next such run, in address order.  False when none
 * is left. */
bool ram_dirty_take_untouched(RamDirty *dirty, RamRun *run);

/* Between passes: add the pages in the host's dirty log.  *added is how many
 * pages were written, with those that ram_dirty_refresh() has added. */
bool ram_dirty_collect(RamDirty *dirty, const MigHost *host, void *opaque,
                       uint64_t *added, GError **errp);

/*
 * Between passes: let ram_dirty_refresh() look at the dirty log from now on, if
 * the host has it by parts.  With NULL it stops looking.
 */
void ram_dirty_follow(RamDirty *dirty, const MigHost *host, void *opaque);

/*
 * Before each ram_dirty_take(): when the walk comes to another part of memory,
 * add that part's pages in the dirty log.  *added is how many that added.
 */
bool ram_dirty_refresh(RamDirty *dirty, uint64_t *added, GError **errp);

/*
 * Take out the next other dirty pages, in address order, up to a batch of one
 * block, without copies.  False, once, when none are left; the walk then begins
 * again.
 */
bool ram_dirty_take(RamDirty *dirty, RamBatch *batch);

#endif
