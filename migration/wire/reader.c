/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "migration/wire/reader.h"

#include <string.h>

#include "migration/wire/wire.h"

/* What comes next. */
typedef enum {
    AT_PREAMBLE,
    AT_ITEM,
    AT_BLOCKS,
    AT_RECORD,
    AT_FOOTER,
    BEHIND_EOF,
} Place;

struct Reader {
    Stream *stream;
    ReaderConfig config;
    Place place;
    RamListForm form; /* of the list of blocks, as the items before it say */
    bool has_ram;     /* the ram section has begun */
    uint32_t ram_id;  /* has_ram: its id */
    bool lacks_footers;
    Item item;
};

Reader *reader_new(Stream *stream, const ReaderConfig *config)
{
    Reader *r = g_new0(Reader, 1);

    r->stream = stream;
    r->config = *config;
    return r;
}

void reader_free(Reader *r)
{
    if (r) {
        ram_list_free(r->item.blocks);
        g_free(r);
    }
}

bool reader_has_footers(const Reader *r)
{
    return !r->lacks_footers;
}

static bool get_preamble(Reader *r, GError **errp)
{
    const Preamble *p = &r->item.preamble;

    r->item.type = ITEM_PREAMBLE;
    if (!(r->config.may_lack_configuration
              ? section_get_old_preamble : section_get_preamble)(
            r->stream, &r->item.preamble, errp)) {
        return false;
    }
    r->form.addresses = section_has_capability(p, WIRE_CAP_IGNORE_SHARED);
    r->form.mapped = section_has_capability(p, WIRE_CAP_MAPPED_RAM);
    r->place = AT_ITEM;
    return true;
}

static bool get_command(Reader *r, GError **errp)
{
    r->item.type = ITEM_COMMAND;
    if (!section_get_command_head(r->stream, &r->item.command, errp)) {
        return false;
    }
    if (r->item.command.number == WIRE_CMD_POSTCOPY_ADVISE) {
        r->form.page_sizes = true;
    }
    return true;
}

/* A START gives its id to the section that it names, even if another one had
 * that id before. */
static void note_start(Reader *r, const SectionHeader *section)
{
    if (!strcmp(section->name, WIRE_RAM_NAME)) {
        r->has_ram = true;
        r->ram_id = section->id;
    } else if (section->id == r->ram_id) {
        r->has_ram = false;
    }
}

static bool get_section(Reader *r, uint8_t type, GError **errp)
{
    SectionHeader *section = &r->item.section;

    r->item.type = ITEM_SECTION;
    *section = (SectionHeader){ .type = type };
    if (!section_get_header(r->stream, section, errp)) {
        return false;
    }
    if (type == WIRE_START) {
        note_start(r, section);
    }
    r->item.is_ram = type != WIRE_FULL && r->has_ram &&
                     section->id == r->ram_id;
    if (r->item.is_ram) {
        r->place = type == WIRE_START ? AT_BLOCKS : AT_RECORD;
    } else {
        r->place = AT_FOOTER;
    }
    return true;
}

void reader_resume(Reader *r, uint8_t type, uint32_t id)
{
    r->item.section = (SectionHeader){
        type, id, WIRE_RAM_NAME, WIRE_RAM_INSTANCE, WIRE_RAM_VERSION,
    };
    r->item.is_ram = r->has_ram = true;
    r->ram_id = id;
    r->place = type == WIRE_START ? AT_BLOCKS : AT_RECORD;
}

static bool get_item(Reader *r, GError **errp)
{
    uint8_t type;

    if (!stream_get_u8(r->stream, &type, errp)) {
        return false;
    }
    switch (type) {
    case WIRE_COMMAND:
        return get_command(r, errp);
    case WIRE_START:
    case WIRE_PART:
    case WIRE_END:
    case WIRE_FULL:
        return get_section(r, type, errp);
    case WIRE_EOF:
        r->item.type = ITEM_EOF;
        r->place = BEHIND_EOF;
        return true;
    default:
        stream_bad(r->stream, errp, "unknown section type 0x%02x", type);
        return false;
    }
}

static bool get_blocks(Reader *r, GError **errp)
{
    Item *item = &r->item;

    item->type = ITEM_BLOCKS;
    ram_list_free(item->blocks);
    item->blocks = ram_list_get(r->stream, r->form, r->config.max_ram, errp);
    r->place = AT_FOOTER;
    return item->blocks != NULL;
}

static bool get_record(Reader *r, GError **errp)
{
    Item *item = &r->item;
    bool is_eos;

    item->type = ITEM_RECORD;
    item->ends_ram = false;
    if (!ram_record_get(r->stream, &item->record, errp)) {
        return false;
    }
    is_eos = item->record.type == WIRE_RAM_EOS;
    item->ends_ram = is_eos && item->section.type == WIRE_END;
    if (is_eos) {
        r->place = AT_FOOTER;
    }
    return true;
}

/* The end of the first section shows whether there are footers. */
static bool look_for_footers(Reader *r, GError **errp)
{
    uint8_t type;

    if (!r->config.may_lack_footers) {
        return true;
    }
    if (!stream_peek_u8(r->stream, &type, errp)) {
        return false;
    }
    r->config.may_lack_footers = false;
    r->lacks_footers = type <= WIRE_FULL || type == WIRE_COMMAND;
    return true;
}

static bool get_footer(Reader *r, GError **errp)
{
    r->item.type = ITEM_FOOTER;
    r->place = AT_ITEM;
    return look_for_footers(r, errp) &&
           (r->lacks_footers ||
            section_get_footer(r->stream, r->item.section.id, errp));
}

static bool get_rest(Reader *r, GError **errp)
{
    uint8_t type;

    if (!stream_get_u8(r->stream, &type, errp)) {
        return false;
    }
    if (type == WIRE_COMMAND) {
        return get_command(r, errp);
    }
    if (type != WIRE_VMDESCRIPTION) {
        stream_bad(r->stream, errp, "section type 0x%02x after the end", type);
        return false;
    }
    r->item.type = ITEM_DESCRIPTION;
    if (!stream_get_be32(r->stream, &r->item.description, errp)) {
        return false;
    }
    if (r->item.description > WIRE_VMDESC_MAX) {
        stream_bad(r->stream, errp, "a vmdescription of %u bytes",
                   r->item.description);
        return false;
    }
    return true;
}

Item *reader_next(Reader *r, GError **errp)
{
    static bool (*const get[])(Reader *r, GError **errp) = {
        [AT_PREAMBLE] = get_preamble,
        [AT_ITEM] = get_item,
        [AT_BLOCKS] = get_blocks,
        [AT_RECORD] = get_record,
        [AT_FOOTER] = get_footer,
        [BEHIND_EOF] = get_rest,
    };

    r->item.position = stream_position(r->stream);
    return get[r->place](r, errp) ? &r->item : NULL;
}
