/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP: negotiation, commands, arguments, events. */
#include <math.h>

#include "tests/unit/test-monitor-fixture.h"

/* {"execute": command, "arguments": args}; args may be NULL. */
static char *request(const char *command, const char *args)
{
    return args ? g_strdup_printf("{\"execute\": \"%s\", \"arguments\": %s}",
                                  command, args)
                : g_strdup_printf("{\"execute\": \"%s\"}", command);
}

static void answers(Fixture *f, const char *command, const char *args,
                    const char *expected)
{
    g_autofree char *text = request(command, args);

    client_expect_answer(f->client, text, expected);
}

static void fails(Fixture *f, const char *command, const char *args,
                  const char *desc)
{
    g_autofree char *text = request(command, args);

    client_expect_error(f->client, text, desc);
}

static char *version_json(void)
{
    return g_strdup_printf("{\"qemu\": {\"micro\": 0, \"minor\": 2, \"major\": "
                           "7}, \"package\": \"Ferry %s\"}",
                           mig_version());
}

static void test_greeting(void)
{
    FakeMachine *machine = fake_machine_new();
    Client *client = client_new(machine, MON_QMP);
    g_autofree char *version = version_json();
    g_autofree char *expected = g_strdup_printf(
        "{\"QMP\": {\"version\": %s, \"capabilities\": []}}", version);

    client_expect_json(client, expected);
    client_free(client);
    fake_machine_free(machine);
}

static void test_negotiation(void)
{
    static const char first[] =
        "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"Expecting "
        "capabilities negotiation with 'qmp_capabilities'\"}}";
    static const char again[] =
        "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
        "\"Capabilities negotiation is already complete, command "
        "ignored\"}}";
    FakeMachine *machine = fake_machine_new();
    Client *client = client_new(machine, MON_QMP);
    g_autofree char *greeting = client_take(client, "\r\n");

    client_expect_answer(client, "{\"execute\": \"stop\"}", first);
    client_expect_answer(client, "{\"execute\": \"foo\"}", first);
    g_assert_true(machine->running);
    client_expect_error(client,
                        "{\"execute\": \"qmp_capabilities\", "
                        "\"arguments\": {\"enable\": [\"oob\"]}}",
                        "Parameter 'enable' does not accept value 'oob'");
    client_expect_answer(client, "{\"execute\": \"query-name\"}", first);
    client_expect_answer(client,
                         "{\"execute\": \"qmp_capabilities\", "
                         "\"arguments\": {\"enable\": []}}",
                         DONE);
    client_expect_answer(client, "{\"execute\": \"query-name\"}",
                         "{\"return\": {\"name\": \"bob\"}}");
    client_expect_answer(client, "{\"execute\": \"qmp_capabilities\"}", again);
    client_free(client);
    fake_machine_free(machine);
}

static void test_requests(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *request, *desc;
    } rows[] = {
        { "[1, 2]", "QMP input must be a JSON object" },
        { "{}", "QMP input lacks member 'execute'" },
        { "{\"foo\": 1}", "QMP input member 'foo' is unexpected" },
        { "{\"execute\": 5}", "QMP input member 'execute' must be a string" },
        { "{\"execute\": null}",
          "QMP input member 'execute' must be a string" },
        { "{\"execute\": \"stop\", \"arguments\": 5}",
          "QMP input member 'arguments' must be an object" },
        { "{\"execute\": \"stop\", \"bar\": {}}",
          "QMP input member 'bar' is unexpected" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        client_expect_error(f->client, rows[i].request, rows[i].desc);
    }
    client_expect_answer(f->client, "{\"execute\": \"foo\"}",
                         "{\"error\": {\"class\": \"CommandNotFound\", "
                         "\"desc\": \"The command foo has not been "
                         "found\"}}");
    g_assert_true(f->machine->running);
}

