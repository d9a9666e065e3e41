/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The handle keeps what reading a stream leaves: the report, the memory, and,
 * if it is known, where that is in the machine.
 */
#include <string.h>

#include "ferry/inspect.h"
#include "tools/inspect/converters/layout.h"
#include "tools/inspect/devices/field-path.h"
#include "tools/inspect/devices/field-value.h"
#include "tools/inspect/inspect-inputs.h"
#include "tools/inspect/streams/inspect-stream.h"

#define THREADS 2u

struct MigInspect {
    Input *input;
    InspectReport report;
    InspectConfig config; /* the memory refers to it */
    char *scratch;
    InspectRam *ram;
    GArray *parts; /* of LayoutPart; NULL: the layout is not known, */
    GError *why;   /* because of this */
};

static void ignore_progress(void *opaque)
{
}

static bool open_input(MigInspect *inspect, const char *path,
                       const char *snapshot, GError **errp)
{
    IoUri uri = { .kind = IO_URI_FILE, .path = (char *)path };
    const InspectOperand operand = { path, &uri };

    inspect->input = inputs_open_one(&operand, snapshot, errp);
    if (inspect->input && !input_has_stream(inspect->input)) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                    "'%s' has several snapshots", path);
        return false;
    }
    return inspect->input != NULL;
}

static void find_layout(MigInspect *inspect)
{
    g_autoptr(GArray) none = g_array_new(FALSE, FALSE, sizeof(LayoutPlace));
    const LayoutConfig config = { .place = none };

    inspect->parts = layout_new(&inspect->report, &config, &inspect->why);
}

MigInspect *mig_inspect_open(const char *path, const char *snapshot,
                             const char *scratch, GError **errp)
{
    MigInspect *inspect = g_new0(MigInspect, 1);

    inspect->scratch = g_strdup(scratch ? scratch : "/var/tmp");
    inspect_report_init(&inspect->report);
    inspect->config = (InspectConfig){
        .scratch = inspect->scratch,
        .keep = &inspect->ram,
        .threads = THREADS,
        .to_the_end = true,
        .progress = ignore_progress,
    };
    if (!open_input(inspect, path, snapshot, errp) ||
        !inspect_stream(inspect->input, &inspect->config, &inspect->report,
                        errp)) {
        mig_inspect_close(inspect);
        return NULL;
    }
    find_layout(inspect);
    return inspect;
}

void mig_inspect_close(MigInspect *inspect)
{
    if (!inspect) {
        return;
    }
    if (inspect->parts) {
        g_array_unref(inspect->parts);
    }
    g_clear_error(&inspect->why);
    inspect_ram_free(inspect->ram);
    inspect_report_destroy(&inspect->report);
    input_free(inspect->input);
    g_free(inspect->scratch);
    g_free(inspect);
}

const char *mig_inspect_machine(const MigInspect *inspect)
{
    return inspect->report.preamble.machine;
}

bool mig_inspect_block(const MigInspect *inspect, unsigned number,
                       MigInspectBlock *block)
{
    const RamList *list = inspect->report.list;

    if (number >= list->count) {
        return false;
    }
    block->name = list->entry[number].name;
    block->memory = inspect_ram_memory(inspect->ram, number);
    block->size = list->entry[number].length;
    return true;
}

uint64_t mig_inspect_next(const MigInspect *inspect, unsigned block,
                          uint64_t offset)
{
    uint64_t size = inspect->report.list->entry[block].length;
    uint64_t page = offset / MIG_PAGE_SIZE + (offset % MIG_PAGE_SIZE != 0);

    return page < size / MIG_PAGE_SIZE
               ? inspect_ram_next(inspect->ram, block, page) * MIG_PAGE_SIZE
               : size;
}

static const InspectDevice *device_at(const MigInspect *inspect,
                                      unsigned number)
{
    return number < inspect->report.devices->len
               ? &g_array_index(inspect->report.devices, InspectDevice, number)
               : NULL;
}

bool mig_inspect_device(const MigInspect *inspect, unsigned number,
                        MigInspectDevice *device)
{
    const InspectDevice *d = device_at(inspect, number);

    if (!d) {
        return false;
    }
    device->name = d->name;
    device->instance = d->instance;
    device->version = d->version;
    device->content = inspect_device_content(d);
    device->size = d->kept_size;
    return true;
}

typedef struct First {
    MigInspectField *field;
    bool found;
} First;

static void take_first(void *opaque, const Field *field)
{
    First *first = opaque;

    if (!first->found) {
        first->found = true;
        *first->field = (MigInspectField){ field->type, field->at, field->size,
                                           field->count };
    }
}

bool mig_inspect_field(const MigInspect *inspect, const char *path,
                       MigInspectField *field)
{
    First first = { .field = field };
    const FieldsVisitor visitor = { .value = take_first, .opaque = &first };
    const InspectDevice *d;
    unsigned unused;

    for (unsigned i = 0; !first.found && (d = device_at(inspect, i)); i++) {
        const char *rest = field_path_device(path, d);

        if (rest) {
            g_free(field_path_walk(d, rest, &visitor, &unused));
        }
    }
    return first.found;
}

bool mig_inspect_number(const MigInspectField *field, size_t element,
                        uint64_t *number)
{
    const Field inner = {
        .type = field->type,
        .at = field->at,
        .size = field->size,
        .count = field->count,
    };

    if (element >= field->count || field_kind(&inner) == FIELD_RAW) {
        return false;
    }
    *number = field_number(&inner, element);
    return true;
}

static const LayoutPart *find_part(const MigInspect *inspect, uint64_t address)
{
    for (unsigned i = 0; i < inspect->parts->len; i++) {
        const LayoutPart *part =
            &g_array_index(inspect->parts, LayoutPart, i);

        if (address >= part->address && address - part->address < part->size) {
            return part;
        }
    }
    return NULL;
}

bool mig_inspect_read(const MigInspect *inspect, uint64_t address, void *buf,
                      size_t size, GError **errp)
{
    uint8_t *to = buf;

    if (!inspect->parts) {
        g_set_error(errp, inspect->why->domain, inspect->why->code, "%s",
                    inspect->why->message);
        return false;
    }
    while (size) {
        const LayoutPart *part = find_part(inspect, address);
        uint64_t at;
        size_t piece;

        if (!part) {
            g_set_error(errp, MIG_ERROR, MIG_ERROR_OPTION,
                        "there is no memory at 0x%" G_GINT64_MODIFIER "x",
                        address);
            return false;
        }
        at = address - part->address;
        piece = (size_t)MIN(size, part->size - at);
        memcpy(to, inspect_ram_memory(inspect->ram, part->block) +
                       part->offset + at, piece);
        to += piece;
        address += piece;
        size -= piece;
    }
    return true;
}
