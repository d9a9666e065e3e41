/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The report for programs; docs/inspect.md says what its members are.
 *
 * The report is printed while it is made, because a stream may have a million
 * sections, which as one tree would take two gigabytes.
 */
#include <stdio.h>

#include "tools/inspect/streams/inspect-report.h"
#include "migration/wire/names.h"
#include "migration/wire/wire.h"

typedef struct Out {
    unsigned depth;
    bool first; /* the next value is its object's or array's first: no comma */
} Out;

/* Begin a value.  name is that of a member, without need of escapes, or
 * NULL. */
static void begin_value(Out *o, const char *name)
{
    if (!o->first) {
        putchar(',');
    }
    if (o->depth) {
        printf("\n%*s", (int)o->depth * 2, "");
    }
    if (name) {
        printf("\"%s\" : ", name);
    }
    o->first = false;
}

/* Begin an object ('{') or array ('['). */
static void begin(Out *o, const char *name, char bracket)
{
    begin_value(o, name);
    putchar(bracket);
    o->depth++;
    o->first = true;
}

static void end(Out *o, char bracket)
{
    o->depth--;
    if (!o->first) {
        printf("\n%*s", (int)o->depth * 2, "");
    }
    putchar(bracket);
    o->first = false;
}

static void add_int(Out *o, const char *name, uint64_t value)
{
    begin_value(o, name);
    printf("%" G_GINT64_FORMAT, (gint64)value);
}

static void add_bool(Out *o, const char *name, bool value)
{
    begin_value(o, name);
    fputs(value ? "true" : "false", stdout);
}

static void add_node(Out *o, const char *name, JsonNode *node)
{
    g_autofree char *text = json_to_string(node, TRUE);

    begin_value(o, name);
    fputs(text, stdout);
}

/* A text from the stream need not be UTF-8. */
static void add_text(Out *o, const char *name, const char *value)
{
    g_autofree char *valid = g_utf8_make_valid(value, -1);
    JsonNode *node = json_node_init_string(json_node_alloc(), valid);

    add_node(o, name, node);
    json_node_unref(node);
}

static void add_tally(Out *o, const PageTally *t)
{
    add_int(o, "zero", t->zero);
    add_int(o, "plain", t->plain);
    add_int(o, "compressed", t->compressed);
    add_int(o, "compressed-bytes", t->packed);
    add_int(o, "record-bytes", t->bytes);
    if (t->packed) {
        char ratio[G_ASCII_DTOSTR_BUF_SIZE];

        begin_value(o, "ratio");
        fputs(g_ascii_dtostr(ratio, sizeof(ratio), page_tally_ratio(t)),
              stdout);
    }
}

static void add_containers(Out *o, const Input *input)
{
    const GArray *containers = input_containers(input);

    begin(o, "containers", '[');
    for (unsigned i = 0; i < containers->len; i++) {
        const InputContainer *c =
            &g_array_index(containers, InputContainer, i);

        begin(o, NULL, '{');
        add_text(o, "kind", c->kind);
        add_text(o, "note", c->note);
        end(o, '}');
    }
    end(o, ']');
}

static void add_snapshots(Out *o, const Input *input)
{
    const GArray *snapshots = input_snapshots(input);

    begin(o, "snapshots", '[');
    for (unsigned i = 0; i < snapshots->len; i++) {
        const InputSnapshot *s = &g_array_index(snapshots, InputSnapshot, i);

        begin(o, NULL, '{');
        add_text(o, "id", s->id);
        add_text(o, "name", s->name);
        add_int(o, "size", s->size);
        add_int(o, "date", s->seconds);
        add_int(o, "clock", s->clock);
        end(o, '}');
    }
    end(o, ']');
}

static void add_texts(Out *o, const GPtrArray *texts)
{
    for (unsigned i = 0; i < texts->len; i++) {
        add_text(o, NULL, texts->pdata[i]);
    }
}

static void add_warnings(Out *o, const InspectReport *report)
{
    begin(o, "warnings", '[');
    if (report->input) {
        add_texts(o, input_warnings(report->input));
    }
    add_texts(o, report->warnings);
    end(o, ']');
}

static void add_preamble(Out *o, const InspectReport *report)
{
    const Preamble *p = &report->preamble;

    add_text(o, "machine", p->machine);
    begin(o, "capabilities", '[');
    for (unsigned i = 0; i < p->capabilities; i++) {
        add_text(o, NULL, p->capability[i]);
    }
    end(o, ']');
    if (p->has_uuid) {
        g_autofree char *uuid = section_uuid_text(p->uuid);

        add_text(o, "uuid", uuid);
    }
    add_bool(o, "ferry", report->ferry);
}

static void add_commands(Out *o, const InspectReport *report)
{
    begin(o, "commands", '[');
    for (unsigned i = 0; i < report->commands->len; i++) {
        const InspectCommand *c =
            &g_array_index(report->commands, InspectCommand, i);

        begin(o, NULL, '{');
        add_int(o, "offset", c->offset);
        add_text(o, "command", wire_command_name(c->command.number));
        if (c->command.number == WIRE_CMD_PING ||
            c->command.number == WIRE_CMD_FERRY_PACKS) {
            add_int(o, "value", c->command.value);
        }
        end(o, '}');
    }
    end(o, ']');
}

