/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A pass sends what the log had when it began.  A page that the guest writes
 * before its turn would be sent as it is then, and once more in the next pass.
 * So the walk looks at the log again whenever it comes to another part of
 * memory: what is new in it is sent in this pass, and what was to be sent
 * anyway is not dirty any more.  Parts without a dirty page are passed over, so
 * that this costs what the guest has, and not what it could have.
 *
 * Untouched pages are taken when the walk is over.  Then a page that was found
 * written in this pass is not among them: in one section the destination could
 * not tell which of its two versions is the newer one.
 */
#include "migration/ram/dirty.h"

#include <string.h>

#include "ferry/error.h"
#include "util/bitmap.h"

/* 16 MiB: at 1 Gbit/s a fraction of a second, and one look at the log for
 * thousands of pages. */
#define PART_PAGES 4096u

struct RamDirty {
    const RamBlocks *blocks;
    uint64_t **map; /* [blocks->count] */
    uint64_t pages; /* bits set in all of these maps */
    uint64_t **untouched; /* [blocks->count], or NULL; disjoint from map */
    const MigHost *host;  /* to follow, or NULL */
    void *opaque;
    uint64_t written;     /* pages that refreshing has found */
    uint64_t part[PART_PAGES / BITMAP_WORD_BITS]; /* for refreshing */
    /* where the walk is */
    unsigned block;
    uint64_t page;
    uint64_t fresh; /* the end of the part that it is in; if it follows */
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
    *added = dirty->pages - before + dirty->written;
    dirty->written = 0;
    return true;
}

void ram_dirty_follow(RamDirty *dirty, const MigHost *host, void *opaque)
{
    dirty->host = host && host->dirty_log_collect_part ? host : NULL;
    dirty->opaque = opaque;
}

static void next_block(RamDirty *dirty)
{
    dirty->block++;
    dirty->page = dirty->fresh = 0;
}

/* Go to the next dirty page. */
static bool find_next(RamDirty *dirty)
{
    for (; dirty->block < dirty->blocks->count; next_block(dirty)) {
        uint64_t pages = dirty->blocks->block[dirty->block].pages;

        dirty->page = bitmap_next_set(dirty->map[dirty->block], pages,
                                      dirty->page);
        if (dirty->page < pages) {
            return true;
        }
    }
    return false;
}

/*
 * Add the pages of dirty->part; how many of them were not to be sent anyway.
 * An untouched page that was written after all is one of the others now: it
 * must not come as zero too, in the same section.
 */
static uint64_t add_part(RamDirty *dirty, const MigRamPart *part)
{
    uint64_t first = part->first / BITMAP_WORD_BITS;
    uint64_t *map = dirty->map[part->block] + first;
    uint64_t *untouched = dirty->untouched ? dirty->untouched[part->block]
                                           : NULL;
    uint64_t added = 0;

    dirty->written += bitmap_count(dirty->part, part->pages);
    for (uint64_t w = 0; w < bitmap_words(part->pages); w++) {
        uint64_t found = dirty->part[w];
        uint64_t waiting = map[w];

        map[w] |= found;
        if (untouched) {
            waiting |= untouched[first + w];
            untouched[first + w] &= ~found;
        }
        added += (unsigned)__builtin_popcountll(found & ~waiting);
    }
    return added;
}

bool ram_dirty_refresh(RamDirty *dirty, uint64_t *added, GError **errp)
{
    MigRamPart part;

    *added = 0;
    if (!dirty->host || !find_next(dirty) || dirty->page < dirty->fresh) {
        return true;
    }
    part.block = dirty->block;
    part.first = dirty->page / PART_PAGES * PART_PAGES;
    part.pages = MIN(dirty->blocks->block[dirty->block].pages - part.first,
                     PART_PAGES);
    memset(dirty->part, 0, sizeof(dirty->part));
    if (!dirty->host->dirty_log_collect_part(dirty->opaque, &part,
                                             dirty->part, errp)) {
        return false;
    }
    *added = add_part(dirty, &part);
    dirty->pages += *added;
    dirty->page = part.first;
    dirty->fresh = part.first + part.pages;
    return true;
}

bool ram_dirty_take(RamDirty *dirty, RamBatch *batch)
{
    for (; dirty->block < dirty->blocks->count; next_block(dirty)) {
        batch->block = &dirty->blocks->block[dirty->block];
        batch->count = bitmap_take(dirty->map[dirty->block],
                                   dirty->host ? dirty->fresh
                                               : batch->block->pages,
                                   dirty->page, batch->page,
                                   RAM_BATCH_PAGES);
        if (batch->count) {
            memset(batch->copy, 0, sizeof(batch->copy));
            dirty->page = batch->page[batch->count - 1] + 1;
            dirty->pages -= batch->count;
            return true;
        }
    }
    dirty->block = 0;
    return false;
}
