/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands about migration.
 *
 * Everything that sets options first collects the changes, checking each
 * against the option table, and then applies them, so that a list with one bad
 * entry changes nothing.  The machine can still refuse one (a migration runs);
 * then those before it are taken back.
 */
#include "monitor/commands.h"

#include <math.h>

typedef struct Change {
    const MigOption *option;
    uint64_t value;
} Change;

static void get_options(const MonMachine *machine, MigOptions *options)
{
    machine->host->get_options(machine->opaque, options);
}

static bool set_option(const MonMachine *machine, const MigOption *option,
                       uint64_t value, GError **errp)
{
    return machine->host->set_option(machine->opaque, option, value, errp);
}

static JsonNode *apply_changes(const MonMachine *machine, GArray *changes,
                               GError **errp)
{
    MigOptions before;

    get_options(machine, &before);
    for (unsigned i = 0; i < changes->len; i++) {
        const Change *change = &g_array_index(changes, Change, i);

        if (set_option(machine, change->option, change->value, errp)) {
            continue;
        }
        while (i-- > 0) {
            const MigOption *option = g_array_index(changes, Change, i).option;

            set_option(machine, option, before.value[option->id], NULL);
        }
        return NULL;
    }
    return command_no_result();
}

static JsonNode *set_one(const MonMachine *machine, const MigOption *option,
                         uint64_t value, GError **errp)
{
    return set_option(machine, option, value, errp) ? command_no_result()
                                                    : NULL;
}

/* What an option's value is in JSON, or why it is not. */
static bool change_from_json(Change *change, JsonNode *node, GError **errp)
{
    const MigOption *option = change->option;
    GType type = json_node_get_value_type(node);
    MigOptions scratch;

    if (option->kind == MIG_KIND_BOOL) {
        change->value = type == G_TYPE_BOOLEAN && json_node_get_boolean(node);
        if (type != G_TYPE_BOOLEAN) {
            command_error(errp,
                          "Invalid parameter type for '%s', expected: boolean",
                          option->name);
        }
        return type == G_TYPE_BOOLEAN;
    }
    if (type != G_TYPE_INT64 || json_node_get_int(node) < 0) {
        /* Not a number that any option takes: let the table say which are. */
        return mig_options_set_text(&scratch, option, "", errp);
    }
    change->value = (uint64_t)json_node_get_int(node);
    return mig_options_set(&scratch, option, change->value, errp);
}

JsonNode *cmd_migrate_set_parameters(const MonMachine *machine,
                                     JsonObject *args, GError **errp)
{
    g_autoptr(GArray) changes = g_array_new(FALSE, FALSE, sizeof(Change));
    JsonObjectIter iter;
    const char *name;
    JsonNode *node;

    json_object_iter_init(&iter, args);
    while (json_object_iter_next(&iter, &name, &node)) {
        Change change = { .option = mig_option_find(name, false, NULL) };

        if (!change.option) {
            command_error(errp, "Parameter '%s' is unexpected", name);
            return NULL;
        }
        if (!change_from_json(&change, node, errp)) {
            return NULL;
        }
        g_array_append_val(changes, change);
    }
    return apply_changes(machine, changes, errp);
}

JsonNode *cmd_migrate_set_parameter(const MonMachine *machine, JsonObject *args,
                                    GError **errp)
{
    const MigOption *option = mig_option_find(
        json_object_get_string_member(args, "parameter"), false, errp);
    const char *text = json_object_get_string_member(args, "value");
    MigOptions scratch;

    if (!option || !mig_options_set_text(&scratch, option, text, errp)) {
        return NULL;
    }
    return set_one(machine, option, scratch.value[option->id], errp);
}

