/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands about migration.
 *
 * A command that sets options first collects the changes and checks each of
 * them against the option table.  Then it checks whether they fit each other
 * and the other options.  Only then it applies them, so that a list with one
 * bad entry changes nothing.  The machine may still refuse a change (a
 * migration runs); then the changes before it are taken back.
 */
#include "monitor/commands.h"

#include <math.h>
#include <unistd.h>

const char *migration_status_name(unsigned index)
{
    return index <= MIG_STATE_CANCELLED ? mig_state_name((MigState)index)
                                        : NULL;
}

static const char *option_name(bool capability, unsigned index)
{
    for (MigOptionId id = 0; id < MIG_OPT__COUNT; id++) {
        const MigOption *option = mig_option(id);

        if ((option->kind == MIG_KIND_CAPABILITY) == capability &&
            index-- == 0) {
            return option->name;
        }
    }
    return NULL;
}

const char *capability_name(unsigned index)
{
    return option_name(true, index);
}

const char *parameter_name(unsigned index)
{
    return option_name(false, index);
}

static const Member state_members[] = {
    { "capability", KIND_ENUM, .value = capability_name },
    { "state", KIND_BOOL },
    { NULL },
};

const Member shape_capability_state = { "", KIND_OBJECT,
                                        .members = state_members };

const Member shape_capabilities = { "return", KIND_ARRAY,
                                    .members = &shape_capability_state };

const Member shape_parameters = { "return", KIND_PARAMETERS };

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

/* Do the options fit each other with all the changes made? */
static bool check_changes(const MigOptions *before, const GArray *changes,
                          GError **errp)
{
    MigOptions after = *before;

    for (unsigned i = 0; i < changes->len; i++) {
        const Change *change = &g_array_index(changes, Change, i);

        after.value[change->option->id] = change->value;
    }
    return mig_options_check(&after, errp);
}

static void take_back(const MonMachine *machine, const MigOptions *before,
                      const GArray *changes, unsigned count)
{
    while (count-- > 0) {
        const MigOption *option = g_array_index(changes, Change, count).option;

        set_option(machine, option, before->value[option->id], NULL);
    }
}

static JsonNode *apply_changes(const MonMachine *machine, const GArray *changes,
                               GError **errp)
{
    MigOptions before;

    get_options(machine, &before);
    if (!check_changes(&before, changes, errp)) {
        return NULL;
    }
    for (unsigned i = 0; i < changes->len; i++) {
        const Change *change = &g_array_index(changes, Change, i);

        if (!set_option(machine, change->option, change->value, errp)) {
            take_back(machine, &before, changes, i);
            return NULL;
        }
    }
    return command_no_result();
}

static JsonNode *set_one(const MonMachine *machine, const MigOption *option,
                         uint64_t value, GError **errp)
{
    g_autoptr(GArray) changes = g_array_new(FALSE, FALSE, sizeof(Change));
    Change change = { .option = option, .value = value };

    g_array_append_val(changes, change);
    return apply_changes(machine, changes, errp);
}

static bool change_from_text(Change *change, const char *text, GError **errp)
{
    MigOptions scratch;
    bool ok = mig_options_set_text(&scratch, change->option, text, errp);

    if (ok) {
        change->value = scratch.value[change->option->id];
    }
    return ok;
}

/* As in QEMU, null stands for the empty string. */
static bool string_from_json(Change *change, JsonNode *node, GError **errp)
{
    bool is_string = json_node_get_value_type(node) == G_TYPE_STRING;

    if (!is_string && !JSON_NODE_HOLDS_NULL(node)) {
        command_error(errp,
                      "Invalid parameter type for '%s', expected: StrOrNull",
                      change->option->name);
        return false;
    }
    return change_from_text(change,
                            is_string ? json_node_get_string(node) : "", errp);
}

