/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds commands in a table, runs them, and helps to make their results. */
#include "monitor/command.h"

#include <string.h>

const Command *command_find_qmp(const CommandTable *table,
                                const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (g_strcmp0(table->rows[i].qmp, name) == 0) {
            return &table->rows[i];
        }
    }
    return NULL;
}

/* Items of info are no commands of their own. */
static bool may_be_meant(const Command *command, const char *name)
{
    return command->hmp &&
           (strchr(command->hmp, ' ') == NULL) == (strchr(name, ' ') == NULL);
}

static bool is_name_of(const Command *command, const char *name)
{
    return shape_same_name(command->hmp, name) ||
           g_strcmp0(command->hmp_alias, name) == 0;
}

const Command *command_find_hmp(const CommandTable *table,
                                const char *name, GPtrArray *candidates)
{
    const Command *last = NULL;
    unsigned count = 0;

    for (size_t i = 0; i < table->count; i++) {
        const Command *command = &table->rows[i];

        if (!may_be_meant(command, name)) {
            continue;
        }
        if (is_name_of(command, name)) {
            return command;
        }
        if (shape_name_begins(command->hmp, name)) {
            last = command;
            count++;
        }
    }
    if (count == 1) {
        return last;
    }
    command_list_hmp(table, name, candidates);
    return NULL;
}

void command_list_hmp(const CommandTable *table, const char *start,
                      GPtrArray *names)
{
    for (size_t i = 0; i < table->count; i++) {
        if (may_be_meant(&table->rows[i], start) &&
            shape_name_begins(table->rows[i].hmp, start)) {
            g_ptr_array_add(names, (char *)table->rows[i].hmp);
        }
    }
}

/* Does the result fit the schema?  If not, the mistake is ours or the host's.
 * But the process holds a guest, so only this answer is lost. */
static bool check_result(const Command *command, JsonNode *result,
                         GError **errp)
{
    static const Member none = { NULL };
    static const Member nothing = { "return", KIND_OBJECT, .members = &none };
    g_autoptr(GError) err = NULL;

    if (!command->qmp || /* a text for HMP */
        shape_check(command->result ? command->result : &nothing, result,
                    "return", &err)) {
        return true;
    }
    g_warning("%s: %s", command->qmp, err->message);
    command_error(errp, "Internal error: the answer does not fit its "
                        "description: %s", err->message);
    return false;
}

JsonNode *command_run(const Command *command, const MonMachine *machine,
                      JsonObject *args, GError **errp)
{
    JsonNode *result;

    if (!command->takes_parameters &&
        !shape_check_members(command->args, args, "", errp)) {
        return NULL;
    }
    result = command->run(machine, args, errp);
    if (result && !check_result(command, result, errp)) {
        g_clear_pointer(&result, json_node_unref);
    }
    return result;
}

JsonNode *command_object_result(JsonObject *object)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    json_node_take_object(node, object);
    return node;
}

JsonNode *command_array_result(JsonArray *array)
{
    JsonNode *node = json_node_new(JSON_NODE_ARRAY);

    json_node_take_array(node, array);
    return node;
}

JsonNode *command_no_result(void)
{
    return command_object_result(json_object_new());
}

void command_set_text(JsonObject *object, const char *name, const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    json_object_set_string_member(object, name, valid);
}
