/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A table of fields is walked three times in the same way: to save, to load
 * and to describe.  Fields have fixed sizes, so a section needs no lengths.
 * Optional state stands in subsections, each announced by its name.
 *
 * A loaded subsection must be one of the description's.  Each comes at most
 * once, in any order.  If one is absent, it was not needed.
 */
#include "migration/wire/vmstate-io.h"

#include <string.h>

#include "migration/wire/wire.h"

static bool has_field(const MigVMStateField *field, uint32_t version)
{
    return field->since <= version;
}

static uint8_t *element(const MigVMStateField *field, void *data, unsigned i)
{
    return (uint8_t *)data + field->offset + i * field->size;
}

bool vmstate_needed(const MigVMState *state, const void *data)
{
    return !state->needed || state->needed(data);
}

/* Saving */

static bool save_element(Stream *s, const MigVMStateField *field,
                         uint8_t *value, GError **errp)
{
    switch (field->type) {
    case MIG_FIELD_BOOL:
        stream_put_u8(s, *(bool *)value);
        return true;
    case MIG_FIELD_U8:
        stream_put_u8(s, *value);
        return true;
    case MIG_FIELD_U16:
        stream_put_be16(s, *(uint16_t *)value);
        return true;
    case MIG_FIELD_U32:
        stream_put_be32(s, *(uint32_t *)value);
        return true;
    case MIG_FIELD_U64:
        stream_put_be64(s, *(uint64_t *)value);
        return true;
    case MIG_FIELD_BUFFER:
        stream_put_bytes(s, value, field->size);
        return true;
    case MIG_FIELD_STRUCT:
        g_assert(!field->state->subsections);
        return vmstate_save(s, field->state, value, errp);
    case MIG_FIELD_END:
        break;
    }
    g_assert_not_reached();
}

static bool save_subsections(Stream *s, const MigVMState *state, void *data,
                             GError **errp)
{
    for (unsigned i = 0; state->subsections && state->subsections[i]; i++) {
        const MigVMState *sub = state->subsections[i];

        g_assert(!sub->subsections);
        if (vmstate_needed(sub, data)) {
            stream_put_u8(s, WIRE_SUBSECTION);
            stream_put_name(s, sub->name);
            stream_put_be32(s, sub->version);
            if (!vmstate_save(s, sub, data, errp)) {
                return false;
            }
        }
    }
    return true;
}

bool vmstate_save(Stream *s, const MigVMState *state, void *data,
                  GError **errp)
{
    if (state->pre_save && !state->pre_save(data, errp)) {
        return false;
    }
    for (const MigVMStateField *f = state->fields; f->type; f++) {
        for (unsigned i = 0; i < f->count; i++) {
            if (!save_element(s, f, element(f, data, i), errp)) {
                return false;
            }
        }
    }
    return save_subsections(s, state, data, errp);
}

/* Loading */

static bool load_bool(Stream *s, bool *value, GError **errp)
{
    uint8_t byte;

    if (!stream_get_u8(s, &byte, errp)) {
        return false;
    }
    if (byte > 1) {
        stream_bad(s, errp, "a truth value of %u", byte);
        return false;
    }
    *value = byte;
    return true;
}

static bool load_element(Stream *s, const MigVMStateField *field,
                         uint8_t *value, GError **errp)
{
    switch (field->type) {
    case MIG_FIELD_BOOL:
        return load_bool(s, (bool *)value, errp);
    case MIG_FIELD_U8:
        return stream_get_u8(s, value, errp);
    case MIG_FIELD_U16:
        return stream_get_be16(s, (uint16_t *)value, errp);
    case MIG_FIELD_U32:
        return stream_get_be32(s, (uint32_t *)value, errp);
    case MIG_FIELD_U64:
        return stream_get_be64(s, (uint64_t *)value, errp);
    case MIG_FIELD_BUFFER:
        return stream_get_bytes(s, value, field->size, errp);
    case MIG_FIELD_STRUCT:
        return vmstate_load(s, field->state, value, field->state->version,
                            errp);
    case MIG_FIELD_END:
        break;
    }
    g_assert_not_reached();
}

static bool load_fields(Stream *s, const MigVMState *state, void *data,
                        uint32_t version, GError **errp)
{
    for (const MigVMStateField *f = state->fields; f->type; f++) {
        for (unsigned i = 0; has_field(f, version) && i < f->count; i++) {
            if (!load_element(s, f, element(f, data, i), errp)) {
                g_prefix_error(errp, "field '%s' of '%s': ", f->name,
                               state->name);
                return false;
            }
        }
    }
    return true;
}

