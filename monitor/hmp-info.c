/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How HMP shows the results of commands.
 *
 * Labels, units and the order of lines are QEMU's, because scripts read them.
 * The line "capabilities:" is from QEMU's older format.
 */
#include "monitor/commands.h"

void print_text(const MonMachine *machine, JsonNode *result, GString *out)
{
    g_string_append(out, json_node_get_string(result));
}

void print_status(const MonMachine *machine, JsonNode *result, GString *out)
{
    JsonObject *object = json_node_get_object(result);
    const char *status = json_object_get_string_member(object, "status");
    bool running = json_object_get_boolean_member(object, "running");

    g_string_append_printf(out, "VM status: %s",
                           running ? "running" : "paused");
    if (!running && !g_str_equal(status, "paused")) {
        g_string_append_printf(out, " (%s)", status);
    }
    g_string_append_c(out, '\n');
}

void print_name(const MonMachine *machine, JsonNode *result, GString *out)
{
    const char *name = json_object_get_string_member_with_default(
        json_node_get_object(result), "name", NULL);

    if (name) {
        g_string_append_printf(out, "%s\n", name);
    }
}

/* People want to know Ferry's version, not the QEMU's that QMP names. */
void print_version(const MonMachine *machine, JsonNode *result, GString *out)
{
    g_string_append_printf(out, "%s\n", mig_version());
}

void print_migrate_capabilities(const MonMachine *machine, JsonNode *result,
                                GString *out)
{
    JsonArray *list = json_node_get_array(result);

    for (unsigned i = 0; i < json_array_get_length(list); i++) {
        JsonObject *entry = json_array_get_object_element(list, i);

        g_string_append_printf(
            out, "%s: %s\n", json_object_get_string_member(entry, "capability"),
            json_object_get_boolean_member(entry, "state") ? "on" : "off");
    }
}

/* The value as mig_options_text() writes it. */
static char *parameter_text(const MigOption *option, JsonNode *value)
{
    MigOptions options;

    if (option->kind == MIG_KIND_STRING) {
        return g_strdup_printf("'%s'", json_node_get_string(value));
    }
    if (option->kind == MIG_KIND_ENUM) {
        return json_node_dup_string(value);
    }
    options.value[option->id] = option->kind == MIG_KIND_BOOL
                                    ? (uint64_t)json_node_get_boolean(value)
                                    : (uint64_t)json_node_get_int(value);
    return mig_options_text(&options, option);
}

void print_migrate_parameters(const MonMachine *machine, JsonNode *result,
                              GString *out)
{
    JsonObject *values = json_node_get_object(result);

    for (MigOptionId id = 0; id < MIG_OPT__COUNT; id++) {
        const MigOption *option = mig_option(id);
        JsonNode *value = json_object_get_member(values, option->name);

        if (value) { /* otherwise the option is a capability */
            g_autofree char *text = parameter_text(option, value);

            g_string_append_printf(out, "%s: %s\n", option->name, text);
        }
    }
}

typedef enum {
    UNIT_NONE,
    UNIT_MS,
    UNIT_FLOOR,  /* ms of downtime that no pass makes shorter */
    UNIT_BYTES,
    UNIT_KBYTES, /* the member is in bytes */
    UNIT_PAGES,
    UNIT_MBPS, /* a floating-point number, like the next */
    UNIT_RATIO,
    UNIT_TEXT,
} Unit;

typedef struct Line {
    const char *label;
    const char *member;
    Unit unit;
} Line;

static const Line time_lines[] = {
    { "total time", "total-time", UNIT_MS },
    { "expected downtime", "expected-downtime", UNIT_MS },
    { "downtime floor", "downtime-floor", UNIT_FLOOR },
    { "downtime", "downtime", UNIT_MS },
    { "setup", "setup-time", UNIT_MS },
    { NULL },
};

static const Line ram_lines[] = {
    { "transferred ram", "transferred", UNIT_KBYTES },
    { "throughput", "mbps", UNIT_MBPS },
    { "remaining ram", "remaining", UNIT_KBYTES },
    { "total ram", "total", UNIT_KBYTES },
    { "duplicate", "duplicate", UNIT_PAGES },
    { "skipped", "skipped", UNIT_PAGES },
    { "normal", "normal", UNIT_PAGES },
    { "normal bytes", "normal-bytes", UNIT_KBYTES },
    { "dirty sync count", "dirty-sync-count", UNIT_NONE },
    { "page size", "page-size", UNIT_KBYTES },
    { "multifd bytes", "multifd-bytes", UNIT_KBYTES },
    { "pages-per-second", "pages-per-second", UNIT_NONE },
    { NULL },
};

static const Line dirty_lines[] = {
    { "dirty pages rate", "dirty-pages-rate", UNIT_PAGES },
    { NULL },
};

static const Line phase_lines[] = {
    { "precopy ram", "precopy-bytes", UNIT_KBYTES },
    { "downtime ram", "downtime-bytes", UNIT_KBYTES },
    { NULL },
};

static const Line xbzrle_lines[] = {
    { "cache size", "cache-size", UNIT_BYTES },
    { "xbzrle transferred", "bytes", UNIT_KBYTES },
    { "xbzrle pages", "pages", UNIT_PAGES },
    { "xbzrle cache miss", "cache-miss", UNIT_PAGES },
    { "xbzrle cache miss rate", "cache-miss-rate", UNIT_RATIO },
    { "xbzrle encoding rate", "encoding-rate", UNIT_RATIO },
    { "xbzrle overflow", "overflow", UNIT_NONE },
    { NULL },
};

