/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/ram-dirty.h"

#include "migration/error.h"
#include "util/bitmap.h"

struct RamDirty {
    const RamBlocks *blocks;
    uint64_t **map; /* [blocks->count] */
    uint64_t pages; /* bits set in all of them */
    /* where the walk is */
    unsigned block;
    uint64_t page;
};

RamDirty *ram_dirty_new(const RamBlocks *blocks)
{
    RamDirty *dirty = g_new0(RamDirty, 1);

    dirty->blocks = blocks;
    dirty->pages = blocks->pages;
    dirty->map = g_new0(uint64_t *, blocks->count);
    for (unsigned i = 0; i < blocks->count; i++) {
        dirty->map[i] = bitmap_new(blocks->block[i].pages);
        bitmap_fill(dirty->map[i], blocks->block[i].pages);
    }
    return dirty;
}

void ram_dirty_free(RamDirty *dirty)
{
    if (!dirty) {
        return;
    }
    for (unsigned i = 0; i < dirty->blocks->count; i++) {
        g_free(dirty->map[i]);
    }
    g_free(dirty->map);
    g_free(dirty);
}

uint64_t ram_dirty_pages(const RamDirty *dirty)
{
    return dirty->pages;
}

bool ram_dirty_collect(RamDirty *dirty, const MigHost *host, void *opaque,
                       uint64_t *added, GError **errp)
{
    uint64_t before = dirty->pages;

    dirty->pages = 0;
    for (unsigned i = 0; i < dirty->blocks->count; i++) {
        if (!host->dirty_log_collect(opaque, i, dirty->map[i], errp)) {
            return false;
        }
        dirty->pages += bitmap_count(dirty->map[i],
                                     dirty->blocks->block[i].pages);
    }
    *added = dirty->pages - before;
    return true;
}

bool ram_dirty_take(RamDirty *dirty, RamBatch *batch)
{
    for (; dirty->block < dirty->blocks->count; dirty->block++) {
        batch->block = &dirty->blocks->block[dirty->block];
        batch->count = bitmap_take(dirty->map[dirty->block],
                                   batch->block->pages, dirty->page,
                                   batch->page, RAM_BATCH_PAGES);
        if (batch->count) {
            dirty->page = batch->page[batch->count - 1] + 1;
            dirty->pages -= batch->count;
            return true;
        }
        dirty->page = 0;
    }
    dirty->block = 0;
    return false;
}
