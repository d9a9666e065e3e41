/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of RAM blocks: the content of the ram section's START. */
#ifndef MIGRATION_WIRE_RAM_LIST_H
#define MIGRATION_WIRE_RAM_LIST_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/wire/stream.h"

typedef struct RamListEntry {
    char name[256];
    uint64_t length;    /* a multiple of MIG_PAGE_SIZE, above 0 */
    uint64_t page_size; /* 0: the stream does not say */
    bool has_address;   /* the form has them: */
    uint64_t address;   /* in the guest */
    /* Where they are in the stream, 0 where it has none: */
    uint64_t bitmap;    /* a bit for each page that is not zero, */
    uint64_t pages;     /* and the pages, each at its place */
} RamListEntry;

/* What a QEMU may add to each entry. */
typedef struct RamListForm {
    bool page_sizes; /* postcopy was advised: some entries have one */
    bool addresses;  /* capability x-ignore-shared: all entries have one */
    /* capability mapped-ram: behind each entry is its bitmap and all its
     * pages, which are skipped */
    bool mapped;
} RamListForm;

typedef struct RamList {
    uint64_t total; /* the sum of the lengths, at most the max given */
    unsigned count;
    RamListEntry *entry; /* names are unique */
    unsigned flushes; /* multifd's flushes that stand behind the entries */
    /* The stream ended among the pages of the last entry (mapped), so that
     * others may be missing. */
    bool cut;
} RamList;

/* NULL when the list is malformed, or has more than max bytes of RAM
 * (MIG_ERROR_UNSUPPORTED). */
RamList *ram_list_get(Stream *s, RamListForm form, uint64_t max,
                      GError **errp);
void ram_list_free(RamList *list); /* NULL is fine */

#endif
