/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/pack/pack.h"

#include <stdlib.h>
#include <sys/mman.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "ferry/error.h"
#include "util/endian.h"

uint16_t pack_features(uint64_t history)
{
    unsigned n = 1;

    for (uint64_t mib = history >> 20; mib; mib >>= 1) {
        n++;
    }
    return (uint16_t)(n << WIRE_FERRY_PACKS_SHIFT) & WIRE_FERRY_PACKS;
}

unsigned pack_window(uint64_t history, uint16_t features)
{
    unsigned n = (features & WIRE_FERRY_PACKS) >> WIRE_FERRY_PACKS_SHIFT;
    uint64_t theirs = n > 1 ? UINT64_C(1) << (n - 2 + 20) : 0;

    return (unsigned)MIN(MIN(history, theirs) / PACK_SLOT_BYTES,
                         PACK_WINDOW_MAX);
}

void pack_put_head(uint8_t to[PACK_HEAD_SIZE], const PackHead *head)
{
    store_be64(to, head->checksum);
    store_be32(to + 8, head->body);
    to[12] = head->codec;
    to[13] = head->pages;
    store_be16(to + 14, head->extra);
    to[16] = head->dictionary;
}

const char *pack_get_head(const uint8_t from[PACK_HEAD_SIZE], PackHead *head)
{
    *head = (PackHead){
        .checksum = load_be64(from),
        .body = load_be32(from + 8),
        .codec = from[12],
        .pages = from[13],
        .extra = load_be16(from + 14),
        .dictionary = from[16],
    };
    if (head->pages == 0 || head->pages > PACK_PAGES) {
        return "a pack of no page, or of too many";
    }
    if (head->body > PACK_BODY_MAX || head->body < head->pages + head->extra) {
        return "a pack whose body has an impossible size";
    }
    if (head->dictionary > (head->codec ? PACK_DICTIONARY_PAGES : 0)) {
        return "a pack whose dictionary has too many pages";
    }
    return NULL;
}

void pack_put_ref(uint8_t *to, PackRef ref)
{
    store_be16(to, ref.back);
    to[2] = ref.index;
}

PackRef pack_get_ref(const uint8_t *from)
{
    return (PackRef){ load_be16(from), from[2] };
}

/* Of the size at which the system can give a page at once. */
#define HUGE_PAGE (2u << 20)

/* NULL when there is no memory.  A page of 4 KiB at a time, the system would
 * take longer to give this memory than packer and unpacker take to use it. */
static uint8_t *alloc_large(size_t size)
{
    void *bytes;

    if (posix_memalign(&bytes, HUGE_PAGE, size) != 0) {
        return NULL;
    }
    madvise(bytes, size, MADV_HUGEPAGE); /* it works without, too */
    return bytes;
}

bool pack_history_init(PackHistory *h, unsigned window, unsigned in_flight,
                       GError **errp)
{
    g_assert(window <= PACK_WINDOW_MAX && in_flight > 0);
    *h = (PackHistory){ .window = window, .slots = window + in_flight };
    h->slot = g_try_new0(PackSlot, h->slots);
    h->bytes = alloc_large((size_t)h->slots * PACK_SLOT_BYTES);
    if (!h->slot || !h->bytes) {
        pack_history_destroy(h);
        pack_no_memory(errp);
        return false;
    }
    return true;
}

void pack_history_destroy(PackHistory *h)
{
    g_free(h->slot);
    free(h->bytes);
}

/* A smaller window has tables as of so many packs: they cost next to nothing,
 * and pages that hash to the same entry cost bytes. */
#define TABLE_WINDOW_MIN 16u

size_t pack_table_size(unsigned window, unsigned entries)
{
    size_t packs = MAX(window, TABLE_WINDOW_MIN), size = 1;
    size_t least = packs * PACK_PAGES * entries;

    while (size < least) {
        size *= 2;
    }
    return size;
}

PackSlot *pack_history_begin(PackHistory *h)
{
    size_t index = h->next++ % h->slots;
    PackSlot *slot = &h->slot[index];

    slot->pages = 0;
    slot->bytes = h->bytes + index * PACK_SLOT_BYTES;
    return slot;
}

bool pack_history_find(const PackHistory *h, uint64_t page, PackRef *ref)
{
    uint64_t back = h->next - 1 - page / PACK_PAGES;

    *ref = (PackRef){ (uint16_t)back, (uint8_t)(page % PACK_PAGES) };
    return back <= h->window;
}

void pack_no_memory(GError **errp)
{
    g_set_error_literal(errp, MIG_ERROR, MIG_ERROR_HOST,
                        "no memory for the history of pages");
}

uint64_t pack_hash(const void *buf, size_t size)
{
    return XXH3_64bits(buf, size);
}

uint64_t pack_checksum(uint64_t pack, const PackSlot *slot, const void *extra,
                       size_t extra_size)
{
    uint8_t sums[8 + 16 * PACK_PAGES + 8];
    uint8_t *to = sums;

    store_be64(to, pack);
    to += 8;
    for (unsigned i = 0; i < slot->pages; i++) {
        store_be64(to, slot->page[i].key);
        store_be64(to + 8, slot->page[i].hash);
        to += 16;
    }
    store_be64(to, pack_hash(extra, extra_size));
    to += 8;
    return pack_hash(sums, (size_t)(to - sums));
}
