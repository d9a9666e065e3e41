/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The stream is read by the same reader that a destination uses, and
 * relay-scan-out.c hands on each byte that the reader takes.  What follows RAM,
 * and what does not make sense, is only copied.
 */
#include "tools/relay/relay-scan.h"

#include <string.h>

#include "migration/wire/ram-list.h"
#include "migration/wire/names.h"
#include "migration/wire/reader.h"
#include "migration/wire/section.h"
#include "migration/wire/wire.h"
#include "tools/relay/relay-scan-multifd.h"
#include "tools/relay/relay-scan-out.h"
#include "tools/relay/relay-tail.h"

#define ONE_OF_MULTIFD "one of multifd's connections"

typedef struct Scan {
    Stream *stream;
    const ScanSink *sink;
    void *opaque;
    ScanOut out;
    bool return_path;  /* the source has opened a return path */
    bool has_ram;
    Reader *reader;
    RamList *list;         /* NULL: not seen yet */
    RamBlocks *blocks;     /* the list's */
    const RamBlock *block; /* of the last page; NULL: there was none */
} Scan;

/* The preamble */

/* Streams that begin otherwise, before the reader takes some of their bytes.
 * The reader's error would not help with the first ones. */
static bool refuse_foreign(Scan *scan, GError **errp)
{
    const uint8_t *begins;
    size_t size;

    begins = stream_peek_some(scan->stream, 1, &size, errp);
    if (!begins) {
        return false;
    }
    switch (size ? begins[0] : WIRE_MAGIC >> 24) {
    case WIRE_TLS >> 8:
        stream_bad(scan->stream, errp, "QEMU's own TLS");
        return false;
    case WIRE_MULTIFD >> 24:
        stream_bad(scan->stream, errp, ONE_OF_MULTIFD);
        return false;
    case WIRE_COMMAND:
        stream_bad(scan->stream, errp, "postcopy that goes on (migrate -r)");
        return false;
    case WIRE_MAGIC >> 24:
        return section_check_header(begins, size, errp);
    default:
        if (section_check_header(begins, size, errp)) {
            stream_bad(scan->stream, errp, "not a migration stream");
        }
        return false;
    }
}

static bool scan_preamble(Scan *scan, const Preamble *p, GError **errp)
{
    if (p->page_bits != MIG_PAGE_BITS) {
        stream_bad(scan->stream, errp, "pages of %u bits", p->page_bits);
        return false;
    }
    for (unsigned i = 0; i < p->capabilities; i++) {
        if (strcmp(p->capability[i], WIRE_CAP_IGNORE_SHARED)) {
            stream_bad(scan->stream, errp, "the capability '%s'",
                       p->capability[i]);
            return false;
        }
    }
    return true;
}

static bool scan_command(Scan *scan, const Command *command, GError **errp)
{
    g_autofree char *text = NULL;

    switch (command->number) {
    case WIRE_CMD_OPEN_RETURN_PATH:
        scan->return_path = true;
        break;
    case WIRE_CMD_POSTCOPY_ADVISE:
    case WIRE_CMD_PING:
    case WIRE_CMD_SWITCHOVER_START:
        break;
    default:
        /* Postcopy begins, or the command is unknown: some commands carry
         * more than their length says. */
        text = wire_command_text(command->number);
        stream_bad(scan->stream, errp, "%s", text);
        return false;
    }
    return stream_skip(scan->stream, command->length, errp);
}

/* Blocks */

