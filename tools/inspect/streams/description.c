/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parser of json-glib calls itself for each level, and takes the square of
 * the time for an object with many members.  So a text is looked through first,
 * and is given to the parser only if it is as simple as QEMU's are.
 */
#include "tools/inspect/streams/description.h"

#include <string.h>

#include "migration/wire/wire.h"

#define NESTING_MAX 64u
#define MEMBERS_MAX 256u /* of an object; QEMU's have about ten */
#define VALUES_MAX  (1u << 20) /* in all; each takes a hundred bytes */

/* The state of a text's scan. */
typedef struct Shape {
    unsigned values; /* that others follow */
    unsigned depth;
    unsigned members[NESTING_MAX]; /* of each object or array that is open */
    bool is_object[NESTING_MAX];
} Shape;

/* Take a byte outside of strings.  NULL, or what is wrong. */
static const char *scan_mark(Shape *s, char mark)
{
    switch (mark) {
    case '{':
    case '[':
        if (s->depth == NESTING_MAX) {
            return "is nested too deeply";
        }
        s->members[s->depth] = 0;
        s->is_object[s->depth++] = mark == '{';
        return NULL;
    case '}':
    case ']':
        s->depth -= s->depth > 0;
        return NULL;
    case ',':
        if (++s->values == VALUES_MAX) {
            return "has too many values";
        }
        if (s->depth && s->is_object[s->depth - 1] &&
            ++s->members[s->depth - 1] == MEMBERS_MAX) {
            return "has an object of too many members";
        }
        return NULL;
    case '/':
        return "is not JSON: it has a comment";
    default:
        return NULL;
    }
}

/*
 * Why the JSON parser must not be given this text, or NULL.  The parser calls
 * itself for values that are nested.  Members whose names are alike, or have
 * the same hash, cost it the square of their number.  It skips comments, and a
 * quote in a comment would hide the rest of the text from this function.
 */
static const char *shape_fault(const char *text, size_t size)
{
    Shape s = { .depth = 0 };
    const char *fault = NULL;
    bool in_string = false;

    for (size_t i = 0; i < size && !fault; i++) {
        if (in_string && text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            in_string = !in_string;
        } else if (!in_string) {
            fault = scan_mark(&s, text[i]);
        }
    }
    return fault;
}

const char *description_name(JsonObject *device)
{
    JsonNode *node = json_object_get_member(device, "name");
    const char *name = node && json_node_get_value_type(node) == G_TYPE_STRING
                           ? json_node_get_string(node) : NULL;
    size_t length = name ? strnlen(name, WIRE_NAME_MAX + 1) : 0;

    return length > 0 && length <= WIRE_NAME_MAX ? name : NULL;
}

static bool is_device(JsonNode *node)
{
    JsonObject *device = JSON_NODE_HOLDS_OBJECT(node)
                             ? json_node_get_object(node) : NULL;
    JsonNode *instance =
        device ? json_object_get_member(device, "instance_id") : NULL;

    return device && description_name(device) && instance &&
           json_node_get_value_type(instance) == G_TYPE_INT64;
}

JsonArray *description_devices(JsonNode *root)
{
    JsonObject *object = root && JSON_NODE_HOLDS_OBJECT(root)
                             ? json_node_get_object(root) : NULL;
    JsonNode *node = object ? json_object_get_member(object, "devices") : NULL;
    JsonArray *devices =
        node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

    for (unsigned i = 0; devices && i < json_array_get_length(devices); i++) {
        if (!is_device(json_array_get_element(devices, i))) {
            return NULL;
        }
    }
    return devices;
}

JsonNode *description_parse(const char *text, size_t size, char **fault)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) err = NULL;
    const char *shape = shape_fault(text, size);

    if (shape) {
        *fault = g_strdup(shape);
        return NULL;
    }
    if (!json_parser_load_from_data(parser, text, (gssize)size, &err)) {
        *fault = g_strdup_printf("is not JSON: %s", err->message);
        return NULL;
    }
    if (!description_devices(json_parser_get_root(parser))) {
        *fault = g_strdup("has no list of devices");
        return NULL;
    }
    return json_parser_steal_root(parser);
}