static void test_id(Fixture *f, gconstpointer data)
{
    static const char *const ids[] = {
        "7",
        "-1.5",
        "\"x\"",
        "null",
        "true",
        "[1, [2]]",
        "{\"a\": {\"b\": 1}}",
        "9223372036854775807",
        "-9223372036854775808",
        "9.2e18",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_autofree char *good = g_strdup_printf(
            "{\"execute\": \"query-name\", \"id\": %s}", ids[i]);
        g_autofree char *answer = g_strdup_printf(
            "{\"return\": {\"name\": \"bob\"}, \"id\": %s}", ids[i]);
        g_autofree char *bad =
            g_strdup_printf("{\"id\": %s, \"execute\": \"foo\"}", ids[i]);
        g_autofree char *error = g_strdup_printf(
            "{\"id\": %s, \"error\": {\"class\": \"CommandNotFound\", "
            "\"desc\": \"The command foo has not been found\"}}",
            ids[i]);

        client_expect_answer(f->client, good, answer);
        client_expect_answer(f->client, bad, error);
    }
}

static void test_arguments(Fixture *f, gconstpointer data)
{
    fails(f, "query-status", "{\"x\": 1}", "Parameter 'x' is unexpected");
    fails(f, "migrate", NULL, "Parameter 'uri' is missing");
    fails(f, "migrate", "{\"uri\": 5}",
          "Invalid parameter type for 'uri', expected: string");
    fails(f, "migrate", "{\"uri\": null}",
          "Invalid parameter type for 'uri', expected: string");
    fails(f, "migrate", "{\"uri\": \"tcp:a:1\", \"foo\": 1}",
          "Parameter 'foo' is unexpected");
    fails(f, "migrate", "{\"uri\": \"tcp:a:1\", \"detach\": \"x\"}",
          "Invalid parameter type for 'detach', expected: boolean");
    fails(f, "pmemsave", "{\"val\": 0.5}",
          "Invalid parameter type for 'val', expected: integer");
    fails(f, "pmemsave", "{\"val\": 0, \"size\": -1}",
          "Parameter 'size' expects a value between 0 and "
          "9223372036854775807");
    fixture_expect_calls(f, "");
}

static void test_run_state(Fixture *f, gconstpointer data)
{
    answers(f, "query-status", NULL,
            "{\"return\": {\"status\": \"running\", \"singlestep\": false, "
            "\"running\": true}}");
    f->machine->running = false;
    f->machine->status = "inmigrate";
    answers(f, "query-status", NULL,
            "{\"return\": {\"status\": \"inmigrate\", \"singlestep\": false, "
            "\"running\": false}}");
}

static void test_name_and_version(Fixture *f, gconstpointer data)
{
    g_autofree char *version = version_json();
    g_autofree char *expected = g_strdup_printf("{\"return\": %s}", version);

    answers(f, "query-version", NULL, expected);
    f->machine->host.name = "b\xff"; /* JSON takes UTF-8 only */
    answers(f, "query-name", NULL,
            "{\"return\": {\"name\": \"b\xef\xbf\xbd\"}}");
    f->machine->host.name = NULL;
    answers(f, "query-name", NULL, DONE);
}

/* The names in an answer, with blanks between. */
static char *ask_names(Fixture *f, const char *command)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *text = request(command, NULL);
    g_autoptr(JsonNode) answer = NULL;
    JsonArray *array;

    client_send(f->client, text);
    answer = client_take_json(f->client);
    array =
        json_object_get_array_member(json_node_get_object(answer), "return");
    for (unsigned i = 0; i < json_array_get_length(array); i++) {
        JsonObject *entry = json_array_get_object_element(array, i);

        g_ptr_array_add(names,
                        g_strdup(json_object_get_string_member(entry, "name")));
    }
    g_ptr_array_add(names, NULL);
    return g_strjoinv(" ", (char **)names->pdata);
}

static void test_query_commands(Fixture *f, gconstpointer data)
{
    g_autofree char *list = ask_names(f, "query-commands");

    g_assert_cmpstr(
        list, ==,
        "closefd cont getfd human-monitor-command query-migrate "
        "query-migrate-capabilities "
        "query-migrate-parameters query-name query-status query-version "
        "migrate migrate_cancel migrate-continue migrate-incoming "
        "migrate-pause migrate-set-capabilities migrate-set-parameters "
        "pmemsave qmp_capabilities query-commands query-events "
        "query-qmp-schema quit stop");
}

static void test_query_events(Fixture *f, gconstpointer data)
{
    g_autofree char *list = ask_names(f, "query-events");

    g_assert_cmpstr(list, ==, "MIGRATION MIGRATION_PASS RESUME SHUTDOWN STOP");
}

