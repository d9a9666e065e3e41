/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HMP: what people type, and what they read. */
#include <string.h>

#include "tests/unit/test-monitor-fixture.h"

typedef struct Fixture {
    FakeMachine *machine;
    Client *client;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->machine = fake_machine_new();
    f->client = client_new_hmp(f->machine);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    client_free(f->client);
    fake_machine_free(f->machine);
}

static void expect(Fixture *f, const char *line, const char *expected)
{
    g_autofree char *answer = client_ask(f->client, line);

    g_assert_cmpstr(answer, ==, expected);
}

static void expect_calls(Fixture *f, const char *expected)
{
    g_assert_cmpstr(f->machine->calls->str, ==, expected);
}

static void test_banner(void)
{
    FakeMachine *machine = fake_machine_new();
    Client *client = client_new(machine, MON_HMP);
    g_autofree char *got = client_take(client, PROMPT);
    g_autofree char *expected = g_strdup_printf(
        "Ferry %s monitor - type 'help' for more information\r\n(ferry) ",
        mig_version());

    g_assert_cmpstr(got, ==, expected);
    client_free(client);
    fake_machine_free(machine);
}

/* As everybody learnt it. */
static void test_six_steps(Fixture *f, gconstpointer data)
{
    expect(f, "migrate_set_capability compress on", "");
    expect(f, "migrate_set_parameter compress_threads 12", "");
    expect(f, "migrate_set_parameter compress_level 1", "");
    expect(f, "migrate_set_parameter decompress_threads 3", "");
    expect(f, "migrate -d tcp:destination.host:4444", "");
    fake_machine_set_info(f->machine, MIG_STATE_SETUP);
    expect(f, "info migrate",
           "capabilities: compress: on\n"
           "Migration status: setup\n"
           "total time: 1217 ms\n");
    expect_calls(f, "compress=1; compress-threads=12; compress-level=1; "
                    "decompress-threads=3; "
                    "migrate tcp:destination.host:4444; ");
}

static void test_capabilities(Fixture *f, gconstpointer data)
{
    expect(f, "info migrate_capabilities", "compress: off\n");
    expect(f, "migrate-set-capability compress on", "");
    expect(f, "info migrate-capabilities", "compress: on\n");
    expect(f, "migrate_set_capability compress off", "");
    expect(f, "info migrate_capabilities", "compress: off\n");
}

static void test_parameters(Fixture *f, gconstpointer data)
{
    expect(f, "migrate_set_parameter compress-wait-thread off", "");
    expect(f, "migrate_set_parameter max-bandwidth 1g", "");
    expect(f, "info migrate_parameters",
           "compress-level: 1\n"
           "compress-threads: 8\n"
           "compress-wait-thread: off\n"
           "decompress-threads: 2\n"
           "max-bandwidth: 1073741824 bytes/second\n"
           "downtime-limit: 300 ms\n");
}

static void test_option_errors(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *line, *answer;
    } rows[] = {
        { "migrate_set_parameter compress-threads 0",
          "Error: Parameter 'compress_threads' expects a value between 1 and "
          "255\n" },
        { "migrate_set_parameter compress-threads 256",
          "Error: Parameter 'compress_threads' expects a value between 1 and "
          "255\n" },
        { "migrate_set_parameter compress-level 10",
          "Error: Parameter 'compress_level' expects a value between 0 and "
          "9\n" },
        { "migrate_set_parameter compress-level x",
          "Error: Parameter 'compress_level' expects a value between 0 and "
          "9\n" },
        { "migrate_set_parameter compress-level -1",
          "Error: Parameter 'compress_level' expects a value between 0 and "
          "9\n" },
        { "migrate_set_parameter foo 1",
          "Error: invalid parameter value: foo\n" },
        { "migrate_set_parameter compress on",
          "Error: invalid parameter value: compress\n" },
        { "migrate_set_capability foo on",
          "Error: invalid parameter value: foo\n" },
        { "migrate_set_capability compress-level on",
          "Error: invalid parameter value: compress-level\n" },
        { "migrate_set_capability compress maybe",
          "Expected 'on' or 'off'\n"
          "Try \"help migrate_set_capability\" for more information\n" },
        { "migrate_set_capability compress",
          "Expected 'on' or 'off'\n"
          "Try \"help migrate_set_capability\" for more information\n" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        expect(f, rows[i].line, rows[i].answer);
    }
    expect_calls(f, "");
}

