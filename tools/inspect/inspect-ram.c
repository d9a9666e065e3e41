/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * Records are walked by the load loop of the destination, which is watched
 * from here.  Blocks have no memory, and so cost none, except those that are
 * extracted, whose memory is the file they go to.
 *
 * A stream does not say where the source looked at its dirty log, so passes
 * are told by what they do: within a pass no page comes twice.  A pass
 * therefore begins with the section in which a page comes again that has come
 * since the last pass began, and END is a pass of its own, as the guest was
 * stopped before it.  Two passes that have no page in common count as one.
 *
 * For that each page remembers the section that it came in last: four bytes
 * for each page that came at all.
 */
#include "tools/inspect/inspect-ram.h"

#include "tools/inspect/extract.h"
#include "migration/ram-load.h"
#include "migration/wire.h"
#include "util/clock.h"

#define RAM_MAX        (UINT64_C(1) << 44) /* 16 TiB */
#define SECTIONS_MAX   (1u << 20)
#define PROGRESS_PAGES 256

struct InspectRam {
    Stream *stream;
    const InspectConfig *config;
    InspectReport *report;
    RamBlocks *blocks;
    Extract **extract;     /* [blocks->count]; NULL: not asked for */
    uint32_t **came;       /* [blocks->count][pages]: in which section */
    Stats *stats;
    RamLoad *load;
    InspectSection section; /* in progress */
    uint32_t number;        /* its: from 1 */
    uint32_t pass_start;    /* the first section of the pass */
    unsigned until_progress;
};

/* Set-up */

static const RamBlock *find_block(const InspectRam *ram, const char *name,
                                  GError **errp)
{
    const RamBlock *block = ram_blocks_find(ram->blocks, name);
    g_autoptr(GString) names = NULL;

    if (block) {
        return block;
    }
    names = g_string_new(NULL);
    for (unsigned i = 0; i < ram->blocks->count; i++) {
        g_autofree char *shown = g_strescape(ram->blocks->block[i].name,
                                             NULL);

        g_string_append_printf(names, "%s'%s'", i ? ", " : "", shown);
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                "there is no RAM block '%s' to extract; there is %s", name,
                names->str);
    return NULL;
}

static bool open_extract(InspectRam *ram, const InspectExtract *wanted,
                         GError **errp)
{
    const RamBlock *block = find_block(ram, wanted->block, errp);
    Extract *extract;

    if (!block) {
        return false;
    }
    if (ram->extract[block->index]) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "RAM block '%s' is to be extracted twice", block->name);
        return false;
    }
    extract = extract_new(wanted->path, block->pages, errp);
    if (!extract) {
        return false;
    }
    ram->extract[block->index] = extract;
    ram->blocks->block[block->index].host = extract_memory(extract);
    return true;
}

static bool allocate_pages(InspectRam *ram, GError **errp)
{
    for (unsigned i = 0; i < ram->blocks->count; i++) {
        ram->came[i] = g_try_new0(uint32_t, ram->blocks->block[i].pages);
        if (!ram->came[i]) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                        "not enough memory to look at %" G_GUINT64_FORMAT
                        " pages of RAM", ram->blocks->pages);
            return false;
        }
    }
    return true;
}

static bool note_page(void *opaque, const RamRecord *record,
                      const RamBlock *block, uint64_t page, GError **errp);

static void start_loading(InspectRam *ram)
{
    const char *method = section_method(&ram->report->preamble);
    const RamWatcher watcher = { note_page, ram, ram->config->verify };

    ram->stats = stats_new(&clock_monotonic);
    ram->load = ram_load_new(ram->stream, ram->blocks, ram->config->threads,
                             ram->stats);
    ram_load_watch(ram->load, &watcher);
    if (method) {
        ram_load_set_codec(ram->load, codec_find(method));
    }
}

static bool set_up(InspectRam *ram, GError **errp)
{
    for (unsigned i = 0; i < ram->config->extracts; i++) {
        if (!open_extract(ram, &ram->config->extract[i], errp)) {
            return false;
        }
    }
    if (!allocate_pages(ram, errp)) {
        return false;
    }
    start_loading(ram);
    return true;
}

InspectRam *inspect_ram_new(Stream *stream, const InspectConfig *config,
                            InspectReport *report, RamListForm form,
                            GError **errp)
{
    RamList *list = ram_list_get(stream, form, RAM_MAX, errp);
    InspectRam *ram;

    if (!list) {
        return NULL;
    }
    report->list = list;
    report->block = g_new0(PageTally, list->count);
    report->missing = g_new(uint64_t, list->count);
    for (unsigned i = 0; i < list->count; i++) {
        report->missing[i] = list->entry[i].length / MIG_PAGE_SIZE;
    }
    ram = g_new0(InspectRam, 1);
    ram->stream = stream;
    ram->config = config;
    ram->report = report;
    ram->blocks = ram_list_blocks(list);
    ram->extract = g_new0(Extract *, list->count);
    ram->came = g_new0(uint32_t *, list->count);
    if (!set_up(ram, errp)) {
        inspect_ram_free(ram);
        return NULL;
    }
    return ram;
}