/* Get an option's value from JSON. */
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
    if (option->kind == MIG_KIND_STRING) {
        return string_from_json(change, node, errp);
    }
    if (option->kind == MIG_KIND_ENUM) {
        /* "" is no name, so that the table's error lists the names. */
        return change_from_text(change,
                                type == G_TYPE_STRING
                                    ? json_node_get_string(node) : "", errp);
    }
    if (type != G_TYPE_INT64) {
        command_error(errp,
                      "Parameter '%s' expects an integer between "
                      "%" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT,
                      option->name, option->min, option->max);
        return false;
    }
    /* A negative number becomes one that no option takes. */
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

    json_object_iter_init_ordered(&iter, args);
    while (json_object_iter_next_ordered(&iter, &name, &node)) {
        Change change = { .option = mig_option_find(name, false, NULL) };

        /* Programs have to use the exact name. */
        if (!change.option || !g_str_equal(change.option->name, name)) {
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
    const char *name = json_object_get_string_member(args, "parameter");
    const MigOption *option = mig_option_find(name, false, NULL);
    const char *text = json_object_get_string_member(args, "value");
    Change change = { .option = option };

    return change_from_text(&change, text, errp)
               ? set_one(machine, option, change.value, errp)
               : NULL;
}

JsonNode *cmd_migrate_set_capabilities(const MonMachine *machine,
                                       JsonObject *args, GError **errp)
{
    g_autoptr(GArray) changes = g_array_new(FALSE, FALSE, sizeof(Change));
    JsonArray *list = json_object_get_array_member(args, "capabilities");

    for (unsigned i = 0; i < json_array_get_length(list); i++) {
        JsonObject *entry = json_array_get_object_element(list, i);
        const char *name = json_object_get_string_member(entry, "capability");
        Change change = {
            .option = mig_option_find(name, true, NULL),
            .value = json_object_get_boolean_member(entry, "state"),
        };

        g_array_append_val(changes, change);
    }
    return apply_changes(machine, changes, errp);
}

JsonNode *cmd_migrate_set_capability(const MonMachine *machine,
                                     JsonObject *args, GError **errp)
{
    const char *name = json_object_get_string_member(args, "capability");

    return set_one(machine, mig_option_find(name, true, NULL),
                   json_object_get_boolean_member(args, "state"), errp);
}

JsonNode *cmd_query_migrate_capabilities(const MonMachine *machine,
                                         JsonObject *args, GError **errp)
{
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
    return command_array_result(list);
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
        } else if (option->kind == MIG_KIND_STRING) {
            command_set_text(values, option->name,
                             mig_options_string(&options, id));
        } else if (option->kind == MIG_KIND_ENUM) {
            json_object_set_string_member(values, option->name,
                                          option->names[options.value[id]]);
        } else if (option->kind != MIG_KIND_CAPABILITY) {
            json_object_set_int_member(values, option->name,
                                       (int64_t)options.value[id]);
        }
    }
    return command_object_result(values);
}

static bool is_given(JsonObject *args, const char *flag)
{
    return json_object_get_boolean_member_with_default(args, flag, false);
}

/* Refuse the flags that QEMU has and Ferry lacks. */
static bool check_flags(JsonObject *args, GError **errp)
{
    if (is_given(args, "resume")) {
        command_error(errp,
                      "Resuming (resume/-r) is not supported: there is no "
                      "postcopy, so no migration can be paused");
        return false;
    }
    if (is_given(args, "blk") || is_given(args, "inc")) {
        command_error(errp,
                      "Block migration (%s) is not supported: the "
                      "machine has no disks",
                      is_given(args, "blk") ? "blk/-b" : "inc/-i");
        return false;
    }
    return true;
}

typedef bool UseUri(void *opaque, const char *uri, GError **errp);

/* "fd:NAME" is a descriptor that the client has passed.  Once a migration has
 * started, it belongs to that. */
static JsonNode *use_passed_fd(const MonMachine *machine, UseUri *use,
                               const char *name, GError **errp)
{
    int fd = passed_fds_take(machine->fds, name);
    g_autofree char *uri = g_strdup_printf("fd:%d", fd);

    if (fd < 0) {
        command_error(errp, "File descriptor named '%s' has not been found",
                      name);
        return NULL;
    }
    if (!use(machine->opaque, uri, errp)) {
        passed_fds_put(machine->fds, name, fd);
        return NULL;
    }
    return command_no_result();
}

