/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The stream is read by the same reader that a destination uses, and
 * relay-scan-out.c hands on each byte that the reader takes.  What follows RAM,
 * and what does not make sense, is only copied.
 *
 * Sections other than ram's say nowhere how long they are.  Behind the head of
 * one, which may come before RAM (virtio-mem) or between its parts (dirty
 * bitmaps, block migration, VFIO), the stream is copied until something looks
 * like a head of ram's; see relay-search.c.  The reader goes on there.  If that
 * makes no sense after all, nothing is lost, and the search goes on.  But such
 * a stream was not understood: how it ended is not known.
 */
#include "tools/relay/relay-scan-migration.h"

#include <string.h>

#include "migration/wire/ram-list.h"
#include "migration/wire/names.h"
#include "migration/wire/reader.h"
#include "migration/wire/section.h"
#include "migration/wire/wire.h"
#include "tools/relay/relay-search.h"
#include "tools/relay/relay-tail.h"

typedef struct Scan {
    ScanOut *out;
    Stream *stream;       /* out's, as is the sink */
    const ScanSink *sink;
    bool return_path;     /* the source has opened a return path */
    bool other_ram;       /* RAM is laid out in another way: no use to look for
                           * it */
    uint8_t guess;        /* the type of a head that was searched for, until two
                           * records were read behind it; else 0 */
    Reader *reader;
    RamList *list;         /* NULL: not seen yet */
    uint32_t ram_id;       /* list: of ram's sections */
    RamBlocks *blocks;     /* the list's */
    const RamBlock *block; /* of the last page; NULL: there was none */
} Scan;

/* The preamble */

static bool scan_preamble(Scan *scan, const Preamble *p, GError **errp)
{
    if (p->page_bits != MIG_PAGE_BITS) {
        scan->other_ram = true;
        stream_bad(scan->stream, errp, "pages of %u bits", p->page_bits);
        return false;
    }
    for (unsigned i = 0; i < p->capabilities; i++) {
        if (strcmp(p->capability[i], WIRE_CAP_IGNORE_SHARED)) {
            scan->other_ram = true;
            stream_bad(scan->stream, errp, "the capability '%s'",
                       p->capability[i]);
            return false;
        }
    }
    return true;
}

/* A command may carry more than its length says. */
static bool refuse_command(const Scan *scan, const Command *command,
                           GError **errp)
{
    g_autofree char *text = wire_command_text(command->number);

    stream_bad(scan->stream, errp, "%s", text);
    return false;
}

/* All devices, at the switch to postcopy; RAM goes on behind them. */
static bool scan_package(Scan *scan, const Command *command, GError **errp)
{
    uint32_t size;

    if (command->length != sizeof(size)) {
        return refuse_command(scan, command, errp);
    }
    scan_out_reached(scan->out, SCAN_POSTCOPY);
    return stream_get_be32(scan->stream, &size, errp) &&
           scan_out_skip(scan->out, size, errp);
}

/* What a package of devices has in it, and what comes before it. */
static bool scan_postcopy(Scan *scan, const Command *command, GError **errp)
{
    if (scan->sink->wants_all_pages) {
        return refuse_command(scan, command, errp);
    }
    return command->number == WIRE_CMD_PACKAGED
               ? scan_package(scan, command, errp)
               : stream_skip(scan->stream, command->length, errp);
}

static bool scan_command(Scan *scan, const Command *command, GError **errp)
{
    switch (command->number) {
    case WIRE_CMD_OPEN_RETURN_PATH:
        scan->return_path = true;
        break;
    case WIRE_CMD_SWITCHOVER_START:
        scan_out_reached(scan->out, SCAN_STANDS_STILL);
        break;
    case WIRE_CMD_POSTCOPY_ADVISE:
    case WIRE_CMD_PING:
        break;
    case WIRE_CMD_PACKAGED:
    case WIRE_CMD_POSTCOPY_DISCARD:
    case WIRE_CMD_POSTCOPY_LISTEN:
    case WIRE_CMD_POSTCOPY_RUN:
        return scan_postcopy(scan, command, errp);
    default:
        return refuse_command(scan, command, errp);
    }
    return stream_skip(scan->stream, command->length, errp);
}

/* Blocks */

