/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fields for people: a line for each, with its type and its value.  Values that
 * need more than that stand below it, and rows that are alike are shown once,
 * as hexdump does.
 */
#include <stdio.h>
#include <string.h>

#include "tools/inspect/devices/field-path.h"
#include "tools/inspect/devices/field-value.h"
#include "tools/inspect/fields-print.h"

#define INDENT      2
#define NAME_WIDTH  36
#define TYPE_WIDTH  18
#define ROW_BYTES   16u
#define ROW_NUMBERS 32u /* bytes of numbers in a row */

typedef struct TextOut {
    unsigned depth;
} TextOut;

static char *name_of(const Field *field)
{
    g_autofree char *name = g_strescape(field->name, NULL);

    return field->index < 0
               ? g_steal_pointer(&name)
               : g_strdup_printf("%s[%" G_GINT64_FORMAT "]", name,
                                 field->index);
}

static char *type_of(const Field *field)
{
    g_autofree char *type = g_strescape(field->type, NULL);
    g_autofree char *structure =
        field->structure ? g_strescape(field->structure, NULL) : NULL;

    if (structure) {
        return g_strdup_printf("%s %s", type, structure);
    }
    return field->is_array ? g_strdup_printf("%s[%zu]", type, field->count)
                           : g_steal_pointer(&type);
}

static void print_start(const TextOut *out, const Field *field, int type_width)
{
    g_autofree char *name = name_of(field), *type = type_of(field);
    int indent = (int)out->depth * INDENT;

    printf("%*s%-*s %-*s", indent, "", MAX(NAME_WIDTH - indent, 0), name,
           type_width, type);
}

static void enter(void *opaque, const Field *group)
{
    TextOut *out = opaque;

    print_start(out, group, 0);
    if (group->version >= 0) {
        printf(", version %" G_GINT64_FORMAT, group->version);
    }
    printf("\n");
    out->depth++;
}

static void leave(void *opaque, const Field *group)
{
    TextOut *out = opaque;

    out->depth--;
}

static void print_number(const Field *field, size_t i)
{
    uint64_t number = field_number(field, i);

    switch (field_kind(field)) {
    case FIELD_SIGNED:
        printf(" %" G_GINT64_FORMAT, (gint64)number);
        break;
    case FIELD_BOOL:
        printf(" %s", number ? "true" : "false");
        break;
    default:
        printf(" 0x%" G_GINT64_MODIFIER "x", number);
        break;
    }
}

static void print_bytes(const uint8_t *at, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        printf(" %02x", at[i]);
    }
}

static void print_characters(const uint8_t *at, size_t size)
{
    printf("%*s  ", (int)(ROW_BYTES - size) * 3, "");
    for (size_t i = 0; i < size; i++) {
        putchar(g_ascii_isprint(at[i]) ? at[i] : '.');
    }
}

static void print_row(const TextOut *out, const Field *field, size_t from,
                      size_t size)
{
    bool is_raw = field_kind(field) == FIELD_RAW;

    printf("%*s%6zx ", (int)(out->depth + 1) * INDENT, "",
           is_raw ? from : from / field->size);
    if (is_raw) {
        print_bytes(field->at + from, size);
        print_characters(field->at + from, size);
    } else {
        for (size_t i = 0; i < size; i += field->size) {
            print_number(field, (from + i) / field->size);
        }
    }
    printf("\n");
}

/* `row` bytes in each of them. */
static void print_rows(const TextOut *out, const Field *field, size_t row)
{
    size_t size = field->size * field->count;
    bool alike = false;

    for (size_t at = 0; at < size; at += row) {
        bool was_alike = alike;

        alike = at >= row && size - at > row &&
                !memcmp(field->at + at, field->at + at - row, row);
        if (!alike) {
            print_row(out, field, at, MIN(row, size - at));
        } else if (!was_alike) {
            printf("%*s     *\n", (int)(out->depth + 1) * INDENT, "");
        }
    }
}

static void value(void *opaque, const Field *field)
{
    const TextOut *out = opaque;
    bool is_raw = field_kind(field) == FIELD_RAW;
    size_t size = field->size * field->count;
    size_t row = is_raw ? ROW_BYTES : ROW_NUMBERS;

    print_start(out, field, size > row ? 0 : TYPE_WIDTH);
    if (size > row) {
        printf(", %zu bytes\n", size);
        print_rows(out, field, row);
        return;
    }
    if (is_raw) {
        print_bytes(field->at, size);
    }
    for (size_t i = 0; !is_raw && i < field->count; i++) {
        print_number(field, i);
    }
    printf("\n");
}

unsigned fields_print_text(const InspectDevice *d, const char *path)
{
    TextOut out = { .depth = 1 };
    const FieldsVisitor visitor = { enter, leave, value, &out };
    g_autofree char *name = g_strescape(d->name, NULL);
    unsigned found;

    printf("%s (instance %u, version %u, %zu bytes)\n", name, d->instance,
           d->version, d->kept_size);
    g_free(field_path_walk(d, path, &visitor, &found));
    return found;
}
