/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Differences for people: what the first guest has, an arrow, and what the
 * second one has. */
#include <stdio.h>
#include <string.h>

#include "tools/inspect/devices/field-value.h"
#include "tools/inspect/guest-diff.h"
#include "tools/inspect/json-out.h"

#define RANGES_SHOWN   8u
#define ELEMENTS_SHOWN 16u
#define BYTES_SHOWN    8u
#define PATH_WIDTH     40

static void begin(void *opaque, const Guest *a, const Guest *b)
{
    printf("first           %s\nsecond          %s\n", a->name, b->name);
}

static void machine(void *opaque, const char *a, const char *b)
{
    g_autofree char *one = g_strescape(a, NULL);
    g_autofree char *other = g_strescape(b, NULL);

    printf("machine         %s -> %s\n", one, other);
}

/* In the text's printer depth counts the ranges of a block. */
static void block(void *opaque, const RamListEntry *a, const RamListEntry *b)
{
    const RamListEntry *any = a ? a : b;
    g_autofree char *name = NULL;
    Out *o = opaque;

    g_assert(any);
    name = g_strescape(any->name, NULL);
    o->depth = 0;
    printf("\nRAM block %s", name);
    if (!a || !b) {
        printf(": only in the %s guest", a ? "first" : "second");
    } else if (a->length != b->length) {
        g_autofree char *one = inspect_short_size(a->length);
        g_autofree char *other = inspect_short_size(b->length);

        printf(": %s -> %s", one, other);
    }
    printf("\n");
}

static void pages(void *opaque, uint64_t first, uint64_t count)
{
    Out *o = opaque;

    if (o->depth++ < RANGES_SHOWN) {
        printf("  0x%" G_GINT64_MODIFIER "x: %" G_GUINT64_FORMAT " page%s\n",
               first * MIG_PAGE_SIZE, count, count == 1 ? "" : "s");
    }
}

static void end_block(void *opaque, uint64_t all)
{
    const Out *o = opaque;

    if (o->depth > RANGES_SHOWN) {
        printf("  and %u more ranges\n", o->depth - RANGES_SHOWN);
    }
    if (all) {
        printf("  %" G_GUINT64_FORMAT " %s\n", all,
               all == 1 ? "page differs" : "pages differ");
    }
}

static void devices(void *opaque)
{
}

static void device(void *opaque, const InspectDevice *a,
                   const InspectDevice *b)
{
    const InspectDevice *one = a ? a : b;
    g_autofree char *name = NULL;

    g_assert(one);
    name = g_strescape(one->name, NULL);
    printf("\n%s (instance %u)", name, one->instance);
    if (!a || !b) {
        printf(": only in the %s guest", a ? "first" : "second");
    } else if (a->version != b->version) {
        printf(": version %u -> %u", a->version, b->version);
    }
    printf("\n");
}

static void print_value(const Field *field, size_t i)
{
    const uint8_t *at = field->at + i * field->size;

    switch (field_kind(field)) {
    case FIELD_UNSIGNED:
        printf("0x%" G_GINT64_MODIFIER "x", field_number(field, i));
        break;
    case FIELD_SIGNED:
        printf("%" G_GINT64_FORMAT, (gint64)field_number(field, i));
        break;
    case FIELD_BOOL:
        printf("%s", field_number(field, i) ? "true" : "false");
        break;
    case FIELD_RAW:
        for (size_t k = 0; k < MIN(field->size, BYTES_SHOWN); k++) {
            printf("%02x", at[k]);
        }
        printf("%s", field->size > BYTES_SHOWN ? "..." : "");
        break;
    }
}

static void print_path(const char *path)
{
    g_autofree char *shown = g_strescape(path, NULL);

    printf("  %-*s ", PATH_WIDTH, shown);
}

/* Values that are larger than what is shown: where, and how much. */
static void print_bytes(const char *path, const Field *a, const Field *b)
{
    size_t size = a->size * a->count, first = size, count = 0;

    for (size_t i = 0; i < size; i++) {
        if (a->at[i] != b->at[i]) {
            first = MIN(first, i);
            count++;
        }
    }
    print_path(path);
    printf("%zu of %zu bytes, the first at %zu\n", count, size, first);
}

static void print_elements(const char *path, const Field *a, const Field *b)
{
    unsigned shown = 0;

    for (size_t i = 0; i < a->count; i++) {
        g_autofree char *element =
            a->is_array ? g_strdup_printf("%s[%zu]", path, i) : g_strdup(path);
        size_t at = i * a->size;

        if (!memcmp(a->at + at, b->at + at, a->size)) {
            continue;
        }
        if (shown++ == ELEMENTS_SHOWN) {
            print_path(path);
            printf("and more\n");
            return;
        }
        print_path(element);
        print_value(a, i);
        printf(" -> ");
        print_value(b, i);
        printf("\n");
    }
}

static void field(void *opaque, const char *path, const Field *a,
                  const Field *b)
{
    bool is_alike = a && b && a->size == b->size && a->count == b->count &&
                    field_kind(a) == field_kind(b);

    if (is_alike && field_kind(a) == FIELD_RAW && a->size > BYTES_SHOWN) {
        print_bytes(path, a, b);
        return;
    }
    if (is_alike) {
        print_elements(path, a, b);
        return;
    }
    print_path(path);
    if (a && b) {
        printf("%zu bytes -> %zu bytes\n", a->size * a->count,
               b->size * b->count);
    } else {
        printf("only in the %s guest: ", a ? "first" : "second");
        print_value(a ? a : b, 0);
        printf("%s\n", (a ? a : b)->count > 1 ? ", ..." : "");
    }
}

static void end_device(void *opaque)
{
}

static void end(void *opaque, bool same)
{
    printf("%s", same ? "The guests are the same.\n" : "");
}

const DiffPrinter diff_text = {
    begin, machine, block, pages, end_block, devices, device, field,
    end_device, end,
};
