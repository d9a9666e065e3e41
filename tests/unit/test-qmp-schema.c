/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP: query-qmp-schema. */
#include <string.h>

#include "tests/unit/test-monitor-fixture.h"

typedef struct SchemaFixture {
    Fixture base;
    JsonNode *answer;
    JsonArray *schema; /* in answer */
} SchemaFixture;

static void set_up(SchemaFixture *f, gconstpointer data)
{
    fixture_set_up_qmp(&f->base, data);
    client_send(f->base.client, "{\"execute\": \"query-qmp-schema\"}");
    f->answer = client_take_json(f->base.client);
    f->schema =
        json_object_get_array_member(json_node_get_object(f->answer), "return");
}

static void tear_down(SchemaFixture *f, gconstpointer data)
{
    json_node_unref(f->answer);
    fixture_tear_down(&f->base, data);
}

static JsonObject *find(SchemaFixture *f, const char *name)
{
    JsonObject *found = NULL;

    for (unsigned i = 0; i < json_array_get_length(f->schema); i++) {
        JsonObject *entity = json_array_get_object_element(f->schema, i);

        if (!strcmp(json_object_get_string_member(entity, "name"), name)) {
            g_assert_null(found); /* once only */
            found = entity;
        }
    }
    g_assert_nonnull(found);
    return found;
}

static void append_type(SchemaFixture *f, const char *name, GString *out);

static void append_members(SchemaFixture *f, JsonArray *members, GString *out)
{
    for (unsigned i = 0; i < json_array_get_length(members); i++) {
        JsonObject *member = json_array_get_object_element(members, i);

        g_string_append_printf(out, "%s%s%s: ", i ? ", " : "",
                               json_object_has_member(member, "default") ? "*"
                                                                         : "",
                               json_object_get_string_member(member, "name"));
        append_type(f, json_object_get_string_member(member, "type"), out);
    }
}

/* An enum has its values twice. */
static void append_values(JsonObject *type, GString *out)
{
    JsonArray *values = json_object_get_array_member(type, "values");
    JsonArray *members = json_object_get_array_member(type, "members");

    g_assert_cmpuint(json_array_get_length(values), ==,
                     json_array_get_length(members));
    for (unsigned i = 0; i < json_array_get_length(values); i++) {
        const char *value = json_array_get_string_element(values, i);
        JsonObject *member = json_array_get_object_element(members, i);

        g_assert_cmpstr(json_object_get_string_member(member, "name"), ==,
                        value);
        g_string_append_printf(out, "%s%s", i ? "|" : "", value);
    }
}

/* A type in one line: {name: str, *state: on|off, list: [int]}. */
static void append_type(SchemaFixture *f, const char *name, GString *out)
{
    JsonObject *type = find(f, name);
    const char *meta = json_object_get_string_member(type, "meta-type");

    if (g_str_equal(meta, "object")) {
        g_string_append_c(out, '{');
        append_members(f, json_object_get_array_member(type, "members"), out);
        g_string_append_c(out, '}');
    } else if (g_str_equal(meta, "array")) {
        const char *element =
            json_object_get_string_member(type, "element-type");
        g_autofree char *expected = g_strdup_printf("[%s]", element);

        g_assert_cmpstr(name, ==, expected);
        g_string_append_c(out, '[');
        append_type(f, element, out);
        g_string_append_c(out, ']');
    } else if (g_str_equal(meta, "enum")) {
        append_values(type, out);
    } else {
        g_assert_cmpstr(meta, ==, "builtin");
        g_assert_true(json_object_has_member(type, "json-type"));
        g_string_append(out, name);
    }
}

static void expect(SchemaFixture *f, const char *name, const char *meta,
                   const char *which, const char *expected)
{
    JsonObject *entity = find(f, name);
    g_autoptr(GString) out = g_string_new(NULL);

    g_assert_cmpstr(json_object_get_string_member(entity, "meta-type"), ==,
                    meta);
    append_type(f, json_object_get_string_member(entity, which), out);
    g_assert_cmpstr(out->str, ==, expected);
}

#define STATUSES                                                               \
    "none|setup|active|pre-switchover|device|completed|failed|cancelling|"     \
    "cancelled"
#define CAPABILITY_NAMES                                                       \
    "xbzrle|auto-converge|compress|events|return-path|"                        \
    "pause-before-switchover|"                                                 \
    "validate-uuid|verify"
#define PARAMETERS /* %s: the methods */                                       \
    "{*compress-history: int, *compress-level: int, *compress-method: %s, "    \
    "*compress-threads: int, "                                                 \
    "*compress-wait-thread: bool, *decompress-threads: int, "                  \
    "*throttle-trigger-threshold: int, *cpu-throttle-initial: int, "           \
    "*cpu-throttle-increment: int, *cpu-throttle-tailslow: bool, "             \
    "*max-cpu-throttle: int, *tls-creds: str, *tls-hostname: str, "            \
    "*max-bandwidth: int, *downtime-limit: int, "                              \
    "*xbzrle-cache-size: int, *stall-timeout: int}"