/* RAM begins. */
static bool keep_blocks(Scan *scan, Item *item, GError **errp)
{
    if (!item->blocks->count) {
        stream_bad(scan->stream, errp, "an empty list of RAM blocks");
        return false;
    }
    scan->list = g_steal_pointer(&item->blocks);
    scan->ram_id = item->section.id;
    scan->blocks = ram_blocks_of_list(scan->list);
    if (scan->sink->ram_begins) {
        scan->sink->ram_begins(scan->out->opaque, scan->blocks,
                               scan->return_path);
    }
    if (scan->out->lost) {
        scan_out_reached(scan->out, SCAN_FOUND);
    }
    return true;
}

static bool find_block(Scan *scan, const char *name, GError **errp)
{
    scan->block = ram_blocks_find(scan->blocks, name);
    if (!scan->block) {
        g_autofree char *shown = g_strescape(name, NULL);

        stream_bad(scan->stream, errp, "a page of RAM block '%s', which is "
                   "not listed", shown);
    }
    return scan->block != NULL;
}

/* Pages */

static bool scan_page(Scan *scan, const RamRecord *r, size_t size,
                      GError **errp)
{
    ScanPage page = { .record = r, .block = scan->block, .size = size };

    return scan_out_page(scan->out, &page, errp);
}

/* What a page has changed into cannot be told without the page. */
static bool scan_xbzrle(Scan *scan, const RamRecord *r, GError **errp)
{
    if (scan->sink->wants_all_pages) {
        g_set_error_literal(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                            "the source uses XBZRLE, whose changes of pages "
                            "cannot be converted; turn its capability xbzrle "
                            "off");
        return false;
    }
    return stream_skip(scan->stream, r->length, errp);
}

/* Many pages in one record, between two Ferry ends. */
static bool scan_batch(Scan *scan, const RamRecord *r, GError **errp)
{
    if (scan->sink->wants_all_pages) {
        stream_bad(scan->stream, errp, "a record that only Ferry reads");
        return false;
    }
    return stream_skip(scan->stream, r->length, errp);
}

/* Is there such a page? */
static bool check_place(const Scan *scan, const RamRecord *r, GError **errp)
{
    if (!scan->block) {
        stream_bad(scan->stream, errp, "a page of no RAM block");
        return false;
    }
    if (r->offset / MIG_PAGE_SIZE >= scan->block->pages) {
        g_autofree char *shown = g_strescape(scan->block->name, NULL);

        stream_bad(scan->stream, errp, "a page behind the end of RAM block "
                   "'%s'", shown);
        return false;
    }
    return true;
}

static bool is_of_page(const RamRecord *r)
{
    return r->type != WIRE_RAM_EOS && r->type != WIRE_RAM_MEM_SIZE;
}

/* A record makes sense.  Behind a guess it may do so by chance, but not the
 * second one. */
static void settle_guess(Scan *scan)
{
    bool is_first = scan->guess && !scan->out->eager;

    if (scan->out->eager) {
        if (scan->guess == WIRE_PART) {
            scan_out_reached(scan->out, SCAN_FOUND);
        }
        scan->guess = 0;
    }
    scan->out->eager = is_first;
}

static bool scan_record(Scan *scan, const RamRecord *r, GError **errp)
{
    if ((r->has_name && !find_block(scan, r->name, errp)) ||
        (is_of_page(r) && !check_place(scan, r, errp))) {
        return false;
    }
    settle_guess(scan);
    switch (r->type) {
    case WIRE_RAM_PLAIN:
        return scan_page(scan, r, MIG_PAGE_SIZE, errp);
    case WIRE_RAM_COMPRESSED:
        return scan->sink->wants_all_pages
                   ? scan_page(scan, r, r->length, errp)
                   : stream_skip(scan->stream, r->length, errp);
    case WIRE_RAM_ZERO:
        return !scan->sink->wants_all_pages || scan_page(scan, r, 0, errp);
    case WIRE_RAM_XBZRLE:
        return scan_xbzrle(scan, r, errp);
    case WIRE_RAM_BATCH:
    case WIRE_RAM_PACK:
    case WIRE_RAM_ZERO_RANGE:
        return scan_batch(scan, r, errp);
    case WIRE_RAM_EOS:
        return true;
    default:
        stream_bad(scan->stream, errp, "a second list of RAM blocks");
        return false;
    }
}

/* Sections */

