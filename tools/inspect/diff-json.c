/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Differences for programs; docs/inspect.md says what the members are. */
#include <stdio.h>

#include "tools/inspect/fields-print.h"
#include "tools/inspect/guest-diff.h"

static void begin(void *opaque, const Guest *a, const Guest *b)
{
    Out *o = opaque;

    out_begin(o, NULL, '{');
    out_text(o, "first", a->name);
    out_text(o, "second", b->name);
    out_text(o, "first-machine", a->report->preamble.machine);
    out_text(o, "second-machine", b->report->preamble.machine);
    out_begin(o, "blocks", '[');
}

/* Both are told anyway. */
static void machine(void *opaque, const char *a, const char *b)
{
}

static void block(void *opaque, const RamListEntry *a, const RamListEntry *b)
{
    const RamListEntry *one = a ? a : b;
    Out *o = opaque;

    g_assert(one);
    out_begin(o, NULL, '{');
    out_text(o, "name", one->name);
    if (a) {
        out_unsigned(o, "first-length", a->length);
    }
    if (b) {
        out_unsigned(o, "second-length", b->length);
    }
    out_begin(o, "ranges", '[');
}

static void pages(void *opaque, uint64_t first, uint64_t count)
{
    Out *o = opaque;

    out_begin(o, NULL, '{');
    out_unsigned(o, "offset", first * MIG_PAGE_SIZE);
    out_unsigned(o, "pages", count);
    out_end(o, '}');
}

static void end_block(void *opaque, uint64_t all)
{
    Out *o = opaque;

    out_end(o, ']');
    out_unsigned(o, "pages", all);
    out_end(o, '}');
}

static void devices(void *opaque)
{
    Out *o = opaque;

    out_end(o, ']');
    out_begin(o, "devices", '[');
}

static void device(void *opaque, const InspectDevice *a,
                   const InspectDevice *b)
{
    const InspectDevice *one = a ? a : b;
    Out *o = opaque;

    g_assert(one);
    out_begin(o, NULL, '{');
    out_text(o, "name", one->name);
    out_unsigned(o, "instance", one->instance);
    if (a) {
        out_unsigned(o, "first-version", a->version);
    }
    if (b) {
        out_unsigned(o, "second-version", b->version);
    }
    out_begin(o, "fields", '[');
}

static void field(void *opaque, const char *path, const Field *a,
                  const Field *b)
{
    const Field *one = a ? a : b;
    Out *o = opaque;

    g_assert(one);
    out_begin(o, NULL, '{');
    out_text(o, "path", path);
    out_text(o, "type", one->type);
    if (a) {
        field_print_json(o, "first", a);
    }
    if (b) {
        field_print_json(o, "second", b);
    }
    out_end(o, '}');
}

static void end_device(void *opaque)
{
    Out *o = opaque;

    out_end(o, ']');
    out_end(o, '}');
}

static void end(void *opaque, bool same)
{
    Out *o = opaque;

    out_end(o, ']');
    out_bool(o, "same", same);
    out_end(o, '}');
    putchar('\n');
}

const DiffPrinter diff_json = {
    begin, machine, block, pages, end_block, devices, device, field,
    end_device, end,
};
