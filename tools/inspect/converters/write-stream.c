/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * All that a capability changes is left out, so that no option of the QEMU that
 * loads the stream has to be set: the list of capabilities, page sizes and
 * addresses of blocks, commands.  What belongs to the guest stays as it was:
 * machine, UUID, ids of sections, devices with every byte, the vmdescription.
 *
 * RAM is one PART, and the END has no pages, as of a guest that was stopped
 * before.  Zero pages are written, too: a QEMU that loads the stream has put
 * firmware where they are.  Pages that never came are not: virtio-mem has taken
 * them from the guest.
 *
 * Devices that came before RAM come before it again, because QEMU wants to know
 * from them what the memory looks like.
 */
#include "tools/inspect/converters/write-stream.h"

#include <gio/gunixoutputstream.h>
#include <string.h>

#include "migration/wire/ram-record.h"
#include "migration/wire/section.h"

#define DIRTY_BITMAP "dirty-bitmap"

static bool refuse(GError **errp, const char *what, const char *name)
{
    g_autofree char *shown = g_strescape(name, NULL);

    g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                "no stream is written: %s '%s'", what, shown);
    return false;
}

/* Are all devices known, which without a vmdescription are told apart by
 * guessing? */
static bool has_all_devices(const InspectReport *report)
{
    const InspectDevice *last =
        report->devices->len ? &g_array_index(report->devices, InspectDevice,
                                              report->devices->len - 1) : NULL;
    uint64_t end = report->devices_offset + report->devices_size;

    return report->vmdescription || report->postcopy ||
           (last ? last->offset + last->size == end
                 : report->devices_size == 0);
}

/* Dirty bitmaps are not the guest's; all else may be. */
static bool check_others(const InspectReport *report, GError **errp)
{
    for (unsigned i = 0; i < report->others->len; i++) {
        const char *name =
            g_array_index(report->others, InspectOther, i).name;

        if (strcmp(name, DIRTY_BITMAP)) {
            return refuse(errp, "this section cannot be carried over:", name);
        }
        g_ptr_array_add(report->warnings, g_strdup(
            "the new stream has no dirty bitmaps"));
    }
    return true;
}

static bool check_devices(const InspectReport *report, GError **errp)
{
    for (unsigned i = 0; i < report->devices->len; i++) {
        const InspectDevice *d =
            &g_array_index(report->devices, InspectDevice, i);

        if (!d->kept) {
            return refuse(errp, "too large is device", d->name);
        }
    }
    return has_all_devices(report) ||
           refuse(errp, "devices cannot be told apart behind",
                  report->preamble.machine);
}

static bool check(const InspectReport *report, GError **errp)
{
    if (section_has_capability(&report->preamble, WIRE_CAP_IGNORE_SHARED)) {
        return refuse(errp, "pages are not in it, because of",
                      WIRE_CAP_IGNORE_SHARED);
    }
    return check_others(report, errp) && check_devices(report, errp);
}

/* The frame */

static void put_configuration(Stream *s, const Preamble *p)
{
    stream_put_u8(s, WIRE_CONFIGURATION);
    stream_put_be32(s, (uint32_t)strlen(p->machine));
    stream_put_bytes(s, p->machine, strlen(p->machine));
    if (p->has_page_bits) {
        stream_put_u8(s, WIRE_SUBSECTION);
        stream_put_name(s, WIRE_CONFIG_PAGE_BITS);
        stream_put_be32(s, 1);
        stream_put_be32(s, p->page_bits);
    }
    if (p->has_uuid) {
        stream_put_u8(s, WIRE_SUBSECTION);
        stream_put_name(s, WIRE_CONFIG_UUID);
        stream_put_be32(s, 1);
        stream_put_bytes(s, p->uuid, sizeof(p->uuid));
    }
}

static void put_preamble(Stream *s, const Preamble *p)
{
    stream_put_be32(s, WIRE_MAGIC);
    stream_put_be32(s, WIRE_VERSION);
    /* Machine types before 2.4 have none. */
    if (p->machine[0]) {
        put_configuration(s, p);
    }
}

static void put_footer(Stream *s, const InspectReport *report, uint32_t id)
{
    if (!report->lacks_footers) {
        section_put_footer(s, id);
    }
}

static void begin_ram(Stream *s, const InspectReport *report, uint8_t type)
{
    SectionHeader header = {
        .type = type,
        .id = report->ram_id,
        .name = WIRE_RAM_NAME,
        .instance = WIRE_RAM_INSTANCE,
        .version = WIRE_RAM_VERSION,
    };

    section_put_header(s, &header);
}