static void test_migrate(Fixture *f, gconstpointer data)
{
    answers(f, "migrate", "{\"uri\": \"tcp:a:1\"}", DONE);
    answers(f, "migrate", "{\"uri\": \"tcp:b:1\", \"detach\": true}", DONE);
    answers(f, "migrate-incoming", "{\"uri\": \"tcp::4444\"}", DONE);
    answers(f, "migrate_cancel", NULL, DONE);
    answers(f, "pmemsave",
            "{\"val\": 4096, \"size\": 8192, \"filename\": \"/x\"}", DONE);
    fixture_expect_calls(
        f, "migrate tcp:a:1; migrate tcp:b:1; incoming tcp::4444; "
           "cancel; pmemsave 4096 8192 /x; ");
}

static void test_migrate_flags(Fixture *f, gconstpointer data)
{
    /* As libvirt sends it. */
    answers(f, "migrate",
            "{\"uri\": \"tcp:a:1\", \"detach\": true, \"blk\": false, "
            "\"inc\": false, \"resume\": false}",
            DONE);
    fails(f, "migrate", "{\"uri\": \"tcp:a:1\", \"resume\": true}",
          "Resuming (resume/-r) is not supported: there is no postcopy, so no "
          "migration can be paused");
    fails(f, "migrate", "{\"uri\": \"tcp:a:1\", \"blk\": true}",
          "Block migration (blk/-b) is not supported: the machine has no "
          "disks");
    fails(f, "migrate", "{\"uri\": \"tcp:a:1\", \"inc\": true}",
          "Block migration (inc/-i) is not supported: the machine has no "
          "disks");
    fixture_expect_calls(f, "migrate tcp:a:1; ");
}

static void test_continue(Fixture *f, gconstpointer data)
{
    answers(f, "migrate-continue", "{\"state\": \"pre-switchover\"}", DONE);
    fails(f, "migrate-continue", NULL, "Parameter 'state' is missing");
    fails(f, "migrate-continue", "{\"state\": \"xx\"}",
          "Parameter 'state' does not accept value 'xx'");
    fails(f, "migrate-continue", "{\"state\": \"pre_switchover\"}",
          "Parameter 'state' does not accept value 'pre_switchover'");
    fails(f, "migrate-continue", "{\"state\": 5}",
          "Invalid parameter type for 'state', expected: string");
    f->machine->refusal = "Migration not in expected state: none";
    fails(f, "migrate-continue", "{\"state\": \"active\"}",
          "Migration not in expected state: none");
    fixture_expect_calls(f, "continue pre-switchover; ");
}

static void test_pause(Fixture *f, gconstpointer data)
{
    fails(f, "migrate-pause", NULL,
          "migrate-pause is currently only supported during postcopy-active "
          "state");
}

static void test_host_errors(Fixture *f, gconstpointer data)
{
    f->machine->refusal = "No, thank you";
    fails(f, "migrate", "{\"uri\": \"foo:bar\"}", "No, thank you");
    fails(f, "migrate-incoming", "{\"uri\": \"foo:bar\"}", "No, thank you");
    fails(f, "migrate_cancel", NULL, "No, thank you");
    fails(f, "stop", NULL, "No, thank you");
    fails(f, "cont", NULL, "No, thank you");
    fails(f, "pmemsave", "{\"val\": 0, \"size\": 1, \"filename\": \"/x\"}",
          "No, thank you");
    fails(f, "migrate-set-parameters", "{\"compress-level\": 2}",
          "No, thank you");
}

#define STATE_JSON(name, state)                                                \
    "{\"capability\": \"" name "\", \"state\": " state "}"

/* clang-format off */
#define CAPABILITIES_JSON(compress)                                            \
    "{\"return\": ["                                                           \
    STATE_JSON("xbzrle", "false") ", "                                         \
    STATE_JSON("auto-converge", "false") ", "                                  \
    STATE_JSON("compress", compress) ", "                                      \
    STATE_JSON("events", "false") ", "                                         \
    STATE_JSON("return-path", "true") ", "                                     \
    STATE_JSON("pause-before-switchover", "false") ", "                        \
    STATE_JSON("validate-uuid", "false") ", "                                  \
    STATE_JSON("verify", "false")                                              \
    "]}"
/* clang-format on */