static void test_usage_errors(Fixture *f, gconstpointer data)
{
    static const struct {
        const char *line, *answer;
    } rows[] = {
        { "foo", "unknown command: 'foo'\n" },
        { "info foo", "unknown command: 'info foo'\n" },
        { "migrate", "migrate: string expected\n"
                     "Try \"help migrate\" for more information\n" },
        { "migrate -d", "migrate: string expected\n"
                        "Try \"help migrate\" for more information\n" },
        { "migrate -x tcp:a", "migrate: unsupported option -x\n"
                              "Try \"help migrate\" for more information\n" },
        { "migrate -d tcp:a b",
          "migrate: extraneous characters at the end of line\n"
          "Try \"help migrate\" for more information\n" },
        { "migrate \"abc", "unterminated string\n"
                           "migrate: string expected\n"
                           "Try \"help migrate\" for more information\n" },
        { "migrate \"a\\q\"", "unsupported escape code: '\\q'\n"
                              "migrate: string expected\n"
                              "Try \"help migrate\" for more information\n" },
        { "migrate_set_parameter compress-level",
          "migrate_set_parameter: string expected\n"
          "Try \"help migrate_set_parameter\" for more information\n" },
        { "stop now", "stop: extraneous characters at the end of line\n"
                      "Try \"help stop\" for more information\n" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        expect(f, rows[i].line, rows[i].answer);
    }
    expect_calls(f, "");
}

static void test_host_errors(Fixture *f, gconstpointer data)
{
    static const char *const lines[] = {
        "migrate foo:bar",
        "migrate -d foo:bar",
        "migrate_incoming foo:bar",
        "migrate_set_capability compress on",
        "migrate_set_parameter compress-level 1",
        "stop",
        "cont",
    };

    f->machine->refusal = "There's a migration process in progress";
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        expect(f, lines[i], "Error: There's a migration process in progress\n");
    }
}

static void test_migrate_arguments(Fixture *f, gconstpointer data)
{
    expect(f, "migrate -d \"exec:cat > \\\"a b\\\"\"", "");
    expect(f, "  migrate\t-d   unix:/x  ", "");
    expect(f, "migrate_incoming tcp:[::]:4444", "");
    expect(f, "migrate-incoming defer", "");
    expect(f, "migrate_cancel", "");
    expect_calls(f, "migrate exec:cat > \"a b\"; migrate unix:/x; "
                    "incoming tcp:[::]:4444; incoming defer; cancel; ");
}

static void test_status(Fixture *f, gconstpointer data)
{
    expect(f, "info status", "VM status: running\n");
    expect(f, "stop", "");
    expect(f, "info status", "VM status: paused\n");
    expect(f, "c", "");
    expect(f, "info status", "VM status: running\n");
    f->machine->running = false;
    f->machine->status = "postmigrate";
    expect(f, " info   status ", "VM status: paused (postmigrate)\n");
}

static void test_name_and_version(Fixture *f, gconstpointer data)
{
    g_autofree char *version = g_strdup_printf("%s\n", mig_version());

    expect(f, "info version", version);
    expect(f, "info name", "bob\n");
    f->machine->host.name = NULL;
    expect(f, "info name", "");
}

static void test_empty_lines(Fixture *f, gconstpointer data)
{
    expect(f, "", "");
    expect(f, "  \t ", "");
    expect(f, "info status\r", "VM status: running\n");
}

static void test_help(Fixture *f, gconstpointer data)
{
    g_autofree char *help = client_ask(f->client, "help");
    g_autofree char *same = client_ask(f->client, "?");
    g_autofree char *info = client_ask(f->client, "info");

    g_assert_cmpstr(help, ==, same);
    g_assert_nonnull(strstr(help, "quit|q  -- quit the emulator\n"));
    g_assert_null(strstr(help, "info status"));
    g_assert_null(strstr(help, "query"));
    g_assert_nonnull(strstr(info, "info migrate  -- show migration status\n"));
    g_assert_null(strstr(info, "quit"));
    expect(f, "help info", info);
    expect(f, "help info migrate", "info migrate  -- show migration status\n");
    expect(f, "help migrate",
           "migrate [-d] uri -- migrate to URI "
           "(using -d to not wait for completion)\n");
    expect(f, "help nope", "unknown command: 'nope'\n");
}

static void test_help_lists_options(Fixture *f, gconstpointer data)
{
    g_autofree char *text = client_ask(f->client, "help migrate_set_parameter");

    g_assert_true(g_str_has_prefix(text,
                                   "migrate_set_parameter parameter value -- "
                                   "set the parameter for migration\n"));
    g_assert_nonnull(
        strstr(text, "  compress-threads (1 to 255, default 8) -- "));
    g_assert_nonnull(
        strstr(text, "  compress-wait-thread (on or off, default on) -- "));
    g_assert_null(strstr(text, "  compress (on"));
}

