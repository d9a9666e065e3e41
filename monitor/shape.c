/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks of JSON values against their descriptions.
 *
 * Messages are worded as in QEMU, because management software and people search
 * for them.
 */
#include "monitor/shape.h"

#include "monitor/command-error.h"

static char plain(char c)
{
    return c == '-' ? '_' : c;
}

bool shape_name_begins(const char *name, const char *start)
{
    while (*start && plain(*name) == plain(*start)) {
        name++;
        start++;
    }
    return *start == '\0';
}

bool shape_same_name(const char *a, const char *b)
{
    return shape_name_begins(a, b) && shape_name_begins(b, a);
}

int shape_find_value(const Member *member, const char *text)
{
    const char *value;

    for (unsigned i = 0; (value = member->value(i)); i++) {
        if (shape_same_name(value, text)) {
            return (int)i;
        }
    }
    return -1;
}

static const char *type_name(Kind kind)
{
    switch (kind) {
    case KIND_STRING:
    case KIND_REST:
    case KIND_SETTING:
    case KIND_ENUM:
        return "string";
    case KIND_BOOL:
    case KIND_FLAG:
        return "boolean";
    case KIND_UINT:
    case KIND_INT:
        return "integer";
    case KIND_NUMBER:
        return "number";
    case KIND_ANY:
        return "value";
    case KIND_OBJECT:
    case KIND_PARAMETERS:
        return "object";
    case KIND_ARRAY:
        return "array";
    }
    g_assert_not_reached();
}

static bool has_type(Kind kind, JsonNode *node)
{
    GType type = json_node_get_value_type(node);

    switch (kind) {
    case KIND_STRING:
    case KIND_REST:
    case KIND_SETTING:
    case KIND_ENUM:
        return type == G_TYPE_STRING;
    case KIND_BOOL:
    case KIND_FLAG:
        return type == G_TYPE_BOOLEAN;
    case KIND_UINT:
    case KIND_INT:
        return type == G_TYPE_INT64;
    case KIND_NUMBER:
        return type == G_TYPE_INT64 || type == G_TYPE_DOUBLE;
    case KIND_ANY:
        return true;
    case KIND_OBJECT:
    case KIND_PARAMETERS:
        return JSON_NODE_HOLDS_OBJECT(node);
    case KIND_ARRAY:
        return JSON_NODE_HOLDS_ARRAY(node);
    }
    g_assert_not_reached();
}

static bool check_enum(const Member *member, JsonNode *node, GError **errp)
{
    const char *text = json_node_get_string(node);
    const char *value;

    for (unsigned i = 0; (value = member->value(i)); i++) {
        if (g_str_equal(value, text)) {
            return true;
        }
    }
    /* The name without its path, as in QEMU. */
    command_error(errp, "Parameter '%s' does not accept value '%s'",
                  member->name, text);
    return false;
}

static bool check_uint(JsonNode *node, const char *path, GError **errp)
{
    if (json_node_get_int(node) >= 0) {
        return true;
    }
    command_error(errp,
                  "Parameter '%s' expects a value between 0 and "
                  "%" G_GINT64_FORMAT,
                  path, G_MAXINT64);
    return false;
}

static bool check_elements(const Member *element, JsonArray *array,
                           const char *path, GError **errp)
{
    for (unsigned i = 0; i < json_array_get_length(array); i++) {
        g_autofree char *where = g_strdup_printf("%s[%u]", path, i);

        if (!shape_check(element, json_array_get_element(array, i), where,
                         errp)) {
            return false;
        }
    }
    return true;
}

static const char *method_name(unsigned index)
{
    return mig_option(MIG_OPT_COMPRESS_METHOD)->names[index];
}

Member shape_parameter(const MigOption *option)
{
    Member member = { .name = option->name };

    switch (option->kind) {
    case MIG_KIND_CAPABILITY:
    case MIG_KIND_BOOL:
        member.kind = KIND_BOOL;
        return member;
    case MIG_KIND_UINT:
    case MIG_KIND_SIZE:
        member.kind = KIND_UINT;
        return member;
    case MIG_KIND_STRING:
        member.kind = KIND_STRING;
        return member;
    case MIG_KIND_ENUM:
        g_assert(option->id == MIG_OPT_COMPRESS_METHOD);
        member.kind = KIND_ENUM;
        member.value = method_name;
        return member;
    }
    g_assert_not_reached();
}

static bool check_parameters(JsonObject *object, const char *where,
                             GError **errp)
{
    JsonObjectIter iter;
    const char *name;
    JsonNode *node;

    json_object_iter_init_ordered(&iter, object);
    while (json_object_iter_next_ordered(&iter, &name, &node)) {
        const MigOption *option = mig_option_find(name, false, errp);
        g_autofree char *path = g_strconcat(where, name, NULL);
        Member member;

        if (!option) {
            return false;
        }
        member = shape_parameter(option);
        if (!shape_check(&member, node, path, errp)) {
            return false;
        }
    }
    return true;
}

bool shape_check(const Member *member, JsonNode *node, const char *path,
                 GError **errp)
{
    g_autofree char *where = g_strconcat(path, ".", NULL);

    if (!has_type(member->kind, node)) {
        command_error(errp, "Invalid parameter type for '%s', expected: %s",
                      path, type_name(member->kind));
        return false;
    }
    switch (member->kind) {
    case KIND_ENUM:
        return check_enum(member, node, errp);
    case KIND_UINT:
        return check_uint(node, path, errp);
    case KIND_OBJECT:
        return shape_check_members(member->members, json_node_get_object(node),
                                   where, errp);
    case KIND_PARAMETERS:
        return check_parameters(json_node_get_object(node), where, errp);
    case KIND_ARRAY:
        return check_elements(member->members, json_node_get_array(node), path,
                              errp);
    default:
        return true;
    }
}

static bool is_known(const Member *members, const char *name)
{
    for (; members->name; members++) {
        if (g_str_equal(members->name, name)) {
            return true;
        }
    }
    return false;
}

static bool check_unknown(const Member *members, JsonObject *object,
                          const char *where, GError **errp)
{
    JsonObjectIter iter;
    const char *name;

    json_object_iter_init_ordered(&iter, object);
    while (json_object_iter_next_ordered(&iter, &name, NULL)) {
        if (!is_known(members, name)) {
            command_error(errp, "Parameter '%s%s' is unexpected", where, name);
            return false;
        }
    }
    return true;
}

bool shape_check_members(const Member *members, JsonObject *object,
                         const char *where, GError **errp)
{
    for (const Member *member = members; member->name; member++) {
        JsonNode *node = json_object_get_member(object, member->name);
        g_autofree char *path = g_strconcat(where, member->name, NULL);

        if (node && !shape_check(member, node, path, errp)) {
            return false;
        }
        if (!node && !member->optional) {
            command_error(errp, "Parameter '%s' is missing", path);
            return false;
        }
    }
    return check_unknown(members, object, where, errp);
}
