/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command table, and the checks of arguments that all commands share.
 *
 * Messages are worded as QEMU words them: management software and people
 * search for them.
 */
#include "monitor/command.h"

#include "monitor/commands.h"

/* In the order in which help lists them. */
static const Command commands[] = {
    {
        .qmp = "cont",
        .hmp = "cont",
        .hmp_alias = "c",
        .help = "resume emulation",
        .run = cmd_cont,
    },
    {
        .hmp = "help",
        .hmp_alias = "?",
        .args = { { "cmd", ARG_REST, true } },
        .help = "show the help",
        .run = cmd_help,
        .print = print_text,
    },
    {
        .qmp = "human-monitor-command",
        .args = { { "command-line", ARG_STRING } },
        .run = cmd_human_monitor_command,
    },
    {
        .hmp = "info",
        .args = { { "subcommand", ARG_STRING, true } },
        .help = "show various information about the system state",
        .run = cmd_info,
        .print = print_text,
    },
    {
        .qmp = "query-migrate",
        .hmp = "info migrate",
        .help = "show migration status",
        .run = cmd_query_migrate,
        .print = print_migrate,
    },
    {
        .qmp = "query-migrate-capabilities",
        .hmp = "info migrate_capabilities",
        .help = "show current migration capabilities",
        .run = cmd_query_migrate_capabilities,
        .print = print_migrate_capabilities,
    },
    {
        .qmp = "query-migrate-parameters",
        .hmp = "info migrate_parameters",
        .help = "show current migration parameters",
        .run = cmd_query_migrate_parameters,
        .print = print_migrate_parameters,
    },
    {
        .qmp = "query-name",
        .hmp = "info name",
        .help = "show the current VM name",
        .run = cmd_query_name,
        .print = print_name,
    },
    {
        .qmp = "query-status",
        .hmp = "info status",
        .help = "show the current VM status (running|paused)",
        .run = cmd_query_status,
        .print = print_status,
    },
    {
        .qmp = "query-version",
        .hmp = "info version",
        .help = "show the version of Ferry",
        .run = cmd_query_version,
        .print = print_version,
    },
    {
        .qmp = "migrate",
        .hmp = "migrate",
        .args = { { "detach", ARG_FLAG, true }, { "uri", ARG_STRING } },
        .next = HMP_WAIT,
        .help = "migrate to URI (using -d to not wait for completion)",
        .run = cmd_migrate,
    },
    {
        .qmp = "migrate_cancel",
        .hmp = "migrate_cancel",
        .help = "cancel the current VM migration",
        .run = cmd_migrate_cancel,
    },
    {
        .qmp = "migrate-incoming",
        .hmp = "migrate_incoming",
        .args = { { "uri", ARG_STRING } },
        .help = "continue an incoming migration from an -incoming defer",
        .run = cmd_migrate_incoming,
    },
    {
        .qmp = "migrate-set-capabilities",
        .args = { { "capabilities", ARG_ARRAY } },
        .run = cmd_migrate_set_capabilities,
    },
    {
        .hmp = "migrate_set_capability",
        .args = { { "capability", ARG_STRING }, { "state", ARG_BOOL } },
        .help = "enable/disable the usage of a capability for migration",
        .run = cmd_migrate_set_capability,
        .help_more = help_capabilities,
    },
    {
        .hmp = "migrate_set_parameter",
        .args = { { "parameter", ARG_STRING }, { "value", ARG_STRING } },
        .help = "set the parameter for migration",
        .run = cmd_migrate_set_parameter,
        .help_more = help_parameters,
    },
    {
        .qmp = "migrate-set-parameters",
        .own_args = true,
        .run = cmd_migrate_set_parameters,
    },
    {
        .qmp = "pmemsave",
        .args = { { "val", ARG_UINT },
                  { "size", ARG_UINT },
                  { "filename", ARG_STRING } },
        .run = cmd_pmemsave,
    },
    {
        .qmp = "qmp_capabilities",
        .args = { { "enable", ARG_ARRAY, true } },
        .negotiates = true,
        .run = cmd_qmp_capabilities,
    },
    {
        .qmp = "query-commands",
        .run = cmd_query_commands,
    },
    {
        .qmp = "quit",
        .hmp = "quit",
        .hmp_alias = "q",
        .next = HMP_SILENT,
        .help = "quit the emulator",
        .run = cmd_quit,
    },
    {
        .qmp = "stop",
        .hmp = "stop",
        .hmp_alias = "s",
        .help = "stop emulation",
        .run = cmd_stop,
    },
};

