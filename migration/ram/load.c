/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Records come one by one.  Each is first turned into a block and checked
 * pages.  Compressed pages go to the decompression pool, and the others are
 * placed here, as are changes of pages (XBZRLE).  Records for the same page
 * take effect in their order, whatever their kinds: see in-flight.h.
 */
#include "migration/ram/load.h"

#include "migration/pack/pack.h"
#include "migration/ram/decompress.h"
#include "migration/ram/place.h"
#include "migration/ram/unpack-pages.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/wire.h"
#include "migration/wire/xbzrle.h"

struct RamLoad {
    Stream *stream;
    const RamBlocks *blocks;
    StatsChannel *counted;
    unsigned threads;
    const Codec *codec;
    DecompressPool *pool;  /* NULL: no compressed page yet */
    bool packs;            /* they come, and no compressed pages or batches */
    unsigned window;       /* of packs */
    UnpackPages *unpack;   /* NULL: no pack yet */
    RamPlace *place;
    const RamBlock *block; /* the last record's; survives sections */
    PageCounts counts;     /* not yet in stats */
    unsigned uncounted;    /* pages in counts */
    RamWatcher watcher;    /* pages is NULL when there is none */
};

RamLoad *ram_load_new(Stream *stream, const RamBlocks *blocks,
                      unsigned threads, StatsChannel *counted)
{
    RamLoad *load = g_new0(RamLoad, 1);

    load->stream = stream;
    load->blocks = blocks;
    load->counted = counted;
    load->threads = threads;
    load->codec = &codec_zlib;
    load->place = ram_place_new(blocks);
    return load;
}

void ram_load_watch(RamLoad *load, const RamWatcher *watcher)
{
    load->watcher = *watcher;
}

void ram_load_set_codec(RamLoad *load, const Codec *codec)
{
    g_assert(!load->pool);
    load->codec = codec;
}

bool ram_load_use_packs(RamLoad *load, unsigned window)
{
    if (load->packs || load->block) {
        return false;
    }
    load->packs = true;
    load->window = window;
    stats_history(load->counted->stats, (uint64_t)window * PACK_SLOT_BYTES);
    return true;
}

void ram_load_free(RamLoad *load)
{
    if (load) {
        decompress_free(load->pool);
        unpack_pages_free(load->unpack);
        ram_place_free(load->place);
        g_free(load);
    }
}

/* Set-up */

/* Do we have this block, with the same length? */
static bool check_entry(const RamLoad *load, const RamListEntry *entry,
                        GError **errp)
{
    const RamBlock *block = ram_blocks_find(load->blocks, entry->name);

    if (!block) {
        g_autofree char *shown = g_strescape(entry->name, NULL);

        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "Unknown ramblock \"%s\", cannot accept migration",
                    shown);
        return false;
    }
    if (entry->length != block->pages * MIG_PAGE_SIZE) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "Size mismatch: %s: 0x%" G_GINT64_MODIFIER "x != 0x%"
                    G_GINT64_MODIFIER "x", block->name, entry->length,
                    block->pages * MIG_PAGE_SIZE);
        return false;
    }
    return true;
}

/* Names are unique and lengths sum to the total: none of ours is missing. */
bool ram_load_blocks(RamLoad *load, const RamList *list, GError **errp)
{
    uint64_t ours = ram_blocks_bytes(load->blocks);

    if (list->total != ours) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "the source has %" G_GUINT64_FORMAT " bytes of RAM, this "
                    "machine %" G_GUINT64_FORMAT, list->total, ours);
        return false;
    }
    for (unsigned i = 0; i < list->count; i++) {
        if (!check_entry(load, &list->entry[i], errp)) {
            return false;
        }
    }
    return true;
}

/* Pages */

static bool find_block(RamLoad *load, const RamRecord *r, GError **errp)
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
    return true;
}

static bool is_packed(const RamRecord *r)
{
    return r->type == WIRE_RAM_COMPRESSED || r->type == WIRE_RAM_BATCH ||
           r->type == WIRE_RAM_PACK;
}