static void end_ram(Stream *s, const InspectReport *report)
{
    ram_record_put_eos(s);
    put_footer(s, report, report->ram_id);
}

/* RAM */

static void put_blocks(Stream *s, const InspectReport *report)
{
    begin_ram(s, report, WIRE_START);
    ram_record_put_mem_size(s, report->list->total);
    for (unsigned i = 0; i < report->list->count; i++) {
        stream_put_name(s, report->list->entry[i].name);
        stream_put_be64(s, report->list->entry[i].length);
    }
    end_ram(s, report);
}

static bool is_zero_page(const uint8_t *page)
{
    return page[0] == 0 && !memcmp(page, page + 1, MIG_PAGE_SIZE - 1);
}

/* content: NULL for a zero page.  *name is NULL once it was put. */
static void put_page(Stream *s, uint64_t page, const uint8_t *content,
                     const char **name)
{
    uint8_t head[WIRE_RECORD_HEAD_MAX];
    uint64_t offset = page * MIG_PAGE_SIZE;

    if (content && !is_zero_page(content)) {
        stream_put_bytes(s, head, ram_record_put_plain(head, offset, *name));
        stream_put_bytes(s, content, MIG_PAGE_SIZE);
    } else {
        stream_put_bytes(s, head, ram_record_put_zero(head, offset, *name));
    }
    *name = NULL;
}

/* Only pages that may have content are looked at. */
static void put_block(Stream *s, const RamListEntry *entry,
                      const InspectRam *ram, unsigned block)
{
    const uint8_t *memory = inspect_ram_memory(ram, block);
    const char *name = entry->name;
    uint64_t next = inspect_ram_next(ram, block, 0);

    for (uint64_t page = 0; page < entry->length / MIG_PAGE_SIZE; page++) {
        if (page == next) {
            put_page(s, page, memory + page * MIG_PAGE_SIZE, &name);
            next = inspect_ram_next(ram, block, page + 1);
        } else if (inspect_ram_came(ram, block, page)) {
            put_page(s, page, NULL, &name);
        }
    }
}

static bool put_ram(Stream *s, const InspectReport *report,
                    const InspectRam *ram, GError **errp)
{
    put_blocks(s, report);
    begin_ram(s, report, WIRE_PART);
    for (unsigned i = 0; i < report->list->count; i++) {
        put_block(s, &report->list->entry[i], ram, i);
        if (!stream_flush(s, errp)) {
            return false;
        }
    }
    end_ram(s, report);
    begin_ram(s, report, WIRE_END);
    end_ram(s, report);
    return true;
}

/* Devices */

static void put_device(Stream *s, const InspectReport *report,
                       const InspectDevice *d)
{
    SectionHeader header = {
        .type = WIRE_FULL,
        .id = d->id,
        .instance = d->instance,
        .version = d->version,
    };

    g_strlcpy(header.name, d->name, sizeof(header.name));
    section_put_header(s, &header);
    stream_put_bytes(s, inspect_device_content(d), d->kept_size);
    put_footer(s, report, d->id);
}

static void put_devices(Stream *s, const InspectReport *report, bool early)
{
    for (unsigned i = 0; i < report->devices->len; i++) {
        const InspectDevice *d =
            &g_array_index(report->devices, InspectDevice, i);

        if ((d->offset < report->ram_offset) == early) {
            put_device(s, report, d);
        }
    }
}

/* As it was, with its head. */
static void put_description(Stream *s, const InspectReport *report)
{
    size_t at = (size_t)(report->vmdescription_offset - report->tail_offset);

    stream_put_u8(s, WIRE_EOF);
    if (report->vmdescription) {
        stream_put_bytes(s, report->tail->data + at,
                         report->vmdescription_size);
    }
}

static bool put_all(Stream *s, const InspectReport *report,
                    const InspectRam *ram, GError **errp)
{
    put_preamble(s, &report->preamble);
    put_devices(s, report, true);
    if (!put_ram(s, report, ram, errp)) {
        return false;
    }
    put_devices(s, report, false);
    put_description(s, report);
    return stream_flush(s, errp);
}

bool write_stream(int fd, const InspectReport *report, const InspectRam *ram,
                  const LayoutConfig *unused, GError **errp)
{
    GOutputStream *out;
    IoChannel *channel;
    Stream *s;
    bool ok;

    if (!check(report, errp)) {
        return false;
    }
    out = g_unix_output_stream_new(fd, FALSE);
    channel = io_channel_new("the new stream", NULL, out);
    s = stream_new(channel);
    ok = put_all(s, report, ram, errp);
    stream_free(s);
    io_channel_free(channel);
    g_object_unref(out);
    return ok;
}
