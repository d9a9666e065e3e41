/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of RAM blocks: the content of the ram section's START. */
#ifndef MIGRATION_RAM_LIST_H
#define MIGRATION_RAM_LIST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/ram/blocks.h"
#include "migration/wire/stream.h"

/*
 * Piece by piece, for who has blocks to compare it with: the total, then
 * entries until their lengths sum to it, then the end.  A length is not
 * checked here.
 */
bool ram_list_get_total(Stream *s, uint64_t *total, GError **errp);
bool ram_list_get_entry(Stream *s, char name[256], uint64_t *length,
                        GError **errp);
bool ram_list_get_end(Stream *s, GError **errp);

typedef struct RamListEntry {
    char name[256];
    uint64_t length;    /* a multiple of MIG_PAGE_SIZE, above 0 */
    uint64_t page_size; /* 0: not said */
    uint64_t address;   /* of the guest; 0 where the form has none */
} RamListEntry;

/* What a QEMU may add to each entry. */
typedef struct RamListForm {
    bool page_sizes; /* postcopy was advised: some have one, some do not */
    bool addresses;  /* capability x-ignore-shared: each has one */
} RamListForm;

typedef struct RamList {
    uint64_t total; /* the sum of the lengths, at most the max given */
    unsigned count;
    RamListEntry *entry; /* names are unique */
} RamList;

/*
 * The whole, for who learns the blocks from it.  NULL when it is malformed,
 * or says more than max bytes of RAM (MIG_ERROR_UNSUPPORTED).
 */
RamList *ram_list_get(Stream *s, RamListForm form, uint64_t max,
                      GError **errp);
void ram_list_free(RamList *list); /* NULL is fine */

/* Blocks as in the list, without memory.  Their names are the list's. */
RamBlocks *ram_list_blocks(const RamList *list);

#endif
