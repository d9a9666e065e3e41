/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the bytes of a field mean. */
#ifndef TOOLS_INSPECT_FIELD_VALUE_H
#define TOOLS_INSPECT_FIELD_VALUE_H

#include "tools/inspect/devices/fields.h"

typedef enum {
    FIELD_RAW, /* bytes, whose meaning the description does not tell */
    FIELD_UNSIGNED,
    FIELD_SIGNED,
    FIELD_BOOL,
} FieldKind;

FieldKind field_kind(const Field *field);

/* One of its elements, if it is not raw; that of a signed one as int64_t. */
uint64_t field_number(const Field *field, size_t element);

#endif
