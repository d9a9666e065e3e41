/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream as a sequence of items: the one reader of its frame.
 *
 * The reader knows in what order items follow each other, and where each ends.
 * The caller decides whether an item may stand where it does, and what it
 * means.  Bytes that only the caller can read are left in the stream, and the
 * caller reads them before the next call:
 *
 *     ITEM_COMMAND       command.length bytes of payload
 *     ITEM_SECTION       the content, unless it is the ram section's
 *     ITEM_RECORD        a page's data; see ram_record_get()
 *     ITEM_DESCRIPTION   description bytes of text
 *
 * With mapped-ram, ITEM_BLOCKS has also skipped the pages, which follow each
 * entry of the list.
 *
 * A stream of QEMU, but for its devices, is read by this grammar:
 *
 *     stream   PREAMBLE { COMMAND | section } EOF [DESCRIPTION] { COMMAND }
 *     section  SECTION content FOOTER
 *     content  of ram's START: BLOCKS
 *              of ram's PART and END: RECORD ... RECORD, the last of type EOS
 */
#ifndef MIGRATION_WIRE_READER_H
#define MIGRATION_WIRE_READER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "migration/wire/ram-list.h"
#include "migration/wire/ram-record.h"
#include "migration/wire/section.h"
#include "migration/wire/stream.h"

typedef enum {
    ITEM_PREAMBLE,
    ITEM_COMMAND,
    ITEM_SECTION, /* its head */
    ITEM_BLOCKS,
    ITEM_RECORD,
    ITEM_FOOTER,  /* a section's end, also in a stream without footers */
    ITEM_EOF,
    ITEM_DESCRIPTION,
} ItemType;

/* Each member keeps the value that the last item of its kind has set. */
typedef struct Item {
    ItemType type;
    uint64_t position; /* where in the stream the item begins */
    Preamble preamble;
    Command command;       /* number and length */
    SectionHeader section; /* the items up to its FOOTER belong to it */
    bool is_ram;           /* section is a START, PART or END of ram */
    RamList *blocks;       /* a caller that takes it sets it to NULL */
    RamRecord record;
    bool ends_ram;         /* record is the EOS of END: no page comes behind */
    uint32_t description;
} Item;

typedef struct Reader Reader;

typedef struct ReaderConfig {
    uint64_t max_ram; /* bytes; more is MIG_ERROR_UNSUPPORTED */
    /* The stream may have no footers, as with machine types before 2.4.  The
     * end of the first section shows it. */
    bool may_lack_footers;
    /* The same for the configuration.  The preamble's machine is "" then. */
    bool may_lack_configuration;
} ReaderConfig;

/* The stream is borrowed and at its start. */
Reader *reader_new(Stream *stream, const ReaderConfig *config);
void reader_free(Reader *r); /* NULL is fine */

/*
 * The next item.  It is always the same Item, which changes with the next call.
 * NULL on errors: those of Stream, MIG_ERROR_STREAM where there is no item or a
 * malformed one, and MIG_ERROR_UNSUPPORTED.  After the latter, if the Item is
 * an ITEM_RECORD, its record has what was read so far.  A caller that knows
 * such a record may read its rest, and ask for the next item.
 */
Item *reader_next(Reader *r, GError **errp);

/* The caller has itself read the head of a section of ram, a START, PART or
 * END, wherever it stood.  The next item is what follows that head. */
void reader_resume(Reader *r, uint8_t type, uint32_t id);

/* Do sections end with a footer?  Known from the first ITEM_FOOTER on. */
bool reader_has_footers(const Reader *r);

#endif