/* The index of the subsection with this name; -1 when there is none. */
static int find_subsection(const MigVMState *state, const char *name)
{
    for (int i = 0; state->subsections && state->subsections[i]; i++) {
        if (!strcmp(state->subsections[i]->name, name)) {
            return i;
        }
    }
    return -1;
}

static bool load_subsection(Stream *s, const MigVMState *state, void *data,
                            uint64_t *seen, GError **errp)
{
    char name[256];
    uint32_t version;
    int i;

    if (!stream_get_name(s, name, errp) ||
        !stream_get_be32(s, &version, errp)) {
        return false;
    }
    i = find_subsection(state, name);
    if (i < 0 || (*seen >> i & 1)) {
        g_autofree char *shown = g_strescape(name, NULL);

        stream_bad(s, errp, "%s subsection '%s' of '%s'",
                   i < 0 ? "unknown" : "second", shown, state->name);
        return false;
    }
    g_assert(i < 64);
    *seen |= UINT64_C(1) << i;
    return vmstate_load(s, state->subsections[i], data, version, errp);
}

static bool load_subsections(Stream *s, const MigVMState *state, void *data,
                             GError **errp)
{
    uint64_t seen = 0; /* bits; a device has only a few subsections */
    uint8_t type;

    /* Something always follows a device: its footer at least. */
    while (state->subsections) {
        if (!stream_peek_u8(s, &type, errp)) {
            return false;
        }
        if (type != WIRE_SUBSECTION) {
            break;
        }
        if (!stream_get_u8(s, &type, errp) ||
            !load_subsection(s, state, data, &seen, errp)) {
            return false;
        }
    }
    return true;
}

bool vmstate_load(Stream *s, const MigVMState *state, void *data,
                  uint32_t version, GError **errp)
{
    if (version > state->version || version < state->minimum_version) {
        g_set_error(errp, MIG_ERROR, MIG_ERROR_PEER,
                    "'%s' has version %u, supported are %u to %u",
                    state->name, version, state->minimum_version,
                    state->version);
        return false;
    }
    return load_fields(s, state, data, version, errp) &&
           load_subsections(s, state, data, errp) &&
           (!state->post_load || state->post_load(data, version, errp));
}

/* Describing */

static const char *type_name(MigFieldType type)
{
    switch (type) {
    case MIG_FIELD_BOOL:
        return "bool";
    case MIG_FIELD_U8:
        return "uint8";
    case MIG_FIELD_U16:
        return "uint16";
    case MIG_FIELD_U32:
        return "uint32";
    case MIG_FIELD_U64:
        return "uint64";
    case MIG_FIELD_BUFFER:
        return "buffer";
    case MIG_FIELD_STRUCT:
        return "struct";
    case MIG_FIELD_END:
        break;
    }
    g_assert_not_reached();
}

static void add_string(JsonBuilder *json, const char *name, const char *value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_string_value(json, value);
}

static void add_int(JsonBuilder *json, const char *name, int64_t value)
{
    json_builder_set_member_name(json, name);
    json_builder_add_int_value(json, value);
}

static void describe_field(JsonBuilder *json, const MigVMStateField *f,
                           const void *data)
{
    json_builder_begin_object(json);
    add_string(json, "name", f->name);
    if (f->count > 1) {
        add_int(json, "array_len", f->count);
    }
    add_string(json, "type", type_name(f->type));
    if (f->type == MIG_FIELD_STRUCT) {
        json_builder_set_member_name(json, "struct");
        json_builder_begin_object(json);
        vmstate_describe(json, f->state, element(f, (void *)data, 0));
        json_builder_end_object(json);
    } else {
        add_int(json, "size", (int64_t)f->size);
    }
    json_builder_end_object(json);
}

void vmstate_describe(JsonBuilder *json, const MigVMState *state,
                      const void *data)
{
    add_string(json, "vmsd_name", state->name);
    add_int(json, "version", state->version);
    json_builder_set_member_name(json, "fields");
    json_builder_begin_array(json);
    for (const MigVMStateField *f = state->fields; f->type; f++) {
        describe_field(json, f, data);
    }
    json_builder_end_array(json);
    if (!state->subsections) {
        return;
    }
    json_builder_set_member_name(json, "subsections");
    json_builder_begin_array(json);
    for (unsigned i = 0; state->subsections[i]; i++) {
        if (vmstate_needed(state->subsections[i], data)) {
            json_builder_begin_object(json);
            vmstate_describe(json, state->subsections[i], data);
            json_builder_end_object(json);
        }
    }
    json_builder_end_array(json);
}
