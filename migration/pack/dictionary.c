/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * An anchor is a place in a page whose four bytes hash to a certain value, as
 * those of one place in 128 do.  Anchors are where they are because of the
 * bytes there, not of where these stand, so that a stretch has the same
 * anchors wherever it is copied to.  The 32 bytes from an anchor on are
 * hashed, and a table says which page had that hash last.  That page gets a
 * vote, and with two of them it is in the dictionary.
 *
 * All of this is guessed: nothing compares the bytes.  But an entry has 24 bits
 * of the hash beside those that it is found by.  Without them every second
 * anchor of random bytes finds some page, and enough of them the same one, so
 * that memory which does not compress would be encoded, with dictionaries that
 * help nobody.  A guest that makes hashes collide costs itself bytes, and the
 * source some microseconds a page: anchors do not overlap, and a dictionary is
 * never larger than a pack.
 */
#include "migration/pack/dictionary.h"

#include <string.h>

#define STRETCH      32u /* bytes that are hashed at an anchor */
#define VOTES        2u
#define VOTE_BITS    2
#define PAGE_ANCHORS (MIG_PAGE_SIZE / STRETCH) /* at most */
#define ENTRIES      16u /* of the table, for a page of the window */

/* An entry of the table: a page's number and 1, above the hash's upper bits. */
#define CHECK_BITS 24
#define CHECK      ((UINT64_C(1) << CHECK_BITS) - 1)

G_STATIC_ASSERT(VOTES < 1u << VOTE_BITS);

bool dictionary_init(DictionaryIndex *index, const PackHistory *history,
                     GError **errp)
{
    size_t pages = (size_t)history->slots * PACK_PAGES;
    size_t size = pack_table_size(history->window, ENTRIES);

    *index = (DictionaryIndex){
        .history = history,
        .mask = size - 1,
        .last = g_try_new0(uint64_t, size),
        .voters = g_try_new0(uint32_t, pages),
    };
    if (!index->last || !index->voters) {
        dictionary_destroy(index);
        pack_no_memory(errp);
        return false;
    }
    return true;
}

void dictionary_destroy(DictionaryIndex *index)
{
    g_free(index->last);
    g_free(index->voters);
    *index = (DictionaryIndex){ 0 };
}

/* Anchors */

/* Places that follow each other, in lanes of two: those that are even, and
 * those that are odd. */
#define PLACES 16u
typedef uint16_t Lanes __attribute__((vector_size(PLACES)));

static inline Lanes load_lanes(const uint8_t *from)
{
    Lanes lanes;

    memcpy(&lanes, from, sizeof(lanes));
    return lanes;
}

/* All ones in the lanes whose four bytes make an anchor.  Four zeros do not. */
static inline Lanes anchors_in(const uint8_t *from)
{
    Lanes hash = load_lanes(from) * (uint16_t)0x9e37 +
                 load_lanes(from + 2) * (uint16_t)0x79b1;

    return (Lanes)((hash & (uint16_t)0xfe00) == (uint16_t)0x5400);
}

/* A byte for each of the places, in their order, which is not 0 where there is
 * an anchor. */
static inline void mark_anchors(const uint8_t *from, uint64_t mark[2])
{
    static const uint8_t even[PLACES] = {
        255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0
    };
    Lanes first = load_lanes(even);
    Lanes marks = (anchors_in(from) & first) | (anchors_in(from + 1) & ~first);

    memcpy(mark, &marks, sizeof(marks));
    mark[0] = GUINT64_FROM_LE(mark[0]);
    mark[1] = GUINT64_FROM_LE(mark[1]);
}

typedef struct Stretches {
    const uint8_t *page;
    unsigned free_from; /* no stretch has a byte from here on */
    unsigned count;
    uint64_t hash[PAGE_ANCHORS];
} Stretches;

/* Eight places, from one on, with their marks. */
static void add_stretches(Stretches *s, unsigned first, uint64_t mark)
{
    while (mark) {
        unsigned place = (unsigned)__builtin_ctzll(mark) / 8;
        unsigned at = first + place;

        mark &= ~(UINT64_C(255) << 8 * place);
        if (at >= s->free_from) {
            s->hash[s->count++] = pack_hash(s->page + at, STRETCH);
            s->free_from = at + STRETCH;
        }
    }
}