static void test_capabilities(Fixture *f, gconstpointer data)
{
    static const char set[] = "migrate-set-capabilities";
    static const char query[] = "query-migrate-capabilities";

    answers(f, query, NULL, CAPABILITIES_JSON("false"));
    answers(f, set, "{\"capabilities\": [" STATE_JSON("compress", "true") "]}",
            DONE);
    answers(f, query, NULL, CAPABILITIES_JSON("true"));
    answers(f, set, "{\"capabilities\": []}", DONE);
    answers(f, set,
            "{\"capabilities\": [" STATE_JSON(
                "auto-converge", "true") ", " STATE_JSON("events", "true") "]}",
            DONE);
    fixture_expect_calls(f, "compress=1; auto-converge=1; events=1; ");
}

static void test_capability_errors(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *entries, *desc;
    } rows[] = {
        { "5", "Invalid parameter type for 'capabilities', expected: array" },
        { "[{\"capability\": \"compress\", \"state\": true}, 5]",
          "Invalid parameter type for 'capabilities[1]', expected: object" },
        { "[{\"capability\": \"compress\"}]",
          "Parameter 'capabilities[0].state' is missing" },
        { "[{\"state\": true}]",
          "Parameter 'capabilities[0].capability' is missing" },
        { "[{\"capability\": \"compress\", \"state\": 1}]",
          "Invalid parameter type for 'capabilities[0].state', expected: "
          "boolean" },
        { "[{\"capability\": \"compress\", \"state\": true, \"x\": 1}]",
          "Parameter 'capabilities[0].x' is unexpected" },
        { "[{\"capability\": \"compress\", \"state\": true}, "
          "{\"capability\": \"foo\", \"state\": true}]",
          "Parameter 'capability' does not accept value 'foo'" },
        { "[{\"capability\": \"auto_converge\", \"state\": true}]",
          "Parameter 'capability' does not accept value 'auto_converge'" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *args =
            g_strdup_printf("{\"capabilities\": %s}", rows[i].entries);

        fails(f, "migrate-set-capabilities", args, rows[i].desc);
    }
    fixture_expect_calls(f, ""); /* the good entries neither */
}

static void test_parameters(Fixture *f, gconstpointer data)
{
    answers(f, "migrate-set-parameters",
            "{\"compress-level\": 9, \"compress-threads\": 12, "
            "\"compress-wait-thread\": false, \"max-bandwidth\": 0}",
            DONE);
    answers(f, "migrate-set-parameters", NULL, DONE);
    answers(f, "migrate-set-parameters",
            "{\"tls-creds\": \"/a folder\", \"tls-hostname\": \"host\"}", DONE);
    answers(f, "migrate-set-parameters", "{\"tls-hostname\": null}", DONE);
    answers(f, "query-migrate-parameters", NULL,
            "{\"return\": {\"compress-history\": 67108864, "
            "\"compress-level\": 9, "
            "\"compress-method\": \"auto\", \"compress-threads\": 12, "
            "\"compress-wait-thread\": false, \"decompress-threads\": 2, "
            "\"throttle-trigger-threshold\": 50, "
            "\"cpu-throttle-initial\": 20, \"cpu-throttle-increment\": 10, "
            "\"cpu-throttle-tailslow\": false, \"max-cpu-throttle\": 99, "
            "\"tls-creds\": \"/a folder\", \"tls-hostname\": \"\", "
            "\"max-bandwidth\": 0, \"downtime-limit\": 300, "
            "\"xbzrle-cache-size\": 67108864, \"stall-timeout\": 60}}");
}

