/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages of the history are worth giving to a codec with a pack, because
 * new pages of the pack share stretches with them, at whatever byte.
 */
#ifndef MIGRATION_PACK_DICTIONARY_H
#define MIGRATION_PACK_DICTIONARY_H

#include "migration/pack/pack.h"

/* A dictionary has no page of the packs just before, because the receiver has
 * to finish all packs that it has pages of before a worker may begin.  So as
 * many packs as this are decoded at a time. */
#define DICTIONARY_NEAREST 8u

/* All of it is the packer's owner's. */
typedef struct DictionaryIndex {
    const PackHistory *history; /* borrowed */
    uint64_t mask;    /* of an index into last */
    uint64_t *last;   /* [mask + 1]: by a stretch's hash, which page had it
                       * last: its number and 1, or 0 */
    uint32_t *voters; /* by page of the history: how many stretches the pack
                       * being filled has had in common with it, and which
                       * pack that was */
} DictionaryIndex;

/* False, and MIG_ERROR_HOST, when there is no memory.  What it takes is only
 * touched by dictionary_add(). */
bool dictionary_init(DictionaryIndex *index, const PackHistory *history,
                     GError **errp);
void dictionary_destroy(DictionaryIndex *index);

/* Page i of the last pack of the history, which is new: add to the pack's
 * dictionary the pages that it now has enough in common with, in ascending
 * order and as long as there is room; and remember what the page has. */
void dictionary_add(DictionaryIndex *index, unsigned i,
                    PackDictionary *dictionary);

/* Add a page of the history that can be referred to, unless it is there.  False
 * when it must not be in a dictionary, because it is too near, or when there is
 * no room. */
bool dictionary_take(DictionaryIndex *index, PackRef ref,
                     PackDictionary *dictionary);

#endif