static JsonNode *use_uri(const MonMachine *machine, UseUri *use,
                         JsonObject *args, GError **errp)
{
    const char *uri = json_object_get_string_member(args, "uri");

    if (g_str_has_prefix(uri, "fd:") && !g_ascii_isdigit(uri[3])) {
        return use_passed_fd(machine, use, uri + 3, errp);
    }
    return use(machine->opaque, uri, errp) ? command_no_result() : NULL;
}

JsonNode *cmd_getfd(const MonMachine *machine, JsonObject *args,
                    GError **errp)
{
    const char *name = json_object_get_string_member(args, "fdname");
    int fd = passed_fds_next(machine->fds);

    if (fd < 0) {
        command_error(errp, "No file descriptor supplied via SCM_RIGHTS");
        return NULL;
    }
    if (g_ascii_isdigit(name[0])) {
        close(fd);
        command_error(errp, "Parameter 'fdname' expects a name not starting "
                            "with a digit");
        return NULL;
    }
    passed_fds_put(machine->fds, name, fd);
    return command_no_result();
}

JsonNode *cmd_closefd(const MonMachine *machine, JsonObject *args,
                      GError **errp)
{
    const char *name = json_object_get_string_member(args, "fdname");
    int fd = passed_fds_take(machine->fds, name);

    if (fd < 0) {
        command_error(errp, "File descriptor named '%s' not found", name);
        return NULL;
    }
    close(fd);
    return command_no_result();
}

JsonNode *cmd_migrate(const MonMachine *machine, JsonObject *args,
                      GError **errp)
{
    return check_flags(args, errp)
               ? use_uri(machine, machine->host->migrate, args, errp)
               : NULL;
}

void help_migrate(GString *out)
{
    g_string_append(out, "  -b, -i -- not supported: the machine has no disks\n"
                         "  -r -- not supported: there is no postcopy, so no "
                         "migration can be paused\n");
}

JsonNode *cmd_migrate_incoming(const MonMachine *machine, JsonObject *args,
                               GError **errp)
{
    return use_uri(machine, machine->host->migrate_incoming, args, errp);
}

JsonNode *cmd_migrate_cancel(const MonMachine *machine, JsonObject *args,
                             GError **errp)
{
    return machine->host->migrate_cancel(machine->opaque, errp)
               ? command_no_result()
               : NULL;
}

JsonNode *cmd_migrate_continue(const MonMachine *machine, JsonObject *args,
                               GError **errp)
{
    static const Member state = { "state", KIND_ENUM,
                                  .value = migration_status_name };
    int index =
        shape_find_value(&state, json_object_get_string_member(args, "state"));

    return machine->host->migrate_continue(machine->opaque, (MigState)index,
                                           errp)
               ? command_no_result()
               : NULL;
}

/* Only postcopy can be paused. */
JsonNode *cmd_migrate_pause(const MonMachine *machine, JsonObject *args,
                            GError **errp)
{
    command_error(errp, "migrate-pause is currently only supported during "
                        "postcopy-active state");
    return NULL;
}

static void set_count(JsonObject *object, const char *name, uint64_t value)
{
    json_object_set_int_member(object, name,
                               (int64_t)MIN(value, (uint64_t)G_MAXINT64));
}

/* JSON cannot express infinity. */
static void set_rate(JsonObject *object, const char *name, double value)
{
    json_object_set_double_member(object, name, isfinite(value) ? value : 0);
}

static const Member ram_members[] = {
    { "total", KIND_UINT },
    { "transferred", KIND_UINT },
    { "remaining", KIND_UINT, true },
    { "duplicate", KIND_UINT },
    { "skipped", KIND_UINT },
    { "normal", KIND_UINT },
    { "normal-bytes", KIND_UINT },
    { "dirty-pages-rate", KIND_UINT, true },
    { "mbps", KIND_NUMBER },
    { "dirty-sync-count", KIND_UINT, true },
    { "postcopy-requests", KIND_UINT },
    { "page-size", KIND_UINT },
    { "multifd-bytes", KIND_UINT },
    { "pages-per-second", KIND_UINT },
    { "precopy-bytes", KIND_UINT, true },
    { "downtime-bytes", KIND_UINT, true },
    { "postcopy-bytes", KIND_UINT },
    { NULL },
};