static void test_parameter_errors(Fixture *f, gconstpointer data)
{
    static const char threads[] =
        "Parameter 'compress_threads' expects a value between 1 and 255";
    static const char integer[] =
        "Parameter 'compress-threads' expects an integer between 1 and 255";
    static const struct {
        const char *args, *desc;
    } rows[] = {
        { "{\"compress-level\": 2, \"compress-threads\": 0}", threads },
        { "{\"compress-level\": 2, \"compress-threads\": 256}", threads },
        { "{\"compress-level\": 2, \"compress-threads\": -1}", threads },
        { "{\"compress-level\": 2, \"compress-threads\": \"8\"}", integer },
        { "{\"compress-level\": 2, \"compress-threads\": 8.0}", integer },
        { "{\"compress-level\": 2, \"compress-threads\": "
          "18446744073709551617}",
          integer },
        { "{\"compress-level\": 2, \"compress-threads\": "
          "-18446744073709551615}",
          integer },
        { "{\"compress-level\": 2, \"compress-threads\": {}}", integer },
        { "{\"compress-level\": 2, \"compress-threads\": null}", integer },
        { "{\"compress-level\": 2, \"compress-wait-thread\": 1}",
          "Invalid parameter type for 'compress-wait-thread', expected: "
          "boolean" },
        { "{\"compress-level\": 2, \"tls-creds\": 1}",
          "Invalid parameter type for 'tls-creds', expected: StrOrNull" },
        { "{\"compress-level\": 2, \"tls-creds\": {\"x\": []}}",
          "Invalid parameter type for 'tls-creds', expected: StrOrNull" },
        { "{\"compress-level\": 2, \"foo\": 1}",
          "Parameter 'foo' is unexpected" },
        { "{\"compress_level\": 2}",
          "Parameter 'compress_level' is unexpected" },
        { "{\"compress-level\": 2, \"compress\": true}",
          "Parameter 'compress' is unexpected" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        fails(f, "migrate-set-parameters", rows[i].args, rows[i].desc);
    }
    fixture_expect_calls(f, ""); /* the good ones neither */
}

/* Each is good, but they do not fit each other, or what is set already; it
 * does not matter which of them comes first. */
static void test_parameters_fit(Fixture *f, gconstpointer data)
{
    static const char set[] = "migrate-set-parameters";
    static const char error[] = "Parameter 'max_cpu_throttle' expects a value "
                                "between cpu_throttle_initial and 99";

    fails(f, set, "{\"compress-level\": 2, \"max-cpu-throttle\": 19}", error);
    fails(f, set, "{\"cpu-throttle-initial\": 60, \"max-cpu-throttle\": 50}",
          error);
    fails(f, set, "{\"max-cpu-throttle\": 50, \"cpu-throttle-initial\": 60}",
          error);
    fixture_expect_calls(f, "");
    answers(f, set, "{\"max-cpu-throttle\": 5, \"cpu-throttle-initial\": 5}",
            DONE);
    answers(f, set, "{\"cpu-throttle-initial\": 9, \"max-cpu-throttle\": 9}",
            DONE);
    fixture_expect_calls(f, "max-cpu-throttle=5; cpu-throttle-initial=5; "
                            "cpu-throttle-initial=9; max-cpu-throttle=9; ");
}

/* The machine refuses the second: the first is taken back. */
static void test_parameters_all_or_none(Fixture *f, gconstpointer data)
{
    f->machine->fixed = "compress-threads";
    fails(f, "migrate-set-parameters",
          "{\"compress-level\": 2, \"compress-threads\": 3}",
          "compress-threads is fixed");
    fixture_expect_calls(f, "compress-level=2; compress-level=1; ");
}

static void test_query_migrate_none(Fixture *f, gconstpointer data)
{
    const IoUri tcp = { .kind = IO_URI_TCP, .host = (char *)"127.0.0.1",
                        .port = 4444 };
    const IoUri local = { .kind = IO_URI_UNIX, .path = (char *)"/x" };
    const IoUri command = { .kind = IO_URI_EXEC, .command = (char *)"true" };

    answers(f, "query-migrate", NULL, DONE);
    f->machine->address = &tcp;
    answers(f, "query-migrate", NULL,
            "{\"return\": {\"socket-address\": [{\"type\": \"inet\", "
            "\"host\": \"127.0.0.1\", \"port\": \"4444\"}]}}");
    f->machine->address = &local;
    answers(f, "query-migrate", NULL,
            "{\"return\": {\"socket-address\": [{\"type\": \"unix\", "
            "\"path\": \"/x\"}]}}");
    f->machine->address = &command;
    answers(f, "query-migrate", NULL, DONE);
}

#define RAM_JSON                                                               \
    "\"ram\": {\"total\": 268967936, \"transferred\": 862208, "                \
    "\"remaining\": 0, \"duplicate\": 65602, \"skipped\": 0, "                 \
    "\"normal\": 5, \"normal-bytes\": 20480, \"dirty-pages-rate\": 17, "       \
    "\"mbps\": 6.43, \"dirty-sync-count\": 3, \"postcopy-requests\": 0, "      \
    "\"page-size\": 4096, \"multifd-bytes\": 0, "                              \
    "\"pages-per-second\": 44326, \"precopy-bytes\": 857088, "                 \
    "\"downtime-bytes\": 5120, \"postcopy-bytes\": 0}"

#define COMPRESSION_JSON                                                       \
    "\"compression\": {\"pages\": 151, \"busy\": 0, \"busy-rate\": 0.0, "      \
    "\"compressed-size\": 250880, \"compression-rate\": 2.37, "                \
    "\"unchanged\": 12, \"encoder\": \"ISA-L\", \"history\": 1048576}"

static void test_query_migrate_active(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    answers(f, "query-migrate", NULL,
            "{\"return\": {\"status\": \"active\", \"total-time\": 1217, "
            "\"expected-downtime\": 300, \"setup-time\": 3, " RAM_JSON
            ", " COMPRESSION_JSON "}}");
    f->machine->info.compress = false;
    answers(f, "query-migrate", NULL,
            "{\"return\": {\"status\": \"active\", \"total-time\": 1217, "
            "\"expected-downtime\": 300, \"setup-time\": 3, " RAM_JSON "}}");
}

/* What only a source knows is left out. */
static void test_query_migrate_incoming(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    f->machine->info.incoming = true;
    f->machine->info.compress = false;
    answers(f, "query-migrate", NULL,
            "{\"return\": {\"status\": \"active\", \"total-time\": 1217, "
            "\"setup-time\": 3, \"ram\": {\"total\": 268967936, "
            "\"transferred\": 862208, \"duplicate\": 65602, \"skipped\": 0, "
            "\"normal\": 5, \"normal-bytes\": 20480, \"mbps\": 6.43, "
            "\"postcopy-requests\": 0, \"page-size\": 4096, "
            "\"multifd-bytes\": 0, \"pages-per-second\": 44326, "
            "\"postcopy-bytes\": 0}}}");
}

static void test_query_migrate_throttled(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    f->machine->info.cpu_throttle = 30;
    f->machine->info.compress = false;
    answers(f, "query-migrate", NULL,
            "{\"return\": {\"status\": \"active\", \"total-time\": 1217, "
            "\"expected-downtime\": 300, \"setup-time\": 3, " RAM_JSON
            ", \"cpu-throttle-percentage\": 30}}");
}

static void test_query_migrate_floor(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    f->machine->info.downtime_floor_ms = 315;
    f->machine->info.compress = false;
    answers(f, "query-migrate", NULL,
            "{\"return\": {\"status\": \"active\", \"total-time\": 1217, "
            "\"expected-downtime\": 300, \"downtime-floor\": 315, "
            "\"setup-time\": 3, " RAM_JSON "}}");
}

static void test_query_migrate_completed(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_COMPLETED);
    answers(f, "query-migrate", NULL,
            "{\"return\": {\"status\": \"completed\", \"total-time\": 1217, "
            "\"downtime\": 2, \"setup-time\": 3, " RAM_JSON
            ", " COMPRESSION_JSON "}}");
}

