/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fields for programs; docs/inspect.md says what the members are. */
#include "tools/inspect/devices/field-path.h"
#include "tools/inspect/devices/field-value.h"
#include "tools/inspect/fields-print.h"

static void begin_field(Out *o, const Field *field)
{
    out_begin(o, NULL, '{');
    out_text(o, "name", field->name);
    if (field->index >= 0) {
        out_unsigned(o, "index", (uint64_t)field->index);
    }
    out_text(o, "type", field->type);
}

static void enter(void *opaque, const Field *group)
{
    Out *o = opaque;

    begin_field(o, group);
    if (group->structure) {
        out_text(o, "struct", group->structure);
    }
    if (group->version >= 0) {
        out_unsigned(o, "version", (uint64_t)group->version);
    }
    out_begin(o, "fields", '[');
}

static void leave(void *opaque, const Field *group)
{
    Out *o = opaque;

    out_end(o, ']');
    out_unsigned(o, "size", group->size);
    out_end(o, '}');
}

static void add_element(Out *o, const char *name, const Field *field, size_t i)
{
    switch (field_kind(field)) {
    case FIELD_RAW:
        out_hex(o, name, field->at + i * field->size, field->size);
        break;
    case FIELD_UNSIGNED:
        out_unsigned(o, name, field_number(field, i));
        break;
    case FIELD_SIGNED:
        out_int(o, name, field_number(field, i));
        break;
    case FIELD_BOOL:
        out_bool(o, name, field_number(field, i) != 0);
        break;
    }
}

void field_print_json(Out *o, const char *name, const Field *field)
{
    if (!field->is_array) {
        add_element(o, name, field, 0);
        return;
    }
    out_begin(o, name, '[');
    for (size_t i = 0; i < field->count; i++) {
        add_element(o, NULL, field, i);
    }
    out_end(o, ']');
}

static void value(void *opaque, const Field *field)
{
    Out *o = opaque;

    begin_field(o, field);
    out_unsigned(o, "size", field->size);
    field_print_json(o, "value", field);
    out_end(o, '}');
}

unsigned fields_print_json(Out *o, const InspectDevice *d, const char *path)
{
    const FieldsVisitor visitor = { enter, leave, value, o };
    unsigned found = 0;

    out_begin(o, NULL, '{');
    out_text(o, "name", d->name);
    out_int(o, "id", d->id);
    out_int(o, "instance", d->instance);
    out_int(o, "version", d->version);
    out_int(o, "offset", d->offset);
    out_int(o, "size", d->size);
    if (d->fault) {
        out_text(o, "mismatch", d->fault);
    }
    if (path) {
        out_begin(o, "fields", '[');
        g_free(field_path_walk(d, path, &visitor, &found));
        out_end(o, ']');
    }
    out_end(o, '}');
    return found;
}
