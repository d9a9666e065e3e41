/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU names a field's type, such as "uint32".  A condition may follow ("uint32
 * equal": both ends must have the same, "int32 le": not more than); it does not
 * change the bytes.  Integers are big-endian.
 */
#include "tools/inspect/devices/field-value.h"

#include <string.h>

#include "util/endian.h"

static const struct {
    const char *type;
    FieldKind kind;
    size_t size;
} types[] = {
    { "uint8", FIELD_UNSIGNED, 1 },
    { "uint16", FIELD_UNSIGNED, 2 },
    { "uint32", FIELD_UNSIGNED, 4 },
    { "uint64", FIELD_UNSIGNED, 8 },
    { "int8", FIELD_SIGNED, 1 },
    { "int16", FIELD_SIGNED, 2 },
    { "int32", FIELD_SIGNED, 4 },
    { "int64", FIELD_SIGNED, 8 },
    { "timer", FIELD_SIGNED, 8 }, /* when it fires; -1: it does not */
    { "bool", FIELD_BOOL, 1 },
};

FieldKind field_kind(const Field *field)
{
    size_t length = strcspn(field->type, " ");

    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        if (strlen(types[i].type) == length &&
            !memcmp(types[i].type, field->type, length) &&
            types[i].size == field->size) {
            return types[i].kind;
        }
    }
    return FIELD_RAW;
}

uint64_t field_number(const Field *field, size_t element)
{
    const uint8_t *at = field->at + element * field->size;
    bool is_signed = field_kind(field) == FIELD_SIGNED;

    switch (field->size) {
    case 1:
        return is_signed ? (uint64_t)(int8_t)at[0] : at[0];
    case 2:
        return is_signed ? (uint64_t)(int16_t)load_be16(at) : load_be16(at);
    case 4:
        return is_signed ? (uint64_t)(int32_t)load_be32(at) : load_be32(at);
    default:
        return load_be64(at);
    }
}