static bool capability_change(JsonNode *node, unsigned index, Change *change,
                              GError **errp)
{
    static const CommandArg specs[] = {
        { "capability", ARG_STRING },
        { "state", ARG_BOOL },
        { NULL },
    };
    g_autofree char *where = g_strdup_printf("capabilities[%u].", index);
    JsonObject *object;
    const char *name;

    if (!JSON_NODE_HOLDS_OBJECT(node)) {
        command_error(errp,
                      "Invalid parameter type for 'capabilities[%u]', "
                      "expected: object",
                      index);
        return false;
    }
    object = json_node_get_object(node);
    if (!command_check_args(specs, object, where, errp)) {
        return false;
    }
    name = json_object_get_string_member(object, "capability");
    change->option = mig_option_find(name, true, NULL);
    change->value = json_object_get_boolean_member(object, "state");
    if (!change->option) {
        command_error(errp, "Parameter 'capability' does not accept value '%s'",
                      name);
    }
    return change->option != NULL;
}

JsonNode *cmd_migrate_set_capabilities(const MonMachine *machine,
                                       JsonObject *args, GError **errp)
{
    g_autoptr(GArray) changes = g_array_new(FALSE, FALSE, sizeof(Change));
    JsonArray *list = json_object_get_array_member(args, "capabilities");

    for (unsigned i = 0; i < json_array_get_length(list); i++) {
        Change change;

        if (!capability_change(json_array_get_element(list, i), i, &change,
                               errp)) {
            return NULL;
        }
        g_array_append_val(changes, change);
    }
    return apply_changes(machine, changes, errp);
}

JsonNode *cmd_migrate_set_capability(const MonMachine *machine,
                                     JsonObject *args, GError **errp)
{
    const MigOption *option = mig_option_find(
        json_object_get_string_member(args, "capability"), true, errp);

    return option ? set_one(machine, option,
                            json_object_get_boolean_member(args, "state"), errp)
                  : NULL;
}

JsonNode *cmd_query_migrate_capabilities(const MonMachine *machine,
                                         JsonObject *args, GError **errp)
{
    JsonNode *result = json_node_new(JSON_NODE_ARRAY);
    JsonArray *list = json_array_new();
    MigOptions options;

    get_options(machine, &options);
    for (MigOptionId id = 0; id < MIG_OPT__COUNT; id++) {
        const MigOption *option = mig_option(id);

        if (option->kind == MIG_KIND_CAPABILITY) {
            JsonObject *entry = json_object_new();

            json_object_set_string_member(entry, "capability", option->name);
            json_object_set_boolean_member(entry, "state",
                                           options.value[id] != 0);
            json_array_add_object_element(list, entry);
        }
    }
    json_node_take_array(result, list);
    return result;
}

JsonNode *cmd_query_migrate_parameters(const MonMachine *machine,
                                       JsonObject *args, GError **errp)
{
    JsonObject *values = json_object_new();
    MigOptions options;

    get_options(machine, &options);
    for (MigOptionId id = 0; id < MIG_OPT__COUNT; id++) {
        const MigOption *option = mig_option(id);

        if (option->kind == MIG_KIND_BOOL) {
            json_object_set_boolean_member(values, option->name,
                                           options.value[id] != 0);
        } else if (option->kind != MIG_KIND_CAPABILITY) {
            json_object_set_int_member(values, option->name,
                                       (int64_t)options.value[id]);
        }
    }
    return command_object_result(values);
}

JsonNode *cmd_migrate(const MonMachine *machine, JsonObject *args,
                      GError **errp)
{
    const char *uri = json_object_get_string_member(args, "uri");

    return machine->host->migrate(machine->opaque, uri, errp)
               ? command_no_result()
               : NULL;
}

JsonNode *cmd_migrate_incoming(const MonMachine *machine, JsonObject *args,
                               GError **errp)
{
    const char *uri = json_object_get_string_member(args, "uri");

    return machine->host->migrate_incoming(machine->opaque, uri, errp)
               ? command_no_result()
               : NULL;
}

