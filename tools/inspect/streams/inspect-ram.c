/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The destination's load loop walks the records, and tells this file of each
 * page.  Blocks have no memory, and so cost none, except those that are
 * extracted: their memory is the file that they go to.
 *
 * A stream does not say where the source looked at its dirty log, so passes
 * are told by what they do: within a pass no page comes twice.  A pass
 * therefore begins with the section in which a page comes that has come before
 * in the same pass.  END is a pass of its own, because the guest was stopped
 * before it.  Two passes that have no page in common count as one.
 *
 * Sets keep which pages have come.  A set costs by the record, not by the page,
 * because sixteen bytes of stream can name terabytes of zero pages.  In a set
 * the blocks stand one behind the other, and each begins at a chunk.
 */
#include "tools/inspect/streams/inspect-ram.h"

#include "tools/inspect/streams/extract.h"
#include "tools/inspect/streams/page-set.h"
#include "migration/ram/load.h"
#include "migration/wire/wire.h"
#include "util/clock.h"

#define SECTIONS_MAX   (1u << 20)
#define PROGRESS_PAGES 256

struct InspectRam {
    Stream *stream;
    const InspectConfig *config;
    InspectReport *report;
    RamBlocks *blocks;
    Extract **extract;     /* [blocks->count]; NULL: block is not extracted */
    uint64_t *base;        /* [blocks->count]: where in sets its page 0 is */
    PageSet *all;          /* pages that came at all, */
    PageSet *in_pass;      /* in this pass, without this section, */
    PageSet *in_section;   /* and in this section */
    StatsChannel counted;
    RamLoad *load;
    InspectSection section; /* the one in progress */
    bool in_progress;       /* a section is in progress */
    bool begins_pass;       /* that section begins a pass */
    uint64_t *announced;    /* the missing of the block of the record that is
                             * being read, which its pages were taken from */
    uint64_t before;        /* and what that was before */
    Extract *placed;        /* where its page was placed; NULL: nowhere */
    unsigned until_progress;
    bool elsewhere;         /* pages come from side channels, or should */
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

static void start_sets(InspectRam *ram)
{
    uint64_t base = 0;

    ram->base = g_new(uint64_t, ram->blocks->count);
    for (unsigned i = 0; i < ram->blocks->count; i++) {
        uint64_t chunks =
            (ram->blocks->block[i].pages + PAGE_SET_CHUNK - 1) /
            PAGE_SET_CHUNK;

        ram->base[i] = base;
        base += chunks * PAGE_SET_CHUNK;
    }
    ram->all = page_set_new();
    ram->in_pass = page_set_new();
    ram->in_section = page_set_new();
}

static bool note_pages(void *opaque, const RamRecord *record,
                       const RamBlock *block, uint64_t first, uint64_t count,
                       GError **errp);

static uint8_t *place_plain(void *opaque, const RamBlock *block,
                            uint64_t page, GError **errp)
{
    InspectRam *ram = opaque;
    Extract *extract = ram->extract[block->index];
    uint8_t *to = extract_place(extract, page, errp);

    ram->placed = to ? extract : NULL;
    return to;
}

static void start_loading(InspectRam *ram)
{
    const char *method = section_method(&ram->report->preamble);
    const RamWatcher watcher = {
        .pages = note_pages,
        .plain = place_plain,
        .opaque = ram,
        .verify = ram->config->verify,
    };

    ram->counted.stats = stats_new(&clock_monotonic);
    ram->load = ram_load_new(ram->stream, ram->blocks, ram->config->threads,
                             &ram->counted);
    ram_load_watch(ram->load, &watcher);
    if (method) {
        ram_load_set_codec(ram->load, codec_find(method));
    }
}

static bool open_scratch(InspectRam *ram, GError **errp)
{
    for (unsigned i = 0; i < ram->blocks->count; i++) {
        RamBlock *block = &ram->blocks->block[i];

        ram->extract[i] = extract_new_scratch(ram->config->scratch,
                                              block->pages, errp);
        if (!ram->extract[i]) {
            return false;
        }
        block->host = extract_memory(ram->extract[i]);
    }
    return true;
}

static bool set_up(InspectRam *ram, GError **errp)
{
    if (ram->config->scratch && !open_scratch(ram, errp)) {
        return false;
    }
    for (unsigned i = 0; i < ram->config->extracts; i++) {
        if (!open_extract(ram, &ram->config->extract[i], errp)) {
            return false;
        }
    }
    start_sets(ram);
    start_loading(ram);
    return true;
}

InspectRam *inspect_ram_new(Stream *stream, const InspectConfig *config,
                            InspectReport *report, RamList *list,
                            GError **errp)
{
    InspectRam *ram;

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
    ram->blocks = ram_blocks_of_list(list);
    ram->extract = g_new0(Extract *, list->count);
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
        stats_free(ram->counted.stats);
    }
    for (unsigned i = 0; i < ram->blocks->count; i++) {
        extract_free(ram->extract[i]);
    }
    page_set_free(ram->all);
    page_set_free(ram->in_pass);
    page_set_free(ram->in_section);
    g_free(ram->base);
    g_free(ram->extract);
    ram_blocks_free(ram->blocks);
    g_free(ram);
}