static void test_query_migrate_failed(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_FAILED);
    f->machine->info.error = (char *)"no \"route\"";
    answers(f, "query-migrate", NULL,
            "{\"return\": {\"status\": \"failed\", \"total-time\": 1217, "
            "\"error-desc\": \"no \\\"route\\\"\"}}");
}

/* JSON has no infinity. */
static void test_query_migrate_odd_numbers(Fixture *f, gconstpointer data)
{
    g_autoptr(JsonNode) answer = NULL;
    JsonObject *ram;

    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    f->machine->info.ram.mbps = INFINITY;
    f->machine->info.ram.remaining = UINT64_MAX;
    client_send(f->client, "{\"execute\": \"query-migrate\"}");
    answer = client_take_json(f->client);
    ram = json_object_get_object_member(
        json_object_get_object_member(json_node_get_object(answer), "return"),
        "ram");
    g_assert_cmpfloat(json_object_get_double_member(ram, "mbps"), ==, 0);
    g_assert_cmpint(json_object_get_int_member(ram, "remaining"), ==,
                    INT64_MAX);
}

static void hmp_answers(Fixture *f, const char *line, const char *text)
{
    g_autofree char *args = g_strdup_printf("{\"command-line\": \"%s\"}", line);
    g_autofree char *expected = g_strdup_printf("{\"return\": \"%s\"}", text);

    answers(f, "human-monitor-command", args, expected);
}

