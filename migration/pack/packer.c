/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Two tables say where to look for what a page might repeat: one by content,
 * one by address.  Each has at least ENTRIES for a page of the window.
 * They are lossy: an entry says where the last page stands that hashed there,
 * and forgets the one before.  An entry proves nothing.  One that is too old is
 * passed over, and what another one points to is compared byte by byte.  So a
 * guest that makes pages collide costs itself bytes, and nobody else anything.
 *
 * Of a page whose address was there, the words that differ are counted; where
 * they are no more than half, they are worth a delta.  But words that stand
 * together are often content that is somewhere else, too.  The codec would find
 * it there; the xor of a delta hides it.  So a page that has many of them, in
 * long runs, goes as new where the page that was there can be in the pack's
 * dictionary.
 */
#include "migration/pack/packer.h"

#include <string.h>

#include "migration/pack/dictionary.h"
#include "migration/pack/entropy.h"
#include "util/endian.h"

/* A body this small is a few references: not worth encoding. */
#define ENCODE_MIN 64u

#define ENTRIES 4u /* of each table, for a page of the window */

/* From so many words on they count as many, and as long runs with so many words
 * in the middle. */
#define MANY_WORDS 17u
#define LONG_RUN   4u

struct Packer {
    PackHistory history;
    DictionaryIndex index;
    PackJob *filling;     /* pack history.next - 1 */
    uint64_t mask;        /* of an index into the tables */
    uint64_t *by_hash;    /* [mask + 1]: a page's number and 1, or 0 */
    uint64_t *by_address; /* the same */
};

Packer *packer_new(unsigned window, unsigned in_flight, GError **errp)
{
    Packer *packer = g_new0(Packer, 1);
    size_t size = pack_table_size(window, ENTRIES);

    if (!pack_history_init(&packer->history, window, in_flight, errp)) {
        g_free(packer);
        return NULL;
    }
    packer->mask = size - 1;
    packer->by_hash = g_try_new0(uint64_t, size);
    packer->by_address = g_try_new0(uint64_t, size);
    if (!packer->by_hash || !packer->by_address) {
        packer_free(packer);
        pack_no_memory(errp);
        return NULL;
    }
    if (!dictionary_init(&packer->index, &packer->history, errp)) {
        packer_free(packer);
        return NULL;
    }
    return packer;
}

void packer_free(Packer *packer)
{
    if (packer) {
        dictionary_destroy(&packer->index);
        pack_history_destroy(&packer->history);
        g_free(packer->by_hash);
        g_free(packer->by_address);
        g_free(packer);
    }
}

void packer_begin(Packer *packer, PackJob *job, bool dictionary)
{
    PackHistory *history = &packer->history;
    uint64_t number = history->next;

    *job = (PackJob){
        .number = number,
        .slot = pack_history_begin(history),
        .history = history,
        .wants_dictionary =
            dictionary && history->window >= DICTIONARY_NEAREST,
    };
    packer->filling = job;
}

/* Looking up */

static const uint8_t *referred(const PackJob *job, PackRef ref)
{
    return pack_slot_page(pack_history_slot(job->history,
                                            job->number - ref.back),
                          ref.index);
}

typedef struct Found {
    PackRef ref;
    const uint8_t *bytes; /* NULL: nothing */
} Found;

/* The page that an entry of a table says, if it may be referred to. */
static Found look_up(const Packer *packer, uint64_t entry)
{
    Found found = { .bytes = NULL };

    if (entry && pack_history_find(&packer->history, entry - 1, &found.ref)) {
        found.bytes = referred(packer->filling, found.ref);
    }
    return found;
}

typedef struct Difference {
    unsigned words;
    unsigned runs; /* of words that stand together */
} Difference;