/* Pages */

/* Nothing of the next record has come yet. */
static void begin_record(InspectRam *ram)
{
    ram->announced = NULL;
    ram->placed = NULL;
}

/* If one of the pages has come in this pass, this section begins another. */
static void note_order(InspectRam *ram, const RamBlock *block, uint64_t first,
                       uint64_t count)
{
    uint64_t at = ram->base[block->index] + first;

    if (!ram->begins_pass && page_set_has(ram->in_pass, at, count)) {
        ram->begins_pass = true;
    }
    ram->report->repeated += count - page_set_add(ram->in_section, at, count);
    if (!ram->announced) {
        ram->announced = &ram->report->missing[block->index];
        ram->before = *ram->announced;
    }
    *ram->announced -= page_set_add(ram->all, at, count);
}

/* The record's head has been read, its data has not. */
static PageTally tally_of(const InspectRam *ram, const RamRecord *record,
                          uint64_t page, uint64_t count)
{
    /* The bytes that the pages of a batch share count for the first page. */
    bool first = page == record->offset / MIG_PAGE_SIZE;
    PageTally tally = {
        .bytes = first ? stream_position(ram->stream) - record->position : 0,
    };

    switch (record->type) {
    case WIRE_RAM_ZERO:
    case WIRE_RAM_ZERO_RANGE:
        tally.zero = count;
        break;
    case WIRE_RAM_PLAIN:
        tally.plain = 1;
        tally.bytes += MIG_PAGE_SIZE;
        break;
    case WIRE_RAM_XBZRLE:
    case WIRE_RAM_COMPRESSED:
    case WIRE_RAM_BATCH:
    case WIRE_RAM_PACK:
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
        ram->config->progress(ram->config->opaque);
    }
}

static bool note_pages(void *opaque, const RamRecord *record,
                       const RamBlock *block, uint64_t first, uint64_t count,
                       GError **errp)
{
    InspectRam *ram = opaque;
    PageTally tally = tally_of(ram, record, first, count);
    Extract *extract = ram->extract[block->index];

    note_order(ram, block, first, count);
    page_tally_add(&ram->section.pages, &tally);
    page_tally_add(&ram->report->block[block->index], &tally);
    report_progress(ram);
    if (!extract || tally.plain) {
        return true; /* place_plain() is next */
    }
    if (!extract_flush(extract, errp)) {
        return false;
    }
    if (tally.zero) {
        /* What a side channel has written, only this file knows. */
        extract_zeros(extract, first, count, ram->elsewhere);
        return true;
    }
    return extract_page(extract, first, errp);
}

/* Pages from elsewhere */

static PageTally side_tally(const SidePage *page)
{
    PageTally tally = { .bytes = page->packed };

    if (page->zero) {
        tally.zero = 1;
    } else if (page->compressed) {
        tally.compressed = 1;
        tally.packed = page->packed;
    } else {
        tally.plain = 1;
    }
    return tally;
}