static bool is_zero(const RamRecord *r)
{
    return r->type == WIRE_RAM_ZERO || r->type == WIRE_RAM_ZERO_RANGE;
}

/* The number of pages from a record's first page to its last one, both
 * included. */
static uint64_t span_of(const RamRecord *r)
{
    if (is_packed(r)) {
        return r->pages.page[r->pages.count - 1] - r->pages.page[0] + 1;
    }
    return is_zero(r) ? r->range : 1;
}

/* Find the record's pages among ours. */
static bool find_pages(RamLoad *load, const RamRecord *r, GError **errp)
{
    uint64_t page = r->offset / MIG_PAGE_SIZE;

    if (!find_block(load, r, errp)) {
        return false;
    }
    if (page >= load->block->pages ||
        span_of(r) > load->block->pages - page) {
        stream_bad(load->stream, errp,
                   "offset 0x%" G_GINT64_MODIFIER "x%s is outside block '%s'",
                   r->offset, span_of(r) > 1 ? " and what follows it" : "",
                   load->block->name);
        return false;
    }
    return true;
}

static uint64_t bytes_since(const RamLoad *load, const RamRecord *r)
{
    return stream_position(load->stream) - r->position;
}

static bool load_plain(RamLoad *load, uint64_t page, GError **errp)
{
    const RamWatcher *w = &load->watcher;
    uint8_t *to;

    load->counts.normal++;
    ram_place_announce(load->place, load->block, &page, 1);
    to = ram_place_direct(load->block, &page, 1);
    if (to && w->plain) {
        to = w->plain(w->opaque, load->block, page, errp);
        if (!to) {
            return false;
        }
    }
    return to ? stream_get_bytes(load->stream, to, MIG_PAGE_SIZE, errp)
              : stream_skip(load->stream, MIG_PAGE_SIZE, errp);
}

static void bad_changes(RamLoad *load, const RamRecord *r, const char *fault,
                        GError **errp)
{
    g_autofree char *shown = g_strescape(load->block->name, NULL);

    stream_bad(load->stream, errp,
               "block '%s', offset 0x%" G_GINT64_MODIFIER "x: bad changes "
               "(XBZRLE): %s", shown, r->offset, fault);
}

/* The page's memory is what the changes are based on. */
static bool load_changes(RamLoad *load, const RamRecord *r, uint64_t page,
                         GError **errp)
{
    uint8_t changes[MIG_PAGE_SIZE], nowhere[MIG_PAGE_SIZE];
    const char *fault;
    uint8_t *to;

    if (!stream_get_bytes(load->stream, changes, r->length, errp)) {
        return false;
    }
    ram_place_announce(load->place, load->block, &page, 1);
    to = ram_place_direct(load->block, &page, 1);
    fault = xbzrle_decode(changes, r->length, to ? to : nowhere);
    if (fault) {
        bad_changes(load, r, fault, errp);
        return false;
    }
    load->counts.xbzrle++;
    load->counts.xbzrle_bytes += bytes_since(load, r);
    return true;
}

static const char *packed_name(unsigned type)
{
    switch (type) {
    case WIRE_RAM_PACK:
        return "pack of pages";
    case WIRE_RAM_BATCH:
        return "batch of pages";
    default:
        return "compressed page";
    }
}

/* A source sends one kind of compressed pages: what it has announced. */
static bool check_packed(RamLoad *load, const RamRecord *r, GError **errp)
{
    unsigned type = load->packs                    ? WIRE_RAM_PACK
                    : load->codec->batch_pages > 1 ? WIRE_RAM_BATCH
                                                   : WIRE_RAM_COMPRESSED;

    if (r->type != type) {
        stream_bad(load->stream, errp, "a %s with compress-method %s%s",
                   packed_name(r->type), load->codec->name,
                   load->packs ? ", in packs" : "");
    }
    return r->type == type;
}