static bool begin_start(Scan *scan, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;

    if (!item->is_ram || section->version != WIRE_RAM_VERSION ||
        scan->list) {
        g_autofree char *shown = g_strescape(section->name, NULL);

        stream_bad(scan->stream, errp, "section '%s' before the end of RAM",
                   shown);
        return false;
    }
    return true;
}

static bool tell_part(Scan *scan, const SectionHeader *section,
                      bool (*tell)(void *opaque, const ScanPart *part,
                                   GError **errp), GError **errp)
{
    const ScanPart part = { section->type, section->id,
                            reader_has_footers(scan->reader) };

    return !tell || tell(scan->out->opaque, &part, errp);
}

static bool begin_section(Scan *scan, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;

    if (section->type == WIRE_START || section->type == WIRE_FULL) {
        return begin_start(scan, item, errp);
    }
    if (!item->is_ram) {
        stream_bad(scan->stream, errp, "section %u before the end of RAM",
                   section->id);
        return false;
    }
    if (section->type == WIRE_END) {
        scan_out_reached(scan->out, SCAN_STANDS_STILL);
    }
    return tell_part(scan, section, scan->sink->part, errp);
}

static bool end_section(Scan *scan, const SectionHeader *section, GError **errp)
{
    return section->type == WIRE_START ||
           tell_part(scan, section, scan->sink->part_end, errp);
}

/* Items */

static bool scan_item(Scan *scan, Item *item, GError **errp)
{
    switch (item->type) {
    case ITEM_PREAMBLE:
        return scan_preamble(scan, &item->preamble, errp);
    case ITEM_COMMAND:
        return scan_command(scan, &item->command, errp);
    case ITEM_SECTION:
        return begin_section(scan, item, errp);
    case ITEM_BLOCKS:
        return keep_blocks(scan, item, errp);
    case ITEM_RECORD:
        return scan_record(scan, &item->record, errp);
    case ITEM_FOOTER:
        return end_section(scan, &item->section, errp);
    case ITEM_EOF:
    case ITEM_DESCRIPTION:
        break;
    }
    stream_bad(scan->stream, errp, "the end of the stream before the end of "
               "RAM");
    return false;
}

static bool is_foreign(const Scan *scan, const Item *item, const GError *err)
{
    return g_error_matches(err, MIG_ERROR, MIG_ERROR_UNSUPPORTED) &&
           !scan->sink->wants_all_pages && item->type == ITEM_RECORD &&
           item->record.type == WIRE_RAM_MULTIFD;
}

/* Read one item and what belongs to it.  *last is set to it. */
static bool scan_next(Scan *scan, const Item **last, GError **errp)
{
    GError *err = NULL;
    Item *item = reader_next(scan->reader, &err);

    if (item) {
        *last = item;
        return scan_item(scan, item, errp);
    }
    if (*last && is_foreign(scan, *last, err)) {
        g_error_free(err);
        return true;
    }
    g_propagate_error(errp, err);
    return false;
}

/* START's head and the list that follows it count as one. */
static bool is_whole(const Item *item)
{
    return item->type != ITEM_SECTION || item->section.type != WIRE_START;
}

static bool is_end_of_ram(const Item *item)
{
    return item->type == ITEM_FOOTER && item->section.type == WIRE_END;
}

/* True when RAM has ended. */
static bool scan_ram(Scan *scan, GError **errp)
{
    const Item *item = NULL;

    do {
        if (!scan_next(scan, &item, errp)) {
            return false;
        }
        if (is_whole(item)) {
            scan_out_mark(scan->out);
        }
    } while (!is_end_of_ram(item));
    return true;
}

/* Devices */

typedef struct Devices {
    ScanOut *out;
    StreamTail tail;
    bool has_footers;
} Devices;

static size_t feed_tail(void *opaque, const uint8_t *bytes, size_t size,
                        bool *stop)
{
    Devices *devices = opaque;

    tail_feed(&devices->tail, bytes, size);
    if (tail_is_whole(&devices->tail, devices->has_footers)) {
        scan_out_reached(devices->out, SCAN_COMPLETE);
    }
    return size;
}

