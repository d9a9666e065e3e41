/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-qmp-schema: commands and events in QEMU's introspection form, made
 * from their tables.
 *
 * Types have numbers for names, as in QEMU: a client begins at a command or an
 * event and follows the numbers.  Object types with the same list of members
 * are one type, and so are enums with the same list of values, so that a type
 * that two commands share comes once.  "0" is the object without members.
 */
#include "monitor/commands.h"
#include "monitor/events.h"

static const char *meta_type(unsigned index)
{
    static const char *const names[] = {
        "builtin", "enum", "array", "object", "command", "event",
    };

    return index < G_N_ELEMENTS(names) ? names[index] : NULL;
}

static const Member part_members[] = {
    { "name", KIND_STRING },
    { "type", KIND_STRING, true },
    { "default", KIND_ANY, true },
    { NULL },
};

static const Member part = { "", KIND_OBJECT, .members = part_members };
static const Member value = { "", KIND_STRING };

static const Member entity_members[] = {
    { "name", KIND_STRING },
    { "meta-type", KIND_ENUM, .value = meta_type },
    { "arg-type", KIND_STRING, true },
    { "ret-type", KIND_STRING, true },
    { "json-type", KIND_STRING, true },
    { "element-type", KIND_STRING, true },
    { "members", KIND_ARRAY, true, .members = &part },
    { "values", KIND_ARRAY, true, .members = &value },
    { NULL },
};

static const Member entity = { "", KIND_OBJECT, .members = entity_members };

const Member shape_schema = { "return", KIND_ARRAY, .members = &entity };

typedef struct Schema {
    JsonArray *list;     /* the result */
    GPtrArray *numbered; /* by number: the Member that has this type */
    GHashTable *named;   /* by name: the other types in the list */
} Schema;

static const char *type_of(Schema *schema, const Member *member);

static JsonObject *add_entity(Schema *schema, const char *name,
                              const char *meta)
{
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, "name", name);
    json_object_set_string_member(object, "meta-type", meta);
    json_array_add_object_element(schema->list, object);
    return object;
}

/* The one copy of a name, which lives as long as the schema is being made.
 * *is_new says whether its type has yet to be described. */
static const char *intern(Schema *schema, char *name, bool *is_new)
{
    const char *known = g_hash_table_lookup(schema->named, name);

    *is_new = known == NULL;
    if (known) {
        g_free(name);
        return known;
    }
    g_hash_table_insert(schema->named, name, name);
    return name;
}

static const char *builtin(Schema *schema, const char *name, const char *json)
{
    bool is_new;

    name = intern(schema, g_strdup(name), &is_new);
    if (is_new) {
        json_object_set_string_member(add_entity(schema, name, "builtin"),
                                      "json-type", json);
    }
    return name;
}

static const char *array_of(Schema *schema, const Member *element)
{
    const char *type = type_of(schema, element);
    bool is_new;
    const char *name = intern(schema, g_strdup_printf("[%s]", type), &is_new);

    if (is_new) {
        json_object_set_string_member(add_entity(schema, name, "array"),
                                      "element-type", type);
    }
    return name;
}

static bool same_type(const Member *a, const Member *b)
{
    return a->kind == b->kind && a->members == b->members &&
           a->value == b->value;
}

/* The name of an object's or an enum's type. */
static const char *number(Schema *schema, const Member *member, bool *is_new)
{
    unsigned n;

    for (n = 0; n < schema->numbered->len; n++) {
        if (same_type(g_ptr_array_index(schema->numbered, n), member)) {
            break;
        }
    }
    if (n == schema->numbered->len) {
        g_ptr_array_add(schema->numbered, g_memdup2(member, sizeof(*member)));
    }
    return intern(schema, g_strdup_printf("%u", n), is_new);
}

static void add_part(JsonArray *parts, const char *name, const char *type,
                     bool optional)
{
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, "name", name);
    if (type) {
        json_object_set_string_member(object, "type", type);
    }
    if (optional) {
        json_object_set_null_member(object, "default");
    }
    json_array_add_object_element(parts, object);
}

