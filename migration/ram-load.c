/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Records are read one by one; each becomes a checked (block, page) first.
 * Compressed pages go to the decompression pool, the others are written here.
 * The order of records that are for the same page is kept, whatever kinds
 * they are: see ram-decompress.h.
 *
 * Memory begins as zero.  A zero page whose memory was never written is
 * therefore done without touching it, so that RAM that the guest never used
 * takes no memory at the destination either.
 */
#include "migration/ram-load.h"

#include <string.h>

#include "migration/codec.h"
#include "migration/ram-decompress.h"
#include "migration/ram-list.h"
#include "migration/ram-record.h"
#include "migration/wire.h"
#include "util/bitmap.h"

struct RamLoad {
    Stream *stream;
    const RamBlocks *blocks;
    Stats *stats;
    unsigned threads;
    DecompressPool *pool;  /* NULL: no compressed page yet */
    uint64_t **written;    /* [blocks->count]: memory may differ from zero */
    const RamBlock *block; /* of the record before; survives sections */
    PageCounts counts;     /* not yet in stats */
    unsigned uncounted;    /* pages in counts */
    RamWatcher watcher;    /* page is NULL when there is none */
};

RamLoad *ram_load_new(Stream *stream, const RamBlocks *blocks,
                      unsigned threads, Stats *stats)
{
    RamLoad *load = g_new0(RamLoad, 1);

    load->stream = stream;
    load->blocks = blocks;
    load->stats = stats;
    load->threads = threads;
    load->written = g_new0(uint64_t *, blocks->count);
    for (unsigned i = 0; i < blocks->count; i++) {
        load->written[i] = bitmap_new(blocks->block[i].pages);
    }
    return load;
}

void ram_load_watch(RamLoad *load, const RamWatcher *watcher)
{
    load->watcher = *watcher;
}

void ram_load_free(RamLoad *load)
{
    if (!load) {
        return;
    }
    decompress_free(load->pool);
    for (unsigned i = 0; i < load->blocks->count; i++) {
        g_free(load->written[i]);
    }
    g_free(load->written);
    g_free(load);
}

/* Set-up */

static bool get_block(RamLoad *load, uint64_t *seen, uint64_t *total,
                      GError **errp)
{
    const RamBlock *block;
    char name[256];
    uint64_t length;

    if (!ram_list_get_entry(load->stream, name, &length, errp)) {
        return false;
    }
    block = ram_blocks_find(load->blocks, name);
    if (!block) {
        g_autofree char *shown = g_strescape(name, NULL);

        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "Unknown ramblock \"%s\", cannot accept migration",
                    shown);
        return false;
    }
    if (length != block->pages * MIG_PAGE_SIZE) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "Size mismatch: %s: 0x%" G_GINT64_MODIFIER "x != 0x%"
                    G_GINT64_MODIFIER "x",
                    name, length, block->pages * MIG_PAGE_SIZE);
        return false;
    }
    if (bitmap_test(seen, block->index)) {
        stream_bad(load->stream, errp, "RAM block '%s' twice", name);
        return false;
    }
    bitmap_set(seen, block->index);
    *total += length;
    return true;
}

static bool get_block_list(RamLoad *load, uint64_t announced, GError **errp)
{
    g_autofree uint64_t *seen = bitmap_new(load->blocks->count);
    uint64_t total = 0;

    if (announced != ram_blocks_bytes(load->blocks)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "the source has %" G_GUINT64_FORMAT " bytes of RAM, this "
                    "machine %" G_GUINT64_FORMAT, announced,
                    ram_blocks_bytes(load->blocks));
        return false;
    }
    while (total < announced) {
        if (!get_block(load, seen, &total, errp)) {
            return false;
        }
    }
    return true;
}

bool ram_load_setup(RamLoad *load, GError **errp)
{
    uint64_t total;

    return ram_list_get_total(load->stream, &total, errp) &&
           get_block_list(load, total, errp) &&
           ram_list_get_end(load->stream, errp);
}

/* Pages */