static void tally_page(InspectRam *ram, const RamBlock *block,
                       const PageTally *tally)
{
    if (ram->in_progress) {
        page_tally_add(&ram->section.pages, tally);
    } else {
        page_tally_add(&ram->report->pages, tally);
    }
    page_tally_add(&ram->report->block[block->index], tally);
}

bool inspect_ram_take(InspectRam *ram, const Stream *from,
                      const SidePage *page, uint8_t **to, GError **errp)
{
    const RamBlock *block = ram_blocks_find(ram->blocks, page->block);
    uint64_t number = page->offset / MIG_PAGE_SIZE;
    PageTally tally = side_tally(page);
    Extract *extract;

    *to = NULL;
    if (!block || number >= block->pages) {
        g_autofree char *shown = g_strescape(page->block, NULL);

        stream_bad(from, errp, "a page at offset 0x%" G_GINT64_MODIFIER "x of "
                   "RAM block '%s', which does not have it", page->offset,
                   shown);
        return false;
    }
    begin_record(ram);
    note_order(ram, block, number, 1);
    tally_page(ram, block, &tally);
    report_progress(ram);
    extract = ram->extract[block->index];
    if (!extract) {
        return true;
    }
    if (!page->zero) {
        *to = place_plain(ram, block, number, errp);
        return *to != NULL;
    }
    if (!extract_flush(extract, errp)) {
        return false;
    }
    extract_zeros(extract, number, 1, true);
    return true;
}

void inspect_ram_elsewhere(InspectRam *ram)
{
    ram->elsewhere = true;
}

void inspect_ram_untake(InspectRam *ram)
{
    if (ram->announced) {
        *ram->announced = ram->before;
    }
    if (ram->placed) {
        extract_unplace(ram->placed);
    }
}

bool inspect_ram_discard(InspectRam *ram, const char *name, uint64_t start,
                         uint64_t length, GError **errp)
{
    const RamBlock *block = ram_blocks_find(ram->blocks, name);
    uint64_t first = start / MIG_PAGE_SIZE, count = length / MIG_PAGE_SIZE;
    uint64_t dropped;

    if (!block || first > block->pages || count > block->pages - first) {
        g_autofree char *shown = g_strescape(name, NULL);

        stream_bad(ram->stream, errp, "pages of RAM block '%s' that it does "
                   "not have are discarded", shown);
        return false;
    }
    if (count == 0) {
        return true;
    }
    dropped = page_set_remove(ram->all, ram->base[block->index] + first,
                              count);
    ram->report->missing[block->index] += dropped;
    ram->report->discarded += dropped;
    return true;
}

/* Pages in a file */

typedef struct MappedBlock {
    InspectRam *ram;
    const RamBlock *block;
    const MappedFile *file;
    uint64_t pages; /* that were found */
} MappedBlock;

static bool take_run(void *opaque, uint64_t first, uint64_t count,
                     uint64_t offset, GError **errp)
{
    MappedBlock *m = opaque;
    InspectRam *ram = m->ram;
    Extract *extract = ram->extract[m->block->index];

    if (extract &&
        !extract_copy(extract, first, count, m->file->fd, offset, errp)) {
        return false;
    }
    m->pages += count;
    page_set_add(ram->all, ram->base[m->block->index] + first, count);
    input_show_position(m->file->input, offset);
    ram->config->progress(ram->config->opaque);
    input_show_position(m->file->input, 0);
    return true;
}

static void count_mapped(const MappedBlock *m, uint64_t zero)
{
    InspectReport *report = m->ram->report;
    PageTally tally = {
        .plain = m->pages,
        .zero = zero,
        .bytes = m->pages * MIG_PAGE_SIZE,
    };

    page_tally_add(&report->block[m->block->index], &tally);
    page_tally_add(&report->pages, &tally);
    report->missing[m->block->index] -= tally.plain + tally.zero;
}

