/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * A vmdescription has the fields of each device in the order in which they
 * were written, with their sizes.  So the place of each is the sum of those
 * before it.  Arrays of elements that are alike are described once, with
 * array_len; others have a field for each element, with an index.
 *
 * Only subsections have something in the stream that tells them: a byte, their
 * name and their version, which are compared.  A struct says how large it is,
 * with its subsections, and so is compared, too.  When a struct's inside does
 * not fit, the walk goes on behind it, because what follows may still be right;
 * a device's end is the last comparison.
 *
 * The description may be hostile.  Each field that takes bytes moves on in the
 * content.  Fields that take none are counted, because an array may repeat
 * them, and their number is limited by the content's size.  So the time is
 * linear.  Groups are as deep as the description is nested, which its parser
 * limits.
 */
#include "tools/inspect/devices/fields.h"

#include <string.h>

#include "migration/wire/wire.h"
#include "util/endian.h"

#define EMPTY_MAX 4096u /* fields without bytes, and so many more a byte: */
#define EMPTY_PER_BYTE 16u

typedef struct FieldsWalk {
    const FieldsVisitor *visitor;
    const uint8_t *content;
    size_t size;
    size_t at;
    uint64_t empty; /* how many more fields may have no bytes */
    char *fault;    /* the first one */
} FieldsWalk;

static bool walk_group(FieldsWalk *w, JsonObject *group, Field *told);

/* The description */

static int64_t get_int(JsonObject *object, const char *name, int64_t otherwise)
{
    JsonNode *node = json_object_get_member(object, name);

    return node && json_node_get_value_type(node) == G_TYPE_INT64
               ? json_node_get_int(node) : otherwise;
}

static const char *get_text(JsonObject *object, const char *name,
                            const char *otherwise)
{
    JsonNode *node = json_object_get_member(object, name);

    return node && json_node_get_value_type(node) == G_TYPE_STRING
               ? json_node_get_string(node) : otherwise;
}

/* A text that is told for each field must not be long: an array may repeat
 * it. */
static const char *get_name(JsonObject *object, const char *name,
                            const char *otherwise)
{
    const char *text = get_text(object, name, otherwise);

    return text && strnlen(text, WIRE_NAME_MAX + 1) > WIRE_NAME_MAX
               ? "(too long)" : text;
}

static JsonArray *get_array(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);

    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node)
                                               : NULL;
}