static void keep_blocks(Scan *scan, Item *item)
{
    scan->list = g_steal_pointer(&item->blocks);
    scan->blocks = ram_blocks_of_list(scan->list);
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

    if (!scan->block) {
        stream_bad(scan->stream, errp, "a page of no RAM block");
        return false;
    }
    return scan_out_page(&scan->out, &page, errp);
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

static bool scan_record(Scan *scan, const RamRecord *r, GError **errp)
{
    if (r->has_name && !find_block(scan, r->name, errp)) {
        return false;
    }
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

static bool begin_ram(Scan *scan, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;

    if (!item->is_ram || section->version != WIRE_RAM_VERSION ||
        scan->has_ram) {
        g_autofree char *shown = g_strescape(section->name, NULL);

        stream_bad(scan->stream, errp, "section '%s' before the end of RAM",
                   shown);
        return false;
    }
    scan->has_ram = true;
    if (scan->sink->ram_begins) {
        scan->sink->ram_begins(scan->opaque, scan->return_path);
    }
    return true;
}

static bool tell_part(Scan *scan, const SectionHeader *section,
                      bool (*tell)(void *opaque, const ScanPart *part,
                                   GError **errp), GError **errp)
{
    const ScanPart part = { section->type, section->id,
                            reader_has_footers(scan->reader) };

    return !tell || tell(scan->opaque, &part, errp);
}

static bool begin_section(Scan *scan, const Item *item, GError **errp)
{
    const SectionHeader *section = &item->section;

    if (section->type == WIRE_START || section->type == WIRE_FULL) {
        return begin_ram(scan, item, errp);
    }
    if (!item->is_ram) {
        stream_bad(scan->stream, errp, "section %u before the end of RAM",
                   section->id);
        return false;
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
        keep_blocks(scan, item);
        return true;
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

    if (!refuse_foreign(scan, errp)) {
        return false;
    }
    do {
        if (!scan_next(scan, &item, errp)) {
            return false;
        }
        if (is_whole(item)) {
            scan_out_mark(&scan->out);
        }
    } while (!is_end_of_ram(item));
    return true;
}

/* The rest */

static bool copy_rest(Scan *scan, StreamTail *tail, GError **errp)
{
    const uint8_t *bytes;
    size_t size;

    if (!scan_out_set_opaque(&scan->out, true, errp)) {
        return false;
    }
    do {
        scan_out_mark(&scan->out);
        bytes = stream_peek_some(scan->stream, 1, &size, errp);
        if (!bytes) {
            return false;
        }
        tail_feed(tail, bytes, size);
        if (!stream_skip(scan->stream, size, errp)) {
            return false;
        }
    } while (size > 0);
    return true;
}

static void tell_end(Scan *scan, StreamEnd end, const char *reason,
                     bool has_go)
{
    if (scan->sink->ended) {
        scan->sink->ended(scan->opaque, &(ScanEnd){ end, reason, has_go });
    }
}

/* Copy what is behind RAM, and tell how the stream ended. */
static bool copy_devices(Scan *scan, GError **errp)
{
    static const uint8_t footer[] = { WIRE_FOOTER, 0, 0, 0, 0 };
    StreamTail tail = { .place = TAIL_DEVICES };
    uint64_t behind_ram = stream_position(scan->stream);

    if (reader_has_footers(scan->reader)) {
        tail_feed(&tail, footer, sizeof(footer)); /* RAM's, in short */
    }
    if (!copy_rest(scan, &tail, errp)) {
        return false;
    }
    if (tail_is_whole(&tail, reader_has_footers(scan->reader))) {
        tell_end(scan, END_WHOLE, NULL, tail_has_go(&tail));
    } else if (reader_has_footers(scan->reader) ||
               stream_position(scan->stream) == behind_ram) {
        tell_end(scan, END_CUT, "the source has closed behind RAM, before the "
                 "end of its devices", false);
    } else {
        tell_end(scan, END_OPAQUE, "a machine type before 2.4 does not show "
                 "where its devices end", false);
    }
    return true;
}

static bool copy_opaque(Scan *scan, const char *reason, GError **errp)
{
    StreamTail unused = { .place = TAIL_DEVICES };

    if (!copy_rest(scan, &unused, errp)) {
        return false;
    }
    tell_end(scan, END_OPAQUE, reason, false);
    return true;
}

static bool is_not_understood(const GError *err)
{
    return g_error_matches(err, MIG_ERROR, MIG_ERROR_STREAM) ||
           g_error_matches(err, MIG_ERROR, MIG_ERROR_UNSUPPORTED);
}

static void tell_lost(Scan *scan, const char *reason)
{
    if (scan->sink->lost) {
        scan->sink->lost(scan->opaque, reason);
    }
}

/* The stream, of which all was understood, has ended too early for a whole
 * one. */
static void tell_early_end(Scan *scan)
{
    if (stream_position(scan->stream)) {
        tell_end(scan, END_CUT, "the source has closed before the end of RAM",
                 false);
    } else {
        /* QEMU's connection for postcopy-preempt, which it did not need. */
        tell_end(scan, END_OPAQUE, "nothing was sent", false);
    }
}

/* err is why no more was understood: what comes then?  Takes err. */
static bool scan_on(Scan *scan, GError *err, GError **errp)
{
    bool ok;

    if (is_not_understood(err)) {
        tell_lost(scan, err->message);
        ok = copy_opaque(scan, err->message, errp);
        g_error_free(err);
        return ok;
    }
    g_propagate_error(errp, err);
    return false;
}

static bool scan_migration(Scan *scan, GError **errp)
{
    GError *err = NULL;

    if (scan_ram(scan, &err)) {
        return copy_devices(scan, errp);
    }
    if (g_error_matches(err, MIG_ERROR, MIG_ERROR_EOF)) {
        g_error_free(err);
        tell_early_end(scan);
        return true;
    }
    return scan_on(scan, err, errp);
}

/* Nobody can tell by such a connection how the migration has ended, unless it
 * ends within a packet. */
static bool scan_side(Scan *scan, GError **errp)
{
    GError *err = NULL;

    if (scan_multifd(&scan->out, &err)) {
        tell_end(scan, END_OPAQUE, ONE_OF_MULTIFD, false);
        return true;
    }
    if (!g_error_matches(err, MIG_ERROR, MIG_ERROR_EOF)) {
        return scan_on(scan, err, errp);
    }
    g_error_free(err);
    tell_end(scan, END_CUT, "the source has closed in the middle of a packet "
             "of multifd", false);
    return true;
}

static bool scan_all(Scan *scan, GError **errp)
{
    const uint8_t *begins;
    size_t size;

    begins = stream_peek_some(scan->stream, 1, &size, errp);
    if (!begins) {
        return false;
    }
    return size && begins[0] == WIRE_MULTIFD >> 24 &&
                   !scan->sink->wants_all_pages
               ? scan_side(scan, errp)
               : scan_migration(scan, errp);
}

bool scan_run(Stream *s, const ScanSink *sink, void *opaque, GError **errp)
{
    const ReaderConfig config = {
        .max_ram = UINT64_MAX,
        .may_lack_footers = true,
    };
    g_autofree Scan *scan = g_new0(Scan, 1);
    bool ok;

    scan->stream = s;
    scan->sink = sink;
    scan->opaque = opaque;
    scan->reader = reader_new(s, &config);
    scan_out_begin(&scan->out, s, sink, opaque);
    ok = scan_all(scan, errp);
    ok = scan_out_end(&scan->out, ok ? errp : NULL) && ok;
    reader_free(scan->reader);
    ram_blocks_free(scan->blocks);
    ram_list_free(scan->list);
    return ok;
}