/* QEMU writes the bitmaps last; no guest has none but zero pages. */
static bool check_finished(InspectRam *ram, GError **errp)
{
    const RamList *list = ram->report->list;

    if (ram->report->pages.plain ||
        section_has_capability(&ram->report->preamble,
                               WIRE_CAP_IGNORE_SHARED)) {
        return true;
    }
    for (unsigned i = 0; i < list->count; i++) {
        ram->report->missing[i] = list->entry[i].length / MIG_PAGE_SIZE;
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_EOF,
                "no bitmap of the file (mapped-ram) has any page: it was not "
                "finished, and does not say which pages it has");
    return false;
}

bool inspect_ram_mapped(InspectRam *ram, const MappedFile *file,
                        GError **errp)
{
    for (unsigned i = 0; i < ram->blocks->count; i++) {
        const RamListEntry *entry = &ram->report->list->entry[i];
        MappedBlock m = { ram, &ram->blocks->block[i], file, 0 };
        bool ok = !entry->pages ||
                  mapped_ram_walk(file, entry, take_run, &m, errp);

        /* The bitmap names all pages, so what it does not name is zero. */
        count_mapped(&m, ok && entry->pages ? m.block->pages - m.pages : 0);
        if (!ok) {
            return false;
        }
    }
    return check_finished(ram, errp);
}

/* Sections */

/* Add the section's pages to the pass. */
static void note_section(InspectRam *ram)
{
    if (ram->begins_pass) {
        PageSet *old = ram->in_pass;

        ram->in_pass = ram->in_section;
        ram->in_section = old;
    } else {
        page_set_add_set(ram->in_pass, ram->in_section);
    }
    page_set_clear(ram->in_section);
}

static void count_section(InspectRam *ram)
{
    GArray *passes = ram->report->passes;
    InspectPass *pass;

    note_section(ram);
    if (ram->begins_pass) {
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

bool inspect_ram_use_packs(InspectRam *ram, uint32_t window)
{
    return ram_load_use_packs(ram->load, window);
}

bool inspect_ram_begin(InspectRam *ram, uint8_t type, uint64_t offset,
                       GError **errp)
{
    unsigned before = ram->report->sections->len;

    if (before == SECTIONS_MAX) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_UNSUPPORTED,
                    "more than %u sections", SECTIONS_MAX);
        return false;
    }
    ram->section = (InspectSection){ .offset = offset, .type = type };
    ram->begins_pass = before == 0 || type == WIRE_END;
    ram->in_progress = true;
    return true;
}

bool inspect_ram_record(InspectRam *ram, const Item *item, GError **errp)
{
    bool ok;

    begin_record(ram);
    ok = ram_load_record(ram->load, &item->record, errp);
    if (!ok) {
        inspect_ram_untake(ram);
    }
    return ok && (!item->ends_ram || ram_load_drain(ram->load, errp));
}

void inspect_ram_stop(InspectRam *ram)
{
    if (ram && ram->in_progress) {
        count_section(ram);
        ram->in_progress = false;
    }
}

void inspect_ram_end(InspectRam *ram)
{
    inspect_ram_stop(ram);
    if (!ram->report->postcopy) {
        ram->report->devices_offset = stream_position(ram->stream);
    }
    ram->report->ram_ended = ram->section.type == WIRE_END;
}

/* With x-ignore-shared and the like a block is listed, but has no pages. */
static bool has_pages(const InspectRam *ram, const RamBlock *block)
{
    return ram->report->missing[block->index] < block->pages;
}

static bool check_block_came(const InspectRam *ram, const RamBlock *block,
                             GError **errp)
{
    g_autofree char *shown = g_strescape(block->name, NULL);

    if (has_pages(ram, block)) {
        return true;
    }
    g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                "RAM block '%s' has no pages in this stream, so there is "
                "nothing to extract", shown);
    return false;
}

