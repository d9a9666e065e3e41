/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A page can be in one slot only, by its number.  What a slot has is what the
 * destination has: it changes when the page is sent, whether as changes, whole
 * or as a zero page, and then it is sent from the slot or from the copy that
 * went there.  The guest's page is read once, because the guest may be writing
 * to it.
 *
 * A page that is in its slot keeps it in this pass and in the next one.  So
 * what a batch borrows stays as it is, and pages that share a slot do not
 * drive each other out all the time.  A page that finds its slot taken is sent
 * as if there were no cache.
 *
 * Zero pages do not come in, because most stay zero and take few bytes.  But a
 * page that is in its slot and becomes zero stays in.
 */
#include "migration/ram/xbzrle-cache.h"

#include <string.h>

#include "ferry/error.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/xbzrle.h"
#include "util/zero.h"

typedef struct Slot {
    uint64_t key;  /* the page's; UINT64_MAX: none yet */
    uint64_t pass; /* in which the page was dirty last */
} Slot;

struct XbzrleCache {
    uint64_t slots; /* a power of two */
    uint64_t pass;
    Slot *slot;
    uint8_t *copies; /* [slots] of a page each */
    uint8_t page[MIG_PAGE_SIZE]; /* the one that is being looked at */
};

static uint64_t power_of_two_from(uint64_t n)
{
    uint64_t power = 1;

    while (power < n) {
        power *= 2;
    }
    return power;
}

/* The system gives memory to copies only when they are made. */
XbzrleCache *xbzrle_cache_new(uint64_t bytes, const RamBlocks *blocks,
                              GError **errp)
{
    XbzrleCache *cache = g_new0(XbzrleCache, 1);

    cache->slots = MIN(bytes / MIG_PAGE_SIZE,
                       power_of_two_from(blocks->pages));
    cache->slot = g_try_new(Slot, cache->slots);
    cache->copies = g_try_malloc_n(cache->slots, MIG_PAGE_SIZE);
    if (!cache->slot || !cache->copies) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_HOST,
                    "no memory for the cache of the capability xbzrle, of %"
                    G_GUINT64_FORMAT " bytes", cache->slots * MIG_PAGE_SIZE);
        xbzrle_cache_free(cache);
        return NULL;
    }
    for (uint64_t i = 0; i < cache->slots; i++) {
        cache->slot[i].key = UINT64_MAX;
    }
    return cache;
}

void xbzrle_cache_free(XbzrleCache *cache)
{
    if (cache) {
        g_free(cache->slot);
        g_free(cache->copies);
        g_free(cache);
    }
}

void xbzrle_cache_begin_pass(XbzrleCache *cache)
{
    cache->pass++;
}

static uint8_t *copy_of(const XbzrleCache *cache, const Slot *slot)
{
    return cache->copies + (size_t)(slot - cache->slot) * MIG_PAGE_SIZE;
}

static bool is_free(const XbzrleCache *cache, const Slot *slot)
{
    return slot->key == UINT64_MAX || cache->pass - slot->pass > 1;
}

/* Write a record with what has changed from before to cache->page.  Returns the
 * bytes of changes, as xbzrle_encode() does.  Nothing is written of a page that
 * has not changed, nor of one that has changed too much. */
static size_t put_changes(XbzrleCache *cache, uint64_t page,
                          const uint8_t *before, size_t room, RamWriter *out)
{
    uint64_t offset = page * MIG_PAGE_SIZE;
    /* The head's size is known before the changes, whose size stands in it. */
    size_t head = ram_record_put_xbzrle(out->to, offset, out->name, 0);
    size_t size = xbzrle_encode(before, cache->page, out->to + head, room);

    if (size == 0) {
        out->counts.unchanged++;
    } else if (size == XBZRLE_OVERFLOW) {
        out->counts.xbzrle_overflow++;
    } else {
        ram_record_put_xbzrle(out->to, offset, out->name, (uint16_t)size);
        ram_writer_advance(out, head + size);
        out->counts.xbzrle++;
        out->counts.xbzrle_bytes += head + size;
    }
    return size;
}

/* What is sent of a page. */
typedef enum { SEND_NOTHING, SEND_CHANGES, SEND_WHOLE } Sending;

/* A page that is in its slot.  If all of it has to be sent, *copy is it. */
static Sending send_again(XbzrleCache *cache, Slot *slot,
                          const RamBlock *block, uint64_t page, size_t room,
                          RamWriter *out, const uint8_t **copy)
{
    uint8_t *kept = copy_of(cache, slot);
    bool zero;
    size_t size;

    *copy = kept;
    slot->pass = cache->pass;
    memcpy(cache->page, ram_block_page(block, page), MIG_PAGE_SIZE);
    zero = buffer_is_zero(cache->page, MIG_PAGE_SIZE);
    if (zero && !buffer_is_zero(kept, MIG_PAGE_SIZE)) {
        memset(kept, 0, MIG_PAGE_SIZE);
        return SEND_WHOLE;
    }
    size = put_changes(cache, page, kept, room, out);
    if (size == 0) {
        return SEND_NOTHING;
    }
    memcpy(kept, cache->page, MIG_PAGE_SIZE);
    return size == XBZRLE_OVERFLOW ? SEND_WHOLE : SEND_CHANGES;
}

/* Keep a page that is to be sent.  Returns the copy, which is what to send, or
 * NULL: there is none. */
static const uint8_t *keep_copy(XbzrleCache *cache, Slot *slot,
                                const RamBlock *block, uint64_t page,
                                RamWriter *out)
{
    const uint8_t *from = ram_block_page(block, page);

    if (buffer_is_zero(from, MIG_PAGE_SIZE)) {
        return NULL;
    }
    out->counts.xbzrle_misses++;
    if (!is_free(cache, slot)) {
        return NULL;
    }
    slot->key = ram_block_key(block, page);
    slot->pass = cache->pass;
    return memcpy(copy_of(cache, slot), from, MIG_PAGE_SIZE);
}

/* A page of a batch: what to do with it, and perhaps a copy. */
static Sending take_page(XbzrleCache *cache, const RamBlock *block,
                         uint64_t page, size_t room, RamWriter *out,
                         const uint8_t **copy)
{
    uint64_t key = ram_block_key(block, page);
    Slot *slot = &cache->slot[key % cache->slots];

    if (slot->key == key) {
        return send_again(cache, slot, block, page, room, out, copy);
    }
    *copy = keep_copy(cache, slot, block, page, out);
    return SEND_WHOLE;
}

void xbzrle_cache_take(XbzrleCache *cache, RamBatch *batch, RamBatch *changed,
                       size_t room, RamWriter *out)
{
    const RamBlock *block = batch->block;
    const uint8_t *copy;
    unsigned left = 0;

    changed->block = block;
    changed->count = 0;
    for (unsigned i = 0; i < batch->count; i++) {
        uint64_t page = batch->page[i];
        Sending sending = take_page(cache, block, page, room, out, &copy);

        if (sending == SEND_WHOLE) {
            batch->page[left] = page;
            batch->copy[left++] = copy;
        } else if (sending == SEND_CHANGES) {
            changed->page[changed->count++] = page;
        }
    }
    batch->count = left;
}