static void test_human_monitor_command(Fixture *f, gconstpointer data)
{
    hmp_answers(f, "info status", "VM status: running\\r\\n");
    hmp_answers(f, "migrate_set_parameter compress_level 3", "");
    fixture_expect_calls(f, "compress-level=3; ");
}

static void test_human_monitor_cpu(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *cpu, *desc;
    } rows[] = {
        { "0", NULL },
        { "1", NULL },
        { "2", "Parameter 'cpu-index' expects a CPU number between 0 and 1" },
        { "-1", "Parameter 'cpu-index' expects a CPU number between 0 and 1" },
        { "4294967296",
          "Parameter 'cpu-index' expects a CPU number between 0 and 1" },
        { "\"x\"",
          "Invalid parameter type for 'cpu-index', expected: integer" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *args = g_strdup_printf(
            "{\"command-line\": \"info name\", \"cpu-index\": %s}",
            rows[i].cpu);

        if (rows[i].desc) {
            fails(f, "human-monitor-command", args, rows[i].desc);
        } else {
            answers(f, "human-monitor-command", args,
                    "{\"return\": \"bob\\r\\n\"}");
        }
    }
}

static void test_human_monitor_errors(Fixture *f, gconstpointer data)
{
    hmp_answers(f, "", "");
    hmp_answers(f, "foo", "unknown command: 'foo'\\r\\n");
    hmp_answers(f, "migrate_set_parameter compress-level 10",
                "Error: Parameter 'compress_level' expects a value between 0 "
                "and 9\\r\\n");
    hmp_answers(f, "migrate tcp:a:1",
                "terminal does not allow synchronous migration, continuing "
                "detached\\r\\n");
    fixture_expect_calls(f, "migrate tcp:a:1; ");
}

/* data as it stands in the line, or NULL. */
static void expect_event(Fixture *f, const char *name, const char *data,
                         int64_t since_us)
{
    g_autoptr(JsonNode) event = client_take_json(f->client);
    JsonObject *object = json_node_get_object(event);
    JsonObject *timestamp = json_object_get_object_member(object, "timestamp");
    int64_t micro = json_object_get_int_member(timestamp, "microseconds");
    int64_t us =
        json_object_get_int_member(timestamp, "seconds") * G_USEC_PER_SEC +
        micro;
    g_autofree char *got = NULL;

    g_assert_cmpstr(json_object_get_string_member(object, "event"), ==, name);
    if (json_object_has_member(object, "data")) {
        got = json_to_string(json_object_get_member(object, "data"), FALSE);
    }
    g_assert_cmpstr(got, ==, data);
    g_assert_cmpint(micro, <, G_USEC_PER_SEC);
    g_assert_cmpint(us, >=, since_us);
    g_assert_cmpint(us, <=, g_get_real_time());
}

static void test_events(Fixture *f, gconstpointer data)
{
    int64_t since = g_get_real_time();

    client_send(f->client, "{\"execute\": \"stop\"}{\"execute\": \"cont\"}"
                           "{\"execute\": \"quit\"}");
    expect_event(f, "STOP", NULL, since);
    client_expect_json(f->client, DONE);
    expect_event(f, "RESUME", NULL, since);
    client_expect_json(f->client, DONE);
    expect_event(f, "SHUTDOWN",
                 "{\"guest\":false,\"reason\":\"host-qmp-quit\"}", since);
    client_expect_json(f->client, DONE);
    fixture_expect_calls(f, "quit; ");
}

static void test_shutdown(Fixture *f, gconstpointer data)
{
    mon_emit_shutdown(f->machine->monitor, MON_SHUTDOWN_SIGNAL,
                      g_get_real_time());
    expect_event(f, "SHUTDOWN", "{\"guest\":false,\"reason\":\"host-signal\"}",
                 0);
    mon_emit_shutdown(f->machine->monitor, MON_SHUTDOWN_GUEST,
                      g_get_real_time());
    expect_event(f, "SHUTDOWN",
                 "{\"guest\":true,\"reason\":\"guest-shutdown\"}", 0);
}