/* Counted no further than one word too many for a delta, and some more. */
static Difference find_difference(const uint8_t *a, const uint8_t *b)
{
    Difference d = { 0, 0 };
    bool differed = false;

    for (unsigned i = 0; i < MIG_PAGE_SIZE && d.words <= PACK_DELTA_WORDS;
         i += 64) {
        if (memcmp(a + i, b + i, 64) == 0) {
            differed = false;
            continue;
        }
        for (unsigned k = i; k < i + 64; k += 8) {
            bool differs = memcmp(a + k, b + k, 8) != 0;

            d.words += differs;
            d.runs += differs && !differed;
            differed = differs;
        }
    }
    return d;
}

static bool has_long_runs(Difference d)
{
    return d.words >= MANY_WORDS && d.words >= LONG_RUN * d.runs;
}

/* Refer to the page that was there, if that is worth it. */
static void try_before(Packer *packer, PackPage *page, const uint8_t *bytes,
                       Found before)
{
    PackJob *job = packer->filling;
    Difference d = find_difference(before.bytes, bytes);

    if (d.words > PACK_DELTA_WORDS ||
        (has_long_runs(d) && job->wants_dictionary &&
         dictionary_take(&packer->index, before.ref, &job->dictionary))) {
        return;
    }
    page->kind = d.words ? PACK_DELTA : PACK_SAME;
    page->ref = before.ref;
}

static void find_reference(Packer *packer, PackPage *page,
                           const uint8_t *bytes, uint64_t address_entry)
{
    Found same = look_up(packer, packer->by_hash[page->hash & packer->mask]);
    Found before = look_up(packer, address_entry);

    page->kind = PACK_NEW;
    if (same.bytes && memcmp(same.bytes, bytes, MIG_PAGE_SIZE) == 0) {
        page->kind = PACK_SAME;
        page->ref = same.ref;
    } else if (before.bytes) {
        try_before(packer, page, bytes, before);
    }
}

static bool is_pattern(const uint8_t *page)
{
    return memcmp(page, page + 8, MIG_PAGE_SIZE - 8) == 0;
}

/* Where by_address has its entry for an address. */
static uint64_t *find_entry(const Packer *packer, uint64_t address)
{
    return &packer->by_address[pack_hash(&address, sizeof(address)) &
                               packer->mask];
}

void packer_add(Packer *packer, uint64_t key, uint64_t address,
                const uint8_t *from)
{
    PackJob *job = packer->filling;
    PackSlot *slot = job->slot;
    unsigned index = slot->pages++;
    PackPage *page = &slot->page[index];
    uint8_t *bytes = pack_slot_page(slot, index);
    uint64_t *before = find_entry(packer, address);
    uint64_t entry = job->number * PACK_PAGES + index + 1;

    g_assert(index < PACK_PAGES);
    memcpy(bytes, from, MIG_PAGE_SIZE);
    *page = (PackPage){
        .key = key, .hash = pack_hash(bytes, MIG_PAGE_SIZE),
    };
    if (is_pattern(bytes)) {
        page->pattern = load_be64(bytes);
        page->kind = page->pattern ? PACK_PATTERN : PACK_ZERO;
        return;
    }
    find_reference(packer, page, bytes, *before);
    packer->by_hash[page->hash & packer->mask] = entry;
    *before = entry;
    if (page->kind == PACK_NEW && job->wants_dictionary) {
        dictionary_add(&packer->index, index, &job->dictionary);
    }
}

PackCounts pack_counts(const PackJob *job)
{
    PackCounts counts = { { 0 } };

    for (unsigned i = 0; i < job->slot->pages; i++) {
        counts.kind[job->slot->page[i].kind]++;
    }
    return counts;
}

/* Encoding */

static uint8_t *put_entry(uint8_t *to, const PackPage *page)
{
    *to++ = page->kind;
    switch (page->kind) {
    case PACK_PATTERN:
        store_be64(to, page->pattern);
        return to + 8;
    case PACK_SAME:
    case PACK_DELTA:
        pack_put_ref(to, page->ref);
        return to + PACK_REF_SIZE;
    default:
        return to;
    }
}

