/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pack: up to 64 pages in the fewest bytes, for a reader that has read the
 * packs before it.  docs/pack.md has its format.
 *
 * Both ends keep the same history: the pages of the last packs, in slots that
 * are allocated once.  Pack n refers to packs n - window .. n - 1 and to the
 * pages before its own page, never to anything else.  At most in_flight packs
 * are at work at a time, so that the slot of pack n, which is that of pack
 * n - window - in_flight, is free when n begins: pack n - in_flight, which is
 * the last that could refer to it, has ended.
 *
 * What is hashed, compared, referred to and encoded is a copy of a page, which
 * nobody writes to.
 */
#ifndef MIGRATION_PACK_PACK_H
#define MIGRATION_PACK_PACK_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "migration/pack/codec.h"
#include "migration/wire/wire.h"

#define PACK_PAGES 64u

/* Of history, for a pack. */
#define PACK_SLOT_BYTES (PACK_PAGES * MIG_PAGE_SIZE)
#define PACK_WINDOW_MAX 65535u

/* What the table says of a page, and what belongs to it. */
typedef enum {
    PACK_ZERO,    /* nothing */
    PACK_PATTERN, /* u64, repeated */
    PACK_SAME,    /* a reference: that page */
    PACK_DELTA,   /* a reference: that page, but for some of its words */
    PACK_NEW,     /* a page of the body */
    PACK_KINDS
} PackKind;

/* Page `index` of the pack that is `back` packs before; 0: of the same pack. */
typedef struct PackRef {
    uint16_t back;
    uint8_t index;
} PackRef;

/* Earlier pages that the body's encoder and decoder are given with it. */
#define PACK_DICTIONARY_PAGES 64u
#define PACK_DICTIONARY_BYTES (PACK_DICTIONARY_PAGES * MIG_PAGE_SIZE)

typedef struct PackDictionary {
    unsigned pages;
    PackRef page[PACK_DICTIONARY_PAGES]; /* not of the same pack */
} PackDictionary;

#define PACK_REF_SIZE 3u

/* Bytes of a pack before its dictionary's references and its body. */
#define PACK_HEAD_SIZE 17u

typedef struct PackHead {
    uint64_t checksum;
    uint32_t body;  /* bytes, decoded */
    uint8_t codec;  /* 0: the body is as it is; else codec_by_method() + 1 */
    uint8_t pages;  /* 1..PACK_PAGES */
    uint16_t extra; /* bytes of the caller's at the end of the body */
    uint8_t dictionary; /* pages of it: 0..PACK_DICTIONARY_PAGES */
} PackHead;

/* A word of a delta is 8 bytes; which words it has says a bit map. */
#define PACK_WORDS       (MIG_PAGE_SIZE / 8)
#define PACK_DELTA_WORDS (PACK_WORDS / 2) /* more are a new page instead */
#define PACK_MAP_BYTES   (PACK_WORDS / 8)

/* Of a page in the table: its kind, and what belongs to the kind. */
#define PACK_ENTRY_MAX  (1 + 8)
#define PACK_EXTRA_MAX  65535u
#define PACK_BODY_MAX \
    (PACK_PAGES * (PACK_ENTRY_MAX + MIG_PAGE_SIZE) + PACK_EXTRA_MAX)
#define PACK_SIZE_MAX   (PACK_HEAD_SIZE + PACK_BODY_MAX)

/* What a destination says of its history, in bytes: of WIRE_FERRY_PACKS. */
uint16_t pack_features(uint64_t history);

/* The window, in packs, of a source with so much history and a destination with
 * such features. */
unsigned pack_window(uint64_t history, uint16_t features);

void pack_put_head(uint8_t to[PACK_HEAD_SIZE], const PackHead *head);

/* NULL, or what is wrong with it.  What comes out keeps every limit. */
const char *pack_get_head(const uint8_t from[PACK_HEAD_SIZE], PackHead *head);

/* A reference of PACK_REF_SIZE. */
void pack_put_ref(uint8_t *to, PackRef ref);
PackRef pack_get_ref(const uint8_t *from);

/* A page of a pack as both ends know it. */
typedef struct PackPage {
    uint64_t key;  /* the caller's: which page it is */
    uint64_t hash; /* of its bytes, by pack_hash() */
    uint64_t pattern;
    PackRef ref;
    uint8_t kind;
} PackPage;

/*
 * A slot of the history.  Packer: the owner's thread fills it, and from then on
 * nobody writes to it, so that the worker and the owner may both read.
 * Unpacker: the owner has it until the pack is handed to a worker, and again
 * when it was collected.
 */
typedef struct PackSlot {
    unsigned pages;
    PackPage page[PACK_PAGES];
    uint8_t *bytes; /* [PACK_SLOT_BYTES]; ZERO and PATTERN leave a gap */
} PackSlot;

/* The ring of slots.  A slot and its bytes are touched when it begins. */
typedef struct PackHistory {
    unsigned window;
    unsigned slots;
    PackSlot *slot;
    uint8_t *bytes; /* of all slots */
    uint64_t next;  /* number of the pack that is to come */
} PackHistory;

/* False, and MIG_ERROR_HOST, when there is no memory. */
bool pack_history_init(PackHistory *h, unsigned window, unsigned in_flight,
                       GError **errp);
void pack_history_destroy(PackHistory *h);
void pack_no_memory(GError **errp); /* that error */

/* How many entries a table has: a power of two, so that there are `entries` or
 * more for each page of the window. */
size_t pack_table_size(unsigned window, unsigned entries);

/* The slot of the next pack, without pages.  Counts the pack. */
PackSlot *pack_history_begin(PackHistory *h);

/* The slot of a pack that has begun. */
static inline PackSlot *pack_history_slot(const PackHistory *h, uint64_t pack)
{
    return &h->slot[pack % h->slots];
}

/* What refers to a page of the stream, which has this number, from the pack
 * that was begun last.  False: nothing, it is not in the window. */
bool pack_history_find(const PackHistory *h, uint64_t page, PackRef *ref);

static inline uint8_t *pack_slot_page(const PackSlot *slot, unsigned index)
{
    return slot->bytes + (size_t)index * MIG_PAGE_SIZE;
}

/* Can later pages refer to it? */
static inline bool pack_kind_is_kept(unsigned kind)
{
    return kind != PACK_ZERO && kind != PACK_PATTERN;
}

/* Can later packs refer to the page? */
static inline bool pack_slot_keeps(const PackSlot *slot, unsigned index)
{
    return index < slot->pages && pack_kind_is_kept(slot->page[index].kind);
}

uint64_t pack_hash(const void *buf, size_t size);

/* Over all that a pack stands for: its number, the keys and contents of its
 * pages, and the caller's bytes. */
uint64_t pack_checksum(uint64_t pack, const PackSlot *slot, const void *extra,
                       size_t extra_size);

#endif