static const Line compression_lines[] = {
    { "compression pages", "pages", UNIT_PAGES },
    { "compression busy", "busy", UNIT_NONE },
    { "compression busy rate", "busy-rate", UNIT_RATIO },
    { "compressed size", "compressed-size", UNIT_KBYTES },
    { "compression rate", "compression-rate", UNIT_RATIO },
    { "compression unchanged", "unchanged", UNIT_PAGES },
    { "compression encoder", "encoder", UNIT_TEXT },
    { "compression method", "method", UNIT_TEXT },
    { "compression level", "level", UNIT_NONE },
    { "compression history", "history", UNIT_KBYTES },
    { "compression reason", "reason", UNIT_TEXT },
    { NULL },
};

static const Line throttle_lines[] = {
    { "cpu throttle percentage", "cpu-throttle-percentage", UNIT_NONE },
    { NULL },
};

static void print_value(JsonNode *value, Unit unit, GString *out)
{
    switch (unit) {
    case UNIT_NONE:
        g_string_append_printf(out, "%" G_GINT64_FORMAT,
                               json_node_get_int(value));
        return;
    case UNIT_MS:
        g_string_append_printf(out, "%" G_GINT64_FORMAT " ms",
                               json_node_get_int(value));
        return;
    case UNIT_FLOOR:
        g_string_append_printf(out, "%" G_GINT64_FORMAT " ms, which no pass "
                               "makes shorter: downtime-limit cannot be met",
                               json_node_get_int(value));
        return;
    case UNIT_BYTES:
        g_string_append_printf(out, "%" G_GINT64_FORMAT " bytes",
                               json_node_get_int(value));
        return;
    case UNIT_KBYTES:
        g_string_append_printf(out, "%" G_GINT64_FORMAT " kbytes",
                               json_node_get_int(value) / 1024);
        return;
    case UNIT_PAGES:
        g_string_append_printf(out, "%" G_GINT64_FORMAT " pages",
                               json_node_get_int(value));
        return;
    case UNIT_MBPS:
        g_string_append_printf(out, "%.2f mbps", json_node_get_double(value));
        return;
    case UNIT_RATIO:
        g_string_append_printf(out, "%.2f", json_node_get_double(value));
        return;
    case UNIT_TEXT:
        g_string_append(out, json_node_get_string(value));
        return;
    }
    g_assert_not_reached();
}

/* Print the lines for which object has a member. */
static void print_lines(const Line *lines, JsonObject *object, GString *out)
{
    for (; lines->label; lines++) {
        JsonNode *value = json_object_get_member(object, lines->member);

        if (value) {
            g_string_append_printf(out, "%s: ", lines->label);
            print_value(value, lines->unit, out);
            g_string_append_c(out, '\n');
        }
    }
}

static void print_capabilities_line(const MonMachine *machine, GString *out)
{
    MigOptions options;

    machine->host->get_options(machine->opaque, &options);
    g_string_append(out, "capabilities:");
    for (MigOptionId id = 0; id < MIG_OPT__COUNT; id++) {
        const MigOption *option = mig_option(id);

        if (option->kind == MIG_KIND_CAPABILITY) {
            g_autofree char *text = mig_options_text(&options, option);

            g_string_append_printf(out, " %s: %s", option->name, text);
        }
    }
    g_string_append_c(out, '\n');
}

static void print_migration_status(JsonObject *object, GString *out)
{
    const char *reason =
        json_object_get_string_member_with_default(object, "error-desc", NULL);

    g_string_append_printf(out, "Migration status: %s",
                           json_object_get_string_member(object, "status"));
    if (reason) {
        g_string_append_printf(out, " (%s)", reason);
    }
    g_string_append_c(out, '\n');
}

static void print_ram(JsonObject *ram, bool completed, GString *out)
{
    print_lines(ram_lines, ram, out);
    if (!completed) {
        print_lines(dirty_lines, ram, out);
    }
    print_lines(phase_lines, ram, out);
}

static void print_addresses(const MonMachine *machine, GString *out)
{
    g_autofree char *text =
        io_uri_to_string(machine->host->migrate_address(machine->opaque));

    g_string_append_printf(out, "socket address: [\n\t%s\n]\n", text);
}

static void print_part(const Line *lines, JsonObject *object,
                       const char *part, GString *out)
{
    if (json_object_has_member(object, part)) {
        print_lines(lines, json_object_get_object_member(object, part), out);
    }
}

void print_migrate(const MonMachine *machine, JsonNode *result, GString *out)
{
    JsonObject *object = json_node_get_object(result);
    const char *status =
        json_object_get_string_member_with_default(object, "status", NULL);

    print_capabilities_line(machine, out);
    if (json_object_has_member(object, "socket-address")) {
        print_addresses(machine, out);
    }
    if (!status) {
        return; /* there has been no migration */
    }
    print_migration_status(object, out);
    print_lines(time_lines, object, out);
    if (json_object_has_member(object, "ram")) {
        print_ram(json_object_get_object_member(object, "ram"),
                  g_str_equal(status, "completed"), out);
    }
    print_part(xbzrle_lines, object, "xbzrle-cache", out);
    print_part(compression_lines, object, "compression", out);
    print_lines(throttle_lines, object, out);
}