static void test_quit(Fixture *f, gconstpointer data)
{
    client_send(f->client, "q\n");
    client_close_output(f->client);
    client_wait_end(f->client);
    g_assert_cmpstr(f->client->got->str, ==, ""); /* not even a prompt */
    expect_calls(f, "quit; ");
}

static void test_long_line(Fixture *f, gconstpointer data)
{
    g_autofree char *line = g_strnfill(4096, 'x');
    g_autofree char *unknown = NULL;

    expect(f, line, "Error: a line has 4095 characters at most\n");
    line[4095] = '\0';
    unknown = g_strdup_printf("unknown command: '%s'\n", line);
    expect(f, line, unknown);
}

static void test_info_none(Fixture *f, gconstpointer data)
{
    expect(f, "info migrate", "capabilities: compress: off\n");
    f->machine->has_info = true; /* a handle that was not started */
    expect(f, "info migrate", "capabilities: compress: off\n");
}

#define RAM_TEXT                                                               \
    "transferred ram: 842 kbytes\n"                                            \
    "throughput: 6.43 mbps\n"                                                  \
    "remaining ram: 0 kbytes\n"                                                \
    "total ram: 262664 kbytes\n"                                               \
    "duplicate: 65602 pages\n"                                                 \
    "skipped: 0 pages\n"                                                       \
    "normal: 5 pages\n"                                                        \
    "normal bytes: 20 kbytes\n"                                                \
    "dirty sync count: 3\n"                                                    \
    "page size: 4 kbytes\n"                                                    \
    "multifd bytes: 0 kbytes\n"                                                \
    "pages-per-second: 44326\n"

#define PHASE_TEXT                                                             \
    "precopy ram: 837 kbytes\n"                                                \
    "downtime ram: 5 kbytes\n"

#define COMPRESSION_TEXT                                                       \
    "compression pages: 151 pages\n"                                           \
    "compression busy: 0\n"                                                    \
    "compression busy rate: 0.00\n"                                            \
    "compressed size: 245 kbytes\n"                                            \
    "compression rate: 2.37\n"

static void test_info_active(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    expect(f, "info migrate",
           "capabilities: compress: off\n"
           "Migration status: active\n"
           "total time: 1217 ms\n"
           "expected downtime: 300 ms\n"
           "setup: 3 ms\n" RAM_TEXT
           "dirty pages rate: 17 pages\n" PHASE_TEXT COMPRESSION_TEXT);
}

static void test_info_completed(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_COMPLETED);
    f->machine->options.value[MIG_OPT_COMPRESS] = 1;
    expect(f, "info migrate",
           "capabilities: compress: on\n"
           "Migration status: completed\n"
           "total time: 1217 ms\n"
           "downtime: 2 ms\n"
           "setup: 3 ms\n" RAM_TEXT PHASE_TEXT COMPRESSION_TEXT);
}

static void test_info_uncompressed(Fixture *f, gconstpointer data)
{
    g_autofree char *text = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_COMPLETED);
    f->machine->info.compress = false;
    text = client_ask(f->client, "info migrate");
    g_assert_nonnull(strstr(text, "downtime ram: 5 kbytes\n"));
    g_assert_null(strstr(text, "compression"));
}

static void test_info_incoming(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_COMPLETED);
    f->machine->info.incoming = true;
    expect(f, "info migrate",
           "capabilities: compress: off\n"
           "Migration status: completed\n"
           "total time: 1217 ms\n"
           "setup: 3 ms\n" RAM_TEXT PHASE_TEXT COMPRESSION_TEXT);
}

static void test_info_failed(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_FAILED);
    f->machine->info.error = (char *)"Connection refused";
    expect(f, "info migrate",
           "capabilities: compress: off\n"
           "Migration status: failed (Connection refused)\n"
           "total time: 1217 ms\n");
}

static void test_info_cancelled(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_CANCELLED);
    expect(f, "info migrate",
           "capabilities: compress: off\n"
           "Migration status: cancelled\n"
           "total time: 1217 ms\n");
}

