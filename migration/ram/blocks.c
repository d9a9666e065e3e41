/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/ram/blocks.h"

#include <stdlib.h>
#include <string.h>

#include "ferry/error.h"
#include "migration/wire/wire.h"

static bool check_block(const MigRamBlock *block, GError **errp)
{
    const char *fault = NULL;

    if (!block->name || !block->name[0] ||
        strlen(block->name) > WIRE_NAME_MAX) {
        fault = "has a name that is empty or too long";
    } else if ((uintptr_t)block->host % MIG_PAGE_SIZE || !block->host) {
        fault = "is not page-aligned in memory";
    } else if (block->length == 0 || block->length % MIG_PAGE_SIZE) {
        fault = "has a length that is not a number of pages";
    }
    if (fault) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST, "RAM block '%s' %s",
                    block->name ? block->name : "", fault);
    }
    return !fault;
}

static int compare_blocks(const void *a, const void *b)
{
    return strcmp((*(const RamBlock *const *)a)->name,
                  (*(const RamBlock *const *)b)->name);
}

static int compare_name(const void *name, const void *block)
{
    return strcmp(name, (*(const RamBlock *const *)block)->name);
}

static void number_pages(RamBlocks *blocks)
{
    uint64_t first = 0;

    for (unsigned i = 0; i < blocks->count; i++) {
        blocks->block[blocks->by_name[i]->index].first = first;
        first += blocks->by_name[i]->pages;
    }
}

/* All blocks are there.  False when two have one name. */
static bool sort_blocks(RamBlocks *blocks, const char **twice)
{
    blocks->by_name = g_new(const RamBlock *, blocks->count);
    for (unsigned i = 0; i < blocks->count; i++) {
        blocks->by_name[i] = &blocks->block[i];
    }
    if (blocks->count) { /* a stream of a machine without RAM has none */
        qsort(blocks->by_name, blocks->count, sizeof(blocks->by_name[0]),
              compare_blocks);
    }
    for (unsigned i = 1; i < blocks->count; i++) {
        if (!compare_blocks(&blocks->by_name[i - 1], &blocks->by_name[i])) {
            *twice = blocks->by_name[i]->name;
            return false;
        }
    }
    number_pages(blocks);
    return true;
}

RamBlocks *ram_blocks_new(const MigRamBlock *block, size_t count,
                          GError **errp)
{
    RamBlocks *blocks;
    const char *twice;

    if (count == 0 || count > WIRE_BLOCKS_MAX) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "the host has %zu RAM blocks, expected 1 to %u", count,
                    WIRE_BLOCKS_MAX);
        return NULL;
    }
    blocks = g_new0(RamBlocks, 1);
    blocks->block = g_new0(RamBlock, count);
    for (size_t i = 0; i < count; i++) {
        if (!check_block(&block[i], errp)) {
            ram_blocks_free(blocks);
            return NULL;
        }
        blocks->block[i] = (RamBlock){
            .name = block[i].name,
            .host = block[i].host,
            .pages = block[i].length / MIG_PAGE_SIZE,
            .index = (unsigned)i,
        };
        blocks->pages += blocks->block[i].pages;
        blocks->count++;
    }
    if (!sort_blocks(blocks, &twice)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "two RAM blocks are called '%s'", twice);
        ram_blocks_free(blocks);
        return NULL;
    }
    return blocks;
}

void ram_blocks_free(RamBlocks *blocks)
{
    if (blocks) {
        g_free(blocks->by_name);
        g_free(blocks->block);
        g_free(blocks);
    }
}

const RamBlock *ram_blocks_find(const RamBlocks *blocks, const char *name)
{
    const RamBlock *const *found =
        blocks->count ? bsearch(name, blocks->by_name, blocks->count,
                                sizeof(blocks->by_name[0]), compare_name)
                      : NULL;

    return found ? *found : NULL;
}

RamBlocks *ram_blocks_of_list(const RamList *list)
{
    RamBlocks *blocks = g_new0(RamBlocks, 1);
    const char *twice;

    blocks->block = g_new0(RamBlock, list->count);
    blocks->count = list->count;
    blocks->pages = list->total / MIG_PAGE_SIZE;
    for (unsigned i = 0; i < list->count; i++) {
        blocks->block[i] = (RamBlock){
            .name = list->entry[i].name,
            .pages = list->entry[i].length / MIG_PAGE_SIZE,
            .index = i,
        };
    }
    if (!sort_blocks(blocks, &twice)) {
        g_assert_not_reached(); /* the list has been checked */
    }
    return blocks;
}
