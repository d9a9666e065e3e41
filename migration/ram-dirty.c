/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/ram-dirty.h"

#include "migration/error.h"
#include "util/bitmap.h"

struct RamDirty {
    const RamBlocks *blocks;
    uint64_t **map; /* [blocks->count] */
    uint64_t pages; /* bits set in all of these maps */
    uint64_t **untouched; /* [blocks->count], or NULL; disjoint from map */
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
        g_free(dirty->untouched ? dirty->untouched[i] : NULL);
    }
    g_free(dirty->map);
    g_free(dirty->untouched);
    g_free(dirty);
}

uint64_t ram_dirty_pages(const RamDirty *dirty)
{
    return dirty->pages;
}

void ram_dirty_find_untouched(RamDirty *dirty, const MigHost *host,
                              void *opaque)
{
    if (!host->ram_untouched) {
        return;
    }
    dirty->untouched = g_new0(uint64_t *, dirty->blocks->count);
    for (unsigned i = 0; i < dirty->blocks->count; i++) {
        uint64_t pages = dirty->blocks->block[i].pages;

        dirty->untouched[i] = bitmap_new(pages);
        host->ram_untouched(opaque, i, dirty->untouched[i]);
        for (uint64_t w = 0; w < bitmap_words(pages); w++) {
            dirty->map[i][w] &= ~dirty->untouched[i][w];
        }
    }
}

bool ram_dirty_take_untouched(RamDirty *dirty, RamRun *run)
{
    for (unsigned i = 0; dirty->untouched && i < dirty->blocks->count; i++) {
        uint64_t *map = dirty->untouched[i];
        const RamBlock *block = &dirty->blocks->block[i];

        if (!map) {
            continue;
        }
        run->block = block;
        run->page = bitmap_next_set(map, block->pages, dirty->page);
        if (run->page < block->pages) {
            dirty->page = bitmap_next_clear(map, block->pages, run->page);
            run->count = dirty->page - run->page;
            dirty->pages -= run->count;
            return true;
        }
        g_clear_pointer(&dirty->untouched[i], g_free);
        dirty->page = 0;
    }
    return false;
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
