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

/* Ask the host which pages need not be read, as long as ram_dirty_refresh()
 * does not find them written; once, before pages are taken. */
void ram_dirty_find_untouched(RamDirty *dirty, const MigHost *host,
                              void *opaque);

/* Pages in a row that are zero, as the host says. */
typedef struct RamRun {
    const RamBlock *block;
    uint64_t page;
    uint64_t count;
} RamRun;

/* After a walk: take the next such run out, in address order; false when there
 * is none left. */
bool ram_dirty_take_untouched(RamDirty *dirty, RamRun *run);

/* Between passes: add what the host's dirty log has; tell how many pages were
 * written, also those that ram_dirty_refresh() has added. */
bool ram_dirty_collect(RamDirty *dirty, const MigHost *host, void *opaque,
                       uint64_t *added, GError **errp);

/*
 * Between passes: from now on ram_dirty_refresh() looks at the dirty log, if
 * the host has it by parts; or, with NULL, no more.
 */
void ram_dirty_follow(RamDirty *dirty, const MigHost *host, void *opaque);

/*
 * Before each ram_dirty_take(): when the walk comes to another part of memory,
 * add what the dirty log has of it; tell how many pages that added.
 */
bool ram_dirty_refresh(RamDirty *dirty, uint64_t *added, GError **errp);

/*
 * Take the next other dirty pages out, in address order, up to a batch of one
 * block.  False, once, when there are none left; the walk then begins again.
 */
bool ram_dirty_take(RamDirty *dirty, RamBatch *batch);

#endif