static void test_arguments(SchemaFixture *f, gconstpointer data)
{
    static const struct {
        const char *command, *type;
    } rows[] = {
        { "migrate", "{uri: str, *detach: bool, *blk: bool, *inc: bool, "
                     "*resume: bool}" },
        { "migrate-continue", "{state: " STATUSES "}" },
        { "migrate-set-capabilities",
          "{capabilities: [{capability: " CAPABILITY_NAMES ", state: bool}]}" },
        { "pmemsave", "{val: int, size: int, filename: str}" },
        { "qmp_capabilities", "{*enable: []}" },
        { "human-monitor-command", "{command-line: str, *cpu-index: int}" },
        { "query-status", "{}" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        expect(f, rows[i].command, "command", "arg-type", rows[i].type);
    }
}

static void test_results(SchemaFixture *f, gconstpointer data)
{
    static const struct {
        const char *command, *type;
    } rows[] = {
        { "migrate", "{}" },
        { "query-commands", "[{name: str}]" },
        { "query-events", "[{name: str}]" },
        { "query-migrate",
          "{*status: " STATUSES ", *total-time: int, *expected-downtime: int, "
          "*downtime-floor: int, "
          "*downtime: int, *setup-time: int, *ram: {total: int, "
          "transferred: int, *remaining: int, duplicate: int, skipped: int, "
          "normal: int, normal-bytes: int, *dirty-pages-rate: int, "
          "mbps: number, *dirty-sync-count: int, postcopy-requests: int, "
          "page-size: int, multifd-bytes: int, pages-per-second: int, "
          "*precopy-bytes: int, *downtime-bytes: int, postcopy-bytes: int}, "
          "*xbzrle-cache: {cache-size: int, bytes: int, pages: int, "
          "cache-miss: int, cache-miss-rate: number, "
          "encoding-rate: number, overflow: int}, "
          "*compression: {pages: int, busy: int, busy-rate: number, "
          "compressed-size: int, compression-rate: number, "
          "*unchanged: int, *encoder: str, *method: str, *level: int, "
          "*history: int, *reason: str}, "
          "*cpu-throttle-percentage: int, *error-desc: str, "
          "*socket-address: [{type: inet|unix, *host: str, *port: str, "
          "*path: str}]}" },
        { "query-migrate-capabilities",
          "[{capability: " CAPABILITY_NAMES ", state: bool}]" },
        { "query-name", "{*name: str}" },
        { "query-qmp-schema",
          "[{name: str, meta-type: builtin|enum|array|object|command|event, "
          "*arg-type: str, *ret-type: str, *json-type: str, "
          "*element-type: str, *members: [{name: str, *type: str, "
          "*default: any}], *values: [str]}]" },
        { "query-status",
          "{running: bool, singlestep: bool, status: finish-migrate|inmigrate|"
          "internal-error|paused|postmigrate|prelaunch|running|shutdown}" },
        { "query-version", "{qemu: {major: int, minor: int, micro: int}, "
                           "package: str}" },
        { "human-monitor-command", "str" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        expect(f, rows[i].command, "command", "ret-type", rows[i].type);
    }
}

static void test_parameters(SchemaFixture *f, gconstpointer data)
{
    const MigOption *method = mig_option(MIG_OPT_COMPRESS_METHOD);
    g_autofree char *methods = g_strjoinv("|", (char **)method->names);
    g_autofree char *expected = g_strdup_printf(PARAMETERS, methods);

    expect(f, "migrate-set-parameters", "command", "arg-type", expected);
    expect(f, "query-migrate-parameters", "command", "ret-type", expected);
}

static void test_events(SchemaFixture *f, gconstpointer data)
{
    expect(f, "MIGRATION", "event", "arg-type", "{status: " STATUSES "}");
    expect(f, "MIGRATION_PASS", "event", "arg-type", "{pass: int}");
    expect(f, "SHUTDOWN", "event", "arg-type",
           "{guest: bool, reason: host-qmp-quit|host-signal|guest-shutdown}");
    expect(f, "STOP", "event", "arg-type", "{}");
}

static void expect_all_of(SchemaFixture *f, const char *query, const char *meta,
                          unsigned count)
{
    g_autofree char *text = g_strdup_printf("{\"execute\": \"%s\"}", query);
    g_autoptr(JsonNode) answer = NULL;
    JsonArray *list;

    client_send(f->base.client, text);
    answer = client_take_json(f->base.client);
    list = json_object_get_array_member(json_node_get_object(answer), "return");
    g_assert_cmpuint(json_array_get_length(list), ==, count);
    for (unsigned i = 0; i < count; i++) {
        JsonObject *entry = json_array_get_object_element(list, i);
        const char *name = json_object_get_string_member(entry, "name");

        g_assert_cmpstr(
            json_object_get_string_member(find(f, name), "meta-type"), ==,
            meta);
    }
}

/* All that there is, and nothing else. */
static void test_complete(SchemaFixture *f, gconstpointer data)
{
    unsigned commands = 0, events = 0;

    for (unsigned i = 0; i < json_array_get_length(f->schema); i++) {
        const char *meta = json_object_get_string_member(
            json_array_get_object_element(f->schema, i), "meta-type");

        commands += g_str_equal(meta, "command");
        events += g_str_equal(meta, "event");
    }
    expect_all_of(f, "query-commands", "command", commands);
    expect_all_of(f, "query-events", "event", events);
}

static void add(const char *path,
                void (*test)(SchemaFixture *f, gconstpointer data))
{
    g_test_add(path, SchemaFixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/qmp-schema/arguments", test_arguments);
    add("/qmp-schema/results", test_results);
    add("/qmp-schema/parameters", test_parameters);
    add("/qmp-schema/events", test_events);
    add("/qmp-schema/complete", test_complete);
    return g_test_run();
}