/* What does not fit the schema is not sent, and the process goes on. */
static void test_unfit(Fixture *f, gconstpointer data)
{
    f->machine->status = "strange";
    g_test_expect_message("ferry", G_LOG_LEVEL_WARNING, "query-status: *");
    fails(f, "query-status", NULL,
          "Internal error: the answer does not fit its description: Parameter "
          "'status' does not accept value 'strange'");
    g_test_assert_expected_messages();
    g_test_expect_message("ferry", G_LOG_LEVEL_WARNING, "event STRANGE *");
    mon_emit(f->machine->monitor, "STRANGE", 0);
    g_test_assert_expected_messages();
    answers(f, "query-name", NULL, "{\"return\": {\"name\": \"bob\"}}");
}

static void expect_migration_event(Fixture *f, const char *name,
                                   const char *data)
{
    g_autofree char *end =
        g_strdup_printf("},\"event\":\"%s\",\"data\":%s}\r\n", name, data);
    g_autofree char *line = client_take(f->client, "\r\n");

    g_assert_true(g_str_has_suffix(line, end));
}

static void test_migration_events(Fixture *f, gconstpointer data)
{
    MigEvent event = { .type = MIG_EVENT_STATE, .state = MIG_STATE_SETUP };

    mon_emit_migration(f->machine->monitor, &event, 0);
    answers(f, "query-name", NULL, "{\"return\": {\"name\": \"bob\"}}");
    f->machine->options.value[MIG_OPT_EVENTS] = 1;
    event.state = MIG_STATE_PRE_SWITCHOVER;
    mon_emit_migration(f->machine->monitor, &event, 0);
    event.type = MIG_EVENT_PASS;
    event.pass = 2;
    mon_emit_migration(f->machine->monitor, &event, 0);
    expect_migration_event(f, "MIGRATION", "{\"status\":\"pre-switchover\"}");
    expect_migration_event(f, "MIGRATION_PASS", "{\"pass\":2}");
}

static void add(const char *path, FixtureTest *test)
{
    fixture_add(MON_QMP, path, test);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qmp/greeting", test_greeting);
    g_test_add_func("/qmp/negotiation", test_negotiation);
    add("/qmp/requests", test_requests);
    add("/qmp/id", test_id);
    add("/qmp/arguments", test_arguments);
    add("/qmp/run-state", test_run_state);
    add("/qmp/name-and-version", test_name_and_version);
    add("/qmp/query-commands", test_query_commands);
    add("/qmp/query-events", test_query_events);
    add("/qmp/migrate", test_migrate);
    add("/qmp/migrate-flags", test_migrate_flags);
    add("/qmp/migrate-continue", test_continue);
    add("/qmp/migrate-pause", test_pause);
    add("/qmp/host-errors", test_host_errors);
    add("/qmp/capabilities", test_capabilities);
    add("/qmp/capability-errors", test_capability_errors);
    add("/qmp/parameters", test_parameters);
    add("/qmp/parameter-errors", test_parameter_errors);
    add("/qmp/parameters-fit", test_parameters_fit);
    add("/qmp/parameters-all-or-none", test_parameters_all_or_none);
    add("/qmp/query-migrate/none", test_query_migrate_none);
    add("/qmp/query-migrate/active", test_query_migrate_active);
    add("/qmp/query-migrate/incoming", test_query_migrate_incoming);
    add("/qmp/query-migrate/floor", test_query_migrate_floor);
    add("/qmp/query-migrate/throttled", test_query_migrate_throttled);
    add("/qmp/query-migrate/completed", test_query_migrate_completed);
    add("/qmp/query-migrate/failed", test_query_migrate_failed);
    add("/qmp/query-migrate/odd-numbers", test_query_migrate_odd_numbers);
    add("/qmp/human-monitor-command", test_human_monitor_command);
    add("/qmp/human-monitor-cpu", test_human_monitor_cpu);
    add("/qmp/human-monitor-errors", test_human_monitor_errors);
    add("/qmp/events", test_events);
    add("/qmp/shutdown", test_shutdown);
    add("/qmp/unfit", test_unfit);
    add("/qmp/migration-events", test_migration_events);
    return g_test_run();
}