static void add_blocks(Out *o, const InspectReport *report)
{
    begin(o, "blocks", '[');
    for (unsigned i = 0; i < report->list->count; i++) {
        const RamListEntry *e = &report->list->entry[i];

        begin(o, NULL, '{');
        add_text(o, "name", e->name);
        add_int(o, "length", e->length);
        if (e->page_size) {
            add_int(o, "page-size", e->page_size);
        }
        if (e->has_address) {
            add_int(o, "address", e->address);
        }
        add_tally(o, &report->block[i]);
        add_int(o, "missing", report->missing[i]);
        end(o, '}');
    }
    end(o, ']');
}

static void add_passes(Out *o, const InspectReport *report)
{
    begin(o, "passes", '[');
    for (unsigned i = 0; i < report->passes->len; i++) {
        const InspectPass *p = &g_array_index(report->passes, InspectPass, i);

        begin(o, NULL, '{');
        add_int(o, "sections", p->sections);
        add_bool(o, "final", p->final);
        add_tally(o, &p->pages);
        end(o, '}');
    }
    end(o, ']');
}

static void add_sections(Out *o, const InspectReport *report)
{
    begin(o, "sections", '[');
    for (unsigned i = 0; i < report->sections->len; i++) {
        const InspectSection *s =
            &g_array_index(report->sections, InspectSection, i);

        begin(o, NULL, '{');
        add_int(o, "offset", s->offset);
        add_int(o, "size", s->size);
        add_text(o, "type", s->type == WIRE_END ? "END" : "PART");
        add_int(o, "pass", s->pass);
        add_tally(o, &s->pages);
        end(o, '}');
    }
    end(o, ']');
}

static void add_ram(Out *o, const InspectReport *report)
{
    begin(o, "ram", '{');
    add_int(o, "total", report->list->total);
    add_tally(o, &report->pages);
    add_int(o, "repeated", report->repeated);
    add_int(o, "discarded", report->discarded);
    add_blocks(o, report);
    add_passes(o, report);
    add_sections(o, report);
    end(o, '}');
}

static void add_devices(Out *o, const InspectReport *report)
{
    begin(o, "devices", '[');
    for (unsigned i = 0; i < report->devices->len; i++) {
        const InspectDevice *d =
            &g_array_index(report->devices, InspectDevice, i);

        begin(o, NULL, '{');
        add_text(o, "name", d->name);
        add_int(o, "id", d->id);
        add_int(o, "instance", d->instance);
        add_int(o, "version", d->version);
        add_int(o, "offset", d->offset);
        add_int(o, "size", d->size);
        end(o, '}');
    }
    end(o, ']');
}

/* Sections of anything else that is iterable. */
static void add_others(Out *o, const InspectReport *report)
{
    begin(o, "iterables", '[');
    for (unsigned i = 0; i < report->others->len; i++) {
        const InspectOther *other =
            &g_array_index(report->others, InspectOther, i);

        begin(o, NULL, '{');
        add_text(o, "name", other->name);
        add_int(o, "id", other->id);
        add_int(o, "instance", other->instance);
        add_int(o, "version", other->version);
        add_int(o, "offset", other->offset);
        add_int(o, "sections", other->sections);
        add_int(o, "size", other->bytes);
        end(o, '}');
    }
    end(o, ']');
}

static void add_tail(Out *o, const InspectReport *report)
{
    add_int(o, "devices-offset", report->devices_offset);
    add_int(o, "devices-size", report->devices_size);
    if (report->vmdescription) {
        add_int(o, "vmdescription-offset", report->vmdescription_offset);
        add_int(o, "vmdescription-size", report->vmdescription_size);
        add_node(o, "vmdescription", report->vmdescription);
    }
    add_bool(o, "pages-elsewhere", report->elsewhere);
    add_bool(o, "postcopy", report->postcopy);
    add_bool(o, "handed-over", report->handed_over);
    add_int(o, "trailing", report->trailing);
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
    begin(o, "error", '{');
    add_text(o, "kind", error_kind(error));
    add_text(o, "message", error->message);
    end(o, '}');
}

void inspect_print_json(const InspectReport *report, const char *input,
                        bool verified, const GError *error)
{
    Out out = { .first = true };
    Out *o = &out;

    begin(o, NULL, '{');
    add_text(o, "stream", input);
    if (report->input) {
        add_containers(o, report->input);
        add_snapshots(o, report->input);
    }
    add_warnings(o, report);
    add_int(o, "bytes", report->bytes);
    add_bool(o, "complete", report->complete);
    add_bool(o, "verified", verified && report->complete);
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
    add_devices(o, report);
    if (report->ram_ended) {
        add_tail(o, report);
    }
    end(o, '}');
    putchar('\n');
}
