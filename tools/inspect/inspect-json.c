/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The report for programs; docs/inspect.md says what its members are. */
#include <stdio.h>

#include "tools/inspect/inspect-report.h"
#include "migration/wire-names.h"
#include "migration/wire.h"

static void add_int(JsonBuilder *b, const char *name, uint64_t value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_int_value(b, (gint64)value);
}

static void add_bool(JsonBuilder *b, const char *name, bool value)
{
    json_builder_set_member_name(b, name);
    json_builder_add_boolean_value(b, value);
}

/* Bytes of a stream need not be UTF-8. */
static void add_text(JsonBuilder *b, const char *name, const char *value)
{
    g_autofree char *valid = g_utf8_make_valid(value, -1);

    json_builder_set_member_name(b, name);
    json_builder_add_string_value(b, valid);
}

static void begin_array(JsonBuilder *b, const char *name)
{
    json_builder_set_member_name(b, name);
    json_builder_begin_array(b);
}

static void add_tally(JsonBuilder *b, const PageTally *t)
{
    add_int(b, "zero", t->zero);
    add_int(b, "plain", t->plain);
    add_int(b, "compressed", t->compressed);
    add_int(b, "compressed-bytes", t->packed);
    add_int(b, "record-bytes", t->bytes);
    if (t->packed) {
        json_builder_set_member_name(b, "ratio");
        json_builder_add_double_value(b, page_tally_ratio(t));
    }
}

static void add_preamble(JsonBuilder *b, const InspectReport *report)
{
    const Preamble *p = &report->preamble;

    add_text(b, "machine", p->machine);
    begin_array(b, "capabilities");
    for (unsigned i = 0; i < p->capabilities; i++) {
        g_autofree char *valid = g_utf8_make_valid(p->capability[i], -1);

        json_builder_add_string_value(b, valid);
    }
    json_builder_end_array(b);
    if (p->has_uuid) {
        g_autofree char *uuid = section_uuid_text(p->uuid);

        add_text(b, "uuid", uuid);
    }
    add_bool(b, "ferry", report->ferry);
}

static void add_commands(JsonBuilder *b, const InspectReport *report)
{
    begin_array(b, "commands");
    for (unsigned i = 0; i < report->commands->len; i++) {
        const InspectCommand *c =
            &g_array_index(report->commands, InspectCommand, i);

        json_builder_begin_object(b);
        add_int(b, "offset", c->offset);
        add_text(b, "command", wire_command_name(c->command.number));
        if (c->command.number == WIRE_CMD_PING) {
            add_int(b, "value", c->command.value);
        }
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void add_blocks(JsonBuilder *b, const InspectReport *report)
{
    begin_array(b, "blocks");
    for (unsigned i = 0; i < report->list->count; i++) {
        const RamListEntry *e = &report->list->entry[i];

        json_builder_begin_object(b);
        add_text(b, "name", e->name);
        add_int(b, "length", e->length);
        if (e->page_size) {
            add_int(b, "page-size", e->page_size);
        }
        if (e->address) {
            add_int(b, "address", e->address);
        }
        add_tally(b, &report->block[i]);
        add_int(b, "missing", report->missing[i]);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void add_passes(JsonBuilder *b, const InspectReport *report)
{
    begin_array(b, "passes");
    for (unsigned i = 0; i < report->passes->len; i++) {
        const InspectPass *p = &g_array_index(report->passes, InspectPass, i);

        json_builder_begin_object(b);
        add_int(b, "sections", p->sections);
        add_bool(b, "final", p->final);
        add_tally(b, &p->pages);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void add_sections(JsonBuilder *b, const InspectReport *report)
{
    begin_array(b, "sections");
    for (unsigned i = 0; i < report->sections->len; i++) {
        const InspectSection *s =
            &g_array_index(report->sections, InspectSection, i);

        json_builder_begin_object(b);
        add_int(b, "offset", s->offset);
        add_int(b, "size", s->size);
        add_text(b, "type", s->type == WIRE_END ? "END" : "PART");
        add_int(b, "pass", s->pass);
        add_tally(b, &s->pages);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
}

static void add_ram(JsonBuilder *b, const InspectReport *report)
{
    json_builder_set_member_name(b, "ram");
    json_builder_begin_object(b);
    add_int(b, "total", report->list->total);
    add_tally(b, &report->pages);
    add_int(b, "repeated", report->repeated);
    add_blocks(b, report);
    add_passes(b, report);
    add_sections(b, report);
    json_builder_end_object(b);
}

static void add_devices(JsonBuilder *b, const InspectReport *report)
{
    add_int(b, "devices-offset", report->devices_offset);
    add_int(b, "devices-size", report->devices_size);
    if (!report->vmdescription) {
        return;
    }
    begin_array(b, "devices");
    for (unsigned i = 0; i < report->devices->len; i++) {
        const InspectDevice *d =
            &g_array_index(report->devices, InspectDevice, i);

        json_builder_begin_object(b);
        add_text(b, "name", d->name);
        add_int(b, "id", d->id);
        add_int(b, "instance", d->instance);
        add_int(b, "version", d->version);
        add_int(b, "offset", d->offset);
        add_int(b, "size", d->size);
        json_builder_end_object(b);
    }
    json_builder_end_array(b);
    add_int(b, "vmdescription-offset", report->vmdescription_offset);
    add_int(b, "vmdescription-size", report->vmdescription_size);
    json_builder_set_member_name(b, "vmdescription");
    json_builder_add_value(b, json_node_copy(report->vmdescription));
}

static const char *error_kind(const GError *error)
{
    static const char *const kinds[] = {
        [MIG_ERROR_EOF] = "eof",
        [MIG_ERROR_STREAM] = "stream",
        [MIG_ERROR_UNSUPPORTED] = "unsupported",
    };

    return error->domain == MIG_ERROR &&
           error->code < (int)G_N_ELEMENTS(kinds) && kinds[error->code]
               ? kinds[error->code] : "other";
}

static void add_error(JsonBuilder *b, const GError *error)
{
    json_builder_set_member_name(b, "error");
    json_builder_begin_object(b);
    add_text(b, "kind", error_kind(error));
    add_text(b, "message", error->message);
    json_builder_end_object(b);
}

static JsonNode *report_node(const InspectReport *report, const char *input,
                             bool verified, const GError *error)
{
    g_autoptr(JsonBuilder) b = json_builder_new();

    json_builder_begin_object(b);
    add_text(b, "stream", input);
    add_int(b, "bytes", report->bytes);
    add_bool(b, "complete", report->complete);
    add_bool(b, "verified", verified && report->complete);
    if (error) {
        add_error(b, error);
    }
    if (report->has_preamble) {
        add_preamble(b, report);
    }
    add_commands(b, report);
    if (report->list) {
        add_ram(b, report);
    }
    if (report->ram_ended) {
        add_devices(b, report);
        add_bool(b, "handed-over", report->handed_over);
        add_int(b, "trailing", report->trailing);
    }
    json_builder_end_object(b);
    return json_builder_get_root(b);
}

void inspect_print_json(const InspectReport *report, const char *input,
                        bool verified, const GError *error)
{
    JsonNode *root = report_node(report, input, verified, error);
    g_autofree char *text = json_to_string(root, TRUE);

    json_node_unref(root);
    puts(text);
}
