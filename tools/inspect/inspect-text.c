/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The report for people. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/inspect/fields-print.h"
#include "tools/inspect/streams/inspect-report.h"
#include "migration/wire/names.h"
#include "migration/wire/wire.h"

#define PASSES_SHOWN 10u

#define U64 "%" G_GUINT64_FORMAT

static void print_size(const char *label, uint64_t bytes)
{
    g_autofree char *text = inspect_size_text(bytes);

    printf("%-16s%s\n", label, text);
}

static void print_containers(const Input *input)
{
    const GArray *containers = input_containers(input);

    for (unsigned i = 0; i < containers->len; i++) {
        const InputContainer *c =
            &g_array_index(containers, InputContainer, i);

        printf("%-16s%s%s%s\n", "container", c->kind, c->note[0] ? ": " : "",
               c->note);
    }
}

static void print_preamble(const InspectReport *report)
{
    const Preamble *p = &report->preamble;
    g_autofree char *machine = g_strescape(p->machine, NULL);

    printf("%-16s%s\n", "machine",
           machine[0] ? machine : "not told (a machine type before 2.4)");
    if (report->ferry) {
        printf("%-16s%s\n", "source", "Ferry");
    }
    for (unsigned i = 0; i < p->capabilities; i++) {
        g_autofree char *name = g_strescape(p->capability[i], NULL);

        printf("%-16s%s\n", "capability", name);
    }
    if (p->has_uuid) {
        g_autofree char *uuid = section_uuid_text(p->uuid);

        printf("%-16s%s\n", "UUID", uuid);
    }
}

static void print_commands(const InspectReport *report)
{
    for (unsigned i = 0; i < report->commands->len; i++) {
        const InspectCommand *c =
            &g_array_index(report->commands, InspectCommand, i);

        printf("%-16s%s", "command", wire_command_name(c->command.number));
        if (c->command.number == WIRE_CMD_PING) {
            printf(" 0x%x", c->command.value);
        }
        printf(" at byte " U64 "\n", c->offset);
    }
}

/* A table's head, which is told from its lines where that is possible. */
static void print_head(const char *head)
{
    const char *term = g_getenv("TERM");
    bool bold = isatty(STDOUT_FILENO) && !g_getenv("NO_COLOR") && term &&
                strcmp(term, "dumb");

    printf("\n%s%s%s\n", bold ? "\033[1m" : "", head, bold ? "\033[0m" : "");
}

static void print_tally_head(const char *first, const char *second)
{
    g_autofree char *head = g_strdup_printf(
        "%-23s%9s%9s%9s%11s%11s%8s", first, second, "zero", "plain",
        "compressed", "size", "ratio");

    print_head(head);
}

static void print_tally(const PageTally *t)
{
    g_autofree char *size = inspect_short_size(t->bytes);
    double ratio = page_tally_ratio(t);

    printf("%9" G_GUINT64_FORMAT "%9" G_GUINT64_FORMAT "%11" G_GUINT64_FORMAT
           "%11s", t->zero, t->plain, t->compressed, size);
    if (ratio > 0) {
        printf("%8.2f\n", ratio);
    } else {
        printf("%8s\n", "-");
    }
}

static void print_blocks(const InspectReport *report)
{
    print_tally_head("RAM block", "pages");
    for (unsigned i = 0; i < report->list->count; i++) {
        const RamListEntry *e = &report->list->entry[i];
        g_autofree char *name = g_strescape(e->name, NULL);

        printf("%-23s%9" G_GUINT64_FORMAT, name, e->length / MIG_PAGE_SIZE);
        print_tally(&report->block[i]);
        if (e->page_size) {
            printf("  pages of " U64 " bytes at the source\n", e->page_size);
        }
        if (e->has_address) {
            printf("  at guest address 0x%" G_GINT64_MODIFIER "x\n",
                   e->address);
        }
        if (report->ram_ended && report->missing[i]) {
            printf("  " U64 " pages never came\n", report->missing[i]);
        }
    }
}

static void print_pass(const InspectReport *report, unsigned i)
{
    const InspectPass *p = &g_array_index(report->passes, InspectPass, i);
    g_autofree char *name = g_strdup_printf(
        "%u%s", i + 1, p->final ? " (guest stopped)" : "");

    printf("%-23s%9u", name, p->sections);
    print_tally(&p->pages);
}

/* Where there are very many, only the first and the last, unless all are
 * wanted. */
