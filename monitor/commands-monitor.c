/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about the monitor: its version, its commands, its help. */
#include "monitor/commands.h"
#include "monitor/events.h"
#include "monitor/hmp.h"

/* The version of QEMU whose monitor this one imitates.  Clients tell by the
 * version what they can ask for, and some (govmm) refuse one below 5.0. */
#define SPOKEN_MAJOR 7
#define SPOKEN_MINOR 2
#define SPOKEN_MICRO 0

const Member shape_text = { "return", KIND_STRING };

static const Member name_members[] = {
    { "name", KIND_STRING },
    { NULL },
};

static const Member named = { "", KIND_OBJECT, .members = name_members };

const Member shape_names = { "return", KIND_ARRAY, .members = &named };

static const Member triple_members[] = {
    { "major", KIND_UINT },
    { "minor", KIND_UINT },
    { "micro", KIND_UINT },
    { NULL },
};

static const Member version_members[] = {
    { "qemu", KIND_OBJECT, .members = triple_members },
    { "package", KIND_STRING },
    { NULL },
};

const Member shape_version = { "return", KIND_OBJECT,
                               .members = version_members };

/* QMP has no capabilities here that could be enabled. */
static const char *oob_value(unsigned index)
{
    return NULL;
}

const Member shape_oob = { "enable", KIND_ENUM, .value = oob_value };

JsonNode *cmd_qmp_capabilities(const MonMachine *machine, JsonObject *args,
                               GError **errp)
{
    return command_no_result();
}

static void add_name(JsonArray *list, const char *name)
{
    JsonObject *entry = json_object_new();

    json_object_set_string_member(entry, "name", name);
    json_array_add_object_element(list, entry);
}

JsonNode *cmd_query_commands(const MonMachine *machine, JsonObject *args,
                             GError **errp)
{
    JsonArray *list = json_array_new();
    const CommandTable *table = machine->commands;

    for (size_t i = 0; i < table->count; i++) {
        if (table->rows[i].qmp) {
            add_name(list, table->rows[i].qmp);
        }
    }
    return command_array_result(list);
}

JsonNode *cmd_query_events(const MonMachine *machine, JsonObject *args,
                           GError **errp)
{
    JsonArray *list = json_array_new();
    size_t count;
    const EventType *table = event_table(&count);

    for (size_t i = 0; i < count; i++) {
        add_name(list, table[i].name);
    }
    return command_array_result(list);
}

JsonNode *cmd_query_version(const MonMachine *machine, JsonObject *args,
                            GError **errp)
{
    JsonObject *version = json_object_new();
    JsonObject *triple = json_object_new();
    g_autofree char *package = g_strdup_printf("Ferry %s", mig_version());

    json_object_set_int_member(triple, "micro", SPOKEN_MICRO);
    json_object_set_int_member(triple, "minor", SPOKEN_MINOR);
    json_object_set_int_member(triple, "major", SPOKEN_MAJOR);
    json_object_set_object_member(version, "qemu", triple);
    json_object_set_string_member(version, "package", package);
    return command_object_result(version);
}

static JsonNode *text_result(GString *text)
{
    g_autofree char *valid = g_utf8_make_valid(text->str, (gssize)text->len);
    JsonNode *result = json_node_new(JSON_NODE_VALUE);

    json_node_set_string(result, valid);
    return result;
}

/* Checks cpu-index and ignores it: no command here is about one CPU. */
static bool check_cpu(const MonMachine *machine, JsonObject *args,
                      GError **errp)
{
    int64_t cpu = json_object_get_int_member_with_default(args, "cpu-index", 0);
    unsigned cpus = machine->host->cpus;

    if (cpu < 0 || cpu >= cpus) {
        command_error(errp,
                      "Parameter 'cpu-index' expects a CPU number between 0 "
                      "and %u",
                      cpus - 1);
        return false;
    }
    return true;
}

JsonNode *cmd_human_monitor_command(const MonMachine *machine, JsonObject *args,
                                    GError **errp)
{
    const char *line = json_object_get_string_member(args, "command-line");
    g_autoptr(GString) out = g_string_new(NULL);

    if (!check_cpu(machine, args, errp)) {
        return NULL;
    }
    if (hmp_run(machine, line, out) == HMP_WAIT) {
        g_string_append(out, "terminal does not allow synchronous migration, "
                             "continuing detached\r\n");
    }
    return text_result(out);
}

/* Show the flags, or the other arguments. */
static void help_args(GString *out, const Member *arg, bool flags)
{
    for (; arg->name; arg++) {
        if ((arg->kind == KIND_FLAG) != flags) {
            continue;
        }
        if (flags) {
            g_string_append_printf(out, " [-%c]", arg->name[0]);
        } else if (arg->optional) {
            g_string_append_printf(out, " [%s]", arg->name);
        } else {
            g_string_append_printf(out, " %s", arg->name);
        }
    }
}

static void help_line(GString *out, const Command *command)
{
    g_string_append(out, command->hmp);
    if (command->hmp_alias) {
        g_string_append_printf(out, "|%s", command->hmp_alias);
    }
    if (!command->args[0].name) {
        g_string_append_c(out, ' '); /* two blanks, as in QEMU */
    }
    help_args(out, command->args, true);
    help_args(out, command->args, false);
    g_string_append_printf(out, " -- %s\n", command->help);
}

/* List all commands, or all items of info. */
static void help_list(GString *out, const CommandTable *table, bool items)
{
    for (size_t i = 0; i < table->count; i++) {
        const Command *command = &table->rows[i];

        if (command->hmp &&
            g_str_has_prefix(command->hmp, "info ") == items) {
            help_line(out, command);
        }
    }
}

JsonNode *cmd_help(const MonMachine *machine, JsonObject *args, GError **errp)
{
    const char *name =
        json_object_get_string_member_with_default(args, "cmd", "");
    g_autoptr(GString) out = g_string_new(NULL);
    const Command *command =
        *name ? hmp_find(machine->commands, &name, out) : NULL;

    /* Further words are ignored, as in QEMU. */
    if (command && !command->has_items) {
        help_line(out, command);
        if (command->help_more) {
            command->help_more(out);
        }
    } else if (out->len == 0) {
        help_list(out, machine->commands, command != NULL);
    }
    return text_result(out);
}

JsonNode *cmd_info(const MonMachine *machine, JsonObject *args, GError **errp)
{
    g_autoptr(GString) out = g_string_new(NULL);

    help_list(out, machine->commands, true);
    return text_result(out);
}

static void help_option(GString *out, const MigOption *option)
{
    g_autofree char *def = NULL;
    MigOptions defaults;

    mig_options_init(&defaults);
    def = mig_options_text(&defaults, option);
    if (option->kind == MIG_KIND_ENUM) {
        g_autofree char *names = g_strjoinv(", ", (char **)option->names);

        g_string_append_printf(out, "  %s (%s, default %s)", option->name,
                               names, def);
    } else if (option->kind == MIG_KIND_UINT ||
               option->kind == MIG_KIND_SIZE) {
        g_string_append_printf(out,
                               "  %s (%" G_GUINT64_FORMAT
                               " to %" G_GUINT64_FORMAT ", default %s)",
                               option->name, option->min, option->max, def);
    } else if (option->kind == MIG_KIND_STRING) {
        g_string_append_printf(out, "  %s (text, default %s)", option->name,
                               def);
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
