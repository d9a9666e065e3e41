/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vmdescription, and behind a byte of 0 the content of its first device, as
 * ferry-inspect walks its fields.
 */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tools/inspect/devices/field-path.h"
#include "tools/inspect/devices/field-value.h"
#include "tools/inspect/streams/description.h"

typedef struct Told {
    const uint8_t *content;
    size_t size, end;
    unsigned depth;
} Told;

static void on_enter(void *opaque, const Field *group)
{
    ((Told *)opaque)->depth++;
}

static void on_leave(void *opaque, const Field *group)
{
    Told *told = opaque;

    g_assert_cmpuint(told->depth--, >, 0);
}

/* Values are in the content, and none is told twice. */
static void on_value(void *opaque, const Field *field)
{
    Told *told = opaque;
    size_t at = (size_t)(field->at - told->content);

    g_assert_cmpuint(at, >=, told->end);
    told->end = at + field->size * field->count;
    g_assert_cmpuint(told->end, <=, told->size);
    if (field_kind(field) != FIELD_RAW) {
        field_number(field, field->count - 1);
    }
}

static void walk(JsonNode *root, const GByteArray *bytes)
{
    JsonArray *devices = description_devices(root);
    Told told = { .content = bytes->data, .size = bytes->len };
    const FieldsVisitor visitor = { on_enter, on_leave, on_value, &told };
    InspectDevice device = {
        .name = (char *)"board",
        .kept = bytes,
        .kept_size = bytes->len,
    };
    unsigned found;

    if (json_array_get_length(devices)) {
        device.description = json_array_get_object_element(devices, 0);
    }
    g_free(field_path_walk(&device, "", &visitor, &found));
    g_assert_cmpuint(told.depth, ==, 0);
    told.end = 0;
    g_free(field_path_walk(&device, "a/b[1]/c", &visitor, &found));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t length = zero ? (size_t)(zero - data) : size;
    GByteArray *bytes = g_byte_array_new();
    g_autofree char *fault = NULL;
    JsonNode *root = size ? description_parse((const char *)data, length,
                                              &fault) : NULL;

    if (zero) {
        g_byte_array_append(bytes, zero + 1, (guint)(size - length - 1));
    }
    if (root) {
        walk(root, bytes);
        json_node_unref(root);
    }
    g_byte_array_unref(bytes);
    return 0;
}