/* Where to put the record's data. */
static uint8_t *add_packed(RamLoad *load, const RamRecord *r, GError **errp)
{
    if (load->packs && !load->unpack) {
        load->unpack = unpack_pages_new(load->window, load->threads,
                                        load->blocks, load->place, errp);
        if (!load->unpack) {
            return NULL;
        }
    }
    if (load->packs) {
        return unpack_pages_add(load->unpack, load->block, r, errp);
    }
    if (!load->pool) {
        load->pool = decompress_new(load->codec, load->threads, load->blocks,
                                    errp);
    }
    return load->pool
               ? decompress_add_record(load->pool, load->block, r, errp)
               : NULL;
}

static void note_packed(RamLoad *load, const RamRecord *r)
{
    ram_place_announce(load->place, load->block, r->pages.page,
                       r->pages.count);
    load->counts.compressed += r->pages.count;
    load->counts.compressed_bytes += bytes_since(load, r);
}

static bool load_packed(RamLoad *load, const RamRecord *r, GError **errp)
{
    uint8_t *to;

    if (!check_packed(load, r, errp)) {
        return false;
    }
    /* But not packs: later ones may refer to it. */
    if (!load->block->host && !load->watcher.verify && !load->packs) {
        return stream_skip(load->stream, r->length, errp);
    }
    to = add_packed(load, r, errp);
    if (!to || !stream_get_bytes(load->stream, to, r->length, errp)) {
        return false;
    }
    note_packed(load, r);
    return true;
}

static bool watch_pages(RamLoad *load, const RamRecord *r, GError **errp)
{
    const RamWatcher *w = &load->watcher;

    if (!w->pages) {
        return true;
    }
    if (!is_packed(r)) {
        return w->pages(w->opaque, r, load->block, r->offset / MIG_PAGE_SIZE,
                        span_of(r), errp);
    }
    for (unsigned i = 0; i < r->pages.count; i++) {
        if (!w->pages(w->opaque, r, load->block, r->pages.page[i], 1, errp)) {
            return false;
        }
    }
    return true;
}

static bool settle(RamLoad *load, uint64_t page, uint64_t count, GError **errp)
{
    if (load->unpack) {
        return unpack_pages_settle(load->unpack, load->block, page, count,
                                   errp);
    }
    return !load->pool ||
           decompress_settle(load->pool, load->block, page, count, errp);
}

static bool load_pages(RamLoad *load, const RamRecord *r, GError **errp)
{
    uint64_t page = r->offset / MIG_PAGE_SIZE;

    if (!find_pages(load, r, errp) || !watch_pages(load, r, errp)) {
        return false;
    }
    if (is_packed(r)) {
        return load_packed(load, r, errp);
    }
    if (!settle(load, page, span_of(r), errp)) {
        return false;
    }
    if (is_zero(r)) {
        ram_place_zeros(load->place, load->block, page, r->range);
        load->counts.zero += r->range;
        load->counts.zero_bytes += bytes_since(load, r);
        return true;
    }
    return r->type == WIRE_RAM_XBZRLE ? load_changes(load, r, page, errp)
                                      : load_plain(load, page, errp);
}

static void account(RamLoad *load)
{
    stats_account(load->counted, &load->counts, stream_position(load->stream));
    load->counts = (PageCounts){ 0 };
    load->uncounted = 0;
}

bool ram_load_record(RamLoad *load, const RamRecord *r, GError **errp)
{
    switch (r->type) {
    case WIRE_RAM_EOS:
        account(load);
        return true;
    case WIRE_RAM_MEM_SIZE:
        stream_bad(load->stream, errp, "a second list of RAM blocks");
        return false;
    default:
        if (!load_pages(load, r, errp)) {
            return false;
        }
        if (++load->uncounted == RAM_BATCH_PAGES) {
            account(load);
        }
        return true;
    }
}

bool ram_load_drain(RamLoad *load, GError **errp)
{
    if (load->unpack) {
        return unpack_pages_drain(load->unpack, errp);
    }
    return !load->pool || decompress_drain(load->pool, errp);
}