static void warn_missing(const InspectRam *ram, const RamBlock *block)
{
    uint64_t missing = ram->report->missing[block->index];
    g_autofree char *shown = g_strescape(block->name, NULL);

    if (missing) {
        g_ptr_array_add(ram->report->warnings, g_strdup_printf(
            "RAM block '%s': %" G_GUINT64_FORMAT " of its %" G_GUINT64_FORMAT
            " pages never came%s", shown, missing, block->pages,
            ram->report->discarded ? ", or came when they were old"
                                   : ", and are zero in the file"));
    }
}

static bool finish_extract(InspectRam *ram, const RamBlock *block,
                           GError **errp)
{
    if (!extract_finish(ram->extract[block->index], errp)) {
        return false;
    }
    ram->report->extracted++;
    warn_missing(ram, block);
    return true;
}

/*
 * Are pages missing because they went over side channels that are not here?
 * A QEMU before 8.0 does not say so, but sends zero pages alone.  No guest has
 * nothing else.
 */
static bool is_elsewhere(const InspectRam *ram)
{
    const InspectReport *report = ram->report;
    uint64_t missing = 0;

    for (unsigned i = 0; i < ram->blocks->count; i++) {
        missing += report->missing[i];
    }
    if (ram->config->sides || !missing ||
        section_has_capability(&report->preamble, WIRE_CAP_IGNORE_SHARED)) {
        return false;
    }
    return ram->elsewhere ||
           (report->pages.zero &&
            report->pages.plain + report->pages.compressed == 0);
}

static bool flush_all(const InspectRam *ram, GError **errp)
{
    for (unsigned i = 0; i < ram->blocks->count; i++) {
        if (!extract_flush(ram->extract[i], errp)) {
            return false;
        }
    }
    return true;
}

bool inspect_ram_flush(InspectRam *ram, GError **errp)
{
    ram_load_drain(ram->load, NULL);
    return flush_all(ram, errp);
}

const uint8_t *inspect_ram_memory(const InspectRam *ram, unsigned block)
{
    return extract_memory(ram->extract[block]);
}

uint64_t inspect_ram_next(const InspectRam *ram, unsigned block,
                          uint64_t page)
{
    return extract_next(ram->extract[block], page);
}

bool inspect_ram_came(const InspectRam *ram, unsigned block, uint64_t page)
{
    return !ram->report->missing[block] ||
           page_set_has(ram->all, ram->base[block] + page, 1);
}

bool inspect_ram_finish(InspectRam *ram, GError **errp)
{
    const RamBlocks *blocks = ram->blocks;

    if (!ram_load_drain(ram->load, errp)) {
        return false;
    }
    ram->report->ram_ended = true;
    if (is_elsewhere(ram)) {
        ram->report->elsewhere = true;
        return true;
    }
    if (ram->config->scratch) {
        return flush_all(ram, errp);
    }
    for (unsigned i = 0; i < blocks->count; i++) {
        if (ram->extract[i] &&
            !check_block_came(ram, &blocks->block[i], errp)) {
            return false;
        }
    }
    for (unsigned i = 0; i < blocks->count; i++) {
        if (ram->extract[i] && !finish_extract(ram, &blocks->block[i], errp)) {
            return false;
        }
    }
    return true;
}

static void warn_cut(const InspectRam *ram, const RamBlock *block)
{
    g_autofree char *shown = g_strescape(block->name, NULL);

    g_ptr_array_add(ram->report->warnings, g_strdup_printf(
        "RAM block '%s' was extracted as far as it came, so its pages may be "
        "old", shown));
}

bool inspect_ram_keep(InspectRam *ram, GError **errp)
{
    const RamBlocks *blocks = ram->blocks;

    /* What is at work may be good; what is not, was told already. */
    ram_load_drain(ram->load, NULL);
    if (ram->config->scratch || (ram->elsewhere && !ram->config->sides)) {
        return true;
    }
    for (unsigned i = 0; i < blocks->count; i++) {
        const RamBlock *block = &blocks->block[i];

        if (!ram->extract[i] || !has_pages(ram, block)) {
            continue;
        }
        if (!finish_extract(ram, block, errp)) {
            return false;
        }
        warn_cut(ram, block);
    }
    return true;
}