static JsonObject *get_object(JsonArray *array, unsigned i)
{
    JsonNode *node = json_array_get_element(array, i);

    return JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static unsigned length_of(JsonArray *array)
{
    return array ? json_array_get_length(array) : 0;
}

/* What a struct consists of; NULL: the field has a value.  The fields of a
 * "tmp" are its own members. */
static JsonObject *inside_of(JsonObject *field)
{
    JsonNode *node = json_object_get_member(field, "struct");

    if (node && JSON_NODE_HOLDS_OBJECT(node)) {
        return json_node_get_object(node);
    }
    return !strcmp(get_text(field, "type", ""), "tmp") &&
           get_array(field, "fields") ? field : NULL;
}

/* The walk */

static bool fail(FieldsWalk *w, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The first fault stays, because others follow from it. */
static bool fail(FieldsWalk *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (!w->fault) {
        w->fault = g_strdup_vprintf(format, args);
    }
    va_end(args);
    return false;
}

static bool count_empty(FieldsWalk *w)
{
    if (w->empty == 0) {
        return fail(w, "has too many fields without bytes");
    }
    w->empty--;
    return true;
}

static void call(void (*tell)(void *opaque, const Field *field),
                 const FieldsWalk *w, const Field *field)
{
    if (tell) {
        tell(w->visitor->opaque, field);
    }
}

static bool walk_value(FieldsWalk *w, Field *field, int64_t size, int64_t count)
{
    size_t left = w->size - w->at;

    if (size < 0) {
        return fail(w, "has field '%s' of a negative size", field->name);
    }
    if (size == 0 || count == 0) {
        return count_empty(w);
    }
    if ((uint64_t)size > left || (uint64_t)count > left / (uint64_t)size) {
        return fail(w, "ends in field '%s'", field->name);
    }
    field->size = (size_t)size;
    field->count = (size_t)count;
    call(w->visitor->value, w, field);
    w->at += field->size * field->count;
    return true;
}

/* A struct that says how large it is, and that ends there whatever is in it:
 * so no byte is told again and again. */
static bool walk_sized(FieldsWalk *w, JsonObject *inside, Field *field,
                       int64_t size)
{
    size_t whole = w->size, from = w->at;

    if (size < 0 || (uint64_t)size > whole - from) {
        return fail(w, "ends in field '%s'", field->name);
    }
    w->size = from + (size_t)size;
    if (walk_group(w, inside, field) && w->at != w->size) {
        fail(w, "has %zu bytes in field '%s', which should have %"
             G_GINT64_FORMAT, w->at - from, field->name, size);
    }
    w->at = w->size;
    w->size = whole;
    return true;
}

static bool walk_struct(FieldsWalk *w, JsonObject *object, Field *field)
{
    JsonObject *inside = inside_of(object);
    size_t from = w->at;
    bool ok;

    field->at = w->content + from;
    field->structure = get_name(inside, "vmsd_name", NULL);
    field->version = get_int(inside, "version", -1);
    ok = json_object_has_member(object, "size")
             ? walk_sized(w, inside, field, get_int(object, "size", -1))
             : walk_group(w, inside, field);
    return ok && (w->at > from || count_empty(w));
}

/* Elements without bytes are all alike, and one stands for them. */
static bool walk_structs(FieldsWalk *w, JsonObject *object, Field *field,
                         int64_t count)
{
    size_t from = SIZE_MAX;

    for (int64_t i = 0; i < count && w->at != from; i++) {
        from = w->at;
        field->index = i;
        if (!walk_struct(w, object, field)) {
            return false;
        }
    }
    return true;
}

static bool walk_field(FieldsWalk *w, JsonObject *object)
{
    int64_t count = get_int(object, "array_len", 1);
    Field field = {
        .name = get_name(object, "name", ""),
        .type = get_name(object, "type", ""),
        .version = -1,
        .index = get_int(object, "index", -1),
        .at = w->content + w->at,
        .count = 1,
        .is_array = json_object_has_member(object, "array_len"),
    };

    if (count < 0) {
        return fail(w, "has an array '%s' of negative length", field.name);
    }
    if (!inside_of(object)) {
        return walk_value(w, &field, get_int(object, "size", -1), count);
    }
    return field.is_array ? walk_structs(w, object, &field, count)
                          : walk_struct(w, object, &field);
}

/* Its byte, name and version stand before it. */
static bool walk_subsection(FieldsWalk *w, JsonObject *object)
{
    Field told = {
        .name = get_name(object, "vmsd_name", ""),
        .type = "subsection",
        .version = get_int(object, "version", 0),
        .index = -1,
        .at = w->content + w->at,
        .count = 1,
    };
    size_t length = strlen(told.name), head = 1 + 1 + length + 4;
    const uint8_t *at = told.at;

    if (head > w->size - w->at ||
        at[0] != WIRE_SUBSECTION || at[1] != length ||
        memcmp(at + 2, told.name, length)) {
        return fail(w, "lacks subsection '%s' at its byte %zu", told.name,
                    w->at);
    }
    if (load_be32(at + 2 + length) != (uint32_t)told.version) {
        return fail(w, "has another version of subsection '%s'", told.name);
    }
    w->at += head;
    return walk_group(w, object, &told);
}

static bool walk_members(FieldsWalk *w, JsonObject *group)
{
    JsonArray *fields = get_array(group, "fields");
    JsonArray *subsections = get_array(group, "subsections");

    for (unsigned i = 0; i < length_of(fields); i++) {
        JsonObject *field = get_object(fields, i);

        if (field && !walk_field(w, field)) {
            return false;
        }
    }
    for (unsigned i = 0; i < length_of(subsections); i++) {
        JsonObject *subsection = get_object(subsections, i);

        if (subsection && !walk_subsection(w, subsection)) {
            return false;
        }
    }
    return true;
}

static bool walk_group(FieldsWalk *w, JsonObject *group, Field *told)
{
    bool ok;

    told->size = 0;
    call(w->visitor->enter, w, told);
    ok = walk_members(w, group);
    told->size = (size_t)(w->content + w->at - told->at);
    call(w->visitor->leave, w, told);
    return ok;
}

/* Not every description has fields. */
static bool is_described(JsonObject *device)
{
    return device && (length_of(get_array(device, "fields")) ||
                      length_of(get_array(device, "subsections")));
}

char *fields_walk(const InspectDevice *device, const FieldsVisitor *visitor)
{
    static const uint8_t nothing[1]; /* no bytes have a place, too */
    const uint8_t *content = inspect_device_content(device);
    FieldsWalk w = {
        .visitor = visitor,
        .content = content ? content : nothing,
        .size = device->kept_size,
        .empty = EMPTY_MAX + (uint64_t)device->kept_size * EMPTY_PER_BYTE,
    };
    Field all = {
        .name = "data",
        .type = "buffer",
        .version = -1,
        .index = -1,
        .at = w.content,
        .size = w.size,
        .count = 1,
    };

    if (!device->kept) {
        return NULL;
    }
    if (!is_described(device->description)) {
        if (w.size) {
            call(visitor->value, &w, &all);
        }
        return NULL;
    }
    if (walk_members(&w, device->description) && w.at != w.size) {
        fail(&w, "has %zu bytes of fields, and %zu in all", w.at, w.size);
    }
    return w.fault;
}