static void test_migrate_waits(Fixture *f, gconstpointer data)
{
    Client *other = client_new_hmp(f->machine);
    g_autofree char *progress = NULL, *status = NULL, *cancel = NULL;
    g_autofree char *end = NULL, *later = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    f->machine->info.ram.remaining = f->machine->info.ram.total / 4;
    client_send(f->client, "migrate tcp:a:1\ninfo name\n");
    progress = client_take(f->client, "pass 3");
    g_assert_cmpstr(progress, ==,
                    "\r75%, transferred 842 kbytes, 6.43 mbps, "
                    "remaining 65666 kbytes, pass 3");

    /* The others go on; this one does not. */
    status = client_ask(other, "info status");
    g_assert_cmpstr(status, ==, "VM status: running\n");
    g_assert_null(strstr(f->client->got->str, PROMPT));
    g_assert_null(strstr(f->client->got->str, "bob"));

    cancel = client_ask(other, "migrate_cancel");
    end = client_take(f->client, PROMPT);
    g_assert_true(
        g_str_has_suffix(end, "\r\nMigration status: cancelled\r\n" PROMPT));
    later = client_take(f->client, PROMPT);
    g_assert_cmpstr(later, ==, "bob\r\n" PROMPT);
    client_free(other);
}

static void test_progress_is_rewritten(Fixture *f, gconstpointer data)
{
    g_autofree char *first = NULL, *second = NULL, *end = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    f->machine->info.ram.remaining = f->machine->info.ram.total;
    client_send(f->client, "migrate tcp:a:1\n");
    first = client_take(f->client, "pass 3");
    f->machine->info.ram.remaining = 0;
    f->machine->info.ram.mbps = 10;
    second = client_take(f->client, "10.00 mbps, remaining 0 kbytes, pass 3 ");
    f->machine->info.state = MIG_STATE_COMPLETED;
    end = client_take(f->client, PROMPT);
    g_assert_nonnull(strstr(end, "\r100%, "));
    g_assert_true(
        g_str_has_suffix(end, "\r\nMigration status: completed\r\n" PROMPT));
}

/* No waiting where there is nothing to wait for. */
static void test_migrate_fails_at_once(Fixture *f, gconstpointer data)
{
    fake_machine_set_info(f->machine, MIG_STATE_FAILED);
    f->machine->info.error = (char *)"Connection refused";
    expect(f, "migrate tcp:a:1", "Error: Connection refused\n");
}

/* Two sessions wait and one client goes away: the other does not notice. */
static void test_client_dies_while_waiting(Fixture *f, gconstpointer data)
{
    Client *dying = client_new_hmp(f->machine);
    g_autofree char *seen = NULL, *end = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    client_send(dying, "migrate tcp:a:1\n");
    seen = client_take(dying, "pass 3");
    client_free(dying);
    client_send(f->client, "migrate tcp:a:1\n");
    for (int i = 0; i < 3; i++) {
        g_free(client_take(f->client, "pass 3"));
    }
    f->machine->info.state = MIG_STATE_COMPLETED;
    end = client_take(f->client, PROMPT);
    g_assert_nonnull(strstr(end, "Migration status: completed"));
}

static void test_end_while_waiting(Fixture *f, gconstpointer data)
{
    g_autofree char *progress = NULL;

    fake_machine_set_info(f->machine, MIG_STATE_ACTIVE);
    client_send(f->client, "migrate tcp:a:1\n");
    progress = client_take(f->client, "pass 3");
    mon_free(f->machine->monitor);
    f->machine->monitor = NULL;
    client_wait_end(f->client);
}

static void add(const char *path, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hmp/banner", test_banner);
    add("/hmp/six-steps", test_six_steps);
    add("/hmp/capabilities", test_capabilities);
    add("/hmp/parameters", test_parameters);
    add("/hmp/option-errors", test_option_errors);
    add("/hmp/usage-errors", test_usage_errors);
    add("/hmp/host-errors", test_host_errors);
    add("/hmp/migrate-arguments", test_migrate_arguments);
    add("/hmp/status", test_status);
    add("/hmp/name-and-version", test_name_and_version);
    add("/hmp/empty-lines", test_empty_lines);
    add("/hmp/help", test_help);
    add("/hmp/help-lists-options", test_help_lists_options);
    add("/hmp/quit", test_quit);
    add("/hmp/long-line", test_long_line);
    add("/hmp/info-migrate/none", test_info_none);
    add("/hmp/info-migrate/active", test_info_active);
    add("/hmp/info-migrate/completed", test_info_completed);
    add("/hmp/info-migrate/uncompressed", test_info_uncompressed);
    add("/hmp/info-migrate/incoming", test_info_incoming);
    add("/hmp/info-migrate/failed", test_info_failed);
    add("/hmp/info-migrate/cancelled", test_info_cancelled);
    add("/hmp/migrate/waits", test_migrate_waits);
    add("/hmp/migrate/progress", test_progress_is_rewritten);
    add("/hmp/migrate/fails-at-once", test_migrate_fails_at_once);
    add("/hmp/migrate/client-dies", test_client_dies_while_waiting);
    add("/hmp/migrate/end-while-waiting", test_end_while_waiting);
    return g_test_run();
}