/* The members that only a source knows: see MigRamInfo. */
static void add_source_ram(JsonObject *object, const MigRamInfo *ram)
{
    set_count(object, "remaining", ram->remaining);
    set_count(object, "dirty-pages-rate", ram->dirty_pages_rate);
    set_count(object, "dirty-sync-count", ram->dirty_sync_count);
    set_count(object, "precopy-bytes", ram->precopy_bytes);
    set_count(object, "downtime-bytes", ram->downtime_bytes);
}

static JsonObject *ram_to_json(const MigInfo *info)
{
    const MigRamInfo *ram = &info->ram;
    JsonObject *object = json_object_new();

    set_count(object, "total", ram->total);
    set_count(object, "transferred", ram->transferred);
    set_count(object, "duplicate", ram->duplicate);
    set_count(object, "skipped", 0);
    set_count(object, "normal", ram->normal);
    set_count(object, "normal-bytes", ram->normal * MIG_PAGE_SIZE);
    set_rate(object, "mbps", ram->mbps);
    set_count(object, "postcopy-requests", 0);
    set_count(object, "page-size", MIG_PAGE_SIZE);
    set_count(object, "multifd-bytes", 0);
    set_count(object, "pages-per-second", ram->pages_per_second);
    set_count(object, "postcopy-bytes", 0);
    if (!info->incoming) {
        add_source_ram(object, ram);
    }
    return object;
}

static const Member compression_members[] = {
    { "pages", KIND_UINT },
    { "busy", KIND_UINT },
    { "busy-rate", KIND_NUMBER },
    { "compressed-size", KIND_UINT },
    { "compression-rate", KIND_NUMBER },
    { "unchanged", KIND_UINT, true },
    { "encoder", KIND_STRING, true },
    { "method", KIND_STRING, true },
    { "level", KIND_UINT, true },
    { "history", KIND_UINT, true },
    { "reason", KIND_STRING, true },
    { NULL },
};

static JsonObject *compression_to_json(const MigCompressionInfo *compression)
{
    JsonObject *object = json_object_new();

    set_count(object, "pages", compression->pages);
    set_count(object, "busy", compression->busy);
    set_rate(object, "busy-rate", compression->busy_rate);
    set_count(object, "compressed-size", compression->compressed_size);
    set_rate(object, "compression-rate", compression->rate);
    if (compression->encoder) { /* a source */
        set_count(object, "unchanged", compression->unchanged);
        json_object_set_string_member(object, "encoder",
                                      compression->encoder);
    }
    if (compression->method) {
        json_object_set_string_member(object, "method", compression->method);
        set_count(object, "level", compression->level);
    }
    if (compression->history) {
        set_count(object, "history", compression->history);
    }
    if (compression->reason) {
        json_object_set_string_member(object, "reason", compression->reason);
    }
    return object;
}

static const Member xbzrle_members[] = {
    { "cache-size", KIND_UINT },
    { "bytes", KIND_UINT },
    { "pages", KIND_UINT },
    { "cache-miss", KIND_UINT },
    { "cache-miss-rate", KIND_NUMBER },
    { "encoding-rate", KIND_NUMBER },
    { "overflow", KIND_UINT },
    { NULL },
};

static JsonObject *xbzrle_to_json(const MigXbzrleInfo *xbzrle)
{
    JsonObject *object = json_object_new();

    set_count(object, "cache-size", xbzrle->cache_size);
    set_count(object, "bytes", xbzrle->bytes);
    set_count(object, "pages", xbzrle->pages);
    set_count(object, "cache-miss", xbzrle->cache_miss);
    set_rate(object, "cache-miss-rate", xbzrle->cache_miss_rate);
    set_rate(object, "encoding-rate", xbzrle->encoding_rate);
    set_count(object, "overflow", xbzrle->overflow);
    return object;
}