static void find_stretches(Stretches *s, const uint8_t *page)
{
    s->page = page;
    s->free_from = s->count = 0;
    for (unsigned i = 0; i <= MIG_PAGE_SIZE - STRETCH - PLACES; i += PLACES) {
        uint64_t mark[2];

        mark_anchors(page + i, mark);
        add_stretches(s, i, mark[0]);
        add_stretches(s, i + 8, mark[1]);
    }
}

/* Votes */

static int order(PackRef a, PackRef b)
{
    return a.back != b.back ? b.back - a.back : a.index - b.index;
}

static void insert(PackDictionary *dictionary, PackRef ref)
{
    unsigned i = dictionary->pages++;

    for (; i > 0 && order(dictionary->page[i - 1], ref) > 0; i--) {
        dictionary->page[i] = dictionary->page[i - 1];
    }
    dictionary->page[i] = ref;
}

/* What voters has of a page that the pack has had nothing in common with. */
static uint32_t no_votes(uint64_t pack)
{
    return (uint32_t)pack << VOTE_BITS;
}

/* One more for a page of the history, by the pack that is being filled.  True
 * when that makes VOTES. */
static bool add_vote(uint32_t *voters, uint64_t pack)
{
    uint32_t none = no_votes(pack);

    if (*voters >> VOTE_BITS != none >> VOTE_BITS) {
        *voters = none;
    }
    if (*voters - none == VOTES) {
        return false; /* it had them */
    }
    return ++*voters - none == VOTES;
}

/* Where voters has the page of a reference to this slot. */
static uint32_t *find_voters(const DictionaryIndex *index,
                             const PackSlot *slot, PackRef ref)
{
    return &index->voters[(slot - index->history->slot) * PACK_PAGES +
                          ref.index];
}

static uint64_t check_of(uint64_t hash)
{
    return hash >> (64 - CHECK_BITS);
}

/* For the page that an entry of the table says, if it may be referred to. */
static void vote(DictionaryIndex *index, uint64_t entry, uint64_t hash,
                 PackDictionary *dictionary)
{
    const PackHistory *history = index->history;
    uint64_t pack = history->next - 1;
    const PackSlot *slot;
    PackRef ref;

    if (!entry || (entry & CHECK) != check_of(hash) ||
        !pack_history_find(history, (entry >> CHECK_BITS) - 1, &ref) ||
        ref.back < DICTIONARY_NEAREST) {
        return;
    }
    slot = pack_history_slot(history, pack - ref.back);
    if (add_vote(find_voters(index, slot, ref), pack) &&
        dictionary->pages < PACK_DICTIONARY_PAGES &&
        pack_slot_keeps(slot, ref.index)) {
        insert(dictionary, ref);
    }
}

void dictionary_add(DictionaryIndex *index, unsigned i,
                    PackDictionary *dictionary)
{
    uint64_t pack = index->history->next - 1;
    const PackSlot *slot = pack_history_slot(index->history, pack);
    Stretches s;

    find_stretches(&s, pack_slot_page(slot, i));
    for (unsigned k = 0; k < s.count; k++) {
        __builtin_prefetch(&index->last[s.hash[k] & index->mask], 1);
    }
    for (unsigned k = 0; k < s.count; k++) {
        uint64_t *last = &index->last[s.hash[k] & index->mask];

        vote(index, *last, s.hash[k], dictionary);
        *last = (pack * PACK_PAGES + i + 1) << CHECK_BITS |
                check_of(s.hash[k]);
    }
}

bool dictionary_take(DictionaryIndex *index, PackRef ref,
                     PackDictionary *dictionary)
{
    uint64_t pack = index->history->next - 1;
    const PackSlot *slot = pack_history_slot(index->history, pack - ref.back);
    uint32_t *voters = find_voters(index, slot, ref);

    if (ref.back < DICTIONARY_NEAREST ||
        dictionary->pages == PACK_DICTIONARY_PAGES) {
        return false;
    }
    /* As long as there was room, those with all votes are in it. */
    if (*voters != no_votes(pack) + VOTES) {
        *voters = no_votes(pack) + VOTES;
        insert(dictionary, ref);
    }
    return true;
}