/* Copy what is behind RAM, and tell how the stream ended. */
static bool copy_devices(Scan *scan, GError **errp)
{
    static const uint8_t footer[] = { WIRE_FOOTER, 0, 0, 0, 0 };
    bool has_footers = reader_has_footers(scan->reader);
    Devices devices = {
        .out = scan->out,
        .tail = { .place = TAIL_DEVICES },
        .has_footers = has_footers,
    };
    uint64_t behind_ram = stream_position(scan->stream);

    if (has_footers) {
        /* RAM's, in short */
        tail_feed(&devices.tail, footer, sizeof(footer));
    }
    if (!scan_out_copy(scan->out, feed_tail, &devices, errp)) {
        return false;
    }
    if (scan->out->lost) {
        scan_out_ended(scan->out, END_OPAQUE, scan->out->lost, false);
    } else if (tail_is_whole(&devices.tail, has_footers)) {
        scan_out_ended(scan->out, END_WHOLE, NULL,
                       tail_has_go(&devices.tail));
    } else if (has_footers || stream_position(scan->stream) == behind_ram) {
        scan_out_ended(scan->out, END_CUT, "the source has closed behind RAM, "
                       "before the end of its devices", false);
    } else {
        scan_out_ended(scan->out, END_OPAQUE, "a machine type before 2.4 does "
                       "not show where its devices end", false);
    }
    return true;
}

/* What is not understood */

/* The stream has ended. */
static void tell_early_end(Scan *scan)
{
    if (scan->out->lost) {
        scan_out_ended(scan->out, END_OPAQUE, scan->out->lost, false);
    } else {
        scan_out_ended(scan->out, END_CUT, "the source has closed before the "
                       "end of RAM", false);
    }
}

typedef struct Search {
    RamSearch ram;
    RamHead head; /* what was found */
} Search;

static size_t feed_search(void *opaque, const uint8_t *bytes, size_t size,
                          bool *stop)
{
    Search *search = opaque;

    size = ram_search_feed(&search->ram, bytes, size, &search->head);
    *stop = search->head.type != 0;
    return size;
}

/* Read on behind a head that may be one of ram's. */
static void guess(Scan *scan, const RamHead *head)
{
    reader_resume(scan->reader, head->type, head->id);
    scan->guess = head->type == WIRE_START ? 0 : head->type;
    scan->out->eager = false;
    if (head->type == WIRE_END) {
        scan_out_reached(scan->out, SCAN_STANDS_STILL);
    }
}

/* Copy what is not understood.  *found: the reader is behind a head of
 * ram's; else the stream has ended. */
static bool find_ram(Scan *scan, bool *found, GError **errp)
{
    Search search = {
        .ram = {
            .has_ram = scan->list != NULL,
            .id = scan->ram_id,
            .has_footers = reader_has_footers(scan->reader),
        },
    };
    bool searches = !scan->other_ram && !scan->sink->wants_all_pages;

    if (!scan_out_copy(scan->out, searches ? feed_search : NULL, &search,
                       errp)) {
        return false;
    }
    *found = search.head.type != 0;
    if (*found) {
        guess(scan, &search.head);
    }
    return true;
}

/* Read RAM, from wherever the reader is.  *ended: how the stream has ended was
 * told. */
static bool scan_some(Scan *scan, bool *ended, GError **errp)
{
    GError *err = NULL;

    *ended = true;
    if (scan_ram(scan, &err)) {
        return copy_devices(scan, errp);
    }
    if (g_error_matches(err, MIG_ERROR, MIG_ERROR_EOF)) {
        tell_early_end(scan);
        g_error_free(err);
        return true;
    }
    *ended = false;
    return scan_out_lost(scan->out, err, errp);
}

static bool scan_all(Scan *scan, GError **errp)
{
    bool ended, found = true;

    do {
        if (!scan_some(scan, &ended, errp) ||
            (!ended && !find_ram(scan, &found, errp))) {
            return false;
        }
    } while (!ended && found);
    if (!ended) {
        tell_early_end(scan);
    }
    return true;
}

bool scan_migration(ScanOut *out, GError **errp)
{
    const ReaderConfig config = {
        .max_ram = UINT64_MAX,
        .may_lack_footers = true,
        .may_lack_configuration = true,
    };
    Scan scan = {
        .out = out, .stream = out->stream, .sink = out->sink,
        .reader = reader_new(out->stream, &config),
    };
    bool ok = scan_all(&scan, errp);

    reader_free(scan.reader);
    ram_blocks_free(scan.blocks);
    ram_list_free(scan.list);
    return ok;
}
