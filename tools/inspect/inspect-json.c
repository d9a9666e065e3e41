/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The report for programs; docs/inspect.md says what its members are.
 *
 * The report is printed while it is made, because a stream may have a million
 * sections, which as one tree would take two gigabytes.
 */
#include <stdio.h>

#include "tools/inspect/fields-print.h"
#include "tools/inspect/json-out.h"
#include "tools/inspect/streams/inspect-report.h"
#include "migration/wire/names.h"
#include "migration/wire/wire.h"

static void add_tally(Out *o, const PageTally *t)
{
    out_int(o, "zero", t->zero);
    out_int(o, "plain", t->plain);
    out_int(o, "compressed", t->compressed);
    out_int(o, "compressed-bytes", t->packed);
    out_int(o, "record-bytes", t->bytes);
    if (t->packed) {
        char ratio[G_ASCII_DTOSTR_BUF_SIZE];

        out_value(o, "ratio");
        fputs(g_ascii_dtostr(ratio, sizeof(ratio), page_tally_ratio(t)),
              stdout);
    }
}

static void add_containers(Out *o, const Input *input)
{
    const GArray *containers = input_containers(input);

    out_begin(o, "containers", '[');
    for (unsigned i = 0; i < containers->len; i++) {
        const InputContainer *c =
            &g_array_index(containers, InputContainer, i);

        out_begin(o, NULL, '{');
        out_text(o, "kind", c->kind);
        out_text(o, "note", c->note);
        out_end(o, '}');
    }
    out_end(o, ']');
}

static void add_snapshots(Out *o, const Input *input)
{
    const GArray *snapshots = input_snapshots(input);

    out_begin(o, "snapshots", '[');
    for (unsigned i = 0; i < snapshots->len; i++) {
        const InputSnapshot *s = &g_array_index(snapshots, InputSnapshot, i);

        out_begin(o, NULL, '{');
        out_text(o, "id", s->id);
        out_text(o, "name", s->name);
        out_int(o, "size", s->size);
        out_int(o, "date", s->seconds);
        out_int(o, "clock", s->clock);
        out_end(o, '}');
    }
    out_end(o, ']');
}

static void add_texts(Out *o, const GPtrArray *texts)
{
    for (unsigned i = 0; i < texts->len; i++) {
        out_text(o, NULL, texts->pdata[i]);
    }
}

static void add_warnings(Out *o, const InspectReport *report)
{
    out_begin(o, "warnings", '[');
    if (report->input) {
        add_texts(o, input_warnings(report->input));
    }
    add_texts(o, report->warnings);
    out_end(o, ']');
}

static void add_preamble(Out *o, const InspectReport *report)
{
    const Preamble *p = &report->preamble;

    out_text(o, "machine", p->machine);
    out_begin(o, "capabilities", '[');
    for (unsigned i = 0; i < p->capabilities; i++) {
        out_text(o, NULL, p->capability[i]);
    }
    out_end(o, ']');
    if (p->has_uuid) {
        g_autofree char *uuid = section_uuid_text(p->uuid);

        out_text(o, "uuid", uuid);
    }
    out_bool(o, "ferry", report->ferry);
}

static void add_commands(Out *o, const InspectReport *report)
{
    out_begin(o, "commands", '[');
    for (unsigned i = 0; i < report->commands->len; i++) {
        const InspectCommand *c =
            &g_array_index(report->commands, InspectCommand, i);

        out_begin(o, NULL, '{');
        out_int(o, "offset", c->offset);
        out_text(o, "command", wire_command_name(c->command.number));
        if (c->command.number == WIRE_CMD_PING ||
            c->command.number == WIRE_CMD_FERRY_PACKS) {
            out_int(o, "value", c->command.value);
        }
        out_end(o, '}');
    }
    out_end(o, ']');
}

static void add_blocks(Out *o, const InspectReport *report)
{
    out_begin(o, "blocks", '[');
    for (unsigned i = 0; i < report->list->count; i++) {
        const RamListEntry *e = &report->list->entry[i];

        out_begin(o, NULL, '{');
        out_text(o, "name", e->name);
        out_int(o, "length", e->length);
        if (e->page_size) {
            out_int(o, "page-size", e->page_size);
        }
        if (e->has_address) {
            out_int(o, "address", e->address);
        }
        add_tally(o, &report->block[i]);
        out_int(o, "missing", report->missing[i]);
        out_end(o, '}');
    }
    out_end(o, ']');
}