JsonNode *cmd_migrate_cancel(const MonMachine *machine, JsonObject *args,
                             GError **errp)
{
    machine->host->migrate_cancel(machine->opaque);
    return command_no_result();
}

static void set_count(JsonObject *object, const char *name, uint64_t value)
{
    json_object_set_int_member(object, name,
                               (int64_t)MIN(value, (uint64_t)G_MAXINT64));
}

/* JSON has no word for infinity. */
static void set_rate(JsonObject *object, const char *name, double value)
{
    json_object_set_double_member(object, name, isfinite(value) ? value : 0);
}

static JsonObject *ram_to_json(const MigRamInfo *ram)
{
    JsonObject *object = json_object_new();

    set_count(object, "total", ram->total);
    set_count(object, "transferred", ram->transferred);
    set_count(object, "remaining", ram->remaining);
    set_count(object, "duplicate", ram->duplicate);
    set_count(object, "skipped", 0);
    set_count(object, "normal", ram->normal);
    set_count(object, "normal-bytes", ram->normal * MIG_PAGE_SIZE);
    set_count(object, "dirty-pages-rate", ram->dirty_pages_rate);
    set_rate(object, "mbps", ram->mbps);
    set_count(object, "dirty-sync-count", ram->dirty_sync_count);
    set_count(object, "postcopy-requests", 0);
    set_count(object, "page-size", MIG_PAGE_SIZE);
    set_count(object, "multifd-bytes", 0);
    set_count(object, "pages-per-second", ram->pages_per_second);
    set_count(object, "precopy-bytes", ram->precopy_bytes);
    set_count(object, "downtime-bytes", ram->downtime_bytes);
    set_count(object, "postcopy-bytes", 0);
    return object;
}

static JsonObject *compression_to_json(const MigCompressionInfo *compression)
{
    JsonObject *object = json_object_new();

    set_count(object, "pages", compression->pages);
    set_count(object, "busy", compression->busy);
    set_rate(object, "busy-rate", compression->busy_rate);
    set_count(object, "compressed-size", compression->compressed_size);
    set_rate(object, "compression-rate", compression->rate);
    return object;
}

/* What is known once pages move.  QEMU does not say it any more when the
 * migration failed or was cancelled. */
static void add_progress(JsonObject *object, const MigInfo *info)
{
    bool completed = info->state == MIG_STATE_COMPLETED;

    if (!info->incoming && completed) {
        json_object_set_int_member(object, "downtime", info->downtime_ms);
    }
    if (!info->incoming && !completed && info->expected_downtime_ms >= 0) {
        json_object_set_int_member(object, "expected-downtime",
                                   info->expected_downtime_ms);
    }
    json_object_set_int_member(object, "setup-time", info->setup_time_ms);
    json_object_set_object_member(object, "ram", ram_to_json(&info->ram));
    if (info->compress) {
        json_object_set_object_member(object, "compression",
                                      compression_to_json(&info->compression));
    }
}

static bool shows_progress(MigState state)
{
    return state != MIG_STATE_SETUP && state != MIG_STATE_FAILED &&
           state != MIG_STATE_CANCELLED;
}

static JsonObject *info_to_json(const MigInfo *info)
{
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, "status",
                                  mig_state_name(info->state));
    json_object_set_int_member(object, "total-time", info->total_time_ms);
    if (shows_progress(info->state)) {
        add_progress(object, info);
    }
    if (info->error) {
        command_set_text(object, "error-desc", info->error);
    }
    return object;
}

JsonNode *cmd_query_migrate(const MonMachine *machine, JsonObject *args,
                            GError **errp)
{
    MigInfo info = { 0 };
    JsonObject *object;

    if (!machine->host->migrate_info(machine->opaque, &info)) {
        return command_no_result();
    }
    object =
        info.state == MIG_STATE_NONE ? json_object_new() : info_to_json(&info);
    mig_info_clear(&info);
    return command_object_result(object);
}