static void print_passes(const InspectReport *report, bool all)
{
    unsigned count = report->passes->len;
    bool leave_out = !all && count > 2 * PASSES_SHOWN;

    print_tally_head("pass", "sections");
    for (unsigned i = 0; i < count; i++) {
        if (leave_out && i == PASSES_SHOWN) {
            i = count - PASSES_SHOWN;
            printf("...\n");
        }
        print_pass(report, i);
    }
    printf("%-23s%9u", "all", report->sections->len);
    print_tally(&report->pages);
    if (report->discarded) {
        printf("\npostcopy: " U64 " pages were discarded, to come again\n",
               report->discarded);
    }
    if (report->repeated) {
        printf("\n" U64 " pages came twice in one section: a receiver may load "
               "the wrong one\n", report->repeated);
    }
}

static void print_sections(const InspectReport *report)
{
    print_tally_head("section at byte", "pass");
    for (unsigned i = 0; i < report->sections->len; i++) {
        const InspectSection *s =
            &g_array_index(report->sections, InspectSection, i);

        printf("%-6s%-17" G_GUINT64_FORMAT "%9u",
               s->type == WIRE_END ? "END" : "PART", s->offset, s->pass);
        print_tally(&s->pages);
    }
}

static void print_thing(const char *name, unsigned number, unsigned version,
                        uint64_t offset, uint64_t bytes)
{
    g_autofree char *shown = g_strescape(name, NULL);
    g_autofree char *size = inspect_short_size(bytes);

    printf("%-38s%9u%8u%14" G_GUINT64_FORMAT "%11s\n", shown, number, version,
           offset, size);
}

static void print_thing_head(const char *first, const char *second)
{
    g_autofree char *head = g_strdup_printf("%-38s%9s%8s%14s%11s", first,
                                            second, "version", "at byte",
                                            "size");

    print_head(head);
}

static void print_devices(const InspectReport *report)
{
    print_thing_head("device", "instance");
    for (unsigned i = 0; i < report->devices->len; i++) {
        const InspectDevice *d =
            &g_array_index(report->devices, InspectDevice, i);

        print_thing(d->name, d->instance, d->version, d->offset, d->size);
    }
}

static void print_others(const InspectReport *report)
{
    print_thing_head("iterable section", "sections");
    for (unsigned i = 0; i < report->others->len; i++) {
        const InspectOther *other =
            &g_array_index(report->others, InspectOther, i);

        print_thing(other->name, other->sections, other->version,
                    other->offset, other->bytes);
    }
}

static void print_tail(const InspectReport *report)
{
    if (report->others->len) {
        print_others(report);
    }
    if (report->devices->len) {
        print_devices(report);
    }
    if (report->vmdescription) {
        printf("\n");
        print_size("devices", report->devices_size);
        print_size("vmdescription", report->vmdescription_size);
    } else if (report->complete) {
        printf("\n");
        print_size("devices", report->devices_size);
        printf("%-16s%s\n", "vmdescription",
               "none: where devices end is guessed");
    }
    if (report->handed_over) {
        printf("%-16s%s\n", "handed over", "the source said GO");
    }
    if (report->trailing) {
        print_size("behind the end", report->trailing);
    }
}

static char *date_text(uint32_t seconds)
{
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_local(seconds);

    return g_date_time_format(date, "%Y-%m-%d %H:%M:%S");
}

void inspect_print_snapshots(const GArray *snapshots)
{
    for (unsigned i = 0; i < snapshots->len; i++) {
        const InputSnapshot *s =
            &g_array_index(snapshots, InputSnapshot, i);
        g_autofree char *id = g_strescape(s->id, NULL);
        g_autofree char *name = g_strescape(s->name, NULL);
        g_autofree char *date = date_text(s->seconds);
        g_autofree char *size = s->size ? inspect_short_size(s->size)
                                        : g_strdup("disk only");

        if (i == 0) {
            printf("%-6s%-41s%-22s%s\n", "id", "snapshot", "date", "guest");
        }
        printf("%-6s%-41s%-22s%s\n", id, name, date, size);
    }
}

static void print_description(const InspectReport *report)
{
    g_autofree char *text = json_to_string(report->vmdescription, TRUE);

    printf("\n%s\n", text);
}

void inspect_print_text(const InspectReport *report, const char *input,
                        bool sections, bool vmdescription, bool fields)
{
    printf("%-16s%s\n", "stream", input);
    print_containers(report->input);
    print_size("bytes", report->bytes);
    if (report->has_preamble) {
        print_preamble(report);
    }
    print_commands(report);
    if (report->list) {
        print_size("RAM", report->list->total);
        print_blocks(report);
        print_passes(report, sections);
    }
    if (sections && report->sections->len) {
        print_sections(report);
    }
    print_tail(report);
    for (unsigned i = 0; fields && i < report->devices->len; i++) {
        printf("\n");
        fields_print_text(&g_array_index(report->devices, InspectDevice, i),
                          "");
    }
    if (vmdescription && report->vmdescription) {
        print_description(report);
    }
}