static void add_passes(Out *o, const InspectReport *report)
{
    out_begin(o, "passes", '[');
    for (unsigned i = 0; i < report->passes->len; i++) {
        const InspectPass *p = &g_array_index(report->passes, InspectPass, i);

        out_begin(o, NULL, '{');
        out_int(o, "sections", p->sections);
        out_bool(o, "final", p->final);
        add_tally(o, &p->pages);
        out_end(o, '}');
    }
    out_end(o, ']');
}

static void add_sections(Out *o, const InspectReport *report)
{
    out_begin(o, "sections", '[');
    for (unsigned i = 0; i < report->sections->len; i++) {
        const InspectSection *s =
            &g_array_index(report->sections, InspectSection, i);

        out_begin(o, NULL, '{');
        out_int(o, "offset", s->offset);
        out_int(o, "size", s->size);
        out_text(o, "type", s->type == WIRE_END ? "END" : "PART");
        out_int(o, "pass", s->pass);
        add_tally(o, &s->pages);
        out_end(o, '}');
    }
    out_end(o, ']');
}

static void add_ram(Out *o, const InspectReport *report)
{
    out_begin(o, "ram", '{');
    out_int(o, "total", report->list->total);
    add_tally(o, &report->pages);
    out_int(o, "repeated", report->repeated);
    out_int(o, "discarded", report->discarded);
    add_blocks(o, report);
    add_passes(o, report);
    add_sections(o, report);
    out_end(o, '}');
}

static void add_devices(Out *o, const InspectReport *report, bool fields)
{
    out_begin(o, "devices", '[');
    for (unsigned i = 0; i < report->devices->len; i++) {
        fields_print_json(o, &g_array_index(report->devices, InspectDevice, i),
                          fields ? "" : NULL);
    }
    out_end(o, ']');
}

/* Sections of anything else that is iterable. */
static void add_others(Out *o, const InspectReport *report)
{
    out_begin(o, "iterables", '[');
    for (unsigned i = 0; i < report->others->len; i++) {
        const InspectOther *other =
            &g_array_index(report->others, InspectOther, i);

        out_begin(o, NULL, '{');
        out_text(o, "name", other->name);
        out_int(o, "id", other->id);
        out_int(o, "instance", other->instance);
        out_int(o, "version", other->version);
        out_int(o, "offset", other->offset);
        out_int(o, "sections", other->sections);
        out_int(o, "size", other->bytes);
        out_end(o, '}');
    }
    out_end(o, ']');
}

static void add_tail(Out *o, const InspectReport *report)
{
    out_int(o, "devices-offset", report->devices_offset);
    out_int(o, "devices-size", report->devices_size);
    if (report->vmdescription) {
        out_int(o, "vmdescription-offset", report->vmdescription_offset);
        out_int(o, "vmdescription-size", report->vmdescription_size);
        out_node(o, "vmdescription", report->vmdescription);
    }
    out_bool(o, "pages-elsewhere", report->elsewhere);
    out_bool(o, "postcopy", report->postcopy);
    out_bool(o, "handed-over", report->handed_over);
    out_int(o, "trailing", report->trailing);
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

static void add_error(Out *o, const GError *error)
{
    out_begin(o, "error", '{');
    out_text(o, "kind", error_kind(error));
    out_text(o, "message", error->message);
    out_end(o, '}');
}

void inspect_print_json(const InspectReport *report, const char *input,
                        bool verified, bool fields, const GError *error)
{
    Out out = { .first = true };
    Out *o = &out;

    out_begin(o, NULL, '{');
    out_text(o, "stream", input);
    if (report->input) {
        add_containers(o, report->input);
        add_snapshots(o, report->input);
    }
    add_warnings(o, report);
    out_int(o, "bytes", report->bytes);
    out_bool(o, "complete", report->complete);
    out_bool(o, "verified", verified && report->complete);
    if (error) {
        add_error(o, error);
    }
    if (report->has_preamble) {
        add_preamble(o, report);
    }
    add_commands(o, report);
    if (report->list) {
        add_ram(o, report);
    }
    add_others(o, report);
    add_devices(o, report, fields);
    if (report->ram_ended) {
        add_tail(o, report);
    }
    out_end(o, '}');
    putchar('\n');
}