/* From a record to a page of ours. */
static bool find_page(RamLoad *load, const RamRecord *r, uint64_t *page,
                      GError **errp)
{
    if (r->has_name) {
        load->block = ram_blocks_find(load->blocks, r->name);
        if (!load->block) {
            g_autofree char *shown = g_strescape(r->name, NULL);

            stream_bad(load->stream, errp, "unknown RAM block '%s'", shown);
            return false;
        }
    }
    if (!load->block) {
        stream_bad(load->stream, errp, "a first RAM record without a block");
        return false;
    }
    *page = r->offset / MIG_PAGE_SIZE;
    if (*page >= load->block->pages) {
        stream_bad(load->stream, errp,
                   "offset 0x%" G_GINT64_MODIFIER "x is outside block '%s'",
                   r->offset, load->block->name);
        return false;
    }
    return true;
}

static void load_zero(RamLoad *load, uint64_t page)
{
    uint64_t *written = load->written[load->block->index];

    if (bitmap_test(written, page)) {
        memset(ram_block_page(load->block, page), 0, MIG_PAGE_SIZE);
        bitmap_clear(written, page);
    }
    load->counts.zero++;
}

static bool load_plain(RamLoad *load, uint64_t page, GError **errp)
{
    load->counts.normal++;
    if (!load->block->host) {
        return stream_skip(load->stream, MIG_PAGE_SIZE, errp);
    }
    bitmap_set(load->written[load->block->index], page);
    return stream_get_bytes(load->stream, ram_block_page(load->block, page),
                            MIG_PAGE_SIZE, errp);
}

static bool load_compressed(RamLoad *load, const RamRecord *r, uint64_t page,
                            GError **errp)
{
    uint8_t *to;

    if (!load->block->host && !load->watcher.verify) {
        return stream_skip(load->stream, r->length, errp);
    }
    if (!load->pool) {
        load->pool = decompress_new(&codec_zlib, load->threads, load->blocks,
                                    errp);
        if (!load->pool) {
            return false;
        }
    }
    to = decompress_add(load->pool, load->block, page, r->length, r->position,
                        errp);
    if (!to || !stream_get_bytes(load->stream, to, r->length, errp)) {
        return false;
    }
    if (load->block->host) {
        bitmap_set(load->written[load->block->index], page);
    }
    load->counts.compressed++;
    load->counts.compressed_bytes += stream_position(load->stream) -
                                     r->position;
    return true;
}

static bool watch_page(RamLoad *load, const RamRecord *r, uint64_t page,
                       GError **errp)
{
    const RamWatcher *w = &load->watcher;

    return !w->page || w->page(w->opaque, r, load->block, page, errp);
}

static bool load_page(RamLoad *load, const RamRecord *r, GError **errp)
{
    uint64_t page;

    if (!find_page(load, r, &page, errp) ||
        !watch_page(load, r, page, errp)) {
        return false;
    }
    if (r->type == WIRE_RAM_COMPRESSED) {
        return load_compressed(load, r, page, errp);
    }
    if (load->pool &&
        !decompress_settle(load->pool, load->block, page, errp)) {
        return false;
    }
    if (r->type == WIRE_RAM_ZERO) {
        load_zero(load, page);
        return true;
    }
    return load_plain(load, page, errp);
}

static void account(RamLoad *load)
{
    stats_account(load->stats, &load->counts, stream_position(load->stream));
    load->counts = (PageCounts){ 0 };
    load->uncounted = 0;
}

bool ram_load_section(RamLoad *load, GError **errp)
{
    RamRecord record;

    for (;;) {
        if (!ram_record_get(load->stream, &record, errp)) {
            return false;
        }
        switch (record.type) {
        case WIRE_RAM_EOS:
            account(load);
            return true;
        case WIRE_RAM_MEM_SIZE:
            stream_bad(load->stream, errp, "a second list of RAM blocks");
            return false;
        default:
            if (!load_page(load, &record, errp)) {
                return false;
            }
            if (++load->uncounted == RAM_BATCH_PAGES) {
                account(load);
            }
        }
    }
}

bool ram_load_drain(RamLoad *load, GError **errp)
{
    return !load->pool || decompress_drain(load->pool, errp);
}
