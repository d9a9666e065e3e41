/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ram section: its blocks, passes and pages, and extracting them. */
#ifndef TOOLS_INSPECT_RAM_H
#define TOOLS_INSPECT_RAM_H

#include "tools/inspect/streams/inspect-stream.h"
#include "tools/inspect/streams/mapped-ram.h"
#include "migration/wire/ram-list.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/reader.h"

/* Takes the list.  All else is borrowed, and must outlive the result. */
InspectRam *inspect_ram_new(Stream *stream, const InspectConfig *config,
                            InspectReport *report, RamList *list,
                            GError **errp);

/* The blocks are in a file, each page at its place (mapped-ram). */
bool inspect_ram_mapped(InspectRam *ram, const MappedFile *file,
                        GError **errp);

/* Packs follow.  False where that is too late, or was said before. */
bool inspect_ram_use_packs(InspectRam *ram, uint32_t window);

/* A page that comes from elsewhere (multifd). */
typedef struct SidePage {
    const char *block;
    uint64_t offset; /* in the block */
    bool zero;
    bool compressed;
    uint64_t packed; /* bytes of all compressed pages, if this is the first */
    bool first;      /* it is, and so has the bytes of their head */
} SidePage;

/* Where to put its content; NULL: it is not kept, or is zero.  If the content
 * cannot be had, the page is to be untaken.  Errors name a place of from. */
bool inspect_ram_take(InspectRam *ram, const Stream *from,
                      const SidePage *page, uint8_t **to, GError **errp);
void inspect_ram_untake(InspectRam *ram);

/* The main channel has such pages elsewhere. */
void inspect_ram_elsewhere(InspectRam *ram);

/* These bytes of a block are old, and come again (postcopy). */
bool inspect_ram_discard(InspectRam *ram, const char *name, uint64_t start,
                         uint64_t length, GError **errp);

/* A PART or END begins at offset; one of its records; its end. */
bool inspect_ram_begin(InspectRam *ram, uint8_t type, uint64_t offset,
                       GError **errp);
bool inspect_ram_record(InspectRam *ram, const Item *item, GError **errp);
void inspect_ram_end(InspectRam *ram);

/* The stream is over.  A section that is in progress counts as far as it
 * came. */
void inspect_ram_stop(InspectRam *ram); /* NULL is fine */

/* RAM has ended: complete what was extracted. */
bool inspect_ram_finish(InspectRam *ram, GError **errp);

/* For a convert of what came: let it all be in memory. */
bool inspect_ram_flush(InspectRam *ram, GError **errp);

/* For a convert: a block's memory, which is all its pages; and the first page
 * from this one on that may have content, or the number of pages. */
const uint8_t *inspect_ram_memory(const InspectRam *ram, unsigned block);
uint64_t inspect_ram_next(const InspectRam *ram, unsigned block,
                          uint64_t page);
/* Has the page come?  Others are zero, or the guest has given them back. */
bool inspect_ram_came(const InspectRam *ram, unsigned block, uint64_t page);

/* RAM has not ended, and nothing more can be read: keep the blocks that have
 * pages, with a warning. */
bool inspect_ram_keep(InspectRam *ram, GError **errp);
void inspect_ram_free(InspectRam *ram); /* NULL is fine */

#endif
