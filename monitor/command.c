/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command table, and what all commands share.
 */
#include "monitor/command.h"

#include <string.h>

#include "monitor/commands.h"

/* In the order in which help lists them. */
static const Command commands[] = {
    {
        .qmp = "closefd",
        .hmp = "closefd",
        .args = { { "fdname", KIND_STRING } },
        .help = "close a file descriptor previously passed via SCM rights",
        .run = cmd_closefd,
    },
    {
        .qmp = "cont",
        .hmp = "cont",
        .hmp_alias = "c",
        .help = "resume emulation",
        .run = cmd_cont,
    },
    {
        .qmp = "getfd",
        .hmp = "getfd",
        .args = { { "fdname", KIND_STRING } },
        .help = "receive a file descriptor via SCM rights and assign it a name",
        .run = cmd_getfd,
    },
    {
        .hmp = "help",
        .hmp_alias = "?",
        .args = { { "cmd", KIND_REST, true } },
        .help = "show the help",
        .run = cmd_help,
        .print = print_text,
    },
    {
        .qmp = "human-monitor-command",
        .args = { { "command-line", KIND_STRING },
                  { "cpu-index", KIND_INT, true } },
        .result = &shape_text,
        .run = cmd_human_monitor_command,
    },
    {
        .hmp = "info",
        .args = { { "subcommand", KIND_STRING, true } },
        .help = "show various information about the system state",
        .run = cmd_info,
        .print = print_text,
    },
    {
        .qmp = "query-migrate",
        .hmp = "info migrate",
        .help = "show migration status",
        .result = &shape_migrate,
        .run = cmd_query_migrate,
        .print = print_migrate,
    },
    {
        .qmp = "query-migrate-capabilities",
        .hmp = "info migrate_capabilities",
        .help = "show current migration capabilities",
        .result = &shape_capabilities,
        .run = cmd_query_migrate_capabilities,
        .print = print_migrate_capabilities,
    },
    {
        .qmp = "query-migrate-parameters",
        .hmp = "info migrate_parameters",
        .help = "show current migration parameters",
        .result = &shape_parameters,
        .run = cmd_query_migrate_parameters,
        .print = print_migrate_parameters,
    },
    {
        .qmp = "query-name",
        .hmp = "info name",
        .help = "show the current VM name",
        .result = &shape_name,
        .run = cmd_query_name,
        .print = print_name,
    },
    {
        .qmp = "query-status",
        .hmp = "info status",
        .help = "show the current VM status (running|paused)",
        .result = &shape_status,
        .run = cmd_query_status,
        .print = print_status,
    },
    {
        .qmp = "query-version",
        .hmp = "info version",
        .help = "show the version of Ferry",
        .result = &shape_version,
        .run = cmd_query_version,
        .print = print_version,
    },
    {
        .qmp = "migrate",
        .hmp = "migrate",
        .args = { { "uri", KIND_STRING },
                  { "detach", KIND_FLAG, true },
                  { "blk", KIND_FLAG, true },
                  { "inc", KIND_FLAG, true },
                  { "resume", KIND_FLAG, true } },
        .next = HMP_WAIT,
        .help = "migrate to URI (using -d to not wait for completion)",
        .run = cmd_migrate,
        .help_more = help_migrate,
    },
    {
        .qmp = "migrate_cancel",
        .hmp = "migrate_cancel",
        .help = "cancel the current VM migration",
        .run = cmd_migrate_cancel,
    },
    {
        .qmp = "migrate-continue",
        .hmp = "migrate_continue",
        .args = { { "state", KIND_ENUM, .value = migration_status_name } },
        .next = HMP_RESUME,
        .help = "Continue migration from the given paused state",
        .run = cmd_migrate_continue,
    },
    {
        .qmp = "migrate-incoming",
        .hmp = "migrate_incoming",
        .args = { { "uri", KIND_STRING } },
        .help = "Continue an incoming migration from an -incoming defer",
        .run = cmd_migrate_incoming,
    },
    {
        .qmp = "migrate-pause",
        .hmp = "migrate_pause",
        .help = "Pause an ongoing migration (postcopy-only)",
        .run = cmd_migrate_pause,
    },
    {
        .qmp = "migrate-set-capabilities",
        .args = { { "capabilities", KIND_ARRAY,
                    .members = &shape_capability_state } },
        .run = cmd_migrate_set_capabilities,
    },
    {
        .hmp = "migrate_set_capability",
        .args = { { "capability", KIND_ENUM, .value = capability_name },
                  { "state", KIND_BOOL } },
        .help = "Enable/Disable the usage of a capability for migration",
        .run = cmd_migrate_set_capability,
        .help_more = help_capabilities,
    },
    {
        .hmp = "migrate_set_parameter",
        .args = { { "parameter", KIND_ENUM, .value = parameter_name },
                  { "value", KIND_SETTING } },
        .help = "Set the parameter for migration",
        .run = cmd_migrate_set_parameter,
        .help_more = help_parameters,
    },
    {
        .qmp = "migrate-set-parameters",
        .takes_parameters = true,
        .run = cmd_migrate_set_parameters,
    },
    {
        .hmp = "pmemsave",
        .args = { { "addr", KIND_UINT },
                  { "size", KIND_UINT },
                  { "file", KIND_STRING } },
        .help = "save to disk physical memory dump starting at 'addr' of size "
                "'size'",
        .run = cmd_pmemsave_file,
    },
    {
        .qmp = "pmemsave",
        .args = { { "val", KIND_UINT },
                  { "size", KIND_UINT },
                  { "filename", KIND_STRING } },
        .run = cmd_pmemsave,
    },
    {
        .qmp = "qmp_capabilities",
        .args = { { "enable", KIND_ARRAY, true, .members = &shape_oob } },
        .negotiates = true,
        .run = cmd_qmp_capabilities,
    },
    {
        .qmp = "query-commands",
        .result = &shape_names,
        .run = cmd_query_commands,
    },
    {
        .qmp = "query-events",
        .result = &shape_names,
        .run = cmd_query_events,
    },
    {
        .qmp = "query-qmp-schema",
        .result = &shape_schema,
        .run = cmd_query_qmp_schema,
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

/* Items of info are not commands of their own. */
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

const Command *command_find_hmp(const char *name, GPtrArray *candidates)
{
    const Command *last = NULL;
    unsigned count = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        const Command *command = &commands[i];

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
    command_list_hmp(name, candidates);
    return NULL;
}

void command_list_hmp(const char *start, GPtrArray *names)
{
    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (may_be_meant(&commands[i], start) &&
            shape_name_begins(commands[i].hmp, start)) {
            g_ptr_array_add(names, (char *)commands[i].hmp);
        }
    }
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

/* Does the schema tell the truth?  If not, that is our mistake or the host's,
 * but the process holds a guest: only this answer is lost. */
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
