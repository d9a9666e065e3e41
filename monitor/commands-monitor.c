/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about the monitor: what it is, what it knows, how to use it. */
#include <stdio.h>

#include "monitor/commands.h"
#include "monitor/hmp.h"

JsonNode *cmd_qmp_capabilities(const MonMachine *machine, JsonObject *args,
                               GError **errp)
{
    JsonArray *list = NULL;

    if (json_object_has_member(args, "enable")) {
        list = json_object_get_array_member(args, "enable");
    }
    if (list && json_array_get_length(list) > 0) {
        command_error(errp, "Parameter 'enable' expects an empty array: "
                            "there are no capabilities");
        return NULL;
    }
    return command_no_result();
}

JsonNode *cmd_query_commands(const MonMachine *machine, JsonObject *args,
                             GError **errp)
{
    JsonNode *result = json_node_new(JSON_NODE_ARRAY);
    JsonArray *list = json_array_new();
    size_t count;
    const Command *table = command_table(&count);

    for (size_t i = 0; i < count; i++) {
        if (table[i].qmp) {
            JsonObject *entry = json_object_new();

            json_object_set_string_member(entry, "name", table[i].qmp);
            json_array_add_object_element(list, entry);
        }
    }
    json_node_take_array(result, list);
    return result;
}

JsonNode *cmd_query_version(const MonMachine *machine, JsonObject *args,
                            GError **errp)
{
    JsonObject *version = json_object_new();
    JsonObject *triple = json_object_new();
    int major, minor, micro;
    int fields = sscanf(mig_version(), "%d.%d.%d", &major, &minor, &micro);

    g_assert(fields == 3);
    json_object_set_int_member(triple, "micro", micro);
    json_object_set_int_member(triple, "minor", minor);
    json_object_set_int_member(triple, "major", major);
    /* Clients look for the version under this name. */
    json_object_set_object_member(version, "qemu", triple);
    json_object_set_string_member(version, "package", "ferry");
    return command_object_result(version);
}

static JsonNode *text_result(GString *text)
{
    g_autofree char *valid = g_utf8_make_valid(text->str, (gssize)text->len);
    JsonNode *result = json_node_new(JSON_NODE_VALUE);

    json_node_set_string(result, valid);
    return result;
}

JsonNode *cmd_human_monitor_command(const MonMachine *machine, JsonObject *args,
                                    GError **errp)
{
    const char *line = json_object_get_string_member(args, "command-line");
    g_autoptr(GString) out = g_string_new(NULL);

    if (hmp_run(machine, line, out) == HMP_WAIT) {
        g_string_append(out, "terminal does not allow synchronous migration, "
                             "continuing detached\r\n");
    }
    return text_result(out);
}

static void help_arg(GString *out, const CommandArg *arg)
{
    if (arg->type == ARG_FLAG) {
        g_string_append_printf(out, " [-%c]", arg->name[0]);
    } else if (arg->optional) {
        g_string_append_printf(out, " [%s]", arg->name);
    } else {
        g_string_append_printf(out, " %s", arg->name);
    }
}

static void help_line(GString *out, const Command *command)
{
    g_string_append(out, command->hmp);
    if (command->hmp_alias) {
        g_string_append_printf(out, "|%s", command->hmp_alias);
    }
    if (!command->args[0].name) {
        g_string_append_c(out, ' '); /* two of them, as in QEMU */
    }
    for (const CommandArg *arg = command->args; arg->name; arg++) {
        help_arg(out, arg);
    }
    g_string_append_printf(out, " -- %s\n", command->help);
}

/* Of all commands, or of all items of info. */
static void help_list(GString *out, bool items)
{
    size_t count;
    const Command *table = command_table(&count);

    for (size_t i = 0; i < count; i++) {
        if (table[i].hmp && g_str_has_prefix(table[i].hmp, "info ") == items) {
            help_line(out, &table[i]);
        }
    }
}

JsonNode *cmd_help(const MonMachine *machine, JsonObject *args, GError **errp)
{
    const char *name =
        json_object_get_string_member_with_default(args, "cmd", "");
    const Command *command = command_find_hmp(name);
    g_autoptr(GString) out = g_string_new(NULL);

    if (!*name || g_str_equal(name, "info")) {
        help_list(out, *name);
    } else if (command) {
        help_line(out, command);
    } else {
        g_string_append_printf(out, "unknown command: '%s'\n", name);
    }
    if (command && command->help_more) {
        command->help_more(out);
    }
    return text_result(out);
}

JsonNode *cmd_info(const MonMachine *machine, JsonObject *args, GError **errp)
{
    g_autoptr(GString) out = g_string_new(NULL);

    help_list(out, true);
    return text_result(out);
}

static void help_option(GString *out, const MigOption *option)
{
    g_autofree char *def = NULL;
    MigOptions defaults;

    mig_options_init(&defaults);
    def = mig_options_text(&defaults, option);
    if (option->kind == MIG_KIND_UINT || option->kind == MIG_KIND_SIZE) {
        g_string_append_printf(out,
                               "  %s (%" G_GUINT64_FORMAT
                               " to %" G_GUINT64_FORMAT ", default %s)",
                               option->name, option->min, option->max, def);
    } else {
        g_string_append_printf(out, "  %s (on or off, default %s)",
                               option->name, def);
    }
    g_string_append_printf(out, " -- %s\n", option->help);
}

static void help_options(GString *out, bool capability)
{
    for (MigOptionId id = 0; id < MIG_OPT__COUNT; id++) {
        const MigOption *option = mig_option(id);

        if ((option->kind == MIG_KIND_CAPABILITY) == capability) {
            help_option(out, option);
        }
    }
}

void help_capabilities(GString *out)
{
    help_options(out, true);
}

void help_parameters(GString *out)
{
    help_options(out, false);
}