const Command *command_table(size_t *count)
{
    *count = G_N_ELEMENTS(commands);
    return commands;
}

const Command *command_find_qmp(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (g_strcmp0(commands[i].qmp, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

const Command *command_find_hmp(const char *name)
{
    g_autofree char *plain = g_strdelimit(g_strdup(name), "-", '_');

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (g_strcmp0(commands[i].hmp, plain) == 0 ||
            g_strcmp0(commands[i].hmp_alias, plain) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

void command_error(GError **errp, const char *format, ...)
{
    va_list ap;

    if (!errp) {
        return;
    }
    va_start(ap, format);
    *errp =
        g_error_new_valist(G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, format, ap);
    va_end(ap);
}

static const char *type_name(ArgType type)
{
    switch (type) {
    case ARG_STRING:
    case ARG_REST:
        return "string";
    case ARG_BOOL:
    case ARG_FLAG:
        return "boolean";
    case ARG_UINT:
        return "integer";
    case ARG_ARRAY:
        return "array";
    }
    g_assert_not_reached();
}

static bool has_type(JsonNode *node, ArgType type)
{
    switch (type) {
    case ARG_STRING:
    case ARG_REST:
        return json_node_get_value_type(node) == G_TYPE_STRING;
    case ARG_BOOL:
    case ARG_FLAG:
        return json_node_get_value_type(node) == G_TYPE_BOOLEAN;
    case ARG_UINT:
        return json_node_get_value_type(node) == G_TYPE_INT64;
    case ARG_ARRAY:
        return JSON_NODE_HOLDS_ARRAY(node);
    }
    g_assert_not_reached();
}

static bool check_value(const CommandArg *spec, JsonNode *node,
                        const char *where, GError **errp)
{
    if (!has_type(node, spec->type)) {
        command_error(errp, "Invalid parameter type for '%s%s', expected: %s",
                      where, spec->name, type_name(spec->type));
        return false;
    }
    if (spec->type == ARG_UINT && json_node_get_int(node) < 0) {
        command_error(errp,
                      "Parameter '%s%s' expects a value between 0 and "
                      "%" G_GINT64_FORMAT,
                      where, spec->name, G_MAXINT64);
        return false;
    }
    return true;
}

static bool is_known(const CommandArg *specs, const char *name)
{
    for (; specs->name; specs++) {
        if (g_str_equal(specs->name, name)) {
            return true;
        }
    }
    return false;
}

static bool check_unknown(const CommandArg *specs, JsonObject *object,
                          const char *where, GError **errp)
{
    JsonObjectIter iter;
    const char *name;

    json_object_iter_init(&iter, object);
    while (json_object_iter_next(&iter, &name, NULL)) {
        if (!is_known(specs, name)) {
            command_error(errp, "Parameter '%s%s' is unexpected", where, name);
            return false;
        }
    }
    return true;
}

bool command_check_args(const CommandArg *specs, JsonObject *object,
                        const char *where, GError **errp)
{
    for (const CommandArg *spec = specs; spec->name; spec++) {
        JsonNode *node = json_object_get_member(object, spec->name);

        if (node && !check_value(spec, node, where, errp)) {
            return false;
        }
        if (!node && !spec->optional) {
            command_error(errp, "Parameter '%s%s' is missing", where,
                          spec->name);
            return false;
        }
    }
    return check_unknown(specs, object, where, errp);
}

JsonNode *command_run(const Command *command, const MonMachine *machine,
                      JsonObject *args, GError **errp)
{
    if (!command->own_args &&
        !command_check_args(command->args, args, "", errp)) {
        return NULL;
    }
    return command->run(machine, args, errp);
}

JsonNode *command_object_result(JsonObject *object)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    json_node_take_object(node, object);
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