static const char *enum_type(Schema *schema, const Member *member)
{
    bool is_new;
    const char *name = number(schema, member, &is_new);
    JsonArray *parts, *values;
    JsonObject *object;

    if (!is_new) {
        return name;
    }
    object = add_entity(schema, name, "enum");
    parts = json_array_new();
    values = json_array_new();
    for (unsigned i = 0; member->value(i); i++) {
        add_part(parts, member->value(i), NULL, false);
        json_array_add_string_element(values, member->value(i));
    }
    json_object_set_array_member(object, "members", parts);
    json_object_set_array_member(object, "values", values);
    return name;
}

static void add_members(Schema *schema, const Member *members, JsonArray *parts)
{
    for (; members->name; members++) {
        add_part(parts, members->name, type_of(schema, members),
                 members->optional);
    }
}

static void add_parameters(Schema *schema, JsonArray *parts)
{
    for (MigOptionId id = 0; id < MIG_OPT__COUNT; id++) {
        const MigOption *option = mig_option(id);
        Member member = shape_parameter(option);

        if (option->kind != MIG_KIND_CAPABILITY) {
            add_part(parts, option->name, type_of(schema, &member), true);
        }
    }
}

static const char *object_type(Schema *schema, const Member *member)
{
    bool is_new;
    const char *name = number(schema, member, &is_new);
    JsonObject *object;
    JsonArray *parts;

    if (!is_new) {
        return name;
    }
    object = add_entity(schema, name, "object");
    parts = json_array_new();
    if (member->kind == KIND_PARAMETERS) {
        add_parameters(schema, parts);
    } else {
        add_members(schema, member->members, parts);
    }
    json_object_set_array_member(object, "members", parts);
    return name;
}

static const char *type_of(Schema *schema, const Member *member)
{
    switch (member->kind) {
    case KIND_STRING:
    case KIND_REST:
    case KIND_SETTING:
        return builtin(schema, "str", "string");
    case KIND_BOOL:
    case KIND_FLAG:
        return builtin(schema, "bool", "boolean");
    case KIND_UINT:
    case KIND_INT:
        return builtin(schema, "int", "int");
    case KIND_NUMBER:
        return builtin(schema, "number", "number");
    case KIND_ANY:
        return builtin(schema, "any", "value");
    case KIND_ENUM:
        return enum_type(schema, member);
    case KIND_ARRAY:
        return array_of(schema, member->members);
    case KIND_OBJECT:
    case KIND_PARAMETERS:
        return object_type(schema, member);
    }
    g_assert_not_reached();
}

/* The type of an object with these members; NULL or empty: type "0". */
static const char *members_type(Schema *schema, const Member *members)
{
    static const Member none = { NULL };
    Member object = { .kind = KIND_OBJECT, .members = members };

    if (!members || !members->name) {
        object.members = &none;
    }
    return object_type(schema, &object);
}

static void add_command(Schema *schema, const Command *command)
{
    static const Member parameters = { .kind = KIND_PARAMETERS };
    JsonObject *object = add_entity(schema, command->qmp, "command");

    json_object_set_string_member(object, "arg-type",
                                  command->takes_parameters
                                      ? type_of(schema, &parameters)
                                      : members_type(schema, command->args));
    json_object_set_string_member(object, "ret-type",
                                  command->result
                                      ? type_of(schema, command->result)
                                      : members_type(schema, NULL));
}

static void add_commands(Schema *schema, const CommandTable *table)
{
    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].qmp) {
            add_command(schema, &table->rows[i]);
        }
    }
}

static void add_events(Schema *schema)
{
    size_t count;
    const EventType *table = event_table(&count);

    for (size_t i = 0; i < count; i++) {
        json_object_set_string_member(
            add_entity(schema, table[i].name, "event"), "arg-type",
            members_type(schema, table[i].data));
    }
}

JsonNode *cmd_query_qmp_schema(const MonMachine *machine, JsonObject *args,
                               GError **errp)
{
    Schema schema = {
        .list = json_array_new(),
        .numbered = g_ptr_array_new_with_free_func(g_free),
        .named = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    };

    members_type(&schema, NULL);
    add_commands(&schema, machine->commands);
    add_events(&schema);
    g_hash_table_unref(schema.named);
    g_ptr_array_unref(schema.numbered);
    return command_array_result(schema.list);
}