/* The words that differ, each as the one xor the other, behind their map. */
static uint8_t *put_delta(uint8_t *to, const uint8_t *page,
                          const uint8_t *before)
{
    uint8_t *map = to;

    memset(map, 0, PACK_MAP_BYTES);
    to += PACK_MAP_BYTES;
    for (unsigned i = 0; i < PACK_WORDS; i++) {
        uint64_t word = load_be64(page + 8 * i) ^ load_be64(before + 8 * i);

        if (word) {
            map[i / 8] |= (uint8_t)(1 << i % 8);
            store_be64(to, word);
            to += 8;
        }
    }
    return to;
}

static size_t make_body(const PackJob *job, uint8_t *body)
{
    const PackSlot *slot = job->slot;
    uint8_t *to = body;

    for (unsigned i = 0; i < slot->pages; i++) {
        to = put_entry(to, &slot->page[i]);
    }
    for (unsigned i = 0; i < slot->pages; i++) {
        const uint8_t *bytes = pack_slot_page(slot, i);

        if (slot->page[i].kind == PACK_DELTA) {
            to = put_delta(to, bytes, referred(job, slot->page[i].ref));
        } else if (slot->page[i].kind == PACK_NEW) {
            memcpy(to, bytes, MIG_PAGE_SIZE);
            to += MIG_PAGE_SIZE;
        }
    }
    if (job->extra_size) {
        memcpy(to, job->extra, job->extra_size);
    }
    return (size_t)(to - body) + job->extra_size;
}

/* Put the dictionary just before the body, where the encoder takes both for
 * one piece of memory, and its references to `to`.  Returns the bytes of
 * these: 0 if there is no dictionary. */
static size_t use_dictionary(const PackJob *job, const CodecWorker *worker,
                             uint8_t *body, uint8_t *to)
{
    const PackDictionary *dictionary = &job->dictionary;
    size_t size = (size_t)dictionary->pages * MIG_PAGE_SIZE;
    uint8_t *bytes = body - size;

    if (!size) {
        return 0;
    }
    for (unsigned i = 0; i < dictionary->pages; i++) {
        memcpy(bytes + (size_t)i * MIG_PAGE_SIZE,
               referred(job, dictionary->page[i]), MIG_PAGE_SIZE);
        pack_put_ref(to + (size_t)i * PACK_REF_SIZE, dictionary->page[i]);
    }
    if (!worker->codec->encoder_set_dictionary(worker->encoder, bytes, size)) {
        return 0;
    }
    return (size_t)dictionary->pages * PACK_REF_SIZE;
}

/* Encode the body to `to`, behind the dictionary's references, and set what the
 * head says of that.  Returns the bytes; 0 when they would not be fewer. */
static size_t encode_body(const PackJob *job, const CodecWorker *worker,
                          PackHead *head, uint8_t *to)
{
    uint8_t *body = worker->scratch + PACK_DICTIONARY_BYTES;
    size_t refs, size;

    if (!worker->codec || head->body < ENCODE_MIN ||
        (!job->dictionary.pages && entropy_is_full(body, head->body))) {
        return 0;
    }
    refs = use_dictionary(job, worker, body, to);
    size = worker->codec->encode(worker->encoder, body, head->body, to + refs,
                                 head->body - 1 - refs);
    if (!size) {
        return 0;
    }
    head->codec = (uint8_t)(codec_method(worker->codec) + 1);
    head->dictionary = (uint8_t)(refs / PACK_REF_SIZE);
    return refs + size;
}

size_t pack_encode(const PackJob *job, const CodecWorker *worker, uint8_t *to)
{
    uint8_t *body = worker->scratch + PACK_DICTIONARY_BYTES;
    PackHead head = {
        .checksum = pack_checksum(job->number, job->slot, job->extra,
                                  job->extra_size),
        .body = (uint32_t)make_body(job, body),
        .pages = (uint8_t)job->slot->pages,
        .extra = job->extra_size,
    };
    size_t size = encode_body(job, worker, &head, to + PACK_HEAD_SIZE);

    if (!size) {
        size = head.body;
        memcpy(to + PACK_HEAD_SIZE, body, size);
    }
    pack_put_head(to, &head);
    return PACK_HEAD_SIZE + size;
}