static const char *address_type(unsigned index)
{
    static const char *const names[] = { "inet", "unix" };

    return index < G_N_ELEMENTS(names) ? names[index] : NULL;
}

static const Member address_members[] = {
    { "type", KIND_ENUM, .value = address_type },
    { "host", KIND_STRING, true },
    { "port", KIND_STRING, true },
    { "path", KIND_STRING, true },
    { NULL },
};

static const Member shape_address = { "", KIND_OBJECT,
                                      .members = address_members };

/* NULL unless the URI is a socket's. */
static JsonObject *address_to_json(const IoUri *uri)
{
    g_autofree char *port = g_strdup_printf("%u", uri->port);
    JsonObject *object;

    if (uri->kind != IO_URI_TCP && uri->kind != IO_URI_UNIX) {
        return NULL;
    }
    object = json_object_new();
    if (uri->kind == IO_URI_TCP) {
        json_object_set_string_member(object, "type", "inet");
        json_object_set_string_member(object, "host", uri->host);
        json_object_set_string_member(object, "port", port);
    } else {
        json_object_set_string_member(object, "type", "unix");
        command_set_text(object, "path", uri->path);
    }
    return object;
}

static void add_address(JsonObject *object, const IoUri *uri)
{
    JsonObject *address = uri ? address_to_json(uri) : NULL;

    if (address) {
        JsonArray *list = json_array_new();

        json_array_add_object_element(list, address);
        json_object_set_array_member(object, "socket-address", list);
    }
}

static const Member migrate_members[] = {
    { "status", KIND_ENUM, true, .value = migration_status_name },
    { "total-time", KIND_UINT, true },
    { "expected-downtime", KIND_UINT, true },
    { "downtime-floor", KIND_UINT, true },
    { "downtime", KIND_UINT, true },
    { "setup-time", KIND_UINT, true },
    { "ram", KIND_OBJECT, true, .members = ram_members },
    { "xbzrle-cache", KIND_OBJECT, true, .members = xbzrle_members },
    { "compression", KIND_OBJECT, true, .members = compression_members },
    { "cpu-throttle-percentage", KIND_UINT, true },
    { "error-desc", KIND_STRING, true },
    { "socket-address", KIND_ARRAY, true, .members = &shape_address },
    { NULL },
};

const Member shape_migrate = { "return", KIND_OBJECT,
                               .members = migrate_members };

/* The members that are known once pages move.  Like QEMU, leave them out when
 * the migration failed or was cancelled. */
static void add_progress(JsonObject *object, const MigInfo *info)
{
    bool completed = info->state == MIG_STATE_COMPLETED;

    if (!info->incoming && completed) {
        json_object_set_int_member(object, "downtime", info->downtime_ms);
    }
    if (!info->incoming && !completed) {
        json_object_set_int_member(object, "expected-downtime",
                                   info->expected_downtime_ms);
        if (info->downtime_floor_ms) {
            json_object_set_int_member(object, "downtime-floor",
                                       info->downtime_floor_ms);
        }
    }
    json_object_set_int_member(object, "setup-time", info->setup_time_ms);
    json_object_set_object_member(object, "ram", ram_to_json(info));
    if (info->xbzrle) {
        json_object_set_object_member(object, "xbzrle-cache",
                                      xbzrle_to_json(&info->xbzrle_cache));
    }
    if (info->compress) {
        json_object_set_object_member(object, "compression",
                                      compression_to_json(&info->compression));
    }
    if (info->cpu_throttle) {
        json_object_set_int_member(object, "cpu-throttle-percentage",
                                   info->cpu_throttle);
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
    bool any = machine->host->migrate_info(machine->opaque, &info);
    JsonObject *object = any && info.state != MIG_STATE_NONE
                             ? info_to_json(&info)
                             : json_object_new();

    add_address(object, machine->host->migrate_address(machine->opaque));
    mig_info_clear(&info);
    return command_object_result(object);
}