void inspect_ram_free(InspectRam *ram)
{
    if (!ram) {
        return;
    }
    if (ram->load) {
        ram_load_free(ram->load);
        stats_free(ram->stats);
    }
    for (unsigned i = 0; i < ram->blocks->count; i++) {
        extract_free(ram->extract[i]);
        g_free(ram->came[i]);
    }
    g_free(ram->extract);
    g_free(ram->came);
    ram_blocks_free(ram->blocks);
    g_free(ram);
}

/* Pages */

/* Has it come since the pass began?  Then this section begins another. */
static void note_order(InspectRam *ram, const RamBlock *block, uint64_t page)
{
    uint32_t *came = &ram->came[block->index][page];

    if (*came == 0) {
        ram->report->missing[block->index]--;
    } else if (*came == ram->number) {
        ram->report->repeated++;
    } else if (*came >= ram->pass_start) {
        ram->pass_start = ram->number;
    }
    *came = ram->number;
}

/* Its head has been read, its data has not. */
static PageTally tally_of(const InspectRam *ram, const RamRecord *record,
                          uint64_t page)
{
    /* Bytes that several pages share are the first one's. */
    bool first = page == record->offset / MIG_PAGE_SIZE;
    PageTally tally = {
        .bytes = first ? stream_position(ram->stream) - record->position : 0,
    };

    switch (record->type) {
    case WIRE_RAM_ZERO:
    case WIRE_RAM_ZERO_RANGE:
        tally.zero = 1;
        break;
    case WIRE_RAM_PLAIN:
        tally.plain = 1;
        tally.bytes += MIG_PAGE_SIZE;
        break;
    case WIRE_RAM_COMPRESSED:
    case WIRE_RAM_BATCH:
        tally.compressed = 1;
        tally.packed = first ? record->length : 0;
        tally.bytes += tally.packed;
        break;
    default:
        g_assert_not_reached();
    }
    return tally;
}

static void report_progress(InspectRam *ram)
{
    if (ram->until_progress-- == 0) {
        ram->until_progress = PROGRESS_PAGES;
        ram->config->progress(ram->config->opaque,
                              stream_position(ram->stream));
    }
}

static bool note_page(void *opaque, const RamRecord *record,
                      const RamBlock *block, uint64_t page, GError **errp)
{
    InspectRam *ram = opaque;
    PageTally tally = tally_of(ram, record, page);
    Extract *extract = ram->extract[block->index];

    note_order(ram, block, page);
    page_tally_add(&ram->section.pages, &tally);
    page_tally_add(&ram->report->block[block->index], &tally);
    report_progress(ram);
    return !extract ||
           extract_page(extract, page,
                        record->type == WIRE_RAM_ZERO ||
                            record->type == WIRE_RAM_ZERO_RANGE, errp);
}

/* Sections */

static void begin_section(InspectRam *ram, const SectionHeader *section,
                          uint64_t offset)
{
    ram->section = (InspectSection){ .offset = offset, .type = section->type };
    ram->number++;
    if (ram->number == 1 || section->type == WIRE_END) {
        ram->pass_start = ram->number;
    }
}

static void end_section(InspectRam *ram)
{
    GArray *passes = ram->report->passes;
    InspectPass *pass;

    if (ram->pass_start == ram->number) {
        g_array_set_size(passes, passes->len + 1);
        g_array_index(passes, InspectPass, passes->len - 1) =
            (InspectPass){ .final = ram->section.type == WIRE_END };
    }
    pass = &g_array_index(passes, InspectPass, passes->len - 1);
    pass->sections++;
    page_tally_add(&pass->pages, &ram->section.pages);
    page_tally_add(&ram->report->pages, &ram->section.pages);
    ram->section.pass = passes->len;
    ram->section.size = stream_position(ram->stream) - ram->section.offset;
    g_array_append_val(ram->report->sections, ram->section);
}

bool inspect_ram_section(InspectRam *ram, const SectionHeader *section,
                         uint64_t offset, GError **errp)
{
    bool end = section->type == WIRE_END;
    bool ok;

    if (ram->number == SECTIONS_MAX) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                    "more than %u sections", SECTIONS_MAX);
        return false;
    }
    begin_section(ram, section, offset);
    ok = ram_load_section(ram->load, errp) &&
         (!end || ram_load_drain(ram->load, errp)) &&
         section_get_footer(ram->stream, section->id, errp);
    end_section(ram);
    ram->report->ram_ended = ok && end;
    return ok;
}

/* With x-ignore-shared and the like a block is listed, and is elsewhere. */
static bool check_block_came(const InspectRam *ram, const RamBlock *block,
                             GError **errp)
{
    g_autofree char *shown = g_strescape(block->name, NULL);

    if (ram->report->missing[block->index] < block->pages) {
        return true;
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                "RAM block '%s' has no pages in this stream, so there is "
                "nothing to extract", shown);
    return false;
}

bool inspect_ram_finish(InspectRam *ram, GError **errp)
{
    for (unsigned i = 0; i < ram->blocks->count; i++) {
        if (ram->extract[i] &&
            !check_block_came(ram, &ram->blocks->block[i], errp)) {
            return false;
        }
    }
    for (unsigned i = 0; i < ram->blocks->count; i++) {
        if (ram->extract[i] && !extract_finish(ram->extract[i], errp)) {
            return false;
        }
    }
    return true;
}
